"""Test the mistakes that a gradient itself shows, on small gradients whose mistake is known."""

import numpy as np
import pytest
from wrong_gradients import case_of, entry_of, projection_of, ranked

from nnscratch.gradcheck.diagnosis.array_mistakes import (
    array_mistakes,
    constant_factor,
    exchanged,
    explain_constant,
    float32_noise,
    gate_names,
    is_computed_in_float32,
    scaled_by_constant,
    sum_name,
    summed_too_far,
    weight_decay,
    wrong_blocks,
    wrong_shape,
)
from nnscratch.gradcheck.diagnosis.case import Case
from nnscratch.gradcheck.diagnosis.smaller_gradients import summed_to_fewer_elements

T = np.array([[1.0, -2.0, 5.0], [3.0, 7.0, -4.0]])
SQUARE = np.array([[1.0, -2.0, 5.0], [3.0, 7.0, -4.0], [6.0, 0.5, 8.0]])


def found(search, given, true, *arguments, **options):
    case = case_of(given, true, **options)
    search(case, *arguments)
    return [(d.mistake, d.evidence) for _, d in sorted(case.found, key=lambda pair: pair[0])]


def ranked_names(search, given, true):
    return [mistake for mistake, _ in found(search, given, true)]


def searched(given, true, **options):
    case = case_of(
        given, true, projection=options.pop("projection", projection_of(variables={"w": np.ones(np.shape(true))}))
    )
    array_mistakes(case, {"w": case}, {}, {})
    return ranked(case)


# --- a factor --------------------------------------------------------------------------------------------------------


def test_the_factor_between_two_gradients():
    t = np.array([1.0, -2.0, 4.0])
    assert constant_factor(3 * t, t) == pytest.approx(3)
    assert constant_factor(-t, t) == pytest.approx(-1)
    assert constant_factor(np.array([1.0, -2.0, 5.0]), t) is None
    assert constant_factor(t, t) is None and constant_factor((1 + 1e-8) * t, t) is None  # they are equal
    assert constant_factor((1 + 1e-6) * t, t) == pytest.approx(1 + 1e-6, abs=1e-9)
    assert constant_factor(t, 0 * t) is None
    assert constant_factor(t[:0], t[:0]) is None
    assert constant_factor(0 * t, t) == 0
    assert constant_factor(np.array([2.0]), np.array([4.0])) == 0.5


def test_a_factor_holds_up_to_a_tolerance():
    t = np.array([1.0, -2.0, 4.0])
    off = np.array([2e-3, 1e-3, 0.0])  # <off, t> = 0, so the factor stays the same
    assert constant_factor(2 * t + off, t) is None  # the default is 1e-4 of the largest element, here 8e-4
    assert constant_factor(20 * t + off, t) == pytest.approx(20)
    assert constant_factor(np.array([20.0, -40, 1e-4]), np.array([1.0, -2, 0])) == pytest.approx(20)
    assert constant_factor(2 * t + off, t, np.full(3, 1e-2)) == pytest.approx(2)
    assert constant_factor(20 * t + off, t, np.full(3, 1e-6)) is None
    assert constant_factor(np.array([0.0, 1.0]), np.array([1.0, 0.0])) is None


def test_the_names_of_factors():
    assert found(scaled_by_constant, -T, T, -1.0)[0][0] == "sign flipped"
    assert len(found(scaled_by_constant, -T, T, -1.0)) == 1
    assert [m for m, _ in found(scaled_by_constant, 2 * T, T, 2.0)] == ["scaled by a constant", "counted twice"]
    three = found(scaled_by_constant, 3 * T, T, 3.0)
    assert [m for m, _ in three] == ["scaled by a constant", "counted twice"] and "added 3 times" in three[1][1]
    for c in (1.5, 4.0, -2.0, 2.5, 0.5, 2.001, -3.0):  # a contribution is not counted 1.5 times
        assert [m for m, _ in found(scaled_by_constant, c * T, T, c)] == ["scaled by a constant"]
    assert found(scaled_by_constant, -1.001 * T, T, -1.001)[0][0] == "scaled by a constant"


