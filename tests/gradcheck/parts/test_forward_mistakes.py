"""Test the search for mistakes inside forward: the order of the hypotheses, and the tests of this file."""

import importlib
from types import SimpleNamespace

import numpy as np
import pytest
from wrong_gradients import case_of, graph_of, new_tester, project, ranked

from nnscratch.gradcheck.diagnosis.forward_mistakes import (
    add_path_factor,
    counted,
    explains,
    forward_mistakes,
    gradients_of_broadcast_uses,
    gradients_of_results,
    hypotheses,
    in_some_rounds,
    is_keep_probability,
    least_rank,
    missing_array_factors,
    mistakes_in_one_use,
    path_factors,
    try_hypotheses,
)
from nnscratch.gradcheck.diagnosis.hypotheses import Hypothesis
from nnscratch.gradcheck.diagnosis.movements import measure_movements
from nnscratch.gradcheck.diagnosis.other_points import central_differences
from nnscratch.gradcheck.report import GradientReport
from nnscratch.gradcheck.tape import change_path

module = importlib.import_module("nnscratch.gradcheck.diagnosis.forward_mistakes")
B = np.array([0.5, -1.0, 2.0])
X = np.array([[1.0, -2.0, 0.5], [0.3, 1.2, -0.7]])
W = np.array([[0.4, -1.1], [0.9, 0.2], [-0.6, 1.3]])


def net(x, w):
    return 2 * np.sin(x @ w)


def gradients(R, through=np.cos):
    g = 2 * R * through(X @ W)
    return {"x": g @ W.T, "w": X.T @ g}


# --- words and ranks -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "c, words",
    [(-1.0, "has the wrong sign"), (2.0, "is counted twice"), (3.0, "is counted 3 times"),
     (-2.0, "is counted -2 times"), (0.5, "is multiplied by 0.5"), (2.00001, "is counted twice"),
     (2.01, "is multiplied by 2.01"), (-1.001, "is multiplied by -1.001"), (0.12345, "is multiplied by 0.1235")],
)  # fmt: skip
def test_a_factor_in_words(c, words):
    assert counted(c) == words


def factor_case(c, variables=None, inputs=()):
    projection = SimpleNamespace(
        variables=variables or {"w": W},
        adapter=SimpleNamespace(input_names=[f"x{k}" for k in range(len(inputs))], inputs=inputs, source=None),
    )
    case = case_of(W, W, "w", projection)
    add_path_factor(case, c, "f.py:1: x @ w", "`x`")
    return case.found


@pytest.mark.parametrize(
    "c, rank, mistake",
    [(-1.0, 1.05, "sign flipped"), (-1.00005, 1.05, "sign flipped"), (2.0, 2.6, "counted twice"),
     (3.0, 6.2, "scaled by a constant"), (0.5, 6.2, "scaled by a constant"), (-1.001, 6.2, "scaled by a constant"),
     (1.001, 6.2, "scaled by a constant")],
)  # fmt: skip
def test_the_mistake_of_a_factor(c, rank, mistake):
    ((found_rank, found),) = factor_case(c)
    assert (found_rank, found.mistake, found.place) == (rank, mistake, "f.py:1: x @ w")
    assert found.evidence.startswith("the gradient through `x` ")


def test_a_factor_of_one_is_no_mistake():
    assert factor_case(1.0) == [] and factor_case(1.00005) == []


def test_a_count_of_numbers_cannot_be_a_size():
    numbers = {"a": np.float64(1.0) * np.ones(()), "b": np.ones(())}
    assert factor_case(3.0, numbers)[0][1].mistake == "counted twice"
    assert "is counted 3 times" in factor_case(3.0, numbers)[0][1].evidence
    assert [factor_case(c, numbers)[0][1].mistake for c in (9.0, 10.0)] == ["counted twice", "scaled by a constant"]
    assert factor_case(12.0, numbers)[0][1].mistake == "scaled by a constant" == factor_case(2.5, numbers)[0][1].mistake
    assert factor_case(3.0, {"a": np.ones(()), "w": W})[0][1].mistake == "scaled by a constant"


def test_the_origin_of_a_factor_is_named():
    assert "N = 5 is the length of axis 0 of x0" in factor_case(0.2, inputs=(np.ones((5, 3)),))[0][1].evidence
    assert factor_case(0.77)[0][1].evidence == "the gradient through `x` is multiplied by 0.77"


def test_the_least_rank_of_a_mistake_that_explains_all_arrays():
    a, b = case_of(W, W, "a"), case_of(W, W, "b")
    assert least_rank({"a": a, "b": b}) == np.inf == least_rank({})
    a.add(1.0, "first", "")
    a.add(3.0, "second", "")
    b.add(2.5, "second", "")
    assert least_rank({"a": a, "b": b}) == 3.0 and least_rank({"a": a}) == 1.0
    b.add(2.0, "second", "")
    a.add(2.7, "second", "")
    assert least_rank({"a": a, "b": b}) == 2.7
    b.add(4.0, "first", "")
    assert least_rank({"a": a, "b": b}) == 2.7
    b.add(1.5, "first", "")
    assert least_rank({"a": a, "b": b}) == 1.5


def test_the_arrays_that_a_hypothesis_explains_in_words():
    assert explains(Hypothesis(1, "", "", "", {}, "w")).startswith("this explains the gradient of this array (")
    assert explains(Hypothesis(1, "", "", "", {})).startswith("this explains the gradients of all arrays (")


# --- the search ------------------------------------------------------------------------------------------------------


