"""Test convention="mean": the axis of the examples, and the gradients that are multiplied by their number."""

from types import SimpleNamespace

import numpy as np
import pytest

import nnscratch as nn
from nnscratch.gradcheck.adapters import in_convention, make_adapter
from nnscratch.gradcheck.adapters.convention import find_examples, holds_examples, multiplied
from nnscratch.gradcheck.snapshot import Snapshot


def arrays(*shapes):
    rng = np.random.default_rng(0)
    return tuple(rng.normal(size=shape) for shape in shapes)


def examples(forward, *inputs):
    """Return the number of examples, their axis, and the arrays that they share. Nothing may change."""
    before = [np.copy(a) for a in inputs]
    adapter = make_adapter((forward, lambda dy, cache: None), inputs)
    found = find_examples(adapter)
    assert all((a == b).all() for a, b in zip(adapter.inputs, before, strict=True))
    return found


def columns(A, W, b):
    return W @ A + b, None


def rows(x, w, b):
    return x @ w + b, None


def test_the_examples_are_columns_or_rows():
    assert examples(columns, *arrays((3, 5), (2, 3), (2, 1))) == (5, 1, ["W", "b"])
    assert examples(rows, *arrays((5, 3), (3, 2), (2,))) == (5, 0, ["w", "b"])


def test_square_arrays_show_their_examples_too():
    assert examples(columns, *arrays((3, 3), (3, 3), (3, 1))) == (3, 1, ["W", "b"])
    assert examples(rows, *arrays((3, 3), (3, 3), (3,))) == (3, 0, ["w", "b"])


def test_an_array_with_a_part_for_each_example_is_not_shared():
    forward = lambda x, w, y: (x @ w - y, None)  # noqa: E731
    assert examples(forward, *arrays((5, 3), (3, 2), (5, 2))) == (5, 0, ["w"])
    assert examples(forward, *arrays((5, 3), (3, 2), (1, 2))) == (5, 0, ["w", "y"])
    assert examples(lambda x: (2 * x, None), *arrays((5, 3))) == (5, 0, [])


def test_one_example():
    assert examples(columns, *arrays((3, 1), (2, 3), (2, 1))) == (1, 1, ["W"])
    assert examples(rows, *arrays((1, 3), (3, 2), (2,))) == (1, 0, ["w", "b"])


def test_arrays_with_few_axes():
    assert examples(lambda x, w: (x * w, None), *arrays((4,), ())) == (4, 0, ["w"])
    assert examples(lambda x: (x[:, None] * np.ones(2), None), *arrays((4,))) == (4, 0, [])


def test_examples_that_affect_each_other_are_not_found():
    # All rows affect all rows, so no axis holds examples, and the first one counts.
    assert examples(lambda x: (x - x.mean(), None), *arrays((4, 3))) == (4, 0, [])
    assert examples(lambda x, w: ((x - x.mean()) @ w, None), *arrays((4, 3), (3, 2))) == (4, 0, ["w"])


def test_a_loss_has_no_examples():
    assert examples(lambda x: ((x**2).sum(), None), *arrays((4, 3))) == (0, 0, [])
    assert examples(lambda x: (float((x**2).sum()), None), *arrays((4, 3))) == (0, 0, [])


def test_a_forward_that_refuses_changed_values():
    (x,) = arrays((4, 3))

    def forward(a):
        if (a != x).any():
            raise ZeroDivisionError
        return 2 * a, None

    assert examples(forward, x) == (4, 0, [])
    adapter = make_adapter((forward, lambda dy, cache: None), (x,))
    (given,), before = adapter.inputs, Snapshot(adapter.inputs)
    assert not holds_examples(adapter, before, given, 2 * x, 0) and (given == x).all()


def test_an_axis_holds_examples_only_in_both_arrays():
    x, w = arrays((4, 3), (3, 2))
    adapter = make_adapter((lambda x, w: (x @ w, None), lambda dy, cache: None), (x, w))
    before, (x, w) = Snapshot(adapter.inputs), adapter.inputs
    found = [holds_examples(adapter, before, array, x @ w, axis) for array in (x, w, None) for axis in (0, 1)]
    assert found == [True, False, False, True, False, False]


