"""Histograms of activations, gradients or weights by layer.

They show dead units, saturation, and values that grow from layer to layer.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from .. import backend
from ..backend import Array
from ..module import Module
from .style import BLUE, ORANGE, axes_or_new


def plot_histograms(arrays: Mapping[str, Array] | Module, label: str = "value", ax: Any = None) -> Any:
    """Plot a histogram for each array. The histograms are stacked and share one axis.

    Parameters
    ----------
    arrays : dict of str to array, or Module
        For a Module, its weights are plotted. For activations, pass ``{name: s.output for name, s in seen.items()}``
        after ``with nn.record(model) as seen``.
    label : str
        The label of the axis.
    ax : matplotlib Axes, optional

    Returns
    -------
    matplotlib Axes

    Examples
    --------
    >>> import numpy as np, nnscratch as nn
    >>> model = nn.Sequential(nn.Linear(8, 32, rng=0), nn.Tanh())
    >>> with nn.record(model) as seen:
    ...     y = model(np.random.default_rng(0).normal(size=(64, 8)).astype(np.float32))
    >>> ax = nn.plotting.plot_histograms({name: s.output for name, s in seen.items() if name}, label="activation")
    >>> [text.get_text() for text in ax.get_yticklabels()]
    ['0', '1']
    """
    if isinstance(arrays, Module):
        arrays = {name: p.data for name, p in arrays.named_parameters()}
    if not isinstance(arrays, Mapping):
        raise TypeError(f"plot_histograms needs a Module or a dict of names and arrays, got {type(arrays).__name__}")
    values = {name: backend.to_numpy(a).astype(np.float64).reshape(-1) for name, a in arrays.items()}
    values = {name: v for name, v in values.items() if v.size}
    broken = {name: int((~np.isfinite(v)).sum()) for name, v in values.items()}  # shown in the plot
    values = {name: v[np.isfinite(v)] for name, v in values.items()}
    if not any(v.size for v in values.values()):
        raise ValueError("plot_histograms got no values" + (" except NaN and infinity" if values else ""))
    ax = axes_or_new(ax, 7.0, 1.0 + 0.5 * len(values))
    # The axis covers the middle 99.8 % of the values, so that a single outlier does not compress all histograms.
    low = min(np.quantile(v, 0.001) for v in values.values() if v.size)
    high = max(np.quantile(v, 0.999) for v in values.values() if v.size)
    margin = 0.05 * (high - low) or 1.0
    edges = np.linspace(low - margin, high + margin, 81)
    for row, (name, v) in enumerate(values.items()):
        if broken[name]:
            ax.annotate(f"{broken[name]} not finite", (1, row - 0.65), xycoords=("axes fraction", "data"),
                        xytext=(6, 0), textcoords="offset points", va="center", fontsize=8, color=ORANGE)  # fmt: skip
        if not v.size:
            continue
        counts, _ = np.histogram(np.clip(v, edges[0], edges[-1]), edges)
        heights = 0.9 * np.sqrt(counts / counts.max())
        ax.fill_between(edges[:-1], row, row - heights, step="post", color=BLUE, alpha=0.75, linewidth=0)
        ax.plot([v.mean()] * 2, [row, row - 0.9], color="black", linestyle="-", linewidth=1)
        ax.annotate(f"sd {v.std():.2g}", (1, row - 0.3), xycoords=("axes fraction", "data"), xytext=(6, 0),
                    textcoords="offset points", va="center", fontsize=8)  # fmt: skip
    for row in range(len(values)):
        ax.axhline(row, color="black", linewidth=0.6)
    ax.set_yticks(np.arange(len(values)) - 0.3, list(values), fontsize=8)
    ax.tick_params(axis="y", length=0)
    ax.set_ylim(len(values) - 0.9, -1.05)
    ax.spines["left"].set_visible(False)
    ax.set_xlim(edges[0], edges[-1])
    ax.set_xlabel(f"{label}  (height: square root of the fraction; black line: mean)")
    return ax
