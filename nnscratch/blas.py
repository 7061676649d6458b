"""BLAS: which library computes NumPy's matrix products, how fast it is on this machine, and whether it could be faster.

A neural network spends nearly all of its time in matrix products, and NumPy calls a BLAS library for them. The library
in NumPy's wheels is OpenBLAS. It contains several *kernels*, each written for one family of processors, and picks one
of them when it is loaded. On a processor newer than the library, OpenBLAS may pick a kernel with half of the possible
speed. For example, on Zen 5, OpenBLAS 0.3.31 picks the Haswell kernel, which does not use AVX-512. The environment
variable OPENBLAS_CORETYPE selects another kernel. It must be set before NumPy is imported.

``import nnscratch`` does not change the environment. The ``nnscratch`` command restarts itself with this variable set,
if the processor can certainly run a better kernel (:func:`better_kernel`).

This file is also a script that measures one kernel and prints JSON. A script cannot use relative imports, so this file
imports nothing from the package.
"""

from __future__ import annotations

import contextlib
import json
import os
import platform
import subprocess
import sys
import time
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np

try:
    import ctypes
except ImportError:  # some Pythons in browsers have no ctypes and cannot call a library
    ctypes = None

AVX2 = frozenset({"avx2", "fma"})
AVX512 = AVX2 | {"avx512f", "avx512dq", "avx512bw", "avx512vl", "avx512cd"}
KERNELS = {  # OpenBLAS's name of each kernel, and the instruction flags in /proc/cpuinfo that this kernel needs
    "Haswell": AVX2,
    "Zen": AVX2,
    "SkylakeX": AVX512,
    "Cooperlake": AVX512 | {"avx512_bf16"},
    "SapphireRapids": AVX512 | {"avx512_bf16", "amx_tile", "amx_bf16"},
}
VARIABLE = "OPENBLAS_CORETYPE"
OURS = "NNSCRATCH_SET_CORETYPE"  # set if the command has set VARIABLE and restarted
LARGE = 256 if sys.platform == "emscripten" else 2048  # in a browser, a product of size 2048 takes minutes
PRODUCTS = {f"{LARGE} x {LARGE} @ {LARGE} x {LARGE}": (LARGE, LARGE, LARGE), "2048 x 512 @ 512 x 20": (2048, 512, 20)}
WORTH = 1.15  # report a kernel only if it is faster by this factor: a gain below it may be noise


@dataclass(frozen=True)
class Processor:
    """The processor. Without /proc/cpuinfo, `flags` is empty."""

    name: str
    flags: frozenset[str] = frozenset()
    cores: int = 1


@dataclass(frozen=True)
class Blas:
    """The BLAS library of NumPy. A value is None if it is not known."""

    library: str
    version: str | None = None
    kernel: str | None = None
    threads: int | None = None
    path: str | None = None


# --- the processor and the library -----------------------------------------------------------------------------------


def parse_cpuinfo(text: str) -> tuple[str, frozenset[str]]:
    """Return the processor's name and instruction flags from the text of /proc/cpuinfo.

    Examples
    --------
    >>> name, flags = parse_cpuinfo("model name : Fast CPU\\nflags : fpu avx2 fma\\n")
    >>> name, sorted(flags)
    ('Fast CPU', ['avx2', 'fma', 'fpu'])
    """
    fields: dict[str, str] = {}
    for line in text.splitlines():
        name, colon, value = line.partition(":")
        if colon:
            fields.setdefault(name.strip(), value.strip())
    flags = fields.get("flags") or fields.get("Features") or ""  # x86, ARM
    return fields.get("model name") or "unknown", frozenset(flags.split())


def processor() -> Processor:
    """Return the processor of this machine and the number of cores that this process may use."""
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    try:
        name, flags = parse_cpuinfo(Path("/proc/cpuinfo").read_text(encoding="utf-8", errors="replace"))
    except OSError:
        name, flags = platform.processor() or platform.machine(), frozenset()
    return Processor(name, flags, cores)


def parse_openblas_config(config: str) -> str | None:
    """Return the version in the result of ``openblas_get_config``.

    Examples
    --------
    >>> parse_openblas_config("OpenBLAS 0.3.31.188.0  USE64BITINT DYNAMIC_ARCH NO_AFFINITY Haswell MAX_THREADS=64")
    '0.3.31.188.0'
    """
    words = config.split()
    return words[1] if len(words) > 1 and words[0] == "OpenBLAS" else None


