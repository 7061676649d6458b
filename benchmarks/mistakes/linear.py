"""Mistakes in linear layers and in nets built from them."""

import numpy as np

import nnscratch as nn

from .planted import Planted

rng = np.random.default_rng(1)
X, W, B = rng.normal(size=(5, 3)), rng.normal(size=(3, 4)), rng.normal(size=4)
SQUARE, X4 = rng.normal(size=(4, 4)), rng.normal(size=(5, 4))
T = rng.normal(size=(5, 4))


# --- an affine layer as CS231n asks for it ---------------------------------------------------------------------------


def affine_forward(x, w, b):
    out = x.reshape(x.shape[0], -1) @ w + b
    cache = (x, w, b)
    return out, cache


def affine_backward(dout, cache):
    x, w, b = cache
    dx = (dout @ w.T).reshape(x.shape)
    dw = x.reshape(x.shape[0], -1).T @ dout
    db = np.sum(dout, axis=0)
    return dx, dw, db


def affine_backward_without_the_sum(dout, cache):
    x, w, b = cache
    dx = (dout @ w.T).reshape(x.shape)
    dw = x.reshape(x.shape[0], -1).T @ dout
    db = dout
    return dx, dw, db


def affine_backward_summed_over_features(dout, cache):
    x, w, b = cache
    dx = (dout @ w.T).reshape(x.shape)
    dw = x.reshape(x.shape[0], -1).T @ dout
    db = np.sum(dout, axis=1)
    return dx, dw, db


def affine_backward_of_the_first_row(dout, cache):
    x, w, b = cache
    dx = (dout @ w.T).reshape(x.shape)
    dw = x.reshape(x.shape[0], -1).T @ dout
    db = dout[0]
    return dx, dw, db


def affine_backward_not_transposed(dout, cache):
    x, w, b = cache
    dx = (dout @ w).reshape(x.shape)
    dw = x.reshape(x.shape[0], -1).T @ dout
    db = np.sum(dout, axis=0)
    return dx, dw, db


# --- the class of "Deep Learning from Scratch" -----------------------------------------------------------------------


class Affine:
    def __init__(self, W, b):
        self.params = [W, b]
        self.grads = [np.zeros_like(W), np.zeros_like(b)]
        self.x = None

    def forward(self, x):
        W, b = self.params
        self.x = x
        return np.dot(x, W) + b

    def backward(self, dout):
        W, b = self.params
        dx = np.dot(dout, W.T)
        dW = np.dot(self.x.T, dout)
        db = np.sum(dout, axis=0)
        self.grads[0][...] = dW
        self.grads[1][...] = db
        return dx


class AffineDividedByN(Affine):
    def backward(self, dout):
        W, b = self.params
        n = self.x.shape[0]
        dx = np.dot(dout, W.T)
        self.grads[0][...] = np.dot(self.x.T, dout) / n
        self.grads[1][...] = np.sum(dout, axis=0)
        return dx


class AffineWithItsLearningRate(Affine):
    lr = 0.01

    def backward(self, dout):
        W, b = self.params
        dx = np.dot(dout, W.T)
        self.grads[0][...] = self.lr * np.dot(self.x.T, dout)
        self.grads[1][...] = self.lr * np.sum(dout, axis=0)
        return dx


# --- Modules ---------------------------------------------------------------------------------------------------------


class Dense(nn.Module):
    """weight is (out, in), as in PyTorch."""

    def __init__(self, weight, bias):
        super().__init__()
        self.weight, self.bias = nn.Parameter(weight.copy()), nn.Parameter(bias.copy())

    def forward(self, x):
        self.save_for_backward(x)
        return x @ self.weight.data.T + self.bias.data

    def backward(self, dy):
        (x,) = self.saved()
        self.weight.grad += dy.T @ x
        self.bias.grad += dy.sum(axis=0)
        return dy @ self.weight.data


