"""LoRA: adapt a trained Linear layer with two small matrices. The layer's own weights do not change.

    shapes      x (..., D)    W (H, D), frozen    A (r, D)    B (H, r)    u (..., r)    y (..., H)    s = alpha / r

    forward     u = x A^T                           r numbers for each row
                y = x W^T + b + s u B^T

    backward    du = s dy B
                dx = dy W + du A                    x was used twice
                dA = sum over rows  du^T x
                dB = sum over rows  s dy^T u        no dW and no db
    per example dA_n and dB_n are the sums over the rows of example n

A Linear layer with the weight W + s B A has the same output. The product B A has the shape of W, but its rank is at
most r. So r (D + H) numbers describe B A, instead of D H. With D = H = 512 and r = 4, r (D + H) is 1.6 % of D H.

B starts at zero. So the first output equals the output of the trained layer, and the first gradient of A is zero. A
starts at random values. If A and B were both zero, both gradients would be zero too, and the layer would not learn.

Why alpha: with s = alpha / r, the size of the update is similar for every r. So you can keep the learning rate if you
change r.

Reference: Hu, Shen, Wallis, Allen-Zhu, Li, Wang, Wang and Chen (2022), "LoRA: low-rank adaptation of large language
models", arXiv:2106.09685.
"""

from __future__ import annotations

import math

import numpy as np

from .. import backend
from ..backend import Array
from ..checks import check_gradient, check_instance, finite, positive_int
from ..init import uniform
from ..modes import input_grad_optional, without_input_grad
from ..module import Module
from ..parameter import Parameter
from ..per_example import Outer
from .linear import Linear


class LoRA(Module):
    """A frozen Linear layer and a trainable low-rank update of its weight.

    Parameters
    ----------
    layer : Linear
        The trained layer. Its parameters are frozen.
    rank : int
        r, at most the smaller of D and H.
    alpha : float, optional
        The update is multiplied by ``alpha / rank``. The default is `rank`, so that the factor is 1.
    rng : None, int or numpy.random.Generator
        The source of A, or its seed. A is uniform from -1/sqrt(D) to 1/sqrt(D), as in a Linear layer. B is 0.

    Attributes
    ----------
    base : Linear
        The trained layer, frozen.
    lora_A : Parameter, shape (r, D)
    lora_B : Parameter, shape (H, r)
    merged : bool
        True between `merge` and `unmerge`.

    Raises
    ------
    TypeError
        `layer` is not a Linear layer.
    ValueError
        `rank` is not an integer from 1 to the smaller of D and H, or `alpha` is not a finite number.

    Examples
    --------
    >>> import numpy as np, nnscratch as nn
    >>> trained = nn.Linear(100, 50, rng=0)
    >>> layer = nn.LoRA(trained, rank=2, rng=1)
    >>> layer
    LoRA(rank=2, alpha=2.0)  # 5,350 parameters
      (base) Linear(in_features=100, out_features=50, bias=True)  # 5,050 parameters
        weight: (50, 100), frozen
        bias: (50,), frozen
      lora_A: (2, 100)
      lora_B: (50, 2)

    At the start, the output equals the output of the trained layer. Training changes A and B only:

    >>> x = np.random.default_rng(2).normal(size=(4, 100)).astype(np.float32)
    >>> bool((layer(x) == trained(x)).all())
    True
    >>> optimizer = nn.optim.Adam(layer.parameters(), lr=0.01)
    >>> for step in range(3):
    ...     layer.zero_grad()
    ...     dx = layer.backward(layer(x))
    ...     optimizer.step()

    After training, merge both parts into one weight. Then the layer costs no more than the Linear layer:

    >>> y = layer.eval()(x)
    >>> block = nn.Sequential(layer, nn.ReLU())
    >>> setattr(block, "0", layer.merge())                              # the Linear layer, with the weight W + s B A
    >>> bool(np.allclose(block[0](x), y, atol=1e-5))
    True
    """

    keeps_examples = True
    arguments = ("rank", "alpha")

    def __init__(
        self, layer: Linear, rank: int, alpha: float | None = None, *, rng: None | int | np.random.Generator = None
    ):
        check_instance("LoRA", "layer", layer, Linear)
        D, H = layer.in_features, layer.out_features
        if positive_int("rank", rank) > min(D, H):
            raise ValueError(f"rank must be at most {min(D, H)}, the smaller side of the weight ({H}, {D}), got {rank}")
        self.rank, self.alpha = int(rank), finite("alpha", rank if alpha is None else alpha)
        weight = layer.weight.data
        self.base = layer.requires_grad_(False)
        self.lora_A = Parameter(uniform((rank, D), 1 / math.sqrt(D), backend.generator(rng)))
        self.lora_B = Parameter(np.zeros((H, rank), dtype=np.float32))
        for parameter in (self.lora_A, self.lora_B):
            parameter.to(device=backend.device_of(weight), dtype=weight.dtype)
        self.merged = False

    def constructor_modules(self) -> list[Module]:
        if self.merged:
            raise ValueError(
                "a merged LoRA cannot be saved: call unmerge() first, or save the Linear layer that merge() returned"
            )
        return [self.base]

    @property
    def scale(self) -> float:
        return self.alpha / self.rank

    def forward(self, x: Array) -> Array:
        y = self.base(x)  # (..., H)
        if self.merged:
            return y
        u = x.reshape(-1, x.shape[-1]) @ self.lora_A.data.T  # (rows, r)
        self.save_for_backward(x, u)
        y += self.scale * (u @ self.lora_B.data.T).reshape(y.shape)
        return y

    @input_grad_optional
    def backward(self, dy: Array) -> Array | None:
        if self.merged:
            raise RuntimeError("a merged LoRA has no gradient of A and B: call unmerge() before you train it")
        x, u = self.saved()
        H = self.base.out_features
        check_gradient(self, dy, (*x.shape[:-1], H), x.dtype)
        s_dy = self.scale * dy.reshape(-1, H)  # (rows, H)
        du = s_dy @ self.lora_B.data  # (rows, r)
        self.lora_A.add_product(du.T, x.reshape(-1, x.shape[-1]))
        self.lora_B.add_product(s_dy.T, u)
        if self.lora_A.examples is not None:
            s_dy_n, du_n, x_n, u_n = (a.reshape(len(x), -1, a.shape[-1]) for a in (s_dy, du, x, u))  # (N, T, ...)
            self.lora_A.keep(Outer(du_n, x_n))
            self.lora_B.keep(Outer(s_dy_n, u_n))
        if not self.needs_input_grad:
            with without_input_grad(self.base):
                return self.base.backward(dy)
        return self.base.backward(dy) + (du @ self.lora_A.data).reshape(x.shape)

    def update(self) -> Array:
        """Return s B A, shape (H, D): the update of the weight W."""
        return self.scale * (self.lora_B.data @ self.lora_A.data)

    def merge(self) -> Linear:
        """Add the update to the trained layer's weight, in place: W = W + s B A. Return that layer.

        After this call, the LoRA layer returns the output of the trained layer. You cannot train the LoRA layer until
        you call `unmerge`.
        """
        if self.merged:
            raise RuntimeError("this LoRA is merged already")
        self.base.weight.data += self.update()
        self.merged = True
        return self.base

    def unmerge(self) -> None:
        """Subtract the update again: W = W - s B A. W is as before `merge`, except for rounding."""
        if not self.merged:
            raise RuntimeError("this LoRA is not merged")
        self.base.weight.data -= self.update()
        self.merged = False
