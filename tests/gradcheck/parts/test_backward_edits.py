"""Test the search for the one expression of backward whose change makes the gradients right."""

import importlib

import numpy as np
import pytest
from wrong_gradients import case_of, ranked

from nnscratch.gradcheck.adapters import make_adapter
from nnscratch.gradcheck.diagnosis.backward_edits import (
    backward_edits,
    holds_elsewhere,
    may_be_wrong,
    unchanged,
)
from nnscratch.gradcheck.diagnosis.changed_functions import Runs, functions_of_backward
from nnscratch.gradcheck.diagnosis.edits import edits_of
from nnscratch.gradcheck.projection import Projection

searches = importlib.import_module("nnscratch.gradcheck.diagnosis.backward_edits")
X = np.array([[1.0, -2.0, 0.5], [0.3, 1.2, -0.7]])
W = np.array([[2.0, 3.0, 4.0], [0.5, -1.5, 2.5]])


def forward(x, w):
    return np.sin(x) * w, (x, w)


def sign_of_x(dy, cache):
    x, w = cache
    dx = dy * np.cos(x) * w
    return -dx, dy * np.sin(x)


def both_signs(dy, cache):
    x, w = cache
    dy = -dy
    return dy * np.cos(x) * w, dy * np.sin(x)


def two_mistakes(dy, cache):
    x, w = cache
    dx = dy * np.cos(w) * w
    dw = dy * np.cos(x)
    return dx, dw + w


def two_separate_mistakes(dy, cache):
    x, w = cache
    dx = dy * np.cos(w) * w
    dw = dy * np.sin(w)
    return dx, dw


def shared(dy, cache):
    x, w = cache
    d = 2 * dy
    return d * np.cos(x) * w, d * np.sin(x) / 2


def sign_twice(dy, cache):
    x, w = cache
    dy = -dy
    return dy * np.cos(x) * w, -dy * np.sin(x)


def right_part(dy, x):
    a = dy * np.sin(x)
    return 2 * a - a, x + a  # a statement with several values is changed, although the gradients are right


def in_two_functions(dy, cache):
    x, w = cache
    dw, _ = right_part(dy, x)
    return -dy * np.cos(x) * w, dw


def slightly_wrong(dy, cache):
    x, w = cache
    return 1.01 * dy * np.cos(x) * w, dy * np.sin(x)


def one_element_wrong(dy, cache):
    x, w = cache
    dx = dy * np.cos(x) * w
    dx[0, 0] *= 1.01
    return dx, dy * np.sin(x)


def project(backward, inputs=(X, W)):
    return Projection(make_adapter((forward, backward), tuple(a.copy() for a in inputs)), np.random.default_rng(0))


def truth(projection):
    (r,), x, w = projection.weights, projection.variables["x"], projection.variables["w"]
    return {"x": r * np.cos(x) * w, "w": r * np.sin(x)}


def cases_of(projection, wrong, few=False):
    given, true = projection.analytic(), truth(projection)
    return {n: case_of(given[n], true[n], n, projection, few) for n in wrong}, given


def searched(backward, wrong, few=False, inputs=(X, W)):
    """Return {name: diagnoses} after a search for the arrays in ``wrong``."""
    projection = project(backward, inputs)
    cases, given = cases_of(projection, wrong, few)
    backward_edits(cases, projection, given)
    for name, array in zip("xw", inputs, strict=True):
        np.testing.assert_array_equal(projection.variables[name], array)
    return {name: [d for _, d in case.found] for name, case in cases.items()}


def test_the_wrong_expression_is_named():
    ((found,),) = searched(sign_of_x, "x").values()
    assert found.mistake == "sign flipped" and "`dy * np.cos(x) * w`" in found.evidence
    line = sign_of_x.__code__.co_firstlineno + 2
    assert found.place == f"test_backward_edits.py:{line}: dx = dy * np.cos(x) * w"


def test_one_change_may_explain_several_arrays():
    found = searched(both_signs, "xw")
    assert [d.mistake for d in found["x"]] == [d.mistake for d in found["w"]] == ["sign flipped"]
    assert found["x"][0].place == found["w"][0].place


def test_each_array_may_have_its_own_mistake():
    found = searched(two_separate_mistakes, "xw")
    assert [d.mistake for d in found["x"]] == [d.mistake for d in found["w"]] == ["the wrong array used"]
    assert found["x"][0].place != found["w"][0].place


