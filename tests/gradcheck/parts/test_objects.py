"""Test the adapters of objects: which gradient belongs to which array, the learning rate, and the form of an object."""

import sys
from collections import namedtuple
from types import ModuleType

import numpy as np
import pytest

from nnscratch.gradcheck.adapters.backprop import BackpropAdapter
from nnscratch.gradcheck.adapters.base import Adapter, clear_gradient, container_of_one, copy_array, is_transpose
from nnscratch.gradcheck.adapters.found import FoundParameter, FoundParametersAdapter
from nnscratch.gradcheck.adapters.object_forms import loss_method, method_of, object_adapter, three_methods, try_forward
from nnscratch.gradcheck.adapters.objects import LossObjectAdapter, ObjectAdapter
from nnscratch.gradcheck.adapters.rates import RATE, LearningRateAdapter, rate_name

X, W = np.array([1.0, -2.0, 3.0]), np.array([2.0, 3.0, 4.0])
DY = np.array([1.0, 2.0, 3.0])


class Layer:
    """y = x w + b, with params and grads as dictionaries, lists or tuples."""

    def __init__(self, form=dict):
        self.w, self.b, self.dw, self.db = W.copy(), np.ones(3), np.zeros(3), np.zeros(3)
        if form is dict:
            self.params, self.grads = {"w": self.w, "b": self.b}, {"w": self.dw, "db": self.db}
        else:
            self.params, self.grads = form((self.w, self.b)), form((self.dw, self.db))

    def forward(self, x):
        self.x = x
        return x * self.w + self.b

    def backward(self, dy):
        self.dw += dy * self.x
        self.db += dy
        return dy * self.w


def lists(given):
    return {name: None if g is None else np.asarray(g).tolist() for name, g in given.items()}


# --- Adapter ---------------------------------------------------------------------------------------------------------


def adapter_of(*inputs, parameters=(), names="xyz"):
    adapter = Adapter([], "code", inputs, lambda x, y, z: None)
    adapter.parameters = lambda: dict(parameters)
    return adapter


def test_an_adapter_copies_its_inputs():
    adapter = adapter_of(X, (X, 3))
    assert adapter.inputs[0] is not X and adapter.inputs[1][0] is not X and adapter.inputs[1][1] == 3
    assert adapter.input_names == ["x", "y"] and copy_array(3) == 3 and copy_array(X) is not X


def test_the_float_inputs_have_names_that_no_parameter_has():
    adapter = adapter_of(X, (X, np.arange(2), 2.0), parameters={"x": W})
    assert list(adapter.float_inputs()) == ["input x", "y[0]"]
    assert [name for name, _ in adapter.arrays()] == ["x", "x", "y[0]", "y[1]"]


def test_a_note_is_added_once():
    adapter = adapter_of(X)
    adapter.add_note("a"), adapter.add_note("b"), adapter.add_note("a")
    assert adapter.notes == ["a", "b"]


def test_gradients_have_the_names_of_the_inputs():
    adapter = adapter_of(X, W, parameters={"x": W})
    assert lists(adapter.match_to_inputs((DY, 2 * DY, 5.0))) == {"input x": DY.tolist(), "y": (2 * DY).tolist()}
    assert adapter.surplus == [5.0] and adapter.container == "" and adapter.returned_names() == []


def test_a_gradient_in_a_container():
    assert adapter_of(X).match_to_inputs([1, 2, 3])["x"].dtype == np.float64
    adapter = adapter_of(X)
    assert lists(adapter.match_to_inputs((DY,))) == {"x": DY.tolist()} and adapter.container == "tuple"
    given = adapter.match_to_inputs(DY.tolist())
    assert adapter.container == "list" and given["x"].dtype == np.float64
    adapter = adapter_of(X, (X, X))
    assert lists(adapter.match_to_inputs((DY, DY, 2 * DY)))["y[1]"] == (2 * DY).tolist() and adapter.container == "flat"


def test_the_names_in_the_return_statement_give_the_order():
    def backward(dy):
        dx, dy = 1, 2
        return dy, dx

    adapter = adapter_of(X, np.ones(2))
    adapter.returning = backward
    assert lists(adapter.match_to_inputs((np.ones(2), DY))) == {"x": DY.tolist(), "y": [1, 1]}
    assert len(adapter.notes) == 1 and adapter.returned_names() == ["dy", "dx"]
    assert lists(adapter.match_to_inputs((DY, np.ones(2)))) == {"x": DY.tolist(), "y": [1, 1]}


def test_several_numbers_are_no_container_of_one_gradient():
    assert container_of_one((1.0, 2.0, 3.0), (X[0],)) == ""


def test_the_container_of_one_gradient():
    assert container_of_one((DY,), (X,)) == "tuple" and container_of_one((DY, DY), (X, X)) == ""
    assert container_of_one((2.0,), (X,)) == "" and container_of_one([DY], (X,)) == ""
    assert container_of_one([1.0, 2.0, 3.0], (np.arange(2), X)) == "list"
    assert container_of_one([1.0, 2.0], (X,)) == container_of_one([[1.0], [1.0, 2.0]], (X,)) == ""
    assert (
        container_of_one([], (np.array(1.0),)) == container_of_one(DY, (X,)) == container_of_one((DY,), ((X,),)) == ""
    )
    assert container_of_one((DY,), (3,)) == ""


