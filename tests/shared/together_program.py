"""The program that tests/training/test_together.py starts with mpiexec. Every rank runs it.

    mpiexec -n 2 python together_program.py CHECK [ARGUMENT ...] [and CHECK [ARGUMENT ...] ...]

Each check compares training on several ranks with training in one process, which rank 0 does.
"""

import functools
import os
import random
import shutil
import signal
import sys
import threading
from pathlib import Path

import numpy as np
import strict_cupy
from mpi4py import MPI

import nnscratch as nn
from nnscratch.training.checkpoint import generators
from nnscratch.training.ranks import check_number_of_ranks

WORLD = MPI.COMM_WORLD
RNG = np.random.default_rng(0)
TOKENS = RNG.integers(0, 11, 5 * 43 + 1)
IMAGES, LABELS = RNG.normal(size=(23, 1, 8, 8)), RNG.integers(0, 3, 23)
IGNORING = RNG.integers(0, 3, 23)
IGNORING[[0, 1, 2, 3, 8, 9, 15]] = -1  # all targets of the first rows of two batches


def lanes():
    return nn.data.TextBatches(TOKENS, batch_size=5, seq_len=7)


def one_lane():
    return nn.data.TextBatches(TOKENS[:60], batch_size=1, seq_len=7)


def lanes_of_two_sizes():
    return [batch for n in (5, 4) for batch in nn.data.TextBatches(TOKENS[:60], batch_size=n, seq_len=3)]


def shuffled(labels=LABELS, rank=0):
    return nn.data.Batches(IMAGES, labels, batch_size=8, rng=3 + rank)  # batches of 8, 8 and 7 rows


def language_model(cell, **settings):
    return nn.models.LanguageModel(11, 6, 8, 2, cell=cell, **settings)


def cnn(rng):
    convolution = nn.Conv2d(1, 4, 3, padding=1, rng=rng)
    return nn.Sequential(convolution, nn.ReLU(), nn.MaxPool2d(2), nn.Flatten(), nn.Linear(64, 3, rng=rng))


def mlp(rng):
    return nn.Sequential(nn.Flatten(), nn.models.MLP([64, 16, 3], rng=rng))


def with_batch_norm(rng):
    return nn.Sequential(nn.Flatten(), nn.Linear(64, 8, rng=rng), nn.BatchNorm1d(8), nn.Linear(8, 3, rng=rng))


def large_vocabulary(rng):
    return nn.models.LanguageModel(500, 6, 8, 1, rng=rng)


SGD = functools.partial(nn.optim.SGD, lr=0.1, momentum=0.9)
ADAM = functools.partial(nn.optim.Adam, lr=1e-2)
MODELS = {  # name: model, optimizer, batches, settings of the Trainer, tolerance
    "LSTM": (lambda rng: language_model("lstm", rng=rng), ADAM, lanes, {"max_norm": 0.5}, 1e-12),
    "GRU": (lambda rng: language_model("gru", rng=rng), SGD, lanes, {"clip_value": 0.01}, 1e-12),
    "tied": (lambda rng: nn.models.LanguageModel(11, 8, 8, 1, tie_weights=True, rng=rng), SGD, lanes, {}, 1e-12),
    "rows of an embedding": (large_vocabulary, SGD, lanes, {"max_norm": 0.5}, 1e-12),
    "accumulate": (lambda rng: language_model("lstm", rng=rng), SGD, lanes, {"accumulate": 2}, 1e-12),
    "one lane": (lambda rng: language_model("lstm", rng=rng), SGD, one_lane, {}, 1e-12),
    "class weights": (mlp, SGD, shuffled, {"accumulate": 2}, 1e-12),
    "another batch size": (lambda rng: language_model("rnn", rng=rng), SGD, lanes_of_two_sizes, {}, 1e-12),
    "CNN": (cnn, ADAM, shuffled, {}, 1e-12),
    "MLP": (mlp, functools.partial(nn.optim.AdamW, lr=1e-2), shuffled, {"accumulate": 2}, 1e-12),
    "Transformer": (
        lambda rng: nn.models.TransformerLM(11, 8, 2, 1, context=7, rng=rng),
        ADAM,  # it enlarges the rounding errors in the gradients of the key biases, which are zero
        lanes,
        {"max_norm": 1.0},
        1e-9,
    ),
    "ignored targets": (mlp, SGD, functools.partial(shuffled, IGNORING), {"accumulate": 2}, 1e-12),
    "fewer rows than ranks": (mlp, SGD, lambda: [(IMAGES[:1], LABELS[:1]), (IMAGES[1:], LABELS[1:])], {}, 1e-12),
}


