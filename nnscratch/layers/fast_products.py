"""Matrix products and sums in the form that BLAS computes fastest.

The equations of a layer define the result. The functions here choose the fastest way to compute it, on a CPU and on a
GPU. Each docstring starts with the plain NumPy expression that the function computes. The results are equal up to
rounding.
"""

from __future__ import annotations

import numpy as np

from .. import backend
from ..backend import Array

FEW_ROWS = 128
"""`matmul` may compute the transposed product if the product has at most this number of rows."""

SMALL, LARGE = 4096, 460_800
"""On a CPU, `column_sums` uses NumPy's ``sum`` for a matrix with fewer than SMALL elements, or with LARGE or more."""

TALL = 1024
"""On a GPU, `column_sums` adds up a matrix in parts if it has at least this number of rows."""

PARTS = 64
"""On a GPU, `column_sums` cuts a tall matrix into at most this number of parts."""


def matmul(a: Array, b: Array) -> Array:
    """``a @ b`` for two matrices. If `a` has few rows, the product is computed as (b^T a^T)^T.

    OpenBLAS computes a tall result faster than a wide one: (64, 784) @ (784, 256) took 235 microseconds, and
    (256, 784) @ (784, 64) took 145 to 160. So if the product has at most `FEW_ROWS` rows, and more columns than rows,
    this function computes its transpose. It returns a transposed view of that array. NumPy keeps this memory order in
    the elementwise operations that follow. On a GPU the function always computes ``a @ b``.

    Parameters
    ----------
    a : array, shape (N, K)
    b : array, shape (K, M)

    Returns
    -------
    array, shape (N, M)

    Examples
    --------
    >>> import numpy as np
    >>> a, b = np.ones((2, 3)), np.ones((3, 5))
    >>> bool((matmul(a, b) == a @ b).all())
    True
    """
    if isinstance(a, np.ndarray) and 1 < len(a) <= FEW_ROWS and len(a) < b.shape[1]:
        return (b.T @ a.T).T
    return a @ b


def row_sums(x: Array) -> Array:
    """``x.sum(axis=-1, keepdims=True)``, on a CPU computed as a product with a vector of ones.

    BLAS adds up short rows four to six times as fast as NumPy's ``sum``. On a GPU, ``sum`` is one kernel. The product
    would need four to seven kernels, because CuPy first computes a table of addresses for each argument.

    Parameters
    ----------
    x : array, shape (..., D)

    Returns
    -------
    array, shape (..., 1)
    """
    if backend.launch_bound(x):
        return x.sum(axis=-1, keepdims=True)
    return (x @ np.ones(x.shape[-1], dtype=x.dtype))[..., None]


def column_sums(x: Array) -> Array:
    """``x.sum(axis=0)`` of a matrix, on a CPU computed as a product with a vector of ones, as in `row_sums`.

    For a small matrix, this function uses NumPy's ``sum``, which is as fast as the product. For a large matrix, it also
    uses ``sum``, because OpenBLAS would compute the product with several threads and wait for all of them. While
    another program used the same cores, such a product took up to 20 times as long as ``sum``.

    On a GPU, CuPy's ``sum`` starts one block of threads for every 32 columns. A tall matrix, such as the gradient of a
    layer's output at every token of a batch, then keeps only a few processors of the GPU busy. So this function cuts
    `x` into up to `PARTS` parts, adds up the rows of each part in one kernel, and adds up the parts in a second kernel.
    A product with ones would be as fast, but it would round the elements of `x` if TF32 is on.

    Parameters
    ----------
    x : array, shape (N, D)

    Returns
    -------
    array, shape (D,)
    """
    if backend.launch_bound(x):
        parts = _number_of_parts(len(x))
        return x.sum(axis=0) if parts == 1 else x.reshape(parts, -1, x.shape[1]).sum(axis=1).sum(axis=0)
    return np.ones(len(x), dtype=x.dtype) @ x if SMALL <= x.size < LARGE else x.sum(axis=0)


def channel_sums(x: Array) -> Array:
    """The sum over all axes except the channel axis: ``x.sum(axis=(0, 2, 3))`` for images.

    On a GPU, CuPy's ``sum`` of images starts about one block of threads for each channel. So this function first adds
    up each channel of each image, and then the images: see `column_sums`.

    Parameters
    ----------
    x : array, shape (N, C) or (N, C, L) or (N, C, H, W)

    Returns
    -------
    array, shape (C,)

    Examples
    --------
    >>> import numpy as np
    >>> print(channel_sums(np.ones((2, 3, 4, 4))))
    [32. 32. 32.]
    """
    axes = tuple(range(2, x.ndim))
    if not axes:
        return column_sums(x)
    return column_sums(x.sum(axis=axes)) if backend.launch_bound(x) else x.sum(axis=(0, *axes))


def _number_of_parts(rows: int) -> int:
    """Return the largest divisor of `rows` that is at most `PARTS`, or 1 if there are fewer than `TALL` rows.

    Examples
    --------
    >>> _number_of_parts(16384), _number_of_parts(700 * 3), _number_of_parts(700)
    (64, 60, 1)
    """
    return 1 if rows < TALL else next(parts for parts in range(PARTS, 0, -1) if rows % parts == 0)


def row_dots(a: Array, b: Array) -> Array:
    """``(a * b).sum(axis=-1, keepdims=True)``, on a CPU without an array for ``a * b``.

    On a GPU, the product and the sum are two kernels. CuPy's ``einsum`` would copy both arguments, and multiply one
    pair of vectors at a time.

    Parameters
    ----------
    a, b : array, shape (..., D)

    Returns
    -------
    array, shape (..., 1)
    """
    if backend.launch_bound(a):
        return (a * b).sum(axis=-1, keepdims=True)
    return np.einsum("...d,...d->...", a, b)[..., None]


def squares(x: Array) -> Array:
    """``x * x``, in float32 if `x` is float16, because 256 * 256 overflows in float16.

    Examples
    --------
    >>> import numpy as np
    >>> print(squares(np.array([300], dtype=np.float16)))
    [90000.]
    """
    if x.dtype == np.float16:
        x = x.astype(np.float32)
    return x * x


def row_means(x: Array) -> Array:
    """``x.mean(axis=-1, keepdims=True)``, on a CPU computed as a product with a vector, as in `row_sums`.

    Every element of the vector is 1/P, where P is a power of two, and the product is divided by D/P. A product with 1/P
    has no rounding error, so the mean of equal numbers with few digits, such as D ones, is exact. With elements 1/D,
    rounding would make this mean slightly different, and LayerNorm would divide the difference by a standard deviation
    close to zero.

    Parameters
    ----------
    x : array, shape (..., D)

    Returns
    -------
    array, shape (..., 1)

    Examples
    --------
    >>> import numpy as np
    >>> print(row_means(np.array([[1.0, 2.0, 6.0], [0.1, 0.1, 0.1]])))
    [[3. ]
     [0.1]]
    """
    if backend.launch_bound(x):
        return x.mean(axis=-1, keepdims=True)
    D = x.shape[-1]
    P = 2 ** D.bit_length()
    return (x @ np.full(D, 1 / P, dtype=x.dtype))[..., None] / (D / P)
