"""Recurrent networks over time: pairs, classes that keep lists of states, and functions with the loss inside."""

from __future__ import annotations

import numpy as np

from .variants import normal, variants

FORM = "recurrent"
STATE = "the state's own path missing"


def sigmoid(z):
    return 1 / (1 + np.exp(-z))


@variants(
    FORM,
    dh_next_forgotten=STATE,
    dh0_is_zero=("gradient never computed", STATE),
    dWh_from_the_same_step="the wrong array used",
    dWx_assigned="only the last time step counted",
    dWx_of_the_first_step_only="only the first time step counted",
    db_of_one_step="only the first time step counted",
    last_step_left_out=("the last time step not counted",),
    running_sum="accumulator not reset",
    tanh_forgotten="activation's derivative missing",
    tanh_of_the_previous_state=("derivative taken at the wrong value",),
    forward_in_time=("axes reversed", "loop in the wrong order", "the wrong array used", STATE),
    Wh_not_transposed="transposed",
    db_over_hidden="summed over the wrong axis",
)
def rnn_over_time(kind):
    def rnn_forward(x, h0, Wx, Wh, b):
        N, T, D = x.shape
        h = np.zeros((N, T, h0.shape[1]))
        prev = h0
        for t in range(T):
            prev = np.tanh(x[:, t, :].dot(Wx) + prev.dot(Wh) + b)
            h[:, t, :] = prev
        return h, (x, h0, Wx, Wh, b, h)

    def rnn_backward(dh, cache):
        x, h0, Wx, Wh, b, h = cache
        N, T, D = x.shape
        dx, dWx, dWh, db = np.zeros_like(x), np.zeros_like(Wx), np.zeros_like(Wh), np.zeros_like(b)
        dprev = np.zeros_like(h0)
        total = np.zeros_like(h0)
        steps = range(T - 2, -1, -1) if kind == "last_step_left_out" else reversed(range(T))
        if kind == "forward_in_time":
            steps = range(T)
        for t in steps:
            prev = h[:, t - 1] if t > 0 else h0
            d = dh[:, t] if kind == "dh_next_forgotten" else dh[:, t] + dprev
            if kind == "running_sum":
                total = total + d
                d = total
            dz = d * (1 - h[:, t] ** 2)
            if kind == "tanh_forgotten":
                dz = d
            if kind == "tanh_of_the_previous_state":
                dz = d * (1 - prev**2)
            dx[:, t] = dz.dot(Wx.T)
            if kind == "dWx_assigned" or kind == "dWx_of_the_first_step_only":
                if not (kind == "dWx_assigned" and t < T - 1):
                    dWx = x[:, t].T.dot(dz)
            else:
                dWx += x[:, t].T.dot(dz)
            dWh += (h[:, t] if kind == "dWh_from_the_same_step" else prev).T.dot(dz)
            if kind == "db_of_one_step":
                db = dz.sum(axis=0)
            else:
                db += dz.sum(axis=1 if kind == "db_over_hidden" else 0)
            dprev = dz.dot(Wh if kind == "Wh_not_transposed" else Wh.T)
        dh0 = np.zeros_like(h0) if kind == "dh0_is_zero" else dprev
        return dx, dh0, dWx, dWh, db

    inputs = (normal(1, 3, 4, 2), normal(2, 3, 3), normal(3, 2, 3), normal(4, 3, 3), normal(5, 3))
    return (rnn_forward, rnn_backward), inputs, {}


