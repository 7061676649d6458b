"""Test the names of wrong dy: backward starts from R' instead of R, and R' is known."""

import numpy as np
import pytest
from wrong_gradients import case_of, ranked

from nnscratch.gradcheck import check_gradients
from nnscratch.gradcheck.adapters import make_adapter
from nnscratch.gradcheck.diagnosis.upstream_mistakes import left_out, name_upstream, solve_upstream, upstream_mistakes
from nnscratch.gradcheck.projection import Projection

R = np.array([[1.0, -2.0, 0.5], [0.3, 1.2, -0.7], [0.9, 0.4, -1.1], [1.4, -0.6, 0.8]])
SQUARE = R[:3]
STACK = np.arange(1.0, 25).reshape(2, 3, 4) * np.tile([1, -1], 12).reshape(2, 3, 4)
ROLES = {0: "sample", 1: "time"}


def named(used, right=R, roles=None):
    return [(mistake, evidence) for _, mistake, evidence in
            sorted(name_upstream(np.array(used), right, roles or {}), key=lambda found: found[0])]  # fmt: skip


# --- names of wrong dy -----------------------------------------------------------------------------------------------


def test_the_right_dy_and_a_random_dy_have_no_name():
    assert named(R) == [] and named(R * (1 + 5e-5)) == [] and named(R + 1.5 * R[::-1, ::-1]) == []


def test_one_sample_is_used_for_all():
    for k in range(4):
        ((mistake, evidence),) = named(np.tile(R[k], (4, 1)), roles=ROLES)
        assert mistake == "upstream gradient wrong" and evidence.endswith(f"sample {k} is used everywhere")
    ((_, evidence),) = named(3 * np.tile(R[:, 1:2], 3), roles=ROLES)
    assert evidence.endswith("time step 1 is used everywhere, times 3")
    ((_, evidence),) = named(np.tile(R[2], (4, 1)))
    assert "of index 2 along axis 0 is used" in evidence


def test_reversed_and_shifted_dy():
    assert named(R[::-1]) == [("axes reversed", "the incoming gradient is reversed along axis 0")]
    assert named(R[:, ::-1]) == [("axes reversed", "the incoming gradient is reversed along axis 1")]
    for step in (1, -1):
        for axis in (0, 1):
            assert named(np.roll(R, step, axis)) == [
                ("shifted by one", f"the incoming gradient is shifted by {step} along axis {axis}")
            ]
    assert [m for m, _ in named(R[:2][::-1], R[:2])] == ["axes reversed"]  # two rows cannot be shifted


def test_dy_with_the_gradients_of_other_rounds():
    assert named(np.cumsum(R, 0)) == [
        ("accumulator not reset", "each incoming gradient also contains all earlier gradients along axis 0")
    ]
    assert "all later gradients along axis 1" in named(np.cumsum(R[:, ::-1], 1)[:, ::-1])[0][1]


def test_the_mean_and_the_sum_of_dy():
    assert "the mean of the incoming gradient along axis 0" in named(np.broadcast_to(R.mean(0), R.shape))[0][1]
    assert (
        "the sum of the incoming gradient along axis 1"
        in named(np.broadcast_to(R.sum(1, keepdims=True), R.shape))[0][1]
    )


def test_a_transposed_or_reshaped_dy():
    assert named(SQUARE.T, SQUARE)[0][0] == "transposed"
    cube = np.arange(1.0, 19).reshape(2, 3, 3) ** 1.5
    assert named(cube.transpose(0, 2, 1), cube) == [("transposed", "the incoming gradient is dy.transpose(0, 2, 1)")]
    assert [m for m, _ in named(R.T.reshape(4, 3))] == ["reshaped instead of transposed"]
    assert [m for m, _ in named(R.reshape(3, 4).T)] == ["reshaped instead of transposed"]
    found = named(STACK.transpose(1, 0, 2).reshape(2, 3, 4), STACK)
    assert "transpose(1, 0, 2)" in found[0][1] and found[0][0] == "reshaped instead of transposed"
    five = np.arange(1.0, 33).reshape(2, 2, 2, 2, 2) ** 1.5
    assert named(five.transpose(1, 0, 2, 3, 4).reshape(five.shape), five) == []
    four = np.arange(1.0, 25).reshape(1, 2, 3, 4) ** 1.5
    assert named(four.transpose(0, 2, 1, 3).reshape(four.shape), four)[0][0] == "reshaped instead of transposed"


