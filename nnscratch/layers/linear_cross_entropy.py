"""Linear and CrossEntropyLoss in one function, over blocks of rows: a fast form of the last step of a language model.

With a vocabulary of V words, the logits of n tokens have n * V elements. For 700 tokens, they take 28 MB with 10,000
words, and 280 MB with 100,000 words. The logits are needed only between two products, so this function keeps only
one block of them at a time:

    for each block of rows of h:
        x  = h W^T + b              the block's logits, in a buffer that all blocks share
        p  = softmax(x)             in place;  L = mean of -log p at the label
        dx = (p - q) / n            in place;  q is 1 at the label and 0 elsewhere
        dh = dx W                   dW += dx^T h                    db += sum of dx over rows

Backward runs inside forward. This is possible because the loss is the last operation: backward needs no gradient from a
later operation. The textbook version is ``CrossEntropyLoss()(Linear(...)(h), target)``. A test checks that the two
versions give equal results.
"""

from __future__ import annotations

import numpy as np

from .. import backend
from ..backend import Array
from ..checks import check_floats, check_ids
from .fast_products import column_sums
from .kernels.linear_cross_entropy import SOFTMAX_MINUS_TARGET_OF_CHUNK
from .linear import Linear

BLOCK = 1 << 23  # elements of the logits in a block: 32 MiB of float32
DW_BLOCK = 1 << 22  # elements of dW computed at a time, if there are several blocks of logits


def linear_cross_entropy(
    linear: Linear, h: Array, target: Array, *, workspace: backend.Workspace, learn: bool, scale: float = 1.0
) -> tuple[float | Array, Array | None]:
    """Return the mean cross-entropy of ``linear(h)`` and dL/dh. Add dL/dW and dL/db to the layer's gradients.

    Parameters
    ----------
    linear : Linear, (D -> V)
    h : array, shape (..., D)
    target : array of integers in 0..V-1, shape (...)
    workspace : Workspace
        Keeps the buffer for the logits between calls.
    learn : bool
        If False, compute the loss only.
    scale : float
        Multiplies all gradients.

    Returns
    -------
    loss : float64 scalar
        On a GPU, an array of shape (). ``float(loss)`` waits until the GPU has finished, so start the rest of backward
        first.
    dh : array, shape (..., D)
        None if `learn` is False.
    """
    if not isinstance(linear, Linear):
        raise TypeError(
            f"loss_and_backward needs a Linear layer as the last layer, got {type(linear).__name__}: "
            f"call forward, CrossEntropyLoss and backward instead"
        )
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
        block = slice(start, start + size)
        x = xp.matmul(rows[block], W.data.T, out=buffer[: len(labels[block])])
        softmax_minus_target(x, b, labels[block], loss[block], scale / n if learn else 0.0)  # x is now dx
        if learn:
            xp.matmul(x, W.data, out=dh[block])
            if size == n:
                W.add_product(x.T, rows)
            else:  # in blocks, because all of dx^T h would need as much memory as dW
                step = max(1, backend.chunk_size(x, DW_BLOCK) // linear.in_features)
                for v in range(0, V, step):
                    words = slice(v, v + step)  # rows of W
                    W.add_product(x[:, words].T, rows[block], words)
            if b is not None:
                linear.bias.grad += column_sums(x)
    workspace.give(buffer)
    return loss.mean(dtype=np.float64), None if dh is None else dh.reshape(h.shape)


def softmax_minus_target(x: Array, b: Array | None, label: Array, loss: Array, scale: float) -> None:
    """Add the bias to `x` in place, write the loss of each row to `loss`, and replace x by ``scale * (p - q)``.

    The rows are processed in chunks that stay in the cache, and the chunks are spread over the CPU's cores. With
    ``scale=0`` only `loss` is computed, and the content of `x` has no meaning afterwards.
    """
    size = max(1, backend.chunk_size(x, 1 << 16) // x.shape[1])
    chunks = [slice(start, start + size) for start in range(0, len(x), size)]
    tasks = [(x[chunk], label[chunk, None], loss[chunk]) for chunk in chunks]
    backend.parallel_for(lambda x, label, loss: softmax_minus_target_of_chunk(b, label, scale, x, loss), tasks)


@backend.fused_rows(*SOFTMAX_MINUS_TARGET_OF_CHUNK)
def softmax_minus_target_of_chunk(bias: Array | None, label: Array, scale: float, x: Array, loss: Array) -> None:
    """Process one chunk of rows for `softmax_minus_target`. The labels have shape (n, 1)."""
    if bias is not None:
        x += bias
    pick = np.arange(len(label)), label[:, 0]
    top = x.max(axis=1, keepdims=True)
    at_label = x[pick] - top[:, 0]
    x -= top
    np.exp(x, out=x)
    total = x @ np.ones(x.shape[1], dtype=x.dtype)  # x.sum(axis=1), but twice as fast
    loss[...] = np.log(total) - at_label
    if scale:
        x *= (scale / total)[:, None]
        x[pick] -= scale
