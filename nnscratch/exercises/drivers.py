"""Drivers: functions for students' code that does not have the form ``forward(arrays)`` and ``backward(dout, cache)``.

A driver gets the function ``load``, and returns a function of arrays that calls the student's code. ``load(name)``
returns an object of the student's file. Before each call of the returned function, the check resets all objects that
this function refers to. It must not reset ``load``, which belongs to the check itself. So the returned function must
not refer to ``load``. Drivers run in the process of the student's code, so they contain no solutions.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable
from typing import Any

import numpy as np

Load = Callable[[str], Any]

FUNCTIONS = {  # the exercise numerical_gradient asks for the gradients of these functions
    "sines": lambda x: np.sum(np.sin(x)),
    "cubes": lambda x: float(np.sum(x**3)),
    "products": lambda x: np.prod(x) + np.sum(x * x),
}


def numerical_gradient(load: Load) -> Callable:
    """Return a function of a name and x. It calls the student's numerical_gradient with ``FUNCTIONS[name]`` and x."""
    called = load("numerical_gradient")
    return lambda name, x: called(FUNCTIONS[name], x)


def linear_made(load: Load) -> Callable:
    """Return a function that returns the initial W and b of a new Linear."""
    cls = load("Linear")

    def made(sizes: list[int]) -> tuple:
        layer = cls(*sizes)
        return layer.W, layer.b

    return made


def linear_forward(load: Load) -> Callable:
    """Return the forward of the student's Linear as a function of the input and the parameters."""
    cls = load("Linear")

    def forward(A: Any, W: Any, b: Any) -> tuple:
        layer = cls(W.shape[1], W.shape[0])
        layer.W, layer.b = W, b
        return layer.forward(A), layer

    return forward


def linear_backward(load: Load) -> Callable:
    """Return the backward for a layer that `linear_forward` or `conv1d_forward` has made."""

    def backward(dLdZ: Any, layer: Any) -> tuple:
        dLdA = layer.backward(dLdZ)
        return dLdA, layer.dLdW, layer.dLdb

    return backward


def two_layer_net(load: Load) -> Callable:
    """Return a function that makes a TwoLayerNet with given parameters."""
    cls = load("TwoLayerNet")

    def made(W1: Any, b1: Any, W2: Any, b2: Any, reg: float) -> Any:
        net = cls(*W1.shape, W2.shape[1], reg=reg)
        net.params = {"W1": W1, "b1": b1, "W2": W2, "b2": b2}
        return net

    return made


def two_layer_scores(load: Load) -> Callable:
    """Return a function that calls the student's loss(X)."""
    made = two_layer_net(load)
    return lambda W1, b1, W2, b2, X, y, reg: made(W1, b1, W2, b2, reg).loss(X)


def two_layer_loss(load: Load) -> Callable:
    """Return a function that calls the student's loss(X, y), and returns the loss."""
    made = two_layer_net(load)
    return lambda W1, b1, W2, b2, X, y, reg: made(W1, b1, W2, b2, reg).loss(X, y)[0]


def two_layer_forward(load: Load) -> Callable:
    """Return a forward that returns the loss, and the gradients as its cache."""
    made = two_layer_net(load)

    def forward(W1: Any, b1: Any, W2: Any, b2: Any, X: Any, y: Any, reg: float) -> tuple:
        loss, grads = made(W1, b1, W2, b2, reg).loss(X, y)
        return np.asarray(loss), grads

    return forward


def two_layer_backward(load: Load) -> Callable:
    """Return the backward for `two_layer_forward`: it multiplies the stored gradients by dloss."""
    return lambda dloss, grads: tuple(dloss * grads[name] for name in ("W1", "b1", "W2", "b2"))


def clip_norm(load: Load) -> Callable:
    """Return a function that calls the student's clip_norm with a list of two arrays."""
    called = load("clip_norm")

    def clip(a: Any, b: Any, max_norm: float) -> tuple:
        norm, clipped = called([a, b], max_norm)
        return norm, *clipped

    return clip


def with_running_averages(name: str) -> Callable[[Load], Callable]:
    """Return a driver. Its function returns out, and the running averages that forward has stored in bn_param."""

    def driver(load: Load) -> Callable:
        called = load(name)

        def forward(x: Any, gamma: Any, beta: Any, bn_param: dict) -> tuple:
            out = called(x, gamma, beta, bn_param)[0]
            return out, bn_param.get("running_mean"), bn_param.get("running_var")

        return forward

    return driver


