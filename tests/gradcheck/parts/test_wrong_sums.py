"""Test hypotheses about broadcast operands: backward sums over the wrong axes."""

import numpy as np
from wrong_gradients import assert_gives, graph_of, the

from nnscratch.gradcheck.diagnosis.missing_paths import cut_paths
from nnscratch.gradcheck.diagnosis.wrong_sums import along_axis, wrong_sums

X = np.array([[1.0, -2.0, 0.5], [0.3, 1.2, -0.7], [0.9, 0.4, 1.3]])
B = np.array([0.7, -0.2, 1.5])


def test_a_sum_over_all_axes_or_over_the_other_axis():
    with graph_of(lambda x, b: x + b, X, B) as graph:
        (R,) = graph.projection.weights
        everything = the(graph, wrong_sums, "`b` over all axes, not only")
        assert everything.mistake == "summed over the wrong axis" and everything.only == "b"
        assert_gives(graph, everything, b=np.full(3, R.sum()), x=R)
        turned = the(graph, wrong_sums, "over all axes except axis 0", "must keep axis 1")
        assert_gives(graph, turned, b=R.sum(1), x=R)
        assert len(list(wrong_sums(graph))) == 2


def test_a_bias_of_two_elements_that_comes_first():
    with graph_of(lambda x, b: b + x, X[:2, :2], B[:2]) as graph:
        (R,) = graph.projection.weights
        assert_gives(graph, the(graph, wrong_sums, "`b` over all axes, not only"), b=np.full(2, R.sum()), x=R)
        assert_gives(graph, the(graph, wrong_sums, "over all axes except axis 0"), b=R.sum(1), x=R)


def test_a_wrong_axis_is_reported_before_a_missing_bias():
    with graph_of(lambda x, b: x + b, X, B) as graph:
        missing = next(h for h in cut_paths(graph) if h.mistake == "bias's share missing")
        assert max(h.rank for h in wrong_sums(graph)) < missing.rank


def test_a_broadcast_factor():
    with graph_of(lambda x, b: x * b, X, B[:, None]) as graph:
        (R,) = graph.projection.weights
        turned = the(graph, wrong_sums, "over all axes except axis 1", "must keep axis 0")
        # the movement of b goes along axis 1, where the factor is x
        assert_gives(graph, turned, b=(R * X).sum(0)[:, None], x=R * B[:, None])
        assert_gives(graph, the(graph, wrong_sums, "not only over"), b=np.full((3, 1), (R * X).sum()))


def test_a_stack_has_an_axis_of_the_same_length():
    stack = np.arange(1.0, 28).reshape(3, 3, 3) / 7
    with graph_of(lambda x, b: x * b, stack, B[:, None]) as graph:
        (R,) = graph.projection.weights
        sums = (R * stack).sum
        assert_gives(graph, the(graph, wrong_sums, "except axis 0"), b=sums((1, 2))[:, None])
        assert_gives(graph, the(graph, wrong_sums, "except axis 2"), b=sums((0, 1))[:, None])


def test_operands_without_a_broadcast_axis():
    for forward in (lambda x, b: x + X * b.sum(), lambda x, b: x @ b, lambda x, b: np.tanh(x).sum() * b):
        with graph_of(forward, X, B) as graph:
            assert not any("`x`" in h.evidence or "over all axes except" in h.evidence for h in wrong_sums(graph))
    with graph_of(lambda x, b: x + b, X[:2], B) as graph:  # no other axis of length 3
        assert len(list(wrong_sums(graph))) == 1
    with graph_of(lambda x, b: x + b, X, np.array(2.0)) as graph:
        assert list(wrong_sums(graph)) == []  # a number is summed over all axes
    with graph_of(lambda x, b: x + b, np.stack([X, X]), X) as graph:
        assert len(list(wrong_sums(graph))) == 1


def test_elements_along_an_axis():
    assert along_axis(B, 1, 3, 3).shape == (1, 3, 1) and along_axis(B, 0, 3, 1).shape == (3,)
