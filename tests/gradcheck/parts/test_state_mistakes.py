"""Test hypotheses about states: the changed forward has the gradient of a backward that loses or keeps a state's d."""

import numpy as np
from wrong_gradients import assert_gives, graph_of, offered, the

from nnscratch.gradcheck.diagnosis.missing_paths import cut_paths
from nnscratch.gradcheck.diagnosis.state_mistakes import cut_uses, find_states, neighbouring_rounds, state_mistakes

LOST, KEPT = "the state's own path missing", "accumulator not reset"

X = np.array([[1.0, -2.0], [0.3, 1.2], [0.9, 0.4]])
W = np.array([[0.4, -1.1], [0.9, 0.2]])
H = np.array([[0.7, -0.2]])


def one_use(x, h, w):
    for t in range(3):
        h = np.tanh(x[t : t + 1] + h @ w)
    return h


def two_uses(x, h, w):
    for t in range(3):
        h = np.tanh(x[t : t + 1] + h @ w) + 0.5 * h
    return h


def every_state(x, h, w):
    out = []
    for t in range(3):
        h = np.tanh(x[t : t + 1] + h @ w)
        out.append(h)
    return np.concatenate(out)


def states(uses=1):
    h = [H]
    for t in range(3):
        h.append(np.tanh(X[t : t + 1] + h[-1] @ W) + (0.5 * h[-1] if uses == 2 else 0))
    return h


def backward(dy, uses=1, cut=(), running=False):
    """Return dx and dh0. ``dy[t]`` comes from the output of round t, ``cut`` are the rounds that pass no gradient."""
    h, dx, d, carried = states(uses), 0 * X, 0 * H, 0 * H
    for t in (2, 1, 0):
        d = d + dy[t]
        tanh = h[t + 1] - (0.5 * h[t] if uses == 2 else 0)
        dz = d * (1 - tanh**2)
        dx[t] = dz[0]
        d = 0 * H if t in cut else dz @ W.T + (0.5 * d if uses == 2 else 0)
        if running:
            carried = carried + d
            d = carried
    return dx, d


def test_the_states_of_a_loop():
    with graph_of(two_uses, X, H, W) as graph:
        (uses,) = find_states(graph)
        assert sorted((nodes[0].name, j) for nodes, j in uses) == [("matmul", 0), ("multiply", 1)]
    with graph_of(one_use, X, H, W) as graph:
        assert [[(nodes[0].name, j) for nodes, j in uses] for uses in find_states(graph)] == [[("matmul", 0)]]

    def total(x, w):
        s = 0.0
        for t in range(3):
            s = s + x[t] @ w
        return s

    with graph_of(total, X, W) as graph:
        assert find_states(graph) == []  # a sum over the rounds is no state
    with graph_of(lambda x, w: np.tanh(x @ w), X, W) as graph:
        assert find_states(graph) == [] and list(state_mistakes(graph)) == []


def test_the_gradient_of_a_state_is_lost():
    with graph_of(two_uses, X, H, W) as graph:
        (R,) = graph.projection.weights
        dy = [0, 0, R]
        found = [h for h in state_mistakes(graph) if h.mistake == LOST]
        assert len(found) == 2 and all("`h`" in h.evidence for h in found)
        dx, dh = backward(dy, 2, cut=(1, 2))
        assert_gives(graph, found[0], x=dx, h=dh)
        dx, dh = backward(dy, 2, cut=(0, 1, 2))
        assert_gives(graph, found[1], x=dx, h=0 * H)
    with graph_of(one_use, X, H, W) as graph:  # missing_paths tests a state with one use
        assert all(h.mistake == KEPT for h in state_mistakes(graph))


def test_the_first_state_keeps_its_gradient_if_only_later_rounds_lose_it():
    def forward(x, h, w):
        out = []
        for t in range(3):
            h = np.tanh(x[t : t + 1] + h @ w) + 0.5 * h
            out.append(h)
        return np.concatenate(out)

    with graph_of(forward, X, H, W) as graph:
        (R,) = graph.projection.weights
        later, every = [h for h in state_mistakes(graph) if h.mistake == LOST]
        for hypothesis, cut in ((later, (1, 2)), (every, (0, 1, 2))):
            dx, dh = backward([R[:1], R[1:2], R[2:]], 2, cut=cut)
            assert_gives(graph, hypothesis, x=dx, h=dh)