def search(forward, inputs, change, right=()):
    """Run the whole search. ``change(R)`` returns the given and the true gradients."""
    p = project(forward, *inputs)
    (R,) = p.weights
    given, true = change(R)
    cases = {name: case_of(g, true[name], name, p) for name, g in given.items() if name not in right}
    report = GradientReport("f")
    forward_mistakes(cases, {name: (true[name], true[name]) for name in right}, report, p)
    return cases, report


def test_a_missing_derivative_is_found_with_the_line_of_forward():
    cases, report = search(net, (X, W), lambda R: (gradients(R, np.ones_like), gradients(R)))
    for case in cases.values():
        assert ranked(case)[0].startswith("activation's derivative") and "np.sin(x @ w)" in case.found[0][1].place
    assert report.notes == []


def test_a_forward_that_cannot_be_recorded_is_named_in_a_note():
    def forward(x, w):
        return np.sin((x @ w).astype(np.float32).astype(np.float64)) if False else net(x, w)

    p = project(forward, X, W)
    p.variables["w"] = p.variables["w"].astype(np.float32)
    report = GradientReport("f")
    open_case, explained = case_of(W, 2 * W, "w", p), case_of(W, 2 * W, "w", p)
    explained.add(1.0, "a mistake", "")
    forward_mistakes({"w": open_case}, {}, report, p)
    (note,) = report.notes
    assert note.startswith("the inside of forward was not searched for the mistake: ") and "float64" in note
    report = GradientReport("f")
    forward_mistakes({"w": explained}, {}, report, p)
    assert report.notes == []


def softmax_of(x, w):
    scores = x @ w
    e = np.exp(scores - scores.max(axis=1, keepdims=True))
    return e / e.sum(axis=1, keepdims=True)


def without_the_sum(R):
    """Return gradients of softmax without the path through the sum, but with the one through the maximum."""
    scores, y = X @ W, softmax_of(X, W)
    wrong, right = R * y, y * (R - (R * y).sum(1, keepdims=True))
    wrong = wrong - (scores == scores.max(1, keepdims=True)) * wrong.sum(1, keepdims=True)
    return {"x": wrong @ W.T, "w": X.T @ wrong}, {"x": right @ W.T, "w": X.T @ right}


@pytest.mark.parametrize("many", [1, 12])  # also if the operations that can be wrong are found first
def test_a_backward_may_differentiate_the_maximum_that_softmax_subtracts(monkeypatch, many):
    monkeypatch.setattr(module, "MANY_FAMILIES", many)
    cases, _ = search(softmax_of, (X, W), without_the_sum)
    for case in cases.values():
        best = min(case.found, key=lambda pair: pair[0])[1]
        assert best.mistake == "a path missing" and best.place.endswith("e / e.sum(axis=1, keepdims=True)")


def test_the_maximum_is_differentiated_also_if_one_array_is_already_explained():
    p = project(softmax_of, X, W)
    given, true = without_the_sum(p.weights[0])
    cases = {name: case_of(g, true[name], name, p) for name, g in given.items()}
    cases["x"].add(9.0, "a mistake", "")
    forward_mistakes(cases, {}, GradientReport("f"), p)
    assert ranked(cases["w"])[0] == "a path missing"


def test_a_maximum_whose_change_happens_to_be_exact_is_differentiated_too():
    """The tape leaves out a maximum if another value of it gives exactly the same softmax, in all digits."""
    for seed in range(20):
        scores = np.random.default_rng(seed).standard_normal((2, 3))

        def softmax(s):
            e = np.exp(s - s.max(axis=1, keepdims=True))
            return e / e.sum(axis=1, keepdims=True)

        with graph_of(softmax, scores) as graph:
            maxima = {n.number for n in graph.tape.nodes if n.name == "maximum.reduce"}
            if not maxima <= graph.tape.skipped:
                continue
            (R,) = graph.projection.weights
        y = softmax(scores)
        wrong = R * y - (scores == scores.max(1, keepdims=True)) * (R * y).sum(1, keepdims=True)
        p = project(softmax, scores)
        case = case_of(wrong, y * (R - (R * y).sum(1, keepdims=True)), "s", p)
        forward_mistakes({"s": case}, {}, GradientReport("f"), p)
        assert ranked(case)[0] == "a path missing"
        return
    raise AssertionError("no maximum was left out")


@pytest.mark.parametrize("forward, c, runs", [(softmax_of, 1.7, 2), (softmax_of, -1.0, 1), (net, 1.7, 1)])
def test_forward_is_searched_again_only_with_such_a_maximum_and_without_a_result(monkeypatch, forward, c, runs):
    searches, run = [], module.try_hypotheses
    monkeypatch.setattr(module, "try_hypotheses", lambda *a: (searches.append(a), run(*a)))
    p = project(forward, X, W)
    true = {name: central_differences(p, name) for name in ("x", "w")}
    search(forward, (X, W), lambda R: ({name: c * g + (c > 0) * np.sin(g) for name, g in true.items()}, true))
    assert len(searches) == runs


def test_a_gradient_of_another_shape_is_searched_too():
    cases, _ = search(net, (X, W), lambda R: ({"w": X, "x": gradients(R)["x"]}, gradients(R)), right=["x"])
    assert ranked(cases["w"])[0] == "upstream gradient missing"


