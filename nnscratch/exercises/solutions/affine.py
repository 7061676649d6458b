"""Exercise 5: affine layer

In a fully connected layer, every output is a weighted sum of all inputs, plus a bias. An example may have any number of
axes: it can be an image, for instance. Flatten each example first.

    forward     out = x2 w + b              x2 (N, D) is x with every example flattened, D = d_1 * ... * d_k
    backward    dx  = dout w^T              in the shape of x
                dw  = x2^T dout
                db  = the sum of dout over the examples

Shapes: x and dx (N, d_1, ..., d_k); w and dw (D, M); b and db (M,); out and dout (N, M).

What is checked: the values of forward, to 6 digits; then the three gradients of backward.
Tolerances: 1e-6 of the largest value (float32: 1e-3); for gradients, a relative error of 1e-6 (float32: 1e-2).
Also part of: CS231n, assignment 2 (affine_forward, affine_backward).

Check it:    nnscratch exercises check affine
Stuck?       nnscratch exercises hint affine
"""


def affine_forward(x, w, b):
    """Return out and a cache for backward."""
    # solution: Compute out. Save in cache what backward needs.
    out = x.reshape(x.shape[0], -1) @ w + b
    cache = (x, w)
    return out, cache
    # end


def affine_backward(dout, cache):
    """Return dx, dw and db."""
    # solution: Compute the three gradients.
    x, w = cache
    dx = (dout @ w.T).reshape(x.shape)
    dw = x.reshape(x.shape[0], -1).T @ dout
    db = dout.sum(axis=0)
    return dx, dw, db
    # end
