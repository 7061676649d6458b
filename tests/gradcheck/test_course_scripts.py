"""Scripts with global weights, lists of parameters, Python numbers and default arguments, as courses write them."""

from types import SimpleNamespace

import numpy as np
import pytest

from nnscratch.gradcheck import check_gradients
from nnscratch.gradcheck.adapters.order import simple_steps

RNG = np.random.default_rng(11)
X, Y = RNG.normal(size=(3, 4)), np.array([[0.0, 1.0, 1.0, 0.0]])
FACTORS = (1, 3)


def check(factor, *arguments):
    """Check code whose gradient is multiplied by `factor`, and return the names of the arrays that were checked."""
    report = check_gradients(*arguments, diagnose=False)
    assert report.verdict == ("right" if factor == 1 else "wrong"), report.text()
    return list(report.entries)


def sigmoid(z):
    return 1 / (1 + np.exp(-z))


# --- min-char-rnn: the weights are globals, and the function returns their gradients and the new state ---

Wxh, Whh, Why = RNG.normal(size=(3, 4)) / 2, RNG.normal(size=(3, 3)) / 2, RNG.normal(size=(4, 3)) / 2
bh, by = RNG.normal(size=(3, 1)), RNG.normal(size=(4, 1))
FACTOR = {"Whh": 1}


def lossFun(inputs, targets, hprev):
    xs, hs, ps, loss = {}, {-1: hprev}, {}, 0
    for t in range(len(inputs)):
        xs[t] = np.zeros((4, 1))
        xs[t][inputs[t]] = 1
        hs[t] = np.tanh(Wxh @ xs[t] + Whh @ hs[t - 1] + bh)
        scores = Why @ hs[t] + by
        ps[t] = np.exp(scores) / np.sum(np.exp(scores))
        loss += -np.log(ps[t][targets[t], 0])
    dWxh, dWhh, dWhy = np.zeros_like(Wxh), np.zeros_like(Whh), np.zeros_like(Why)
    dbh, dby, dhnext = np.zeros_like(bh), np.zeros_like(by), np.zeros_like(hprev)
    for t in reversed(range(len(inputs))):
        dy = np.copy(ps[t])
        dy[targets[t]] -= 1
        dWhy += dy @ hs[t].T
        dby += dy
        draw = (1 - hs[t] ** 2) * (Why.T @ dy + dhnext)
        dbh += draw
        dWxh += draw @ xs[t].T
        dWhh += FACTOR["Whh"] * draw @ hs[t - 1].T
        dhnext = Whh.T @ draw
    return loss, dWxh, dWhh, dWhy, dbh, dby, hs[len(inputs) - 1]


@pytest.mark.parametrize("factor", FACTORS)
def test_global_weights_whose_gradients_are_returned_before_the_new_state(factor, monkeypatch):
    monkeypatch.setitem(FACTOR, "Whh", factor)
    names = check(factor, lossFun, [0, 2, 1], [2, 1, 1], np.zeros((3, 1)))
    assert sorted(names) == sorted(["Wxh", "Whh", "Why", "bh", "by"])


@pytest.mark.parametrize("factor", FACTORS)
def test_a_gradient_of_the_state_is_checked_beside_those_of_the_global_weights(factor):
    W = RNG.normal(size=(3, 3))

    def step(h):
        y = np.tanh(W @ h)
        d = 1 - y**2
        dW, dh = np.outer(d, h), factor * W.T @ d
        return np.sum(y), dW, dh

    assert sorted(check(factor, step, RNG.normal(size=3))) == ["W", "h"]


def test_the_names_are_known_without_the_source_text():
    program = """def loss(y):
    d = 2 * V @ y
    dy, dV = V.T @ d, np.outer(d, y)
    return np.sum((V @ y) ** 2), dV, d + 0, dy
"""
    scope = {"np": np, "V": RNG.normal(size=(3, 3))}
    exec(program, scope)
    assert sorted(check(1, scope["loss"], RNG.normal(size=3))) == ["V", "y"]
    exec(program.replace("2 * V", "3 * V"), scope)
    check(3, scope["loss"], RNG.normal(size=3))


@pytest.mark.parametrize("name", ["LOAD_FAST_LOAD_FAST", "LOAD_FAST_BORROW_LOAD_FAST_BORROW"])
def test_an_instruction_that_loads_two_variables(name):  # of Python 3.13, and of Python 3.14
    step = SimpleNamespace(opname=name, argval=("dx", "dw"), is_jump_target=False)
    assert [(s.name, s.value, s.effect) for s in simple_steps(step)] == [("LOAD_FAST", n, 1) for n in ("dx", "dw")]


