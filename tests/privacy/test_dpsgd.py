"""Private steps: what is clipped, the noise, the empty batch, and resuming."""

import io
import sys

import numpy as np
import pytest

import nnscratch as nn
from nnscratch.privacy import DPSGD, PoissonBatches, text_examples
from nnscratch.training import Checkpoint, ProgressBar, resume

RNG = np.random.default_rng(0)
X, Y = RNG.normal(size=(40, 3)).astype(np.float32), RNG.integers(0, 2, 40)


def private_trainer(noise_multiplier=1.0, max_norm=0.5, seed=0, callbacks=(), lr=0.1, dtype=np.float32):
    model = nn.models.MLP([3, 4, 2], rng=0).to(dtype=dtype)
    batches = PoissonBatches(X.astype(dtype), Y, batch_size=8, rng=seed)
    privacy = DPSGD(batches, noise_multiplier=noise_multiplier, max_norm=max_norm, delta=1e-3, rng=seed)
    optimizer = nn.optim.SGD(model.parameters(), lr=lr)
    return nn.Trainer(model, nn.CrossEntropyLoss(), optimizer, privacy=privacy, callbacks=callbacks), batches


def test_without_noise_a_step_is_the_sum_of_the_clipped_gradients():
    trainer, _ = private_trainer(noise_multiplier=0.0, max_norm=1.0, dtype=np.float64)
    model = trainer.model
    before = {name: p.data.copy() for name, p in model.named_parameters()}
    x, y = X[:10].astype(np.float64), Y[:10]
    g = nn.privacy.per_example_gradients(model, nn.CrossEntropyLoss(), x, y)
    norms = np.sqrt(sum((v**2).reshape(10, -1).sum(axis=1) for v in g.values()))
    assert (norms > 1).any() and (norms < 1).any()
    trainer.train_step(x, y)
    for name, p in model.named_parameters():
        clipped = np.einsum("n,n...->...", np.minimum(1, 1 / norms), g[name]) / 8  # the mean size, not 10
        np.testing.assert_allclose(before[name] - p.data, 0.1 * clipped, rtol=1e-10, atol=1e-14)


def test_with_a_large_bound_and_no_noise_it_is_plain_training():
    trainer, _ = private_trainer(noise_multiplier=0.0, max_norm=1e6)
    plain = nn.models.MLP([3, 4, 2], rng=0)
    other = nn.Trainer(plain, nn.CrossEntropyLoss(), nn.optim.SGD(plain.parameters(), lr=0.1))
    for _ in range(3):
        assert trainer.train_step(X[:8], Y[:8]) == pytest.approx(other.train_step(X[:8], Y[:8]), rel=1e-5)
    for p, q in zip(trainer.model.parameters(), plain.parameters(), strict=True):
        np.testing.assert_allclose(p.data, q.data, rtol=1e-4, atol=1e-6)


def test_an_empty_batch_is_a_step_of_noise():
    trainer, _ = private_trainer(noise_multiplier=2.0, max_norm=0.5, lr=1.0)
    before = np.concatenate([p.data.ravel().copy() for p in trainer.model.parameters()])
    trainer.train_step(X[:0], Y[:0])
    noise = np.concatenate([p.data.ravel() for p in trainer.model.parameters()]) - before
    expected = np.random.default_rng(0).standard_normal(16, dtype=np.float32)  # the second weight is drawn later
    np.testing.assert_allclose(noise[:12], -expected[:12] * 2.0 * 0.5 / 8, rtol=1e-5)
    assert trainer.steps_done == 1


def test_one_example_moves_a_step_by_at_most_the_bound():
    steps = []
    for x, y in ((X[:5], Y[:5]), (np.concatenate([X[:5], 1000 * X[5:6]]), Y[:6])):
        trainer, _ = private_trainer(noise_multiplier=1.0, max_norm=0.5, lr=1.0)
        trainer.train_step(x, y)
        steps.append(np.concatenate([p.data.ravel() for p in trainer.model.parameters()]))
    assert 0 < np.linalg.norm(steps[1] - steps[0]) <= 0.5 / 8 * (1 + 1e-4)


