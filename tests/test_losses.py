"""MSELoss and CrossEntropyLoss: values, gradients, extreme inputs, and wrong arguments."""

import math

import numpy as np
import pytest
from directions import assert_gradient
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

import nnscratch as nn

seeds = st.integers(0, 999)
shapes = hnp.array_shapes(min_dims=1, max_dims=3, max_side=4)


def classification(leading, classes, seed, size=1.0):
    """Draw logits (..., C) and labels (...)."""
    rng = np.random.default_rng(seed)
    return size * rng.normal(size=(*leading, classes)), rng.integers(0, classes, leading)


def assert_gradient_of(criterion, prediction, target):
    criterion(prediction, target)
    gradient = criterion.backward()
    criterion.eval()
    assert_gradient(lambda: criterion(prediction, target), prediction, gradient)


@given(shapes, seeds)
def test_mse_is_the_mean_over_all_elements_of_the_squared_difference(shape, seed):
    x, t = np.random.default_rng(seed).normal(size=(2, *shape))
    squares = [(x[place] - t[place]) ** 2 for place in np.ndindex(shape)]
    assert nn.MSELoss()(x, t) == pytest.approx(sum(squares) / len(squares), rel=1e-12)


@given(shapes, seeds)
def test_the_gradient_of_mse_matches_finite_differences(shape, seed):
    x, t = np.random.default_rng(seed).normal(size=(2, *shape))
    assert_gradient_of(nn.MSELoss(), x, t)


@given(shapes, st.integers(1, 6), seeds)
def test_cross_entropy_is_minus_the_mean_log_of_the_softmax_at_the_label(leading, classes, seed):
    logits, target = classification(leading, classes, seed)
    p = nn.Softmax()(logits)
    logs = [-math.log(p[place][target[place]]) for place in np.ndindex(leading)]
    assert nn.CrossEntropyLoss()(logits, target) == pytest.approx(sum(logs) / len(logs), rel=1e-12, abs=1e-14)


@given(shapes, st.integers(1, 6), st.sampled_from([0.0, 0.1, 0.7]), seeds)
def test_the_gradient_of_cross_entropy_matches_finite_differences(leading, classes, smoothing, seed):
    logits, target = classification(leading, classes, seed)
    assert_gradient_of(nn.CrossEntropyLoss(label_smoothing=smoothing), logits, target)


@given(st.integers(2, 6), st.sampled_from([0.0, 0.3]), seeds)
def test_an_ignored_label_counts_neither_in_the_loss_nor_in_the_gradient(classes, smoothing, seed):
    logits, target = classification((3, 4), classes, seed)
    target[1:, ::2] = -100
    criterion = nn.CrossEntropyLoss(ignore_index=-100, label_smoothing=smoothing)
    loss = criterion(logits, target)
    dlogits = criterion.backward()

    counted, plain = target != -100, nn.CrossEntropyLoss(label_smoothing=smoothing)
    assert loss == pytest.approx(plain(logits[counted], target[counted]), rel=1e-12)
    np.testing.assert_allclose(dlogits[counted], plain.backward(), rtol=1e-12, atol=1e-15)
    assert not dlogits[~counted].any()


def test_labels_are_spread_by_smoothing():
    logits, target, e = np.array([[0.5, -1.0, 2.0]]), np.array([0]), 0.3
    log_p = np.log(nn.Softmax()(logits))[0]
    expected = -((1 - e + e / 3) * log_p[0] + e / 3 * log_p[1] + e / 3 * log_p[2])
    assert nn.CrossEntropyLoss(label_smoothing=e)(logits, target) == pytest.approx(expected, rel=1e-12)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("smoothing", [0.0, 0.1])
@given(seed=seeds)
def test_cross_entropy_is_finite_and_exact_for_logits_of_ten_thousand(dtype, smoothing, seed):
    rng = np.random.default_rng(seed)
    logits = rng.choice([-1e4, 0, 1e4], (4, 3)).astype(dtype)
    target = rng.integers(0, 3, 4)
    criterion = nn.CrossEntropyLoss(label_smoothing=smoothing)
    loss = criterion(logits, target)
    dlogits = criterion.backward()
    # exp(-1e4) is zero in every dtype, so only the largest logits have a probability above zero
    top = logits.max(axis=1, keepdims=True)
    log_p = logits - top - np.log((logits == top).sum(axis=1, keepdims=True))
    q = np.full((4, 3), smoothing / 3)
    q[np.arange(4), target] += 1 - smoothing
    assert loss == pytest.approx(-(q * log_p).sum(axis=1).mean(), rel=1e-5)
    np.testing.assert_allclose(dlogits, (np.exp(log_p) - q) / 4, rtol=1e-5, atol=1e-7)


