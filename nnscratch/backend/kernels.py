"""Fused kernels: a function of NumPy arrays, and above it, in C, the one kernel that does the same on a GPU.

A GPU starts a kernel for every operation, some microseconds each, and each reads and writes its whole arrays. Where a
few small operations follow each other thousands of times, they are better one kernel.
"""

from __future__ import annotations

import contextlib
import contextvars
import functools
import re
from collections.abc import Callable, Iterator, Sequence
from types import ModuleType
from typing import Any

import numpy as np

from .device import Array, array_module

_GO: contextvars.ContextVar[Array | None] = contextvars.ContextVar("go", default=None)


@contextlib.contextmanager
def only_if(go: Array) -> Iterator[None]:
    """Inside, a function that is `fused` changes arrays only if `go` is not 0: the GPU looks, and nobody waits for it.

    Parameters
    ----------
    go : int32 array, shape (1,)
        On the device of what is to be changed.

    Examples
    --------
    >>> import numpy as np
    >>> @fused("T a", "T x", "x *= a;")
    ... def scale(a, x):
    ...     x *= a
    >>> x = np.ones(2)
    >>> with only_if(np.array([0], dtype=np.int32)):
    ...     scale(3.0, x)
    >>> print(x)
    [1. 1.]
    """
    token = _GO.set(go)
    try:
        yield
    finally:
        _GO.reset(token)


def fused(inputs: str, outputs: str, body: str) -> Callable[[Callable], Callable]:
    """Decorates a function of NumPy arrays that works element by element: on a GPU one kernel does all of it at once.

    A step of many small operations is bound, on a GPU, by the time it takes to ask for each. The kernel's source stands
    above the NumPy version, with the same names; tests hold the two equal.

    Parameters
    ----------
    inputs, outputs : str
        The function's arguments in order, as ``cupy.ElementwiseKernel`` takes them: ``"T x, T a"``. Outputs may be read
        before they are written. ``T z[4]`` is one argument of shape (4, ...), and z0, z1, z2, z3 in the kernel.
        ``raw`` ones are whole arrays in the kernel: of ``raw float64 a``, ``a[0]`` is the first number.
    body : str
        What to do with one element of each, in C.

    Notes
    -----
    In the place of arrays the function may be given lists of arrays, all of one length: then it is done to the first of
    each, the second of each, and so on, with the same numbers. On a GPU that too is one kernel, however many they are:
    so an optimiser steps all of a model's parameters.

    Examples
    --------
    >>> import numpy as np
    >>> @fused("T x, T a", "T y", "y = y + a * x;")
    ... def add_scaled(x, a, y):
    ...     y += a * x
    >>> y = np.ones(2)
    >>> add_scaled(np.array([1.0, 2.0]), 10, y)
    >>> print(y)
    [11. 21.]
    """
    written = [_parts(side) for side in (inputs, outputs)]
    counts = [count for side in written for _, count in side]

    def decorate(function: Callable) -> Callable:
        @functools.cache
        def kernel(xp: ModuleType, looks: bool = False) -> Callable:
            ins, outs = (", ".join(part for parts, _ in side for part in parts) for side in written)
            if looks:
                return xp.ElementwiseKernel(f"{GO}, {ins}", outs, f"{LOOK}\n{body}", f"{function.__name__}_only_if")
            return xp.ElementwiseKernel(ins, outs, body, function.__name__)

        over_lists = OverLists(inputs, outputs, body, function.__name__)

        @functools.wraps(function)
        def call(*args: Any) -> None:
            last, go = args[-1], _GO.get()
            if isinstance(last, np.ndarray):
                if go is None or go[0]:
                    function(*args)
            elif type(last) is list and all(over_lists.can_take(a) for a in args if isinstance(a, list)):
                over_lists(args, go)
            elif type(last) is list:
                listed = [isinstance(a, list) for a in args]
                for k in range(len(last)):
                    call(*[a[k] if is_list else a for a, is_list in zip(args, listed, strict=True)])
            else:
                parts = [part for a, count in zip(args, counts, strict=True) for part in (a if count else (a,))]
                kernel(array_module(last), go is not None)(*(() if go is None else (go,)), *parts)

        call.gpu_kernel, call.gpu_kernel_over_lists = kernel, over_lists.kernel
        return call

    return decorate


