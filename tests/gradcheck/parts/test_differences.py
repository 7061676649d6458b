"""Test the differences of a projection, noise, and the entry of one array."""

from types import SimpleNamespace

import numpy as np
import pytest
from projections import differences_of, project
from wrong_gradients import entry_of

from nnscratch.gradcheck.entries import EntryChecker
from nnscratch.gradcheck.noise import is_noisy, measure_through_noise, noise_reason, steady_derivative
from nnscratch.gradcheck.numerical import Derivative
from nnscratch.gradcheck.projection import equal_outputs, gradient_as_float64, random_weights_like, weights_like_outputs
from nnscratch.gradcheck.settings import Settings

X = np.array([1.0, -2.0, 3.0])
R = [1.0, 2.0, -1.0]
NAN, INF = float("nan"), float("inf")


def variable(differences):
    return differences.projection.variables["x"]


# --- Differences -----------------------------------------------------------------------------------------------------


def test_the_centre_and_the_magnitude_of_f():
    differences = differences_of(np.square, X.copy(), weights=R)
    assert differences.centre == 1 + 8 - 9 and differences.magnitude == 1 + 8 + 9 and differences.evaluations == 0
    assert differences.f() == 0 and differences.evaluations == 1 and differences.largest_value == 0


def test_the_largest_value_replaces_a_magnitude_of_zero():
    differences = differences_of(np.square, 0 * X, weights=R)
    for x, largest in ((2.0, 8.0), (1.0, 8.0), (INF, 8.0), (3.0, 18.0)):
        variable(differences)[...] = [0, x, 0]
        differences.f()
        assert differences.largest_value == largest


def test_f_has_drifted_if_the_code_has_changed():
    scale = [1.0]
    for factor, itemsize, drifted in ((1, 8, False), (1 + 1e-14, 8, False), (1 + 1e-12, 8, True), (1.01, 8, True),
                                      (1 + 1e-5, 4, False), (1 + 1e-3, 4, True), (1.5, 2, False),
                                      (5, 2, True)):  # fmt: skip
        differences = differences_of(lambda x: scale[0] * x, X.copy(), weights=[1, 1, 1], itemsize=itemsize)
        scale[0] = factor
        assert differences.has_drifted() is drifted
        scale[0] = 1.0


def test_rounding_errors_of_a_sum_of_zero_are_no_drift():
    shift = [0.0]
    differences = differences_of(lambda x: x**2 + shift[0], X.copy(), weights=R)
    assert differences.centre == 0
    for shift[0], drifted in ((0.0, False), (1e-14, False), (1e-9, True)):
        assert differences.has_drifted() is drifted
    assert not differences_of(lambda x: 0 * x, X.copy(), weights=R).has_drifted()


def test_an_uncertainty_is_compared_with_the_size_of_f():
    for x in (X, 0 * X):  # the magnitude of f is 14, or 0 at first
        differences = differences_of(np.square, x.copy(), weights=[1, 1, 1])
        variable(differences)[...] = X
        differences.f()
        entry = entry_of([1e-7, 1e-7, 1e-7], np.full(3, 1e-7), uncertainty=np.full(3, 1e-8))
        assert differences.judge(entry).verdict == "right"


def test_the_derivatives_of_a_small_function_have_as_many_digits():
    for size in (1e-12, 1.0, 1e12):
        differences = differences_of(lambda x, size=size: size * np.sin(2000 * x), X.copy(), weights=[1, 1, 1])
        value, *_ = differences.element_derivatives(variable(differences), [(0,), (1,), (2,)])
        np.testing.assert_allclose(value, 2000 * size * np.cos(2000 * X), rtol=1e-7)


@pytest.mark.parametrize("dtype, itemsize, rtol", [("f", 4, 1e-2), (np.longdouble, 8, 1e-7)])
def test_the_steps_fit_large_values_of_any_dtype(dtype, itemsize, rtol):
    differences = differences_of(np.square, np.array([1e6, 2.0], dtype=dtype), weights=[1, 1], itemsize=itemsize)
    d = differences.element_derivative(variable(differences), (0,), 0.0)
    assert d.value == pytest.approx(2e6, rel=rtol) and d.uncertainty < 2e6 * rtol


