"""Test the test of a hypothesis: f = <R, x w> has known gradients, and so has every changed forward."""

import numpy as np
import pytest
from wrong_gradients import case_of, entry_of, graph_of, new_tester

from nnscratch.gradcheck.diagnosis.directional_case import DirectionalCase
from nnscratch.gradcheck.diagnosis.hypotheses import Direction, Hypothesis, HypothesisTester, search_failed
from nnscratch.gradcheck.numerical import Derivative
from nnscratch.gradcheck.tape import change_path

X = np.array([[1.0, -2.0, 0.5], [0.3, 1.2, -0.7]])
W = np.array([[0.4, -1.1], [0.9, 0.2], [-0.6, 1.3]])


def product(x, w):
    return x @ w


def plus_bias(x, w, b):
    return x @ w + b


def gradients(graph):
    (R,) = graph.projection.weights
    found = {"x": R @ W.T, "w": X.T @ R, "b": R.sum(0)}
    return {name: found[name] for name in graph.projection.variables}


def scaled(number, j, c):
    return {number: change_path(j, lambda d: c * d)}


def with_factor(c, **options):
    return Hypothesis(1, "scaled", "", "", scaled(0, -1, c), **options)


def no_change(**options):
    return Hypothesis(1, "nothing", "", "", {}, **options)


# --- directions ------------------------------------------------------------------------------------------------------


def test_a_slope_matches_up_to_a_ten_thousandth_of_the_error():
    d = Direction({}, given=3.0, true=1.0)
    assert d.error == 2 and Direction({}, 1.0, 3.0).error == 2
    assert d.matches(3) and d.matches(3 + 1.9e-4) and d.matches(3 - 1.9e-4)
    assert not d.matches(3 + 2.1e-4) and not d.matches(3 - 2.1e-4) and not d.matches(np.nan)
    noisy = Direction({}, 3.0, 1.0, noise=0.5)
    assert noisy.matches(3.5) and not noisy.matches(3.51) and not noisy.matches(2.49)


def test_a_one_sided_difference_excludes_a_hypothesis_only_if_it_is_far_off():
    d = Direction({}, given=3.0, true=1.0, curvature=0.01)
    assert d.may_match(3.29) and d.may_match(2.71) and not d.may_match(3.305) and not d.may_match(2.695)
    assert Direction({}, 3.0, 1.0).may_match(99.0)  # the curvature is not known
    assert d.may_match(np.nan)  # the central difference decides


# --- the tester ------------------------------------------------------------------------------------------------------


def test_the_arrays_of_a_tester():
    with graph_of(plus_bias, X, W, np.ones(2)) as graph:
        true = gradients(graph)
        t = new_tester(graph, {"w": 2 * true["w"], "b": np.ones(5)}, true)
        assert t.wrong == ["w"] and t.elements == {"w": 6} and t.usable and not t.few
        assert set(t.joint[0].v) == {"w", "x"} and set(t.alone["w"][0].v) == {"w"}
        assert len(t.joint) == 3 == len(t.alone["w"])
        for d in t.joint + t.alone["w"]:
            wanted = sum((true[name] * v).sum() for name, v in d.v.items())
            assert d.true == pytest.approx(wanted) and d.given == pytest.approx(wanted + (true["w"] * d.v["w"]).sum())
            assert d.noise < 1e-8 * d.error and d.curvature < 1e-2
        assert all(d.curvature < 1e-8 for d in t.alone["w"])  # x is constant, so f is linear


def test_a_tester_without_an_array_of_the_right_shape_is_not_usable():
    with graph_of(product, X, W) as graph:
        true = gradients(graph)
        assert not new_tester(graph, {"w": np.ones(5)}, true).usable


def test_a_tester_is_not_usable_if_the_true_gradient_is_not_that_of_the_recorded_forward():
    with graph_of(product, X, W) as graph:
        true = gradients(graph)
        assert not new_tester(graph, {"w": 2 * true["w"]}, {"x": true["x"], "w": true["w"] + 0.1}).usable


def test_elements_without_a_known_gradient_do_not_move():
    with graph_of(product, X, W) as graph:
        true = gradients(graph)
        given, known = 2 * true["w"], true["w"].copy()
        known[1, 0] = np.nan
        case = case_of(given, known, "w", graph.projection)
        case.entry.low, case.entry.high = true["w"].copy(), true["w"].copy()
        case.entry.high[2, 1] += 1  # a kink
        t = HypothesisTester(graph.tape, {"w": case}, {"x": (true["x"], np.where(X > 1, np.nan, true["x"]))})
        for d in t.joint:
            assert d.v["w"][1, 0] == 0 == d.v["w"][2, 1] and d.v["x"][0, 0] != 0 and d.v["x"][1, 1] == 0
            assert np.count_nonzero(d.v["w"]) == 4
        assert t.usable


