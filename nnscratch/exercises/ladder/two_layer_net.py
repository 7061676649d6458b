"""Exercise 12: a network of two layers, in CS231n's form."""

import numpy as np

from ..exercise import Exercise, Gradients, Mistake, Slip, Values
from .softmax_loss import log_softmax


def case(N, D, H, C, reg):
    def draw(rng):
        # X is an array of integers, so that the check expects no gradient with respect to X.
        X, y = rng.integers(-3, 4, (N, D)), rng.integers(0, C, N)
        shapes = (D, H), (H,), (H, C), (C,)
        return (*(rng.normal(size=shape) for shape in shapes), X, y, reg)

    return draw


def scores(W1, b1, W2, b2, X, y, reg):
    return np.maximum(0, X @ W1 + b1) @ W2 + b2


def loss_with(decay):
    def loss(W1, b1, W2, b2, X, y, reg):
        log_p = log_softmax(scores(W1, b1, W2, b2, X, y, reg))
        return -log_p[np.arange(len(X)), y].mean() + reg * decay(W1, b1, W2, b2)

    return loss


def squares(*arrays):
    return sum((a**2).sum() for a in arrays)


loss = loss_with(lambda W1, b1, W2, b2: squares(W1, W2))

CASES = [case(5, 3, 4, 3, 0.1), case(2, 4, 3, 5, 0.3), case(7, 2, 5, 2, 0.05)]

EXERCISE = Exercise(
    number=12,
    name="two_layer_net",
    title="affine, ReLU, affine and softmax loss in one network",
    parts=[
        Values(
            "driver:TwoLayerNet.loss(X)",
            scores,
            CASES,
            ("scores",),
            slips=[
                Slip(
                    lambda W1, b1, W2, b2, X, y, reg: (X @ W1 + b1) @ W2 + b2,
                    "the ReLU of the hidden layer is left out.",
                ),
                Slip(
                    lambda W1, b1, W2, b2, X, y, reg: np.maximum(0, scores(W1, b1, W2, b2, X, y, reg)),
                    "there is a ReLU after the second layer. The scores may be negative.",
                ),
            ],
        ),
        Values(
            "driver:TwoLayerNet.loss(X, y)",
            loss,
            CASES,
            ("loss",),
            slips=[
                Slip(loss_with(lambda *p: 0), "the weight decay is missing."),
                Slip(loss_with(lambda W1, b1, W2, b2: squares(W1)), "the weight decay of W2 is missing."),
                Slip(
                    loss_with(lambda W1, b1, W2, b2: squares(W1, W2) / 2),
                    "in this task, weight decay has no factor 1/2.",
                ),
                Slip(loss_with(squares), "the biases must have no weight decay."),
            ],
        ),
        Gradients(("driver:TwoLayerNet loss", "driver:TwoLayerNet gradients"), CASES, loss),
    ],
    hints=(
        "Go back through the steps of forward in reverse order: scores, h, the ReLU, the first affine layer. Each step "
        "is one of the previous exercises.",
        "Compute dscores as in softmax_loss. dW2 = h.T @ dscores, dh = dscores @ W2.T. The gradient before the ReLU is "
        "da = dh * (h > 0). Then dW1 = X.T @ da. Add 2 * reg * W to the gradient of each weight.",
        "It is tedious to write every network in this way. That is why layers are objects: each keeps its own cache, "
        "and a container such as Sequential calls their backward passes in reverse order.",
    ),
    reading="nnscratch/sequential.py and nnscratch/models/mlp.py",
    mistakes=[
        Mistake("da = dh * (h > 0)", "da = dh", "mask not applied"),
        Mistake('"b1": da.sum(axis=0)', '"b1": da.mean(axis=0)', "scaled by a constant"),
        Mistake("X.T @ da + 2 * self.reg * W1", "X.T @ da", "weight decay's share wrong"),
        Mistake("h = np.maximum(0, X @ W1 + b1)", "h = X @ W1 + b1", "the ReLU of the hidden layer is left out"),
        Mistake(" + (W2**2).sum())", ")", "the weight decay of W2 is missing"),
    ],
)
