"""Attention from one sequence to another, and the decoder block that uses it."""

import numpy as np
import pytest
from directions import assert_gradient
from hypothesis import given
from hypothesis import strategies as st

import nnscratch as nn

RNG = np.random.default_rng(0)
every_form = pytest.mark.parametrize("norm_first", [True, False])


def attention(**settings):
    return nn.CrossAttention(6, 2, rng=1, **settings).to(dtype=np.float64)


def block(norm_first=True, **settings):
    return nn.TransformerDecoderBlock(6, 2, 8, norm_first=norm_first, rng=1, **settings).to(dtype=np.float64)


def test_it_is_multihead_attention_with_a_memory():
    x, m, dy = RNG.normal(size=(2, 3, 6)), RNG.normal(size=(2, 5, 6)), RNG.normal(size=(2, 3, 6))
    one, other = attention(), nn.MultiheadAttention(6, 2, rng=1).to(dtype=np.float64)
    np.testing.assert_array_equal(one(x, m, [5, 2]), other(x, m, lengths=[5, 2]))
    for ours, theirs in zip(one.backward(dy), other.backward(dy), strict=True):
        np.testing.assert_array_equal(ours, theirs)


@given(st.lists(st.integers(1, 5), min_size=1, max_size=4))
def test_padding_changes_no_output_and_gets_no_gradient(lengths):
    layer, N = attention(), len(lengths)
    x, m = RNG.normal(size=(N, 3, 6)), RNG.normal(size=(N, 5, 6))
    y = layer(x, m, lengths)
    dx, dm = layer.backward(np.ones_like(y))
    gradient = layer.in_proj_weight.grad.copy()
    padding = np.arange(5) >= np.array(lengths)[:, None]
    assert not dm[padding].any()
    layer.zero_grad()
    m[padding] = 1e3 * RNG.normal(size=(padding.sum(), 6))
    np.testing.assert_allclose(layer(x, m, lengths), y, rtol=1e-10, atol=1e-12)
    again, _ = layer.backward(np.ones_like(y))
    np.testing.assert_allclose(again, dx, rtol=1e-10, atol=1e-12)
    np.testing.assert_allclose(layer.in_proj_weight.grad, gradient, rtol=1e-9, atol=1e-9)
    for n, length in enumerate(lengths):  # each sequence alone, without its padding
        alone = layer(x[n : n + 1], m[n : n + 1, :length])
        np.testing.assert_allclose(alone[0], y[n], rtol=1e-10, atol=1e-12)


@every_form
def test_the_blocks_gradients_with_padding_are_the_numerical_ones(norm_first):
    layer, lengths = block(norm_first), [4, 2]
    x, m, dy = RNG.normal(size=(2, 3, 6)), RNG.normal(size=(2, 4, 6)), RNG.normal(size=(2, 3, 6))

    def loss():
        return (layer(x, m, lengths) * dy).sum()

    loss()
    got = layer.backward(dy)
    gradients = [p.grad.copy() for p in layer.parameters()]
    for dx, given_ in zip(got, (x, m), strict=True):
        assert_gradient(loss, given_, dx)
    for (name, p), g in zip(layer.named_parameters(), gradients, strict=True):
        assert_gradient(loss, p.data, g, name)


@every_form
def test_a_token_of_the_decoder_sees_no_later_token(norm_first):
    layer, x, m = block(norm_first), RNG.normal(size=(1, 4, 6)), RNG.normal(size=(1, 5, 6))
    y = layer(x, m)
    x[:, 2:] = 0
    np.testing.assert_array_equal(layer(x, m)[:, :2], y[:, :2])


@every_form
def test_token_by_token_with_the_past_gives_what_one_call_gives(norm_first):
    layer, x, m = block(norm_first).eval(), RNG.normal(size=(2, 4, 6)), RNG.normal(size=(2, 5, 6))
    past, parts = (np.zeros((2, 2, 0, 3)),) * 2, []
    for t in range(4):
        y, past = layer(x[:, t : t + 1], m, [5, 2], past)
        parts.append(y)
    np.testing.assert_allclose(np.concatenate(parts, axis=1), layer(x, m, [5, 2]), rtol=1e-10, atol=1e-12)


def test_dropout_is_drawn_and_undone():
    layer, x, m = block(dropout=0.5), RNG.normal(size=(2, 3, 6)), RNG.normal(size=(2, 4, 6))
    y = layer(x, m)
    assert layer.draws_random_numbers is False  # its inner modules draw
    assert (layer(x, m) != y).any()
    layer.backward(y), layer.backward(y)
    assert not any(module.__dict__.get("_stack") for module in layer.modules())


def test_they_are_saved_and_loaded(tmp_path):
    model = nn.Sequential(
        nn.CrossAttention(6, 2, bias=False, rng=1), block(False, activation="relu").to(dtype=np.float32)
    )
    nn.save(model, tmp_path / "model.safetensors")
    again, x, m = (
        nn.load(tmp_path / "model.safetensors"),
        np.ones((1, 2, 6), np.float32),
        np.ones((1, 3, 6), np.float32),
    )
    for layer, other in zip(model.layers, again.layers, strict=True):
        np.testing.assert_array_equal(layer(x, m), other(x, m))


@pytest.mark.parametrize("lengths", [None, [4, 2]])
def test_keys_and_values_computed_once_give_the_same_output(lengths):
    layer, rng = attention(dropout=0.5).eval(), np.random.default_rng(0)
    x, m = rng.normal(size=(2, 3, 6)), rng.normal(size=(2, 4, 6))
    if lengths is not None:
        m[1, 2:] = np.nan  # padding may hold any values
    k, v = layer.keys_and_values(m, lengths)
    assert k.shape == v.shape == (2, 2, 4, 3)
    np.testing.assert_allclose(layer(x, (k, v), lengths), layer(x, m, lengths), rtol=1e-12)


def test_keys_and_values_are_for_eval_mode_and_have_the_right_shape():
    layer, x = attention(), np.ones((2, 3, 6))
    k, v = layer.keys_and_values(np.ones((2, 4, 6)))
    with pytest.raises(ValueError, match="keys and values have no gradient"):
        layer(x, (k, v))
    layer.eval()
    with pytest.raises(TypeError, match=r"memory must be a pair \(k, v\)"):
        layer(x, (k, v, v))
    with pytest.raises(ValueError, match=r"needs k and v of shape \(2, 2, S, 3\), got \(1, 2, 4, 3\)"):
        layer(x, (k[:1], v[:1]))
    with pytest.raises(ValueError, match=r"needs k and v of shape \(2, 2, S, 3\), got \(2, 2, 2, 3\)"):
        layer(x, (k, v[:, :, :2]))
    with pytest.raises(ValueError, match="memory of shape"):
        layer.keys_and_values(np.ones((2, 4, 5)))


def test_bad_input_is_refused():
    layer, x = attention(), np.ones((2, 3, 6))
    with pytest.raises(
        TypeError, match="CrossAttention needs a memory; for attention of x to itself use MultiheadAttention"
    ):
        layer(x, None)
    with pytest.raises(
        ValueError, match=r"CrossAttention needs memory of shape \(batch, tokens, 6\).* got \(2, 4, 5\)"
    ):
        layer(x, np.ones((2, 4, 5)))
    with pytest.raises(ValueError, match=r"CrossAttention: lengths must be in 1..4, got 0..2"):
        layer(x, np.ones((2, 4, 6)), [0, 2])
    with pytest.raises(ValueError, match="activation must be one of 'relu', 'gelu', 'gelu_tanh', got 'tanh'"):
        nn.TransformerDecoderBlock(6, 2, activation="tanh")
