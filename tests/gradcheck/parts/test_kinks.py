"""Test the verdict on elements at kinks: each function of kinks.py, and their order in settle_kinks."""

from types import SimpleNamespace

import numpy as np
import pytest
from projections import differences_of
from wrong_gradients import entry_of

from nnscratch.gradcheck import check_gradients, kinks
from nnscratch.gradcheck.kinks import (
    allow_kinks_per_output,
    apply_range,
    apply_slopes,
    apply_units,
    confirmed_nearby,
    remeasure,
    settle_kinks,
)
from nnscratch.gradcheck.numerical import Derivative
from nnscratch.gradcheck.zero_units import SlopesAtZero, WrongSlope

NAN = float("nan")
FLOAT64 = differences_of(np.sin, [1.0])  # judges entries; nothing is measured


def entry(given, true, low=None, high=None, uncertainty=0):
    low, high, true = (np.array(true if a is None else a, dtype=float) for a in (low, high, true))
    return entry_of(given, true, "x", low=low, high=high, uncertainty=np.zeros(true.shape) + uncertainty)


# --- measured a second time ------------------------------------------------------------------------------------------


def remeasured(found, uncertainty=0.0, own=0.0, low=4.0):
    """Measure an element with the difference 4 again. The gradient is 9."""
    e = entry([1, 9, 7], [1, 4, 7], uncertainty=[0, own, 0], low=[1, low, 7])
    calls = []

    def element_derivative(array, index, scale, step_factor):
        calls.append((index, step_factor))
        return Derivative(found, uncertainty, found, found)

    remeasure(SimpleNamespace(tolerance=lambda: 1e-6, element_derivative=element_derivative), e, np.ones(3))
    return e.uncertainty.tolist(), calls


def test_only_wrong_elements_are_measured_again_with_another_step():
    uncertainties, calls = remeasured(4.5)
    assert uncertainties == [0, 0.5, 0]
    assert [index for index, _ in calls] == [(1,)] and calls[0][1] not in (0, 1)


def test_two_results_further_apart_than_three_uncertainties_show_noise():
    assert remeasured(4.375, uncertainty=0.125)[0][1] == 0 == remeasured(3.625, uncertainty=0.125)[0][1]
    assert remeasured(4.5, uncertainty=0.125)[0][1] == 0.5 == remeasured(3.5, uncertainty=0.125)[0][1]
    assert remeasured(4.375, own=0.125)[0][1] == 0.125
    assert remeasured(4.5, own=0.125)[0][1] == 0.5


def test_elements_at_a_kink_are_not_measured_again():
    assert remeasured(4.5, low=3.0) == ([0, 0, 0], [])


# --- one slope for each output ---------------------------------------------------------------------------------------


def overlapping(x):
    """Two overlapping windows of a max pooling, and a smooth output."""
    return np.array([max(x[0], x[1]), max(x[1], x[2]), x[1] ** 2])


def widened(given, weights, forward=overlapping, x=(1.0, 1.0, 1.0), low=0.0, high=0.5, itemsize=8):
    differences = differences_of(forward, list(x), weights=weights, itemsize=itemsize)
    array = differences.projection.variables["x"]
    e = entry([0, given, 0], [0, 0, 0], low=[0, low, 0], high=[0, high, 0])
    before = differences.evaluations
    allow_kinks_per_output(differences, e, array)
    assert array.tolist() == list(x)
    return e.low[1], e.high[1], differences.evaluations - before


def test_a_bent_output_and_a_rounded_output_have_no_kink():
    # The second output is an exact kink. The first one bends like a kink of 2e-7 or is rounded; the third one curves.
    for other in (lambda v: 1e7 * (1 + v) + 1e-9 * abs(v), lambda v: np.sqrt(v**2 + 1e-9), lambda v: v**2 * 1e3):
        forward = lambda x, other=other: np.array([other(x[1]), max(x[1], 0), 0 * x[1]])  # noqa: E731
        low, high, evaluations = widened(5, [1, -0.5, 1], forward, (0.0,) * 3, 0.1, 0.2)
        assert (low, high, evaluations) == (0.1, 0.2, 8)


