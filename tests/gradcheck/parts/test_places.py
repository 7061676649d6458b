"""Test the places where code holds its arrays: each place in a snapshot is read, replaced and named."""

import numpy as np
import pytest

from nnscratch.gradcheck.places import follow, holder_types, is_outside, place_name, put_at, short_names, value_at
from nnscratch.gradcheck.snapshot import Snapshot

GLOBAL_WEIGHT = np.array([2.0, 3.0])


class Layer:
    shared = np.array([7.0])

    def __init__(self):
        self.params = {"W": np.ones(2), "b": np.zeros(2)}
        self.sizes = (np.full(2, 4.0),)

    def forward(self, x):
        return x


def reads_everything():
    inner = np.array([5.0, 6.0])

    def f(x, d=np.array([1.0, 2.0]), *, k=np.array([3.0])):  # noqa: B008  the arrays of defaults are what is tested
        return x * inner + d + k + GLOBAL_WEIGHT

    return f


def place_of(array, *roots):
    return next(steps for steps, held in Snapshot(*roots).places if held is array)


def test_every_place_of_a_snapshot_leads_to_its_array():
    layer, f = Layer(), reads_everything()
    roots = ([layer.forward, f],)
    found = Snapshot(*roots).places
    kinds = {steps[-1][0] for steps, _ in found}
    assert {"item", "class attribute", "variable", "global", "default", "keyword default"} <= kinds
    for steps, held in found:
        assert value_at(roots, steps) is held


def test_an_array_is_replaced_at_each_kind_of_place():
    layer, f = Layer(), reads_everything()
    roots = ([layer, f],)
    inner, d, k = f.__closure__[0].cell_contents, f.__defaults__[0], f.__kwdefaults__["k"]
    for array in (layer.params["W"], inner, d, k, GLOBAL_WEIGHT):
        steps, new = place_of(array, *roots), 10 * array
        put_at(roots, steps, new)
        assert value_at(roots, steps) is new
        put_at(roots, steps, array)
        assert value_at(roots, steps) is array
    steps = (("root", 0), ("item", 0), ("attribute", "params"))
    put_at(roots, steps, {"W": 3})
    assert layer.params == {"W": 3}
    np.testing.assert_array_equal(f(0.0), [6, 8])  # d + k + GLOBAL_WEIGHT, with all values back


def test_a_place_that_cannot_be_replaced_is_refused_with_its_name():
    layer = Layer()
    with pytest.raises(TypeError, match=r"the value of self\.shared cannot be replaced"):
        put_at(([layer],), (("root", 0), ("item", 0), ("class attribute", "shared")), 0)
    assert Layer.shared == 7


def test_a_place_that_the_code_has_removed_raises_an_error():
    layer = Layer()
    with pytest.raises(AttributeError, match="^Layer has no attribute cache$"):
        follow(layer, "attribute", "cache")
    with pytest.raises(KeyError):
        follow({}, "item", "W")
    with pytest.raises(LookupError, match="the members of a set have no place"):
        follow({1}, "member", 0)


def test_the_steps_of_a_method():
    layer = Layer()
    assert follow(layer.forward, "self", None) is layer
    assert follow(layer.forward, "function", None) is Layer.forward
    assert follow(layer, "method", Layer.forward) is Layer.forward


def test_a_name_is_written_as_python_and_shortened_if_no_other_array_has_it():
    start = (("root", 0), ("item", 0))
    w = (*start, ("attribute", "params"), ("item", "W"))
    other = (*start, ("attribute", "grads"), ("item", "W"))
    data = (*start, ("attribute", "fc1"), ("attribute", "W"), ("attribute", "data"))
    variable = (*start, ("variable", "weights"), ("item", "W1"))
    names = [place_name(steps) for steps in (w, data, variable)]
    assert names == ["self.params['W']", "self.fc1.W.data", "weights['W1']"]
    assert short_names([w], set()) == {w: "W"}
    assert short_names([w], {"W"}) == {w: "params['W']"}
    assert short_names([w, other], set()) == {w: "W", other: "grads['W']"}
    assert short_names([data, variable], set()) == {data: "fc1.W", variable: "W1"}
    assert short_names([w], {"W", "params['W']"}) == {w: "self.params['W']"}


def test_only_variables_globals_and_defaults_are_outside():
    f = reads_everything()
    assert is_outside(place_of(GLOBAL_WEIGHT, f)) and is_outside(place_of(f.__defaults__[0], f))
    layer = Layer()
    assert not is_outside(place_of(layer.params["W"], layer))


def test_the_types_of_the_holders_are_those_of_the_objects_on_the_way():
    layer = Layer()
    roots = ([layer.forward],)
    assert holder_types(roots, place_of(layer.params["W"], *roots)) == [list, Layer, dict]
