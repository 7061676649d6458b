"""Measure training while another program uses one of the cores.

    python -m benchmarks.busy           takes about 5 minutes on two cores; writes busy.md and busy.json in
                                        docs/performance

For each job, a process trains for a few seconds on a quiet machine. Then it starts a program that keeps the last core
busy, and trains for a few seconds more:

    fit                nn.Trainer, which keeps using a thread for each core
    nnscratch train    the same with the callback OneThreadIfBusy, which that command uses
    PyTorch            the same job

The second table compares products with one thread and with a thread for each core: OpenBLAS itself computes a very
small product with one thread.
"""

from __future__ import annotations

import argparse
import contextlib
import importlib
import json
import os
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np

from nnscratch import blas, launch
from nnscratch.bench import report, runner
from nnscratch.bench.jobs import JOBS
from nnscratch.training.busy_cores import SLOW, OneThreadIfBusy

from .libraries import ROOT

KEYS = ("c", "d", "a", "e", "f", "j")
VARIANTS = {"fit": "nnscratch", "nnscratch train": "nnscratch", "PyTorch": "torch"}  # title: library
MODULES = {"nnscratch": "nnscratch.bench.ours", "torch": "nnscratch.bench.pytorch"}
PRODUCTS = ((64, 16), (128, 16), (128, 32), (256, 20), (256, 50), (512, 20), (512, 50))  # H, N of an LSTM's step
FIRST = 5  # steps that fill the caches and are not counted


@contextlib.contextmanager
def busy_core() -> Iterator[None]:
    """Run a program on the last core of this process inside the block."""
    core = max(os.sched_getaffinity(0))
    code = f"import os; os.sched_setaffinity(0, [{core}])\nwhile True: pass"
    program = subprocess.Popen([sys.executable, "-c", code])
    time.sleep(0.5)  # until it has started
    try:
        yield
    finally:
        program.kill()
        program.wait()


# --- in the process of one variant -----------------------------------------------------------------------------------


def train(variant: str, key: str, seconds: float) -> dict[str, list[float]]:
    """Return the times of the steps on a quiet machine, and with a busy core."""
    job = JOBS[key]
    step = importlib.import_module(MODULES[VARIANTS[variant]]).build(job, "")["step"]
    callback = OneThreadIfBusy()
    after_step = callback.on_step_end if variant == "nnscratch train" else lambda trainer: None
    for _ in range(FIRST):
        step()
    callback.on_fit_start(None)
    found = {"quiet": times(step, after_step, seconds, at_least=5)}
    with busy_core():
        callback.step_began = time.perf_counter()
        found["busy"] = times(step, after_step, seconds, at_least=25)  # the callback needs ten slow steps
    callback.on_fit_end(None)
    return found


def times(step: Callable[[], Any], after_step: Callable[[Any], None], seconds: float, at_least: int) -> list[float]:
    """Run steps for this number of seconds, and `at_least` steps. Return the time of each step."""
    found, end = [], time.perf_counter() + seconds
    while time.perf_counter() < end or len(found) < at_least:
        start = time.perf_counter()
        step()
        found.append(time.perf_counter() - start)
        after_step(None)
    return found


def products(rounds: int) -> list[list[float]]:
    """Return rows of H, N, and the median seconds of W (4H, H) @ h (H, N) with one thread and with all threads."""
    get_threads, set_threads = blas.thread_setting()
    rng, rows, cores = np.random.default_rng(0), [], get_threads()
    for H, N in PRODUCTS:
        W, h = rng.standard_normal((4 * H, H), np.float32), rng.standard_normal((H, N), np.float32)
        out, found = np.empty((4 * H, N), np.float32), {1: [], cores: []}
        for _ in range(rounds):
            for threads, seconds in found.items():
                set_threads(threads)
                time.sleep(runner.REST)
                for _ in range(200):
                    start = time.perf_counter()
                    np.matmul(W, h, out=out)
                    seconds.append(time.perf_counter() - start)
        rows.append([H, N, *map(statistics.median, found.values())])
    return rows


# --- in the process of the command -----------------------------------------------------------------------------------


def start(python: str, *arguments: str) -> Any:
    """Run this module with arguments in a process of its own, with a thread for each core; return what it prints."""
    environment = {k: v for k, v in os.environ.items() if k not in launch.THREADS}
    environment["PYTHONPATH"] = os.pathsep.join([str(ROOT), environment.get("PYTHONPATH", "")])
    command = [python, "-m", "benchmarks.busy", *arguments]
    done = subprocess.run(command, env=environment, capture_output=True, text=True)
    if done.returncode != 0:
        return {"why": (done.stderr.strip().splitlines() or ["no message"])[-1][:200]}
    return json.loads(done.stdout.strip().splitlines()[-1])


