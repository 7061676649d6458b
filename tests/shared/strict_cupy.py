"""A strict stand-in for CuPy: GPU code tested on a machine without a GPU.

``with strict_cupy.installed():`` puts a module named ``cupy`` where Python looks for one, so the package runs with
``device="cuda"`` as it would with CuPy; nothing in the package knows of it. Its arrays live in NumPy's hands, and are
stricter than CuPy's own:

- An array here is no NumPy array, does not turn into one unasked, and an operation that is given both is a TypeError.
  NumPy's functions refuse it too: a forgotten ``np.`` in a layer shows. (CuPy passes ``np.tanh(x)`` on to itself.)
- Only what CuPy has can be called, with the arguments that CuPy takes: cupy_api.txt.
- Where CuPy differs from NumPy (https://docs.cupy.dev/en/stable/user_guide/difference.html) it differs likewise.
  Reductions return arrays of no axes, not numbers. The result of an operation is in C order, whatever its arguments
  were. Writing twice to one place by an array of indices, which CuPy leaves undefined, is an error here. ``ufunc.at``
  is there for few functions. Kinds of index CuPy would convert and copy to the GPU (lists, NumPy's arrays) are refused.
- What makes the host wait for the GPU is counted (``float(x)``, ``if x > 0``, ``x.get()``, ``x[mask]``), and so is
  every copy to it, and every launch of a kernel: ``strict_cupy.counted()``. Sorting counts as a wait: CuPy 13 sorts by
  Thrust's ``par``, which waits; CuPy 14 by its ``par_nosync``, which does not.
- Launches include the copies that CuPy makes because of the order of an array in memory: for a matrix product
  (`launches_of_product`), and for a reshape that cannot be a view.
- While a stream records a graph, only kernels, operations with ``out=`` and views are allowed. They run when the graph
  is launched, and this is one launch.
- ElementwiseKernel and RawKernel compile the very source that a GPU would get, with the machine's C compiler, and run
  it.
"""

from __future__ import annotations

import contextlib
import ctypes
import functools
import hashlib
import re
import shutil
import subprocess
import sys
import tempfile
import threading
import types
from collections.abc import Callable, Iterator
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from nnscratch import backend
from nnscratch.backend import graphs

AT = {"add", "subtract", "maximum", "minimum", "bitwise_and", "bitwise_or", "bitwise_xor"}
WAITS = {"nonzero", "flatnonzero", "argwhere", "unique", "bincount", "compress", "extract",
         "array_repr", "array_str", "asnumpy", "median", "percentile", "quantile", "choose", "put",
         "tobytes", "tofile", "dump", "dumps", "sort", "argsort", "lexsort"}  # fmt: skip
SORTS = {"sort", "argsort", "lexsort"}
VIEWS = {"reshape", "transpose", "swapaxes", "moveaxis", "ravel", "squeeze", "expand_dims", "broadcast_to",
         "diagonal", "view", "split", "asarray", "ascontiguousarray"}  # fmt: skip
FROM_HOST = {"array", "asarray"}
ARRAYS_OF_BOOL = {"allclose", "array_equal", "array_equiv"}  # NumPy returns a bool, and CuPy an array without axes
LAUNCHES = {"mean": 2, "empty": 0, "empty_like": 0}  # mean: a sum by CUB, and a division. All others are one launch


@dataclass
class Counts:
    """The numbers of waits for the GPU (with those of sorting), copies to it, kernel launches, and sorts."""

    waits: int = 0
    copies: int = 0
    launches: int = 0
    sorts: int = 0


COUNTS = Counts()


@contextlib.contextmanager
def counted() -> Iterator[Counts]:
    """Count what happens inside: ``with counted() as counts: ...; counts.waits``."""
    before, counts = Counts(**vars(COUNTS)), Counts()
    yield counts
    for field in fields(Counts):
        setattr(counts, field.name, getattr(COUNTS, field.name) - getattr(before, field.name))


def read_api() -> dict[str, dict[str, list[str] | None]]:
    """Return {kind: {name: arguments}}, with None if the arguments are not known."""
    api: dict[str, dict[str, list[str] | None]] = {
        kind: {} for kind in ("ufunc", "function", "constant", "method", "attribute")
    }
    for line in (Path(__file__).parent / "cupy_api.txt").read_text().splitlines():
        if not line.startswith("#"):
            key, arguments = line.split(": ")
            kind, name = key.split()
            free = arguments.split()[-1] in ("?", "args", "kwargs", "kwds")
            api[kind][name] = None if free else [a for a in arguments.split() if a != "-"]
    return api


API = read_api()


