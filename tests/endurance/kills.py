"""Kill ``nnscratch train`` at random moments, resume each run, and compare it with a run that was never killed.

    python tests/endurance/kills.py --count 200        or: make kills KILLS=200

Each run has a checkpoint after every 8 steps. It is killed five times, with SIGKILL, which no program can handle. The
moments are random, also while the settings or a checkpoint are being written. After each kill it is resumed. These four
things must hold:

1. The files that exist can be read.
2. The checkpoint is not older than it was just before the kill.
3. The last ``train --resume`` ends without an error.
4. Its weights, the moments of the optimizer and the loss of every step equal those of the run that was never killed.

The processes are forks of this one, so they need not import the package again. It works on Linux and macOS.
"""

import argparse
import contextlib
import multiprocessing
import os
import random
import shutil
import tempfile
import time
from pathlib import Path

os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")  # before NumPy is imported: a fork has no second thread

import matplotlib.pyplot  # noqa: F401 (the forks need it, and importing it takes long)
from compare_runs import differences, step_of

import nnscratch as nn
from nnscratch.cli import main as nnscratch

TEXT = "the cat sat on the mat. the dog sat on the cat. the mat sat on the dog.\n\n" * 60
SETTINGS = ["--hidden", "8", "--embed", "4", "--batch", "16", "--seq-len", "32", "--dropout", "0.1"]
KILLS_EACH = 5


def start(*arguments: object) -> multiprocessing.Process:
    """Start ``nnscratch train`` with `arguments` in a process of its own. It prints nothing."""

    def train() -> None:
        with open(os.devnull, "w") as null, contextlib.redirect_stdout(null), contextlib.redirect_stderr(null):
            os._exit(nnscratch(["train", *map(str, arguments)]))

    process = multiprocessing.get_context("fork").Process(target=train)
    process.start()
    return process


def wait_for_step(folder: Path, step: float, process: multiprocessing.Process) -> None:
    """Wait until the folder exists and its checkpoint has reached `step`, or the process has ended."""
    while process.is_alive() and not (folder.exists() and step_of(folder) >= step):
        time.sleep(0.002)


def killed_run(
    folder: Path, straight: Path, options: list, moments: list[tuple[float, float]]
) -> tuple[list[int], list[str]]:
    """Train in `folder`, and kill the process at each moment.

    A moment is (step, seconds): the kill comes this number of seconds after a checkpoint has reached the step.
    Return the steps of the checkpoints after the kills, and all faults. A run that ends early has fewer kills.
    """
    steps, faults = [], []
    for step, seconds in moments:
        process = start(*arguments_for(folder, options))
        wait_for_step(folder, step, process)
        time.sleep(seconds)
        before = step_of(folder)
        process.kill()
        process.join()
        if process.exitcode >= 0:
            break
        steps.append(step_of(folder))
        if steps[-1] < before:
            faults.append(f"the checkpoint went back from step {before} to {steps[-1]}")
        if (folder / "model.safetensors").exists():
            nn.load(folder / "model.safetensors")
    process = start(*arguments_for(folder, options))
    process.join()
    if process.exitcode:
        return steps, [*faults, f"the last resume ended with exit code {process.exitcode}"]
    return steps, faults + differences(folder, straight)


def arguments_for(folder: Path, options: list) -> list:
    """Return the arguments that resume the run in `folder`, or start it if it has no settings yet."""
    return [*(["--resume"] if (folder / "config.json").exists() else options), "--out", folder]


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--count", type=int, default=200, help="kills (default: %(default)s)")
    parser.add_argument("--steps", type=int, default=280, help="steps of each run (default: %(default)s)")
    parser.add_argument("--seed", type=int, default=0, help="the seed of the moments (default: %(default)s)")
    arguments = parser.parse_args()
    rng, work = random.Random(arguments.seed), Path(tempfile.mkdtemp(prefix="nnscratch-kills-"))
    text, straight = work / "text.txt", work / "straight"
    text.write_text(TEXT, encoding="utf-8")
    options = [text, *SETTINGS, "--steps", arguments.steps]
    process = start(*options, "--out", straight)
    process.join()
    if process.exitcode:
        raise RuntimeError(f"the run that is not killed ended with exit code {process.exitcode}")
    steps, runs, failed = [], 0, 0
    while len(steps) < arguments.count:
        runs, folder = runs + 1, work / f"killed-{runs + 1}"
        count = min(KILLS_EACH, arguments.count - len(steps))
        targets = sorted(rng.uniform(-20, arguments.steps) for _ in range(count))
        moments = [(step, rng.uniform(0, 0.1)) for step in targets]
        killed_at, faults = killed_run(folder, straight, options, moments)
        steps += killed_at
        if faults:
            failed += 1
            print(f"killed at the steps {killed_at}: {'; '.join(faults)}; the files are in {folder}", flush=True)
        else:
            shutil.rmtree(folder)
        print(f"{len(steps)} kills in {runs} runs, {failed} runs failed; the last kills: {killed_at}", flush=True)
    print(f"killed before the first checkpoint: {sum(step == 0 for step in steps)}")
    if not failed:
        shutil.rmtree(work)
    return 1 if failed else 0


if __name__ == "__main__":
    raise SystemExit(main())
