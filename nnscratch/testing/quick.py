"""Quick questions in notebooks: check answers that are a letter or a number.

There are three kinds of right answer:

- A letter: the answer must be the letter of the right choice. Lower-case letters and spaces are accepted.
- An integer: the answer must be equal to this integer. In text, commas may separate thousands: "1,638,400".
- A float: the answer may differ from this number by 1 %. So three significant digits are always enough.
"""

from __future__ import annotations

import math
import re
from numbers import Real
from typing import Any

import numpy as np

from .safe_values import describe

LETTERS = "ABCDE"
# This pattern does not match 1,5, because some readers write 1.5 with a comma.
THOUSANDS = re.compile(r"\s*[+-]?[1-9]\d{0,2}(,\d{3})+(\.\d*)?\s*", re.ASCII)
TOLERANCE = 0.01  # the largest relative error if the right number is a float
ROUNDING = 1e-9  # the same for an integer: it is not 0, because 0.1 * 30 is 3.0000000000000004


def quick_questions(answers: Any, right: dict[int, str | float]) -> None:
    """Check the answers to the quick questions of a notebook, and print one line for each question.

    A wrong answer, a missing answer or an answer of the wrong type raises no exception. The line says what is expected.

    Parameters
    ----------
    answers : dict from int to str or number
        The reader's answers: a letter such as ``"B"``, or a number such as ``0.25``. The empty string means that there
        is no answer yet. A number may also be text, such as ``"1/3"``.
    right : dict from int to str or number
        The right answers to questions 1, 2, 3 and so on: a letter from A to E, or a number. If the right number is an
        int, the answer must be equal. If it is a float, the answer may differ from it by 1 %.

    Raises
    ------
    TypeError
        `right` is not a dict, or one of its values is neither a string nor a number.
    ValueError
        The keys of `right` are not 1, 2, 3 and so on, or one of its values is neither a letter from A to E nor finite.

    Examples
    --------
    >>> quick = {1: "b", 2: "A", 3: 1 / 3, 4: ""}
    >>> quick_questions(quick, {1: "B", 2: "C", 3: 0.3333, 4: 12})
    Question 1: right.
    Question 2: not yet. Open A above to read why.
    Question 3: right.
    Question 4: no answer yet.
    """
    check_right(right)
    if not isinstance(answers, dict):
        print(f'Write your answers as a dict, such as {{1: "A", 2: "B"}}, not as {shown(answers)}.')
        return
    for number, value in right.items():
        result = checked_letter if isinstance(value, str) else checked_number
        answer = answers.get(number)
        missing = answer is None or answer is ... or (isinstance(answer, str) and not answer.strip())
        print(f"Question {number}: {'no answer yet' if missing else result(answer, value)}.")
    for key in answers:
        if key not in right:
            print(f"There is no question {key!r}. The questions are {', '.join(map(str, right))}.")


def checked_letter(answer: Any, right: str) -> str:
    """Return the feedback on an answer to a multiple-choice question."""
    letter = answer.strip(" .()").upper() if isinstance(answer, str) else ""
    if letter == right:
        return "right"
    if len(letter) == 1 and letter in LETTERS:
        return f"not yet. Open {letter} above to read why"
    return f'not yet. Write the letter of your answer, such as "B", not {shown(answer)}'


def checked_number(answer: Any, right: float) -> str:
    """Return the feedback on an answer that must be a number."""
    number = as_number(answer)
    if number is None:
        return f"not yet. Write a number, such as 12, 0.25 or 1/3, not {shown(answer)}"
    if math.isclose(number, right, rel_tol=ROUNDING if isinstance(right, int) else TOLERANCE, abs_tol=1e-12):
        return "right"
    return "not yet. Compute it again, or open the answer above"


def as_number(answer: Any) -> float | None:
    """Return an answer as a float, or None if it is not a real number."""
    if isinstance(answer, np.ndarray) and answer.size == 1:
        answer = answer.item()
    if isinstance(answer, str):
        above, _, below = answer.partition("/")
        try:
            return from_text(above) / from_text(below or "1")
        except (ValueError, ZeroDivisionError):
            return None
    if isinstance(answer, bool) or not isinstance(answer, Real):
        return None
    try:
        return float(answer)
    except OverflowError:  # an integer that is too large for a float
        return math.inf


def from_text(text: str) -> float:
    """Return text such as ``"0.25"`` or ``"1,638,400"`` as a float. Raise `ValueError` if it is not a number."""
    return float(text.replace(",", "") if THOUSANDS.fullmatch(text) else text)


def shown(answer: Any) -> str:
    """Return an answer as text for a message."""
    return repr(answer) if isinstance(answer, str) and len(answer) < 30 else describe(answer)


def check_right(right: Any) -> None:
    """Raise an error if the right answers are not a dict as `quick_questions` describes it."""
    if not isinstance(right, dict):
        raise TypeError(f"right must be a dict from the number of each question to its right answer, not {right!r}")
    if not right or list(right) != list(range(1, len(right) + 1)):
        raise ValueError(f"the keys of right must be 1, 2, 3 and so on, one for each question, not {list(right)}")
    for number, value in right.items():
        if isinstance(value, bool) or not isinstance(value, (str, int, float)):
            raise TypeError(f"the right answer to question {number} must be a letter or a number, not {value!r}")
        if isinstance(value, str) and not (len(value) == 1 and value in LETTERS):
            raise ValueError(f"the right answer to question {number} must be a letter from A to E, not {value!r}")
        if isinstance(value, float) and not math.isfinite(value):
            raise ValueError(f"the right answer to question {number} must be finite, not {value}")
