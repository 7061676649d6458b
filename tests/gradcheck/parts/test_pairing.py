"""Test the search for the parameters that an object holds, and for the gradient of each."""

from types import SimpleNamespace

import numpy as np
import pytest

import nnscratch as nn
from nnscratch.gradcheck import check_gradients
from nnscratch.gradcheck.adapters import FoundParametersAdapter, make_adapter
from nnscratch.gradcheck.pairing import Search, complete_adapter, with_found_parameters
from nnscratch.gradcheck.places import place_name
from nnscratch.gradcheck.snapshot import Snapshot

X = np.array([1.0, -2.0, 3.0])


class Layer:
    """y = x w + b, with the given attributes, and a backward that stores or returns other gradients."""

    def __init__(self, backward=None, **attributes):
        self.w, self.b = np.array([2.0, 3.0, 4.0]), np.array([0.5, 0.25, 0.125])
        self.own_backward = backward
        vars(self).update(attributes)

    def forward(self, x):
        self.x = x
        return x * self.w + self.b

    def backward(self, dy):
        if self.own_backward is not None:
            return self.own_backward(self, dy)
        self.dw, self.db = dy * self.x, dy.copy()
        return dy * self.w


def search_of(subject, *inputs):
    return search_with(make_adapter(subject, inputs or (X.copy(),)))


def search_with(adapter):
    return Search(adapter, Snapshot(adapter.source, adapter.inputs))


def place(steps):
    return f"returned {steps[-1][1]}" if steps[0][0] == "returned" else place_name(steps)


def names(places):
    return [place(steps) for steps in places]


def pairs(subject, *inputs):
    """Return {parameter: places of its gradient}, and the notes. T marks a gradient that must be transposed."""
    return pairs_of(make_adapter(subject, inputs or (X.copy(),)))


def pairs_of(adapter):
    found = {p.name: [place(g) + " T" * t for g, t in p.gradients] for p in search_with(adapter).found()}
    return found, adapter.notes


def stores(**formulas):
    """Return a backward that stores values of formulas of (layer, dy), and returns the gradient of x."""

    def backward(layer, dy):
        vars(layer).update({name: formula(layer, dy) for name, formula in formulas.items()})
        return dy * layer.w

    return backward


def dw(layer, dy):
    return dy * layer.x


def db(layer, dy):
    return dy.copy()


# --- the adapter -----------------------------------------------------------------------------------------------------


def test_a_complete_adapter_has_the_parameters_found():
    layer = Layer()
    adapter, before, start = complete_adapter(layer, (X,))
    assert isinstance(adapter, FoundParametersAdapter) and list(adapter.parameters()) == ["w", "b"]
    assert (
        adapter.parameters()["w"] is layer.w and start is before and sorted(vars(layer)) == ["b", "own_backward", "w"]
    )
    with pytest.raises(ValueError, match="convention must be 'sum' or 'mean'"):
        complete_adapter(layer, (X,), convention="max")


def test_a_check_of_lazy_weights_starts_after_the_first_forward():
    class Lazy(Layer):
        def forward(self, x):
            if self.w is None:
                self.w = np.full(x.shape, 2.0)
            return super().forward(x)

    layer = Lazy(w=None)
    adapter, before, start = complete_adapter(layer, (X,))
    assert start is not before and list(adapter.parameters()) == ["w", "b"]
    before.restore()
    assert layer.w is None


def test_a_module_lists_its_parameters():
    module = nn.Linear(3, 2, rng=0)
    module.other = np.ones(2)
    adapter = make_adapter(module, (X,))
    before = Snapshot(adapter.source, (X,))
    assert with_found_parameters(adapter, before) is adapter
    adapter, before, start = complete_adapter(module, (X,))
    assert start is before


def test_the_search_gives_no_warnings():
    class Overflows(Layer):
        def forward(self, x):
            return super().forward(x) + 1 / np.exp(x * 1e9)

    adapter, _, _ = complete_adapter(Overflows(), (X.copy(),))
    assert list(adapter.parameters()) == ["w", "b"]


def test_code_that_fails_keeps_its_adapter():
    def fails(layer, dy):
        raise ValueError("not written yet")

    layer = Layer(fails)
    adapter = make_adapter(layer, (X,))
    before = Snapshot(adapter.source, (X,))
    assert with_found_parameters(adapter, before) is adapter
    assert sorted(vars(layer)) == ["b", "own_backward", "w"]
    assert adapter.notes == ["the search for parameters failed (ValueError: not written yet)"]


