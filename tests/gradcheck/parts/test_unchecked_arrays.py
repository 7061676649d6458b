"""Test the search for arrays that change the outputs but were not checked, and for lazy weights."""

from types import SimpleNamespace

import numpy as np
from projections import project

import nnscratch as nn
from nnscratch.gradcheck.adapters import make_adapter
from nnscratch.gradcheck.completeness import (
    Unchecked,
    completeness_traps,
    forgotten_inputs,
    moving_arrays,
    moving_numbers,
    outputs_move,
    unchecked_arrays,
)
from nnscratch.gradcheck.lazy_weights import is_new_weight, start_with_weights
from nnscratch.gradcheck.projection import Projection
from nnscratch.gradcheck.report import GradientReport
from nnscratch.gradcheck.snapshot import Snapshot, equal_arrays

X = np.array([1.0, -2.0, 3.0])


class Layer:
    """y = x w + b + ..., with a gradient for x only, and the given attributes."""

    def __init__(self, function=lambda layer, x: x, **attributes):
        self.function = function
        vars(self).update(attributes)

    def forward(self, x):
        return self.function(self, x)

    def backward(self, dy):
        return dy


def of_object(subject, *inputs):
    return Projection(make_adapter(subject, inputs or (X.copy(),)), np.random.default_rng(0))


def of_layer(function, **attributes):
    return of_object(Layer(function, **attributes))


def names(found):
    return [u.name for u in found]


# --- the arrays that were not checked --------------------------------------------------------------------------------


def test_the_unchecked_arrays_of_an_object():
    w = X.copy()
    projection = of_layer(lambda layer, x: x * layer.w, w=w, again=[w], ids=np.arange(3), empty=np.zeros(0), rate=0.5)
    (found,) = unchecked_arrays(projection)
    assert found.array is w and found.name == "self.w" and len(found.places) == 2


def test_inputs_variables_and_gradients_of_parameters_are_known():
    linear = nn.Linear(3, 2, rng=0).to(dtype=np.float64)
    linear.extra = np.ones(2)
    projection = of_object(linear, np.ones((4, 3)))
    assert names(unchecked_arrays(projection)) == ["self.extra"]
    linear.view = projection.variables["x"][1:]
    projection.state = Snapshot(*projection.state_roots)
    assert names(unchecked_arrays(projection)) == ["self.extra"]


def overwrites(layer, x):
    layer.cache[...] = x
    return layer.cache * 2


def moving(function, **attributes):
    held = {k: v.copy() for k, v in attributes.items()}
    projection = of_layer(function, **attributes)
    found = names(moving_arrays(projection, unchecked_arrays(projection)))
    assert function is overwrites or all(equal_arrays(attributes[k], v) for k, v in held.items())
    return found


def test_only_arrays_that_change_the_outputs_move():
    assert moving(lambda layer, x: x * layer.w, w=X.copy(), unused=X.copy()) == ["self.w"]
    assert moving(lambda layer, x: x + 0, unused=X.copy()) == moving(lambda layer, x: x + 0) == []
    assert moving(lambda layer, x: x + layer.w, w=np.zeros(3)) == ["self.w"]


def test_a_small_or_a_large_change_may_be_necessary():
    # The first one changes with every step; the second one only with a large step.
    assert moving(lambda layer, x: x + layer.w % 1e-3, w=np.ones(3)) == ["self.w"]
    assert moving(lambda layer, x: x + np.round(layer.w), w=np.full(3, 1.4)) == ["self.w"]


def test_read_only_arrays_are_constants():
    w = X.copy()
    w.flags.writeable = False
    assert moving(lambda layer, x: x * layer.w, w=w) == []


def test_a_cache_that_forward_writes_is_no_weight():
    def replaces(layer, x):
        y = x + layer.mean
        layer.mean = x.mean() * np.ones(3)
        return y

    assert moving(overwrites, cache=np.zeros(3)) == []
    projection = of_layer(replaces, mean=np.zeros(3))
    assert names(moving_arrays(projection, unchecked_arrays(projection))) == []


def test_a_cache_that_forward_writes_in_part_is_no_weight():
    def forward(layer, x):
        layer.h[0] = x[0]
        return x + layer.h

    projection = of_layer(forward, h=np.ones(3))
    assert names(moving_arrays(projection, unchecked_arrays(projection))) == []


def test_a_count_of_the_calls_moves_no_array():
    def counts(layer, x):
        layer.calls += 1
        return x * layer.calls

    projection = of_layer(counts, calls=0, unused=X.copy())
    assert not outputs_move(
        projection, projection.outputs, unchecked_arrays(projection), 1e-3, np.random.default_rng(0)
    )
    assert moving_numbers(of_layer(counts, calls=0, w=2.0)) == []


