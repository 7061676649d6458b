"""Weight initialisers: the distributions from which the first weights are drawn.

For y = W x with W of shape (out, in), inputs of variance 1 and independent weights, Var(y) = in * Var(W). So weights
of variance 1/in keep the variance of the signal in the forward pass, and weights of variance 1/out keep the variance
of the gradient in the backward pass. Each initialiser takes ``rng`` and returns a float32 NumPy array.

One thread draws the weights, one after another, from one generator. So a seed gives the same weights on every device.
For the 124 million weights of a GPT-2, this takes about 8 seconds of processor time. `nn.load` draws no weights.

References
----------
Glorot and Bengio (2010), "Understanding the difficulty of training deep feedforward neural networks",
https://proceedings.mlr.press/v9/glorot10a.html.
He, Zhang, Ren and Sun (2015), "Delving deep into rectifiers", arXiv:1502.01852.
Saxe, McClelland and Ganguli (2014), "Exact solutions to the nonlinear dynamics of learning in deep linear neural
networks", arXiv:1312.6120.
"""

from __future__ import annotations

import contextlib
import contextvars
import math
from collections.abc import Callable, Iterator

import numpy as np

from . import backend
from .checks import at_least, check_instance, finite, short
from .module import Module

LARGEST = 1e37  # so that no drawn value overflows in float32
RNG = None | int | np.random.Generator

_values_left: contextvars.ContextVar[int | None] = contextvars.ContextVar("values_left", default=None)


@contextlib.contextmanager
def without_drawing(most: int) -> Iterator[None]:
    """Make `uniform` and `normal` return zeros inside a ``with`` block.

    In the block, the two functions return at most `most` values in total. For more values, they raise ValueError.
    ``nn.load`` builds models in such a block, because it replaces all weights anyway. The operating system allocates
    the memory of zeros only when NumPy writes to it. So a file that describes a model that is too large uses no memory.

    Examples
    --------
    >>> with without_drawing(100):
    ...     print(normal((2, 3)))
    [[0. 0. 0.]
     [0. 0. 0.]]
    """
    token = _values_left.set(most)
    try:
        yield
    finally:
        _values_left.reset(token)


def _undrawn(shape: tuple[int, ...]) -> np.ndarray | None:
    """Return zeros inside a `without_drawing` block, else None."""
    left = _values_left.get()
    if left is None:
        return None
    left -= math.prod(shape)
    if left < 0:
        raise ValueError("the model has more values than the file")
    _values_left.set(left)
    return np.zeros(shape, dtype=np.float32)


def _check_shape(shape: tuple[int, ...]) -> None:
    """Raise unless `shape` is a tuple or list of integers of 0 or more."""
    sizes = isinstance(shape, (tuple, list)) and all(isinstance(n, (int, np.integer)) and n >= 0 for n in shape)
    if not sizes:
        raise ValueError(f"shape must be a tuple of integers of 0 or more, got {short(shape)}")


def fans(shape: tuple[int, ...]) -> tuple[int, int]:
    """Return (fan_in, fan_out) of a weight of shape (out, in, ...).

    Each output is a sum over fan_in inputs, and each input contributes to fan_out outputs.

    Examples
    --------
    >>> fans((8, 4, 3, 3))                                              # a 3 x 3 convolution from 4 to 8 channels
    (36, 72)
    """
    _check_shape(shape)
    if len(shape) < 2 or 0 in shape:
        raise ValueError(
            f"fan-in and fan-out need a weight of at least two axes, (out, in, ...), none of them 0, got shape {shape}"
        )
    window = math.prod(shape[2:])
    return shape[1] * window, shape[0] * window


def uniform(shape: tuple[int, ...], bound: float, rng: RNG = None) -> np.ndarray:
    """Draw uniformly from [-bound, bound). The variance is bound**2 / 3.

    Examples
    --------
    >>> print(uniform((2, 3), 0.5, rng=0).round(2))
    [[ 0.14 -0.23 -0.46]
     [-0.48  0.31  0.41]]
    """
    at_least("bound", bound, 0, below=LARGEST)
    _check_shape(shape)
    if (zeros := _undrawn(shape)) is not None:
        return zeros
    return backend.generator(rng).uniform(-bound, bound, shape).astype(np.float32)


def normal(shape: tuple[int, ...], std: float = 1.0, rng: RNG = None) -> np.ndarray:
    """Draw from the normal distribution with mean 0 and standard deviation `std`.

    Examples
    --------
    >>> print(normal((2, 3), 0.1, rng=0).round(2))
    [[ 0.01 -0.01  0.06]
     [ 0.01 -0.05  0.04]]
    """
    at_least("std", std, 0, below=LARGEST)
    _check_shape(shape)
    if (zeros := _undrawn(shape)) is not None:
        return zeros
    return (std * backend.generator(rng).standard_normal(shape)).astype(np.float32)


