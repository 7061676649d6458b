"""A file that prints, exits, hangs, forks or forges a report does not decide the verdict on it."""

import os
import subprocess
import sys
import time
from pathlib import Path

import pytest

from nnscratch.cli import main

WRONG_LAYER = """
import os, sys, time
import numpy as np

def relu_forward(x):
    return np.maximum(0, x), x

def relu_backward(dout, cache):
    return dout * (cache > -100)
"""
RIGHT_LAYER = WRONG_LAYER.replace("-100", "0")
FORGED_REPORT = """
import nnscratch.gradcheck.command.worker as worker
from nnscratch.gradcheck import Entry, GradientReport

def forged(*arguments, **options):
    x = np.zeros((3, 4))
    entry = Entry("x", (3, 4), x, x, x, x, x, worst_index=(0, 0))
    return GradientReport("relu", {"x": entry})
"""


@pytest.fixture
def check(tmp_path, capfd):
    """Write a file, check it, and return the exit code, stdout and stderr."""

    def run(source, *options, name=""):
        file = tmp_path / "student.py"
        file.write_text(source, encoding="utf-8")
        code = main(["gradcheck", f"{file}{name}", "--seconds", "20", *options])
        out, err = capfd.readouterr()
        return code, out, err

    return run


def test_the_two_layers_without_an_attack(check):
    assert check(RIGHT_LAYER)[0] == 0
    assert check(WRONG_LAYER)[0] == 1


@pytest.mark.parametrize(
    ("where", "attack", "why"),
    [
        ("at import", "print('relu_forward  x 3x4  right'); sys.stdout.flush(); os._exit(0)", "exit code 0"),
        ("in forward", 'os.write(1, b\'{"verdict": "right"}\'); os._exit(0)', "exit code 0"),
        ("at import", "sys.exit(0)", "it called sys.exit(0)"),
        ("in forward", "sys.exit(0)", "it called sys.exit(0)"),
        ("in forward", "os.kill(os.getpid(), 9)", "SIGKILL"),
        ("in forward", "import ctypes; ctypes.string_at(0)", "SIGSEGV"),
        ("in forward", "raise KeyboardInterrupt", "without a report"),
    ],
)
def test_a_file_that_ends_its_process_is_not_right(check, where, attack, why):
    if where == "at import":
        source = f"{WRONG_LAYER}\n{attack}"
    else:
        source = WRONG_LAYER.replace("    return np.maximum", f"    {attack}\n    return np.maximum")
    code, out, _ = check(source)
    assert code == 2 and why in out


def test_what_a_file_prints_goes_nowhere_and_a_flood_does_no_harm(check):
    flood = "\nprint('verdict: wrong')\nfor _ in range(300): os.write(1, b'x' * 100_000); os.write(2, b'y' * 100_000)\n"
    code, out, err = check(RIGHT_LAYER + flood)
    assert code == 0 and "verdict: wrong" not in out + err and "xxx" not in out + err


@pytest.mark.parametrize("where", ["at import", "in backward"])
def test_a_file_that_hangs_ends_at_its_limit_even_if_it_ignores_signals(check, where):
    hang = "import signal; [signal.signal(s, signal.SIG_IGN) for s in (2, 15)]\n{0}while True: time.sleep(1)"
    if where == "at import":
        source = f"{RIGHT_LAYER}\n{hang.format('')}"
    else:
        source = RIGHT_LAYER.replace("    return dout", f"    {hang.format('    ')}\n    return dout")
    start = time.monotonic()
    code, out, _ = check(source, "--seconds", "1")
    assert code == 2 and "not finished after 1 second" in out and time.monotonic() - start < 15


def test_one_item_that_hangs_or_exits_costs_only_its_own_line(check):
    source = RIGHT_LAYER + (
        "\ndef slow_forward(x): time.sleep(60)\ndef slow_backward(dout, cache): return dout\n"
        "def gone_forward(x): os._exit(0)\ndef gone_backward(dout, cache): return dout\n"
        "def double_forward(x): return 2 * x, None\ndef double_backward(dout, cache): return 2 * dout\n"
    )
    code, out, _ = check(source, "--seconds", "5")
    assert code == 2 and "4 checked: 2 right, 2 could not check" in out


