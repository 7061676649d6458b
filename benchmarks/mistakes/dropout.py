"""Mistakes in dropout."""

import numpy as np

import nnscratch as nn

from .planted import Planted

rng = np.random.default_rng(17)
X = rng.normal(size=(6, 5))


class Dropout:
    """In the form of "Deep Learning from Scratch", with NumPy's global generator."""

    def __init__(self, ratio=0.4):
        self.ratio, self.mask = ratio, None

    def forward(self, x):
        self.mask = (np.random.rand(*x.shape) > self.ratio) / (1 - self.ratio)  # noqa: NPY002
        return x * self.mask

    def backward(self, dout):
        return dout * self.mask


class DropoutPassedOn(Dropout):
    def backward(self, dout):
        return dout


class DropoutDrawnAgain(Dropout):
    def backward(self, dout):
        mask = (np.random.rand(*dout.shape) > self.ratio) / (1 - self.ratio)  # noqa: NPY002
        return dout * mask


class InvertedDropout(nn.Module):
    def __init__(self, p, seed):
        super().__init__()
        self.p, self.rng = p, np.random.default_rng(seed)

    def forward(self, x):
        keep = self.rng.uniform(size=x.shape) >= self.p
        self.save_for_backward(keep)
        return x * keep / (1 - self.p)

    def backward(self, dy):
        (keep,) = self.saved()
        return dy * keep / (1 - self.p)


class InvertedDropoutWithoutItsScale(InvertedDropout):
    def backward(self, dy):
        (keep,) = self.saved()
        return dy * keep


class InvertedDropoutOfTheDropped(InvertedDropout):
    def backward(self, dy):
        (keep,) = self.saved()
        return dy * ~keep / (1 - self.p)


class NetWithDropout:
    """x W1 -> ReLU -> dropout -> W2."""

    def __init__(self, seed=0):
        r = np.random.default_rng(seed)
        self.params = {"W1": r.normal(size=(5, 8)), "W2": r.normal(size=(8, 3))}
        self.grads = {}
        self.rng = np.random.default_rng(seed)

    def forward(self, x):
        self.x = x
        self.a = np.maximum(x @ self.params["W1"], 0)
        self.mask = (self.rng.random(self.a.shape) < 0.7) / 0.7
        self.h = self.a * self.mask
        return self.h @ self.params["W2"]

    def backward(self, dout):
        self.grads["W2"] = self.h.T @ dout
        da = (dout @ self.params["W2"].T) * self.mask
        dz = da * (self.a > 0)
        self.grads["W1"] = self.x.T @ dz
        return dz @ self.params["W1"].T


class NetWithDropoutForwardOnly(NetWithDropout):
    def backward(self, dout):
        self.grads["W2"] = self.h.T @ dout
        da = dout @ self.params["W2"].T
        dz = da * (self.a > 0)
        self.grads["W1"] = self.x.T @ dz
        return dz @ self.params["W1"].T


CORRECT = [(Dropout(), (X,), {}), (InvertedDropout(0.5, 0), (X,), {}), (NetWithDropout(), (X,), {})]

MISTAKES = [
    Planted("mask not applied", "return dout", DropoutPassedOn(), (X,)),
    Planted("another mask applied", "a new mask drawn in backward", DropoutDrawnAgain(), (X,)),
    Planted(
        "keep-probability not applied",
        "dy * keep, not divided by 1 - p",
        InvertedDropoutWithoutItsScale(0.4, 0),
        (X,),
    ),
    Planted("mask inverted", "dy * ~keep / (1 - p)", InvertedDropoutOfTheDropped(0.4, 0), (X,)),
    Planted("mask not applied", "a net's backward without the dropout mask", NetWithDropoutForwardOnly(), (X,)),
]
