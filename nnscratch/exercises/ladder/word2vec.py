"""Exercise 28: word2vec with negative sampling, in CS224n's form."""

import numpy as np

from ..exercise import Exercise, Gradients, Mistake, Slip, Values


def case(V, D, K):
    """Return a function that draws vectors, the id of the outside word, and K other ids, of which two are equal."""

    def draw(rng):
        outside = int(rng.integers(V))
        samples = (outside + rng.integers(1, V, K)) % V
        samples[1] = samples[0]
        return rng.normal(size=D), outside, rng.normal(size=(V, D)), samples

    return draw


def log_sigmoid(x):
    return -np.logaddexp(0, -x)


def loss_with(sign=-1, repeated=True, reduce=np.sum, positive=True):
    def loss(centerWordVec, outsideWordIdx, outsideVectors, samples):
        ids = samples if repeated else np.unique(samples)
        negative = -reduce(log_sigmoid(sign * outsideVectors[ids] @ centerWordVec))
        return negative - (log_sigmoid(outsideVectors[outsideWordIdx] @ centerWordVec) if positive else 0)

    return loss


CASES = [case(5, 3, 4), case(4, 2, 6), case(7, 4, 3)]

EXERCISE = Exercise(
    number=28,
    name="word2vec",
    title="word vectors, learned with negative samples",
    parts=[
        Values(
            "driver:negSamplingLossAndGradient",
            loss_with(),
            CASES,
            ("loss", "gradCenterVec", "gradOutsideVecs"),
            slips=[
                Slip(loss_with(sign=1), "the minus sign in sigmoid(-u_k . v) is missing."),
                Slip(loss_with(repeated=False), "a word that was drawn twice must count twice."),
                Slip(loss_with(reduce=np.mean), "this is the mean over the negative samples. Take the sum."),
                Slip(loss_with(positive=False), "the term of the outside word is missing."),
                Slip(loss_with(reduce=lambda x: 0), "the terms of the negative samples are missing."),
                Slip(lambda *inputs: -loss_with()(*inputs), "the minus before the logarithms is missing."),
            ],
        ),
        Gradients(("driver:negSamplingLossAndGradient",), CASES),
    ],
    hints=(
        "outsideVectors[negSampleWordIndices] is an array (K, D). Its product with centerWordVec gives K scores. Use "
        "1 - sigmoid(s) = sigmoid(-s).",
        "Begin with zeros in gradOutsideVecs. If a word was drawn twice, gradOutsideVecs[negSampleWordIndices] += ... "
        "adds only one of its two gradients. np.add.at or a loop adds both.",
        "The full softmax would need the scores of all V words in each step. Negative sampling needs only K + 1 "
        "scores. That made it possible to learn word vectors from billions of words.",
    ),
    reading='Mikolov et al. (2013), "Distributed Representations of Words and Phrases", arXiv:1310.4546, section 2.2; '
    "nnscratch/layers/embedding.py",
    mistakes=[
        Mistake(
            "np.add.at(gradOutsideVecs, negSampleWordIndices, p_negative[:, None] * centerWordVec)",
            "gradOutsideVecs[negSampleWordIndices] += p_negative[:, None] * centerWordVec",
            "rows met twice counted once",
        ),
        Mistake("np.log(1 - p_negative).sum()", "np.log(p_negative).sum()", "the minus sign in sigmoid(-u_k . v)"),
        Mistake("np.log(1 - p_negative).sum()", "np.log(1 - p_negative).mean()", "the mean over the negative samples"),
        Mistake(
            "gradCenterVec = (p_outside - 1) * outside + p_negative @ negative",
            "gradCenterVec = (1 - p_outside) * outside - p_negative @ negative",
            "sign flipped",
        ),
        Mistake(
            "gradCenterVec = (p_outside - 1) * outside + p_negative @ negative",
            "gradCenterVec = p_outside * outside + p_negative @ negative",
            "The gradient of centerWordVec is not right",
        ),
    ],
)
