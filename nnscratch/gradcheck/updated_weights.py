"""Updated weights: find the gradients of weights that backward itself updates with a learning rate.

    self.W -= self.lr * dW              self.W = self.optimizer.update(self.W, dW)

The learning rate must be an attribute of an object. The code does not keep dW. But if the change of W is proportional
to the learning rate and to dy, the change is -rate * dW. So the gradient of W is the change of W in backward, divided
by -rate. An optimizer such as Adam, or weight decay, changes W in another way. Then the change is not proportional to
dy, and the checker finds no gradient.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from .adapters import Adapter, FoundParameter, FoundParametersAdapter, copy_array
from .adapters.rates import RATE, RATES
from .learned_names import is_weight_name, name_of
from .nested import has_no_axes, is_array, map_leaves
from .places import is_outside, place_name, put_at, short_names, value_at
from .projection import equal_outputs, projection_weights, weights_like_outputs
from .snapshot import Snapshot, Steps, is_number_sequence

SMALL = 1e-4  # a learning rate so small that a weight has almost its old value if backward uses it after the update


class UpdatedParametersAdapter(FoundParametersAdapter):
    """The adapter `inner`, with the weights that backward updates as additional parameters.

    `rates` contains the places of the learning rates.
    """

    def __init__(self, inner: Adapter, found: list[FoundParameter], rates: list[Steps]):
        super().__init__(inner, found)
        self.rates = rates
        names = " and ".join(dict.fromkeys(place_name(steps) for steps in rates))
        self.add_note(f"the gradients of the weights are their changes in backward, divided by {names}")

    def gradients(self, dys: tuple) -> dict[str, Any]:
        roots, own = [self.source], {p.name: value_at([self.source], p.steps) for p in self.found}
        values = {name: array.copy() for name, array in own.items()}
        held = [(steps, value_at(roots, steps)) for steps in self.rates]
        for steps, _ in held:
            put_at(roots, steps, RATE)
        try:
            given = self.inner.gradients(dys)
        finally:
            for steps, rate in held:
                put_at(roots, steps, rate)
        found = {}
        for p in self.found:
            found[p.name] = (values[p.name] - value_at(roots, p.steps)) / RATE
            put_at(roots, p.steps, own[p.name])
            own[p.name][...] = values[p.name]
        return {**found, **{name: g for name, g in given.items() if g is not None}}


def with_updated_weights(adapter: Adapter, before: Snapshot) -> Adapter:
    """Return an adapter whose parameters include the weights that backward updates, or `adapter` if there are none.

    If the gradient of a weight is known already, the weight is left out. At the end, restore the state of the code that
    `before` recorded.
    """
    rates = [s for s, v in before.places if isinstance(v, float) and is_own(s) and name_of(s).lower() in RATES]
    if adapter.accumulates or not rates:
        return adapter
    try:
        known = {id(a) for a in adapter.parameters().values()}
        small = changes(adapter, before, rates, SMALL, 1.0)
        linear = [changes(adapter, before, rates, 2 * SMALL, 1.0), changes(adapter, before, rates, SMALL, 2.0)]
        without_dy = changes(adapter, before, rates, SMALL, 0.0)
        large = changes(adapter, before, rates, 1.0, 1.0)
        before.restore()
        own = {s: value_at([adapter.source], s) for s in small}
    except Exception:  # the checked code may raise any error, and the check will raise it again
        return adapter
    finally:
        before.restore()
    weights = [s for s in small if id(own[s]) not in known and all(same(c.get(s), 2 * small[s], 1e-2) for c in linear)]
    weights = [s for s in weights if not np.any(without_dy.get(s, 0)) and is_read(adapter, before, s)]
    if not weights:
        return adapter
    names = short_names(weights, set(adapter.parameters()) | set(adapter.float_inputs()))
    found = [FoundParameter(names[s], s, [], not is_array(own[s])) for s in weights]
    updated = UpdatedParametersAdapter(adapter, found, rates)
    late = [names[s] for s in weights if not same(large.get(s), small[s] / SMALL, 1e-4)]
    if late:
        updated.add_note(
            f"the change of {', '.join(late)} is not proportional to the learning rate, so backward updates a weight "
            f"and then uses it: compute the gradients before the update"
        )
    return updated


def is_own(steps: Steps) -> bool:
    """Return True if the place is in the checked object, and not in a global or a closure of its methods."""
    return steps[0] == ("root", 0) and not any(is_outside(steps[: k + 1]) for k in range(len(steps)))


def is_read(adapter: Adapter, before: Snapshot, steps: Steps) -> bool:
    """Return True if the outputs depend on the array at `steps`: True for a weight, False for a velocity."""
    try:
        ys = map_leaves(copy_array, adapter.run())
        before.restore()
        value = value_at([adapter.source], steps)
        if is_array(value):
            value += 0.1 * (1 + abs(value))
        else:
            put_at([adapter.source], steps, (1.1 * np.asarray(value) + 0.1).tolist())
        return not equal_outputs(map_leaves(copy_array, adapter.run()), ys)
    except Exception:  # forward fails with the changed values, which shows that it reads them
        return True
    finally:
        before.restore()


def changes(adapter: Adapter, before: Snapshot, rates: list[Steps], rate: float, factor: float) -> dict[Steps, Any]:
    """Run forward and backward, and return the change of each array in backward.

    Set all learning rates to `rate`, and multiply dy by `factor`. Leave out changes in which all elements have the
    same absolute value: see `is_of_one_size`.
    """
    before.restore()
    for steps in rates:
        put_at([adapter.source], steps, rate)
    ys = adapter.run()
    dys = weights_like_outputs(projection_weights(ys), ys)
    if len(ys) == 1 and has_no_axes(ys[0]):  # backward of a loss may take no dy, so multiply its changes instead
        factor_of_result, factor = factor, 1.0
    else:
        factor_of_result = 1.0
    places = [(s, v) for s, v in Snapshot(adapter.source).places if is_own(s) and is_weight(s, v)]
    old = {s: np.array(v, dtype=np.float64) for s, v in places}
    adapter.gradients(map_leaves(lambda dy: factor * dy if dy is not None else None, dys))
    found = {}
    for steps, value in old.items():
        change = np.array(value_at([adapter.source], steps), dtype=np.float64) - value
        if np.any(change) and not is_of_one_size(change):
            found[steps] = factor_of_result * change
    return found


def is_weight(steps: Steps, value: Any) -> bool:
    """Return True if `value` is a float array, a list of numbers, or a Python float with the name of a weight."""
    if is_array(value):
        return value.dtype.kind == "f" and value.size > 0
    return is_number_sequence(value) or isinstance(value, float) and is_weight_name(name_of(steps))


def is_of_one_size(change: np.ndarray) -> bool:
    """Return True if all elements have the same absolute value, as after the first step of Adam."""
    size = np.abs(change)
    return change.size > 1 and bool(np.ptp(size) <= 1e-3 * size.max())


def same(a: Any, b: Any, tolerance: float) -> bool:
    """Return True if the arrays `a` and `b` agree up to the relative difference `tolerance`. `a` may be None."""
    return a is not None and np.shape(a) == np.shape(b) and bool(np.abs(a - b).max() <= tolerance * np.abs(b).max())