GO, LOOK = "raw int32 go", "if (!go[0]) return;"  # for only_if
C_FLOATS = {"float16": "float16", "float32": "float", "float64": "double"}  # the first is a class of CuPy's


class OverLists:
    """One of the functions that are `fused`, done to lists of arrays by one kernel.

    A kernel takes a fixed number of arrays. This one takes a table of where arrays begin instead, and what lies behind
    the last number of each when all are laid end to end: so it finds, for its number i, the array and the place in it.
    The table goes to the GPU when an array is another than at the call before, not at every call.
    """

    def __init__(self, inputs: str, outputs: str, body: str, name: str):
        ins, outs = ([part.split() for part in side.split(",")] for side in (inputs, outputs))
        self.names, self.outs = [words[-1] for words in (*ins, *outs)], [words[-1] for words in outs]
        self.raw = {words[-1]: " ".join(words) for words in (*ins, *outs) if words[0] == "raw"}  # one array for all
        self.body, self.name = body, name
        self.kernel = functools.cache(self._kernel)
        self._tables: dict[str, tuple[Any, Sequence[Array]]] = {}

    @staticmethod
    def can_take(arrays: list[Array]) -> bool:
        return all(not isinstance(a, np.ndarray) and a.flags.c_contiguous for a in arrays)

    def __call__(self, args: Sequence[Any], go: Array | None = None) -> None:
        lists, others = [a for a in args if isinstance(a, list)], [a for a in args if not isinstance(a, list)]
        for arrays in zip(*lists, strict=True):
            if len({(a.size, a.dtype) for a in arrays}) > 1:
                raise ValueError(f"{self.name}: {[(a.shape, a.dtype.name) for a in arrays]} do not fit together")
        listed, looks = tuple(isinstance(a, list) for a in args), () if go is None else (go,)
        for dtype in {a.dtype.name for a in lists[0]}:  # mostly one
            arrays = [[a for a in several if a.dtype == dtype] for several in lists]
            sizes, xp = [a.size for a in arrays[0]], array_module(arrays[0][0])
            kernel = self.kernel(xp, dtype, listed, go is not None)
            begin, end = self.table(xp, dtype, arrays, sizes)
            kernel(*looks, end, len(sizes), *others, begin, size=sum(sizes))

    def table(self, xp: ModuleType, dtype: str, arrays: list[list[Array]], sizes: list[int]) -> Sequence[Array]:
        key = xp, [[a.data.ptr for a in several] for several in arrays], sizes
        known, table = self._tables.get(dtype, (None, ()))
        if known != key:
            table = [xp.asarray(np.array(part, dtype=np.int64).ravel()) for part in (key[1], np.cumsum(sizes))]
            self._tables[dtype] = key, table
        return table

    def _kernel(self, xp: ModuleType, dtype: str, listed: tuple[bool, ...], looks: bool = False) -> Callable:
        parameters = list(zip(self.names, listed, strict=True))
        arrays = [name for name, is_list in parameters if is_list]
        lines = [
            f"typedef {C_FLOATS[dtype]} T;",
            *([LOOK] if looks else []),
            "long long own = 0, behind = count - 1;  // the array that number i is in: the first to end behind it",
            "while (own < behind) {",
            "    const long long middle = (own + behind) / 2;",
            "    if (end[middle] > i) behind = middle; else own = middle + 1;",
            "}",
            "const long long place = own ? i - end[own - 1] : i;",
            *(f"T *at_{name} = (T *)begin[{k} * count + own] + place;" for k, name in enumerate(arrays)),
            *(f"T {name} = *at_{name};" for name in arrays),
            self.body,
            *(f"*at_{name} = {name};" for name in self.outs),
        ]
        others = [self.raw.get(name, f"{dtype} {name}") for name, is_list in parameters if not is_list]
        ins = ", ".join(
            [*([GO] if looks else []), "raw int64 end", "int64 count", *others]
        )  # the output is what `begin` points to
        return xp.ElementwiseKernel(ins, "raw int64 begin", "\n".join(lines), f"{self.name}_over_lists")


