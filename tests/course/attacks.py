"""Files that attack the grader instead of solving the exercise relu. test_attacks.py runs them.

An attack that finds no protection must do no harm on the machine of the tests: it starts at most 40 processes, sends
only the signal "continue", writes into FOLDER only, and connects to this machine only.
"""

RIGHT = """
import numpy as np

def relu_forward(x):
    return np.maximum(x, 0), x

def relu_backward(dout, cache):
    return dout * (cache > 0)
"""
WRONG = RIGHT.replace("np.maximum(x, 0)", "abs(x)")

FORBIDDEN = "PermissionError"
ENDED = "ended without a report"

# name: (what stands above the functions, what stands at the start of forward, a part of the feedback)
# The file is right apart from the attack. A feedback of "" means that it gets all points: the attack has no effect.
ATTACKS = {
    "an endless loop": ("", "while True: pass", "did not finish within 0.5 seconds"),
    "an endless loop at import": ("while True: pass", "", "did not finish within 0.5 seconds"),
    "ignoring signals": (
        "import signal\nfor n in range(1, 65):\n    try: signal.signal(n, signal.SIG_IGN)\n    except OSError: pass",
        "while True: pass",
        "did not finish within 0.5 seconds",
    ),
    "sleep": ("import time", "time.sleep(1000)", FORBIDDEN),
    "waiting for itself": ("import _thread\nlock = _thread.allocate_lock()", "lock.acquire(); lock.acquire()", "wait"),
    "reading the judge's requests": ("import os", "os.read(3, 1 << 20); os.read(3, 1)", "wait"),
    "sys.exit": ("import sys", "sys.exit(0)", "it calls sys.exit(0)"),
    "os._exit": ("import os", "os._exit(0)", ENDED),
    "a fork bomb": (
        "import os",
        "for _ in range(40):\n        if os.fork() == 0:\n            while True: pass",
        FORBIDDEN,
    ),
    "a daemon": (
        "import os",
        "if os.fork() == 0:\n        os.setsid()\n        if os.fork() == 0:\n            while True: pass\n"
        "        os._exit(0)",
        FORBIDDEN,
    ),
    "clone": (
        "import ctypes, os",
        "pid = ctypes.CDLL(None).syscall({'x86_64': 56}.get(os.uname().machine, 220), 17, 0, 0, 0, 0)\n"
        "    if pid == 0:\n        while True: pass\n"
        "    assert pid > 0, 'no process'",
        "AssertionError: no process",
    ),
    "a subprocess": ("import subprocess", "subprocess.run(['sleep', '100'])", FORBIDDEN),
    "os.system": ("import os", "assert os.system('true') == 0, 'no shell'", "AssertionError: no shell"),
    "exec": ("import os", "os.execv('/bin/sh', ['sh', '-c', 'sleep 100'])", FORBIDDEN),
    "multiprocessing": ("import multiprocessing as m", "m.Pool(4).map(abs, range(9))", FORBIDDEN),
    "threads": (
        "import threading\ndef run():\n    while True: pass",
        "for _ in range(40): threading.Thread(target=run, daemon=True).start()",
        "can't start new thread",
    ),
    "a huge array": ("", "np.ones((1 << 15, 1 << 15))", "MemoryError"),
    "a growing list": ("", "grown = []\n    while True: grown.append(bytes(1 << 24))", "MemoryError"),
    "a list that fills the last byte": (
        "",
        "grown = []\n    for size in (1 << 24, 1 << 16, 1 << 10, 64):\n        try:\n"
        "            while True: grown.append(bytes(size))\n        except MemoryError: pass\n"
        "    grown.append(bytes(1 << 24))",
        "MemoryError",
    ),
    "a segmentation fault": ("import ctypes", "ctypes.string_at(0)", "SIGSEGV"),
    "deep recursion": ("", "relu_forward(x)", "RecursionError"),
    "deep recursion in C": (
        "import sys\nsys.setrecursionlimit(10**9)\n"
        "class Deep:\n    def __getattr__(self, name): return getattr(self, name)",
        "Deep().x",
        "",
    ),
    "a flood of output": ("", "for _ in range(2000): print('x' * 100)", ""),
    "a flood of bytes": (
        "import os",
        "for _ in range(500):\n        os.write(1, bytes(9999)); os.write(2, bytes(99))",
        "",
    ),
    "filling the disk": ("", "open('FOLDER/new', 'wb').write(bytes(1 << 20))", FORBIDDEN),
    "a temporary file": ("import tempfile", "tempfile.TemporaryFile().write(bytes(1 << 20))", "FileNotFoundError"),
    "a file in memory": ("import os", "os.write(os.memfd_create('x'), bytes(1 << 20))", FORBIDDEN),
    "reading another's file": ("", "open('FOLDER/other.py').read()", FORBIDDEN),
    "listing the other files": ("import os", "os.listdir('FOLDER')", FORBIDDEN),
    "writing another's file": ("", "open('FOLDER/other.py', 'a').write('x')", FORBIDDEN),
    "deleting another's file": ("import os", "os.remove('FOLDER/other.py')", FORBIDDEN),
    "renaming another's file": ("import os", "os.rename('FOLDER/other.py', 'FOLDER/mine.py')", FORBIDDEN),
    "a link": ("import os", "os.symlink('/', 'FOLDER/link')", FORBIDDEN),
    "changing rights": ("import os", "os.chmod('FOLDER/other.py', 0)", FORBIDDEN),
    "reading the reference": ("", "open('PACKAGE/exercises/ladder/relu.py').read()", FORBIDDEN),
    "reading the solution": ("", "open('PACKAGE/exercises/solutions/relu.py').read()", FORBIDDEN),
    "the judge's memory": ("", "open('/proc/JUDGE/mem', 'rb').read(1)", FORBIDDEN),
    "the judge's environment": ("", "open('/proc/self/environ').read()", FORBIDDEN),
    "the network": ("import socket", "socket.create_connection(('127.0.0.1', 9))", FORBIDDEN),
    "a name server": ("import socket", "socket.getaddrinfo('example.com', 80)", "gaierror"),
    "a signal to the judge": ("import os, signal", "os.kill(JUDGE, signal.SIGCONT)", FORBIDDEN),
    "a signal to its parent": ("import os, signal", "os.kill(os.getppid(), signal.SIGCONT)", FORBIDDEN),
    "a signal by a pipe": (
        "import fcntl, signal",
        "fcntl.fcntl(3, 10, signal.SIGCONT); fcntl.fcntl(3, fcntl.F_SETOWN, JUDGE)",
        FORBIDDEN,
    ),
    "attaching to the judge": (
        "import ctypes",
        "assert ctypes.CDLL(None).ptrace(16, JUDGE, 0, 0) == 0, 'not attached'",
        "AssertionError: not attached",
    ),
    "another user": ("import os", "os.setuid(12345)", FORBIDDEN),
    "more memory": (
        "import resource",
        "resource.setrlimit(resource.RLIMIT_CPU, (resource.RLIM_INFINITY,) * 2)",
        "not allowed to raise maximum limit",
    ),
    "importing the solution": ("from nnscratch.exercises.solutions.relu import *", "", "imports nnscratch.exercises"),
    "importing the layer": ("import nnscratch as nn", "return nn.ReLU()(x), x", "uses nnscratch.ReLU"),
    "importing PyTorch": ("import torch", "", "imports torch"),
    "importing the solution by its path": (
        "import importlib.util",
        "spec = importlib.util.spec_from_file_location('s', 'PACKAGE/exercises/solutions/relu.py')\n"
        "    module = importlib.util.module_from_spec(spec)\n"
        "    spec.loader.exec_module(module)",
        FORBIDDEN,
    ),
    "a huge reply": ("", "return np.zeros(6_000_000), x", "is too large"),
    "a pickled reply": (
        "import os, pickle",
        "os.write(4, pickle.dumps({'number': 2}) * 99); os._exit(0)",
        "is too large",
    ),
    "an object as a reply": ("", "return np.array([print], dtype=object), x", "must be an array of numbers"),
    "replies in advance": (
        "import os, json, struct\n"
        "def frame(held):\n    text = json.dumps(held).encode()\n"
        "    return struct.pack('>QQ', len(text), 0) + text",
        "for n in range(3, 40): os.write(4, frame({'dict': [['number', n], ['value', None]]}))",
        "a reply to another request",
    ),
    "a reply of many levels": (
        "import os, struct\ntext = b'{\"list\":[' * 20000 + b'1' + b']}' * 20000",
        "os.write(4, struct.pack('>QQ', len(text), 0) + text); os._exit(0)",
        "RecursionError",
    ),
    "an error whose text never ends": (
        "class Error(Exception):\n    def __str__(self):\n        while True: pass",
        "raise Error",
        "did not finish within 0.5 seconds",
    ),
    "control characters in an error": ("", "raise ValueError('\\x1b[2J 5 of 5 points')", "ValueError:  [2J 5 of 5"),
    "a null byte": ("x = '\0'", "", "Python cannot read the file"),
    "closing all descriptors": ("import os", "os.closerange(0, 99)", "process"),
}

