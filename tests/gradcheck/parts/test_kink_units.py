"""Test the gradients that several kinks at one point allow."""

import itertools
from functools import wraps

import numpy as np
import pytest
from projections import project

from nnscratch.gradcheck import kink_units
from nnscratch.gradcheck.kink_units import POINTS, Box, KinkUnits, is_among

# --- Box -------------------------------------------------------------------------------------------------------------


def test_the_nearest_point_inside_of_a_box():
    J = np.array([[2.0, 0.0], [0.0, 4.0], [0.0, 0.0]])
    np.testing.assert_allclose(Box(J).nearest(np.array([1.0, 1.0, 7.0])), [0.5, 0.25])


def test_the_nearest_point_on_the_faces_of_a_box():
    J = np.array([[2.0, 0.0], [0.0, 4.0]])
    np.testing.assert_allclose(Box(J).nearest(np.array([-3.0, 9.0])), [0, 1])
    np.testing.assert_allclose(Box(J).nearest(np.array([5.0, 2.0])), [1, 0.5], atol=1e-7)
    square = Box(np.array([[1.0, 1.0], [1.0, -1.0]]))  # without the bounds, theta is (2, 1), and then (1.3, -0.1)
    np.testing.assert_allclose(square.nearest(np.array([3.0, 1.0])), [1, 1], atol=1e-6)
    np.testing.assert_allclose(square.nearest(np.array([1.2, 1.4])), [1, 0], atol=1e-6)


def test_the_nearest_point_of_a_flat_box():
    # For theta_0 = 1, (1 + 0.99 t - 1.5)^2 + (0.1 t + 1)^2 has its minimum at t = (0.99 * 0.5 - 0.1) / (0.99^2 + 0.1^2)
    theta = Box(np.array([[1.0, 0.99], [0.0, 0.1]])).nearest(np.array([1.5, -1.0]))
    np.testing.assert_allclose(theta, [1, (0.99 * 0.5 - 0.1) / (0.99**2 + 0.01)], atol=1e-4)


@pytest.mark.parametrize("seed", range(5))
def test_no_move_inside_of_a_box_comes_nearer(seed):
    rng = np.random.default_rng(seed)
    J, r = rng.normal(size=(8, 5)) * [1, 1, 0.1, 1, 0.01], 2 * rng.normal(size=8)
    theta = Box(J).nearest(r)
    slope = J.T @ (J @ theta - r)  # of half the squared distance
    free = np.where(theta <= 0, np.minimum(slope, 0), np.where(theta >= 1, np.maximum(slope, 0), slope))
    np.testing.assert_allclose(free, 0, atol=1e-5)


def test_two_units_with_the_same_jump():
    box = Box(np.array([[1.0, 1.0], [1.0, 1.0 + 1e-13], [0.0, 0.0]]))
    assert box.contains(np.array([1.5, 1.5, 0.0]), 1e-3) and box.contains(np.array([2.0, 2.0, 1e-4]), 1e-3)
    assert not box.contains(np.array([2.1, 2.1, 0.0]), 1e-3) and not box.contains(np.array([1.0, 1.1, 0.0]), 1e-3)


def test_a_theta_inside_its_bounds_moves_if_another_one_is_outside():
    # Without the bounds, theta is (2, 0.5). For theta_0 = 1, the distance falls up to theta_1 = 1.
    J = np.array([[1.0, 0.99], [0.0, 0.1]])
    for size in (1.0, 1e-4):
        np.testing.assert_allclose(Box(size * J).nearest(size * J @ [2.0, 0.5]), [1, 1], atol=1e-6)


def test_a_jump_of_zero_has_any_theta():
    assert np.isfinite(Box(np.zeros((2, 1))).nearest(np.ones(2))).all()
    assert Box(np.zeros((2, 1))).contains(np.zeros(2), 1e-9)


def test_a_box_contains_the_points_that_differ_by_the_tolerance():
    box = Box(np.array([[2.0, 0.0], [0.0, 4.0]]))
    for r, inside in (([1, 1], True), ([2, 4], True), ([2.0625, 4], True), ([2.07, 4], False), ([0, -0.07], False)):
        assert box.contains(np.array(r, dtype=float), 0.0625) is inside
    assert Box(np.array([[1.0], [0.0]])).contains(np.array([0.5, 0.0625]), 0.0625)
    assert not Box(np.array([[1.0], [0.0]])).contains(np.array([0.5, -0.07]), 0.0625)


