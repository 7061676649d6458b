"""Held-out mistakes: written after the diagnosis was finished. It was run on them once before it was extended."""

import numpy as np

import nnscratch as nn

from .planted import Planted

rng = np.random.default_rng(31)
X, LABELS = rng.normal(size=(6, 4)), np.array([0, 2, 1, 1, 2, 0])


def sigmoid(a):
    return 1 / (1 + np.exp(-a))


# --- nets of linear layers -------------------------------------------------------------------------------------------


class ThreeLayerNet:
    """loss(X, y) with L2 regularisation, in CS231n's form; all hidden layers are as wide as the input."""

    reg = 0.3

    def __init__(self):
        r = np.random.default_rng(5)
        self.params = {f"W{k}": r.normal(size=(4, 4)) for k in (1, 2, 3)}
        self.params |= {f"b{k}": r.normal(size=4) for k in (1, 2, 3)}

    def loss(self, X, y):
        p = self.params
        h1 = np.tanh(X @ p["W1"] + p["b1"])
        h2 = np.tanh(h1 @ p["W2"] + p["b2"])
        scores = h2 @ p["W3"] + p["b3"]
        probs = np.exp(scores - scores.max(axis=1, keepdims=True))
        probs /= probs.sum(axis=1, keepdims=True)
        loss = -np.mean(np.log(probs[range(len(X)), y]))
        loss += 0.5 * self.reg * sum(np.sum(p[f"W{k}"] ** 2) for k in (1, 2, 3))
        dscores = probs
        dscores[range(len(X)), y] -= 1
        dscores /= len(X)
        return loss, self.grads(X, h1, h2, dscores)

    def grads(self, X, h1, h2, dscores):
        p, g = self.params, {}
        g["W3"] = h2.T @ dscores + self.reg * p["W3"]
        g["b3"] = dscores.sum(axis=0)
        d2 = dscores @ p["W3"].T * (1 - h2**2)
        g["W2"] = h1.T @ d2 + self.reg * p["W2"]
        g["b2"] = d2.sum(axis=0)
        d1 = d2 @ p["W2"].T * (1 - h1**2)
        g["W1"] = X.T @ d1 + self.reg * p["W1"]
        g["b1"] = d1.sum(axis=0)
        return g


class ThreeLayerNetSubtractsItsDecay(ThreeLayerNet):
    def grads(self, X, h1, h2, dscores):
        p, g = self.params, {}
        g["W3"] = h2.T @ dscores + self.reg * p["W3"]
        g["b3"] = dscores.sum(axis=0)
        d2 = dscores @ p["W3"].T * (1 - h2**2)
        g["W2"] = h1.T @ d2 + self.reg * p["W2"]
        g["b2"] = d2.sum(axis=0)
        d1 = d2 @ p["W2"].T * (1 - h1**2)
        g["W1"] = X.T @ d1 - self.reg * p["W1"]
        g["b1"] = d1.sum(axis=0)
        return g


class ThreeLayerNetOfTheInput(ThreeLayerNet):
    def grads(self, X, h1, h2, dscores):
        p, g = self.params, {}
        g["W3"] = h2.T @ dscores + self.reg * p["W3"]
        g["b3"] = dscores.sum(axis=0)
        d2 = dscores @ p["W3"].T * (1 - h2**2)
        g["W2"] = X.T @ d2 + self.reg * p["W2"]
        g["b2"] = d2.sum(axis=0)
        d1 = d2 @ p["W2"].T * (1 - h1**2)
        g["W1"] = X.T @ d1 + self.reg * p["W1"]
        g["b1"] = d1.sum(axis=0)
        return g


class ThreeLayerNetNotTransposed(ThreeLayerNet):
    def grads(self, X, h1, h2, dscores):
        p, g = self.params, {}
        g["W3"] = h2.T @ dscores + self.reg * p["W3"]
        g["b3"] = dscores.sum(axis=0)
        d2 = dscores @ p["W3"] * (1 - h2**2)
        g["W2"] = h1.T @ d2 + self.reg * p["W2"]
        g["b2"] = d2.sum(axis=0)
        d1 = d2 @ p["W2"].T * (1 - h1**2)
        g["W1"] = X.T @ d1 + self.reg * p["W1"]
        g["b1"] = d1.sum(axis=0)
        return g


