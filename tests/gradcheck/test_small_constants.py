"""Constants against log(0) and division by 0: a gradient that leaves them out is right; other errors are wrong."""

from collections import OrderedDict

import numpy as np
import pytest

from nnscratch.gradcheck import check_gradients

MODES = ("full", "sampled", "directional")


def drawn(*shape, low=None, seed=0):
    rng = np.random.default_rng(seed)
    return rng.normal(size=shape) if low is None else rng.uniform(low, 2, shape)


def softmax(x):
    e = np.exp(x - x.max(axis=-1, keepdims=True))
    return e / e.sum(axis=-1, keepdims=True)


class SoftmaxWithLoss:
    eps = 1e-7

    def forward(self, x, t):
        self.t, self.y = t, softmax(x)
        return -np.sum(np.log(self.y[np.arange(len(x)), t] + self.eps)) / len(x)

    def backward(self, dout=1):
        dx = self.y.copy()
        dx[np.arange(len(self.t)), self.t] -= 1
        return dout * dx / len(self.t)


class Affine:
    def __init__(self, W, b):
        self.W, self.b = W, b

    def forward(self, x):
        self.x = x
        return x @ self.W + self.b

    def backward(self, dout):
        self.dW, self.db = self.x.T @ dout, dout.sum(axis=0)
        return dout @ self.W.T


class ReLU:
    def forward(self, x):
        self.mask = x <= 0
        out = x.copy()
        out[self.mask] = 0
        return out

    def backward(self, dout):
        dout[self.mask] = 0
        return dout


class TwoLayerNet:
    """The network of a well-known book: layers in an OrderedDict, a loss, and ``gradient``."""

    factor = 1.0

    def __init__(self):
        self.params = {
            "W1": drawn(5, 6),
            "b1": np.full(6, 0.1),
            "W2": drawn(6, 3, seed=1),
            "b2": np.zeros(3),
        }
        self.layers = OrderedDict(
            Affine1=Affine(self.params["W1"], self.params["b1"]),
            Relu1=ReLU(),
            Affine2=Affine(self.params["W2"], self.params["b2"]),
        )
        self.last = SoftmaxWithLoss()

    def loss(self, x, t):
        for layer in self.layers.values():
            x = layer.forward(x)
        return self.last.forward(x, t)

    def gradient(self, x, t):
        self.loss(x, t)
        dout = self.last.backward(1)
        for layer in reversed(self.layers.values()):
            dout = layer.backward(dout)
        first, second = self.layers["Affine1"], self.layers["Affine2"]
        return {"W1": first.dW, "b1": first.db, "W2": self.factor * second.dW, "b2": second.db}


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("eps", [1e-7, 1e-6, 1e-5])
def test_a_softmax_with_loss_whose_gradient_leaves_the_constant_out_is_right_with_a_note(eps, mode):
    layer = SoftmaxWithLoss()
    layer.eps = eps
    report = check_gradients(layer, 3 * drawn(5, 4), np.array([0, 2, 1, 3, 3]), mode=mode)
    assert report.ok, report
    note = next(note for note in report.notes if "small constants are left out" in note)
    assert "test_small_constants.py" in note and "+ self.eps" in note


@pytest.mark.parametrize("mode", MODES)
def test_the_two_layer_net_of_a_book_is_right_and_with_a_mistake_wrong(mode):
    x, t = drawn(4, 5, seed=2), np.array([0, 2, 1, 1])
    net = TwoLayerNet()
    report = check_gradients(net, x, t, mode=mode)
    assert report.ok, report
    net.factor = 1.0001
    report = check_gradients(net, x, t, mode=mode)
    assert report["W2"].verdict == "wrong", report
    assert report["W1"].verdict == "right", report


def divided(x, y):
    return x / (y + 1e-5), (x, y)


def batchnorm(x):
    v = x.var(axis=0)
    xhat = (x - x.mean(axis=0)) / np.sqrt(v + 1e-5)
    return xhat, (xhat, v)


def batchnorm_backward(d, cache, eps=0.0):
    xhat, v = cache
    return (d - d.mean(axis=0) - xhat * (d * xhat).mean(axis=0)) / np.sqrt(v + eps)


def unit(x):
    n = np.linalg.norm(x, axis=1, keepdims=True)
    return x / (n + 1e-5), (x, n)


def unit_backward(d, cache):
    x, n = cache
    return (d - x / n * (x / n * d).sum(axis=1, keepdims=True)) / n


def bce(p, y):
    return -np.mean(y * np.log(p + 1e-6) + (1 - y) * np.log(1 - p + 1e-6)), (p, y)


def bce_backward(d, cache):
    p, y = cache
    return d * (p - y) / (p * (1 - p)) / p.size


PAIRS = {
    "log(x + eps)": (lambda x: (np.log(x + 1e-6), x), lambda d, x: d / x, [drawn(4, 3, low=0.1)]),
    "eps in backward only": (lambda x: (np.log(x), x), lambda d, x: d / (x + 1e-6), [drawn(4, 3, low=0.1)]),
    "log(p + eps)": (bce, bce_backward, [drawn(4, 3, low=0.1) / 2.5, np.eye(4, 3)]),
    "sqrt(v + eps)": (lambda v: (np.sqrt(v + 1e-5), v), lambda d, v: d / (2 * np.sqrt(v)), [drawn(4, 3, low=0.1)]),
    "x / (y + eps)": (divided, lambda d, c: (d / c[1], -d * c[0] / c[1] ** 2), [drawn(4, 3), drawn(4, 3, low=0.5)]),
    "x / (norm + eps)": (unit, unit_backward, [drawn(5, 3)]),
    "batchnorm": (batchnorm, batchnorm_backward, [drawn(6, 3)]),
}


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("name", PAIRS)
def test_a_small_constant_in_one_of_forward_and_backward_is_a_note(name, mode):
    forward, backward, inputs = PAIRS[name]
    report = check_gradients((forward, backward), *inputs, mode=mode)
    assert report.ok, report
    assert any("small constants" in note for note in report.notes), report


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("name", PAIRS)
def test_a_small_constant_hides_no_mistake(name, mode):
    forward, backward, inputs = PAIRS[name]

    def first(result, factor):
        return (factor * result[0], *result[1:]) if isinstance(result, tuple) else factor * result

    for factor in (1.00003, -1, 2):
        wrong = forward, lambda *a, k=factor: first(backward(*a), k)
        report = check_gradients(wrong, *inputs, mode=mode, diagnose=False)
        assert report.verdict == "wrong", report


def test_another_constant_in_backward_is_wrong():
    report = check_gradients((batchnorm, lambda d, c: batchnorm_backward(d, c, 1e-3)), drawn(6, 3))
    assert report.verdict == "wrong", report


def test_a_small_factor_is_no_such_constant():
    """A weight decay of 1e-5 whose gradient is missing."""

    def f(x, w):
        return 0.5 * np.sum((x @ w) ** 2) + 0.5 * 1e-5 * np.sum(w * w), {"w": x.T @ (x @ w)}

    assert check_gradients(f, drawn(4, 3), 100 + drawn(3, 2, seed=1)).verdict == "wrong"


def test_a_constant_that_changes_the_gradient_much_is_not_called_right():
    v = np.array([1e-5, 0.5, 1.0])
    report = check_gradients((lambda v: (np.sqrt(v + 1e-5), v), lambda d, v: d / (2 * np.sqrt(v))), v)
    assert report.verdict == "cannot tell", report
    assert "small constants" in report["v"].reason
