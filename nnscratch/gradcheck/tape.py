"""Forward, operation by operation: written down once, then run again with the derivative of something changed.

The arrays that a check differentiates are replaced by views of a subclass of ``numpy.ndarray`` that sees every
operation they take part in. A :class:`Tape` numbers the operations, and remembers their operands, their results and
the code that asked for them. Run again, it can change an operation: what it computes at the point of the first run
stays, what it does around that point becomes another. With u0 and y0 from the first run,

    gain         an operand u becomes  u0 + L(u - u0):  L = 0 cuts the path, -1 flips its sign, 2 counts it twice
    cofactor     u v becomes  u0 v + (u - u0) v':  backward multiplied by v' where v belongs
    slope        y(u) becomes  y0 + g (u - u0):  the derivative is g, whatever the function says

Finite differences of such a changed forward are the gradient of a backward in which exactly that is wrong. That is how
a diagnosis about the inside of forward is tested.
"""

from __future__ import annotations

import ast
import linecache
import os
import sys
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from .isolation import Snapshot, substitute
from .objective import Objective
from .tree import is_array, leaves, transform

HERE = os.path.dirname(os.path.abspath(__file__))
NUMPY = os.path.dirname(os.path.abspath(np.__file__))
FUNCTIONS = {np.dot, np.einsum, np.where, np.tensordot, np.inner, np.outer}
MOST_NODES = 3000
MOST_NUMBERS = 3_000_000  # read and written by one forward: with more, few hypotheses could be tried in a minute
_running: list[Tape] = []


class CannotTape(ValueError):
    """Forward cannot be written down: too long, not NumPy's, or another way at every call."""


class Traced(np.ndarray):
    """An array that tells the running tape about each operation on it."""

    def __array_ufunc__(self, ufunc: Any, method: str, *inputs: Any, out: Any = None, **kwargs: Any) -> Any:
        into = None if out is None else tuple(plain(o) for o in out)
        function = getattr(ufunc, method)
        if method not in ("__call__", "reduce") or ufunc.nout > 1 or kwargs.get("where", True) is not True:
            extra = {} if into is None else {"out": into}
            result = function(*(plain(x) for x in inputs), **kwargs, **extra)
            return result if out is None else (out[0] if len(out) == 1 else out)

        def compute(*operands: Any) -> Any:
            return function(*operands, **kwargs)

        name = ufunc.__name__ + ("" if method == "__call__" else ".reduce")
        result = perform(name, compute, inputs, None if into is None else into[0], kwargs)
        return result if out is None else out[0]

    def __array_function__(self, func: Any, types: Any, args: Any, kwargs: Any) -> Any:
        if func is np.where and len(args) != 3:
            return func(*(plain(a) for a in args), **kwargs)
        if func not in FUNCTIONS or "out" in kwargs:
            return super().__array_function__(func, types, args, kwargs)
        return perform(func.__name__, lambda *operands: func(*operands, **kwargs), args, None, kwargs)

    def dot(self, other: Any, out: Any = None) -> Any:
        return np.dot(self, other)

    def __getitem__(self, index: Any) -> Any:
        parts = index_parts(index)
        if not _running or not any(isinstance(i, (np.ndarray, list, range)) for i in parts):
            found = super().__getitem__(index)
            return super().__getitem__((*parts, ...)) if isinstance(found, np.floating) else found  # b[f] is seen too
        return perform("lookup", lambda x: x[index], (self,), None, {})


def index_parts(index: Any) -> tuple:
    return index if isinstance(index, tuple) else (index,)


def plain(x: Any) -> Any:
    return x.view(np.ndarray) if isinstance(x, Traced) else x


def perform(name: str, compute: Callable, operands: tuple, into: Any, kwargs: dict) -> Any:
    """Do one operation, by way of the running tape; into an array that is there already, or into a new one."""
    bare = [plain(x) for x in operands]
    result = _running[-1].operation(name, compute, bare, kwargs) if _running else compute(*bare)
    if into is not None:
        np.copyto(into, result, casting="unsafe")
        return into
    return np.asarray(result).view(Traced) if isinstance(result, (np.ndarray, np.floating)) else result


