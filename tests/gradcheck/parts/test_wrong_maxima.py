"""Test hypotheses about maxima: the mask is left out, spread evenly, exchanged, or at a wrong element."""

import numpy as np
import pytest
from wrong_gradients import assert_gives, graph_of, offered, the

from nnscratch.gradcheck.diagnosis.wrong_maxima import larger_of_two, same_shapes, wrong_maxima

A = np.array([[1.0, -2.0, 0.5], [0.3, 1.2, -0.7]])
B = np.array([[0.6, 0.9, -1.4], [2.1, -0.8, 0.4]])
IMAGE = np.random.default_rng(0).permutation(16).reshape(4, 4) * 1.0


def mistakes(hypotheses):
    return [h.mistake for h in hypotheses]


def pooled(x):
    return np.stack([x[i : i + 2, j : j + 2].max() for i in (0, 2) for j in (0, 2)])


def windows(x):
    """Return the four windows of a 4 x 4 array, and a function that puts four windows into an array."""
    places = [(i, j) for i in (0, 2) for j in (0, 2)]

    def put(parts):
        whole = np.zeros((4, 4))
        for (i, j), part in zip(places, parts, strict=True):
            whole[i : i + 2, j : j + 2] = part
        return whole

    return [x[i : i + 2, j : j + 2] for i, j in places], put


@pytest.mark.parametrize("name", ["max", "min"])
def test_a_maximum_without_a_mask(name):
    with graph_of(lambda a: getattr(a, name)(axis=1, keepdims=True), A) as graph:
        (R,) = graph.projection.weights
        h = the(graph, wrong_maxima, "were the largest")
        assert h.mistake == "mask not applied" and h.only == "a"
        assert_gives(graph, h, a=R + 0 * A)
    with graph_of(lambda a: getattr(a, name)(axis=0), A) as graph:
        (R,) = graph.projection.weights
        assert_gives(graph, the(graph, wrong_maxima, "were the largest"), a=R + 0 * A)
    with graph_of(lambda a: getattr(np, name)(a, axis=1, initial=0.4), A) as graph:
        (R,) = graph.projection.weights
        assert_gives(graph, the(graph, wrong_maxima, "were the largest"), a=R[:, None] + 0 * A)
    with graph_of(lambda a: a.sum(axis=0), A) as graph:
        assert list(wrong_maxima(graph)) == []


@pytest.mark.parametrize("f", [np.maximum, np.minimum, "where"])
def test_the_masks_of_the_larger_of_two(f):
    def forward(a, b):
        return np.where(a > b, a, b) if f == "where" else f(a, b)

    with graph_of(forward, A, B) as graph:
        (R,) = graph.projection.weights
        y = forward(A, B)
        m = (y == A).astype(float)
        wrong = {
            "`a` and `b` both receive": (1, 1),
            ", `a` receives the whole": (1, 1 - m),
            ", `b` receives the whole": (m, 1),
            "where `b` is chosen": (1 - m, m),
            "use the mask of `a`": (m, m),
            "use the mask of `b`": (1 - m, 1 - m),
            "itself instead of a mask": (y, y),
        }
        for words, (of_a, of_b) in wrong.items():
            assert_gives(graph, the(graph, larger_of_two, words), a=R * of_a, b=R * of_b)
        assert mistakes(offered(graph, larger_of_two)) == [
            *["mask not applied"] * 3, *["mask inverted"] * 3, "the wrong array used",
        ]  # fmt: skip


def test_the_larger_of_an_array_and_a_constant_is_a_mask_of_one_array():
    for forward in (lambda a, b: np.maximum(a, 0), lambda a, b: np.maximum(a, B) + b, lambda a, b: a + b):
        with graph_of(forward, A, B) as graph:
            assert list(larger_of_two(graph)) == []
    with graph_of(lambda a, b: np.maximum(a, b), A, B[0]) as graph:
        (node,) = graph.nodes
        assert list(larger_of_two(graph)) == [] and not same_shapes(node, 0, 1) and same_shapes(node, 0, 0)