def test_the_factor_of_a_single_number_is_said_only_if_it_has_an_origin():
    one = np.array([3.0])
    assert found(scaled_by_constant, 1.7 * one, one, 1.7) == []
    assert "extra factor 2" in found(scaled_by_constant, 2 * one, one, 2.0)[1][1]
    case, many = case_of(2 * one, one), case_of(2 * T, T)
    for c in (case, many):
        scaled_by_constant(c, 2.0)
    assert case.found[0][0] > many.found[0][0]  # it is less certain than the factor of an array
    two = case_of(1.7 * T[0, :2], T[0, :2])
    scaled_by_constant(two, 1.7)
    assert two.found[0][0] == many.found[0][0]


def test_the_origin_of_a_factor():
    # sizes: N = 3 samples, D = 5 features, and an input with the axes N, T, D
    case = case_of(T, T, projection=projection_of([np.ones((3, 5)), np.ones((3, 7, 11)), [1.0]]))

    def origin(c):
        return explain_constant(case, c)

    size = "where D = 5 is the length of axis 1 of x0"
    assert origin(5.0) == f"backward has an extra factor D, or lacks a factor 1/D, {size}"
    size = "where N = 3 is the length of axis 0 of x0"
    assert origin(3.0).startswith(f"backward has an extra factor N, or lacks a factor 1/N, {size}")
    assert origin(-1 / 3).startswith(f"backward has an extra factor 1/N, {size}")
    assert origin(7.0).endswith("T = 7 is the length of axis 1 of x1")
    assert origin(11.0).endswith("D = 11 is the length of axis 2 of x1")
    assert origin(15.0).endswith("where n = 15 is the number of elements of x0")
    assert origin(-2.0) == "backward has an extra factor 2, or lacks a factor 1/2"
    assert origin(0.5) == "backward has an extra factor 1/2, or lacks a factor 2"
    assert origin(0.01) == "0.01 may be a learning rate"
    assert [bool(origin(r)) for r in (0.3, 0.1, 0.03, 0.003, 0.001, 1e-4, 0.02)] == [True] * 6 + [False]
    assert origin(1.0) == "" and origin(4.0) == "" and origin(5.001) == "" and origin(0.2001) == ""
    assert origin(5.0004)  # 1e-4 of 5 is 5e-4


def test_a_factor_of_almost_one_has_no_origin():
    """Code that divides by N + 1e-4 instead of N has such a factor."""
    one = projection_of([np.ones((1, 4))])
    one.adapter.source = Layer(scale=1.0)
    assert explain_constant(case_of(T, T, projection=one), 1.00005) == ""


class Layer:
    def __init__(self, **attributes):
        vars(self).update(attributes)


def test_the_origin_of_a_factor_may_be_an_attribute():
    layer = Layer(momentum=0.9, scale=-0.25, zero=0.0, training=True, name="bn", w=T, rate=0.00105)

    def origin(c, source=layer):
        projection = projection_of([np.ones((1, 1))])
        projection.adapter.source = source
        return explain_constant(case_of(T, T, projection=projection), c)

    words = "this may be the factor self.momentum = 0.9, or 1 / self.momentum"
    assert origin(0.9) == origin(1 / 0.9) == origin(-0.9) == words
    words = "this may be the factor self.scale = -0.25, or 1 / self.scale"
    assert origin(-0.25) == origin(0.25) == origin(4.0) == words
    assert origin(0.9002) == origin(1.112) == origin(0.8) == ""
    assert origin(1000.0) == "" == origin(0.00104)  # neither the rate 0.00105 nor its inverse
    assert origin(1 / 0.00105).startswith("this may be the factor self.rate")
    assert origin(0.9, [Layer(p=0.2), layer]).startswith("this may be the factor self.momentum")
    assert origin(0.9, None) == "" == origin(0.9, Layer(momentum="0.9"))


def test_two_origins_of_a_factor_are_named_at_most():
    case = case_of(T, T, projection=projection_of([np.ones((2, 2, 2, 2, 2))]))
    text = explain_constant(case, 2.0)
    assert text.count(";") == 1 and "N = 2" in text and "N = 2" in explain_constant(case, 0.5)
    case.projection.adapter.source = Layer(heads=2)
    text = explain_constant(case, 2.0)
    assert text.startswith("this may be the factor self.heads") and text.endswith("or lacks a factor 1/2")
    case = case_of(T, T, projection=projection_of([np.ones((1, 1, 1, 1, 6))]))
    text = explain_constant(case, 6.0)
    assert text.endswith("where L = 6 is the length of axis 4 of x0; 6 is also the number of elements of x0")


