"""Threads: how many cores the CPU has, and how to distribute work over them."""

from __future__ import annotations

import contextlib
import contextvars
import functools
import os
import sys
import threading
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor, wait
from typing import Any

import numpy as np

_inside_concurrent: contextvars.ContextVar[bool] = contextvars.ContextVar("inside_concurrent", default=False)


def num_threads() -> int:
    """Return how many threads to use: the number of cores of this process, or OMP_NUM_THREADS if that is smaller.

    Inside a function that `run_concurrently` runs, the result is 1. In a browser the result is 1 too, because Pyodide
    cannot start threads.
    """
    if _inside_concurrent.get() or sys.platform == "emscripten":
        return 1
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    limit = os.environ.get("OMP_NUM_THREADS", "")
    return min(cores, int(limit)) if limit.isdecimal() and int(limit) > 0 else cores


@functools.cache
def _pool() -> ThreadPoolExecutor:
    return ThreadPoolExecutor(max(1, num_threads() - 1), thread_name_prefix="nnscratch")


def parallel_for(function: Callable[..., Any], tasks: Sequence[tuple]) -> None:
    """Call ``function(*task)`` for every task, on all cores.

    The threads run in parallel, because NumPy releases Python's lock while it computes. Each task must write to its own
    memory and should take ten microseconds or more.

    Parameters
    ----------
    function : callable
    tasks : sequence of tuple
        The first element of each task is an array. Tasks with GPU arrays all run in the calling thread, because the
        GPU executes its work in order anyway.
    """
    threads = num_threads()
    if threads == 1 or len(tasks) < 2 * threads or not isinstance(tasks[0][0], np.ndarray):
        for task in tasks:
            function(*task)
        return

    waiting = iter(tasks)  # a thread that has finished a task takes the next one, so a slow core gets fewer

    def work() -> None:
        for task in waiting:
            function(*task)

    # Each thread runs in a copy of the caller's context, so numpy.errstate is the same as in the caller.
    others = [_pool().submit(contextvars.copy_context().run, work) for _ in range(threads - 1)]
    try:
        work()  # the calling thread works too
    finally:
        for running in others:
            running.result()


def run_concurrently(functions: Sequence[Callable[[], Any]]) -> list[Any]:
    """Call the functions at the same time, each in its own thread, and return their results in order.

    There are as many threads as cores. While they run, each matrix product uses only the core of its own thread. If a
    function raises an exception, it is raised here after all functions have ended. If one of these functions calls
    `run_concurrently` again, the inner functions run one after another: all cores are already in use, and a wait for a
    free core might never end. In a browser, where no thread can start, the functions run one after another too.

    Examples
    --------
    >>> run_concurrently([lambda: 1, lambda: 2])
    [1, 2]
    """

    if not functions or _inside_concurrent.get() or sys.platform == "emscripten":
        return [function() for function in functions]

    def call(function: Callable[[], Any]) -> Any:
        _inside_concurrent.set(True)
        return function()

    # Each thread runs in a copy of the caller's context, so numpy.errstate is the same as in the caller.
    tasks = [functools.partial(contextvars.copy_context().run, call, function) for function in functions]
    with single_threaded_blas():
        running = [_pool().submit(task) for task in tasks[1:]]
        try:
            first = tasks[0]()  # the calling thread works too
        finally:
            wait(running)
    return [first, *(one.result() for one in running)]


_blas_lock, _blas = threading.Lock(), {"users": 0, "threads before": 0}


@contextlib.contextmanager
def single_threaded_blas() -> Iterator[None]:
    """Limit OpenBLAS to one thread inside a ``with`` block. Other BLAS libraries are not changed.

    Several threads may be inside such a block. The last thread that leaves the block restores the setting.
    """
    setting = _blas_threads()
    if setting is None:
        yield
        return
    get_threads, set_threads = setting
    with _blas_lock:
        if _blas["users"] == 0:
            _blas["threads before"] = get_threads()
            set_threads(1)
        _blas["users"] += 1
    try:
        yield
    finally:
        with _blas_lock:
            _blas["users"] -= 1
            if _blas["users"] == 0:
                set_threads(_blas["threads before"])


def _after_fork() -> None:
    """Drop the parent process's threads and lock, since a forked child has only the thread that called fork."""
    global _blas_lock
    _pool.cache_clear()
    _blas_lock = threading.Lock()


if hasattr(os, "register_at_fork"):  # not on Windows, which has no fork
    os.register_at_fork(after_in_child=_after_fork)


@functools.cache
def _blas_threads() -> tuple[Callable[[], int], Callable[[int], None]] | None:
    from ..blas import thread_setting  # imported here because few programs need it

    return thread_setting()