def two_rounds(x, h, w):
    out = []
    for t in range(2):
        h = np.tanh(x[t : t + 1] + h @ w)
        out.append(h)
    return np.concatenate(out)


def test_a_state_of_two_rounds():
    with graph_of(two_rounds, X, H, W) as graph:
        graph.can_be_wrong = set()  # a mistake of several edges is tested where no single edge can be wrong
        ((nodes, j),) = find_states(graph)[0]
        assert (nodes[0].name, j) == ("matmul", 0)


def test_the_gradient_of_a_state_is_never_reset():
    with graph_of(every_state, X, H, W) as graph:
        (R,) = graph.projection.weights
        dx, dh = backward([R[:1], R[1:2], R[2:]], running=True)
        h = next(h for h in state_mistakes(graph) if "still contains the terms of later rounds" in h.evidence)
        assert h.mistake == KEPT
        assert_gives(graph, h, x=dx, h=dh)
        ranks = [o.rank for o in offered(graph, state_mistakes)]
        assert len(ranks) == 2 and ranks[0] < ranks[1] < ranks[0] + 0.1


def test_a_state_gradient_that_is_added_to_the_previous_one():
    with graph_of(every_state, X, H, W) as graph:
        (R,) = graph.projection.weights
        h, d, dx = states(), 0 * H, 0 * X
        for t in (2, 1, 0):  # dh = dh + dz W.T, where dh should be replaced
            d = d + R[t : t + 1]
            dz = d * (1 - h[t + 1] ** 2)
            dx[t] = dz[0]
            d = d + dz @ W.T
        kept = offered(graph, state_mistakes)[1]
        assert_gives(graph, kept, x=dx)


def with_kept_sum(R, h, slopes):
    """Return dx and dh0 of a backward that adds dz W.T to dh in its loop, and never replaces dh."""
    d, dx = 0 * H, 0 * X
    for t in reversed(range(len(R))):
        d = d + R[t : t + 1]
        dz = d * slopes[t](h[t + 1])
        dx[t] = dz[0]
        d = d + dz @ W.T
    return dx, d


def slope_of_tanh(y):
    return 1 - y**2


def test_the_sum_of_state_gradients_in_two_rounds():
    with graph_of(two_rounds, X, H, W) as graph:
        (R,) = graph.projection.weights
        dx, dh = with_kept_sum(R, states(), [slope_of_tanh] * 2)
        assert_gives(graph, offered(graph, state_mistakes)[1], x=dx, h=dh)


def test_the_sum_of_state_gradients_if_the_first_round_has_another_activation():
    def forward(x, h, w):
        out = []
        for t in range(3):
            z = x[t : t + 1] + h @ w
            h = np.exp(z) if t == 0 else np.tanh(z)
            out.append(h)
        return np.concatenate(out)

    with graph_of(forward, X, H, W) as graph:
        h = [H, np.exp(X[:1] + H @ W)]
        for t in (1, 2):
            h.append(np.tanh(X[t : t + 1] + h[-1] @ W))
        (R,) = graph.projection.weights
        dx, dh = with_kept_sum(R, h, [lambda y: y, slope_of_tanh, slope_of_tanh])
        assert_gives(graph, offered(graph, state_mistakes)[1], x=dx, h=dh)


def test_a_state_of_two_rounds_before():
    def forward(x, h, w):
        out = [h]
        for t in range(3):  # the first two rounds read the input h
            out.append(np.tanh(x[t : t + 1] + out[max(t - 1, 0)] @ w))
        return np.concatenate(out)

    with graph_of(forward, X, H, W) as graph:
        (((nodes, j),),) = find_states(graph)
        assert (nodes[0].name, j) == ("matmul", 0)
        for hypothesis in state_mistakes(graph):  # each of them changes derivatives only, and no value
            assert_gives(graph, hypothesis)


