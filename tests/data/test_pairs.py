"""Pairs of texts, and padding."""

from datetime import date

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from nnscratch import data


@given(st.lists(st.lists(st.integers(0, 50), min_size=1, max_size=6), min_size=1, max_size=6), st.integers(-1, 3))
def test_padding_keeps_every_sequence_and_its_length(sequences, value):
    padded, lengths = data.pad_sequences(sequences, value)
    assert padded.dtype == lengths.dtype == np.int64 and padded.shape == (len(sequences), max(map(len, sequences)))
    for row, length, sequence in zip(padded, lengths, sequences, strict=True):
        assert row[:length].tolist() == sequence and (row[length:] == value).all()


def test_bad_sequences_are_refused():
    with pytest.raises(ValueError, match="at least one sequence, got none"):
        data.pad_sequences([])
    with pytest.raises(ValueError, match=r"sequence 1 must have shape \(length,\) with at least one token, got \(0,\)"):
        data.pad_sequences([[1], []])
    with pytest.raises(ValueError, match=r"sequence 0 .* got \(1, 2\)"):
        data.pad_sequences([[[1, 2]]])
    with pytest.raises(TypeError, match="sequence 1 must be integers, got float64"):
        data.pad_sequences([[1], [0.5]])


@given(st.integers(1, 40), st.integers(1, 4), st.integers(0, 99))
def test_additions_are_right_and_all_different(count, digits, seed):
    questions, answers = data.additions(count, digits, rng=seed)
    assert len(set(questions)) == len(questions) == len(answers) == count
    for question, answer in zip(questions, answers, strict=True):
        a, b = question.split("+")
        assert int(a) + int(b) == int(answer) and max(len(a), len(b)) <= digits
    assert data.additions(count, digits, rng=seed) == (questions, answers)


def test_more_additions_than_there_are_are_refused():
    with pytest.raises(ValueError, match="count must be at most 50 with digits=1, got 51"):
        data.additions(51, digits=1)


def test_dates_are_those_written():
    written, standard = data.dates(600, rng=0)
    assert (written, standard) == data.dates(600, rng=0)
    starts = set()
    for text, expected in zip(written, standard, strict=True):
        day = date.fromisoformat(expected)
        assert 1770 <= day.year <= 2029 and str(day.year) in text and str(day.day) in text
        if "," in text and "day" in text:
            assert text.startswith(day.strftime("%A").lower())
        starts.add(
            "".join("x" if c.isalpha() else "9" if c.isdigit() else c for c in text).replace("9", "").replace("x", "")
        )
    assert starts == {"  ", " , ", ",  , ", "..", "//"}
