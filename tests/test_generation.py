"""Text generation: which tokens are drawn, and its time and memory."""

import tracemalloc

import numpy as np
import pytest

import nnscratch as nn
from nnscratch.generation import choose, generate_ids

TOKENIZER = nn.data.CharTokenizer.from_text("abcdefgh ")


def model(seed=0):
    return nn.models.LanguageModel(len(TOKENIZER), 8, 16, 2, dropout=0.5, rng=seed)


def test_the_same_seed_writes_the_same_text():
    m = model()
    texts = [nn.generate(m, TOKENIZER, "abc", 50, rng=seed) for seed in (1, 1, 2)]
    assert texts[0] == texts[1] != texts[2]
    assert texts[0].startswith("abc") and len(texts[0]) == 53


def test_the_carried_state_gives_what_reading_everything_anew_gives():
    m = model()
    written = list(generate_ids(m, TOKENIZER, TOKENIZER.encode("ab"), 20, temperature=0))
    ids = list(TOKENIZER.encode("ab"))
    m.eval()
    for token in written:
        logits, _ = m(np.array([ids]))
        assert token == logits[0, -1].argmax()
        ids.append(token)


def test_generation_leaves_the_mode_and_keeps_nothing():
    m = model()
    nn.generate(m, TOKENIZER, "ab", 5)
    assert all(module.training for module in m.modules())
    assert not any(module.__dict__.get("_stack") for module in m.modules())


def test_temperature_zero_takes_the_likeliest_and_a_low_one_nearly_always():
    scores = np.array([0.0, 3.0, 1.0])
    rng = np.random.default_rng(0)
    assert choose(scores, 0, None, None, rng) == 1
    assert {choose(scores, 1e-300, None, None, rng) for _ in range(50)} == {1}
    assert choose(scores, 1e-320, None, None, rng) == 1  # 3 / 1e-320 is more than a float can hold


def test_draws_follow_the_models_probabilities():
    p = np.array([0.5, 0.3, 0.15, 0.05])
    rng = np.random.default_rng(0)
    counts = np.bincount([choose(np.log(p), 1.0, None, None, rng) for _ in range(20_000)], minlength=4)
    np.testing.assert_allclose(counts / 20_000, p, atol=0.015)


def test_top_k_draws_among_the_k_likeliest_in_their_own_proportions():
    p = np.array([0.1, 0.4, 0.2, 0.3])
    rng = np.random.default_rng(0)
    counts = np.bincount([choose(np.log(p), 1.0, 2, None, rng) for _ in range(10_000)], minlength=4)
    np.testing.assert_allclose(counts / 10_000, [0, 4 / 7, 0, 3 / 7], atol=0.02)


def test_top_k_draws_among_k_also_where_more_are_equally_likely():
    scores, rng = np.array([0.0, 1.0, 1.0, 2.0, 1.0]), np.random.default_rng(0)
    drawn = {top_k: {choose(scores, 1.0, top_k, None, rng) for _ in range(500)} for top_k in (1, 2, 3, 4, 5)}
    assert drawn == {1: {3}, 2: {1, 3}, 3: {1, 2, 3}, 4: {1, 2, 3, 4}, 5: {0, 1, 2, 3, 4}}


def test_top_p_keeps_the_fewest_tokens_that_hold_the_probability():
    p = np.array([0.1, 0.5, 0.15, 0.25])
    rng = np.random.default_rng(0)
    drawn = {top_p: {choose(np.log(p), 1.0, None, top_p, rng) for _ in range(500)} for top_p in (0.1, 0.6, 0.8, 1.0)}
    assert drawn == {0.1: {1}, 0.6: {1, 3}, 0.8: {1, 2, 3}, 1.0: {0, 1, 2, 3}}


def test_writing_stops_before_the_stop_token():
    m = model()
    text = nn.generate(m, TOKENIZER, "ab", 500, rng=0, stop=" ")
    assert " " not in text
    assert nn.generate(m, TOKENIZER, "ab", 500, rng=0).startswith(text + " ")


def test_unk_is_never_written():
    tokenizer = nn.data.WordTokenizer.from_text("a b c d e f g", max_size=4)
    m = nn.models.LanguageModel(len(tokenizer), 4, 4, rng=0)
    m.linear.bias.data[tokenizer.id("<unk>")] = 50.0
    assert "<unk>" not in nn.generate(m, tokenizer, "a", 50, rng=0)


def test_the_thousandth_token_needs_no_more_memory_than_the_tenth():
    m = model()
    drawn = generate_ids(m, TOKENIZER, TOKENIZER.encode("a"), 1100, rng=0)
    for _ in range(100):
        next(drawn)
    tracemalloc.start()
    before = tracemalloc.get_traced_memory()[0]
    for _ in range(1000):
        next(drawn)
    after = tracemalloc.get_traced_memory()[0]
    tracemalloc.stop()
    # bytes: Python's own caches of attribute names fill up a little; one state kept a token would be 256,000
    assert after - before < 60_000


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"prompt": ""}, "prompt is empty"),
        ({"prompt": "abX"}, "'X' at position 2"),
        ({"max_tokens": 0}, "max_tokens must be"),
        ({"temperature": -1.0}, "temperature must be"),
        ({"temperature": float("nan")}, "temperature must be"),
        ({"temperature": "0.8"}, "temperature must be a finite number, got '0.8'"),
        ({"top_k": 0}, "top_k must be"),
        ({"top_p": 0.0}, "top_p must be"),
        ({"top_p": "0.9"}, "top_p must be a finite number, got '0.9'"),
        ({"stop": "<eos>"}, "'<eos>' is not in the vocabulary"),
    ],
)
def test_a_setting_out_of_range_is_refused(wrong, message):
    settings = {"prompt": "ab", "max_tokens": 5} | wrong
    with pytest.raises(ValueError, match=message):
        nn.generate(model(), TOKENIZER, **settings)


def test_broken_weights_are_said_not_drawn_from():
    m = model()
    m.linear.bias.data[0] = np.nan
    with pytest.raises(FloatingPointError, match="not finite"):
        nn.generate(m, TOKENIZER, "ab", 5)