def test_a_function_of_dy():
    assert named(abs(R))[0][1].endswith("its absolute value") and named(np.sign(R))[0][1].endswith("its sign")
    assert named(R**2)[0][1].endswith("its square")


def test_dy_times_a_constant_in_some_places():
    used = R.copy()
    used[3] *= 2.5
    found = named(used)
    assert found[0][0] == "scaled by a constant" and "at index 3 along axis 0 is multiplied by 2.5" in found[0][1]
    assert "the last window may be smaller" in found[0][1]
    used = R.copy()
    used[[0, 2]] *= 2.5
    assert "at index 0, 2 along axis 0 is multiplied by 2.5" in named(used)[0][1] and "window" not in named(used)[0][1]
    used = R.copy()
    used[0, 1], used[2, 2] = -3 * R[0, 1], -3 * R[2, 2]
    assert named(used) == [
        ("scaled by a constant", "2 of 12 incoming gradients are multiplied by -3; the others are right")
    ]
    used[2, 2] = R[2, 2]
    assert named(used) == []  # one element may be anything
    used[2, 2] = 4 * R[2, 2]
    assert named(used) == []  # two factors
    assert named(3 * R) == []  # array_mistakes names a constant factor
    used = R.copy()
    used[3] *= 1.0005  # too near to 1
    assert not any("along axis 0" in evidence for _, evidence in named(used))


def test_small_and_inexact_dy():
    reversed_rows = [("axes reversed", "the incoming gradient is reversed along axis 0")]
    assert named(0.001 * R[::-1], 0.001 * R) == reversed_rows == named(R[::-1] * (1 + 5e-5))
    assert named(R[::-1] * (1 + 2e-4)) == []


def test_inexact_factors():
    # the equations give each element of dy to about a millionth
    assert named(R * counting(rows=[2]) * (1 + 3e-6), roles=ROLES)[0][0] == "one sample counted"
    used = R * (1 + 3e-5)
    used[3] *= 2.5
    assert "at index 3 along axis 0 is multiplied by 2.5" in named(used)[0][1]
    used = R * (1 + 3e-5)
    used[0, 1], used[2, 2] = -3 * R[0, 1], -3 * R[2, 2]
    assert "2 of 12 incoming gradients are multiplied by -3" in named(used)[0][1]


def test_axes_of_length_one_and_two():
    column, rows = R[:, :1], R[:2]
    assert named(3 * column, column) == []  # not "the gradient of index 0 is used everywhere"
    ((_, evidence),) = named(1.5 * np.tile(rows[0], (2, 1)), rows)
    assert evidence.endswith("index 0 along axis 0 is used everywhere, times 1.5")
    for right in (rows, column):
        used = right.copy()
        used[-1] *= 1.5
        assert f"at index {len(right) - 1} along axis 0 is multiplied by 1.5" in named(used, right)[0][1]
    assert outs(counting(rows=[2], shape=(4, 1)))[0][0] == "one sample counted"


def test_several_factors_are_no_constant():
    assert named(R * np.array([[1], [2], [3], [1]])) == []
    used = R.copy()
    used[0, 1], used[2, 2] = 1.5 * R[0, 1], 1.5 * R[2, 2]
    ((_, evidence),) = named(used)
    assert evidence.startswith("2 of 12 incoming gradients are multiplied by 1.5")


# --- outputs that are left out ---------------------------------------------------------------------------------------


def counting(rows=slice(None), columns=slice(None), shape=(4, 3)):
    mask = np.zeros(shape, dtype=bool)
    mask[rows, columns] = True
    return mask


def outs(mask, roles=ROLES):
    return [(m, e) for _, m, e in sorted(left_out(mask, roles), key=lambda found: found[0])]