def measure_job(key: str, rounds: int, seconds: float, pytorch: str) -> dict[str, Any]:
    found: dict[str, Any] = {"key": key, "title": JOBS[key].title, "turns": {name: [] for name in VARIANTS}, "why": {}}
    for turn in range(rounds):
        for name, library in VARIANTS.items():
            if name in found["why"]:
                continue
            print(f"\r{key}: turn {turn + 1} of {rounds}, {name:<20}", end="", file=sys.stderr, flush=True)
            python = pytorch if library == "torch" else sys.executable
            steps = start(python, "--train", name, key, str(seconds))
            if "why" in steps:
                found["why"][name] = steps["why"]
            else:
                quiet, busy = statistics.median(steps["quiet"]), steps["busy"]
                found["turns"][name].append([quiet, statistics.median(busy), statistics.fmean(busy)])
    return found


def markdown(results: dict[str, Any]) -> str:
    rows = []
    for job in results["jobs"]:
        cells = [f"({job['key']}) {job['title'].removeprefix('train: ')}"]
        for name in VARIANTS:
            turns = np.array(job["turns"][name])
            if len(turns) == 0:
                cells += ["–", "–", "–"]
                continue
            quiet, busy, mean = np.median(turns, axis=0)
            cells += [report.three_digits(quiet * 1e3), f"{busy / quiet:.2f}", f"{mean / quiet:.2f}"]
        rows.append(cells)
    header = ["", *(f"{name}{what}" for name in VARIANTS for what in (": quiet, ms", ": median", ": mean"))]
    missing = sorted({f"{name}: {why}" for job in results["jobs"] for name, why in job["why"].items()})
    small = [
        [f"({4 * H}, {H}) @ ({H}, {N})", f"{4 * H * H * N / 1e6:.2f}", *(f"{s * 1e6:.0f}" for s in seconds)]
        for H, N, *seconds in results["products"]
    ]
    parts = [
        "<!-- Written by python -m benchmarks.busy; do not edit. -->",
        "# Training beside another program",
        "OpenBLAS gives each core a part of a product. If another program uses one of the cores, the part of this core "
        "is late, and the other cores wait for it. `nnscratch train` compares the time of the steps with the usual "
        "time. If steps take more than "
        f"{SLOW:g} times as long, the command prints a message and then uses one thread. In your own program, give the "
        "Trainer the callback `nnscratch.training.busy_cores.OneThreadIfBusy()`.",
        f"Each job trains for {results['seconds']:g} seconds on a quiet machine. Then it trains again, while another "
        f"program keeps one core busy: for {results['seconds']:g} seconds or 25 steps, whichever takes longer. Each "
        "way of training has three columns. The first one is the median time of a quiet step. The other two are the "
        "median and the mean time of a step beside the other program, divided by the first one. The mean includes the "
        "steps before `nnscratch train` has noticed the program. Each number is the median of "
        f"{results['rounds']} turns. " + report.machine(results["machine"]),
        report.table(header, rows),
        *([f"Not measured: {'; '.join(missing)}."] if missing else []),
        "## Small products",
        "It would not help to use one thread for small products only. OpenBLAS already uses one for the smallest "
        "products. The next larger ones are mostly faster with all threads. The table shows how many microseconds a "
        "matrix product in one step of an LSTM takes on the quiet machine. The shapes are (4 H, H) @ (H, N) for H "
        "units and a batch of N sequences:",
        report.table(["product", "million multiplications", "one thread", "all threads"], small),
    ]
    return "\n\n".join(parts) + "\n"


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.busy", description=__doc__.splitlines()[0])
    parser.add_argument("--jobs", default=",".join(KEYS), help="default: %(default)s")
    parser.add_argument("--rounds", type=int, default=3, help="turns of each variant (default: %(default)s)")
    parser.add_argument("--seconds", type=float, default=4.0, help="of quiet steps in a turn (default: %(default)s)")
    parser.add_argument("--pytorch", default=sys.executable, help="a Python that has PyTorch (default: this one)")
    parser.add_argument("--out", type=Path, default=ROOT / "docs" / "performance", help="default: %(default)s")
    parser.add_argument("--train", nargs=3, metavar=("VARIANT", "JOB", "SECONDS"), help=argparse.SUPPRESS)
    parser.add_argument("--products", type=int, metavar="ROUNDS", help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.train:
        variant, key, seconds = arguments.train
        print(json.dumps(train(variant, key, float(seconds))))
        return 0
    if arguments.products:
        print(json.dumps(products(arguments.products)))
        return 0
    results = {
        "schema": 1,
        "machine": runner.describe_machine(None, dict(os.environ)),
        "rounds": arguments.rounds,
        "seconds": arguments.seconds,
        "products": start(sys.executable, "--products", str(arguments.rounds)),
        "jobs": [
            measure_job(key, arguments.rounds, arguments.seconds, arguments.pytorch)
            for key in arguments.jobs.split(",")
        ],
    }
    print(f"\r{'':<60}\r", end="", file=sys.stderr)
    arguments.out.mkdir(parents=True, exist_ok=True)
    (arguments.out / "busy.json").write_text(json.dumps(results, indent=1) + "\n", encoding="utf-8")
    (arguments.out / "busy.md").write_text(markdown(results), encoding="utf-8")
    print(markdown(results))
    return 0


if __name__ == "__main__":
    sys.exit(main())
