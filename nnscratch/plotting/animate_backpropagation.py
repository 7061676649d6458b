"""Backpropagation in a small network, number by number."""

from __future__ import annotations

import copy
from typing import Any

import numpy as np

from .. import backend
from ..backend import Array
from ..checks import check_instance
from ..layers import Linear
from ..losses import MSELoss
from ..record import record
from ..sequential import Sequential
from .animation import Animation
from .style import BLUE, GREY, ORANGE

MAX_UNITS = 6


def animate_backpropagation(model: Sequential, x: Array, target: Array) -> Animation:
    """Show how an example passes forward through a small network, and how the gradient of the squared error goes back.

    In each picture, the numbers of one more layer appear. The value of a unit is blue. The gradient of the loss with
    respect to this value is orange, and so is the gradient of a weight.

    Parameters
    ----------
    model : Sequential
        Linear layers and activations, with at most six units in a layer. The function runs a copy of the model.
    x : array, shape (D,)
        One example.
    target : array, with the shape of the output
        The loss is the mean squared error.

    Returns
    -------
    Animation

    Raises
    ------
    ValueError
        A layer has more than six units, or its output is not a row of numbers.

    Examples
    --------
    >>> import numpy as np, nnscratch as nn
    >>> model = nn.Sequential(nn.Linear(1, 2, rng=0), nn.Sigmoid(), nn.Linear(2, 1, rng=1), nn.Sigmoid())
    >>> animation = nn.plotting.animate_backpropagation(model, np.array([0.5]), np.array([1.0]))
    >>> animation.labels[:3], animation.labels[-1]
    (['the input', 'forward: Linear', 'forward: Sigmoid'], 'backward: Linear')
    """
    check_instance("animate_backpropagation", "model", model, Sequential)
    model, criterion = copy.deepcopy(model).to("cpu").to(dtype=np.float64).train(), MSELoss()
    model.zero_grad()
    x, target = (np.asarray(backend.to_numpy(a), dtype=np.float64).reshape(1, -1) for a in (x, target))
    with record(model) as seen:
        loss = criterion(model(x), target)
        dy = criterion.backward()
        dx = model.backward(dy)
    layers = list(model)
    values = [x] + [seen[str(k)].output for k in range(len(layers))]
    gradients = [dx] + [seen[str(k)].gradient for k in range(len(layers))]
    for layer, value in zip(["the input", *layers], values, strict=True):
        if value.ndim != 2 or value.shape[1] > MAX_UNITS:
            name = layer if isinstance(layer, str) else f"the output of {type(layer).__name__}"
            raise ValueError(f"{name} must be a row of at most {MAX_UNITS} numbers, got shape {value.shape[1:]}")
    names = [type(layer).__name__ for layer in layers]
    labels = ["the input", *(f"forward: {name}" for name in names), f"the loss, {loss:.4g}", "backward: the loss"]
    labels += [f"backward: {name}" for name in reversed(names)]

    def draw(figure: Any, frame: int) -> None:
        forward = min(frame, len(layers))  # the last column with a value
        backward = len(layers) + 2 + len(layers) - frame  # the first column with a gradient
        ax = figure.add_subplot()
        ax.set_axis_off()
        ax.set_xlim(-0.5, len(layers) + 0.5)
        tall = max(value.shape[1] for value in values)
        ax.set_ylim(-0.75 * tall, 0.75 * tall + 0.35)
        for k, layer in enumerate(layers):
            done = backward <= k
            _draw_edges(ax, k, layer, values[k].shape[1], values[k + 1].shape[1], done)
        for k, value in enumerate(values):
            ax.text(k, 0.75 * tall + 0.2, "input" if k == 0 else names[k - 1], ha="center", va="bottom", fontsize=10)
            for i, y in enumerate(_heights(value.shape[1])):
                ax.plot(k, y, "o", markersize=38, markerfacecolor="white", markeredgecolor=GREY)
                text = f"{value[0, i]:.3g}" if k <= forward else ""
                ax.text(k, y, text, ha="center", va="center", color=BLUE, fontsize=9)
                if k >= backward:
                    text = f"{gradients[k][0, i]:.2g}"
                    ax.text(k, y - 0.5, text, ha="center", va="center", color=ORANGE, fontsize=9)
        ax.set_title(labels[frame], fontsize=11)

    alt = "a network's values, layer by layer forward, then its gradients, layer by layer backward"
    return Animation(
        draw, labels, size=(1.35 * len(values), 1.2 + 1.0 * max(v.shape[1] for v in values)), alt=alt, fps=1
    )


def _heights(units: int) -> np.ndarray:
    """Return the vertical positions of the units of a layer."""
    return 1.3 * ((units - 1) / 2 - np.arange(units))


def _draw_edges(ax: Any, k: int, layer: Any, before: int, after: int, done: bool) -> None:
    """Draw the lines from column k to k + 1, with the weights of a Linear layer, and their gradients if `done`."""
    text = {
        "ha": "center",
        "va": "center",
        "fontsize": 8,
        "bbox": {"facecolor": "white", "edgecolor": "none", "pad": 0.5},
    }
    for i, y in enumerate(_heights(before)):
        for o, y_out in enumerate(_heights(after)):
            if not isinstance(layer, Linear) and i != o:
                continue
            ax.plot([k, k + 1], [y, y_out], "-", color=GREY, linewidth=0.8, zorder=0)
            if isinstance(layer, Linear) and before * after <= 8:
                middle = y + 0.5 * (y_out - y)
                ax.text(k + 0.5, middle + 0.12, f"{layer.weight.data[o, i]:.2g}", color=BLUE, **text)
                if done:
                    ax.text(k + 0.5, middle - 0.12, f"{layer.weight.grad[o, i]:.2g}", color=ORANGE, **text)
