"""Mistakes in an LSTM."""

import numpy as np

import nnscratch as nn

from .planted import Planted

rng = np.random.default_rng(29)
N, T, D, H = 3, 4, 2, 4
X, H0, C0 = rng.normal(size=(N, T, D)), rng.normal(size=(N, H)), rng.normal(size=(N, H))
WX, WH, B = rng.normal(size=(D, 4 * H)) * 0.7, rng.normal(size=(H, 4 * H)) * 0.5, rng.normal(size=4 * H)


def sigmoid(a):
    return 1 / (1 + np.exp(-a))


# --- one step, CS231n: gates i, f, o, g ------------------------------------------------------------------------------


def lstm_step_forward(x, prev_h, prev_c, Wx, Wh, b):
    size = prev_h.shape[1]
    a = x @ Wx + prev_h @ Wh + b
    i = sigmoid(a[:, :size])
    f = sigmoid(a[:, size : 2 * size])
    o = sigmoid(a[:, 2 * size : 3 * size])
    g = np.tanh(a[:, 3 * size :])
    next_c = f * prev_c + i * g
    next_h = o * np.tanh(next_c)
    return next_h, next_c, (x, prev_h, prev_c, Wx, Wh, i, f, o, g, next_c)


def lstm_step_backward(dnext_h, dnext_c, cache):
    x, prev_h, prev_c, Wx, Wh, i, f, o, g, next_c = cache
    tanh_c = np.tanh(next_c)
    dc = dnext_c + dnext_h * o * (1 - tanh_c**2)
    da = np.hstack(
        [
            dc * g * i * (1 - i),
            dc * prev_c * f * (1 - f),
            dnext_h * tanh_c * o * (1 - o),
            dc * i * (1 - g**2),
        ]
    )
    return da @ Wx.T, da @ Wh.T, dc * f, x.T @ da, prev_h.T @ da, da.sum(axis=0)


def lstm_step_backward_of_h_alone(dnext_h, dnext_c, cache):
    x, prev_h, prev_c, Wx, Wh, i, f, o, g, next_c = cache
    tanh_c = np.tanh(next_c)
    dc = dnext_h * o * (1 - tanh_c**2)
    da = np.hstack(
        [
            dc * g * i * (1 - i),
            dc * prev_c * f * (1 - f),
            dnext_h * tanh_c * o * (1 - o),
            dc * i * (1 - g**2),
        ]
    )
    return da @ Wx.T, da @ Wh.T, dc * f, x.T @ da, prev_h.T @ da, da.sum(axis=0)


def lstm_step_backward_of_c_alone(dnext_h, dnext_c, cache):
    x, prev_h, prev_c, Wx, Wh, i, f, o, g, next_c = cache
    tanh_c = np.tanh(next_c)
    dc = dnext_c
    da = np.hstack(
        [
            dc * g * i * (1 - i),
            dc * prev_c * f * (1 - f),
            dnext_h * tanh_c * o * (1 - o),
            dc * i * (1 - g**2),
        ]
    )
    return da @ Wx.T, da @ Wh.T, dc * f, x.T @ da, prev_h.T @ da, da.sum(axis=0)


def lstm_step_backward_of_next_c(dnext_h, dnext_c, cache):
    x, prev_h, prev_c, Wx, Wh, i, f, o, g, next_c = cache
    tanh_c = np.tanh(next_c)
    dc = dnext_c + dnext_h * o * (1 - tanh_c**2)
    da = np.hstack(
        [
            dc * g * i * (1 - i),
            dc * next_c * f * (1 - f),
            dnext_h * tanh_c * o * (1 - o),
            dc * i * (1 - g**2),
        ]
    )
    return da @ Wx.T, da @ Wh.T, dc * f, x.T @ da, prev_h.T @ da, da.sum(axis=0)


