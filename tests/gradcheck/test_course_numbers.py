"""Python numbers, lists of numbers, and objects that compute gradients themselves, as micrograd's Value."""

import math
import random

import numpy as np
import pytest

from nnscratch.gradcheck import check_gradients

MISTAKES = ("", "scale", "sign", "overwritten")


def check(want_right, *arguments, **options):
    report = check_gradients(*arguments, diagnose=False, **options)
    assert report.verdict == ("right" if want_right else "wrong"), report.text()
    return report


class Value:
    """A scalar with a gradient, as in micrograd."""

    mistake = ""

    def __init__(self, data, _children=()):
        self.data, self.grad, self._prev, self._backward = data, 0.0, set(_children), lambda: None

    def __add__(self, other):
        other = other if isinstance(other, Value) else Value(other)
        out = Value(self.data + other.data, (self, other))

        def _backward():
            self.grad += out.grad
            other.grad += out.grad

        out._backward = _backward
        return out

    def __mul__(self, other):
        other = other if isinstance(other, Value) else Value(other)
        out = Value(self.data * other.data, (self, other))

        def _backward():
            factor = {"scale": 2, "sign": -1}.get(self.mistake, 1)
            if self.mistake == "overwritten":
                self.grad = other.data * out.grad
            else:
                self.grad += factor * other.data * out.grad
            other.grad += self.data * out.grad

        out._backward = _backward
        return out

    def tanh(self):
        out = Value(math.tanh(self.data), (self,))

        def _backward():
            self.grad += (1 - out.data**2) * out.grad

        out._backward = _backward
        return out

    __rmul__, __radd__ = __mul__, __add__

    def backward(self):
        topo, visited = [], set()

        def build(v):
            if v not in visited:
                visited.add(v)
                for child in v._prev:
                    build(child)
                topo.append(v)

        build(self)
        self.grad = 1.0
        for v in reversed(topo):
            v._backward()


class Neuron:
    def __init__(self, n):
        self.w, self.b = [Value(random.uniform(-1, 1)) for _ in range(n)], Value(0.3)

    def __call__(self, x):
        return sum((wi * xi for wi, xi in zip(self.w, x, strict=True)), self.b).tanh()

    def parameters(self):
        return [*self.w, self.b]


class MLP:
    def __init__(self, sizes):
        self.layers = [[Neuron(n) for _ in range(m)] for n, m in zip(sizes[:-1], sizes[1:], strict=True)]

    def __call__(self, x):
        for layer in self.layers:
            x = [neuron(x) for neuron in layer]
        return x

    def parameters(self):
        return [p for layer in self.layers for neuron in layer for p in neuron.parameters()]


@pytest.mark.parametrize("mistake", MISTAKES)
def test_a_function_of_values(mistake, monkeypatch):
    monkeypatch.setattr(Value, "mistake", mistake)
    a, b = Value(2.0), Value(-3.0)
    report = check(not mistake, lambda a, b: a * b + (a * (b + 1.5)).tanh(), a, b)
    assert set(report.entries) == {"a", "b"} and (a.data, a.grad, b.grad) == (2.0, 0.0, 0.0)


@pytest.mark.parametrize("mistake", MISTAKES)
def test_a_network_of_values_with_several_outputs(mistake, monkeypatch):
    random.seed(3)
    monkeypatch.setattr(Value, "mistake", mistake)
    net = MLP([2, 3, 2])
    before = [p.data for p in net.parameters()]
    report = check_gradients(net, [Value(0.5), Value(-1.0)], diagnose=False)
    # no parameter is used twice as the left factor here, so overwriting its gradient changes nothing
    assert report.verdict == ("right" if mistake in ("", "overwritten") else "wrong"), report.text()
    assert report["layers[0][0].w"].shape == (2,) and report["x"].shape == (2,)
    assert [p.data for p in net.parameters()] == before and all(p.grad == 0 for p in net.parameters())
    assert check_gradients(net, [0.5, -1.0], diagnose=False).verdict == report.verdict


class Tensor:
    """An array with a gradient."""

    def __init__(self, data, parents=()):
        self.data, self.grad, self.parents, self.pull = data, np.zeros_like(data), parents, None

    def __matmul__(self, other):
        out = Tensor(self.data @ other.data, (self, other))
        out.pull = lambda g: (g @ other.data.T, Tensor.factor * self.data.T @ g)
        return out

    factor = 1

    def backward(self, grad=None):
        grad = np.ones_like(self.data) if grad is None else grad
        self.grad = self.grad + grad
        for parent, g in zip(self.parents, self.pull(grad) if self.pull else (), strict=True):
            parent.backward(g)


@pytest.mark.parametrize("factor", [1, 2])
def test_a_tensor_whose_backward_takes_a_gradient(factor, monkeypatch):
    monkeypatch.setattr(Tensor, "factor", factor)
    rng = np.random.default_rng(0)
    x, w = Tensor(rng.normal(size=(4, 3))), Tensor(rng.normal(size=(3, 2)))
    report = check(factor == 1, lambda x, w: x @ w, x, w)
    assert report["x"].verdict == "right"


