"""Mistakes in a GRU."""

import numpy as np

import nnscratch as nn

from .planted import Planted

rng = np.random.default_rng(23)
N, T, D, H = 3, 4, 2, 4
X, H0 = rng.normal(size=(N, T, D)), rng.normal(size=(N, H))
WX, WH = rng.normal(size=(D, 3 * H)) * 0.7, rng.normal(size=(H, 3 * H)) * 0.5
BX, BH = rng.normal(size=3 * H), rng.normal(size=3 * H)


def sigmoid(a):
    return 1 / (1 + np.exp(-a))


# --- one step, as a pair of functions --------------------------------------------------------------------------------


def gru_step_forward(x, h, Wx, Wh, bx, bh):
    """Gates in the order r, z, n."""
    size = h.shape[1]
    gx, gh = x @ Wx + bx, h @ Wh + bh
    r = sigmoid(gx[:, :size] + gh[:, :size])
    z = sigmoid(gx[:, size : 2 * size] + gh[:, size : 2 * size])
    n = np.tanh(gx[:, 2 * size :] + r * gh[:, 2 * size :])
    next_h = (1 - z) * n + z * h
    return next_h, (x, h, Wx, Wh, gx, gh, r, z, n)


def gru_step_backward(dnext, cache):
    x, h, Wx, Wh, gx, gh, r, z, n = cache
    size = h.shape[1]
    dn = dnext * (1 - z)
    dz = dnext * (h - n)
    dan = dn * (1 - n**2)
    dr = dan * gh[:, 2 * size :]
    dar = dr * r * (1 - r)
    daz = dz * z * (1 - z)
    dgx = np.hstack([dar, daz, dan])
    dgh = np.hstack([dar, daz, dan * r])
    dh = dnext * z + dgh @ Wh.T
    return dgx @ Wx.T, dh, x.T @ dgx, h.T @ dgh, dgx.sum(axis=0), dgh.sum(axis=0)


def gru_step_backward_gates_swapped(dnext, cache):
    x, h, Wx, Wh, gx, gh, r, z, n = cache
    size = h.shape[1]
    dn = dnext * (1 - z)
    dz = dnext * (h - n)
    dan = dn * (1 - n**2)
    dr = dan * gh[:, 2 * size :]
    dar = dr * r * (1 - r)
    daz = dz * z * (1 - z)
    dgx = np.hstack([daz, dar, dan])
    dgh = np.hstack([daz, dar, dan * r])
    dh = dnext * z + dgh @ Wh.T
    return dgx @ Wx.T, dh, x.T @ dgx, h.T @ dgh, dgx.sum(axis=0), dgh.sum(axis=0)


def gru_step_backward_r_without_its_bias(dnext, cache):
    x, h, Wx, Wh, gx, gh, r, z, n = cache
    size = h.shape[1]
    dn = dnext * (1 - z)
    dz = dnext * (h - n)
    dan = dn * (1 - n**2)
    dr = dan * (h @ Wh[:, 2 * size :])
    dar = dr * r * (1 - r)
    daz = dz * z * (1 - z)
    dgx = np.hstack([dar, daz, dan])
    dgh = np.hstack([dar, daz, dan * r])
    dh = dnext * z + dgh @ Wh.T
    return dgx @ Wx.T, dh, x.T @ dgx, h.T @ dgh, dgx.sum(axis=0), dgh.sum(axis=0)


def gru_step_backward_without_zh(dnext, cache):
    x, h, Wx, Wh, gx, gh, r, z, n = cache
    size = h.shape[1]
    dn = dnext * (1 - z)
    dz = dnext * (h - n)
    dan = dn * (1 - n**2)
    dr = dan * gh[:, 2 * size :]
    dar = dr * r * (1 - r)
    daz = dz * z * (1 - z)
    dgx = np.hstack([dar, daz, dan])
    dgh = np.hstack([dar, daz, dan * r])
    dh = dgh @ Wh.T
    return dgx @ Wx.T, dh, x.T @ dgx, h.T @ dgh, dgx.sum(axis=0), dgh.sum(axis=0)


