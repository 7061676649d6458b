"""Test hypotheses about y = phi(u): the changed forward has the gradient of a backward with the wrong slope."""

import numpy as np
import pytest
from wrong_gradients import assert_gives, graph_of, offered, the

from nnscratch.gradcheck.diagnosis.wrong_slopes import (
    ElementwiseFunction,
    arrays_like_result,
    elementwise_block,
    find_functions,
    is_mask_product,
    is_proportional,
    is_single_step,
    keeps_shape,
    other_thresholds,
    wrong_slopes,
)

U = np.array([[1.0, -2.0, 0.5, 0.9], [0.3, 1.2, -0.7, -0.1]])
W = np.array([[0.4, -1.1], [0.9, 0.2], [-0.6, 1.3], [0.8, -0.3]])


def sigmoid(x):
    return 1 / (1 + np.exp(-x))


def relu(u):
    return np.maximum(u, 0)


def mistakes(hypotheses):
    return [h.mistake for h in hypotheses]


def functions(graph):
    return [(sources[0].name, j, sinks[0].name, len(block(sources[0], sinks[0])))
            for sources, j, sinks, block in find_functions(graph)]  # fmt: skip


# --- masks -----------------------------------------------------------------------------------------------------------


def test_the_mask_of_relu():
    with graph_of(relu, U) as graph:
        (R,) = graph.projection.weights
        y, m = relu(U), U > 0
        wrong = {
            "were 1 everywhere": R,
            "were 1 exactly where it is 0": R * ~m,
            "u (1 - u), the sigmoid's formula": R * U * (1 - U),
            "y (1 - y), the sigmoid's formula": R * y * (1 - y),
            "the sigmoid's derivative at u": R * sigmoid(U) * (1 - sigmoid(U)),
            "itself is above 0, and ignores": R * (R > 0),
            "itself is above 0 and the mask": R * (R > 0) * m,
            "the input is above a threshold between 0.3 and 0.5": R * (U > 0.4),
            "the input is above a threshold between -2 and -0.7": R * (U > -1),
            "|input| is below a threshold between 0.7 and 0.9": R * (abs(U) < 0.8),
        }
        for words, gradient in wrong.items():
            found = [h for h in wrong_slopes(graph) if words in h.evidence]
            assert found, words
            for h in found:
                assert h.only == "u"
                assert_gives(graph, h, u=gradient)
        order = list(dict.fromkeys(mistakes(offered(graph, wrong_slopes))))
        assert order == [
            "mask not applied", "derivative taken at the wrong value", "mask inverted", "another mask applied",
            "activation's derivative wrong",
        ]  # fmt: skip


def test_a_mask_does_not_matter_where_the_gradient_is_zero():
    causal = np.tril(np.ones((3, 3))) == 0
    scores = np.array([[1.0, -2.0, 0.5], [0.3, 1.2, -0.7], [0.9, -0.4, 0.1]])

    def attention(s, scale=0.5):
        e = np.exp(np.where(causal, -1e9, s * scale))
        return e / e.sum(axis=1, keepdims=True)

    with graph_of(attention, scores) as graph:
        assert not any("mask" in h.mistake for h in wrong_slopes(graph))
    with graph_of(lambda s: np.where(causal, -1e9, s) * 2.0, scores) as graph:
        assert any(h.mistake == "mask not applied" for h in wrong_slopes(graph))


def test_a_mask_does_not_matter_in_a_loop_whose_first_result_is_not_used():
    causal = np.tril(np.ones((3, 3))) == 0
    scores = np.array([[1.0, -2.0, 0.5], [0.3, 1.2, -0.7], [0.9, -0.4, 0.1]])

    def attention(s):
        for scale in (1.0, 2.0):
            e = np.exp(np.where(causal, -1e9, s * scale))
        return e / e.sum(axis=1, keepdims=True)

    with graph_of(attention, scores) as graph:
        assert not any("mask" in h.mistake for h in wrong_slopes(graph))


def test_the_mask_of_a_tiny_output_matters():
    with graph_of(lambda u: 1e-5 * relu(u), U) as graph:
        assert "mask not applied" in mistakes(wrong_slopes(graph))


