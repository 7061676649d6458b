"""Multi-head attention and positional embeddings: values, gradients, and wrong arguments."""

import numpy as np
import pytest
from directions import assert_gradient
from hypothesis import given, settings
from hypothesis import strategies as st

import nnscratch as nn
from nnscratch.layers.key_value_cache import KeyValueCache

few = settings(max_examples=20)


def make(D=6, heads=2, **more):
    attention = nn.MultiheadAttention(D, heads, rng=1, **more).to(dtype=np.float64)
    rng = np.random.default_rng(3)
    for p in attention.parameters():
        p.data[...] += 0.3 * rng.normal(size=p.shape)
    return attention


def by_the_book(attention, x, memory, hidden):
    """Compute attention for one sequence, one head and one token at a time."""
    D, heads = attention.embed_dim, attention.num_heads
    d = D // heads
    W, b = attention.in_proj_weight.data, attention.in_proj_bias.data
    y = np.empty_like(x)
    for n in range(len(x)):
        q, k, v = (
            x[n] @ W[:D].T + b[:D],
            memory[n] @ W[D : 2 * D].T + b[D : 2 * D],
            memory[n] @ W[2 * D :].T + b[2 * D :],
        )
        for t in range(x.shape[1]):
            o = []
            for head in range(heads):
                own = slice(head * d, (head + 1) * d)
                scores = np.array([q[t, own] @ k[s, own] / np.sqrt(d) for s in range(len(k))])
                a = np.where(hidden(t, n), 0, np.exp(scores))
                o.append((a / a.sum()) @ v[:, own])
            y[n, t] = attention.out_proj.weight.data @ np.concatenate(o) + attention.out_proj.bias.data
    return y


@few
@given(n=st.integers(1, 3), t=st.integers(1, 5), heads=st.integers(1, 3), d=st.integers(1, 3), seed=st.integers(0, 99))
def test_it_is_the_textbooks_attention_head_by_head_and_token_by_token(n, t, heads, d, seed):
    x = np.random.default_rng(seed).normal(size=(n, t, heads * d))
    free, causal = make(heads * d, heads), make(heads * d, heads, causal=True)
    np.testing.assert_allclose(free(x), by_the_book(free, x, x, lambda t, n: False), atol=1e-12)
    places = np.arange(t)
    np.testing.assert_allclose(causal(x), by_the_book(causal, x, x, lambda t, n: places > t), atol=1e-12)


def test_with_lengths_padding_is_not_looked_at_and_gets_no_gradient():
    x, rng = np.random.default_rng(0).normal(size=(2, 5, 6)), np.random.default_rng(1)
    attention = make()
    changed = x.copy()
    changed[0, 3:] += 1
    y = attention(x, lengths=[3, 5])
    np.testing.assert_allclose(attention(changed, lengths=[3, 5])[0, :3], y[0, :3], atol=1e-12)
    np.testing.assert_allclose(make()(x[:1, :3])[0], y[0, :3], atol=1e-12)
    dy = rng.normal(size=y.shape)
    dy[0, 3:] = 0
    assert not attention.backward(dy)[0, 3:].any()


def test_a_causal_token_does_not_see_what_follows_and_its_gradient_does_not_reach_there():
    x = np.random.default_rng(0).normal(size=(1, 5, 6))
    attention = make(causal=True)
    changed = x.copy()
    changed[0, 3] += 1
    y = attention(x)
    assert np.array_equal(attention(changed)[0, :3], y[0, :3])
    dy = np.zeros_like(x)
    dy[0, 2] = 1
    dx = attention.backward(dy)
    assert not dx[0, 3:].any() and dx[0, :3].all()


def test_token_by_token_with_a_past_equals_all_at_once():
    x = np.random.default_rng(0).normal(size=(2, 5, 6))
    attention = make(causal=True).eval()
    past = tuple(np.zeros((2, 2, 0, 3)) for _ in range(2))
    parts = []
    for piece in (x[:, :1], x[:, 1:4], x[:, 4:]):
        y, past = attention(piece, past=past)
        parts.append(y)
    assert past[0].shape == (2, 2, 5, 3)
    np.testing.assert_allclose(np.concatenate(parts, axis=1), attention(x), atol=1e-12)


