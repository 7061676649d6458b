"""Exercise 1: sigmoid

Write the sigmoid function, and its backward pass.

    forward     y  = 1 / (1 + exp(-x))       in the code, the name of y is out
    backward    dx = dout * y (1 - y)        because the derivative of the sigmoid is y (1 - y)

Shapes: x, out, dout and dx all have the same shape, with any number of axes.

Backward gets dout, the gradient of the loss with respect to out, and the cache that your forward returned. It returns
dx, the gradient of the loss with respect to x. What you put into the cache is your choice.

A difficulty: exp(800) is larger than the largest float64 number, so NumPy gives inf and warns about an overflow. Your
forward must be right for x = -800 and x = 800 too, without an overflow.

What is checked: the values of forward, to 6 digits, also at x = -800 and 800, where an overflow is a mistake; then the
gradient of backward.
Tolerances: 1e-6 of the largest value (float32: 1e-3); for gradients, a relative error of 1e-6 (float32: 1e-2).
Also part of: deeplearning.ai, course 1 (sigmoid, sigmoid_backward); CMU 11-785, homework 1 (Sigmoid).

Check it:    nnscratch exercises check sigmoid
Stuck?       nnscratch exercises hint sigmoid
"""

import numpy as np


def sigmoid_forward(x):
    """Return out, the sigmoid of x, and a cache for backward."""
    # solution: Compute out. Save in cache what backward needs.
    positive = x >= 0
    e = np.exp(-np.abs(x))  # at most 1
    out = np.where(positive, 1 / (1 + e), e / (1 + e))
    cache = out
    return out, cache
    # end


def sigmoid_backward(dout, cache):
    """Return dx, the gradient with respect to x."""
    # solution: Compute dx from dout and the cache.
    out = cache
    dx = dout * out * (1 - out)
    return dx
    # end