def test_each_output_may_use_its_own_slope_at_a_kink():
    # 1 in the first window and 0 in the second, or the other way round; the smooth output adds 2 * 0.25
    low, high, evaluations = widened(5, [1, -0.5, 0.25], low=0.5, high=1.0)
    assert (low, high) == pytest.approx((-0.5 + 0.5, 1 + 0.5), abs=1e-8) and evaluations == 8
    low, high, _ = widened(-9, [1, -0.5, -2], low=-3.7, high=-3.2)
    assert (low, high) == pytest.approx((-0.5 - 4, 1 - 4), abs=1e-8)


def test_a_kink_with_a_slope_on_each_side():
    forward = lambda x: np.array([abs(x[1]), abs(x[1]), 2 * x[1]])  # noqa: E731
    low, high, _ = widened(5, [1, -0.5, 0.25], forward, (0.0,) * 3)
    assert (low, high) == pytest.approx((-1 - 0.5 + 0.5, 1 + 0.5 + 0.5), abs=1e-8)


def test_large_values_have_large_steps():
    steps = []

    def forward(x):
        steps.append(abs(x[1] - 100))
        return overlapping(x)

    low, high, _ = widened(500, [1, -0.5, 0.25], forward, (100.0,) * 3, 50.0, 50.5)
    assert (low, high) == pytest.approx((-0.5 + 50, 1 + 50), abs=1e-6)
    assert max(steps) == pytest.approx(2 * 2e-5 * 100, rel=1e-6)


def test_an_interval_that_is_already_wider_stays():
    low, high, _ = widened(50, [1, -0.5, 0.25], low=-20.0, high=30.0)
    assert (low, high) == (-20, 30)


def test_a_kink_of_one_output_is_not_widened():
    low, high, _ = widened(5, [1, -0.5, 0.25], x=(1.0, 1.0, 0.0))
    assert (low, high) == (0, 0.5)


def test_a_sharp_bend_is_not_a_kink():
    # tanh(1e5 x) has the slope 1e5 at 0, and looks like a kink only at large steps
    low, high, _ = widened(5, [1, -0.5, 1], lambda x: np.sqrt(np.array([1.0, 1, 1]) * 1e-10 + x[1] ** 2), x=(0.0,) * 3)
    assert (low, high) == (0, 0.5)


def test_elements_that_need_no_wider_interval():
    assert widened(0.25, [1, -0.5, 0.25]) == (0, 0.5, 0)  # it lies between the slopes
    assert widened(5, [1, -0.5, 0.25], low=0.5)[2] == 0  # it is not at a kink
    assert widened(5, [1, -0.5, 0.25], itemsize=4)[2] == 0
    assert widened(5, 1.0, lambda x: overlapping(x).sum())[2] == 0  # only one output
    assert widened(5, [1, -0.5], lambda x: overlapping(x)[:2])[2] == 8


# --- nearby points ---------------------------------------------------------------------------------------------------


def relu(x):
    return np.maximum(x, 0)


def test_the_nearby_points_lie_on_both_sides_of_each_value():
    for size, x in ((1e-3, [1.0, 50.0]), (1e-6, [1e-3, 1e-3]), (1e-3, [0.0, 0.0])):
        differences = differences_of(relu, x, backward=lambda dy, x: dy * (x > 0))
        array, moved = differences.projection.variables["x"], []
        analytic = differences.projection.analytic

        def at_a_point(weights, array=array, moved=moved, analytic=analytic):
            moved.append(array.copy())
            return analytic()

        differences.projection.analytic = at_a_point
        confirmed_nearby(differences, "x", [(0,)], np.random.default_rng(0))
        steps = (np.array(moved) - x) / size
        assert -1 <= steps.min() < -0.7 and 0.7 < steps.max() <= 1


def confirmed(backward, suspects, x=(0.0, 1.0), forward=relu, points=None):
    differences = differences_of(forward, list(x), weights=np.linspace(1, 2, len(x)), backward=backward)
    centre, array, analytic = differences.centre, differences.projection.variables["x"], differences.projection.analytic
    counted = []
    differences.projection.analytic = lambda weights: (counted.append(0), analytic())[1]
    result = confirmed_nearby(differences, "x", suspects, np.random.default_rng(0))
    assert array.tolist() == list(x) and differences.centre == centre
    assert points is None or len(counted) == points
    return result