@given(shapes, st.integers(1, 5), st.floats(-1e3, 1e3), seeds)
def test_cross_entropy_does_not_change_when_all_logits_of_a_row_are_shifted(leading, classes, shift, seed):
    logits, target = classification(leading, classes, seed)
    plain, shifted = nn.CrossEntropyLoss(), nn.CrossEntropyLoss()
    assert shifted(logits + shift, target) == pytest.approx(plain(logits, target), rel=1e-9, abs=1e-9)
    np.testing.assert_allclose(shifted.backward(), plain.backward(), rtol=1e-9, atol=1e-12)


def test_many_rows_at_a_time_give_the_same_as_one_block(monkeypatch):
    logits, target = classification((50,), 7, seed=0)
    for smoothing in (0.0, 0.2):
        whole, in_blocks = (nn.CrossEntropyLoss(label_smoothing=smoothing) for _ in range(2))
        expected = whole(logits, target)
        with monkeypatch.context() as patch:
            patch.setattr(nn.losses.fast_softmax, "CHUNK_SIZE", 20)
            assert in_blocks(logits, target) == pytest.approx(expected, rel=1e-14)
        np.testing.assert_array_equal(in_blocks.backward(), whole.backward())


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("criterion", [nn.MSELoss(), nn.CrossEntropyLoss(label_smoothing=0.1, ignore_index=2)])
def test_the_loss_is_a_float_and_its_gradient_has_the_predictions_dtype(criterion, dtype):
    x = np.random.default_rng(0).normal(size=(4, 3)).astype(dtype)
    target = x + 1 if isinstance(criterion, nn.MSELoss) else np.array([0, 1, 2, 0])
    assert type(criterion(x, target)) is float
    assert criterion.backward().dtype == dtype


def test_prediction_and_target_are_not_changed_by_forward_and_backward():
    logits, target = classification((4,), 3, seed=0)
    target[0] = 7
    criterion, before = nn.CrossEntropyLoss(ignore_index=7, label_smoothing=0.1), (logits.copy(), target.copy())
    criterion(logits, target)
    criterion.backward()
    np.testing.assert_array_equal(logits, before[0])
    np.testing.assert_array_equal(target, before[1])


@pytest.mark.parametrize("criterion", [nn.MSELoss(), nn.CrossEntropyLoss()])
def test_a_loss_keeps_its_forward_only_while_training(criterion):
    x = np.ones((2, 3))
    target = x if isinstance(criterion, nn.MSELoss) else np.array([0, 1])
    criterion(x, target)
    criterion.backward()
    with pytest.raises(RuntimeError, match="backward: no saved forward call is left"):
        criterion.backward()
    criterion.eval()
    criterion(x, target)
    with pytest.raises(RuntimeError, match=r"in eval\(\) mode"):
        criterion.backward()


@pytest.mark.parametrize(
    ("prediction", "target", "error", "message"),
    [
        (np.ones((2, 1)), np.ones(2), ValueError, r"the same shape and dtype.*got \(2, 1\) float64 and \(2,\) float64"),
        (np.ones(2), np.ones(2, np.float32), ValueError, "the same shape and dtype"),
        (np.ones(0), np.ones(0), ValueError, "at least one element"),
        (np.ones(2), np.ones(2, int), TypeError, "target must be floats, got int64"),
        (np.ones(2), [1.0, 1.0], TypeError, "target: expected a NumPy or CuPy array, got list"),
    ],
)
def test_mse_refuses_what_does_not_fit_and_keeps_nothing(prediction, target, error, message):
    criterion = nn.MSELoss()
    with pytest.raises(error, match=message):
        criterion(prediction, target)
    with pytest.raises(RuntimeError, match="no saved forward call is left"):
        criterion.backward()


@pytest.mark.parametrize(
    ("logits", "target", "error", "message"),
    [
        (np.ones((2, 3)), np.array([0, 3]), ValueError, r"CrossEntropyLoss: target must be in 0\.\.2, got 0\.\.3"),
        (np.ones((2, 3)), np.array([-1, 0]), ValueError, r"target must be in 0\.\.2, got -1\.\.0"),
        (np.ones((2, 3)), np.array([[0], [1]]), ValueError, r"one integer label for each row.*\(2, 3\) and \(2, 1\)"),
        (np.ones((2, 3)), np.array([9, 9]), ValueError, "every label is ignore_index=9, so there is nothing"),
        (np.ones((0, 3)), np.zeros(0, int), ValueError, r"got \(0, 3\) and \(0,\)"),
        (np.ones((2, 3)), np.array([0.0, 1.0]), TypeError, "target must be integers, got float64"),
        (np.ones((2, 3), int), np.array([0, 1]), TypeError, "logits must be floats, got int64"),
        (np.ones((2, 3)), [0, 1], TypeError, "expected a NumPy or CuPy array, got list"),
    ],
)
def test_cross_entropy_refuses_what_does_not_fit_and_keeps_nothing(logits, target, error, message):
    criterion = nn.CrossEntropyLoss(ignore_index=9)
    with pytest.raises(error, match=message):
        criterion(logits, target)
    with pytest.raises(RuntimeError, match="no saved forward call is left"):
        criterion.backward()