def test_a_note_names_the_reason_if_one_of_two_arrays_is_not_explained():
    p = project(net, X, W)
    p.variables["w"] = p.variables["w"].astype(np.float32)
    report, cases = GradientReport("f"), {name: case_of(W, 2 * W, name, p) for name in ("a", "b")}
    cases["a"].add(1.0, "a mistake", "")
    forward_mistakes(cases, {}, report, p)
    assert len(report.notes) == 1


def one_kind(*found):
    def kind(graph):
        yield from found

    return kind


def broken_kind(graph):
    yield Hypothesis(1, "before the error", "", "")
    raise ZeroDivisionError("no slope")


def test_a_kind_that_fails_is_noted_and_the_next_kind_runs(monkeypatch):
    after = Hypothesis(2, "after the error", "", "")
    monkeypatch.setattr(module, "KINDS", (broken_kind, one_kind(after)))
    notes = []
    assert [h.mistake for h in hypotheses(None, notes)] == ["before the error", "after the error"]
    (note,) = notes
    assert "broken_kind" in note and "ZeroDivisionError: no slope" in note


def scaled(graph, c, rank=1.0, mistake="scaled", number=0, only=None):
    return Hypothesis(rank, mistake, "times c", "f.py:1", {number: change_path(-1, lambda d: c * d)}, only)


LATER = (
    "path_factors",
    "mistakes_in_one_use",
    "missing_array_factors",
    "wrong_uses",
    "gradient_errors",
    "used_gradients",
)


def searched_with(monkeypatch, kinds, c=3.0, forward=net, given=None, later=()):
    """Run `try_hypotheses` with other kinds and without the later searches."""
    with graph_of(forward, X, W) as graph:
        true = gradients(graph.projection.weights[0])
        given = {name: c * g for name, g in true.items()} if given is None else given(true)
        tester, notes = new_tester(graph, given, true), []
        monkeypatch.setattr(module, "KINDS", tuple(kind(graph) for kind in kinds))
        for name in LATER:
            replacement = dict(later).get(name, lambda *arguments: None)
            replacement.__name__ = name
            monkeypatch.setattr(module, name, replacement)
        try_hypotheses(tester.cases, graph, tester, notes)
        return tester.cases, notes, tester


def test_a_hypothesis_that_fits_is_added_to_all_arrays(monkeypatch):
    cases, notes, _ = searched_with(monkeypatch, [lambda graph: one_kind(scaled(graph, 3.0), scaled(graph, 4.0))])
    for case in cases.values():
        ((rank, found),) = case.found
        assert (rank, found.mistake, found.place) == (1.0, "scaled", "f.py:1")
        assert found.evidence == "times c; this explains the gradients of all arrays (tested along 3 random directions)"
    assert notes == []


def test_less_specific_mistakes_are_not_searched_with(monkeypatch):
    def kinds(graph):
        return one_kind(*(scaled(graph, 3.0, rank, f"rank {rank}") for rank in (2.0, 2.5, 2.6, 1.0, 2.1, 1.5)))

    cases, _, _ = searched_with(monkeypatch, [kinds])
    assert ranked(cases["w"]) == ["rank 1.0", "rank 1.5", "rank 2.0", "rank 2.5"]


def test_a_mistake_of_one_array_leaves_the_other_hypotheses(monkeypatch):
    def kinds(graph):
        return one_kind(scaled(graph, 3.0, 1.0, "of w", only="w"), scaled(graph, 3.0, 4.0, "of all"))

    cases, _, _ = searched_with(monkeypatch, [kinds])
    assert ranked(cases["w"]) == ["of w", "of all"] and ranked(cases["x"]) == ["of all"]
    assert "this explains the gradient of this array" in cases["w"].found[0][1].evidence


def test_two_mistakes_are_found_by_testing_each_array_alone(monkeypatch):
    def given(true):
        return {"x": 3 * true["x"], "w": -2 * true["w"]}

    def kind(graph):
        of_x = scaled(graph, -2.0, 1.2, "of x", only="x")
        return one_kind(scaled(graph, 3.0), scaled(graph, -2.0, 1.1, "flipped"), of_x)

    cases, _, _ = searched_with(monkeypatch, [kind], given=given)
    ((rank, found),) = cases["x"].found
    assert (rank, found.mistake, found.evidence) == (6.0, "scaled", "times c; only this array was tested")
    assert [(rank, d.mistake) for rank, d in cases["w"].found] == [(6.1, "flipped")]


def test_the_only_wrong_array_says_where_the_mistake_is(monkeypatch):
    def kind(graph):
        return one_kind(scaled(graph, 3.0))  # it would make the gradient of x wrong too

    cases, _, _ = searched_with(monkeypatch, [kind], given=lambda true: {"w": 3 * true["w"]})
    ((_, found),) = cases["w"].found
    assert found.evidence == (
        "times c; the other gradients are right, so the mistake is where backward computes this gradient"
    )


def test_two_wrong_arrays_beside_a_right_one_have_two_mistakes(monkeypatch):
    def forward(x, w, b):
        return np.sin(x @ w) + b

    def kind(graph):
        yield Hypothesis(1.0, "scaled", "times 3", "", {number: change_path(-1, lambda d: 3 * d)})

    with graph_of(forward, X, W, np.ones(2)) as graph:
        (number,) = [n.number for n in graph.nodes if n.name == "sin"]
        (R,) = graph.projection.weights
        g = R * np.cos(X @ W)
        true = {"x": g @ W.T, "w": X.T @ g, "b": R.sum(0)}
        tester = new_tester(graph, {"x": 3 * true["x"], "w": np.sin(true["w"])}, true)
        monkeypatch.setattr(module, "KINDS", (kind,))
        monkeypatch.setattr(module, "path_factors", lambda *arguments: None)  # it finds this mistake too
        try_hypotheses(tester.cases, graph, tester, [])
        assert [d.evidence for _, d in tester.cases["x"].found] == ["times 3; only this array was tested"]


