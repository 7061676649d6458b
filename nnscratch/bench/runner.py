"""The runner: run the workers in turns (ours, peer, ours, peer, ...), and compute medians and ratios.

The speed of a machine changes with its temperature and with other programs. If libraries take turns within one run,
such changes affect all of them alike, and the ratio of their times is reliable. A short pause before each turn lets the
threads of the previous library go to sleep. The first steps of a turn fill the caches and are not counted.
"""

from __future__ import annotations

import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from .. import blas, info
from .jobs import Job

HERE = Path(__file__).parent
# The largest relative difference of losses. 2e-7 is typical. For DeZero, it is 1e-5, because its Adam adds eps at
# another place.
TOLERANCE = 1e-4
REST = 0.05  # seconds between turns: after a product, OpenBLAS's threads use the CPU for about 0.025 s
MOST_STEPS = 5000  # the largest number of steps in one turn
PATIENCE = 3  # after two rounds, a library that has taken PATIENCE * `seconds` gets no more turns


@dataclass(frozen=True)
class Library:
    """A library to measure: the module that builds its jobs, and the statement with which users import the library."""

    key: str
    title: str
    module: str
    imports: str
    variant: str = ""


OURS = Library("nnscratch", "nnscratch", "bench.ours", "import nnscratch")
PYTORCH = (
    Library("torch", "PyTorch", "bench.pytorch", "import torch"),
    Library("compile", "torch.compile", "bench.pytorch", "import torch", "compile"),
)
GPU = (
    Library("nnscratch", "nnscratch", "bench.ours", "import nnscratch", "cuda"),
    Library("torch", "PyTorch", "bench.pytorch", "import torch", "cuda"),
)


@dataclass
class Result:
    """The result of one library on one job. `why` is the reason if there are no times."""

    library: str
    why: str | None = None
    rounds: list[list[float]] = field(default_factory=list)
    memory: int | None = None
    info: dict[str, Any] = field(default_factory=dict)

    @property
    def median(self) -> float | None:
        """The median time of a step, in seconds."""
        steps = [seconds for turn in self.rounds for seconds in turn]
        return statistics.median(steps) if steps else None

    def to_dict(self) -> dict[str, Any]:
        if self.why is not None:
            return {"why": self.why}
        return {
            "median_seconds": self.median,
            "round_medians": [statistics.median(turn) for turn in self.rounds],
            "steps": sum(map(len, self.rounds)),
            "peak_bytes": self.memory,
            **self.info,
        }


class WorkerStopped(RuntimeError):
    """The worker's process ended."""


class Worker:
    """A process that runs worker.py. Use it as a context manager."""

    def __init__(self, library: Library, job: Job, environment: dict[str, str], roots: Sequence[Path] = ()):
        # Import `bench` instead of `nnscratch.bench`, which would load the whole package into the memory of every peer.
        paths = [str(path) for path in (HERE.parent, HERE.parent.parent, *roots)]
        code = f"import sys; sys.path += {paths!r}; from bench.worker import main; main(*sys.argv[1:])"
        self.errors = tempfile.TemporaryFile(mode="w+", encoding="utf-8", errors="replace")  # noqa: SIM115
        self.process = subprocess.Popen(
            [
                sys.executable,
                "-P",
                "-W",
                "ignore",
                "-c",
                code,
                library.module,
                json.dumps(asdict(job)),
                library.variant,
            ],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self.errors,
            text=True,
            env=environment,
        )

    def __enter__(self) -> Worker:
        return self

    def __exit__(self, *error: Any) -> None:
        self.process.kill()
        self.process.communicate()
        self.errors.close()

    def read_answer(self) -> dict[str, Any]:
        line = self.process.stdout.readline()
        if not line:
            self.process.wait()
            self.errors.seek(0)
            last = (self.errors.read().strip().splitlines() or ["no error message"])[-1]
            raise WorkerStopped(f"stopped with code {self.process.returncode}: {last[:200]}")
        return json.loads(line)

    def run(self, steps: int, warm: int = 0) -> dict[str, Any]:
        """Run `steps` steps, of which the first `warm` are a warm-up. The answer has the time of each step."""
        try:
            self.process.stdin.write(json.dumps({"steps": steps, "warm": warm}) + "\n")
            self.process.stdin.flush()
        except BrokenPipeError:
            pass  # read_answer() raises the error with the reason
        return self.read_answer()


def agree(ours: Sequence[float], theirs: Sequence[float]) -> bool:
    """Return True if two libraries computed the same values, which shows that they did the same work.

    Examples
    --------
    >>> agree([9.21, 9.20], [9.2100001, 9.20]), agree([9.21], [9.31]), agree([9.21], [float("nan")])
    (True, False, False)
    """
    if not ours or len(ours) != len(theirs):
        return False
    return all(abs(a - b) <= TOLERANCE * max(abs(a), abs(b), 1e-3) for a, b in zip(ours, theirs, strict=True))


