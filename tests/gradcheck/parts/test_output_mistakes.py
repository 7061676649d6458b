"""Test the mistakes that the Jacobian shows: a wrong gradient is R times the Jacobian, without some outputs."""

import numpy as np
import pytest
from wrong_gradients import case_of, entry_of, project

from nnscratch.gradcheck.diagnosis.directional_case import DirectionalCase
from nnscratch.gradcheck.diagnosis.jacobian import DirectionalJacobian, ElementJacobian, is_close_to
from nnscratch.gradcheck.diagnosis.output_mistakes import mask_at, mask_only, output_mistakes, output_slices
from nnscratch.gradcheck.numerical import Derivative

X = np.array([[1.0, -2.0], [0.3, 1.2], [0.9, 0.4]])
W = np.array([[0.4, -1.1, 0.7], [0.9, 0.2, -0.5]])
SEQUENCE = np.arange(1.0, 25).reshape(2, 4, 3) / 7 * np.tile([1, -1], 12).reshape(2, 4, 3)


def searched(forward, inputs, name, given, true):
    projection = project(forward, *inputs)
    case = case_of(given(*projection.weights), true(*projection.weights), name, projection)
    output_mistakes(case)
    return case


def found(*arguments):
    case = searched(*arguments)
    return [(d.mistake, d.evidence.split(";")[0]) for _, d in sorted(case.found, key=lambda pair: pair[0])]


def nearly(given):
    """Return a gradient that is almost too close to the true one to be told from it."""
    return lambda *weights: (1 + 5e-5) * given(*weights)


def product(given, name="w"):
    return found(lambda x, w: x @ w, (X, W), name, given, lambda R: X.T @ R)


def recurrent_sum(given):
    def forward(x, w):
        return np.cumsum(x @ w, axis=1)  # every output depends on the earlier time steps

    def true(R):
        upstream = np.flip(np.cumsum(np.flip(R, 1), 1), 1)
        return np.einsum("ntd,ntk->dk", SEQUENCE, upstream)

    w = np.arange(6.0).reshape(3, 2) ** 2 / 9
    return found(forward, (SEQUENCE, w), "w", lambda R: true(given(R)), true)


def rows(*kept):
    return np.array([[float(k in kept)] for k in range(3)])


def test_samples_that_are_not_counted():
    for k in range(3):
        assert product(lambda R, k=k: X.T @ (R * rows(k)))[0] == (
            "one sample counted", f"backward counts only sample {k} of the output",
        )  # fmt: skip
        others = rows(*{0, 1, 2} - {k})
        assert product(lambda R, o=others: X.T @ (R * o))[0] == (
            "one sample not counted", f"backward does not count sample {k} of the output",
        )  # fmt: skip
    assert product(lambda R: X.T @ (R * rows(1)) / 3) == [
        ("one sample counted", "backward counts only sample 1 of the output, and divides by N")
    ]
    assert product(lambda R: X.T @ (R * rows(1)) / 2) == []


def test_columns_that_are_not_counted():
    assert product(lambda R: X.T @ (R * [0, 0, 1]))[0] == (
        "only the last round of the loop counted", "backward counts only index 2 along axis 1 of the output",
    )  # fmt: skip
    assert product(lambda R: X.T @ (R * [0, 1, 1]))[0] == (
        "the first round of the loop not counted", "backward does not count index 0 along axis 1 of the output",
    )  # fmt: skip
    assert product(lambda R: X.T @ (R * [0, 1, 0])) == []


def test_time_steps_that_are_not_counted():
    at = np.arange(4)[None, :, None]
    for words, mask in {"only time step 3": at == 3, "only time step 0": at == 0, "not count time step 3": at != 3,
                        "not count time step 0": at != 0}.items():  # fmt: skip
        mistake, evidence = recurrent_sum(lambda R, mask=mask: R * mask)[0]
        assert words in evidence and "time step" in mistake
        assert mistake.startswith("only the") == ("only" in words)


