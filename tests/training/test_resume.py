"""A resumed run equals one that never stopped, wherever it stopped. A checkpoint that does not fit is refused."""

import numpy as np
import pytest

import nnscratch as nn
from nnscratch.serialization import read_arrays, write_arrays
from nnscratch.training import Checkpoint, resume

X = np.random.default_rng(0).normal(size=(12, 3))
Y = np.random.default_rng(1).integers(0, 2, 12)
STEPS = 12  # three epochs of four batches
STOPS = [1, 3, 4, 5, 8, 11]  # in an epoch, at its end, and in the next one


def add_noise(x, rng):
    return x + rng.normal(size=x.shape)


def new_run(folder, kind, callbacks=True):
    """Return a trainer and its batches, as a program that is started again makes them."""
    rng = np.random.default_rng(5)
    shared = rng if kind == "a shared generator" else 6
    model = nn.Sequential(nn.Linear(3, 4, rng=2), nn.Dropout(0.5, rng=shared), nn.Linear(4, 2, rng=3))
    model.to(dtype=np.float64)
    batches = nn.data.Batches(X, Y, 3, rng=rng, transform=add_noise if kind == "a transform that draws" else None)
    trainer = nn.Trainer(
        model,
        nn.CrossEntropyLoss(),
        nn.optim.Adam(model.parameters(), lr=0.01),
        callbacks=[Checkpoint(folder, every=1)] if callbacks else [],
    )
    return trainer, batches


@pytest.mark.parametrize("stop", STOPS)
@pytest.mark.parametrize("kind", ["shuffled batches", "a transform that draws", "a shared generator"])
def test_a_resumed_run_equals_one_that_never_stopped(tmp_path, kind, stop):
    straight, batches = new_run(tmp_path, kind, callbacks=False)
    straight.fit(batches, steps=STEPS)
    first, batches = new_run(tmp_path, kind)
    first.fit(batches, steps=stop)
    later, batches = new_run(tmp_path, kind)
    resume(later, tmp_path)
    later.fit(batches, steps=STEPS)
    assert later.history.loss == straight.history.loss
    for one, other in zip(later.model.parameters(), straight.model.parameters(), strict=True):
        np.testing.assert_array_equal(one.data, other.data)


@pytest.mark.parametrize("kind", [np.random.MT19937, np.random.Philox, np.random.SFC64, np.random.PCG64DXSM])
def test_every_kind_of_generator_of_numpy_resumes(tmp_path, kind):
    """The states of some kinds hold arrays, which JSON cannot store."""

    def new_run(folder=None):
        model = nn.Sequential(nn.Linear(3, 2, rng=2), nn.Dropout(0.5, rng=np.random.Generator(kind(6))))
        model.to(dtype=np.float64)
        batches = nn.data.Batches(X, Y, 3, rng=np.random.Generator(kind(7)))
        optimizer = nn.optim.SGD(model.parameters(), lr=0.1)
        callbacks = [] if folder is None else [Checkpoint(folder)]
        return nn.Trainer(model, nn.CrossEntropyLoss(), optimizer, callbacks=callbacks), batches

    straight, batches = new_run()
    straight.fit(batches, steps=STEPS)
    first, batches = new_run(tmp_path)
    first.fit(batches, steps=6)
    later, batches = new_run()
    resume(later, tmp_path)
    later.fit(batches, steps=STEPS)
    assert later.history.loss == straight.history.loss


def test_batches_without_a_generator_cannot_continue_an_epoch_of_batches_with_one(tmp_path):
    first, batches = new_run(tmp_path, "shuffled batches")
    first.fit(batches, steps=5)
    later, _ = new_run(tmp_path, "shuffled batches", callbacks=False)
    resume(later, tmp_path)
    with pytest.raises(ValueError, match="give fit the same batches"):
        later.fit([(X[:3], Y[:3])] * 4, steps=STEPS)
    assert later.steps_done == 5


def test_the_state_of_a_callback_is_loaded_only_into_one_that_has_a_state(tmp_path):
    first, batches = new_run(tmp_path, "shuffled batches")
    first.callbacks[0].state = {"best": 3}
    first.fit(batches, steps=1)
    later, _ = new_run(tmp_path, "shuffled batches")
    resume(later, tmp_path)
    assert not hasattr(later.callbacks[0], "state")
    later.callbacks[0].state = None
    resume(later, tmp_path)
    assert later.callbacks[0].state == {"best": 3}