def test_along_no_direction_is_the_error_tiny():
    with graph_of(product, X, W) as graph:
        true, errors = gradients(graph), []
        for index in np.ndindex(3, 2):
            wrong = true["w"].copy()
            wrong[index] += 1.0  # the error is the value of the direction at this element
            t = new_tester(graph, {"w": wrong}, true)
            errors += [d.error / np.abs(d.v["w"]).max() for d in t.joint + t.alone["w"]]
    assert len(errors) == 36 and min(errors) > 0.2


def test_the_directions_of_a_large_array_are_the_measured_ones():
    with graph_of(product, X, W) as graph:
        true = gradients(graph)
        vs = [np.eye(3, 2, k) for k in (0, -1, 1)]
        derivatives = [(v, Derivative(s, 1e-12, s, s)) for v in vs for s in [float((true["w"] * v).sum())]]
        entry = entry_of([0.0] * 3, [0.0] * 3, "w", shape=W.shape)
        case = DirectionalCase(entry, graph.projection, 2 * true["w"], derivatives)
        t = HypothesisTester(graph.tape, {"w": case}, {"x": (true["x"], true["x"])})
        assert [d.v["w"].tolist() for d in t.alone["w"]] == [v.tolist() for v in vs]
        assert [d.given for d in t.alone["w"]] == pytest.approx([2 * d.true for d in t.alone["w"]])
        assert t.usable and t.explained_arrays(Hypothesis(1, "", "", "", scaled(0, 1, 2.0))) == ["w"]


def test_a_tester_is_usable_only_if_all_true_derivatives_are_those_of_forward():
    with graph_of(product, X, W) as graph:
        true = gradients(graph)
        for off, usable in ((0, True), (0.1, False)):
            t = new_tester(graph, {"x": 2 * true["x"], "w": 2 * true["w"]}, true | {"w": true["w"] + off})
            assert t.usable is usable
        assert new_tester(graph, {"w": 1e8 * true["w"]}, true).usable  # the noise is small beside this error


def test_a_step_is_made_smaller_where_f_is_curved():
    # f = sum R sin(99 w) / 99: with h = 1e-4 and directions of length sqrt(4), differences are wrong by about 1e-5
    w = np.array([0.1, 0.2, -0.3, 0.4])
    with graph_of(lambda w: np.sin(999 * w) / 999, w) as graph:
        (R,) = graph.projection.weights
        true = {"w": R * np.cos(999 * w)}
        t = new_tester(graph, {"w": 2 * true["w"]}, true)
        assert t.usable and t.h == 1e-5
        assert t.explained_arrays(Hypothesis(1, "", "", "", scaled(2, -1, 2.0))) == ["w"]


def test_a_step_is_made_still_smaller_where_f_is_curved_more():
    w = np.array([0.1, 0.2, -0.3, 0.4])
    with graph_of(lambda w: np.sin(9999 * w) / 9999, w) as graph:
        (R,) = graph.projection.weights
        true = {"w": R * np.cos(9999 * w)}
        t = new_tester(graph, {"w": 2 * true["w"]}, true)
        assert t.usable and t.h == 1e-6


def test_a_maximum_is_kept_constant_only_if_f_does_not_depend_on_it():
    def stable(x):
        m = x.max(axis=1, keepdims=True)
        return np.exp(x - m) / np.exp(x - m).sum(axis=1, keepdims=True)

    def largest(x):
        return x.max(axis=1, keepdims=True)

    with graph_of(stable, X) as graph:
        (R,) = graph.projection.weights
        y = stable(X)
        true = {"x": y * (R - (R * y).sum(1, keepdims=True))}
        graph.tape.skipped = set()  # rounding may hide that f does not depend on the maximum
        t = new_tester(graph, {"x": 2 * true["x"]}, true)
        ((number, _),) = t.fixed.items()
        assert graph.tape.nodes[number].name == "maximum.reduce"
        graph.tape.results = {}
        t.value_after({}, t.joint[0], None, 0.1)
        np.testing.assert_array_equal(graph.tape.results[number], graph.tape.nodes[number].result)  # it does not move
        graph.tape.results = None
        true["x"][0, 0] = np.nan  # an element that no direction moves
        assert new_tester(graph, {"x": 2 * y}, true).fixed.keys() == {number}
    for c in (1.0, 0.01):
        with graph_of(lambda x, c=c: x - c * largest(x), X) as graph:
            (R,) = graph.projection.weights
            true = {"x": R - c * R.sum(1, keepdims=True) * (X == X.max(1, keepdims=True))}
            assert new_tester(graph, {"x": 2 * true["x"]}, true).fixed == {}
            vs = [np.array([[0, 1.0, k], [1.0, 0, k]]) for k in (0, 1, 2)]  # the largest elements do not move
            vs[2][0, 0] = 1.0  # but along this direction, they do
            derivatives = [(v, Derivative(s, 1e-12, s, s)) for v in vs for s in [float((true["x"] * v).sum())]]
            entry = entry_of([0.0] * 6, [0.0] * 6, "x", shape=X.shape)
            case = DirectionalCase(entry, graph.projection, 2 * true["x"], derivatives)
            assert HypothesisTester(graph.tape, {"x": case}, {}).fixed == {}


