"""Metrics: a loss as perplexity or bits per character, and the accuracy of a classifier."""

from __future__ import annotations

import math

from .. import backend
from ..backend import Array
from ..checks import positive_int


def finite_or_inf(loss: float) -> float:
    """Return `loss` as a float, or raise TypeError if it is not a number. A huge integer becomes infinity."""
    try:
        return float(loss)
    except OverflowError:
        return math.inf


def perplexity(loss: float) -> float:
    """Return exp(loss). A model that chooses among n equally likely tokens has the perplexity n.

    Parameters
    ----------
    loss : float
        A mean cross-entropy, in nats per token.

    Examples
    --------
    >>> round(perplexity(math.log(100)), 6)
    100.0
    """
    loss = finite_or_inf(loss)
    return math.inf if loss > 700 else math.exp(loss)


def bits_per_character(loss: float) -> float:
    """Return loss / ln 2, which converts nats to bits.

    Parameters
    ----------
    loss : float
        A mean cross-entropy, in nats per character.

    Examples
    --------
    >>> bits_per_character(math.log(2))
    1.0
    """
    return finite_or_inf(loss) / math.log(2)


def accuracy(prediction: Array, target: Array) -> float:
    """Return the fraction of correct predictions.

    Parameters
    ----------
    prediction : array of floats, shape (..., C) or (...), or of integers, shape (...)
        With C scores for each target, the class with the largest score is the prediction. With one score for each
        target, such as the logits of `BCEWithLogitsLoss`, a score above 0 predicts class 1. Integers are the predicted
        classes themselves.
    target : array of integers, shape (...)
        The true classes. With one score for each target, they are 0 and 1, and may be floats.

    Returns
    -------
    float

    Examples
    --------
    >>> import numpy as np
    >>> accuracy(np.array([-0.3, 2.0, 0.1, -5.0]), np.array([0.0, 1.0, 0.0, 0.0]))
    0.75
    >>> round(accuracy(np.array([[0.1, 0.9], [0.8, 0.2], [0.3, 0.7]]), np.array([1, 0, 0])), 3)
    0.667
    """
    classes = predicted_classes(prediction, target)
    return float((classes == target).mean())


def confusion_matrix(prediction: Array, target: Array, num_classes: int | None = None) -> Array:
    """Count, for each pair of classes, how often a target of the first class was predicted as the second class.

    Parameters
    ----------
    prediction, target
        As for :func:`accuracy`.
    num_classes : int, optional
        The number of classes C. The default is the number of scores for each target. If there are no scores for each
        class, the default is the largest class plus 1.

    Returns
    -------
    integer array, shape (C, C)
        Row t, column p counts the targets of class t that were predicted as class p. The diagonal counts the correct
        predictions, and the sum of all elements is the number of targets.

    Examples
    --------
    >>> import numpy as np
    >>> print(confusion_matrix(np.array([0, 1, 1, 2]), np.array([0, 1, 2, 2])))
    [[1 0 0]
     [0 1 0]
     [0 1 1]]
    """
    classes = predicted_classes(prediction, target)
    target = target.astype("intp")  # with one score for each target, the targets may be floats
    if num_classes is None:
        scores = prediction.shape[-1] if prediction.dtype.kind == "f" and prediction.shape != target.shape else 0
        num_classes = max(scores, int(classes.max()) + 1, int(target.max()) + 1)
    C = positive_int("num_classes", num_classes)
    if min(int(classes.min()), int(target.min())) < 0 or max(int(classes.max()), int(target.max())) >= C:
        raise ValueError(f"confusion_matrix: classes must be in 0..{C - 1}; give a larger num_classes")
    cells = target * C + classes.astype("intp")  # the element in row t, column p; int8 would overflow
    return backend.array_module(target).bincount(cells.reshape(-1), minlength=C * C).reshape(C, C)


def predicted_classes(prediction: Array, target: Array) -> Array:
    """Return the predicted class for each target. See `accuracy` for the forms of `prediction`."""
    for name, array in (("prediction", prediction), ("target", target)):
        try:
            backend.array_module(array)
        except TypeError as error:
            raise TypeError(f"{name}: {error}") from None
    if prediction.dtype.kind == "f":
        one_score = prediction.shape == target.shape
        if not one_score and (prediction.ndim == 0 or prediction.shape[-1] < 2):
            raise ValueError(
                f"scores must have the shape of target, or this shape plus a last axis for two or more classes, "
                f"got {prediction.shape} and {target.shape}"
            )
        if backend.array_module(prediction).isnan(prediction).any():  # argmax would choose NaN
            raise ValueError("scores must not be NaN")
        if one_score:
            return one_score_classes(prediction, target)
        prediction = prediction.argmax(axis=-1)
    if prediction.dtype.kind not in "iu" or target.dtype.kind not in "iu":
        raise TypeError(f"classes must be integers, got {prediction.dtype} and {target.dtype}")
    if prediction.shape != target.shape or target.size == 0:
        raise ValueError(
            f"prediction must have one class for each target: got shapes {prediction.shape} and {target.shape}"
        )
    return prediction


def one_score_classes(scores: Array, target: Array) -> Array:
    """Return class 1 where a score is above 0, else class 0. Raise if a target is neither 0 nor 1."""
    if target.size == 0 or not ((target == 0) | (target == 1)).all():
        raise ValueError("with one score for each target, the targets must be 0 or 1, and there must be at least one")
    return (scores > 0).astype("intp")
