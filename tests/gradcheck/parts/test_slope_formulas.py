"""Test the formulas of wrong slopes: each formula has the value that its name says."""

import numpy as np
import pytest

from nnscratch.gradcheck import check_gradients
from nnscratch.gradcheck.diagnosis.slope_formulas import (
    ELSEWHERE,
    WRONG,
    formula_of,
    name_mask,
    name_slope,
    polynomial_in,
    sigmoid,
    slope_formulas,
)

U = np.array([-2.0, -0.7, 0.1, 0.6, 1.3, 2.2])
MASK = (U > 0).astype(float)


def tanh_slope(u):
    return 1 - np.tanh(u) ** 2


def named(g, phi=np.tanh, slope=tanh_slope, u=U):
    return name_slope(u, phi(u), slope(u), g, phi, slope)


def relu(u):
    return np.maximum(u, 0)


def relu_slope(u):
    return (u > 0).astype(float)


# --- the list --------------------------------------------------------------------------------------------------------


def test_the_value_of_each_formula():
    y, s = np.tanh(U), 1 / (1 + np.exp(-U))
    sy = 1 / (1 + np.exp(-y))
    expected = {
        "y": y, "1 - y": 1 - y, "y (1 - y) (the derivative of sigmoid)": y * (1 - y),
        "1 - y^2 (the derivative of tanh)": 1 - y**2, "(1 - y)^2": (1 - y) ** 2, "y^2": y**2, "1 + y^2": 1 + y**2,
        "y (1 + y)": y * (1 + y), "the input u": U, "1 - u": 1 - U, "the sigmoid of u": s, "the sigmoid of y": sy,
        "1 - the sigmoid of u": 1 - s, "1 - the sigmoid of y": 1 - sy, "the sigmoid's derivative at u": s * (1 - s),
        "the sigmoid's derivative at y": sy * (1 - sy), "1 - tanh(u)": 1 - y, "tanh's derivative at u": 1 - y**2,
        "tanh's derivative at y": 1 - np.tanh(y) ** 2, "exp(u)": np.exp(U), "1 where u is above 0, else 0": U > 0,
        "1 where y is above 0, else 0": y > 0, "1 where u is above 0, else y": np.where(U > 0, 1, y),
        "1 where u is above 0, else u": np.where(U > 0, 1, U), "1 / phi'(u)": 1 / (1 - y**2),
        "the square root of phi'(u)": np.sqrt(1 - y**2), "1 - phi(y): phi is applied twice": 1 - np.tanh(y),
        "phi(y): phi is applied twice": np.tanh(y),
        "the derivative at the activation y instead of the pre-activation u": 1 - np.tanh(y) ** 2,
        "1 - phi(y)^2: phi is applied twice": 1 - np.tanh(y) ** 2,
        "u (1 - u): the sigmoid's formula y (1 - y), with the input u instead of the output y": U * (1 - U),
        "1 - u^2: tanh's formula 1 - y^2, with the input u instead of the output y": 1 - U**2,
        "1 - u^2: the formula 1 - y^2, with the input u instead of the output y": 1 - U**2,
    }  # fmt: skip
    found = {text: (rank, mistake, values) for rank, mistake, text, values in
             slope_formulas(U, y, tanh_slope(U), np.tanh, tanh_slope)}  # fmt: skip
    top = float(tanh_slope(U).max())
    expected[f"{top:.4g} times the sign of u"] = top * np.sign(U)
    assert set(found) == set(expected)
    for text, values in expected.items():
        np.testing.assert_allclose(found[text][2], values, atol=1e-9, err_msg=text)
        elsewhere = "with the input" in text or "at the activation y" in text or text.startswith("1 - phi(y)^2")
        assert found[text][1] == (ELSEWHERE if elsewhere else WRONG), text
    rare = {"the sigmoid of u", "the sigmoid of y", "1 - the sigmoid of u", "1 - the sigmoid of y", "the input u",
            "1 - u", "exp(u)", "1 / phi'(u)", "the square root of phi'(u)"}  # fmt: skip
    sign = f"{top:.4g} times the sign of u"
    (usual,) = {rank for text, (rank, *_) in found.items() if text not in {*rare, sign}}
    (last,) = {found[text][0] for text in rare}
    assert usual < found[sign][0] < usual + 1 < last - 1


