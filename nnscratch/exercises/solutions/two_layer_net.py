"""Exercise 12: two-layer network

Put the parts together: affine, ReLU, affine, softmax loss, with weight decay on both weights.

    h      = max(0, X W1 + b1)
    scores = h W2 + b2
    loss   = the mean softmax loss  +  reg * (sum(W1^2) + sum(W2^2))

The parameters are in self.params, with the names W1, b1, W2 and b2. The gradients go into a dictionary with the same
names. The biases have no weight decay.

Shapes: X (N, D); y (N,), integers; W1 (D, H), b1 (H,), W2 (H, C), b2 (C,); every gradient has its parameter's shape.

What is checked: the scores and the loss, to 6 digits; then the four gradients.
Tolerances: 1e-6 of the largest value (float32: 1e-3); for gradients, a relative error of 1e-6 (float32: 1e-2).
Also part of: CS231n, assignment 1 (TwoLayerNet).

Check it:    nnscratch exercises check two_layer_net
Stuck?       nnscratch exercises hint two_layer_net
"""

import numpy as np


class TwoLayerNet:
    """A classifier with one hidden layer."""

    def __init__(self, input_dim, hidden_dim, num_classes, reg=0.0):
        self.reg = reg
        rng = np.random.default_rng()
        self.params = {
            "W1": rng.normal(0, 0.01, (input_dim, hidden_dim)),
            "b1": np.zeros(hidden_dim),
            "W2": rng.normal(0, 0.01, (hidden_dim, num_classes)),
            "b2": np.zeros(num_classes),
        }

    def loss(self, X, y=None):
        """Return the scores (N, C) if y is None. Otherwise return loss and grads, a dictionary."""
        W1, b1, W2, b2 = (self.params[name] for name in ("W1", "b1", "W2", "b2"))
        # solution: Compute the scores. Return them if y is None.
        h = np.maximum(0, X @ W1 + b1)
        scores = h @ W2 + b2
        if y is None:
            return scores
        # end
        # solution: Compute loss and grads.
        N = len(X)
        shifted = scores - scores.max(axis=1, keepdims=True)
        log_p = shifted - np.log(np.exp(shifted).sum(axis=1, keepdims=True))
        loss = -log_p[np.arange(N), y].mean() + self.reg * ((W1**2).sum() + (W2**2).sum())
        dscores = np.exp(log_p)
        dscores[np.arange(N), y] -= 1
        dscores /= N
        dh = dscores @ W2.T
        da = dh * (h > 0)
        grads = {
            "W1": X.T @ da + 2 * self.reg * W1,
            "b1": da.sum(axis=0),
            "W2": h.T @ dscores + 2 * self.reg * W2,
            "b2": dscores.sum(axis=0),
        }
        return loss, grads
        # end
