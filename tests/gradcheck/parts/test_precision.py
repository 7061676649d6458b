"""Test how code with float32 arrays is converted to float64, and when it keeps its own dtype."""

from types import SimpleNamespace

import numpy as np
import pytest

from nnscratch.gradcheck import check_gradients, numerical_gradient
from nnscratch.gradcheck.adapters import make_adapter
from nnscratch.gradcheck.precision import float64_copy, project_in_float64, smallest_itemsize
from nnscratch.gradcheck.projection import NotDeterministic, Projection
from nnscratch.gradcheck.report import GradientReport
from nnscratch.gradcheck.snapshot import Snapshot

X = np.array([0.5, -1.0, 2.0])
X32 = X.astype("f")


def twice(dy, x):
    return 2 * dy


def projected(subject, *inputs):
    """Return the projection, the bytes of its least precise value, and the report."""
    adapter, report = make_adapter(subject, inputs), GradientReport("code")
    before = Snapshot(adapter.source, adapter.inputs, adapter.targets)
    return *project_in_float64(adapter, before, np.random.default_rng(0), report), report


class Layer:
    """A layer with a float32 weight. ``forward`` is a function of x and W."""

    def __init__(self, forward=lambda x, W: x * W):
        self.W, self.function = np.array([2.0, 3.0, 4.0], "f"), forward
        self.params, self.grads = {"W": self.W}, {"W": np.zeros(3, "f")}

    def forward(self, x):
        self.x = x
        return self.function(x, self.W)

    def backward(self, dy):
        self.grads["W"] = dy * self.x
        return dy * self.W


def only(dtype, message="only one dtype"):
    def forward(x, W=None):
        if x.dtype != dtype or W is not None and W.dtype != dtype:
            raise TypeError(message)
        return 2 * x

    return forward


# --- the dtype of the check ------------------------------------------------------------------------------------------


def test_code_in_float64_stays_as_it_is():
    projection, itemsize, report = projected((lambda x: 2 * x, twice), X)
    assert itemsize == 8 and report.traps == report.notes == []
    assert projection.variables["x"] is projection.adapter.inputs[0] and projection.outputs[0].tolist() == [1, -2, 4]


def test_inputs_in_float32_become_float64():
    projection, itemsize, report = projected((lambda x: 2 * x, twice), X32)
    assert itemsize == 8 and report.notes == []
    assert projection.variables["x"].dtype == projection.outputs[0].dtype == np.float64
    assert projection.adapter.inputs[0] is projection.variables["x"]


def test_weights_in_float32_become_float64():
    layer = Layer()
    projection, itemsize, report = projected(layer, X)
    assert itemsize == 8 and report.notes == [] and layer.W.dtype == np.float64
    assert projection.variables["W"] is layer.W and layer.W.tolist() == [2, 3, 4]


def test_the_weights_of_the_outputs_are_those_of_the_first_draw():
    expected = Projection(make_adapter((lambda x: 2 * x, twice), (X,)), np.random.default_rng(0)).weights
    for forward, x in ((lambda x: 2 * x, X32), (only("f4"), X32)):
        projection, _, _ = projected((forward, twice), x)
        assert projection.weights[0].tolist() == expected[0].tolist()


def test_code_that_refuses_float64_is_checked_in_float32():
    for error in (TypeError, ValueError):

        def forward(x, error=error):
            if x.dtype == np.float64:
                raise error("float32, please")
            return 2 * x

        projection, itemsize, report = projected((forward, twice), X32)
        assert itemsize == 4 and projection.variables["x"].dtype == np.float32
        (note,) = report.notes
        assert "does not accept float64" in note and error.__name__ in note


def test_a_layer_that_refuses_float64_keeps_its_weights():
    layer = Layer(only("f4"))
    weight = layer.W
    projection, itemsize, report = projected(layer, X32)
    assert itemsize == 4 and layer.W is weight and len(report.notes) == 1
    assert projection.variables["x"].dtype == np.float32


