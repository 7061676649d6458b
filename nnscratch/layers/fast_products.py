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

    Parameters
    ----------
    x : array, shape (N, D)

    Returns
    -------
    array, shape (D,)
    """
    return x.sum(axis=0) if backend.launch_bound(x) else np.ones(len(x), dtype=x.dtype) @ x


def row_dots(a: Array, b: Array) -> Array:
    """``(a * b).sum(axis=-1, keepdims=True)``, on a CPU without an array for ``a * b``.

    On a GPU these are two kernels. CuPy's ``einsum`` would copy both arguments, and multiply one pair of vectors at a
    time.

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

    Every element of the vector is 1/P, where P is a power of two, and the product is divided by D/P. So the mean of D
    equal numbers is exactly this number. With elements 1/D, rounding would make the mean slightly different, and
    LayerNorm would divide the difference by a standard deviation close to zero.

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
