"""Test the slopes that backward uses at units that are exactly zero."""

import numpy as np
import pytest
from projections import project

from nnscratch.gradcheck.zero_units import SMALL, UnitsMoved, slopes_at_zero

# --- UnitsMoved ------------------------------------------------------------------------------------------------------


def recorded(*operations):
    watcher = UnitsMoved()
    for name, result in operations:
        watcher.operation(name, lambda result: result, [np.array(result)], {})
    return watcher


def test_only_zeros_of_sums_are_recorded():
    watcher = recorded(("matmul", [0.0, 1.0, 0.0]), ("multiply", [0.0]), ("add", [2.0]), ("argmax", [0]))
    assert watcher.names == ["matmul", "multiply", "add"]  # an integer has no slope
    assert watcher.zeros[0].tolist() == [True, False, True] and watcher.zeros[1:] == [None, None]


def test_the_zeros_are_replaced_in_a_later_run():
    watcher = recorded(("multiply", [1.0]), ("matmul", [0.0, 1.0, 0.0]), ("add", [0.0]))
    watcher.recording, watcher.values = False, {1: np.array([5.0, 7.0])}
    x = np.array([0.0, 2.0, 0.0])
    results = [watcher.operation(name, np.array, [value], {}) for name, value in
               (("multiply", 3.0), ("argmax", 4), ("matmul", x), ("add", np.array([0.0])))]  # fmt: skip
    assert [r.tolist() for r in results] == [3, 4, [5, 2, 7], [0]]
    assert x.tolist() == [0, 2, 0]


def test_a_forward_with_other_operations_is_refused():
    for operations in (["add"], ["multiply", "add"]):
        watcher = recorded(("multiply", [1.0]))
        watcher.recording = False
        with pytest.raises(ValueError, match="same operations"):
            for name in operations:
                watcher.operation(name, np.array, [1.0], {})


def test_a_number_without_a_dtype_is_not_recorded():
    watcher = UnitsMoved()
    assert watcher.operation("add", lambda: 0.0, [], {}) == 0 and watcher.names == []


# --- slopes_at_zero --------------------------------------------------------------------------------------------------

W, V = np.array([[1.0, -2.0], [3.0, 0.5]]), np.array([[1.0], [-2.0]])


def layers(slope1, slope2):
    """Two layers with ReLU. Their backwards use these slopes at zero."""

    def forward(x):
        z1 = x @ W
        z2 = np.maximum(z1, 0) @ V
        return np.maximum(z2, 0), (z1, z2)

    def backward(dy, cache):
        z1, z2 = cache
        dz2 = dy * np.where(z2 == 0, slope2, z2 > 0)
        return (dz2 @ V.T * np.where(z1 == 0, slope1, z1 > 0)) @ W.T

    return forward, backward


def measured(forward, backward, *inputs, weights=None, names=("x",), seed=0):
    projection = project(forward, backward, *inputs, weights=weights)
    return slopes_at_zero(projection, list(names), np.random.default_rng(seed))


def test_slopes_between_the_two_one_sided_slopes_are_allowed():
    for slopes in ((0, 0), (1, 1), (0.5, 0), (0.25, 0.75)):
        found = measured(*layers(*slopes), np.zeros((1, 2)), weights=[[1.0]])
        assert found.wrong == [] and found.moving["x"].tolist() == [[True, True]]


@pytest.mark.parametrize("slopes", [(-0.5, 0), (0, -0.5), (2, 0), (1, 2), (1.01, 0), (0, -0.01)])
def test_a_slope_outside_is_wrong(slopes):
    found = measured(*layers(*slopes), np.zeros((1, 2)), weights=[[1.0]])
    assert found.wrong and {wrong.name for wrong in found.wrong} == {"x"}
    worst = found.wrong[0]
    assert abs(worst.given - worst.allowed) == max(abs(w.given - w.allowed) for w in found.wrong)


def test_the_given_and_the_allowed_gradient_of_one_unit():
    # z = 3 x0 - 2 x1 = 0, and y = 5 relu(z): the slopes allow -10 to 0 in element 1, and 0 to 15 in element 0
    w = np.array([3.0, -2.0])
    for slope, allowed in ((-1, 0), (2, 1)):

        def forward(x):
            z = x @ w
            return np.maximum(z, 0) * 5, z

        def backward(dy, cache, slope=slope):
            return 5 * dy * w * np.where(cache == 0, slope, cache > 0)

        (wrong,) = measured(forward, backward, [2.0, 3.0]).wrong
        assert (wrong.name, wrong.index) == ("x", (0,))
        assert (wrong.given, wrong.allowed) == pytest.approx((15 * slope, 15 * allowed))


