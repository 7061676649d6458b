"""Checkpoints and the progress bar. A checkpoint that does not fit is refused before the first step."""

import numpy as np
import pytest

import nnscratch as nn
from nnscratch.serialization import read_arrays, write_arrays
from nnscratch.training import Checkpoint, resume

BATCHES = [(np.ones((4, 2), dtype=np.float32), np.ones((4, 1), dtype=np.float32))]


def new_trainer(folder, optimizer=nn.optim.SGD, scheduler=None):
    model = nn.Linear(2, 1, rng=0)
    optimizer = optimizer(model.parameters(), lr=0.1)
    scheduler = None if scheduler is None else scheduler(optimizer)
    return nn.Trainer(model, nn.MSELoss(), optimizer, scheduler=scheduler, callbacks=[Checkpoint(folder)])


def test_a_checkpoints_folder_that_is_not_there_is_named_before_training(tmp_path):
    trainer = new_trainer(tmp_path / "nowhere")
    with pytest.raises(FileNotFoundError, match="Checkpoint: there is no folder .*nowhere"):
        trainer.fit(BATCHES, steps=5)
    assert trainer.steps_done == 0


@pytest.mark.parametrize("lost", ["step", "optimizer", "scheduler", "rng", "epoch_rng", "history", "callbacks"])
def test_a_checkpoint_that_lacks_something_is_refused_and_nothing_is_changed(tmp_path, lost):
    new_trainer(tmp_path).fit(BATCHES, steps=3)
    arrays, header = read_arrays(tmp_path / "checkpoint.safetensors")
    del header[lost]
    write_arrays(tmp_path / "checkpoint.safetensors", arrays, header)
    trainer = new_trainer(tmp_path)
    before = trainer.model.weight.data.copy()
    with pytest.raises(ValueError, match="checkpoint.safetensors is not a training checkpoint of nnscratch"):
        resume(trainer, tmp_path)
    np.testing.assert_array_equal(trainer.model.weight.data, before)


def falling_rate(optimizer):
    return nn.optim.lr_scheduler.StepLR(optimizer, 1)


@pytest.mark.parametrize(
    ("wrote", "reads", "message"),
    [
        ((nn.optim.Adam, None), (nn.optim.SGD, None), r"another optimizer, which keeps \[.*\]; SGD keeps \[\]"),
        ((nn.optim.SGD, falling_rate), (nn.optim.SGD, nn.optim.lr_scheduler.ReduceLROnPlateau), "OnPlateau expects"),
        ((nn.optim.SGD, None), (nn.optim.SGD, falling_rate), "has no scheduler; the trainer has a StepLR"),
    ],
    ids=["another optimiser", "another scheduler", "no scheduler"],
)
def test_a_checkpoint_of_another_trainer_is_refused_and_nothing_is_changed(tmp_path, wrote, reads, message):
    new_trainer(tmp_path, *wrote).fit(BATCHES, steps=3)
    trainer = new_trainer(tmp_path, *reads)
    before = {name: array.copy() for name, array in trainer.model.state_dict().items()}
    with pytest.raises(ValueError, match=f"checkpoint.safetensors: .*{message}"):
        resume(trainer, tmp_path)
    for name, array in trainer.model.state_dict().items():
        np.testing.assert_array_equal(array, before[name])
    assert (trainer.steps_done, trainer.history.steps, trainer.optimizer.lr) == (0, 0, 0.1)


def test_a_trainer_that_refuses_a_state_has_changed_nothing(tmp_path):
    """The state is of the same optimizer, but its averages have other shapes. The model is loaded before them."""
    other, trainer = new_trainer(tmp_path, nn.optim.Adam), new_trainer(tmp_path, nn.optim.Adam)
    other.fit(BATCHES, steps=3)
    arrays, header = other.state_dict()
    arrays["optimizer.exp_avg.weight"] = np.zeros((5, 5), dtype=np.float32)
    before = trainer.model.weight.data.copy()
    with pytest.raises(ValueError, match="the shapes of exp_avg are not those of this optimizer's parameters"):
        trainer.load_state_dict(arrays, header)
    np.testing.assert_array_equal(trainer.model.weight.data, before)
    assert trainer.steps_done == trainer.optimizer.steps == 0