def mixed(where: str, value: Any) -> TypeError:
    return TypeError(f"{where}: Unsupported type {type(value)} beside an array on the GPU")


def inside(where: str, value: Any, from_host: bool = False) -> Any:
    """Return `value` with each stand-in array replaced by its NumPy array; raise for a NumPy array."""
    if isinstance(value, ndarray):
        return value._a
    if isinstance(value, (tuple, list)):
        return type(value)(inside(where, v, from_host) for v in value)
    if isinstance(value, np.ndarray) and not from_host:
        raise mixed(where, value)
    return value


def outside(value: Any, *arguments: Any) -> Any:
    """Convert a result of NumPy to what CuPy returns. An array that was an argument stays the same object."""
    if isinstance(value, (tuple, list)):
        return type(value)(outside(v, *arguments) for v in value)
    if isinstance(value, np.generic):
        return ndarray(np.array(value))
    if not isinstance(value, np.ndarray):
        return value
    base = None
    for a in arguments:
        if isinstance(a, ndarray):
            if a._a is value:
                return a
            if value.base is not None and (value.base is a._a or value.base is a._a.base):
                base = a if a.base is None else a.base
    return ndarray(value, base)


def is_copy(result: Any, *arguments: Any) -> bool:
    """Return True if a function of VIEWS could not return a view of the array that it was given."""
    own = next((a._a for a in arguments if isinstance(a, ndarray)), None)
    return own is not None and isinstance(result, np.ndarray) and not np.may_share_memory(result, own)


def check_call(kind: str, name: str, args: tuple, kwargs: dict) -> None:
    """Raise unless CuPy's function `name` accepts these arguments."""
    taken = API[kind][name]
    if taken is None:
        return
    unknown = sorted(set(kwargs) - set(taken))
    if unknown or (kind == "function" and len(args) > len(taken)):
        raise TypeError(f"CuPy's {name} takes {', '.join(taken)}; got {len(args)} positional ones and {unknown}")


def has_array(value: Any) -> bool:
    return isinstance(value, ndarray) or (isinstance(value, (tuple, list)) and any(map(has_array, value)))


def call(kind: str, name: str, function: Any, args: tuple, kwargs: dict, own: ndarray | None = None) -> Any:
    """Call NumPy's `function` with the rules of CuPy's function `name`."""
    check_call(kind, name, args, kwargs)
    if name == "matmul":
        Stream.refuse("a product by CuPy")
    elif kind == "ufunc" and kwargs.get("out") is not None:
        if Stream.records(lambda: call(kind, name, function, args, kwargs)):
            return kwargs["out"]
    elif name not in VIEWS:
        Stream.refuse(name)
    where, host = f"cupy.{name}", kind == "function" and name in FROM_HOST
    for value in (*args, kwargs.get("out")):
        if kind == "ufunc" and isinstance(value, (list, np.ndarray)):
            raise mixed(where, value)
    given = inside(where, args, host), {k: inside(where, v, host) for k, v in kwargs.items()}
    COUNTS.waits += name in WAITS
    COUNTS.sorts += name in SORTS
    COUNTS.copies += host and not has_array(args[0])
    result = function(*given[0], **given[1])
    COUNTS.launches += LAUNCHES.get(name, 1) if name not in VIEWS else is_copy(result, own, *args)
    if name in ("empty", "empty_like") and result.dtype.kind == "f":
        result.fill(12345)  # arbitrary contents: code must not rely on zeros, and a NaN could look like a result
    if name in ARRAYS_OF_BOOL:
        result = np.array(result)
    if kind == "ufunc" and kwargs.get("out") is None and isinstance(result, np.ndarray):
        result = np.ascontiguousarray(result).reshape(result.shape)
    return outside(result, *([own] if own is not None else []), *args, *kwargs.values())


class Flags:
    """The flags of an array. CuPy has only these: its arrays are never read-only, so `writeable` is missing."""

    def __init__(self, flags: Any):
        self.c_contiguous, self.f_contiguous, self.owndata = flags.c_contiguous, flags.f_contiguous, flags.owndata
        self.fnc, self.forc = flags.fnc, flags.forc

    def __getitem__(self, name: str) -> bool:
        if name not in ("C_CONTIGUOUS", "F_CONTIGUOUS", "OWNDATA"):
            raise KeyError(f"{name} is not defined for cupy.ndarray.flags")
        return getattr(self, name.lower())


