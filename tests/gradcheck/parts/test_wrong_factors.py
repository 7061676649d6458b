"""Test hypotheses about products: the changed forward has the gradient of a backward with the wrong factor."""

import numpy as np
import pytest
from wrong_gradients import assert_gives, graph_of, offered, the

from nnscratch.gradcheck.diagnosis.wrong_factors import (
    alternative_factors,
    state_after,
    swapped_blocks,
    wrong_factors,
    wrong_powers,
)

A = np.array([[1.0, -2.0, 0.5], [0.3, 1.2, -0.7]])
B = np.array([[0.6, 0.9, -1.4], [2.1, -0.8, 0.4]])
X = np.array([[1.0, -2.0], [0.3, 1.2]])
W = np.array([[0.4, -1.1], [0.9, 0.2]])


def mistakes(hypotheses):
    return [h.mistake for h in hypotheses]


# --- products of elements --------------------------------------------------------------------------------------------


def test_the_factors_of_an_elementwise_product():
    with graph_of(lambda a, b: a * b, A, B) as graph:
        (R,) = graph.projection.weights
        for u, v, name, other in (("a", "b", A, B), ("b", "a", B, A)):
            wrong = {"by 1": R, "its square": R * other**2, "its inverse": R / other}
            wrong |= {f"reverse along axis {k}": R * np.flip(other, k) for k in (0, 1)}
            for words, gradient in wrong.items():
                h = the(graph, wrong_factors, f"gradient of `{u}`, backward replaces `{v}`", words)
                assert h.only == u
                assert_gives(graph, h, **{u: gradient, v: R * name})
        exchanged = the(graph, wrong_factors, mistake="two gradients exchanged")
        assert_gives(graph, exchanged, a=R * A, b=R * B)


def test_the_order_of_the_mistakes_of_a_product():
    with graph_of(lambda a, b: a * b, A, B) as graph:
        assert mistakes(offered(graph, wrong_factors)) == [
            "two gradients exchanged",
            *["a factor missing"] * 2,
            *["axes reversed"] * 4,
            *["the wrong array used"] * 2,
            *["a factor applied twice"] * 2,
            *["divided instead of multiplied"] * 2,
        ]
    with graph_of(lambda a, b: a * b, A, B[:1]) as graph:  # factors of different shapes cannot be exchanged
        found = offered(graph, wrong_factors)
        assert "two gradients exchanged" not in mistakes(found)
        assert sum("along axis 0" in h.evidence for h in found) == 1  # one row cannot be reversed
    with graph_of(lambda a: a * B, A) as graph:
        assert "two gradients exchanged" not in mistakes(offered(graph, wrong_factors))
        assert all(h.only == "a" for h in wrong_factors(graph))
    with graph_of(lambda a: a * 3.0, A) as graph:  # a number has no wrong axes, and other files test a wrong constant
        assert offered(graph, wrong_factors) == []
    with graph_of(lambda a, b: a * b, A, B * (B > 0)) as graph:  # no inverse of a zero
        found = [h.evidence for h in wrong_factors(graph) if "inverse" in h.evidence]
        assert len(found) == 1 and "gradient of `b`" in found[0]


def test_a_quotient():
    with graph_of(lambda a, b: a / b, A, B) as graph:
        (R,) = graph.projection.weights
        assert_gives(graph, the(graph, wrong_factors, "`a`", "by 1"), a=R, b=-R * A / B**2)
        assert_gives(graph, the(graph, wrong_factors, "`a`", "its inverse"), a=R * B)
        assert_gives(graph, the(graph, wrong_factors, "`a`", "its square"), a=R / B**2)
        assert all("gradient of `a`" in h.evidence for h in wrong_factors(graph))  # wrong_powers tests `b`
        inverse = the(graph, wrong_factors, mistake="multiplied instead of divided")
        assert inverse.rank == 4.6


def test_a_mask():
    mask = np.array([[0.0, 2.0, 2.0], [2.0, 0.0, 2.0]])
    with graph_of(lambda a: a * mask, A) as graph:
        (R,) = graph.projection.weights
        wrong = {"by 1": R, "by 2": 2 * R, "mask of 0 and 1": R * (mask > 0), "inverted": R * (2 - mask)}
        for words, gradient in wrong.items():
            assert_gives(graph, the(graph, wrong_factors, words), a=gradient)
        found = offered(graph, wrong_factors)
        assert mistakes(found)[:4] == [
            "mask not applied", "keep-probability not applied", "mask not applied", "mask inverted",
        ]  # fmt: skip
        assert "by 1" in found[0].evidence and "by 2" in found[2].evidence
        assert "a factor missing" not in mistakes(found)
    with graph_of(lambda a: a * (mask / 2), A) as graph:
        assert "keep-probability not applied" not in mistakes(offered(graph, wrong_factors))
    for factor in (mask - 2, mask * 0 + 2, mask * 0, mask + np.eye(2, 3)):  # these are not masks
        with graph_of(lambda a, factor=factor: a * factor, A) as graph:
            assert "mask not applied" not in mistakes(offered(graph, wrong_factors))


