"""Old names of functions, classes and attributes. They work until version 2.0, and give a warning."""

from __future__ import annotations

import importlib
import warnings
from collections.abc import Callable, Mapping
from typing import Any


def renamed(module: str, names: Mapping[str, str]) -> Callable[[str], Any]:
    """Return the ``__getattr__`` of a module in which `names` were renamed.

    Parameters
    ----------
    module : str
        The module's ``__name__``.
    names : mapping of str to str
        Each old name and its new name in the same module. A new name with dots is the full name of an object that
        moved to another module.

    Examples
    --------
    >>> import warnings, nnscratch as nn
    >>> with warnings.catch_warnings(record=True) as caught:
    ...     warnings.simplefilter("always")
    ...     nn.MultiHeadAttention is nn.MultiheadAttention
    True
    >>> print(caught[0].message)
    nnscratch.MultiHeadAttention is now called nnscratch.MultiheadAttention; the old name will be removed in 2.0
    """

    def get(name: str) -> Any:
        if name not in names:
            raise AttributeError(f"module {module!r} has no attribute {name!r}")
        new = names[name] if "." in names[name] else f"{module}.{names[name]}"
        message = f"{module}.{name} is now called {new}; the old name will be removed in 2.0"
        warnings.warn(message, DeprecationWarning, stacklevel=2)
        where, _, attribute = new.rpartition(".")
        return getattr(importlib.import_module(where), attribute)

    return get


def renamed_attribute(old: str, new: str) -> property:
    """Return a property for the class in which the attribute `old` was renamed to `new`.

    Examples
    --------
    >>> import warnings
    >>> class Car:
    ...     velocity = renamed_attribute("velocity", "speed")
    >>> car = Car()
    >>> with warnings.catch_warnings(record=True) as caught:
    ...     warnings.simplefilter("always")
    ...     car.velocity = 30
    >>> car.speed
    30
    >>> print(caught[0].message)
    Car.velocity is now called Car.speed; the old name will be removed in 2.0
    """

    def warn(owner: Any) -> None:
        title = type(owner).__name__
        message = f"{title}.{old} is now called {title}.{new}; the old name will be removed in 2.0"
        warnings.warn(message, DeprecationWarning, stacklevel=3)

    def get(self: Any) -> Any:
        warn(self)
        return getattr(self, new)

    def set_(self: Any, value: Any) -> None:
        warn(self)
        setattr(self, new, value)

    return property(get, set_, doc=f"The old name of `{new}`.")
