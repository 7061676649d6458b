"""Test hypotheses about windows and rows: backward adds their gradients at other positions, or only once."""

import numpy as np
import pytest
from wrong_gradients import assert_gives, graph_of, offered, the

from nnscratch.gradcheck.adapters import make_adapter
from nnscratch.gradcheck.diagnosis.forward_graph import ForwardGraph
from nnscratch.gradcheck.diagnosis.wrong_windows import (
    are_repeated,
    chosen_elements,
    elements_of,
    find_windows,
    moved_index,
    moved_windows,
    overwritten_windows,
    owner_of,
    repeated_rows,
    turned_kernels,
    window_moves,
    windows_without_gaps,
)
from nnscratch.gradcheck.projection import Projection
from nnscratch.gradcheck.tape import Tape

X = np.array([1.0, -2.0, 0.5, 0.3, 1.2, -0.7, 0.9])
K = np.array([0.4, -1.1, 0.6])
IDS = np.array([0, 2, 0, 1, 2, 0])
C = np.array([[1.0, -2.0], [0.3, 1.2], [0.9, 0.4]])
ONCE = "rows met twice counted once"


def strided(stride, count, size=3):
    def forward(x, k):
        out = []
        for i in range(count):
            out.append((x[stride * i : stride * i + size] * k).sum())
        return np.stack(out)

    return forward


def convolution_gradients(R, starts, x=X, k=K):
    """Return dx, dk of y_i = sum x[s_i : s_i + 3] k, if backward uses the windows at `starts`."""
    dx, dk = 0 * x, 0 * k
    for r, s in zip(R, starts, strict=True):
        for m in range(len(k)):
            if 0 <= s + m < x.size:
                dx[s + m] += r * k[m]
                dk[m] += r * x[s + m]
    return dx, dk


# --- repeated rows ---------------------------------------------------------------------------------------------------


def test_rows_that_are_counted_once():
    with graph_of(lambda c: c[IDS] * 2.0, C) as graph:
        (R,) = graph.projection.weights
        last, first = np.zeros((3, 2)), np.zeros((3, 2))
        for k, i in enumerate(IDS):
            last[i] = 2 * R[k]
        for k, i in reversed(list(enumerate(IDS))):
            first[i] = 2 * R[k]
        h = the(graph, repeated_rows, "only the last occurrence of each index counted")
        assert h.mistake == "rows met twice counted once" and h.only == "c" and "separately" not in h.evidence
        assert_gives(graph, h, c=last)
        assert_gives(graph, the(graph, repeated_rows, "only the first occurrence"), c=first)
        assert len(list(repeated_rows(graph))) == 2


def test_rows_that_are_counted_once_in_each_row_of_ids():
    ids = np.array([[0, 2, 0], [1, 2, 0]])
    with graph_of(lambda c: c[ids], C) as graph:
        (R,) = graph.projection.weights
        dc = np.zeros((3, 2))
        for n in range(2):
            once = np.zeros((3, 2))
            for t in range(3):
                once[ids[n, t]] = R[n, t]
            dc += once
        h = the(graph, repeated_rows, "only the last", "separately at each position along axis 0")
        assert_gives(graph, h, c=dc)
        columns = the(graph, repeated_rows, "only the first", "separately at each position along axis 1")
        dc = np.zeros((3, 2))
        for t in range(3):
            once = np.zeros((3, 2))
            for n in (1, 0):
                once[ids[n, t]] = R[n, t]
            dc += once
        assert_gives(graph, columns, c=dc)


def test_rows_that_are_not_repeated():
    for forward in (lambda c: c[np.array([2, 0])], lambda c: c * 2.0, lambda c: c[:2]):
        with graph_of(forward, C) as graph:
            assert list(repeated_rows(graph)) == []
    with graph_of(lambda c: np.take(c, IDS, axis=0), C) as graph:
        assert len(list(repeated_rows(graph))) == 2
    with graph_of(lambda c: C[IDS] + c[0], C) as graph:
        assert list(repeated_rows(graph)) == []


