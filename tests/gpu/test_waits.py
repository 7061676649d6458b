"""No training step waits for the GPU, except to sort tokens in CuPy 13; counted on the stand-in for every model.

A wait is a read of a value: ``x.get()``, ``float(x)``, ``x.item()``, ``if x > 0``, ``x[mask]``.
"""

import numpy as np
import pytest
import strict_cupy

import nnscratch as nn

RNG = np.random.default_rng(0)
LENGTHS = np.array([5, 2, 3])


def ids(*shape, below=6):
    return RNG.integers(0, below, shape)


def floats(*shape):
    return RNG.normal(size=shape).astype(np.float32)


def encoder():
    return nn.models.TransformerEncoder(6, 8, 2, 2, 5, rng=1)


PAIRS = ids(3, 5), ids(3, 4)
STEPS = {  # name: (the model, the inputs, the targets)
    "MLP": (lambda: nn.models.MLP([5, 6, 3], rng=1), floats(4, 5), ids(4, below=3)),
    "images": (
        lambda: nn.Sequential(
            nn.Conv2d(1, 4, 3, padding=1, rng=1), nn.GroupNorm(2, 4), nn.GELU(), nn.MaxPool2d(2),
            nn.Upsample(scale_factor=2), nn.AvgPool2d(4), nn.Flatten(), nn.Linear(16, 3, rng=2),
        ),
        floats(4, 1, 8, 8),
        ids(4, below=3),
    ),
    "LSTM": (lambda: nn.models.LanguageModel(6, 4, 5, 2, dropout=0.3, rng=1), ids(3, 5), ids(3, 5)),
    "GRU": (lambda: nn.models.LanguageModel(6, 5, 5, tie_weights=True, cell="gru", rng=1), ids(3, 5), ids(3, 5)),
    "RNN": (lambda: nn.models.LanguageModel(6, 4, 5, cell="rnn", rng=1), ids(3, 5), ids(3, 5)),
    "Transformer": (lambda: nn.models.TransformerLM(6, 8, 2, 2, 16, dropout=0.3, rng=1), ids(3, 5), ids(3, 5)),
    "masked": (lambda: nn.models.MaskedLM(encoder(), rng=1), ids(3, 5), ids(3, 5)),
    "masked, lengths": (lambda: nn.models.MaskedLM(encoder(), rng=1), (ids(3, 5), LENGTHS), ids(3, 5)),
    "mean": (lambda: nn.models.TextClassifier(encoder(), 3, rng=1), (ids(3, 5), LENGTHS), ids(3, below=3)),
    "last": (lambda: nn.models.TextClassifier(encoder(), 3, "last", rng=1), (ids(3, 5), LENGTHS), ids(3, below=3)),
    "words": (lambda: nn.models.WordVectors(6, 4, rng=1), (ids(5, 2), ids(5, 3)), floats(5, 3) > 0),
    **{
        f"Seq2Seq, {connection}": (
            lambda connection=connection: nn.models.Seq2Seq(6, 6, 4, 5, 2, connection=connection, rng=1),
            (*PAIRS, LENGTHS),
            ids(3, 4),
        )
        for connection in ("attention", "peek", "state")
    },
    "TransformerSeq2Seq": (lambda: nn.models.TransformerSeq2Seq(6, 6, 8, 2, 2, rng=1), (*PAIRS, LENGTHS), ids(3, 4)),
}  # fmt: skip


def trainer_of(name, **settings):
    build, inputs, targets = STEPS[name]
    model = build().to("cuda")
    if targets.dtype == bool:
        targets, criterion = targets.astype(np.float32), nn.BCEWithLogitsLoss()
    else:
        criterion = nn.CrossEntropyLoss()
    optimizer = nn.optim.Adam(model.parameters(), lr=0.01)
    schedule = nn.optim.lr_scheduler.LinearWarmup(optimizer, 10)
    return nn.Trainer(model, criterion, optimizer, scheduler=schedule, **settings), inputs, targets


@pytest.mark.parametrize("name", STEPS)
def test_a_step_does_not_wait(name):
    with strict_cupy.installed():
        trainer, inputs, targets = trainer_of(name, max_norm=1.0)
        with strict_cupy.counted() as counts:
            for _ in range(3):
                trainer.enqueue_step(inputs, targets)
        assert counts.waits == counts.sorts
        with strict_cupy.counted() as counts:
            assert len(trainer.history.loss) == 3
        assert counts.waits == 1


@pytest.mark.parametrize(
    "settings", [{"accumulate": 2, "clip_value": 0.1}, {"accumulate": 3, "max_norm": 1.0}], ids=str
)
@pytest.mark.parametrize("name", ["MLP", "LSTM"])
def test_a_run_that_accumulates_batches_waits_once_at_the_end(name, settings):
    with strict_cupy.installed():
        trainer, inputs, targets = trainer_of(name, **settings)
        with strict_cupy.counted() as counts:
            trainer.fit([(inputs, targets)] * 6, steps=4)
    assert counts.waits == counts.sorts + 1


def test_inputs_that_a_model_reads_on_the_cpu_stay_there_and_the_others_move():
    class Reads(nn.Module):
        inputs_on_cpu = (1,)

        def __init__(self):
            self.linear = nn.Linear(5, 3, rng=1)

        def forward(self, x, n):
            assert isinstance(x, strict_cupy.ndarray) and isinstance(n, np.ndarray)
            return self.linear(x)

        def backward(self, dy):
            self.linear.backward(dy)

    with strict_cupy.installed():
        model = Reads().to("cuda")
        trainer = nn.Trainer(model, nn.MSELoss(), nn.optim.SGD(model.parameters(), lr=0.1))
        batch = (floats(4, 5), np.arange(4)), floats(4, 3)
        trainer.train_step(*batch)
        nn.evaluate(model, nn.MSELoss(), [batch])
