"""Exercise 9: mean squared error

A loss for regression: the mean of the squared differences, over all elements.

    loss = mean((x - y)^2)
    dx   = the gradient of the loss with respect to x

Shapes: x (the predictions), y (the targets) and dx (N, C); loss is one number.

The backward pass begins at the loss, so there is no gradient from a later layer. That is why one function returns both
loss and dx.

What is checked: the loss, to 6 digits; then dx.
Tolerances: 1e-6 of the largest value (float32: 1e-3); for gradients, a relative error of 1e-6 (float32: 1e-2).
Also part of: CMU 11-785, homework 1 (MSELoss).

Check it:    nnscratch exercises check mse
Stuck?       nnscratch exercises hint mse
"""


def mse_loss(x, y):
    """Return loss and dx."""
    # solution: Compute loss and dx.
    difference = x - y
    loss = (difference**2).mean()
    dx = 2 * difference / difference.size
    return loss, dx
    # end
