"""The training loop: what it computes, how it stops, and that a resumed run is equal bit for bit."""

import json
import signal
import time
from pathlib import Path

import numpy as np
import pytest

import nnscratch as nn
from nnscratch.training import Callback, Checkpoint, EarlyStopping, TrainingDiverged, resume

TOKENS = np.random.default_rng(0).integers(0, 7, 700)


def new_trainer(dropout=0.3, lr=0.01, callbacks=(), total=30):
    model = nn.models.LanguageModel(7, 5, 6, 2, dropout=dropout, rng=1)
    optimizer = nn.optim.Adam(model.parameters(), lr=lr)
    scheduler = nn.optim.lr_scheduler.CosineAnnealingLR(optimizer, T_max=total)
    return nn.Trainer(model, nn.CrossEntropyLoss(), optimizer, scheduler=scheduler, max_norm=1.0, callbacks=callbacks)


def text_batches():
    return nn.data.TextBatches(TOKENS, batch_size=4, seq_len=11)


def weights(trainer):
    return {name: p.copy() for name, p in trainer.model.state_dict().items()}


def test_a_trainer_does_what_the_loop_written_out_does():
    trainer = new_trainer(dropout=0.0)
    trainer.fit(text_batches(), steps=20)

    model = nn.models.LanguageModel(7, 5, 6, 2, rng=1)
    criterion, optimizer = nn.CrossEntropyLoss(), nn.optim.Adam(model.parameters(), lr=0.01)
    scheduler = nn.optim.lr_scheduler.CosineAnnealingLR(optimizer, T_max=30)
    losses = []
    while len(losses) < 20:
        hidden = model.init_hidden(4)
        for inputs, targets in text_batches():
            model.zero_grad()
            logits, hidden = model(inputs, hidden)
            losses.append(criterion(logits, targets))
            model.backward(criterion.backward())
            nn.optim.clip_grad_norm_(model.parameters(), 1.0)
            optimizer.step()
            scheduler.step()
            if len(losses) == 20:
                break
    np.testing.assert_allclose(trainer.history.loss, losses, rtol=1e-5)
    for name, value in model.state_dict().items():
        np.testing.assert_allclose(trainer.model.state_dict()[name], value, rtol=1e-3, atol=1e-5)


def test_the_loop_on_the_reference_page_gives_the_trainers_weights_bit_for_bit():
    page = (Path(__file__).parents[2] / "docs" / "reference" / "training.md").read_text(encoding="utf-8")
    code = page.partition("```python\n")[2].partition("```")[0]
    rng, namespace = np.random.default_rng(0), {}
    x, y = rng.normal(size=(50, 3)).astype(np.float32), rng.integers(0, 2, 50)

    def setup():
        model = nn.models.MLP([3, 8, 8, 2], dropout=0.2, rng=0)
        optimizer = nn.optim.Adam(model.parameters(), lr=0.02)
        batches = nn.data.Batches(x, y, batch_size=8, rng=5)
        scheduler = nn.optim.lr_scheduler.CosineAnnealingLR(optimizer, T_max=28)
        return {"model": model, "criterion": nn.CrossEntropyLoss(), "optimizer": optimizer} | {
            "scheduler": scheduler, "batches": batches, "epochs": 4, "max_norm": 0.5
        }  # fmt: skip

    namespace = setup()
    exec(code, namespace)
    one = setup()
    trainer = nn.Trainer(
        one["model"], one["criterion"], one["optimizer"], scheduler=one["scheduler"], max_norm=one["max_norm"]
    )
    history = trainer.fit(one["batches"], epochs=4)
    assert history.steps == 28 and max(history.norm) > 0.5 > min(history.norm)
    for p, q in zip(one["model"].parameters(), namespace["model"].parameters(), strict=True):
        np.testing.assert_array_equal(p.data, q.data)


@pytest.mark.parametrize("stop_at", [1, 7, 16, 17, 29])
def test_a_run_stopped_and_resumed_equals_one_that_never_stopped(tmp_path, stop_at):
    whole = new_trainer()
    whole.fit(text_batches(), text_batches(), steps=30, evaluate_every=5)

    class StopAt(Callback):
        def on_step_end(self, trainer):
            if trainer.steps_done == stop_at:
                trainer.stop = "enough"

    first = new_trainer(callbacks=[StopAt(), Checkpoint(tmp_path)])
    first.fit(text_batches(), steps=30)
    assert first.steps_done == stop_at

    second = new_trainer()
    resume(second, tmp_path)
    second.fit(text_batches(), text_batches(), steps=30, evaluate_every=5)
    assert second.history.loss == whole.history.loss
    assert second.history.lr == whole.history.lr
    for name, value in weights(whole).items():
        np.testing.assert_array_equal(second.model.state_dict()[name], value)