class ndarray:
    """The array of the stand-in. Only this file uses its NumPy array `_a`."""

    __slots__ = ("_a", "base", "__weakref__")  # as CuPy's, it has no other attributes
    __array_ufunc__ = None  # NumPy's operators call ours
    __hash__ = None

    def __init__(self, a: np.ndarray, base: ndarray | None = None):
        self._a, self.base = a, base

    # --- operations that raise, and operations that are counted

    def __array__(self, *args: Any, **kwargs: Any) -> np.ndarray:
        raise TypeError("Implicit conversion to a NumPy array is not allowed. Use .get() to make one explicitly.")

    def __array_function__(self, function: Any, *args: Any) -> Any:
        raise TypeError(f"numpy.{function.__name__} was given an array on the GPU")

    def get(self) -> np.ndarray:
        Stream.refuse("a copy to the host")
        COUNTS.waits += 1
        return self._a.copy()

    def item(self) -> Any:
        return self.get().item()

    def tolist(self) -> Any:
        return self.get().tolist()

    def __float__(self) -> float:
        return float(self.get())

    def __int__(self) -> int:
        return int(self.get())

    def __bool__(self) -> bool:
        return bool(self.get())

    def __repr__(self) -> str:
        return f"strict_cupy.{self.get()!r}"

    def __format__(self, form: str) -> str:
        return format(self.get()[()], form)

    def __len__(self) -> int:
        return len(self._a)

    def __iter__(self) -> Iterator[ndarray]:
        return (self[k] for k in range(len(self)))

    # --- indices

    def _index(self, index: Any) -> Any:
        for part in index if isinstance(index, tuple) else (index,):
            if isinstance(part, (list, np.ndarray)):
                raise TypeError(f"an index of type {type(part)} would be copied to the GPU: make it an array there")
        return inside("index", index)

    def __getitem__(self, index: Any) -> ndarray:
        parts = index if isinstance(index, tuple) else (index,)
        COUNTS.waits += any(isinstance(p, ndarray) and p.dtype.kind == "b" for p in parts)
        COUNTS.launches += any(isinstance(p, ndarray) for p in parts)
        return outside(self._a[self._index(index)], self)

    def __setitem__(self, index: Any, value: Any) -> None:
        Stream.refuse("x[...] = value")
        if isinstance(value, (list, tuple, np.ndarray)):
            raise mixed("x[...] = value", value)
        own = self._index(index)
        if any(isinstance(p, np.ndarray) and p.dtype.kind != "b" for p in (own if isinstance(own, tuple) else (own,))):
            times = np.zeros(self._a.shape, dtype=int)
            np.add.at(times, own, 1)
            if times.size and times.max() > 1:
                raise ValueError("x[indices] = value writes twice to one place: which value stays is undefined")
        COUNTS.launches += not self._is_view(own, value)  # x[rows] += y has written to x[rows] already
        self._a[own] = inside("x[...] = value", value)

    def _is_view(self, index: Any, value: Any) -> bool:
        """Return True if `value` is the view ``self[index]``. CuPy does not copy a view to itself."""
        if not isinstance(value, ndarray):
            return False
        own, other = (a.__array_interface__ for a in (self._a[index], value._a))
        return all(own[name] == other[name] for name in ("data", "shape", "strides"))

    # --- attributes

    def __getattr__(self, name: str) -> Any:
        if name in API["method"]:
            method = getattr(self._a, name)
            return lambda *args, **kwargs: call("method", name, method, args, kwargs, own=self)
        if name in API["attribute"] and name != "flat":  # the iterators of CuPy and NumPy differ
            value = getattr(self._a, name)
            return outside(value, self) if isinstance(value, np.ndarray) else value
        raise AttributeError(f"cupy.ndarray has no attribute {name!r}")

    @property
    def data(self) -> Any:
        return types.SimpleNamespace(ptr=self._a.ctypes.data)  # in CuPy it is also a pointer and not readable data

    @property
    def device(self) -> Any:
        return Device(0)

    @property
    def flags(self) -> Flags:
        return Flags(self._a.flags)

    def __copy__(self) -> ndarray:
        return self.copy()

    def __deepcopy__(self, memo: dict) -> ndarray:
        return self.copy()

    def fill(self, value: Any) -> None:
        self[...] = value

    def astype(self, dtype: Any, order: str = "K", casting: Any = None, subok: Any = None, copy: bool = True):
        result = self._a.astype(dtype, order=order, copy=copy)
        if result is not self._a:
            Stream.refuse("astype")
        COUNTS.launches += result is not self._a
        return outside(result, self)


def operator(name: str, symbol: str, in_place: bool, reflected: bool) -> Any:
    function = getattr(np, name)

    def method(self: ndarray, other: Any) -> Any:
        if isinstance(other, (np.ndarray, list, tuple)):
            raise mixed(symbol, other)
        args = (other, self) if reflected else (self, other)
        return call("ufunc", name, function, args, {"out": self} if in_place else {})

    return method