def test_a_language_models_examples_start_from_a_zero_state():
    rng = np.random.default_rng(0)
    inputs, targets = text_examples(rng.integers(0, 5, 200), seq_len=9)
    assert inputs.shape == targets.shape == (20, 9)
    model = nn.models.LanguageModel(5, 4, 6, rng=0)
    batches = PoissonBatches(inputs, targets, batch_size=10, rng=0)
    privacy = DPSGD(batches, noise_multiplier=0.5, max_norm=1.0, delta=1e-3, rng=0)
    trainer = nn.Trainer(model, nn.CrossEntropyLoss(), nn.optim.Adam(model.parameters()), privacy=privacy)
    history = trainer.fit(batches, [(inputs, targets)], steps=4)
    assert trainer.hidden is None and history.steps == 4 and np.isfinite(history.loss).all()
    assert privacy.epsilon(4) == pytest.approx(nn.privacy.epsilon(4, 0.5, 0.5, 1e-3))


def test_a_resumed_run_draws_the_same_noise(tmp_path):
    whole, batches = private_trainer()
    whole.fit(batches, steps=8)
    first, batches = private_trainer(callbacks=[Checkpoint(tmp_path)])
    first.fit(batches, steps=5)
    later, batches = private_trainer(seed=7)
    resume(later, tmp_path)
    later.fit(batches, steps=8)
    for p, q in zip(whole.model.parameters(), later.model.parameters(), strict=True):
        np.testing.assert_array_equal(p.data, q.data)
    assert later.privacy.epsilon(later.steps_done) == nn.privacy.epsilon(8, 0.2, 1.0, 1e-3)  # of all 8 steps
    plain = nn.Trainer(first.model, nn.CrossEntropyLoss(), nn.optim.SGD(first.model.parameters(), lr=0.1))
    with pytest.raises(ValueError, match="with privacy .'sample_rate': 0.2.*this trainer has None"):
        resume(plain, tmp_path)


def test_a_run_with_less_noise_does_not_continue_as_one_with_more(tmp_path):
    first, batches = private_trainer(noise_multiplier=0.3, callbacks=[Checkpoint(tmp_path)])
    first.fit(batches, steps=2)
    later, _ = private_trainer(noise_multiplier=5.0)
    with pytest.raises(ValueError, match="'noise_multiplier': 0.3.*'noise_multiplier': 5.0.*epsilon is right only if"):
        resume(later, tmp_path)
    assert later.steps_done == 0


class WithoutTheMean(nn.Module):
    """It has no parameters, but its outputs depend on all examples of the batch."""

    def forward(self, x):
        self.save_for_backward()
        return x - x.mean(axis=0)

    def backward(self, dy):
        self.saved()
        return dy - dy.mean(axis=0)


def test_a_layer_that_mixes_the_examples_is_refused_at_the_first_batch():
    model = nn.Sequential(nn.Linear(3, 4, rng=0), WithoutTheMean(), nn.Linear(4, 2, rng=1))
    before = [p.data.copy() for p in model.parameters()]
    batches = PoissonBatches(X, Y, batch_size=8, rng=0)
    privacy = DPSGD(batches, noise_multiplier=1.0, max_norm=1.0, delta=1e-3)
    optimizer = nn.optim.SGD(model.parameters(), lr=0.1)
    trainer = nn.Trainer(model, nn.CrossEntropyLoss(), optimizer, privacy=privacy)
    with pytest.raises(ValueError, match="prediction of Sequential for an example depends on the other examples"):
        trainer.fit(batches, steps=1)
    for p, data in zip(model.parameters(), before, strict=True):
        np.testing.assert_array_equal(p.data, data)


def test_an_optimizer_of_other_parameters_is_refused():
    trainer, batches = private_trainer()
    privacy = DPSGD(batches, noise_multiplier=1.0, max_norm=1.0, delta=1e-3)
    model, other = trainer.model, nn.Linear(2, 2)
    optimizer = nn.optim.SGD(model.parameters() + other.parameters(), lr=0.1)
    with pytest.raises(ValueError, match="optimizer has parameters that are not in the model"):
        nn.Trainer(model, nn.CrossEntropyLoss(), optimizer, privacy=privacy)
    for p in model.parameters():
        p.requires_grad = False
    with pytest.raises(ValueError, match="all parameters are frozen"):
        nn.Trainer(model, nn.CrossEntropyLoss(), nn.optim.SGD(model.parameters(), lr=0.1), privacy=privacy)