def test_a_state_that_forward_sets_to_zero_in_one_round():
    def forward(x, h, w):
        out = []
        for t in range(3):
            state = np.zeros((1, 2)) if t == 1 else h
            h = np.tanh(x[t : t + 1] + state @ w) + state @ w
            out.append(h)
        return np.concatenate(out)

    with graph_of(forward, X, H, W) as graph:
        (uses,) = find_states(graph)
        assert [(nodes[0].name, j) for nodes, j in uses] == [("matmul", 0), ("matmul", 0)]
        (R,) = graph.projection.weights
        later = next(h for h in state_mistakes(graph) if h.mistake == LOST)
        tanh = [np.tanh(X[:1] + H @ W), np.tanh(X[1:2])]
        tanh.append(np.tanh(X[2:] + tanh[1] @ W))
        assert_gives(graph, later, x=R * (1 - np.concatenate(tanh) ** 2), h=R[:1] * (2 - tanh[0] ** 2) @ W.T)


def test_all_uses_of_a_state_come_before_one_use():
    with graph_of(two_uses, X, H, W) as graph:
        ranks = [h.rank for h in state_mistakes(graph) if h.mistake == LOST]
        assert max(ranks) < min(h.rank for h in cut_paths(graph) if h.mistake == LOST)


def test_the_states_of_two_loops_are_both_lost():
    def encoder_and_decoder(x, h, w):
        for t in range(3):
            h = np.tanh(x[t : t + 1] + h @ w)
        s, out = h, []
        for t in range(2):
            s = np.sin(x[t : t + 1] + s @ w)
            out.append(s)
        return np.concatenate(out)

    with graph_of(encoder_and_decoder, X, H, W) as graph:
        (R,) = graph.projection.weights
        both = [h for h in state_mistakes(graph) if h.mistake == LOST]
        assert len(both) == 2
        h = states()
        s = [h[3]]
        for t in range(2):
            s.append(np.sin(X[t : t + 1] + s[-1] @ W))
        z = [np.cos(X[t : t + 1] + s[t] @ W) for t in range(2)]
        dx = 0 * X
        dx[0], dx[1] = (R[0] * z[0])[0], (R[1] * z[1])[0]
        assert_gives(graph, both[1], x=dx)  # neither loop passes a gradient
        dx[2] = ((R[:1] * z[0]) @ W.T * (1 - h[3] ** 2))[0]
        assert_gives(graph, both[0], x=dx)  # only the first round of each loop passes its gradient
        ranks = [hypothesis.rank for hypothesis in both]
        assert max(ranks) < min(h.rank for h in cut_paths(graph) if h.mistake == LOST)


def test_two_states():
    def lstm(x, h, c, w):
        for t in range(3):
            c = np.tanh(c * x[t : t + 1] + h @ w)
            h = c * 0.5 + x[t : t + 1]
        return h

    with graph_of(lstm, X, H, H + 1, W) as graph:
        assert len(find_states(graph)) == 2
        both = [
            h for h in state_mistakes(graph) if "`c` or through `h`" in h.evidence or "`h` or through `c`" in h.evidence
        ]
        assert len(both) == 2 and {h.mistake for h in both} == {LOST}
        (R,) = graph.projection.weights
        c, h = H + 1, H
        for t in range(3):
            before = c
            c = np.tanh(c * X[t : t + 1] + h @ W)
            h = c * 0.5 + X[t : t + 1]
        dx = 0 * X
        dx[2] = (R + 0.5 * R * (1 - c**2) * before)[0]
        assert_gives(graph, both[0], x=dx)
        assert {len(h.changes) for h in both} == {4, 6}
        alone = [h.rank for h in state_mistakes(graph) if h.mistake == KEPT and " and " not in h.evidence]
        assert alone and max(alone) < both[0].rank == both[1].rank