def test_samples_that_are_not_counted():
    found = outs(counting(rows=[2]))
    assert found[0] == ("one sample counted", "backward counts only the outputs at index 2 along axis 0")
    found = outs(counting(rows=[0, 1, 3]))
    assert found[0] == ("one sample not counted", "backward counts only the outputs at index 0, 1, 3 along axis 0")
    assert not any("sample" in m for m, _ in outs(counting(rows=[0, 2])))
    assert not any("sample" in m for m, _ in outs(counting(rows=[2]), {}))
    # dy is zero at the samples that are not counted
    assert named(R * counting(rows=[2]), roles=ROLES)[0][0] == "one sample counted"


def test_time_steps_that_are_not_counted():
    assert outs(counting(columns=[2]))[0][0] == "only the last time step counted"
    assert outs(counting(columns=[0]))[0][0] == "only the first time step counted"
    assert outs(counting(columns=[1]))[0][0] == "a time step not counted"
    assert outs(counting(columns=[0, 1]))[0][0] == "the last time step not counted"
    assert outs(counting(columns=[1, 2]))[0][0] == "the first time step not counted"
    assert outs(counting(columns=[0, 2]))[0] == (
        "a time step not counted", "backward counts only the outputs at index 0, 2 along axis 1",
    )  # fmt: skip
    assert outs(counting(columns=[2]), {})[0][0] == "only the last round of the loop counted"
    first = outs(counting(columns=[0]))
    assert [m for m, _ in first][:2] == ["only the first time step counted", "the last time step not counted"]


def test_single_outputs_that_are_counted():
    for (row, column), word in (((0, 0), "first"), ((3, 2), "last")):
        found = outs(counting([row], [column]))
        assert found[0] == (
            f"only the {word} round of the loop counted",
            f"backward counts only the output at [{row}, {column}]",
        )
    assert not any("only the output at" in e for _, e in outs(counting([1], [1])))
    block = np.zeros((2, 3, 4), dtype=bool)
    block[0, 0] = True
    assert "backward counts only the outputs at [0, 0, ...]" in [e for _, e in outs(block)]


def test_outputs_in_the_order_of_memory():
    flat = np.zeros(12, dtype=bool)
    flat[:5] = True
    assert outs(flat.reshape(4, 3)) == [
        ("the last round of the loop not counted", "backward counts only the first 5 of 12 outputs")
    ]
    assert outs(flat[::-1].reshape(4, 3)) == [
        ("the first round of the loop not counted", "backward counts only the last 5 of 12 outputs")
    ]
    flat[7] = True
    ((mistake, evidence),) = outs(flat.reshape(4, 3))
    assert mistake == "a round of the loop not counted" and "only 6 of 12 outputs" in evidence


def test_the_more_specific_name_comes_first():
    ranks = {m: rank for rank, m, _ in left_out(counting(rows=[2]), ROLES)}
    assert ranks["one sample counted"] < ranks["a round of the loop not counted"]
    (few,) = (rank for rank, m, e in left_out(np.array([[1, 0], [1, 1]], dtype=bool), {}))
    assert max(ranks.values()) - 1e-9 < few < 4  # a wrong array of forward has the rank 4
    scaled = R.copy()
    scaled[0] *= 2.5
    ranks = [rank for rank, *_ in name_upstream(scaled, R, {})]
    assert len(ranks) == 2 and ranks[0] < ranks[1] and ranks[0] > 2.05


def rank_of(words, used, right=R, roles=None):
    return next(rank for rank, _, evidence in name_upstream(used, right, roles or {}) if words in evidence)


