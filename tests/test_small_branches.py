"""Test branches that a usual run does not take: refused values, a missing library, a closed stream, another thread."""

import signal
import sys
import threading
import types

import numpy as np
import pytest

import nnscratch as nn
from nnscratch import blas, launch, plotting, runs
from nnscratch.plotting.gates import lstm_gates
from nnscratch.training.interrupt import finish_step_on_ctrl_c

# --- the BLAS library -------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("built", "library"),
    [
        ({"name": "accelerate", "version": "1"}, blas.Blas("Apple Accelerate", "1")),
        ({"name": "mkl-sdl", "version": "2"}, blas.Blas("Intel MKL", "2")),
        ({"name": "netlib"}, blas.Blas("netlib", None)),
        (None, blas.Blas("unknown")),
    ],
)
def test_a_library_other_than_openblas_is_named_by_the_configuration_of_numpy(monkeypatch, built, library):
    monkeypatch.setattr(blas, "_candidate_libraries", lambda: ["/no/such/libopenblas.so"])
    found = {"Build Dependencies": {"blas": built} if built else {}}
    monkeypatch.setattr(np, "show_config", lambda mode: found)
    assert blas.blas() == library
    assert blas.thread_setting() is None


def test_without_ctypes_there_is_no_openblas(monkeypatch):
    monkeypatch.setattr(blas, "ctypes", None)
    assert blas._candidate_libraries() == []


def test_a_library_without_the_functions_of_openblas_is_another_library(monkeypatch):
    plain = types.SimpleNamespace()
    monkeypatch.setattr(blas.ctypes, "CDLL", lambda path: plain)
    assert blas._ask_openblas("libblas.so") is None
    monkeypatch.setattr(blas, "_candidate_libraries", lambda: ["libblas.so"])
    assert blas.thread_setting() is None


def test_a_kernel_that_cannot_be_measured_is_left_out(monkeypatch):
    monkeypatch.setattr(blas, "measure_kernel", lambda *_: None)
    assert blas.compare_kernels(frozenset({"avx2"})) == (None, {})


# --- several processes, with a stand-in for MPI -------------------------------------------------------------------


class World:
    def __init__(self, rank, size=4):
        self.rank, self.size, self.calls = rank, size, []

    def Get_rank(self):
        return self.rank

    def Get_size(self):
        return self.size

    def Abort(self, code):
        self.calls.append(("Abort", code))

    def Barrier(self):
        self.calls.append("Barrier")

    def Split_type(self, kind):
        return World(self.rank % 2, 2)

    def bcast(self, value):
        return f"{value} of rank 0"


@pytest.fixture
def mpi(monkeypatch):
    """Return a function that makes this process one rank of four."""

    def as_rank(rank):
        world = World(rank)
        module = types.SimpleNamespace(MPI=types.SimpleNamespace(COMM_WORLD=world, COMM_TYPE_SHARED=1))
        monkeypatch.setitem(sys.modules, "mpi4py", module)
        monkeypatch.setattr(launch, "_uses_mpi", lambda: True)
        return world

    return as_rank


def test_an_error_names_its_rank_and_the_other_ranks_wait_for_rank_0(mpi, monkeypatch):
    waits = []
    monkeypatch.setattr(launch, "time", types.SimpleNamespace(sleep=waits.append))
    mpi(0)
    assert launch.rank_in_words() == "rank 0 of 4: " and waits == []
    mpi(3)
    assert launch.rank_in_words() == "rank 3 of 4: " and waits == [1]
    monkeypatch.setattr(launch, "_uses_mpi", lambda: False)
    assert launch.rank_in_words() == "" and launch.end_all_ranks(2) == 2


def test_an_error_of_one_rank_ends_all(mpi):
    world = mpi(1)
    assert launch.end_all_ranks(2) == 2 and world.calls == [("Abort", 2)]


def test_only_rank_0_prints_and_its_value_is_taken(mpi, capsys):
    for rank in (0, 1):
        world = mpi(rank)
        with launch.only_rank_0_prints(world):
            print(f"rank {rank}")
        launch.wait_for_all_ranks(world)
        assert world.calls == ["Barrier"] and launch.of_rank_0(world, 3) == "3 of rank 0"
    assert capsys.readouterr().out == "rank 0\n"
    assert launch.of_rank_0(None, 3) == 3
    launch.wait_for_all_ranks(None)


def test_each_rank_of_a_machine_gets_its_own_gpu(mpi):
    assert launch.device_of_rank(mpi(3), "cuda") == "cuda:1"
    assert launch.device_of_rank(mpi(3), "cpu") == "cpu" and launch.device_of_rank(None, "cuda") == "cuda"


def test_open_mpi_may_run_as_root_only_if_this_program_does(monkeypatch):
    for user, allowed in ((0, True), (1000, False)):
        monkeypatch.setattr(launch.os, "geteuid", lambda user=user: user, raising=False)
        assert ("OMPI_ALLOW_RUN_AS_ROOT" in launch.environment(2)) is allowed