def test_an_error_of_the_search_alone_is_in_the_report(monkeypatch):
    def fails(search):
        raise RuntimeError("a fault of the search")

    monkeypatch.setattr(Search, "found", fails)
    report = check_gradients(Layer(), X.copy())
    assert report.verdict == "incomplete" and report["x"].verdict == "right"
    assert "the search for parameters failed (RuntimeError: a fault of the search)" in report.notes


def test_code_without_arrays_keeps_its_adapter():
    adapter = make_adapter((np.sin, lambda dy, x: dy * np.cos(x)), (X,))
    before = Snapshot(adapter.source, (X,))
    assert with_found_parameters(adapter, before) is adapter
    assert Search(adapter, before).found() == []


def test_a_number_with_a_returned_gradient_becomes_an_array():
    def loss(w, b, X):
        e = X @ w + b
        return float((e**2).sum()), {"dw": 2 * X.T @ e, "db": float(2 * e.sum())}

    def power(w, b, X):
        return float((w**b).sum()), {"dw": b * w ** (b - 1)}

    for code, is_checked in ((loss, True), (power, False)):
        adapter, _, _ = complete_adapter(code, (X, 2.0, np.eye(3)))
        assert isinstance(adapter.inputs[1], np.ndarray) is is_checked


# --- the candidates --------------------------------------------------------------------------------------------------


class Keeps(Layer):
    """A layer with other arrays, which forward replaces, overwrites or leaves alone."""

    def __init__(self, **attributes):
        super().__init__(**attributes)
        self.replaced, self.written, self.copy, self.rate = np.ones(3), np.zeros(3), np.array([1.0, -2.0, 3.0]), 0.5
        self.unused = np.ones(2)

    def forward(self, x):
        self.replaced = x + 1
        self.written += 1
        self.copy[...] = x
        return super().forward(x) * self.rate + 0 * self.copy


def test_the_candidates_are_the_arrays_that_forward_does_not_change():
    search = search_of(Keeps())
    assert names(search.candidates) == ["self.w", "self.b", "self.rate", "self.unused"]
    unchanged = ["self.w", "self.b", "self.replaced", "self.written", "self.rate", "self.unused"]
    assert sorted(names(search.kept)) == sorted([*unchanged, "self.copy"])  # x is an input
    assert names(search.produced) == ["self.dw", "self.db"]


def test_a_candidate_that_backward_changes_is_a_gradient_or_a_weight_that_is_updated():
    layer = Layer(dw=np.zeros(3), db=np.zeros(3))
    layer.own_backward = lambda layer, dy: (
        layer.dw.__iadd__(dy * layer.x), layer.db.__iadd__(dy), dy * layer.w)[-1]  # fmt: skip
    assert names(search_of(layer).candidates) == ["self.w", "self.b"]
    assert pairs(layer)[0] == {"w": ["self.dw"], "b": ["self.db"]}

    def updates(layer, dy):
        dx = dy * layer.w
        layer.dw, layer.db = dy * layer.x, dy.copy()
        layer.w -= 0.1 * layer.dw
        return dx

    assert names(search_of(Layer(updates)).candidates) == ["self.w", "self.b"]
    assert names(search_of(Layer(updates, dw=np.zeros(3))).candidates) == ["self.w", "self.b"]


def test_an_array_that_is_also_its_own_gradient_is_one_candidate():
    for name in ("dw", "dW"):
        layer = Layer()
        setattr(layer, name, layer.w)  # as after self.w = self.dw = np.zeros(3)
        assert names(search_of(layer).candidates) == ["self.w", "self.b"]


def test_a_copy_of_the_input_is_no_candidate():
    ones = np.array([1.0, -1.0, 1.0])
    layer = Keeps()
    layer.copy = ones.copy()
    assert names(search_of(layer, ones).candidates) == ["self.w", "self.b", "self.rate", "self.unused"]


def test_values_that_cannot_be_replaced_are_no_candidates():
    class Fixed(Layer):
        scales = [0.5, 2.0]  # noqa: RUF012

        def forward(self, x):
            return super().forward(x) * self.scales[0] * self.pair[0][0]

    layer = Fixed(pair=(np.array([2, 3]),), numbers=[0.5, 2.0])
    assert names(search_of(layer).candidates) == ["self.w", "self.b", "self.numbers"]
    layer.pair = (np.array([2.0, 3.0]),)  # an array of floats is changed in place
    assert names(search_of(layer).candidates) == ["self.w", "self.b", "self.numbers", "self.pair[0]"]


