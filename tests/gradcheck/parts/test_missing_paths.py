"""Test hypotheses about paths: the changed forward has the gradient of a backward that leaves the path out."""

import numpy as np
from wrong_gradients import assert_gives, graph_of, offered, the

from nnscratch.gradcheck.diagnosis.hypotheses import Hypothesis
from nnscratch.gradcheck.diagnosis.missing_paths import (
    cut_paths,
    scale_output_weights,
    single_paths,
    skipped_rounds,
    two_cut_paths,
    upstream_missing,
    upstream_transposed,
)

X = np.array([[1.0, -2.0], [0.3, 1.2], [0.9, 0.4]])
W = np.array([[0.4, -1.1], [0.9, 0.2]])
H = np.array([[0.7, -0.2]])


def mistakes(hypotheses):
    return [h.mistake for h in hypotheses]


def recurrent(x, h, w):
    for t in range(3):
        h = np.tanh(x[t : t + 1] + h @ w)
    return h


def states():
    found = [H]
    for t in range(3):
        found.append(np.tanh(X[t : t + 1] + found[-1] @ W))
    return found


def gradients(R, through=(True, True, True), last=(True, True, True)):
    """Return the gradients of `recurrent`; the state's gradient passes round t only if ``through[t]``."""
    h, d, dx, dw = states(), R, 0 * X, 0 * W
    for t in (2, 1, 0):
        dz = d * (1 - h[t + 1] ** 2)
        dx[t] = dz[0]
        dw += h[t].T @ dz
        d = dz @ W.T * through[t]
    return {"x": dx, "h": d, "w": dw}


def sums(x, w):
    s = 0.0
    for t in range(3):
        s = s + x[t] @ w
    return s


# --- cuts ------------------------------------------------------------------------------------------------------------


def test_a_missing_path():
    with graph_of(lambda x, w: np.tanh(x @ w) + x, X, W) as graph:
        (R,) = graph.projection.weights
        dz = R * (1 - np.tanh(X @ W) ** 2)
        h = the(graph, cut_paths, "no gradient passed through `np.tanh(x @ w)`")
        assert h.mistake == "a path missing" and h.only is None
        assert_gives(graph, h, x=R, w=0 * W)
        by_x = next(h for h in cut_paths(graph) if h.only == "x" and "x @ w" in h.place)
        assert_gives(graph, by_x, x=R, w=X.T @ dz)
        ranks = [h.rank for h in cut_paths(graph) if h.mistake == "a path missing" and h.only is None]
        assert ranks == sorted(ranks, reverse=True)  # the last cut of a chain comes first
        assert ranks[-1] < ranks[0]


def test_a_missing_bias():
    with graph_of(lambda x, w, b: x @ w + b, X, W, H[0]) as graph:
        (R,) = graph.projection.weights
        found = offered(graph, cut_paths)
        assert found[0].mistake == "bias's share missing" and found[0].only == "b"
        assert_gives(graph, found[0], b=0 * H[0], x=R @ W.T)
        assert mistakes(found)[1:] == ["a path missing"] * (len(found) - 1)


def test_a_missing_path_between_rounds():
    with graph_of(recurrent, X, H, W) as graph:
        (R,) = graph.projection.weights
        cut = next(h for h in cut_paths(graph) if "no gradient passed through `h`" in h.evidence)
        between = the(graph, cut_paths, "from round to round through `h`")
        assert cut.mistake == between.mistake == "the state's own path missing" and between.rank < cut.rank
        later = gradients(R, through=(True, False, False))
        assert_gives(graph, between, x=later["x"], h=0 * H)
        assert_gives(graph, cut, x=gradients(R, through=(False, False, False))["x"], h=0 * H)
        assert cut.rank < min(h.rank for h in cut_paths(graph) if h.mistake == "a path missing")

    def every_state(x, h, w):
        hs = []
        for t in range(3):
            h = np.tanh(x[t : t + 1] + h @ w)
            hs.append(h)
        return np.concatenate(hs)

    with graph_of(every_state, X, H, W) as graph:  # the first state still gets its gradient
        (R,) = graph.projection.weights
        dz = R * (1 - every_state(X, H, W) ** 2)
        between = the(graph, cut_paths, "from round to round through `h`")
        assert_gives(graph, between, x=dz, h=dz[:1] @ W.T)


