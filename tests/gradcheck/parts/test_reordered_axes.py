"""Test gradients whose axes are exchanged, reversed or shifted, on small gradients whose mistake is known."""

import numpy as np
from wrong_gradients import case_of

from nnscratch.gradcheck.diagnosis.reordered_axes import axis_sets, reordered_axes, shifted

T = np.array([[1.0, -2.0, 5.0], [3.0, 7.0, -4.0]])
SQUARE = np.array([[1.0, -2.0, 5.0], [3.0, 7.0, -4.0], [6.0, 0.5, 8.0]])
IMAGES = np.random.default_rng(0).normal(size=(2, 5, 5))


def found(search, given, true):
    case = case_of(given, true)
    search(case)
    return [(d.mistake, d.evidence) for _, d in sorted(case.found, key=lambda pair: pair[0])]


def test_sets_of_axes():
    assert axis_sets(3) == [(0,), (1,), (2,), (0, 1), (0, 2), (1, 2), (0, 1, 2)] and axis_sets(0) == []


def test_a_transposed_gradient():
    assert [m for m, _ in found(reordered_axes, SQUARE.T, SQUARE)] == ["transposed"]
    stack = np.stack([SQUARE, SQUARE**2])
    assert found(reordered_axes, np.swapaxes(stack, 1, 2), stack)[0][0] == "transposed"
    assert found(reordered_axes, SQUARE[0], SQUARE[0]) == []
    tall = np.arange(12.0).reshape(3, 2, 2) ** 2
    assert found(reordered_axes, np.swapaxes(tall, 1, 2), tall)[0][0] == "transposed"


def test_a_gradient_that_is_reshaped_instead_of_transposed():
    assert found(reordered_axes, T.T.reshape(2, 3), T)[0][0] == "reshaped instead of transposed"
    assert found(reordered_axes, T.reshape(3, 2).T, T)[0][0] == "reshaped instead of transposed"
    assert found(reordered_axes, 2 * T, T) == []
    true = np.arange(24.0).reshape(2, 3, 4) ** 2
    given = true.reshape(2, -1).T.reshape(2, 3, 4)
    assert [m for m, _ in found(reordered_axes, given, true)] == ["reshaped instead of transposed"]


def test_a_reversed_gradient():
    assert found(reordered_axes, T[::-1], T)[0][1].startswith("given = true reversed along axis 0")
    assert found(reordered_axes, T[:, ::-1], T)[0][1].startswith("given = true reversed along axis 1")
    assert found(reordered_axes, T[::-1, ::-1], T)[0][1].startswith("given = true reversed along axes 0 and 1")
    stack = np.arange(1.0, 25).reshape(2, 3, 4) ** 2
    assert "reversed along axes 1 and 2" in found(reordered_axes, stack[:, ::-1, ::-1], stack)[0][1]
    ((mistake, evidence),) = found(reordered_axes, T[:1, ::-1], T[:1])  # axis 0 has one element only
    assert mistake == "axes reversed" and "axis 1" in evidence


def test_a_shifted_gradient():
    for step in (1, -1):
        for axis in (0, 1):
            mistake, evidence = found(reordered_axes, np.roll(SQUARE, step, axis), SQUARE)[0]
            assert mistake == "shifted by one" and f"shifted by {step} along axis {axis};" in evidence
    assert all(m != "shifted by one" for m, _ in found(reordered_axes, T[::-1], T))  # two rows can only be reversed
    assert found(reordered_axes, SQUARE, 2 * SQUARE) == []
    rows, three = np.stack([IMAGES[0, 0], IMAGES[0, 1]]), IMAGES[0, :3]
    assert [m for m, _ in found(reordered_axes, rows[::-1], rows)] == ["axes reversed"]  # one row remains after a shift
    assert all("by 2" not in e and "by -2" not in e for _, e in found(shifted, np.roll(three, 2, 0), three))


