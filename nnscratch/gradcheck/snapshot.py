"""Snapshot: everything that an object holds, recorded before a check and restored after it.

A snapshot follows attributes, dictionaries, lists, closures, and the globals that functions use. It records the members
of every container, the values of every array, and the state of every random generator. ``restore`` puts the same
objects back, with the same contents.
"""

from __future__ import annotations

import types
from collections import deque
from collections.abc import Iterator
from typing import Any

import numpy as np

from .nested import is_array
from .random_states import RandomStates

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
    """The current state of everything that can be reached from `roots`.

    Parameters
    ----------
    *roots : object
        Modules, functions, other objects, or nests of arrays.

    Attributes
    ----------
    generators : list
        The NumPy random generators found.

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
        self.containers: list[tuple[Any, Any]] = []  # each with a copy of its members
        self._arrays: list[tuple[Any, Any]] = []  # each with a copy of its values
        self.generators: list[Any] = []
        self._roots = roots  # keeps the objects alive, so that no id is used a second time
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
        self._random_states = RandomStates(self.generators)

    def _remember(self, value: Any) -> Iterator[Any]:
        """Record the container `value`, and yield its members."""
        if isinstance(value, (list, dict, set, deque)):
            self.containers.append((value, value.copy()))
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
                self.containers.append((attributes, attributes.copy()))
                yield from attributes.values()
            for cls in type(value).__mro__:  # attributes of the class
                if cls.__module__ not in ("builtins", "numpy"):
                    kinds = (list, dict, set, deque, *GENERATORS)
                    yield from (v for v in vars(cls).values() if is_array(v) or isinstance(v, kinds))
            for slot in slots_of(value):
                if hasattr(value, slot):
                    held = getattr(value, slot)
                    self.containers.append((Slot(value, slot), held))
                    yield held
            if callable(value) and hasattr(value, "func") and hasattr(value, "args"):  # functools.partial
                yield value.func
                yield value.args

    def _remember_function(self, function: types.FunctionType) -> Iterator[Any]:
        """Record the closure of `function` and the globals it uses: arrays, generators, and objects of its own file."""
        for cell in function.__closure__ or ():
            try:
                held = cell.cell_contents
            except ValueError:  # the variable has no value yet
                continue
            self.containers.append((cell, held))
            yield held
        yield from function.__defaults__ or ()
        for name in function.__code__.co_names:  # globals it uses
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
                    self.containers.append((Global(function.__globals__, name), held))
                    yield held

    def arrays(self) -> list[Any]:
        """Return every array found."""
        return [array for array, _ in self._arrays]

    def changed(self) -> list[Any]:
        """Return the arrays whose values have changed."""
        return [array for array, before in self._arrays if not equal_arrays(array, before)]

    def restore(self, keep: set[int] = frozenset()) -> None:
        """Restore everything, except the values of the arrays whose ``id`` is in `keep`."""
        for container, before in self.containers:
            refill(container, before)
        for array, before in self._arrays:
            if id(array) not in keep and getattr(getattr(array, "flags", None), "writeable", True):
                array[...] = before
        self._random_states.replay()


class Slot:
    """An attribute that a class lists in ``__slots__``."""

    def __init__(self, owner: Any, name: str):
        self.owner, self.name = owner, name


class Global:
    """A global variable that a function uses."""

    def __init__(self, names: dict, name: str):
        self.names, self.name = names, name


def refill(container: Any, before: Any) -> None:
    """Put the members `before` back into `container`."""
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
    """Return True if both have the same keys in the same order, with the same objects."""
    return len(now) == len(before) and all(
        k is j and v is w for (k, v), (j, w) in zip(now.items(), before.items(), strict=True)
    )


def equal_arrays(a: Any, b: Any) -> bool:
    """Return True if shapes and elements are equal. NaN equals NaN."""
    return a.shape == b.shape and bool(((a == b) | ((a != a) & (b != b))).all())


def slots_of(value: Any) -> list[str]:
    """Return the names in the ``__slots__`` of the class of `value` and its base classes."""
    names: list[str] = []
    for cls in type(value).__mro__:
        slots = cls.__dict__.get("__slots__", ())
        names += [slots] if isinstance(slots, str) else list(slots)
    return [name for name in names if name not in ("__dict__", "__weakref__")]