def test_rounds_of_one_path():
    with graph_of(sums, X, W) as graph:
        (R,) = graph.projection.weights
        expected = {
            "only in the last of 3 rounds": ([0, 0, 1], "only the last round of the loop counted"),
            "only in the first of 3 rounds": ([1, 0, 0], "only the first round of the loop counted"),
            "in all 3 rounds except the last": ([1, 1, 0], "the last round of the loop not counted"),
            "in all 3 rounds except the first": ([0, 1, 1], "the first round of the loop not counted"),
        }
        for words, (kept, mistake) in expected.items():
            h = the(graph, cut_paths, f"as if `w` were used {words}")
            assert h.mistake == mistake and h.only == "w"
            assert_gives(graph, h, w=(X * np.array(kept)[:, None]).sum(0)[:, None] * R)
        kept = [h.rank for h in cut_paths(graph) if h.mistake.startswith("only the")]
        left = [h.rank for h in cut_paths(graph) if h.mistake.endswith("not counted")]
        whole = [h.rank for h in cut_paths(graph) if h.mistake == "a path missing"]
        assert max(kept) < min(left) == max(left) < min(whole)
        factors = {"has the wrong sign": (-1, "sign flipped"), "is counted twice": (2, "counted twice"),
                   "is multiplied by 0.5": (0.5, "scaled by a constant")}  # fmt: skip
        for words, (c, mistake) in factors.items():
            h = next(h for h in cut_paths(graph) if f"through `x[t] @ w` {words}, in every round" in h.evidence)
            assert h.mistake == mistake
            assert_gives(graph, h, w=c * X.sum(0)[:, None] * R)
        scaled = [h.rank for h in offered(graph, cut_paths) if "in every round" in h.evidence]
        twice = [h.rank for h in cut_paths(graph) if h.mistake == "counted twice"]
        assert max(scaled[0], *twice) < min(kept) and max(whole) < scaled[-1] < 7  # one right block has the rank 7
        assert scaled[0] < the(graph, upstream_missing, "dy were 1").rank
        assert max(h.rank for h in skipped_rounds(graph)) < min(whole)


def test_two_rounds_have_no_rounds_that_are_not_counted():
    def two(x, w):
        s = 0.0
        for t in range(2):
            s = s + x[t] @ w
        return s

    with graph_of(two, X, W) as graph:
        (R,) = graph.projection.weights
        assert not any(m.endswith("not counted") for m in mistakes(cut_paths(graph)))
        h = the(graph, cut_paths, "as if `w` were used only in the last of 2 rounds")
        assert_gives(graph, h, w=np.outer(X[1], R))
        assert_gives(graph, the(graph, skipped_rounds, "the first of 2 rounds"), w=np.outer(X[1], R))


def test_a_state_and_an_output():
    def forward(x, h, w):
        ys = []
        for t in range(3):
            h = np.tanh(x[t : t + 1] + h @ w)
            ys.append(h)
        return np.concatenate(ys) * 2.0, h

    with graph_of(forward, X, H, W) as graph:
        Ry, Rh = (
            graph.projection.weights[0] if isinstance(graph.projection.weights[0], tuple) else graph.projection.weights
        )
        h = states()

        def dx(through, last, sign=1.0, first=None):
            d, found = last * Rh, 0 * X
            for t in (2, 1, 0):
                dz = (d + 2 * Ry[t]) * (1 - h[t + 1] ** 2)
                found[t] = dz[0]
                d = sign * dz @ W.T * through
            return found

        names = sorted(h.evidence.split("gradient of ")[-1] for h in cut_paths(graph) if "ignores" in h.evidence)
        assert len(set(names)) == 2
        ignored = [h for h in cut_paths(graph) if f"ignores the gradient of {names[-1]}" in h.evidence]
        assert mistakes(ignored) == ["the state's own path missing"] * 2 and len(ignored[0].changes) == 3
        assert "no gradient passed through `h`" in ignored[0].evidence
        assert "no gradient came back from round to round through `h`" in ignored[1].evidence
        assert_gives(graph, ignored[0], x=dx(0, 0), h=0 * H)
        assert_gives(graph, ignored[1], x=dx(0, 0))
        turned = [h for h in cut_paths(graph) if f"and of the gradient of {names[-1]}" in h.evidence]
        assert mistakes(turned) == ["sign flipped"] * 2 and [len(h.changes) for h in turned] == [3, 2]
        assert_gives(graph, turned[0], x=dx(1, -1, -1.0))
        assert turned[0].rank < the(graph, upstream_missing, "dy were 1").rank < ignored[0].rank < 3.1
    with graph_of(recurrent, X, H, W) as graph:  # the only output cannot be ignored
        assert not any("ignores" in h.evidence for h in cut_paths(graph))

    def with_indices(x, h, w):
        h = recurrent(x, h, w)
        return h, np.argmax(h, axis=1)

    with graph_of(with_indices, X, H, W) as graph:  # an output of integers has no gradient
        assert not any("ignores" in h.evidence for h in cut_paths(graph))


