"""Snapshot: the contents of the user's objects, recorded before a check and restored after it.

A snapshot follows attributes, dictionaries, lists, arrays of objects, closures, and the globals that functions and
methods use. In this file, each of these is called a container, and the objects in it are its members. A snapshot
records the members of every container, the values of every array, and the state of every random generator. ``restore``
puts the same objects back, with the recorded contents.
"""

from __future__ import annotations

import functools
import types
from array import array as number_array
from collections import deque
from collections.abc import Iterator
from copy import copy
from typing import Any

import numpy as np

from .nested import ABSENT, attribute_of, has_attribute, is_array, is_writeable
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
OPAQUE = frozenset("numba llvmlite jax jaxlib torch tensorflow keras ctypes".split())  # skip objects of these libraries
PACKAGE = __name__.partition(".")[0]
Step = tuple[str, Any]  # from an object to one of its members: ("attribute", "W"), ("item", 0), ...
Steps = tuple[Step, ...]  # a path to an object, which places.py can follow


class Snapshot:
    """The current state of `roots` and of all objects that they contain, directly or inside other objects.

    Parameters
    ----------
    *roots : object
        Modules, functions, other objects, or nested tuples, lists and dictionaries of arrays.

    Attributes
    ----------
    generators : list
        The NumPy random generators found.
    places : list of (Steps, object)
        The place of each array, each Python float and each sequence of numbers: the steps from `roots` to the object.
        An array with several places occurs several times.

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
        self.containers: list[tuple[Any, Any]] = []  # each container with a copy of its members
        self._arrays: list[tuple[Any, Any]] = []  # each array with a copy of its values
        self._values: dict[int, Any] = {}
        self._classes: set[int] = set()  # each class is recorded once, and not for each of its instances
        self.generators: list[Any] = []
        self.places: list[tuple[Steps, Any]] = []
        self._roots = roots  # keeps the objects alive, so that no new object gets the same id
        seen: set[int] = set()
        queue: deque[tuple[Any, Steps]] = deque((root, (("root", i),)) for i, root in enumerate(roots))
        while queue:  # search breadth first, so that the first place of an array is the one with the shortest name
            value, steps = queue.popleft()
            if isinstance(value, ATOMS):
                if isinstance(value, (float, np.floating)) and isinstance(steps[-1][1], str):
                    self.places.append((steps, value))
                continue
            if type(value).__module__.partition(".")[0] in OPAQUE:  # restoring compiled functions would crash Python
                continue
            if isinstance(steps[-1][1], str) and is_number_sequence(value):
                self.places.append((steps, value))
                self._values[id(value)] = np.array(value, dtype=np.float64)
            numeric = is_array(value) and value.dtype.kind != "O"
            if numeric:
                self.places.append((steps, value))
            if id(value) in seen:
                continue
            seen.add(id(value))
            if numeric:
                self._arrays.append((value, value.copy()))
                self._values[id(value)] = self._arrays[-1][1]
            elif isinstance(value, GENERATORS):
                self.generators.append(value)
            else:
                queue.extend((member, (*steps, step)) for step, member in self._remember(value))
        self._random_states = RandomStates(self.generators)

    def _remember(self, value: Any) -> Iterator[tuple[Step, Any]]:
        """Record the members of `value`, and yield (step, member) for each: (("attribute", "W"), array) for self.W."""
        if isinstance(value, (list, dict, set, deque, number_array)):
            self.containers.append((value, copy(value)))
            if isinstance(value, number_array):
                return
        if is_array(value):  # an array of objects, such as weights of different shapes
            self.containers.append((value, value.copy()))
            yield from ((("item", i if len(i) > 1 else i[0]), value[i]) for i in np.ndindex(value.shape) if i)
        elif isinstance(value, dict):
            yield from ((("item", key), member) for key, member in value.items())
        elif isinstance(value, (list, tuple, deque)):
            yield from ((("item", number), member) for number, member in enumerate(value))
        elif isinstance(value, (set, frozenset)):
            yield from ((("member", None), member) for member in value)
        elif isinstance(value, types.MethodType):
            yield ("self", None), value.__self__
            yield ("function", None), value.__func__
        elif isinstance(value, types.FunctionType):
            yield from self._remember_function(value)
        else:
            attributes = attribute_of(value, "__dict__")
            if isinstance(attributes, dict):
                self.containers.append((attributes, attributes.copy()))
                yield from ((("attribute", name), member) for name, member in attributes.items())
            for cls in type(value).__mro__:
                if cls.__module__ not in ("builtins", "numpy"):
                    if not cls.__module__.startswith(PACKAGE) and id(cls) not in self._classes:
                        self._classes.add(id(cls))
                        self.containers.append((ClassAttributes(cls), class_attributes(cls)))
                    kinds = (list, dict, set, deque, *GENERATORS)
                    for name, member in vars(cls).items():
                        if is_array(member) or isinstance(member, kinds) or type(member).__module__ == cls.__module__:
                            yield ("class attribute", name), member
                        elif isinstance(member, types.FunctionType) and not cls.__module__.startswith(PACKAGE):
                            # The step contains the method itself, because a subclass may define another method with
                            # the same name.
                            yield ("method", member), member
            for name, slot in slots_of(value).items():
                try:
                    held = slot.__get__(value)
                except AttributeError:  # the attribute has no value yet
                    self.containers.append((Slot(value, slot), ABSENT))
                    continue
                self.containers.append((Slot(value, slot), held))
                yield ("attribute", name), held
            if isinstance(value, functools.partial):
                yield ("attribute", "func"), value.func
                yield ("attribute", "args"), value.args

    def _remember_function(self, function: types.FunctionType) -> Iterator[tuple[Step, Any]]:
        """Record the closure, the default arguments and the globals of `function`. Yield (step, member) for each.

        Modules, classes and functions from other files are skipped.
        """
        for name, cell in zip(function.__code__.co_freevars, function.__closure__ or (), strict=False):
            try:
                held = cell.cell_contents
            except ValueError:  # the variable has no value yet
                self.containers.append((cell, ABSENT))
                continue
            self.containers.append((cell, held))
            yield ("variable", name), held
        if function.__defaults__:
            self.containers.append((Defaults(function), function.__defaults__))
            named = zip(default_names(function), function.__defaults__, strict=True)
            yield from ((("default", name), held) for name, held in named)
        if function.__kwdefaults__:
            self.containers.append((function.__kwdefaults__, function.__kwdefaults__.copy()))
            yield from ((("keyword default", name), held) for name, held in function.__kwdefaults__.items())
        for name in function.__code__.co_names:  # the globals that the function uses or sets
            held = function.__globals__.get(name, ABSENT)
            if isinstance(held, types.FunctionType):
                if held.__globals__ is function.__globals__:
                    yield ("global", name), held
            elif not isinstance(held, (type, types.ModuleType, types.BuiltinFunctionType)):
                self.containers.append((Global(function.__globals__, name), held))
                if (
                    is_array(held)
                    or isinstance(held, (int, float, tuple, list, dict, set, deque, *GENERATORS))
                    or (type(held).__module__ == function.__module__)
                    or has_attribute(held, "named_parameters")
                ):
                    yield ("global", name), held

    def arrays(self) -> list[Any]:
        """Return all arrays that the snapshot recorded."""
        return [array for array, _ in self._arrays]

    def values_of(self, array: Any) -> Any:
        """Return the recorded values of an array or a sequence of numbers, or None if they were not recorded."""
        return self._values.get(id(array))

    def changed(self) -> list[Any]:
        """Return the arrays whose values have changed."""
        return [array for array, before in self._arrays if not equal_arrays(array, before)]

    def restore(self, keep: set[int] = frozenset()) -> None:
        """Restore everything, except the values of the arrays whose ``id`` is in `keep`."""
        for container, before in self.containers:
            refill(container, before)
        for array, before in self._arrays:
            if id(array) not in keep and is_writeable(array):
                array[...] = before
        self._random_states.replay()


class Slot:
    """A container for an attribute that a class lists in ``__slots__``."""

    def __init__(self, owner: Any, slot: types.MemberDescriptorType):
        self.owner, self.slot = owner, slot


class Global:
    """A container for a global variable that a function uses."""

    def __init__(self, names: dict, name: str):
        self.names, self.name = names, name


class ClassAttributes:
    """A container for the attributes of a class, such as ``Layer.calls = 0``."""

    def __init__(self, cls: type):
        self.cls = cls


def class_attributes(cls: type) -> dict[str, Any]:
    """Return the attributes of a class, except special names such as ``__doc__`` and attributes of base classes."""
    return {name: value for name, value in vars(cls).items() if not name.startswith("__")}


class Defaults:
    """A container for the default values of a function's positional arguments."""

    def __init__(self, function: types.FunctionType):
        self.function = function