# --- values of a changed forward -------------------------------------------------------------------------------------


def test_the_derivative_of_a_changed_forward():
    with graph_of(product, X, W) as graph:
        true = gradients(graph)
        t = new_tester(graph, {"w": 3 * true["w"], "x": 3 * true["x"]}, true)
        v = {"w": np.ones((3, 2)), "x": np.zeros((2, 3))}
        d = Direction(v, 3 * true["w"].sum(), true["w"].sum())
        assert t.slope({}, d) == pytest.approx(true["w"].sum()) == t.one_sided({}, d)
        assert (
            t.slope(scaled(0, -1, 3.0), d) == pytest.approx(3 * true["w"].sum()) == t.one_sided(scaled(0, -1, 3.0), d)
        )
        assert t.slope(scaled(0, 0, 3.0), d) == pytest.approx(true["w"].sum())  # operand 0 does not move
        R = graph.projection.weights
        assert t.slope({}, d, (2 * R[0],)) == pytest.approx(2 * true["w"].sum())
        assert graph.tape.changes == {} and graph.tape.weights is R
        np.testing.assert_array_equal(graph.projection.variables["w"], W)


def test_a_changed_forward_that_fails_has_no_value():
    def fails(node, operands):
        raise ZeroDivisionError

    with graph_of(product, X, W) as graph:
        true = gradients(graph)
        t = new_tester(graph, {"w": 3 * true["w"]}, true)
        assert np.isnan(t.slope({0: fails}, t.joint[0]))
        assert not t.fits(Hypothesis(1, "", "", "", {0: fails}), t.joint[0])
        assert t.gradient({0: fails}, "w") is None
        np.testing.assert_array_equal(graph.projection.variables["w"], W)
        assert graph.tape.changes == {}
        np.testing.assert_allclose(t.gradient(scaled(0, -1, 3.0), "w"), 3 * true["w"])


def test_an_overflow_in_a_changed_forward_is_no_error():
    def overflows(node, operands):
        return node.compute(*operands) + 1 / (1 + np.exp(1000 + 0 * node.result))

    with graph_of(product, X, W) as graph:
        t = new_tester(graph, {"w": 3 * gradients(graph)["w"]}, gradients(graph))
        assert t.value_after({0: overflows}, t.joint[0], None, 0.0) == pytest.approx(t.centre)


def test_a_hypothesis_fits_or_not():
    with graph_of(product, X, W) as graph:
        true = gradients(graph)
        t = new_tester(graph, {name: 3 * true[name] for name in ("x", "w")}, true)
        d = t.joint[0]
        assert t.fits(with_factor(3.0), d) and not t.fits(with_factor(3.01), d) and not t.fits(with_factor(-3.0), d)
        tripled = tuple(3 * w for w in graph.projection.weights)
        assert t.fits(no_change(weights=tripled), d) and not t.fits(no_change(), d)
        assert not t.fits(with_factor(3.0, weights=tripled), d)


def test_a_hypothesis_that_a_one_sided_difference_excludes_costs_one_forward_pass():
    with graph_of(product, X, W) as graph:
        true = gradients(graph)
        t = new_tester(graph, {"w": 3 * true["w"]}, true)

        def runs(h):
            before = graph.tape.runs
            t.fits(h, t.joint[0])
            return graph.tape.runs - before

        right = Hypothesis(1, "", "", "", scaled(0, 1, 3.0))
        assert runs(with_factor(-9.0)) == 1 and runs(right) == 2
        assert runs(no_change()) == 2 and runs(with_factor(-9.0, weights=graph.projection.weights)) == 2


