"""Exercise 6: a layer as a class

Write the fully connected layer again, now as a class, as in CMU's homework. The parameters of a layer are attributes of
the object. forward saves what backward needs, and backward stores the gradients of the parameters as attributes.

    forward     Z    = A W^T + 1 b^T        1 is a column of N ones, so b is added to every row
    backward    dLdA = dLdZ W
                dLdW = dLdZ^T A
                dLdb = dLdZ^T 1             the sum over the examples, as a column

Shapes: A and dLdA (N, in_features); W and dLdW (out_features, in_features); b and dLdb (out_features, 1);
Z and dLdZ (N, out_features). A new layer has W and b full of zeros.

Note the layout of W: it is (out, in), as in PyTorch, and not (in, out) as in the previous exercise.

What is checked: W and b of a new layer; the values of forward, to 6 digits; then dLdA, dLdW and dLdb.
Tolerances: 1e-6 of the largest value (float32: 1e-3); for gradients, a relative error of 1e-6 (float32: 1e-2).
Also part of: CMU 11-785, homework 1 part 1 (Linear).

Check it:    nnscratch exercises check linear_class
Stuck?       nnscratch exercises hint linear_class
"""

import numpy as np


class Linear:
    """A fully connected layer."""

    def __init__(self, in_features, out_features):
        # solution: Set self.W and self.b to zeros of the right shapes.
        self.W = np.zeros((out_features, in_features))
        self.b = np.zeros((out_features, 1))
        # end

    def forward(self, A):
        """Return Z."""
        # solution: Compute Z. Save A for backward.
        self.A = A
        Z = A @ self.W.T + self.b.T
        return Z
        # end

    def backward(self, dLdZ):
        """Set self.dLdW and self.dLdb, and return dLdA."""
        # solution: Compute the three gradients.
        dLdA = dLdZ @ self.W
        self.dLdW = dLdZ.T @ self.A
        self.dLdb = dLdZ.sum(axis=0).reshape(-1, 1)
        return dLdA
        # end
