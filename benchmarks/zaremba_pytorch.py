"""Repeat a run with PyTorch: the same text, batches, initial weights and learning rates.

    python -m benchmarks.zaremba_pytorch FOLDER    writes FOLDER/pytorch.json

FOLDER contains a run of ``nnscratch train --preset zaremba-small``; the run need not be finished. The command
``python -m benchmarks.zaremba NAME FOLDER`` reads pytorch.json and shows the perplexities of both libraries in one
table.
"""

from __future__ import annotations

import argparse
import json
import math
import sys
import time
from pathlib import Path
from typing import Any

from nnscratch.runs import Run
from nnscratch.serialization import write_atomically

NAME = "pytorch.json"


def model_of(torch: Any, run: Run) -> tuple[Any, Any, Any]:
    """Return embedding, LSTM and output layer with the initial weights of the run."""
    c, vocabulary = run.config, len(run.tokenizer)
    if c.dropout or c.tie or c.cell != "lstm" or c.optimizer != "sgd" or c.hold is None:
        raise ValueError(
            f"{run.folder} is not a run of the preset zaremba-small, the only one that this command supports"
        )
    layers = {
        "embedding": torch.nn.Embedding(vocabulary, c.embed),
        "lstm": torch.nn.LSTM(c.embed, c.hidden, c.layers, batch_first=True),
        "linear": torch.nn.Linear(c.hidden, vocabulary),
    }
    weights = {name: torch.from_numpy(a) for name, a in run.new_trainer().model.state_dict().items()}
    torch.nn.ModuleDict(layers).load_state_dict(weights)
    return tuple(layers.values())


def train(run: Run) -> dict[str, Any]:
    """Train; return the perplexities after each epoch, and those of the best epoch on validation and test text."""
    import torch
    from torch.nn.functional import cross_entropy

    c = run.config
    embedding, lstm, linear = model_of(torch, run)
    parameters = [p for layer in (embedding, lstm, linear) for p in layer.parameters()]
    optimizer = torch.optim.SGD(parameters, lr=c.lr, fused=True)
    batches = run.batches("train")
    hold, total = max(1, round(c.hold * len(batches))), run.total_steps()

    def forward(inputs: Any, targets: Any, state: Any) -> tuple[Any, Any]:
        h, state = lstm(embedding(torch.from_numpy(inputs.copy())), state)
        loss = cross_entropy(linear(h).flatten(0, 1), torch.from_numpy(targets.copy()).flatten())
        return loss, tuple(s.detach() for s in state)

    def perplexity(part: str) -> float:
        sum_, count, state = 0.0, 0, None
        with torch.no_grad():
            for inputs, targets in run.batches(part):
                loss, state = forward(inputs, targets, state)
                sum_, count = sum_ + float(loss) * targets.size, count + targets.size
        return math.exp(sum_ / count)

    epochs, best, step, start = [], None, 0, time.perf_counter()
    while step < total:
        state, losses = None, []
        for inputs, targets in batches:
            # as in nn.optim.lr_scheduler.StepLR: constant for `hold` steps, then times `decay` in each epoch
            rate = c.lr if step < hold else c.lr * c.decay ** (1 + (step - hold) // len(batches))
            for group in optimizer.param_groups:
                group["lr"] = rate
            loss, state = forward(inputs, targets, state)
            optimizer.zero_grad()
            loss.backward()
            torch.nn.utils.clip_grad_norm_(parameters, c.clip)
            optimizer.step()
            losses.append(loss.item())
            step += 1
            if step == total:
                break
        valid = perplexity("valid")
        epochs.append(
            {
                "epoch": round(step / len(batches), 2),
                "lr": rate,
                "train": math.exp(sum(losses) / len(losses)),
                "valid": valid,
                "seconds": time.perf_counter() - start,
            }
        )
        print(epochs[-1], flush=True)
        if best is None or valid < best[0]:
            best = valid, [p.detach().clone() for p in parameters]
    with torch.no_grad():
        for p, kept in zip(parameters, best[1], strict=True):
            p.copy_(kept)
    reached = {part: perplexity(part) for part in ("valid", "test")}
    return {
        "version": torch.__version__,
        "threads": torch.get_num_threads(),
        "reached": reached,
        "steps": step,
        "epochs": epochs,
    }


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.zaremba_pytorch", description=__doc__.splitlines()[0])
    parser.add_argument("folder", type=Path, help="folder of a run, finished or not")
    folder = parser.parse_args().folder
    found = train(Run.open(folder))
    write_atomically(folder / NAME, (json.dumps(found, indent=1) + "\n").encode())
    print(json.dumps(found["reached"]))
    return 0


if __name__ == "__main__":
    sys.exit(main())
