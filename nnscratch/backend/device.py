"""Devices: on which device an array is, and how to move it. This is the only file that imports CuPy.

All other code calls ``xp = array_module(x)`` and writes ``xp.tanh(x)``. Arrays are plain NumPy or CuPy arrays, never
wrappers. Only :func:`to_device` moves an array between devices.
"""

from __future__ import annotations

import functools
import os
import sys
from types import ModuleType
from typing import Any

import numpy as np

Array = Any  # numpy.ndarray or cupy.ndarray: the two share no base class


def array_module(x: Array) -> ModuleType:
    """Return the library that `x` belongs to.

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
        `x` is not a NumPy or CuPy array. For example, it is a list, a number or a PyTorch tensor. A masked array and a
        `numpy.matrix` are refused too: the layers would not use the mask, and `*` of a matrix is the matrix product.

    Examples
    --------
    >>> import numpy as np
    >>> array_module(np.zeros(3)).__name__
    'numpy'
    """
    if type(x) is np.ndarray:
        return np
    cupy = sys.modules.get("cupy")  # CuPy arrays exist only after CuPy has been imported
    if cupy is not None and isinstance(x, cupy.ndarray):
        return cupy
    if isinstance(x, (np.ma.MaskedArray, np.matrix)):
        hint = "x.filled(value)" if isinstance(x, np.ma.MaskedArray) else "numpy.asarray(x)"
        raise TypeError(f"expected a plain array, got a numpy {type(x).__name__}; use {hint}")
    if isinstance(x, np.ndarray):
        return np
    if hasattr(x, "__array_namespace__") and not isinstance(x, np.generic):
        return x.__array_namespace__()  # the array API standard
    hint = "; use numpy.asarray(x)" if isinstance(x, (list, tuple, int, float, np.generic)) else ""
    raise TypeError(f"expected a NumPy or CuPy array, got {type(x).__name__}{hint}")


def device_of(x: Array) -> str:
    """Return ``"cpu"`` for a NumPy array, ``"cuda"`` or ``"cuda:1"`` for a CuPy array."""
    if array_module(x) is np:
        return "cpu"
    number = getattr(x.device, "id", 0)
    return "cuda" if number == 0 else f"cuda:{number}"


class DeviceError(RuntimeError):
    """A device cannot be used, because CuPy, the driver, a CUDA library or the GPU itself is missing."""


INSTALL = "pip install 'nnscratch[cuda12]' or 'nnscratch[cuda13]'"


def module_for(device: str) -> ModuleType:
    """Return ``numpy`` for ``"cpu"``. For a GPU, make it the current device and return ``cupy``.

    Parameters
    ----------
    device : str
        ``"cpu"``, ``"cuda"`` or ``"cuda:N"``.

    Raises
    ------
    ValueError
        The name of the device is unknown.
    DeviceError
        CuPy is not installed, it finds no such GPU, or it cannot compute on the GPU. The first call for a GPU tests
        this with a tiny computation, because CuPy loads the CUDA libraries only when they are needed.
    """
    if device == "cpu":
        return np
    name, _, digits = device.partition(":") if isinstance(device, str) else ("", "", "")
    if device != "cuda" and not (name == "cuda" and digits.isdecimal()):
        raise ValueError(f'device must be "cpu", "cuda" or "cuda:N", got {device!r}')
    cupy, number = _cupy(device), int(device[5:] or 0)
    try:
        count = cupy.cuda.runtime.getDeviceCount()
    except cupy.cuda.runtime.CUDARuntimeError as error:
        raise DeviceError(f"device {device!r}: CuPy is installed, but found no working GPU driver ({error})") from None
    if number >= count:
        raise DeviceError(f"device {device!r} does not exist: this machine has {count} GPU(s)")
    cupy.cuda.Device(number).use()
    _check_computes(cupy, device)
    return cupy


@functools.cache
def _check_computes(cupy: ModuleType, device: str) -> None:
    """Raise DeviceError unless the GPU can run a kernel, a matrix product and a sum. The test runs once."""
    try:
        x = cupy.ones((2, 2), dtype=np.float64)  # float64, so that CuPy does not read the TF32 setting yet
        result = float((x @ x + 1).sum())
    except MemoryError:
        raise
    except Exception as error:  # it may be an ImportError, CUBLASError, CompileException, CUDARuntimeError, ...
        raise DeviceError(
            f"device {device!r}: CuPy finds the GPU, but cannot compute on it ({_one_line(error)}). Probably a CUDA "
            f"library or header is missing, or does not fit the driver. Install CuPy with its libraries: {INSTALL}"
        ) from None
    if result != 12:
        raise DeviceError(f"device {device!r}: a test computation on the GPU gave {result} instead of 12")


