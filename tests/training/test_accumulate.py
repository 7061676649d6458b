"""A step of k accumulated batches is the step of one batch k times as large, also where the parts are unequal."""

import numpy as np
import pytest
import strict_cupy
from hypothesis import given, settings
from hypothesis import strategies as st

import nnscratch as nn
from nnscratch.training import Callback, Checkpoint, TrainingDiverged, resume

RNG = np.random.default_rng(0)
X, Y = RNG.normal(size=(23, 4)), RNG.integers(0, 3, 23)
TOKENS, NEXT = RNG.integers(0, 7, (23, 5)), RNG.integers(0, 7, (23, 5))


def classifier():
    return nn.models.MLP([4, 6, 3], rng=0)


def transformer():
    return nn.models.TransformerLM(7, 8, 2, 1, 6, rng=0)


def trainer_of(model, criterion=None, callbacks=(), **options):
    model.to(dtype=np.float64)
    optimizer = nn.optim.SGD(model.parameters(), lr=0.2, momentum=0.5)
    scheduler = nn.optim.lr_scheduler.CosineAnnealingLR(optimizer, T_max=9)
    return nn.Trainer(
        model, criterion or nn.CrossEntropyLoss(), optimizer, scheduler=scheduler, callbacks=callbacks, **options
    )


def batches(x, y, size):
    return nn.data.Batches(x, y, size, rng=5)


def assert_equal_runs(one, other, atol=1e-12):
    assert one.steps_done == other.steps_done
    for name in ("loss", "norm", "lr"):
        np.testing.assert_allclose(getattr(one.history, name), getattr(other.history, name), rtol=1e-12, atol=atol)
    for p, q in zip(one.model.parameters(), other.model.parameters(), strict=True):
        np.testing.assert_allclose(p.data, q.data, rtol=1e-12, atol=atol)


@settings(deadline=None, max_examples=15)
@given(k=st.integers(1, 5), size=st.integers(1, 6), threads=st.integers(1, 2), smooth=st.sampled_from([0.0, 0.2]))
def test_k_batches_are_one_k_times_as_large(k, size, threads, smooth):
    criterion = nn.CrossEntropyLoss(label_smoothing=smooth)
    parts = trainer_of(classifier(), criterion, accumulate=k, threads=threads)
    whole = trainer_of(classifier(), criterion)
    parts.fit(batches(X, Y, size), epochs=2)
    whole.fit(batches(X, Y, size * k), epochs=2)
    assert_equal_runs(parts, whole)


@pytest.mark.parametrize("threads", [1, 2])
@pytest.mark.parametrize("clip", [{}, {"max_norm": 0.3}, {"clip_value": 0.01}])
def test_a_model_that_computes_its_own_loss_accumulates_too(threads, clip):
    parts, whole = trainer_of(transformer(), accumulate=3, threads=threads, **clip), trainer_of(transformer(), **clip)
    parts.fit(batches(TOKENS, NEXT, 3), batches(TOKENS, NEXT, 9), steps=7)  # 8 batches: 3, 3 and 2 in a step
    whole.fit(batches(TOKENS, NEXT, 9), batches(TOKENS, NEXT, 9), steps=7)
    assert_equal_runs(parts, whole)
    for one, other in zip(parts.history.valid, whole.history.valid, strict=True):
        assert one["step"] == other["step"] and one["epoch"] == other["epoch"]
        assert one["loss"] == pytest.approx(other["loss"], rel=1e-12)
    assert parts.targets == whole.targets


