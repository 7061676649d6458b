"""PairAdapter and ValueAndGradientAdapter: plain functions."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from ..nested import float_leaves, has_no_axes, is_array, is_float, to_numpy
from ..snapshot import Snapshot
from .base import NO_CACHE, Adapter, copy_array
from .calls import (
    bind_arguments,
    defaults_of,
    gradients_taken,
    is_cache_name,
    is_gradient_argument,
    optional_names,
    required_names,
    returned_names,
)
from .matching import is_of_loss, shape_of
from .names import function_name
from .order import returned_gradient_names
from .outputs import UsedOutputs, losses_of
from .refusals import pair_refusal, value_and_gradient_refusal


class PairAdapter(Adapter):
    """Two functions: ``out, cache = forward(x, w, b)`` and ``dx, dw, db = backward(dout, cache)``.

    If forward returns no cache, backward may be ``backward(dout, x, w, b)`` or ``backward(dout)``. Forward returns no
    cache if backward takes the gradient of each of its values, as in ``a, b = split(x)`` and ``dx = split_backward(da,
    db)``, unless it multiplies by the last, as in ``tanh_backward(dy, d): dy * d``. If forward returns one number, or
    one loss for each element, backward may be ``backward(x, w, b)``. For other signatures, the adapter uses the names
    of the arguments (`bind_arguments`). An argument with the name of an input receives this input, as in
    ``backward_propagation(parameters, cache, X, Y)``. If forward ends with ``return out``, an argument with the name
    ``out`` receives the output.

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
        self.forward = forward
        self.backward = self.returning = backward
        self.backward_names = required_names(backward)
        self._optional_names = optional_names(backward)
        self.output_names = [n for n in returned_names(forward) if n not in self.input_names]
        self.outputs: tuple = ()
        # An argument with the name under which forward returns its last value is the cache. For example, d is a mask in
        # ``return x * d, d``, and so in ``backward(dy, d)``.
        last = next(reversed(returned_gradient_names(forward)), "")
        own = last not in self.input_names
        self._last_is_factor: bool | None = None
        self._names = self.backward_names and ["cache" if own and n == last else n for n in self.backward_names]

    def run(self) -> tuple:
        result = self.forward(*self.inputs)
        self.cache = NO_CACHE
        if isinstance(result, tuple) and len(result) > 1 and self._returns_losses(result):
            self.loss_count, ys = len(result), [result[self.loss_place]]
        elif isinstance(result, tuple) and len(result) > 1:
            *ys, self.cache = result
            if self._takes_every_output(result):
                ys, self.cache = list(result), NO_CACHE
        else:
            ys = [result]
        self.outputs = tuple(ys)
        self.used = self._used_outputs(self.outputs)
        self.left_out = tuple(y for i, y in enumerate(self.outputs) if i not in self.used.checked)
        return tuple(self.outputs[i] for i in self.used.checked)

    def _returns_losses(self, result: tuple) -> bool:
        """Return True for a cost such as ``loss, loss + penalty = cost(X, Y, reg)``, if backward takes only inputs."""
        names = self.backward_names
        floats = all(has_no_axes(value) and np.asarray(value).dtype.kind in "fc" for value in result)
        return floats and bool(names) and set(names or ()) <= set(self.input_names)

    def _takes_every_output(self, result: tuple) -> bool:
        """Return True if backward takes a gradient for each of the values that forward returned.

        In this case, the last value is an output, and not a cache. But if backward multiplies by the last value, this
        value is a cache, whatever its name in backward is.
        """
        free = [n for n in self._names or [] if n not in self.input_names]
        if len(free) == 1 and self.takes_tuple_of(self.backward, len(result)):
            returns_input = any(result[-1] is value for value in self.inputs)  # in return y, x, the cache is the input
            return not returns_input and len(float_leaves(result)) == len(result)
        if len(free) != len(result) or not all(map(is_gradient_argument, free)):
            return False
        return len(float_leaves(result)) == len(result) and not self._multiplies_by(result)

    def _multiplies_by(self, result: tuple) -> bool:
        """Return True if the last value is a factor, such as the local derivative d in ``backward(dy, d): dy * d``.

        Backward is linear in the gradients of all outputs together. So if the last value is an output, the result
        doubles only if all gradients double. If it is a factor, the result doubles if the other gradients double.
        """
        if self._last_is_factor is None and len(self._names or ()) == len(result):
            self._last_is_factor = False
            rng, before = np.random.default_rng(0), Snapshot(self.forward, self.backward)
            dys = [rng.standard_normal(shape_of(y)) for y in result[:-1]]

            def backward(factor: float, last: Any) -> np.ndarray:
                given = self.backward(*(factor * dy for dy in dys), last)
                return np.concatenate([np.ravel(to_numpy(g)) for g in float_leaves(given)])

            try:
                once, twice = backward(1.0, copy_array(result[-1])), backward(2.0, copy_array(result[-1]))
                other = backward(1.0, 2.0 * result[-1])
                self._last_is_factor = np.allclose(twice, 2 * once) and not np.allclose(other, once)
            except Exception:  # the check runs this code again and reports the error
                pass
            finally:
                before.restore()
        return bool(self._last_is_factor)

    def _used_outputs(self, ys: tuple) -> UsedOutputs:
        """Return the positions of the outputs to check, and of the outputs for which backward takes a gradient."""
        has_cache, names, count = self.cache is not NO_CACHE, self._names, len(ys)
        everything = UsedOutputs(range(count), range(count))
        self.packs_dys = self.takes_tuple_of(self.backward, count)
        if self.packs_dys:
            return everything
        if names is None or len(names) == count + has_cache:
            return everything
        taken = gradients_taken(names, self.input_names, self.output_names, has_cache)
        if not 0 <= taken < count:
            return everything
        if taken == 0 and not losses_of(ys):
            return everything
        return self.choose_outputs(ys, taken)

    def cached(self) -> Any:
        return self.cache if self.cache is not NO_CACHE and not callable(self.cache) else ()

    def gradients(self, dys: tuple) -> dict[str, Any]:
        return self.match_to_inputs(self._call_backward(dys))

    def _call_backward(self, dys: tuple) -> Any:
        """Call backward with the arguments that it takes, and return its result."""
        names, cache = self._names, self.cache
        dys = self.given_dys(dys)
        has_cache, scalar = cache is not NO_CACHE, not dys or has_no_axes(dys[0])
        by_name = {n: v for n, v in zip(self.input_names, self.inputs, strict=True)}
        optional = {n: by_name[n] for n in self._optional_names if n in by_name}
        if names is None:
            arguments = [*dys, cache] if has_cache else [*self.inputs] if scalar else [*dys, *self.inputs]
        elif has_cache and len(names) == len(dys) + 1 and not any(n in by_name or is_cache_name(n) for n in names[:-1]):
            arguments = [*dys, cache]
        elif not has_cache and scalar and len(names) == len(self.inputs) and not set(names) & set(by_name):
            arguments = [*self.inputs]
        elif not has_cache and not scalar and len(names) == len(dys):
            arguments = [*dys]
        else:
            outputs = dict(zip(self.output_names, self.outputs, strict=False))
            by_name |= defaults_of(self.forward, [n for n in names if n not in by_name])
            arguments = bind_arguments(names, by_name, dys, outputs, cache)
            if arguments is None:
                reason = f"forward takes {len(self.inputs)} input(s) and returns {len(self.outputs)} output(s)"
                reason += ", and a cache" if has_cache else ", and no cache"
                raise pair_refusal(self.forward, self.backward, self.input_names, reason)
        result = self.backward(*arguments, **optional)
        if not has_cache and not scalar and len(dys) == 1 and names and set(names) == set(self.input_names):
            if is_array(result) and result.shape == dys[0].shape and "back" not in function_name(self.backward):
                # For example, quantile(y, p, q) returns one loss for each element, and
                # quantile_gradient(y, p, q) returns the derivatives of these losses.
                self.add_note(f"{function_name(self.backward)} takes no dy, so the checker multiplied its result by dy")
                self.is_loss = any(map(is_of_loss, self.input_names))
                return dys[0] * result
        return result


