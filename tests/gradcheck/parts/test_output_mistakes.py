"""Test the mistakes that the Jacobian shows: a wrong gradient is R times the Jacobian, without some outputs."""

import numpy as np
from wrong_gradients import case_of, entry_of, project

from nnscratch.gradcheck.diagnosis.directional_case import DirectionalCase
from nnscratch.gradcheck.diagnosis.jacobian import DirectionalJacobian, ElementJacobian, is_close_to
from nnscratch.gradcheck.diagnosis.output_mistakes import mask_at, mask_only, output_mistakes, output_slices
from nnscratch.gradcheck.numerical import Derivative

X = np.array([[1.0, -2.0], [0.3, 1.2], [0.9, 0.4]])
W = np.array([[0.4, -1.1, 0.7], [0.9, 0.2, -0.5]])
SEQUENCE = np.arange(1.0, 25).reshape(2, 4, 3) / 7 * np.tile([1, -1], 12).reshape(2, 4, 3)


def found(forward, inputs, name, given, true):
    projection = project(forward, *inputs)
    case = case_of(given(*projection.weights), true(*projection.weights), name, projection)
    output_mistakes(case)
    return [(d.mistake, d.evidence.split(";")[0]) for _, d in sorted(case.found, key=lambda pair: pair[0])]


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


def test_equal_to_a_millionth():
    assert is_close_to(X, X + 1e-6) and not is_close_to(X, X + 3e-6) and is_close_to(0 * X, 0 * X)
    assert is_close_to(1000 * X, 1000 * X + 1e-3) and not is_close_to(X + 1e-3 * np.eye(3, 2), X)
