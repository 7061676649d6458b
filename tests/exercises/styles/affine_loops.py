"""Loops over all elements, and lists in the cache."""

import numpy as np


def affine_forward(x, w, b):
    rows = x.reshape(len(x), -1).tolist()
    out = [[b[m] + sum(v * w[d, m] for d, v in enumerate(row)) for m in range(len(b))] for row in rows]
    return np.array(out), {"rows": rows, "w": w, "shape": x.shape}


def affine_backward(dout, cache):
    rows, w = cache["rows"], cache["w"]
    dx, dw, db = [[0.0] * len(w) for _ in rows], 0 * w, 0 * dout[0]
    for n, row in enumerate(rows):
        for m in range(w.shape[1]):
            db[m] += dout[n, m]
            for d, value in enumerate(row):
                dx[n][d] += dout[n, m] * w[d, m]
                dw[d, m] += dout[n, m] * value
    dx = np.array(dx).reshape(cache["shape"])
    return dx, dw, db
