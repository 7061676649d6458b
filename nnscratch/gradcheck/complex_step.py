"""The derivative by a step into the complex plane: no difference is taken, so nothing is lost to rounding.

    f(x + ih) = f(x) + ih f'(x) - h^2 f''(x)/2 - ...    so    f'(x) = Im f(x + ih) / h + O(h^2)

With h = 1e-30 the error is the machine's alone. It asks that f is analytic and computed with complex numbers
throughout: a modulus, a real part or an array of floats on the way drops the imaginary part without a word. So it is
believed only where a difference confirms it. (Lyness and Moler, 1967; Squire and Trapp, 1998.)
"""

from __future__ import annotations

import warnings
from collections.abc import Callable
from typing import Any

import numpy as np

from .. import backend
from ..backend import Array
from .isolation import Snapshot, recast
from .objective import Objective
from .tree import is_array, is_float, leaves, transform

STEP = 1e-30


def complex_step_gradient(f: Callable[[Array], Any], x: Array) -> Array:
    """The gradient of a function of an array, to machine precision, if the function takes complex numbers.

    Parameters
    ----------
    f : callable
        Takes a complex array like `x`, returns one complex number. It has to be analytic: made of arithmetic, powers,
        exp, sin ... and products of matrices, without abs, conj or real.
    x : array of floats

    Returns
    -------
    float64 array
        Shape of `x`.

    Raises
    ------
    TypeError
        `x` is no array of floats, or `f` returns no complex number.

    Examples
    --------
    >>> x = np.array([1.0, 2.0])
    >>> bool((complex_step_gradient(lambda z: np.sin(z).sum(), x) == np.cos(x)).all())
    True
    """
    if backend.array_module(x) and x.dtype.kind != "f":
        raise TypeError(f"x must be an array of floats, got {x.dtype}")
    z = x.astype(np.complex128)
    gradient = backend.array_module(x).zeros(x.shape)
    for i in np.ndindex(x.shape):
        held = z[i].copy()
        z[i] = held + 1j * STEP
        y = f(z)
        z[i] = held
        if getattr(y, "size", 1) != 1 or not np.iscomplexobj(y):
            raise TypeError("f must return one complex number when given complex ones; it returned something else")
        gradient[i] = float(y.imag) / STEP
    return gradient


def complex_derivatives(objective: Objective, name: str, places: list[tuple]) -> np.ndarray | None:
    """df/d(variable `name`) at `places`; None where the target does not take complex numbers.

    All float arrays that the target holds are complex for the time of this call.
    """
    target = objective.target
    if objective.replayed == "state" or objective.written or not is_numpy(objective):
        return None
    inputs = target.inputs
    snapshot = Snapshot(target.source)
    try:
        recast(snapshot, np.complex128)
        new = {id(a): a.astype(np.complex128) for _, a in leaves("", inputs) if is_array(a) and is_float(a)}
        target.inputs = transform(lambda a: new.get(id(a), a), inputs)
        parameters = target.complex_parameters()
        array = new.get(id(objective.variables[name]), parameters.get(name))
        if array is None:
            return None
        found = []
        with warnings.catch_warnings():
            warnings.simplefilter("error", np.exceptions.ComplexWarning)
            for place in places:
                value = array[place]
                array[place] = value + 1j * STEP
                found.append(imaginary(objective) / STEP)
                array[place] = value
                if len(found) == 1 and found[0] != found[0]:
                    return None
        return np.array(found)
    except Exception:  # whatever a target says to complex numbers means that it does not take them
        return None
    finally:
        target.inputs = inputs
        target.forget()
        snapshot.restore()


def imaginary(objective: Objective) -> float:
    """Im <R, y>; NaN where the outputs are not complex."""
    total, any_complex = 0.0, False
    for (_, w), (_, y) in zip(leaves("", objective.weights), leaves("", objective.forward()), strict=True):
        if w is not None and np.iscomplexobj(y):
            total, any_complex = total + float(np.sum(np.imag(y) * w)), True
    objective.target.forget()
    return total if any_complex else float("nan")


def is_numpy(objective: Objective) -> bool:
    return all(isinstance(v, np.ndarray) and v.dtype == np.float64 for v in objective.variables.values())
