"""CrossEntropyLoss: softmax and negative log-likelihood in one, for classification.

    shapes      logits x (n, C)    labels t (n,)    p = softmax(x), q the distribution wanted, both (n, C)

    forward     L  = mean over rows of  - sum_j q_j log p_j
    backward    dx = (p - q) / n

Softmax and logarithm are done together because together they are stable: with m the largest logit of a row,
log p_j = x_j - m - log sum_k exp(x_k - m) overflows for no logits; and the gradient is a plain difference, where the
two apart would divide by a p that may have rounded to zero.

q is 1 at the label and 0 elsewhere. Three things change that:

    label smoothing e       q = 1 - e + e/C at the label, e/C elsewhere
    class weights w (C,)    q_j is multiplied by w_j, so L = - sum_j w_j q_j log p_j and
                            dx_j = p_j (sum_k w_k q_k) - w_j q_j;  the mean divides by sum of w_t over the rows, not n
    ignore_index            the row is left out, of the sum and of what it is divided by
"""

from __future__ import annotations

from typing import Any

import numpy as np

from .. import backend
from ..backend import Array
from ..checks import check_ids, not_negative, probability
from ..module import Module
from .checks import check_labels

BLOCK = 1 << 16  # numbers worked on at a time: 256 KiB of float32 stay in the cache from one operation to the next


