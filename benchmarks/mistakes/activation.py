"""Mistakes in activation functions, alone and inside a layer."""

import numpy as np

import nnscratch as nn

from .planted import Planted

rng = np.random.default_rng(3)
X, W, B = rng.normal(size=(5, 3)), rng.normal(size=(3, 4)), rng.normal(size=4)


def sigmoid(z):
    return 1 / (1 + np.exp(-z))


class Sigmoid:
    def forward(self, x):
        self.x = x
        self.out = 1 / (1 + np.exp(-x))
        return self.out

    def backward(self, dout):
        return dout * self.out * (1 - self.out)


class SigmoidOfItsInput(Sigmoid):
    def backward(self, dout):
        return dout * self.x * (1 - self.x)


class Tanh(nn.Module):
    def forward(self, x):
        y = np.tanh(x)
        self.save_for_backward(y)
        return y

    def backward(self, dy):
        (y,) = self.saved()
        return dy * (1 - y**2)


class TanhWithoutTheSquare(Tanh):
    def backward(self, dy):
        (y,) = self.saved()
        return dy * (1 - y)


def dense_tanh_forward(x, w, b):
    z = x @ w + b
    out = np.tanh(z)
    return out, (x, w, z, out)


def dense_tanh_backward(dout, cache):
    x, w, z, out = cache
    dz = dout * (1 - out**2)
    return dz @ w.T, x.T @ dz, dz.sum(axis=0)


def dense_tanh_backward_without_its_slope(dout, cache):
    x, w, z, out = cache
    dx = dout @ w.T
    dw = x.T @ dout
    db = dout.sum(axis=0)
    return dx, dw, db


def dense_tanh_backward_at_z(dout, cache):
    x, w, z, out = cache
    dz = dout * (1 - z**2)
    return dz @ w.T, x.T @ dz, dz.sum(axis=0)


def dense_sigmoid_forward(x, w, b):
    z = x @ w + b
    out = sigmoid(z)
    return out, (x, w, z, out)


def dense_sigmoid_backward_of_the_output(dout, cache):
    x, w, z, out = cache
    dz = dout * sigmoid(out) * (1 - sigmoid(out))
    return dz @ w.T, x.T @ dz, dz.sum(axis=0)


def relu_forward(x):
    return np.maximum(0, x), x


def relu_backward(dout, cache):
    dx = dout.copy()
    dx[cache <= 0] = 0
    return dx


def relu_backward_of_dout(dout, cache):
    dx = dout.copy()
    dx[dout <= 0] = 0
    return dx


def relu_backward_the_other_way(dout, cache):
    dx = dout.copy()
    dx[cache > 0] = 0
    return dx


class LeakyReLU:
    slope = 0.1

    def forward(self, x):
        self.negative = x < 0
        return np.where(self.negative, self.slope * x, x)

    def backward(self, dout):
        return np.where(self.negative, self.slope * dout, dout)


class LeakyReLUWithoutItsLeak(LeakyReLU):
    def backward(self, dout):
        dx = dout.copy()
        dx[self.negative] = 0
        return dx


class ELU(nn.Module):
    def forward(self, x):
        y = np.where(x > 0, x, np.exp(x) - 1)
        self.save_for_backward(x, y)
        return y

    def backward(self, dy):
        x, y = self.saved()
        return dy * np.where(x > 0, 1, y + 1)


class ELUWithoutTheOne(ELU):
    def backward(self, dy):
        x, y = self.saved()
        return dy * np.where(x > 0, 1, y)


class Softmax:
    def forward(self, x):
        e = np.exp(x - x.max(axis=1, keepdims=True))
        self.y = e / e.sum(axis=1, keepdims=True)
        return self.y

    def backward(self, dout):
        return self.y * (dout - (dout * self.y).sum(axis=1, keepdims=True))


class SoftmaxAsIfItWereSigmoid(Softmax):
    def backward(self, dout):
        return dout * self.y * (1 - self.y)


class SoftmaxInFloat32(Softmax):
    def backward(self, dout):
        y, dout = self.y.astype(np.float32), dout.astype(np.float32)
        dx = y * (dout - (dout * y).sum(axis=1, keepdims=True))
        return dx.astype(np.float64)


