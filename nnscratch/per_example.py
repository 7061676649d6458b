"""Per-example gradients: the gradient of a parameter for each example of a batch.

    g = sum over n  g_n             g_n: what example n alone would add to the gradient g, n = 0 ... N-1

An optimiser needs only the sum g. Private training also needs the norm of every g_n, and a sum in which each g_n has
its own weight. N gradients of the size of the model are too many to store, so a layer keeps one of these forms instead:

    Outer   g_n = sum over t  a[n, t] b[n, t]^T                     a (N, T, H)    b (N, T, D)    g_n (H, D)
    Rows    g_n[v] = sum of d[n, t] over all t with ids[n, t] = v   ids (N, T)     d (N, T, D)    g_n (V, D)
    Each    g_n itself                                              g (N, ...)

`Outer` is the form for a weight that multiplies an input: a is the gradient of the output, and b is the input. `Rows`
is the form for a table of vectors, such as an embedding. `Each` is the form for small parameters, such as biases. Every
form computes the norms without g_n, or from g_n if that is cheaper:

    Outer   ||g_n||^2 = sum over s, t  (a[n, s] . a[n, t]) (b[n, s] . b[n, t])    T^2 (H + D) multiplications, not T H D
    Rows    ||g_n||^2 = sum over s, t with ids[n, s] = ids[n, t]  d[n, s] . d[n, t]

With one row for each example, T = 1, the first formula is ||a_n||^2 ||b_n||^2. The weighted sum costs as much as the
sum without weights:

    Outer   sum over n  c_n g_n = sum over n, t  a[n, t] (c_n b[n, t])^T              one matrix product

If forward uses a parameter several times, the layers keep one form for each use, and g_n is the sum of their gradients.
The norm of a sum is not the sum of the norms. So these forms are joined to one form before the norm is computed: two
forms of the same kind are concatenated along t.

References: Goodfellow (2015), "Efficient per-example gradient computations", arXiv:1510.01799, for T = 1; Li, Tramer,
Liang and Hashimoto (2022), "Large language models can be strong differentially private learners", arXiv:2110.05679, for
sequences; Bu, Wang, Zha and Karypis (2023), "Differentially private optimization on large model at small cost",
arXiv:2210.00038, for one backward instead of two.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from . import backend
from .backend import Array

if TYPE_CHECKING:
    from .parameter import Parameter


@dataclass
class Outer:
    """g_n = sum over t of a[n, t] b[n, t]^T.

    Parameters
    ----------
    a : array, shape (N, T, H)
        The gradient of the output, in T rows for each example.
    b : array, shape (N, T, D)
        The input that the weight multiplied.

    Examples
    --------
    >>> import numpy as np
    >>> form = Outer(np.ones((2, 3, 4)), np.ones((2, 3, 5)))
    >>> form.gradients((4, 5)).shape, print(form.squared_norms())
    [180. 180.]
    ((2, 4, 5), None)
    """

    a: Array
    b: Array

    @property
    def count(self) -> int:
        """N, the number of examples."""
        return len(self.a)

    def gradients(self, shape: tuple[int, ...]) -> Array:
        """Return every g_n, shape ``(N, *shape)``."""
        return (self.a.swapaxes(1, 2) @ self.b).reshape(-1, *shape)

    def squared_norms(self) -> Array:
        """Return every ||g_n||^2, shape (N,)."""
        (_, T, H), D = self.a.shape, self.b.shape[2]
        if T * (H + D) < H * D:
            return ((self.a @ self.a.swapaxes(1, 2)) * (self.b @ self.b.swapaxes(1, 2))).sum(axis=(1, 2))
        return Each(self.gradients((H, D))).squared_norms()

    def add_weighted(self, parameter: Parameter, c: Array) -> None:
        """Add the sum of c_n g_n to the parameter's gradient."""
        H, D = self.a.shape[2], self.b.shape[2]
        a, b = self.a.reshape(-1, H), (self.b * c[:, None, None]).reshape(-1, D)
        if parameter.shape == (H, D):
            parameter.add_product(a.T, b)
        else:
            parameter.grad += (a.T @ b).reshape(parameter.shape)

    def spread(self, rows: Array, N: int) -> Outer:
        """Return a form with all N examples of the batch. The examples that are not in `rows` have zero gradients.

        This object contains only the examples with the indices `rows`.
        """
        return Outer(_spread(self.a, rows, N), _spread(self.b, rows, N))

    @staticmethod
    def joined(forms: Sequence[Outer]) -> Outer:
        """Return the form of the sum of all forms: they are joined along t."""
        xp = backend.array_module(forms[0].a)
        return Outer(*(xp.concatenate(arrays, axis=1) for arrays in zip(*((f.a, f.b) for f in forms), strict=True)))


