"""Exercise 33: masked loss

Add up the softmax loss of every word of a sentence. Short sentences are filled up with padding, which must not count.

    loss = (1 / N) * the sum over n and t of  mask[n, t] * (-log p[n, t, y[n, t]])

p is the softmax of the scores x over the last axis. The sum over time is not divided by the number of words: this is
CS231n's convention.

    dx   = mask * (p - onehot) / N      onehot[n, t, k] is 1 if k is the right word y[n, t], and 0 otherwise

Shapes: x and dx (N, T, V); y (N, T), integers from 0 to V - 1; mask (N, T), True for words and False for padding; loss
is one number.

What is checked: the loss, to 6 digits; then dx.
Tolerances: 1e-6 of the largest value (float32: 1e-3); for gradients, a relative error of 1e-6 (float32: 1e-2).
Also part of: CS231n, assignment 3 (temporal_softmax_loss).

Check it:    nnscratch exercises check masked_loss
Stuck?       nnscratch exercises hint masked_loss
"""

import numpy as np


def temporal_softmax_loss(x, y, mask):
    """Return loss and dx."""
    # solution: Compute loss and dx.
    N, T, _ = x.shape
    n, t = np.arange(N)[:, None], np.arange(T)
    shifted = x - x.max(axis=2, keepdims=True)
    log_p = shifted - np.log(np.exp(shifted).sum(axis=2, keepdims=True))
    loss = -(mask * log_p[n, t, y]).sum() / N
    dx = np.exp(log_p)
    dx[n, t, y] -= 1
    dx *= mask[:, :, None] / N
    return loss, dx
    # end
