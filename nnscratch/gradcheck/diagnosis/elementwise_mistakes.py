"""Mistakes in outputs y = phi(x) that are elementwise functions, and Jacobians that are reduced to their diagonal.

The functions share these arguments. `J` is the Jacobian of the outputs with respect to the array of the case
(jacobian.py). `R` are the weights of the outputs, so dy = R. `outputs` are the names and values of the outputs.
"""

from __future__ import annotations

from functools import partial
from typing import Any

import numpy as np

from ..nested import array_module, to_numpy
from .case import MAX_MISFIT, Case
from .jacobian import DirectionalJacobian, ElementJacobian
from .random_masks import is_random_mask
from .slope_formulas import name_slope


def elementwise_mistakes(case: Case, J: ElementJacobian | DirectionalJacobian, R: np.ndarray, outputs: list) -> None:
    """If forward is y = phi(x), element by element, find the formula that backward uses instead of phi'(x)."""
    x = to_numpy(case.projection.variables[case.name]).ravel()
    if len(outputs) != 1 or not J.is_diagonal:
        return
    slope = J.diagonal
    y = np.asarray(to_numpy(outputs[0][1])).ravel()
    shape, levels = case.given.shape, np.unique(np.round(slope, 6))
    nonzero = levels[levels != 0]
    on_off = len(levels) == 2 and 0 in levels
    factor = case.given.ravel() / R  # given = factor * dy

    def test(rank: float, other: Any, mistake: str, evidence: str) -> None:
        case.test(rank, (R * other).reshape(shape), mistake, evidence)

    if on_off:
        on = nonzero[0]
        scaled = "dy" if abs(on - 1) <= 1e-6 else f"{on:.4g} * dy"
        test(1.1, np.ones(x.size), "mask not applied", "given = dy, also where y does not depend on x")
        test(1.1, np.full(x.size, on), "mask not applied", f"given = {scaled}, also where y does not depend on x")
        if abs(on - 1) > 1e-6:
            missing = "keep-probability not applied" if is_drawn(case, slope) else "a factor missing"
            test(1.2, (slope != 0).astype(float), missing, f"forward multiplies by {on:.4g}, but backward does not")
            test(1.2, (slope != 0) / on, missing, f"forward multiplies by {on:.4g}, but backward divides by it")
        inverted = f"given = {scaled} where y does not depend on x, and 0 elsewhere"
        test(1.3, np.where(slope != 0, 0, on), "mask inverted", inverted)
        passed = np.abs(factor - on) <= MAX_MISFIT * abs(on)
        if x.size >= 8 and passed.any() and not passed.all() and not np.any(factor[~passed]):
            differ = int((passed != (slope != 0)).sum())
            evidence = f"the given gradient is 0 or {scaled}, but backward does not use the mask of forward"
            case.add(1.6, "another mask applied", f"{evidence}: {differ} of {x.size} elements differ")
    elif is_linear(case, slope):
        test(3.7, np.ones(x.size), "a factor missing", "given = dy, unchanged")
        for name, array in case.projection.variables.items():
            other = as_factor(to_numpy(array), shape)
            if other is not None and not np.allclose(other, slope):
                case.test(3.7, (R * other).reshape(shape), "the wrong array used", wrong_factor(case, slope, name))
        return
    else:
        later = 0.0 if len(case.projection.variables) == 1 else 2.5  # a weight, not a slope, may be the missing factor
        wrong = "activation's derivative wrong"
        test(1.2 + later, np.ones(x.size), "activation's derivative missing", "given = dy, unchanged")
        test(1.2 + later, y, wrong, "given = dy * y")
        test(1.2 + later, 1 - y, wrong, "given = dy * (1 - y)")
        test(1.2 + later, y**2, wrong, "given = dy * y^2")
        test(1.2 + later, 1 + y**2, wrong, "given = dy * (1 + y^2)")
        test(1.2 + later, y * (1 + y), wrong, "given = dy * y (1 + y)")
        test(1.2 + later, y * (1 - y), wrong, "given = dy * y (1 - y) (the derivative of sigmoid)")
        test(1.2 + later, 1 - y**2, wrong, "given = dy * (1 - y^2) (the derivative of tanh)")
        test(1.3 + later, slope**2, "activation's derivative applied twice", "given = dy * phi'(x)^2, where y = phi(x)")
    wrong_point = "derivative taken at the wrong value"
    instead = "with the input x instead of the output y"
    test(1.15, x * (1 - x), wrong_point, f"given = dy * x (1 - x): the formula y (1 - y), {instead}")
    test(1.15, 1 - x**2, wrong_point, f"given = dy * (1 - x^2): the formula 1 - y^2, {instead}")
    at_dy = elementwise_slope_at(case, R)
    if at_dy is not None and on_off:
        evidence = "given = dy * phi'(dy), where y = phi(x): the mask is computed from dy instead of x"
        test(1.12, at_dy, "another mask applied", evidence)
    elif at_dy is not None:
        test(1.12, at_dy, wrong_point, "given = dy * phi'(dy), where y = phi(x): phi' is taken at dy instead of x")
    if not on_off:
        at_y = elementwise_slope_at(case, y)
        if at_y is not None:
            evidence = "given = dy * phi'(y), where y = phi(x): phi' is taken at the activation y"
            test(1.1, at_y, wrong_point, f"{evidence} instead of the pre-activation x")
    if not case.found:
        later = 0.0 if len(case.projection.variables) == 1 else 2.5
        named = name_slope(x, y, slope, factor, partial(outputs_at, case), partial(elementwise_slope_at, case))
        if named is not None:
            case.add(named[0] + later, *named[1:])


