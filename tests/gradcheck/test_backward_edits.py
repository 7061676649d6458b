"""A mistake that no other search names: the expression of backward that one change makes right."""

import itertools

import numpy as np
import pytest

import nnscratch as nn
from nnscratch.gradcheck import check_gradients


def inputs(*shape, seed=0):
    return np.random.default_rng(seed).normal(size=shape)


class Leaky(nn.Module):
    """LeakyReLU, and the square of its output. A subclass writes a wrong backward."""

    def forward(self, x):
        y = np.where(x > 0, x, 0.1 * x)
        self.save_for_backward(x, y)
        return y


class OtherVariable(Leaky):
    def backward(self, dy):
        x, y = self.saved()
        return np.where(x > 0, x, 0.1 * dy)


class OtherVariableBelow(Leaky):
    def backward(self, dy):
        x, y = self.saved()
        return np.where(x > 0, dy, 0.1 * x)


class FactorMissing(Leaky):
    def backward(self, dy):
        x, y = self.saved()
        return np.where(x > 0, dy, 0.1)


class OtherNumber(Leaky):
    def backward(self, dy):
        x, y = self.saved()
        return np.where(x > 0, dy, 0.2 * dy)


@pytest.mark.parametrize(
    "layer, mistake, words",
    [
        (OtherVariable, "the wrong array used", "the second `x` is the wrong variable in `return np.where(x > 0, x, 0"),
        (OtherVariableBelow, "the wrong array used", "the second `x` is the wrong variable"),
        (FactorMissing, "a factor missing", "a factor is missing at `0.1`"),
    ],
)
def test_the_wrong_expression_of_backward_is_named(layer, mistake, words):
    diagnosis = check_gradients(layer(), inputs(4, 3))["x"].diagnosis
    assert diagnosis.mistake == mistake and words in diagnosis.evidence


def test_a_comparison_with_the_wrong_array_is_named():
    def forward(x, w, g):
        a, v = x @ w, x @ g
        return np.maximum(a, v), (x, a, v, w, g)

    def backward(dy, cache):
        x, a, v, w, g = cache
        da = dy * (a > 0)
        dv = dy * (v >= a)
        return da @ w.T + dv @ g.T, x.T @ da, x.T @ dv

    report = check_gradients((forward, backward), inputs(4, 3), inputs(3, 5, seed=1), inputs(3, 5, seed=2))
    assert report["g"].verdict == "right"
    for name in ("x", "w"):
        assert report[name].diagnosis.mistake == "another mask applied"
        assert "the comparison `a > 0` is wrong" in report[name].diagnosis.evidence


def test_the_functions_are_unchanged_after_the_search():
    code, x = OtherVariable.backward.__code__, inputs(4, 3)
    check_gradients(OtherVariable(), x)
    assert OtherVariable.backward.__code__ is code


def test_random_gradients_are_not_explained():
    noise = inputs(4, 3, seed=5)

    class Noise(Leaky):
        def backward(self, dy):
            x, y = self.saved()
            return np.where(x > 0, noise, 0.1 * dy)

    found = check_gradients(Noise(), inputs(4, 3))["x"]
    assert found.verdict == "wrong"
    assert found.diagnosis is None or "noise" in found.diagnosis.evidence


class Swish:
    """A layer that keeps its arrays in attributes, which do not exist before the first forward."""

    def forward(self, x):
        self.s = 1 / (1 + np.exp(-x))
        self.y = x * self.s
        return self.y

    def backward(self, dy):
        return dy * (self.y + self.s * (1 - self.s))


def test_the_right_variable_may_be_an_attribute_that_forward_sets():
    diagnosis = check_gradients(Swish(), inputs(4, 3))["x"].diagnosis
    assert diagnosis.mistake == "the wrong array used" and "the second `self.s` is the wrong" in diagnosis.evidence


def policy_loss(theta, states, actions, returns):
    z = states @ theta
    p = np.exp(z) / np.exp(z).sum(axis=1, keepdims=True)
    rows = np.arange(len(actions))
    onehot = np.zeros_like(p)
    onehot[rows, actions] = 1
    d = (p - onehot * returns[:, None]) / len(actions)
    return -np.mean(np.log(p[rows, actions]) * returns), states.T @ d


