"""Test the complex step: its values, the code that does not accept it, and that everything is restored."""

import warnings

import numpy as np
import pytest
from projections import project

import nnscratch as nn
from nnscratch.gradcheck import complex_step_gradient
from nnscratch.gradcheck.adapters import make_adapter
from nnscratch.gradcheck.complex_step import complex_derivatives, imaginary, is_numpy
from nnscratch.gradcheck.projection import Projection

X = np.array([1.0, -2.0, 3.0])


# --- of a function ---------------------------------------------------------------------------------------------------


def test_the_gradient_of_a_function():
    x = X.reshape(1, 3)
    found = complex_step_gradient(lambda z: (z**3).sum(), x)
    assert found.shape == (1, 3) and found.dtype == np.float64
    np.testing.assert_allclose(found, 3 * x**2, rtol=1e-15)
    assert complex_step_gradient(lambda z: np.sin(z).sum(), X.astype("f")).dtype == np.float64
    seen = []
    complex_step_gradient(lambda z: (seen.append(z.imag.astype(bool).tolist()), z.sum())[1], X)
    assert seen == np.eye(3, dtype=bool).tolist()  # one element has an imaginary part, and the others have none


def test_outputs_that_are_not_one_complex_number_are_refused():
    with pytest.raises(TypeError, match="x must be an array of floats, got int"):
        complex_step_gradient(np.sum, np.arange(3))
    with pytest.raises(TypeError, match=r"got shape \(3,\) and type complex128"):
        complex_step_gradient(lambda z: z, X)
    with pytest.raises(TypeError, match=r"got shape \(\) and type float64"):
        complex_step_gradient(lambda z: np.abs(z).sum(), X)
    with pytest.raises(TypeError, match=r"got shape \(\) and type float$"):
        complex_step_gradient(lambda z: 1.0, X)
    for one in (lambda z: z.sum(keepdims=True), lambda z: z.sum(), lambda z: complex(z.sum())):
        assert complex_step_gradient(one, X).tolist() == [1, 1, 1]


# --- of a projection -------------------------------------------------------------------------------------------------


def derivatives(forward, *inputs, indices=((0,), (2,)), name="x", weights=None):
    projection = project(forward, lambda dy, *inputs: inputs, *(inputs or (X.copy(),)), weights=weights)
    held = projection.adapter.inputs
    found = complex_derivatives(projection, name, list(indices))
    assert projection.adapter.inputs is held
    return None if found is None else found.tolist()


def test_the_derivatives_at_some_indices():
    assert derivatives(np.square, weights=[1, 2, -1]) == [2, -6]
    assert derivatives(lambda x, w: x * w, X, X + 1, name="w", weights=[1, 2, -1]) == [1, -3]
    assert derivatives(lambda x: float(x.sum()) if x.dtype.kind == "f" else x.sum()) == [1, 1]


def test_several_outputs_are_added():
    forward = lambda x: (x * 2, x.argmax(), x * 3, x)  # noqa: E731 - the last value is the cache
    projection = project(forward, lambda dy, di, dz, cache: dy, X.copy())
    projection.weights = (np.ones(3), None, np.array([1.0, 0.0, 2.0]))
    assert complex_derivatives(projection, "x", [(0,), (2,)]).tolist() == [5, 8]


def test_code_that_drops_the_imaginary_part_is_not_measured():
    assert derivatives(np.abs) is None and derivatives(np.abs, indices=[(0,)]) is None  # the outputs are real
    assert derivatives(lambda x: np.array([float(v) for v in x])) is None

    def into_floats(x):
        buffer = np.empty(3)
        buffer[...] = x
        return buffer * (1 + 0j) if x.dtype.kind == "c" else buffer

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        assert derivatives(into_floats) is None


def test_code_that_fails_with_complex_numbers_is_not_measured():
    assert derivatives(np.cbrt) is None


def test_an_output_that_is_not_complex_everywhere():
    # The first output has no imaginary part. The third value is the cache.
    projection = project(lambda x: (np.abs(x), x * 2, x), lambda dy, dz, cache: dy, X.copy())
    projection.weights = (np.ones(3), np.ones(3))
    assert complex_derivatives(projection, "x", [(0,)]).tolist() == [2]


def test_other_inputs_keep_their_dtypes():
    forward = lambda x, ids, scale: x[ids] * scale  # noqa: E731
    assert derivatives(forward, X, np.array([0, 2]), 2.0, weights=[1, 3]) == [2, 6]


def test_a_module_saves_nothing():
    class Double(nn.Module):
        def forward(self, x):
            self.save_for_backward(x)
            return 2 * x

        def backward(self, dy):
            return 2 * dy + 0 * self.saved()[0]

    layer = Double()
    projection = Projection(make_adapter(layer, (X.copy(),)), np.random.default_rng(0))
    projection.weights = (np.ones(3),)
    assert complex_derivatives(projection, "x", [(0,)]).tolist() == [2]
    assert not layer.__dict__.get("_stack")


def test_code_with_a_state_or_other_dtypes_is_not_measured():
    def writes(x):
        x *= 2
        return x + 1

    assert derivatives(writes) is None and derivatives(np.square, X.astype("f")) is None
    projection = project(np.square, lambda dy, x: x, X.copy())
    projection.replayed = "state"
    assert complex_derivatives(projection, "x", [(0,)]) is None


class Layer:
    def __init__(self):
        self.params, self.grads, self.table = {"w": X.copy()}, {"w": 0 * X}, X + 1

    def forward(self, x):
        self.seen = self.params["w"].dtype.kind
        return x * self.params["w"] * self.table

    def backward(self, dy):
        return dy


def test_the_weights_of_an_object_are_complex_for_the_call():
    layer = Layer()
    projection = Projection(make_adapter(layer, (X.copy(),)), np.random.default_rng(0))
    projection.weights = (np.ones(3),)
    w, table = layer.params["w"], layer.table
    assert complex_derivatives(projection, "w", [(1,)]).tolist() == [2]
    assert layer.seen == "f" and layer.params["w"] is w and layer.table is table and w.tolist() == X.tolist()


def test_the_imaginary_part_of_the_outputs():
    projection = project(lambda x: x + 0, lambda dy, x: x, X.copy(), weights=[1, 2, 3])
    assert np.isnan(imaginary(projection))
    projection.adapter.inputs = (np.array([1j, 2 + 1j, 0.5j]),)
    assert imaginary(projection) == 1 + 2 + 1.5


def test_only_float64_arrays_of_numpy():
    assert is_numpy(project(lambda x, w: x + w, lambda dy, x, w: x, X, X))
    assert not is_numpy(project(lambda x, w: x + w, lambda dy, x, w: x, X, X.astype("f")))
