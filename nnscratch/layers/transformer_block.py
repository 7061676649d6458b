"""TransformerBlock: attention between the tokens, then a small network for each token, each with a residual connection.

    shapes      x, a, y (N, T, D)

    f is a small network, applied to each token separately:
                linear1 (D, F) -> activation -> dropout -> linear2 (F, D) -> dropout

    pre-norm: each norm is inside its branch (norm_first=True, the default)
        forward     a  = x + attention(norm1(x))
                    y  = a + f(norm2(a))
        backward    da = dy + norm2.backward(f.backward(dy))        a has two paths to y: their gradients are added
                    dx = da + norm1.backward(attention.backward(da))

    post-norm: each norm follows its addition (norm_first=False)
        forward     a  = norm1(x + attention(x))
                    y  = norm2(a + f(a))
        backward    ds = norm2.backward(dy)         da = ds + f.backward(ds)
                    dr = norm1.backward(da)         dx = dr + attention.backward(dr)

The residual connections make deep stacks of blocks trainable. In the pre-norm form, they carry dy to x unchanged. The
first Transformer had the post-norm form, in which dy passes through every norm. Its training needed a learning-rate
warm-up.

The parameters have the names of PyTorch's ``TransformerEncoderLayer``, whose defaults are the post-norm form and ReLU.

References
----------
Vaswani et al. (2017), "Attention is all you need", arXiv:1706.03762. He, Zhang, Ren and Sun (2016), "Deep residual
learning for image recognition", arXiv:1512.03385. Xiong et al. (2020), "On layer normalization in the Transformer
architecture", arXiv:2002.04745.
"""

from __future__ import annotations

import warnings
from typing import Any

import numpy as np

from .. import backend
from ..backend import Array
from ..checks import flag, one_of, positive_int, probability
from ..module import Module
from .attention import Cache, MultiheadAttention
from .dropout import Dropout
from .gelu import GELU
from .layer_norm import LayerNorm
from .linear import Linear
from .relu import ReLU
from .segments import with_finite_padding

ACTIVATIONS = {"relu": ReLU, "gelu": GELU, "gelu_tanh": lambda: GELU("tanh")}
RENAMED = "TransformerBlock's argument {} is now called {}; the old name will be removed in 2.0"