# --- one list of parameters, and one list of gradients ---


@pytest.mark.parametrize("container", [list, tuple])
@pytest.mark.parametrize("factor", FACTORS)
def test_a_list_of_parameters_beside_other_inputs(factor, container):
    def loss_and_grads(params, x, y, state):
        w, b = params
        error = np.tanh(w.T @ x + b + state) - y
        d = 2 * error * (1 - (error + y) ** 2)
        return np.sum(error**2), container([factor * x @ d.T, d.sum(axis=1, keepdims=True)])

    params = [RNG.normal(size=(3, 1)), RNG.normal(size=(1, 1))]
    assert check(factor, loss_and_grads, params, X, Y, np.zeros((1, 4))) == ["params[0]", "params[1]"]


# --- the gradients of the attributes of an object, returned by a method with another name than loss ---


class SoftmaxRegression:
    def __init__(self, factor):
        self.W, self.b, self.factor = RNG.normal(size=(4, 3)), np.zeros((1, 3)), factor

    def loss_and_grads(self, X, y):
        scores = X @ self.W + self.b
        p = np.exp(scores) / np.exp(scores).sum(axis=1, keepdims=True)
        d = (p - np.eye(3)[y]) / len(y)
        dW, db = self.factor * X.T @ d, d.sum(axis=0, keepdims=True)
        return -np.mean(np.log(p[np.arange(len(y)), y])), dW, db


@pytest.mark.parametrize("factor", FACTORS)
def test_a_method_that_returns_the_loss_and_the_gradients_of_attributes(factor):
    assert check(factor, SoftmaxRegression(factor).loss_and_grads, X, np.array([0, 2, 1])) == ["W", "b"]


# --- a bias that is a Python number ---


def propagate(w, b, X, Y, factor=1, learning_rate=0.5):
    A = sigmoid(w.T @ X + b)
    cost = -np.mean(Y * np.log(A) + (1 - Y) * np.log(1 - A))
    dw, db = X @ (A - Y).T / X.shape[1], factor * np.mean(A - Y)
    return {"dw": dw, "db": db, "learning_rate": learning_rate}, cost


@pytest.mark.parametrize("bias", [0.7, 0])
@pytest.mark.parametrize("factor", FACTORS)
def test_a_number_with_a_gradient_of_its_name_is_checked(factor, bias):
    assert check(factor, propagate, RNG.normal(size=(3, 1)), bias, X, Y, factor, 0.5) == ["w", "b"]

    def returned(w, b, X):
        y = w.T @ X + b
        dw, db = X.sum(axis=1, keepdims=True), factor * float(y.size)
        return np.sum(y), dw, db

    assert check(factor, returned, RNG.normal(size=(3, 1)), bias, X) == ["w", "b"]


@pytest.mark.parametrize("factor", FACTORS)
def test_a_pair_of_functions_with_a_number(factor):
    def scale_forward(x, a):
        return a * x, (x, a)

    def scale_backward(dout, cache):
        x, a = cache
        dx, da = dout * a, factor * np.sum(dout * x)
        return dx, da

    assert check(factor, (scale_forward, scale_backward), X, 0.3) == ["x", "a"]


def test_a_number_without_a_gradient_is_a_constant():
    def ridge(w, reg):
        dw = 2 * reg * w
        return reg * np.sum(w**2), dw

    def with_accuracy(w, reg):
        accuracy = 0.5
        return reg * np.sum(w**2), {"w": 2 * reg * w, "accuracy": accuracy}

    assert check(1, ridge, X, 0.1) == check(1, with_accuracy, X, 0.1) == ["w"]


# --- an argument of forward with a default, which backward needs too ---


def dropout_net(X, parameters, keep_prob=0.5):
    A = np.tanh(parameters["W"] @ X) * keep_prob
    return A, (X, A)


def square_cost(A, Y):
    return np.sum((A - Y) ** 2)


@pytest.mark.parametrize("given", [(), (0.8,)])
@pytest.mark.parametrize("factor", FACTORS)
def test_an_optional_argument_of_forward_stands_before_the_arguments_of_the_cost(factor, given):
    def dropout_net_backward(X, Y, cache, keep_prob):
        _, A = cache
        return {"dW": factor * 2 * (A - Y) * (1 - (A / keep_prob) ** 2) * keep_prob @ X.T}

    functions = dropout_net, square_cost, dropout_net_backward
    assert check(factor, functions, X, {"W": RNG.normal(size=(1, 3))}, *given, Y) == ["parameters['W']"]


