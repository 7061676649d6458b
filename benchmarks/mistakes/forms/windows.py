"""Convolutions and pooling, written with loops, with im2col and with einsum."""

from __future__ import annotations

import numpy as np

from .variants import normal, variants

FORM = "windows"


@variants(
    FORM,
    stride_forgotten="stride forgotten",
    stride_forgotten_for_dx="stride forgotten",
    stride_forgotten_for_dw="stride forgotten",
    kernel_rotated="axes reversed",
    dw_assigned=("only the last round of the loop counted", "one sample counted"),
    dx_assigned="rows met twice counted once",
    db_over_the_batch_only=("broadcast axis not summed", "sum over the batch missing"),
    cropped_at_one_side="shifted by one",
    last_row_left_out="the last round of the loop not counted",
    dw_divided="scaled by a constant",
    first_image_only="one sample counted",
)
def convolution_in_loops(kind):
    def conv_forward(x, w, b, conv_param):
        s, p = conv_param["stride"], conv_param["pad"]
        N, C, H, W = x.shape
        F, C, KH, KW = w.shape
        Ho = 1 + (H + 2 * p - KH) // s
        Wo = 1 + (W + 2 * p - KW) // s
        x_pad = np.pad(x, ((0, 0), (0, 0), (p, p), (p, p)), "constant")
        out = np.zeros((N, F, Ho, Wo))
        for n in range(N):
            for f in range(F):
                for i in range(Ho):
                    for j in range(Wo):
                        out[n, f, i, j] = np.sum(x_pad[n, :, i * s : i * s + KH, j * s : j * s + KW] * w[f]) + b[f]
        return out, (x, w, b, conv_param)

    def conv_backward(dout, cache):
        x, w, b, conv_param = cache
        s, p = conv_param["stride"], conv_param["pad"]
        N, C, H, W = x.shape
        F, C, KH, KW = w.shape
        _, _, Ho, Wo = dout.shape
        x_pad = np.pad(x, ((0, 0), (0, 0), (p, p), (p, p)), "constant")
        dx_pad, dw = np.zeros_like(x_pad), np.zeros_like(w)
        db = np.sum(dout, axis=(0, 2, 3))
        sx = 1 if kind in ("stride_forgotten", "stride_forgotten_for_dx") else s
        sw = 1 if kind in ("stride_forgotten", "stride_forgotten_for_dw") else s
        for n in range(1 if kind == "first_image_only" else N):
            for f in range(F):
                for i in range(Ho - 1 if kind == "last_row_left_out" else Ho):
                    for j in range(Wo):
                        window = x_pad[n, :, i * sw : i * sw + KH, j * sw : j * sw + KW]
                        kernel = w[f, :, ::-1, ::-1] if kind == "kernel_rotated" else w[f]
                        if kind == "dw_assigned":
                            dw[f] = window * dout[n, f, i, j]
                        else:
                            dw[f] += window * dout[n, f, i, j]
                        if kind == "dx_assigned":
                            dx_pad[n, :, i * sx : i * sx + KH, j * sx : j * sx + KW] = kernel * dout[n, f, i, j]
                        else:
                            dx_pad[n, :, i * sx : i * sx + KH, j * sx : j * sx + KW] += kernel * dout[n, f, i, j]
        dx = dx_pad[:, :, p : p + H, p : p + W]
        if kind == "cropped_at_one_side":
            dx = dx_pad[:, :, : -2 * p, p:-p]
        if kind == "db_over_the_batch_only":
            db = np.sum(dout, axis=(0, 2))
        if kind == "dw_divided":
            dw = dw / N
        return dx, dw, db

    inputs = (normal(1, 2, 2, 5, 5), normal(2, 2, 2, 3, 3), normal(3, 2), {"stride": 2, "pad": 1})
    return (conv_forward, conv_backward), inputs, {}


