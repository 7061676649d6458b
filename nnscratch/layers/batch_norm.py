"""BatchNorm: every feature is brought to mean 0 and variance 1 over the batch, then scaled and shifted as learned.

    shapes      x, y (N, C), (N, C, L) or (N, C, H, W)    w, b, mu, v (C,): one for each feature or channel
                m = how many numbers a channel has: N, N L or N H W

    training    mu = mean(x)    v = mean((x - mu)^2)            over all axes but the channels'
                n  = (x - mu) r                                 r = 1 / sqrt(v + eps)
                y  = w n + b
                running_mean = (1 - momentum) running_mean + momentum mu
                running_var  = (1 - momentum) running_var  + momentum v m / (m - 1)

    eval        the same n and y, with running_mean and running_var for mu and v: what the network answers to one
                example must not depend on which others it was asked about

    backward    db = sum dy    dw = sum dy n    dn = dy w       sums and means over all axes but the channels'
                dx = r (dn - mean(dn) - n mean(dn n))

It is LayerNorm turned by a quarter: means over the examples, not over the features. So every example's gradient
depends on all the others in the batch, and a batch of one has nothing to say.

Reference: Ioffe and Szegedy (2015), "Batch normalization: accelerating deep network training by reducing internal
covariate shift".
"""

from __future__ import annotations

import numpy as np

from .. import backend
from ..backend import Array
from ..checks import check_floats, check_gradient, not_negative, positive_int, probability
from ..module import Module
from ..parameter import Parameter


class BatchNorm1d(Module):
    """Normalise each feature over the batch, or each channel over batch and time.

    Parameters
    ----------
    num_features : int
        C, the length of x's second axis.
    eps : float
        Added to the variance.
    momentum : float
        How much of the running averages a batch replaces.

    Attributes
    ----------
    weight, bias : Parameter, shape (num_features,)
        w, which starts from ones, and b, which starts from zeros.
    running_mean, running_var : array, shape (num_features,)
        What ``eval()`` mode uses; part of ``state_dict()``, and nothing an optimiser sees.
    num_batches_tracked : integer array, shape ()
        How many batches they have seen.

    Examples
    --------
    >>> import numpy as np, nnscratch as nn
    >>> layer = nn.BatchNorm1d(2)
    >>> x = np.array([[1.0, 10.0], [3.0, 30.0]], dtype=np.float32)
    >>> print(layer(x).round(3))
    [[-1. -1.]
     [ 1.  1.]]
    >>> print(layer.running_mean)                     # a tenth of the way from 0 to the batch's mean
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
        over = (0, *range(2, x.ndim))  # all axes but the channels'
        column = (-1,) + (1,) * (x.ndim - 2)  # (C,) -> (C, 1, 1): lies along the channels' axis of x
        if self.training:
            mu = x.mean(axis=over)  # (C,)
            n = x - mu.reshape(column)
            v = (n * n).mean(axis=over)
            self._track(mu, v, x.size // self.num_features)
        else:
            n, v = x - self.running_mean.reshape(column), self.running_var
        r = (1 / backend.array_module(x).sqrt(v + self.eps)).reshape(column)
        n *= r
        self.save_for_backward(n, r)
        return n * self.weight.data.reshape(column) + self.bias.data.reshape(column)

    def backward(self, dy: Array) -> Array:
        n, r = self.saved()
        check_gradient(self, dy, n.shape, n.dtype)
        over, column = (0, *range(2, n.ndim)), r.shape
        m = n.size // self.num_features
        db, dw = dy.sum(axis=over), (dy * n).sum(axis=over)
        self.bias.grad += db
        self.weight.grad += dw
        # w is the same for the whole channel, so mean(dn) = w mean(dy) = w db/m, and mean(dn n) = w dw/m
        w = self.weight.data.reshape(column)
        return r * w * (dy - db.reshape(column) / m - n * (dw.reshape(column) / m))

    def _track(self, mu: Array, v: Array, m: int) -> None:
        """Move the running averages towards this batch's.

        Where a batch holds a NaN or infinity, its channel's stay what they were: what is broken goes on through y, and
        is found there; remembered, it would outlive the step that a Trainer refuses to make.
        """
        xp = backend.array_module(mu)
        good = xp.isfinite(mu) & xp.isfinite(v)
        for running, new in ((self.running_mean, mu), (self.running_var, v * (m / (m - 1)))):
            running += self.momentum * (xp.where(good, new, running) - running)
        self.num_batches_tracked += 1

    def _check(self, x: Array) -> None:
        title = f"{type(self).__name__}({self.num_features})"
        check_floats(self, "x", x, like=self.weight)
        if x.ndim not in self.layouts or x.shape[1] != self.num_features:
            raise ValueError(f"{title} needs x of shape {' or '.join(self.layouts.values())}, got {x.shape}")
        if self.training and x.size <= self.num_features:
            raise ValueError(
                f"{title} got x of shape {x.shape}: one number for each channel has no variance. "
                f"Train on larger batches, or call eval()"
            )


class BatchNorm2d(BatchNorm1d):
    """Normalise each channel of images over batch and pixels; parameters and attributes are BatchNorm1d's.

    Examples
    --------
    >>> import numpy as np, nnscratch as nn
    >>> layer = nn.BatchNorm2d(3)
    >>> y = layer(np.random.default_rng(0).normal(5, 2, (4, 3, 8, 8)).astype(np.float32))
    >>> abs(y.mean(axis=(0, 2, 3))).max() < 1e-5, y.std(axis=(0, 2, 3)).round(3)
    (np.True_, array([1., 1., 1.], dtype=float32))
    """

    layouts = {4: "(N, C, H, W)"}
