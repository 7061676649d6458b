"""One-hot vectors: token or class k of K becomes K numbers, 1 at position k and 0 elsewhere."""

from __future__ import annotations

from typing import Any

import numpy as np

from .. import backend
from ..backend import Array
from ..checks import positive_int


def one_hot(ids: Array, num_classes: int, dtype: Any = np.float32) -> Array:
    """Return the one-hot vectors of `ids`.

    The product of a one-hot vector and a matrix is one row of the matrix. An `Embedding` gives the same row without
    computing the product.

    Parameters
    ----------
    ids : array of integers in 0..num_classes-1, any shape
        On a GPU, their range is not checked.
    num_classes : int
        The number of classes K.
    dtype : dtype

    Returns
    -------
    array of `dtype`, shape ``(*ids.shape, K)``

    Raises
    ------
    TypeError, ValueError
        `ids` is not an array of integers in 0..K-1.

    Examples
    --------
    >>> one_hot(np.array([2, 0]), 3)
    array([[0., 0., 1.],
           [1., 0., 0.]], dtype=float32)
    """
    xp, K = backend.array_module(ids), positive_int("num_classes", num_classes)
    if ids.dtype.kind not in "iu":
        raise TypeError(f"one_hot needs integers, got {ids.dtype}")
    if backend.cheap_to_read(ids) and ids.size and (ids.min() < 0 or ids.max() >= K):
        raise ValueError(f"one_hot: ids must be in 0..{K - 1}, got {int(ids.min())}..{int(ids.max())}")
    return (ids[..., None] == xp.arange(K)).astype(dtype)
