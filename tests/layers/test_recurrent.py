"""RNN, GRU and LSTM: the fast ones are the textbook ones; both directions; sequences of different lengths."""

import numpy as np
import pytest
from directions import assert_gradient
from hypothesis import given, settings
from hypothesis import strategies as st

import nnscratch as nn

few = settings(max_examples=20)
sizes = {"n": st.integers(1, 3), "t": st.integers(1, 5), "d": st.integers(1, 3), "h": st.integers(1, 4),
         "layers": st.integers(1, 3), "seed": st.integers(0, 999)}  # fmt: skip
KINDS = {
    "rnn": (nn.RNN, nn.RNNCell, {}),
    "relu": (nn.RNN, nn.RNNCell, {"nonlinearity": "relu"}),
    "gru": (nn.GRU, nn.GRUCell, {}),
    "lstm": (nn.LSTM, nn.LSTMCell, {}),
}
every_kind = pytest.mark.parametrize("kind", KINDS)


def make(kind, d, h, layers=1, seed=0, **more):
    fast, _, options = KINDS[kind]
    return fast(d, h, layers, rng=seed, **options, **more).to(dtype=np.float64)


def parts(state):
    return state if isinstance(state, tuple) else (state,)


def as_state(arrays):
    return tuple(arrays) if len(arrays) > 1 else arrays[0]


def draw_state(kind, shape, rng):
    return as_state([rng.normal(size=shape) for _ in range(2 if kind == "lstm" else 1)])


def assert_same(got, expected, tolerance=1e-12):
    for a, b in zip(parts(got), parts(expected), strict=True):
        np.testing.assert_allclose(a, b, rtol=tolerance, atol=tolerance)


# --- the textbook ----------------------------------------------------------------------------------------------------


def textbook(kind, module):
    """The textbook cells with the weights of `module`, unrolled."""
    _, cell, options = KINDS[kind]
    cells, own = [], module.state_dict()
    for layer in range(module.num_layers):
        size = module.input_size if layer == 0 else module.hidden_size
        cells.append(cell(size, module.hidden_size, **options).to(dtype=np.float64))
        cells[-1].load_state_dict({name: own[f"{name}_l{layer}"] for name in cells[-1].state_dict()})
    return nn.Unrolled(cells)


@every_kind
@few
@given(**sizes)
def test_the_fast_one_equals_the_cell_unrolled_values_and_gradients(kind, n, t, d, h, layers, seed):
    rng = np.random.default_rng(seed)
    module = make(kind, d, h, layers, seed)
    x, dy = rng.normal(size=(n, t, d)), rng.normal(size=(n, t, h))
    state, dstate = (draw_state(kind, (layers, n, h), rng) for _ in range(2))
    y, last = module(x, state)
    dx, first = module.backward(dy, dstate)
    unrolled = textbook(kind, module)
    y_, last_ = unrolled(x, state)
    dx_, first_ = unrolled.backward(dy, dstate)
    assert_same((y, *parts(last), dx, *parts(first)), (y_, *parts(last_), dx_, *parts(first_)))
    for layer, cell in enumerate(unrolled.cells.layers):
        for p, q in zip(module.layer_parameters(layer), cell.parameters(), strict=True):
            assert_same(p.grad, q.grad)


@every_kind
@pytest.mark.parametrize("bidirectional", [False, True])
@pytest.mark.parametrize("lengths", [None, [4, 1, 2]])
def test_gradients_are_the_numerical_ones(kind, bidirectional, lengths):
    rng = np.random.default_rng(5)
    module = make(kind, 2, 3, 2, seed=1, bidirectional=bidirectional)
    rows = 4 if bidirectional else 2
    x, state = rng.normal(size=(3, 4, 2)), draw_state(kind, (rows, 3, 3), rng)
    y, last = module(x, state, lengths)
    dy, dlast = rng.normal(size=y.shape), as_state([rng.normal(size=s.shape) for s in parts(last)])
    module.zero_grad()
    module(x, state, lengths)
    dx, dstate = module.backward(dy, dlast)
    module.eval()

    def loss():
        y, last = module(x, state, lengths)
        return (y * dy).sum() + sum((s * ds).sum() for s, ds in zip(parts(last), parts(dlast), strict=True))

    assert_gradient(loss, x, dx)
    for s, ds in zip(parts(state), parts(dstate), strict=True):
        assert_gradient(loss, s, ds)
    for name, p in module.named_parameters():
        assert_gradient(loss, p.data, p.grad, name)


