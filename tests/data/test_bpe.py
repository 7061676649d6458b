"""BPE learns the merges of a worked example, gives every text back, and refuses damaged files with a clear error."""

import json
import re
import subprocess
import sys
import time
import unicodedata

import numpy as np
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

import nnscratch as nn
from nnscratch.data import BPETokenizer, load_austen, tokenizer_from_dict
from nnscratch.data.tokenizers.hugging_face import SYMBOLS
from nnscratch.data.tokenizers.merges import apply_merges, learn_merges
from nnscratch.data.tokenizers.pretokenize import split_words

NOVEL = load_austen("northanger_abbey")
END = "<|endoftext|>"
TRAINED = BPETokenizer.from_text(NOVEL[:50_000], 700, [END])
PIECES = st.sampled_from(
    [*" \n\t'", "  ", "'s", "'ll", "'S", "the", " The", "ing", "12", "é", "…", "中文", "🙂", "_", "\x1c", END]
)
TEXTS = st.one_of(st.text(), st.lists(PIECES, max_size=30).map("".join))


# --- the words -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("", []),
        ("I've seen 2  cats.", ["I", "'ve", " seen", " 2", " ", " cats", "."]),
        ("don't DON'T it's", ["don", "'t", " DON", "'", "T", " it", "'s"]),  # an ending is in lower case
        ("a\n\n b \n", ["a", "\n\n", " b", " \n"]),
        ("x_1=é²+Ⅷ!?", ["x", "_", "1", "=", "é", "²", "+", "Ⅷ", "!?"]),  # ² and Ⅷ are numbers, _ is not a letter
        ("e\u0301", ["e", "\u0301"]),  # an accent of its own is a mark, not a letter
        ("a\u00a0b\u3000c", ["a", "\u00a0", "b", "\u3000", "c"]),  # only a plain space belongs to the next word
        ("\x1c\x1fa", ["\x1c\x1f", "a"]),  # Python counts these as white space, Unicode does not
        ("中文，好🙂🙂 1٣", ["中文", "，", "好", "🙂🙂", " 1٣"]),
    ],
)
def test_the_text_is_split_as_gpt_2_splits_it(text, words):
    assert split_words(text) == words


def test_every_character_is_of_the_kind_that_unicode_says():
    for code in range(0x110000):
        character = chr(code)
        kind = unicodedata.category(character)
        if kind == "Cn":  # a later version of Unicode may define it
            continue
        assert (split_words(f"a{character}") == [f"a{character}"]) == (kind[0] == "L"), hex(code)
        assert (split_words(f"1{character}") == [f"1{character}"]) == (kind[0] == "N"), hex(code)


@given(TEXTS)
def test_the_words_are_the_text(text):
    assert "".join(split_words(text)) == text


# --- the merges ------------------------------------------------------------------------------------------------------


def test_the_worked_example_has_these_merges_and_these_ids():
    """Hug, pug, pun, bun, hugs: u g is in 20 words, then u n in 16, then h ug in 15, then p un in 12 (p ug: 5)."""
    symbols = list("bghnpsu")
    frequencies = {"hug": 10, "pug": 5, "pun": 12, "bun": 4, "hugs": 5}
    assert learn_merges(frequencies, symbols, 11) == [("u", "g"), ("u", "n"), ("h", "ug"), ("p", "un")]
    assert symbols[7:] == ["ug", "un", "hug", "pun"]
    ranks = {(6, 1): (0, 7), (6, 3): (1, 8), (2, 7): (2, 9), (4, 8): (3, 10)}
    assert apply_merges([0, 6, 1], ranks) == [0, 7]  # b u g -> b ug
    assert apply_merges([2, 6, 1, 5], ranks) == [9, 5]  # h u g s -> hug s
    assert apply_merges([], ranks) == [] and apply_merges([6], ranks) == [6]