@dataclass
class Node:
    """One operation of the first run.

    Attributes
    ----------
    family : tuple
        The places in the code that led to it: equal for the rounds of a loop.
    round : int
        Which time round, from 0.
    operands, result
        Copies of the numbers.
    live : list of bool
        Which operands depend on what is differentiated.
    variables : list of (str or None)
        The name of the differentiated array that an operand is, or is a view of.
    covers : list of (ndarray or None)
        Which of that array's elements the view shows, as flat indices, where it shows a part.
    words : list of str
        What the code calls the operands.
    place : str
        "file.py:12: the expression"; "file.py:12 from 30: ..." in a function that line 30 calls.
    """

    number: int
    name: str
    family: tuple
    round: int
    place: str
    words: list[str]
    operands: list[Any]
    result: Any
    compute: Callable
    kwargs: dict
    variables: list[str | None]
    covers: list[Any]
    live: list[bool] = field(default_factory=list)

    @property
    def elementwise(self) -> bool:
        return self.name == "where" or ("." not in self.name and hasattr(np, self.name) and self.name not in BLENDS)


BLENDS = {"matmul", "dot", "einsum", "tensordot", "inner", "outer", "vecdot", "vecmat", "matvec"}


class Tape:
    """The operations of one forward.

    Parameters
    ----------
    objective : Objective

    Use as a context: leaving puts the target's own arrays back.

    Attributes
    ----------
    nodes : list of Node
    changes : dict of int to function
        What operation number k does instead: a function of (node, operands) that returns the result.
    weights : tuple
        What the outputs are multiplied by: the objective's, unless a hypothesis says otherwise.
    extra : float
        Added to f by changes that end the way to f and begin another: see `detached`.
    runs, cost : int
        Forward passes made; numbers that each reads and writes.

    Raises
    ------
    CannotTape
    """

    def __init__(self, objective: Objective):
        self.objective, self.target = objective, objective.target
        self.nodes: list[Node] = []
        self.changes: dict[int, Callable] = {}
        self.probed: dict[tuple[int, int], Any] = {}
        self.weights, self.extra = objective.weights, 0.0
        self.runs, self.cost = 0, 0
        self._counts: dict[tuple, int] = {}
        self._number, self._mode = 0, "write"

    def __enter__(self) -> Tape:
        if self.objective.replayed == "state":
            raise CannotTape("a forward that keeps state from call to call is not written down")
        variables = self.objective.variables
        if not all(type(v) is np.ndarray and v.dtype == np.float64 for v in variables.values()):
            raise CannotTape("only NumPy arrays in float64 are written down")
        self._before = Snapshot(self.target.source)
        self._inputs = self.target.inputs
        views = {id(v): v.view(Traced) for v in variables.values()}
        substitute(self._before, views)
        self.target.inputs = transform(lambda x: views.get(id(x), x), self._inputs)
        try:
            self.value()
            self._mode = "compare"
            self._find_live()
        except CannotTape:
            self.__exit__()
            raise
        except Exception as error:
            self.__exit__()
            raise CannotTape(f"{type(error).__name__}: {error}") from error
        self._mode = "repeat"
        return self

    def __exit__(self, *error: Any) -> None:
        self._before.restore(keep={id(v) for v in self.objective.variables.values()})
        self.target.inputs = self._inputs

    def _find_live(self) -> None:
        """Move every variable a little and see which operands move."""
        rng = np.random.default_rng(0)
        held = {name: v.copy() for name, v in self.objective.variables.items()}
        try:
            for name, v in self.objective.variables.items():
                v[...] = held[name] + 1e-6 * rng.uniform(0.5, 1, v.shape)
            self.value()
        finally:
            for name, v in self.objective.variables.items():
                v[...] = held[name]

    def value(self) -> float:
        """f of one forward, with the changes."""
        self._number, self.probed, self.extra = 0, {}, 0.0
        self.runs += 1
        _running.append(self)
        try:
            ys = self.objective.forward()
        finally:
            _running.pop()
        self.target.forget()
        if self._mode != "write" and self._number != len(self.nodes):
            raise CannotTape("forward took another way")
        total = self.extra
        for (_, w), (_, y) in zip(leaves("", self.weights), leaves("", ys), strict=True):
            if w is not None:
                total += float((plain(y) * w).sum()) if is_array(y) else float(y) * float(w)
        return total

    def operation(self, name: str, compute: Callable, operands: list[Any], kwargs: dict) -> Any:
        """Called for every operation: write it down, or do it again as `changes` has it."""
        if self._mode == "write":
            result = compute(*operands)
            if getattr(result, "dtype", np.dtype(int)).kind == "f":
                if len(self.nodes) >= MOST_NODES:
                    raise CannotTape("forward is too long to be written down")
                self.cost += 200 + result.size + sum(np.size(x) for x in operands)
                if self.cost > MOST_NUMBERS:
                    raise CannotTape(
                        "forward is too large to be written down; the same code may be told more when small"
                    )
                self._write(name, compute, operands, kwargs, result)
            return result
        k = self._number
        if k >= len(self.nodes) or self.nodes[k].name != name:
            result = compute(*operands)
            if getattr(result, "dtype", np.dtype(int)).kind == "f":
                raise CannotTape("forward took another way")
            return result  # a comparison: no derivative
        node = self.nodes[k]
        self._number += 1
        if self._mode == "compare":
            pairs = zip(operands, node.operands, strict=True)
            node.live = [isinstance(a, np.ndarray) and a.dtype.kind == "f" and bool((a != b).any()) for a, b in pairs]
        return self.changes[k](node, operands) if k in self.changes else compute(*operands)

    def _write(self, name: str, compute: Callable, operands: list[Any], kwargs: dict, result: Any) -> None:
        family, place, words = calling_code(name, len(operands))
        count = self._counts.get(family, 0)
        self._counts[family] = count + 1
        variables = [
            next((n for n, v in self.objective.variables.items() if np.may_share_memory(x, v)), None)
            if isinstance(x, np.ndarray)
            else None
            for x in operands
        ]
        covers = [
            None if n is None else elements_seen(x, self.objective.variables[n])
            for n, x in zip(variables, operands, strict=True)
        ]
        kept = [np.array(x, copy=True) if isinstance(x, np.ndarray) else x for x in operands]
        self.nodes.append(
            Node(
                len(self.nodes),
                name,
                family,
                count,
                place,
                words,
                kept,
                np.array(result),
                compute,
                kwargs,
                variables,
                covers,
            )
        )


