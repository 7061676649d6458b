"""Exercise 11: softmax regression

A linear classifier: scores X W, the softmax loss, and weight decay. This is the first model of many courses.

    scores = X W
    loss   = the mean softmax loss of the scores  +  reg * sum(W^2)
    dW     = X^T dscores  +  2 reg W

dscores is dx of the exercise softmax_loss: (p - onehot) / N.

Shapes: W and dW (D, C); X (N, D); y (N,), integers from 0 to C - 1; reg and loss are numbers.

Use no loop over the examples.

What is checked: the loss, to 6 digits; then dW.
Tolerances: 1e-6 of the largest value (float32: 1e-3); for gradients, a relative error of 1e-6 (float32: 1e-2).
Also part of: CS231n, assignment 1 (softmax_loss_vectorized).

Check it:    nnscratch exercises check softmax_regression
Stuck?       nnscratch exercises hint softmax_regression
"""

import numpy as np


def softmax_loss_vectorized(W, X, y, reg):
    """Return loss and dW."""
    # solution: Compute loss and dW.
    N = X.shape[0]
    scores = X @ W
    scores = scores - scores.max(axis=1, keepdims=True)
    log_p = scores - np.log(np.exp(scores).sum(axis=1, keepdims=True))
    loss = -log_p[np.arange(N), y].mean() + reg * (W**2).sum()
    dscores = np.exp(log_p)
    dscores[np.arange(N), y] -= 1
    dW = X.T @ dscores / N + 2 * reg * W
    return loss, dW
    # end