def test_validation_batches_that_draw_continue_after_a_resume(tmp_path):
    def new_valid():
        return nn.data.Batches(X, Y, 3, rng=8, transform=add_noise)

    straight, batches = new_run(tmp_path, "shuffled batches", callbacks=False)
    straight.fit(batches, new_valid(), steps=STEPS)
    first, batches = new_run(tmp_path, "shuffled batches")
    first.fit(batches, new_valid(), steps=4)
    later, batches = new_run(tmp_path, "shuffled batches")
    resume(later, tmp_path)
    later.fit(batches, new_valid(), steps=STEPS)
    assert [record["loss"] for record in later.history.valid] == [record["loss"] for record in straight.history.valid]


@pytest.mark.parametrize("stop", [3, 4])
@pytest.mark.parametrize("kind", ["shuffled batches", "a transform that draws", "a shared generator"])
def test_fit_called_twice_equals_fit_called_once(tmp_path, kind, stop):
    straight, batches = new_run(tmp_path, kind, callbacks=False)
    straight.fit(batches, steps=STEPS)
    twice, batches = new_run(tmp_path, kind, callbacks=False)
    twice.fit(batches, steps=stop)
    twice.fit(batches, steps=STEPS)
    assert twice.history.loss == straight.history.loss


def test_batches_resumed_twice_without_a_step_between_lose_nothing(tmp_path):
    straight, batches = new_run(tmp_path, "a transform that draws", callbacks=False)
    straight.fit(batches, steps=STEPS)
    first, batches = new_run(tmp_path, "a transform that draws")
    first.fit(batches, steps=4)
    second, _ = new_run(tmp_path, "a transform that draws")
    resume(second, tmp_path)
    arrays, header = second.state_dict()
    write_arrays(tmp_path / "checkpoint.safetensors", arrays, header)  # saved before fit was called
    third, batches = new_run(tmp_path, "a transform that draws")
    resume(third, tmp_path)
    third.fit(batches, steps=STEPS)
    assert third.history.loss == straight.history.loss


class Reordered(nn.Module):
    """Two layers of one shape, made in either order."""

    def __init__(self, names):
        for number, name in enumerate(names):
            setattr(self, name, nn.Linear(2, 2, rng=number))

    def forward(self, x):
        return self.b(self.a(x))

    def backward(self, dy):
        return self.a.backward(self.b.backward(dy))


def test_moments_find_their_parameter_by_name(tmp_path):
    batches = [(np.ones((2, 2), "f"), np.full((2, 2), 3, "f"))]
    trainers = []
    for names in ("ab", "ba"):
        model = Reordered(names)
        optimizer = nn.optim.Adam(model.parameters())
        trainers.append(nn.Trainer(model, nn.MSELoss(), optimizer, callbacks=[Checkpoint(tmp_path)]))
    first, later = trainers
    first.fit(batches, steps=3)
    resume(later, tmp_path)
    for name in ("a", "b"):
        moments = []
        for trainer in trainers:
            k = [id(p) for p in trainer.optimizer.parameters].index(id(getattr(trainer.model, name).weight))
            moments.append(trainer.optimizer.state["exp_avg"][k])
        np.testing.assert_array_equal(*moments)


def test_a_checkpoint_with_numbered_moments_and_the_history_in_its_header_is_read(tmp_path):
    """The form of older checkpoints."""
    first, batches = new_run(tmp_path, "shuffled batches")
    first.fit(batches, steps=5)
    arrays, header = first.state_dict()
    names = [name for name, _ in first.model.named_parameters()]
    for moment in first.optimizer.moments:
        for k, name in enumerate(names):
            arrays[f"optimizer.{moment}.{k}"] = arrays.pop(f"optimizer.{moment}.{name}")
    for name in ("loss", "lr", "norm"):
        header["history"][name] = arrays.pop(f"history.{name}").tolist()
    del header["batches_rng"]
    write_arrays(tmp_path / "checkpoint.safetensors", arrays, header)
    later, batches = new_run(tmp_path, "shuffled batches", callbacks=False)
    resume(later, tmp_path)
    assert later.history.loss == first.history.loss
    first.fit(batches, steps=7)
    later.fit(batches, steps=7)
    assert later.history.loss == first.history.loss


def first_group(header):
    return header["optimizer"]["param_groups"][0]


