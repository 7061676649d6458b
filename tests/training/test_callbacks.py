"""Checkpoints: refused before a step is made, not after an epoch."""

import numpy as np
import pytest

import nnscratch as nn
from nnscratch.serialization import read_arrays, write_arrays
from nnscratch.training import Checkpoint, resume

BATCHES = [(np.ones((4, 2), dtype=np.float32), np.ones((4, 1), dtype=np.float32))]


def new_trainer(folder):
    model = nn.Linear(2, 1, rng=0)
    optimizer = nn.optim.SGD(model.parameters(), lr=0.1)
    return nn.Trainer(model, nn.MSELoss(), optimizer, callbacks=[Checkpoint(folder)])


def test_a_checkpoints_folder_that_is_not_there_is_named_before_training(tmp_path):
    trainer = new_trainer(tmp_path / "nowhere")
    with pytest.raises(FileNotFoundError, match="Checkpoint: there is no folder .*nowhere"):
        trainer.fit(BATCHES, steps=5)
    assert trainer.step == 0


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
