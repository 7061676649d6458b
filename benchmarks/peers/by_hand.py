"""The LSTM, Adam and clipping for autograd and MyGrad, which do not have them."""

import numpy as np


def clip(grads, max_norm):
    norm = np.sqrt(sum(float(np.vdot(g, g)) for g in grads.values()))
    if norm > max_norm:
        for g in grads.values():
            g *= max_norm / norm


class Adam:
    """Adam in plain NumPy, updating the weights in place."""

    def __init__(self, weights):
        self.w, self.t = weights, 0
        self.m, self.v = ({name: np.zeros_like(w) for name, w in weights.items()} for _ in range(2))

    def step(self, grads):
        self.t += 1
        for name, w in self.w.items():
            g, m, v = grads[name], self.m[name], self.v[name]
            m += 0.1 * (g - m)
            v += 0.001 * (g * g - v)
            w -= 1e-3 / (1 - 0.9**self.t) * m / (np.sqrt(v / (1 - 0.999**self.t)) + 1e-8)


def lstm_logits(xp, sigmoid, p, layers, tokens, state):
    """Run the model on one batch with the functions of `xp`; return logits (T*N, V), step by step, and the state."""
    N, T = tokens.shape
    x = p["embedding.weight"][tokens.T.reshape(-1)]  # (T*N, D)
    h_last, c_last = [], []
    for k in range(layers):
        H = p[f"lstm.weight_hh_l{k}"].shape[1]
        z_x = xp.matmul(x, p[f"lstm.weight_ih_l{k}"].T) + (p[f"lstm.bias_ih_l{k}"] + p[f"lstm.bias_hh_l{k}"])
        W, (h, c), hs = p[f"lstm.weight_hh_l{k}"].T, state[k], []
        for t in range(T):
            z = z_x[t * N : (t + 1) * N] + xp.matmul(h, W)
            i, f, o = sigmoid(z[:, :H]), sigmoid(z[:, H : 2 * H]), sigmoid(z[:, 3 * H :])
            c = f * c + i * xp.tanh(z[:, 2 * H : 3 * H])
            h = o * xp.tanh(c)
            hs.append(h)
        x = xp.concatenate(hs, axis=0)
        h_last.append(h)
        c_last.append(c)
    return xp.matmul(x, p["linear.weight"].T) + p["linear.bias"], list(zip(h_last, c_last, strict=True))


def no_state(job):
    shape = (job.sizes["batch"], job.sizes["hidden"])
    return [(np.zeros(shape, np.float32), np.zeros(shape, np.float32)) for _ in range(job.sizes["layers"])]