def test_the_first_or_the_last_output_of_two_loops():
    corner = np.zeros((3, 3))
    corner[0, 0] = 1
    assert product(lambda R: X.T @ (R * corner)) == [
        ("only the first round of the loop counted", "backward counts only the element [0, 0] of the output")
    ]
    assert product(lambda R: X.T @ (R * corner[::-1, ::-1])) == [
        ("only the last round of the loop counted", "backward counts only the element [-1, -1] of the output")
    ]


def test_an_output_that_is_not_counted():
    def two(x, w):
        return np.tanh(x @ w), x @ w

    def part(a, b, counted=1.0):
        def dw(weights):
            Ry, Rz = weights
            return X.T @ (a * counted * Ry * (1 - np.tanh(X @ W) ** 2) + b * Rz)

        return dw

    without = found(two, (X, W), "w", part(0, 1), part(1, 1))
    assert without[0][0] == "the state's own path missing" and without[0][1].startswith("backward does not use")
    assert len(without) == 2 and "uses only" in without[1][1]
    assert without[0][1].split(" of ")[-1] != without[1][1].split(" of ")[-1]
    sample = found(two, (X, W), "w", part(1, 1, rows(1)), part(1, 1))
    assert sample[0][0] == "one sample counted" and "the output" not in sample[0][1]


def test_repeated_ids():
    ids, c = np.array([0, 2, 0, 1]), np.array([[1.0, -2.0], [0.3, 1.2], [0.9, 0.4]])

    def gradient(counted):
        def dc(R):
            g = np.zeros((3, 2))
            np.add.at(g, ids, R * np.array(counted)[:, None])
            return g

        return dc

    for counted, word in (([0, 1, 1, 1], "last"), ([1, 1, 0, 1], "first")):
        mistakes = found(lambda ids, c: c[ids], (ids, c), "c", gradient(counted), gradient([1, 1, 1, 1]))
        assert mistakes[0] == (
            "rows met twice counted once", f"backward counts only the {word} occurrence of each id in ids",
        )  # fmt: skip


def test_a_bias_that_is_summed_over_the_features():
    b = np.array([0.3, -0.2, 0.8])

    def bias(given):
        return found(lambda x, b: x[:, :1] + b, (X, b), "b", given, lambda R: R.sum(0))

    assert bias(lambda R: R.sum(1)) == [
        ("summed over the wrong axis", "the given gradient is summed over all axes of the output except axis 0")
    ]
    assert all(m != "summed over the wrong axis" for m, _ in bias(lambda R: R.sum(1) * 1.5))
    square = found(lambda x, b: x + b, (X, b[:2]), "b", lambda R: R.sum(1), lambda R: R.sum(0))
    assert square == [
        ("summed over the wrong axis", "the given gradient is summed over all axes of the output except axis 0")
    ]
    assert found(lambda x, b: x + b, (X, b[:2]), "b", lambda R: R.sum(1) * [1, 1, 2], lambda R: R.sum(0)) == []
    assert found(lambda x, b: x + b, (X, b[:2]), "b", lambda R: np.ones((1, 3)), lambda R: R.sum(0)) == []


def test_a_jacobian_that_is_reduced_to_its_diagonal():
    def softmax(x):
        e = np.exp(x - x.max())
        return e / e.sum()

    x = np.array([0.3, -0.2, 0.8, 1.1])
    y = softmax(x)

    def reduced(given):
        return found(softmax, (x,), "x", given, lambda R: y * (R - (R * y).sum()))

    assert reduced(lambda R: R * y * (1 - y))[0][0] == "Jacobian reduced to its diagonal"
    assert "given[i] = dy[i] J[i, i]" in reduced(lambda R: R * y * (1 - y))[0][1]
    assert reduced(lambda R: R * y) == [("Jacobian reduced to its diagonal", "given = dy * y")]
    assert reduced(lambda R: R) == [("Jacobian missing", "given = dy, unchanged")]