class Pair:
    """Two states: c becomes tanh(c h), and h becomes c + x w. One operation reads both."""

    def __init__(self, x, h, c, w):
        self.h, self.c = [h], [c]
        for t in range(3):
            self.c.append(np.tanh(self.c[-1] * self.h[-1]))
            self.h.append(self.c[-1] + x[t : t + 1] @ w)

    @staticmethod
    def forward(x, h, c, w):
        out = []
        for t in range(3):
            c = np.tanh(c * h)
            h = c + x[t : t + 1] @ w
            out.append(np.concatenate([h, c]))
        return np.stack(out)

    def gradients(self, R, loses=False, keeps=False, carries=False):
        """Return dx, dh and dc of a backward that loses both gradients, or resets neither of them."""
        dh, dc, dx, all_dh, all_dc = 0 * H, 0 * H, 0 * X, 0 * H, 0 * H
        for t in (2, 1, 0):
            dh, dc = dh + R[t, :1], dc + R[t, 1:]
            dx[t] = (dh @ W.T)[0]
            dc = dc + dh
            dz = dc * (1 - self.c[t + 1] ** 2)
            new_dh, new_dc = dz * self.c[t], dz * self.h[t]
            dh, dc = (dh + new_dh, dc + new_dc) if keeps else (new_dh, new_dc)
            if carries:
                all_dh, all_dc = all_dh + dh, all_dc + dc
                dh, dc = all_dh, all_dc
            if loses and (t > 0 or loses == "everywhere"):
                dh, dc = 0 * H, 0 * H
        return {"x": dx, "h": dh, "c": dc}


def test_two_states_that_one_operation_reads():
    inputs = X, H, H + 0.5, W
    pair = Pair(*inputs)
    with graph_of(Pair.forward, *inputs) as graph:
        (R,) = graph.projection.weights
        found = list(state_mistakes(graph))
        both = [h for h in found if "`c`" in h.evidence and "`h`" in h.evidence]
        later, everywhere = [h for h in both if h.mistake == LOST]
        assert_gives(graph, later, **pair.gradients(R, loses=True))
        assert_gives(graph, everywhere, **pair.gradients(R, loses="everywhere"))
        running, kept = [h for h in both if h.mistake == KEPT]
        assert_gives(graph, running, **pair.gradients(R, carries=True))
        assert_gives(graph, kept, **pair.gradients(R, keeps=True))
        alone = [h for h in found if h.mistake == KEPT and h not in both]
        assert len(alone) == 4
        for h in (running, kept):  # a mistake about one state comes first, and a lost gradient comes last
            assert min(a.rank for a in alone) < h.rank < later.rank == everywhere.rank
        assert running.rank < kept.rank and kept.evidence.endswith("still contain the terms of later rounds")


def test_all_uses_of_a_state_are_cut():
    with graph_of(two_uses, X, H, W) as graph:
        (uses,) = find_states(graph)
        numbers = sorted(n.number for nodes, _ in uses for n in nodes)
        assert sorted(cut_uses(uses, False)) == numbers
        assert sorted(cut_uses(uses, True)) == numbers[2:]


def test_the_value_of_another_round():
    a, b, c, d = (np.full(2, k) for k in (1.0, 2.0, 3.0, 4.0))

    def found(values, after):
        return [([int(v[0]) for v in values], text) for values, text in neighbouring_rounds(values, after)]

    assert [values for values, _ in found([a, b, c], d)] == [
        [2, 3, 4], [4, 1, 2], [1, 1, 2], [0, 1, 2], [3, 1, 2], [2, 3, 1], [2, 3, 0], [3, 2, 1],
    ]  # fmt: skip
    assert [values for values, _ in found([a, b, c], None)][:2] == [[2, 3, 3], [3, 1, 2]]
    assert "later" in found([a, b, c], d)[0][1] and "earlier" in found([a, b, c], d)[1][1]
    assert "reversed" in found([a, b, c], d)[-1][1]
    assert [values for values, _ in found([0 * a, b, 0 * c], d)][3] == [0, 0, 2]
    assert [values for values, _ in found([0 * a, b, 0 * c], d)][6] == [2, 0, 0]
    assert len(found([a, b], None)) == 7 and found([a], d) == [] and found([a, np.ones(3)], d) == []
    assert found([a, b], np.ones(3)) == []  # the value after the loop has another shape


def test_the_evidence_names_the_state():
    with graph_of(one_use, X, H, W) as graph:
        assert "the gradient of `h`" in the(graph, lambda g: list(state_mistakes(g))[:1]).evidence