def test_a_loop_of_lookups_is_not_one_lookup():
    with graph_of(lambda c: np.stack([c[IDS] * k for k in (1.0, 2.0)]), C) as graph:
        assert list(repeated_rows(graph)) == []


def test_rows_of_ids_that_are_more_than_the_rows_of_the_array():
    ids, c = np.array([[1, 1], [0, 2], [2, 2], [0, 1]]), C[:, 0]
    with graph_of(lambda c: c[ids], c) as graph:
        (R,) = graph.projection.weights
        dc = np.zeros(3)
        for n in range(4):
            once = np.zeros(3)
            once[ids[n]] = R[n]
            dc += once
        assert_gives(graph, the(graph, repeated_rows, "only the last", "along axis 0"), c=dc)


def test_repeated_elements_that_are_counted_once():
    x = np.array([[1.0, -2.0], [0.3, 1.2]])
    with graph_of(lambda x: x.repeat(3, axis=1), x) as graph:
        (R,) = graph.projection.weights
        for word, k in (("first", 0), ("last", 2)):
            words = f"only the {word} occurrence of each element counted"
            (h,) = (h for h in repeated_rows(graph) if h.evidence.endswith(words))
            assert h.mistake == ONCE and h.only == "x"
            assert_gives(graph, h, x=R.reshape(2, 2, 3)[:, :, k])
    with graph_of(lambda x: np.repeat(np.repeat(x, 2, axis=0), 3, axis=1), x) as graph:
        (R,) = graph.projection.weights
        blocks = R.reshape(2, 2, 2, 3)
        h = the(graph, repeated_rows, "only the first copy of each")
        assert h.mistake == ONCE
        assert_gives(graph, h, x=blocks[:, 0, :, 0])
        assert_gives(graph, the(graph, repeated_rows, "only the last copy of each"), x=blocks[:, 1, :, 2])


def test_the_methods_that_repeat_and_take_are_recorded():
    x = np.array([1.0, -2.0, 0.5])
    for forward, name in (
        (lambda x: x.repeat(2), "repeat"),
        (lambda x: np.tile(x, 2), "repeat"),
        (lambda x: x.take([0, 2]), "take"),
        (lambda x: x.cumprod(), "cumprod"),
    ):
        with graph_of(forward, x) as graph:
            assert [n.name for n in graph.nodes] == [name]

    def written(x):
        out = np.empty(2)
        taken = x.take([0, 2], out=out)
        assert taken is out and out.tolist() == [x[0], x[2]]
        return x * 2.0

    with graph_of(written, x) as graph:
        assert [n.name for n in graph.nodes] == ["multiply"]


# --- windows ---------------------------------------------------------------------------------------------------------


def test_the_windows_of_a_loop():
    with graph_of(strided(2, 3), X, K) as graph:
        (w,) = find_windows(graph)
        assert w.name == "x" and w.own and [i.tolist() for i in w.pieces] == [[0, 1, 2], [2, 3, 4], [4, 5, 6]]
        assert (
            w.base is graph.projection.variables["x"] and w.origin.tolist() == list(range(7)) and w.chosen == w.pieces
        )


def test_the_windows_of_a_padded_copy():
    def padded(x, k):
        p = np.concatenate([np.zeros(1), x, np.zeros(1)])
        return np.stack([(p[i : i + 3] * k).sum() for i in range(7)])

    with graph_of(padded, X, K) as graph:
        (w,) = find_windows(graph)
        assert w.name == "x" and not w.own and w.origin.tolist() == [-1, 0, 1, 2, 3, 4, 5, 6, -1]
        assert w.pieces[0].tolist() == [0, 1, 2]
        (R,) = graph.projection.weights
        h = the(graph, moved_windows, "shifted by +1 along axis 0", "both operands")
        dx, dk = convolution_gradients(R, range(7))  # without the shift by the padding
        assert_gives(graph, h, x=dx, k=dk)


