"""All windows as the columns of one matrix, so that the convolution is one product."""

import numpy as np


def indices(shape, HH, WW, s, p):
    _, C, H, W = shape
    rows, columns = (H + 2 * p - HH) // s + 1, (W + 2 * p - WW) // s + 1
    c, u, v = np.mgrid[:C, :HH, :WW].reshape(3, -1, 1)
    i, j = np.mgrid[:rows, :columns].reshape(2, 1, -1)
    return (slice(None), c, i * s + u, j * s + v), (rows, columns)


def conv_forward_naive(x, w, b, conv_param):
    s, p = conv_param["stride"], conv_param["pad"]
    where, size = indices(x.shape, *w.shape[2:], s, p)
    columns = np.pad(x, ((0,), (0,), (p,), (p,)))[where]  # (N, C HH WW, H' W')
    out = w.reshape(len(w), -1) @ columns + b[:, None]
    return out.reshape(len(x), len(w), *size), (x.shape, w, columns, where, p)


def conv_backward_naive(dout, cache):
    (N, C, H, W), w, columns, where, p = cache
    flat = dout.reshape(N, len(w), -1)
    dw = np.tensordot(flat, columns, axes=([0, 2], [0, 2])).reshape(w.shape)
    dxpad = np.zeros((N, C, H + 2 * p, W + 2 * p))
    np.add.at(dxpad, where, w.reshape(len(w), -1).T @ flat)
    return dxpad[:, :, p : p + H, p : p + W], dw, dout.sum((0, 2, 3))
