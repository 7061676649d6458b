"""Image classifiers: what accuracy, and how long it took.

    python -m benchmarks.images                 the bundled digits: an MLP and a CNN, each under 30 seconds
    python -m benchmarks.images FOLDER          the CNN on MNIST or Fashion-MNIST, whose four IDX files are in FOLDER
                                                (Debian's dataset-fashion-mnist: /usr/share/datasets/fashion-mnist)

Test accuracy is measured once, after the last step; nothing was chosen by it while training.
"""

from __future__ import annotations

import sys
import time

import numpy as np

import nnscratch as nn
from nnscratch.data import Batches, Compose, RandomRotation, RandomScale


def accuracy(model, images, labels):
    """The share of images whose largest logit is the label's."""
    right = 0
    with nn.module.evaluating(model):
        for start in range(0, len(images), 500):
            rows = slice(start, start + 500)
            right += int((model(images[rows]).argmax(axis=1) == labels[rows]).sum())
    return right / len(images)


def train(model, images, labels, *, epochs, batch_size, max_lr, transform=None, seed=0):
    """AdamW on one cycle of the learning rate; returns the seconds it took."""
    batches = Batches(images, labels, batch_size, rng=seed, transform=transform)
    optimizer = nn.optim.AdamW(model.parameters(), weight_decay=0.01)
    schedule = nn.optim.lr_scheduler.OneCycleLR(optimizer, max_lr, epochs * len(batches))
    trainer = nn.Trainer(model, nn.CrossEntropyLoss(label_smoothing=0.05), optimizer, scheduler=schedule)
    start = time.perf_counter()
    trainer.fit(batches, epochs=epochs)
    return time.perf_counter() - start


def digits_mlp(epochs=20, seed=0):
    """(test accuracy, seconds) of an MLP on the digits."""
    (images, labels), test = nn.data.digits_split()
    model = nn.models.MLP([64, 256, 128, 10], dropout=0.3, rng=seed)
    seconds = train(model, images, labels, epochs=epochs, batch_size=64, max_lr=3e-3, seed=seed)
    return accuracy(model, *test), seconds


def digits_cnn(epochs=20, seed=0):
    """(test accuracy, seconds) of a CNN on the digits, a little turned and scaled."""
    (images, labels), test = nn.data.digits_split()
    model = nn.models.CNN((1, 8, 8), 10, rng=seed)
    change = Compose(RandomRotation(8), RandomScale(0.9, 1.1))  # no shift: the ink fills the frame
    seconds = train(model, images, labels, epochs=epochs, batch_size=64, max_lr=3e-3, transform=change, seed=seed)
    return accuracy(model, *test), seconds


def folder_cnn(folder, epochs=4, seed=0):
    """(test accuracy, seconds) of the CNN on the images in a folder of IDX files."""
    (images, labels), test = nn.data.load_idx(folder)
    model = nn.models.CNN((1, *images.shape[1:]), int(labels.max()) + 1, rng=seed)
    seconds = train(model, images, labels, epochs=epochs, batch_size=128, max_lr=4e-3, seed=seed)
    return accuracy(model, *test), seconds


def main(arguments):
    print(f"NumPy {np.__version__}, {nn.backend.num_threads()} threads")
    runs = {arguments[0]: lambda: folder_cnn(arguments[0])} if arguments else {}
    for name, run in (runs or {"digits, MLP": digits_mlp, "digits, CNN": digits_cnn}).items():
        reached, seconds = run()
        print(f"{name:<40} test accuracy {100 * reached:6.2f} %   {seconds:6.1f} s", flush=True)


if __name__ == "__main__":
    main(sys.argv[1:])