def test_the_factor_of_a_mask():
    mask = np.where(U > 0, 2.0, 0.0)
    with graph_of(lambda u: u * mask, U) as graph:
        (R,) = graph.projection.weights
        assert_gives(graph, the(graph, wrong_slopes, "were 2 everywhere"), u=2 * R)
        assert_gives(graph, the(graph, wrong_slopes, "were 1 everywhere"), u=R)
        assert_gives(graph, the(graph, wrong_slopes, "were 2 exactly where it is 0"), u=2 * R * (U <= 0))
        h = the(graph, wrong_slopes, "itself is above 0, and ignores")
        assert_gives(graph, h, u=2 * R * (R > 0))
        assert_gives(graph, the(graph, wrong_slopes, "itself is above 0 and the mask"), u=2 * R * (R > 0) * (U > 0))
        ranks = [h.rank for h in offered(graph, wrong_slopes) if "everywhere" in h.evidence]
        assert ranks[0] < ranks[1]


def test_other_thresholds_leave_out_the_mask_of_forward():
    u, d = np.array([-1.0, 0.5, 2.0]), np.array([0.0, 1.0, 1.0])
    found = [(text, masks[0].tolist()) for _, _, text, masks in other_thresholds([u], [d], 1.0)]
    masks = [m for text, m in found if "the input is above" in text]
    assert masks == [[0, 0, 1]]
    absolute = {text.split("between ")[1]: m for text, m in found if "|input|" in text}
    assert absolute == {"1 and 2": [1, 1, 0], "0.5 and 1": [0, 1, 0]}
    many = np.arange(101.0)
    assert list(other_thresholds([many], [many], 1.0)) == []
    assert len(list(other_thresholds([many[1:]], [0 * many[1:]], 1.0))) == 2 * 99
    two = [m for *_, m in other_thresholds([u, -u], [d, d], 3.0)]
    assert all(len(m) == 2 and set(np.unique(m)) <= {0.0, 3.0} for m in two)


# --- smooth functions ------------------------------------------------------------------------------------------------


def test_the_slope_of_tanh():
    with graph_of(lambda u: np.tanh(u), U) as graph:
        (R,) = graph.projection.weights
        y = np.tanh(U)
        d = 1 - y**2
        wrong = {
            "were 1": ("activation's derivative missing", R),
            "squared": ("activation's derivative applied twice", R * d**2),
            "taken at the activation y": ("derivative taken at the wrong value", R * (1 - np.tanh(y) ** 2)),
            "derivative were 1 - y": ("activation's derivative wrong", R * (1 - y)),
            "y (1 - y) (the derivative of sigmoid)": ("activation's derivative wrong", R * y * (1 - y)),
        }
        for words, (mistake, gradient) in wrong.items():
            found = [h for h in wrong_slopes(graph) if words in h.evidence and h.mistake == mistake]
            assert found, words
            assert_gives(graph, found[0], u=gradient)
        assert mistakes(offered(graph, wrong_slopes))[:2] == [
            "activation's derivative missing", "derivative taken at the wrong value",
        ]  # fmt: skip


def test_the_slope_inside_a_network():
    def network(x, w):
        h = np.tanh(x @ w)
        return h * 3.0

    with graph_of(network, U, W) as graph:
        (R,) = graph.projection.weights
        h = np.tanh(U @ W)
        missing = next(h for h in wrong_slopes(graph) if h.mistake == "activation's derivative missing")
        assert missing.only is None and "`x @ w`" in missing.evidence and "np.tanh(x @ w)" in missing.place
        assert_gives(graph, missing, x=3 * R @ W.T, w=U.T @ (3 * R))
        twice = next(h for h in wrong_slopes(graph) if h.mistake == "activation's derivative applied twice")
        assert_gives(graph, twice, w=U.T @ (3 * R * (1 - h**2) ** 2))
        at_y = next(h for h in wrong_slopes(graph) if "taken at the activation y instead" in h.evidence)
        assert_gives(graph, at_y, w=U.T @ (3 * R * (1 - np.tanh(h) ** 2)))


