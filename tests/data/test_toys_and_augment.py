"""Toy sets, augmentation, and mini-batches with a transform."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import nnscratch as nn
from nnscratch import data
from nnscratch.data.augment import resample

CLASSIFICATION = {"spirals": data.spirals, "moons": data.moons, "blobs": data.blobs, "xor": data.xor}


@pytest.mark.parametrize("name", CLASSIFICATION)
@given(count=st.integers(1, 50), seed=st.integers(0, 99))
def test_a_toy_set_has_count_points_of_balanced_classes_and_one_seed_gives_one_set(name, count, seed):
    x, y = CLASSIFICATION[name](count, rng=seed)
    assert x.shape == (count, 2) and x.dtype == np.float32 and y.shape == (count,) and y.dtype == np.int64
    again, _ = CLASSIFICATION[name](count, rng=seed)
    np.testing.assert_array_equal(x, again)
    if count >= 8 and count % 4 == 0 and name != "blobs":
        assert (y == 1).sum() == count // 2


def test_moons_are_two_half_circles_and_spirals_turn_with_their_radius():
    x, y = data.moons(200, noise=0, rng=0)
    upper, lower = x[y == 0], x[y == 1] - [1, 0.5]  # the centres are (0, 0) and (1, 0.5)
    np.testing.assert_allclose(np.hypot(*upper.T), 1, rtol=1e-6)
    np.testing.assert_allclose(np.hypot(*lower.T), 1, rtol=1e-6)
    assert upper[:, 1].min() >= 0 and lower[:, 1].max() <= 0 and np.ptp(upper[:, 0]) > 1.9 < np.ptp(lower[:, 0])
    x, y = data.spirals(200, classes=3, turns=1.5, noise=0, rng=0)
    radius = np.hypot(*x.T)
    turned = np.arctan2(x[:, 1], x[:, 0]) / (2 * np.pi) - 1.5 * radius - y / 3  # in turns
    np.testing.assert_allclose(turned, turned.round(), atol=1e-5)
    assert 0.1 <= radius.min() and radius.max() <= 1


def best_line(x, y):
    """The accuracy of a linear classifier trained to the end."""
    model = nn.Linear(2, int(y.max()) + 1, rng=0)
    trainer = nn.Trainer(model, nn.CrossEntropyLoss(), nn.optim.Adam(model.parameters(), lr=0.1))
    trainer.fit([(x, y)], steps=300)
    return (model(x).argmax(axis=1) == y).mean()


def test_a_line_parts_blobs_but_neither_xor_nor_spirals():
    assert best_line(*data.blobs(300, noise=0.1, rng=0)) > 0.99
    assert best_line(*data.xor(300, noise=0.05, rng=0)) <= 0.8
    assert best_line(*data.spirals(300, turns=2, rng=0)) < 0.7


def test_an_mlp_parts_moons():
    x, y = data.moons(300, rng=0)
    model = nn.models.MLP([2, 32, 2], activation=nn.Tanh, rng=0)
    nn.Trainer(model, nn.CrossEntropyLoss(), nn.optim.Adam(model.parameters(), lr=0.03)).fit([(x, y)], steps=200)
    assert (model(x).argmax(axis=1) == y).mean() > 0.98


def test_the_digits_split_keeps_every_digit_once_and_all_labels_in_both_parts():
    (images, labels), (test_images, test_labels) = data.digits_split()
    everything, _ = data.load_digits()
    together = np.concatenate([images, test_images]).reshape(-1, 64)
    np.testing.assert_array_equal(np.sort(together, axis=0), np.sort(everything.reshape(-1, 64), axis=0))
    assert np.bincount(labels).min() > 100 and np.bincount(test_labels).min() >= 35


@given(pixels=st.integers(1, 3), channels=st.booleans(), seed=st.integers(0, 99))
def test_a_shifted_image_is_the_old_one_moved_and_the_rest_is_zero(pixels, channels, seed):
    rng = np.random.default_rng(seed)
    x = rng.normal(size=(4, 2, 6, 5) if channels else (4, 6, 5))
    y = data.RandomShift(pixels)(x, rng)
    padded = np.pad(x, [(0, 0)] * (x.ndim - 2) + [(pixels, pixels)] * 2)
    places = [(d, a) for d in range(2 * pixels + 1) for a in range(2 * pixels + 1)]
    for k in range(4):
        assert any(np.array_equal(y[k], padded[k, ..., d : d + 6, a : a + 5]) for d, a in places)


def test_turning_by_nothing_changes_nothing_and_by_a_right_angle_is_rot90():
    x = np.random.default_rng(0).normal(size=(2, 3, 5, 5))
    np.testing.assert_array_equal(resample(x, np.stack([np.eye(2)] * 2)), x)
    quarter = np.array([[0.0, 1.0], [-1.0, 0.0]])
    np.testing.assert_allclose(resample(x, np.stack([quarter] * 2)), np.rot90(x, axes=(2, 3)), atol=1e-12)


def test_a_ramp_scaled_by_two_is_half_as_steep():
    ramp = np.arange(9.0)[None, None, :] * np.ones((1, 9, 1)) - 4
    y = data.RandomScale(2.0, 2.0)(ramp, np.random.default_rng(0))
    np.testing.assert_allclose(y, ramp / 2, atol=1e-12)


def test_turned_images_keep_their_ink_unless_it_leaves_the_frame():
    x = np.zeros((20, 15, 15), np.float32)
    x[:, 5:10, 5:10] = 1
    y = data.RandomRotation(180)(x, np.random.default_rng(0))
    assert y.dtype == np.float32
    np.testing.assert_allclose(y.sum(axis=(1, 2)), 25, rtol=0.05)
    assert not np.allclose(y[0], y[1])


def test_noise_has_the_size_asked_for_and_tokens_are_dropped_as_often_as_asked_for():
    rng = np.random.default_rng(0)
    x = data.GaussianNoise(0.3)(np.zeros((100, 8, 8), np.float32), rng)
    assert x.dtype == np.float32 and x.std() == pytest.approx(0.3, rel=0.05)
    tokens = np.full((100, 100), 7)
    dropped = data.TokenDropout(0.2, token=3)(tokens, rng)
    assert set(np.unique(dropped)) == {3, 7} and (dropped == 3).mean() == pytest.approx(0.2, abs=0.02)
    assert (tokens == 7).all()


def test_batches_hand_out_what_the_transform_makes_and_leave_the_data_alone():
    x, y = np.ones((10, 4, 4), np.float32), np.arange(10)
    batches = data.Batches(x, y, 4, rng=0, transform=data.Compose(data.RandomShift(2), data.GaussianNoise(0.1)))
    first = [rows for rows, _ in batches]
    assert [len(rows) for rows in first] == [4, 4, 2] and not np.array_equal(first[0], x[:4])
    again = data.Batches(x, y, 4, rng=0, transform=batches.transform)
    for one, other in zip(first, again, strict=True):
        np.testing.assert_array_equal(one, other[0])
    assert (x == 1).all()


@pytest.mark.parametrize(("call", "message"), [
    (lambda: data.spirals(0), "count must be an integer of 1 or more, got 0"),
    (lambda: data.moons(5, noise=-1), "noise must be 0 or more, got -1"),
    (lambda: data.RandomShift(0), "pixels must be an integer of 1 or more, got 0"),
    (lambda: data.RandomScale(1.2, 0.8), "low and high must be factors with 0 < low <= high"),
    (lambda: data.RandomScale(0, 1), "low and high must be factors with 0 < low <= high"),
    (lambda: data.RandomRotation(-5), "degrees must be 0 or more, got -5"),
    (lambda: data.RandomShift(1)(np.zeros((3, 4)), np.random.default_rng(0)), r"must be a non-empty array \(N, H, W\)"),
    (lambda: data.TokenDropout(1.5), r"p must be a probability in \[0, 1\), got 1.5"),
])  # fmt: skip
def test_what_makes_no_sense_is_refused(call, message):
    with pytest.raises(ValueError, match=message):
        call()


@pytest.mark.parametrize("transform", [data.RandomRotation(10), data.RandomScale(0.8, 1.2), data.GaussianNoise(0.1)])
def test_transforms_that_compute_new_values_need_floats(transform):
    with pytest.raises(TypeError, match="this transform needs images of floats, got uint8"):
        transform(np.ones((2, 4, 4), np.uint8), np.random.default_rng(0))


def test_one_hot_rows():
    found = data.one_hot(np.array([[2, 0]], np.uint8), 3)
    np.testing.assert_array_equal(found, [[[0, 0, 1], [1, 0, 0]]])
    assert found.dtype == np.float32 and data.one_hot(np.zeros((0,), int), 3).shape == (0, 3)
    for ids, span in (([0, 3], "0..3"), ([-1, 0], "-1..0")):
        with pytest.raises(ValueError, match=f"one_hot: ids must be in 0..2, got {span}"):
            data.one_hot(np.array(ids), 3)
    with pytest.raises(TypeError, match="one_hot needs integers, got float64"):
        data.one_hot(np.ones(2), 3)


def test_every_batch_of_masked_tokens_has_a_target():
    for seq_len in (1, 4):
        batches = data.MaskedBatches(np.zeros(41, int), batch_size=3, seq_len=seq_len, mask=1, p=0.01, rng=0)
        found = list(batches)
        assert len(found) == len(batches) == -(-(41 // seq_len) // 3)
        assert all((targets != -100).any() for _, targets in found)
    with pytest.raises(ValueError, match="mask must be larger than all ids of the text, which go up to 5; got 5"):
        data.MaskedBatches([5, 0], 1, 1, mask=5)


def test_token_dropout_refuses_what_are_no_tokens():
    with pytest.raises(TypeError, match="TokenDropout needs token ids, which are integers, got float64"):
        data.TokenDropout(0.5)(np.zeros((2, 2)), np.random.default_rng(0))
