"""Mistakes in backpropagation through time, in a vanilla RNN."""

import numpy as np

import nnscratch as nn

from .planted import Planted

rng = np.random.default_rng(19)
N, T, D, H = 3, 4, 2, 5
X, H0 = rng.normal(size=(N, T, D)), rng.normal(size=(N, H))
WX, WH, B = rng.normal(size=(D, H)) * 0.7, rng.normal(size=(H, H)) * 0.5, rng.normal(size=H)


# --- CS231n: one step ------------------------------------------------------------------------------------------------


def rnn_step_forward(x, prev_h, Wx, Wh, b):
    next_h = np.tanh(x @ Wx + prev_h @ Wh + b)
    return next_h, (x, prev_h, Wx, Wh, next_h)


def rnn_step_backward(dnext_h, cache):
    x, prev_h, Wx, Wh, next_h = cache
    dz = dnext_h * (1 - next_h**2)
    return dz @ Wx.T, dz @ Wh.T, x.T @ dz, prev_h.T @ dz, dz.sum(axis=0)


def rnn_step_backward_without_the_slope(dnext_h, cache):
    x, prev_h, Wx, Wh, next_h = cache
    dx = dnext_h @ Wx.T
    dprev_h = dnext_h @ Wh.T
    dWx = x.T @ dnext_h
    dWh = prev_h.T @ dnext_h
    db = dnext_h.sum(axis=0)
    return dx, dprev_h, dWx, dWh, db


def rnn_step_backward_of_prev_h(dnext_h, cache):
    x, prev_h, Wx, Wh, next_h = cache
    dz = dnext_h * (1 - prev_h**2)
    return dz @ Wx.T, dz @ Wh.T, x.T @ dz, prev_h.T @ dz, dz.sum(axis=0)


def rnn_step_backward_not_transposed(dnext_h, cache):
    x, prev_h, Wx, Wh, next_h = cache
    dz = dnext_h * (1 - next_h**2)
    return dz @ Wx.T, dz @ Wh, x.T @ dz, prev_h.T @ dz, dz.sum(axis=0)


# --- CS231n: a sequence ----------------------------------------------------------------------------------------------


def rnn_forward(x, h0, Wx, Wh, b):
    h = np.zeros((x.shape[0], x.shape[1], h0.shape[1]))
    prev_h, caches = h0, []
    for t in range(x.shape[1]):
        prev_h, cache = rnn_step_forward(x[:, t], prev_h, Wx, Wh, b)
        h[:, t] = prev_h
        caches.append(cache)
    return h, caches


def rnn_backward(dh, caches):
    n, steps, h = dh.shape
    x, prev_h, Wx, Wh, _ = caches[0]
    dx, dWx, dWh, db = np.zeros((n, steps, x.shape[1])), np.zeros_like(Wx), np.zeros_like(Wh), np.zeros(h)
    dprev = np.zeros((n, h))
    for t in reversed(range(steps)):
        dx[:, t], dprev, dWx_t, dWh_t, db_t = rnn_step_backward(dh[:, t] + dprev, caches[t])
        dWx += dWx_t
        dWh += dWh_t
        db += db_t
    return dx, dprev, dWx, dWh, db


def rnn_backward_without_the_state(dh, caches):
    n, steps, h = dh.shape
    x, prev_h, Wx, Wh, _ = caches[0]
    dx, dWx, dWh, db = np.zeros((n, steps, x.shape[1])), np.zeros_like(Wx), np.zeros_like(Wh), np.zeros(h)
    for t in reversed(range(steps)):
        dx[:, t], dprev, dWx_t, dWh_t, db_t = rnn_step_backward(dh[:, t], caches[t])
        dWx += dWx_t
        dWh += dWh_t
        db += db_t
    return dx, dprev, dWx, dWh, db


def rnn_backward_assigned(dh, caches):
    n, steps, h = dh.shape
    x, prev_h, Wx, Wh, _ = caches[0]
    dx, dWx, db = np.zeros((n, steps, x.shape[1])), np.zeros_like(Wx), np.zeros(h)
    dprev = np.zeros((n, h))
    for t in reversed(range(steps)):
        dx[:, t], dprev, dWx_t, dWh, db_t = rnn_step_backward(dh[:, t] + dprev, caches[t])
        dWx += dWx_t
        db += db_t
    return dx, dprev, dWx, dWh, db


