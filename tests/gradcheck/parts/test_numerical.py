"""Test finite differences on functions whose derivatives are known."""

import numpy as np
import pytest

from nnscratch.gradcheck.numerical import (
    derivative_with_larger_steps,
    differentiate,
    estimate,
    numerical_gradient,
    one_sided,
    perturbed,
    random_direction,
    typical_size,
)


def exact(f):
    """Return evaluate_at of a function of h, whose steps are not rounded."""
    return lambda h: (f(h), h)


def slope(f, **options):
    return estimate(exact(f), f(0.0), 1.0, 1.0, **options)


# --- numerical_gradient ----------------------------------------------------------------------------------------------


def test_the_gradient_of_a_sum_of_cubes():
    x = np.array([[1.0, -2.0], [0.5, 3.0]])
    np.testing.assert_allclose(numerical_gradient(lambda x: (x**3).sum(), x), 3 * x**2, rtol=1e-10)
    assert x.tolist() == [[1, -2], [0.5, 3]]


def test_eps_is_the_step_of_a_central_difference():
    # ((1 + h)^3 - (1 - h)^3) / 2h = 3 + h^2, and the step is 2h also if the sum 1 + h is rounded
    x = np.array([1.0, 2.0])
    np.testing.assert_allclose(numerical_gradient(lambda x: (x**3).sum(), x, eps=0.5), [3.25, 12.25])
    np.testing.assert_allclose(numerical_gradient(lambda x: x.sum(), np.array([1025], "f"), eps=1e-4), 1)
    assert x.tolist() == [1, 2]


def test_the_function_may_return_any_form_of_one_number():
    for form in (float, np.float64, np.array, lambda v: np.array([[v]])):
        assert numerical_gradient(lambda x, form=form: form(2 * x[0]), np.ones(1))[0] == pytest.approx(2)


def test_wrong_arguments_of_numerical_gradient():
    x = np.ones(2)
    with pytest.raises(TypeError, match="x must be an array of floats, got int64"):
        numerical_gradient(lambda x: x.sum(), np.array([1, 2]))
    for eps in (0, -1e-3, float("nan"), float("inf"), 10**400):
        with pytest.raises(ValueError, match="eps must be (positive|a finite number)"):
            numerical_gradient(lambda x: x.sum(), x, eps=eps)
    with pytest.raises(ValueError, match=r"eps=1e-20 is too small.*x\[0, 1\] = 2"):
        numerical_gradient(lambda x: x.sum(), np.array([[0.0, 2.0]]), eps=1e-20)
    with pytest.raises(TypeError, match="array"):
        numerical_gradient(sum, [1.0, 2.0])
    with pytest.raises(TypeError, match=r"shape \(2,\)"):
        numerical_gradient(lambda x: x, x)
    with pytest.raises(TypeError, match="complex"):
        numerical_gradient(lambda x: 1j * x[0], x)
    x.flags.writeable = False
    with pytest.raises(ValueError, match="x must be writable"):
        numerical_gradient(lambda x: x.sum(), x)


def test_a_perturbed_element_returns_to_its_value():
    x = np.array([1.0, 2.0])
    with perturbed(x, (1,)) as move:
        assert move(0.5) == 0.5 and x.tolist() == [1, 2.5]
        assert move(-0.5) == -0.5 and x.tolist() == [1, 1.5]
        assert move(1e-17) == 0
    assert x.tolist() == [1, 2]


# --- estimate --------------------------------------------------------------------------------------------------------


def test_the_slope_of_a_smooth_function():
    d = slope(lambda h: 2 * h + 3 * h**2 - h**3)
    assert d.value == pytest.approx(2, rel=1e-10) and d.low == d.high == d.value and not d.kink
    assert abs(d.value - 2) <= d.uncertainty < 1e-6
    assert slope(lambda h: 0.0).value == slope(lambda h: 0.0).uncertainty - slope(lambda h: 0.0).uncertainty == 0


def test_the_first_step_is_enough_for_a_straight_line():
    steps = []
    estimate(lambda h: (steps.append(h), (3 * h, h))[1], 0.0, 1.0, 2.0)
    assert sorted(steps) == pytest.approx([-8e-4, -4e-4, 4e-4, 8e-4])


