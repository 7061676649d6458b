"""Test the derivatives along random directions, and the search for the wrong part of an array."""

from types import SimpleNamespace

import numpy as np
import pytest
from projections import differences_of

from nnscratch.gradcheck.directional import (
    describe_wrong_elements,
    directional_entry,
    locate_wrong_part,
    measure_directions,
    smallest_true,
)
from nnscratch.gradcheck.numerical import Derivative


def linear(gradient):
    """Return the differences of f(x) = <gradient, x>, and x."""
    differences = differences_of(lambda x: gradient * x, np.ones(gradient.shape), weights=np.ones(gradient.shape))
    return differences, differences.projection.variables["x"]


def along(gradient, *vs):
    """Return exact derivatives along the directions."""
    return [(np.asarray(v, dtype=float), Derivative(s, 0.0, s, s)) for v in vs for s in [float((gradient * v).sum())]]


def exact(gradient, uncertainty=0.0, jump=0.0):
    """Return differences whose derivatives are those of f(x) = <gradient, x>."""

    def directional_derivative(array, v):
        s = float((gradient * v).sum())
        return Derivative(s, uncertainty, s, s + jump)

    return SimpleNamespace(directional_derivative=directional_derivative)


def wrong_at(*index, shape):
    """Return a gradient of ones, with an error of 1 at an index."""
    gradient = np.ones(shape)
    gradient[index] += 1
    return gradient


def test_the_derivative_along_a_direction_is_measured():
    gradient = np.array([[1.0, -2.0], [0.5, 4.0]])
    differences, x = linear(gradient)
    found = measure_directions(differences, x, 3, np.random.default_rng(0))
    assert len(found) == 3 and len({v.tobytes() for v, _ in found}) == 3
    for v, d in found:
        assert v.shape == (2, 2) and d.value == pytest.approx((gradient * v).sum())
    np.testing.assert_array_equal(x, np.ones((2, 2)))


def test_an_entry_has_one_value_for_each_direction():
    gradient, given = np.array([1.0, 2.0, 3.0]), np.array([1.0, 2.0, 4.0])
    first, second = along(gradient, [1, 0, 0], [0, 1, 1])
    second[1].uncertainty, second[1].low, second[1].high, second[1].kink = 0.25, 4.0, 6.0, True
    entry = directional_entry("w", given, [first, second])
    assert entry.name == "w" and entry.shape == (3,) and entry.checked == 2 and entry.along_directions
    assert entry.analytic.tolist() == [1, 6] and entry.numeric.tolist() == [1, 5] and entry.kinks == 1
    assert entry.uncertainty.tolist() == [0, 0.25] and entry.low.tolist() == [1, 4] and entry.high.tolist() == [1, 6]


def box_of(given, true, differences=None, directions=None):
    """Return (start, stop) of the wrong part for each axis."""
    derivatives = along(true, *(directions or [np.arange(1.0, true.size + 1).reshape(true.shape)]))
    box = locate_wrong_part(differences or exact(true), np.zeros(true.shape), given, derivatives)
    return [(part.start, part.stop) for part in box]


@pytest.mark.parametrize("index", [(0, 0, 0), (1, 3, 2), (0, 3, 0), (1, 1, 1), (1, 2, 0)])
def test_one_wrong_element_is_located(index):
    shape = (2, 4, 3)
    assert box_of(wrong_at(*index, shape=shape), np.ones(shape)) == [(i, i + 1) for i in index]


def test_the_smallest_box_with_all_wrong_elements():
    true = np.ones((5, 6))
    given = true.copy()
    given[1, 2] = given[3, 4] = 2
    assert box_of(given, true) == [(1, 4), (2, 5)]


def test_the_direction_with_the_largest_error_locates_it():
    true, given = np.ones(4), wrong_at(2, shape=4)
    for directions in ([[1, 1, 0, 1], [1, 1, 1, 1]], [[1, 1, 1, 1], [1, 1, 0, 1]]):
        assert box_of(given, true, exact(true, uncertainty=1e-6), directions) == [(2, 3)]


def test_a_part_counts_as_right_only_if_its_derivative_is_certain():
    true, given = np.ones(4), wrong_at(2, shape=4)  # the error along the direction 1, 1, 1, 1 is 1
    ones = [np.ones(4)]
    assert box_of(given, true, exact(true, uncertainty=0.0033), ones) == [(2, 3)]
    assert box_of(given, true, exact(true, uncertainty=0.0034), ones) == [(0, 4)]
    assert box_of(given, true, exact(true, jump=0.0099), ones) == [(2, 3)]
    assert box_of(given, true, exact(true, jump=0.0101), ones) == [(0, 4)]


@pytest.mark.parametrize("length", [1, 2, 3])
def test_an_error_that_no_part_shows_is_not_located(length):
    true, given = np.ones((length, 2)), 2 * np.ones((length, 2))
    assert box_of(given, true, exact(given)) == [(0, length), (0, 2)]


def described(given, true, samples=20, tolerance_of=linear):
    differences, x = tolerance_of(true)
    rng = np.random.default_rng(0)
    return describe_wrong_elements(differences, x, given, measure_directions(differences, x, 2, rng), samples, rng)


def test_the_only_wrong_element_is_shown():
    assert described(wrong_at(2, 1, shape=(4, 3)), np.ones((4, 3))) == (
        "; the only wrong element is [2,1] given 2, true 1"
    )


def test_the_wrong_part_is_shown_with_three_elements():
    true = np.ones((4, 6))
    given = true.copy()
    given[1:3] += np.arange(1.0, 13).reshape(2, 6)
    assert described(given, true) == (
        "; all wrong elements lie in [1:3, 0:6]; 12 of 12 elements checked there are wrong: "
        "[2,5] given 13, true 1, [2,4] given 12, true 1, [2,3] given 11, true 1"
    )
    assert "; 5 of 5 elements checked there are wrong: [2,5] given 13" in described(given, true, samples=5)
    two = true.copy()
    two[1, 1] = two[2, 2] = 3
    assert "lie in [1:3, 1:3]; 2 of 4 elements checked there are wrong" in described(two, true)
    assert described(two, true).count("given") == 2


def test_the_whole_array_may_be_wrong():
    assert described(np.array([2.0, 3.0]), np.ones(2)) == (
        "; 2 of 2 elements checked are wrong: [1] given 3, true 1, [0] given 2, true 1"
    )
    assert described(np.array([2.0]), np.ones(1)) == "; the only wrong element is [0] given 2, true 1"


def test_no_sampled_element_may_be_wrong():
    true = np.ones(40)
    given = true.copy()
    given[[0, 39]] = 1 + 1e-9  # too small to be seen in one element
    assert described(given, true, samples=3) == "; 0 of 3 elements checked are wrong"


@pytest.mark.parametrize("largest", range(1, 10))
def test_the_smallest_number_for_which_a_condition_holds(largest):
    for smallest in range(1, largest + 1):
        tried = []
        assert smallest_true(lambda k, s=smallest, t=tried: t.append(k) or k >= s, largest) == smallest
        assert set(tried) <= set(range(1, largest + 1)) and len(tried) <= 4
    assert smallest_true(lambda k: False, largest) == largest
