"""Hypothesis strategies for testing layers. They need hypothesis, which the extra ``test`` installs.

    from hypothesis import given
    from nnscratch.testing import assert_gradients_match, strategies as nst

    @nst.gradient_settings
    @given(x=nst.well_conditioned(nst.shapes(2, 4)))
    def test_my_layer(x):
        assert_gradients_match(MyLayer(), x)

The arrays are small, because a gradient check runs forward several times for each element. Their values lie between
about -2 and 2, because finite differences are less accurate where a function grows fast.

`gradient_settings` limits the time of such a test. By default, hypothesis draws 100 examples, and for a wrong gradient
it then searches for a simpler failing example for up to five minutes. These settings draw 25 examples and omit the
search, because hypothesis tries simple examples early and the report of a small check is short anyway. They also set no
deadline: on a slow machine, a check can take longer than the usual limit of 0.2 s.

The strategies differ in how they treat kinks, the points without a derivative: ReLU has a kink at zero, and max pooling
has a kink where two values are equal. `well_conditioned` avoids zeros, `distinct` avoids zeros and equal values, and
`with_zeros` draws many of both.

A `shape` is a tuple, or a strategy that draws tuples.
"""

from __future__ import annotations

from typing import Any

import numpy as np

try:
    from hypothesis import Phase, settings
    from hypothesis import strategies as st
    from hypothesis.extra import numpy as hnp
except ImportError:
    raise ImportError("nnscratch.testing.strategies needs hypothesis: pip install 'nnscratch[test]'") from None

Shape = Any  # a tuple of int, or a strategy that draws them
HUNDREDTHS = 200  # the largest value, in hundredths: all values lie between -2 and 2
EXAMPLES = 25
gradient_settings = settings(max_examples=EXAMPLES, deadline=None, phases=(Phase.explicit, Phase.reuse, Phase.generate))


def shapes(min_dims: int = 1, max_dims: int = 3, *, min_side: int = 1, max_side: int = 4) -> st.SearchStrategy:
    """Draw shapes of small arrays.

    Parameters
    ----------
    min_dims, max_dims : int
        The number of axes.
    min_side, max_side : int
        The length of each axis.

    Returns
    -------
    strategy
        It draws tuples of int.

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
    """Return `shape` as a strategy."""
    return shape if isinstance(shape, st.SearchStrategy) else st.just(tuple(shape))


@st.composite
def well_conditioned(draw: Any, shape: Shape, *, dtype: Any = np.float64) -> np.ndarray:
    """Draw arrays of floats between -2 and 2, with at most two decimal places and without zeros.

    Parameters
    ----------
    shape : tuple of int, or strategy
    dtype : dtype
        A float type.

    Returns
    -------
    strategy
        It draws arrays of `dtype`.

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
    """Draw arrays of the floats -2, -1.5, -1, and so on up to 2. Zeros and equal values are common.

    Zeros are kinks of ReLU, and equal values are kinks of max pooling.

    Parameters
    ----------
    shape : tuple of int, or strategy
    dtype : dtype
        A float type.

    Returns
    -------
    strategy
        It draws arrays of `dtype`.

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
    """Draw arrays of floats that are not near a kink.

    Any two elements differ by at least `apart`, and each element differs from zero by at least ``apart / 2``.

    Parameters
    ----------
    shape : tuple of int, or strategy
    apart : float
        The smallest difference. The largest absolute value of n elements is then approximately ``n * apart / 2``.
    dtype : dtype
        A float type.

    Returns
    -------
    strategy
        It draws arrays of `dtype`.

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
    """Draw integers from 0 to `num_embeddings` - 1, as inputs of an Embedding. Repeated ids are common.

    Parameters
    ----------
    shape : tuple of int, or strategy
    num_embeddings : int

    Returns
    -------
    strategy
        It draws int64 arrays.

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
    """Draw class labels for a cross-entropy.

    Parameters
    ----------
    shape : tuple of int, or strategy
        The shape of the logits without their last axis.
    num_classes : int
    ignore_index : int, optional
        Replaces some labels, but never all of them: the mean over no labels is undefined.

    Returns
    -------
    strategy
        It draws int64 arrays.

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
    """Draw arrays whose last axis sums to 1, for soft targets. With ten classes or fewer, no value is below 0.01.

    Parameters
    ----------
    shape : tuple of int, or strategy
    dtype : dtype
        A float type.

    Returns
    -------
    strategy
        It draws arrays of `dtype`.

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
    """Return 100 as a scalar with the given dtype. A division by it keeps the dtype."""
    return np.dtype(dtype).type(100)
