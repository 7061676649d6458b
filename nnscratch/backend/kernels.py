"""Fused kernels: a function of NumPy arrays, paired with one GPU kernel in C that computes the same result.

Without fusing, a GPU starts one kernel for every NumPy operation. Each start takes some microseconds, and each kernel
reads and writes whole arrays. If one kernel computes a sequence of operations, it is started once. It reads each input
once and writes each output once.
"""

from __future__ import annotations

import contextlib
import contextvars
import functools
from collections.abc import Callable, Iterator, Sequence
from types import ModuleType
from typing import Any

import numpy as np

from .device import Array, array_module

_GO: contextvars.ContextVar[Array | None] = contextvars.ContextVar("go", default=None)


@contextlib.contextmanager
def only_if(go: Array) -> Iterator[None]:
    """Make `fused` functions change arrays only if `go` is not 0, inside a ``with`` block.

    On a GPU, the kernel itself reads `go`, so the CPU does not wait for it.

    Parameters
    ----------
    go : int32 array, shape (1,)
        On the device of the arrays that the functions change.

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


def condition() -> Array | None:
    """Return the array `go` of the innermost block of `only_if`, or None outside of such blocks."""
    return _GO.get()


def fused(inputs: str, outputs: str, body: str) -> Callable[[Callable], Callable]:
    """Decorate an elementwise function of NumPy arrays, so that one kernel computes it on a GPU.

    The kernel uses the same names as the NumPy function, and tests compare the two.

    Parameters
    ----------
    inputs, outputs : str
        The function's arguments in order, in the notation of ``cupy.ElementwiseKernel``: ``"T x, T a"``. The function
        may read an output before it writes it. ``T z[4]`` is one argument of shape (4, ...), whose parts are called z0,
        z1, z2 and z3 in the kernel. A ``raw`` argument is a whole array in the kernel: ``a[0]`` is the first element of
        ``raw float64 a``.
    body : str
        The computation for one element of each array, in C.

    Notes
    -----
    Arguments may be lists of arrays, all of the same length, instead of arrays. Then the function is applied to the
    first array of each list, to the second array of each list, and so on. The other arguments stay the same. On a GPU
    one kernel processes any number of arrays. In this way, an optimiser updates all parameters of a model.

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
    sides = [_parts(side) for side in (inputs, outputs)]
    counts = [count for side in sides for _, count in side]

    def decorate(function: Callable) -> Callable:
        @functools.cache
        def kernel(xp: ModuleType, conditional: bool = False) -> Callable:
            ins, outs = (", ".join(part for parts, _ in side for part in parts) for side in sides)
            if conditional:
                name = f"{function.__name__}_only_if"
                return xp.ElementwiseKernel(f"{GO}, {ins}", outs, f"{RETURN_UNLESS_GO}\n{body}", name)
            return xp.ElementwiseKernel(ins, outs, body, function.__name__)

        over_lists = OverLists(inputs, outputs, body, function.__name__)

        @functools.wraps(function)
        def call(*args: Any) -> None:
            last, go = args[-1], condition()
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


GO, RETURN_UNLESS_GO = "raw int32 go", "if (!go[0]) return;"  # the argument and first line of a kernel for only_if
C_FLOATS = {"float16": "float16", "float32": "float", "float64": "double"}  # CuPy defines the C++ class float16


