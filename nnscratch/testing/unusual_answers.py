"""Hints about unusual values of an answer, such as None, NaN or integers, in a check that failed."""

from __future__ import annotations

import ast
import math
from typing import Any

import numpy as np

from .hints import STILL_DOTS, definition_of, has_return, is_own, missing_return, name_of, sources
from .safe_values import SafeValues, Unknown
from .traceback_places import Place

SMALLEST = 1e-3  # a number below this one counts as a tolerance, not as an expected value


def answer_hints(place: Place) -> list[str]:
    """Return hints about unusual values of answers, in an assertion or in a call that raised an AssertionError."""
    statement, values = place.statement, SafeValues(place.frame)
    if not isinstance(statement, (ast.Assert, ast.Expr)) or place.check is None:
        return []
    checked = statement.test if isinstance(statement, ast.Assert) else statement.value
    known = sources(place, place.check.lineno)
    # Only for `assert`: assert_values_match itself has a message for a wrong dtype.
    fractions = isinstance(statement, ast.Assert) and expects_fractions(checked, values)
    hints, waiting = [], [checked]
    while waiting:
        node = waiting.pop()
        for call in (n for n in ast.walk(node) if isinstance(n, ast.Call)):
            function = values.function(call)
            body = definition_of(function) if function is not None and is_own(function) else None
            if body is not None and not has_return(body):
                hints.append(missing_return(function))
        for name in dict.fromkeys(n.id for n in ast.walk(node) if isinstance(n, ast.Name)):
            source = known.pop(name, None)
            if source is not None:
                hints += unusual(name, values.variables.get(name), source, values, fractions)
                waiting.append(source)
    return list(dict.fromkeys(hints))


def expects_fractions(checked: Any, values: SafeValues) -> bool:
    """Return True if a check contains a number that is not whole, such as 0.5. A tolerance of 1e-6 does not count."""
    for node in (n for n in ast.walk(checked) if isinstance(n, ast.expr)):
        try:
            value = values.of(node)
        except Unknown:
            continue
        if type(value) is list and all(isinstance(part, (int, float)) for part in value):
            value = np.array(value)
        if isinstance(value, (float, np.ndarray)) and np.asarray(value).dtype.kind == "f":
            if ((np.abs(value) > SMALLEST) & (value != np.round(value))).any():
                return True
    return False


def unusual(name: str, value: Any, source: Any, values: SafeValues, fractions: bool) -> list[str]:
    """Return a hint if an answer has returned an unusual value, such as NaN or a tuple of one element."""
    function = values.function(source) if isinstance(source, ast.Call) else None
    if function is None or not is_own(function):
        return []
    if value is None:
        return [missing_return(function)]
    if value is ...:
        return [STILL_DOTS]
    if isinstance(value, float) and math.isnan(value) or has_nan(value):
        return [f"`{name_of(function)}` returns NaN, from 0 / 0, inf - inf or the logarithm of a negative number."]
    if isinstance(value, tuple) and len(value) == 1:
        return [f"`{name_of(function)}` returns a tuple with one element. A comma after the value makes a tuple."]
    if fractions and type(value) is np.ndarray and value.dtype.kind in "iub":
        return [f"`{name_of(function)}` returns an array of {value.dtype}, which cannot hold fractions."]
    return []


def has_nan(value: Any) -> bool:
    """Return True for an array of floats with NaN in it."""
    return type(value) is np.ndarray and value.dtype.kind in "fc" and bool(np.isnan(value).any())
