"""Mistakes that public bug reports show and that the other files do not contain, each in several forms.

Every builder takes `bad`. If it is True, the builder returns code with the mistake, else the corrected code.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from .planted import Planted

MISTAKES: list[Planted] = []
CORRECT: list[tuple] = []


def planted(area: str, mistake: str, what: str, *inputs: Any, also: tuple[str, ...] = (), says: str = "") -> Callable:
    """Add a builder's code to `MISTAKES`, and the same code without the mistake to `CORRECT`."""

    def keep(build: Callable) -> Callable:
        MISTAKES.append(Planted(mistake, what, build(True), inputs, also=also, says=says, area=area))
        CORRECT.append((area, build(False), inputs, {}))
        return build

    return keep


def normal(seed: int, *shape: int) -> np.ndarray:
    return np.random.default_rng(seed).normal(size=shape)


def sigmoid(z):
    return 1 / (1 + np.exp(-z))


# --- columns: the examples lie along axis 1 --------------------------------------------------------------------------


@planted("linear", "one sample counted", "columns: dW from the last example", normal(1, 4, 3), normal(2, 3, 5))
def columns_of_the_last_example(bad):
    def forward(w, x):
        return np.tanh(w @ x), (w, x)

    def backward(d, cache):
        w, x = cache
        dz = d * (1 - np.tanh(w @ x) ** 2)
        return (dz[:, -1:] @ x[:, -1:].T if bad else dz @ x.T), w.T @ dz

    return forward, backward


@planted(
    "linear",
    "summed over the wrong axis",
    "columns: db.sum(axis=0), where N = M",
    normal(3, 4, 3),
    normal(4, 3, 4),
    normal(5, 4, 1),
)
def columns_summed_over_features(bad):
    def forward(w, x, b):
        return w @ x + b, (w, x)

    def backward(d, cache):
        w, x = cache
        return d @ x.T, w.T @ d, d.sum(axis=0).reshape(-1, 1) if bad else d.sum(axis=1, keepdims=True)

    return forward, backward


@planted(
    "linear",
    "summed over the wrong axis",
    "db = dout.sum(), for every element",
    normal(6, 5, 3),
    normal(7, 3, 4),
    normal(8, 4),
)
def summed_over_everything(bad):
    def forward(x, w, b):
        return np.tanh(x @ w + b), (x, w, b)

    def backward(d, cache):
        x, w, b = cache
        dz = d * (1 - np.tanh(x @ w + b) ** 2)
        return dz @ w.T, x.T @ dz, np.full(b.shape, dz.sum()) if bad else dz.sum(axis=0)

    return forward, backward


@planted(
    "linear", "reshape missing", "db with keepdims: (1, M) for b (M,)", normal(9, 5, 3), normal(10, 3, 4), normal(11, 4)
)
def bias_keeps_its_axis(bad):
    def forward(x, w, b):
        return x @ w + b, (x, w)

    def backward(d, cache):
        x, w = cache
        return d @ w.T, x.T @ d, d.sum(axis=0, keepdims=bad)

    return forward, backward


@planted("linear", "the wrong array used", "the gradient of b1 is returned for b2 too", normal(12, 4), normal(13, 4))
def one_gradient_for_two(bad):
    X = normal(14, 5, 4)

    def f(b1, b2):
        h = np.tanh(X + b1)
        db2 = (2 * (h + b2)).sum(axis=0)
        db1 = (2 * (h + b2) * (1 - h**2)).sum(axis=0)
        return np.sum((h + b2) ** 2), (db1, db1 if bad else db2)

    return f


@planted(
    "linear",
    "bias's share missing",
    "forward uses b1 in both layers",
    normal(15, 3, 4),
    normal(16, 4),
    normal(17, 4),
    also=("a path missing",),
)
def one_bias_in_two_layers(bad):
    X, V = normal(18, 5, 3), normal(19, 4, 4)

    def f(w, b1, b2):
        h = np.tanh(X @ w + b1)
        y = h @ V + (b1 if bad else b2)
        dz = 2 * y @ V.T * (1 - h**2)
        return np.sum(y**2), (X.T @ dz, dz.sum(axis=0), 2 * y.sum(axis=0))

    return f


