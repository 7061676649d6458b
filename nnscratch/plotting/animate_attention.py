"""Attention over a sentence, one token after the other."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from .. import backend
from ..backend import Array
from ..checks import strings
from .animation import Animation
from .style import BLUE, GREY, shown


def animate_attention(A: Array, tokens: Sequence[str], looked_at: Sequence[str] | None = None) -> Animation:
    """Show for each token the tokens that it attends to. The width of a line is the attention weight.

    Parameters
    ----------
    A : array, shape (T, S)
        The weights of one sequence and one head, such as ``attention.weights(x)[0, 0]``.
    tokens : sequence of T str
    looked_at : sequence of S str, optional
        The tokens that are attended to. The default is `tokens`.

    Returns
    -------
    Animation
        One picture for each token.

    Examples
    --------
    >>> import numpy as np, nnscratch as nn
    >>> A = np.array([[1.0, 0.0], [0.25, 0.75]])
    >>> nn.plotting.animate_attention(A, ["the", "cat"]).labels
    ['the', 'cat']
    """
    A, tokens = backend.to_numpy(A), strings("tokens", tokens)
    looked_at = tokens if looked_at is None else strings("looked_at", looked_at)
    if A.shape != (len(tokens), len(looked_at)):
        raise ValueError(
            f"animate_attention: A must have one row for each token and one column for each token looked at, "
            f"({len(tokens)}, {len(looked_at)}), got {A.shape}"
        )
    T, S = A.shape

    def draw(figure: Any, t: int) -> None:
        ax = figure.add_subplot()
        ax.set_axis_off()
        ax.set_xlim(-0.7, max(T, S) - 0.3)
        ax.set_ylim(-0.45, 1.35)
        angle = 0 if sum(map(len, looked_at)) < 80 else 60
        for s, token in enumerate(looked_at):
            if A[t, s] >= 0.002:  # Matplotlib takes seconds to draw a line of almost no width
                width = 12 * A[t, s]
                ax.plot([t, s], [0.93, 0.07], "-", color=BLUE, linewidth=width, alpha=0.6, solid_capstyle="round")
            ax.text(s, 0, shown(token), ha="center", va="top", fontsize=10, rotation=angle)
            ax.text(s, -0.3, f"{A[t, s]:.2f}" if A[t, s] >= 0.005 else "", ha="center", color=BLUE, fontsize=8)
        for i, token in enumerate(tokens):
            ax.text(i, 1, shown(token), ha="center", va="bottom", fontsize=10, rotation=angle,
                    color="black" if i == t else GREY, weight="bold" if i == t else "normal")  # fmt: skip

    alt = "lines from one token to the tokens that it attends to; a wide line is a large weight"
    labels = [shown(token) for token in tokens]
    longest = max(map(len, [*labels, *looked_at]))
    # Each token gets a small width, because a phone shrinks wide pictures.
    inches = min(0.8, max(0.4, 0.1 + 0.1 * longest))
    return Animation(draw, labels, size=(min(12, max(5, inches * max(T, S))), 2.8), alt=alt, fps=1.5)
