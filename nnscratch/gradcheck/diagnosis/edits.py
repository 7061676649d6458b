"""List the changes that backward_edits.py tries in an expression of backward. The most likely mistakes come first.

If a change makes the gradients right, backward contains the mistake on the left:

    the wrong array used                another variable of the function instead of this variable
    a factor too many                   a product or a quotient without one operand
    sign flipped                        + for -, - for +, a minus added or removed
    transposed                          .T added or removed
    derivative taken at the wrong value an elementwise function such as tanh added or removed
    another mask applied                a different comparison, such as < for >
    summed over the wrong axis          another axis of a sum
    a number wrong                      a number plus or minus one, doubled, halved or negated
    scaled by a constant                a value that is twice or half as large
    a derivative wrong                  a square added or removed
    a factor missing                    a product or a quotient with one more variable, or with moved parentheses
    loop in the wrong order             the iterations of a loop in the reverse order
    stride forgotten                    an index times one more factor

For example, if ``dx = dy @ W`` becomes right as ``dx = dy @ W.T``, the mistake is "transposed".

statement_edits.py lists the changes of a whole statement, such as ``+=`` for ``=``. An `Edit` changes the syntax tree
of the function. It undoes the change after the function is compiled.
"""

from __future__ import annotations

import ast
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np

from ..nested import attribute_of, is_array
from .expression_slots import Slot, index_slots, is_chain, slots
from .statement_edits import header, statement_edits

COMPARISONS: dict[type, type] = {ast.Gt: ast.Lt, ast.Lt: ast.Gt, ast.GtE: ast.LtE, ast.LtE: ast.GtE}
ELEMENTWISE = frozenset("exp log sqrt tanh sin cos abs sigmoid relu softplus".split())
SUMS = frozenset("sum mean average std var".split())
ORDINALS = ("first", "second", "third", "fourth", "fifth")
MAX_SIZE = 1_000_000
Simple = ast.Assign | ast.AugAssign | ast.AnnAssign | ast.Return | ast.Expr


@dataclass
class Edit:
    """One change of the syntax tree of backward. A ``with`` block changes the tree, and restores it at the end.

    Attributes
    ----------
    rank : float
        A likely mistake has a smaller rank than an unlikely mistake.
    mistake, evidence : str
        As in a Diagnosis.
    line : int
        The line number of the statement that contains the expression.
    statement : str
        The source of this statement.
    slot : Slot
        The position of the expression in the syntax tree.
    new : ast.expr
        The new expression.
    """

    rank: float
    mistake: str
    evidence: str
    line: int
    statement: str
    slot: Slot
    new: Any

    @property
    def doubles(self) -> bool:
        """True if the change doubles the whole value of a statement."""
        two = isinstance(self.new, ast.BinOp) and isinstance(self.new.left, ast.Constant)
        return two and self.new.right is self.slot.node

    @property
    def negates(self) -> bool:
        """True if the change negates the whole value of a statement."""
        return isinstance(self.new, ast.UnaryOp) and self.new.operand is self.slot.node

    def __enter__(self) -> None:
        self._old = self.slot.node
        self.slot.put(self.new)

    def __exit__(self, *error: Any) -> None:
        self.slot.put(self._old)