def test_an_output_of_one_step_that_backward_ignores():
    def step(x, h, w):
        c = np.tanh(x @ w + h)
        return c * 2.0, c

    with graph_of(step, X, X[:, :1] + 1, W[:, :1]) as graph:
        ((double, single),) = graph.projection.weights
        slope = 1 - np.tanh(X @ W[:, :1] + X[:, :1] + 1) ** 2
        for number, place, dy in ((0, "c * 2.0", single), (1, "np.tanh(x @ w + h)", 2 * double)):
            words = f"backward ignores the gradient of output[0][{number}]"
            (h,) = [h for h in cut_paths(graph) if h.evidence == words]
            assert h.place.endswith(place)
            assert_gives(graph, h, h=dy * slope)


# --- rounds ----------------------------------------------------------------------------------------------------------


def test_skipped_rounds():
    with graph_of(recurrent, X, H, W) as graph:
        (R,) = graph.projection.weights
        true = gradients(R)
        found = {h.evidence.split("through the ")[1]: h for h in skipped_rounds(graph)}
        assert {words: h.mistake for words, h in found.items()} == {
            "first of 3 rounds": "the first time step not counted",
            "last of 3 rounds": "the last time step not counted",
            "first 2 of 3 rounds": "only the last time step counted",
            "last 2 of 3 rounds": "only the first time step counted",
        }
        assert_gives(graph, found["first of 3 rounds"], x=true["x"] * [[0], [1], [1]])
        assert_gives(graph, found["first 2 of 3 rounds"], x=true["x"] * [[0], [0], [1]])
        assert_gives(graph, found["last of 3 rounds"], x=0 * X, w=0 * W)
        ranks = [h.rank for h in skipped_rounds(graph)]
        assert ranks[0] == ranks[1] < ranks[2] < ranks[0] + 0.1
    with graph_of(lambda x, w: np.tanh(sums(x, w)), X, W) as graph:  # with an operation after the loop
        (R,) = graph.projection.weights
        dy = R * (1 - np.tanh(sums(X, W)) ** 2)
        h = the(graph, skipped_rounds, "through the first 2 of 3 rounds")
        assert_gives(graph, h, w=np.outer(X[2], dy))
    with graph_of(sums, X, W) as graph:
        assert all("round of the loop" in m for m in mistakes(skipped_rounds(graph)))
    with graph_of(lambda x, w: x @ w, X, W) as graph:
        assert list(skipped_rounds(graph)) == []


def test_at_most_eleven_rounds_are_skipped():
    def loop(h, w):
        for _ in range(14):
            h = h * w
        return h

    with graph_of(loop, H, H / H + 0.1) as graph:
        assert len(list(skipped_rounds(graph))) == 2 * 11


# --- statistics ------------------------------------------------------------------------------------------------------


def test_two_statistics_that_backward_takes_for_constants():
    def centred(x):
        m = x.mean(axis=1, keepdims=True)
        s = (x * x).sum(axis=1, keepdims=True)
        return (x - m) * s

    with graph_of(centred, X) as graph:
        (R,) = graph.projection.weights
        h = the(graph, two_cut_paths, "`m`", "`s`")
        assert h.mistake == "a path missing"
        assert_gives(graph, h, x=R * (X * X).sum(1, keepdims=True))
        assert max(h.rank for h in cut_paths(graph) if h.mistake == "a path missing") < h.rank < 4
        graph.can_be_wrong = set()  # no single mistake explains the gradient
        assert the(graph, two_cut_paths, "`m`", "`s`").changes.keys() == h.changes.keys()

    def turned(x):
        m, s = x.mean(axis=1, keepdims=True), (x * x).sum(axis=1, keepdims=True)
        return s * (m - x)

    with graph_of(turned, X) as graph:
        (R,) = graph.projection.weights
        assert_gives(graph, the(graph, two_cut_paths, "`m`", "`s`"), x=-R * (X * X).sum(1, keepdims=True))

    def one_operation(x):
        column, row = x.mean(axis=1, keepdims=True), x.mean(axis=0, keepdims=True)
        return x + column * row

    with graph_of(one_operation, X) as graph:  # the same as no gradient through the product
        assert list(two_cut_paths(graph)) == []
    with graph_of(lambda x: np.tanh(x * 2.0) - np.exp(x * 3.0), X) as graph:  # no statistics
        assert list(two_cut_paths(graph)) == []
    with graph_of(lambda x: x - x.mean(axis=1, keepdims=True), X) as graph:
        assert all("`x.mean" in h.evidence for h in two_cut_paths(graph))
    with graph_of(lambda x, b: x * b, X, H) as graph:  # b is an array, and not a statistic
        assert list(two_cut_paths(graph)) == []


