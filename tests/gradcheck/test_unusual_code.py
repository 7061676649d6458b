"""Correct code of unusual form is not called wrong: another order of gradients, numpy.matrix, objects that raise."""

import numpy as np
import pytest

from nnscratch.gradcheck import check_gradients

rng = np.random.default_rng(0)
X, W, B = rng.normal(size=(4, 3)), rng.normal(size=(3, 2)), rng.normal(size=2)
SQUARE = rng.normal(size=(3, 3)), rng.normal(size=(3, 3)), rng.normal(size=3)
MODES = ["full", "directional"]
MATRIX = pytest.mark.filterwarnings("ignore:the matrix subclass")


# --- the order of the gradients ---------------------------------------------------------------------------------------


def affine(x, w, b):
    return x @ w + b, (x, w, b)


def weights_first(dout, cache, factor=1.0):
    x, w, b = cache
    dw, db, dx = factor * x.T @ dout, dout.sum(axis=0), dout @ w.T
    return dw, db, dx


def without_names(dout, cache, factor=1.0):
    x, w, b = cache
    return dout @ w.T, dout.sum(axis=0), factor * (x.T @ dout)


def bias_first(dout, cache, factor=1.0):
    x, w, b = cache
    grad_x, grad_w, grad_b = dout @ w.T, factor * x.T @ dout, dout.sum(axis=0)
    return grad_b, grad_w, grad_x


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize(
    "backward, inputs, how",
    [
        (weights_first, (X, W, B), "matched them to x, w, b by their names"),
        (without_names, (X, W, B), "matched them by their shapes"),
        (bias_first, SQUARE, "matched them to x, w, b by their names"),
    ],
)
def test_gradients_in_another_order_belong_to_the_inputs_that_they_fit(backward, inputs, how, mode):
    report = check_gradients((affine, backward), *inputs, mode=mode)
    assert report.ok and len(report.entries) == 3
    assert any(how in note for note in report.notes)
    wrong = check_gradients((affine, lambda dout, cache: backward(dout, cache, 2.0)), X, W, B, mode=mode)
    assert [e.name for e in wrong if e.verdict == "wrong"] == ["w"]


def test_several_orders_that_fit_are_said():
    def unnamed(dout, cache):
        x, w, b = cache
        return dout.sum(axis=0), x.T @ dout, dout @ w.T

    report = check_gradients((affine, unnamed), *SQUARE)
    assert not report.ok
    assert any("several orders fit their shapes" in note for note in report.notes)


def test_the_order_of_the_inputs_counts_if_all_shapes_fit_it():
    def backward(dout, cache):
        x, w, b = cache
        dx, dw, db = dout @ w.T, x.T @ dout, dout.sum(axis=0)
        return dw, dx, db

    report = check_gradients((affine, backward), *SQUARE)
    assert report.diagnoses[0].mistake == "two gradients exchanged"
    assert "its return statement has the order dw, dx, db" in report.diagnoses[0].evidence


def test_a_gradient_of_the_wrong_shape_is_not_given_to_another_input():
    def backward(dout, cache):
        x, w, b = cache
        dx, dw, db = (dout @ w.T).T, (x.T @ dout).T, dout.sum(axis=0)
        return dx, dw, db

    x = np.ones((2, 3))
    report = check_gradients((affine, backward), x, W, B)
    assert [e.verdict for e in report] == ["wrong", "wrong", "right"]


class WeightsFirst:
    """A layer whose backward returns the gradients of its weights before that of its input."""

    def __init__(self, factor):
        self.weight, self.bias, self.factor = W.copy(), B.copy(), factor

    def forward(self, x):
        self.x = x
        return x @ self.weight + self.bias

    def backward(self, d):
        dweight, dbias, dx = self.factor * self.x.T @ d, d.sum(axis=0), d @ self.weight.T
        return dweight, dbias, dx


def test_a_layer_that_returns_the_gradients_of_its_weights_first():
    assert check_gradients(WeightsFirst(1.0), X).ok
    report = check_gradients(WeightsFirst(2.0), X)
    assert [e.name for e in report if e.verdict == "wrong"] == ["weight"]


