"""Measure training on two ranks, and predict it for more ranks and for networks.

    python -m benchmarks.ranks          takes about 12 minutes on two cores; writes ranks.md and ranks.json in
                                        docs/performance

For each job, these take turns, each in its own processes. Every turn gives the median of its steps; the tables show the
medians of all turns, and the medians of the ratios within a turn.

    all cores       one process with a thread for each core
    one core        one process with one thread
    half            the same, with half of the rows of each batch: the work of one of two ranks without messages
    two ranks       two processes with one thread each, started with mpiexec
    PyTorch         one process with a thread for each core, and two processes with DistributedDataParallel (gloo)

The time of a step on p ranks is

    T(p) = a + b/p + 3 L(p) + 2 (p - 1)/p bytes / bandwidth             L(p) = 2 log2(p) latency

a + b is the time on one core, and a + b/2 the time with half of the rows: b is the work that the ranks divide. A ring
of p ranks sends each byte of the gradient 2 (p - 1)/p times. The ranks also form a tree of log2(p) levels. A step has
three messages (the table of the losses, the gradients, the reasons to stop), and each of them goes up and down this
tree.
"""

from __future__ import annotations

import argparse
import json
import math
import os
import statistics
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from nnscratch import blas, launch
from nnscratch.bench import report, runner
from nnscratch.bench.jobs import JOBS, Job, parameter_shapes

from .libraries import ROOT

KEYS = ("c", "d", "a", "j")
RANKS = (2, 4, 8, 16, 32, 64)
NETWORKS = {"1 Gb/s": (50e-6, 1e9 / 8), "10 Gb/s": (20e-6, 1e10 / 8), "100 Gb/s": (3e-6, 1e11 / 8)}  # latency, bytes/s
VARIANTS = {  # title: library, processes, all cores, half of the rows
    "all cores": ("nnscratch", 1, True, False),
    "one core": ("nnscratch", 1, False, False),
    "half": ("nnscratch", 1, False, True),
    "two ranks": ("nnscratch", 2, False, False),
    "PyTorch": ("torch", 1, True, False),
    "PyTorch DDP": ("torch", 2, False, False),
}


# --- measuring -------------------------------------------------------------------------------------------------------


