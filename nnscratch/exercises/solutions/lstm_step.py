"""Exercise 31: one step of an LSTM

    a      = x Wx + prev_h Wh + b                   (N, 4H), the four gates side by side: ai, af, ao, ag
    i, f, o = sigmoid(ai), sigmoid(af), sigmoid(ao)
    g      = tanh(ag)
    next_c = f * prev_c + i * g
    next_h = o * tanh(next_c)

Backward gets two gradients, dnext_h and dnext_c. next_c affects the loss on two paths: directly, and through next_h.
Add the gradients of both paths before you go further back.

The order of the gates is that of CS231n: i, f, o, g. (PyTorch's is i, f, g, o.)

Shapes: x and dx (N, D); prev_h, prev_c, next_h, next_c and their gradients (N, H); Wx (D, 4H); Wh (H, 4H); b (4H,).

What is checked: next_h and next_c, to 6 digits; then the six gradients of backward.
Tolerances: 1e-6 of the largest value (float32: 1e-3); for gradients, a relative error of 1e-6 (float32: 1e-2).
Also part of: CS231n, assignment 3 (lstm_step_forward, lstm_step_backward).

Check it:    nnscratch exercises check lstm_step
Stuck?       nnscratch exercises hint lstm_step
"""

import numpy as np


def sigmoid(x):
    """Return the sigmoid of x."""
    return np.tanh(x / 2) / 2 + 0.5


def lstm_step_forward(x, prev_h, prev_c, Wx, Wh, b):
    """Return next_h, next_c and a cache for backward."""
    # solution: Compute next_h and next_c. Save in cache what backward needs.
    a = x @ Wx + prev_h @ Wh + b
    ai, af, ao, ag = np.split(a, 4, axis=1)
    i, f, o, g = sigmoid(ai), sigmoid(af), sigmoid(ao), np.tanh(ag)
    next_c = f * prev_c + i * g
    next_h = o * np.tanh(next_c)
    cache = (x, prev_h, prev_c, Wx, Wh, i, f, o, g, next_c)
    return next_h, next_c, cache
    # end


def lstm_step_backward(dnext_h, dnext_c, cache):
    """Return dx, dprev_h, dprev_c, dWx, dWh and db."""
    # solution: Compute the six gradients.
    x, prev_h, prev_c, Wx, Wh, i, f, o, g, next_c = cache
    t = np.tanh(next_c)
    dc = dnext_c + dnext_h * o * (1 - t**2)
    dprev_c = dc * f
    dai = dc * g * i * (1 - i)
    daf = dc * prev_c * f * (1 - f)
    dao = dnext_h * t * o * (1 - o)
    dag = dc * i * (1 - g**2)
    da = np.concatenate([dai, daf, dao, dag], axis=1)
    dx, dprev_h = da @ Wx.T, da @ Wh.T
    dWx, dWh, db = x.T @ da, prev_h.T @ da, da.sum(axis=0)
    return dx, dprev_h, dprev_c, dWx, dWh, db
    # end
