"""ValueAdapter: code that computes with objects such as micrograd's ``Value``.

In this file, a value is an object with ``data``, ``grad`` and ``backward()``.
"""

from __future__ import annotations

import copy
from collections.abc import Callable
from types import FunctionType
from typing import Any

import numpy as np

from ...module import Module
from ..nested import attribute_of, has_attribute, is_array
from .base import Adapter
from .calls import defaults_of, optional_names, required_names
from .names import argument_names, function_name


def is_value(value: Any) -> bool:
    """Return True for an object with ``data``, ``grad`` and ``backward()``."""
    return (
        not isinstance(value, type)
        and has_attribute(value, "data")
        and has_attribute(value, "grad")
        and callable(attribute_of(value, "backward"))
        and (is_array(value.data) or isinstance(value.data, (int, float, np.number)))
    )


def values_in(nest: Any) -> list[Any]:
    """Return all values in `nest`, in order. `nest` is a value, or a list or tuple of values, lists and tuples."""
    if isinstance(nest, (list, tuple)):
        return [v for item in nest for v in values_in(item)]
    return [nest] if is_value(nest) else []


class ValueAdapter(Adapter):
    """A function of objects such as micrograd's ``Value``, or a model whose ``parameters()`` are such objects.

    For the checker, a list of n values is one array of shape (n,). Each forward pass makes new values for the inputs.
    The adapter calls ``backward`` of the output. If there are several outputs, it calls ``backward`` of their weighted
    sum.

    Examples
    --------
    >>> class Value:
    ...     def __init__(self, data, children=()):
    ...         self.data, self.grad, self._prev, self._backward = data, 0.0, children, lambda: None
    ...     def __mul__(self, other):
    ...         out = Value(self.data * other.data, (self, other))
    ...         def backward():
    ...             self.grad += other.data * out.grad
    ...             other.grad += self.data * out.grad
    ...         out._backward = backward
    ...         return out
    ...     def backward(self):
    ...         self.grad = 1.0
    ...         self._backward()
    >>> adapter = ValueAdapter(lambda a, b: a * b, (Value(2.0), Value(3.0)))
    >>> adapter.run(), adapter.gradients((1.0,))
    ((6.0,), {'a': array(3.), 'b': array(2.)})
    """

    def __init__(self, subject: Callable, inputs: tuple):
        arrays = tuple(data_of(value) if values_in(value) else value for value in inputs)
        function = subject if isinstance(subject, FunctionType) else type(subject).__call__
        super().__init__([], function_name(subject), arrays, function)
        if function is not subject:
            self.input_names = argument_names(function, len(inputs) + 1)[1:]
        self.subject, self.given = subject, inputs
        self.groups = parameter_groups(subject)
        self._own = {name: data_of(group) for name, group in self.groups.items()}

    def parameters(self) -> dict[str, Any]:
        return self._own

    def complex_parameters(self) -> dict[str, Any]:
        return {}  # the checker cannot use complex numbers, because the values store real numbers

    def run(self) -> tuple:
        return self._evaluate(None)[0]

    def gradients(self, dys: tuple) -> dict[str, Any]:
        return self._evaluate(dys)[1]

    def _evaluate(self, dys: tuple | None) -> tuple[tuple, dict[str, Any]]:
        """Run forward, and backward if `dys` are given. Return the outputs and the gradients."""
        held = [(v, v.data, v.grad) for group in self.groups.values() for v in values_in(group)]
        try:
            for name, group in self.groups.items():
                set_data(group, self._own[name])
            arguments, leaves = [], dict(self.groups)
            for name, given, array in zip(self.input_names, self.given, self.inputs, strict=True):
                arguments.append(new_leaves(given, array) if values_in(given) else array)
                if values_in(given):
                    leaves[name] = arguments[-1]
            outputs = values_in(self.subject(*arguments))
            if not outputs:
                raise TypeError(f"{self.title} must return a value with data, grad and backward(), or a list of them")
            data = tuple(v.data.copy() if is_array(v.data) else float(v.data) for v in outputs)
            if dys is None:
                return data, {}
            start_backward(outputs, dys)
            return data, {name: gradient_of(group) for name, group in leaves.items()}
        finally:
            for v, value, grad in held:
                v.data, v.grad = value, grad


