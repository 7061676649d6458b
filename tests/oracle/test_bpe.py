"""Compare BPETokenizer with Hugging Face's tokenizers: the same words, merges, ids and files."""

import json
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

import nnscratch as nn
from nnscratch.data import AUSTEN, BPETokenizer, load_austen
from nnscratch.data.tokenizers.pretokenize import split_words

tokenizers = pytest.importorskip("tokenizers")

NOVELS = "".join(map(load_austen, AUSTEN))
CODE = "".join(path.read_text(encoding="utf-8") for path in sorted(Path(nn.__file__).parent.rglob("*.py")))[:300_000]
CHINESE = """昔者庄周梦为胡蝶，栩栩然胡蝶也，自喻适志与！不知周也。俄然觉，则蘧蘧然周也。不知周之梦为胡蝶与，
胡蝶之梦为周与？周与胡蝶，则必有分矣。此之谓物化。学而时习之，不亦说乎？有朋自远方来，不亦乐乎？人不知而不愠，不亦君子乎？
神经网络由许多相连的神经元组成；每个神经元计算输入的加权和。神经网络可以学习。２０２６年１１月二十六日。"""
ARABIC = """بِسْمِ اللَّهِ الرَّحْمَٰنِ الرَّحِيمِ. الشبكات العصبية الاصطناعية تتكون من وحدات مترابطة، وكل وحدة تحسب مجموع مدخلاتها.
هل تتعلم الشبكات العصبية؟ نعم، تتعلم الشبكات من الأمثلة. العدد ١٢٣ والعدد ٤٥٦٫٧٨."""
EMOJI = "👩‍👩‍👧‍👦 says 🙂🙂🙂 and 🇬🇧🇫🇷 ☺️☺ 👍🏽👍🏽 1️⃣2️⃣ 👩‍👩‍👧‍👦🙂 ¯\\_(ツ)_/¯ ¯\\_(ツ)_/¯  x² + ½ = Ⅷ e\u0301"
SAMPLES = {"novels": NOVELS[:100_000], "code": CODE, "Chinese": CHINESE, "Arabic": ARABIC, "emoji": EMOJI}
PIECES = [
    *" \n\t'",
    "  ",
    "'s",
    "'ll",
    "'S",
    "the",
    " The",
    "12",
    "é",
    "…",
    "中文",
    "🙂",
    "_",
    "\x1c",
    "\u3000",
    "<|end|>",
]
TEXTS = st.one_of(st.text(), st.lists(st.sampled_from(PIECES), max_size=40).map("".join))


