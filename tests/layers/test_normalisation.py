"""LayerNorm, RMSNorm, BatchNorm1d and 2d, GroupNorm, and VariationalDropout."""

import math

import numpy as np
import pytest
from directions import assert_module_gradients
from hypothesis import given
from hypothesis import strategies as st

import nnscratch as nn

sizes = st.integers(1, 5)
seeds = st.integers(0, 999)


def with_other_weights(layer, rng):
    layer.to(dtype=np.float64)
    for p in layer.parameters():
        p.data[...] = rng.normal(size=p.shape)
    return layer


@given(n=sizes, t=sizes, d=st.integers(2, 6), seed=seeds)
def test_layer_norm_gives_every_row_mean_zero_and_variance_one(n, t, d, seed):
    x = np.random.default_rng(seed).normal(3, 5, (n, t, d))
    y = nn.LayerNorm(d, eps=0).to(dtype=np.float64)(x)
    np.testing.assert_allclose(y.mean(axis=-1), 0, atol=1e-9)
    np.testing.assert_allclose(y.var(axis=-1), 1, rtol=1e-9)


@given(n=sizes, d=sizes, seed=seeds)
def test_rms_norm_gives_every_row_mean_square_one(n, d, seed):
    x = np.random.default_rng(seed).normal(3, 5, (n, d))
    y = nn.RMSNorm(d, eps=0).to(dtype=np.float64)(x)
    np.testing.assert_allclose((y**2).mean(axis=-1), 1, rtol=1e-9)


@given(n=st.integers(2, 5), d=st.integers(2, 5), seed=seeds)
def test_gradients_match_finite_differences(n, d, seed):
    rng = np.random.default_rng(seed)
    for layer, shape in (
        (nn.LayerNorm(d), (n, d)), (nn.RMSNorm(d), (n, 2, d)), (nn.BatchNorm1d(d), (n + 1, d)),
        (nn.BatchNorm1d(d), (n, d, 3)), (nn.BatchNorm2d(d), (n, d, 2, 2)), (nn.GroupNorm(2, 2 * d), (n, 2 * d, 2, 2)),
    ):  # fmt: skip
        x = rng.permutation(math.prod(shape)).reshape(shape) + 0.1 * rng.normal(size=shape)  # no two are nearly equal
        assert_module_gradients(with_other_weights(layer, rng), x, rtol=1e-6)


@pytest.mark.parametrize("features", [3, 7, 100, 768])
def test_a_row_of_equal_whole_numbers_becomes_zero_however_large_they_are(features):
    x = np.full((2, features), 12345, dtype=np.float32)
    assert not nn.LayerNorm(features)(x).any()


def test_a_constant_row_is_no_division_by_zero():
    for layer in (nn.LayerNorm(4), nn.RMSNorm(4)):
        y = layer(np.zeros((2, 4), dtype=np.float32))
        assert np.isfinite(y).all() and np.isfinite(layer.backward(np.ones_like(y))).all()


@given(n=st.integers(2, 6), c=sizes, seed=seeds)
def test_batch_norm_gives_every_channel_mean_zero_and_variance_one_over_the_batch(n, c, seed):
    rng = np.random.default_rng(seed)
    for layer, shape in ((nn.BatchNorm1d(c, eps=0), (n, c, 3)), (nn.BatchNorm2d(c, eps=0), (n, c, 3, 2))):
        x = rng.normal(4, 3, shape)
        y = layer.to(dtype=np.float64)(x)
        over = (0, *range(2, x.ndim))
        np.testing.assert_allclose(y.mean(axis=over), 0, atol=1e-9)
        np.testing.assert_allclose(y.var(axis=over), 1, rtol=1e-9)


def test_in_eval_mode_an_answer_does_not_depend_on_the_rest_of_the_batch():
    layer, rng = nn.BatchNorm1d(3), np.random.default_rng(0)
    for _ in range(200):
        layer(rng.normal([1, 2, 3], [1, 2, 3], (50, 3)).astype(np.float32))
        layer.zero_grad()
    np.testing.assert_allclose(layer.running_mean, [1, 2, 3], atol=0.3)
    np.testing.assert_allclose(layer.running_var, [1, 4, 9], rtol=0.2)
    assert layer.num_batches_tracked == 200
    layer.eval()
    x, seen = rng.normal(size=(4, 3)).astype(np.float32), layer.running_mean.copy()
    np.testing.assert_allclose(layer(x)[:1], layer(x[:1]), rtol=1e-6)
    np.testing.assert_array_equal(layer.running_mean, seen)


def test_the_running_averages_are_saved_and_loaded_but_not_learned(tmp_path):
    model = nn.Sequential(nn.Linear(3, 2, rng=0), nn.BatchNorm1d(2))
    model(np.random.default_rng(0).normal(size=(8, 3)).astype(np.float32))
    names = ["1.weight", "1.bias", "1.running_mean", "1.running_var", "1.num_batches_tracked"]
    assert list(model.state_dict())[2:] == names
    assert [name for name, _ in model.named_parameters()] == ["0.weight", "0.bias", "1.weight", "1.bias"]
    nn.save(model, tmp_path / "model.safetensors")
    loaded = nn.load(tmp_path / "model.safetensors")
    for name, array in model.state_dict().items():
        np.testing.assert_array_equal(loaded.state_dict()[name], array)
    assert loaded[1].num_batches_tracked == 1 and loaded[1].num_batches_tracked.dtype == np.int64


