"""assert_values_match: accepts the right values in any float dtype, and its message names the first difference."""

import numpy as np
import pytest

from nnscratch.testing import assert_values_match

RIGHT = np.array([[0.5, 2.0, -1.0], [4.0, 0.25, 3.0], [1.0, 1.5, 7.0]])


def message(values, expected=RIGHT, **options):
    with pytest.raises(AssertionError) as failure:
        assert_values_match(values, expected, "y", **options)
    return str(failure.value)


@pytest.mark.parametrize("dtype", [np.float64, np.float32, np.longdouble])
def test_right_values_of_each_float_dtype_are_accepted(dtype):
    assert_values_match(RIGHT.astype(dtype) / dtype(3), RIGHT / 3)
    assert_values_match(dtype(1) / dtype(3), 1 / 3)


def test_whole_numbers_may_be_integers_and_numbers_may_be_of_any_type():
    assert_values_match(np.array([1, 2]), np.array([1.0, 2.0]))
    for two in (2, 2.0, np.float32(2), np.array(2.0), np.int64(2)):
        assert_values_match(two, 2.0)
    assert_values_match(np.zeros((2, 0)), np.zeros((2, 0)))
    assert_values_match(np.array([True, False]), np.array([True, False]))
    assert_values_match(np.array([np.inf, 1.0]), np.array([np.inf, 1.0]))


def test_a_small_error_of_float64_is_refused():
    assert message(RIGHT * (1 + 1e-9)).startswith("y must be 0.5 at [0, 0], yours is 0.5000000005. ")
    assert "is a part of your answer computed in float32?" in message(RIGHT * (1 + 1e-9))
    assert message(RIGHT.astype(np.float32) * np.float32(1.001))


@pytest.mark.parametrize(
    "values, expected, words",
    [
        (2 * RIGHT, RIGHT, "y must be 0.5 at [0, 0], yours is 1. Every value is 2 times the right one."),
        (-RIGHT, RIGHT, "yours is -0.5. The sign is wrong."),
        (RIGHT.T, RIGHT, "y must be 2 at [0, 1], yours is 4. It is transposed."),
        (RIGHT - [1, 0, 2], RIGHT, "All rows differ from the right ones by the same numbers: is a bias missing"),
        (0 * RIGHT, RIGHT, "All your values are 0."),
        (RIGHT + np.eye(3), RIGHT, "y must be 0.5 at [0, 0], yours is 1.5."),
        (np.where(RIGHT > 5, np.nan, RIGHT), RIGHT, "y must be 7 at [2, 2], yours is nan."),
        (RIGHT[None], RIGHT, "y must have the shape (3, 3), yours has (1, 3, 3)."),
        (RIGHT[:2].T, RIGHT[:2], "y must have the shape (2, 3), yours has (3, 2). Is it transposed?"),
        (RIGHT.tolist(), RIGHT, "y must be an array of shape (3, 3), not a list of 3 elements"),
        (None, RIGHT, "y must be an array of shape (3, 3), not None"),
        ("3", 3.0, "y must be one number, not a string"),
        (1j, 3.0, "y must be one number, not "),
        ([3.0], 3.0, "y must be one number, not a list of 1 element"),
        (np.ones(2), 3.0, "y must be one number, yours has the shape (2,)"),
        (2.0, 3.0, "y must be 3, yours is 2."),
        (np.ones((2, 3)), RIGHT[0], "y must have the shape (3,), yours has (2, 3)."),
        (RIGHT.astype(int), RIGHT, "y must be 0.5 at [0, 0], yours is 0. An array of int64 cannot hold fractions."),
        (..., RIGHT, "Your code still contains `...`"),
    ],
)
def test_the_message_names_the_difference_and_its_likely_cause(values, expected, words):
    assert words in message(values, expected)


def test_the_first_mistake_whose_values_match_is_named():
    mistakes = {"a": RIGHT + 1, "It is the double.": 2 * RIGHT, "c": np.ones(3)}
    assert message(2 * RIGHT, mistakes=mistakes).endswith("yours is 1. It is the double.")
    assert message(6.0, 3.0, mistakes={"It is the sum.": 6.0}) == "y must be 3, yours is 6. It is the sum."
