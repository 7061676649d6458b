"""Exercise 20: convolution of sequences

A kernel slides over a sequence, one element at a time. It has the same weights at every position.

    forward     Z[n, o, i] = b[o] + sum over c, k of  A[n, c, i + k] * W[o, c, k]
    backward    dLdb[o]          = sum over n, i of  dLdZ[n, o, i]
                dLdW[o, c, k]    = sum over n, i of  dLdZ[n, o, i] * A[n, c, i + k]
                dLdA[n, c, j]    = sum over o, k of  dLdZ[n, o, j - k] * W[o, c, k], where j - k is a position of Z

A loop over k is enough: for one k, each line is a product of matrices.

Shapes: A and dLdA (N, in_channels, L); W and dLdW (out_channels, in_channels, kernel_size); b and dLdb (out_channels,);
Z and dLdZ (N, out_channels, L - kernel_size + 1).

What is checked: the values of forward, to 6 digits; then dLdA, dLdW and dLdb.
Tolerances: 1e-6 of the largest value (float32: 1e-3); for gradients, a relative error of 1e-6 (float32: 1e-2).
Also part of: CMU 11-785, homework 2 part 1 (Conv1d_stride1).

Check it:    nnscratch exercises check conv1d
Stuck?       nnscratch exercises hint conv1d
"""

import numpy as np


class Conv1d_stride1:
    """A convolution of sequences, with stride 1 and without padding."""

    def __init__(self, in_channels, out_channels, kernel_size):
        self.kernel_size = kernel_size
        self.W = np.zeros((out_channels, in_channels, kernel_size))
        self.b = np.zeros(out_channels)

    def forward(self, A):
        """Return Z."""
        # solution: Compute Z. Save A for backward.
        self.A = A
        size = A.shape[2] - self.kernel_size + 1
        Z = np.zeros((len(A), len(self.b), size)) + self.b[:, None]
        for k in range(self.kernel_size):
            Z += self.W[:, :, k] @ A[:, :, k : k + size]
        return Z
        # end

    def backward(self, dLdZ):
        """Set self.dLdW and self.dLdb, and return dLdA."""
        # solution: Compute the three gradients.
        size = dLdZ.shape[2]
        dLdA, self.dLdW = np.zeros_like(self.A), np.zeros_like(self.W)
        for k in range(self.kernel_size):
            self.dLdW[:, :, k] = np.einsum("noi,nci->oc", dLdZ, self.A[:, :, k : k + size])
            dLdA[:, :, k : k + size] += self.W[:, :, k].T @ dLdZ
        self.dLdb = dLdZ.sum(axis=(0, 2))
        return dLdA
        # end