def test_an_array_that_no_change_makes_right_is_not_explained():
    found = searched(two_mistakes, "xw")
    assert [d.mistake for d in found["x"]] == ["the wrong array used"] and found["w"] == []


def test_a_change_must_leave_the_right_gradients_unchanged():
    ((found,),) = searched(shared, "x").values()
    assert "`d = 2 * dy`" not in found.evidence and "return" in found.place


def test_a_change_that_makes_another_gradient_wrong_is_no_explanation():
    ((found,),) = searched(sign_twice, "x").values()
    assert "return" in found.place  # not `dy = -dy`, because then the gradient of w would be wrong


def test_only_unexplained_arrays_of_the_right_shape_are_searched():
    projection = project(both_signs)
    cases, given = cases_of(projection, "xw")
    cases["x"].add(1, "known", "")
    backward_edits(cases, projection, given)
    assert ranked(cases["x"]) == ["known"] and ranked(cases["w"]) == ["sign flipped"]
    cases, given = cases_of(projection, "xw")
    cases["x"].entry.analytic = cases["x"].entry.analytic[:1]
    cases["w"].usable = False
    backward_edits(cases, projection, given)
    assert ranked(cases["x"]) == ranked(cases["w"]) == []


class Busy:
    """A lock that another thread holds."""

    def acquire(self, blocking=True):
        assert not blocking, "the search waits for the other thread"
        return False


def test_of_two_searches_at_once_one_finds_nothing(monkeypatch):
    assert searched(sign_of_x, "x")["x"] and not searches.searching.locked()
    monkeypatch.setattr(searches, "searching", Busy())
    assert searched(sign_of_x, "x") == {"x": []}


def test_arrays_in_single_precision_are_not_searched():
    assert searched(sign_of_x, "x", inputs=(X.astype("f"), W.astype("f"))) == {"x": []}


@pytest.mark.parametrize("limit", ["MAX_EDITS", "BUDGET"])
def test_the_search_ends_at_its_limit(limit, monkeypatch):
    monkeypatch.setattr(searches, limit, 0)
    assert searched(sign_of_x, "x") == {"x": []}


def doubled(dy):
    twice = dy + dy
    return twice


def with_an_unused_function(dy, cache):
    x, w = cache
    dx = dy * np.cos(x) * w
    return -dx, dy * np.sin(x) if dy is not None else doubled(dy)


def with_a_used_function(dy, cache):
    x, w = cache
    dx = doubled(dy) * np.cos(x) * w / 2
    return -dx, dy * np.sin(x)


def with_a_new_function(dy, cache):
    x, w = cache

    def turned(d):  # each call of backward creates a new function, so a change of an old one has no effect
        minus = -d
        return minus

    return turned(dy) * np.cos(x) * w, dy * np.sin(x)


def test_a_function_that_does_not_run_is_not_searched(monkeypatch):
    monkeypatch.setattr(searches, "may_be_wrong", lambda *arguments: False)  # no statement can be wrong
    names = []
    monkeypatch.setattr(searches, "edits_of", lambda d, v: names.append(d.name) or edits_of(d, v))
    assert searched(with_an_unused_function, "x") == {"x": []} and names == ["with_an_unused_function"]
    assert searched(with_a_used_function, "x") == {"x": []} and set(names[1:]) == {"with_a_used_function", "doubled"}
    names.clear()
    assert searched(with_a_new_function, "x") == {"x": []} and names == ["with_a_new_function"]


def several_in_one_statement(dy, cache):
    x, w = cache
    dx, dw = -dy * np.stack([np.cos(x) * w, -np.sin(x)])
    return dx, dw


def test_a_change_must_leave_the_right_gradients_unchanged_also_in_one_statement():
    ((found,),) = searched(several_in_one_statement, "x").values()
    assert found.place.endswith("return (dx, dw)")  # not `-dy`: the gradient of w is right


def test_a_large_forward_leaves_fewer_changes(monkeypatch):
    monkeypatch.setattr(searches, "BUDGET", 1000)  # a forward counts as about 600
    assert searched(sign_of_x, "x") == {"x": []}


