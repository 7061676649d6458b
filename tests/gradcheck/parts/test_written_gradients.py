"""Test the search for gradients that backward computes with a dy that it has changed in place."""

import numpy as np
import pytest
from wrong_gradients import case_of, ranked

from nnscratch.gradcheck.adapters import make_adapter
from nnscratch.gradcheck.diagnosis.written_gradients import weights_after_backward, written_gradients
from nnscratch.gradcheck.projection import Projection

X = np.array([[1.0, -2.0, 0.5], [0.3, 1.2, -0.7]])
W = np.array([[2.0, 3.0, 4.0], [0.5, -1.5, 2.5]])


def product(x, w):
    return x * w, (x, w)


def cut(dy):
    """Set four of the six elements to zero."""
    dy[X < 1] = 0
    return dy


def projection_of(backward, forward=product, inputs=(X, W)):
    return Projection(make_adapter((forward, backward), inputs), np.random.default_rng(0))


def explanations(backward, wrong, **options):
    """Return {name: mistakes} for the arrays in ``wrong``. The other gradients are right."""
    projection = projection_of(backward, **options)
    (r,) = projection.weights
    given, true = projection.analytic(), {"x": r * W, "w": r * X}
    cases = {name: case_of(given[name], true[name], name, projection) for name in wrong}
    written_gradients(cases, {name: (given[name], t) for name, t in true.items() if name not in wrong}, projection)
    return {name: ranked(case) for name, case in cases.items()}


def test_a_gradient_that_is_computed_after_the_change():
    def backward(dy, cache):
        x, w = cache
        dw = dy * x
        cut(dy)
        return dy * w, dw

    assert explanations(backward, "x") == {"x": ["upstream gradient wrong"]}


def test_the_evidence_and_the_rank():
    def backward(dy, cache):
        x, w = cache
        cut(dy)
        return dy * w, dy * x

    projection = projection_of(backward)
    (r,) = projection.weights
    given = projection.analytic()
    case = case_of(given["w"], r * X, "w", projection)
    written_gradients({"w": case, "x": case_of(given["x"], r * W, "x", projection)}, {}, projection)
    ((rank, found),) = case.found
    assert found.evidence == "backward changes dy in place, and then computes this gradient with the changed values"
    assert found.place == "w" and 1 < rank < 1.1
    np.testing.assert_array_equal(projection.weights[0], r)  # R itself is not changed
    np.testing.assert_array_equal(projection.variables["x"], X)


def test_another_mistake_is_not_explained():
    def backward(dy, cache):
        x, w = cache
        dx = 2 * dy * w
        cut(dy)
        return dx, dy * x

    assert explanations(backward, "xw") == {"x": [], "w": ["upstream gradient wrong"]}


def test_a_backward_that_leaves_dy_alone():
    def backward(dy, cache):
        x, w = cache
        dy = cut(dy.copy())
        return dy * w, dy * x

    assert weights_after_backward(projection_of(backward)) is None
    assert explanations(backward, "x") == {"x": []}


def test_arrays_in_single_precision_are_not_searched():
    def backward(dy, cache):
        x, w = cache
        cut(dy)
        return dy * w, dy * x

    single = (X.astype(np.float32), W.astype(np.float32))
    assert explanations(backward, "x", inputs=single) == {"x": []}


def test_a_gradient_of_another_shape_is_not_searched():
    def backward(dy, cache):
        x, w = cache
        cut(dy)
        return (dy * w)[:1], dy * x

    assert explanations(backward, "x") == {"x": []}


# --- the changed dy --------------------------------------------------------------------------------------------------


def two_outputs(x, w):
    return (x * w, np.array([0, 1]), x + w), (x, w)


def test_the_changed_weights_have_the_structure_of_the_outputs():
    def backward(dy, dids, dz, cache):
        dz *= -3
        return dy, dy

    projection = projection_of(backward, lambda x, w: (*two_outputs(x, w)[0], (x, w)))
    changed, r = weights_after_backward(projection), projection.weights
    assert len(changed) == 3 and changed[1] is None
    np.testing.assert_array_equal(changed[0], r[0])
    np.testing.assert_array_equal(changed[2], -3 * r[2])


def test_the_weight_of_a_single_number():
    def backward(dy, cache):
        dy += 2.5
        return dy * cache[0]

    projection = projection_of(backward, lambda x: (x.sum(), (x,)), (X,))
    for _ in range(2):  # R itself is not changed
        (changed,) = weights_after_backward(projection)
        assert changed == 3.5 and projection.weights[0] == 1
    projection = projection_of(lambda dy, cache: dy + 0 * cache, lambda x: (float(x.sum()), x), (X,))
    assert weights_after_backward(projection) is None


def test_the_weight_of_a_number_beside_an_array():
    def backward(dy, dtotal, cache):
        x, w = cache
        dtotal *= 3  # dtotal is an array without axes
        return dy * w + dtotal * w, dy * x + dtotal * x

    projection = projection_of(backward, lambda x, w: (x * w, (x * w).sum(), (x, w)))
    changed, r = weights_after_backward(projection), projection.weights
    np.testing.assert_array_equal(changed[0], r[0])
    assert changed[1] == 3 and r[1] == 1
    given = projection.analytic()
    cases = {n: case_of(given[n], (r[0] + 1) * a, n, projection) for n, a in (("x", W), ("w", X))}
    written_gradients(cases, {}, projection)
    assert [ranked(case) for case in cases.values()] == [["upstream gradient wrong"]] * 2


def test_gradients_that_backward_removes_from_their_list():
    def backward(dys, cache):
        dz, dy = dys.pop(), dys.pop()
        dz *= 2
        return dy, dz

    projection = projection_of(backward, lambda x, w: ([x * w, x + w], (x, w)))
    ((first, second),), ((r, s),) = weights_after_backward(projection), projection.weights
    np.testing.assert_array_equal(first, r)
    np.testing.assert_array_equal(second, 2 * s)


def test_a_layer_that_saves_its_input():
    class Product:
        def __init__(self):
            self.saved = []

        def forward(self, x):
            self.saved.append(x)
            return x * W

        def backward(self, dy):
            dy *= 2
            return dy * self.saved.pop() / X * W

    projection = Projection(make_adapter(Product(), (X,)), np.random.default_rng(0))
    (changed,) = weights_after_backward(projection)
    np.testing.assert_array_equal(changed, 2 * projection.weights[0])


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_the_rounding_of_dy_is_no_change(dtype):
    projection = projection_of(lambda dy, cache: (dy, dy), inputs=(X.astype(dtype), W.astype(dtype)))
    assert weights_after_backward(projection) is None


@pytest.mark.parametrize("factor", [1.0, 2.0])
def test_a_change_that_changes_nothing(factor):
    def backward(dy, cache):
        dy *= factor
        return dy, dy

    assert (weights_after_backward(projection_of(backward)) is None) == (factor == 1)
