"""Conv1d, Conv2d, MaxPool2d, AvgPool2d, Upsample, Flatten: values, gradients with any setting, and wrong arguments."""

import numpy as np
import pytest
from directions import assert_module_gradients
from hypothesis import assume, given
from hypothesis import strategies as st

import nnscratch as nn
from nnscratch.layers import image_layout
from nnscratch.layers.windows import Windows

small = st.integers(1, 3)
pairs = st.tuples(small, small)
seeds = st.integers(0, 999)


def convolution_by_the_sum(x, w, b, stride, padding, dilation):
    """The equation in conv2d.py, one output element at a time."""
    (N, _, H, W), (out, _, kh, kw) = x.shape, w.shape
    shape = Windows((kh, kw), stride, padding, dilation).count(H, W)
    y = np.zeros((N, out, *shape))
    for n, o, u, v in np.ndindex(y.shape):
        y[n, o, u, v] = b[o]
        for i in range(kh):
            for j in range(kw):
                r, c = u * stride[0] + i * dilation[0] - padding[0], v * stride[1] + j * dilation[1] - padding[1]
                if 0 <= r < H and 0 <= c < W:
                    y[n, o, u, v] += w[o, :, i, j] @ x[n, :, r, c]
    return y


@st.composite
def convolutions(draw):
    """A Conv2d in float64 and images that at least one window fits into."""
    kernel, stride, dilation = draw(pairs), draw(pairs), draw(pairs)
    padding = draw(st.tuples(st.integers(0, 2), st.integers(0, 2)))
    H, W = draw(st.integers(1, 6)), draw(st.integers(1, 6))
    assume(min(Windows(kernel, stride, padding, dilation).count(H, W)) >= 1)
    rng = np.random.default_rng(draw(seeds))
    C = draw(small)
    layer = nn.Conv2d(C, draw(small), kernel, stride, padding, dilation, rng=rng).to(dtype=np.float64)
    return layer, rng.normal(size=(draw(small), C, H, W))


@given(convolutions())
def test_conv2d_is_the_sum_of_its_equation(case):
    layer, x = case
    expected = convolution_by_the_sum(
        x, layer.weight.data, layer.bias.data, layer.stride, layer.padding, layer.dilation
    )
    np.testing.assert_allclose(layer(x), expected, rtol=1e-10, atol=1e-12)


@given(convolutions())
def test_the_gradients_of_conv2d_match_finite_differences_with_any_setting(case):
    assert_module_gradients(*case)


@given(convolutions())
def test_col2im_is_the_transpose_of_im2col(case):
    # col2im is the transpose of im2col if <im2col(x), c> = <x, col2im(c)> for all x and c
    layer, x = case
    padded, (H, W) = layer.windows.pad(x), x.shape[2:]
    columns = layer.windows.im2col(padded, H, W)
    c, back = np.random.default_rng(0).normal(size=columns.shape), np.zeros_like(padded)
    layer.windows.col2im(c, back, H, W)
    assert (columns * c).sum() == pytest.approx((padded * back).sum(), rel=1e-9, abs=1e-9)


def test_images_taken_a_few_at_a_time_give_the_same_as_all_at_once(monkeypatch):
    rng = np.random.default_rng(0)
    x, dy = rng.normal(size=(7, 2, 5, 5)), rng.normal(size=(7, 3, 5, 5))
    results = []
    for block in (1, 1000, 1 << 19):
        monkeypatch.setattr(image_layout, "IM2COL_SIZE", block)
        layer = nn.Conv2d(2, 3, 3, padding=1, rng=1).to(dtype=np.float64)
        results.append((layer(x), layer.backward(dy), layer.weight.grad))
    for result in results[1:]:
        for a, b in zip(result, results[0], strict=True):
            np.testing.assert_allclose(a, b, rtol=1e-12, atol=1e-12)


@given(n=small, c=small, o=small, k=small, stride=small, padding=st.integers(0, 2), dilation=small,
       length=st.integers(1, 9), seed=seeds)  # fmt: skip
def test_conv1d_is_conv2d_on_images_one_pixel_high(n, c, o, k, stride, padding, dilation, length, seed):
    assume(length + 2 * padding >= dilation * (k - 1) + 1)
    rng = np.random.default_rng(seed)
    one = nn.Conv1d(c, o, k, stride, padding, dilation, rng=rng).to(dtype=np.float64)
    two = nn.Conv2d(c, o, (1, k), (1, stride), (0, padding), (1, dilation)).to(dtype=np.float64)
    two.weight.data[...], two.bias.data[...] = one.weight.data[:, :, None], one.bias.data
    x = rng.normal(size=(n, c, length))
    y = one(x)
    np.testing.assert_allclose(y, two(x[:, :, None])[:, :, 0], rtol=1e-12)
    dy = rng.normal(size=y.shape)
    np.testing.assert_allclose(one.backward(dy), two.backward(dy[:, :, None])[:, :, 0], rtol=1e-12)
    np.testing.assert_allclose(one.weight.grad, two.weight.grad[:, :, 0], rtol=1e-12)


