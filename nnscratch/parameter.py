"""Parameter: an array that is learned, and its gradient."""

from __future__ import annotations

from typing import Any

import numpy as np

from . import backend
from .backend import Array
from .checks import FLOATS


class Parameter:
    """An array that is learned, and its gradient.

    Parameters
    ----------
    data : array of floats

    Attributes
    ----------
    data : array
        The values. Optimisers write into it and never replace it, so every module that holds it sees the change.
    grad : array
        dL/d(data), of the same shape, dtype and device. Every ``backward`` adds to it; ``zero_grad`` clears it.

    Examples
    --------
    >>> import numpy as np, nnscratch as nn
    >>> nn.Parameter(np.ones((2, 3), dtype=np.float32))
    Parameter((2, 3), float32, cpu)
    """

    def __init__(self, data: Array):
        backend.array_module(data)
        if data.dtype not in FLOATS:
            raise TypeError(f"Parameter needs floats, got an array of {data.dtype}; use data.astype(numpy.float32)")
        self.data = backend.array_module(data).asarray(data, order="C")  # optimisers write through a flat view of it
        self._grad = backend.array_module(data).empty_like(self.data)
        self._cleared = True  # _grad counts as zero, whatever is in it, apart from ...
        self._rows: tuple[Array, Array] | None = None  # ... these rows: their numbers, and what is in them

    @property
    def grad(self) -> Array:
        if self._cleared:
            self._grad[...] = 0
            if self._rows is not None:
                rows, values = self._rows
                self._grad[rows] = values
            self._cleared, self._rows = False, None
        return self._grad

    @grad.setter
    def grad(self, value: Array) -> None:
        self._grad, self._cleared, self._rows = value, False, None

    @property
    def grad_rows(self) -> tuple[Array, Array] | None:
        """The gradient as (numbers of rows, those rows), if all others are known to be zero; else None.

        An embedding's, where a batch has few of all words. Whoever asks for `grad` gets the whole array, and from
        then on, until `zero_grad`, any row may be written to: the answer is None.
        """
        return self._rows

    @property
    def shape(self) -> tuple[int, ...]:
        return self.data.shape

    @property
    def dtype(self) -> np.dtype:
        return self.data.dtype

    @property
    def size(self) -> int:
        return self.data.size

    @property
    def device(self) -> str:
        return backend.device_of(self.data)

    def zero_grad(self) -> None:
        """Clear the gradient. The zeros are written when somebody looks: mostly `add_product` writes first."""
        self._cleared, self._rows = True, None

    def add_product(self, a: Array, b: Array) -> None:
        """``grad += a @ b`` for matrices `a` and `b`.

        The first product after `zero_grad` is computed right into the gradient: for a large weight that saves as much
        memory again, and the time to fill it and add it.
        """
        if self._cleared and self._rows is None:
            backend.array_module(a).matmul(a, b, out=self._grad)
            self._cleared = False
        else:
            self.grad += a @ b

    def add_rows(self, index: Array, values: Array) -> None:
        """``grad[index[k]] += values[k]`` for every k; a row named twice receives both.

        The first rows after `zero_grad`, if they are few, are kept by themselves: see `grad_rows`.
        """
        few = 2 * len(index) < len(self.data) and backend.array_module(values) is np
        if few and self._cleared and self._rows is None:
            self._rows = backend.sum_rows(index, values)
        else:
            backend.scatter_add(self.grad, index, values)

    def to(self, *, device: str | None = None, dtype: Any = None) -> None:
        """Move or convert data and gradient, in place."""
        for name in ("data", "grad"):
            array = getattr(self, name)
            array = array if device is None else backend.to_device(array, device)
            setattr(self, name, array if dtype is None else array.astype(dtype, copy=False))

    def __repr__(self) -> str:
        return f"Parameter({self.shape}, {self.dtype}, {self.device})"

    # To compute with a parameter is to compute with its .data; who forgets that is told, not what NumPy makes of it.

    __array_ufunc__ = None  # so that NumPy's operators, too, leave it to these

    def __array__(self, *args: Any, **kwargs: Any) -> Any:
        raise TypeError("a Parameter is no array: its numbers are parameter.data, their gradient parameter.grad")

    __getitem__ = __add__ = __radd__ = __sub__ = __rsub__ = __mul__ = __rmul__ = __array__
    __truediv__ = __rtruediv__ = __pow__ = __matmul__ = __rmatmul__ = __neg__ = __array__
