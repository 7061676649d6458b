"""The jobs of the benchmark: sizes, initial weights, data.

The weights have PyTorch's names and layouts. This file draws them, so all libraries start from the same weights and
must compute the same first losses.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import Any

import numpy as np

LEARNING_RATE, MAX_NORM, MLP_RATE = 1e-3, 5.0, 0.1
TEMPERATURE = 0.8
PROMPT = 5


@dataclass(frozen=True)
class Job:
    """One job. A step has `per` parts, for example 100 tokens. The reports give the time of one part.

    Examples
    --------
    >>> job = JOBS["c"]
    >>> job.sizes["hidden"], job.tokens
    (128, 2048)
    """

    key: str
    title: str
    kind: str
    sizes: dict[str, int] = field(default_factory=dict)
    unit: str = "ms a step"
    per: int = 1

    @property
    def tokens(self) -> int:
        """The number of tokens in one batch."""
        return self.sizes["batch"] * self.sizes["steps"]

    @property
    def flops(self) -> int:
        """The floating-point operations in the matrix products of one training step of a language model.

        For each token, each weight needs one multiplication and one addition in the forward pass, and two
        multiplications and two additions in the backward pass. In each layer of a Transformer, the query of a token is
        also multiplied with the keys of all tokens of its sequence, and the attention weights with the values.
        """
        s = self.sizes
        if self.kind == "transformer":
            D, T = s["embed"], s["steps"]
            return 6 * (s["layers"] * (12 * D * D + 2 * T * D) + s["vocab"] * D) * self.tokens
        inputs = [s["embed"], *[s["hidden"]] * (s["layers"] - 1)]
        weights = sum(4 * s["hidden"] * (D + s["hidden"]) for D in inputs) + s["vocab"] * s["hidden"]
        return 6 * weights * self.tokens

    def weights(self) -> dict[str, np.ndarray]:
        """Return the initial values of all parameters, float32, under PyTorch's names."""
        values = {}
        for k, (name, (shape, scale)) in enumerate(parameter_shapes(self).items()):
            rng = np.random.default_rng([7, k])
            if scale is None:
                values[name] = np.full(shape, 1 if name.endswith("weight") else 0, dtype=np.float32)
            else:
                values[name] = ((2 * rng.random(shape, dtype=np.float32) - 1) * np.float32(scale)).astype(np.float32)
        return values

    def batches(self, count: int = 4) -> list[tuple[np.ndarray, np.ndarray]]:
        """Return inputs and targets: integers (batch, steps) for a language model, floats and labels for images."""
        rng, s = np.random.default_rng(11), self.sizes
        if "vocab" in s:
            draw = [rng.integers(0, s["vocab"], (s["batch"], s["steps"] + 1)) for _ in range(count)]
            return [(tokens[:, :-1].copy(), tokens[:, 1:].copy()) for tokens in draw]
        shape = (s["batch"], 1, 28, 28) if self.kind == "cnn" else (s["batch"], 784)
        return [(rng.random(shape, dtype=np.float32), rng.integers(0, 10, s["batch"])) for _ in range(count)]

    def text(self) -> np.ndarray:
        """Return a text for evaluation. It fills the number of batches that ``sizes["batches"]`` states."""
        s = self.sizes
        return np.random.default_rng(13).integers(0, s["vocab"], s["batch"] * s["steps"] * s["batches"] + 1)


def parameter_shapes(job: Job) -> dict[str, tuple[tuple[int, ...], float | None]]:
    """Return the shape of every parameter, and the bound of the uniform distribution of its initial values.

    If the bound is None, a weight is filled with ones, and a bias with zeros.
    """
    s = job.sizes
    if job.kind == "mlp":
        sizes = (784, 256, 256, 10)
        return {
            f"{2 * k}.{name}": (shape, 1 / math.sqrt(n))
            for k, (n, m) in enumerate(zip(sizes, sizes[1:], strict=False))
            for name, shape in (("weight", (m, n)), ("bias", (m,)))
        }
    if job.kind == "cnn":
        layers = {"0": ((16, 1, 3, 3), 9), "3": ((32, 16, 3, 3), 144), "7": ((10, 32 * 7 * 7), 32 * 7 * 7)}
        return {
            f"{k}.{name}": (shape, 1 / math.sqrt(n))
            for k, (weight, n) in layers.items()
            for name, shape in (("weight", weight), ("bias", weight[:1]))
        }
    V, D = s["vocab"], s["embed"]
    if job.kind == "transformer":
        found: dict[str, Any] = {"embedding.weight": ((V, D), 0.05), "position.weight": ((s["steps"], D), 0.05)}
        for k in range(s["layers"]):
            for name, shape, scale in (
                ("norm1.weight", (D,), None),
                ("norm1.bias", (D,), None),
                ("self_attn.in_proj_weight", (3 * D, D), 0.05),
                ("self_attn.in_proj_bias", (3 * D,), None),
                ("self_attn.out_proj.weight", (D, D), 0.05),
                ("self_attn.out_proj.bias", (D,), None),
                ("norm2.weight", (D,), None),
                ("norm2.bias", (D,), None),
                ("linear1.weight", (4 * D, D), 0.05),
                ("linear1.bias", (4 * D,), None),
                ("linear2.weight", (D, 4 * D), 0.05),
                ("linear2.bias", (D,), None),
            ):
                found[f"blocks.{k}.{name}"] = (shape, scale)
        return found | {"norm.weight": ((D,), None), "norm.bias": ((D,), None), "linear.weight": ((V, D), 0.05)}
    H = s["hidden"]
    bound = 1 / math.sqrt(H)
    found = {"embedding.weight": ((V, D), 1.0)}
    for k in range(s["layers"]):
        found[f"lstm.weight_ih_l{k}"] = ((4 * H, D if k == 0 else H), bound)
        found[f"lstm.weight_hh_l{k}"] = ((4 * H, H), bound)
        found[f"lstm.bias_ih_l{k}"] = ((4 * H,), bound)
        found[f"lstm.bias_hh_l{k}"] = ((4 * H,), bound)
    return found | {"linear.weight": ((V, H), bound), "linear.bias": ((V,), bound)}