def test_the_limit_holds_for_all_functions_together(monkeypatch):
    assert searched(in_two_functions, "x")["x"][0].mistake == "sign flipped"
    monkeypatch.setattr(searches, "MAX_EDITS", 30)  # the first function uses them up
    assert searched(in_two_functions, "x") == {"x": []}


def test_a_rank_after_those_of_all_other_searches():
    projection = project(sign_of_x)
    cases, given = cases_of(projection, "x")
    backward_edits(cases, projection, given)
    assert cases["x"].found[0][0] >= searches.RANK


# --- few elements ----------------------------------------------------------------------------------------------------


def square_of_x(dy, cache):
    x, w = cache
    return dy * np.cos(w) * w, dy * np.sin(x)


def test_a_change_that_is_right_at_one_point_only():
    # At these inputs x + 1 equals w, so `w - 1` is right here, and wrong at all other points.
    x = np.array([0.4, 0.9])
    for few, count in ((False, 2), (True, 1)):
        (found,) = searched(square_of_x, "x", few, inputs=(x, np.array([0.4, 0.9]) * 1.0 + 0.5)).values()
        assert len(found) <= count and found[0].mistake == "the wrong array used"


def square_of_w(dy, cache):
    x, w = cache
    return dy * np.cos(w) * w**2, dy * np.sin(x)


def test_a_change_of_few_elements_must_be_right_at_the_other_point():
    inputs = (np.array([0.4, 0.9]), np.ones(2))  # w**2 equals w here only
    assert searched(square_of_w, "x", few=True, inputs=inputs) == {"x": []}
    ((found,),) = searched(square_of_w, "x", few=False, inputs=inputs).values()
    assert "`w` is the wrong variable" in found.evidence


def test_the_gradients_are_tested_at_another_point():
    projection = project(square_of_x)
    functions = functions_of_backward(projection)
    runs, (f,) = Runs(projection, functions), functions
    for name, right in (("w", True), ("x", False)):
        assert holds_elsewhere(runs, f, f.function.__code__, [name]) is right
    assert not holds_elsewhere(runs, f, f.function.__code__, ["w", "x"])
    assert not holds_elsewhere(runs, f, None, ["w"])  # there are no gradients
    np.testing.assert_array_equal(projection.variables["x"], X)


@pytest.mark.parametrize("backward", [slightly_wrong, one_element_wrong])
def test_every_element_must_be_right_at_the_other_point(backward):
    w = W.copy()
    w[1, 1] = 0  # so one element of the gradient of x is 0
    projection = project(backward, (X, w))
    (f,) = functions = functions_of_backward(projection)
    runs = Runs(projection, functions)
    assert not holds_elsewhere(runs, f, f.function.__code__, ["x"])
    projection = project(square_of_x, (X, w))
    (f,) = functions = functions_of_backward(projection)
    assert holds_elsewhere(Runs(projection, functions), f, f.function.__code__, ["w"])


MASK = np.array([[1e-3, 0.0, 1e-3], [1e-3, 1e-3, 0.0]])


def masked(x, w):
    return np.sin(x) * w * MASK, (x, w)


@pytest.mark.parametrize("error", [0, 1e-3])
def test_the_gradients_at_the_other_point_may_be_small_and_contain_zeros(error):
    def backward(dy, cache):
        x, w = cache
        return dy * MASK * np.cos(x) * w * (1 + error), dy * MASK * np.sin(x)

    projection = Projection(make_adapter((masked, backward), (X.copy(), W.copy())), np.random.default_rng(0))
    (f,) = functions = functions_of_backward(projection)
    assert holds_elsewhere(Runs(projection, functions), f, f.function.__code__, ["w", "x"]) is (error == 0)


def test_an_unchanged_gradient():
    assert unchanged(X, X) and unchanged(X, X * (1 + 1e-8)) and not unchanged(X, X * (1 + 1e-6))
    assert unchanged(np.zeros(2), np.full(2, 1e-13)) and not unchanged(np.zeros(2), np.full(2, 1e-11))
    assert not unchanged(X, X[:1]) and not unchanged(X, X.T)


def loss_and_gradient(x):
    c = 2.0
    loss = np.sum(c * np.sin(x))
    dx = c * np.cos(x) / 2
    return loss, dx


