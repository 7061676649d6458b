"""Leaving no trace: everything a target holds is written down before a check and put back after it.

:class:`Snapshot` walks from the target through attributes, dictionaries, lists, closures and the globals its functions
name, and remembers what every container holds, what is in every array, and where every random generator stands.
``restore`` puts the very same objects back with the very same contents, whatever happened in between.
"""

from __future__ import annotations

import random
import types
from collections import deque
from collections.abc import Iterator
from typing import Any

import numpy as np

from .tree import is_array

ATOMS = (
    type(None),
    bool,
    int,
    float,
    complex,
    str,
    bytes,
    type,
    types.ModuleType,
    types.BuiltinFunctionType,
    np.generic,
)
GENERATORS = (np.random.Generator, np.random.RandomState)


class Snapshot:
    """All that can be reached from `roots`, as it is now.

    Parameters
    ----------
    *roots : object
        Modules, functions, class instances, or nests of arrays.

    Attributes
    ----------
    generators : list
        The NumPy random generators found, each once.

    Examples
    --------
    >>> box = {"w": np.ones(2), "history": []}
    >>> before = Snapshot(box)
    >>> box["w"] *= 5; box["history"].append(1); box["new"] = 0
    >>> before.restore()
    >>> box
    {'w': array([1., 1.]), 'history': []}
    """

    def __init__(self, *roots: Any):
        self._containers: list[tuple[Any, Any]] = []
        self._arrays: list[tuple[Any, Any]] = []
        self.generators: list[Any] = []
        self._alive = roots
        seen: set[int] = set()
        queue = list(roots)
        while queue:
            value = queue.pop()
            if isinstance(value, ATOMS) or id(value) in seen:
                continue
            seen.add(id(value))
            if is_array(value):
                if value.dtype.kind != "O":
                    self._arrays.append((value, value.copy()))
            elif isinstance(value, GENERATORS):
                self.generators.append(value)
            else:
                queue.extend(self._remember(value))
        self._draws = Draws(self.generators)

    def _remember(self, value: Any) -> Iterator[Any]:
        """Write down the container `value`; yield what it holds."""
        if isinstance(value, (list, dict, set, deque)):
            self._containers.append((value, value.copy()))
            yield from value.values() if isinstance(value, dict) else value
        elif isinstance(value, (tuple, frozenset)):
            yield from value
        elif isinstance(value, types.MethodType):
            yield value.__self__
            yield value.__func__
        elif isinstance(value, types.FunctionType):
            yield from self._remember_function(value)
        else:
            attributes = getattr(value, "__dict__", None)
            if isinstance(attributes, dict):
                self._containers.append((attributes, attributes.copy()))
                yield from attributes.values()
            for cls in type(value).__mro__:  # what all objects of a class share
                if cls.__module__ not in ("builtins", "numpy"):
                    kinds = (list, dict, set, deque, *GENERATORS)
                    yield from (v for v in vars(cls).values() if is_array(v) or isinstance(v, kinds))
            for slot in slots_of(value):
                if hasattr(value, slot):
                    held = getattr(value, slot)
                    self._containers.append((Slot(value, slot), held))
                    yield held
            if callable(value) and hasattr(value, "func") and hasattr(value, "args"):  # functools.partial
                yield value.func
                yield value.args

    def _remember_function(self, function: types.FunctionType) -> Iterator[Any]:
        for cell in function.__closure__ or ():
            try:
                held = cell.cell_contents
            except ValueError:  # a cell not filled yet
                continue
            self._containers.append((cell, held))
            yield held
        yield from function.__defaults__ or ()
        for name in function.__code__.co_names:  # the globals it names: arrays, generators, objects of its own file
            if name in function.__globals__:
                held = function.__globals__[name]
                if isinstance(held, types.FunctionType):
                    if held.__globals__ is function.__globals__:
                        yield held
                elif (
                    is_array(held)
                    or isinstance(held, (int, float, tuple, list, dict, set, deque, *GENERATORS))
                    or type(held).__module__ == function.__module__
                    or hasattr(held, "named_parameters")
                ):
                    self._containers.append((Global(function.__globals__, name), held))
                    yield held

    def arrays(self) -> list[Any]:
        """Every array found, each once."""
        return [array for array, _ in self._arrays]

    def changed(self) -> list[Any]:
        """The arrays whose contents are no longer what they were."""
        return [array for array, before in self._arrays if not same(array, before)]

    def restore(self, keep: set[int] = frozenset()) -> None:
        """Put everything back; the contents of arrays whose ``id`` is in `keep` are left as they are."""
        for container, before in self._containers:
            refill(container, before)
        for array, before in self._arrays:
            if id(array) not in keep and getattr(getattr(array, "flags", None), "writeable", True):
                array[...] = before
        self._draws.replay()


class Slot:
    """An attribute kept in a class's ``__slots__``."""

    def __init__(self, owner: Any, name: str):
        self.owner, self.name = owner, name