def test_a_named_array_in_the_formula_of_tanh():
    def network(x, w, v):
        a = x @ v
        h = np.tanh(x @ w)
        return h * a

    with graph_of(network, U, W, W[::-1].copy()) as graph:
        (R,) = graph.projection.weights
        a = U @ W[::-1]
        for words, slope in {"1 - a^2": 1 - a**2, "1 - a": 1 - a, "taken at `a`": 1 - np.tanh(a) ** 2}.items():
            found = [
                h
                for h in wrong_slopes(graph)
                if h.evidence.endswith(f"were {words}") or words + ", not at `x @ w`" in h.evidence
            ]
            assert len(found) == 1 and found[0].mistake == "derivative taken at the wrong value", words
            assert_gives(graph, found[0], w=U.T @ (R * a * slope))


def test_a_named_array_in_the_formula_of_the_sigmoid():
    def network(x, w, v):
        a = x @ v
        s = 1 / (1 + np.exp(-(x @ w)))
        return s * a

    with graph_of(network, U, W, W[::-1].copy()) as graph:
        (R,) = graph.projection.weights
        a = U @ W[::-1]
        for words, slope in {"a (1 - a)": a * (1 - a), "1 - a": 1 - a}.items():
            found = [h for h in wrong_slopes(graph) if h.evidence.endswith(f"were {words}")]
            assert len(found) == 1, words
            assert_gives(graph, found[0], w=U.T @ (R * a * slope))
        assert not any(h.evidence.endswith("were 1 - a^2") for h in wrong_slopes(graph))


def test_a_function_of_powers_is_no_activation():
    with graph_of(lambda u: u * u + 2.0 * u, U) as graph:
        found = offered(graph, wrong_slopes)
        assert "a factor missing" in mistakes(found) and "activation's derivative missing" not in mistakes(found)
        (R,) = graph.projection.weights
        missing = next(h for h in wrong_slopes(graph) if h.mistake == "a factor missing")
        assert_gives(graph, missing, u=R * (1 + 2))
        assert 4 < missing.rank < 5  # after the mistakes about one factor, and before two mistakes at once
    with graph_of(lambda u: np.exp(u), U) as graph:
        assert "activation's derivative missing" in mistakes(offered(graph, wrong_slopes))


def test_a_linear_function_has_no_wrong_slope():
    for forward in (lambda u: 3.0 * u, lambda u: -u + 1.0, lambda u: u @ W, lambda u: u.sum(axis=0)):
        with graph_of(forward, U) as graph:
            assert offered(graph, wrong_slopes) == []


def test_an_array_with_two_uses_is_tested_together_with_all_arrays():
    with graph_of(lambda u: np.tanh(u) + u, U) as graph:
        (h,) = [
            h for h in wrong_slopes(graph) if h.mistake == "activation's derivative missing" and h.changes.keys() == {0}
        ]
        assert h.only is None


def test_a_slope_times_a_constant_is_tested_only_for_few_elements():
    def count(u):
        with graph_of(lambda u: np.exp(u), u) as graph:
            return sum(h.evidence.endswith("were y") for h in wrong_slopes(graph))

    assert count(np.array([0.5, 1.0])) == 1  # y is the right slope of exp: a multiple with factor 1
    assert count(np.linspace(0, 1, 8)) == 0 and count(np.linspace(0, 1, 7)) == 1


def test_more_specific_mistakes_come_first():
    def clipped(u, v):
        return 2.0 * np.clip(u, -0.5, 1.05) * v

    def activated(u, v):
        return np.tanh(u) * v

    def ranks(forward, place, *words):
        with graph_of(forward, U, U[::-1, ::-1].copy()) as graph:
            found = [h for h in wrong_slopes(graph) if h.place.endswith(": " + place)]
            return [next(h.rank for h in found if text in h.evidence) for text in words]

    clip, tanh = (clipped, "2.0 * np.clip(u, -0.5, 1.05)"), (activated, "np.tanh(u)")
    of_masks = ranks(
        *clip, "were 2 everywhere", "were 1 everywhere", "taken at the activation y", "taken at `v`", "where it is 0",
        "itself is above 0, and", "the input is above", "u (1 - u)",
    )  # fmt: skip
    of_tanh = ranks(*tanh, "were 1", "taken at the activation y", "taken at `v`", "squared", "were y")
    for found in (of_masks, of_tanh):
        assert found == sorted(found) and len(set(found)) == len(found)
    same = ranks(*clip, "itself is above 0, and", "itself is above 0 and")
    same += ranks(*clip, "u (1 - u)", "y (1 - y)", "the sigmoid's derivative at u")
    assert len(set(same[:2])) == len(set(same[2:])) == 1
    assert ranks(*tanh, "were 1 - v^2") == of_tanh[2:3]


