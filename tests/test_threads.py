"""Threads: a forked child has none of its parent's, and a call inside a concurrent call waits for no other."""

import os
import signal
import subprocess
import sys

import numpy as np
import pytest

from nnscratch import backend


@pytest.fixture(autouse=True)
def two_threads(monkeypatch):
    cores = backend.threads.num_threads
    monkeypatch.setattr(
        backend.threads, "num_threads", lambda: 1 if backend.threads._inside_concurrent.get() else max(2, cores())
    )
    backend.threads._pool.cache_clear()
    yield
    backend.threads._pool.cache_clear()


@pytest.mark.skipif(not hasattr(os, "fork"), reason="this system has no fork")
@pytest.mark.filterwarnings("ignore:.*fork.*:DeprecationWarning")
@pytest.mark.parametrize("work", ["concurrently", "parallel_for"])
def test_a_forked_child_computes_with_threads_of_its_own(work):
    out = np.zeros((9, 4))

    def compute():
        if work == "concurrently":
            return backend.run_concurrently([lambda: 1, lambda: 2]) == [1, 2]
        out[...] = 0
        backend.parallel_for(lambda row, k: np.add(row, k, out=row), [(out[k], k) for k in range(9)])
        return bool((out == np.arange(9)[:, None]).all())

    assert compute()  # the parent's pool has its threads now
    child = os.fork()
    if child == 0:
        signal.alarm(10)  # a child that waits for ever is killed
        os._exit(0 if compute() else 1)
    _, status = os.waitpid(child, 0)
    assert status == 0


def test_a_concurrent_call_inside_another_does_not_wait_for_a_free_thread():
    code = (
        "import faulthandler; faulthandler.dump_traceback_later(20, exit=True)\n"
        "from nnscratch import backend\n"
        "inner = lambda: backend.run_concurrently([lambda: 1, lambda: 2, lambda: 3])\n"
        "print(backend.run_concurrently([inner, inner, inner]))\n"
    )
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60)
    assert run.stdout.strip() == "[[1, 2, 3], [1, 2, 3], [1, 2, 3]]", run.stderr