class ValueAndGradientAdapter(Adapter):
    """One function that returns (loss, gradients), as CS231n's losses do, or (output, backward function).

    A dictionary of gradients may also come before the loss, as in deeplearning.ai's ``grads, cost = propagate(...)``.

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
        self.function = self.returning = function

    def run(self) -> tuple:
        result = self.function(*self.inputs)
        if not isinstance(result, tuple) or len(result) < 2:
            raise value_and_gradient_refusal(self.function, self.input_names, result)
        y, *rest = result
        before_loss = isinstance(y, (tuple, list, dict)) and is_float(rest[0]) and has_no_axes(rest[0])
        only_dict = isinstance(y, dict) and len(rest) == 1 and not isinstance(rest[0], dict) and not callable(rest[0])
        # The gradients may come first, as in grads, cost = propagate(w, b, X, Y).
        if before_loss or only_dict:
            y, rest = rest[0], [y, *rest[1:]]
        gradients = next((part for part in rest if isinstance(part, dict) and part), None)
        if len(rest) == 1:
            self.rest = rest[0]
        else:  # (loss, gradients, predictions), or (loss, dW, db)
            self.rest = tuple(rest) if gradients is None else gradients
        return (y,)

    def gradients(self, dys: tuple) -> dict[str, Any]:
        if callable(self.rest):
            return self.match_to_inputs(self.rest(*dys))
        return self.match_to_inputs(self.rest)
