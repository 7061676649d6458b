"""Adapter: the interface through which the checker runs code of any form."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from ..nested import float_leaves, is_array, is_float, is_writeable, leaves, map_leaves, share_memory
from .calls import NO_CACHE, takes_one_tuple
from .matching import match_gradients, nested_as_inputs, numbers_with_gradients
from .names import argument_names
from .order import gradients_of_outside, in_input_order, returned_gradient_names, whole_input
from .outputs import UsedOutputs, used_outputs


class Adapter:
    """The checker uses the code through this interface: named arrays, `run` (forward) and `gradients` (backward).

    A subclass defines `run` and `gradients`. It may override the other methods too.

    Parameters
    ----------
    source : object
        The objects that contain the code's state. After the check, the checker restores them, and all objects inside
        them.
    title : str
        The name shown in the report.
    inputs : tuple
        The arguments of forward. The adapter copies them.
    function : callable
        The function whose signature gives the names of the inputs, usually forward.

    Attributes
    ----------
    inputs, targets : tuple
        The checker's copies of the arguments of forward, and of the arguments of the loss. The first argument of the
        loss, the prediction, is not in `targets`.
    input_names : list of str
    notes : list of str
        Remarks for the report.
    loss : Module or None
        The loss that is applied to the first output.
    cache : object
        The value that forward returned for backward, or `NO_CACHE`.
    accumulates : bool
        True if backward must add to the gradients, as in a Module; False if backward may overwrite the gradients.
    returns_cache : bool
        True if forward returns its cache; False if forward keeps its cache in an object.
    surplus : list or dict
        The gradients from backward that belong to no input.
    is_loss : bool
        True if forward returns one loss for each element, and backward returns the derivatives of these losses. Such a
        backward takes no dy.
    used : UsedOutputs or None
        The outputs that are checked, or None for all outputs.
    inputs_are_data : bool
        True if all weights are attributes of an object, so that no input of forward is a weight.
    left_out : tuple
        The outputs of the latest forward that are not checked.
    loss_count, loss_place : int
        The number of losses that a cost function returns, and the position of the one that is checked.
    adds_loss : bool
        True if backward takes a gradient for each output that is not a loss, and adds the gradients of the losses
        itself.
    container : str
        "tuple" or "list" if backward returned only one gradient, inside a tuple or a list. "flat" if the inputs are
        nested, such as ``(x, (h, c))``, and backward returned ``(dx, dh, dc)``. In all other cases, "".
    has_keys : bool
        True if backward returned a dictionary, whose keys are the names of the gradients.
    missing : list of str
        The inputs that have a usual name of a weight, such as ``W``, but no gradient from backward.
    packs_dys : bool
        True if backward takes the gradients of all outputs in one tuple.
    numbers : list of str
        The inputs that are Python numbers, and for which backward returned a gradient, such as ``db`` for ``b``.
    returning : callable, optional
        The function whose ``return`` statement contains the names of the gradients. None if the gradients must be in
        the order of the inputs.
    """

    accumulates = False
    returns_cache = False
    is_loss = False
    inputs_are_data = False
    used: UsedOutputs | None = None
    left_out: tuple = ()
    loss_count, loss_place = 1, 0
    adds_loss = False
    container = ""
    has_keys = False
    targets: tuple = ()
    loss: Any = None
    cache: Any = NO_CACHE
    surplus: Any = ()
    missing: Any = ()
    numbers: Any = ()
    packs_dys = False
    returning: Callable | None = None
    _returned_names: list[str] | None = None

    def __init__(self, source: Any, title: str, inputs: tuple, function: Callable):
        self.source, self.title = source, title
        self.inputs = tuple(map_leaves(copy_array, value) for value in inputs)
        self.input_names = argument_names(function, len(inputs))
        self.notes: list[str] = []
        self._packs: dict[int, bool] = {}

    # --- methods that a subclass defines -----------------------------------------------------------------------------

    def run(self) -> tuple:
        """Run forward and return a tuple of outputs. Each output is an array, a number, or a nested structure."""
        raise NotImplementedError

    def gradients(self, dys: tuple) -> dict[str, Any]:
        """Run backward after the last forward, and return its gradients by name.

        `dys` are the gradients with respect to the outputs. A gradient is None if backward returned None for an array.
        Other arrays without a gradient are not in the result.
        """
        raise NotImplementedError

    def parameters(self) -> dict[str, Any]:
        """Return the learned arrays by name: the arrays that forward reads, and not copies of them."""
        return {}

    def complex_parameters(self) -> dict[str, Any]:
        """Return the learned arrays by name, including complex arrays. `parameters` leaves out complex arrays.

        The checker makes an array complex to measure a derivative with complex numbers (a complex step).
        """
        return {}

    def prepare(self) -> None:
        """Change the code's state before the check, if necessary."""

    def cached(self) -> Any:
        """Return the values that forward saved for backward, if the adapter knows them."""
        return ()

    def clear_saved(self) -> None:
        """Drop the values that forward saved. The checker calls this method if no backward follows."""

    def unused_saved(self) -> list[str]:
        """Return the class names of the layers whose saved values the last backward did not use."""
        return []

    # --- methods of all adapters -------------------------------------------------------------------------------------

    def float_inputs(self) -> dict[str, Any]:
        """Return the inputs that are float arrays, by name."""
        taken = self.parameters()
        found = {}
        for name, value in zip(self.input_names, self.inputs, strict=True):
            for leaf_name, leaf in leaves(name, value):
                if is_array(leaf) and is_float(leaf):
                    found[f"input {leaf_name}" if leaf_name in taken else leaf_name] = leaf
        return found

    def arrays(self) -> list[tuple[str, Any]]:
        """Return the name and the array of every parameter and every input, including inputs of integers."""
        inputs = [leaf for pair in zip(self.input_names, self.inputs, strict=True) for leaf in leaves(*pair)]
        return [(name, a) for name, a in [*self.parameters().items(), *inputs] if is_array(a)]

    def choose_outputs(self, ys: tuple, taken: int) -> UsedOutputs:
        """Choose the outputs to check if backward does not take a gradient for each output.

        `taken` is the number of gradients that backward takes. If some outputs are not checked, add a note.
        """
        used = used_outputs(ys, taken, self.adds_loss)
        if len(used.checked) < len(ys):
            self.add_note(
                f"backward takes the gradients of {taken} of {len(ys)} outputs; the other outputs were not checked"
                if taken
                else "backward takes no gradient, so only the loss was checked, and not the other outputs"
            )
        return used

    def takes_tuple_of(self, backward: Callable, count: int) -> bool:
        """Return `takes_one_tuple` of `backward`. Compute it once, because forward runs thousands of times."""
        if count not in self._packs:
            self._packs[count] = takes_one_tuple(backward, count)
        return self._packs[count]

    def given_dys(self, dys: tuple) -> tuple:
        """Return the gradients in `dys` that backward takes as arguments. Leave out the gradients of losses."""
        if self.packs_dys:
            return (dys,)
        if self.used is None:
            return dys
        return tuple(dy for i, dy in zip(self.used.checked, dys, strict=True) if i in self.used.given)

    def add_note(self, note: str) -> None:
        """Add a remark to the report, unless the report contains it already."""
        if note not in self.notes:
            self.notes.append(note)

    def returned_names(self) -> list[str]:
        """Return the names of the gradients in backward's ``return`` statement, or [] if they are not known."""
        if self._returned_names is None:  # find the names only once; every call of backward needs them
            self._returned_names = [] if self.returning is None else returned_gradient_names(self.returning)
        return self._returned_names

    def match_to_inputs(self, result: Any) -> dict[str, Any]:
        """Return the gradient of each float input, by name. `matching.py` documents the rules.

        `result` is the value that backward returned. This method also sets `surplus` to the gradients that belong to no
        input, and `missing` to the inputs that have the name of a weight, but no gradient from backward.
        """
        taken = self.parameters()
        self.container, self.has_keys = container_of_one(result, self.inputs), isinstance(result, dict)
        if self.container == "list":
            result = np.asarray(result, dtype=np.float64)
        self.numbers = numbers_with_gradients(result, self.input_names, self.inputs, self.returned_names)
        whole, outside = whole_input(result, self.input_names, self.inputs, self.returned_names), {}
        if whole is not None:
            result = {whole: result}
        elif isinstance(result, tuple) and self.returning is not None:
            outside, result = gradients_of_outside(
                self.returning, result, self.input_names, self.inputs, self.returned_names
            )
        if isinstance(result, (tuple, list)) and self.returning is not None:
            result, note = in_input_order(result, self.input_names, self.inputs, self.returned_names)
            if note:
                self.add_note(note)
        nested = nested_as_inputs(result, self.inputs)
        if nested is not None:
            self.container, result = "flat", nested
        match = match_gradients(result, self.input_names, self.inputs)
        self.surplus, self.missing = outside or match.surplus, match.missing
        given = match.given
        # If an input is a weight, its gradient must have the same shape: for b (M,) and db (1, M), NumPy raises an
        # error in `b -= lr * db`. So accept an additional axis only if all inputs are data.
        if self.inputs_are_data:
            arrays = {n: a for pair in zip(self.input_names, self.inputs, strict=True) for n, a in leaves(*pair)}
            given = {name: self._without_row_axis(name, g, arrays.get(name)) for name, g in given.items()}
        return {f"input {name}" if name in taken else name: g for name, g in given.items()}

    def _without_row_axis(self, name: str, gradient: Any, array: Any) -> Any:
        """If `array` is a vector, and `gradient` a matrix with one row, return the row and add a note.

        Return any other gradient unchanged.
        """
        if not (is_array(array) and is_array(gradient)) or array.ndim != 1 or gradient.shape != (1, array.size):
            return gradient
        self.add_note(
            f"the gradient of {name} has shape {gradient.shape}, not {array.shape}: it has an extra first axis"
        )
        return gradient[0]


