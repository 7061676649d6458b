"""Hypothesis strategies for testing layers: yours as well as these. Needs hypothesis, of the extra ``test``.

    from hypothesis import given
    from nnscratch.testing import assert_gradients_match, strategies as nst

    @given(x=nst.well_conditioned(nst.shapes(2, 4)))
    def test_my_layer(x):
        assert_gradients_match(MyLayer(), x)

What is drawn is small, since a gradient check runs forward four times for each element, and tame: differences are
exact to ten digits only where a function does not rush to infinity. The strategies differ in what they do about kinks,
the points without a derivative that ReLU has at zero and max pooling where two values are equal: `well_conditioned`
keeps away from zero, `distinct` from zero and from ties, `with_zeros` looks for both.

Wherever a `shape` is asked for, a tuple or a strategy for tuples will do.
"""

from __future__ import annotations

from typing import Any

import numpy as np

try:
    from hypothesis import strategies as st
    from hypothesis.extra import numpy as hnp
except ImportError:
    raise ImportError("nnscratch.testing.strategies needs hypothesis: pip install 'nnscratch[test]'") from None

Shape = Any  # a tuple of int, or a strategy for them
HUNDREDTHS = 200  # of one: the largest value drawn, so that everything lies between -2 and 2


def shapes(min_dims: int = 1, max_dims: int = 3, *, min_side: int = 1, max_side: int = 4) -> st.SearchStrategy:
    """Shapes of small arrays.

    Parameters
    ----------
    min_dims, max_dims : int
        How many axes.
    min_side, max_side : int
        How long each axis is.

    Returns
    -------
    strategy of tuple of int

    Examples
    --------
    >>> from hypothesis import given
    >>> @given(shapes(2, 4))
    ... def test(shape):
    ...     assert 2 <= len(shape) <= 4
    >>> test()
    """
    return hnp.array_shapes(min_dims=min_dims, max_dims=max_dims, min_side=min_side, max_side=max_side)


def as_strategy(shape: Shape) -> st.SearchStrategy:
    return shape if isinstance(shape, st.SearchStrategy) else st.just(tuple(shape))


@st.composite
def well_conditioned(draw: Any, shape: Shape, *, dtype: Any = np.float64) -> np.ndarray:
    """Arrays of floats between -2 and 2, none closer to zero than 0.01, in hundredths.

    Parameters
    ----------
    shape : tuple of int, or strategy
    dtype : dtype
        A float type.

    Returns
    -------
    strategy of array

    Examples
    --------
    >>> from hypothesis import given
    >>> @given(well_conditioned((2, 3)))
    ... def test(x):
    ...     assert np.allclose(np.exp(np.log(abs(x))), abs(x))
    >>> test()
    """
    size = draw(as_strategy(shape))
    hundredths = st.integers(-HUNDREDTHS, HUNDREDTHS).filter(bool)
    return draw(hnp.arrays(np.int64, size, elements=hundredths, fill=st.nothing())).astype(dtype) / dtype_like(dtype)


@st.composite
def with_zeros(draw: Any, shape: Shape, *, dtype: Any = np.float64) -> np.ndarray:
    """Arrays of floats from -2, -1.5, ... 2: zeros and equal values are common, as ReLU's and max pooling's kinks.

    Parameters
    ----------
    shape : tuple of int, or strategy
    dtype : dtype
        A float type.

    Returns
    -------
    strategy of array

    Examples
    --------
    >>> from hypothesis import given
    >>> @given(with_zeros((3,)))
    ... def test(x):
    ...     assert set(x) <= {-2, -1.5, -1, -0.5, 0, 0.5, 1, 1.5, 2}
    >>> test()
    """
    size = draw(as_strategy(shape))
    return draw(hnp.arrays(np.int64, size, elements=st.integers(-4, 4))).astype(dtype) / np.dtype(dtype).type(2)


@st.composite
def distinct(draw: Any, shape: Shape, *, apart: float = 0.1, dtype: Any = np.float64) -> np.ndarray:
    """Arrays of floats that all lie at least `apart` from each other, and half of that from zero: no kink is near.

    Parameters
    ----------
    shape : tuple of int, or strategy
    apart : float
        With n elements, the largest is about ``n * apart / 2``.
    dtype : dtype
        A float type.

    Returns
    -------
    strategy of array

    Examples
    --------
    >>> from hypothesis import given
    >>> @given(distinct((2, 3)))
    ... def test(x):
    ...     assert x.max() > x.ravel()[x.argmin()] + 0.4
    >>> test()
    """
    size = draw(as_strategy(shape))
    order = np.array(draw(st.permutations(range(int(np.prod(size))))), dtype=np.int64).reshape(size)
    return ((order - order.size // 2 + 0.5) * apart).astype(dtype)


@st.composite
def ids(draw: Any, shape: Shape, num_embeddings: int) -> np.ndarray:
    """Integers from 0 to `num_embeddings` - 1, as an Embedding takes; one id often occurs several times.

    Parameters
    ----------
    shape : tuple of int, or strategy
    num_embeddings : int

    Returns
    -------
    strategy of int64 array

    Examples
    --------
    >>> from hypothesis import given
    >>> @given(ids((2, 3), 10))
    ... def test(i):
    ...     assert i.shape == (2, 3) and i.max() < 10
    >>> test()
    """
    return draw(hnp.arrays(np.int64, draw(as_strategy(shape)), elements=st.integers(0, num_embeddings - 1)))


@st.composite
def targets(draw: Any, shape: Shape, num_classes: int, *, ignore_index: int | None = None) -> np.ndarray:
    """Class labels for a cross-entropy.

    Parameters
    ----------
    shape : tuple of int, or strategy
        That of the logits without their last axis.
    num_classes : int
    ignore_index : int, optional
        Stands at some places; never at all of them, since a mean over nothing is no loss.

    Returns
    -------
    strategy of int64 array

    Examples
    --------
    >>> from hypothesis import given
    >>> @given(targets((4,), 3, ignore_index=-100))
    ... def test(t):
    ...     assert (t >= 0).any()
    >>> test()
    """
    labels = draw(ids(shape, num_classes))
    if ignore_index is not None and labels.size:
        ignored = draw(hnp.arrays(np.bool_, labels.shape))
        ignored.flat[draw(st.integers(0, labels.size - 1))] = False
        labels[ignored] = ignore_index
    return labels


@st.composite
def probabilities(draw: Any, shape: Shape, *, dtype: Any = np.float64) -> np.ndarray:
    """Arrays whose last axis sums to 1: soft targets. None is under 0.01 where there are ten classes or fewer.

    Parameters
    ----------
    shape : tuple of int, or strategy
    dtype : dtype
        A float type.

    Returns
    -------
    strategy of array

    Examples
    --------
    >>> from hypothesis import given
    >>> @given(probabilities((2, 4)))
    ... def test(p):
    ...     assert np.allclose(p.sum(axis=-1), 1)
    >>> test()
    """
    parts = draw(hnp.arrays(np.int64, draw(as_strategy(shape)), elements=st.integers(1, 9))).astype(dtype)
    return parts / parts.sum(axis=-1, keepdims=True)


def dtype_like(dtype: Any) -> Any:
    """100 in that dtype, so that a division keeps it."""
    return np.dtype(dtype).type(100)
