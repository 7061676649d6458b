"""Adapter: the one interface through which the checker uses code of any form."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from ..nested import float_leaves, is_array, is_float, leaves, map_leaves
from .matching import match_gradients
from .names import argument_names

NO_CACHE = object()  # forward returned no cache; None cannot say this, because None may be the cache


class Adapter:
    """The checked code, as the checker sees it: named arrays, `run` for forward, `gradients` for backward.

    A subclass writes `run` and `gradients`, and the other methods where its form needs them.

    Parameters
    ----------
    source : object
        The objects that hold the code's state. Everything reachable from them is restored after the check.
    title : str
        The name shown in the report.
    inputs : tuple
        The arguments of forward; they are copied.
    function : callable
        Forward, whose signature gives the names of the inputs.

    Attributes
    ----------
    inputs, targets : tuple
        The checker's own copies of the inputs, and of the further arguments of a loss.
    input_names : list of str
    notes : list of str
        Remarks for the report.
    loss : Module or None
        The loss that the first output goes into.
    cache : object
        What forward returned for backward, or `NO_CACHE`.
    accumulates : bool
        True if backward must add to the gradients, as a Module's must, and not overwrite them.
    returns_cache : bool
        True if forward returns its cache, and does not keep it in an object.
    surplus : list or dict
        The gradients that backward returned besides those of the inputs.
    container : str
        "tuple" or "list" if backward returned its only gradient inside a tuple or a list, else "".
    missing : list of str
        Inputs that have the name of a weight, and for which backward returned nothing.
    """

    accumulates = False
    returns_cache = False
    container = ""
    targets: tuple = ()
    loss: Any = None
    cache: Any = NO_CACHE
    surplus: Any = ()
    missing: Any = ()

    def __init__(self, source: Any, title: str, inputs: tuple, function: Callable):
        self.source, self.title = source, title
        self.inputs = tuple(map_leaves(copy_array, value) for value in inputs)
        self.input_names = argument_names(function, len(inputs))
        self.notes: list[str] = []

    # --- what a subclass writes --------------------------------------------------------------------------------------

    def run(self) -> tuple:
        """Run forward and return a tuple of outputs; each is an array, a number, or a nest of them."""
        raise NotImplementedError

    def gradients(self, dys: tuple) -> dict[str, Any]:
        """Run backward on the last forward and return its gradients by name.

        `dys` are the gradients with respect to the outputs. An array for which the code has no gradient is left out.
        """
        raise NotImplementedError

    def parameters(self) -> dict[str, Any]:
        """Return the learned arrays by name. They are the arrays that forward reads, not copies."""
        return {}

    def complex_parameters(self) -> dict[str, Any]:
        """Return the parameters during the complex step, where `parameters` may leave out complex arrays."""
        return {}

    def prepare(self) -> None:
        """Bring the code into the state in which it is checked."""

    def cached(self) -> Any:
        """Return what forward kept for backward, as far as it can be seen from outside."""
        return ()

    def clear_saved(self) -> None:
        """Drop what forward kept for a backward that will not be run."""

    def unused_saved(self) -> list[str]:
        """Return the names of the classes whose saved values the last backward did not use."""
        return []

    # --- what all forms share ----------------------------------------------------------------------------------------

    def float_inputs(self) -> dict[str, Any]:
        """Return the float arrays among the inputs by name."""
        taken = self.parameters()
        found = {}
        for name, value in zip(self.input_names, self.inputs, strict=True):
            for leaf_name, leaf in leaves(name, value):
                if is_array(leaf) and is_float(leaf):
                    found[f"input {leaf_name}" if leaf_name in taken else leaf_name] = leaf
        return found

    def arrays(self) -> list[tuple[str, Any]]:
        """Return the name and the array of every parameter and input, integer inputs included."""
        inputs = [leaf for pair in zip(self.input_names, self.inputs, strict=True) for leaf in leaves(*pair)]
        return [(name, a) for name, a in [*self.parameters().items(), *inputs] if is_array(a)]

    def add_note(self, note: str) -> None:
        """Add a remark to the report, unless it is there already."""
        if note not in self.notes:
            self.notes.append(note)

    def match_to_inputs(self, result: Any) -> dict[str, Any]:
        """Assign the gradients that backward returned to the float inputs; `matching.py` documents the rules.

        An input without a gradient is left out. `surplus` receives the gradients that belong to no input, and
        `missing` the inputs that have the name of a weight and no gradient.
        """
        taken = self.parameters()
        self.container = container_of_one(result, self.inputs)
        if self.container == "list":
            result = np.asarray(result, dtype=np.float64)
        match = match_gradients(result, self.input_names, self.inputs)
        self.surplus, self.missing = match.surplus, match.missing
        return {f"input {name}" if name in taken else name: g for name, g in match.given.items()}


def container_of_one(result: Any, inputs: tuple) -> str:
    """Return "tuple" for ``(dx,)`` and "list" if dx is a list of numbers, where x is the first float input."""
    value = next((value for value in inputs if float_leaves(value)), None)
    if not is_array(value) or not isinstance(result, (tuple, list)):
        return ""
    if isinstance(result, tuple) and len(result) == 1 and is_array(result[0]):
        return "tuple"
    if isinstance(result, list) and value.ndim:
        try:
            return "list" if np.shape(result) == value.shape else ""
        except ValueError:  # a ragged list
            return ""
    return ""


def copy_array(value: Any) -> Any:
    """Return a copy of an array; any other value is returned unchanged."""
    return value.copy() if is_array(value) else value


def is_transpose(a: Any, b: Any) -> bool:
    """Return True if `b` is the transpose of the matrix `a`, in the same memory."""
    both = isinstance(a, np.ndarray) and isinstance(b, np.ndarray) and a.ndim == b.ndim == 2
    return both and a.ctypes.data == b.ctypes.data and a.shape == b.shape[::-1] and a.strides == b.strides[::-1]


def clear_gradient(gradient: Any) -> None:
    """Set an array to zero before backward, because backward may add to the gradient of an earlier call."""
    if is_array(gradient) and is_float(gradient) and getattr(getattr(gradient, "flags", None), "writeable", True):
        gradient[...] = 0
