"""Exercise 27: word embedding

Look up a vector for every word. The ids of the words are integers, and W has one row for each word.

    forward     out[n, t] = W[x[n, t]]
    backward    dW[v]     = the sum of dout[n, t] over all positions where x[n, t] = v

A word that occurs several times gets the sum of its gradients. There is no gradient for x: ids are not numbers that can
be changed a little.

Shapes: x (N, T), integers from 0 to V - 1; W and dW (V, D); out and dout (N, T, D).

What is checked: the values of forward, to 6 digits; then dW, with ids that occur several times.
Tolerances: 1e-6 of the largest value (float32: 1e-3); for gradients, a relative error of 1e-6 (float32: 1e-2).
Also part of: CS231n, assignment 3 (word_embedding_forward, word_embedding_backward).

Check it:    nnscratch exercises check word_embedding
Stuck?       nnscratch exercises hint word_embedding
"""

import numpy as np


def word_embedding_forward(x, W):
    """Return out and a cache for backward."""
    # solution: Compute out. Save in cache what backward needs.
    out = W[x]
    cache = (x, W.shape)
    return out, cache
    # end


def word_embedding_backward(dout, cache):
    """Return dW."""
    # solution: Compute dW. Ids may occur several times.
    x, shape = cache
    dW = np.zeros(shape)
    np.add.at(dW, x, dout)
    return dW
    # end
