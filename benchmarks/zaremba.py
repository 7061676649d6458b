"""Report a run of a preset of Zaremba, Sutskever and Vinyals (2014), and compare its speed with PyTorch.

    python -m benchmarks.zaremba NAME FOLDER    writes docs/performance/_zaremba_NAME.md and a figure

FOLDER contains a finished run of ``nnscratch train --preset zaremba-small``. The command measures its best weights on
the validation text and on the test text. Then both libraries run the training step of the preset in turns, for a few
hundred steps. They start from the same initial weights, and their first losses must agree. The time of a whole run is
the median time of a step times the number of steps. If ``python -m benchmarks.zaremba_pytorch FOLDER`` has trained the
same model with PyTorch, the table also shows its perplexities.
"""

from __future__ import annotations

import argparse
import json
import math
import sys
from pathlib import Path
from typing import Any

from nnscratch.bench import report, runner
from nnscratch.bench.jobs import Job, lm
from nnscratch.plotting import style
from nnscratch.runs import Run

from . import zaremba_pytorch
from .libraries import ROOT

PAPER = {
    200: (120.7, 114.5),
    650: (86.2, 82.7),
    1500: (82.2, 78.4),
}  # hidden size: validation and test perplexity, table 1 of the paper
LIBRARIES = [
    runner.Library("nnscratch", "nnscratch", "benchmarks.peers.zaremba", "import nnscratch", "preset"),
    runner.Library("torch", "PyTorch", "benchmarks.peers.zaremba", "import torch", "preset torch"),
]


def step_job(config: Any, vocabulary: int) -> Job:
    """Return the job of one training step with the settings of the run, on random tokens."""
    sizes = lm(vocabulary, config.embed, config.hidden, config.layers, config.batch, config.seq_len)
    return Job("z", "", "lm", sizes | {"lr": config.lr, "clip": config.clip})


def time_steps(job: Job, seconds: float, repeats: int) -> dict[str, Any]:
    """Return the median seconds of a step for both libraries, which take turns, and a description of the machine."""
    environment = runner.environment_for(None, None)
    results = runner.measure_job(job, LIBRARIES, repeats, seconds, environment, roots=[ROOT])
    broken = [f"{result.library}: {result.why}" for result in results if result.why is not None]
    if broken:
        raise RuntimeError("; ".join(broken))
    found = {result.library: {"median_seconds": result.median, "peak_bytes": result.memory} for result in results}
    return {"machine": runner.describe_machine(None, environment), "results": found}


def describe_run(run: Run) -> dict[str, Any]:
    """Return the perplexities of the best weights of the run, and its history."""
    model, history = run.model(), json.loads((run.folder / "history.json").read_text(encoding="utf-8"))
    reached = {part: math.exp(run.loss(model, run.batches(part))) for part in ("valid", "test")}
    per_epoch = len(run.batches("train"))
    epochs = [
        {
            "epoch": round(entry["epoch"], 2),
            "lr": history["lr"][entry["step"] - 1],
            "train": math.exp(mean(history["loss"][max(0, entry["step"] - per_epoch) : entry["step"]])),
            "valid": math.exp(entry["loss"]),
            "seconds": entry["seconds"],
        }
        for entry in history["valid"]
    ]
    steps, parameters = len(history["loss"]), sum(p.size for p in model.parameters())
    beside = run.folder / zaremba_pytorch.NAME
    pytorch = json.loads(beside.read_text(encoding="utf-8")) if beside.is_file() else None
    if pytorch is not None and pytorch["steps"] != steps:
        raise ValueError(f"{beside} has {pytorch['steps']} steps, but the run in {run.folder} has {steps}")
    return {"reached": reached, "steps": steps, "parameters": parameters, "epochs": epochs, "pytorch": pytorch}


def mean(values: list[float]) -> float:
    return sum(values) / len(values)


