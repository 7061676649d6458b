"""Test how often backward counts each use of an array: the gradient of each use is known."""

import numpy as np
import pytest
from wrong_gradients import graph_of, new_tester

from nnscratch.gradcheck.diagnosis.wrong_uses import cut, fitting_counts, measure_use, misplaced, wrong_uses

X = np.array([[1.0, -2.0], [0.3, 1.2], [0.9, 0.4]])
W = np.array([[0.4, -1.1], [0.9, 0.2]])


def three(w):
    return X @ w + np.tanh(w)[:1] + (w * w)[1:]


def parts(R):
    tanh, square = 0 * W, 0 * W
    tanh[0] = R.sum(0) * (1 - np.tanh(W[0]) ** 2)
    square[1] = 2 * R.sum(0) * W[1]
    return [X.T @ R, tanh, square]


def mistakes(forward, inputs, given, true, search=wrong_uses):
    with graph_of(forward, *inputs) as graph:
        (R,) = graph.projection.weights
        gradients = true(R)
        tester = new_tester(graph, given(R), gradients)
        search(tester.cases, graph, tester)
        return {name: [(d.mistake, d.evidence, d.place) for _, d in case.found] for name, case in tester.cases.items()}


def counted(*counts):
    found = mistakes(three, (W,), lambda R: {"w": sum(c * p for c, p in zip(counts, parts(R), strict=True))},
                     lambda R: {"w": sum(parts(R))})  # fmt: skip
    return found["w"]


def test_a_use_that_is_left_out():
    ((mistake, evidence, place),) = counted(0, 1, 1)
    assert mistake == "a path missing" and "w were not used in `X @ w`" in evidence and "X @ w" in place
    ((_, evidence, _),) = counted(1, 0, 0)
    assert "not used in `np.tanh(w)` and `w * w`" in evidence


def test_a_use_that_is_counted_twice_or_with_the_wrong_sign():
    ((mistake, evidence, _),) = counted(1, 2, 1)
    assert mistake == "counted twice" and "`np.tanh(w)` is counted twice" in evidence
    ((_, evidence, _),) = counted(1, 2, 2)
    assert evidence.endswith("of w through `np.tanh(w)` and through `w * w` is counted twice")
    ((mistake, evidence, _),) = counted(1, 1, -1)
    assert mistake == "sign flipped" and "`w * w` has the wrong sign" in evidence
    ((mistake, evidence, _),) = counted(0, 2, 1)
    assert mistake == "a path missing" and "`X @ w` is left out, and through `np.tanh(w)` is counted twice" in evidence
    assert counted(1, 3, 1) == [] == counted(1, 0.5, 1)


def test_a_missing_use_of_a_bias():
    def forward(b):
        return np.tanh(X + b) + b

    def true(R):
        return {"b": (R * (1 - np.tanh(X + np.array([0.3, -0.8])) ** 2)).sum(0) + R.sum(0)}

    inputs = (np.array([0.3, -0.8]),)
    found = mistakes(forward, inputs, lambda R: {"b": true(R)["b"] - R.sum(0)}, true)
    assert [m for m, *_ in found["b"]] == ["bias's share missing"]


def test_one_of_four_uses_is_left_out_or_counted_twice():
    def four(w):
        return three(w) + np.sin(w)[1:]

    def with_counts(*counts):
        def pieces(R):
            sine = 0 * W
            sine[1] = R.sum(0) * np.cos(W[1])
            return [*parts(R), sine]

        def given(R):
            return {"w": sum(c * p for c, p in zip(counts, pieces(R), strict=True))}

        return mistakes(four, (W,), given, lambda R: {"w": sum(pieces(R))})["w"]

    ((mistake, evidence, _),) = with_counts(1, 1, 0, 1)
    assert mistake == "a path missing" and "w were not used in `w * w`" in evidence
    ((mistake, evidence, _),) = with_counts(1, 1, 1, 2)
    assert mistake == "counted twice" and "`np.sin(w)`" in evidence


def test_a_missing_bias_and_another_missing_use():
    b = np.array([0.3, -0.8])

    def forward(b):
        return np.tanh(X + b) + X * b + np.exp(b)

    def true(R):
        return {"b": (R * (1 - np.tanh(X + b) ** 2) + R * X).sum(0) + R.sum(0) * np.exp(b)}

    found = mistakes(forward, (b,), lambda R: {"b": R.sum(0) * np.exp(b)}, true)
    ((mistake, evidence, _),) = found["b"]
    assert mistake == "a path missing" and "not used in `X + b` and `X * b`" in evidence