class SiLU(nn.Module):
    def forward(self, x):
        s = 1 / (1 + np.exp(-x))
        self.save_for_backward(x, s)
        return x * s

    def backward(self, dy):
        x, s = self.saved()
        return dy * s + dy * x * s * (1 - s)


class SiLUWithHalfTheProductRule(SiLU):
    def backward(self, dy):
        x, s = self.saved()
        return dy * s


class LogisticLoss(nn.Module):
    """Sigmoid and binary cross-entropy in one."""

    def __init__(self, t):
        super().__init__()
        self.t = t

    def forward(self, z):
        p = 1 / (1 + np.exp(-z))
        self.save_for_backward(p)
        return float(-np.mean(self.t * np.log(p) + (1 - self.t) * np.log(1 - p)))

    def backward(self):
        (p,) = self.saved()
        return (p - self.t) / p.size


class LogisticLossWithItsSlopeAgain(LogisticLoss):
    def backward(self):
        (p,) = self.saved()
        dz = (p - self.t) / p.size
        return dz * p * (1 - p)


def softplus_forward(x, w):
    z = x @ w
    return np.log(1 + np.exp(z)), (x, w, z)


def softplus_backward_without_its_slope(dout, cache):
    x, w, z = cache
    return dout @ w.T, x.T @ dout


BITS = (rng.uniform(size=(5, 3)) > 0.5).astype(float)

CORRECT = [
    (Sigmoid(), (X,), {}),
    (Tanh(), (X,), {}),
    ((dense_tanh_forward, dense_tanh_backward), (X, W, B), {}),
    ((relu_forward, relu_backward), (X,), {}),
    (LeakyReLU(), (X,), {}),
    (ELU(), (X,), {}),
    (Softmax(), (X,), {}),
    (SiLU(), (X,), {}),
    (LogisticLoss(BITS), (X,), {}),
]

MISTAKES = [
    Planted("derivative taken at the wrong value", "sigmoid: dout * x (1 - x)", SigmoidOfItsInput(), (X,)),
    Planted("activation's derivative wrong", "tanh: dy (1 - y), the square forgotten", TanhWithoutTheSquare(), (X,)),
    Planted(
        "activation's derivative missing",
        "tanh(x w + b): dz = dout",
        (dense_tanh_forward, dense_tanh_backward_without_its_slope),
        (X, W, B),
    ),
    Planted(
        "derivative taken at the wrong value",
        "tanh(z): dout (1 - z^2)",
        (dense_tanh_forward, dense_tanh_backward_at_z),
        (X, W, B),
    ),
    Planted(
        "derivative taken at the wrong value",
        "sigmoid(z): s(out) (1 - s(out)), taken at the activation",
        (dense_sigmoid_forward, dense_sigmoid_backward_of_the_output),
        (X, W, B),
    ),
    Planted(
        "another mask applied",
        "ReLU: masked where dout <= 0",
        (relu_forward, relu_backward_of_dout),
        (X,),
    ),
    Planted("mask inverted", "ReLU: dx[x > 0] = 0", (relu_forward, relu_backward_the_other_way), (X,)),
    Planted("activation's derivative wrong", "leaky ReLU: no leak in backward", LeakyReLUWithoutItsLeak(), (X,)),
    Planted("activation's derivative wrong", "ELU: y instead of y + 1", ELUWithoutTheOne(), (X,)),
    Planted("Jacobian reduced to its diagonal", "softmax: dout y (1 - y)", SoftmaxAsIfItWereSigmoid(), (X,)),
    Planted("right but for float32 noise", "softmax's backward in float32", SoftmaxInFloat32(), (X,)),
    Planted(
        "a path missing", "SiLU: dy s, the other half of the product rule forgotten", SiLUWithHalfTheProductRule(), (X,)
    ),
    Planted(
        "activation's derivative applied twice",
        "sigmoid with cross-entropy: (p - t) p (1 - p)",
        LogisticLossWithItsSlopeAgain(BITS),
        (X,),
    ),
    Planted(
        "activation's derivative missing",
        "softplus(x w): dz = dout",
        (softplus_forward, softplus_backward_without_its_slope),
        (X, W),
    ),
]
