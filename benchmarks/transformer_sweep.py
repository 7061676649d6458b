"""Measure what a small GPT needs to predict *Pride and Prejudice* as well as an LSTM of the same size.

    python -m benchmarks.transformer_sweep          writes docs/results/transformer_sweep.json and .md

It varies the learning rate, the depth, the context and the number of epochs of the TransformerLM of
`benchmarks.transformer_or_lstm`, one at a time, and gives the LSTM the same budgets. It also trains the TransformerLM
on BPE tokens. All models have about the same number of parameters. A run that is already in the JSON file is not
repeated.
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
BPE = BASE | {"vocab": 1000, "width": 56}
RUNS: dict[str, list[dict]] = {
    "Context": [BASE | {"context": context} for context in (32, 64, 128, 256)],
    "Learning rate of the LSTM": [LSTM | {"lr": lr} for lr in (2e-3, 4e-3, 8e-3)],
    "Learning rate": [BASE | {"lr": lr} for lr in (1e-3, 3e-3, 6e-3)],
    "Depth": [BASE | {"layers": n, "width": d, "heads": h} for n, d, h in ((2, 90, 3), (4, 64, 4), (8, 46, 2))],
    "Characters or BPE": [BASE, BPE, BPE | {"steps_of": 3}],
    "Epochs": [run | {"epochs": epochs} for epochs in (3, 6) for run in (LSTM, BASE, BASE | {"context": 256})],
}
ORDER = "Context", "Learning rate of the LSTM", "Characters or BPE", "Learning rate", "Depth", "Epochs"


def label(run: dict) -> str:
    """Return the settings of a run as one string, its key in the JSON file."""
    return json.dumps(run, sort_keys=True)


def build(run: dict, vocabulary: int) -> nn.Module:
    if run["model"] == "LSTM":
        return nn.models.LanguageModel(vocabulary, run["width"], run["hidden"], run["layers"], rng=0)
    tie = "vocab" in run  # otherwise two tables of 1,000 tokens would be half of the model
    return nn.models.TransformerLM(
        vocabulary, run["width"], run["heads"], run["layers"], run["context"], tie_weights=tie, rng=0
    )


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
    wanted = {label(run): run for name in ORDER for run in RUNS[name]}
    left = [run for key, run in wanted.items() if key not in found]
    with ProcessPoolExecutor(arguments.processes, mp_context=multiprocessing.get_context("spawn")) as pool:
        for job in as_completed([pool.submit(train, run) for run in left]):
            result = job.result()
            found[label(result["run"])] = result
            print(result, flush=True)
            arguments.out.write_text(json.dumps(found, indent=1) + "\n")


if __name__ == "__main__":
    main()
