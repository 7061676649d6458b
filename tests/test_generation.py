"""Text generation: which tokens are drawn, and its time and memory."""

import concurrent.futures
import tracemalloc

import numpy as np
import pytest

import nnscratch as nn
from nnscratch.generation import generate_ids
from nnscratch.modes import eval_mode
from nnscratch.sampling import Sampling

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
    assert Sampling(temperature=0).choose(scores, rng) == 1
    assert {Sampling(temperature=1e-300).choose(scores, rng) for _ in range(50)} == {1}
    assert Sampling(temperature=1e-320).choose(scores, rng) == 1  # 3 / 1e-320 is more than a float can hold


def test_draws_follow_the_models_probabilities():
    p = np.array([0.5, 0.3, 0.15, 0.05])
    rng = np.random.default_rng(0)
    counts = np.bincount([Sampling().choose(np.log(p), rng) for _ in range(20_000)], minlength=4)
    np.testing.assert_allclose(counts / 20_000, p, atol=0.015)


def test_top_k_draws_among_the_k_likeliest_in_their_own_proportions():
    p = np.array([0.1, 0.4, 0.2, 0.3])
    rng = np.random.default_rng(0)
    counts = np.bincount([Sampling(top_k=2).choose(np.log(p), rng) for _ in range(10_000)], minlength=4)
    np.testing.assert_allclose(counts / 10_000, [0, 4 / 7, 0, 3 / 7], atol=0.02)


def test_top_k_draws_among_k_also_where_more_are_equally_likely():
    scores, rng = np.array([0.0, 1.0, 1.0, 2.0, 1.0]), np.random.default_rng(0)
    drawn = {top_k: {Sampling(top_k=top_k).choose(scores, rng) for _ in range(500)} for top_k in (1, 2, 3, 4, 5)}
    assert drawn == {1: {3}, 2: {1, 3}, 3: {1, 2, 3}, 4: {1, 2, 3, 4}, 5: {0, 1, 2, 3, 4}}


def test_top_p_keeps_the_fewest_tokens_that_hold_the_probability():
    p = np.array([0.1, 0.5, 0.15, 0.25])
    rng = np.random.default_rng(0)
    drawn = {
        top_p: {Sampling(top_p=top_p).choose(np.log(p), rng) for _ in range(500)} for top_p in (0.1, 0.6, 0.8, 1.0)
    }
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
    # bytes: Python's own caches of freed tuples fill up a little; one state kept a token would be 256,000
    assert after - before < 150_000


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
        ({"stop": "<eos>"}, "'<' at position 0"),
        ({"stop": ["ab", ""]}, "stop must be a string that is not empty, or several of them, got ''"),
        ({"min_p": 1.5}, r"min_p must be in \[0, 1\], got 1.5"),
        ({"repetition_penalty": 0}, "repetition_penalty must be above 0, got 0"),
        ({"n": 0}, "n must be an integer of 1 or more"),
        ({"context": 0}, "context must be an integer of 1 or more"),
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


# --- several texts, stop strings, penalties, and models without a state ----------------------------------------------


def transformer(context=16):
    return nn.models.TransformerLM(len(TOKENIZER), 8, 2, 2, context, rng=0)


@pytest.mark.parametrize("make", [model, transformer])
def test_several_texts_at_once_are_each_what_the_model_predicts_for_them(make):
    m = make().to(dtype=np.float64)
    texts = nn.generate(m, TOKENIZER, "abc", 40, n=3, rng=5)
    assert len(set(texts)) == 3 and all(text.startswith("abc") and len(text) == 43 for text in texts)
    greedy = nn.generate(m, TOKENIZER, "abc", 40, 0, n=2)
    assert greedy == [nn.generate(m, TOKENIZER, "abc", 40, 0)] * 2
    assert nn.generate(m, TOKENIZER, "abc", 40, n=1, rng=5) == [nn.generate(m, TOKENIZER, "abc", 40, rng=5)]


def gru():
    return nn.models.LanguageModel(len(TOKENIZER), 4, 8, 2, cell="gru", rng=0)


@pytest.mark.parametrize("make", [model, gru, transformer])
def test_several_texts_read_the_prompt_once(make, monkeypatch):
    m, shapes = make().to(dtype=np.float64), []
    read = type(m).forward

    def forward(self, tokens, *state):
        shapes.append(tokens.shape)
        return read(self, tokens, *state)

    monkeypatch.setattr(type(m), "forward", forward)
    texts = nn.generate(m, TOKENIZER, "abcabca", 30, n=3, rng=5)
    assert shapes == [(1, 7)] + [(3, 1)] * 29
    monkeypatch.delattr(type(m), "repeat_hidden")
    assert nn.generate(m, TOKENIZER, "abcabca", 30, n=3, rng=5) == texts
    assert shapes[30] == (3, 7)


