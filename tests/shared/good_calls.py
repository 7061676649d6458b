"""Good arguments for every public function and class, by the name of the argument.

tests/test_fuzz.py replaces some of them by wrong ones. `calls()` returns each public name. If the table lacks one,
a test names it. So a new public function is not done before it has good arguments here.
"""

from __future__ import annotations

import inspect
import pathlib
import tempfile
from collections.abc import Callable
from typing import Any

import numpy as np

import nnscratch as nn

F = np.float32
MODULES = (
    nn, nn.layers, nn.losses, nn.optim, nn.optim.lr_scheduler, nn.data, nn.init, nn.models, nn.training,
    nn.explain, nn.privacy, nn.fairness, nn.plotting, nn.backend,
)  # fmt: skip
NOT_CALLED = {
    "Module", "Optimizer", "LRScheduler", "Callback",  # base classes
    "TrainingDiverged", "History",  # made by the package
    "austen_split", "digits_split", "load_digits",  # no arguments
    "search",  # needs Optuna
    "load_gpt2", "save_gpt2",  # tests/models/test_gpt2.py
    "load_idx", "read_idx", "tokenizer_from_dict", "load", "load_lora", "save_lora", "resume",  # test_strangers.py
    "between",  # a formula that the schedules share
    "without_drawing", "record", "keep_examples", "deferred_reads", "single_threaded_blas",  # contexts
    "Comparison", "Context", "Probe", "PromptExplanation", "Membership",  # results
    "Group", "GroupReport", "Applicants",  # results
    "plot_search",  # needs Optuna
    "devices", "num_threads", "use_style", "allow_tf32", "keep_freed_memory", "Workspace",  # no arguments
    "Array", "DeviceError", "NcclSum", "fused", "fused_rows", "recorded", "only_if",  # for a GPU
    "memory", "free_memory",  # for a GPU
    "parallel_for", "run_concurrently", "sum_rows", "sums_of_squares", "scatter_add", "to_scalar", "to_floats",
    "chunk_size", "cheap_to_read", "launch_bound",  # in the loops of layers and optimisers, which check the arrays
}  # fmt: skip


def model() -> nn.Module:
    return nn.Linear(3, 2, rng=0)


def optimizer() -> Any:
    return nn.optim.SGD(model().parameters(), lr=0.1)


def language_model() -> nn.Module:
    return nn.models.LanguageModel(3, 4, 4, rng=0)


def encoder() -> nn.Module:
    return nn.models.TransformerEncoder(8, 4, 2, 1, 8, rng=0)


def seq2seq() -> nn.Module:
    return nn.models.Seq2Seq(6, 6, 4, 4, rng=0)


def transformer() -> nn.Module:
    return nn.models.TransformerLM(6, 4, 2, 1, 8, rng=0)


def after_backward() -> nn.Module:
    layer = model()
    layer.backward(np.ones_like(layer(X)))
    return layer


def poisson() -> Any:
    return nn.privacy.PoissonBatches(X, Y, 2, rng=0)


def ignores_the_model(model: nn.Module, x: np.ndarray, target: Any) -> np.ndarray:
    return x


def recurrent_layer(value: float) -> nn.Module:
    return nn.RNN(3, 4, rng=0)


def square(*weights: np.ndarray) -> np.ndarray:
    return sum(w**2 for w in weights)


def draw_nothing(figure: Any, k: int) -> None:
    pass


def parameters() -> list[nn.Parameter]:
    return model().parameters()


def folder() -> pathlib.Path:
    return pathlib.Path(tempfile.mkdtemp())


