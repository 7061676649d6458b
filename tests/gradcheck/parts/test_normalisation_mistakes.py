"""Test hypotheses about normalisations: the changed forward has the gradient of a backward with wrong statistics."""

import numpy as np
import pytest
from wrong_gradients import assert_gives, graph_of, offered, the

from nnscratch.gradcheck.diagnosis.normalisation_mistakes import (
    constants_differentiated,
    normalisation_mistakes,
    project,
    project_over_two,
    wrong_statistics,
)

X = np.array([[1.0, -2.0, 0.5], [0.3, 1.2, -0.7], [2.1, 0.4, 1.3], [-0.8, 0.6, -1.9]])


def normalise(x, axis=1):
    m = x.mean(axis=axis, keepdims=True)
    c = x - m
    s = np.sqrt((c * c).mean(axis=axis, keepdims=True))
    return c / s


def statistics(axis=1):
    s = X.std(axis=axis, keepdims=True)
    return normalise(X, axis), s


def mean(a, axis=1):
    return a.mean(axis=axis, keepdims=True)


def test_wrong_statistics_of_a_normalisation():
    with graph_of(normalise, X) as graph:
        (R,) = graph.projection.weights
        h, s = statistics()
        d = R / s
        # P is symmetric only with the right statistics: the transpose of a wrong P d
        wrong = {
            "means over axis 0, but forward uses axis 1": d - mean(R, 0) / s - h * 0 - mean(R * h, 0) * h / s,
            "uses sums instead of means": d - 3 * mean(d) - 3 * h * mean(h * d),
            "does not divide by the deviation": R - mean(R) - h * mean(h * R),
            "divides by the variance": (R - mean(R) - h * mean(h * R)) / s**2,
            "the term of the mean has the wrong sign": d + mean(d) - h * mean(h * d),
            "the term of the deviation has the wrong sign": d - mean(d) + h * mean(h * d),
            "the mean and the deviation has the wrong sign": d + mean(d) + h * mean(h * d),
            "lacks the factor (x - mean) / deviation": d - mean(d) - mean(h * d),
        }
        for words, gradient in wrong.items():
            found = [o for o in normalisation_mistakes(graph) if words in o.evidence]
            assert found, words
            assert_gives(graph, found[0], x=gradient)
        assert [o.mistake for o in offered(graph, normalisation_mistakes)] == [
            *["summed over the wrong axis"] * 8, *["a factor missing"] * 3, "a factor applied twice",
            *["sign flipped"] * 3,
        ]  # fmt: skip
        ranks = [o.rank for o in offered(graph, normalisation_mistakes)]
        assert ranks[-1] - ranks[0] < 0.2 and ranks[8] < ranks[9]


def test_one_term_over_other_axes():
    with graph_of(normalise, X) as graph:
        (R,) = graph.projection.weights
        h, s = statistics()
        d = R / s
        of_mean = the(graph, normalisation_mistakes, "the term of the mean is taken over axis 0")
        assert_gives(graph, of_mean, x=d - mean(R, 0) / s - h * mean(h * d))
        of_deviation = the(graph, normalisation_mistakes, "the term of the deviation is taken over axis 0")
        assert_gives(graph, of_deviation, x=d - mean(d) - h * mean(h * R, 0) / s)
        everything = the(graph, normalisation_mistakes, "means over all axes, but")
        assert_gives(graph, everything, x=d - R.mean() / s - h * (h * R).mean() / s)
        summed = the(graph, normalisation_mistakes, "sums over axis 0, but")
        assert_gives(graph, summed, x=d - R.sum(0, keepdims=True) / s - h * (h * R).sum(0, keepdims=True) / s)


def test_a_normalisation_over_axis_0_or_over_all_axes():
    for axis, name in ((0, "axis 0"), ((0, 1), "axes 0 and 1")):
        with graph_of(lambda x, axis=axis: normalise(x, axis), X) as graph:
            (R,) = graph.projection.weights
            h, s = statistics(axis)
            found = [o.evidence for o in normalisation_mistakes(graph) if "forward uses" in o.evidence]
            assert found and all(f"forward uses {name}" in e for e in found)
            d = R / s
            h_sums = next(o for o in normalisation_mistakes(graph) if "lacks the factor (x" in o.evidence)
            assert_gives(graph, h_sums, x=d - mean(d, axis) - mean(h * d, axis))


@pytest.mark.parametrize("function", [
    lambda x: x - x.mean(axis=1, keepdims=True),  # its deviation is not 1
    lambda x: normalise(x) + 0.1,
    lambda x: normalise(x) * 1.1,
    lambda x: np.tanh(x),
])  # fmt: skip
def test_other_results_are_no_normalisations(function):
    with graph_of(function, X) as graph:
        last = graph.nodes[-1].place
        assert all(o.place != last for o in normalisation_mistakes(graph))


def test_a_small_array_is_no_normalisation():
    with graph_of(normalise, X[:1]) as graph:
        assert list(normalisation_mistakes(graph)) == []
    with graph_of(normalise, X[:2, :2]) as graph:
        assert len(list(normalisation_mistakes(graph))) > 0


def test_a_normalisation_with_an_epsilon():
    def with_epsilon(x):
        c = x - x.mean(axis=1, keepdims=True)
        return c / np.sqrt((c * c).mean(axis=1, keepdims=True) + 1e-3)

    with graph_of(with_epsilon, X) as graph:
        (R,) = graph.projection.weights
        c = X - mean(X)
        s = np.sqrt(mean(c * c) + 1e-3)
        h = c / s
        d = R / s
        turned = next(o for o in normalisation_mistakes(graph) if "term of the mean has the wrong sign" in o.evidence)
        assert_gives(graph, turned, x=d + mean(d) - h * mean(h * d))


