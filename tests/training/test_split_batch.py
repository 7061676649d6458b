"""A split batch gives the loss and gradients of the whole batch, and the same bits in every run."""

import numpy as np
import pytest

import nnscratch as nn
from nnscratch import backend, blas
from nnscratch.training.accumulate import Part
from nnscratch.training.model_calls import forward_and_backward
from nnscratch.training.split_batch import SplitBatch

RNG = np.random.default_rng(0)
IMAGES, LABELS = RNG.normal(size=(7, 1, 8, 8)), RNG.integers(0, 3, 7)
TOKENS, NEXT = RNG.integers(0, 9, (5, 6)), RNG.integers(0, 9, (5, 6))


def cnn():
    convolution = nn.Conv2d(1, 4, 3, padding=1, rng=0)
    return nn.Sequential(convolution, nn.ReLU(), nn.MaxPool2d(2), nn.Flatten(), nn.Linear(64, 3, rng=1))


def transformer():
    return nn.models.TransformerLM(9, 8, num_heads=2, num_layers=2, context=6, rng=0)


CASES = {
    "CNN": (cnn, nn.CrossEntropyLoss, IMAGES, LABELS),
    "TransformerLM": (transformer, nn.CrossEntropyLoss, TOKENS, NEXT),
    "regression": (lambda: nn.Linear(8, 3, rng=0), nn.MSELoss, IMAGES[:, 0, 0], RNG.normal(size=(7, 3))),
    "own loss": (lambda: nn.Linear(8, 3, rng=0), lambda: OwnMSE(), IMAGES[:, 0, 0], RNG.normal(size=(7, 3))),
    "smoothed labels": (cnn, lambda: nn.CrossEntropyLoss(label_smoothing=0.1), IMAGES, LABELS),
}


@pytest.mark.parametrize("name", CASES)
@pytest.mark.parametrize("parts", [2, 3, 10])
def test_loss_and_gradients_are_those_of_the_whole_batch(name, parts):
    build, loss, inputs, targets = CASES[name]
    model, criterion = build().to(dtype=np.float64), loss()
    expected, _ = forward_and_backward(model, criterion, [Part(inputs, targets, 1.0)], ())
    gradients = [p.grad.copy() for p in model.parameters()]
    split = SplitBatch(model, criterion, parts)
    for _ in range(2):
        model.zero_grad()
        assert split.loss_and_gradients([Part(inputs, targets, 1.0)]) == pytest.approx(float(expected), rel=1e-12)
        for p, gradient in zip(model.parameters(), gradients, strict=True):
            np.testing.assert_allclose(p.grad, gradient, rtol=1e-10, atol=1e-14)


def trained(threads, steps=5):
    model = transformer()
    optimizer = nn.optim.SGD(model.parameters(), lr=0.1)  # Adam would enlarge the rounding errors of gradients near 0
    trainer = nn.Trainer(model, nn.CrossEntropyLoss(), optimizer, max_norm=1.0, threads=threads)
    trainer.fit([(TOKENS, NEXT), (NEXT, TOKENS)], steps=steps)
    return model, trainer


def test_training_split_is_the_same_each_time_and_the_same_as_whole_but_for_rounding():
    (one, _), (two, trainer), (again, _) = trained(1), trained(2), trained(2)
    for a, b, c in zip(one.parameters(), two.parameters(), again.parameters(), strict=True):
        np.testing.assert_allclose(a.data, b.data, rtol=1e-3, atol=1e-5)
        np.testing.assert_array_equal(b.data, c.data)
    assert trainer.history.loss[-1] < trainer.history.loss[0]


def test_a_model_whose_arrays_were_replaced_is_copied_anew():
    model, trainer = trained(2)
    model.to(dtype=np.float64)
    trainer = nn.Trainer(model, nn.CrossEntropyLoss(), nn.optim.SGD(model.parameters(), lr=0.0), threads=2)
    first = trainer.train_step(TOKENS, NEXT)
    model.to(dtype=np.float32)
    model.load_state_dict({name: 0.5 * a for name, a in model.state_dict().items()})
    assert trainer.train_step(TOKENS, NEXT) != first
    whole = nn.evaluate(model, nn.CrossEntropyLoss(), [(TOKENS, NEXT)])
    assert trainer.train_step(TOKENS, NEXT) == pytest.approx(whole, rel=1e-5)


