"""NumPy on the CPU, CuPy on a GPU: the only place that knows which.

Everything else asks ``xp = array_module(x)`` and writes ``xp.tanh(x)``. Arrays are NumPy's or CuPy's own, never a
wrapper, and nothing moves between devices unless :func:`to_device` is called.
"""

from .device import (
    Array,
    DeviceError,
    allow_tf32,
    array_module,
    at_a_time,
    better_at_once,
    can_look,
    device_of,
    devices,
    free_memory,
    memory,
    module_for,
    synchronize,
    to_device,
    to_numpy,
)
from .kernels import fused, fused_rows, only_if
from .random import generator, uniform
from .reading import number, reading_later, to_floats
from .sums import scatter_add, sum_rows, sums_of_squares
from .threads import in_threads, num_threads, products_on_one_core, side_by_side
from .workspace import Workspace, keep_freed_memory

__all__ = [
    "Array",
    "DeviceError",
    "Workspace",
    "allow_tf32",
    "array_module",
    "at_a_time",
    "better_at_once",
    "can_look",
    "device_of",
    "devices",
    "free_memory",
    "fused",
    "fused_rows",
    "generator",
    "in_threads",
    "keep_freed_memory",
    "memory",
    "module_for",
    "num_threads",
    "number",
    "only_if",
    "products_on_one_core",
    "reading_later",
    "scatter_add",
    "side_by_side",
    "sum_rows",
    "sums_of_squares",
    "synchronize",
    "to_device",
    "to_floats",
    "to_numpy",
    "uniform",
]