def test_the_search_restores_the_code():
    layer = Layer()
    pairs(layer)
    assert sorted(vars(layer)) == ["b", "own_backward", "w"] and layer.w.tolist() == [2, 3, 4]


# --- by name ---------------------------------------------------------------------------------------------------------


def test_gradients_with_the_names_of_their_arrays():
    assert pairs(Layer()) == ({"w": ["self.dw"], "b": ["self.db"]}, [])
    grads = Layer(stores(grads=lambda layer, dy: {"w": dw(layer, dy), "b": dy.copy()}))
    assert pairs(grads)[0] == {"w": ["self.grads['w']"], "b": ["self.grads['b']"]}


def test_the_better_name_counts():
    # dw is closer to w than grad_weight to w; a gradient of another shape comes last
    layer = Layer(stores(dw=dw, dW=lambda layer, dy: 7 * dw(layer, dy), db=db))
    assert pairs(layer) == ({"w": ["self.dw"], "b": ["self.db"]}, [])
    layer = Layer(stores(dw=lambda layer, dy: dw(layer, dy)[None], grad_w=dw, db=db))
    assert pairs(layer) == ({"w": ["self.grad_w"], "b": ["self.db"]}, [])


def test_derivatives_decide_between_two_names():
    layer = Layer(stores(dw=lambda layer, dy: 2 * dw(layer, dy), grad_w=dw, db=db))
    found, notes = pairs(layer)
    assert found == {"w": ["self.grad_w"], "b": ["self.db"]}
    assert len(notes) == 1 and notes[0].startswith("self.grad_w is the gradient of self.w; the name of self.dw")


def test_two_names_that_derivatives_do_not_decide():
    layer = Layer(stores(dw=dw, grad_w=dw, db=db))
    found, notes = pairs(layer)
    assert found == {"w": ["self.dw"], "b": ["self.db"]}
    assert notes == ["self.dw and self.grad_w have names that fit the gradient of self.w"]
    layer = Layer(stores(dw=lambda layer, dy: 2 * dy, grad_w=lambda layer, dy: 3 * dy, db=db))
    found, notes = pairs(layer)
    assert found == {"b": ["self.db"]} and len(notes) == 1 and "have names that fit" in notes[0]


def test_a_gradient_that_backward_forgets_keeps_its_name():
    layer = Layer(stores(db=db), dw=np.zeros(3))
    assert pairs(layer)[0] == {"w": ["self.dw"], "b": ["self.db"]}
    layer = Layer(stores(db=db), dw=np.zeros(2))
    assert pairs(layer)[0] == {"b": ["self.db"]}


def test_a_forgotten_gradient_needs_the_name_of_its_array():
    assert pairs(Layer(stores(db=db), dW=np.zeros(3)))[0] == {"w": ["self.dW"], "b": ["self.db"]}
    elsewhere = Layer(stores(db=db), inner=SimpleNamespace(dw=np.zeros(3)))
    assert pairs(elsewhere)[0] == {"b": ["self.db"]}

    class Resets(Layer):
        def forward(self, x):
            self.dw = np.zeros(3)
            return super().forward(x)

    assert pairs(Resets(stores(db=db)))[0] == {"w": ["self.dw"], "b": ["self.db"]}


def test_a_gradient_that_backward_computes_comes_before_an_array_of_zeros():
    def backward(layer, dy):
        layer.inner.dw, layer.db = dy * layer.x, dy.copy()
        return dy * layer.w

    layer = Layer(backward, dw=np.zeros(3), inner=SimpleNamespace())
    assert pairs(layer) == ({"w": ["self.inner.dw"], "b": ["self.db"]}, [])


def test_a_gradient_of_a_listed_array_belongs_to_no_other_array():
    class Listed(Layer):
        def __init__(self):
            super().__init__(stores(grads=lambda layer, dy: {"w": dw(layer, dy)}))
            self.params, self.grads = {"w": self.w}, {"w": np.zeros(3)}
            self.inner = SimpleNamespace(w=X + 9)

        def forward(self, x):
            return super().forward(x) + self.inner.w

    assert pairs(Listed()) == ({}, [])


def test_the_gradients_of_arrays_that_are_listed_late_have_any_close_name():
    class Late(Layer):
        def __init__(self):
            super().__init__(inner=SimpleNamespace(w=X + 9))
            del self.w

        def forward(self, x):
            self.params, self.x = {"w": self.inner.w}, x
            return x * self.inner.w

        def backward(self, dy):
            self.grads = {"w": dy * self.x}
            return dy * self.inner.w

    assert pairs(Late())[0] == {"inner.w": ["self.grads['w']"]}


