"""Linear and CrossEntropyLoss in one, over blocks of rows: the fast version of a language model's last step.

With a vocabulary of V, the logits of n tokens are n * V numbers: 28 MB for 700 tokens and 10,000 words, 280 MB for
100,000. They are needed only between this product and the next, so they are never held all at once:

    for each block of rows of h:
        x  = h W^T + b              the block's logits, in a buffer that every block uses
        p  = softmax(x)             in place;  L = mean of -log p at the label
        dx = (p - q) / n            in place: the loss is at hand, so its gradient is too
        dh = dx W                   dW += dx^T h                    db += sum of dx over rows

Backward is done inside forward, which works because nothing comes between this loss and L. The textbook version is
``CrossEntropyLoss()(Linear(...)(h), target)``; a test holds the two equal.
"""

from __future__ import annotations

import numpy as np

from .. import backend
from ..backend import Array
from ..checks import check_floats, check_ids
from .linear import Linear

BLOCK = 1 << 23  # logits held at a time: 32 MiB of float32
COLUMNS = 1 << 22  # numbers of dW computed at a time, where it cannot be written in place


def linear_cross_entropy(
    linear: Linear, h: Array, target: Array, *, workspace: backend.Workspace, learn: bool
) -> tuple[float | Array, Array | None]:
    """The mean cross-entropy of ``linear(h)``, and, when learning, dL/dh; dL/dW and dL/db are added to the gradients.

    Parameters
    ----------
    linear : Linear, (D -> V)
    h : array, shape (..., D)
    target : array of integers in 0..V-1, shape (...)
    workspace : Workspace
        Where the block's logits are kept from call to call.
    learn : bool
        Whether gradients are wanted.

    Returns
    -------
    loss : float, or on a GPU an array without axes
        The reader of that waits for all that was asked of the GPU: first ask for the rest of backward.
    dh : array, shape (..., D), or None
    """
    check_floats(linear, "h", h, like=linear.weight)
    if h.shape != (*target.shape, linear.in_features) or target.size == 0:
        raise ValueError(
            f"linear_cross_entropy needs h (..., {linear.in_features}) and one label for each row, "
            f"got {h.shape} and {target.shape}"
        )
    check_ids(linear, "target", target, linear.out_features)
    xp = backend.array_module(h)
    W, V = linear.weight, linear.out_features
    b = None if linear.bias is None else linear.bias.data
    rows, labels = h.reshape(-1, linear.in_features), target.reshape(-1)
    n = len(rows)
    size = min(n, max(1, backend.chunk_size(h, BLOCK) // V))
    (buffer,) = workspace.take(h, (size, V))
    dh = xp.empty_like(rows) if learn else None
    loss = xp.empty(n, dtype=h.dtype)
    for start in range(0, n, size):
        part = slice(start, start + size)
        x = xp.matmul(rows[part], W.data.T, out=buffer[: len(labels[part])])
        softmax_minus_target(x, b, labels[part], loss[part], 1 / n if learn else 0.0)
        if learn:
            xp.matmul(x, W.data, out=dh[part])
            if size == n:
                W.add_product(x.T, rows)
            else:  # a whole dx^T h beside the gradient would need as much memory again
                for v in range(0, V, max(1, COLUMNS // linear.in_features)):
                    columns = slice(v, v + max(1, COLUMNS // linear.in_features))
                    W.grad[columns] += x[:, columns].T @ rows[part]
            if b is not None:
                linear.bias.grad += xp.ones(len(x), dtype=x.dtype) @ x  # x.sum(axis=0), several times as fast
    workspace.give(buffer)
    return loss.mean(dtype=np.float64), None if dh is None else dh.reshape(h.shape)


def softmax_minus_target(x: Array, b: Array | None, label: Array, loss: Array, scale: float) -> None:
    """In place, row by row: adds the bias to the products `x`, writes each row's loss, turns x into scale (p - q).

    A few rows at a time, which stay in the cache through all of it, and every core with rows of its own. With a scale
    of 0 only the loss is wanted, and x is left as it happens to be.
    """
    rows = max(1, backend.chunk_size(x, 1 << 16) // x.shape[1])
    parts = [slice(start, start + rows) for start in range(0, len(x), rows)]
    tasks = [(x[part], label[part, None], loss[part]) for part in parts]
    backend.parallel_for(lambda x, label, loss: few_rows(b, label, scale, x, loss), tasks)


@backend.fused_rows(
    "T bias, L label, T scale",
    "T x, raw T loss",
    {
        "top": ("x + bias", "a > b ? a : b", "log((T)0)"),  # of no number: -infinity
        "total": ("exp(x + bias - top)", "a + b", "0"),
    },
    """
    const T z = x + bias - top;
    const int here = column == label;
    if (here) loss[row] = log(total) - z;
    if (column == 0 && (label < 0 || label >= columns)) loss[row] = log((T)-1);   // no such label: NaN
    x = scale * (exp(z) / total - (here ? (T)1 : (T)0));
    """,
)
def few_rows(bias: Array | None, label: Array, scale: float, x: Array, loss: Array) -> None:
    """What `softmax_minus_target` does, to rows that are few enough for the cache; labels have shape (n, 1)."""
    if bias is not None:
        x += bias
    pick = np.arange(len(label)), label[:, 0]
    top = x.max(axis=1, keepdims=True)
    at_label = x[pick] - top[:, 0]
    x -= top
    np.exp(x, out=x)
    total = x @ np.ones(x.shape[1], dtype=x.dtype)  # x.sum(axis=1), in half the time
    loss[...] = np.log(total) - at_label
    if scale:
        x *= (scale / total)[:, None]
        x[pick] -= scale