def edits_of(definition: ast.FunctionDef, variables: dict[str, Any]) -> list[Edit]:
    """Return the changes to try in a function that backward runs, the most likely mistakes first.

    Parameters
    ----------
    definition : ast.FunctionDef
    variables : dict
        The local variables of the function. Their values show which variables are arrays or numbers.
    """
    statements = [n for n in ast.walk(definition) if isinstance(n, Simple) and getattr(n, "value", None) is not None]
    named = {**attributes_of(definition, variables), **variables}
    known = {name: value for name, value in named.items() if is_numeric(value)}
    read = {ast.unparse(n) for n in ast.walk(definition) if isinstance(n, ast.Attribute)}
    factors = {name: value for name, value in known.items() if "." not in name or name in read}
    calls = elementwise_calls(definition)
    found = []
    for statement in sorted(statements, key=lambda n: n.lineno):
        source, used = ast.unparse(statement), list(slots(statement))
        axes = axes_of(statement)
        inside = [n.slice for n in ast.walk(statement.value) if isinstance(n, ast.Subscript)]
        indices = {id(n) for index in inside for n in ast.walk(index)}
        for slot in index_slots(statement):
            for rank, mistake, words, new in other_indices(slot.node, factors):
                ast.fix_missing_locations(ast.copy_location(new, slot.node))
                evidence = f"in backward, {words} in `{source}`"
                found.append(Edit(rank, mistake, evidence, statement.lineno, source, slot, new))
        for slot in used:
            wholes = statement.value.elts if isinstance(statement.value, ast.Tuple) else [statement.value]
            whole = any(slot.node is w for w in wholes)
            for rank, mistake, words, new in [
                *changes(slot.node, known, factors, whole),
                *other_values(slot.node, known, calls),
            ]:
                which = f"`{ast.unparse(slot.node)}`"
                same = [s for s in used if ast.unparse(s.node) == which[1:-1]]
                if len(same) > 1:
                    number = next(k for k, s in enumerate(same) if s.node is slot.node)
                    which = f"the {ORDINALS[min(number, 4)]} {which}"
                if mistake == "a number wrong" and id(slot.node) in axes:
                    mistake, words = axes[id(slot.node)]
                if mistake == "a factor missing" and id(slot.node) in indices:  # such as x[i + j] for x[i * stride + j]
                    mistake, words = "stride forgotten", "the index %e lacks a factor"
                if not hasattr(new, "lineno"):  # a new node has no line number yet
                    ast.fix_missing_locations(ast.copy_location(new, slot.node))
                evidence = f"in backward, {words.replace('%e', which)} in `{source}`"
                found.append(Edit(rank, mistake, evidence, statement.lineno, source, slot, new))
    for rank, mistake, words, statement, (parent, field, index), new in statement_edits(definition, known):
        if not hasattr(new, "lineno"):
            ast.fix_missing_locations(ast.copy_location(new, statement))
        source = header(statement)
        evidence = f"in backward, {words} in `{source}`"
        found.append(Edit(rank, mistake, evidence, statement.lineno, source, Slot(parent, field, index), new))
    return sorted(found, key=lambda edit: edit.rank)


def attributes_of(definition: ast.FunctionDef, variables: dict[str, Any]) -> dict[str, Any]:
    """Return {source: value} for each attribute that the function reads, such as {"self.x": the array}.

    Leave out attributes that are neither arrays nor numbers. The result also contains all other arrays of ``self``,
    because backward may need one of them.

    Examples
    --------
    >>> (definition,) = ast.parse("def backward(self, dy): return dy * self.x.real").body
    >>> from types import SimpleNamespace
    >>> attributes_of(definition, {"self": SimpleNamespace(x=SimpleNamespace(real=2.0))})
    {'self.x.real': 2.0}
    """
    read = [n for n in ast.walk(definition) if isinstance(n, ast.Attribute) and isinstance(n.ctx, ast.Load)]
    chains = {ast.unparse(node): node for node in read if is_chain(node)}
    held = attribute_of(variables.get("self"), "__dict__", {})
    chains |= {f"self.{k}": parsed(f"self.{k}") for k, v in held.items() if is_array(v) and k.isidentifier()}
    values = {text: value_of(node, variables) for text, node in chains.items()}
    return {text: value for text, value in values.items() if value is not None}


def value_of(node: Any, variables: dict[str, Any]) -> Any:
    """Return the value of a name or an attribute if it is an array or a number, else None."""
    try:
        value = eval(compile(ast.Expression(node), "<name>", "eval"), {}, variables)  # noqa: S307  reads attributes only
    except Exception:  # a property of the user's class may raise any error
        return None
    return value if is_numeric(value) else None


def is_numeric(value: Any) -> bool:
    """Return True for an array of numbers, or a number. Return False for a huge integer, because it may be a seed."""
    if isinstance(value, np.ndarray):
        return value.dtype.kind in "fiu"
    if isinstance(value, (int, np.integer)):
        return not isinstance(value, bool) and abs(int(value)) <= MAX_SIZE
    return isinstance(value, (float, np.floating))


Change = tuple[float, str, str, Any]  # rank, mistake, words, new expression


def changes(node: Any, known: dict[str, Any], factors: dict[str, Any], whole: bool) -> Iterator[Change]:
    """Yield (rank, mistake, words, new expression) for each change of the expression `node`.

    `words` is a text for the report. Its "%e" will be replaced by the source of `node`.

    Parameters
    ----------
    node : ast.expr
    known : dict
        The arrays and numbers that the function uses. The keys are their names.
    factors : dict
        The arrays and numbers that may be a missing factor. The keys are their names.
    whole : bool
        True if `node` is the value that a statement assigns or returns. In ``return dx, dw``, each item of the tuple
        counts as such a value.
    """
    yield from other_variables(node, known)
    yield from other_operations(node)
    yield from other_comparisons(node, known)
    yield from other_numbers(node)
    if whole and not isinstance(node, ast.Constant):
        yield 0.02, "sign flipped", "the sign of %e is wrong", ast.UnaryOp(ast.USub(), node)
        yield 0.05, "scaled by a constant", "%e must be twice as large", ast.BinOp(ast.Constant(2.0), ast.Mult(), node)
        yield 0.05, "scaled by a constant", "%e must be half as large", ast.BinOp(node, ast.Div(), ast.Constant(2))
    yield from missing_factors(node, known, factors, whole)