def test_more_specific_mistakes_come_first():
    some, last = R.copy(), R.copy()
    some[0, 1], some[2, 2] = -3 * R[0, 1], -3 * R[2, 2]
    last[3] *= 2.5
    flat = np.zeros((4, 3))
    flat.ravel()[:5] = 1
    first = {
        rank_of("index 2 along axis 0 is used everywhere", np.tile(R[2], (4, 1))),
        rank_of("reversed along axis 0", R[::-1]),
        rank_of("shifted by 1", np.roll(R, 1, 0)),
        rank_of("all earlier gradients", np.cumsum(R, 0)),
        rank_of("the mean of", np.broadcast_to(R.mean(0), R.shape)),
        rank_of("transposed", SQUARE.T, SQUARE),
        rank_of("its square", R**2),
        rank_of("only the outputs at index 2 along axis 0", R * counting(rows=[2]), R, ROLES),
        rank_of("only the output at [0, 0]", R * counting([0], [0])),
    }
    assert len(first) == 1
    ranks = [
        *first,
        rank_of("is reshaped where", R.T.reshape(4, 3)),
        *{min(rank for rank, mistake, _ in left_out(counting(columns=columns), ROLES) if mistake == words)
          for columns, words in (([0, 1], "the last time step not counted"),
                                 ([1, 2], "the first time step not counted"))},
        rank_of("index 0, 2 along axis 1", R * counting(columns=[0, 2])),
        *{rank_of("the first 5 of 12", R * flat), rank_of("the last 5 of 12", R * flat[::-1, ::-1])},
        rank_of("along axis 0 is multiplied by 2.5", last),
        rank_of("2 of 12 incoming", some),
        rank_of("only 2 of 12 outputs", R * (some == R) * 0 + R * (some != R)),
    ]  # fmt: skip
    assert ranks == sorted(ranks) and len(ranks) == len(set(ranks)) == 8


# --- the equations ---------------------------------------------------------------------------------------------------

X = np.array([[1.0, -2.0, 0.5, 0.7], [0.3, 1.2, -0.7, -0.4], [0.9, 0.4, -1.1, 2.1]])
W = np.array([[0.4, -1.1], [0.9, 0.2], [-0.6, 1.3], [0.8, -0.3]])


def projection_of_product(x=X, w=W, forward=lambda x, w: x @ w):
    pair = (lambda x, w: (forward(x, w), None)), (lambda dy, cache: None)
    return Projection(make_adapter(pair, (x, w)), np.random.default_rng(0))


def test_the_dy_of_backward_is_the_solution_of_linear_equations():
    projection = projection_of_product(forward=lambda x, w: np.tanh(x @ w))
    right = projection.flat_weights()
    used = np.arange(1.0, 7).reshape(3, 2)
    wrong = used * (1 - np.tanh(X @ W) ** 2)
    given = {"x": wrong @ W.T, "w": X.T @ wrong}
    np.testing.assert_allclose(solve_upstream(projection, given, right), used.ravel(), rtol=1e-6)
    np.testing.assert_array_equal(projection.variables["x"], X)
    np.testing.assert_allclose(
        solve_upstream(projection, {"x": given["x"], "w": np.ones(3)}, right), used.ravel(), rtol=1e-6
    )
    assert solve_upstream(projection, {"x": given["x"], "w": given["w"] + np.eye(4, 2)}, right) is None
    off = np.append(np.zeros(7), 1.0).reshape(4, 2)
    assert solve_upstream(projection, {"x": given["x"], "w": given["w"] + off}, right) is None
    assert solve_upstream(projection, {"w": given["w"]}, right) is None  # 8 equations for 6 numbers are too few
    assert solve_upstream(projection, {"x": given["x"] * [[1, 1, 1, np.nan]], "w": given["w"]}, right) is None


def test_outputs_that_are_proportional_have_no_unique_dy():
    projection = projection_of_product(forward=lambda x, w: np.stack([x @ w, 2 * (x @ w)])[:, :1])
    right = projection.flat_weights()
    assert solve_upstream(projection, {"x": X, "w": W}, right) is None


def solved(M, used, off=0.0):
    """Return the dy of a backward of y = M a that starts from ``used`` and then adds ``off``."""
    pair = (lambda a: (M @ a, None)), (lambda dy, cache: None)
    projection = Projection(make_adapter(pair, (np.linspace(1, 2, M.shape[1]),)), np.random.default_rng(0))
    return solve_upstream(projection, {"a": M.T @ used + off}, projection.flat_weights())


USED = np.array([1.0, -2.0, 0.5, 0.3, 1.2, -0.7])
M = np.cos(np.arange(72.0) ** 2).reshape(6, 12)


