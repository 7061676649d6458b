"""Arrays to mini-batches: contiguous lanes of a text for truncated backpropagation, shuffled rows for everything else.

A text of tokens t_0 t_1 ... is cut into N lanes of equal length L, which lie under each other, and batches are cut
from left to right, T steps at a time (here N = 2, L = 5, T = 3):

                 batch 0    batch 1
    lane 0     t0 t1 t2  |  t3 t4        every target is the next token: t1 t2 t3 | t4 t5
    lane 1     t5 t6 t7  |  t8 t9                                        t6 t7 t8 | t9 t10

Row n of a batch goes on where row n of the batch before stopped, so the state of a recurrent network can be carried
over: what it has read since the lane began is not lost, though gradients go back only T steps.
"""

from __future__ import annotations

import operator
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np

from .. import backend
from ..backend import Array
from ..checks import positive_int


class TextBatches:
    """A text in contiguous lanes: iterate over it for pairs (inputs, targets).

    Lane n is ``tokens[n * L : (n + 1) * L + 1]`` with L = (len(tokens) - 1) // batch_size: L inputs and, one further,
    L targets. The last batch is shorter where seq_len does not divide L. Left out are only the tokens behind the last
    lane, fewer than batch_size.

    Parameters
    ----------
    tokens : integer array or list of int, shape (length,)
        Is not copied if it is an int64 array; leave it unchanged while the batches are in use.
    batch_size : int
        N, the number of lanes.
    seq_len : int
        T, the number of steps in a batch.
    transform : function of (inputs, rng), optional
        Called with the inputs of each batch that is iterated over, it returns what is handed out in their place:
        `TokenDropout`, say. The targets stay.
    rng : None, int or numpy.random.Generator
        What the transform draws from.

    Raises
    ------
    TypeError
        The tokens are not integers, or the transform is no function.
    ValueError
        A size is not a positive integer, a token is negative, the tokens are not one sequence, or they are too few
        for one whole batch, which takes batch_size * seq_len + 1.

    Examples
    --------
    >>> batches = TextBatches(range(11), batch_size=2, seq_len=3)
    >>> for inputs, targets in batches:
    ...     print(inputs.tolist(), targets.tolist())
    [[0, 1, 2], [5, 6, 7]] [[1, 2, 3], [6, 7, 8]]
    [[3, 4], [8, 9]] [[4, 5], [9, 10]]
    >>> len(batches), batches.num_tokens
    (2, 10)

    Some words become unknown ones on their way in, others each time the text is read:

    >>> from nnscratch.data import TokenDropout
    >>> batches = TextBatches(range(1, 12), batch_size=2, seq_len=3, transform=TokenDropout(0.3), rng=0)
    >>> for inputs, targets in batches:
    ...     print(inputs.tolist(), targets.tolist())
    [[1, 0, 0], [0, 7, 8]] [[2, 3, 4], [7, 8, 9]]
    [[4, 5], [9, 10]] [[5, 6], [10, 11]]
    """

    def __init__(
        self,
        tokens: Any,
        batch_size: int,
        seq_len: int,
        transform: Callable[[Array, np.random.Generator], Array] | None = None,
        rng: None | int | np.random.Generator = None,
    ):
        self.transform = _transform(transform)
        self.rng = None if transform is None else backend.generator(rng)
        self.batch_size = positive_int("batch_size", batch_size)
        self.seq_len = positive_int("seq_len", seq_len)
        tokens = _token_ids(tokens)
        lanes, steps = self.batch_size, self.seq_len
        if tokens.size < lanes * steps + 1:
            raise ValueError(
                f"the text has {tokens.size:,} tokens, too few for one batch: batch_size {lanes} times seq_len {steps} "
                f"needs {lanes * steps + 1:,}. Take a longer text or smaller sizes"
            )
        length = (tokens.size - 1) // lanes  # L
        self.num_tokens = lanes * length
        """How many targets one pass over the batches has."""
        self._inputs = tokens[: self.num_tokens].reshape(lanes, length)  # (N, L), a view
        self._targets = tokens[1 : self.num_tokens + 1].reshape(lanes, length)  # (N, L), a view

    def __len__(self) -> int:
        return -(-self._inputs.shape[1] // self.seq_len)

    def __getitem__(self, number: int) -> tuple[np.ndarray, np.ndarray]:
        """Batch `number`, without going through those before it, and not transformed.

        Returns
        -------
        inputs, targets : int64 arrays, shape (N, T)
            Read-only views of the tokens; the last batch may have fewer steps.

        Raises
        ------
        IndexError
            There is no such batch.
        """
        place = operator.index(number)
        if not -len(self) <= place < len(self):
            raise IndexError(f"there are {len(self)} batches, numbers 0..{len(self) - 1}; got {number}")
        start = place % len(self) * self.seq_len
        steps = slice(start, start + self.seq_len)
        return self._inputs[:, steps], self._targets[:, steps]  # (N, T) each

    def __iter__(self) -> Iterator[tuple[np.ndarray, np.ndarray]]:
        for number in range(len(self)):
            inputs, targets = self[number]
            yield (inputs if self.transform is None else self.transform(inputs, self.rng)), targets

    def __repr__(self) -> str:
        return (
            f"TextBatches({len(self):,} batches of {self.batch_size} lanes by {self.seq_len} steps, "
            f"{self.num_tokens:,} targets)"
        )


def _token_ids(tokens: Any) -> np.ndarray:
    """`tokens` as a read-only int64 array, shape (length,)."""
    tokens = np.asarray(tokens)
    if tokens.ndim != 1:
        raise ValueError(f"tokens must be one sequence, shape (length,), got shape {tokens.shape}")
    if tokens.size and tokens.dtype.kind not in "iu":
        raise TypeError(f"tokens must be integers, got {tokens.dtype}; a tokenizer's encode(text) makes them")
    tokens = tokens.astype(np.int64, copy=False).view()
    if tokens.size and tokens.min() < 0:
        place = int(np.argmax(tokens < 0))
        raise ValueError(f"tokens must be 0 or more, got {tokens[place]} at position {place}")
    tokens.flags.writeable = False  # this view, not the caller's array
    return tokens


def _transform(transform: Any) -> Any:
    """`transform`, if it is a function or nothing."""
    if transform is not None and not callable(transform):
        raise TypeError(f"transform must be a function of (x, rng), got {transform!r}")
    return transform


class Batches:
    """Rows of `x` and `y` in mini-batches: iterate over it for pairs (x, y).

    Every pass over it is an epoch and shuffles anew; the last batch of an epoch may be smaller.

    Parameters
    ----------
    x, y : array
        With the same number of rows.
    batch_size : int
    shuffle : bool
        Draw the rows in a new order each epoch. With False, they come as they are.
    rng : None, int or numpy.random.Generator
        Where the orders come from, and what the transform draws.
    transform : function of (x, rng), optional
        Called with the rows of each batch, it returns what is handed out in their place: see `nnscratch.data.augment`.

    Attributes
    ----------
    rng : numpy.random.Generator
        Its state, saved and put back between two epochs, gives the same orders again.

    Raises
    ------
    TypeError
        `x` or `y` is no array.
    ValueError
        They have different numbers of rows, or none, or the size is not a positive integer.

    Examples
    --------
    >>> import numpy as np
    >>> x, y = np.arange(10.0).reshape(5, 2), np.arange(5)
    >>> for rows, labels in Batches(x, y, batch_size=2, rng=0):
    ...     print(rows.shape, labels)
    (2, 2) [2 4]
    (2, 2) [3 0]
    (1, 2) [1]
    """

    def __init__(
        self,
        x: Array,
        y: Array,
        batch_size: int,
        shuffle: bool = True,
        rng: None | int | np.random.Generator = None,
        transform: Callable[[Array, np.random.Generator], Array] | None = None,
    ):
        for name, array in (("x", x), ("y", y)):
            try:
                backend.array_module(array)
            except TypeError as error:
                raise TypeError(f"{name}: {error}") from None
            if array.ndim == 0:
                raise ValueError(f"{name} must have rows to batch, got a single number")
        if len(x) != len(y) or len(x) == 0:
            raise ValueError(f"x and y must have the same number of rows, 1 or more, got {len(x)} and {len(y)}")
        self.x, self.y = x, y
        self.batch_size = positive_int("batch_size", batch_size)
        self.shuffle = shuffle
        self.rng = backend.generator(rng)
        self.transform = _transform(transform)

    def __len__(self) -> int:
        return -(-len(self.x) // self.batch_size)

    def __iter__(self) -> Iterator[tuple[Array, Array]]:
        count = len(self.x)
        order = self.rng.permutation(count) if self.shuffle else np.arange(count)
        for start in range(0, count, self.batch_size):
            rows = order[start : start + self.batch_size]
            x, y = (array[backend.array_module(array).asarray(rows)] for array in (self.x, self.y))
            yield (x if self.transform is None else self.transform(x, self.rng)), y
