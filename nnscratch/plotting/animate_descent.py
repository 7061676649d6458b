"""Gradient descent with a slider for the learning rate."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from ..checks import finite, positive_int
from .animation import Animation
from .style import BLUE, GREY, ORANGE, limits

LARGEST = 1e100  # a weight above this number could overflow in the next step


def animate_descent(
    f: Callable[[np.ndarray], np.ndarray],
    slope: Callable[[float], float],
    start: float,
    rates: Sequence[float],
    xlim: tuple[float, float],
    steps: int = 15,
) -> Animation:
    """Show the steps w = w - lr * slope(w) on the curve of f, one picture for each learning rate.

    Parameters
    ----------
    f : function of an array
        The loss for each weight.
    slope : function of a number
        The derivative of `f`.
    start : float
        The first weight.
    rates : sequence of float
        The learning rates, one for each position of the slider.
    xlim : (float, float)
        The weights that the picture shows.
    steps : int
        The number of steps.

    Returns
    -------
    Animation

    Examples
    --------
    The slope of w^2 is 2 w. So with the learning rate 1, each step goes from w to -w, and the loss stays the same:

    >>> import nnscratch as nn
    >>> animation = nn.plotting.animate_descent(lambda w: w**2, lambda w: 2 * w, 1.5, [0.1, 0.5, 1.0], (-2, 2))
    >>> animation.labels
    ['lr = 0.1', 'lr = 0.5', 'lr = 1']
    """
    positive_int("steps", steps)
    xlim = limits("xlim", xlim)
    if abs(finite("start", start)) >= LARGEST:
        raise ValueError(f"start must be below {LARGEST:g}, got {start!r}")
    rates = [finite("rates", rate) for rate in rates]
    w = np.linspace(*xlim, 300)
    curve = np.asarray(f(w))
    low, high = float(curve.min()), float(curve.max())
    if not np.isfinite(curve).all() or low == high:
        raise ValueError(f"animate_descent: f is constant or not finite between {xlim[0]} and {xlim[1]}")
    paths = [descent(slope, start, rate, steps) for rate in rates]

    def draw(figure: Any, k: int) -> None:
        path = paths[k]
        ax = figure.add_subplot()
        ax.spines[["top", "right"]].set_visible(False)
        ax.plot(w, curve, "-", color=GREY)
        ax.plot(path, f(path), "-o", color=BLUE, markersize=4, linewidth=1)
        ax.plot(path[0], f(path[:1])[0], "o", markersize=11, markerfacecolor="none", markeredgecolor="black")
        inside = bool(xlim[0] <= path[-1] <= xlim[1])
        ax.plot(path[-1] if inside else np.nan, f(path[-1:])[0], "X", markersize=9, color=ORANGE)
        where = f"w = {path[-1]:.3g}" if inside else "w has left the picture"
        ax.set_title(f"learning rate {rates[k]:g}: after {steps} steps, {where}", fontsize=11)
        ax.set_xlim(xlim)
        ax.set_ylim(low - 0.05 * (high - low), high + 0.05 * (high - low))
        ax.set_xlabel("weight w")
        ax.set_ylabel("loss")

    alt = "steps of gradient descent on a curve; a larger learning rate makes longer steps"
    return Animation(draw, [f"lr = {rate:g}" for rate in rates], alt=alt)


def descent(slope: Callable[[float], float], start: float, rate: float, steps: int) -> np.ndarray:
    """Return the weights before each step and after the last step.

    After an overflow, the weight no longer changes.
    """
    path = [float(start)]
    for _ in range(steps):
        try:
            w = path[-1] - rate * float(slope(path[-1]))
        except OverflowError:
            w = math.inf
        path.append(w if abs(w) < LARGEST else path[-1])
    return np.array(path)