def test_the_last_sample_of_a_large_batch():
    x, w = np.sin(np.arange(40.0)).reshape(20, 2), W[:, :2]
    for k in (0, 14, 19):
        counted = (np.arange(20) == k)[:, None]
        mistakes = found(lambda x, w: x @ w, (x, w), "w", lambda R, c=counted: x.T @ (R * c), lambda R: x.T @ R)
        assert mistakes[0] == ("one sample counted", f"backward counts only sample {k} of the output")


def test_one_of_two_samples():
    x, w = X[:2, :1], W[:1, :1]
    mistakes = found(lambda x, w: x @ w, (x, w), "w", lambda R: x[1:].T @ R[1:], lambda R: x.T @ R)
    assert ("one sample counted", "backward counts only sample 1 of the output") in mistakes
    assert ("one sample not counted", "backward does not count sample 0 of the output") in mistakes


def test_the_first_or_the_last_round_of_loops_over_the_first_two_of_three_axes():
    x = SEQUENCE[:, :3]
    for at, words in ((0, "[0, 0, ...]"), (-1, "[-1, -1, ...]")):
        counted = np.zeros((2, 3, 1))
        counted[at, at] = 1
        mistakes = found(
            lambda x, b: x * b, (x, X[:, 0]), "b",
            lambda R, c=counted: (x * R * c).sum((0, 1)), lambda R: (x * R).sum((0, 1)),
        )  # fmt: skip
        assert f"backward counts only the part {words} of the output" in [evidence for _, evidence in mistakes]


def test_one_axis_has_no_samples_and_no_rounds():
    assert found(lambda x, w: x @ w, (X, W[:, 0]), "w", lambda R: X[1] * R[1], lambda R: X.T @ R) == []


def test_one_element_of_one_output_may_fit_by_chance():
    x = X[0, :1]
    assert found(lambda x: np.tanh(x), (x,), "x", lambda R: R, lambda R: R * (1 - np.tanh(x) ** 2)) == []


def test_nothing_is_left_out_of_a_gradient_that_is_nearly_right():
    x = SEQUENCE[:1, :1]
    b = np.array([0.3, -0.2])
    ids, c = np.array([0, 2, 1]), X
    for forward, inputs, name, true in (
        (lambda x, w: x @ w, (X, W), "w", lambda R: X.T @ R),
        (lambda x, w: x @ w, (X[:1], W), "w", lambda R: X[:1].T @ R),
        (lambda x, b: x * b, (x, X[:, 0]), "b", lambda R: (x * R).sum((0, 1))),
        (lambda x, b: x + b, (X, b), "b", lambda R: R.sum(0)),
        (lambda ids, c: c[ids], (ids, c), "c", lambda R: R[[0, 2, 1]]),
    ):
        assert found(forward, inputs, name, nearly(true), true) == []


def test_an_axis_of_length_one_has_no_rounds():
    def two(x, w):
        return x[:1] @ w, x[1:] @ w

    def given(counted):
        return lambda weights: counted * X[:1].T @ weights[0] + X[1:].T @ weights[1]

    mistakes = found(two, (X, W), "w", given(0), given(1))
    assert {mistake for mistake, _ in mistakes} == {"the state's own path missing"}


def test_a_wrong_slope_is_found_too():
    mistakes = found(lambda x: np.tanh(x), (X,), "x", lambda R: R, lambda R: R * (1 - np.tanh(X) ** 2))
    assert mistakes[0] == ("activation's derivative missing", "given = dy, unchanged")


def test_outputs_without_a_gradient():
    def labels(x, w):
        return x @ w, (x @ w).argmax(1)

    mistakes = found(
        labels, (X, W), "w", lambda weights: X.T @ (weights[0] * rows(1)), lambda weights: X.T @ weights[0]
    )
    assert mistakes[0] == ("one sample counted", "backward counts only sample 1 of the output")