def start_backward(outputs: list[Any], dys: tuple) -> None:
    """Run backward from the only output, or from the weighted sum of all outputs.

    If the only output has axes and its backward takes an argument, the argument is dy.
    """
    first = outputs[0]
    if len(outputs) == 1 and not np.ndim(first.data):
        first.backward()
    elif len(outputs) == 1 and takes_dy(first.backward):
        first.backward(dys[0])
    else:
        parts = [v * dy for v, dy in zip(outputs, dys, strict=True)]
        total = [part.sum() if np.ndim(part.data) else part for part in parts]
        for part in total[1:]:
            total[0] = total[0] + part
        total[0].backward()


def takes_dy(backward: Callable) -> bool:
    """Return True if the first argument of the method is a gradient, and not a flag such as ``retain_grad=False``.

    >>> takes_dy(lambda gradient=None: None), takes_dy(lambda retain_grad=False: None), takes_dy(lambda: None)
    (True, False, False)
    """
    options = optional_names(backward)
    if required_names(backward) or not options:
        return bool(required_names(backward))
    return not isinstance(defaults_of(backward, options)[options[0]], bool)


def first_parameter(subject: Any) -> Any:
    """Return the first item of ``subject.parameters()``, or None if `subject` has no such method."""
    if isinstance(subject, (type, Module)) or not callable(attribute_of(subject, "parameters")):
        return None
    try:
        return next(iter(subject.parameters()), None)
    except TypeError:
        return None


def parameter_groups(subject: Any) -> dict[str, Any]:
    """Return the values of ``subject.parameters()`` by name. All values of one list have the same name."""
    parameters = attribute_of(subject, "parameters")
    wanted = {id(v): v for v in values_in(list(parameters()))} if callable(parameters) else {}
    found: dict[str, Any] = {}
    queue, seen = [("", subject)], set()
    while queue and wanted:
        name, holder = queue.pop(0)
        if id(holder) in seen:
            continue
        seen.add(id(holder))
        items = enumerate(holder) if isinstance(holder, (list, tuple)) else attribute_of(holder, "__dict__", {}).items()
        for key, member in items:
            path = f"{name}[{key}]" if isinstance(key, int) else f"{name}.{key}".lstrip(".")
            values = values_in(member)
            if values and all(id(v) in wanted for v in values) and same_form(values):
                found[path] = member
                for v in values:
                    del wanted[id(v)]
            elif isinstance(member, (list, tuple)) or hasattr(member, "__dict__"):
                queue.append((path, member))
    for number, value in enumerate(wanted.values()):
        found[f"parameters[{number}]"] = value
    return found


def same_form(values: list[Any]) -> bool:
    """Return True if one array can contain all values: there is one value, or each value is a single number."""
    return len({id(v) for v in values}) == len(values) and (
        len(values) == 1 or not any(np.ndim(v.data) for v in values)
    )


def data_of(nest: Any) -> np.ndarray:
    """Return the data of a value, or of a list of values, as one float64 array."""
    if isinstance(nest, (list, tuple)):
        return np.array([data_of(item) if values_in(item) else item for item in nest])
    return np.array(nest.data, dtype=np.float64)


def gradient_of(nest: Any) -> Any:
    """Return the gradient of a value, or the gradients of a list of values as one array."""
    if isinstance(nest, (list, tuple)):
        return np.array([gradient_of(item) if values_in(item) else 0.0 for item in nest])
    grad = getattr(nest.grad, "data", nest.grad) if is_value(nest.grad) else nest.grad
    return np.zeros(np.shape(nest.data)) if grad is None else np.array(grad, dtype=np.float64)


def parts_of(array: Any) -> list[Any]:
    """Return the elements along the first axis as arrays.

    The elements have the class of `array`, so that the diagnosis can record the operations on them.
    """
    return [array[k : k + 1].reshape(array.shape[1:]) for k in range(len(array))]


def set_data(nest: Any, array: Any) -> None:
    """Set the ``data`` of a value to `array`, and its ``grad`` to zero.

    If `nest` is a list of values, each value gets one element of `array`.
    """
    if isinstance(nest, (list, tuple)):
        for item, part in zip(nest, parts_of(array), strict=True):
            if values_in(item):
                set_data(item, part)
        return
    nest.data = np.array(array, subok=True) if is_array(nest.data) else np.asanyarray(array).tolist()
    nest.grad = np.zeros(np.shape(array)) if is_array(nest.grad) else None if nest.grad is None else 0.0


def new_leaves(nest: Any, array: Any) -> Any:
    """Return new values whose ``data`` are the elements of `array`. The new values are nested like `nest`."""
    if isinstance(nest, (list, tuple)):
        return type(nest)(
            new_leaves(item, part) if values_in(item) else item
            for item, part in zip(nest, parts_of(array), strict=True)
        )
    new = copy.copy(nest)
    set_data(new, array)
    return new
