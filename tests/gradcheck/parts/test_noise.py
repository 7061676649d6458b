"""Test the size of noise, the derivative of a noisy function, and which elements are measured again."""

from types import SimpleNamespace

import numpy as np
import pytest
from projections import differences_of
from wrong_gradients import entry_of

from nnscratch.gradcheck.noise import is_noisy, measure_through_noise, steady_derivative, values_on_a_line

NAN, INF = float("nan"), float("inf")


# --- the size of noise -----------------------------------------------------------------------------------------------


def noisy(*sequences, magnitude=1.0, largest_value=0.0, centre=0.0):
    """Return True if these values of f, eight for each distance of the points, count as noisy."""
    values = iter(np.concatenate(sequences))
    return is_noisy(SimpleNamespace(projection=SimpleNamespace(variables={"x": np.ones(2)}), f=lambda: next(values),
                                    magnitude=magnitude, largest_value=largest_value, centre=centre),
                    np.random.default_rng(0))  # fmt: skip


def alternating(size):
    return size * np.array([1.0, -1.0] * 4)


LINE = np.arange(8.0)


def test_noise_above_fifty_rounding_errors_is_noise():
    # The fifth differences of +e, -e, +e, ... are 32 e. Moré and Wild's factor is 5! / sqrt(10!) = 1 / sqrt(252).
    limit = 50 * 2.2e-16 * np.sqrt(252) / 32
    for sizes in ({}, {"magnitude": 0.0, "largest_value": 1.0}, {"magnitude": 0.0, "centre": -1.0}):
        assert noisy(alternating(1.01 * limit), **sizes)
        assert not noisy(alternating(0.99 * limit), alternating(0.99 * limit), **sizes)
    assert not noisy(alternating(99 * limit), LINE, magnitude=100.0)


def test_the_larger_distance_shows_noise_too():
    assert noisy(LINE, alternating(1e-3)) and noisy([NAN] * 8, alternating(1e-3))
    assert not noisy([INF] * 8, LINE) and not noisy([NAN] * 8, [NAN] * 8)


def test_a_polynomial_has_no_noise_and_a_constant_has():
    assert not noisy(LINE**4 / 4096, LINE**3 / 512) and noisy([3.0] * 8) and not noisy(LINE, LINE)


def test_the_points_lie_on_a_line_through_all_arrays():
    for x, share in (([2.0, -2.0, 2.0], 1.0), ([1e-3] * 399, 0.5)):  # with w, 400 elements: 10 / sqrt(400)
        x, w, seen = np.array(x), np.array(0.0), []
        variables = {"x": x, "w": w}
        differences = SimpleNamespace(projection=SimpleNamespace(variables=variables),
                                      f=lambda seen=seen, x=x, w=w: seen.append((x.copy(), w.copy())))  # fmt: skip
        before = x.copy()
        values = values_on_a_line(differences, 1e-4, np.random.default_rng(0))
        assert len(values) == 8 and (x == before).all() and w == 0
        xs, ws = (np.array(part) for part in zip(*seen, strict=True))
        line = (xs[7] - xs[0]) / 7
        np.testing.assert_allclose(xs, before + np.arange(8)[:, None] * line, rtol=0, atol=1e-12)
        relative = line / (share * 1e-4 * abs(before[0]))
        assert 0.49 < np.abs(relative).min() and np.abs(relative).max() < 1.01
        assert ws[0] == 0 and 0.49 < abs(ws[1]) / (share * 1e-4) < 1.01
        if x.size > 3:
            assert relative.min() < 0 < relative.max()


def test_the_arrays_are_restored_after_an_error():
    x = np.ones(3)
    with pytest.raises(TypeError):
        values_on_a_line(SimpleNamespace(projection=SimpleNamespace(variables={"x": x}), f=None), 1e-4,
                         np.random.default_rng(0))  # fmt: skip
    assert x.tolist() == [1, 1, 1]


# --- a derivative through noise --------------------------------------------------------------------------------------


def steady(f, unit=1.0, round_step=None):
    return steady_derivative(lambda h: (f(h), h if round_step is None else round_step(h)), unit)


def test_the_steps_run_from_a_tenth_to_a_ten_billionth_of_the_unit():
    for unit in (1.0, 50.0):
        steps = []
        steady(lambda h, steps=steps: steps.append(abs(h)) or 0.0 * h, unit)
        assert max(steps) == pytest.approx(0.2 * unit) and min(steps) == pytest.approx(1e-10 * unit)
        assert len(steps) == 4 * 19


def test_large_steps_are_exact_to_the_fourth_order():
    d = steady(lambda h: 3 * h + 2 * h**3)
    assert d.value == pytest.approx(3, rel=1e-9) and d.low == d.high == d.value and not d.kink


def test_the_step_after_rounding_counts():
    d = steady(lambda h: 3 * h, round_step=lambda h: 2 * h)
    assert d.value == pytest.approx(1.5)
    d = steady(lambda h: h + 0.25, round_step=lambda h: 0.0 if abs(h) < 1e-5 else h)  # x cannot change so little
    assert d.value == pytest.approx(1)
    assert np.isnan(steady(lambda h: h, round_step=lambda h: 0.0).value)


