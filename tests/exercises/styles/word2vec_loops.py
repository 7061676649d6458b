"""One loop over all words, and other formulas for the same gradients."""

import numpy as np


def getNegativeSamples(outsideWordIdx, dataset, K):
    negSampleWordIndices = [None] * K
    for k in range(K):
        newidx = dataset.sampleTokenIdx()
        while newidx == outsideWordIdx:
            newidx = dataset.sampleTokenIdx()
        negSampleWordIndices[k] = newidx
    return negSampleWordIndices


def negSamplingLossAndGradient(centerWordVec, outsideWordIdx, outsideVectors, dataset, K=10):
    words = [outsideWordIdx] + getNegativeSamples(outsideWordIdx, dataset, K)
    loss, gradCenterVec, gradOutsideVecs = 0, np.zeros_like(centerWordVec), np.zeros_like(outsideVectors)
    for number, word in enumerate(words):
        label = 1 if number == 0 else 0
        probability = 1 / (1 + np.exp(-np.dot(outsideVectors[word], centerWordVec)))
        loss -= label * np.log(probability) + (1 - label) * np.log(1 - probability)
        gradCenterVec += (probability - label) * outsideVectors[word]
        gradOutsideVecs[word] += (probability - label) * centerWordVec
    return loss, gradCenterVec, gradOutsideVecs
