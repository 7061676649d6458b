"""Losses: find out to which input the gradient of a loss belongs, and which outputs the check must include.

For example, the gradient of ``kl_divergence(p, q)`` may be the gradient with respect to q. By default, the checker
assigns it to the first input, p. `choose_input` changes this choice if finite differences show that the gradient is
wrong for the first input, and right for exactly one other input. But if the code names the input, the name decides: the
result of ``return dp`` is the gradient of p.

For ``h, loss, cache = forward(x)`` and ``backward(dh, cache)``, the gradients from backward may include the gradients
of the loss. `find_added_losses` tests this.

A cost may return several losses, such as the loss without and with weight decay. `choose_loss` finds out which of them
backward differentiates.
"""

from __future__ import annotations

import contextlib
import functools
from collections.abc import Callable
from typing import Any

import numpy as np

from .adapters import Adapter
from .adapters.calls import defaults_of, optional_names, returned_names
from .adapters.matching import label_rank
from .gradient_names import gradient_of
from .nested import array_module, has_no_axes, is_float, map_leaves, to_numpy
from .projection import gradient_as_float64, projection_weights, weighted_sum, weights_like_outputs
from .snapshot import Snapshot

STEP = 1e-6  # the step of the central differences, relative to the largest value of the array
CLOSE = 1e-4  # two derivatives count as equal up to this relative difference


def settle_losses(adapter: Adapter) -> Adapter:
    """Decide which outputs are checked, and to which input the gradient of a loss belongs. Return `adapter`."""
    find_added_losses(adapter)
    choose_input(adapter)
    return adapter


def choose_input(adapter: Adapter) -> None:
    """Change ``adapter.gradients`` if backward of a loss returns the gradient of an input that is not the first.

    If the ``return`` statement of backward names the input, as in ``return db``, the gradient belongs to this input.
    Otherwise, compare the gradient with finite differences. Do nothing in these cases, because the gradient is probably
    wrong:

    - The loss depends only on the difference of the two inputs. Then the gradients of the two inputs differ only in
      their sign, and the code may have a wrong sign.
    - The loss stays the same if the two inputs are exchanged, as in ``sum(a * b)``. Then the code may use the wrong
      input.

    Do nothing if the code has parameters, or if backward returns a dictionary, because its keys name the inputs.
    """
    before = Snapshot(adapter.source, adapter.inputs)
    try:
        ys = adapter.run()
        if adapter.parameters() or len(ys) != 1 or not is_float(ys[0]) or not has_no_axes(ys[0]):
            return
        loss = weighted_sum((1.0,), ys)
        dys = weights_like_outputs(projection_weights(ys), ys)
        given = {name: g for name, g in adapter.gradients(dys).items() if g is not None}
        if len(given) != 1 or adapter.has_keys:
            return
        (first, gradient), arrays = next(iter(given.items())), adapter.float_inputs()
        shape, rank = np.shape(gradient), label_rank(first)
        rivals = [n for n, a in arrays.items() if n != first and a.shape == shape and label_rank(n) == rank]
        named = named_arrays(adapter, [first, *rivals])
        if not rivals or arrays[first].dtype.itemsize < 8 or named == [first]:
            return
        directions = np.random.default_rng(0).standard_normal((2, *shape))
        along = [float(np.sum(to_numpy(gradient) * v)) for v in directions]
        measured = {n: [derivative(adapter.run, arrays[n], v) for v in directions] for n in (first, *rivals)}
        exchanged = {n: loss_after_exchange(adapter.run, arrays[first], arrays[n]) for n in rivals}
    except Exception:  # the check will raise the same error later
        return
    finally:
        before.restore()
        adapter.clear_saved()
    if len(named) == 1:
        rename(adapter, first, named[0], "the return statement of backward names")
        return
    fitting = [name for name in rivals if np.allclose(along, measured[name], rtol=CLOSE, atol=0)]
    fitting = [name for name in fitting if not np.isclose(exchanged[name], loss, rtol=1e-12, atol=0)]
    if len(fitting) == 1 and not np.allclose(np.abs(along), np.abs(measured[first]), rtol=CLOSE, atol=0):
        rename(adapter, first, fitting[0], "finite differences show that backward returns")


def choose_loss(adapter: Adapter) -> Adapter:
    """Choose the loss to check if a cost function returns several losses, and backward takes no dy. Return `adapter`.

    If one loss contains another, as the loss with weight decay contains the loss without it, do not choose the other
    one: otherwise the check would not notice that backward forgets weight decay. Among the rest, choose the loss whose
    derivatives agree with the gradients, or else the first one.
    """
    inner = getattr(adapter, "inner", adapter)
    if inner.loss_count < 2:
        return adapter
    before, places, fitting = Snapshot(adapter.source, adapter.inputs), list(range(inner.loss_count)), []
    try:
        places = widest_losses(inner)
        adapter.run()
        given = {n: to_numpy(g) for n, g in adapter.gradients((1.0,)).items() if g is not None}
        arrays = {**adapter.parameters(), **adapter.float_inputs()}
        rng = np.random.default_rng(0)
        directions = {n: rng.standard_normal(np.shape(g)) for n, g in given.items() if np.shape(g) == arrays[n].shape}
        along = [float(np.sum(given[n] * v)) for n, v in directions.items()]
        for inner.loss_place in places:
            measured = [derivative(adapter.run, arrays[n], v) for n, v in directions.items()]
            if any(measured) and np.allclose(along, measured, rtol=CLOSE, atol=CLOSE):
                fitting.append(inner.loss_place)
    except Exception:  # the check will raise the same error later
        fitting = []
    finally:
        before.restore()
    inner.loss_place = (fitting or places)[0]
    used = inner.loss_place + 1
    adapter.add_note(f"the cost returns {inner.loss_count} numbers; the checker uses number {used} as the loss")
    return adapter