class DenseTransposed(Dense):
    def backward(self, dy):
        (x,) = self.saved()
        self.weight.grad += x.T @ dy
        self.bias.grad += dy.sum(axis=0)
        return dy @ self.weight.data


class RowScale(nn.Module):
    """Multiply each row by its own factor, s (N, 1)."""

    def __init__(self, s):
        super().__init__()
        self.s = nn.Parameter(s.copy())

    def forward(self, x):
        self.save_for_backward(x)
        return x * self.s.data

    def backward(self, dy):
        (x,) = self.saved()
        self.s.grad = dy * x
        return dy * self.s.data


class ResidualBlock(nn.Module):
    """y = x + relu(x W)."""

    def __init__(self, weight):
        super().__init__()
        self.weight = nn.Parameter(weight.copy())

    def forward(self, x):
        z = x @ self.weight.data
        h = np.maximum(z, 0)
        self.save_for_backward(x, z)
        return x + h

    def backward(self, dy):
        x, z = self.saved()
        dz = dy * (z > 0)
        self.weight.grad += x.T @ dz
        dx = dy + dz @ self.weight.data.T
        return dx


class ResidualBlockTwice(ResidualBlock):
    def backward(self, dy):
        x, z = self.saved()
        dz = dy * (z > 0)
        self.weight.grad += x.T @ dz
        dx = dy + dz @ self.weight.data.T
        return dx + dy


# --- scalar functions with their gradients ---------------------------------------------------------------------------


def linear_regression(w, b):
    residual = T - X @ w - b
    loss = np.sum(residual**2)
    return loss, (-2 * X.T @ residual, -2 * residual.sum(axis=0))


def linear_regression_sign(w, b):
    residual = T - X @ w - b
    loss = np.sum(residual**2)
    dw = 2 * X.T @ residual
    db = 2 * residual.sum(axis=0)
    return loss, (dw, db)


def ridge_regression(w):
    reg = 0.1
    residual = X @ w - T
    loss = np.mean(residual**2) + reg * np.sum(w * w)
    dw = X.T @ (2 * residual / residual.size)
    dw += reg * w
    return loss, dw


def bilinear(a, b):
    return np.sum(np.tanh(a) * b), (np.tanh(a), (1 - np.tanh(a) ** 2) * b)


# --- nets ------------------------------------------------------------------------------------------------------------


class TwoLayerNet:
    """As in CS231n: loss(X, y) returns the loss and a dictionary of gradients."""

    def __init__(self):
        r = np.random.default_rng(2)
        self.params = {
            "W1": r.normal(size=(3, 6)),
            "b1": r.normal(size=6),
            "W2": r.normal(size=(6, 4)),
            "b2": r.normal(size=4),
        }

    def loss(self, X, y):
        W1, b1, W2, b2 = (self.params[k] for k in ("W1", "b1", "W2", "b2"))
        N = X.shape[0]
        hidden = np.maximum(0, X @ W1 + b1)
        scores = hidden @ W2 + b2
        shifted = scores - scores.max(axis=1, keepdims=True)
        probs = np.exp(shifted) / np.exp(shifted).sum(axis=1, keepdims=True)
        loss = -np.log(probs[np.arange(N), y]).mean()

        grads = {}
        dscores = probs.copy()
        dscores[np.arange(N), y] -= 1
        dscores /= N
        grads["W2"] = hidden.T @ dscores
        grads["b2"] = dscores.sum(axis=0)
        dhidden = self.back_through_relu(dscores @ W2.T, hidden)
        grads["W1"] = X.T @ dhidden
        grads["b1"] = dhidden.sum(axis=0)
        return loss, grads

    def back_through_relu(self, dhidden, hidden):
        dhidden[hidden <= 0] = 0
        return dhidden


class TwoLayerNetWithoutItsMask(TwoLayerNet):
    def back_through_relu(self, dhidden, hidden):
        return dhidden