def test_the_scale_of_a_mask_that_comes_from_the_data():
    labels = np.array([[1.0, 0.0, 1.0], [1.0, 1.0, 0.0]])

    def times(a, y):
        m = 2.5 * y
        return a * m

    def divided(a, y):
        m = y / 0.4
        return a * m

    def of_two_arrays(a, y):
        m = (1 + 0 * y) * y * 2.5 * (y > -1)
        return a * m

    for forward, words in ((times, "`2.5` of `m`"), (divided, "`1 / 0.4` of `m`"), (of_two_arrays, "2.5")):
        with graph_of(forward, A, labels) as graph:
            (R,) = graph.projection.weights
            h = the(graph, wrong_factors, "gradient of `a`", f"leaves out the factor {words}")
            assert (h.rank, h.mistake) == (1.2, "a factor missing")
            assert_gives(graph, h, a=R * labels)
            inverted = the(graph, wrong_factors, "gradient of `a`", mistake="mask inverted")
            assert inverted.rank == 1.3
    with graph_of(lambda a, y: a * y, A, 2.5 * labels) as graph:  # the caller scales the mask
        the(graph, wrong_factors, "gradient of `a`", "leaves out the factor 2.5")
    with graph_of(lambda a, y: a * y, A, labels) as graph:
        assert "a factor missing" not in mistakes(h for h in wrong_factors(graph) if "of `a`" in h.evidence)


def test_a_mask_for_each_round_of_a_loop():
    def loop(x, masks):
        for t in range(3):
            x = x * masks[t]
        return x

    def found(*masks):
        masks = 0.5 * np.array(masks)
        with graph_of(lambda x: loop(x, masks), X[:1]) as graph:
            return {h.mistake for h in wrong_factors(graph)}

    assert "mask not applied" in found([0, 0], [1, 0], [1, 1]) and "mask inverted" in found([1, 1], [1, 0], [1, 1])
    assert "mask not applied" not in found([1, 1], [1, 1], [1, 1]) | found([2, 0], [2, 1], [2, 2])


def test_the_complement_of_a_gate():
    def gate(x, a, b):
        z = 1 / (1 + np.exp(-x))
        return (1 - z) * a + z * b

    with graph_of(gate, A, B, A + B) as graph:
        (R,) = graph.projection.weights
        z = 1 / (1 + np.exp(-A))
        h = the(graph, wrong_factors, "gradient of `b`", "replaces `z` by `1 - z`")
        assert (h.rank, h.mistake) == (4, "the wrong array used")
        assert_gives(graph, h, b=R * (1 - z), a=R * (1 - z))
    with graph_of(lambda x, b: np.tanh(x) * b, A, B) as graph:
        assert not any("by `1 - " in h.evidence for h in wrong_factors(graph))


# --- products of matrices --------------------------------------------------------------------------------------------


def test_the_factors_of_a_matrix_product():
    with graph_of(lambda x, w: x @ w, X, W) as graph:
        (R,) = graph.projection.weights
        multiplies, replaced = ", backward multiplies by ", "gradient of `x`, backward replaces `w` by "
        assert_gives(graph, the(graph, wrong_factors, f"of `x`{multiplies}`w` instead of `w.T`"), x=R @ W, w=X.T @ R)
        assert_gives(graph, the(graph, wrong_factors, replaced + "the identity"), x=R)
        assert_gives(graph, the(graph, wrong_factors, "gradient of `x`, backward transposes"), x=R.T @ W.T, w=X.T @ R)
        assert_gives(graph, the(graph, wrong_factors, "gradient of `w`, backward transposes"), x=R @ W.T, w=X.T @ R.T)
        assert_gives(graph, the(graph, wrong_factors, f"of `w`{multiplies}`x` instead of `x.T`"), w=X @ R)
        assert_gives(graph, the(graph, wrong_factors, replaced, "along axis 0"), x=R @ W[::-1].T)
        assert mistakes(offered(graph, wrong_factors)) == [
            *["transposed"] * 4, *["a factor missing"] * 2, *["axes reversed"] * 4, *["the wrong array used"] * 4,
        ]  # fmt: skip
        assert_gives(graph, the(graph, wrong_factors, replaced + "`x`"), x=R @ X.T)
        assert_gives(graph, the(graph, wrong_factors, replaced + "`x.T`"), x=R @ X)


