"""Exercise 15: clip the norm of the gradient

If the gradient of all parameters together has a large norm, make it shorter. This prevents exploding gradients in a
recurrent network.

    norm = sqrt(the sum of the squares of all elements of all arrays)
    if norm > max_norm: multiply every array by max_norm / norm

All arrays get the same factor, so that the direction of the step stays the same.

Shapes: grads is a list of arrays of any shapes; clipped has the same shapes. norm is one number.

Return the norm before clipping, and a list of new arrays. Do not change the arrays in grads.

What is checked: norm and the clipped arrays, to 6 digits, for gradients that are too long and for short ones.
Tolerances: 1e-6 of the largest value (float32: 1e-3).
Also part of: "Deep Learning from Scratch" 2, chapter 6 (clip_grads).

Check it:    nnscratch exercises check clip_norm
Stuck?       nnscratch exercises hint clip_norm
"""

import numpy as np


def clip_norm(grads, max_norm):
    """Return norm and clipped, a list of new arrays."""
    # solution: Compute norm and the list clipped.
    norm = np.sqrt(sum((grad**2).sum() for grad in grads))
    factor = min(1, max_norm / norm)
    clipped = [grad * factor for grad in grads]
    return norm, clipped
    # end
