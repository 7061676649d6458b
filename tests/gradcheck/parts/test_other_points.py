"""Test the search at other points: an explanation must hold for other values of the arrays, not only by chance."""

import numpy as np
from wrong_gradients import case_of, project, ranked

import nnscratch as nn
from nnscratch.gradcheck import check_gradients
from nnscratch.gradcheck.adapters import make_adapter
from nnscratch.gradcheck.diagnosis.other_points import (
    are_few,
    cases_at_this_point,
    central_differences,
    explanation,
    keep_what_holds_elsewhere,
    other_point,
)
from nnscratch.gradcheck.projection import Projection
from nnscratch.gradcheck.report import Diagnosis

X = np.array([[1.0, -2.0], [0.3, 1.2], [0.9, 0.4]])


def test_gradients_with_fewer_than_eight_elements_are_few():
    seven, eight = np.arange(7.0), np.arange(8.0)
    assert are_few({"a": case_of(seven, seven + 1)}) and not are_few({"a": case_of(eight, eight + 1)})
    assert not are_few({"a": case_of(seven, seven + 1), "b": case_of([1.0], [2.0])}) and not are_few({})
    assert not are_few({"a": case_of(seven, seven * np.nan)}) and not are_few({"a": case_of(seven[:3], seven)})
    unknown = case_of([1.0, 2.0], [3.0, np.nan])  # with an unknown element, the sizes cannot be compared
    assert not are_few({"a": unknown}) and not are_few({"a": case_of([1.0], [2.0]), "b": unknown})


def test_the_cases_at_another_point():
    projection = project(lambda a, b: a * b, X, X + 1)
    cases = {"a": case_of(X, 2 * X, "a", projection)}
    true = {"a": X, "b": X, "c": X, "d": X, "e": X}
    given = {"a": X + 1, "b": X * (1 + 1e-6), "c": X.T, "d": None}
    wrong, right = cases_at_this_point(cases, given, true)
    assert list(wrong) == ["a"] and list(right) == ["b"] and wrong["a"].few
    assert wrong["a"].given is given["a"] and wrong["a"].true is true["a"] and wrong["a"].entry.diagnoses == []
    assert wrong["a"].entry.low is wrong["a"].entry.high is true["a"]
    assert right["b"][0] is given["b"] and right["b"][1] is true["b"]
    assert cases_at_this_point(cases, {"a": X * (1 + 3e-5)}, {"a": X})[0]  # 1e-5 of the size is a mistake
    one_unknown = np.where(X == 0.3, np.nan, X)
    assert cases_at_this_point(cases, {"a": one_unknown}, {"a": X + 1}) == ({}, {})
    assert cases_at_this_point(cases, {"a": X + 1}, {"a": one_unknown}) == ({}, {})
    assert cases_at_this_point(cases, {"b": X + 1}, {"b": X}) == ({}, {})  # b was right at the first point
    assert cases_at_this_point({}, {"a": 0 * X}, {"a": 0 * X})[1].keys() == {"a"}


def test_the_gradient_by_central_differences():
    projection = project(lambda a: np.sin(a) * 100, X * 30)
    (R,) = projection.weights
    np.testing.assert_allclose(central_differences(projection, "a"), 100 * R * np.cos(X * 30), rtol=1e-4, atol=1e-3)
    np.testing.assert_array_equal(projection.variables["a"], X * 30)
    projection = project(lambda a: a * a, np.array([0.0, 1e-9, 1e9]))  # at zero, and at values of any size
    (R,) = projection.weights
    np.testing.assert_allclose(central_differences(projection, "a"), R * [0, 2e-9, 2e9], rtol=1e-6, atol=1e-6)


def test_equal_explanations():
    a = Diagnosis("sign flipped", "given = -1 * true; x", "w")
    assert explanation(a) == explanation(Diagnosis("sign flipped", "other", "w"))
    assert explanation(a) != explanation(Diagnosis("sign flipped", "other", "b"))
    two, three = (Diagnosis("scaled by a constant", f"given = {c} * true; {c} is N", "w") for c in (2, 3))
    assert explanation(two) != explanation(three)
    assert explanation(two) == explanation(Diagnosis("scaled by a constant", "given = 2 * true; 2 is D", "w"))