def test_the_tolerance():
    assert differences_of(np.sin, X).tolerance() == 1e-6 and differences_of(np.sin, X, itemsize=4).tolerance() == 1e-2
    assert differences_of(np.sin, X, rtol=0.1).tolerance() == 0.1


def test_the_derivatives_of_some_elements():
    differences = differences_of(np.square, X.copy(), weights=R)
    bar = SimpleNamespace(count=0)
    bar.update = lambda: setattr(bar, "count", bar.count + 1)
    differences.bar = bar
    value, uncertainty, low, high = differences.element_derivatives(variable(differences), [(0,), (2,)])
    np.testing.assert_allclose(value, [2, NAN, -6], rtol=1e-9)
    assert bar.count == 2 and np.isnan(uncertainty[1]) and (low[[0, 2]] == value[[0, 2]]).all() and np.isnan(high[1])
    assert variable(differences).tolist() == X.tolist()


def test_a_forward_in_float32_has_the_steps_of_float32():
    differences = differences_of(np.square, X.copy(), weights=R, itemsize=4)
    d = differences.element_derivative(variable(differences), (2,), 0.0)
    assert d.value == pytest.approx(-6) and d.uncertainty > 1e-6
    move = differences.element_mover(variable(differences), (0,))
    assert move(0.5) == (2.25 + 8 - 9, 0.5) and move(1e-20)[1] == 0 and variable(differences).tolist() == X.tolist()


def test_a_derivative_along_a_direction():
    differences = differences_of(np.square, X.copy(), weights=R)
    d = differences.directional_derivative(variable(differences), np.array([1.0, 1.0, 0.5]))
    assert d.value == pytest.approx(2 - 8 - 3, rel=1e-9) and variable(differences).tolist() == X.tolist()
    move = differences.direction_mover(variable(differences), np.array([1.0, 0.0, 0.0]))
    assert move(0.5) == (2.25 + 8 - 9, 0.5)


def test_small_values_have_small_steps_along_a_direction():
    # a kink at a distance of a tenth of the values
    for size in (1e-3, 1e-5, 1e-8):
        x = np.array([size, size])
        differences = differences_of(lambda x, size=size: np.maximum(x - 0.9 * size, 0), x, weights=[1, 1])
        d = differences.directional_derivative(variable(differences), np.ones(2))
        assert not d.kink and d.value == pytest.approx(2, rel=1e-6)


def refined(forward, numeric, uncertainty, x=X, indices=None, **options):
    differences = differences_of(forward, x.copy(), weights=np.ones(x.shape) if x.ndim else None, **options)
    numeric = np.array(numeric, dtype=float)
    low, high = numeric.copy(), numeric.copy()
    uncertainty = np.array(np.broadcast_to(uncertainty, numeric.shape))
    differences.refine_with_complex_step("x", indices or list(np.ndindex(x.shape)), numeric, uncertainty, low, high)
    assert (low == numeric).all() and (high == numeric).all()
    return differences, numeric, uncertainty


def test_the_complex_step_gives_more_digits():
    differences, numeric, uncertainty = refined(np.sin, np.cos(X) + 1e-9, 1e-8)
    assert numeric.tolist() == pytest.approx(np.cos(X).tolist(), rel=1e-15) and uncertainty.max() < 1e-14
    assert differences.complex_step_used and not differences.complex_step_failed and differences.evaluations == 3
    differences, numeric, _ = refined(np.sin, np.cos(X[0]) + 1e-9, 1e-8, x=X[0:1].reshape(()))
    assert numeric == pytest.approx(np.cos(1), rel=1e-15)