@pytest.mark.parametrize("first", [False, True])
def test_padded_copies(first):
    def loop(p, k):
        return np.stack([(p[i : i + 3] * k if first else k * p[i : i + 3]).sum() for i in (0, 4)])

    def with_copy(x, k):
        return loop(x.copy(), k)

    def with_zeros(x, k):
        p = np.zeros_like(x, shape=9)
        p[1:-1] = x
        return loop(p, k)

    def with_pad(x, k):
        return loop(np.pad(x, 1), k)

    for forward, origin in ((with_copy, range(7)), (with_zeros, range(-1, 8)), (with_pad, range(-1, 8))):
        with graph_of(forward, X, K) as graph:
            (w,) = find_windows(graph)
            assert w.name == "x" and not w.own and type(w.base) is np.ndarray
            assert w.origin.tolist() == [i if i < 7 else -1 for i in origin]
            assert [i.tolist() for i in w.pieces] == [[0, 1, 2], [4, 5, 6]]


def test_operands_that_are_no_windows_of_one_array():
    def one_round(x, k):
        return (x[:3] * k).sum()

    def growing(x, k):
        return np.stack([(x[:n] * 2.0).sum() for n in (3, 5, 7)])

    def growing_copy(x, k):
        p = np.pad(x, 1)
        return np.stack([(p[:n] * 2.0).sum() for n in (3, 5, 9)])

    def whole_copy(x, k):
        p = np.pad(x, 1)
        return np.stack([(p * r).sum() for r in (1.0, 2.0)])

    def two_arrays(x, k):
        p = np.pad(x, 1)
        return np.stack([(part * k).sum() for part in (x[:3], p[1:4], p[3:6])])

    def two_copies(x, k):
        out = []
        for i in range(3):
            p = np.pad(x, 1)
            out.append((p[i : i + 3] * k).sum())
        return np.stack(out)

    def other_values(x, k):
        p = np.pad(np.tanh(x), 1)
        return np.stack([(p[i : i + 3] * k).sum() for i in range(3)])

    for forward in (one_round, growing, growing_copy, whole_copy, two_arrays, two_copies, other_values):
        with graph_of(forward, X, K) as graph:
            assert list(find_windows(graph)) == [], forward.__name__


def test_the_windows_of_a_copy_in_the_order_of_fortran():
    def forward(x, k):
        p = np.zeros((4, 4), order="F")
        p[:3, :3] = x
        return np.stack([(p[i : i + 2] * k).sum() for i in range(3)])

    with graph_of(forward, np.sin(np.arange(1.0, 10)).reshape(3, 3), K[:1]) as graph:
        (w,) = find_windows(graph)
        assert w.origin.tolist() == [0, 1, 2, -1, 3, 4, 5, -1, 6, 7, 8, -1, -1, -1, -1, -1]
        assert w.pieces[1].tolist() == [[4, 5, 6, 7], [8, 9, 10, 11]]


def test_a_vector_of_windows_has_no_rows():
    def forward(x, k):
        joined = np.empty(6)
        joined[:3], joined[3:] = x[:3], x[1:4]
        return joined * np.concatenate([k, k])

    with graph_of(forward, X, K) as graph:
        assert list(find_windows(graph)) == []


COLUMNS = np.array([[0, 1, 2], [2, 3, 4], [4, 5, 6]])


def im2col(x, k):
    rows = np.empty((3, 3))
    for i in range(3):
        rows[i] = x[2 * i : 2 * i + 3]
    return rows @ k


def test_the_rows_of_a_matrix_of_windows():
    with graph_of(im2col, X, K) as graph:
        (w,) = find_windows(graph)
        assert (w.name, w.own, w.j, len(w.nodes)) == ("x", False, 0, 1) and w.base is graph.projection.variables["x"]
        assert np.array(w.pieces).tolist() == COLUMNS.tolist() and w.origin.tolist() == list(range(7))