def test_formulas_at_the_boundary():
    zero = {text: v for *_, text, v in slope_formulas(0 * U, 0 * U, 0 * U, lambda u: None, lambda u: None)}
    assert not zero["1 where u is above 0, else 0"].any() and not zero["1 where y is above 0, else 0"].any()
    assert not zero["1 where u is above 0, else y"].any() and not zero["1 where u is above 0, else u"].any()
    assert not zero["1 / phi'(u)"].any()  # no inverse of zero
    assert "the square root of phi'(u)" in zero and "phi(y): phi is applied twice" not in zero
    assert not any("at the activation" in text for text in zero)
    negative = {text for *_, text, _ in slope_formulas(U, U, -MASK, np.tanh, tanh_slope)}
    assert "the square root of phi'(u)" not in negative
    one_zero = {text: v for *_, text, v in slope_formulas(U, U, MASK, np.tanh, tanh_slope)}
    assert not one_zero["1 / phi'(u)"].any()


def test_formulas_of_an_empty_array():
    none = np.zeros(0)
    assert all(v.size == 0 for *_, v in slope_formulas(none, none, none, np.tanh, tanh_slope))
    assert polynomial_in(none, none) is None and named(none, u=none) is None


def test_the_logistic_function():
    np.testing.assert_allclose(sigmoid(U), 1 / (1 + np.exp(-U)))


# --- polynomials -----------------------------------------------------------------------------------------------------


def test_a_polynomial_is_recognised():
    f, text = polynomial_in(U, 3 * U - 2)
    assert text == "-2 + 3 y" and f(np.array(5.0)) == pytest.approx(13)
    f, text = polynomial_in(U, 1 - U**2)
    assert text == "1 - y^2" and f(np.array(3.0)) == pytest.approx(-8)
    assert polynomial_in(U, U**3) is None and polynomial_in(U, 0 * U + 2) is None
    for same in (0 * U, 0 * U + 3):  # equal points do not determine a polynomial
        assert polynomial_in(same, U) is None
    assert polynomial_in(MASK, MASK + U) is None  # two points do not determine a parabola


def test_a_polynomial_agrees_at_two_more_points_than_it_has_coefficients():
    assert polynomial_in(U[:4], 2 * U[:4]) is not None and polynomial_in(U[:3], 2 * U[:3]) is None
    assert polynomial_in(U[:5], U[:5] ** 2) is not None and polynomial_in(U[:4], U[:4] ** 2) is None


def test_unknown_elements_and_the_most_frequent_value_are_left_out():
    values = 2 * U + 1
    values[0] = np.nan
    f, text = polynomial_in(U, values)
    assert text == "1 + 2 y"
    np.testing.assert_allclose(f(U + 1), 2 * U + 3)
    flat = np.where(U < 0, 7.0, 2 * U + 1)  # 2 elements with the value 7, 4 elements with a polynomial
    f, text = polynomial_in(U, flat)
    assert text == "1 + 2 y"
    np.testing.assert_allclose(f(U), flat)
    np.testing.assert_allclose(f(U + 1), np.where(U < 0, 7.0, 2 * U + 3))
    matrix = polynomial_in(U.reshape(2, 3), flat.reshape(2, 3))[0]
    np.testing.assert_allclose(matrix(U.reshape(2, 3)), flat.reshape(2, 3))
    assert polynomial_in(U, np.where(U < 0.5, 7.0, 2 * U)) is None  # three elements are too few


def test_a_polynomial_fits_to_a_millionth():
    off = np.array([0, 0, 0, 0, 0, 1.0])
    assert polynomial_in(U, 3 * U + 1e-7 * off)[1] == "3 y" and polynomial_in(U, 3 * U + 1e-3 * off) is None
    assert polynomial_in(U, 3 * U - 99 * off[::-1]) is None  # one wrong element, and no value occurs twice
    assert polynomial_in(U, 1e-10 * U) is None  # as good as constant
    assert polynomial_in(U, 100 * U + 5e-5 * off) is not None and polynomial_in(U, 100 * U + 5e-3 * off) is None