X, Y, IDS = np.ones((4, 3), F), np.array([0, 1, 1, 0]), np.arange(24) % 6
GOOD: dict[str, Any] = {
    "alpha": 0.5, "approximate": "none", "input_size": 3, "hidden_size": 4, "num_layers": 1, "dropout": 0.1,
    "bidirectional": True, "rng": 0, "nonlinearity": "tanh", "kernel_size": 2, "stride": 1, "padding": 0,
    "num_features": 3, "eps": 1e-5, "momentum": 0.1, "in_channels": 1, "out_channels": 2, "dilation": 1, "bias": True,
    "init": nn.init.he_normal, "embed_dim": 4, "num_heads": 2, "causal": False, "ignore_index": 1,
    "label_smoothing": 0.1, "p": 0.5, "num_embeddings": 5, "embedding_dim": 4, "num_groups": 1, "num_channels": 2,
    "delta": 1.0, "normalized_shape": 3, "negative_slope": 0.1, "in_features": 3, "out_features": 2, "layer": model,
    "rank": 1, "margin": 1.0, "data": X, "requires_grad": True, "max_length": 4, "projection": None, "modules": model,
    "model": model, "criterion": lambda: nn.MSELoss(), "optimizer": optimizer, "scheduler": None, "max_norm": 1.0,
    "accumulate": 1, "callbacks": (), "threads": 1, "dim_feedforward": 4, "norm_first": True, "activation": "gelu",
    "layer_norm_eps": 1e-5, "cells": lambda: [nn.RNNCell(3, 4, rng=0)], "scale_factor": 2, "mode": "nearest",
    "source": lambda: np.array([[1, 2, 3]]), "start": 1, "stop": 2, "beam_size": 2, "length_penalty": 0.0,
    "lengths": lambda: np.array([3]), "batches": lambda: [(X, np.ones((4, 2), F))], "prompt": "a", "max_tokens": 2,
    "tokenizer": lambda: nn.data.CharTokenizer("abc"), "temperature": 1.0, "top_k": 2, "top_p": 0.9, "min_p": 0.1,
    "n": 1, "repetition_penalty": 1.1, "path": lambda: folder() / "model.safetensors", "inputs": X,
    "params": parameters, "parameters": parameters, "lr": 0.1, "nesterov": False, "weight_decay": 0.1,
    "betas": (0.9, 0.99), "clip_value": 1.0, "step_size": 2, "gamma": 0.5, "hold": 1, "milestones": [1, 2],
    "T_max": 4, "eta_min": 0.0, "warmup": 1, "warmup_steps": 2, "start_factor": 0.1, "max_lr": 0.1, "total_steps": 10,
    "pct_start": 0.3, "div_factor": 25.0, "final_div_factor": 1e4, "factor": 0.5, "patience": 1, "threshold": 1e-4,
    "cooldown": 0, "min_lr": 0.0, "batch_size": 2, "seq_len": 3, "tokens": IDS, "transform": None, "x": X, "y": Y,
    "shuffle": True, "drop_last": False, "token": 0, "vocabulary": list("abc"), "window": 2, "negatives": 2,
    "kind": "skip-gram", "subsample": 1e-3, "count": 4, "digits": 2, "classes": 2, "noise": 0.1, "title": "emma",
    "ids": IDS, "num_classes": 6, "dtype": F, "sequences": [[1, 2], [3]], "value": 1.0, "padding_side": "right",
    "turns": 1.0, "shape": (3, 2), "bound": 0.5, "std": 0.5, "image_shape": (1, 4, 4), "channels": (2,), "hidden": 4,
    "vocab_size": 6, "embed_size": 4, "tie_weights": False, "cell": "lstm", "sizes": [3, 4, 2], "encoder": encoder,
    "source_vocab_size": 6, "target_vocab_size": 6, "connection": "attention", "pool": "mean", "context": 8,
    "trunk": model, "first": lambda: nn.Linear(2, 2, rng=0), "second": lambda: nn.Linear(2, 1, rng=0), "every": 1,
    "merges": [("a", "b")], "transforms": nn.data.RandomShift(1), "mask": 7,
    "degrees": 10.0,
    "low": 0.9, "high": 1.1, "pixels": 1, "special_tokens": (), "ax": None, "privacy": None, "communicator": None,
    "samples": 8, "attributions": X, "baseline": 0.0, "groups": np.arange(3), "return_gap": False, "ridge": 1.0,
    "return_r2": True, "features": None, "h": X, "labels": Y, "test_fraction": 0.5, "a": X, "b": X, "size": 2,
    "next_token": "b", "method": "occlusion", "methods": lambda: {"x": ignores_the_model}, "text": "abc",
    "unit": "loss",
    "sample_rate": 0.1, "noise_multiplier": 1.0, "epsilon_target": 8.0, "epsilon": 1.0, "prefix": "a", "canary": 1,
    "losses": np.arange(4.0), "member_losses": np.arange(4.0), "other_losses": np.arange(4.0), "targets": Y,
    "predictions": Y, "steps": 2, "device": "cpu", "like": X, "error": lambda: ValueError("x"), "width": 7.0,
    "height": 4.0, "xlim": (-2.0, 2.0), "ylim": (-2.0, 2.0), "label": "value", "fps": 2.0, "alt": "", "seconds": 1.0,
    "folder": folder, "prediction": X, "target": Y, "loss": 1.0, "positions": "learned",
}  # fmt: skip
SPECIAL: dict[str, dict[str, Any]] = {
    "allow_graphs": {"on": True},
    "generate": {"model": language_model, "stop": "b"},
    "beam_search": {"model": seq2seq, "source": lambda: np.array([1, 2, 3])},
    "greedy_search": {"model": seq2seq},
    "summary": {"inputs": lambda: X},
    "open_forget_gates": {"model": lambda: nn.LSTM(3, 4, rng=0)},
    "BPETokenizer": {"vocabulary": lambda: list(nn.data.BPETokenizer.from_text("aab ab", 257).vocabulary)},
    "WordTokenizer": {"vocabulary": ["<unk>", "<eos>", "a"]},
    "SplitTokenizer": {"vocabulary": ["<unk>", "<eos>", "a"]},
    "RNN": {"num_layers": 2}, "GRU": {"num_layers": 2}, "LSTM": {"num_layers": 2}, "SGD": {"momentum": 0.5},
    "pad_sequences": {"value": 0},
    "load_text": {"path": __file__},
    "MLP": {"activation": nn.Tanh},
    "TransformerBlock": {"approximate": None, "hidden": None},
    "attention_rollout": {"model": transformer, "tokens": IDS[None, :4]},
    "logit_lens": {"model": transformer, "tokens": IDS[None, :4]},
    "explain_prompt": {"model": language_model},
    "top_contexts": {"model": language_model, "layer": "lstm", "unit": 1, "k": 2, "width": 2},
    "sanity_check": {"method": lambda: ignores_the_model},
    "patches": {"shape": (4, 4)},
    "lime": {"width": 0.25},
    "advantage_bound": {"delta": 1e-3}, "epsilon": {"delta": 1e-3}, "noise_multiplier_for": {"delta": 1e-3},
    "renyi_divergence": {"alpha": 2.5},
    "DPSGD": {"batches": poisson, "delta": 1e-3},
    "sequence_losses": {"model": language_model, "sequences": np.array([[0, 1, 2]])},
    "per_example_gradients": {"criterion": lambda: nn.CrossEntropyLoss()},
    "group_report": {"groups": np.array([0, 0, 1, 1])}, "reweighting": {"groups": np.array([0, 0, 1, 1])},
    "draw_applicants": {"bias": 0.5},
    "animate_attention": {"A": np.eye(2), "tokens": ["a", "b"], "looked_at": ["a", "b"]},
    "plot_attention": {"A": np.eye(2), "tokens": ["a", "b"], "looked_at": ["a", "b"]},
    "animate_backpropagation": {"model": lambda: nn.Sequential(model()), "x": np.ones(3), "target": np.ones(2)},
    "animate_convolution": {"image": np.eye(4), "kernel": np.eye(2)},
    "animate_descent": {"f": lambda: square, "slope": lambda: square, "start": 1.5, "rates": [0.1]},
    "animate_gradient_path": {"make": lambda: recurrent_layer, "values": [1.0], "x": np.ones((2, 5, 3), F)},
    "Animation": {"draw": lambda: draw_nothing, "labels": ["a"], "size": (7.0, 4.0)},
    "plot_attributions": {"image": X, "attributions": X},
    "plot_contributions": {"names": ["a", "b"], "values": np.arange(2.0), "k": 1},
    "plot_text": {"tokens": ["a", "b"], "values": np.arange(2.0), "width": 20, "contributions": True},
    "plot_confusion_matrix": {"matrix": np.eye(2, dtype=int), "labels": ["a", "b"]},
    "plot_decision_boundary": {"model": lambda: nn.Linear(2, 2, rng=0), "x": X[:, :2]},
    "plot_filters": {"weight": np.ones((2, 1, 2, 2), F)},
    "lstm_gates": {"lstm": lambda: nn.LSTM(3, 4, rng=0), "layer": 0},
    "plot_gates": {"gates": lambda: {"f": X}, "tokens": list("abcd"), "text": None, "show": "f", "units": 2}
    | {"layer": 0},
    "plot_gradient_flow": {"model": after_backward},
    "plot_histograms": {"arrays": lambda: {"x": X}},
    "plot_history": {"history": [2.0, 1.0]},
    "draw_network": {"inputs": X, "dy": np.ones((4, 2), F)},
    "save_figure": {"ax": lambda: nn.plotting.new_axes(), "path": lambda: folder() / "picture.png"},
    "plot_paths": {"f": lambda: square, "paths": lambda: {"a": np.ones((2, 2))}},
    "uniform_like": {"rng": lambda: np.random.default_rng(0)},
}  # fmt: skip