def test_what_a_trainer_cannot_use_is_refused_by_name(tmp_path):
    model = nn.Linear(2, 1, rng=0)
    with pytest.raises(TypeError, match="Trainer: scheduler must be an instance of LRScheduler, got 5"):
        nn.Trainer(model, nn.MSELoss(), nn.optim.SGD(model.parameters(), lr=0.1), scheduler=5)
    with pytest.raises(ValueError, match="epochs must be a finite number, 0 or more, got inf"):
        new_trainer(tmp_path).fit(BATCHES, epochs=float("inf"))


def test_a_step_that_was_broken_off_is_not_saved(tmp_path):
    class BrokenOff(nn.optim.SGD):
        def step(self):
            super().step()
            if self.steps == 5:
                raise KeyboardInterrupt

    trainer = new_trainer(tmp_path, BrokenOff)
    trainer.callbacks = [Checkpoint(tmp_path, every=2)]
    with pytest.raises(KeyboardInterrupt):
        trainer.fit(BATCHES, steps=9)
    whole, later = new_trainer(tmp_path), new_trainer(tmp_path)
    whole.callbacks = []
    whole.fit(BATCHES, steps=4)
    resume(later, tmp_path)
    assert later.steps_done == later.optimizer.steps == 4
    np.testing.assert_array_equal(later.model.weight.data, whole.model.weight.data)


def test_the_progress_bar_counts_every_step_also_those_it_did_not_stop_to_show(tmp_path, capsys):
    trainer = new_trainer(tmp_path)
    trainer.callbacks = [nn.training.ProgressBar()]
    trainer.fit(BATCHES, BATCHES, steps=30, evaluate_every=12)
    shown = capsys.readouterr().err
    assert [f"{n}/30" in shown for n in (0, 12, 24, 30)] == [True] * 4  # the start, each validation, the end
    assert "13/30" not in shown  # stderr is not a terminal, so few lines are shown
    assert "step     12" in shown and "(best)" in shown
    assert "targets/s" in shown and "tok/s" not in shown  # only a language model has tokens


def test_an_error_in_one_callback_at_the_end_does_not_keep_the_others_from_ending(tmp_path):
    class Broken(nn.training.Callback):
        def on_step_end(self, trainer):
            if trainer.steps_done == 3:
                raise ZeroDivisionError("in a step")

        def on_fit_end(self, trainer):
            raise OSError("no space left on the device of the log")

    model = nn.Linear(2, 1, rng=0)
    callbacks = [Checkpoint(tmp_path / "a"), Broken(), Broken(), Checkpoint(tmp_path / "b")]
    for callback in callbacks[::3]:
        callback.folder.mkdir()
    trainer = nn.Trainer(model, nn.MSELoss(), nn.optim.SGD(model.parameters(), lr=0.1), callbacks=callbacks)
    with pytest.raises(OSError, match="no space left") as raised:
        trainer.fit([(np.ones((4, 2), dtype=np.float32), np.ones((4, 1), dtype=np.float32))], steps=5)
    assert (tmp_path / "a/checkpoint.safetensors").exists() and (tmp_path / "b/checkpoint.safetensors").exists()
    second = raised.value  # the traceback shows this error, and the errors before it
    assert isinstance(second.__context__, OSError) and isinstance(second.__context__.__context__, ZeroDivisionError)


@pytest.mark.parametrize(("entry", "message"), [
    ({"seconds": float("nan")}, "history.seconds must be a finite number"),
    ({"seconds": 10**400}, "history.seconds must be a finite number"),
    ({"valid": [{"step": 1, "epoch": 1.0, "loss": None, "seconds": 1.0}]}, "losses in history.valid must be floats"),
    ({"valid": [{"step": float("inf"), "epoch": 1.0, "loss": 1.0, "seconds": 1.0}]}, "history.valid must be a finite"),
])  # fmt: skip
def test_a_history_of_impossible_numbers_is_refused(entry, message):
    model = nn.Linear(2, 1, rng=0)
    trainer = nn.Trainer(model, nn.MSELoss(), nn.optim.SGD(model.parameters(), lr=0.1))
    arrays, header = trainer.state_dict()
    with pytest.raises(ValueError, match=message):
        trainer.load_state_dict(arrays, header | {"history": header["history"] | entry})


@pytest.mark.parametrize(("arrays", "header"), [(None, {}), ({}, None), ([], [])])
def test_a_state_of_a_trainer_is_two_dicts(arrays, header):
    model = nn.Linear(2, 1, rng=0)
    trainer = nn.Trainer(model, nn.MSELoss(), nn.optim.SGD(model.parameters(), lr=0.1))
    with pytest.raises(TypeError, match="arrays and header must be dicts"):
        trainer.load_state_dict(arrays, header)
