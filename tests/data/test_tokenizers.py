"""Decoding inverts encoding, vocabularies follow their rules, and wrong input raises a clear error."""

import json
import time

import numpy as np
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from nnscratch.data import CharTokenizer, SplitTokenizer, WordTokenizer, load_austen, tokenizer_from_dict
from nnscratch.data.tokenizers import EOS, UNK

# Strings that the rules of WordTokenizer treat differently. Random combinations of them test the special cases.
WORDS = "a I Be don't 3 mr mr. Mrs. etc. &c. <unk> <eos> < eos > é ß İ Σ"
MARKS = ". ! ? , ; : … ' ’ ‘ \" “ ” ( ) [ ] - -- --- — _ £ % * & "
SPACES = [" ", " ", " ", "\n", "\n\n", "\t", "\u00a0"]
PIECES = st.sampled_from(WORDS.split() + MARKS.split() + SPACES)
PROSE = st.lists(PIECES, max_size=25).map("".join)
NOVEL = load_austen("northanger_abbey")


def tokens_of(text):
    return WordTokenizer.tokenize(text)


# --- by character ----------------------------------------------------------------------------------------------------


@given(st.text(st.characters(), min_size=1))
@example("\ud800")  # half of a surrogate pair: not a character, but strings may contain it
def test_characters_encode_and_decode_to_the_same_text(text):
    tokenizer = CharTokenizer.from_text(text)
    ids = tokenizer.encode(text)
    assert ids.dtype == np.int64 and ids.shape == (len(text),)
    assert [tokenizer.vocabulary[i] for i in ids] == list(text)
    assert tokenizer.decode(ids) == tokenizer.decode(ids.tolist()) == text


@given(st.text(st.characters(), min_size=1))
def test_the_characters_are_sorted_and_each_there_once(text):
    tokenizer = CharTokenizer.from_text(text)
    assert tokenizer.vocabulary == tuple(sorted(set(text)))
    assert len(tokenizer) == len(set(text))
    assert [tokenizer.id(character) for character in tokenizer.vocabulary] == list(range(len(tokenizer)))


def test_unknown_characters_are_named_with_their_positions_and_what_is_known():
    tokenizer = CharTokenizer.from_text("abc")
    with pytest.raises(
        ValueError, match=r"'x' at position 1, '→' at position 3\. The vocabulary has 3 characters: 'abc'"
    ):
        tokenizer.encode("ax→→x"[:2] + "b→x")


@pytest.mark.parametrize("unknown", ["!", "m", "~"])  # before, between and after the known ones
def test_an_unknown_character_is_found_wherever_it_would_be_sorted(unknown):
    with pytest.raises(ValueError, match="not in the vocabulary"):
        CharTokenizer.from_text("az").encode(f"a{unknown}z")


def test_of_many_unknown_characters_the_first_five_are_shown():
    with pytest.raises(ValueError, match="'e' at position 4 and 21 more"):
        CharTokenizer.from_text("0").encode("abcdefghijklmnopqrstuvwxyz")


def test_nothing_encodes_to_no_ids_and_back():
    for tokenizer in (CharTokenizer.from_text("a"), WordTokenizer.from_text("a")):
        assert tokenizer.encode("").shape == (0,) and tokenizer.encode("").dtype == np.int64
        assert tokenizer.decode([]) == tokenizer.decode(np.array([], dtype=np.int64)) == ""


# --- by word: what a token is ----------------------------------------------------------------------------------------


def test_words_are_lower_cased_and_marks_stand_alone():
    assert tokens_of("Yes, Sir (No; maybe)") == ["yes", ",", "sir", "(", "no", ";", "maybe", ")"]


def test_an_apostrophe_inside_a_word_belongs_to_it_whichever_way_it_is_written():
    assert tokens_of("I don't know Jane's o’clock") == ["i", "don't", "know", "jane's", "o'clock"]


def test_an_apostrophe_at_the_edge_of_a_word_is_a_mark():
    assert tokens_of("'tis three hours' work") == ["‘", "tis", "three", "hours", "’", "work"]


def test_straight_quotes_open_and_close():
    assert tokens_of('"So," said he--"so (\'twas "all") be it') == (
        ["“", "so", ",", "”", "said", "he", "--", "“", "so", "(", "‘", "twas", "“", "all", "”", ")", "be", "it"]
    )