def test_other_matrices_have_no_windows():
    def rows_that_do_not_overlap(x, k):
        rows = np.empty((2, 3))
        rows[0], rows[1] = x[:3], x[3:6]
        return rows @ k

    def padded_rows(x, k):
        rows = np.zeros((3, 3))
        rows[0, 1:], rows[1], rows[2] = x[:2], x[:3], x[1:4]
        return rows @ k

    for forward in (rows_that_do_not_overlap, padded_rows, lambda x, k: x[COLUMNS] @ k):
        with graph_of(forward, X, K) as graph:
            assert list(find_windows(graph)) == []


def test_each_element_counts_in_one_row_or_column():
    with graph_of(im2col, X, K) as graph:
        (R,) = graph.projection.weights
        expected = {}
        for word, order in (("last", (0, 1, 2)), ("first", (2, 1, 0))):
            by_window, by_column = 0 * X, 0 * X
            for i in order:
                by_window[COLUMNS[i]] = R[i] * K
                by_column[COLUMNS[:, i]] = R * K[i]
            expected |= {f"{word} window": by_window, f"{word} column": by_column}
        assert len(list(overwritten_windows(graph))) == 4
        for words, dx in expected.items():
            assert_gives(graph, the(graph, overwritten_windows, f"only in the {words}"), x=dx)


def test_two_equal_windows():
    def loop(x, k):
        return np.stack([(x[:3] * k).sum() * r for r in (1.0, 2.0)])

    def matrix(x, k):
        rows = np.empty((2, 3))
        rows[0] = rows[1] = x[:3]
        return rows @ k

    with graph_of(loop, X, K) as graph:
        assert [len(w.nodes) for w in find_windows(graph)] == [2]
        mistakes = {h.mistake for h in overwritten_windows(graph)}
        assert mistakes == {"only the last round of the loop counted", "only the first round of the loop counted"}
    with graph_of(matrix, X, K) as graph:
        assert {h.mistake for h in overwritten_windows(graph)} == {"rows met twice counted once"}


def test_the_rows_of_a_matrix_at_other_positions():
    with graph_of(im2col, X, K) as graph:
        (R,) = graph.projection.weights
        right_x, right_k = convolution_gradients(R, [0, 2, 4])
        for words, at in (("from round to round", [0, 1, 2]), ("shifted by +1", [1, 3, 5])):
            dx, _ = convolution_gradients(R, at)
            h = next(h for h in moved_windows(graph) if words in h.evidence and h.evidence.endswith("along axis 0"))
            assert_gives(graph, h, x=dx, k=right_k)


def test_each_element_counts_in_one_window():
    with graph_of(strided(2, 3), X, K) as graph:
        (R,) = graph.projection.weights
        last, first = 0 * X, 0 * X
        for i in range(3):
            last[2 * i : 2 * i + 3] = R[i] * K
        for i in (2, 1, 0):
            first[2 * i : 2 * i + 3] = R[i] * K
        h = the(graph, overwritten_windows, "only in the last window")
        assert h.mistake == "rows met twice counted once" and h.only == "x" and "element of x" in h.evidence
        assert_gives(graph, h, x=last)
        assert_gives(graph, the(graph, overwritten_windows, "only in the first window"), x=first)
        assert len(list(overwritten_windows(graph))) == 2
    with graph_of(strided(3, 2), X, K) as graph:
        assert list(overwritten_windows(graph)) == []  # they do not overlap


def test_a_maximum_counts_in_one_window():
    def pool(x):
        return np.stack([x[2 * i : 2 * i + 3].max() for i in range(3)])

    with graph_of(pool, X) as graph:  # the largest elements are 0, 4 and 4
        (R,) = graph.projection.weights
        found = offered(graph, overwritten_windows)
        gradients = [np.array([R[0], 0, 0, 0, r, 0, 0]) for r in (R[2], R[1])]
        last = [h for h in found if "last window" in h.evidence]
        assert_gives(graph, last[0], x=gradients[0])
        assert_gives(graph, next(h for h in found if "first window" in h.evidence), x=gradients[1])
        (w,) = find_windows(graph)
        assert [c.tolist() for c in w.chosen] == [[0], [4], [4]]


