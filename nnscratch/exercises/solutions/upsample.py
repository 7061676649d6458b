"""Exercise 24: upsampling

Make a sequence longer by inserting zeros. The result has k - 1 zeros between two neighbouring elements, and no zeros
after the last element. Upsampling is the opposite of a stride of k, which keeps only every k-th element.

    forward     Z[n, c, k i] = A[n, c, i], and all other elements of Z are 0
    backward    dLdA[n, c, i] = dLdZ[n, c, k i]

Shapes: A and dLdA (N, C, W); Z and dLdZ (N, C, k (W - 1) + 1); in the code, k is upsampling_factor.

What is checked: the values of forward, to 6 digits; then the gradient of backward.
Tolerances: 1e-6 of the largest value (float32: 1e-3); for gradients, a relative error of 1e-6 (float32: 1e-2).
Also part of: CMU 11-785, homework 2 part 1 (Upsample1d).

Check it:    nnscratch exercises check upsample
Stuck?       nnscratch exercises hint upsample
"""

import numpy as np


class Upsample1d:
    """Insert zeros between the elements of a sequence."""

    def __init__(self, upsampling_factor):
        self.upsampling_factor = upsampling_factor

    def forward(self, A):
        """Return Z."""
        # solution: Compute Z.
        N, C, W = A.shape
        k = self.upsampling_factor
        Z = np.zeros((N, C, k * (W - 1) + 1))
        Z[:, :, ::k] = A
        return Z
        # end

    def backward(self, dLdZ):
        """Return dLdA."""
        # solution: Compute dLdA.
        dLdA = dLdZ[:, :, :: self.upsampling_factor]
        return dLdA
        # end