def test_a_jump_has_two_directions():
    jumps = [np.array([[1.0, 2.0]]), np.array([[5.0, 0.0]])]
    tolerance = np.array([[0.1, 0.01]])
    assert is_among(np.array([[-5.0, 0.0]]), jumps, tolerance) and is_among(jumps[0] + 0.09, jumps, tolerance)
    assert is_among(np.array([[1.5, 2.0]]), jumps, tolerance) and not is_among(np.array([[2.5, 2.0]]), jumps, tolerance)
    assert not is_among(np.array([[1.0, 2.2]]), jumps, tolerance) and not is_among(-jumps[0], jumps[1:], tolerance)
    assert not is_among(jumps[0], [], tolerance) and not is_among(np.array([[2.05, 2.0]]), jumps, tolerance)


# --- one unit for each element ---------------------------------------------------------------------------------------


def units(forward, backward, *inputs, weights=None, first=None, given=None, seed=0, limit=600):
    """Return the KinkUnits of the arrays of a function, with the gradients that its backward gives."""
    projection = project(forward, backward, *inputs, weights=weights)
    gradients = given or projection.analytic()
    held = {name: v.copy() for name, v in projection.variables.items()}
    found = KinkUnits(projection, gradients, first or {}, np.random.default_rng(seed), limit)
    assert all((projection.variables[name] == held[name]).all() for name in held)
    return found


def relu(x):
    return np.maximum(x, 0)


def with_slopes(*slopes):
    return lambda dy, x: dy * np.where(x == 0, slopes, x > 0)


X = [0.0, 0.0, 0.0, 2.0, -2.0]
R = [3.0, -2.0, 1.0, 0.5, 4.0]


def test_the_allowed_gradient_of_single_kinks_lies_between_their_slopes():
    found = units(relu, with_slopes(0.25, 1, 0, 9, 9), X, weights=R)
    assert found.resolved and found.wrong == {"x": []}
    np.testing.assert_allclose(found.allowed["x"], [0.75, -2, 0, 0.5, 0], atol=1e-12)


def scaled(size, forward, backward):
    """Return a forward and a backward of ``size * forward(...)``."""
    return (wraps(forward)(lambda *inputs: size * forward(*inputs)),
            wraps(backward)(lambda dy, *inputs: backward(size * dy, *inputs)))  # fmt: skip


@pytest.mark.parametrize("size", [1e-9, 1e-6, 1e6])
def test_small_and_large_gradients(size):
    found = units(*scaled(size, relu, with_slopes(0.25, 1, 0, 9, 9)), X, weights=R)
    assert found.resolved and found.wrong == {"x": []}
    np.testing.assert_allclose(found.allowed["x"] / size, [0.75, -2, 0, 0.5, 0], atol=1e-12)
    found = units(*scaled(size, relu, with_slopes(-0.5, 2, 0.5, 9, 9)), X, weights=R)
    assert found.resolved and found.wrong == {"x": [(0,), (1,)]}
    backward = lambda dy, x: dy * np.where(x == 0, 1.001, 1.0)  # noqa: E731 - another slope at the point itself only
    assert not units(*scaled(size, lambda x: x, backward), X, weights=R).resolved


def test_an_output_without_influence_on_the_loss():
    for slope, wrong in ((0.5, []), (-0.5, [(0,)])):  # the checker tries other losses too
        found = units(relu, with_slopes(slope, 1, 0, 9, 9), X, weights=[0.0, -2.0, 1.0, 0.5, 4.0])
        assert found.resolved and found.wrong == {"x": wrong}


def test_an_empty_array_has_no_wrong_elements():
    backward = lambda dy, x, e: (with_slopes(0.25, 1, 0, 9, 9)(dy, x), e)  # noqa: E731
    found = units(lambda x, e: relu(x), backward, X, np.zeros((0, 2)), weights=R)
    assert found.resolved and found.wrong == {"x": [], "e": []} and found.allowed["e"].shape == (0, 2)


def test_the_slope_does_not_depend_on_the_side_of_the_nearby_points():
    found = units(relu, with_slopes(0.25), [0.0] * 12)
    np.testing.assert_allclose(found.allowed["x"], (found.nearby["x"].min(axis=0) + found.nearby["x"].max(axis=0)) / 4)


