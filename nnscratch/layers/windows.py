"""Windows: what convolution and pooling share. im2col lays every window of an image out as a column.

A window of k_h by k_w pixels slides over the image, s pixels further at each step; its own pixels lie d apart
(dilation). With p pixels of padding around the image there is room for

    H' = floor((H + 2p - d (k_h - 1) - 1) / s) + 1          windows down, W' in the same way across.

im2col turns images into a matrix with one window a column, so that a convolution is one matrix product:

    x (N, C, H, W)  ->  columns (C k_h k_w, H' W' N)

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

    def along(self, H: int, W: int) -> tuple[list[slice], list[slice]]:
        """Where the window's i-th row lies, in all windows, in an image padded already; and where its j-th column."""
        return tuple(
            [slice(k * d, k * d + (count - 1) * s + 1, s) for k in range(size)]
            for count, size, s, d in zip(self.count(H, W), self.kernel, self.stride, self.dilation, strict=True)
        )

    def slices(self, H: int, W: int) -> Iterator[tuple[int, int, slice, slice]]:
        """For each pixel (i, j) of the window: i, j, and where it lies, in all windows, in an image padded already."""
        rows, columns = self.along(H, W)
        for i, down in enumerate(rows):
            for j, across in enumerate(columns):
                yield i, j, down, across

    def pad(self, x: Array, value: float = 0.0) -> Array:
        """`x` with `value` around every image; `x` itself where there is no padding."""
        if self.padding == (0, 0):
            return x
        (p, q), (N, C, H, W), xp = self.padding, x.shape, backend.array_module(x)
        padded = xp.full_like(x, value, shape=(N, C, H + 2 * p, W + 2 * q))  # laid out in memory as x is
        padded[:, :, p : p + H, q : q + W] = x
        return padded

    def unpad(self, x: Array) -> Array:
        """The images without what `pad` put around them."""
        (p, q), (H, W) = self.padding, x.shape[2:]
        return x[:, :, p : H - p, q : W - q]

    def im2col(self, x: Array, H: int, W: int) -> Array:
        """The windows of images padded already, (N, C, H + 2p, W + 2p), as columns: (C k_h k_w, H' W' N).

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
        images_last = x.transpose(1, 2, 3, 0)  # (C, H + 2p, W + 2p, N)
        for i, j, down, across in self.slices(H, W):
            columns[:, i, j] = images_last[:, down, across]
        return columns.reshape(C * self.kernel[0] * self.kernel[1], -1)

    def col2im(self, columns: Array, out: Array, H: int, W: int) -> None:
        """Add every number of `columns` to the pixel of `out`, (N, C, H + 2p, W + 2p), that im2col reads it from."""
        N, C = out.shape[:2]
        columns = columns.reshape(C, *self.kernel, *self.count(H, W), N)
        images_last = out.transpose(1, 2, 3, 0)  # a view: what is added to it is added to `out`
        for i, j, down, across in self.slices(H, W):
            images_last[:, down, across] += columns[:, i, j]


def empty_images(like: Array, N: int, C: int, H: int, W: int) -> Array:
    """Room for images (N, C, H, W), one pixel of all N side by side in memory."""
    return backend.array_module(like).empty((C, H, W, N), dtype=like.dtype).transpose(3, 0, 1, 2)


def images_last(x: Array) -> Array:
    """`x`, laid out in memory as `empty_images` is: a copy, or `x` itself."""
    return backend.array_module(x).ascontiguousarray(x.transpose(1, 2, 3, 0)).transpose(3, 0, 1, 2)


def pair(name: str, value: int | Pair, least: int = 1) -> Pair:
    """`value` as two integers of `least` or more: an int stands for both."""
    both = (value, value) if isinstance(value, (int, np.integer)) else value
    if not isinstance(both, (tuple, list)) or len(both) != 2 or not all(_is_int(v) and v >= least for v in both):
        raise ValueError(f"{name} must be an integer of {least} or more, or two of them, got {value!r}")
    return int(both[0]), int(both[1])


def _is_int(value: object) -> bool:
    return isinstance(value, (int, np.integer)) and not isinstance(value, (bool, np.bool_))
