"""Ranks: how many processes mpiexec has started, and how an error on one rank ends all ranks.

A rank that ends with an error does not take part in the next sum, so the other ranks would wait for this rank for ever.
"""

from __future__ import annotations

import contextlib
import functools
import os
import sys
import traceback
from collections.abc import Callable, Iterator, Mapping
from typing import TYPE_CHECKING, Any

from .divergence import TrainingDiverged

if TYPE_CHECKING:
    from .together import Together

# The environment variables with the number of processes. Open MPI sets the first variable. MPICH, Intel MPI and Slurm
# set the second.
SIZES = ("OMPI_COMM_WORLD_SIZE", "PMI_SIZE")


def number_of_ranks(environment: Mapping[str, str] = os.environ) -> int:
    """Return the number of processes that mpiexec has started with this one, or 1 without mpiexec.

    Examples
    --------
    >>> number_of_ranks({"OMPI_COMM_WORLD_SIZE": "4"}), number_of_ranks({"PATH": "/bin"})
    (4, 1)
    """
    return max((int(environment[name]) for name in SIZES if environment.get(name, "").isdecimal()), default=1)


def check_number_of_ranks() -> None:
    """Raise if MPI does not find the processes that mpiexec has started. Each of them would train alone.

    Raises
    ------
    ValueError
        mpi4py uses a different MPI library than mpiexec, or this process cannot connect to mpiexec.
    """
    from mpi4py import MPI

    started, found = number_of_ranks(), MPI.COMM_WORLD.Get_size()
    if started not in (1, found):
        library = MPI.Get_library_version().split(",")[0].splitlines()[0]
        raise ValueError(
            f"mpiexec has started {started} processes, but mpi4py finds {found}. Use the mpiexec of the library that "
            f"mpi4py calls ({library}). If you use it already, this process could not connect to it: start again"
        )


@contextlib.contextmanager
def end_all_ranks_on_error(together: Together | None) -> Iterator[None]:
    """If the ``with`` block raises an error, print a message that names the rank, and end all ranks.

    With one process, this has no effect. If all ranks raise `TrainingDiverged` at the same step, this has no effect
    either, because no rank then waits for another rank.
    """
    try:
        yield
    except BaseException as error:
        if together is None or (isinstance(error, TrainingDiverged) and together.diverges_alike()):
            raise
        traceback.print_exc()
        _end_all_ranks()


@functools.cache  # the first call of a process is enough
def end_all_ranks_on_uncaught_error() -> None:
    """From now on, let an uncaught error end all ranks. Otherwise the other ranks would wait for ever."""
    show: Callable[..., None] = sys.excepthook

    def show_and_end(*error: Any) -> None:
        show(*error)
        _end_all_ranks()

    sys.excepthook = show_and_end


def _end_all_ranks() -> None:
    from mpi4py import MPI

    rank, size = MPI.COMM_WORLD.Get_rank(), MPI.COMM_WORLD.Get_size()
    print(f"This error was raised on rank {rank} of {size}. It ends all ranks.", file=sys.stderr, flush=True)
    MPI.COMM_WORLD.Abort(1)
