"""Tape: the operations of one forward pass."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import nullcontext
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from ..adapters.numbers import NumberArray
from ..adapters.values import ValueAdapter
from ..nested import is_array, leaves, map_leaves
from ..projection import Projection
from ..snapshot import Snapshot
from ..substitution import substitute
from ..widening import WideArray
from .source import calling_code
from .traced_array import TracedArray, as_plain, running
from .traced_conversions import traced_conversions
from .traced_number import TracedNumberArray, traced_math

MAX_NODES = 3000
# Forward is not recorded if it reads and writes more elements than this, because the diagnosis would take too long.
MAX_ELEMENTS = 3_000_000
MIXING = {  # operations that are not elementwise
    *("matmul", "dot", "einsum", "tensordot", "inner", "outer", "vecdot", "vecmat", "matvec", "vdot", "kron", "cross"),
    *("trace", "convolve", "correlate", "pad", "cumsum", "cumprod", "interp", "inv", "solve", "det", "norm"),
    *("cholesky", "pinv", "lookup", "concatenate", "repeat", "take", "roll"),
}


class CannotTape(ValueError):
    """Forward cannot be recorded: it is too large, not all arrays are NumPy's, or each run is different."""


@dataclass
class Node:
    """One operation of forward, recorded in the first run.

    Attributes
    ----------
    number : int
        The position of the operation in forward, from 0.
    name : str
        "add", "matmul", "maximum.reduce", ...
    family : tuple
        The positions, in the user's code, of all calls that lead to the operation. All executions of an operation in a
        loop have the same family.
    round : int
        The number of earlier operations with the same family. In a loop, this is the number of the iteration, from 0.
    place : str
        "file.py:12: the expression", or "file.py:12 from 30: ..." if line 30 calls the function of line 12.
    operand_names : list of str
        The source of each operand.
    outer_names : list of str
        Like `operand_names`, but with the names in the caller of the function: see `Source.outer_names`.
    call : str
        The source of the call of the function that contains the operation, or "" if it is not known.
    result_name : str or None
        The variable to which the code assigns the result.
    operands, result
        Copies of the values.
    compute : callable
        Computes the result from the operands.
    kwargs : dict
    variables : list of (str or None)
        For each operand, the name of the differentiated array whose memory it shares, or None.
    whole_indices : list of (ndarray or None)
        For each operand that shares memory with a differentiated array, the flat indices of the operand's elements in
        that array. None for other operands.
    whole : list of bool
        False for an operand that is a view of a part of a differentiated array.
    views : list of (ndarray or None)
        For each float operand that does not share memory with a differentiated array, the operand itself instead of a
        copy. It may be a view of a larger array, such as a window of an image, and a copy would not show this.
    active : list of bool
        True for each operand that depends on a differentiated array.
    """

    number: int
    name: str
    family: tuple
    round: int
    place: str
    operand_names: list[str]
    outer_names: list[str]
    call: str
    result_name: str | None
    operands: list[Any]
    result: Any
    compute: Callable
    kwargs: dict
    variables: list[str | None]
    whole_indices: list[Any]
    whole: list[bool]
    views: list[Any]
    active: list[bool] = field(default_factory=list)

    @property
    def expression(self) -> str:
        """The source of the operation: `place` without the file and the line."""
        return self.place.split(": ", 1)[-1]

    @property
    def view_indices(self) -> list[Any]:
        """The items of `whole_indices`, with None for each operand that is a view of the whole array."""
        whole = zip(self.whole_indices, self.whole, strict=True)
        return [None if shows_all else index for index, shows_all in whole]

    @property
    def elementwise(self) -> bool:
        """True if each element of the result depends on one element of each operand."""
        return self.name == "where" or ("." not in self.name and hasattr(np, self.name) and self.name not in MIXING)


