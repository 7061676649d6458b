"""Train image classifiers; measure their accuracy and training time.

    python -m benchmarks.images                 the bundled digits: an MLP and a CNN
    python -m benchmarks.images FOLDER          the CNN on MNIST or Fashion-MNIST, whose four IDX files are in FOLDER
                                                (Debian's dataset-fashion-mnist: /usr/share/datasets/fashion-mnist)

Writes docs/results/images.md, and the latest result of each model to images.json in the same folder. Test accuracy is
measured once, after the last step. No choice depends on it.
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
from nnscratch.modes import eval_mode

TARGET = Path("docs/results/images.md")
SEEDS = 3  # for the digits, which train in seconds


def accuracy(model, images, labels):
    """Return the fraction of images whose largest logit belongs to the label."""
    right = 0
    with eval_mode(model):
        for start in range(0, len(images), 500):
            rows = slice(start, start + 500)
            right += int((model(images[rows]).argmax(axis=1) == labels[rows]).sum())
    return right / len(images)


def train(model, train_set, test_set, *, epochs, batch_size, max_lr, transform=None, seed=0):
    """Train with AdamW and the one-cycle schedule; return the accuracy and the training time."""
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
    """Train an MLP on the digits."""
    model = nn.models.MLP([64, 256, 128, 10], dropout=0.3, rng=seed)
    return train(model, *nn.data.digits_split(), epochs=20, batch_size=64, max_lr=3e-3, seed=seed)


def digits_cnn(seed):
    """Train a CNN on the digits, with small random rotations and scalings."""
    model = nn.models.CNN((1, 8, 8), 10, rng=seed)
    change = Compose(RandomRotation(8), RandomScale(0.9, 1.1))  # no shifts, because the digits fill the whole image
    return train(model, *nn.data.digits_split(), epochs=20, batch_size=64, max_lr=3e-3, transform=change, seed=seed)


def folder_cnn(folder, epochs):
    """Train the CNN on the images in a folder of IDX files."""
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
        f"{cpu}, threads: {nn.backend.num_threads()}, NumPy {np.__version__}, Python {platform.python_version()}, "
        f"float32; load average at the start: {os.getloadavg()[0]:.1f}"
    )


def report(results):
    """Return the page: a table with one row for each model."""
    lines = [
        "# Image classifiers",
        "",
        "`python -m benchmarks.images` wrote this page; the figures are from its latest runs. The test "
        "accuracy is measured once, with the weights after the last step. The models for the digits were trained with "
        "several seeds. If other programs ran on the machine, processor time is more reliable than clock time.",
        "",
        "| data | model | parameters | training / test images | epochs | test accuracy | "
        "training time, s | processor time, s |",
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
    parser.add_argument(
        "folder", nargs="?", type=Path, help="a folder with four IDX files (default: the bundled digits)"
    )
    parser.add_argument(
        "--epochs", type=int, default=3, help="epochs for the images of the folder (default: %(default)s)"
    )
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
