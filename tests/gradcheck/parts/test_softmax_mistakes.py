"""Test hypotheses about softmax: the changed forward has the gradient of a backward with the wrong Jacobian."""

import numpy as np
import pytest
from wrong_gradients import assert_gives, graph_of, offered, the

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


def test_the_movement_of_a_sum_over_another_axis():
    y, d = forward(X), X + 1
    np.testing.assert_allclose(over_axis(softmax, 0, y, d), y * (d - sums(y * d, 0)))
    np.testing.assert_allclose(over_axis(log_softmax, 0, y, d), d - sums(y * d, 0))
