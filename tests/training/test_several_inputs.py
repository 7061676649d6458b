"""A model with several inputs is trained and measured with batches whose inputs are tuples."""

import numpy as np
import pytest
import strict_cupy

import nnscratch as nn
from nnscratch import backend
from nnscratch.training import Checkpoint, TrainingDiverged, resume

RNG = np.random.default_rng(0)
A, B, LENGTHS = RNG.normal(size=(10, 3)), RNG.normal(size=(10, 2)), RNG.integers(1, 5, 10)
Y = RNG.integers(0, 3, 10)


class TwoInputs(nn.Module):
    """Scores of two inputs, the second of which is divided by an integer."""

    def __init__(self):
        self.a, self.b = nn.Linear(3, 3, rng=1), nn.Linear(2, 3, rng=2)

    def forward(self, a, b, n):
        self.save_for_backward(n)
        return self.a(a) + self.b(b) / n[:, None]

    def backward(self, dy):
        (n,) = self.saved()
        return self.a.backward(dy), self.b.backward(dy / n[:, None]) / n[:, None], None


class Flat(nn.Module):
    """The same with one input, in which all numbers stand side by side."""

    def __init__(self):
        self.inner = TwoInputs()

    def forward(self, x):
        return self.inner(x[:, :3], x[:, 3:5], x[:, 5])

    def backward(self, dy):
        return self.inner.backward(dy)


def trainer_of(model, **options):
    model.to(dtype=np.float64)
    return nn.Trainer(model, nn.CrossEntropyLoss(), nn.optim.SGD(model.parameters(), lr=0.1), **options)


def batches():
    return nn.data.Batches((A, B, LENGTHS), Y, batch_size=4, rng=3)


def flat_batches():
    return nn.data.Batches(np.hstack([A, B, LENGTHS[:, None]]), Y, batch_size=4, rng=3)


@pytest.mark.parametrize("threads", [1, 2])
def test_it_learns_and_is_measured_as_a_model_with_one_input(threads):
    several, one = trainer_of(TwoInputs(), threads=threads, max_norm=1.0), trainer_of(Flat(), max_norm=1.0)
    several.fit(batches(), batches(), steps=7, evaluate_every=2)
    one.fit(flat_batches(), flat_batches(), steps=7, evaluate_every=2)
    np.testing.assert_allclose(several.history.loss, one.history.loss, rtol=1e-12)
    for ours, expected in zip(several.history.valid, one.history.valid, strict=True):
        assert ours["loss"] == pytest.approx(expected["loss"], rel=1e-12)


def test_on_a_gpu_the_steps_are_enqueued_and_give_the_same():
    here = trainer_of(TwoInputs())
    here.fit(batches(), batches(), steps=7)
    with strict_cupy.installed():
        there = trainer_of(TwoInputs().to("cuda"))
        there.fit(batches(), batches(), steps=7)
        assert there.async_steps is not None
        np.testing.assert_allclose(there.history.loss, here.history.loss, rtol=1e-9)
        assert there.history.valid[0]["loss"] == pytest.approx(here.history.valid[0]["loss"], rel=1e-9)
        assert backend.device_of(there.model.a.weight.data) == "cuda"


def test_a_stopped_run_is_resumed_bit_for_bit(tmp_path):
    whole = trainer_of(TwoInputs())
    whole.fit(batches(), steps=9)
    trainer_of(TwoInputs(), callbacks=[Checkpoint(tmp_path)]).fit(batches(), steps=4)
    second = trainer_of(TwoInputs())
    resume(second, tmp_path)
    second.fit(batches(), steps=9)
    assert second.history.loss == whole.history.loss


def test_a_recurrent_model_gets_its_inputs_and_its_state():
    class Gated(nn.Module):
        def __init__(self):
            self.lstm, self.out = nn.LSTM(3, 4, rng=0), nn.Linear(4, 3, rng=1)

        def init_hidden(self, batch_size):
            return tuple(np.zeros((1, batch_size, 4), dtype=self.out.weight.dtype) for _ in range(2))

        def forward(self, x, scale, state):
            self.save_for_backward(scale)
            h, state = self.lstm(x * scale, state)
            return self.out(h), state

        def backward(self, dy):
            (scale,) = self.saved()
            dx, _ = self.lstm.backward(self.out.backward(dy))
            return dx * scale, None

    x, scale, y = RNG.normal(size=(2, 5, 3)), np.full((2, 1, 1), 0.5), RNG.integers(0, 3, (2, 5))
    trainer = trainer_of(Gated())
    trainer.fit([((x, scale), y), ((x, scale), y)], [((x, scale), y)], epochs=2)
    assert trainer.history.loss[3] < trainer.history.loss[0] and trainer.hidden[0].shape == (1, 2, 4)


def test_what_is_not_finite_in_any_of_the_inputs_is_said():
    bad = B.copy()
    bad[2] = np.nan
    with pytest.raises(TrainingDiverged, match="at step 1: the batch's inputs hold NaN or infinity"):
        trainer_of(TwoInputs()).fit([((A, bad, LENGTHS), Y)], steps=1)