def test_a_model_without_a_state_reads_the_prompt_once(monkeypatch):
    layers = nn.Sequential(nn.Embedding(len(TOKENIZER), 4, rng=0), nn.Linear(4, len(TOKENIZER), rng=1))
    shapes = []

    def forward(tokens, read=layers.forward):
        shapes.append(tokens.shape)
        return read(tokens)

    monkeypatch.setattr(layers, "forward", forward)
    texts = nn.generate(layers, TOKENIZER, "ab", 3, n=2, rng=0)
    assert shapes == [(1, 2), (2, 3), (2, 4)] and all(text.startswith("ab") for text in texts)


def test_each_of_several_texts_stops_at_its_own_stop():
    m = model()
    whole = nn.generate(m, TOKENIZER, "ab", 60, n=4, rng=1)
    stopped = nn.generate(m, TOKENIZER, "ab", 60, n=4, rng=1, stop="e")
    assert stopped == ["ab" + text[2:].split("e")[0] for text in whole]
    assert len({len(text) for text in stopped}) > 1


def test_a_stop_of_several_characters_ends_the_text_before_it():
    m = model()
    whole = nn.generate(m, TOKENIZER, "ab", 200, rng=1)
    for k, length in [(10, 2), (50, 3), (100, 5), (197, 4)]:
        stop = whole[k : k + length]
        expected = whole[: whole.index(stop, 2)]
        assert nn.generate(m, TOKENIZER, "ab", 200, rng=1, stop=stop) == expected
        assert nn.generate(m, TOKENIZER, "ab", 200, rng=1, stop=["hhhhhhhh", stop]) == expected
    # the prompt may hold it
    assert nn.generate(m, TOKENIZER, "abc", 30, rng=1, stop="abc").startswith("abc")


@pytest.mark.parametrize("level", ["word", "split", "bpe"])
def test_a_stop_is_found_across_tokens_of_every_tokenizer(level):
    text = "The moor is wide. The sea is near! Mr. Bennet is here, and the moor is far. " * 3
    tokenizer = {
        "word": nn.data.WordTokenizer.from_text(text),
        "split": nn.data.SplitTokenizer.from_text(text + "\n"),
        "bpe": nn.data.BPETokenizer.from_text(text, 300),
    }[level]
    m, found = nn.models.LanguageModel(len(tokenizer), 8, 16, rng=0), 0
    for number in range(len(tokenizer)):
        if "\ufffd" in tokenizer.decode([number]):
            m.linear.bias.data[number] = -50  # no bytes that are only a part of a character
    for seed in range(3):
        whole = nn.generate(m, tokenizer, "The moor", 60, rng=seed)
        start = len(tokenizer.decode(tokenizer.encode("The moor")))
        words = whole[start:].split()
        for stop in (" ".join(words[k : k + 2]) for k in range(1, len(words) - 2, 2)):
            if "<unk>" in stop or tokenizer.decode(tokenizer.encode(stop)) != stop or stop not in whole[start:]:
                continue  # the tokenizer writes these two words in another way
            found += 1
            stopped = nn.generate(m, tokenizer, "The moor", 60, rng=seed, stop=stop)
            assert stopped == whole[: whole.index(stop, start)]
    assert found > 3


def test_a_stop_that_the_tokenizer_never_writes_is_refused():
    tokenizer = nn.data.WordTokenizer.from_text("the moor is wide. the sea is near.", max_size=6)
    m = nn.models.LanguageModel(len(tokenizer), 4, 4, rng=0)
    with pytest.raises(ValueError, match="stop 'the zebra' holds a token that is not in the vocabulary"):
        nn.generate(m, tokenizer, "the", 5, stop="the zebra")
    with pytest.raises(ValueError, match="stop '  ' holds no token of this tokenizer"):
        nn.generate(m, tokenizer, "the", 5, stop="  ")


def test_min_p_keeps_the_tokens_with_enough_of_the_largest_probability():
    p = np.array([0.1, 0.5, 0.15, 0.25])
    np.testing.assert_allclose(Sampling(min_p=0.3).probabilities(np.log(p)), np.array([0, 0.5, 0.15, 0.25]) / 0.9)
    np.testing.assert_allclose(Sampling(min_p=0.0).probabilities(np.log(p)), p)
    np.testing.assert_allclose(Sampling(min_p=1.0).probabilities(np.log(p)), [0, 1, 0, 0])
    both = Sampling(top_p=0.85, min_p=0.4).probabilities(np.log(p))  # top-p keeps 0.5, 0.15 and 0.25
    np.testing.assert_allclose(both, [0, 2 / 3, 0, 1 / 3])


def test_the_repetition_penalty_lowers_the_scores_of_tokens_that_occurred():
    scores, seen = np.array([2.0, -1.0, 2.0, -1.0]), np.array([True, True, False, False])
    p = Sampling(repetition_penalty=2.0).probabilities(scores, seen)
    np.testing.assert_allclose(p, np.exp([1, -2, 2, -1]) / np.exp([1, -2, 2, -1]).sum())
    m = model()
    m.linear.bias.data -= 10  # all scores are negative, and the penalty multiplies them
    plain, penalised = (nn.generate(m, TOKENIZER, "ab", 7, 0, repetition_penalty=r) for r in (1.0, 1e6))
    assert len(set(plain)) < 9 and len(set(penalised)) == 9  # all nine characters, each once