class Tape:
    """The operations of one forward. Use a tape in a ``with`` block: at the end, the block restores the code's arrays.

    Parameters
    ----------
    projection : Projection

    Attributes
    ----------
    nodes : list of Node
    changes : dict of int to function
        The operations to change in the runs after the first. The key is the number of the operation. The value is a
        function of (node, operands) that returns the new result: see changes.py.
    weights : tuple
        The weights of the outputs in f: those of the projection, or the weights that the diagnosis sets instead.
    recorded : dict
        The increments of operands: their values minus their values in the first run. The key is the number of the
        operation and the index of the operand. See `record_operand`.
    results : dict of int to ndarray, or None
        The result of each operation in the latest run, by the number of the operation. By default None: to store the
        results, set it to a dictionary.
    added : float
        A number that is added to f. See `replace_upstream_by_ones`.
    skipped : set of int
        The numbers of the operations that later runs skip, because f does not depend on these operations.
    runs, cost : int
        The number of forward passes, and the approximate number of elements that one forward reads and writes.

    Raises
    ------
    CannotTape
        At the start of the block, if forward cannot be recorded.
    """

    def __init__(self, projection: Projection):
        self.projection, self.adapter = projection, projection.adapter
        self.nodes: list[Node] = []
        self.changes: dict[int, Callable] = {}
        self.recorded: dict[tuple[int, int], Any] = {}
        self.weights, self.added = projection.weights, 0.0
        self.results: dict[int, np.ndarray] | None = None
        self.skipped: set[int] = set()
        self.runs, self.cost = 0, 0
        self._counts: dict[tuple, int] = {}
        self._start: Snapshot | None = None
        self._traced_functions: Callable = nullcontext
        self._number, self._mode = 0, "record"

    def __enter__(self) -> Tape:
        variables = self.projection.variables
        if not all(
            type(v) in (np.ndarray, WideArray, NumberArray) and v.dtype == np.float64 for v in variables.values()
        ):
            raise CannotTape("only NumPy arrays in float64 can be recorded")
        self._replayed, self._inputs = self.projection.replayed, self.adapter.inputs
        error: Exception | None = None
        for keeps_state in (False, True) if self._replayed != "state" else (True,):
            try:
                self._begin(keeps_state)
                self.value()
                self._mode = "compare"
                self._find_active()
                self._mode = "replay"
                return self
            except Exception as raised:
                self.__exit__()
                error = raised
        raise CannotTape(str(error) if isinstance(error, CannotTape) else f"{type(error).__name__}: {error}")

    def _begin(self, keeps_state: bool) -> None:
        """Replace the arrays by traced views. If the code keeps state, restore the state before every run."""
        self.nodes, self._counts, self.cost, self._mode = [], {}, 0, "record"
        if keeps_state:
            self.projection.back_to_start()
        self._before = Snapshot(self.adapter.source, self._inputs)
        variables = list(self.projection.variables.values())
        holds_numbers = isinstance(self.adapter, ValueAdapter) or any(type(v) is NumberArray for v in variables)
        self._traced_functions = traced_math if holds_numbers else nullcontext
        views = {id(v): v.view(TracedNumberArray if holds_numbers else TracedArray) for v in variables}
        for a in self._before.arrays():  # trace the constant arrays too: if x is constant, x.dot(w) calls a method of x
            if type(a) in (np.ndarray, WideArray) and a.dtype == np.float64:
                views.setdefault(id(a), a.view(TracedArray))
        substitute(self._before, views)
        self.adapter.inputs = map_leaves(lambda x: views.get(id(x), x), self._inputs)
        self._start = Snapshot(self.adapter.source, self.adapter.inputs) if keeps_state else None
        self._kept = {
            id(a)
            for a in (self._start.arrays() if keeps_state else ())
            if any(np.may_share_memory(a, v) for v in variables)
        }
        if keeps_state:
            self.projection.replayed = ""

    def __exit__(self, *error: Any) -> None:
        self._before.restore()
        self.adapter.inputs, self.projection.replayed = self._inputs, self._replayed

    def _find_active(self) -> None:
        """Change every variable a little, and find the operands that change."""
        rng = np.random.default_rng(0)
        held = {name: v.copy() for name, v in self.projection.variables.items()}
        try:
            for name, v in self.projection.variables.items():
                v[...] = held[name] + 1e-6 * rng.uniform(0.5, 1, v.shape)
            self.value()
        finally:
            for name, v in self.projection.variables.items():
                v[...] = held[name]

    def value(self) -> float:
        """Run forward with the changes, and return f."""
        self._number, self.recorded, self.added = 0, {}, 0.0
        self.runs += 1
        if self._start is not None:
            self._start.restore(keep=self._kept)
        running.append(self)
        try:
            with traced_conversions(), self._traced_functions():
                ys = self.projection.forward()
        finally:
            running.pop()
        self.adapter.clear_saved()
        if self._mode != "record" and self._number != len(self.nodes):
            raise CannotTape("forward did not run the same operations as the first time")
        total = self.added
        for (_, w), (_, y) in zip(leaves("", self.weights), leaves("", ys), strict=True):
            if w is not None:
                total += float((as_plain(y) * w).sum()) if is_array(y) else float(y) * float(w)
        return total

    def operation(self, name: str, compute: Callable, operands: list[Any], kwargs: dict) -> Any:
        """Record an operation in the first run. In other runs, compute the operation with its change, if it has one.

        `TracedArray` calls this method.
        """
        if self._mode == "record":
            result = compute(*operands)
            if getattr(result, "dtype", np.dtype(int)).kind == "f":
                if len(self.nodes) >= MAX_NODES:
                    raise CannotTape(f"forward has more than {MAX_NODES} operations")
                self.cost += 200 + result.size + sum(np.size(x) for x in operands)
                if self.cost > MAX_ELEMENTS:
                    raise CannotTape("forward is too large to be recorded; try the same code with smaller arrays")
                self._record(name, compute, operands, kwargs, result)
            return result
        k = self._number
        if k >= len(self.nodes) or self.nodes[k].name != name:
            result = compute(*operands)
            if getattr(result, "dtype", np.dtype(int)).kind == "f":
                raise CannotTape("forward did not run the same operations as the first time")
            return result  # a comparison, which has no derivative and is not recorded
        node = self.nodes[k]
        self._number += 1
        if k in self.skipped:
            return node.result.copy()
        if self._mode == "compare":
            pairs = zip(operands, node.operands, strict=True)
            node.active = [isinstance(a, np.ndarray) and a.dtype.kind == "f" and bool((a != b).any()) for a, b in pairs]
        result = self.changes[k](node, operands) if k in self.changes else compute(*operands)
        if self.results is not None:
            self.results[k] = np.array(result)
        return result

    def _record(self, name: str, compute: Callable, operands: list[Any], kwargs: dict, result: Any) -> None:
        source = calling_code(name, len(operands), Tape.value.__code__)
        count = self._counts.get(source.family, 0)
        self._counts[source.family] = count + 1
        variables = [
            next((n for n, v in self.projection.variables.items() if np.shares_memory(x, v)), None)
            if isinstance(x, np.ndarray)
            else None
            for x in operands
        ]
        pairs = list(zip(variables, operands, strict=True))
        whole_indices = [None if n is None else flat_indices_of_view(x, self.projection.variables[n]) for n, x in pairs]
        self.nodes.append(
            Node(
                number=len(self.nodes),
                name=name,
                family=source.family,
                round=count,
                place=source.place,
                operand_names=source.operand_names,
                outer_names=source.outer_names,
                call=source.call,
                result_name=source.result_name,
                operands=[np.array(x) if isinstance(x, np.ndarray) else x for x in operands],
                result=np.array(result),
                compute=compute,
                kwargs=kwargs,
                variables=variables,
                whole_indices=whole_indices,
                views=[
                    x if n is None and isinstance(x, np.ndarray) and x.dtype.kind == "f" else None for n, x in pairs
                ],
                whole=[n is None or x.size >= self.projection.variables[n].size for n, x in pairs],
            )
        )


def flat_indices_of_view(view: np.ndarray, array: np.ndarray) -> np.ndarray | None:
    """Return, for each element of `view`, its flat index in `array`.

    Return None if an element of `view` is not in `array`. This is possible if `array` is a view with gaps, like x[::2].
    """
    at = addresses(view)
    if array.flags.c_contiguous:
        return (at - array.__array_interface__["data"][0]) // array.itemsize
    own = addresses(array).ravel()
    order = np.argsort(own)
    found = order[np.clip(np.searchsorted(own, at, sorter=order), 0, own.size - 1)]
    return found if (own[found] == at).all() else None


def addresses(array: np.ndarray) -> np.ndarray:
    """Return the address in memory of each element."""
    found = np.full(array.shape, array.__array_interface__["data"][0])
    for axis, (length, stride) in enumerate(zip(array.shape, array.strides, strict=True)):
        found += (np.arange(length) * stride).reshape((length,) + (1,) * (array.ndim - axis - 1))
    return found