def test_a_slope_outside_is_wrong_and_has_a_nearest_allowed_gradient():
    found = units(relu, with_slopes(-0.5, 2, 0.5, 9, 9), X, weights=R)
    assert found.resolved and found.wrong == {"x": [(0,), (1,)]}
    np.testing.assert_allclose(found.allowed["x"], [0, -2, 0.5, 0.5, 0], atol=1e-12)


def test_the_index_of_a_wrong_element_has_all_axes():
    found = units(relu, with_slopes(0.5, -1), np.array([[1.0, 1.0], [1.0, 0.0]]), weights=np.ones((2, 2)))
    assert found.wrong == {"x": [(1, 1)]} and found.allowed["x"].tolist() == [[1, 1], [1, 0]]


def test_a_small_error_of_a_slope_is_accepted():
    for slope, wrong in ((-0.9e-3, False), (-1.1e-3, True), (1 + 0.9e-3, False), (1 + 1.1e-3, True)):
        assert bool(units(relu, with_slopes(slope, 0.0), [0.0, 5.0], weights=[1, 1]).wrong["x"]) is wrong


def test_the_gradients_at_the_nearby_points():
    found = units(relu, with_slopes(0, 0, 0, 0, 0), X, weights=R)
    nearby = found.nearby["x"]
    assert nearby.shape == (POINTS, 5)
    assert [sorted(set(column)) for column in nearby.T] == [[0, 3], [-2, 0], [0, 1], [0.5], [0]]


def test_a_gradient_that_is_not_finite_nearby_is_not_resolved():
    found = units(relu, lambda dy, x: np.where(x > 0, np.inf, x), [0.0, -1.0], given={"x": np.zeros(2)})
    assert not found.resolved and np.isnan(found.allowed["x"]).all()


def test_points_on_one_side_of_a_kink_do_not_resolve_it():
    # The kink lies at x = -1e-3, and the gradient at x = 0 is wrong.
    found = units(lambda x: np.maximum(x + 1e-3, 0), lambda dy, x: dy * np.where(x == 0, 0.5, 1), [0.0, 1.0])
    assert not found.resolved


def test_the_same_theta_must_fit_all_outputs():
    # y = relu(x) twice: slopes of 0 in the first output and 1 in the second do not come from one unit
    forward = lambda x: np.maximum(x, 0) * np.array([1.0, 1.0])  # noqa: E731
    for slopes, wrong in (((0.5, 0.5), False), ((0.0, 1.0), True)):
        backward = lambda dy, x, s=slopes: np.array([dy @ np.where(x == 0, s, float(x[0] > 0))])  # noqa: E731
        found = units(forward, backward, [0.0], weights=[1, 2])
        assert found.resolved and bool(found.wrong["x"]) is wrong


def test_the_elements_at_kinks_are_always_compared(monkeypatch):
    monkeypatch.setattr(kink_units, "MAX_ELEMENTS", 4)
    found = units(relu, with_slopes(-1, 0, 0, 0, 0), X, weights=R, first={"x": [(0,), (4,)]})
    compared = np.isfinite(found.allowed["x"])
    assert compared[0] and compared[4] and compared.sum() == 4 and found.wrong == {"x": [(0,)]}
    found = units(relu, with_slopes(-1, 0, 0, 0, 0), X, weights=R, first={"x": [(k,) for k in range(5)]})
    assert np.isfinite(found.allowed["x"]).all()
    found = units(relu, with_slopes(-1, 0, 0, 0, 0), X, weights=R, first={"x": [(k,) for k in range(4)]})
    assert np.isfinite(found.allowed["x"]).tolist() == [True] * 4 + [False]
    monkeypatch.setattr(kink_units, "MAX_ELEMENTS", 5)
    assert np.isfinite(units(relu, with_slopes(0, 0, 0, 0, 0), X, weights=R).allowed["x"]).all()


def test_the_elements_are_divided_between_the_arrays(monkeypatch):
    monkeypatch.setattr(kink_units, "MAX_ELEMENTS", 6)
    found = units(lambda x, w: x * w, lambda dy, x, w: (dy * w, dy * x), X, [1.0] * 5)
    assert [int(np.isfinite(a).sum()) for a in found.allowed.values()] == [3, 3]