def other_variables(node: Any, known: dict[str, Any]) -> Iterator[Change]:
    """Yield changes that replace a variable v by another variable, v ** 2 or v.T, or that replace v.T by v.

    `changes` describes the tuples.
    """
    text = ast.unparse(node)
    own = known.get(text)
    if own is not None:
        for name, value in known.items():
            if name != text and (np.shape(value) == np.shape(own)):
                yield 0.0, "the wrong array used", "%e is the wrong variable", parsed(name)
        # Do not square an integer. It may be the size n of an array, and n ** 2 elements may not fit into memory.
        if np.asarray(own).dtype.kind == "f":
            yield 0.06, "a derivative wrong", "the square of %e is needed", parsed(f"{text} ** 2")
        if np.ndim(own) == 2:
            yield 0.03, "transposed", "%e must be transposed", parsed(f"{text}.T")
    if isinstance(node, ast.Attribute) and node.attr == "T":
        yield 0.03, "transposed", "%e must not be transposed", node.value


def other_operations(node: Any) -> Iterator[Change]:
    """Yield changes that replace an operation by another operation, or by one of its operands: see `changes`."""
    if isinstance(node, ast.BinOp):
        left, right = ast.unparse(node.left), ast.unparse(node.right)
        quotient, product = (ast.BinOp(node.left, kind(), node.right) for kind in (ast.Div, ast.Mult))
        if isinstance(node.op, ast.Mult):
            yield 0.01, "a factor too many", f"the factor `{right}` does not belong", node.left
            yield 0.01, "a factor too many", f"the factor `{left}` does not belong", node.right
            yield 0.05, "multiplied instead of divided", "%e must be a quotient", quotient
        elif isinstance(node.op, ast.Div):
            yield 0.01, "a factor too many", f"the division by `{right}` does not belong", node.left
            yield 0.05, "divided instead of multiplied", "%e must be a product", product
        elif isinstance(node.op, (ast.Add, ast.Sub)):
            other = ast.BinOp(node.left, ast.Sub() if isinstance(node.op, ast.Add) else ast.Add(), node.right)
            yield 0.02, "sign flipped", f"the sign in front of `{right}` is wrong", other
            for side, wide in regrouped(node):
                yield 0.045, "a factor missing", f"`{side}` multiplies only one term of %e", wide
        elif isinstance(node.op, ast.Pow):
            yield 0.06, "a derivative wrong", "the power %e is wrong", node.left
    if isinstance(node, ast.UnaryOp) and isinstance(node.op, ast.USub) and not isinstance(node.operand, ast.Constant):
        yield 0.02, "sign flipped", "the minus of %e does not belong", node.operand


def other_comparisons(node: Any, known: dict[str, Any]) -> Iterator[Change]:
    """Yield changes that replace ``a > 0`` by ``a < 0``, and by ``a > b`` for other variables b: see `changes`."""
    if isinstance(node, ast.Compare) and len(node.ops) == 1 and type(node.ops[0]) in COMPARISONS:
        turned = ast.Compare(node.left, [COMPARISONS[type(node.ops[0])]()], node.comparators)
        yield 0.04, "another mask applied", "the comparison %e is wrong", turned
        left = known.get(ast.unparse(node.left))
        for name, value in known.items() if isinstance(node.comparators[0], ast.Constant) and left is not None else ():
            if np.shape(value) == np.shape(left):
                other = ast.Compare(node.left, node.ops, [parsed(name)])
                yield 0.04, "another mask applied", "the comparison %e is wrong", other


def other_numbers(node: Any) -> Iterator[Change]:
    """Yield changes that replace a number n by n + 1, n - 1, 2 n, n / 2 and -n: see `changes`."""
    if isinstance(node, ast.Constant) and type(node.value) in (int, float):
        values = (node.value + 1, node.value - 1, 2 * node.value, node.value / 2, -node.value)
        for value in dict.fromkeys(v for v in values if v != node.value):
            new = ast.Constant(value) if value >= 0 else ast.UnaryOp(ast.USub(), ast.Constant(-value))
            yield 0.04, "a number wrong", "the number %e is wrong", new


