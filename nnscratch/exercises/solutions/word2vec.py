"""Exercise 28: word2vec with negative sampling

To learn word vectors, word2vec minimises a loss. Write this loss and its gradients. The loss compares the center word
with two kinds of words: the outside word, which occurs near the center word in the text, and K negative samples, which
are random words. v is the vector of the center word, u_o is the vector of the outside word, and each u_k is the vector
of a negative sample.

    loss = -log sigmoid(u_o . v)  -  the sum over k of  log sigmoid(-u_k . v)

    dv   = (sigmoid(u_o . v) - 1) u_o  +  the sum over k of  sigmoid(u_k . v) u_k
    du_o = (sigmoid(u_o . v) - 1) v
    du_k =  sigmoid(u_k . v) v

A word can be drawn several times. Then its gradient is added once for each draw.

Shapes: centerWordVec and gradCenterVec (D,); outsideVectors and gradOutsideVecs (V, D), one row for each word;
outsideWordIdx is one integer, and negSampleWordIndices a list of K integers. loss is one number.

What is checked: the loss, to 6 digits; then both gradients. Some words are drawn several times.
Tolerances: 1e-6 of the largest value (float32: 1e-3); for gradients, a relative error of 1e-6 (float32: 1e-2).
Also part of: CS224n, assignment 2 (negSamplingLossAndGradient).

Check it:    nnscratch exercises check word2vec
Stuck?       nnscratch exercises hint word2vec
"""

import numpy as np


def sigmoid(x):
    """Return the sigmoid of x."""
    return np.tanh(x / 2) / 2 + 0.5


def getNegativeSamples(outsideWordIdx, dataset, K):
    """Return K random words, none of which is the outside word."""
    samples = []
    while len(samples) < K:
        word = dataset.sampleTokenIdx()
        if word != outsideWordIdx:
            samples.append(word)
    return samples


def negSamplingLossAndGradient(centerWordVec, outsideWordIdx, outsideVectors, dataset, K=10):
    """Return loss, gradCenterVec and gradOutsideVecs."""
    negSampleWordIndices = getNegativeSamples(outsideWordIdx, dataset, K)
    # solution: Compute loss, gradCenterVec and gradOutsideVecs. Words may occur several times among the samples.
    outside, negative = outsideVectors[outsideWordIdx], outsideVectors[negSampleWordIndices]
    p_outside = sigmoid(outside @ centerWordVec)
    p_negative = sigmoid(negative @ centerWordVec)
    loss = -np.log(p_outside) - np.log(1 - p_negative).sum()
    gradCenterVec = (p_outside - 1) * outside + p_negative @ negative
    gradOutsideVecs = np.zeros(outsideVectors.shape)
    gradOutsideVecs[outsideWordIdx] = (p_outside - 1) * centerWordVec
    np.add.at(gradOutsideVecs, negSampleWordIndices, p_negative[:, None] * centerWordVec)
    return loss, gradCenterVec, gradOutsideVecs
    # end
