"""Numerical derivatives by finite differences, each with a bound on its own error.

    central      D(h) = (f(x+h) - f(x-h)) / 2h                    error ~ f''' h^2 / 6  +  eps |f| / h
    Richardson   R(h) = (4 D(h) - D(2h)) / 3                      error ~ f^(5) h^4 / 30  +  the same round-off
    one-sided    D+(h) = (4 f(x+h) - 3 f(x) - f(x+2h)) / 2h       and D-(h) with -h: they differ at a kink

Here eps is the relative rounding error of one number, 2.2e-16 in float64. The error of R(h) has a bound with two terms:
|D(h) - D(2h)| for truncation, and eps M / h for round-off. M is the sum of the absolute values of the terms that f
adds. If the bound is too large, `estimate` tries smaller steps. If |x| is small, the last steps are proportional to
|x|.

A kink is a point at which f has two different one-sided derivatives, and therefore no derivative. Where f is smooth,
|D+ - D-| = O(h^3) is smaller than |D(h) - D(2h)| = O(h^2). A larger |D+ - D-| comes from a kink or from noise. Suppose
that D+ and D- still differ at a step h that is smaller than |x| (if x is not 0) and smaller than the typical |x| of the
array. Then x lies on a kink, and every value between D- and D+ is accepted as the derivative.

A function that rounds its values may not change at all for a small h. Therefore `estimate` accepts a derivative of zero
only if the larger steps that it tried before give zero too.

In float32, the round-off error is larger than the truncation error, and larger steps reduce it. For such code,
`derivative_with_larger_steps` uses larger steps. It estimates the truncation error from R(h) at three steps.

References: Press et al., Numerical Recipes, section 5.7; Fornberg, 1988.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from .. import backend
from ..backend import Array
from ..checks import finite
from .nested import array_module, is_writeable, to_numpy

# The steps for values of 8 bytes (float64) and 4 bytes (float32). Each step is multiplied by max(1, |x|).
RELATIVE_STEPS = {8: (2e-4, 2e-5, 2e-6, 4e-7), 4: (1e-2, 2.5e-3)}
LARGER_STEPS = (0.16, 0.08, 0.04, 0.02)  # for code that computes in float32
# Additional steps for a small x: first as fractions of |x|, and then as fractions of the typical |x| of the array.
SMALL_VALUE_STEPS = (2e-2, 2e-4)


def numerical_gradient(f: Callable[[Array], Any], x: Array, eps: float | None = None) -> Array:
    """Compute the gradient of a function by finite differences.

    Parameters
    ----------
    f : callable
        Takes `x` and returns one number.
    x : float array
        `numerical_gradient` changes the elements of `x` one after the other, and restores them.
    eps : float, optional
        The step of a plain central difference. By default, `numerical_gradient` uses Richardson's formula, with steps
        that fit each value. This formula gives about eleven correct digits where `f` is smooth.

    Returns
    -------
    array
        The gradient, of the shape and dtype of `x`.

    Raises
    ------
    TypeError
        `x` is not a float array, or `f` does not return one real number.
    ValueError
        `eps` is not positive, or too small to change an element of `x`, or `x` is read-only.

    Examples
    --------
    >>> print(numerical_gradient(lambda x: (x ** 3).sum(), np.array([1.0, 2.0])).round(9))
    [ 3. 12.]
    """
    backend.array_module(x)
    if x.dtype.kind != "f":
        raise TypeError(f"x must be an array of floats, got {x.dtype}; use x.astype(numpy.float64)")
    if eps is not None and not finite("eps", eps) > 0:
        raise ValueError(f"eps must be positive, got {eps}")

    if not is_writeable(x):
        raise ValueError("x must be writable, because its elements are changed during the call: pass x.copy()")

    def value() -> float:
        y = f(x)
        if getattr(y, "size", 1) != 1 or np.iscomplexobj(y):
            what = f"an array of shape {y.shape}" if np.size(y) != 1 else "a complex one"
            raise TypeError(f"f must return one real number, got {what}")
        return float(y.item() if getattr(y, "ndim", 0) else y)  # NumPy 2.4 raises an error for float(array with axes)

    gradient = array_module(x).zeros_like(x)
    if eps is not None:
        for i in np.ndindex(x.shape):
            with perturbed(x, i) as move:
                up, above = move(eps), value()
                down, below = move(-eps), value()
            if up == down:
                element = f"x[{', '.join(map(str, i))}] = {float(x[i])}"
                raise ValueError(f"eps={eps} is too small: it does not change {element}, which has dtype {x.dtype}")
            gradient[i] = (above - below) / (up - down)
        return gradient
    centre = value()
    for i in np.ndindex(x.shape):
        gradient[i] = differentiate(value, x, i, centre, abs(centre)).value
    return gradient


class perturbed:
    """Change one element of an array in a ``with`` block, and restore it at the end of the block.

    In ``with perturbed(x, i) as move``, ``move(h)`` sets ``x[i]`` to its old value plus h. It returns the difference of
    the two values, which is h after rounding.
    """

    def __init__(self, x: Array, index: tuple):
        self.x, self.index = x, index
        self.value = x[index].copy()

    def __enter__(self) -> Callable[[float], float]:
        def move(h: float) -> float:
            self.x[self.index] = self.value + h
            return float(self.x[self.index]) - float(self.value)

        return move

    def __exit__(self, *error: Any) -> None:
        self.x[self.index] = self.value


@dataclass
class Derivative:
    """A derivative and its uncertainty.

    Attributes
    ----------
    value : float
    uncertainty : float
        An estimate of the largest error of `value`.
    low, high : float
        At a kink, the smaller and the larger one-sided derivative; elsewhere equal to `value`.
    kink : bool
    """

    value: float
    uncertainty: float
    low: float
    high: float
    kink: bool = False


def differentiate(
    f: Callable[[], float],
    x: Array,
    index: tuple,
    centre: float,
    magnitude: float,
    scale: float = 0.0,
    typical: float = 1.0,
    step_factor: float = 1.0,
) -> Derivative:
    """Return df/dx[index], where `f` reads `x`.

    Parameters
    ----------
    f : callable without arguments
    x : array
        Changed in place and restored.
    index : tuple
    centre : float
        f at x.
    magnitude : float
        The sum of the absolute values of the terms of f. The rounding error of f is about this sum times the machine
        epsilon.
    scale : float
        The size of the derivatives with respect to the other elements of `x`. If the uncertainty with one step is
        small compared with `scale`, smaller steps are not tried.
    typical : float
        The typical absolute value of the elements of `x`.
    step_factor : float
        A factor for all steps. A call with another factor gives a second estimate, to compare with the first.
    """
    with perturbed(x, index) as move:
        value = float(x[index])

        def evaluate_at(h: float) -> tuple[float, float]:
            return f() if (step := move(h)) == step else np.nan, step

        smaller = sorted({u for u in (abs(value), typical) if 0 < u < 0.01}, reverse=True)
        smaller = [step_factor * u for u in smaller]
        unit = step_factor * max(1.0, abs(value))
        return estimate(evaluate_at, centre, magnitude, unit, x.dtype.itemsize, scale, smaller)


def estimate(
    evaluate_at: Callable[[float], tuple[float, float]],
    centre: float,
    magnitude: float,
    unit: float,
    itemsize: int = 8,
    scale: float = 0.0,
    smaller: Sequence[float] = (),
) -> Derivative:
    """Return df/dh at h = 0. ``evaluate_at(h)`` returns f at h, and h after rounding.

    The steps are `RELATIVE_STEPS` times `unit`, and then `SMALL_VALUE_STEPS` times each number in `smaller`. `itemsize`
    is the number of bytes of one value. The other arguments are those of `differentiate`.
    """
    itemsize = min(itemsize, 8)  # a value of dtype longdouble becomes a Python float
    epsilon = {8: 2.2e-16, 4: 1.2e-7, 2: 1e-3}[itemsize]
    good = 1e-8 if itemsize == 8 else 1e-3
    tried: list[tuple[Derivative, float, float]] = []
    kink: tuple[Derivative, float] | None = None  # a kink that an earlier step found, and |D+ - D-|
    steps = [h * unit for h in RELATIVE_STEPS.get(itemsize, (0.05,))]
    for h in steps + [h * u for u in smaller for h in SMALL_VALUE_STEPS]:
        (p1, s1), (m1, t1), (p2, s2), (m2, t2) = (evaluate_at(k * h) for k in (1, -1, 2, -2))
        if 0 in (s1, t1, s2 - s1, t2 - t1):
            continue  # the step is too small for the precision of x
        if not np.isfinite([p1, m1, p2, m2]).all():
            continue  # outside the domain of f: try the next step, which is smaller
        near, far = (p1 - m1) / (s1 - t1), (p2 - m2) / (s2 - t2)
        plus, minus = (one_sided(centre, p1, p2, s1, s2), one_sided(centre, m1, m2, t1, t2))
        rounding = 4 * epsilon * max(magnitude, abs(p1)) / s1
        jump = abs(plus - minus)
        uncertainty = abs(near - far) + rounding
        value = (4 * near - far) / 3
        d = Derivative(value, uncertainty, value, value)
        if p1 == m1 == p2 == m2 == centre:
            # f does not change, so the derivative seems to be 0. If a larger step gave a derivative d that is not 0,
            # the true derivative may be d. So add |d|, minus the uncertainty of d, to the uncertainty.
            uncertainty += max([0.0, *(abs(t.value) - t.uncertainty - j for t, j, _ in tried)])
            d.uncertainty = uncertainty
        tried.append((d, jump, rounding))
        smooth = jump <= min(1e-3 * (abs(value) + scale), 10 * abs(near - far)) + 20 * rounding
        if smooth and uncertainty <= good * (abs(value) + 0.1 * scale) + 2 * rounding:
            return d
        kinked = jump > 20 * rounding and abs(tried[0][1] - jump) < 0.2 * jump and len(tried) > 1
        if kink and max(jump, 20 * rounding) < 0.5 * kink[1]:
            kink = None  # the jump D+ - D- shrinks with the step, so f is smooth, but strongly curved
        elif not kink and kinked and abs(tried[-2][1] - jump) < 0.01 * jump:
            low, high = sorted((plus, minus))
            kink = Derivative((low + high) / 2, abs(far - near) + 10 * rounding, low, high, kink=True), jump
        if kink and not any(u < h for u in smaller):
            return kink[0]
    if kink:
        return kink[0]
    if not tried:
        return Derivative(float("nan"), float("inf"), float("nan"), float("nan"))
    best, jump, rounding = min(tried, key=lambda t: t[0].uncertainty + (t[1] if t[1] > 20 * t[2] else 0))
    best.uncertainty += jump if jump > 20 * rounding else 0.0  # a large jump comes from noise or from a missed kink
    return best


def derivative_with_larger_steps(
    evaluate_at: Callable[[float], tuple[float, float]], centre: float, magnitude: float
) -> Derivative:
    """Return df/dh at h = 0 of a smooth function that computes in float32.

    The steps are larger than those of `estimate`, so the uncertainty from round-off is smaller. Each step is half as
    long as the one before. R(h), D+ and D- are the formulas at the top of this file. Where f is smooth, R(h) changes
    less and less from step to step: each change is about 1/16 of the change before. Then the truncation error of R(h)
    is about 1/16 of the last change. Close to a kink, D+ and D- differ, and their difference is added to the
    uncertainty. The arguments are those of `estimate`.
    """
    best, value, change = Derivative(np.nan, np.inf, np.nan, np.nan), np.nan, np.nan
    for h in LARGER_STEPS:
        (p1, s1), (m1, t1), (p2, s2), (m2, t2) = (evaluate_at(k * h) for k in (1, -1, 2, -2))
        if 0 in (s1, t1, s2 - s1, t2 - t1) or not np.isfinite([p1, m1, p2, m2]).all():
            value = change = np.nan
            continue
        coarser, value = value, (4 * (p1 - m1) / (s1 - t1) - (p2 - m2) / (s2 - t2)) / 3
        previous, change = change, abs(value - coarser)
        shrinkage = min(1.0, change / previous) if previous > 0 else 1.0
        rounding = 4 * 1.2e-7 * max(magnitude, abs(p1)) / s1
        jump = abs(one_sided(centre, p1, p2, s1, s2) - one_sided(centre, m1, m2, t1, t2))
        uncertainty = change * shrinkage + rounding + (jump if jump > 4 * rounding else 0.0)
        if uncertainty < best.uncertainty:
            best = Derivative(value, uncertainty, value, value)
    return best


def random_direction(shape: tuple[int, ...], rng: np.random.Generator) -> np.ndarray:
    """Return a random direction of length 10, or of length sqrt(size) for fewer than 100 elements."""
    v = rng.standard_normal(shape)
    v *= min(10.0, np.sqrt(v.size)) / max(float(np.linalg.norm(v)), 1e-300)
    return v


def one_sided(f0: float, f1: float, f2: float, h1: float, h2: float) -> float:
    """Return the slope at 0 of the parabola through (0, f0), (h1, f1) and (h2, f2)."""
    return (f1 - f0) / h1 * (h2 / (h2 - h1)) - (f2 - f0) / h2 * (h1 / (h2 - h1))


def typical_size(array: Array) -> float:
    """Return the median absolute value of the nonzero elements. In a large array, use a part of the elements.

    Return 1 if all elements are zero.
    """
    array = np.asarray(array) if isinstance(array, np.matrix) else array
    some = array if array.size <= 10_000 else array.ravel()[:: array.size // 10_000]
    sizes = to_numpy(abs(some[some != 0]))
    return float(np.median(sizes)) if sizes.size else 1.0