def xavier_uniform(shape: tuple[int, ...], rng: RNG = None) -> np.ndarray:
    """Draw uniformly with variance 2 / (fan_in + fan_out), for tanh and linear units.

    The variance is a compromise: 1 / fan_in would suit the forward pass, and 1 / fan_out the backward pass.

    Examples
    --------
    >>> round(float(xavier_uniform((300, 100), rng=0).var() * (300 + 100) / 2), 2)
    0.99
    """
    return uniform(shape, math.sqrt(6 / sum(fans(shape))), rng)


def xavier_normal(shape: tuple[int, ...], rng: RNG = None) -> np.ndarray:
    """Draw from a normal distribution with the variance of `xavier_uniform`.

    Examples
    --------
    >>> round(float(xavier_normal((300, 100), rng=0).var() * (300 + 100) / 2), 2)
    0.99
    """
    return normal(shape, math.sqrt(2 / sum(fans(shape))), rng)


def he_uniform(shape: tuple[int, ...], rng: RNG = None) -> np.ndarray:
    """Draw uniformly with variance 2 / fan_in, for ReLU.

    A ReLU sets half of its inputs to zero. The factor 2 compensates for this.

    Examples
    --------
    >>> round(float(he_uniform((300, 100), rng=0).var() * 100 / 2), 2)
    0.99
    """
    return uniform(shape, math.sqrt(6 / fans(shape)[0]), rng)


def he_normal(shape: tuple[int, ...], rng: RNG = None) -> np.ndarray:
    """Draw from a normal distribution with the variance of `he_uniform`.

    Examples
    --------
    >>> round(float(he_normal((300, 100), rng=0).var() * 100 / 2), 2)
    0.99
    """
    return normal(shape, math.sqrt(2 / fans(shape)[0]), rng)


def orthogonal(shape: tuple[int, int], rng: RNG = None) -> np.ndarray:
    """Draw a matrix with orthonormal rows, or orthonormal columns if it has fewer columns than rows.

    A square orthogonal matrix does not change the length of a vector. As a recurrent weight, it keeps the size of the
    signal through many steps.

    Examples
    --------
    >>> Q = orthogonal((3, 3), rng=0)
    >>> bool(np.allclose(Q @ Q.T, np.eye(3), atol=1e-6))
    True
    """
    _check_shape(shape)
    if len(shape) != 2:
        raise ValueError(f"orthogonal needs the shape of a matrix, (rows, columns), got {shape}")
    rows, columns = shape
    a = backend.generator(rng).standard_normal((max(shape), min(shape)))
    q, r = np.linalg.qr(a)
    q *= np.sign(np.diag(r))  # makes the distribution uniform over all orthogonal matrices (Mezzadri, 2007)
    return (q if rows >= columns else q.T).astype(np.float32)


def drawn(init: Callable[..., np.ndarray], shape: tuple[int, ...], rng: np.random.Generator) -> np.ndarray:
    """Return ``init(shape, rng=rng)`` as float32, or raise if `init` is not an initialiser."""
    if not callable(init):
        raise TypeError(f"init must be a function of (shape, rng), such as nn.init.he_normal, got {init!r}")
    values = init(shape, rng=rng)
    if getattr(values, "shape", None) != shape:
        raise ValueError(
            f"init must return an array of shape {shape}, but it returned {getattr(values, 'shape', values)!r}"
        )
    return values.astype(np.float32, copy=False)


def open_forget_gates(model: Module, value: float = 1.0) -> None:
    """Set the forget gates' biases of every LSTM and LSTMCell in `model`: b_ih to `value`, b_hh to 0.

    With a bias of 0, the forget gate of a new LSTM is sigmoid(0). So each step keeps half of the memory, and the
    gradient fades within a few steps. With a bias of 1, each step keeps sigmoid(1) = 73 % of the memory.

    Raises
    ------
    ValueError
        There is no LSTM in the model.

    References
    ----------
    Gers, Schmidhuber and Cummins (2000), "Learning to forget", doi:10.1162/089976600300015015; Jozefowicz, Zaremba and
    Sutskever (2015), "An empirical exploration of recurrent network architectures",
    https://proceedings.mlr.press/v37/jozefowicz15.html.

    Examples
    --------
    >>> import nnscratch as nn
    >>> lstm = nn.LSTM(2, 3, rng=0)
    >>> nn.init.open_forget_gates(lstm)
    >>> print(lstm.bias_ih_l0.data[3:6] + lstm.bias_hh_l0.data[3:6])
    [1. 1. 1.]
    """
    from .layers import LSTM, LSTMCell  # not at the top: the layers import this file

    finite("value", value)
    check_instance("open_forget_gates", "model", model, Module)
    found = [module for module in model.modules() if isinstance(module, (LSTM, LSTMCell))]
    if not found:
        raise ValueError(f"open_forget_gates: there is no LSTM or LSTMCell in this {type(model).__name__}")
    for module in found:
        for bias_ih, bias_hh in module.forget_gate_biases():
            bias_ih[...], bias_hh[...] = value, 0