@st.composite
def poolings(draw, kind):
    kernel, stride = draw(pairs), draw(st.none() | pairs)
    padding = tuple(draw(st.integers(0, k // 2)) for k in kernel)
    H, W = draw(st.integers(1, 6)), draw(st.integers(1, 6))
    layer = kind(kernel, stride, padding)
    assume(min(layer.windows.count(H, W)) >= 1)
    size = 2 * 2 * H * W
    x = 0.1 * np.random.default_rng(draw(seeds)).permutation(size).reshape(2, 2, H, W)  # no two are equal
    return layer, x


def windows_of(layer, x, value):
    """For each output position, its window of the padded image."""
    (p, q), (s, t), (kh, kw) = layer.padding, layer.stride, layer.kernel_size
    padded = np.pad(x, ((0, 0), (0, 0), (p, p), (q, q)), constant_values=value)
    h, w = layer.windows.count(*x.shape[2:])
    return {(u, v): padded[:, :, u * s : u * s + kh, v * t : v * t + kw] for u in range(h) for v in range(w)}


@given(poolings(nn.MaxPool2d))
def test_max_pooling_takes_the_largest_of_every_window(case):
    layer, x = case
    y = layer(x)
    for (u, v), window in windows_of(layer, x, -np.inf).items():
        np.testing.assert_array_equal(y[:, :, u, v], window.max(axis=(2, 3)))


@given(poolings(nn.AvgPool2d))
def test_average_pooling_takes_the_mean_of_every_window(case):
    layer, x = case
    y = layer(x)
    for (u, v), window in windows_of(layer, x, 0).items():
        np.testing.assert_allclose(y[:, :, u, v], window.mean(axis=(2, 3)), rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("kind", [nn.MaxPool2d, nn.AvgPool2d])
@given(data=st.data())
def test_the_gradients_of_pooling_match_finite_differences_with_any_setting(kind, data):
    assert_module_gradients(*data.draw(poolings(kind)))


def test_of_two_equal_maxima_the_first_gets_the_gradient():
    layer = nn.MaxPool2d(2)
    layer(np.ones((1, 1, 2, 2)))
    np.testing.assert_array_equal(layer.backward(np.ones((1, 1, 1, 1)))[0, 0], [[1, 0], [0, 0]])


@given(poolings(nn.MaxPool2d), seeds)
def test_of_equal_maxima_the_first_read_row_by_row_gets_the_gradient_of_every_window(case, seed):
    layer, x = case
    rng = np.random.default_rng(seed)
    x = rng.integers(0, 3, x.shape).astype(float)  # almost every window has equal elements
    dy = rng.normal(size=layer(x).shape)
    (p, q), (H, W) = layer.padding, x.shape[2:]
    expected = np.zeros((*x.shape[:2], H + 2 * p, W + 2 * q))
    for (u, v), window in windows_of(layer, x, -np.inf).items():
        winner = window.reshape(*x.shape[:2], -1).argmax(axis=2)  # argmax returns the first maximum
        i, j = winner // layer.kernel_size[1], winner % layer.kernel_size[1]
        for n, c in np.ndindex(x.shape[:2]):
            at = u * layer.stride[0] + i[n, c], v * layer.stride[1] + j[n, c]
            expected[n, c, *at] += dy[n, c, u, v]
    np.testing.assert_allclose(layer.backward(dy), expected[:, :, p : p + H, q : q + W], rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("build", [
    lambda: nn.Conv2d(3, 4, 3, padding=1, rng=0), lambda: nn.Conv2d(3, 4, 3, rng=0), lambda: nn.MaxPool2d(2),
    lambda: nn.MaxPool2d(3, 2, 1), lambda: nn.MaxPool2d(1), lambda: nn.AvgPool2d(2), lambda: nn.BatchNorm2d(3),
])  # fmt: skip
def test_how_images_lie_in_memory_changes_nothing_and_nothing_given_out_is_the_input(build):
    rng = np.random.default_rng(0)
    x = rng.normal(size=(5, 3, 6, 6)).astype(np.float32)
    layer = build()
    dy = rng.normal(size=layer(x).shape).astype(np.float32)
    results = []
    for order in ((0, 1, 2, 3), (1, 2, 3, 0), (0, 2, 3, 1)):  # images first, images last, channels last
        back = np.argsort(order)
        given, gradient = (np.ascontiguousarray(a.transpose(order)).transpose(back) for a in (x, dy))
        layer.zero_grad()
        y = layer(given)
        dx = layer.backward(gradient)
        assert not np.shares_memory(y, given) and not np.shares_memory(dx, gradient)
        results.append((y, dx, *(p.grad.copy() for p in layer.parameters())))
    for result in results[1:]:
        for a, b in zip(result, results[0], strict=True):
            np.testing.assert_allclose(a, b, rtol=1e-5, atol=1e-5)


def test_max_pooling_hands_a_nan_on():
    x = np.ones((1, 1, 2, 4))
    x[0, 0, 1, 0] = np.nan
    y = nn.MaxPool2d(2)(x)
    assert np.isnan(y[0, 0, 0, 0]) and y[0, 0, 0, 1] == 1


def test_dtypes_are_kept():
    for dtype in (np.float32, np.float64):
        x = np.ones((2, 1, 4, 4), dtype)
        for layer in (nn.Conv2d(1, 2, 3).to(dtype=dtype), nn.MaxPool2d(2), nn.AvgPool2d(2), nn.Flatten()):
            y = layer(x)
            assert y.dtype == layer.backward(np.ones_like(y)).dtype == dtype


IMAGES = np.zeros((2, 1, 4, 4), dtype=np.float32)


@pytest.mark.parametrize(("call", "message"), [
    (lambda: nn.Conv2d(3, 2, 3)(IMAGES), r"Conv2d needs images x of shape \(N, 3, H, W\), got \(2, 1, 4, 4\)"),
    (lambda: nn.Conv2d(1, 2, 3)(IMAGES[:, 0]), r"If the images have one channel, x\[:, None\] adds the axis"),
    (lambda: nn.Conv2d(1, 2, 5)(IMAGES), r"no window of \(5, 5\), dilation \(1, 1\), fits into images of \(4, 4\)"),
    (lambda: nn.Conv2d(1, 2, 0), "kernel_size must be an integer of 1 or more, or a pair of them, got 0"),
    (lambda: nn.Conv2d(1, 2, 3, stride=(1, 2, 3)), r"stride must be an integer of 1 or more, or a pair of them"),
    (lambda: nn.Conv2d(1, 2, 3, padding=-1), "padding must be an integer of 0 or more, or a pair of them, got -1"),
    (lambda: nn.Conv2d(1, 0, 3), "out_channels must be an integer of 1 or more, got 0"),
    (lambda: nn.Conv1d(1, 2, 3)(IMAGES), r"Conv1d needs x of shape \(N, 1, L\), channels before time"),
    (lambda: nn.Conv1d(1, 2, 9)(IMAGES[:, 0, :1]), "no window of 9, dilation 1, fits into a length of 4"),
    (lambda: nn.MaxPool2d(2, padding=2), r"padding must be at most half the kernel_size \(2, 2\), got \(2, 2\)"),
    (lambda: nn.AvgPool2d(5)(IMAGES), r"AvgPool2d: no window of \(5, 5\)"),
    (lambda: nn.Flatten()(np.zeros(3)), r"Flatten needs a batch x of shape \(N, ...\), got \(3,\)"),
    (lambda: nn.Residual(nn.Flatten())(IMAGES), "both must have the same shape"),
])  # fmt: skip
def test_what_does_not_fit_is_refused(call, message):
    with pytest.raises(ValueError, match=message):
        call()


def test_upsample_repeats_every_pixel():
    x = np.arange(6.0).reshape(1, 1, 2, 3)
    np.testing.assert_array_equal(nn.Upsample(scale_factor=2)(x), x.repeat(2, axis=2).repeat(2, axis=3))


def test_average_pooling_takes_the_upsampled_image_back():
    x = np.random.default_rng(0).normal(size=(2, 3, 4, 5))
    np.testing.assert_allclose(nn.AvgPool2d(3)(nn.Upsample(scale_factor=3)(x)), x)


@pytest.mark.parametrize(("call", "error", "message"), [
    (lambda: nn.Upsample(scale_factor=0), ValueError, "scale_factor must be an integer of 1 or more, got 0"),
    (lambda: nn.Upsample(scale_factor=1.5), ValueError, "scale_factor must be an integer of 1 or more, got 1.5"),
    (lambda: nn.Upsample(scale_factor=2, mode="bilinear"), ValueError, "mode must be 'nearest', got 'bilinear'"),
    (lambda: nn.Upsample(2), TypeError, "positional"),
    (lambda: nn.Upsample(scale_factor=2)(np.zeros((2, 3))), ValueError, r"\(N, C, L\) or \(N, C, H, W\), got \(2, 3\)"),
])  # fmt: skip
def test_upsample_refuses_what_does_not_fit(call, error, message):
    with pytest.raises(error, match=message):
        call()