# Files with wrong answers that try to get points for them
CHEATS = {
    "a forged verdict on every descriptor": (
        """
import json, os, struct
def forge(value):
    header = json.dumps({"dict": [["number", 2], ["value", value]]}).encode()
    for fd in range(20):
        try: os.write(fd, struct.pack(">QQ", len(header), 0) + header)
        except OSError: pass
forge(True)
forge({"tuple": ["right", None]})
print("relu: right, 100 points")
"""
        + WRONG
    ),
    "NumPy that always agrees": (
        """
import sys
import numpy as np
for name in ("allclose", "array_equal", "isclose", "isfinite"):
    setattr(np, name, lambda *a, **k: True)
np.abs = np.absolute = lambda x: np.zeros_like(x)
sys.modules["nnscratch.gradcheck"] = sys.modules["nnscratch.exercises.values"] = np
"""
        + WRONG.replace("abs(x)", "-x")
    ),
    "objects of the worker": (
        """
import gc, sys
for thing in gc.get_objects():
    if type(thing).__name__ == "FileService":
        thing.call = lambda function, inputs, returns, withheld: (inputs[0], None)
for module in list(sys.modules.values()):
    if hasattr(module, "sendable"): module.sendable = lambda *a: 0
"""
        + WRONG
    ),
    "an array that claims to be equal": (
        """
import numpy as np
class Yes(np.ndarray):
    def __eq__(self, other): return np.ones(self.shape, bool)
    def __sub__(self, other): return np.zeros(self.shape)
    __rsub__ = __sub__
def relu_forward(x):
    return (-x).view(Yes), x
def relu_backward(dout, cache):
    return dout.view(Yes)
"""
    ),
    "zeros": RIGHT.replace("np.maximum(x, 0)", "0 * x"),
    "nothing": "def relu_forward(x): pass\ndef relu_backward(dout, cache): pass",
}

