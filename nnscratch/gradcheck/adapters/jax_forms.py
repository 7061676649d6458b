"""JaxAdapter: JAX's ``custom_vjp`` and other functions of JAX arrays.

The adapter converts inputs and results between NumPy and JAX. The code computes in float64, even if JAX is set to
float32. This file uses JAX only if the user's code has imported it.
"""

from __future__ import annotations

import contextlib
import functools
import sys
from collections.abc import Callable
from types import ModuleType
from typing import Any

import numpy as np

from ..nested import attribute_of, has_attribute, is_array, is_float, map_leaves
from .base import Adapter
from .names import function_name


def is_jax_array(value: Any) -> bool:
    """Return True for an array of JAX."""
    jax = sys.modules.get("jax")
    return jax is not None and isinstance(value, jax.Array)


def is_jax_function(subject: Any) -> bool:
    """Return True for ``jax.custom_vjp(f)``, ``jax.custom_jvp(f)`` and ``jax.jit(f)``."""
    return callable(subject) and type(subject).__module__.partition(".")[0] in ("jax", "jaxlib")


def uses_jax(subject: Any, inputs: tuple) -> bool:
    """Return True if `subject` is a function made by JAX, or if the inputs of a function are arrays of JAX."""
    if sys.modules.get("jax") is None or not hasattr(sys.modules["jax"], "Array"):
        return False
    if isinstance(subject, (tuple, list)):
        return all(callable(part) for part in subject) and (any_jax(inputs) or any(map(mentions_jax, subject)))
    return is_jax_function(subject) or (has_attribute(subject, "__code__") and any_jax(inputs))


def mentions_jax(function: Any) -> bool:
    """Return True if a function uses a module of JAX, such as ``jnp``."""
    code = attribute_of(function, "__code__")
    if code is None:
        return False
    held = [function.__globals__.get(name) for name in code.co_names]
    for cell in function.__closure__ or ():
        with contextlib.suppress(ValueError):  # the variable has no value yet
            held.append(cell.cell_contents)
    return any(getattr(m, "__name__", "").partition(".")[0] == "jax" for m in held if isinstance(m, ModuleType))


def any_jax(nest: Any) -> bool:
    """Return True if nested tuples, lists and dictionaries contain an array of JAX."""
    found: list[bool] = []
    map_leaves(lambda leaf: found.append(is_jax_array(leaf)), nest)
    return any(found)


def to_array(value: Any) -> Any:
    """Copy an array of JAX or NumPy to a NumPy array. An array of floats becomes float64."""
    if not is_jax_array(value) and not is_array(value):
        return value
    array = np.array(value)
    return array.astype(np.float64) if array.dtype.kind == "f" else array


def to_jax(value: Any) -> Any:
    """Return a NumPy array as an array of JAX. Return any other value unchanged."""
    return sys.modules["jax"].numpy.asarray(value) if is_array(value) else value


def in_float64() -> Any:
    """Return a context manager in which JAX computes in float64."""
    jax = sys.modules["jax"]
    if callable(getattr(jax, "enable_x64", None)):
        return jax.enable_x64(True)
    from jax.experimental import enable_x64

    return enable_x64()


def at_border(function: Callable) -> Callable:
    """Return a version of `function` for NumPy arrays: convert the arguments to JAX, and the results back."""

    @functools.wraps(function)
    def called(*arguments: Any, **options: Any) -> Any:
        with in_float64():
            return map_leaves(to_array, function(*(map_leaves(to_jax, a) for a in arguments), **options))

    return called


def returns_gradients(function: Callable, inputs: tuple) -> bool:
    """Return True if a plain function returns a tuple, such as (loss, gradients)."""
    if is_jax_function(function):
        return False
    try:
        with in_float64():
            return isinstance(function(*(map_leaves(to_jax, value) for value in inputs)), tuple)
    except Exception:  # the check runs the function again and reports the error
        return False


class JaxAdapter(Adapter):
    """A function of JAX arrays. The gradient comes from ``jax.vjp``, which calls the user's custom_vjp if there is one.

    Examples
    --------
    >>> import sys
    >>> if "jax" in sys.modules:
    ...     import jax
    ...     adapter = JaxAdapter(jax.jit(jax.numpy.sin), (np.zeros(2),))
    ...     assert adapter.run()[0].dtype == np.float64
    """

    def __init__(self, function: Callable, inputs: tuple):
        arrays = tuple(map_leaves(to_array, value) for value in inputs)
        super().__init__([], function_name(getattr(function, "__wrapped__", function)), arrays, function)
        self.function = function

    def run(self) -> tuple:
        with in_float64():
            y = map_leaves(to_array, self.function(*(map_leaves(to_jax, value) for value in self.inputs)))
        return y if isinstance(y, tuple) else (y,)

    def gradients(self, dys: tuple) -> dict[str, Any]:
        moving = [i for i, value in enumerate(self.inputs) if all_floats(value)]

        def of_floats(*floats: Any) -> Any:
            given = list(arguments)
            for i, value in zip(moving, floats, strict=True):
                given[i] = value
            return self.function(*given)

        with in_float64():
            arguments = [map_leaves(to_jax, value) for value in self.inputs]
            y, pull_back = sys.modules["jax"].vjp(of_floats, *(arguments[i] for i in moving))
            dys = tuple(map_leaves(lambda d: sys.modules["jax"].numpy.asarray(d, dtype="float64"), d) for d in dys)
            found = dict(zip(moving, pull_back(dys if isinstance(y, tuple) else dys[0]), strict=True))
        return self.match_to_inputs(tuple(map_leaves(to_array, found.get(i)) for i in range(len(self.inputs))))


def all_floats(nest: Any) -> bool:
    """Return True if all leaves are float arrays."""
    found: list[bool] = []
    map_leaves(lambda leaf: found.append(is_array(leaf) and is_float(leaf)), nest)
    return bool(found) and all(found)