def test_a_wrong_slope_is_found_if_the_whole_gradient_is_zero():
    # relu(x) + relu(-x): two slopes of -0.5 cancel
    w = np.array([[1.0, -1.0]])

    def forward(x):
        z = x @ w
        return np.maximum(z, 0).sum(), z

    for slope, right in ((0, True), (0.5, True), (-0.5, False), (1.5, False)):

        def backward(dy, cache, slope=slope):
            return dy * np.where(cache == 0, slope, cache > 0) @ w.T

        found = measured(forward, backward, [0.0])
        assert (found.wrong == []) is right and found.moving["x"].all()


def test_the_same_slope_must_fit_every_element():
    def forward(x):
        z = x @ np.array([3.0, -2.0])
        return np.maximum(z, 0), z

    for slopes, right in (((0.5, 0.5), True), ((0.0, 1.0), False), ((0.6, 0.5), False)):

        def backward(dy, cache, slopes=slopes):
            return dy * np.array([3.0, -2.0]) * np.where(cache == 0, slopes, float(cache > 0))

        assert (measured(forward, backward, [2.0, 3.0]).wrong == []) is right


def test_a_unit_that_another_unit_hides_is_tried_again():
    # If both units of the first layer are negative, the gradient does not depend on the slope of the second layer.
    for seed in range(12):
        assert measured(*layers(0, 2), np.zeros((1, 2)), weights=[[1.0]], seed=seed).wrong


def test_without_a_unit_at_zero_there_are_no_slopes():
    assert measured(*layers(0, 0), np.ones((1, 2)) * [[1.0, 2.0]]) is None


def test_an_element_that_no_unit_moves():
    forward = lambda x: (np.maximum(x[:2].sum(), 0) + 3 * x[2], x)  # noqa: E731
    backward = lambda dy, cache: dy * np.array([0.0, 0.0, 3.0])  # noqa: E731
    found = measured(forward, backward, [1.0, -1.0, 4.0])
    assert found.wrong == [] and not found.moving["x"][2]


def test_code_that_cannot_be_traced_has_no_slopes():
    def forward(x):
        if type(x) is not np.ndarray:
            raise TypeError("only arrays")
        return np.maximum(x @ W, 0)

    assert measured(forward, lambda dy, x: dy @ W.T, np.zeros((1, 2))) is None


def test_a_sharp_bend_near_zero_is_no_kink():
    # 1 / sqrt(z + 4e-12) is not a straight line from z = -1e-12 to 1e-12, but nearly one from -1e-15 to 1e-15.
    def forward(x, a, b):
        z = x - 1.0
        return np.sqrt(z + a) + np.sqrt(z + b), (z, a, b)

    def backward(dy, cache):
        z, a, b = cache
        da, db = dy / (2 * np.sqrt(z + a)), dy / (2 * np.sqrt(z + b))
        return da + db, da, db

    found = measured(forward, backward, [1.0], [4 * SMALL], [9 * SMALL], names=("x", "a", "b"))
    assert found.wrong == [] and found.moving["a"].all() and found.moving["b"].all()


@pytest.mark.parametrize("size", [1e-9, 1e9])
def test_small_and_large_gradients(size):
    for slopes, right in (((0, 0), True), ((0.5, 0.5), True), ((0, 2), False), ((-0.5, 0), False)):
        found = measured(*layers(*slopes), np.zeros((1, 2)), weights=[[size]])
        assert (found.wrong == []) is right and (found.moving["x"].all() or not right)


def test_an_array_without_elements_beside_others():
    forward, backward = layers(0, 2)
    for slopes in ((0, 2), (0.5, 2)):
        forward, backward = layers(*slopes)
        found = measured(lambda x, e, f=forward: f(x), lambda dy, cache, b=backward: (b(dy, cache), np.zeros(0)),
                         np.zeros((1, 2)), np.zeros(0), weights=[[1.0]], names=("x", "e"))  # fmt: skip
        assert {wrong.name for wrong in found.wrong} == {"x"} and found.moving["e"].shape == (0,)


