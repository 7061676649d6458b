"""Completeness: find arrays that change the outputs but were not checked.

A check of the gradient of x alone says nothing about the weights. Therefore the checker adds random numbers to every
other float array in the user's objects and functions. If the outputs change, and there is no gradient for the array,
the verdict is "incomplete". The checker treats the following arrays as constants. A constant does not make the verdict
"incomplete":

- An array that forward replaces or overwrites. It is a cache or a state.
- An array that a plain function reads from a closure or a global.
- An array that a method reads from a closure or a global, or that is an attribute of a class or a default argument.
  But the array is not a constant if its name is ``W``, ``b``, ``weights``, ``bias``, ``theta`` or a similar name.
- A buffer of a Module, a read-only array, or an array with the name of a setting or a statistic (`learned_names.py`).
- An array that contains infinity or NaN, such as a mask of attention scores.
- An array of an object with ``requires_grad = False`` or ``trainable = False``.
- An array of a Module, if it is not a Parameter and does not have the name of a weight.
- An array of an object that lists its parameters in ``params``, if the array does not have the name of a weight.
- Any array that does not have the name of a weight, if forward takes the weights as inputs.

A note in the report names the constants that change the outputs. It leaves out read-only arrays, arrays that forward
replaces or overwrites, and arrays that contain infinity or NaN.

For each unchecked array that changes the outputs and is not a constant, the report contains a trap. A trap is a fault
that a comparison of gradients cannot find.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from ..module import Module
from ..parameter import Parameter
from .adapters import copy_array
from .learned_names import is_learned_name, is_setting_name, is_weight_name, name_of
from .nested import (
    array_module,
    attribute_of,
    has_no_axes,
    is_array,
    is_float,
    is_writeable,
    leaves,
    map_leaves,
    share_memory,
    to_numpy,
)
from .places import follow, is_outside, place_name, put_at
from .projection import Projection, equal_outputs
from .report import GradientReport, Trap
from .snapshot import Steps, is_number_sequence
from .vacuous import outputs_are_constant

SHOWN = 6  # a note or a trap names at most this number of arrays
CHANGES = (1e-3, 0.3)  # an array is changed at random twice; these are the sizes of the changes, relative to its values


@dataclass(eq=False)
class Unchecked:
    """An array or number in the user's objects or functions whose gradient was not checked.

    Attributes
    ----------
    array : array, number or sequence of numbers
    places : list of Steps
        All paths to the array in the user's objects and functions, such as the steps to ``self.fc1.W``: see places.py.
    """

    array: Any
    places: list[Steps] = field(default_factory=list)

    @property
    def name(self) -> str:
        """The first path as Python code, such as ``self.fc1.W``."""
        return place_name(self.places[0])


def completeness_traps(
    projection: Projection, analytic: dict[str, Any], report: GradientReport, restricted: bool
) -> list[Trap]:
    """Return a `Trap` of severity "incomplete" for each array that changes the outputs and was not checked.

    Parameters
    ----------
    projection : Projection
    analytic : dict of str to object
        The gradients that backward returned. The keys are the names of the arrays.
    report : GradientReport
        Receives notes about constants that change the outputs.
    restricted : bool
        True if ``only=`` selects the arrays to check. Then the other arrays do not make the verdict "incomplete": the
        report names them in a note.
    """
    moving = list(moving_arrays(projection, unchecked_arrays(projection)))
    constants = [u for u in moving if is_constant(projection, u)]
    missing = [u for u in moving if u not in constants]
    noted = list(dict.fromkeys(u.name for u in constants))
    if noted:
        why = "its name or the place where it is stored"
        if len(noted) > 1:
            why = "their names or the places where they are stored"
        report.notes.append(f"{listed(noted)}: treated as constant, because of {why}")
    if restricted and missing:
        report.notes.append(f"{listed([u.name for u in missing])}: not checked, because only= selects other arrays")
        return []
    kind, severity = "no gradient found", "incomplete"
    traps = [
        Trap(kind, f"{name} has the name of a weight, but backward returns no gradient for it", severity)
        for name in projection.adapter.missing
    ]
    traps += [
        Trap(kind, f"{name} changes the outputs, but backward returns no gradient for it", severity)
        for name in forgotten_inputs(projection, analytic)
    ]
    missing += moving_numbers(projection)
    traps += [Trap(kind, missing_gradient_message(projection, u), severity) for u in missing[:SHOWN]]
    if len(missing) > SHOWN:
        rest = listed([u.name for u in missing[SHOWN:]])
        traps.append(Trap(kind, f"the same is true of {rest}", severity))
    return traps


def forgotten_inputs(projection: Projection, analytic: dict[str, Any]) -> list[str]:
    """Return the inputs of a layer that change its outputs, but have no gradient. Leave out data, targets and settings.

    The outputs include those that the check leaves out.

    Code is a loss, and not a layer, if it returns a single number, or one loss for each element. A loss may have
    gradients for only some of its inputs.
    """
    if projection.adapter.is_loss or all(w is None or has_no_axes(w) for _, w in leaves("", projection.weights)):
        return []
    return [
        name
        for name, array in projection.adapter.float_inputs().items()
        if name not in analytic and name not in projection.adapter.missing
        if not is_setting_name(re.findall(r"[A-Za-z]\w*", name)[-1])  # running_mean in bn_param['running_mean']
        if array.size and not outputs_are_constant(projection, [array], with_left_out=True)
    ]


def unchecked_arrays(projection: Projection) -> list[Unchecked]:
    """Return the float arrays in the user's objects and functions, except inputs, parameters and their ``grad``."""
    known = list(projection.variables.values())  # the parameters and the float inputs
    found: dict[int, Unchecked] = {}
    roots = projection.state_roots
    for steps, array in projection.state.places:
        if not is_array(array) or not is_float(array) or not array.size or steps[0] != ("root", 0):
            continue
        if isinstance(holder_at(roots, steps), Parameter):
            continue
        if any(share_memory(array, other) for other in known):
            continue
        found.setdefault(id(array), Unchecked(array)).places.append(steps)
    return list(found.values())