def test_windows_that_are_equal_or_apart():
    a, b, c = np.array([0, 1]), np.array([2, 3]), np.array([1, 2])
    assert are_repeated([a, b, a]) and are_repeated([a]) and not are_repeated([a, c])


def test_equal_windows_are_rounds_that_are_not_counted():
    def forward(x, k):
        s = 0.0
        for i in (0, 0, 1):
            s = s + (x[3 * i : 3 * i + 3] * k).sum()
        return s

    with graph_of(forward, X, K) as graph:
        assert {h.mistake for h in overwritten_windows(graph)} == {
            "only the last round of the loop counted", "only the first round of the loop counted",
        }  # fmt: skip


# --- moved windows ---------------------------------------------------------------------------------------------------


def test_windows_at_other_positions():
    with graph_of(strided(2, 3), X, K) as graph:
        (R,) = graph.projection.weights
        right_x, right_k = convolution_gradients(R, [0, 2, 4])
        starts = {
            "moved by 1 instead of 2 from round to round": [0, 1, 2],
            "moved by 3 instead of 2": [0, 3, 6],
            "moved by 4 instead of 2": [0, 4, 8],
            "shifted by +1": [1, 3, 5],
            "shifted by -1": [-1, 1, 3],
        }
        for words, at in starts.items():
            of_x, of_k, both = (
                next(h for h in moved_windows(graph) if words in h.evidence and h.evidence.endswith(end))
                for end in ("along axis 0", "in the gradient of `k`", "in the gradients of both operands")
            )
            dx, dk = convolution_gradients(R, at)
            assert_gives(graph, of_x, x=dx, k=right_k)
            assert_gives(graph, of_k, x=right_x, k=dk)
            assert_gives(graph, both, x=dx, k=dk)
            assert (of_x.only, of_k.only, both.only) == ("x", "k", None)
            assert of_x.mistake == ("shifted by one" if "shifted" in words else "stride forgotten")
            assert of_x.rank < both.rank < of_k.rank < of_x.rank + 0.1
        assert len(list(moved_windows(graph))) == 3 * len(starts)


def test_a_smaller_last_window():
    def pool(x):
        return np.stack([x[2 * i : 2 * i + 3].sum() for i in range(4)])

    with graph_of(pool, X) as graph:
        (R,) = graph.projection.weights
        dx = np.array([R[0], R[0], R[0], R[1], R[1], R[1], R[2]])
        assert_gives(graph, the(graph, moved_windows, "moved by 3 instead of 2"), x=dx)


def test_windows_of_one_row():
    image = np.sin(np.arange(1.0, 26)).reshape(5, 5)

    def rows_of_three(x, k):
        return np.stack([(x[r : r + 1, c : c + 3] * k).sum() for r in (0, 2, 4) for c in (0, 2)])

    with graph_of(rows_of_three, image, K) as graph:
        words = [h.evidence for h in moved_windows(graph) if h.only == "x"]
        assert any("moved by 3 instead of 2 along axis 1" in text for text in words)
        assert not any("moved by 3 instead of 2 along axis 0" in text for text in words)


def test_a_partner_that_is_a_constant_in_one_round():
    def forward(x, k):
        return np.stack([(x[2 * i : 2 * i + 3] * factor).sum() for i, factor in enumerate((K, k, k))])

    with graph_of(forward, X, K) as graph:
        (R,) = graph.projection.weights
        h = the(graph, moved_windows, "shifted by +1", "in the gradient of `factor`")
        assert_gives(graph, h, k=R[1] * X[3:6] + R[2] * np.append(X[5:], 0))


def test_more_specific_mistakes_come_first():
    def forward(x, k, c):
        return np.stack([(x[2 * i : 2 * i + 3] * k).sum() for i in range(3)]), c[IDS]

    with graph_of(forward, X, K, C) as graph:
        ranks = [
            the(graph, repeated_rows, "only the last").rank,
            *(the(graph, moved_windows, "shifted by +1", words).rank for words in ("both", "gradient of `k`")),
            the(graph, turned_kernels, "reverses k").rank,
            the(graph, overwritten_windows, "last window").rank,
        ]
        assert ranks == sorted(ranks) and len(set(ranks)) == len(ranks)


