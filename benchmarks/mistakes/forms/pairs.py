"""Pairs of functions as in CS231n: forward returns (out, cache), backward takes (dout, cache)."""

from __future__ import annotations

import numpy as np

from .variants import normal, variants

FORM = "pairs of functions"


@variants(
    FORM,
    no_mask_for_dw1="mask not applied",
    no_mask="mask not applied",
    mask_from_the_gradient=("another mask applied", "mask not applied"),
    mask_inverted="mask inverted",
    dw2_from_the_pre_activation="the wrong array used",
    dw1_from_the_last_example="one sample counted",
    db1_is_the_mean="scaled by a constant",
    db2_is_the_sum_of_everything="summed over the wrong axis",
    dw2_is_zero="gradient never computed",
    db1_keeps_the_batch="sum over the batch missing",
    dx_negative="sign flipped",
    w2_transposed_twice="transposed",
    dh_added_twice="counted twice",
    dy_forgotten="upstream gradient missing",
)
def two_layers(kind):
    def forward(x, w1, b1, w2, b2):
        z = np.dot(x, w1) + b1
        h = np.maximum(z, 0)
        out = np.dot(h, w2) + b2
        cache = (x, w1, z, h, w2)
        return out, cache

    def backward(dout, cache):
        x, w1, z, h, w2 = cache
        if kind == "dy_forgotten":
            dout = np.ones_like(dout)
        dw2 = np.dot((z if kind == "dw2_from_the_pre_activation" else h).T, dout)
        db2 = np.sum(dout, axis=0)
        if kind == "db2_is_the_sum_of_everything":
            db2 = np.full_like(db2, np.sum(dout))
        dh = np.dot(dout, w2 if kind == "w2_transposed_twice" else w2.T)
        if kind == "dh_added_twice":
            dh += np.dot(dout, w2.T)
        dz = dh.copy()
        if kind == "mask_from_the_gradient":
            dz[dh < 0] = 0
        elif kind == "mask_inverted":
            dz[z > 0] = 0
        elif kind != "no_mask":
            dz[z <= 0] = 0
        dw1 = np.dot(x.T, dh if kind == "no_mask_for_dw1" else dz)
        if kind == "dw1_from_the_last_example":
            dw1 = np.outer(x[-1], dz[-1])
        db1 = np.mean(dz, axis=0) if kind == "db1_is_the_mean" else np.sum(dz, axis=0)
        if kind == "db1_keeps_the_batch":
            db1 = dz
        dx = np.dot(dz, w1.T)
        if kind == "dx_negative":
            dx = -dx
        if kind == "dw2_is_zero":
            dw2 = np.zeros_like(w2)
        return dx, dw1, db1, dw2, db2

    inputs = (normal(1, 5, 3), normal(2, 3, 4), normal(3, 4), normal(4, 4, 4), normal(5, 4))
    return (forward, backward), inputs, {}


