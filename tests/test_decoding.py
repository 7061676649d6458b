"""Greedy search and beam search, against all sequences written out."""

import itertools

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import nnscratch as nn

START, STOP, V = 0, 1, 4
RNG = np.random.default_rng(0)


def make(seed=0, kind="lstm"):
    if kind == "transformer":
        model = nn.models.TransformerSeq2Seq(5, V, 8, 2, 1, rng=seed)
    else:
        model = nn.models.Seq2Seq(5, V, 3, 6, rng=seed)
    for p in model.parameters():
        p.data[...] *= 2  # less even probabilities
    return model.to(dtype=np.float64)


def log_p(model, source, target):
    """Return log p of every token of `target`, from one call of the model."""
    log_p_all = nn.LogSoftmax()(model.eval()(source[None], np.array([[START, *target[:-1]]])))
    return log_p_all[0, np.arange(len(target)), target]


def every_target(max_length):
    """Yield every target that a search may return, as a tuple with its stop token."""
    others = [token for token in range(V) if token != STOP]
    for length in range(max_length + 1):
        for tokens in itertools.product(others, repeat=length):
            yield tokens if length == max_length else (*tokens, STOP)


@pytest.mark.parametrize("kind", ["lstm", "transformer"])
@pytest.mark.parametrize("penalty", [0.0, 0.7])
def test_a_beam_as_wide_as_the_number_of_all_targets_finds_the_best_ones(kind, penalty):
    model, source, max_length = make(3, kind), np.array([1, 4, 2]), 3
    scores = {y: log_p(model, source, y).sum() / len(y) ** penalty for y in every_target(max_length)}
    found = nn.beam_search(model, source, START, STOP, max_length, beam_size=V**max_length, length_penalty=penalty)
    best = sorted(scores.items(), key=lambda item: -item[1])
    assert len(found) == len(best) == 40
    for (tokens, score), (expected, expected_score) in zip(found, best, strict=True):
        assert tuple(tokens) == tuple(token for token in expected if token != STOP)
        assert score == pytest.approx(expected_score, rel=1e-9)


@settings(max_examples=20)
@given(st.integers(0, 1000), st.integers(1, 6), st.integers(1, 5), st.floats(0, 2))
def test_scores_are_those_of_the_model_and_the_best_comes_first(seed, max_length, beam_size, penalty):
    model, source = make(seed), RNG.integers(0, 5, 4)
    found = nn.beam_search(model, source, START, STOP, max_length, beam_size, penalty)
    assert 1 <= len(found) <= beam_size
    assert [f.score for f in found] == sorted((f.score for f in found), reverse=True)
    for tokens, score in found:
        assert STOP not in tokens and len(tokens) <= max_length
        y = [*tokens, STOP] if len(tokens) < max_length else list(tokens)
        assert score == pytest.approx(log_p(model, source, y).sum() / len(y) ** penalty, rel=1e-9)


@pytest.mark.parametrize("kind", ["lstm", "transformer"])
def test_greedy_takes_the_most_likely_token_and_a_beam_of_one_is_greedy(kind):
    for seed in range(8):
        model, source = make(seed, kind), RNG.integers(0, 5, 4)
        (greedy,) = nn.greedy_search(model, source[None], START, STOP, 5)
        (beam,) = nn.beam_search(model, source, START, STOP, 5, beam_size=1)
        np.testing.assert_array_equal(greedy, beam.tokens)
        expected = []
        for _ in range(5):
            token = model.eval()(source[None], np.array([[START, *expected]]))[0, -1].argmax()
            if token == STOP:
                break
            expected.append(token)
        assert greedy.tolist() == expected


def test_greedy_search_of_a_batch_gives_what_each_source_gives_alone():
    model, sources, lengths = make(31), np.random.default_rng(0).integers(0, 5, (6, 4)), [4, 1, 2, 3, 4, 2]
    together = nn.greedy_search(model, sources, START, STOP, 7, lengths)
    assert len({len(y) for y in together}) > 1, "choose a seed with targets of several lengths"
    for source, length, y in zip(sources, lengths, together, strict=True):
        (alone,) = nn.greedy_search(model, source[None, :length], START, STOP, 7)
        np.testing.assert_array_equal(alone, y)


def test_the_search_does_not_stop_too_early():
    """A wide beam's best score is at least as good as that of each narrower one, over many models."""
    for seed in range(10):
        model, source = make(seed), RNG.integers(0, 5, 4)
        for penalty in (0.0, 1.0):
            scores = {y: log_p(model, source, y).sum() / len(y) ** penalty for y in every_target(4)}
            best = nn.beam_search(model, source, START, STOP, 4, 81, penalty)[0].score
            assert best == pytest.approx(max(scores.values()), rel=1e-9)


def test_the_model_keeps_its_mode_and_saves_nothing():
    model = make()
    nn.greedy_search(model, np.array([[1, 2]]), START, STOP, 3)
    nn.beam_search(model, np.array([1, 2]), START, STOP, 3, 2)
    assert model.training and not any(module.__dict__.get("_stack") for module in model.modules())


def test_bad_arguments_are_refused():
    model, source = make(), np.array([1, 2])
    with pytest.raises(TypeError, match="Linear has no method start: a search needs an encoder and a decoder"):
        nn.greedy_search(nn.Linear(2, 3), source[None], START, STOP, 3)
    with pytest.raises(ValueError, match=r"stop must be in 0..3, got 4..4"):
        nn.beam_search(model, source, START, 4, 3, 2)
    with pytest.raises(ValueError, match="max_length must be an integer of 1 or more, got 0"):
        nn.greedy_search(model, source[None], START, STOP, 0)
    with pytest.raises(ValueError, match="beam_size must be an integer of 1 or more, got 0"):
        nn.beam_search(model, source, START, STOP, 3, 0)
    with pytest.raises(ValueError, match=r"length_penalty must be a finite number, in \[0, 100\), got -1"):
        nn.beam_search(model, source, START, STOP, 3, 2, -1)
    with pytest.raises(ValueError, match="needs source of shape"):
        nn.beam_search(model, source[None], START, STOP, 3, 2)
