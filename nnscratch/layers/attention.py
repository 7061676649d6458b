"""MultiheadAttention: every token looks at the others and takes a weighted mean of what they offer.

Each token asks a question q, offers a key k to be found by, and a value v to be taken. How well a question and a key
agree is their scalar product; softmax makes weights of that; the answer is the weighted mean of the values. Several
heads do so side by side, each in its own d of the D features, so that a token can look at several places for
several reasons.

    shapes      x (N, T, D)    memory (N, S, D)    d = D / heads
                in_proj_weight (3D, D), in_proj_bias (3D,): the rows of W_q, then W_k, then W_v, as in PyTorch
                out_proj.weight (D, D), out_proj.bias (D,)

    forward     q = x W_q^T + b_q      k = m W_k^T + b_k      v = m W_v^T + b_v        m is x itself, or a memory
                each cut into heads: q (N, heads, T, d), k and v (N, heads, S, d)
                Z = q k^T / sqrt(d)         (N, heads, T, S)    -inf where a token may not look
                A = softmax(Z)              along S: row t says where token t looks
                o = A v                     (N, heads, T, d), heads laid side by side again: (N, T, D)
                y = o W_o^T + b_o

    backward    do = dy W_o
                dA = do v^T          dv = A^T do
                dZ = A * (dA - sum over S of dA * A)                        softmax's backward
                dq = dZ k / sqrt(d)  dk = dZ^T q / sqrt(d)
                dx = dq W_q + dk W_k + dv W_v        dW_q = dq^T x   dW_k = dk^T m   dW_v = dv^T m   (summed over N, T)

Why sqrt(d): q k^T is a sum of d products. With q and k of variance 1 it has variance d, and softmax of numbers that far
apart is all but a switch, whose slope is all but zero.

Why causal: a language model at token t is to predict token t+1 and must not see it. Where s > t, Z is -inf and A is 0,
so no gradient flows there either: dZ = A * (...).

The sum in softmax's backward need not be taken over the (T, S) array: sum_s dA_ts A_ts = do_t . sum_s A_ts v_s =
do_t . o_t, a sum over d only. That holds with dropout on A too, which stands between A and v.

References
----------
Vaswani et al. (2017), "Attention is all you need". Dao et al. (2022), "FlashAttention": the short sum in backward.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from .. import backend
from ..backend import Array
from ..checks import check_floats, check_gradient, positive_int, probability
from ..init import xavier_uniform
from ..module import Module
from ..parameter import Parameter
from .directions import check_lengths
from .dropout import dropout_mask
from .linear import Linear
from .lstm_cell import check_pair

Cache = tuple[Array, Array]


class MultiheadAttention(Module):
    """Scaled dot-product attention in several heads, with a projection before and one after.

    Parameters
    ----------
    embed_dim : int
        D.
    num_heads : int
        Divides D.
    dropout : float, 0 <= dropout < 1
        Probability of dropping each weight of A, in training mode.
    bias : bool
    causal : bool
        Token t sees tokens 0..t only.
    rng : None, int or numpy.random.Generator
        The weights start as PyTorch's do: in_proj Glorot-uniform, out_proj uniform within 1/sqrt(D), biases 0.

    Attributes
    ----------
    in_proj_weight : Parameter, shape (3D, D)
    in_proj_bias : Parameter, shape (3D,), or None
    out_proj : Linear

    Examples
    --------
    Self-attention: the tokens look at each other, here only at those before them.

    >>> import numpy as np, nnscratch as nn
    >>> attention = nn.MultiheadAttention(embed_dim=8, num_heads=2, causal=True, rng=0)
    >>> x = np.random.default_rng(0).normal(size=(1, 3, 8)).astype(np.float32)
    >>> y = attention(x)
    >>> attention.backward(np.ones_like(y)).shape
    (1, 3, 8)
    >>> print(np.triu(attention.weights(x)[0, 0], 1))                   # nobody looks ahead
    [[0. 0. 0.]
     [0. 0. 0.]
     [0. 0. 0.]]

    Cross-attention: 3 tokens look at 5 others, a translation at its source, say.

    >>> attention = nn.MultiheadAttention(embed_dim=8, num_heads=2, rng=0)
    >>> memory = np.ones((1, 5, 8), dtype=np.float32)
    >>> y = attention(x, memory)
    >>> dx, dmemory = attention.backward(np.ones_like(y))
    >>> dx.shape, dmemory.shape
    ((1, 3, 8), (1, 5, 8))
    """

    def __init__(
        self,
        embed_dim: int,
        num_heads: int,
        dropout: float = 0.0,
        bias: bool = True,
        causal: bool = False,
        *,
        rng: None | int | np.random.Generator = None,
    ):
        self.embed_dim, self.num_heads = positive_int("embed_dim", embed_dim), positive_int("num_heads", num_heads)
        if embed_dim % num_heads:
            raise ValueError(f"num_heads must divide embed_dim: {embed_dim} numbers cannot be cut into {num_heads}")
        self.dropout, self.causal = probability("dropout", dropout), bool(causal)
        self.rng = rng = backend.generator(rng)
        D = embed_dim
        self.in_proj_weight = Parameter(xavier_uniform((3 * D, D), rng))
        self.in_proj_bias = Parameter(np.zeros(3 * D, dtype=np.float32)) if bias else None
        self.out_proj = Linear(D, D, bias, rng=rng)
        if bias:
            self.out_proj.bias.data[...] = 0

    @property
    def draws_random_numbers(self) -> bool:
        return self.dropout > 0

    def config(self) -> dict[str, Any]:
        names = ("embed_dim", "num_heads", "dropout", "causal")
        return {name: getattr(self, name) for name in names} | {"bias": self.in_proj_bias is not None}

    def forward(
        self, x: Array, memory: Array | None = None, lengths: Any = None, past: Cache | None = None
    ) -> Array | tuple[Array, Cache]:
        """What every token of `x` finds.

        Parameters
        ----------
        x : array, shape (N, T, D)
            Who looks.
        memory : array, shape (N, S, D), optional
            What is looked at; `x` itself if not given.
        lengths : sequence of N integers in 1..S, optional
            How many tokens each sequence looked at has; what lies behind is padding, and nobody looks there.
        past : (k, v), each of shape (N, heads, P, d), optional
            In ``eval()`` mode only: keys and values of P earlier tokens, which are looked at too, so that a text can be
            read token by token without computing them again.

        Returns
        -------
        y : array, shape (N, T, D)
        present : (k, v), each of shape (N, heads, P + T, d)
            Only if `past` is given: what to give as `past` with the tokens that follow.
        """
        self._check(x, memory, past)
        xp, m = backend.array_module(x), x if memory is None else memory
        q, k, v = self._project(x, m)
        if past is not None:
            k, v = (xp.concatenate([old, new], axis=2) for old, new in zip(past, (k, v), strict=True))
        A = self._softmax_of_scores(q, k, lengths)  # (N, heads, T, S)
        mask = dropout_mask(A.shape, self.dropout, self.rng, A) if self.training and self.dropout > 0 else None
        side_by_side, o = self._room(x)  # (N, T, D), and the same in heads, (N, heads, T, d)
        xp.matmul(A if mask is None else A * mask, v, out=o)
        self.save_for_backward(x, memory, q, k, v, A, mask, o)
        y = self.out_proj(side_by_side)
        return y if past is None else (y, (k, v))

    def backward(self, dy: Array) -> Array | tuple[Array, Array]:
        """dL/dx, shape (N, T, D); with a memory (dL/dx, dL/dmemory)."""
        x, memory, q, k, v, A, mask, o = self.saved()
        xp, D, d = backend.array_module(x), self.embed_dim, q.shape[3]
        check_gradient(self, dy, x.shape, x.dtype)
        do = self._cut(self.out_proj.backward(dy))  # (N, heads, T, d)
        if memory is None:
            dp, dq, dk, dv = self._room(x, 3)
        else:
            (dq_rows, dq), (dkv_rows, dk, dv) = self._room(x), self._room(memory, 2)
        dA = do @ v.swapaxes(2, 3)  # (N, heads, T, S)
        if mask is not None:
            dA *= mask
        xp.matmul((A if mask is None else A * mask).swapaxes(2, 3), do, out=dv)  # (N, heads, S, d)
        dA -= xp.einsum("nhtd,nhtd->nht", do, o)[..., None]  # do . o
        dA *= A
        dA *= 1 / math.sqrt(d)
        dZ = dA  # with the factor of Z = q k^T / sqrt(d) in it
        xp.matmul(dZ, k, out=dq)  # (N, heads, T, d)
        xp.matmul(dZ.swapaxes(2, 3), q, out=dk)  # (N, heads, S, d)
        if memory is None:
            return self._project_backward(dp, x, slice(0, 3 * D))
        dx = self._project_backward(dq_rows, x, slice(0, D))
        return dx, self._project_backward(dkv_rows, memory, slice(D, 3 * D))

    def weights(self, x: Array, memory: Array | None = None, lengths: Any = None) -> Array:
        """A, shape (N, heads, T, S): where every token of `x` looks, in each head. To be looked at; keeps nothing."""
        self._check(x, memory, None)
        q, k, _ = self._project(x, x if memory is None else memory)
        return self._softmax_of_scores(q, k, lengths)

    # --- inside --------------------------------------------------------------------------------------------------

    def _project(self, x: Array, m: Array) -> tuple[Array, Array, Array]:
        """q of `x`, k and v of `m`, in heads."""
        D = self.embed_dim
        if m is x:
            p = self._projected(x, slice(0, 3 * D))  # one product for all three
            return tuple(self._cut(p[:, :, part * D : (part + 1) * D]) for part in range(3))
        q, kv = self._projected(x, slice(0, D)), self._projected(m, slice(D, 3 * D))
        return self._cut(q), self._cut(kv[:, :, :D]), self._cut(kv[:, :, D:])

    def _projected(self, x: Array, own: slice) -> Array:
        """p = x W^T + b, with these rows of in_proj_weight: (N, T, D) -> (N, T, rows)."""
        p = x.reshape(-1, self.embed_dim) @ self.in_proj_weight.data[own].T
        if self.in_proj_bias is not None:
            p += self.in_proj_bias.data[own]
        return p.reshape(*x.shape[:2], -1)

    def _project_backward(self, dp: Array, x: Array, own: slice) -> Array:
        """dx; dW and db are added."""
        rows, drows = x.reshape(-1, self.embed_dim), dp.reshape(-1, dp.shape[2])
        self.in_proj_weight.grad[own] += drows.T @ rows
        if self.in_proj_bias is not None:
            self.in_proj_bias.grad[own] += drows.sum(axis=0)
        return (drows @ self.in_proj_weight.data[own]).reshape(x.shape)

    def _room(self, x: Array, parts: int = 1) -> tuple[Array, ...]:
        """Room for rows (N, T, parts D), and each part of it in heads: what is written there needs no joining."""
        D = self.embed_dim
        rows = backend.array_module(x).empty((*x.shape[:2], parts * D), dtype=x.dtype)
        return rows, *(self._cut(rows[:, :, part * D : (part + 1) * D]) for part in range(parts))

    def _cut(self, a: Array) -> Array:
        """(N, T, D) -> (N, heads, T, d), a view."""
        return a.reshape(*a.shape[:2], self.num_heads, -1).transpose(0, 2, 1, 3)

    def _softmax_of_scores(self, q: Array, k: Array, lengths: Any) -> Array:
        """A, shape (N, heads, T, S)."""
        xp, (N, _, T, d), S = backend.array_module(q), q.shape, k.shape[2]
        Z = (q * (1 / math.sqrt(d))) @ k.swapaxes(2, 3)
        if self.causal:  # the last of the T tokens sees all S keys, the one before it all but one ...
            hidden = xp.arange(S) > xp.arange(T)[:, None] + (S - T)  # (T, S)
            Z += xp.where(hidden, -math.inf, 0).astype(Z.dtype)
        lengths = check_lengths(self, lengths, N, S)
        if lengths is not None:
            padding = np.arange(S) >= lengths[:, None]  # (N, S)
            Z += xp.asarray(np.where(padding, -math.inf, 0).astype(Z.dtype))[:, None, None]
        Z -= Z.max(axis=3, keepdims=True)
        A = xp.exp(Z, out=Z)
        A /= (A @ xp.ones(S, dtype=A.dtype))[..., None]  # their sum, as a product: in a sixth of the time
        return A

    def _check(self, x: Array, memory: Array | None, past: Cache | None) -> None:
        D = self.embed_dim
        for name, a in (("x", x), ("memory", memory)):
            if a is None:
                continue
            check_floats(self, name, a, like=self.in_proj_weight)
            if a.ndim != 3 or a.shape[2] != D or 0 in a.shape or len(a) != len(x):
                raise ValueError(
                    f"MultiheadAttention needs {name} of shape (batch, tokens, {D}) with at least one of each, "
                    f"got {a.shape}" + ("" if a is x else f" beside x of {x.shape}")
                )
        if memory is not None and self.causal:
            raise ValueError("a causal MultiheadAttention looks at earlier tokens of x: it has no use for a memory")
        if past is None:
            return
        if self.training:
            raise ValueError("past holds no gradients: give it in eval() mode only")
        check_pair(self, "past", past, "(k, v)")
        for name, a in zip(("past[0]", "past[1]"), past, strict=True):
            check_floats(self, name, a, like=self.in_proj_weight)
            N, heads, d = len(x), self.num_heads, D // self.num_heads
            if a.ndim != 4 or (*a.shape[:2], a.shape[3]) != (N, heads, d) or a.shape != past[0].shape:
                raise ValueError(
                    f"MultiheadAttention needs {name} of shape ({N}, {heads}, P, {d}), as many tokens P in both; "
                    f"got {a.shape}"
                )