NOT_OF_ONE_PROCESS = {
    "dropout": (lambda rng: language_model("lstm", dropout=0.5, rng=rng), ADAM, lanes, {}, 0),
    "BatchNorm": (with_batch_norm, SGD, shuffled, {}, 0),
}


def trainer_of(name, communicator, rng=0, callbacks=(), device="cpu"):
    build, optimizer, _, settings, _ = (MODELS | NOT_OF_ONE_PROCESS)[name]
    model = build(rng).to(device, dtype=np.float64)
    settings_of_loss = {"ignored targets": {"ignore_index": -1}, "class weights": {"weight": [0.2, 1.0, 3.0]}}
    criterion = nn.CrossEntropyLoss(**settings_of_loss.get(name, {}))
    optimizer = optimizer(model.parameters())
    schedule = nn.optim.lr_scheduler.CosineAnnealingLR(optimizer, T_max=40)
    settings = settings | {"scheduler": schedule, "callbacks": callbacks}
    return nn.Trainer(model, criterion, optimizer, communicator=communicator, **settings)


def assert_close(trainer, other, tolerance):
    for (name, p), q in zip(trainer.model.named_parameters(), other.model.parameters(), strict=True):
        assert np.abs(p.data - q.data).max() <= tolerance, (name, np.abs(p.data - q.data).max())
    np.testing.assert_allclose(trainer.history.loss, other.history.loss, rtol=1e-7)
    np.testing.assert_allclose(trainer.history.norm, other.history.norm, rtol=1e-6)
    for mine, theirs in zip(trainer.history.valid, other.history.valid, strict=True):
        np.testing.assert_allclose(mine["loss"], theirs["loss"], rtol=1e-7)


def assert_same_bits_on_all_ranks(trainer):
    bits = [p.data.tobytes() for p in trainer.model.parameters()]
    assert all(other == bits for other in WORLD.allgather(bits))
    losses = trainer.history.loss
    assert all(other == losses for other in WORLD.allgather(losses))


def check_same_result(steps, *names):
    """The weights, losses and validation of every model are those of a single process."""
    for name in names or MODELS:
        batches, tolerance = MODELS[name][2], MODELS[name][4]
        together = trainer_of(name, WORLD, rng=WORLD.rank)  # only rank 0 has the weights to begin with
        own = {} if batches is not shuffled else {"rank": WORLD.rank}  # and the order
        together.fit(batches(**own), batches(**own), steps=int(steps), evaluate_every=5)
        assert_same_bits_on_all_ranks(together)
        if WORLD.rank == 0:
            alone = trainer_of(name, None)
            alone.fit(batches(), batches(), steps=int(steps), evaluate_every=5)
            assert_close(together, alone, tolerance)


class InterruptedAt(nn.training.Callback):
    def __init__(self, step):
        self.step = step

    def on_step_end(self, trainer):
        if trainer.steps_done == self.step:
            trainer.stop = "interrupted"