def test_windows_with_gaps():
    def dilated(x, k):
        return np.stack([(x[i : i + 5 : 2] * k).sum() for i in range(3)])

    with graph_of(dilated, X, K) as graph:
        (R,) = graph.projection.weights
        dx, dk = convolution_gradients(R, [0, 1, 2])
        words = "had no gaps along axis 0, where its elements are 2 apart"
        both = the(graph, moved_windows, words, "in the gradients of both")
        assert both.mistake == "stride forgotten"
        assert_gives(graph, both, x=dx, k=dk)
        assert_gives(graph, the(graph, moved_windows, words, "in the gradient of `k`"), k=dk)
        only_x = [h for h in moved_windows(graph) if h.evidence.endswith(words)]
        assert len(only_x) == 1 and only_x[0].only == "x"
        assert_gives(graph, only_x[0], x=dx)
    with graph_of(strided(2, 3), X, K) as graph:
        assert not any("gaps" in h.evidence for h in moved_windows(graph))


def test_gaps_along_two_axes():
    window = np.ravel_multi_index(np.ix_([1, 3, 5], [0, 3]), (6, 7))
    found = {words: moved[0].tolist() for words, _, moved in windows_without_gaps([window], (6, 7))}
    assert found == {
        "had no gaps along axes 0 and 1, where its elements are 2 apart": [[7, 8], [14, 15], [21, 22]],
        "had no gaps along axis 0, where its elements are 2 apart": [[7, 10], [14, 17], [21, 24]],
        "had no gaps along axis 1, where its elements are 3 apart": [[7, 8], [21, 22], [35, 36]],
    }
    assert list(windows_without_gaps([np.array([0, 1, 3])], (6,))) == []  # gaps of different lengths


def test_a_window_that_does_not_move_has_no_stride():
    with graph_of(lambda x, k: (x[:3] * k).sum(), X, K) as graph:
        assert list(moved_windows(graph)) == []


def test_the_moves_of_windows_in_two_axes():
    starts = np.array([[r, c] for r in (0, 2, 4) for c in (0, 3, 6)])
    found = {(text, mistake): move for text, mistake, move in window_moves(starts, (7, 9), np.array([True, True]))}
    at = np.array([4, 6])
    texts = {text: move(at).tolist() for (text, _), move in found.items()}
    assert texts["moved by 1 instead of 2 from round to round, along axes 0 and 1"] == [2, 2]
    assert texts["moved by 1 instead of 2 from round to round, along axis 0"] == [2, 6]
    assert texts["moved by 1 instead of 3 from round to round, along axis 1"] == [4, 2]
    assert texts["moved by 3 instead of 2 along axis 0"] == [6, 6] and texts[
        "moved by 2 instead of 3 along axis 1"
    ] == [4, 4]
    assert texts["moved by 4 instead of 2 along axis 0"] == [8, 6] and texts[
        "moved by 6 instead of 3 along axis 1"
    ] == [4, 12]
    assert texts["were shifted by -1 along axis 1"] == [4, 5] and texts["were shifted by +1 along axis 0"] == [5, 6]
    assert "moved by 1 instead of 2 along axis 0" not in texts and len(texts) == 3 + 2 + 3 + 4
    assert at.tolist() == [4, 6]  # the start is not changed in place
    moved = window_moves(starts + [1, 2], (9, 11), np.array([True, True]))
    shifted = {text: move(np.array([5, 8])).tolist() for text, _, move in moved}
    assert shifted["moved by 1 instead of 2 from round to round, along axis 0"] == [3, 8]
    assert shifted["moved by 3 instead of 2 along axis 0"] == [7, 8]
    assert shifted["moved by 1 instead of 3 from round to round, along axis 1"] == [5, 4]
    assert shifted["moved by 2 instead of 3 along axis 1"] == [5, 6]
    slow = [text for text, *_ in window_moves(np.array([[0], [1], [2]]), (7,), np.array([True]))]
    assert [text for text in slow if "instead" in text] == ["moved by 2 instead of 1 along axis 0"]
    single = {text for text, *_ in window_moves(starts, (7, 9), np.array([False, True]))}
    assert not any("moved by 3 instead of 2" in text for text in single)  # windows of one row
    irregular = list(window_moves(np.array([[0], [1], [3]]), (7,), np.array([True])))
    assert irregular == []


