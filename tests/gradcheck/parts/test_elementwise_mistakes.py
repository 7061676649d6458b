"""Test the factors that backward may use instead of phi'(x) for y = phi(x)."""

import numpy as np
from wrong_gradients import case_of, project

from nnscratch.gradcheck.diagnosis.elementwise_mistakes import (
    as_factor,
    elementwise_mistakes,
    elementwise_slope_at,
    is_linear,
    outputs_at,
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
    assert relu(X <= 0)[0] == ("mask inverted", "dy passes exactly where y does not depend on x")
    other = relu(X > 0.3)[0]
    assert other[0] == "another mask applied" and "1 of 8 elements differ" in other[1]
    of_dy = relu(lambda R: R > 0)[0]
    assert of_dy[0] == "another mask applied" and "computed from dy instead of x" in of_dy[1]
    assert relu(X * (1 - X))[0][0] == "derivative taken at the wrong value"


def test_a_mask_with_a_scale():
    def masked(factor):
        return found(lambda x: x * MASK, MASK, lambda R: factor)

    assert masked(1 + 0 * X)[0][0] == "mask not applied" == masked(2 + 0 * X)[0][0]
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
    assert as_factor(np.ones(3), (3, 2)) is None and as_factor(np.ones((1, 3, 2)), (3, 2)) is None


def test_the_array_that_backward_needs():
    w = np.linspace(0.5, 1.9, 8)
    case, _ = case_for(lambda x, w: x * w, w, lambda R: R, w)
    assert wrong_factor(case, w, "x") == "backward multiplies by `x` instead of `w`"
    assert wrong_factor(case, w + 1, "x") == "backward multiplies by `x` instead of `dy/dx`"
