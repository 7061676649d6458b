"""NumPy on the CPU, CuPy on a GPU: the only file that knows which.

Everything else asks ``xp = array_module(x)`` and writes ``xp.tanh(x)``. Arrays are NumPy's or CuPy's own, never a
wrapper, and nothing moves between devices unless :func:`to_device` is called.
"""

from __future__ import annotations

import contextlib
import contextvars
import ctypes
import functools
import os
import re
import sys
import threading
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor, wait
from types import ModuleType
from typing import Any

import numpy as np

Array = Any  # numpy.ndarray or cupy.ndarray: the two share no base class


def array_module(x: Array) -> ModuleType:
    """The library whose array `x` is.

    Parameters
    ----------
    x : numpy.ndarray or cupy.ndarray

    Returns
    -------
    module
        ``numpy`` or ``cupy``.

    Raises
    ------
    TypeError
        `x` is no array (a list, a number, a PyTorch tensor ...).

    Examples
    --------
    >>> import numpy as np
    >>> array_module(np.zeros(3)).__name__
    'numpy'
    """
    if isinstance(x, np.ndarray):
        return np
    cupy = sys.modules.get("cupy")  # an array of CuPy's can only exist once CuPy has been imported
    if cupy is not None and isinstance(x, cupy.ndarray):
        return cupy
    if hasattr(x, "__array_namespace__") and not isinstance(x, np.generic):
        return x.__array_namespace__()  # the array API's own way to say it
    hint = " (numpy.asarray(x) makes one)" if isinstance(x, (list, tuple, int, float, np.generic)) else ""
    raise TypeError(f"expected a NumPy or CuPy array, got {type(x).__name__}{hint}")


def device_of(x: Array) -> str:
    """``"cpu"`` for a NumPy array, ``"cuda"`` or ``"cuda:1"`` for a CuPy array."""
    if array_module(x) is np:
        return "cpu"
    number = getattr(x.device, "id", 0)
    return "cuda" if number == 0 else f"cuda:{number}"


class DeviceError(RuntimeError):
    """A device cannot be used: CuPy, the driver, or the GPU itself is missing."""


INSTALL = "pip install 'nnscratch[cuda12]' or 'nnscratch[cuda13]'"


def module_for(device: str) -> ModuleType:
    """``numpy`` for ``"cpu"``, ``cupy`` for ``"cuda"``; a plain error where CuPy or its driver is missing.

    Raises
    ------
    ValueError
        The name of the device is unknown.
    DeviceError
        CuPy is not installed, or finds no GPU.
    """
    if device == "cpu":
        return np
    if device != "cuda" and not (device.startswith("cuda:") and device[5:].isdigit()):
        raise ValueError(f'device must be "cpu", "cuda" or "cuda:N", got {device!r}')
    cupy, number = _cupy(device), int(device[5:] or 0)
    try:
        count = cupy.cuda.runtime.getDeviceCount()
    except cupy.cuda.runtime.CUDARuntimeError as error:
        raise DeviceError(f"device {device!r}: CuPy is installed, but found no working GPU driver ({error})") from None
    if number >= count:
        raise DeviceError(f"device {device!r} does not exist: this machine has {count} GPU(s)")
    cupy.cuda.Device(number).use()
    return cupy


def _cupy(device: str) -> ModuleType:
    """CuPy, or an error that says what to install."""
    try:
        import cupy
    except ImportError as error:
        if not isinstance(error, ModuleNotFoundError) or error.name != "cupy":  # there, but a library of CUDA is not
            raise DeviceError(f"device {device!r}: CuPy is installed, but cannot be imported ({error})") from None
        raise DeviceError(f"device {device!r} needs CuPy, which is not installed: {INSTALL}") from None
    return cupy


def devices() -> list[str]:
    """What arrays can be moved to, in words; of a GPU that cannot be used, why.

    Examples
    --------
    >>> devices()[0]
    'cpu'
    """
    try:
        cupy = module_for("cuda")
    except DeviceError as error:
        return ["cpu", f"no GPU: {error}"]
    runtime, found = cupy.cuda.runtime, ["cpu"]
    for number in range(runtime.getDeviceCount()):
        with cupy.cuda.Device(number):
            free, total = (size / 2**30 for size in runtime.memGetInfo())
            limit = cupy.get_default_memory_pool().get_limit() / 2**30
        name = runtime.getDeviceProperties(number)["name"].decode()
        limited = f", which may take {limit:.1f} GiB of it" if limit else ""
        found.append(f"cuda:{number}  {name}, {free:.1f} of {total:.1f} GiB free, CuPy {cupy.__version__}{limited}")
    return found