@pytest.mark.parametrize("stop_at", [7, 10, 14])  # 7 steps an epoch: also between two epochs
def test_a_shuffled_epoch_is_resumed_in_the_same_order(tmp_path, stop_at):
    rng = np.random.default_rng(3)
    x, y = rng.normal(size=(50, 3)).astype(np.float32), rng.integers(0, 2, 50)

    def trainer(callbacks=()):
        model = nn.Sequential(nn.Linear(3, 4, rng=0), nn.Tanh(), nn.Linear(4, 2, rng=1))
        return nn.Trainer(model, nn.CrossEntropyLoss(), nn.optim.SGD(model.parameters(), lr=0.1), callbacks=callbacks)

    def batches():
        return nn.data.Batches(x, y, batch_size=8, rng=5)

    whole = trainer()
    whole.fit(batches(), steps=20)
    first = trainer([Checkpoint(tmp_path)])
    first.fit(batches(), steps=stop_at)
    second = trainer()
    resume(second, tmp_path)
    second.fit(batches(), steps=20)
    assert second.history.loss == whole.history.loss


def test_a_generator_of_any_name_in_a_model_is_resumed(tmp_path):
    class Noise(nn.Module):
        def __init__(self):
            self.source = np.random.default_rng(4)

        def forward(self, x):
            return x + self.source.normal(size=x.shape).astype(x.dtype)

        def backward(self, dy):
            return dy

    x = np.random.default_rng(3).normal(size=(8, 3)).astype(np.float32)

    def trainer(callbacks=()):
        model = nn.Sequential(Noise(), nn.Linear(3, 2, rng=0))
        return nn.Trainer(model, nn.MSELoss(), nn.optim.SGD(model.parameters(), lr=0.1), callbacks=callbacks)

    whole = trainer()
    whole.fit([(x, x[:, :2])], steps=6)
    trainer([Checkpoint(tmp_path)]).fit([(x, x[:, :2])], steps=3)
    second = trainer()
    resume(second, tmp_path)
    second.fit([(x, x[:, :2])], steps=6)
    assert second.history.loss == whole.history.loss


def test_a_text_read_with_token_dropout_is_resumed_with_the_same_tokens_dropped(tmp_path):
    def batches():
        return nn.data.TextBatches(TOKENS, 4, 11, transform=nn.data.TokenDropout(0.3), rng=5)

    whole, plain = new_trainer(), new_trainer()
    whole.fit(batches(), steps=30)
    plain.fit(text_batches(), steps=30)
    assert whole.history.loss != plain.history.loss
    new_trainer(callbacks=[Checkpoint(tmp_path)]).fit(batches(), steps=20)  # 16 an epoch: in the middle of the second
    second = new_trainer()
    resume(second, tmp_path)
    second.fit(batches(), steps=30)
    assert second.history.loss == whole.history.loss


def test_training_keeps_no_memory_from_step_to_step():
    trainer = new_trainer()
    trainer.fit(text_batches(), text_batches(), steps=30, evaluate_every=7)
    for module in [*trainer.model.modules(), trainer.criterion]:
        assert not module.__dict__.get("_stack")


def test_a_loss_that_is_not_finite_stops_training_before_the_step_and_says_where_it_began():
    trainer = new_trainer(dropout=0.0)
    trainer.fit(text_batches(), steps=3)
    trainer.model.lstm.weight_hh_l1.data[2, 2] = np.nan
    before = weights(trainer)
    with pytest.raises(TrainingDiverged, match=r"the loss is nan at step 4: the weights of lstm\.weight_hh_l1 were"):
        trainer.fit(text_batches(), steps=10)
    for name, value in before.items():
        np.testing.assert_array_equal(trainer.model.state_dict()[name], value)


def test_a_gradient_that_is_not_finite_names_the_parameter_nearest_to_the_loss():
    class Broken(nn.Tanh):
        def backward(self, dy):
            return super().backward(dy) * np.float32(np.inf)

    model = nn.Sequential(nn.Linear(2, 3, rng=0), nn.Linear(3, 3, rng=1), Broken(), nn.Linear(3, 2, rng=2))
    trainer = nn.Trainer(model, nn.CrossEntropyLoss(), nn.optim.SGD(model.parameters(), lr=0.1))
    batch = (np.ones((4, 2), dtype=np.float32), np.zeros(4, dtype=int))
    with pytest.raises(TrainingDiverged, match=r"at step 1: in backward, the gradient of 1\.bias is the first"):
        trainer.fit([batch], steps=1)


