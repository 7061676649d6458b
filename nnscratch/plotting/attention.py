"""An attention map: which tokens each token attends to."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from .. import backend
from ..backend import Array
from ..checks import strings
from .style import MAP, axes_or_new, shown


def plot_attention(A: Array, tokens: Sequence[str], looked_at: Sequence[str] | None = None, ax: Any = None) -> Any:
    """Plot the attention weights of one head. Row t holds the weights of token t, which sum to 1.

    Parameters
    ----------
    A : array, shape (T, S)
        One sequence and one head of ``attention.weights(x)``.
    tokens : sequence of T str
    looked_at : sequence of S str, optional
        The tokens of the columns. The default is `tokens`.
    ax : matplotlib Axes, optional

    Returns
    -------
    matplotlib Axes

    Examples
    --------
    `record` gives you the input of an attention layer inside a model:

    >>> import numpy as np, nnscratch as nn
    >>> model = nn.models.TransformerLM(10, 8, 2, 2, context=16, rng=0)
    >>> with nn.record(model) as seen:
    ...     logits, _ = model(np.array([[1, 2, 3, 4]]))
    >>> (x,) = seen["blocks.1.self_attn"].inputs[0]
    >>> A = model.blocks[1].self_attn.weights(x)                        # (N, heads, T, S)
    >>> nn.plotting.plot_attention(A[0, 0], "abcd").get_xlabel()
    'token looked at'
    """
    A, tokens = backend.to_numpy(A), strings("tokens", tokens)
    looked_at = tokens if looked_at is None else strings("looked_at", looked_at)
    if A.shape != (len(tokens), len(looked_at)):
        raise ValueError(
            f"plot_attention: A must have one row for each token and one column for each token looked at, "
            f"({len(tokens)}, {len(looked_at)}), got {A.shape}"
        )
    T, S = A.shape
    ax = axes_or_new(ax, min(12, 2.4 + 0.2 * S), min(11, 1.4 + 0.2 * T))
    # The colour shows the square root: on a linear scale, only the largest weights would be visible.
    image = ax.imshow(np.sqrt(A), cmap=MAP, vmin=0, vmax=1, aspect="auto")
    long = max(map(len, looked_at)) > 1
    ax.set_xticks(range(S), [shown(t) for t in looked_at], rotation=90 if long else 0, fontsize=8)
    ax.set_yticks(range(T), [shown(t) for t in tokens], fontsize=8)
    ax.tick_params(length=0)
    ax.spines[:].set_visible(False)
    ax.set_xlabel("token looked at")
    ax.set_ylabel("token that looks")
    bar = ax.figure.colorbar(image, ax=ax, label="weight", pad=0.02)
    bar.set_ticks([0, 0.1**0.5, 0.25**0.5, 0.5**0.5, 1], labels=["0", "0.1", "0.25", "0.5", "1"])
    return ax
