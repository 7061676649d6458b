"""Test the factors that backward may use instead of phi'(x) for y = phi(x)."""

import numpy as np
from wrong_gradients import case_of, project

from nnscratch.gradcheck.diagnosis.elementwise_mistakes import (
    as_factor,
    elementwise_mistakes,
    elementwise_slope_at,
    is_drawn,
    is_linear,
    outputs_at,
    reduced_jacobian,
    wrong_factor,
)
from nnscratch.gradcheck.diagnosis.jacobian import ElementJacobian

X = np.array([-2.0, -0.7, 0.1, 0.6, 1.3, 2.2, -0.3, 0.9])
MASK = np.array([2.0, 0, 2, 0, 0, 2, 2, 0])


def case_for(forward, slope, factor, *others):
    projection = project(forward, X, *others)
    (R,) = projection.weights
    return case_of(R * factor(R), R * slope, "x", projection), R


def found(forward, slope, factor, *others):
    case, R = case_for(forward, slope, factor, *others)
    outputs = [("output", case.projection.outputs[0])]
    elementwise_mistakes(case, ElementJacobian(case), R, outputs)
    return [(d.mistake, d.evidence.split(";")[0]) for _, d in sorted(case.found, key=lambda pair: pair[0])]


def tanh(factor, *others):
    return found(lambda x: np.tanh(x), 1 - np.tanh(X) ** 2, lambda R: factor)


def relu(factor):
    return found(lambda x: np.maximum(x, 0), X > 0, factor if callable(factor) else lambda R: factor)


Y = np.tanh(X)


def test_the_slope_of_an_activation():
    d = 1 - Y**2
    wrong, at, missing = (
        "activation's derivative wrong",
        "derivative taken at the wrong value",
        "activation's derivative missing",
    )
    expected = {
        "given = dy, unchanged": (missing, 1 + 0 * X),
        "given = dy * y": (wrong, Y), "given = dy * (1 - y)": (wrong, 1 - Y),
        "given = dy * y^2": (wrong, Y**2), "given = dy * (1 + y^2)": (wrong, 1 + Y**2),
        "given = dy * y (1 + y)": (wrong, Y * (1 + Y)),
        "given = dy * y (1 - y) (the derivative of sigmoid)": (wrong, Y * (1 - Y)),
        "given = dy * phi'(x)^2, where y = phi(x)": ("activation's derivative applied twice", d**2),
        "given = dy * x (1 - x): the formula y (1 - y), with the input x instead of the output y": (at, X * (1 - X)),
        "given = dy * (1 - x^2): the formula 1 - y^2, with the input x instead of the output y": (at, 1 - X**2),
        "given = dy * phi'(y), where y = phi(x): phi' is taken at the activation y instead of the pre-activation x":
            (at, 1 - np.tanh(Y) ** 2),
    }  # fmt: skip
    for evidence, (mistake, factor) in expected.items():
        assert tanh(factor)[0] == (mistake, evidence)
    at_dy = found(lambda x: np.tanh(x), d, lambda R: 1 - np.tanh(R) ** 2)
    assert at_dy[0] == (at, "given = dy * phi'(dy), where y = phi(x): phi' is taken at dy instead of x")
    sigmoid = 1 / (1 + np.exp(-X))
    of_tanh = found(lambda x: 1 / (1 + np.exp(-x)), sigmoid * (1 - sigmoid), lambda R: 1 - sigmoid**2)
    assert of_tanh[0] == (wrong, "given = dy * (1 - y^2) (the derivative of tanh)")


def test_a_polynomial_in_the_output():
    ((mistake, evidence),) = tanh(2 * Y - 3)
    assert mistake == "activation's derivative wrong" and evidence.endswith("-3 + 2 y")
    assert tanh(np.cos(9 * X)) == []


def test_the_mask_of_relu():
    assert relu(1 + 0 * X)[0] == ("mask not applied", "given = dy, also where y does not depend on x")
    assert relu(X <= 0)[0] == ("mask inverted", "given = dy where y does not depend on x, and 0 elsewhere")
    other = relu(X > 0.3)[0]
    assert other[0] == "another mask applied" and "1 of 8 elements differ" in other[1]
    of_dy = relu(lambda R: R > 0)[0]
    assert of_dy[0] == "another mask applied" and "computed from dy instead of x" in of_dy[1]
    assert relu(X * (1 - X))[0][0] == "derivative taken at the wrong value"