def test_a_number_has_one_element():
    found = units(lambda x: np.maximum(x, 0), lambda dy, x: dy * (-1.0 if x == 0 else x > 0), np.array(0.0),
                  first={"x": [()]})  # fmt: skip
    assert found.wrong == {"x": [()]} and found.allowed["x"] == 0


# --- several units ---------------------------------------------------------------------------------------------------

W = np.array([[1.0, -2.0, 0.5], [0.5, 1.0, 3.0]])  # x W has three units on their kinks at x = 0
DY = np.array([1.0, 2.0, -1.0])


def mixed(*slopes):
    return lambda dy, x: (dy * np.where(x @ W == 0, slopes, x @ W > 0)) @ W.T


@pytest.mark.parametrize("slopes", [(0, 0, 0), (0.5, 0.25, 1)])
def test_a_mixture_of_the_slopes_of_three_units_is_allowed(slopes):
    found = units(lambda x: np.maximum(x @ W, 0), mixed(*slopes), [0.0, 0.0], weights=DY)
    assert found.resolved and found.wrong == {"x": []}
    np.testing.assert_allclose(found.allowed["x"], W @ (DY * slopes), atol=1e-2)


@pytest.mark.parametrize("size", [1e-6, 1e6])
def test_small_and_large_gradients_of_three_units(size):
    for slopes, wrong in (((0.5, 0.25, 1), False), ((1, 1, 3), True)):
        found = units(*scaled(size, lambda x: np.maximum(x @ W, 0), mixed(*slopes)), [0.0, 0.0], weights=DY)
        assert found.resolved and bool(found.wrong["x"]) is wrong


@pytest.mark.parametrize("sign", [1, -1])
def test_each_element_may_have_its_value_but_not_all_together(sign):
    # x_0 has a gradient from 0 to 3, and x_1 too. (3, 1) has the slopes -1/3 and 5/3.
    V = np.array([[1.0, 2.0], [2.0, 1.0]])
    for gradient, wrong in (((3, 1), True), ((2, 1), False)):  # (2, 1) has the slopes 0 and 1
        backward = lambda dy, x, g=gradient: dy * sign * (np.array(g) if not x.any() else V @ (x @ V > 0))  # noqa: E731
        found = units(lambda x: sign * relu(x @ V).sum(), backward, [0.0, 0.0])
        assert found.resolved and bool(found.wrong["x"]) is wrong


def test_an_array_without_influence_beside_three_units():
    backward = lambda dy, x, c: (mixed(0.5, 0.25, 1)(dy, x), 0 * c)  # noqa: E731
    found = units(lambda x, c: np.maximum(x @ W, 0), backward, [0.0, 0.0], [3.0], weights=DY)
    assert found.resolved and found.wrong == {"x": [], "c": []} and found.allowed["c"] == [0.0]


def test_the_largest_number_of_units(monkeypatch):
    for largest, resolved in ((3, True), (2, False)):
        monkeypatch.setattr(kink_units, "MAX_UNITS", largest)
        found = units(lambda x: np.maximum(x @ W, 0), mixed(0, 0, 0), [0.0, 0.0], weights=DY)
        assert found.resolved is resolved


def largest_of_three(*shares):
    """Return a backward of the largest element of x W, which divides dy in these shares if all elements are equal."""

    def backward(dy, x):
        z = x @ W
        return W @ (np.array(shares) if np.ptp(z) == 0 else 1.0 * (z == z.max())) * dy.sum()

    return backward


@pytest.mark.parametrize("size", [1e-6, 1e6])
def test_kinks_that_depend_on_each_other(size):
    # Only one of three elements is the largest: the three kinks are no three units. A line crosses two of the kinks.
    # Other lines have other jumps, so the gradient that is nearest to a wrong one is not known.
    forward = lambda x, c: np.max(x @ W) * np.ones(2)  # noqa: E731
    for seed, shares in itertools.product(range(1, 7), ((1, 0, 0), (0.5, 0.25, 0.25), (1, 1, 1))):
        of_x = largest_of_three(*shares)
        backward = lambda dy, x, c, of_x=of_x: (of_x(dy, x), 0 * c)  # noqa: E731
        found = units(*scaled(size, forward, backward), [0.0, 0.0], [3.0], weights=[1, 2], seed=seed)
        assert found.resolved is (sum(shares) == 1) and found.wrong == {"x": [], "c": []}


