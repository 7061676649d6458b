"""The values of expressions in a frame. An expression is computed again only if this cannot change any variable."""

from __future__ import annotations

import ast
import operator
import warnings
from types import FrameType, FunctionType, MethodType, ModuleType
from typing import Any

import numpy as np

from ..parameter import Parameter

ARRAY_ATTRIBUTES = {"T", "shape", "size", "ndim", "dtype", "real", "imag"}
ARRAY_METHODS = set(
    "all any argmax astype clip copy cumsum dot flatten max mean min prod ravel reshape squeeze std sum swapaxes "
    "transpose var".split()
)
NUMPY_FUNCTIONS = set(
    "exp log log1p expm1 tanh sqrt abs sign square maximum minimum where clip sum mean max min outer dot reshape "
    "transpose concatenate stack array asarray zeros zeros_like ones ones_like eye arange triu".split()
)
OPERATIONS = {
    **{ast.Add: operator.add, ast.Sub: operator.sub, ast.Mult: operator.mul, ast.Div: operator.truediv},
    **{ast.FloorDiv: operator.floordiv, ast.MatMult: operator.matmul, ast.Pow: operator.pow},
    **{ast.USub: operator.neg, ast.Invert: operator.invert},
    **{ast.Lt: operator.lt, ast.Gt: operator.gt, ast.LtE: operator.le, ast.GtE: operator.ge, ast.Eq: operator.eq},
}
LARGEST = 10**6  # operations on arrays with more elements than this are not computed again
SHAPES = 3  # the largest number of shapes in the description of a list of arrays


class Unknown(Exception):
    """To find the value of this expression, the reader's code would have to run again."""


class SafeValues:
    """Look up or compute the values of expressions with the variables of a frame.

    Parameters
    ----------
    frame : frame

    Examples
    --------
    >>> import sys
    >>> x = np.ones((4, 3))
    >>> values = SafeValues(sys._getframe())
    >>> values.of(ast.parse("x.T @ x", mode="eval").body).shape
    (3, 3)
    >>> values.of(ast.parse("x.fill(0)", mode="eval").body)
    Traceback (most recent call last):
    ...
    nnscratch.testing.safe_values.Unknown: x.fill(0)
    """

    def __init__(self, frame: FrameType):
        self.variables = {**frame.f_builtins, **frame.f_globals, **frame.f_locals}

    def of(self, node: Any) -> Any:
        """Return the value of an expression.

        Raises
        ------
        Unknown
            The expression calls a function that is not in the lists above, has an unknown name, or raises an error.
        """
        try:
            with np.errstate(all="ignore"), warnings.catch_warnings():
                warnings.simplefilter("ignore")
                return self._of(node)
        except Exception as error:
            raise Unknown(ast.unparse(node)) from error

    def _of(self, node: Any) -> Any:
        if isinstance(node, ast.Constant):
            return node.value
        if isinstance(node, ast.Name):
            return self.variables[node.id]
        if isinstance(node, ast.Tuple):
            return tuple(self._of(item) for item in node.elts)
        if isinstance(node, ast.List):
            return [self._of(item) for item in node.elts]
        if isinstance(node, ast.Slice):
            return slice(*(None if part is None else self._of(part) for part in (node.lower, node.upper, node.step)))
        if isinstance(node, ast.Attribute):
            return self._attribute(self._of(node.value), node.attr)
        if isinstance(node, ast.Subscript):
            base = self._of(node.value)
            return allow(base, type(base) in (np.ndarray, tuple, list, dict, str))[self._of(node.slice)]
        if isinstance(node, (ast.BinOp, ast.UnaryOp, ast.Compare)):
            return self._operation(node)
        if isinstance(node, ast.Call):
            return self._call(node)
        raise Unknown

    def _attribute(self, base: Any, name: str) -> Any:
        if isinstance(base, (ModuleType, type)) or type(base) is np.ndarray and name in ARRAY_ATTRIBUTES:
            return getattr(base, name)
        if isinstance(base, Parameter) and name in ("data", "grad", "shape"):
            return getattr(base, name)
        return vars(base)[name]

    def _operation(self, node: Any) -> Any:
        if isinstance(node, ast.UnaryOp):
            kind, parts = node.op, [node.operand]
        elif isinstance(node, ast.BinOp):
            kind, parts = node.op, [node.left, node.right]
        else:
            kind, parts = allow(node.ops, len(node.ops) == 1)[0], [node.left, *node.comparators]
        operands = [self._of(part) for part in parts]
        for value in operands:
            plain = type(value) is np.ndarray or isinstance(value, (bool, int, float, complex, np.generic))
            allow(value, plain and np.size(value) <= LARGEST)
        return OPERATIONS[type(kind)](*operands)

    def _call(self, node: ast.Call) -> Any:
        if not isinstance(node.func, ast.Attribute) or any(keyword.arg in (None, "out") for keyword in node.keywords):
            raise Unknown
        base, name = self._of(node.func.value), node.func.attr
        allow(base, name in NUMPY_FUNCTIONS if base is np else type(base) is np.ndarray and name in ARRAY_METHODS)
        arguments = [self._of(argument) for argument in node.args]
        return getattr(base, name)(*arguments, **{keyword.arg: self._of(keyword.value) for keyword in node.keywords})

    def function(self, call: ast.Call) -> Any:
        """Return the Python function that a call runs, or None if it is unknown. For a Module, this is its forward."""
        try:
            callee = self.of(call.func)
        except Unknown:
            callee = self._called(call.func)
        if isinstance(callee, (FunctionType, MethodType)):
            return callee
        forward = getattr(type(callee), "forward", None)
        return forward if isinstance(forward, FunctionType) else None

    def _called(self, node: Any) -> Any:
        """Return the method that a call of `node` runs, for example `forward` if `node` is ``Layer()``."""
        try:
            if isinstance(node, ast.Attribute):
                return getattr(type(self.of(node.value)), node.attr, None)
            if isinstance(node, ast.Call):
                return getattr(self.of(node.func), "forward", None)
        except Unknown:
            pass
        return None