def test_the_progress_bar_shows_epsilon(monkeypatch):
    monkeypatch.setattr(sys, "stderr", io.StringIO())
    monkeypatch.setenv("COLUMNS", "200")  # a longer line is cut
    trainer, batches = private_trainer(callbacks=[ProgressBar()])
    trainer.fit(batches, steps=3)
    assert f"epsilon={trainer.privacy.epsilon(3):.2f}" in sys.stderr.getvalue()


def test_a_nan_stops_training_before_the_step():
    trainer, _ = private_trainer()
    before = [p.data.copy() for p in trainer.model.parameters()]
    x = X[:4].copy()
    x[0, 0] = np.nan
    with pytest.raises(nn.training.TrainingDiverged, match="inputs hold NaN"):
        trainer.train_step(x, Y[:4])
    for p, data in zip(trainer.model.parameters(), before, strict=True):
        np.testing.assert_array_equal(p.data, data)


def test_poisson_batches_have_each_example_with_the_same_probability():
    batches = PoissonBatches(np.arange(50), np.arange(50), batch_size=10, rng=0)
    counts = np.zeros(50)
    sizes = []
    for _ in range(100):
        for inputs, targets in batches:
            np.testing.assert_array_equal(inputs, targets)
            counts[inputs] += 1
            sizes.append(len(inputs))
    assert len(sizes) == 500
    assert abs(np.mean(sizes) - 10) < 0.5 and abs(np.var(sizes) - 8) < 2  # binomial: 50 * 0.2 * 0.8
    assert counts.min() > 60 and counts.max() < 145
    pair = next(iter(PoissonBatches((X, 2 * X), Y, batch_size=20, rng=0)))
    assert len(pair[0]) == 2 and pair[0][1].shape == (len(pair[1]), 3)


def test_bad_arguments_are_named():
    trainer, batches = private_trainer()
    model, options = trainer.model, {"noise_multiplier": 1.0, "max_norm": 1.0, "delta": 1e-3}
    privacy = DPSGD(batches, **options)
    criterion, optimizer = nn.CrossEntropyLoss(), nn.optim.SGD(model.parameters(), lr=0.1)
    with pytest.raises(TypeError, match="batches must be .*PoissonBatches"):
        DPSGD([(X, Y)], **options)
    with pytest.raises(ValueError, match="noise_multiplier"):
        DPSGD(batches, **options | {"noise_multiplier": -1})
    with pytest.raises(ValueError, match="max_norm must be above 0"):
        DPSGD(batches, **options | {"max_norm": 0})
    with pytest.raises(ValueError, match="delta must be above 0"):
        DPSGD(batches, **options | {"delta": 1})
    with pytest.raises(ValueError, match="the same PoissonBatches that you gave to DPSGD"):
        trainer.fit([(X, Y)], steps=1)
    with pytest.raises(TypeError, match="privacy must be"):
        nn.Trainer(model, criterion, optimizer, privacy=1.0)
    for setting in ({"max_norm": 1.0}, {"clip_value": 1.0}, {"accumulate": 2}, {"threads": 2}):
        with pytest.raises(ValueError, match="leave out max_norm, clip_value, accumulate, threads"):
            nn.Trainer(model, criterion, optimizer, privacy=privacy, **setting)
    with pytest.raises(ValueError, match="plain mean"):
        nn.Trainer(model, nn.CrossEntropyLoss(ignore_index=0), optimizer, privacy=privacy)
    with pytest.raises(ValueError, match="BatchNorm1d"):
        bad = nn.Sequential(nn.Linear(3, 2), nn.BatchNorm1d(2))
        nn.Trainer(bad, criterion, nn.optim.SGD(bad.parameters(), lr=0.1), privacy=privacy)
    with pytest.raises(TypeError, match="expected a NumPy or CuPy array, got list"):
        PoissonBatches(X.tolist(), Y, batch_size=2)
    with pytest.raises(ValueError, match="one row for each example, got .3, 4. rows"):
        PoissonBatches(X[:3], Y[:4], batch_size=2)
    with pytest.raises(ValueError, match="at most the 3 examples, got 4"):
        PoissonBatches(X[:3], Y[:3], batch_size=4)
    with pytest.raises(ValueError, match="more than seq_len = 5 tokens"):
        text_examples(np.arange(5), 5)