def lstm_step_backward_slope_at_c(dnext_h, dnext_c, cache):
    x, prev_h, prev_c, Wx, Wh, i, f, o, g, next_c = cache
    tanh_c = np.tanh(next_c)
    dc = dnext_c + dnext_h * o * (1 - next_c**2)
    da = np.hstack(
        [
            dc * g * i * (1 - i),
            dc * prev_c * f * (1 - f),
            dnext_h * tanh_c * o * (1 - o),
            dc * i * (1 - g**2),
        ]
    )
    return da @ Wx.T, da @ Wh.T, dc * f, x.T @ da, prev_h.T @ da, da.sum(axis=0)


def lstm_step_backward_slope_missing(dnext_h, dnext_c, cache):
    x, prev_h, prev_c, Wx, Wh, i, f, o, g, next_c = cache
    tanh_c = np.tanh(next_c)
    dc = dnext_c + dnext_h * o
    da = np.hstack(
        [
            dc * g * i * (1 - i),
            dc * prev_c * f * (1 - f),
            dnext_h * tanh_c * o * (1 - o),
            dc * i * (1 - g**2),
        ]
    )
    return da @ Wx.T, da @ Wh.T, dc * f, x.T @ da, prev_h.T @ da, da.sum(axis=0)


def lstm_step_backward_without_o(dnext_h, dnext_c, cache):
    x, prev_h, prev_c, Wx, Wh, i, f, o, g, next_c = cache
    tanh_c = np.tanh(next_c)
    dc = dnext_c + dnext_h * (1 - tanh_c**2)
    da = np.hstack(
        [
            dc * g * i * (1 - i),
            dc * prev_c * f * (1 - f),
            dnext_h * tanh_c * o * (1 - o),
            dc * i * (1 - g**2),
        ]
    )
    return da @ Wx.T, da @ Wh.T, dc * f, x.T @ da, prev_h.T @ da, da.sum(axis=0)


def lstm_step_backward_gates_in_another_order(dnext_h, dnext_c, cache):
    x, prev_h, prev_c, Wx, Wh, i, f, o, g, next_c = cache
    tanh_c = np.tanh(next_c)
    dc = dnext_c + dnext_h * o * (1 - tanh_c**2)
    da = np.hstack(
        [
            dc * prev_c * f * (1 - f),
            dc * g * i * (1 - i),
            dnext_h * tanh_c * o * (1 - o),
            dc * i * (1 - g**2),
        ]
    )
    return da @ Wx.T, da @ Wh.T, dc * f, x.T @ da, prev_h.T @ da, da.sum(axis=0)


# --- a sequence, in the form of "Deep Learning from Scratch": gates f, g, i, o ---------------------------------------


class TimeLSTM:
    def __init__(self):
        self.params = [WX.copy(), WH.copy(), B.copy()]
        self.grads = [np.zeros_like(p) for p in self.params]

    def forward(self, xs):
        Wx, Wh, b = self.params
        n, steps, _ = xs.shape
        size = Wh.shape[0]
        h, c = np.zeros((n, size)), np.zeros((n, size))
        hs, self.cache = np.empty((n, steps, size)), []
        for t in range(steps):
            A = np.dot(xs[:, t], Wx) + np.dot(h, Wh) + b
            f, g = sigmoid(A[:, :size]), np.tanh(A[:, size : 2 * size])
            i, o = sigmoid(A[:, 2 * size : 3 * size]), sigmoid(A[:, 3 * size :])
            c_next = f * c + g * i
            h_next = o * np.tanh(c_next)
            self.cache.append((xs[:, t], h, c, f, g, i, o, c_next))
            h, c = h_next, c_next
            hs[:, t] = h
        return hs

    def backward(self, dhs):
        Wx, Wh, b = self.params
        dxs, dWx, dWh, db = np.empty((*dhs.shape[:2], Wx.shape[0])), 0, 0, 0
        dh, dc = 0, 0
        for t in reversed(range(dhs.shape[1])):
            x, h_prev, c_prev, f, g, i, o, c_next = self.cache[t]
            tanh_c = np.tanh(c_next)
            dh = dhs[:, t] + dh
            ds = dc + dh * o * (1 - tanh_c**2)
            dA = np.hstack(
                (ds * c_prev * f * (1 - f), ds * i * (1 - g**2), ds * g * i * (1 - i), dh * tanh_c * o * (1 - o))
            )
            dWx, dWh, db = dWx + np.dot(x.T, dA), dWh + np.dot(h_prev.T, dA), db + dA.sum(axis=0)
            dxs[:, t] = np.dot(dA, Wx.T)
            dh = np.dot(dA, Wh.T)
            dc = ds * f
        for grad, d in zip(self.grads, (dWx, dWh, db), strict=True):
            grad[...] = d
        return dxs


