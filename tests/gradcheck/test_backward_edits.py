"""A mistake that no other search names: the expression of backward that one change makes right."""

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