def test_the_transpose_of_a_matrix():
    a = np.ones((2, 3))
    square = np.ones((2, 2))
    assert is_transpose(a, a.T) and is_transpose(square, square.T)
    for b in (square, square.T.copy(), 3.0, square[0]):
        assert not is_transpose(square, b)
    assert not is_transpose(a, a[:1].T) and not is_transpose(X, X) and not is_transpose(3.0, square)
    assert not is_transpose(a, a.reshape(3, 2))  # the same memory and shape, in another order


def test_only_writable_float_arrays_are_cleared():
    a, ids, fixed = np.ones(2), np.ones(2, int), np.ones(2)
    fixed.flags.writeable = False
    for gradient in (a, ids, fixed, None, 3.0):
        clear_gradient(gradient, [("w", np.ones(2))])
    assert (a.tolist(), ids.tolist(), fixed.tolist()) == ([0, 0], [1, 1], [1, 1])


def test_a_gradient_that_is_an_array_of_the_code_is_not_cleared():
    w = np.ones(3)
    for gradient in (w, w[1:], w[::-1]):
        clear_gradient(gradient, [("x", np.ones(3)), ("w", w)])
    assert w.tolist() == [1, 1, 1]


# --- params and grads ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("form", [dict, list, tuple])
def test_params_and_grads_in_any_container(form):
    layer = Layer(form)
    layer.dw[...] = 7  # of an earlier backward
    adapter = ObjectAdapter(layer, (X,))
    assert adapter.parameters()["w"] is layer.w and list(adapter.complex_parameters()) == ["w", "b"]
    assert adapter.run()[0].tolist() == (X * W + 1).tolist()
    assert lists(adapter.gradients((DY,))) == {"w": (DY * X).tolist(), "b": DY.tolist(), "x": (DY * W).tolist()}
    assert adapter.title == "Layer" and adapter.notes == []


def test_params_without_grads_are_no_parameters():
    layer = Layer()
    del layer.grads
    assert ObjectAdapter(layer, (X,)).parameters() == {}
    layer.grads = [1]
    assert ObjectAdapter(layer, (X,)).parameters() == {}


def test_params_that_have_no_gradient_or_are_not_floats():
    layer = Layer(list)
    layer.params += [np.arange(2), "name", np.ones(2)]
    adapter = ObjectAdapter(layer, (X,))
    assert list(adapter.parameters()) == ["w", "b", "params[4]"]
    assert list(adapter.complex_parameters()) == ["w", "b", "params[2]", "params[4]"]
    adapter.run()
    assert adapter.gradients((DY,))["params[4]"] is None
    layer = Layer()
    layer.params["v"] = np.ones(2)
    adapter = ObjectAdapter(layer, (X,))
    adapter.run()
    assert adapter.gradients((DY,))["v"] is None


def test_the_gradients_of_an_array_that_is_listed_twice_are_added():
    layer = Layer(list)
    layer.params, layer.grads = [layer.w, layer.w, layer.w], [layer.dw, layer.db, layer.db]
    adapter = ObjectAdapter(layer, (X,))
    adapter.run()
    given = adapter.gradients((DY,))
    assert lists(given) == {"w": (DY * X + DY).tolist(), "x": (DY * W).tolist()}
    assert len(adapter.notes) == 1 and "w is listed 2 times" in adapter.notes[0]


def test_the_gradient_of_a_transpose_is_transposed():
    layer = Layer(list)
    m, d, dt = np.ones((2, 3)), np.full((2, 3), 2.0), np.arange(6.0).reshape(3, 2)
    layer.params, layer.grads = [m, m.T, m.T], [d, dt, None]
    adapter = ObjectAdapter(layer, (X,))
    assert lists(adapter.stored_gradients()) == {"params[0]": (d + dt.T).tolist()}


def test_an_object_that_returns_no_gradient_for_its_input():
    layer = Layer()
    full = layer.backward
    layer.backward = lambda dy: (full(dy), None)[1]
    adapter = ObjectAdapter(layer, (X,))
    adapter.surplus = [1]
    adapter.run()
    assert list(adapter.gradients((DY,))) == ["w", "b"] and adapter.surplus == ()
    layer.grads = {}
    adapter.run()
    assert lists(adapter.gradients((DY,))) == {"w": None, "b": None, "x": None}


def test_the_cached_values_of_an_object():
    layer = Layer(list)
    layer.mask, layer.dmask, layer.other = X > 0, DY, "text"
    adapter = ObjectAdapter(layer, (X,))
    adapter.run()
    cached = adapter.cached()
    assert any(v is layer.x for v in cached) and any(v is layer.mask for v in cached)
    for known in (layer.w, layer.dw, layer.grads, layer.dmask):
        assert not any(v is known for v in cached)


