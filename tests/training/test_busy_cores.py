"""If steps become much slower, OpenBLAS gets one thread until the end of fit."""

import pytest

import nnscratch as nn
from nnscratch import blas
from nnscratch.training.busy_cores import OneThreadIfBusy


@pytest.fixture
def threads():
    """Give OpenBLAS two threads, and return a function that reads their number."""
    setting = blas.thread_setting()
    if setting is None:
        pytest.skip("NumPy does not use OpenBLAS")
    get_threads, set_threads = setting
    before = get_threads()
    set_threads(2)
    if get_threads() != 2:
        pytest.skip("this OpenBLAS has one thread only")
    yield get_threads
    set_threads(before)


class Run:
    """Call the callback as `fit` does, with steps of given durations."""

    def __init__(self):
        self.now = 0.0
        self.callback = OneThreadIfBusy(lambda: self.now)
        self.callback.on_fit_start(None)

    def steps(self, seconds, count):
        for _ in range(count):
            self.now += seconds
            self.callback.on_step_end(None)


def test_ten_slow_steps_leave_one_thread_until_the_end_and_are_reported_once(threads, capsys):
    run = Run()
    run.steps(0.02, 10)
    run.steps(0.3, 5)
    assert threads() == 2  # five slow steps may be an accident
    run.steps(0.3, 20)
    assert threads() == 1
    run.steps(0.02, 5)
    run.steps(0.3, 20)
    run.callback.on_fit_end(None)
    assert threads() == 2
    error = capsys.readouterr().err
    assert error.count("products use one thread") == 1 and "A step took 300 ms, while earlier steps took 20 ms" in error


def test_a_few_slow_steps_a_slow_validation_or_a_steady_run_change_nothing(threads, capsys):
    run = Run()
    for _ in range(4):
        run.steps(0.02, 8)
        run.steps(0.5, 2)
        run.now += 60.0
        run.callback.on_validation_end(None)
    run.steps(0.045, 50)
    assert threads() == 2 and capsys.readouterr().err == ""


def test_steps_that_take_three_times_as_long_leave_one_thread(threads):
    run = Run()
    run.steps(0.02, 10)
    run.steps(0.06, 10)
    assert threads() == 1
    run.callback.on_fit_end(None)


def test_one_thread_stays_one_thread(threads, capsys):
    blas.thread_setting()[1](1)
    run = Run()
    run.steps(0.02, 10)
    run.steps(0.3, 20)
    run.callback.on_fit_end(None)
    assert threads() == 1 and capsys.readouterr().err == ""


def test_the_command_uses_it(tmp_path, monkeypatch):
    seen = []
    monkeypatch.setattr(nn.Trainer, "fit", lambda trainer, *_, **__: seen.extend(map(type, trainer.callbacks)))
    text = tmp_path / "tale.txt"
    text.write_text("the cat sat on the mat. " * 60, encoding="utf-8")
    from nnscratch import runs
    from nnscratch.run_settings import Config

    run = runs.Run.plan(tmp_path / "run", Config(str(text), hidden=8, embed=4, batch=2, seq_len=8, steps=3))
    run.create()
    run.train()
    assert OneThreadIfBusy in seen
