"""What can be wrong around a gradient before its numbers are compared.

    forward      writes into its inputs or parameters; gives NaN; returns its input itself
    backward     writes into its inputs, into dy or into parameters; overwrites where it should add;
                 uses what the *latest* forward kept instead of its own (forward A, forward B, backward)
    a gradient   of another shape or dtype than its array; NaN

A trap of severity "wrong" makes the whole report wrong; a "note" is said and no more.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from .. import backend
from .isolation import Snapshot
from .objective import Objective
from .report import Trap
from .targets import NO_CACHE, ModuleTarget, PairTarget
from .tree import is_array, is_float, leaves


def forward_traps(objective: Objective) -> list[Trap]:
    """Run forward once and look at what it did to its arrays."""
    target, traps = objective.target, []
    inputs = [(n, v) for name, i in zip(target.input_names, target.inputs, strict=True) for n, v in leaves(name, i)]
    arrays = [(name, a) for name, a in [*target.parameters().items(), *inputs] if is_array(a)]
    before = [a.copy() for _, a in arrays]
    ys = objective.forward()
    for (name, array), old in zip(arrays, before, strict=True):
        if not equal(array, old):
            traps.append(Trap("forward writes into its input", f"{name} is changed by the call"))
            array[...] = old
    for y_name, y in leaves("output", ys):
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
    inputs = [(n, v) for name, i in zip(target.input_names, target.inputs, strict=True) for n, v in leaves(name, i)]
    arrays = [(name, a) for name, a in [*target.parameters().items(), *inputs] if is_array(a)]
    objective.forward()
    before = [a.copy() for _, a in arrays]
    cache = getattr(target, "cache", None)
    cached = Snapshot(cache) if isinstance(target, PairTarget) and not callable(cache) else None
    ours = objective.dys()
    given = target.gradients(ours)
    target.forget()
    cache_changed = [a for a in cached.changed() if not any(a is b for _, b in arrays)] if cached is not None else []
    for (name, array), old in zip(arrays, before, strict=True):
        if not equal(array, old):
            traps.append(Trap("backward writes into its input", f"{name} is changed by backward"))
            array[...] = old
    if cache_changed:
        shapes = ", ".join(str(a.shape) for a in cache_changed[:3])
        severity = "wrong" if not same_twice(objective) else "note"
        traps.append(
            Trap(
                "backward writes into the cache",
                f"cached array of shape {shapes} is changed: a second backward from the same cache would be another",
                severity,
            )
        )
    for (name, dy), (_, w) in zip(leaves("dy", ours), leaves("dy", objective.dys()), strict=True):
        if is_array(dy) and not equal(dy, w):
            traps.append(Trap("backward writes into dy", f"{name} is changed: whoever gave it may need it", "note"))
    for name, array in objective.variables.items():
        if given.get(name) is not None:
            traps += form_of(name, array, given[name])
    return traps


def same_twice(objective: Objective) -> bool:
    """True if two backwards from one cache agree."""
    objective.forward()
    first = {k: v.copy() for k, v in objective.target.gradients(objective.dys()).items() if is_array(v)}
    second = objective.target.gradients(objective.dys())
    return all(equal(first[k], second[k]) for k in first)


def form_of(name: str, array: Any, gradient: Any) -> list[Trap]:
    """Shape, dtype and finiteness of one gradient."""
    if not is_array(gradient):
        try:
            gradient = np.asarray(gradient, dtype=np.float64)
        except (TypeError, ValueError):
            return [Trap("not an array", f"the gradient of {name} is of type {type(gradient).__name__}")]
    if gradient.shape != array.shape:
        return [Trap("wrong shape", f"the gradient of {name} has shape {gradient.shape}, {name} has {array.shape}")]
    traps = []
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


def stale_traps(objective: Objective, analytic: dict[str, Any]) -> list[Trap]:
    """forward A, forward B, then backward: each backward must use its own forward.

    A Module and a pair with a cache are asked for A's gradient; an object, which keeps only its latest forward, for
    B's. A and B differ in their float inputs.
    """
    target = objective.target
    floats = [v for v in target.input_leaves().values()]
    if not floats or objective.replayed == "state":
        return []
    held = [v.copy() for v in floats]
    rng = np.random.default_rng(12345)
    others = [v + backend.array_module(v).asarray(rng.uniform(0.05, 0.3, v.shape), dtype=v.dtype) for v in floats]

    def at(values: list[Any]) -> None:
        for v, value in zip(floats, values, strict=True):
            v[...] = value

    try:
        if isinstance(target, ModuleTarget):
            at(held)
            objective.forward()  # A
            at(others)
            objective.forward()  # B, upon A
            target.gradients(objective.dys())
            target.zero_gradients_only()
            at(held)
            got = target.gradients(objective.dys(), zero=False)
        elif isinstance(target, PairTarget) and target.cache is not NO_CACHE:
            objective.forward()  # A
            cache = target.cache
            at(others)
            objective.forward()  # B
            at(held)
            target.cache = cache
            got = target.gradients(objective.dys())
        else:
            at(others)
            objective.forward()  # B
            at(held)
            objective.forward()  # A
            got = target.gradients(objective.dys())
        got = {name: np.array(backend.to_numpy(g), copy=True) for name, g in got.items() if is_array(g)}
    except (RuntimeError, IndexError, ValueError, TypeError, AttributeError) as error:
        return [Trap("stale cache", f"forward twice, then backward twice: {type(error).__name__}: {error}", "note")]
    finally:
        at(held)
        target.forget()
    wrong = [
        n
        for n, g in got.items()
        if analytic.get(n) is not None and g.shape == analytic[n].shape and not close(g, analytic[n])
    ]
    if not wrong:
        return []
    return [
        Trap(
            "stale cache",
            f"forward on A, forward on B, then the backward of A: the gradient of {', '.join(wrong)} "
            f"is not A's; backward uses what another forward kept",
        )
    ]


def equal(a: Any, b: Any) -> bool:
    return a.shape == b.shape and bool(((a == b) | ((a != a) & (b != b))).all())


def close(a: Any, b: Any) -> bool:
    top = max(float(np.abs(a).max(initial=0)), float(np.abs(b).max(initial=0)))
    return bool(np.all(np.abs(a - b) <= 1e-6 * top + 1e-300))


def shares(a: Any, b: Any) -> bool:
    return a is b or isinstance(a, np.ndarray) and isinstance(b, np.ndarray) and np.shares_memory(a, b)