class Two:
    """y = x w + W, or y = x fc1.w + fc2.w."""

    def __init__(self, backward, **attributes):
        self.own_backward = backward
        vars(self).update(attributes)

    def forward(self, x):
        self.x = x
        first, second = (self.w, self.W) if hasattr(self, "w") else (self.fc1.w, self.fc2.w)
        return x * first + second

    def backward(self, dy):
        self.own_backward(self, dy)
        return dy * (self.w if hasattr(self, "w") else self.fc1.w)


def test_a_gradient_of_two_arrays_belongs_to_the_closer_name():
    backward = stores(dw=dw, second=db)
    for order in ("wW", "Ww"):
        layer = Two(backward, **{name: X + 5 for name in order})
        assert pairs(layer)[0] == {"w": ["self.dw"], "W": ["self.second"]}
    wrong = stores(dw=lambda layer, dy: 7 * dw(layer, dy), second=db)  # the check then finds the mistake
    assert pairs(Two(wrong, w=X + 5, W=X + 5))[0] == {"w": ["self.dw"], "W": ["self.second"]}


def test_derivatives_decide_between_two_arrays_of_one_name():
    def parts():
        return {f"fc{k}": SimpleNamespace(w=X + k) for k in (1, 2)}

    def of_second(layer, dy):
        layer.dw = dy.copy()

    def of_first(layer, dy):
        layer.dw = dy * layer.x

    def of_none(layer, dy):
        layer.dw = 7 * dy

    assert pairs(Two(of_second, **parts()))[0] == {"fc2.w": ["self.dw"]}
    assert pairs(Two(of_first, **parts()))[0] == {"fc1.w": ["self.dw"]}
    assert pairs(Two(of_none, **parts()))[0] == {}


def test_a_gradient_that_fits_two_arrays_belongs_to_the_first():
    class Sum(Two):
        def forward(self, x):
            self.x = x
            return x * self.fc1.w + x * self.fc2.w

    parts = {f"fc{k}": SimpleNamespace(w=X + k) for k in (1, 2)}
    assert pairs(Sum(lambda layer, dy: setattr(layer, "dw", dy * layer.x), **parts))[0] == {"fc1.w": ["self.dw"]}


def test_two_places_of_one_array_have_one_gradient():
    # Also if its values are wrong: the check then finds the mistake.
    for factor in (1, 7):
        layer = Layer(stores(dw=lambda layer, dy, f=factor: f * dw(layer, dy), db=db))
        layer.first, layer.last = SimpleNamespace(w=layer.w), SimpleNamespace(w=layer.w)
        assert pairs(layer)[0] == {"w": ["self.dw"], "b": ["self.db"]}
        del layer.b
        layer.b, layer.first = np.ones(3), SimpleNamespace(b=layer.w)
        assert pairs(layer)[0] == {"w": ["self.dw"], "b": ["self.db"]}


def test_a_gradient_that_backward_returns_as_an_item_includes_all_uses():
    class Named(Layer):
        def forward(self, x):
            self.x = x
            return x * self.w + self.out

        def backward(self, dy):
            self.dout = dy.copy()
            return {"dx": dy * self.w, "dw": self.factor * (dy * self.x + dy)}

    for factor in (1, 7):  # also if its values are wrong: the check then finds the mistake
        layer = Named(factor=factor)
        layer.out = layer.w
        assert pairs(layer) == ({"w": ["returned dw"]}, [])


def test_a_gradient_of_an_input_belongs_to_a_parameter_only_by_its_whole_name():
    def backward(layer, dy):
        layer.dw, layer.db, layer.dx = dy * layer.x, dy.copy(), dy * layer.w
        return layer.dx

    search = search_of(Layer(backward))
    assert names(search.produced) == ["self.dw", "self.db", "self.dx"] and names(search.borrowed) == ["self.dx"]

    def keeps_dy(layer, dy):
        layer.dw, layer.grad_b = layer.x[::-1], dy
        return dy

    assert sorted(names(search_of(Layer(keeps_dy)).borrowed)) == ["self.dw", "self.grad_b"]
    assert pairs(Layer(keeps_dy)) == ({"w": ["self.dw"], "b": ["self.grad_b"]}, [])
    layer = Layer(stores(first=lambda layer, dy: layer.x, db=db))
    assert pairs(layer) == ({"b": ["self.db"]}, [])  # x is no gradient of w, although it has the shape of w

    class Outer(Layer):
        def forward(self, x):
            self.x = x
            return x * self.fc.w + self.b

    layer = Outer(lambda layer, dy: (setattr(layer, "grads", {"w": layer.x}), dy * layer.fc.w)[1])
    layer.fc, layer.b = SimpleNamespace(w=layer.w), 0.5
    del layer.w
    assert pairs(layer)[0] == {}  # grads['w'] may be the gradient of another w