def run_of(name, communicator, folder, steps, resumed=False):
    """Train until Ctrl-C after some steps, with checkpoints in a folder, from its checkpoint if `resumed`."""
    callbacks = [nn.training.Checkpoint(folder), InterruptedAt(steps)]
    trainer = trainer_of(name, communicator, callbacks=callbacks)
    if resumed:
        nn.training.resume(trainer, folder)
    batches = (MODELS | NOT_OF_ONE_PROCESS)[name][2]()
    trainer.fit(batches, batches, steps=20, evaluate_every=5)
    return trainer


def check_checkpoints(base, *names):
    """A run resumes on the same number of ranks bit for bit, and on another number with the same result."""
    for name in (name.replace("_", " ") for name in names):
        folders = {}
        for kind in ("whole", "alone", "here", "there"):
            folders[kind] = Path(base) / name / kind
            if WORLD.rank == 0:
                folders[kind].mkdir(parents=True)
        WORLD.Barrier()
        whole = run_of(name, WORLD, folders["whole"], 11)
        run_of(name, WORLD, folders["here"], 7)
        if WORLD.rank == 0:
            shutil.copy(folders["here"] / "checkpoint.safetensors", folders["alone"])
            alone = run_of(name, None, folders["alone"], 11, resumed=True)
            assert_close(alone, whole, 1e-12)
            run_of(name, None, folders["there"], 7)
        WORLD.Barrier()
        here = run_of(name, WORLD, folders["here"], 11, resumed=True)
        there = run_of(name, WORLD, folders["there"], 11, resumed=True)
        assert_close(here, whole, 0)
        assert_close(there, whole, 1e-12)
        assert_same_bits_on_all_ranks(there)


def check_dropout_and_batch_norm(base):
    """Each rank has masks of its own, and resumes with them. All ranks have the same running averages."""
    for name in ("dropout", "BatchNorm"):
        folder = Path(base) / name
        if WORLD.rank == 0:
            folder.mkdir()
        WORLD.Barrier()
        whole = run_of(name, WORLD, folder, 11)
        states = [rng.bit_generator.state for rng in generators(whole.model)]
        assert name != "dropout" or WORLD.allgather(states)[0] != WORLD.allgather(states)[-1]
        buffers = {key: a.tolist() for key, a in whole.model.named_buffers()}
        assert all(other == buffers for other in WORLD.allgather(buffers))
        run_of(name, WORLD, folder, 7)
        again = run_of(name, WORLD, folder, 11, resumed=True)
        assert_close(again, whole, 0)
        assert_same_bits_on_all_ranks(again)


def check_stop(base):
    """A wish to stop on one rank stops all ranks after the same step; the checkpoint has this step."""
    last = WORLD.size - 1

    class StopsOnOneRank(nn.training.Callback):
        def on_step_end(self, trainer):
            if trainer.rank == last and trainer.steps_done == 4:
                self.stop(trainer)

    class Asks(StopsOnOneRank):
        def stop(self, trainer):
            trainer.stop = "enough"

    class PressesCtrlC(StopsOnOneRank):
        def stop(self, trainer):
            signal.raise_signal(signal.SIGINT)

    for callback, reason in ((Asks(), "enough"), (PressesCtrlC(), "interrupted")):
        checkpoint = nn.training.Checkpoint(base)
        trainer = trainer_of("LSTM", WORLD, callbacks=[callback, checkpoint])
        history = trainer.fit(lanes(), steps=10)
        assert (trainer.stop, history.steps) == (reason, 4)
    nn.training.resume(trainer_of("LSTM", WORLD), base)


