"""Linear probe: can a linear classifier read a property from the hidden vectors of a layer?

    shapes      h (M, D)        labels (M,) in 0..C-1

    z = (h - mean) / std                            mean and std over the training part
    p = softmax(z W^T + b)                          softmax regression, trained on one part of the vectors
    accuracy on the other part                      compare it with the accuracy of the most frequent label

If the accuracy is high, the layer *represents* the property, in a form that the next linear layer could use. This does
not show that the model uses the property. Also, a probe with many features can learn a rule that is not in the model.
As a control, train the probe on random labels too.

References
----------
Alain and Bengio (2016), "Understanding intermediate layers using linear classifier probes", arXiv:1610.01644. Hewitt
and Liang (2019), "Designing and interpreting probes with control tasks", arXiv:1909.03368.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from .. import backend
from ..backend import Array
from ..checks import positive_int, probability
from ..layers import Linear
from ..losses import CrossEntropyLoss
from ..optim import Adam

LEARNING_RATE = 0.05


@dataclass
class Probe:
    """A trained probe and its accuracies.

    Attributes
    ----------
    linear : Linear
    mean, std : array, shape (D,)
    train_accuracy, test_accuracy : float
    guess_accuracy : float
        The accuracy on the test part if the answer is always the most frequent label of the training part.

    Examples
    --------
    >>> import numpy as np, nnscratch as nn
    >>> h = np.random.default_rng(0).normal(size=(400, 5))
    >>> probe = nn.explain.linear_probe(h, (h[:, 0] > 0).astype(int), rng=0)
    >>> print(probe.predict(np.array([[3.0, 0, 0, 0, 0], [-3.0, 0, 0, 0, 0]])))
    [1 0]
    """

    linear: Linear
    mean: np.ndarray
    std: np.ndarray
    train_accuracy: float
    test_accuracy: float
    guess_accuracy: float

    def predict(self, h: Array) -> np.ndarray:
        """Return the label that the probe reads from each vector: (..., D) -> (...)."""
        h = backend.to_numpy(h).astype(np.float32)
        if h.shape[-1:] != self.mean.shape:
            raise ValueError(f"h must have the shape (..., {len(self.mean)}), as in training, got {h.shape}")
        z = (h - self.mean) / self.std
        return self.linear(z).argmax(axis=-1)

    def __repr__(self) -> str:
        return (
            f"Probe(test accuracy {self.test_accuracy:.3f}, train {self.train_accuracy:.3f}, "
            f"always the most frequent label {self.guess_accuracy:.3f})"
        )


def linear_probe(
    h: Array, labels: Any, test_fraction: float = 0.25, steps: int = 300, rng: None | int | np.random.Generator = None
) -> Probe:
    """Train a linear classifier on hidden vectors, and measure it on vectors that it has not seen.

    Parameters
    ----------
    h : array, shape (..., D)
        The hidden vectors, for example from `layer_activations`.
    labels : integer array, shape (...)
        The property of each vector: 0..C-1.
    test_fraction : float, between 0 and 1
        The fraction of the vectors for the test. They are chosen at random.
    steps : int
        The number of steps of Adam, each on all training vectors.
    rng : None, int or numpy.random.Generator
        The source of the random choice and of the initial weights, or its seed.

    Returns
    -------
    Probe

    Examples
    --------
    >>> import numpy as np, nnscratch as nn
    >>> h = np.random.default_rng(0).normal(size=(400, 5))
    >>> nn.explain.linear_probe(h, (h[:, 0] > h[:, 1]).astype(int), rng=0).test_accuracy > 0.95
    True
    """
    h, labels = backend.to_numpy(h).astype(np.float32), backend.to_numpy(labels)
    if h.ndim < 2 or labels.shape != h.shape[:-1] or labels.dtype.kind not in "iu" or labels.min(initial=0) < 0:
        raise ValueError(
            f"linear_probe needs h of shape (..., D) and one label of 0 or more for each vector, got {h.shape}, and "
            f"labels of shape {labels.shape} and dtype {labels.dtype}"
        )
    if not np.isfinite(h).all():
        raise ValueError("h must be finite, got NaN or infinity")
    rng, steps = backend.generator(rng), positive_int("steps", steps)
    h, labels = h.reshape(-1, h.shape[-1]), labels.reshape(-1).astype(np.intp)  # bincount refuses uint64
    tested = round(probability("test_fraction", test_fraction) * len(h))
    if not 0 < tested < len(h):
        raise ValueError(
            f"test_fraction={test_fraction} of {len(h)} vectors leaves no vector for the test or the training"
        )
    order = rng.permutation(len(h))
    test, train = order[:tested], order[tested:]
    mean, std = h[train].mean(axis=0), h[train].std(axis=0) + 1e-8
    z = (h - mean) / std
    linear, criterion = Linear(h.shape[1], int(labels.max()) + 1, rng=rng), CrossEntropyLoss()
    optimizer = Adam(linear.parameters(), lr=LEARNING_RATE)
    for _ in range(steps):
        linear.zero_grad()
        criterion(linear(z[train]), labels[train])
        linear.backward(criterion.backward())
        optimizer.step()
    right = linear.eval()(z).argmax(axis=1) == labels
    guess = np.bincount(labels[train]).argmax()
    accuracies = right[train].mean(), right[test].mean(), (labels[test] == guess).mean()
    return Probe(linear, mean, std, *map(float, accuracies))
