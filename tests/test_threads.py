"""Threads: a forked child has none of its parent's, and a call inside a concurrent call waits for no other."""

import copy
import os
import signal
import subprocess
import sys
import threading

import numpy as np
import pytest

import nnscratch as nn
from nnscratch import backend, modes


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


def test_no_function_has_no_result():
    assert backend.run_concurrently([]) == []


@pytest.mark.parametrize("limit", ["", "0", "x", "-1", "\u00b2"])
def test_a_limit_that_is_no_number_is_no_limit(monkeypatch, limit):
    monkeypatch.delenv("OMP_NUM_THREADS", raising=False)
    cores = backend.num_threads()
    monkeypatch.setenv("OMP_NUM_THREADS", limit)
    assert backend.num_threads() == cores


def test_a_concurrent_call_inside_another_does_not_wait_for_a_free_thread():
    code = (
        "import faulthandler; faulthandler.dump_traceback_later(20, exit=True)\n"
        "from nnscratch import backend\n"
        "inner = lambda: backend.run_concurrently([lambda: 1, lambda: 2, lambda: 3])\n"
        "print(backend.run_concurrently([inner, inner, inner]))\n"
    )
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60)
    assert run.stdout.strip() == "[[1, 2, 3], [1, 2, 3], [1, 2, 3]]", run.stderr


def in_a_step_of_another_thread(trainer, batches, call):
    """Train in another thread, and call a function here while that thread is in the middle of a run."""
    inside, done = threading.Event(), threading.Event()

    class Wait(nn.training.Callback):
        def on_backward_end(self, trainer):
            inside.set()
            assert done.wait(60)

    trainer.callbacks.append(Wait())
    return call_while(lambda: trainer.fit(batches, steps=1), inside, done, call)


def call_while(other, inside, done, call):
    """Start `other` in a thread. Call a function here when `inside` is set, and then set `done` and join the thread."""
    thread = threading.Thread(target=other)
    thread.start()
    try:
        assert inside.wait(60)
        return call()
    finally:
        done.set()
        thread.join()


def new_trainer(model, criterion):
    return nn.Trainer(model, criterion, nn.optim.SGD(model.parameters(), lr=0.1))


BATCHES = [(np.ones((4, 2), dtype=np.float32), np.ones((4, 1), dtype=np.float32))]


@pytest.mark.parametrize("shared", ["the model", "a layer", "the loss"])
@pytest.mark.parametrize("use", ["fit", "train_step", "evaluate", "eval_with_backward"])
def test_one_model_or_loss_is_not_used_by_two_threads_while_one_of_them_trains(shared, use):
    model, criterion = nn.Sequential(nn.Linear(2, 1, rng=0)), nn.MSELoss()
    trainer = new_trainer(model, criterion)
    other = {"the model": model, "a layer": nn.Sequential(model[0]), "the loss": nn.Sequential(nn.Linear(2, 1))}[shared]
    loss = criterion if shared == "the loss" else nn.MSELoss()
    second = new_trainer(other, loss)

    def call():
        before = other[0].weight.data.copy()
        with pytest.raises(RuntimeError, match="another thread is using this"):
            if use == "fit":
                second.fit(BATCHES, steps=1)
            elif use == "train_step":
                second.train_step(*BATCHES[0])
            elif use == "evaluate":
                nn.evaluate(other, loss, BATCHES)
            else:
                with modes.eval_with_backward(loss if shared == "the loss" else other):
                    pass
        np.testing.assert_array_equal(other[0].weight.data, before)

    in_a_step_of_another_thread(trainer, BATCHES, call)
    assert trainer.steps_done == 1
    assert second.train_step(*BATCHES[0]) > 0  # the other thread has ended


def while_another_thread_is_inside(block, call):
    """Call a function here while another thread is inside a ``with`` block."""
    inside, done = threading.Event(), threading.Event()

    def wait():
        with block:
            inside.set()
            assert done.wait(60)

    return call_while(wait, inside, done, call)


@pytest.mark.parametrize("block", [modes.eval_mode, modes.eval_with_backward])
@pytest.mark.parametrize("use", ["fit", "train_step", "eval_with_backward"])
def test_no_training_begins_with_a_model_that_another_thread_evaluates(block, use):
    model = nn.Sequential(nn.Linear(2, 1, rng=0))
    before, trainer = model[0].weight.data.copy(), new_trainer(model, nn.MSELoss())

    def call():
        with pytest.raises(RuntimeError, match="another thread is using this Sequential"):
            if use == "fit":
                trainer.fit(BATCHES, steps=1)
            elif use == "train_step":
                trainer.train_step(*BATCHES[0])
            else:
                with modes.eval_with_backward(model):
                    pass
        np.testing.assert_array_equal(model[0].weight.data, before)

    while_another_thread_is_inside(block(model), call)
    assert model.training and trainer.train_step(*BATCHES[0]) > 0  # the other thread has ended


def test_two_threads_may_evaluate_one_model():
    model = nn.Sequential(nn.Linear(2, 1, rng=0))
    evaluate = lambda: nn.evaluate(model, nn.MSELoss(), BATCHES)  # noqa: E731
    assert while_another_thread_is_inside(modes.eval_mode(model), evaluate) > 0
    assert model.training


def test_a_copy_of_the_model_is_evaluated_while_another_thread_trains():
    model, criterion = nn.Sequential(nn.Linear(2, 1, rng=0)), nn.MSELoss()
    copied = copy.deepcopy(model)
    trainer = new_trainer(model, criterion)
    assert in_a_step_of_another_thread(trainer, BATCHES, lambda: nn.evaluate(copied, nn.MSELoss(), BATCHES)) > 0


@pytest.mark.skipif(not hasattr(os, "fork"), reason="this system has no fork")
@pytest.mark.filterwarnings("ignore:.*fork.*:DeprecationWarning")
def test_a_child_that_was_forked_while_another_thread_used_the_model_can_train_it():
    model, criterion = nn.Sequential(nn.Linear(2, 1, rng=0)), nn.MSELoss()
    trainer = new_trainer(model, criterion)

    def in_a_child():
        lock = modes._lock
        lock.acquire()  # another thread may hold it when the process forks
        child = os.fork()
        if child:
            lock.release()
        else:
            signal.alarm(60)
            code = 1
            try:
                new_trainer(model, criterion).train_step(*BATCHES[0])
                nn.evaluate(model, criterion, BATCHES)
                code = 0 if model.training else 1
            finally:
                os._exit(code)
        return os.waitpid(child, 0)[1]

    assert in_a_step_of_another_thread(trainer, BATCHES, in_a_child) == 0
    assert while_another_thread_is_inside(modes.eval_mode(model), in_a_child) == 0
