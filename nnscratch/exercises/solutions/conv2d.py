"""Exercise 21: convolution of images

    out[n, f, i, j] = b[f] + sum over c, u, v of  xpad[n, c, i s + u, j s + v] * w[f, c, u, v]

xpad is x with `pad` rows and columns of zeros at each edge, and s is the stride. Loops are fine here.

Backward: every product above has two factors, and each factor gets a gradient. Loop over the same indices, and add

    dout[n, f, i, j] * w[f, c, u, v]    to dxpad[n, c, i s + u, j s + v]
    dout[n, f, i, j] * xpad[...]        to dw[f, c, u, v]

conv_param is a dictionary with the entries "stride" and "pad".

Shapes: x and dx (N, C, H, W); w and dw (F, C, HH, WW); b and db (F,); out and dout (N, F, H', W') with
H' = (H + 2 pad - HH) / stride + 1, rounded down, and W' in the same way.

What is checked: the values of forward, to 6 digits; then the three gradients of backward.
Tolerances: 1e-6 of the largest value (float32: 1e-3); for gradients, a relative error of 1e-6 (float32: 1e-2).
Also part of: CS231n, assignment 2 (conv_forward_naive, conv_backward_naive).

Check it:    nnscratch exercises check conv2d
Stuck?       nnscratch exercises hint conv2d
"""

import numpy as np


def conv_forward_naive(x, w, b, conv_param):
    """Return out and a cache for backward."""
    # solution: Compute out. Save in cache what backward needs.
    s, p = conv_param["stride"], conv_param["pad"]
    (N, _, H, W), (F, _, HH, WW) = x.shape, w.shape
    xpad = np.pad(x, ((0, 0), (0, 0), (p, p), (p, p)))
    rows, columns = (H + 2 * p - HH) // s + 1, (W + 2 * p - WW) // s + 1
    out = np.zeros((N, F, rows, columns))
    for i in range(rows):
        for j in range(columns):
            window = xpad[:, :, i * s : i * s + HH, j * s : j * s + WW]  # (N, C, HH, WW)
            out[:, :, i, j] = np.einsum("ncuv,fcuv->nf", window, w) + b
    cache = (xpad, w, s, p)
    return out, cache
    # end


def conv_backward_naive(dout, cache):
    """Return dx, dw and db."""
    # solution: Compute the three gradients. Remove the padding from dx at the end.
    xpad, w, s, p = cache
    _, _, HH, WW = w.shape
    dxpad, dw = np.zeros_like(xpad), np.zeros_like(w)
    for i in range(dout.shape[2]):
        for j in range(dout.shape[3]):
            d = dout[:, :, i, j]  # (N, F)
            window = xpad[:, :, i * s : i * s + HH, j * s : j * s + WW]
            dw += np.einsum("nf,ncuv->fcuv", d, window)
            dxpad[:, :, i * s : i * s + HH, j * s : j * s + WW] += np.einsum("nf,fcuv->ncuv", d, w)
    dx = dxpad[:, :, p : dxpad.shape[2] - p, p : dxpad.shape[3] - p]
    db = dout.sum(axis=(0, 2, 3))
    return dx, dw, db
    # end