def _parts(arguments: str) -> list[tuple[list[str], int]]:
    """For each argument how the kernel calls its parts, and how many there are, 0 for one that is not cut.

    Examples
    --------
    >>> _parts("T x, T z[2]")
    [(['T x'], 0), (['T z0', 'T z1'], 2)]
    """
    found = []
    for argument in arguments.split(","):
        name, _, count = argument.strip().partition("[")
        cut = int(count[:-1]) if count else 0
        found.append(([f"{name}{k}" for k in range(cut)] if cut else [name], cut))
    return found


def fused_rows(inputs: str, outputs: str, rows: dict[str, tuple[str, str, str]], body: str) -> Callable:
    """Decorates a function that works on a matrix row by row, as softmax does: on a GPU a few kernels do all of it.

    First one kernel for each number that a row has as a whole, as its largest, then one for all elements.

    Parameters
    ----------
    inputs, outputs : str
        The function's arguments in order, as for `fused`. The first output is the matrix, (n, columns); inputs are
        numbers or arrays that broadcast with it, or None, which counts as 0. An output of one number for each row is
        ``raw``, and in the kernel an array: ``raw T loss`` is written as ``loss[row]``.
    rows : dict
        The name of each number that a row has, and how it is computed from what stands before it, in C: of every
        element ``each``; of two of them, a and b, ``combine``; and what an empty row would give. The order of combining
        is any, but always the same.
    body : str
        What to do with one element, in C, where ``row`` and ``column`` say which.

    Examples
    --------
    >>> import numpy as np
    >>> @fused_rows("T x", "T p", {"total": ("x", "a + b", "0")}, "p = x / total;")
    ... def shares(x, p):
    ...     np.divide(x, x.sum(axis=1, keepdims=True), out=p)
    >>> x = np.array([[1.0, 3.0], [2.0, 0.0]])
    >>> shares(x, x)
    >>> print(x)
    [[0.25 0.75]
     [1.   0.  ]]
    """
    types = {part.split()[-1]: part.strip() for part in f"{inputs}, {outputs}".split(",")}
    split, rest = len(inputs.split(",")), "const long long row = i / columns, column = i % columns;\n"

    def decorate(function: Callable) -> Callable:
        @functools.cache
        def kernels(xp: ModuleType) -> tuple[dict[str, tuple[list[str], Callable]], Callable]:
            known, reductions = dict(types), {}
            for name, (each, combine, start) in rows.items():
                used = [k for k in known if re.search(rf"\b{k}\b", each)]
                declared, title = ", ".join(known[k] for k in used), f"{function.__name__}_{name}"
                reduction = xp.ReductionKernel(declared, f"T {name}", each, combine, f"{name} = a", start, title)
                reductions[name], known[name] = (used, reduction), f"T {name}"
            ins = [part for part in inputs.split(",")] + [f"T {name}" for name in rows] + ["int64 columns"]
            return reductions, xp.ElementwiseKernel(", ".join(ins), outputs, rest + body, function.__name__)

        @functools.wraps(function)
        def call(*args: Any) -> None:
            matrix = args[split]
            if isinstance(matrix, np.ndarray):
                function(*args)
                return
            xp = array_module(matrix)
            args = [xp.zeros(1, dtype=matrix.dtype) if a is None else a for a in args]
            known, (reductions, elements) = dict(zip(types, args, strict=True)), kernels(xp)
            for name, (used, reduction) in reductions.items():
                known[name] = reduction(*(known[k] for k in used), axis=1, keepdims=True)
            elements(*args[:split], *(known[name] for name in rows), matrix.shape[1], *args[split:])

        call.gpu_kernels = kernels
        return call

    return decorate