# --- no gradient, float32 --------------------------------------------------------------------------------------------


def test_a_gradient_of_zeros():
    assert searched(0 * T, T) == ["gradient never computed"]
    assert searched(0 * T, 0.01 * T) == ["gradient never computed"]
    assert "gradient never computed" not in searched(0 * T, 0 * T) + searched(T, 0 * T)  # the true gradient is zero
    assert searched(np.eye(2, 3), T) == []
    assert searched(0 * T, np.eye(2, 3)) == ["gradient never computed"]  # some elements may be right
    tiny = 1e-13 * np.array([[0, 3.0, 1.0], [2.0, 0, 0]])
    for given in (tiny, 1e-13 * T):
        assert searched(given, T) == ["gradient never computed"]
        assert "gradient never computed" not in searched(given, 1e-3 * T)


def test_the_words_for_a_gradient_of_zeros():
    def words(given, true):
        case = case_of(given, true)
        array_mistakes(case, {"w": case}, {}, {})
        return case.found[0][1].evidence

    assert words(0 * T, T) == "backward gives zero everywhere; the finite differences are not zero"
    cancelled = "backward gives zero everywhere, except for rounding errors, because its terms cancel. The finite "
    assert words(1e-15 * np.eye(2, 3), T) == words(1e-15 * T, T) == cancelled + "differences are not zero"


def test_nothing_is_said_of_a_gradient_without_known_elements():
    assert searched(T, np.full(T.shape, np.nan)) == [] == searched(np.zeros((0, 2)), np.zeros((0, 2)))


def test_a_right_gradient_with_the_noise_of_float32():
    true = T * np.pi
    assert found(float32_noise, true.astype(np.float32), true)[0][0] == "right but for float32 noise"
    assert found(float32_noise, (T + 1e-3).astype(np.float32), T) == []  # wrong by more than rounding
    assert found(float32_noise, true * (1 + 1e-6), true) == []  # float64 code with a small mistake
    some = np.where(T > 4, 4.0, true)  # some numbers are the same in float32
    assert found(float32_noise, np.where(T > 4, 4.0, some * (1 + 1e-6)), some) == []


def test_the_noise_of_float32_is_smaller_along_directions():
    """The rounding errors of many elements have random signs."""

    class Along(Case):
        by_element = False

    true = T * np.pi
    given = (true * (1 + 1e-5)).astype(np.float32)
    assert found(float32_noise, given, true) != []
    case = Along(entry_of(given, true), projection_of())
    float32_noise(case)
    assert case.found == []


def test_code_that_computes_in_float32_does_not_return_three_times_the_gradient_for_three_times_dy():
    given = T * np.pi * (1 + 1e-7)

    def times(factor):
        gradient = {"w": factor * given}
        return case_of(given, T * np.pi, projection=projection_of(gradient=lambda weights: gradient))

    assert is_computed_in_float32(times(3 + 3e-7))
    assert is_computed_in_float32(times(np.array([3, 3, 3 + 3e-7])))
    assert not is_computed_in_float32(times(3)) and not is_computed_in_float32(times(3.1))
    assert not is_computed_in_float32(times(np.ones((4, 2, 3))))  # of another shape
    assert not is_computed_in_float32(case_of(given, T * np.pi))  # no gradient
    case = times(3 + 3e-7)
    float32_noise(case)
    assert ranked(case) == ["right but for float32 noise"]


def test_the_test_for_float32_calls_backward_with_three_times_dy():
    seen = []
    case = case_of(T, T, projection=projection_of(gradient=lambda weights: seen.append(weights) or {}))
    case.projection.weights = (np.array([1.0, 2.0]), None)
    is_computed_in_float32(case)
    assert seen[0][0].tolist() == [3, 6] and seen[0][1] is None


# --- sums ------------------------------------------------------------------------------------------------------------


