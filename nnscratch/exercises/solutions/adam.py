"""Exercise 14: Adam

Adam divides the step of each weight by the usual size of the weight's gradient.

    t      = t + 1
    m      = beta1 * m + (1 - beta1) * dw           a running mean of the gradient
    v      = beta2 * v + (1 - beta2) * dw^2         a running mean of the squared gradient
    mhat   = m / (1 - beta1^t)                      m and v start at 0 and are too small at first; this corrects them
    vhat   = v / (1 - beta2^t)
    next_w = w - learning_rate * mhat / (sqrt(vhat) + epsilon)

config is a dictionary with the entries "learning_rate", "beta1", "beta2", "epsilon", "m", "v" and "t". The entry "t" is
the number of steps before this one. Store the new m, v and t in config.

Shapes: w, dw, m, v and next_w all have the same shape. Do not change w: next_w is a new array.

What is checked: next_w and the new m, v and t, to 6 digits, for a first step and for later ones.
Tolerances: 1e-6 of the largest value (float32: 1e-3).
Also part of: CS231n, assignment 2 (adam).

Check it:    nnscratch exercises check adam
Stuck?       nnscratch exercises hint adam
"""

import numpy as np


def adam(w, dw, config):
    """Return next_w and config."""
    # solution: Compute next_w, and store m, v and t in config.
    beta1, beta2 = config["beta1"], config["beta2"]
    t = config["t"] + 1
    m = beta1 * config["m"] + (1 - beta1) * dw
    v = beta2 * config["v"] + (1 - beta2) * dw**2
    mhat = m / (1 - beta1**t)
    vhat = v / (1 - beta2**t)
    next_w = w - config["learning_rate"] * mhat / (np.sqrt(vhat) + config["epsilon"])
    config.update(m=m, v=v, t=t)
    return next_w, config
    # end
