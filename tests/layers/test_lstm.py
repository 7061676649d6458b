"""The LSTM: the fast one is the textbook one, and both have the right gradients."""

import numpy as np
import pytest
from directions import assert_gradient, assert_module_gradients
from hypothesis import given, settings
from hypothesis import strategies as st

import nnscratch as nn

few = settings(max_examples=15)
sizes = {"n": st.integers(1, 3), "t": st.integers(1, 4), "d": st.integers(1, 3), "h": st.integers(1, 3),
         "layers": st.integers(1, 3), "seed": st.integers(0, 999)}  # fmt: skip


def draw(n, t, d, h, layers, seed):
    """A float64 LSTM, an input, a state, and gradients of the same shapes as output and final state."""
    rng = np.random.default_rng(seed)
    lstm = nn.LSTM(d, h, layers, rng=rng).to(dtype=np.float64)
    x, dy = rng.normal(size=(n, t, d)), rng.normal(size=(n, t, h))
    state, dstate = (tuple(rng.normal(size=(2, layers, n, h))) for _ in range(2))
    return lstm, x, state, dy, dstate


def textbook(lstm):
    """The same LSTM as textbook cells, unrolled."""
    cells = []
    for layer in range(lstm.num_layers):
        cell = nn.LSTMCell(lstm.input_size if layer == 0 else lstm.hidden_size, lstm.hidden_size).to(dtype=np.float64)
        for own, fast in zip(cell.parameters(), lstm.layer_parameters(layer), strict=True):
            own.data[...] = fast.data
        cells.append(cell)
    return nn.Unrolled(cells)


def assert_close(one, other, tolerance=1e-12):
    np.testing.assert_allclose(one, other, rtol=tolerance, atol=tolerance)


@given(**sizes)
def test_lstm_equals_lstm_cell_unrolled(n, t, d, h, layers, seed):
    lstm, x, state, dy, dstate = draw(n, t, d, h, layers, seed)
    unrolled = textbook(lstm)
    y_cells, final_cells = unrolled(x, state)
    dx_cells, dinitial_cells = unrolled.backward(dy, dstate)
    y, final = lstm(x, state)
    dx, dinitial = lstm.backward(dy, dstate)

    assert_close(y, y_cells)
    assert_close(final, final_cells)
    assert_close(dx, dx_cells)
    assert_close(dinitial, dinitial_cells)
    for layer, cell in enumerate(unrolled.cells.layers):
        for fast, own in zip(lstm.layer_parameters(layer), cell.parameters(), strict=True):
            assert_close(fast.grad, own.grad)


def test_lstm_equals_lstm_cell_unrolled_at_a_size_where_the_products_are_blocked():
    lstm, x, state, dy, dstate = draw(n=7, t=33, d=20, h=65, layers=2, seed=0)
    unrolled = textbook(lstm)
    y_cells, final_cells = unrolled(x, state)
    dx_cells, dinitial_cells = unrolled.backward(dy, dstate)
    y, final = lstm(x, state)
    dx, dinitial = lstm.backward(dy, dstate)
    for one, other in ((y, y_cells), (final, final_cells), (dx, dx_cells), (dinitial, dinitial_cells)):
        assert_close(one, other, 1e-11)


@few
@given(**sizes)
def test_gradients_of_lstm_match_finite_differences(n, t, d, h, layers, seed):
    lstm, x, state, _, _ = draw(n, t, d, h, layers, seed)
    assert_module_gradients(lstm, x, state)


@few
@given(n=sizes["n"], d=sizes["d"], h=sizes["h"], seed=sizes["seed"])
def test_gradients_of_lstm_cell_match_finite_differences(n, d, h, seed):
    rng = np.random.default_rng(seed)
    cell = nn.LSTMCell(d, h, rng=rng).to(dtype=np.float64)
    assert_module_gradients(cell, rng.normal(size=(n, d)), tuple(rng.normal(size=(2, n, h))))