def in_training(name: str) -> Callable[[Load], Callable]:
    """Return a driver for a forward in training mode. Every call starts without running averages."""

    def driver(load: Load) -> Callable:
        called = load(name)
        return lambda x, gamma, beta: called(x, gamma, beta, {"mode": "train"})

    return driver


def with_setting(name: str) -> Callable[[Load], Callable]:
    """Return a driver for the forward of a class whose constructor has one argument, an integer."""

    def driver(load: Load) -> Callable:
        cls = load(name)

        def forward(A: Any, setting: int) -> tuple:
            layer = cls(setting)
            return layer.forward(A), layer

        return forward

    return driver


def backward_of(name: str) -> Callable[[Load], Callable]:
    """Return a driver for backward. It calls ``backward`` of the layer that forward has made."""

    def driver(load: Load) -> Callable:
        load(name)
        return lambda dLdZ, layer: layer.backward(dLdZ)

    return driver


def conv1d_forward(load: Load) -> Callable:
    """Return the forward of the student's Conv1d_stride1 as a function of the input and the parameters."""
    cls = load("Conv1d_stride1")

    def forward(A: Any, W: Any, b: Any) -> tuple:
        layer = cls(W.shape[1], W.shape[0], W.shape[2])
        layer.W, layer.b = W, b
        return layer.forward(A), layer

    return forward


class Samples:
    """A replacement for CS224n's dataset. It returns the given words, one after the other."""

    def __init__(self, words: Any):
        self._words = itertools.cycle(words.tolist())

    def sampleTokenIdx(self) -> int:
        return next(self._words)


def negative_sampling(load: Load) -> Callable:
    """Return a function that calls negSamplingLossAndGradient with a dataset that returns the given words."""
    called = load("negSamplingLossAndGradient")

    def negSamplingLossAndGradient(centerWordVec: Any, outsideWordIdx: int, outsideVectors: Any, words: Any) -> Any:
        return called(centerWordVec, outsideWordIdx, outsideVectors, Samples(words), len(words))

    return negSamplingLossAndGradient


GRU_PARAMETERS = ("Wrx", "Wzx", "Wnx", "Wrh", "Wzh", "Wnh", "brx", "bzx", "bnx", "brh", "bzh", "bnh")


def gru_forward(load: Load) -> Callable:
    """Return the forward of the student's GRUCell as a function of the inputs and the parameters."""
    cls = load("GRUCell")

    def forward(x, h_prev_t, Wrx, Wzx, Wnx, Wrh, Wzh, Wnh, brx, bzx, bnx, brh, bzh, bnh):
        cell = cls(len(x), len(h_prev_t))
        values = Wrx, Wzx, Wnx, Wrh, Wzh, Wnh, brx, bzx, bnx, brh, bzh, bnh
        for name, value in zip(GRU_PARAMETERS, values, strict=True):
            setattr(cell, name, value)
        return cell.forward(x, h_prev_t), cell

    return forward


def gru_backward(load: Load) -> Callable:
    """Return the backward for a cell that `gru_forward` has made."""

    def backward(delta: Any, cell: Any) -> tuple:
        dx, dh_prev_t = cell.backward(delta)
        return dx, dh_prev_t, *(getattr(cell, f"d{name}") for name in GRU_PARAMETERS)

    return backward


DRIVERS: dict[str, Callable[[Load], Callable]] = {
    "numerical_gradient": numerical_gradient,
    "Linear.__init__": linear_made,
    "Linear.forward": linear_forward,
    "Linear.backward": linear_backward,
    "TwoLayerNet.loss(X)": two_layer_scores,
    "TwoLayerNet.loss(X, y)": two_layer_loss,
    "TwoLayerNet loss": two_layer_forward,
    "TwoLayerNet gradients": two_layer_backward,
    "clip_norm": clip_norm,
    "negSamplingLossAndGradient": negative_sampling,
    "GRUCell.forward": gru_forward,
    "GRUCell.backward": gru_backward,
    "Conv1d_stride1.forward": conv1d_forward,
    "Conv1d_stride1.backward": linear_backward,
    "MeanPool2d_stride1.forward": with_setting("MeanPool2d_stride1"),
    "MeanPool2d_stride1.backward": backward_of("MeanPool2d_stride1"),
    "Upsample1d.forward": with_setting("Upsample1d"),
    "Upsample1d.backward": backward_of("Upsample1d"),
    "batchnorm_forward": with_running_averages("batchnorm_forward"),
    "batchnorm in training": in_training("batchnorm_forward"),
    "spatial_batchnorm_forward": with_running_averages("spatial_batchnorm_forward"),
    "spatial_batchnorm in training": in_training("spatial_batchnorm_forward"),
}