def test_the_gradient_as_a_mask_is_tested_for_a_hundred_elements():
    def count(size):
        with graph_of(lambda u: relu(u), np.sin(np.arange(1.0, size + 1))) as graph:
            return sum("the gradient itself is above 0" in h.evidence for h in wrong_slopes(graph))

    assert count(100) == 2 and count(101) == 0


def test_an_array_with_one_use():
    with graph_of(lambda u: 3.0 * relu(u) + 1.0, U) as graph:
        assert {h.only for h in wrong_slopes(graph)} == {"u"}


def test_a_slope_of_zero():
    u = np.append(U[0], 30.0)
    with graph_of(lambda u: np.tanh(u), u) as graph:
        (R,) = graph.projection.weights
        h = the(graph, wrong_slopes, mistake="activation's derivative missing")
        assert_gives(graph, h, u=R)


def test_a_formula_that_is_zero_everywhere_is_no_slope():
    def formulas(u):
        with graph_of(over_rows(np.tanh), u) as graph:
            return [h.evidence for h in wrong_slopes(graph) if "were u (1 - u)" in h.evidence]

    zero, other = [0.0, 1.0], [0.3, 0.5]
    assert formulas(np.array([zero])) == [] and len(formulas(np.array([other]))) == 1
    assert len(formulas(np.array([zero, other]))) == 1  # zero in one round


# --- loops -----------------------------------------------------------------------------------------------------------


def over_rows(phi):
    """Return a forward that computes y = phi(u) for each row of x in a loop."""

    def forward(x):
        out = []
        for row in x:
            out.append(phi(row))
        return np.stack(out)

    return forward


def test_a_mask_that_is_on_everywhere_in_one_round():
    u = np.abs(U) * [[1], [1]]
    u[1, 2] = -0.7
    with graph_of(over_rows(relu), u) as graph:
        (R,) = graph.projection.weights
        h = next(h for h in wrong_slopes(graph) if "`row` were 1 everywhere" in h.evidence)
        assert_gives(graph, h, x=R)


def test_a_round_without_elements():
    def forward(x):
        return np.concatenate([np.tanh(x[:n]) for n in range(4)])

    with graph_of(forward, U[0]) as graph:
        (R,) = graph.projection.weights
        dx = np.array([R[0] + R[1] + R[3], R[2] + R[4], R[5], 0])
        assert_gives(graph, the(graph, wrong_slopes, mistake="activation's derivative missing"), x=dx)


def test_a_state_that_is_a_constant_in_the_first_round():
    def forward(x):
        h = np.zeros(4)
        for row in x:
            h = np.tanh(h) + row
        return h

    with graph_of(forward, U) as graph:
        (R,) = graph.projection.weights
        assert_gives(graph, the(graph, wrong_slopes, mistake="activation's derivative missing"), x=np.stack([R, R]))


def test_a_formula_that_one_round_has_not():
    u = np.array([[1.0, -2.0, 0.5, 0.9], [0.3, 0.3, 0.3, 0.3]])  # the second round shows no polynomial
    with graph_of(over_rows(np.tanh), u) as graph:
        (R,) = graph.projection.weights
        h = the(graph, wrong_slopes, "y (1 - y) (the derivative of sigmoid)")
        assert_gives(graph, h, x=R * np.tanh(u) * (1 - np.tanh(u)))
        assert not any("the formula 1 - y^2, with" in h.evidence for h in wrong_slopes(graph))


def test_slopes_that_are_not_finite_are_left_out():
    u = np.array([[1.0, 2.0, 0.5, 0.9], [0.3, 1.2, 800.0, 0.1]])
    with graph_of(over_rows(np.tanh), u) as graph, np.errstate(over="ignore"):
        words = [h.evidence for h in wrong_slopes(graph)]
        assert any(text.endswith("1 - y") for text in words) and not any("exp(u)" in text for text in words)
    positive = np.abs(U) + 3
    for row, finite in ((positive[1], True), (np.array([3.0, 4.0, 0.5, 5.0]), False)):  # log(0.5) has no logarithm
        with graph_of(over_rows(np.log), np.stack([positive[0], row])) as graph:
            assert any("taken at the activation y" in h.evidence for h in wrong_slopes(graph)) == finite
    with graph_of(over_rows(np.sqrt), np.array([[1.0, 2.0], [3.0, 0.0]])) as graph:
        assert list(wrong_slopes(graph)) == []


