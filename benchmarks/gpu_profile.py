"""Profile the training steps of the GPU jobs with this package and with PyTorch.

    python -m benchmarks.gpu_profile            needs CuPy, and PyTorch for CUDA; takes about a minute

For each job and library, one line shows the numbers of one step:

    wall        the time of a step when the steps are enqueued without waiting, without the profiler
    busy        the time in which the GPU worked. If it is shorter than `wall`, the GPU waited for the host.
    kernels     the kernels that ran
    copies      the copies between host and GPU
    waits       the calls with which the host waited for the GPU: the functions of WAITS

The kernels and copies that took the longest follow. PyTorch's profiler counts the work of the whole process, so it also
counts CuPy's kernels.
"""

from __future__ import annotations

import argparse
import collections
import gc
import json
import os
import sys
import tempfile
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from nnscratch import backend
from nnscratch.bench import ours, pytorch
from nnscratch.bench.jobs import GPU_JOBS, select

WAITS = {"cudaStreamSynchronize", "cudaDeviceSynchronize", "cudaEventSynchronize", "cudaMemcpy"}
ON_GPU = {"kernel", "gpu_memcpy", "gpu_memset"}  # categories of the trace
CALLS = {"cuda_runtime", "cuda_driver"}
WARM_UP, TIMED, PROFILED = 4, 10, 3  # steps
LONGEST = 10
LIBRARIES = {"nnscratch": ours.build, "PyTorch": pytorch.build}


@dataclass
class Found:
    """The numbers of one step. `longest` has the milliseconds, the number and the name of each kernel."""

    busy: float
    kernels: float
    copies: float
    waits: float
    longest: list[tuple[float, float, str]]


def seconds_of_step(step: Callable, finish: Callable) -> float:
    """Return the time of a step: of TIMED steps that are enqueued without waiting, and of the wait at the end."""
    for _ in range(WARM_UP):
        step()
    finish()
    start = time.perf_counter()
    for _ in range(TIMED):
        step()
    finish()
    return (time.perf_counter() - start) / TIMED


def trace_of(step: Callable, wait: Callable) -> list[dict[str, Any]]:
    """Return the events of PyTorch's profiler for PROFILED steps. The annotation "steps" spans the calls of `step`."""
    from torch.profiler import ProfilerActivity, profile, record_function, supported_activities

    wanted = supported_activities() & {ProfilerActivity.CPU, ProfilerActivity.CUDA}
    with profile(activities=wanted) as profiler:
        with record_function("steps"):
            for _ in range(PROFILED):
                step()
        wait()  # for the last kernels; after "steps", so it is not counted
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "trace.json"
        profiler.export_chrome_trace(str(path))
        return json.loads(path.read_text(encoding="utf-8"))["traceEvents"]


def count(events: Iterable[dict[str, Any]], steps: int = PROFILED) -> Found:
    """Count the work and the waits of one step in the events of `steps` steps."""
    events = [event for event in events if "dur" in event]
    span = next(e for e in events if e["name"] == "steps" and e.get("cat") == "user_annotation")
    inside = [e for e in events if span["ts"] <= e["ts"] <= span["ts"] + span["dur"]]
    work = [e for e in events if e.get("cat") in ON_GPU]
    by_name: dict[str, list[float]] = collections.defaultdict(list)
    for event in work:
        by_name[event["name"]].append(event["dur"])
    longest = sorted(((sum(times), len(times), name) for name, times in by_name.items()), reverse=True)[:LONGEST]
    return Found(
        busy=covered((e["ts"], e["ts"] + e["dur"]) for e in work) / 1000 / steps,
        kernels=sum(e["cat"] == "kernel" for e in work) / steps,
        copies=sum(e["name"].startswith(("Memcpy HtoD", "Memcpy DtoH")) for e in work) / steps,
        waits=sum(e.get("cat") in CALLS and e["name"] in WAITS for e in inside) / steps,
        longest=[(microseconds / 1000 / steps, times / steps, name) for microseconds, times, name in longest],
    )


def covered(intervals: Iterable[tuple[float, float]]) -> float:
    """Return the length of the union of the intervals. Kernels on two streams can overlap.

    Examples
    --------
    >>> covered([(0, 2), (1, 3), (5, 6)])
    4
    """
    total, end = 0, float("-inf")
    for start, stop in sorted(intervals):
        total += max(0, stop - max(start, end))
        end = max(end, stop)
    return total


def text(job: str, library: str, seconds: float, found: Found) -> str:
    """Return the line of a job and a library, and a line for each of the longest kernels."""
    lines = [
        f"({job}) {library:<9}  wall {1000 * seconds:7.2f} ms   busy {found.busy:7.2f} ms   "
        f"kernels {found.kernels:5.0f}   copies {found.copies:4.1f}   waits {found.waits:4.1f}"
    ]
    lines += [f"    {ms:8.3f} ms {times:7.1f} x  {name[:100]}" for ms, times, name in found.longest]
    return "\n".join(lines)


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.gpu_profile", description=__doc__.splitlines()[0])
    parser.add_argument("--jobs", metavar="M,N", help=f"jobs to profile, from {', '.join(GPU_JOBS)} (default: all)")
    jobs = select(parser.parse_args(arguments).jobs, GPU_JOBS)
    try:
        import torch
    except ImportError:
        torch = None
    if torch is None or not torch.cuda.is_available():
        print("nothing was profiled: this needs PyTorch for CUDA and a GPU")
        return 0
    os.environ.pop("CUPY_TF32", None)  # without TF32, so that both libraries compute in float32
    torch.zeros(1, device="cuda")
    failed = False
    for job in jobs:
        for library, build in LIBRARIES.items():
            try:
                peer = build(job, "cuda")
                seconds = seconds_of_step(peer["step"], peer["finish"])
                print(
                    text(job.key, library, seconds, count(trace_of(peer["step"], torch.cuda.synchronize))), flush=True
                )
            except Exception as error:  # a job that fails must not hide the others
                failed = True
                print(
                    f"({job.key}) {library}: {type(error).__name__}: {' '.join(str(error).split())[:300]}", flush=True
                )
            peer = None
            gc.collect()
            torch.cuda.empty_cache()
            if library == "nnscratch":
                backend.free_memory("cuda")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