@few
@given(**{**sizes, "layers": st.integers(2, 3)})
def test_with_dropout_between_layers_backward_uses_forwards_masks(n, t, d, h, layers, seed):
    lstm, x, state, dy, (dh, dc) = draw(n, t, d, h, layers, seed)
    lstm.dropout = 0.5

    def loss():
        lstm.rng = np.random.default_rng(seed)  # the same masks every time
        y, (h, c) = lstm(x, state)
        return (dy * y).sum() + (dh * h).sum() + (dc * c).sum()

    loss()
    dx, _ = lstm.backward(dy, (dh, dc))
    assert_gradient(loss, x, dx)


@given(**{**sizes, "t": st.integers(2, 6)}, cut=st.integers(1, 5))
def test_in_two_halves_with_the_state_carried_it_is_the_same_as_once_through(n, t, d, h, layers, seed, cut):
    cut = min(cut, t - 1)
    lstm, x, state, dy, dstate = draw(n, t, d, h, layers, seed)
    y, final = lstm(x, state)
    dx, dinitial = lstm.backward(dy, dstate)
    gradients = [p.grad.copy() for p in lstm.parameters()]
    lstm.zero_grad()

    y_left, middle = lstm(x[:, :cut], state)
    y_right, final_right = lstm(x[:, cut:], middle)
    dx_right, dmiddle = lstm.backward(dy[:, cut:], dstate)
    dx_left, dinitial_left = lstm.backward(dy[:, :cut], dmiddle)
    assert_close(np.concatenate([y_left, y_right], axis=1), y)
    assert_close(final_right, final)
    assert_close(np.concatenate([dx_left, dx_right], axis=1), dx)
    assert_close(dinitial_left, dinitial)
    for p, whole in zip(lstm.parameters(), gradients, strict=True):
        assert_close(p.grad, whole)


@given(**sizes)
def test_no_state_means_a_state_of_zeros_and_no_dstate_a_gradient_of_zeros(n, t, d, h, layers, seed):
    lstm, x, _, dy, _ = draw(n, t, d, h, layers, seed)
    zeros = np.zeros((2, layers, n, h))
    y, final = lstm(x)
    dx, dinitial = lstm.backward(dy)
    y_zeros, final_zeros = lstm(x, tuple(zeros))
    dx_zeros, dinitial_zeros = lstm.backward(dy, tuple(zeros))
    for one, other in ((y, y_zeros), (final, final_zeros), (dx, dx_zeros), (dinitial, dinitial_zeros)):
        np.testing.assert_array_equal(one, other)


@given(**sizes)
def test_what_it_returned_stays_as_it_was_when_it_runs_again(n, t, d, h, layers, seed):
    lstm, x, state, dy, dstate = draw(n, t, d, h, layers, seed)
    for mode in (True, False):
        lstm.train(mode)
        y, final = lstm(x, state)
        kept = y.copy(), np.copy(final)
        if mode:
            dx, dinitial = lstm.backward(dy, dstate)
            kept_dx, kept_dinitial = dx.copy(), np.copy(dinitial)
        lstm(x + 1, state)
        if mode:
            lstm.backward(dy + 1, dstate)
        np.testing.assert_array_equal(y, kept[0])
        np.testing.assert_array_equal(final, kept[1])
    np.testing.assert_array_equal(dx, kept_dx)
    np.testing.assert_array_equal(dinitial, kept_dinitial)


def test_the_state_and_the_gradients_given_are_not_changed():
    lstm, x, state, dy, dstate = draw(n=2, t=3, d=2, h=3, layers=2, seed=0)
    before = [a.copy() for a in (x, *state, dy, *dstate)]
    lstm(x, state)
    lstm.backward(dy, dstate)
    for given_, copy in zip((x, *state, dy, *dstate), before, strict=True):
        np.testing.assert_array_equal(given_, copy)


