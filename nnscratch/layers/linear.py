"""Linear: y = x W^T + b, for every row x.

shapes      x (..., D)    W (H, D)    b (H,)    y (..., H)

forward     y = x W^T + b

backward    dx = dy W                    each input contributed to all H outputs
            dW = sum over rows  dy^T x   every row used the same W, so its gradient is a sum
            db = sum over rows  dy

per example dW_n = sum over the rows of example n  dy^T x        db_n = sum over the rows of example n  dy

Reference: Rumelhart, Hinton and Williams (1986), "Learning representations by back-propagating errors",
doi:10.1038/323533a0.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np

from .. import backend
from ..backend import Array
from ..checks import check_floats, check_gradient, flag, positive_int
from ..init import drawn, uniform
from ..modes import input_grad_optional
from ..module import Module
from ..parameter import Parameter
from ..per_example import Each, Outer
from .fast_products import column_sums, matmul


class Linear(Module):
    """A fully connected layer.

    Parameters
    ----------
    in_features, out_features : int
        D and H.
    bias : bool
        If False, there is no b.
    init : function of (shape, rng), optional
        Draws the weight, for example a function of `nnscratch.init`. By default, weight and bias are drawn uniformly
        from [-1/sqrt(D), 1/sqrt(D)), as in PyTorch.
    rng : None, int or numpy.random.Generator
        The source of the random weights, or its seed.

    Attributes
    ----------
    weight : Parameter, shape (out_features, in_features)
    bias : Parameter, shape (out_features,), or None

    Examples
    --------
    >>> import numpy as np, nnscratch as nn
    >>> layer = nn.Linear(3, 2, rng=0)
    >>> x = np.ones((4, 3), dtype=np.float32)
    >>> layer(x).shape
    (4, 2)
    >>> layer.backward(np.ones((4, 2), dtype=np.float32)).shape
    (4, 3)
    >>> print(layer.bias.grad)
    [4. 4.]
    """

    keeps_examples = True

    def __init__(
        self,
        in_features: int,
        out_features: int,
        bias: bool = True,
        *,
        init: Callable[..., np.ndarray] | None = None,
        rng: None | int | np.random.Generator = None,
    ):
        self.in_features = positive_int("in_features", in_features)
        self.out_features = positive_int("out_features", out_features)
        rng = backend.generator(rng)
        shape = (out_features, in_features)
        bound = 1 / math.sqrt(in_features)
        self.weight = Parameter(uniform(shape, bound, rng) if init is None else drawn(init, shape, rng))
        self.bias = Parameter(uniform((out_features,), bound, rng)) if flag("bias", bias) else None

    def config(self) -> dict[str, Any]:
        return {"in_features": self.in_features, "out_features": self.out_features, "bias": self.bias is not None}

    def forward(self, x: Array) -> Array:
        check_floats(self, "x", x, like=self.weight)
        if x.ndim == 0 or x.shape[-1] != self.in_features:
            hint = " Did you forget nn.Flatten()?" if math.prod(x.shape[1:]) == self.in_features else ""
            raise ValueError(
                f"Linear({self.in_features}, {self.out_features}) got x of shape {x.shape}; "
                f"its last axis must be {self.in_features}.{hint}"
            )
        y = matmul(x.reshape(-1, self.in_features), self.weight.data.T)  # (rows, H)
        if self.bias is not None:
            y += self.bias.data
        self.save_for_backward(x)
        return y.reshape(*x.shape[:-1], self.out_features)

    @input_grad_optional
    def backward(self, dy: Array) -> Array | None:
        (x,) = self.saved()
        check_gradient(self, dy, (*x.shape[:-1], self.out_features), x.dtype)
        rows, drows = x.reshape(-1, self.in_features), dy.reshape(-1, self.out_features)
        self.weight.add_product(drows.T, rows)  # weight.grad += dy^T x
        if self.bias is not None:
            self.bias.grad += column_sums(drows)
        if self.weight.examples is not None:
            self.keep_examples(dy, x)
        if not self.needs_input_grad:
            return None
        return matmul(drows, self.weight.data).reshape(x.shape)

    def keep_examples(self, dy: Array, x: Array) -> None:
        """Keep dW_n and db_n of every example n."""
        rows, drows = (a.reshape(len(a), -1, a.shape[-1]) for a in (x, dy))  # (N, T, D), (N, T, H)
        self.weight.keep(Outer(drows, rows))
        if self.bias is not None:
            self.bias.keep(Each(drows.sum(axis=1)))
