"""Every layer keeps the contract between forward and backward."""

import cases
import numpy as np
import pytest

import nnscratch as nn

RNG = np.random.default_rng(0)
X = RNG.normal(size=(3, 4, 5))
IDS = RNG.integers(0, 7, (3, 4))
LAYERS = {
    "Linear": (lambda: nn.Linear(5, 6, rng=1), X),
    "Linear without bias": (lambda: nn.Linear(5, 6, bias=False, rng=1), X),
    "Sigmoid": (nn.Sigmoid, X),
    "Tanh": (nn.Tanh, X),
    "ReLU": (nn.ReLU, X),
    "Softmax": (nn.Softmax, X),
    "Dropout": (lambda: nn.Dropout(0.5, rng=1), X),
    "Embedding": (lambda: nn.Embedding(7, 6, rng=1), IDS),
    "LSTMCell": (lambda: nn.LSTMCell(5, 6, rng=1), X[:, 0]),
    "LSTM": (lambda: nn.LSTM(5, 6, num_layers=2, rng=1), X),
    "RNNCell": (lambda: nn.RNNCell(5, 6, rng=1), X[:, 0]),
    "RNN": (lambda: nn.RNN(5, 6, num_layers=2, rng=1), X),
    "GRUCell": (lambda: nn.GRUCell(5, 6, rng=1), X[:, 0]),
    "GRU": (lambda: nn.GRU(5, 6, num_layers=2, rng=1), X),
    "Unrolled": (lambda: nn.Unrolled([nn.LSTMCell(5, 6, rng=1), nn.LSTMCell(6, 6, rng=2)]), X),
    "LSTM, both directions": (lambda: nn.LSTM(5, 6, num_layers=2, bidirectional=True, rng=1), X),
    "MultiheadAttention": (lambda: nn.MultiheadAttention(5, 5, causal=True, rng=1), X),
    "TransformerBlock": (lambda: nn.TransformerBlock(5, 5, rng=1), X),
    "PositionalEmbedding": (lambda: nn.PositionalEmbedding(8, 5, rng=1), X),
    "TransformerLM": (lambda: nn.models.TransformerLM(7, 6, 2, 2, 8, rng=1), IDS),
    "GRU LanguageModel": (lambda: nn.models.LanguageModel(7, 5, 6, 2, cell="gru", rng=1), IDS),
    "LanguageModel": (lambda: nn.models.LanguageModel(7, 5, 6, 2, rng=1), IDS),
    "Sequential": (lambda: nn.Sequential(nn.Linear(5, 6, rng=1), nn.Tanh(), nn.Linear(6, 2, rng=2)), X),
}
every_layer = pytest.mark.parametrize("name", LAYERS)


def make(name, dtype=np.float64):
    """Return the layer and an input for it, in one dtype."""
    build, x = LAYERS[name]
    return build().to(dtype=dtype), x if x.dtype.kind == "i" else x.astype(dtype)


def arrays_in(value):
    """Return all arrays in nested tuples."""
    if isinstance(value, tuple):
        return [array for inner in value for array in arrays_in(inner)]
    return [] if value is None else [value]


def forward(layer, x):
    """Return the first output if a layer has several."""
    return arrays_in(layer(x))[0]


def stacks(module):
    return [m.__dict__["_stack"] for m in module.modules() if m.__dict__.get("_stack")]


@every_layer
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_the_dtype_that_goes_in_comes_out_of_forward_and_backward(name, dtype):
    layer, x = make(name, dtype)
    output = layer(x)
    gradient = layer.backward(np.ones_like(arrays_in(output)[0]))
    for array in arrays_in(output) + arrays_in(gradient) + [p.grad for p in layer.parameters()]:
        assert array.dtype == dtype


@every_layer
def test_a_second_backward_adds_its_gradients_to_those_of_the_first(name):
    layer, x = make(name)
    dy = np.ones_like(forward(layer, x))
    layer.backward(dy)
    once = [p.grad.copy() for p in layer.parameters()]
    forward(layer, x)
    layer.backward(dy)
    for p, first in zip(layer.parameters(), once, strict=True):
        np.testing.assert_allclose(p.grad, 2 * first, rtol=1e-12, atol=1e-14)


