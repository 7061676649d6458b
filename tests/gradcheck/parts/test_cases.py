"""Test the comparison of one wrong gradient with a hypothesis, element by element and along directions."""

from types import SimpleNamespace

import numpy as np
import pytest
from wrong_gradients import case_of, entry_of, projection_of, ranked

from nnscratch.gradcheck.diagnosis.case import Case
from nnscratch.gradcheck.diagnosis.directional_case import DirectionalCase
from nnscratch.gradcheck.numerical import Derivative

G = np.array([[2.0, -4.0, 1.0], [0.5, 3.0, -8.0]])
T = np.array([[1.0, -2.0, 5.0], [3.0, 7.0, -4.0]])


# --- by elements -----------------------------------------------------------------------------------------------------


def test_a_case_describes_its_gradient():
    case = case_of(G, T, "fc.weight")
    assert case.name == "fc.weight" and case.shape == (2, 3) and case.by_element and case.usable
    assert case.extent == "in all 6 element(s)"
    assert case.largest_difference(0.00123) == "the largest difference is 1e-03 of the size of the gradient"


def test_elements_on_a_kink_or_without_a_value_are_not_smooth():
    t = T.copy()
    t[0, 1] = np.nan
    case = case_of(G, t)
    case.entry.low, case.entry.high = t.copy(), t.copy()
    case.entry.high[1, 2] += 1
    assert case.smooth.tolist() == [[True, False, True], [True, True, False]]


def test_a_gradient_of_the_right_shape_is_finite():
    assert case_of(G, T).same_shape and not case_of(G.T, T).same_shape
    one_nan = G.copy()
    one_nan[0, 0] = np.nan
    assert not case_of(one_nan, T).same_shape


def test_the_size_of_a_gradient_is_its_largest_element():
    assert case_of(G, T).scale == 8 and case_of(T, G).scale == 8 and case_of(0.1 * G, T).scale == 7
    assert case_of(G * [1, 1, np.inf], T).scale == 7  # only finite elements count
    assert case_of(T, G * [1, 1, np.nan]).scale == 7
    assert case_of(np.zeros((0, 3)), np.zeros((0, 3))).scale > 0 and case_of(0 * G, 0 * T).scale > 0
    assert case_of([], T).scale == 7


def test_small_gradients_have_a_small_size():
    small = case_of(0.01 * G, 0.01 * T)
    assert small.scale == pytest.approx(0.08) and case_of(0.001 * G, 0.01 * T).scale == pytest.approx(0.07)
    assert small.tolerance == pytest.approx(8e-6) and case_of(np.nan * G, 0.01 * T).scale == pytest.approx(0.07)
    off = 0.01 * T
    off[0, 0] += 1e-7
    assert case_of(off, 0.01 * T).wrong_elements() == 1 and case_of(1e-9 + 0 * T, 0 * T).wrong_elements() == 6
    assert case_of(G, np.nan * T).wrong_elements() == 0


def test_one_element_decides():
    off = G.copy()
    off[0, 0] += 4
    assert case_of(G, T).misfit(off) == 0.5
    five, shifted = np.array([1.0, 2, 4, 8, 16]), np.array([99.0, 1, 2, 4, 9])
    assert not case_of(shifted, five).is_shifted((0,), 1, (slice(1, None),))


def test_mistakes_of_the_same_rank_stay_in_the_order_in_which_they_were_found():
    case = case_of(G, T)
    case.add(1, "b", "")
    case.add(1, "a", "")
    assert [d.mistake for d in case.ranked()] == ["b", "a"]


def test_only_measured_elements_are_compared():
    t = T.copy()
    t[0] = np.nan
    case = case_of(G, t)
    given, true = case.observed
    assert given.tolist() == [0.5, 3, -8] and true.tolist() == [3, 7, -4]
    assert case.tolerance == pytest.approx(8e-4) and case_of(0 * G, T).tolerance > 0
    assert case_of(G, np.full(T.shape, np.nan)).tolerance == 0  # no element is known
    assert case.rounding_error() == pytest.approx(4 / 8)
    assert case_of(np.full(G.shape, 9.0), np.full(T.shape, np.nan)).rounding_error() == 0


def test_a_small_error_must_be_explained_too():
    """A backward that divides by N + 1e-4 scales the gradient. Its gradient is not the right one, reversed."""
    mean = np.full((2, 3), 1 / 6)
    case = case_of(mean * (1 + 5e-5), mean)
    assert case.max_misfit == pytest.approx(5e-6, rel=1e-3) and case.tolerance == pytest.approx(5e-6 / 6, rel=1e-3)
    assert not case.test_undone(case.given[::-1], 3, "axes reversed", "") and not case.test(3, mean, "a", "")
    assert case.test_undone(case.given / (1 + 5e-5), 6, "scaled by a constant", "")
    right = case_of(T, T)  # a right gradient has no mistake
    assert not right.test_undone(T, 6, "scaled by a constant", "") and not right.test(6, T, "a", "")
    assert case_of(G, T).max_misfit == 1e-4 == case_of(G.T, T).max_misfit
    _, _, tolerance = case.block_values(1, 3)
    assert tolerance == pytest.approx(5e-6 / 6, rel=1e-3)
    assert directional(mean * (1 + 5e-5), mean).max_misfit == 1e-4  # of the error