def test_a_second_search_tests_all_operations_again():
    with graph_of(net, X, W) as graph:
        (R,) = graph.projection.weights
        tester = new_tester(graph, gradients(R, np.ones_like), gradients(R))
        graph.can_be_wrong = set()  # the first search left out all operations
        try_hypotheses(tester.cases, graph, tester, [])
        assert all(ranked(case)[0].startswith("activation's derivative") for case in tester.cases.values())


def test_an_explained_array_is_not_tested_alone(monkeypatch):
    cases, _, _ = searched_with(monkeypatch, [lambda graph: one_kind(scaled(graph, 3.0))])
    assert len(cases["w"].found) == 1


def test_no_hypothesis_is_tested_after_the_budget(monkeypatch):
    def kind(graph):
        graph.tape.cost = 10**12
        return one_kind(Hypothesis(1.0, "nothing", "", "", {}), scaled(graph, 3.0))  # the first one spends the budget

    cases, _, _ = searched_with(monkeypatch, [kind])
    assert cases["w"].found == []


def test_a_later_search_that_fails_is_noted_and_the_others_run(monkeypatch):
    ran = []

    def fails(*arguments):
        raise KeyError("k")

    later = {"path_factors": fails, "used_gradients": lambda *arguments: ran.append(True)}
    _, notes, _ = searched_with(monkeypatch, [], later=later.items())
    assert ran == [True] and len(notes) == 1 and "path_factors" in notes[0]


@pytest.mark.parametrize("c, count", [(3.0, 0), (2.0, 1)])
def test_some_rounds_are_tested_only_if_an_array_is_not_explained(monkeypatch, c, count):
    calls = []
    monkeypatch.setattr(module, "in_some_rounds", lambda *arguments: calls.append(arguments[1]))
    searched_with(monkeypatch, [lambda graph: one_kind(scaled(graph, c), scaled(graph, 3.0, only="w"))])
    assert len(calls) == count and all(len(tried) == 2 for tried in calls)


@pytest.mark.parametrize("c, runs", [(3.0, ["together"]), (2.0, ["together", "alone"])])
def test_other_edges_are_possible_if_each_array_is_tested_alone(monkeypatch, c, runs):
    with graph_of(net, X, W) as graph:
        true, possible = gradients(graph.projection.weights[0]), []

        def kind(graph):
            possible.append(graph.can_be_wrong)
            yield scaled(graph, c)

        tester = new_tester(graph, {name: 3 * g for name, g in true.items()}, true)
        tester.movements = measure_movements(graph, tester)
        monkeypatch.setattr(module, "edges_that_can_be_wrong", lambda *arguments: ("together", "alone"))
        monkeypatch.setattr(module, "KINDS", (kind,))
        for name in LATER:
            monkeypatch.setattr(module, name, scaled)  # this fails, and adds a note
        try_hypotheses(tester.cases, graph, tester, [])
        assert possible == runs


# --- some rounds of a loop -------------------------------------------------------------------------------------------


def in_rounds(wrong, mistake="scaled", only=None, count=3):
    """Return what is found if the derivative of sin is multiplied by 3 + k in each round k of `wrong`."""

    def forward(x, w):
        for _ in range(count):
            x = np.sin(x) * 1.5
        return x @ w

    with graph_of(forward, X, W) as graph:
        (R,) = graph.projection.weights
        slopes, x = [], X
        for k in range(count):
            slopes.append(1.5 * np.cos(x) * (3 + k if k in wrong else 1))
            x = np.sin(x) * 1.5
        given = {"x": (R @ W.T) * np.prod(slopes, 0)}
        true = {"x": given["x"] / np.prod([3.0 + k for k in wrong]), "w": x.T @ R}
        tester = new_tester(graph, given, true)
        numbers = [n.number for n in graph.nodes if n.name == "sin"]
        changes = {n: change_path(-1, lambda d, c=3 + k: c * d) for k, n in enumerate(numbers)}
        h = Hypothesis(2.0, mistake, "times 3", "f.py:1", changes, only)
        in_some_rounds(tester.cases, [h], graph, tester)
        return tester.cases["x"].found


def test_a_mistake_in_the_last_round_or_in_the_other_ones():
    for wrong, words in (((2,), "2"), ((0, 1), "0, 1"), ((1, 2), "1, 2"), ((1,), "1"), ((0,), "0")):
        ((rank, found),) = in_rounds(wrong)
        assert (rank, found.mistake, found.place) == (2.3, "scaled", "f.py:1")
        which = f"only in round {words} (of the rounds 0 to 2)"
        assert f"times 3, {which}; this explains the gradients of all arrays" in found.evidence
    assert in_rounds((0, 2)) == [] == in_rounds(())


def test_a_loop_of_two_rounds_is_tested_once_for_each_round():
    assert len(in_rounds((1,), count=2)) == 1 == len(in_rounds((0,), count=2))
    assert len(in_rounds((0,), "a path missing", "x", count=2)) == 1
    assert in_rounds((0,), count=1) == [] and len(in_rounds((0,), count=6)) == 1 and in_rounds((0,), count=7) == []


