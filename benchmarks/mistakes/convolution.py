"""Mistakes in convolution and pooling."""

import numpy as np

import nnscratch as nn

from .planted import Planted

rng = np.random.default_rng(7)


# --- a filter that slides over a sequence ----------------------------------------------------------------------------


def conv1d_forward(x, w):
    """x (N, L), w (K,): out (N, L - K + 1)."""
    N, L = x.shape
    K = w.shape[0]
    out = np.zeros((N, L - K + 1))
    for t in range(L - K + 1):
        out[:, t] = x[:, t : t + K] @ w
    return out, (x, w)


def conv1d_backward(dout, cache):
    x, w = cache
    K = w.shape[0]
    dx, dw = np.zeros_like(x), np.zeros_like(w)
    for t in range(dout.shape[1]):
        dx[:, t : t + K] += dout[:, t : t + 1] * w
        dw += dout[:, t] @ x[:, t : t + K]
    return dx, dw


def conv1d_backward_reversed(dout, cache):
    x, w = cache
    K = w.shape[0]
    dx, dw = np.zeros_like(x), np.zeros_like(w)
    for t in range(dout.shape[1]):
        dx[:, t : t + K] += dout[:, t : t + 1] * w[::-1]
        dw += dout[:, t] @ x[:, t : t + K]
    return dx, dw


def conv1d_backward_assigned(dout, cache):
    x, w = cache
    K = w.shape[0]
    dx, dw = np.zeros_like(x), np.zeros_like(w)
    for t in range(dout.shape[1]):
        dx[:, t : t + K] += dout[:, t : t + 1] * w
        dw = dout[:, t] @ x[:, t : t + K]
    return dx, dw


# --- CS231n's naive convolution --------------------------------------------------------------------------------------


def conv_forward_naive(x, w, b):
    """Stride 1, padding 1."""
    N, C, H, W = x.shape
    F, _, HH, WW = w.shape
    xp = np.pad(x, ((0, 0), (0, 0), (1, 1), (1, 1)))
    Ho, Wo = H + 3 - HH, W + 3 - WW
    out = np.zeros((N, F, Ho, Wo))
    for i in range(Ho):
        for j in range(Wo):
            window = xp[:, :, i : i + HH, j : j + WW]
            for f in range(F):
                out[:, f, i, j] = np.sum(window * w[f], axis=(1, 2, 3)) + b[f]
    return out, (xp, w, b)


def conv_backward_naive(dout, cache):
    xp, w, b = cache
    F, _, HH, WW = w.shape
    dxp, dw, db = np.zeros_like(xp), np.zeros_like(w), np.zeros_like(b)
    for i in range(dout.shape[2]):
        for j in range(dout.shape[3]):
            window = xp[:, :, i : i + HH, j : j + WW]
            for f in range(F):
                d = dout[:, f, i, j][:, None, None, None]
                dw[f] += np.sum(d * window, axis=0)
                db[f] += dout[:, f, i, j].sum()
                dxp[:, :, i : i + HH, j : j + WW] += d * w[f]
    return dxp[:, :, 1:-1, 1:-1], dw, db


def conv_backward_cut_off_at_one_side(dout, cache):
    xp, w, b = cache
    F, _, HH, WW = w.shape
    dxp, dw, db = np.zeros_like(xp), np.zeros_like(w), np.zeros_like(b)
    for i in range(dout.shape[2]):
        for j in range(dout.shape[3]):
            window = xp[:, :, i : i + HH, j : j + WW]
            for f in range(F):
                d = dout[:, f, i, j][:, None, None, None]
                dw[f] += np.sum(d * window, axis=0)
                db[f] += dout[:, f, i, j].sum()
                dxp[:, :, i : i + HH, j : j + WW] += d * w[f]
    return dxp[:, :, 1:-1, :-2], dw, db


def conv_backward_of_one_image(dout, cache):
    xp, w, b = cache
    F, _, HH, WW = w.shape
    dxp, dw, db = np.zeros_like(xp), np.zeros_like(w), np.zeros_like(b)
    for i in range(dout.shape[2]):
        for j in range(dout.shape[3]):
            window = xp[:, :, i : i + HH, j : j + WW]
            for f in range(F):
                d = dout[:, f, i, j][:, None, None, None]
                dw[f] += dout[0, f, i, j] * window[0]
                db[f] += dout[:, f, i, j].sum()
                dxp[:, :, i : i + HH, j : j + WW] += d * w[f]
    return dxp[:, :, 1:-1, 1:-1], dw, db


# --- by im2col, in the form of "Deep Learning from Scratch" ----------------------------------------------------------


def im2col(x, K):
    """(N, C, H, W) -> (N Ho Wo, C K K)."""
    N, C, H, W = x.shape
    windows = np.lib.stride_tricks.sliding_window_view(x, (K, K), axis=(2, 3))
    return windows.transpose(0, 2, 3, 1, 4, 5).reshape(N * (H - K + 1) * (W - K + 1), -1)


def col2im(col, shape, K):
    N, C, H, W = shape
    Ho, Wo = H - K + 1, W - K + 1
    col = col.reshape(N, Ho, Wo, C, K, K).transpose(0, 3, 4, 5, 1, 2)
    x = np.zeros(shape)
    for i in range(K):
        for j in range(K):
            x[:, :, i : i + Ho, j : j + Wo] += col[:, :, i, j]
    return x


