"""Losses: from a prediction and a target to one number L, and to dL/d(prediction).

    loss        = criterion(prediction, target)      a float
    dprediction = criterion.backward()               starts the chain rule: dL/dL = 1

A loss keeps its forward until its backward, like every module. To measure a loss without training, put it into
``eval()`` mode.
"""

from __future__ import annotations

import numpy as np

from . import backend
from .backend import Array
from .module import Module, check_floats, check_ids, probability

BLOCK = 1 << 16  # numbers worked on at a time: 256 KiB of float32 stay in the cache from one operation to the next


class MSELoss(Module):
    r"""The mean of the squared differences.

    .. math:: L = \frac1n \sum_k (x_k - t_k)^2 \qquad \frac{\partial L}{\partial x_k} = \frac2n (x_k - t_k)

    with n the number of *elements*, as in PyTorch.

    Examples
    --------
    >>> import numpy as np, nnscratch as nn
    >>> criterion = nn.MSELoss()
    >>> criterion(np.array([1.0, 4.0]), np.array([1.0, 2.0]))
    2.0
    >>> print(criterion.backward())
    [0. 2.]
    """

    def forward(self, prediction: Array, target: Array) -> float:
        check_floats(self, "prediction", prediction)
        check_floats(self, "target", target)
        if prediction.shape != target.shape or prediction.dtype != target.dtype or prediction.size == 0:
            raise ValueError(
                f"MSELoss needs prediction and target of one shape and dtype, and not empty; got {prediction.shape} "
                f"{prediction.dtype} and {target.shape} {target.dtype}"
            )
        difference = prediction - target
        self.save_for_backward(difference)
        return float((difference * difference).mean(dtype=np.float64))

    def backward(self) -> Array:
        (difference,) = self.saved()
        return difference * (2 / difference.size)


class CrossEntropyLoss(Module):
    r"""Softmax and negative log-likelihood in one, for classification.

    For each row of logits x and its label t, with p = softmax(x) and the target distribution q,

    .. math:: L = -\sum_j q_j \log p_j \qquad \frac{\partial L}{\partial x_j} = p_j - q_j

    averaged over the rows counted. q is 1 at the label and 0 elsewhere; with label smoothing e it is 1 - e + e/C at the
    label and e/C elsewhere. Softmax and logarithm are done together because together they are stable: with m the
    largest logit, log p_j = x_j - m - log sum_k exp(x_k - m) overflows for no logits; and the gradient is a plain
    difference, where the two apart would divide by a p that may have rounded to zero.

    Parameters
    ----------
    ignore_index : int, optional
        A label that is not counted: its row adds nothing to the loss and receives no gradient.
    label_smoothing : float, 0 <= label_smoothing < 1
        Szegedy et al. (2016), "Rethinking the Inception architecture for computer vision".

    Examples
    --------
    >>> import numpy as np, nnscratch as nn
    >>> criterion = nn.CrossEntropyLoss()
    >>> logits = np.array([[0.0, np.log(3.0)], [1000.0, -1000.0]])
    >>> round(criterion(logits, np.array([1, 0])), 6)                   # (-log 3/4 - log 1) / 2
    0.143841
    >>> print(criterion.backward())
    [[ 0.125 -0.125]
     [ 0.     0.   ]]
    """

    arguments = ("ignore_index", "label_smoothing")

    def __init__(self, ignore_index: int | None = None, label_smoothing: float = 0.0):
        if ignore_index is not None and not isinstance(ignore_index, (int, np.integer)):
            raise TypeError(f"ignore_index must be an integer or None, got {ignore_index!r}")
        self.ignore_index = ignore_index
        self.label_smoothing = probability("label_smoothing", label_smoothing)

    def forward(self, logits: Array, target: Array) -> float:
        """The mean loss.

        Parameters
        ----------
        logits : array of floats, shape (..., C)
        target : array of integers in 0..C-1, shape (...)

        Raises
        ------
        ValueError
            The shapes do not fit, a label is out of range, or every label is ignored.
        """
        check_floats(self, "logits", logits)
        xp = backend.array_module(logits)
        if backend.array_module(target) is not xp:
            raise TypeError(
                f"CrossEntropyLoss: logits on {backend.device_of(logits)!r}, target on {backend.device_of(target)!r}"
            )
        if logits.ndim == 0 or logits.shape[:-1] != target.shape or target.size == 0:
            raise ValueError(
                f"CrossEntropyLoss needs logits (..., C) and one integer label for each row, target (...); "
                f"got {logits.shape} and {target.shape}"
            )
        C, smoothing = logits.shape[-1], self.label_smoothing
        x, t = logits.reshape(-1, C), target.reshape(-1)
        counted = None
        if self.ignore_index is not None:
            counted = t != self.ignore_index
            t = xp.where(counted, t, 0)
        check_ids(self, "target", t, C)
        n = len(t) if counted is None else int(counted.sum())
        if n == 0:
            raise ValueError(f"CrossEntropyLoss: every label is ignore_index={self.ignore_index}, nothing to average")

        p = xp.empty(x.shape, dtype=x.dtype)
        loss = xp.empty(len(t), dtype=x.dtype)
        rows_at_a_time = max(1, BLOCK // C) if xp is np else len(t)
        for start in range(0, len(t), rows_at_a_time):
            rows = slice(start, start + rows_at_a_time)
            block, label = p[rows], t[rows]
            xp.subtract(x[rows], x[rows].max(axis=1, keepdims=True), out=block)  # now x - m
            at_label = block[xp.arange(len(label)), label]
            average = block.mean(axis=1) if smoothing else None
            xp.exp(block, out=block)
            total = block.sum(axis=1)
            block /= total[:, None]
            loss[rows] = xp.log(total) - at_label
            if smoothing:
                loss[rows] += smoothing * (at_label - average)
        if counted is not None:
            loss = xp.where(counted, loss, 0)
        self.save_for_backward(p, t, counted, n, logits.shape)
        return float(loss.sum(dtype=np.float64)) / n

    def backward(self) -> Array:
        """dL/d(logits) = (p - q) / n, shape (..., C)."""
        p, t, counted, n, shape = self.saved()
        xp, smoothing = backend.array_module(p), self.label_smoothing
        dx = p  # p is taken off the stack and used nowhere else: turned into the gradient in place
        if smoothing:
            dx -= smoothing / dx.shape[-1]
        dx[xp.arange(len(t)), t] -= 1 - smoothing
        dx *= 1 / n
        if counted is not None:
            dx *= counted[:, None]
        return dx.reshape(shape)
