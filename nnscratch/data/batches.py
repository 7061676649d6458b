"""Mini-batches: contiguous lanes of a text for truncated backpropagation, and shuffled rows for all other data.

A text of tokens t_0 t_1 ... is cut into N lanes of equal length L, one below the other. Each batch has the next T
steps of every lane (here N = 2, L = 5, T = 3):

                 batch 0    batch 1
    lane 0     t0 t1 t2  |  t3 t4        the targets are the next tokens: t1 t2 t3 | t4 t5
    lane 1     t5 t6 t7  |  t8 t9                                         t6 t7 t8 | t9 t10

Row n of a batch continues row n of the previous batch. So the state of a recurrent network can be passed from batch to
batch. The network then remembers the lane from its beginning, but gradients flow back only T steps.
"""

from __future__ import annotations

import operator
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np

from .. import backend
from ..backend import Array
from ..checks import flag, positive_int


class TextBatches:
    """A text in contiguous lanes. Iterate over it to get pairs (inputs, targets).

    Lane n is ``tokens[n * L : (n + 1) * L + 1]`` with L = (len(tokens) - 1) // batch_size. Its first L tokens are the
    inputs and its last L tokens are the targets. The last batch is shorter if seq_len does not divide L. The tokens
    after the last lane are not used. There are fewer than batch_size of them.

    Parameters
    ----------
    tokens : integer array or list of int, shape (length,)
        An intp array (int64 on 64-bit systems) is not copied: do not change it while you use the batches.
    batch_size : int
        N, the number of lanes.
    seq_len : int
        T, the number of steps in a batch.
    transform : function of (inputs, rng), optional
        Applied to the inputs of each batch during iteration, for example `TokenDropout`. The targets stay the same.
    rng : None, int or numpy.random.Generator
        The generator passed to `transform`.

    Raises
    ------
    TypeError
        The tokens are not integers, or `transform` is not callable.
    ValueError
        A size is not a positive integer, a token is negative, or the tokens are not one sequence. This error is also
        raised if there are fewer than batch_size * seq_len + 1 tokens, the number that one batch needs.

    Examples
    --------
    >>> batches = TextBatches(range(11), batch_size=2, seq_len=3)
    >>> for inputs, targets in batches:
    ...     print(inputs.tolist(), targets.tolist())
    [[0, 1, 2], [5, 6, 7]] [[1, 2, 3], [6, 7, 8]]
    [[3, 4], [8, 9]] [[4, 5], [9, 10]]
    >>> len(batches), batches.num_tokens
    (2, 10)

    Replace some input tokens by 0. Each epoch replaces different tokens:

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
        """The number of targets in one epoch."""
        self._inputs = tokens[: self.num_tokens].reshape(lanes, length)  # (N, L), a view
        self._targets = tokens[1 : self.num_tokens + 1].reshape(lanes, length)  # (N, L), a view

    def __len__(self) -> int:
        return -(-self._inputs.shape[1] // self.seq_len)

    def __getitem__(self, number: int) -> tuple[np.ndarray, np.ndarray]:
        """Return batch `number`, without the transform.

        Returns
        -------
        inputs, targets : intp arrays, shape (N, T)
            Read-only views of the tokens. The last batch may have fewer steps.

        Raises
        ------
        IndexError
            There is no such batch.
        """
        index = operator.index(number)
        if not -len(self) <= index < len(self):
            raise IndexError(f"there are {len(self)} batches, numbers 0..{len(self) - 1}; got {number}")
        start = index % len(self) * self.seq_len
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
    """Return `tokens` as a read-only intp array of shape (length,)."""
    if isinstance(tokens, np.ndarray):
        backend.array_module(tokens)  # raises for a masked array, whose mask numpy.asarray would drop
    tokens = np.asarray(tokens)
    if tokens.ndim != 1:
        raise ValueError(f"tokens must be one sequence, shape (length,), got shape {tokens.shape}")
    if tokens.size and tokens.dtype.kind not in "iu":
        raise TypeError(f"tokens must be integers, got {tokens.dtype}; tokenizer.encode(text) returns integers")
    tokens = tokens.astype(np.intp, copy=False).view()
    if tokens.size and tokens.min() < 0:
        position = int(np.argmax(tokens < 0))
        raise ValueError(f"tokens must be 0 or more, got {tokens[position]} at position {position}")
    tokens.flags.writeable = False  # only this view: the caller's array stays writeable
    return tokens


def _transform(transform: Any) -> Any:
    """Return `transform`, or raise TypeError if it is neither callable nor None."""
    if transform is not None and not callable(transform):
        raise TypeError(f"transform must be a function of (x, rng), got {transform!r}")
    return transform


class Batches:
    """Rows of `x` and `y` in mini-batches. Iterate over the object to get pairs (x, y).

    Each iteration over the batches is one epoch, in a new random order.

    Parameters
    ----------
    x : array, or tuple of arrays
        The inputs. Give a tuple for a model with several inputs. Each batch then has a tuple with the same rows of each
        array.
    y : array
        The targets. All arrays must have the same number of rows.
    batch_size : int
    shuffle : bool
        True for a new random order in each epoch, False to keep the order of the rows.
    rng : None, int or numpy.random.Generator
        The generator that draws the orders. It is also passed to `transform`.
    transform : function of (x, rng), optional
        Applied to the inputs of each batch, which are an array or a tuple. See `nnscratch.data.augment`.
    drop_last : bool
        True to leave out the last rows of an epoch if they do not fill a batch. False to keep them as a last
        batch, which is smaller than the other batches.

    Attributes
    ----------
    rng : numpy.random.Generator
        To repeat the orders of some epochs, save the generator's state before these epochs, and restore it later.

    Raises
    ------
    TypeError
        `x` or `y` is not an array, or `transform` is not callable.
    ValueError
        `x` and `y` have no rows or different numbers of rows, `batch_size` is not a positive integer, or `drop_last`
        leaves no batch.

    Examples
    --------
    >>> import numpy as np
    >>> x, y = np.arange(10.0).reshape(5, 2), np.arange(5)
    >>> for rows, labels in Batches(x, y, batch_size=2, rng=0):
    ...     print(rows.shape, labels)
    (2, 2) [2 4]
    (2, 2) [3 0]
    (1, 2) [1]

    Padded sequences and their lengths, for a model that is called as ``model(tokens, lengths)``:

    >>> tokens, lengths = np.array([[5, 6, 0], [7, 8, 9]]), np.array([2, 3])
    >>> for (ids, n), labels in Batches((tokens, lengths), np.array([1, 0]), batch_size=1, shuffle=False):
    ...     print(ids, n, labels)
    [[5 6 0]] [2] [1]
    [[7 8 9]] [3] [0]
    """

    def __init__(
        self,
        x: Array | tuple[Array, ...],
        y: Array,
        batch_size: int,
        shuffle: bool = True,
        rng: None | int | np.random.Generator = None,
        transform: Callable[[Any, np.random.Generator], Any] | None = None,
        drop_last: bool = False,
    ):
        inputs = x if isinstance(x, tuple) else (x,)
        names = [f"x[{k}]" for k in range(len(inputs))] if isinstance(x, tuple) else ["x"]
        for name, array in zip((*names, "y"), (*inputs, y), strict=True):
            try:
                backend.array_module(array)
            except TypeError as error:
                raise TypeError(f"{name}: {error}") from None
            if array.ndim == 0:
                raise ValueError(f"{name} must have rows, got an array without axes")
        counts = [len(array) for array in (*inputs, y)]
        if len(set(counts)) != 1 or counts[0] == 0 or not inputs:
            raise ValueError(
                f"{' and '.join((*names, 'y'))} must have the same number of rows, 1 or more, "
                f"got {' and '.join(map(str, counts))}"
            )
        self.x, self.y = x, y
        self.batch_size = positive_int("batch_size", batch_size)
        self.shuffle, self.drop_last = flag("shuffle", shuffle), flag("drop_last", drop_last)
        self.rng = backend.generator(rng)
        self.transform = _transform(transform)
        if len(self) == 0:
            raise ValueError(f"drop_last leaves no batch: there are {len(y)} rows, and batch_size is {batch_size}")

    def __len__(self) -> int:
        full, rest = divmod(len(self.y), positive_int("batch_size", self.batch_size))
        return full + (rest > 0 and not self.drop_last)

    def __iter__(self) -> Iterator[tuple[Any, Array]]:
        count = len(self.y)
        order = self.rng.permutation(count) if self.shuffle else np.arange(count)
        for number in range(len(self)):
            rows = order[number * self.batch_size : (number + 1) * self.batch_size]
            x = tuple(take(a, rows) for a in self.x) if isinstance(self.x, tuple) else take(self.x, rows)
            yield (x if self.transform is None else self.transform(x, self.rng)), take(self.y, rows)


def take(array: Array, rows: np.ndarray) -> Array:
    """Return these rows of `array`, on its device."""
    return array[backend.array_module(array).asarray(rows)]
