"""Exercise 22: max pooling

    out[n, c, i, j] = the largest of x[n, c, i s + u, j s + v], with u < pool_height and v < pool_width

The gradient of out goes to the pixel that was the largest; all other pixels of the window get none. Windows overlap if
the stride is smaller than the window: a pixel that is the largest of several windows gets the sum of their gradients.

pool_param is a dictionary with the entries "pool_height", "pool_width" and "stride".

Shapes: x and dx (N, C, H, W); out and dout (N, C, H', W') with H' = (H - pool_height) / stride + 1, rounded down, and
W' in the same way.

What is checked: the values of forward, to 6 digits; then the gradient of backward, also with overlapping windows.
Tolerances: 1e-6 of the largest value (float32: 1e-3); for gradients, a relative error of 1e-6 (float32: 1e-2).
Also part of: CS231n, assignment 2 (max_pool_forward_naive, max_pool_backward_naive).

Check it:    nnscratch exercises check max_pool
Stuck?       nnscratch exercises hint max_pool
"""

import numpy as np


def max_pool_forward_naive(x, pool_param):
    """Return out and a cache for backward."""
    # solution: Compute out. Save in cache what backward needs.
    h, w, s = pool_param["pool_height"], pool_param["pool_width"], pool_param["stride"]
    N, C, H, W = x.shape
    out = np.zeros((N, C, (H - h) // s + 1, (W - w) // s + 1))
    for i in range(out.shape[2]):
        for j in range(out.shape[3]):
            out[:, :, i, j] = x[:, :, i * s : i * s + h, j * s : j * s + w].max(axis=(2, 3))
    cache = (x, out, h, w, s)
    return out, cache
    # end


def max_pool_backward_naive(dout, cache):
    """Return dx, the gradient with respect to x."""
    # solution: Compute dx. Windows may overlap.
    x, out, h, w, s = cache
    dx = np.zeros_like(x)
    for i in range(out.shape[2]):
        for j in range(out.shape[3]):
            largest = x[:, :, i * s : i * s + h, j * s : j * s + w] == out[:, :, i, j, None, None]
            dx[:, :, i * s : i * s + h, j * s : j * s + w] += largest * dout[:, :, i, j, None, None]
    return dx
    # end
