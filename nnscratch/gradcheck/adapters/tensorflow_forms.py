"""TensorFlowAdapter: functions of tensors, custom gradients, and Keras layers.

The adapter makes a float64 copy of a Keras layer, with the same weights. A function of tensors gets float64
tensors. This file uses TensorFlow only if the user's code has imported it.
"""

from __future__ import annotations

import sys
from typing import Any

import numpy as np

from ..nested import is_array, is_float, map_leaves
from .base import Adapter
from .names import argument_names, function_name


def is_tensorflow(subject: Any, inputs: tuple) -> bool:
    """Return True for a Keras layer, a tf.Module, a custom gradient, or a function whose inputs are tensors."""
    tf = sys.modules.get("tensorflow")
    if tf is None or not hasattr(tf, "Tensor") or isinstance(subject, (type, tuple, list)) or not callable(subject):
        return False
    found: list[bool] = []
    map_leaves(lambda leaf: found.append(isinstance(leaf, (tf.Tensor, tf.Variable))), list(inputs))
    return is_layer(tf, subject) or hasattr(subject, "_tf_decorator") or any(found)


def is_layer(tf: Any, subject: Any) -> bool:
    """Return True for an object with variables: a tf.Module or a Keras layer."""
    keras = sys.modules.get("keras")
    return isinstance(subject, tf.Module) or keras is not None and isinstance(subject, keras.layers.Layer)


class TensorFlowAdapter(Adapter):
    """A Keras layer or a function of tensors. The gradient comes from ``tf.GradientTape``.

    Inputs may be tensors or NumPy arrays.

    Examples
    --------
    >>> import numpy as np, sys
    >>> if "tensorflow" in sys.modules:
    ...     import tensorflow as tf
    ...     adapter = TensorFlowAdapter(lambda x: tf.tanh(x), (tf.zeros(2),))
    ...     assert adapter.run()[0].dtype == np.float64
    """

    def __init__(self, subject: Any, inputs: tuple):
        self.tf = tf = sys.modules["tensorflow"]
        arrays = tuple(map_leaves(self._to_array, value) for value in inputs)
        self.call, self._variables = subject, []
        if is_layer(tf, subject):
            self.call = self._in_float64(subject, arrays)
            self._variables = list(self.call.trainable_variables)
            function = getattr(subject, "call", subject)
        else:
            function = subject
        super().__init__([], function_name(subject), arrays, function)
        self.input_names = argument_names(function, len(inputs))
        names = [getattr(v, "path", v.name).rpartition("/")[2].partition(":")[0] for v in self._variables]
        full = [getattr(v, "path", v.name) for v in self._variables]
        names = [n if names.count(n) == 1 else f for n, f in zip(names, full, strict=True)]
        self._arrays = {n: np.array(v.numpy()) for n, v in zip(names, self._variables, strict=True)}

    def _in_float64(self, layer: Any, arrays: tuple) -> Any:
        """Return a copy of a Keras layer in float64. Return any other tf.Module unchanged."""
        if not hasattr(layer, "get_config") or not hasattr(layer, "from_config"):
            return layer
        new = type(layer).from_config(with_float64(layer.get_config()))
        arguments = [map_leaves(self._to_tensor, value) for value in arrays]
        new(*arguments)  # this call creates the weights
        if not layer.weights:
            layer(*arguments)
        new.set_weights(layer.get_weights())
        return new

    def _to_array(self, value: Any) -> Any:
        if isinstance(value, (self.tf.Tensor, self.tf.Variable)):
            value = value.numpy()
        if not is_array(value):
            return value
        return np.array(value, dtype=np.float64) if is_float(value) else np.array(value)

    def _to_tensor(self, value: Any) -> Any:
        return self.tf.constant(value) if is_array(value) else value

    def parameters(self) -> dict[str, Any]:
        return self._arrays

    def complex_parameters(self) -> dict[str, Any]:
        return {}  # the checker cannot use complex numbers, because the variables store real numbers

    def _evaluate(self, dys: tuple | None) -> tuple[tuple, dict[str, Any]]:
        """Run forward, and backward if `dys` are given. Return the outputs and the gradients."""
        tf = self.tf
        held = [v.numpy() for v in self._variables]
        arguments = [map_leaves(self._to_tensor, value) for value in self.inputs]
        watched: list[Any] = []
        for nest in arguments:
            map_leaves(lambda t: watched.append(t) if isinstance(t, tf.Tensor) and t.dtype.is_floating else None, nest)
        try:
            for variable, array in zip(self._variables, self._arrays.values(), strict=True):
                variable.assign(array)
            with tf.GradientTape() as tape:
                for tensor in watched:
                    tape.watch(tensor)
                tf.random.set_seed(0)
                result = self.call(*arguments)
            ys = list(result) if isinstance(result, (tuple, list)) else [result]
            outputs = tuple(self._to_array(y) for y in ys)
            if dys is None:
                return outputs, {}
            given = [tf.cast(tf.constant(np.asarray(d)), y.dtype) for y, d in zip(ys, dys, strict=True)]
            found = tape.gradient(ys, [*self._variables_of_tape(), *watched], given)
        finally:
            for variable, old in zip(self._variables, held, strict=True):
                variable.assign(old)
        found = [None if g is None else np.array(tf.convert_to_tensor(g)) for g in found]
        of_parameters = dict(zip(self._arrays, found, strict=False))
        by_id = {id(t): g for t, g in zip(watched, found[len(self._variables) :], strict=True)}
        nests = tuple(map_leaves(lambda t: by_id.get(id(t)), nest) for nest in arguments)
        return outputs, {**of_parameters, **self.match_to_inputs(nests)}

    def _variables_of_tape(self) -> list[Any]:
        return [getattr(v, "value", v) if hasattr(v, "path") else v for v in self._variables]

    def run(self) -> tuple:
        return self._evaluate(None)[0]

    def gradients(self, dys: tuple) -> dict[str, Any]:
        return self._evaluate(dys)[1]


def with_float64(config: Any) -> Any:
    """Return a Keras configuration in which every dtype is float64.

    Examples
    --------
    >>> with_float64({"units": 2, "dtype": "float32", "layers": [{"dtype": {"config": {"name": "float32"}}}]})
    {'units': 2, 'dtype': 'float64', 'layers': [{'dtype': 'float64'}]}
    """
    if isinstance(config, dict):
        return {k: "float64" if k == "dtype" and v is not None else with_float64(v) for k, v in config.items()}
    return [with_float64(item) for item in config] if isinstance(config, list) else config
