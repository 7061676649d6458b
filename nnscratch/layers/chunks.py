"""The products of LSTM, GRU and RNN that do not depend on the recurrence, computed for many steps at a time.

A chunk is a range of time steps. For G gates, and with `steps` as the number of steps of a chunk:

    forward, before the steps       U = W_ih X^T + b            (G * H, steps * N)
    forward, at step t              v = W_hh h[t]^T             (G * H, N)
    backward, after the steps       dW_ih += dU X      dW_hh += dV h      dX = dU^T W_ih
    per example                     dW_ih and dW_hh, summed over the columns of sequence n only

dU is the gradient of U, and dV holds the gradients of v at all steps. In RNN and LSTM, dU and dV are equal. The steps
themselves, with v, are in lstm.py, gru.py and rnn.py.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from .. import backend
from ..backend import Array
from ..parameter import Parameter
from ..per_example import keep_recurrent
from .fast_products import row_sums

Parameters = tuple[Parameter, Parameter, Parameter, Parameter]  # weight_ih, weight_hh, bias_ih, bias_hh


def chunks_of_steps(T: int, length: int) -> list[slice]:
    """Cut T steps into chunks of `length` steps. The last chunk may be shorter.

    Examples
    --------
    >>> chunks_of_steps(5, 3)
    [slice(0, 3, None), slice(3, 5, None)]
    """
    return [slice(start, min(start + length, T)) for start in range(0, T, length)]


def input_products(W_ih: Array, b: Array, X: Array, chunk: Array) -> Iterator[tuple[slice, slice, Array]]:
    """Compute U for one chunk after the other, and use the memory of `chunk` for each of them.

    Parameters
    ----------
    W_ih, b : array, shapes (G * H, D) and (G * H,)
    X : array, shape (T, N, D)
    chunk : array, shape (G * H, steps * N)

    Yields
    ------
    steps, states : slice
        The steps of the chunk, and the states before and after these steps. There is one state more than steps.
    U : array, shape (G * H, steps * N)
        The last chunk may have fewer columns.
    """
    xp, (T, N, D) = backend.array_module(X), X.shape
    for steps in chunks_of_steps(T, chunk.shape[1] // N):
        rows = X[steps].reshape(-1, D)  # (steps * N, D)
        U = xp.matmul(W_ih, rows.T, out=first_columns(chunk, len(rows)))
        U += b[:, None]
        yield steps, slice(steps.start, steps.stop + 1), U


def chunks_backward(X: Array, *buffers: Array) -> Iterator[tuple[Any, ...]]:
    """Yield the steps of each chunk from the last to the first, each with its part of the memory of `buffers`.

    Parameters
    ----------
    X : array, shape (T, N, D)
    *buffers : array, shape (G * H, steps * N)
        For dU, and for dV if it differs from dU.

    Yields
    ------
    steps : slice
    *parts : array, shape (G * H, steps * N)
        The last chunk of X may have fewer columns.
    """
    T, N, _ = X.shape
    for steps in reversed(chunks_of_steps(T, buffers[0].shape[1] // N)):
        yield steps, *(first_columns(buffer, (steps.stop - steps.start) * N) for buffer in buffers)


def first_columns(buffer: Array, columns: int) -> Array:
    """Return a C-contiguous matrix with this number of columns, as a view into the memory of `buffer`.

    The matrix has as many rows as `buffer`. The slice ``buffer[:, :columns]`` would not be contiguous, and on a GPU
    each product would copy it.

    Examples
    --------
    >>> import numpy as np
    >>> first_columns(np.arange(8).reshape(2, 4), 3)
    array([[0, 1, 2],
           [3, 4, 5]])
    """
    rows = len(buffer)
    return buffer.reshape(-1)[: rows * columns].reshape(rows, columns)


def by_step(U: Array, num_gates: int, N: int) -> Array:
    """Return U, shape (num_gates * H, steps * N), as a view of shape (steps, num_gates, H, N)."""
    rows, columns = U.shape
    return U.reshape(num_gates, rows // num_gates, columns // N, N).transpose(2, 0, 1, 3)


def add_gradients(parameters: Parameters, dU: Array, dV: Array, X: Array, h: Array, dX: Array) -> None:
    """Add the gradients of one chunk to those of the parameters, and write dX.

    Parameters
    ----------
    parameters : weight_ih, weight_hh, bias_ih and bias_hh
    dU, dV : array, shape (G * H, steps * N)
        The same array if both are equal.
    X, dX : array, shape (steps, N, D)
    h : array, shape (steps, N, H)
        The state before each step.
    """
    weight_ih, weight_hh, bias_ih, bias_hh = parameters
    xp, columns = backend.array_module(dU), dU.shape[1]
    weight_ih.add_product(dU, X.reshape(columns, -1))
    weight_hh.add_product(dV, h.reshape(columns, -1))
    db = row_sums(dU)[:, 0]
    bias_ih.grad += db
    bias_hh.grad += db if dV is dU else row_sums(dV)[:, 0]
    xp.matmul(dU.T, weight_ih.data, out=dX.reshape(columns, -1))
    if weight_ih.examples is not None:
        rows, steps, N = len(dU), len(X), X.shape[1]
        dU, dV = (d.reshape(rows, steps, N).transpose(2, 1, 0) for d in (dU, dV))  # (N, steps, G * H)
        # Keep copies of dU, dV and h: the next chunk overwrites dU and dV, and the next forward overwrites h.
        keep_recurrent(parameters, dU.copy(), dV.copy(), X.transpose(1, 0, 2).copy(), h.transpose(1, 0, 2).copy())