def test_a_cache_that_forward_returns():
    class Cached:
        def __init__(self, forward, backward):
            self.forward, self.backward = forward, backward

    def runs(forward, backward):
        adapter = ObjectAdapter(Cached(forward, backward), (X,))
        ys = adapter.run()
        return len(ys), adapter.returns_cache, adapter

    two = lambda x: (2 * x, x)  # noqa: E731
    count, returns_cache, adapter = runs(two, lambda dy, cache: 2 * dy + 0 * cache)
    assert (count, returns_cache) == (1, True) and adapter.cached() is adapter.inputs[0]
    assert lists(adapter.gradients((DY,))) == {"x": (2 * DY).tolist()}
    assert runs(two, lambda dy, kept: 2 * dy)[:2] == (1, True)  # it is an input
    assert runs(lambda x: (2 * x, x + 1), lambda dy, kept: 2 * dy)[:2] == (2, False)
    Pair = namedtuple("Pair", "y cache")
    assert runs(lambda x: Pair(2 * x, x), lambda dy, cache: 2 * dy)[:2] == (2, False)
    assert runs(lambda x: Pair(2 * x, x), lambda dy: 2 * dy)[:2] == (2, False)  # the fields belong together
    assert runs(two, lambda *dys: 2 * dys[0])[:2] == (2, False)
    assert runs(lambda x: (2 * x, [3, x]), lambda dy, kept: 2 * dy)[:2] == (1, True)
    three = lambda x: (2 * x, 3 * x, x)  # noqa: E731
    first = runs(three, lambda cache, dy, dz: 2 * dy + 0 * dz + 0 * cache)
    assert first[:2] == (2, True) and lists(first[2].gradients((DY, DY))) == {"x": (2 * DY).tolist()}
    assert runs(three, lambda dy, dz, kept: 2 * dy)[:2] == (2, True)
    assert runs(lambda x: (2 * x, x, 3 * x), lambda dy, dz, kept: 2 * dy)[:2] == (3, False)
    assert runs(two, lambda dy, dh: 2 * dy)[:2] == (2, False)
    count, returns_cache, adapter = runs(lambda x: (2 * x, x + 1), lambda dy: 2 * dy)
    assert (count, returns_cache) == (1, False) and "1 of 2 outputs" in adapter.notes[0]
    assert lists(dict(enumerate(adapter.left_out))) == {0: (X + 1).tolist()}
    assert runs(two, lambda dy, dz: 2 * dy)[2].left_out == ()
    count, _, adapter = runs(lambda x: (2 * x, 3 * x, 4 * x), lambda dy, dz=None: 2 * dy)
    assert count == 2 and lists(dict(enumerate(adapter.left_out))) == {0: (4 * X).tolist()}
    count, _, adapter = runs(lambda x: (2 * x, 3 * x, 4 * x), lambda dy, mode=None: 2 * dy)
    assert count == 1 and len(adapter.left_out) == 2
    assert runs(two, lambda dy, other=None: 2 * dy)[:2] == (2, False)
    assert runs(lambda x: (2 * x,), lambda dy: 2 * dy)[:2] == (1, False)
    assert runs(lambda x: 2 * x, lambda dy: 2 * dy)[:2] == (1, False)


def test_the_cache_gets_the_argument_with_its_name():
    class Cached:
        def forward(self, x):
            return 2 * x, (x, "kept")

        def backward(self, memory, dy):
            return 2 * dy if memory[1] == "kept" else None

    adapter = ObjectAdapter(Cached(), (X,))
    assert len(adapter.run()) == 1 and lists(adapter.gradients((DY,))) == {"x": (2 * DY).tolist()}


@pytest.mark.parametrize(("backward", "checked", "notes"), [
    (lambda dy, cache: 2 * dy * cache, 1, 1), (lambda cache, dy: 2 * dy * cache, 1, 1),
    (lambda dy, dz, cache: (2 * dy + 3 * dz) * cache, 2, 0),
    (lambda dy, cache, dz=None: (2 * dy + 3 * dz) * cache, 2, 0),
])  # fmt: skip
def test_a_cache_beside_outputs_of_which_backward_takes_only_some(backward, checked, notes):
    class Step:
        def forward(self, x):
            return 2 * x, 3 * x, 10.0

    step = Step()
    step.backward = backward
    adapter = ObjectAdapter(step, (X,))
    assert len(adapter.run()) == checked and adapter.cache == 10 and len(adapter.notes) == notes
    assert lists(adapter.gradients((DY, DY)[:checked])) == {"x": ((20 if checked == 1 else 50) * DY).tolist()}


def test_a_backward_that_takes_only_the_cache_of_a_loss():
    class Loss:
        def forward(self, x):
            return (x**2).sum(), x

        def backward(self, cache):
            return 2 * cache

    adapter = ObjectAdapter(Loss(), (X,))
    assert adapter.run() == (14.0,) and lists(adapter.gradients((1.0,))) == {"x": (2 * X).tolist()}