def test_a_shifted_gradient_may_have_any_value_at_one_end():
    for step, end in ((1, 0), (-1, -1)):
        for axis in (0, 1):
            given = np.roll(SQUARE, step, axis)
            at = (slice(None),) * axis + (end,)
            given[at] = 0
            assert f"by {step} along axis {axis}, with zeros at one end" in found(shifted, given, SQUARE)[0][1]
            given[at] = [9, 0, 0]
            assert "except at one end" in found(shifted, given, SQUARE)[0][1]
            given[at] = 9
            assert f"by {step} along axis {axis}, except at one end" in found(shifted, given, SQUARE)[0][1]
    assert found(shifted, SQUARE, SQUARE) == []
    four, five = np.array([1.0, 2, 4, 8]), np.array([1.0, 2, 4, 8, 16])
    assert found(shifted, np.roll(four, 1), four) == []  # three elements may fit by chance
    assert len(found(shifted, np.roll(five, 1), five)) == 1


def test_zeros_at_the_end_of_a_shifted_gradient_are_the_surer_sign():
    zeros, other = case_of([0.0, 1, 2, 4, 8], [1.0, 2, 4, 8, 16]), case_of([9.0, 1, 2, 4, 8], [1.0, 2, 4, 8, 16])
    for case in (zeros, other):
        shifted(case)
    assert zeros.found[0][0] < other.found[0][0]


def test_the_gradient_of_a_padded_image_that_is_cut_off_at_one_side():
    rng = np.random.default_rng(1)
    for width in (1, 2):
        padded = rng.normal(size=(2, 5 + 2 * width, 5 + 2 * width))  # the gradient of the padding is not zero
        true = padded[:, width:-width, width:-width]
        first, last = padded[:, :5, :5], padded[:, -5:, -5:]
        for given, step in ((first, width), (last, -width)):
            ((mistake, evidence),) = found(shifted, given, true)
            assert found(reordered_axes, given, true) == [(mistake, evidence)] != found(shifted, 2 * given, true)
            assert len(found(shifted, 1e-4 * given, 1e-4 * true)) == 1
            assert mistake == "shifted by one"
            assert f"by {step} along axes 1 and 2, except at one end of each axis" in evidence


def test_the_gradient_of_a_padded_volume_that_is_cut_off_at_one_side():
    padded = np.random.default_rng(1).normal(size=(5, 5, 5))
    ((_, evidence),) = found(shifted, padded[:4, :4, :4], padded[1:, 1:, 1:])
    assert "by 1 along axes 0 and 1 and 2, except at one end of each axis" in evidence


def test_the_more_certain_mistake_comes_first():
    def ranks(given, true):
        case = case_of(given, true)
        reordered_axes(case)
        return {rank for rank, _ in case.found}

    stack = np.arange(24.0).reshape(2, 3, 4) ** 2
    assert ranks(SQUARE.T, SQUARE) == {2}
    assert ranks(T.T.reshape(2, 3), T) == ranks(T.reshape(3, 2).T, T) == {2.5}
    assert ranks(stack.reshape(2, -1).T.reshape(2, 3, 4), stack) == {2.5}
    assert ranks(T[:, ::-1], T) == {3}
    end = np.roll(SQUARE, 1, 0)
    assert 3 in ranks(end, SQUARE)
    end[0] = 9
    assert ranks(end, SQUARE) == {3.05}


def test_the_shift_must_be_the_same_along_all_axes_and_the_moved_elements_must_not_be_zero():
    assert found(shifted, np.roll(IMAGES, (1, -1), (1, 2)), IMAGES) == []
    assert found(shifted, np.roll(IMAGES, (1, 2), (1, 2)), IMAGES) == []
    long = np.arange(9.0) ** 2
    assert found(shifted, np.roll(long, 3), long) == []  # no padding is that wide
    given, true = np.zeros((4, 4)), np.zeros((4, 4))
    given[0], true[3] = [5.0, 6.0, 7.0, 8.0], [1.0, 2.0, 3.0, 4.0]
    assert found(shifted, given, true) == []  # all other elements of both are zero