VALID = {"step": 4, "epoch": 1.0, "loss": 0.7, "seconds": 0.1}
WRONG = {
    "a step that is no number": lambda arrays, header: header.update(step="5"),
    "a negative step": lambda arrays, header: header.update(step=-1),
    "a step that is too large": lambda arrays, header: header.update(step=1.5),
    "a history of two lengths": lambda arrays, header: arrays.update({"history.lr": np.zeros(2)}),
    "a history that is a list": lambda arrays, header: header.update(history=[1, 2]),
    "validations that are numbers": lambda arrays, header: header["history"].update(valid=[1.0]),
    "a validation without a loss": lambda arrays, header: header["history"].update(valid=[{"step": 1}]),
    "a validation loss that is a text": lambda arrays, header: header["history"].update(valid=[VALID | {"loss": "1"}]),
    "a time that is no number": lambda arrays, header: header["history"].update(seconds=None),
    "losses that are booleans": lambda arrays, header: arrays.update({"history.loss": np.zeros(5, bool)}),
    "a state of the batches that is empty": lambda arrays, header: header.update(epoch_rng={}),
    "a state of the batches that is a number": lambda arrays, header: header.update(batches_rng=3),
    "a state of the validation of no kind": lambda arrays, header: header.update(valid_rng={"bit_generator": "seed"}),
    "a generator's state that is no dict": lambda arrays, header: header.update(rng=[7]),
    "a generator's state of another kind": lambda arrays, header: header.update(rng=[{"bit_generator": "MT19937"}]),
    "an optimizer that is a text": lambda arrays, header: header.update(optimizer="Adam"),
    "a learning rate that no float holds": lambda arrays, header: first_group(header).update(lr=10**400),
    "moments of another model": lambda arrays, header: arrays.update(
        {"optimizer.exp_avg.other": arrays.pop("optimizer.exp_avg.0.weight")}
    ),
}


@pytest.mark.parametrize("name", WRONG)
def test_a_checkpoint_that_cannot_be_right_is_refused_and_changes_nothing(tmp_path, name):
    first, batches = new_run(tmp_path, "shuffled batches")
    first.fit(batches, steps=5)
    arrays, header = read_arrays(tmp_path / "checkpoint.safetensors")
    WRONG[name](arrays, header)
    write_arrays(tmp_path / "checkpoint.safetensors", arrays, header)
    later, _ = new_run(tmp_path, "shuffled batches", callbacks=False)
    before = [p.data.copy() for p in later.model.parameters()]
    states = [str(rng.bit_generator.state) for rng in nn.training.checkpoint.generators(later.model)]
    with pytest.raises(ValueError, match=r"checkpoint\.safetensors"):
        resume(later, tmp_path)
    for parameter, old in zip(later.model.parameters(), before, strict=True):
        np.testing.assert_array_equal(parameter.data, old)
    assert [str(rng.bit_generator.state) for rng in nn.training.checkpoint.generators(later.model)] == states
    assert later.steps_done == later.optimizer.steps == later.history.steps == 0


def test_batches_that_can_be_iterated_only_once_do_not_hang():
    class Once:
        def __init__(self):
            self.items = iter([(X, Y)] * 2)

        def __len__(self):
            return 2

        def __iter__(self):
            return self.items

    trainer, _ = new_run(None, "shuffled batches", callbacks=False)
    with pytest.raises(ValueError, match="gave no batch"):
        trainer.fit(Once(), epochs=2)
    assert trainer.steps_done == 2


def test_a_flipped_bit_anywhere_in_a_checkpoint_is_refused(tmp_path):
    first, batches = new_run(tmp_path, "shuffled batches")
    first.fit(batches, steps=5)
    path = tmp_path / "checkpoint.safetensors"
    whole = path.read_bytes()
    later, _ = new_run(tmp_path, "shuffled batches", callbacks=False)
    rng = np.random.default_rng(0)
    for position in [len(whole) - 1, *rng.integers(0, len(whole), 200).tolist()]:
        damaged = bytearray(whole)
        damaged[position] ^= 1 << int(rng.integers(8))
        path.write_bytes(damaged)
        with pytest.raises(ValueError, match=r"checkpoint\.safetensors"):
            resume(later, tmp_path)
    path.write_bytes(whole)
    resume(later, tmp_path)
    assert later.steps_done == 5


def test_a_million_steps_are_saved_as_arrays(tmp_path):
    trainer, batches = new_run(tmp_path, "shuffled batches")
    trainer.fit(batches, steps=1)
    for name in ("loss", "lr", "norm"):
        getattr(trainer.recorded, name).extend([0.1] * 999_999)
    arrays, header = trainer.state_dict()
    assert arrays["history.loss"].shape == (1_000_000,)
    assert len(str(header)) < 10_000
