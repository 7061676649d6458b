"""The processes that benchmarks/ranks.py measures. Rank 0 prints one line of JSON.

    python -m benchmarks.rank_worker step LIBRARY JOB STEPS [ROWS]
    python -m benchmarks.rank_worker messages

`step` trains JOB and prints the median time of a step and the loss of the last one. LIBRARY is nnscratch or torch.
Under mpiexec, nnscratch trains on all ranks. With torch, the environment variable WORLD_SIZE has the number of
processes, which train with DistributedDataParallel. With ROWS, a step takes only the first rows of each batch.
`messages` prints the time that MPI takes to add up arrays of several sizes.
"""

from __future__ import annotations

import itertools
import json
import os
import statistics
import sys
import time
from collections.abc import Callable
from typing import Any

import numpy as np

from nnscratch.bench.jobs import JOBS, Job

FIRST = 5  # steps that fill the caches and are not counted
SIZES = [8, 1 << 10, 1 << 14, 1 << 17, 1 << 20, 1 << 22, 1 << 24]  # bytes


def batches_of(job: Job, rows: int | None) -> Any:
    return itertools.cycle([(x[:rows], y[:rows]) for x, y in job.batches()])


def with_nnscratch(job: Job, rows: int | None) -> tuple[int, Callable[[], float]]:
    """Return the rank of this process, and a function that makes a step."""
    import nnscratch as nn
    from nnscratch import launch

    communicator = launch.communicator()
    s = job.sizes
    if job.kind == "transformer":
        model = nn.models.TransformerLM(s["vocab"], s["embed"], s["heads"], s["layers"], context=s["steps"], rng=0)
    else:
        model = nn.models.LanguageModel(s["vocab"], s["embed"], s["hidden"], s["layers"], rng=0)
    model.load_state_dict(job.weights())
    optimizer = nn.optim.Adam(model.parameters(), lr=1e-3)
    criterion = nn.CrossEntropyLoss()
    cores = nn.backend.num_threads() if job.kind == "transformer" and communicator is None else 1
    settings = {"max_norm": 5.0, "threads": cores, "communicator": communicator}
    trainer = nn.Trainer(model, criterion, optimizer, **settings)
    batches = batches_of(job, rows)
    return trainer.rank, lambda: trainer.train_step(*next(batches))


def with_torch(job: Job, rows: int | None) -> tuple[int, Callable[[], float]]:
    """Return the rank of this process, and a function that makes a step: PyTorch's own loop, with DDP on several."""
    import torch

    from nnscratch.bench.pytorch import Jobs

    torch.set_num_threads(int(os.environ["OMP_NUM_THREADS"]))
    size, rank = int(os.environ.get("WORLD_SIZE", 1)), int(os.environ.get("RANK", 0))
    kept, own_rows = {}, slice(rows)
    jobs = Jobs(torch, job, compiled=False)
    if size > 1:
        torch.distributed.init_process_group("gloo")
        each = job.sizes["batch"] // size
        own_rows = slice(rank * each, (rank + 1) * each)
        jobs.maybe_compiled = lambda model: kept.setdefault("ddp", torch.nn.parallel.DistributedDataParallel(model))
    own = [(x[own_rows], y[own_rows]) for x, y in job.batches()]

    class OwnRows:
        """The job with the rows of this process."""

        sizes, weights, batches = job.sizes, job.weights, staticmethod(lambda: own)

    jobs.job = OwnRows
    return rank, getattr(jobs, job.kind)()["step"]


def step(library: str, key: str, steps: str, rows: str | None = None) -> None:
    make = {"nnscratch": with_nnscratch, "torch": with_torch}[library]
    rank, one_step = make(JOBS[key], None if rows is None else int(rows))
    seconds, loss = [], float("nan")
    for _ in range(FIRST + int(steps)):
        start = time.perf_counter()
        loss = one_step()
        seconds.append(time.perf_counter() - start)
    if rank == 0:
        print(json.dumps({"median_seconds": statistics.median(seconds[FIRST:]), "loss": loss}), flush=True)
    if library == "torch" and int(os.environ.get("WORLD_SIZE", 1)) > 1:
        import torch

        torch.distributed.destroy_process_group()


def messages() -> None:
    from mpi4py import MPI

    world, found = MPI.COMM_WORLD, []
    for size in SIZES:
        array, seconds = np.zeros(max(1, size // 4), dtype=np.float32), []
        for _ in range(30):
            world.Barrier()
            start = time.perf_counter()
            world.Allreduce(MPI.IN_PLACE, array)
            seconds.append(time.perf_counter() - start)
        found.append((size, statistics.median(seconds[5:])))
    if world.Get_rank() == 0:
        print(json.dumps(found))


if __name__ == "__main__":
    {"step": step, "messages": messages}[sys.argv[1]](*sys.argv[2:])