@variants(
    FORM,
    dh_next_forgotten=STATE,
    dWhy_from_the_previous_state="the wrong array used",
    dbh_keeps_growing=("accumulator not reset",),
    targets_one_late="target one off",
    raw_forgotten="activation's derivative missing",
    dWhh_of_the_same_step="the wrong array used",
    dWhy_overwritten=("only the first time step counted", "only the last time step counted"),
    minus_one_forgotten=("target's share missing", "a path missing"),
)
def character_model(kind):
    xs_, ts_ = [0, 2, 1, 3], [2, 1, 3, 0]
    V = 4

    class CharacterRNN:
        def __init__(self):
            self.Wxh, self.Whh, self.Why = normal(6, 3, V), normal(7, 3, 3), normal(8, V, 3)
            self.bh, self.by = normal(9, 3, 1), normal(10, V, 1)

        def lossFun(self, inputs, targets, hprev):
            xs, hs, ps = {}, {-1: np.copy(hprev)}, {}
            loss = 0
            for t in range(len(inputs)):
                xs[t] = np.zeros((V, 1))
                xs[t][inputs[t]] = 1
                hs[t] = np.tanh(np.dot(self.Wxh, xs[t]) + np.dot(self.Whh, hs[t - 1]) + self.bh)
                y = np.dot(self.Why, hs[t]) + self.by
                ps[t] = np.exp(y) / np.sum(np.exp(y))
                loss += -np.log(ps[t][targets[t], 0])
            dWxh, dWhh, dWhy = np.zeros_like(self.Wxh), np.zeros_like(self.Whh), np.zeros_like(self.Why)
            dbh, dby = np.zeros_like(self.bh), np.zeros_like(self.by)
            dhnext = np.zeros_like(hs[0])
            grown = np.zeros_like(self.bh)
            for t in reversed(range(len(inputs))):
                dy = np.copy(ps[t])
                if kind == "targets_one_late":
                    dy[targets[t - 1]] -= 1
                elif kind != "minus_one_forgotten":
                    dy[targets[t]] -= 1
                step = np.dot(dy, (hs[t - 1] if kind == "dWhy_from_the_previous_state" else hs[t]).T)
                dWhy = step if kind == "dWhy_overwritten" else dWhy + step
                dby += dy
                dh = np.dot(self.Why.T, dy) + (0 if kind == "dh_next_forgotten" else dhnext)
                dhraw = dh if kind == "raw_forgotten" else (1 - hs[t] * hs[t]) * dh
                if kind == "dbh_keeps_growing":
                    grown += dhraw
                    dbh += grown
                else:
                    dbh += dhraw
                dWxh += np.dot(dhraw, xs[t].T)
                dWhh += np.dot(dhraw, (hs[t] if kind == "dWhh_of_the_same_step" else hs[t - 1]).T)
                dhnext = np.dot(self.Whh.T, dhraw)
            return loss, {"Wxh": dWxh, "Whh": dWhh, "Why": dWhy, "bh": dbh, "by": dby}

    model = CharacterRNN()

    def f(parameters):
        for name, value in parameters.items():
            setattr(model, name, value)
        return model.lossFun(xs_, ts_, np.full((3, 1), 0.2))

    return f, ({k: getattr(model, k) for k in ("Wxh", "Whh", "Why", "bh", "by")},), {}


@variants(
    FORM,
    dc_next_forgotten=STATE,
    dh_next_forgotten=STATE,
    forget_factor_forgotten="a factor missing",
    gates_in_another_order="two gates swapped",
    candidate_with_the_sigmoids_slope="activation's derivative wrong",
    cell_instead_of_the_previous_cell="the wrong array used",
    tanh_c_slope_forgotten="activation's derivative missing",
    dW_overwritten="only the first time step counted",
    dU_overwritten=("only the first time step counted", "the last time step not counted"),
    output_gate_without_tanh_c=("a factor missing", "the wrong array used"),
)
def lstm_over_time(kind):
    def forward(xs, h, c, W, U, b):
        T, H = len(xs), U.shape[0]
        out, saved = [], []
        for t in range(T):
            a = xs[t] @ W + h @ U + b
            i, f, o, g = (
                sigmoid(a[:, :H]),
                sigmoid(a[:, H : 2 * H]),
                sigmoid(a[:, 2 * H : 3 * H]),
                np.tanh(a[:, 3 * H :]),
            )
            c_new = f * c + i * g
            h_new = o * np.tanh(c_new)
            saved.append((xs[t], h, c, i, f, o, g, c_new))
            h, c = h_new, c_new
            out.append(h)
        return np.stack(out), (saved, W, U, b)

    def backward(dout, cache):
        saved, W, U, b = cache
        dW, dU, db = np.zeros_like(W), np.zeros_like(U), np.zeros_like(b)
        dxs = np.zeros((len(saved), *saved[0][0].shape))
        dh, dc = 0, 0
        for t in range(len(saved) - 1, -1, -1):
            x, h, c, i, f, o, g, c_new = saved[t]
            dht = dout[t] + (0 if kind == "dh_next_forgotten" else dh)
            tc = np.tanh(c_new)
            do = dht * (1 if kind == "output_gate_without_tanh_c" else tc)
            dct = dht * o * (1 if kind == "tanh_c_slope_forgotten" else 1 - tc**2)
            if kind != "dc_next_forgotten":
                dct = dct + dc
            di, dg = dct * g, dct * i
            df = dct * (c_new if kind == "cell_instead_of_the_previous_cell" else c)
            slope = g * (1 - g) if kind == "candidate_with_the_sigmoids_slope" else 1 - g**2
            parts = [di * i * (1 - i), df * f * (1 - f), do * o * (1 - o), dg * slope]
            if kind == "gates_in_another_order":
                parts[0], parts[1] = parts[1], parts[0]
            da = np.hstack(parts)
            dW = x.T @ da if kind == "dW_overwritten" else dW + x.T @ da
            dU = h.T @ da if kind == "dU_overwritten" else dU + h.T @ da
            db += da.sum(axis=0)
            dxs[t] = da @ W.T
            dh = da @ U.T
            dc = dct * (1 if kind == "forget_factor_forgotten" else f)
        return dxs, dh, dc, dW, dU, db

    inputs = (
        normal(11, 3, 2, 2),
        normal(12, 2, 3),
        normal(13, 2, 3),
        normal(14, 2, 12),
        normal(15, 3, 12),
        normal(16, 12),
    )
    return (forward, backward), inputs, {}