@variants(
    FORM,
    stride_forgotten="stride forgotten",
    kernel_not_rotated="axes reversed",
    kernel_channels_exchanged="transposed",
    db_over_channels="summed over the wrong axis",
    patches_with_another_stride="stride forgotten",
)
def convolution_in_two_loops_with_tensordot(kind):
    def forward(x, w, b):
        s = 2
        H, K = x.shape[2], w.shape[2]
        n = (H - K) // s + 1
        y = np.zeros((x.shape[0], w.shape[0], n, n))
        for i in range(n):
            for j in range(n):
                patch = x[:, :, i * s : i * s + K, j * s : j * s + K]
                y[:, :, i, j] = np.tensordot(patch, w, axes=([1, 2, 3], [1, 2, 3])) + b
        return y, (x, w)

    def backward(dy, cache):
        x, w = cache
        K, n, s = w.shape[2], dy.shape[2], 2
        dx, dw = np.zeros(x.shape), np.zeros(w.shape)
        t = 1 if kind == "stride_forgotten" else s
        u = 1 if kind == "patches_with_another_stride" else s
        v = w[:, :, ::-1, ::-1] if kind == "kernel_not_rotated" else w
        if kind == "kernel_channels_exchanged":
            v = w.transpose(1, 0, 2, 3)
        for i in range(n):
            for j in range(n):
                d = dy[:, :, i, j]
                dx[:, :, i * t : i * t + K, j * t : j * t + K] += np.tensordot(d, v, axes=([1], [0]))
                dw += np.tensordot(d, x[:, :, i * u : i * u + K, j * u : j * u + K], axes=([0], [0]))
        db = dy.sum(axis=(1, 2, 3)) if kind == "db_over_channels" else dy.sum(axis=(0, 2, 3))
        return dx, dw, db

    return (forward, backward), (normal(4, 3, 3, 5, 5), normal(5, 3, 3, 3, 3), normal(6, 3)), {}


@variants(
    FORM,
    stride_forgotten="stride forgotten",
    windows_overwrite="rows met twice counted once",
    reshaped_without_transpose="reshaped instead of transposed",
    reshaped_dw="reshaped instead of transposed",
)
def convolution_with_im2col(kind):
    def im2col(x, k, s):
        N, C, H, W = x.shape
        n = (H - k) // s + 1
        col = np.zeros((N, C, k, k, n, n))
        for a in range(k):
            for b in range(k):
                col[:, :, a, b] = x[:, :, a : a + s * n : s, b : b + s * n : s]
        return col.transpose(0, 4, 5, 1, 2, 3).reshape(N * n * n, -1)

    def col2im(col, shape, k, s):
        N, C, H, W = shape
        n = (H - k) // s + 1
        col = col.reshape(N, n, n, C, k, k).transpose(0, 3, 4, 5, 1, 2)
        x = np.zeros(shape)
        t = 1 if kind == "stride_forgotten" else s
        for a in range(k):
            for b in range(k):
                if kind == "windows_overwrite":
                    x[:, :, a : a + s * n : s, b : b + s * n : s] = col[:, :, a, b]
                else:
                    x[:, :, a : a + t * n : t, b : b + t * n : t] += col[:, :, a, b]
        return x

    class Convolution:
        def __init__(self, W, b, stride=2):
            self.W, self.b, self.stride = W, b, stride
            self.dW, self.db = None, None

        def forward(self, x):
            F, C, k, _ = self.W.shape
            N, C, H, _ = x.shape
            n = (H - k) // self.stride + 1
            self.x = x
            self.col = im2col(x, k, self.stride)
            self.col_W = self.W.reshape(F, -1).T
            out = np.dot(self.col, self.col_W) + self.b
            return out.reshape(N, n, n, F).transpose(0, 3, 1, 2)

        def backward(self, dout):
            F, C, k, _ = self.W.shape
            dout = (
                dout.reshape(-1, F)
                if kind == "reshaped_without_transpose"
                else dout.transpose(0, 2, 3, 1).reshape(-1, F)
            )
            self.db = np.sum(dout, axis=0)
            dW = np.dot(self.col.T, dout)
            self.dW = dW.reshape(F, C, k, k) if kind == "reshaped_dw" else dW.transpose(1, 0).reshape(F, C, k, k)
            return col2im(np.dot(dout, self.col_W.T), self.x.shape, k, self.stride)

    return Convolution(normal(7, 2, 2, 3, 3), normal(8, 2)), (normal(9, 2, 2, 5, 5),), {}


@variants(
    FORM,
    every_element="mask not applied",
    windows_overwrite="rows met twice counted once",
    last_window_left_out="the last round of the loop not counted",
    dout_of_the_first_channel=("upstream gradient wrong",),
    stride_forgotten="stride forgotten",
)
def max_pool(kind):
    def max_pool_forward(x, pool_param):
        k, s = pool_param["size"], pool_param["stride"]
        N, C, H, W = x.shape
        n = (H - k) // s + 1
        out = np.zeros((N, C, n, n))
        for i in range(n):
            for j in range(n):
                out[:, :, i, j] = x[:, :, i * s : i * s + k, j * s : j * s + k].max(axis=(2, 3))
        return out, (x, pool_param)

    def max_pool_backward(dout, cache):
        x, pool_param = cache
        k, s = pool_param["size"], pool_param["stride"]
        dx = np.zeros_like(x)
        n = dout.shape[2]
        t = 1 if kind == "stride_forgotten" else s
        for i in range(n):
            for j in range(n - 1 if kind == "last_window_left_out" else n):
                window = x[:, :, i * s : i * s + k, j * s : j * s + k]
                mask = window == window.max(axis=(2, 3), keepdims=True)
                if kind == "every_element":
                    mask = np.ones_like(window)
                d = dout[:, :, i, j][:, :, None, None]
                if kind == "dout_of_the_first_channel":
                    d = dout[:, :1, i, j][:, :, None, None]
                if kind == "windows_overwrite":
                    dx[:, :, i * s : i * s + k, j * s : j * s + k] = mask * d
                else:
                    dx[:, :, i * t : i * t + k, j * t : j * t + k] += mask * d
        return dx

    return (max_pool_forward, max_pool_backward), (normal(10, 2, 3, 7, 7), {"size": 3, "stride": 2}), {}