def test_a_right_backward_is_confirmed_nearby():
    right = lambda dy, x: dy * (x > 0)  # noqa: E731
    for suspects in ([(0,)], [(0,), (1,)], None):
        assert confirmed(right, suspects)
    assert confirmed(lambda dy, x: dy * np.where(x == 0, 9, x > 0), [(0,)])  # 9 is used only at the kink


def test_a_wrong_backward_is_not_confirmed_nearby():
    twice = lambda dy, x: dy * 2 * (x > 0)  # noqa: E731
    for suspects in ([(0,)], [(0,), (1,)], None):
        assert not confirmed(twice, suspects)
    other = lambda dy, x: dy * (x > 0) * np.array([1, 1 + 1e-4])  # noqa: E731
    assert not confirmed(other, [(0,)]) and not confirmed(other, None)  # the largest gradient is wrong
    slightly = lambda dy, x: dy * (x > 0) * (1 + 5e-6)  # noqa: E731
    assert confirmed(slightly, [(0,), (1,)]) and confirmed(slightly, None)


def test_a_gradient_of_none_nearby_counts_as_zero():
    assert not confirmed(lambda dy, x: None, [(1,)])
    assert confirmed(lambda dy, x: None, [(0,)], x=(-1.0, -1.0))


def test_the_number_of_nearby_points():
    right, x = lambda dy, x: dy * (x > 0), (0.0,) * 30  # noqa: E731
    assert confirmed(right, [(k,) for k in range(30)], x, points=20 + 4)
    assert confirmed(right, [(k,) for k in range(20)], x, points=20 + 4)
    assert confirmed(right, [(0,), (1,)], x, points=12 + 4)
    assert confirmed(right, None, x, points=2)


# --- the verdict -----------------------------------------------------------------------------------------------------


def test_a_slope_that_is_not_allowed_is_wrong():
    e = entry([1, 7], [1, 2])
    apply_slopes(e, [(1,)], SlopesAtZero([WrongSlope("w", (0,), 5, 6), WrongSlope("x", (1,), 7, 2.5)]))
    assert e.verdict == "wrong" and "[1] the gradient is 7," in e.reason and e.reason.endswith("value is 2.5")
    assert e.high[1] == 2


def test_a_wrong_slope_of_another_array_changes_nothing():
    e = entry([1, 7], [1, 2])
    e.verdict, e.reason = "wrong", "old"
    apply_slopes(e, [(1,)], SlopesAtZero([WrongSlope("w", (0,), 5, 6)]))
    assert (e.verdict, e.reason, e.high[1]) == ("wrong", "old", 2)


def test_allowed_slopes_are_right():
    e = entry([1, 7, -3], [1, 2, 2])
    e.verdict, e.reason = "wrong", "old"
    apply_slopes(e, [(1,), (2,)], SlopesAtZero())
    assert (e.verdict, e.reason) == ("right", "")
    assert e.low.tolist() == [1, 2, -3] and e.high.tolist() == [1, 7, 2]


def units(allowed, *wrong):
    return SimpleNamespace(allowed={"x": np.array(allowed, dtype=float)}, wrong={"x": list(wrong)})


def test_the_allowed_gradient_widens_the_interval():
    e = entry([1, 7, -3, 5], [1, 2, 2, 5], low=[1, 2, 2, 4])
    e.verdict, e.reason = "wrong", "old"
    apply_units(FLOAT64, e, e.analytic, units([np.nan, 7, -3, np.nan]))
    assert (e.verdict, e.reason, e.kinks) == ("right", "", 3)
    assert e.low.tolist() == [1, 2, -3, 4] and e.high.tolist() == [1, 7, 2, 5]


def test_a_gradient_outside_the_allowed_ones_is_wrong():
    e = entry([1, 7, 9], [1, 2, 3], uncertainty=[0, 1, 1], low=[0.5, 2, 2])
    apply_units(FLOAT64, e, e.analytic, units([np.nan, 2.5, 4], (1,), (2,)))
    assert e.verdict == "wrong" and e.kinks == 1 + 2
    assert e.numeric.tolist() == [1, 2.5, 4] and e.low[1:].tolist() == e.high[1:].tolist() == [2.5, 4]
    assert e.uncertainty.tolist() == [0, 0, 0]
    assert "[2] the gradient is 9," in e.reason and e.reason.endswith("value is 4")  # the largest error