@planted(
    "linear", "transposed", "solve(A, d) instead of solve(A.T, d)", normal(20, 3, 3) + 3 * np.eye(3), normal(21, 3)
)
def solved_with_the_matrix_itself(bad):
    def forward(a, b):
        return np.linalg.solve(a, b), a

    def backward(d, a):
        g = np.linalg.solve(a if bad else a.T, d)
        return -np.outer(g, np.linalg.solve(a, backward.b)), g

    b = normal(21, 3)
    backward.b = b
    return forward, backward


@planted("linear", "sign flipped", "Y.T dY Y.T, for the inverse Y", normal(22, 3, 3) + 3 * np.eye(3))
def inverse_without_its_minus(bad):
    def backward(d, a):
        y = np.linalg.inv(a)
        return (1 if bad else -1) * y.T @ d @ y.T

    return lambda a: (np.linalg.inv(a), a), backward


# --- slopes and masks ------------------------------------------------------------------------------------------------


@planted(
    "activation", "activation's derivative wrong", "1 - s(s(z)) for the slope of s", normal(25, 4, 3), normal(26, 3, 2)
)
def sigmoid_twice(bad):
    def forward(x, w):
        return sigmoid(x @ w), (x, w)

    def backward(d, cache):
        x, w = cache
        s = sigmoid(x @ w)
        dz = d * (1 - sigmoid(s)) if bad else d * s * (1 - s)
        return dz @ w.T, x.T @ dz

    return forward, backward


@planted(
    "activation",
    "derivative taken at the wrong value",
    "x (1 - x): the formula for the output, at the input",
    normal(27, 4, 3),
    normal(28, 3, 2),
)
def output_formula_at_the_input(bad):
    def forward(x, w):
        return np.tanh(x @ w), (x, w)

    def backward(d, cache):
        x, w = cache
        z = x @ w
        dz = d * (1 - z**2) if bad else d * (1 - np.tanh(z) ** 2)
        return dz @ w.T, x.T @ dz

    return forward, backward


@planted("activation", "derivative taken at the wrong value", "ELU: alpha + x instead of alpha + y", normal(29, 5, 4))
def elu_at_the_input(bad):
    def backward(d, x):
        y = np.where(x > 0, x, 1.5 * (np.exp(x) - 1))
        return d * np.where(x > 0, 1, (x if bad else y) + 1.5)

    return lambda x: (np.where(x > 0, x, 1.5 * (np.exp(x) - 1)), x), backward


@planted(
    "activation",
    "another mask applied",
    "hard tanh: passes where |z| < 2",
    normal(30, 6, 3),
    normal(31, 3, 3),
    says="threshold",
)
def hard_tanh_with_another_limit(bad):
    def forward(x, w):
        return np.clip(x @ w, -1, 1), (x, w)

    def backward(d, cache):
        x, w = cache
        dz = d * (np.abs(x @ w) < (2 if bad else 1))
        return dz @ w.T, x.T @ dz

    return forward, backward


@planted(
    "activation",
    "another mask applied",
    "ReLU: passes where z > 0.5",
    normal(32, 5, 3),
    normal(33, 3, 4),
    says="threshold",
)
def relu_with_another_threshold(bad):
    def forward(x, w):
        return np.maximum(x @ w, 0), (x, w)

    def backward(d, cache):
        x, w = cache
        dz = d * (x @ w > (0.5 if bad else 0))
        return dz @ w.T, x.T @ dz

    return forward, backward


@planted("activation", "activation's derivative wrong", "the middle branch's slope: 1 instead of 1/2", normal(34, 4, 5))
def slope_of_one_branch(bad):
    def forward(x):
        return np.where(x < -1, 0.1 * (x + 1), np.where(x > 1, 0.1 * (x - 1) + 1, x / 2 + 0.5)), x

    def backward(d, x):
        return d * np.where(np.abs(x) > 1, 0.1, 1.0 if bad else 0.5)

    return forward, backward