def test_an_explained_array_is_not_searched():
    with graph_of(three, W) as graph:
        (R,) = graph.projection.weights
        tester = new_tester(graph, {"w": sum(parts(R)[1:])}, {"w": sum(parts(R))})
        tester.cases["w"].add(1.0, "a mistake", "")
        wrong_uses(tester.cases, graph, tester)
        assert [d.mistake for _, d in tester.cases["w"].found] == ["a mistake"]


def test_a_use_is_measured_also_if_an_element_of_the_true_gradient_is_unknown():
    with graph_of(three, W) as graph:
        (R,) = graph.projection.weights
        true = sum(parts(R))
        true[0, 0] = np.nan
        tester = new_tester(graph, {"w": sum(parts(R)[1:])}, {"w": true})
        wrong_uses(tester.cases, graph, tester)
        assert [d.mistake for _, d in tester.cases["w"].found] == ["a path missing"]


def test_an_array_with_one_use_or_few_wrong_elements_is_not_searched():
    found = mistakes(lambda w: X @ w, (W,), lambda R: {"w": 0 * W + 1}, lambda R: {"w": X.T @ R})
    assert found == {"w": []}
    v = np.array([0.4, -1.1])
    with graph_of(lambda w: np.tanh(w) + w, v) as graph:
        (R,) = graph.projection.weights
        true = R * (1 - np.tanh(v) ** 2) + R
        tester = new_tester(graph, {"w": true - R * [1, 0]}, {"w": true})
        wrong_uses(tester.cases, graph, tester)
        assert tester.elements == {"w": 1} and tester.cases["w"].found == []
    with graph_of(lambda w: np.tanh(w) + w[:1], v) as graph:
        (R,) = graph.projection.weights
        right = R * (1 - np.tanh(v) ** 2)
        tester = new_tester(graph, {"w": right}, {"w": right + np.array([R.sum(), 0])})
        wrong_uses(tester.cases, graph, tester)
        assert tester.elements == {"w": 1} and tester.cases["w"].found == []  # one number may fit by chance


def test_the_part_of_each_use():
    with graph_of(three, W) as graph:
        (R,) = graph.projection.weights
        tester = new_tester(graph, {"w": 2 * sum(parts(R))}, {"w": sum(parts(R))})
        uses = [(nodes, j) for nodes, j, only in graph.single_edges() if only == "w"]
        measured = [measure_use(tester, "w", cut(nodes, j)) for nodes, j in uses]
        for part, values in zip(parts(R), measured, strict=True):
            np.testing.assert_allclose(values, [(part * d.v["w"]).sum() for d in tester.alone["w"]], atol=1e-6)
        assert fitting_counts(tester, "w", measured, (1, 0, 2, -1)) == (2, 2, 2)
        assert fitting_counts(tester, "w", measured, (1, 0)) is None
        other = new_tester(graph, {"w": 2 * sum(parts(R))}, {"w": sum(parts(R))})
        other.alone["w"][1].given += 1
        assert fitting_counts(other, "w", measured, (1, 0, 2, -1)) is None  # only two directions agree
        twice = [*measured, 0 * measured[0]]  # a use with no gradient counts as right
        assert fitting_counts(tester, "w", twice, (0, 1, 2)) == (2, 2, 2, 1)


def test_the_gradient_of_a_use_may_be_added_to_another_array():
    V = W[::-1] ** 2

    def forward(w, v):
        return X @ w + np.tanh(w)[:1] + 3.0 * X @ v

    def pieces(R):
        tanh = 0 * W
        tanh[0] = R.sum(0) * (1 - np.tanh(W[0]) ** 2)
        return X.T @ R, tanh, 3 * X.T @ R

    with graph_of(forward, W, V) as graph:
        (R,) = graph.projection.weights
        product, tanh, of_v = pieces(R)
        true = {"w": product + tanh, "v": of_v}
        tester = new_tester(graph, {"w": product, "v": of_v + tanh}, true)
        uses = [(nodes, j) for nodes, j, only in graph.single_edges() if only == "w"]
        misplaced(tester.cases, graph, tester, "w", uses[:1])
        assert tester.cases["v"].found == []  # another use
        misplaced(tester.cases, graph, tester, "w", uses)
        ((_, d),) = tester.cases["v"].found
        misplaced(tester.cases, graph, tester, "w", uses)
        assert len(tester.cases["v"].found) == 1  # it is explained already
        assert d.mistake == "a path missing" and "as if `np.tanh(w)` used v, but forward uses w there" in d.evidence
        tester.cases["v"].found.clear()
        wrong_uses(tester.cases, graph, tester)
        assert [d.mistake for _, d in tester.cases["w"].found] == ["a path missing"] == [
            d.mistake for _, d in tester.cases["v"].found
        ]  # fmt: skip
        tester = new_tester(graph, {"w": product, "v": of_v + product}, true)
        wrong_uses(tester.cases, graph, tester)
        assert tester.cases["v"].found == []  # w has the gradient of the product too
        tester = new_tester(graph, {"w": product, "v": of_v + tanh}, true)
        tester.alone["v"][0].given += 1
        misplaced(tester.cases, graph, tester, "w", uses)
        assert tester.cases["v"].found == []  # only two directions agree