@dataclass
class Rows:
    """g_n[v] = sum of d[n, t] over all t with ids[n, t] = v.

    Parameters
    ----------
    ids : array of integers, shape (N, T)
        The row of the table at each step.
    d : array, shape (N, T, D)
        The gradient of the row that was read.

    Examples
    --------
    >>> import numpy as np
    >>> form = Rows(np.array([[1, 1], [0, 2]]), np.ones((2, 2, 1)))
    >>> print(form.gradients((3, 1))[..., 0], form.squared_norms())
    [[0. 2. 0.]
     [1. 0. 1.]] [4. 2.]
    """

    ids: Array
    d: Array

    @property
    def count(self) -> int:
        """N, the number of examples."""
        return len(self.d)

    def gradients(self, shape: tuple[int, ...]) -> Array:
        """Return every g_n, shape ``(N, *shape)``."""
        xp, (N, T), V = backend.array_module(self.d), self.ids.shape, shape[0]
        g = xp.zeros((N * V, shape[1]), dtype=self.d.dtype)
        backend.scatter_add(g, (self.ids + V * xp.arange(N)[:, None]).reshape(-1), self.d.reshape(N * T, -1))
        return g.reshape(N, *shape)

    def squared_norms(self) -> Array:
        """Return every ||g_n||^2, shape (N,)."""
        equal = self.ids[:, :, None] == self.ids[:, None, :]  # (N, T, T)
        return ((self.d @ self.d.swapaxes(1, 2)) * equal).sum(axis=(1, 2))

    def add_weighted(self, parameter: Parameter, c: Array) -> None:
        """Add the sum of c_n g_n to the parameter's gradient."""
        parameter.add_rows(self.ids.reshape(-1), (self.d * c[:, None, None]).reshape(-1, self.d.shape[2]))

    @staticmethod
    def joined(forms: Sequence[Rows]) -> Rows:
        """Return the form of the sum of all forms: they are joined along t."""
        xp = backend.array_module(forms[0].d)
        return Rows(*(xp.concatenate(arrays, axis=1) for arrays in zip(*((f.ids, f.d) for f in forms), strict=True)))


@dataclass
class Each:
    """g_n itself.

    Parameters
    ----------
    g : array, shape (N, ...)
        The gradients, with the parameter's shape after the first axis.

    Examples
    --------
    >>> import numpy as np
    >>> print(Each(np.array([[3.0, 4.0], [0.0, 1.0]])).squared_norms())
    [25.  1.]
    """

    g: Array

    @property
    def count(self) -> int:
        """N, the number of examples."""
        return len(self.g)

    def gradients(self, shape: tuple[int, ...]) -> Array:
        """Return every g_n, shape ``(N, *shape)``."""
        return self.g.reshape(-1, *shape)

    def squared_norms(self) -> Array:
        """Return every ||g_n||^2, shape (N,)."""
        flat = self.g.reshape(len(self.g), -1)
        return backend.array_module(flat).einsum("nk,nk->n", flat, flat)

    def add_weighted(self, parameter: Parameter, c: Array) -> None:
        """Add the sum of c_n g_n to the parameter's gradient."""
        parameter.grad += (c @ self.g.reshape(len(self.g), -1)).reshape(parameter.shape)

    def spread(self, rows: Array, N: int) -> Each:
        """Return a form with all N examples of the batch. The examples that are not in `rows` have zero gradients.

        This object contains only the examples with the indices `rows`.
        """
        return Each(_spread(self.g, rows, N))

    @staticmethod
    def joined(forms: Sequence[Each]) -> Each:
        """Return the form of the sum."""
        return Each(sum(form.g for form in forms[1:]) + forms[0].g)


Form = Outer | Rows | Each


def joined(forms: Sequence[Form], shape: tuple[int, ...]) -> Form:
    """Return one form for the sum of `forms`. They all belong to one parameter, whose shape is `shape`."""
    kinds: set[Any] = {type(form) for form in forms}
    if len(forms) == 1:
        return forms[0]
    if len(kinds) == 1:
        return kinds.pop().joined(forms)
    # A parameter that an embedding and a Linear layer share has forms of two kinds.
    return Each.joined([Each(form.gradients(shape)) for form in forms])


def keep_recurrent(parameters: Sequence[Parameter], dU: Array, dV: Array, X: Array, h: Array) -> None:
    """Keep the forms for the parameters of u = W_ih x + b_ih and v = W_hh h + b_hh, which all recurrent layers compute.

    Parameters
    ----------
    parameters : W_ih (G, D), W_hh (G, H), b_ih (G,) and b_hh (G,)
    dU, dV : array, shape (N, T, G)
    X : array, shape (N, T, D)
    h : array, shape (N, T, H)
        The state before each step.
    """
    W_ih, W_hh, b_ih, b_hh = parameters
    W_ih.keep(Outer(dU, X))
    W_hh.keep(Outer(dV, h))
    b_ih.keep(Each(dU.sum(axis=1)))
    b_hh.keep(Each(dV.sum(axis=1)))


@contextlib.contextmanager
def spread_examples(parameters: Sequence[Parameter], rows: Array, N: int) -> Iterator[None]:
    """Let a layer process only the examples with the indices `rows` of a batch of N, inside the ``with`` block.

    The forms that the layer keeps contain only these examples. After the block, each form contains all N examples. The
    gradients of the added examples are zero.

    Recurrent layers use this function for sequences of different lengths. They cut time into segments, and a segment
    runs only the sequences that have not ended.
    """
    before = [len(parameter.examples or ()) for parameter in parameters]
    yield
    for parameter, k in zip(parameters, before, strict=True):
        if parameter.examples is not None:
            parameter.examples[k:] = [form.spread(rows, N) for form in parameter.examples[k:]]


def _spread(array: Array, rows: Array, N: int) -> Array:
    whole = backend.array_module(array).zeros((N, *array.shape[1:]), dtype=array.dtype)
    whole[rows] = array
    return whole