def moving_numbers(projection: Projection) -> list[Unchecked]:
    """Return the numbers, lists of numbers and integer arrays that have the name of a weight and change the outputs."""
    found: dict[int, Unchecked] = {}
    roots = projection.state_roots
    for steps, value in projection.state.places:
        if is_array(value) and (is_float(value) or not value.size or value.dtype.kind not in "iuO"):
            continue
        named = is_learned_name if is_number_sequence(value) else is_weight_name
        if not named(name_of(steps)) or steps[0] != ("root", 0) or is_outside(steps) or id(value) in found:
            continue
        if isinstance(holder_at(roots, steps), Module):  # in a Module, only a Parameter is a weight
            continue
        projection.back_to_start()
        try:
            put_at(roots, steps, np.asarray(to_numpy(value) if is_array(value) else value) * 1.01 + 0.01)
            if not equal_outputs(projection.adapter.run(), projection.outputs):
                found[id(value)] = Unchecked(value, [steps])
        except Exception:  # the code does not accept another value here
            pass
        finally:
            projection.back_to_start()
    return list(found.values())


def holder_at(roots: Any, steps: Steps) -> Any:
    """Return the object that contains an array: self.fc1 if `steps` is the path to self.fc1.W.

    Return None if the code has removed this object.
    """
    value = roots
    try:
        for kind, key in steps[:-1]:
            value = follow(value, kind, key)
    except (LookupError, AttributeError, TypeError, ValueError):
        return None
    return value


def moving_arrays(projection: Projection, candidates: list[Unchecked]) -> Iterator[Unchecked]:
    """Yield the arrays of `candidates` that change the outputs, and that forward does not overwrite.

    Compare all outputs of forward, including outputs that are not checked.
    """
    candidates = [u for u in candidates if is_writeable(u.array) and np.isfinite(to_numpy(u.array)).all()]
    if not candidates:
        return
    rng, outputs = np.random.default_rng(0), projection.outputs
    if projection.adapter.left_out:
        projection.back_to_start()
        outputs = *outputs, *map_leaves(copy_array, forward_and_left_out(projection)[len(outputs) :])
    if not any(outputs_move(projection, outputs, candidates, size, rng) for size in CHANGES):
        return  # the usual case: two forward passes show that no array changes the outputs
    for u in candidates:
        if any(outputs_move(projection, outputs, [u], size, rng) for size in CHANGES):
            yield u


def forward_and_left_out(projection: Projection) -> tuple:
    """Run forward. Return the outputs that are checked, followed by the outputs that are not checked."""
    ys = projection.adapter.run()
    return *ys, *projection.adapter.left_out