def test_a_gradient_that_is_summed_too_far():
    for axis, words, these in (
        (0, "axis 0", "this axis"),
        (1, "axis 1", "this axis"),
        ((0, 1), "axes 0 and 1", "these axes"),
    ):
        given = np.broadcast_to(T.sum(axis=axis, keepdims=True), T.shape)
        ((mistake, evidence),) = found(summed_too_far, given, T)
        assert mistake == "summed over the wrong axis"
        assert evidence.startswith(f"every element is the sum of the true gradient over {words}; backward must not sum "
                                   f"over {these}; ")  # fmt: skip
    assert found(summed_too_far, T[:1], T[:1]) == []
    column = T[:, :1]
    assert "over axis 0;" in found(summed_too_far, np.full((2, 1), 4.0), column)[0][1]  # not axes 0 and 1
    unknown = T.copy()
    unknown[0, 0] = np.nan
    assert found(summed_too_far, np.full(T.shape, T.sum()), unknown) == []


# --- shapes ----------------------------------------------------------------------------------------------------------


def test_a_gradient_of_another_shape():
    assert found(wrong_shape, T, T) == []
    assert found(wrong_shape, T.T, T)[0][0] == "transposed"
    assert found(wrong_shape, T.ravel(), T)[0][0] == "reshape missing"
    assert found(wrong_shape, 2 * T.ravel(), T) == []
    assert found(wrong_shape, T[:, :2], T) == []


def test_a_sum_that_leaves_fewer_elements():
    for given, axis in ((T.sum(axis=0), "axis 0"), (T.sum(axis=1)[:, None], "axis 1"), (T.sum(), "all axes")):
        ((mistake, evidence),) = found(summed_to_fewer_elements, np.asarray(given), T)
        assert mistake == "summed over the wrong axis" and evidence.endswith(f"over {axis}")
    assert found(summed_to_fewer_elements, np.asarray(1.01 * T.sum()), T) == []
    assert found(summed_to_fewer_elements, T, T) == found(summed_to_fewer_elements, np.zeros(()), T - T.mean()) == []
    zero = np.array([[1.0, 3.0], [-1.0, 2.0], [0.0, 7.0]])
    assert len(found(summed_to_fewer_elements, zero.sum(axis=0) + 1e-9, zero)) == 1
    assert found(summed_to_fewer_elements, zero.sum(axis=0) + [0, 1], zero) == []
    assert found(summed_to_fewer_elements, np.zeros(()), zero * [1, 0]) == []  # it is zero for another reason
    assert len(found(summed_to_fewer_elements, np.array(0.1), np.full((3, 1), 0.1 / 3))) == 1
    column = zero[:, 1:]
    assert found(summed_to_fewer_elements, column * (1 + 1e-5), column) == []  # an axis of length 1
    unknown = zero * [1, np.nan]
    assert found(summed_to_fewer_elements, zero.sum(), unknown) == []
    case = case_of(T.sum(), T)
    summed_to_fewer_elements(case)
    assert case.found[0][0] == 0.66  # after the mistakes of a wrong shape, before a factor
    known = case_of(T.sum(axis=0), T)
    known.add(1, "known", "")
    summed_to_fewer_elements(known)
    assert ranked(known) == ["known"]


def test_equal_elements_are_scaled_and_not_summed():
    assert ranked_names(summed_too_far, 3 * np.full((2, 3), 0.5), np.full((2, 3), 0.5)) == []
    rows = np.repeat([[1.0], [3.0]], 3, axis=1)
    assert ranked_names(summed_too_far, np.broadcast_to(rows.sum(axis=0), (2, 3)), rows) != []
    assert ranked_names(summed_too_far, 3 * rows, rows) == []


def test_one_number_that_is_three_times_as_large_is_scaled():
    layers = projection_of([np.ones((3, 4))])
    single = case_of([6.0], [2.0], projection=layers)
    scaled_by_constant(single, 3.0)
    assert ranked(single) == ["scaled by a constant", "counted twice"]


def test_an_axis_of_length_one_is_a_missing_reshape_and_not_a_sum():
    column = T[0]
    assert [m for m, _ in found(wrong_shape, column[:, None], column)] == ["reshape missing"]
    assert [m for m, _ in found(wrong_shape, column[None], column)] == ["reshape missing"]
    removed, flat = case_of(column[:, None], column), case_of(T.ravel(), T)
    for case in (removed, flat):
        wrong_shape(case)
    assert removed.found[0][0] < flat.found[0][0]

    two = T[0, :2]
    for given in (two[:, None], two[None]):
        assert [m for m, _ in found(wrong_shape, given, two)] == ["reshape missing"]
    assert [m for m, _ in found(wrong_shape, two, two[:, None])] == ["reshape missing"]