def test_a_cache_moves_when_it_is_full_or_extended_twice_and_keeps_its_values():
    rng = np.random.default_rng(0)
    k, v, one, other = rng.normal(size=(4, 2, 3, 1, 4))
    cache = KeyValueCache.empty((2, 3, 2, 4), like=k)  # room for 2 tokens
    tokens, caches = [], [cache]
    for _ in range(5):
        tokens.append(rng.normal(size=(2, 2, 3, 1, 4)))
        caches.append(caches[-1].extended(*tokens[-1]))
    for size, cache in enumerate(caches):
        for side in (0, 1):
            expected = np.concatenate([np.empty((2, 3, 0, 4)), *(pair[side] for pair in tokens[:size])], axis=2)
            np.testing.assert_array_equal(cache[side], expected)
    assert np.shares_memory(caches[2][0], caches[1][0])  # within the room
    assert not np.shares_memory(caches[3][0], caches[2][0])  # the room was full
    assert np.shares_memory(caches[4][0], caches[3][0])  # the new room has twice the size
    a, b = caches[3].extended(one, one), caches[3].extended(other, other)
    np.testing.assert_array_equal(a[0][:, :, 3:], one)
    np.testing.assert_array_equal(b[1][:, :, 3:], other)
    np.testing.assert_array_equal(caches[4][0][:, :, 3:], tokens[3][0])


@pytest.mark.parametrize("case", ["free", "causal", "lengths", "memory", "dropout"])
def test_gradients_are_the_numerical_ones(case):
    rng = np.random.default_rng(5)
    attention = make(causal=case == "causal", dropout=0.4 if case == "dropout" else 0.0)
    x, dy = rng.normal(size=(2, 3, 6)), rng.normal(size=(2, 3, 6))
    inputs = (x, rng.normal(size=(2, 4, 6))) if case == "memory" else (x,)
    options = {"lengths": [3, 2]} if case == "lengths" else {}
    state = attention.rng.bit_generator.state

    def loss():
        attention.rng.bit_generator.state = state  # the same mask each time
        return (attention(*inputs, **options) * dy).sum()

    loss()
    got = attention.backward(dy)
    gradients = [p.grad.copy() for p in attention.parameters()]
    for dx, given_ in zip(got if case == "memory" else (got,), inputs, strict=True):
        assert_gradient(loss, given_, dx)
    for (name, p), g in zip(attention.named_parameters(), gradients, strict=True):
        assert_gradient(loss, p.data, g, name)


def test_the_positions_gradients_are_the_numerical_ones(numerical):
    rng = np.random.default_rng(5)
    layer = nn.PositionalEmbedding(6, 3, rng=1).to(dtype=np.float64)
    x, dy = rng.normal(size=(2, 4, 3)), rng.normal(size=(2, 4, 3))

    def loss():
        return (layer(x, start=1) * dy).sum()

    loss()
    np.testing.assert_allclose(layer.backward(dy), numerical(loss, x), atol=1e-8)
    np.testing.assert_allclose(layer.weight.grad, numerical(loss, layer.weight.data), atol=1e-8)


def test_bad_input_is_refused():
    with pytest.raises(ValueError, match="num_heads must divide embed_dim, got embed_dim=6 and num_heads=4"):
        nn.MultiheadAttention(6, 4)
    attention, x = make(), np.ones((2, 3, 6))
    with pytest.raises(ValueError, match=r"needs x of shape \(batch, tokens, 6\).* got \(2, 3, 5\)"):
        attention(x[..., :5])
    with pytest.raises(ValueError, match=r"needs memory of .* got \(1, 3, 6\) with x of shape \(2, 3, 6\)"):
        attention(x, x[:1])
    with pytest.raises(ValueError, match=r"lengths must be in 1\.\.3, got 0\.\.3"):
        attention(x, lengths=[0, 3])
    with pytest.raises(ValueError, match="call it without a memory"):
        make(causal=True)(x, x)
    with pytest.raises(ValueError, match=r"use it in eval\(\) mode only"):
        attention(x, past=(x, x))
    attention, past = attention.eval(), np.ones((2, 2, 4, 3))
    for bad, error, message in [
        (past, TypeError, r"past must be a pair \(k, v\), got ndarray"),
        ((past, past.astype(np.float32)), TypeError, r"the parameters are float64, but past\[1\] is float32"),
        ((past[:1], past[:1]), ValueError, r"needs past\[0\] of shape \(2, 2, P, 3\).* got \(1, 2, 4, 3\)"),
        ((past, past[:, :, :3]), ValueError, r"past\[1\] of shape .*the same P in both .*got \(2, 2, 3, 3\)"),
    ]:
        with pytest.raises(error, match=message):
            attention(x, past=bad)
    with pytest.raises(ValueError, match=r"has 4 positions; 3 tokens that start at position 2 do not fit"):
        nn.PositionalEmbedding(4, 6)(x.astype(np.float32), start=2)
    with pytest.raises(ValueError, match=r"needs x of shape \(batch, time, 6\)"):
        nn.PositionalEmbedding(4, 6)(np.ones((2, 3), dtype=np.float32))