class SequenceLinear(nn.Module):
    """A linear layer with the same weights at every step: (N, T, D) -> (N, T, H)."""

    def __init__(self):
        super().__init__()
        r = np.random.default_rng(6)
        self.weight, self.bias = nn.Parameter(r.normal(size=(3, 4))), nn.Parameter(r.normal(size=3))

    def forward(self, x):
        self.save_for_backward(x)
        return x @ self.weight.data.T + self.bias.data

    def backward(self, dy):
        (x,) = self.saved()
        self.weight.grad += np.einsum("nth,ntd->hd", dy, x)
        self.bias.grad += dy.sum(axis=(0, 1))
        return dy @ self.weight.data


class SequenceLinearOfTheLastStep(SequenceLinear):
    def backward(self, dy):
        (x,) = self.saved()
        self.weight.grad += dy[:, -1].T @ x[:, -1]
        self.bias.grad += dy.sum(axis=(0, 1))
        return dy @ self.weight.data


class SequenceLinearAveraged(SequenceLinear):
    def backward(self, dy):
        (x,) = self.saved()
        self.weight.grad += np.einsum("nth,ntd->hd", dy, x)
        self.bias.grad += dy.mean(axis=(0, 1))
        return dy @ self.weight.data


def highway_forward(x, wh, wg):
    h = np.tanh(x @ wh)
    g = sigmoid(x @ wg)
    return g * h + (1 - g) * x, (x, wh, wg, h, g)


def highway_backward(dy, cache):
    x, wh, wg, h, g = cache
    da = dy * g * (1 - h**2)
    db = dy * (h - x) * g * (1 - g)
    dx = dy * (1 - g) + da @ wh.T + db @ wg.T
    return dx, x.T @ da, x.T @ db


def highway_backward_plus(dy, cache):
    x, wh, wg, h, g = cache
    da = dy * g * (1 - h**2)
    db = dy * (h + x) * g * (1 - g)
    dx = dy * (1 - g) + da @ wh.T + db @ wg.T
    return dx, x.T @ da, x.T @ db


# --- activations -----------------------------------------------------------------------------------------------------


class TanhGELU(nn.Module):
    """The tanh approximation of GELU."""

    def forward(self, x):
        t = np.tanh(np.sqrt(2 / np.pi) * (x + 0.044715 * x**3))
        self.save_for_backward(x, t)
        return 0.5 * x * (1 + t)

    def backward(self, dy):
        x, t = self.saved()
        return dy * 0.5 * (1 + t)


def hardtanh_forward(x, w):
    z = x @ w
    return np.clip(z, -1, 1), (x, w, z)


def hardtanh_backward(dout, cache):
    x, w, z = cache
    return dout @ w.T, x.T @ dout


class LogSoftmax:
    def forward(self, x):
        x = x - x.max(axis=1, keepdims=True)
        self.out = x - np.log(np.exp(x).sum(axis=1, keepdims=True))
        return self.out

    def backward(self, dout):
        return dout * (1 - np.exp(self.out))


def attention_forward(q, k, v):
    """Attention with one head: q (T, D), k and v (S, D)."""
    scores = q @ k.T / np.sqrt(q.shape[1])
    e = np.exp(scores - scores.max(axis=1, keepdims=True))
    a = e / e.sum(axis=1, keepdims=True)
    return a @ v, (q, k, v, a)


def attention_backward(dout, cache):
    q, k, v, a = cache
    da = dout @ v.T
    ds = a * (da - (da * a).sum(axis=1, keepdims=True))
    ds = ds / np.sqrt(q.shape[1])
    return ds @ k, ds.T @ q, a.T @ dout


def attention_backward_by_the_diagonal(dout, cache):
    q, k, v, a = cache
    da = dout @ v.T
    ds = da * a * (1 - a)
    ds = ds / np.sqrt(q.shape[1])
    return ds @ k, ds.T @ q, a.T @ dout


def attention_backward_not_scaled(dout, cache):
    q, k, v, a = cache
    da = dout @ v.T
    ds = a * (da - (da * a).sum(axis=1, keepdims=True))
    return ds @ k, ds.T @ q, a.T @ dout


# --- losses ----------------------------------------------------------------------------------------------------------