@pytest.mark.parametrize("kind", KINDS)
def test_the_cells_gradients_are_the_numerical_ones(kind, numerical):
    rng = np.random.default_rng(2)
    _, cell, options = KINDS[kind]
    cell = cell(2, 3, rng=1, **options).to(dtype=np.float64)
    x, state = rng.normal(size=(4, 2)), draw_state(kind, (4, 3), rng)
    dstate = draw_state(kind, (4, 3), rng)
    cell(x, state)
    dx, dbefore = cell.backward(*parts(dstate))
    cell.eval()

    def loss():
        return sum((s * ds).sum() for s, ds in zip(parts(cell(x, state)), parts(dstate), strict=True))

    np.testing.assert_allclose(dx, numerical(loss, x), atol=1e-8)
    for s, ds in zip(parts(state), parts(dbefore), strict=True):
        np.testing.assert_allclose(ds, numerical(loss, s), atol=1e-8)
    for name, p in cell.named_parameters():
        np.testing.assert_allclose(p.grad, numerical(loss, p.data), atol=1e-8, err_msg=name)


# --- states ----------------------------------------------------------------------------------------------------------


@every_kind
def test_two_halves_with_the_state_carried_are_the_whole(kind):
    module, x = make(kind, 3, 4, 2), np.random.default_rng(0).normal(size=(2, 7, 3))
    y, last = module.eval()(x)
    first, state = module(x[:, :3])
    second, state = module(x[:, 3:], state)
    assert_same(np.concatenate([first, second], axis=1), y)
    assert_same(state, last)


# --- both directions -------------------------------------------------------------------------------------------------


@every_kind
def test_the_second_direction_is_the_first_on_the_sequence_turned_round(kind):
    both, one = make(kind, 3, 4, bidirectional=True), make(kind, 3, 4)
    own = both.state_dict()
    one.load_state_dict({name: own[f"{name}_reverse"] for name in one.state_dict()})
    x = np.random.default_rng(0).normal(size=(2, 5, 3))
    y, state = both(x)
    y_turned, state_turned = one(x[:, ::-1])
    assert_same(y[:, :, 4:], y_turned[:, ::-1])
    assert_same([s[1] for s in parts(state)], [s[0] for s in parts(state_turned)])


@every_kind
def test_with_two_directions_the_first_step_knows_the_last(kind):
    module, x = make(kind, 3, 4, bidirectional=True).eval(), np.random.default_rng(0).normal(size=(1, 6, 3))
    changed = x.copy()
    changed[:, -1] += 1
    assert np.abs(module(x)[0][:, 0] - module(changed)[0][:, 0]).max() > 1e-6
    assert make(kind, 3, 4, 2, bidirectional=True).state_dict()["weight_ih_l1_reverse"].shape[1] == 8


@every_kind
def test_dropout_between_layers_draws_the_same_with_the_same_seed_and_nothing_in_eval(kind):
    x = np.random.default_rng(0).normal(size=(2, 5, 3))
    for more in ({}, {"bidirectional": True}):
        ys = [make(kind, 3, 4, 2, seed, dropout=0.5, **more)(x)[0] for seed in (7, 7)]
        assert_same(ys[0], ys[1], 0)
        module = make(kind, 3, 4, 2, 7, dropout=0.5, **more)
        assert np.abs(module(x)[0] - module.eval()(x)[0]).max() > 1e-3
        plain = make(kind, 3, 4, 2, 7, **more)
        assert_same(module(x)[0], plain(x)[0])


# --- different lengths -----------------------------------------------------------------------------------------------


