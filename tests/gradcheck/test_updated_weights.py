"""A backward that updates the weights with a learning rate in an attribute."""

import math

import numpy as np
import pytest

from nnscratch.gradcheck import check_gradients

X = np.random.default_rng(0).normal(size=(5, 3))
Y = np.random.default_rng(1).uniform(size=(5, 2))


class Network:
    """Two layers. The backward of the loss updates the weights at its end."""

    factor = 1

    def __init__(self):
        rng = np.random.default_rng(2)
        self.W1, self.W2, self.lr = rng.normal(size=(3, 4)), rng.normal(size=(4, 2)), 0.5

    def forward(self, x):
        self.x, self.h = x, np.tanh(x @ self.W1)
        return self.h @ self.W2

    def loss(self, y, target):
        self.error = y - target
        return 0.5 * np.sum(self.error**2)

    def backward(self, target):
        dW2 = self.h.T @ self.error
        dW1 = self.x.T @ (self.error @ self.W2.T * (1 - self.h**2))
        self.W1 -= self.factor * self.lr * dW1
        self.W2 = self.W2 - self.lr * dW2


@pytest.mark.parametrize("factor", [1, 2, -1])
def test_a_network_that_updates_its_weights(factor):
    network = Network()
    network.factor, weights = factor, network.W1.copy()
    report = check_gradients(network, X, Y)
    assert report["W1"].verdict == ("right" if factor == 1 else "wrong") and report["W2"].verdict == "right"
    assert report.ok == (factor == 1)
    assert any("divided by self.lr" in note for note in report.notes)
    assert network.lr == 0.5 and (network.W1 == weights).all()
    if factor == -1:
        assert report["W1"].diagnosis.mistake == "sign flipped"


def test_a_weight_that_is_updated_before_it_is_used():
    class TooEarly(Network):
        def backward(self, target):
            self.W2 = self.W2 - self.lr * self.h.T @ self.error
            self.W1 -= self.lr * self.x.T @ (self.error @ self.W2.T * (1 - self.h**2))

    report = check_gradients(TooEarly(), X, Y, diagnose=False)
    assert report["W1"].verdict == "wrong" and report["W2"].verdict == "right"
    assert any("the change of W1 is not proportional to the learning rate" in note for note in report.notes)


class Descent:
    """W - learning_rate * dW, with the last gradient in an attribute."""

    def __init__(self):
        self.learning_rate, self.last = 0.01, None

    def update(self, w, dw):
        self.last = dw
        return w - self.learning_rate * dw


class Adam(Descent):
    def update(self, w, dw):
        return w - self.learning_rate * dw / (np.abs(dw) + 1e-8)


class Layer:
    """A layer with one optimizer for each weight."""

    factor = 1

    def __init__(self, optimizer):
        self.W, self.w0 = np.random.default_rng(3).normal(size=(3, 2)), np.ones((1, 2))
        self.W_opt, self.w0_opt = optimizer(), optimizer()

    def forward_pass(self, x, training=True):
        self.x = x
        return x @ self.W + self.w0

    def backward_pass(self, accum_grad):
        W = self.W
        self.W = self.W_opt.update(self.W, self.factor * self.x.T @ accum_grad)
        self.w0 = self.w0_opt.update(self.w0, accum_grad.sum(axis=0, keepdims=True))
        return accum_grad @ W.T


@pytest.mark.parametrize("factor", [1, 2, -1])
def test_a_layer_that_calls_its_optimizers(factor):
    layer = Layer(Descent)
    layer.factor = factor
    report = check_gradients(layer, X, diagnose=False)
    assert report["W"].verdict == ("right" if factor == 1 else "wrong")
    assert report["w0"].verdict == report["x"].verdict == "right"


def test_an_optimizer_with_another_rule_gives_no_gradient():
    report = check_gradients(Layer(Adam), X)
    assert report.verdict == "incomplete" and list(report.entries) == ["x"]


@pytest.mark.parametrize("factor", [1, 2])
def test_a_network_of_lists_and_numbers(factor):
    class Neuron:
        def __init__(self):
            self.w, self.b, self.eta = [0.5, -0.3], 0.2, 0.1

        def forward(self, x):
            self.x = x
            self.out = 1 / (1 + math.exp(-sum(w * v for w, v in zip(self.w, x, strict=True)) - self.b))
            return self.out

        def compute_loss(self, out, target):
            return (out - target) ** 2

        def backward(self, target):
            d = 2 * (self.out - target) * self.out * (1 - self.out)
            for j in range(2):
                self.w[j] -= factor * self.eta * d * self.x[j]
            self.b -= self.eta * d

    neuron = Neuron()
    report = check_gradients(neuron, [0.5, -1.0], 1.0, diagnose=False)
    assert report["w"].verdict == ("right" if factor == 1 else "wrong") and report["b"].verdict == "right"
    assert (neuron.w, neuron.b, neuron.eta) == ([0.5, -0.3], 0.2, 0.1)


def test_a_network_that_also_keeps_its_gradients_is_checked_by_them():
    class Keeps(Network):
        def backward(self, target):
            self.dW2 = self.h.T @ self.error
            self.dW1 = self.x.T @ (self.error @ self.W2.T * (1 - self.h**2))
            self.W1, self.W2 = self.W1 - self.lr * self.dW1, self.W2 - self.lr * self.dW2

    report = check_gradients(Keeps(), X, Y)
    assert report.ok and sorted(report.entries) == ["W1", "W2"]
    assert not any("learning rate" in note or "self.lr" in note for note in report.notes)


class Momentum(Layer):
    """The velocities change in proportion to the learning rate and to dy too, but forward does not read them."""

    def __init__(self):
        super().__init__(Descent)
        self.lr, self.v, self.v0 = 0.1, np.zeros((3, 2)), np.zeros((1, 2))

    def backward_pass(self, accum_grad):
        dx = accum_grad @ self.W.T
        self.v = 0.9 * self.v - self.lr * self.factor * self.x.T @ accum_grad
        self.v0 = 0.9 * self.v0 - self.lr * accum_grad.sum(axis=0, keepdims=True)
        self.W, self.w0 = self.W + self.v, self.w0 + self.v0
        return dx


@pytest.mark.parametrize("factor", [1, 2])
def test_the_velocity_of_momentum_is_no_weight(factor):
    layer = Momentum()
    layer.factor = factor
    report = check_gradients(layer, X, diagnose=False)
    assert sorted(report.entries) == ["W", "w0", "x"] and report["w0"].verdict == "right"
    assert report["W"].verdict == report.verdict == ("right" if factor == 1 else "wrong")


def test_an_update_with_weight_decay_gives_no_gradient():
    class Decay(Momentum):
        def backward_pass(self, accum_grad):
            W = self.W
            self.W = self.W - self.lr * (self.x.T @ accum_grad + 1e-4 * self.W)
            self.w0 = self.w0 - self.lr * accum_grad.sum(axis=0, keepdims=True)
            return accum_grad @ W.T

    report = check_gradients(Decay(), X, diagnose=False)
    assert report.verdict == "incomplete" and sorted(report.entries) == ["w0", "x"]
