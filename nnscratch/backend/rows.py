"""Fused kernels of rows: a function of the rows of a matrix, paired with one GPU kernel in CUDA C.

See kernels.py for functions of single elements. The kernels here also compute quantities of a whole row.
"""

from __future__ import annotations

import functools
import re
from collections.abc import Callable, Sequence
from types import ModuleType
from typing import Any

import numpy as np

from .device import Array, array_module

C_TYPES = {  # the C types of arrays in the source of a RawKernel
    "float16": "__half", "float32": "float", "float64": "double",
    "int8": "signed char", "int16": "short", "int32": "int", "int64": "long long",
    "uint8": "unsigned char", "uint16": "unsigned short", "uint32": "unsigned int", "uint64": "unsigned long long",
}  # fmt: skip
INDENTED = "\n        "


def fused_rows(inputs: str, outputs: str, rows: dict[str, tuple[str, str, str]], body: str) -> Callable:
    """Decorate a function of the rows of a matrix, such as softmax, so that one kernel computes it on a GPU.

    `rows` defines quantities of a row, such as its maximum. The kernel first computes the quantities of a row, one
    after the other, and then all elements of the row.

    Parameters
    ----------
    inputs, outputs : str
        The function's arguments in order, as for `fused`. The first output is the matrix, of shape (n, columns). Inputs
        are numbers or arrays that broadcast with the matrix, or None, which counts as 0. Declare an output with one
        number for each row as ``raw``, such as ``raw T loss``. `body` then assigns to ``loss[row]``. The matrix may
        have more axes, as in LayerNorm: each vector along the last axis is a row.
    rows : dict
        The keys are the names of the quantities of a row. Each value is a tuple of three C expressions: the number for
        one element, the combination of two such numbers a and b, and the number for an empty row. An expression may
        use the inputs, ``columns``, and the quantities defined before it. The order of combination is arbitrary, but
        it is the same in every run.
    body : str
        The computation for one element, in C. ``row`` and ``column`` are its indices.

    Notes
    -----
    The type T in the expressions is the type of the arrays, or float for arrays of float16. So sums of float16 have the
    precision of float32.

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

    def decorate(function: Callable) -> Callable:
        over_rows = OverRows(inputs, outputs, rows, body, function.__name__)

        @functools.wraps(function)
        def call(*args: Any) -> None:
            if isinstance(args[over_rows.first_output], np.ndarray):
                function(*args)
            else:
                over_rows(args)

        call.gpu_rows = over_rows
        return call

    return decorate


class OverRows:
    """The kernel of a `fused_rows` function. Each block of threads processes one row.

    Only the threads of one block can wait for each other. So a kernel can use a sum of a row, right after it has
    computed the sum, only if one block processes the whole row. Thread i of t threads processes elements i, i + t,
    i + 2t, ... of the row. Neighbouring threads process neighbouring elements, because a GPU reads and writes
    neighbouring numbers together.
    """

    MOST_THREADS = 512  # the largest number of threads in a block
    EACH = 8  # in a block with fewer threads, each thread gets at most this number of elements

    def __init__(self, inputs: str, outputs: str, rows: dict[str, tuple[str, str, str]], body: str, name: str):
        self.parameters = [part.split() for part in f"{inputs}, {outputs}".split(",")]  # like ["raw", "T", "loss"]
        self.first_output = len(inputs.split(","))
        self.rows, self.body, self.name = rows, body, name
        self.kernel = functools.cache(self._kernel)

    def __call__(self, args: Sequence[Any]) -> None:
        matrix = args[self.first_output]
        *_, columns = matrix.shape
        if matrix.size == 0:
            return
        xp, T = array_module(matrix), np.float64 if matrix.dtype == np.float64 else np.float32
        values, dtypes = [np.int64(columns)], []
        for k, (a, (*raw, letter, name)) in enumerate(zip(args, self.parameters, strict=True)):
            if isinstance(a, xp.ndarray):
                if letter == "T" and a.dtype != matrix.dtype or a.dtype.name not in C_TYPES:
                    wanted = f"{matrix.dtype}, like the output" if letter == "T" else "integers"
                    raise TypeError(f"{self.name}: {name} must be {wanted}, got {a.dtype}")
                dtypes.append(a.dtype.name)
                values += self._raw(name, a, matrix) if raw else self._strided(name, a, matrix, k >= self.first_output)
            elif isinstance(a, np.ndarray) or k >= self.first_output:
                raise TypeError(f"{self.name}: {name} must be an array on the GPU, got {type(a).__name__}")
            else:
                dtypes.append(None)
                values.append(T(0 if a is None else a))
        threads = 32
        while threads < self.MOST_THREADS and self.EACH * threads < columns:
            threads *= 2
        self.kernel(xp, tuple(dtypes))((matrix.size // columns,), (threads,), tuple(values))

    def _raw(self, name: str, a: Array, matrix: Array) -> list[Any]:
        if a.size * matrix.shape[-1] != matrix.size or not a.flags.c_contiguous:
            raise ValueError(f"{self.name}: {name} must be contiguous, with one number for each row, got {a.shape}")
        return [a]

    def _strided(self, name: str, a: Array, matrix: Array, is_output: bool) -> list[Any]:
        """Return the array and the distances in memory, in elements, from row to row and from column to column.

        If the array broadcasts along an axis, the distance along this axis is 0, so all positions have the same number.
        """
        *above, columns = matrix.shape
        own_columns, has_rows = (1, *a.shape)[-1], a.shape[:-1] == tuple(above)
        fits = own_columns in (1, columns) and (has_rows or a.size == own_columns)
        if not (a.shape == matrix.shape if is_output else fits):
            raise ValueError(f"{self.name}: {name} of shape {a.shape} does not fit the output of shape {matrix.shape}")
        if has_rows and a.ndim != 2:
            if is_output and not a.flags.c_contiguous:
                raise ValueError(f"{self.name}: {name} has {a.ndim} axes, so it must be C-contiguous")
            a = a.reshape(-1, own_columns)
        steps = a.strides[0] if has_rows else 0, 0 if own_columns == 1 else a.strides[-1]
        return [a, *(np.int64(step // a.itemsize) for step in steps)]

    def _kernel(self, xp: ModuleType, dtypes: tuple[str | None, ...]) -> Callable:
        """Return the kernel for arguments of these dtypes. A number has the dtype None."""
        dtype = dtypes[self.first_output]
        signature, loads, stores = ["const long long columns"], {}, []
        for k, (own, (*raw, letter, name)) in enumerate(zip(dtypes, self.parameters, strict=True)):
            const = "" if k >= self.first_output else "const "
            if own is None:
                signature.append(f"const T {name}")
            elif raw:
                signature.append(f"{C_TYPES[own]} *{name}")
            else:
                signature.append(f"{const}{C_TYPES[own]} *{name}_at, long long {name}_row, long long {name}_column")
                at = f"{name}_at[row * {name}_row + column * {name}_column]"
                loads[name] = f"{const}{'T' if letter == 'T' else 'long long'} {name} = {at};"
                if not const:
                    stores.append(f"{at} = {name};")
        quantities = [self._quantity(name, *expressions, loads) for name, expressions in self.rows.items()]
        source = f"""{"#include <cuda_fp16.h>" if dtype == "float16" else ""}