@pytest.mark.parametrize("last", [0.9, -0.9])
def test_a_function_that_is_not_defined_at_the_other_array(last):
    def forward(x, z):
        out = []
        for k in range(2):
            a = z[k] * 1.0
            out.append(np.log(x[k]) * a)
        return np.stack(out)

    z = np.array([[1.0, 2.0, 0.5, 0.3], [0.3, 1.2, 0.7, last]])
    with graph_of(forward, np.abs(U) + 1, z) as graph:
        words = [h.evidence for h in wrong_slopes(graph)]
        assert any("taken at `a`, not at `x[k]`" in text for text in words) == (last > 0)


def test_an_operand_that_is_active_in_one_round():
    def forward(x, w):
        out = []
        for row, factor in zip(x, (w, 2 + 0 * W[:, 0]), strict=True):
            out.append(np.tanh(row) * factor)
        return np.stack(out)

    with graph_of(forward, U, W[:, 0]) as graph:
        places = {h.place.split(": ")[-1] for h in wrong_slopes(graph)}
        assert places == {"np.tanh(row)"}  # the product depends on w in the first round


def test_another_array_that_equals_the_result_in_one_round():
    def forward(x):
        out = []
        for row, factor in zip(x, (1.0, 2.0), strict=True):
            h = np.tanh(row)
            a = h * factor
            out.append(a)
        return np.stack(out)

    with graph_of(forward, U) as graph:
        of_tanh = [h.evidence for h in wrong_slopes(graph) if h.place.endswith(": np.tanh(row)")]
        assert any("taken at `a`" in text for text in of_tanh) and not any("taken at `h`" in text for text in of_tanh)


def test_a_formula_holds_in_all_rounds():
    def scaled(phi):
        def forward(x, z):
            out = []
            for k, factor in enumerate((1.0, 2.0)):
                a = z[k] * 1.0
                out.append(phi(x[k], factor) * a)
            return np.stack(out)

        return forward

    def count(phi, ends):
        with graph_of(scaled(phi), U, U + 3) as graph:
            return sum(h.evidence.endswith(ends) for h in wrong_slopes(graph))

    assert count(lambda u, c: c * np.tanh(u), "were 1 - a^2") == 1  # of np.tanh, and not of the product
    assert count(lambda u, c: c / (1 + np.exp(-u)), "were a (1 - a)") == 0
    assert count(lambda u, c: 1 / (1 + np.exp(-u)), "were a (1 - a)") == 1


def test_a_threshold_that_differs_from_the_mask_in_one_round():
    found = other_thresholds([np.array([-1.0, 2.0]), np.array([-0.5, 0.5])], [np.array([0.0, 1.0])] * 2, 1.0)
    above = [[m.tolist() for m in masks] for _, _, text, masks in found if "the input is above" in text]
    assert above == [[[0, 1], [1, 1]], [[0, 1], [0, 0]]]


def test_a_function_at_the_end_of_a_loop():
    def loop(h, w):
        for _ in range(3):
            h = 1 / (1 + np.exp(-(h @ w)))
        return h * 2.0

    with graph_of(loop, U[:, :2], W[:2]) as graph:
        places = {h.place.split(": ")[-1] for h in wrong_slopes(graph)}
        assert places == {"1 / (1 + np.exp(-(h @ w)))"}


# --- evidence --------------------------------------------------------------------------------------------------------


def test_the_source_of_the_function():
    def softplus(z):
        return np.log(1 + np.exp(z))

    def called(x, w, v):
        a, u = x @ v, x @ w
        return softplus(u) * a

    def written(x, w, v):
        a = x @ v
        return np.tanh((x @ w)[0: 2]) * a  # fmt: skip

    for forward, functions, argument in (
        (called, ["1 + np.exp(z)", "softplus(u)"], "u"), (written, ["np.tanh((x @ w)[0: 2])"], "(x @ w)[0:2]"),
    ):  # fmt: skip
        with graph_of(forward, U, W, W[::-1].copy()) as graph:
            words = [h.evidence for h in wrong_slopes(graph) if "taken at `a`" in h.evidence]
        assert words == [f"the derivative of `{f}` is taken at `a`, not at `{argument}`" for f in functions]


