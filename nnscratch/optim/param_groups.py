"""Parameter groups: parts of a model for which one optimiser has different learning rates or weight decays.

    param_groups = [{"params": [...], "lr": 0.001, "weight_decay": 0.1}, {"params": [...], "lr": 0.001, ...}, ...]

An optimiser that is built from one list of parameters has one group. Built from a list of dicts, it has one group for
each dict. If a setting is not in the dict, the group uses the optimiser's value.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from ..checks import at_least, short
from ..module import Module
from ..parameter import Parameter

ParamGroup = dict[str, Any]


def as_parameters(parameters: Iterable[Parameter]) -> list[Parameter]:
    """Return a list of distinct parameters, or raise."""
    if isinstance(parameters, (Module, Parameter)):
        hint = "put it into a list" if isinstance(parameters, Parameter) else "pass its parameters()"
        raise TypeError(f"expected a list of parameters, got a {type(parameters).__name__}: {hint}")
    parameters = list(parameters)
    for p in parameters:
        if not isinstance(p, Parameter):
            raise TypeError(f"expected parameters (model.parameters()), got {type(p).__name__}")
    if len({id(p) for p in parameters}) != len(parameters):
        raise ValueError("a parameter is given twice: it would be updated twice")
    return parameters


def as_param_groups(params: Iterable[Parameter] | Iterable[ParamGroup], defaults: dict[str, float]) -> list[ParamGroup]:
    """Return the groups, each with ``"params"`` and all settings in `defaults`. Raise if `params` is invalid."""
    params = params if isinstance(params, (Module, Parameter, dict)) else list(params)
    if isinstance(params, dict):
        raise TypeError("expected a list of parameters or a list of dicts, got a dict: put it into a list")
    if not isinstance(params, list) or not any(isinstance(p, dict) for p in params):
        params = [{"params": params}]
    groups = []
    for number, given in enumerate(params):
        if not isinstance(given, dict) or "params" not in given:
            came = f"a dict without it: {sorted(given)}" if isinstance(given, dict) else type(given).__name__
            raise TypeError(f'param_groups[{number}] must be a dict with "params", got {came}')
        unknown = sorted(given.keys() - {"params"} - defaults.keys())
        if unknown:
            raise ValueError(
                f"param_groups[{number}] has {', '.join(unknown)}, but a group can have its own "
                f"{' and '.join(defaults)} only"
            )
        own = {name: at_least(name, given[name], 0) for name in defaults if name in given}
        groups.append({"params": as_parameters(given["params"]), **defaults, **own})
    as_parameters(p for group in groups for p in group["params"])  # raises if two groups have the same parameter
    return groups


def saved_settings(groups: list[ParamGroup], saved: Any) -> list[dict[str, float]]:
    """Return the settings of the `saved` groups of a ``state_dict``. Raise if they do not fit `groups`."""
    if not isinstance(saved, (list, tuple)) or not all(
        isinstance(group, dict) and isinstance(group.get("params"), (list, tuple)) for group in saved
    ):
        raise TypeError(f'param_groups must be a list of dicts, each with a list "params", got {short(saved)}')
    sizes = [len(group["params"]) for group in groups]
    if [len(group["params"]) for group in saved] != sizes:
        raise ValueError(
            f"the state has parameter groups of {[len(group['params']) for group in saved]} parameters; "
            f"this optimizer has groups of {sizes}"
        )
    settings = []
    for own, given in zip(groups, saved, strict=True):
        if own.keys() != given.keys():
            raise ValueError(
                f"a group of this optimizer has the settings {sorted(own)}, but a group of the state has "
                f"{sorted(map(str, given))}"
            )
        settings.append({name: at_least(name, given[name], 0) for name in own if name != "params"})
    return settings