@pytest.mark.parametrize(
    "mistake, only, count",
    [("the state's own path missing", None, 0), ("accumulator not reset", None, 0), ("only the last round", None, 0),
     ("a path missing", "x", 0), ("a path missing", None, 1), ("scaled", "x", 1)],
)  # fmt: skip
def test_mistakes_that_already_name_their_rounds(mistake, only, count):
    assert len(in_rounds((0,), mistake, only)) == count


# --- factors of a path -----------------------------------------------------------------------------------------------


def test_the_factor_of_a_path_is_found_for_the_array_or_for_all():
    def forward(x, w):
        return np.sin(x @ w) + 3 * x[:, :2]

    with graph_of(forward, X, W) as graph:
        (R,) = graph.projection.weights
        g = R * np.cos(X @ W)
        direct = np.hstack([3 * R, np.zeros((2, 1))])
        true = {"x": g @ W.T + direct, "w": X.T @ g}
        tester = new_tester(graph, {"x": 2 * g @ W.T + direct, "w": 2 * X.T @ g}, true)
        path_factors(tester.cases, graph, tester)
        for case in tester.cases.values():
            assert "counted twice" in ranked(case)
        tester = new_tester(graph, {"x": g @ W.T - direct}, true)
        path_factors(tester.cases, graph, tester)
        assert set(ranked(tester.cases["x"])) == {"sign flipped"}
        graph.tape.cost = 10**12
        tester = new_tester(graph, {"x": g @ W.T - direct}, true)
        graph.tape.runs += 1
        path_factors(tester.cases, graph, tester)
        assert tester.cases["x"].found == []


def dropped(mask, order=1):
    def forward(x, w):
        kept = x * mask
        return (kept / 0.8 if order else 1.25 * kept) @ w + 0 * x[:, :2]

    return forward


@pytest.mark.parametrize("order", [0, 1])
def test_a_keep_probability_that_is_not_applied(order):
    mask = np.array([[1.0, 0.0, 1.0], [1.0, 1.0, 0.0]])
    with graph_of(dropped(mask, order), X, W) as graph:
        (R,) = graph.projection.weights
        true = {"x": R @ W.T * mask / 0.8, "w": (X * mask / 0.8).T @ R}
        tester = new_tester(graph, {"x": R @ W.T * mask}, true)
        path_factors(tester.cases, graph, tester)
        assert min(tester.cases["x"].found, key=lambda pair: pair[0])[0] == 1.2
        assert ranked(tester.cases["x"])[0] == "keep-probability not applied"
        (node,) = [n for n in graph.nodes if "kept" in n.operand_names]
        assert is_keep_probability(graph, node, 0.8) and is_keep_probability(graph, node, 1.25)
        assert not is_keep_probability(graph, node, 0.801) and not is_keep_probability(graph, node, 0.5)
        others = [n for n in graph.nodes if n is not node]
        assert not any(is_keep_probability(graph, n, 0.8) for n in others)


def test_a_mask_is_recognised_without_a_telling_name():
    def forward(x, w):
        drawn = (np.random.default_rng(1).random(x.shape) < 0.6) * 1.0
        return ((x * drawn) / 0.8) @ w

    with graph_of(forward, X, W) as graph:
        (node,) = [n for n in graph.nodes if n.name == "divide"]
        assert is_keep_probability(graph, node, 0.8)


def test_a_scale_of_values_without_a_mask_is_no_keep_probability():
    with graph_of(lambda x, w: (x * W.T[:, :3]) / 0.8 @ w, X, W) as graph:
        (node,) = [n for n in graph.nodes if n.name == "divide"]
        assert not is_keep_probability(graph, node, 0.8)
    pair, mask = np.array([[3.0, -2.0]]), np.array([[1.0, 0.0]])
    with graph_of(lambda x: np.sin((x * mask) / 0.5) / 0.8, pair) as graph:
        of_mask, of_sin = [n for n in graph.nodes if n.name == "divide"]
        assert is_keep_probability(graph, of_mask, 0.5) and not is_keep_probability(graph, of_sin, 0.8)
    with graph_of(lambda x: np.sin(x * mask + 0.5), pair) as graph:
        (add,) = [n for n in graph.nodes if n.name == "add"]
        assert not is_keep_probability(graph, add, 0.5)
    labels = (X > 0).astype(float)
    with graph_of(lambda x, w, y: (x * y) / 0.8 @ w, X, W, labels) as graph:
        (node,) = [n for n in graph.nodes if n.name == "divide"]
        assert not is_keep_probability(graph, node, 0.8)  # the mask is an input


# --- gradients of another shape --------------------------------------------------------------------------------------


def of_results(forward, given, name="w", inputs=(X, W)):
    with graph_of(forward, *inputs) as graph:
        (R,) = graph.projection.weights
        shape = graph.projection.variables[name].shape
        case = case_of(given(R), np.ones(shape), name, graph.projection)
        gradients_of_results({name: case}, graph)
        return [(rank, d.mistake, d.evidence, d.place) for rank, d in case.found]


def test_a_gradient_that_is_an_operand_or_a_result_lacks_the_incoming_gradient():
    ((rank, mistake, evidence, place),) = of_results(lambda x, w: np.sin(x @ w), lambda R: X)
    assert (rank, mistake, place) == (2.3, "upstream gradient missing", "w")
    assert evidence == "the given gradient is `x`: backward does not multiply it by the incoming gradient"
    ((_, _, evidence, _),) = of_results(lambda x, w: np.sin(x[: 2] @ w), lambda R: np.sin(X @ W))  # fmt: skip
    assert evidence.startswith("the given gradient is `np.sin(x[: 2] @ w)`:")
    found = of_results(lambda x, w: np.sin(x @ w), lambda R: X @ W)  # an operand and a result
    assert found and all(m == "upstream gradient missing" for _, m, _, _ in found)
    assert all(e.startswith("the given gradient is `x @ w`:") for _, _, e, _ in found)
    assert of_results(lambda x, w: np.sin(x @ w), lambda R: X + 1) == []


