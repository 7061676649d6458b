"""Describe a model in values that JSON can store, and build a model from such a description.

    {"class": "nnscratch.models.mlp.MLP", "config": {...}, "modules": [...]}    a class and its constructor's arguments
    {"same": k}                                     module number k of the description again: the weights are shared
    "replaced": {"layers.0": {...}}                 modules that differ from those that the constructor makes
    "tied": [["a.weight", "b.weight"]]              names of the same parameter in different modules

A file can come from an unknown source. So `build` makes only objects of this package's classes, imports no Python
file, and allocates no more memory than the arrays of the file need.
"""

from __future__ import annotations

import functools
import sys
from typing import Any

from .init import without_drawing
from .module import Module
from .parameter import Parameter

MAX_MODULES = 100_000
"""More modules than any model has. A module that occurs twice counts twice, as in `Module.named_modules`.

A short description can describe 2**40 modules: a chain of 40 modules, each of which has the next one twice.
"""

RENAMED = {  # old name: new name. Older files use the old names of classes that were renamed or moved
    "nnscratch.module.Sequential": "nnscratch.sequential.Sequential",
    "nnscratch.layers.attention.MultiHeadAttention": "nnscratch.layers.attention.MultiheadAttention",
}


def describe(model: Module) -> dict[str, Any]:
    """Return the description from which `build` builds `model`.

    To find the entry "replaced", this function builds a model from the description, and compares the two models. If a
    class of `model` is not part of nnscratch, `build` raises an error, and the description has no such entry.
    """
    spec = _described(model, {})
    try:
        made = build(spec, num_values=sum(parameter.size for parameter in model.parameters()))
    except ValueError:
        return spec
    if replaced := _replaced(model, made):
        spec["replaced"] = {name: _described(module, {}) for name, module in replaced.items()}
        for name, module in replaced.items():
            _set(made, name, module)
    if (tied := _tied(model)) != _tied(made):
        spec["tied"] = tied
    return spec


def build(spec: dict[str, Any], num_values: int) -> Module:
    """Build the module of a description. Its weights are zeros.

    Parameters
    ----------
    spec : dict
    num_values : int
        The number of values in the file's arrays. A model with more values than this raises an error.

    Raises
    ------
    ValueError
        The description cannot be read, describes a model that is larger than the file, or names a class that is not
        part of nnscratch.
    """
    try:
        # Allow twice as many values as the file has: a module of the model and its replacement are both built.
        with without_drawing(2 * num_values + 1000):
            model = _built(spec, [], max(num_values, 1 << 20))
            for name, inner in spec.get("replaced", {}).items():
                _set(model, name, _built(inner, [], max(num_values, 1 << 20)))
        if isinstance(model, Module) and _number_of_modules(model, {}) > MAX_MODULES:
            raise ValueError(f"the description of the model has more than {MAX_MODULES:,} modules")
        for first, *others in spec.get("tied", ()):
            for name in others:
                if _get(model, name).shape != _get(model, first).shape:
                    raise ValueError(
                        f"the description of the model ties {first} and {name}, which have different shapes"
                    )
                _set(model, name, _get(model, first))
    except ValueError:
        raise
    except Exception as error:  # a description may contain anything
        raise ValueError(f"the description of the model cannot be read ({type(error).__name__}: {error})") from None
    if not isinstance(model, Module):
        raise ValueError("the description of the model cannot be read: it does not describe a Module")
    return model


def _described(model: Module, seen: dict[int, int]) -> dict[str, Any]:
    """Describe a module: its class, its constructor's arguments (`Module.config`), and the modules among them.

    A module that occurs again is described by its number only, ``seen[id(module)]``.
    """
    if id(model) in seen:
        return {"same": seen[id(model)]}
    spec: dict[str, Any] = {"class": full_name(type(model)), "config": {}}
    if inner := model.constructor_modules():
        spec["modules"] = [_described(module, seen) for module in inner]
    for name, value in model.config().items():
        if isinstance(value, type):
            value = {"class": full_name(value)}
        spec["config"][name] = {"module": _described(value, seen)} if isinstance(value, Module) else value
    seen[id(model)] = len(seen)
    return spec


