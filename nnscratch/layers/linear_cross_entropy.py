"""Linear and CrossEntropyLoss in one, over blocks of rows: the fast version of a language model's last step.

With a vocabulary of V, the logits of n tokens are n * V numbers: 28 MB for 700 tokens and 10,000 words, 280 MB for
100,000. They are needed only between this product and the next, so they are never held all at once:

    for each block of rows of h:
        x  = h W^T + b              the block's logits, in a buffer that every block uses
        p  = softmax(x)             in place;  L -= log p at the label
        dx = (p - q) / n            in place: the loss is at hand, so its gradient is too
        dh = dx W                   dW += dx^T h                    db += sum of dx over rows

Backward is done inside forward, which works because nothing comes between this loss and L. The textbook version is
``CrossEntropyLoss()(Linear(...)(h), target)``; a test holds the two equal.
"""

from __future__ import annotations

import numpy as np

from .. import backend
from ..backend import Array
from ..module import check_floats, check_ids
from .linear import Linear

BLOCK = 1 << 23  # logits held at a time: 32 MiB of float32
COLUMNS = 1 << 22  # numbers of dW computed at a time, where it cannot be written in place


def linear_cross_entropy(
    linear: Linear, h: Array, target: Array, *, workspace: backend.Workspace, learn: bool
) -> tuple[float, Array | None]:
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
    loss : float
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
    rows, labels = h.reshape(-1, linear.in_features), target.reshape(-1)
    n = len(rows)
    size = min(n, max(1, BLOCK // V))
    (buffer,) = workspace.take(h, (size, V))
    dh = xp.empty_like(rows) if learn else None
    loss = 0.0
    for start in range(0, n, size):
        part = slice(start, start + size)
        x = xp.matmul(rows[part], W.data.T, out=buffer[: len(labels[part])])
        if linear.bias is not None:
            x += linear.bias.data
        loss += softmax_minus_target(x, labels[part], learn)
        if learn:
            x *= 1 / n
            xp.matmul(x, W.data, out=dh[part])
            if size == n:
                W.add_product(x.T, rows)
            else:  # a whole dx^T h beside the gradient would need as much memory again
                for v in range(0, V, max(1, COLUMNS // linear.in_features)):
                    columns = slice(v, v + max(1, COLUMNS // linear.in_features))
                    W.grad[columns] += x[:, columns].T @ rows[part]
            if linear.bias is not None:
                linear.bias.grad += x.sum(axis=0)
    workspace.give(buffer)
    return loss / n, None if dh is None else dh.reshape(h.shape)


def softmax_minus_target(x: Array, label: Array, learn: bool) -> float:
    """The summed loss of rows of logits; when learning, turns the logits in `x` into p - q, in place."""
    xp = backend.array_module(x)
    loss = 0.0
    size = max(1, (1 << 16) // x.shape[1]) if xp is np else len(x)  # stretches that stay in the cache
    for start in range(0, len(x), size):
        block, at = x[start : start + size], label[start : start + size]
        pick = xp.arange(len(at)), at
        block -= block.max(axis=1, keepdims=True)
        at_label = block[pick]
        xp.exp(block, out=block)
        total = block.sum(axis=1)
        loss += float((xp.log(total) - at_label).sum(dtype=np.float64))
        if learn:
            block /= total[:, None]
            block[pick] -= 1
    return loss
