"""TransformerDecoderBlock: a Transformer block that also attends to the output of an encoder.

    shapes      x, a, b, y (N, T, D)    m (N, S, D)

    m is the encoder's output. f is the small network of transformer_block.py.

    pre-norm (norm_first=True, the default)
        forward     a  = x + attention(norm1(x))                            causal: earlier tokens of x
                    b  = a + cross(norm2(a), m)                             all tokens of m
                    y  = b + f(norm3(b))
        backward    db = dy + norm3.backward(f.backward(dy))
                    dn, dm = cross.backward(db)         da = db + norm2.backward(dn)
                    dx = da + norm1.backward(attention.backward(da))

    post-norm (norm_first=False)
        forward     a  = norm1(x + attention(x))
                    b  = norm2(a + cross(a, m))
                    y  = norm3(b + f(b))
        backward    ds = norm3.backward(dy)             db = ds + f.backward(ds)
                    dr = norm2.backward(db)
                    dc, dm = cross.backward(dr)         da = dr + dc
                    dp = norm1.backward(da)             dx = dp + attention.backward(dp)

The parameters have the names of PyTorch's ``TransformerDecoderLayer``: ``cross`` is ``multihead_attn``.

Reference: Vaswani et al. (2017), "Attention is all you need", arXiv:1706.03762.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from .. import backend
from ..backend import Array
from .attention import Cache
from .cross_attention import CrossAttention
from .dropout import Dropout
from .layer_norm import LayerNorm
from .transformer_block import TransformerBlock


class TransformerDecoderBlock(TransformerBlock):
    """A block of a Transformer decoder: causal self-attention, cross-attention, and a network for each token.

    Parameters
    ----------
    embed_dim : int
        D.
    num_heads : int
        The number of heads of both attentions, a divisor of D.
    dim_feedforward : int, optional
        F, the hidden size of the network for each token. The default is 4 D.
    dropout : float, 0 <= dropout < 1
        The dropout probability for the attention weights, inside f, and at the end of each branch.
    norm_first, activation, bias, layer_norm_eps
        See `TransformerBlock`.
    rng : None, int or numpy.random.Generator

    Attributes
    ----------
    norm1, norm2, norm3 : LayerNorm
    self_attn : MultiheadAttention
    multihead_attn : CrossAttention
    linear1, linear2 : Linear

    Examples
    --------
    >>> import numpy as np, nnscratch as nn
    >>> block = nn.TransformerDecoderBlock(embed_dim=8, num_heads=2, rng=0)
    >>> y = block(np.ones((2, 3, 8), dtype=np.float32), np.ones((2, 5, 8), dtype=np.float32))
    >>> dx, dmemory = block.backward(np.ones_like(y))
    >>> dx.shape, dmemory.shape
    ((2, 3, 8), (2, 5, 8))
    """

    arguments = ("embed_dim", "num_heads", "dim_feedforward", "dropout", "norm_first", "bias", "layer_norm_eps")

    def __init__(
        self,
        embed_dim: int,
        num_heads: int,
        dim_feedforward: int | None = None,
        dropout: float = 0.0,
        *,
        norm_first: bool = True,
        activation: str = "gelu",
        bias: bool = True,
        layer_norm_eps: float = 1e-5,
        rng: None | int | np.random.Generator = None,
    ):
        rng = backend.generator(rng)
        super().__init__(
            embed_dim,
            num_heads,
            dim_feedforward,
            dropout,
            causal=True,
            norm_first=norm_first,
            activation=activation,
            bias=bias,
            layer_norm_eps=layer_norm_eps,
            rng=rng,
        )
        self.multihead_attn = CrossAttention(embed_dim, num_heads, dropout, bias, rng=rng)
        self.dropout3 = Dropout(dropout, rng=rng)
        self.norm3 = LayerNorm(embed_dim, layer_norm_eps, bias)

    def forward(
        self, x: Array, memory: Array | Cache, lengths: Any = None, past: Cache | None = None
    ) -> Array | tuple[Array, Cache]:
        """Return y, shape (N, T, D).

        Parameters
        ----------
        x : array, shape (N, T, D)
        memory : array, shape (N, S, D), or (k, v)
            The output of the encoder. In ``eval()`` mode, you may pass its keys and values instead: see
            `CrossAttention`.
        lengths : sequence of N integers in 1..S, optional
            The number of real tokens in each sequence of `memory`.
        past : (k, v), optional
            The keys and values of earlier tokens of x: see `MultiheadAttention`. If given, forward also returns the new
            (k, v).
        """
        attended = self.self_attn(self.norm1(x) if self.norm_first else x, past=past)
        attended, present = attended if past is not None else (attended, None)
        a = x + self.dropout1(attended)  # (N, T, D)
        if self.norm_first:
            b = a + self.dropout3(self.multihead_attn(self.norm2(a), memory, lengths))
            y = b + self._f(self.norm3(b))
        else:
            a = self.norm1(a)
            b = self.norm2(a + self.dropout3(self.multihead_attn(a, memory, lengths)))
            y = self.norm3(b + self._f(b))
        return y if past is None else (y, present)

    def backward(self, dy: Array) -> tuple[Array, Array]:
        """Return (dx, dmemory)."""
        if self.norm_first:
            db = dy + self.norm3.backward(self._f_backward(dy))  # (N, T, D)
            dn, dm = self.multihead_attn.backward(self.dropout3.backward(db))
            da = db + self.norm2.backward(dn)
            return da + self.norm1.backward(self.self_attn.backward(self.dropout1.backward(da))), dm
        ds = self.norm3.backward(dy)
        dr = self.norm2.backward(ds + self._f_backward(ds))
        dc, dm = self.multihead_attn.backward(self.dropout3.backward(dr))
        dp = self.norm1.backward(dr + dc)
        return dp + self.self_attn.backward(self.dropout1.backward(dp)), dm