def test_a_number_among_the_outputs():
    def with_sum(x, w):
        return x @ w, float((x @ w).sum())

    def given(mask):
        return lambda weights: X.T @ (weights[0] * mask + weights[1])

    mistakes = found(with_sum, (X, W), "w", given(rows(1)), given(1))
    assert mistakes[0][0] == "one sample counted" and "sample 1" in mistakes[0][1]


def test_only_the_parts_of_one_of_two_outputs_are_missing():
    ids, c = np.array([0, 2, 0]), X

    def two(ids, c):
        return c[ids] * [[2.0, 3.0], [1.0, 4.0], [5.0, 2.0]], (c**2).sum(1)

    def given(counted):
        def dc(weights):
            g = 2 * c * weights[1][:, None]
            np.add.at(g, ids, weights[0] * counted * [[2.0, 3.0], [1.0, 4.0], [5.0, 2.0]])
            return g

        return dc

    corner = np.zeros((3, 2))
    corner[0, 0] = 1
    mistakes = found(two, (ids, c), "c", given(corner), given(1))
    assert [m for m, e in mistakes if "element [0, 0]" in e] == ["only the first round of the loop counted"]
    assert "of the output" not in mistakes[0][1]  # the name of the output is there instead
    mistakes = found(two, (ids, c), "c", given(np.array([[1.0], [1], [0]])), given(1))
    assert mistakes[0][0] == "rows met twice counted once"


def test_only_integers_are_ids():
    x = np.array([1.0, 2.0, 1.0])

    def scaled(x, axis, w):
        return x[:, None] * w

    def dw(counted):
        return lambda R: ((x * counted)[:, None] * R).sum(0)

    mistakes = found(scaled, (x, 1, W[0]), "w", dw([0, 1, 1]), dw(1))
    assert [m for m, _ in mistakes] == ["one sample not counted"]


def test_a_sum_over_the_wrong_axis_is_compared_with_the_size_of_the_given_gradient():
    b = np.array([0.3, -0.2, 0.8])

    def bias(error, size):
        def given(R):
            wrong = size * R.sum(1)
            wrong[np.abs(wrong).argmin()] += error * np.abs(wrong).max()
            return wrong

        return found(lambda x, b: size * (x[:, :1] + b), (X, b), "b", given, lambda R: size * R.sum(0))

    for size in (1, 1000):
        assert bias(5e-5, size) and bias(-5e-5, size) and not bias(3e-4, size)
    small = found(
        lambda x, b: 1e-3 * x[:, :1] + (b * [1e3, 1e3, 1e3, 1e3]), (X, np.append(b, 1.0)), "b",
        lambda R: 1e3 * R.sum(1) * [1, 1, 1.01], lambda R: 1e3 * R.sum(0),
    )  # fmt: skip
    assert small == []


def rank_of(words, *arguments):
    return next(rank for rank, d in searched(*arguments).found if words in d.evidence)