def memory(device: str) -> tuple[int, int]:
    """Bytes of the GPU's memory that arrays are in, and bytes that CuPy holds: with what was freed, to use it again."""
    pool = module_for(device).get_default_memory_pool()
    return pool.used_bytes(), pool.total_bytes()


def free_memory(device: str) -> None:
    """Give back what CuPy holds of the GPU's memory and has no arrays in: to other programs, or after a large model."""
    cupy = module_for(device)
    cupy.get_default_memory_pool().free_all_blocks()
    cupy.get_default_pinned_memory_pool().free_all_blocks()


def synchronize(device: str) -> None:
    """Wait until all that was asked of `device` is done: a GPU goes on while Python has long gone ahead.

    What is timed without it is how long it takes to ask.
    """
    if device != "cpu":
        module_for(device).cuda.Device().synchronize()


def allow_tf32() -> None:
    """Let products of float32 matrices be computed in TF32, on GPUs that have it (compute capability 8.0, "Ampere").

    TF32 keeps float32's range and 10 of its 23 bits of fraction: each factor is rounded to about three decimal digits,
    so a product's relative error is about 1e-3 where float32's is 1e-7; sums are still taken in float32. CuPy looks at
    its setting once, at the first product: call this before anything is moved to the GPU.
    """
    os.environ["CUPY_TF32"] = "1"


def to_device(x: Array, device: str) -> Array:
    """`x` itself if it is on `device` already, else a copy there.

    Raises
    ------
    DeviceError
        See :func:`module_for`.
    MemoryError
        It does not fit into the GPU's memory.
    """
    if device_of(x) == device or (device == "cuda:0" and device_of(x) == "cuda"):
        return x
    xp = module_for(device)
    return to_numpy(x) if xp is np else xp.asarray(x)


def to_numpy(x: Array) -> np.ndarray:
    """`x` as a NumPy array: itself on the CPU, a copy from a GPU."""
    return x if array_module(x) is np else x.get()


ON_CPU = (np.generic, float, int, np.ndarray)
_LATER = contextvars.ContextVar("reading later", default=False)


@contextlib.contextmanager
def reading_later() -> Iterator[None]:
    """Inside, `number` leaves on a GPU what is there: for whoever reads several numbers, to wait only once.

    Examples
    --------
    >>> import numpy as np
    >>> with reading_later():
    ...     losses = [number(np.float32(2.5)), number(np.float32(0.5))]     # on a GPU: asked for, not read
    >>> to_floats(losses)
    [2.5, 0.5]
    """
    token = _LATER.set(True)
    try:
        yield
    finally:
        _LATER.reset(token)


def number(x: Array) -> float | Array:
    """What an array without axes, or a number of NumPy's, holds, as a number of Python's: what a loss returns.

    Reading one from a GPU means to wait until it is computed. Inside `reading_later` it stays there, an array.
    """
    return float(x) if isinstance(x, ON_CPU) or not _LATER.get() else x


def to_floats(numbers: Sequence[float | Array]) -> list[float]:
    """Numbers, each one of Python's or NumPy's or an array without axes, as Python's: those on a GPU in one copy."""
    found = [float(x) if isinstance(x, ON_CPU) else x for x in numbers]
    there = [x for x in found if type(x) is not float]
    if not there:
        return found
    read = iter(array_module(there[0]).stack(there).get().tolist())
    return [x if type(x) is float else next(read) for x in found]


def sums_of_squares(arrays: Sequence[Array]) -> list[Array]:
    """Numbers whose sum is that of the squares of all that is in `arrays`.

    On a CPU one for each array: a dot product, which makes no array of squares. On a GPU it is one, which takes two
    kernels however many the arrays are, and is not read. (float16 is left to dot products there too.)
    """
    flat = [a.reshape(-1) for a in arrays]
    if flat and better_at_once(flat[0]) and all(a.dtype != np.float16 for a in flat):
        return _SQUARES(flat)
    return [a @ a for a in flat]


