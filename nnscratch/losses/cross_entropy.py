"""CrossEntropyLoss: softmax and negative log-likelihood combined, for classification.

    shapes      logits x, probabilities p, target distribution q (n, C)         labels t (n,)

    forward     p  = softmax(x)
                L  = mean over rows of  - sum_j q_j log p_j
    backward    dx = (p - q) / n

q is 1 at the label and 0 elsewhere. So the loss of a row is -log p_t. To get dx, subtract 1 from p at the label, and
divide by n.

Softmax and logarithm are combined for numerical stability. Let m be the largest logit of a row. Then
log p_j = x_j - m - log sum_k e^(x_k - m) never overflows. The gradient p - q contains no division. The gradient of the
logarithm alone would contain 1 / p_t, and p_t may have been rounded to zero.

Three options change the loss:

    label smoothing e       q = 1 - e + e/C at the label, e/C elsewhere
    class weights w (C,)    q_j becomes w_j q_j, and n becomes the sum of w_t over the rows. The gradient is then
                            dx_j = (p_j sum_k w_k q_k - w_j q_j) / n, where sum_k w_k q_k = (1 - e) w_t + e mean(w)
    ignore_index            rows with this label have no loss and no gradient, and n does not count them
"""

from __future__ import annotations

from typing import Any

import numpy as np

from .. import backend
from ..backend import Array
from ..checks import check_ids, integer, not_negative, probability
from ..module import Module
from .checks import check_labels
from .fast_softmax import softmax_of_rows


class CrossEntropyLoss(Module):
    """The cross-entropy between labels and the softmax of logits, averaged over the rows that are not ignored.

    Parameters
    ----------
    ignore_index : int, optional
        Rows with this label are ignored: they add nothing to the loss and receive no gradient.
    label_smoothing : float, 0 <= label_smoothing < 1
        e in the equations above. Szegedy et al. (2016), "Rethinking the Inception architecture for computer vision",
        arXiv:1512.00567.
    weight : sequence of C floats, each 0 or more, optional
        w in the equations above, one weight for each class. A larger weight compensates for a rare class.

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
        self.ignore_index = None if ignore_index is None else integer("ignore_index", ignore_index)
        self.label_smoothing = probability("label_smoothing", label_smoothing)
        if weight is not None and (isinstance(weight, str) or not hasattr(weight, "__iter__")):
            raise TypeError(f"weight must have one number for each class, got {weight!r}")
        self.weight = None if weight is None else tuple(not_negative("weight", w) for w in weight)

    @property
    def is_batch_mean(self) -> bool:  # type: ignore[override]
        """True if there is no `ignore_index` and no `weight`. Then each target has the same weight in the mean."""
        return self.ignore_index is None and self.weight is None

    def forward(self, logits: Array, target: Array) -> float:
        """Return the mean loss.

        Parameters
        ----------
        logits : array of floats, shape (..., C)
        target : array of integers in 0..C-1, shape (...)

        Raises
        ------
        ValueError
            The shapes do not match, a label is out of range, or every label is ignored or has the weight 0.
        """
        check_labels(self, "logits", logits, target)
        xp = backend.array_module(logits)
        C, e = logits.shape[-1], probability("label_smoothing", self.label_smoothing)
        if self.weight is not None and len(self.weight) != C:
            raise ValueError(
                f"CrossEntropyLoss needs one weight for each class: weight has {len(self.weight)} numbers, "
                f"the logits have {C} classes"
            )
        x = logits.reshape(-1, C)  # (n, C)
        t, counted = self._without_ignored(target.reshape(-1))  # (n,)
        check_ids(self, "target", t, C)
        n = self.count(target)
        self._check_that_a_row_counts(n, counted)
        w = None if self.weight is None else xp.asarray(self.weight, dtype=x.dtype)

        p, log_p_label, mean_log_p = softmax_of_rows(x, t, w, e > 0)
        loss = -log_p_label  # - log p_t, (n,)
        if w is not None:
            loss *= w[t]
        if e:  # - sum_j w_j q_j log p_j, with q_j = (1 - e) 1[j = t] + e / C
            loss = (1 - e) * loss - e * mean_log_p
        if counted is not None:
            loss = xp.where(counted, loss, 0)
        self.save_for_backward(p, t, counted, n, w, logits.shape)
        return backend.to_scalar(loss.sum(dtype=np.float64) / n)

    def backward(self) -> Array:
        """Return dL/d(logits), shape (..., C)."""
        p, t, counted, n, w, shape = self.saved()
        xp, C, e = backend.array_module(p), p.shape[-1], self.label_smoothing
        label = xp.arange(len(t)), t  # the index of the label in every row
        dx = p  # overwrite p, which is not needed again
        if w is None:
            w_t = w = 1
        else:
            w_t = w[t]  # (n,)
            dx *= ((1 - e) * w_t + e * w.mean())[:, None]  # p_j sum_k w_k q_k
        if e:
            dx -= e / C * w
        dx[label] -= (1 - e) * w_t
        dx *= 1 / n
        if counted is not None:
            dx *= counted[:, None]
        return dx.reshape(shape)

    def count(self, target: Array) -> float | Array:
        """Return n: the number of rows that are not ignored, or, with class weights, the sum of w_t over these rows.

        On a GPU the result is an array of shape (), since reading its value would block.
        """
        t, counted = self._without_ignored(target.reshape(-1))
        if self.weight is None and counted is None:
            return len(t)
        if self.weight is not None:
            check_ids(self, "target", t, len(self.weight))
        weights = counted if self.weight is None else backend.array_module(t).asarray(self.weight)[t]  # (n,)
        if self.weight is not None and counted is not None:
            weights = weights * counted
        n = weights.sum(dtype=np.float64)
        return float(n) if backend.cheap_to_read(t) else n

    def _check_that_a_row_counts(self, n: float | Array, counted: Array | None) -> None:
        """Raise if n is 0, on the CPU only. On a GPU, the loss is NaN instead."""
        if isinstance(n, (int, float)) and n == 0:
            why = "of a class with weight 0"
            if counted is not None and not counted.any():
                why = f"ignore_index={self.ignore_index}"
            raise ValueError(f"CrossEntropyLoss: every label is {why}, so there is nothing to average")

    def _without_ignored(self, t: Array) -> tuple[Array, Array | None]:
        """Return `t` with 0 for ignored labels, and a mask of the rows that count, or None without `ignore_index`."""
        if self.ignore_index is None:
            return t, None
        counted = t != self.ignore_index
        return backend.array_module(t).where(counted, t, 0), counted