def test_the_number_of_wrong_elements():
    assert case_of(T, T).wrong_elements() == 0
    off = T.copy()
    off[0, 0] += 1e-5  # 1e-6 of the largest element is 7e-6
    assert case_of(off, T).wrong_elements() == 1
    off[1] += 6e-6
    assert case_of(off, T).wrong_elements() == 1
    assert case_of(G, T).wrong_elements() == 6 and case_of(G, 0 * T).wrong_elements() == 6


def test_blocks_of_elements():
    g, t, tolerance = case_of(G, T).block_values(1, 3)
    assert [b.tolist() for b in g] == [[2, 0.5], [-4, 3], [1, -8]] and [b.tolist() for b in t][2] == [5, -4]
    assert tolerance == pytest.approx(8e-4)
    t = T.copy()
    t[0, 0] = np.nan
    assert case_of(G, t).block_values(1, 3) is None


def test_a_shift_is_compared_inside():
    inside = (slice(1, None),)
    five = np.array([1.0, 2, 4, 8, 16])
    shifted = np.array([99.0, 1, 2, 4, 8])
    assert case_of(shifted, five).is_shifted((0,), 1, inside)
    assert not case_of(shifted, five).is_shifted((0,), -1, inside)
    assert case_of(shifted + 0.005, five).is_shifted((0,), 1, inside)  # 1e-4 of 99
    assert not case_of(shifted + 0.02, five).is_shifted((0,), 1, inside)
    assert not case_of(shifted, np.array([1, np.nan, 4, 8, 16])).is_shifted((0,), 1, inside)
    ones = np.ones(5)
    assert case_of([9.0, 1, 1, 2, 2], [1.0, 1, 2, 2, 2]).is_shifted((0,), 1, inside)  # some of them are right
    assert not case_of([9.0, 1, 1, 1, 1], ones).is_shifted((0,), 1, inside)  # the elements inside are right
    assert not case_of([1, 1, 1, 1 + 5e-5, 1], ones).is_shifted((0,), 1, inside)


def test_the_misfit_is_relative_to_the_size():
    case = case_of(G, T)
    assert case.misfit(G + 0.8) == pytest.approx(0.1) and case.misfit_of_true(T - 0.8) == pytest.approx(0.1)
    assert case.misfit(G[:1]) == np.inf == case.misfit(np.full(G.shape, np.nan)) and case.misfit(G.T) == np.inf
    part = G.copy()
    part[0, 0] = np.nan  # an unknown element is not compared
    assert case.misfit(part) == 0


def test_a_mistake_is_added_if_it_fits():
    case = case_of(G, T)
    assert case.test(2, G, "a", "evidence a") and not case.test(2, G + 1e-3, "b", "evidence b")
    assert case.test(2, G + 7e-4, "c", "evidence c", "a place")
    assert case.test_undone(T, 1, "d", "evidence d") and not case.test_undone(G, 1, "e", "evidence e")
    assert case.test_observed(3, G.ravel(), "f", "evidence f")
    assert not case.test_observed(3, T.ravel(), "g", "evidence g")
    assert ranked(case) == ["d", "a", "c", "f"]
    places = {d.mistake: d.place for _, d in case.found}
    assert places == {"a": "w", "c": "a place", "d": "w", "f": "w"}
    of_c = case.found[1][1]
    assert of_c.evidence.startswith("evidence c; the largest difference") and of_c.misfit == pytest.approx(7e-4 / 8)
    case.add(9, "h", "sure")
    assert case.found[-1][1].misfit == 0


def test_one_diagnosis_for_each_mistake():
    case = case_of(G, T)
    case.add(3, "a", "late", "line 3")
    case.add(1, "a", "early", "line 1")
    case.add(2, "b", "other", "line 2")
    assert [(d.mistake, d.place) for d in case.ranked()] == [("a", "line 1"), ("b", "line 2")]
    counts = {("a", "line 3"): 2, ("a", "line 1"): 1, ("b", "line 2"): 1}
    assert [d.place for d in case.ranked(counts)] == ["line 3", "line 2"]
    counts["a", "line 3"] = 1
    assert [d.place for d in case.ranked(counts)] == ["line 1", "line 2"]


# --- along directions ------------------------------------------------------------------------------------------------

