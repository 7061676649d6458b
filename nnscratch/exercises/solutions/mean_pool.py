"""Exercise 23: mean pooling

    forward     Z[n, c, i, j] = the mean of A[n, c, i + u, j + v], with u < k and v < k
    backward    every pixel of the window gets dLdZ[n, c, i, j] / k^2

The stride is 1, so the windows overlap, and most pixels are part of several windows.

Shapes: A and dLdA (N, C, H, W); Z and dLdZ (N, C, H - k + 1, W - k + 1); in the code, k is kernel.

What is checked: the values of forward, to 6 digits; then the gradient of backward.
Tolerances: 1e-6 of the largest value (float32: 1e-3); for gradients, a relative error of 1e-6 (float32: 1e-2).
Also part of: CMU 11-785, homework 2 part 1 (MeanPool2d_stride1).

Check it:    nnscratch exercises check mean_pool
Stuck?       nnscratch exercises hint mean_pool
"""

import numpy as np


class MeanPool2d_stride1:
    """The mean of every window of k by k pixels."""

    def __init__(self, kernel):
        self.kernel = kernel

    def forward(self, A):
        """Return Z."""
        # solution: Compute Z. Save what backward needs.
        self.A_shape = A.shape
        N, C, H, W = A.shape
        k = self.kernel
        Z = np.zeros((N, C, H - k + 1, W - k + 1))
        for i in range(H - k + 1):
            for j in range(W - k + 1):
                Z[:, :, i, j] = A[:, :, i : i + k, j : j + k].mean(axis=(2, 3))
        return Z
        # end

    def backward(self, dLdZ):
        """Return dLdA."""
        # solution: Compute dLdA. Windows overlap.
        k = self.kernel
        dLdA = np.zeros(self.A_shape)
        for i in range(dLdZ.shape[2]):
            for j in range(dLdZ.shape[3]):
                dLdA[:, :, i : i + k, j : j + k] += dLdZ[:, :, i, j, None, None] / k**2
        return dLdA
        # end
