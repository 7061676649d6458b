"""Test hypotheses about softmax: the changed forward has the gradient of a backward with the wrong Jacobian."""

import numpy as np
import pytest
from wrong_gradients import assert_gives, graph_of, offered, the

from nnscratch.gradcheck import check_gradients
from nnscratch.gradcheck.diagnosis.softmax_mistakes import log_softmax, over_axis, softmax, softmax_jacobians

X = np.array([[1.0, -2.0, 0.5], [0.3, 1.2, -0.7]])


def sums(a, axis=1):
    return a.sum(axis=axis, keepdims=True)


def forward(x):
    e = np.exp(x - x.max(axis=1, keepdims=True))
    return e / e.sum(axis=1, keepdims=True)


def log_forward(x):
    return x - np.log(np.exp(x).sum(axis=1, keepdims=True))


def needs(graph, words):
    return next(h for h in softmax_jacobians(graph) if f"backward computes {words}, but" in h.evidence)


def test_softmax_over_an_axis():
    np.testing.assert_allclose(softmax(X, 0).sum(0), 1)
    np.testing.assert_allclose(softmax(X, 1), forward(X))
    np.testing.assert_allclose(log_softmax(X, 1), log_forward(X))
    np.testing.assert_allclose(softmax(X + 1000, 1), forward(X))
    np.testing.assert_allclose(softmax(X + [[1000], [0]], 1), forward(X))


def test_wrong_jacobians_of_softmax():
    with graph_of(forward, X) as graph:
        (R,) = graph.projection.weights
        y = forward(X)
        wrong = {
            "dy y (1 - y)": R * y * (1 - y),
            "dy y": R * y,
            "-dy y^2, the formula of the terms off the diagonal": -R * y**2,
            "dy": R,
            "dy - sum(dy y)": R - sums(R * y),
            "y (dy - sum(dy))": y * (R - sums(R)),
            "dy - y sum(dy y)": R - y * sums(R * y),
            "y (dy + sum(dy y))": y * (R + sums(R * y)),
            "y (dy (1 - 2 y) + sum(dy y)), with y_i y_j instead of -y_i y_j off the diagonal of the Jacobian":
                y * (R * (1 - 2 * y) + sums(R * y)),
            "y (dy - sum(dy y) over all axes)": y * (R - (R * y).sum()),
            "y (dy - sum(dy y, axis 0))": y * (R - sums(R * y, 0)),
        }  # fmt: skip
        for words, gradient in wrong.items():
            assert_gives(graph, needs(graph, words), x=gradient)
        right = y * (R - sums(R * y))
        assert_gives(
            graph, the(graph, softmax_jacobians, "softmax's Jacobian once more"), x=y * (right - sums(right * y))
        )
        assert_gives(graph, the(graph, softmax_jacobians, "extra factor y (1 - y)"), x=right * y * (1 - y))
        order = [h.mistake for h in offered(graph, softmax_jacobians)]
        assert order[:4] == ["Jacobian reduced to its diagonal"] * 3 + ["Jacobian missing"]
        assert order[-2:] == ["activation's derivative applied twice"] * 2 and len(order) == 13
        ranks = [h.rank for h in offered(graph, softmax_jacobians)]
        assert ranks[-1] - ranks[4] < 0.1


def test_wrong_jacobians_of_log_softmax():
    with graph_of(log_forward, X) as graph:
        (R,) = graph.projection.weights
        p = forward(X)
        wrong = {
            "dy (1 - p)": R * (1 - p),
            "dy": R,
            "dy - sum(dy)": R - sums(R),
            "dy - sum(dy) / the number of classes": R - sums(R) / 3,
            "dy + p sum(dy)": R + p * sums(R),
            "dy - p sum(dy) over all axes": R - p * R.sum(),
            "dy - sum(dy p)": R - sums(R * p),
            "dy - p sum(dy, axis 0)": R - p * sums(R, 0),
        }
        for words, gradient in wrong.items():
            h = needs(graph, words)
            assert "log-softmax needs dy - p sum(dy) (p = exp(y))" in h.evidence
            assert_gives(graph, h, x=gradient)
        assert len(list(softmax_jacobians(graph))) == 8


@pytest.mark.parametrize("function", [
    lambda x: np.exp(x), lambda x: x / x.sum(axis=1, keepdims=True), lambda x: np.tanh(x), lambda x: x.sum(),
    lambda x: np.exp(x) / np.exp(x).sum(axis=1, keepdims=True) * 2.0 * 0.7,
])  # fmt: skip
def test_other_functions_are_no_softmax(function):
    with graph_of(function, X) as graph:
        results = [h.place for h in softmax_jacobians(graph)]
        assert not any("2.0 * 0.7" in p.split(": ")[-1] for p in results) and len(results) in (0, 13)


