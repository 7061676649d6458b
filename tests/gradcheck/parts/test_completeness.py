"""Test the parts of completeness.py and pairing.py whose value is known without a check."""

from types import SimpleNamespace

import numpy as np

import nnscratch as nn
from nnscratch.gradcheck.candidates import (
    copied,
    gradient_name,
    is_unchanged,
    own_numbers,
    shares_memory_with_any,
)
from nnscratch.gradcheck.completeness import (
    Unchecked,
    holder_at,
    is_constant,
    is_read_by_function,
    listed,
    lists_its_parameters,
    missing_gradient_message,
)
from nnscratch.gradcheck.projection import projection_weights, weighted_sum
from nnscratch.gradcheck.snapshot import Snapshot

X = np.array([1.0, -2.0, 3.0])


def at(*steps):
    return (("root", 0), ("item", 0), *steps)


def constant(holder, *steps, inputs=("x",)):
    projection = SimpleNamespace(adapter=SimpleNamespace(input_names=list(inputs)), state_roots=([holder],))
    return is_constant(projection, Unchecked(X, [at(*steps)]))


def attribute(name):
    return ("attribute", name)


def test_a_list_of_names_shows_six():
    assert listed(list("abc")) == "a, b, c" and listed(list("abcdef")) == "a, b, c, d, e, f"
    assert listed(list("abcdefgh")) == "a, b, c, d, e, f and 2 more"


def test_a_plain_function_reads_variables_and_globals():
    assert is_read_by_function(at(("variable", "W"))) and is_read_by_function(at(("global", "W")))
    assert not is_read_by_function(at(("default", "W"))) and not is_read_by_function(at(attribute("W")))
    assert not is_read_by_function(at(("method", "forward"), ("global", "W")))


def test_objects_that_list_their_parameters():
    assert lists_its_parameters(nn.Linear(2, 2)) and lists_its_parameters(SimpleNamespace(params={"W": X}))
    assert lists_its_parameters(SimpleNamespace(parameters=[X])) and lists_its_parameters(SimpleNamespace(params=(X,)))
    for empty in (SimpleNamespace(params={}), SimpleNamespace(params=3), SimpleNamespace(W=X)):
        assert not lists_its_parameters(empty)


def test_the_holder_of_an_array():
    layer = SimpleNamespace(W=X)
    assert holder_at([[layer]], at(attribute("W"))) is layer and holder_at([[layer]], at(attribute("v"))) is layer
    assert holder_at([[layer]], at(attribute("v"), attribute("W"))) is None
    assert holder_at([[]], at(attribute("W"))) is None


def test_the_arrays_that_count_as_constants():
    plain = SimpleNamespace(W=X, A=X, mean=X)
    assert not constant(plain, attribute("W")) and not constant(plain, attribute("A"))
    assert constant(plain, attribute("running_mean"))
    assert constant(plain, attribute("A"), inputs=("x", "W")) and not constant(plain, attribute("W"), inputs=("x", "W"))
    assert constant(plain, ("class attribute", "A")) and not constant(plain, ("class attribute", "W"))
    assert constant(plain, ("default", "A")) and not constant(plain, ("default", "W"))
    assert constant(plain, ("global", "W")) and not constant(plain, ("method", "f"), ("global", "W"))
    lists = SimpleNamespace(params={"W": X}, A=X, V=X)
    assert constant(lists, attribute("A")) and not constant(lists, attribute("V"))
    layer = nn.Linear(2, 2)
    layer.register_buffer("W", X)
    layer.v = X
    assert constant(layer, attribute("W")) and not constant(layer, attribute("v"))
    for name in ("requires_grad", "trainable"):
        assert constant(SimpleNamespace(W=X, **{name: False}), attribute("W"))
        assert not constant(SimpleNamespace(W=X, **{name: True}), attribute("W"))


def message(holder, *steps, array=X):
    projection = SimpleNamespace(state_roots=([holder],))
    return missing_gradient_message(projection, Unchecked(array, [at(*steps)]))


def test_the_line_that_the_user_should_write():
    plain = SimpleNamespace(W=X, grads={}, layer=SimpleNamespace(params={"W": X}), fc=SimpleNamespace(data=X))
    assert "write self.dW = ...; if self.W is a constant, make it read-only" in message(plain, attribute("W"))
    assert "write self.fc.grad = ..." in message(plain, attribute("fc"), attribute("data"))
    assert "write self.grads['W'] = ..." in message(plain, attribute("params"), ("item", "W"))
    assert "write grads['W'] = ..." in message([X], ("item", "W"))
    for array in (3, 3.0, np.arange(3)):  # only a float array can say by its flag that it is a constant
        assert "give it another name" in message(plain, attribute("W"), array=array)
    assert "Make W an argument of forward" in message(plain, ("global", "W"))
    assert "self.W = nn.Parameter(...)" in message(nn.Linear(2, 2), attribute("W"))


def test_the_numbers_that_the_code_holds():
    layer = SimpleNamespace(W=X.copy(), ids=np.arange(2), flags=np.ones(2, bool), empty=np.ones(0), rate=0.5)
    layer.view = X[1:]
    names = [steps[-1][1] for steps in own_numbers(Snapshot(layer), [X])]
    assert names == ["W", "ids", "rate"] and list(own_numbers(Snapshot(3, layer), [])) == []
    assert shares_memory_with_any(X[1:], [layer.W, X]) and not shares_memory_with_any(3.0, [X])


def test_the_weights_of_the_outputs_of_a_search():
    assert projection_weights((np.float64(3),)) == (1.0,) and projection_weights((np.array(3.0),)) == (1.0,)
    (w,) = projection_weights((X,))
    assert w.shape == (3,) and np.abs(w).min() >= 0.5
    w, none = projection_weights((X, np.arange(2)))
    assert none is None and weighted_sum((w, none), (X, np.arange(2))) == (w * X).sum()
    assert weighted_sum((2.0, w), (5.0, X)) == 10 + (w * X).sum()


def test_copies_and_names():
    a = X.copy()
    layer = SimpleNamespace(a=a, numbers=[1.0, 2.0])
    snapshot = Snapshot(layer)
    assert is_unchanged(snapshot, a) and is_unchanged(snapshot, layer.numbers) and is_unchanged(snapshot, 3.0)
    a[0] = layer.numbers[0] = 9
    assert not is_unchanged(snapshot, a) and not is_unchanged(snapshot, layer.numbers)
    assert copied(a) is not a and copied([1, 2.0]).tolist() == [1, 2] and copied(3) == 3
    assert gradient_name((("returned", None), ("item", 0))) == "a gradient that backward returns"
    assert gradient_name(at(attribute("dW"))) == "self.dW"
