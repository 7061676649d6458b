"""Gradient flow: the size of the gradient in every layer. It shows gradients that vanish or explode."""

from __future__ import annotations

from typing import Any

import numpy as np

from .. import backend
from ..module import Module
from .style import BLUE, ORANGE, axes_or_new


def plot_gradient_flow(model: Module, ax: Any = None) -> Any:
    """Plot the size of every parameter's gradient, with the first layer at the top.

    Call it after a backward pass. The size is the root mean square, on a logarithmic axis. For a gradient of zero, the
    plot shows the word "zero" instead of a bar. Weights have one colour. Biases and other parameters with a single axis
    have another colour and a hatch.

    Parameters
    ----------
    model : Module
    ax : matplotlib Axes, optional

    Returns
    -------
    matplotlib Axes

    Examples
    --------
    >>> import numpy as np, nnscratch as nn
    >>> model = nn.Sequential(nn.Linear(2, 3, rng=0), nn.Tanh(), nn.Linear(3, 1, rng=1))
    >>> dx = model.backward(np.ones_like(model(np.ones((4, 2), dtype=np.float32))))
    >>> [label.get_text() for label in nn.plotting.plot_gradient_flow(model).get_yticklabels()]
    ['0.weight', '0.bias', '2.weight', '2.bias']
    """
    if not isinstance(model, Module):
        raise TypeError(f"plot_gradient_flow: model must be a Module, got {type(model).__name__}")
    named = list(model.named_parameters())
    if not named:
        raise ValueError("plot_gradient_flow: the model has no parameters")
    ax = axes_or_new(ax, 7.0, 1.2 + 0.26 * len(named))
    sizes = [float(np.sqrt(np.mean(np.square(backend.to_numpy(p.grad), dtype=np.float64)))) for _, p in named]
    positive = [s for s in sizes if s > 0]
    if not positive:
        raise ValueError("plot_gradient_flow: every gradient is zero; call it after backward and before zero_grad")
    if not np.isfinite(positive).all():
        broken = [name for (name, _), s in zip(named, sizes, strict=True) if not np.isfinite(s)]
        raise ValueError(f"plot_gradient_flow: the gradient of {broken[-1]} is not finite (NaN or infinity)")
    low = min(positive) / 3
    for row, ((_, p), size) in enumerate(zip(named, sizes, strict=True)):
        wide = len(p.shape) > 1
        if size > 0:
            style = {"color": BLUE} if wide else {"facecolor": "white", "edgecolor": ORANGE, "hatch": "////"}
            ax.barh(row, size - low, left=low, height=0.7, **style)
        else:
            ax.annotate("zero", (0, row), xycoords=("axes fraction", "data"), xytext=(4, 0),
                        textcoords="offset points", va="center", fontsize=8)  # fmt: skip
    ax.barh(0, 0, color=BLUE, label="weight")
    if any(len(p.shape) == 1 for _, p in named):
        ax.barh(0, 0, facecolor="white", edgecolor=ORANGE, hatch="////", label="bias, or a norm's scale")
    ax.set_xscale("log")
    ax.set_xlim(low, max(positive) * 1.5)
    ax.set_yticks(range(len(named)), [name for name, _ in named], fontsize=8)
    ax.set_ylim(len(named) - 0.4, -0.6)
    ax.set_xlabel("root mean square of dL/d(parameter)")
    ax.legend(frameon=False, loc="lower left", bbox_to_anchor=(0, 1), ncols=2, borderpad=0)
    return ax
