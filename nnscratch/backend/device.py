"""Where an array is, and where it goes: the only file that imports CuPy.

Everything else asks ``xp = array_module(x)`` and writes ``xp.tanh(x)``. Arrays are NumPy's or CuPy's own, never a
wrapper, and nothing moves between devices unless :func:`to_device` is called.
"""

from __future__ import annotations

import os
import sys
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


def chunk_size(x: Array, numbers: int) -> int:
    """How many numbers of an array like `x` to work on at a time: on a CPU, `numbers`, which fit into its cache.

    A chain of operations on arrays too large for the cache fetches them from memory at every link. On a GPU the calls
    are what costs, not the cache: there it is as many as fit into half a gigabyte.
    """
    return numbers if isinstance(x, np.ndarray) else max(numbers, (1 << 29) // x.dtype.itemsize)


def cheap_to_read(x: Array) -> bool:
    """Whether the numbers in `x` can be looked at for next to nothing, to check them.

    Not on a GPU: the host would have to wait until all that it has asked for is computed, at every step.
    """
    return isinstance(x, np.ndarray)


def launch_bound(x: Array) -> bool:
    """Whether to ask at once for what is to be done to many arrays like `x`: on a GPU, where asking is what costs."""
    return not isinstance(x, np.ndarray)
