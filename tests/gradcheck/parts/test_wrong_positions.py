"""Test hypotheses about windows that forward writes to, and about arrays inside of larger arrays."""

import numpy as np
import pytest
from wrong_gradients import assert_gives, graph_of, the

from nnscratch.gradcheck.diagnosis.wrong_positions import moved_results, other_positions, read_elsewhere
from nnscratch.gradcheck.diagnosis.wrong_windows import turned_kernels

X = np.array([1.0, -2.0, 0.5, 0.3])
K = np.array([0.4, -1.1, 0.6])
IMAGE = np.random.default_rng(0).normal(size=(3, 3))
KERNEL = np.random.default_rng(1).normal(size=(2, 2))


def transposed_convolution(x, k):
    out = np.zeros(2 * (len(x) - 1) + len(k))
    for i in range(len(x)):
        out[2 * i : 2 * i + len(k)] += x[i] * k
    return out


def gradients(R, starts):
    """Return dx and dk of a transposed convolution, if backward reads the windows of dout at `starts`."""
    R = np.pad(R, 4)  # a window outside of dout contains zeros
    read = [R[s + 4 : s + 4 + len(K)] for s in starts]
    return np.array([r @ K for r in read]), sum(x * r for x, r in zip(X, read, strict=True))


@pytest.mark.parametrize(
    "words, mistake, starts",
    [
        ("moved by 1 instead of 2", "stride forgotten", [0, 1, 2, 3]),
        ("moved by 3 instead of 2", "stride forgotten", [0, 3, 6, 9]),
        ("shifted by +1", "shifted by one", [1, 3, 5, 7]),
        ("shifted by -1", "shifted by one", [-1, 1, 3, 5]),
    ],
)
def test_windows_that_forward_adds_to(words, mistake, starts):
    with graph_of(transposed_convolution, X, K) as graph:
        (R,) = graph.projection.weights
        every = [h for h in moved_results(graph) if words in h.evidence]
        assert [h.only for h in every] == [None, "x", "k"] and {h.mistake for h in every} == {mistake}
        dx, dk = gradients(R, starts)
        assert_gives(graph, every[0], x=dx, k=dk)
        assert_gives(graph, every[1], x=dx)
        assert_gives(graph, every[2], k=dk)


def test_windows_in_two_dimensions():
    def forward(x, k):
        out = np.zeros((6, 6))
        for i in range(3):
            for j in range(3):
                out[2 * i : 2 * i + 2, 2 * j : 2 * j + 2] += x[i, j] * k
        return out

    with graph_of(forward, IMAGE, KERNEL) as graph:
        (R,) = graph.projection.weights
        for words, a, b in (("along axes 0 and 1", 1, 1), ("along axis 0", 1, 2), ("along axis 1", 2, 1)):
            h = next(h for h in moved_results(graph) if h.only is None and f"to round, {words}" in h.evidence)
            read = [[R[a * i : a * i + 2, b * j : b * j + 2] for j in range(3)] for i in range(3)]
            dx = [[(r * KERNEL).sum() for r in row] for row in read]
            dk = sum(IMAGE[i, j] * read[i][j] for i in range(3) for j in range(3))
            assert_gives(graph, h, x=np.array(dx), k=dk)


def test_two_windows_that_forward_adds_to():
    with graph_of(transposed_convolution, X[:2], K) as graph:
        (R,) = graph.projection.weights
        h = next(h for h in moved_results(graph) if "shifted by +1" in h.evidence)
        assert_gives(graph, h, x=np.array([R[1:4] @ K, R[3:5] @ K[:2]]))


def test_windows_with_one_element_along_an_axis_keep_their_stride_along_it():
    def forward(x, k):
        out = np.zeros((3, 7))
        for i in range(3):
            for j in range(3):
                out[i : i + 1, 2 * j : 2 * j + 2] += x[i, j] * k
        return out

    with graph_of(forward, IMAGE, KERNEL[:1]) as graph:
        words = [h.evidence for h in moved_results(graph) if h.only is None]
        assert any("moved by 3 instead of 2 along axis 1" in w for w in words)
        assert not any("along axis 0" in w for w in words if "instead" in w)


def test_windows_that_are_cut_off_at_the_end():
    def forward(x, k):
        out = np.zeros(4)
        for i in range(4):
            out[i : i + 2] += x[i] * k[: 4 - i]  # the last window has one element
        return out

    with graph_of(forward, X, K[:2]) as graph:
        (R,) = graph.projection.weights
        (h,) = [h for h in moved_results(graph) if "moved by 2 instead of 1" in h.evidence and h.only is None]
        assert_gives(graph, h, x=np.array([R[:2] @ K[:2], R[2:] @ K[:2], 0, 0]))


def test_a_wrong_position_is_reported_before_a_reversed_kernel():
    with graph_of(transposed_convolution, X, K) as graph:
        both, *single = [h.rank for h in moved_results(graph) if "shifted by +1" in h.evidence]
        assert both < min(single) and max(single) < min(h.rank for h in turned_kernels(graph))
    with graph_of(padded_convolution, X, K) as graph:
        assert max(h.rank for h in read_elsewhere(graph)) < min(h.rank for h in turned_kernels(graph))