def test_a_row_for_a_column_is_transposed_or_reshaped():
    assert [m for m, _ in found(wrong_shape, T[:1], T[:1].T)] == ["transposed", "reshape missing"]


def test_a_missing_sum():
    per_sample = np.stack([T, 2 * T, -5 * T])  # three samples
    samples = projection_of([np.ones((3, 4))])
    assert found(wrong_shape, per_sample, -2 * T, projection=samples)[0][0] == "sum over the batch missing"
    ((mistake, evidence),) = found(wrong_shape, per_sample, -2 * T)
    assert mistake == "broadcast axis not summed" and "given.sum(axis=0) = true" in evidence
    mean = found(wrong_shape, per_sample, -2 / 3 * T)
    assert "given.mean(axis=0) = true" in mean[0][1]
    two = found(wrong_shape, T, np.array([10.0]))
    assert [m for m, _ in two] == ["broadcast axis not summed"] and "given.sum(axis=(0, 1)) = true" in two[0][1]


def test_the_smaller_missing_sum_is_the_more_specific_one():
    one, two = case_of(T, T.sum(0)), case_of(T, [T.sum()])
    for case in (one, two):
        wrong_shape(case)
    assert one.found[0][0] < two.found[0][0]
    mean = case_of(T, T.mean(0))
    wrong_shape(mean)
    assert one.found[0][0] < mean.found[0][0]


def test_a_missing_sum_is_over_the_batch_if_axis_0_has_its_length():
    labels = case_of(T, T, projection=projection_of([np.array([0, 1])]))
    assert sum_name(labels, T, (0,)) == "sum over the batch missing"
    case = case_of(T, T, projection=projection_of([np.ones((2, 4)), np.array(5.0)]))
    assert sum_name(case, T, (0,)) == "sum over the batch missing"
    assert sum_name(case, T, (1,)) == "broadcast axis not summed"
    assert sum_name(case, T.T, (0,)) == "broadcast axis not summed"


# --- exchanged -------------------------------------------------------------------------------------------------------


def test_exchanged_gradients():
    a, b = case_of(2 * T, T, "a"), case_of(T, 2 * T, "b")
    a.projection.adapter.returned_names = lambda: ["db", "da"]
    cases = {"a": a, "b": b}
    exchanged(a, cases, {"a": T, "b": 2 * T}, {})
    ((_, d),) = a.found
    assert d.mistake == "two gradients exchanged" and "vice versa" in d.evidence
    assert "its return statement has the order db, da" in d.evidence


def test_returned_names_are_said_only_if_they_name_both_arrays():
    a, b = case_of(2 * T, T, "a"), case_of(T, 2 * T, "b")
    a.projection.adapter.returned_names = lambda: ["da", None, "dc"]
    exchanged(a, {"a": a, "b": b}, {"a": T, "b": 2 * T}, {})
    assert "return statement" not in a.found[0][1].evidence


def test_the_gradient_of_another_array():
    a = case_of(2 * T, T, "a")
    exchanged(a, {"a": a}, {"a": T, "b": 2 * T}, {})
    ((_, d),) = a.found
    assert d.mistake == "the wrong array used" and "the gradient of b as the gradient of a" in d.evidence


@pytest.mark.parametrize(
    "given, true, other",
    [
        (0 * T, T, 0 * T),  # no gradient
        (T * np.inf, T, T),
        (T * [1, 1, np.inf], T, 2 * T),
        (2e-3 * T, 1e-3 * T, 2.001e-3 * T),
        (T, T, T),  # it is right
        (2 * T, T, 2 * T.T),  # of another shape
        (2 * T, T, 2.001 * T),
        (2 * T, T, np.full(T.shape, np.nan)),
    ],
)
def test_no_gradient_of_another_array(given, true, other):
    case = case_of(given, true, "a")
    exchanged(case, {"a": case}, {"a": true, "b": other}, {})
    assert case.found == []


