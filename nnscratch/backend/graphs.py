"""CUDA graphs: record a loop of small kernels once, and start all of them with one call.

The time steps of a recurrent layer run one after the other, and each step is two small kernels. The CPU needs longer to
start such a kernel than the GPU needs to run it, so the GPU waits for the CPU. A CUDA graph stores the kernels of the
whole loop with their arguments. Starting the graph takes the CPU as long as starting one or two kernels. On an H200,
the 35 time steps of an LSTM layer with 1500 units took 4.8 ms one by one and 1.1 ms as a graph.

A graph stores the addresses of the arrays, so it is only valid for arrays at the same addresses. `recorded` keeps one
graph for each set of addresses. It records this graph in the second call with the same addresses.

CuPy refuses matrix products while a stream records (cupy/cupy#6290). So `Products` calls cuBLAS directly. While a
stream records, cuBLAS cannot allocate memory for intermediate results, so `Products` provides this memory beforehand.
"""

from __future__ import annotations

import contextlib
import functools
import os
import sys
import threading
import warnings
from collections.abc import Callable
from types import ModuleType
from typing import Any

import numpy as np

from .device import Array, array_module
from .kernels import condition

with contextlib.suppress(ImportError):
    import ctypes  # Python in a browser has neither ctypes nor a GPU

WORKSPACE = 32 << 20  # the size in bytes; cuBLAS uses this size by default on the largest GPUs
TF32_TENSOR_OP_MATH = 3  # a constant of cublas_api.h
_ON = True


def allow_graphs(on: bool) -> None:
    """Turn CUDA graphs on or off, for example to compare the speed with and without them. They are on by default.

    Parameters
    ----------
    on : bool

    Raises
    ------
    TypeError
        `on` is not a bool.
    """
    global _ON
    if not isinstance(on, bool):
        raise TypeError(f"on must be True or False, got {on!r}")
    _ON = on


def recorded(function: Callable[..., None]) -> Callable[..., None]:
    """Decorate a loop of `fused` functions and matrix products, so that a GPU runs it as one CUDA graph.

    The first argument of the function is ``matmul``, which the decorator supplies: ``matmul(a, b, out=c)`` multiplies
    two matrices in C or Fortran order. On a CPU it is ``numpy.matmul``. All other arguments are arrays.

    On a GPU, the first call with a set of arrays runs the function as it is. The second call records a graph, and
    later calls start this graph. So the function must do the same in every call:

    - It calls only `fused` functions and `matmul`, and takes views of its arguments.
    - It creates no arrays, uses no other arrays than its arguments, and does not read values from arrays.

    Examples
    --------
    >>> import numpy as np
    >>> @recorded
    ... def power(matmul, A, x):
    ...     for t in range(len(x) - 1):
    ...         matmul(A, x[t], out=x[t + 1])
    >>> x = np.ones((3, 2, 1))
    >>> power(np.array([[0.0, 2.0], [1.0, 0.0]]), x)
    >>> print(x[-1].T)
    [[2. 2.]]
    """
    graphs = Graphs(function)

    @functools.wraps(function)
    def call(*args: Any) -> None:
        if isinstance(args[0], np.ndarray):
            function(np.matmul, *args)
        else:
            graphs.run(args)

    call.graphs = graphs
    return call


class Graphs:
    """The graphs of one `recorded` function."""

    KEPT = 256  # the number of sets of addresses to remember

    def __init__(self, function: Callable[..., None]):
        self.function = function
        self.graphs: dict[Any, Any] = {}  # for each set of addresses, its graph, or None after one call

    def run(self, args: tuple[Any, ...]) -> None:
        xp = array_module(args[0])
        stream = xp.cuda.get_current_stream().ptr
        # No graph inside `only_if`: it would store the address of the array `go`, and the key lacks this address.
        usable = _ON and args[0].dtype.char in "fd" and condition() is None
        products = products_of(xp, args[0].device.id, stream) if usable else None
        if products is None:
            self.function(xp.matmul, *args)
            return
        key = (stream, *((a.data.ptr, a.shape, a.strides, a.dtype.char) for a in args))
        with products.lock:
            known, graph = key in self.graphs, self.graphs.pop(key, None)
            if known and graph is None:
                graph = self._record(products, args)
            self.graphs[key] = graph  # at the end, so the first key is the least recently used
            if len(self.graphs) > self.KEPT:
                del self.graphs[next(iter(self.graphs))]
            if graph is None:  # use `products`, as the graph does: CuPy's matmul may round differently
                products.use(stream)
                self.function(products.matmul if _ON else xp.matmul, *args)  # _record turns graphs off if it fails
            else:
                graph.launch()

    def _record(self, products: Products, args: tuple[Any, ...]) -> Any:
        """Return the graph of one call, or None if recording failed."""
        products.use(products.stream.ptr)
        try:
            with products.stream as stream:
                stream.begin_capture()
                try:
                    self.function(products.matmul, *args)
                finally:
                    graph = stream.end_capture()
            return graph
        except Exception as error:  # without a graph, the result is the same
            allow_graphs(False)
            warnings.warn(f"CUDA graphs are off, because recording one failed: {error}", RuntimeWarning, stacklevel=4)
            return None