class TimeLSTMWithoutItsCellsPath(TimeLSTM):
    def backward(self, dhs):
        Wx, Wh, b = self.params
        dxs, dWx, dWh, db = np.empty((*dhs.shape[:2], Wx.shape[0])), 0, 0, 0
        dh = 0
        for t in reversed(range(dhs.shape[1])):
            x, h_prev, c_prev, f, g, i, o, c_next = self.cache[t]
            tanh_c = np.tanh(c_next)
            dh = dhs[:, t] + dh
            ds = dh * o * (1 - tanh_c**2)
            dA = np.hstack(
                (ds * c_prev * f * (1 - f), ds * i * (1 - g**2), ds * g * i * (1 - i), dh * tanh_c * o * (1 - o))
            )
            dWx, dWh, db = dWx + np.dot(x.T, dA), dWh + np.dot(h_prev.T, dA), db + dA.sum(axis=0)
            dxs[:, t] = np.dot(dA, Wx.T)
            dh = np.dot(dA, Wh.T)
        for grad, d in zip(self.grads, (dWx, dWh, db), strict=True):
            grad[...] = d
        return dxs


class TimeLSTMWithoutForgetting(TimeLSTM):
    def backward(self, dhs):
        Wx, Wh, b = self.params
        dxs, dWx, dWh, db = np.empty((*dhs.shape[:2], Wx.shape[0])), 0, 0, 0
        dh, dc = 0, 0
        for t in reversed(range(dhs.shape[1])):
            x, h_prev, c_prev, f, g, i, o, c_next = self.cache[t]
            tanh_c = np.tanh(c_next)
            dh = dhs[:, t] + dh
            ds = dc + dh * o * (1 - tanh_c**2)
            dA = np.hstack(
                (ds * c_prev * f * (1 - f), ds * i * (1 - g**2), ds * g * i * (1 - i), dh * tanh_c * o * (1 - o))
            )
            dWx, dWh, db = dWx + np.dot(x.T, dA), dWh + np.dot(h_prev.T, dA), db + dA.sum(axis=0)
            dxs[:, t] = np.dot(dA, Wx.T)
            dh = np.dot(dA, Wh.T)
            dc = ds
        for grad, d in zip(self.grads, (dWx, dWh, db), strict=True):
            grad[...] = d
        return dxs


class TimeLSTMAssigned(TimeLSTM):
    def backward(self, dhs):
        Wx, Wh, b = self.params
        dxs = np.empty((*dhs.shape[:2], Wx.shape[0]))
        dh, dc = 0, 0
        for t in reversed(range(dhs.shape[1])):
            x, h_prev, c_prev, f, g, i, o, c_next = self.cache[t]
            tanh_c = np.tanh(c_next)
            dh = dhs[:, t] + dh
            ds = dc + dh * o * (1 - tanh_c**2)
            dA = np.hstack(
                (ds * c_prev * f * (1 - f), ds * i * (1 - g**2), ds * g * i * (1 - i), dh * tanh_c * o * (1 - o))
            )
            self.grads[0][...] = np.dot(x.T, dA)
            self.grads[1][...] = np.dot(h_prev.T, dA)
            self.grads[2][...] = dA.sum(axis=0)
            dxs[:, t] = np.dot(dA, Wx.T)
            dh = np.dot(dA, Wh.T)
            dc = ds * f
        return dxs


# --- a Module with PyTorch's names, layout and order of gates: i, f, g, o --------------------------------------------


