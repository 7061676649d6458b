"""Exercise 16: dropout

During training, set random elements to zero, so that no unit can rely on a single other unit. At test time, change
nothing.

    train       mask = 1 / p with probability p, and 0 otherwise, for each element
                out  = x * mask
    test        out  = x
    backward    dx   = dout * mask in training, and dout at test time

p is the probability to KEEP an element, as in CS231n. (PyTorch's p is the probability to drop it.) The division by p
keeps the mean of out equal to the mean of x: this is called inverted dropout.

dropout_param is a dictionary with the entries "mode" ("train" or "test") and "p". Draw the mask with NumPy, for example
np.random.rand(*x.shape).

Shapes: x, out, dout and dx all have the same shape, with any number of axes.

What is checked: in training, how many elements are kept, and their values; at test time, that out is x; then the
gradient of backward in both modes.
Tolerances: 1e-6 of the largest value (float32: 1e-3); for gradients, a relative error of 1e-6 (float32: 1e-2).
Also part of: CS231n, assignment 2 (dropout_forward, dropout_backward).

Check it:    nnscratch exercises check dropout
Stuck?       nnscratch exercises hint dropout
"""

import numpy as np


def dropout_forward(x, dropout_param):
    """Return out and a cache for backward."""
    # solution: Compute out for both modes. Save in cache what backward needs.
    p = dropout_param["p"]
    if dropout_param["mode"] == "train":
        mask = (np.random.rand(*x.shape) < p) / p  # noqa: NPY002
    else:
        mask = np.ones(x.shape)
    out = x * mask
    cache = mask
    return out, cache
    # end


def dropout_backward(dout, cache):
    """Return dx, the gradient with respect to x."""
    # solution: Compute dx from dout and the cache.
    mask = cache
    dx = dout * mask
    return dx
    # end
