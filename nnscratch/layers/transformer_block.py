"""TransformerBlock: attention between the tokens, then a small network for each token, each with a residual connection.

    x (N, T, D) -> LayerNorm -> MultiheadAttention -> Dropout -> + x = a
    a (N, T, D) -> LayerNorm -> Linear (D, F) -> GELU -> Dropout -> Linear (F, D) -> Dropout -> + a = y

    forward     a  = x + attention(norm1(x))
                y  = a + f(norm2(a))                            f: linear1, GELU, linear2

    backward    da = dy + norm2.backward(f.backward(dy))        a has two paths to y: their gradients are added
                dx = da + norm1.backward(attention.backward(da))

The residual connections make deep stacks of blocks trainable: dy reaches x unchanged, whatever the layers of the two
branches do. In this "pre-norm" form, each norm is inside its branch, and x passes from block to block without a norm.
The first Transformer had a norm after each addition, and its training needed a learning-rate warm-up.

The parameters have the names of PyTorch's ``TransformerEncoderLayer(..., norm_first=True, activation="gelu")``.

References
----------
Vaswani et al. (2017), "Attention is all you need". He, Zhang, Ren and Sun (2016), "Deep residual learning for image
recognition". Xiong et al. (2020), "On layer normalization in the Transformer architecture".
"""

from __future__ import annotations

import warnings
from typing import Any

import numpy as np

from .. import backend
from ..backend import Array
from ..checks import positive_int, probability
from ..module import Module
from .attention import Cache, MultiheadAttention
from .dropout import Dropout
from .gelu import GELU
from .layer_norm import LayerNorm
from .linear import Linear


class TransformerBlock(Module):
    """A pre-norm Transformer block.

    Parameters
    ----------
    embed_dim : int
        D.
    num_heads : int
        The number of heads, a divisor of D.
    dim_feedforward : int, optional
        F, the hidden size of the network for each token. The default is 4 D.
    dropout : float, 0 <= dropout < 1
        The probability of dropping an element: of the attention weights, inside f, and at the end of both branches.
    causal : bool
        True if token t may attend to tokens 0..t only.
    approximate : {"none", "tanh"}
        The form of the GELU: see `GELU`.
    rng : None, int or numpy.random.Generator
    hidden : int, optional
        The old name of `dim_feedforward`.

    Attributes
    ----------
    norm1, norm2 : LayerNorm
    self_attn : MultiheadAttention
    linear1, linear2 : Linear

    Examples
    --------
    >>> import numpy as np, nnscratch as nn
    >>> block = nn.TransformerBlock(embed_dim=8, num_heads=2, causal=True, rng=0)
    >>> y = block(np.ones((2, 5, 8), dtype=np.float32))
    >>> y.shape, block.backward(np.ones_like(y)).shape
    ((2, 5, 8), (2, 5, 8))
    """

    arguments = ("embed_dim", "num_heads", "dim_feedforward", "dropout", "causal", "approximate")

    def __init__(
        self,
        embed_dim: int,
        num_heads: int,
        dim_feedforward: int | None = None,
        dropout: float = 0.0,
        causal: bool = False,
        approximate: str = "none",
        *,
        rng: None | int | np.random.Generator = None,
        hidden: int | None = None,
    ):
        if hidden is not None:
            warnings.warn(
                "TransformerBlock's argument hidden is now called dim_feedforward; the old name will be removed in 2.0",
                DeprecationWarning,
                stacklevel=2,
            )
            dim_feedforward = hidden
        rng = backend.generator(rng)
        self.embed_dim, self.num_heads = positive_int("embed_dim", embed_dim), positive_int("num_heads", num_heads)
        self.dropout, self.causal = probability("dropout", dropout), bool(causal)
        if dim_feedforward is None:
            dim_feedforward = 4 * self.embed_dim
        self.dim_feedforward = positive_int("dim_feedforward", dim_feedforward)
        self.norm1 = LayerNorm(embed_dim)
        self.self_attn = MultiheadAttention(embed_dim, num_heads, dropout, causal=causal, rng=rng)
        self.dropout1 = Dropout(dropout, rng=rng)
        self.norm2 = LayerNorm(embed_dim)
        self.linear1 = Linear(embed_dim, self.dim_feedforward, rng=rng)
        self.approximate, self.activation = approximate, GELU(approximate)
        self.dropout_hidden = Dropout(dropout, rng=rng)
        self.linear2 = Linear(self.dim_feedforward, embed_dim, rng=rng)
        self.dropout2 = Dropout(dropout, rng=rng)

    def forward(self, x: Array, lengths: Any = None, past: Cache | None = None) -> Array | tuple[Array, Cache]:
        """Return y; `lengths`, `past` and the second result are those of `MultiheadAttention`."""
        attended = self.self_attn(self.norm1(x), lengths=lengths, past=past)
        attended, present = attended if past is not None else (attended, None)
        a = x + self.dropout1(attended)  # (N, T, D)
        hidden = self.dropout_hidden(self.activation(self.linear1(self.norm2(a))))  # (N, T, F)
        y = a + self.dropout2(self.linear2(hidden))  # (N, T, D)
        return y if past is None else (y, present)

    def backward(self, dy: Array) -> Array:
        dhidden = self.dropout_hidden.backward(self.linear2.backward(self.dropout2.backward(dy)))  # (N, T, F)
        da = dy + self.norm2.backward(self.linear1.backward(self.activation.backward(dhidden)))  # (N, T, D)
        return da + self.norm1.backward(self.self_attn.backward(self.dropout1.backward(da)))
