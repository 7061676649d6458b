"""The paths of optimisers on a loss surface."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

from ..backend import Array
from .style import BLUE, LINES, MARKERS, ORANGE, axes_or_new, limits


def plot_paths(
    f: Callable[[np.ndarray, np.ndarray], np.ndarray],
    paths: Mapping[str, Array],
    xlim: tuple[float, float],
    ylim: tuple[float, float],
    ax: Any = None,
) -> Any:
    """Plot contour lines of f(a, b) and paths on top. A ring marks the start of a path, and a cross marks its end.

    Parameters
    ----------
    f : function of two arrays
        Returns the loss for weights a and b, elementwise.
    paths : dict of str to array, shape (steps, 2)
        For each optimiser's name, the weights (a, b) before every step.
    xlim, ylim : pair of floats
    ax : matplotlib Axes, optional

    Returns
    -------
    matplotlib Axes

    Examples
    --------
    >>> import numpy as np, nnscratch as nn
    >>> w = nn.Parameter(np.array([1.0, 1.0]))
    >>> optimizer, path = nn.optim.SGD([w], lr=0.05), []
    >>> for step in range(30):
    ...     path.append(w.data.copy())
    ...     w.grad[...] = w.data * [1, 20]                              # gradient of a^2/2 + 10 b^2
    ...     optimizer.step()
    >>> ax = nn.plotting.plot_paths(lambda a, b: a**2 / 2 + 10 * b**2, {"SGD": path}, (-1.5, 1.5), (-1.2, 1.2))
    >>> ax.get_xlabel()
    'weight a'
    """
    if not isinstance(paths, Mapping):
        raise TypeError(f"plot_paths: paths must be a dict of names and arrays, got {type(paths).__name__}")
    if not paths:
        raise ValueError("plot_paths got no paths")
    ax = axes_or_new(ax, 6.4, 5.0)
    xlim, ylim = limits("xlim", xlim), limits("ylim", ylim)
    a, b = np.meshgrid(np.linspace(*xlim, 200), np.linspace(*ylim, 200))
    height = f(a, b)
    if not (np.isfinite(height).all() and height.min() < height.max()):
        raise ValueError(f"plot_paths: f is constant or not finite for a in {xlim} and b in {ylim}")
    # The levels are evenly spaced in the fourth root of f, for many contour lines in the valley and few on the slopes.
    levels = height.min() + (height.max() - height.min()) * np.linspace(0, 1, 20) ** 4
    ax.contourf(a, b, height, levels=levels, cmap="Greys", alpha=0.45)
    ax.contour(a, b, height, levels=levels, colors="#777777", linewidths=0.5)
    colours = (BLUE, ORANGE, "black", "#CC79A7", "#E69F00", "#009E73")
    for number, (name, path) in enumerate(paths.items()):
        path = np.asarray(path)
        if path.ndim != 2 or path.shape[1] != 2 or not len(path):
            raise ValueError(f"plot_paths: the path of {name} must be of shape (steps, 2), got {path.shape}")
        colour = colours[number % len(colours)]
        ax.plot(*path.T, color=colour, linestyle=LINES[number % len(LINES)], linewidth=1.6,
                marker=MARKERS[number % len(MARKERS)], markersize=3.5, markevery=max(1, len(path) // 12),
                label=f"{name}: {float(f(*path[-1])):.2g}")  # fmt: skip
        ax.plot(*path[0], "o", markersize=10, markerfacecolor="none", markeredgecolor="black")
        ax.plot(*path[-1], "x", markersize=9, markeredgewidth=2.2, color=colour)
    ax.set_xlim(xlim)
    ax.set_ylim(ylim)
    ax.set_xlabel("weight a")
    ax.set_ylabel("weight b")
    ax.legend(title="loss at the end", framealpha=0.9)
    return ax