def test_a_diverged_run_leaves_the_last_good_checkpoint(tmp_path):
    trainer = new_trainer(callbacks=[Checkpoint(tmp_path, every=1)])
    trainer.fit(text_batches(), steps=3)
    good = (tmp_path / "checkpoint.safetensors").read_bytes()
    trainer.model.linear.bias.data[0] = np.inf
    with pytest.raises(TrainingDiverged):
        trainer.fit(text_batches(), steps=10)
    assert (tmp_path / "checkpoint.safetensors").read_bytes() == good
    assert sorted(p.name for p in tmp_path.iterdir()) == ["checkpoint.safetensors", "model.safetensors"]


class Interrupt(Callback):
    def on_step_end(self, trainer):
        if trainer.steps_done == 4:
            signal.raise_signal(signal.SIGINT)


def test_a_run_gone_on_with_after_ctrl_c_has_validated_when_one_without_would_have(tmp_path):
    def plateau(callbacks):
        trainer = new_trainer(callbacks=callbacks)
        trainer.scheduler = nn.optim.lr_scheduler.ReduceLROnPlateau(trainer.optimizer, 0.5, 0, threshold=0.9)
        return trainer

    first, second, whole = plateau([Interrupt(), Checkpoint(tmp_path)]), plateau([]), plateau([])
    first.fit(text_batches(), text_batches(), steps=9, evaluate_every=3)
    assert [record["step"] for record in first.history.valid] == [3]
    resume(second, tmp_path)
    for trainer in (second, whole):
        trainer.fit(text_batches(), text_batches(), steps=9, evaluate_every=3)
    assert [r["loss"] for r in second.history.valid] == [r["loss"] for r in whole.history.valid]
    assert second.history.loss == whole.history.loss


def test_what_is_interrupted_before_a_first_validation_leaves_its_latest_weights(tmp_path):
    trainer = new_trainer(callbacks=[Interrupt(), Checkpoint(tmp_path)])
    trainer.fit(text_batches(), text_batches(), steps=9)
    assert trainer.history.valid == []
    for own, saved in zip(
        trainer.model.parameters(), nn.load(tmp_path / "model.safetensors").parameters(), strict=True
    ):
        np.testing.assert_array_equal(saved.data, own.data)


def test_ctrl_c_finishes_the_step_under_way_and_returns():
    trainer = new_trainer(callbacks=[Interrupt()])
    usual = signal.getsignal(signal.SIGINT)
    history = trainer.fit(text_batches(), steps=30)
    assert (trainer.stop, history.steps) == ("interrupted", 4)
    assert signal.getsignal(signal.SIGINT) is usual


def test_a_second_ctrl_c_in_the_same_step_raises_an_error_as_usual():
    class Impatient(Callback):
        def on_step_end(self, trainer):
            signal.raise_signal(signal.SIGINT)
            signal.raise_signal(signal.SIGINT)

    trainer = new_trainer(callbacks=[Impatient()])
    before = signal.signal(signal.SIGINT, signal.default_int_handler)  # a background job of a shell ignores SIGINT
    try:
        with pytest.raises(KeyboardInterrupt):
            trainer.fit(text_batches(), steps=30)
        assert trainer.steps_done <= 1 and signal.getsignal(signal.SIGINT) is signal.default_int_handler
    finally:
        signal.signal(signal.SIGINT, before)


def test_the_seconds_of_a_validation_include_the_validation():
    class Slow:
        def __iter__(self):
            time.sleep(0.05)
            return iter(text_batches())

    history = new_trainer().fit(text_batches(), Slow(), steps=2, evaluate_every=1)
    first, second = (record["seconds"] for record in history.valid)
    assert first >= 0.05 and second >= first + 0.05


def test_early_stopping_ends_training_when_validation_gets_no_better():
    trainer = new_trainer(lr=0.5, callbacks=[EarlyStopping(patience=2)], total=1000)
    trainer.fit(text_batches(), text_batches(), steps=1000, evaluate_every=3)
    losses = [record["loss"] for record in trainer.history.valid]
    assert trainer.steps_done < 1000
    assert trainer.stop.startswith("no better validation loss in 2 tries")
    assert min(losses) == losses[-3]


