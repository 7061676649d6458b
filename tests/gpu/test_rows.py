"""Functions of rows in one kernel: softmax, cross-entropy, LayerNorm and RMSNorm."""

import numpy as np
import pytest
import strict_cupy

import nnscratch as nn
from nnscratch import backend
from nnscratch.layers.linear_cross_entropy import softmax_minus_target
from nnscratch.layers.softmax import softmax, softmax_of_rows


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


def test_labels_must_be_integers(rng, on_cuda):
    x, loss = on_cuda(rng.normal(size=(3, 4))), on_cuda(np.zeros(3))
    with pytest.raises(TypeError, match="label must be integers, got bool"):
        softmax_minus_target(x, None, on_cuda(np.array([True, False, True])), loss, 1.0)


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


@pytest.mark.parametrize("columns", [2, 31, 33, 256, 257, 700, 5000])
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_all_threads_of_a_block_compute_what_numpy_does(dtype, columns, rng):
    x, w = rng.normal(size=(2, columns)).astype(dtype), rng.random(columns).astype(dtype)
    y, least, results = np.empty_like(x), np.empty(2, dtype), []
    from_the_least(x, w, y, least)
    with strict_cupy.installed() as cp, strict_cupy.whole_blocks():
        for _ in range(2):
            there = [cp.asarray(a) for a in (x, w, np.zeros_like(y), np.zeros_like(least))]
            from_the_least(*there)
            results.append([a.get() for a in there[2:]])
    np.testing.assert_allclose(results[0][0], y, rtol=1e-4, atol=1e-6)
    np.testing.assert_array_equal(results[0][1], least)
    np.testing.assert_array_equal(results[0][0], results[1][0])  # in every run the same order, and so the same rounding


@pytest.mark.parametrize("columns", [8, 256, 257, 512, 10_000])
def test_threads_of_a_block_are_a_power_of_two_and_each_has_a_few_elements(columns):
    launched = []

    class Kernel:
        def __init__(self, source, name): ...

        def __call__(self, grid, block, args):
            launched.append((grid, block))

    with strict_cupy.installed() as cp, pytest.MonkeyPatch.context() as patch:
        patch.setattr(cp, "RawKernel", Kernel)
        softmax_of_rows.gpu_rows.kernel.cache_clear()
        softmax(cp.ones((3, columns)))
        softmax_of_rows.gpu_rows.kernel.cache_clear()
    assert launched == [((3,), ({8: 32, 256: 32, 257: 64, 512: 64, 10_000: 512}[columns],))]


def test_there_may_be_more_rows_than_65535(on_cuda, on_cpu):
    y = softmax(on_cuda(np.zeros((70_000, 2), np.float32)))
    assert (on_cpu(y) == 0.5).all()


def test_sums_of_float16_have_the_precision_of_float32(on_cuda, on_cpu):
    if backend.module_for("cuda") is strict_cupy.CUPY and not strict_cupy.computes_float16():
        pytest.skip("the C compiler that runs the kernels here has no float16")
    y = softmax(on_cuda(np.zeros((1, 5000), np.float16)))  # in float16, 2048 + 1 is 2048
    assert (on_cpu(y) == np.float16(1 / 5000)).all()


@backend.fused_rows("T x, T w", "T y, raw T total", {"sum": ("x", "a + b", "0")}, "y = w * x; total[row] = sum;")
def weighted(x, w, y, total): ...


def test_rows_of_more_axes_and_arrays_in_any_order(rng, on_cuda, on_cpu):
    x, w = rng.normal(size=(4, 3, 5)), rng.normal(size=(3, 4, 1))
    for weight, value in ((on_cuda(w), w), (on_cuda(w[0, 0]), w[0, 0]), (2.0, 2.0), (None, 0)):
        y, total = on_cuda(np.empty((3, 4, 5))), on_cuda(np.empty((3, 4)))
        weighted(on_cuda(x).swapaxes(0, 1), weight, y, total)
        np.testing.assert_allclose(on_cpu(y), value * x.swapaxes(0, 1))
        np.testing.assert_allclose(on_cpu(total), x.swapaxes(0, 1).sum(axis=2))


def test_no_rows_and_empty_rows_start_no_kernel(on_cuda):
    for shape in ((0, 3), (3, 0)):
        x = on_cuda(np.empty(shape))
        with strict_cupy.counted() as counts:
            weighted(x, 1.0, x, on_cuda(np.empty(shape[0])))
        assert counts.launches == 0