def generator(rng: None | int | np.random.Generator) -> np.random.Generator:
    """The NumPy random generator meant by `rng`: a new one, one seeded by an int, or the very one given.

    All drawing is done by NumPy on the CPU, so that one seed gives the same numbers on every device.

    Raises
    ------
    TypeError
        `rng` is something else.
    """
    if rng is None or isinstance(rng, (int, np.integer)) and not isinstance(rng, bool) and rng >= 0:
        return np.random.default_rng(rng)
    if isinstance(rng, np.random.Generator):
        return rng
    raise TypeError(f"rng must be None, an int of 0 or more, or a numpy.random.Generator, got {rng!r}")


_beside_others: contextvars.ContextVar[bool] = contextvars.ContextVar("beside_others", default=False)


def num_threads() -> int:
    """How many threads to use on the CPU: the cores this process may use, or fewer if OMP_NUM_THREADS says so.

    One, for what already runs beside others: see `side_by_side`.
    """
    if _beside_others.get():
        return 1
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    asked = os.environ.get("OMP_NUM_THREADS", "")
    return min(cores, int(asked)) if asked.isdigit() and int(asked) > 0 else cores


@functools.cache
def _pool() -> ThreadPoolExecutor:
    return ThreadPoolExecutor(max(1, num_threads() - 1), thread_name_prefix="nnscratch")


def in_threads(function: Callable[..., Any], tasks: Sequence[tuple]) -> None:
    """Call ``function(*task)`` for every task, spread over the cores: NumPy lets go of Python's lock while it computes.

    For tasks, each beginning with an array, that write to different places and take some ten microseconds or more. On
    a GPU, which does its work in the order it was asked to, one thread asks.
    """
    threads = num_threads()
    if threads == 1 or len(tasks) < 2 * threads or not isinstance(tasks[0][0], np.ndarray):
        for task in tasks:
            function(*task)
        return

    waiting = iter(tasks)  # each thread takes the next when it has done one: a core that is busy elsewhere takes fewer

    def work() -> None:
        for task in waiting:
            function(*task)

    # Each thread gets a copy of the caller's context: numpy.errstate is part of it.
    others = [_pool().submit(contextvars.copy_context().run, work) for _ in range(threads - 1)]
    try:
        work()  # the caller takes its share: a thread less to wake and to wait for
    finally:
        for running in others:
            running.result()


M_TRIM_THRESHOLD, M_MMAP_THRESHOLD = -1, -3  # the C library's names, in its malloc.h


@functools.cache
def keep_freed_memory() -> bool:
    """Ask the C library to keep the memory of arrays that are gone, for the next: what a training loop wants.

    Every step makes arrays of the same sizes. By itself the GNU C library hands large ones back to the system, and
    gets them anew, page by page, each to be found and cleared at the first touch: measured, nearly half of the time of
    a small convolutional network's step. The setting is the whole process's: it may then hold as much as it once used
    at the most, which is what a loop will use again. Where the environment already says what to do
    (``MALLOC_TRIM_THRESHOLD_``, ``MALLOC_MMAP_THRESHOLD_``), or the C library is another, nothing is changed.

    Returns
    -------
    bool
        Whether it was asked.
    """
    if sys.platform != "linux" or any(f"MALLOC_{what}_THRESHOLD_" in os.environ for what in ("TRIM", "MMAP")):
        return False
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)
    if mallopt is None or not mallopt(M_MMAP_THRESHOLD, 1 << 25):  # larger arrays, above 32 MiB, still go back
        return False
    return bool(mallopt(M_TRIM_THRESHOLD, 1 << 30))  # how much may lie free before some of it goes back


def side_by_side(functions: Sequence[Callable[[], Any]]) -> list[Any]:
    """Call all the functions at once, each in a thread of its own, and return what they return, in order.

    There are as many threads as cores; more functions wait their turn. Meanwhile a product of matrices runs on one
    core, that of the thread that asked for it. If one fails, its error comes out when all have ended.

    Examples
    --------
    >>> side_by_side([lambda: 1, lambda: 2])
    [1, 2]
    """

    def alone(function: Callable[[], Any]) -> Any:
        _beside_others.set(True)
        return function()

    # Each thread gets a copy of the caller's context: numpy.errstate is part of it.
    tasks = [functools.partial(contextvars.copy_context().run, alone, function) for function in functions]
    with products_on_one_core():
        running = [_pool().submit(task) for task in tasks[1:]]
        try:
            first = tasks[0]()  # the caller takes its share
        finally:
            wait(running)
    return [first, *(one.result() for one in running)]


