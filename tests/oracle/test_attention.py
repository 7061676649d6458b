"""Attention and the Transformer block against PyTorch: values and every gradient, to 1e-10 in float64."""

import numpy as np
import pytest

import nnscratch as nn

torch = pytest.importorskip("torch")
RNG = np.random.default_rng(0)


def assert_close(ours, theirs, name=""):
    np.testing.assert_allclose(ours, theirs.detach().numpy(), rtol=1e-10, atol=1e-10, err_msg=name)


def moved(ours, theirs):
    """Return PyTorch's module with our weights; names and shapes are the same."""
    theirs = theirs.double()
    theirs.load_state_dict({name: torch.tensor(a) for name, a in ours.state_dict().items()})
    return theirs


def assert_gradients_close(ours, theirs):
    gradients = dict(theirs.named_parameters())
    for name, p in ours.named_parameters():
        assert_close(p.grad, gradients[name].grad, name)


@pytest.mark.parametrize("causal", [False, True])
@pytest.mark.parametrize("lengths", [None, [5, 2, 4]])
@pytest.mark.parametrize("bias", [False, True])
def test_self_attention_is_pytorchs(causal, lengths, bias):
    N, T, D = 3, 5, 12
    ours = nn.MultiheadAttention(D, 3, bias=bias, causal=causal, rng=1).to(dtype=np.float64)
    for p in ours.parameters():
        p.data[...] += 0.1 * RNG.normal(size=p.shape)
    theirs = moved(ours, torch.nn.MultiheadAttention(D, 3, bias=bias, batch_first=True))
    x, dy = RNG.normal(size=(N, T, D)), RNG.normal(size=(N, T, D))
    tx = torch.tensor(x, requires_grad=True)
    ahead = torch.ones(T, T, dtype=torch.bool).triu(1) if causal else None
    padding = None if lengths is None else torch.arange(T) >= torch.tensor(lengths)[:, None]
    ty, tA = theirs(tx, tx, tx, attn_mask=ahead, key_padding_mask=padding, average_attn_weights=False)
    ty.backward(torch.tensor(dy))
    assert_close(ours(x, lengths=lengths), ty)
    assert_close(ours.weights(x, lengths=lengths), tA)
    assert_close(ours.backward(dy), tx.grad)
    assert_gradients_close(ours, theirs)


def test_cross_attention_is_pytorchs():
    N, T, S, D = 3, 4, 6, 8
    ours = nn.MultiheadAttention(D, 2, rng=1).to(dtype=np.float64)
    theirs = moved(ours, torch.nn.MultiheadAttention(D, 2, batch_first=True))
    x, m, dy = RNG.normal(size=(N, T, D)), RNG.normal(size=(N, S, D)), RNG.normal(size=(N, T, D))
    tx, tm = (torch.tensor(a, requires_grad=True) for a in (x, m))
    ty, _ = theirs(tx, tm, tm)
    ty.backward(torch.tensor(dy))
    assert_close(ours(x, m), ty)
    dx, dm = ours.backward(dy)
    assert_close(dx, tx.grad)
    assert_close(dm, tm.grad)
    assert_gradients_close(ours, theirs)


def test_positions_are_an_embedding_of_the_places():
    ours = nn.PositionalEmbedding(7, 4, rng=1).to(dtype=np.float64)
    theirs = moved(ours, torch.nn.Embedding(7, 4))
    x, dy = RNG.normal(size=(3, 5, 4)), RNG.normal(size=(3, 5, 4))
    tx = torch.tensor(x, requires_grad=True)
    ty = tx + theirs(torch.arange(2, 7))
    ty.backward(torch.tensor(dy))
    assert_close(ours(x, start=2), ty)
    assert_close(ours.backward(dy), tx.grad)
    assert_gradients_close(ours, theirs)


