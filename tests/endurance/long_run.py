"""Train for a long time: once straight, and once killed three times and resumed. Both must end with equal weights.

    python tests/endurance/long_run.py --minutes 60        or: make long-run MINUTES=60

The two runs train side by side, each with one thread. A character model reads *Pride and Prejudice*. Each run records
its memory and its processor time every 1,000 steps, and both must stay constant. The number of steps is fixed before
the runs start, from a measurement, or by ``--steps``. The kills come at random steps. It works on Linux.
"""

import argparse
import json
import os
import random
import subprocess
import sys
import tempfile
import time
from pathlib import Path

os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")  # before NumPy is imported

from compare_runs import differences, step_of

import nnscratch as nn

EVERY = 1000
MEASURED = "measured.jsonl"


class Measure(nn.training.Callback):
    """Write step, resident memory and processor time to a file, every 1,000 steps."""

    def __init__(self, path: Path):
        self.path = path

    def on_step_end(self, trainer: nn.Trainer) -> None:
        if trainer.steps_done % EVERY:
            return
        pages = int(Path("/proc/self/statm").read_text().split()[1])
        record = {
            "step": trainer.steps_done,
            "process": os.getpid(),
            "MB": pages * os.sysconf("SC_PAGE_SIZE") / 1e6,
            "cpu": time.process_time(),
        }
        with self.path.open("a") as file:
            file.write(json.dumps(record) + "\n")


def new_run(folder: Path) -> tuple[nn.Trainer, nn.data.TextBatches]:
    text = nn.data.load_austen("pride_and_prejudice")
    tokenizer = nn.data.CharTokenizer.from_text(text)
    batches = nn.data.TextBatches(tokenizer.encode(text), batch_size=8, seq_len=32)
    model = nn.models.LanguageModel(len(tokenizer), 32, 64, dropout=0.1, rng=0)
    callbacks = [nn.training.Checkpoint(folder, every=EVERY), Measure(folder / MEASURED)]
    optimizer = nn.optim.Adam(model.parameters(), lr=1e-3)
    trainer = nn.Trainer(model, nn.CrossEntropyLoss(), optimizer, max_norm=5.0, callbacks=callbacks, progress=False)
    return trainer, batches


def train(folder: Path, steps: int) -> None:
    """Train until `steps` steps are done, from the checkpoint in `folder` if there is one."""
    trainer, batches = new_run(folder)
    if step_of(folder):
        nn.training.resume(trainer, folder)
    trainer.fit(batches, steps=steps)


def start(folder: Path, steps: int) -> subprocess.Popen:
    return subprocess.Popen([sys.executable, __file__, "--train", str(folder), "--steps", str(steps)])


def steps_in(minutes: float) -> int:
    """Return how many thousands of steps fit into `minutes`, from the time of 1,000 steps."""
    with tempfile.TemporaryDirectory() as folder:
        begun = time.perf_counter()
        train(Path(folder), EVERY)
        return max(1, int(minutes * 60 / (time.perf_counter() - begun))) * EVERY


def measured(folder: Path) -> list[dict]:
    path = folder / MEASURED
    return [json.loads(line) for line in path.read_text().splitlines()] if path.exists() else []


def wait_until(folder: Path, step: int, process: subprocess.Popen) -> None:
    """Wait until the run in `folder` has recorded `step`, or has ended."""
    while process.poll() is None and not any(record["step"] >= step for record in measured(folder)[-1:]):
        time.sleep(1)


def table(folder: Path) -> list[str]:
    """Return ten lines: memory, and processor time per 1,000 steps, in each tenth of the run."""
    records, lines = measured(folder), []
    for k in range(10):
        first, end = (fraction * len(records) // 10 for fraction in (k, k + 1))
        memory = [record["MB"] for record in records[first:end]]
        pairs = zip(records[max(0, first - 1) : end], records[max(1, first) : end], strict=False)
        seconds = sorted(
            b["cpu"] - a["cpu"] for a, b in pairs if a["process"] == b["process"] and b["step"] == a["step"] + EVERY
        )
        if seconds:
            lines.append(
                f"steps to {records[end - 1]['step']:>9,}   memory {min(memory):6.1f} to {max(memory):6.1f} MB   "
                f"processor time of 1,000 steps: median {seconds[len(seconds) // 2]:.2f} s"
            )
    return lines


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--minutes", type=float, default=60, help="of each run (default: %(default)s)")
    parser.add_argument("--steps", type=int, help="train this number of steps instead")
    parser.add_argument("--seed", type=int, default=0, help="the seed of the kills (default: %(default)s)")
    parser.add_argument("--train", type=Path, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.train:
        train(arguments.train, arguments.steps)
        return 0
    steps, rng = arguments.steps or steps_in(arguments.minutes), random.Random(arguments.seed)
    kills = sorted(rng.uniform(0.05, 0.95) * steps for _ in range(3))
    work = Path(tempfile.mkdtemp(prefix="nnscratch-long-"))
    straight, killed = work / "straight", work / "killed"
    for folder in (straight, killed):
        folder.mkdir()
    print(f"{steps:,} steps, with kills after {', '.join(f'{k:,.0f}' for k in kills)}; files in {work}", flush=True)
    begun, first, second = time.perf_counter(), start(straight, steps), start(killed, steps)
    for step in kills:
        wait_until(killed, step, second)
        time.sleep(rng.uniform(0, 5))
        second.kill()
        second.wait()
        print(f"killed at {time.perf_counter() - begun:,.0f} s, checkpoint of step {step_of(killed):,}", flush=True)
        second = start(killed, steps)
    codes = [first.wait(), second.wait()]
    different = differences(straight, killed) if codes == [0, 0] else [f"exit codes {codes}"]
    for name, folder in (("straight", straight), ("killed", killed)):
        print(f"{name}:", *table(folder), sep="\n    ")
    print(f"{time.perf_counter() - begun:,.0f} s;", f"differ: {different}" if different else "equal bit for bit")
    return 1 if different else 0


if __name__ == "__main__":
    raise SystemExit(main())