def test_a_number_among_the_inputs_is_no_sign_of_a_cache():
    class Counting:
        def forward(self, x, n):
            return n * x, n

        def backward(self, dy, count):
            return 3 * dy

    adapter = ObjectAdapter(Counting(), (X, 3))
    assert len(adapter.run()) == 2 and not adapter.returns_cache


@pytest.mark.parametrize("form", [list, tuple])
def test_params_in_a_list_and_gradients_in_a_dictionary_are_not_paired(form):
    layer = Layer(form)
    layer.grads = {"w": layer.dw, "b": layer.db}
    assert ObjectAdapter(layer, (X,)).parameters() == {}
    layer.params, layer.grads = {"w": layer.w}, form((layer.dw,))
    assert ObjectAdapter(layer, (X,)).parameters() == {}


def test_a_backward_without_arguments_belongs_to_a_loss():
    class Loss:
        def forward(self, x):
            self.x = x
            return (x**2).sum()

        def backward(self):
            return 2 * self.x

    adapter = ObjectAdapter(Loss(), (X,))
    adapter.run()
    assert lists(adapter.gradients((1.0,))) == {"x": (2 * X).tolist()}

    class Takes(Loss):
        def backward(self, dy):
            return 2 * dy * self.x

    adapter = ObjectAdapter(Takes(), (X,))
    adapter.run()
    assert lists(adapter.gradients((3.0,))) == {"x": (6 * X).tolist()}


def test_forward_has_several_names():
    class Model:
        def __call__(self, x):
            return 3 * x

        def backward(self, dy):
            return 3 * dy

    model = Model()
    assert ObjectAdapter(model, (X,)).run()[0].tolist() == (3 * X).tolist()
    model.predict = lambda x: 4 * x
    assert ObjectAdapter(model, (X,)).run()[0].tolist() == (4 * X).tolist()
    adapter = ObjectAdapter(model, (X,), lambda x: 5 * x, lambda dy: 5 * dy)
    assert adapter.run()[0].tolist() == (5 * X).tolist() and lists(adapter.gradients((DY,))) == {"x": (5 * DY).tolist()}


def test_an_object_with_a_loss():
    class Net:
        def loss(self, x, t):
            return ((x - t) ** 2).sum(), {"x": 2 * (x - t)}

    adapter = LossObjectAdapter(Net(), (X, W))
    assert adapter.run() == (((X - W) ** 2).sum(),) and adapter.title == "Net"
    assert lists(adapter.gradients((1.0,))) == {"x": (2 * (X - W)).tolist()}

    class Two(Net):
        def loss(self, x, t):
            return super().loss(x, t)[0]

        def gradient(self, x, t):
            return {"x": 2 * (x - t)}

    adapter = LossObjectAdapter(Two(), (X, W))
    assert adapter.run() == (((X - W) ** 2).sum(),) and lists(adapter.gradients((1.0,))) == {
        "x": (2 * (X - W)).tolist()
    }


def test_the_weights_of_an_object_with_a_loss_may_be_in_lists():
    class Net:
        def __init__(self):
            self.w = W.copy()
            self.params, self.grads = [self.w], [None]

        def loss(self, x):
            self.grads[0] = x.copy()
            return (x * self.w).sum(), {"x": self.w}

    adapter = LossObjectAdapter(Net(), (X,))
    adapter.run()
    assert list(adapter.parameters()) == ["w"]


def test_a_cache_that_contains_no_input():
    class Square:
        def forward(self, x):
            return x**2, 2 * x

        def backward(self, dy, cache):
            return dy * cache

    adapter = ObjectAdapter(Square(), (X,))
    assert len(adapter.run()) == 1 and lists(adapter.gradients((DY,))) == {"x": (DY * 2 * X).tolist()}


# --- found parameters ------------------------------------------------------------------------------------------------


def at(name):
    return (("root", 0), ("item", 0), ("attribute", name))


def found_of(layer, *parameters):
    return FoundParametersAdapter(ObjectAdapter(layer, (X,)), parameters)


class Plain:
    def __init__(self, **attributes):
        self.w = W.copy()
        vars(self).update(attributes)

    def forward(self, x):
        self.x = x
        return x * self.w

    def backward(self, dy):
        self.dw = dy * self.x
        return dy * self.w


def test_the_parameters_found_come_first():
    layer = Plain()
    adapter = found_of(layer, FoundParameter("w", at("w"), [(at("dw"), False)]))
    assert adapter.parameters() == {"w": layer.w} and adapter.inputs is adapter.inner.inputs
    adapter.run()
    assert lists(adapter.gradients((DY,))) == {"w": (DY * X).tolist(), "x": (DY * W).tolist()}
    adapter.inputs, adapter.targets, adapter.cache = (W,), (1,), 5
    assert adapter.inner.inputs == (W,) and adapter.inner.targets == (1,) and adapter.inner.cache == 5
    assert adapter.missing == adapter.inner.missing and not adapter.returns_cache