@pytest.mark.parametrize("coefficients, text", [
    ([1.0, 0.0], "y"), ([-1.0, 0.0], "-y"), ([2.5, 1.0], "1 + 2.5 y"), ([-1.0, 0.0, 1.0], "1 - y^2"),
    ([-1.0, 1.0, 0.0], "y - y^2"), ([0.0, 0.0], "0"), ([1.0, -3.0], "-3 + y"), ([-0.5, -2.0, 0.0], "-2 y - 0.5 y^2"),
    ([1e-8, 1.0], "1"), ([1.0, 0.12345], "0.1235 + y"), ([1.0 + 1e-9, 0.0], "y"), ([1.001, 0.0], "1.001 y"),
    ([0.5, 1.0], "1 + 0.5 y"),
])  # fmt: skip
def test_a_polynomial_in_words(coefficients, text):
    assert formula_of(np.array(coefficients)) == text


# --- the name of a slope ---------------------------------------------------------------------------------------------


def test_the_right_slope_and_a_slope_of_few_elements_have_no_name():
    assert named(tanh_slope(U)) is None
    assert named(np.tanh(U[:3]), u=U[:3]) is None and named(np.tanh(U[:4]), u=U[:4]) is not None
    assert named(np.cos(7 * U)) is None


def test_a_formula_of_the_list():
    rank, mistake, evidence = named(np.tanh(U))
    assert mistake == WRONG and evidence.endswith("is y")
    assert named(1 - U**2)[1] == ELSEWHERE and "1 - u^2" in named(1 - U**2)[2]
    assert named(1 - np.tanh(np.tanh(U)) ** 2)[1] == ELSEWHERE
    assert named(np.tanh(U) + 9e-5 * np.tanh(U).max())[2].endswith("is y")
    assert not named(np.tanh(U) + 2e-3 * MASK)
    assert not named(0.01 * np.tanh(U) + 2e-5 * MASK, lambda u: 0.01 * np.tanh(u), lambda u: 0.01 * tanh_slope(u))


def test_a_missing_slope():
    def logistic_slope(u):
        return sigmoid(u) * (1 - sigmoid(u))

    missing = named(np.ones(6), sigmoid, logistic_slope)
    assert missing[1:] == (
        "activation's derivative missing", "the derivative that backward uses for y = phi(u) is 1 everywhere"
    )  # fmt: skip
    assert missing[0] < named(np.tanh(U))[0]
    assert named(np.full(6, 0.2), sigmoid, logistic_slope) is None
    for c in (1, 3):  # of a function with a mask, also the constant c of its slope
        found = named(np.full(6, float(c)), lambda u: 3 * relu(u), lambda u: 3 * relu_slope(u))
        assert found[1] == "mask not applied" and found[2].endswith(f"is {c} everywhere")


def test_another_mask():
    rank, mistake, evidence = named((U > 0.3).astype(float), relu, relu_slope)
    assert mistake == "another mask applied" and "1 of 6 elements differ" in evidence
    assert "above a threshold between 0.1 and 0.6" in evidence
    assert named((U < 0.3).astype(float), relu, relu_slope)[1] == "another mask applied"
    assert named(U > 0.3, relu, lambda u: u > 0)[1] == "another mask applied"  # a mask of bools


def leaky(u):
    return np.where(u > 0, u, 0.1 * u)


def leaky_slope(u):
    return np.where(u > 0, 1.0, 0.1)


def test_only_a_function_with_a_mask_has_another_mask():
    assert named((U > 0.3).astype(float), leaky, leaky_slope) is None


def test_more_specific_mistakes_come_first():
    u = np.array([-2.0, -0.7, -0.3, 0.6, 1.3, 2.2])
    ranks = [
        named((U > 0.3).astype(float), relu, relu_slope)[0],
        named(np.tanh(U))[0],
        named(np.where(u > 0, 1.0, 0.25), leaky, leaky_slope, u)[0],
        named(2 * np.tanh(U) - 3)[0],
        named(np.exp(U))[0],
    ]
    assert ranks == sorted(ranks) and len(set(ranks)) == 5
    assert named(2 * U - 3)[0] == ranks[2] and ranks[3] < ranks[0] + 1 < ranks[4]


