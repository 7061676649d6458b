"""GRUCell: one step of a gated recurrent unit, gate by gate. The textbook version.

One vector h is both the memory and the output. The reset gate decides how much of the old h the candidate reads. The
update gate decides how much of the old h stays.

    shapes      x (N, D)    h (N, H)    each gate (N, H)    W_ih (3H, D)    W_hh (3H, H)    b_ih, b_hh (3H,)
                gates in PyTorch's order r, z, n: rows 0..H of W belong to the reset gate, and so on

    forward     u = x W_ih^T + b_ih     (N, 3H), split into u_r, u_z, u_n
                v = h W_hh^T + b_hh     (N, 3H), split into v_r, v_z, v_n
                r  = sigmoid(u_r + v_r)         how much of the old h the candidate reads
                z  = sigmoid(u_z + v_z)         how much of the old h stays
                n  = tanh(u_n + r * v_n)        the candidate; v_n includes the bias b_hn, so r scales it too
                h' = (1 - z) * n + z * h

    backward    dz  = dh' * (h - n)         dn = dh' * (1 - z)          dh = dh' * z      (the first of four terms)
                du_n = dn * (1 - n^2)       dv_n = du_n * r             dr = du_n * v_n
                du_r = dv_r = dr * r (1 - r)                            du_z = dv_z = dz * z (1 - z)
                dW_ih += du^T x       db_ih += sum over N of du         dx  = du W_ih
                dW_hh += dv^T h       db_hh += sum over N of dv         dh += dv W_hh     (the other three terms)

In the paper, r multiplies h before the product with W_hn. Here r multiplies the product, as in PyTorch and cuDNN, so
that h W_hh^T is one product for all three gates. :class:`~nnscratch.Unrolled` runs cells over a whole sequence.
:class:`~nnscratch.GRU` computes the same results in less time. A test checks that Unrolled and GRU give equal results.

Reference: Cho et al. (2014), "Learning phrase representations using RNN encoder-decoder for statistical machine
translation", arXiv:1406.1078.
"""

from __future__ import annotations

import math

import numpy as np

from .. import backend
from ..backend import Array
from ..checks import check_floats, check_gradient, positive_int
from ..init import uniform
from ..module import Module
from ..parameter import Parameter
from ..per_example import keep_recurrent
from .sigmoid import sigmoid


class GRUCell(Module):
    """One step of a gated recurrent unit.

    Parameters
    ----------
    input_size, hidden_size : int
        D and H.
    rng : None, int or numpy.random.Generator
        Draws the weights and biases, uniform from -1/sqrt(H) to 1/sqrt(H) as in PyTorch.

    Attributes
    ----------
    weight_ih : Parameter, shape (3H, D)
    weight_hh : Parameter, shape (3H, H)
    bias_ih, bias_hh : Parameter, shape (3H,)

    Examples
    --------
    >>> import numpy as np, nnscratch as nn
    >>> cell = nn.GRUCell(3, 5, rng=0)
    >>> h = cell(np.ones((2, 3), dtype=np.float32))
    >>> h = cell(np.ones((2, 3), dtype=np.float32), h)                  # one cell, two steps ...
    >>> dx, dh = cell.backward(np.ones_like(h))
    >>> dx, dh = cell.backward(dh)                                      # ... and back through both
    >>> dx.shape, dh.shape
    ((2, 3), (2, 5))
    """

    keeps_examples = True
    arguments = ("input_size", "hidden_size")

    def __init__(self, input_size: int, hidden_size: int, *, rng: None | int | np.random.Generator = None):
        D, H = positive_int("input_size", input_size), positive_int("hidden_size", hidden_size)
        self.input_size, self.hidden_size = D, H
        rng, bound = backend.generator(rng), 1 / math.sqrt(H)
        self.weight_ih = Parameter(uniform((3 * H, D), bound, rng))
        self.weight_hh = Parameter(uniform((3 * H, H), bound, rng))
        self.bias_ih = Parameter(uniform((3 * H,), bound, rng))
        self.bias_hh = Parameter(uniform((3 * H,), bound, rng))

    def forward(self, x: Array, h: Array | None = None) -> Array:
        """Return the new h, shape (N, H), from the input and the old h. The default of the old h is zero."""
        check_floats(self, "x", x, like=self.weight_ih)
        xp, H = backend.array_module(x), self.hidden_size
        if x.ndim != 2 or x.shape[1] != self.input_size:
            raise ValueError(f"GRUCell needs x of shape (N, {self.input_size}), got {x.shape}")
        if h is None:
            h = xp.zeros((len(x), H), dtype=x.dtype)
        check_floats(self, "h", h, like=self.weight_ih)
        if h.shape != (len(x), H):
            raise ValueError(f"GRUCell needs h of shape {(len(x), H)}, got {h.shape}")

        u = x @ self.weight_ih.data.T + self.bias_ih.data  # (N, 3H)
        v = h @ self.weight_hh.data.T + self.bias_hh.data  # (N, 3H)
        v_n = v[:, 2 * H :]
        r = sigmoid(u[:, :H] + v[:, :H])
        z = sigmoid(u[:, H : 2 * H] + v[:, H : 2 * H])
        n = xp.tanh(u[:, 2 * H :] + r * v_n)
        self.save_for_backward(x, h, r, z, n, v_n)
        return (1 - z) * n + z * h

    def backward(self, dh_new: Array) -> tuple[Array, Array]:
        """Return dL/dx, shape (N, D), and dL/dh, shape (N, H), from dL/dh'."""
        x, h, r, z, n, v_n = self.saved()
        xp = backend.array_module(x)
        check_gradient(self, dh_new, h.shape, h.dtype, "dh")
        dz, dn = dh_new * (h - n), dh_new * (1 - z)
        du_n = dn * (1 - n**2)
        du_r, du_z = du_n * v_n * r * (1 - r), dz * z * (1 - z)
        du = xp.concatenate([du_r, du_z, du_n], axis=1)  # (N, 3H)
        dv = xp.concatenate([du_r, du_z, du_n * r], axis=1)  # (N, 3H)
        self.weight_ih.grad += du.T @ x
        self.weight_hh.grad += dv.T @ h
        self.bias_ih.grad += du.sum(axis=0)
        self.bias_hh.grad += dv.sum(axis=0)
        if self.weight_ih.examples is not None:
            parameters = self.weight_ih, self.weight_hh, self.bias_ih, self.bias_hh
            keep_recurrent(parameters, du[:, None], dv[:, None], x[:, None], h[:, None])  # each sequence has one step
        return du @ self.weight_ih.data, dh_new * z + dv @ self.weight_hh.data