@pytest.mark.parametrize("options", [
    {"ignore_index": 2}, {"weight": [1.0, 5.0, 0.5]}, {"ignore_index": 0, "weight": [1.0, 5.0, 0.5]},
    {"ignore_index": 1, "label_smoothing": 0.3, "weight": [0.1, 5.0, 0.5]},
])  # fmt: skip
def test_every_target_weighs_the_same_where_some_are_ignored_or_weighted(options):
    """With one or two rows in a batch, some batches have no target that counts."""
    for size in (1, 2):
        parts = trainer_of(classifier(), nn.CrossEntropyLoss(**options), accumulate=8 // size)
        whole = trainer_of(classifier(), nn.CrossEntropyLoss(**options))
        parts.fit(batches(X, Y, size), epochs=2)
        whole.fit(batches(X, Y, 8), epochs=2)
        assert_equal_runs(parts, whole)


def test_other_losses_and_losses_of_a_users_own():
    class Squares(nn.Module):
        def forward(self, y, t):
            self.save_for_backward(y - t)
            return float(((y - t) ** 2).mean())

        def backward(self):
            (d,) = self.saved()
            return 2 * d / d.size

    T = RNG.random((23, 3))
    for criterion in (nn.MSELoss(), nn.HuberLoss(0.1), nn.BCEWithLogitsLoss(), Squares()):
        parts, whole = trainer_of(classifier(), criterion, accumulate=4), trainer_of(classifier(), criterion)
        parts.fit(batches(X, T, 3), epochs=2)
        whole.fit(batches(X, T, 12), epochs=2)
        assert_equal_runs(parts, whole)


def test_two_predictions_have_two_gradients():
    class Both(nn.Module):
        def __init__(self):
            self.one, self.other = nn.CrossEntropyLoss(), nn.MSELoss()

        def forward(self, prediction, target):
            return self.one(prediction[0], target) + self.other(prediction[1], target[:, None].astype(float))

        def backward(self):
            return self.one.backward(), self.other.backward()

    class Model(nn.models.TwoHeaded):
        def backward(self, dy):
            return super().backward(*dy)

    def model():
        return Model(nn.Linear(4, 5, rng=0), nn.Linear(5, 3, rng=1), nn.Linear(5, 1, rng=2))

    parts, whole = trainer_of(model(), Both(), accumulate=3), trainer_of(model(), Both())
    parts.fit(batches(X, Y, 4), epochs=2)
    whole.fit(batches(X, Y, 12), epochs=2)
    assert_equal_runs(parts, whole)


def test_the_memory_of_a_step_is_that_of_one_batch():
    class Counting(nn.Linear):
        most = 0

        def forward(self, x):
            y = super().forward(x)
            Counting.most = max(Counting.most, len(self._stack))
            return y

    trainer = trainer_of(Counting(4, 3, rng=0), accumulate=5)
    trainer.fit(batches(X, Y, 2), steps=3)
    assert Counting.most == 1


def test_a_recurrent_model_carries_its_state_from_part_to_part():
    def model():
        return nn.models.LanguageModel(7, 4, 6, rng=0).to(dtype=np.float64)

    text = nn.data.TextBatches(RNG.integers(0, 7, 200), batch_size=2, seq_len=9)
    trainer, written_out = trainer_of(model(), accumulate=3), model()
    trainer.fit(text, steps=1)
    hidden, n = written_out.init_hidden(2), 3 * 18
    losses = []
    for inputs, targets in (text[0], text[1], text[2]):
        loss, hidden = written_out.loss_and_backward(inputs, targets, hidden)
        losses.append(loss * targets.size / n)
    assert trainer.history.loss == [pytest.approx(sum(losses), rel=1e-12)]
    for a, b in zip(trainer.hidden, hidden, strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-12)


@pytest.mark.parametrize("stop_at", [1, 2, 3, 5])
def test_a_stopped_run_is_resumed_bit_for_bit(tmp_path, stop_at):
    whole = trainer_of(classifier(), accumulate=3)
    whole.fit(batches(X, Y, 4), steps=7)  # 6 batches: 2 steps an epoch
    first = trainer_of(classifier(), accumulate=3, callbacks=[Checkpoint(tmp_path)])
    first.fit(batches(X, Y, 4), steps=stop_at)
    second = trainer_of(classifier(), accumulate=3)
    resume(second, tmp_path)
    second.fit(batches(X, Y, 4), steps=7)
    assert second.history.loss == whole.history.loss
    for p, q in zip(second.model.parameters(), whole.model.parameters(), strict=True):
        np.testing.assert_array_equal(p.data, q.data)


@pytest.mark.parametrize("options", [{}, {"ignore_index": 2}, {"weight": [1.0, 5.0, 0.5]}])
def test_on_a_gpu_the_steps_are_enqueued_and_give_the_same(options):
    here = trainer_of(classifier(), nn.CrossEntropyLoss(**options), accumulate=6, max_norm=0.3)
    here.fit(batches(X, Y, 1), steps=8)
    with strict_cupy.installed():
        there = nn.models.MLP([4, 6, 3], rng=0).to("cuda")
        there = trainer_of(there, nn.CrossEntropyLoss(**options), accumulate=6, max_norm=0.3)
        there.fit(batches(X, Y, 1), steps=8)
        assert there.async_steps is not None
        np.testing.assert_allclose(there.history.loss, here.history.loss, rtol=1e-9)
        np.testing.assert_allclose(there.history.norm, here.history.norm, rtol=1e-9)


@pytest.mark.parametrize("device", ["cpu", "cuda"])
def test_what_is_not_finite_in_one_part_stops_the_whole_step(device):
    bad = X.copy()
    bad[9] = np.inf
    pairs = [(bad[k : k + 2], Y[k : k + 2]) for k in range(0, 22, 2)]
    with strict_cupy.installed():
        model = classifier().to(device)
        trainer = trainer_of(model, accumulate=3)
        with pytest.raises(TrainingDiverged, match="at step 2: the batch's inputs hold NaN or infinity"):
            trainer.fit(pairs, steps=3)
        assert trainer.steps_done == trainer.history.steps == 1


@pytest.mark.parametrize("device", ["cpu", "cuda"])
@pytest.mark.parametrize("options", [{"accumulate": 3}, {"threads": 2}, {}])
def test_a_callback_may_change_the_gradients_between_backward_and_the_step(device, options):
    """Here it halves them: with plain SGD this is half the learning rate."""

    class Halve(Callback):
        def on_backward_end(self, trainer):
            for p in trainer.model.parameters():
                p.grad *= 0.5

    if device == "cuda" and "threads" in options:
        pytest.skip("no threads on a GPU")

    def trained(lr, callbacks):
        model = classifier().to(device, dtype=np.float64)
        optimizer = nn.optim.SGD(model.parameters(), lr=lr)
        trainer = nn.Trainer(model, nn.CrossEntropyLoss(), optimizer, callbacks=callbacks, **options)
        trainer.fit(batches(X, Y, 4), steps=6)
        return trainer.history.loss

    with strict_cupy.installed():
        np.testing.assert_allclose(trained(0.2, [Halve()]), trained(0.1, []), rtol=1e-12)


@pytest.mark.parametrize("device", ["cpu", "cuda"])
def test_clipping_by_value_is_that_of_the_loop_written_out(device):
    model = classifier().to(dtype=np.float64)
    criterion, optimizer = nn.CrossEntropyLoss(), nn.optim.SGD(model.parameters(), lr=0.2)
    losses, norms = [], []
    for _ in range(4):
        model.zero_grad()
        losses.append(criterion(model(X), Y))
        model.backward(criterion.backward())
        norms.append(nn.optim.clip_grad_norm_(model.parameters(), np.inf))
        nn.optim.clip_grad_value_(model.parameters(), 0.01)
        optimizer.step()
    with strict_cupy.installed():
        ours = classifier().to(device, dtype=np.float64)
        sgd = nn.optim.SGD(ours.parameters(), lr=0.2)
        trainer = nn.Trainer(ours, nn.CrossEntropyLoss(), sgd, clip_value=0.01)
        trainer.fit([(X, Y)], steps=4)
        np.testing.assert_allclose(trainer.history.loss, losses, rtol=1e-12)
        np.testing.assert_allclose(trainer.history.norm, norms, rtol=1e-12)  # before clipping


def test_an_infinite_gradient_is_not_hidden_by_clipping_its_value():
    class Broken(nn.Linear):
        def backward(self, dy):
            return super().backward(dy * np.inf)

    with pytest.raises(TrainingDiverged, match="the gradient is not finite at step 1"):
        trainer_of(Broken(4, 3, rng=0), clip_value=1.0).fit([(X, Y)], steps=1)


@pytest.mark.parametrize(("options", "message"), [
    ({"accumulate": 0}, "accumulate must be an integer of 1 or more, got 0"),
    ({"accumulate": 2.0}, "accumulate must be an integer of 1 or more, got 2.0"),
    ({"clip_value": -1}, "clip_value must be a finite number, 0 or more, got -1"),
    ({"clip_value": 1.0, "max_norm": 2.0}, "give max_norm or clip_value, not both, got 2.0 and 1.0"),
])  # fmt: skip
def test_wrong_settings_are_refused(options, message):
    with pytest.raises(ValueError, match=message):
        trainer_of(classifier(), **options)


@pytest.mark.parametrize("accumulate", [1, 2])
def test_a_step_in_which_no_target_counts_has_the_loss_and_the_gradient_0(accumulate):
    trainer = trainer_of(classifier(), nn.CrossEntropyLoss(ignore_index=0), accumulate=accumulate)
    before = {name: a.copy() for name, a in trainer.model.state_dict().items()}
    ignored, counted = [(X, 0 * Y)] * accumulate, [(X, 0 * Y + 1)] * accumulate
    trainer.fit(ignored, steps=1)
    for name, a in trainer.model.state_dict().items():
        np.testing.assert_array_equal(a, before[name])
    trainer.fit(counted, valid=[ignored[0], counted[0]], steps=2)
    assert trainer.history.loss[0] == trainer.history.norm[0] == 0.0
    assert trainer.history.loss[1] > 0 and trainer.history.norm[1] > 0
    assert trainer.history.valid[0]["loss"] == nn.evaluate(trainer.model, trainer.criterion, counted)


@pytest.mark.parametrize("accumulate", [1, 2])
def test_a_batch_with_one_target_that_does_not_count(accumulate):
    trainer = trainer_of(classifier(), nn.CrossEntropyLoss(ignore_index=0), accumulate=accumulate)
    trainer.fit([(X[:1], 0 * Y[:1])] * accumulate, steps=1)
    assert trainer.history.loss == [0.0]


def test_an_empty_batch_is_still_an_error():
    for accumulate in (1, 2):
        trainer = trainer_of(classifier(), nn.CrossEntropyLoss(ignore_index=0), accumulate=accumulate)
        with pytest.raises(ValueError, match="one integer label for each row"):
            trainer.fit([(X[:0], Y[:0])] * accumulate, steps=1)