def test_a_hypothesis_must_fit_along_every_direction():
    with graph_of(product, X, W) as graph:
        true = gradients(graph)
        t = new_tester(graph, {"x": 3 * true["x"], "w": 3 * true["w"]}, true)
        h, about_w = with_factor(3.0), Hypothesis(1, "", "", "", scaled(0, 1, 3.0), "w")
        assert t.explained_arrays(h) == ["x", "w"] and t.explained_arrays(about_w) == ["w"] and t.explains_alone(h, "w")
        t.joint[1].given += 1
        assert t.explained_arrays(h) == []
        t.alone["w"][2].given += 1
        assert t.explained_arrays(about_w) == [] and not t.explains_alone(h, "w")


def test_an_array_with_a_small_error_is_not_explained_by_the_errors_of_another_one():
    with graph_of(product, X, W) as graph:
        true = gradients(graph)
        t = new_tester(graph, {"x": 3 * true["x"], "w": (1 + 1e-6) * true["w"]}, true)
        assert t.usable and t.explained_arrays(Hypothesis(1, "", "", "", scaled(0, 0, 3.0))) == ["x"]


def test_an_array_is_tested_along_the_direction_with_its_largest_error():
    with graph_of(product, X, W) as graph:
        true = gradients(graph)
        t = new_tester(graph, {"x": 3 * true["x"], "w": 2 * true["w"]}, true)
        t.alone["w"][0].given, t.alone["w"][0].noise = t.alone["w"][0].true, 1e-6  # no error shows along this one
        t.joint = []
        assert t.explained_arrays(Hypothesis(1, "", "", "", scaled(0, 0, 3.0))) == ["x"]


def test_one_array_with_few_elements_makes_few():
    with graph_of(product, X, W) as graph:
        true, p = gradients(graph), graph.projection
        cases = {n: case_of(3 * true[n], true[n], n, p, few=n == "w") for n in ("x", "w")}
        assert HypothesisTester(graph.tape, cases, {}).few


def test_a_gradient_with_one_element_that_cannot_be_computed_is_unknown():
    with graph_of(product, X, W) as graph:
        t = new_tester(graph, {"w": 3 * gradients(graph)["w"]}, gradients(graph))
        half = {0: change_path(-1, lambda d: np.where(d != 0, np.nan, d) if abs(d[0, 0]) > 0.5e-4 else d)}
        assert t.gradient(half, "w") is None


# --- explained arrays ------------------------------------------------------------------------------------------------


def test_a_hypothesis_explains_arrays_only_if_it_fits_all_others():
    with graph_of(product, X, W) as graph:
        true = gradients(graph)
        both = new_tester(graph, {"x": 3 * true["x"], "w": 3 * true["w"]}, true)
        assert both.explained_arrays(with_factor(3.0)) == ["x", "w"]
        assert both.explained_arrays(with_factor(2.0)) == []
        one = new_tester(graph, {"w": 3 * true["w"]}, true)
        assert one.explained_arrays(with_factor(3.0)) == []  # the gradient of x would be wrong too
        assert one.explained_arrays(Hypothesis(1, "", "", "", scaled(0, 1, 3.0))) == ["w"]
        assert one.explained_arrays(Hypothesis(1, "", "", "", scaled(0, 0, 3.0))) == []
        assert one.explains_alone(with_factor(3.0), "w") and not one.explains_alone(with_factor(2.0), "w")


def test_a_hypothesis_about_one_array_is_tested_with_this_array_alone():
    with graph_of(product, X, W) as graph:
        true = gradients(graph)
        t = new_tester(graph, {"x": 5 * true["x"], "w": 3 * true["w"]}, true)
        h = Hypothesis(1, "", "", "", scaled(0, 1, 3.0), "w")
        assert t.explained_arrays(h) == ["w"]
        assert t.explained_arrays(Hypothesis(1, "", "", "", scaled(0, 1, 4.0), "w")) == []
        assert t.explained_arrays(Hypothesis(1, "", "", "", scaled(0, 1, 3.0), "b")) == []
        assert t.explained_arrays(Hypothesis(1, "", "", "", scaled(0, 1, 3.0))) == []


