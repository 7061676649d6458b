"""Exercises in notebooks: each check prints one line and raises no exception."""

import numpy as np
import pytest

import nnscratch as nn
from nnscratch.testing import exercise, fast


def test_checks_that_hold_say_solved(capsys):
    with exercise("1"):
        assert True
    assert capsys.readouterr().out == "Exercise 1: solved.\n"


def test_a_failed_assertion_says_its_words(capsys):
    with exercise("2a"):
        raise AssertionError("f(2) must be 4")
    assert capsys.readouterr().out == "Exercise 2a: not yet. f(2) must be 4\n"


def test_an_assertion_without_words_says_its_source(capsys):
    with exercise("1"):
        assert 1 + 1 == 3
    said = capsys.readouterr().out
    assert said.startswith("Exercise 1: not yet. ") and "1 + 1 == 3" in said.replace("(", "").replace(")", "")


def test_an_error_says_its_kind_and_its_first_line(capsys):
    with exercise("1"):
        raise ValueError("first\nsecond")
    assert capsys.readouterr().out == "Exercise 1: not yet. ValueError: first\n"


def test_what_is_still_an_ellipsis_is_named_so(capsys):
    with exercise("1"):
        assert ... > 0
    assert "still contains `...`" in capsys.readouterr().out


def test_a_wrong_gradient_names_the_array_both_values_and_the_mistake_and_no_right_one(capsys):
    class Flipped(nn.Linear):
        def backward(self, dy):
            return -super().backward(dy)

    with exercise("1"):
        nn.testing.assert_gradients_match(Flipped(3, 2, rng=0), np.random.default_rng(0).normal(size=(4, 3)))
    said = capsys.readouterr().out
    assert said == (
        "Exercise 1: not yet. The gradient of x: wrong, backward says -1.37 at [2, 2], differences say 1.37; "
        "sign flipped.\n"
    )


def test_an_interrupt_is_not_an_answer():
    with pytest.raises(KeyboardInterrupt), exercise("1"):
        raise KeyboardInterrupt


@pytest.mark.parametrize("value, expected", [(None, False), ("", False), ("0", False), ("1", True)])
def test_fast_mode_is_asked_for_by_the_environment(monkeypatch, value, expected):
    monkeypatch.delenv("NNSCRATCH_FAST", raising=False)
    if value is not None:
        monkeypatch.setenv("NNSCRATCH_FAST", value)
    assert fast() is expected
