"""Traps: faults that a comparison of gradients cannot find.

    Forward writes into its inputs or parameters.
    Forward returns NaN, or a view of its input.
    Backward writes into its inputs, into dy or into parameters.
    Backward overwrites a gradient instead of adding to it.
    Backward stores another array, instead of a copy, as the gradient of a parameter: for example self.dw = self.x.
    Backward does not use the values that forward saved for it.
    A gradient has a different shape or dtype than its array, or contains NaN.

A trap of severity "wrong" makes the whole report wrong. A "note" is only printed. stale_forward.py finds another trap,
which is not in this list: a backward that uses values of the wrong forward.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from .adapters import Adapter
from .nested import array_module, is_array, is_float, leaves, share_memory, to_numpy
from .projection import Projection, gradient_as_float64
from .report import Trap
from .snapshot import Snapshot, equal_arrays

WRITES = "backward writes into its input"
WRITES_INTO_DY = "backward writes into dy"
NOT_AN_ARRAY = "not an array"


def forward_traps(projection: Projection) -> list[Trap]:
    """Run forward once. Return a `Trap` for each output that is not usable, and for each array that forward changes."""
    adapter = projection.adapter
    kind = "forward writes into its input"
    traps = []
    for name in projection.written_inputs:
        # If an array does not affect the outputs, it may be a state that forward updates, such as a running mean.
        severity = "wrong" if affects_outputs(projection, name) else "note"
        traps.append(Trap(kind, f"{name} is changed by the call", severity))
    inputs = [leaf for pair in zip(adapter.input_names, adapter.inputs, strict=True) for leaf in leaves(*pair)]
    for y_name, y in leaves("output", projection.forward()):
        if is_array(y) and is_float(y):
            for name, array in inputs:
                if is_array(array) and share_memory(array, y):
                    traps.append(
                        Trap(
                            "output aliases an input",
                            f"{y_name} shares memory with {name}: writing to one changes the other",
                            "note",
                        )
                    )
            if not bool(array_module(y).isfinite(y).all()):
                message = f"{y_name} contains NaN or infinity, so nothing can be compared"
                traps.append(Trap("not finite", message, "cannot tell"))
        elif is_float(y) and not np.isfinite(y):
            traps.append(Trap("not finite", f"{y_name} is {y}, so nothing can be compared", "cannot tell"))
    adapter.clear_saved()
    return traps


def affects_outputs(projection: Projection, name: str) -> bool:
    """Return True if the outputs change when the array `name` is filled with random values of the same magnitude."""
    array = next(a for n, a in projection.adapter.arrays() if n == name)
    if not is_float(array):
        return True
    before, held, rng = projection.flat_outputs(), array.copy(), np.random.default_rng(0)
    size = float(np.abs(to_numpy(array)).max(initial=0)) or 1.0
    try:
        for _ in range(2):
            array[...] = array_module(array).asarray(size * rng.standard_normal(array.shape))
            if not np.array_equal(projection.flat_outputs(), before):
                return True
        return False
    except Exception:  # forward fails with the changed values, which shows that it reads the array
        return True
    finally:
        array[...] = held


def backward_traps(projection: Projection) -> list[Trap]:
    """Run forward and backward.

    Return a `Trap` for each gradient that is not usable, and for each array that backward changes.
    """
    adapter, traps = projection.adapter, []
    with projection.unchanged():
        arrays = adapter.arrays()
        projection.forward()
        before, cache = [a.copy() for _, a in arrays], Snapshot(adapter.cached())
        by_forward = projection.replaced_parameters()  # for example, forward replaces the running averages in bn_param
        dys = projection.dys()
        given = adapter.gradients(dys)
        unused_saved = adapter.unused_saved()
        known = [a for _, a in arrays] + [given.get(name) for name in adapter.parameters()]
        cache_changed = [a for a in cache.changed() if not any(a is b for b in known)]
        replaced = [name for name in projection.replaced_parameters() if name not in by_forward]
        written = [n for (n, a), old in zip(arrays, before, strict=True) if not equal_arrays(a, old)]
        changed = {*written, *replaced}
        now = {**dict(arrays), **adapter.parameters()}
        overwritten = [n for n, a in now.items() if n in changed and share_memory(a, given.get(n))]
        shared = sharing_traps(adapter, {n: g for n, g in given.items() if n not in overwritten})
        given = {name: g.copy() if is_array(g) else g for name, g in given.items()}
    traps += [*change_traps(adapter, written, replaced, overwritten), *shared, *container_traps(adapter)]
    for name, array in projection.variables.items():
        if given.get(name) is not None:
            traps += form_traps(name, array, given[name])
    traps += dy_traps(dys, projection.dys())
    if unused_saved:
        message = (
            f"{', '.join(unused_saved)}: forward calls save_for_backward, but backward does not call saved(), so "
            f"memory grows with every step"
        )
        traps.append(Trap("saved but not used", message, "note"))
    if cache_changed and not repeats_equally(projection):
        shapes = ", ".join(str(a.shape) for a in cache_changed[:3])
        message = f"backward changes the cached array of shape {shapes}, so a second backward returns other gradients"
        # A cache inside an object is private: no other code uses it, so a change is only a note.
        severity = "wrong" if adapter.returns_cache else "note"
        traps.append(Trap("backward writes into the cache", message, severity))
    return traps


def container_traps(adapter: Adapter) -> list[Trap]:
    """Return a `Trap` if backward returns a gradient in the wrong container.

    For example, backward returns a tuple that contains the array, instead of the array itself.
    """
    # In a network, the result of a Module's backward goes to the previous module. So this result must be an array.
    severity = "wrong" if adapter.accumulates else "note"
    if adapter.container == "flat":
        form = ", ".join(nested_names(f"d{n}", v) for n, v in zip(adapter.input_names, adapter.inputs, strict=True))
        message = f"backward returns all gradients in one tuple; nest them like the inputs of forward: {form}"
        return [Trap("not nested like the inputs", message, severity)]
    if adapter.container:
        fix = " Remove the comma after it." if adapter.container == "tuple" else ""
        message = f"backward returns a {adapter.container} instead of an array; return the array itself.{fix}"
        return [Trap(NOT_AN_ARRAY, message, severity)]
    return []


def dy_traps(dys: tuple, unchanged: tuple) -> list[Trap]:
    """Return a note for each dy in `dys` that backward has changed in place, or removed from a list or dictionary.

    `unchanged` contains copies of these arrays. Backward did not receive the copies.
    """
    traps, left = [], dict(leaves("dy", dys))
    for name, w in leaves("dy", unchanged):
        dy = left.get(name)
        if name not in left:
            message = (
                f"backward removes {name} from the list or dictionary that it receives: its caller cannot use it later"
            )
            traps.append(Trap(WRITES_INTO_DY, message, "note"))
        elif is_array(dy) and is_array(w) and not equal_arrays(dy, w):
            which = "dy" if len(dys) == 1 and dys[0] is dy else name
            message = f"backward changes {which} in place: the rest of backward and its caller use the changed values"
            traps.append(Trap(WRITES_INTO_DY, message, "note"))
    return traps


def nested_names(name: str, value: Any) -> str:
    """Return the name of a gradient. For a nested input, return the names of its parts, nested in the same way.

    >>> nested_names("dx", 1.0), nested_names("dstate", (1.0, 2.0))
    ('dx', '(dstate[0], dstate[1])')
    """
    if not isinstance(value, (tuple, list)):
        return name
    return f"({', '.join(nested_names(f'{name}[{k}]', part) for k, part in enumerate(value))})"


def change_traps(
    adapter: Adapter, written: list[str], replaced: list[str], overwritten: list[str] | tuple = ()
) -> list[Trap]:
    """Return a list of `Trap` for the inputs and parameters that backward writes into or replaces.

    `overwritten` contains the names of the arrays that backward overwrites with their gradient. This happens if an
    array and its gradient are the same array, as after ``self.grads = self.params``.

    If an object updates its own weights in backward, the trap is only a note: the checker restores the weights after
    every backward. In a Module, only the optimizer may update the weights. Inputs belong to the caller, so backward
    must not change them.
    """
    message = "{0} and its gradient are the same array, so backward overwrites {0}: store the gradient in a new array"
    traps = [Trap(WRITES, message.format(name)) for name in overwritten]
    written, replaced = ([name for name in names if name not in overwritten] for names in (written, replaced))
    own = set() if adapter.accumulates else set(adapter.parameters())
    for names, what in ((written, "changed"), (replaced, "replaced by other arrays")):
        updated = [name for name in names if name in own]
        traps += [Trap(WRITES, f"{name} is {what} by backward") for name in names if name not in own]
        if updated:
            message = (
                f"{', '.join(updated)}: {what} by backward, and restored by the checker after every backward. Update "
                f"the weights at the end of backward, because the gradients need the old values"
            )
            traps.append(Trap(WRITES, message, "note"))
    return traps


def sharing_traps(adapter: Adapter, given: dict[str, Any]) -> list[Trap]:
    """Return a note for each parameter whose gradient shares memory with another gradient, a parameter or an input.

    Gradients that a framework computes are not examined: `Adapter.source` is empty for such code.
    """
    gradients = {name: given.get(name) for name in adapter.parameters()} if adapter.source else {}
    others = [(f"the gradient of {name}", g) for name, g in {**gradients, **given}.items()] + adapter.arrays()
    traps = []
    for number, (name, gradient) in enumerate(gradients.items(), 1):
        shared = [other for other, array in others[number:] if is_array(gradient) and share_memory(gradient, array)]
        if shared:
            message = (
                f"the gradient of {name} shares memory with {' and '.join(shared)}: store a copy, because an operation "
                f"in place, such as gradient clipping, changes all of these arrays"
            )
            traps.append(Trap("gradient shares memory", message, "note"))
    return traps


def repeats_equally(projection: Projection) -> bool:
    """Run backward twice after one forward pass. Return True if the gradients stay the same, or are twice as large."""
    found = []
    with projection.unchanged():
        projection.forward()
        for _ in range(2):
            given = projection.adapter.gradients(projection.dys())
            found.append({name: to_numpy(g).copy() for name, g in given.items() if is_array(g)})
    first, second = found
    return all(nearly_equal(second[k], first[k]) or nearly_equal(second[k], 2 * first[k]) for k in first if k in second)


def form_traps(name: str, array: Any, gradient: Any) -> list[Trap]:
    """Return a `Trap` for each fault in the shape, the dtype or the values of one gradient."""
    traps, kind = [], "`...`" if gradient is ... else f"a {type(gradient).__name__}"
    if not is_array(gradient):
        try:
            gradient = np.asarray(gradient, dtype=np.float64)
        except (TypeError, ValueError):
            return [Trap(NOT_AN_ARRAY, f"the gradient of {name} is {kind}")]
        if array.ndim:
            traps.append(Trap(NOT_AN_ARRAY, f"the gradient of {name} is {kind}, but {name} is an array", "note"))
    if gradient.shape != array.shape:
        return [Trap("wrong shape", f"the gradient of {name} has shape {gradient.shape}, not {array.shape}")]
    if gradient.dtype.kind == "c":
        traps.append(Trap("wrong dtype", f"the gradient of {name} is {gradient.dtype}, but {name} is {array.dtype}"))
        return traps
    if gradient.dtype.kind != "f":
        traps.append(Trap("wrong dtype", f"the gradient of {name} is {gradient.dtype}, which cannot hold fractions"))
    elif gradient.dtype.itemsize < array.dtype.itemsize:
        traps.append(
            Trap("wrong dtype", f"the gradient of {name} is {gradient.dtype}, but {name} is {array.dtype}", "note")
        )
    if not bool(array_module(gradient).isfinite(gradient).all()):
        traps.append(Trap("not finite", f"the gradient of {name} contains NaN or infinity"))
    return traps


def accumulation_traps(projection: Projection, analytic: dict[str, Any]) -> list[Trap]:
    """Run forward and backward twice without zero_grad. Return a `Trap` for each gradient that stays the same.

    A right backward adds to the gradient, so the gradient is twice as large after the second run.
    """
    adapter = projection.adapter
    if not adapter.accumulates:
        return []
    with projection.unchanged():
        projection.forward()
        adapter.gradients(projection.dys())
        projection.forward()
        twice = {n: gradient_as_float64(g) for n, g in adapter.gradients(projection.dys(), zero=False).items()}
    traps = []
    for name in adapter.parameters():
        once, both = analytic.get(name), twice.get(name)
        if once is None or both is None or once.shape != both.shape or not np.any(once):
            continue
        if nearly_equal(both, once):
            traps.append(
                Trap(
                    "gradient overwritten",
                    f"{name}.grad is the same after a second backward; backward must add to it: "
                    f"grad += ..., not grad = ...",
                )
            )
    return traps


def nearly_equal(a: Any, b: Any) -> bool:
    """Return True if the difference of each element is at most a millionth of the largest element of `b`."""
    top = float(np.abs(b).max(initial=0))
    return bool(np.all(np.abs(a - b) <= 1e-6 * top + 1e-300))
