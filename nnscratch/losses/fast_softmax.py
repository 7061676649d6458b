"""Softmax of every row of a matrix, with the logarithms that CrossEntropyLoss needs, in the fastest form.

On the CPU the rows are processed in chunks. A chunk is small enough to stay in the processor's cache from one operation
to the next. On a GPU one kernel computes everything.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from .. import backend
from ..backend import Array
from .kernels import SOFTMAX_OF_CHUNK

CHUNK_SIZE = 1 << 16  # elements of a chunk: 256 KiB of float32


def softmax_of_rows(x: Array, t: Array, w: Array | None, with_mean: bool) -> tuple[Array, Array, Array]:
    """Compute the softmax p of every row, and the two functions of log p that the loss needs.

    Parameters
    ----------
    x : array, shape (n, C)
    t : array of integers, shape (n,)
    w : array, shape (C,), optional
        Ones if not given.
    with_mean : bool
        True to compute `mean_log_p`.

    Returns
    -------
    p : array, shape (n, C)
    log_p_label : array, shape (n,)
        log p_t.
    mean_log_p : array, shape (n,)
        The mean over j of w_j log p_j. If `with_mean` is False, the values are arbitrary.
    """
    xp, (n, C) = backend.array_module(x), x.shape
    if not with_mean:
        w = None
    elif w is None:
        w = xp.ones(C, dtype=x.dtype)
    w_mean = 0 if w is None else w.mean()
    p = xp.empty(x.shape, dtype=x.dtype)
    log_p_label, mean_log_p = xp.empty((2, n), dtype=x.dtype)
    chunk = max(1, backend.chunk_size(x, CHUNK_SIZE) // C)
    for start in range(0, n, chunk):
        rows = slice(start, start + chunk)
        softmax_of_chunk(x[rows], t[rows, None], w, w_mean, p[rows], log_p_label[rows], mean_log_p[rows])
    return p, log_p_label, mean_log_p


@backend.fused_rows(*SOFTMAX_OF_CHUNK)
def softmax_of_chunk(
    x: Array, label: Array, w: Array | None, w_mean: Any, p: Array, log_p_label: Array, mean_log_p: Array
) -> None:
    """Write p, log p_t and, if `w` is given, the mean over j of w_j log p_j into the last three arguments.

    `label` has shape (n, 1), and `w_mean` is the mean of `w`.
    """
    np.subtract(x, x.max(axis=1, keepdims=True), out=p)  # x - m
    log_p_label[...] = p[np.arange(len(label)), label[:, 0]]
    if w is not None:
        mean_log_p[...] = p @ w / p.shape[1]
    np.exp(p, out=p)
    total = p.sum(axis=1)
    p /= total[:, None]
    log_total = np.log(total)
    log_p_label -= log_total  # log p = x - m - log total
    if w is not None:
        mean_log_p -= log_total * w_mean
