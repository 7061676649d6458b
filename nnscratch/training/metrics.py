"""What a result means: a loss in units people use, and how often a classifier is right."""

from __future__ import annotations

import math

from .. import backend
from ..backend import Array
from ..checks import positive_int


def perplexity(loss: float) -> float:
    """exp(loss): among how many equally likely tokens the model is as unsure.

    Examples
    --------
    >>> round(perplexity(math.log(100)), 6)
    100.0
    """
    return math.inf if loss > 700 else math.exp(loss)


def bits_per_character(loss: float) -> float:
    """loss / ln 2: how many yes-or-no answers each character costs.

    Examples
    --------
    >>> bits_per_character(math.log(2))
    1.0
    """
    return loss / math.log(2)


def accuracy(prediction: Array, target: Array) -> float:
    """The share of targets that were met.

    Parameters
    ----------
    prediction : array of floats, shape (..., C), or of integers, shape (...)
        Scores for each class, of which the largest counts, or the classes themselves.
    target : array of integers, shape (...)

    Examples
    --------
    >>> import numpy as np
    >>> round(accuracy(np.array([[0.1, 0.9], [0.8, 0.2], [0.3, 0.7]]), np.array([1, 0, 0])), 3)
    0.667
    """
    classes = predicted_classes(prediction, target)
    return float((classes == target).mean())


def confusion_matrix(prediction: Array, target: Array, num_classes: int | None = None) -> Array:
    """How often each class was taken for each: row t, column p counts targets t that were predicted as p.

    Parameters
    ----------
    prediction, target
        As of :func:`accuracy`.
    num_classes : int, optional
        C; by default the number of scores, or one more than the largest class.

    Returns
    -------
    integer array, shape (C, C)
        Its diagonal holds what was right; its sum is the number of targets.

    Examples
    --------
    >>> import numpy as np
    >>> print(confusion_matrix(np.array([0, 1, 1, 2]), np.array([0, 1, 2, 2])))
    [[1 0 0]
     [0 1 0]
     [0 1 1]]
    """
    classes = predicted_classes(prediction, target)
    if num_classes is None:
        scores = prediction.shape[-1] if prediction.dtype.kind == "f" else 0
        num_classes = max(scores, int(classes.max()) + 1, int(target.max()) + 1)
    C = positive_int("num_classes", num_classes)
    if min(int(classes.min()), int(target.min())) < 0 or max(int(classes.max()), int(target.max())) >= C:
        raise ValueError(f"confusion_matrix: classes must be in 0..{C - 1}")
    cells = target.astype("int64") * C + classes.astype("int64")  # row t, column p; bytes could not count so far
    return backend.array_module(target).bincount(cells.reshape(-1), minlength=C * C).reshape(C, C)


def predicted_classes(prediction: Array, target: Array) -> Array:
    """The classes meant by `prediction`, one for each target."""
    for name, array in (("prediction", prediction), ("target", target)):
        try:
            backend.array_module(array)
        except TypeError as error:
            raise TypeError(f"{name}: {error}") from None
    if prediction.dtype.kind == "f":
        if prediction.ndim == 0 or prediction.shape[-1] < 2:
            raise ValueError(f"scores must have a last axis of two or more classes, got shape {prediction.shape}")
        if backend.array_module(prediction).isnan(prediction).any():  # else the largest score would be a NaN
            raise ValueError("scores must be numbers, and some are NaN")
        prediction = prediction.argmax(axis=-1)
    if prediction.dtype.kind not in "iu" or target.dtype.kind not in "iu":
        raise TypeError(f"classes must be integers, got {prediction.dtype} and {target.dtype}")
    if prediction.shape != target.shape or target.size == 0:
        raise ValueError(f"one prediction is needed for each target, got {prediction.shape} and {target.shape}")
    return prediction
