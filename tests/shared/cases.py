"""Tables of every public layer, loss, optimiser and schedule: how it is built, and what PyTorch has for it.

Several suites read them: tests/test_gradients.py checks layers and losses against finite differences, tests/oracle/
test_every_case.py and test_every_optimizer.py check everything against PyTorch, tests/optim/test_every_optimizer.py
saves and restores, and tests/test_public_names.py says which public names are missing here. So a new layer is not done
before it has a case, and with its case it is checked both ways.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

import nnscratch as nn


@dataclass
class Case:
    """`build()` returns the module, `inputs(rng)` the arguments of forward, `peer(torch)` an equivalent in PyTorch.

    `peer` returns a torch module, which is given our state dict; or a function of another module of ours, just built,
    of the dictionary of our parameters as tensors, and of the inputs.
    """

    name: str
    build: Callable[[], nn.Module]
    inputs: Callable[[np.random.Generator], tuple]
    peer: Callable[[Any], Any]

    def __repr__(self) -> str:
        return self.name


def normal(*shape: int) -> Callable[[np.random.Generator], tuple]:
    return lambda rng: (rng.normal(size=shape),)


def distinct(*shape: int) -> Callable[[np.random.Generator], tuple]:
    """Return values at least 0.1 apart and away from 0, so that finite differences do not cross a kink."""
    size = int(np.prod(shape))
    return lambda rng: (0.1 * (rng.permutation(size).reshape(shape) - size // 2) + 0.05,)


def seen(module: nn.Module, rng_seed: int = 5) -> nn.Module:
    """Return `module` with random parameters and buffers instead of its initial ones and zeros."""
    rng = np.random.default_rng(rng_seed)
    for p in module.parameters():
        p.data[...] = rng.normal(size=p.shape)
    return module


def recurrent(kind: str, *states: tuple[int, ...]) -> list[Case]:
    """Return cases of a cell and of a bidirectional layer with two layers, with and without a state."""
    two = len(states) == 2

    def state(rng, shape):
        s = tuple(rng.normal(size=shape) for _ in states)
        return s if two else s[0]

    layer, cell = getattr(nn, kind), getattr(nn, f"{kind}Cell")
    return [
        Case(f"{kind}", lambda: layer(3, 4, 2, rng=1), lambda rng: (rng.normal(size=(2, 5, 3)), state(rng, (2, 2, 4))),
             lambda torch: getattr(torch.nn, kind)(3, 4, 2, batch_first=True)),
        Case(f"{kind}, both directions", lambda: layer(3, 4, bidirectional=True, rng=1),
             lambda rng: (rng.normal(size=(2, 5, 3)), state(rng, (2, 2, 4))),
             lambda torch: getattr(torch.nn, kind)(3, 4, batch_first=True, bidirectional=True)),
        Case(f"{kind}Cell", lambda: cell(3, 4, rng=1), lambda rng: (rng.normal(size=(2, 3)), state(rng, (2, 4))),
             lambda torch: getattr(torch.nn, f"{kind}Cell")(3, 4)),
    ]  # fmt: skip


def unrolled(kind: str, *states: tuple[int, ...]) -> Case:
    """Compare two unrolled cells with PyTorch's layer, with the same weights under PyTorch's names."""
    cell = getattr(nn, f"{kind}Cell")

    def inputs(rng):
        state = tuple(rng.normal(size=(2, 2, 4)) for _ in states)
        return rng.normal(size=(2, 5, 3)), state if len(states) == 2 else state[0]

    def peer(torch):
        theirs = getattr(torch.nn, kind)(3, 4, 2, batch_first=True)

        def run(ours, weights, x, state):
            renamed = {f"{name.split('.')[2]}_l{name.split('.')[1]}": weight for name, weight in weights.items()}
            return torch.func.functional_call(theirs, renamed, (x, state))

        return run

    return Case(f"Unrolled {kind}Cell", lambda: nn.Unrolled([cell(3, 4, rng=1), cell(4, 4, rng=2)]), inputs, peer)


def same_mask(torch: Any) -> Callable:
    """Return the equivalent of dropout: x times the mask that a layer with the same seed draws."""
    return lambda ours, weights, x: x * torch.tensor(ours(np.ones(tuple(x.shape))))


def causal_attention(torch: Any) -> Callable:
    theirs = torch.nn.MultiheadAttention(6, 2, batch_first=True)

    def attend(ours, weights, x):
        ahead = torch.ones(x.shape[1], x.shape[1], dtype=torch.bool).triu(1)
        return torch.func.functional_call(theirs, weights, (x, x, x), {"attn_mask": ahead})[0]

    return attend


def causal_block(**settings: Any) -> Callable:
    """Return the peer of a causal TransformerBlock(6, 2, 8, **settings), without dropout."""

    def peer(torch):
        activation = settings.get("activation", "gelu")
        if activation == "gelu_tanh":
            activation = torch.nn.GELU("tanh")
        options = {"norm_first": True} | settings | {"activation": activation, "batch_first": True}
        theirs = torch.nn.TransformerEncoderLayer(6, 2, 8, 0.0, **options)

        def run(ours, weights, x):
            ahead = torch.ones(x.shape[1], x.shape[1], dtype=torch.bool).triu(1)
            return torch.func.functional_call(theirs, weights, (x,), {"src_mask": ahead})

        return run

    return peer


def sinusoids(torch: Any) -> Callable:
    def add(ours, weights, x):
        t, exponent = torch.arange(x.shape[1]).double(), torch.arange(0, x.shape[2], 2).double() / x.shape[2]
        angles = t[:, None] / 10000**exponent
        pairs = torch.stack([angles.sin(), angles.cos()], dim=-1)  # (T, D/2, 2)
        return x + pairs.flatten(1)[:, : x.shape[2]]

    return add


def cross_attention(torch: Any) -> Callable:
    theirs = torch.nn.MultiheadAttention(6, 2, batch_first=True)
    return lambda ours, weights, x, memory: torch.func.functional_call(theirs, weights, (x, memory, memory))[0]


def decoder_block(**settings: Any) -> Callable:
    def peer(torch):
        options = {"norm_first": True, "activation": "gelu"} | settings
        theirs = torch.nn.TransformerDecoderLayer(6, 2, 8, 0.0, batch_first=True, **options)

        def run(ours, weights, x, memory):
            ahead = torch.ones(x.shape[1], x.shape[1], dtype=torch.bool).triu(1)
            return torch.func.functional_call(theirs, weights, (x, memory), {"tgt_mask": ahead})

        return run

    return peer


def x_and_memory(rng: np.random.Generator) -> tuple:
    return rng.normal(size=(2, 3, 6)), rng.normal(size=(2, 4, 6))


def low_rank_update(scale: float) -> Callable:
    """Return the equivalent of LoRA: a Linear layer with the weight W + scale * B A, where W and b are frozen."""

    def peer(torch):
        def run(ours, weights, x):
            for name in ("base.weight", "base.bias"):
                if name in weights:
                    weights[name].requires_grad_(False)
            W = weights["base.weight"] + scale * weights["lora_B"] @ weights["lora_A"]
            return torch.nn.functional.linear(x, W, weights.get("base.bias"))

        return run

    return peer


def projected(torch: Any) -> Callable:
    linear = torch.nn.functional.linear

    def run(ours, weights, x):
        shortcut = linear(x, weights["projection.weight"], weights["projection.bias"])
        return shortcut + torch.tanh(linear(x, weights["0.weight"], weights["0.bias"]))

    return run


LAYERS: dict[type, list[Case]] = {
    nn.Linear: [
        Case("Linear", lambda: nn.Linear(5, 3, rng=1), normal(2, 4, 5), lambda t: t.nn.Linear(5, 3)),
        Case("Linear, no bias", lambda: nn.Linear(5, 3, bias=False, rng=1), normal(2, 5),
             lambda t: t.nn.Linear(5, 3, bias=False)),
    ],
    nn.LoRA: [
        Case("LoRA", lambda: seen(nn.LoRA(nn.Linear(5, 3, rng=1), 2, rng=2)), normal(2, 4, 5), low_rank_update(1)),
        Case("LoRA, alpha=6", lambda: seen(nn.LoRA(nn.Linear(5, 3, bias=False, rng=1), 2, 6, rng=2)), normal(4, 5),
             low_rank_update(3)),
    ],
    nn.Embedding: [
        Case("Embedding", lambda: nn.Embedding(5, 3, rng=1), lambda rng: (rng.integers(0, 5, (4, 3)),),
             lambda t: t.nn.Embedding(5, 3)),
    ],
    nn.Sigmoid: [Case("Sigmoid", nn.Sigmoid, normal(3, 4), lambda t: t.nn.Sigmoid())],
    nn.Tanh: [Case("Tanh", nn.Tanh, normal(3, 4), lambda t: t.nn.Tanh())],
    nn.ReLU: [Case("ReLU", nn.ReLU, distinct(3, 4), lambda t: t.nn.ReLU())],
    nn.LeakyReLU: [
        Case("LeakyReLU", nn.LeakyReLU, distinct(3, 4), lambda t: t.nn.LeakyReLU()),
        Case("LeakyReLU(0.3)", lambda: nn.LeakyReLU(0.3), distinct(3, 4), lambda t: t.nn.LeakyReLU(0.3)),
    ],
    nn.ELU: [
        Case("ELU", nn.ELU, distinct(3, 4), lambda t: t.nn.ELU()),
        Case("ELU(1.7)", lambda: nn.ELU(1.7), distinct(3, 4), lambda t: t.nn.ELU(1.7)),
    ],
    nn.GELU: [
        Case("GELU", nn.GELU, normal(3, 4), lambda t: t.nn.GELU()),
        Case("GELU, tanh", lambda: nn.GELU("tanh"), normal(3, 4), lambda t: t.nn.GELU("tanh")),
    ],
    nn.SiLU: [Case("SiLU", nn.SiLU, normal(3, 4), lambda t: t.nn.SiLU())],
    nn.Softplus: [Case("Softplus", nn.Softplus, normal(3, 4), lambda t: t.nn.Softplus())],
    nn.Softmax: [Case("Softmax", nn.Softmax, normal(2, 3, 4), lambda t: t.nn.Softmax(dim=-1))],
    nn.LogSoftmax: [Case("LogSoftmax", nn.LogSoftmax, normal(2, 3, 4), lambda t: t.nn.LogSoftmax(dim=-1))],
    nn.Dropout: [Case("Dropout", lambda: nn.Dropout(0.4, rng=3), normal(4, 5), same_mask)],
    nn.VariationalDropout: [
        Case("VariationalDropout", lambda: nn.VariationalDropout(0.4, rng=3), normal(2, 3, 4), same_mask)
    ],
    nn.LayerNorm: [
        Case("LayerNorm", lambda: seen(nn.LayerNorm(5)), normal(2, 3, 5), lambda t: t.nn.LayerNorm(5)),
        Case("LayerNorm, large eps", lambda: seen(nn.LayerNorm(5, 0.5)), normal(3, 5),
             lambda t: t.nn.LayerNorm(5, 0.5)),
        Case("LayerNorm, no bias", lambda: seen(nn.LayerNorm(5, bias=False)), normal(3, 5),
             lambda t: t.nn.LayerNorm(5, bias=False)),
    ],
    nn.RMSNorm: [
        Case("RMSNorm", lambda: seen(nn.RMSNorm(5)), normal(2, 3, 5), lambda t: t.nn.RMSNorm(5)),
        Case("RMSNorm, large eps", lambda: seen(nn.RMSNorm(5, 0.5)), normal(3, 5), lambda t: t.nn.RMSNorm(5, 0.5)),
    ],
    nn.BatchNorm1d: [
        Case("BatchNorm1d", lambda: seen(nn.BatchNorm1d(3)), normal(5, 3), lambda t: t.nn.BatchNorm1d(3)),
        Case("BatchNorm1d over time", lambda: seen(nn.BatchNorm1d(3, momentum=0.4)), normal(2, 3, 4),
             lambda t: t.nn.BatchNorm1d(3, momentum=0.4)),
    ],
    nn.BatchNorm2d: [
        Case("BatchNorm2d", lambda: seen(nn.BatchNorm2d(3, eps=0.1)), normal(2, 3, 4, 2),
             lambda t: t.nn.BatchNorm2d(3, eps=0.1)),
    ],
    nn.GroupNorm: [
        Case("GroupNorm", lambda: seen(nn.GroupNorm(2, 6)), normal(2, 6, 3, 2), lambda t: t.nn.GroupNorm(2, 6)),
        Case("GroupNorm over sequences", lambda: seen(nn.GroupNorm(3, 3, 0.5)), normal(2, 3, 4),
             lambda t: t.nn.GroupNorm(3, 3, 0.5)),
        Case("GroupNorm, one group of vectors", lambda: seen(nn.GroupNorm(1, 4)), normal(3, 4),
             lambda t: t.nn.GroupNorm(1, 4)),
    ],
    nn.Conv1d: [
        Case("Conv1d", lambda: nn.Conv1d(2, 3, 3, rng=1), normal(2, 2, 6), lambda t: t.nn.Conv1d(2, 3, 3)),
        Case("Conv1d, all settings", lambda: nn.Conv1d(2, 3, 2, 2, 1, 3, bias=False, rng=1), normal(2, 2, 7),
             lambda t: t.nn.Conv1d(2, 3, 2, 2, 1, 3, bias=False)),
    ],
    nn.Conv2d: [
        Case("Conv2d", lambda: nn.Conv2d(2, 3, 3, rng=1), normal(2, 2, 5, 4), lambda t: t.nn.Conv2d(2, 3, 3)),
        Case("Conv2d, all settings", lambda: nn.Conv2d(2, 3, (2, 3), (2, 1), (1, 2), (1, 2), bias=False, rng=1),
             normal(2, 2, 5, 6), lambda t: t.nn.Conv2d(2, 3, (2, 3), (2, 1), (1, 2), (1, 2), bias=False)),
    ],
    nn.MaxPool2d: [
        Case("MaxPool2d", lambda: nn.MaxPool2d(2), distinct(2, 2, 4, 5), lambda t: t.nn.MaxPool2d(2)),
        Case("MaxPool2d, overlapping", lambda: nn.MaxPool2d((3, 2), (2, 1), 1), distinct(2, 2, 5, 4),
             lambda t: t.nn.MaxPool2d((3, 2), (2, 1), 1)),
    ],
    nn.AvgPool2d: [
        Case("AvgPool2d", lambda: nn.AvgPool2d(2), normal(2, 2, 4, 5), lambda t: t.nn.AvgPool2d(2)),
        Case("AvgPool2d, overlapping", lambda: nn.AvgPool2d((3, 2), (2, 1), 1), normal(2, 2, 5, 4),
             lambda t: t.nn.AvgPool2d((3, 2), (2, 1), 1)),
    ],
    nn.Upsample: [
        Case("Upsample", lambda: nn.Upsample(scale_factor=2), normal(2, 3, 4, 3),
             lambda t: t.nn.Upsample(scale_factor=2)),
        Case("Upsample of sequences", lambda: nn.Upsample(scale_factor=3), normal(2, 3, 4),
             lambda t: t.nn.Upsample(scale_factor=3)),
    ],
    nn.Flatten: [Case("Flatten", nn.Flatten, normal(2, 3, 4), lambda t: t.nn.Flatten())],
    nn.Sequential: [
        Case("Sequential", lambda: nn.Sequential(nn.Linear(3, 4, rng=1), nn.Tanh(), nn.Linear(4, 2, rng=2)),
             normal(5, 3), lambda t: t.nn.Sequential(t.nn.Linear(3, 4), t.nn.Tanh(), t.nn.Linear(4, 2))),
    ],
    nn.Residual: [
        Case("Residual", lambda: nn.Residual(nn.Tanh(), nn.Softplus()), normal(5, 3),
             lambda t: lambda ours, weights, x: x + t.nn.functional.softplus(t.tanh(x))),
        Case("Residual, projection",
             lambda: nn.Residual(nn.Linear(3, 2, rng=1), nn.Tanh(), projection=nn.Linear(3, 2, rng=2)), normal(5, 3),
             projected),
    ],
    nn.MultiheadAttention: [
        Case("MultiheadAttention", lambda: nn.MultiheadAttention(6, 2, causal=True, rng=1), normal(2, 4, 6),
             causal_attention)
    ],
    nn.TransformerBlock: [
        Case("TransformerBlock", lambda: nn.TransformerBlock(6, 2, 8, causal=True, rng=1), normal(2, 4, 6),
             causal_block()),
        *(
            Case(f"TransformerBlock {settings}",
                 lambda settings=settings: seen(nn.TransformerBlock(6, 2, 8, causal=True, rng=1, **settings)),
                 normal(2, 4, 6), causal_block(**settings))
            for settings in [
                {"activation": "gelu_tanh"}, {"norm_first": False}, {"bias": False},
                {"norm_first": False, "activation": "relu", "bias": False, "layer_norm_eps": 0.3},
            ]
        ),
    ],
    nn.CrossAttention: [
        Case("CrossAttention", lambda: seen(nn.CrossAttention(6, 2, rng=1)), x_and_memory, cross_attention)
    ],
    nn.TransformerDecoderBlock: [
        Case(f"TransformerDecoderBlock {settings}",
             lambda settings=settings: seen(nn.TransformerDecoderBlock(6, 2, 8, rng=1, **settings)), x_and_memory,
             decoder_block(**settings))
        for settings in [
            {}, {"norm_first": False}, {"bias": False},
            {"norm_first": False, "activation": "relu", "bias": False, "layer_norm_eps": 0.3},
        ]
    ],
    nn.PositionalEncoding: [
        Case("PositionalEncoding", nn.PositionalEncoding, normal(2, 4, 6), sinusoids),
        Case("PositionalEncoding, odd length", nn.PositionalEncoding, normal(2, 4, 5), sinusoids),
    ],
    nn.PositionalEmbedding: [
        Case("PositionalEmbedding", lambda: nn.PositionalEmbedding(5, 3, rng=1), normal(2, 4, 3),
             lambda t: lambda ours, weights, x: x + weights["weight"][: x.shape[1]]),
    ],
    nn.RNN: recurrent("RNN", ())[:2],
    nn.RNNCell: recurrent("RNN", ())[2:],
    nn.GRU: recurrent("GRU", ())[:2],
    nn.GRUCell: recurrent("GRU", ())[2:],
    nn.LSTM: recurrent("LSTM", (), ())[:2],
    nn.LSTMCell: recurrent("LSTM", (), ())[2:],
    nn.Unrolled: [unrolled("RNN", ()), unrolled("GRU", ()), unrolled("LSTM", (), ())],
}  # fmt: skip


def labels(*leading: int, classes: int = 4) -> Callable[[np.random.Generator], tuple]:
    """Return labels and scores at least 0.1 apart, so that no hinge is near its kink."""
    return lambda rng: (distinct(*leading, classes)(rng)[0], rng.integers(0, classes, leading))


def some_ignored(rng: np.random.Generator) -> tuple:
    x, t = labels(8)(rng)
    t[[0, 3]] = -100
    return x, t


def log_p_and_p(rng: np.random.Generator) -> tuple:
    x, t = rng.normal(size=(2, 5, 4))
    return nn.LogSoftmax()(x), nn.Softmax()(t) * [1, 1, 0, 1]


def two(*shape: int) -> Callable[[np.random.Generator], tuple]:
    return lambda rng: (*distinct(*shape)(rng), rng.normal(size=shape).round(1))


WEIGHT = [0.5, 2.0, 0.0, 3.0]


def cross_entropy(**settings: Any) -> Callable[[Any], Any]:
    def peer(torch):
        given = dict(settings)
        if "weight" in given:
            given["weight"] = torch.tensor(given["weight"], dtype=torch.float64)
        return torch.nn.CrossEntropyLoss(**given)

    return peer


LOSSES: dict[type, list[Case]] = {
    nn.MSELoss: [Case("MSELoss", nn.MSELoss, two(3, 4), lambda t: t.nn.MSELoss())],
    nn.HuberLoss: [
        Case("HuberLoss", nn.HuberLoss, two(3, 4), lambda t: t.nn.HuberLoss()),
        Case("HuberLoss(0.3)", lambda: nn.HuberLoss(0.3), two(3, 4), lambda t: t.nn.HuberLoss(delta=0.3)),
    ],
    nn.BCEWithLogitsLoss: [
        Case("BCEWithLogitsLoss", nn.BCEWithLogitsLoss, lambda rng: (rng.normal(size=(3, 4)), rng.random((3, 4))),
             lambda t: t.nn.BCEWithLogitsLoss()),
    ],
    nn.KLDivLoss: [Case("KLDivLoss", nn.KLDivLoss, log_p_and_p, lambda t: t.nn.KLDivLoss(reduction="batchmean"))],
    nn.MultiMarginLoss: [
        Case("MultiMarginLoss", nn.MultiMarginLoss, labels(6), lambda t: t.nn.MultiMarginLoss()),
        Case("MultiMarginLoss(0.33)", lambda: nn.MultiMarginLoss(0.33), labels(6),
             lambda t: t.nn.MultiMarginLoss(margin=0.33)),
    ],
    nn.CrossEntropyLoss: [
        Case("CrossEntropyLoss", nn.CrossEntropyLoss, labels(6), cross_entropy()),
        *(
            Case(f"CrossEntropyLoss {settings}", lambda settings=settings: nn.CrossEntropyLoss(**settings), inputs,
                 cross_entropy(**settings))
            for settings, inputs in [
                ({"label_smoothing": 0.3}, labels(6)),
                ({"ignore_index": -100}, some_ignored),
                ({"weight": WEIGHT}, labels(6)),
                ({"weight": WEIGHT, "label_smoothing": 0.3}, labels(6)),
                ({"weight": WEIGHT, "ignore_index": -100}, some_ignored),
                ({"weight": WEIGHT, "ignore_index": -100, "label_smoothing": 0.3}, some_ignored),
            ]
        ),
    ],
}  # fmt: skip

# The arguments of the optimisers, which are the same for PyTorch's class of the same name.
OPTIMIZERS: dict[type, list[dict[str, Any]]] = {
    nn.optim.SGD: [
        {"lr": 0.05}, {"lr": 0.01, "momentum": 0.9, "weight_decay": 0.05},
        {"lr": 0.01, "momentum": 0.9, "nesterov": True},
    ],
    nn.optim.Adagrad: [{}, {"lr": 0.1, "weight_decay": 0.1}, {"lr": 0.1, "eps": 0.1}],
    nn.optim.RMSprop: [
        {}, {"lr": 0.003, "alpha": 0.9, "eps": 1e-4}, {"weight_decay": 0.1}, {"lr": 0.002, "momentum": 0.9},
        {"lr": 0.003, "centered": True}, {"lr": 0.001, "momentum": 0.5, "centered": True, "weight_decay": 0.05},
    ],
    nn.optim.Adam: [{}, {"lr": 0.05, "betas": (0.5, 0.9), "eps": 1e-3, "weight_decay": 0.1}],
    nn.optim.AdamW: [{}, {"lr": 0.05, "betas": (0.5, 0.9), "eps": 1e-3, "weight_decay": 0.3}],
}  # fmt: skip

# The arguments of the schedules, and the names of the schedule and its arguments in PyTorch.
SCHEDULES: dict[type, list[tuple[dict[str, Any], str, dict[str, Any]]]] = {
    nn.optim.lr_scheduler.StepLR: [({"step_size": 30, "gamma": 0.5}, "StepLR", {"step_size": 30, "gamma": 0.5})],
    nn.optim.lr_scheduler.MultiStepLR: [
        (settings, "MultiStepLR", settings)
        for settings in [{"milestones": [30, 80, 81], "gamma": 0.5}, {"milestones": [10, 10, 90, 150]}]
    ],
    nn.optim.lr_scheduler.CosineAnnealingLR: [
        ({"T_max": 200, "eta_min": 0.001}, "CosineAnnealingLR", {"T_max": 200, "eta_min": 0.001})
    ],
    nn.optim.lr_scheduler.LinearWarmup: [
        ({"warmup_steps": 9}, "LinearLR", {"start_factor": 0.1, "total_iters": 9}),
        ({"warmup_steps": 50, "start_factor": 0.3}, "LinearLR", {"start_factor": 0.3, "total_iters": 50}),
    ],
    nn.optim.lr_scheduler.OneCycleLR: [
        (settings, "OneCycleLR", settings | {"cycle_momentum": False})
        for settings in [
            {"max_lr": 0.5, "total_steps": 200},
            {"max_lr": 0.1, "total_steps": 230, "pct_start": 0.11, "div_factor": 4.0, "final_div_factor": 50.0},
        ]
    ],
    nn.optim.lr_scheduler.ReduceLROnPlateau: [
        (
            {"factor": 0.5, "patience": 3, "min_lr": 1e-4},
            "ReduceLROnPlateau",
            {"factor": 0.5, "patience": 3, "min_lr": 1e-4},
        ),
        (
            {"factor": 0.7, "patience": 0, "threshold": 0.01, "cooldown": 4, "min_lr": 0.02},
            "ReduceLROnPlateau",
            {"factor": 0.7, "patience": 0, "threshold": 0.01, "cooldown": 4, "min_lr": 0.02},
        ),
    ],
}