def test_the_elements_of_a_moved_window():
    index = np.array([0, 1, 4, 5])  # the first square of a (3, 4) array
    new = np.array([1, 2])
    assert moved_index(index, (3, 4), (0, 0), new).tolist() == [6, 7, 10, 11]
    assert moved_index(index, (3, 4), (0, 0), np.array([-1, 0])).tolist() == [-1, -1, 0, 1]
    assert moved_index(index, (3, 4), (0, 0), np.array([2, 3])).tolist() == [11, -1, -1, -1]
    assert moved_index(index.reshape(2, 2), (3, 4), (0, 0), new).tolist() == [[6, 7], [10, 11]]
    assert moved_index(index + 5, (3, 4), (1, 1), np.array([0, 0])).tolist() == [0, 1, 4, 5]


# --- arrays ----------------------------------------------------------------------------------------------------------


def test_the_owner_of_a_view():
    a = np.arange(6.0)
    assert owner_of(a[1:][1:]) is a and owner_of(a) is a


def test_the_array_whose_elements_another_one_holds():
    variables = {"k": K, "x": X}
    name, at = elements_of(np.array([0.0, X[3], X[0], 0.0]), variables)
    assert name == "x" and at.tolist() == [-1, 3, 0, -1]
    assert elements_of(np.array([X[0], 99.0]), variables) is None and elements_of(np.zeros(3), variables) is None
    assert elements_of(K, variables) is None  # three elements are too few
    assert elements_of(np.array([1.0, 2.0]), {"x": np.array([1.0, 1, 2, 3])}) is None  # not unique
    assert elements_of(np.array([1.0, 2.0]), {"x": np.array([1.0, 2, 3, 4])})[1].tolist() == [0, 1]
    name, at = elements_of(np.array([[0.0, 2.0]]), {"x": np.array([0.0, 2, 3, 4])})
    assert at.tolist() == [-1, 1]


def test_the_largest_elements():
    for axis, keep in ((1, False), (1, True), (0, False), (None, False)):
        with graph_of(lambda c, axis=axis, keep=keep: c.max(axis=axis, keepdims=keep), C) as graph:
            found = chosen_elements(graph.nodes[0], 0, np.arange(6).reshape(3, 2))
            assert sorted(found.tolist()) == {1: [0, 3, 4], 0: [0, 3], None: [3]}[axis]
    with graph_of(lambda c: c.sum(axis=1), C) as graph:
        index = np.arange(6).reshape(3, 2)
        assert chosen_elements(graph.nodes[0], 0, index) is index


# --- kernels ---------------------------------------------------------------------------------------------------------


def test_a_kernel_that_backward_turns():
    square = np.array([[0.4, -1.1], [0.6, 0.8]])
    image = np.arange(1.0, 10).reshape(3, 3) ** 1.5 / 9

    def convolution(x, k):
        return np.stack([(x[i : i + 2, j : j + 2] * k).sum() for i in range(2) for j in range(2)])

    with graph_of(convolution, image, square) as graph:
        (R,) = graph.projection.weights
        for axes, words in (((0, 1), "axes 0 and 1"), ((0,), "axis 0"), ((1,), "axis 1")):
            h = the(graph, turned_kernels, "reverses k", f"along {words}")
            dx = 0 * image
            for r, (i, j) in zip(R, [(0, 0), (0, 1), (1, 0), (1, 1)], strict=True):
                dx[i : i + 2, j : j + 2] += r * np.flip(square, axes)
            assert h.mistake == "axes reversed" and h.only == "x"
            assert_gives(graph, h, x=dx)
        assert [h.evidence for h in turned_kernels(graph) if "reverses k" in h.evidence][0].endswith("axes 0 and 1")