@pytest.mark.parametrize("factor", FACTORS)
def test_backward_gets_the_default_of_an_argument_of_forward(factor):
    def scaled(x, size=3.0):
        return size * x

    def scaled_backward(dout, x, size):
        return factor * size * dout

    assert check(factor, (scaled, scaled_backward), X) == ["x"]


# --- arrays that forward saves: their gradients are those of the inputs ---

x = RNG.normal(size=(2, 3))  # the class below reads self.x, and not this array
saved = None


class Affine:
    def __init__(self, factor):
        self.W, self.factor = RNG.normal(size=(3, 2)), factor

    def forward(self, inputs):
        self.x = inputs
        return inputs @ self.W

    def backward(self, dout):
        dx, dW = self.factor * dout @ self.W.T, self.x.T @ dout
        return dx, dW


@pytest.mark.parametrize("factor", FACTORS)
def test_a_global_array_with_the_name_of_an_attribute_is_another_array(factor):
    assert check(factor, Affine(factor), X.T) == ["W", "inputs"]


@pytest.mark.parametrize("copy", [np.asarray, np.array])
@pytest.mark.parametrize("factor", FACTORS)
def test_the_gradient_of_an_input_has_the_name_of_the_global_that_saves_it(factor, copy):
    W = RNG.normal(size=(3, 2))

    def forward(inputs):
        global saved
        saved = copy(inputs)
        return inputs @ W

    def backward(dout):
        dsaved, dW = factor * dout @ W.T, saved.T @ dout
        return dsaved, dW

    assert check(factor, (forward, backward), X.T) == ["W", "inputs"]


@pytest.mark.parametrize("factor", FACTORS)
def test_an_array_that_equals_an_input_with_a_gradient_is_not_a_copy_of_it(factor):
    W = np.ones((3, 3))

    def loss(h):
        dh, dW = factor * h @ (W + W.T), h.T @ h
        return np.sum((h @ W) * h), dh, dW

    assert check(factor, loss, np.ones((3, 3))) == ["W", "h"]


@pytest.mark.parametrize("factor", FACTORS)
def test_a_backward_that_reads_a_global_instead_of_its_cache_returns_the_gradients_of_the_inputs(factor):
    def forward(inputs, weight):
        return inputs @ weight, (inputs, weight)

    def backward(dout, cache):
        _, weight = cache
        dx, dW = dout @ weight.T, x.T @ dout
        return dx, dW

    assert check(factor, (forward, backward), factor * x, RNG.normal(size=(3, 2))) == ["inputs", "weight"]


def test_the_search_for_numbers_restores_the_inputs():
    def clip(x, limit):
        x[x < limit] = limit  # afterwards, no element of x is below the limit
        return x

    check(3, (clip, lambda dout: dout), X, 0.0)


def test_an_integer_that_counts_rounds_stays_an_integer():
    def double(x, rounds):
        for _ in range(rounds):
            x = 2 * x
        return x

    def double_backward(dout, x, rounds):
        dx, drounds = 2**rounds * dout, 0.0
        return dx, drounds

    assert check(1, (double, double_backward), X, 3) == ["x"]


# --- an optional argument of forward that is not given ---


@pytest.mark.parametrize("factor", FACTORS)
def test_a_target_is_not_taken_as_an_option_of_forward(factor):
    def softmax(x, axis=0):
        e = np.exp(x - x.max(axis, keepdims=True))
        return e / e.sum(axis, keepdims=True)

    def cross_entropy(x, y):
        return -np.sum(y * np.log(x))

    targets = np.eye(3)[:, [0, 1, 2, 1]]
    assert check(factor, (softmax, cross_entropy, lambda p, y: factor * (p - y)), X, targets) == ["x"]


class Net:
    def __init__(self):
        self.W = RNG.normal(size=(3, 2))

    def forward(self, x, training=True):
        self.x, self.y = x, x @ self.W
        return self.y

    def loss(self, target):
        return np.sum((self.y - target) ** 2)

    def backward(self, target):
        d = 2 * (self.y - target)
        self.dW = self.x.T @ d
        return d @ self.W.T


def test_a_loss_that_takes_only_the_target_beside_an_option_of_forward():
    net = Net()
    report = check_gradients((net.forward, net.loss, net.backward), X.T, RNG.normal(size=(4, 2)))
    assert report.ok and not np.any(report.entries["W"].numeric == 0)
