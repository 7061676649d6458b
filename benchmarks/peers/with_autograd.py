"""The jobs with autograd (HIPS), which computes gradients of NumPy code by tracing it."""

import itertools
from importlib.metadata import version

import numpy as np

from .by_hand import Adam, clip, lstm_logits, no_state


def build(job, variant):
    import autograd  # noqa: F401

    reasons = {
        "cnn": "has no pooling, and only SciPy's general convolution",
        "transformer": "has no layers from which to build a Transformer",
        "generate": "without gradients it is plain NumPy",
        "evaluate": "without gradients it is plain NumPy",
        "gradcheck": "checks gradients along one random direction only, not every element",
    }
    if job.kind in reasons:
        raise NotImplementedError(reasons[job.kind])
    return {"version": version("autograd"), **{"lm": lm, "mlp": mlp}[job.kind](job)}


def cross_entropy(anp, logits, labels):
    logits = logits - anp.max(logits, axis=1, keepdims=True)
    at = logits[np.arange(len(labels)), labels]
    return anp.mean(anp.log(anp.sum(anp.exp(logits), axis=1)) - at)


def lm(job):
    import autograd.numpy as anp
    from autograd import value_and_grad

    w, layers, held = job.weights(), job.sizes["layers"], [no_state(job)]
    optimizer, batches = Adam(w), itertools.cycle(job.batches())

    def sigmoid(z):
        return 0.5 * (anp.tanh(0.5 * z) + 1)

    def loss_of(p, x, y):
        logits, state = lstm_logits(anp, sigmoid, p, layers, x, held[0])
        held[0] = [tuple(s._value for s in pair) for pair in state]  # arrays without their graph
        return cross_entropy(anp, logits, y.T.reshape(-1))

    run = value_and_grad(loss_of)

    def step():
        loss, grads = run(w, *next(batches))
        clip(grads, 5.0)
        optimizer.step(grads)
        return float(loss)

    return {"step": step}


def mlp(job):
    import autograd.numpy as anp
    from autograd import value_and_grad

    w, batches = job.weights(), itertools.cycle(job.batches())

    def loss_of(p, x, y):
        for k in (0, 2):
            x = anp.maximum(anp.dot(x, p[f"{k}.weight"].T) + p[f"{k}.bias"], 0)
        return cross_entropy(anp, anp.dot(x, p["4.weight"].T) + p["4.bias"], y)

    run = value_and_grad(loss_of)

    def step():
        loss, grads = run(w, *next(batches))
        for name in w:
            w[name] -= 0.1 * grads[name]
        return float(loss)

    return {"step": step}
