"""float32 inside, and one weight for x and prev_h together."""

import numpy as np


def lstm_step_forward(x, prev_h, prev_c, Wx, Wh, b):
    both = np.hstack([x, prev_h]).astype(np.float32)
    W = np.vstack([Wx, Wh]).astype(np.float32)
    a = both @ W + b.astype(np.float32)
    H = prev_h.shape[1]
    i, f, o = (1 / (1 + np.exp(-a[:, k * H : (k + 1) * H])) for k in range(3))
    g = np.tanh(a[:, 3 * H :])
    next_c = f * prev_c.astype(np.float32) + i * g
    return o * np.tanh(next_c), next_c, [both, W, prev_c, i, f, o, g, next_c]


def lstm_step_backward(dnext_h, dnext_c, cache):
    both, W, prev_c, i, f, o, g, next_c = cache
    D = both.shape[1] - prev_c.shape[1]
    dc = dnext_c + dnext_h * o / np.cosh(next_c) ** 2
    da = np.hstack([
        dc * g * i * (1 - i), dc * prev_c * f * (1 - f), dnext_h * np.tanh(next_c) * o * (1 - o), dc * i * (1 - g * g)
    ])  # fmt: skip
    dboth, dW = da @ W.T, both.T @ da
    return dboth[:, :D], dboth[:, D:], dc * f, dW[:D], dW[D:], da.sum(0)
