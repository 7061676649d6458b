"""If a gradient has few elements, test its explanations again with other values of the arrays.

A point is one choice of values for all differentiated arrays. An explanation is a mistake that the diagnosis found. If
a gradient has few elements, an explanation may fit by chance, because several mistakes may give the same gradient at
one point. For example, at x = 2, the gradients 2 x and x^2 are equal. At other points, these mistakes give different
gradients. So an explanation is kept only if the diagnosis finds it at every point at which the gradient is wrong.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from typing import Any

import numpy as np

from ..nested import is_array, map_leaves
from ..projection import Projection
from ..report import Diagnosis
from .case import Case

FEW = 8  # if the wrong arrays have fewer than FEW elements in total, test the explanations at other points
POINTS = 4
Right = dict[str, tuple[np.ndarray, np.ndarray]]


def are_few(cases: dict[str, Case]) -> bool:
    """Return True if the wrong gradients have so few elements that a wrong explanation may fit by chance."""
    known = all(case.by_element and case.same_shape and case.smooth.all() for case in cases.values())
    return bool(cases) and known and sum(case.true.size for case in cases.values()) < FEW


def keep_what_holds_elsewhere(cases: dict[str, Case], projection: Projection, search: Callable) -> None:
    """Repeat the search for mistakes with other values of the arrays. Remove mistakes that are not found again.

    ``search(cases, right, true, given)`` searches for mistakes, and adds them to the cases. For each choice of values,
    this function calls `search` with new cases, which contain the gradients for these values.
    """
    rng, variables = np.random.default_rng(17), projection.variables
    for _ in range(POINTS):
        if not any(case.found for case in cases.values()):
            return
        with other_point(projection, rng):
            given, true = projection.analytic(), {name: central_differences(projection, name) for name in variables}
            others, right = cases_at_this_point(cases, given, true)
            if others:
                search(others, right, true, given)
        for name, other in others.items():
            names = {explanation(d) for _, d in other.found}
            cases[name].found = [pair for pair in cases[name].found if explanation(pair[1]) in names]


@contextmanager
def other_point(projection: Projection, rng: np.random.Generator) -> Iterator[None]:
    """In a ``with`` block, give other values to all differentiated arrays and to the output weights R."""
    outputs, weights, variables = projection.outputs, projection.weights, projection.variables
    held = {name: v.copy() for name, v in variables.items()}
    try:
        for name, v in variables.items():
            v[...] = held[name] * rng.uniform(0.7, 1.4, v.shape)
        projection.weights = map_leaves(lambda w: other_weights(w, rng), weights)
        projection.outputs = projection._copies(projection.forward())
        projection.adapter.clear_saved()
        yield
    finally:
        projection.outputs, projection.weights = outputs, weights
        for name, v in variables.items():
            v[...] = held[name]


def other_weights(weights: Any, rng: np.random.Generator) -> Any:
    """Return new weights R for an output. If the output is a single number, such as a loss, return `weights`."""
    if not is_array(weights) or weights.size < 2:
        return weights
    return weights * rng.uniform(0.7, 1.4, weights.shape)


def cases_at_this_point(
    cases: dict[str, Case], given: dict[str, np.ndarray], true: dict[str, np.ndarray]
) -> tuple[dict[str, Case], Right]:
    """Return two dictionaries for the current values of the arrays: the wrong gradients, and the right gradients.

    The first dictionary contains a new `Case` for each array of `cases` whose gradient is wrong for these values too.
    The second contains, for each array whose gradient is right, the gradient from backward and the true gradient.
    """
    wrong, right = {}, {}
    for name, t in true.items():
        g = given.get(name)
        if g is None or np.shape(g) != t.shape or not np.isfinite(t).all() or not np.isfinite(g).all():
            continue
        if np.abs(g - t).max(initial=0) <= 1e-5 * np.abs(t).max(initial=0):
            right[name] = (g, t)
        elif name in cases:
            entry = replace(cases[name].entry, analytic=g, numeric=t, low=t, high=t)
            wrong[name] = Case(entry, cases[name].projection, few=True)
    return wrong, right


def central_differences(projection: Projection, name: str) -> np.ndarray:
    """Return the true gradient of the weighted sum of the outputs with respect to the array `name`."""
    array = projection.variables[name]
    found = np.empty(array.shape)
    for index in np.ndindex(array.shape):
        value = float(array[index])
        h = 1e-5 * max(1.0, abs(value))
        array[index] = value + h
        above = projection()
        array[index] = value - h
        found[index] = (above - projection()) / (2 * h)
        array[index] = value
    return found


def explanation(diagnosis: Diagnosis) -> tuple[str, str, str]:
    """Return (mistake, place, factor): two diagnoses with the same three values explain a gradient in the same way."""
    factor = diagnosis.evidence.split(";")[0] if diagnosis.mistake == "scaled by a constant" else ""
    return diagnosis.mistake, diagnosis.place, factor
