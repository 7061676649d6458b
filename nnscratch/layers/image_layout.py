"""The memory layout of images in convolution layers: the batch axis comes last.

Images have the axes (N, C, H, W). The functions here store them in memory in the order (C, H, W, N), so that the values
of one pixel in all images are contiguous. This order is fast for two reasons:

- A convolution computes the product w X, whose shape is (O, H' W' N). So the output is already in this order.
- im2col, col2im and pooling slice H and W. In this order, a slice consists of runs of N contiguous elements.

NumPy's elementwise functions keep the layout of their input, so a ReLU between two convolutions keeps it too. The
layout changes no value.
"""

from __future__ import annotations

from collections.abc import Iterator

from .. import backend
from ..backend import Array

IM2COL_SIZE = 1 << 21  # elements of an im2col matrix: 8 MiB of float32


def empty_images(like: Array, N: int, C: int, H: int, W: int) -> Array:
    """Return uninitialised images (N, C, H, W) with the batch axis last in memory and the dtype of `like`."""
    return backend.array_module(like).empty((C, H, W, N), dtype=like.dtype).transpose(3, 0, 1, 2)


def batch_last(x: Array) -> Array:
    """Return images (N, C, H, W) with the batch axis last in memory: `x` itself if it has this order, else a copy."""
    return backend.array_module(x).ascontiguousarray(x.transpose(1, 2, 3, 0)).transpose(3, 0, 1, 2)


def chunks_of_images(x: Array, size_per_image: int) -> Iterator[slice]:
    """Cut a batch into chunks whose im2col matrices have at most about `IM2COL_SIZE` elements, or more on a GPU.

    im2col makes a matrix k_h k_w times as large as the images. For 10,000 images of shape (32, 14, 14) and a 3 x 3
    window, it would take 2.3 GB.

    Parameters
    ----------
    x : array, shape (N, C, H, W)
    size_per_image : int
        The number of elements of one image's im2col matrix.

    Yields
    ------
    slice
        A slice of the batch axis.
    """
    length = max(1, backend.chunk_size(x, IM2COL_SIZE) // size_per_image)
    return (slice(start, start + length) for start in range(0, len(x), length))