def hinge_loss(w, x, labels):
    loss, dw = 0.0, np.zeros_like(w)
    for i in range(len(x)):
        scores = x[i] @ w
        for j in range(w.shape[1]):
            margin = scores[j] - scores[labels[i]] + 1
            if j != labels[i] and margin > 0:
                loss += margin
                dw[:, j] = x[i]
                dw[:, labels[i]] -= x[i]
    return loss, dw


class Model:
    """A model whose loss computes the gradients too."""

    def __init__(self):
        self.params = {"W": inputs(5, 3)}

    def loss(self, ids, targets):
        e = self.params["W"][ids] - targets
        dW = np.zeros_like(self.params["W"])
        np.add.at(dW, (2 * ids) % 5, 2 * e)
        return np.sum(e**2), {"W": dW}


@pytest.mark.parametrize(
    "subject, arguments, mistake, words",
    [
        (policy_loss, (inputs(4, 3), inputs(6, 4, seed=1), np.array([0, 2, 1, 1, 0, 2]), inputs(6, seed=2)),
         "a factor missing", "`returns[:, None]` multiplies only one term"),
        (hinge_loss, (inputs(5, 4), inputs(6, 5, seed=1), np.array([0, 1, 3, 2, 2, 1])),
         "rows met twice counted once", "`=` overwrites the earlier terms of `dw[:, j]`"),
        (Model(), (np.array([4, 3, 3, 1]), inputs(4, 3)), "a factor too many", "the factor `2` does not belong"),
    ],
)  # fmt: skip
def test_a_function_that_returns_the_loss_and_the_gradient_is_searched(subject, arguments, mistake, words):
    (entry,) = check_gradients(subject, *arguments)
    assert entry.verdict == "wrong" and entry.diagnosis.mistake == mistake
    assert words in entry.diagnosis.evidence


def test_a_wrong_difference_of_which_only_the_sign_is_used():
    def absolute(p, t, s):
        return np.abs(p - t * s).sum()

    def absolute_backward(p, t, s):
        e = p - t
        return np.sign(e)

    entry = check_gradients((absolute, absolute_backward), inputs(5, 3), inputs(5, 3, seed=1), np.full((5, 3), 3.0))[
        "p"
    ]
    assert entry.diagnosis.mistake == "a factor missing" and "at `p` in `e = p - t`" in entry.diagnosis.evidence


def recurrent(order):
    """Return forward and backward of h_t = tanh(x_t w + h_{t-1} u); backward runs its rounds in the given order."""

    def forward(x, h0, w, u):
        hs = [h0]
        for t in range(len(x)):
            hs.append(np.tanh(x[t] @ w + hs[-1] @ u))
        return np.stack(hs[1:]), (x, hs, w, u)

    def backward(dhs, cache):
        x, hs, w, u = cache
        dx, dw, du, dh = np.zeros_like(x), np.zeros_like(w), np.zeros_like(u), np.zeros_like(hs[0])
        for t in order(range(len(x))):
            da = (dhs[t] + dh) * (1 - hs[t + 1] ** 2)
            dx[t], dh = da @ w.T, da @ u.T
            dw += np.outer(x[t], da)
            du += np.outer(hs[t], da)
        return dx, dh, dw, du

    return forward, backward


def test_the_loop_over_time_runs_forwards():
    arrays = inputs(4, 3), inputs(2, seed=1), inputs(3, 2, seed=2), inputs(2, 2, seed=3)
    assert check_gradients(recurrent(reversed), *arrays).ok
    report = check_gradients(recurrent(list), *arrays)
    assert {e.diagnosis.mistake for e in report} == {"loop in the wrong order"} and len(list(report)) == 4
    assert "`for t in order(range(len(x))):`" in report["w"].diagnosis.evidence


NUMBERS = itertools.count()


def test_a_loop_that_ends_with_break_is_not_run_to_the_end():
    """The search reverses the loop. The items of such a loop may never end; here, there are 100000."""

    def powers_backward(dy, x):
        for _, k in zip(NUMBERS, range(100_000), strict=False):
            if k == 3:
                return np.sin(x) * dy + k

    check_gradients((lambda x: (x**4, x), powers_backward), inputs(3))
    assert next(NUMBERS) < 100_000
