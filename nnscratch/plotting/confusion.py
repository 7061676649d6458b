"""The confusion matrix: how often a classifier confuses one class with another."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from .. import backend
from ..backend import Array
from .style import MAP, axes_or_new, ink_on


def plot_confusion_matrix(matrix: Array, labels: Sequence[str] | None = None, ax: Any = None) -> Any:
    """Plot a confusion matrix with the count in every cell.

    The colour shows each count as a fraction of its row, so errors on rare classes are as visible as errors on frequent
    ones.

    Parameters
    ----------
    matrix : integer array, shape (C, C)
        The result of :func:`nnscratch.training.confusion_matrix`.
    labels : sequence of str, optional
        The names of the classes.
    ax : matplotlib Axes, optional

    Returns
    -------
    matplotlib Axes

    Examples
    --------
    >>> import numpy as np, nnscratch as nn
    >>> ax = nn.plotting.plot_confusion_matrix(np.array([[9, 1], [2, 8]]), ["cat", "dog"])
    >>> ax.get_title()
    '17 of 20 right (85.0 %)'
    """
    M = backend.to_numpy(matrix)
    if M.ndim != 2 or M.shape[0] != M.shape[1] or M.sum() == 0:
        raise ValueError(f"plot_confusion_matrix needs a square matrix of counts, not all zero, got shape {M.shape}")
    if M.min() < 0:
        raise ValueError(f"plot_confusion_matrix: counts must be 0 or more, got {M.min()}")
    C = len(M)
    names = [str(k) for k in range(C)] if labels is None else list(labels)
    if len(names) != C:
        raise ValueError(f"plot_confusion_matrix: labels must have one name for each of {C} classes, got {len(names)}")
    ax = axes_or_new(ax, 2.6 + 0.42 * C, 1.8 + 0.42 * C)
    share = M / np.maximum(M.sum(axis=1, keepdims=True), 1)
    image = ax.imshow(share, cmap=MAP, vmin=0, vmax=1)
    for t in range(C):
        for p in range(C):
            if M[t, p]:
                ink = ink_on(image.cmap(share[t, p]))
                ax.text(p, t, f"{M[t, p]}", ha="center", va="center", color=ink, fontsize=9 if C <= 12 else 6)
    ax.set_xticks(range(C), names, rotation=90 if max(map(len, names)) > 3 else 0)
    ax.set_yticks(range(C), names)
    ax.spines[:].set_visible(False)
    ax.tick_params(length=0)
    ax.set_xlabel("predicted class")
    ax.set_ylabel("true class")
    right, total = int(M.trace()), int(M.sum())
    ax.set_title(f"{right} of {total} right ({right / total:.1%})".replace("%", " %"), fontsize=10)
    ax.figure.colorbar(image, ax=ax, label="fraction of the true class", shrink=0.8)
    return ax
