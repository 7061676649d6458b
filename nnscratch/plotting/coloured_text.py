"""A text with a colour behind each token.

The colours show to which tokens a unit of a network reacts, or which tokens explain a prediction.

Reference: Karpathy, Johnson and Fei-Fei (2016), "Visualizing and understanding recurrent networks", arXiv:1506.02078.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from .. import backend
from ..backend import Array
from ..checks import positive_int, strings
from .style import MAP, SIGNED_MAP, axes_or_new, ink_on, shown

MAX_WIDTH = 1000  # the largest number of characters in a line


def plot_text(
    tokens: Sequence[str],
    values: Array,
    label: str = "activation",
    width: int = 72,
    ax: Any = None,
    *,
    contributions: bool = False,
) -> Any:
    """Plot a text in lines. The colour behind each token shows its value.

    Parameters
    ----------
    tokens : sequence of T str
        The characters or the words of a text.
    values : array, shape (T,)
        For example, the activation of one unit at each token.
    label : str
        The label of the colour bar.
    width : int
        The number of characters in a line. A line break in the text also starts a new line.
    ax : matplotlib Axes, optional
    contributions : bool
        True for an explanation: red for values above 0, blue for values below 0, and white at 0.

    Returns
    -------
    matplotlib Axes

    Examples
    --------
    >>> import numpy as np, nnscratch as nn
    >>> ax = nn.plotting.plot_text('He said "no".', np.array([0, 0, 0, 0, 0, 0, 0, 0, 1, 1, 1, 1, 0]), label="h[3]")
    >>> len(ax.texts)
    13
    """
    values, tokens = backend.to_numpy(values).astype(float), strings("tokens", tokens)
    if positive_int("width", width) > MAX_WIDTH:
        raise ValueError(f"plot_text: width must be at most {MAX_WIDTH} characters, got {width}")
    if values.shape != (len(tokens),) or not len(values):
        raise ValueError(f"plot_text needs one value for each of {len(tokens)} tokens, got {values.shape}")
    if not np.isfinite(values).all():
        raise ValueError(f"plot_text: the value of token {int(np.argmin(np.isfinite(values)))} is not finite")
    positions, line, column = [], 0, 0
    gap = int(any(len(token) > 1 for token in tokens))  # a gap between words, but not between characters
    for number, token in enumerate(tokens):
        size = max(1, len(token))
        starts_word = number == 0 or not tokens[number - 1].strip() or size > 1
        if column and column + (word_length(tokens, number) if starts_word else size) > width:
            line, column = line + 1, 0
        positions.append((line, column, size))
        column += size + gap
        if "\n" in token:
            line, column = line + 1, 0
    lines = max(row for row, _, _ in positions) + 1
    ax = axes_or_new(ax, 1.4 + 0.115 * width, 0.9 + 0.27 * lines)

    from matplotlib.cm import ScalarMappable
    from matplotlib.colors import Normalize
    from matplotlib.patches import Rectangle

    signed = values.min() < 0
    limit = float(np.abs(values).max()) or 1.0
    lowest = -limit if signed or contributions else 0.0
    colours = ScalarMappable(Normalize(lowest, limit), SIGNED_MAP if contributions else MAP)
    for token, value, (row, start, size) in zip(tokens, values, positions, strict=True):
        colour = colours.to_rgba(value)
        ax.add_patch(Rectangle((start, row), size, 1, facecolor=colour, linewidth=0))
        sign = shown(token) if token.strip(" ") else ""
        ax.text(start + size / 2, row + 0.52, sign, ha="center", va="center", color=ink_on(colour),
                family="monospace", fontsize=8.5)  # fmt: skip
    ax.set_xlim(0, width)
    ax.set_ylim(lines, 0)
    ax.set_xticks([])
    ax.set_yticks([])
    ax.spines[:].set_visible(False)
    ax.figure.colorbar(colours, ax=ax, label=label, pad=0.01, aspect=max(6, 3 * lines))
    return ax


def word_length(tokens: Sequence[str], start: int) -> int:
    """Return the number of characters from token `start` to the next space.

    The plot uses it to start a new line before a word that does not fit.
    """
    if len(tokens[start]) > 1:
        return len(tokens[start])
    length = 0
    for token in tokens[start:]:
        if not token.strip():
            break
        length += len(token)
    return max(1, length)
