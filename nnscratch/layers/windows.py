"""Windows: the rectangles of pixels that convolution and pooling read, and im2col, which copies them into a matrix.

A window of k_h by k_w pixels slides over an image and moves s pixels (the stride) at each step. The pixels of a window
are d pixels apart (the dilation). With d = 1, they are neighbours. The image has p rows or columns of padding at each
edge. The number of windows is

    H' = floor((H + 2p - d (k_h - 1) - 1) / s) + 1          vertically, and W' in the same way horizontally.

im2col copies every window into one column of a matrix, so that a convolution is one matrix product:

    x (N, C, H, W)  ->  columns (C k_h k_w, H' W' N)

             x            a 2 x 2 window, stride 1: four windows, four columns
         0  1  2          0  1  3  4      <- the top left pixel of every window
         3  4  5          1  2  4  5      <- the top right pixel of every window
         6  7  8          3  4  6  7
                          4  5  7  8      <- the bottom right pixel of every window

Row (i, j) of the matrix holds pixel (i, j) of every window. These pixels are a slice of the padded image,
x[i*d : : s, j*d : : s], so k_h k_w slices fill the matrix. This is as fast as NumPy's sliding_window_view. col2im uses
the same slices: it adds every row to the slice from which im2col copied the row. A pixel that lies in four windows
receives the sum of four gradients.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from .. import backend
from ..backend import Array
from ..checks import short
from ..module import Module

Pair = tuple[int, int]


@dataclass(frozen=True)
class Windows:
    """The size, stride, padding and dilation of a window, each as a pair (vertical, horizontal)."""

    kernel: Pair
    stride: Pair
    padding: Pair
    dilation: Pair = (1, 1)

    def count(self, H: int, W: int) -> Pair:
        """Return (H', W'), the number of windows in an image. A number is 0 or less if the window does not fit."""
        return tuple(
            (size + 2 * p - d * (k - 1) - 1) // s + 1
            for size, k, s, p, d in zip((H, W), self.kernel, self.stride, self.padding, self.dilation, strict=True)
        )

    def row_and_column_slices(self, H: int, W: int) -> tuple[list[slice], list[slice]]:
        """Return the slice of row i of all windows for each i, and the slice of column j for each j.

        The slices belong to padded images, of height H + 2p.
        """
        return tuple(
            [slice(i * d, i * d + (count - 1) * s + 1, s) for i in range(k)]
            for count, k, s, d in zip(self.count(H, W), self.kernel, self.stride, self.dilation, strict=True)
        )

    def slices(self, H: int, W: int) -> Iterator[tuple[int, int, slice, slice]]:
        """Yield i, j and the two slices of a padded image that select pixel (i, j) of all windows."""
        rows, columns = self.row_and_column_slices(H, W)
        for i, row in enumerate(rows):
            for j, column in enumerate(columns):
                yield i, j, row, column

    def pad(self, x: Array, value: float = 0.0) -> Array:
        """Return images with `value` as padding, (N, C, H + 2p, W + 2p), or `x` itself if the padding is 0."""
        if self.padding == (0, 0):
            return x
        (p, q), (N, C, H, W), xp = self.padding, x.shape, backend.array_module(x)
        padded = xp.full_like(x, value, shape=(N, C, H + 2 * p, W + 2 * q))  # full_like keeps the memory layout of x
        padded[:, :, p : p + H, q : q + W] = x
        return padded

    def unpad(self, x: Array) -> Array:
        """Return the images without their padding, (N, C, H, W), as a view."""
        (p, q), (H, W) = self.padding, x.shape[2:]
        return x[:, :, p : H - p, q : W - q]

    def im2col(self, x: Array, H: int, W: int) -> Array:
        """Copy the windows of padded images, (N, C, H + 2p, W + 2p), into columns, (C k_h k_w, H' W' N).

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
        columns = backend.array_module(x).empty((C, *self.kernel, *self.count(H, W), N), dtype=x.dtype)
        x = x.transpose(1, 2, 3, 0)  # (C, H + 2p, W + 2p, N)
        for i, j, row, column in self.slices(H, W):
            columns[:, i, j] = x[:, row, column]  # (C, H', W', N)
        return columns.reshape(C * self.kernel[0] * self.kernel[1], -1)

    def col2im(self, columns: Array, out: Array, H: int, W: int) -> None:
        """Add every element of `columns` to one pixel of `out`, (N, C, H + 2p, W + 2p).

        It is the pixel that im2col copies to the place of this element.
        """
        N, C = out.shape[:2]
        columns = columns.reshape(C, *self.kernel, *self.count(H, W), N)
        out = out.transpose(1, 2, 3, 0)  # (C, H + 2p, W + 2p, N), a view of the caller's array
        for i, j, row, column in self.slices(H, W):
            out[:, row, column] += columns[:, i, j]


def pooling_windows(kernel: Pair, stride: Pair, padding: Pair) -> Windows:
    """Return the windows of a pooling layer, or raise if one of them could contain only padding."""
    if any(2 * p > k for p, k in zip(padding, kernel, strict=True)):
        raise ValueError(f"padding must be at most half the kernel_size {kernel}, got {padding}")
    return Windows(kernel, stride, padding)


def check_windows_fit(owner: Module, x: Array, channels: int | None, windows: Windows) -> None:
    """Raise unless `x` is (N, C, H, W) with C = `channels`, if given, and at least one window fits into an image."""
    title = type(owner).__name__
    if x.ndim != 4 or (channels is not None and x.shape[1] != channels):
        hint = " If the images have one channel, x[:, None] adds the axis." if x.ndim == 3 and channels == 1 else ""
        raise ValueError(f"{title} needs images x of shape (N, {channels or 'C'}, H, W), got {x.shape}.{hint}")
    if min(windows.count(*x.shape[2:])) < 1:
        raise ValueError(
            f"{title}: no window of {windows.kernel}, dilation {windows.dilation}, fits into images of "
            f"{x.shape[2:]} with padding {windows.padding}"
        )


def pair(name: str, value: int | Pair, least: int = 1) -> Pair:
    """Return `value` as a pair of integers that are not below `least`. If `value` is one integer, it is used twice."""
    both = (value, value) if isinstance(value, (int, np.integer)) else value
    if not isinstance(both, (tuple, list)) or len(both) != 2 or not all(_fits(v, least) for v in both):
        raise ValueError(f"{name} must be an integer of {least} or more, or a pair of them, got {short(value)}")
    return int(both[0]), int(both[1])


def _fits(value: object, least: int) -> bool:
    return _is_int(value) and least <= value < 1 << 63


def _is_int(value: object) -> bool:
    return isinstance(value, (int, np.integer)) and not isinstance(value, (bool, np.bool_))