def test_more_specific_mistakes_come_first():
    def of_product(words, given):
        return rank_of(words, lambda x, w: x @ w, (X, W), "w", given, lambda R: X.T @ R)

    def of_sequence(words, counted):
        x, w = SEQUENCE, np.arange(6.0).reshape(3, 2)

        def dw(mask):
            return lambda R: np.einsum("ntd,ntk->dk", x, np.flip(np.cumsum(np.flip(R * mask, 1), 1), 1))

        return rank_of(words, lambda x, w: np.cumsum(x @ w, 1), (x, w), "w", dw(counted), dw(1))

    def of_two(words, a, b):
        def dw(a, b):
            return lambda weights: X.T @ (a * weights[0] + b * weights[1])

        return rank_of(words, lambda x, w: (x @ w, x @ w), (X, W), "w", dw(a, b), dw(1, 1))

    def of_ids(words, counted):
        def dc(counted):
            return lambda R: np.array([(R * counted)[[0, 2]].sum(0), R[3], R[1]])

        return rank_of(words, lambda ids, c: c[ids], (np.array([0, 2, 0, 1]), X), "c", dc(counted), dc(1))

    b = np.array([0.3, -0.2])
    time, corner = np.arange(4)[:, None], np.eye(3) * [1, 0, 0]
    ranks = [
        rank_of("except axis 0", lambda x, b: x + b, (X[:2], b), "b", lambda R: R.sum(1), lambda R: R.sum(0)),
        of_ids("occurrence", [[0], [1], [1], [1]]),
        of_two("does not use", 0, 1),
        of_two("uses only", 1, 0),
        of_product("the element [0, 0]", lambda R: X.T @ (R * corner)),
        of_sequence("only time step 3", time == 3),
        of_product("divides by N", lambda R: X.T @ (R * rows(1)) / 3),
        of_sequence("not count time step 3", time != 3),
        of_product("not count sample 1", lambda R: X.T @ (R * rows(0, 2))),
        of_product("only index 2 along axis 1", lambda R: X.T @ (R * [0, 0, 1])),
        of_product("not count index 2 along axis 1", lambda R: X.T @ (R * [1, 1, 0])),
    ]
    assert ranks == sorted(ranks) and len(set(ranks)) == len(ranks)
    assert of_product("only sample 1", lambda R: X.T @ (R * rows(1))) == ranks[5]
    assert ranks[1] < 2 and ranks[-1] < 5.5  # a transposed gradient has the rank 2, and one wrong block 5.5


def test_a_single_output_has_no_parts():
    assert found(lambda x, w: (x @ w).sum(), (X, W), "w", lambda R: 0 * W + 1, lambda R: 0 * W + 2) == []


# --- masks and slices ------------------------------------------------------------------------------------------------


def test_slices_of_the_outputs():
    slices = output_slices([("a", np.ones((2, 3))), ("b", 1.0), ("c", np.ones(2))])
    assert slices == [slice(0, 6), slice(6, 7), slice(7, 9)]


def test_masks_over_all_outputs():
    assert mask_at(8, slice(1, 7), (2, 3), 1, 2).tolist() == [0, 0, 0, 1, 0, 0, 1, 0]
    assert mask_only(8, slice(1, 7), (2, 3), 0, -1).tolist() == [1, 0, 0, 0, 1, 1, 1, 1]


# --- the Jacobian ----------------------------------------------------------------------------------------------------


def test_the_jacobian_of_a_matrix_product():
    projection = project(lambda x, w: x @ w, X, W)
    J = ElementJacobian(case_of(W, W, "w", projection))
    assert J.rows.shape == (6, 9) and J.diagonal is None and not J.is_diagonal
    R = projection.flat_weights()
    np.testing.assert_allclose(J.rows @ R, (X.T @ projection.weights[0]).ravel())
    np.testing.assert_allclose(J.total, J.rows.sum(0))
    np.testing.assert_array_equal(projection.variables["w"], W)


def test_the_jacobian_of_an_elementwise_function():
    projection = project(lambda x: 1000 * np.sin(x), X * 50)
    J = ElementJacobian(case_of(X, X, "x", projection))
    assert J.is_diagonal
    np.testing.assert_allclose(J.diagonal, 1000 * np.cos(X * 50).ravel(), rtol=1e-5, atol=1e-4)
    shifted = ElementJacobian(case_of(X, X, "x", project(lambda x: x + 1e-3 * x[::-1], X)))
    assert not shifted.is_diagonal and shifted.diagonal is not None
    large = np.array([1e9, 1.0, -1e-9, 0.0])  # values of any size
    J = ElementJacobian(case_of(large, large, "x", project(lambda x: 3 * x, large)))
    assert J.is_diagonal
    np.testing.assert_allclose(J.diagonal, 3, rtol=1e-6)


def directional(forward, inputs, name, vs):
    projection = project(forward, *inputs)
    array = projection.variables[name]
    derivatives = [(v, Derivative(1.0, 1e-9, 1.0, 1.0)) for v in vs]
    entry = entry_of([0.0] * len(vs), [0.0] * len(vs), name, shape=array.shape)
    return DirectionalCase(entry, projection, 0 * array, derivatives)