def lm(vocab: int, embed: int, hidden: int, layers: int, batch: int, steps: int, **more: int) -> dict[str, int]:
    return {"vocab": vocab, "embed": embed, "hidden": hidden, "layers": layers, "batch": batch, "steps": steps, **more}


WORDS, CHARACTERS = (10_000, 256, 512, 2), (65, 64, 128, 1)
GENERATED = 100

JOBS = {
    job.key: job
    for job in (
        Job("a", "train: words, 10,000/256/512x2, batch 20, 35 steps", "lm", lm(*WORDS, 20, 35)),
        Job("b", "train: words, 10,000/650/650x2, batch 20, 35 steps", "lm", lm(10_000, 650, 650, 2, 20, 35)),
        Job("c", "train: characters, 65/64/128x1, batch 32, 64 steps", "lm", lm(*CHARACTERS, 32, 64)),
        Job("d", "train: characters, 81/128/256x2, batch 50, 50 steps", "lm", lm(81, 128, 256, 2, 50, 50)),
        Job("e", "train: MLP 784-256-256-10, batch 64, SGD", "mlp", {"batch": 64}),
        Job("f", "train: CNN on 28x28, 2 convolutions, batch 64, Adam", "cnn", {"batch": 64}),
        Job("ga", "generate, model (a)", "generate", lm(*WORDS, 1, 1), "ms a token", GENERATED),
        Job("gc", "generate, model (c)", "generate", lm(*CHARACTERS, 1, 1), "ms a token", GENERATED),
        Job("h", "evaluate a text of 7,000 words, model (a)", "evaluate", lm(*WORDS, 20, 35, batches=10), "ms a text"),
        Job("i", "check every gradient, 11/6/8x2, float64", "gradcheck", lm(11, 6, 8, 2, 2, 5), "ms a check"),
        Job(
            "j",
            "train: Transformer, 81/144x4, 4 heads, batch 50, 50 steps",
            "transformer",
            {"vocab": 81, "embed": 144, "heads": 4, "layers": 4, "batch": 50, "steps": 50},
        ),
        Job("k", "import", "import", unit="ms"),
    )
}

GPU_JOBS = {
    job.key: job
    for job in (
        JOBS["b"],
        Job("m", "train: words, 10,000/1500/1500x2, batch 20, 35 steps", "lm", lm(10_000, 1500, 1500, 2, 20, 35)),
        Job("n", "train: words, 10,000/1500/1500x2, batch 128, 35 steps", "lm", lm(10_000, 1500, 1500, 2, 128, 35)),
        Job("o", "train: words, 50,257/1024/1024x2, batch 128, 128 steps", "lm", lm(50_257, 1024, 1024, 2, 128, 128)),
        Job(
            "p",
            "train: Transformer, 10,000/512x6, 8 heads, batch 64, 256 steps",
            "transformer",
            {"vocab": 10_000, "embed": 512, "heads": 8, "layers": 6, "batch": 64, "steps": 256},
        ),
    )
}


def select(text: str | None, jobs: dict[str, Job] = JOBS) -> list[Job]:
    """Return the jobs that a text such as ``"a,g"`` names. The letter g selects ga and gc. None selects all jobs.

    Examples
    --------
    >>> [job.key for job in select("e,g")]
    ['e', 'ga', 'gc']
    """
    if text is None:
        return list(jobs.values())
    found = []
    for key in filter(None, (part.strip() for part in text.split(","))):
        matches = [job for job in jobs.values() if job.key == key or job.key[0] == key]
        if not matches:
            raise ValueError(f"there is no job {key!r}; the jobs are {', '.join(jobs)}")
        found += [job for job in matches if job not in found]
    if not found:
        raise ValueError(f"expected at least one job, got {text!r}; the jobs are {', '.join(jobs)}")
    return found