def autoencoder_forward(x, w_enc, b_enc, w_dec, b_dec):
    """A sparse autoencoder: the decoder's bias is subtracted from the input."""
    z = np.maximum((x - b_dec) @ w_enc + b_enc, 0)
    out = z @ w_dec + b_dec
    return out, (x, z, w_enc, w_dec, b_dec)


def autoencoder_backward(dout, cache):
    x, z, w_enc, w_dec, b_dec = cache
    dw_dec = z.T @ dout
    dz = (dout @ w_dec.T) * (z > 0)
    dw_enc = (x - b_dec).T @ dz
    db_enc = dz.sum(axis=0)
    dx = dz @ w_enc.T
    db_dec = dout.sum(axis=0) - dx.sum(axis=0)
    return dx, dw_enc, db_enc, dw_dec, db_dec


def autoencoder_backward_of_the_output_alone(dout, cache):
    x, z, w_enc, w_dec, b_dec = cache
    dw_dec = z.T @ dout
    dz = (dout @ w_dec.T) * (z > 0)
    dw_enc = (x - b_dec).T @ dz
    db_enc = dz.sum(axis=0)
    dx = dz @ w_enc.T
    db_dec = dout.sum(axis=0)
    return dx, dw_enc, db_enc, dw_dec, db_dec


AUTO = (X, W, B, rng.normal(size=(4, 3)), rng.normal(size=3))
LABELS = np.array([0, 3, 1, 1, 2])

CORRECT = [
    ((affine_forward, affine_backward), (X, W, B), {}),
    (Affine(W.copy(), B.copy()), (X,), {}),
    (Dense(SQUARE, B), (X4,), {}),
    (ResidualBlock(SQUARE), (X4,), {}),
    (linear_regression, (W, B), {}),
    (TwoLayerNet(), (X, LABELS), {}),
    ((autoencoder_forward, autoencoder_backward), AUTO, {}),
]

MISTAKES = [
    Planted("sum over the batch missing", "db = dout", (affine_forward, affine_backward_without_the_sum), (X, W, B)),
    Planted(
        "summed over the wrong axis",
        "db = dout.sum(axis=1), where N = M",
        (affine_forward, affine_backward_summed_over_features),
        (X[:4], W, B),
    ),
    Planted("one sample counted", "db = dout[0]", (affine_forward, affine_backward_of_the_first_row), (X, W, B)),
    Planted(
        "transposed",
        "dx = dout @ w, where w is square",
        (affine_forward, affine_backward_not_transposed),
        (X4, SQUARE, B),
    ),
    Planted("scaled by a constant", "dW = x.T @ dout / N", AffineDividedByN(W.copy(), B.copy()), (X,), says="N = 5"),
    Planted(
        "scaled by a constant",
        "dW and db times the learning rate",
        AffineWithItsLearningRate(W.copy(), B.copy()),
        (X,),
        says="learning rate",
    ),
    Planted("transposed", "weight.grad += x.T @ dy, where weight is square", DenseTransposed(SQUARE, B), (X4,)),
    Planted("broadcast axis not summed", "s.grad = dy * x for s (N, 1)", RowScale(X[:, :1]), (X,)),
    Planted("counted twice", "the residual's dy added a second time", ResidualBlockTwice(SQUARE), (X4,)),
    Planted("sign flipped", "2 X.T (T - X w) for (T - X w)^2", linear_regression_sign, (W, B)),
    Planted("weight decay's share wrong", "reg * w for reg * sum(w^2)", ridge_regression, (W,)),
    Planted("two gradients exchanged", "da and db returned in the wrong order", bilinear, (X, X[::-1] * 0.7)),
    Planted("mask not applied", "ReLU's mask forgotten in a two-layer net", TwoLayerNetWithoutItsMask(), (X, LABELS)),
    Planted(
        "bias's share missing",
        "the decoder's bias: only its gradient at the output, not at the input where it is subtracted",
        (autoencoder_forward, autoencoder_backward_of_the_output_alone),
        AUTO,
    ),
]