class Variable(Tensor):
    """An array with a gradient, as in DeZero: the argument of backward is a flag."""

    def __matmul__(self, other):
        out = Variable(self.data @ other.data, (self, other))
        out.pull = lambda g: (g @ other.data.T, Tensor.factor * self.data.T @ g)
        return out

    def __mul__(self, dy):
        out = Variable(self.data * dy, (self,))
        out.pull = lambda g: (g * dy,)
        return out

    def sum(self):
        out = Variable(self.data.sum(), (self,))
        out.pull = lambda g: (g * np.ones_like(self.data),)
        return out

    def backward(self, retain_grad=False, start=None):
        assert retain_grad is False
        start = np.ones_like(self.data) if start is None else start
        self.grad = self.grad + start
        for parent, g in zip(self.parents, self.pull(start) if self.pull else (), strict=True):
            parent.backward(start=g)


@pytest.mark.parametrize("factor", [1, 2])
def test_a_variable_whose_backward_takes_a_flag(factor, monkeypatch):
    monkeypatch.setattr(Tensor, "factor", factor)
    rng = np.random.default_rng(0)
    x, w = Variable(rng.normal(size=(4, 3))), Variable(rng.normal(size=(3, 2)))
    report = check(factor == 1, lambda x, w: x @ w, x, w)
    assert report["x"].verdict == "right"


@pytest.mark.parametrize("factor", [1, 2, -1])
def test_a_python_number(factor):
    def f(x):
        assert type(x) is float
        return math.sin(x) * x

    def df(x):
        assert type(x) is float
        return factor * (math.cos(x) * x + math.sin(x))

    check(factor == 1, (f, df), 1.3)
    check(factor == 1, lambda x: (f(x), df(x)), 1.3)


@pytest.mark.parametrize("factor", [1, 2, -1])
def test_scalar_functions_with_a_context(factor):
    class Mul:
        @staticmethod
        def forward(ctx, a, b):
            ctx.save_for_backward(a, b)
            return a * b

        @staticmethod
        def backward(ctx, d_output):
            a, b = ctx.saved_values
            return factor * b * d_output, a * d_output

    report = check(factor == 1, Mul, 2.0, 3.0)
    assert report["b"].verdict == "right"


@pytest.mark.parametrize("factor", [1, 2, -1])
def test_lists_of_numbers(factor):
    def dot(a, b):
        assert type(a) is type(b) is list
        return sum(x * y for x, y in zip(a, b, strict=True))

    def dot_gradient(a, b):
        return [factor * y for y in b], list(a)

    def softplus(xs):
        return [math.log(1 + math.exp(x)) for x in xs]

    def softplus_backward(dys, xs):
        return [factor * dy / (1 + math.exp(-x)) for dy, x in zip(dys, xs, strict=True)]

    report = check(factor == 1, (dot, dot_gradient), [1.0, 2.0, 3.0], [0.5, -1.0, 2.0])
    assert report["b"].verdict == "right"
    check(factor == 1, (softplus, softplus_backward), [1.0, -2.0, 0.5])
    check(factor == 1, lambda x: (dot(x, x), [2 * factor * v for v in x]), [1.0, 2.0])


@pytest.mark.parametrize("factor", [1, 2, -1])
def test_nested_dictionaries_of_lists_of_numbers(factor):
    def forward(x, params, scale):
        assert type(params["out"]["w"]) is list and type(params["rate"]) is float
        h = [math.tanh(sum(w * v for w, v in zip(row, x, strict=True))) for row in params["hidden"]["w"]]
        return {"h": h, "y": scale * sum(w * v for w, v in zip(params["out"]["w"], h, strict=True))}

    def loss(x, found, target):
        error = (found["y"] - target) ** 2
        return error + 1.0, error, 1.0  # the loss, followed by its parts

    def backward(x, found, params, scale, target):
        dy = 2 * scale * (found["y"] - target)
        dh = [factor * dy * w * (1 - h * h) for w, h in zip(params["out"]["w"], found["h"], strict=True)]
        return {"hidden": {"w": [[d * v for v in x] for d in dh]}, "out": {"w": [dy * h for h in found["h"]]}}

    params = {"hidden": {"w": [[0.3, -0.5], [0.2, 0.9]]}, "out": {"w": [0.7, -1.1]}, "rate": 0.1}
    report = check(factor == 1, (forward, loss, backward), [1.0, -2.0], params, 1.5, 0.3)
    assert report["params['out']['w']"].verdict == "right"
    assert any("uses the first as the loss" in note for note in report.notes)


def test_a_number_next_to_arrays_is_a_constant():
    def ridge(w, strength):
        return strength * np.sum(w**2), 2 * strength * w

    assert list(check(True, ridge, np.ones(3), 0.1).entries) == ["w"]