def test_values_that_are_not_finite_are_left_out():
    for bad in (0.1, -0.1, 0.2, -0.2):
        d = steady(lambda h, bad=bad: INF if h == pytest.approx(bad) else 2 * h)
        assert d.value == pytest.approx(2) and d.uncertainty < 1e-3


def test_rounded_values_leave_an_uncertainty():
    # f is rounded to multiples of 1e-4. The uncertainty is at least the unit of rounding over the middle step.
    d = steady(lambda h: np.round(3 * h, 4))
    assert abs(d.value - 3) <= d.uncertainty and 1e-4 / 0.1 <= d.uncertainty < 0.1


def test_two_changes_are_not_enough():
    d = steady(lambda h: np.round(h, 1))
    assert np.isnan(d.value) and np.isnan(d.low) and d.uncertainty == INF
    d = steady(lambda h: 7.0)
    assert (d.value, d.uncertainty, d.low, d.high) == (0, 0, 0, 0)


def test_other_steady_steps_widen_the_uncertainty():
    # Slope 2 at large steps and 2.2 at small ones: both are steady, so the uncertainty covers both.
    d = steady(lambda h: 2.2 * h if abs(h) < 1e-5 else 2 * h)
    assert min(abs(d.value - 2), abs(d.value - 2.2)) < 1e-6 and 0.19 < d.uncertainty < 0.3


def test_a_function_that_jumps_over_the_smallest_steps_has_no_derivative():
    rng = np.random.default_rng(0)
    assert steady(lambda h: rng.normal()).uncertainty == INF
    # Noise of a twentieth of all changes, at every step: the largest steps show the slope.
    rng = np.random.default_rng(0)
    d = steady(lambda h: h + 0.001 * rng.uniform(-1, 1))
    assert d.uncertainty < INF and abs(d.value - 1) < d.uncertainty < 0.5


# --- the elements that are measured again ----------------------------------------------------------------------------

FLOAT64 = differences_of(np.sin, [1.0])  # judges entries


def measured(given, first, slopes, low=None):
    """Measure again the elements of an entry. ``slopes`` are the true derivatives; NaN has no derivative."""
    entry = entry_of(given, np.array(first, dtype=float), "x")
    entry.low, entry.high = np.array(first if low is None else low, dtype=float), entry.numeric.copy()
    entry.uncertainty, entry.verdict, calls = np.zeros(entry.shape), "wrong", []

    def element_mover(array, index):
        calls.append(index)
        slope = slopes[index[0]]
        return lambda h: (slope * h, h)

    differences = SimpleNamespace(tolerance=FLOAT64.tolerance, judge=FLOAT64.judge, element_mover=element_mover)
    measure_through_noise(differences, entry, np.ones(len(first)))
    return entry, [index[0] for index in calls]


def test_the_elements_that_look_wrong_are_measured_again_the_worst_first():
    entry, calls = measured([1, 2, 3, 4], [1, 2.5, 3, 9], [1, 2, 3, 4])
    assert calls == [3, 1] and entry.verdict == "right"
    assert entry.numeric.tolist() == pytest.approx([1, 2, 3, 4]) and entry.low.tolist() == entry.high.tolist()


def test_elements_at_a_kink_are_left_alone():
    entry, calls = measured([1, 7], [1, 3], [1, 7], low=[1, 2])
    assert calls == [] and entry.verdict == "wrong" and entry.numeric.tolist() == [1, 3]


def test_after_five_wrong_elements_the_others_are_unknown():
    entry, calls = measured(np.arange(8.0) + 1, np.zeros(8), np.zeros(8))
    assert calls == [7, 6, 5, 4, 3] and entry.verdict == "wrong"
    assert np.isnan(entry.numeric[:3]).all() and (entry.numeric[3:] == 0).all()
    assert all(np.isnan(part[:3]).all() for part in (entry.low, entry.high, entry.uncertainty))


def test_after_a_right_element_among_five_all_are_measured():
    slopes = np.zeros(8)
    slopes[5] = 6
    entry, calls = measured(np.arange(8.0) + 1, np.zeros(8), slopes)
    assert calls == [7, 6, 5, 4, 3, 2, 1, 0] and entry.verdict == "wrong"
    _, calls = measured(np.arange(5.0) + 1, np.zeros(5), np.zeros(5))
    assert calls == [4, 3, 2, 1, 0]


def test_forty_elements_at_most_are_measured_again():
    given = np.arange(50.0) + 1
    entry, calls = measured(given, np.zeros(50), given)
    assert len(calls) == 40 and entry.verdict == "cannot tell" and "noisy" in entry.reason
    entry, calls = measured(given[:40], np.zeros(40), given[:40])
    assert len(calls) == 40 and entry.verdict == "right"
    slopes = given.copy()
    slopes[49] = 7  # one of the forty is wrong
    assert measured(given, np.zeros(50), slopes)[0].verdict == "wrong"


def test_an_element_without_a_derivative_gives_no_verdict():
    entry, calls = measured([1, 2], [1, 5], [1, NAN])
    assert calls == [1] and entry.verdict == "cannot tell" and "smallest steps" in entry.reason
    assert entry.numeric.tolist() == [1, 5] and entry.uncertainty[1] == INF