def blas() -> Blas:
    """Return the BLAS library of NumPy.

    OpenBLAS reports its kernel and threads. For other libraries, only the name and the version in NumPy's build
    configuration are known.
    """
    for path in _candidate_libraries():
        found = _ask_openblas(path)
        if found is not None:
            return found
    try:
        built = np.show_config(mode="dicts")["Build Dependencies"]["blas"]
    except (KeyError, TypeError):
        return Blas("unknown")
    name, version = str(built.get("name", "unknown")), built.get("version")
    known = {"accelerate": "Apple Accelerate", "mkl": "Intel MKL", "blis": "BLIS"}
    return Blas(next((full for short, full in known.items() if short in name.lower()), name), version)


def _candidate_libraries() -> list[str]:
    """Return the paths of the OpenBLAS libraries that this process has loaded.

    On Linux, /proc/self/maps lists them. On other systems, look in the folders of NumPy's wheels.
    """
    if ctypes is None:
        return []
    try:
        mapped = Path("/proc/self/maps").read_text(encoding="utf-8", errors="replace")
        paths = {line.split(maxsplit=5)[5] for line in mapped.splitlines() if "blas" in line.rpartition("/")[2].lower()}
        return sorted(paths, key=lambda path: ("numpy" not in path, path))  # NumPy's library before SciPy's
    except OSError:
        home = Path(np.__file__).parent
        return [str(p) for d in (home.parent / "numpy.libs", home / ".dylibs") for p in d.glob("*openblas*")]


def _function(library: ctypes.CDLL, name: str, result: type | None, *arguments: type) -> Callable[..., Any] | None:
    """Return a function of OpenBLAS, or None if the library lacks it. Its full name depends on the build."""
    for form in ("scipy_openblas_{}64_", "scipy_openblas_{}", "openblas_{}64_", "openblas_{}"):
        function = getattr(library, form.format(name), None)
        if function is not None:
            function.restype, function.argtypes = result, list(arguments)
            return function
    return None


def thread_setting() -> tuple[Callable[[], int], Callable[[int], None]] | None:
    """Return OpenBLAS's functions that get and set its number of threads, or None if NumPy uses another library."""
    for path in _candidate_libraries():
        with contextlib.suppress(OSError):
            library = ctypes.CDLL(path)
            get_threads = _function(library, "get_num_threads", ctypes.c_int)
            set_threads = _function(library, "set_num_threads", None, ctypes.c_int)
            if get_threads is not None and set_threads is not None:
                return get_threads, set_threads
    return None


def _ask_openblas(path: str) -> Blas | None:
    try:
        library = ctypes.CDLL(path)  # this returns the library that is already loaded
    except OSError:
        return None

    def call(name: str, result: type) -> object:
        function = _function(library, name, result)
        return None if function is None else function()

    config = call("get_config", ctypes.c_char_p)
    if config is None:
        return None
    core, threads = call("get_corename", ctypes.c_char_p), call("get_num_threads", ctypes.c_int)
    kernel = core.decode() if core else None
    return Blas("OpenBLAS", parse_openblas_config(config.decode()), kernel, threads, os.path.basename(path))


# --- which kernel ----------------------------------------------------------------------------------------------------


def usable_kernels(flags: frozenset[str]) -> list[str]:
    """Return the kernels whose instructions the processor has. Any other kernel would crash the process."""
    return [name for name, needed in KERNELS.items() if needed <= flags]


def better_kernel(flags: frozenset[str], kernel: str | None, environment: Mapping[str, str]) -> str | None:
    """Return the kernel that the command should select, or None to keep OpenBLAS's choice.

    The result is a kernel only if OpenBLAS picked an AVX2 kernel on a processor with AVX-512, and the environment does
    not name a kernel.

    Examples
    --------
    >>> better_kernel(AVX512, "Haswell", {})
    'SkylakeX'
    >>> better_kernel(AVX512, "Haswell", {"OPENBLAS_CORETYPE": "Haswell"}), better_kernel(AVX2, "Haswell", {})
    (None, None)
    """
    if VARIABLE in environment or kernel is None or kernel.lower() not in ("haswell", "zen"):
        return None
    return "SkylakeX" if flags >= AVX512 else None