def test_the_source_of_an_intermediate_result_that_the_caller_also_reads():
    def softplus(z):
        e = np.exp(z)
        return np.log(1 + e), e

    def forward(u, v):
        y, e = softplus(u)
        return y * v * e

    with graph_of(forward, U, U**2) as graph:
        words = [h.evidence for h in wrong_slopes(graph)]
    assert "the derivative of `np.exp(z)` is taken at `v`, not at `u`" in words
    assert "the derivative of `softplus(u)` is taken at `v`, not at `u`" in words


def test_the_source_of_a_function_that_is_called_in_a_loop():
    def softplus(z):
        return np.log(1 + np.exp(z))

    def loop(u, v):
        for row in v:
            u = softplus(u) * row
        return u

    with graph_of(loop, U[0], U + 3) as graph:
        words = [h.evidence for h in wrong_slopes(graph)]
    assert "the derivative of `softplus(u)` is taken at `row`, not at `u`" in words
    assert "the derivative of `softplus(u)` is taken at another value of `u`" in words


# --- the search for functions ----------------------------------------------------------------------------------------


def test_a_function_of_several_operations():
    with graph_of(lambda u: 1 / (1 + np.exp(-u)), U) as graph:
        assert functions(graph) == [("negative", 0, "negative", 1), ("negative", 0, "divide", 4)]
        (f,) = [
            ElementwiseFunction(s[0], j, n[0], block(s[0], n[0]))
            for s, j, n, block in find_functions(graph) if n[0].name == "divide"
        ]  # fmt: skip
        np.testing.assert_allclose(f.d, sigmoid(U) * (1 - sigmoid(U)), atol=1e-9)
        np.testing.assert_allclose(f(U + 1), sigmoid(U + 1))
        np.testing.assert_allclose(f.slope_at(0 * U), 0.25 + 0 * U, atol=1e-9)
        assert f.is_nonlinear


def test_each_function_is_found_once():
    with graph_of(lambda u: np.sin(u) * np.exp(u), U) as graph:
        assert functions(graph) == [("sin", 0, "sin", 1), ("sin", 0, "exp", 2), ("sin", 0, "multiply", 3)]
    with graph_of(lambda b: np.tanh(U + b), U[0]) as graph:
        assert functions(graph) == [("tanh", 0, "tanh", 1)]  # b has not the shape of the sum
    with graph_of(lambda u: np.tanh(u), U) as graph:
        graph.can_be_wrong = {(graph.nodes[0].family, -1)}
        assert functions(graph) == []


def test_a_function_after_many_operations():
    def forward(u):
        for _ in range(70):
            u = u + 0.01
        return np.tanh(u)

    with graph_of(forward, U) as graph:
        assert ("tanh", 0, "tanh", 1) in functions(graph)


def test_a_sum_along_an_axis_is_no_function_of_elements():
    with graph_of(lambda u: np.cumsum(u * 2.0, axis=1), U) as graph:
        start = graph.nodes[0]
        assert [n.name for n in elementwise_block(graph, start, graph_key(start))] == ["multiply"]


def test_a_function_of_one_element_is_nonlinear_if_its_slope_changes_nearby():
    def only(forward, u):
        with graph_of(forward, u) as graph:
            found = [ElementwiseFunction(s[0], j, n[0], b(s[0], n[0])) for s, j, n, b in find_functions(graph)]
            return [f.is_nonlinear for f in found]

    assert only(np.tanh, np.array([0.3])) == [True] and only(lambda u: 3 * u, np.array([0.3])) == [False]
    assert only(np.sqrt, np.array([1.0, 0.0])) == [False]  # the slope is not finite
    assert only(relu, np.array([-0.5])) == [False]


def test_blocks_of_operations():
    with graph_of(lambda u, v: np.tanh(u * 2) * v + np.exp(u), U, U + 1) as graph:
        start = graph.nodes[0]
        names = [n.name for n in elementwise_block(graph, start, graph_key(start))]
        assert names == ["multiply", "tanh", "exp"]
        assert [n.name for n in elementwise_block(graph, start, graph_key(start), graph.nodes[1])] == [
            "multiply",
            "tanh",
        ]