class Distillation(nn.Module):
    """Cross-entropy of a teacher's probabilities at a temperature."""

    temperature = 3.0

    def forward(self, z, q):
        s = z / self.temperature
        logp = s - np.log(np.exp(s).sum(axis=1, keepdims=True))
        self.save_for_backward(np.exp(logp), q)
        return float(-(q * logp).sum() / len(z))

    def backward(self):
        p, q = self.saved()
        return (p - q) / len(p)


def nll_from_one(x, y):
    """Cross-entropy with labels from 1 to C."""
    e = np.exp(x)
    p = e / e.sum(axis=1, keepdims=True)
    rows = np.arange(len(x))
    loss = -np.log(p[rows, y - 1]).sum()
    dx = p.copy()
    dx[rows, y] -= 1
    return loss, dx


def masked_mean_loss(x, y, keep):
    """The mean over the samples kept."""
    e = np.exp(x - x.max(axis=1, keepdims=True))
    p = e / e.sum(axis=1, keepdims=True)
    losses = -np.log(p[np.arange(len(x)), y])
    loss = (losses * keep).sum() / keep.sum()
    dx = p.copy()
    dx[np.arange(len(x)), y] -= 1
    return loss, dx * keep[:, None] / len(x)


def cosine_loss(a, b):
    """1 - cos(a, b), summed over the rows."""
    na, nb = np.sqrt((a * a).sum(axis=1, keepdims=True)), np.sqrt((b * b).sum(axis=1, keepdims=True))
    dot = (a * b).sum(axis=1, keepdims=True)
    cos = dot / (na * nb)
    return np.sum(1 - cos), (-b / (na * nb), -a / (na * nb))


# --- convolution -----------------------------------------------------------------------------------------------------


def conv_strided_forward(x, w, b):
    """x (N, C, L), w (F, C, K), stride 2."""
    K, out = w.shape[2], []
    for s in range(0, x.shape[2] - K + 1, 2):
        out.append(np.einsum("nck,fck->nf", x[:, :, s : s + K], w) + b)
    return np.stack(out, axis=2), (x, w, b)


def conv_strided_backward(dout, cache):
    x, w, b = cache
    K = w.shape[2]
    dx, dw = np.zeros_like(x), np.zeros_like(w)
    for t in range(dout.shape[2]):
        s = 2 * t
        dx[:, :, s : s + K] += np.einsum("nf,fck->nck", dout[:, :, t], w)
        dw += np.einsum("nf,nck->fck", dout[:, :, t], x[:, :, s : s + K])
    return dx, dw, dout.sum(axis=(0, 2))


def conv_strided_backward_overwritten(dout, cache):
    x, w, b = cache
    K = w.shape[2]
    dx, dw = np.zeros_like(x), np.zeros_like(w)
    for t in range(dout.shape[2]):
        s = 2 * t
        dx[:, :, s : s + K] = np.einsum("nf,fck->nck", dout[:, :, t], w)
        dw += np.einsum("nf,nck->fck", dout[:, :, t], x[:, :, s : s + K])
    return dx, dw, dout.sum(axis=(0, 2))


def conv_strided_backward_without_the_batch(dout, cache):
    x, w, b = cache
    K = w.shape[2]
    dx, dw = np.zeros_like(x), np.zeros((len(x), *w.shape))
    for t in range(dout.shape[2]):
        s = 2 * t
        dx[:, :, s : s + K] += np.einsum("nf,fck->nck", dout[:, :, t], w)
        dw += np.einsum("nf,nck->nfck", dout[:, :, t], x[:, :, s : s + K])
    return dx, dw, dout.sum(axis=(0, 2))


# --- embedding -------------------------------------------------------------------------------------------------------


class BagOfWords:
    """The sum of the rows of a sentence's words."""

    def __init__(self):
        self.W = np.random.default_rng(8).normal(size=(7, 3))
        self.dW = np.zeros_like(self.W)

    def forward(self, ids):
        self.ids = ids
        return np.sum([self.W[ids[:, t]] for t in range(ids.shape[1])], axis=0)

    def backward(self, dout):
        self.dW = np.zeros_like(self.W)
        np.add.at(self.dW, self.ids[:, 0], dout)