@functools.cache
def products_of(xp: ModuleType, device: int, stream: int) -> Products | None:
    """Return the products for graphs that run on one stream of one GPU, or None if cuBLAS cannot be used.

    Each stream has its own products, because graphs that run at the same time must not share memory for intermediate
    results.
    """
    major = xp.cuda.runtime.runtimeGetVersion() // 1000
    name = f"cublas64_{major}.dll" if sys.platform == "win32" else f"libcublas.so.{major}"
    try:
        with xp.cuda.Device(device):
            products, one = Products(xp, ctypes.CDLL(name)), xp.ones((1, 1), dtype=np.float32)
            products.use(stream)
            products.matmul(one, one, out=xp.empty_like(one))  # raises if cuBLAS does not work
            return products
    except (OSError, RuntimeError, MemoryError):  # the library has another name, cuBLAS failed, or the memory is full
        return None


class Products:
    """Products of matrices with a cuBLAS handle that may be used while a stream records.

    Parameters
    ----------
    xp : module
        ``cupy``.
    library : ctypes.CDLL
        cuBLAS.
    """

    def __init__(self, xp: ModuleType, library: Any):
        self.library, self.handle = library, ctypes.c_void_p()
        self.stream = xp.cuda.Stream(non_blocking=True)  # for recording: the default stream cannot record
        self.workspace = xp.empty(WORKSPACE, dtype=np.uint8)
        self.lock = threading.RLock()  # two threads must not record on one stream at the same time
        check(library.cublasCreate_v2(ctypes.byref(self.handle)))
        if os.environ.get("CUPY_TF32") == "1":  # see allow_tf32
            check(library.cublasSetMathMode(self.handle, TF32_TENSOR_OP_MATH))

    def use(self, stream: int) -> None:
        """Compute the next products on the stream with this address."""
        address, size = ctypes.c_void_p(self.workspace.data.ptr), ctypes.c_size_t(WORKSPACE)
        check(self.library.cublasSetStream_v2(self.handle, ctypes.c_void_p(stream)))
        # cublasSetStream resets the workspace, so set the workspace after the stream.
        check(self.library.cublasSetWorkspace_v2(self.handle, address, size))

    def matmul(self, a: Array, b: Array, out: Array) -> None:
        """Compute ``out[...] = a @ b`` for float32 or float64 matrices, each in C or Fortran order; `out` in C order.

        cuBLAS stores matrices column by column, so it reads a C-ordered matrix as its transpose. So this method
        computes out^T = b^T a^T, which gives the same product.
        """
        (M, K), N = a.shape, b.shape[1]
        if b.shape[0] != K or out.shape != (M, N) or not out.flags.c_contiguous:
            raise ValueError(f"cannot write the product of {a.shape} and {b.shape} into an array of {out.shape}")
        single = out.dtype == np.float32
        gemm = self.library.cublasSgemm_v2 if single else self.library.cublasDgemm_v2
        number = ctypes.c_float if single else ctypes.c_double
        one, zero = number(1), number(0)
        (transpose_a, lda), (transpose_b, ldb) = layout(a), layout(b)
        check(
            gemm(
                self.handle, transpose_b, transpose_a, N, M, K, ctypes.byref(one), ctypes.c_void_p(b.data.ptr), ldb,
                ctypes.c_void_p(a.data.ptr), lda, ctypes.byref(zero), ctypes.c_void_p(out.data.ptr), N,
            )
        )  # fmt: skip


def layout(x: Array) -> tuple[int, int]:
    """Return 0 and the distance between rows for C order, or 1 and the distance between columns for Fortran order.

    Distances are in elements. The first number is the value of ``cublasOperation_t``.

    Examples
    --------
    >>> import numpy as np
    >>> x = np.zeros((2, 3))
    >>> layout(x), layout(x.T)
    ((0, 3), (1, 3))
    """
    if x.flags.c_contiguous:
        return 0, x.shape[1]
    if x.flags.f_contiguous:
        return 1, x.shape[0]
    raise ValueError(f"matmul needs matrices in C or Fortran order, got shape {x.shape} with strides {x.strides}")


def check(status: int) -> None:
    if status:
        raise RuntimeError(f"cuBLAS returned the status {status}")