def test_an_input_without_a_gradient_beside_found_parameters():
    class First(Plain):
        def backward(self, dy):
            self.dw = dy * self.x

    layer = First(v=W.copy())
    adapter = found_of(layer, FoundParameter("w", at("w"), [(at("dw"), False)]),
                       FoundParameter("v", at("v"), [(at("dv"), False)]))  # fmt: skip
    adapter.run()
    given = adapter.gradients((DY,))
    assert given["w"].tolist() == (DY * X).tolist() and given["v"] is None and "x" not in given

    class Two(First):
        def forward(self, x, h):
            return super().forward(x) + h

        def backward(self, dy):
            super().backward(dy)
            return None, dy

    layer = Two()
    inner = ObjectAdapter(layer, (X, X))
    adapter = FoundParametersAdapter(inner, [FoundParameter("w", at("w"), [(at("dw"), False)])])
    adapter.run()
    given = adapter.gradients((DY,))
    assert given["x"] is None and given["h"].tolist() == DY.tolist()  # one input has a gradient, the other should


def test_a_listed_weight_beside_a_found_one():
    class Listed(Plain):
        def __init__(self):
            super().__init__(v=np.ones(3))
            self.params, self.grads = {"v": self.v}, {"v": np.zeros(3)}

        def forward(self, x, h):
            return super().forward(x) + self.v + h

        def backward(self, dy):
            self.dw, self.grads["v"] = dy * self.x, dy.sum(axis=0)
            return None, None

    inner = ObjectAdapter(Listed(), (X, X))
    adapter = FoundParametersAdapter(inner, [FoundParameter("w", at("w"), [(at("dw"), False)])])
    adapter.run()
    assert list(adapter.gradients((DY,))) == ["w", "v"]  # no gradients of inputs, as in the first layer of a network


def test_a_returned_gradient_keeps_its_values():
    class Returns(Plain):
        def backward(self, dy):
            return dy * self.w, dy * self.x

    place = (("returned", 0), ("item", 0))
    adapter = found_of(Returns(), FoundParameter("w", at("w"), [(place, False)]))
    adapter.run()
    first = adapter.gradients((DY,))["w"]
    adapter.run()
    assert adapter.gradients((2 * DY,))["w"].tolist() == (2 * DY * X).tolist()
    assert first.tolist() == (DY * X).tolist()


def test_a_tuple_with_one_output_is_no_cache():
    class One:
        def forward(self, x):
            return (3 * x,)

        def backward(self, cache):
            return 3 * cache

    adapter = ObjectAdapter(One(), (X,))
    assert len(adapter.run()) == 1 and not adapter.returns_cache
    assert lists(adapter.gradients((DY,))) == {"x": (3 * DY).tolist()}


def test_gradients_are_added_transposed_and_cleared():
    layer = Plain(a=np.ones((2, 3)), b=np.full((3, 2), 2.0), sums=np.full((2, 3), 9.0))

    def backward(dy):
        layer.a = np.arange(6.0).reshape(2, 3)
        layer.b = layer.a.T + 1
        layer.sums += 1
        return dy * layer.w

    layer.backward = backward
    both = FoundParameter("m", at("m"), [(at("a"), False), (at("b"), True), (at("missing"), False)])
    one = FoundParameter("n", at("n"), [(at("sums"), False)])
    adapter = found_of(layer, both, one)
    adapter.run()
    given = adapter.gradients((DY,))
    assert (
        given["m"].tolist() == (2 * np.arange(6.0).reshape(2, 3) + 1).tolist() and given["n"].tolist() == [[1] * 3] * 2
    )
    transposed = found_of(layer, FoundParameter("m", at("m"), [(at("b"), True)]))
    transposed.run()
    assert transposed.gradients((DY,))["m"].tolist() == (np.arange(6.0).reshape(2, 3) + 1).tolist()
    same = found_of(layer, FoundParameter("m", at("m"), [(at("sums"), False), (at("sums"), False)]))
    same.run()
    assert same.gradients((DY,))["m"].tolist() == [[1] * 3] * 2  # one array counts once


def test_a_gradient_that_backward_returns_or_does_not_give():
    layer = Plain()
    layer.backward = lambda dy: (dy * layer.w, dy * layer.x)
    adapter = found_of(layer, FoundParameter("w", at("w"), [((("returned", None), ("item", 0)), False)]))
    adapter.run()
    assert lists(adapter.gradients((DY,))) == {"w": (DY * X).tolist(), "x": (DY * W).tolist()}
    layer.backward = lambda dy: (None, dy * layer.x)
    adapter = found_of(layer, FoundParameter("w", at("w"), [((("returned", None), ("item", 0)), False)]))
    adapter.run()
    assert lists(adapter.gradients((DY,))) == {"w": (DY * X).tolist()}
    layer.backward = lambda dy: (dy * layer.w, dy * layer.x)
    adapter = found_of(layer, FoundParameter("w", at("w"), [((("returned", None), ("item", 5)), False)]))
    adapter.run()
    assert lists(adapter.gradients((DY,))) == {"w": None, "x": (DY * W).tolist()}


