"""Exercise 2: numerical gradient

Write a function that computes the gradient of any function f from values of f only. With your function, you can check
if the gradient of a backward pass is right.

    grad[i] = (f(x + h e_i) - f(x - h e_i)) / (2 h)        e_i is 1 at element i, and 0 elsewhere

This is a central difference. Its error is proportional to h^2. With h = 1e-5, about 10 digits of grad are right.

Shapes: f takes an array of the shape of x and returns one number. x can have any shape; grad has the shape of x. Change
only one element of x at a time, because f may depend on all elements together.

At the end, x must have its old values, because the caller still needs x.

What is checked: the values of grad, to 6 digits, for several functions and shapes; and that x is unchanged.
Tolerances: 1e-6 of the largest value (float32: 1e-3).
Also part of: "Deep Learning from Scratch", chapter 4. CS231n gives you this function (eval_numerical_gradient).

Check it:    nnscratch exercises check numerical_gradient
Stuck?       nnscratch exercises hint numerical_gradient
"""

import numpy as np


def numerical_gradient(f, x, h=1e-5):
    """Return grad, the gradient of f at x."""
    # solution: Compute grad, one element at a time.
    grad = np.zeros_like(x)
    for i in np.ndindex(x.shape):
        kept = x[i]
        x[i] = kept + h
        above = f(x)
        x[i] = kept - h
        below = f(x)
        x[i] = kept
        grad[i] = (above - below) / (2 * h)
    return grad
    # end