def test_the_state_is_restored_for_each_axis():
    class Counter:
        """Forward adds the number of its calls, so that a second call gives other values."""

        def __init__(self):
            self.W, self.calls = np.ones((2, 3)), np.zeros(1)
            self.params, self.grads = {"W": self.W}, {"W": np.zeros((2, 3))}

        def forward(self, x):
            self.calls += 1
            return self.W @ x + self.calls

        def backward(self, dy):
            return self.W.T @ dy

    layer = Counter()
    adapter = make_adapter(layer, arrays((3, 5)))
    calls = layer.calls.copy()
    count, axis, shared = find_examples(adapter)
    assert (count, axis) == (5, 1) and "W" in shared and layer.calls == calls


def test_a_module_keeps_nothing_of_the_search():
    layer = nn.Linear(3, 2, rng=0).to(dtype=np.float64)
    adapter = in_convention(make_adapter(layer, arrays((5, 3))), "mean")
    with pytest.raises(RuntimeError, match="forward"):
        layer.backward(np.ones((5, 2)))
    (y,) = adapter.run()
    once = adapter.gradients((np.ones_like(y),))
    np.testing.assert_allclose(once["bias"], 5 * 5)  # the sum over the examples, times their number
    adapter.run()
    np.testing.assert_allclose(adapter.gradients((np.ones_like(y),), zero=False)["bias"], 10 * 5)


def test_units_that_a_change_does_not_affect():
    A, W = np.ones((3, 5)), np.array([[1.0, 1, 1], [-1, -1, -1]])  # the second unit is dead
    assert examples(lambda A, W: (np.maximum(W @ A, 0), None), A, W) == (5, 1, ["W"])


def test_inputs_of_zero():
    assert examples(columns, np.zeros((3, 5)), *arrays((2, 3), (2, 1))) == (5, 1, ["W", "b"])


@pytest.mark.parametrize("number", [float, np.float64])
def test_the_first_array_that_forward_returns_shows_the_examples(number):
    forward = lambda A, W: (number((A**2).sum()), W @ A, (A, W))  # noqa: E731
    adapter = make_adapter((forward, lambda dloss, dZ, cache: None), arrays((3, 5), (2, 3)))
    assert find_examples(adapter) == (5, 1, ["W"])


def gradients_of(backward, *inputs, forward=columns):
    adapter = in_convention(make_adapter((forward, backward), inputs), "mean")
    (y,) = adapter.run()
    return adapter.gradients((np.ones(np.shape(y)),)), adapter.notes


def test_the_gradients_of_shared_arrays_are_multiplied():
    A, W, b = arrays((3, 5), (2, 3), (2, 1))
    backward = lambda dZ, cache: (W.T @ dZ, dZ @ A.T / 5, dZ.sum(axis=1, keepdims=True) / 5)  # noqa: E731
    found, notes = gradients_of(backward, A, W, b)
    dZ = np.ones((2, 5))
    np.testing.assert_allclose(found["A"], W.T @ dZ)
    np.testing.assert_allclose(found["W"], dZ @ A.T)
    np.testing.assert_allclose(found["b"], [[5], [5]])
    (note,) = notes
    assert "gradient of W, b is multiplied by m = 5" in note and "(axis 1)" in note


def test_the_convention_is_said_only_where_it_has_an_effect():
    (x,) = arrays((4, 3))
    found, notes = gradients_of(lambda dy, cache: 2 * dy, x, forward=lambda x: (2 * x, None))
    assert found["x"].tolist() == np.full((4, 3), 2.0).tolist() and notes == []
    found, notes = gradients_of(lambda dy, cache: 2 * x, x, forward=lambda x: ((x**2).sum(), None))
    assert (found["x"] == 2 * x).all() and len(notes) == 1 and "changes nothing" in notes[0]


def test_another_convention():
    adapter = SimpleNamespace()
    assert in_convention(adapter, "sum") is adapter
    with pytest.raises(ValueError, match="convention must be 'sum' or 'mean', got 'max'"):
        in_convention(adapter, "max")


def test_only_numbers_and_arrays_are_multiplied():
    assert multiplied(np.ones(2), 3).tolist() == [3, 3] and multiplied(2, 3) == 6 and multiplied(0.5, 3) == 1.5
    assert multiplied(np.float32(0.5), 3) == 1.5 and multiplied(None, 3) is None and multiplied("dW", 3) == "dW"
