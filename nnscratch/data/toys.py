"""Toy data sets: points in the plane, and a noisy wave. Use them to show an idea in a picture.

Each function has an argument ``rng`` and returns a pair (x, y). Each row of x, a float32 array, is one example.
"""

from __future__ import annotations

import math

import numpy as np

from .. import backend
from ..checks import finite, not_negative, positive_int

RNG = None | int | np.random.Generator
Pair = tuple[np.ndarray, np.ndarray]


def spirals(count: int, classes: int = 2, turns: float = 1.0, noise: float = 0.05, rng: RNG = None) -> Pair:
    """Draw points on intertwined spiral arms, which a few straight lines cannot separate.

    Returns
    -------
    x : float32 array, shape (count, 2)
    y : integer array, shape (count,)
        The number of the arm, 0 ... classes-1. The numbers of points per arm differ by at most one.

    Examples
    --------
    >>> x, y = spirals(6, classes=3, rng=0)
    >>> x.shape, y
    ((6, 2), array([0, 1, 2, 0, 1, 2]))
    """
    y, rng, turns = _classes(count, classes), backend.generator(rng), finite("turns", turns)
    radius = np.sqrt(rng.uniform(0.01, 1, count))  # the square root spreads the points evenly over the disc
    angle = 2 * math.pi * (turns * radius + y / classes)
    return _noisy(np.stack([radius * np.cos(angle), radius * np.sin(angle)], axis=1), noise, rng), y


def moons(count: int, noise: float = 0.1, rng: RNG = None) -> Pair:
    """Draw points on two interleaved half moons.

    Returns
    -------
    x : float32 array, shape (count, 2)
    y : integer array, shape (count,)

    Examples
    --------
    >>> x, y = moons(4, noise=0, rng=0)
    >>> y
    array([0, 1, 0, 1])
    """
    y, rng = _classes(count, 2), backend.generator(rng)
    angle = rng.uniform(0, math.pi, count)
    side = 1 - 2 * y  # the second moon is the first one, rotated and shifted
    return _noisy(np.stack([side * np.cos(angle) + y, side * np.sin(angle) + 0.5 * y], axis=1), noise, rng), y


def blobs(count: int, classes: int = 3, noise: float = 0.3, rng: RNG = None) -> Pair:
    """Draw round clouds of points around the corners of a regular polygon, which a linear classifier can separate.

    Returns
    -------
    x : float32 array, shape (count, 2)
    y : integer array, shape (count,)

    Examples
    --------
    >>> x, y = blobs(5, noise=0)
    >>> x[y == 0]
    array([[1., 0.],
           [1., 0.]], dtype=float32)
    """
    y = _classes(count, classes)
    angle = 2 * math.pi * y / classes
    return _noisy(np.stack([np.cos(angle), np.sin(angle)], axis=1), noise, backend.generator(rng)), y


def xor(count: int, noise: float = 0.1, rng: RNG = None) -> Pair:
    """Draw points around the corners of a square, which no linear classifier can separate.

    Opposite corners have the same class.

    Returns
    -------
    x : float32 array, shape (count, 2)
    y : integer array, shape (count,)

    Examples
    --------
    >>> x, y = xor(4, noise=0)
    >>> x.tolist(), y.tolist()
    ([[0.0, 0.0], [0.0, 1.0], [1.0, 0.0], [1.0, 1.0]], [0, 1, 1, 0])
    """
    corner = _classes(count, 4)
    a, b = corner // 2, corner % 2
    return _noisy(np.stack([a, b], axis=1).astype(float), noise, backend.generator(rng)), a ^ b


def sine(count: int, noise: float = 0.1, rng: RNG = None) -> Pair:
    """Draw points on a noisy sine wave over one and a half periods, for regression.

    Returns
    -------
    x : float32 array, shape (count, 1)
        Between -1 and 1.
    y : float32 array, shape (count, 1)

    Examples
    --------
    >>> x, y = sine(100, noise=0, rng=0)
    >>> bool(abs(y - np.sin(1.5 * np.pi * x)).max() < 1e-6)
    True
    """
    rng = backend.generator(rng)
    x = rng.uniform(-1, 1, (positive_int("count", count), 1))
    return x.astype(np.float32), _noisy(np.sin(1.5 * math.pi * x), noise, rng)


def _classes(count: int, classes: int) -> np.ndarray:
    """Return `count` labels 0, 1, ... classes-1, 0, 1, ..."""
    return np.arange(positive_int("count", count)) % positive_int("classes", classes)


def _noisy(x: np.ndarray, noise: float, rng: np.random.Generator) -> np.ndarray:
    return (x + not_negative("noise", noise) * rng.standard_normal(x.shape)).astype(np.float32)