typedef {"double" if dtype == "float64" else "float"} T;

extern "C" __global__ void __launch_bounds__({self.MOST_THREADS}) {self.name}({", ".join(signature)}) {{
    const long long row = blockIdx.x;
    __shared__ T part[{self.MOST_THREADS}];  // one number for each thread
{"".join(quantities)}
    for (long long column = threadIdx.x; column < columns; column += blockDim.x) {{
        {INDENTED.join(loads.values())}
        {self.body}
        {INDENTED.join(stores)}
    }}
}}"""
        return xp.RawKernel(source, self.name)

    @staticmethod
    def _quantity(name: str, each: str, combine: str, start: str, loads: dict[str, str]) -> str:
        """Return the code that computes one quantity of the row. At the end, every thread has the result.

        The threads combine their results in pairs, the results of the pairs in pairs, and so on. The number of threads
        is a power of 2, so this always ends with one number. Which threads form a pair does not depend on their speed,
        so every run gives the same result.
        """
        used = [load for k, load in loads.items() if re.search(rf"\b{k}\b", each)]
        return f"""
    T {name} = {start};
    #pragma unroll 4  // read four elements before the first one arrives
    for (long long column = threadIdx.x; column < columns; column += blockDim.x) {{
        {INDENTED.join(used)}
        const T a = {name}, b = {each};
        {name} = {combine};
    }}
    part[threadIdx.x] = {name};
    for (int half = blockDim.x / 2; half > 0; half /= 2) {{
        __syncthreads();  // wait until all threads have written
        if (threadIdx.x < half) {{
            const T a = part[threadIdx.x], b = part[threadIdx.x + half];
            part[threadIdx.x] = {combine};
        }}
    }}
    __syncthreads();
    {name} = part[0];
    __syncthreads();  // wait until all threads have read: the next quantity uses `part` again
"""