def is_linear(case: Case, slope: np.ndarray) -> bool:
    """Return True if phi'(x) does not depend on x. Then y = g x + b, and forward has no activation function.

    `slope` is phi'(x).
    """
    x = to_numpy(case.projection.variables[case.name]).ravel()
    others = [elementwise_slope_at(case, point) for point in (-x, 0.5 * x + 0.3)]
    return all(other is not None and np.allclose(other, slope, rtol=1e-6) for other in others)


def is_drawn(case: Case, slope: np.ndarray) -> bool:
    """Return True if phi'(x), the array `slope`, is zero where a random mask such as dropout's is zero.

    The zeros of an activation function's derivative depend on the input, but the zeros of a random mask do not.
    """
    x = to_numpy(case.projection.variables[case.name]).ravel()
    other = elementwise_slope_at(case, -x)
    return other is not None and np.array_equal(other != 0, slope != 0) and is_random_mask(case.projection, slope)


def as_factor(array: np.ndarray, shape: tuple[int, ...]) -> np.ndarray | None:
    """Return `array`, broadcast to `shape` and flattened. Return None if `array` cannot be broadcast to `shape`."""
    if array.ndim > len(shape) or any(a not in (1, b) for a, b in zip(array.shape[::-1], shape[::-1], strict=False)):
        return None
    return np.broadcast_to(array, shape).ravel()


def wrong_factor(case: Case, slope: np.ndarray, used: str) -> str:
    """Return a text for the report: backward multiplies by the array `used` instead of dy/dx, which is `slope`."""
    arrays = {name: as_factor(to_numpy(a), case.shape) for name, a in case.projection.variables.items()}
    needed = next((name for name, a in arrays.items() if a is not None and np.allclose(a, slope)), "dy/dx")
    return f"backward multiplies by `{used}` instead of `{needed}`"


def outputs_at(case: Case, point: np.ndarray) -> np.ndarray | None:
    """Return the outputs of forward if the array of the case has the value `point`.

    Return None if forward cannot be run with this value.
    """
    array = case.projection.variables[case.name]
    held = array.copy()
    try:
        array[...] = array_module(array).asarray(point.reshape(array.shape))
        found = case.projection.flat_outputs()
    except (ValueError, ArithmeticError):
        return None
    finally:
        array[...] = held
    return found if np.isfinite(found).all() else None


def elementwise_slope_at(case: Case, point: np.ndarray) -> np.ndarray | None:
    """Return phi'(point) for y = phi(x), from finite differences of forward.

    Return None if forward cannot be run near `point`.
    """
    above, below = outputs_at(case, point + 1e-5), outputs_at(case, point - 1e-5)
    return None if above is None or below is None else (above - below) / 2e-5


def reduced_jacobian(case: Case, J: ElementJacobian | DirectionalJacobian, R: np.ndarray, outputs: list) -> None:
    """Test whether backward uses only the diagonal of the Jacobian, such as s (1 - s) for softmax, or no Jacobian."""
    if len(outputs) == 1 and R.size == case.true.size and not J.is_diagonal:
        shape = case.shape
        if J.diagonal is not None:
            evidence = (
                "given[i] = dy[i] J[i, i], with the Jacobian J of forward: backward leaves out the other elements of J"
            )
            case.test(1, (R * J.diagonal).reshape(shape), "Jacobian reduced to its diagonal", evidence)
        y = np.asarray(to_numpy(outputs[0][1])).ravel()
        case.test(1.5, (R * y).reshape(shape), "Jacobian reduced to its diagonal", "given = dy * y")
        case.test(3.6, R.reshape(shape), "Jacobian missing", "given = dy, unchanged")
