"""Training on several ranks, started with a real mpiexec. The checks are in tests/shared/together_program.py."""

import os
import signal
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import strict_cupy

import nnscratch as nn
from nnscratch import backend, launch
from nnscratch.serialization import read_arrays

PROGRAM = Path(__file__).parents[1] / "shared" / "together_program.py"


def run(ranks, *arguments, seconds=200):
    """Run the program on some ranks; return the finished process. A run that hangs fails after some seconds.

    On a busy machine, a rank may try to connect to mpiexec for 30 seconds before the program begins.
    """
    pytest.importorskip("mpi4py", reason='needs mpi4py: pip install "nnscratch[mpi]"')
    try:
        command = launch.mpiexec(ranks)
    except ValueError as error:
        pytest.skip(str(error))
    busy_cores = {"OMPI_MCA_mpi_yield_when_idle": "1"}  # other tests run on them
    one_thread = {"OPENBLAS_NUM_THREADS": "1", "OMP_NUM_THREADS": "1"}
    for _ in range(3):
        done = subprocess.run(
            [*command, sys.executable, PROGRAM, *map(str, arguments)],
            env=launch.environment(ranks) | busy_cores | one_thread,
            capture_output=True,
            text=True,
            timeout=seconds,
        )
        if "but mpi4py finds 1" not in done.stderr:  # on a busy machine, a rank cannot always connect to mpiexec
            break
    return done


def check(ranks, *checks):
    """Run some checks, which must pass; return the finished process."""
    done = run(ranks, " and ".join(checks))
    for words in checks:
        name = words.split()[0]
        assert name == "error" or f"{name} passed" in done.stdout, done.stdout + done.stderr
    return done


def test_two_ranks_give_the_result_of_one_process_and_end_together(tmp_path):
    done = check(  # in one start of mpiexec, because each one imports the package twice
        2,
        "same_result 6",
        f"checkpoints {tmp_path} LSTM",
        f"dropout_and_batch_norm {tmp_path}",
        f"stop {tmp_path}",
        "different",
        "divergence",
        f"error {tmp_path} 5",
    )
    assert done.returncode != 0
    assert "RuntimeError: the disk is full" in done.stderr and "This error was raised on rank 1 of 2" in done.stderr
    assert step_of_checkpoint(tmp_path) in (4, 5)  # rank 0 may have written that of step 5


@pytest.mark.thorough
@pytest.mark.parametrize("ranks", [2, 3])
def test_a_long_run_on_several_ranks_gives_the_result_of_one_process(ranks, tmp_path):
    check(
        ranks,
        "same_result 40",
        f"checkpoints {tmp_path} LSTM GRU CNN one_lane",
        f"dropout_and_batch_norm {tmp_path}",
        f"stop {tmp_path}",
        "divergence",
    )


@pytest.mark.thorough
def test_nccl_adds_up_the_gradients_of_two_gpus_on_the_stand_in():
    check(2, "gpus")


@pytest.mark.thorough
def test_a_loss_on_a_gpu_that_is_not_finite_ends_all_ranks(tmp_path):
    done = run(2, "divergence_on_gpus", tmp_path)
    assert done.returncode != 0 and "TrainingDiverged" in done.stderr
    assert "This error was raised on rank 1 of 2" in done.stderr


def test_the_sum_on_a_gpu_calls_nccl_on_the_stream_of_the_kernels():
    with strict_cupy.installed():
        strict_cupy.NcclCommunicator.made.clear()
        x = backend.to_device(np.ones(3, dtype=np.float32), "cuda")
        add_up = backend.NcclSum(x, 1, 2, lambda name: name or "the name of rank 0")
        assert strict_cupy.NcclCommunicator.made == [(2, "the name of rank 0", 1)]
        add_up(x)  # the stand-in checks the arguments


def test_missing_nccl_is_named(monkeypatch):
    with strict_cupy.installed() as cupy:
        monkeypatch.setattr(cupy.cuda.nccl, "available", False)
        with pytest.raises(backend.DeviceError, match="several GPUs need NCCL, .*pip install nvidia-nccl"):
            backend.NcclSum(backend.to_device(np.ones(3), "cuda"), 0, 2, lambda name: name)


def step_of_checkpoint(folder):
    """Return the step of the checkpoint in a folder, which must be complete."""
    arrays, header = read_arrays(folder / "checkpoint.safetensors")
    assert all(np.isfinite(a).all() for a in arrays.values())
    return header["step"]


@pytest.mark.skipif(os.name == "nt", reason="Windows has no such signals")
@pytest.mark.thorough
@pytest.mark.parametrize("rank", [0, 1])
def test_a_rank_that_is_killed_ends_all(tmp_path, rank):
    assert run(2, "signal", tmp_path, int(signal.SIGKILL), 5, rank, seconds=90).returncode != 0
    assert step_of_checkpoint(tmp_path) >= 4


@pytest.mark.thorough
def test_random_errors_kills_and_interrupts_leave_a_complete_checkpoint(tmp_path):
    rng = np.random.default_rng()
    for k in range(5):
        folder = tmp_path / str(k)
        folder.mkdir()
        kind, rank, step = rng.integers(3), rng.integers(2), rng.integers(2, 40)
        if kind == 0:
            done = run(2, "error", folder, step, seconds=90)
        else:
            done = run(2, "signal", folder, int((signal.SIGKILL, signal.SIGINT)[kind - 1]), step, rank, seconds=90)
        assert (done.returncode == 0) == (kind == 2), done.stderr
        assert step_of_checkpoint(folder) >= step - 1


def trainer(communicator, criterion=None, threads=1):
    model = nn.Linear(2, 2, rng=0)
    optimizer = nn.optim.SGD(model.parameters(), lr=0.1)
    return nn.Trainer(model, criterion or nn.MSELoss(), optimizer, communicator=communicator, threads=threads)


def test_a_communicator_of_another_kind_is_refused():
    with pytest.raises(TypeError, match="communicator must be a communicator of mpi4py, such as .*COMM_WORLD, got int"):
        trainer(2)


def test_one_rank_trains_as_a_single_process():
    try:
        from mpi4py import MPI
    except (ImportError, RuntimeError) as error:  # RuntimeError: there is no MPI library
        pytest.skip(f"needs mpi4py and an MPI library: {error}")
    assert trainer(MPI.COMM_SELF).together is None
    with pytest.raises(ValueError, match="give threads or communicator, not both, got threads=2"):
        trainer(MPI.COMM_SELF, threads=2)