def test_code_that_computes_in_float32_is_checked_with_its_precision():
    projection, itemsize, report = projected((lambda x: (2 * x).astype("f"), twice), X32)
    assert itemsize == 4 and projection.variables["x"].dtype == np.float64 and report.notes == []
    assert projected((lambda x: (2 * x).astype("f"), twice), X)[1] == 4
    assert projected((lambda x: (2 * x).astype("e"), twice), X)[1] == 2
    assert projected((lambda x: np.float32((2 * x).sum()), lambda x: 2 + 0 * x), X)[1] == 4


def test_weights_in_float32_may_refuse_inputs_in_float64():
    # With float64 inputs and float32 weights, the first forward fails; with float64 everywhere, none fails.
    def forward(x, W):
        if x.dtype != W.dtype:
            raise TypeError("two dtypes")
        return x * W

    projection, itemsize, report = projected(Layer(forward), X)
    assert itemsize == 8 and report.notes == [] and projection.variables["W"].dtype == np.float64


def test_code_that_fails_in_both_dtypes_raises_its_error():
    def fails(x):
        raise TypeError("never")

    for x in (X, X32):
        with pytest.raises(TypeError, match="never"):
            projected((fails, twice), x)


def test_code_that_is_random_in_float64_is_refused():
    with pytest.raises(NotDeterministic):
        projected((unstable, twice), X32)


COUNT = iter(range(1000))  # a snapshot cannot set an iterator back


def unstable(x):
    return 2 * x + next(COUNT) * (x.dtype == np.float64)


def test_a_gradient_of_the_wrong_dtype_is_found_in_the_own_dtype():
    layer = Layer()
    layer.backward = lambda dy: (dy * layer.W).astype("e")
    _, _, report = projected(layer, X32)
    assert [trap.kind for trap in report.traps] == ["wrong dtype"] and "float16" in report.traps[0].message


def test_other_traps_are_left_to_the_check_in_float64():
    def backward(dy, x):
        dy *= 2
        return dy

    _, _, report = projected((lambda x: 2 * x, backward), X32)
    assert report.traps == []


# --- single functions ------------------------------------------------------------------------------------------------


def test_only_narrow_float_arrays_are_copied():
    for dtype in ("f", "e"):
        copy = float64_copy(np.ones(2, dtype))
        assert copy.dtype == np.float64 and copy.tolist() == [1, 1]
    for value in (np.ones(2), np.ones(2, np.longdouble), np.arange(2, dtype="i2"), "a", 1.0, np.float32(1), None):
        assert float64_copy(value) is value


@pytest.mark.parametrize("variables, outputs, itemsize", [
    (["f8"], [np.ones(2)], 8), (["f8"], [np.ones(2, "f")], 4), (["f4", "f8"], [np.ones(2)], 4),
    (["f8"], [np.float32(1)], 4), (["f8"], [1.0], 8), (["f8"], [np.ones(1, "i2"), {"a": np.ones(1, "e")}], 2),
    ([], [1.0], 8), ([np.longdouble], [np.ones(2, np.longdouble)], 8),
])  # fmt: skip
def test_the_least_precise_dtype(variables, outputs, itemsize):
    arrays = {str(number): np.ones(1, dtype) for number, dtype in enumerate(variables)}
    assert smallest_itemsize(SimpleNamespace(variables=arrays, outputs=tuple(outputs))) == itemsize


@pytest.mark.parametrize("mode", ["full", "directional"])
def test_arrays_of_more_digits_than_float64(mode):
    x = np.array([1, 2, 4], np.longdouble) / 3  # not a multiple of float64's last digit
    before = x.copy()
    for factor, verdict in ((1, "right"), (2, "wrong")):
        backward = lambda dy, x, factor=factor: factor * dy * np.cos(x)  # noqa: E731
        assert check_gradients((np.sin, backward), x, mode=mode).verdict == verdict
    assert (x == before).all()
    assert numerical_gradient(lambda x: (x**3).sum(), x).tolist() == pytest.approx((3 * x**2).tolist())
