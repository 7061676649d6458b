"""Test the verdict on an entry, on both sides of each limit."""

import numpy as np
import pytest
from wrong_gradients import entry_of

from nnscratch.gradcheck.verdict import (
    is_comparable,
    out_of_tolerance,
    set_verdict,
    unusable_entry,
    worst_elements,
)

NAN, INF = float("nan"), float("inf")


def judged(given, true, rtol=1e-6, itemsize=8, magnitude=1.0, **options):
    options = {key: np.array(value, dtype=float) if key != "kinks" else value for key, value in options.items()}
    entry = entry_of(given, true, **options)
    set_verdict(entry, rtol, itemsize, magnitude)
    return entry


def test_equal_gradients_are_right():
    entry = judged([1, -2, 0], [1, -2, 0])
    assert (entry.verdict, entry.error, entry.reason) == ("right", 0, "")


def test_the_error_is_relative_to_the_largest_element():
    entry = judged([1, -8, 3], [1, -8, 5])
    assert entry.verdict == "wrong" and entry.error == 2 / 8 and entry.worst_index == (2,)
    entry = judged([[1, 4]], [[1, 10]])
    assert entry.error == 6 / 10 and entry.worst_index == (0, 1)


def test_the_worst_element_exceeds_its_tolerance_most():
    # element 0 differs by 2, of which 3 * 0.6 are allowed; element 1 by 1, and nothing is allowed
    assert judged([7, 6], [5, 5], uncertainty=[0.6, 0]).worst_index == (1,)


@pytest.mark.parametrize("side, verdict", [(0.99, "right"), (1.01, "wrong")])
def test_the_limits_of_a_right_element(side, verdict):
    rtol = 1e-3
    assert judged([1 + side * 1.001e-3, 1e-9], [1, 1e-9], rtol).verdict == verdict  # of the larger of the two values
    assert judged([1, 1e-9], [1 + side * 1.001e-3, 1e-9], rtol).verdict == verdict
    # 1e-3 of the tolerance, at the largest element, is allowed everywhere
    assert judged([100, side * 1e-4], [100, 0], rtol, uncertainty=[1e-10, 1e-10]).verdict == verdict
    # 3 uncertainties are allowed
    assert judged([100, 3e-2 * side + 1e-4], [100, 0], rtol, uncertainty=[0, 1e-2]).verdict == verdict
    # an exact element: only rounding errors are allowed
    assert judged([100, side * 1e-11], [100, 0], rtol).verdict == verdict


def test_the_tolerance_is_relative_to_the_larger_value():
    for given, true, verdict in ((1.9, 1, "right"), (1, 1.9, "right"), (2.1, 1, "wrong"), (1, 2.1, "wrong")):
        assert judged([given], [true], rtol=0.5).verdict == verdict


def test_a_small_tolerance_also_holds_for_exact_elements():
    assert judged([100, 0.5e-13], [100, 0], 1e-12).verdict == "right"
    assert judged([100, 2e-13], [100, 0], 1e-12).verdict == "wrong"


def test_an_element_is_exact_if_its_uncertainty_is_a_rounding_error():
    for uncertainty, verdict in ((0.9e-12, "wrong"), (1.1e-12, "right")):
        assert judged([100, 1e-8], [100, 0], 1e-3, uncertainty=[0, uncertainty]).verdict == verdict


def test_every_value_between_the_slopes_of_a_kink_is_right():
    for given, verdict in ((-1, "right"), (0, "right"), (2, "right"), (2.1, "wrong"), (-1.1, "wrong")):
        entry = judged([given, 1], [0.5, 1], low=[-1, 1], high=[2, 1])
        assert entry.verdict == verdict
        assert entry.error == pytest.approx(max(0, given - 2, -1 - given) / max(abs(given), 2))


def test_unknown_elements_are_left_out():
    entry = judged([5, 1, 2], [NAN, 1, 2], low=[NAN, 1, 2], high=[NAN, 1, 2], uncertainty=[NAN, 0, 0])
    assert (entry.verdict, entry.error, entry.worst_index) == ("right", 0, (1,))
    entry = judged([50, 1, 3], [NAN, 1, 2], low=[NAN, 1, 2], high=[NAN, 1, 2], uncertainty=[NAN, 0, 0])
    assert (entry.verdict, entry.error, entry.worst_index) == ("wrong", 1 / 3, (2,))


def test_if_all_elements_are_unknown_the_checker_cannot_tell():
    entry = judged([1, 2], [NAN, NAN])
    assert entry.verdict == "cannot tell" and "not finite" in entry.reason and np.isnan(entry.error)
    assert judged([], []).verdict == "right"


def test_an_array_of_zeros_has_no_error():
    entry = judged([0, 0], [0, 0])
    assert entry.verdict == "right" and entry.error == 0