def test_hyphens_come_in_runs_and_underscores_go():
    assert tokens_of("_To-day_--or never") == ["to", "-", "day", "--", "or", "never"]


def test_a_sentence_ends_after_its_closing_quotes_and_brackets():
    assert tokens_of('He said "go!" (Why?) We went.') == (
        ["he", "said", "“", "go", "!", "”", EOS, "(", "why", "?", ")", EOS, "we", "went", ".", EOS]
    )


def test_no_sentence_ends_at_an_abbreviation_or_inside_a_word():
    text = "Mr. and Mrs. Bennet, Dr. Grant, tea, cakes, &c. at www.example.com cost 3.50"
    assert EOS not in tokens_of(text)
    assert {"mr.", "mrs.", "dr.", "&c."} <= set(tokens_of(text))


def test_several_stops_end_one_sentence():
    assert tokens_of("What?! Well... so") == ["what", "?", "!", EOS, "well", ".", ".", ".", EOS, "so"]


def test_a_long_run_of_stops_is_read_once():
    tokens = WordTokenizer.tokenize("." * 200_000 + "x")  # quadratic time would take minutes
    assert tokens == ["."] * 200_000 + ["x"]


def test_a_prompt_in_the_middle_of_a_sentence_gets_no_end():
    tokenizer = WordTokenizer.from_text("It is a truth. It is so.")
    assert tokenizer.id(EOS) not in tokenizer.encode("it is a truth")


def test_special_tokens_written_in_the_text_are_themselves():
    assert tokens_of("the <unk> sat <eos>\n<eos>\n on . <eos>") == ["the", UNK, "sat", EOS, "on", ".", EOS]
    tokenizer = WordTokenizer.from_text("<unk> cat <eos> <unk>")
    assert tokenizer.vocabulary == (UNK, EOS, "cat")
    assert tokenizer.encode("<unk> cat <eos>").tolist() == [0, 2, 1]


# --- by word: the vocabulary -----------------------------------------------------------------------------------------


def test_the_vocabulary_begins_with_unk_and_eos_then_falls_by_count_and_alphabet():
    assert WordTokenizer.from_text("b a c c b d d d").vocabulary == (UNK, EOS, "d", "b", "c", "a")


def test_max_size_counts_the_special_tokens_and_min_count_drops_rare_words():
    assert WordTokenizer.from_text("b a c c b d d d", max_size=4).vocabulary == (UNK, EOS, "d", "b")
    assert WordTokenizer.from_text("b a c c b d d d", min_count=3).vocabulary == (UNK, EOS, "d")
    assert WordTokenizer.from_text("b a", max_size=100).vocabulary == (UNK, EOS, "a", "b")


def test_a_word_not_in_the_vocabulary_is_unk():
    tokenizer = WordTokenizer.from_text("the cat sat")
    assert tokenizer.decode(tokenizer.encode("The dog sat")) == "the <unk> sat"


# --- by word: back to text -------------------------------------------------------------------------------------------


def test_decoded_text_reads_like_english():
    text = (
        "“why, mr. bennet!” she said; “i can't—(you know it) to-day.” nobody--‘tis true--knew the hours’ work: "
        "£5, 9% & more [done]? three--four.—five."
    )
    tokenizer = WordTokenizer.from_text(text)
    assert tokenizer.decode(tokenizer.encode(text)) == text


@given(PROSE)
@example("mr . darcy")  # two tokens, not the abbreviation
@example("well - -- so")  # two dashes, not one
@example("to www.example.com.")  # stops that end no sentence
@example("he went . ) she")  # a bracket after the end
@example("word <eos> word. <eos> <eos> Word")
def test_decoded_text_encodes_to_the_same_ids(text):
    tokenizer = WordTokenizer([UNK, EOS, *sorted(set(tokens_of(text)) - {UNK, EOS})])
    ids = tokenizer.encode(text)
    assert tokenizer.encode(tokenizer.decode(ids)).tolist() == ids.tolist()


@given(st.text(st.characters()))
def test_decoded_text_encodes_to_the_same_ids_for_any_characters(text):
    tokenizer = WordTokenizer([UNK, EOS, *sorted(set(tokens_of(text)) - {UNK, EOS})])
    ids = tokenizer.encode(text)
    assert tokenizer.encode(tokenizer.decode(ids)).tolist() == ids.tolist()


