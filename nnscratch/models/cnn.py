"""CNN: a small convolutional network for small images.

    x (N, C, H, W)
      -> [Conv2d 3 x 3 -> BatchNorm2d -> ReLU -> MaxPool2d 2 x 2] for each entry of `channels`: halves H and W
      -> Flatten -> Linear -> ReLU -> Dropout -> Linear -> logits (N, classes)

A convolution applies the same small kernels at every position of the image. If a kernel learns to detect a stroke in
one corner, it detects this stroke in all corners. After each pooling, a kernel covers twice as much of the image in
each direction, and exact positions are lost.

Reference: LeCun, Bottou, Bengio and Haffner (1998), "Gradient-based learning applied to document recognition",
doi:10.1109/5.726791. BatchNorm, ReLU and Dropout are newer.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from .. import backend
from ..backend import Array
from ..checks import check_floats, positive_int, probability
from ..init import he_normal
from ..layers import BatchNorm2d, Conv2d, Dropout, Flatten, Linear, MaxPool2d, ReLU
from ..modes import input_grad_optional, without_input_grad
from ..module import Module
from ..sequential import Sequential


class CNN(Module):
    """A convolutional classifier.

    Parameters
    ----------
    image_shape : (C, H, W)
        Channels, rows and columns of an image. For one channel, x may also have the shape (N, H, W).
    classes : int
        The number of outputs.
    channels : sequence of int
        The number of output channels of each convolution. The pooling after it halves H and W, so the images must be
        large enough.
    hidden : int
        The width of the first Linear layer.
    dropout : float, 0 <= dropout < 1
        The probability of Dropout before the last layer.
    rng : None, int or numpy.random.Generator
        The source of the random weights, or its seed.

    Attributes
    ----------
    features, classifier : Sequential

    Examples
    --------
    >>> import numpy as np, nnscratch as nn
    >>> model = nn.models.CNN((1, 8, 8), classes=10, rng=0)
    >>> model(np.zeros((5, 8, 8), dtype=np.float32)).shape
    (5, 10)
    """

    def __init__(
        self,
        image_shape: Sequence[int],
        classes: int,
        channels: Sequence[int] = (32, 64),
        hidden: int = 128,
        dropout: float = 0.25,
        *,
        rng: None | int | np.random.Generator = None,
    ):
        sequences = isinstance(image_shape, Sequence) and isinstance(channels, Sequence)
        if not sequences or len(image_shape) != 3 or len(channels) < 1:
            raise ValueError(f"image_shape must be (C, H, W) and channels not empty; got {image_shape!r}, {channels!r}")
        self.image_shape = tuple(positive_int("image_shape", n) for n in image_shape)
        self.classes = positive_int("classes", classes)
        self.channels = tuple(positive_int("channels", n) for n in channels)
        self.hidden, self.dropout = positive_int("hidden", hidden), probability("dropout", dropout)
        rng = backend.generator(rng)
        C, H, W = self.image_shape
        layers: list[Module] = []
        for out in self.channels:
            if min(H, W) < 2:
                raise ValueError(f"images of {self.image_shape[1:]} cannot be halved {len(self.channels)} times")
            layers += [Conv2d(C, out, 3, padding=1, init=he_normal, rng=rng), BatchNorm2d(out), ReLU(), MaxPool2d(2)]
            C, H, W = out, H // 2, W // 2
        self.features = Sequential(*layers)
        self.classifier = Sequential(
            Flatten(),
            Linear(C * H * W, self.hidden, init=he_normal, rng=rng),
            ReLU(),
            Dropout(dropout, rng=rng),
            Linear(self.hidden, self.classes, rng=rng),
        )

    def config(self) -> dict[str, Any]:
        return {
            "image_shape": list(self.image_shape),
            "classes": self.classes,
            "channels": list(self.channels),
            "hidden": self.hidden,
            "dropout": self.dropout,
        }

    def forward(self, x: Array) -> Array:
        check_floats(self, "x", x)
        shape = x.shape
        if x.ndim == 3 and self.image_shape[0] == 1:
            x = x[:, None]  # (N, 1, H, W)
        if x.shape[1:] != self.image_shape:
            raise ValueError(f"CNN needs images of shape (N, {', '.join(map(str, self.image_shape))}), got {shape}")
        self.save_for_backward(shape)
        return self.classifier(self.features(x))

    @input_grad_optional
    def backward(self, dy: Array) -> Array | None:
        dfeatures = self.classifier.backward(dy)  # call this before saved(), because it checks dy
        (shape,) = self.saved()
        if self.needs_input_grad:
            return self.features.backward(dfeatures).reshape(shape)
        with without_input_grad(self.features):
            self.features.backward(dfeatures)
        return None