def test_hyper_parameters_out_of_range_are_refused():
    with pytest.raises(ValueError, match=r"label_smoothing must be a probability in \[0, 1\), got 1.0"):
        nn.CrossEntropyLoss(label_smoothing=1.0)
    with pytest.raises(TypeError, match="ignore_index must be an integer, got 'pad'"):
        nn.CrossEntropyLoss(ignore_index="pad")


def cross_entropy_of_one(x, t):
    return -math.log(math.exp(x[t]) / sum(map(math.exp, x)))


FORMULAS = {  # {loss: its formula for one row of the prediction and of the target}
    nn.HuberLoss: (nn.HuberLoss(0.5), lambda x, t: np.mean(
        [d * d / 2 if d <= 0.5 else 0.5 * (d - 0.25) for d in map(abs, x - t)])),
    nn.BCEWithLogitsLoss: (nn.BCEWithLogitsLoss(), lambda x, t: np.mean(
        [-b * math.log(1 / (1 + math.exp(-a))) - (1 - b) * math.log(1 / (1 + math.exp(a)))
         for a, b in zip(x, t, strict=True)])),
    nn.KLDivLoss: (nn.KLDivLoss(), lambda x, t: sum(
        b * (math.log(b) - a) for a, b in zip(x, t, strict=True) if b > 0)),
    nn.MultiMarginLoss: (nn.MultiMarginLoss(0.7), lambda x, t: sum(
        max(0, 0.7 - x[t] + x[j]) for j in range(len(x)) if j != t) / len(x)),
    nn.CrossEntropyLoss: (nn.CrossEntropyLoss(), cross_entropy_of_one),
}  # fmt: skip


def prediction_and_target(loss, dtype=np.float64):
    """Draw 40 rows of 3 numbers, and their targets."""
    rng = np.random.default_rng(0)
    x, t = rng.normal(size=(40, 3)).astype(dtype), rng.random((40, 3)).astype(dtype)
    if loss in (nn.CrossEntropyLoss, nn.MultiMarginLoss):
        return x, rng.integers(0, 3, 40)
    if loss is nn.KLDivLoss:
        t[0, 1] = 0  # an outcome that never happens adds nothing
        return nn.LogSoftmax()(x), t / t.sum(axis=1, keepdims=True)
    return x, t


@pytest.mark.parametrize("loss", FORMULAS)
def test_a_loss_is_the_mean_over_rows_of_its_formula(loss):
    criterion, formula = FORMULAS[loss]
    x, t = prediction_and_target(loss)
    expected = [formula(row, target) for row, target in zip(x, t, strict=True)]
    assert criterion(x, t) == pytest.approx(np.mean(expected), rel=1e-12)


@pytest.mark.parametrize("loss", [nn.MSELoss, *FORMULAS])
def test_rows_may_have_any_leading_shape(loss):
    x, t = prediction_and_target(loss)
    assert loss()(x.reshape(4, 10, 3), t.reshape(4, 10, *t.shape[1:])) == pytest.approx(loss()(x, t), rel=1e-14)


@pytest.mark.parametrize("loss", [nn.MSELoss, *FORMULAS])
def test_the_mean_of_float32_losses_is_computed_in_float64(loss):
    x, t = prediction_and_target(loss, np.float32)
    if loss is nn.MultiMarginLoss:
        x, t = x[:, :2].copy(), t % 2  # one term in each row, so that its sum is exact
    elif t.ndim == 2:
        x, t = x[:, :1].copy(), t[:, :1].copy()
    criterion = loss()
    of_each_row = [criterion(x[k : k + 1], t[k : k + 1]) for k in range(len(x))]
    assert criterion(x, t) == pytest.approx(math.fsum(of_each_row) / len(x), rel=1e-14)