def test_the_sizes_of_the_gradients_of_several_arrays_differ():
    # The gradient of b is small. That of c is a rounding error of the others.
    def forward(x, b, c):
        z = x - 1.0
        return np.maximum(z, 0) + 0 * (b + c), z

    def backward(dy, z):
        dz = dy * np.where(z == 0, 0.5, z > 0)
        return dz, 1e-8 * dz, 1e-16 * dz

    found = measured(forward, backward, [1.0], [2.0], [3.0], weights=[1.0], names=("x", "b", "c"))
    assert {name: bool(moving[0]) for name, moving in found.moving.items()} == {"x": True, "b": True, "c": False}


def test_a_slope_may_depend_on_the_sign_of_the_gradient_of_the_output():
    def forward(x):
        z = x - 1.0
        return np.maximum(z, 0), z

    for slope_of_negative, right in ((0.5, True), (1.5, False)):

        def backward(dy, z, slope=slope_of_negative):
            return dy * np.where(z == 0, np.where(dy > 0, 0.5, slope), z > 0)

        assert (measured(forward, backward, [1.0], weights=[1.0]).wrong == []) is right
        two = lambda x: (*forward(x)[:1], 3.0, forward(x)[1])  # noqa: E731
        of_two = lambda dy, dnumber, z, b=backward: b(dy, z)  # noqa: E731
        found = slopes_at_zero(positive(project(two, of_two, [1.0])), ["x"], np.random.default_rng(0))
        assert (found.wrong == []) is right
    found = measured(forward, lambda dy, z: np.maximum(dy, 0) * (z > 0), [1.0], weights=[1.0])
    assert found.moving["x"].all()


def positive(projection):
    projection.weights = tuple(np.abs(w) for w in projection.weights)
    return projection


def test_a_unit_that_only_negative_units_show():
    def forward(x):
        z1 = x @ W
        z2 = np.maximum(-z1, 0) @ V
        return np.maximum(z2, 0), (z1, z2)

    def backward(dy, cache):
        z1, z2 = cache
        return (dy * np.where(z2 == 0, 2.0, z2 > 0) @ V.T * np.where(z1 < 0, -1.0, 0.0)) @ W.T

    assert measured(forward, backward, np.zeros((1, 2)), weights=[[1.0]]).wrong


def test_each_of_four_units_is_measured():
    for wrong in range(4):
        slopes = np.where(np.arange(4) == wrong, 2.0, 0.0)
        backward = lambda dy, z, s=slopes: dy * np.where(z == 0, s, z > 0)  # noqa: E731
        forward = lambda x: (np.maximum(x - 1.0, 0), x - 1.0)  # noqa: E731
        assert [w.index for w in measured(forward, backward, np.ones(4), weights=np.ones(4)).wrong] == [(wrong,)]


def test_the_worst_slope_comes_first():
    slopes = np.array([1.5, 2.0, 3.0, 4.0])
    backward = lambda dy, z: dy * np.where(z == 0, slopes, z > 0)  # noqa: E731
    found = measured(lambda x: (np.maximum(x - 1.0, 0), x - 1.0), backward, np.ones(4), weights=np.ones(4))
    assert [w.index for w in found.wrong] == [(3,), (2,), (1,), (0,)]


def test_a_small_error_of_a_slope_is_accepted():
    w = np.array([3.0, 0.0])
    forward = lambda x: (np.maximum(x @ w, 0), x @ w)  # noqa: E731
    for slope, right in ((1 + 0.9e-3, True), (1 + 1.1e-3, False)):
        backward = lambda dy, z, s=slope: dy * w * np.where(z == 0, s, float(z > 0))  # noqa: E731
        assert (measured(forward, backward, [0.0, 1.0]).wrong == []) is right


def test_code_that_keeps_state_has_no_slopes():
    projection = project(*layers(0, 0), np.zeros((1, 2)))
    assert slopes_at_zero(projection, ["x"], np.random.default_rng(0)) is not None
    projection.replayed = "state"
    assert slopes_at_zero(projection, ["x"], np.random.default_rng(0)) is None


W1 = np.array([1.0, -1.0])
AT_ZERO = [[3.0, 3.0]]


def unit(slope, size=1.0):
    """size * relu(x W1), with a slope at zero that may be a function of dy."""

    def forward(x):
        z = x @ W1
        return size * np.maximum(z, 0), z

    def backward(dy, z):
        at_zero = slope(dy) if callable(slope) else slope
        return (size * dy * np.where(z == 0, at_zero, z > 0))[..., None] * W1

    return forward, backward