def test_one_wrong_value_of_a_step():
    u = np.array([-2.0, -0.7, -0.3, 0.6, 1.3, 2.2])
    rank, mistake, evidence = named(np.where(u > 0, 1.0, 0.25), leaky, leaky_slope, u)
    assert mistake == WRONG and "0.25 where it should be 0.1" in evidence
    unequal = np.array([0.25, 0.25, 0.3, 1, 1, 1])
    assert named(unequal, leaky, leaky_slope, u) is None and named(0.25 + 0 * u, leaky, leaky_slope, u) is None
    rank, mistake, evidence = named(np.where(u > 0, 1.0, 0.3), relu, relu_slope, u)
    assert mistake == WRONG and "0.3 where it should be 0" in evidence
    two = np.array([-2.0, -0.7, 0.1, 0.6, 1.3, 2.2])  # two wrong elements may have a wrong value by chance
    assert named(np.where(two > 0, 1.0, 0.25), leaky, leaky_slope, two) is None


def test_one_wrong_value_of_a_small_step():
    def small(g):
        u = np.array([-2.0, -0.7, -0.3, 0.6, 1.3, 2.2])
        return named(0.01 * g, lambda u: 0.01 * leaky(u), lambda u: 0.01 * leaky_slope(u), u)

    assert "0.0025 where it should be 0.001" in small(np.array([0.25, 0.25, 0.25, 1, 1, 1]))[2]
    assert small(np.array([0.25, 0.25, 0.3, 1, 1, 1])) is None


def test_one_wrong_value_where_the_true_slopes_differ():
    u, steps = np.array([-2.0, -0.7, -0.3, 0.6, 1.3, 2.2]), np.array([0.1, 0.1, 0.2, 1, 1, 1])
    for wrong in (2.5 * steps, 0.3):
        assert name_slope(u, np.cos(9 * u), steps, np.where(u < 0, wrong, 1), np.cos, lambda x: None) is None


def test_a_polynomial_in_the_output_or_in_the_input():
    rank, mistake, evidence = named(2 * np.tanh(U) - 3)
    assert mistake == WRONG and evidence.endswith("-3 + 2 y")
    rank, mistake, evidence = named(2 * U - 3)
    assert mistake == ELSEWHERE and "-3 + 2 u" in evidence and "with the input u" in evidence
    rank, mistake, evidence = named(2 * U - 3, np.sin, np.cos)  # the true slope is no polynomial in y
    assert mistake == WRONG and evidence.endswith("-3 + 2 u")


def test_the_threshold_of_a_mask():
    def words(passed, u=U):
        return name_mask(u, relu_slope(u), 1.0 * passed, 1.0)

    assert "above a threshold between 0.6 and 1.3" in words(U > 1)
    assert "below a threshold between -0.7 and 0.1" in words(U < 0)
    assert "|input| is below a threshold between 0.7 and 1.3" in words(abs(U) < 1)
    other = words(np.array([1, 0, 1, 0, 1, 0]))
    assert "3 of 6 elements differ" in other and "threshold" not in other
    assert "threshold" not in words(np.array([0, 1, 0, 1, 0, 1]))
    twice = np.array([-1.0, -1, 0, 0, 1, 1])  # equal inputs, with and without a gradient, have no threshold
    assert "threshold" not in words(np.arange(6) > 2, twice) and "threshold" not in words(np.arange(6) < 3, twice)
    both = np.array([-1.0, 0.5, -0.5, 1, 2, -2])
    assert "threshold" not in words(np.arange(6) < 3, both)
    assert words(U > 9) is None and words(U < 9) is None and words(U > 1, U[:6])
    assert name_mask(U[:5], MASK[:5], 1.0 * (U[:5] > 1), 1.0) is None  # five elements are too few
    assert name_mask(U, MASK, 0.5 * MASK, 1.0) is None and name_mask(U, MASK, 3.0 * (U > 1), 3.0) is not None
    assert name_mask(U, MASK, MASK * (1 + 1e-3), 1.0) is None
    assert name_mask(U, MASK, np.array([0, 0, 1, 0.5, 1, 1]), 1.0) is None
    assert name_mask(U, 100 * MASK, 100 * (1 + 5e-5) * (U > 1), 100.0) is not None


def test_a_wrong_slope_at_zeros_is_searched_without_an_error():
    factor = np.array([0.3, 1.2, 0.5, 0.8, 2, 1.1])
    report = check_gradients((lambda x: np.tanh(x), lambda dy, x: dy * factor), np.zeros(6))
    assert report.verdict == "wrong" and report.notes == []
