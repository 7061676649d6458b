"""Data augmentation: random changes of the training examples that do not change their labels.

    Batches(images, labels, 64, transform=Compose(RandomShift(1), RandomRotation(10), GaussianNoise(0.05)))

Call a transform with a batch and a generator, ``transform(x, rng)``. It returns a new batch, with a different random
change for each example. Images are (N, H, W) or (N, C, H, W).

For each pixel of the *new* image, rotation and scaling compute the position in the old image from which the pixel
comes. This position lies between four pixels, and the new pixel is their mean, weighted by distance (bilinear
interpolation). Outside the old image, pixels are 0. If the code moved each pixel of the old image to its new position
instead, some pixels of the new image would get no value.
"""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np

from .. import backend
from ..backend import Array
from ..checks import finite, not_negative, positive_int, probability

RNG = None | int | np.random.Generator
Transform = Callable[[Array, np.random.Generator], Array]


class Compose:
    """Apply one transform after the other.

    Examples
    --------
    >>> both = Compose(RandomShift(1), GaussianNoise(0.1))
    >>> both(np.zeros((5, 8, 8)), np.random.default_rng(0)).shape
    (5, 8, 8)
    """

    def __init__(self, *transforms: Transform):
        for number, transform in enumerate(transforms):
            if not callable(transform):
                raise TypeError(f"Compose takes functions of (x, rng); number {number} is {transform!r}")
        self.transforms = transforms

    def __call__(self, x: Array, rng: RNG = None) -> Array:
        rng = backend.generator(rng)
        for transform in self.transforms:
            x = transform(x, rng)
        return x


class RandomShift:
    """Shift each image by a random whole number of pixels, at most `pixels` in each direction.

    Pixels that come from outside the image are 0.

    Examples
    --------
    >>> image = np.array([[[1, 2], [3, 4]]])
    >>> RandomShift(1)(image, np.random.default_rng(3)).tolist()
    [[[0, 3], [0, 0]]]
    """

    def __init__(self, pixels: int):
        self.pixels = positive_int("pixels", pixels)

    def __call__(self, x: Array, rng: RNG = None) -> Array:
        check_images(x)
        rng = backend.generator(rng)
        xp, p, (H, W) = backend.array_module(x), self.pixels, x.shape[-2:]
        padded = xp.zeros((*x.shape[:-2], H + 2 * p, W + 2 * p), dtype=x.dtype)
        padded[..., p : p + H, p : p + W] = x
        y = xp.empty_like(x)
        corners = rng.integers(0, 2 * p + 1, (len(x), 2)).tolist()
        for k, (top, left) in enumerate(corners):
            y[k] = padded[k, ..., top : top + H, left : left + W]
        return y


class RandomRotation:
    """Rotate each image around its centre by a random angle between -`degrees` and `degrees`.

    Examples
    --------
    >>> RandomRotation(15)(np.ones((5, 8, 8)), np.random.default_rng(0)).shape
    (5, 8, 8)
    """

    def __init__(self, degrees: float):
        self.degrees = not_negative("degrees", degrees)

    def __call__(self, x: Array, rng: RNG = None) -> Array:
        check_images(x, floats=True)
        angle = np.deg2rad(backend.generator(rng).uniform(-self.degrees, self.degrees, len(x)))
        c, s = np.cos(angle), np.sin(angle)
        return resample(x, np.stack([c, -s, s, c], axis=1).reshape(-1, 2, 2))


class RandomScale:
    """Scale each image around its centre by a random factor between `low` and `high`.

    Examples
    --------
    >>> RandomScale(0.8, 1.2)(np.ones((5, 8, 8)), np.random.default_rng(0)).shape
    (5, 8, 8)
    """

    def __init__(self, low: float, high: float):
        if not 0 < finite("low", low) <= finite("high", high):
            raise ValueError(f"low and high must be factors with 0 < low <= high, got {low!r} and {high!r}")
        self.low, self.high = float(low), float(high)

    def __call__(self, x: Array, rng: RNG = None) -> Array:
        check_images(x, floats=True)
        factor = backend.generator(rng).uniform(self.low, self.high, len(x))
        return resample(x, np.eye(2) / factor[:, None, None])


