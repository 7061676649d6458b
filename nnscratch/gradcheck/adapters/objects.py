"""ObjectAdapter and LossObjectAdapter: objects that are not Modules."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from ... import backend
from ..nested import float_leaves, has_no_axes, is_array, is_float, map_leaves
from ..snapshot import Snapshot, equal_arrays
from .base import Adapter, copy_array
from .names import gradient_names, is_gradient_name, needs_argument


class ObjectAdapter(Adapter):
    """An object with forward and backward, as in the book "Deep Learning from Scratch".

    ``params`` and ``grads`` may be dictionaries or lists. Without ``params``, forward and backward are run once before
    the check. A float array that forward reads and does not change is then a parameter if backward leaves a gradient
    under one of the usual names (`gradient_names`), or if backward returns a gradient for it. Returned gradients come
    after those of the inputs, in the order in which the object's arrays were set.

    Parameters
    ----------
    instance : object
    inputs : tuple
    forward, backward : callable, optional
        Methods to use in place of ``forward`` (or ``predict``, or ``__call__``) and ``backward``.
    """

    def __init__(self, instance: Any, inputs: tuple, forward: Callable | None = None, backward: Callable | None = None):
        self.instance = instance
        self.forward_method = forward or next(
            getattr(instance, n) for n in ("forward", "predict", "__call__") if hasattr(instance, n)
        )
        self.backward_method = backward or instance.backward
        super().__init__([instance], type(instance).__name__, inputs, self.forward_method)
        self._names: dict[str, str] = {}  # parameter -> attribute of its gradient
        self._returned: list[str] = []  # the parameters whose gradients backward returns
        if not has_items(getattr(instance, "params", None)):
            before = Snapshot(instance, self.inputs)
            try:
                self._find_parameters(float_attributes(instance), before)
            except Exception:  # the check itself meets the same error and reports it
                pass
            finally:
                before.restore()

    def _find_parameters(self, held: dict[str, Any], before: Snapshot) -> None:
        """Run once and find out which of the arrays in `held` are parameters."""
        copies = {name: array.copy() for name, array in held.items()}
        ys = self.run()
        now = float_attributes(self.instance)
        read = [k for k, a in held.items() if now.get(k) is a and bool((a == copies[k]).all())]
        dys = map_leaves(lambda y: backend.array_module(y).ones_like(y) if is_array(y) else 1.0, ys)
        result = self._call_backward(dys)
        grads, attributes = getattr(self.instance, "grads", None), vars(self.instance)
        for name in read:
            for gradient in gradient_names(name):
                if (isinstance(grads, dict) and gradient in grads) or (gradient != name and gradient in attributes):
                    self._names[name] = gradient
                    break
        rest = [k for k in read if k not in self._names and not is_gradient_name(k, attributes)]
        before.restore()
        ys = map_leaves(copy_array, self.run())
        without_gradient = [name for name in rest if self._affects_outputs(held[name], ys, before)]
        surplus = len(result) - len(self.inputs) if isinstance(result, tuple) else 0
        if surplus > 0 and surplus in (len(rest), len(without_gradient)):
            self._returned = rest if surplus == len(rest) else without_gradient
            without_gradient = []
        elif surplus > 0:
            self.notes.append(
                f"backward returns {len(result)} gradients for {len(self.inputs)} input(s). It is not known which "
                f"arrays the others belong to, so they were not checked: keep them in self.dW, or in self.params and "
                f"self.grads"
            )
        if without_gradient:
            self.notes.append(
                f"{', '.join(without_gradient)}: forward uses it, but no gradient of it was found, so it was not "
                f"checked (looked for params and grads, {', '.join(gradient_names(without_gradient[0])[1:])})"
            )

    def _affects_outputs(self, array: Any, ys: tuple, before: Snapshot) -> bool:
        """Return True if a change of `array` changes the outputs `ys`."""
        before.restore()
        array += 0.1
        now, then = float_leaves(self.run()), float_leaves(ys)
        before.restore()
        return any(not equal_arrays(a, b) if is_array(a) else a != b for a, b in zip(now, then, strict=True))

    def parameters(self) -> dict[str, Any]:
        params = getattr(self.instance, "params", None)
        if isinstance(params, dict) and params:
            return {str(k): v for k, v in params.items() if is_array(v) and is_float(v)}
        if isinstance(params, (list, tuple)) and params:
            own = {id(v): k for k, v in vars(self.instance).items() if is_array(v)}
            return {own.get(id(v), f"params[{i}]"): v for i, v in enumerate(params) if is_array(v) and is_float(v)}
        return {name: getattr(self.instance, name) for name in [*self._names, *self._returned]}

    def complex_parameters(self) -> dict[str, Any]:
        params = getattr(self.instance, "params", None)
        if isinstance(params, dict) and params:
            return {str(k): v for k, v in params.items()}
        if isinstance(params, (list, tuple)) and params:
            own = {id(v): k for k, v in vars(self.instance).items() if is_array(v)}
            return {own.get(id(v), f"params[{i}]"): v for i, v in enumerate(params)}
        return self.parameters()

    def stored_gradients(self) -> dict[str, Any]:
        """Return the gradients that the object keeps after backward, by the names of the parameters."""
        params, grads = getattr(self.instance, "params", None), getattr(self.instance, "grads", None)
        if isinstance(params, dict) and params:
            grads = grads if isinstance(grads, dict) else {}
            return {str(k): next((grads[n] for n in gradient_names(k) if n in grads), None) for k in params}
        if isinstance(params, (list, tuple)) and params:
            return dict(zip(self.parameters(), grads if grads is not None else (), strict=False))
        grads = grads if isinstance(grads, dict) else {}
        return {k: grads.get(name, getattr(self.instance, name, None)) for k, name in self._names.items()}

    def cached(self) -> Any:
        own = {id(a) for a in (*self.parameters().values(), *float_leaves(getattr(self.instance, "grads", ())))}
        held = getattr(self.instance, "__dict__", {})
        return [v for k, v in held.items() if id(v) not in own and k != "grads" and not is_gradient_name(k, held)]

    def run(self) -> tuple:
        y = self.forward_method(*self.inputs)
        return y if isinstance(y, tuple) else (y,)

    def _call_backward(self, dys: tuple) -> Any:
        scalar = len(dys) == 1 and has_no_axes(dys[0])
        if scalar and not needs_argument(self.backward_method):
            return self.backward_method()
        return self.backward_method(*dys)

    def gradients(self, dys: tuple) -> dict[str, Any]:
        result = self._call_backward(dys)
        of_parameters: dict[str, Any] = {}
        if self._returned and isinstance(result, tuple) and len(result) == len(self.inputs) + len(self._returned):
            of_parameters = dict(zip(self._returned, result[len(self.inputs) :], strict=True))
            result = result[: len(self.inputs)]
        scalar = len(dys) == 1 and has_no_axes(dys[0])
        return {**self.stored_gradients(), **of_parameters, **self.match_to_inputs(result, scalar)}


class LossObjectAdapter(ObjectAdapter):
    """An object whose ``loss(x, t)`` returns (loss, grads), or whose ``gradient(x, t)`` returns the gradients."""

    def __init__(self, instance: Any, inputs: tuple):
        self.instance, self.forward_method = instance, instance.loss
        self._names, self._returned = {}, []
        Adapter.__init__(self, [instance], type(instance).__name__, inputs, instance.loss)

    def run(self) -> tuple:
        result = self.instance.loss(*self.inputs)
        self.grads = result[1] if isinstance(result, tuple) else None
        return (result[0] if isinstance(result, tuple) else result,)

    def gradients(self, dys: tuple) -> dict[str, Any]:
        grads = self.grads if self.grads is not None else self.instance.gradient(*self.inputs)
        names = self.parameters()
        return {name: next((grads[n] for n in gradient_names(name) if n in grads), None) for name in names}


def has_items(params: Any) -> bool:
    """Return True for a dictionary, list or tuple that is not empty."""
    return isinstance(params, (dict, list, tuple)) and len(params) > 0


def float_attributes(instance: Any) -> dict[str, Any]:
    """Return the float arrays among an object's attributes by name."""
    return {k: v for k, v in getattr(instance, "__dict__", {}).items() if is_array(v) and is_float(v)}