class LSTM(nn.Module):
    def __init__(self):
        super().__init__()
        self.weight_ih_l0, self.weight_hh_l0 = nn.Parameter(WX.T.copy()), nn.Parameter(WH.T.copy())
        self.bias_ih_l0, self.bias_hh_l0 = nn.Parameter(B.copy()), nn.Parameter(B[::-1].copy())

    def forward(self, x, h, c):
        size, ys, kept = h.shape[1], [], []
        for t in range(x.shape[1]):
            a = x[:, t] @ self.weight_ih_l0.data.T + self.bias_ih_l0.data
            a = a + h @ self.weight_hh_l0.data.T + self.bias_hh_l0.data
            i, f = sigmoid(a[:, :size]), sigmoid(a[:, size : 2 * size])
            g, o = np.tanh(a[:, 2 * size : 3 * size]), sigmoid(a[:, 3 * size :])
            c_prev, h_prev = c, h
            c = f * c_prev + i * g
            tanh_c = np.tanh(c)
            h = o * tanh_c
            kept.append((h_prev, c_prev, i, f, g, o, tanh_c))
            ys.append(h)
        self.save_for_backward(x, kept)
        return np.stack(ys, axis=1), (h, c)

    def gates(self, dh, dc, step):
        """Return the gradients of the gates' inputs, and dc of the previous step."""
        h_prev, c_prev, i, f, g, o, tanh_c = step
        dc = dc + dh * o * (1 - tanh_c**2)
        da = [dc * g * i * (1 - i), dc * c_prev * f * (1 - f), dc * i * (1 - g**2), dh * tanh_c * o * (1 - o)]
        return np.concatenate(da, axis=1), dc * f

    def backward(self, dy, dstate):
        x, kept = self.saved()
        dh, dc = dstate
        dx = np.zeros_like(x)
        for t in reversed(range(x.shape[1])):
            da, dc = self.gates(dy[:, t] + dh, dc, kept[t])
            self.weight_ih_l0.grad += da.T @ x[:, t]
            self.weight_hh_l0.grad += da.T @ kept[t][0]
            self.bias_ih_l0.grad += da.sum(axis=0)
            self.bias_hh_l0.grad += da.sum(axis=0)
            dx[:, t] = da @ self.weight_ih_l0.data
            dh = da @ self.weight_hh_l0.data
        return dx, dh, dc


class LSTMWithoutItsForgetGatesWeights(LSTM):
    def backward(self, dy, dstate):
        x, kept = self.saved()
        size = kept[0][0].shape[1]
        dh, dc = dstate
        dx = np.zeros_like(x)
        for t in reversed(range(x.shape[1])):
            da, dc = self.gates(dy[:, t] + dh, dc, kept[t])
            self.weight_ih_l0.grad += da.T @ x[:, t]
            for gate in (0, 2, 3):
                rows = slice(gate * size, (gate + 1) * size)
                self.weight_hh_l0.grad[rows] += da[:, rows].T @ kept[t][0]
            self.bias_ih_l0.grad += da.sum(axis=0)
            self.bias_hh_l0.grad += da.sum(axis=0)
            dx[:, t] = da @ self.weight_ih_l0.data
            dh = da @ self.weight_hh_l0.data
        return dx, dh, dc


class LSTMWithOneBias(LSTM):
    def backward(self, dy, dstate):
        x, kept = self.saved()
        dh, dc = dstate
        dx = np.zeros_like(x)
        for t in reversed(range(x.shape[1])):
            da, dc = self.gates(dy[:, t] + dh, dc, kept[t])
            self.weight_ih_l0.grad += da.T @ x[:, t]
            self.weight_hh_l0.grad += da.T @ kept[t][0]
            self.bias_ih_l0.grad += da.sum(axis=0)
            dx[:, t] = da @ self.weight_ih_l0.data
            dh = da @ self.weight_hh_l0.data
        return dx, dh, dc