def test_directions_keep_their_values():
    e = entry([9, 9], [1, 2])
    e.along_directions = True
    gradient = np.array([1.0, -7.0, 0.0])
    apply_units(FLOAT64, e, gradient, units([1, 7, 0.5], (2,), (1,)))
    assert e.verdict == "wrong" and e.numeric.tolist() == [1, 2] and "[1] the gradient is -7," in e.reason
    e.verdict = "right"
    apply_units(FLOAT64, e, gradient, units([1, 7, 0.5]))
    assert e.verdict == "right"


def ranged(given, nearby):
    e = entry([given, 1], [0.5, 1])
    e.verdict, e.reason = "wrong", "old"
    apply_range(FLOAT64, e, [(0,)], np.array([nearby, [1.0] * len(nearby)]).T)
    return e


def test_a_gradient_near_the_range_of_the_gradients_nearby_is_right():
    for given in (0, 1, 1.9, 2.1, -0.9, -1.1):
        e = ranged(given, [0, 0.5, 1, 0.25])  # three or more levels: the width on each side
        assert e.verdict == ("right" if -1 <= given <= 2 else "cannot tell")
    e = ranged(1.9, [0, 0.5, 1, 0.25])
    assert (e.low[0], e.high[0], e.reason, e.kinks) == (0, 1.9, "", 1)
    e = ranged(-0.9, [0, 0.5, 1, 0.25])
    assert (e.low[0], e.high[0]) == (-0.9, 1)
    assert "1 element" in ranged(2.1, [0, 0.5, 1, 0.25]).reason


def test_two_levels_leave_a_hundredth_on_each_side():
    for given, verdict in ((1.009, "right"), (-0.009, "right"), (1.011, "cannot tell"), (-0.011, "cannot tell")):
        assert ranged(given, [0, 1, 0.01, 0.99]).verdict == verdict
    assert ranged(1.9, [0, 1, 0.03, 1]).verdict == "right"  # three levels


def test_a_range_without_a_jump_is_not_accepted():
    assert ranged(1.005, [1, 1.01]).verdict == "cannot tell"
    assert ranged(1.005, [1, 1.03]).verdict == "right"
    assert ranged(-1.005, [-1, -1.03]).verdict == "right" and ranged(-1.005, [-1, -1.01]).verdict == "cannot tell"


def test_the_range_is_relative_to_the_gradient():
    for size in (1e-2, 1e3):
        for given, verdict in ((1.009, "right"), (1.011, "cannot tell")):
            assert ranged(size * given, size * np.array([0, 1, 0.01, 0.99])).verdict == verdict
        assert ranged(size * 1.005, size * np.array([1, 1.01])).verdict == "cannot tell"
        assert ranged(size * 1.005, size * np.array([1, 1.03])).verdict == "right"


# --- the steps in order ----------------------------------------------------------------------------------------------


def settled(forward, backward, given, low, high, x=(0.0, 1.0), verdict="wrong", kinks=1, weights=(1, 2)):
    differences = differences_of(forward, list(x), weights=weights, backward=backward)
    e = entry(given, np.add(low, high) / 2, low=low, high=high)
    e.verdict, e.kinks = verdict, kinks
    settle_kinks(differences, [e], {"x": e.analytic}, np.random.default_rng(0))
    return e


def test_without_kinks_the_verdict_stays():
    e = settled(relu, lambda dy, x: dy * (x > 0), [5, 1], [0, 1], [0, 1], kinks=0)
    assert e.verdict == "wrong" and e.high[0] == 0


W, SIGNS = np.array([[1.0, -1.0], [0.0, 0.0]]), np.array([1.0, -1.0])


def two_units(slope, given):
    """Check relu(x0) - relu(-x0) at 0. Both one-sided derivatives are 1, but slope 0 in both units gives 0."""

    def forward(x):
        z = x @ W
        return (np.maximum(z, 0) * SIGNS).sum(), z

    def backward(dy, cache):
        return dy * (W @ (SIGNS * np.where(cache == 0, slope, cache > 0)))

    return settled(forward, backward, given, [1, 0], [1, 0], weights=None)


