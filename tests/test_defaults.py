"""The defaults of layers, losses, optimisers and schedules: those of PyTorch, where PyTorch has the argument."""

import inspect

import numpy as np
import pytest

import nnscratch as nn
from nnscratch.optim import lr_scheduler


def weights():
    return [nn.Parameter(np.ones(1))]


def optimizer():
    return nn.optim.SGD(weights(), lr=1.0)


DEFAULTS = [
    (lambda: nn.AvgPool2d(2), {"padding": 0}),
    (lambda: nn.BatchNorm1d(2), {"eps": 1e-5, "momentum": 0.1}),
    (lambda: nn.BatchNorm2d(2), {"eps": 1e-5, "momentum": 0.1}),
    (lambda: nn.Conv1d(2, 2, 1), {"stride": 1, "padding": 0, "dilation": 1, "bias": True}),
    (lambda: nn.Conv2d(2, 2, 1), {"stride": 1, "padding": 0, "dilation": 1, "bias": True}),
    (lambda: nn.CrossAttention(2, 1), {"dropout": 0.0, "bias": True}),
    (lambda: nn.Dropout(), {"p": 0.5}),
    (lambda: nn.ELU(), {"alpha": 1.0}),
    (lambda: nn.GELU(), {"approximate": "none"}),
    (lambda: nn.GRU(1, 1), {"num_layers": 1, "dropout": 0.0, "bidirectional": False}),
    (lambda: nn.GroupNorm(1, 2), {"eps": 1e-5}),
    (lambda: nn.LSTM(1, 1), {"num_layers": 1, "dropout": 0.0, "bidirectional": False}),
    (lambda: nn.LayerNorm(2), {"eps": 1e-5, "bias": True}),
    (lambda: nn.LeakyReLU(), {"negative_slope": 0.01}),
    (lambda: nn.Linear(1, 1), {"bias": True}),
    (lambda: nn.MaxPool2d(2), {"padding": 0}),
    (lambda: nn.MultiheadAttention(2, 1), {"dropout": 0.0, "bias": True, "causal": False}),
    (lambda: nn.RNN(1, 1), {"num_layers": 1, "dropout": 0.0, "nonlinearity": "tanh", "bidirectional": False}),
    (lambda: nn.RNNCell(1, 1), {"nonlinearity": "tanh"}),
    (lambda: nn.TransformerBlock(2, 1, 2), {"dropout": 0.0, "causal": False, "norm_first": True, "activation": "gelu",
                                            "bias": True, "layer_norm_eps": 1e-5}),
    (lambda: nn.TransformerDecoderBlock(2, 1, 2), {"dropout": 0.0, "norm_first": True, "activation": "gelu",
                                                   "bias": True, "layer_norm_eps": 1e-5}),
    (lambda: nn.Upsample(scale_factor=2), {"mode": "nearest"}),
    (lambda: nn.VariationalDropout(), {"p": 0.5}),
    (lambda: nn.CrossEntropyLoss(), {"label_smoothing": 0.0}),
    (lambda: nn.HuberLoss(), {"delta": 1.0}),
    (lambda: nn.MultiMarginLoss(), {"margin": 1.0}),
    (lambda: nn.optim.Adagrad(weights()), {"lr": 0.01, "eps": 1e-10, "weight_decay": 0.0}),
    (lambda: nn.optim.Adam(weights()), {"lr": 1e-3, "betas": (0.9, 0.999), "eps": 1e-8, "weight_decay": 0.0}),
    (lambda: nn.optim.AdamW(weights()), {"lr": 1e-3, "betas": (0.9, 0.999), "eps": 1e-8, "weight_decay": 0.01}),
    (lambda: nn.optim.RMSprop(weights()), {"lr": 0.01, "alpha": 0.99, "eps": 1e-8, "weight_decay": 0.0, "momentum": 0.0,
                                           "centered": False}),
    (lambda: nn.optim.SGD(weights(), lr=1.0), {"momentum": 0.0, "nesterov": False, "weight_decay": 0.0}),
    (lambda: lr_scheduler.CosineAnnealingLR(optimizer(), 2), {"eta_min": 0.0, "warmup": 0}),
    (lambda: lr_scheduler.MultiStepLR(optimizer(), [1]), {"gamma": 0.1}),
    (lambda: lr_scheduler.OneCycleLR(optimizer(), 1.0, 5), {"pct_start": 0.3, "div_factor": 25.0,
                                                            "final_div_factor": 1e4}),
    (lambda: lr_scheduler.ReduceLROnPlateau(optimizer()), {"factor": 0.1, "patience": 10, "threshold": 1e-4,
                                                           "cooldown": 0, "min_lr": 0.0}),
    (lambda: lr_scheduler.StepLR(optimizer(), 1), {"gamma": 0.1}),
]  # fmt: skip


@pytest.mark.parametrize(("build", "defaults"), DEFAULTS, ids=lambda v: type(v()).__name__ if callable(v) else "")
def test_the_defaults_are_these(build, defaults):
    built = build()
    arguments = inspect.signature(type(built)).parameters.items()
    assert {name: a.default for name, a in arguments if a.default not in (a.empty, None)} == defaults