def test_a_complex_step_that_disagrees_is_not_used():
    given = np.cos(X) + 1e-3
    differences, numeric, _ = refined(np.sin, given, 1e-8)
    assert differences.complex_step_failed and not differences.complex_step_used and (numeric == given).all()
    differences, numeric, uncertainty = refined(np.sin, np.cos(X) + [0, 0, 0.5], [1e-8, 1e-8, 1.0])
    assert differences.complex_step_used and uncertainty[2] == 1 and numeric[2] == np.cos(3) + 0.5  # too uncertain


def test_one_element_that_disagrees_is_enough():
    given = np.cos(X) + [0, 1e-3, 0]
    differences, numeric, _ = refined(np.sin, given, 1e-8)
    assert differences.complex_step_failed and (numeric == given).all()


def test_differences_that_are_too_uncertain_stay():
    differences, numeric, uncertainty = refined(np.sin, np.cos(X) + [0, 0, 0.3], [1e-8, 1e-8, 0.5])
    assert differences.complex_step_used and uncertainty[2] == 0.5 and numeric[2] == np.cos(3) + 0.3


def test_small_derivatives_among_large_ones_are_refined():
    forward = lambda x: x * np.array([1.0, 1e-6, 0.0])  # noqa: E731
    _, numeric, uncertainty = refined(forward, [1.0, 6e-6, 1e-14], [1e-9, 1e-5, 5e-13])
    assert numeric.tolist() == [1, 1e-6, 0] and (uncertainty >= 4e-16).all()
    _, numeric, _ = refined(lambda x: 0 * x, [1e-14, 0, 0], 5e-13)
    assert numeric.tolist() == [0, 0, 0]


def test_the_rounding_of_the_complex_step_depends_on_the_size_of_f():
    _, _, uncertainty = refined(lambda x: x + 1e6, np.ones(3), 1e-9)
    assert 1e-12 < uncertainty.min() < 1e-9


def test_rounding_errors_of_the_differences_are_no_disagreement():
    differences, numeric, _ = refined(np.sin, np.cos(X) * (1 + 5e-10), 0.0)
    assert differences.complex_step_used and numeric.tolist() == pytest.approx(np.cos(X).tolist(), rel=1e-15)


def test_elements_at_kinks_keep_their_one_sided_derivatives():
    differences = differences_of(lambda x: np.where(x > 2, 2 * x, x), X.copy(), weights=np.ones(3))
    numeric, uncertainty = np.array([1.0, NAN, 1.5]), np.full(3, 1e-9)
    low, high = np.array([1.0, NAN, 1.0]), np.array([1.0, NAN, 2.0])
    indices = [(0,), (1,), (2,)]
    differences.refine_with_complex_step("x", indices, numeric, uncertainty, low, high)
    assert (low[2], numeric[2], high[2], uncertainty[2]) == (1, 1.5, 2, 1e-9) and np.isnan(numeric[1])
    assert differences.complex_step_used and uncertainty[0] < 1e-14


def test_code_without_complex_numbers_keeps_its_differences():
    differences, numeric, _ = refined(np.floor, X, 1e-8)
    assert differences.complex_step_failed and numeric.tolist() == X.tolist()
    differences, _, _ = refined(np.sin, np.cos(X), 1e-8, itemsize=4)
    assert not differences.complex_step_failed and differences.evaluations == 0


# --- noise -----------------------------------------------------------------------------------------------------------


def test_rounded_and_constant_functions_are_noisy():
    def noisy(forward, **options):
        differences = differences_of(forward, X.copy(), weights=R, **options)
        before = variable(differences).copy()
        found = is_noisy(differences, np.random.default_rng(0))
        assert (variable(differences) == before).all()
        return found

    assert not noisy(np.sin) and not noisy(lambda x: 1e6 * np.sin(x))
    assert noisy(lambda x: np.sin(x).astype("f").astype(float)) and noisy(lambda x: np.round(x, 8))
    assert noisy(np.sign) and not noisy(lambda x: np.where(x == X, x, NAN))


def steady(f, unit=1.0):
    return steady_derivative(lambda h: (f(h), h), unit)