@pytest.mark.parametrize("name", [name for name in LAYERS if name != "Dropout"])  # it draws a new mask: test_dropout
def test_forwards_are_undone_last_in_first_out_each_with_its_own_values(name):
    layer, x = make(name)
    other = x[::-1].copy()
    dy = RNG.normal(size=forward(layer, x).shape)
    expected_x = layer.backward(dy)
    forward(layer, other)
    expected_other = layer.backward(dy)

    forward(layer, x)
    forward(layer, other)
    got_other = layer.backward(dy)
    got_x = layer.backward(dy)
    for got, expected in zip(arrays_in((got_x, got_other)), arrays_in((expected_x, expected_other)), strict=True):
        np.testing.assert_array_equal(got, expected)


@every_layer
def test_one_backward_for_each_forward_leaves_nothing_behind(name):
    layer, x = make(name)
    for _ in range(3):
        layer.backward(np.ones_like(forward(layer, x)))
    assert stacks(layer) == []


@every_layer
def test_a_backward_without_a_forward_says_so(name):
    layer, x = make(name)
    dy = np.ones_like(forward(layer, x))
    layer.backward(dy)
    with pytest.raises(RuntimeError, match="backward: no saved forward call is left"):
        layer.backward(dy)


@every_layer
def test_in_eval_mode_nothing_is_kept_and_backward_says_why(name):
    layer, x = make(name)
    layer.eval()
    dy = np.ones_like(forward(layer, x))
    assert stacks(layer) == []
    with pytest.raises(RuntimeError, match=r"in eval\(\) mode forward saves nothing. Call train\(\) first"):
        layer.backward(dy)


@every_layer
def test_zero_grad_clears_the_gradients_and_forgets_the_forwards(name):
    layer, x = make(name)
    dy = np.ones_like(forward(layer, x))
    layer.backward(dy)
    forward(layer, x)
    layer.zero_grad()
    assert not any(p.grad.any() for p in layer.parameters())
    with pytest.raises(RuntimeError, match="no saved forward call is left"):
        layer.backward(dy)


@every_layer
def test_neither_forward_nor_backward_changes_what_it_was_given(name):
    layer, x = make(name)
    before = x.copy()
    output = layer(x)
    dy = RNG.normal(size=arrays_in(output)[0].shape)
    dy_before, output_before = dy.copy(), [a.copy() for a in arrays_in(output)]
    layer.backward(dy)
    np.testing.assert_array_equal(x, before)
    np.testing.assert_array_equal(dy, dy_before)
    for now, then in zip(arrays_in(output), output_before, strict=True):
        np.testing.assert_array_equal(now, then)


@every_layer
def test_a_result_is_not_overwritten_by_later_calls(name):
    layer, x = make(name)
    results, copies = [], []
    for given in (x, x[::-1].copy(), x):
        output = layer(given)
        gradient = layer.backward(np.ones_like(arrays_in(output)[0]))
        results += arrays_in(output) + arrays_in(gradient)
        copies += [a.copy() for a in arrays_in(output) + arrays_in(gradient)]
    for result, copy in zip(results, copies, strict=True):
        np.testing.assert_array_equal(result, copy)


@every_layer
def test_a_gradient_of_another_shape_is_refused_and_no_gradient_changes(name):
    layer, x = make(name)
    dy = np.ones_like(forward(layer, x))
    for wrong in (dy[:-1], dy[..., None]):
        with pytest.raises(ValueError, match="must have the output's shape"):
            layer.backward(wrong)
        assert not any(p.grad.any() for p in layer.parameters())
        layer.zero_grad()
        forward(layer, x)


@every_layer
def test_a_gradient_of_another_dtype_is_refused(name):
    layer, x = make(name)
    dy = np.ones_like(forward(layer, x))
    with pytest.raises(ValueError, match="and dtype float64, got .* float32"):
        layer.backward(dy.astype(np.float32))