def test_a_change_must_not_change_the_loss():
    projection = Projection(make_adapter(loss_and_gradient, (X.copy(),)), np.random.default_rng(0))
    given = projection.analytic()
    cases = {"x": case_of(given["x"], 2 * np.cos(X), "x", projection, False)}
    backward_edits(cases, projection, given)
    (found,) = [d for _, d in cases["x"].found]
    assert found.place.endswith(": dx = c * np.cos(x) / 2")  # not c = 4.0, which would make the gradient right too
    (f,) = functions_of_backward(projection)
    runs, seen = Runs(projection, [f]), {}
    for edit in edits_of(f.definition, f.variables):
        with edit:
            code = f.compiled()
        seen.setdefault(edit.statement, set()).add(runs.keeps_outputs(f.function, code))
    assert seen["c = 2.0"] == {False} and False in seen["loss = np.sum(c * np.sin(x))"]
    assert True in seen["dx = c * np.cos(x) / 2"]


def test_no_change_is_an_explanation_if_all_of_them_change_the_loss(monkeypatch):
    projection = Projection(make_adapter(loss_and_gradient, (X.copy(),)), np.random.default_rng(0))
    given = projection.analytic()
    monkeypatch.setattr(searches, "edits_of", lambda d, v: [e for e in edits_of(d, v) if e.statement == "c = 2.0"])
    for keeps, mistakes in ((True, []), (False, ["a number wrong"])):
        if not keeps:
            monkeypatch.setattr(Runs, "keeps_outputs", lambda *arguments: True)
        cases = {"x": case_of(given["x"], 2 * np.cos(X), "x", projection, False)}
        backward_edits(cases, projection, given)
        assert ranked(cases["x"]) == mistakes


def several_statements(dy, cache):
    x, w = cache
    unused = dy * 3  # noqa: F841
    both = dy * 1.5
    dx = both * np.cos(w) * w
    dw = both / 1.5 * np.sin(x)
    first, second = np.stack([dx, dw])
    return first, second


def test_a_statement_that_cannot_contain_the_mistake_is_not_changed():
    projection = project(several_statements)
    given = projection.analytic()
    assert not np.allclose(given["x"], truth(projection)["x"]) and np.allclose(given["w"], truth(projection)["w"])
    (f,) = functions_of_backward(projection)
    runs, edits = Runs(projection, [f]), edits_of(f.definition, f.variables)
    wrong, right = {"x": given["x"]}, {"w": given["w"]}
    useful = {e.statement: may_be_wrong(runs, f, edits, e, wrong, right) for e in edits}
    assert useful == {
        "x, w = cache": True,  # the value cannot be doubled
        "unused = dy * 3": False,
        "both = dy * 1.5": False,  # the right gradient would change too
        "dx = both * np.cos(w) * w": True,
        "dw = both / 1.5 * np.sin(x)": False,
        "first, second = np.stack([dx, dw])": True,  # several arrays
        "return (first, second)": True,
    }
    several = {statement for statement in useful if may_be_wrong(runs, f, edits, of(edits, statement), given, {})}
    assert several == set(useful) - {"unused = dy * 3"}


def only_the_sign(dy, cache):
    x, w = cache
    e = x - w
    s = x * x + 5.0
    k = np.cos(x)
    return dy * np.sign(e) * np.sign(s) * np.sign(k**2), dy * np.sin(x)


def test_a_statement_may_be_wrong_if_backward_uses_only_its_sign():
    projection = project(only_the_sign)
    given = projection.analytic()
    (f,) = functions_of_backward(projection)
    runs, edits = Runs(projection, [f]), edits_of(f.definition, f.variables)
    tried = [of(edits, statement) for statement in ("e = x - w", "s = x * x + 5.0", "k = np.cos(x)")]
    wrong, right = {"x": given["x"]}, {"w": given["w"]}
    assert [may_be_wrong(runs, f, edits, e, wrong, right) for e in tried] == [True, True, False]


def test_the_tests_of_statements_count_towards_the_limit(monkeypatch):
    tested = []
    monkeypatch.setattr(searches, "may_be_wrong", lambda *arguments: tested.append(arguments[3].statement))
    monkeypatch.setattr(searches, "MAX_EDITS", 3)
    searched(several_statements, "x")
    assert len(tested) == len(set(tested)) == 3


def of(edits, statement):
    return next(e for e in edits if e.statement == statement)