@variants(
    FORM,
    one_minus_z_forgotten=("a factor missing", "a path missing"),
    dz_sign="sign flipped",
    dz_without_the_candidate=("a path missing",),
    reset_gate_not_multiplied="a factor missing",
    dr_from_the_candidate="the wrong array used",
    direct_path_forgotten=("a path missing", STATE),
    candidate_slope_forgotten="activation's derivative missing",
    z_slope_forgotten="activation's derivative missing",
)
def gru_cell(kind):
    class GRUCell:
        def __init__(self):
            self.Wz, self.Wr, self.Wn = normal(17, 2, 3), normal(18, 2, 3), normal(19, 2, 3)
            self.Uz, self.Ur, self.Un = normal(20, 3, 3), normal(21, 3, 3), normal(22, 3, 3)

        def forward(self, x, h):
            self.x, self.h = x, h
            self.z = sigmoid(x @ self.Wz + h @ self.Uz)
            self.r = sigmoid(x @ self.Wr + h @ self.Ur)
            self.n = np.tanh(x @ self.Wn + (self.r * h) @ self.Un)
            return (1 - self.z) * self.n + self.z * h

        def backward(self, d):
            x, h, z, r, n = self.x, self.h, self.z, self.r, self.n
            dn = d if kind == "one_minus_z_forgotten" else d * (1 - z)
            dz = d * (h - n)
            if kind == "dz_sign":
                dz = d * (n - h)
            if kind == "dz_without_the_candidate":
                dz = d * h
            dz = dz if kind == "z_slope_forgotten" else dz * z * (1 - z)
            dh = 0 if kind == "direct_path_forgotten" else d * z
            dan = dn if kind == "candidate_slope_forgotten" else dn * (1 - n**2)
            drh = dan @ self.Un.T
            dr = drh * (n if kind == "dr_from_the_candidate" else h) * r * (1 - r)
            dh = dh + (drh if kind == "reset_gate_not_multiplied" else drh * r) + dz @ self.Uz.T + dr @ self.Ur.T
            self.dWz, self.dWr, self.dWn = x.T @ dz, x.T @ dr, x.T @ dan
            self.dUz, self.dUr, self.dUn = h.T @ dz, h.T @ dr, (r * h).T @ dan
            return dz @ self.Wz.T + dr @ self.Wr.T + dan @ self.Wn.T, dh

    return GRUCell(), (normal(23, 4, 2), normal(24, 4, 3)), {}


@variants(
    FORM,
    direction_not_reversed=("axes reversed",),
    backward_direction_forgotten=("a path missing", "gradient never computed"),
    weights_shared_counted_once=("a path missing",),
)
def two_directions(kind):
    def scan(x, W, U):
        h, hs = np.zeros((x.shape[0], U.shape[0])), []
        for t in range(x.shape[1]):
            h = np.tanh(x[:, t] @ W + h @ U)
            hs.append(h)
        return np.stack(hs, axis=1)

    def scan_back(dhs, x, hs, W, U):
        dx, dW, dU = np.zeros_like(x), np.zeros_like(W), np.zeros_like(U)
        dh = 0
        for t in reversed(range(x.shape[1])):
            dz = (dhs[:, t] + dh) * (1 - hs[:, t] ** 2)
            dx[:, t] = dz @ W.T
            dW += x[:, t].T @ dz
            if t:
                dU += hs[:, t - 1].T @ dz
            dh = dz @ U.T
        return dx, dW, dU

    def forward(x, W, U):
        a = scan(x, W, U)
        b = scan(x[:, ::-1], W, U)
        return np.concatenate([a, b[:, ::-1]], axis=2), (x, W, U, a, b)

    def backward(dy, cache):
        x, W, U, a, b = cache
        H = U.shape[0]
        dx1, dW1, dU1 = scan_back(dy[:, :, :H], x, a, W, U)
        db = dy[:, :, H:] if kind == "direction_not_reversed" else dy[:, ::-1, H:]
        dx2, dW2, dU2 = scan_back(db, x[:, ::-1], b, W, U)
        if kind == "backward_direction_forgotten":
            dx2 = 0 * dx2
        if kind == "weights_shared_counted_once":
            return dx1 + dx2[:, ::-1], dW2, dU2
        return dx1 + dx2[:, ::-1], dW1 + dW2, dU1 + dU2

    return (forward, backward), (normal(25, 2, 4, 3), normal(26, 3, 3), normal(27, 3, 3)), {}
