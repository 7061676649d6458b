"""Recurrent: the layers and the bookkeeping that RNN and GRU share; the equations are in their own files.

The layout is LSTM's (see lstm.py for why): features first, so that one step is  W_hh @ h[:, t]  with h of shape
(H, T+1, N), and time in the middle, so that what does not depend on the recurrence is one product for all T*N columns:

    before the loop over time       Z = W_ih X + b                                  (G*H, T*N)
    after it, going backward        dW_ih += dU X^T     dW_hh += dV [h_0 ... h_T-1]^T     dX = W_ih^T dU

dU and dV are the gradients of the two summands, the input's and the state's; they differ only in the GRU, whose reset
gate stands between them.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from .. import backend
from ..backend import Array
from ..checks import check_floats, check_gradient, positive_int, probability
from ..init import uniform
from ..module import Module
from ..parameter import Parameter
from .directions import NAMES, directions_backward, directions_forward, suffixes
from .dropout import dropout_mask


class Recurrent(Module):
    """What RNN and GRU inherit: they write `buffer_shapes`, `layer_forward` and `layer_backward`, for one layer."""

    arguments = ("input_size", "hidden_size", "num_layers", "dropout", "bidirectional")
    gates = 1
    """G: how many blocks of H rows the weights have."""

    def __init__(
        self,
        input_size: int,
        hidden_size: int,
        num_layers: int = 1,
        dropout: float = 0.0,
        *,
        bidirectional: bool = False,
        rng: None | int | np.random.Generator = None,
    ):
        self.input_size = positive_int("input_size", input_size)
        self.hidden_size = H = positive_int("hidden_size", hidden_size)
        self.num_layers = positive_int("num_layers", num_layers)
        self.dropout = probability("dropout", dropout)
        self.bidirectional = bool(bidirectional)
        self.rng = backend.generator(rng)
        self.workspace = backend.Workspace()
        rows, bound = self.gates * H, 1 / math.sqrt(H)
        for layer in range(num_layers):
            D = input_size if layer == 0 else H * (1 + self.bidirectional)
            for suffix in suffixes(layer, self.bidirectional):
                for name, shape in zip(NAMES, ((rows, D), (rows, H), (rows,), (rows,)), strict=True):
                    setattr(self, name + suffix, Parameter(uniform(shape, bound, self.rng)))

    @property
    def draws_random_numbers(self) -> bool:
        return self.dropout > 0

    def layer_parameters(self, layer: int) -> tuple[Parameter, Parameter, Parameter, Parameter]:
        """weight_ih, weight_hh, bias_ih and bias_hh of one layer."""
        return tuple(getattr(self, f"{name}_l{layer}") for name in NAMES)

    def forward(self, x: Array, state: Array | None = None, lengths: Any = None) -> tuple[Array, Array]:
        """Run over the sequences.

        Parameters
        ----------
        x : array, shape (N, T, D)
        state : array, shape (num_layers * directions, N, H), optional
            h to start from; zero if not given.
        lengths : sequence of N integers in 1..T, optional
            How many steps each sequence has; what lies behind is padding and is never looked at.

        Returns
        -------
        y : array, shape (N, T, directions * H)
            The last layer's h at every step; zero on padding.
        state : array, shape (num_layers * directions, N, H)
            Every layer's h after each sequence's last step: give it to the next call to go on from there.
        """
        N, T = self._check_input(x)
        xp, H = backend.array_module(x), self.hidden_size
        h0 = self._check_state(state, x, N)
        if self.bidirectional or lengths is not None:
            y, (h_last,) = directions_forward(self, x, (h0,), lengths)
            return y, h_last

        h_last = xp.empty_like(h0)
        X = x.transpose(1, 0, 2).reshape(T * N, -1).T  # (D, T*N): a copy by rows, seen as columns
        caches = []
        for layer in range(self.num_layers):
            mask = None
            if layer > 0 and self.training and self.dropout > 0:
                mask = dropout_mask(X.shape, self.dropout, self.rng, like=x)
                X = X * mask
            h, *_ = buffers = self.workspace.take(x, *self.buffer_shapes(T, N))
            h[:, 0] = h0[layer].T
            self.layer_forward(X, *(p.data for p in self.layer_parameters(layer)), buffers)
            h_last[layer] = h[:, T].T
            caches.append((X, mask, buffers))
            X = h[:, 1:].reshape(H, T * N)
        y = xp.array(h[:, 1:].transpose(2, 1, 0), order="C")  # (H, T, N) -> (N, T, H), a copy for the caller
        self.save_for_backward((N, T), caches)
        if not self.training:
            for _, _, buffers in caches:
                self.workspace.give(*buffers)
        return y, h_last

    def backward(self, dy: Array, dstate: Array | None = None) -> tuple[Array, Array]:
        """Backpropagation through time.

        Parameters
        ----------
        dy : array, shape (N, T, directions * H)
        dstate : array, shape (num_layers * directions, N, H), optional
            The gradient with respect to the final state; zero if not given, which is truncated backpropagation.

        Returns
        -------
        dx : array, shape (N, T, D)
            Zero on padding.
        dstate : array, shape (num_layers * directions, N, H)
            The gradient with respect to the initial state.
        """
        shape, kept = self.saved()
        xp, H = backend.array_module(dy), self.hidden_size
        N, T = kept[2][:2] if shape is None else shape
        check_gradient(self, dy, (N, T, H * (1 + self.bidirectional)), self.weight_hh_l0.dtype)
        dh0 = xp.zeros(self._state_shape(N), dtype=dy.dtype)
        if dstate is not None:
            check_gradient(self, dstate, dh0.shape, dh0.dtype, "dstate")
            dh0[...] = dstate
        if shape is None:
            dx, (dh0,) = directions_backward(self, kept, dy, (dh0,))
            return dx, dh0

        dY = xp.ascontiguousarray(dy.transpose(2, 1, 0))  # (H, T, N)
        for layer in reversed(range(self.num_layers)):
            X, mask, buffers = kept[layer]
            weight_ih, weight_hh, bias_ih, bias_hh = self.layer_parameters(layer)
            dU, dV, dh = self.layer_backward(dY, xp.array(dh0[layer].T, order="C"), weight_hh.data, buffers)
            dh0[layer] = dh.T
            weight_ih.add_product(dU, X.T)  # weight_ih.grad += dU X^T
            weight_hh.add_product(dV, buffers[0][:, :T].reshape(H, T * N).T)  # ... h before each step
            bias_ih.grad += dU.sum(axis=1)
            bias_hh.grad += dV.sum(axis=1)
            if layer > 0:
                dY = weight_ih.data.T @ dU  # (H, T*N)
                if mask is not None:
                    dY *= mask
                dY = dY.reshape(H, T, N)
            else:
                dx = dU.T @ weight_ih.data  # (T*N, D)
        for _, _, buffers in kept:
            self.workspace.give(*buffers)
        return xp.ascontiguousarray(dx.reshape(T, N, -1).transpose(1, 0, 2)), dh0

    def _check_input(self, x: Array) -> tuple[int, int]:
        check_floats(self, "x", x, like=self.weight_ih_l0)
        if x.ndim != 3 or x.shape[2] != self.input_size or 0 in x.shape:
            raise ValueError(
                f"{type(self).__name__}({self.input_size}, {self.hidden_size}) needs x of shape "
                f"(batch, time, {self.input_size}) with at least one sequence and one step, got {x.shape}"
            )
        return x.shape[:2]

    def _check_state(self, state: Array | None, x: Array, N: int) -> Array:
        shape = self._state_shape(N)
        if state is None:
            return backend.array_module(x).zeros(shape, dtype=x.dtype)
        check_floats(self, "state", state, like=self.weight_ih_l0)
        if state.shape != shape:
            raise ValueError(
                f"{type(self).__name__}: state must be (num_layers * directions, batch, hidden_size) = {shape}, "
                f"got {state.shape}"
            )
        return state

    def _state_shape(self, N: int) -> tuple[int, int, int]:
        return self.num_layers * (1 + self.bidirectional), N, self.hidden_size


def padded(columns: int) -> int:
    """Some columns more, so that the rows are not a power of two apart: those fall on the same places of the cache."""
    return (columns // 32 | 1) * 32 + 32
