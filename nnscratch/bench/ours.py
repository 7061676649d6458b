"""The jobs, written with this package as a user would write them."""

from __future__ import annotations

import itertools
import time
from collections.abc import Callable
from typing import Any

import numpy as np

import nnscratch as nn
from nnscratch import backend
from nnscratch.generation import generate_ids


def build(job: Any, variant: str) -> dict[str, Any]:
    """Build `job`: see worker.py. The variant "cuda" trains a language model on a GPU."""
    if variant == "cuda":
        model = transformer_lm(job) if job.kind == "transformer" else language_model(job)
        steps = enqueued(job, trainer_for(job, model.to("cuda"), adam, 5.0))
        return {"version": nn.__version__, "gpu": backend.devices()[1], "product": product_on_gpu(), **steps}
    return {"version": nn.__version__, "numpy": np.__version__, **globals()[job.kind](job)}


def product_on_gpu(size: int = 4096, repeats: int = 20) -> float:
    """Measure the FLOP/s of a product of square float32 matrices. No model reaches more FLOP/s on this GPU."""
    xp = backend.module_for("cuda")
    a, out = xp.ones((size, size), dtype=np.float32), xp.empty((size, size), dtype=np.float32)
    best = float("inf")
    for _ in range(repeats):
        backend.synchronize("cuda")
        start = time.perf_counter()
        xp.matmul(a, a, out=out)
        backend.synchronize("cuda")
        best = min(best, time.perf_counter() - start)
    return 2 * size**3 / best


def trainer_for(job: Any, model: Any, optimizer: Any, max_norm: float | None, threads: int = 1) -> nn.Trainer:
    model.load_state_dict(job.weights())
    criterion, optimizer = nn.CrossEntropyLoss(), optimizer(model.parameters())
    return nn.Trainer(model, criterion, optimizer, max_norm=max_norm, threads=threads)


def training(job: Any, model: Any, optimizer: Any, max_norm: float | None, threads: int = 1) -> dict[str, Callable]:
    trainer, batches = trainer_for(job, model, optimizer, max_norm, threads), itertools.cycle(job.batches())
    return {"step": lambda: trainer.train_step(*next(batches))}


def enqueued(job: Any, trainer: nn.Trainer) -> dict[str, Callable]:
    """Return ``step``, which does not wait for the GPU, and ``finish``, which waits and returns the new losses.

    `Trainer.fit` does not wait for the GPU either.
    """
    batches, read = itertools.cycle(job.batches()), 0

    def finish() -> list[float]:
        nonlocal read
        losses = trainer.history.loss
        new, read = losses[read:], len(losses)
        return new

    return {"step": lambda: trainer.enqueue_step(*next(batches)), "finish": finish}


def adam(parameters: Any) -> Any:
    return nn.optim.Adam(parameters, lr=1e-3)


def language_model(job: Any) -> Any:
    s = job.sizes
    model = nn.models.LanguageModel(s["vocab"], s["embed"], s["hidden"], s["layers"], rng=0)
    model.load_state_dict(job.weights())
    return model


def lm(job: Any) -> dict[str, Callable]:
    return training(job, language_model(job), adam, 5.0)


def mlp(job: Any) -> dict[str, Callable]:
    model = nn.Sequential(nn.Linear(784, 256), nn.ReLU(), nn.Linear(256, 256), nn.ReLU(), nn.Linear(256, 10))
    return training(job, model, lambda parameters: nn.optim.SGD(parameters, lr=0.1), None)


def cnn(job: Any) -> dict[str, Callable]:
    model = nn.Sequential(
        *(nn.Conv2d(1, 16, 3, padding=1), nn.ReLU(), nn.MaxPool2d(2)),
        *(nn.Conv2d(16, 32, 3, padding=1), nn.ReLU(), nn.MaxPool2d(2)),
        *(nn.Flatten(), nn.Linear(32 * 7 * 7, 10)),
    )
    return training(job, model, adam, None, threads=backend.num_threads())


def transformer(job: Any) -> dict[str, Callable]:
    return training(job, transformer_lm(job), adam, 5.0, threads=backend.num_threads())


def transformer_lm(job: Any) -> Any:
    s = job.sizes
    return nn.models.TransformerLM(s["vocab"], s["embed"], s["heads"], s["layers"], context=s["steps"], rng=0)


class NoTokenizer:
    vocabulary = ()


def generate(job: Any) -> dict[str, Callable]:
    model, rng = language_model(job).eval(), np.random.default_rng(0)
    prompt = np.arange(5)

    def step() -> int:
        return list(generate_ids(model, NoTokenizer(), prompt, job.per, temperature=0.8, rng=rng))[-1]

    def check() -> list[float]:
        state, largest = None, []
        for token in prompt:
            logits, state = model(np.array([[token]]), state)
            largest.append(float(logits.max()))
        return largest

    return {"step": step, "check": check}


def evaluate(job: Any) -> dict[str, Callable]:
    model, s = language_model(job), job.sizes
    batches = nn.data.TextBatches(job.text(), s["batch"], s["steps"])
    step = lambda: nn.evaluate(model, nn.CrossEntropyLoss(), batches)  # noqa: E731
    return {"step": step, "check": lambda: [step()]}


def gradcheck(job: Any) -> dict[str, Callable]:
    model = language_model(job).to(dtype=np.float64)
    (tokens, targets), *_ = job.batches(1)

    def step() -> None:
        report = nn.gradcheck.check_gradients(model, tokens, loss=nn.CrossEntropyLoss(), targets=targets)
        if not report.ok:
            raise ArithmeticError(str(report))

    def check() -> list[float]:
        step()
        logits, _ = model.eval()(tokens)
        model.train()
        return [nn.CrossEntropyLoss()(logits, targets)]

    return {"step": step, "check": check}