@planted(
    "activation",
    "Jacobian reduced to its diagonal",
    "softmax over axis 0: p (1 - p)",
    normal(35, 4, 3),
    normal(36, 3, 5),
)
def softmax_of_columns(bad):
    def forward(w, x):
        z = w @ x
        e = np.exp(z - z.max(axis=0))
        return e / e.sum(axis=0), (w, x)

    def backward(d, cache):
        w, x = cache
        p = forward(w, x)[0]
        dz = d * p * (1 - p) if bad else p * (d - (d * p).sum(axis=0))
        return dz @ x.T, w.T @ dz

    return forward, backward


@planted("activation", "sign flipped", "log-softmax: dy + p sum(dy)", normal(37, 4, 3))
def log_softmax_sign(bad):
    def forward(x):
        z = x - x.max(axis=1, keepdims=True)
        return z - np.log(np.exp(z).sum(axis=1, keepdims=True)), x

    def backward(d, x):
        p = np.exp(forward(x)[0])
        return d + (1 if bad else -1) * p * d.sum(axis=1, keepdims=True)

    return forward, backward


# --- losses ----------------------------------------------------------------------------------------------------------


@planted("loss", "upstream gradient wrong", "one loss for each sample: dy[0] for all", normal(40, 4, 3))
def first_samples_gradient_for_all(bad):
    t = np.array([0, 2, 1, 1])

    def forward(x):
        e = np.exp(x - x.max(axis=1, keepdims=True))
        p = e / e.sum(axis=1, keepdims=True)
        return -np.log(p[np.arange(4), t]), p

    def backward(d, p):
        g = p - np.eye(3)[t]
        return g * d[0] if bad else g * d[:, None]

    return forward, backward


# --- normalisation ---------------------------------------------------------------------------------------------------


@planted("normalisation", "summed over the wrong axis", "layer norm: means over everything", normal(45, 5, 4))
def layer_norm_over_everything(bad):
    def forward(x):
        s = x.std(axis=1, keepdims=True)
        xhat = (x - x.mean(axis=1, keepdims=True)) / s
        return xhat, (xhat, s)

    def backward(d, cache):
        xhat, s = cache
        if bad:
            return (d - d.mean() - xhat * (d * xhat).mean()) / s
        return (d - d.mean(axis=1, keepdims=True) - xhat * (d * xhat).mean(axis=1, keepdims=True)) / s

    return forward, backward


@planted(
    "normalisation",
    "summed over the wrong axis",
    "batch norm: means over the features",
    normal(46, 4, 4),
    normal(47, 4),
)
def batch_norm_over_features(bad):
    def forward(x, gamma):
        s = np.sqrt(x.var(axis=0) + 1e-5)
        xhat = (x - x.mean(axis=0)) / s
        return gamma * xhat, (xhat, s, gamma)

    def backward(d, cache):
        xhat, s, gamma = cache
        g, axis = d * gamma, 1 if bad else 0
        dx = (g - g.mean(axis=axis, keepdims=True) - xhat * (g * xhat).mean(axis=axis, keepdims=True)) / s
        return dx, (d * xhat).sum(axis=0)

    return forward, backward


@planted(
    "normalisation",
    "a constant differentiated",
    "running statistics, differentiated like those of the batch",
    normal(48, 6, 3),
    normal(49, 3),
)
def running_statistics(bad):
    mean, deviation = np.array([0.1, -0.2, 0.3]), np.array([0.9, 1.2, 0.8])

    def forward(x, gamma):
        xhat = (x - mean) / deviation
        return gamma * xhat, (xhat, gamma)

    def backward(d, cache):
        xhat, gamma = cache
        g = d * gamma
        dx = g - g.mean(axis=0) - xhat * (g * xhat).mean(axis=0) if bad else g
        return dx / deviation, (d * xhat).sum(axis=0)

    return forward, backward


@planted("normalisation", "a constant differentiated", "division by a constant norm, differentiated", normal(50, 4, 3))
def constant_norm(bad):
    norm = np.array([[1.3], [0.7], [1.1], [2.0]])

    def backward(d, x):
        y = x / norm
        return (d - y * (d * y).sum(axis=1, keepdims=True)) / norm if bad else d / norm

    return lambda x: (x / norm, x), backward


# --- windows ---------------------------------------------------------------------------------------------------------


