"""Sums that each device computes with its own fast method: sums of rows with equal indices, and sums of squares."""

from __future__ import annotations

import functools
from collections.abc import Callable, Sequence
from types import ModuleType

import numpy as np

from .device import Array, array_module, launch_bound
from .kernels import C_FLOATS, OverLists


def sum_rows(index: np.ndarray, values: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Add up the rows of `values` that have the same index.

    The rows are sorted by index, so that the rows of each sum are neighbours. NumPy then adds up neighbours fast.

    Parameters
    ----------
    index : integer array, shape (K,)
    values : array, shape (K, D)

    Returns
    -------
    rows : integer array, shape (R,)
        The distinct values in `index`, ascending.
    sums : array, shape (R, D)
        For each of these indices, the sum of its rows of `values`.

    Examples
    --------
    >>> import numpy as np
    >>> rows, sums = sum_rows(np.array([7, 2, 7]), np.array([[1.0, 2.0], [3.0, 4.0], [10.0, 20.0]]))
    >>> print(rows, sums.tolist())
    [2 7] [[3.0, 4.0], [11.0, 22.0]]
    """
    order = np.argsort(index, kind="stable")
    rows, first = np.unique(index[order], return_index=True)
    return rows, np.add.reduceat(values[order], first, axis=0)


def scatter_add(target: Array, index: Array, values: Array) -> None:
    """Add row ``values[k]`` to row ``target[index[k]]`` for every k, in place. An index may occur several times.

    ``target[index] += values`` would keep only the last row of each index, a classic mistake in the backward pass of an
    embedding. ``numpy.add.at`` is correct but slow: on a CPU, `sum_rows` is up to seven times as fast. On a GPU,
    ``add.at`` adds in a different order at each call, so its rounding differs from run to run. So on a GPU, the indices
    are sorted, and one thread for each row and column computes the sum.

    Parameters
    ----------
    target : array, shape (V, D)
    index : integer array, shape (K,)
    values : array, shape (K, D)
    """
    xp = array_module(target)
    if xp is np:
        rows, sums = sum_rows(index, values)
        target[rows] += sums
    elif index.size:
        order = xp.argsort(index, kind="stable")
        values, (V, D) = xp.ascontiguousarray(values), target.shape
        row = index[order].astype(np.int64, copy=False)
        _add_sorted_rows(xp)(values, order, row, len(index), V, D, target, size=values.size)


@functools.cache
def _add_sorted_rows(xp: ModuleType) -> Callable:
    """Return the kernel of `scatter_add`.

    The indices are sorted, so equal indices are neighbours. Thread (k, d) does nothing if index k - 1 equals index k.
    Otherwise it adds up column d of all rows that have index k. An index outside the target is skipped, because writing
    there would corrupt other memory.
    """
    return xp.ElementwiseKernel(
        "raw T values, raw int64 order, raw int64 row, int64 K, int64 V, int64 D",
        "raw T target",
        """
        const long long k = i / D, d = i % D, own = row[k];
        if (own >= 0 && own < V && (k == 0 || row[k - 1] != own)) {
            T sum = 0;
            for (long long j = k; j < K && row[j] == own; ++j) sum += values[order[j] * D + d];
            target[own * D + d] += sum;
        }
        """,
        "add_sorted_rows",
    )


def sums_of_squares(arrays: Sequence[Array]) -> list[Array]:
    """Return scalars whose sum is the sum of the squares of all elements of `arrays`.

    On a CPU there is one scalar for each array, computed as a dot product. On a GPU there is one scalar for each dtype.
    Two kernels compute it for any number of arrays. Its value stays on the GPU. Squares of float16 are computed in
    float32 or float64, because the largest float16 is 65504.
    """
    flat = [a.reshape(-1) for a in arrays]
    flat = [a.astype(np.float32) if a.dtype == np.float16 else a for a in flat]
    if flat and launch_bound(flat[0]):
        return _SQUARES(flat)
    return [a @ a for a in flat]


class _Squares(OverLists):
    """`sums_of_squares` on a GPU. Thread i sums elements i, i + THREADS, ... of all arrays joined."""

    THREADS = 1 << 18  # a large GPU runs about this number of threads at the same time

    def __init__(self) -> None:
        super().__init__("T x", "T part", "", "squares")

    def __call__(self, arrays: Sequence[Array]) -> list[Array]:
        sums = []
        for dtype in sorted({a.dtype.name for a in arrays}):
            own = [a for a in arrays if a.dtype == dtype]
            sizes, xp = [a.size for a in own], array_module(own[0])
            begin, end = self.table(xp, dtype, [own], sizes)
            parts = xp.empty(max(1, min(sum(sizes), self.THREADS)), dtype=np.float64)
            self.kernel(xp, dtype, ())(begin, end, sum(sizes), parts.size, parts)
            sums.append(parts.sum())
        return sums

    def _kernel(self, xp: ModuleType, dtype: str, listed: tuple[bool, ...], conditional: bool = False) -> Callable:
        body = f"""
            double sum = 0;
            for (long long k = i, array = 0; k < total; k += threads) {{
                while (end[array] <= k) ++array;
                const double x = ((const {C_FLOATS[dtype]} *)begin[array])[array ? k - end[array - 1] : k];
                sum += x * x;
            }}
            part = sum;
        """
        ins = "raw int64 begin, raw int64 end, int64 total, int64 threads"
        return xp.ElementwiseKernel(ins, "float64 part", body, self.name)


_SQUARES = _Squares()