def gru_step_backward_z_the_other_way(dnext, cache):
    x, h, Wx, Wh, gx, gh, r, z, n = cache
    size = h.shape[1]
    dn = dnext * (1 - z)
    dz = dnext * (n - h)
    dan = dn * (1 - n**2)
    dr = dan * gh[:, 2 * size :]
    dar = dr * r * (1 - r)
    daz = dz * z * (1 - z)
    dgx = np.hstack([dar, daz, dan])
    dgh = np.hstack([dar, daz, dan * r])
    dh = dnext * z + dgh @ Wh.T
    return dgx @ Wx.T, dh, x.T @ dgx, h.T @ dgh, dgx.sum(axis=0), dgh.sum(axis=0)


# --- a sequence, as a Module -----------------------------------------------------------------------------------------


class GRU(nn.Module):
    def __init__(self):
        super().__init__()
        self.Wx, self.Wh, self.bx, self.bh = (nn.Parameter(a.copy()) for a in (WX, WH, BX, BH))

    def forward(self, x, h):
        size, ys, kept = h.shape[1], [], []
        for t in range(x.shape[1]):
            gx = x[:, t] @ self.Wx.data + self.bx.data
            gh = h @ self.Wh.data + self.bh.data
            r = sigmoid(gx[:, :size] + gh[:, :size])
            z = sigmoid(gx[:, size : 2 * size] + gh[:, size : 2 * size])
            hn = gh[:, 2 * size :]
            an = gx[:, 2 * size :] + r * hn
            n = np.tanh(an)
            kept.append((h, r, z, hn, an, n))
            h = (1 - z) * n + z * h
            ys.append(h)
        self.save_for_backward(x, kept)
        return np.stack(ys, axis=1)

    def backward(self, dy):
        x, kept = self.saved()
        dx, dh = np.zeros_like(x), np.zeros_like(kept[0][0])
        for t in reversed(range(x.shape[1])):
            h, r, z, hn, an, n = kept[t]
            dh = dh + dy[:, t]
            dan = dh * (1 - z) * (1 - n**2)
            daz = dh * (h - n) * z * (1 - z)
            dar = dan * hn * r * (1 - r)
            dgx = np.concatenate([dar, daz, dan], axis=1)
            dgh = np.concatenate([dar, daz, dan * r], axis=1)
            self.Wx.grad += x[:, t].T @ dgx
            self.bx.grad += dgx.sum(axis=0)
            self.Wh.grad += h.T @ dgh
            self.bh.grad += dgh.sum(axis=0)
            dx[:, t] = dgx @ self.Wx.data.T
            dh = dh * z + dgh @ self.Wh.data.T
        return dx, dh


class GRUWithoutTanhsSlope(GRU):
    def backward(self, dy):
        x, kept = self.saved()
        dx, dh = np.zeros_like(x), np.zeros_like(kept[0][0])
        for t in reversed(range(x.shape[1])):
            h, r, z, hn, an, n = kept[t]
            dh = dh + dy[:, t]
            dan = dh * (1 - z)
            daz = dh * (h - n) * z * (1 - z)
            dar = dan * hn * r * (1 - r)
            dgx = np.concatenate([dar, daz, dan], axis=1)
            dgh = np.concatenate([dar, daz, dan * r], axis=1)
            self.Wx.grad += x[:, t].T @ dgx
            self.bx.grad += dgx.sum(axis=0)
            self.Wh.grad += h.T @ dgh
            self.bh.grad += dgh.sum(axis=0)
            dx[:, t] = dgx @ self.Wx.data.T
            dh = dh * z + dgh @ self.Wh.data.T
        return dx, dh


class GRUWithTanhsSlopeAtItsInput(GRU):
    def backward(self, dy):
        x, kept = self.saved()
        dx, dh = np.zeros_like(x), np.zeros_like(kept[0][0])
        for t in reversed(range(x.shape[1])):
            h, r, z, hn, an, n = kept[t]
            dh = dh + dy[:, t]
            dan = dh * (1 - z) * (1 - an**2)
            daz = dh * (h - n) * z * (1 - z)
            dar = dan * hn * r * (1 - r)
            dgx = np.concatenate([dar, daz, dan], axis=1)
            dgh = np.concatenate([dar, daz, dan * r], axis=1)
            self.Wx.grad += x[:, t].T @ dgx
            self.bx.grad += dgx.sum(axis=0)
            self.Wh.grad += h.T @ dgh
            self.bh.grad += dgh.sum(axis=0)
            dx[:, t] = dgx @ self.Wx.data.T
            dh = dh * z + dgh @ self.Wh.data.T
        return dx, dh