@variants(
    FORM,
    statistics_constant=("a path missing",),
    mean_constant=("a path missing",),
    variance_constant=("a path missing",),
    dx_without_gamma="a factor missing",
    dgamma_from_x="the wrong array used",
    dgamma_without_xhat=("a factor missing", "the wrong array used"),
    dbeta_is_the_mean="scaled by a constant",
    power_of_the_variance=("a factor missing", "a derivative wrong"),
    dvar_without_the_half=("scaled by a constant", "a derivative wrong", "counted twice"),
    mean_not_divided=("a factor missing", "scaled by a constant"),
    dgamma_and_dbeta_exchanged="two gradients exchanged",
    dvar_sign="sign flipped",
)
def batchnorm_with_running_averages(kind):
    def forward(x, gamma, beta, bn_param):
        eps = bn_param.get("eps", 1e-5)
        momentum = bn_param.get("momentum", 0.9)
        running_mean = bn_param.get("running_mean", np.zeros(x.shape[1]))
        running_var = bn_param.get("running_var", np.zeros(x.shape[1]))
        mu = x.mean(axis=0)
        xmu = x - mu
        var = np.mean(xmu**2, axis=0)
        std = np.sqrt(var + eps)
        xhat = xmu / std
        bn_param["running_mean"] = momentum * running_mean + (1 - momentum) * mu
        bn_param["running_var"] = momentum * running_var + (1 - momentum) * var
        return gamma * xhat + beta, (x, xmu, var, std, xhat, gamma, eps)

    def backward(dout, cache):
        x, xmu, var, std, xhat, gamma, eps = cache
        N = dout.shape[0]
        axis = 0
        dbeta = dout.mean(axis=0) if kind == "dbeta_is_the_mean" else dout.sum(axis=0)
        dgamma = (dout * (x if kind == "dgamma_from_x" else xhat)).sum(axis=0)
        if kind == "dgamma_without_xhat":
            dgamma = dout.sum(axis=0)
        dxhat = dout * (1 if kind == "dx_without_gamma" else gamma)
        power = {"power_of_the_variance": -0.5}.get(kind, -1.5)
        half = -1.0 if kind == "dvar_without_the_half" else 0.5 if kind == "dvar_sign" else -0.5
        dvar = half * np.sum(dxhat * xmu, axis=axis, keepdims=True) * (var + eps) ** power
        if kind in ("statistics_constant", "variance_constant"):
            dvar = 0
        dmu = -np.sum(dxhat / std, axis=axis, keepdims=True)
        if kind in ("statistics_constant", "mean_constant"):
            dmu = 0
        dx = dxhat / std + 2 * xmu * dvar / N + dmu / (1 if kind == "mean_not_divided" else N)
        if kind == "dgamma_and_dbeta_exchanged":
            dgamma, dbeta = dbeta, dgamma
        return dx, dgamma, dbeta

    return (forward, backward), (normal(6, 5, 5), normal(7, 5), normal(8, 5), {"mode": "train"}), {}


@variants(
    FORM,
    over_the_batch="summed over the wrong axis",
    both_terms_forgotten="a path missing",
    mean_term_forgotten="a path missing",
    second_term_without_xhat=("a factor missing", "the wrong array used"),
    not_divided_by_std="a factor missing",
    divided_by_the_variance="a factor applied twice",
    d_not_divided="a factor missing",
)
def layernorm_in_one_formula(kind):
    def layernorm_forward(x, gamma, beta):
        mean = x.mean(axis=1, keepdims=True)
        var = x.var(axis=1, keepdims=True)
        inv_std = 1.0 / np.sqrt(var + 1e-6)
        x_norm = (x - mean) * inv_std
        return x_norm * gamma + beta, {"x_norm": x_norm, "inv_std": inv_std, "gamma": gamma, "x": x}

    def layernorm_backward(dout, cache):
        x_norm, inv_std, gamma = cache["x_norm"], cache["inv_std"], cache["gamma"]
        axis = 0 if kind == "over_the_batch" else 1
        g = dout * gamma
        first = g.sum(axis=axis, keepdims=True)
        second = x_norm * (g * x_norm).sum(axis=axis, keepdims=True)
        D = x_norm.shape[axis]
        if kind == "both_terms_forgotten":
            first, second = 0, 0
        if kind == "mean_term_forgotten":
            first = 0
        if kind == "second_term_without_xhat":
            second = (g * x_norm).sum(axis=axis, keepdims=True)
        if kind == "d_not_divided":
            D = 1
        dx = inv_std * (g - first / D - second / D)
        if kind == "not_divided_by_std":
            dx = g - first / D - second / D
        if kind == "divided_by_the_variance":
            dx = inv_std * dx
        return dx, (dout * x_norm).sum(axis=0), dout.sum(axis=0)

    return (layernorm_forward, layernorm_backward), (normal(9, 4, 6), normal(10, 6), normal(11, 6)), {}