for dunder, ufunc_name in {
    "add": "add", "sub": "subtract", "mul": "multiply", "truediv": "true_divide", "floordiv": "floor_divide",
    "mod": "remainder", "pow": "power", "and": "bitwise_and", "or": "bitwise_or", "xor": "bitwise_xor",
    "lshift": "left_shift", "rshift": "right_shift",
}.items():  # fmt: skip
    for prefix in ("", "r", "i"):
        if f"__{prefix}{dunder}__" in API["method"]:
            setattr(ndarray, f"__{prefix}{dunder}__", operator(ufunc_name, dunder, prefix == "i", prefix == "r"))
for dunder, ufunc_name in {"lt": "less", "le": "less_equal", "gt": "greater", "ge": "greater_equal", "eq": "equal",
                           "ne": "not_equal"}.items():  # fmt: skip
    setattr(ndarray, f"__{dunder}__", operator(ufunc_name, dunder, False, False))
for dunder, ufunc_name in {"neg": "negative", "abs": "absolute", "invert": "invert", "pos": "positive"}.items():
    setattr(ndarray, f"__{dunder}__",
            lambda self, name=ufunc_name: call("ufunc", name, getattr(np, name), (self,), {}))  # fmt: skip
ndarray.__matmul__ = lambda self, other: CUPY.matmul(self, other)
ndarray.__rmatmul__ = lambda self, other: CUPY.matmul(other, self)


class Ufunc:
    def __init__(self, name: str):
        self.name, self.numpy = name, getattr(np, name)

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        return call("ufunc", self.name, self.numpy, args, kwargs)

    def at(self, a: ndarray, indices: Any, b: Any = None) -> None:
        if self.name not in AT:
            raise NotImplementedError(f"`{self.name}.at` is not supported yet")
        COUNTS.launches += 1
        self.numpy.at(a._a, a._index(indices), inside("ufunc.at", b))


def matmul(a: Any, b: Any, out: Any = None) -> Any:
    for value in (a, b, out):
        if not isinstance(value, ndarray) and value is not None:
            raise mixed("cupy.matmul", value)
    COUNTS.launches += launches_of_product(a._a, b._a, None if out is None else out._a) - 1  # `call` counts one
    return call("function", "matmul", np.matmul, (a, b), {} if out is None else {"out": out})


def launches_of_product(a: np.ndarray, b: np.ndarray, out: np.ndarray | None) -> int:
    """Return the number of launches of CuPy's matmul: the call of cuBLAS, and copies in an order that cuBLAS can read.

    This follows cupy/_core/_routines_linalg.pyx, which is the same in this respect from 13.3 to 14.2:

    - Two matrices, each in C or Fortran order: one call. A matrix in neither order is copied. Two vectors: a product
      and a sum.
    - Stacks of matrices: both in C order, otherwise they are copied. If they broadcast, as in a stack of matrices times
      one vector, three tables of addresses are computed, each with one launch for each axis of the stack. Stacks of
      float16 are copied to float32, and the result is copied back.
    - An `out` that is not in C order, or shares memory with a or b, is written by one more copy.
    """
    ndim = max(a.ndim, b.ndim)
    written_aside = out is not None and (
        not out.flags.c_contiguous or np.may_share_memory(out, a) or np.may_share_memory(out, b)
    )
    launches = 1 + written_aside
    if ndim <= 2:
        return launches + (a.ndim == b.ndim == 1) + sum(not in_one_order(x) for x in (a, b))
    launches += sum(not x.flags.c_contiguous or x.dtype == np.float16 for x in (a, b))
    launches += np.result_type(a, b) == np.float16
    stacks = [(1,) * (ndim - x.ndim) + x.shape[:-2] if x.ndim > 1 else (1,) * (ndim - 2) for x in (a, b)]
    return launches + 3 * (ndim - 2) * (stacks[0] != stacks[1])


def in_one_order(x: np.ndarray) -> bool:
    return x.flags.c_contiguous or x.flags.f_contiguous


# --- kernels ---------------------------------------------------------------------------------------------------------

C_TYPES = {"float16": "float16", "float32": "float", "float64": "double", "bool": "unsigned char", "int16": "short",
           "int32": "int", "int64": "long long", "uint32": "unsigned int", "uint64": "unsigned long long"}  # fmt: skip


# The functions of C++ that take every type of number. As CuPy's class float16 does, _Float16 computes them in float.
FLOAT16 = """
#include <math.h>
#ifdef __FLT16_MAX__
typedef _Float16 float16;
#else
typedef struct { short bits; } float16;  // an older compiler, which does not compute with it
#endif
"""
MATH = FLOAT16 + "\n".join(
    f"#define {f}(x) _Generic((x), float16: {f}f, float: {f}f, default: {f})(x)"
    for f in "erf exp fabs floor log sqrt tanh".split()
)


