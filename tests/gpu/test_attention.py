"""Attention on the stand-in: CuPy copies no matrix of scores, and the numbers of launches."""

import numpy as np
import pytest
import strict_cupy

import nnscratch as nn
from nnscratch.layers.attention import backward_of_scores, hide_later
from nnscratch.layers.softmax import softmax

N, HEADS, T, D = 2, 2, 7, 8  # T is larger than the number of features of a head


def attention(causal=True, dropout=0.0):
    return nn.MultiheadAttention(D, HEADS, dropout, causal=causal, rng=1).to("cuda")


def test_products_copy_no_matrix_of_scores(monkeypatch):
    copied, count = [], strict_cupy.launches_of_product

    def noting(a, b, out):
        copied.extend(x.shape for x in (a, b) if x.ndim > 2 and not x.flags.c_contiguous)
        return count(a, b, out)

    monkeypatch.setattr(strict_cupy, "launches_of_product", noting)
    with strict_cupy.installed() as cp:
        layer, x = attention(), cp.ones((N, T, D), dtype=np.float32)
        layer.backward(layer(x))
    assert len(copied) == 7 and {shape[:2] for shape in copied} == {(N, HEADS)}
    assert {frozenset(shape[2:]) for shape in copied} == {frozenset((T, D // HEADS))}


@pytest.mark.parametrize(("causal", "dropout", "forward"), [(True, 0.0, 13), (False, 0.0, 10), (False, 0.3, 13)])
def test_launches_of_self_attention(causal, dropout, forward):
    with strict_cupy.installed() as cp:
        layer, x = attention(causal, dropout), cp.ones((N, T, D), dtype=np.float32)
        layer.zero_grad()
        with strict_cupy.counted() as in_softmax:
            softmax(x)
        with strict_cupy.counted() as counts:
            y = layer(x)
        assert (counts.launches - in_softmax.launches, counts.copies, counts.waits) == (forward, 0, 0)
        with strict_cupy.counted() as counts:
            layer.backward(y)
        assert (counts.launches, counts.copies, counts.waits) == (25, 0, 0)


@pytest.mark.parametrize("hidden", [1.0, np.nan, np.inf, -np.inf])
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_later_scores_are_hidden_also_if_they_are_not_finite_and_the_others_stay(hidden, dtype, on_cuda, on_cpu):
    Z = np.zeros((2, 3, 4, 6), dtype)
    Z[..., 0, 3], Z[..., 0, 2], Z[..., 3, 5] = hidden, np.nan, 7  # query t has position t + 2
    there, query, key = on_cuda(Z.copy()), np.arange(2, 6)[:, None], np.arange(6)
    hide_later(query, key, Z)
    hide_later(on_cuda(query), on_cuda(key), there)
    np.testing.assert_array_equal(on_cpu(there), Z)
    assert np.isneginf(Z[..., 0, 3:]).all() and np.isnan(Z[..., 0, :3]).sum(axis=-1).min() == 1
    assert (Z[..., 3, :] == [0, 0, 0, 0, 0, 7]).all() and np.isneginf(Z).sum() == 2 * 3 * 6


@pytest.mark.parametrize("drops", [False, True])
def test_the_gradient_of_the_scores(drops, rng, on_cuda, on_cpu):
    A, dB, M = rng.normal(size=(3, 2, 3, 4, 5))
    dots, B = rng.normal(size=(2, 3, 4, 1)), A * M if drops else A
    expected = (B * dB - A * dots) * 0.5
    A_there, dB_there = on_cuda(A), on_cuda(dB.copy())
    backward_of_scores(A_there, on_cuda(B) if drops else A_there, on_cuda(dots), 0.5, dB_there)
    backward_of_scores(A, B, dots, 0.5, dB)
    np.testing.assert_allclose(dB, expected, rtol=1e-12, atol=1e-15)
    np.testing.assert_allclose(on_cpu(dB_there), expected, rtol=1e-12, atol=1e-15)


def test_launches_of_a_linear_layer():
    with strict_cupy.installed() as cp:
        layer, x = nn.Linear(5, 3, rng=1).to("cuda"), cp.ones((4, 5), dtype=np.float32)
        layer.zero_grad()
        with strict_cupy.counted() as counts:
            y = layer(x)
        assert counts.launches == 2  # a product and a sum
        with strict_cupy.counted() as counts:
            layer.backward(y)
        assert counts.launches == 5  # two products; the bias: zeros, the sum over the rows, an addition


def test_launches_of_a_training_step_of_a_transformer():
    tokens = np.random.default_rng(0).integers(0, 6, (3, 5))
    launches = []  # with one block and with two
    for blocks in (1, 2):
        with strict_cupy.installed():
            model = nn.models.TransformerLM(6, 8, 2, blocks, 16, rng=1).to("cuda")
            optimizer = nn.optim.Adam(model.parameters(), lr=0.01)
            trainer = nn.Trainer(model, nn.CrossEntropyLoss(), optimizer, max_norm=1.0)
            trainer.enqueue_step(tokens, tokens)
            with strict_cupy.counted() as counts:
                trainer.enqueue_step(tokens, tokens)
        launches.append(counts.launches)
    assert launches == [110, 187]
