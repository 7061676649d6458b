"""Linear: y = x W^T + b."""

import math

import numpy as np
import pytest
from directions import assert_module_gradients
from hypothesis import given
from hypothesis import strategies as st

import nnscratch as nn

sizes = st.integers(1, 5)
leading = st.lists(st.integers(1, 4), min_size=0, max_size=3).map(tuple)


@given(leading=leading, d=sizes, h=sizes, bias=st.booleans(), seed=st.integers(0, 999))
def test_every_row_becomes_weight_times_row_plus_bias(leading, d, h, bias, seed):
    layer = nn.Linear(d, h, bias, rng=seed).to(dtype=np.float64)
    x = np.random.default_rng(seed).normal(size=(*leading, d))
    y = layer(x)
    assert y.shape == (*leading, h)
    for place in np.ndindex(*leading):
        for k in range(h):
            expected = sum(layer.weight.data[k, j] * x[place][j] for j in range(d))
            expected += layer.bias.data[k] if bias else 0
            assert y[place][k] == pytest.approx(expected, rel=1e-12, abs=1e-14)


@given(leading=leading, d=sizes, h=sizes, bias=st.booleans(), seed=st.integers(0, 999))
def test_gradients_match_finite_differences(leading, d, h, bias, seed):
    layer = nn.Linear(d, h, bias, rng=seed).to(dtype=np.float64)
    assert_module_gradients(layer, np.random.default_rng(seed).normal(size=(*leading, d)))


def test_a_layer_used_twice_in_one_network_gets_the_sum_of_both_gradients():
    shared = nn.Linear(3, 3, rng=0).to(dtype=np.float64)
    first, second = (nn.Linear(3, 3, rng=0).to(dtype=np.float64) for _ in range(2))
    x, dy = np.random.default_rng(0).normal(size=(2, 4, 3))

    tied, apart = nn.Sequential(shared, nn.Tanh(), shared), nn.Sequential(first, nn.Tanh(), second)
    np.testing.assert_array_equal(tied(x), apart(x))
    np.testing.assert_array_equal(tied.backward(dy), apart.backward(dy))
    np.testing.assert_allclose(shared.weight.grad, first.weight.grad + second.weight.grad, rtol=1e-12)
    np.testing.assert_allclose(shared.bias.grad, first.bias.grad + second.bias.grad, rtol=1e-12)


def test_weight_and_bias_start_uniform_within_one_over_the_root_of_the_inputs():
    layer = nn.Linear(400, 300, rng=0)
    for values in (layer.weight.data, layer.bias.data):
        assert np.abs(values).max() <= 1 / 20
        assert values.std() == pytest.approx(1 / 20 / math.sqrt(3), rel=0.1)
    assert layer.weight.dtype == np.float32


def test_an_initialiser_given_draws_the_weight_and_only_the_weight():
    layer = nn.Linear(400, 300, init=nn.init.he_normal, rng=0)
    assert layer.weight.data.std() == pytest.approx(math.sqrt(2 / 400), rel=0.02)
    assert np.abs(layer.bias.data).max() <= 1 / 20


@pytest.mark.parametrize("init", [nn.init.orthogonal, nn.init.xavier_uniform, nn.init.he_uniform])
@pytest.mark.parametrize(("d", "h"), [(5, 3), (3, 5)])
def test_whatever_drew_the_weight_an_optimizer_step_changes_it(init, d, h):
    layer = nn.Linear(d, h, init=init, rng=0)
    before = layer.weight.data.copy()
    layer.weight.grad[...] = 1
    nn.optim.SGD(layer.parameters(), lr=0.5).step()
    np.testing.assert_allclose(layer.weight.data, before - 0.5, rtol=1e-6)


def test_without_bias_there_is_no_bias():
    layer = nn.Linear(3, 2, bias=False, rng=0)
    assert layer.bias is None
    assert list(layer.state_dict()) == ["weight"]
    assert not layer(np.zeros((4, 3), np.float32)).any()


@pytest.mark.parametrize(
    ("x", "error", "message"),
    [
        (np.ones((4, 3), np.float32), ValueError, r"Linear\(784, 256\) got x of shape \(4, 3\); its last axis must be"),
        (np.ones((4, 28, 28), np.float32), ValueError, r"its last axis must be 784. Did you forget nn.Flatten\(\)\?"),
        (np.float32(1), TypeError, r"got float32; use numpy.asarray\(x\)"),
        (np.ones((), np.float32), ValueError, r"got x of shape \(\)"),
        (np.ones((4, 784)), TypeError, r"parameters are float32, but x is float64; use x.astype\(numpy.float32\)"),
    ],
)
def test_what_does_not_fit_is_refused_with_the_reason_and_nothing_is_kept(x, error, message):
    layer = nn.Linear(784, 256, rng=0)
    with pytest.raises(error, match=message):
        layer(x)
    with pytest.raises(RuntimeError, match="no saved forward call is left"):
        layer.backward(np.ones((4, 256), np.float32))


@pytest.mark.parametrize("name", ["in_features", "out_features"])
@pytest.mark.parametrize("value", [0, -1, 2.0, "3", None, True])
def test_sizes_are_integers_of_one_or_more(name, value):
    with pytest.raises(ValueError, match=f"{name} must be an integer of 1 or more, got {value!r}"):
        nn.Linear(**{"in_features": 3, "out_features": 2, name: value})


@pytest.mark.parametrize("rows", [1, 2, 5, 40, 200])
@pytest.mark.parametrize(("inputs", "outputs"), [(7, 30), (30, 7)])
def test_few_rows_or_many_the_products_are_those_of_the_equations(rows, inputs, outputs):
    # both forms of `fast_products.matmul`, and backward through a result that is stored column by column
    rng = np.random.default_rng(0)
    layer = nn.Linear(inputs, outputs, rng=0).to(dtype=np.float64)
    x, dy = rng.normal(size=(rows, inputs)), rng.normal(size=(rows, outputs))
    W, b = layer.weight.data, layer.bias.data
    np.testing.assert_allclose(layer(x), np.einsum("nd,hd->nh", x, W) + b, rtol=1e-12, atol=1e-12)
    np.testing.assert_allclose(layer.backward(dy), np.einsum("nh,hd->nd", dy, W), rtol=1e-12, atol=1e-12)
    np.testing.assert_allclose(layer.weight.grad, np.einsum("nh,nd->hd", dy, x), rtol=1e-12, atol=1e-12)
