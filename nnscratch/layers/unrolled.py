"""Unrolled: cells over whole sequences, step by step and layer by layer. The textbook version.

    y_t  <- cell L-1 <- ... <- cell 1 <- cell 0 <- x_t          at every step t
            each cell also reads its own state of step t-1

    shapes      x (N, T, D)    y (N, T, H)    state: h, or (h, c) for LSTMCell, each (L, N, H); L is the number of cells

    forward     for t = 0 ... T-1
                    h = x_t
                    for each cell, from the first:      state = cell(h, state);  h = the h of state
                    y_t = h

    backward    for t = T-1 ... 0
                    dh = dy_t
                    for each cell, from the last:       dh, dstate = cell.backward(dh + the dh in dstate, ...)
                    dx_t = dh

A cell's h is read twice: by the cell above it and by the cell itself at the next step. Its two gradients are added.
:class:`~nnscratch.LSTM`, :class:`~nnscratch.GRU` and :class:`~nnscratch.RNN` compute the same results in less time.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from .. import backend
from ..backend import Array
from ..checks import check_gradient, check_state_gradient
from ..module import Module
from ..sequential import Sequential


class Unrolled(Module):
    """Recurrent cells over a batch of sequences.

    Parameters
    ----------
    cells : list of LSTMCell, GRUCell or RNNCell
        One cell for each layer. The first cell reads x. All cells have the same class and hidden size.

    Attributes
    ----------
    cells : Sequential
        The cells. Their parameters are called ``cells.0.weight_ih`` and so on.

    Examples
    --------
    >>> import numpy as np, nnscratch as nn
    >>> lstm = nn.Unrolled([nn.LSTMCell(3, 5, rng=0), nn.LSTMCell(5, 5, rng=1)])
    >>> x = np.ones((4, 7, 3), dtype=np.float32)                        # (N, T, D)
    >>> y, (h, c) = lstm(x)
    >>> y.shape, h.shape
    ((4, 7, 5), (2, 4, 5))
    >>> dx, (dh, dc) = lstm.backward(np.ones_like(y))
    >>> dx.shape, dh.shape
    ((4, 7, 3), (2, 4, 5))
    """

    def __init__(self, cells: Iterable[Module]):
        self.cells = Sequential(*cells)
        if len(self.cells) == 0:
            raise ValueError("Unrolled needs at least one cell")

    def constructor_modules(self) -> list[Module]:
        return [self.cells]

    def forward(self, x: Array, state: Any = None) -> tuple[Array, Any]:
        """Return y and the final state, from x and the initial state. The default of the initial state is zero."""
        xp, cells = backend.array_module(x), self.cells.layers
        if x.ndim != 3 or 0 in x.shape:
            raise ValueError(f"Unrolled needs x of shape (batch, time, features) with at least one step, got {x.shape}")
        states = [None] * len(cells) if state is None else per_layer(state, len(cells))
        y = []
        for t in range(x.shape[1]):
            h = x[:, t]  # (N, D)
            for layer, cell in enumerate(cells):
                states[layer] = cell(h, states[layer])
                h = as_tuple(states[layer])[0]  # (N, H)
            y.append(h)
        y, state = xp.stack(y, axis=1), stacked(states)
        self.save_for_backward(y, state)
        return y, state

    def backward(self, dy: Array, dstate: Any = None) -> tuple[Array, Any]:
        """Return dL/dx and dL/d(initial state), from dL/dy and dL/d(final state), which is zero by default."""
        y, state = self.saved()
        xp, cells = backend.array_module(y), self.cells.layers
        check_gradient(self, dy, y.shape, y.dtype, more=dstate is not None)
        if dstate is None:
            dstate = as_state([xp.zeros_like(s) for s in as_tuple(state)])
        else:
            check_state_gradient(self, dstate, state)
        dstates = per_layer(dstate, len(cells))
        dx = []
        for t in reversed(range(y.shape[1])):
            dh = dy[:, t]  # (N, H)
            for layer in reversed(range(len(cells))):
                dh_next, *dc_next = as_tuple(dstates[layer])
                dh, dstates[layer] = cells[layer].backward(dh + dh_next, *dc_next)
            dx.append(dh)  # (N, D)
        return xp.stack(dx[::-1], axis=1), stacked(dstates)


# A state is an array h, or a tuple of arrays (h, c). These functions treat both alike.


def as_tuple(state: Any) -> tuple[Array, ...]:
    """Return (h,) for h, and (h, c) for (h, c)."""
    return tuple(state) if isinstance(state, (tuple, list)) else (state,)


def as_state(arrays: list[Array]) -> Any:
    """Return h for [h], and (h, c) for [h, c]."""
    return arrays[0] if len(arrays) == 1 else tuple(arrays)


def per_layer(state: Any, layers: int) -> list[Any]:
    """Split arrays of shape (L, N, H) into a state for each layer."""
    for s in as_tuple(state):
        backend.array_module(s)
        if len(s) != layers:
            raise ValueError(f"Unrolled has {layers} layers, and got a state of shape {s.shape}, for {len(s)} layers")
    return [as_state([s[layer] for s in as_tuple(state)]) for layer in range(layers)]


def stacked(states: list[Any]) -> Any:
    """Join the layers' states into arrays of shape (L, N, H)."""
    xp = backend.array_module(as_tuple(states[0])[0])
    return as_state([xp.stack(arrays) for arrays in zip(*map(as_tuple, states), strict=True)])