@given(st.lists(st.integers(0, 39), max_size=20), st.integers(0, 20))
def test_the_text_of_the_first_ids_begins_the_text_of_all(ids, first):
    tokenizer = WordTokenizer.from_text(NOVEL[:2000], max_size=40)  # any ids, also such as no text gives
    assert tokenizer.decode(ids).startswith(tokenizer.decode(ids[:first]))


def test_a_whole_novel_comes_back_and_is_encoded_in_well_under_a_second():
    tokenizer = WordTokenizer.from_text(NOVEL)
    start = time.process_time()
    ids = tokenizer.encode(NOVEL)
    assert time.process_time() - start < 1  # measured: 0.15 s for 94,000 tokens
    np.testing.assert_array_equal(tokenizer.encode(tokenizer.decode(ids)), ids)
    characters = CharTokenizer.from_text(NOVEL)
    assert characters.decode(characters.encode(NOVEL)) == NOVEL


# --- kept in a file --------------------------------------------------------------------------------------------------


@given(st.text(st.characters(), min_size=1), st.booleans())
def test_a_tokenizer_comes_back_from_json(text, by_word):
    tokenizer = WordTokenizer.from_text(f"word {text}") if by_word else CharTokenizer.from_text(text)
    again = tokenizer_from_dict(json.loads(json.dumps(tokenizer.to_dict())))
    assert type(again) is type(tokenizer) and again.vocabulary == tokenizer.vocabulary
    np.testing.assert_array_equal(again.encode(text), tokenizer.encode(text))


@pytest.mark.parametrize(
    ("saved", "message"),
    [
        ([], "must be a dictionary"),
        ({"level": "char"}, 'list "vocabulary"'),
        ({"level": "char", "vocabulary": "abc"}, 'list "vocabulary"'),
        ({"level": "byte", "vocabulary": ["a"]}, 'level must be "char", "word" or "split", got \'byte\''),
        ({"level": "char", "vocabulary": []}, "at least one character"),
        ({"level": "char", "vocabulary": ["b", "a"]}, "ascending order"),
        ({"level": "char", "vocabulary": ["ab"]}, "single characters, got 'ab'"),
        ({"level": "char", "vocabulary": ["a", "a"]}, "'a' more than once"),
        ({"level": "word", "vocabulary": [UNK, EOS, 7]}, "non-empty strings, got 7"),
        ({"level": "word", "vocabulary": ["the", "cat"]}, "must begin with <unk> and <eos>"),
    ],
)
def test_a_broken_dictionary_is_refused(saved, message):
    with pytest.raises(ValueError, match=message):
        tokenizer_from_dict(saved)


# --- refused ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("tokenizer", [CharTokenizer.from_text("abc"), WordTokenizer.from_text("one two")])
def test_wrong_ids_and_texts_are_refused(tokenizer):
    last = len(tokenizer) - 1
    for ids in ([0, last + 1], [-1, 0]):
        with pytest.raises(ValueError, match=rf"ids must be in 0\.\.{last}, got {min(ids)}\.\.{max(ids)}"):
            tokenizer.decode(ids)
    with pytest.raises(TypeError, match="ids must be integers, got float64"):
        tokenizer.decode([0.0, 1.0])
    with pytest.raises(ValueError, match=r"shape \(T,\), got shape \(1, 2\)"):
        tokenizer.decode([[0, 1]])
    with pytest.raises(TypeError, match="text must be a str, got bytes"):
        tokenizer.encode(b"one")
    with pytest.raises(ValueError, match="token 'z' is not in the vocabulary"):
        tokenizer.id("z")


def test_texts_and_sizes_without_a_vocabulary_are_refused():
    with pytest.raises(ValueError, match="text is empty"):
        CharTokenizer.from_text("")
    with pytest.raises(ValueError, match="holds no word"):
        WordTokenizer.from_text(" \n")
    with pytest.raises(ValueError, match="min_count is 2, and no word"):
        WordTokenizer.from_text("a b c", min_count=2)
    with pytest.raises(ValueError, match="max_size includes .* 3 or more, got 2"):
        WordTokenizer.from_text("a b c", max_size=2)
    for name in ("min_count", "max_size"):
        with pytest.raises(ValueError, match=f"{name} must be an integer of 1 or more, got 0"):
            WordTokenizer.from_text("a b c", **{name: 0})


