"""Checks that prove nothing: a backward that measures derivatives itself, and networks whose weights are all zero."""

import numpy as np
import pytest

from nnscratch.gradcheck import check_gradients

rng = np.random.default_rng(0)
X, W = rng.normal(size=(4, 3)), rng.normal(size=(3, 2))
MODES = ["full", "directional"]
H, TINY = 1e-5, 1e-20j


def tanh(x):
    return np.tanh(x)


def tanh_with_cache(x):
    return np.tanh(x), x


class Losses:
    """A loss whose backward measures the gradient of its weights, with a real or an imaginary step."""

    def __init__(self, step):
        self.W, self.step = W.copy(), step

    def loss(self, x):
        return np.sum((x @ self.W) ** 2)

    def forward(self, x):
        self.x = x
        return self.loss(x)

    def backward(self):
        W, self.dW = self.W, np.zeros_like(self.W)
        for i in np.ndindex(W.shape):
            self.W = W + np.zeros_like(self.step)
            self.W[i] += self.step
            above = self.loss(self.x)
            if isinstance(self.step, complex):
                self.dW[i] = above.imag / self.step.imag
            else:
                self.W[i] -= 2 * self.step
                self.dW[i] = (above - self.loss(self.x)) / (2 * self.step)
        self.W = W
        return 2 * self.x @ W @ W.T


def loss_and_gradient(step):
    def cubes(x):
        return np.sum(x**3)

    def both(x):
        gradient = np.zeros_like(x)
        for i in np.ndindex(x.shape):
            z = x + np.zeros_like(step)
            z[i] += step
            above = cubes(z)
            z[i] -= 2 * step
            gradient[i] = ((above - cubes(z)) / (2 * step)).real
        return cubes(x), gradient

    return both


def pulled_back(x):
    return np.sin(x), lambda d: d * np.imag(np.sin(x + TINY)) / 1e-20


MEASURED = {
    "differences of a helper": (tanh_with_cache, lambda d, x: d * (tanh(x + H) - tanh(x - H)) / (2 * H)),
    "complex step of a helper": (tanh_with_cache, lambda d, x: d * tanh(x + TINY).imag / 1e-20),
    "complex step of forward": (tanh, lambda d, x: d * tanh(x + TINY).imag / 1e-20),
    "differences written out": (tanh_with_cache, lambda d, x: d * (np.tanh(x + H) - np.tanh(x - H)) / (2 * H)),
    "forward differences": (tanh_with_cache, lambda d, x: d * (np.tanh(x + 1e-8) - np.tanh(x)) / 1e-8),
    "complex step written out": (tanh_with_cache, lambda d, x: d * np.imag(np.tanh(x + TINY)) / 1e-20),
    "differences of a method": Losses(H),
    "complex step of a method": Losses(TINY),
    "differences in one function": loss_and_gradient(H),
    "complex step in one function": loss_and_gradient(TINY),
    "complex step in a pull back": pulled_back,
}


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("subject", MEASURED.values(), ids=MEASURED)
def test_a_backward_that_measures_derivatives_is_incomplete(subject, mode):
    report = check_gradients(subject, X, mode=mode, rtol=1e-5)
    assert report.verdict == "incomplete", report
    assert [trap.kind for trap in report.traps if trap.severity == "incomplete"] == ["finite differences in backward"]


def fourier(x):
    return np.fft.irfft(np.fft.rfft(x, axis=0) * np.exp(-1j * np.arange(3))[:, None], n=4, axis=0), None


def fourier_backward(d, cache):
    return np.fft.irfft(np.fft.rfft(d, axis=0) * np.exp(1j * np.arange(3))[:, None], n=4, axis=0)


def swish(x):
    s = 1 / (1 + np.exp(-x))
    return x * s, x


def swish_backward(d, x):
    s = 1 / (1 + np.exp(-x))  # computed again
    return d * (s + x * s * (1 - s))


def normalised(x):
    return (x - x.mean(axis=0)) / np.sqrt(x.var(axis=0) + 1e-5), x


def normalised_backward(d, x):
    std = np.sqrt(x.var(axis=0) + 1e-5)
    y = (x - x.mean(axis=0)) / std
    return (d - d.mean(axis=0) - y * (d * y).mean(axis=0)) / std


@pytest.mark.parametrize(
    "pair", [(fourier, fourier_backward), (swish, swish_backward), (normalised, normalised_backward)]
)
def test_a_backward_that_computes_a_formula_is_right(pair):
    assert check_gradients(pair, X).traps == []


class Network:
    """tanh between two layers, all of whose weights are zero."""

    def __init__(self, factor=1.0, mask=True, dtype=np.float64):
        self.W1, self.b1, self.W2, self.b2 = (np.zeros(s, dtype) for s in ((3, 5), 5, (5, 2), 2))
        self.factor, self.mask = factor, mask

    def forward(self, x):
        self.x, self.h = x, np.tanh(x @ self.W1 + self.b1)
        return self.h @ self.W2 + self.b2

    def backward(self, d):
        self.db2, self.dW2, dh = d.sum(axis=0), self.factor * self.h.T @ d, d @ self.W2.T
        dz = dh * (1 - self.h**2) if self.mask else dh
        self.dW1, self.db1 = self.x.T @ dz, dz.sum(axis=0)
        return dz @ self.W1.T


@pytest.mark.parametrize("dtype", [np.float64, np.float32])
@pytest.mark.parametrize("mode", MODES)
def test_weights_that_are_all_zero_are_checked_with_random_numbers_too(mode, dtype):
    net = Network(dtype=dtype)
    report = check_gradients(net, X, mode=mode)
    assert report.ok and any("also right with random numbers in place of the zeros" in note for note in report.notes)
    assert not net.W1.any() and net.W1.dtype == dtype
    wrong = check_gradients(Network(factor=2.0, dtype=dtype), X, mode=mode, diagnose=False)
    assert [e.name for e in wrong if e.verdict == "wrong"] == ["W2"]
    assert any("this report is for random numbers" in note for note in wrong.notes)
    wrong = check_gradients(Network(mask=False, dtype=dtype), X, mode=mode, diagnose=False)
    assert [e.name for e in wrong if e.verdict == "wrong"] == ["W1", "b1", "x"]