def test_a_gradient_below_the_noise_is_compared_with_the_noise():
    # The differences have an uncertainty of 1e-8, so the values count as small beside 1e5 * 1e-8.
    entry = judged([2e-12, 0], [1e-12, 0], uncertainty=[1e-8, 1e-8])
    assert entry.error == pytest.approx(1e-9, rel=1e-9, abs=0) and entry.verdict == "right"
    entry = judged([2e-12, 0], [1e-12, 0], uncertainty=[1e-3, 1e-3], magnitude=1e9)
    assert entry.error == pytest.approx(1e-12, rel=1e-9, abs=0)  # beside 1 at most
    assert judged([2e-3, 0], [1e-3, 0], itemsize=4, uncertainty=[1e-3, 1e-3]).error == pytest.approx(0.5)


@pytest.mark.parametrize("itemsize, share", [(8, 1e-2), (4, 5e-2)])
def test_an_uncertain_element_gives_no_verdict(itemsize, share):
    for side, verdict in ((0.99, "right"), (1.01, "cannot tell")):
        entry = judged([100, 1], [100, 1], itemsize=itemsize, uncertainty=[0, side * share * 100 / 3])
        assert entry.verdict == verdict
    assert "at 1 element" in entry.reason and f"{1.01 * share * 100 / 3:.1e}" in entry.reason
    entry = judged([100, 0, 0], [0, 0, 0], itemsize=itemsize, uncertainty=[40, 40, 40])
    assert entry.verdict == "cannot tell" and "at 3 element" in entry.reason
    entry = judged([NAN, 1], [NAN, 1], itemsize=itemsize, uncertainty=[NAN, 0.25])
    assert entry.verdict == "cannot tell" and "2.5e-01 at 1 element" in entry.reason
    assert judged([10], [-5], itemsize=itemsize, uncertainty=[10]).error == 1


def test_an_uncertainty_far_below_the_magnitude_of_f_does_not_matter():
    for side, verdict in ((0.99, "right"), (1.01, "cannot tell")):
        assert judged([1e-6, 0], [1e-6, 0], uncertainty=[0, side * 1e-6]).verdict == verdict
        assert judged([1e-8, 0], [1e-8, 0], uncertainty=[0, side * 1e-8], magnitude=1e-2).verdict == verdict
        assert judged([1e-6, 0], [1e-6, 0], uncertainty=[0, side * 1e-6], magnitude=1e3).verdict == verdict
    # A third of the median uncertainty is not too large for an array of zeros.
    for side, count in ((0.99, 2), (1.01, 3)):
        entry = judged([0, 0, 0], [0, 0, 0], uncertainty=[1e-4, 1e-4, side * 1e-4 / 3])
        assert f"at {count} element" in entry.reason


def test_an_infinite_uncertainty_gives_no_verdict():
    entry = judged([1, 2], [1, 2], uncertainty=[0, INF])
    assert entry.verdict == "cannot tell" and "around 1 element" in entry.reason
    assert judged([9, 2], [1, 2], uncertainty=[0, INF]).verdict == "wrong"  # the other element


# --- the other functions ---------------------------------------------------------------------------------------------


def test_the_elements_out_of_tolerance():
    entry = entry_of([[1, 2], [3, 4]], [[1, 2.5], [3, 3]], uncertainty=np.array([[0, 0.2], [0, 0.3]]))
    assert out_of_tolerance(entry, 1e-6) == [(1, 1)]
    assert out_of_tolerance(entry, 0.3) == []
    entry = entry_of([4.0, -4.0, 0.5], [1, 1, 1], low=np.array([-3.0] * 3), high=np.array([3.0] * 3))
    assert out_of_tolerance(entry, 0.2) == [(0,), (1,)] and out_of_tolerance(entry, 0.26) == []
    assert out_of_tolerance(entry_of([1], [NAN]), 0.1) == []


def test_only_a_finite_gradient_of_the_right_shape_is_comparable():
    assert is_comparable(entry_of([1, 2], [1, 2]))
    assert not is_comparable(entry_of([1, NAN], [1, 2]))
    assert not is_comparable(entry_of([1, 2, 3], [1, 2]))
    assert not is_comparable(entry_of([1, 2], [1, 2], low=np.zeros(3)))
    entry = entry_of([1, 2], [1, 2])
    entry.analytic = None
    assert not is_comparable(entry)


def test_an_unusable_gradient_is_wrong():
    entry = unusable_entry("w", np.ones((2, 3)), None, "no")
    assert (entry.name, entry.shape, entry.verdict, entry.reason) == ("w", (2, 3), "wrong", "no")
    assert entry.error == INF and entry.worst_index == (0, 0) and np.isnan(entry.numeric).all()


def test_the_worst_elements_come_first():
    given, true = np.array([[1.0, 5.0], [2.0, NAN]]), np.array([[1.5, 2.0], [2.00000000123, 1.0]])
    assert worst_elements(given, true, 2) == "[0,1] given 5, true 2, [0,0] given 1, true 1.5"
    assert worst_elements(given, true).endswith("[1,0] given 2, true 2.000000001")
    assert worst_elements(np.array(1.23456), np.array(2.0)) == "[] given 1.235, true 2"
