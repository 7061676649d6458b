"""A convolution: the kernel slides over an image."""

from __future__ import annotations

from typing import Any

import numpy as np

from .. import backend
from ..backend import Array
from ..layers import Conv2d
from .animation import Animation
from .style import ORANGE

MAX_PIXELS = 64


def animate_convolution(image: Array, kernel: Array, stride: int = 1, padding: int = 0) -> Animation:
    """Show how a convolution computes each pixel of its output: the sum of kernel times window.

    Parameters
    ----------
    image : array, shape (H, W)
    kernel : array, shape (k_h, k_w)
    stride, padding : int
        As in `Conv2d`, which computes the output.

    Returns
    -------
    Animation
        One picture for each pixel of the output. The output may have at most 64 pixels.

    Examples
    --------
    >>> import numpy as np, nnscratch as nn
    >>> image = np.eye(5)
    >>> animation = nn.plotting.animate_convolution(image, np.array([[1.0, 0.0], [0.0, 1.0]]))
    >>> len(animation), animation.labels[0]
    (16, 'y[0, 0] = 2')
    """
    image, kernel = (np.asarray(backend.to_numpy(a), dtype=np.float64) for a in (image, kernel))
    if image.ndim != 2 or kernel.ndim != 2:
        raise ValueError(f"image and kernel must have two axes, got shapes {image.shape} and {kernel.shape}")
    conv = Conv2d(1, 1, kernel.shape, stride=stride, padding=padding, bias=False).to(dtype=np.float64).eval()
    conv.weight.data[...] = kernel
    y = conv(image[None, None])[0, 0]
    if y.size > MAX_PIXELS:
        raise ValueError(f"the output has {y.size} pixels, and at most {MAX_PIXELS} can be shown: use a smaller image")
    padded = np.pad(image, padding)
    places = list(np.ndindex(*y.shape))
    numbers = padded.size <= 100

    def draw(figure: Any, k: int) -> None:
        u, v = places[k]
        left, right = figure.subplots(1, 2, width_ratios=[padded.shape[1], max(y.shape[1], 2)])
        _show(left, padded, numbers)
        window = (v * stride - 0.5, u * stride - 0.5), kernel.shape[1], kernel.shape[0]
        left.add_patch(_rectangle(*window))
        left.set_title("image x" + (", with padding" if padding else ""), fontsize=10)
        so_far = np.where(np.arange(y.size).reshape(y.shape) <= k, y, np.nan)
        _show(right, so_far, numbers, float(y.min()), float(y.max()))
        right.add_patch(_rectangle((v - 0.5, u - 0.5), 1, 1))
        right.set_title("output y", fontsize=10)
        part = padded[u * stride : u * stride + kernel.shape[0], v * stride : v * stride + kernel.shape[1]]
        pairs = [f"{w:g}·{p:g}" for w, p in zip(kernel.ravel(), part.ravel(), strict=True)]
        sum_ = " + ".join(pairs if len(pairs) <= 9 else [*pairs[:8], "..."])
        figure.suptitle(f"y[{u}, {v}] = {sum_} = {y[u, v]:.3g}", fontsize=9)

    labels = [f"y[{u}, {v}] = {y[u, v]:.3g}" for u, v in places]
    return Animation(draw, labels, size=(7.5, 4.0), alt="a window that slides over an image, and the output so far")


def _show(ax: Any, values: np.ndarray, numbers: bool, low: float | None = None, high: float | None = None) -> None:
    ax.imshow(values, cmap="Greys", alpha=0.5, vmin=low, vmax=high)
    ax.set_xticks([])
    ax.set_yticks([])
    if numbers:
        for (i, j), value in np.ndenumerate(values):
            ax.text(j, i, "" if np.isnan(value) else f"{value:.3g}", ha="center", va="center", fontsize=9)


def _rectangle(corner: tuple[float, float], width: float, height: float) -> Any:
    from matplotlib.patches import Rectangle

    return Rectangle(corner, width, height, fill=False, edgecolor=ORANGE, linewidth=2.5)
