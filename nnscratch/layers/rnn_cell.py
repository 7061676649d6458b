"""RNNCell: one step of the simplest recurrent network, Elman's. The textbook version.

The cell passes one vector h from step to step. The new h is a nonlinear function of the input and the old h.

    shapes      x (N, D)    h (N, H)    W_ih (H, D)    W_hh (H, H)    b_ih, b_hh (H,)

    forward     a  = x W_ih^T + b_ih + h W_hh^T + b_hh      (N, H)
                h' = tanh(a)                                or max(a, 0), with nonlinearity="relu"

    backward    da = dh' * (1 - h'^2)                       or dh' where h' > 0
                dW_ih += da^T x       dW_hh += da^T h       db_ih, db_hh += sum over N of da
                dx = da W_ih          dh = da W_hh

Over T steps, the gradient is multiplied T times by W_hh and by a derivative of at most 1. So it vanishes or explodes,
exponentially in T. The gates of GRUCell and LSTMCell give the gradient a path without this product.

:class:`~nnscratch.Unrolled` runs cells over a whole sequence. :class:`~nnscratch.RNN` computes the same
results several times faster. A test checks that Unrolled and RNN give equal results.

References
----------
Elman (1990), "Finding structure in time", doi:10.1207/s15516709cog1402_1. Pascanu, Mikolov and Bengio (2013), "On the
difficulty of training recurrent neural networks", arXiv:1211.5063. Le, Jaitly and Hinton (2015), "A simple way to
initialize recurrent networks of rectified linear units", arXiv:1504.00941.
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

NONLINEARITIES = ("tanh", "relu")


class RNNCell(Module):
    """One step of a recurrent network.

    Parameters
    ----------
    input_size, hidden_size : int
        D and H.
    nonlinearity : {"tanh", "relu"}
    rng : None, int or numpy.random.Generator
        Draws the weights and biases, uniform from -1/sqrt(H) to 1/sqrt(H) as in PyTorch.

    Attributes
    ----------
    weight_ih : Parameter, shape (H, D)
    weight_hh : Parameter, shape (H, H)
    bias_ih, bias_hh : Parameter, shape (H,)
        One bias would be enough. There are two so that weights can be exchanged with PyTorch.

    Examples
    --------
    >>> import numpy as np, nnscratch as nn
    >>> cell = nn.RNNCell(3, 5, rng=0)
    >>> h = cell(np.ones((2, 3), dtype=np.float32))
    >>> h = cell(np.ones((2, 3), dtype=np.float32), h)                  # one cell, two steps ...
    >>> dx, dh = cell.backward(np.ones_like(h))
    >>> dx, dh = cell.backward(dh)                                      # ... and back through both
    >>> dx.shape, dh.shape
    ((2, 3), (2, 5))
    """

    keeps_examples = True
    arguments = ("input_size", "hidden_size", "nonlinearity")

    def __init__(
        self,
        input_size: int,
        hidden_size: int,
        nonlinearity: str = "tanh",
        *,
        rng: None | int | np.random.Generator = None,
    ):
        D, H = positive_int("input_size", input_size), positive_int("hidden_size", hidden_size)
        self.input_size, self.hidden_size, self.nonlinearity = D, H, check_nonlinearity(nonlinearity)
        rng, bound = backend.generator(rng), 1 / math.sqrt(H)
        self.weight_ih = Parameter(uniform((H, D), bound, rng))
        self.weight_hh = Parameter(uniform((H, H), bound, rng))
        self.bias_ih = Parameter(uniform((H,), bound, rng))
        self.bias_hh = Parameter(uniform((H,), bound, rng))

    def forward(self, x: Array, h: Array | None = None) -> Array:
        """Return the new h, shape (N, H), from the input and the old h. The default of the old h is zero."""
        check_floats(self, "x", x, like=self.weight_ih)
        xp, H = backend.array_module(x), self.hidden_size
        if x.ndim != 2 or x.shape[1] != self.input_size:
            raise ValueError(f"RNNCell needs x of shape (N, {self.input_size}), got {x.shape}")
        if h is None:
            h = xp.zeros((len(x), H), dtype=x.dtype)
        check_floats(self, "h", h, like=self.weight_ih)
        if h.shape != (len(x), H):
            raise ValueError(f"RNNCell needs h of shape {(len(x), H)}, got {h.shape}")

        a = x @ self.weight_ih.data.T + self.bias_ih.data + h @ self.weight_hh.data.T + self.bias_hh.data  # (N, H)
        h_new = xp.tanh(a) if self.nonlinearity == "tanh" else xp.maximum(a, 0)
        self.save_for_backward(x, h, h_new)
        return h_new

    def backward(self, dh_new: Array) -> tuple[Array, Array]:
        """Return dL/dx, shape (N, D), and dL/dh, shape (N, H), from dL/dh'."""
        x, h, h_new = self.saved()
        check_gradient(self, dh_new, h.shape, h.dtype, "dh")
        da = dh_new * (1 - h_new**2) if self.nonlinearity == "tanh" else dh_new * (h_new > 0)  # (N, H)
        self.weight_ih.grad += da.T @ x
        self.weight_hh.grad += da.T @ h
        self.bias_ih.grad += da.sum(axis=0)
        self.bias_hh.grad += da.sum(axis=0)
        if self.weight_ih.examples is not None:
            parameters = self.weight_ih, self.weight_hh, self.bias_ih, self.bias_hh
            keep_recurrent(parameters, da[:, None], da[:, None], x[:, None], h[:, None])  # each sequence has one step
        return da @ self.weight_ih.data, da @ self.weight_hh.data


def check_nonlinearity(name: str) -> str:
    """Return `name`, or raise if it is not one of NONLINEARITIES."""
    if name not in tuple(NONLINEARITIES):
        raise ValueError(f'nonlinearity must be "tanh" or "relu", got {name!r}')
    return name