def default_names(function: types.FunctionType) -> tuple[str, ...]:
    """Return the names of the positional arguments that have a default.

    Examples
    --------
    >>> default_names(lambda x, scale=2.0, shift=1.0: None)
    ('scale', 'shift')
    """
    count = function.__code__.co_argcount
    return function.__code__.co_varnames[count - len(function.__defaults__ or ()) : count]


def refill(container: Any, before: Any) -> None:
    """Put the members `before` back into `container`."""
    if is_array(container):
        container[...] = before
    elif isinstance(container, (list, number_array)):
        container[:] = before
    elif isinstance(container, Defaults):
        container.function.__defaults__ = before
    elif isinstance(container, deque):
        container.clear()
        container.extend(before)
    elif isinstance(container, (dict, set)):
        if container != before if isinstance(container, set) else not same_items(container, before):
            container.clear()
            container.update(before)
    elif isinstance(container, ClassAttributes):
        now = class_attributes(container.cls)
        for name in now.keys() - before.keys():
            delattr(container.cls, name)
        for name, value in before.items():
            if now.get(name, ABSENT) is not value:
                setattr(container.cls, name, value)
    elif before is ABSENT:
        remove(container)
    elif isinstance(container, types.CellType):
        container.cell_contents = before
    elif isinstance(container, Slot):
        container.slot.__set__(container.owner, before)
    else:
        container.names[container.name] = before


