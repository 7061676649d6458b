"""Run code that computes in float32 in float64 instead, so that finite differences are exact enough for a verdict.

Code computes in float32 although its arrays are float64 if it converts them, as ``x.astype(np.float32)`` and
``np.zeros(shape, dtype="float32")`` do. Finite differences of such code have few correct digits, and larger steps cross
the kinks of ReLUs. So the checker runs forward and backward with these conversions changed: each of them gives float64.

For this, functions of NumPy such as ``np.zeros`` are replaced while the code runs. The replacement is visible in all
threads, so a check in another thread than the main thread does not use it.

The outputs and the gradients must stay equal, except for rounding. If they do not, the code is checked in float32, with
wider tolerances.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import lru_cache, wraps
from threading import current_thread, main_thread
from typing import Any

import numpy as np

from .differences import Differences
from .nested import is_array, is_float, leaves, map_leaves, to_numpy
from .noise import has_noise_of_float32
from .projection import Projection
from .snapshot import Snapshot
from .substitution import converted_copies, substitute

# These functions of NumPy make an array. The dtype may be any argument except the first.
MAKERS = (
    *("array", "asarray", "asanyarray", "ascontiguousarray", "asfortranarray", "zeros", "ones", "empty", "full", "eye"),
    *("identity", "arange", "linspace", "zeros_like", "ones_like", "empty_like", "full_like"),
)
NARROW = ("float32", "single", "float16", "half")
SAME = 1e-3  # the largest difference between results in float32 and float64, divided by the largest result
running: list[bool] = []  # not empty while the code runs with changed conversions


class WideArray(np.ndarray):
    """An array whose `astype` gives float64 instead of float32 or float16 while the code runs in float64."""

    def astype(self, dtype: Any, *arguments: Any, **options: Any) -> Any:
        return super().astype(widened(dtype) if running else dtype, *arguments, **options)

    def __array_function__(self, func: Any, types: Any, args: Any, kwargs: Any) -> Any:
        return as_wide(super().__array_function__(func, types, args, kwargs))  # np.where returns a plain array


def widened(dtype: Any) -> Any:
    """Return `np.float64` for a float dtype of less than 8 bytes. Return any other value unchanged.

    Examples
    --------
    >>> widened("f") is widened(np.float16) is np.float64, widened(int), widened((2, 3))
    (True, <class 'int'>, (2, 3))
    """
    if not isinstance(dtype, (type, np.dtype, str)):
        return dtype
    try:
        kind = np.dtype(dtype)
    except TypeError:
        return dtype
    return np.float64 if kind.kind == "f" and kind.itemsize < 8 else dtype


def as_wide(value: Any) -> Any:
    """Return a view of a plain float64 array as a `WideArray`. Return any other value unchanged."""
    return value.view(WideArray) if type(value) is np.ndarray and value.dtype == np.float64 else value


@contextmanager
def numpy_restored() -> Iterator[dict[str, Any]]:
    """Put NumPy's narrow dtypes and its `MAKERS` back at the end of a ``with`` block. Yield them in a dictionary."""
    held = {name: getattr(np, name) for name in (*MAKERS, *NARROW)}
    depth = len(running)
    try:
        yield held
    finally:
        del running[depth:]
        for name, value in held.items():
            setattr(np, name, value)


@lru_cache(maxsize=128)
def wide_version(make: Callable) -> Callable:
    """Return a version of a function in `MAKERS` that gives float64 instead of float32 or float16."""

    @wraps(make)
    def wide(*arguments: Any, **options: Any) -> Any:
        if "dtype" in options:
            options["dtype"] = widened(options["dtype"])
        return as_wide(make(*arguments[:1], *map(widened, arguments[1:]), **options))

    return wide


@contextmanager
def conversions_to_float64() -> Iterator[None]:
    """In a ``with`` block, replace NumPy's narrow dtypes and its `MAKERS` by versions that give float64."""
    with numpy_restored() as held:
        running.append(True)
        for name in MAKERS:
            setattr(np, name, wide_version(held[name]))
        for name in NARROW:
            setattr(np, name, np.float64)
        yield


@dataclass
class WideCode:
    """Code that runs in float64, although it converts its arrays to float32.

    Attributes
    ----------
    projection : Projection
    analytic : dict of str to array
        The gradients that backward returns in float64.
    rounding : dict of str to float
        For each array, the largest error of `analytic` that rounding may cause. Some operations of backward may still
        run in float32.
    """

    projection: Projection
    analytic: dict[str, Any]
    rounding: dict[str, float]