def test_the_jacobian_along_directions():
    vs = [X + 1, X**2]
    J = DirectionalJacobian(directional(lambda x: np.tanh(x), (X,), "x", vs))
    slope = 1 - np.tanh(X) ** 2
    np.testing.assert_allclose(J.rows, [(slope * v).ravel() for v in vs], rtol=1e-6)
    np.testing.assert_allclose(J.total, slope.ravel(), rtol=1e-6)
    assert J.is_diagonal and J.diagonal is J.total
    other = DirectionalJacobian(directional(lambda x: np.tanh(x) + x[::-1], (X,), "x", vs))
    assert not other.is_diagonal and other.diagonal is None
    assert not DirectionalJacobian(directional(lambda x: x.sum(0), (X,), "x", vs)).is_diagonal


def test_the_outputs_of_a_directional_case():
    vs = [W + 1, W**2, np.eye(2, 3)]
    projection = project(lambda x, w: x @ w, X, W)
    true, given = X.T @ projection.weights[0], X.T @ (projection.weights[0] * rows(1))
    derivatives = [(v, Derivative(s, 1e-9, s, s)) for v in vs for s in [float((true * v).sum())]]
    entry = entry_of([0.0] * 3, [0.0] * 3, "w", shape=W.shape)
    case = DirectionalCase(entry, projection, given, derivatives)
    output_mistakes(case)
    assert [d.mistake for _, d in case.found] == ["one sample counted"]
    derivatives = [(v, Derivative(d.value + 1, 1e-9, d.value + 1, d.value + 1)) for v, d in derivatives]
    case = DirectionalCase(entry, projection, given, derivatives)
    output_mistakes(case)
    assert case.found == []  # the true derivatives are not those of forward


def test_zeros_along_directions_show_no_missing_output():
    vs = [W + 1, W**2, np.eye(2, 3)]
    projection = project(lambda x, w: (x @ w, x), X, W)
    true = X.T @ projection.weights[0][0]
    derivatives = [(v, Derivative(s, 1e-9, s, s)) for v in vs for s in [float((true * v).sum())]]
    entry = entry_of([0.0] * 3, [0.0] * 3, "w", shape=W.shape)
    case = DirectionalCase(entry, projection, 0 * W, derivatives)
    output_mistakes(case)
    assert case.found == []  # many mistakes give zeros


@pytest.mark.parametrize(("size", "by_element"), [(5, True), (6, True), (25, False), (26, False)])
def test_a_jacobian_that_is_too_large_is_not_computed(size, by_element, monkeypatch):
    monkeypatch.setitem(output_mistakes.__globals__, "MAX_JACOBIAN", 10)
    x, w = np.cos(np.arange(2.0 * size)).reshape(size, 2), np.array([[0.4], [0.9]])
    projection = project(lambda x, w: x @ w, x, w)
    (R,) = projection.weights
    true, given = x.T @ R, x.T @ (R * (np.arange(size) == 1)[:, None])
    case = case_of(given, true, "w", projection)
    if not by_element:
        vs = [w + 1, w**2, np.eye(2, 1)]
        derivatives = [(v, Derivative(s, 1e-9, s, s)) for v in vs for s in [float((true * v).sum())]]
        case = DirectionalCase(entry_of([0.0] * 3, [0.0] * 3, "w", shape=w.shape), projection, given, derivatives)
    output_mistakes(case)
    assert bool(case.found) == (2 * size <= 10 if by_element else 4 * size <= 100)


def test_equal_to_a_millionth():
    assert is_close_to(X, X + 1e-6) and not is_close_to(X, X + 3e-6) and is_close_to(0 * X, 0 * X)
    assert is_close_to(1000 * X, 1000 * X + 1e-3) and not is_close_to(X + 1e-3 * np.eye(3, 2), X)