@every_kind
@few
@given(data=st.data(), bidirectional=st.booleans(), **sizes)
def test_a_batch_of_different_lengths_equals_every_sequence_alone(kind, data, bidirectional, n, t, d, h, layers, seed):
    lengths = data.draw(st.lists(st.integers(1, t), min_size=n, max_size=n))
    rng, directions = np.random.default_rng(seed), 1 + bidirectional
    module = make(kind, d, h, layers, seed, bidirectional=bidirectional)
    x, dy = rng.normal(size=(n, t, d)), rng.normal(size=(n, t, directions * h))
    state, dstate = (draw_state(kind, (layers * directions, n, h), rng) for _ in range(2))
    padding = np.arange(t) >= np.array(lengths)[:, None]
    x[padding] = np.nan  # never read
    dy[padding] = np.nan

    y, last = module(x, state, lengths)
    dx, first = module.backward(dy, dstate)
    gradients = [p.grad.copy() for p in module.parameters()]
    assert not y[padding].any() and not dx[padding].any()

    module.zero_grad()
    for k, length in enumerate(lengths):
        row = slice(k, k + 1)
        y_, last_ = module(x[row, :length], as_state([s[:, row] for s in parts(state)]))
        dx_, first_ = module.backward(dy[row, :length], as_state([ds[:, row] for ds in parts(dstate)]))
        assert_same((y[row, :length], dx[row, :length]), (y_, dx_))
        assert_same([s[:, row] for s in parts(last) + parts(first)], [*parts(last_), *parts(first_)])
    for p, expected in zip(module.parameters(), gradients, strict=True):
        assert_same(p.grad, expected)


@every_kind
def test_several_forwards_with_and_without_lengths_are_undone_last_in_first_out(kind):
    module, rng = make(kind, 2, 3, 2), np.random.default_rng(0)
    x, dy = rng.normal(size=(2, 4, 2)), rng.normal(size=(2, 4, 3))
    expected = []
    for lengths in (None, [4, 2]):
        module(x, None, lengths)
        expected.append(module.backward(dy)[0])
    module(x)
    module(x, None, [4, 2])
    assert_same(module.backward(dy)[0], expected[1])
    assert_same(module.backward(dy)[0], expected[0])
    with pytest.raises(RuntimeError, match="no saved forward call is left"):
        module.backward(dy)


@every_kind
def test_eval_keeps_nothing_with_lengths_and_directions_too(kind):
    module, x = make(kind, 2, 3, bidirectional=True).eval(), np.ones((2, 4, 2))
    module(x, lengths=[1, 4])
    with pytest.raises(RuntimeError, match="eval"):
        module.backward(np.ones((2, 4, 6)))


# --- what is refused -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("dtype", [np.uint8, np.uint64])
def test_lengths_may_be_of_any_integers(dtype):
    module, x = make("lstm", 2, 3, bidirectional=True), np.random.default_rng(0).normal(size=(2, 4, 2))
    np.testing.assert_array_equal(module(x, lengths=np.array([4, 1], dtype))[0], module(x, lengths=[4, 1])[0])


@every_kind
def test_bad_lengths_are_refused(kind):
    module, x = make(kind, 2, 3), np.ones((2, 4, 2))
    for bad, message in [
        ([1], "one integer for each of the 2 sequences"),
        ([1.0, 2.0], "got shape .2,. of float64"),
        ([0, 4], r"lengths must be in 1\.\.4, got 0\.\.4"),
        ([1, 5], r"lengths must be in 1\.\.4, got 1\.\.5"),
    ]:
        with pytest.raises(ValueError, match=message):
            module(x, lengths=bad)
    with pytest.raises(TypeError, match="lengths: expected a NumPy or CuPy array, got int"):
        module(x, lengths=3)
    with pytest.raises(RuntimeError, match="no saved forward call is left"):
        module.backward(np.ones((2, 4, 3)))


@pytest.mark.parametrize("kind", ["rnn", "gru"])
def test_bad_input_is_refused(kind):
    module = make(kind, 2, 3, 2)
    name = type(module).__name__
    with pytest.raises(ValueError, match=rf"{name}\(2, 3\) needs x of shape \(batch, time, 2\).* got \(4, 2\)"):
        module(np.ones((4, 2)))
    with pytest.raises(TypeError, match="float64, but x is float32"):
        module(np.ones((1, 4, 2), dtype=np.float32))
    with pytest.raises(ValueError, match=r"state must be .* = \(2, 1, 3\), got \(1, 1, 3\)"):
        module(np.ones((1, 4, 2)), np.ones((1, 1, 3)))
    module(np.ones((1, 4, 2)))
    with pytest.raises(ValueError, match=r"dstate must have the output's shape \(2, 1, 3\)"):
        module.backward(np.ones((1, 4, 3)), np.ones((3, 1, 3)))


