"""Mistakes in losses."""

import numpy as np

import nnscratch as nn

from .planted import Planted

rng = np.random.default_rng(5)
SCORES, LABELS = rng.normal(size=(6, 4)), np.array([0, 3, 1, 1, 2, 0])
Y, T = rng.normal(size=(6, 4)), rng.normal(size=(6, 4))


def mse(y):
    return np.mean((y - T) ** 2), 2 * (y - T) / y.size


def mse_of_the_sum(y):
    return np.mean((y - T) ** 2), 2 * (y - T)


class MeanSquaredError(nn.Module):
    def forward(self, y, t):
        self.save_for_backward(y - t)
        return float(np.mean((y - t) ** 2))

    def backward(self):
        (difference,) = self.saved()
        return 2 * difference / difference.size


class MeanSquaredErrorWithoutTheTwo(MeanSquaredError):
    def backward(self):
        (difference,) = self.saved()
        return difference / difference.size


def softmax_loss(x, y):
    """As in CS231n: return the loss and the gradient of the scores."""
    shifted = x - np.max(x, axis=1, keepdims=True)
    Z = np.sum(np.exp(shifted), axis=1, keepdims=True)
    log_probs = shifted - np.log(Z)
    probs = np.exp(log_probs)
    N = x.shape[0]
    loss = -np.sum(log_probs[np.arange(N), y]) / N
    dx = probs.copy()
    dx[np.arange(N), y] -= 1
    dx /= N
    return loss, dx


def softmax_loss_not_averaged(x, y):
    shifted = x - np.max(x, axis=1, keepdims=True)
    Z = np.sum(np.exp(shifted), axis=1, keepdims=True)
    log_probs = shifted - np.log(Z)
    probs = np.exp(log_probs)
    N = x.shape[0]
    loss = -np.sum(log_probs[np.arange(N), y]) / N
    dx = probs.copy()
    dx[np.arange(N), y] -= 1
    return loss, dx


def softmax_loss_one_off(x, y):
    shifted = x - np.max(x, axis=1, keepdims=True)
    Z = np.sum(np.exp(shifted), axis=1, keepdims=True)
    log_probs = shifted - np.log(Z)
    probs = np.exp(log_probs)
    N = x.shape[0]
    loss = -np.sum(log_probs[np.arange(N), y]) / N
    dx = probs.copy()
    dx[np.arange(N), y - 1] -= 1
    dx /= N
    return loss, dx


def softmax_loss_without_the_target(x, y):
    shifted = x - np.max(x, axis=1, keepdims=True)
    Z = np.sum(np.exp(shifted), axis=1, keepdims=True)
    log_probs = shifted - np.log(Z)
    probs = np.exp(log_probs)
    N = x.shape[0]
    loss = -np.sum(log_probs[np.arange(N), y]) / N
    dx = probs / N
    return loss, dx


class SoftmaxThenCrossEntropy:
    """Two steps in one class; t is one-hot."""

    def forward(self, x, t):
        e = np.exp(x - np.max(x, axis=1, keepdims=True))
        self.y, self.t = e / np.sum(e, axis=1, keepdims=True), t
        return -np.sum(t * np.log(self.y)) / len(x)

    def backward(self, dout=1):
        dy = -self.t / self.y / len(self.y)
        return dout * self.y * (dy - np.sum(dy * self.y, axis=1, keepdims=True))


class SoftmaxThenCrossEntropyByItsDiagonal(SoftmaxThenCrossEntropy):
    def backward(self, dout=1):
        dy = -self.t / self.y / len(self.y)
        return dout * dy * self.y * (1 - self.y)


def temporal_softmax_loss(x, y, mask):
    """As in CS231n, for captions: padding is masked."""
    N, T, V = x.shape
    x_flat, y_flat, mask_flat = x.reshape(N * T, V), y.reshape(N * T), mask.reshape(N * T)
    probs = np.exp(x_flat - np.max(x_flat, axis=1, keepdims=True))
    probs /= np.sum(probs, axis=1, keepdims=True)
    loss = -np.sum(mask_flat * np.log(probs[np.arange(N * T), y_flat])) / N
    dx_flat = probs.copy()
    dx_flat[np.arange(N * T), y_flat] -= 1
    dx_flat /= N
    dx_flat *= mask_flat[:, None]
    return loss, dx_flat.reshape(N, T, V)


def temporal_softmax_loss_without_its_mask(x, y, mask):
    N, T, V = x.shape
    x_flat, y_flat, mask_flat = x.reshape(N * T, V), y.reshape(N * T), mask.reshape(N * T)
    probs = np.exp(x_flat - np.max(x_flat, axis=1, keepdims=True))
    probs /= np.sum(probs, axis=1, keepdims=True)
    loss = -np.sum(mask_flat * np.log(probs[np.arange(N * T), y_flat])) / N
    dx_flat = probs.copy()
    dx_flat[np.arange(N * T), y_flat] -= 1
    dx_flat /= N
    return loss, dx_flat.reshape(N, T, V)


def svm_loss(x, y):
    N = x.shape[0]
    correct = x[np.arange(N), y][:, None]
    margins = np.maximum(0, x - correct + 1.0)
    margins[np.arange(N), y] = 0
    loss = np.sum(margins) / N
    dx = (margins > 0).astype(float)
    dx[np.arange(N), y] -= (margins > 0).sum(axis=1)
    return loss, dx / N


def svm_loss_without_the_correct_class(x, y):
    N = x.shape[0]
    correct = x[np.arange(N), y][:, None]
    margins = np.maximum(0, x - correct + 1.0)
    margins[np.arange(N), y] = 0
    loss = np.sum(margins) / N
    dx = np.zeros_like(x)
    dx[margins > 0] = 1
    return loss, dx / N


