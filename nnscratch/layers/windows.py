"""Windows: what convolution and pooling share. im2col lays every window of an image out as a column.

A window of k_h by k_w pixels slides over the image, s pixels further at each step; its own pixels lie d apart
(dilation). With p pixels of padding around the image there is room for

    H' = floor((H + 2p - d (k_h - 1) - 1) / s) + 1          windows down, W' in the same way across.

im2col turns images into a matrix with one window a column, so that a convolution is one matrix product:

    x (N, C, H, W)  ->  columns (C k_h k_w, N H' W')

             x            a 2 x 2 window, stride 1: four windows, four columns
         0  1  2          0  1  3  4      <- every window's top left pixel
         3  4  5          1  2  4  5      <- every window's top right pixel
         6  7  8          3  4  6  7
                          4  5  7  8      <- every window's bottom right pixel

Each *row* is the image itself, shifted and thinned out: x[i d : : s, j d : : s]. So k_h k_w slices fill the matrix,
which is as fast as NumPy's sliding_window_view (measured) and shows its own transpose: col2im *adds* every row back
where it was read. A pixel that was in four windows gets four gradients.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from .. import backend
from ..backend import Array

Pair = tuple[int, int]


@dataclass(frozen=True)
class Windows:
    """Size, step, padding and dilation of a window, each as (down, across)."""

    kernel: Pair
    stride: Pair
    padding: Pair
    dilation: Pair = (1, 1)

    def count(self, H: int, W: int) -> Pair:
        """(H', W'): how many windows an image has; less than 1 where the window does not fit."""
        return tuple(
            (size + 2 * p - d * (k - 1) - 1) // s + 1
            for size, k, s, p, d in zip((H, W), self.kernel, self.stride, self.padding, self.dilation, strict=True)
        )

    def slices(self, H: int, W: int) -> Iterator[tuple[int, int, slice, slice]]:
        """For each pixel (i, j) of the window: i, j, and where it lies, in all windows, in an image padded already."""
        (h, w), (s, t), (d, e) = self.count(H, W), self.stride, self.dilation
        for i in range(self.kernel[0]):
            for j in range(self.kernel[1]):
                yield i, j, slice(i * d, i * d + (h - 1) * s + 1, s), slice(j * e, j * e + (w - 1) * t + 1, t)

    def pad(self, x: Array, value: float = 0.0) -> Array:
        """`x` with `value` around every image; `x` itself where there is no padding."""
        if self.padding == (0, 0):
            return x
        (p, q), (N, C, H, W) = self.padding, x.shape
        padded = backend.array_module(x).full((N, C, H + 2 * p, W + 2 * q), value, dtype=x.dtype)
        padded[:, :, p : p + H, q : q + W] = x
        return padded

    def unpad(self, x: Array) -> Array:
        """The images without what `pad` put around them."""
        (p, q), (H, W) = self.padding, x.shape[2:]
        return x[:, :, p : H - p, q : W - q]

    def im2col(self, x: Array, H: int, W: int) -> Array:
        """The windows of images padded already, (N, C, H + 2p, W + 2p), as columns: (C k_h k_w, N H' W').

        Examples
        --------
        >>> x = np.arange(9.0).reshape(1, 1, 3, 3)
        >>> print(Windows((2, 2), (1, 1), (0, 0)).im2col(x, 3, 3))
        [[0. 1. 3. 4.]
         [1. 2. 4. 5.]
         [3. 4. 6. 7.]
         [4. 5. 7. 8.]]
        """
        N, C = x.shape[:2]
        columns = backend.array_module(x).empty((C, *self.kernel, N, *self.count(H, W)), dtype=x.dtype)
        channels_first = x.transpose(1, 0, 2, 3)  # (C, N, H, W)
        for i, j, down, across in self.slices(H, W):
            columns[:, i, j] = channels_first[:, :, down, across]
        return columns.reshape(C * self.kernel[0] * self.kernel[1], -1)

    def col2im(self, columns: Array, out: Array, H: int, W: int) -> None:
        """Add every number of `columns` to the pixel of `out`, (N, C, H + 2p, W + 2p), that im2col reads it from."""
        N, C = out.shape[:2]
        columns = columns.reshape(C, *self.kernel, N, *self.count(H, W))
        channels_first = out.transpose(1, 0, 2, 3)  # a view: what is added to it is added to `out`
        for i, j, down, across in self.slices(H, W):
            channels_first[:, :, down, across] += columns[:, i, j]


def pair(name: str, value: int | Pair, least: int = 1) -> Pair:
    """`value` as two integers of `least` or more: an int stands for both."""
    both = (value, value) if isinstance(value, (int, np.integer)) else value
    if not isinstance(both, (tuple, list)) or len(both) != 2 or not all(_is_int(v) and v >= least for v in both):
        raise ValueError(f"{name} must be an integer of {least} or more, or two of them, got {value!r}")
    return int(both[0]), int(both[1])


def _is_int(value: object) -> bool:
    return isinstance(value, (int, np.integer)) and not isinstance(value, (bool, np.bool_))
