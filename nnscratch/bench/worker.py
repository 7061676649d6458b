"""The worker: a process that builds one job with one library. It runs the number of steps that the runner requests.

    input     a line of JSON for each turn:  {"steps": n, "warm": m}, of which the first m steps are a warm-up
    output    first {"check": [...], ...} or {"unavailable": "why"}, then for each turn {"seconds": [...], "memory": m}

A peer is a module with a function ``build(job, variant)``, which returns a dict with these keys:

    step      a function that runs one step
    finish    optional, if ``step`` only enqueues the work of a step on a GPU: a function that waits until the GPU has
              finished, and returns the losses of all steps since the last call. The time of a step is then the time of
              all steps, including this wait, divided by their number. The warm-up steps are measured separately.
    check     optional: a function that returns values which must be the same for every library. Without it, the losses
              of the first three steps are compared.

All other keys, for example ``version``, are copied to the results.

``build`` raises ImportError if the library is missing, and NotImplementedError("why") if the library cannot do the job.
"""

from __future__ import annotations

import functools
import importlib
import json
import os
import sys
import time
from collections.abc import Callable
from typing import Any

CHECKED_STEPS = 3


def threads() -> int:
    """Return how many threads a library may use: OMP_NUM_THREADS, or all cores if it is not set."""
    limit = os.environ.get("OMP_NUM_THREADS", "")
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    return int(limit) if limit.isdecimal() and int(limit) > 0 else cores


def peak_memory() -> int | None:
    """Return the peak memory of this process in bytes.

    On Linux, ru_maxrss of a child process includes the peak of its parent. The number in /proc does not, so it is
    read first.
    """
    try:
        with open("/proc/self/status", encoding="ascii") as status:
            return next(int(line.split()[1]) * 1024 for line in status if line.startswith("VmHWM"))
    except (OSError, StopIteration):
        pass
    try:
        import resource
    except ImportError:  # Windows
        return None
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak if sys.platform == "darwin" else peak * 1024


def prepare(module: str, job: Any, variant: str) -> tuple[Callable[[int], list[float]] | None, dict[str, Any]]:
    """Return a function that measures the time of n steps, and a dict with the values to compare.

    If the job cannot run, return None and a dict with the reason.
    """
    try:
        peer = importlib.import_module(module).build(job, variant)
        step, finish = peer.pop("step"), peer.pop("finish", None)

        def losses() -> list[float]:
            values = [step() for _ in range(CHECKED_STEPS)]
            return values if finish is None else finish()

        check = peer.pop("check", losses)
        return functools.partial(timed, step, finish), {
            "check": [float(value) for value in check()],
            "memory": peak_memory(),
            **peer,
        }
    except ImportError as error:
        return None, {"unavailable": f"not installed ({error})"}
    except NotImplementedError as error:
        return None, {"unavailable": str(error) or "cannot express this job"}
    except Exception as error:  # one failing library must not stop the others
        return None, {"unavailable": f"failed: {type(error).__name__}: {' '.join(str(error).split())[:200]}"}


def timed(step: Callable, finish: Callable | None, count: int) -> list[float]:
    """Run `count` steps and return the time of each step in seconds. With `finish`, each time is the mean time."""
    seconds, first = [], time.perf_counter()
    for _ in range(count):
        start = time.perf_counter()
        step()
        seconds.append(time.perf_counter() - start)
    if finish is not None:
        finish()
        seconds = [(time.perf_counter() - first) / count] * count
    return seconds


def main(module: str, job: str, variant: str) -> None:
    """Run the worker. Answers go to standard output, and everything that the library prints goes to standard error."""
    from .jobs import Job

    answers = os.fdopen(os.dup(1), "w", encoding="utf-8")
    os.dup2(2, 1)

    def answer(message: dict[str, Any]) -> None:
        print(json.dumps(message), file=answers, flush=True)

    seconds_of, first = prepare(module, Job(**json.loads(job)), variant)
    answer(first)
    if seconds_of is None:
        return
    for line in sys.stdin:
        turn = json.loads(line)
        warm = seconds_of(turn["warm"]) if turn["warm"] else []
        answer({"seconds": warm + seconds_of(turn["steps"] - turn["warm"]), "memory": peak_memory()})