def test_the_gradient_of_another_array_may_have_elements_of_zero():
    masked = np.where(T > 2, T, 0)
    for factor in (1, 2 + 1e-5):
        case = case_of(factor * masked, T, "a")
        exchanged(case, {"a": case}, {"a": T, "b": round(factor) * masked}, {})
        assert ranked(case) == ["the wrong array used"]


def test_a_right_gradient_is_not_the_gradient_of_another_array():
    """Two arrays may have almost the same gradient. Then another one does not explain a small error."""
    case = case_of(T * (1 + 2e-5), T, "a")
    exchanged(case, {"a": case}, {"a": T, "b": T * (1 + 1e-5)}, {})
    assert case.found == []


def test_the_gradient_of_a_large_array_is_compared_along_directions():
    other = case_of(T, 2 * T, "b")
    case = case_of(2 * T, T, "a")
    exchanged(case, {"a": case}, {}, {"b": other})
    assert ranked(case) == ["the wrong array used"]
    case = case_of(2.01 * T, T, "a")
    exchanged(case, {"a": case}, {}, {"b": other})
    assert case.found == []


# --- blocks ----------------------------------------------------------------------------------------------------------

GATES = np.arange(1.0, 25).reshape(8, 3) ** 2  # four gates with two rows each
LSTM = projection_of(variables={"weight_hh": np.ones((8, 2))})


def blocks(given, true, name="weight_hh", projection=LSTM):
    case = case_of(given, true, name, projection)
    wrong_blocks(case)
    return [(d.mistake, d.evidence, d.place) for _, d in sorted(case.found, key=lambda pair: pair[0])]


def with_block(true, k, block):
    wrong = true.copy()
    wrong[2 * k : 2 * k + 2] = block
    return wrong


def test_a_wrong_gate():
    ((mistake, evidence, place),) = blocks(with_block(GATES, 1, 7), GATES)
    assert mistake == "a gate's block wrong" and place == "rows 2:4 of weight_hh, the forget gate"
    assert "other 3 blocks are right" in evidence and "not a multiple" in evidence
    assert "is 0" in blocks(with_block(GATES, 1, 0), GATES)[0][1]
    assert "given = 0.5 * true" in blocks(with_block(GATES, 2, 0.5 * GATES[4:6]), GATES)[0][1]
    signs = blocks(with_block(GATES, 3, -GATES[6:8]), GATES)
    assert [m for m, *_ in signs] == ["sign flipped", "a gate's block wrong"] and "the output gate" in signs[0][2]
    assert blocks(GATES, GATES) == [] and blocks(2 * GATES, GATES) == []
    half = blocks(with_block(GATES, 2, -0.5 * GATES[4:6]), GATES)
    assert [m for m, *_ in half] == ["a gate's block wrong"] and "given = -0.5 * true" in half[0][1]
    some = GATES[2:4] * [0, 1, 3]  # the block contains zeros and right elements
    ((_, evidence, place),) = blocks(with_block(GATES, 1, some), GATES)
    assert place.startswith("rows 2:4") and "not a multiple" in evidence


def test_two_swapped_gates():
    last = blocks(GATES[[0, 1, 2, 3, 6, 7, 4, 5]], GATES)
    assert last[0][:2] == ("two gates swapped", "in given, blocks 3 and 4 are exchanged")
    three = blocks(GATES[[2, 3, 4, 5, 0, 1, 6, 7]], GATES)
    words = "in given, the blocks are in the order 2, 3, 1, 4 instead of 1, 2, 3, 4"
    assert three[0][:2] == ("gates in the wrong order", words)
    swapped = GATES[[4, 5, 2, 3, 0, 1, 6, 7]]
    found = blocks(swapped, GATES)
    assert [m for m, *_ in found] == ["two gates swapped", "a gate's block wrong"]
    assert found[0][1] == "in given, blocks 1 and 3 are exchanged"
    assert found[0][2] == "rows 0:2 and 4:6 of weight_hh, the input gate and the cell gate"
    other = with_block(with_block(GATES, 0, 3), 2, 4)
    assert [m for m, *_ in blocks(other, GATES)] == ["a gate's block wrong"]
    assert "2 of 4 blocks are right" in blocks(other, GATES)[0][1]