def test_dropout_does_not_touch_the_last_layer_nor_eval_mode():
    one_layer = nn.LSTM(3, 4, num_layers=1, dropout=0.9, rng=0)
    x = np.random.default_rng(0).normal(size=(2, 5, 3)).astype(np.float32)
    np.testing.assert_array_equal(one_layer(x)[0], one_layer(x)[0])
    two_layers = nn.LSTM(3, 4, num_layers=2, dropout=0.9, rng=0)
    assert not np.array_equal(two_layers(x)[0], two_layers(x)[0])
    two_layers.eval()
    without = nn.LSTM(3, 4, num_layers=2, rng=0)
    np.testing.assert_array_equal(two_layers(x)[0], without(x)[0])


def test_no_input_is_too_large():
    lstm = nn.LSTM(2, 3, rng=0)
    y, (h, c) = lstm(np.array([[[1e30, -1e30], [-1e30, 1e30]]], np.float32))
    dx, _ = lstm.backward(np.ones_like(y))
    for values in (y, h, c, dx):
        assert np.isfinite(values).all()


def test_parameters_have_pytorchs_names_and_shapes():
    shapes = {name: p.shape for name, p in nn.LSTM(3, 5, num_layers=2).named_parameters()}
    assert shapes == {
        "weight_ih_l0": (20, 3), "weight_hh_l0": (20, 5), "bias_ih_l0": (20,), "bias_hh_l0": (20,),
        "weight_ih_l1": (20, 5), "weight_hh_l1": (20, 5), "bias_ih_l1": (20,), "bias_hh_l1": (20,),
    }  # fmt: skip


def test_weights_start_uniform_within_one_over_the_root_of_the_hidden_size():
    for parameter in nn.LSTM(30, 64, num_layers=2, rng=0).parameters():
        assert np.abs(parameter.data).max() <= 1 / 8
        assert parameter.data.std() == pytest.approx(1 / 8 / np.sqrt(3), rel=0.1)


F32 = np.float32


@pytest.mark.parametrize(
    ("x", "state", "error", "message"),
    [
        (np.ones((2, 3), F32), None, ValueError, r"LSTM\(3, 4\) needs x of shape \(batch, time, 3\).*got \(2, 3\)"),
        (np.ones((2, 5, 4), F32), None, ValueError, r"needs x of shape \(batch, time, 3\).*got \(2, 5, 4\)"),
        (np.ones((2, 0, 3), F32), None, ValueError, "at least one sequence and one step"),
        (np.ones((0, 5, 3), F32), None, ValueError, "at least one sequence and one step"),
        (np.ones((2, 5, 3)), None, TypeError, "LSTM: the parameters are float32, but x is float64"),
        (np.ones((2, 5, 3), F32), np.ones((2, 2, 2, 4), F32), TypeError, r"state must be a pair \(h, c\), got ndarray"),
        (np.ones((2, 5, 3), F32), (np.ones((2, 2, 4), F32),), TypeError, r"state must be a pair \(h, c\)"),
        (np.ones((2, 5, 3), F32), (np.ones((2, 2, 4), F32), np.ones((2, 1, 4), F32)), ValueError,
         r"LSTM: c must be \(num_layers, batch, hidden_size\) = \(2, 2, 4\), got \(2, 1, 4\)"),
        (np.ones((2, 5, 3), F32), (np.ones((2, 2, 4)), np.ones((2, 2, 4), F32)), TypeError, "but h is float64"),
    ],
)  # fmt: skip
def test_what_does_not_fit_is_refused_and_nothing_is_kept(x, state, error, message):
    lstm = nn.LSTM(3, 4, num_layers=2, rng=0)
    with pytest.raises(error, match=message):
        lstm(x, state)
    with pytest.raises(RuntimeError, match="no saved forward call is left"):
        lstm.backward(np.ones((2, 5, 4), F32))