@pytest.mark.parametrize("cell", [nn.RNNCell, nn.GRUCell])
def test_the_cells_refuse_bad_input(cell):
    cell = cell(2, 3)
    with pytest.raises(ValueError, match=r"needs x of shape \(N, 2\), got \(4, 3\)"):
        cell(np.ones((4, 3), dtype=np.float32))
    with pytest.raises(ValueError, match=r"needs h of shape \(4, 3\), got \(3, 4\)"):
        cell(np.ones((4, 2), dtype=np.float32), np.ones((3, 4), dtype=np.float32))
    with pytest.raises(ValueError, match="hidden_size must be an integer of 1 or more"):
        type(cell)(2, 0)


def test_an_unknown_nonlinearity_is_refused():
    for layer in (nn.RNN, nn.RNNCell):
        with pytest.raises(ValueError, match='nonlinearity must be "tanh" or "relu", got \'gelu\''):
            layer(2, 3, nonlinearity="gelu")


# --- Unrolled --------------------------------------------------------------------------------------------------------


def two_cells():
    return nn.Unrolled([nn.GRUCell(2, 3, rng=0), nn.GRUCell(3, 3, rng=1)])


def test_unrolled_names_its_parameters_by_layer():
    names = ["weight_ih", "weight_hh", "bias_ih", "bias_hh"]
    assert list(two_cells().state_dict()) == [f"cells.{layer}.{name}" for layer in range(2) for name in names]


def test_unrolled_can_be_saved_and_loaded(tmp_path):
    model, x = two_cells(), np.ones((2, 4, 2), np.float32)
    nn.save(model, tmp_path / "model")
    np.testing.assert_array_equal(nn.load(tmp_path / "model")(x)[0], model(x)[0])


@every_kind
def test_unrolled_without_state_or_dstate_starts_from_zeros(kind):
    unrolled, rng = textbook(kind, make(kind, 2, 3, 2)), np.random.default_rng(0)
    x, dy = rng.normal(size=(2, 4, 2)), rng.normal(size=(2, 4, 3))
    zeros = as_state([np.zeros((2, 2, 3)) for _ in range(2 if kind == "lstm" else 1)])
    assert_same(unrolled(x)[0], unrolled(x, zeros)[0], 0)
    assert_same(unrolled.backward(dy)[0], unrolled.backward(dy, zeros)[0], 0)


def test_one_cell_can_serve_as_two_layers(numerical):
    cell = nn.RNNCell(3, 3, rng=0).to(dtype=np.float64)
    unrolled, rng = nn.Unrolled([cell, cell]), np.random.default_rng(1)
    x, dy = rng.normal(size=(2, 4, 3)), rng.normal(size=(2, 4, 3))
    unrolled(x)
    unrolled.backward(dy)
    unrolled.eval()
    expected = numerical(lambda: (unrolled(x)[0] * dy).sum(), cell.weight_hh.data)
    np.testing.assert_allclose(cell.weight_hh.grad, expected, atol=1e-8)


def test_unrolled_refuses_what_does_not_fit():
    x = np.ones((2, 4, 2), np.float32)
    with pytest.raises(ValueError, match="Unrolled needs at least one cell"):
        nn.Unrolled([])
    with pytest.raises(TypeError, match="takes modules"):
        nn.Unrolled([nn.RNNCell])
    with pytest.raises(ValueError, match=r"x of shape \(batch, time, features\) .* got \(2, 2\)"):
        two_cells()(x[:, 0])
    with pytest.raises(ValueError, match="Unrolled has 2 layers, and got a state of shape"):
        two_cells()(x, np.ones((1, 2, 3), np.float32))
    model = two_cells()
    model(x)
    with pytest.raises(ValueError, match="dy must have the output's shape"):
        model.backward(np.ones((2, 3, 3), np.float32))