@pytest.mark.parametrize(
    "count, few, joint, alone", [(1, False, 0, 0), (2, False, 1, 0), (3, False, 1, 1), (1, True, 1, 1)]
)
def test_chance_may_explain_one_or_two_elements(count, few, joint, alone):
    with graph_of(lambda w: 1.0 * w, np.arange(1.0, 5)) as graph:
        (R,) = graph.projection.weights
        given = R.copy()
        given[:count] *= 3
        case = case_of(given, R, "w", graph.projection, few=few)
        t = HypothesisTester(graph.tape, {"w": case}, {})
        factor = np.where(np.arange(4) < count, 3.0, 1.0)
        for only in (None, "w"):
            h = Hypothesis(1, "", "", "", {0: change_path(-1, lambda d: factor * d)}, only)
            assert len(t.explained_arrays(h)) == joint and t.explains_alone(h, "w") == alone
        path = {0: change_path(-1, lambda d: np.where(factor == 3, 0, d))}
        for only in (None, "w"):
            found = t.path_factor(path, only)
            assert found == pytest.approx(3) if alone else found is None


# --- the factor of a path --------------------------------------------------------------------------------------------


def two_paths(x, w):
    return np.tanh(x @ w) + x @ w


def test_the_factor_of_a_path():
    with graph_of(two_paths, X, W) as graph:
        (R,) = graph.projection.weights
        through = X.T @ (R * (1 - np.tanh(X @ W) ** 2))
        true = {"w": through + X.T @ R, "x": (R * (1 - np.tanh(X @ W) ** 2)) @ W.T + R @ W.T}
        cut = scaled(1, -1, 0.0)

        def factor(c, only="w", cut=cut):
            return new_tester(graph, {"w": c * through + X.T @ R}, true).path_factor(cut, only)

        for c in (-1.0, 2.0, 0.5, 0.01):
            assert factor(c) == pytest.approx(c, rel=1e-4)
        assert factor(0.0) is None and factor(1e-4) is None  # another hypothesis tests this
        assert factor(3.0, only=None) is None  # x would be wrong too
        assert factor(3.0, only="b") is None
        assert factor(3.0, cut={}) is None  # it cuts nothing
        assert factor(3.0, cut=scaled(1, -1, np.nan)) is None
        assert factor(3.0, cut=scaled(2, -1, 0.0)) is None  # another path
        x = {"w": 3 * through + X.T @ R, "x": 3 * (R * (1 - np.tanh(X @ W) ** 2)) @ W.T + R @ W.T}
        assert new_tester(graph, x, true).path_factor(cut, None) == pytest.approx(3, rel=1e-4)


@pytest.mark.parametrize("directions, expected", [
    ([(2.0, 1.0, 0.0), (4.0, 2.0, 0.0)], 2),  # (given, true, noise); the derivative without the path is 0
    ([(2.0, 1.0, 0.0), (4.0003, 2.0, 0.0)], None), ([(2.0, 1.0, 0.0), (4.0001, 2.0, 0.0)], 2),
    ([(20.0, 10.0, 0.0), (40.0019, 20.0, 0.0)], 2), ([(20.0, 10.0, 0.0), (40.0021, 20.0, 0.0)], None),
    ([(2.0, 1.0, 0.0), (4.085, 2.0, 0.0095)], 2), ([(2.0, 1.0, 0.0), (4.086, 2.0, 0.0095)], None),
    ([(-2.0, 1.0, 0.0), (-4.085, 2.0, 0.0095)], -2),
    ([(2.0, 1.0, 0.0099), (4.0, 2.0, 0.0)], 2), ([(2.0, 1.0, 0.0101), (4.0, 2.0, 0.0)], None),
    ([(2.0, 1.0, 0.0), (4.0, 2.0, 0.0201)], None),
    ([(900.0, 1.0, 0.0), (1800.0, 2.0, 0.0)], 900), ([(1100.0, 1.0, 0.0), (2200.0, 2.0, 0.0)], None),
])  # fmt: skip
def test_the_factor_must_be_the_same_along_all_directions(directions, expected):
    with graph_of(product, X, W) as graph:
        t = new_tester(graph, {"w": 3 * gradients(graph)["w"]}, gradients(graph))
        t.alone["w"] = [Direction({}, *numbers) for numbers in directions]
        t.slope = lambda cut, d: 0.0
        assert t.path_factor({}, "w") == (None if expected is None else pytest.approx(expected))


def test_the_budget_counts_the_forward_passes_after_the_start():
    with graph_of(product, X, W) as graph:
        true = gradients(graph)
        t = new_tester(graph, {"w": 3 * true["w"]}, true)
        assert not t.budget_spent and graph.tape.cost > 0
        graph.tape.cost = 40_000_000
        graph.tape.runs += 2
        assert not t.budget_spent
        graph.tape.runs += 1
        assert t.budget_spent


def test_the_note_for_a_search_that_failed():
    note = search_failed("wrong_slopes", ValueError("no slope"))
    assert "wrong_slopes" in note and "ValueError: no slope" in note and "verdict is not affected" in note