def test_a_slope_with_other_values_than_zero_and_one_is_no_mask():
    ones = 1 + 0 * X
    for forward, slope in ((lambda x: np.maximum(x, 0) ** 2, 2 * np.maximum(X, 0)),
                           (lambda x: np.where(x > 0, x, 0.1 * x), np.where(X > 0, 1, 0.1))):  # fmt: skip
        given = found(forward, slope, lambda R: ones)
        assert given[0] == ("activation's derivative missing", "given = dy, unchanged")
        assert not any("mask" in mistake for mistake, _ in given)
    negative = found(lambda x: -np.maximum(x, 0), -1.0 * (X > 0), lambda R: X > 0)
    assert ("a factor missing", "forward multiplies by -1, but backward does not") in negative


def test_a_mask_with_a_scale():
    def masked(factor):
        return found(lambda x: x * MASK, MASK, lambda R: factor)

    assert masked(1 + 0 * X)[0][0] == "mask not applied" == masked(2 + 0 * X)[0][0]
    assert masked(1 + 0 * X)[0][1] == "given = dy, also where y does not depend on x"
    assert "given = 2 * dy" in masked(2 + 0 * X)[0][1]
    assert masked(MASK / 2)[0][1] == "forward multiplies by 2, but backward does not"
    assert masked(MASK / 4)[0][1] == "forward multiplies by 2, but backward divides by it"
    assert masked(2 - MASK)[0][0] == "mask inverted"
    assert masked(MASK[::-1])[0][0] == "another mask applied"
    few = masked(np.where(MASK > 0, 3.0, 0.0))
    assert all(m != "another mask applied" for m, _ in few)


def test_a_linear_function_has_the_factor_of_an_array():
    w = np.linspace(0.5, 1.9, 8)
    other = w[::-1] ** 2

    def scaled(factor):
        return found(lambda x, w, v: x * w + v, w, lambda R: factor, w, other)

    assert scaled(1 + 0 * X)[0] == ("a factor missing", "given = dy, unchanged")
    assert scaled(other) == [("the wrong array used", "backward multiplies by `v` instead of `w`")]
    assert scaled(X) == [("the wrong array used", "backward multiplies by `x` instead of `w`")] and scaled(w) == []


def test_a_missing_factor_may_be_a_weight():
    def rank(forward, slope, *others):
        case, R = case_for(forward, slope, lambda R: 1 + 0 * X, *others)
        elementwise_mistakes(case, ElementJacobian(case), R, [("output", case.projection.outputs[0])])
        return case.found[0][0]

    d = 1 - Y**2
    assert rank(lambda x: np.tanh(x), d) < rank(lambda x, w: np.tanh(x) * w, d * 2, np.array(2.0)) - 2


def test_a_function_of_other_elements_is_not_elementwise():
    assert found(lambda x: np.tanh(x) + 1e-3 * x[::-1], 1 - Y**2, lambda R: 1 + 0 * X) == []


def test_a_function_is_linear_if_its_slope_is_the_same_everywhere():
    for forward, slope, linear in (
        (lambda x: 3 * x + 1, 3 + 0 * X, True), (lambda x: np.tanh(x), 1 - Y**2, False),
        (lambda x: x * x, 2 * X, False),
        (lambda x: np.log(x + 3) * 0 + 2 * x, 2 + 0 * X, True), (lambda x: abs(x), np.sign(X), False),
    ):  # fmt: skip
        case, _ = case_for(forward, slope, lambda R: R)
        assert is_linear(case, slope) == linear
    for forward, at in ((lambda x: np.maximum(x, 0), abs(X)), (lambda x: 2 * x + np.sin(x) / 2, X)):
        projection = project(forward, at)
        case = case_of(at, at, "x", projection)
        assert not is_linear(case, elementwise_slope_at(case, at))


def test_forward_at_another_point():
    case, _ = case_for(lambda x: np.log(x + 3), 1 / (X + 3), lambda R: R)
    np.testing.assert_allclose(outputs_at(case, X + 1), np.log(X + 4))
    np.testing.assert_array_equal(case.projection.variables["x"], X)
    np.testing.assert_allclose(elementwise_slope_at(case, X + 1), 1 / (X + 4), rtol=1e-6)
    with np.errstate(all="ignore"):
        assert outputs_at(case, X - 2) is None and elementwise_slope_at(case, X - 2) is None
        assert elementwise_slope_at(case, X - 1) is None  # one end of the step is outside the domain
    assert outputs_at(case, np.ones(3)) is None
    np.testing.assert_array_equal(case.projection.variables["x"], X)


def test_an_array_as_a_factor():
    assert as_factor(np.array([1.0, 2.0]), (3, 2)).tolist() == [1, 2] * 3
    assert as_factor(np.ones((3, 1)), (3, 2)).size == 6 and as_factor(np.array(2.0), (2,)).tolist() == [2, 2]
    assert as_factor(np.ones((2, 1)), (3, 2)) is None
    assert as_factor(np.ones(3), (3, 2)) is None and as_factor(np.ones((1, 3, 2)), (3, 2)) is None


