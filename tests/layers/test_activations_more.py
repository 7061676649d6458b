"""LeakyReLU, ELU, GELU, SiLU, Softplus, LogSoftmax, and the error function behind GELU."""

import math

import numpy as np
import pytest
from directions import assert_module_gradients
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

import nnscratch as nn
from nnscratch.layers.erf import erf

shapes = hnp.array_shapes(min_dims=0, max_dims=3, max_side=4)
numbers = st.floats(-30, 30)
SMOOTH = {"GELU": nn.GELU, "GELU, tanh": lambda: nn.GELU("tanh"), "SiLU": nn.SiLU, "Softplus": nn.Softplus}
BENT = {"LeakyReLU": lambda: nn.LeakyReLU(0.2), "ELU": nn.ELU, "ELU(2)": lambda: nn.ELU(2.0)}
FORMULAS = {
    "LeakyReLU": lambda x: x if x > 0 else 0.2 * x,
    "ELU": lambda x: x if x > 0 else math.expm1(x),
    "ELU(2)": lambda x: x if x > 0 else 2 * math.expm1(x),
    "GELU": lambda x: x * (1 + math.erf(x / math.sqrt(2))) / 2,
    "GELU, tanh": lambda x: x * (1 + math.tanh(math.sqrt(2 / math.pi) * (x + 0.044715 * x**3))) / 2,
    "SiLU": lambda x: x / (1 + math.exp(-x)),
    "Softplus": lambda x: math.log1p(math.exp(x)),
}


def floats(elements=numbers):
    return hnp.arrays(np.float64, shapes, elements=elements)


@pytest.mark.parametrize("name", FORMULAS)
@given(x=floats())
def test_every_element_is_that_of_the_formula(name, x):
    y = (SMOOTH | BENT)[name]()(x)
    assert y.shape == x.shape
    for place in np.ndindex(x.shape):
        assert y[place] == pytest.approx(FORMULAS[name](x[place]), rel=1e-10, abs=1e-14)


@pytest.mark.parametrize("name", SMOOTH)
@given(x=floats(st.floats(-4, 4)))
def test_gradients_of_the_smooth_ones_match_finite_differences(name, x):
    assert_module_gradients(SMOOTH[name](), x)


@pytest.mark.parametrize("name", BENT)
@given(x=floats(st.floats(-4, 4).filter(lambda x: abs(x) > 0.01)))
def test_gradients_of_the_bent_ones_match_finite_differences_away_from_zero(name, x):
    assert_module_gradients(BENT[name](), x)


@given(hnp.arrays(np.float64, 20, elements=st.floats(-10, 10)))
def test_erf_is_pythons_to_the_last_digits(x):
    np.testing.assert_allclose(erf(x), [math.erf(v) for v in x], rtol=1e-14, atol=3e-16)


def test_erf_everywhere_on_a_fine_grid_and_at_the_edges():
    x = np.concatenate([np.linspace(-7, 7, 100_003), np.logspace(-300, 0, 500), [np.inf, -np.inf, 0.0, -0.0]])
    np.testing.assert_allclose(erf(x), [math.erf(v) for v in x], rtol=1e-14, atol=3e-16)
    assert np.isnan(erf(np.array([np.nan]))).all()
    assert np.signbit(erf(np.array([-0.0])))[0]
    np.testing.assert_allclose(erf(x.astype(np.float32)), [math.erf(v) for v in x.astype(np.float32)], atol=2e-7)


@given(hnp.arrays(np.float64, hnp.array_shapes(min_dims=1, max_dims=3, max_side=5), elements=numbers))
def test_log_softmax_is_the_logarithm_of_softmax(x):
    np.testing.assert_allclose(nn.LogSoftmax()(x), np.log(nn.Softmax()(x)), rtol=1e-9, atol=1e-12)


def test_log_softmax_stays_finite_where_the_logarithm_of_softmax_does_not():
    layer = nn.LogSoftmax()
    np.testing.assert_array_equal(layer(np.array([[0.0, 1e5]])), [[-1e5, 0]])
    assert np.isfinite(layer.backward(np.ones((1, 2)))).all()


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("name", [*SMOOTH, *BENT])
def test_no_number_is_too_large_for_forward_or_backward(name, dtype):
    layer, x = (SMOOTH | BENT)[name](), np.array([-1e4, -50, 0, 50, 1e4], dtype)
    y = layer(x)
    dx = layer.backward(np.ones_like(y))
    assert np.isfinite(y).all() and np.isfinite(dx).all() and y.dtype == dx.dtype == dtype


@pytest.mark.parametrize(("build", "message"), [
    (lambda: nn.LeakyReLU("small"), "negative_slope must be a finite number, got 'small'"),
    (lambda: nn.ELU(math.inf), "alpha must be a finite number, got inf"),
    (lambda: nn.GELU("erf"), '"none" or "tanh", got \'erf\''),
    (lambda: nn.LogSoftmax()(np.zeros((2, 0))), "LogSoftmax needs a last axis of one or more scores"),
])  # fmt: skip
def test_what_makes_no_sense_is_refused(build, message):
    with pytest.raises(ValueError, match=message):
        build()


@pytest.mark.parametrize(("layer", "slope"), [(nn.LeakyReLU(0.3), 0.3), (nn.ELU(0.5), 0.5)], ids=repr)
def test_the_gradient_at_a_kink_is_that_of_the_left_side(layer, slope):
    layer(np.zeros(1))
    assert layer.backward(np.ones(1)) == [slope]
