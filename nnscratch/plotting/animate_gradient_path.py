"""Backpropagation through time: how the gradient shrinks, with a slider for a setting of the layer."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from .. import backend
from ..backend import Array
from ..checks import check_instance
from ..module import Module
from .animation import Animation
from .style import BLUE, GREY


def animate_gradient_path(
    make: Callable[[float], Module], values: Sequence[float], x: Array, label: str = "value"
) -> Animation:
    """Show the gradient of the last output with respect to the input at each step, for several settings of a layer.

    The loss is the sum of the last output. At each step, the animation shows the norm of the gradient over the
    features, averaged over the sequences.

    Parameters
    ----------
    make : function of a number
        Returns a recurrent layer: `RNN`, `GRU`, `LSTM` or `Unrolled`, in one direction.
    values : sequence of float
        The arguments of `make`, one for each position of the slider.
    x : array, shape (N, T, D)
        The input.
    label : str
        The name of the setting.

    Returns
    -------
    Animation

    Examples
    --------
    The forget gate's bias decides how far back an LSTM learns:

    >>> import numpy as np, nnscratch as nn
    >>> def make(bias):
    ...     lstm = nn.LSTM(4, 16, rng=0)
    ...     nn.init.open_forget_gates(lstm, bias)
    ...     return lstm
    >>> x = np.random.default_rng(0).normal(size=(8, 40, 4)).astype(np.float32)
    >>> animation = nn.plotting.animate_gradient_path(make, [-1, 0, 1, 3], x, "forget-gate bias")
    >>> animation.labels
    ['forget-gate bias -1', 'forget-gate bias 0', 'forget-gate bias 1', 'forget-gate bias 3']
    """
    layers = [make(value) for value in values]
    for layer in layers:
        check_instance("animate_gradient_path", "the result of make", layer, Module)
    sizes = [gradient_sizes(layer, x)[::-1] for layer in layers]  # from the last step back to the first

    def draw(figure: Any, k: int) -> None:
        ax = figure.add_subplot()
        ax.spines[["top", "right"]].set_visible(False)
        steps = np.arange(len(sizes[k]))
        for other in sizes:
            ax.semilogy(steps, np.where(other > 0, other, np.nan), "-", color=GREY, linewidth=0.6)
        ax.semilogy(steps, np.where(sizes[k] > 0, sizes[k], np.nan), "-", color=BLUE, linewidth=2.5)
        ratio = sizes[k][-1] / max(sizes[k][0], 1e-300)
        ax.set_title(f"{label} {values[k]:g}: over {len(steps) - 1} steps, the gradient is multiplied by {ratio:.1g}",
                     fontsize=11)  # fmt: skip
        ax.set_xlabel("steps back from the loss")
        ax.set_ylabel("size of the gradient")

    alt = f"the size of a gradient over the steps back in time; each picture has another {label}"
    return Animation(draw, [f"{label} {value:g}" for value in values], alt=alt)


def gradient_sizes(layer: Module, x: Array) -> np.ndarray:
    """Return the mean norm of d(sum of the last output)/dx at each step, shape (T,)."""
    y, _ = layer.train()(x)
    dy = backend.array_module(y).zeros_like(y)
    dy[:, -1] = 1
    dx, _ = layer.backward(dy)
    return np.sqrt((backend.to_numpy(dx).astype(np.float64) ** 2).sum(axis=-1)).mean(axis=0)