class CrossEntropyLoss(Module):
    """The cross-entropy between labels and the softmax of logits, averaged over the rows counted.

    Parameters
    ----------
    ignore_index : int, optional
        A label that is not counted: its row adds nothing to the loss and receives no gradient.
    label_smoothing : float, 0 <= label_smoothing < 1
        e above. Szegedy et al. (2016), "Rethinking the Inception architecture for computer vision".
    weight : sequence of C floats, each 0 or more, optional
        What each class counts: where one is rare, a larger number makes up for it.

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

    arguments = ("ignore_index", "label_smoothing", "weight")

    def __init__(self, ignore_index: int | None = None, label_smoothing: float = 0.0, weight: Any = None):
        if ignore_index is not None and not isinstance(ignore_index, (int, np.integer)):
            raise TypeError(f"ignore_index must be an integer or None, got {ignore_index!r}")
        self.ignore_index = None if ignore_index is None else int(ignore_index)
        self.label_smoothing = probability("label_smoothing", label_smoothing)
        if weight is not None and (isinstance(weight, str) or not hasattr(weight, "__iter__")):
            raise TypeError(f"weight must be one number for each class, got {weight!r}")
        self.weight = None if weight is None else tuple(not_negative("weight", w) for w in weight)

    def forward(self, logits: Array, target: Array) -> float:
        """The mean loss.

        Parameters
        ----------
        logits : array of floats, shape (..., C)
        target : array of integers in 0..C-1, shape (...)

        Raises
        ------
        ValueError
            The shapes do not fit, a label is out of range, or no row counts.
        """
        check_labels(self, "logits", logits, target)
        xp = backend.array_module(logits)
        C, e = logits.shape[-1], self.label_smoothing
        if self.weight is not None and len(self.weight) != C:
            raise ValueError(f"CrossEntropyLoss has a weight for {len(self.weight)} classes, and got logits for {C}")
        x, t = logits.reshape(-1, C), target.reshape(-1)
        counted = None
        if self.ignore_index is not None:
            counted = t != self.ignore_index
            t = xp.where(counted, t, 0)
        check_ids(self, "target", t, C)
        w = None if self.weight is None else xp.asarray(self.weight, dtype=x.dtype)
        n = self._count(t, counted, w)

        p = xp.empty(x.shape, dtype=x.dtype)
        log_total, at_label, average = xp.empty((3, len(t)), dtype=x.dtype)
        averaged = None if not e else xp.ones(C, dtype=x.dtype) if w is None else w
        rows_at_a_time = max(1, backend.chunk_size(x, BLOCK) // C)
        for start in range(0, len(t), rows_at_a_time):
            rows = slice(start, start + rows_at_a_time)
            softmax(x[rows], t[rows, None], averaged, p[rows], log_total[rows], at_label[rows], average[rows])
        loss = log_total - at_label  # -log p at the label
        if w is not None:
            loss *= w[t]
        if e:
            loss *= 1 - e
            loss += e * (log_total * (1 if w is None else w.mean()) - average)
        if counted is not None:
            loss = xp.where(counted, loss, 0)
        self.save_for_backward(p, t, counted, n, w, logits.shape)
        return backend.to_scalar(loss.sum(dtype=np.float64) / n)

    def backward(self) -> Array:
        """dL/d(logits), shape (..., C)."""
        p, t, counted, n, w, shape = self.saved()
        xp, e, C = backend.array_module(p), self.label_smoothing, p.shape[-1]
        dx = p  # p is taken off the stack and used nowhere else: turned into the gradient in place
        at_label = xp.arange(len(t)), t
        if w is None:
            if e:
                dx -= e / C
            dx[at_label] -= 1 - e
        else:
            dx *= ((1 - e) * w[t] + e * w.mean())[:, None]  # p_j sum_k w_k q_k
            if e:
                dx -= e / C * w
            dx[at_label] -= (1 - e) * w[t]
        dx *= 1 / n
        if counted is not None:
            dx *= counted[:, None]
        return dx.reshape(shape)

    def count(self, target: Array) -> float | Array:
        """What the mean over these targets is divided by: how many are counted, or what they weigh."""
        xp, t = backend.array_module(target), target.reshape(-1)
        counted = None if self.ignore_index is None else t != self.ignore_index
        w = None if self.weight is None else xp.asarray(self.weight)
        return self._count(t if counted is None else xp.where(counted, t, 0), counted, w)

    def _count(self, t: Array, counted: Array | None, w: Array | None) -> float | Array:
        """What the sum over the rows is divided by: how many are counted, or what they weigh.

        On a GPU that stays there, and a sum of nothing is a loss of NaN: to say so here would mean to wait.
        """
        if w is None and counted is None:
            return len(t)
        weights = counted if w is None else w[t] if counted is None else w[t] * counted
        n = weights.sum(dtype=np.float64)
        if not backend.cheap_to_read(t):
            return n
        if n == 0:
            why = "of a class with weight 0"
            if counted is not None and not counted.any():
                why = f"ignore_index={self.ignore_index}"
            raise ValueError(f"CrossEntropyLoss: every label is {why}, nothing to average")
        return float(n)


@backend.fused_rows(
    "T x, L label, T w",
    "T p, raw T log_total, raw T at_label, raw T average",
    {
        "top": ("x", "a > b ? a : b", "log((T)0)"),  # of no number: -infinity
        "total": ("exp(x - top)", "a + b", "0"),
        "weighed": ("w * (x - top)", "a + b", "0"),
    },
    """
    p = exp(x - top) / total;
    if (column == 0) {
        log_total[row] = log(total);
        average[row] = weighed / columns;
        if (label < 0 || label >= columns) at_label[row] = log((T)-1);  // no such label: NaN
    }
    if (column == label) at_label[row] = x - top;
    """,
)
def softmax(
    x: Array, label: Array, w: Array | None, p: Array, log_total: Array, at_label: Array, average: Array
) -> None:
    """p, and of each row log sum_j exp(x_j - m), x_t - m and, if w is given, sum_j w_j (x_j - m) / C.

    Parameters
    ----------
    x, p : array, shape (n, C)
    label : array of integers, shape (n, 1)
    w : array, shape (C,), optional
    log_total, at_label, average : array, shape (n,)
    """
    np.subtract(x, x.max(axis=1, keepdims=True), out=p)  # now x - m
    at_label[...] = p[np.arange(len(label)), label[:, 0]]
    if w is not None:
        average[...] = p @ w / p.shape[1]
    np.exp(p, out=p)
    total = p.sum(axis=1)
    p /= total[:, None]
    np.log(total, out=log_total)
