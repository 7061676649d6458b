"""The MLP job with scikit-learn's MLPClassifier."""

import itertools

import numpy as np


def build(job, variant):
    import sklearn
    from sklearn.neural_network import MLPClassifier

    if job.kind != "mlp":
        raise NotImplementedError("its only neural network is an MLP")
    batches = job.batches()
    model = MLPClassifier((256, 256), solver="sgd", alpha=0, batch_size=64, learning_rate_init=0.1, momentum=0)
    model.partial_fit(*batches[0], classes=np.arange(10))  # creates the weight arrays
    for k, (name, w) in enumerate(job.weights().items()):
        if name.endswith("weight"):
            model.coefs_[k // 2] = w.T.copy()
        else:
            model.intercepts_[k // 2] = w.copy()
    rest = itertools.cycle(batches)

    def step():
        model.partial_fit(*next(rest))
        return model.loss_

    return {"version": sklearn.__version__, "step": step}
