"""What can be wrong around a gradient before its numbers are compared.

    forward      writes into its inputs or parameters; gives NaN; returns its input itself
    backward     writes into its inputs, into dy or into parameters; overwrites where it should add;
                 uses what another forward kept instead of its own (forward A, forward B, backward);
                 leaves what forward kept for it
    a gradient   of another shape or dtype than its array; NaN

A trap of severity "wrong" makes the whole report wrong; a "note" is said and no more.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from .. import backend
from .isolation import Snapshot, same
from .objective import Objective
from .report import Trap
from .targets import NO_CACHE, ModuleTarget, PairTarget
from .tree import is_array, is_float, leaves, transform


def forward_traps(objective: Objective) -> list[Trap]:
    """Run forward once and look at what it did to its arrays."""
    target = objective.target
    traps = [Trap("forward writes into its input", f"{name} is changed by the call") for name in objective.written]
    inputs = [leaf for pair in zip(target.input_names, target.inputs, strict=True) for leaf in leaves(*pair)]
    for y_name, y in leaves("output", objective.forward()):
        if is_array(y) and is_float(y):
            for name, array in inputs:
                if is_array(array) and shares(array, y):
                    traps.append(
                        Trap(
                            "output aliases an input",
                            f"{y_name} shares memory with {name}: writing to one changes the other",
                            "note",
                        )
                    )
            if not bool(backend.array_module(y).isfinite(y).all()):
                traps.append(Trap("not finite", f"{y_name} holds NaN or infinity; nothing to compare", "cannot tell"))
        elif is_float(y) and not np.isfinite(y):
            traps.append(Trap("not finite", f"{y_name} is {y}; nothing to compare", "cannot tell"))
    target.forget()
    return traps


def backward_traps(objective: Objective) -> list[Trap]:
    """Run forward and backward and look at what backward did, and at the form of what it returned."""
    target, traps = objective.target, []
    arrays = target.arrays()
    objective.forward()
    before, cache = [a.copy() for _, a in arrays], Snapshot(target.kept())
    ours = objective.dys()
    given = target.gradients(ours)
    left = target.left() if isinstance(target, ModuleTarget) else []
    target.forget()
    known = [a for _, a in arrays] + [given.get(name) for name in target.parameters()]
    cache_changed = [a for a in cache.changed() if not any(a is b for b in known)]
    for (name, array), old in zip(arrays, before, strict=True):
        if not same(array, old):
            traps.append(Trap("backward writes into its input", f"{name} is changed by backward"))
            array[...] = old
    for name, array in objective.variables.items():
        if given.get(name) is not None:
            traps += form_of(name, array, given[name])
    for (name, dy), (_, w) in zip(leaves("dy", ours), leaves("dy", objective.dys()), strict=True):
        if is_array(dy) and not same(dy, w):
            traps.append(Trap("backward writes into dy", f"{name} is changed: whoever gave it may need it", "note"))
    if left:
        traps.append(
            Trap(
                "kept for nobody",
                f"{', '.join(left)}: what forward gave to save_for_backward, backward does not take back with saved(); "
                f"it stays, and more with every step",
                "note",
            )
        )
    if cache_changed and not same_twice(objective):
        shapes = ", ".join(str(a.shape) for a in cache_changed[:3])
        traps.append(
            Trap(
                "backward writes into the cache",
                f"what forward kept, of shape {shapes}, is changed: a second backward from it gives another gradient",
                "wrong" if isinstance(target, PairTarget) else "note",  # an object's cache is its own affair
            )
        )
    return traps


def same_twice(objective: Objective) -> bool:
    """True if two backwards after one forward agree (or add up, in gradients that are added to)."""
    objective.forward()
    found = []
    for _ in range(2):
        given = objective.target.gradients(objective.dys())
        found.append({name: backend.to_numpy(g).copy() for name, g in given.items() if is_array(g)})
    first, second = found
    return all(close(second[k], first[k]) or close(second[k], 2 * first[k]) for k in first if k in second)


def form_of(name: str, array: Any, gradient: Any) -> list[Trap]:
    """Shape, dtype and finiteness of one gradient."""
    traps, kind = [], type(gradient).__name__
    if not is_array(gradient):
        try:
            gradient = np.asarray(gradient, dtype=np.float64)
        except (TypeError, ValueError):
            return [Trap("not an array", f"the gradient of {name} is of type {kind}")]
        if array.ndim:
            traps.append(Trap("not an array", f"the gradient of {name} is a {kind}, {name} is an array", "note"))
    if gradient.shape != array.shape:
        return [Trap("wrong shape", f"the gradient of {name} has shape {gradient.shape}, {name} has {array.shape}")]
    if gradient.dtype.kind == "c":
        traps.append(Trap("wrong dtype", f"the gradient of {name} is {gradient.dtype}, {name} is {array.dtype}"))
        return traps
    if gradient.dtype.kind != "f":
        traps.append(Trap("wrong dtype", f"the gradient of {name} is {gradient.dtype}: its fractions are lost"))
    elif gradient.dtype.itemsize < array.dtype.itemsize:
        traps.append(
            Trap("wrong dtype", f"the gradient of {name} is {gradient.dtype}, {name} is {array.dtype}", "note")
        )
    if not bool(backend.array_module(gradient).isfinite(gradient).all()):
        traps.append(Trap("not finite", f"the gradient of {name} holds NaN or infinity"))
    return traps


def accumulation_traps(objective: Objective, analytic: dict[str, Any]) -> list[Trap]:
    """Two backwards without clearing between them must give twice the gradient, in targets that add."""
    target = objective.target
    if not isinstance(target, ModuleTarget):
        return []
    objective.forward()
    target.gradients(objective.dys())
    target.forget()
    objective.forward()
    twice = target.gradients(objective.dys(), zero=False)
    target.forget()
    traps = []
    for name in target.parameters():
        once, both = analytic.get(name), backend.to_numpy(twice[name]) if is_array(twice.get(name)) else None
        if once is None or both is None or once.shape != both.shape or not np.any(once):
            continue
        if close(both, once) and not close(both, 2 * once):
            traps.append(
                Trap(
                    "gradient overwritten",
                    f"{name}.grad is the same after a second backward; it must be added to "
                    f"(grad += ..., not grad = ...)",
                )
            )
    return traps


def stale_traps(objective: Objective) -> list[Trap]:
    """forward A, forward B, backward: each backward must use its own forward.

    A and B differ in their float inputs. A pair with a cache is asked for A's gradient from A's cache; what keeps its
    cache to itself, for B's. A Module is then asked for A's as well, which a stack (`save_for_backward`) makes right
    and an attribute does not: worth a note, since it matters only where a module is used twice.
    """
    target = objective.target
    A = target.inputs
    if not target.input_leaves() or objective.replayed == "state":
        return []
    rng = np.random.default_rng(12345)

    def other(v: Any) -> Any:
        if not (is_array(v) and is_float(v)):
            return v
        shift = backend.array_module(v).asarray(rng.uniform(0.05, 0.3, v.shape), dtype=v.dtype)
        return backend.array_module(v).asarray(v.ravel()[::-1].reshape(v.shape) + shift)  # NumPy adds to a number

    B = transform(other, A)

    def forward(inputs: tuple) -> Any:
        target.inputs = inputs
        objective.forward()
        return getattr(target, "cache", None)

    def backward(inputs: tuple) -> dict[str, Any]:
        target.inputs = inputs
        given = target.gradients(objective.dys())
        return {name: backend.to_numpy(g).copy() for name, g in given.items() if is_array(g)}

    def fresh() -> None:
        target.forget()
        objective.back_to_start()

    words = "forward on A, forward on B, then backward: the gradient of {} is not {}'s; backward uses what another "
    words += "forward kept"
    try:
        fresh()
        forward(B)
    except (ValueError, ArithmeticError, IndexError):  # B may be none of its business
        target.inputs = A
        fresh()
        return []
    try:
        fresh()
        if isinstance(target, PairTarget) and target.cache is not NO_CACHE:
            forward(A)
            expected = backward(A)
            cache = forward(A)
            forward(B)
            target.cache = cache
            wrong = unlike(backward(A), expected)
            return [Trap("stale cache", words.format(", ".join(wrong), "A"))] if wrong else []
        forward(B)
        expected = backward(B)
        fresh()
        forward(A)
        forward(B)
        wrong = unlike(backward(B), expected)
        if wrong:
            return [Trap("stale cache", words.format(", ".join(wrong), "B"))]
        if isinstance(target, ModuleTarget):
            got = backward(A)
            fresh()
            forward(A)
            wrong = unlike(got, backward(A))
            if wrong:
                return [keeps_only_one(f"the second is not A's for {', '.join(wrong)}")]
    except (RuntimeError, IndexError, ValueError, TypeError, AttributeError, KeyError) as error:
        return [keeps_only_one(f"{type(error).__name__}: {error}")]
    finally:
        target.inputs = A
        fresh()
    return []


def keeps_only_one(what: str) -> Trap:
    return Trap(
        "one forward kept",
        f"forward on A, forward on B, backward, backward: {what}. Used twice in one network, as a recurrent cell is, "
        f"its gradients are wrong; self.save_for_backward(...) keeps one entry for each forward",
        "note",
    )


def unlike(got: dict[str, Any], expected: dict[str, Any]) -> list[str]:
    """The names whose gradients are finite and differ."""
    return [
        name
        for name, g in got.items()
        if name in expected
        and g.shape == expected[name].shape
        and bool(np.isfinite(expected[name]).all())
        and not close(g, expected[name])
    ]


def close(a: Any, b: Any) -> bool:
    top = max(float(np.abs(a).max(initial=0)), float(np.abs(b).max(initial=0)))
    return bool(np.all(np.abs(a - b) <= 1e-6 * top + 1e-300))


def shares(a: Any, b: Any) -> bool:
    return a is b or isinstance(a, np.ndarray) and isinstance(b, np.ndarray) and np.shares_memory(a, b)