def test_the_first_layer_may_return_none():
    layer = Plain()
    layer.backward = lambda dy: setattr(layer, "dw", dy * layer.x) if layer.stores else None
    layer.stores = True
    adapter = found_of(layer, FoundParameter("w", at("w"), [(at("dw"), False)]))
    adapter.run()
    assert lists(adapter.gradients((DY,))) == {"w": (DY * X).tolist()}
    layer.stores = False
    del layer.dw
    adapter.run()
    assert lists(adapter.gradients((DY,))) == {"w": None, "x": None}


def test_numbers_become_arrays_of_float64():
    layer = Plain(w=2, ids=np.arange(3))
    adapter = found_of(layer, FoundParameter("w", at("w"), [], True), FoundParameter("ids", at("ids"), [], False))
    assert adapter.parameters() == adapter.inner.parameters() == {}
    adapter.prepare()
    assert layer.w.dtype == np.float64 and layer.w.shape == () and layer.ids.dtype.kind == "i"
    assert adapter.parameters() == {"w": layer.w} and list(adapter.complex_parameters()) == ["w", "ids"]
    del layer.w
    assert list(adapter.complex_parameters()) == ["ids"]


# --- learning rates --------------------------------------------------------------------------------------------------


def test_the_name_of_the_learning_rate():
    assert rate_name(lambda dy, LR: None) == "LR" and rate_name(lambda dy, dz, eta: None, 2) == "eta"
    assert rate_name(lambda dy, dz: None) is None and rate_name(lambda dy, lr: None, 2) == "lr"
    assert rate_name(lambda dy, keep=1, alpha=0.1, lr=1: None) == "alpha" and rate_name(lambda dy, keep=1: None) is None
    assert rate_name(lambda lr=0.1: None) is None and rate_name(lambda *a, lr=0.1: None) is None
    assert rate_name(lambda dy, x, lr: None) is None


class Learns:
    """y = w x + b. Backward takes a learning rate. w is replaced, and b is changed in place."""

    def __init__(self):
        self.w, self.b, self.kept, self.unread = W.copy(), np.ones(3), np.zeros(3), np.ones(2)
        self.again = self.b

    def forward(self, x):
        self.x = x
        self.kept[...] = x
        return x * self.w + self.b

    def backward(self, dy, lr):
        dx = dy * self.w
        self.w = self.w - lr * dy * self.x
        self.b -= lr * dy
        self.kept[...] = 5
        return dx


def learning(layer, *inputs):
    return LearningRateAdapter(layer, layer.forward, layer.backward, inputs or (X,), "lr")


def test_the_gradient_is_the_change_divided_by_the_rate():
    layer = Learns()
    w, b = layer.w, layer.b
    adapter = learning(layer)
    assert layer.w is w and list(adapter.parameters()) == list(adapter.complex_parameters()) == ["w", "b"]
    assert adapter.parameters()["w"] is w and RATE > 1
    (y,) = adapter.run()
    given = adapter.gradients((DY,))
    assert lists(given) == {"w": (DY * X).tolist(), "b": DY.tolist(), "x": (DY * W).tolist()}
    assert layer.w is w and layer.b is b and w.tolist() == W.tolist() and b.tolist() == [1, 1, 1]
    assert adapter.notes == ["the gradients of the weights are their changes in backward, divided by the learning rate"]


def test_a_result_that_depends_on_the_rate_is_noted():
    class Late(Learns):
        def backward(self, dy, lr):
            super().backward(dy, lr)
            return dy * self.w

    class LateInOne(Late):
        def backward(self, dy, lr):
            return super().backward(dy, lr), dy

    for layer in (Late(), LateInOne()):
        adapter = learning(layer)
        assert len(adapter.notes) == 2 and "depends on the learning rate" in adapter.notes[0]


def test_the_weights_may_be_complex():  # during a complex step
    layer = Learns()
    adapter = learning(layer)
    layer.w = layer.w + 1e-20j
    assert list(adapter.parameters()) == ["b"] and list(adapter.complex_parameters()) == ["w", "b"]
    assert adapter.complex_parameters()["w"] is layer.w


def test_several_outputs_and_a_rate_with_a_default():
    class Two(Learns):
        def forward(self, x):
            return super().forward(x), 2 * x

        def backward(self, dy, dz, learning_rate=0.1):
            return super().backward(dy, learning_rate) + 2 * dz

    layer = Two()
    adapter = LearningRateAdapter(layer, layer.forward, layer.backward, (X,), "learning_rate")
    assert len(adapter.run()) == 2
    assert lists(adapter.gradients((DY, DY)))["x"] == (DY * W + 2 * DY).tolist()


def test_code_that_fails_has_no_parameters():
    class Fails(Learns):
        def backward(self, dy, lr):
            self.w = None
            raise ValueError("not yet")

    layer = Fails()
    adapter = learning(layer)
    assert adapter.parameters() == {} and layer.w.tolist() == W.tolist()
    assert adapter.notes[0] == "the search for weights failed (ValueError: not yet)" and len(adapter.notes) == 2


# --- the form of an object -------------------------------------------------------------------------------------------