def test_the_array_that_backward_needs():
    w = np.linspace(0.5, 1.9, 8)
    case, _ = case_for(lambda x, w: x * w, w, lambda R: R, w)
    assert wrong_factor(case, w, "x") == "backward multiplies by `x` instead of `w`"
    assert wrong_factor(case, w + 1, "x") == "backward multiplies by `x` instead of `dy/dx`"


# --- ranks -----------------------------------------------------------------------------------------------------------


def ranks(forward, slope, factor, *others):
    case, R = case_for(forward, slope, factor, *others)
    elementwise_mistakes(case, ElementJacobian(case), R, [("output", case.projection.outputs[0])])
    return {d.evidence.split(";")[0]: rank for rank, d in case.found}


FACTORS = {
    "given = dy, unchanged": 1 + 0 * X, "given = dy * y": Y, "given = dy * (1 - y)": 1 - Y, "given = dy * y^2": Y**2,
    "given = dy * (1 + y^2)": 1 + Y**2, "given = dy * y (1 + y)": Y * (1 + Y),
    "given = dy * y (1 - y) (the derivative of sigmoid)": Y * (1 - Y),
    "given = dy * phi'(x)^2, where y = phi(x)": (1 - Y**2) ** 2,
}  # fmt: skip


def test_a_wrong_formula_is_less_likely_if_there_is_a_weight():
    for evidence, factor in FACTORS.items():
        alone = ranks(lambda x: np.tanh(x), 1 - Y**2, lambda R, f=factor: f)[evidence]
        beside = ranks(lambda x, w: np.tanh(x) + w, 1 - Y**2, lambda R, f=factor: f, np.array(2.0))
        assert 1 <= alone < 2
        if evidence in beside:  # y contains w, so a formula in y differs
            assert beside[evidence] == alone + 2.5
    y = Y + 2
    for evidence, factor in (("given = dy * y", y), ("given = dy * (1 - y)", 1 - y), ("given = dy * y^2", y**2),
                             ("given = dy * (1 + y^2)", 1 + y**2), ("given = dy * y (1 + y)", y * (1 + y)),
                             ("given = dy * y (1 - y) (the derivative of sigmoid)", y * (1 - y)),
                             ("given = dy * (1 - y^2) (the derivative of tanh)", 1 - y**2)):  # fmt: skip
        beside = ranks(lambda x, w: np.tanh(x) + w, 1 - Y**2, lambda R, f=factor: f, np.array(2.0))
        assert beside[evidence] == 1.2 + 2.5
    (alone,) = ranks(lambda x: np.tanh(x), 1 - Y**2, lambda R: 2 * Y - 3).values()
    (beside,) = ranks(lambda x, w: np.tanh(x) + 0 * w, 1 - Y**2, lambda R: 2 * Y - 3, np.array(2.0)).values()
    assert alone < 2 and beside == alone + 2.5


def test_the_mistakes_of_a_mask_are_specific():
    for factor in (1 + 0 * X, X <= 0, X > 0.3, X >= 0, X * (1 - X), 1 - X**2):
        assert all(1 <= rank < 2 for rank in ranks(lambda x: np.maximum(x, 0), X > 0, lambda R, f=factor: f).values())
    at_dy = ranks(lambda x: np.tanh(x), 1 - Y**2, lambda R: 1 - np.tanh(R) ** 2)
    at_y = ranks(lambda x: np.tanh(x), 1 - Y**2, lambda R: 1 - np.tanh(Y) ** 2)
    at_x = ranks(lambda x: np.tanh(x), 1 - Y**2, lambda R: 1 - X**2)
    assert all(1 <= rank < 1.2 for found in (at_dy, at_y, at_x) for rank in found.values())
    for factor in (MASK / 2, MASK / 4, 1 + 0 * X, 2 + 0 * X):
        assert all(1 <= r < 2 for r in ranks(lambda x: x * MASK, MASK, lambda R, f=factor: f).values())


def test_a_factor_of_a_linear_function_is_less_specific():
    w = np.linspace(0.5, 1.9, 8)
    for factor in (1 + 0 * X, X):
        assert list(ranks(lambda x, w: x * w, w, lambda R, f=factor: f, w).values()) == [3.7]


# --- masks -----------------------------------------------------------------------------------------------------------


def test_the_mask_of_an_activation_is_not_drawn():
    mask = X > 0.5
    assert found(lambda x: 2 * np.maximum(x - 0.5, 0), 2.0 * mask, lambda R: mask)[0][0] == "a factor missing"


