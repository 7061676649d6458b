"""clip_grad_norm_ shortens long steps and keeps their direction."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import nnscratch as nn
from nnscratch.optim import clip_grad_norm_


def parameters_with_gradients(seed, size=1.0, dtype=np.float64):
    rng = np.random.default_rng(seed)
    parameters = [nn.Parameter(np.zeros(shape, dtype)) for shape in ((2, 3), (4,), ())]
    for p in parameters:
        p.grad[...] = size * rng.normal(size=p.shape)
    return parameters


def joint(parameters):
    return np.concatenate([p.grad.reshape(-1) for p in parameters])


@given(seed=st.integers(0, 999), size=st.floats(1e-3, 1e3), max_norm=st.floats(1e-3, 1e3))
def test_clipping_keeps_the_direction_and_makes_the_norm_max_norm_at_most(seed, size, max_norm):
    parameters = parameters_with_gradients(seed, size)
    before = joint(parameters)
    norm = np.linalg.norm(before)
    assert clip_grad_norm_(parameters, max_norm) == pytest.approx(norm, rel=1e-12)
    after = joint(parameters)
    assert np.linalg.norm(after) == pytest.approx(min(norm, max_norm), rel=1e-12)
    np.testing.assert_allclose(after / np.linalg.norm(after), before / norm, rtol=1e-10, atol=1e-14)


def test_gradients_short_enough_are_not_touched():
    parameters = parameters_with_gradients(0)
    before = joint(parameters)
    for max_norm in (np.linalg.norm(before) * 1.0001, math.inf):
        clip_grad_norm_(parameters, max_norm)
        np.testing.assert_array_equal(joint(parameters), before)


def test_the_norm_is_that_of_all_gradients_together_not_of_each():
    a, b = nn.Parameter(np.zeros(1)), nn.Parameter(np.zeros(1))
    a.grad[...], b.grad[...] = 3, 4
    assert clip_grad_norm_([a, b], 1.0) == 5
    np.testing.assert_allclose([a.grad[0], b.grad[0]], [0.6, 0.8])


def test_float32_stays_float32_and_an_iterator_will_do():
    parameters = parameters_with_gradients(0, dtype=np.float32)
    assert type(clip_grad_norm_(iter(parameters), 0.1)) is float
    assert {p.grad.dtype for p in parameters} == {np.dtype(np.float32)}
    assert np.linalg.norm(joint(parameters)) == pytest.approx(0.1, rel=1e-5)


def test_gradients_of_zero_have_norm_zero_and_stay():
    for max_norm in (1.0, 0.0):
        assert clip_grad_norm_([nn.Parameter(np.zeros(3))], max_norm) == 0.0


@pytest.mark.parametrize("bad", [np.nan, np.inf])
def test_a_gradient_that_is_not_finite_is_named_and_every_gradient_is_left_alone(bad):
    parameters = parameters_with_gradients(0)
    parameters[1].grad[2] = bad
    before = joint(parameters)
    with pytest.raises(FloatingPointError, match=r"norm is (nan|inf): of 3 .* the first .* belongs to parameter 1"):
        clip_grad_norm_(parameters, 1.0)
    np.testing.assert_array_equal(joint(parameters), before)


@pytest.mark.parametrize("max_norm", [-1, float("nan"), "1", None])
def test_max_norm_is_a_number_of_zero_or_more(max_norm):
    with pytest.raises(ValueError, match="max_norm must be a finite number, 0 or more"):
        clip_grad_norm_(parameters_with_gradients(0), max_norm)