class GaussianNoise:
    """Add normal noise of standard deviation `std` to every element of a batch of any shape.

    Examples
    --------
    >>> GaussianNoise(0.1)(np.zeros((2, 3)), np.random.default_rng(0)).round(2).tolist()
    [[0.01, -0.01, 0.06], [0.01, -0.05, 0.04]]
    """

    def __init__(self, std: float):
        self.std = not_negative("std", std)

    def __call__(self, x: Array, rng: RNG = None) -> Array:
        check_is_floats(x)
        noise = (self.std * backend.generator(rng).standard_normal(x.shape)).astype(x.dtype)
        return x + backend.to_device(noise, backend.device_of(x))


class TokenDropout:
    """With probability `p`, replace each token by `token`, usually the id of ``<unk>`` (0 for a WordTokenizer).

    A language model then learns to read unknown words, and depends less on any single word. The targets stay the same.
    Bowman et al. (2016), "Generating sentences from a continuous space", arXiv:1511.06349, call this word dropout.

    Examples
    --------
    >>> TokenDropout(0.5)(np.array([[5, 6, 7, 8]]), np.random.default_rng(0))
    array([[5, 0, 0, 0]])
    """

    def __init__(self, p: float, token: int = 0):
        self.p = probability("p", p)
        if isinstance(token, bool) or not isinstance(token, (int, np.integer)) or token < 0:
            raise ValueError(f"token must be an integer of 0 or more, got {token!r}")
        self.token = int(token)

    def __call__(self, x: Array, rng: RNG = None) -> Array:
        backend.array_module(x)
        if x.dtype.kind not in "iu":
            raise TypeError(f"TokenDropout needs token ids, which are integers, got {x.dtype}")
        drop = backend.to_device(backend.generator(rng).random(x.shape) < self.p, backend.device_of(x))
        return backend.array_module(x).where(drop, x.dtype.type(self.token), x)


def resample(x: Array, matrices: np.ndarray) -> Array:
    """Return new images. In image n, the pixel at v is the pixel of the old image at ``matrices[n] @ v``.

    Positions are vectors (row, column), measured from the centre of the image.

    Parameters
    ----------
    x : array of floats, shape (N, H, W) or (N, C, H, W)
    matrices : array, shape (N, 2, 2)

    Returns
    -------
    array, the shape of `x`
    """
    xp, (N, (H, W)) = backend.array_module(x), (len(x), x.shape[-2:])
    centre = np.array([(H - 1) / 2, (W - 1) / 2])
    grid = np.stack(np.meshgrid(np.arange(H), np.arange(W), indexing="ij")).reshape(2, -1)  # (2, H W)
    source = matrices @ (grid - centre[:, None]) + centre[:, None]  # (N, 2, H W), positions in the old image
    corner = np.floor(source).astype(np.intp)  # the upper left of the four pixels around each position
    offset = source - corner  # between 0 and 1
    old = x.reshape(N, -1, H * W)  # (N, C, H W)
    new = xp.zeros_like(old)
    for i in (0, 1):
        for j in (0, 1):
            r, c = corner[:, 0] + i, corner[:, 1] + j  # (N, H W)
            weight = abs(1 - i - offset[:, 0]) * abs(1 - j - offset[:, 1])
            weight = np.where((r >= 0) & (r < H) & (c >= 0) & (c < W), weight, 0).astype(x.dtype)
            index = np.clip(r, 0, H - 1) * W + np.clip(c, 0, W - 1)
            pixels = xp.take_along_axis(old, xp.asarray(index)[:, None], axis=2)
            new += xp.asarray(weight)[:, None] * pixels
    return new.reshape(x.shape)


def check_is_floats(x: Array) -> None:
    """Raise TypeError unless `x` is an array of floats. Noise and interpolation do not give integers."""
    backend.array_module(x)
    if x.dtype.kind != "f":
        raise TypeError(f"this transform needs images of floats, got {x.dtype}; use images.astype(numpy.float32)")


def check_images(x: Array, floats: bool = False) -> None:
    """Raise ValueError unless `x` is (N, H, W) or (N, C, H, W)."""
    if floats:
        check_is_floats(x)
    backend.array_module(x)
    if x.ndim not in (3, 4) or math.prod(x.shape) == 0:
        raise ValueError(f"images must be a non-empty array (N, H, W) or (N, C, H, W), got shape {x.shape}")
