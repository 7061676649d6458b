"""The filters of a convolution as small pictures."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from .. import backend
from ..backend import Array
from .style import MAP, axes_or_new


def plot_filters(weight: Array, ax: Any = None) -> Any:
    """Plot every filter as a row of small pictures, one for each input channel.

    All pictures have the same scale, symmetric about zero: dark is negative, light is positive.

    Parameters
    ----------
    weight : array, shape (out_channels, in_channels, height, width)
        The weight of a `Conv2d`, ``conv.weight.data``.
    ax : matplotlib Axes, optional

    Returns
    -------
    matplotlib Axes

    Examples
    --------
    >>> import nnscratch as nn
    >>> ax = nn.plotting.plot_filters(nn.Conv2d(1, 8, 3, rng=0).weight.data)
    >>> ax.get_title()
    '8 filters of 3 x 3, 1 input channel'
    """
    W = backend.to_numpy(weight)
    if W.ndim != 4 or not W.size:
        raise ValueError(f"plot_filters needs a weight (out_channels, in_channels, height, width), got {W.shape}")
    filters, channels, height, width = W.shape
    columns = math.ceil(math.sqrt(filters)) if channels == 1 else min(filters, max(1, 16 // channels))
    rows = math.ceil(filters / columns)
    scale, gap = 4, 2  # each weight is scale x scale pixels, so a gap can be narrower than the picture of a weight
    tall, wide = scale * height + gap, scale * channels * width + gap
    picture = np.full((rows * tall - gap, columns * wide - gap), np.nan)
    for k in range(filters):
        r, c = divmod(k, columns)
        one = np.concatenate(list(W[k]), axis=1).repeat(scale, axis=0).repeat(scale, axis=1)
        picture[r * tall : r * tall + len(one), c * wide : c * wide + one.shape[1]] = one
    inches = min(0.06, 7.0 / picture.shape[1])  # inches for each pixel
    ax = axes_or_new(ax, max(3.5, inches * picture.shape[1] + 1.5), max(1.6, inches * picture.shape[0] + 0.6))
    limit = float(np.abs(W).max()) or 1.0
    image = ax.imshow(picture, cmap=MAP, vmin=-limit, vmax=limit, interpolation="nearest")
    ax.set_xticks([])
    ax.set_yticks([])
    ax.spines[:].set_visible(False)
    ax.set_title(
        f"{filters} filters of {height} x {width}, {channels} input channel{'s' * (channels > 1)}", fontsize=10
    )
    ax.figure.colorbar(image, ax=ax, label="weight", shrink=0.8)
    return ax