def test_a_forward_that_fails_with_other_values_reads_them():
    def forward(layer, x):
        if (layer.w != 1).any():
            raise ValueError("only ones")
        return x * layer.w

    assert moving(forward, w=np.ones(3)) == ["self.w"]


def test_arrays_with_infinity_or_nan_are_constants():
    for bad in (-np.inf, np.nan):
        assert moving(lambda layer, x: x + layer.w[2], w=np.array([0.0, bad, 2.0])) == []
    assert moving(lambda layer, x: x + layer.w[2], w=np.array([0.0, 1.0, 2.0])) == ["self.w"]


def test_a_change_of_one_array_is_taken_back():
    w = X.copy()
    projection = of_layer(lambda layer, x: x * layer.w, w=w)
    u = Unchecked(w, [(("root", 0), ("item", 0), ("attribute", "w"))])
    assert (
        outputs_move(projection, projection.outputs, [u], 1e-3, np.random.default_rng(0)) and w.tolist() == X.tolist()
    )


# --- numbers ---------------------------------------------------------------------------------------------------------


def test_numbers_with_the_name_of_a_weight():
    def found(function, **attributes):
        projection = of_layer(function, **attributes)
        return names(moving_numbers(projection))

    assert found(lambda layer, x: x * layer.w + layer.rate, w=2.0, rate=0.5) == ["self.w"]
    assert found(lambda layer, x: x * layer.w, w=np.array([1, 2, 3])) == ["self.w"]
    assert found(lambda layer, x: x * np.array(layer.w), w=[1.0, 2.0, 3.0]) == ["self.w"]
    assert found(lambda layer, x: x * np.array(layer.kernel), kernel=[1.0, 2.0, 3.0], gamma=2.0) == ["self.kernel"]
    assert found(lambda layer, x: x + 0, w=2.0) == []  # it does not change the outputs
    assert found(lambda layer, x: x * layer.w, w=np.ones(3)) == []  # an array of floats
    assert found(lambda layer, x: x + len(layer.w), w=np.zeros(0, int)) == []
    assert found(lambda layer, x: x[layer.w], w=np.array([True, False, True])) == []

    def counts(layer, x):
        layer.w += 1.0
        return x * 2

    assert found(counts, w=2.0) == []

    def strict(layer, x):
        if layer.w != 2.0:
            raise ValueError("only 2")
        return x * layer.w

    assert found(strict, w=2.0) == []

    def converts(layer, x):
        layer.w = np.asarray(layer.w)
        return x * layer.w

    assert found(converts, w=2.0) == found(converts, w=[1.0, 2.0, 3.0]) == ["self.w"]


def test_numbers_of_a_module_are_settings():
    class Scale(nn.Module):
        def __init__(self):
            self.w = 2.0

        def forward(self, x):
            return x * self.w

        def backward(self, dy):
            return dy * self.w

    assert moving_numbers(of_object(Scale())) == []


def test_the_numbers_are_restored():
    layer = Layer(lambda layer, x: x * layer.w, w=2.0)
    assert names(moving_numbers(of_object(layer))) == ["self.w"] and layer.w == 2.0 and type(layer.w) is float


# --- inputs ----------------------------------------------------------------------------------------------------------


def forgotten(forward, analytic, *inputs):
    projection = project(forward, lambda dy, *inputs: inputs, *inputs)
    projection.adapter.missing = []
    return forgotten_inputs(projection, analytic)


def test_inputs_of_a_layer_without_a_gradient():
    assert forgotten(lambda x, s: x * s, {"x": X}, X, X) == ["s"]
    assert forgotten(lambda x, s: x * s, {"x": X, "s": None}, X, X) == []
    assert forgotten(lambda x, s: x + 0, {"x": X}, X, X) == []  # it does not change the outputs
    assert forgotten(lambda x, s: x + s.sum(), {"x": X}, X, np.zeros(0)) == []
    assert forgotten(lambda x, s: (x * s).sum(), {"x": X}, X, X) == []  # a loss
    assert forgotten(lambda x, s: (x * s, (x * s).sum(), None), {"x": X}, X, X) == ["s"]  # the last value is the cache
    assert forgotten(lambda x, mask: x * mask, {"x": X}, X, X) == []  # a setting
    assert forgotten(lambda x, p: x * p["scale"] * p["mask"], {"x": X}, X, {"scale": X, "mask": X}) == ["p['scale']"]
    projection = project(lambda x, s: x * s, lambda dy, x, s: dy, X, X)
    projection.adapter.missing = ["s"]
    assert forgotten_inputs(projection, {"x": X}) == []


# --- the traps -------------------------------------------------------------------------------------------------------


def traps_of(function, restricted=False, **attributes):
    projection = of_layer(function, **attributes)
    report = GradientReport("code")
    traps = completeness_traps(projection, {"x": X}, report, restricted)
    assert all((trap.kind, trap.severity) == ("no gradient found", "incomplete") for trap in traps)
    return [trap.message for trap in traps], report.notes


