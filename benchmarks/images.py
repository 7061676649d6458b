"""Image classifiers: what accuracy, and how long it took.

    python -m benchmarks.images                 the bundled digits: an MLP and a CNN
    python -m benchmarks.images FOLDER          the CNN on MNIST or Fashion-MNIST, whose four IDX files are in FOLDER
                                                (Debian's dataset-fashion-mnist: /usr/share/datasets/fashion-mnist)

Writes docs/results/images.md, and keeps beside it, in images.json, the latest result of each. Test accuracy is measured
once, after the last step; nothing is chosen by it while training.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import time
from pathlib import Path

import numpy as np

import nnscratch as nn
from nnscratch.data import Batches, Compose, RandomRotation, RandomScale

TARGET = Path("docs/results/images.md")
SEEDS = 3  # of the digits, which take seconds


def accuracy(model, images, labels):
    """The share of images whose largest logit is the label's."""
    right = 0
    with nn.module.eval_mode(model):
        for start in range(0, len(images), 500):
            rows = slice(start, start + 500)
            right += int((model(images[rows]).argmax(axis=1) == labels[rows]).sum())
    return right / len(images)


def train(model, train_set, test_set, *, epochs, batch_size, max_lr, transform=None, seed=0):
    """AdamW on one cycle of the learning rate; what it reached, and the seconds the training took."""
    batches = Batches(*train_set, batch_size, rng=seed, transform=transform)
    optimizer = nn.optim.AdamW(model.parameters(), weight_decay=0.01)
    schedule = nn.optim.lr_scheduler.OneCycleLR(optimizer, max_lr, epochs * len(batches))
    trainer = nn.Trainer(model, nn.CrossEntropyLoss(label_smoothing=0.05), optimizer, scheduler=schedule)
    start, cpu = time.perf_counter(), time.process_time()
    trainer.fit(batches, epochs=epochs)
    seconds, cpu = time.perf_counter() - start, time.process_time() - cpu
    return {
        "model": model._title(),
        "parameters": sum(p.size for p in model.parameters()),
        "examples": len(train_set[0]),
        "tested": len(test_set[0]),
        "epochs": epochs,
        "accuracy": accuracy(model, *test_set),
        "seconds": seconds,
        "cpu": cpu,
    }


def digits_mlp(seed):
    """An MLP on the digits."""
    model = nn.models.MLP([64, 256, 128, 10], dropout=0.3, rng=seed)
    return train(model, *nn.data.digits_split(), epochs=20, batch_size=64, max_lr=3e-3, seed=seed)


def digits_cnn(seed):
    """A CNN on the digits, a little turned and scaled."""
    model = nn.models.CNN((1, 8, 8), 10, rng=seed)
    change = Compose(RandomRotation(8), RandomScale(0.9, 1.1))  # no shift: the ink fills the frame
    return train(model, *nn.data.digits_split(), epochs=20, batch_size=64, max_lr=3e-3, transform=change, seed=seed)


def folder_cnn(folder, epochs):
    """The CNN on the images in a folder of IDX files."""
    train_set, test_set = nn.data.load_idx(folder)
    model = nn.models.CNN((1, *train_set[0].shape[1:]), int(train_set[1].max()) + 1, channels=(16, 32), rng=0)
    return train(model, train_set, test_set, epochs=epochs, batch_size=128, max_lr=4e-3)


def machine():
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
        cpu = next(line.partition(":")[2].strip() for line in lines if line.startswith("model name"))
    except (OSError, StopIteration):
        cpu = platform.processor() or platform.machine()
    return (
        f"{cpu}, {nn.backend.num_threads()} thread(s), NumPy {np.__version__}, Python {platform.python_version()}, "
        f"float32; load before it began: {os.getloadavg()[0]:.1f}"
    )


def report(results):
    """The table of all results, one row each, in Markdown."""
    lines = [
        "# Image classifiers",
        "",
        "Written by `python -m benchmarks.images`; the figures are those of its latest runs. Test accuracy is that of "
        "the weights after the last step, measured once. On the digits it was run with several seeds. Where the "
        "machine had another load, clock time says little, and processor time more.",
        "",
        "| data | model | parameters | images to learn from / to be tested with | epochs | test accuracy | "
        "training, s | processor time, s |",
        "|---|---|---:|---|---:|---:|---:|---:|",
    ]
    for name, result in results.items():
        one = result["runs"][0]
        each = ", ".join(f"{run['accuracy']:.2%}".replace("%", " %") for run in result["runs"])
        seconds, cpu = (", ".join(f"{run[what]:.1f}" for run in result["runs"]) for what in ("seconds", "cpu"))
        lines.append(
            f"| {name} | `{one['model']}` | {one['parameters']:,} | {one['examples']:,} / {one['tested']:,} | "
            f"{one['epochs']} | {each} | {seconds} | {cpu} |"
        )
    lines += ["", "Machines:", "", *(f"- {name}: {result['machine']}" for name, result in results.items()), ""]
    return "\n".join(lines)


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("folder", nargs="?", type=Path, help="with four IDX files; the digits if not given")
    parser.add_argument("--epochs", type=int, default=3, help="through the folder's images (default: %(default)s)")
    parser.add_argument("--out", type=Path, default=TARGET)
    arguments = parser.parse_args()
    if arguments.folder:
        jobs = {arguments.folder.name: lambda: [folder_cnn(arguments.folder, arguments.epochs)]}
    else:
        jobs = {
            "digits, MLP": lambda: [digits_mlp(seed) for seed in range(SEEDS)],
            "digits, CNN": lambda: [digits_cnn(seed) for seed in range(SEEDS)],
        }
    kept = arguments.out.with_suffix(".json")
    results = json.loads(kept.read_text()) if kept.exists() else {}
    for name, job in jobs.items():
        about = machine()
        results[name] = {"runs": job(), "machine": about}
        for run in results[name]["runs"]:
            print(f"{name:<20} test accuracy {100 * run['accuracy']:6.2f} %   {run['seconds']:6.1f} s", flush=True)
        arguments.out.parent.mkdir(parents=True, exist_ok=True)
        kept.write_text(json.dumps(results, indent=1) + "\n", encoding="utf-8")
        arguments.out.write_text(report(results), encoding="utf-8")


if __name__ == "__main__":
    main()