def test_blocks_along_other_axes():
    columns = blocks(with_block(GATES, 1, 7).T, GATES.T)
    assert columns[0][2].startswith("columns 2:4 of weight_hh")
    vector = blocks(with_block(GATES, 1, 7)[:, 0], GATES[:, 0])
    assert vector[0][2].startswith("elements 2:4 of weight_hh")
    middle = np.stack([GATES, 2 * GATES])
    wrong = middle.copy()
    wrong[:, 2:4] = 7
    assert blocks(wrong, middle)[0][2].startswith("elements 2:4")


def test_blocks_of_a_gru():
    six = GATES[:6]
    projection = projection_of(variables={"v": np.ones(2)})
    wrong = with_block(six, 0, 7)
    assert "block 1 of 3 (in a GRU, the reset gate)" in blocks(wrong, six, "l.weight_ih_l0", projection)[0][2]
    assert blocks(wrong, six, "w", projection)[0][2] == "rows 0:2 of w, block 1 of 3"


def test_blocks_need_an_array_with_the_size_of_a_block():
    assert gate_names(case_of(GATES, GATES, projection=LSTM), 4) == [f"block {k} of 4" for k in (1, 2, 3, 4)]
    assert gate_names(case_of(GATES, GATES), 4) is None
    assert gate_names(case_of(GATES, GATES, projection=LSTM), 3) is None
    assert gate_names(case_of(GATES, GATES, projection=projection_of(outputs=[np.ones((5, 2)), 1.0])), 4)
    # blocks of one element are no gates: the length must be at least twice the number of blocks
    assert gate_names(case_of(GATES[:4], GATES[:4], projection=projection_of(variables={"v": np.ones(1)})), 4) is None
    unknown = np.full(GATES.shape, np.nan)
    assert blocks(GATES, unknown) == []
    rows = projection_of(variables={"v": np.ones(2)})  # the length of three blocks of six rows
    column = GATES[:6].copy()
    column[:, 1] = 7
    assert blocks(column, GATES[:6], projection=rows) == []  # one of three columns
    wide = np.hstack([GATES[:6], GATES[:6] ** 2])[:, :4]
    ((_, _, place),) = blocks(with_block(wide, 1, 7), wide, projection=rows)
    assert place.startswith("rows 2:4")
    tall = np.arange(1.0, 37).reshape(12, 3) ** 2  # three blocks of four rows, or four blocks of three
    wrong = tall.copy()
    wrong[4:8] = 7
    ((_, _, place),) = blocks(wrong, tall, projection=projection_of(variables={"v": np.ones(4)}))
    assert place.startswith("rows 4:8 of weight_hh, block 2 of 3")


# --- weight decay ----------------------------------------------------------------------------------------------------


def decay(given, true, value, name="w"):
    case = case_of(given, true, name, projection_of(variables={name: np.array(value)}))
    weight_decay(case)
    return [d.evidence for _, d in case.found]


def test_weight_decay():
    w = np.array([2.0, -1.0, 0.5])
    t = np.array([1.0, 4.0, -3.0])
    assert decay(t + 0.1 * w, t, w)[0].startswith("given = true + 0.1 * w, in every element")
    assert decay(t - 0.1 * w, t, w)[0].startswith("given = true - 0.1 * w")
    assert decay(t + w, t, w)[0].startswith("given = true + 1 * w")
    assert decay(t + w * [1, 0, 1], t, w * [1, 0, 1])[0].startswith("given = true + 1 * w")
    assert decay(t + w**2, t, w) == []
    assert decay((t + 0.1 * w)[:2], t[:2], w[:2]) == []  # two elements may fit by chance
    assert decay(t + 0.1 * w, t, w, "running_mean") == []  # a statistic has no weight decay


# --- the order of the tests ------------------------------------------------------------------------------------------


def test_the_mistakes_of_one_gradient():
    assert searched(-SQUARE, SQUARE) == ["sign flipped"]
    assert searched(SQUARE.T, SQUARE) == ["transposed"]
    assert searched(T.T, T) == ["transposed"]
    assert searched(T * np.nan, T) == []
    w = projection_of(variables={"w": SQUARE**2})
    assert searched(SQUARE + 0.1 * SQUARE**2, SQUARE, projection=w) == ["weight decay's share wrong"]
    assert searched(np.full(T.shape, T.sum()), T) == ["summed over the wrong axis"]
    assert searched((T * np.pi).astype(np.float32), T * np.pi) == ["right but for float32 noise"]