def test_sums_that_are_not_written_to_one_array():
    def to_many(x, k):
        outs = [np.zeros(5) for _ in x]
        for i, out in enumerate(outs):
            out[1:4] += x[i] * k
        return np.stack(outs)

    def to_the_whole(x, k):
        out = np.zeros(3)
        for i in range(len(x)):
            out += x[i] * k
        return out

    def broadcast(x, k):
        out = np.arange(9.0)
        return np.stack([out[2 * i : 2 * i + 1] + x[i] * k for i in range(len(x))])

    def product(x, k):
        out = np.ones(9)
        for i in range(len(x)):
            out[2 * i : 2 * i + 3] *= x[i] * k
        return out

    for forward in (to_many, to_the_whole, broadcast, product):
        with graph_of(forward, X, K) as graph:
            assert list(moved_results(graph)) == []


def test_sums_that_are_not_written_to_windows():
    for forward in (lambda x, k: x[:3] + k, lambda x, k: sum(x[i] * k for i in range(3))):
        with graph_of(forward, X, K) as graph:
            assert list(moved_results(graph)) == []


def convolution(padded, k):
    return np.stack([(padded[i : i + len(k)] * k).sum() for i in range(len(padded) - len(k) + 1)])


def padded_gradient(R, n):
    """Return the gradient of `padded` in `convolution`."""
    found = np.zeros(n)
    for i, r in enumerate(R):
        found[i : i + len(K)] += r * K
    return found


def padded_convolution(x, k):
    padded = np.zeros(8)
    padded[2:6] = np.ravel(x)
    return convolution(padded, k)


def test_padding_that_is_cut_off_at_one_side():
    with graph_of(padded_convolution, X, K) as graph:
        whole = padded_gradient(*graph.projection.weights, 8)
        for words, given in (("from the start", whole[:4]), ("from the end", whole[-4:])):
            h = the(graph, read_elsewhere, words)
            assert h.mistake == "shifted by one" and h.only == "x"
            assert_gives(graph, h, x=given)


def test_an_array_with_zeros_between_its_elements():
    def forward(x, k):
        stretched = np.zeros(7)
        stretched[::2] = x
        return convolution(stretched, k)

    with graph_of(forward, X, K) as graph:
        h = the(graph, read_elsewhere, "elements that are 2 apart")
        assert h.mistake == "stride forgotten" and h.only == "x"
        assert_gives(graph, h, x=padded_gradient(*graph.projection.weights, 7)[:4])


def test_an_array_without_padding():
    with graph_of(convolution, X, K) as graph:
        assert list(read_elsewhere(graph)) == []


def test_a_copy_in_which_the_elements_have_no_single_position():
    def circular(x, k):
        return convolution(np.concatenate([x[-1:], x, x[:1]]), k)  # two elements occur twice

    with graph_of(circular, X, K) as graph:
        assert list(read_elsewhere(graph)) == []
    with graph_of(padded_convolution, X.reshape(2, 2), K) as graph:  # the copy has another number of axes
        assert list(read_elsewhere(graph)) == []


def test_other_positions_in_two_dimensions():
    positions = np.array(np.unravel_index([5, 6, 9, 10], (4, 4)))  # a 2 x 2 array inside of a 4 x 4 array
    found = {words: other for words, _, other in other_positions(positions, (4, 4), (2, 2))}
    assert len(found) == 6  # from the start or the end, along axis 0, axis 1, or both
    start = next(other for words, other in found.items() if "start" in words and "axes 0 and 1" in words)
    assert np.ravel_multi_index(tuple(start), (4, 4)).tolist() == [0, 1, 4, 5]
    rows = next(other for words, other in found.items() if "end" in words and "axis 0" in words)
    assert np.ravel_multi_index(tuple(rows), (4, 4)).tolist() == [9, 10, 13, 14]


def other_places(places, whole, shape):
    """Return [(description, flat positions)] for an array of shape `shape` at the flat `places` in a larger array."""
    found = other_positions(np.array(np.unravel_index(places, whole)), whole, shape)
    return [(f"{mistake}: {words}", np.ravel_multi_index(tuple(at), whole).tolist()) for words, mistake, at in found]


def test_other_positions_of_elements_with_a_stride():
    (forgotten, places), (start, at_start), (end, at_end) = other_places([1, 3, 5], (9,), (3,))
    assert "stride forgotten: " in forgotten and "2 apart" in forgotten and places == [1, 2, 3]
    assert "shifted by one: " in start and "start" in start and at_start == [0, 2, 4]
    assert "shifted by one: " in end and "end" in end and at_end == [4, 6, 8]
    (forgotten, places), _ = other_places([0, 3], (6,), (2,))
    assert "3 apart" in forgotten and places == [0, 1]


def test_padding_at_one_side_or_along_one_axis():
    ((words, places),) = other_places([0, 1, 2], (5,), (3,))
    assert "the end of the padded array" in words and places == [2, 3, 4]
    found = other_places([2, 3, 4, 5], (4, 2), (2, 2))
    assert [places for _, places in found] == [[0, 1, 2, 3], [4, 5, 6, 7]]
    assert all("along axis 0" in words for words, _ in found)


def test_an_axis_of_length_one_has_no_stride():
    found = other_places([5, 6], (3, 4), (1, 2))
    assert len(found) == 6 and all("shifted by one" in words for words, _ in found)
