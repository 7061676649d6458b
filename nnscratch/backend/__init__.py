"""The backend: NumPy on a CPU, CuPy on a GPU. The code of the other folders is the same for both.

All other code calls ``xp = array_module(x)`` and writes ``xp.tanh(x)``. Arrays are plain NumPy or CuPy arrays, never
wrappers. Only :func:`to_device` moves an array between devices.
"""

from ..deprecated import renamed
from .device import (
    Array,
    DeviceError,
    allow_tf32,
    array_module,
    cheap_to_read,
    chunk_size,
    device_of,
    devices,
    free_memory,
    gpu_error,
    launch_bound,
    memory,
    module_for,
    synchronize,
    to_device,
    to_numpy,
)
from .graphs import allow_graphs, recorded
from .kernels import fused, only_if
from .nccl import NcclSum
from .random import generator, uniform_like
from .rows import fused_rows
from .scalars import deferred_reads, to_floats, to_scalar
from .sums import scatter_add, sum_rows, sums_of_squares
from .threads import num_threads, parallel_for, run_concurrently, single_threaded_blas
from .workspace import Workspace, keep_freed_memory

__all__ = [
    "Array",
    "DeviceError",
    "NcclSum",
    "Workspace",
    "allow_graphs",
    "allow_tf32",
    "array_module",
    "chunk_size",
    "launch_bound",
    "cheap_to_read",
    "device_of",
    "devices",
    "free_memory",
    "fused",
    "fused_rows",
    "generator",
    "gpu_error",
    "parallel_for",
    "keep_freed_memory",
    "memory",
    "module_for",
    "num_threads",
    "to_scalar",
    "only_if",
    "recorded",
    "single_threaded_blas",
    "deferred_reads",
    "scatter_add",
    "run_concurrently",
    "sum_rows",
    "sums_of_squares",
    "synchronize",
    "to_device",
    "to_floats",
    "to_numpy",
    "uniform_like",
]

__getattr__ = renamed(
    __name__,
    {
        "at_a_time": "chunk_size",
        "can_look": "cheap_to_read",
        "number": "to_scalar",
        "reading_later": "deferred_reads",
        "uniform": "uniform_like",
    },
)
