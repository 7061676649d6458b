"""BatchNorm: bring every feature to mean 0 and variance 1 over the batch, then scale and shift it by learned amounts.

    shapes      x, y, c, n (N, C), (N, C, L) or (N, C, H, W)
                mu, v, r, w, b (C,): one number for each feature or channel
                m = the number of elements of a channel: N, N L or N H W

    training    mu = mean(x)
                c  = x - mu
                v  = mean(c^2)
                r  = 1 / sqrt(v + eps)
                n  = c r
                y  = n w + b
                running_mean = (1 - momentum) running_mean + momentum mu
                running_var  = (1 - momentum) running_var  + momentum v m / (m - 1)

    eval        the same equations, with mu = running_mean and v = running_var: the output for one example must not
                depend on the other examples in the batch. `modes.eval_with_backward` uses the same mu and v, and its
                backward is dx = r dn

    backward    db = sum(dy)
                dw = sum(dy n)
                dn = dy w
                dx = r (dn - mean(dn) - n mean(dn n))
                   = r w (dy - db / m - n dw / m)               because w is constant within a channel

Every sum and mean is over all axes except the channel axis. LayerNorm has the same equations, with means over the
features of one example. Here the means are over the examples, so the gradient of each example depends on all examples.
Training needs more than one element per channel, since the variance of one element is 0.

Reference: Ioffe and Szegedy (2015), "Batch normalization: accelerating deep network training by reducing internal
covariate shift", arXiv:1502.03167.
"""

from __future__ import annotations

import numpy as np

from .. import backend
from ..backend import Array
from ..checks import check_floats, check_gradient, not_negative, positive_int, probability
from ..module import Module
from ..parameter import Parameter
from .fast_products import channel_sums


class BatchNorm1d(Module):
    """Batch normalisation of each feature over the batch, or of each channel over batch and time.

    Parameters
    ----------
    num_features : int
        C, the length of the second axis of x.
    eps : float
        Added to the variance.
    momentum : float
        The weight of each new batch in the running averages.

    Attributes
    ----------
    weight, bias : Parameter, shape (num_features,)
        w, initialised to ones, and b, initialised to zeros.
    running_mean, running_var : array, shape (num_features,)
        The averages that ``eval()`` mode uses. They are buffers: part of ``state_dict()``, but not trained.
    num_batches_tracked : integer array, shape ()
        The number of batches in the running averages.

    Examples
    --------
    >>> import numpy as np, nnscratch as nn
    >>> layer = nn.BatchNorm1d(2)
    >>> x = np.array([[1.0, 10.0], [3.0, 30.0]], dtype=np.float32)
    >>> print(layer(x).round(3))
    [[-1. -1.]
     [ 1.  1.]]
    >>> print(layer.running_mean)                     # 0.9 * 0 + 0.1 * the batch's mean
    [0.2 2. ]
    >>> print(layer.eval()(x[:1]).round(3))
    [[0.763 1.75 ]]
    """

    arguments = ("num_features", "eps", "momentum")
    layouts = {2: "(N, C)", 3: "(N, C, L)"}

    def __init__(self, num_features: int, eps: float = 1e-5, momentum: float = 0.1):
        self.num_features = positive_int("num_features", num_features)
        self.eps = not_negative("eps", eps)
        self.momentum = 1.0 if momentum == 1 else probability("momentum", momentum)
        self.weight = Parameter(np.ones(self.num_features, dtype=np.float32))
        self.bias = Parameter(np.zeros(self.num_features, dtype=np.float32))
        self.register_buffer("running_mean", np.zeros(self.num_features, dtype=np.float32))
        self.register_buffer("running_var", np.ones(self.num_features, dtype=np.float32))
        self.register_buffer("num_batches_tracked", np.array(0))

    def forward(self, x: Array) -> Array:
        self._check(x)
        xp = backend.array_module(x)
        axes, column = (0, *range(2, x.ndim)), self._column(x.ndim)
        from_batch = self.training and not self.deterministic
        if from_batch:
            mu = x.mean(axis=axes)  # (C,)
            c = x - mu.reshape(column)
            v = (c * c).mean(axis=axes)  # (C,)
            self._update_running_averages(mu, v, x.size // self.num_features)
        else:
            c, v = x - self.running_mean.reshape(column), self.running_var
        r = (1 / xp.sqrt(v + self.eps)).reshape(column)
        n = xp.multiply(c, r, out=c)  # overwrite c, which is not needed again
        self.save_for_backward(n, r, from_batch)
        return n * self.weight.data.reshape(column) + self.bias.data.reshape(column)

    def backward(self, dy: Array) -> Array:
        n, r, from_batch = self.saved()
        check_gradient(self, dy, n.shape, n.dtype)
        column = self._column(n.ndim)
        m = n.size // self.num_features
        db, dw = channel_sums(dy), channel_sums(dy * n)  # (C,)
        self.bias.grad += db
        self.weight.grad += dw
        w = self.weight.data.reshape(column)
        if not from_batch:
            return r * w * dy
        return r * w * (dy - db.reshape(column) / m - n * (dw.reshape(column) / m))

    @staticmethod
    def _column(ndim: int) -> tuple[int, ...]:
        """Return the shape in which (C,) broadcasts along the channel axis: (C, 1, 1) for images."""
        return (-1,) + (1,) * (ndim - 2)

    def _update_running_averages(self, mu: Array, v: Array, m: int) -> None:
        """Move the running averages towards the mean and the unbiased variance of this batch.

        Skip channels with NaN or infinity, which would corrupt the running averages even if the Trainer rejects this
        step.
        """
        momentum = 1.0 if self.momentum == 1 else probability("momentum", self.momentum)  # you may have changed it
        xp = backend.array_module(mu)
        good = xp.isfinite(mu) & xp.isfinite(v)
        for running, new in ((self.running_mean, mu), (self.running_var, v * (m / (m - 1)))):
            running += momentum * (xp.where(good, new, running) - running)
        self.num_batches_tracked += 1

    def _check(self, x: Array) -> None:
        title = f"{type(self).__name__}({self.num_features})"
        check_floats(self, "x", x, like=self.weight)
        if x.ndim not in self.layouts or x.shape[1] != self.num_features:
            raise ValueError(f"{title} needs x of shape {' or '.join(self.layouts.values())}, got {x.shape}")
        if self.training and not self.deterministic and x.size <= self.num_features:
            raise ValueError(
                f"{title} got x of shape {x.shape}: the variance of one number per channel is undefined. "
                f"Train on larger batches, or call eval()"
            )


class BatchNorm2d(BatchNorm1d):
    """Batch normalisation of each channel of images over batch and pixels.

    The parameters and attributes are those of BatchNorm1d.

    Examples
    --------
    >>> import numpy as np, nnscratch as nn
    >>> layer = nn.BatchNorm2d(3)
    >>> y = layer(np.random.default_rng(0).normal(5, 2, (4, 3, 8, 8)).astype(np.float32))
    >>> abs(y.mean(axis=(0, 2, 3))).max() < 1e-5, y.std(axis=(0, 2, 3)).round(3)
    (np.True_, array([1., 1., 1.], dtype=float32))
    """

    layouts = {4: "(N, C, H, W)"}