@every_layer
def test_the_same_seed_gives_the_same_layer(name):
    one, x = make(name)
    other, _ = make(name)
    for p, q in zip(one.parameters(), other.parameters(), strict=True):
        np.testing.assert_array_equal(p.data, q.data)
    np.testing.assert_array_equal(forward(one, x), forward(other, x))


@pytest.mark.parametrize("build", [
    lambda rng: nn.Linear(3, 4, rng=rng), lambda rng: nn.Embedding(3, 4, rng=rng), lambda rng: nn.LSTM(3, 4, rng=rng),
    lambda rng: nn.LSTMCell(3, 4, rng=rng), lambda rng: nn.models.LanguageModel(5, 3, 4, rng=rng),
], ids=["Linear", "Embedding", "LSTM", "LSTMCell", "LanguageModel"])  # fmt: skip
def test_another_seed_gives_other_weights_and_a_wrong_one_is_refused(build):
    for p, q in zip(build(0).parameters(), build(1).parameters(), strict=True):
        assert not np.array_equal(p.data, q.data)
    with pytest.raises(TypeError, match="rng must be None, an int of 0 or more, or a numpy.random.Generator"):
        build("seven")


@pytest.mark.parametrize("name", [name for name, (_, x) in LAYERS.items() if x.dtype.kind == "f"])
def test_what_is_no_array_of_floats_is_refused_and_nothing_is_kept(name):
    layer, x = make(name)
    with pytest.raises(TypeError, match="x must be floats, got int64"):
        layer(x.astype(np.int64))
    with pytest.raises(TypeError, match=r"expected a NumPy or CuPy array, got list; use numpy.asarray\(x\)"):
        layer(x.tolist())
    assert stacks(layer) == []


@pytest.mark.parametrize("name", [name for name in LAYERS if name != "Dropout"])  # it draws a new mask
def test_a_refused_gradient_leaves_the_forward_and_changes_no_gradient(name):
    layer, x = make(name)
    dy = np.ones_like(forward(layer, x))
    expected = layer.backward(dy)
    once = [p.grad.copy() for p in layer.parameters()]
    layer.zero_grad()
    forward(layer, x)
    for wrong in (None, 1.0, dy[:-1], dy.astype(np.float32), dy[..., None]):
        with pytest.raises((TypeError, ValueError)):
            layer.backward(wrong)
    got = layer.backward(dy)
    for one, other in zip(arrays_in(got), arrays_in(expected), strict=True):
        np.testing.assert_array_equal(one, other)
    for p, first in zip(layer.parameters(), once, strict=True):
        np.testing.assert_array_equal(p.grad, first)
    assert not any(vars(module).get("_stack") or "_taken" in vars(module) for module in layer.modules())


@pytest.mark.parametrize("case", [several[0] for several in cases.LAYERS.values()], ids=repr)
def test_every_layer_refuses_a_gradient_of_another_shape_or_dtype(case):
    layer = case.build().to(dtype=np.float64)
    y = layer(*case.inputs(np.random.default_rng(0)))
    dy = np.ones_like(y[0] if isinstance(y, tuple) else y)
    for wrong in (dy[:-1], dy[..., :-1], dy[None], dy.astype(np.float32)):
        with pytest.raises(ValueError, match="dtype float64"):
            layer.backward(wrong)


@pytest.mark.parametrize("case", [several[0] for several in cases.LAYERS.values()], ids=repr)
def test_every_layer_refuses_what_is_no_array_of_floats(case):
    layer = case.build().to(dtype=np.float64)
    x, *others = case.inputs(np.random.default_rng(0))
    if x.dtype.kind == "f":
        for wrong in (x.tolist(), x.astype(np.int64)):
            with pytest.raises(TypeError, match="got list|must be floats"):
                layer(wrong, *others)


