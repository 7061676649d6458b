"""Padding before the sequences gives what padding after them gives, at other places."""

import numpy as np
import pytest

import nnscratch as nn

LENGTHS = np.array([5, 2, 3])
N, T, D = 3, 5, 4
RNG = np.random.default_rng(0)


def moved_to_the_front(a):
    """Return a left-padded array, shape (N, T, ...), with the padding behind each sequence instead."""
    return np.stack([np.roll(row, n, axis=0) for row, n in zip(a, LENGTHS, strict=True)])


def real_only(a, left):
    """Return the array with zeros on padding."""
    t, n = np.arange(T), LENGTHS[:, None]
    return a * ((t >= T - n) if left else (t < n))[:, :, None]


def same_layer(make):
    one, other = make().to(dtype=np.float64), make().to(dtype=np.float64)
    for p, q in zip(one.parameters(), other.parameters(), strict=True):
        p.data += 0.3 * RNG.normal(size=p.shape)
        q.data[...] = p.data
    return one, other


@pytest.mark.parametrize("kind", [nn.RNN, nn.GRU, nn.LSTM])
@pytest.mark.parametrize("bidirectional", [False, True])
def test_recurrent_layers(kind, bidirectional):
    right, left = same_layer(lambda: kind(D, 3, num_layers=2, bidirectional=bidirectional, rng=1))
    x, dy = RNG.normal(size=(N, T, D)), RNG.normal(size=(N, T, 6 if bidirectional else 3))
    y, state = left(x, lengths=LENGTHS, padding_side="left")
    expected_y, expected_state = right(moved_to_the_front(x), lengths=LENGTHS)
    np.testing.assert_array_equal(moved_to_the_front(y), expected_y)
    np.testing.assert_array_equal(state, expected_state)
    assert not y[1, :3].any() and y[1, 3:].all()
    dx, dstate = left.backward(dy)
    expected_dx, expected_dstate = right.backward(moved_to_the_front(dy))
    np.testing.assert_array_equal(moved_to_the_front(dx), expected_dx)
    np.testing.assert_array_equal(dstate, expected_dstate)
    for p, q in zip(left.parameters(), right.parameters(), strict=True):
        np.testing.assert_array_equal(p.grad, q.grad)


@pytest.mark.parametrize("causal", [False, True])
@pytest.mark.parametrize("make", [nn.MultiheadAttention, nn.TransformerBlock])
def test_attention(make, causal):
    right, left = same_layer(lambda: make(D, 2, causal=causal, rng=1))
    x, dy = RNG.normal(size=(N, T, D)), real_only(RNG.normal(size=(N, T, D)), left=True)
    y = left(x, lengths=LENGTHS, padding_side="left")
    expected = right(moved_to_the_front(x), lengths=LENGTHS)
    np.testing.assert_allclose(
        moved_to_the_front(real_only(y, left=True)), real_only(expected, left=False), rtol=1e-12, atol=1e-14
    )
    assert np.isfinite(y).all()  # also on padding, which has no earlier token
    dx, expected_dx = left.backward(dy), right.backward(moved_to_the_front(dy))
    np.testing.assert_allclose(moved_to_the_front(dx), expected_dx, rtol=1e-12, atol=1e-14)
    for (name, p), q in zip(left.named_parameters(), right.parameters(), strict=True):
        np.testing.assert_allclose(p.grad, q.grad, rtol=1e-10, atol=1e-12, err_msg=name)


def test_no_real_token_attends_to_padding_and_the_weights_say_so():
    attention = nn.MultiheadAttention(D, 2, causal=True, rng=0).to(dtype=np.float64)
    A = attention.weights(RNG.normal(size=(N, T, D)), lengths=LENGTHS, padding_side="left")
    assert not A[1, :, 3:, :3].any() and not A[2, :, 2:, :2].any()
    np.testing.assert_allclose(A.sum(axis=-1), 1)


def test_sequences_are_padded_on_the_left():
    padded, lengths = nn.data.pad_sequences([[5, 3], [7, 7, 7], [1]], value=9, padding_side="left")
    assert padded.tolist() == [[9, 5, 3], [7, 7, 7], [9, 9, 1]] and lengths.tolist() == [2, 3, 1]


@pytest.mark.parametrize("call", [
    lambda: nn.LSTM(D, 3)(np.ones((N, T, D), dtype=np.float32), lengths=LENGTHS, padding_side="before"),
    lambda: nn.TransformerBlock(D, 2)(np.ones((N, T, D), dtype=np.float32), lengths=LENGTHS, padding_side="before"),
    lambda: nn.data.pad_sequences([[1]], padding_side="before"),
])  # fmt: skip
def test_another_side_is_refused(call):
    with pytest.raises(ValueError, match="padding_side must be one of 'right', 'left', got 'before'"):
        call()


OF_MEMORY = ("memory", "decoder")  # in these, the padding is in the memory


def attention_cases():
    D = 6
    x = np.random.default_rng(4).normal(size=(2, 3, D))
    return {
        "attention": (nn.MultiheadAttention(D, 2, rng=0), lambda layer, a, **o: layer(a, **o)),
        "causal attention": (nn.MultiheadAttention(D, 2, causal=True, rng=0), lambda layer, a, **o: layer(a, **o)),
        "memory": (nn.CrossAttention(D, 2, rng=0), lambda layer, a, lengths: layer(x, a, lengths)),
        "decoder": (nn.TransformerDecoderBlock(D, 2, rng=0), lambda layer, a, lengths: layer(x, a, lengths)),
        "block": (nn.TransformerBlock(D, 2, rng=0), lambda layer, a, **o: layer(a, **o)),
        "post-norm": (nn.TransformerBlock(D, 2, norm_first=False, rng=0), lambda layer, a, **o: layer(a, **o)),
    }


@pytest.mark.parametrize("value", [np.nan, np.inf, 1e308])
@pytest.mark.parametrize(("case", "side"), [
    *((case, "right") for case in attention_cases()),
    *((case, "left") for case in attention_cases() if case not in OF_MEMORY),
])  # fmt: skip
def test_nan_in_the_padding_reaches_neither_the_tokens_nor_the_gradients(case, side, value):
    layer, call = attention_cases()[case]
    options = {"lengths": [2, 4]} | ({} if side == "right" else {"padding_side": "left"})
    layer.to(dtype=np.float64)
    a = np.random.default_rng(5).normal(size=(2, 4, 6))
    real = np.ones((2, 4), dtype=bool)
    real[0, 2:] = False
    if side == "left":
        real[0] = real[0, ::-1]
    results = []
    for padding in (0.0, value):
        padded = np.where(real[:, :, None], a, padding)
        layer.zero_grad()
        y = call(layer, padded, **options)
        dy = np.random.default_rng(6).normal(size=y.shape)
        if case not in OF_MEMORY:
            dy[~real], y = 0, y[real]
        dx = layer.backward(dy)
        results.append([y, *(dx if isinstance(dx, tuple) else [dx]), *(p.grad.copy() for p in layer.parameters())])
    for expected, got in zip(*results, strict=True):
        np.testing.assert_array_equal(got, expected)