def test_two_names_of_one_array_are_one_gradient():
    def backward(layer, dy):
        layer.dw = layer.grad_w = 7 * dy * layer.x
        layer.first = layer.second = dy.copy()
        return dy * layer.w

    found, notes = pairs(Layer(backward))
    assert found == {"w": ["self.dw"], "b": ["self.first"]} and notes == ["the gradient of self.b is self.first"]


def test_gradients_that_are_stored_and_returned_need_no_order():
    def backward(layer, dy):
        layer.dw, layer.db = dy * layer.x, dy.copy()
        return dy * layer.w, layer.dw, layer.db

    assert pairs(Layer(backward)) == ({"w": ["self.dw"], "b": ["self.db"]}, [])


def test_params_that_exist_only_after_forward():
    class Late(Layer):
        def forward(self, x):
            self.params = {"w": self.w, "b": self.b}
            return super().forward(x)

        def backward(self, dy):
            self.grads = {"w": dy * self.x, "b": dy.copy()}
            return dy * self.w

    assert pairs(Late())[0] == {"w": ["self.grads['w']"], "b": ["self.grads['b']"]}


def test_the_search_starts_each_forward_in_the_same_state():
    class Once(Keeps):
        def forward(self, x):
            assert not hasattr(self, "x")
            return super().forward(x)

    assert names(search_of(Once()).candidates) == ["self.w", "self.b", "self.rate", "self.unused"]


class Rated(Layer):
    """y = (x w + b) rate, where the rate is a setting, and may be anywhere."""

    def forward(self, x):
        return super().forward(x) * self.rate_of()

    def rate_of(self):
        return self.fc.rate if hasattr(self, "fc") else self.rate

    def backward(self, dy):
        r = self.rate_of()
        self.dw, self.db = dy * r * self.x, dy * r
        self.own_backward(self, float((dy * (self.x * self.w + self.b)).sum()))
        return dy * self.w * r


def test_a_setting_needs_a_gradient_with_the_same_words():
    def stores_rate(name, cast=float):
        return lambda layer, slope: setattr(layer, name, cast(slope))

    both = {"w": ["self.dw"], "b": ["self.db"]}
    assert pairs(Rated(stores_rate("drate"), rate=0.5))[0] == both | {"rate": ["self.drate"]}
    assert pairs(Rated(stores_rate("dRate"), rate=0.5))[0] == both | {"rate": ["self.dRate"]}
    assert pairs(Rated(stores_rate("dRate", lambda slope: np.full(1, slope)), rate=0.5))[0] == both | {
        "rate": ["self.dRate"]
    }
    fc = SimpleNamespace(rate=0.5)
    assert pairs(Rated(stores_rate("drate"), fc=fc))[0] == both  # a word is missing

    def stores_two(layer, slope):
        layer.drate, layer.fc.drate = slope, slope

    assert pairs(Rated(stores_two, fc=fc))[0] == both | {"fc.rate": ["self.fc.drate"]}
    assert pairs(Rated(lambda layer, slope: None, rate=0.5, drate=0.0))[0] == both  # it is not a gradient


def test_a_default_may_have_a_gradient_in_another_object():
    class Default(Layer):
        def forward(self, x, w=X + 5):
            self.x, self.v = x, w
            return x * w + self.b

        def backward(self, dy):
            self.db = dy.copy()
            self.inner.dw = self.made(dy * self.x)
            return dy * self.v

    layer = Default(inner=SimpleNamespace(), made=lambda g: g)
    del layer.w
    assert pairs(layer)[0] == {"b": ["self.db"], "w": ["self.inner.dw"]}

    class Number(Default):
        def forward(self, x, w=2.0):
            return super().forward(x, w)

    layer = Number(inner=SimpleNamespace(), made=lambda g: float(g.sum()))
    del layer.w
    assert pairs(layer)[0] == {"b": ["self.db"]}


def test_settings_need_a_close_name():
    class Scaled(Layer):
        def forward(self, x):
            return super().forward(x) * self.rate

    def backward(layer, dy):
        layer.dw, layer.db = dy * layer.rate * layer.x, dy * layer.rate
        layer.drate = float((dy * (layer.x * layer.w + layer.b)).sum())
        return dy * layer.w * layer.rate

    assert pairs(Scaled(backward, rate=0.5))[0] == {"w": ["self.dw"], "b": ["self.db"], "rate": ["self.drate"]}