def test_a_bend_between_two_points_needs_smaller_steps():
    d = slope(lambda h: np.tanh(1e3 * h))
    assert d.value == pytest.approx(1e3, rel=1e-4) and not d.kink
    assert abs(d.value - 1e3) <= d.uncertainty


def test_a_kink_has_two_slopes():
    for left, right in ((1.0, 3.0), (3.0, 1.0), (0.0, 1.0), (-1.0, 1.0)):
        d = slope(lambda h, left=left, right=right: (right if h > 0 else left) * h)
        assert d.kink and (d.low, d.high) == pytest.approx((min(left, right), max(left, right)))
        assert d.value == pytest.approx((left + right) / 2) and d.uncertainty < 1e-8


def test_a_kink_in_a_curved_function():
    d = slope(lambda h: np.sin(h) + abs(h) * np.exp(h))
    assert d.kink and (d.low, d.high) == pytest.approx((0, 2), abs=1e-5)


def test_a_kink_beside_the_point_is_not_at_the_point():
    d = estimate(exact(lambda h: max(h + 1e-6, 0.0)), 1e-6, 1.0, 1.0, smaller=[1e-6])
    assert not d.kink and d.value == pytest.approx(1, rel=1e-8)
    d = estimate(exact(lambda h: max(h, 0.0)), 0.0, 1.0, 1.0, smaller=[1e-6])
    assert d.kink and (d.low, d.high) == pytest.approx((0, 1))


def test_a_step_outside_the_domain_is_left_out():
    d = slope(lambda h: np.sqrt(1 + h) if abs(h) < 1e-4 else np.nan)
    assert d.value == pytest.approx(0.5, rel=1e-8) and np.isfinite(d.uncertainty)
    for f in (lambda h: np.nan, lambda h: np.inf):
        d = estimate(exact(f), 0.0, 1.0, 1.0)
        assert np.isnan([d.value, d.low, d.high]).all() and d.uncertainty == np.inf and not d.kink


def test_a_step_that_rounds_to_zero_is_left_out():
    d = estimate(lambda h: (0.0, 0.0), 0.0, 1.0, 1.0)
    assert np.isnan(d.value) and d.uncertainty == np.inf
    d = estimate(lambda h: (5 * h, h if h != 2 * 2e-4 else 2e-4), 0.0, 1.0, 1.0)
    assert d.value == pytest.approx(5)


def test_the_step_after_rounding_counts():
    # the steps are one tenth longer than planned
    d = estimate(lambda h: (7 * 1.1 * h, 1.1 * h), 0.0, 1.0, 1.0)
    assert d.value == pytest.approx(7, rel=1e-12)


def test_a_zero_is_uncertain_if_larger_steps_do_not_give_zero():
    f = lambda h: np.round(h + 0.5e-3, 3) - 0.5e-3  # noqa: E731 - constant over small steps, with slope 1 over large ones
    d = estimate(exact(f), f(0.0), 1.0, 50.0)
    assert abs(d.value - 1) <= d.uncertainty


def test_the_uncertainty_covers_noise():
    rng = np.random.default_rng(0)
    d = slope(lambda h: 2 * h + 1e-7 * rng.standard_normal())
    assert abs(d.value - 2) <= d.uncertainty < 1


def test_the_magnitude_of_the_terms_sets_the_rounding_error():
    small, large = (estimate(exact(lambda h: 2 * h), 0.0, m, 1.0).uncertainty for m in (1.0, 1e4))
    assert large == pytest.approx(1e4 * small, rel=1e-3) and small == pytest.approx(4 * 2.2e-16 / 2e-4, rel=1e-2)


def test_a_value_larger_than_its_magnitude_sets_the_rounding_error():
    d = estimate(exact(lambda h: 1e6 + h), 1e6, 0.0, 1.0)
    assert 4 * 2.2e-16 * 1e6 / 2e-4 * 0.99 < d.uncertainty and d.value == pytest.approx(1, abs=1e-5)


def test_single_precision_has_longer_steps_and_a_larger_uncertainty():
    steps = []
    d = estimate(lambda h: (steps.append(h), (2 * h, h))[1], 0.0, 1.0, 1.0, itemsize=4)
    assert max(steps) == 2e-2 and d.uncertainty == pytest.approx(4 * 1.2e-7 / 1e-2, rel=1e-2)
    steps.clear()
    d = estimate(lambda h: (steps.append(h), (2 * h, h))[1], 0.0, 1.0, 1.0, itemsize=2)
    assert max(steps) == 0.1 and d.value == pytest.approx(2)


