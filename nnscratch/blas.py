"""Which matrix product is under NumPy, how fast it is here, and whether a faster one is at hand.

Nearly all of the time of a neural network goes into products of matrices, and NumPy leaves them to a BLAS library. The
one in its wheels, OpenBLAS, holds a *kernel* for each family of processors and picks one when it is loaded. A processor
younger than the library may get a kernel that leaves half of its speed unused: OpenBLAS 0.3.31 gives Zen 5 the Haswell
kernels, without AVX-512. The environment variable OPENBLAS_CORETYPE names another; it must be there before NumPy is
imported. ``import nnscratch`` leaves everyone's environment alone. The ``nnscratch`` command, whose process is its own,
starts once more with the variable set where that is sure to be right (:func:`better_kernel`).

This file is also a script, which measures one kernel and prints JSON; it imports nothing of the package for that.
"""

from __future__ import annotations

import contextlib
import ctypes
import json
import os
import platform
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np

AVX2 = frozenset({"avx2", "fma"})
AVX512 = AVX2 | {"avx512f", "avx512dq", "avx512bw", "avx512vl", "avx512cd"}
KERNELS = {  # OpenBLAS's names, and the instructions that each needs, as /proc/cpuinfo names them
    "Haswell": AVX2,
    "Zen": AVX2,
    "SkylakeX": AVX512,
    "Cooperlake": AVX512 | {"avx512_bf16"},
    "SapphireRapids": AVX512 | {"avx512_bf16", "amx_tile", "amx_bf16"},
}
VARIABLE = "OPENBLAS_CORETYPE"
OURS = "NNSCRATCH_SET_CORETYPE"  # says, to the process that the command started anew, who set VARIABLE
PRODUCTS = {"2048 x 2048 @ 2048 x 2048": (2048, 2048, 2048), "2048 x 512 @ 512 x 20": (2048, 512, 20)}
WORTH = 1.15  # a kernel this much faster is worth a word; less may be noise


@dataclass(frozen=True)
class Processor:
    """What the system says about the processor; without /proc/cpuinfo, flags are not known."""

    name: str
    flags: frozenset[str] = frozenset()
    cores: int = 1


@dataclass(frozen=True)
class Blas:
    """The BLAS library under NumPy; None for what it does not tell."""

    library: str
    version: str | None = None
    kernel: str | None = None
    threads: int | None = None
    path: str | None = None


# --- what is there ---------------------------------------------------------------------------------------------------


def parse_cpuinfo(text: str) -> tuple[str, frozenset[str]]:
    """The processor's name and instruction flags, from the text of /proc/cpuinfo.

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
    """The processor this runs on, and how many of its cores this process may use."""
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    try:
        name, flags = parse_cpuinfo(Path("/proc/cpuinfo").read_text(encoding="utf-8", errors="replace"))
    except OSError:
        name, flags = platform.processor() or platform.machine(), frozenset()
    return Processor(name, flags, cores)


def parse_openblas_config(config: str) -> str | None:
    """The version in what ``openblas_get_config`` says.

    Examples
    --------
    >>> parse_openblas_config("OpenBLAS 0.3.31.188.0  USE64BITINT DYNAMIC_ARCH NO_AFFINITY Haswell MAX_THREADS=64")
    '0.3.31.188.0'
    """
    words = config.split()
    return words[1] if len(words) > 1 and words[0] == "OpenBLAS" else None


def blas() -> Blas:
    """The BLAS under NumPy. OpenBLAS is asked itself; of others only what NumPy was built with is known."""
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
    """Paths of OpenBLAS as this process loaded it: by the system's own list, else beside NumPy, where wheels put it."""
    try:
        mapped = Path("/proc/self/maps").read_text(encoding="utf-8", errors="replace")
        paths = {line.split(maxsplit=5)[5] for line in mapped.splitlines() if "blas" in line.rpartition("/")[2].lower()}
        return sorted(paths, key=lambda path: ("numpy" not in path, path))  # SciPy may have loaded one of its own
    except OSError:
        home = Path(np.__file__).parent
        return [str(p) for d in (home.parent / "numpy.libs", home / ".dylibs") for p in d.glob("*openblas*")]