class LSTMWithoutTheFinalCell(LSTM):
    def backward(self, dy, dstate):
        x, kept = self.saved()
        dh, _ = dstate
        dc = np.zeros_like(dh)
        dx = np.zeros_like(x)
        for t in reversed(range(x.shape[1])):
            da, dc = self.gates(dy[:, t] + dh, dc, kept[t])
            self.weight_ih_l0.grad += da.T @ x[:, t]
            self.weight_hh_l0.grad += da.T @ kept[t][0]
            self.bias_ih_l0.grad += da.sum(axis=0)
            self.bias_hh_l0.grad += da.sum(axis=0)
            dx[:, t] = da @ self.weight_ih_l0.data
            dh = da @ self.weight_hh_l0.data
        return dx, dh, dc


class LSTMWithoutTheOutputGatesSlope(LSTM):
    def gates(self, dh, dc, step):
        h_prev, c_prev, i, f, g, o, tanh_c = step
        dc = dc + dh * o * (1 - tanh_c**2)
        da = [dc * g * i * (1 - i), dc * c_prev * f * (1 - f), dc * i * (1 - g**2), dh * tanh_c]
        return np.concatenate(da, axis=1), dc * f


STEP = (X[:, 0], H0, C0, WX, WH, B)

CORRECT = [
    ((lstm_step_forward, lstm_step_backward), STEP, {}),
    (TimeLSTM(), (X,), {}),
    (LSTM(), (X, H0, C0), {}),
]

MISTAKES = [
    Planted(
        "the state's own path missing",
        "one step: dnext_c not used (dh but not dc)",
        (lstm_step_forward, lstm_step_backward_of_h_alone),
        STEP,
    ),
    Planted(
        "a path missing",
        "one step: dc = dnext_c, no gradient through tanh(c)",
        (lstm_step_forward, lstm_step_backward_of_c_alone),
        STEP,
    ),
    Planted(
        "the wrong array used",
        "one step: df = dc * next_c instead of prev_c",
        (lstm_step_forward, lstm_step_backward_of_next_c),
        STEP,
    ),
    Planted(
        "derivative taken at the wrong value",
        "one step: 1 - c^2 instead of 1 - tanh(c)^2",
        (lstm_step_forward, lstm_step_backward_slope_at_c),
        STEP,
    ),
    Planted(
        "activation's derivative missing",
        "one step: dc = dnext_c + dnext_h * o",
        (lstm_step_forward, lstm_step_backward_slope_missing),
        STEP,
    ),
    Planted(
        "a factor missing",
        "one step: dc = dnext_c + dnext_h * (1 - tanh(c)^2), without o",
        (lstm_step_forward, lstm_step_backward_without_o),
        STEP,
    ),
    Planted(
        "two gates swapped",
        "one step: the gradients of f and i stacked in the wrong order",
        (lstm_step_forward, lstm_step_backward_gates_in_another_order),
        STEP,
    ),
    Planted(
        "the state's own path missing",
        "a sequence: dh passed back in time, dc not",
        TimeLSTMWithoutItsCellsPath(),
        (X,),
    ),
    Planted(
        "a factor missing",
        "a sequence: dc = ds, without f",
        TimeLSTMWithoutForgetting(),
        (X,),
    ),
    Planted("only the first time step counted", "a sequence: grads assigned in the loop", TimeLSTMAssigned(), (X,)),
    Planted(
        "a gate's block wrong",
        "weight_hh: no gradient for the rows of the forget gate",
        LSTMWithoutItsForgetGatesWeights(),
        (X, H0, C0),
        says="forget gate",
    ),
    Planted("gradient never computed", "no gradient for bias_hh", LSTMWithOneBias(), (X, H0, C0)),
    Planted(
        "the state's own path missing",
        "the gradient of the final cell state not used",
        LSTMWithoutTheFinalCell(),
        (X, H0, C0),
    ),
    Planted(
        "activation's derivative missing",
        "the derivative of the output gate's sigmoid missing",
        LSTMWithoutTheOutputGatesSlope(),
        (X, H0, C0),
    ),
]