@pytest.mark.parametrize("slopes", [(1, 1, 3), (0.5, -0.5, 0.5)])
def test_a_mixture_of_wrong_slopes_is_wrong(slopes):
    found = units(lambda x: np.maximum(x @ W, 0), mixed(*slopes), [0.0, 0.0], weights=DY)
    assert found.resolved and found.wrong["x"]
    allowed = np.array([np.clip(s, 0, 1) for s in slopes])
    assert np.abs(W @ (DY * slopes) - found.allowed["x"]).max() <= np.abs(W @ (DY * (slopes - allowed))).max() + 1e-6


def test_too_many_steps_leave_the_units_unresolved():
    assert not units(lambda x: np.maximum(x @ W, 0), mixed(0, 0, 0), [0.0, 0.0], weights=DY, limit=5).resolved


def test_two_arrays_share_the_units():
    forward = lambda x, b: np.maximum(x @ W + b, 0)  # noqa: E731

    def backward(dy, x, b, slope=0.5):
        z = x @ W + b
        dz = dy * np.where(z == 0, slope, z > 0)
        return dz @ W.T, dz

    found = units(forward, backward, [0.0, 0.0], [0.0, 0.0, 0.0], weights=DY)
    assert found.resolved and found.wrong == {"x": [], "b": []}
    np.testing.assert_allclose(found.allowed["b"], DY / 2, atol=1e-2)
    wrong = lambda dy, x, b: (backward(dy, x, b)[0], backward(dy, x, b, 0.9)[1])  # noqa: E731 - two different thetas
    found = units(forward, wrong, [0.0, 0.0], [0.0, 0.0, 0.0], weights=DY)
    assert found.resolved and (found.wrong["x"] or found.wrong["b"])


# --- the nearby points and the gradients of the outputs --------------------------------------------------------------


Record = type("Record", (list,), {"__module__": "ctypes"})  # a list that no snapshot restores


def recorded(backward, seen):
    """Return a backward that also records its arguments."""

    @wraps(backward)
    def recording(*arguments):
        seen.append([np.copy(a) if isinstance(a, np.ndarray) else a for a in arguments])
        return backward(*arguments)

    return recording


def test_the_nearby_points_lie_on_both_sides_at_a_distance_relative_to_the_values():
    for x in ([0.0, 50.0, -50.0], [0.0, 1e-3, 1e-3]):
        seen = Record()
        units(relu, recorded(with_slopes(0, 0, 0), seen), x, weights=[1, 2, 3])
        steps = np.array([given - x for _, given in seen]) / (1e-7 * abs(x[1]))
        assert np.abs(steps).max() <= 1.01 and steps.min() < -0.8 and steps.max() > 0.8


def test_several_gradients_of_the_output_are_tried_unless_it_is_a_number():
    found = units(relu, with_slopes(0, 0, 0, 0, 0), X, weights=R)
    assert found.runs == 3 * (POINTS + 1)
    found = units(lambda x: relu(x).sum(), lambda dy, x: dy * (x > 0), X)
    assert found.runs == POINTS + 1 and found.resolved and found.wrong == {"x": []}


def test_each_output_has_a_gradient_of_its_form():
    seen = Record()
    forward = lambda x: (relu(x), float(x.sum()), np.arange(2), x)  # noqa: E731
    backward = lambda dy, dloss, dindex, cache: dy * (cache > 0) + dloss  # noqa: E731
    found = units(forward, recorded(backward, seen), X, seed=1)
    assert found.resolved and found.wrong == {"x": []}
    assert all(dloss == 1.0 and dindex is None for _, dloss, dindex, _ in seen)
    assert len({tuple(dy) for dy, *_ in seen}) == 3


def test_a_jump_below_a_ten_thousandth_of_the_gradient_is_no_kink():
    # The gradient of element 0 jumps from 1 to 1 + size. At the kink, backward uses 1 + 12 size.
    for size, resolved in ((0.5e-4, False), (2e-4, True)):
        forward = lambda x, size=size: x + size * relu(x)  # noqa: E731
        backward = lambda dy, x, size=size: dy * np.where(x == 0, 1 + 12 * size, 1 + size * (x > 0))  # noqa: E731
        found = units(forward, backward, [0.0, 5.0], weights=[1, 1])
        assert found.resolved is resolved
