"""Dropout: zeros while training, nothing otherwise."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import nnscratch as nn


@pytest.mark.parametrize("p", [0.1, 0.5, 0.9])
def test_a_share_of_p_becomes_zero_and_the_mean_stays(p):
    n = 200_000
    y = nn.Dropout(p, rng=0)(np.ones(n))
    assert set(np.unique(y)) == {0, 1 / (1 - p)}
    five_sigma = 5 * np.sqrt(p * (1 - p) / n)
    assert (y == 0).mean() == pytest.approx(p, abs=five_sigma)
    assert y.mean() == pytest.approx(1, abs=five_sigma / (1 - p))


@given(p=st.floats(0, 0.99), seed=st.integers(0, 999))
def test_backward_uses_the_mask_of_its_own_forward(p, seed):
    layer, ones = nn.Dropout(p, rng=seed), np.ones((5, 7))
    first, second = layer(ones), layer(ones)
    np.testing.assert_array_equal(layer.backward(ones), second)
    np.testing.assert_array_equal(layer.backward(ones), first)


def test_two_forwards_draw_two_masks():
    layer = nn.Dropout(0.5, rng=0)
    assert not np.array_equal(layer(np.ones(100)), layer(np.ones(100)))


@given(p=st.floats(0, 0.9), n=st.integers(1, 6), seed=st.integers(0, 99))
def test_the_factor_of_each_element_is_that_of_its_gradient(p, n, seed):
    layer, (x, dy) = nn.Dropout(p, rng=seed), np.random.default_rng(seed).normal(size=(2, n, 3))
    np.testing.assert_allclose(layer(x) / x, layer.backward(dy) / dy, rtol=1e-12)


def test_in_eval_mode_and_with_p_zero_the_numbers_pass_unchanged_and_nothing_is_drawn():
    x = np.random.default_rng(0).normal(size=(4, 5))
    for layer in (nn.Dropout(0.9, rng=0).eval(), nn.Dropout(0.0, rng=0)):
        before = layer.rng.bit_generator.state
        np.testing.assert_array_equal(layer(x), x)
        assert layer.rng.bit_generator.state == before


@pytest.mark.parametrize("p", [-0.1, 1, 1.5, float("nan"), "half", None, True])
def test_p_is_a_probability_below_one(p):
    with pytest.raises(ValueError, match=r"p must be a probability in \[0, 1\)"):
        nn.Dropout(p)