class LanguageModelHead(nn.Module):
    """Sum over time of the tanh of the rows of a table."""

    def __init__(self):
        super().__init__()
        self.table = nn.Parameter(np.random.default_rng(9).normal(size=(6, 3)))

    def forward(self, ids):
        h = np.tanh(self.table.data[ids])
        self.save_for_backward(ids, h)
        return h

    def backward(self, dy):
        ids, h = self.saved()
        d = dy * (1 - h**2)
        for row in np.unique(ids):
            n, t = np.argwhere(ids == row)[0]
            self.table.grad[row] += d[n, t]


# --- normalisation ---------------------------------------------------------------------------------------------------


class InstanceNorm(nn.Module):
    """Normalise each channel of each image separately: (N, C, H, W)."""

    def forward(self, x):
        mu = x.mean(axis=(2, 3), keepdims=True)
        r = 1 / np.sqrt(x.var(axis=(2, 3), keepdims=True) + 1e-5)
        n = (x - mu) * r
        self.save_for_backward(n, r)
        return n

    def backward(self, dy):
        n, r = self.saved()
        return r * (dy - n * (dy * n).mean(axis=(2, 3), keepdims=True))


def batchnorm_forward(x, gamma, beta):
    mu = x.mean(axis=0)
    var = x.var(axis=0)
    xhat = (x - mu) / np.sqrt(var + 1e-3)
    return gamma * xhat + beta, (x, mu, var, xhat, gamma)


def batchnorm_backward_of_a_lower_power(dout, cache):
    x, mu, var, xhat, gamma = cache
    N = len(x)
    d = dout * gamma
    dvar = (d * (x - mu)).sum(axis=0) * -0.5 * (var + 1e-3) ** -1
    dmu = -d.sum(axis=0) / np.sqrt(var + 1e-3)
    dx = d / np.sqrt(var + 1e-3) + dvar * 2 * (x - mu) / N + dmu / N
    return dx, (dout * xhat).sum(axis=0), dout.sum(axis=0)


def weight_norm_forward(x, v, g):
    length = np.sqrt((v**2).sum(axis=0))
    w = g * v / length
    return x @ w, (x, v, g, length, w)


def weight_norm_backward_as_if_fixed(dout, cache):
    x, v, g, length, w = cache
    dw = x.T @ dout
    return dout @ w.T, dw * g / length, (dw * v / length).sum(axis=0)


# --- dropout ---------------------------------------------------------------------------------------------------------


class VariationalDropout(nn.Module):
    """One mask for all steps of a sequence, then a linear map."""

    def __init__(self):
        super().__init__()
        self.weight = nn.Parameter(np.random.default_rng(10).normal(size=(5, 3)))
        self.rng = np.random.default_rng(11)

    def forward(self, x):
        mask = (self.rng.random((x.shape[0], 1, x.shape[2])) < 0.6) / 0.6
        dropped = x * mask
        self.save_for_backward(dropped, mask)
        return dropped @ self.weight.data

    def backward(self, dy):
        dropped, mask = self.saved()
        self.weight.grad += np.einsum("ntd,nth->dh", dropped, dy)
        return dy @ self.weight.data.T


class DropoutScaledTwice:
    def __init__(self):
        self.rng = np.random.default_rng(12)

    def forward(self, x):
        self.mask = (self.rng.random(x.shape) < 0.8) / 0.8
        return x * self.mask

    def backward(self, dout):
        return dout * self.mask / 0.8


# --- recurrent -------------------------------------------------------------------------------------------------------


class ReLURNN:
    """Read a sequence and return the scores of its last state."""

    def __init__(self):
        r = np.random.default_rng(14)
        self.params = {"U": r.normal(size=(3, 5)), "W": r.normal(size=(5, 5)) * 0.5, "V": r.normal(size=(5, 2))}
        self.grads = {}

    def forward(self, x):
        h = np.zeros((len(x), 5))
        self.x, self.hs = x, [h]
        for t in range(x.shape[1]):
            h = np.maximum(0, x[:, t] @ self.params["U"] + h @ self.params["W"])
            self.hs.append(h)
        return h @ self.params["V"]

    def backward(self, dout):
        p, g = self.params, {k: np.zeros_like(v) for k, v in self.params.items()}
        g["V"] = self.hs[-1].T @ dout
        dh, dx = dout @ p["V"].T, np.zeros_like(self.x)
        for t in reversed(range(self.x.shape[1])):
            g["U"] += self.x[:, t].T @ dh
            g["W"] += self.hs[t].T @ dh
            dx[:, t] = dh @ p["U"].T
            dh = dh @ p["W"].T
        self.grads = g
        return dx


