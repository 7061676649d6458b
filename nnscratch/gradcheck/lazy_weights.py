"""Lazy weights: arrays that forward creates in its first call, because their shapes depend on the input.

An example is ``if self.W is None: self.W = init(x.shape[1], 2)``. Before each forward, the checker restores the state
in which the check started. If this state had no weights, each forward would create new weights, and the checker would
not find them. Therefore, if the first forward creates weights, the check starts after this forward.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from .adapters import Adapter, copy_array
from .learned_names import is_learned_name, name_of
from .nested import is_array, is_float, leaves, map_leaves, share_memory
from .places import is_outside
from .projection import equal_outputs
from .snapshot import Snapshot, Steps, equal_arrays


def start_with_weights(adapter: Adapter, before: Snapshot) -> Snapshot:
    """Run forward several times, and return a snapshot of the state in which the check starts.

    If the first forward creates arrays with the names of weights, and the second forward keeps and uses them, return
    the state after the first forward. Otherwise return `before`. If forward raises an error, return `before` too: the
    check runs forward again and reports the error.

    Parameters
    ----------
    adapter : Adapter
    before : Snapshot
        The state of the code before the check.
    """
    held = {steps for steps, value in before.places if is_array(value)}
    inputs = [leaf for _, leaf in leaves("", adapter.inputs) if is_array(leaf)]
    copies = [a.copy() for a in inputs]
    try:
        adapter.run()
        start = Snapshot(adapter.source)
        created = {s: a for s, a in start.places if is_new_weight(s, a, held, inputs)}
        if created:
            ys = copied_outputs(adapter.run())
            now = dict(Snapshot(adapter.source).places)
            created = {s: a for s, a in created.items() if now.get(s) is a and equal_arrays(a, start.values_of(a))}
            if not any(changes_outputs(adapter, a, ys) for a in created.values()):
                created = {}  # not learned: for example, attention weights that each forward appends to a list
    except Exception:  # the check runs forward again and reports the error
        created = {}
    for array, old in zip(inputs, copies, strict=True):  # forward may write into its inputs
        if not equal_arrays(array, old):
            array[...] = old
    if not created:
        before.restore()
        return before
    start.restore()
    adapter.clear_saved()
    return start


def copied_outputs(ys: tuple) -> tuple:
    """Return the outputs, with a copy of each array."""
    return map_leaves(copy_array, ys)


def changes_outputs(adapter: Adapter, array: Any, ys: tuple) -> bool:
    """Change the values of `array`, and run forward. Return True if its outputs differ from `ys`."""
    held = array.copy()
    array += 0.1 * (1 + abs(held))
    changed = not equal_outputs(copied_outputs(adapter.run()), ys)
    array[...] = held
    return changed


def is_new_weight(steps: Steps, value: Any, held: set[Steps], inputs: list[Any]) -> bool:
    """Return True if forward has created the array `value`, and the array has the name of a weight.

    `steps` is the path to the array, and `held` contains the paths of the arrays that existed before forward.
    """
    if not is_array(value) or not is_float(value) or not np.size(value) or steps in held or is_outside(steps):
        return False
    return is_learned_name(name_of(steps)) and not any(share_memory(value, a) for a in inputs)