@dataclass(frozen=True)
class Argument:
    """One argument of an ElementwiseKernel: ``T x``, ``float64 lr``, ``raw int64 order``."""

    type: str
    name: str
    raw: bool


class ElementwiseKernel:
    """cupy.ElementwiseKernel, compiled by the C compiler; a machine without one skips the test."""

    def __init__(self, in_params: str, out_params: str, operation: str, name: str = "kernel", **options: Any):
        if options not in ({}, {"options": ("--device-int128",)}):  # C compilers support it by default
            raise TypeError(f"the stand-in's ElementwiseKernel does not know {options}")
        self.ins, self.outs = self._arguments(in_params), self._arguments(out_params)
        for argument in (*self.ins, *self.outs):
            if argument.name in ("i", "n") or argument.name.startswith("_"):
                raise ValueError(f"Can not use {argument.name!r} as a parameter name")
        if not re.fullmatch("[A-Za-z_][A-Za-z_0-9]*", name):
            raise ValueError(f"Invalid kernel name: {name!r}")
        self.operation, self.name = operation, name

    @staticmethod
    def _arguments(text: str) -> list[Argument]:
        words = [part.split() for part in text.replace("\n", " ").split(",") if part.strip()]
        return [Argument(w[-2], w[-1], w[0] == "raw") for w in words]

    def __call__(self, *args: Any, size: int | None = None) -> Any:
        arguments = [*self.ins, *self.outs]
        if len(args) != len(arguments):
            raise TypeError(f"{self.name}: got {len(args)} arguments; with its outputs it takes {len(arguments)}")
        types: dict[str, np.dtype] = {}
        for argument, value in zip(arguments, args, strict=True):
            if isinstance(value, np.ndarray):
                raise mixed(self.name, value)
            if isinstance(value, ndarray):
                generic = value.dtype if len(argument.type) == 1 else np.dtype(argument.type)
                if value.dtype != (wanted := types.setdefault(argument.type, generic)):
                    raise TypeError(f"{self.name}: {argument.name} must be {wanted}, got {value.dtype}")
            elif argument in self.outs or argument.raw:
                raise TypeError(f"{self.name}: {argument.name} must be an array, got {type(value)}")
        shaped = [(a, v._a) for a, v in zip(arguments, args, strict=True) if isinstance(v, ndarray) and not a.raw]
        if (size is None) == (not shaped):
            raise ValueError(f"{self.name}: size goes with arguments that are all raw, and only with them")
        shape = (size,) if size is not None else np.broadcast_shapes(*(a.shape for _, a in shaped))
        for argument, a in shaped:
            if argument in self.outs and a.shape != shape:
                raise ValueError(f"{self.name}: out shape is mismatched: {argument.name} {a.shape}, not {shape}")
        if Stream.records(lambda: self(*args, size=size)):
            return None
        COUNTS.launches += 1
        c_values: list[Any] = []
        strides: list[int] = []
        for argument, value in zip(arguments, args, strict=True):
            if isinstance(value, ndarray):
                if argument.raw and not value._a.flags.c_contiguous:
                    raise ValueError(f"{self.name}: {argument.name} is raw and not in C order")
                a = value._a if argument.raw else np.broadcast_to(value._a, shape)
                c_values.append(ctypes.c_void_p(a.ctypes.data))
                strides += [0] * len(shape) if argument.raw else list(a.strides)
            else:
                dtype = types.get(argument.type) or np.dtype(argument.type)
                if dtype == np.float16:  # ctypes has no such type
                    value, dtype = np.float32(np.float16(value)), np.dtype(np.float32)
                c_values.append(np.ctypeslib.as_ctypes_type(dtype)(value))
        scalars = tuple(not isinstance(value, ndarray) for value in args)
        names = {t: C_TYPES[(types.get(t) or np.dtype(t)).name] for t in {a.type for a in arguments}}
        function = self._compiled(tuple(sorted(names.items())), scalars)
        numbers = ctypes.c_longlong * max(1, len(strides)), ctypes.c_longlong * max(1, len(shape))
        function(numbers[0](*strides), numbers[1](*shape), len(shape), *c_values)
        outs = args[len(self.ins) :]
        return outs[0] if len(outs) == 1 else tuple(outs)

    @functools.cache  # noqa: B019 (kernels live as long as the process)
    def _compiled(self, names: tuple[tuple[str, str], ...], scalars: tuple[bool, ...]) -> Any:
        types, arguments = dict(names), [*self.ins, *self.outs]
        signature, here, undo, k = [], [], [], 0
        for argument, scalar in zip(arguments, scalars, strict=True):
            ctype, name = types[argument.type], argument.name
            if scalar:
                signature.append(f"{'float' if ctype == 'float16' else ctype} {name}")
                continue
            const = "const " if argument in self.ins else ""
            if argument.raw:
                signature.append(f"{const}{ctype} *{name}")
            else:
                signature.append(f"char *_at_{name}")
                here.append(f"{const}{ctype} *_of_{name} = ({ctype} *)(_at_{name} + _offset(_strides + {k} * _axes,"
                            f" _shape, _axes, i));\n#define {name} (*_of_{name})")  # fmt: skip
                undo.append(f"#undef {name}")
            k += 1
        typedefs = "\n".join(f"typedef {c} {t};" for t, c in types.items() if len(t) == 1)
        source = f"""{MATH}
{typedefs}
static long long _offset(const long long *strides, const long long *shape, int axes, long long i) {{
    long long at = 0;
    for (int axis = axes - 1; axis >= 0; axis--) {{ at += i % shape[axis] * strides[axis]; i /= shape[axis]; }}
    return at;
}}
void {self.name}(const long long *_strides, const long long *_shape, int _axes, {", ".join(signature)}) {{
    long long n = 1;
    for (int axis = 0; axis < _axes; axis++) n *= _shape[axis];
    for (long long i = 0; i < n; i++) {{
{chr(10).join(here)}
{self.operation};
{chr(10).join(undo)}
    }}
}}"""
        return getattr(ctypes.CDLL(str(compiled(source))), self.name)