def measure_job(
    job: Job,
    libraries: Sequence[Library],
    repeats: int,
    seconds: float,
    environment: dict[str, str],
    roots: Sequence[Path] = (),
    say: Callable[[str], None] = lambda text: None,
) -> list[Result]:
    """Measure all libraries on one job, in turns, and compare their values with the values of the first library."""
    if job.kind == "import":
        return measure_imports(libraries, repeats, environment)
    results = [Result(library.key) for library in libraries]
    workers: dict[int, Worker] = {}
    try:
        for k, library in enumerate(libraries):
            say(f"{job.key}: {library.title} ...")
            workers[k] = Worker(library, job, environment, roots)
            try:
                first = workers[k].read_answer()
            except WorkerStopped as error:
                first = {"unavailable": str(error)}
            results[k].why = first.pop("unavailable", None)
            results[k].memory, results[k].info = first.pop("memory", None), first
            if results[k].why is None and results[0].why is None:
                check, ours = first["check"], results[0].info["check"]
                if not agree(ours, check):
                    results[k].why = f"different values: {shown(check)}, and {libraries[0].key} computes {shown(ours)}"
            if results[k].why is not None:
                workers.pop(k).__exit__()
        take_turns(workers, results, repeats, seconds, lambda turn: say(f"{job.key}: round {turn} of {repeats}"))
    finally:
        for worker in workers.values():
            worker.__exit__()
    return results