def bidirectional_forward(x, Wf, Uf, Wb, Ub):
    """The sum of a state that reads forwards and one that reads backwards."""

    def read(xs, W, U):
        hs, h = [], np.zeros((len(xs), U.shape[0]))
        for t in range(xs.shape[1]):
            h = np.tanh(xs[:, t] @ W + h @ U)
            hs.append(h)
        return np.stack(hs, axis=1)

    hf, hb = read(x, Wf, Uf), read(x[:, ::-1], Wb, Ub)
    return hf + hb[:, ::-1], (x, Wf, Uf, Wb, Ub, hf, hb)


def bidirectional_backward_not_turned_back(dy, cache):
    x, Wf, Uf, Wb, Ub, hf, hb = cache

    def back(dh, hs, xs, W, U):
        dx, dW, dU, dnext = np.zeros_like(xs), np.zeros_like(W), np.zeros_like(U), 0
        for t in reversed(range(xs.shape[1])):
            da = (dh[:, t] + dnext) * (1 - hs[:, t] ** 2)
            dx[:, t], dW = da @ W.T, dW + xs[:, t].T @ da
            if t > 0:
                dU = dU + hs[:, t - 1].T @ da
            dnext = da @ U.T
        return dx, dW, dU

    dxf, dWf, dUf = back(dy, hf, x, Wf, Uf)
    dxb, dWb, dUb = back(dy[:, ::-1], hb, x[:, ::-1], Wb, Ub)
    return dxf + dxb, dWf, dUf, dWb, dUb


class CharRNN:
    """min-char-rnn, as one loss(inputs, targets) with lists; batch of one."""

    def __init__(self):
        r = np.random.default_rng(15)
        self.params = {"Wxh": r.normal(size=(4, 5)), "Whh": r.normal(size=(4, 4)) * 0.6, "Why": r.normal(size=(5, 4))}
        self.params |= {"bh": r.normal(size=(4, 1)), "by": r.normal(size=(5, 1))}

    def loss(self, inputs, targets):
        p = self.params
        xs, hs, ps, loss = {}, {-1: np.zeros((4, 1))}, {}, 0
        for t in range(len(inputs)):
            xs[t] = np.zeros((5, 1))
            xs[t][inputs[t]] = 1
            hs[t] = np.tanh(p["Wxh"] @ xs[t] + p["Whh"] @ hs[t - 1] + p["bh"])
            ys = p["Why"] @ hs[t] + p["by"]
            ps[t] = np.exp(ys) / np.sum(np.exp(ys))
            loss = loss - np.log(ps[t][targets[t], 0])
        g = {k: np.zeros_like(v) for k, v in p.items()}
        for t in reversed(range(len(inputs))):
            dy = ps[t].copy()
            dy[targets[t]] -= 1
            g["Why"] += dy @ hs[t].T
            g["by"] += dy
            dh = p["Why"].T @ dy
            draw = (1 - hs[t] * hs[t]) * dh
            g["bh"] += draw
            g["Wxh"] += draw @ xs[t].T
            g["Whh"] += draw @ hs[t - 1].T
        return loss, g


def keras_gru_forward(x, h, Wz, Wr, Wn, Uz, Ur, Un):
    """One step; the reset gate is applied before the product."""
    z = sigmoid(x @ Wz + h @ Uz)
    r = sigmoid(x @ Wr + h @ Ur)
    n = np.tanh(x @ Wn + (r * h) @ Un)
    return z * h + (1 - z) * n, (x, h, Wz, Wr, Wn, Uz, Ur, Un, z, r, n)


def keras_gru_backward(dy, cache, variant=""):
    x, h, Wz, Wr, Wn, Uz, Ur, Un, z, r, n = cache
    dan = dy * (1 - z) * (1 - n**2)
    daz = dy * (h - n)
    daz = daz if variant == "slope" else daz * z * (1 - z)
    drh = dan @ Un.T
    dar = drh * (n if variant == "array" else h) * r * (1 - r)
    dh = dy * z + daz @ Uz.T + dar @ Ur.T
    dh = dh if variant == "path" else dh + drh * r
    dx = dan @ Wn.T + daz @ Wz.T + dar @ Wr.T
    return dx, dh, x.T @ daz, x.T @ dar, x.T @ dan, h.T @ daz, h.T @ dar, (r * h).T @ dan