def _built(spec: dict[str, Any], made: list[Module], largest: int) -> Module:
    if "same" in spec:
        return made[spec["same"]]
    inner = [_built(module, made, largest) for module in spec.get("modules", ())]
    config = {}
    for name, value in spec["config"].items():
        if isinstance(value, dict):
            value = _built(value["module"], made, largest) if "module" in value else find_class(value["class"])
        config[name] = value
    for name, value in config.items():
        for size in value if isinstance(value, list) else [value]:
            if isinstance(size, int) and size > largest:
                raise ValueError(f"{name} = {size} is larger than the number of values in the file")
    made.append(find_class(spec["class"])(*inner, **config))
    return made[-1]


def _number_of_modules(model: Module, counted: dict[int, int]) -> int:
    """Return the number of modules that ``model.named_modules()`` yields. `counted` stores the results by module."""
    if id(model) not in counted:
        counted[id(model)] = 1 + sum(_number_of_modules(child, counted) for _, child in model.named_children())
    return counted[id(model)]


def _replaced(model: Module, made: Module) -> dict[str, Module]:
    """Return the modules of `model` whose class or settings differ from those in `made`.

    The modules inside a returned module are not returned.
    """
    others, found = dict(made.named_modules()), {}
    for name, module in model.named_modules():
        if any(name == outer or name.startswith(f"{outer}.") for outer in found):
            continue
        other = others.get(name)
        if other is None or type(other) is not type(module) or settings(other) != settings(module):
            found[name] = module
    return found


def _tied(model: Module) -> list[list[str]]:
    """Return the names of each parameter that occurs under several names."""
    names: dict[int, list[str]] = {}
    for name, module in model.named_modules():
        for key, value in vars(module).items():
            if isinstance(value, Parameter):
                names.setdefault(id(value), []).append(f"{name}.{key}" if name else key)
    return sorted(group for group in names.values() if len(group) > 1)


def _get(model: Module, name: str) -> Any:
    return functools.reduce(lambda module, key: vars(module)[key], name.split("."), model)


def _set(model: Module, name: str, value: Module | Parameter) -> None:
    """Replace the module or parameter `name` of `model`. It must exist, and `value` must be of the same kind."""
    outer, _, key = name.rpartition(".")
    owner = _get(model, outer) if outer else model
    kind = Module if isinstance(value, Module) else Parameter
    if not isinstance(owner, Module) or not isinstance(vars(owner).get(key), kind) or not isinstance(value, kind):
        raise ValueError(f"the description of the model cannot be read: the model has no {name}")
    setattr(owner, key, value)


def settings(module: Module) -> dict[str, Any]:
    """Return the constructor's arguments that are not modules."""
    return {name: value for name, value in module.config().items() if not isinstance(value, Module)}


def full_name(cls: type) -> str:
    """Return a class's full name, such as ``nnscratch.layers.linear.Linear``."""
    return f"{cls.__module__}.{cls.__qualname__}"


def find_class(full: str) -> type[Module]:
    """Return the Module subclass of this package with the full name `full`, or raise ValueError.

    The modules of all layers, losses and models are loaded when nnscratch is imported. No other module is imported
    here: importing ``nnscratch.__main__`` would run the command.
    """
    if not isinstance(full, str) or len(full) > 200:
        raise ValueError(f"the name of a class must be a short string, got {full!r:.50}")
    full = RENAMED.get(full, full)
    where, _, name = full.rpartition(".")
    if where != "nnscratch" and not where.startswith("nnscratch."):
        raise ValueError(f"{full} is not part of nnscratch: build the model yourself, then call nn.load(path, model)")
    cls = vars(sys.modules[where]).get(name) if where in sys.modules else None
    if cls is None:
        raise ValueError(f"this version of nnscratch has no {full}")
    if not (isinstance(cls, type) and issubclass(cls, Module)):
        raise ValueError(f"{full} is not a Module")
    return cls