def _function(library: ctypes.CDLL, name: str, result: type | None, *arguments: type) -> Callable[..., Any] | None:
    """One of OpenBLAS's own functions, under whichever of its names this build has."""
    for form in ("scipy_openblas_{}64_", "scipy_openblas_{}", "openblas_{}64_", "openblas_{}"):
        function = getattr(library, form.format(name), None)
        if function is not None:
            function.restype, function.argtypes = result, list(arguments)
            return function
    return None


def thread_setting() -> tuple[Callable[[], int], Callable[[int], None]] | None:
    """How to ask the OpenBLAS under NumPy for its number of threads, and how to set it; None for another library."""
    for path in _candidate_libraries():
        with contextlib.suppress(OSError):
            library = ctypes.CDLL(path)
            ask = _function(library, "get_num_threads", ctypes.c_int)
            tell = _function(library, "set_num_threads", None, ctypes.c_int)
            if ask is not None and tell is not None:
                return ask, tell
    return None


def _ask_openblas(path: str) -> Blas | None:
    try:
        library = ctypes.CDLL(path)  # loaded already: this only finds it again
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
    """The kernels whose instructions the processor has: no other may ever be tried, it would crash."""
    return [name for name, needed in KERNELS.items() if needed <= flags]


def better_kernel(flags: frozenset[str], kernel: str | None, environment: Mapping[str, str]) -> str | None:
    """The kernel that the command should ask for, or None to leave everything as it is.

    Only where OpenBLAS took AVX2 kernels on a processor that has AVX-512, and the user has not named one.

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
    """Run this very command again with OPENBLAS_CORETYPE set, if that is better; otherwise return at once.

    The process keeps its number, its terminal and its signals: the shell sees one command. It costs a second start of
    Python, and only on machines where it pays. Only on Linux, where the processor's instructions can be read (and
    where a process can be replaced, which Windows cannot do).
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
    """GFLOP/s (10^9 floating-point operations a second) of float32 products of two sizes, the best of several.

    The large square one shows what the machine can do; the other is what an LSTM does at every step.
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
    """Which kernel a new process gets that asks for `name` (None: asks for nothing), and its speeds; None if it fails.

    The processor must have the instructions: see `usable_kernels`.
    """
    environment = {key: value for key, value in os.environ.items() if key not in (VARIABLE, OURS)}
    if name is not None:
        environment[VARIABLE] = name
    # -P: else this file's folder would be where the child looks first for what NumPy imports
    command = [sys.executable, "-P", __file__, str(seconds)]
    try:
        done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=60, check=True)
        answer = json.loads(done.stdout)
    except (OSError, subprocess.SubprocessError, ValueError):
        return None
    return answer["kernel"], answer["speeds"]


def compare_kernels(flags: frozenset[str], seconds: float = 0.3) -> tuple[str | None, dict[str, dict[str, float]]]:
    """The kernel that OpenBLAS picks by itself, and the speeds of that and of every other usable one.

    Each is measured twice, in turns, and the better speed counts: what disturbs one measurement for a moment, such as
    another program, would otherwise be taken for a slow kernel.
    """
    by_itself = measure_kernel(None, seconds)
    if by_itself is None:
        return None, {}
    own = by_itself[0]
    others = [name for name in usable_kernels(flags) if name.lower() != (own or "").lower()]
    results: dict[str, dict[str, float]] = {} if own is None else {own: by_itself[1]}
    for name in (*others, None, *others):
        measured = measure_kernel(name, seconds)
        if measured is None or measured[0] is None or (name is not None and measured[0].lower() != name.lower()):
            continue  # a library built without this kernel answers with another
        so_far = results.setdefault(measured[0], measured[1])
        results[measured[0]] = {product: max(speed, so_far[product]) for product, speed in measured[1].items()}
    return own, results


def faster_kernel(own: str | None, results: Mapping[str, Mapping[str, float]]) -> str | None:
    """The kernel that is clearly faster than `own`, over all products together, if there is one.

    Examples
    --------
    >>> faster_kernel("Haswell", {"Haswell": {"square": 216.0}, "SkylakeX": {"square": 427.0}})
    'SkylakeX'
    >>> faster_kernel("SkylakeX", {"Haswell": {"square": 216.0}, "SkylakeX": {"square": 427.0}})
    """

    def gain(name: str) -> float:  # the geometric mean of the gains
        gains = [results[name][product] / results[own][product] for product in results[own]]
        return float(np.prod(gains)) ** (1 / len(gains))

    if own not in results:
        return None
    best = max(results, key=gain)
    return best if gain(best) >= WORTH else None


# --- what `nnscratch info` prints -------------------------------------------------------------------------------------


def report(version: str, devices: Sequence[str], seconds: float = 0.3) -> str:
    """Versions, processor, BLAS, devices, how fast products run, and what could be better."""
    cpu, library = processor(), blas()
    lines = [
        f"nnscratch   {version}",
        f"python      {platform.python_version()}, {platform.system()} {platform.machine()}",
        f"processor   {cpu.name}, {cpu.cores} core{'s' * (cpu.cores != 1)} to use{instructions(cpu.flags)}",
        f"numpy       {np.__version__}",
        f"BLAS        {describe(library)}",
        *(f"{'device' if k == 0 else '':<11} {device}" for k, device in enumerate(devices)),
        "",
        "float32 products, GFLOP/s" + "".join(f"{name:>28}" for name in PRODUCTS),
    ]
    here, own, results = measure(seconds), None, {}
    if library.kernel is None:
        lines.append(row("here", here))
        lines += [
            "",
            f"NumPy's BLAS is {library.library}: it does not say which kernel it uses, and none can be chosen.",
        ]
        return "\n".join(lines)
    if usable_kernels(cpu.flags):
        own, results = compare_kernels(cpu.flags, seconds)
    if not results:
        lines.append(row(f"kernel {library.kernel}", here))
        return "\n".join(lines)
    for name, speeds in results.items():
        lines.append(row(f"kernel {name}{' (in use)' if name == library.kernel else ''}", speeds))
    lines += ["", advice(own, library.kernel, results, os.environ)]
    if is_busy(cpu.cores):
        lines.append("Other programs are running: these speeds say little. Measure again when the machine is quiet.")
    return "\n".join(lines)


def is_busy(cores: int) -> bool:
    """Whether, over the last minute, other programs than this one wanted half of the cores or more."""
    return hasattr(os, "getloadavg") and os.getloadavg()[0] > 0.5 * cores


def row(name: str, speeds: Mapping[str, float]) -> str:
    return f"  {name:<23}" + "".join(f"{speeds[product]:>28.0f}" for product in PRODUCTS)


def describe(library: Blas) -> str:
    """A BLAS library in words."""
    kernel = None if library.kernel is None else f"kernel {library.kernel}"
    threads = None if library.threads is None else f"{library.threads} thread{'s' * (library.threads != 1)}"
    name = library.library + (f" {library.version}" if library.version else "")
    return ", ".join(part for part in (name, kernel, threads, library.path) if part)


def instructions(flags: frozenset[str]) -> str:
    if not flags:
        return ""
    names = {"AVX2": AVX2, "AVX-512": AVX512, "AMX": {"amx_tile"}}
    found = [name for name, needed in names.items() if needed <= flags]
    return f", {' '.join(found)}" if found else ""


def advice(
    own: str | None,
    in_use: str | None,
    results: Mapping[str, Mapping[str, float]],
    environment: Mapping[str, str],
) -> str:
    """One or two sentences on what to do about the kernel."""
    better = faster_kernel(own, results)
    if environment.get(OURS):
        said = f"OpenBLAS by itself picks {own} here; the nnscratch command has asked it for {in_use}."
    elif VARIABLE in environment:
        said = f"{VARIABLE}={environment[VARIABLE]} is set in your environment; by itself OpenBLAS picks {own}."
    elif better is None:
        return f"OpenBLAS picked {own} by itself, and no kernel this processor can run is clearly faster."
    else:
        said = f"OpenBLAS by itself picks {own}."
    if better is None:
        return said + " No kernel is clearly faster than its own choice."
    return (
        f"{said} {better} is faster. For programs of your own, set it before Python starts:\n"
        f"    export {VARIABLE}={better}\n"
        f"or before anything imports NumPy: os.environ[{VARIABLE!r}] = {better!r}"
    )


if __name__ == "__main__":
    print(json.dumps({**asdict(blas()), "speeds": measure(float(sys.argv[1]))}))