class Global:
    """A global name of a function's file."""

    def __init__(self, names: dict, name: str):
        self.names, self.name = names, name


def refill(container: Any, before: Any) -> None:
    """Make `container` hold what it held."""
    if isinstance(container, list):
        container[:] = before
    elif isinstance(container, deque):
        container.clear()
        container.extend(before)
    elif isinstance(container, (dict, set)):
        if container != before if isinstance(container, set) else not same_items(container, before):
            container.clear()
            container.update(before)
    elif isinstance(container, types.CellType):
        container.cell_contents = before
    elif isinstance(container, Slot):
        setattr(container.owner, container.name, before)
    else:
        container.names[container.name] = before


def same_items(now: dict, before: dict) -> bool:
    """The same keys in the same order, each holding the very same object."""
    return len(now) == len(before) and all(
        k is j and v is w for (k, v), (j, w) in zip(now.items(), before.items(), strict=True)
    )


def same(a: Any, b: Any) -> bool:
    """Equal element by element, NaN equal to NaN."""
    return a.shape == b.shape and bool(((a == b) | ((a != a) & (b != b))).all())


def slots_of(value: Any) -> list[str]:
    """The names in the ``__slots__`` of the classes of `value`."""
    names: list[str] = []
    for cls in type(value).__mro__:
        slots = cls.__dict__.get("__slots__", ())
        names += [slots] if isinstance(slots, str) else list(slots)
    return [name for name in names if name not in ("__dict__", "__weakref__")]


class Draws:
    """Where the random generators stand: those found in a target, NumPy's global one (NPY002: many a student's dropout
    draws from it), and Python's own.

    ``advanced`` says which of them have been drawn from since; ``replay`` winds those back.
    """

    def __init__(self, generators: list[Any]):
        self.generators = list(generators)
        self._states = [self._state(g) for g in self.generators]
        self._numpy = np.random.get_state()  # noqa: NPY002
        self._python = random.getstate()

    @staticmethod
    def _state(generator: Any) -> Any:
        return generator.bit_generator.state if isinstance(generator, np.random.Generator) else generator.get_state()

    def advanced(self) -> bool:
        """True if anything has been drawn since."""
        return (
            any(not equal(self._state(g), s) for g, s in zip(self.generators, self._states, strict=True))
            or not equal(np.random.get_state(), self._numpy)  # noqa: NPY002
            or random.getstate() != self._python
        )

    def replay(self) -> None:
        """Wind every generator back, so that the same numbers are drawn again."""
        for generator, state in zip(self.generators, self._states, strict=True):
            if isinstance(generator, np.random.Generator):
                generator.bit_generator.state = state
            else:
                generator.set_state(state)
        np.random.set_state(self._numpy)  # noqa: NPY002
        random.setstate(self._python)


def equal(a: Any, b: Any) -> bool:
    """Equal nests of numbers, strings and arrays."""
    if isinstance(a, dict):
        return a.keys() == b.keys() and all(equal(a[key], b[key]) for key in a)
    if isinstance(a, (tuple, list)):
        return len(a) == len(b) and all(equal(x, y) for x, y in zip(a, b, strict=True))
    if isinstance(a, np.ndarray):
        return bool(np.array_equal(a, b))
    return a == b


def recast(snapshot: Snapshot, dtype: Any) -> dict[int, Any]:
    """Put a copy in `dtype` in the place of every float32 or float16 array found; returns id of the old -> the new.

    The old arrays are not touched, so ``snapshot.restore()`` brings them back. Arrays that share memory (a flat array
    and the views into it) are left alone: copies would no longer share it.
    """
    small = [a for a in snapshot.arrays() if a.dtype.kind == "f" and a.dtype.itemsize < np.dtype(dtype).itemsize]
    owners: dict[int, int] = {}
    for array in small:
        owner = id(array) if array.base is None else id(array.base)
        owners[owner] = owners.get(owner, 0) + 1
    new = {
        id(array): array.astype(dtype)
        for array in small
        if owners[id(array) if array.base is None else id(array.base)] == 1
    }

    substitute(snapshot, new)
    return new


def substitute(snapshot: Snapshot, new: dict[int, Any]) -> None:
    """Wherever a container of `snapshot` holds an object whose id is in `new`, let it hold that instead."""

    def exchange(value: Any) -> Any:
        if id(value) in new:
            return new[id(value)]
        if type(value) is tuple:
            changed = tuple(exchange(item) for item in value)
            return changed if any(a is not b for a, b in zip(changed, value, strict=True)) else value
        return value

    for container, before in snapshot._containers:
        if isinstance(container, (list, deque)):
            refill(container, [exchange(value) for value in before])
        elif isinstance(container, dict):
            for key, value in before.items():
                changed = exchange(value)
                if changed is not value:
                    container[key] = changed
        elif not isinstance(container, set):
            changed = exchange(before)
            if changed is not before:
                refill(container, changed)