def test_errors_below_the_noise_of_differences_are_not_explained():
    class Noisy(Case):
        usable = False

    case = Noisy(case_of(-T, T).entry, projection_of())
    array_mistakes(case, {"w": case}, {}, {})
    assert case.found == []


def first_rank(mistake, given, true, **options):
    variables = {"state": np.ones(2), options.get("name", "w"): np.ones(np.shape(true))}
    case = case_of(given, true, **{"projection": projection_of(variables=variables)} | options)
    other = case_of(true, given, "other") if options.get("name") == "exchanged" else None
    cases = {case.name: case} | ({"other": other} if other else {})
    others = {"other": np.asarray(given, dtype=float)} if "name" in options else {}
    array_mistakes(case, cases, others, {})
    return min(rank for rank, d in case.found if d.mistake == mistake)


def test_the_more_specific_mistake_comes_first():
    five = np.array([1.0, 2, 4, 8, 16]) * np.pi
    w = projection_of(variables={"w": SQUARE**2})
    ranks = [
        first_rank("gradient never computed", 0 * T, T),
        first_rank("transposed", T.T, T),
        first_rank("broadcast axis not summed", T, T.sum(0)),
        first_rank("two gradients exchanged", 2 * T, T, name="exchanged"),
        first_rank("the wrong array used", 2 * T, T, name="a"),
        first_rank("right but for float32 noise", (T * np.pi).astype(np.float32), T * np.pi),
        first_rank("broadcast axis not summed", T, T.mean(0)),
        first_rank("sign flipped", -T, T),
        first_rank("two gates swapped", GATES[[4, 5, 2, 3, 0, 1, 6, 7]], GATES),
        first_rank("sign flipped", with_block(GATES, 3, -GATES[6:8]), GATES),
        first_rank("transposed", SQUARE.T, SQUARE),
        first_rank("weight decay's share wrong", SQUARE + 0.1 * SQUARE**2, SQUARE, projection=w),
        first_rank("reshaped instead of transposed", T.reshape(3, 2).T, T),
        first_rank("axes reversed", T[::-1], T),
        first_rank("shifted by one", [9.0, *five[:-1]], five),
        first_rank("summed over the wrong axis", np.full(T.shape, T.sum()), T),
        first_rank("a gate's block wrong", with_block(GATES, 1, 7), GATES),
        first_rank("scaled by a constant", 1.7 * T, T),
        first_rank("counted twice", 2 * T, T),
        first_rank("a gate's block wrong", with_block(with_block(GATES, 0, 3), 2, 4), GATES),
    ]
    assert ranks == sorted(ranks) and len(set(ranks)) == len(ranks)
    kinds = [first_rank("reshaped instead of transposed", T.T.reshape(2, 3), T)]
    true = np.arange(24.0).reshape(2, 3, 4) ** 2
    kinds += [first_rank("reshaped instead of transposed", true.reshape(2, -1).T.reshape(2, 3, 4), true)]
    assert kinds == [ranks[12]] * 2
    assert first_rank("scaled by a constant", [2.0], [1.0]) > ranks[-1]
    assert ranks[15:] == [3.2, 5.5, 6, 6.5, 7]  # after and before the mistakes that other searches find
    assert first_rank("counted twice", 3 * T, T) == 9.5 and first_rank("reshape missing", T.ravel(), T) == 0.7
    assert first_rank("gates in the wrong order", GATES[[2, 3, 4, 5, 0, 1, 6, 7]], GATES) == 1.55


def test_every_search_looks_at_the_gradient():
    vector = np.array([1.0, 2, 4, 8, 16]) * np.pi
    assert searched([0.0, *vector[:-1]], vector) == ["shifted by one"]
    lstm = projection_of(variables={"w": GATES, "state": np.ones(2)})
    assert searched(with_block(GATES, 1, 7), GATES, projection=lstm) == ["a gate's block wrong"]
    assert "axes reversed" in searched(np.flip(T[None], (1, 2)), T[None])
    assert searched(T[:, ::-1][:, :, None], T[:, :, None])[0] == "axes reversed"
