"""What several losses ask of what they are given."""

from __future__ import annotations

from .. import backend
from ..backend import Array
from ..checks import check_floats
from ..module import Module


def check_pair(owner: Module, prediction: Array, target: Array) -> None:
    """Raise unless the two are float arrays of one shape and dtype, on one device, and not empty."""
    check_floats(owner, "prediction", prediction)
    check_floats(owner, "target", target)
    title = type(owner).__name__
    if prediction.shape != target.shape or prediction.dtype != target.dtype or prediction.size == 0:
        raise ValueError(
            f"{title} needs prediction and target of one shape and dtype, and not empty; got {prediction.shape} "
            f"{prediction.dtype} and {target.shape} {target.dtype}"
        )
    check_device(owner, "prediction", prediction, target)


def check_labels(owner: Module, name: str, x: Array, target: Array) -> None:
    """Raise unless `x` is (..., C) and `target` one integer for each of its rows."""
    check_floats(owner, name, x)
    check_device(owner, name, x, target)
    if x.ndim == 0 or x.shape[-1] == 0 or x.shape[:-1] != target.shape or target.size == 0:
        raise ValueError(
            f"{type(owner).__name__} needs {name} (..., C) and one integer label for each row, target (...); "
            f"got {x.shape} and {target.shape}"
        )


def check_device(owner: Module, name: str, x: Array, target: Array) -> None:
    """Raise unless both are arrays of one library: NumPy's or CuPy's."""
    try:
        library = backend.array_module(target)
    except TypeError as error:
        raise TypeError(f"{type(owner).__name__}: target: {error}") from None
    if library is not backend.array_module(x):
        raise TypeError(
            f"{type(owner).__name__}: {name} on {backend.device_of(x)!r}, target on {backend.device_of(target)!r}"
        )
