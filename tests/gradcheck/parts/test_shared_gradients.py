"""Test code whose gradients are not new arrays: ``self.dw = self.x``, ``self.dw = dy``, two names of one array."""

import numpy as np
import pytest

from nnscratch.gradcheck import check_gradients

X = np.array([[1.0, -2.0, 0.5], [0.3, 1.2, -0.7]])
W = np.array([[2.0, 3.0, 4.0], [0.5, -1.5, 2.5]])
SHARES, WRITES = "gradient shares memory", "backward writes into its input"


class Layer:
    """A layer with weights w, whose methods are given as functions."""

    def __init__(self, forward, backward, **attributes):
        self.own_forward, self.own_backward, self.w = forward, backward, W.copy()
        vars(self).update(attributes)

    def forward(self, x):
        self.x = x
        return self.own_forward(self, x)

    def backward(self, dy):
        return self.own_backward(self, dy)


def sum_of(layer, x):
    return x + layer.w


def product(layer, x):
    return x * layer.w


def stores(dx=lambda layer, dy: dy * layer.w, **formulas):
    """Return a backward that stores the values of formulas of (layer, dy), and returns the gradient of x."""

    def backward(layer, dy):
        vars(layer).update({name: formula(layer, dy) for name, formula in formulas.items()})
        return dx(layer, dy)

    return backward


def checked(layer, x=X):
    """Return {array: verdict}, and {(kind, severity): message} of the traps."""
    report = check_gradients(layer, x.copy())
    np.testing.assert_array_equal(layer.w if hasattr(layer, "w") else W, W)
    return {e.name: e.verdict for e in report}, {(t.kind, t.severity): t.message for t in report.traps}, report.notes


def dy_itself(layer, dy):
    return dy


def x_itself(layer, dy):
    return layer.x


# --- the gradient is dy, or an input ---------------------------------------------------------------------------------


def test_a_layer_that_adds_may_return_and_keep_dy():
    verdicts, traps, _ = checked(Layer(sum_of, stores(dy_itself, dw=dy_itself)))
    assert verdicts == {"w": "right", "x": "right"}
    assert list(traps) == [(SHARES, "note")] and "of w shares memory with the gradient of x:" in traps[SHARES, "note"]


@pytest.mark.parametrize("backward, wrong", [
    (stores(dw=dy_itself), "w"), (stores(dy_itself, dw=dy_itself), "wx"), (stores(dw=x_itself), "w"),
    (stores(lambda layer, dy: layer.w, dw=x_itself), "wx"),
])  # fmt: skip
def test_a_wrong_gradient_that_is_another_array_is_found(backward, wrong):
    verdicts, traps, _ = checked(Layer(product, backward))
    assert verdicts == {name: "wrong" if name in wrong else "right" for name in "wx"}
    assert not any(severity == "incomplete" for _, severity in traps)


def test_the_gradient_of_a_scalar_may_be_the_input():
    class Scalar(Layer):
        def backward(self):
            self.dw = self.x
            return self.w

    verdicts, traps, _ = checked(Scalar(lambda layer, x: (x * layer.w).sum(), None))
    assert verdicts == {"w": "right", "x": "right"} and "shares memory with x:" in traps[SHARES, "note"]


def test_a_bias_gradient_without_the_sum_has_the_wrong_shape():
    class Bias(Layer):
        def __init__(self, db):
            self.b, self.db_of = np.array([1.0, 2.0, 3.0]), db

        def forward(self, x):
            return x + self.b

        def backward(self, dy):
            self.db = self.db_of(dy)
            return dy

    verdicts, traps, _ = checked(Bias(lambda dy: dy))
    assert (
        verdicts == {"b": "wrong", "x": "right"} and "of b has shape (2, 3), not (3,)" in traps["wrong shape", "wrong"]
    )
    verdicts, traps, _ = checked(Bias(lambda dy: dy[0]))
    assert verdicts == {"b": "wrong", "x": "right"}
    assert checked(Bias(lambda dy: dy.sum(0)))[:2] == ({"b": "right", "x": "right"}, {})


def test_gradients_in_attributes_may_be_dy():
    class NeuralNetworksFromScratch(Layer):
        def forward(self, inputs):
            self.output = inputs + self.w

        def backward(self, dvalues):
            self.dinputs = dvalues
            self.dw = dvalues

    assert checked(NeuralNetworksFromScratch(None, None))[0] == {"w": "right", "inputs": "right"}


@pytest.mark.parametrize("gradients, wrong", [
    (lambda layer, dy: {"w": dy}, "w"), (lambda layer, dy: {"w": layer.x}, "w"),
    (lambda layer, dy: {"w": dy * layer.x}, ""),
])  # fmt: skip
def test_a_dictionary_of_gradients_may_hold_other_arrays(gradients, wrong):
    layer = Layer(product, stores(grads=gradients), grads={})
    layer.params = {"w": layer.w}
    assert checked(layer)[0] == {"w": "wrong" if wrong else "right", "x": "right"}


