"""Exercise 4: ReLU

    forward     out = x where x > 0, and 0 elsewhere
    backward    dx  = dout where x > 0, and 0 elsewhere

Shapes: all arrays have the same shape, with any number of axes.

Do not change x: make a new array for out.

What is checked: the values of forward, to 6 digits; then the gradient of backward.
Tolerances: 1e-6 of the largest value (float32: 1e-3); for gradients, a relative error of 1e-6 (float32: 1e-2).
Also part of: CS231n, assignment 2 (relu_forward, relu_backward); CMU 11-785, homework 1 (ReLU).

Check it:    nnscratch exercises check relu
Stuck?       nnscratch exercises hint relu
"""

import numpy as np


def relu_forward(x):
    """Return out and a cache for backward."""
    # solution: Compute out. Save in cache what backward needs.
    out = np.maximum(x, 0)
    cache = x
    return out, cache
    # end


def relu_backward(dout, cache):
    """Return dx, the gradient with respect to x."""
    # solution: Compute dx from dout and the cache.
    x = cache
    dx = dout * (x > 0)
    return dx
    # end
