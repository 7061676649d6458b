"""The initialisers draw values of the right size, and a seed determines them."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import nnscratch as nn
from nnscratch import init

SHAPE = (300, 200)  # 60,000 numbers: their standard deviation is known to about a third of a percent
SAMPLERS = {
    "uniform": (lambda shape, rng=None: init.uniform(shape, 0.5, rng), 0.5 / math.sqrt(3)),
    "normal": (lambda shape, rng=None: init.normal(shape, 0.3, rng), 0.3),
    "xavier_uniform": (init.xavier_uniform, math.sqrt(2 / 500)),
    "xavier_normal": (init.xavier_normal, math.sqrt(2 / 500)),
    "he_uniform": (init.he_uniform, math.sqrt(2 / 200)),
    "he_normal": (init.he_normal, math.sqrt(2 / 200)),
}


@pytest.mark.parametrize("name", SAMPLERS)
def test_the_numbers_have_mean_zero_and_the_standard_deviation_of_the_formula(name):
    draw, std = SAMPLERS[name]
    values = draw(SHAPE, rng=0)
    assert values.shape == SHAPE and values.dtype == np.float32
    assert values.mean() == pytest.approx(0, abs=5 * std / math.sqrt(values.size))
    assert values.std() == pytest.approx(std, rel=0.02)


@pytest.mark.parametrize("name", [*SAMPLERS, "orthogonal"])
def test_one_seed_one_draw(name):
    draw = init.orthogonal if name == "orthogonal" else SAMPLERS[name][0]
    np.testing.assert_array_equal(draw((4, 3), rng=1), draw((4, 3), rng=np.random.default_rng(1)))
    assert not np.array_equal(draw((4, 3), rng=1), draw((4, 3), rng=2))


@pytest.mark.parametrize(("name", "bound"), [("uniform", 0.5), ("xavier_uniform", math.sqrt(6 / 500)),
                                             ("he_uniform", math.sqrt(6 / 200))])  # fmt: skip
def test_the_uniform_ones_fill_their_range_and_stay_in_it(name, bound):
    largest = np.abs(SAMPLERS[name][0](SHAPE, rng=0)).max()
    assert 0.999 * bound < largest <= bound * (1 + 1e-6)


@given(rows=st.integers(1, 8), columns=st.integers(1, 8), seed=st.integers(0, 99))
def test_an_orthogonal_matrix_has_orthonormal_rows_or_columns(rows, columns, seed):
    q = init.orthogonal((rows, columns), rng=seed).astype(np.float64)
    assert q.shape == (rows, columns)
    gram = q @ q.T if rows <= columns else q.T @ q
    np.testing.assert_allclose(gram, np.eye(min(rows, columns)), atol=1e-6)


def test_the_orthogonal_draw_is_uniform_each_sign_as_often_as_the_other():
    draws = np.array([init.orthogonal((2, 2), rng=seed)[0, 0] for seed in range(400)])
    assert (draws > 0).mean() == pytest.approx(0.5, abs=0.1)


def test_fan_in_and_fan_out_count_the_window_of_a_convolution():
    assert init.fans((5, 3)) == (3, 5)
    assert init.fans((8, 4, 3, 3)) == (36, 72)
    assert init.he_normal((64, 32, 3, 3), rng=0).std() == pytest.approx(math.sqrt(2 / 288), rel=0.03)


def test_shapes_without_two_axes_are_refused():
    for draw in (init.xavier_uniform, init.xavier_normal, init.he_uniform, init.he_normal):
        with pytest.raises(ValueError, match=r"two axes, \(out, in, ...\), none of them 0, got shape \(3,\)"):
            draw((3,))
    with pytest.raises(ValueError, match=r"orthogonal needs the shape of a matrix, \(rows, columns\), got \(2, 3, 4\)"):
        init.orthogonal((2, 3, 4))


def growth_per_layer(init_of, activation, depth=12, width=400):
    """Return the factors by which the mean squares of signal and gradient grow from layer to layer."""
    rng = np.random.default_rng(0)
    linears = [nn.Linear(width, width, bias=False, init=init_of, rng=rng) for _ in range(depth)]
    model = nn.Sequential(*(layer for linear in linears for layer in (linear, activation())))
    x, dy = rng.standard_normal((2, 200, width)).astype(np.float32)
    y, dx = model(x), model.backward(dy)
    return (y**2).mean() ** (1 / depth), (dx**2).mean() ** (1 / depth)


class Identity(nn.Module):
    def forward(self, x):
        return x

    def backward(self, dy):
        return dy


@pytest.mark.parametrize("name", ["xavier_uniform", "xavier_normal", "orthogonal"])
def test_xavier_and_orthogonal_keep_signal_and_gradient_at_their_size_through_linear_layers(name):
    assert growth_per_layer(getattr(init, name), Identity) == pytest.approx((1, 1), rel=0.03)


@pytest.mark.parametrize("name", ["he_uniform", "he_normal"])
def test_he_keeps_signal_and_gradient_at_their_size_through_layers_of_relu(name):
    assert growth_per_layer(getattr(init, name), nn.ReLU) == pytest.approx((1, 1), rel=0.06)


def test_xaviers_halve_at_every_relu_which_is_why_he_doubled_them():
    assert growth_per_layer(init.xavier_normal, nn.ReLU) == pytest.approx((0.5, 0.5), rel=0.06)


def test_an_opened_forget_gate_keeps_what_the_cell_holds():
    for lstm in (nn.LSTM(3, 4, num_layers=2, bidirectional=True, rng=0), nn.LSTMCell(3, 4, rng=0)):
        before = {name: p.data.copy() for name, p in lstm.named_parameters()}
        init.open_forget_gates(lstm, 2.0)
        for name, p in lstm.named_parameters():
            if name.startswith("bias"):
                np.testing.assert_array_equal(p.data[4:8], 2 if name.startswith("bias_ih") else 0)
            others = np.r_[0:4, 8:16] if name.startswith("bias") else slice(None)
            np.testing.assert_array_equal(p.data[others], before[name][others])
    with pytest.raises(ValueError, match="there is no LSTM or LSTMCell in this Linear"):
        init.open_forget_gates(nn.Linear(2, 3))


H = 64
RECURRENT = [nn.RNNCell, nn.GRUCell, nn.LSTMCell, nn.RNN, nn.GRU, nn.LSTM]


@pytest.mark.parametrize(("make", "bound"), [
    *((lambda make=make: make(5, H, rng=0), 1 / math.sqrt(H)) for make in RECURRENT),
    (lambda: nn.Linear(H, 100, rng=0), 1 / math.sqrt(H)),
    (lambda: nn.Conv1d(8, 40, 4, rng=0), 1 / math.sqrt(8 * 4)),
    (lambda: nn.Conv2d(8, 40, 3, rng=0), 1 / math.sqrt(8 * 9)),
])  # fmt: skip
def test_the_first_weights_and_biases_are_uniform_up_to_pytorchs_bound(make, bound):
    values = np.concatenate([p.data.ravel() for p in make().parameters()])
    assert 0.98 * bound < np.abs(values).max() <= bound
    assert np.abs(values).mean() == pytest.approx(bound / 2, rel=0.05)