def test_a_matrix_that_is_not_square_is_not_used_without_its_transpose():
    with graph_of(lambda x, w: x @ w, A, B.T) as graph:
        found = offered(graph, wrong_factors)
        assert not any(
            "`w.T`" in h.evidence or "identity" in h.evidence for h in found if "gradient of `x`, " in h.evidence
        )
        assert sum("transposes the gradient" in h.evidence for h in found) == 2  # the result is square
    with graph_of(lambda x, w: x @ w, A.T, B) as graph:
        assert sum("transposes the gradient" in h.evidence for h in offered(graph, wrong_factors)) == 2
    with graph_of(lambda x, w: x @ w, A, np.ones((3, 4))) as graph:
        assert not any("transposes" in h.evidence for h in wrong_factors(graph))


def test_products_of_stacks():
    S, T = np.arange(1.0, 9).reshape(2, 2, 2) / 4, np.arange(3.0, 11).reshape(2, 2, 2) / 5
    with graph_of(lambda s, t: np.matmul(s, t), S, T) as graph:
        (R,) = graph.projection.weights
        h = the(graph, wrong_factors, "`s`", "`t.transpose(0, 2, 1)`")
        assert (h.rank, h.mistake) == (2, "transposed")
        assert_gives(graph, h, s=R @ T, t=np.swapaxes(S, 1, 2) @ R)
        assert sum("transpose(" in h.evidence for h in wrong_factors(graph)) == 10
    with graph_of(lambda s, t: s * t, S, T) as graph:
        assert not any("transpose(" in h.evidence for h in wrong_factors(graph))
    with graph_of(lambda s, t: np.matmul(s, t), S[:, :1], T) as graph:
        kept = {h.evidence[-17:] for h in wrong_factors(graph) if "`s.transpose(" in h.evidence}
        assert kept == {"transpose(2, 1, 0)`"[-17:]}  # the only order that keeps the shape (2, 1, 2)


def test_products_of_stacks_of_stacks():
    S = np.arange(1.0, 17).reshape(2, 2, 2, 2) / 7
    with graph_of(lambda s, t: np.matmul(s, t), S, S[::-1] + 1) as graph:
        the(graph, wrong_factors, "`s`", "`t.transpose(0, 1, 3, 2)`")


def test_einsum_with_two_arrays_is_a_product():
    with graph_of(lambda x, w: np.einsum("ij,jk->ik", x, w), X, W) as graph:
        (R,) = graph.projection.weights
        assert_gives(graph, the(graph, wrong_factors, "gradient of `x`", "confuses `w` and `w.T`"), x=R @ W)


# --- where the factor comes from -------------------------------------------------------------------------------------


def test_a_sum_with_the_other_sign():
    with graph_of(lambda a, b: a * (b + 0.3), A, B) as graph:
        (R,) = graph.projection.weights
        h = the(graph, wrong_factors, "`a`", "`b - 0.3`")
        assert (h.rank, h.mistake) == (2.9, "sign flipped")
        assert_gives(graph, h, a=R * (B - 0.3))
    with graph_of(lambda a, b: a * (b - 0.3), A, B) as graph:
        (R,) = graph.projection.weights
        assert_gives(graph, the(graph, wrong_factors, "`a`", "`b + 0.3`"), a=R * (B + 0.3))
    with graph_of(lambda a, b: a * (b * 0.3), A, B) as graph:
        assert "sign flipped" not in mistakes(wrong_factors(graph))


def test_a_factor_without_its_bias():
    c = np.array([0.5, -0.4, 1.5])
    with graph_of(lambda a, b, c: a * (b + c), A, B, c) as graph:
        (R,) = graph.projection.weights
        h = the(graph, wrong_factors, "`a`", mistake="bias's share missing")
        assert_gives(graph, h, a=R * B)