def test_sinusoids_continue_where_the_earlier_tokens_ended():
    layer, x = nn.PositionalEncoding(), np.zeros((1, 7, 6))
    np.testing.assert_array_equal(layer(x)[:, 3:], layer(x[:, 3:], start=3))
    assert layer(x.astype(np.float32)).dtype == np.float32
    with pytest.raises(ValueError, match=r"needs x of shape \(batch, time, features\), got \(7, 6\)"):
        layer(x[0])
    with pytest.raises(ValueError, match="start must be 0 or more, got -1"):
        layer(x, start=-1)


@pytest.mark.parametrize("norm_first", [False, True])
@pytest.mark.parametrize("causal", [False, True])
def test_the_blocks_gradients_are_the_numerical_ones(causal, norm_first):
    rng = np.random.default_rng(5)
    options = {"dropout": 0.2, "causal": causal, "norm_first": norm_first}
    block = nn.TransformerBlock(4, 2, 5, **options, rng=1).to(dtype=np.float64)
    x, dy = rng.normal(size=(2, 3, 4)), rng.normal(size=(2, 3, 4))
    state = block.dropout1.rng.bit_generator.state

    def loss():
        block.dropout1.rng.bit_generator.state = state
        return (block(x) * dy).sum()

    loss()
    dx = block.backward(dy)
    gradients = [p.grad.copy() for p in block.parameters()]
    assert_gradient(loss, x, dx)
    for (name, p), g in zip(block.named_parameters(), gradients, strict=True):
        assert_gradient(loss, p.data, g, name)


def test_a_block_without_biases_has_none_and_an_unknown_activation_is_refused():
    block = nn.TransformerBlock(4, 2, bias=False)
    assert not [name for name, _ in block.named_parameters() if "bias" in name]
    with pytest.raises(ValueError, match="activation must be one of 'relu', 'gelu', 'gelu_tanh', got 'tanh'"):
        nn.TransformerBlock(4, 2, activation="tanh")
    with pytest.raises(ValueError, match="eps must be 0 or more, got -1"):
        nn.TransformerBlock(4, 2, layer_norm_eps=-1)


def test_a_block_whose_branches_are_zero_passes_everything_through():
    block, x = nn.TransformerBlock(4, 2, rng=1), np.ones((2, 3, 4), dtype=np.float32)
    for p in (*block.self_attn.out_proj.parameters(), *block.linear2.parameters()):
        p.data[...] = 0
    assert np.array_equal(block(x), x)
    assert np.array_equal(block.backward(x), x)


@pytest.mark.parametrize(("tokens", "d"), [(5, 3), (2, 4)])
def test_a_cache_of_two_arrays_holds_all_their_tokens_and_is_extended_without_a_change_of_the_arrays(tokens, d):
    rng = np.random.default_rng(0)
    k, v, new_k, new_v = (rng.normal(size=(2, 3, count, d)) for count in (tokens, tokens, 1, 1))
    cache = KeyValueCache(k, v)
    np.testing.assert_array_equal(cache, (k, v))
    longer = cache.extended(new_k, new_v)
    np.testing.assert_array_equal(longer[0], np.concatenate([k, new_k], axis=2))
    np.testing.assert_array_equal(longer[1], np.concatenate([v, new_v], axis=2))
    np.testing.assert_array_equal(cache, (k, v))


def test_the_hidden_layer_of_a_block_is_four_times_as_wide_unless_you_choose_its_width():
    assert nn.TransformerBlock(6, 2, rng=0).linear1.weight.shape == (24, 6)
    assert nn.TransformerBlock(6, 2, dim_feedforward=7, rng=0).linear2.weight.shape == (6, 7)