def test_a_checkpoint_cut_short_is_refused_and_nothing_changes(tmp_path):
    trainer = new_trainer(callbacks=[Checkpoint(tmp_path)])
    trainer.fit(text_batches(), steps=2)
    path = tmp_path / "checkpoint.safetensors"
    path.write_bytes(path.read_bytes()[:-10])
    fresh = new_trainer()
    before = weights(fresh)
    with pytest.raises(ValueError, match=r"checkpoint\.safetensors is not a complete safetensors file"):
        resume(fresh, tmp_path)
    assert fresh.steps_done == 0
    for name, value in before.items():
        np.testing.assert_array_equal(fresh.model.state_dict()[name], value)


def test_a_checkpoint_of_another_model_is_refused_and_nothing_changes(tmp_path):
    new = new_trainer(callbacks=[Checkpoint(tmp_path)])
    new.fit(text_batches(), steps=2)
    model = nn.models.LanguageModel(7, 5, 9, 2, dropout=0.3, rng=1)
    other = nn.Trainer(model, nn.CrossEntropyLoss(), nn.optim.Adam(model.parameters()))
    before = weights(other)
    with pytest.raises(ValueError, match=r"lstm\.weight_ih_l0: expected shape \(36, 5\), got \(24, 5\)"):
        resume(other, tmp_path)
    for name, value in before.items():
        np.testing.assert_array_equal(model.state_dict()[name], value)


def test_a_plain_model_file_is_not_taken_for_a_checkpoint(tmp_path):
    trainer = new_trainer()
    nn.save(trainer.model, tmp_path / "checkpoint.safetensors")
    with pytest.raises(ValueError, match="is not a training checkpoint"):
        resume(trainer, tmp_path)


def test_a_failed_write_leaves_the_old_file(tmp_path, monkeypatch):
    trainer = new_trainer(callbacks=[Checkpoint(tmp_path)])
    trainer.fit(text_batches(), steps=2)
    old = (tmp_path / "checkpoint.safetensors").read_bytes()

    def full_disk(*_):
        raise OSError("no space left on device")

    monkeypatch.setattr("os.fsync", full_disk)
    with pytest.raises(OSError, match="no space"):
        trainer.fit(text_batches(), steps=4)
    assert (tmp_path / "checkpoint.safetensors").read_bytes() == old
    assert sorted(p.name for p in tmp_path.iterdir()) == ["checkpoint.safetensors", "model.safetensors"]


def test_fit_says_what_it_needs():
    trainer = new_trainer()
    with pytest.raises(TypeError, match="either epochs or steps"):
        trainer.fit(text_batches())
    with pytest.raises(ValueError, match="no batches"):
        trainer.fit([], steps=1)
    with pytest.raises(ValueError, match="steps must be an integer of 1 or more"):
        trainer.fit(text_batches(), steps=0)
    other = nn.Linear(2, 2)
    with pytest.raises(ValueError, match="none of the model's parameters"):
        nn.Trainer(trainer.model, nn.CrossEntropyLoss(), nn.optim.SGD(other.parameters(), lr=0.1))


def test_history_can_be_written_as_json():
    trainer = new_trainer()
    trainer.fit(text_batches(), text_batches(), steps=4, evaluate_every=2)
    again = nn.History(**json.loads(json.dumps(trainer.history.to_dict())))
    assert again == trainer.history
    assert again.best["loss"] == min(record["loss"] for record in again.valid)


def test_evaluate_carries_the_state_and_weighs_every_target_the_same():
    model = nn.models.LanguageModel(7, 5, 6, rng=0).to(dtype=np.float64)
    tokens = TOKENS[:90]
    whole = [(tokens[None, :-1], tokens[None, 1:])]
    pieces = nn.data.TextBatches(tokens, batch_size=1, seq_len=13)  # 89 targets: the last piece is shorter
    criterion = nn.CrossEntropyLoss()
    assert nn.evaluate(model, criterion, pieces) == pytest.approx(nn.evaluate(model, criterion, whole), rel=1e-12)
    assert model.training and criterion.training
    with pytest.raises(ValueError, match="at least one target"):
        nn.evaluate(model, criterion, [])


def test_fit_does_not_start_an_epoch_of_valid_before_the_first_validation():
    class Loader:
        """Draws the order of an epoch as soon as ``iter`` is called. Its length is not known."""

        epochs = 0

        def __iter__(self):
            self.epochs += 1
            return iter([(np.ones((4, 2), np.float32), np.ones((4, 1), np.float32))])

        def __len__(self):
            raise TypeError("the length is not known")

    model, valid = nn.Linear(2, 1, rng=0), Loader()
    trainer = nn.Trainer(model, nn.MSELoss(), nn.optim.SGD(model.parameters(), lr=0.1))
    trainer.fit(list(valid), valid, steps=2, evaluate_every=1)
    assert valid.epochs == 1 + 2