def start(variant: str, job: Job, steps: int, pytorch: str) -> dict[str, Any]:
    """Run one turn of a variant; return what rank 0 prints, or ``{"why": reason}``."""
    library, processes, all_cores, half = VARIANTS[variant]
    threads = str(blas.processor().cores if all_cores else 1)
    environment = launch.environment(processes) | {name: threads for name in launch.THREADS}
    environment["PYTHONPATH"] = os.pathsep.join([str(ROOT), environment.get("PYTHONPATH", "")])
    rows = [str(job.sizes["batch"] // 2)] if half else []
    arguments = ["-m", "benchmarks.rank_worker", "step", library, job.key, str(steps), *rows]
    if library == "nnscratch":
        commands = [[*(launch.mpiexec(processes) if processes > 1 else []), sys.executable, *arguments]]
        environments = [environment]
    else:
        commands = [[pytorch, *arguments]] * processes
        shared = {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": "29517", "WORLD_SIZE": str(processes)}
        environments = [environment | shared | {"RANK": str(rank)} for rank in range(processes)]
    pipe = subprocess.PIPE
    running = [
        subprocess.Popen(c, env=e, stdout=pipe, stderr=pipe, text=True)
        for c, e in zip(commands, environments, strict=True)
    ]
    outputs = [process.communicate() for process in running]
    for process, (_, errors) in zip(running, outputs, strict=True):
        if process.returncode != 0:
            return {"why": (errors.strip().splitlines() or ["no message"])[-1][:200]}
    return json.loads(outputs[0][0].strip().splitlines()[-1])


def messages() -> list[tuple[int, float]]:
    """Return the time of MPI's sum between two processes of this machine, for several numbers of bytes."""
    command = [*launch.mpiexec(2), sys.executable, "-m", "benchmarks.rank_worker", "messages"]
    done = subprocess.run(command, env=launch.environment(2), cwd=ROOT, capture_output=True, text=True, check=True)
    return [tuple(pair) for pair in json.loads(done.stdout.strip().splitlines()[-1])]


def measure_job(job: Job, rounds: int, seconds: float, pytorch: str) -> dict[str, Any]:
    first = start("all cores", job, 5, pytorch)
    steps = max(5, min(2000, int(seconds / first["median_seconds"])))
    turns: dict[str, list[float]] = {name: [] for name in VARIANTS}
    why: dict[str, str] = {}
    losses: dict[str, float] = {}
    for turn in range(rounds):
        for name in VARIANTS:
            if name in why:
                continue
            print(f"\r{job.key}: turn {turn + 1} of {rounds}, {name:<20}", end="", file=sys.stderr, flush=True)
            found = start(name, job, steps, pytorch)
            if "why" in found:
                why[name] = found["why"]
            else:
                turns[name].append(found["median_seconds"])
                losses[name] = found["loss"]
    if not math.isclose(losses["two ranks"], losses["all cores"], rel_tol=1e-3):
        raise ArithmeticError(f"{job.key}: two ranks computed another loss than one process: {losses}")
    return {"key": job.key, "title": job.title, "steps": steps, "turns": turns, "why": why, "losses": losses}


# --- the model -------------------------------------------------------------------------------------------------------


def bytes_of(job: Job) -> int:
    """Return the bytes of gradients that a rank sends. Of a large embedding, it sends only the rows of its batch."""
    total = 0
    for name, (shape, _) in parameter_shapes(job).items():
        as_rows = name == "embedding.weight" and 2 * job.tokens < shape[0]
        total += job.tokens * (4 * shape[1] + 8) if as_rows else 4 * int(np.prod(shape))
    return total


def fit_messages(points: Sequence[tuple[int, float]]) -> tuple[float, float]:
    """Return the latency in seconds and the bandwidth in bytes per second of a sum on two ranks.

    The time is 2 latency + bytes / bandwidth, by least squares of the relative error.

    Examples
    --------
    >>> latency, bandwidth = fit_messages([(n, 2 * 1e-6 + n / 1e9) for n in (8, 10**4, 10**6, 10**8)])
    >>> round(latency * 1e6, 3), round(bandwidth / 1e9, 3)
    (1.0, 1.0)
    """
    n, t = np.array(points, dtype=float).T
    (latency, inverse), *_ = np.linalg.lstsq(np.stack([2 / t, n / t], axis=1), np.ones(len(t)), rcond=None)
    return max(float(latency), 1e-9), 1 / max(float(inverse), 1e-15)


def seconds_on(p: int, one: float, half: float, size: int, latency: float, bandwidth: float) -> float:
    """Return the predicted time of a step on p ranks; `one` and `half` are the times on one core.

    Examples
    --------
    >>> round(seconds_on(4, one=10.0, half=6.0, size=0, latency=0.0, bandwidth=1.0), 6)     # a = 2, b = 8
    4.0
    >>> seconds_on(2, one=10.0, half=6.0, size=3, latency=0.0, bandwidth=1.0)
    9.0
    """
    b = min(2 * (one - half), one)
    levels = 2 * math.log2(p)
    return one - b + b / p + 3 * levels * latency + 2 * (p - 1) / p * size / bandwidth


def median(job: dict[str, Any], name: str) -> float:
    return statistics.median(job["turns"][name]) if job["turns"][name] else math.nan


def ratio(job: dict[str, Any], name: str, other: str) -> float:
    """Return the median over the turns of the ratio of two variants."""
    pairs = zip(job["turns"][name], job["turns"][other], strict=False)
    ratios = [a / b for a, b in pairs]
    return statistics.median(ratios) if ratios else math.nan


# --- the page --------------------------------------------------------------------------------------------------------


def text(value: float, form: str = ".2f") -> str:
    return "–" if math.isnan(value) else format(value, form)


def milliseconds(seconds: float) -> str:
    return "–" if math.isnan(seconds) else report.three_digits(seconds * 1e3)


def name_of(job: dict[str, Any]) -> str:
    return f"({job['key']}) {job['title'].removeprefix('train: ')}"


def measured_table(jobs: Sequence[dict[str, Any]]) -> str:
    header = ["ms a step", *(name for name in VARIANTS if name != "half")]
    rows = [[name_of(job), *(milliseconds(median(job, name)) for name in header[1:])] for job in jobs]
    return report.table(header, rows)


def ratio_table(jobs: Sequence[dict[str, Any]]) -> str:
    pairs = {
        "two ranks / all cores": ("two ranks", "all cores"),
        "two ranks / PyTorch": ("two ranks", "PyTorch"),
        "two ranks / PyTorch DDP": ("two ranks", "PyTorch DDP"),
        "DDP / PyTorch": ("PyTorch DDP", "PyTorch"),
    }
    return report.table(["", *pairs], [[name_of(j), *(text(ratio(j, *pair)) for pair in pairs.values())] for j in jobs])


def check_table(jobs: Sequence[dict[str, Any]], latency: float, bandwidth: float) -> str:
    rows = []
    for job in jobs:
        size, one, half = bytes_of(JOBS[job["key"]]), median(job, "one core"), median(job, "half")
        predicted, measured = seconds_on(2, one, half, size, latency, bandwidth), median(job, "two ranks")
        numbers = (milliseconds(one), milliseconds(half), f"{size / 2**20:.2f}", milliseconds(predicted))
        rows.append([name_of(job), *numbers, milliseconds(measured), text(predicted / measured)])
    return report.table(["", "one core", "half", "MiB", "T(2)", "measured", "T(2) / measured"], rows)


def prediction_table(jobs: Sequence[dict[str, Any]]) -> str:
    rows = []
    for job in jobs:
        size, one, half = bytes_of(JOBS[job["key"]]), median(job, "one core"), median(job, "half")
        for network, (latency, bandwidth) in NETWORKS.items():
            times = [seconds_on(p, one, half, size, latency, bandwidth) for p in RANKS]
            rows.append([f"({job['key']}) {network}", *(text(one / seconds, ".1f") for seconds in times)])
    return report.table(["speed-up on p ranks", *map(str, RANKS)], rows)


def answer(jobs: Sequence[dict[str, Any]]) -> str:
    """Return one sentence for each job: is training with two processes faster on this machine?"""
    lines = []
    for job in jobs:
        r = ratio(job, "two ranks", "all cores")
        verdict = "They are faster" if r < 0.95 else "They are slower" if r > 1.05 else "They are equally fast"
        lines.append(f"- {name_of(job)}: two ranks take {r:.2f} times as long as one process. {verdict}.")
    return "\n".join(lines)


def markdown(results: dict[str, Any]) -> str:
    jobs, (latency, bandwidth) = results["jobs"], fit_messages(results["messages"])
    missing = sorted({f"{name}: {why}" for job in jobs for name, why in job["why"].items()})
    assumed = ", ".join(f"{name}: {round(seconds * 1e6)} µs" for name, (seconds, _) in NETWORKS.items())
    parts = [
        "<!-- Written by python -m benchmarks.ranks; do not edit. -->",
        "# When are several processes faster than one?",
        "On one machine, one process already uses all cores for its matrix products. Several processes divide all "
        "other work too, but they exchange the gradients in every step. "
        "[Training on several processes](../several-processes.md) shows how to start them.",
        answer(jobs),
        "The jobs have the same batches and the same Adam with clipping in all columns. Times and ratios are medians "
        f"of {results['rounds']} turns. " + report.machine(results["machine"]),
        measured_table(jobs),
        "Ratios of the times (below 1, the first is faster):",
        ratio_table(jobs),
        *([f"Not measured: {'; '.join(missing)}."] if missing else []),
        "## On more ranks",
        "The time of a step on p ranks is predicted as",
        "$$T(p) = a + b/p + 6 \\log_2(p) \\cdot \\text{latency} + \\frac{2 (p - 1)}{p} \\cdot "
        "\\frac{\\text{bytes}}{\\text{bandwidth}}$$",
        "a + b is the time of a step on one core, and a + b/2 the time with half of the rows of each batch. So a is "
        "the time that does not become shorter with fewer rows: the work that every rank repeats, such as the step of "
        "Adam, and the many short operations of a recurrent layer. The ranks form a tree of log2(p) levels. A step has "
        "three messages, and each of them goes up and down this tree.",
        f"Between two processes of this machine, a sum has a latency of {latency * 1e6:.1f} µs and a bandwidth of "
        f"{bandwidth / 1e9:.2f} GB/s. With these numbers, the formula gives for two ranks:",
        check_table(jobs, latency, bandwidth),
        "The next table is a prediction, not a measurement: each rank has one core, the batch of all ranks together "
        f"stays the same, and the ranks are connected by a network. Assumed latencies: {assumed}. These batches have "
        "at most 50 rows, so some of 64 ranks have nothing to do.",
        prediction_table(jobs),
        "If the batch grows with the number of ranks, each rank has the work of one process, and only the messages are "
        "added. But a model trained with larger batches needs other learning rates and more epochs.",
    ]
    return "\n\n".join(parts) + "\n"


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.ranks", description=__doc__.splitlines()[0])
    parser.add_argument("--jobs", default=",".join(KEYS), help="default: %(default)s")
    parser.add_argument("--rounds", type=int, default=5, help="turns of each variant (default: %(default)s)")
    parser.add_argument("--seconds", type=float, default=4.0, help="of steps in each turn (default: %(default)s)")
    parser.add_argument("--pytorch", default=sys.executable, help="a Python that has PyTorch (default: this one)")
    parser.add_argument("--out", type=Path, default=ROOT / "docs" / "performance", help="default: %(default)s")
    arguments = parser.parse_args()
    machine = runner.describe_machine(None, dict(os.environ))
    points = messages()
    jobs = [measure_job(JOBS[key], arguments.rounds, arguments.seconds, arguments.pytorch)
            for key in arguments.jobs.split(",")]  # fmt: skip
    print(f"\r{'':<60}\r", end="", file=sys.stderr)
    results = {"schema": 1, "machine": machine, "rounds": arguments.rounds, "messages": points, "jobs": jobs}
    arguments.out.mkdir(parents=True, exist_ok=True)
    (arguments.out / "ranks.json").write_text(json.dumps(results, indent=1) + "\n", encoding="utf-8")
    (arguments.out / "ranks.md").write_text(markdown(results), encoding="utf-8")
    print(markdown(results))
    return 0


if __name__ == "__main__":
    sys.exit(main())