def test_a_transposed_operand():
    ((_, _, evidence, _),) = of_results(lambda x, w: (x @ w).sum(1), lambda R: X.T, "x")
    assert evidence.startswith("the given gradient is `x`, transposed:")


def test_a_gradient_of_a_result_lacks_the_last_factor():
    def forward(x, w):
        h = x @ w
        return np.sin(h)

    ((rank, mistake, evidence, place),) = of_results(forward, lambda R: R * np.cos(X @ W))
    assert (rank, mistake) == (2.4, "a factor missing") and place.endswith("x @ w")
    assert evidence == ("the given gradient is the gradient of `h`; backward does not multiply it by the derivative of "
                        "`h` with respect to w")  # fmt: skip
    assert of_results(forward, lambda R: 1.001 * R * np.cos(X @ W)) == []
    assert of_results(forward, lambda R: R * np.cos(X @ W) + [[1e-3, 0.0], [0.0, 0.0]]) == []


@pytest.mark.parametrize(
    "given",
    [np.ones((3, 2)), np.array([[np.nan, 1.0], [1.0, 1.0]]), np.ones(1), np.ones((7, 7))],
)
def test_gradients_of_results_need_another_shape_and_finite_numbers(given):
    assert of_results(lambda x, w: np.sin(x @ w), lambda R: given) == []


def test_a_gradient_of_a_result_is_compared_relative_to_its_size():
    def small(x, w):
        h = x @ w
        return 1e-4 * np.sin(h)

    assert len(of_results(small, lambda R: 1e-4 * R * np.cos(X @ W))) == 1
    assert of_results(small, lambda R: 1.01e-4 * R * np.cos(X @ W)) == []
    mask = np.array([[1.0, 0.0], [1.0, 1.0]])

    def masked(x, w):
        h = x @ w
        return mask * np.sin(h)

    assert len(of_results(masked, lambda R: R * mask * np.cos(X @ W))) == 1


def test_a_result_of_a_constant_and_an_array():
    def of_constant(w):
        h = X @ w
        return np.sin(h)

    ((_, mistake, _, _),) = of_results(of_constant, lambda R: R * np.cos(X @ W), inputs=(W,))
    assert mistake == "a factor missing"


def test_a_gradient_of_two_elements_is_compared_and_a_round_of_a_loop_is_not():
    two = np.array([[1.5], [-0.5]])

    def column(x, w):
        return np.sin(x @ w)

    assert of_results(column, lambda R: X @ W[:, :1], inputs=(X, W[:, :1])) != []
    assert of_results(lambda x, w: (x @ w).sum() * two, lambda R: two, "x") != []

    def loop(x, w):
        total = 0
        for _ in range(2):
            total = total + np.sin(x @ w)
        return total

    assert of_results(loop, lambda R: X) == [] == of_results(loop, lambda R: np.sin(X @ W))


def test_a_gradient_of_integers_and_one_with_an_infinite_element_are_left_alone():
    with graph_of(lambda x, w: np.sin(x @ w), X, W) as graph:
        for given in (np.arange(6).reshape(2, 3), np.array([[np.inf, 1.0], [2.0, 3.0]])):
            case = case_of(W, W, "w", graph.projection)
            case.entry.analytic = given
            gradients_of_results({"w": case}, graph)
            assert case.found == []


def test_a_sum_over_the_wrong_axis_is_reported_alone():
    def forward(x, b):
        return x + b

    ((_, mistake, evidence, _),) = of_results(forward, lambda R: R.sum(1), "b", (X, B))
    assert mistake == "summed over the wrong axis" and evidence.endswith("axis 1")

    def mean(x, b):
        return np.sin((x + b).mean(1))  # the gradient of the mean is the sum of the gradient of x + b over axis 1

    ((_, mistake, _, _),) = of_results(mean, lambda R: R * np.cos((X + B).mean(1)), "b", (X, B))
    assert mistake == "summed over the wrong axis"


def test_a_single_number_may_equal_a_number_of_forward_by_chance():
    assert of_results(lambda x, w: 0.25 * np.sin(x @ w), lambda R: np.array(0.25)) == []


def test_an_explained_gradient_of_another_shape_stays():
    with graph_of(net, X, W) as graph:
        case = case_of(X, np.ones(W.shape), "w", graph.projection)
        case.add(1.0, "a mistake", "")
        gradients_of_results({"w": case}, graph)
        assert ranked(case) == ["a mistake"]


def summed(forward, given, b, name="b"):
    with graph_of(forward, X, b) as graph:
        (R,) = graph.projection.weights
        case = case_of(given(R), np.ones(b.shape), name, graph.projection)
        gradients_of_broadcast_uses(case, graph)
        return [(rank, d.mistake, d.evidence) for rank, d in case.found]


