"""Softmax and cross-entropy in three kernels: the largest logit of each row, the sum, and all gradients."""

import numpy as np
import pytest
import strict_cupy

import nnscratch as nn
from nnscratch import backend
from nnscratch.layers.linear_cross_entropy import softmax_minus_target
from nnscratch.layers.softmax import softmax


@backend.fused_rows(
    "T x, T w",
    "T y, raw T least",
    {"low": ("w * x", "a < b ? a : b", "-log((T)0)"), "above": ("w * x - low", "a + b", "0")},
    "y = (w * x - low) / above; if (column == 0) least[row] = low;",
)
def from_the_least(x, w, y, least):
    np.multiply(x, 0 if w is None else w, out=y)
    least[...] = y.min(axis=1)
    y -= least[:, None]
    y /= y.sum(axis=1, keepdims=True)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_numbers_of_a_row_are_computed_in_their_order_and_known_to_the_next(dtype, rng, on_cuda, on_cpu):
    x, w = rng.normal(size=(5, 700)).astype(dtype), rng.random(700).astype(dtype)
    for matrix in (x, x[:, ::2], x[:, :2]):
        y, least, weights = np.empty(matrix.shape, dtype), np.empty(5, dtype), w[: matrix.shape[1]]
        from_the_least(matrix, weights, y, least)
        there = [on_cuda(a) for a in (matrix, weights, np.empty_like(y), np.empty_like(least))]
        from_the_least(*there)
        np.testing.assert_allclose(on_cpu(there[2]), y, rtol=1e-4, atol=1e-6)
        np.testing.assert_array_equal(on_cpu(there[3]), least)


def logits(rng, dtype):
    """Return rows whose largest logit is large, negative, or occurs twice."""
    x = rng.normal(size=(6, 1000)).astype(dtype)
    x[0] += 1e4
    x[1] -= 1e4
    x[2, 7] = 300
    x[3, :2] = 50
    return x


@pytest.mark.parametrize("labels", [np.int64, np.int32])
@pytest.mark.parametrize("with_bias", [True, False])
@pytest.mark.parametrize(("dtype", "tolerance"), [(np.float32, 1e-5), (np.float64, 1e-12)])
def test_softmax_minus_target_on_cuda_is_that_on_the_cpu(dtype, tolerance, with_bias, labels, rng, on_cuda, on_cpu):
    x, label = logits(rng, dtype), np.array([0, 999, 7, 1, 500, 3], dtype=labels)
    b = rng.normal(size=1000).astype(dtype) if with_bias else None
    x_there, label_there, loss_there = (on_cuda(a.copy()) for a in (x, label, np.zeros(6, dtype)))
    loss = np.zeros(6, dtype)
    softmax_minus_target(x, b, label, loss, 0.25)
    softmax_minus_target(x_there, on_cuda(b), label_there, loss_there, 0.25)
    np.testing.assert_allclose(on_cpu(x_there), x, rtol=tolerance, atol=tolerance)
    np.testing.assert_allclose(on_cpu(loss_there), loss, rtol=tolerance, atol=tolerance)
    assert np.isfinite(loss).all()


@pytest.mark.parametrize("label", [-1, 4])
def test_a_label_out_of_range_gives_a_loss_of_nan_on_cuda_and_breaks_no_other(label, rng, on_cuda, on_cpu):
    x, loss = on_cuda(rng.normal(size=(3, 4))), on_cuda(np.zeros(3))
    softmax_minus_target(x, None, on_cuda(np.array([0, label, 3])), loss, 1.0)
    np.testing.assert_array_equal(np.isnan(on_cpu(loss)), [False, True, False])


@pytest.mark.parametrize("broken", [np.nan, np.inf])
def test_a_logit_that_is_not_finite_shows_in_its_rows_loss(broken, rng, on_cuda, on_cpu):
    x, loss = rng.normal(size=(3, 700)), on_cuda(np.zeros(3))
    x[1, 600] = broken
    softmax_minus_target(on_cuda(x), None, on_cuda(np.array([0, 1, 3])), loss, 1.0)
    np.testing.assert_array_equal(np.isfinite(on_cpu(loss)), [True, False, True])


@pytest.mark.parametrize("settings", [{}, {"label_smoothing": 0.3}, {"weight": np.linspace(0.5, 2, 1000)}], ids=str)
@pytest.mark.parametrize(("dtype", "tolerance"), [(np.float32, 1e-5), (np.float64, 1e-12)])
def test_cross_entropy_of_extreme_logits_on_cuda_is_that_on_the_cpu(settings, dtype, tolerance, rng, on_cuda, on_cpu):
    x, label = logits(rng, dtype), np.array([0, 999, 7, 1, 500, 3])
    here, there = nn.CrossEntropyLoss(**settings), nn.CrossEntropyLoss(**settings)
    loss = here(x, label)
    assert np.isfinite(loss) and there(on_cuda(x), on_cuda(label)) == pytest.approx(loss, rel=tolerance)
    np.testing.assert_allclose(on_cpu(there.backward()), here.backward(), rtol=tolerance, atol=tolerance)


@pytest.mark.parametrize("label", [-1, 4])
def test_cross_entropy_of_a_label_out_of_range_is_nan_on_cuda(label, rng, on_cuda):
    assert np.isnan(nn.CrossEntropyLoss()(on_cuda(rng.normal(size=(3, 4))), on_cuda(np.array([0, label, 3]))))


@pytest.mark.parametrize(("dtype", "tolerance"), [(np.float32, 1e-5), (np.float64, 1e-12)])
def test_softmax_of_extreme_scores_on_cuda_is_that_on_the_cpu(dtype, tolerance, rng, on_cuda, on_cpu):
    x = logits(rng, dtype)
    x[4, :5] = -np.inf  # as a mask writes
    y = softmax(x)
    np.testing.assert_allclose(y.sum(axis=1), 1, rtol=1e-5)
    there = on_cuda(x.copy())
    np.testing.assert_allclose(on_cpu(softmax(there)), y, rtol=tolerance, atol=tolerance)
    np.testing.assert_allclose(on_cpu(softmax(there.T)), softmax(x.T), rtol=tolerance, atol=tolerance)
    assert softmax(there, out=there) is there
    np.testing.assert_allclose(on_cpu(there), y, rtol=tolerance, atol=tolerance)


def test_softmax_is_three_launches():
    with strict_cupy.installed() as cp:
        x = cp.ones((2, 3, 4, 5))
        with strict_cupy.counted() as counts:
            softmax(x, out=x)
    assert (counts.launches, counts.copies, counts.waits) == (3, 0, 0)


def test_softmax_cross_entropy_is_three_launches_and_no_copy(rng):
    with strict_cupy.installed() as cp:
        x, b, label, loss = cp.ones((8, 50)), cp.ones(50), cp.zeros(8, dtype=np.int64), cp.zeros(8)
        with strict_cupy.counted() as counts:
            softmax_minus_target(x, b, label, loss, 0.1)
    assert (counts.launches, counts.copies, counts.waits) == (3, 0, 0)
