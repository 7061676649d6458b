"""Asynchronous steps on a GPU leave the same results as steps on the CPU, whatever happens during the run.

On the CPU, each loss is read before its step is made. Hypothesis draws the scenario: which batch diverges, when a loss
is read, when a checkpoint is saved, when the model is validated, the schedule, and when training ends.
"""

import tempfile

import numpy as np
import pytest
import strict_cupy
from hypothesis import given, settings
from hypothesis import strategies as st

import nnscratch as nn
from nnscratch import backend
from nnscratch.training import Callback, Checkpoint, TrainingDiverged, resume

STEPS = 90  # more than AsyncSteps.MAX_STEPS
OPTIMIZERS = {
    "SGD": lambda p: nn.optim.SGD(p, lr=0.1),
    "AdamW": lambda p: nn.optim.AdamW([{"params": p[:1]}, {"params": p[1:], "weight_decay": 0.0, "lr": 0.01}], lr=0.02),
    "RMSprop": lambda p: nn.optim.RMSprop(p, lr=0.01, momentum=0.5, centered=True),
}
SCHEDULES = {
    "none": lambda optimizer: None,
    "warmup": lambda optimizer: nn.optim.lr_scheduler.LinearWarmup(optimizer, 30),
    "plateau": lambda optimizer: nn.optim.lr_scheduler.ReduceLROnPlateau(optimizer, 0.5, 0),
}
MODELS = {
    "dropout": lambda: [nn.Linear(5, 6, rng=1), nn.Tanh(), nn.Dropout(0.3, rng=2), nn.Linear(6, 3, rng=3)],
    "batch norm": lambda: [nn.Linear(5, 6, rng=1), nn.BatchNorm1d(6), nn.ReLU(), nn.Linear(6, 3, rng=3)],
}
steps = st.integers(1, STEPS)
scenarios = st.fixed_dictionaries(
    {
        "model": st.sampled_from(sorted(MODELS)),
        "optimizer": st.sampled_from(sorted(OPTIMIZERS)),
        "schedule": st.sampled_from(sorted(SCHEDULES)),
        "max_norm": st.sampled_from([None, 0.1, 5.0]),
        "broken": st.none() | st.integers(0, 10),
        "looks": st.sets(steps, max_size=3),
        "saves": steps,
        "validates": steps,
        "ends": st.integers(1, 2 * STEPS),
    }
)


class Watch(Callback):
    def __init__(self, looks, ends):
        self.looks, self.ends, self.seen = looks, ends, []

    def on_step_end(self, trainer):
        if trainer.steps_done in self.looks:
            self.seen.append((trainer.steps_done, trainer.history.steps, trainer.history.loss[-1]))
        if trainer.steps_done == self.ends:
            trainer.stop = "enough"


def what_is_left(device, drawn, folder):
    """Return messages, counts and values of a run, and of one resumed from its checkpoint with good batches."""
    rng = np.random.default_rng(0)
    good = [(rng.normal(size=(4, 5)), rng.normal(size=(4, 3))) for _ in range(11)]
    batches = [(x * np.inf if k == drawn["broken"] else x, y) for k, (x, y) in enumerate(good)]
    said, numbers = [], []
    for run in range(2):
        model = nn.Sequential(*MODELS[drawn["model"]]()).to(device, dtype=np.float64)
        optimizer = OPTIMIZERS[drawn["optimizer"]](model.parameters())
        schedule = SCHEDULES[drawn["schedule"]](optimizer)
        watch = Watch(drawn["looks"], drawn["ends"])
        callbacks = [watch, Checkpoint(folder, every=drawn["saves"])]
        trainer = nn.Trainer(
            model, nn.MSELoss(), optimizer, scheduler=schedule, max_norm=drawn["max_norm"], callbacks=callbacks
        )
        if run:
            resume(trainer, folder)
        try:
            trainer.fit(good if run else batches, good, steps=STEPS + 20 * run, evaluate_every=drawn["validates"])
        except TrainingDiverged as error:
            said.append(str(error))
        history = trainer.history
        said.append((trainer.steps_done, optimizer.steps, history.steps, len(history.valid)))
        numbers += [history.loss, history.norm, history.lr, [record["loss"] for record in history.valid]]
        numbers += [[group["lr"] for group in optimizer.param_groups], watch.seen]
        numbers += [*(backend.to_numpy(p.data) for p in model.parameters())]
    return said, numbers


@pytest.mark.filterwarnings("ignore:invalid value:RuntimeWarning")
@settings(max_examples=5)
@given(scenarios)
def test_whatever_happens_the_same_is_left_on_both_devices(drawn):
    with tempfile.TemporaryDirectory() as folder:
        said, numbers = what_is_left("cpu", drawn, folder)
    with strict_cupy.installed(), tempfile.TemporaryDirectory() as folder:
        said_there, numbers_there = what_is_left("cuda", drawn, folder)
    assert said_there == said
    for a, b in zip(numbers, numbers_there, strict=True):
        np.testing.assert_allclose(b, a, rtol=1e-7, atol=1e-9)
