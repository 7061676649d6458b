"""A small residual network on handwritten digits, with the recipe of the paper on ResNets."""

import numpy as np

import nnscratch as nn

EPOCHS = 20


def load_digits():
    """Return images of shape (N, 1, 8, 8) and labels, for training and for the test."""
    return tuple((images[:, None], labels) for images, labels in nn.data.digits_split())


def block(channels_in, channels, stride, rng):
    """Return the layers of a basic block: two convolutions and a shortcut."""
    f = (
        nn.Conv2d(channels_in, channels, 3, stride, padding=1, bias=False, rng=rng),
        nn.BatchNorm2d(channels),
        nn.ReLU(),
        nn.Conv2d(channels, channels, 3, padding=1, bias=False, rng=rng),
        nn.BatchNorm2d(channels),
    )
    projection = None
    if stride != 1 or channels_in != channels:
        conv = nn.Conv2d(channels_in, channels, 1, stride, bias=False, rng=rng)
        projection = nn.Sequential(conv, nn.BatchNorm2d(channels))
    return nn.Residual(*f, projection=projection), nn.ReLU()


def make_model(rng=0):
    rng = np.random.default_rng(rng)
    return nn.Sequential(
        nn.Conv2d(1, 16, 3, padding=1, bias=False, rng=rng), nn.BatchNorm2d(16), nn.ReLU(),  # (N, 16, 8, 8)
        *block(16, 16, 1, rng),
        *block(16, 32, 2, rng),  # (N, 32, 4, 4)
        *block(32, 64, 2, rng),  # (N, 64, 2, 2)
        nn.AvgPool2d(2), nn.Flatten(), nn.Linear(64, 10, rng=rng),
    )  # fmt: skip


def make_batches(images, labels, rng=0):
    shift = nn.data.RandomShift(1)
    return nn.data.Batches(images, labels, 64, rng=rng, transform=shift, drop_last=True)


def make_trainer(model, steps, callbacks=()):
    optimizer = nn.optim.SGD(model.parameters(), lr=0.1, momentum=0.9, weight_decay=1e-4)
    milestones = [steps // 2, 3 * steps // 4]
    scheduler = nn.optim.lr_scheduler.MultiStepLR(optimizer, milestones)
    return nn.Trainer(model, nn.CrossEntropyLoss(), optimizer, scheduler=scheduler, callbacks=callbacks)


if __name__ == "__main__":
    (x, y), (x_test, y_test) = load_digits()
    model, batches = make_model(), make_batches(x, y)
    trainer = make_trainer(model, EPOCHS * len(batches), callbacks=[nn.training.ProgressBar()])
    trainer.fit(batches, epochs=EPOCHS)
    print(f"test accuracy {nn.training.accuracy(model.eval()(x_test), y_test):.1%}")