V = [np.array([[1.0, 0, 2], [0, 1, 0]]), np.array([[0.0, 1, 0], [1, 0, -1]]), np.array([[1.0, 1, 1], [1, 1, 1]])]


def directional(given=G, true=T, uncertainty=1e-9, spread=0.0, projection=None, name="w"):
    slopes = [float((true * v).sum()) for v in V]
    derivatives = [Derivative(s, uncertainty, s, s + spread) for s in slopes]
    entry = entry_of([0.0] * 3, [0.0] * 3, name, shape=np.shape(true))
    return DirectionalCase(
        entry, projection or projection_of(), np.array(given), list(zip(V, derivatives, strict=True))
    )


def test_a_directional_case_compares_derivatives():
    case = directional()
    assert not case.by_element and case.given is case.gradient and case.shape == (2, 3) and np.isnan(case.true).all()
    given, true = case.observed
    assert given.tolist() == [7, 4.5, -5.5] and true.tolist() == [18, 5, 10]
    assert case.errors.tolist() == [11, 0.5, 15.5] and case.scale == 18
    assert directional(G * 10, 0.1 * T).scale == pytest.approx(68.2)
    assert case.extent == "along 3 random directions" and case.misfit_unit == "the error along 3 random directions"
    assert case.tolerance == pytest.approx(1e-4 * case.errors + 3e-9)
    assert directional(G.T, T).errors.tolist() == [18, 5, 10]  # a gradient of another shape has no derivatives


def test_a_directional_case_is_usable_if_its_errors_are_larger_than_the_noise():
    assert directional(uncertainty=1e-4).usable and not directional(uncertainty=2e-4).usable  # 3e-4 < 0.5e-3
    assert directional(spread=4e-4).usable and not directional(spread=6e-4).usable  # a kink
    assert directional(uncertainty=1.0).tolerance == 0.0
    assert directional(uncertainty=1.0).misfit(G) == np.inf


def test_a_rounding_error_along_directions():
    case = directional(T * (1 + 1e-6), T)
    sizes = [np.linalg.norm(T * v) for v in V]
    wanted = max(1e-6 * abs(s) / n for s, n in zip(case.slopes, sizes, strict=True))
    assert case.rounding_error() == pytest.approx(wanted, rel=1e-5)
    assert directional(0 * T, T).rounding_error() > 1e100


def test_one_wrong_element_is_seen_along_directions():
    one = T.copy()
    one[1, 2] += 0.7
    assert directional(one, T).wrong_elements() == 1
    one[0, 2] -= 0.4
    assert directional(one, T).wrong_elements() == 6 and directional(T, T).wrong_elements() == 6


@pytest.mark.parametrize("size, wrong", [(999, 1), (1000, 1000)])
def test_one_of_many_elements_may_explain_the_errors_by_chance(size, wrong):
    rng, true = np.random.default_rng(0), np.ones(size)
    directions = rng.normal(size=(3, size))
    slopes = directions.sum(1)
    derivatives = [(v, Derivative(s, 1e-9, s, s)) for v, s in zip(directions, slopes, strict=True)]
    true[7] = 3.0
    assert (
        DirectionalCase(entry_of([0.0], [0.0], shape=(size,)), projection_of(), true, derivatives).wrong_elements()
        == wrong
    )


def test_small_gradients_along_directions():
    assert directional(1e-3 * G, 1e-3 * T).scale == pytest.approx(0.018)
    one = 1e-3 * T
    one[1, 2] += 7e-4
    assert directional(one, 1e-3 * T, uncertainty=1e-12).wrong_elements() == 1
    assert directional(G.T, 0 * T).errors.tolist() == [0, 0, 0]  # another shape, and a true gradient of zero


def test_one_unknown_derivative_fits_nothing():
    case = directional()
    assert case.misfit_along(np.array([np.nan, *case.slopes[1:]]), case.slopes) == np.inf


def linear(value, T=T):
    """Return a projection whose f is <T, w>, at w = `value`."""
    w = np.array(value)

    class Projection(SimpleNamespace):
        def __call__(self):
            return float((T * self.variables["w"]).sum() + self.cubic * (self.variables["w"] ** 3).sum())

    return Projection(variables={"w": w}, cubic=0.0)


def test_the_derivative_along_a_direction_is_measured():
    projection = linear(G)
    assert directional(projection=projection).measure(V[0]) == pytest.approx(18)
    np.testing.assert_array_equal(projection.variables["w"], G)
    projection.cubic = 1.0
    wanted = float(((T + 3 * G**2) * V[1]).sum())
    assert directional(projection=projection).measure(V[1]) == pytest.approx(wanted, rel=1e-7)
    assert directional(projection=projection).measure(V[1], 1e-2) == pytest.approx(wanted, rel=1e-4)