def test_of_equal_counts_the_smallest_pair_of_ids_is_merged_first():
    assert learn_merges({"dc": 1, "ab": 1, "ad": 1}, list("abcd"), 7) == [("a", "b"), ("a", "d"), ("d", "c")]


def test_a_run_of_one_symbol_is_merged_from_left_to_right():
    # a a a a a -> aa aa a; then both aa aa and aa a are there once, and a has the smaller id
    symbols = ["a"]
    assert learn_merges({"aaaaa": 1}, symbols, 9) == [("a", "a"), ("aa", "a"), ("aa", "aaa")]
    assert apply_merges([0] * 5, {(0, 0): (0, 1)}) == [1, 1, 0]


def test_a_pair_with_a_lower_rank_that_a_merge_makes_comes_next():
    # No text gives these ranks: ab a comes before a b. After the first a b, the pair ab a has the lowest rank.
    assert apply_merges([0, 1, 0, 1], {(2, 0): (0, 3), (0, 1): (1, 2)}) == [3, 1]


def test_a_pair_that_another_merge_took_apart_gives_its_rank_to_no_other_pair():
    # In a b c d, the merge b c takes b from the pair a b, rank 1. The pair a bc has rank 3: bc d, rank 2, comes first.
    ranks = {(1, 2): (0, 4), (0, 1): (1, 5), (4, 3): (2, 6), (0, 4): (3, 7)}
    assert apply_merges([0, 1, 2, 3], ranks) == [0, 6]


@given(st.dictionaries(st.text("abc", min_size=1, max_size=9), st.integers(1, 9), min_size=1, max_size=12))
@example({"aaaaaaa": 1, "abababab": 2, "baaab": 3})
def test_counting_anew_before_every_merge_gives_the_same_merges(frequencies):
    def counted_anew():
        symbols, words, merges = list("abc"), {w: list(w) for w in frequencies}, []
        while len(symbols) < 20:
            count = {}
            for word, parts in words.items():
                for pair in zip(parts, parts[1:], strict=False):
                    count[pair] = count.get(pair, 0) + frequencies[word]
            if not count:
                break
            a, b = min(count, key=lambda pair: (-count[pair], symbols.index(pair[0]), symbols.index(pair[1])))
            merges.append((a, b))
            symbols.append(a + b)
            for parts in words.values():
                i = 0
                while i < len(parts) - 1:
                    if (parts[i], parts[i + 1]) == (a, b):
                        parts[i : i + 2] = [a + b]
                    i += 1
        return merges

    assert learn_merges(frequencies, list("abc"), 20) == counted_anew()


# --- the tokenizer ---------------------------------------------------------------------------------------------------


def test_a_small_text_has_these_tokens():
    tokenizer = BPETokenizer.from_text("low lower lowest", 260)
    assert tokenizer.merges == (("l", "o"), ("lo", "w"), ("Ġ", "low"), ("Ġlow", "e"))
    assert tokenizer.vocabulary[256:] == ("lo", "low", "Ġlow", "Ġlowe")
    assert tokenizer.tokenize("low slow lowers\n") == ["low", "Ġ", "s", "low", "Ġlowe", "r", "s", "Ċ"]
    assert tokenizer.encode("low!").tolist() == [257, 0] and tokenizer.encode("").tolist() == []
    assert tokenizer.encode("low").dtype == tokenizer.encode("").dtype == np.int64
    assert tokenizer.id("Ġlow") == 258 and len(tokenizer) == 260


def test_the_vocabulary_stops_growing_when_no_pair_is_left():
    tokenizer = BPETokenizer.from_text("low low", 10_000)
    assert tokenizer.vocabulary[256:] == ("lo", "low", "Ġlow")


def test_the_bytes_have_the_symbols_and_the_ids_of_gpt_2():
    assert len(set(SYMBOLS)) == 256 and SYMBOLS[ord("A")] == "A"
    assert [SYMBOLS[byte] for byte in b" \n\x00\xad"] == ["Ġ", "Ċ", "Ā", "Ń"]
    tokenizer = BPETokenizer.from_text("a", 256)
    assert tokenizer.encode("!~ \n").tolist() == [0, 93, 220, 198]  # as in GPT-2's vocab.json