def missing_factors(node: Any, known: dict[str, Any], factors: dict[str, Any], whole: bool) -> Iterator[Change]:
    """Yield changes that multiply an expression by each of `factors`, or divide it by each of them: see `changes`."""
    own = known.get(ast.unparse(node))
    number = isinstance(node, ast.Constant) and type(node.value) is float
    for name, value in factors.items() if own is not None or number or whole else ():
        if own is not None and not fits_into(np.shape(value), np.shape(own)):
            continue
        for operation in (ast.Mult(), ast.Div()):
            yield 0.07, "a factor missing", "a factor is missing at %e", ast.BinOp(node, operation, parsed(name))


def other_indices(node: Any, factors: dict[str, Any]) -> Iterator[tuple[float, str, str, Any]]:
    """Yield changes that replace an integer j in an index by ``j * d``, for other integers d > 1: see `changes`."""
    text = ast.unparse(node)
    for name, value in factors.items() if is_whole_number(factors.get(text)) else ():
        if name != text and is_whole_number(value) and value > 1:
            new = ast.BinOp(node, ast.Mult(), parsed(name))
            yield 0.05, "stride forgotten", f"the index `{text}` lacks a factor", new


def is_whole_number(value: Any) -> bool:
    """Return True for an integer, and False for a bool."""
    return isinstance(value, (int, np.integer)) and not isinstance(value, bool)


def regrouped(node: ast.BinOp) -> Iterator[tuple[str, ast.expr]]:
    """Yield ("c", ``(a + b) * c``) for the sum ``a + b * c``, and ("a", ``a * (b + c)``) for ``a * b + c``.

    The text "c" or "a" is the source of the factor that multiplies both terms after the change.
    """
    if isinstance(node.right, ast.BinOp) and isinstance(node.right.op, ast.Mult):
        first, factor = node.right.left, node.right.right
        yield ast.unparse(factor), ast.BinOp(ast.BinOp(node.left, node.op, first), ast.Mult(), factor)
    if isinstance(node.left, ast.BinOp) and isinstance(node.left.op, ast.Mult):
        factor, last = node.left.left, node.left.right
        yield ast.unparse(factor), ast.BinOp(factor, ast.Mult(), ast.BinOp(last, node.op, node.right))


def other_values(node: Any, known: dict[str, Any], calls: list[ast.Call]) -> Iterator[tuple[float, str, str, Any]]:
    """Yield changes that replace ``c`` by ``f(c)``, or ``f(c)`` by ``c``, for elementwise functions f: see `changes`.

    `calls` are all calls of elementwise functions in backward.
    """
    text = ast.unparse(node)
    if any(node is call for call in calls):
        yield 0.03, "derivative taken at the wrong value", "%e is the wrong value", node.args[0]
    if text in known and not any(node is call.args[0] for call in calls):
        for call in {ast.unparse(c): c for c in calls if ast.unparse(c.args[0]) == text}.values():
            yield 0.03, "derivative taken at the wrong value", "%e is the wrong value", parsed(ast.unparse(call))


def elementwise_calls(definition: ast.FunctionDef) -> list[ast.Call]:
    """Return the calls of elementwise functions of one variable, such as ``np.tanh(x)`` or ``sigmoid(self.z)``."""
    calls = [n for n in ast.walk(definition) if isinstance(n, ast.Call) and len(n.args) == 1 and not n.keywords]
    names = {id(c): getattr(c.func, "attr", getattr(c.func, "id", "")) for c in calls}
    return [c for c in calls if names[id(c)] in ELEMENTWISE and is_chain(c.args[0])]


def axes_of(statement: ast.stmt) -> dict[int, tuple[str, str]]:
    """Return {id of a node: (mistake, words)} for each node that is the number of an axis, as in ``dy.sum(axis=1)``.

    Examples
    --------
    >>> list(axes_of(ast.parse("db = dy.sum(axis=1)").body[0]).values())
    [('summed over the wrong axis', '`axis=1` is wrong')]
    """
    found = {}
    for call in [n for n in ast.walk(statement) if isinstance(n, ast.Call)]:
        name = getattr(call.func, "attr", getattr(call.func, "id", ""))
        mistake = "summed over the wrong axis" if name in SUMS else "a number wrong"
        for keyword in call.keywords:
            if keyword.arg == "axis":
                words = f"`{ast.unparse(keyword)}` is wrong"
                found |= {id(n): (mistake, words) for n in ast.walk(keyword.value) if isinstance(n, ast.Constant)}
    return found


def fits_into(small: tuple[int, ...], large: tuple[int, ...]) -> bool:
    """Return True if an array of shape `small` can be broadcast to the shape `large`."""
    return len(small) <= len(large) and all(a in (1, b) for a, b in zip(small[::-1], large[::-1], strict=False))


def parsed(text: str) -> Any:
    """Return the syntax tree of an expression."""
    return ast.parse(text, mode="eval").body