@variants(
    FORM,
    not_scaled="keep-probability not applied",
    mask_forgotten="mask not applied",
    mask_drawn_again="another mask applied",
    mask_inverted="mask inverted",
    scaled_twice=("keep-probability not applied", "scaled by a constant"),
)
def dropout_between_two_products(kind):
    def forward(x, w, v, param):
        rng = np.random.default_rng(param["seed"])
        h = np.tanh(x @ w)
        mask = (rng.random(h.shape) < param["p"]) / param["p"]
        return (h * mask) @ v, (x, w, v, h, mask, param)

    def backward(dout, cache):
        x, w, v, h, mask, param = cache
        p = param["p"]
        dv = (h * mask).T @ dout
        d = dout @ v.T
        if kind == "not_scaled":
            d = d * (mask > 0)
        elif kind == "mask_drawn_again":
            d = d * (np.random.default_rng(5).random(h.shape) < p) / p
        elif kind == "mask_inverted":
            d = d * (mask == 0) / p
        elif kind == "scaled_twice":
            d = d * mask / p
        elif kind != "mask_forgotten":
            d = d * mask
        d = d * (1 - h**2)
        return d @ w.T, x.T @ d, dv

    return (forward, backward), (normal(12, 6, 3), normal(13, 3, 5), normal(14, 5, 2), {"p": 0.6, "seed": 3}), {}


@variants(
    FORM,
    scale_forgotten=("a factor missing", "scaled by a constant"),
    softmax_diagonal="Jacobian reduced to its diagonal",
    softmax_forgotten=("Jacobian missing", "activation's derivative missing"),
    softmax_over_queries="summed over the wrong axis",
    dq_from_q="the wrong array used",
    dv_from_the_scores="the wrong array used",
    dk_not_transposed="transposed",
    dq_and_dk_exchanged="two gradients exchanged",
    sum_term_without_p=("a factor missing",),
)
def attention(kind):
    def attention_forward(q, k, v):
        d = q.shape[-1]
        scores = q @ k.T / np.sqrt(d)
        e = np.exp(scores - scores.max(axis=-1, keepdims=True))
        p = e / e.sum(axis=-1, keepdims=True)
        return p @ v, (q, k, v, scores, p)

    def attention_backward(dout, cache):
        q, k, v, scores, p = cache
        d = q.shape[-1]
        dp = dout @ v.T
        dv = (scores if kind == "dv_from_the_scores" else p).T @ dout
        axis = 0 if kind == "softmax_over_queries" else -1
        ds = p * (dp - np.sum(dp * p, axis=axis, keepdims=True))
        if kind == "softmax_diagonal":
            ds = dp * p * (1 - p)
        if kind == "softmax_forgotten":
            ds = dp
        if kind == "sum_term_without_p":
            ds = p * (dp - np.sum(dp, axis=-1, keepdims=True))
        if kind != "scale_forgotten":
            ds = ds / np.sqrt(d)
        dq = ds @ (q if kind == "dq_from_q" else k)
        dk = (ds if kind == "dk_not_transposed" else ds.T) @ q
        if kind == "dq_and_dk_exchanged":
            dq, dk = dk, dq
        return dq, dk, dv

    return (attention_forward, attention_backward), (normal(15, 4, 3), normal(16, 4, 3), normal(17, 4, 5)), {}