def keras_gru_backward_without_r_h(dy, cache):
    return keras_gru_backward(dy, cache, "path")


def keras_gru_backward_of_n(dy, cache):
    return keras_gru_backward(dy, cache, "array")


def keras_gru_backward_without_zs_slope(dy, cache):
    return keras_gru_backward(dy, cache, "slope")


class GateByGateLSTM:
    """One step with one weight matrix for each gate, over [x, h]; the layer holds the states."""

    def __init__(self):
        r = np.random.default_rng(16)
        self.params = {f"W{gate}": r.normal(size=(7, 4)) * 0.5 for gate in "ifog"}
        self.h, self.c = r.normal(size=(3, 4)), r.normal(size=(3, 4))
        self.grads = {}

    def forward(self, x):
        self.z = np.hstack([x, self.h])
        i, f, o = (sigmoid(self.z @ self.params[f"W{gate}"]) for gate in "ifo")
        g = np.tanh(self.z @ self.params["Wg"])
        c = f * self.c + i * g
        self.cache = i, f, o, g, c
        return o * np.tanh(c)

    def pre_activations(self, dh):
        i, f, o, g, c = self.cache
        dc = dh * o * (1 - np.tanh(c) ** 2)
        return {
            "i": dc * g * i * (1 - i),
            "f": dc * self.c * f * (1 - f),
            "o": dh * np.tanh(c) * o * (1 - o),
            "g": dc * i * (1 - g**2),
        }

    def backward(self, dh):
        da = self.pre_activations(dh)
        self.grads = {f"W{gate}": self.z.T @ da[gate] for gate in "ifog"}
        dz = sum(da[gate] @ self.params[f"W{gate}"].T for gate in "ifog")
        return dz[:, :3]


class GateByGateLSTMCopied(GateByGateLSTM):
    def backward(self, dh):
        da = self.pre_activations(dh)
        self.grads["Wi"] = self.z.T @ da["i"]
        self.grads["Wf"] = self.z.T @ da["i"]
        self.grads["Wo"] = self.z.T @ da["o"]
        self.grads["Wg"] = self.z.T @ da["g"]
        dz = sum(da[gate] @ self.params[f"W{gate}"].T for gate in "ifog")
        return dz[:, :3]


class GateByGateLSTMWithASigmoidsSlope(GateByGateLSTM):
    def pre_activations(self, dh):
        i, f, o, g, c = self.cache
        dc = dh * o * (1 - np.tanh(c) ** 2)
        return {
            "i": dc * g * i * (1 - i),
            "f": dc * self.c * f * (1 - f),
            "o": dh * np.tanh(c) * o * (1 - o),
            "g": dc * i * g * (1 - g),
        }


class GateByGateLSTMOfC(GateByGateLSTM):
    def pre_activations(self, dh):
        i, f, o, g, c = self.cache
        dc = dh * o * (1 - np.tanh(c) ** 2)
        return {
            "i": dc * g * i * (1 - i),
            "f": dc * self.c * f * (1 - f),
            "o": dh * c * o * (1 - o),
            "g": dc * i * (1 - g**2),
        }


def peephole_forward(x, h, c, W, U, pi, pf):
    """Peephole LSTM: the input and forget gates use the cell state; gates in the order i, f, g."""
    H = h.shape[1]
    a = x @ W + h @ U
    i, f = sigmoid(a[:, :H] + c * pi), sigmoid(a[:, H : 2 * H] + c * pf)
    g = np.tanh(a[:, 2 * H :])
    c_next = f * c + i * g
    return np.tanh(c_next), c_next, (x, h, c, W, U, pi, pf, i, f, g, c_next)


def peephole_backward_without_the_peepholes(dh, dc, cache):
    x, h, c, W, U, pi, pf, i, f, g, c_next = cache
    dc = dc + dh * (1 - np.tanh(c_next) ** 2)
    dai, daf, dag = dc * g * i * (1 - i), dc * c * f * (1 - f), dc * i * (1 - g**2)
    da = np.hstack([dai, daf, dag])
    dc_prev = dc * f + daf * pf
    return da @ W.T, da @ U.T, dc_prev, x.T @ da, h.T @ da, (dai * c).sum(axis=0), (daf * c).sum(axis=0)