def test_a_layer_that_has_been_trained_is_checked():
    layer = Layer(product, stores(dw=x_itself))
    layer.forward(X.copy())
    layer.backward(np.ones_like(X))
    assert checked(layer)[0] == {"w": "wrong", "x": "right"}


# --- the gradient is the parameter itself ----------------------------------------------------------------------------


def half_square(layer, x):
    return (x * x).sum() + 0.5 * (layer.w**2).sum()


class Half(Layer):
    def backward(self):
        self.dw = self.w
        return 2 * self.x


@pytest.mark.parametrize("attributes", [{}, {"dw": None}])
def test_the_gradient_may_be_the_parameter(attributes):
    verdicts, traps, _ = checked(Half(half_square, None, **attributes))
    assert verdicts == {"w": "right", "x": "right"} and "shares memory with w:" in traps[SHARES, "note"]


def test_the_gradient_is_the_parameter_before_the_check_too():
    layer = Half(half_square, None)
    layer.dw = layer.w
    assert checked(layer)[0] == {"w": "right", "x": "right"}


def product_with_params(layer, x):
    return x * layer.params["w"]


def with_params(backward, **attributes):
    layer = Layer(product_with_params, backward, **attributes)
    layer.params = {"w": layer.w}
    layer.grads = dict(layer.params)  # a copy of the dictionary, and not of the arrays
    return layer


def new_gradient(layer, dy):
    layer.grads["w"] = dy * layer.x
    return dy * layer.params["w"]


def in_place(layer, dy):
    dx = dy * layer.params["w"]
    layer.grads["w"][...] = dy * layer.x
    return dx


def added(layer, dy):
    dx = dy * layer.params["w"]
    layer.grads["w"] += dy * layer.x
    return dx


def test_a_shallow_copy_of_the_parameters_that_backward_replaces():
    assert checked(with_params(new_gradient))[:2] == ({"w": "right", "x": "right"}, {})


@pytest.mark.parametrize("backward", [in_place, added])
def test_a_gradient_that_overwrites_its_parameter(backward):
    layer = with_params(backward)
    report = check_gradients(layer, X.copy())
    assert report.verdict == "wrong" and report["x"].verdict == "right"
    (trap,) = (t for t in report.traps if t.kind == WRITES)
    assert trap.severity == "wrong" and trap.message.startswith("w and its gradient are the same array")
    np.testing.assert_array_equal(layer.w, W)


@pytest.mark.parametrize("form", [list, dict])
def test_gradients_that_replace_the_parameters(form):
    key = 0 if form is list else "w"

    def forward(layer, x):
        return x * layer.params[key]

    def backward(layer, dy):
        dx = dy * layer.params[key]
        layer.grads[key] = dy * layer.x
        return dx

    layer = Layer(forward, backward)
    layer.params = layer.grads = [layer.w] if form is list else {"w": layer.w}
    report = check_gradients(layer, X.copy())
    assert report.verdict == "wrong" and {e.name: e.verdict for e in report} == {"w": "right", "x": "right"}
    (trap,) = (t for t in report.traps if t.kind == WRITES)
    assert trap.severity == "wrong" and trap.message.startswith("w and its gradient are the same array")
    assert layer.params[key] is layer.w


# --- two names of one array ------------------------------------------------------------------------------------------


def right(layer, dy):
    return dy * layer.x


def two_names(layer, dy, factor=1):
    layer.dw = factor * dy * layer.x
    layer.grads = {"w": layer.dw}
    return dy * layer.w


def test_two_names_of_one_gradient_are_no_doubt():
    assert checked(Layer(product, two_names)) == ({"w": "right", "x": "right"}, {}, [])


def test_a_wrong_gradient_with_two_names_is_found():
    verdicts, traps, notes = checked(Layer(product, lambda layer, dy: two_names(layer, dy, 3)))
    assert (verdicts, traps, notes) == ({"w": "wrong", "x": "right"}, {}, [])


def test_gradients_that_are_stored_and_returned():
    def backward(layer, dy):
        layer.dw, layer.db = dy * layer.x, dy
        return dy * layer.w, layer.dw, layer.db

    layer = Layer(lambda layer, x: x * layer.w + layer.b, backward, b=W[::-1].copy())
    assert checked(layer) == ({"w": "right", "b": "right", "x": "right"}, {}, [])


def test_two_parameters_with_one_array_for_their_gradients():
    def backward(layer, dy):
        layer.dw += dy * layer.x
        layer.db += dy
        return dy * layer.w

    zeros = np.zeros_like(W)
    layer = Layer(lambda layer, x: x * layer.w + layer.b, backward, b=W[::-1].copy(), dw=zeros, db=zeros)
    verdicts, traps, _ = checked(layer)
    assert verdicts == {"w": "wrong", "b": "wrong", "x": "right"}
    assert list(traps) == [(SHARES, "note")] and "of w shares memory with the gradient of b:" in traps[SHARES, "note"]
    assert not zeros.any()