def widest_losses(adapter: Adapter) -> list[int]:
    """Return the positions of the losses that no other loss contains.

    A loss contains another loss if it depends on more inputs, such as the factor of weight decay. If both depend on the
    same inputs, the larger contains the smaller if their difference depends on fewer inputs, as weight decay with a
    constant factor does: it depends on the weights, and not on the data.
    """
    held, forward, count = adapter.inputs, adapter.forward, adapter.loss_count

    def losses() -> np.ndarray:
        values = []
        for adapter.loss_place in range(count):
            values.append(float(np.real(adapter.run()[0])))
        return np.array(values)

    changes: list[tuple[tuple, Callable]] = [
        ((*held[:k], map_leaves(moved, value), *held[k + 1 :]), forward) for k, value in enumerate(held)
    ]
    defaults = defaults_of(forward, optional_names(forward)[-9:])
    changes += [(held, functools.partial(forward, **{name: moved(v)})) for name, v in defaults.items()]
    first, after = losses(), []
    for adapter.inputs, adapter.forward in changes:
        with contextlib.suppress(Exception):  # for example, forward does not accept another number of classes
            after.append(losses())
    adapter.inputs, adapter.forward, adapter.loss_place = held, forward, 0

    def changing(values: Callable[[np.ndarray], float]) -> set[int]:
        scale = CLOSE * CLOSE * np.max(np.abs(first))
        return {k for k, later in enumerate(after) if not abs(values(later) - values(first)) <= scale}

    def contains(i: int, j: int) -> bool:
        mine, other = changing(lambda v: v[i]), changing(lambda v: v[j])
        return mine > other or (mine == other and first[i] > first[j] and changing(lambda v: v[i] - v[j]) < mine)

    return [j for j in range(count) if not any(contains(i, j) for i in range(count))]


def moved(value: Any) -> Any:
    """Return another number or float array of the same type, and any other value unchanged."""
    if isinstance(value, (bool, np.bool_)) or not (isinstance(value, (int, np.integer)) or is_float(value)):
        return value
    return value + 1 if isinstance(value, (int, np.integer)) else value + 0.5


def named_arrays(adapter: Adapter, names: list[str]) -> list[str]:
    """Return the items of `names` whose gradients are in backward's ``return`` statement: ["p"] for ``return dp``."""
    if adapter.returning is None:
        return []
    known = adapter.returned_names()[-1:] or returned_names(adapter.returning)
    return [name for name in names if any(name in gradient_of(k) for k in known if k)]


def loss_after_exchange(run: Callable[[], tuple], a: Any, b: Any) -> float:
    """Return the loss if the arrays `a` and `b` are exchanged."""
    held = a.copy(), b.copy()
    a[...], b[...] = held[1], held[0]
    try:
        return weighted_sum((1.0,), run())
    finally:
        a[...], b[...] = held


def derivative(run: Callable[[], tuple], array: Any, v: np.ndarray) -> float:
    """Return the derivative of the loss that ``run()`` returns, along the direction `v` in `array`."""
    held, values, xp = array.copy(), [], array_module(array)
    h = STEP * (float(np.abs(to_numpy(held)).max(initial=0)) or 1.0)
    for step in (h, -h):
        array[...] = held + xp.asarray(step * v)
        values.append(weighted_sum((1.0,), run()))
    array[...] = held
    return (values[0] - values[1]) / (2 * h)


def rename(adapter: Adapter, first: str, name: str, why: str) -> None:
    """Change ``adapter.gradients``, so that the gradient of `first` belongs to `name`. Add a note with `why`."""
    adapter.add_note(f"{why} the gradient of {name}, not of {first}")
    original = adapter.gradients

    def gradients(dys: tuple, *rest: Any, **options: Any) -> dict[str, Any]:
        return {name if key == first else key: g for key, g in original(dys, *rest, **options).items()}

    adapter.gradients = gradients


def find_added_losses(adapter: Adapter) -> None:
    """Set ``adapter.adds_loss`` to True if backward adds the gradients of a loss that is one of the outputs.

    For ``h, loss, cache = forward(x)`` and ``backward(dh, cache)``, call backward with dh = 0. If the result is not
    zero, it contains the gradients of the loss.
    """
    before, notes = Snapshot(adapter.source, adapter.inputs), list(adapter.notes)
    try:
        adapter.run()
        if adapter.used is None or not adapter.used.given:
            return
        adapter.adds_loss = True
        ys = adapter.run()
        if len(adapter.used.given) < len(adapter.used.checked):
            dys = weights_like_outputs(projection_weights(ys), ys)
            given = adapter.gradients(map_leaves(lambda dy: 0 * dy if dy is not None else None, dys))
            adapter.adds_loss = any(np.any(gradient_as_float64(g)) for g in given.values() if g is not None)
        else:
            adapter.adds_loss = False
    except Exception:  # the check will raise the same error later
        adapter.adds_loss = False
    finally:
        adapter.notes[:] = [n for n in notes if not adapter.adds_loss or "other outputs were not checked" not in n]
        before.restore()
        adapter.clear_saved()
