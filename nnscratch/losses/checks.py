"""Checks of the arguments of losses."""

from __future__ import annotations

from .. import backend
from ..backend import Array
from ..checks import check_floats
from ..module import Module


def check_same_shape(owner: Module, prediction: Array, target: Array) -> None:
    """Raise unless `prediction` and `target` are non-empty float arrays with the same shape, dtype and device."""
    check_floats(owner, "prediction", prediction)
    check_floats(owner, "target", target)
    title = type(owner).__name__
    if prediction.shape != target.shape or prediction.dtype != target.dtype or prediction.size == 0:
        raise ValueError(
            f"{title} needs prediction and target of the same shape and dtype, with at least one element; "
            f"got {prediction.shape} {prediction.dtype} and {target.shape} {target.dtype}"
        )
    check_device(owner, "prediction", prediction, target)


def check_labels(owner: Module, name: str, x: Array, target: Array) -> None:
    """Raise unless `x` has shape (..., C) and `target` has one integer for each row of `x`."""
    check_floats(owner, name, x)
    check_device(owner, name, x, target)
    if x.ndim == 0 or x.shape[-1] == 0 or x.shape[:-1] != target.shape or target.size == 0:
        raise ValueError(
            f"{type(owner).__name__} needs {name} (..., C) and target (...), one integer label for each row; "
            f"got {x.shape} and {target.shape}"
        )


def check_device(owner: Module, name: str, x: Array, target: Array) -> None:
    """Raise unless `x` and `target` belong to the same library: NumPy or CuPy."""
    try:
        library = backend.array_module(target)
    except TypeError as error:
        raise TypeError(f"{type(owner).__name__}: target: {error}") from None
    if library is not backend.array_module(x):
        raise TypeError(
            f"{type(owner).__name__} needs {name} and target on the same device; "
            f"{name} is on {backend.device_of(x)!r}, target on {backend.device_of(target)!r}"
        )