def graph_key(node):
    from nnscratch.gradcheck.diagnosis.forward_graph import content_key

    return content_key(node.operands[0])


def test_a_block_has_ten_operations_at_most():
    def long(u):
        for _ in range(12):
            u = u + 1.0
        return u

    with graph_of(long, U) as graph:
        assert len(elementwise_block(graph, graph.nodes[0], graph_key(graph.nodes[0]))) == 10


def test_arrays_with_the_shape_of_a_result():
    def forward(x, w):
        h = np.tanh(x)
        return h @ w + 1.0

    with graph_of(forward, U, W) as graph:
        assert {name for _, name in arrays_like_result(graph, [graph.nodes[0]])} == {"x", "h"}
        assert {name for _, name in arrays_like_result(graph, [graph.nodes[1]])} == set()


def test_arrays_with_the_shape_of_the_result_in_each_round():
    def layers(h, v, w):
        for weights in (v, w):
            a = h @ weights
            h = np.tanh(a)
        return h

    with graph_of(layers, U, W, W[:2]) as graph:
        tanh = [n for n in graph.nodes if n.name == "tanh"]
        assert {name for _, name in arrays_like_result(graph, tanh)} == {"a", "h"}  # the last h, and not the first
        assert all(v.shape == (2, 2) for values, _ in arrays_like_result(graph, tanh) for v in values)


def test_kinds_of_operations():
    mask = np.where(U > 0, 2.0, 0.0)
    with graph_of(lambda u: u * mask, U) as graph:
        assert is_mask_product(graph.nodes[0])
    with graph_of(lambda u: mask * u, U) as graph:
        assert is_mask_product(graph.nodes[0])
    for factor in (mask + 1, mask * U, np.ones(U.shape), 0.0, np.zeros(U.shape)):
        with graph_of(lambda u, f=factor: u * f, U) as graph:
            assert not is_mask_product(graph.nodes[0])
    with graph_of(lambda u: u + mask, U) as graph:
        assert not is_mask_product(graph.nodes[0]) and keeps_shape(graph.nodes[0])
    with graph_of(lambda u: u[:1] + U, U) as graph:
        assert not keeps_shape(graph.nodes[0]) and not is_single_step(graph.nodes[0])
    with graph_of(lambda u: u + 1.0, U) as graph:
        assert is_single_step(graph.nodes[0])


@pytest.mark.parametrize("a, b, equal", [
    ([3 * U], [U], True), ([3 * U, U], [U, U], False), ([3 * U, 3 * U], [U, U], True), ([U + 1e-3], [U], False),
    ([U], [0 * U], True), ([0 * U], [U], True), ([-U], [U], True), ([U * (1 + 1e-9)], [U], True),
    ([np.array([1, 1e-7])], [np.array([1.0, 0])], True), ([np.array([1, 1e-5])], [np.array([1.0, 0])], False),
])  # fmt: skip
def test_proportional_arrays(a, b, equal):
    assert is_proportional(a, b) == equal


def test_a_loop_is_one_function():
    def loop(h, w):
        for _ in range(3):
            h = np.tanh(h @ w)
        return h

    w = np.array([[0.4, -1.1], [0.9, 0.2]])
    with graph_of(loop, U[:, :2], w) as graph:
        h = the(graph, wrong_slopes, mistake="activation's derivative missing")
        assert len(h.changes) >= 3
        R, x = graph.projection.weights[0], U[:, :2]
        dw, states = 0 * w, [x]
        for _ in range(3):
            states.append(np.tanh(states[-1] @ w))
        d = R
        for s in states[2::-1]:
            dw += s.T @ d
            d = d @ w.T
        assert_gives(graph, h, w=dw, h=d)


def test_a_slope_of_zero_is_a_missing_path_and_no_formula():
    with graph_of(lambda u: -np.exp(u), U) as graph:  # the slope "1 where y is above 0, else 0" would be 0 everywhere
        found = offered(graph, wrong_slopes)
        assert found and not any("y is above 0, else 0" in h.evidence for h in found)
    with graph_of(np.tanh, U) as graph:
        assert any("y is above 0, else 0" in h.evidence for h in wrong_slopes(graph))