@planted("convolution", "axes reversed", "dx with the kernel that is not rotated", normal(55, 6, 5), normal(56, 3, 3))
def kernel_not_rotated(bad):
    def forward(x, w):
        H, W = x.shape[0] - 2, x.shape[1] - 2
        return np.array([[(x[i : i + 3, j : j + 3] * w).sum() for j in range(W)] for i in range(H)]), (x, w)

    def backward(d, cache):
        x, w = cache
        padded, kernel = np.pad(d, 2), w if bad else w[::-1, ::-1]
        dx = [[(padded[i : i + 3, j : j + 3] * kernel).sum() for j in range(5)] for i in range(6)]
        dw = [[(d * x[i : i + d.shape[0], j : j + d.shape[1]]).sum() for j in range(3)] for i in range(3)]
        return np.array(dx), np.array(dw)

    return forward, backward


@planted("convolution", "stride forgotten", "dx[i : i + 3] += for a stride of 2", normal(57, 11), normal(58, 3))
def stride_of_one_in_backward(bad):
    def forward(x, w):
        return np.array([x[2 * i : 2 * i + 3] @ w for i in range(5)]), (x, w)

    def backward(d, cache):
        x, w = cache
        dx, dw = np.zeros_like(x), np.zeros_like(w)
        for i in range(5):
            start = i if bad else 2 * i
            dx[start : start + 3] += d[i] * w
            dw += d[i] * x[2 * i : 2 * i + 3]
        return dx, dw

    return forward, backward


@planted(
    "convolution",
    "only the first round of the loop counted",
    "return inside the loop over the windows",
    normal(59, 4, 6, 2),
)
def returned_inside_the_loop(bad):
    def forward(x):
        y = np.zeros((2, 3, 2))
        for i in range(2):
            for j in range(3):
                y[i, j] = x[2 * i : 2 * i + 2, 2 * j : 2 * j + 2].mean(axis=(0, 1))
        return y, x

    def backward(d, x):
        dx = np.zeros_like(x)
        for i in range(2):
            for j in range(3):
                dx[2 * i : 2 * i + 2, 2 * j : 2 * j + 2] += d[i, j] / 4
                if bad:
                    return dx
        return dx

    return forward, backward


@planted(
    "convolution",
    "scaled by a constant",
    "the last window is clipped, and divided by the full size",
    normal(60, 3, 5),
    says="[2]",
)
def clipped_window(bad):
    def forward(x):
        return np.stack([x[:, i : i + 2].mean(axis=1) for i in range(0, 5, 2)], axis=1), x.shape

    def backward(d, shape):
        dx = np.zeros(shape)
        for t, i in enumerate(range(0, 5, 2)):
            dx[:, i : i + 2] += d[:, t : t + 1] / (2 if bad else min(2, 5 - i))
        return dx

    return forward, backward


@planted("embedding", "rows met twice counted once", "dE[ids[n]] += in a loop over the samples", normal(61, 5, 3))
def repeated_in_one_row(bad):
    ids = np.array([[0, 2, 2], [1, 1, 3]])

    def backward(d, e):
        g = np.zeros_like(e)
        for n in range(2):
            if bad:
                g[ids[n]] += d[n]
            else:
                np.add.at(g, ids[n], np.broadcast_to(d[n], (3, 3)))
        return g

    return lambda e: (np.tanh(e)[ids].sum(axis=1), e), lambda d, e: backward(d, e) * (1 - np.tanh(e) ** 2)


# --- time ------------------------------------------------------------------------------------------------------------


def rnn(step: Callable) -> tuple:
    """Return (forward, backward) of an RNN over axis 1; ``step(dh, back)`` is the gradient of the previous state."""

    def forward(x, wx, wh):
        h = [np.zeros((len(x), 3))]
        for t in range(x.shape[1]):
            h.append(np.tanh(x[:, t] @ wx + h[-1] @ wh))
        return np.stack(h[1:], axis=1), (x, wx, wh, h)

    def backward(d, cache):
        x, wx, wh, h = cache
        dx, dwx, dwh, dh = np.zeros_like(x), np.zeros_like(wx), np.zeros_like(wh), np.zeros((len(x), 3))
        for t in reversed(range(x.shape[1])):
            dz = (d[:, t] + dh) * (1 - h[t + 1] ** 2)
            dx[:, t] = dz @ wx.T
            dwx += x[:, t].T @ dz
            dwh += h[t].T @ dz
            dh = step(dh, dz @ wh.T)
        return dx, dwx, dwh

    return forward, backward