@pytest.mark.parametrize("causal", [False, True])
@pytest.mark.parametrize("lengths", [None, [5, 2, 4]])
@pytest.mark.parametrize("norm_first", [False, True])
@pytest.mark.parametrize("left", [False, True])
def test_the_block_is_pytorchs_encoder_layer(causal, lengths, norm_first, left):
    if left and (causal or lengths is None):
        pytest.skip("causal attention to padding before a sequence is NaN in PyTorch")
    N, T, D, F = 3, 5, 12, 20
    ours = nn.TransformerBlock(D, 3, F, causal=causal, norm_first=norm_first, rng=1).to(dtype=np.float64)
    for p in ours.parameters():
        p.data[...] += 0.1 * RNG.normal(size=p.shape)
    options = {"dropout": 0.0, "activation": "gelu", "batch_first": True, "norm_first": norm_first}
    theirs = moved(ours, torch.nn.TransformerEncoderLayer(D, 3, F, **options))
    x, dy = RNG.normal(size=(N, T, D)), RNG.normal(size=(N, T, D))
    tx = torch.tensor(x, requires_grad=True)
    ahead = torch.ones(T, T, dtype=torch.bool).triu(1) if causal else None
    padding = None if lengths is None else torch.arange(T) >= torch.tensor(lengths)[:, None]
    if left:
        padding = padding.flip(1)
    ty = theirs(tx, src_mask=ahead, src_key_padding_mask=padding)
    ty.backward(torch.tensor(dy))
    assert_close(ours(x, lengths=lengths, padding_side="left" if left else "right"), ty)
    assert_close(ours.backward(dy), tx.grad)
    assert_gradients_close(ours, theirs)


def random_weights(module):
    for p in module.parameters():
        p.data[...] += 0.1 * RNG.normal(size=p.shape)
    return module.to(dtype=np.float64)


def padding_of(lengths, S):
    return torch.arange(S) >= torch.tensor(lengths)[:, None]


def test_cross_attention_with_padding_is_pytorchs():
    N, T, S, D, lengths = 3, 4, 6, 8, [6, 1, 3]
    ours = random_weights(nn.CrossAttention(D, 2, rng=1))
    theirs = moved(ours, torch.nn.MultiheadAttention(D, 2, batch_first=True))
    x, m, dy = RNG.normal(size=(N, T, D)), RNG.normal(size=(N, S, D)), RNG.normal(size=(N, T, D))
    tx, tm = (torch.tensor(a, requires_grad=True) for a in (x, m))
    ty, tA = theirs(tx, tm, tm, key_padding_mask=padding_of(lengths, S), average_attn_weights=False)
    ty.backward(torch.tensor(dy))
    assert_close(ours(x, m, lengths), ty)
    assert_close(ours.weights(x, m, lengths), tA)
    dx, dm = ours.backward(dy)
    assert_close(dx, tx.grad)
    assert_close(dm, tm.grad)
    assert not dm[1, 1:].any()
    assert_gradients_close(ours, theirs)


@pytest.mark.parametrize("norm_first", [True, False])
@pytest.mark.parametrize("lengths", [None, [6, 1, 3]])
def test_the_decoder_block_is_pytorchs_decoder_layer(norm_first, lengths):
    N, T, S, D, F = 3, 4, 6, 12, 20
    ours = random_weights(nn.TransformerDecoderBlock(D, 3, F, norm_first=norm_first, rng=1))
    options = {"dropout": 0.0, "activation": "gelu", "batch_first": True, "norm_first": norm_first}
    theirs = moved(ours, torch.nn.TransformerDecoderLayer(D, 3, F, **options))
    x, m, dy = RNG.normal(size=(N, T, D)), RNG.normal(size=(N, S, D)), RNG.normal(size=(N, T, D))
    tx, tm = (torch.tensor(a, requires_grad=True) for a in (x, m))
    ahead = torch.ones(T, T, dtype=torch.bool).triu(1)
    padding = None if lengths is None else padding_of(lengths, S)
    ty = theirs(tx, tm, tgt_mask=ahead, memory_key_padding_mask=padding)
    ty.backward(torch.tensor(dy))
    assert_close(ours(x, m, lengths), ty)
    dx, dm = ours.backward(dy)
    assert_close(dx, tx.grad)
    assert_close(dm, tm.grad)
    assert_gradients_close(ours, theirs)
