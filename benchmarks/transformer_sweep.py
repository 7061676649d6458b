"""Measure what a small GPT needs to predict *Pride and Prejudice* as well as an LSTM of the same size.

    python -m benchmarks.transformer_sweep          writes docs/results/transformer_sweep.json and .md

It varies the learning rate, the depth, the context and the positions of the TransformerLM of
`benchmarks.transformer_or_lstm`, gives it BPE tokens instead of characters, and trains the LSTM with the same budget.
All models have about the same number of parameters. A run that is already in the JSON file is not repeated.
"""

from __future__ import annotations

import argparse
import json
import math
import multiprocessing
import os
import platform
import time
from concurrent.futures import ProcessPoolExecutor, as_completed
from pathlib import Path

import numpy as np

import nnscratch as nn

from .transformer_or_lstm import cpu_name, parameters

TARGET = Path("docs/results/transformer_sweep.json")
STEP = 256  # characters or tokens in a training step
BASE = {"model": "TransformerLM", "lr": 3e-3, "width": 64, "heads": 4, "layers": 4, "context": 64, "epochs": 3}
LSTM = {"model": "LSTM", "lr": 4e-3, "width": 64, "hidden": 190, "layers": 1, "context": 64, "epochs": 3}
TWO = BASE | {"width": 90, "heads": 3, "layers": 2}
BPE = BASE | {"vocab": 1000, "width": 56}
SINUSOIDAL = {"positions": "sinusoidal"}
RUNS: dict[str, list[dict]] = {
    "rate and depth": [*(BASE | {"lr": lr} for lr in (1e-3, 3e-3, 6e-3)), TWO],
    "context": [*(BASE | {"context": context} for context in (256, 128, 64, 32))],
    "positions": [
        run | positions
        for run in (BASE, BASE | {"context": 32}, TWO, TWO | {"context": 32})
        for positions in ({}, SINUSOIDAL)
    ],
    "LSTM": [LSTM, LSTM | {"lr": 8e-3}],
    "six readings": [BASE | SINUSOIDAL | {"epochs": 6}],
    "BPE": [
        BPE,
        BPE | {"steps_of": 3},
        BPE | {"layers": 2, "width": 76, "context": 32, "steps_of": 3},
        LSTM | {"vocab": 1000, "width": 112, "hidden": 112, "steps_of": 3, "lr": 8e-3},
    ],
}


def label(run: dict) -> str:
    """Return the settings of a run as one string, its key in the JSON file."""
    return json.dumps(run, sort_keys=True)


def build(run: dict, vocabulary: int) -> nn.Module:
    tie = "vocab" in run  # otherwise two tables of 1,000 tokens would be half of the model
    if run["model"] == "LSTM":
        return nn.models.LanguageModel(vocabulary, run["width"], run["hidden"], run["layers"], tie_weights=tie, rng=0)
    sizes = run["width"], run["heads"], run["layers"], run["context"]
    positions = run.get("positions", "learned")
    return nn.models.TransformerLM(vocabulary, *sizes, tie_weights=tie, positions=positions, rng=0)


def bits(model: nn.Module, tokenizer: object, tokens: np.ndarray, segment: int) -> float:
    """Return the bits per character when `tokens` are read in 10 lanes, `segment` tokens at a time."""
    batches = nn.data.TextBatches(tokens, 10, segment)
    loss = nn.evaluate(model, nn.CrossEntropyLoss(), batches)
    targets = np.concatenate([target.ravel() for _, target in batches])
    count = tokenizer.count_characters(targets) if isinstance(tokenizer, nn.data.BPETokenizer) else len(targets)
    return loss * len(targets) / count / math.log(2)


