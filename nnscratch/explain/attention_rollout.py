"""Attention rollout: how much of each input token reaches each output token, through all attention layers.

    shapes      A_l (N, heads, T, T): the attention weights of layer l      B_l, R_l (N, T, T)

    B_l = 1/2 mean of A_l over the heads + 1/2 I            half of a token comes from its residual connection
    R_0 = I
    R_l = B_l R_(l-1)                                       row t: the mixture of input tokens in token t

Each row of R sums to 1. The weights of one layer show from which tokens a token reads. But in a deep layer, the vector
of each token is already a mixture of several input tokens. So these weights alone say little about the input. The
product of the matrices B combines all layers.

Rollout uses the attention weights only. It ignores the values, the output projections and the feed-forward layers, and
it is the same for all classes.

Reference: Abnar and Zuidema (2020), "Quantifying attention flow in transformers", arXiv:2005.00928.
"""

from __future__ import annotations

from .. import backend
from ..backend import Array
from ..checks import check_instance
from ..layers import MultiheadAttention
from ..modes import eval_mode
from ..module import Module
from ..record import record


def attention_rollout(model: Module, tokens: Array) -> Array:
    """Return the attention rollout over all layers.

    Parameters
    ----------
    model : Module
        A Transformer with self-attention only. It computes as in ``eval()`` mode.
    tokens : array, shape (N, T)
        Without padding. For a `TransformerLM`, T is at most its `context`.

    Returns
    -------
    array, shape (N, T, T)
        Element [n, t, s]: the part of input token s in output token t.

    Examples
    --------
    >>> import numpy as np, nnscratch as nn
    >>> model = nn.models.TransformerLM(10, embed_size=8, num_heads=2, num_layers=2, context=16, rng=0)
    >>> R = nn.explain.attention_rollout(model, np.array([[1, 2, 3]]))
    >>> print(R.sum(axis=2).round(3), R[0, 0])
    [[1. 1. 1.]] [1. 0. 0.]
    """
    check_instance("attention_rollout", "model", model, Module)
    with eval_mode(model), record(model) as seen:
        model(tokens)
    layers = [of for of in seen.values() if isinstance(of.module, MultiheadAttention) and of.inputs]
    if not layers:
        raise TypeError(f"attention_rollout needs a model with MultiheadAttention, and {type(model).__name__} has none")
    xp, R = backend.array_module(tokens), None
    for of in layers:
        x, *memory = of.inputs[-1]
        if memory or x.shape[:2] != tokens.shape:
            raise ValueError(
                "attention_rollout needs self-attention over all tokens of x. Does the model have cross-attention, "
                "or is x longer than its context?"
            )
        B = (of.module.weights(x).mean(axis=1) + xp.eye(x.shape[1], dtype=x.dtype)) / 2  # (N, T, T)
        R = B if R is None else B @ R
    return R
