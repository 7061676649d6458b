"""Names of functions and of their arguments."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from typing import Any

import numpy as np

from ..nested import attribute_of


def gradient_names(name: str) -> list[str]:
    """Return `name` and the most usual names of its gradient. `gradient_names.py` knows more names than these.

    Examples
    --------
    >>> gradient_names("W")
    ['W', 'dW', 'd_W', 'grad_W', 'W_grad']
    """
    return [name, f"d{name}", f"d_{name}", f"grad_{name}", f"{name}_grad"]


def function_name(function: Any) -> str:
    """Return the name of a function, or the class name of another callable."""
    return attribute_of(function, "__name__", type(function).__name__)


def signature(function: Callable) -> inspect.Signature:
    """Return ``inspect.signature(function)``.

    This function also works for NumPy's ufuncs, which have no signature before NumPy 2.4.

    Examples
    --------
    >>> import numpy as np
    >>> [p.name for p in signature(np.arctan2).parameters.values() if p.default is p.empty]
    ['x1', 'x2']
    """
    if not isinstance(function, np.ufunc):
        return inspect.signature(function)
    names = ["x"] if function.nin == 1 else [f"x{k + 1}" for k in range(function.nin)]
    inputs = [inspect.Parameter(name, inspect.Parameter.POSITIONAL_ONLY) for name in names]
    out = inspect.Parameter("out", inspect.Parameter.POSITIONAL_OR_KEYWORD, default=None)
    return inspect.Signature([*inputs, out])


def argument_names(function: Callable, count: int) -> list[str]:
    """Return the names of the first `count` positional arguments of `function`."""
    try:
        kinds = signature(function).parameters.values()
    except (TypeError, ValueError):
        kinds = []
    names = [p.name for p in kinds if p.kind in (p.POSITIONAL_ONLY, p.POSITIONAL_OR_KEYWORD)][:count]
    rest = next((p.name for p in kinds if p.kind == p.VAR_POSITIONAL), "x")
    return names + [f"{rest}[{i}]" for i in range(count - len(names))]


def positional_count(function: Callable) -> int | None:
    """Return the number of required positional arguments.

    Return None for ``*args``, or if there is no signature.
    """
    try:
        kinds = list(signature(function).parameters.values())
    except (TypeError, ValueError):
        return None
    if any(p.kind == p.VAR_POSITIONAL for p in kinds):
        return None
    return sum(p.kind in (p.POSITIONAL_ONLY, p.POSITIONAL_OR_KEYWORD) and p.default is p.empty for p in kinds)


def needs_argument(function: Callable) -> bool:
    """Return True if `function` cannot be called without arguments."""
    return positional_count(function) not in (0, None)
