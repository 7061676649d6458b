"""Exercise 29: one step of a recurrent network

    forward     a      = x Wx + prev_h Wh + b
                next_h = tanh(a)
    backward    da     = dnext_h * (1 - next_h^2), and from it the gradients of all five inputs

Shapes: x and dx (N, D); prev_h, next_h and their gradients (N, H); Wx (D, H); Wh (H, H); b (H,).

What is checked: the values of forward, to 6 digits; then the five gradients of backward.
Tolerances: 1e-6 of the largest value (float32: 1e-3); for gradients, a relative error of 1e-6 (float32: 1e-2).
Also part of: CS231n, assignment 3 (rnn_step_forward, rnn_step_backward).

Check it:    nnscratch exercises check rnn_step
Stuck?       nnscratch exercises hint rnn_step
"""

import numpy as np


def rnn_step_forward(x, prev_h, Wx, Wh, b):
    """Return next_h and a cache for backward."""
    # solution: Compute next_h. Save in cache what backward needs.
    next_h = np.tanh(x @ Wx + prev_h @ Wh + b)
    cache = (x, prev_h, Wx, Wh, next_h)
    return next_h, cache
    # end


def rnn_step_backward(dnext_h, cache):
    """Return dx, dprev_h, dWx, dWh and db."""
    # solution: Compute the five gradients.
    x, prev_h, Wx, Wh, next_h = cache
    da = dnext_h * (1 - next_h**2)
    dx = da @ Wx.T
    dprev_h = da @ Wh.T
    dWx = x.T @ da
    dWh = prev_h.T @ da
    db = da.sum(axis=0)
    return dx, dprev_h, dWx, dWh, db
    # end