class Bigrams(nn.Module):
    """logits = model(tokens): no state, and it refuses more than `context` tokens."""

    def __init__(self, context):
        self.table, self.context = nn.Embedding(len(TOKENIZER), len(TOKENIZER), rng=3), context

    def forward(self, tokens):
        assert tokens.shape[1] <= self.context
        return self.table(tokens)


def test_a_model_without_a_state_reads_the_whole_text_or_its_last_tokens():
    m = Bigrams(context=100)
    text = nn.generate(m, TOKENIZER, "ab", 20, 0)
    table = m.table.weight.data
    for left, right in zip(text[1:], text[2:], strict=False):
        assert TOKENIZER.id(right) == table[TOKENIZER.id(left)].argmax()
    assert nn.generate(Bigrams(context=3), TOKENIZER, "ab", 20, 0, context=3) == text
    layers = nn.Sequential(nn.Embedding(len(TOKENIZER), 4, rng=0), nn.Linear(4, len(TOKENIZER), rng=0))
    assert len(nn.generate(layers, TOKENIZER, "ab", 20, n=2, rng=0)[1]) == 22


def test_a_model_of_another_form_is_refused():
    one_vector = nn.Sequential(nn.Embedding(len(TOKENIZER), 4, rng=0), nn.Flatten(), nn.Linear(8, 9, rng=0))
    with pytest.raises(ValueError, match=r"logits of shape \(N, T, V\) for tokens of shape \(1, 2\), got \(1, 9\)"):
        nn.generate(one_vector, TOKENIZER, "ab", 5)
    with pytest.raises(ValueError, match="the model predicts 4 tokens, but the tokenizer has 9"):
        nn.generate(nn.Embedding(9, 4, rng=0), TOKENIZER, "ab", 5)
    with pytest.raises(TypeError, match="model must be an instance of Module"):
        nn.generate(lambda tokens: tokens, TOKENIZER, "ab", 5)


def test_rows_of_a_model_that_the_tokenizer_has_no_token_for_are_never_drawn():
    m = nn.models.LanguageModel(len(TOKENIZER) + 3, 4, 8, rng=0)
    m.linear.bias.data[len(TOKENIZER) :] = 50.0
    assert len(nn.generate(m, TOKENIZER, "ab", 30, rng=0)) == 32


class Banned(nn.Module):
    """A model without a state that gives the logits `row` to every next token."""

    def __init__(self, row):
        self.row = np.array(row, dtype=np.float32)

    def forward(self, tokens):
        return np.broadcast_to(self.row, (*tokens.shape, len(self.row)))


WAYS = [{"temperature": 0}, {"temperature": 1.0}, {"top_k": 2}, {"top_p": 0.9}, {"min_p": 0.1}]


@pytest.mark.parametrize("settings", WAYS, ids=str)
def test_a_logit_of_minus_infinity_bans_its_token(settings):
    tokenizer = nn.data.CharTokenizer.from_text("abc")
    text = nn.generate(Banned([-np.inf, 1.0, 1.0]), tokenizer, "b", 50, **settings, rng=0)
    assert "a" not in text and len(text) == 51


@pytest.mark.parametrize("row", [[np.nan, 0, 0], [np.inf, 0, 0], [-np.inf] * 3])
def test_logits_from_which_nothing_can_be_drawn_are_refused(row):
    with pytest.raises(FloatingPointError, match="check its weights"):
        nn.generate(Banned(row), nn.data.CharTokenizer.from_text("abc"), "b", 5, rng=0)


def test_four_threads_that_generate_leave_the_mode_of_the_model_as_it_was():
    model, tokenizer = nn.models.LanguageModel(3, 4, 4, dropout=0.5, num_layers=2, rng=0), nn.data.CharTokenizer("abc")
    expected = nn.generate(model, tokenizer, "a", 30, rng=0)
    with concurrent.futures.ThreadPoolExecutor(4) as pool:
        texts = list(pool.map(lambda _: nn.generate(model, tokenizer, "a", 30, rng=0), range(12)))
    assert texts == [expected] * 12
    assert all(module.training for module in model.modules())


def test_blocks_in_eval_mode_may_end_in_any_order():
    model = nn.Sequential(nn.Dropout(0.5), nn.Dropout(0.5))
    model[1].eval()
    first, second = eval_mode(model), eval_mode(model)
    first.__enter__()
    second.__enter__()
    first.__exit__(None, None, None)
    assert not model.training and not model[0].training
    second.__exit__(None, None, None)
    assert [module.training for module in model.modules()] == [True, True, False]


def test_a_prompt_with_unknown_words_is_generated_from_with_a_warning():
    tokenizer = nn.data.WordTokenizer.from_text("the cat sat on the mat")
    model = nn.models.LanguageModel(len(tokenizer), 4, 8, rng=0)
    with pytest.warns(UserWarning, match="1 of the 2 tokens of the prompt are not in the vocabulary"):
        nn.generate(model, tokenizer, "the zebra", max_tokens=2)
    nn.generate(model, tokenizer, "the <unk>", max_tokens=2)  # no warning: the prompt says so itself
