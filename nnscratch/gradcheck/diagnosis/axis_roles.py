"""Find the sample axis and the time axis of an output.

For example, a recurrent layer returns y of shape (N, T, D). Axis 0 is its sample axis, and axis 1 is its time axis.
With these roles, the report can say that backward uses only the last time step.

To find the role of an axis, change an input at the first index along this axis only, and run forward. If the
output changes only at the first index, the axis is a sample axis, because samples do not affect each other. If the
output changes at all later indices too, the axis is a time axis. A second test changes the input at the last index.
It must confirm the role. It also finds the time axis of a layer that runs from the last time step to the first.
"""

from __future__ import annotations

import re
from typing import Any

import numpy as np

from ..nested import is_array, is_float, leaves, map_leaves, to_numpy
from ..projection import Projection

WEIGHT = re.compile(
    r"(w|u|v|theta|weights?|kernels?|filters?|bias(es)?|gamma|beta)[^a-z]*$|(weight|bias)_\w*$"
    r"|(w[a-z]{0,2}|b[a-z]?)[0-9]*$",
    re.IGNORECASE,
)
MAX_AXES = 12  # the largest number of axes along which inputs are changed


def axis_roles(projection: Projection) -> dict[str, dict[int, str]]:
    """For each output, return the axes of samples and time steps, for example {0: "sample", 1: "time"}."""
    outputs = [(name, y) for name, y in leaves("output", projection.outputs) if is_array(y) and is_float(y)]
    found: dict[str, dict[int, str]] = {name: {} for name, _ in outputs}
    if not outputs or projection.replayed == "state":
        return found
    adapter = projection.adapter
    pairs = zip(adapter.input_names, adapter.inputs, strict=True)
    inputs = [v for own, nest in pairs for n, v in leaves(own, nest) if is_array(v) and not WEIGHT.match(last_name(n))]
    inputs += projection.constant_arrays()
    independent: dict[str, list[int]] = {name: [] for name, _ in outputs}
    tried = 0
    for array in inputs:
        for b in range(array.ndim):
            n = array.shape[b]
            if n < 2 or not any(n in y.shape for _, y in outputs) or tried >= MAX_AXES:
                continue
            tried += 1
            moved = [changed_outputs(projection, array, b, index) for index in (0, n - 1)]
            if None in moved:
                continue
            for name, y in outputs:
                if any(name not in m for m in moved):  # the shape of this output depends on the values
                    continue
                for a in range(y.ndim):
                    if y.shape[a] != n:
                        continue
                    first, last = (moved_indices(m[name], a) for m in moved)
                    everywhere = list(range(n))
                    if (first, last) in ((everywhere, [n - 1]), ([0], everywhere)):
                        found[name][a] = "time"
                    elif (first, last) == ([0], [n - 1]) and a not in independent[name]:
                        independent[name].append(a)
    for name, y in outputs:
        axes = sorted(a for a in independent[name] if a not in found[name])
        if axes:
            found[name][axes[0]] = "sample"
            if axes[:2] == [0, 1] and y.ndim == 3:
                found[name].setdefault(1, "time")
        elif not found[name] and y.ndim == 2:
            found[name][0] = "sample"
    return found


def last_name(name: str) -> str:
    """Return the last word in the name of an array: W for parameters['W'], and x for x or x[0]."""
    keys = re.findall(r"[A-Za-z_]\w*", name)
    return keys[-1] if keys else name


def changed_outputs(projection: Projection, array: Any, axis: int, index: int) -> dict[str, np.ndarray] | None:
    """Change `array` at one index along an axis, and run forward. Return which elements of the outputs change.

    The result is a dict with one boolean array for each output. Return None if forward raises an error, or if `array`
    contains neither floats nor integers.
    """
    held = array.copy()
    at = (slice(None),) * axis + (index,)
    try:
        if array.dtype.kind == "f":
            array[at] = array[at] * 1.01 + 0.01
        elif array.dtype.kind in "iu":
            array[at] = (array[at] + 1) % (int(array.max()) + 1)
        else:
            return None
        with np.errstate(all="ignore"):
            ys = map_leaves(lambda y: np.array(to_numpy(y)) if is_array(y) else y, projection.forward())
    except Exception:  # the checked code may raise any error for the changed values
        return None
    finally:
        array[...] = held
        projection.adapter.clear_saved()
    before = dict(leaves("output", projection.outputs))
    return {
        name: y != to_numpy(before[name])
        for name, y in leaves("output", ys)
        if is_array(y) and np.shape(y) == np.shape(before[name])
    }


def moved_indices(changed: np.ndarray, axis: int) -> list[int]:
    """Return the indices along an axis at which at least one element of the boolean array `changed` is True."""
    other = tuple(a for a in range(changed.ndim) if a != axis)
    return [int(i) for i in np.flatnonzero(changed.any(axis=other))]
