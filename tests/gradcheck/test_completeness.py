"""Test that an array that moves the outputs is checked, or makes the verdict "incomplete"."""

import numpy as np
import pytest

import nnscratch as nn
from nnscratch.gradcheck import check_gradients

RNG = np.random.default_rng(7)
X, W = RNG.normal(size=(4, 3)), RNG.normal(size=(3, 2))


class Silent:
    """x @ W. Backward computes no gradient of W."""

    def __init__(self, name="W"):
        self.name = name
        setattr(self, name, W.copy())

    def forward(self, x):
        return x @ getattr(self, self.name)

    def backward(self, d):
        return d @ getattr(self, self.name).T


def test_a_weight_without_a_gradient_makes_the_verdict_incomplete():
    report = check_gradients(Silent(), X)
    assert report.verdict == "incomplete" and not report.ok
    (trap,) = report.traps
    assert trap.kind == "no gradient found" and "self.dW = ..." in trap.message


@pytest.mark.parametrize("name", ["running_mean", "mask", "class_weights", "positional_encoding", "X_mean"])
def test_an_array_with_the_name_of_a_setting_is_a_note(name):
    report = check_gradients(Silent(name), X)
    assert report.ok and any(note.startswith(f"self.{name}: treated as constant") for note in report.notes)


def test_a_read_only_array_is_a_constant():
    layer = Silent()
    layer.W.flags.writeable = False
    assert check_gradients(layer, X).ok


def test_arrays_from_outside_a_function_are_constants():
    assert check_gradients((lambda x: x @ W, lambda d, x: d @ W.T), X).ok


@pytest.mark.parametrize(("name", "verdict"), [("weight", "incomplete"), ("table", "right")])
def test_an_array_of_a_module_is_a_constant_unless_it_is_called_a_weight(name, verdict):
    class Plain(nn.Module):
        def __init__(self):
            setattr(self, name, W.copy())

        def forward(self, x):
            return x @ getattr(self, name)

        def backward(self, dy):
            return dy @ getattr(self, name).T

    assert check_gradients(Plain(), X).verdict == verdict


def test_caches_and_states_are_no_parameters():
    class Cell:
        def __init__(self):
            self.count, self.last = np.zeros(3), np.ones((4, 3))

        def forward(self, x):
            self.out = np.tanh(x + self.count)
            self.count = self.count + 1
            return self.out

        def backward(self, d):
            return d * (1 - self.out**2)

    assert check_gradients(Cell(), X).ok