def test_a_loss_that_returns_its_gradients_in_another_order():
    def loss(x, w, b):
        error = x @ w + b
        return np.sum(error**2), (2 * error.sum(axis=0), 2 * x.T @ error)

    report = check_gradients(loss, X, W, B)
    assert report.ok and set(report.entries) == {"w", "b"}


# --- numpy.matrix -----------------------------------------------------------------------------------------------------


class MatrixLayer:
    """A layer that computes with numpy.matrix, whose * multiplies matrices."""

    def __init__(self, factor):
        self.W, self.factor = np.asmatrix(W.copy()), factor

    def forward(self, x):
        self.x = np.asmatrix(x)
        return self.x * self.W

    def backward(self, d):
        self.dW = self.factor * self.x.T * d
        return d * self.W.T


@MATRIX
@pytest.mark.parametrize("mode", MODES)
def test_matrices(mode):
    assert check_gradients(MatrixLayer(1.0), X, mode=mode).ok
    report = check_gradients(MatrixLayer(0.5), X, mode=mode)
    assert [(e.name, e.verdict) for e in report] == [("W", "wrong"), ("x", "right")]
    assert report.diagnoses[0].mistake == "scaled by a constant"


@MATRIX
@pytest.mark.parametrize("mode", MODES)
def test_matrices_as_inputs(mode):
    def forward(x, w):
        return x * w, (x, w)

    def backward(d, cache):
        x, w = cache
        return d * w.T, x.T * d

    assert check_gradients((forward, backward), np.asmatrix(X), np.asmatrix(W), mode=mode).ok


# --- objects that raise other errors than AttributeError --------------------------------------------------------------


class Attributes(dict):
    def __getattr__(self, name):
        return self[name]  # a KeyError


class Dense:
    def __init__(self, factor=1.0):
        self.W, self.factor = W.copy(), factor

    def forward(self, x):
        self.x = x
        return x @ self.W

    def backward(self, d):
        self.dW = self.factor * self.x.T @ d
        return d @ self.W.T


class HoldsAttributes(Dense):
    def __init__(self, factor=1.0):
        super().__init__(factor)
        self.settings = Attributes(lr=0.1)


class ReadsADictionary(Dense):
    def __init__(self, factor=1.0):
        super().__init__(factor)
        self.weights = {"W": self.__dict__.pop("W")}

    def __getattr__(self, name):
        return self.__dict__["weights"][name]


class Refuses(Dense):
    def __getattr__(self, name):
        raise RuntimeError(name)


class RefusesAProperty(Dense):
    @property
    def loss(self):
        raise ValueError("call forward first")


class ListsByProperties(Dense):
    @property
    def params(self):
        return [self.W]

    @property
    def grads(self):
        return [self.dW]  # an AttributeError before the first backward


@pytest.mark.parametrize(
    "layer", [HoldsAttributes, ReadsADictionary, Refuses, RefusesAProperty, ListsByProperties], ids=lambda c: c.__name__
)
def test_an_object_whose_attributes_raise_errors(layer):
    assert check_gradients(layer(), X).ok
    report = check_gradients(layer(2.0), X)
    assert report["W"].verdict == "wrong" and report["x"].verdict == "right"


# --- functions that vary within the rounding of their inputs ----------------------------------------------------------


def sine(scale, factor=1.0):
    return (lambda x: (np.sin(scale * x), x)), (lambda d, x: factor * d * scale * np.cos(scale * x))


@pytest.mark.parametrize("mode", MODES)
def test_a_fast_sine_is_measured_with_small_steps(mode):
    assert check_gradients(sine(1e4), 1e4 * X, mode=mode).ok
    report = check_gradients(sine(1e4, 1.01), 1e4 * X, mode=mode)
    assert report.verdict == "wrong"
    if mode == "full":
        assert report.diagnoses[0].mistake == "scaled by a constant"


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("scale", [1e6, 1e8])
def test_a_sine_within_the_rounding_of_its_input_cannot_be_told(scale, mode):
    report = check_gradients(sine(scale), scale * X, mode=mode)
    assert report.verdict == "cannot tell"
    assert "its derivative cannot be measured" in report["x"].reason
