"""An explanation of a prediction: a heat map over an image, and bars of the largest contributions."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from .. import backend
from ..backend import Array
from ..checks import positive_int
from .style import BLUE, GREY, ORANGE, SIGNED_MAP, axes_or_new


def plot_attributions(image: Array, attributions: Array, ax: Any = None) -> Any:
    """Plot an image, and over it the attribution of each pixel: red raises the score, blue lowers it.

    Parameters
    ----------
    image : array, shape (H, W) or (C, H, W)
        The plot shows the mean of the channels in grey. A large value is dark.
    attributions : array, in the shape of the image
        The attributions of one example, from a method of `nnscratch.explain`. The channels of a pixel are added up.
    ax : matplotlib Axes, optional

    Returns
    -------
    matplotlib Axes

    Examples
    --------
    >>> import nnscratch as nn
    >>> images, labels = nn.data.load_digits()
    >>> a = nn.explain.gradient_x_input(nn.models.MLP([64, 10], rng=0), images[:1], target=0)
    >>> ax = nn.plotting.plot_attributions(images[0], a[0])
    >>> len(ax.images)
    2
    """
    image, a = backend.to_numpy(image), backend.to_numpy(attributions)
    if image.shape != a.shape or image.ndim not in (2, 3):
        raise ValueError(
            f"plot_attributions needs an image of shape (H, W) or (C, H, W) and attributions of the same shape, got "
            f"{image.shape} and {a.shape}"
        )
    if image.ndim == 3:
        image, a = image.mean(axis=0), a.sum(axis=0)
    limit = finite_limit("attributions", a)
    ax = axes_or_new(ax, 4.4, 3.6)
    low, high = float(image.min()), float(image.max())
    # The darkest pixel of the image is only half black, so the colours on top stay visible.
    ax.imshow(image, cmap="Greys", vmin=low, vmax=low + 2 * (high - low) or 1)
    heat = ax.imshow(a, cmap=SIGNED_MAP, vmin=-limit, vmax=limit, alpha=np.clip(np.abs(a) / limit, 0, 1) ** 0.7)
    ax.set_xticks([])
    ax.set_yticks([])
    ax.spines[:].set(visible=True, color=GREY)
    bar = ax.figure.colorbar(heat, ax=ax, label="contribution to the score", pad=0.03)
    bar.solids.set_alpha(1)
    return ax


def plot_contributions(names: Sequence[str], values: Array, k: int = 10, ax: Any = None) -> Any:
    """Plot the contributions with the largest absolute values as bars, and the sum of the rest as the last bar.

    Parameters
    ----------
    names : sequence of D str
        The names of the inputs: the columns of a table, or the tokens of a text.
    values : array, shape (D,)
    k : int
        The number of bars, without the last one.
    ax : matplotlib Axes, optional

    Returns
    -------
    matplotlib Axes

    Examples
    --------
    >>> import numpy as np, nnscratch as nn
    >>> ax = nn.plotting.plot_contributions(["rooms", "age", "area", "floor"], np.array([10.0, -5.0, 60.0, 0.3]), k=3)
    >>> [label.get_text() for label in ax.get_yticklabels()]
    ['area', 'rooms', 'age', '1 other']
    """
    values, k = backend.to_numpy(values).astype(float), positive_int("k", k)
    if values.shape != (len(names),) or not len(values):
        raise ValueError(f"plot_contributions needs one value for each of {len(names)} names, got {values.shape}")
    finite_limit("values", values)
    order = np.argsort(-np.abs(values), kind="stable")
    shown, others = order[:k], order[k:]
    labels, bars = [str(names[i]) for i in shown], values[shown].tolist()
    colours = [ORANGE if value > 0 else BLUE for value in bars]
    if len(others):
        labels.append(f"{len(others)} other{'s' if len(others) > 1 else ''}")
        bars.append(float(values[others].sum()))
        colours.append(GREY)
    ax = axes_or_new(ax, 6.0, 0.9 + 0.3 * len(bars))
    ax.barh(range(len(bars)), bars, color=colours)
    ax.set_yticks(range(len(bars)), labels)
    ax.invert_yaxis()
    ax.axvline(0, color="black", linewidth=0.8)
    ax.margins(x=0.15)
    for y, value in enumerate(bars):
        ax.annotate(
            f"{value:+.3g}", (value, y), (4 if value >= 0 else -4, 0), textcoords="offset points", va="center",
            ha="left" if value >= 0 else "right", fontsize=8,
        )  # fmt: skip
    ax.set_xlabel("contribution to the score")
    ax.set_ylabel("input")
    return ax


def finite_limit(name: str, values: np.ndarray) -> float:
    """Return the largest absolute value, or 1 if all values are 0. Raise ValueError if a value is not finite."""
    if not np.isfinite(values).all():
        raise ValueError(f"{name} must be finite, got NaN or infinity")
    return float(np.abs(values).max()) or 1.0
