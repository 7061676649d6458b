"""Check a GPU in less than ten minutes: every layer against the CPU, the GPU tests, the benchmark and a profile.

    make gpu-check PYTHON=python3          or     python tests/gpu/check_gpu.py --out gpu-check

This installs nothing. The Python that runs it needs CuPy, pytest and hypothesis. With PyTorch for CUDA, the tests and
the benchmark also compare with PyTorch; the profile needs PyTorch. Each part has a time limit, and at the limit a few
seconds to print its failures so far. A part that fails does not stop the others:

    layers      one line for each layer, loss and optimiser: the largest difference between GPU and CPU, in float64
                and in float32, or the error that it raised; the last line has the largest of all            70 s
    tests       tests/gpu on the GPU                                                                        180 s
    bench       nnscratch bench --device cuda                                                               160 s
    profile     python -m benchmarks.gpu_profile: the kernels, copies and waits of a training step          100 s

The folder then holds a file of text for each part, bench/_gpu.md and summary.txt. The exit code is 1 if a part failed.

``--stand-in`` runs the first two parts on the stand-in for CuPy instead of a GPU. It tests this script.
"""

from __future__ import annotations

import argparse
import contextlib
import importlib.util
import math
import os
import platform
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[2]
SHARED = str(ROOT / "tests" / "shared")
LIMITS = {"layers": 70, "tests": 180, "bench": 160, "profile": 100}  # seconds
GRACE = 20  # seconds to end after Ctrl-C; pytest-xdist waits 10 s for its workers


# --- the part "layers" -----------------------------------------------------------------------------------------------


def leaves(nest: Any) -> list[Any]:
    return [leaf for inner in nest for leaf in leaves(inner)] if isinstance(nest, tuple) else [nest]


def like(nest: Any, make: Callable) -> Any:
    return tuple(like(inner, make) for inner in nest) if isinstance(nest, tuple) else make(nest)


def layer_results(case: Any, device: str, dtype: Any) -> Any:
    """Return the outputs and all gradients of a layer."""
    import numpy as np

    from nnscratch import backend

    def move(a: Any) -> Any:
        return backend.to_device(a.astype(dtype) if a.dtype.kind == "f" else a, device)

    rng = np.random.default_rng(0)
    layer = case.build().to(device, dtype=dtype)
    y = layer(*like(case.inputs(rng), move))
    dy = like(y, lambda a: move(rng.normal(size=a.shape)))
    dx = layer.backward(*dy) if isinstance(dy, tuple) else layer.backward(dy)
    return y, dx, tuple(p.grad for p in layer.parameters())


def loss_results(case: Any, device: str, dtype: Any) -> Any:
    """Return a loss and its gradient."""
    import numpy as np

    from nnscratch import backend

    inputs = case.inputs(np.random.default_rng(0))
    arrays = [a.astype(dtype) if a.dtype.kind == "f" else a for a in inputs]
    criterion = case.build()
    loss = criterion(*(backend.to_device(a, device) for a in arrays))
    return np.array(loss), criterion.backward()


def optimizer_results(cls: type, settings: dict, device: str, dtype: Any) -> Any:
    """Return the weights after two steps, with gradients that are clipped."""
    import nnscratch as nn

    layer = nn.Linear(70, 30, rng=0).to(device, dtype=dtype)
    optimizer = cls(layer.parameters(), **{"lr": 0.1, **settings})
    for _ in range(2):
        for p in layer.parameters():
            p.grad[...] = p.data
        nn.optim.clip_grad_norm_(layer.parameters(), 1.0)
        optimizer.step()
    return tuple(p.data for p in layer.parameters())


def difference(results: Callable[[str, Any], Any], dtype: Any) -> float:
    """Return the largest difference between "cuda" and "cpu", relative to 1 + the largest value of the array."""
    import numpy as np

    from nnscratch import backend

    here, there = (
        [backend.to_numpy(a).astype(np.float64) for a in leaves(results(device, dtype)) if a is not None]
        for device in ("cpu", "cuda")
    )
    errors = [abs(a - b).max(initial=0) / (1 + abs(a).max(initial=0)) for a, b in zip(here, there, strict=True)]
    return float(np.max(errors))  # NaN if one is NaN


def line(name: str, results: Callable[[str, Any], Any]) -> tuple[bool, list[float], str]:
    """Compare in both dtypes; return True if the results agree, the difference for each dtype, and a line of text."""
    import numpy as np

    start, parts, errors, ok = time.time(), [], [], True
    for dtype, tolerance in ((np.float64, 1e-9), (np.float32, 1e-4)):
        try:
            error = difference(results, dtype)
            good, text = error <= tolerance, f"{error:.0e}"
        except Exception as problem:  # a layer that fails must not hide the others
            error, good, text = float("nan"), False, " ".join(repr(problem).split())[:300]
        ok &= good
        errors.append(error)
        parts.append(text if good else f"WRONG {text}")
    return ok, errors, f"{name:<60} {parts[0]}   {parts[1]}   {time.time() - start:.1f} s"


def largest_differences(every: dict[str, list[float]]) -> list[str]:
    """Return a line for each dtype. An error, and a NaN, is larger than every number."""
    lines = []
    for k, dtype in enumerate(("float64", "float32")):
        name = max(every, key=lambda name: (math.isnan(every[name][k]), every[name][k]))  # noqa: B023 (called here)
        lines.append(f"largest difference in {dtype}: {every[name][k]:.0e} ({name})")
    return lines


