"""PositionalEncoding: add sines and cosines of each token's position to its vector.

    shapes      x, y (N, T, D)    P (T, D)    s: the position of the first token, usually 0

    forward     P[t, 2k]     = sin((s + t) / 10000^(2k/D))
                P[t, 2k + 1] = cos((s + t) / 10000^(2k/D))
                y[:, t] = x[:, t] + P[t]
    backward    dx = dy

The wavelengths grow from 2 pi to almost 10000 * 2 pi. So the first features change from token to token, and the last
features change slowly. The layer has no parameters, so the number of positions has no limit. `PositionalEmbedding`
learns its vectors instead, for a limited number of positions.

Reference: Vaswani et al. (2017), "Attention is all you need", arXiv:1706.03762, section 3.5.
"""

from __future__ import annotations

from types import ModuleType

import numpy as np

from .. import backend
from ..backend import Array
from ..checks import check_floats, check_gradient
from ..module import Module


class PositionalEncoding(Module):
    """Add to each token's vector a fixed vector of sines and cosines, which depends on the token's position.

    Examples
    --------
    >>> import numpy as np, nnscratch as nn
    >>> layer = nn.PositionalEncoding()
    >>> print(layer(np.zeros((1, 3, 4)))[0].round(2))
    [[ 0.    1.    0.    1.  ]
     [ 0.84  0.54  0.01  1.  ]
     [ 0.91 -0.42  0.02  1.  ]]
    """

    def forward(self, x: Array, start: int = 0) -> Array:
        """Return x + P. `start` is the position of the first token."""
        check_floats(self, "x", x)
        if x.ndim != 3:
            raise ValueError(f"PositionalEncoding needs x of shape (batch, time, features), got {x.shape}")
        if start < 0:
            raise ValueError(f"PositionalEncoding: start must be 0 or more, got {start}")
        self.save_for_backward(x.shape, x.dtype)
        return x + sinusoids(backend.array_module(x), start, *x.shape[1:]).astype(x.dtype)

    def backward(self, dy: Array) -> Array:
        shape, dtype = self.saved()
        check_gradient(self, dy, shape, dtype)
        return dy.copy()


def sinusoids(xp: ModuleType, start: int, T: int, D: int) -> Array:
    """Return P in float64, shape (T, D)."""
    t = xp.arange(start, start + T, dtype=np.float64)[:, None]  # (T, 1)
    angles = t / 10000 ** (xp.arange(0, D, 2) / D)  # (T, D/2), rounded up
    P = xp.empty((T, D))
    P[:, 0::2] = xp.sin(angles)
    P[:, 1::2] = xp.cos(angles[:, : D // 2])
    return P
