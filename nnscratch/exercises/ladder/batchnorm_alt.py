"""Exercise 18: batch normalisation, with the short form of its backward."""

from ..exercise import Exercise, Gradients, Mistake, Values
from .batchnorm import in_training, train

CASES = [train(5, 3), train(4, 2), train(6, 4)]

EXERCISE = Exercise(
    number=18,
    name="batchnorm_alt",
    title="batch normalisation, with a backward of one line",
    parts=[
        Values("batchnorm_forward", in_training, CASES, ("out", "cache")),
        Gradients(("batchnorm_forward", "batchnorm_backward_alt"), CASES),
    ],
    hints=(
        "mean(dn) = gamma * sum(dout) / N = gamma * dbeta / N. In the same way, mean(dn * n) = gamma * dgamma / N.",
        "Insert both means into dx = r * (dn - mean(dn) - n * mean(dn * n)) with dn = gamma * dout. Then gamma / N is "
        "a factor of all three terms.",
        "CS231n asks for this form because it is faster: it reads the data fewer times.",
    ),
    reading="nnscratch/layers/batch_norm.py, whose backward has this form; docs/derivations/normalisation.md",
    mistakes=[
        Mistake(
            "gamma * r / N * (N * dout - dbeta - n * dgamma)\n    return",
            "r / N * (N * dout - dbeta - n * dgamma)\n    return",
            "a factor missing",
        ),
        Mistake(
            "gamma * r / N * (N * dout - dbeta - n * dgamma)\n    return",
            "gamma * r * (N * dout - dbeta - n * dgamma)\n    return",
            "scaled by a constant",
        ),
        Mistake(
            "gamma * r / N * (N * dout - dbeta - n * dgamma)\n    return",
            "gamma * r / N * (N * dout - dbeta)\n    return",
            "a path missing",
        ),
        Mistake(
            "    dbeta = dout.sum(axis=0)\n    dx",
            "    dbeta = dout.sum(axis=0)\n    dgamma = -dgamma\n    dx",
            "sign flipped",
        ),
    ],
)
