"""Derivatives by differences: slow, simple, and with a bound on their own error.

    central      D(h) = (f(x+h) - f(x-h)) / 2h                    error ~ f''' h^2 / 6  +  eps |f| / h
    Richardson   R(h) = (4 D(h) - D(2h)) / 3                      error ~ f^(5) h^4 / 30  +  the same round-off
    one-sided    D+(h) = (4 f(x+h) - 3 f(x) - f(x+2h)) / 2h       and D- likewise: they differ at a kink

|D(h) - D(2h)| bounds what truncation can have done to R(h), eps sum|terms of f| / h what round-off can. Where the bound
is too large a smaller h is tried, in the end one in proportion to a small x; where D+ and D- go on differing as h
shrinks there is a kink, and the derivative is an interval. Where f is smooth, |D+ - D-| = O(h^3) is smaller than
|D(h) - D(2h)| = O(h^2): more is a kink's or noise's. A function that moves in steps (rounded, quantised) stands still
for a small h: that is believed only if the larger h allow it. (Press et al., Numerical Recipes, section 5.7; Fornberg,
1988.)
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from .. import backend
from ..backend import Array

STEPS = {8: (2e-4, 2e-5, 2e-6, 4e-7), 4: (1e-2, 2.5e-3)}  # bytes per number -> steps tried, for |x| of 1 or less
NEARER = (2e-2, 2e-4)  # then these, times |x| and times the array's usual |x|, where these are small


def numerical_gradient(f: Callable[[Array], Any], x: Array, eps: float | None = None) -> Array:
    """The gradient of a function of an array, by differences.

    Parameters
    ----------
    f : callable
        Takes `x`, returns one number.
    x : array of floats
        Changed for the moment of each call, and put back.
    eps : float, optional
        The step of a plain central difference. By default the step is scaled to each value and the estimate is
        Richardson's, good to about eleven digits where `f` is smooth.

    Returns
    -------
    array
        Shape and dtype of `x`.

    Raises
    ------
    TypeError
        `x` is no array of floats, or `f` returns no number.
    ValueError
        `eps` is not positive, or `x` is read-only.

    Examples
    --------
    >>> print(numerical_gradient(lambda x: (x ** 3).sum(), np.array([1.0, 2.0])).round(9))
    [ 3. 12.]
    """
    backend.array_module(x)
    if x.dtype.kind != "f":
        raise TypeError(f"x must be an array of floats, got {x.dtype}; use x.astype(numpy.float64)")
    if eps is not None and not eps > 0:
        raise ValueError(f"eps must be positive, got {eps}")

    if not getattr(x.flags, "writeable", True):
        raise ValueError("x is read-only, and has to be moved for a moment; give x.copy()")

    def value() -> float:
        y = f(x)
        if getattr(y, "size", 1) != 1 or np.iscomplexobj(y):
            what = f"an array of shape {y.shape}" if np.size(y) != 1 else "a complex one"
            raise TypeError(f"f must return one real number, got {what}")
        return float(y)

    gradient = backend.array_module(x).zeros_like(x)
    if eps is not None:
        for i in np.ndindex(x.shape):
            with nudged(x, i) as move:
                up, above = move(eps), value()
                down, below = move(-eps), value()
            gradient[i] = (above - below) / (up - down)
        return gradient
    centre = value()
    for i in np.ndindex(x.shape):
        gradient[i] = differentiate(value, x, i, centre, abs(centre)).value
    return gradient


class nudged:
    """``with nudged(x, i) as move: move(h)`` sets x[i] to its value + h; leaving puts the value back.

    ``move`` returns the step really made, which rounding may have changed.
    """

    def __init__(self, x: Array, index: tuple):
        self.x, self.index = x, index
        self.value = x[index].copy() if hasattr(x[index], "copy") else x[index]

    def __enter__(self) -> Callable[[float], float]:
        def move(h: float) -> float:
            self.x[self.index] = self.value + h
            return float(self.x[self.index]) - float(self.value)

        return move

    def __exit__(self, *error: Any) -> None:
        self.x[self.index] = self.value


@dataclass
class Derivative:
    """A derivative and how far it can be trusted.

    Attributes
    ----------
    value : float
    uncertainty : float
        Its error is at most about this.
    low, high : float
        Equal to `value` where the function is smooth; the one-sided derivatives at a kink.
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
    size: float,
    scale: float = 0.0,
    usual: float = 1.0,
    stretch: float = 1.0,
) -> Derivative:
    """df/dx[index], where `f` reads `x`.

    Parameters
    ----------
    f : callable without arguments
    x : array
        Moved in place, and put back.
    centre : float
        f as it is.
    size : float
        The sum of the absolute values that `f` adds up: rounding errors are about this times the machine's epsilon.
    scale : float
        How large the array's other derivatives are: an uncertainty small beside it is small enough.
    usual : float
        How large the array's other values are.
    stretch : float
        All steps times this: an estimate to compare with.
    """
    with nudged(x, index) as move:
        at = float(x[index])

        def along(h: float) -> tuple[float, float]:
            return f() if (step := move(h)) == step else np.nan, step

        nearer = sorted({u for u in (abs(at), usual) if 0 < u < 0.01}, reverse=True)
        nearer = [stretch * u for u in nearer]
        return estimate(along, centre, size, stretch * max(1.0, abs(at)), x.dtype.itemsize, scale, nearer)