@pytest.mark.parametrize("size", [1e-9, 1.0, 1e9])
def test_the_size_of_the_gradient_does_not_matter(size):
    for layer in (layers(0, -0.5), layers(1, 2)):
        found = measured(*layer, np.zeros((1, 2)), weights=[[size]])
        assert found.wrong and found.moving["x"].all()
    for slope, wrong in ((0.5, 0), (2, 1)):
        found = measured(*unit(slope, size), AT_ZERO)
        assert len(found.wrong) == wrong and found.moving["x"].all()


def test_a_slope_that_is_wrong_for_one_sign_of_dy():
    for slopes, wrong in (((0, 0), False), ((2, 0), True), ((0, 2), True)):
        found = measured(*unit(lambda dy, slopes=slopes: np.where(dy < 0, *slopes)), AT_ZERO, weights=[1.0])
        assert bool(found.wrong) is wrong and found.moving["x"].all()


def test_the_gradient_of_a_loss_is_measured_for_dy_of_one():
    def forward(x):
        z = x @ W1
        return np.maximum(z, 0), z

    def backward(dy, z):
        assert dy > 0
        return dy * W1 * (z > 0)

    assert measured(forward, backward, AT_ZERO[0]).wrong == []


def test_the_slope_of_each_unit_is_measured():
    for slopes, wrong in (([0, 0.5], False), ([0, 2], True), ([2, 0], True), ([2, 5], True), ([5, 2], True)):

        def forward(x):
            z = x @ W
            return np.maximum(z, 0), z

        def backward(dy, z, slopes=slopes):
            return (dy * np.where(z == 0, slopes, z > 0)) @ W.T

        found = measured(forward, backward, np.zeros((1, 2)), weights=[[1.0, 1.0]])
        assert bool(found.wrong) is wrong
        errors = [abs(w.given - w.allowed) for w in found.wrong]
        assert errors == sorted(errors, reverse=True)


def test_a_gradient_that_moves_for_one_sign_of_dy_moves():
    forward, backward = unit(0)
    found = measured(forward, lambda dy, z: backward(np.maximum(dy, 0), z), AT_ZERO, weights=[1.0])
    assert found.wrong == [] and found.moving["x"].all()


def test_a_unit_that_a_positive_unit_hides_is_tried_again():
    def forward(x):
        z1 = x @ W
        z2 = np.maximum(-z1, 0) @ V
        return np.maximum(z2, 0), (z1, z2)

    def backward(dy, cache):
        z1, z2 = cache
        return -(dy * np.where(z2 == 0, 2, z2 > 0) @ V.T * (z1 < 0)) @ W.T

    for seed in range(6):
        assert measured(forward, backward, np.zeros((1, 2)), weights=[[1.0]], seed=seed).wrong


def test_a_sharp_bend_is_no_kink():
    def forward(x):
        z = x @ W1
        return np.tanh(2e11 * z), z

    def backward(dy, z):
        return (2e11 * dy * (1 - np.tanh(2e11 * z) ** 2))[..., None] * W1

    assert measured(forward, backward, AT_ZERO, weights=[1.0]).wrong == []


def beside(slope, size, noise=0.0):
    """Return relu(x W1) + size * relu(b W1). The gradient of b has a slope at zero, and noise."""
    rng = np.random.default_rng(0)

    def forward(x, b):
        z, u = x @ W1, b @ W1
        return np.maximum(z, 0) + size * np.maximum(u, 0), (z, u)

    def backward(dy, cache):
        z, u = cache
        db = (size * dy * np.where(u == 0, slope, u > 0))[..., None] * W1
        return (dy * (z > 0))[..., None] * W1, db + noise * rng.standard_normal(db.shape)

    return forward, backward


@pytest.mark.parametrize("slope, size, noise, wrong", [
    (0.5, 1e-8, 0, []), (2, 1e-8, 0, ["b"]), (0.5, 0, 1e-11, []), (2, 1, 0, ["b"])
])  # fmt: skip
def test_a_small_gradient_beside_a_large_one(slope, size, noise, wrong):
    found = measured(*beside(slope, size, noise), [[5.0, 3.0]], AT_ZERO, weights=[1.0], names=("x", "b"))
    assert [w.name for w in found.wrong] == wrong


def test_an_array_without_elements_beside_a_unit_at_zero():
    forward, backward = unit(2)
    found = measured(lambda x, b: forward(x), lambda dy, z: (backward(dy, z), np.zeros(0)), AT_ZERO, np.zeros(0),
                     weights=[1.0], names=("x", "b"))  # fmt: skip
    assert [w.name for w in found.wrong] == ["x"] and found.moving["b"].shape == (0,)