SEQUENCE = rng.normal(size=(3, 4, 3))
IDS = np.array([[1, 4, 4], [0, 2, 1]])
QKV = rng.normal(size=(4, 3)), rng.normal(size=(5, 3)), rng.normal(size=(5, 3))
CONV = rng.normal(size=(2, 2, 7)), rng.normal(size=(3, 2, 3)), rng.normal(size=3)
SQUARES = rng.normal(size=(4, 4)), rng.normal(size=(4, 4))
PROBS = np.array([[2, 5, 2, 1]] * 6) / 10  # the teacher's
BOTH = (SEQUENCE, *(rng.normal(size=s) * 0.6 for s in ((3, 4), (4, 4), (3, 4), (4, 4))))
GRU = (rng.normal(size=(3, 2)), rng.normal(size=(3, 4)), *(rng.normal(size=s) for s in [(2, 4)] * 3 + [(4, 4)] * 3))
PEEP = (rng.normal(size=(3, 2)), rng.normal(size=(3, 4)), rng.normal(size=(3, 4)), rng.normal(size=(2, 12)))
PEEP += (rng.normal(size=(4, 12)), rng.normal(size=4), rng.normal(size=4))


def held_out(area, *arguments, **more):
    return Planted(*arguments, **more, area=area, held_out=True)


CORRECT = [
    ("linear", ThreeLayerNet(), (X, LABELS), {}),
    ("linear", SequenceLinear(), (rng.normal(size=(2, 3, 4)),), {}),
    ("linear", (highway_forward, highway_backward), (X, *SQUARES), {}),
    ("activation", (attention_forward, attention_backward), QKV, {}),
    ("convolution", (conv_strided_forward, conv_strided_backward), CONV, {}),
    ("GRU", (keras_gru_forward, keras_gru_backward), GRU, {}),
    ("LSTM", GateByGateLSTM(), (rng.normal(size=(3, 3)),), {}),
]

