"""Exposure and membership inference: the definitions, a model that knows, a model that does not, and bad arguments."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import nnscratch as nn
from nnscratch.privacy import Canary, advantage_bound, exposure, membership_inference, sequence_losses


@given(st.integers(2, 200), st.integers(0, 2**32 - 1))
def test_exposure_is_the_rank_in_bits(size, seed):
    losses = np.random.default_rng(seed).permutation(size).astype(float)
    for canary in (0, size - 1):
        assert exposure(losses, canary) == pytest.approx(math.log2(size) - math.log2(1 + losses[canary]))


def test_equal_losses_count_half():
    assert exposure(np.zeros(9), 3) == pytest.approx(math.log2(9) - math.log2(5))


def test_the_mean_exposure_of_no_memory_is_below_two_bits():
    losses = np.random.default_rng(0).normal(size=1000)
    assert 1.3 < np.mean([exposure(losses, k) for k in range(1000)]) < 1.5


def test_sequence_losses_are_those_of_the_language_model():
    model, rng = nn.models.LanguageModel(7, 4, 6, rng=0), np.random.default_rng(0)
    sequences = rng.integers(0, 7, (5, 9))
    losses = sequence_losses(model, sequences, batch_size=2)
    criterion = nn.CrossEntropyLoss()
    for n in range(5):
        logits, _ = model(sequences[n : n + 1, :-1])
        assert losses[n] == pytest.approx(8 * criterion(logits, sequences[n : n + 1, 1:]), rel=1e-5)
    assert model.training and sequence_losses(nn.models.TransformerLM(7, 8, 2, 2, 16, rng=0), sequences).shape == (5,)


def test_a_model_trained_on_a_canary_exposes_it():
    canary = Canary("key ", digits=2, rng=3)
    tokenizer = nn.data.CharTokenizer.from_text(canary.text + "0123456789")
    model = nn.models.LanguageModel(len(tokenizer), 8, 16, rng=0)
    tokens = np.tile(tokenizer.encode(canary.text), (4, 1))
    trainer = nn.Trainer(model, nn.CrossEntropyLoss(), nn.optim.Adam(model.parameters(), lr=0.05))
    for _ in range(60):
        trainer.hidden = None
        trainer.train_step(tokens[:, :-1], tokens[:, 1:])
    assert canary.exposure(model, tokenizer) == pytest.approx(math.log2(100))


def test_membership_by_loss():
    result = membership_inference(np.array([0.1, 0.2, 0.3]), np.array([1.0, 2.0]))
    assert result == (1.0, 1.0, 0.3)
    rng = np.random.default_rng(0)
    same = membership_inference(rng.normal(size=4000), rng.normal(size=4000))
    assert abs(same.auc - 0.5) < 0.02 and same.advantage < 0.05
    assert membership_inference(np.ones(3), np.ones(5)) == (0.0, 0.5, 1.0)


@given(st.lists(st.integers(0, 5), min_size=1), st.lists(st.integers(0, 5), min_size=1))
def test_auc_and_advantage_by_comparing_all_pairs(members, others):
    a, b = np.array(members, float), np.array(others, float)
    result = membership_inference(a, b)
    pairs = np.mean((a[:, None] < b) + 0.5 * (a[:, None] == b))
    assert result.auc == pytest.approx(pairs)
    advantages = [(a <= t).mean() - (b <= t).mean() for t in [-1, *a, *b]]
    assert result.advantage == pytest.approx(max(advantages))


def test_the_bound_on_the_advantage():
    assert advantage_bound(0) == 0 and advantage_bound(1000) == 1
    assert advantage_bound(2.0, 0.1) == pytest.approx((math.exp(2) - 1 + 0.2) / (math.exp(2) + 1))


def test_a_model_with_nan_has_no_exposure():
    canary = Canary("key ", digits=2, rng=3)
    tokenizer = nn.data.CharTokenizer.from_text(canary.text + "0123456789")
    model = nn.models.LanguageModel(len(tokenizer), 8, 16, rng=0)
    model.linear.bias.data[...] = np.nan
    with pytest.raises(ValueError, match="losses must be numbers, got NaN"):
        canary.exposure(model, tokenizer)
    with pytest.raises(ValueError, match="losses must be numbers, got NaN"):
        exposure(np.array([1.0, np.nan]), 1)
    with pytest.raises(TypeError, match="tokenizer must be an instance of CharTokenizer"):
        canary.exposure(model, nn.data.WordTokenizer.from_text("key 1 2 3"))


def test_bad_arguments_are_named():
    with pytest.raises(TypeError, match="expected a NumPy or CuPy array, got list"):
        sequence_losses(nn.models.LanguageModel(7, 4, 6), [[1, 2]])
    with pytest.raises(ValueError, match="canary must be an integer"):
        exposure(np.zeros(3), True)
    with pytest.raises(ValueError, match="digits must be at most 6"):
        Canary("a", digits=7)
    with pytest.raises(ValueError, match="prefix must be the text"):
        Canary("", digits=2)
    with pytest.raises(ValueError, match="canary must be the index"):
        exposure(np.zeros(3), 3)
    with pytest.raises(ValueError, match="at least two tokens"):
        sequence_losses(nn.models.LanguageModel(7, 4, 6), np.zeros((3, 1), int))
    with pytest.raises(ValueError, match="other_losses must be finite"):
        membership_inference(np.ones(3), np.array([np.nan]))
