"""Formulas that backward may use instead of phi'(u) for y = phi(u), and a search for the formula that it used.

For example, forward computes ``y = np.tanh(u)``, and a student writes ``du = dy * (1 - y)``, where ``dy * (1 - y**2)``
is right.

The slope is the factor that backward uses as the derivative of y with respect to u. `slope_formulas` lists wrong
formulas for the slope. `name_slope` searches for the formula of the slope that a wrong backward used: a formula of the
list, a wrong mask, or a polynomial.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import numpy as np

from .case import MAX_MISFIT

WRONG, ELSEWHERE = "activation's derivative wrong", "derivative taken at the wrong value"
AT_INPUT = "with the input u instead of the output y"
SPARE_POINTS = 2  # a polynomial with n coefficients must fit at least n + SPARE_POINTS points


def slope_formulas(
    u: np.ndarray, y: np.ndarray, d: np.ndarray, phi: Callable, slope_at: Callable
) -> Iterator[tuple[float, str, str, np.ndarray]]:
    """Yield (rank, mistake, formula in words, values) for formulas that backward may use instead of phi'(u).

    Parameters
    ----------
    u, y, d : ndarray
        The input u, y = phi(u) and d = phi'(u), element by element.
    phi, slope_at : callable
        ``phi(a)`` computes phi, and ``slope_at(a)`` computes phi', for any array `a` with the shape of `u`. They return
        None if forward cannot compute phi(a).
    """
    own = polynomial_in(y, d)
    if own is not None:
        yield 1.35, ELSEWHERE, f"{own[1].replace('y', 'u')}: the formula {own[1]}, {AT_INPUT}", own[0](u)
    at_y = slope_at(y)
    if at_y is not None:
        yield 1.35, ELSEWHERE, "the derivative at the activation y instead of the pre-activation u", at_y
    phi_y = phi(y)
    if phi_y is not None:
        yield 1.35, WRONG, "1 - phi(y): phi is applied twice", 1 - phi_y
        yield 1.35, WRONG, "phi(y): phi is applied twice", phi_y
        if own is not None:
            yield 1.35, ELSEWHERE, f"{own[1].replace('y', 'phi(y)')}: phi is applied twice", own[0](phi_y)
    for formula, text in (
        (lambda u, y: y, "y"),
        (lambda u, y: 1 - y, "1 - y"),
        (lambda u, y: y * (1 - y), "y (1 - y) (the derivative of sigmoid)"),
        (lambda u, y: 1 - y**2, "1 - y^2 (the derivative of tanh)"),
        (lambda u, y: (1 - y) ** 2, "(1 - y)^2"),
        (lambda u, y: y**2, "y^2"),
        (lambda u, y: 1 + y**2, "1 + y^2"),
        (lambda u, y: y * (1 + y), "y (1 + y)"),
        (lambda u, y: u, "the input u"),
        (lambda u, y: 1 - u, "1 - u"),
        (lambda u, y: u * (1 - u), f"u (1 - u): the sigmoid's formula y (1 - y), {AT_INPUT}"),
        (lambda u, y: 1 - u**2, f"1 - u^2: tanh's formula 1 - y^2, {AT_INPUT}"),
        (lambda u, y: sigmoid(u), "the sigmoid of u"),
        (lambda u, y: sigmoid(y), "the sigmoid of y"),
        (lambda u, y: 1 - sigmoid(u), "1 - the sigmoid of u"),
        (lambda u, y: 1 - sigmoid(y), "1 - the sigmoid of y"),
        (lambda u, y: sigmoid(u) * (1 - sigmoid(u)), "the sigmoid's derivative at u"),
        (lambda u, y: sigmoid(y) * (1 - sigmoid(y)), "the sigmoid's derivative at y"),
        (lambda u, y: 1 - np.tanh(u), "1 - tanh(u)"),
        (lambda u, y: 1 - np.tanh(u) ** 2, "tanh's derivative at u"),
        (lambda u, y: 1 - np.tanh(y) ** 2, "tanh's derivative at y"),
        (lambda u, y: np.exp(u), "exp(u)"),
        (lambda u, y: np.where(u > 0, 1.0, 0.0), "1 where u is above 0, else 0"),
        (lambda u, y: np.where(y > 0, 1.0, 0.0), "1 where y is above 0, else 0"),
        (lambda u, y: np.where(u > 0, 1.0, y), "1 where u is above 0, else y"),
        (lambda u, y: np.where(u > 0, 1.0, u), "1 where u is above 0, else u"),
    ):
        rank = 3.42 if "sigmoid of" in text or text in ("the input u", "1 - u", "exp(u)") else 1.35
        yield rank, (ELSEWHERE if AT_INPUT in text else WRONG), text, formula(u, y)
    top = float(np.abs(d).max(initial=0))
    yield 1.36, WRONG, f"{top:.4g} times the sign of u", top * np.sign(u)
    nonzero = d.all()
    yield 3.42, WRONG, "1 / phi'(u)", 1 / d if nonzero else 0 * d
    if (d >= 0).all():
        yield 3.42, WRONG, "the square root of phi'(u)", np.sqrt(d)


def sigmoid(x: Any) -> Any:
    """Return the logistic function."""
    return 0.5 * (1 + np.tanh(0.5 * x))


def polynomial_in(point: np.ndarray, values: np.ndarray) -> tuple[Callable, str] | None:
    """Return (polynomial, formula) if `values` are a polynomial of degree 1 or 2 in the elements of `point`.

    Return None if there is no such polynomial.

    If no polynomial fits all elements, leave out the elements with the most frequent value, and try again. For example,
    the slope of ELU is 1 for all u > 0, and y + 1 elsewhere.
    """
    p, v = np.ravel(point), np.ravel(values)
    known = np.isfinite(p) & np.isfinite(v)
    rounded = np.round(v, 9)
    levels, counts = np.unique(rounded[known], return_counts=True)
    flat = rounded == levels[np.argmax(counts)] if counts.max(initial=0) > 1 else np.zeros(v.shape, dtype=bool)
    for used in (known, known & ~flat):
        for degree in (1, 2):
            if used.sum() < degree + 1 + SPARE_POINTS or np.ptp(v[used]) < 1e-9 or np.ptp(p[used]) == 0:
                continue
            c = np.polyfit(p[used], v[used], degree, full=True)[0]
            if np.abs(np.polyval(c, p[used]) - v[used]).max() > 1e-6 * np.abs(v[used]).max():
                continue
            constant = np.where(flat, v, np.nan).reshape(np.shape(values))
            whole = bool(used.all())

            def polynomial(x: Any, c: Any = c, constant: Any = constant, whole: bool = whole) -> Any:
                return np.polyval(c, x) if whole else np.where(np.isfinite(constant), constant, np.polyval(c, x))

            return polynomial, formula_of(c)
    return None


def formula_of(coefficients: np.ndarray) -> str:
    """Return a polynomial in y as text, such as "1 - y^2"."""
    words = ""
    for power, c in enumerate(coefficients[::-1]):
        if abs(c) > 1e-7:
            symbol = ("", "y", "y^2")[power]
            factor = "" if symbol and abs(abs(c) - 1) < 1e-6 else f"{abs(c):.4g}"
            sign = (" - " if c < 0 else " + ") if words else ("-" if c < 0 else "")
            words += f"{sign}{factor}{' ' if factor and symbol else ''}{symbol}"
    return words or "0"


def name_slope(
    u: np.ndarray, y: np.ndarray, d: np.ndarray, g: np.ndarray, phi: Callable, slope_at: Callable
) -> tuple[float, str, str] | None:
    """Return (rank, mistake, evidence) for the slope `g` that backward used instead of `d`, which is phi'(u).

    Return None if no formula gives `g`. The other arguments are those of `slope_formulas`.
    """
    u, y, d, g = (np.asarray(a, dtype=float) for a in (u, y, d, g))
    if g.size < 4:
        return None
    size = max(float(np.abs(g).max()), 1e-300)
    says = "the derivative that backward uses for y = phi(u) is "

    def fits(values: Any) -> bool:
        return float(np.abs(values - g).max()) <= MAX_MISFIT * size

    if fits(d):
        return None
    levels = np.unique(np.round(d, 6))
    on = float(levels[-1])
    is_mask = bool(np.isin(levels, [0, on]).all())
    for constant in (1.0, on) if is_mask else (1.0,):
        if fits(constant):
            missing = "mask not applied" if is_mask else "activation's derivative missing"
            return 1.21, missing, f"{says}{constant:.4g} everywhere"
    if is_mask:
        other = name_mask(u, d, g, on)
        if other:
            return 1.35, "another mask applied", other
    for rank, mistake, text, values in slope_formulas(u, y, d, phi, slope_at):
        if fits(values):
            return rank + 0.01, mistake, says + text
    changed = np.abs(g - d) > MAX_MISFIT * size
    if 3 <= changed.sum() < g.size and max(np.ptp(g[changed]), np.ptp(d[changed])) <= MAX_MISFIT * size:
        return 1.4, WRONG, f"{says}{g[changed][0]:.4g} where it should be {d[changed][0]:.4g}"
    true_formula = polynomial_in(y, d)
    for point, letter in ((y, "y"), (u, "u")):
        used = polynomial_in(point, g)
        if used is not None:
            text = used[1].replace("y", letter)
            if letter == "u" and true_formula is not None:
                return 1.4, ELSEWHERE, f"{says}{text}: a formula {AT_INPUT}"
            return 1.42, WRONG, says + text
    return None


def name_mask(u: np.ndarray, d: np.ndarray, g: np.ndarray, on: float) -> str | None:
    """Return a text for the report which says how backward's mask `g` differs from `d`, the mask of forward.

    A mask contains the number `on` at the elements that it passes, and 0 at all other elements. For example, if `g`
    passes all inputs above some number, the returned text names this threshold. Return None if `g` is not a mask, or if
    it passes all elements or none.
    """
    near = [np.abs(g - level) <= MAX_MISFIT * abs(on) for level in (0, on)]
    passed = near[1]
    if g.size < 6 or not (near[0] | passed).all() or not passed.any() or passed.all():
        return None
    differ = int((passed != (d != 0)).sum())
    words = f"backward does not use the same mask as forward: {differ} of {g.size} elements differ"
    mask = "; backward's mask is 1 if"
    inside, outside = u[passed], u[~passed]
    if outside.max() < inside.min():
        words += f"{mask} the input is above a threshold between {outside.max():.3g} and {inside.min():.3g}"
    elif outside.min() > inside.max():
        words += f"{mask} the input is below a threshold between {inside.max():.3g} and {outside.min():.3g}"
    elif np.abs(outside).min() > np.abs(inside).max():
        low, high = np.abs(inside).max(), np.abs(outside).min()
        words += f"{mask} |input| is below a threshold between {low:.3g} and {high:.3g}"
    return words