@variants(
    FORM,
    not_divided="scaled by a constant",
    divided_by_one_side="scaled by a constant",
    windows_overwrite="rows met twice counted once",
)
def mean_pool(kind):
    class MeanPool2d_stride1:
        def __init__(self, kernel):
            self.kernel = kernel

        def forward(self, A):
            self.A = A
            k = self.kernel
            n = A.shape[2] - k + 1
            Z = np.zeros(A.shape[:2] + (n, n))
            for i in range(n):
                for j in range(n):
                    Z[:, :, i, j] = np.mean(A[:, :, i : i + k, j : j + k], axis=(2, 3))
            return Z

        def backward(self, dLdZ):
            k = self.kernel
            dLdA = np.zeros(self.A.shape)
            n = dLdZ.shape[2]
            size = {"not_divided": 1, "divided_by_one_side": k}.get(kind, k * k)
            for i in range(n):
                for j in range(n):
                    d = dLdZ[:, :, i, j][:, :, None, None] / size
                    if kind == "windows_overwrite":
                        dLdA[:, :, i : i + k, j : j + k] = d
                    else:
                        dLdA[:, :, i : i + k, j : j + k] += d
            return dLdA

    return MeanPool2d_stride1(3), (normal(11, 2, 2, 5, 5),), {}


@variants(
    FORM,
    padding_kept=("shifted by one", "reshape missing"),
    flipped="axes reversed",
    one_late="shifted by one",
    channels_summed=("summed over the wrong axis",),
)
def convolution_over_time(kind):
    class Conv1d_stride1:
        def __init__(self, W, b):
            self.W, self.b = W, b

        def forward(self, A):
            self.A = A
            K = self.W.shape[2]
            n = A.shape[2] - K + 1
            Z = np.zeros((A.shape[0], self.W.shape[0], n))
            for t in range(n):
                Z[:, :, t] = np.einsum("nck,ock->no", A[:, :, t : t + K], self.W) + self.b
            return Z

        def backward(self, dLdZ):
            N, C, L = self.A.shape
            K = self.W.shape[2]
            n = dLdZ.shape[2]
            self.dLdW = np.zeros_like(self.W)
            for k in range(K):
                self.dLdW[:, :, k] = np.einsum("noi,nci->oc", dLdZ, self.A[:, :, k : k + n])
            self.dLdb = np.sum(dLdZ, axis=(0, 2))
            if kind == "channels_summed":
                self.dLdb = np.sum(dLdZ, axis=(1, 2))
            padded = np.pad(dLdZ, ((0, 0), (0, 0), (K - 1, K - 1)))
            kernel = self.W if kind == "flipped" else self.W[:, :, ::-1]
            dLdA = np.zeros(self.A.shape)
            for i in range(L):
                dLdA[:, :, i] = np.einsum("nok,ock->nc", padded[:, :, i : i + K], kernel)
            if kind == "one_late":
                dLdA = np.roll(dLdA, 1, axis=2)
            if kind == "padding_kept":
                dLdA = np.concatenate([0 * dLdA[:, :, :1], dLdA[:, :, :-1]], axis=2)
            return dLdA

    return Conv1d_stride1(normal(12, 3, 2, 3), normal(13, 3)), (normal(14, 3, 2, 7),), {}


@variants(
    FORM,
    repeated_once="rows met twice counted once",
    neighbours_shifted=("shifted by one", "rows met twice counted once"),
)
def gather_of_columns(kind):
    index = np.array([0, 2, 2, 3, 1, 2])

    def forward(x):
        return x[:, index] ** 2, x

    def backward(dy, x):
        dx = np.zeros_like(x)
        d = 2 * x[:, index] * dy
        if kind == "repeated_once":
            dx[:, index] += d
        else:
            for j, k in enumerate(index):
                dx[:, k] += d[:, j]
        if kind == "neighbours_shifted":
            dx = np.roll(dx, 1, axis=1)
        return dx

    return (forward, backward), (normal(15, 3, 4),), {}