def test_five_more_equations_than_numbers_are_necessary():
    np.testing.assert_allclose(solved(M[:, :11], USED), USED, rtol=1e-6)
    assert solved(M[:, :10], USED) is None


@pytest.mark.parametrize("size", [1e-3, 1, 1e3])
def test_equations_of_any_size(size):
    unused = size * M
    unused[:, 3] = 0  # an input that moves no output
    np.testing.assert_allclose(solved(unused, USED), USED, rtol=1e-5)
    np.testing.assert_allclose(solved(unused, 0 * USED), 0 * USED)
    assert solved(unused, USED, off=np.eye(12)[3]) is None


def test_equations_without_a_unique_solution():
    twice, large = M.copy(), M.copy()
    twice[5] = 2 * twice[4]
    large[0] *= 1e6
    assert solved(twice, USED) is None and solved(large, USED) is None


def test_outputs_that_are_not_finite_nearby():
    pair = (lambda a: (M @ np.sqrt(a), None)), (lambda dy, cache: None)
    projection = Projection(make_adapter(pair, (np.arange(12.0),)), np.random.default_rng(0))
    with np.errstate(invalid="ignore"):
        assert solve_upstream(projection, {"a": np.ones(12)}, projection.flat_weights()) is None


def test_two_outputs_and_outputs_without_a_gradient():
    x, w = X[:2], W[:, :1]

    def with_labels(x, w):
        return x @ w, (x @ w).argmax(1)

    for forward in (lambda x, w: x @ w, with_labels):
        projection = projection_of_product(x, w, forward)
        right = projection.flat_weights().reshape(2, 1)
        given = {"x": right[::-1] @ w.T, "w": x.T @ right[::-1]}
        cases = {"x": case_of(given["x"], right @ w.T, "x", projection),
                 "w": case_of(given["w"], x.T @ right, "w", projection)}  # fmt: skip
        upstream_mistakes(cases, given, projection)
        assert ranked(cases["x"]) == ["axes reversed"]


@pytest.mark.parametrize("used, mistake", [
    (lambda d: d[::-1], "axes reversed"), (lambda d: np.cumsum(d, 0), "accumulator not reset"),
])  # fmt: skip
def test_the_mistake_explains_all_arrays(used, mistake):
    projection = projection_of_product()
    right = projection.weights[0]
    wrong = used(right)
    given = {"x": wrong @ W.T, "w": X.T @ wrong}
    true = {"x": right @ W.T, "w": X.T @ right}
    cases = {name: case_of(given[name], true[name], name, projection) for name in given}
    upstream_mistakes(cases, given, projection)
    assert all(ranked(case) == [mistake] for case in cases.values())
    assert "this explains the gradients of all arrays" in cases["w"].found[0][1].evidence
    cases["x"].found.clear()
    upstream_mistakes(cases, given, projection)
    assert ranked(cases["x"]) == [mistake] and ranked(cases["w"]) == [mistake] * 2
    upstream_mistakes(cases, given, projection)
    assert len(cases["w"].found) == 2  # every array is explained already


def test_no_equations_for_a_gradient_of_another_shape_or_many_outputs():
    projection = projection_of_product()
    wrong = projection.weights[0][::-1]
    given = {"x": wrong @ W.T, "w": X.T @ wrong}
    cases = {"x": case_of(given["x"], X, "x", projection), "w": case_of(np.ones(3), W, "w", projection)}
    upstream_mistakes(cases, given, projection)
    assert not any(case.found for case in cases.values())
    two = projection_of_product(forward=lambda x, w: (x @ w, x.sum()))
    cases = {"x": case_of(given["x"], X, "x", two)}
    upstream_mistakes(cases, given, two)
    assert cases["x"].found == []


def test_a_wrong_dy_is_found_by_the_checker():
    def forward(x, w):
        return np.tanh(x @ w), (x, w)

    def backward(dy, cache):
        x, w = cache
        dz = dy[::-1] * (1 - np.tanh(x @ w) ** 2)
        return dz @ w.T, x.T @ dz

    assert {d.mistake for d in check_gradients((forward, backward), X, W).diagnoses} == {"axes reversed"}
