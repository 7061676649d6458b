"""Exercise 3: one weight, used twice

A weight that is used at two places gets the sum of two gradients, one from each place. Recurrent networks follow this
rule, because they use the same weights at every time step.

    forward     h   = tanh(w * x)
                out = w * h

w has one element for each column of x, and is broadcast over the rows.

    backward    dw  = the gradient through out = w * h, plus the gradient through h = tanh(w * x), summed over the rows
                dx  = the gradient through h

The derivative of tanh(u) is 1 - tanh(u)^2.

Shapes: x, h, out, dout and dx (N, D); w and dw (D,).

What is checked: the values of forward, to 6 digits; then both gradients of backward.
Tolerances: 1e-6 of the largest value (float32: 1e-3); for gradients, a relative error of 1e-6 (float32: 1e-2).
Also part of: Andrej Karpathy's micrograd, where "+=" instead of "=" adds the gradients of all uses of a value.

Check it:    nnscratch exercises check one_weight_twice
Stuck?       nnscratch exercises hint one_weight_twice
"""

import numpy as np


def twice_forward(x, w):
    """Return out and a cache for backward."""
    # solution: Compute out. Save in cache what backward needs.
    h = np.tanh(w * x)
    out = w * h
    cache = (x, w, h)
    return out, cache
    # end


def twice_backward(dout, cache):
    """Return dx and dw."""
    # solution: Compute dx and dw. Add both paths of w.
    x, w, h = cache
    dh = dout * w
    du = dh * (1 - h**2)
    dx = du * w
    dw = (dout * h + du * x).sum(axis=0)
    return dx, dw
    # end
