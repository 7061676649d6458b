"""The decision boundary of a classifier for points in the plane."""

from __future__ import annotations

from typing import Any

import numpy as np

from .. import backend
from ..backend import Array
from ..checks import check_instance
from ..layers.sigmoid import sigmoid
from ..layers.softmax import softmax
from ..modes import eval_mode
from ..module import Module
from .style import COLOURS, MARKERS, axes_or_new


def plot_decision_boundary(model: Module, x: Array, y: Array, ax: Any = None) -> Any:
    """Plot the class that the model predicts for every point of the plane, and the data points on top.

    A stronger colour means a higher probability of the predicted class. The black lines are the decision boundaries.

    Parameters
    ----------
    model : Module
        Maps (N, 2) to one score for each class, (N, C), or, for two classes, to the logit of class 1, (N, 1).
    x : array, shape (N, 2)
    y : array of integers, shape (N,) or (N, 1)
    ax : matplotlib Axes, optional

    Returns
    -------
    matplotlib Axes

    Examples
    --------
    >>> import numpy as np, nnscratch as nn
    >>> x = np.random.default_rng(0).normal(size=(20, 2)).astype(np.float32)
    >>> ax = nn.plotting.plot_decision_boundary(nn.Linear(2, 3, rng=0), x, (x[:, 0] > 0).astype(int))
    >>> ax.get_xlabel(), ax.get_ylabel()
    ('$x_1$', '$x_2$')
    """
    check_instance("plot_decision_boundary", "model", model, Module)
    x, y = backend.to_numpy(x), backend.to_numpy(y).reshape(-1).astype(int)
    if x.ndim != 2 or x.shape[1] != 2 or len(x) != len(y) or not len(x):
        raise ValueError(f"plot_decision_boundary needs x of shape (N, 2) and N labels, got {x.shape} and {y.shape}")
    if y.min() < 0:
        raise ValueError(f"plot_decision_boundary: labels must be 0 or more, got {y.min()}")
    ax = axes_or_new(ax, 5.6, 5.0)
    low, high = x.min(axis=0).astype(np.float64), x.max(axis=0).astype(np.float64)
    middle, half = (high + low) / 2, np.where(high > low, 0.55 * (high - low), 0.5)
    u, v = (np.linspace(m - h, m + h, 240) for m, h in zip(middle, half, strict=True))
    grid = np.stack(np.meshgrid(u, v), axis=-1).reshape(-1, 2)
    dtype, device = next(((p.dtype, p.device) for p in model.parameters()), (np.dtype("float32"), "cpu"))
    with eval_mode(model):
        points = backend.to_device(grid.astype(dtype), device)
        scores = backend.to_numpy(model(points)).astype(np.float64)
    if scores.ndim != 2:
        raise ValueError(
            f"plot_decision_boundary: expected an output of shape (N, C) or (N, 1) from the model, got {scores.shape}"
        )
    p = softmax(scores) if scores.shape[1] > 1 else np.concatenate([1 - sigmoid(scores), sigmoid(scores)], axis=1)
    C = max(p.shape[1], y.max() + 1)
    winner, sure = p.argmax(axis=1).reshape(240, 240), p.max(axis=1).reshape(240, 240)

    from matplotlib.colors import to_rgb

    colours = np.array([to_rgb(COLOURS[c % len(COLOURS)]) for c in range(C)])
    strength = 0.1 + 0.4 * ((sure - 1 / p.shape[1]) / (1 - 1 / p.shape[1]))[..., None]
    ax.imshow(1 - strength * (1 - colours[winner]), extent=(u[0], u[-1], v[0], v[-1]), origin="lower", aspect="auto")
    for c in range(p.shape[1]):
        if 0 < (winner == c).mean() < 1:
            ax.contour(u, v, winner == c, levels=[0.5], colors="black", linewidths=0.8)
    for c in range(C):
        ax.scatter(*x[y == c].T, s=26, marker=MARKERS[c % len(MARKERS)], color=colours[c], edgecolor="black",
                   linewidth=0.6, label=f"class {c}")  # fmt: skip
    ax.set_xlabel("$x_1$")
    ax.set_ylabel("$x_2$")
    ax.legend(loc="lower left", bbox_to_anchor=(0, 1), ncols=min(C, 4), frameon=False, borderpad=0, handletextpad=0.2)
    return ax