def test_a_normalisation_of_another_array_is_found_from_its_source():
    with graph_of(lambda x, w: normalise(x @ w), X, np.arange(9.0).reshape(3, 3) ** 2 / 9) as graph:
        places = {o.place.split(": ")[-1] for o in normalisation_mistakes(graph)}
        assert places == {"c / s"}
        node = graph.nodes[-1]
        assert list(wrong_statistics(graph, [node], (0,))) == []


def test_projections():
    d, h = X, X**2
    np.testing.assert_allclose(project(d, h, np.mean, (1,)), d - mean(d) - h * mean(h * d))
    np.testing.assert_allclose(project(d, h, np.sum, (0,), 2, -3),
                               d - 2 * d.sum(0) + 3 * h * (h * d).sum(0))  # fmt: skip
    np.testing.assert_allclose(
        project_over_two(d, h, (1,), (0,), "mean"), d - mean(d, 0) * 0 - mean(d, 1) - h * mean(h * d, 0)
    )
    np.testing.assert_allclose(project_over_two(d, h, (1,), (0,), "deviation"), d - mean(d, 0) - h * mean(h * d, 1))


# --- constants -------------------------------------------------------------------------------------------------------


def test_a_constant_that_backward_differentiates():
    shift = np.array([0.3, -0.2, 1.1])
    with graph_of(lambda x: x - shift, X) as graph:
        (R,) = graph.projection.weights
        h = X - shift
        wrong = {
            "computed a mean over axis 0 here": R - mean(R, 0),
            "computed a deviation over axis 0": R - h * mean(h * R, 0),
            "a mean and a deviation over axis 0": R - mean(R, 0) - h * mean(h * R, 0),
            "divided by a norm over axis 0": R - h * (h * R).sum(0),
        }
        for words, gradient in wrong.items():
            found = the(graph, constants_differentiated, words)
            assert found.mistake == "a constant differentiated"
            assert_gives(graph, found, x=gradient)
        assert len(list(constants_differentiated(graph))) == 4


@pytest.mark.parametrize("forward, count", [
    (lambda x: x / np.ones((4, 1)), 4),
    (lambda x: 2.0 * x, 12),
    (lambda x: x - np.ones((1, 1)), 12),
    (lambda x: x + np.ones(3), 0),
    (lambda x: x - np.ones((4, 3)), 0),
    (lambda x: x * x.sum(axis=1, keepdims=True), 0),
    (lambda x: x.sum() * 2.0, 0),
    (lambda x: x[0] * 2.0, 0),
    (lambda x: x[:, 0] * 2.0, 4),
    (lambda x: x[:, :1] * 2.0, 4),
])  # fmt: skip
def test_only_constants_with_fewer_axes_may_be_statistics(forward, count):
    with graph_of(forward, X) as graph:
        assert len(list(constants_differentiated(graph))) == count


def test_only_the_normalised_result_is_searched():
    rows = np.sqrt([[0.5], [1.5], [0.5], [1.5]])  # all elements together have the deviation 1
    with graph_of(lambda x: normalise(x) * rows, X) as graph:
        assert {o.place.split(": ")[-1] for o in normalisation_mistakes(graph)} == {"c / s"}


def test_the_array_that_is_normalised_need_not_be_the_input():
    def forward(x):
        z = x + 0.2 * np.sin(x)
        return normalise(z)

    with graph_of(forward, X) as graph:
        (R,) = graph.projection.weights
        z = X + 0.2 * np.sin(X)
        h, s = normalise(z), z.std(axis=1, keepdims=True)
        h_and_z = (R - mean(R) - h * mean(h * R)) * (1 + 0.2 * np.cos(X))
        assert_gives(graph, the(graph, normalisation_mistakes, "does not divide by the deviation"), x=h_and_z)
        assert_gives(graph, the(graph, normalisation_mistakes, "divides by the variance"), x=h_and_z / s**2)


def test_a_constant_of_two_rows():
    pair = X[:2]
    with graph_of(lambda x: x - np.array([0.5, 1.0, -1.0]), pair) as graph:
        (R,) = graph.projection.weights
        h = the(graph, constants_differentiated, "computed a mean over axis 0 here")
        assert_gives(graph, h, x=R - R.mean(0))
        assert {o.rank for o in constants_differentiated(graph)} == {3.3}  # before a missing path


def test_a_constant_before_the_array():
    scale = np.array([0.3, -0.2, 1.1])
    with graph_of(lambda x: scale * x, X) as graph:
        (R,) = graph.projection.weights
        h = scale * X
        assert_gives(graph, the(graph, constants_differentiated, "computed a mean over axis 0"),
                     x=scale * (R - mean(R, 0)))  # fmt: skip
        assert_gives(graph, the(graph, constants_differentiated, "divided by a norm over axis 0"),
                     x=scale * (R - h * (h * R).sum(0)))  # fmt: skip


def test_one_row_of_deviation_1_is_no_normalisation():
    x = X / np.array([[X[0].std()], [1.0], [1.0], [1.0]])
    with graph_of(lambda x: x - x.mean(axis=1, keepdims=True), x) as graph:
        assert list(normalisation_mistakes(graph)) == []


def test_a_division_of_normalised_values_by_a_constant_is_no_normalisation():
    with graph_of(lambda x: x / 2.0, 2 * normalise(X)) as graph:
        assert list(normalisation_mistakes(graph)) == []


def test_equal_elements_are_no_normalisation():
    # x / x has the mean square 1, and the sum reads x before
    with graph_of(lambda x: x.sum() * np.sin(x / x), np.full((4, 3), 2.0)) as graph:
        assert list(normalisation_mistakes(graph)) == []