class TransformerBlock(Module):
    """A Transformer block.

    Parameters
    ----------
    embed_dim : int
        D.
    num_heads : int
        The number of heads, a divisor of D.
    dim_feedforward : int, optional
        F, the hidden size of the network for each token. The default is 4 D.
    dropout : float, 0 <= dropout < 1
        The dropout probability for the attention weights, inside f, and at the end of both branches.
    causal : bool
        True if token t may attend to tokens 0..t only.
    norm_first : bool
        True for the pre-norm form, False for the post-norm form.
    activation : {"gelu", "gelu_tanh", "relu"}
        The activation in f. "gelu_tanh" is the approximation of GELU that GPT-2 uses: see `GELU`.
    bias : bool
        True to give biases to the attention, the norms and the linear layers.
    layer_norm_eps : float
        The `eps` of both norms.
    attention_dropout, hidden_dropout : float, optional
        The probability for the attention weights, and the probability inside f, if they differ from `dropout`. GPT-2
        has no dropout inside f.
    rng : None, int or numpy.random.Generator
    hidden : int, optional
        The old name of `dim_feedforward`.
    approximate : {"none", "tanh"}, optional
        The old way to select "gelu" or "gelu_tanh".

    Attributes
    ----------
    norm1, norm2 : LayerNorm
    self_attn : MultiheadAttention
    linear1, linear2 : Linear
    activation : ReLU or GELU

    Examples
    --------
    >>> import numpy as np, nnscratch as nn
    >>> block = nn.TransformerBlock(embed_dim=8, num_heads=2, causal=True, rng=0)
    >>> y = block(np.ones((2, 5, 8), dtype=np.float32))
    >>> y.shape, block.backward(np.ones_like(y)).shape
    ((2, 5, 8), (2, 5, 8))
    """

    arguments = (
        "embed_dim", "num_heads", "dim_feedforward", "dropout", "causal", "norm_first", "bias", "layer_norm_eps",
        "attention_dropout", "hidden_dropout",
    )  # fmt: skip

    def __init__(
        self,
        embed_dim: int,
        num_heads: int,
        dim_feedforward: int | None = None,
        dropout: float = 0.0,
        causal: bool = False,
        approximate: str | None = None,
        *,
        norm_first: bool = True,
        activation: str = "gelu",
        bias: bool = True,
        layer_norm_eps: float = 1e-5,
        attention_dropout: float | None = None,
        hidden_dropout: float | None = None,
        rng: None | int | np.random.Generator = None,
        hidden: int | None = None,
    ):
        if hidden is not None:
            warnings.warn(RENAMED.format("hidden", "dim_feedforward"), DeprecationWarning, stacklevel=2)
            dim_feedforward = hidden
        if approximate is not None:
            warnings.warn(RENAMED.format("approximate", "activation"), DeprecationWarning, stacklevel=2)
            activation = {"none": "gelu", "tanh": "gelu_tanh"}[one_of("approximate", approximate, ("none", "tanh"))]
        rng = backend.generator(rng)
        self.embed_dim, self.num_heads = positive_int("embed_dim", embed_dim), positive_int("num_heads", num_heads)
        self.dropout, self.causal = probability("dropout", dropout), flag("causal", causal)
        if dim_feedforward is None:
            dim_feedforward = 4 * self.embed_dim
        self.dim_feedforward = positive_int("dim_feedforward", dim_feedforward)
        self.norm_first, self.bias = flag("norm_first", norm_first), flag("bias", bias)
        self.layer_norm_eps = layer_norm_eps
        self._activation = one_of("activation", activation, ACTIVATIONS)
        self.attention_dropout, self.hidden_dropout = (
            self.dropout if p is None else probability(name, p)
            for name, p in (("attention_dropout", attention_dropout), ("hidden_dropout", hidden_dropout))
        )
        self.norm1 = LayerNorm(embed_dim, layer_norm_eps, bias)
        self.self_attn = MultiheadAttention(embed_dim, num_heads, self.attention_dropout, bias, causal, rng=rng)
        self.dropout1 = Dropout(dropout, rng=rng)
        self.norm2 = LayerNorm(embed_dim, layer_norm_eps, bias)
        self.linear1 = Linear(embed_dim, self.dim_feedforward, bias, rng=rng)
        self.activation = ACTIVATIONS[activation]()
        self.dropout_hidden = Dropout(self.hidden_dropout, rng=rng)
        self.linear2 = Linear(self.dim_feedforward, embed_dim, bias, rng=rng)
        self.dropout2 = Dropout(dropout, rng=rng)

    def config(self) -> dict[str, Any]:
        return super().config() | {"activation": self._activation}

    def forward(
        self, x: Array, lengths: Any = None, past: Cache | None = None, padding_side: str = "right"
    ) -> Array | tuple[Array, Cache]:
        """Return y. `MultiheadAttention` describes `lengths`, `past`, `padding_side` and the second result."""
        if past is None:
            x = with_finite_padding(self, x, lengths, padding_side)
        n = self.norm1(x) if self.norm_first else x
        attended = self.self_attn(n, lengths=lengths, past=past, padding_side=padding_side)
        attended, present = attended if past is not None else (attended, None)
        a = x + self.dropout1(attended)  # (N, T, D)
        if self.norm_first:
            y = a + self._f(self.norm2(a))
        else:
            a = self.norm1(a)
            y = self.norm2(a + self._f(a))
        return y if past is None else (y, present)

    def backward(self, dy: Array) -> Array:
        if self.norm_first:
            da = dy + self.norm2.backward(self._f_backward(dy))  # (N, T, D)
            return da + self.norm1.backward(self.self_attn.backward(self.dropout1.backward(da)))
        ds = self.norm2.backward(dy)
        dr = self.norm1.backward(ds + self._f_backward(ds))
        return dr + self.self_attn.backward(self.dropout1.backward(dr))

    def _f(self, x: Array) -> Array:
        """Return f(x), the small network for each token."""
        hidden = self.dropout_hidden(self.activation(self.linear1(x)))  # (N, T, F)
        return self.dropout2(self.linear2(hidden))  # (N, T, D)

    def _f_backward(self, dy: Array) -> Array:
        dhidden = self.dropout_hidden.backward(self.linear2.backward(self.dropout2.backward(dy)))  # (N, T, F)
        return self.linear1.backward(self.activation.backward(dhidden))  # (N, T, D)