def markdown(name: str, hidden: int, run: dict[str, Any], timed: dict[str, Any] | None) -> str:
    paper = PAPER.get(hidden)
    rows = [[label, f"{run['reached'][key]:.1f}"] for key, label in (("valid", "validation"), ("test", "test"))]
    if name == "ptb" and paper is not None:
        rows = [[*row, f"{value:.1f}"] for row, value in zip(rows, paper, strict=True)]
    header = ["perplexity", "this run", "the paper"][: len(rows[0])]
    pytorch = run["pytorch"]
    if pytorch is not None:
        rows = [[*row, f"{pytorch['reached'][key]:.1f}"] for row, key in zip(rows, ("valid", "test"), strict=True)]
        header.append(f"PyTorch {pytorch['version'].partition('+')[0]}")
    lines = [
        f"<!-- Written by python -m benchmarks.zaremba {name}; do not edit. -->",
        f"{run['parameters']:,} parameters, {run['steps']:,} steps.",
        report.table(header, rows),
    ]
    if timed is not None:
        lines += [report.machine(timed["machine"]), times(run, timed)]
    header = ["epoch", "learning rate", "training perplexity", "validation perplexity", "minutes so far"]
    rows = [
        [*(f"{e['epoch']:g} {e['lr']:.4g} {e['train']:.1f} {e['valid']:.1f}".split()), f"{e['seconds'] / 60:.1f}"]
        for e in run["epochs"]
    ]
    if pytorch is not None:
        header.insert(4, "PyTorch's validation perplexity")
        for row, e in zip(rows, pytorch["epochs"], strict=True):
            row.insert(4, f"{e['valid']:.1f}")
    lines += [
        ":::{figure-md}\n"
        "![Perplexity after each epoch, with a logarithmic axis. On the training text it falls until the end. On the "
        f"validation text it falls in the first epochs and then hardly changes.](_zaremba_{name}.png)\n\n"
        "Perplexity on the training text and on the validation text, after each epoch.\n:::",
        report.table(header, rows),
    ]
    return "\n\n".join(lines) + "\n"


def times(run: dict[str, Any], timed: dict[str, Any]) -> str:
    rows = []
    for library in LIBRARIES:
        found = timed["results"][library.key]
        step, memory = found["median_seconds"], found["peak_bytes"] / 2**20
        rows.append(
            [library.title, f"{step * 1e3:.1f}", f"{step * run['steps'] / 60:.1f}", report.three_digits(memory)],
        )
    ours, theirs = (timed["results"][library.key]["median_seconds"] for library in LIBRARIES)
    return (
        report.table(["", "ms a step", "minutes for all steps", "peak MiB"], rows)
        + f"\n\nTime divided by PyTorch's time: **{ours / theirs:.2f}**. The two libraries took turns. The minutes are "
        "the median time of a step times the number of steps, without validation."
    )


def draw(run: dict[str, Any], path: Path) -> None:
    ax = style.new_axes()
    x = [e["epoch"] for e in run["epochs"]]
    for key, label, colour, marker, line in (
        ("train", "training, mean of the epoch", style.BLUE, style.MARKERS[0], style.LINES[1]),
        ("valid", "validation", style.ORANGE, style.MARKERS[1], style.LINES[0]),
    ):
        ax.plot(x, [e[key] for e in run["epochs"]], line, color=colour, marker=marker, label=label)
    if run["pytorch"] is not None:
        e = run["pytorch"]["epochs"]
        kind = {"color": style.GREEN, "marker": style.MARKERS[2], "linestyle": style.LINES[2]}
        ax.plot([one["epoch"] for one in e], [one["valid"] for one in e], **kind, label="validation, PyTorch")
    ax.set(xlabel="epochs", ylabel="perplexity", yscale="log")
    ticks = [t for t in (30, 40, 50, 60, 80, 100, 120, 150, 200, 300, 400) if ax.get_ylim()[0] <= t <= ax.get_ylim()[1]]
    ax.set_yticks(ticks, [str(t) for t in ticks])
    ax.minorticks_off()
    ax.grid(alpha=0.3)
    ax.legend()
    style.save_figure(ax, path)


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.zaremba", description=__doc__.splitlines()[0])
    parser.add_argument("name", help="name of the page: ptb or austen")
    parser.add_argument("folder", type=Path, help="folder of a finished run")
    parser.add_argument(
        "--seconds", type=float, default=20.0, help="time for each library; 0 skips the timing (default: 20)"
    )
    parser.add_argument(
        "--repeats",
        type=int,
        default=4,
        help="number of rounds; the libraries take turns in each (default: %(default)s)",
    )
    parser.add_argument("--out", type=Path, default=ROOT / "docs" / "performance", help="default: %(default)s")
    arguments = parser.parse_args()
    run = Run.open(arguments.folder)
    told = describe_run(run)
    timed = None
    if arguments.seconds:
        timed = time_steps(step_job(run.config, len(run.tokenizer)), arguments.seconds, arguments.repeats)
    arguments.out.mkdir(parents=True, exist_ok=True)
    page = arguments.out / f"_zaremba_{arguments.name}.md"  # zaremba.md includes this page
    page.write_text(markdown(arguments.name, run.config.hidden, told, timed), encoding="utf-8")
    page.with_suffix(".json").write_text(json.dumps(told | {"times": timed}, indent=1) + "\n", encoding="utf-8")
    draw(told, page.with_suffix(".png"))
    print(page.read_text(encoding="utf-8"))
    return 0


if __name__ == "__main__":
    sys.exit(main())