def test_several_units_on_their_kinks_may_use_any_slope():
    for slope, given in ((0, [0, 0]), (0.25, [0.5, 0])):
        e = two_units(slope, given)
        assert e.verdict == "right" and (e.low[0], e.high[0]) == (given[0], 1)


def test_a_wrong_slope_of_units_on_their_kinks_is_wrong():
    for slope, given in ((-0.5, [-1, 0]), (2, [4, 0])):
        e = two_units(slope, given)
        assert e.verdict == "wrong" and "at [0]" in e.reason


def test_a_backward_that_is_wrong_nearby_stays_wrong():
    e = settled(relu, lambda dy, x: dy * 3 * (x > 0), [0.5, 6], [0, 2], [1, 2])
    assert e.verdict == "wrong" and e.reason == ""


def test_one_unit_on_its_kink_has_a_slope_between_the_two():
    slope_at_zero = lambda s: lambda dy, x: dy * np.where(x == 0, s, x > 0)  # noqa: E731
    assert settled(relu, slope_at_zero(0.5), [0.5, 2], [0, 2], [1, 2], verdict="right").verdict == "right"
    e = settled(relu, slope_at_zero(-0.5), [-0.5, 2], [0, 2], [1, 2])
    assert e.verdict == "wrong" and e.reason.endswith("value is 0") and e.numeric[0] == 0


def test_an_array_that_cannot_be_judged_stays_so():
    e = settled(relu, lambda dy, x: dy * (x > 0), [0.5, 2], [0, 2], [1, 2], verdict="cannot tell", kinks=0)
    assert e.verdict == "cannot tell"


def settled_both(given_x, given_b, verdicts=("wrong", "right"), kinks=(1, 0)):
    """Settle two arrays of relu(x) + relu(b) at x = (0, 1) and b = (-1, 1)."""
    backward = lambda dy, x, b: (dy * np.where(x == 0, given_x[0], x > 0), dy * (b > 0))  # noqa: E731
    forward, inputs = lambda x, b: relu(x) + relu(b), ([0.0, 1.0], [-1.0, 1.0])
    differences = differences_of(forward, *inputs, weights=[1, 2], backward=backward)
    entries = [entry(given_x, [0.5, 2], low=[0, 2], high=[1, 2]), entry(given_b, [0, 2])]
    for e, name, verdict, count in zip(entries, "xb", verdicts, kinks, strict=True):
        e.name, e.verdict, e.kinks = name, verdict, count
    settle_kinks(differences, entries, {e.name: e.analytic for e in entries}, np.random.default_rng(0))
    return entries


def test_an_array_without_kinks_beside_one_with_kinks():
    x, b = settled_both([-1, 2], [0, 2])
    assert (x.verdict, b.verdict) == ("wrong", "right") and "[0]" in x.reason
    x, b = settled_both([0.5, 2], [0, 7], ("right", "wrong"))
    assert (x.verdict, b.verdict, b.reason) == ("right", "wrong", "")
    x, b = settled_both([-1, 2], [np.nan, 2])
    assert x.verdict == "wrong" and "[0]" in x.reason and b.verdict == "right"
    x, b = settled_both([-1, 2], [0, 2, 3])
    assert x.verdict == "wrong" and "[0]" in x.reason


def test_kinks_that_depend_on_each_other_give_no_verdict():
    # h = relu(x W) and y = relu(h V): at x = 0, the slopes of the second layer depend on those of the first one.
    W1, V = np.array([[1.0, -2.0, 0.5], [0.5, 1.0, 3.0]]), np.array([[1.0], [1.5], [-2.0]])
    forward = lambda x: np.maximum(np.maximum(x @ W1, 0) @ V, 0)  # noqa: E731

    def backward(dy, x):
        z = x @ W1
        return (dy * (np.maximum(z, 0) @ V > 0)) @ V.T * (z > 0) @ W1.T

    for given, verdict in (([0, 0], "right"), ([50, 50], "cannot tell")):
        e = settled(forward, backward, given, [0.1, 0.1], [0.2, 0.2], x=(0.0, 0.0), weights=[1])
        assert e.verdict in (verdict, "wrong")