def elements_seen(view: np.ndarray, array: np.ndarray) -> np.ndarray | None:
    """The flat indices of the elements of `array` that `view`, a part of it, shows; None if it shows them all."""
    if view.size >= array.size or not array.flags.c_contiguous:
        return None
    start = (view.__array_interface__["data"][0] - array.__array_interface__["data"][0]) // array.itemsize
    found = np.full(view.shape, start)
    for axis, (length, stride) in enumerate(zip(view.shape, view.strides, strict=True)):
        steps = np.arange(length) * (stride // array.itemsize)
        found = found + steps.reshape((length,) + (1,) * (view.ndim - axis - 1))
    return found


# --- changes ---------------------------------------------------------------------------------------------------------


def gain(j: int, L: Callable) -> Callable:
    """Operand j (the result if j is -1) passes L(its movement) on."""

    def changed(node: Node, operands: list[Any]) -> Any:
        if j == -1:
            return node.result + L(node.compute(*operands) - node.result)
        operands = list(operands)
        moved = operands[j] - node.operands[j]
        for i in range(len(operands)):
            if i == j or (node.live[i] and np.array_equal(node.operands[i], node.operands[j])):  # x * x is one path
                operands[i] = node.operands[i] + L(moved)
        return node.compute(*operands)

    return changed


def cofactor(j: int, other: int, value: Any) -> Callable:
    """In a product, operand j's movement is multiplied by `value` where the operand `other` belongs."""

    def changed(node: Node, operands: list[Any]) -> Any:
        still, moving = list(operands), list(node.operands)
        still[j] = node.operands[j]
        moving[j], moving[other] = operands[j] - node.operands[j], value
        return node.compute(*still) + node.compute(*moving)

    return changed


def probe(tape: Tape, j: int, then: Callable | None = None) -> Callable:
    """Only look at operand j, for a slope later on."""

    def changed(node: Node, operands: list[Any]) -> Any:
        tape.probed[node.number, j] = operands[j] - node.operands[j]
        return then(node, operands) if then else node.compute(*operands)

    return changed


def slope(tape: Tape, source: tuple[int, int], derivative: Callable) -> Callable:
    """The result moves by derivative(movement of the probed operand)."""

    def changed(node: Node, operands: list[Any]) -> Any:
        if source[0] == node.number:
            tape.probed[source] = operands[source[1]] - node.operands[source[1]]
        return node.result + derivative(tape.probed[source])

    return changed


def detached(tape: Tape) -> Callable:
    """The result's elements all count by 1, whatever comes after: backward forgot the gradient that came in."""

    def changed(node: Node, operands: list[Any]) -> Any:
        tape.extra += float((node.compute(*operands) - node.result).sum())
        return node.result

    return changed


# --- whose code it was -----------------------------------------------------------------------------------------------


def calling_code(name: str, count: int) -> tuple[tuple, str, list[str]]:
    """(the chain of code positions down to here, "file.py:12: expression", what the code calls each operand)."""
    frame, chain, asked, caller = sys._getframe(2), [], None, None
    while frame is not None:
        file = frame.f_code.co_filename
        if file.startswith(HERE + os.sep):
            if frame.f_code.co_name == "run":
                break
        else:
            chain.append((file, frame.f_code.co_name, frame.f_lasti))
            if asked is None and not file.startswith(NUMPY):
                asked = frame
            elif asked is not None and caller is None and file == asked.f_code.co_filename:
                caller = frame
        frame = frame.f_back
    if asked is None:
        return tuple(chain), name, [f"operand {j + 1}" for j in range(count)]
    expression, words = expression_at(asked, count)
    place = f"{os.path.basename(asked.f_code.co_filename)}:{asked.f_lineno}"
    place += f" from {caller.f_lineno}" if caller is not None else ""
    return tuple(chain), f"{place}: {expression}", words


def expression_at(frame: Any, count: int) -> tuple[str, list[str]]:
    """The source of the operation that `frame` is at, and of its operands."""
    words = [f"operand {j + 1}" for j in range(count)]
    line, last, start, stop = list(frame.f_code.co_positions())[frame.f_lasti // 2]
    text = linecache.getline(frame.f_code.co_filename, line) if line else ""
    if line != last or start is None or not text:
        return " ".join(text.split()), words
    source = text.encode()[start:stop].decode()
    try:
        tree = ast.parse(source).body[0]
    except (SyntaxError, IndexError):
        return source, words
    value = tree.value if isinstance(tree, ast.Expr) else tree
    if isinstance(value, ast.BinOp):
        parts = [value.left, value.right]
    elif isinstance(value, ast.AugAssign):
        parts = [value.target, value.value]
    elif isinstance(value, ast.UnaryOp):
        parts = [value.operand]
    elif isinstance(value, ast.Call):
        method = isinstance(value.func, ast.Attribute) and ast.unparse(value.func.value) not in ("np", "numpy", "xp")
        parts = ([value.func.value] if method else []) + list(value.args)
    else:
        parts = []
    for j, part in enumerate(parts[:count]):
        words[j] = ast.unparse(part)
    return source, words
