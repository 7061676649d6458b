"""ObjectAdapter and LossObjectAdapter: objects that are not Modules."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from ..gradient_names import gradient_key, gradient_of
from ..nested import attribute_of, float_leaves, has_attribute, has_no_axes, is_array, is_float, leaves
from .base import NO_CACHE, Adapter, clear_gradient, is_transpose
from .calls import is_cache_name, is_gradient_argument, optional_names, required_names
from .names import needs_argument
from .outputs import losses_of


class ObjectAdapter(Adapter):
    """An object with forward and backward, as in the book "Deep Learning from Scratch".

    ``params`` and ``grads`` may be dictionaries or lists. If an object keeps its parameters in another way, pairing.py
    runs it once and finds them.

    Parameters
    ----------
    instance : object
    inputs : tuple
    forward, backward : callable, optional
        The methods to use. The default of `forward` is the first of ``forward``, ``predict`` and ``__call__`` that the
        object has. The default of `backward` is ``backward``.
    """

    inputs_are_data = True

    def __init__(self, instance: Any, inputs: tuple, forward: Callable | None = None, backward: Callable | None = None):
        self.instance = instance
        self.forward_method = forward or next(
            getattr(instance, n) for n in ("forward", "predict", "__call__") if has_attribute(instance, n)
        )
        self.backward_method = self.returning = backward or instance.backward
        self._list_names: dict[int, str] = {}  # the names are found once, because backward may replace the arrays
        super().__init__([instance], type(instance).__name__, inputs, self.forward_method)

    def _pairs(self) -> list[tuple[str, Any, Any]]:
        """Return the name, the array and the gradients of each array in ``params``.

        The gradients are a list. The list has two gradients if ``params`` contains an array twice (for example, a
        shared embedding), or contains an array and the transpose of this array.
        """
        params, grads = attribute_of(self.instance, "params"), attribute_of(self.instance, "grads")
        if isinstance(params, dict) and isinstance(grads, dict):
            keys = [(str(k), v, gradient_key(k, grads)) for k, v in params.items()]
            listed = [(name, v, grads.get(key) if key is not None else None) for name, v, key in keys]
        elif isinstance(params, (list, tuple)) and isinstance(grads, (list, tuple)):
            own = {id(v): k for k, v in attribute_of(self.instance, "__dict__", {}).items()}
            for i, v in enumerate(params):
                self._list_names.setdefault(i, own.get(id(v), f"params[{i}]"))
            listed = [(self._list_names[i], v, grads[i] if i < len(grads) else None) for i, v in enumerate(params)]
        else:
            return []
        found: list[tuple[str, Any, list]] = []
        for name, array, gradient in listed:
            if not is_array(array):
                continue
            first = next((item for item in found if item[1] is array or is_transpose(item[1], array)), None)
            if first is None:
                found.append((name, array, [gradient]))
            elif not any(gradient is g for g in first[2]):
                first[2].append(gradient.T if first[1] is not array and is_array(gradient) else gradient)
        return found

    def parameters(self) -> dict[str, Any]:
        return {name: array for name, array, _ in self._pairs() if is_float(array)}

    def complex_parameters(self) -> dict[str, Any]:
        return {name: array for name, array, _ in self._pairs()}

    def stored_gradients(self) -> dict[str, Any]:
        """Return the gradients that the object keeps after backward, by the names of the parameters."""
        found: dict[str, Any] = {}
        for name, array, gradients in self._pairs():
            if is_float(array):
                given = [g for g in gradients if g is not None]
                if len(given) > 1:
                    self.add_note(f"{name} is listed {len(gradients)} times, so the checker added its gradients")
                found[name] = sum(given[1:], given[0]) if given else None
        return found

    def cached(self) -> Any:
        if self.cache is not NO_CACHE:
            return self.cache
        own = {id(a) for a in (*self.parameters().values(), *float_leaves(attribute_of(self.instance, "grads", ())))}
        held = attribute_of(self.instance, "__dict__", {})
        return [
            v
            for k, v in held.items()
            if id(v) not in own and k != "grads" and not any(n in held for n in gradient_of(k))
        ]

    def run(self) -> tuple:
        result = self.forward_method(*self.inputs)
        self.cache, self.used, self.left_out, self.packs_dys = NO_CACHE, None, (), False
        if not isinstance(result, tuple):
            return (result,)
        if len(result) > 1 and self._returns_cache(result):
            self.returns_cache = True
            *ys, self.cache = result
            return self._outputs_used(tuple(ys))
        return self._outputs_used(result)

    def _outputs_used(self, ys: tuple) -> tuple:
        """Return the outputs that are checked: all outputs, if backward can take a gradient for each output."""
        names, options = required_names(self.backward_method), optional_names(self.backward_method)
        self.packs_dys = self.takes_tuple_of(self.backward_method, len(ys))
        if self.packs_dys or names is None or hasattr(ys, "_fields"):
            return ys
        count = len(names) - (self.cache is not NO_CACHE)
        if count + len(options) >= len(ys):
            return ys
        taken = count + sum(map(is_gradient_argument, options))
        if not taken and not losses_of(ys):
            return ys
        self.used = self.choose_outputs(ys, taken)
        self.left_out = tuple(y for i, y in enumerate(ys) if i not in self.used.checked)
        return tuple(ys[i] for i in self.used.checked)

    def _returns_cache(self, result: tuple) -> bool:
        """Return True if the last value that forward returned is a cache, and backward has an argument for it."""
        names = required_names(self.backward_method) or []
        if len(names) > len(result) or hasattr(result, "_fields"):
            return False
        if any(map(is_cache_name, names)):
            return True
        if len(names) < len(result) or is_gradient_argument(names[-1]):
            return False
        inputs = [id(a) for _, a in leaves("", self.inputs) if is_array(a)]
        return any(id(a) in inputs for _, a in leaves("", result[-1]))

    def call_backward(self, dys: tuple) -> Any:
        """Call backward with the gradients of the outputs, and the cache if forward has returned one."""
        dys = self.given_dys(dys)
        if self.cache is not NO_CACHE:
            names, options = required_names(self.backward_method) or [], optional_names(self.backward_method)
            dys = dys[: len(names) - 1 + len(options)]
            place = next((k for k, name in enumerate(names) if is_cache_name(name)), len(dys))
            return self.backward_method(*dys[:place], self.cache, *dys[place:])
        scalar = not dys or len(dys) == 1 and has_no_axes(dys[0])
        if scalar and not needs_argument(self.backward_method):
            return self.backward_method()
        return self.backward_method(*dys)

    def gradients(self, dys: tuple) -> dict[str, Any]:
        arrays = self.arrays()
        for _, _, gradients in self._pairs():
            for gradient in gradients:
                clear_gradient(gradient, arrays)
        result = self.call_backward(dys)
        stored = self.stored_gradients()
        if result is None and any(g is not None for g in stored.values()):
            # The first layer of a network may return None, because nothing needs the gradient of its input.
            self.surplus, self.missing = (), ()
            return stored
        return {**stored, **self.match_to_inputs(result)}


class LossObjectAdapter(ObjectAdapter):
    """An object whose ``loss(x, t)`` returns (loss, grads), or whose ``gradient(x, t)`` returns the gradients."""

    inputs_are_data = False

    def __init__(self, instance: Any, inputs: tuple):
        self.instance = instance
        self.forward_method = self.returning = instance.loss
        self._list_names = {}
        Adapter.__init__(self, [instance], type(instance).__name__, inputs, instance.loss)

    def run(self) -> tuple:
        result = self.instance.loss(*self.inputs)
        self.given = result[1] if isinstance(result, tuple) else None
        return (result[0] if isinstance(result, tuple) else result,)

    def gradients(self, dys: tuple) -> dict[str, Any]:
        given = self.given if self.given is not None else self.instance.gradient(*self.inputs)
        return self.match_to_inputs(given)
