"""SlopeAdapter: an elementwise function and its derivative, such as ``(sigmoid, sigmoid_prime)``."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any

import numpy as np

from ..nested import attribute_of, is_array, is_float
from ..snapshot import Snapshot, equal_arrays
from .base import Adapter
from .calls import is_gradient_argument, optional_names, required_names, returned_names
from .names import argument_names, function_name

OUTPUT_NAMES = ("y", "a", "s", "h", "out", "output", "outputs", "activation", "activated", "activations", "fx", "y_hat")
INPUT_NAMES = "x z x_ xs zs t u v w n in_ inp input inputs data".split()
SLOPE_METHODS = ("derivative", "deriv", "prime", "gradient", "grad", "df", "backward_derivative")


class SlopeAdapter(Adapter):
    """Two functions of one array: ``y = f(x)``, element by element, and ``f_prime(x)``, the derivatives dy_i/dx_i.

    Some derivatives take the output y instead of the input x, as ``sigmoid_derivative(a) = a * (1 - a)`` does. The
    adapter recognises such a derivative by the name of its argument. This name is a usual name of an output, such as
    ``a``, ``y`` or ``out``, and differs from the name that f has for its argument. If the name is neither a usual name
    of an output nor of an input, finite differences show whether the derivative takes x or y.

    Examples
    --------
    >>> adapter = SlopeAdapter(np.tanh, lambda a: 1 - a**2, (np.zeros(2),))
    >>> (y,) = adapter.run()
    >>> adapter.gradients((np.ones(2),)), adapter.notes
    ({'x': array([1., 1.])}, ['the derivative is called with the output of tanh, because its argument is named a'])
    """

    def __init__(self, function: Callable, slope: Callable, inputs: tuple):
        super().__init__([function, slope], function_name(function), inputs, function)
        self.function, self.slope = function, slope
        name = (required_names(slope) or [""])[0]
        is_input = name.lower() in INPUT_NAMES or name in argument_names(function, 1)
        self.of_output = takes_output(function, slope)
        if name and not is_input and not self.of_output:
            if fits_output_only(function, slope, self.inputs[0]):
                self.of_output = True
                self.add_note(
                    f"the derivative is called with the output of {self.title}: the name {name} does not show if it "
                    f"takes the input or the output, but only with the output it agrees with finite differences"
                )
        elif self.of_output:
            self.add_note(
                f"the derivative is called with the output of {self.title}, because its argument is named {name}"
            )

    def run(self) -> tuple:
        self.y = self.function(*self.inputs)
        return (self.y,)

    def gradients(self, dys: tuple) -> dict[str, Any]:
        slope = self.slope(self.y if self.of_output else self.inputs[0])
        if is_jacobian(slope, self.inputs[0]):
            self.add_note(f"{function_name(self.slope)} returns the Jacobian, so the checker multiplied it by dy")
            return self.match_to_inputs(dys[0] @ slope)
        return self.match_to_inputs(dys[0] * slope)


def is_jacobian(slope: Any, x: Any) -> bool:
    """Return True if x is a vector, and `slope` is the matrix of the derivatives dy_i/dx_j."""
    return is_array(slope) and x.ndim == 1 and slope.shape == x.shape * 2


def takes_output(function: Callable, slope: Callable) -> bool:
    """Return True if the argument of `slope` has the name of an output of `function`."""
    names = required_names(slope) or [""]
    if names[0] in argument_names(function, 1):
        return False
    return names[0].lower() in OUTPUT_NAMES or names[0] in returned_names(function)


FLAGS = ("deriv", "derivative", "prime", "derive", "grad", "diff")


def flagged_slope(function: Callable, inputs: tuple) -> Adapter | None:
    """Return the adapter for a function with a flag for its derivative, such as ``nonlin(x, deriv=True)``.

    Return None for any other function.

    The derivative may be a function of the input or of the output. Finite differences show which of the two it is.

    Examples
    --------
    >>> def nonlin(x, deriv=False):
    ...     return x * (1 - x) if deriv else 1 / (1 + np.exp(-x))
    >>> flagged_slope(nonlin, (np.linspace(-1, 1, 3),)).of_output
    True
    """
    flag = next((name for name in optional_names(function) if name in FLAGS), None)
    if flag is None or len(inputs) != 1 or not (is_array(inputs[0]) and is_float(inputs[0])):
        return None
    adapter = SlopeAdapter(function, functools.partial(function, **{flag: True}), inputs)
    adapter.of_output = fits_output_only(function, adapter.slope, inputs[0])
    adapter.notes = [f"{flag}=True was called with the {'output' if adapter.of_output else 'input'} of {adapter.title}"]
    return adapter


def fits_output_only(function: Callable, slope: Callable, x: Any) -> bool:
    """Return True if `slope` agrees with finite differences if it gets the output, but not if it gets the input.

    Examples
    --------
    >>> x = np.linspace(-1, 1, 3)
    >>> fits_output_only(np.tanh, lambda y: 1 - y**2, x), fits_output_only(np.sin, np.cos, x)
    (True, False)
    """
    before = Snapshot(function, slope)
    try:
        with np.errstate(all="ignore"):
            numeric = (function(x + 1e-4) - function(x - 1e-4)) / 2e-4
            of_input, of_output = (slope(v.copy()) for v in (x, function(x.copy())))
            return bool(np.allclose(of_output, numeric, rtol=1e-3)) and not np.allclose(of_input, numeric)
    except Exception:  # the check runs this code again and reports the error
        return False
    finally:
        before.restore()


def is_slope(function: Callable, slope: Callable, inputs: tuple, by_name: bool = True) -> bool:
    """Return True if `slope` is the derivative of an elementwise function, and False if it is a backward.

    A derivative takes x or y. A backward takes dy, and is linear: if dy is twice as large, the result is twice as large
    too. So `slope` is a derivative if its argument has the name of an input or output, or if `slope` is not linear. If
    `by_name` is False, only the second rule is used. Then a `slope` that ignores its argument is not a derivative,
    because it may be a wrong backward that ignores dy.

    Examples
    --------
    >>> x = (np.linspace(-1, 1, 4),)
    >>> is_slope(lambda x: x**2, lambda x: 2 * x, x), is_slope(lambda x: 2 * x, lambda dout: 2 * dout, x)
    (True, False)
    """
    names = required_names(slope)
    if len(inputs) != 1 or not (is_array(inputs[0]) and is_float(inputs[0]) and inputs[0].ndim):
        return False
    if names is not None and (len(names) != 1 or is_gradient_argument(names[0])):
        return False
    before, x = Snapshot(function, slope, inputs), inputs[0]
    try:
        with np.errstate(all="ignore"):
            y, once, twice = function(x.copy()), slope(x.copy()), slope(2 * x)
            elsewhere = once if by_name else slope(1 - 2 * x)
        if not (is_array(y) and is_array(once) and y.shape == x.shape):
            return False
        if once.shape != x.shape and not is_jacobian(once, x):
            return False
        same_name = names is not None and names == argument_names(function, 1)
        if by_name and (same_name or takes_output(function, slope)):
            return True
        if not by_name and equal_arrays(np.asarray(elsewhere), np.asarray(once)):
            return False
        return not equal_arrays(np.asarray(twice), 2 * np.asarray(once))
    except Exception:  # the check runs this code again and reports the error
        return False
    finally:
        before.restore()


def slope_methods(instance: Any, forward: Callable, backward: Callable | None) -> tuple[Callable, Callable] | None:
    """Return forward and backward for an activation object that returns the derivatives dy_i/dx_i.

    The derivative comes from a backward without arguments, ``dAdZ = layer.backward()``, or from a method ``derivative``
    or ``prime`` if the object has no backward. Return None for other objects.

    Examples
    --------
    >>> class Square:
    ...     def forward(self, Z):
    ...         self.Z = Z
    ...         return Z**2
    ...     def derivative(self):
    ...         return 2 * self.Z
    >>> layer = Square()
    >>> forward, backward = slope_methods(layer, layer.forward, None)
    >>> forward(3.0), backward(10.0)
    (9.0, 60.0)
    """
    method = backward or next((m for n in SLOPE_METHODS if callable(m := attribute_of(instance, n))), None)
    names = None if method is None else required_names(method)
    if names is None or len(names) > (backward is None):
        return None
    of_output = bool(names) and takes_output(forward, method)
    kept: dict[str, Any] = {}

    @functools.wraps(forward)
    def keeping(*inputs: Any) -> Any:
        kept["y"] = forward(*inputs)
        kept["x"] = inputs[0]
        return kept["y"]

    def multiplied(dy: Any) -> Any:
        slope = method(kept["y" if of_output else "x"]) if names else method()
        # If forward returns one loss for each sample, dy has one element for each sample, but slope has more.
        if np.ndim(slope) > np.ndim(dy) > 0 and slope.shape[: dy.ndim] == dy.shape:
            dy = dy.reshape(dy.shape + (1,) * (slope.ndim - dy.ndim))
        return dy * slope

    return keeping, multiplied