def test_the_derivative_of_a_rounded_function():
    for f, slope in ((lambda h: round(3 * h, 6), 3), (lambda h: round(np.sin(2 * h + 1), 7), 2 * np.cos(1))):
        d = steady(f)
        assert abs(d.value - slope) <= d.uncertainty < 0.05 * abs(slope) and d.low == d.high == d.value
    d = steady(lambda h: np.exp(h))
    assert d.value == pytest.approx(1, rel=1e-6) and abs(d.value - 1) <= d.uncertainty


def test_the_derivative_of_a_constant_is_zero():
    d = steady(lambda h: 5.0)
    assert (d.value, d.uncertainty) == (0, 0)


def test_an_unknown_derivative():
    d = steady(lambda h: NAN)
    assert np.isnan(d.value) and d.uncertainty == INF
    d = steady(lambda h: np.sin(1e12 * h))
    assert d.uncertainty == INF
    d = steady(lambda h: float(np.sign(h)))
    assert not d.uncertainty < 1
    d = steady(lambda h: 2 * h if abs(h) < 1e-3 else NAN)
    assert d.value == pytest.approx(2)


def test_elements_are_measured_through_noise():
    def measured(factor):
        differences = differences_of(lambda x: np.round(x, 6) * 1.0, X.copy(), weights=R)
        array = variable(differences)
        entry = entry_of(np.multiply(R, factor), np.array(R) + [0, 0.5, 0], low=np.array(R) + [0, 0.5, 0],
                         high=np.array(R) + [0, 0.5, 0])  # fmt: skip
        entry.numeric = entry.numeric.copy()
        measure_through_noise(differences, entry, array)
        return entry

    entry = measured([1, 1, 1])
    assert entry.verdict == "right" and entry.numeric[1] == pytest.approx(2, rel=1e-3) and entry.uncertainty[1] > 0
    assert measured([1, 1.5, 1]).verdict == "wrong"


def test_the_reason_for_noise():
    assert "vary by 2.0e-01" in noise_reason(0.2) and "smallest steps" in noise_reason(INF)


# --- the entry of one array ------------------------------------------------------------------------------------------


def checked(analytic, forward=np.square, x=X, mode="full", **options):
    differences = differences_of(forward, x.copy(), weights=np.ones(x.shape), **options)
    checker = EntryChecker(differences, Settings(mode=mode), np.random.default_rng(0))
    return checker.entry("x", variable(differences), analytic), checker


def test_a_right_and_a_wrong_gradient():
    entry, checker = checked(2 * X)
    assert entry.verdict == "right" and entry.checked == 3 and entry.kinks == 0 and checker.gradients["x"] is not None
    entry, _ = checked(2 * X + [0, 1, 0])
    assert entry.verdict == "wrong" and entry.worst_index == (1,) and entry.reason == ""


def test_a_gradient_that_is_missing():
    entry, _ = checked(None)
    assert entry.verdict == "wrong" and "None instead of a gradient" in entry.reason
    assert entry.analytic.tolist() == [0, 0, 0]
    entry, _ = checked(None, forward=lambda x: 0 * x)
    assert entry.verdict == "right" and entry.reason == ""


def test_gradients_that_cannot_be_compared():
    entry, _ = checked(np.array(["a", "b", "c"]))
    assert entry.verdict == "wrong" and "dtype <U1" in entry.reason and np.isnan(entry.analytic).all()
    for mode in ("full", "directional"):
        entry, checker = checked(np.ones((3, 1)), mode=mode)
        assert "has shape (3, 1), not (3,)" in entry.reason and checker.directional == {}
        np.testing.assert_allclose(entry.numeric, 2 * X)
        entry, _ = checked(np.array([1.0, NAN, INF]), mode=mode)
        assert "first at [1]" in entry.reason and entry.worst_index == (1,) and entry.numeric[1] == pytest.approx(-4)
        assert np.isnan(entry.numeric[[0, 2]]).all() == (mode == "directional")