def test_an_explanation_must_hold_at_other_points():
    projection = project(lambda a: np.sin(a), np.array([0.3, 0.9]))
    projection.analytic = lambda weights=None: {"a": -np.cos(projection.variables["a"]) * projection.weights[0]}
    (R,) = projection.weights
    case = case_of(-R * np.cos([0.3, 0.9]), R * np.cos([0.3, 0.9]), "a", projection)
    case.add(1, "sign flipped", "")
    case.add(2, "by chance", "")
    points = []

    def search(others, right, true, *_):
        points.append(projection.variables["a"].copy())
        others["a"].add(1, "sign flipped", "")
        np.testing.assert_allclose(true["a"], np.cos(points[-1]) * projection.weights[0], rtol=1e-6)

    keep_what_holds_elsewhere({"a": case}, projection, search)
    assert ranked(case) == ["sign flipped"] and len(points) == 4
    assert all(0.7 * 0.3 <= p[0] <= 1.4 * 0.3 and 0.7 * 0.9 <= p[1] <= 1.4 * 0.9 for p in points)
    assert len({float(p[0]) for p in points}) == 4
    assert projection.variables["a"].tolist() == [0.3, 0.9] and projection.weights[0] is R
    points.clear()
    case.found.clear()
    keep_what_holds_elsewhere({"a": case}, projection, search)
    assert points == []  # nothing to test


def test_small_errors_are_relative_to_the_largest_element():
    projection = project(lambda a: a * 2, X)
    cases = {"a": case_of(X, 2 * X, "a", projection)}

    def is_wrong(given, true):
        wrong, right = cases_at_this_point(cases, {"a": np.array(given)}, {"a": np.array(true)})
        assert len(wrong) + len(right) == 1
        return bool(wrong)

    assert not is_wrong([1e3, 1e-3], [1e3, 0.0])  # 1e-6 of the largest element
    assert is_wrong([1.001e-7, 0.0], [1e-7, 0.0])  # a tiny gradient can be wrong, too
    assert is_wrong([1e-7], [0.0]) and not is_wrong([0.0], [0.0]) and not is_wrong(np.zeros(0), np.zeros(0))


def test_an_explanation_of_one_array_is_tested_if_another_array_has_none():
    projection = project(lambda a, b: a * b, X[0], X[1])
    projection.analytic = lambda weights=None: {"a": X[0], "b": X[0]}
    cases = {name: case_of(X[0], X[1], name, projection) for name in "ab"}
    cases["b"].add(1, "by chance", "")
    keep_what_holds_elsewhere(cases, projection, lambda *_: None)
    assert cases["b"].found == []


def test_another_point_has_other_values_other_weights_and_their_outputs():
    for n in (1, 2, 3):
        projection = project(lambda a: a * 2, X.ravel()[:n].copy())
        before, ((old,), (first,)) = projection.variables["a"].copy(), (projection.weights, projection.outputs)
        for seed in range(5):
            with other_point(projection, np.random.default_rng(seed)):
                a, (R,), (y,) = projection.variables["a"], projection.weights, projection.outputs
                for ratio in (a / before, *([R / old] if n > 1 else [])):
                    assert (ratio >= 0.7).all() and (ratio <= 1.4).all() and len(set(ratio)) == n and 1 not in ratio
                assert n > 1 or R == old  # one weight is a factor of the whole gradient
                np.testing.assert_array_equal(y, 2 * a)
        np.testing.assert_array_equal(projection.variables["a"], before)
        assert projection.weights[0] is old and projection.outputs[0] is first


def test_another_point_of_a_loss_and_of_outputs_without_weights():
    loss = project(lambda a: float((a**2).sum()), X)
    with other_point(loss, np.random.default_rng(0)):
        assert loss.weights == (1.0,)  # the gradient of the loss itself
    two = project(lambda a: (a * 2, np.argmax(a, axis=0)), X)
    with other_point(two, np.random.default_rng(0)):
        ((R, none),) = two.weights
        assert R.shape == X.shape and none is None


def test_another_point_leaves_nothing_saved_in_a_layer():
    projection = Projection(make_adapter(nn.Linear(2, 3).to(dtype=np.float64), (X,)), np.random.default_rng(0))
    with other_point(projection, np.random.default_rng(0)):
        assert projection.adapter.unused_saved() == []


def test_the_check_reports_no_mistake_that_explains_the_gradient_by_chance():
    def square(x):
        return x * x, x

    def backward(dy, x):
        return dy * x * x

    (entry,) = check_gradients((square, backward), np.array([3.0])).entries.values()  # also 1.5 times the gradient
    assert entry.verdict == "wrong" and not any(d.mistake == "scaled by a constant" for d in entry.diagnoses)
