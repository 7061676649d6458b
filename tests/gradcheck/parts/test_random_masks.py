"""Test if a mask was drawn, as dropout's mask, or comes from the data."""

from types import SimpleNamespace

import numpy as np
import pytest

from nnscratch.gradcheck.diagnosis.random_masks import is_random_mask

MASK = np.array([[2.0, 0.0, 2.0], [0.0, 0.0, 2.0]])
OTHER = np.array([[1.0, 1.0, 0.0], [0.0, 1.0, 1.0]])


def is_random(mask=MASK, name="", inputs=(), targets=(), constants=()):
    adapter = SimpleNamespace(inputs=inputs, targets=targets)
    return is_random_mask(SimpleNamespace(adapter=adapter, constant_arrays=lambda: list(constants)), mask, name)


def test_a_mask_that_no_array_contains_is_random():
    assert is_random() and is_random(inputs=(OTHER, 3, "text"), targets=(OTHER,), constants=[OTHER])


@pytest.mark.parametrize("where", ["inputs", "targets", "constants"])
def test_a_mask_with_the_zeros_of_a_given_array_is_not_random(where):
    for array in (MASK, MASK != 0, (MASK != 0).astype(int), -MASK, MASK.reshape(3, 2), MASK.astype(np.float32)):
        assert not is_random(**{where: (array,)})
    assert not is_random(**{where: (OTHER, MASK)})


def test_a_mask_of_the_positive_numbers_is_not_random():
    x = np.where(MASK != 0, 0.3, -0.7)
    assert not is_random(inputs=(x,)) and is_random(inputs=(x * np.array([1, 1, -1]),))


def test_a_mask_of_the_positive_numbers_leaves_out_zeros():
    x = np.where(MASK != 0, 0.3, -0.7)
    x[0, 1] = 0
    assert not is_random(inputs=(x,))


def test_the_opposite_mask_is_not_random():
    assert not is_random(inputs=(MASK == 0,)) and not is_random(inputs=(np.where(MASK != 0, -1.0, 2.0),))


def test_the_parts_of_nested_inputs_are_compared():
    assert not is_random(inputs=((OTHER, {"labels": MASK}),))


def test_only_real_arrays_of_the_same_size_are_compared():
    assert is_random(inputs=(MASK[:1], MASK.astype(complex), MASK.astype(object), MASK.tolist()))
    assert is_random(np.array([2.0]), inputs=(np.array([5.0]),))  # one element says nothing
    assert not is_random(np.array([2.0, 0.0]), inputs=(np.array([5.0, 0.0]),))


@pytest.mark.parametrize("name", ["dropout_mask", "self.drop", "mask", "keep_prob", "probOut"])
def test_a_mask_of_the_caller_with_the_name_of_a_random_mask_is_random(name):
    assert is_random(name=name, inputs=(MASK,))


@pytest.mark.parametrize("name", ["x", "labels", "dropped", ""])
def test_a_mask_of_the_caller_with_another_name_is_not_random(name):
    assert not is_random(name=name, inputs=(MASK,))