# --- numbers that backward returns -----------------------------------------------------------------------------------


class Numbers:
    """y = alpha x + beta, where alpha and beta are Python numbers."""

    def __init__(self, alpha=0.5, beta=2.0):
        self.alpha, self.beta = alpha, beta

    def forward(self, x):
        self.x = x
        return self.alpha * x + self.beta

    def slopes(self, dy):
        return self.alpha * dy, float((dy * self.x).sum()), float(dy.sum())


def returning(names, before=""):
    """Return a class like `Numbers`, whose backward ends with ``return`` and these names."""
    space = {"Numbers": Numbers, "np": np}
    lines = ["dx, dalpha, dbeta = self.slopes(dy)", before, f"return {names}"]
    exec("class Returns(Numbers):\n    def backward(self, dy):\n        " + "\n        ".join(lines), space)
    return space["Returns"]


@pytest.mark.parametrize("returned, expected", [
    ("dx, dalpha, dbeta", {"alpha": ["returned 0"], "beta": ["returned 1"]}),
    ("dx, dbeta, dalpha", {"alpha": ["returned 1"], "beta": ["returned 0"]}),
    ("dx, dalpha", {"alpha": ["returned 0"]}),
    ("dx, 3 * dalpha, dbeta", {"beta": ["returned 1"]}),  # the first one has no name
    ("dx, dgain, dbeta", {"beta": ["returned 1"]}),  # no number is called gain
    ("dx, dalpha, grad_alpha", {"alpha": ["returned 0"]}),  # the first name counts
])  # fmt: skip
def test_a_number_belongs_to_the_returned_number_with_the_name_of_its_gradient(returned, expected):
    layer = returning(returned, "dgain, grad_alpha = 3 * dbeta, 7 * dalpha")()
    assert pairs(layer)[0] == expected


def test_a_returned_number_belongs_to_one_number_only():
    class Part(returning("dx, dalpha")):
        def forward(self, x):
            return super().forward(x) * self.part.alpha

    layer = Part()
    layer.part = SimpleNamespace(alpha=1.0)
    assert pairs(layer)[0] == {"alpha": ["returned 0"]}


def test_all_gradients_may_be_those_of_numbers():
    class Constant(returning("dalpha, dbeta")):
        def forward(self):
            return super().forward(X)

    assert pairs_of(make_adapter(Constant(), ()))[0] == {"alpha": ["returned 0"], "beta": ["returned 1"]}


def test_a_number_whose_gradient_is_stored_needs_no_returned_one():
    layer = returning("dx, dalpha", "self.dalpha = dalpha")()
    assert pairs(layer)[0] == {"alpha": ["self.dalpha"]}


def test_only_a_number_that_moves_the_outputs_has_a_returned_gradient():
    class Ignores(returning("dx, dalpha")):
        def forward(self, x):
            self.x = x
            return 0.5 * x

    assert pairs(Ignores())[0] == {}
    vector = returning("dx, dalpha", "dalpha = np.full(3, dalpha)")
    assert pairs(vector())[0] == {}  # a number has no gradient with three elements


def test_a_returned_number_for_an_array_has_the_wrong_shape():
    returns = returning("dx, dalpha")
    assert pairs(returns(alpha=np.full(3, 0.5)))[0] == {"alpha": ["returned 0"]}
    (diagnosis,) = check_gradients(returns(alpha=np.full(3, 0.5)), X.copy()).entries["alpha"].diagnoses
    assert diagnosis.mistake == "summed over the wrong axis"

    class Part(returns):
        def forward(self, x):
            return super().forward(x) * self.part.alpha

    layer = Part(alpha=np.full(3, 0.5))
    layer.part = SimpleNamespace(alpha=2.0)
    assert pairs(layer)[0] == {"part.alpha": ["returned 0"]}  # a number comes first


# --- by order --------------------------------------------------------------------------------------------------------


def returns(*formulas):
    return lambda layer, dy: (dy * layer.w, *(formula(layer, dy) for formula in formulas))


def test_gradients_that_backward_returns_have_the_order_of_the_arrays():
    found, notes = pairs(Layer(returns(dw, db)))
    assert found == {"w": ["returned 0"], "b": ["returned 1"]}
    assert len(notes) == 1 and notes[0].endswith("in this order: self.w, self.b")