class RawKernel:
    """cupy.RawKernel, compiled by the C compiler; blocks of one axis only.

    On a GPU a kernel gets its arguments as they are: a wrong type or number of arguments gives wrong results, or
    worse. Here it is an error. By default every block has one thread, which is fast. In `whole_blocks`, a block has all
    its threads.
    """

    threads_of_a_block: int | None = 1  # None: as many as the call says

    def __init__(self, code: str, name: str, options: tuple[str, ...] = ()):
        if options:
            raise TypeError(f"the stand-in's RawKernel does not know {options}")
        found = re.search(rf'extern "C" __global__ void (?:__launch_bounds__\((\d+)\) )?{name}\(([^)]*)\)', code)
        if not found:
            raise ValueError(f"{name}: the code has no such kernel")
        self.name, self.most_threads = name, int(found[1] or 1024)
        self.code, self.signature = code.replace("#include <cuda_fp16.h>", "").replace('extern "C"', ""), found[2]
        meaning = {c: dtype for dtype, c in (*C_TYPES.items(), ("float16", "__half"), ("int8", "signed char"))}
        meaning |= {new: meaning[old] for old, new in re.findall(r"typedef (\w+) (\w+);", code)}
        self.parameters = []  # (name, dtype, True if it is a pointer)
        for parameter in self.signature.split(","):
            c_type, pointer, own = re.fullmatch(r"\s*(?:const )?([\w ]+?) (\*?)(\w+)\s*", parameter).groups()
            self.parameters.append((own, np.dtype(meaning[c_type]), bool(pointer)))

    def __call__(self, grid: tuple[int, ...], block: tuple[int, ...], args: tuple[Any, ...]) -> None:
        if Stream.records(lambda: self(grid, block, args)):
            return
        if len(args) != len(self.parameters):
            raise TypeError(f"{self.name}: got {len(args)} arguments; it takes {len(self.parameters)}")
        ((blocks,), (threads,)) = grid, block
        if not 1 <= blocks < 1 << 31 or not 1 <= threads <= self.most_threads:
            raise CUDARuntimeError(f"{self.name}: cannot launch {blocks} blocks of {threads} threads")
        c_values = []
        for (name, dtype, is_pointer), value in zip(self.parameters, args, strict=True):
            if not isinstance(value, ndarray if is_pointer else np.generic) or value.dtype != dtype:
                kind = "an array" if is_pointer else "a number"
                raise TypeError(f"{self.name}: {name} must be {kind} of {dtype}, got {value!r} of {type(value)}")
            pointer = ctypes.c_void_p(value._a.ctypes.data) if is_pointer else None
            c_values.append(pointer or np.ctypeslib.as_ctypes_type(dtype)(value))
        COUNTS.launches += 1
        threads = min(threads, self.threads_of_a_block or threads)
        function = self._compiled()
        run = [threading.Thread(target=function, args=(threads, k, ctypes.c_longlong(blocks), *c_values))
               for k in range(1, threads)]  # fmt: skip
        for thread in run:
            thread.start()
        function(threads, 0, ctypes.c_longlong(blocks), *c_values)
        for thread in run:
            thread.join()

    @functools.cache  # noqa: B019 (kernels live as long as the process)
    def _compiled(self) -> Any:
        source = f"""{MATH}
#include <sched.h>
#include <stdatomic.h>
typedef float16 __half;
typedef struct {{ unsigned int x; }} _index;
static _Thread_local _index blockIdx, threadIdx, blockDim;
#define __global__ static
#define __shared__ static
#define __launch_bounds__(threads)
static void __syncthreads(void) {{
    static atomic_uint arrived, times;
    const unsigned int before = times;
    if (atomic_fetch_add(&arrived, 1) + 1 == blockDim.x) {{ arrived = 0; times++; }}
    else while (times == before) sched_yield();
}}
{self.code}
void _launch(int _threads, int _thread, long long _blocks, {self.signature}) {{
    blockDim.x = _threads, threadIdx.x = _thread;
    for (long long _block = 0; _block < _blocks; _block++) {{
        blockIdx.x = _block;
        {self.name}({", ".join(name for name, *_ in self.parameters)});
        __syncthreads();
    }}
}}"""
        return ctypes.CDLL(str(compiled(source)))._launch