@pytest.mark.parametrize(
    ("change", "error", "message"),
    [
        ({"x": np.ones((2, 3), np.float32)}, TypeError, "x must be float64, like the output, got float32"),
        ({"x": np.ones((2, 4))}, ValueError, r"x of shape \(2, 4\) does not fit the output of shape \(2, 3\)"),
        ({"x": np.ones((3, 3))}, ValueError, "x of shape"),
        ({"w": np.ones(2)}, ValueError, "w of shape"),
        ({"y": np.ones((2, 1, 3))}, ValueError, "x of shape"),
        ({"total": np.ones(3)}, ValueError, "total must be contiguous, with one number for each row"),
        ({"total": 1.0}, TypeError, "total must be an array on the GPU, got float"),
    ],
    ids=str,
)
def test_arrays_that_do_not_fit_are_an_error(change, error, message, on_cuda):
    args = {"x": np.ones((2, 3)), "w": np.ones(3), "y": np.ones((2, 3)), "total": np.ones(2)} | change
    with pytest.raises(error, match=f"weighted: {message}"):
        weighted(*map(on_cuda, args.values()))


def test_an_output_that_is_not_one_block_of_memory_and_an_array_of_the_cpu_are_errors(on_cuda):
    x = on_cuda(np.ones((2, 3)))
    with pytest.raises(TypeError, match="w must be an array on the GPU, got ndarray"):
        weighted(x, np.ones(3), x, on_cuda(np.ones(2)))
    with pytest.raises(ValueError, match="total must be contiguous"):
        weighted(x, 1.0, x, on_cuda(np.ones((2, 2)))[:, 0])
    y = on_cuda(np.ones((4, 3, 5))).swapaxes(0, 1)
    with pytest.raises(ValueError, match="y has 3 axes, so it must be C-contiguous"):
        weighted(1.0, 1.0, y, on_cuda(np.ones((3, 4))))


def test_softmax_is_one_launch():
    with strict_cupy.installed() as cp:
        x = cp.ones((2, 3, 4, 5))
        with strict_cupy.counted() as counts:
            softmax(x, out=x)
    assert (counts.launches, counts.copies, counts.waits) == (1, 0, 0)


@pytest.mark.parametrize("with_bias", [True, False])
def test_softmax_cross_entropy_is_one_launch_and_no_copy(with_bias):
    with strict_cupy.installed() as cp:
        x, label, loss = cp.ones((8, 50)), cp.zeros(8, dtype=np.int64), cp.zeros(8)
        b = cp.ones(50) if with_bias else None
        with strict_cupy.counted() as counts:
            softmax_minus_target(x, b, label, loss, 0.1)
    assert (counts.launches, counts.copies, counts.waits) == (1, 0, 0)


@pytest.mark.parametrize(
    ("layer", "backward"),
    [
        (nn.LayerNorm(5), 6),  # dx; the sums of dy and dy n, each added to the gradient; and the product dy n
        (nn.LayerNorm(5, bias=False), 4),
        (nn.RMSNorm(5), 4),
    ],
    ids=str,
)
def test_layer_norm_is_one_launch_forward_and_one_for_dx(layer, backward, rng):
    with strict_cupy.installed() as cp:
        x, layer = cp.asarray(rng.normal(size=(2, 3, 5)).astype(np.float32)), layer.to("cuda")
        with strict_cupy.counted() as counts:
            layer(x)
        assert (counts.launches, counts.copies, counts.waits) == (1, 0, 0)
        with strict_cupy.counted() as counts:
            layer.backward(x)
        assert (counts.launches, counts.copies, counts.waits) == (backward, 0, 0)


def test_group_norm_normalises_in_one_launch(rng):
    with strict_cupy.installed() as cp:
        x, layer = cp.asarray(rng.normal(size=(2, 6, 4, 4)).astype(np.float32)), nn.GroupNorm(3, 6).to("cuda")
        with strict_cupy.counted() as counts:
            layer(x)
        assert (counts.launches, counts.copies, counts.waits) == (3, 0, 0)  # and n w, and + b
        with strict_cupy.counted() as counts:
            layer.backward(x)
        assert (counts.launches, counts.copies, counts.waits) == (9, 0, 0)  # dn, dx; dy n, two sums of two, two added


@pytest.mark.parametrize("make", [nn.LayerNorm, lambda D: nn.LayerNorm(D, bias=False), nn.RMSNorm])
def test_layer_norm_of_transposed_arrays_on_cuda_is_that_on_the_cpu(make, rng, on_cuda, on_cpu):
    x, dy = rng.normal(size=(2, 4, 3, 700))
    here, there = make(700).to(dtype=np.float64), make(700).to("cuda", dtype=np.float64)
    y, dx = here(x.swapaxes(0, 1)), here.backward(dy.swapaxes(0, 1))
    np.testing.assert_allclose(on_cpu(there(on_cuda(x).swapaxes(0, 1))), y, rtol=1e-10)
    np.testing.assert_allclose(on_cpu(there.backward(on_cuda(dy).swapaxes(0, 1))), dx, rtol=1e-10, atol=1e-12)