def test_an_error_below_the_scale_of_the_array_is_accepted():
    def steps_used(scale):
        steps = []
        estimate(lambda h: (steps.append(h), (1e-3 * h**3 + 1e-9 * h, h))[1], 0.0, 1e-6, 1.0, scale=scale)
        return len(steps)

    assert steps_used(1.0) == 4 < steps_used(0.0)


# Each row below gives the results at one step, from the longest step on: D(h), D(2h), and the jump D+ - D-.


def table(*rows, longest=2e-4):
    """Return evaluate_at of a function whose value at 0 is 0, and the list of the values of h."""
    steps = []

    def evaluate_at(h):
        steps.append(h)
        near, far, jump = rows[(len(steps) - 1) // 4]
        k = (1, -1, 2, -2)[(len(steps) - 1) % 4]
        return h * (far if abs(k) == 2 else near + np.sign(k) * jump / 4), h

    return evaluate_at, steps


def result(*rows, magnitude=0.0, **options):
    """Return the estimate from these rows, and the number of rows used."""
    evaluate_at, steps = table(*rows)
    return estimate(evaluate_at, 0.0, magnitude, 1.0, **options), len(steps) // 4


LINE = (1.0, 1.0, 0.0)
ROUNDING = 4 * 2.2e-16 / 2e-4  # at the longest step, for a magnitude of 1


def test_a_jump_larger_than_ten_times_the_truncation_error_is_not_smooth():
    assert result((1, 1 + 2e-9, 1.9e-8), LINE)[1] == 1
    assert result((1, 1 + 2e-9, 2.1e-8), LINE)[1] == 2
    assert result((1, 1 - 5e-4, 0.9e-3), LINE, itemsize=4)[1] == 1  # and not more than a thousandth of the value
    assert result((1, 1 - 5e-4, 2e-3), LINE, itemsize=4)[1] == 2
    assert result((1, 1.1, 0), LINE, itemsize=4)[1] == 2


def test_twenty_rounding_errors_are_no_jump():
    assert result((1, 1, 19.5 * ROUNDING), LINE, magnitude=1.0)[1] == 1
    assert result((1, 1, 20.5 * ROUNDING), LINE, magnitude=1.0)[1] == 2


def test_a_truncation_error_of_two_rounding_errors_is_accepted():
    for size, rows in ((0.30, 1), (0.36, 2)):  # the value is 0, so the uncertainty is 3 size + 1 rounding errors
        assert result((size * ROUNDING, 4 * size * ROUNDING, 0), (0, 0, 0), magnitude=1.0)[1] == rows
    for size, rows in ((3e-10, 1), (1e-9, 2)):
        assert result((size, 4 * size, 0), (0, 0, 0), scale=1.0)[1] == rows


def test_a_jump_that_stays_is_a_kink():
    d, rows = result((1, 1.5, 0.2), (1, 1.5, 0.2), magnitude=1.0)
    assert rows == 2 and d.kink and d.high - d.low == pytest.approx(0.2)
    assert d.value == pytest.approx((d.low + d.high) / 2) == pytest.approx((4 * 1 - 1.5 * 2) / 2)
    assert d.uncertainty == pytest.approx(0.5 + 10 * 10 * ROUNDING, abs=1e-13)
    assert result((1, 1, 1), (1, 1, 0.9), (1, 1, 0.9))[0].kink
    for jumps in ((1, 0.7, 0.7, 0.7), (0.13, 0.1, 0.1, 0.1), (0.105, 0.1, 0.095, 0.09)):
        assert not result(*((1, 1, jump) for jump in jumps))[0].kink


def test_a_kink_that_shrinks_at_small_steps_is_a_bend():
    def with_small_steps(jump, *rest, smaller=(1e-5,), **options):
        return result(*4 * [(1, 1, jump)], *((1, 1, r) for r in rest), smaller=smaller, **options)

    assert with_small_steps(1, 0.4, 0, smaller=(1e-7,)) == (with_small_steps(1, 0.4, 0, smaller=(1e-7,))[0], 6)
    assert not with_small_steps(1, 0.4, 0, smaller=(1e-7,))[0].kink
    assert with_small_steps(1, 0.6, 0, smaller=(1e-7,))[0].kink
    assert with_small_steps(0.1, 0.07, 0, smaller=(1e-7,))[0].kink
    # The noise at a step of 2e-10 hides a jump of 1e-4.
    rows = 4 * [(1, 1, 1e-4)] + 2 * [(1, 1.001, 0)]
    assert result(*rows, smaller=[1e-8], magnitude=1.0)[0].kink and not result(*rows, smaller=[1e-8])[0].kink


def test_a_kink_is_certain_below_the_smallest_typical_size():
    kink = 6 * [(1, 1, 1)]
    assert [result(*kink, smaller=[u])[1] for u in (1e-4, 1e-5, 2e-6, 1e-6)] == [2, 3, 3, 4]
    assert result(*kink, *kink, smaller=[1e-5, 1e-9])[1] == 7
    d, rows = result(*4 * [(1, 1, 1)], *2 * [(np.nan, 1, 1)], smaller=[1e-9])
    assert rows == 6 and d.kink and (d.low, d.high) == pytest.approx((0.5, 1.5))


def test_the_result_is_that_of_the_most_certain_step():
    bad = (7, 9, 3)
    d, rows = result((1, 1.01, 0.5), (2, 2.05, 0.1), bad, bad)
    assert rows == 4 and not d.kink
    assert (d.value, d.uncertainty) == pytest.approx(((4 * 2 - 2.05) / 3, 0.05 + 0.1))
    for jump, extra in ((19.5, 0), (20.5, 20.5)):  # a jump of less than twenty rounding errors does not count
        d, _ = result((1, 1 + 1e-3, jump * 1e6 * ROUNDING), bad, bad, bad, magnitude=1e6)
        assert d.uncertainty == pytest.approx(1e-3 + (1 + extra) * 1e6 * ROUNDING, rel=1e-6)


def test_the_distance_of_zero_from_larger_steps_is_uncertain():
    # The first step gives 0.8 +- 0.6, with a jump of 0.05. The others give 0.
    d, rows = result((1, 1.6, 0.05), *3 * [(0, 0, 0)])
    assert rows == 4 and d.value == 0 and d.uncertainty == pytest.approx(0.8 - 0.6 - 0.05)


def test_half_precision_is_certain_to_a_few_percent():
    d = estimate(exact(lambda h: 2 * h), 0.0, 1.0, 1.0, itemsize=2)
    assert d.uncertainty == pytest.approx(4e-3 / 0.05)


# --- differentiate ---------------------------------------------------------------------------------------------------


def test_differentiate_restores_the_element():
    x = np.array([3.0, 1e-3])
    assert differentiate(lambda: x[0] ** 2, x, (0,), 9.0, 9.0).value == pytest.approx(6, rel=1e-10)
    assert differentiate(lambda: np.sqrt(x[1]), x, (1,), np.sqrt(1e-3), 1.0).value == pytest.approx(
        0.5 / np.sqrt(1e-3), rel=1e-6
    )
    assert x.tolist() == [3, 1e-3]


def test_the_steps_of_differentiate_fit_the_value():
    x = np.array([100.0])
    seen = []
    differentiate(lambda: (seen.append(x[0]), x[0])[1], x, (0,), 100.0, 100.0)
    assert max(seen) == pytest.approx(100 + 2 * 2e-4 * 100)
    seen.clear()
    differentiate(lambda: (seen.append(x[0]), x[0])[1], x, (0,), 100.0, 100.0, step_factor=0.5)
    assert max(seen) == pytest.approx(100 + 2e-4 * 100)


def test_the_steps_shrink_with_small_values():
    for value, typical in ((1e-5, 1.0), (0.0, 1e-5)):
        x = np.array([value])
        f = lambda x=x, value=value: max(x[0] - value + 1e-6, 0.0)  # noqa: E731 - a kink at a distance of 1e-6
        d = differentiate(f, x, (0,), 1e-6, 1e-6, typical=typical)
        assert not d.kink and d.value == pytest.approx(1, rel=1e-6)


def test_the_last_steps_of_differentiate_fit_small_values():
    def steps(value, **options):
        x, seen = np.array([value]), []
        rng = np.random.default_rng(0)  # the noise is so large that no step is accepted
        differentiate(lambda: (seen.append(x[0] - value), rng.uniform())[1], x, (0,), 0.0, 1.0, **options)
        return pytest.approx(seen[::4])

    usual = [2e-4, 2e-5, 2e-6, 4e-7]
    for value, typical in ((1e-5, 1e-3), (1e-3, 1e-5)):
        assert steps(value, typical=typical) == [*usual, 2e-2 * 1e-3, 2e-4 * 1e-3, 2e-2 * 1e-5, 2e-4 * 1e-5]
    assert steps(0.0, typical=1e-3) == [*usual, 2e-5, 2e-7]
    assert steps(0.01) == usual and steps(0.5) == usual
    x = np.array([0.0])
    assert differentiate(lambda: 1e-3 * x[0] ** 3 + 1e-9 * x[0], x, (0,), 0.0, 1e-6).value == pytest.approx(1e-9)


# --- larger steps for float32 ----------------------------------------------------------------------------------------


def in_float32(f):
    return lambda h: (float(np.float32(f(h))), h)


def test_larger_steps_measure_a_small_derivative_beside_a_large_constant():
    for frequency in (0.5, 1.0, 3.0):
        for start in np.linspace(-1, 1, 21):
            f = lambda h, start=start, k=frequency: 1000 + np.sin(k * (start + h)) / k  # noqa: E731
            d = derivative_with_larger_steps(in_float32(f), f(0), 1000.0)
            assert abs(d.value - np.cos(frequency * start)) <= d.uncertainty < 0.025
            assert d.low == d.high == d.value and not d.kink
    assert estimate(in_float32(f), f(0), 1000.0, 1.0, itemsize=4).uncertainty > 0.04


def test_the_uncertainty_is_small_for_a_smooth_function_and_large_beside_a_kink():
    smooth = derivative_with_larger_steps(exact(lambda h: np.exp(2 * h)), 1.0, 1.0)
    assert abs(smooth.value - 2) <= smooth.uncertainty <= 5e-5
    for distance in (0.0, 0.005, 0.01, 0.03, 0.1, 0.2):
        d = derivative_with_larger_steps(exact(lambda h, k=distance: max(h, k)), distance, 0.1)
        assert abs(d.value) <= 3 * d.uncertainty


def test_larger_steps_outside_the_domain_of_f_are_left_out():
    for limit in (0.1, 0.2, 0.3):  # the largest step reaches 0.32
        with np.errstate(invalid="ignore"):
            d = derivative_with_larger_steps(exact(lambda h, k=limit: np.sqrt(k + h)), np.sqrt(limit), 1.0)
        assert abs(d.value - 0.5 / np.sqrt(limit)) <= 3 * d.uncertainty < 1
    assert derivative_with_larger_steps(exact(lambda h: np.nan), 0.0, 1.0).uncertainty == np.inf
    assert derivative_with_larger_steps(lambda h: (1.0, 0.0), 1.0, 1.0).uncertainty == np.inf  # nothing changes


# --- small functions -------------------------------------------------------------------------------------------------


def test_the_slope_of_a_parabola_through_three_points():
    f = lambda h: 5 - 3 * h + 7 * h**2  # noqa: E731
    assert one_sided(f(0), f(0.1), f(0.3), 0.1, 0.3) == pytest.approx(-3)
    assert one_sided(f(0), f(-0.5), f(-2), -0.5, -2) == pytest.approx(-3)


def test_the_length_of_a_random_direction():
    rng = np.random.default_rng(0)
    for shape, length in (((3, 3), 3), ((400,), 10), ((10, 10), 10), ((1,), 1), ((), 1)):
        v = random_direction(shape, rng)
        assert v.shape == shape and np.linalg.norm(v) == pytest.approx(length)
    assert random_direction((0,), rng).shape == (0,)


def test_the_typical_size_is_the_median_of_the_nonzero_elements():
    assert typical_size(np.array([0.0, -1.0, 2.0, 9.0, 0.0])) == 2
    assert typical_size(np.zeros(3)) == 1 and typical_size(np.zeros(0)) == 1
    assert typical_size(np.array([[0.0, -4.0]]).view(np.matrix)) == 4
    assert typical_size(np.array(-3.0)) == 3
    large = np.full(30_000, 5.0)
    large[1::3] = large[2::3] = 0.5  # only each third element is read
    large[0] = 9
    assert typical_size(large) == typical_size(large[None].view(np.matrix)) == 5
    assert typical_size(np.concatenate([np.full(5001, 2.0), np.full(4999, 9.0)])) == 2
