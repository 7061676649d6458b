"""One library at one job, in a process of its own: builds it, then runs so many steps whenever it is told to.

    in      a line of JSON:  {"steps": n}
    out     first {"check": [...], ...} or {"unavailable": "why"}; then, line by line, {"seconds": [...], "memory": m}

A peer is a module with ``build(job, variant)``. It returns a dict: ``step``, a function that does the work once;
``check``, one that returns numbers which must be the same for every library (without it: what the first three steps
return, the losses); and anything it wants written down, such as ``version``. It raises ImportError where the library is
missing and NotImplementedError("why") where the library cannot do the job.
"""

from __future__ import annotations

import importlib
import json
import os
import sys
import time
from typing import Any

CHECKED_STEPS = 3


def threads() -> int:
    """How many threads a library may use: what was asked for, else all cores there are."""
    asked = os.environ.get("OMP_NUM_THREADS", "")
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    return int(asked) if asked.isdigit() and int(asked) > 0 else cores


def peak_memory() -> int | None:
    """The most memory this process has held, in bytes.

    Not ru_maxrss where it can be avoided: on Linux a child's begins with its parent's.
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


def prepare(module: str, job: Any, variant: str) -> tuple[Any, dict[str, Any]]:
    """The function to time, and what to answer: the numbers to check, or why there is nothing to time."""
    try:
        peer = importlib.import_module(module).build(job, variant)
        step = peer.pop("step")
        check = peer.pop("check", lambda: [step() for _ in range(CHECKED_STEPS)])
        return step, {"check": [float(value) for value in check()], "memory": peak_memory(), **peer}
    except ImportError as error:
        return None, {"unavailable": f"not installed ({error})"}
    except NotImplementedError as error:
        return None, {"unavailable": str(error) or "cannot express this job"}
    except Exception as error:  # whatever a peer breaks with is its own affair; the others are measured
        return None, {"unavailable": f"failed: {type(error).__name__}: {' '.join(str(error).split())[:200]}"}


def main(module: str, job: str, variant: str) -> None:
    """Answer on standard output, where nothing else may be written: what the library prints goes to standard error."""
    from .jobs import Job

    answers = os.fdopen(os.dup(1), "w", encoding="utf-8")
    os.dup2(2, 1)

    def answer(message: dict[str, Any]) -> None:
        print(json.dumps(message), file=answers, flush=True)

    step, first = prepare(module, Job(**json.loads(job)), variant)
    answer(first)
    if step is None:
        return
    for line in sys.stdin:
        seconds = []
        for _ in range(json.loads(line)["steps"]):
            start = time.perf_counter()
            step()
            seconds.append(time.perf_counter() - start)
        answer({"seconds": seconds, "memory": peak_memory()})