def container_of_one(result: Any, inputs: tuple) -> str:
    """Return "tuple" if `result` is ``(dx,)``, "list" if `result` is a list with the numbers of dx, and "" otherwise.

    dx is the gradient of x, the first float input.
    """
    value = next((value for value in inputs if float_leaves(value)), None)
    if not is_array(value) or not isinstance(result, (tuple, list)):
        return ""
    if isinstance(result, tuple) and len(result) == 1 and is_array(result[0]):
        return "tuple"
    if isinstance(result, list):
        try:
            return "list" if np.shape(result) == value.shape else ""
        except ValueError:  # the inner lists have different lengths
            return ""
    return ""


def copy_array(value: Any) -> Any:
    """Return a copy of an array. Return any other value unchanged."""
    return value.copy() if is_array(value) else value


def is_transpose(a: Any, b: Any) -> bool:
    """Return True if `b` is the transpose of the matrix `a`, in the same memory."""
    both = isinstance(a, np.ndarray) and isinstance(b, np.ndarray) and a.ndim == b.ndim == 2
    return both and a.ctypes.data == b.ctypes.data and a.shape == b.shape[::-1] and a.strides == b.strides[::-1]


def clear_gradient(gradient: Any, arrays: list[tuple[str, Any]]) -> None:
    """Set the array `gradient` to zero before backward, because backward may add to the values of an earlier call.

    `arrays` contains the parameters and the inputs. If the gradient shares memory with such an array, leave the
    gradient unchanged. For example, after ``self.grads = dict(self.params)`` each gradient is the array of its
    parameter.
    """
    writeable = is_array(gradient) and is_float(gradient) and is_writeable(gradient)
    if writeable and not any(share_memory(gradient, array) for _, array in arrays):
        gradient[...] = 0