def outputs_move(
    projection: Projection, outputs: tuple, changed: list[Unchecked], size: float, rng: np.random.Generator
) -> bool:
    """Change the arrays in `changed` at random, and run forward. Return True if its outputs differ from `outputs`.

    If `changed` contains only one array, and forward overwrites this array, return False. `size` is the size of the
    changes, relative to the values.
    """
    projection.back_to_start()
    new = []
    for u in changed:
        a = to_numpy(u.array)
        typical = float(np.abs(a).mean())
        step = size * (np.abs(a) + 0.1 * typical + 1e-3 * (typical == 0)) * rng.uniform(0.5, 1.0, a.shape)
        u.array[...] += array_module(u.array).asarray(step)
        new.append(u.array.copy())
    try:
        moved = not equal_outputs(outputs, forward_and_left_out(projection))
    except Exception:  # forward fails with the changed values, so it reads these arrays
        moved = True
    if moved and len(changed) == 1:
        u = changed[0]
        now = holder_at(projection.state_roots, (*u.places[0], ("", "")))  # holder_at ignores the last step
        moved = now is u.array and bool((u.array == new[0]).all())
    projection.back_to_start()
    return moved


def is_constant(projection: Projection, u: Unchecked) -> bool:
    """Return True if the array is treated as a constant. The docstring at the top of this file lists the constants."""
    takes_weights = any(is_learned_name(name) for name in projection.adapter.input_names)
    places = [steps for steps in u.places if not is_read_by_function(steps)]
    for steps in places:
        name, holder = name_of(steps), holder_at(projection.state_roots, steps)
        if is_setting_name(name):
            return True
        if (is_outside(steps) or steps[-1][0] == "class attribute") and not is_weight_name(name):
            return True
        if isinstance(holder, Module) and name in dict(holder.named_buffers()):
            return True
        if (lists_its_parameters(holder) or takes_weights) and not is_learned_name(name):
            return True
        if attribute_of(holder, "requires_grad", True) is False or attribute_of(holder, "trainable", True) is False:
            return True
    return not places


def is_read_by_function(steps: Steps) -> bool:
    """Return True if a plain function reads the array from a closure or a global.

    A method does not count as a plain function.
    """
    return steps[-1][0] in ("variable", "global") and not any(kind == "method" for kind, _ in steps)


def lists_its_parameters(holder: Any) -> bool:
    """Return True if `holder` is a Module, or an object with parameters in `params` or `parameters`."""
    lists = (attribute_of(holder, name) for name in ("params", "parameters"))
    return isinstance(holder, Module) or any(isinstance(p, (dict, list, tuple)) and len(p) for p in lists)


def missing_gradient_message(projection: Projection, u: Unchecked) -> str:
    """Return the message about an array without a gradient. It shows the line of code that the user should write."""
    steps, name = u.places[0], u.name
    kind, key = steps[-1]
    holder = holder_at(projection.state_roots, steps)
    said = f"{name} changes the outputs, but the checker found no gradient for it, so it was not checked. "
    if isinstance(holder, Module):
        return said + (
            f"If it is learned, write {name} = nn.Parameter(...), and {name}.grad += ... in backward; if it is a "
            f"constant, call self.register_buffer({key!r}, ...)"
        )
    if is_outside(steps):
        line = f"make {name} an argument of forward, and return its gradient"
    elif kind == "attribute" and key in ("data", "value", "val"):
        line = f"in backward, write {place_name(steps[:-1])}.grad = ..."
    elif kind in ("attribute", "class attribute"):
        line = f"in backward, write {place_name(steps[:-1])}.d{key} = ..."
    elif len(steps) > 3:
        line = f"in backward, write {place_name(steps[:-2])}.grads[{key!r}] = ..."
    else:
        line = f"in backward, write grads[{key!r}] = ..."
    constant = "give it another name"
    if is_array(u.array) and is_float(u.array):
        constant = f"make it read-only: {name}.flags.writeable = False"
    return said + f"{line[0].upper()}{line[1:]}; if {name} is a constant, {constant}"


def listed(names: list[str]) -> str:
    """Return a text with the first names and the number of the remaining names, such as "a, b and 3 more"."""
    shown = ", ".join(names[:SHOWN])
    return f"{shown} and {len(names) - SHOWN} more" if len(names) > SHOWN else shown
