"""Poisson sampling: each example is in a batch with probability q, independently of all other examples.

    q = batch_size / (number of examples)       the number of examples in a batch varies around batch_size

The accountant is valid for these batches only. It is not valid for batches of a fixed size or for a shuffled epoch,
where the position of an example depends on the positions of the other examples.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np

from .. import backend
from ..backend import Array
from ..checks import positive_int
from ..training.model_calls import arrays_of


class PoissonBatches:
    """Batches for `DPSGD`: random examples, each with the same probability.

    Parameters
    ----------
    inputs : array with the examples on the first axis, or a tuple of such arrays
    targets : array
        One row for each example.
    batch_size : int
        The mean number of examples in a batch, at most the number of examples.
    rng : None, int or numpy.random.Generator

    Attributes
    ----------
    sample_rate : float
        q.

    Examples
    --------
    >>> import numpy as np, nnscratch as nn
    >>> batches = nn.privacy.PoissonBatches(np.zeros((1000, 2)), np.zeros(1000, dtype=int), batch_size=50, rng=0)
    >>> batches.sample_rate, len(batches)
    (0.05, 20)
    >>> [len(targets) for inputs, targets in batches][:5]
    [45, 65, 50, 52, 47]
    """

    def __init__(self, inputs: Any, targets: Array, batch_size: int, *, rng: None | int | np.random.Generator = None):
        self.inputs, self.targets = inputs, targets
        self.batch_size = positive_int("batch_size", batch_size)
        for array in (*arrays_of(inputs), targets):
            backend.array_module(array)  # raises TypeError for a list, whose rows cannot be chosen
        lengths = {len(array) for array in (*arrays_of(inputs), targets)}
        if len(lengths) != 1:
            raise ValueError(f"inputs and targets must have one row for each example, got {sorted(lengths)} rows")
        self.num_examples = lengths.pop()
        if self.batch_size > self.num_examples:
            raise ValueError(f"batch_size must be at most the {self.num_examples} examples, got {batch_size}")
        self.sample_rate = self.batch_size / self.num_examples
        self.rng = backend.generator(rng)

    def __len__(self) -> int:
        return -(-self.num_examples // self.batch_size)

    def __iter__(self) -> Iterator[tuple[Any, Array]]:
        for _ in range(len(self)):
            rows = np.flatnonzero(self.rng.random(self.num_examples) < self.sample_rate)
            chosen = tuple(array[rows] for array in arrays_of(self.inputs))
            yield chosen if isinstance(self.inputs, tuple) else chosen[0], self.targets[rows]


def text_examples(tokens: Array, seq_len: int) -> tuple[Array, Array]:
    """Cut a text into examples that do not overlap. Return inputs and targets, each (N, seq_len).

    Each example has ``seq_len + 1`` tokens. The remaining tokens at the end are dropped.

    Examples
    --------
    >>> import numpy as np, nnscratch as nn
    >>> inputs, targets = nn.privacy.text_examples(np.arange(9), seq_len=3)
    >>> print(inputs.tolist(), targets.tolist())
    [[0, 1, 2], [4, 5, 6]] [[1, 2, 3], [5, 6, 7]]
    """
    T = positive_int("seq_len", seq_len)
    backend.array_module(tokens)
    if tokens.ndim != 1 or len(tokens) <= T:
        raise ValueError(f"tokens must be one row of more than seq_len = {T} tokens, got shape {tokens.shape}")
    examples = tokens[: len(tokens) // (T + 1) * (T + 1)].reshape(-1, T + 1)  # (N, T + 1)
    return examples[:, :-1], examples[:, 1:]