@given(TEXTS)
@example("\x00\x7f\x80\ufeff\uffff\U0010ffff")
def test_every_text_comes_back(text):
    ids = TRAINED.encode(text)
    assert TRAINED.decode(ids) == TRAINED.decode(ids.tolist()) == text
    assert TRAINED.decode_bytes(ids) == text.encode()
    assert TRAINED.count_characters(ids) == len(text)
    if END not in text:
        assert [TRAINED.vocabulary[i] for i in ids] == TRAINED.tokenize(text)


@given(st.one_of(st.binary(), TEXTS.map(str.encode)))
@example(b"caf\xe9 \xed\xa0\x80 \xf0\x9f\x99")
def test_any_bytes_come_back_and_the_bytes_of_a_text_have_its_ids(data):
    ids = TRAINED.encode_bytes(data)
    assert TRAINED.decode_bytes(ids) == data
    assert TRAINED.decode(ids) == data.decode("utf-8", "replace")
    if TRAINED.decode(ids).encode() == data:
        assert ids.tolist() == TRAINED.encode(data.decode()).tolist()


def test_bytes_of_half_a_character_become_replacement_characters():
    ids = BPETokenizer.from_text("a", 256).encode("🙂")
    tokenizer = BPETokenizer.from_text("a", 256)
    assert len(ids) == 4 and tokenizer.decode(ids[:2]) == "\ufffd" and tokenizer.count_characters(ids[:2]) == 1


def test_special_tokens_are_one_token_each_and_the_longest_is_taken():
    tokenizer = BPETokenizer.from_text("a b a b", 262, ["<a>", "<a><a>", "end of text"])
    assert tokenizer.vocabulary[:3] == tokenizer.special_tokens == ("<a>", "<a><a>", "end of text")
    text = "<a><a><a>x<a end of text<a>"
    assert tokenizer.tokenize(text) == ["<a><a>", "<a>", "x", "<", "a", "Ġ", "end of text", "<a>"]
    assert tokenizer.decode(tokenizer.encode(text)) == text
    assert tokenizer.id("end of text") == 2


def test_a_special_token_that_the_text_also_makes_has_one_id():
    tokenizer = BPETokenizer.from_text("the the the", 260, ["the"])
    assert tokenizer.merges == (("h", "e"), ("t", "he"), ("Ġ", "the")) and tokenizer.vocabulary.count("the") == 1
    assert tokenizer.tokenize("the thethe") == ["the", "Ġ", "the", "the"]


def test_words_are_remembered_but_not_without_limit(monkeypatch):
    monkeypatch.setattr("nnscratch.data.tokenizers.bpe.MAX_CACHED_WORDS", 50)
    tokenizer = BPETokenizer.from_text("a", 256)
    for start in range(0, 5000, 10):
        text = " ".join(str(n) for n in range(start, start + 10))
        assert tokenizer.decode(tokenizer.encode(text)) == text
        assert len(tokenizer._cache) <= 50


def test_a_novel_is_shorter_in_tokens_and_takes_little_time():
    start = time.process_time()
    tokenizer = BPETokenizer.from_text(NOVEL, 1000)
    ids = tokenizer.encode(NOVEL)
    assert time.process_time() - start < 20  # 1 s on an idle core
    assert tokenizer.decode(ids) == NOVEL and len(ids) < 0.45 * len(NOVEL)