# --- upstream --------------------------------------------------------------------------------------------------------


def test_a_backward_that_ignores_dy():
    with graph_of(lambda x, w: np.tanh(x @ w), X, W) as graph:
        dz = 1 - np.tanh(X @ W) ** 2
        h = the(graph, upstream_missing, "dy were 1")
        assert h.mistake == "upstream gradient missing" and h.rank < 2
        assert_gives(graph, h, w=X.T @ dz, x=dz @ W.T)
        inside = the(graph, upstream_missing, "the result of `x @ w`")
        assert_gives(graph, inside, w=X.T @ np.ones((3, 2)), x=np.ones((3, 2)) @ W.T)
        assert 6 < inside.rank < 7 and mistakes([inside]) == ["upstream gradient missing"]
    with graph_of(lambda x, w: np.tanh((x @ w).sum()), X, W) as graph:  # dy of a loss is 1
        assert not any("dy were 1" in h.evidence for h in upstream_missing(graph))
        assert len(list(upstream_missing(graph))) == 1  # the matrix x @ w, and not the single numbers
    with graph_of(recurrent, X, H, W) as graph:
        assert len(list(upstream_missing(graph))) == 1  # and no operation of a loop
    with graph_of(lambda x: (np.tanh(x * 2.0), np.argmax(x)), X[0]) as graph:  # two elements, and an index
        assert len(list(upstream_missing(graph))) == 3
    with graph_of(lambda x, c: np.tanh((x * c).sum()), X, np.array(2.0)) as graph:
        assert len(list(upstream_missing(graph))) == 1
    with graph_of(lambda a, b: a * b + a, np.array(2.0), np.array(3.0)) as graph:
        assert len(list(upstream_missing(graph))) == 2  # in a graph of numbers, each result counts


def test_two_axes_of_dy_are_exchanged():
    square, cube = np.random.default_rng(0).normal(size=(2, 2)), np.random.default_rng(1).normal(size=(2, 3, 3))
    with graph_of(lambda x: x * 3.0, square) as graph:
        (R,) = graph.projection.weights
        h = the(graph, upstream_transposed)
        assert h.mistake == "transposed" and "axes 0 and 1 of dy were" in h.evidence
        assert_gives(graph, h, x=3 * R.T)
    with graph_of(lambda x, b: x + b, square, H[0]) as graph:
        bias = next(h for h in cut_paths(graph) if h.mistake == "bias's share missing")
        assert the(graph, upstream_transposed).rank < bias.rank
    with graph_of(lambda x: (x[0], x * 3.0), cube) as graph:
        ((first, second),) = graph.projection.weights
        dx = 3 * second.swapaxes(1, 2)
        dx[0] += first
        assert_gives(graph, the(graph, upstream_transposed, "axes 1 and 2 of dy of output[0][1]"), x=dx)
        assert len(list(upstream_transposed(graph))) == 2  # and the axes of output[0]


def test_the_weights_of_one_output():
    weights = (np.ones(2), {"a": np.ones(3), "b": (np.ones(1), None)})
    scaled = scale_output_weights(weights, "output[1]['a']", -1)
    assert scaled[0].tolist() == [1, 1] and scaled[1]["a"].tolist() == [-1, -1, -1] and scaled[1]["b"][1] is None
    assert scale_output_weights(weights, "output[1]['b'][0]", 0)[1]["b"][0].tolist() == [0]
    assert scale_output_weights(weights, "output[0]", 3)[0].tolist() == [3, 3] and weights[0].tolist() == [1, 1]
    assert scale_output_weights((None,), "output[0]", 3) == (None,)


def test_paths_that_lie_once_on_every_way():
    with graph_of(recurrent, X, H, W) as graph:
        assert {only for _, only, _, _ in single_paths(graph)} == {"w"} or {
            only for _, only, _, _ in single_paths(graph)
        } == {"w", "x"}
    with graph_of(lambda x, w: np.tanh(x @ w) + x, X, W) as graph:
        found = {path: cut for cut, _, _, path in single_paths(graph)}
        assert set(found) >= {"`w`", "`x`", "`x @ w`", "`np.tanh(x @ w)`"}
        (R,) = graph.projection.weights
        assert_gives(graph, Hypothesis(0, "", "", "", found["`x @ w`"]), x=R, w=0 * W)