class GRUWithoutItsReset(GRU):
    def backward(self, dy):
        x, kept = self.saved()
        dx, dh = np.zeros_like(x), np.zeros_like(kept[0][0])
        for t in reversed(range(x.shape[1])):
            h, r, z, hn, an, n = kept[t]
            dh = dh + dy[:, t]
            dan = dh * (1 - z) * (1 - n**2)
            daz = dh * (h - n) * z * (1 - z)
            dar = dan * hn * r * (1 - r)
            dg = np.concatenate([dar, daz, dan], axis=1)
            self.Wx.grad += x[:, t].T @ dg
            self.bx.grad += dg.sum(axis=0)
            self.Wh.grad += h.T @ dg
            self.bh.grad += dg.sum(axis=0)
            dx[:, t] = dg @ self.Wx.data.T
            dh = dh * z + dg @ self.Wh.data.T
        return dx, dh


class GRUWithTheInputsGatesForItsWeights(GRU):
    def backward(self, dy):
        x, kept = self.saved()
        dx, dh = np.zeros_like(x), np.zeros_like(kept[0][0])
        for t in reversed(range(x.shape[1])):
            h, r, z, hn, an, n = kept[t]
            dh = dh + dy[:, t]
            dan = dh * (1 - z) * (1 - n**2)
            daz = dh * (h - n) * z * (1 - z)
            dar = dan * hn * r * (1 - r)
            dgx = np.concatenate([dar, daz, dan], axis=1)
            dgh = np.concatenate([dar, daz, dan * r], axis=1)
            self.Wx.grad += x[:, t].T @ dgx
            self.bx.grad += dgx.sum(axis=0)
            self.Wh.grad += h.T @ dgx
            self.bh.grad += dgh.sum(axis=0)
            dx[:, t] = dgx @ self.Wx.data.T
            dh = dh * z + dgh @ self.Wh.data.T
        return dx, dh


class GRUOfTheLastStep(GRU):
    def backward(self, dy):
        x, kept = self.saved()
        dx, dh = np.zeros_like(x), np.zeros_like(kept[0][0])
        for t in reversed(range(x.shape[1])):
            h, r, z, hn, an, n = kept[t]
            dh = dh + dy[:, t]
            dan = dh * (1 - z) * (1 - n**2)
            daz = dh * (h - n) * z * (1 - z)
            dar = dan * hn * r * (1 - r)
            dgx = np.concatenate([dar, daz, dan], axis=1)
            dgh = np.concatenate([dar, daz, dan * r], axis=1)
            self.Wx.grad += x[:, t].T @ dgx
            if t == x.shape[1] - 1:
                self.bx.grad += dgx.sum(axis=0)
            self.Wh.grad += h.T @ dgh
            self.bh.grad += dgh.sum(axis=0)
            dx[:, t] = dgx @ self.Wx.data.T
            dh = dh * z + dgh @ self.Wh.data.T
        return dx, dh


STEP = (X[:, 0], H0, WX, WH, BX, BH)

CORRECT = [((gru_step_forward, gru_step_backward), STEP, {}), (GRU(), (X, H0), {})]

MISTAKES = [
    Planted("two gates swapped", "hstack([daz, dar, dan])", (gru_step_forward, gru_step_backward_gates_swapped), STEP),
    Planted(
        "bias's share missing",
        "dr = dan * (h @ Whn), without + bhn",
        (gru_step_forward, gru_step_backward_r_without_its_bias),
        STEP,
    ),
    Planted(
        "the state's own path missing",
        "dh = dgh @ Wh.T, without dnext * z",
        (gru_step_forward, gru_step_backward_without_zh),
        STEP,
    ),
    Planted("sign flipped", "dz = dnext * (n - h)", (gru_step_forward, gru_step_backward_z_the_other_way), STEP),
    Planted("activation's derivative missing", "dan = dh * (1 - z)", GRUWithoutTanhsSlope(), (X, H0)),
    Planted(
        "derivative taken at the wrong value", "tanh's slope at an, not at n", GRUWithTanhsSlopeAtItsInput(), (X, H0)
    ),
    Planted("a factor missing", "r forgotten in the gradient of h W_n", GRUWithoutItsReset(), (X, H0), says="r"),
    Planted(
        "a gate's block wrong", "Wh.grad from the input's gate gradients", GRUWithTheInputsGatesForItsWeights(), (X, H0)
    ),
    Planted("only the last time step counted", "bx.grad added at the last step only", GRUOfTheLastStep(), (X, H0)),
]
