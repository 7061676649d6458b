"""Exercise 10: softmax loss

The loss for classification: minus the logarithm of the probability that softmax gives to the right class.

    p    = softmax(x), for each row
    loss = the mean over the rows n of  -log p[n, y[n]]
    dx   = (p - onehot) / N             onehot[n, k] is 1 if k is the right class y[n], and 0 otherwise

Softmax and logarithm are computed together, since log(exp(x)) is simply x:

    log p_i = x_i - log(sum_k exp(x_k))        subtract the largest score of the row from x first

Shapes: x and dx (N, C), scores; y (N,), integers from 0 to C - 1; loss is one number.

What is checked: the loss, to 6 digits, also for scores near 1000; then dx.
Tolerances: 1e-6 of the largest value (float32: 1e-3); for gradients, a relative error of 1e-6 (float32: 1e-2).
Also part of: CS231n, assignment 2 (softmax_loss); CMU 11-785, homework 1 (CrossEntropyLoss).

Check it:    nnscratch exercises check softmax_loss
Stuck?       nnscratch exercises hint softmax_loss
"""

import numpy as np


def softmax_loss(x, y):
    """Return loss and dx."""
    # solution: Compute loss and dx.
    N = x.shape[0]
    shifted = x - x.max(axis=1, keepdims=True)
    log_p = shifted - np.log(np.exp(shifted).sum(axis=1, keepdims=True))
    loss = -log_p[np.arange(N), y].mean()
    dx = np.exp(log_p)
    dx[np.arange(N), y] -= 1
    dx /= N
    return loss, dx
    # end