def restart_with_better_kernel() -> None:
    """Restart this command with OPENBLAS_CORETYPE set, if another kernel makes the products faster. Otherwise return.

    The new program replaces this one in the same process, so the shell still sees one command. The cost is a second
    start of Python. This works only on Linux, where the processor's instructions can be read and a process can be
    replaced.
    """
    if not sys.platform.startswith("linux") or VARIABLE in os.environ:
        return
    kernel = better_kernel(processor().flags, blas().kernel, os.environ)
    if kernel is not None and sys.executable and len(sys.orig_argv) > 1:
        sys.stdout.flush()
        sys.stderr.flush()
        os.execve(sys.executable, [sys.executable, *sys.orig_argv[1:]], {**os.environ, VARIABLE: kernel, OURS: "1"})


# --- how fast --------------------------------------------------------------------------------------------------------


def measure(seconds: float = 0.3) -> dict[str, float]:
    """Measure the speed of two float32 products in GFLOP/s, 10^9 floating-point operations per second.

    The large square product shows the limit of the machine. The other product occurs in each step of an LSTM. The
    result is the best of all repetitions; `seconds` is the time for each product.
    """
    speeds = {}
    for name, (m, k, n) in PRODUCTS.items():
        rng = np.random.default_rng(0)
        a, b = (rng.standard_normal(shape, dtype=np.float32) for shape in ((m, k), (k, n)))
        out = np.empty((m, n), dtype=np.float32)
        np.matmul(a, b, out=out)
        best, end = float("inf"), time.perf_counter() + seconds
        while best == float("inf") or time.perf_counter() < end:
            start = time.perf_counter()
            np.matmul(a, b, out=out)
            best = min(best, time.perf_counter() - start)
        speeds[name] = 2 * m * k * n / best / 1e9
    return speeds


def measure_kernel(name: str | None, seconds: float = 0.3) -> tuple[str | None, dict[str, float]] | None:
    """Measure a kernel in a new process.

    Parameters
    ----------
    name : str or None
        One of `usable_kernels`, or None for the kernel that OpenBLAS picks.
    seconds : float
        The time for each product.

    Returns
    -------
    (str or None, dict) or None
        The kernel that OpenBLAS used and its speeds, or None if the process failed.
    """
    environment = {key: value for key, value in os.environ.items() if key not in (VARIABLE, OURS)}
    if name is not None:
        environment[VARIABLE] = name
    # Without -P, this file's folder would come first on the path of the new process, and could hide other modules.
    command = [sys.executable, "-P", __file__, str(seconds)]
    try:
        done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=60, check=True)
        answer = json.loads(done.stdout)
    except (OSError, subprocess.SubprocessError, ValueError):
        return None
    return answer["kernel"], answer["speeds"]


def compare_kernels(flags: frozenset[str], seconds: float = 0.3) -> tuple[str | None, dict[str, dict[str, float]]]:
    """Return the kernel that OpenBLAS picks, and the speeds of that kernel and of all other usable kernels.

    Each kernel is measured twice, in turns with the other kernels. The result is the better speed, because another
    program may slow down one of the measurements.
    """
    default = measure_kernel(None, seconds)
    if default is None:
        return None, {}
    own = default[0]
    others = [name for name in usable_kernels(flags) if name.lower() != (own or "").lower()]
    results: dict[str, dict[str, float]] = {} if own is None else {own: default[1]}
    for name in (*others, None, *others):
        measured = measure_kernel(name, seconds)
        if measured is None or measured[0] is None or (name is not None and measured[0].lower() != name.lower()):
            continue  # OpenBLAS uses another kernel if it was built without this one
        so_far = results.setdefault(measured[0], measured[1])
        results[measured[0]] = {product: max(speed, so_far[product]) for product, speed in measured[1].items()}
    return own, results


def faster_kernel(own: str | None, results: Mapping[str, Mapping[str, float]]) -> str | None:
    """Return the fastest kernel if its mean speedup over `own` is clearly above 1, else None.

    Examples
    --------
    >>> faster_kernel("Haswell", {"Haswell": {"square": 216.0}, "SkylakeX": {"square": 427.0}})
    'SkylakeX'
    >>> faster_kernel("SkylakeX", {"Haswell": {"square": 216.0}, "SkylakeX": {"square": 427.0}})
    """

    def gain(name: str) -> float:
        """Return the geometric mean of the speedups."""
        gains = [results[name][product] / results[own][product] for product in results[own]]
        return float(np.prod(gains)) ** (1 / len(gains))

    if own not in results:
        return None
    best = max(results, key=gain)
    return best if gain(best) >= WORTH else None


if __name__ == "__main__":
    print(json.dumps({**asdict(blas()), "speeds": measure(float(sys.argv[1]))}))