def test_the_gradient_of_a_use_is_not_added_to_an_array_of_another_shape():
    def forward(w, v):
        return X @ w[: 2] + np.tanh(w)[:1] + X[:, :1] * v  # fmt: skip

    v = np.array([0.7, -0.2])
    with graph_of(forward, W, v) as graph:
        (R,) = graph.projection.weights
        tanh = 0 * W
        tanh[0] = R.sum(0) * (1 - np.tanh(W[0]) ** 2)
        of_v = (R * X[:, :1]).sum(0)
        tester = new_tester(graph, {"w": tanh, "v": 3 * of_v}, {"w": X.T @ R + tanh, "v": of_v})
        wrong_uses(tester.cases, graph, tester)
        assert tester.cases["v"].found == []
        ((_, d),) = tester.cases["w"].found
        assert d.mistake == "a path missing"


# --- rounds ----------------------------------------------------------------------------------------------------------

S = np.array([[1.0, -2.0], [0.3, 1.2], [0.9, 0.4], [-0.6, 1.7]])


def loop(w):
    s = 0.0
    for t in range(4):
        s = s + S[t] @ w
    return s


def rounds(weights):
    found = mistakes(loop, (W,), lambda R: {"w": (np.array(weights)[:, None] * S).sum(0)[:, None] * R},
                     lambda R: {"w": S.sum(0)[:, None] * R})  # fmt: skip
    return found["w"]


@pytest.mark.parametrize("weights, mistake, text", [
    ([1, 1, 0, 0], "the last round of the loop not counted", "0, 1 (of the rounds 0 to 3)"),
    ([0, 1, 1, 1], "the first round of the loop not counted", "1, 2, 3 (of"),
    ([1, 0, 1, 0], "a round of the loop not counted", "0, 2 (of"),
    ([0, 1, 0, 0], "a round of the loop not counted", "only in round 1 (of"),
    ([4, 3, 2, 1], "accumulator not reset", "every earlier round"),
    ([1, 2, 3, 4], "accumulator not reset", "every later round"),
])  # fmt: skip
def test_rounds_that_are_not_counted_or_added_again(weights, mistake, text):
    ((found, evidence, _),) = rounds(weights)
    assert found == mistake and text in evidence


def test_other_counts_of_rounds_have_no_name():
    assert rounds([1, 2, 1, 1]) == [] == rounds([0.5, 1, 1, 1])


def test_three_rounds_and_three_wrong_elements_are_enough():
    v = np.array([0.4, -1.1, 0.9])
    S3 = S[:3, :1] + v * S[:3, 1:]

    def three_rounds(w):
        s = 0.0
        for t in range(3):
            s = s + S3[t] * w
        return s

    found = mistakes(three_rounds, (v,), lambda R: {"w": (S3[0] + S3[2]) * R}, lambda R: {"w": S3.sum(0) * R})
    assert [m for m, *_ in found["w"]] == ["a round of the loop not counted"]
    few = mistakes(three_rounds, (v,), lambda R: {"w": S3.sum(0) * R - S3[1] * R * [1, 1, 0]},
                   lambda R: {"w": S3.sum(0) * R})  # fmt: skip
    assert few == {"w": []}


def test_the_rounds_agree_along_all_directions():
    def tester_of(graph, weights):
        (R,) = graph.projection.weights
        given = (np.array(weights)[:, None] * S).sum(0)[:, None] * R
        return new_tester(graph, {"w": given}, {"w": S.sum(0)[:, None] * R})

    with graph_of(loop, W) as graph:
        for weights in ([1, 1, 0, 0], [4, 3, 2, 1]):
            tester = tester_of(graph, weights)
            tester.alone["w"][2].given += 1
            wrong_uses(tester.cases, graph, tester)
            assert tester.cases["w"].found == []


def test_two_rounds_are_tested_as_paths():
    def two(w):
        s = 0.0
        for t in range(2):
            s = s + S[t] @ w
        return s

    found = mistakes(two, (W,), lambda R: {"w": S[0][:, None] * R}, lambda R: {"w": S[:2].sum(0)[:, None] * R})
    assert found == {"w": []}
