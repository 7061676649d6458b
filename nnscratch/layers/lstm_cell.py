"""LSTMCell: one step of a long short-term memory, gate by gate. The textbook version.

The cell passes two vectors from step to step: the memory c and the output h. Four gates, each computed from the input
x and the previous h, decide how the memory changes and how much of it the output shows.

    shapes      x (N, D)    h, c (N, H)    each gate (N, H)    W_ih (4H, D)    W_hh (4H, H)    b_ih, b_hh (4H,)
                gates in PyTorch's order i, f, g, o: rows 0..H of W belong to the input gate, and so on

    forward     z  = x W_ih^T + b_ih + h W_hh^T + b_hh      (N, 4H), split into z_i, z_f, z_g, z_o
                i  = sigmoid(z_i)       how much of the candidate to write
                f  = sigmoid(z_f)       how much of the old memory to keep
                g  = tanh(z_g)          the candidate
                o  = sigmoid(z_o)       how much of the memory to show
                c' = f * c + i * g
                h' = o * tanh(c')

    backward    given dh' and dc': the next step reads both h' and c', so both have a gradient
                do   = dh' * tanh(c')
                dc'  = dc' + dh' * o * (1 - tanh(c')^2)     the loss depends on c' in two ways: add their gradients
                di   = dc' * g        df = dc' * c        dg = dc' * i
                dc   = dc' * f                              no matrix here: f alone scales the memory's gradient
                dz_i = di * i (1 - i)      dz_f = df * f (1 - f)      dz_g = dg * (1 - g^2)      dz_o = do * o (1 - o)
                dW_ih += dz^T x       dW_hh += dz^T h       db_ih, db_hh += sum over N of dz
                dx = dz W_ih          dh = dz W_hh

:class:`~nnscratch.Unrolled` runs cells over a whole sequence. :class:`~nnscratch.LSTM` computes the same
results many times faster. A test checks that Unrolled and LSTM give equal results.

References
----------
Hochreiter and Schmidhuber (1997), "Long short-term memory", doi:10.1162/neco.1997.9.8.1735. Gers, Schmidhuber and
Cummins (2000), "Learning to forget", doi:10.1162/089976600300015015.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np

from .. import backend
from ..backend import Array
from ..checks import check_floats, check_gradient, check_is_pair, positive_int
from ..init import uniform
from ..module import Module
from ..parameter import Parameter
from ..per_example import keep_recurrent
from .sigmoid import sigmoid

State = tuple[Array, Array]


class Gates(NamedTuple):
    """The four gates of one step, each of shape (N, H)."""

    i: Array
    f: Array
    g: Array
    o: Array


class LSTMCell(Module):
    """One step of an LSTM.

    Parameters
    ----------
    input_size, hidden_size : int
        D and H.
    rng : None, int or numpy.random.Generator
        Draws the weights and biases, uniform from -1/sqrt(H) to 1/sqrt(H) as in PyTorch.

    Attributes
    ----------
    weight_ih : Parameter, shape (4H, D)
    weight_hh : Parameter, shape (4H, H)
    bias_ih, bias_hh : Parameter, shape (4H,)
        One bias would be enough. There are two so that weights can be exchanged with PyTorch.

    Examples
    --------
    >>> import numpy as np, nnscratch as nn
    >>> cell = nn.LSTMCell(3, 5, rng=0)
    >>> h, c = cell(np.ones((2, 3), dtype=np.float32))
    >>> h, c = cell(np.ones((2, 3), dtype=np.float32), (h, c))          # one cell, two steps ...
    >>> dx, (dh, dc) = cell.backward(np.ones_like(h), np.zeros_like(c))
    >>> dx, (dh, dc) = cell.backward(dh, dc)                            # ... and back through both
    >>> dx.shape, dh.shape
    ((2, 3), (2, 5))
    """

    keeps_examples = True
    arguments = ("input_size", "hidden_size")

    def __init__(self, input_size: int, hidden_size: int, *, rng: None | int | np.random.Generator = None):
        D, H = positive_int("input_size", input_size), positive_int("hidden_size", hidden_size)
        self.input_size, self.hidden_size = D, H
        rng, bound = backend.generator(rng), 1 / math.sqrt(H)
        self.weight_ih = Parameter(uniform((4 * H, D), bound, rng))
        self.weight_hh = Parameter(uniform((4 * H, H), bound, rng))
        self.bias_ih = Parameter(uniform((4 * H,), bound, rng))
        self.bias_hh = Parameter(uniform((4 * H,), bound, rng))

    def forget_gate_biases(self) -> list[tuple[Array, Array]]:
        """Return the forget gate's rows of bias_ih and bias_hh, as views."""
        rows = slice(self.hidden_size, 2 * self.hidden_size)
        return [(self.bias_ih.data[rows], self.bias_hh.data[rows])]

    def gates(self, x: Array, h: Array) -> Gates:
        """Return the four gates from the input, shape (N, D), and the old h, shape (N, H)."""
        xp, H = backend.array_module(x), self.hidden_size
        z = x @ self.weight_ih.data.T + self.bias_ih.data + h @ self.weight_hh.data.T + self.bias_hh.data  # (N, 4H)
        z_i, z_f, z_g, z_o = (z[:, k * H : (k + 1) * H] for k in range(4))
        return Gates(i=sigmoid(z_i), f=sigmoid(z_f), g=xp.tanh(z_g), o=sigmoid(z_o))

    def forward(self, x: Array, state: State | None = None) -> State:
        """Return the new (h, c) from the input and the old (h, c). The default of the old (h, c) is zero."""
        check_floats(self, "x", x, like=self.weight_ih)
        xp, H = backend.array_module(x), self.hidden_size
        if x.ndim != 2 or x.shape[1] != self.input_size:
            raise ValueError(f"LSTMCell needs x of shape (N, {self.input_size}), got {x.shape}")
        if state is None:
            state = xp.zeros((len(x), H), dtype=x.dtype), xp.zeros((len(x), H), dtype=x.dtype)
        check_is_pair(self, "state", state, "(h, c)")
        h, c = state
        for name, s in (("h", h), ("c", c)):
            check_floats(self, name, s, like=self.weight_ih)
            if s.shape != (len(x), H):
                raise ValueError(f"LSTMCell needs {name} of shape {(len(x), H)}, got {s.shape}")

        i, f, g, o = self.gates(x, h)
        c_new = f * c + i * g
        tanh_c = xp.tanh(c_new)
        h_new = o * tanh_c
        self.save_for_backward(x, h, c, i, f, g, o, tanh_c)
        return h_new, c_new

    def backward(self, dh_new: Array, dc_new: Array | None = None) -> tuple[Array, State]:
        """Return dL/dx and (dL/dh, dL/dc) from dL/dh' and dL/dc'. The default of dL/dc' is zero."""
        x, h, c, i, f, g, o, tanh_c = self.saved()
        xp = backend.array_module(x)
        check_gradient(self, dh_new, h.shape, h.dtype, "dh", more=True)
        if dc_new is None:
            dc_new = xp.zeros_like(c)
        check_gradient(self, dc_new, c.shape, c.dtype, "dc")

        do = dh_new * tanh_c
        dc_new = dc_new + dh_new * o * (1 - tanh_c**2)  # += would change the caller's array
        di, df, dg = dc_new * g, dc_new * c, dc_new * i
        dc = dc_new * f
        dz = xp.concatenate([di * i * (1 - i), df * f * (1 - f), dg * (1 - g**2), do * o * (1 - o)], axis=1)  # (N, 4H)
        self.weight_ih.grad += dz.T @ x
        self.weight_hh.grad += dz.T @ h
        self.bias_ih.grad += dz.sum(axis=0)
        self.bias_hh.grad += dz.sum(axis=0)
        if self.weight_ih.examples is not None:
            parameters = self.weight_ih, self.weight_hh, self.bias_ih, self.bias_hh
            keep_recurrent(parameters, dz[:, None], dz[:, None], x[:, None], h[:, None])  # each sequence has one step
        return dz @ self.weight_ih.data, (dz @ self.weight_hh.data, dc)