def test_shapes_decide_the_order_if_they_differ():
    class Matrix:
        def __init__(self):
            self.w, self.b = np.arange(6.0).reshape(3, 2), np.array([1.0, 2.0])

        def forward(self, x):
            self.x = x
            return x @ self.w + self.b

        def backward(self, dy):
            return dy @ self.w.T, dy.sum(axis=0), self.x.T @ dy

    found, notes = pairs(Matrix(), np.ones((4, 3)))
    assert found == {"w": ["returned 1"], "b": ["returned 0"]} and notes == []


def test_returned_gradients_of_unknown_arrays():
    found, notes = pairs(Layer(returns(lambda layer, dy: 2 * dy)))
    assert found == {} and len(notes) == 3 and "returns 1 more gradients than there are inputs" in notes[0]


def test_some_arrays_need_no_returned_gradient():
    both = {"w": ["returned 0"], "b": ["returned 1"]}

    class Uses(Layer):
        def forward(self, x, shift=X + 1):
            return super().forward(x) * self.mean * self.gain + shift

    for layer in (Layer(returns(dw, db), unused=np.ones(3)), Uses(returns(dw, db), mean=np.ones(3), gain=1.0)):
        found, notes = pairs(layer)
        assert found == both and len(notes) == 1 and notes[0].endswith("in this order: self.w, self.b")
    # self.dw is a gradient that backward forgets to compute, and so not a parameter
    assert pairs(Layer(returns(db), dw=np.zeros(3))) == ({"w": ["self.dw"], "b": ["returned 0"]}, [])


def test_an_array_with_a_gradient_by_name_is_not_in_the_order():
    def backward(layer, dy):
        layer.dw = dy * layer.x
        return dy * layer.w, dy.copy()

    found, notes = pairs(Layer(backward))
    assert found == {"w": ["self.dw"], "b": ["returned 0"]} and notes == []


# --- by shape and values ---------------------------------------------------------------------------------------------


def test_an_array_of_any_name_with_the_right_values_is_a_gradient():
    found, notes = pairs(Layer(stores(first=dw, second=db)))
    assert found == {"w": ["self.first"], "b": ["self.second"]}
    assert notes == ["the gradient of self.w is self.first", "the gradient of self.b is self.second"]


def test_an_array_of_any_name_with_wrong_values_is_no_gradient():
    found, notes = pairs(Layer(stores(first=lambda layer, dy: 2 * dw(layer, dy), db=db)))
    assert found == {"b": ["self.db"]}
    assert notes == ["self.first has the shape of self.w, but is not its gradient"]
    found, notes = pairs(
        Layer(stores(first=lambda layer, dy: 2 * dw(layer, dy), second=lambda layer, dy: 3 * dy, db=db))
    )
    assert found == {"b": ["self.db"]} and notes == []


def test_other_arrays_are_not_named_as_wrong_gradients():
    def updates(layer, dy):
        dx = dy * layer.w
        layer.dw = dy * layer.x
        layer.w -= 0.1 * layer.dw
        return dx

    assert pairs(Layer(updates)) == ({"w": ["self.dw"]}, [])
    layer = Layer(stores(first=lambda layer, dy: np.ones(2) * dy.sum(), db=db))
    assert pairs(layer) == ({"b": ["self.db"]}, [])  # another shape


def test_derivatives_decide_about_numbers():
    class Scaled(Layer):
        def forward(self, x):
            return super().forward(x) * self.g

    def backward(layer, dy):
        layer.dw, layer.db = dy * layer.g * layer.x, dy * layer.g
        layer.dg = float((dy * (layer.x * layer.w + layer.b)).sum())
        layer.grad_g = 2 * layer.dg
        return dy * layer.w * layer.g

    found, notes = pairs(Scaled(backward, g=0.5))
    assert found == {"w": ["self.dw"], "b": ["self.db"], "g": ["self.dg"]} and len(notes) == 1


# --- several uses ----------------------------------------------------------------------------------------------------


class Twice:
    """y = x w + w, with a gradient for each use."""

    def __init__(self, stored):
        self.w = np.array([2.0, 3.0, 4.0])
        self.out = self.w
        self.stored = stored

    def forward(self, x):
        self.x = x
        return x * self.w + self.out

    def backward(self, dy):
        self.dw, self.dout = self.stored(dy * self.x, dy.copy())
        return dy * self.w


def test_the_gradients_of_several_uses_are_added():
    found, notes = pairs(Twice(lambda a, b: (a, b)))
    assert found == {"w": ["self.dw", "self.dout"]}
    assert notes == ["self.w is used 2 times, so the checker added its gradients"]


