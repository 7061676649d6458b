"""Python numbers that are inputs: which of them the checker differentiates."""

import numpy as np
import pytest

from nnscratch.gradcheck import check_gradients
from nnscratch.gradcheck.adapters import make_adapter
from nnscratch.gradcheck.number_inputs import checks_numbers, numbers_as_arrays
from nnscratch.gradcheck.snapshot import Snapshot

X = np.array([[1.0, 2.0, 3.0]])


def numbers_of(subject, *inputs):
    """Return the answer of `checks_numbers`, the names of the numbers, and the adapter."""
    adapter = make_adapter(subject, inputs)
    return checks_numbers(adapter, Snapshot(adapter.source, inputs)), list(adapter.numbers), adapter


def cost(x, b, rate):
    return {"dx": np.ones_like(x), "db": float(x.size)}, float(np.sum(x + b))


def test_a_number_is_differentiated_if_a_gradient_has_its_name():
    answer, names, adapter = numbers_of(cost, X, 0.5, 0.1)
    assert answer and names == ["b"]
    x, b, rate = numbers_as_arrays(adapter, (X, 0.5, 0.1))
    assert x is X and rate == 0.1 and isinstance(rate, float)
    assert isinstance(b, np.ndarray) and b.dtype == np.float64 and b.ravel().tolist() == [0.5]


def test_without_a_number_the_code_is_not_run():
    calls = []

    def counted(x, b):
        calls.append(1)
        return {"dx": np.ones_like(x), "db": np.ones_like(b)}, float(np.sum(x + b))

    assert numbers_of(counted, X, np.array([0.5]))[0] is False and calls == []


def test_a_number_without_a_gradient_is_a_constant():
    def shifted(x, b):
        return {"dx": np.ones_like(x)}, float(np.sum(x + b))

    assert numbers_of(shifted, X, 0.5)[:2] == (False, [])


def test_an_error_of_the_code_is_left_to_the_check():
    def fails(x, b):
        raise ZeroDivisionError

    assert numbers_of(fails, X, 0.5)[:2] == (False, [])


@pytest.mark.parametrize("bias", [0.5, 2.0])
def test_the_run_leaves_no_trace(bias):
    state = {"calls": 0}

    def written(x, b):
        state["calls"] += 1
        x *= 2
        return {"dx": 2 * np.ones_like(x), "db": float(x.size)}, float(np.sum(x + b))

    answer, _, adapter = numbers_of(written, X, bias)
    assert answer and state == {"calls": 0} and adapter.notes == []
    assert adapter.inputs[0].tolist() == X.tolist() == [[1, 2, 3]]


class PReLU:
    calls = 0

    def __init__(self, factor=1.0):
        self.factor = factor

    def forward(self, x, alpha):
        self.x, self.alpha = x, alpha
        self.calls += 1
        return np.where(x > 0, x, alpha * x)

    def backward(self, dy):
        dx = np.where(self.x > 0, dy, self.alpha * dy)
        dalpha = self.factor * np.sum(dy * np.minimum(self.x, 0))
        return dx, dalpha


def test_a_number_that_a_method_takes():
    layer = PReLU()
    for subject in (layer, (layer.forward, layer.backward)):
        answer, names, _ = numbers_of(subject, -X, 0.25)
        assert answer and names == ["alpha"] and layer.calls == 0 and not hasattr(layer, "x")
        assert list(check_gradients(subject, -X, 0.25).entries) == ["x", "alpha"]
    wrong = check_gradients(PReLU(factor=3.0), -X, 0.25)
    assert wrong["x"].verdict == "right" and wrong["alpha"].verdict == "wrong" and wrong.notes == []


def test_the_notes_of_the_run_are_dropped():
    adapter = make_adapter(cost, (X, 0.5, 0.1))
    run = adapter.run

    def run_with_a_note():
        adapter.add_note("the first run")
        return run()

    adapter.run = run_with_a_note
    assert checks_numbers(adapter, Snapshot(X)) and adapter.notes == []