def estimate(
    along: Callable[[float], tuple[float, float]],
    centre: float,
    size: float,
    unit: float,
    itemsize: int = 8,
    scale: float = 0.0,
    nearer: Sequence[float] = (),
) -> Derivative:
    """The derivative at 0 of ``along``, which returns the value at h and the step really made."""
    epsilon = {8: 2.2e-16, 4: 1.2e-7, 2: 1e-3}[itemsize]
    good = 1e-8 if itemsize == 8 else 1e-3
    tried: list[tuple[Derivative, float, float]] = []
    for h in [h * unit for h in STEPS.get(itemsize, (0.05,))] + [h * u for u in nearer for h in NEARER]:
        (p1, s1), (m1, t1), (p2, s2), (m2, t2) = (along(k * h) for k in (1, -1, 2, -2))
        if not np.isfinite([p1, m1, p2, m2]).all():
            continue  # outside the domain: come nearer
        near, far = (p1 - m1) / (s1 - t1), (p2 - m2) / (s2 - t2)
        plus, minus = (one_sided(centre, p1, p2, s1, s2), one_sided(centre, m1, m2, t1, t2))
        rounding = 4 * epsilon * max(size, abs(p1)) / s1
        jump = abs(plus - minus)
        uncertainty = abs(near - far) + rounding
        value = (4 * near - far) / 3
        d = Derivative(value, uncertainty, value, value)
        gap = max([0.0, *(abs(value - t.value) - t.uncertainty - j for t, j, _ in tried)])  # disagrees with larger h
        if p1 == m1 == p2 == m2 == centre:
            d.uncertainty = uncertainty = uncertainty + gap
        tried.append((d, jump, rounding))
        smooth = jump <= min(1e-3 * (abs(value) + scale), 10 * abs(near - far)) + 20 * rounding
        if smooth and uncertainty <= good * (abs(value) + 0.1 * scale) + 2 * rounding:
            return d
        kinked = jump > 20 * rounding and abs(tried[0][1] - jump) < 0.2 * jump and len(tried) > 1
        if kinked and abs(tried[-2][1] - jump) < 0.01 * jump:
            low, high = sorted((plus, minus))
            return Derivative((low + high) / 2, abs(far - near) + 10 * rounding, low, high, kink=True)
    if not tried:
        return Derivative(float("nan"), float("inf"), float("nan"), float("nan"))
    best, jump, rounding = min(tried, key=lambda t: t[0].uncertainty + (t[1] if t[1] > 20 * t[2] else 0))
    best.uncertainty += jump if jump > 20 * rounding else 0.0  # noise, or a kink not understood
    return best


def random_direction(shape: tuple[int, ...], rng: np.random.Generator) -> np.ndarray:
    """A random direction of length 10; shorter, sqrt(size), in arrays of less than 100 elements."""
    v = rng.standard_normal(shape)
    v *= min(10.0, np.sqrt(v.size)) / max(float(np.linalg.norm(v)), 1e-300)
    return v


def one_sided(f0: float, f1: float, f2: float, h1: float, h2: float) -> float:
    """The slope at 0 of the parabola through (0, f0), (h1, f1), (h2, f2)."""
    return (f1 - f0) / h1 * (h2 / (h2 - h1)) - (f2 - f0) / h2 * (h1 / (h2 - h1))
