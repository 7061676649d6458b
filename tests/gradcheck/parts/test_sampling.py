"""Test which elements of an array the sampled mode checks."""

import numpy as np
import pytest

from nnscratch.gradcheck.sampling import sample_indices


def sampled(values, analytic, count, seed=0):
    found = sample_indices(np.array(values, dtype=float), np.array(analytic, dtype=float), count,
                           np.random.default_rng(seed))  # fmt: skip
    assert len(set(found)) == len(found) and all(isinstance(i, int) for index in found for i in index)
    return found


@pytest.mark.parametrize("shape, count", [((5,), 5), ((2, 3), 7), ((), 1), ((0, 2), 3)])
def test_a_small_array_is_checked_completely(shape, count):
    assert sampled(np.ones(shape), np.ones(shape), count) == list(np.ndindex(shape))


@pytest.mark.parametrize("sign", [1, -1])
def test_extreme_elements_and_both_ends_are_checked(sign):
    values = np.full((10, 10), 3.0)
    values[1, 1], values[2, 2], values[3, 3] = 9.0, -8.0, 0.5  # the largest, the smallest, and the nearest to zero
    analytic = np.full((10, 10), -2.0)
    analytic[4, 4], analytic[5, 5], analytic[6, 6] = 7.0, -8.0, 0.5
    expected = {(1, 1), (2, 2), (3, 3), (4, 4), (5, 5), (6, 6), (0, 0), (9, 9)}
    for seed in range(5):
        found = sampled(sign * values, sign * analytic, 8, seed)
        assert set(found) == expected and found[0] == (5, 5)  # the largest gradient comes first
        assert expected < set(sampled(values, analytic, 20, seed)) and len(sampled(values, analytic, 20, seed)) == 20


def test_the_other_elements_are_random():
    found = {index for seed in range(40) for index in sampled(np.arange(30), np.arange(30), 15, seed)}
    assert found == {(i,) for i in range(30)}


def test_one_element_less_than_the_array_has():
    found = sampled([1, 2, 3], [1, 2, 3], 2)
    assert len(found) == 2
