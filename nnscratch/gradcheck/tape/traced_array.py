"""TracedArray: a NumPy array that reports every operation on it to the running tape."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from numpy import asarray  # NumPy's own function, which is faster than the version in `traced_conversions`

from ..widening import WideArray

FUNCTIONS = {  # the tape records a call of such a function as one operation
    *(np.dot, np.einsum, np.where, np.tensordot, np.inner, np.outer, np.vdot, np.kron, np.cross, np.trace),
    *(np.convolve, np.correlate, np.pad, np.cumsum, np.cumprod, np.interp, np.repeat, np.take, np.roll),
    *(np.linalg.inv, np.linalg.solve, np.linalg.det, np.linalg.norm, np.linalg.cholesky, np.linalg.pinv),
}
STACKS = {np.concatenate, np.stack, np.vstack, np.hstack, np.dstack, np.column_stack}  # their argument is a list
running: list[Any] = []  # the tapes that are running, in the order in which they started


class TracedArray(WideArray):
    """An array that reports each operation on it to the running tape."""

    __array_priority__ = 1000.0  # if operands have different classes, NumPy returns the class of the highest priority

    def __array_ufunc__(self, ufunc: Any, method: str, *inputs: Any, out: Any = None, **kwargs: Any) -> Any:
        if method == "__call__" and out is None and not kwargs and ufunc.nout == 1:  # a fast path for the usual case
            return apply_operation(ufunc.__name__, ufunc, inputs, None, kwargs)
        into = None if out is None else tuple(as_plain(o) for o in out)
        kwargs = {name: as_plain(value) for name, value in kwargs.items()}  # the mask where= may be traced
        function = getattr(ufunc, method)
        if method not in ("__call__", "reduce") or ufunc.nout > 1 or kwargs.get("where", True) is not True:
            extra = {} if into is None else {"out": into}
            result = function(*(as_plain(x) for x in inputs), **kwargs, **extra)
            return result if out is None else (out[0] if len(out) == 1 else out)

        def compute(*operands: Any) -> Any:
            return function(*operands, **kwargs)

        name = ufunc.__name__ + ("" if method == "__call__" else ".reduce")
        result = apply_operation(name, compute, inputs, None if into is None else into[0], kwargs)
        return result if out is None else out[0]

    def __array_function__(self, func: Any, types: Any, args: Any, kwargs: Any) -> Any:
        if func is np.where and len(args) != 3:
            return func(*(as_plain(a) for a in args))
        if func in STACKS and not args:  # np.stack(arrays=parts)
            name = "arrays" if "arrays" in kwargs else "tup"
            args, kwargs = (kwargs[name],), {k: v for k, v in kwargs.items() if k != name}
        if func in STACKS and "out" not in kwargs and isinstance(args[0], (tuple, list)):
            rest = args[1:]
            return apply_operation("concatenate", lambda *x: func(x, *rest, **kwargs), tuple(args[0]), None, kwargs)
        if func not in FUNCTIONS or "out" in kwargs:
            found = np.ndarray.__array_function__(self, func, types, args, kwargs)
            return found.view(TracedArray) if type(found) is np.ndarray and found.dtype.kind == "f" else found
        return apply_operation(func.__name__, lambda *operands: func(*operands, **kwargs), args, None, kwargs)

    def dot(self, other: Any, out: Any = None) -> Any:
        return np.dot(self, other)

    def cumsum(self, axis: Any = None, dtype: Any = None, out: Any = None) -> Any:
        return np.cumsum(self, axis)

    def repeat(self, repeats: Any, axis: Any = None) -> Any:
        return np.repeat(self, repeats, axis)

    def take(self, indices: Any, axis: Any = None, out: Any = None, mode: Any = "raise") -> Any:
        return np.take(self, indices, axis, mode=mode) if out is None else super().take(indices, axis, out, mode)

    def cumprod(self, axis: Any = None, dtype: Any = None, out: Any = None) -> Any:
        return np.cumprod(self, axis)

    def __setitem__(self, index: Any, value: Any) -> None:
        mask = as_plain(index) if isinstance(index, np.ndarray) else None
        if running and mask is not None and mask.dtype == bool and mask.shape == self.shape and np.ndim(value) == 0:
            apply_operation("where", lambda x: np.where(mask, as_plain(value), x), (self,), as_plain(self), {})
        else:
            super().__setitem__(index, value)

    def __getitem__(self, index: Any) -> Any:
        parts = index if isinstance(index, tuple) else (index,)
        if not running or not any(isinstance(i, (np.ndarray, list, range)) for i in parts):
            found = super().__getitem__(index)
            # Return one element, b[k], as a traced array of shape (), because a NumPy number would not be traced.
            return super().__getitem__((*parts, ...)) if isinstance(found, np.floating) else found
        return apply_operation("lookup", lambda x: x[index], (self,), None, {"index": index})


def as_plain(x: Any) -> Any:
    """Return a traced array, or a `WideArray`, as a plain NumPy array. Return any other value unchanged."""
    return x.view(np.ndarray) if isinstance(x, WideArray) else x


def apply_operation(name: str, compute: Callable, operands: tuple, into: Any, kwargs: dict) -> Any:
    """Compute one operation with the running tape, and return the result as a traced array.

    If `into` is an array, write the result into it.
    """
    plain = [x.view(np.ndarray) if isinstance(x, WideArray) else x for x in operands]
    result = running[-1].operation(name, compute, plain, kwargs) if running else compute(*plain)
    if into is not None:
        np.copyto(into, result, casting="unsafe")
        return into
    return asarray(result).view(TracedArray) if isinstance(result, (np.ndarray, np.floating)) else result
