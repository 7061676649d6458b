"""Python numbers that are inputs: which of them the checker differentiates."""

import numpy as np
import pytest

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


def test_a_method_is_not_run():
    class Layer:
        calls = 0

        def forward(self, x, b):
            self.calls += 1
            return x + b

        def backward(self, dy):
            return dy

    layer = Layer()
    adapter = make_adapter(layer, (X, 0.5))
    runs, run = [], adapter.run
    adapter.run = lambda: (runs.append(1), run())[1]
    assert checks_numbers(adapter, Snapshot(layer)) is False and runs == []


def test_the_notes_of_the_run_are_dropped():
    adapter = make_adapter(cost, (X, 0.5, 0.1))
    run = adapter.run

    def run_with_a_note():
        adapter.add_note("the first run")
        return run()

    adapter.run = run_with_a_note
    assert checks_numbers(adapter, Snapshot(X)) and adapter.notes == []