def test_a_factor_without_its_bias_may_be_a_block_of_the_sum():
    c = np.array([0.5, -0.4, 1.5, 0.8])
    b = np.arange(1.0, 9).reshape(2, 4) / 3

    def gates(a, b, c):
        z = b + c
        return a * z[:, 2:]

    with graph_of(gates, A[:, :2], b, c) as graph:
        (R,) = graph.projection.weights
        assert_gives(graph, the(graph, wrong_factors, "`a`", mistake="bias's share missing"), a=R * b[:, 2:])
        assert the(graph, wrong_factors, "`a`", mistake="bias's share missing").rank == 2.8

    def gates_in_time(a, b, c):
        z = b + c
        return a * z[..., 2:]

    steps = np.arange(1.0, 25).reshape(2, 3, 4) / 5
    with graph_of(gates_in_time, steps[..., :2] - 2, steps, c) as graph:
        (R,) = graph.projection.weights
        h = the(graph, wrong_factors, "`a`", mistake="bias's share missing")
        assert_gives(graph, h, a=R * steps[..., 2:])

    def two_rounds(a, b, c):
        for t in range(2):
            z = b[t] + c
            a = a * (z if t == 0 else z * 1.5)
        return a

    with graph_of(two_rounds, A[:, :2] * 1.0, np.stack([B, A])[..., :2], c[:2]) as graph:
        assert "bias's share missing" not in mistakes(wrong_factors(graph))  # the second factor is no sum
    with graph_of(lambda a, b, c: a * (b + c), A[0], b[0, :3], c[:3]) as graph:  # without broadcasting, c is no bias
        assert "bias's share missing" not in mistakes(wrong_factors(graph))
    with graph_of(lambda a, b, c: a * (b + c)[:, 1:], A, b, c) as graph:  # 3 columns are not a block of 4
        assert "bias's share missing" not in mistakes(wrong_factors(graph))


def test_another_array_of_forward():
    with graph_of(lambda a, b, c: a * b + c, A, B, A + 7) as graph:
        (R,) = graph.projection.weights
        assert_gives(graph, the(graph, wrong_factors, "gradient of `a`", "by `c`"), a=R * (A + 7), b=R * A)


def loop(x, h, w):
    for t in range(3):
        h = x[t] * h + w
    return h


def test_another_array_with_the_same_name():
    def forward(x, w, v):
        x = np.tanh(x @ w)
        return x @ v

    with graph_of(forward, X, W, W[::-1] * 0.7) as graph:
        (R,) = graph.projection.weights
        h = the(graph, wrong_factors, "gradient of `v`, backward replaces `x` by another array with the name `x`")
        assert_gives(graph, h, v=X.T @ R)


def test_the_state_of_another_round():
    x, h0 = np.array([0.5, -0.8, 1.1]), np.array([0.7, -0.2])
    with graph_of(loop, x, h0, np.array([0.1, 0.4])) as graph:
        found = {
            h.evidence.split("backward replaces `h` by ")[-1] for h in wrong_factors(graph) if "`h` by" in h.evidence
        }
        assert {h.rank for h in wrong_factors(graph) if "round" in h.evidence.split("backward")[1]} == {4}
        assert "its value one round later" in found and "its values in the reversed order of the rounds" in found
        (nodes,) = [nodes for nodes in graph.families.values() if nodes[0].name == "multiply"]
        after = state_after(graph, nodes, 1)
        expected = h0
        for t in range(3):
            expected = x[t] * expected + [0.1, 0.4]
        np.testing.assert_allclose(after, expected)
        assert state_after(graph, nodes, 0) is None  # x[t] is not a state


def test_layers_are_searched_one_by_one():
    def network(x, v0, v1):
        for v in (v0, v1):
            x = x * v
        return x

    with graph_of(network, A, B, A - 1) as graph:
        (nodes,) = graph.families.values()
        single = [h for h in wrong_factors(graph) if list(h.changes) == [nodes[0].number]]
        assert {h.only for h in single} == {"v0"}
        (R,) = graph.projection.weights
        h = next(h for h in single if h.mistake == "a factor missing")
        assert_gives(graph, h, v0=R * (A - 1), v1=R * A * B)


def test_the_edges_that_can_be_wrong_limit_the_search():
    with graph_of(lambda a, b: a * b, A, B) as graph:
        (nodes,) = graph.families.values()
        graph.can_be_wrong = {(nodes[0].family, 1)}
        assert {h.only for h in wrong_factors(graph)} == {"b", None}
        assert all(h.mistake for h in alternative_factors(graph, nodes, 0, 1))


# --- powers ----------------------------------------------------------------------------------------------------------