@planted(
    "RNN", "accumulator not reset", "dh = dh + dz @ wh.T", normal(65, 2, 4, 2), normal(66, 2, 3), 0.5 * normal(67, 3, 3)
)
def running_sum_of_dh(bad):
    return rnn(lambda dh, back: dh + back if bad else back)


@planted(
    "RNN",
    "the first time step not counted",
    "the loop over time ends after 3 of 6 steps",
    np.array(1.2),
    np.array(0.9),
    says="first 3 of 6",
)
def loop_over_the_wrong_axis(bad):
    X = normal(68, 3, 6)

    def f(wx, wh):
        s = [np.zeros(3)]
        for t in range(6):
            s.append(X[:, t] * wx + s[-1] * wh)
        d, dwx, dwh = 2 * s[-1] / 3, 0.0, 0.0
        for t in range(5, 2 if bad else -1, -1):
            dwx += np.sum(d * X[:, t])
            dwh += np.sum(d * s[t])
            d = d * wh
        return np.mean(s[-1] ** 2), (dwx, dwh)

    return f


@planted(
    "RNN",
    "the wrong array used",
    "dwh from h[t - 1] instead of h[t]",
    normal(69, 4, 2),
    normal(70, 2, 3),
    0.6 * normal(71, 3, 3),
)
def state_one_off(bad):
    def forward(x, wx, wh):
        h = [np.zeros(3)]
        for row in x:
            h.append(np.tanh(row @ wx + h[-1] @ wh))
        return h[-1], (x, wx, wh, h)

    def backward(d, cache):
        x, wx, wh, h = cache
        dx, dwx, dwh = np.zeros_like(x), np.zeros_like(wx), np.zeros_like(wh)
        for t in reversed(range(len(x))):
            dz = d * (1 - h[t + 1] ** 2)
            dx[t], dwx = wx @ dz, dwx + np.outer(x[t], dz)
            dwh += np.outer(h[t - 1] if bad else h[t], dz)
            d = wh @ dz
        return dx, dwx, dwh

    return forward, backward


@planted(
    "RNN",
    "only the first time step counted",
    "time on axis 0: dwx = in the loop",
    normal(72, 4, 2, 2),
    normal(73, 2, 3),
    0.5 * normal(74, 3, 3),
)
def time_on_axis_0(bad):
    def forward(x, wx, wh):
        h = [np.zeros((2, 3))]
        for t in range(4):
            h.append(np.tanh(x[t] @ wx + h[-1] @ wh))
        return np.stack(h[1:]), (x, wx, wh, h)

    def backward(d, cache):
        x, wx, wh, h = cache
        dx, dwx, dwh, dh = np.zeros_like(x), np.zeros_like(wx), np.zeros_like(wh), 0
        for t in reversed(range(4)):
            dz = (d[t] + dh) * (1 - h[t + 1] ** 2)
            dx[t], dwh = dz @ wx.T, dwh + h[t].T @ dz
            dwx = x[t].T @ dz if bad else dwx + x[t].T @ dz
            dh = dz @ wh.T
        return dx, dwx, dwh

    return forward, backward