def test_a_bias_whose_gradient_is_summed_over_the_wrong_axis():
    for sign, forward in ((1, lambda x, b: x + b), (1, lambda x, b: b + x), (-1, lambda x, b: x - b),
                          (1, lambda x, b: b - x)):  # fmt: skip
        ((rank, mistake, evidence),) = summed(forward, lambda R, s=sign: s * R.sum(1), B)
        assert (rank, mistake) == (0.65, "summed over the wrong axis")
        assert evidence.startswith(("in the backward of `x", "in the backward of `b"))
        assert evidence.endswith("summed over axis 1")
    assert summed(lambda x, b: x - b, lambda R: R.sum(1), B) == []
    ((_, _, evidence),) = summed(lambda x, b: x + b, lambda R: R.sum(), B)
    assert evidence.endswith("summed over all axes")
    assert summed(lambda x, b: x + b, lambda R: 1.001 * R.sum(1), B) == []
    assert summed(lambda x, b: x + b, lambda R: R.sum(1) + [0.0, 0.1], B) == []  # one of the elements differs
    ((_, _, evidence),) = summed(lambda x, b: x[: 2] + b, lambda R: R.sum(1), B)  # fmt: skip
    assert evidence.startswith("in the backward of `x[: 2] + b`,")
    assert summed(lambda x, b: 1e-9 * (x + b), lambda R: 1e-9 * R.sum(1) + 1e-11, B) == []
    assert len(summed(lambda x, b: 1e9 * (x + b), lambda R: 1e9 * R.sum(1) * (1 + 1e-7), B)) == 1


def test_a_scale_whose_gradient_is_summed_over_the_wrong_axis():
    for forward in (lambda x, b: x * b, lambda x, b: b * x):
        assert len(summed(forward, lambda R: (R * X).sum(1), B)) == 1
        assert summed(forward, lambda R: R.sum(1), B) == []
    assert summed(lambda x, b: x / b, lambda R: (R * X).sum(1), B) == []  # not one of the three operations


def test_a_sum_over_the_wrong_axis_may_contain_zeros():
    rows = np.array([[1.0], [0.0]])
    assert len(summed(lambda x, b: np.sin(x + b) * rows, lambda R: (R * np.cos(X + B) * rows).sum(1), B)) == 1


def test_a_bias_of_a_loop_is_summed_over_the_wrong_axis_in_all_rounds():
    def loop(x, b):
        for _ in range(2):
            x = np.sin(x + b)
        return x

    first = np.cos(X + B)
    second = np.cos(np.sin(X + B) + B)
    ((_, mistake, evidence),) = summed(loop, lambda R: (R * second * (1 + first)).sum(1), B)
    assert mistake == "summed over the wrong axis"
    assert evidence == "in the backward of `x + b`, the gradient of b is summed over axis 1"
    assert summed(loop, lambda R: (R * second * first).sum(1), B) == []  # only the first round

    def scale(x, b):
        for _ in range(2):
            x = np.sin(x * b)
        return x

    h = np.sin(X * B)
    of_h = np.cos(h * B)
    assert len(summed(scale, lambda R: (R * of_h * (h + B * np.cos(X * B) * X)).sum(1), B)) == 1


def test_a_loop_over_results_of_different_shapes():
    def loop(x, b):
        total = 0
        for rows in (2, 3):
            total = total + np.sin(x.reshape(rows, -1) + b).sum()
        return total * np.ones(2)

    assert summed(loop, lambda R: np.cos(X + 1).sum(1) * R.sum(), np.ones(1)) == []


def test_a_long_search_for_a_wrong_axis_is_left_out():
    def loop(x, b):
        for _ in range(2):
            x = x + b
        return x

    with graph_of(loop, np.ones((20, 15)), np.ones(15)) as graph:
        (R,) = graph.projection.weights
        case = case_of(2 * R.sum(1), np.ones(15), "b", graph.projection)
        gradients_of_broadcast_uses(case, graph)
        assert case.found == []  # 600 elements would take 1200 forward passes


def test_a_bias_of_the_shape_of_the_result_is_not_summed():
    assert summed(lambda x, b: x + b, lambda R: R.sum(1), np.ones((2, 3))) == []
    assert summed(lambda x, b: x[:1] + b, lambda R: R.ravel(), np.ones(1)) == []  # it is not summed at all


# --- factors and uses ------------------------------------------------------------------------------------------------


def test_an_array_of_forward_that_backward_does_not_multiply_or_divide_by():
    c = np.array([2.0, 5.0])

    def forward(x, w):
        return (x @ w) * c

    def found(change, name="w"):
        with graph_of(forward, X, W) as graph:
            (R,) = graph.projection.weights
            true = {"w": X.T @ (R * c), "x": (R * c) @ W.T}
            tester = new_tester(graph, {name: change(true[name])}, true)
            missing_array_factors(tester.cases, graph, tester)
            return [(rank, d.mistake, d.evidence.split(";")[0]) for rank, d in tester.cases[name].found]

    too_many = "given = true * `c`: the factor `c` does not belong in this gradient"  # forward divides by nothing
    assert found(lambda g: g * c) == [(2.6, "a factor too many", too_many)]
    assert found(lambda g: g / c) == [
        (2.5, "a factor missing", "given = true / `c`: backward does not multiply by `c`")
    ]
    assert found(lambda g: g * (c + 0.1)) == [] and found(lambda g: g * W) != []

    def quotient(x, w):
        return (x @ w) / c

    with graph_of(quotient, X, W) as graph:
        (R,) = graph.projection.weights
        true = {"w": X.T @ (R / c), "x": (R / c) @ W.T}
        tester = new_tester(graph, {"w": true["w"] * c}, true)
        missing_array_factors(tester.cases, graph, tester)
        ((rank, diagnosis),) = tester.cases["w"].found
        assert (rank, diagnosis.mistake) == (2.5, "a factor missing")
        assert diagnosis.evidence.startswith("given = true * `c`: backward does not divide by `c`")
    assert found(lambda g: g + np.eye(3, 2)) == []