def test_another_power_of_a_divisor():
    s = np.array([0.5, 2.0, 1.5])
    with graph_of(lambda a, s: a / s, A, s) as graph:
        (R,) = graph.projection.weights
        for power, mistake in ((-3, "a factor applied twice"), (-4, "a factor applied twice"), (-1, "a factor missing"),
                               (0, "a factor missing"), (1, "a factor missing")):  # fmt: skip
            h = the(graph, wrong_powers, "`s`", f"to the power {power}, not -2")
            assert h.only == "s" and h.mistake == mistake and h.rank == pytest.approx(4.4 + 0.01 * abs(power + 2))
            assert_gives(graph, h, s=-(R * A).sum(0) * s**power, a=R / s)
        assert [h.evidence.split("power ")[1].split(",")[0] for h in offered(graph, wrong_powers)] == [
            "-1", "-3", "0", "-4", "1",
        ]  # fmt: skip
    with graph_of(lambda a, s: a * s, A, s) as graph:
        assert list(wrong_powers(graph)) == []


# --- blocks ----------------------------------------------------------------------------------------------------------


def test_two_exchanged_blocks():
    w, b = np.arange(1.0, 17).reshape(2, 8) / 9, np.ones(2)
    with graph_of(lambda x, w, b: x @ w + b @ np.ones((2, 8)), X, w, b) as graph:
        (R,) = graph.projection.weights
        h = the(graph, swapped_blocks, "4 blocks of 2 columns, blocks 1 and 3 are exchanged", "the result of `x @ w`")
        swapped = R[:, [4, 5, 2, 3, 0, 1, 6, 7]]
        assert h.mistake == "two gates swapped"
        assert_gives(graph, h, x=swapped @ w.T, w=X.T @ swapped)
        assert len([h for h in swapped_blocks(graph) if "`x @ w`" in h.evidence]) == 23
        h = the(graph, swapped_blocks, "in the order 2, 3, 1, 4 instead of 1, 2, 3, 4", "the result of `x @ w`")
        assert h.mistake == "gates in the wrong order"
        moved = R[:, [2, 3, 4, 5, 0, 1, 6, 7]]
        assert_gives(graph, h, x=moved @ w.T, w=X.T @ moved)
    with graph_of(lambda x: x @ w, X) as graph:  # w is a constant
        assert len(list(swapped_blocks(graph))) == 23
    with graph_of(lambda x, w: np.matmul(x, w), np.stack([X, X + 1, X - 2]), w) as graph:  # with an axis of time
        (R,) = graph.projection.weights
        h = the(graph, swapped_blocks, "4 blocks of 2 columns, blocks 1 and 3 are exchanged")
        assert_gives(graph, h, x=R[..., [4, 5, 2, 3, 0, 1, 6, 7]] @ w.T)
    with graph_of(lambda x, w: x @ w, X, w[:, :4]) as graph:  # blocks of one column
        assert list(swapped_blocks(graph)) == []
    with graph_of(lambda x, w: x @ w, X[:1].T, w[:1]) as graph:
        assert len(list(swapped_blocks(graph))) == 23
    with graph_of(lambda x, w: x @ w, A, np.arange(1.0, 25).reshape(3, 8) / 9) as graph:
        assert len(list(swapped_blocks(graph))) == 23
    with graph_of(lambda x, w: np.tanh(x @ w), A, np.ones((3, 8))) as graph:
        assert len(list(swapped_blocks(graph))) == 23  # of the product, and not of tanh
    with graph_of(lambda x, w: x @ w, np.ones((5, 3)), np.ones((3, 8))) as graph:
        assert list(swapped_blocks(graph)) == []  # no array has the size of a block
    with graph_of(lambda x, w: x @ w, A, np.arange(1.0, 28).reshape(3, 9) / 9) as graph:
        assert len(list(swapped_blocks(graph))) == 5


def test_the_factor_of_the_first_or_the_last_round_in_every_round():
    w = np.array([[0.4, -1.1, 0.2], [0.9, 0.2, -0.5], [1.4, 0.7, 0.1]])

    def forward(a, w):
        return np.stack([a[0] * w[k] for k in range(3)])

    with graph_of(forward, A, w) as graph:
        (R,) = graph.projection.weights
        for word, k in (("first", 0), ("last", 2)):
            h = the(graph, wrong_factors, "`a[0]`", f"its value in the {word} round, in every round")
            assert h.mistake == "the wrong array used"
            assert_gives(graph, h, a=np.vstack([(R * w[k]).sum(axis=0), 0 * A[1]]))
    with graph_of(lambda a, w: np.stack([a[0] * w[0] for _ in range(3)]), A, w) as graph:
        assert not any("in every round" in h.evidence for h in wrong_factors(graph))