class WeightedMSE(nn.Module):
    """A mean over the elements with a positive target: parts of a batch may have different numbers of them."""

    def forward(self, x, t):
        w = t > 0
        d, n = w * (x - t), w.sum()
        self.save_for_backward(d, n)
        return float((d * d).sum() / n)

    def backward(self):
        d, n = self.saved()
        return 2 * d / n


class OwnMSE(nn.Module):
    is_batch_mean = True

    def forward(self, x, t):
        self.save_for_backward(x - t)
        return float(((x - t) ** 2).mean())

    def backward(self):
        (d,) = self.saved()
        return 2 * d / d.size


def test_with_a_loss_that_is_no_plain_mean_the_parts_would_give_another_loss():
    x, t = IMAGES[:, 0, 0], np.where(np.arange(56).reshape(7, 8)[:, :3] < 15, -1.0, 1.0)
    model = nn.Linear(8, 3, rng=0).to(dtype=np.float64)
    parts = [WeightedMSE()(model(x[cut]), t[cut]) for cut in (slice(0, 4), slice(4, 7))]
    assert 4 / 7 * parts[0] + 3 / 7 * parts[1] != pytest.approx(WeightedMSE()(model(x), t), rel=1e-3)


class Noise(nn.Module):
    def __init__(self):
        self.noise, self.linear = np.random.default_rng(0), nn.Linear(2, 2)


@pytest.mark.parametrize(("build", "criterion", "why"), [
    (Noise, nn.CrossEntropyLoss(), "Noise draws random numbers"),
    (lambda: nn.Sequential(nn.Linear(2, 2), nn.BatchNorm1d(2)), nn.CrossEntropyLoss(), "BatchNorm1d needs all"),
    (lambda: nn.Sequential(nn.Linear(2, 2), nn.Dropout(0.5)), nn.CrossEntropyLoss(), "Dropout draws random numbers"),
    (lambda: nn.TransformerBlock(4, 2, dropout=0.1), nn.CrossEntropyLoss(), "MultiheadAttention draws random numbers"),
    (lambda: nn.models.LanguageModel(5, 4, 4, 1), nn.CrossEntropyLoss(), "LanguageModel carries a state"),
    (lambda: nn.Linear(2, 2), nn.CrossEntropyLoss(ignore_index=0), "CrossEntropyLoss is not a plain mean"),
    (lambda: nn.Linear(2, 2), nn.CrossEntropyLoss(weight=[1, 2]), "CrossEntropyLoss is not a plain mean"),
    (lambda: nn.Linear(2, 2), WeightedMSE(), "WeightedMSE is not a plain mean"),
])  # fmt: skip
def test_what_would_not_add_up_is_refused_with_the_reason(build, criterion, why):
    model = build()
    with pytest.raises(ValueError, match=f"threads=2 cannot split the batches of this model: {why}"):
        nn.Trainer(model, criterion, nn.optim.SGD(model.parameters(), lr=0.1), threads=2)
    with pytest.raises(ValueError, match="threads must be an integer of 1 or more, got 0"):
        nn.Trainer(model, criterion, nn.optim.SGD(model.parameters(), lr=0.1), threads=0)


def test_what_diverges_in_one_part_is_said_and_the_weights_stay():
    model = cnn()
    trainer = nn.Trainer(model, nn.CrossEntropyLoss(), nn.optim.SGD(model.parameters(), lr=0.1), threads=2)
    before, x = [p.data.copy() for p in model.parameters()], IMAGES.astype(np.float32)
    x[-1] = np.nan
    with pytest.raises(nn.training.TrainingDiverged, match="the batch's inputs hold NaN"):
        trainer.train_step(x, LABELS)
    for p, data in zip(model.parameters(), before, strict=True):
        np.testing.assert_array_equal(p.data, data)


def test_side_by_side_everyone_is_alone_and_an_error_comes_out_when_all_have_ended():
    setting = blas.thread_setting()
    threads = (lambda: 1) if setting is None else setting[0]
    before, ended = threads(), []

    def fails():
        raise ZeroDivisionError

    def looks():
        ended.append((backend.num_threads(), threads()))
        return len(ended)

    assert sorted(backend.run_concurrently([looks, looks])) == [1, 2]
    for functions in ([fails, looks], [looks, fails]):
        with pytest.raises(ZeroDivisionError):
            backend.run_concurrently(functions)
    assert ended == [(1, 1)] * 4 and threads() == before