def test_a_prepared_text_is_cut_at_blanks_only_and_comes_back_the_same():
    text = "mr. <unk> is n't N years old\n$ N is u.s. money\n"
    tokenizer = SplitTokenizer.from_text(text)
    ids = tokenizer.encode(text)
    assert tokenizer.decode(ids) == text
    assert [tokenizer.vocabulary[k] for k in ids[:7]] == ["mr.", "<unk>", "is", "n't", "N", "years", "old"]
    assert (ids == tokenizer.id("<eos>")).sum() == 2
    assert tokenizer_from_dict(tokenizer.to_dict()).vocabulary == tokenizer.vocabulary


def test_a_prepared_text_may_be_a_single_line():
    tokenizer = SplitTokenizer.from_text("a b a")
    assert tokenizer.vocabulary == ("a", "b", "<eos>")
    assert tokenizer.decode(tokenizer.encode("b\na")) == "b\na"


def test_a_prepared_texts_token_may_have_eos_in_it():
    text = "a <eos>b c<eos>\n\nd\n"
    tokenizer = SplitTokenizer.from_text(text)
    assert tokenizer.decode(tokenizer.encode(text)) == text


def test_a_prepared_texts_rare_tokens_become_unk_or_are_refused():
    tokenizer = SplitTokenizer.from_text("a a b <unk> c\n", max_size=4)
    assert tokenizer.vocabulary == ("a", "b", "<unk>", "<eos>")
    assert tokenizer.encode("a zebra").tolist() == [0, 2]
    with pytest.raises(ValueError, match="holds no <unk> to replace"):
        SplitTokenizer.from_text("a a b c\n", max_size=3)
    with pytest.raises(ValueError, match="max_size includes .* 3 or more, got 1"):
        SplitTokenizer.from_text("a a b <unk> c\n", max_size=1)
    with pytest.raises(ValueError, match="token 'zebra' is not in the vocabulary, nor is <unk>"):
        SplitTokenizer.from_text("a b\n").encode("a zebra")
    with pytest.raises(ValueError, match="holds no token"):
        SplitTokenizer.from_text("\n\n")
    with pytest.raises(ValueError, match="vocabulary must hold <eos>"):
        SplitTokenizer(["a", "b"])


@pytest.mark.parametrize(("text", "tokens"), [
    ("हिन्दी भाषा।", ["हिन्दी", "भाषा", "।"]),  # vowel signs are combining marks
    ("caf\u00e9 na\u00efve", ["caf\u00e9", "na\u00efve"]),
    ("cafe\u0301 nai\u0308ve", ["caf\u00e9", "na\u00efve"]),  # the same words, with the accents as own characters
    ("q\u0323y l’q\u0323a", ["q\u0323y", "l'q\u0323a"]),  # no single character is this letter
    ("می\u200cخواهم", ["می\u200cخواهم"]),  # a joiner inside a Persian word
    ("'गे' said", ["‘", "गे", "’", "said"]),
])  # fmt: skip
def test_a_word_keeps_its_accents_and_vowel_signs(text, tokens):
    assert WordTokenizer.tokenize(text) == tokens


@pytest.mark.parametrize("tokenizer", [CharTokenizer.from_text("aé\ud800"), WordTokenizer.from_text("the cat “sat”.")])
def test_a_tokenizer_comes_back_from_its_file(tokenizer, tmp_path):
    tokenizer.save(tmp_path / "tokenizer.json")
    same = type(tokenizer).load(tmp_path / "tokenizer.json")
    assert type(same) is type(tokenizer) and same.vocabulary == tokenizer.vocabulary


@pytest.mark.parametrize(
    "content, message",
    [
        (b"\xff", "is not a file that CharTokenizer.save wrote"),
        (b"[1]", "is not a file that CharTokenizer.save wrote"),
        (b'{"level": "word", "vocabulary": []}', "holds a tokenizer of level 'word', and CharTokenizer reads 'char'"),
        (b'{"level": "char", "vocabulary": "abc"}', "its vocabulary must be a list, got a str"),
        (b'{"level": "char", "vocabulary": ["b", "a"]}', "tokenizer.json: vocabulary must hold"),
    ],
)
def test_a_file_that_holds_no_such_tokenizer_is_refused(content, message, tmp_path):
    (tmp_path / "tokenizer.json").write_bytes(content)
    with pytest.raises(ValueError, match=message):
        CharTokenizer.load(tmp_path / "tokenizer.json")