# Files with right values, and gradients that must not count
HALF = {
    "a forward that is linear only while gradients are checked": (
        """
import numpy as np
calls = 0
def relu_forward(x):
    global calls
    calls += 1
    return (np.maximum(x, 0) if calls <= 3 else 2 * x), calls
def relu_backward(dout, cache):
    return 2 * dout
""",
        "returned right values in earlier calls, but not in this one",
    ),
    "finite differences in backward": (
        """
import numpy as np
def relu_forward(x):
    return np.maximum(x, 0), x
def relu_backward(dout, x):
    dx = np.zeros_like(x)
    for i in np.ndindex(x.shape):
        step = np.zeros_like(x)
        step[i] = 1e-4
        dx[i] = np.sum((relu_forward(x + step)[0] - relu_forward(x - step)[0]) * dout) / 2e-4
    return dx
""",
        "as finite differences do",
    ),
    "gradients of zero": (RIGHT.replace("dout * (cache > 0)", "0 * dout"), "The gradient of x is not right"),
    "a loop in backward": (RIGHT.replace("    return dout", "    while True: pass\n    return dout"), "did not finish"),
    "no gradient": (RIGHT.replace("return dout * (cache > 0)", "pass"), "relu_backward returns None"),
    "a text as a gradient": (RIGHT.replace("dout * (cache > 0)", "'right'"), "must be an array of numbers"),
    "too many gradients": (RIGHT.replace("dout * (cache > 0)", "[dout] * 9"), ""),
}


def attack(name, **values):
    """Return the source of an attack."""
    above, inside, _ = ATTACKS[name]
    source = f"{above}\n{RIGHT}".replace("def relu_forward(x):", f"def relu_forward(x):\n    {inside or 'pass'}")
    for key, value in values.items():
        source = source.replace(key, str(value))
    return source