def allow(value: Any, condition: bool) -> Any:
    """Return `value` if `condition` is True. Otherwise raise Unknown."""
    if not condition:
        raise Unknown
    return value


def describe(value: Any) -> str:
    """Return a short description of a value: the shape of an array, the value of a number, else the type.

    Examples
    --------
    >>> describe(np.ones((4, 3))), describe(0.5), describe([1, 2]), describe(np.arange(3)), describe(describe)
    ('(4, 3)', '0.5', 'a list of 2 elements', '(3,) of int64', 'a function')
    """
    if value is None or value is ... or isinstance(value, bool):
        return "`...`" if value is ... else str(value)
    if isinstance(value, (int, float, complex, np.number)):
        return f"{value:.4g}" if isinstance(value, (float, np.floating)) else str(value)
    if isinstance(value, Parameter):
        return f"a Parameter; its values are in .data, of shape {value.data.shape}"
    shape = getattr(value, "shape", None)
    if isinstance(shape, tuple):
        kind = getattr(value, "dtype", None)
        return f"{shape}" + (f" of {kind}" if kind is not None and np.dtype(kind).kind != "f" else "")
    if isinstance(value, (tuple, list)):
        elements = "1 element" if len(value) == 1 else f"{len(value)} elements"
        return f"a {type(value).__name__} of {elements}"
    if isinstance(value, dict):
        return f"a dict with the keys {', '.join(map(repr, list(value)[:5]))}" if value else "an empty dict"
    names = {str: "a string", type: "a class", range: "a range"}
    if callable(value) and not isinstance(value, type) and hasattr(value, "__name__"):
        return "a function"
    name = type(value).__name__
    return names.get(type(value), f"{'an' if name[0] in 'AEIOUaeiou' else 'a'} {name}")


def describe_elements(value: Any) -> str:
    """Return a short description of a value. For a list or a tuple of arrays, it contains the first shapes.

    Examples
    --------
    >>> describe_elements([np.ones((1, 5)), np.ones(3)])
    'a list of 2 arrays of shapes (1, 5), (3,)'
    """
    if not (isinstance(value, (tuple, list)) and len(value) > 1 and all(isinstance(v, np.ndarray) for v in value)):
        return describe(value)
    shapes = ", ".join(str(v.shape) for v in value[:SHAPES])
    more = ", ..." if len(value) > SHAPES else ""
    return f"a {type(value).__name__} of {len(value)} arrays of shapes {shapes}{more}"