@pytest.mark.parametrize("word", ["a", "ab", "中", "\n", " ", "!", "1"])
def test_one_very_long_word_does_not_take_quadratic_time(word):
    text = word * (100_000 // len(word))
    start = time.process_time()
    tokenizer = BPETokenizer.from_text(text, 300)
    assert tokenizer.decode(tokenizer.encode(text)) == text
    assert time.process_time() - start < 20


def test_learning_and_encoding_are_the_same_every_time():
    code = "from nnscratch.data import *; print(BPETokenizer.from_text(load_austen('emma')[:20000], 500).merges)"
    printed = {
        subprocess.run([sys.executable, "-c", code], env={"PYTHONHASHSEED": seed, "PYTHONPATH": ":".join(sys.path)},
                       capture_output=True, text=True, check=True).stdout
        for seed in "12"
    }  # fmt: skip
    assert len(printed) == 1


# --- errors ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("wrong", [None, 3, b"text", ["text"]])
def test_a_text_must_be_a_string(wrong):
    for function in (TRAINED.encode, TRAINED.tokenize, lambda text: BPETokenizer.from_text(text, 300)):
        with pytest.raises(TypeError, match="text must be a str, got"):
            function(wrong)


def test_bytes_must_be_bytes():
    with pytest.raises(TypeError, match="data must be bytes, got str; encode takes a str"):
        TRAINED.encode_bytes("text")


def test_half_of_a_surrogate_pair_is_refused():
    for function in (TRAINED.encode, lambda text: BPETokenizer.from_text(text, 300)):
        with pytest.raises(ValueError, match=r"'\\ud800' at position 2, half of a surrogate pair"):
            function("ab\ud800")


@pytest.mark.parametrize(
    ("size", "specials", "message"),
    [
        (255, [], r"256 bytes and the 0 special tokens: it must be 256 or more, got 255"),
        (257, ["<a>", "<b>"], r"must be 258 or more, got 257"),
        (0, [], "vocab_size must be an integer of 1 or more, got 0"),
        (300.0, [], "vocab_size must be an integer of 1 or more, got 300.0"),
        (300, ["<a>", "<a>"], "special_tokens must hold each token once"),
        (300, [""], "special_tokens must be non-empty strings, got ''"),
        (300, ["Ġ"], "special_tokens must be longer than one byte, got 'Ġ'"),
        (300, [5], "special_tokens must be non-empty strings, got 5"),
    ],
)
def test_wrong_sizes_and_special_tokens_are_refused(size, specials, message):
    with pytest.raises(ValueError, match=message):
        BPETokenizer.from_text("some text", size, specials)


def test_a_string_is_not_a_list_of_special_tokens():
    with pytest.raises(TypeError, match="special_tokens must be a list of strings, got the string '<a>'"):
        BPETokenizer.from_text("some text", 300, "<a>")


def test_an_empty_text_is_refused():
    with pytest.raises(ValueError, match="text is empty"):
        BPETokenizer.from_text("", 300)


@pytest.mark.parametrize(
    ("ids", "error", "message"),
    [
        ([-1], ValueError, r"ids must be in 0\.\.699, got -1\.\.-1"),
        ([0, 700], ValueError, r"ids must be in 0\.\.699, got 0\.\.700"),
        ([0.5], TypeError, "ids must be integers, got float64"),
        ([[1]], ValueError, r"shape \(T,\), got shape \(1, 1\)"),
        ("ab", ValueError, r"shape \(T,\), got shape \(\)"),
    ],
)
def test_wrong_ids_are_refused(ids, error, message):
    for function in (TRAINED.decode, TRAINED.decode_bytes, TRAINED.count_characters):
        with pytest.raises(error, match=message):
            function(ids)


def test_a_token_that_is_not_there_is_refused_and_its_written_form_is_named():
    with pytest.raises(ValueError, match=r"token ' the' is written 'Ġthe' in the vocabulary"):
        TRAINED.id(" the")
    with pytest.raises(ValueError, match="token 'qqq' is not in the vocabulary"):
        TRAINED.id("qqq")


@pytest.mark.parametrize(
    ("vocabulary", "merges", "specials", "message"),
    [
        (SYMBOLS[1:], [], [], "must hold all 256 bytes; it lacks 1, the first of them byte 0, written 'Ā'"),
        ([*SYMBOLS, "ab"], [("a", "b"), ("ab", "c")], [], "merge 1, 'ab' and 'c': 'abc' is not in the vocabulary"),
        ([*SYMBOLS, "ab"], [("a", "b"), ("a", "b")], [], r"each pair once, got \('a', 'b'\) more than once"),
        ([*SYMBOLS, "a b"], [], [], "the token 'a b' holds ' ', which represents no byte"),
        (SYMBOLS, [], ["<a>"], "the special token '<a>' is not in the vocabulary"),
        ([*SYMBOLS, "a"], [], [], "vocabulary must hold each token once, got 'a' more than once"),
    ],
)
def test_a_vocabulary_that_does_not_fit_its_merges_is_refused(vocabulary, merges, specials, message):
    with pytest.raises(ValueError, match=message):
        BPETokenizer(vocabulary, merges, specials)


# --- files -----------------------------------------------------------------------------------------------------------


def same(one, other):
    return (one.vocabulary, one.merges, one.special_tokens) == (other.vocabulary, other.merges, other.special_tokens)


def test_saved_and_loaded_in_each_form_it_is_the_same_tokenizer(tmp_path):
    TRAINED.save(tmp_path / "folder")
    TRAINED.save(tmp_path / "file.json")
    assert {p.name for p in (tmp_path / "folder").iterdir()} == {"tokenizer.json", "vocab.json", "merges.txt"}
    (tmp_path / "folder" / "tokenizer.json").rename(tmp_path / "tokenizer.json")
    for path in ("folder", "file.json", "tokenizer.json", ""):  # the folder now holds vocab.json and merges.txt
        assert same(BPETokenizer.load(tmp_path / path), TRAINED)
    assert same(BPETokenizer.load(str(tmp_path / "file.json")), TRAINED)


def test_a_dictionary_describes_it():
    saved = json.loads(json.dumps(TRAINED.to_dict()))
    assert same(tokenizer_from_dict(saved), TRAINED) and same(BPETokenizer.from_dict(saved), TRAINED)
    # the settings that other programs read: GPT-2's BPE has none of these
    names = ("dropout", "unk_token", "continuing_subword_prefix", "end_of_word_suffix")
    assert all(saved["model"][name] is None for name in names)
    assert all(saved["model"][name] is False for name in ("fuse_unk", "byte_fallback", "ignore_merges"))


def test_merges_may_be_pairs_and_lines_may_end_as_on_windows(tmp_path):
    saved = TRAINED.to_dict()
    saved["model"]["merges"] = [list(pair) for pair in TRAINED.merges]  # as newer files have them
    assert same(BPETokenizer.from_dict(saved), TRAINED)
    TRAINED.save(tmp_path)
    (tmp_path / "tokenizer.json").unlink()
    merges = tmp_path / "merges.txt"
    merges.write_bytes(merges.read_bytes().replace(b"\n", b"\r\n"))
    assert same(BPETokenizer.load(tmp_path), TRAINED)


def test_added_tokens_may_follow_the_vocabulary():
    saved = BPETokenizer.from_text("a b", 257).to_dict()
    saved["added_tokens"] = [{"id": 257, "content": "<pad>", "special": True}]
    tokenizer = tokenizer_from_dict(saved)
    assert tokenizer.special_tokens == ("<pad>",) and tokenizer.encode("a<pad>").tolist() == [64, 257]


def test_files_that_are_not_there_are_named(tmp_path):
    with pytest.raises(FileNotFoundError, match="must contain tokenizer.json, or vocab.json and merges.txt"):
        BPETokenizer.load(tmp_path)
    with pytest.raises(FileNotFoundError, match="absent.json"):
        BPETokenizer.load(tmp_path / "absent.json")


def change(path, value):
    """Return TRAINED's tokenizer.json with one value changed; path holds the keys, with dots between them."""
    content = json.loads(json.dumps(TRAINED.to_dict()))
    *parents, last = path.split(".")
    inner = content
    for key in parents:
        inner = inner[key]
    inner[last] = value
    return content


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "Expecting value"),
        (b"\xff\xfe", "codec can't decode"),
        (b"[" * 100_000, "nested too deeply"),
        ([], 'there is no "model"'),
        ({"!": 0}, 'there is no "model"'),  # vocab.json
        (change("model", None), 'there is no "model"'),
        (change("model.type", "WordPiece"), "the model must be BPE, got 'WordPiece'"),
        (change("model.end_of_word_suffix", "</w>"), "end_of_word_suffix must be off, got '</w>'"),
        (change("model.ignore_merges", True), "ignore_merges must be off"),
        (change("normalizer", {"type": "NFC"}), "with a normalizer"),
        (change("pre_tokenizer", None), "pre_tokenizer must be ByteLevel"),
        (change("pre_tokenizer.use_regex", False), "pre_tokenizer must be ByteLevel with use_regex true"),
        (change("pre_tokenizer.add_prefix_space", True), "add_prefix_space must be false"),
        (change("post_processor", {"type": "TemplateProcessing"}), "adds tokens to each text"),
        (change("model.vocab", ["a"]), "vocab must map each token to its id"),
        (change("model.vocab", {"a": "0"}), "vocab must map each token to its id"),
        (change("model.vocab", {END: 0, "a": 2}), r"ids of 2 tokens must be 0\.\.1, each once; there is no 1"),
        (change("model.merges", None), "merges must be a list"),
        (change("model.merges", ["a b c"]), "merge 0 must be two tokens with a space between them, got 'a b c'"),
        (change("model.merges", [5]), "merge 0 must be two tokens"),
        (change("model.merges", [["a", 5]]), "merge 0 must be two tokens"),
        (change("model.merges", [["a", ""]]), "merge 0 must be two tokens"),
        (change("model.merges", ["a zzz"]), "merge 0, 'a' and 'zzz': 'zzz' is not in the vocabulary"),
        (change("added_tokens", [{"id": 5, "content": END}]), "has two ids, 0 and 5"),
        (change("added_tokens", [{"content": END}]), "added_tokens must be a list"),
        (change("added_tokens", [{"id": 0, "content": END, "lstrip": True}]), "has lstrip, which is not supported"),
    ],
)
def test_a_damaged_or_different_tokenizer_json_is_refused(tmp_path, content, message):
    path = tmp_path / "tokenizer.json"
    path.write_bytes(content if isinstance(content, bytes) else json.dumps(content).encode())
    for place in (path, tmp_path):
        with pytest.raises(ValueError, match="tokenizer.json is not a tokenizer that can be read: .*" + message):
            BPETokenizer.load(place)
    if isinstance(content, dict) and isinstance(content.get("model"), dict):
        with pytest.raises(ValueError, match=message):
            tokenizer_from_dict(content)


@pytest.mark.parametrize("line", ["a", "a b c", "a  b"])
def test_a_damaged_merges_txt_is_refused(tmp_path, line):
    TRAINED.save(tmp_path)
    (tmp_path / "tokenizer.json").unlink()
    (tmp_path / "merges.txt").write_text(f"#version: 0.2\n{line}\n", encoding="utf-8")
    with pytest.raises(
        ValueError, match=re.escape(f"line 2 of merges.txt must be two tokens with a space between them, got {line!r}")
    ):
        BPETokenizer.load(tmp_path)


# --- language models -------------------------------------------------------------------------------------------------


def test_a_model_generates_text_and_stops_at_a_special_token():
    model = nn.models.LanguageModel(len(TRAINED), 4, 8, rng=0)
    text = nn.generate(model, TRAINED, "The moor — 中", 20, rng=0)
    assert text.startswith("The moor — 中") and len(text) > 20
    model.linear.bias.data[TRAINED.id(END)] = 1e4
    assert nn.generate(model, TRAINED, "The moor", 20, stop=END) == "The moor"