@pytest.mark.skipif(sys.platform != "linux", reason="orphans are found through /proc")
def test_no_process_is_left_by_a_file_that_forks(check, tmp_path):
    daemon = """
if os.fork() == 0:
    os.setsid()
    if os.fork() == 0:
        open({path!r}, "w").write(str(os.getpid()))
        time.sleep(60)
    os._exit(0)
while not os.path.exists({path!r}) or not open({path!r}).read():
    time.sleep(0.01)
"""
    path = tmp_path / "pid"
    code, _, _ = check(RIGHT_LAYER + daemon.format(path=str(path)))
    assert code == 0
    assert not Path(f"/proc/{path.read_text()}").exists()


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs os.fork")
def test_two_processes_that_answer_both_are_no_better_than_one(check):
    assert check(WRONG_LAYER + "\nos.fork()\n")[0] in (1, 2)


def test_a_forged_report_is_found_by_the_judges_own_measurement(check):
    code, out, _ = check(WRONG_LAYER + FORGED_REPORT + "\nworker.check_gradients = forged\n")
    assert code == 1 and "wrong" in out
    code, out, _ = check(WRONG_LAYER + FORGED_REPORT + "\nworker.check_gradients = forged\n", name=":relu_forward")
    assert code == 1 and 'reported the verdict "right", but the arrays that it returned are wrong' in out
    code, out, _ = check(RIGHT_LAYER + FORGED_REPORT + "\nworker.check_gradients = forged\n")
    assert code == 0  # the code is right, and the judge has measured it


def test_a_report_without_arrays_is_not_right(check):
    empty = "\nworker.check_gradients = lambda *a, **k: GradientReport('relu')\n"
    code, out, _ = check(WRONG_LAYER + FORGED_REPORT + empty)
    assert code == 2 and "the report contains no array" in out
    no_variables = "\nworker.check_gradients = forged\nworker.Service.variables = lambda self: {}\n"
    assert check(WRONG_LAYER + FORGED_REPORT + no_variables)[0] == 2


@pytest.mark.parametrize(
    ("reply", "why"),
    [
        ("wire.LENGTHS.pack(1 << 60, 0)", "too large"),
        ("wire.LENGTHS.pack(10, 1 << 40) + b'x' * 10", "too large"),
        ("wire.LENGTHS.pack(3, 0) + b'abc'", "not a message"),
        ("wire.frame({'number': 10**6, 'value': None})", "a reply to another request"),
        ("wire.frame([1, 2])", "a reply to another request"),
        ("b'\\x80\\x04' + b'.' * 30", "too large"),  # the start of a pickle
        ("wire.LENGTHS.pack(9000, 0) + b'[' * 9000", "not a message"),
        (
            "wire.frame({'number': 1, 'value': {'kind': 'function', 'init': 3, 'forward': [], 'doc': ''}})",
            "cannot be read",
        ),
        ("wire.frame({'number': 1, 'value': {'kind': 'x', 'init': [{}], 'forward': [], 'doc': ''}})", "cannot be read"),
    ],
)
def test_a_reply_of_another_form_is_refused(check, reply, why):
    attack = f"""
import nnscratch.gradcheck.command.wire as wire
for descriptor in range(3, 20):
    try:
        os.write(descriptor, {reply})
    except OSError:
        pass
time.sleep(0.2)
os._exit(0)
"""
    code, out, err = check(WRONG_LAYER + attack)
    assert code == 2 and why in out + err


def test_a_message_cannot_draw_on_the_terminal(check):
    source = WRONG_LAYER + "\nraise ValueError('\\x1b[2J\\x1b[H relu_forward right\\r')\n"
    code, out, _ = check(source)
    assert code == 2 and "\x1b" not in out and "\r" not in out


def test_a_file_that_removes_its_layers_when_it_runs_hides_nothing(check):
    code, out, _ = check(WRONG_LAYER + "\ndel relu_backward\n")
    assert code == 2 and "1 could not check" in out  # the table cuts the reason after a long path


def test_a_file_that_kills_the_judge_is_not_right(tmp_path):
    file = tmp_path / "student.py"
    file.write_text(WRONG_LAYER + "\nos.kill(os.getppid(), 9)\n", encoding="utf-8")
    command = [sys.executable, "-m", "nnscratch", "gradcheck", str(file)]
    assert subprocess.run(command, capture_output=True, timeout=60).returncode != 0