@contextlib.contextmanager
def whole_blocks() -> Iterator[None]:
    """Run the blocks of a RawKernel with all their threads, inside a ``with`` block. Each is a thread of the CPU."""
    RawKernel.threads_of_a_block = None
    try:
        yield
    finally:
        RawKernel.threads_of_a_block = 1


@functools.cache
def compiler() -> str | None:
    return shutil.which("cc") or shutil.which("gcc") or shutil.which("clang")


@functools.cache
def computes_float16() -> bool:
    """Return True if the machine's C compiler knows _Float16, as GCC does from version 12 on, and Clang from 15 on."""
    source = FLOAT16 + "float16 twice(float16 x) { return x + x; }"
    command = [str(compiler()), "-x", "c", "-fsyntax-only", "-"]
    return compiler() is not None and subprocess.run(command, input=source, text=True).returncode == 0


@functools.cache
def compiled(source: str) -> Path:
    """Return the library compiled from `source`, in a folder that is deleted when Python exits."""
    if compiler() is None:
        pytest.skip("no C compiler here to run a GPU's kernels with")
    path = Path(_folder().name) / hashlib.sha256(source.encode()).hexdigest()[:16]
    path.with_suffix(".c").write_text(source)
    command = [compiler(), "-O1", "-ffp-contract=off", "-shared", "-fPIC", path.with_suffix(".c"), "-o", path, "-lm"]
    done = subprocess.run(command, capture_output=True, text=True)
    if done.returncode:
        raise RuntimeError(f"the kernel does not compile:\n{done.stderr}\n{source}")
    return path


@functools.cache
def _folder() -> tempfile.TemporaryDirectory:
    return tempfile.TemporaryDirectory(prefix="strict_cupy")


# --- the module ------------------------------------------------------------------------------------------------------


class Graph:
    """The recorded calls."""

    def __init__(self, calls: list[Callable[[], Any]]):
        self.calls = calls

    def launch(self) -> None:
        launches = COUNTS.launches
        for each in self.calls:
            each()
        COUNTS.launches = launches + 1


class Stream:
    """A stream that can record a graph. Like CuPy's, it is the current stream in a ``with`` block."""

    recording: list[Callable[[], Any]] | None = None
    ptr = 9

    def __enter__(self) -> Stream:
        return self

    def __exit__(self, *error: Any) -> None: ...

    def begin_capture(self) -> None:
        Stream.recording = []

    def end_capture(self) -> Graph:
        calls, Stream.recording = Stream.recording, None
        return Graph(calls)

    @staticmethod
    def records(action: Callable[[], Any]) -> bool:
        """Record an action if a stream is recording, and return True."""
        if Stream.recording is None:
            return False
        Stream.recording.append(action)
        return True

    @staticmethod
    def refuse(what: str) -> None:
        if Stream.recording is not None:
            raise CUDARuntimeError(f"{what} is not allowed while a stream records a graph")


class Products:
    """Stands in for backend.graphs.Products, which calls cuBLAS."""

    def __init__(self) -> None:
        self.stream, self.lock, self.used = Stream(), threading.Lock(), None

    def use(self, stream: int) -> None:
        self.used = stream

    def matmul(self, a: ndarray, b: ndarray, out: ndarray) -> None:
        for x in (a, b):
            graphs.layout(x)  # raises unless the matrix is in C or Fortran order
        assert self.used == (STREAM if Stream.recording is None else Stream.ptr)
        if not Stream.records(lambda: np.matmul(a._a, b._a, out=out._a)):
            np.matmul(a._a, b._a, out=out._a)
            COUNTS.launches += 1