def rnn_backward_of_the_last_output(dh, caches):
    n, steps, h = dh.shape
    x, prev_h, Wx, Wh, _ = caches[0]
    dx, dWx, dWh, db = np.zeros((n, steps, x.shape[1])), np.zeros_like(Wx), np.zeros_like(Wh), np.zeros(h)
    dprev = dh[:, -1]
    for t in reversed(range(steps)):
        dx[:, t], dprev, dWx_t, dWh_t, db_t = rnn_step_backward(dprev, caches[t])
        dWx += dWx_t
        dWh += dWh_t
        db += db_t
    return dx, dprev, dWx, dWh, db


def rnn_backward_averaged(dh, caches):
    n, steps, h = dh.shape
    x, prev_h, Wx, Wh, _ = caches[0]
    dx, dWx, dWh, db = np.zeros((n, steps, x.shape[1])), np.zeros_like(Wx), np.zeros_like(Wh), np.zeros(h)
    dprev = np.zeros((n, h))
    for t in reversed(range(steps)):
        dx[:, t], dprev, dWx_t, dWh_t, db_t = rnn_step_backward(dh[:, t] + dprev, caches[t])
        dWx += dWx_t / steps
        dWh += dWh_t / steps
        db += db_t / steps
    return dx, dprev, dWx, dWh, db


# --- "Deep Learning from Scratch" ------------------------------------------------------------------------------------


class TimeRNN:
    def __init__(self, Wx, Wh, b):
        self.params = [Wx, Wh, b]
        self.grads = [np.zeros_like(Wx), np.zeros_like(Wh), np.zeros_like(b)]

    def forward(self, xs):
        Wx, Wh, b = self.params
        n, steps, _ = xs.shape
        h = np.zeros((n, Wh.shape[0]))
        self.xs, self.hs = xs, [h]
        for t in range(steps):
            h = np.tanh(np.dot(h, Wh) + np.dot(xs[:, t, :], Wx) + b)
            self.hs.append(h)
        return np.stack(self.hs[1:], axis=1)

    def backward(self, dhs):
        Wx, Wh, b = self.params
        dxs, dWx, dWh, db = np.empty_like(self.xs), 0, 0, 0
        dh = 0
        for t in reversed(range(dhs.shape[1])):
            h_next, h_prev = self.hs[t + 1], self.hs[t]
            dt = (dhs[:, t, :] + dh) * (1 - h_next**2)
            db = db + np.sum(dt, axis=0)
            dWh = dWh + np.dot(h_prev.T, dt)
            dWx = dWx + np.dot(self.xs[:, t, :].T, dt)
            dxs[:, t, :] = np.dot(dt, Wx.T)
            dh = np.dot(dt, Wh.T)
        for grad, d in zip(self.grads, (dWx, dWh, db), strict=True):
            grad[...] = d
        return dxs


class TimeRNNOfTheNextState(TimeRNN):
    def backward(self, dhs):
        Wx, Wh, b = self.params
        dxs, dWx, dWh, db = np.empty_like(self.xs), 0, 0, 0
        dh = 0
        for t in reversed(range(dhs.shape[1])):
            h_next = self.hs[t + 1]
            dt = (dhs[:, t, :] + dh) * (1 - h_next**2)
            db = db + np.sum(dt, axis=0)
            dWh = dWh + np.dot(h_next.T, dt)
            dWx = dWx + np.dot(self.xs[:, t, :].T, dt)
            dxs[:, t, :] = np.dot(dt, Wx.T)
            dh = np.dot(dt, Wh.T)
        for grad, d in zip(self.grads, (dWx, dWh, db), strict=True):
            grad[...] = d
        return dxs


class TimeRNNEndingEarly(TimeRNN):
    def backward(self, dhs):
        Wx, Wh, b = self.params
        dxs, dWx, dWh, db = np.zeros_like(self.xs), 0, 0, 0
        dh = 0
        for t in range(dhs.shape[1] - 1, 0, -1):
            h_next, h_prev = self.hs[t + 1], self.hs[t]
            dt = (dhs[:, t, :] + dh) * (1 - h_next**2)
            db = db + np.sum(dt, axis=0)
            dWh = dWh + np.dot(h_prev.T, dt)
            dWx = dWx + np.dot(self.xs[:, t, :].T, dt)
            dxs[:, t, :] = np.dot(dt, Wx.T)
            dh = np.dot(dt, Wh.T)
        for grad, d in zip(self.grads, (dWx, dWh, db), strict=True):
            grad[...] = d
        return dxs


# --- a Module --------------------------------------------------------------------------------------------------------