def test_a_mask_that_forward_draws_has_a_keep_probability():
    def dropout(x):
        return x * (np.random.default_rng(4).random(8) < 0.5) * 2

    drawn = 2.0 * (np.random.default_rng(4).random(8) < 0.5)
    case, _ = case_for(dropout, drawn, lambda R: R)
    assert is_drawn(case, drawn)
    assert found(dropout, drawn, lambda R: drawn / 2)[0][0] == "keep-probability not applied"
    steep = 2.0 * (X > 0)
    case, _ = case_for(lambda x: 2 * np.maximum(x, 0), steep, lambda R: R)
    assert not is_drawn(case, steep)
    assert found(lambda x: 2 * np.maximum(x, 0), steep, lambda R: X > 0)[0][0] == "a factor missing"
    case, _ = case_for(
        lambda x: x * MASK,
        MASK,
        lambda R: R,
    )
    assert not is_drawn(case, MASK)  # the code holds this mask
    half = np.where(X > 0, 1.0, 0.0)
    case, _ = case_for(lambda x: np.sqrt(x + 2.5) * half, half, lambda R: R)
    assert not is_drawn(case, half)  # forward cannot be run at -x


def test_a_mask_of_one_has_no_factor():
    assert not any("multiplies by" in evidence for _, evidence in relu(X > 0.3) + relu(1 + 0 * X) + relu(X <= 0))


def test_another_mask_needs_eight_elements_and_zeros_elsewhere():
    words = "does not use the mask of forward"

    def said(x, factor, scale=1.0):
        projection = project(lambda x: scale * np.maximum(x, 0), x)
        (R,) = projection.weights
        case = case_of(R * factor * scale, R * (x > 0) * scale, "x", projection)
        elementwise_mistakes(case, ElementJacobian(case), R, [("output", projection.outputs[0])])
        return [(rank, d.evidence.split(": ")[-1]) for rank, d in case.found if words in d.evidence]

    assert said(X[:7], X[:7] > 0.7) == [] and said(X, X > 0.7) == [(1.6, "2 of 8 elements differ")]
    assert said(X, X > 0.7, scale=1e-3) == [(1.6, "2 of 8 elements differ")] == said(X, X > 0.7, scale=1e3)
    assert said(X, np.where(X > 0.7, 1.0, 0.5)) == [] == said(X, np.where(X > 0.7, 1.0, np.where(X > 0, 0.5, 0.0)))
    assert said(X, np.where(X > 0.7, -1.0, 0.0)) == [] == said(X, 1 + 0 * X) == said(X, 0 * X)


def test_a_mask_of_small_values():
    small = 1e-3 * (X > 0)
    other = found(lambda x: 1e-3 * np.maximum(x, 0), small, lambda R: 1e-3 * (X > 0.3))
    assert other[0][0] == "another mask applied"


# --- the Jacobian ----------------------------------------------------------------------------------------------------


def softmax(x):
    return np.exp(x) / np.exp(x).sum()


def reduced(factor, forward=softmax, count=1):
    projection = project(forward, X)
    (R,) = projection.weights
    y = forward(X)
    case = case_of(R * factor, y * (R - (R * y).sum()), "x", projection)
    reduced_jacobian(case, ElementJacobian(case), R, [("output", projection.outputs[0])] * count)
    return [(rank, d.mistake, d.evidence.split(";")[0]) for rank, d in case.found]


def test_a_jacobian_that_is_reduced_to_its_diagonal():
    p = softmax(X)
    ((rank, mistake, evidence),) = reduced(p * (1 - p))
    assert (rank, mistake) == (1, "Jacobian reduced to its diagonal") and "J[i, i]" in evidence
    assert reduced(p) == [(1.5, "Jacobian reduced to its diagonal", "given = dy * y")]
    assert reduced(1 + 0 * X) == [(3.6, "Jacobian missing", "given = dy, unchanged")]
    assert reduced(2 + 0 * X) == [] == reduced(1 + 0 * X, count=2)


def test_a_diagonal_jacobian_and_another_number_of_outputs_are_not_reduced():
    assert reduced(1 + 0 * X, lambda x: np.tanh(x)) == []
    projection = project(lambda x: np.concatenate([softmax(x), x]), X)
    (R,) = projection.weights
    case = case_of(R[:8], 2 * R[:8], "x", projection)
    reduced_jacobian(case, ElementJacobian(case), R, [("output", projection.outputs[0])])
    assert case.found == []


def test_a_jacobian_without_a_diagonal():
    case, R = case_for(softmax, 0 * X, lambda R: 1 + 0 * X)
    J = ElementJacobian(case)
    J.diagonal = None
    reduced_jacobian(case, J, R, [("output", softmax(X))])
    assert [d.mistake for _, d in case.found] == ["Jacobian missing"]