MISTAKES = [
    held_out("linear", "weight decay's share wrong", "- reg * W1", ThreeLayerNetSubtractsItsDecay(), (X, LABELS)),
    held_out("linear", "the wrong array used", "W2's gradient from X, not h1", ThreeLayerNetOfTheInput(), (X, LABELS)),
    held_out("linear", "transposed", "dscores @ W3, where W3 is square", ThreeLayerNetNotTransposed(), (X, LABELS)),
    held_out(
        "linear",
        "only the last time step counted",
        "weight.grad from dy[:, -1] and x[:, -1]",
        SequenceLinearOfTheLastStep(),
        (rng.normal(size=(2, 3, 4)),),
    ),
    held_out(
        "linear",
        "scaled by a constant",
        "bias.grad += dy.mean(axis=(0, 1))",
        SequenceLinearAveraged(),
        (rng.normal(size=(2, 3, 4)),),
    ),
    held_out(
        "linear",
        "sign flipped",
        "a highway layer's gate: dy (h + x) instead of (h - x)",
        (highway_forward, highway_backward_plus),
        (X, *SQUARES),
    ),
    held_out("activation", "a path missing", "GELU: dy (1 + tanh) / 2, no gradient through tanh", TanhGELU(), (X,)),
    held_out(
        "activation",
        "mask not applied",
        "hard tanh: dout passes where z is clipped",
        (hardtanh_forward, hardtanh_backward),
        (X, SQUARES[0]),
    ),
    held_out("activation", "Jacobian reduced to its diagonal", "log-softmax: dout (1 - p)", LogSoftmax(), (X,)),
    held_out(
        "activation",
        "Jacobian reduced to its diagonal",
        "attention: da a (1 - a)",
        (attention_forward, attention_backward_by_the_diagonal),
        QKV,
    ),
    held_out(
        "activation",
        "scaled by a constant",
        "attention: 1/sqrt(d) forgotten in backward",
        (attention_forward, attention_backward_not_scaled),
        QKV,
    ),
    held_out(
        "loss",
        "scaled by a constant",
        "distillation: not divided by the temperature",
        Distillation(),
        (X, PROBS),
    ),
    held_out(
        "loss", "target one off", "labels from 1: dx[rows, y] instead of y - 1", nll_from_one, (X, LABELS + 1)
    ),
    held_out(
        "loss",
        "scaled by a constant",
        "divided by N instead of the number of samples that count",
        masked_mean_loss,
        (X, LABELS, np.array([1, 1, 0, 1, 1, 0])),
    ),
    held_out("loss", "a path missing", "cosine: the lengths treated as constants", cosine_loss, (X, X[::-1] + 0.5)),
    held_out(
        "convolution",
        "rows met twice counted once",
        "dx[window] = instead of +=, where windows overlap",
        (conv_strided_forward, conv_strided_backward_overwritten),
        CONV,
    ),
    held_out(
        "convolution",
        "sum over the batch missing",
        "einsum to (N, F, C, K)",
        (conv_strided_forward, conv_strided_backward_without_the_batch),
        CONV,
    ),
    held_out("embedding", "only the first time step counted", "np.add.at(dW, ids[:, 0], dout)", BagOfWords(), (IDS,)),
    held_out(
        "embedding", "rows met twice counted once", "only the first position of each id", LanguageModelHead(), (IDS,)
    ),
    held_out(
        "normalisation",
        "a path missing",
        "instance norm: no gradient through the mean",
        InstanceNorm(),
        (rng.normal(size=(2, 2, 3, 3)),),
    ),
    held_out(
        "normalisation",
        "a factor missing",
        "batch norm: (var + eps)^-1 instead of ^-1.5 in dvar",
        (batchnorm_forward, batchnorm_backward_of_a_lower_power),
        (X, rng.uniform(0.5, 1.5, 4), rng.normal(size=4)),
    ),
    held_out(
        "normalisation",
        "a path missing",
        "weight norm: |v| taken as fixed",
        (weight_norm_forward, weight_norm_backward_as_if_fixed),
        (X, rng.normal(size=(4, 3)), rng.uniform(1, 2, 3)),
    ),
    held_out(
        "dropout",
        "mask not applied",
        "one mask for all steps, forgotten in dx",
        VariationalDropout(),
        (rng.normal(size=(2, 3, 5)),),
    ),
    held_out(
        "dropout",
        "scaled by a constant",
        "the mask is already scaled; divided by 1 - p again",
        DropoutScaledTwice(),
        (X,),
    ),
    held_out("RNN", "mask not applied", "a ReLU RNN without ReLU's mask", ReLURNN(), (SEQUENCE,)),
    held_out(
        "RNN",
        "axes reversed",
        "bidirectional: dx of the second direction not reversed",
        (bidirectional_forward, bidirectional_backward_not_turned_back),
        BOTH,
    ),
    held_out(
        "RNN",
        "the state's own path missing",
        "min-char-rnn without dhnext",
        CharRNN(),
        (np.array([0, 3, 1, 4, 2]), np.array([3, 1, 4, 2, 2])),
    ),
    held_out(
        "GRU",
        "a path missing",
        "reset before the product: dh without drh * r",
        (keras_gru_forward, keras_gru_backward_without_r_h),
        GRU,
        also=("the state's own path missing",),
    ),
    held_out(
        "GRU", "the wrong array used", "dr = drh * n instead of h", (keras_gru_forward, keras_gru_backward_of_n), GRU
    ),
    held_out(
        "GRU",
        "activation's derivative missing",
        "the derivative of the update gate's sigmoid missing",
        (keras_gru_forward, keras_gru_backward_without_zs_slope),
        GRU,
    ),
    held_out(
        "LSTM",
        "the wrong array used",
        "grads of Wf from the input gate, copied",
        GateByGateLSTMCopied(),
        (rng.normal(size=(3, 3)),),
    ),
    held_out(
        "LSTM",
        "activation's derivative wrong",
        "the candidate g: g (1 - g), the derivative of a sigmoid",
        GateByGateLSTMWithASigmoidsSlope(),
        (rng.normal(size=(3, 3)),),
    ),
    held_out(
        "LSTM",
        "the wrong array used",
        "do = dh * c instead of tanh(c)",
        GateByGateLSTMOfC(),
        (rng.normal(size=(3, 3)),),
    ),
    held_out(
        "LSTM",
        "the state's own path missing",
        "peepholes: the path from the input gate to the cell forgotten",
        (peephole_forward, peephole_backward_without_the_peepholes),
        PEEP,
        also=("a path missing",),
    ),
]
