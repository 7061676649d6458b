"""The complex step: a derivative without a subtraction, so that no digits cancel.

    f(x + ih) = f(x) + ih f'(x) - h^2 f''(x)/2 - ...    so    f'(x) = Im f(x + ih) / h + O(h^2)

With h = 1e-30, the term O(h^2) has no effect, and only the rounding error remains. The function f must be analytic, and
it must compute every intermediate result with complex numbers. But ``abs``, ``real`` and a copy into a float array drop
the imaginary part without an error message. Therefore the checker uses the derivative from the complex step only if
finite differences agree with it.

References: Lyness and Moler, 1967; Squire and Trapp, 1998.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable
from typing import Any

import numpy as np

from ..backend import Array
from .nested import array_module, is_array, is_float, leaves, map_leaves
from .projection import Projection
from .snapshot import Snapshot
from .substitution import cast_arrays

STEP = 1e-30


def complex_step_gradient(f: Callable[[Array], Any], x: Array) -> Array:
    """Compute the gradient of a function to machine precision, if the function accepts complex numbers.

    Parameters
    ----------
    f : callable
        Takes a complex array of the shape of `x` and returns one complex number. It must be analytic: arithmetic,
        powers, exp, sin and matrix products are allowed; abs, conj and real are not.
    x : float array

    Returns
    -------
    float64 array
        The gradient, of the shape of `x`.

    Raises
    ------
    TypeError
        `x` is not a float array, or `f` does not return one complex number.

    Examples
    --------
    >>> x = np.array([1.0, 2.0])
    >>> bool((complex_step_gradient(lambda z: np.sin(z).sum(), x) == np.cos(x)).all())
    True
    """
    if array_module(x) and x.dtype.kind != "f":
        raise TypeError(f"x must be an array of floats, got {x.dtype}")
    z = x.astype(np.complex128)
    gradient = array_module(x).zeros(x.shape)
    for i in np.ndindex(x.shape):
        held = z[i].copy()
        z[i] = held + 1j * STEP
        y = f(z)
        z[i] = held
        if getattr(y, "size", 1) != 1 or not np.iscomplexobj(y):
            raise TypeError(
                f"f must return one complex number for a complex array, got shape {np.shape(y)} and type "
                f"{getattr(y, 'dtype', type(y).__name__)}"
            )
        gradient[i] = (y.item() if hasattr(y, "item") else y).imag / STEP
    return gradient


def complex_derivatives(projection: Projection, name: str, indices: list[tuple]) -> np.ndarray | None:
    """Return the derivatives of f, the weighted sum of the outputs, by the complex step.

    The derivatives are with respect to the elements of the array `name` at `indices`.

    Return None if the code does not accept complex numbers. During this call, complex copies replace all float arrays
    in the user's objects.
    """
    adapter = projection.adapter
    if projection.replayed == "state" or projection.written_inputs or not is_numpy(projection):
        return None
    inputs = adapter.inputs
    snapshot = Snapshot(adapter.source)
    try:
        cast_arrays(snapshot, np.complex128)
        new = {id(a): a.astype(np.complex128) for _, a in leaves("", inputs) if is_array(a) and is_float(a)}
        adapter.inputs = map_leaves(lambda a: new.get(id(a), a), inputs)
        parameters = adapter.complex_parameters()
        array = new.get(id(projection.variables[name]), parameters.get(name))
        if array is None:
            return None
        found = []
        with warnings.catch_warnings():
            warnings.simplefilter("error", np.exceptions.ComplexWarning)
            for index in indices:
                value = array[index]
                array[index] = value + 1j * STEP
                found.append(imaginary(projection) / STEP)
                array[index] = value
                if len(found) == 1 and found[0] != found[0]:
                    return None
        return np.array(found)
    except Exception:  # every error shows that the code does not accept complex numbers
        return None
    finally:
        adapter.inputs = inputs
        adapter.clear_saved()
        snapshot.restore()


def imaginary(projection: Projection) -> float:
    """Run forward. Return the imaginary part of f, the weighted sum of the outputs, or NaN if no output is complex."""
    total, any_complex = 0.0, False
    for (_, w), (_, y) in zip(leaves("", projection.weights), leaves("", projection.forward()), strict=True):
        if w is not None and np.iscomplexobj(y):
            total, any_complex = total + float(np.sum(np.imag(y) * w)), True
    projection.adapter.clear_saved()
    return total if any_complex else float("nan")


def is_numpy(projection: Projection) -> bool:
    """Return True if all parameters and float inputs are float64 NumPy arrays."""
    return all(isinstance(v, np.ndarray) and v.dtype == np.float64 for v in projection.variables.values())