def remove(container: Any) -> None:
    """Remove the value of a variable, a slot or a global, if it has one."""
    if isinstance(container, Global):
        container.names.pop(container.name, None)
        return
    try:
        if isinstance(container, Slot):
            container.slot.__delete__(container.owner)
        else:
            del container.cell_contents
    except (AttributeError, ValueError):  # the attribute or variable still has no value
        pass


def same_items(now: dict, before: dict) -> bool:
    """Return True if both dictionaries have the same keys in the same order, and the values are the same objects."""
    return len(now) == len(before) and all(
        k is j and v is w for (k, v), (j, w) in zip(now.items(), before.items(), strict=True)
    )


def is_number_sequence(value: Any) -> bool:
    """Return True for numbers in a list or tuple, in an `array.array`, or in a NumPy array of objects.

    One of the numbers must be a float. A list may also contain lists of equal length.

    Examples
    --------
    >>> [is_number_sequence(v) for v in ([0.5, 1], [[1.0], [2.0]], number_array("d", [1, 2]), [1, 2], [1.0, "a"])]
    [True, True, True, False, False]
    """
    if isinstance(value, number_array):
        return value.typecode in "fd" and len(value) > 0
    if is_array(value) and value.dtype.kind == "O":
        value = value.ravel().tolist() if value.size else []
    elif not isinstance(value, (list, tuple)):
        return False
    rows = value if value and all(isinstance(row, (list, tuple)) for row in value) else [value]
    items = [item for row in rows for item in row]
    numbers = all(isinstance(i, (int, float)) and not isinstance(i, bool) for i in items)
    return numbers and any(isinstance(i, float) for i in items) and len({len(row) for row in rows}) == 1


def equal_arrays(a: Any, b: Any) -> bool:
    """Return True if shapes and elements are equal. NaN equals NaN."""
    return a.shape == b.shape and bool(((a == b) | ((a != a) & (b != b))).all())


def slots_of(value: Any) -> dict[str, types.MemberDescriptorType]:
    """Return the attributes in the ``__slots__`` of the class of `value` and its base classes: {name: descriptor}.

    The descriptor reads and writes the attribute even if a subclass has a property of the same name. On Python 3.13,
    `pathlib.Path` is such a subclass.
    """
    found: dict[str, types.MemberDescriptorType] = {}
    for cls in type(value).__mro__:
        slots = vars(cls).get("__slots__", ())
        for name in [slots] if isinstance(slots, str) else slots:
            private = name.startswith("__") and not name.endswith("__")
            name = f"_{cls.__name__.lstrip('_')}{name}" if private else name  # Python stores __x as _Class__x
            if isinstance(vars(cls).get(name), types.MemberDescriptorType):
                found.setdefault(name, vars(cls)[name])
    return found