def arguments_of(name: str, function: Callable) -> dict[str, Any] | None:
    """Return good arguments, freshly made; None if the table lacks an argument without a default."""
    made: dict[str, Any] = {}
    for key, parameter in inspect.signature(function).parameters.items():
        if parameter.kind is parameter.VAR_KEYWORD:
            continue
        if key not in GOOD and key not in SPECIAL.get(name, {}):
            if parameter.default is parameter.empty:
                return None
            continue
        value = SPECIAL.get(name, {}).get(key, GOOD.get(key))
        made[key] = value() if inspect.isfunction(value) and value is not nn.init.he_normal else value
    if name == "Trainer":
        made |= {"optimizer": nn.optim.SGD(made["model"].parameters(), lr=0.1), "clip_value": None}
    return made


def call(function: Callable, arguments: dict[str, Any]) -> Any:
    """Call a function with arguments by name; those of a function with ``*modules`` by position."""
    by_name, by_position = dict(arguments), []
    parameters = inspect.signature(function).parameters
    if any(p.kind is p.VAR_POSITIONAL for p in parameters.values()):
        for key, p in parameters.items():
            if key in by_name and p.kind is not p.KEYWORD_ONLY:
                by_position.append(by_name.pop(key))
    return function(*by_position, **by_name)


def calls() -> dict[str, Callable]:
    """Return every public function and class of MODULES, by its name, without those in NOT_CALLED."""
    found: dict[str, Callable] = {}
    for module in MODULES:
        names = getattr(module, "__all__", None) or [
            name
            for name, value in vars(module).items()
            if getattr(value, "__module__", None) == module.__name__ and not name.startswith("_")
        ]
        for name in names:
            value = getattr(module, name)
            if callable(value) and not inspect.ismodule(value) and name not in NOT_CALLED:
                found.setdefault(name, value)
    return found
