"""Exercise 30: backpropagation through time, and its truncation

The step of the exercise rnn_step, for all T time steps of a sequence:

    forward     h[:, t]  = tanh(x[:, t] Wx + h[:, t-1] Wh + b),     with h0 instead of h[:, t-1] for t = 0
    backward    from t = T-1 down to 0:
                dh_t     = dh[:, t] + the gradient that comes from step t+1
                da       = dh_t * (1 - h[:, t]^2)
                da Wh^T is the gradient that goes to step t-1; for t = 0, it is dh0

Each state affects the loss on two paths: directly, with the gradient dh[:, t], and through the next state. Every step
uses the same Wx, Wh and b, so the gradients of all steps are added.

Truncation: a long text has too many steps for one backward pass. rnn_truncated cuts the sequence into pieces of `steps`
time steps; the last piece may be shorter. The state passes from each piece to the next. The gradient does not pass to
the previous piece: each piece treats its initial state as a constant. In PyTorch, h = h.detach() does this.

Shapes: x and dx (N, T, D); h0 and dh0 (N, H); h and dh (N, T, H); Wx (D, H); Wh (H, H); b (H,).

What is checked: h, to 6 digits; then the five gradients of rnn_backward; then what rnn_truncated returns, to 6 digits.
Tolerances: 1e-6 of the largest value (float32: 1e-3); for gradients, a relative error of 1e-6 (float32: 1e-2).
Also part of: CS231n, assignment 3 (rnn_forward, rnn_backward). The truncation: "Deep Learning from
Scratch" 2, chapter 5, and "Dive into Deep Learning", section 9.7.

Check it:    nnscratch exercises check rnn_bptt
Stuck?       nnscratch exercises hint rnn_bptt
"""

import numpy as np


def rnn_forward(x, h0, Wx, Wh, b):
    """Return h, the states after all steps, and a cache for backward."""
    # solution: Compute h. Save in cache what backward needs.
    h = np.zeros((*x.shape[:2], len(b)))
    state = h0
    for t in range(x.shape[1]):
        state = np.tanh(x[:, t] @ Wx + state @ Wh + b)
        h[:, t] = state
    cache = (x, h0, Wx, Wh, h)
    return h, cache
    # end


def rnn_backward(dh, cache):
    """Return dx, dh0, dWx, dWh and db."""
    # solution: Compute the five gradients, from the last step to the first.
    x, h0, Wx, Wh, h = cache
    dx, dWx, dWh, db = np.zeros(x.shape), np.zeros(Wx.shape), np.zeros(Wh.shape), np.zeros(len(Wh))
    dnext = np.zeros(h0.shape)
    for t in reversed(range(x.shape[1])):
        prev_h = h[:, t - 1] if t > 0 else h0
        da = (dh[:, t] + dnext) * (1 - h[:, t] ** 2)
        dx[:, t] = da @ Wx.T
        dnext = da @ Wh.T
        dWx += x[:, t].T @ da
        dWh += prev_h.T @ da
        db += da.sum(axis=0)
    return dx, dnext, dWx, dWh, db
    # end


def rnn_truncated(x, h0, Wx, Wh, b, dh, steps):
    """Return h, and the truncated gradients dWx, dWh and db."""
    # solution: Run forward and backward on one piece after the other.
    states, dWx, dWh, db = [], 0, 0, 0
    for start in range(0, x.shape[1], steps):
        piece = slice(start, start + steps)
        h, cache = rnn_forward(x[:, piece], h0, Wx, Wh, b)
        _, _, dWx_piece, dWh_piece, db_piece = rnn_backward(dh[:, piece], cache)
        dWx, dWh, db = dWx + dWx_piece, dWh + dWh_piece, db + db_piece
        states.append(h)
        h0 = h[:, -1]
    return np.concatenate(states, axis=1), dWx, dWh, db
    # end