def test_one_of_the_gradients_may_include_all_uses():
    assert pairs(Twice(lambda a, b: (a, a + b))) == ({"w": ["self.dout"]}, [])
    assert pairs(Twice(lambda a, b: (a + b, a + b))) == ({"w": ["self.dw"]}, [])


def test_a_gradient_of_a_transpose_is_transposed():
    class Tied:
        def __init__(self):
            self.w = np.arange(1.0, 7.0).reshape(2, 3)
            self.wt = self.w.T

        def forward(self, x):
            self.h = x @ self.w
            self.x = x
            return self.h @ self.wt

        def backward(self, dy):
            self.dwt = self.h.T @ dy
            dh = dy @ self.wt.T
            self.dw = self.x.T @ dh
            return dh @ self.w.T

    found, notes = pairs(Tied(), np.array([[1.0, 2.0], [0.5, -1.0]]))
    assert found == {"w": ["self.dw", "self.dwt T"]} and len(notes) == 1


# --- numbers ---------------------------------------------------------------------------------------------------------


def parameter(subject, name):
    return next(p for p in search_of(subject).found() if p.name == name)


def test_numbers_integers_and_read_only_arrays_are_replaced_for_the_check():
    layer = Layer()
    assert not parameter(layer, "w").number
    layer.w.flags.writeable = False
    assert parameter(layer, "w").number and not parameter(layer, "b").number
    layer = Layer(w=np.array([2, 3, 4]))
    assert parameter(layer, "w").number
    assert [note.split(",")[0] for note in pairs(layer)[1]] == ["self.w contains integers"]
    layer = Layer(stores(dw=dw, db=lambda layer, dy: float(dy.sum())), b=0.5)
    assert parameter(layer, "b").number


def test_the_names_of_parameters_differ_from_those_of_inputs():
    class Named(Layer):
        def forward(self, w):
            return super().forward(w)

    assert [p.name for p in search_of(Named()).found()] == ["self.w", "b"]


def test_a_float32_array_is_measured_with_larger_steps():
    layer = Layer(stores(first=lambda layer, dy: dw(layer, dy).astype("f"), db=db), w=np.array([2, 3, 4], dtype="f"))
    assert pairs(layer, X.astype("f"))[0] == {"w": ["self.first"], "b": ["self.db"]}


# --- measurements ----------------------------------------------------------------------------------------------------


def is_gradient(formula, **attributes):
    layer = Layer(stores(first=formula), **attributes)
    search = search_of(layer, X.astype(layer.w.dtype))
    (gradient,) = search.produced
    return search._is_gradient(next(iter(search.candidates)), gradient)


def test_a_gradient_agrees_with_two_derivatives():
    for factor, expected in ((1, True), (1 + 1e-6, True), (1 + 1e-4, False), (-1, False), (0, False)):
        assert is_gradient(lambda layer, dy, f=factor: f * dw(layer, dy)) is expected
    for factor, expected in ((1, True), (1.01, True), (1.1, False)):
        w = np.array([2, 3, 4], dtype="f")
        assert is_gradient(lambda layer, dy, f=factor: f * dw(layer, dy), w=w, b=np.ones(3, "f")) is expected
    assert not is_gradient(lambda layer, dy: dw(layer, dy)[None])


def test_zeros_are_the_gradient_of_no_array():
    layer = Layer(stores(first=lambda layer, dy: 0 * dy, dw=dw, db=db), unused=np.ones(3))
    search = search_of(layer)
    place_of = {place(steps): steps for steps in (*search.candidates, *search.produced)}
    assert not search._is_gradient(place_of["self.unused"], place_of["self.first"])


def test_the_gradient_of_a_curved_function_in_float32():
    class Curved(Layer):
        def forward(self, x):
            self.y = np.tanh(super().forward(x))
            return self.y

    def first(layer, dy):
        return dy * (1 - layer.y**2) * layer.x

    layer = Curved(stores(first=first), w=np.array([0.2, 0.3, 0.4], dtype="f"), b=np.ones(3, "f"))
    assert pairs(layer, X.astype("f"))[0] == {"w": ["self.first"]}


def test_a_weight_of_one_moves_the_outputs():
    search = search_of(Layer(w=np.ones(3), b=-np.ones(3)))
    assert [search._moves(steps) for steps in search.candidates] == [True, True]


def test_an_array_that_forward_does_not_accept_otherwise_moves_the_outputs():
    class Strict(Layer):
        def forward(self, x):
            if self.w[0] != 2:
                raise ValueError("only 2")
            return super().forward(x)

    search = search_of(Strict(unused=np.ones(2)))
    assert [search._moves(steps) for steps in search.candidates] == [True, True, False]
