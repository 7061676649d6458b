"""Accuracy and the confusion matrix."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import nnscratch as nn
from nnscratch.training import accuracy, confusion_matrix, perplexity


@given(st.integers(1, 6), st.integers(1, 40), st.integers(0, 99))
def test_the_confusion_matrix_counts_every_pair_and_its_diagonal_is_the_accuracy(C, n, seed):
    target, prediction = np.random.default_rng(seed).integers(0, C, (2, n))
    matrix = confusion_matrix(prediction, target, C)
    for t in range(C):
        for p in range(C):
            assert matrix[t, p] == ((target == t) & (prediction == p)).sum()
    assert accuracy(prediction, target) == pytest.approx(matrix.trace() / n)


def test_scores_count_by_their_largest():
    scores = np.array([[[0.1, 0.9], [2.0, -1.0]]])
    assert accuracy(scores, np.array([[1, 1]])) == 0.5
    assert confusion_matrix(scores, np.array([[1, 1]])).tolist() == [[0, 0], [1, 1]]


@pytest.mark.parametrize("shape", [(6,), (6, 1), (2, 3)])
@pytest.mark.parametrize("dtype", [np.int64, np.float32])
def test_one_score_for_each_target_predicts_class_1_above_0(shape, dtype):
    scores = np.array([-1.0, 2.0, 0.5, -0.1, 3.0, -2.0]).reshape(shape)
    target = np.array([0, 1, 0, 0, 1, 1], dtype=dtype).reshape(shape)
    assert accuracy(scores, target) == pytest.approx(4 / 6)
    assert confusion_matrix(scores, target).tolist() == [[2, 1], [1, 2]]
    with pytest.raises(ValueError, match="the targets must be 0 or 1"):
        accuracy(scores, target + 1)
    with pytest.raises(ValueError, match="scores must not be NaN"):
        accuracy(scores * np.nan, target)


def test_classes_in_bytes_are_counted_like_any_other():
    labels = np.array([200, 3, 200], dtype=np.uint8)
    matrix = confusion_matrix(labels, labels)
    assert matrix[200, 200] == 2 and matrix[3, 3] == 1 and matrix.sum() == 3


def test_bad_input_is_refused():
    with pytest.raises(ValueError, match="num_classes must be an integer of 1 or more, got 2.5"):
        confusion_matrix(np.array([1]), np.array([1]), 2.5)
    with pytest.raises(ValueError, match="prediction must have one class for each target"):
        accuracy(np.array([1, 2]), np.array([1]))
    with pytest.raises(ValueError, match="two or more classes"):
        accuracy(np.array([[0.5]]), np.array([0]))
    with pytest.raises(TypeError, match="classes must be integers"):
        accuracy(np.array([1]), np.array([0.5]))
    with pytest.raises(ValueError, match=r"classes must be in 0\.\.1"):
        confusion_matrix(np.array([2]), np.array([0]), 2)
    with pytest.raises(TypeError, match="expected a NumPy or CuPy array"):
        accuracy([1], np.array([1]))


def test_a_score_that_is_nan_is_refused_not_taken_for_the_largest():
    with pytest.raises(ValueError, match="scores must not be NaN"):
        accuracy(np.array([[0.1, np.nan], [0.2, 0.1]]), np.array([0, 0]))


def test_perplexity_and_bits_are_the_losss():
    assert nn.training.perplexity(np.log(7)) == pytest.approx(7)
    assert nn.training.bits_per_character(np.log(8)) == pytest.approx(3)


def test_perplexity_is_infinite_where_the_exponential_overflows_and_nan_where_the_loss_is():
    assert perplexity(np.log(3)) == pytest.approx(3)
    assert perplexity(1e9) == np.inf and np.isnan(perplexity(np.nan))
