"""The options that `nnscratch bench` and `python -m benchmarks` share."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from ..backend import module_for
from ..serialization import write_atomically
from . import report, runner
from .jobs import GPU_JOBS, JOBS, select

GPU_TABLE = "_gpu.md"  # docs/gpu.md includes docs/performance/_gpu.md


def add_options(parser: argparse.ArgumentParser, libraries: Sequence[runner.Library], kernel: str = "found") -> None:
    peers = ", ".join(library.key for library in libraries[1:])
    parser.add_argument("--jobs", metavar="A,B", help=f"jobs to run, from {', '.join(JOBS)} (default: all)")
    parser.add_argument(
        "--peers", metavar="P,Q", help=f"libraries to compare with, from {peers}; or none (default: all)"
    )
    parser.add_argument("--repeats", type=int, default=5, help="number of rounds (default: %(default)s)")
    parser.add_argument("--seconds", type=float, default=5.0, help="time per library and job (default: %(default)s)")
    parser.add_argument("--threads", type=int, help="threads of each library (default: all cores)")
    parser.add_argument(
        "--blas-kernel",
        default=kernel,
        metavar="KERNEL",
        help="OpenBLAS kernel: found (OpenBLAS's choice), best (the fastest on this processor), both, a name, or a "
        "list such as found,Haswell (default: %(default)s)",
    )


def run_on_gpu(arguments: argparse.Namespace) -> None:
    """Measure the GPU jobs with this package and with PyTorch and cuDNN, and print the table."""
    module_for("cuda")  # raises DeviceError with the reason if no GPU can be used
    jobs, libraries = select(arguments.jobs, GPU_JOBS), choose(runner.GPU, arguments.peers)
    environment, measured = runner.environment_for(None, arguments.threads), []
    environment.pop("CUPY_TF32", None)  # without TF32, so that both libraries compute in float32
    titles = {library.key: library.title for library in libraries}
    for job in jobs:
        results = runner.measure_job(job, libraries, arguments.repeats, arguments.seconds, environment, say=progress)
        measured.append((job, results))
        text = report.gpu_markdown(measured, titles)
        # Write the table after each job: if a time limit ends this process, the finished jobs are not lost.
        if arguments.out is not None:
            arguments.out.mkdir(parents=True, exist_ok=True)
            write_atomically(arguments.out / GPU_TABLE, text.encode())
    progress("\r")
    print(text)
    if arguments.out is not None:
        print(f"written: {arguments.out / GPU_TABLE}")


def progress(text: str) -> None:
    print(f"\r{text:<60}", end="", file=sys.stderr, flush=True)


def choose(libraries: Sequence[runner.Library], text: str | None) -> list[runner.Library]:
    """Return nnscratch and those of the other libraries that `text` names. None selects all of them.

    Examples
    --------
    >>> [library.key for library in choose([runner.OURS, *runner.PYTORCH], "torch")]
    ['nnscratch', 'torch']
    """
    if text is None:
        return list(libraries)
    chosen = [key.strip() for key in text.split(",") if key.strip() not in ("", "none")]
    known = {library.key: library for library in libraries[1:]}
    unknown = [key for key in chosen if key not in known]
    if unknown:
        raise ValueError(f"there is no peer {', '.join(unknown)}; the peers are {', '.join(known)}")
    return [libraries[0], *(known[key] for key in known if key in chosen)]


def run(
    arguments: argparse.Namespace,
    libraries: Sequence[runner.Library],
    out: Path | None,
    roots: Sequence[Path] = (),
    add: bool = False,
) -> dict[str, Any]:
    """Measure the jobs and print the tables. Also write them to the folder `out`, if it is given.

    If `add` is True, keep the results of other jobs that the files in `out` contain.
    """
    results = runner.run(
        select(arguments.jobs),
        choose(libraries, arguments.peers),
        repeats=arguments.repeats,
        seconds=arguments.seconds,
        kernel=arguments.blas_kernel,
        threads=arguments.threads,
        roots=roots,
        say=progress,
    )
    print(f"\r{'':<60}\r", end="", file=sys.stderr)
    print(report.markdown(results))
    if out is not None:
        print("written: " + ", ".join(map(str, report.write(results, out, add=add))))
    return results