def comparisons() -> Iterator[tuple[str, Callable[[str, Any], Any]]]:
    """Yield the name and the function of every layer, loss and optimiser of tests/shared/cases.py."""
    from cases import LAYERS, LOSSES, OPTIMIZERS

    for table, results in ((LAYERS, layer_results), (LOSSES, loss_results)):
        for cases in table.values():
            for case in cases:
                yield repr(case), lambda device, dtype, case=case, f=results: f(case, device, dtype)
    for cls, several in OPTIMIZERS.items():
        for s in several:
            yield f"{cls.__name__} {s}", lambda device, dtype, cls=cls, s=s: optimizer_results(cls, s, device, dtype)


def check_layers(stand_in: bool) -> int:
    """Print one line for each comparison; return the exit code, 1 if a result is wrong."""
    sys.path[:0] = [str(ROOT), SHARED]
    import strict_cupy

    with strict_cupy.installed() if stand_in else contextlib.nullcontext():
        from nnscratch import backend

        print(f"Python {platform.python_version()}", *backend.devices(), sep="\n")
        try:
            backend.module_for("cuda")
        except backend.DeviceError as error:
            print(error)
            return 1
        wrong, every = [], {}
        for name, results in comparisons():
            ok, errors, text = line(name, results)
            print(text, flush=True)
            if not ok:
                wrong.append(name)
            every[name] = errors
    print(*largest_differences(every), sep="\n")
    print(f"wrong: {', '.join(wrong)}" if wrong else "all agree with the CPU")
    return 1 if wrong else 0


# --- the four parts --------------------------------------------------------------------------------------------------


def commands(out: Path, stand_in: bool) -> dict[str, list[str]]:
    """Return the command of each part."""
    python, here = [sys.executable, "-u"], str(Path(__file__).resolve())
    parallel = ["-n", "8"] if importlib.util.find_spec("xdist") and not stand_in else []
    tests = ["-m", "pytest", str(ROOT / "tests" / "gpu"), "-q", "-rs", "-p", "no:cacheprovider", "--durations=9"]
    tests += ["-p", "no:benchmark"]  # if installed, pytest-benchmark warns beside xdist, and warnings are errors here
    bench = ["-m", "nnscratch", "bench", "--device", "cuda", "--out", str(out / "bench")]
    return {
        "layers": [*python, here, "--layers", *(["--stand-in"] if stand_in else [])],
        "tests": [*python, *tests, *parallel, "-m", "not gpu" if stand_in else "gpu"],
        "bench": [*python, *bench],
        "profile": [*python, "-m", "benchmarks.gpu_profile"],
    }


def run_part(name: str, command: list[str], out: Path) -> tuple[bool, str]:
    """Run one part into its file; return True if it passed, and a line for the summary."""
    environment = os.environ | {"PYTHONPATH": str(ROOT), "NNSCRATCH_REQUIRE_GPU": "1", "MPLBACKEND": "Agg"}
    environment.setdefault("OMP_NUM_THREADS", "2")
    path, start = out / f"{name}.txt", time.time()
    with path.open("w", encoding="utf-8") as file:
        process = subprocess.Popen(command, cwd=ROOT, env=environment, stdout=file, stderr=subprocess.STDOUT)
        try:
            code = process.wait(LIMITS[name])
            result = "passed" if code == 0 else f"FAILED with exit code {code}"
        except subprocess.TimeoutExpired:
            result = f"STOPPED after {LIMITS[name]} s"
            interrupt(process)
        finally:
            process.kill()
            process.wait()
    return result == "passed", f"{name:<8} {result}, {time.time() - start:.0f} s: {path}"


def interrupt(process: subprocess.Popen) -> None:
    """Send Ctrl-C and wait: pytest then prints the failures so far, and the benchmark ends its workers."""
    if os.name == "posix":
        process.send_signal(signal.SIGINT)
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(GRACE)


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, default=Path("gpu-check"), help="folder for the results (gpu-check)")
    parser.add_argument("--parts", default=",".join(LIMITS), help="the parts to run (layers,tests,bench,profile)")
    parser.add_argument("--stand-in", action="store_true", help="test this script without a GPU: layers and tests")
    parser.add_argument("--layers", action="store_true", help="run the part layers in this process")
    options = parser.parse_args(arguments)
    if options.layers:
        return check_layers(options.stand_in)
    signal.signal(signal.SIGINT, signal.default_int_handler)  # a background job ignores Ctrl-C, and so would its parts
    parts = options.parts.split(",")
    if not set(parts) <= set(LIMITS):
        parser.error(f"the parts are {', '.join(LIMITS)}, got {options.parts}")
    out = options.out.resolve()
    out.mkdir(parents=True, exist_ok=True)
    lines, every = [], commands(out, options.stand_in)
    if shutil.which("nvidia-smi"):
        lines += subprocess.run(["nvidia-smi", "-L"], capture_output=True, text=True).stdout.splitlines()
    passed = []
    for name in parts:
        if name in ("bench", "profile") and options.stand_in:
            continue  # these are for hardware
        ok, text = run_part(name, every[name], out)
        passed.append(ok)
        tail = (out / f"{name}.txt").read_text(encoding="utf-8", errors="replace").splitlines()[-20:]
        print(text, *tail, sep="\n    ", flush=True)
        lines.append(text)
    (out / "summary.txt").write_text("\n".join(lines) + "\n", encoding="utf-8")
    print("", *lines, sep="\n")
    return 0 if all(passed) else 1


if __name__ == "__main__":
    sys.exit(main())