def check_gpus():
    """On the stand-in for CuPy, NCCL adds up the gradients; the result is that of one process on the CPU."""
    nccl = strict_cupy.NcclCommunicator
    nccl.exchange = staticmethod(lambda array: WORLD.Allreduce(MPI.IN_PLACE, array))
    with strict_cupy.installed():
        for name in ("LSTM", "fewer rows than ranks", "BatchNorm"):
            nccl.made.clear()
            trainers = trainer_of(name, WORLD, device="cuda"), trainer_of(name, WORLD)
            for trainer in trainers:
                batches = (MODELS | NOT_OF_ONE_PROCESS)[name][2]()
                trainer.fit(batches, batches, steps=4, evaluate_every=3)
            on_gpu, on_cpu = trainers
            assert (on_gpu.async_steps is None) == (name == "BatchNorm")
            assert nccl.made == [(WORLD.size, (1, 2, 3), WORLD.rank)]
            on_gpu.model.to("cpu")
            assert_close(on_gpu, on_cpu, 1e-12)
            assert_same_bits_on_all_ranks(on_gpu)
        waits = []
        for communicator in (None, WORLD):
            trainer = trainer_of("LSTM", communicator, device="cuda")
            trainer.enqueue_step(*lanes()[0])
            with strict_cupy.counted() as counts:
                trainer.enqueue_step(*lanes()[1])
            waits.append(counts.waits)
        assert waits[0] == waits[1]  # the sum adds no wait for the GPU


def check_different():
    """All ranks refuse to train if their settings differ."""
    trainer = trainer_of("MLP", WORLD)
    try:
        trainer.fit(shuffled(), steps=2 + WORLD.rank)
    except ValueError as error:
        assert f"total_steps differ between rank {WORLD.rank} ({2 + WORLD.rank})" in str(error)
    else:
        raise AssertionError("no error")


def check_divergence():
    """All ranks raise the same error, which names the batch, although only the first rank has the NaN."""
    images = IMAGES.copy()
    images[0] = np.nan
    trainer = trainer_of("MLP", WORLD)
    try:
        trainer.fit([(images, LABELS)], steps=3)
    except nn.training.TrainingDiverged as error:
        assert "the batch's inputs hold NaN" in str(error)
    else:
        raise AssertionError("no error")
    assert all(np.isfinite(p.data).all() for p in trainer.model.parameters())


def check_divergence_on_gpus(base):
    """The rank that reads its losses first ends all; the other one waits in the next sum."""

    class LooksOnOneRank(nn.training.Callback):
        def on_step_end(self, trainer):
            if trainer.rank == WORLD.size - 1 and trainer.steps_done == 3:
                trainer.history.loss  # noqa: B018

    nccl = strict_cupy.NcclCommunicator
    nccl.exchange = staticmethod(lambda array: WORLD.Allreduce(MPI.IN_PLACE, array))
    with strict_cupy.installed():
        checkpoint = nn.training.Checkpoint(base)
        trainer = trainer_of("MLP", WORLD, device="cuda", callbacks=[LooksOnOneRank(), checkpoint])
        trainer.accumulate = 1
        trainer.fit([(np.full_like(IMAGES, np.nan), LABELS)], steps=50)


def train_for_ever(base, callback=None):
    checkpoint = nn.training.Checkpoint(base, every=1)
    trainer = trainer_of("LSTM", WORLD, callbacks=[checkpoint, *([callback] if callback else [])])
    trainer.fit(lanes(), steps=10**9)


def check_error(base, step):
    """Train until the last rank raises an error."""

    class Fails(nn.training.Callback):
        def on_step_end(self, trainer):
            if trainer.rank == WORLD.size - 1 and trainer.steps_done == int(step):
                raise RuntimeError("the disk is full")

    train_for_ever(base, Fails())


def check_signal(base, number, step, rank):
    """Train until one rank sends itself a signal, such as SIGKILL, from another thread."""

    class Kills(nn.training.Callback):
        def on_step_end(self, trainer):
            if trainer.rank == int(rank) and trainer.steps_done == int(step):
                threading.Timer(random.random() / 100, os.kill, (os.getpid(), int(number))).start()

    train_for_ever(base, Kills())


if __name__ == "__main__":
    check_number_of_ranks()
    for words in " ".join(sys.argv[1:]).split(" and "):
        name, *arguments = words.split()
        globals()[f"check_{name}"](*arguments)
        if WORLD.rank == 0:
            print(name, "passed", flush=True)
