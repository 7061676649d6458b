"""Find mistakes in the derivative of an elementwise function y = phi(x), and in the Jacobian of other functions.

For example, forward is ``y = np.tanh(x)``, and a student returns ``dy * (1 - x**2)``, where ``dy * (1 - y**2)`` is
right. To find this mistake, divide backward's gradient by dy, and compare the quotient with the formulas that students
use.

Here x is the array with the wrong gradient. Backward must return dy * phi'(x), and the slope is the factor phi'(x). The
functions share these arguments:

    J          the Jacobian of the outputs with respect to x (jacobian.py)
    R          the weights of the outputs, so dy = R
    outputs    the names and values of the outputs
    slope      phi'(x), a flat array
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
    if len(outputs) != 1 or not J.is_diagonal:
        return
    slope = J.diagonal
    y = np.asarray(to_numpy(outputs[0][1])).ravel()
    levels = np.unique(np.round(slope, 6))
    is_mask = len(levels) == 2 and 0 in levels  # phi'(x) is 0 or one other number, as for ReLU
    if is_mask:
        wrong_mask(case, slope, R, levels[levels != 0][0])
    elif is_linear(case, slope):
        wrong_constant(case, slope, R)
        return
    else:
        wrong_slope(case, slope, R, y)
    slope_at_wrong_value(case, R, y, is_mask)
    if not case.found:
        x = to_numpy(case.projection.variables[case.name]).ravel()
        factor = case.given.ravel() / R  # given = factor * dy
        named = name_slope(x, y, slope, factor, partial(outputs_at, case), partial(elementwise_slope_at, case))
        if named is not None:
            case.add(named[0] + rank_of_slopes(case), *named[1:])


def rank_of_slopes(case: Case) -> float:
    """Return a number to add to the rank of a mistake in the slope phi'(x). Mistakes with small ranks come first.

    For example, forward computes y = w * tanh(x). If backward leaves out w, the slope looks wrong, but the mistake is
    the missing weight. So if the check differentiates several arrays, the number is positive. Then a mistake that names
    a weight comes before a wrong slope.
    """
    return 0.0 if len(case.projection.variables) == 1 else 2.5


def test_factor(case: Case, R: np.ndarray, rank: float, factor: Any, mistake: str, evidence: str) -> None:
    """Add the mistake to `case` if backward multiplies dy by `factor`."""
    case.test(rank, (R * factor).reshape(case.given.shape), mistake, evidence)


def wrong_mask(case: Case, slope: np.ndarray, R: np.ndarray, on: float) -> None:
    """Test mistakes about a function such as ReLU. Each element of `slope`, its derivative, is 0 or `on`."""
    test, ones = partial(test_factor, case, R), np.ones(slope.size)
    scaled = "dy" if abs(on - 1) <= 1e-6 else f"{on:.4g} * dy"
    test(1.1, ones, "mask not applied", "given = dy, also where y does not depend on x")
    test(1.1, np.full(slope.size, on), "mask not applied", f"given = {scaled}, also where y does not depend on x")
    if abs(on - 1) > 1e-6:
        missing = "keep-probability not applied" if is_drawn(case, slope) else "a factor missing"
        test(1.2, (slope != 0).astype(float), missing, f"forward multiplies by {on:.4g}, but backward does not")
        test(1.2, (slope != 0) / on, missing, f"forward multiplies by {on:.4g}, but backward divides by it")
    inverted = f"given = {scaled} where y does not depend on x, and 0 elsewhere"
    test(1.3, np.where(slope != 0, 0, on), "mask inverted", inverted)
    factor = case.given.ravel() / R  # given = factor * dy
    passed = np.abs(factor - on) <= MAX_MISFIT * abs(on)
    if slope.size >= 8 and passed.any() and not passed.all() and not np.any(factor[~passed]):
        differ = int((passed != (slope != 0)).sum())
        evidence = f"the given gradient is 0 or {scaled}, but backward does not use the mask of forward"
        case.add(1.6, "another mask applied", f"{evidence}: {differ} of {slope.size} elements differ")


def wrong_constant(case: Case, slope: np.ndarray, R: np.ndarray) -> None:
    """Test mistakes about y = g x + b, where g is the array `slope`: backward multiplies dy by a wrong array."""
    test_factor(case, R, 3.7, np.ones(slope.size), "a factor missing", "given = dy, unchanged")
    for name, array in case.projection.variables.items():
        other = as_factor(to_numpy(array), case.given.shape)
        if other is not None:
            test_factor(case, R, 3.7, other, "the wrong array used", wrong_factor(case, slope, name))


def wrong_slope(case: Case, slope: np.ndarray, R: np.ndarray, y: np.ndarray) -> None:
    """Test mistakes about an activation function y = phi(x) with the derivative `slope`."""
    later, wrong = rank_of_slopes(case), "activation's derivative wrong"
    for rank, factor, mistake, text in (
        (1.2, np.ones(y.size), "activation's derivative missing", "dy, unchanged"),
        (1.2, y, wrong, "dy * y"),
        (1.2, 1 - y, wrong, "dy * (1 - y)"),
        (1.2, y**2, wrong, "dy * y^2"),
        (1.2, 1 + y**2, wrong, "dy * (1 + y^2)"),
        (1.2, y * (1 + y), wrong, "dy * y (1 + y)"),
        (1.2, y * (1 - y), wrong, "dy * y (1 - y) (the derivative of sigmoid)"),
        (1.2, 1 - y**2, wrong, "dy * (1 - y^2) (the derivative of tanh)"),
        (1.3, slope**2, "activation's derivative applied twice", "dy * phi'(x)^2, where y = phi(x)"),
    ):
        test_factor(case, R, rank + later, factor, mistake, f"given = {text}")


def slope_at_wrong_value(case: Case, R: np.ndarray, y: np.ndarray, is_mask: bool) -> None:
    """Test whether backward computes phi' at a wrong value: at dy, at y, or at x with a formula that needs y.

    For example, forward computes y = tanh(x), and backward uses 1 - x^2 instead of 1 - y^2.

    `is_mask` is True if phi' is 0 or one other number.
    """
    test, mistake = partial(test_factor, case, R), "derivative taken at the wrong value"
    x = to_numpy(case.projection.variables[case.name]).ravel()
    instead = "with the input x instead of the output y"
    test(1.15, x * (1 - x), mistake, f"given = dy * x (1 - x): the formula y (1 - y), {instead}")
    test(1.15, 1 - x**2, mistake, f"given = dy * (1 - x^2): the formula 1 - y^2, {instead}")
    at_dy = elementwise_slope_at(case, R)
    evidence = "given = dy * phi'(dy), where y = phi(x): "
    if at_dy is not None and is_mask:
        test(1.12, at_dy, "another mask applied", f"{evidence}the mask is computed from dy instead of x")
    elif at_dy is not None:
        test(1.12, at_dy, mistake, f"{evidence}phi' is taken at dy instead of x")
    at_y = None if is_mask else elementwise_slope_at(case, y)
    if at_y is not None:
        evidence = "given = dy * phi'(y), where y = phi(x): phi' is taken at the activation y"
        test(1.1, at_y, mistake, f"{evidence} instead of the pre-activation x")


def is_linear(case: Case, slope: np.ndarray) -> bool:
    """Return True if phi'(x) does not depend on x. Then y = g x + b, and forward has no activation function.

    `slope` is phi'(x).
    """
    x = to_numpy(case.projection.variables[case.name]).ravel()
    others = [elementwise_slope_at(case, point) for point in (-x, 0.5 * x + 0.3)]
    return all(other is not None and np.allclose(other, slope, rtol=1e-6) for other in others)


def is_drawn(case: Case, slope: np.ndarray) -> bool:
    """Return True if the zeros of `slope` come from a random mask, such as dropout's.

    To decide this, replace x by -x. The zeros of a random mask stay at the same elements. The zeros that come from an
    activation function, such as ReLU, move to other elements.
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
    """Return a text for the report: backward multiplies by the array `used` instead of `slope`, which is dy/dx."""
    arrays = {name: as_factor(to_numpy(a), case.shape) for name, a in case.projection.variables.items()}
    needed = next((name for name, a in arrays.items() if a is not None and np.allclose(a, slope)), "dy/dx")
    return f"backward multiplies by `{used}` instead of `{needed}`"


def outputs_at(case: Case, point: np.ndarray) -> np.ndarray | None:
    """Return the outputs of forward if the array of `case` has the value `point`.

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
    """Test whether backward uses only the diagonal of the Jacobian, such as s (1 - s) for softmax, or returns dy."""
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
