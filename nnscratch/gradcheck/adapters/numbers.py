"""Inputs that are Python numbers or lists of numbers.

The checker needs arrays whose elements it can change. So the checker copies the numbers into arrays, and converts the
arrays back to numbers when it calls the code.
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any

import numpy as np

from ..nested import attribute_of, float_leaves, has_attribute, is_array, leaves


class NumberArray(np.ndarray):
    """An array that the checker uses instead of a Python number or a list of numbers."""


def holds_numbers(inputs: tuple) -> bool:
    """Return True if there are Python floats among the inputs, and no float arrays.

    If there are float arrays, a Python float is a constant, such as a regularisation strength or a learning rate. If
    there are dictionaries, one of them must contain a list of numbers, because single numbers in a dictionary are
    settings.

    Examples
    --------
    >>> holds_numbers((3.0,)), holds_numbers(([1.0, 2], 5)), holds_numbers((np.ones(2), 0.1)), holds_numbers((3,))
    (True, True, False, False)
    >>> holds_numbers(({"w": [0.5, -1.0]}, 3.0)), holds_numbers(({"rate": 0.1}, 3.0))
    (True, False)
    """
    floats = [leaf for value in inputs for leaf in float_leaves(value)]
    if not floats or any(is_array(leaf) for leaf in floats):
        return False
    dictionaries = [value for value in inputs if isinstance(value, dict)]
    return not dictionaries or any(is_array(leaf) for _, leaf in leaves("", as_arrays(tuple(dictionaries))))


def as_arrays(inputs: tuple) -> tuple:
    """Return the inputs with an array for each Python float and each list of numbers."""
    return tuple(as_array(value) for value in inputs)


def as_array(value: Any) -> Any:
    """Return a `NumberArray` for a Python float or a list of numbers. Return any other value unchanged.

    In a dictionary, replace the lists of numbers, but not the single numbers.
    """
    if isinstance(value, dict):
        parts = {key: part if isinstance(part, float) else as_array(part) for key, part in value.items()}
        return value if all(parts[key] is part for key, part in value.items()) else parts
    array = np.array(value) if isinstance(value, float) and not isinstance(value, np.generic) else array_of_list(value)
    return value if array is None else array.view(NumberArray)


def array_of_list(value: Any) -> np.ndarray | None:
    """Return an array for a list of numbers, or a list of lists of numbers of equal lengths.

    Return None for a list without floats, and for any other value.
    """
    if not isinstance(value, list) or not float_leaves(value):
        return None
    if any(not isinstance(leaf, (int, float)) for _, leaf in leaves("", value)):
        return None
    try:
        return np.array(value, dtype=np.float64)
    except (ValueError, OverflowError):  # the lists have different lengths, or an integer is too large for a float
        return None


def with_numbers(function: Callable) -> Callable:
    """Return a version of `function` for arrays.

    The new function converts arguments to numbers or lists, and the result to arrays.

    Examples
    --------
    >>> def norm(v):
    ...     return sum(x * x for x in v + [1.0])
    >>> with_numbers(norm)(as_array([1.0, 2.0]))
    6.0
    """

    def plain(value: Any) -> Any:
        if isinstance(value, dict):
            return {key: plain(part) for key, part in value.items()}
        return value.tolist() if isinstance(value, NumberArray) else value

    def as_gradient(value: Any) -> Any:
        if isinstance(value, dict):
            return {key: as_gradient(part) for key, part in value.items()}
        array = array_of_list(value)
        return value if array is None else array

    @functools.wraps(function)
    def called(*arguments: Any, **options: Any) -> Any:
        result = function(*map(plain, arguments), **{name: plain(value) for name, value in options.items()})
        return tuple(map(as_gradient, result)) if isinstance(result, tuple) else as_gradient(result)

    return called


def number_subject(subject: Any) -> Any:
    """Return the code to check, with each function replaced by its version from `with_numbers`.

    Return an object unchanged: its methods get arrays instead of lists and numbers.
    """
    if isinstance(subject, (tuple, list)):
        return tuple(number_subject(part) for part in subject)
    if isinstance(subject, type) or has_attribute(subject, "backward") or attribute_of(subject, "__self__") is not None:
        return subject
    return with_numbers(subject) if callable(subject) else subject
