"""Sums that both devices want in ways of their own: of rows that go to the same place, and of squares."""

from __future__ import annotations

import functools
from collections.abc import Callable, Sequence
from types import ModuleType

import numpy as np

from .device import Array, array_module, launch_bound
from .kernels import C_FLOATS, OverLists


def sum_rows(index: np.ndarray, values: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The distinct numbers in `index`, ascending, and for each the sum of the rows of `values` that it stands beside.

    Sorted, equal numbers are neighbours, and every sum is one of neighbouring rows.

    Parameters
    ----------
    index : integer array, shape (K,)
    values : array, shape (K, D)

    Returns
    -------
    rows : integer array, shape (R,)
    sums : array, shape (R, D)

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
    """Add row ``values[k]`` to row ``target[index[k]]``, in place; a row named twice receives both.

    ``target[index] += values`` would keep only the last of them: the classic mistake in an embedding's backward. The
    library's own ``add.at`` does it right, one row at a time; on the CPU summing first is up to seven times as fast.
    On a GPU ``add.at`` would add in another order each time, and so round differently: there too equal numbers are
    sorted together, and each row's sum is taken by one thread for each column.

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
        _add_sorted_rows(xp)(values, order, index[order].astype(np.int64), len(index), V, D, target, size=values.size)


@functools.cache
def _add_sorted_rows(xp: ModuleType) -> Callable:
    """The kernel of `scatter_add`: element k, d adds up column d of all rows equal to the k-th, if it is their first.

    A number that is no row of the target is passed over, rather than written to somebody else's memory.
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
    """Numbers whose sum is that of the squares of all that is in `arrays`.

    On a CPU one for each array: a dot product, which makes no array of squares. On a GPU it is one, which takes two
    kernels however many the arrays are, and is not read. (float16 is left to dot products there too.)
    """
    flat = [a.reshape(-1) for a in arrays]
    if flat and launch_bound(flat[0]) and all(a.dtype != np.float16 for a in flat):
        return _SQUARES(flat)
    return [a @ a for a in flat]


class _Squares(OverLists):
    """`sums_of_squares` on a GPU: so many threads each take every so many-th number of all arrays laid end to end."""

    THREADS = 1 << 18  # what a large GPU runs at once

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

    def _kernel(self, xp: ModuleType, dtype: str, listed: tuple[bool, ...], looks: bool = False) -> Callable:
        body = f"""
            double sum = 0;
            for (long long k = i, own = 0; k < total; k += threads) {{
                while (end[own] <= k) ++own;
                const double x = ((const {C_FLOATS[dtype]} *)begin[own])[own ? k - end[own - 1] : k];
                sum += x * x;
            }}
            part = sum;
        """
        ins = "raw int64 begin, raw int64 end, int64 total, int64 threads"
        return xp.ElementwiseKernel(ins, "float64 part", body, self.name)


_SQUARES = _Squares()