_one_core_lock, _one_core = threading.Lock(), {"asked": 0, "threads before": 0}


@contextlib.contextmanager
def products_on_one_core() -> Iterator[None]:
    """OpenBLAS computes with one thread until the last of those who asked for it is done; another BLAS as it will."""
    setting = _blas_threads()
    if setting is None:
        yield
        return
    ask, tell = setting
    with _one_core_lock:
        if _one_core["asked"] == 0:
            _one_core["threads before"] = ask()
            tell(1)
        _one_core["asked"] += 1
    try:
        yield
    finally:
        with _one_core_lock:
            _one_core["asked"] -= 1
            if _one_core["asked"] == 0:
                tell(_one_core["threads before"])


@functools.cache
def _blas_threads() -> tuple[Callable[[], int], Callable[[int], None]] | None:
    from .blas import thread_setting  # only now: few need it

    return thread_setting()


def at_a_time(x: Array, numbers: int) -> int:
    """How many numbers of an array like `x` to work on at a time: on a CPU, `numbers`, which fit into its cache.

    A chain of operations on arrays too large for the cache fetches them from memory at every link. On a GPU the calls
    are what costs, not the cache: there it is as many as fit into half a gigabyte.
    """
    return numbers if isinstance(x, np.ndarray) else max(numbers, (1 << 29) // x.dtype.itemsize)


def can_look(x: Array) -> bool:
    """Whether the numbers in `x` can be looked at for next to nothing, to check them.

    Not on a GPU: the host would have to wait until all that it has asked for is computed, at every step.
    """
    return isinstance(x, np.ndarray)


def better_at_once(x: Array) -> bool:
    """Whether to ask at once for what is to be done to many arrays like `x`: on a GPU, where asking is what costs."""
    return not isinstance(x, np.ndarray)


def fused(inputs: str, outputs: str, body: str) -> Callable[[Callable], Callable]:
    """Decorates a function of NumPy arrays that works element by element: on a GPU one kernel does all of it at once.

    A step of many small operations is bound, on a GPU, by the time it takes to ask for each. The kernel's source stands
    above the NumPy version, with the same names; tests hold the two equal.

    Parameters
    ----------
    inputs, outputs : str
        The function's arguments in order, as ``cupy.ElementwiseKernel`` takes them: ``"T x, T a"``. Outputs may be read
        before they are written. ``T z[4]`` is one argument of shape (4, ...), and z0, z1, z2, z3 in the kernel.
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
        def kernel(xp: ModuleType) -> Callable:
            ins, outs = (", ".join(part for parts, _ in side for part in parts) for side in written)
            return xp.ElementwiseKernel(ins, outs, body, function.__name__)

        over_lists = _OverLists(inputs, outputs, body, function.__name__)

        @functools.wraps(function)
        def call(*args: Any) -> None:
            last = args[-1]
            if isinstance(last, np.ndarray):
                function(*args)
            elif type(last) is not list:
                parts = [part for a, count in zip(args, counts, strict=True) for part in (a if count else (a,))]
                kernel(array_module(last))(*parts)
            elif all(over_lists.can_take(a) for a in args if isinstance(a, list)):
                over_lists(args)
            else:
                listed = [isinstance(a, list) for a in args]
                for k in range(len(last)):
                    call(*[a[k] if is_list else a for a, is_list in zip(args, listed, strict=True)])

        call.gpu_kernel, call.gpu_kernel_over_lists = kernel, over_lists.kernel
        return call

    return decorate


C_FLOATS = {"float16": "float16", "float32": "float", "float64": "double"}  # the first is a class of CuPy's


class _OverLists:
    """One of the functions that are `fused`, done to lists of arrays by one kernel.

    A kernel takes a fixed number of arrays. This one takes a table of where arrays begin instead, and what lies behind
    the last number of each when all are laid end to end: so it finds, for its number i, the array and the place in it.
    The table goes to the GPU when an array is another than at the call before, not at every call.
    """

    def __init__(self, inputs: str, outputs: str, body: str, name: str):
        self.ins, self.outs = ([part.split()[-1] for part in side.split(",")] for side in (inputs, outputs))
        self.body, self.name = body, name
        self.kernel = functools.cache(self._kernel)
        self._tables: dict[str, tuple[Any, Sequence[Array]]] = {}

    @staticmethod
    def can_take(arrays: list[Array]) -> bool:
        return all(not isinstance(a, np.ndarray) and a.flags.c_contiguous for a in arrays)

    def __call__(self, args: Sequence[Any]) -> None:
        lists, numbers = [a for a in args if isinstance(a, list)], [a for a in args if not isinstance(a, list)]
        for arrays in zip(*lists, strict=True):
            if len({(a.size, a.dtype) for a in arrays}) > 1:
                raise ValueError(f"{self.name}: {[(a.shape, a.dtype.name) for a in arrays]} do not fit together")
        for dtype in {a.dtype.name for a in lists[0]}:  # mostly one
            arrays = [[a for a in several if a.dtype == dtype] for several in lists]
            sizes, xp = [a.size for a in arrays[0]], array_module(arrays[0][0])
            kernel = self.kernel(xp, dtype, tuple(isinstance(a, list) for a in args))
            begin, end = self.table(xp, dtype, arrays, sizes)
            kernel(end, len(sizes), *numbers, begin, size=sum(sizes))

    def table(self, xp: ModuleType, dtype: str, arrays: list[list[Array]], sizes: list[int]) -> Sequence[Array]:
        key = xp, [[a.data.ptr for a in several] for several in arrays], sizes
        known, table = self._tables.get(dtype, (None, ()))
        if known != key:
            table = [xp.asarray(np.array(part, dtype=np.int64).ravel()) for part in (key[1], np.cumsum(sizes))]
            self._tables[dtype] = key, table
        return table

    def _kernel(self, xp: ModuleType, dtype: str, listed: tuple[bool, ...]) -> Callable:
        parameters = list(zip((*self.ins, *self.outs), listed, strict=True))
        arrays = [name for name, is_list in parameters if is_list]
        lines = [
            f"typedef {C_FLOATS[dtype]} T;",
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
        numbers = [f"{dtype} {name}" for name, is_list in parameters if not is_list]
        ins = ", ".join(["raw int64 end", "int64 count", *numbers])  # the output is what `begin` points to
        return xp.ElementwiseKernel(ins, "raw int64 begin", "\n".join(lines), f"{self.name}_over_lists")


class _Squares(_OverLists):
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

    def _kernel(self, xp: ModuleType, dtype: str, listed: tuple[bool, ...]) -> Callable:
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


class Workspace:
    """Arrays that are used again: what one forward put away and its backward gave back serves the next forward.

    New memory is slow memory: at first touch the system has to find and clear each page. Arrays are handed out
    uncleared. Of the sets of shapes asked for, the latest few are kept, so the memory held does not grow.

    Examples
    --------
    >>> import numpy as np
    >>> workspace, x = Workspace(), np.ones(1, dtype=np.float32)
    >>> a, b = workspace.take(x, (2, 3), (4,))
    >>> workspace.give(a, b)
    >>> c, d = workspace.take(x, (2, 3), (4,))
    >>> c is a, d is b
    (True, True)
    """

    KEPT = 4

    def __init__(self) -> None:
        self._free: dict[Any, list[tuple[Array, ...]]] = {}

    def take(self, like: Array, *shapes: tuple[int, ...]) -> tuple[Array, ...]:
        """An array of each shape, with the dtype and on the device of `like`; what is in them is arbitrary."""
        key = (shapes, like.dtype, device_of(like))
        free = self._free[key] = self._free.pop(key, [])  # now the latest
        if len(self._free) > self.KEPT:
            del self._free[next(iter(self._free))]
        if free:
            return free.pop()
        xp = array_module(like)
        return tuple(xp.empty(shape, dtype=like.dtype) for shape in shapes)

    def give(self, *arrays: Array) -> None:
        """Take back what `take` handed out, all of it, in the same order; nobody may use it any more."""
        key = (tuple(a.shape for a in arrays), arrays[0].dtype, device_of(arrays[0]))
        if key in self._free:
            self._free[key].append(arrays)


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