def train(run: dict) -> dict:
    """Train one model, and return its settings and measurements."""
    text = nn.data.load_austen("pride_and_prejudice")
    parts = (
        text[: int(0.90 * len(text))],
        text[int(0.90 * len(text)) : int(0.95 * len(text))],
        text[int(0.95 * len(text)) :],
    )
    tokenizer = (
        nn.data.BPETokenizer.from_text(parts[0], run["vocab"])
        if "vocab" in run
        else nn.data.CharTokenizer.from_text(text)
    )
    learn, valid, test = (tokenizer.encode(part) for part in parts)
    model = build(run, len(tokenizer))
    lstm = run["model"] == "LSTM"
    batches = nn.data.TextBatches(learn, STEP // run["context"], run["context"])
    # steps_of: as many steps as this number of epochs by character, so that both models process as many tokens
    steps = round(run["steps_of"] * len(parts[0]) / STEP) if "steps_of" in run else round(run["epochs"] * len(batches))
    betas, norm = ((0.9, 0.999), 5.0) if lstm else ((0.9, 0.99), 1.0)
    optimizer = nn.optim.AdamW(model.parameters(), lr=run["lr"], betas=betas, weight_decay=0.0)
    scheduler = nn.optim.lr_scheduler.CosineAnnealingLR(optimizer, T_max=steps, warmup=steps // 20)
    trainer = nn.Trainer(model, nn.CrossEntropyLoss(), optimizer, scheduler=scheduler, max_norm=norm)
    cpu = time.process_time()
    history = trainer.fit(batches, steps=steps)
    segment = run["context"] // 2  # a Transformer predicts each token from context/2 to context tokens before it
    return {
        "run": run,
        "parameters": parameters(model),
        "steps": steps,
        "train": float(np.mean(history.loss[-len(history.loss) // 20 :]) / math.log(2)),
        "valid": bits(model, tokenizer, valid, segment),
        "test": bits(model, tokenizer, test, segment),
        "cpu": time.process_time() - cpu,
    }


def described(run: dict) -> str:
    if run["model"] == "LSTM":
        return f"LSTM, {run['hidden']} units"
    positions = ", sinusoidal positions" if run.get("positions") == "sinusoidal" else ""
    return f"Transformer, {run['layers']} blocks x {run['width']} features{positions}"


def table(found: dict, runs: list[dict]) -> str:
    """Return the table of these runs, the best one in bold."""
    results = [found[label(run)] for run in runs]
    best = min(result["test"] for result in results)
    rows = []
    for run, result in zip(runs, results, strict=True):
        bits = f"**{result['test']:.3f}**" if result["test"] == best else f"{result['test']:.3f}"
        batch = f"{STEP // run['context']} x {run['context']}"
        settings = described(run), "BPE" if "vocab" in run else "characters", f"{run['lr']:g}"
        rows.append((*settings, batch, f"{result['steps']:,}", bits, f"{result['cpu']:.0f}"))
    head = "model", "tokens", "learning rate", "batch", "steps", "test, bits per character", "processor time, s"
    return "\n".join(f"| {' | '.join(row)} |" for row in (head, ["---"] * len(head), *rows))


def report(found: dict) -> str:
    """Return the page of the results."""

    def test(run: dict) -> float:
        return found[label(run)]["test"]

    characters = [run for name in ("rate and depth", "context", "positions") for run in RUNS[name]]
    best, lstm = min(characters, key=test), min(RUNS["LSTM"], key=test)
    few, many, short, lstm_bpe = RUNS["BPE"]
    gap, before = test(best) - test(lstm), test(BASE) - test(lstm)
    gap_bpe = test(short) - test(lstm)
    verdict = (
        f"With these changes, the best Transformer on characters needs {-gap:.3f} bits less than the LSTM."
        if gap <= 0
        else f"The gap between the first Transformer and the best LSTM was {before:.3f} bits per character. The best "
        f"of these changes reduces the gap to {gap:.3f}. An LSTM has the order of the characters built in, and near "
        "characters have the most influence. The Transformer has to learn both, and three passes over one novel are "
        "little data for that."
    )
    bpe_verdict = (
        f"The best LSTM on characters needs {-gap_bpe:.3f} bits more."
        if gap_bpe <= 0
        else f"The best LSTM on characters needs {gap_bpe:.3f} bits less."
    )
    pairs = list(zip(RUNS["positions"][::2], RUNS["positions"][1::2], strict=True))
    helped = sum(test(sinusoidal) < test(learned) for learned, sinusoidal in pairs)
    positions_verdict = (
        f"Sinusoidal positions, which the model does not have to learn, are better in {helped} of {len(pairs)} pairs. "
        "At the start, a learned vector says nothing about its neighbours. So the model has to find out which "
        "positions are near."
    )
    sizes = [result["parameters"] for result in found.values() if isinstance(result, dict)]
    few_steps, many_steps = (found[label(run)]["steps"] for run in (few, many))
    length = found[label(BASE)]["steps"] / few_steps
    time_of_bpe = found[label(few)]["cpu"] / found[label(BASE)]["cpu"]
    return f"""# What a small GPT needs

`python -m benchmarks.transformer_sweep` wrote this page; the figures are from its latest run.

On [another page](transformer_or_lstm.md), an LSTM predicts *Pride and Prejudice* better than a small GPT of the same
size. Here each setting of the GPT is varied: the learning rate, the depth, the context, the positions and the tokens.
All models have {min(sizes):,} to {max(sizes):,} parameters. They train on the first 90 % of the novel with AdamW,
without weight decay and dropout, in steps of {STEP} tokens, with seed 0. The learning rate rises for 5 % of the steps
and then falls along a cosine to 0. A run on characters reads the training text three times. The runs on the
page about the LSTM read it six times. The test text is the last 5 %. A Transformer predicts each token from the tokens
before it: at least half a context, and at most a whole one. Each figure is one run with one seed, so a small difference
may be chance.

## Learning rate and depth

{table(found, RUNS["rate and depth"])}

With this context, two wide blocks learn faster than four narrow ones with the same number of parameters. With a context
of 32, the four narrow blocks learn faster (see below).

## Context

{table(found, RUNS["context"])}

With this budget, a longer context makes the model worse. Every step has {STEP} characters, so a long context also
means few sequences in a batch: one of 256 characters, or eight of 32. The characters of one sequence come from one
place in the novel, so the gradient of few sequences is noisier. Also, each position has its own vector. With more
positions, each vector gets fewer gradients. So a longer context has two effects: fewer sequences in a batch, and
fewer gradients for each vector. These runs do not show which of the two matters more. They show that a short context is
not the reason why the Transformer is worse than the LSTM.

## Positions

{table(found, RUNS["positions"])}

{positions_verdict}

## The LSTM

{table(found, [BASE, best, *RUNS["LSTM"]])}

{verdict}

## Six passes

{table(found, RUNS["six readings"])}

[The other page](transformer_or_lstm.md) uses six passes over the novel. With six passes, sinusoidal positions give
{test(RUNS["six readings"][0]):.3f} bits per character. The other page has the figures for learned positions and for the
LSTM.

## Characters or BPE

{table(found, [BASE, *RUNS["BPE"]])}

The BPE tokenizer has {few["vocab"]:,} tokens, learned from the training text. A token is {length:.1f} characters long
on average. So three passes over the novel take fewer steps. They take {time_of_bpe:.2f} of the processor time of a
run on characters, and give {test(few):.3f} bits per character instead of {test(BASE):.3f}. With as many steps as a
run on characters, the model reads the novel {3 * many_steps / few_steps:.1f} times and needs {test(many):.3f} bits.

With two blocks and a context of 32, the Transformer on BPE tokens needs {test(short):.3f} bits. {bpe_verdict} An LSTM
on the same tokens, with the same number of steps, needs {test(lstm_bpe):.3f}.

Machine: {found["machine"]}, float32, one BLAS thread for each run. Other programs ran on the same cores, which makes
processor times longer than on an idle machine.
"""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--out", type=Path, default=TARGET, help="the JSON file (default: %(default)s)")
    parser.add_argument("--processes", type=int, default=2)
    arguments = parser.parse_args()
    for variable in ("OPENBLAS_NUM_THREADS", "OMP_NUM_THREADS"):
        os.environ[variable] = "1"
    found = json.loads(arguments.out.read_text()) if arguments.out.is_file() else {}
    found["machine"] = (
        f"{cpu_name()}, {os.cpu_count()} cores, NumPy {np.__version__}, Python {platform.python_version()}"
    )
    wanted = {label(run): run for runs in RUNS.values() for run in runs}
    left = [run for key, run in wanted.items() if key not in found]
    with ProcessPoolExecutor(arguments.processes, mp_context=multiprocessing.get_context("spawn")) as pool:
        for job in as_completed([pool.submit(train, run) for run in left]):
            result = job.result()
            found[label(result["run"])] = result
            print(result, flush=True)
            arguments.out.write_text(json.dumps(found, indent=1) + "\n")
    arguments.out.with_suffix(".md").write_text(report(found), encoding="utf-8")


if __name__ == "__main__":
    main()