# --- each step alone -------------------------------------------------------------------------------------------------


@pytest.fixture
def stubs(monkeypatch):
    """Replace the measurements of settle_kinks. The stubs record their arguments, and return the set results."""
    seen = SimpleNamespace(confirmed=[], slopes=[], own=None, first=None, limit=None,
                           agrees=True, found=None, resolved=True)  # fmt: skip

    def confirmed(differences, name, suspects, rng):
        seen.confirmed.append((name, suspects))
        return seen.agrees

    def slopes(projection, names, rng):
        seen.slopes.append(names)
        return seen.found

    class Units:
        def __init__(self, projection, own, first, rng, limit):
            seen.own, seen.first, seen.limit = list(own), first, limit
            self.resolved, self.wrong = seen.resolved, {name: [] for name in own}
            self.allowed = {name: np.array(gradient, dtype=float) for name, gradient in own.items()}
            self.nearby = {name: np.array([0 * g, g + 1]) for name, g in self.allowed.items()}

    monkeypatch.setattr(kinks, "confirmed_nearby", confirmed)
    monkeypatch.setattr(kinks, "slopes_at_zero", slopes)
    monkeypatch.setattr(kinks, "KinkUnits", Units)
    return seen


def named(name, verdict, count, *arrays, **options):
    e = entry(*arrays, **options)
    e.name, e.verdict, e.kinks, e.reason = name, verdict, count, "old"
    return e


def settle(*entries, gradients=None, evaluations=0):
    differences = SimpleNamespace(tolerance=FLOAT64.tolerance, judge=FLOAT64.judge, projection=None,
                                  evaluations=evaluations)  # fmt: skip
    settle_kinks(differences, list(entries), gradients or {e.name: e.analytic for e in entries}, None)
    return [(e.verdict, e.reason) for e in entries]


AT_KINKS = ([5, 1, 0.5], [0.5, 1, 0.5], [0, 1, 0], [1, 1, 1])  # given, numeric, low, high: element 0 is outside


def test_the_elements_at_kinks_are_compared_the_suspects_first(stubs):
    settle(named("x", "wrong", 2, [5, 1, 0.5, 9], [0.5, 1, 0.5, 2], [0, 1, 0, 2], [1, 1, 1, 2]))
    assert stubs.first == {"x": [(0,), (3,), (2,)]} and stubs.confirmed == [("x", [(0,), (3,)])]


def test_the_number_of_backward_passes_grows_with_the_check(stubs):
    for evaluations, limit in ((0, 600), (6009, 600), (6010, 601)):
        settle(named("x", "wrong", 2, *AT_KINKS), evaluations=evaluations)
        assert stubs.limit == limit


def test_directions_have_no_suspects(stubs):
    e = named("x", "wrong", 1, *AT_KINKS)
    e.along_directions = True
    settle(e)
    assert stubs.confirmed == [("x", None)] and stubs.first == {"x": []} and stubs.own == ["x"]


def test_only_doubtful_arrays_are_compared_nearby(stubs):
    right, doubtful = named("x", "right", 1, *AT_KINKS), named("w", "cannot tell", 1, *AT_KINKS)
    settle(right, doubtful)
    assert [name for name, _ in stubs.confirmed] == ["w"] and stubs.own == ["x", "w"]


def test_an_array_that_disagrees_nearby_is_left_out(stubs):
    stubs.agrees = False
    assert settle(named("x", "wrong", 2, *AT_KINKS)) == [("wrong", "old")] and stubs.slopes == []


def test_an_array_that_cannot_be_judged_is_left_out(stubs):
    settle(named("x", "right", 1, *AT_KINKS), named("w", "cannot tell", 0, *AT_KINKS))
    assert stubs.own == ["x"] and stubs.confirmed == []


