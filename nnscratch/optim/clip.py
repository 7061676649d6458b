"""Gradient clipping: shorten a gradient that is too long, and keep its direction.

    norm = sqrt(sum over all parameters of sum(g^2))
    g    = g * max_norm / norm       if norm > max_norm

Clipping by value is simpler: it limits each element separately, which changes the direction too.

    g    = min(max(g, -bound), bound)

Reference: Pascanu, Mikolov and Bengio (2013), "On the difficulty of training recurrent neural networks",
arXiv:1211.5063.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence

from .. import backend
from ..backend import Array
from ..checks import at_least
from ..parameter import Parameter
from .kernels import scale
from .param_groups import as_parameters


def clip_grad_norm_(parameters: Iterable[Parameter], max_norm: float) -> float:
    """Scale all gradients by one factor, in place, so that their joint norm is at most `max_norm`.

    Parameters
    ----------
    parameters : iterable of Parameter
    max_norm : float
        0 or more. With ``math.inf`` the gradients stay the same, and only the norm is computed.

    Returns
    -------
    float
        The joint norm before clipping.

    Raises
    ------
    FloatingPointError
        The norm is not finite. The gradients have not changed.

    Notes
    -----
    PyTorch divides by ``norm + 1e-6``, so its clipped norm is slightly below `max_norm`. Here the clipped norm equals
    `max_norm`.

    Examples
    --------
    >>> import numpy as np, nnscratch as nn
    >>> w = nn.Parameter(np.zeros(2))
    >>> w.grad[:] = 3.0, 4.0
    >>> nn.optim.clip_grad_norm_([w], 1.0)
    5.0
    >>> print(w.grad)
    [0.6 0.8]
    """
    parameters = as_parameters(parameters)
    if max_norm != math.inf:
        at_least("max_norm", max_norm, 0)
    squares = backend.to_floats(backend.sums_of_squares(gradients_of(parameters)))
    return clip_by_squares(parameters, squares, max_norm)


def clip_by_squares(parameters: Sequence[Parameter], squares: Sequence[float], max_norm: float) -> float:
    """Clip as `clip_grad_norm_` does, and return the norm.

    `squares` is the result of ``backend.sums_of_squares`` for the gradients.
    """
    norm = math.sqrt(sum(squares))
    if not math.isfinite(norm):
        each = [sum(backend.to_floats(backend.sums_of_squares([g]))) for g in gradients_of(parameters)]
        first = next((k for k, square in enumerate(each) if not math.isfinite(square)), 0)
        raise FloatingPointError(
            f"the gradient's norm is {norm}: of {len(each)} gradients, the first that is not finite belongs to "
            f"parameter {first}, {learned(parameters)[first]!r}"
        )
    if norm > max_norm:
        gradients = gradients_of(parameters)
        for g in [gradients] if backend.launch_bound(gradients[0]) else gradients:
            scale(max_norm / norm, g)
    return norm


def gradients_of(parameters: Sequence[Parameter]) -> list[Array]:
    """Return, for each parameter that is not frozen, the part of its gradient that may be nonzero.

    The arrays share the gradients' memory.
    """
    return [values for _, values in (parameter.nonzero_rows() for parameter in learned(parameters))]


def learned(parameters: Iterable[Parameter]) -> list[Parameter]:
    """Return the parameters that are not frozen."""
    return [parameter for parameter in parameters if parameter.requires_grad]


def clip_grad_value_(parameters: Iterable[Parameter], clip_value: float) -> None:
    """Limit every element of every gradient, in place, to [-clip_value, clip_value].

    NaN stays NaN. Use `clip_grad_norm_` to detect NaN.

    Parameters
    ----------
    parameters : iterable of Parameter
    clip_value : float
        0 or more.

    Examples
    --------
    >>> import numpy as np, nnscratch as nn
    >>> w = nn.Parameter(np.zeros(3))
    >>> w.grad[:] = 3.0, -4.0, 0.5
    >>> nn.optim.clip_grad_value_([w], 1.0)
    >>> print(w.grad)
    [ 1.  -1.   0.5]
    """
    parameters, bound = as_parameters(parameters), at_least("clip_value", clip_value, 0)
    for p in learned(parameters):
        backend.array_module(p.grad).clip(p.grad, -bound, bound, out=p.grad)