@contextmanager
def float64_code(projection: Projection, analytic: dict[str, Any]) -> Iterator[WideCode | None]:
    """Yield the code so that it runs in float64. Restore the code's arrays at the end.

    Yield None if the code computes in float64 already, if it returns other values in float64, or if the check does not
    run in the main thread. Then the code runs in the block as it did before.

    Parameters
    ----------
    projection : Projection
    analytic : dict of str to array
        The gradients that backward returns for this projection.
    """
    adapter = projection.adapter
    inputs, targets, before = adapter.inputs, adapter.targets, Snapshot(adapter.source)
    own = {name: method for name, method in vars(adapter).items() if name in ("run", "gradients")}

    def put_back() -> None:
        for name in ("run", "gradients"):
            vars(adapter).pop(name, None)
        vars(adapter).update(own)
        before.restore()
        adapter.inputs, adapter.targets = inputs, targets
        adapter.clear_saved()

    # The conversions change in all threads. If a second check ran in another thread, its outputs would change.
    in_main_thread = current_thread() is main_thread()
    if not in_main_thread or not all(isinstance(v, np.ndarray) for v in projection.variables.values()):
        yield None
        return
    with numpy_restored():  # Ctrl+C may interrupt `conversions_to_float64` while it puts NumPy's functions back
        try:
            try:
                nearby = outputs_nearby(projection)
                given = [a for _, a in leaves("", (inputs, targets)) if is_array(a)]
                wide = {i: as_wide(a) for i, a in converted_copies([*before.arrays(), *given], np.float64).items()}
                wide |= {id(a): as_wide(a) for a in [*before.arrays(), *given] if as_wide(a) is not a}
                wide |= {id(getattr(np, name)): np.float64 for name in NARROW}  # self.dtype = np.float32
                substitute(before, wide)
                adapter.inputs, adapter.targets = (
                    map_leaves(lambda x: wide.get(id(x), x), part) for part in (inputs, targets)
                )
                adapter.run, adapter.gradients = in_float64(adapter.run), in_float64(adapter.gradients)
                found = equal_but_for_rounding(projection, analytic, nearby)
            except Exception:  # some code does not accept a subclass of ndarray, or float64
                found = None
            if found is None:
                put_back()
            yield found
        finally:
            put_back()


def in_float64(method: Callable) -> Callable:
    """Return a version of `method` that runs with `conversions_to_float64`."""

    @wraps(method)
    def run(*arguments: Any) -> Any:
        with conversions_to_float64():
            return method(*map_leaves(as_wide, arguments))

    return run


def equal_but_for_rounding(projection: Projection, analytic: dict[str, Any], nearby: np.ndarray) -> WideCode | None:
    """Return the code as it runs now, in float64. The arguments belong to the code as it ran before.

    Return None if the outputs are the same as before, at the inputs and `nearby`, because then the code does not
    compute in float32. Also return None if the outputs are still float32 or still have its noise, or if the outputs or
    the gradients differ by more than rounding.
    """
    wide = Projection(projection.adapter, np.random.default_rng(0))
    old, new = (
        [to_numpy(y) if is_array(y) else np.asarray(y) for _, y in leaves("", p.outputs) if is_float(y)]
        for p in (projection, wide)
    )
    if list(wide.variables) != list(projection.variables) or [np.shape(y) for y in old] != [np.shape(y) for y in new]:
        return None
    same_dtypes = [y.dtype for y in old] == [y.dtype for y in new]
    unchanged = same_dtypes and np.array_equal(nearby, outputs_nearby(wide), equal_nan=True)
    if unchanged or any(y.dtype.itemsize < 8 for y in [*new, *wide.variables.values()]) or not all_close(old, new):
        return None
    wide.weights = projection.weights
    found = wide.analytic()
    if [(n, np.shape(g)) for n, g in found.items()] != [(n, np.shape(g)) for n, g in analytic.items()]:
        return None
    known = [n for n, g in found.items() if g is not None and analytic[n] is not None]
    if not known or not all_close([analytic[n] for n in known], [found[n] for n in known]):
        return None
    if has_noise_of_float32(Differences(wide, 8, None), np.random.default_rng(2)):
        return None
    rounding = {n: largest(analytic[n] - found[n]) + 2e-7 * largest(found[n]) for n in known}
    return WideCode(wide, found, rounding)


def outputs_nearby(projection: Projection) -> np.ndarray:
    """Return the outputs, in one flat array, at a point at which no number can be represented in float32.

    The numbers at the point of the check may be numbers of float32, so that a conversion does not change them.
    """
    rng, variables = np.random.default_rng(1), projection.variables
    held = {name: v.copy() for name, v in variables.items()}
    try:
        for v in variables.values():
            v[...] = v * (1 + 1e-4 * rng.uniform(0.5, 1, v.shape))
        return projection.flat_outputs()
    finally:
        for name, v in variables.items():
            v[...] = held[name]


def all_close(narrow: list[np.ndarray], wide: list[np.ndarray]) -> bool:
    """Return True if each array in `narrow` equals the array in `wide`, except for the rounding of float32.

    An array that is almost zero, compared with the others, contains only rounding errors.
    """
    sizes = [largest(b) for b in wide]
    small = 1e-5 * max(sizes, default=0.0)
    differences = [largest(a - b) for a, b in zip(narrow, wide, strict=True)]
    return all(d <= SAME * size + small for d, size in zip(differences, sizes, strict=True))


def largest(array: Any) -> float:
    """Return the largest absolute value in `array`, or 0 if it is empty."""
    return float(np.abs(array).max(initial=0.0))