class RNN(nn.Module):
    """Return all states and the last state; backward takes the gradients of both."""

    def __init__(self, Wx, Wh, b):
        super().__init__()
        self.Wx, self.Wh, self.b = (nn.Parameter(a.copy()) for a in (Wx, Wh, b))

    def forward(self, x, h0):
        hs = [h0]
        for t in range(x.shape[1]):
            hs.append(np.tanh(x[:, t] @ self.Wx.data + hs[-1] @ self.Wh.data + self.b.data))
        self.save_for_backward(x, hs)
        return np.stack(hs[1:], axis=1), hs[-1]

    def backward(self, dy, dlast):
        x, hs = self.saved()
        dx, dh = np.zeros_like(x), dlast
        for t in reversed(range(x.shape[1])):
            dz = (dy[:, t] + dh) * (1 - hs[t + 1] ** 2)
            self.Wx.grad += x[:, t].T @ dz
            self.Wh.grad += hs[t].T @ dz
            self.b.grad += dz.sum(axis=0)
            dx[:, t] = dz @ self.Wx.data.T
            dh = dz @ self.Wh.data.T
        return dx, dh


class RNNWithoutTheLastState(RNN):
    def backward(self, dy, dlast):
        x, hs = self.saved()
        dx, dh = np.zeros_like(x), np.zeros_like(dlast)
        for t in reversed(range(x.shape[1])):
            dz = (dy[:, t] + dh) * (1 - hs[t + 1] ** 2)
            self.Wx.grad += x[:, t].T @ dz
            self.Wh.grad += hs[t].T @ dz
            self.b.grad += dz.sum(axis=0)
            dx[:, t] = dz @ self.Wx.data.T
            dh = dz @ self.Wh.data.T
        return dx, dh


class RNNWithoutTheFirstState(RNN):
    def backward(self, dy, dlast):
        x, hs = self.saved()
        dx, dh = np.zeros_like(x), dlast
        for t in reversed(range(x.shape[1])):
            dz = (dy[:, t] + dh) * (1 - hs[t + 1] ** 2)
            self.Wx.grad += x[:, t].T @ dz
            self.Wh.grad += hs[t].T @ dz
            self.b.grad += dz.sum(axis=0)
            dx[:, t] = dz @ self.Wx.data.T
            dh = dz @ self.Wh.data.T
        return dx, None


STEP, SEQUENCE = (X[:, 0], H0, WX, WH, B), (X, H0, WX, WH, B)

CORRECT = [
    ((rnn_step_forward, rnn_step_backward), STEP, {}),
    ((rnn_forward, rnn_backward), SEQUENCE, {}),
    (TimeRNN(WX.copy(), WH.copy(), B.copy()), (X,), {}),
    (RNN(WX, WH, B), (X, H0), {}),
]

MISTAKES = [
    Planted(
        "activation's derivative missing",
        "one step: dz = dnext_h",
        (rnn_step_forward, rnn_step_backward_without_the_slope),
        STEP,
    ),
    Planted(
        "derivative taken at the wrong value",
        "one step: 1 - prev_h^2",
        (rnn_step_forward, rnn_step_backward_of_prev_h),
        STEP,
    ),
    Planted("transposed", "one step: dprev_h = dz @ Wh", (rnn_step_forward, rnn_step_backward_not_transposed), STEP),
    Planted(
        "the state's own path missing",
        "only dh[:, t]; the gradient from step t + 1 not added",
        (rnn_forward, rnn_backward_without_the_state),
        SEQUENCE,
    ),
    Planted(
        "only the first time step counted",
        "dWh = ... instead of dWh += ... in the backward loop",
        (rnn_forward, rnn_backward_assigned),
        SEQUENCE,
    ),
    Planted(
        "only the last time step counted",
        "only the gradient of the last output used",
        (rnn_forward, rnn_backward_of_the_last_output),
        SEQUENCE,
    ),
    Planted(
        "scaled by a constant",
        "the weights' gradients divided by T",
        (rnn_forward, rnn_backward_averaged),
        SEQUENCE,
        says="T = 4",
    ),
    Planted(
        "the wrong array used",
        "dWh = h_t.T dt instead of h_{t-1}.T dt",
        TimeRNNOfTheNextState(WX.copy(), WH.copy(), B.copy()),
        (X,),
    ),
    Planted(
        "the first time step not counted",
        "range(T - 1, 0, -1)",
        TimeRNNEndingEarly(WX.copy(), WH.copy(), B.copy()),
        (X,),
    ),
    Planted(
        "the state's own path missing",
        "the gradient of the last state not used",
        RNNWithoutTheLastState(WX, WH, B),
        (X, H0),
    ),
    Planted("gradient never computed", "no gradient for h0", RNNWithoutTheFirstState(WX, WH, B), (X, H0)),
]
