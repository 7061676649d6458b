"""MultiheadAttention: the output of every token is a weighted mean of the values of the tokens that it attends to.

Each token has a query q, a key k and a value v. The scalar product of a query and a key is a score: how well the two
match. Softmax turns the scores of a query into weights, and the output is the mean of the values with these weights.
Several heads do this in parallel. Each head uses its own d of the D features, so a token can attend to different
positions in different heads.

    shapes      x (N, T, D)    m (N, S, D)    d = D / heads
                in_proj_weight (3D, D) holds the rows of W_q, then W_k, then W_v, as in PyTorch; in_proj_bias (3D,)
                holds b_q, b_k and b_v; out_proj.weight is W_o (D, D), and out_proj.bias is b_o (D,)

    forward     q = x W_q^T + b_q      k = m W_k^T + b_k      v = m W_v^T + b_v        m is another sequence, or x
                each split into heads: q (N, heads, T, d), k and v (N, heads, S, d)
                Z = q k^T / sqrt(d)         (N, heads, T, S)    -inf where token t must not attend to token s
                A = softmax(Z)              (N, heads, T, S)    along S
                o = A v                     (N, heads, T, d)    then the heads are joined: (N, T, D)
                y = o W_o^T + b_o           (N, T, D)

    backward    do = dy W_o                 (N, T, D)           then split into heads: (N, heads, T, d)
                dA = do v^T                 (N, heads, T, S)
                dv = A^T do                 (N, heads, S, d)
                dZ = A * (dA - sum over S of dA * A)            the backward of softmax
                dq = dZ k / sqrt(d)         (N, heads, T, d)
                dk = dZ^T q / sqrt(d)       (N, heads, S, d)    then the heads of dq, dk and dv are joined
                dx = dq W_q                 dm = dk W_k + dv W_v        if m is x, dx is the sum of both
                dW_q = dq^T x               dW_k = dk^T m               dW_v = dv^T m       summed over N and the tokens
    per example dW_q, dW_k and dW_v, each summed over the tokens of example n only

Why sqrt(d): each element of q k^T is a sum of d products. If the elements of q and k have variance 1, the sum has
variance d. Softmax of such large scores is almost one-hot, and its gradient is almost zero. Division by sqrt(d) makes
the variance 1.

Why causal: a language model predicts token t+1 from tokens 0..t and must not see later tokens. Where s > t, Z is -inf.
So A is 0, and dZ is 0 too.

Dropout multiplies A by a mask M before the product with v. With B = A * M, forward computes o = B v. Let do be the
gradient of o. Backward computes dv = B^T do, dB = do v^T and dA = dB * M. Without dropout, B is A.

The sum over s in dZ is computed as the dot product of the rows do_t and o_t. This sum and this product are equal:

    sum_s dA_ts A_ts = sum_s dB_ts B_ts = do_t . sum_s B_ts v_s = do_t . o_t

So dZ = B * dB - A * (do . o). The code uses this form: it adds up d elements instead of S, and it does not need M. The
code also keeps q, k and v, and their gradients, in the columns of one array (N, T, 3D). The projections then need one
product instead of three, and heads are split and joined without copies on a CPU.

References
----------
Vaswani et al. (2017), "Attention is all you need", arXiv:1706.03762. Dao et al. (2022), "FlashAttention",
arXiv:2205.14135: the sum in dZ as do . o.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from .. import backend
from ..backend import Array
from ..checks import check_floats, check_gradient, check_is_pair, flag, positive_int, probability
from ..init import xavier_uniform
from ..module import Module
from ..parameter import Parameter
from ..per_example import Each, Outer
from .dropout import dropout_mask
from .fast_products import column_sums, row_dots
from .kernels.attention import BACKWARD_OF_SCORES, HIDE_LATER
from .key_value_cache import KeyValueCache
from .linear import Linear
from .segments import check_lengths, is_left, is_padding, with_finite_padding
from .softmax import softmax

Cache = tuple[Array, Array]


@backend.fused(*HIDE_LATER)
def hide_later(query: Array, key: Array, Z: Array) -> None:
    """Overwrite the scores of later keys with -inf. Adding -inf would not change a score that is NaN.

    The positions are `query`, shape (T, 1), and `key`, shape (S,).
    """
    np.copyto(Z, -math.inf, where=key > query)


@backend.fused(*BACKWARD_OF_SCORES)
def backward_of_scores(A: Array, B: Array, dots: Array, scale: float, dB: Array) -> None:
    """Overwrite dB with dZ times `scale`: dZ = B * dB - A * dots, and dots = do . o, shape (N, heads, T, 1)."""
    if B is A:  # no dropout
        dB -= dots
        dB *= A
    else:
        dB *= B
        dB -= A * dots
    dB *= scale


class MultiheadAttention(Module):
    """Scaled dot-product attention with several heads, an input projection and an output projection.

    Parameters
    ----------
    embed_dim : int
        D.
    num_heads : int
        The number of heads, a divisor of D.
    dropout : float, 0 <= dropout < 1
        The probability of dropping each element of A, in training mode.
    bias : bool
        True to add b_q, b_k, b_v and b_o.
    causal : bool
        True if token t may attend to tokens 0..t only.
    rng : None, int or numpy.random.Generator
        The source of the initial weights and the dropout masks. The initial distributions are PyTorch's: in_proj is
        Glorot-uniform, out_proj is uniform from -1/sqrt(D) to 1/sqrt(D), and the biases are 0.

    Attributes
    ----------
    in_proj_weight : Parameter, shape (3D, D)
    in_proj_bias : Parameter, shape (3D,), or None
    out_proj : Linear

    Examples
    --------
    Self-attention: a token attends to tokens of its own sequence. With ``causal=True``, these are the token itself and
    earlier tokens:

    >>> import numpy as np, nnscratch as nn
    >>> attention = nn.MultiheadAttention(embed_dim=8, num_heads=2, causal=True, rng=0)
    >>> x = np.random.default_rng(0).normal(size=(1, 3, 8)).astype(np.float32)
    >>> y = attention(x)
    >>> attention.backward(np.ones_like(y)).shape
    (1, 3, 8)
    >>> print(np.triu(attention.weights(x)[0, 0], 1))                   # later tokens have weight 0
    [[0. 0. 0.]
     [0. 0. 0.]
     [0. 0. 0.]]

    Cross-attention: 3 tokens attend to the 5 tokens of another sequence:

    >>> attention = nn.MultiheadAttention(embed_dim=8, num_heads=2, rng=0)
    >>> memory = np.ones((1, 5, 8), dtype=np.float32)
    >>> y = attention(x, memory)
    >>> dx, dmemory = attention.backward(np.ones_like(y))
    >>> dx.shape, dmemory.shape
    ((1, 3, 8), (1, 5, 8))
    """

    keeps_examples = True

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
            raise ValueError(f"num_heads must divide embed_dim, got embed_dim={embed_dim} and num_heads={num_heads}")
        self.dropout, self.causal = probability("dropout", dropout), flag("causal", causal)
        self.rng = rng = backend.generator(rng)
        D = embed_dim
        self.in_proj_weight = Parameter(xavier_uniform((3 * D, D), rng))
        self.in_proj_bias = Parameter(np.zeros(3 * D, dtype=np.float32)) if flag("bias", bias) else None
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
        self,
        x: Array,
        memory: Array | None = None,
        lengths: Any = None,
        past: Cache | None = None,
        padding_side: str = "right",
    ) -> Array | tuple[Array, Cache]:
        """Return the output of every token of `x`.

        Parameters
        ----------
        x : array, shape (N, T, D)
            The tokens that attend.
        memory : array, shape (N, S, D), optional
            The tokens that `x` attends to. The default is `x` itself.
        lengths : sequence of N integers in 1..S, optional
            The number of real tokens in each sequence of `memory`, or of `x` if there is no memory. The other tokens
            are padding, and no real token attends to them. NaN and very large values in the padding are read as 0.
        past : (k, v), each of shape (N, heads, P, d), optional
            Keys and values of P earlier tokens, in ``eval()`` mode only. The tokens of `x` attend to these tokens too.
            So a model can read a text token by token without computing keys and values again. See `KeyValueCache`.
        padding_side : {"right", "left"}
            "right" if the padding comes after each sequence, "left" if it comes before.

        Returns
        -------
        y : array, shape (N, T, D)
        present : KeyValueCache
            Only if `past` is given: the `past` for the next tokens, with keys and values of P + T tokens.
        """
        self._check(x, memory, past)
        x, memory = self._with_finite_padding(x, memory, lengths, padding_side, 0 if past is None else past[0].shape[2])
        xp = backend.array_module(x)
        q, k, v = self._queries_keys_values(x, memory)  # (N, heads, T, d), and two of (N, heads, S, d)
        if past is not None:
            past = past if isinstance(past, KeyValueCache) else KeyValueCache(*past)
            k, v = past = past.extended(k, v)  # (N, heads, P + T, d)
        A = self._attention_weights(q, k, lengths, padding_side)  # (N, heads, T, S)
        drops = self.training and not self.deterministic and self.dropout > 0
        B = A * dropout_mask(A.shape, self.dropout, self.rng, A) if drops else A  # A itself if there is no dropout
        joined = xp.empty(x.shape, dtype=x.dtype)  # (N, T, D)
        (o,) = self._heads(joined)  # (N, heads, T, d), a view
        xp.matmul(B, v, out=o)
        self.save_for_backward(x, memory, q, k, v, A, B, o)
        y = self.out_proj(joined)
        return y if past is None else (y, past)

    def backward(self, dy: Array) -> Array | tuple[Array, Array]:
        """Return dL/dx, shape (N, T, D), or the pair (dL/dx, dL/dmemory) if there is a memory."""
        x, memory, q, k, v, A, B, o = self.saved()
        xp, (N, T, D) = backend.array_module(x), x.shape
        scale = 1 / math.sqrt(q.shape[3])
        check_gradient(self, dy, x.shape, x.dtype)
        (do,) = self._heads(self.out_proj.backward(dy))  # (N, heads, T, d)
        if memory is None:
            dqkv = xp.empty((N, T, 3 * D), dtype=x.dtype)
            dq, dk, dv = self._heads(dqkv)  # each (N, heads, T, d), views
        else:
            dq_joined = xp.empty((N, T, D), dtype=x.dtype)
            dkv = xp.empty((*memory.shape[:2], 2 * D), dtype=x.dtype)  # (N, S, 2D)
            (dq,), (dk, dv) = self._heads(dq_joined), self._heads(dkv)

        # CuPy copies a transposed argument of a product. In dv = B^T `do` it would copy B, which is large. So compute
        # dv^T = `do`^T B, in which CuPy copies only `do`. In the same way, dk^T = q^T dZ copies q instead of dZ.
        xp.matmul(do.swapaxes(2, 3), B, out=dv.swapaxes(2, 3))  # (N, heads, d, S)
        dB = do @ v.swapaxes(2, 3)  # (N, heads, T, S)
        backward_of_scores(A, B, row_dots(do, o), scale, dB)
        scaled_dZ = dB  # dZ / sqrt(d), which overwrites dB
        xp.matmul(scaled_dZ, k, out=dq)  # (N, heads, T, d)
        xp.matmul(q.swapaxes(2, 3), scaled_dZ, out=dk.swapaxes(2, 3))  # (N, heads, d, S)

        if memory is None:
            return self._project_backward(dqkv, x, slice(None))
        dx = self._project_backward(dq_joined, x, slice(0, D))
        dmemory = self._project_backward(dkv, memory, slice(D, 3 * D))
        return dx, dmemory

    def weights(self, x: Array, memory: Array | None = None, lengths: Any = None, padding_side: str = "right") -> Array:
        """Return A, shape (N, heads, T, S): how much each token attends to each token, in every head.

        Use it to inspect the attention. It saves nothing for backward.
        """
        self._check(x, memory, None)
        x, memory = self._with_finite_padding(x, memory, lengths, padding_side)
        q, k, _ = self._queries_keys_values(x, memory)
        return self._attention_weights(q, k, lengths, padding_side)

    # --- the steps of forward and backward -----------------------------------------------------------------------

    def _with_finite_padding(
        self, x: Array, memory: Array | None, lengths: Any, padding_side: str, past: int = 0
    ) -> tuple[Array, Array | None]:
        """Return x and memory. Replace NaN and very large values in the padding of the array that has `lengths`."""
        if memory is None:
            return with_finite_padding(self, x, lengths, padding_side, past), None
        return x, with_finite_padding(self, memory, lengths, padding_side)

    def _queries_keys_values(self, x: Array, memory: Array | None) -> list[Array]:
        """Return q of `x`, and k and v of `memory` or `x`, split into heads."""
        D = self.embed_dim
        if memory is None:
            return self._heads(self._project(x, slice(0, 3 * D)))
        return self._heads(self._project(x, slice(0, D))) + self._heads(self._project(memory, slice(D, 3 * D)))

    def _project(self, x: Array, rows: slice) -> Array:
        """Return p = x W^T + b, where W and b are `rows` of in_proj: (N, T, D) -> (N, T, len(rows))."""
        p = x.reshape(-1, self.embed_dim) @ self.in_proj_weight.data[rows].T  # (N T, len(rows))
        if self.in_proj_bias is not None:
            p += self.in_proj_bias.data[rows]
        return p.reshape(*x.shape[:2], -1)

    def _project_backward(self, dp: Array, x: Array, rows: slice) -> Array:
        """Return dp W, and add dp^T x and the sum of dp to the gradients of W and b."""
        x_rows, dp_rows = x.reshape(-1, self.embed_dim), dp.reshape(-1, dp.shape[2])  # (N T, D), (N T, len(rows))
        self.in_proj_weight.add_product(dp_rows.T, x_rows, rows)
        if self.in_proj_bias is not None:
            self.in_proj_bias.grad[rows] += column_sums(dp_rows)
        if self.in_proj_weight.examples is not None:
            self.keep_examples(dp, x, rows)
        return (dp_rows @ self.in_proj_weight.data[rows]).reshape(x.shape)

    def keep_examples(self, dp: Array, x: Array, rows: slice) -> None:
        """Keep the gradients of each example. They are zero in the rows of the weight that are not in `rows`."""
        da = backend.array_module(dp).zeros((*dp.shape[:2], 3 * self.embed_dim), dtype=dp.dtype)  # (N, T, 3D)
        da[:, :, rows] = dp
        self.in_proj_weight.keep(Outer(da, x))
        if self.in_proj_bias is not None:
            self.in_proj_bias.keep(Each(da.sum(axis=1)))

    def _heads(self, p: Array) -> list[Array]:
        """Split (N, T, n D) into n arrays (N, heads, T, d). They are views: writing to them writes to `p`."""
        D = self.embed_dim
        parts = [p[:, :, start : start + D] for start in range(0, p.shape[2], D)]  # (N, T, D)
        return [a.reshape(*a.shape[:2], self.num_heads, -1).transpose(0, 2, 1, 3) for a in parts]

    def _attention_weights(self, q: Array, k: Array, lengths: Any, padding_side: str) -> Array:
        """Return A = softmax(q k^T / sqrt(d)), shape (N, heads, T, S)."""
        xp, (N, _, T, d), S = backend.array_module(q), q.shape, k.shape[2]
        Z = (q * (1 / math.sqrt(d))) @ k.swapaxes(2, 3)
        if self.causal and T > 1:  # the queries belong to the last T of S tokens: query t has position t + S - T
            hide_later(xp.arange(S - T, S)[:, None], xp.arange(S), Z)
        lengths = check_lengths(self, lengths, N, S)
        if lengths is not None:
            left = is_left(padding_side)
            padding = is_padding(lengths, S, left)[:, None]  # (N, 1, S)
            if left and self.causal:
                # A padding token at the start has only padding before it. So its row of scores would be -inf
                # everywhere, and softmax of the row would be NaN. Let the token attend to itself instead.
                padding = padding & (np.arange(S) != np.arange(S - T, S)[:, None])  # (N, T, S)
            Z += xp.asarray(np.where(padding, -math.inf, 0).astype(Z.dtype))[:, None]
        return softmax(Z, out=Z)

    def _check(self, x: Array, memory: Array | None, past: Cache | None) -> None:
        """Raise unless the arguments of forward have the right types and shapes."""
        D = self.embed_dim
        for name, a in (("x", x), ("memory", memory)):
            if a is None:
                continue
            check_floats(self, name, a, like=self.in_proj_weight)
            if a.ndim != 3 or a.shape[2] != D or 0 in a.shape or len(a) != len(x):
                raise ValueError(
                    f"{type(self).__name__} needs {name} of shape (batch, tokens, {D}) with at least one sequence and "
                    f"one token, got {a.shape}" + ("" if a is x else f" with x of shape {x.shape}")
                )
        if memory is not None and self.causal:
            raise ValueError("a causal MultiheadAttention attends to earlier tokens of x: call it without a memory")
        if past is None:
            return
        if self.training:
            raise ValueError("past has no gradient: use it in eval() mode only")
        check_is_pair(self, "past", past, "(k, v)")
        for name, a in zip(("past[0]", "past[1]"), past, strict=True):
            check_floats(self, name, a, like=self.in_proj_weight)
            N, heads, d = len(x), self.num_heads, D // self.num_heads
            if a.ndim != 4 or (*a.shape[:2], a.shape[3]) != (N, heads, d) or a.shape != past[0].shape:
                raise ValueError(
                    f"{type(self).__name__} needs {name} of shape ({N}, {heads}, P, {d}), with the same P in both "
                    f"arrays; got {a.shape}"
                )