class BinaryCrossEntropy:
    def forward(self, z, t):
        self.p, self.t = 1 / (1 + np.exp(-z)), t
        return -np.mean(t * np.log(self.p) + (1 - t) * np.log(1 - self.p))

    def backward(self):
        return (self.p - self.t) / self.p.size


class BinaryCrossEntropyTheOtherWay(BinaryCrossEntropy):
    def backward(self):
        return (self.t - self.p) / self.p.size


class NextToken(nn.Module):
    """Cross-entropy of the next tokens: logits (N, T, V), tokens (N, T + 1)."""

    def forward(self, logits, tokens):
        e = np.exp(logits - logits.max(axis=-1, keepdims=True))
        p = e / e.sum(axis=-1, keepdims=True)
        following = tokens[:, 1:]
        picked = np.take_along_axis(p, following[..., None], axis=-1)
        self.save_for_backward(p, tokens)
        return float(-np.log(picked).mean())

    def backward(self):
        p, tokens = self.saved()
        d = p.copy()
        following = tokens[:, 1:]
        np.put_along_axis(d, following[..., None], np.take_along_axis(d, following[..., None], -1) - 1, axis=-1)
        return d / following.size


class NextTokenOneOff(NextToken):
    def backward(self):
        p, tokens = self.saved()
        d = p.copy()
        following = tokens[:, :-1]
        np.put_along_axis(d, following[..., None], np.take_along_axis(d, following[..., None], -1) - 1, axis=-1)
        return d / following.size


def weighted_softmax_loss(x, y, weights):
    """Softmax loss with a weight for each sample."""
    N = x.shape[0]
    e = np.exp(x - np.max(x, axis=1, keepdims=True))
    probs = e / e.sum(axis=1, keepdims=True)
    loss = np.sum(weights * -np.log(probs[np.arange(N), y])) / N
    dx = probs.copy()
    dx[np.arange(N), y] -= 1
    return loss, weights[:, None] * dx / N


def weighted_softmax_loss_without_the_weights(x, y, weights):
    N = x.shape[0]
    e = np.exp(x - np.max(x, axis=1, keepdims=True))
    probs = e / e.sum(axis=1, keepdims=True)
    loss = np.sum(weights * -np.log(probs[np.arange(N), y])) / N
    dx = probs.copy()
    dx[np.arange(N), y] -= 1
    return loss, dx / N


CAPTIONS = (
    rng.normal(size=(3, 4, 5)),
    rng.integers(0, 5, (3, 4)),
    np.array([[1, 1, 1, 0], [1, 1, 0, 0], [1, 1, 1, 1]]) > 0,
)
TOKENS = np.array([[0, 2, 1, 3], [1, 1, 0, 2]])
ONE_HOT = np.eye(4)[LABELS]
BITS = (rng.uniform(size=(6, 4)) > 0.5) * 1
WEIGHTS = np.array([1, 2, 3, 1, 5, 2])

CORRECT = [
    (mse, (Y,), {}),
    (MeanSquaredError(), (Y, T), {}),
    (softmax_loss, (SCORES, LABELS), {}),
    (SoftmaxThenCrossEntropy(), (SCORES, np.eye(4, dtype=int)[LABELS]), {}),
    (temporal_softmax_loss, CAPTIONS, {}),
    (svm_loss, (SCORES, LABELS), {}),
    (BinaryCrossEntropy(), (SCORES, BITS), {}),
    (NextToken(), (rng.normal(size=(2, 3, 4)), TOKENS), {}),
    (weighted_softmax_loss, (SCORES, LABELS, WEIGHTS), {}),
]

MISTAKES = [
    Planted("scaled by a constant", "mean((y - t)^2): 2 (y - t)", mse_of_the_sum, (Y,), says="24"),
    Planted(
        "scaled by a constant", "mean((y - t)^2): (y - t) / size", MeanSquaredErrorWithoutTheTwo(), (Y, T), says="1/2"
    ),
    Planted(
        "scaled by a constant",
        "cross-entropy's gradient not divided by N",
        softmax_loss_not_averaged,
        (SCORES, LABELS),
        says="N = 6",
    ),
    Planted("target one off", "dx[range(N), y - 1] -= 1", softmax_loss_one_off, (SCORES, LABELS)),
    Planted(
        "target's share missing",
        "dx = probs / N, without subtracting 1 at the label",
        softmax_loss_without_the_target,
        (SCORES, LABELS),
        also=("a path missing",),
    ),
    Planted(
        "Jacobian reduced to its diagonal",
        "softmax, then cross-entropy: dy y (1 - y)",
        SoftmaxThenCrossEntropyByItsDiagonal(),
        (SCORES, np.eye(4, dtype=int)[LABELS]),
    ),
    Planted("mask not applied", "padding counted in backward", temporal_softmax_loss_without_its_mask, CAPTIONS),
    Planted(
        "a path missing",
        "multi-class hinge: no gradient for the correct class",
        svm_loss_without_the_correct_class,
        (SCORES, LABELS),
    ),
    Planted("sign flipped", "binary cross-entropy: (t - p) / size", BinaryCrossEntropyTheOtherWay(), (SCORES, BITS)),
    Planted(
        "target one off",
        "backward takes tokens[:, :-1] where forward takes tokens[:, 1:]",
        NextTokenOneOff(),
        (rng.normal(size=(2, 3, 4)), TOKENS),
    ),
    Planted(
        "a factor missing",
        "each sample's weight forgotten in backward",
        weighted_softmax_loss_without_the_weights,
        (SCORES, LABELS, WEIGHTS),
    ),
]