class CUDARuntimeError(RuntimeError):
    pass


class OutOfMemoryError(MemoryError):
    pass


class Device:
    def __init__(self, number: int = 0):
        self.id = number

    def use(self) -> None: ...

    def __enter__(self) -> Device:
        return self

    def __exit__(self, *error: Any) -> None: ...

    def synchronize(self) -> None:
        COUNTS.waits += 1


class MemoryPool:
    """The part of CuPy's memory pool that the package uses. Half of its memory is in use until it is freed."""

    def __init__(self) -> None:
        self.used, self.total, self.limit = 1 << 20, 2 << 20, 0

    def used_bytes(self) -> int:
        return self.used

    def total_bytes(self) -> int:
        return self.total

    def get_limit(self) -> int:
        return self.limit

    def free_all_blocks(self) -> None:
        self.total = self.used


STREAM = 7  # the address of the stand-in's only stream
NCCL_CONSTANTS = {"NCCL_SUM": 0, "NCCL_FLOAT16": 6, "NCCL_FLOAT32": 7, "NCCL_FLOAT64": 8}


class NcclCommunicator:
    """NCCL's communicator of one process. A test with several processes sets `exchange`, which adds up an array."""

    exchange: Callable[[np.ndarray], None] = staticmethod(lambda array: None)
    made: list[tuple[int, tuple, int]] = []  # the arguments of all communicators

    def __init__(self, ndev: int, commId: tuple, rank: int):
        self.made.append((ndev, commId, rank))

    def allReduce(self, sendbuf: int, recvbuf: int, count: int, datatype: int, op: int, stream: int) -> None:
        assert sendbuf == recvbuf and op == NCCL_CONSTANTS["NCCL_SUM"] and stream == STREAM
        c_type = {7: ctypes.c_float, 8: ctypes.c_double}[datatype]
        self.exchange(np.ctypeslib.as_array((c_type * count).from_address(recvbuf)))
        COUNTS.launches += 1


class Cupy(types.ModuleType):
    """Return the module ``cupy``."""

    ndarray, ufunc, ElementwiseKernel, RawKernel = ndarray, Ufunc, ElementwiseKernel, RawKernel
    matmul = staticmethod(matmul)
    __version__ = "strict stand-in"

    def __getattr__(self, name: str) -> Any:
        if name in API["ufunc"]:
            value: Any = Ufunc(name)
        elif name in API["function"]:
            function = getattr(np, name)

            @functools.wraps(function)
            def value(*args: Any, **kwargs: Any) -> Any:
                return call("function", name, function, args, kwargs)

        elif name in API["constant"]:
            value = getattr(np, name)
        else:
            raise AttributeError(f"module 'cupy' has no attribute {name!r}")
        setattr(self, name, value)
        return value


CUPY = Cupy("cupy")
for pool in ("get_default_memory_pool", "get_default_pinned_memory_pool"):
    setattr(CUPY, pool, functools.cache(MemoryPool))
CUPY.cuda = types.ModuleType("cupy.cuda")
CUPY.cuda.Device = Device
CUPY.cuda.runtime = types.SimpleNamespace(
    getDeviceCount=lambda: 1,
    CUDARuntimeError=CUDARuntimeError,
    getDeviceProperties=lambda number: {"name": b"strict stand-in"},
    memGetInfo=lambda: (3 << 30, 4 << 30),
    driverGetVersion=lambda: 12040,
    runtimeGetVersion=lambda: 12090,
)
CUPY.cuda.get_current_stream = lambda: types.SimpleNamespace(ptr=STREAM)
CUPY.cuda.nccl = types.SimpleNamespace(
    available=True,
    get_unique_id=lambda: (1, 2, 3),
    NcclCommunicator=NcclCommunicator,
    **NCCL_CONSTANTS,
)
CUPY.cuda.memory = types.SimpleNamespace(OutOfMemoryError=OutOfMemoryError)


@contextlib.contextmanager
def installed() -> Iterator[Cupy]:
    """Make ``import cupy`` return the stand-in while the block runs."""
    names = {"cupy": CUPY, "cupy.cuda": CUPY.cuda}
    before, products_of = {name: sys.modules.get(name) for name in names}, graphs.products_of
    sys.modules.update(names)
    products = Products()
    graphs.products_of = lambda xp, device, stream: products
    try:
        backend.module_for("cuda")  # tests the device once, so that no count includes this test
        yield CUPY
    finally:
        graphs.products_of = products_of
        for name, module in before.items():
            if module is None:
                del sys.modules[name]
            else:
                sys.modules[name] = module