def test_the_first_method_with_a_usual_name():
    layer = Plain(other=3)
    assert method_of(layer, ["other", "missing", "backward", "forward"]) == layer.backward
    assert method_of(layer, ["other"]) is None


def test_an_object_without_forward_or_backward_has_no_adapter():
    class Forward:
        def forward(self, x):
            return x

    assert object_adapter(object(), (X,)) is None and object_adapter(Forward(), (X,)) is None


def ran(instance, *inputs, dys=(DY,)):
    adapter = object_adapter(instance, inputs or (X,))
    ys = adapter.run()
    return [np.asarray(y).tolist() for y in ys], lists(adapter.gradients(dys)), adapter


def test_an_output_in_an_attribute():
    class Stores:
        def forward(self, inputs):
            self.output = 3 * inputs

        def backward(self, dvalues):
            self.dinputs = 3 * dvalues

    ys, given, adapter = ran(Stores())
    assert ys == [(3 * X).tolist()] and given == {"inputs": (3 * DY).tolist()}

    class Nothing(Stores):
        def forward(self, inputs):
            pass

    with pytest.raises(TypeError, match=r"Nothing.forward\(inputs\) returned None"):
        object_adapter(Nothing(), (X,))


def test_a_loss_method_takes_the_inputs_that_forward_does_not_take():
    class Net(Plain):
        def loss(self, y, t):
            self.t = t
            return ((y - t) ** 2).sum()

        def backward(self, t):
            return 2 * (self.x * self.w - t) * self.w

    net = Net()
    assert loss_method(net, net.forward, (X, W)) == net.loss and loss_method(net, net.forward, (X,)) is None
    assert loss_method(net, lambda *args: None, (X, W)) is None
    assert loss_method(net, lambda x, t=1: None, (X, W)) is None
    net.criterion = Plain()
    assert loss_method(net, net.forward, (X, W)) == net.loss
    plain = Plain(criterion=net.criterion)
    assert loss_method(plain, plain.forward, (X, W)) == plain.criterion.forward
    ys, given, adapter = ran(net, X, W, dys=(1.0,))
    assert ys == [((X * W - W) ** 2).sum()] and given["x"] == (2 * (X * W - W) * W).tolist()
    assert adapter.input_names == ["x", "t"]


def test_three_methods_use_the_current_inputs():
    class Net(Plain):
        def loss(self, y, t):
            return ((y - t) ** 2).sum()

        def backward(self, x, t):
            return 2 * (x * self.w - t) * self.w

    net = Net()
    adapter = three_methods(net, net.forward, net.loss, net.backward, (X, W))
    adapter.inputs = (X + 1, W)
    assert adapter.run() == ((((X + 1) * W - W) ** 2).sum(),)
    assert lists(adapter.gradients((1.0,)))["x"] == (2 * ((X + 1) * W - W) * W).tolist()


def test_backprop_is_a_backward_if_it_takes_one_argument():
    class Net:
        def forward(self, x):
            return 2 * x

        def backprop(self, dy):
            return 2 * dy

    assert ran(Net())[1] == {"x": (2 * DY).tolist()}


def test_backprop_takes_the_arguments_of_forward_or_is_a_backward():
    class Net:
        def __init__(self):
            self.weights, self.biases = [np.ones((1, 2))], [np.ones((1, 1))]

        def feedforward(self, a):
            return self.weights[0] @ a + self.biases[0]

        def backprop(self, x, y):
            d = self.feedforward(x) - y
            return [d], [d @ x.T]

        def backward(self, dy):
            return self.weights[0].T @ dy

    net = Net()
    assert type(object_adapter(net, (np.ones((2, 1)), np.ones((1, 1))))) is ObjectAdapter  # backward comes first
    assert ran(net, np.ones((2, 1)), dys=(np.ones((1, 1)),))[1] == {"a": [[1.0], [1.0]]}
    del Net.backward
    assert isinstance(object_adapter(net, (np.ones((2, 1)), np.ones((1, 1)))), BackpropAdapter)
    net.backprop = lambda x, y=None: Net.backprop(net, x, y)
    assert isinstance(object_adapter(net, (np.ones((2, 1)), np.ones((1, 1)))), BackpropAdapter)
    net.backprop = lambda dy: net.weights[0].T @ dy  # of a forward with two inputs
    assert type(object_adapter(net, (np.ones((2, 1)), np.ones((1, 1))))) is not BackpropAdapter


def test_a_derivative_without_arguments_is_multiplied_by_dy():
    class Square:
        def forward(self, z):
            self.z = z
            return z**2

        def derivative(self):
            return 2 * self.z

    assert ran(Square())[1] == {"z": (2 * DY * X).tolist()}

    class Backward(Square):
        def backward(self):
            return 2 * self.z

    assert ran(Backward())[1] == {"z": (2 * DY * X).tolist()}


def test_a_learning_rate_with_a_default():
    class Default(Learns):
        def backward(self, dy, lr=0.1):
            return super().backward(dy, lr)

    assert isinstance(object_adapter(Default(), (X,)), LearningRateAdapter)


