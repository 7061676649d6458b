"""Sigmoid, Tanh, ReLU and Softmax."""

import math

import numpy as np
import pytest
from directions import assert_module_gradients
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

import nnscratch as nn

shapes = hnp.array_shapes(min_dims=0, max_dims=3, max_side=4)
rows = hnp.array_shapes(min_dims=1, max_dims=3, max_side=5)
numbers = st.floats(-30, 30)
away_from_the_kink = numbers.filter(lambda x: abs(x) > 0.01)


def floats(shape, elements=numbers):
    return hnp.arrays(np.float64, shape, elements=elements)


@given(floats(shapes))
def test_sigmoid_is_one_over_one_plus_e_to_the_minus_x(x):
    y = nn.Sigmoid()(x)
    assert y.shape == x.shape
    for place in np.ndindex(x.shape):
        assert y[place] == pytest.approx(1 / (1 + math.exp(-x[place])), rel=1e-12, abs=1e-15)


@given(floats(shapes))
def test_tanh_is_the_hyperbolic_tangent(x):
    y = nn.Tanh()(x)
    assert y.shape == x.shape
    for place in np.ndindex(x.shape):
        assert y[place] == pytest.approx(math.tanh(x[place]), rel=1e-14, abs=1e-300)


@given(floats(shapes))
def test_relu_keeps_what_is_positive_and_makes_the_rest_zero(x):
    y = nn.ReLU()(x)
    assert y.shape == x.shape
    for place in np.ndindex(x.shape):
        assert y[place] == (x[place] if x[place] > 0 else 0)


@given(floats(rows))
def test_softmax_is_positive_sums_to_one_and_has_the_ratios_of_the_exponentials(x):
    y = nn.Softmax()(x)
    np.testing.assert_allclose(y.sum(axis=-1), 1, rtol=1e-12)
    assert (y > 0).all()
    np.testing.assert_allclose(np.log(y) - np.log(y[..., :1]), x - x[..., :1], rtol=1e-9, atol=1e-9)


@given(floats(rows), st.floats(-1e3, 1e3))
def test_softmax_does_not_change_when_every_score_is_shifted(x, shift):
    np.testing.assert_allclose(nn.Softmax()(x + shift), nn.Softmax()(x), rtol=1e-9, atol=1e-12)


@given(floats(rows, st.floats(-4, 4)))
def test_gradients_of_sigmoid_and_tanh_match_finite_differences(x):
    for layer in (nn.Sigmoid(), nn.Tanh()):
        assert_module_gradients(layer, x)


@given(floats(rows, away_from_the_kink))
def test_the_gradient_of_relu_matches_finite_differences_away_from_zero(x):
    assert_module_gradients(nn.ReLU(), x)


def test_the_gradient_of_relu_at_zero_is_zero():
    layer = nn.ReLU()
    layer(np.array([-0.0, 0.0]))
    np.testing.assert_array_equal(layer.backward(np.ones(2)), [0, 0])


@given(floats(rows, st.floats(-3, 3)))
def test_the_gradient_of_softmax_matches_finite_differences(x):
    assert_module_gradients(nn.Softmax(), x)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("layer", [nn.Sigmoid(), nn.Tanh(), nn.ReLU(), nn.Softmax()], ids=lambda m: type(m).__name__)
def test_no_score_is_too_large_for_forward_or_backward(layer, dtype):
    x = np.array([[-1e4, 0, 1e4], [-1e30, 1, 1e30]], dtype)
    y = layer(x)
    dx = layer.backward(np.ones_like(y))
    assert np.isfinite(y).all() and np.isfinite(dx).all()


@pytest.mark.parametrize("shape", [(), (3, 0)])
def test_softmax_refuses_scores_without_a_last_axis(shape):
    with pytest.raises(ValueError, match="Softmax needs a last axis of one or more scores"):
        nn.Softmax()(np.zeros(shape))