def test_blocks_are_measured_along_directions():
    given = T.copy()
    given[:, 1] = [5, -9]
    g, t, tolerance = directional(given, projection=linear(G)).block_values(1, 3)
    assert np.array(g).shape == (3, 3) and (tolerance < 1e-2).all()
    np.testing.assert_allclose(t, [[1, 3, 4], [7, -2, 5], [10, 4, 1]], atol=1e-6)
    np.testing.assert_allclose(g, [[1, 3, 4], [-9, 5, -4], [10, 4, 1]], atol=1e-6)
    assert directional(G, projection=linear(G)).block_values(1, 3) is None  # no block is right
    assert directional(given, 2 * T, projection=linear(G)).block_values(1, 3) is None  # the blocks do not add up
    assert directional(given, uncertainty=1.0, projection=linear(G)).block_values(1, 3) is None
    # The tolerance includes the difference between the sum of the blocks and the whole, which must be small.
    _, _, tolerance = directional(given, T + 1e-5, projection=linear(G)).block_values(1, 3)
    assert tolerance == pytest.approx([1e-4 * 16 + 3 * 4e-5, 1e-4 * 7 + 3 * 1e-5, 1e-4 * 9 + 3 * 6e-5], rel=0.02)
    assert directional(given, T + 0.02, projection=linear(G)).block_values(1, 3) is None


def test_a_shift_is_measured_along_directions():
    inside = (slice(None), slice(1, None))
    shifted = np.roll(T, 1, 1)
    shifted[:, 0] = 99
    assert directional(shifted, projection=linear(G)).is_shifted((1,), 1, inside)
    assert not directional(shifted, projection=linear(G)).is_shifted((1,), -1, inside)
    ones = np.ones((2, 3))
    given = ones * [99, 1, 1]  # the elements inside are right
    assert not directional(given, ones, projection=linear(G, ones)).is_shifted((1,), 1, inside)
    shifted[0, 2] += 1e-3  # less than 1e-4 of the errors
    assert directional(shifted, projection=linear(G)).is_shifted((1,), 1, inside)
    shifted[0, 2] += 1
    assert not directional(shifted, projection=linear(G)).is_shifted((1,), 1, inside)
    noisy = directional(shifted, uncertainty=1.0, projection=linear(G))
    assert noisy.is_shifted((1,), 1, inside)  # less than the noise


def test_hypotheses_are_compared_along_directions():
    case = directional()
    assert case.misfit(G) == 0 and case.misfit_of_true(T) == pytest.approx(0, abs=1e-9)
    off = np.zeros((2, 3))
    off[1, 0] = 0.25  # along V[1] half of the error, along V[2] a part of it
    assert case.misfit(G + off) == pytest.approx(0.5, abs=1e-6) == case.misfit_of_true(T + off)
    assert case.misfit(G.T) == np.inf == case.misfit_of_true(T.T) and directional(G.T, T).misfit(G) == np.inf
    assert case.misfit(G * np.nan) == np.inf
    assert case.misfit_along(case.slopes + 3e-9, case.slopes) == 0  # less than the noise
    assert case.test_observed(2, np.array([7, 4.5, -5.5]), "a", "evidence") and ranked(case) == ["a"]
    assert "of the error along 3 random directions" in case.found[0][1].evidence
    assert not case.test_observed(2, np.array([7, 4.6, -5.5]), "b", "evidence")
    assert not directional(G.T, T).test_observed(2, np.array([7, 4.5, -5.5]), "a", "evidence")
    assert not directional(1e-6 * G).test_observed(2, 1e-6 * np.array([7, 4.5, -5.5]), "a", "evidence")  # nothing
    still = G.copy()
    still[1, 2] = -3.5  # its derivative along V[1] is zero
    assert directional(still).test_observed(2, np.array([7, 0, -1.0]), "a", "evidence")


def test_a_case_holds_its_own_list_of_mistakes():
    a, b = Case(entry_of(G, T), projection_of()), Case(entry_of(G, T), projection_of())
    a.add(1, "a", "")
    assert b.found == [] and not b.few


# --- candidates that explain nothing ---------------------------------------------------------------------------------


def test_a_candidate_of_zeros_explains_nothing():
    for size in (1.0, 1e-4, 1e4):
        case = case_of(size * G, size * T)
        tiny = np.zeros_like(G)
        assert case.is_nothing(tiny)
        tiny[0, 0] = 7e-4 * size  # the largest element of the gradient is 8
        assert case.is_nothing(tiny)
        tiny[0, 0] = 9e-4 * size
        assert not case.is_nothing(tiny) and not case.is_nothing(-tiny)


def test_a_shift_with_one_unknown_element_is_no_shift():
    t = T.copy()
    t[0, 1] = np.nan
    assert case_of(np.roll(T, 1, 1), T).is_shifted((1,), 1, (slice(None), slice(None)))
    assert not case_of(np.roll(T, 1, 1), t).is_shifted((1,), 1, (slice(None), slice(None)))