def test_buffers_change_dtype_with_the_module_but_a_count_stays_an_integer():
    layer = nn.BatchNorm1d(2).to(dtype=np.float64)
    assert layer.running_mean.dtype == np.float64 and layer.num_batches_tracked.dtype == np.int64


def test_one_number_for_each_channel_has_no_variance():
    with pytest.raises(ValueError, match="the variance of one number per channel is undefined. Train"):
        nn.BatchNorm1d(3)(np.zeros((1, 3), dtype=np.float32))
    assert nn.BatchNorm1d(3).eval()(np.zeros((1, 3), dtype=np.float32)).shape == (1, 3)


@given(n=sizes, g=sizes, k=sizes, seed=seeds)
def test_group_norm_gives_every_group_of_an_example_mean_zero_and_variance_one(n, g, k, seed):
    x = np.random.default_rng(seed).normal(3, 5, (n, g * k, 3, 2))
    groups = nn.GroupNorm(g, g * k, eps=0).to(dtype=np.float64)(x).reshape(n, g, -1)
    np.testing.assert_allclose(groups.mean(axis=-1), 0, atol=1e-9)
    np.testing.assert_allclose(groups.var(axis=-1), 1, rtol=1e-9)


@given(n=sizes, d=st.integers(2, 6), seed=seeds)
def test_group_norm_with_one_group_is_layer_norm_for_vectors(n, d, seed):
    rng = np.random.default_rng(seed)
    x, dy = rng.normal(size=(2, n, d))
    ours, theirs = with_other_weights(nn.GroupNorm(1, d), rng), nn.LayerNorm(d).to(dtype=np.float64)
    theirs.load_state_dict(ours.state_dict())
    np.testing.assert_allclose(ours(x), theirs(x), rtol=1e-12, atol=1e-12)
    np.testing.assert_allclose(ours.backward(dy), theirs.backward(dy), rtol=1e-9, atol=1e-9)


def test_group_norm_of_an_example_does_not_depend_on_the_rest_of_the_batch():
    layer, x = nn.GroupNorm(2, 4), np.random.default_rng(0).normal(size=(3, 4, 5)).astype(np.float32)
    np.testing.assert_allclose(layer(x)[:1], layer(x[:1]), rtol=1e-5, atol=1e-6)
    np.testing.assert_array_equal(layer.eval()(x), layer.train()(x))


@given(n=sizes, t=sizes, p=st.sampled_from([0.2, 0.5, 0.9]), seed=seeds)
def test_variational_dropout_drops_the_same_units_at_every_step(n, t, p, seed):
    y = nn.VariationalDropout(p, rng=seed)(np.ones((n, t, 50)))
    assert set(np.unique(y)) <= {0, 1 / (1 - p)}
    np.testing.assert_array_equal(y, np.broadcast_to(y[:, :1], y.shape))


def test_variational_dropout_drops_others_in_other_sequences_and_none_in_eval_mode():
    layer, x = nn.VariationalDropout(0.3, rng=0), np.ones((40, 2, 100))
    y = layer(x)
    assert not np.array_equal(y[0], y[1])
    assert (y == 0).mean() == pytest.approx(0.3, abs=0.03)
    dy = np.random.default_rng(0).normal(size=y.shape)
    np.testing.assert_array_equal(layer.backward(dy), dy * y)
    np.testing.assert_array_equal(layer.eval()(x), x)


@pytest.mark.parametrize(("call", "message"), [
    (lambda x: nn.LayerNorm(4)(x), r"LayerNorm\(4\) got x of shape \(2, 3\); its last axis must be 4"),
    (lambda x: nn.RMSNorm(4)(x), r"RMSNorm\(4\) got x of shape \(2, 3\); its last axis must be 4"),
    (lambda x: nn.LayerNorm(0), "normalized_shape must be an integer of 1 or more, got 0"),
    (lambda x: nn.LayerNorm(4, eps=-1), "eps must be 0 or more, got -1"),
    (lambda x: nn.BatchNorm1d(4)(x), r"BatchNorm1d\(4\) needs x of shape \(N, C\) or \(N, C, L\), got \(2, 3\)"),
    (lambda x: nn.BatchNorm2d(3)(x), r"BatchNorm2d\(3\) needs x of shape \(N, C, H, W\), got \(2, 3\)"),
    (lambda x: nn.BatchNorm1d(3, momentum=2), r"momentum must be a probability in \[0, 1\), got 2"),
    (lambda x: nn.GroupNorm(2, 4)(x), r"GroupNorm\(2, 4\) needs x of shape \(N, 4\), .*, got \(2, 3\)"),
    (lambda x: nn.GroupNorm(2, 3), "num_channels must be divisible by num_groups, got 3 and 2"),
    (lambda x: nn.GroupNorm(1, 3)(x[:, :, None][:, :, :0]), "the mean of no elements is undefined"),
    (lambda x: nn.VariationalDropout()(x), r"VariationalDropout needs x of shape \(N, T, D\)"),
    (lambda x: nn.VariationalDropout(1.0), r"p must be a probability in \[0, 1\), got 1.0"),
])  # fmt: skip
def test_what_does_not_fit_is_refused(call, message):
    with pytest.raises(ValueError, match=message):
        call(np.zeros((2, 3), dtype=np.float32))