def train(text, vocab_size, special_tokens=()):
    theirs = tokenizers.Tokenizer(tokenizers.models.BPE())
    theirs.pre_tokenizer = tokenizers.pre_tokenizers.ByteLevel(add_prefix_space=False)
    theirs.decoder = tokenizers.decoders.ByteLevel()
    trainer = tokenizers.trainers.BpeTrainer(
        vocab_size=vocab_size,
        special_tokens=list(special_tokens),
        initial_alphabet=tokenizers.pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    theirs.train_from_iterator([text], trainer)
    return BPETokenizer.from_text(text, vocab_size, special_tokens), theirs


def assert_same(ours, theirs):
    model = json.loads(theirs.to_str())["model"]
    assert [tuple(merge) for merge in model["merges"]] == list(ours.merges)
    assert theirs.get_vocab() == {token: number for number, token in enumerate(ours.vocabulary)}


def assert_same_ids(ours, theirs, text):
    ids = theirs.encode(text).ids
    assert ours.encode(text).tolist() == ids
    assert ours.decode(ids) == theirs.decode(ids, skip_special_tokens=False) == text


OURS, THEIRS = train(NOVELS[:100_000] + CODE[:50_000] + CHINESE + ARABIC + EMOJI, 3000, ["<|end|>", "<|endoftext|>"])


def test_eight_thousand_merges_and_all_ids_of_the_six_novels():
    ours, theirs = train(NOVELS, 8256)
    assert len(ours.merges) == 8000
    assert_same(ours, theirs)
    assert_same_ids(ours, theirs, NOVELS)


@pytest.mark.parametrize("name", SAMPLES)
def test_merges_and_ids_of_other_texts(name):
    ours, theirs = train(SAMPLES[name], 2000)
    assert_same(ours, theirs)
    assert_same_ids(ours, theirs, SAMPLES[name])


def test_merges_and_ids_of_a_text_in_several_scripts_with_special_tokens():
    assert_same(OURS, THEIRS)
    for text in SAMPLES.values():
        assert_same_ids(OURS, THEIRS, text)


@given(st.lists(st.text("ab c\n", max_size=12), min_size=1).map(" ".join), st.integers(257, 300))
def test_merges_of_texts_with_many_equal_counts(text, vocab_size):
    if text:
        assert_same(*train(text, vocab_size, ["<a>"]))


@given(TEXTS)
def test_ids_of_drawn_texts(text):
    assert_same_ids(OURS, THEIRS, text)


@given(TEXTS.filter(bool))
def test_merges_of_drawn_texts(text):
    assert_same(*train(text * 2, 290))


@given(st.lists(st.integers(0, len(OURS) - 1)))
def test_the_text_of_drawn_ids(ids):
    assert OURS.decode(ids) == THEIRS.decode(ids, skip_special_tokens=False)


def test_every_character_is_split_in_the_same_way():
    split = tokenizers.pre_tokenizers.ByteLevel(add_prefix_space=False).pre_tokenize_str
    # Planes 4 to 13 hold no characters, and planes 15 and 16 only those of private use.
    characters = [chr(code) for code in [*range(0xD800), *range(0xE000, 0x40000), *range(0xE0000, 0xF0100)]]
    for start in range(0, len(characters), 1024):
        text = "".join(f"a{c}1{c}!{c} {c}" for c in characters[start : start + 1024])
        assert [text[slice(*place)] for _, place in split(text)] == split_words(text)


def test_merges_in_an_order_that_no_text_gives(tmp_path):
    content = BPETokenizer.from_text("a", 256).to_dict()
    symbols = list(content["model"]["vocab"]) + ["aba", "ab", "ba", "aa", "aaa"]
    content["model"]["vocab"] = {symbol: number for number, symbol in enumerate(symbols)}
    content["model"]["merges"] = ["ab a", "a ba", "a b", "b a", "a aa", "a a", "aa a"]
    ours, theirs = BPETokenizer.from_dict(content), tokenizers.Tokenizer.from_str(json.dumps(content))
    for number in range(2**11):
        assert_same_ids(ours, theirs, f"{number:b}".replace("0", "b").replace("1", "a"))


def test_each_reads_the_files_of_the_other(tmp_path):
    THEIRS.save(str(tmp_path / "theirs.json"))
    THEIRS.model.save(str(tmp_path))  # vocab.json and merges.txt
    OURS.save(tmp_path / "ours")
    from_files = tokenizers.Tokenizer(
        tokenizers.models.BPE.from_file(str(tmp_path / "ours" / "vocab.json"), str(tmp_path / "ours" / "merges.txt"))
    )
    assert_same(OURS, from_files)
    text = "It is <|end|> a truth 🙂<|endoftext|>"
    assert_same_ids(OURS, tokenizers.Tokenizer.from_file(str(tmp_path / "ours" / "tokenizer.json")), text)
    for path in (tmp_path / "theirs.json", tmp_path):
        loaded = BPETokenizer.load(path)
        assert_same_ids(loaded, THEIRS, text)
        assert (loaded.vocabulary, loaded.merges) == (OURS.vocabulary, OURS.merges)
        assert set(loaded.special_tokens) == set(OURS.special_tokens)


def test_a_file_with_truncation_and_padding_is_read_without_them_as_transformers_does(tmp_path):
    transformers = pytest.importorskip("transformers")
    theirs = tokenizers.Tokenizer.from_str(THEIRS.to_str())
    theirs.enable_truncation(max_length=3)
    theirs.enable_padding(length=8, pad_token="<|end|>")
    theirs.save(str(tmp_path / "tokenizer.json"))
    text = NOVELS[:500]
    ids = BPETokenizer.load(tmp_path).encode(text).tolist()
    assert len(ids) > 100 and ids == OURS.encode(text).tolist()
    assert ids == transformers.PreTrainedTokenizerFast(tokenizer_file=str(tmp_path / "tokenizer.json")).encode(text)


@pytest.mark.parametrize("name", SAMPLES)
def test_the_ids_are_those_of_tiktoken_with_the_same_merges(name):
    tiktoken = pytest.importorskip("tiktoken")
    special = {token: OURS.id(token) for token in OURS.special_tokens}
    ranks = {OURS.decode_bytes([k]): k for k in range(len(OURS)) if OURS.vocabulary[k] not in special}
    pattern = (
        r"'(?:[sdmt]|ll|ve|re)| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+"  # GPT-2's, as tiktoken writes it
    )
    theirs = tiktoken.Encoding("ours", pat_str=pattern, mergeable_ranks=ranks, special_tokens=special)
    text = SAMPLES[name] + "<|endoftext|>" + SAMPLES[name][:100]
    assert OURS.encode(text).tolist() == theirs.encode(text, allowed_special="all")
