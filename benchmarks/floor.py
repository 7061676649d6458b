"""Compute a lower bound (the floor) for the time of each job from its matrix products and its memory traffic.

    python -m benchmarks.floor              run after python -m benchmarks; writes docs/performance/_floor.md

No implementation of the same arithmetic is faster than

    floating-point operations of the products / speed of a large product on this machine
    + bytes of weights, gradients and moments that the processor must read or write / speed of memory on this machine

So floor / PyTorch's time is the best possible ratio with this BLAS, even if everything else takes no time.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np

from nnscratch import backend, blas
from nnscratch.bench import report
from nnscratch.bench.jobs import JOBS, Job, parameter_shapes

from .libraries import ROOT

PASSES = {  # how often a training step with clipping reads or writes 4 bytes for each weight
    "adam": 9,  # gradient written; read for the norm; read, w, m and v read, w, m and v written
    "sgd": 5,  # gradient written; read for the norm; read, w read, w written
}
TARGETS = {"a": 0.65, "b": 0.7, "c": 0.8, "d": 0.8, "e": 0.6, "ga": 0.3, "gc": 0.3, "h": 0.8}


def weights(job: Job) -> dict[str, int]:
    return {name: int(np.prod(shape)) for name, (shape, _) in parameter_shapes(job).items()}


def work(job: Job) -> tuple[float, float]:
    """Return the operations of the products and the bytes moved, for one step, token or text of `job`."""
    sizes = weights(job)
    # An embedding only looks up a row, and a bias is added: neither is a product.
    matrices = {name: n for name, n in sizes.items() if "embedding" not in name and "bias" not in name}
    used = sum(matrices.values())
    if job.kind == "generate":
        return 2.0 * used, 4.0 * used
    if job.kind == "evaluate":
        return 2.0 * used * job.tokens * job.sizes["batches"], 4.0 * used * job.sizes["batches"]
    if job.kind == "mlp":  # training does not need dx of the first layer
        return 2.0 * job.sizes["batch"] * (3 * used - matrices["0.weight"]), 4.0 * PASSES["sgd"] * sum(sizes.values())
    return 6.0 * used * job.tokens, 4.0 * PASSES["adam"] * sum(sizes.values())


def peaks(seconds: float = 1.0) -> tuple[float, float]:
    """Return operations per second of a large product and bytes per second of a copy: the best of several runs."""
    flops = max(blas.measure(seconds).values()) * 1e9
    source, target = np.ones(1 << 25, dtype=np.float32), np.zeros(1 << 25, dtype=np.float32)
    length = 1 << 19
    pieces = [(target[k : k + length], source[k : k + length]) for k in range(0, len(source), length)]
    best, end = 0.0, time.perf_counter() + seconds
    while time.perf_counter() < end:
        start = time.perf_counter()
        backend.parallel_for(np.copyto, pieces)
        best = max(best, 2 * source.nbytes / (time.perf_counter() - start))
    return flops, best


def rows(run: dict[str, Any], flops: float, bandwidth: float) -> list[list[str]]:
    found = []
    for entry in run["jobs"]:
        job = JOBS[entry["key"]]
        medians = [entry["results"].get(key, {}).get("median_seconds") for key in ("nnscratch", "torch", "compile")]
        if job.key not in TARGETS or medians[0] is None or medians[1] is None:
            continue
        operations, moved = work(job)
        ours, theirs = (value / job.per for value in (medians[0], min(filter(None, medians[1:]))))
        floor = operations / flops + moved / bandwidth
        found.append(
            [
                f"({job.key}) {job.title}",
                report.three_digits(operations / 1e9),
                report.three_digits(moved / 2**20),
                *(report.three_digits(seconds * 1e3) for seconds in (floor, ours, theirs)),
                f"{floor / theirs:.2f}",
                f"{ours / theirs:.2f}",
                f"{TARGETS[job.key]:.2f}",
            ]
        )
    return found


def markdown(results: dict[str, Any], flops: float, bandwidth: float) -> str:
    ratios = ["floor / PyTorch", "nnscratch / PyTorch"]
    header = ["", "GFLOP", "MiB", "floor, ms", "nnscratch", "PyTorch's best", *ratios, "aim"]
    parts = [
        "<!-- Written by python -m benchmarks.floor; do not edit. -->",
        f"A large product runs at {flops / 1e9:.0f} GFLOP/s here, and a copy at {bandwidth / 1e9:.1f} GB/s (read and "
        f"written together), on {backend.num_threads()} threads.",
    ]
    for run in results["runs"]:
        parts += [
            f"**{report.kernel_title(run)}**",
            report.table(header, rows(run, flops, bandwidth)),
        ]
    return "\n\n".join(parts) + "\n"


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.floor", description=__doc__.splitlines()[0])
    folder = ROOT / "docs" / "performance"
    parser.add_argument("--results", type=Path, default=folder / "results.json", help="default: %(default)s")
    parser.add_argument("--out", type=Path, default=folder / "_floor.md", help="default: %(default)s")
    arguments = parser.parse_args()
    results = json.loads(arguments.results.read_text(encoding="utf-8"))
    arguments.out.write_text(markdown(results, *peaks()), encoding="utf-8")
    print(arguments.out.read_text(encoding="utf-8"))
    return 0


if __name__ == "__main__":
    sys.exit(main())
