"""PairAdapter and ValueAndGradientAdapter: plain functions."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from ..nested import has_no_axes
from .base import NO_CACHE, Adapter
from .names import function_name, positional_count


class PairAdapter(Adapter):
    """Two functions: ``out, cache = forward(x, w, b)`` and ``dx, dw, db = backward(dout, cache)``.

    Without a cache, backward is called as ``backward(dout, x, w, b)`` or ``backward(dout)``; for a function that
    returns one number, as ``backward(x, w, b)``.

    Examples
    --------
    >>> import numpy as np
    >>> adapter = PairAdapter(lambda x: (2 * x, None), lambda dout, cache: 2 * dout, (np.ones(3),))
    >>> (y,) = adapter.run()
    >>> adapter.gradients((np.ones(3),))
    {'x': array([2., 2., 2.])}
    """

    returns_cache = True

    def __init__(self, forward: Callable, backward: Callable, inputs: tuple):
        super().__init__([forward, backward], function_name(forward), inputs, forward)
        self.forward, self.backward = forward, backward

    def run(self) -> tuple:
        result = self.forward(*self.inputs)
        if isinstance(result, tuple) and len(result) > 1:
            *ys, self.cache = result
            return tuple(ys)
        self.cache = NO_CACHE
        return (result,)

    def cached(self) -> Any:
        return self.cache if self.cache is not NO_CACHE and not callable(self.cache) else ()

    def gradients(self, dys: tuple) -> dict[str, Any]:
        if self.cache is not NO_CACHE:
            return self.match_to_inputs(self.backward(*dys, self.cache))
        count, scalar = positional_count(self.backward), has_no_axes(dys[0])
        if scalar and count in (len(self.inputs), None):
            return self.match_to_inputs(self.backward(*self.inputs), scalar=True)
        if count == 1:
            return self.match_to_inputs(self.backward(*dys))
        return self.match_to_inputs(self.backward(*dys, *self.inputs))


class ValueAndGradientAdapter(Adapter):
    """One function that returns (loss, gradients), as CS231n's losses do, or (output, backward function).

    Examples
    --------
    >>> import numpy as np
    >>> adapter = ValueAndGradientAdapter(lambda x: ((x**2).sum(), 2 * x), (np.ones(3),))
    >>> (loss,) = adapter.run()
    >>> adapter.gradients((1.0,))
    {'x': array([2., 2., 2.])}
    """

    def __init__(self, function: Callable, inputs: tuple):
        super().__init__([function], function_name(function), inputs, function)
        self.function = function

    def run(self) -> tuple:
        result = self.function(*self.inputs)
        if not isinstance(result, tuple) or len(result) < 2:
            raise TypeError(
                f"{self.title} must return (loss, gradient) or (output, backward function), got "
                f"{type(result).__name__}. If value and gradient are two functions, give the pair (f, gradient_of_f)"
            )
        y, *rest = result
        self.rest = rest[0] if len(rest) == 1 else tuple(rest)
        return (y,)

    def gradients(self, dys: tuple) -> dict[str, Any]:
        if callable(self.rest):
            return self.match_to_inputs(self.rest(*dys))
        return self.match_to_inputs(self.rest, scalar=True)