class Convolution:
    def __init__(self, W, b):
        self.W, self.b = W, b
        self.dW, self.db = np.zeros_like(W), np.zeros_like(b)

    def forward(self, x):
        FN, C, K, _ = self.W.shape
        N, C, H, W = x.shape
        self.x, self.col = x, im2col(x, K)
        self.col_W = self.W.reshape(FN, -1).T
        out = np.dot(self.col, self.col_W) + self.b
        return out.reshape(N, H - K + 1, W - K + 1, FN).transpose(0, 3, 1, 2)

    def backward(self, dout):
        FN, C, K, _ = self.W.shape
        dout = dout.transpose(0, 2, 3, 1).reshape(-1, FN)
        self.db = np.sum(dout, axis=0)
        self.dW = np.dot(self.col.T, dout).T.reshape(FN, C, K, K)
        return col2im(np.dot(dout, self.col_W.T), self.x.shape, K)


class ConvolutionReshaped(Convolution):
    def backward(self, dout):
        FN, C, K, _ = self.W.shape
        dout = dout.transpose(0, 2, 3, 1).reshape(-1, FN)
        self.db = np.sum(dout, axis=0)
        self.dW = np.dot(self.col.T, dout).reshape(FN, C, K, K)
        return col2im(np.dot(dout, self.col_W.T), self.x.shape, K)


class ConvolutionWithAWideBias(Convolution):
    def backward(self, dout):
        FN, C, K, _ = self.W.shape
        self.db = np.sum(dout, axis=0)
        dout = dout.transpose(0, 2, 3, 1).reshape(-1, FN)
        self.dW = np.dot(self.col.T, dout).T.reshape(FN, C, K, K)
        return col2im(np.dot(dout, self.col_W.T), self.x.shape, K)


# --- pooling ---------------------------------------------------------------------------------------------------------


class MaxPool2x2(nn.Module):
    def forward(self, x):
        N, C, H, W = x.shape
        blocks = x.reshape(N, C, H // 2, 2, W // 2, 2)
        y = blocks.max(axis=(3, 5))
        self.save_for_backward(blocks, y)
        return y

    def backward(self, dy):
        blocks, y = self.saved()
        mask = blocks == y[:, :, :, None, :, None]
        dx = mask * dy[:, :, :, None, :, None]
        N, C, Ho, _, Wo, _ = blocks.shape
        return dx.reshape(N, C, 2 * Ho, 2 * Wo)


class MaxPool2x2ToEveryone(MaxPool2x2):
    def backward(self, dy):
        blocks, y = self.saved()
        N, C, Ho, _, Wo, _ = blocks.shape
        dx = np.repeat(np.repeat(dy, 2, axis=2), 2, axis=3)
        return dx


def avg_pool_forward(x):
    N, C, H, W = x.shape
    return x.reshape(N, C, H // 2, 2, W // 2, 2).mean(axis=(3, 5)), x.shape


def avg_pool_backward(dout, shape):
    return np.repeat(np.repeat(dout, 2, axis=2), 2, axis=3) / 4


def avg_pool_backward_not_divided(dout, shape):
    return np.repeat(np.repeat(dout, 2, axis=2), 2, axis=3)


ROW, FILTER = rng.normal(size=(3, 7)), rng.normal(size=3)
IMAGES = rng.normal(size=(2, 2, 4, 4))
KERNELS, B = rng.normal(size=(3, 2, 3, 3)), rng.normal(size=3)

CORRECT = [
    ((conv1d_forward, conv1d_backward), (ROW, FILTER), {}),
    ((conv_forward_naive, conv_backward_naive), (IMAGES, KERNELS, B), {}),
    (Convolution(KERNELS.copy(), B.copy()), (IMAGES,), {}),
    (MaxPool2x2(), (IMAGES,), {}),
    ((avg_pool_forward, avg_pool_backward), (IMAGES,), {}),
]

MISTAKES = [
    Planted("axes reversed", "dx with the filter reversed", (conv1d_forward, conv1d_backward_reversed), (ROW, FILTER)),
    Planted(
        "only the last round of the loop counted",
        "dw = ... instead of dw += ... over the windows",
        (conv1d_forward, conv1d_backward_assigned),
        (ROW, FILTER),
    ),
    Planted(
        "shifted by one",
        "the padding removed by [:-2] instead of [1:-1]",
        (conv_forward_naive, conv_backward_cut_off_at_one_side),
        (IMAGES, KERNELS, B),
    ),
    Planted(
        "one sample counted",
        "dw[f] += dout[0] * window[0]",
        (conv_forward_naive, conv_backward_of_one_image),
        (IMAGES, KERNELS, B),
    ),
    Planted(
        "reshaped instead of transposed",
        "dW = (col.T dout).reshape(...), without .T",
        ConvolutionReshaped(KERNELS.copy(), B.copy()),
        (IMAGES,),
    ),
    Planted(
        "broadcast axis not summed",
        "db = dout.sum(axis=0), which leaves shape (F, H, W)",
        ConvolutionWithAWideBias(KERNELS.copy(), B.copy()),
        (IMAGES,),
    ),
    Planted("mask not applied", "max pooling: dy passed to the whole window", MaxPool2x2ToEveryone(), (IMAGES,)),
    Planted(
        "scaled by a constant",
        "average pooling: not divided by 4",
        (avg_pool_forward, avg_pool_backward_not_divided),
        (IMAGES,),
    ),
]