@pytest.mark.parametrize("loss", [nn.HuberLoss, nn.BCEWithLogitsLoss, nn.KLDivLoss])
def test_a_prediction_and_a_target_of_two_shapes_are_refused(loss):
    with pytest.raises(ValueError, match=f"{loss.__name__} needs prediction and target of the same shape and dtype"):
        loss()(np.full((2, 1), -1.0), np.ones(2))


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: nn.BCEWithLogitsLoss()(np.ones(2), np.array([0.0, 1.5])), r"target must be in \[0, 1\], got 0.0..1.5"),
        (lambda: nn.BCEWithLogitsLoss()(np.ones(2), np.array([-1.0, 1.0])), r"target must be in \[0, 1\]"),
        (lambda: nn.KLDivLoss()(np.array(-1.0), np.array(0.5)), r"shape \(..., C\), got arrays of shape \(\)"),
        (lambda: nn.KLDivLoss()(np.array([-1.0]), np.array([-0.5])), "target must be probabilities, 0 or more"),
        (lambda: nn.KLDivLoss()(np.array([0.5]), np.array([0.5])), "prediction must be log-probabilities, 0 or less"),
        (lambda: nn.MultiMarginLoss()(np.ones((1, 2)), np.array([2])), r"target must be in 0\.\.1, got 2\.\.2"),
        (lambda: nn.HuberLoss(0), "delta must be above 0, got 0"),
        (lambda: nn.CrossEntropyLoss(weight=[1, 2])(np.ones((1, 3)), np.array([0])), "weight has 2 numbers"),
    ],
)
def test_values_out_of_range_are_refused(call, message):
    with pytest.raises(ValueError, match=message):
        call()


def test_class_weights_keep_the_dtype_of_the_logits():
    criterion = nn.CrossEntropyLoss(weight=[1.0, 2.0], label_smoothing=0.1)
    criterion(np.ones((2, 2), np.float32), np.array([0, 1]))
    assert criterion.backward().dtype == np.float32


def test_a_row_longer_than_a_chunk_is_a_chunk(monkeypatch):
    logits, target = classification((5,), 7, seed=0)
    expected = nn.CrossEntropyLoss()(logits, target)
    monkeypatch.setattr(nn.losses.fast_softmax, "CHUNK_SIZE", 3)
    assert nn.CrossEntropyLoss()(logits, target) == pytest.approx(expected, rel=1e-14)


# --- the limits of the arguments -------------------------------------------------------------------------------------


def test_probabilities_may_be_0_or_1_and_log_probabilities_must_not_be_above_0():
    x, t = np.array([2.0, -3.0]), np.array([0.0, 1.0])
    assert nn.BCEWithLogitsLoss()(x, t) == pytest.approx(np.log1p(np.exp([2.0, 3.0])).mean(), rel=1e-12)
    for outside in ([-0.1, 1.0], [0.0, 1.1]):
        with pytest.raises(ValueError, match=r"BCEWithLogitsLoss: target must be in \[0, 1\]"):
            nn.BCEWithLogitsLoss()(x, np.array(outside))
    with pytest.raises(ValueError, match="KLDivLoss: prediction must be log-probabilities, 0 or less, got 0.5"):
        nn.KLDivLoss()(np.array([[-1.0, 0.5]]), np.array([[0.5, 0.5]]))


def test_the_gradient_of_the_divergence_has_any_leading_shape():
    rng = np.random.default_rng(0)
    for shape in ((4,), (3, 4), (2, 3, 4)):
        target = rng.dirichlet(np.ones(4), shape[:-1])
        assert_gradient_of(nn.KLDivLoss(), np.log(rng.dirichlet(np.ones(4), shape[:-1])), target)


def test_one_row_without_a_batch_and_a_single_class():
    x = np.array([1.0, 2.0, 0.5])
    assert nn.CrossEntropyLoss()(x, np.array(1)) == pytest.approx(np.log(np.exp(x).sum()) - 2, rel=1e-12)
    with pytest.raises(ValueError, match="one integer label for each row"):
        nn.CrossEntropyLoss()(np.array(1.0), np.array(1))
    assert nn.CrossEntropyLoss(ignore_index=-100)(np.ones((2, 1)), np.array([0, -100])) == 0


@pytest.mark.parametrize(
    ("settings", "label", "why"),
    [({"weight": [1, 0]}, 1, "of a class with weight 0"), ({"ignore_index": 0}, 0, "ignore_index=0"),
     ({"ignore_index": 0, "weight": [1, 0]}, 1, "of a class with weight 0")],
)  # fmt: skip
def test_labels_that_do_not_count_have_a_reason(settings, label, why):
    with pytest.raises(ValueError, match=f"every label is {why}, so there is nothing to average"):
        nn.CrossEntropyLoss(**settings)(np.ones((2, 2)), np.array([label, label]))