def test_each_array_without_a_gradient_has_a_trap():
    (first, second), notes = traps_of(lambda layer, x: x * layer.w + layer.n, w=X.copy(), n=X.copy())
    assert first.startswith("self.w changes") and second.startswith("self.n changes") and notes == []
    messages, notes = traps_of(lambda layer, x: x * layer.w, w=X.copy(), restricted=True)
    assert messages == [] and len(notes) == 1 and notes[0].startswith("self.w: not checked")
    assert traps_of(lambda layer, x: x + 0, w=X.copy(), restricted=True) == ([], [])
    messages, _ = traps_of(lambda layer, x: x * layer.w, w=2.0)
    assert len(messages) == 1 and messages[0].startswith("self.w changes")


def test_constants_are_noted():
    messages, notes = traps_of(lambda layer, x: x * layer.mask, mask=X.copy())
    assert messages == [] and notes == [
        "self.mask: treated as constant, because of its name or the place where it is stored"
    ]
    messages, notes = traps_of(lambda layer, x: x * layer.mask * layer.mean, mask=X.copy(), mean=X.copy())
    assert (
        messages == []
        and len(notes) == 1
        and notes[0].startswith("self.mask, self.mean: treated")
        and "their" in notes[0]
    )


def test_six_arrays_are_shown():
    parts = {f"w{k}": X + k for k in range(8)}
    messages, _ = traps_of(lambda layer, x: x + sum(getattr(layer, k) for k in parts), **parts)
    assert len(messages) == 7 and messages[-1] == "the same is true of self.w6, self.w7"
    parts.pop("w6"), parts.pop("w7")
    assert len(traps_of(lambda layer, x: x + sum(getattr(layer, k) for k in parts), **parts)[0]) == 6


def test_missing_weights_and_forgotten_inputs_have_traps():
    projection = project(lambda x, s: x * s, lambda dy, x, s: dy, X, X)
    projection.adapter.missing = ["v"]
    traps = completeness_traps(projection, {"x": X}, GradientReport("code"), False)
    assert [trap.message.split()[0] for trap in traps] == ["v", "s"]
    assert {(trap.kind, trap.severity) for trap in traps} == {("no gradient found", "incomplete")}


# --- lazy weights ----------------------------------------------------------------------------------------------------


def at(*path):
    return (("root", 0), ("item", 0), *(("attribute", name) for name in path))


def test_a_new_array_with_the_name_of_a_weight():
    assert is_new_weight(at("w"), X, set(), []) and not is_new_weight(at("w"), X, {at("w")}, [])
    assert not is_new_weight(at("x"), X, set(), []) and not is_new_weight(at("w"), X[1:], set(), [np.ones(2), X])
    assert not is_new_weight((("root", 0), ("item", 0), ("global", "w")), X, set(), [])
    for other in (2.0, np.arange(3), np.zeros(0)):
        assert not is_new_weight(at("w"), other, set(), [])


def started(forward, **attributes):
    """Return the names of the arrays at the start of the check, or None if it starts before the first forward."""
    layer = Layer(forward, **attributes)
    adapter = make_adapter(layer, (X.copy(),))
    before = Snapshot(adapter.source, adapter.inputs)
    held = sorted(vars(layer))
    start = start_with_weights(adapter, before)
    assert adapter.inputs[0].tolist() == X.tolist()
    if start is before:
        assert sorted(vars(layer)) == held
        return None
    return sorted(name for name, value in vars(layer).items() if isinstance(value, np.ndarray))


def test_weights_of_the_first_forward_are_kept():
    def lazy(layer, x):
        if layer.w is None:
            layer.w = X + 1
        layer.h = x * layer.w
        return layer.h

    assert started(lazy, w=None) == ["h", "w"] and started(lazy, w=X.copy()) is None


def test_arrays_of_each_forward_are_no_weights():
    def caches(layer, x):
        layer.w = x + 1
        return layer.w

    def fails(layer, x):
        layer.w = X + 1
        raise ValueError("not yet")

    def grows(layer, x):
        if layer.w is None:
            layer.w = X + 1
        layer.w += 1
        return x * layer.w

    assert started(caches) is None and started(grows, w=None) is None
    adapter = make_adapter((lambda x: x, lambda dy: dy), (X,))
    adapter.run = lambda: fails(SimpleNamespace(), X)
    before = Snapshot(adapter.source)
    assert start_with_weights(adapter, before) is before


def test_inputs_that_the_first_forward_writes_are_put_back():
    def lazy(layer, x):
        if layer.w is None:
            layer.w = X + 1
        x *= 2
        return x * layer.w

    assert started(lazy, w=None) == ["w"]