def gpu_error(error: BaseException) -> str | None:
    """Return a one-line description of an error that CuPy or a CUDA library raised, and None for any other error.

    Examples
    --------
    >>> gpu_error(ValueError("not of a GPU")) is None
    True
    """
    return _one_line(error) if type(error).__module__.partition(".")[0] in ("cupy", "cupy_backends", "cuda") else None


def _one_line(error: BaseException) -> str:
    """Return the type and the beginning of the message of an error."""
    text = " ".join(str(error).split())
    return f"{type(error).__name__}: {text if len(text) <= 200 else text[:200] + '...'}"


def _cupy(device: str) -> ModuleType:
    """Import CuPy, or raise DeviceError with the command that installs it."""
    try:
        import cupy
    except ImportError as error:
        # If the import of another module has failed, such as a CUDA library, CuPy itself is installed.
        if not isinstance(error, ModuleNotFoundError) or error.name != "cupy":
            raise DeviceError(f"device {device!r}: CuPy is installed, but cannot be imported ({error})") from None
        raise DeviceError(f"device {device!r} needs CuPy, which is not installed: {INSTALL}") from None
    return cupy


def devices() -> list[str]:
    """Describe the devices that arrays can be moved to, or the reason why no GPU can be used.

    Returns
    -------
    list of str
        ``"cpu"``, then one line for each GPU.

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
        limited = f", limited to {limit:.1f} GiB" if limit else ""
        found.append(f"cuda:{number}  {name}, {free:.1f} of {total:.1f} GiB free, CuPy {cupy.__version__}{limited}")
    return found


def to_device(x: Array, device: str) -> Array:
    """Return `x` if it is already on `device`, otherwise a copy on `device`.

    Raises
    ------
    DeviceError
        See :func:`module_for`.
    MemoryError
        `x` does not fit into the GPU's memory.
    """
    if device_of(x) == device or (device == "cuda:0" and device_of(x) == "cuda"):
        return x
    xp = module_for(device)
    return to_numpy(x) if xp is np else xp.asarray(x)


def to_numpy(x: Array) -> np.ndarray:
    """Return `x` if it is a NumPy array, otherwise a copy as a NumPy array."""
    return x if array_module(x) is np else x.get()


def _gpu_module(device: str) -> ModuleType:
    if device == "cpu":
        raise ValueError('device must be a GPU, "cuda" or "cuda:N", got "cpu"')
    return module_for(device)


def memory(device: str) -> tuple[int, int]:
    """Return the number of bytes of GPU memory that arrays use, and the number of bytes that CuPy has reserved.

    CuPy keeps freed memory reserved for later arrays.
    """
    pool = _gpu_module(device).get_default_memory_pool()
    return pool.used_bytes(), pool.total_bytes()


def free_memory(device: str) -> None:
    """Release the reserved memory that no array uses, so that other programs can use it."""
    cupy = _gpu_module(device)
    cupy.get_default_memory_pool().free_all_blocks()
    cupy.get_default_pinned_memory_pool().free_all_blocks()


def synchronize(device: str) -> None:
    """Wait until `device` has finished all its work.

    A GPU works asynchronously: a call returns before its result is computed. Call this function before you read a
    clock. Otherwise you measure only the time for starting the work.
    """
    if device != "cpu":
        module_for(device).cuda.Device().synchronize()


def allow_tf32() -> None:
    """Allow TF32 in products of float32 matrices, on GPUs with compute capability 8.0 ("Ampere") or higher.

    TF32 has the range of float32, but 10 bits of fraction instead of 23. Each factor is rounded to about three decimal
    digits, so the relative error of a product is about 1e-3 instead of 1e-7. Sums are still computed in float32. CuPy
    reads this setting at its first product, so call this function before you move anything to the GPU.
    """
    os.environ["CUPY_TF32"] = "1"


def chunk_size(x: Array, elements: int) -> int:
    """Return how many elements of an array like `x` to process at a time.

    On a CPU the result is `elements`, and a chunk of this size should fit into the cache. With larger chunks, each
    operation would read the chunk from memory again. On a GPU, starting an operation takes longer than reading from
    memory. So there the result is at least the number of elements in half a gigabyte.
    """
    return elements if isinstance(x, np.ndarray) else max(elements, (1 << 29) // x.dtype.itemsize)


def cheap_to_read(x: Array) -> bool:
    """Return True if reading the values in `x` takes almost no time, as on a CPU.

    On a GPU, reading a value blocks until the GPU has finished all earlier work.
    """
    return isinstance(x, np.ndarray)


def launch_bound(x: Array) -> bool:
    """Return True if starting an operation costs more than computing it, as for small arrays on a GPU.

    It is then faster to process many arrays in one kernel.
    """
    return not isinstance(x, np.ndarray)