@planted(
    "GRU",
    "the state's own path missing",
    "dh_next is never updated, and the state has four uses",
    normal(75, 2, 4, 2),
    normal(76, 2, 9),
    0.6 * normal(77, 3, 9),
)
def gru_state_never_updated(bad):
    def forward(x, wx, wh):
        h, steps = np.zeros((len(x), 3)), []
        for t in range(x.shape[1]):
            a = x[:, t] @ wx
            z, r = sigmoid(a[:, :3] + h @ wh[:, :3]), sigmoid(a[:, 3:6] + h @ wh[:, 3:6])
            n = np.tanh(a[:, 6:] + (r * h) @ wh[:, 6:])
            steps.append((h, z, r, n))
            h = (1 - z) * h + z * n
        return h, (x, wx, wh, steps)

    def backward(d, cache):
        x, wx, wh, steps = cache
        dx, dwx, dwh, dh = np.zeros_like(x), np.zeros_like(wx), np.zeros_like(wh), d
        for t in reversed(range(x.shape[1])):
            h, z, r, n = steps[t]
            dn = dh * z * (1 - n**2)
            drh = dn @ wh[:, 6:].T
            da = np.hstack([dh * (n - h) * z * (1 - z), drh * h * r * (1 - r), dn])
            dx[:, t] = da @ wx.T
            dwx += x[:, t].T @ da
            dwh += np.hstack([h.T @ da[:, :6], (r * h).T @ dn])
            dh = dh * (1 - z) + drh * r + da[:, :6] @ wh[:, :6].T
            if bad:
                dh = np.zeros_like(dh)
        return dx, dwx, dwh

    return forward, backward


@planted(
    "linear",
    "activation's derivative missing",
    "in a larger net, the gradient of one bias alone lacks tanh's slope",
    normal(80, 3, 4),
    normal(81, 4),
    normal(82, 4, 3),
    normal(83, 3),
)
def bias_from_the_activations_gradient(bad):
    X, t = normal(84, 6, 3), np.array([0, 2, 1, 1, 0, 2])

    def f(w1, b1, w2, b2):
        h = np.tanh(X @ w1 + b1)
        z = h @ w2 + b2
        e = np.exp(z - z.max(axis=1, keepdims=True))
        p = e / e.sum(axis=1, keepdims=True)
        dz = (p - np.eye(3)[t]) / 6
        dh = dz @ w2.T
        da = dh * (1 - h**2)
        gradients = X.T @ da, (dh if bad else da).sum(axis=0), h.T @ dz, dz.sum(axis=0)
        return -np.mean(np.log(p[np.arange(6), t])), gradients

    return f


@planted(
    "LSTM",
    "the state's own path missing",
    "columns, [h, x] stacked: neither dh_next nor dc_next is updated",
    normal(85, 4, 2, 1),
    0.6 * normal(86, 12, 5),
    normal(87, 12, 1),
)
def lstm_states_never_updated(bad):
    def forward(x, w, b):
        h, c, steps = np.zeros((3, 1)), np.zeros((3, 1)), []
        for column in x:
            z = np.vstack([h, column])
            a = w @ z + b
            f, i, o, g = sigmoid(a[:3]), sigmoid(a[3:6]), sigmoid(a[6:9]), np.tanh(a[9:])
            steps.append((z, c, f, i, o, g))
            c = f * c + i * g
            h = o * np.tanh(c)
        return h, (w, c, steps)

    def backward(d, cache):
        w, c, steps = cache
        dx, dw, db, dc = np.zeros((4, 2, 1)), np.zeros_like(w), np.zeros((12, 1)), np.zeros((3, 1))
        for t in reversed(range(4)):
            z, before, f, i, o, g = steps[t]
            s = np.tanh(f * before + i * g)
            dc = dc + d * o * (1 - s**2)
            da = np.vstack([dc * before * f * (1 - f), dc * g * i * (1 - i), d * s * o * (1 - o), dc * i * (1 - g**2)])
            dz = w.T @ da
            dx[t], dw, db = dz[3:], dw + da @ z.T, db + da
            d, dc = (0 * d, 0 * dc) if bad else (dz[:3], dc * f)
        return dx, dw, db

    return forward, backward


@planted(
    "linear",
    "summed over the wrong axis",
    "db.sum() of everything: a number for b (4, 1)",
    normal(88, 4, 3),
    normal(89, 3, 5),
    normal(90, 4, 1),
)
def number_for_a_column(bad):
    def forward(w, x, b):
        return np.tanh(w @ x + b), (w, x, b)

    def backward(d, cache):
        w, x, b = cache
        dz = d * (1 - np.tanh(w @ x + b) ** 2)
        return dz @ x.T, w.T @ dz, np.sum(dz) if bad else dz.sum(axis=1, keepdims=True)

    return forward, backward
