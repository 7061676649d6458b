"""The sum of the gradients of all ranks.

A gradient is sent in one of two forms. K is the number of parameters, p the number of ranks.

    whole      The gradients of all parameters with one dtype are views of one flat array, so one call of MPI's
               Allreduce adds them up in place. It sends 2 (p - 1)/p V D numbers from each rank, for a gradient of V
               rows and D columns.
    rows       In the gradient of an embedding, only the rows of the tokens in the batch are nonzero. If rank r has R_r
               such rows, and R = sum over r  R_r  is below V, each rank receives all R rows and adds up rows of equal
               index.

A small table of shape (p, 1 + K) comes first. Row r has rank r's part of the loss and its R_r for each parameter, with
R_r = V for a whole gradient. From the table, all ranks choose the same form. Every rank adds up the same numbers in the
same order, so all ranks get the same bits.

On GPUs, all gradients are sent whole. NCCL adds up the flat arrays and the loss, and no rank waits for its GPU.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np

from .. import backend
from ..backend import Array
from ..parameter import Parameter

ALIGNMENT = 64  # bytes: each gradient starts at a multiple of this number, as a separate array would


class GradientSum:
    """Adds up gradients, in place, over the ranks of a communicator.

    Parameters
    ----------
    communicator : mpi4py.MPI.Comm
    parameters : sequence of Parameter
        The same parameters on every rank.

    Raises
    ------
    TypeError
        A parameter is float16 and on the CPU. MPI cannot add float16.
    """

    def __init__(self, communicator: Any, parameters: Sequence[Parameter]):
        from mpi4py import MPI

        if any(p.dtype == np.float16 and p.device == "cpu" for p in parameters):
            raise TypeError("MPI cannot add float16: use model.to(dtype=numpy.float32) before you create the Trainer")
        self.communicator, self.in_place, self.parameters = communicator, MPI.IN_PLACE, parameters
        self._nccl: backend.NcclSum | None = None
        self._learned: list[Parameter] = []
        self._flat: dict[np.dtype, Array] = {}  # for each dtype, the array of the gradients
        self._slices: list[slice] = []  # each parameter's part of this array, and the gap after it
        self._views: list[Array] = []  # the same part without the gap, in the parameter's shape

    def add_up(self, loss: float | Array) -> float | Array:
        """Replace every gradient by its sum over the ranks, and return the sum of the `loss` of all ranks."""
        learned = [p for p in self.parameters if p.requires_grad]
        if not _same(learned, self._learned):
            self._lay_out(learned)
        if any(p.device != "cpu" for p in learned):
            return self._add_up_on_gpu(loss)
        found = [p.nonzero_rows() for p in learned]
        lengths = [_length(p) if rows is None else len(rows) for p, (rows, _) in zip(learned, found, strict=True)]
        table = self._table(loss, lengths)
        whole = []
        for k, (p, (rows, values)) in enumerate(zip(learned, found, strict=True)):
            counts = table[:, 1 + k].astype(int)
            if counts.sum() < _length(p):  # then no rank has a whole gradient
                self._add_up_rows(p, rows, values, counts)
            else:
                self._put_into_view(k)
                whole.append(k)
        for dtype, cuts in self._connected(whole).items():
            for cut in cuts:
                self.sum_in_place(self._flat[dtype][cut])
        return float(table[:, 0].sum())

    def sum_in_place(self, array: Array) -> None:
        """Replace `array` by its sum over the ranks."""
        if backend.array_module(array) is np:
            self.communicator.Allreduce(self.in_place, array)
            return
        if self._nccl is None:
            ranks = self.communicator
            self._nccl = backend.NcclSum(array, ranks.Get_rank(), ranks.Get_size(), ranks.bcast)
        self._nccl(array)

    def _add_up_on_gpu(self, loss: float | Array) -> Array:
        for k in range(len(self._learned)):
            self._put_into_view(k)
        xp = backend.array_module(self._views[0])
        total = xp.zeros(1, dtype=np.float64)
        total += loss
        for array in (*self._flat.values(), total):
            self.sum_in_place(array)
        return total.reshape(())

    def _table(self, loss: float, counts: list[int]) -> np.ndarray:
        row = np.array([loss, *counts], dtype=np.float64)
        table = np.empty((self.communicator.Get_size(), len(row)))
        self.communicator.Allgather(row, table)
        return table

    def _add_up_rows(self, p: Parameter, rows: Array, values: Array, counts: np.ndarray) -> None:
        """Replace the gradient of `p` by the sum of the rows of all ranks. Rank r has ``counts[r]`` rows."""
        all_rows = np.empty(counts.sum(), dtype=rows.dtype)
        all_values = np.empty((len(all_rows), *values.shape[1:]), dtype=values.dtype)
        self.communicator.Allgatherv(rows, [all_rows, counts])
        self.communicator.Allgatherv(np.ascontiguousarray(values), [all_values, counts * math.prod(values.shape[1:])])
        p.zero_grad()
        p.add_rows(all_rows, all_values)

    def _put_into_view(self, k: int) -> None:
        """Make the gradient of parameter k a view of the flat array again, if other code has replaced it."""
        p, view = self._learned[k], self._views[k]
        if p.grad is not view:
            view[...] = p.grad
            p.grad = view

    def _lay_out(self, learned: list[Parameter]) -> None:
        """Make the flat arrays for these parameters, and make the gradients views of them."""
        sizes: dict[np.dtype, int] = {}
        self._learned, self._slices = learned, []
        for p in learned:
            start, step = sizes.get(p.dtype, 0), ALIGNMENT // p.dtype.itemsize
            sizes[p.dtype] = start + -(-p.size // step) * step
            self._slices.append(slice(start, sizes[p.dtype]))
        xp = backend.array_module(learned[0].data) if learned else np
        self._flat = {dtype: xp.zeros(size, dtype=dtype) for dtype, size in sizes.items()}
        self._views = [
            self._flat[p.dtype][cut][: p.size].reshape(p.shape) for p, cut in zip(learned, self._slices, strict=True)
        ]
        for k in range(len(learned)):
            self._put_into_view(k)

    def _connected(self, numbers: list[int]) -> dict[np.dtype, list[slice]]:
        """Return the parts of the flat arrays that belong to the parameters `numbers`, which are in ascending order.

        Parts that lie side by side are joined.
        """
        parts: dict[np.dtype, list[slice]] = {dtype: [] for dtype in self._flat}
        for k in numbers:
            of_dtype, cut = parts[self._learned[k].dtype], self._slices[k]
            if of_dtype and of_dtype[-1].stop == cut.start:
                of_dtype[-1] = slice(of_dtype[-1].start, cut.stop)
            else:
                of_dtype.append(cut)
        return parts


def _length(p: Parameter) -> int:
    return p.shape[0] if p.shape else 1


def _same(a: list[Parameter], b: list[Parameter]) -> bool:
    return len(a) == len(b) and all(p is q and p.dtype == q.dtype for p, q in zip(a, b, strict=True))
