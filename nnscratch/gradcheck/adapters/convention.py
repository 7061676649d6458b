"""convention="mean": backward divides the gradients of weights by the number of examples m.

    dW = 1/m * np.dot(dZ, A_prev.T)      db = 1/m * np.sum(dZ, axis=1, keepdims=True)      dA_prev = np.dot(W.T, dZ)

This is the convention of deeplearning.ai's courses. The cost is the mean of the losses of m examples. Each column of dZ
is the gradient of the loss of one example, without the factor 1/m. So backward divides the gradients of weights by m.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from .. import nested
from ..snapshot import Snapshot
from .base import Adapter


def divide_by_examples(adapter: Adapter) -> None:
    """Change ``adapter.gradients``, so that it multiplies the gradients of weights by the number of examples m.

    Backward has divided these gradients by m, so the product is the gradient without the factor 1/m. Weights are the
    arrays that all examples use.

    To find the axis of the examples, this function changes the input at one index of an axis, and runs forward. If the
    output changes only at the same index of this axis, each index of the axis is one example.

    Examples
    --------
    >>> from .functions import PairAdapter
    >>> def backward(dZ, cache):
    ...     A, W = cache
    ...     return W.T @ dZ, dZ @ A.T / A.shape[1]
    >>> adapter = PairAdapter(lambda A, W: (W @ A, (A, W)), backward, (np.ones((3, 5)), np.ones((2, 3))))
    >>> divide_by_examples(adapter)
    >>> dW = adapter.gradients(adapter.run())["W"]
    >>> bool((dW == np.full((2, 5), 3) @ np.ones((5, 3))).all()), adapter.notes
    (True, ["convention='mean': the gradient of W is multiplied by m = 5, the number of examples (axis 1)"])
    """
    count, axis, shared = find_examples(adapter)
    if not count:
        adapter.add_note("convention='mean' changes nothing here, because forward returns one number, the loss")
        return
    if not shared:
        return
    adapter.add_note(
        f"convention='mean': the gradient of {', '.join(shared)} is multiplied by m = {count}, the number of examples "
        f"(axis {axis})"
    )
    original = adapter.gradients

    def gradients(dys: tuple, *rest: Any, **options: Any) -> dict[str, Any]:
        found = original(dys, *rest, **options)
        return {name: multiplied(g, count) if name in shared else g for name, g in found.items()}

    adapter.gradients = gradients


def multiplied(gradient: Any, count: int) -> Any:
    """Return `gradient` times `count` if it is an array or a number. Return other values, such as None, unchanged."""
    return gradient * count if nested.is_array(gradient) or isinstance(gradient, (int, float, np.number)) else gradient


def find_examples(adapter: Adapter) -> tuple[int, int, list[str]]:
    """Return the number of examples, their axis, and the names of the float arrays that all examples use."""
    before = Snapshot(adapter.source, adapter.inputs)
    try:
        outputs = [y for y in nested.float_leaves(adapter.run()) if nested.is_array(y) and y.ndim]
        if not outputs:
            return 0, 0, []
        y = outputs[0].copy()
        data = adapter.float_inputs()
        arrays = {**adapter.parameters(), **data}
        first = next(iter(data.values()), None)
        axis = next((k for k in range(y.ndim) if holds_examples(adapter, before, first, y, k)), 0)
        shared = [
            name
            for name, a in arrays.items()
            if name not in data or a is not first and not holds_examples(adapter, before, a, y, axis)
        ]
        return y.shape[axis], axis, shared
    finally:
        before.restore()


def holds_examples(adapter: Adapter, before: Snapshot, array: Any, y: Any, axis: int) -> bool:
    """Return True if a change of `array` at index 0 along `axis` changes `y` only at index 0 along `axis`."""
    if array is None or array.ndim <= axis or array.shape[axis] != y.shape[axis]:
        return False
    before.restore()
    index = (slice(None),) * axis + (0,)
    held = array[index].copy()
    array[index] += 0.3 + 0.1 * np.abs(held)
    try:
        now = next(v for v in nested.float_leaves(adapter.run()) if nested.is_array(v) and v.ndim)
        moved = now != y
    except Exception:  # forward fails with the changed values
        return False
    finally:
        array[index] = held
    return bool(np.any(moved[index])) and not bool(np.any(np.delete(moved, 0, axis=axis)))