def test_gradients_of_another_shape_or_without_values_are_left_out(stubs):
    bad = {"w": np.ones(2), "b": np.array([1, 1, NAN])}
    arrays = [named(name, "right", 1, *AT_KINKS) for name in "xwb"]
    settle(*arrays, gradients={"x": arrays[0].analytic, **bad})
    assert stubs.own == ["x"]
    arrays[1].verdict, stubs.own = "wrong", None
    settle(*arrays[1:], gradients=bad)
    assert stubs.own is None and stubs.confirmed == []


def test_arrays_without_kinks_alone_are_left_alone(stubs):
    e = named("x", "wrong", 1, *AT_KINKS)
    stubs.agrees = False
    settle(e, named("w", "right", 0, [1], [1]))
    assert stubs.slopes == []


def test_slopes_at_zero_decide_if_they_move_all_suspects(stubs):
    for moving, decides in (([True, False, False], True), ([False, True, True], False)):
        stubs.found, stubs.own = SlopesAtZero([], {"x": np.array(moving)}), None
        assert settle(named("x", "wrong", 2, *AT_KINKS)) == [("right", "")]
        assert (stubs.own is None) is decides
    first = np.array([True, False, False])
    for of_y, decides in ((first, True), (~first, False)):
        stubs.found, stubs.own = SlopesAtZero([], {"x": first, "y": of_y}), None
        settle(named("x", "wrong", 2, *AT_KINKS), named("y", "wrong", 2, *AT_KINKS))
        assert (stubs.own is None) is decides
    stubs.found = SlopesAtZero([WrongSlope("x", (0,), 5, 1)], {"x": np.zeros(3, bool)})
    ((verdict, reason),) = settle(named("x", "wrong", 2, *AT_KINKS))
    assert verdict == "wrong" and "[0] the gradient is 5" in reason


def test_kinks_that_are_not_resolved_leave_the_range_of_the_gradients_nearby(stubs):
    stubs.resolved = False
    assert settle(named("x", "wrong", 2, *AT_KINKS))[0] == ("right", "")  # from 0 to 6 nearby
    assert settle(named("x", "right", 2, [0.5], [0.5], [0], [1])) == [("right", "old")]


def test_the_suspects_that_are_compared_nearby_are_different_ones():
    n = 30
    differences = differences_of(relu, [0.0] * n, weights=np.ones(n), backward=lambda dy, x: dy * (x > 0))
    measured, element_derivative = [], differences.element_derivative
    differences.element_derivative = lambda array, index, *rest: (
        measured.append((index, rest)), element_derivative(array, index, *rest))[1]  # fmt: skip
    assert confirmed_nearby(differences, "x", [(k,) for k in range(n)], np.random.default_rng(0))
    assert len({index for index, _ in measured[:20]}) == 20 and {rest[0] for _, rest in measured} == {0.0}


def test_a_nearby_point_may_lie_close_to_another_kink():
    # The first nearby point lies 5e-9 below a kink. Only very small steps do not cross it.
    point = 1e-3 * np.random.default_rng(0).uniform(-1, 1, 1)[0]
    forward = lambda x: np.maximum(x - (point + 5e-9), 0)  # noqa: E731
    differences = differences_of(forward, [0.0], weights=[1], backward=lambda dy, x: dy * (x > point + 5e-9))
    assert confirmed_nearby(differences, "x", [(0,)], np.random.default_rng(0))


def test_the_steps_have_the_size_of_the_value_but_at_least_one():
    for value, largest in ((0.5, 1.0), (1.0, 1.0), (3.0, 3.0)):
        steps = []

        def forward(x, steps=steps, value=value):
            steps.append(abs(x[1] - value))
            return overlapping(x)

        widened(500, [1, -0.5, 0.25], forward, (value,) * 3, 50.0, 50.5)
        assert max(steps) == pytest.approx(2 * 2e-5 * largest, rel=1e-6)


@pytest.mark.parametrize("backward", [
    lambda dy, x: None,
    lambda dy, x: dy * (x > 0) if (x == 0).all() else None,
])  # fmt: skip
def test_a_gradient_of_none_at_kinks_is_wrong_and_not_an_error(backward):
    assert check_gradients((relu, backward), np.zeros(3)).verdict == "wrong"
    forward = lambda x: relu(x @ W) @ W  # noqa: E731
    assert check_gradients((forward, lambda dy, x: None), np.zeros((1, 2))).verdict == "wrong"