# --- runs ---------------------------------------------------------------------------------------------------------


def test_the_first_free_folder_of_a_text_is_used(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert runs.free_folder("texts/my text.txt", "char").as_posix() == "runs/my text-char"
    (tmp_path / "runs" / "emma-word").mkdir(parents=True)
    (tmp_path / "runs" / "emma-word-2").mkdir()
    assert runs.free_folder("austen:emma", "word").as_posix() == "runs/emma-word-3"


@pytest.mark.parametrize("minutes", [0, -1, float("inf"), float("nan")])
def test_a_number_of_minutes_is_above_zero(minutes):
    with pytest.raises(ValueError, match="minutes must be above 0, got"):
        runs.steps_in(minutes, None)


@pytest.mark.parametrize(("seconds", "steps"), [(0.5, 116), (1e4, 1)])
def test_the_number_of_steps_comes_from_the_six_usual_times_of_twelve_steps(monkeypatch, seconds, steps):
    now = [0.0]
    times = iter([100, 50, *[seconds] * 7, 80, 80, seconds / 10])  # the first two and the extreme ones do not count

    def step(*batch):
        now[0] += next(times)

    run = types.SimpleNamespace(
        new_trainer=lambda *_: types.SimpleNamespace(train_step=step), batches=lambda part: [(1, 2), (3, 4)]
    )
    monkeypatch.setattr(runs, "time", types.SimpleNamespace(perf_counter=lambda: now[0]))
    assert runs.steps_in(1, run) == steps


# --- plots --------------------------------------------------------------------------------------------------------


def trial(number, value, state="COMPLETE", intermediate=(), **params):
    return types.SimpleNamespace(
        number=number, value=value, params=params, state=types.SimpleNamespace(name=state),
        intermediate_values=dict(intermediate), distributions={k: types.SimpleNamespace(log=k == "lr") for k in params},
    )  # fmt: skip


def test_a_search_without_a_finished_trial_is_not_drawn():
    study = types.SimpleNamespace(trials=[trial(0, None, "PRUNED"), trial(1, np.nan)])
    with pytest.raises(ValueError, match="plot_search: no trial has finished"):
        plotting.plot_search(study)


def test_a_search_marks_the_best_trial_the_stopped_ones_and_those_beyond_the_edge():
    values = [1.0, *np.linspace(1.1, 1.2, 19), 50.0]
    trials = [trial(i, v, lr=10.0**-i, hidden=i) for i, v in enumerate(values)]
    trials += [trial(21, None, "PRUNED", {1: 2.0, 5: 1.5}, lr=0.1), trial(22, None, "PRUNED")]
    study = types.SimpleNamespace(trials=trials)
    ax = plotting.plot_search(study)
    labels = ax.get_legend_handles_labels()[1]
    assert set(labels) == {"trial", "above the axis", "stopped early", "best: 1", "best so far"}
    assert ax.get_xlabel() == "trial" and ax.get_ylim()[1] < 2
    assert plotting.plot_search(study, "lr").get_xscale() == "log"
    assert plotting.plot_search(study, "hidden").get_xscale() == "linear"
    with pytest.raises(ValueError, match="the search has no parameter 'width'; it has lr, hidden"):
        plotting.plot_search(study, "width")


def test_the_gates_of_one_direction_are_read():
    with pytest.raises(ValueError, match="lstm_gates needs an LSTM with one direction, got a bidirectional one"):
        lstm_gates(nn.LSTM(2, 3, bidirectional=True, rng=0), np.ones((2, 1, 2)))


@pytest.mark.parametrize("values", [np.ones(3), np.ones((0, 3))])
def test_gates_have_two_axes(values):
    with pytest.raises(ValueError, match=r"plot_gates: each gate must have the shape \(T, H\), got"):
        plotting.plot_gates(dict.fromkeys("fiog", values), "abc")


@pytest.mark.parametrize("f", [lambda x: 0 * x, lambda x: x * np.nan])
def test_a_descent_needs_a_curve(f):
    with pytest.raises(ValueError, match="animate_descent: f is constant or not finite between -1"):
        plotting.animate_descent(f, lambda x: 1.0, 0.5, [0.1], xlim=(-1, 1))


# --- other threads and streams ------------------------------------------------------------------------------------


def test_an_interrupt_is_watched_in_the_main_thread_only():
    before, found = signal.getsignal(signal.SIGINT), []

    def look():
        with finish_step_on_ctrl_c(types.SimpleNamespace(stop=None)):
            found.append(signal.getsignal(signal.SIGINT))

    thread = threading.Thread(target=look)
    thread.start()
    thread.join()
    assert found == [before]
    look()
    assert found[1] is not before and signal.getsignal(signal.SIGINT) is before