def take_turns(
    workers: dict[int, Worker],
    results: list[Result],
    repeats: int,
    seconds: float,
    say: Callable[[int], None],
) -> None:
    """Run `repeats` rounds of all workers, in alternating order. A worker that is too slow gets no more turns."""
    steps, spent = {}, dict.fromkeys(workers, 0.0)

    def answer_of(k: int, count: int, warm: int = 0) -> dict[str, Any] | None:
        try:
            return workers[k].run(count, warm)
        except WorkerStopped as error:
            results[k].why = str(error)
            workers.pop(k).__exit__()
            return None

    for k in list(workers):
        first = answer_of(k, 1)
        if first is not None and first["seconds"][0] < seconds:  # the first step may be slower than later steps
            first = answer_of(k, 2)
        if first is None:
            continue
        one = min(first["seconds"])
        steps[k] = max(1, min(MOST_STEPS, int(seconds / repeats / one)))
    for turn in range(repeats):
        say(turn + 1)
        order = list(workers) if turn % 2 == 0 else list(reversed(workers))
        for k in order:
            if turn >= 2 and spent[k] > PATIENCE * seconds:
                continue
            warm = 0 if steps[k] == 1 else max(1, steps[k] // 20)  # a single step has no warm-up
            time.sleep(REST)
            answer = answer_of(k, steps[k] + warm, warm)
            if answer is None:
                continue
            results[k].rounds.append(answer["seconds"][warm:])
            results[k].memory = answer["memory"]
            spent[k] += sum(answer["seconds"])


def measure_imports(libraries: Sequence[Library], repeats: int, environment: dict[str, str]) -> list[Result]:
    """Measure the time and the memory of importing each library, each time in a new process."""
    once = [library for library in libraries if not library.variant]
    results = {library.key: Result(library.key) for library in once}
    code = (
        f"import sys, time; sys.path += {[str(HERE.parent), str(HERE.parent.parent)]!r}\n"
        "start = time.perf_counter(); exec(sys.argv[1]); seconds = time.perf_counter() - start\n"
        "from bench.worker import peak_memory; import json\n"
        "print(); print(json.dumps([seconds, peak_memory()]))"
    )
    for turn in range(repeats + 1):  # the first import reads from the disk and is not counted
        for library in once:
            result = results[library.key]
            if result.why is not None:
                continue
            command = [sys.executable, "-P", "-W", "ignore", "-c", code, library.imports]
            done = subprocess.run(command, env=environment, capture_output=True, text=True)
            if done.returncode != 0:
                last = (done.stderr.strip().splitlines() or ["import failed"])[-1]
                result.why = f"not installed ({last[:200]})" if "ModuleNotFound" in last else last[:200]
                continue
            took, memory = json.loads(done.stdout.splitlines()[-1])
            result.memory = memory if result.memory is None else max(memory, result.memory)
            if turn > 0:
                result.rounds.append([took])
    return list(results.values())


def shown(numbers: Sequence[float]) -> str:
    return "[" + ", ".join(f"{number:.6g}" for number in numbers) + "]"


# --- a whole run -----------------------------------------------------------------------------------------------------


def environment_for(kernel: str | None, threads: int | None) -> dict[str, str]:
    """Return the environment of the workers.

    If `kernel` is None, OpenBLAS selects its kernel, or uses the kernel that the environment names.
    """
    environment = dict(os.environ)
    if environment.pop(blas.OURS, None):  # nnscratch has set the variable, not the user
        environment.pop(blas.VARIABLE, None)
    if kernel is not None:
        environment[blas.VARIABLE] = kernel
    if threads is not None:
        for name in ("OPENBLAS_NUM_THREADS", "OMP_NUM_THREADS", "MKL_NUM_THREADS"):
            environment[name] = str(threads)
        if threads == 1:
            environment["XLA_FLAGS"] = "--xla_cpu_multi_thread_eigen=false intra_op_parallelism_threads=1"
    return environment


def kernels_to_run(which: str) -> list[tuple[str, str | None]]:
    """Return pairs of a heading and a kernel for ``--blas-kernel``. The kernel is None if OpenBLAS selects it."""
    if "," in which:
        return [run for name in which.split(",") for run in kernels_to_run(name.strip())]
    if which == "found":
        return [("as found", None)]
    if which not in ("best", "both"):
        flags = blas.processor().flags
        if which not in blas.KERNELS:
            raise ValueError(f"--blas-kernel must be one of these words: found, best, both, {', '.join(blas.KERNELS)}")
        if flags and which not in blas.usable_kernels(flags):
            raise ValueError(f"this processor lacks instructions that OpenBLAS's {which} kernel needs")
        return [(f"kernel {which}", which)]
    own, speeds = blas.compare_kernels(blas.processor().flags)
    better = blas.faster_kernel(own, speeds)
    if better is None:
        return [(f"as found ({own}; no other kernel is clearly faster here)", None)]
    best = [(f"kernel {better}", better)]
    return best if which == "best" else [(f"as found ({own})", None), *best]


def describe_machine(threads: int | None, environment: dict[str, str]) -> dict[str, Any]:
    """Describe the machine and the software.

    The BLAS depends on environment variables, so a new process with the same environment as the workers reports it.
    """
    cpu = blas.processor()
    code = "import json, runpy, sys; from dataclasses import asdict; m = runpy.run_path(sys.argv[1]); "
    code += "print(json.dumps(asdict(m['blas']()))); import numpy; print(json.dumps(numpy.__version__))"
    command = [sys.executable, "-P", "-c", code, blas.__file__]
    done = subprocess.run(command, env=environment, capture_output=True, text=True)
    library, numpy = (json.loads(line) for line in done.stdout.splitlines()) if done.returncode == 0 else ({}, None)
    return {
        "processor": cpu.name,
        "instructions": info.instructions(cpu.flags).removeprefix(", "),
        "cores": cpu.cores,
        "threads": threads or cpu.cores,
        "system": f"{os.uname().sysname} {os.uname().release}" if hasattr(os, "uname") else sys.platform,
        "python": sys.version.split()[0],
        "numpy": numpy,
        "blas": library,
        "load_average": list(os.getloadavg()) if hasattr(os, "getloadavg") else None,
    }


def run(
    jobs: Sequence[Job],
    libraries: Sequence[Library],
    *,
    repeats: int = 5,
    seconds: float = 5.0,
    kernel: str = "found",
    threads: int | None = None,
    roots: Sequence[Path] = (),
    say: Callable[[str], None] = lambda text: None,
) -> dict[str, Any]:
    """Measure all jobs and return the results in the form that is written to JSON: see report.py.

    Parameters
    ----------
    jobs, libraries : sequences
        The other libraries are compared with the first one.
    repeats : int
        The number of rounds.
    seconds : float
        The approximate time for each library and job.
    kernel : str
        ``found``, ``best``, ``both`` or the name of an OpenBLAS kernel.
    threads : int, optional
        The number of threads of every library. The default is all cores.
    """
    if repeats < 1 or not 0 < seconds < float("inf") or (threads is not None and threads < 1):
        raise ValueError(f"repeats, seconds and threads must be above 0, got {repeats}, {seconds} and {threads}")
    if threads is None:  # if the environment limits one BLAS, limit all libraries
        limits = [os.environ.get(name, "") for name in ("OPENBLAS_NUM_THREADS", "OMP_NUM_THREADS")]
        threads = next((int(text) for text in limits if text.isdecimal() and int(text) > 0), None)
    runs = []
    for heading, name in kernels_to_run(kernel):
        environment = environment_for(name, threads)
        found = {"kernel": heading, "machine": describe_machine(threads, environment), "jobs": []}
        for job in jobs:
            results = measure_job(job, libraries, repeats, seconds, environment, roots, say)
            entry = {"key": job.key, "title": job.title, "unit": job.unit, "per": job.per, "kind": job.kind}
            found["jobs"].append(entry | {"results": {result.library: result.to_dict() for result in results}})
        runs.append(found)
    titles = {library.key: library.title for library in libraries}
    return {"schema": 1, "libraries": titles, "repeats": repeats, "seconds": seconds, "runs": runs}
