"""Quick questions in notebooks: each answer gets one line, and no answer raises an exception."""

import numpy as np
import pytest

from nnscratch.testing import quick_questions


@pytest.fixture
def line(capsys):
    """line(answer, right): the words printed about an answer to a notebook's only question."""

    def line(answer, right):
        quick_questions({1: answer}, {1: right})
        said = capsys.readouterr().out
        assert said.startswith("Question 1: ") and said.endswith(".\n") and said.count("\n") == 1
        return said.removeprefix("Question 1: ").removesuffix(".\n")

    return line


def test_it_prints_one_line_for_each_question(capsys):
    quick_questions({1: "B", 2: "A", 3: ""}, {1: "B", 2: "C", 3: 4})
    assert capsys.readouterr().out == (
        "Question 1: right.\nQuestion 2: not yet. Open A above to read why.\nQuestion 3: no answer yet.\n"
    )


@pytest.mark.parametrize("nothing", ["", "  ", None, ...])
def test_an_empty_answer_is_no_answer_yet(nothing, line, capsys):
    assert line(nothing, "B") == line(nothing, 0.5) == "no answer yet"
    quick_questions({}, {1: "B"})
    assert capsys.readouterr().out == "Question 1: no answer yet.\n"


@pytest.mark.parametrize("answer", ["B", "b", " b ", "B.", "(b)"])
def test_a_letter_may_be_small_and_have_spaces_and_brackets(answer, line):
    assert line(answer, "B") == "right"
    assert line(answer, "C") == "not yet. Open B above to read why"


@pytest.mark.parametrize(
    "answer, words",
    [("AB", "'AB'"), ("Z", "'Z'"), ("1", "'1'"), (2, "2"), (True, "True"), (["B"], "a list of 1 element"),
     ("because x is small, so B", "'because x is small, so B'"), ("a long reason " * 9, "a string")],
)  # fmt: skip
def test_an_answer_that_is_no_letter_is_told_what_is_expected(answer, words, line):
    assert line(answer, "B") == f'not yet. Write the letter of your answer, such as "B", not {words}'


@pytest.mark.parametrize(
    "answer", [0.3333, 1 / 3, 0.333, 0.336, np.float32(1 / 3), np.array(1 / 3), np.array([[1 / 3]]), "1/3", " 0.333 "]
)
def test_a_number_may_differ_from_a_float_by_one_per_cent(answer, line):
    assert line(answer, 1 / 3) == "right"


@pytest.mark.parametrize("answer", [0.329, 0.337, -1 / 3, 0, "0.3", "nan", "inf", float("nan"), 10**400])
def test_another_number_is_not_yet_right(answer, line):
    assert line(answer, 1 / 3) == "not yet. Compute it again, or open the answer above"


def test_a_number_must_be_equal_to_an_integer(line):
    for answer in (2400, 2400.0, "2400", np.int64(2400), np.float32(2400)):
        assert line(answer, 2400) == "right"
    assert line(0.1 * 30, 3) == line(0.0, 0) == line(-0.0, 0) == "right"
    for answer in (2401, 2399, 2400.1, -2400):
        assert line(answer, 2400).startswith("not yet. Compute")
    assert line(1e-6, 0).startswith("not yet. Compute")


def test_commas_may_separate_thousands(line):
    assert line("1,638,400", 1638400) == line(" -1,757 ", -1757) == line("1,250.5", 1250.5) == "right"
    assert line("1,000/4,000", 0.25) == "right"
    assert line("1,638,401", 1638400).startswith("not yet. Compute")


@pytest.mark.parametrize(
    "answer, words",
    [("B", "'B'"), ("1/0", "'1/0'"), ("1/2/3", "'1/2/3'"),
     ("1,5", "'1,5'"), ("0,250", "'0,250'"), ("1,2345", "'1,2345'"), ("1638,400", "'1638,400'"), (",250", "',250'"),
     (True, "True"), (1j, "1j"), ((2, 400), "a tuple of 2 elements"),
     (np.ones(3), "(3,)"), (np.bool_(True), "() of bool"), (np.array(None), "() of object"), (object(), "an object")],
)  # fmt: skip
def test_an_answer_that_is_no_number_is_told_what_is_expected(answer, words, line):
    assert line(answer, 0.25) == f"not yet. Write a number, such as 12, 0.25 or 1/3, not {words}"


def test_answers_of_a_wrong_kind_and_wrong_keys_are_named(capsys):
    for answers in (["A", "B"], "A", None, {"A"}):
        quick_questions(answers, {1: "A", 2: "B"})
        assert 'Write your answers as a dict, such as {1: "A", 2: "B"}, not as ' in capsys.readouterr().out
    quick_questions({"1": "A", 3: "B"}, {1: "A", 2: "B"})
    assert capsys.readouterr().out == (
        "Question 1: no answer yet.\nQuestion 2: no answer yet.\n"
        "There is no question '1'. The questions are 1, 2.\nThere is no question 3. The questions are 1, 2.\n"
    )


@pytest.mark.parametrize("right", [None, ["A"], "A", {1: None}, {1: True}, {1: ["A"]}, {1: 1j}])
def test_right_answers_of_a_wrong_type_are_an_error_and_print_nothing(right, capsys):
    with pytest.raises(TypeError, match="right"):
        quick_questions({1: "A"}, right)
    assert capsys.readouterr().out == ""


@pytest.mark.parametrize(
    "right", [{}, {0: "A"}, {2: "A"}, {1: "A", 3: "B"}, {2: "A", 1: "B"}, {"1": "A"}, {1: "a"}, {1: "F"}, {1: ""},
              {1: "AB"}, {1: float("nan")}, {1: "A", 2: float("inf")}],
)  # fmt: skip
def test_right_answers_with_a_wrong_value_are_an_error_and_print_nothing(right, capsys):
    with pytest.raises(ValueError, match="right"):
        quick_questions({1: "A"}, right)
    assert capsys.readouterr().out == ""
