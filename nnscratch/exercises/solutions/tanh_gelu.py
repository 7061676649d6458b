"""Exercise 7: GELU, with tanh

GELU is the activation function of GPT-2. Its forward has several steps. Give a name to each intermediate value. In
backward, go back step by step.

    forward     u   = a (x + b x^3)             a = sqrt(2 / pi), b = 0.044715
                t   = tanh(u)
                out = x (1 + t) / 2
    backward    x is used twice: in the product x (1 + t) / 2, and inside u
                the derivative of t is 1 - t^2; the derivative of u is a (1 + 3 b x^2)

Shapes: all arrays have the same shape, with any number of axes.

What is checked: the values of forward, to 6 digits; then the gradient of backward.
Tolerances: 1e-6 of the largest value (float32: 1e-3); for gradients, a relative error of 1e-6 (float32: 1e-2).
Also part of: Andrej Karpathy's llm.c (gelu_forward, gelu_backward). CMU 11-785 has the form with erf.

Check it:    nnscratch exercises check tanh_gelu
Stuck?       nnscratch exercises hint tanh_gelu
"""

import numpy as np

A, B = np.sqrt(2 / np.pi), 0.044715


def gelu_forward(x):
    """Return out and a cache for backward."""
    # solution: Compute out. Save in cache what backward needs.
    t = np.tanh(A * (x + B * x**3))
    out = x * (1 + t) / 2
    cache = (x, t)
    return out, cache
    # end


def gelu_backward(dout, cache):
    """Return dx, the gradient with respect to x."""
    # solution: Compute dx. Add both paths of x.
    x, t = cache
    dt = dout * x / 2
    du = dt * (1 - t**2)
    dx = dout * (1 + t) / 2 + du * A * (1 + 3 * B * x**2)
    return dx
    # end
