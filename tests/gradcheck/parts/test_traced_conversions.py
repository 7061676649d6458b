"""Test that a tape records the operations on arrays that the code converts with np.array and np.asarray."""

import numpy as np
import pytest
from wrong_gradients import graph_of

from nnscratch.gradcheck import check_gradients
from nnscratch.gradcheck.tape.traced_array import TracedArray
from nnscratch.gradcheck.tape.traced_conversions import traced_conversions

X = np.array([[1.0, -2.0, 0.5], [0.3, 1.2, -0.7]])


def operations(forward, *inputs):
    with graph_of(forward, *inputs) as graph:
        return [(n.name, *n.operand_names) for n in graph.nodes]


def test_a_converted_array_is_recorded():
    for convert in (np.asarray, np.array, lambda x: np.array(x, dtype=np.float64), lambda x: np.asarray(a=x)):
        if convert in (np.asarray, np.array):
            name = convert.__name__
            forward = lambda x, name=name: np.tanh(getattr(np, name)(x))  # noqa: E731  looked up while the tape runs
        else:
            forward = lambda x, convert=convert: np.tanh(convert(x))  # noqa: E731
        assert [name for name, *_ in operations(forward, X)] == ["tanh"]


def test_a_list_of_arrays_is_recorded_as_a_stack():
    def forward(x):
        rows = [np.tanh(x[0]), x[1] * 2.0]
        return np.array(rows) * 3.0

    assert operations(forward, X)[2:] == [("concatenate", "rows[0]", "rows[1]"), ("multiply", "np.array(rows)", "3.0")]


@pytest.mark.parametrize("convert", [
    lambda x: np.array(x, dtype=np.float32), lambda x: np.array([x[0].tolist(), [1.0, 2.0, 3.0]]),
    lambda x: np.array([x[0], [1.0, 2.0, 3.0]]), lambda x: np.array(list(x), dtype=np.float32),
    lambda x: np.array([3, 4]), lambda x: np.array(x > 0), lambda x: np.array([[x]])[0, 0],
])  # fmt: skip
def test_other_conversions_give_the_same_values(convert):
    wanted = convert(X)
    seen = []

    def forward(x):
        found = convert(x)
        seen.append((np.array(found.tolist()), found.dtype))
        return x * 2.0

    assert operations(forward, X)[-1] == ("multiply", "x", "2.0")
    assert all(np.array_equal(values, wanted) and dtype == wanted.dtype for values, dtype in seen)


def test_the_functions_of_numpy_are_restored():
    held = np.array, np.asarray
    traced = X.view(TracedArray)
    with pytest.raises(RuntimeError), traced_conversions():
        assert np.array is not held[0] and np.array.__name__ == "array"
        assert type(np.array(traced)) is type(np.asarray(traced)) is np.ndarray  # no tape is running
        raise RuntimeError
    assert (np.array, np.asarray) == held


class Tensor:
    """A value of an autograd engine, whose constructor converts its data. `adds` is False for a mistake."""

    adds = True

    def __init__(self, data, children=()):
        self.data = np.asarray(data, dtype=float)
        self.grad, self.children, self.pull = np.zeros_like(self.data), children, lambda: None

    def receive(self, gradient):
        self.grad = self.grad + gradient if self.adds else gradient

    def __matmul__(self, other):
        out = type(self)(self.data @ other.data, (self, other))

        def pull():
            self.receive(out.grad @ other.data.T)
            other.receive(self.data.T @ out.grad)

        out.pull = pull
        return out

    def __add__(self, other):
        out = type(self)(self.data + other.data, (self, other))

        def pull():
            self.receive(out.grad)
            other.receive(out.grad)

        out.pull = pull
        return out

    def backward(self, gradient):
        order, seen = [], set()

        def visit(value):
            if value not in seen:
                seen.add(value)
                for child in value.children:
                    visit(child)
                order.append(value)

        visit(self)
        self.grad = gradient
        for value in reversed(order):
            value.pull()


class Overwriting(Tensor):
    adds = False


def test_an_engine_whose_constructor_converts_its_data():
    def model(x, w):
        return x @ w + x

    w = np.random.default_rng(0).normal(size=(3, 3))
    assert check_gradients(model, Tensor(X), Tensor(w)).ok
    report = check_gradients(model, Overwriting(X), Overwriting(w))
    assert [(e.name, e.diagnosis.mistake) for e in report if e.verdict == "wrong"] == [("x", "a path missing")]
    assert "self.data" in report["x"].diagnosis.place
