"""The cores of the CPU: how many there are, and work spread over them."""

from __future__ import annotations

import contextlib
import contextvars
import functools
import os
import threading
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor, wait
from typing import Any

import numpy as np

_beside_others: contextvars.ContextVar[bool] = contextvars.ContextVar("beside_others", default=False)


def num_threads() -> int:
    """How many threads to use on the CPU: the cores this process may use, or fewer if OMP_NUM_THREADS says so.

    One, for what already runs beside others: see `run_concurrently`.
    """
    if _beside_others.get():
        return 1
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    asked = os.environ.get("OMP_NUM_THREADS", "")
    return min(cores, int(asked)) if asked.isdigit() and int(asked) > 0 else cores


@functools.cache
def _pool() -> ThreadPoolExecutor:
    return ThreadPoolExecutor(max(1, num_threads() - 1), thread_name_prefix="nnscratch")


def parallel_for(function: Callable[..., Any], tasks: Sequence[tuple]) -> None:
    """Call ``function(*task)`` for every task, spread over the cores: NumPy lets go of Python's lock while it computes.

    For tasks, each beginning with an array, that write to different places and take some ten microseconds or more. On
    a GPU, which does its work in the order it was asked to, one thread asks.
    """
    threads = num_threads()
    if threads == 1 or len(tasks) < 2 * threads or not isinstance(tasks[0][0], np.ndarray):
        for task in tasks:
            function(*task)
        return

    waiting = iter(tasks)  # each thread takes the next when it has done one: a core that is busy elsewhere takes fewer

    def work() -> None:
        for task in waiting:
            function(*task)

    # Each thread gets a copy of the caller's context: numpy.errstate is part of it.
    others = [_pool().submit(contextvars.copy_context().run, work) for _ in range(threads - 1)]
    try:
        work()  # the caller takes its share: a thread less to wake and to wait for
    finally:
        for running in others:
            running.result()


def run_concurrently(functions: Sequence[Callable[[], Any]]) -> list[Any]:
    """Call all the functions at once, each in a thread of its own, and return what they return, in order.

    There are as many threads as cores; more functions wait their turn. Meanwhile a product of matrices runs on one
    core, that of the thread that asked for it. If one fails, its error comes out when all have ended.

    Examples
    --------
    >>> run_concurrently([lambda: 1, lambda: 2])
    [1, 2]
    """

    def alone(function: Callable[[], Any]) -> Any:
        _beside_others.set(True)
        return function()

    # Each thread gets a copy of the caller's context: numpy.errstate is part of it.
    tasks = [functools.partial(contextvars.copy_context().run, alone, function) for function in functions]
    with single_threaded_blas():
        running = [_pool().submit(task) for task in tasks[1:]]
        try:
            first = tasks[0]()  # the caller takes its share
        finally:
            wait(running)
    return [first, *(one.result() for one in running)]


_one_core_lock, _one_core = threading.Lock(), {"asked": 0, "threads before": 0}


@contextlib.contextmanager
def single_threaded_blas() -> Iterator[None]:
    """OpenBLAS computes with one thread until the last of those who asked for it is done; another BLAS as it will."""
    setting = _blas_threads()
    if setting is None:
        yield
        return
    ask, tell = setting
    with _one_core_lock:
        if _one_core["asked"] == 0:
            _one_core["threads before"] = ask()
            tell(1)
        _one_core["asked"] += 1
    try:
        yield
    finally:
        with _one_core_lock:
            _one_core["asked"] -= 1
            if _one_core["asked"] == 0:
                tell(_one_core["threads before"])


@functools.cache
def _blas_threads() -> tuple[Callable[[], int], Callable[[int], None]] | None:
    from ..blas import thread_setting  # only now: few need it

    return thread_setting()