def test_a_gradient_of_the_wrong_shape_in_directional_mode():
    x = np.arange(4.0)
    entry, checker = checked(np.ones(5), x=x, mode="directional")
    assert len(checker.directional["x"]) == 3 and np.isnan(entry.numeric).all()


def test_directions_and_samples():
    x = np.arange(1.0, 31)
    entry, checker = checked(2 * x, x=x, mode="directional")
    assert entry.verdict == "right" and entry.along_directions and entry.checked == 2 and checker.directional == {}
    entry, checker = checked(2 * x + 1, x=x, mode="directional")
    assert entry.verdict == "wrong" and entry.checked == 3 and len(checker.directional["x"]) == 3
    entry, _ = checked(2 * x, x=x, mode="sampled")
    assert entry.verdict == "right" and entry.checked == 20 and np.isfinite(entry.numeric).sum() == 20
    entry, _ = checked(2 * x[:2], x=x[:2], mode="directional")
    assert not entry.along_directions and entry.checked == 2


def test_a_kink_is_counted():
    entry, _ = checked(np.array([1.0, 0, 0.5]), forward=lambda x: np.maximum(x, 0), x=np.array([2.0, -1.0, 0.0]))
    assert entry.verdict == "right" and entry.kinks == 1 and (entry.low[2], entry.high[2]) == pytest.approx((0, 1))


# --- weights and outputs ---------------------------------------------------------------------------------------------


def test_the_weights_of_the_outputs():
    rng = np.random.default_rng(0)
    w = random_weights_like(np.ones((40, 5)), rng)
    assert w.shape == (40, 5) and 0.5 <= np.abs(w).min() < 0.6 and 1.4 < np.abs(w).max() <= 1.5
    assert (w > 0).any() and (w < 0).any()
    assert random_weights_like(2.0, rng) == 1 and random_weights_like(np.arange(2), rng) is None


def test_the_gradient_of_the_outputs_has_their_form():
    y = (np.ones(2, "f"), [np.ones((1, 2)), 3.0], {"k": np.ones(1)}, np.float32(2))
    w = (np.array([1.0, 2.0]), [np.array([[3.0, 4.0]]), 1.0], {"k": np.array([5.0])}, 1.0)
    dy = weights_like_outputs(w, y)
    assert dy[0].dtype == np.float32 and dy[0].tolist() == [1, 2] and dy[0] is not w[0]
    assert isinstance(dy[1], list) and dy[1][0].tolist() == [[3, 4]] and dy[1][1] == 1 and dy[2]["k"].tolist() == [5]
    assert dy[3].dtype == np.float32 and weights_like_outputs((None,), (np.arange(2),)) == (None,)


def test_a_gradient_in_float64():
    assert gradient_as_float64(None) is None and gradient_as_float64([1, 2]).dtype == np.float64
    a = np.ones(2)
    assert gradient_as_float64(a) is not a and gradient_as_float64(a > 0).tolist() == [1, 1]
    assert gradient_as_float64(1j * a).dtype.kind == "c" and gradient_as_float64([[1.0], [1.0, 2.0]]).dtype.kind == "U"


def test_equal_outputs():
    a = np.array([1.0, NAN])
    assert equal_outputs((a, 1.0, "s", NAN), (a.copy(), 1.0, "s", NAN))
    for x, y in ((a, a[None]), (a, np.array([1.0, 2.0])), (1.0, 2.0), (NAN, 1.0), (1.0, NAN), ("s", "t")):
        assert not equal_outputs((x,), (y,))


def test_the_outputs_and_weights_of_a_projection():
    projection = project(np.square, lambda dy, x: dy, X.copy())
    flat, weights = projection.flat_outputs(), projection.flat_weights()
    assert flat.tolist() == [1, 4, 9] and weights.shape == (3,)
    assert projection() == pytest.approx(flat @ weights)
    assert np.concatenate(projection.terms()).tolist() == pytest.approx((flat * weights).tolist())
    assert Derivative(1, 0, 1, 1).kink is False