def test_only_arrays_in_products_are_turned():
    for forward in (lambda x, k: x + k, lambda x, k: x * np.tanh(k), lambda x, k: x * 2.0 + k):
        with graph_of(forward, K, K + 1) as graph:
            assert not any("reverses k" in h.evidence for h in turned_kernels(graph))
    with graph_of(lambda x, k: x * k, K, K + 1) as graph:
        assert len(list(turned_kernels(graph))) == 2
    with graph_of(lambda x, k: x * k, K, K[:1]) as graph:
        assert len(list(turned_kernels(graph))) == 1  # an array with one element cannot be reversed


def test_a_kernel_with_three_axes():
    image = np.cos(np.arange(12.0)).reshape(3, 2, 2)

    def convolution(x, k):
        return np.stack([(x[i : i + 2] * k).sum() for i in range(2)])

    with graph_of(convolution, image, image[:2] + 1) as graph:
        (R,) = graph.projection.weights
        dx = 0 * image
        for i in range(2):
            dx[i : i + 2] += R[i] * (image[1::-1, ::-1, ::-1] + 1)
        assert_gives(graph, the(graph, turned_kernels, "reverses k along axes 0 and 1 and 2"), x=dx)


class Scale:
    """Multiply by `k`."""

    def __init__(self, k):
        self.params, self.grads = {"k": k}, {"k": 0 * k}

    def forward(self, x):
        return x * self.params["k"]

    def backward(self, dy):
        return dy


def test_a_kernel_in_the_order_of_fortran():
    kernel = np.array(C + 1, order="F")
    projection = Projection(make_adapter(Scale(kernel), (C,)), np.random.default_rng(0))
    with Tape(projection) as tape:
        graph = ForwardGraph(tape)
        (R,) = projection.weights
        h = next(h for h in turned_kernels(graph) if h.only == "x" and h.evidence.endswith("axes 0 and 1"))
        assert_gives(graph, h, x=R * kernel[::-1, ::-1])


def test_an_array_with_more_elements_than_the_kernel_is_not_turned():
    class Whole(Scale):
        """Multiply by an array of which `k` is a part."""

        def __init__(self, whole):
            super().__init__(whole[:, :1])
            self.whole = whole

        def forward(self, x):
            return x * self.whole

    projection = Projection(make_adapter(Whole(C + 1), (C,)), np.random.default_rng(0))
    with Tape(projection) as tape:
        assert {h.only for h in turned_kernels(ForwardGraph(tape))} <= {"k"}


@pytest.mark.parametrize("stride", [1, 2])
def test_a_stride_of_one_is_not_forgotten(stride):
    with graph_of(strided(stride, 3), X, K) as graph:
        assert any("from round to round" in h.evidence for h in moved_windows(graph)) == (stride == 2)


def test_all_rounds_of_a_loop_that_has_not_run_before_are_one_family():
    def pool(x):
        return np.stack([x[2 * i : 2 * i + 3].min() for i in range(3)])

    with graph_of(pool, X) as graph:
        assert [len(nodes) for nodes in graph.families.values()] == [3, 1]


def test_rows_and_columns_of_windows_are_exchanged_only_in_a_square_of_windows():
    def exchanged(rows, columns):
        starts = np.array([(i, j) for i in rows for j in columns])
        moves = window_moves(starts, (9, 9), np.array([True, True]))
        return [(words, move) for words, mistake, move in moves if mistake == "transposed"]

    ((words, move),) = exchanged((0, 2, 4), (0, 2, 4))
    assert words == "were read with axes 0 and 1 exchanged" and move(np.array([4, 2])).tolist() == [2, 4]
    assert exchanged((0, 2, 4), (0, 1, 2)) == exchanged((0, 2, 4), (0, 2)) == exchanged((0, 2), (1, 3)) == []
