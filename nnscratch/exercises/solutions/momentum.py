"""Exercise 13: momentum

A step of gradient descent with momentum: the velocity is a running sum of past gradients, and the weights follow it.

    v      = momentum * v - learning_rate * dw
    next_w = w + v

config is a dictionary with the entries "learning_rate" and "momentum"; after the first step also "velocity". Before the
first step, the velocity is zero. Store the new velocity in config["velocity"].

Shapes: w, dw, v and next_w all have the same shape. Do not change w: next_w is a new array.

What is checked: next_w and config["velocity"], to 6 digits, for a first step and for later ones.
Tolerances: 1e-6 of the largest value (float32: 1e-3).
Also part of: CS231n, assignment 2 (sgd_momentum).

Check it:    nnscratch exercises check momentum
Stuck?       nnscratch exercises hint momentum
"""

import numpy as np


def sgd_momentum(w, dw, config):
    """Return next_w and config."""
    # solution: Compute next_w, and store the new velocity in config.
    v = config.get("velocity", np.zeros_like(w))
    v = config["momentum"] * v - config["learning_rate"] * dw
    next_w = w + v
    config["velocity"] = v
    return next_w, config
    # end