@pytest.mark.parametrize("case", [case for several in cases.LAYERS.values() for case in several], ids=repr)
def test_a_layer_built_again_from_its_config_computes_the_same(case):
    layer = case.build().to(dtype=np.float64).eval()
    again = type(layer)(*layer.constructor_modules(), **layer.config()).to(dtype=np.float64).eval()
    assert repr(again) == repr(layer) and again.config().keys() == layer.config().keys()
    again.load_state_dict(layer.state_dict())
    inputs = case.inputs(np.random.default_rng(0))
    for one, other in zip(arrays_in(layer(*inputs)), arrays_in(again(*inputs)), strict=True):
        np.testing.assert_array_equal(one, other)


@pytest.mark.parametrize(("layer", "shape"), [
    (nn.RNNCell(2, 3, rng=0), (1, 2)), (nn.GRUCell(2, 3, rng=0), (1, 2)), (nn.LSTMCell(2, 3, rng=0), (1, 2)),
    (nn.RNN(2, 3, rng=0), (1, 4, 2)), (nn.GRU(2, 3, rng=0), (1, 4, 2)), (nn.LSTM(2, 3, rng=0), (1, 4, 2)),
], ids=repr)  # fmt: skip
def test_a_state_of_another_dtype_or_shape_is_refused(layer, shape):
    x = np.ones(shape, np.float32)
    good = np.ones((1, 3) if x.ndim == 2 else (1, 1, 3), np.float32)
    state = (lambda h: (good, h)) if isinstance(layer, nn.LSTM | nn.LSTMCell) else (lambda h: h)
    layer(x, state(good))
    for wrong in (good.astype(np.float64), good.tolist(), good[..., :2]):
        with pytest.raises((TypeError, ValueError), match=type(layer).__name__):
            layer(x, state(wrong))


def test_flatten_leaves_rows_of_numbers_as_they_are():
    assert nn.Flatten()(np.arange(6.0).reshape(2, 3)).tolist() == [[0, 1, 2], [3, 4, 5]]


def test_a_sequence_longer_than_the_positions_and_a_window_larger_than_the_image_are_refused():
    layer = nn.PositionalEmbedding(4, 3, rng=0)
    layer(np.ones((1, 4, 3), np.float32))
    with pytest.raises(ValueError, match="PositionalEmbedding has 4 positions; 4 tokens that start at position 1 "):
        layer(np.ones((1, 4, 3), np.float32), start=1)
    for pool in (nn.MaxPool2d(3), nn.AvgPool2d(3)):
        with pytest.raises(ValueError, match=type(pool).__name__):
            pool(np.ones((1, 1, 2, 2)))


def test_reversed_sequences_leave_their_padding_in_place():
    steps = np.arange(4.0)[:, None, None] + np.array([0, 10])[:, None]  # (T, N, 1)
    got = nn.layers.segments.flipped(steps, np.array([2, 3]))
    assert got[:, :, 0].T.tolist() == [[1, 0, 2, 3], [12, 11, 10, 13]]


@pytest.mark.parametrize("cls", [nn.Dropout, nn.VariationalDropout])
def test_dropout_says_when_it_draws_random_numbers(cls):
    assert [cls(p).draws_random_numbers for p in (0.0, 0.5)] == [False, True]


@pytest.mark.parametrize("build", [
    lambda rng: nn.TransformerDecoderBlock(4, 2, 8, rng=rng), lambda rng: nn.TransformerBlock(4, 2, 8, rng=rng),
    lambda rng: nn.CrossAttention(4, 2, rng=rng), lambda rng: nn.Conv1d(2, 3, 1, rng=rng),
    lambda rng: nn.Conv2d(2, 3, 1, rng=rng), lambda rng: nn.GRU(2, 3, 2, bidirectional=True, rng=rng),
])  # fmt: skip
def test_all_weights_are_drawn_from_the_generator(build):
    one, other = (build(7).state_dict() for _ in range(2))
    assert all(np.array_equal(one[name], other[name]) for name in one)


def test_a_window_of_two_to_the_63_is_refused():
    with pytest.raises(ValueError, match="kernel_size must be"):
        nn.MaxPool2d(2**63)