def test_softmax_along_axis_0():
    with graph_of(lambda x: np.exp(x) / np.exp(x).sum(axis=0), X) as graph:
        (R,) = graph.projection.weights
        y = softmax(X, 0)
        assert_gives(graph, needs(graph, "y (dy - sum(dy y, axis 1))"), x=y * (R - sums(R * y, 1)))
        assert_gives(graph, needs(graph, "dy - sum(dy y)"), x=R - sums(R * y, 0))


def test_softmax_of_two_numbers_and_in_a_loop():
    with graph_of(lambda x: np.exp(x) / np.exp(x).sum(), X[0, :2]) as graph:
        assert len(list(softmax_jacobians(graph))) == 12

    def loop(x):
        out = []
        for t in range(2):
            out.append(np.exp(x[t]) / np.exp(x[t]).sum())
        return np.stack(out)

    with graph_of(loop, X) as graph:
        (R,) = graph.projection.weights
        y = forward(X)
        assert_gives(graph, needs(graph, "dy y (1 - y)"), x=R * y * (1 - y))
        assert_gives(graph, needs(graph, "dy"), x=R)


@pytest.mark.parametrize("masked", [-1e9, -np.inf])
def test_masked_softmax(masked):
    mask = np.array([[True, False, False], [True, True, False]])
    with graph_of(lambda x: forward(np.where(mask, x, masked)), X) as graph:
        (R,) = graph.projection.weights
        y = forward(np.where(mask, X, masked))
        assert_gives(graph, needs(graph, "dy y (1 - y)"), x=R * y * (1 - y))
        assert_gives(graph, needs(graph, "dy"), x=R * mask)
        assert_gives(graph, needs(graph, "y (dy + sum(dy y))"), x=y * (R + sums(R * y)))


@pytest.mark.parametrize("masked", [-1e9, -np.inf])
def test_a_mistake_in_masked_attention_is_named(masked):
    mask = np.tri(4, dtype=bool)

    def attention(q, k, v):
        p = forward(np.where(mask, q @ k.T, masked))
        return p @ v, (q, k, v, p)

    def backward(dy, cache):
        q, k, v, p = cache
        d = (dy @ v.T) * p * (1 - p)
        return d @ k, d.T @ q, p.T @ dy

    report = check_gradients((attention, backward), *np.random.default_rng(0).normal(size=(3, 4, 3)))
    for name in "qk":
        assert report.entries[name].diagnoses[0].mistake == "Jacobian reduced to its diagonal"
    assert report.notes == []  # no search failed


def test_the_input_of_softmax_is_a_sum():
    with graph_of(lambda x, b: forward(x + b), X, X[0]) as graph:
        (R,) = graph.projection.weights
        y = forward(X + X[0])
        assert_gives(graph, needs(graph, "dy y (1 - y)"), x=R * y * (1 - y), b=(R * y * (1 - y)).sum(0))
    with graph_of(lambda x, b: log_forward(x + b), X[:, :2], X[0, :2]) as graph:  # of two classes
        (R,) = graph.projection.weights
        assert_gives(graph, needs(graph, "dy"), x=R, b=R.sum(0))


def test_log_softmax_of_a_certain_class_is_zero():
    x = np.array([[40.0, 0.0], [0.3, 0.1]])  # exp(40) + 1 is rounded to exp(40)
    with graph_of(log_forward, x) as graph:
        (R,) = graph.projection.weights
        assert_gives(graph, needs(graph, "dy"), x=R)


def test_the_input_of_softmax_in_a_loop_is_also_read_outside_of_the_loop():
    def loop(x):
        first, out = np.tanh(x[0]), []
        for t in range(2):
            e = np.exp(x[t])
            out.append(e / e.sum())
        return np.stack(out) + first

    with graph_of(loop, X) as graph:
        (R,) = graph.projection.weights
        y = forward(X)
        dx = R * y * (1 - y)
        dx[0] += R.sum(0) * (1 - np.tanh(X[0]) ** 2)
        assert_gives(graph, needs(graph, "dy y (1 - y)"), x=dx)


def test_an_operation_after_softmax_is_not_its_input():
    def twice(x):
        return forward(x) + x * 2.0

    with graph_of(twice, X) as graph:
        product = graph.nodes[-2]
        assert product.name == "multiply"
        graph.can_be_wrong = {(product.family, 0)}
        assert list(softmax_jacobians(graph)) == []


def test_softmax_has_no_jacobian_along_an_axis_of_length_one():
    for function in (forward, log_forward):
        with graph_of(function, X[:, :1]) as graph:  # always 1
            assert list(softmax_jacobians(graph)) == []
        with graph_of(function, X[:1]) as graph:
            assert not any("axis 0" in h.evidence for h in softmax_jacobians(graph))


def test_the_movement_of_a_sum_over_another_axis():
    y, d = forward(X), X + 1
    np.testing.assert_allclose(over_axis(softmax, 0, y, d), y * (d - sums(y * d, 0)))
    np.testing.assert_allclose(over_axis(log_softmax, 0, y, d), d - sums(y * d, 0))