def test_backprop_of_one_input_is_a_backward():
    class Scale:
        def forward(self, x):
            return 3 * x

        def backprop(self, dy, factor=3):
            return factor * dy

    adapter = object_adapter(Scale(), (X,))
    assert type(adapter) is ObjectAdapter
    adapter.run()
    assert lists(adapter.gradients((DY,))) == {"x": (3 * DY).tolist()}


@pytest.mark.parametrize("number", [float, np.float64, np.array])
def test_a_loss_whose_backward_returns_two_gradients(number):
    class Loss:
        def forward(self, x, t):
            self.e = x - t
            return number((self.e**2).sum())

        def backward(self):
            return 2 * self.e, -2 * self.e

    adapter = object_adapter(Loss(), (X, W))
    adapter.run()
    assert lists(adapter.gradients((1.0,))) == {"x": (2 * (X - W)).tolist(), "t": (2 * (W - X)).tolist()}


def test_a_backward_with_a_learning_rate():
    adapter = object_adapter(Learns(), (X,))
    assert isinstance(adapter, LearningRateAdapter)

    class Ignores(Plain):
        def backward(self, dy, lr=0.1):
            return super().backward(dy)

    assert type(object_adapter(Ignores(), (X,))) is ObjectAdapter


def test_a_backward_with_more_arguments():
    class Cell:
        def forward(self, x, h):
            return x + 2 * h

        def backward(self, dy, x, h):
            return dy + 0 * x, 2 * dy + 0 * h

    ys, given, _ = ran(Cell(), X, W)
    assert ys == [(X + 2 * W).tolist()] and given == {"x": DY.tolist(), "h": (2 * DY).tolist()}


def test_the_loss_of_each_sample_is_averaged_if_the_object_calculates_a_mean():
    class Loss:
        def forward(self, y_pred, y_true):
            return (y_pred - y_true) ** 2

        def backward(self, dvalues, y_true):
            self.dinputs = 2 * (dvalues - y_true) / len(dvalues)

        def calculate(self, output, y):
            return np.mean(self.forward(output, y))

    ys, given, _ = ran(Loss(), X, W, dys=(1.0,))
    assert ys == [((X - W) ** 2).mean()] and given == {"y_pred": (2 * (X - W) / 3).tolist()}


def test_a_backward_without_arguments_needs_inputs():
    class NoInputs:
        def forward(self):
            return np.ones(2)

        def backward(self):
            return None

    with pytest.raises(TypeError, match=r"NoInputs.backward\(\) takes no arguments"):
        object_adapter(NoInputs(), ())


def test_a_forward_without_inputs():
    class Weight:
        def __init__(self):
            self.params, self.grads = {"w": W.copy()}, {"w": np.zeros(3)}

        def forward(self):
            return self.params["w"] ** 2

        def backward(self, dy):
            self.grads["w"] = 2 * dy * self.params["w"]

    class WithDefault(Weight):
        def backward(self, dy=1.0):
            super().backward(dy)

    for weight in (Weight(), WithDefault()):
        adapter = object_adapter(weight, ())
        (y,) = adapter.run()
        assert y.tolist() == (W**2).tolist() and lists(adapter.gradients((DY,))) == {"w": (2 * DY * W).tolist()}


def test_an_output_of_another_library_is_refused(monkeypatch):
    monkeypatch.setitem(sys.modules, "torch", ModuleType("torch"))
    tensor = type("Tensor", (), {"__module__": "torch", "shape": (3,), "dtype": "float32"})()

    class Layer:
        def forward(self, x):
            return tensor

        def backward(self, dy):
            return dy

    with pytest.raises(TypeError, match="the output of Layer is an array of PyTorch"):
        object_adapter(Layer(), (X,))


def test_the_first_forward_is_undone():
    class Counts(Plain):
        def forward(self, x):
            self.count = 1
            x *= 2
            return None if x.size == 2 else x

    layer = Counts()
    result, attribute = try_forward(layer, layer.forward, (X,))
    assert result.tolist() == (2 * X).tolist() and attribute is None and not hasattr(layer, "count") and X[0] == 1
    error, attribute = try_forward(layer, layer.forward, ("x", 1))
    assert isinstance(error, TypeError) and attribute is None


def test_a_backward_with_the_argument_of_forward_may_be_a_derivative():
    class Cube:
        def forward(self, z):
            return z**3

        def backward(self, z):
            return 3 * z**2

    class Triple:
        def forward(self, z):
            return 3 * z

        def backward(self, z):  # it is linear, so z is the incoming gradient
            return 3 * z

    class Curved(Cube):
        def forward(self, x):
            self.x = x
            return x**3

        def backward(self, dy):
            return 3 * self.x**2 * dy

    assert ran(Cube())[1] == {"z": (3 * X**2 * DY).tolist()}
    assert ran(Triple())[1] == {"z": (3 * DY).tolist()}
    assert ran(Curved())[1] == {"x": (3 * X**2 * DY).tolist()}