@pytest.mark.parametrize("start", [-np.inf, 0.0, np.zeros(3)])
def test_a_running_maximum_that_starts_with_a_constant(start):
    def forward(x):
        h = start
        for t in range(3):
            h = np.maximum(h, x[t])
        return h

    x = np.vstack([A, B[:1]])
    with graph_of(forward, x) as graph:
        (R,) = graph.projection.weights
        masks = [x[t] == np.max([start + 0 * x[0], *x[: t + 1]], axis=0) for t in range(3)]  # where x[t] is chosen
        # for each t, 1 where no later row is chosen
        after = [np.prod([1.0 - m for m in masks[t + 1 :]] + [0 * R + 1], axis=0) for t in range(3)]
        h = the(graph, larger_of_two, "`x[t]` receives the whole")
        assert_gives(graph, h, x=R * np.array(after))
        h = the(graph, larger_of_two, "`h` receives the whole")
        assert_gives(graph, h, x=R * np.array(masks))


def test_a_running_maximum_of_different_shapes_has_no_masks():
    def forward(x, y):
        h = x[0, :1]
        for t in range(2):
            h = np.maximum(h, y[t])  # the first h is broadcast
        return h

    with graph_of(forward, A, B) as graph:
        assert list(larger_of_two(graph)) == []


def test_a_maximum_with_the_backward_of_a_mean():
    with graph_of(lambda a: a.max(axis=1), A) as graph:
        (R,) = graph.projection.weights
        h = the(graph, wrong_maxima, "took the mean of `a`")
        assert h.mistake == "mask not applied"
        assert_gives(graph, h, a=R[:, None] / 3 + 0 * A)
    with graph_of(lambda a: np.maximum.reduce(a), A) as graph:  # along axis 0
        (R,) = graph.projection.weights
        assert_gives(graph, the(graph, wrong_maxima, "took the mean"), a=R / 2 + 0 * A)
    with graph_of(lambda a: np.max(a), A) as graph:
        assert_gives(graph, the(graph, wrong_maxima, "took the mean"), a=graph.projection.weights[0] / 6 + 0 * A)
    parts, put = windows(IMAGE)
    with graph_of(pooled, IMAGE) as graph:
        (R,) = graph.projection.weights
        assert_gives(
            graph,
            the(graph, wrong_maxima, "took the mean"),
            x=put([r / 4 + 0 * p for r, p in zip(R, parts, strict=True)]),
        )


def test_a_maximum_in_two_steps_with_the_backward_of_a_mean():
    with graph_of(lambda x: x.reshape(2, 2, 2, 2).max(axis=1).max(axis=2), IMAGE) as graph:
        (R,) = graph.projection.weights
        both = [h for h in wrong_maxima(graph) if len(h.changes) == 2 and "took the mean" in h.evidence]
        assert len(both) == 1
        assert_gives(graph, both[0], x=np.repeat(np.repeat(R, 2, 0), 2, 1) / 4)


def test_the_gradient_of_a_maximum_goes_to_the_element_with_row_and_column_exchanged():
    parts, put = windows(IMAGE)
    with graph_of(pooled, IMAGE) as graph:
        (R,) = graph.projection.weights
        h = the(graph, wrong_maxima, "exchanges axes 0 and 1")
        assert h.mistake == "transposed"
        assert_gives(graph, h, x=put([r * (p == p.max()).T for r, p in zip(R, parts, strict=True)]))
    with graph_of(lambda a: a.max(), A) as graph:  # the axes have different lengths
        assert "transposed" not in mistakes(wrong_maxima(graph))
    with graph_of(lambda a: a.max(), A[None, None]) as graph:  # two axes of length one
        assert "transposed" not in mistakes(wrong_maxima(graph))


def test_a_mask_that_is_left_out_is_reported_before_exchanged_axes():
    with graph_of(lambda a: a.max(), IMAGE) as graph:
        assert mistakes(offered(graph, wrong_maxima)) == ["mask not applied", "mask not applied", "transposed"]