@variants(
    FORM,
    assigned_with_plus="rows met twice counted once",
    assigned="rows met twice counted once",
    only_the_last_word=("only the last time step counted", "only the last round of the loop counted"),
    position_not_summed="sum over the batch missing",
    position_divided="scaled by a constant",
    positions_one_off="shifted by one",
)
def embedding_with_positions(kind):
    def forward(ids, table, positions):
        T = ids.shape[1]
        return table[ids] + positions[:T], (ids, table, positions)

    def backward(dout, cache):
        ids, table, positions = cache
        N, T = ids.shape
        dtable, dpos = np.zeros_like(table), np.zeros_like(positions)
        if kind == "assigned_with_plus":
            dtable[ids] += dout
        elif kind == "assigned":
            for n in range(N):
                for t in range(T):
                    dtable[ids[n, t]] = dout[n, t]
        elif kind == "only_the_last_word":
            np.add.at(dtable, ids[:, -1], dout[:, -1])
        else:
            np.add.at(dtable, ids, dout)
        dpos[:T] = dout.sum(axis=0)
        if kind == "position_divided":
            dpos /= N
        if kind == "positions_one_off":
            dpos = np.roll(dpos, 1, axis=0)
        if kind == "position_not_summed":
            dpos = dout
        return None, dtable, dpos

    ids = np.array([[0, 3, 3, 1], [2, 3, 0, 4], [1, 1, 5, 2]])
    return (forward, backward), (ids, normal(18, 6, 3), normal(19, 4, 3)), {}


@variants(
    FORM,
    dw_of_one_step="one sample counted",
    reshape_not_transpose=("reshaped instead of transposed", "transposed"),
    db_over_time_only=("sum over the batch missing", "broadcast axis not summed"),
    dw_without_the_last_step="the last time step not counted",
    dx_from_the_wrong_side="transposed",
)
def affine_over_time(kind):
    def temporal_affine_forward(x, w, b):
        N, T, D = x.shape
        M = b.shape[0]
        out = x.reshape(N * T, D).dot(w).reshape(N, T, M) + b
        return out, (x, w, b)

    def temporal_affine_backward(dout, cache):
        x, w, b = cache
        N, T, D = x.shape
        M = b.shape[0]
        flat = dout.reshape(N * T, M)
        dx = flat.dot(w if kind == "dx_from_the_wrong_side" else w.T).reshape(N, T, D)
        dw = flat.T.dot(x.reshape(N * T, D)).T
        if kind == "reshape_not_transpose":
            dw = flat.T.dot(x.reshape(N * T, D)).reshape(D, M)
        if kind == "dw_without_the_last_step":
            dw = sum(x[:, t].T.dot(dout[:, t]) for t in range(T - 1))
        if kind == "dw_of_one_step":
            dw = x[-1].T.dot(dout[-1])
        db = dout.sum(axis=1) if kind == "db_over_time_only" else dout.sum(axis=(0, 1))
        return dx, dw, db

    D = 3
    return (
        (temporal_affine_forward, temporal_affine_backward),
        (normal(20, 2, 5, D), normal(21, D, D), normal(22, D)),
        {},
    )


@variants(
    FORM,
    skip_forgotten="a path missing",
    shared_weight_overwritten="a path missing",
    skip_doubled="counted twice",
    second_tanh_missing="activation's derivative missing",
    second_tanh_squared="activation's derivative applied twice",
    first_tanh_of_z="derivative taken at the wrong value",
    gate_replaced="the wrong array used",
)
def residual_block_with_a_shared_weight(kind):
    def forward(x, w, g):
        z = x @ w
        a = np.tanh(z)
        c = np.tanh(a @ w)
        return x + g * c, (x, w, g, z, a, c)

    def backward(dy, cache):
        x, w, g, z, a, c = cache
        dg = np.sum(dy * (a if kind == "gate_replaced" else c), axis=0)
        dc = dy * g
        dzc = dc * (1 - c**2)
        if kind == "second_tanh_missing":
            dzc = dc
        if kind == "second_tanh_squared":
            dzc = dc * (1 - c**2) ** 2
        dw = a.T @ dzc
        da = dzc @ w.T
        dz = da * (1 - (z if kind == "first_tanh_of_z" else a) ** 2)
        if kind == "shared_weight_overwritten":
            dw = x.T @ dz
        else:
            dw = dw + x.T @ dz
        dx = dz @ w.T
        if kind != "skip_forgotten":
            dx = dx + dy
        if kind == "skip_doubled":
            dx = dx + dy
        return dx, dw, dg

    return (forward, backward), (normal(23, 4, 3), normal(24, 3, 3), normal(25, 3)), {}