class OverLists:
    """One kernel that applies a `fused` function to lists of arrays.

    A kernel takes a fixed number of arrays. This kernel takes tables instead: ``begin`` holds the address of every
    array, and ``end[k]`` is the total number of elements of arrays 0..k. Thread i searches ``end`` for the array that
    holds element i. The tables are copied to the GPU only if the arrays differ from those of the last call.
    """

    def __init__(self, inputs: str, outputs: str, body: str, name: str):
        ins, outs = ([part.split() for part in side.split(",")] for side in (inputs, outputs))
        self.names, self.outs = [words[-1] for words in (*ins, *outs)], [words[-1] for words in outs]
        self.raw = {words[-1]: " ".join(words) for words in (*ins, *outs) if words[0] == "raw"}
        self.body, self.name = body, name
        self.kernel = functools.cache(self._kernel)
        self._tables: dict[str, tuple[Any, Sequence[Array]]] = {}

    @staticmethod
    def can_take(arrays: list[Array]) -> bool:
        """Return True if all arrays are C-contiguous GPU arrays, which the kernel needs."""
        return all(not isinstance(a, np.ndarray) and a.flags.c_contiguous for a in arrays)

    def __call__(self, args: Sequence[Any], go: Array | None = None) -> None:
        lists, others = [a for a in args if isinstance(a, list)], [a for a in args if not isinstance(a, list)]
        for arrays in zip(*lists, strict=True):
            if len({(a.size, a.dtype) for a in arrays}) > 1:
                different = [(a.shape, a.dtype.name) for a in arrays]
                raise ValueError(f"{self.name}: expected arrays of equal size and dtype, got {different}")
        listed, condition = tuple(isinstance(a, list) for a in args), () if go is None else (go,)
        for dtype in {a.dtype.name for a in lists[0]}:  # usually all arrays have the same dtype
            arrays = [[a for a in several if a.dtype == dtype] for several in lists]
            sizes, xp = [a.size for a in arrays[0]], array_module(arrays[0][0])
            kernel = self.kernel(xp, dtype, listed, go is not None)
            begin, end = self.table(xp, dtype, arrays, sizes)
            kernel(*condition, end, len(sizes), *others, begin, size=sum(sizes))

    def table(self, xp: ModuleType, dtype: str, arrays: list[list[Array]], sizes: list[int]) -> Sequence[Array]:
        """Return the tables ``begin`` and ``end`` on the GPU."""
        key = xp, [[a.data.ptr for a in several] for several in arrays], sizes
        known, table = self._tables.get(dtype, (None, ()))
        if known != key:
            table = [xp.asarray(np.array(part, dtype=np.int64).ravel()) for part in (key[1], np.cumsum(sizes))]
            self._tables[dtype] = key, table
        return table

    def _kernel(self, xp: ModuleType, dtype: str, listed: tuple[bool, ...], conditional: bool = False) -> Callable:
        parameters = list(zip(self.names, listed, strict=True))
        arrays = [name for name, is_list in parameters if is_list]
        lines = [
            f"typedef {C_FLOATS[dtype]} T;",
            *([RETURN_UNLESS_GO] if conditional else []),
            "long long low = 0, high = count - 1;  // binary search for the first array with end > i",
            "while (low < high) {",
            "    const long long middle = (low + high) / 2;",
            "    if (end[middle] > i) high = middle; else low = middle + 1;",
            "}",
            "const long long offset = low ? i - end[low - 1] : i;  // of element i in that array",
            *(f"T *at_{name} = (T *)begin[{k} * count + low] + offset;" for k, name in enumerate(arrays)),
            *(f"T {name} = *at_{name};" for name in arrays),
            self.body,
            *(f"*at_{name} = {name};" for name in self.outs),
        ]
        others = [self.raw.get(name, f"{dtype} {name}") for name, is_list in parameters if not is_list]
        ins = ", ".join([*([GO] if conditional else []), "raw int64 end", "int64 count", *others])
        # `begin` is declared as the output because the kernel writes to the arrays at the addresses in `begin`.
        return xp.ElementwiseKernel(ins, "raw int64 begin", "\n".join(lines), f"{self.name}_over_lists")


def _parts(arguments: str) -> list[tuple[list[str], int]]:
    """Return, for each argument, the declarations of its parts in the kernel, and the number of parts.

    The number is 0 for an argument without ``[...]``.

    Examples
    --------
    >>> _parts("T x, T z[2]")
    [(['T x'], 0), (['T z0', 'T z1'], 2)]
    """
    found = []
    for argument in arguments.split(","):
        name, _, count = argument.strip().partition("[")
        parts = int(count[:-1]) if count else 0
        found.append(([f"{name}{k}" for k in range(parts)] if parts else [name], parts))
    return found