@pytest.mark.parametrize(
    ("dstate", "message"),
    [
        ((np.ones((2, 2, 4), F32), np.ones((1, 2, 4), F32)), "dc must have the output's shape"),
        ((np.ones((2, 4), F32), np.ones((2, 2, 4), F32)), "dh must have the output's shape"),
        ((np.ones((2, 2, 4)), np.ones((2, 2, 4), F32)), "dh must have .* dtype float32, got .* float64"),
    ],
)
def test_a_gradient_of_the_state_that_does_not_fit_is_refused_and_no_gradient_changes(dstate, message):
    lstm = nn.LSTM(3, 4, num_layers=2, rng=0)
    lstm(np.ones((2, 5, 3), F32))
    with pytest.raises(ValueError, match=message):
        lstm.backward(np.ones((2, 5, 4), F32), dstate)
    assert not any(p.grad.any() for p in lstm.parameters())


@pytest.mark.parametrize(
    ("x", "state", "error", "message"),
    [
        (np.ones((2, 5, 3), F32), None, ValueError, r"LSTMCell needs x of shape \(N, 3\), got \(2, 5, 3\)"),
        (np.ones((2, 3)), None, TypeError, "LSTMCell: the parameters are float32, but x is float64"),
        (np.ones((2, 3), F32), (np.ones((2, 4), F32), np.ones((1, 4), F32)), ValueError,
         r"LSTMCell needs c of shape \(2, 4\), got \(1, 4\)"),
        (np.ones((2, 3), F32), (np.ones((2, 4)), np.ones((2, 4), F32)), TypeError, "but h is float64"),
    ],
)  # fmt: skip
def test_the_cell_refuses_what_does_not_fit_and_keeps_nothing(x, state, error, message):
    cell = nn.LSTMCell(3, 4, rng=0)
    with pytest.raises(error, match=message):
        cell(x, state)
    with pytest.raises(RuntimeError, match="no saved forward call is left"):
        cell.backward(np.ones((2, 4), F32))


@pytest.mark.parametrize("name", ["input_size", "hidden_size", "num_layers"])
def test_sizes_are_integers_of_one_or_more(name):
    with pytest.raises(ValueError, match=f"{name} must be an integer of 1 or more, got 0"):
        nn.LSTM(**{"input_size": 3, "hidden_size": 2, "num_layers": 1, name: 0})


def test_dropout_is_a_probability():
    with pytest.raises(ValueError, match=r"dropout must be a probability in \[0, 1\), got 1.0"):
        nn.LSTM(3, 4, 2, dropout=1.0)


@pytest.mark.parametrize("state", [3, (np.zeros((1, 2, 4), np.float32),)])
def test_a_state_or_its_gradient_that_is_no_pair_is_said(state):
    lstm, cell = nn.LSTM(3, 4, rng=0), nn.LSTMCell(3, 4, rng=0)
    x = np.zeros((2, 5, 3), np.float32)
    y, _ = lstm(x)
    with pytest.raises(TypeError, match=r"LSTM: dstate must be a pair \(dh, dc\)"):
        lstm.backward(y, state)
    with pytest.raises(TypeError, match=r"LSTM: state must be a pair \(h, c\)"):
        lstm(x, state)
    with pytest.raises(TypeError, match=r"LSTMCell: state must be a pair \(h, c\)"):
        cell(x[:, 0], state)


@pytest.mark.parametrize("layer", [nn.LSTMCell(2, 3, rng=0), nn.LSTM(2, 3, 2, bidirectional=True, rng=0)], ids=repr)
def test_the_biases_of_the_forget_gates_are_the_second_of_four_blocks(layer):
    for name, p in layer.named_parameters():
        p.data[...] = np.repeat([0, 1, 2, 3], 3) if "bias" in name else 7
    biases = [b for pair in layer.forget_gate_biases() for b in pair]
    assert [b.tolist() for b in biases] == [[1, 1, 1]] * (2 if isinstance(layer, nn.LSTMCell) else 8)
