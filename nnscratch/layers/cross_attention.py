"""CrossAttention: the tokens of one sequence attend to the tokens of another, such as the source of a translation.

    shapes      x (N, T, D)    m (N, S, D), the memory    q (N, heads, T, d)    k, v (N, heads, S, d)    y (N, T, D)

    forward     q = x W_q^T + b_q                           the queries come from x
                k = m W_k^T + b_k      v = m W_v^T + b_v    the keys and values come from m
                A = softmax(q k^T / sqrt(d))      o = A v      y = o W_o^T + b_o

    backward    dx = dq W_q                                 through the queries
                dm = dk W_k + dv W_v                        through the keys and the values

The other steps and the code are those of `MultiheadAttention`: see attention.py. In self-attention m is x, and dx is
the sum of both gradients. Here the two gradients belong to two inputs, and `backward` returns both.

The sequences of m may have different lengths. They are padded at the end to S tokens. Where a token is padding, the
score is -inf and A is 0. So dk and dv are 0 there, and dm is 0 too.

Reference: Bahdanau, Cho and Bengio (2015), "Neural machine translation by jointly learning to align and translate",
arXiv:1409.0473.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from .. import backend
from ..backend import Array
from ..checks import check_floats, check_is_pair
from .attention import Cache, MultiheadAttention
from .segments import with_finite_padding


class CrossAttention(MultiheadAttention):
    """Attention from one sequence to another.

    Parameters
    ----------
    embed_dim : int
        D, the number of features of both sequences.
    num_heads : int
        The number of heads, a divisor of D.
    dropout : float, 0 <= dropout < 1
        The probability of dropping each element of A, in training mode.
    bias : bool
        True to add b_q, b_k, b_v and b_o.
    rng : None, int or numpy.random.Generator
        The source of the initial weights and the dropout masks.

    Attributes
    ----------
    in_proj_weight : Parameter, shape (3D, D)
        The rows of W_q, then W_k, then W_v, as in PyTorch.
    in_proj_bias : Parameter, shape (3D,), or None
    out_proj : Linear

    Examples
    --------
    3 tokens attend to 5 others. In the second pair of sequences, only 2 of the 5 are real:

    >>> import numpy as np, nnscratch as nn
    >>> attention = nn.CrossAttention(embed_dim=8, num_heads=2, rng=0)
    >>> rng = np.random.default_rng(0)
    >>> x, memory = (rng.normal(size=(2, length, 8)).astype(np.float32) for length in (3, 5))
    >>> y = attention(x, memory, lengths=[5, 2])
    >>> dx, dmemory = attention.backward(np.ones_like(y))
    >>> dx.shape, dmemory.shape
    ((2, 3, 8), (2, 5, 8))
    >>> bool(dmemory[1, 2:].any())
    False
    """

    def __init__(
        self,
        embed_dim: int,
        num_heads: int,
        dropout: float = 0.0,
        bias: bool = True,
        *,
        rng: None | int | np.random.Generator = None,
    ):
        super().__init__(embed_dim, num_heads, dropout, bias, rng=rng)

    def config(self) -> dict[str, Any]:
        return {name: value for name, value in super().config().items() if name != "causal"}

    def forward(self, x: Array, memory: Array | Cache, lengths: Any = None) -> Array:
        """Return the output of every token of `x`.

        Parameters
        ----------
        x : array, shape (N, T, D)
            The tokens that attend.
        memory : array, shape (N, S, D), or (k, v)
            The tokens that `x` attends to. In ``eval()`` mode, you may instead give the keys and values that
            `keys_and_values` returned.
        lengths : sequence of N integers in 1..S, optional
            The number of real tokens in each sequence of `memory`. The tokens after them are padding.

        Returns
        -------
        y : array, shape (N, T, D)
        """
        if memory is None:
            raise TypeError("CrossAttention needs a memory; for attention of x to itself use MultiheadAttention")
        if not isinstance(memory, tuple):
            return super().forward(x, memory, lengths)
        self._check(x, None, None)
        self._check_keys_and_values(x, memory)
        (q,), (k, v) = self._heads(self._project(x, slice(0, self.embed_dim))), memory
        xp = backend.array_module(x)
        joined = xp.empty(x.shape, dtype=x.dtype)  # (N, T, D)
        (o,) = self._heads(joined)  # (N, heads, T, d), a view
        xp.matmul(self._attention_weights(q, k, lengths, "right"), v, out=o)
        return self.out_proj(joined)

    def keys_and_values(self, memory: Array, lengths: Any = None) -> Cache:
        """Return k and v of `memory`, each of shape (N, heads, S, d).

        A decoder that writes token by token attends to the same memory at every step. If you give k and v to `forward`
        instead of `memory`, `forward` does not compute k and v again. `lengths` is the same argument as in `forward`.
        """
        D = self.embed_dim
        check_floats(self, "memory", memory, like=self.in_proj_weight)
        if memory.ndim != 3 or memory.shape[2] != D or 0 in memory.shape:
            raise ValueError(f"CrossAttention needs memory of shape (batch, tokens, {D}), got {memory.shape}")
        memory = with_finite_padding(self, memory, lengths, "right")
        k, v = self._heads(self._project(memory, slice(D, 3 * D)))
        return k, v

    def _check_keys_and_values(self, x: Array, pair: Cache) -> None:
        """Raise unless `pair` is a pair of arrays (N, heads, S, d), and the layer is in ``eval()`` mode."""
        if self.training:
            raise ValueError("keys and values have no gradient: use them in eval() mode only")
        check_is_pair(self, "memory", pair, "(k, v)")
        N, heads, d = len(x), self.num_heads, self.embed_dim // self.num_heads
        for a in pair:
            check_floats(self, "memory", a, like=self.in_proj_weight)
            if a.ndim != 4 or (*a.shape[:2], a.shape[3]) != (N, heads, d) or a.shape != pair[0].shape:
                raise ValueError(f"CrossAttention needs k and v of shape ({N}, {heads}, S, {d}), got {a.shape}")