def test_few_wrong_elements_explained_arrays_and_zeros_are_no_reason_for_a_factor():
    def found(c, shape=(3, 2), explained=False):
        def forward(w):
            return w * np.where(np.arange(w.size).reshape(w.shape) >= 0, c, 0)

        w = np.arange(1.0, 1 + np.prod(shape)).reshape(shape)
        with graph_of(forward, w) as graph:
            (R,) = graph.projection.weights
            tester = new_tester(graph, {"w": R.copy()}, {"w": R * c})
            if explained:
                tester.cases["w"].add(1.0, "a mistake", "")
            missing_array_factors(tester.cases, graph, tester)
            return list(dict.fromkeys(ranked(tester.cases["w"])))

    c = np.array([2.0, 5.0])
    assert found(c) == ["a factor missing"] and found(c, explained=True) == ["a mistake"]
    assert found(np.array([2.0, 0.0]), shape=(4, 2)) == []  # another search tests masks
    assert found(c, shape=(2, 2)) == ["a factor missing"] and found(c, shape=(1, 2)) == []
    assert found(np.array([2.0, 1.0]), shape=(3, 2)) == [] and found(np.array([2.0, 1.0]), shape=(4, 2)) != []


def test_one_use_of_an_array_is_transposed_or_shifted():
    square = np.array([[0.4, -1.1, 0.3], [0.9, 0.2, -0.5], [-0.6, 1.3, 0.8]])

    def forward(x, w):
        return np.sin(x @ w) + np.cos(x) @ w

    with graph_of(forward, X, square) as graph:
        (R,) = graph.projection.weights
        one, two = X.T @ (R * np.cos(X @ square)), np.cos(X).T @ R
        true = {"w": one + two, "x": (R * np.cos(X @ square)) @ square.T - np.sin(X) * (R @ square.T)}

        def found(given, cost=None):
            tester = new_tester(graph, {"w": given}, true)
            if cost:
                graph.tape.cost = cost
                graph.tape.runs += 1
            mistakes_in_one_use(tester.cases, graph, tester)
            return {(d.mistake, d.place.split(": ")[-1]) for _, d in tester.cases["w"].found}

        tester = new_tester(graph, {"w": one.T + two}, true)
        mistakes_in_one_use(tester.cases, graph, tester)
        assert [(rank, d.mistake) for rank, d in tester.cases["w"].found] == [(3, "transposed")]
        assert ("transposed", "x @ w") in found(one.T + two) and ("transposed", "np.cos(x) @ w") in found(one + two.T)
        assert found(one + 0.5 * two) == set()
        unknown = true["w"].copy()
        unknown[0, 0] = np.nan
        tester = new_tester(graph, {"w": one.T + two}, true | {"w": unknown})
        mistakes_in_one_use(tester.cases, graph, tester)
        assert tester.cases["w"].found == []  # a part of the true gradient is unknown
        tester = new_tester(graph, {"w": one.T + two}, true)
        tester.cases["w"].add(1.0, "a mistake", "")
        mistakes_in_one_use(tester.cases, graph, tester)
        assert ranked(tester.cases["w"]) == ["a mistake"]
        assert found(one.T + two, cost=10**12) == set()


def test_one_use_of_an_array_that_forward_refuses_to_move():
    counts = np.array([[0.0, 1.1], [0.9, 0.2]])

    def forward(w):
        if (w < 0).any():
            raise ValueError("w contains counts")
        return np.sin(w) + np.cos(w) * 3

    with graph_of(forward, counts) as graph:
        (R,) = graph.projection.weights
        one, two = R * np.cos(counts), -3 * R * np.sin(counts)
        tester = new_tester(graph, {"w": one.T + two}, {"w": one + two})
        mistakes_in_one_use(tester.cases, graph, tester)
        assert tester.cases["w"].found == []


def test_one_use_alone_is_not_searched_with():
    square = np.array([[0.4, -1.1, 0.3], [0.9, 0.2, -0.5], [-0.6, 1.3, 0.8]])
    with graph_of(lambda x, w: np.sin(x @ w), X, square) as graph:
        (R,) = graph.projection.weights
        g = X.T @ (R * np.cos(X @ square))
        tester = new_tester(graph, {"w": g.T.copy()}, {"w": g, "x": (R * np.cos(X @ square)) @ square.T})
        mistakes_in_one_use(tester.cases, graph, tester)
        assert tester.cases["w"].found == []


def test_the_movements_are_measured_first_if_there_are_many_operations(monkeypatch):
    measured = []
    monkeypatch.setattr(module, "measure_movements", lambda *arguments: measured.append(arguments))

    def forward(x, w):
        h = np.sin(x @ w) * 2 + 1  # 4 operations
        h = np.cos(h) * 2 - 1
        h = np.tanh(h) / 2 + 3
        return np.exp(h)

    p = project(forward, X, W)
    true = {name: central_differences(p, name) for name in ("x", "w")}
    for many, count in ((11, 1), (12, 0)):
        monkeypatch.setattr(module, "MANY_FAMILIES", many)
        monkeypatch.setattr(module, "KINDS", ())
        search(forward, (X, W), lambda R: ({name: 3 * g for name, g in true.items()}, true))
        assert len(measured) == count
        measured.clear()
