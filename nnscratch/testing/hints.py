"""Hints for a beginner: explain an error by the values in the line that raised it."""

from __future__ import annotations

import ast
import difflib
import importlib.util
import inspect
import re
import textwrap
from collections.abc import Iterator
from types import FunctionType, ModuleType
from typing import Any

import numpy as np

from .safe_values import SafeValues, Unknown, describe, describe_elements
from .traceback_places import Place, is_library, spans

STILL_DOTS = "Your code still contains `...`: replace it with your answer."
MISMATCH = "the shapes do not fit"
SHOWN = 4  # the largest number of values in a hint
SYMBOLS = {ast.Add: "+", ast.Sub: "-", ast.Mult: "*", ast.Div: "/", ast.Pow: "**", ast.FloorDiv: "//"}


def error_hints(place: Place, error: BaseException) -> list[str]:
    """Return sentences that explain `error`, which was raised in `place`."""
    values, words, node = SafeValues(place.frame), str(error), place.expression
    found = named_values(node, values)
    if any(value is ... for value in found.values()):
        return [STILL_DOTS]
    hints = []
    if isinstance(error, NameError):
        return name_hints(error, place, values)
    if "unpack" in words:
        return unpack_hints(place, values, words)
    if isinstance(error, TypeError) and (called := re.match(r"([\w.<>]+)\(\) (takes|missing|got)", words)):
        return signature_hints(called[1], place, values)
    if "NoneType" in words or any(value is None for value in found.values()):
        hints = none_hints(node, place, values)
    elif isinstance(node, ast.Call) and "invalid index to scalar" in words:  # the called function indexes its argument
        hints = [f"`{ast.unparse(node.func)}` was called with one number. It needs a whole array."]
    elif "not subscriptable" in words or "invalid index to scalar" in words:
        hints = [f"`{name}` must return several values. It returns one." for name in called_names(node, values)]
    elif isinstance(error, AttributeError):
        hints = attribute_hints(error, node, found)
    elif "truth value of an array" in words:
        if place.of_check:
            return number_hints(place, values)
        hints = [
            "`if`, `and` and `or` need one True or False. np.where and & work on each element; .all() and .any() give "
            "one answer."
        ]
    elif "__format__" in words and place.of_check:
        return number_hints(place, values)
    if "dtype('<U" in words:
        hints = ["One of the values is a string. A number is needed."]
    if isinstance(node, ast.BinOp) and isinstance(node.op, ast.BitXor):
        hints = ["In Python, a power is written `**`, not `^`."]
    if ("empty" in words or "zero-size" in words) and (empty := empty_hints(found, values)):
        return empty
    hints += saved_hints(place, values, found)
    return [*shape_hints(node, values), *hints] or [*values_line(found), *hints]


def values_line(found: dict[str, Any]) -> list[str]:
    """Return one line that lists the values, such as "Here `dz` is (16, 5), `x` is (4, 3)."."""
    words = {name: describe_elements(value) for name, value in found.items() if not is_obvious(value)}
    shown = [f"`{name}` is {text}" for name, text in words.items() if name != text]
    return [f"Here {', '.join(shown[:SHOWN])}."] if shown else []


def is_obvious(value: Any) -> bool:
    """Return True if a description of the value would not help."""
    return isinstance(value, (ModuleType, slice)) or isinstance(value, type)


def named_values(node: Any, values: SafeValues) -> dict[str, Any]:
    """Return the values of an expression's operands, or of the names in a statement. The keys are source texts."""
    if isinstance(node, ast.BinOp):
        parts = [node.left, node.right]
    elif isinstance(node, ast.AugAssign):
        parts = [node.target, node.value]
    elif isinstance(node, ast.Compare):
        parts = [node.left, *node.comparators]
    elif isinstance(node, ast.Subscript):
        indices = node.slice.elts if isinstance(node.slice, ast.Tuple) else [node.slice]
        bounds = [[i.lower, i.upper, i.step] if isinstance(i, ast.Slice) else [i] for i in indices]
        parts = [node.value, *(bound for group in bounds for bound in group if bound is not None)]
    elif isinstance(node, (ast.Attribute, ast.Starred)):
        parts = [node.value]
    elif isinstance(node, ast.Call):
        receiver = [node.func.value] if isinstance(node.func, ast.Attribute) else []
        parts = receiver + node.args + [keyword.value for keyword in node.keywords]
    else:
        names = [n for n in ast.walk(node) if isinstance(n, ast.Name)] if node is not None else []
        parts = [name for name in names if isinstance(name.ctx, ast.Load)]
    found: dict[str, Any] = {}
    for part in parts:
        for inner in part.elts if isinstance(part, (ast.Tuple, ast.List)) else [part]:
            try:
                value = values.of(inner)
            except Unknown:
                for name in (n for n in ast.walk(inner) if isinstance(n, ast.Name)):
                    value = values.variables.get(name.id)
                    if value is not None and not callable(value) and not is_obvious(value):
                        found.setdefault(name.id, value)
                continue
            if not isinstance(inner, ast.Constant) or value is ... or value is None:
                found.setdefault(ast.unparse(inner), value)
    return found


def shape_hints(node: Any, values: SafeValues) -> list[str]:
    """Return the shapes of two operands that do not fit, and the rule for their shapes."""
    for operation in ast.walk(node) if isinstance(node, ast.stmt) else [node]:
        if isinstance(operation, ast.BinOp):
            left, right = operation.left, operation.right
        elif isinstance(operation, ast.AugAssign):
            left, right = operation.target, operation.value
        else:
            continue
        try:
            a, b = np.shape(values.of(left)), np.shape(values.of(right))
        except (Unknown, ValueError):
            continue
        names = ast.unparse(left), ast.unparse(right)
        text = f"{MISMATCH}: `{names[0]}` is {a}, `{names[1]}` is {b}."
        if isinstance(operation.op, ast.MatMult):
            if a and b and a[-1] != (b[-2] if len(b) > 1 else b[-1]):
                which = "second-to-last" if len(b) > 1 else "only"
                return [f"{text} For `@`, the last axis of the first and the {which} axis of the second must be equal."]
        elif not fits(a, b):
            symbol = SYMBOLS.get(type(operation.op), "this operation")
            return [f"{text} For `{symbol}`, compare the shapes from the end: lengths must be equal, or one must be 1."]
        elif isinstance(operation, ast.AugAssign) and a != np.broadcast_shapes(a, b):
            return [f"{text} The right side must have the shape of the left one; is a sum over an axis missing?"]
    return []


def fits(a: tuple, b: tuple) -> bool:
    """Return True if arrays of these shapes can be broadcast together."""
    return all(m == n or 1 in (m, n) for m, n in zip(reversed(a), reversed(b), strict=False))


def number_hints(place: Place, values: SafeValues) -> list[str]:
    """Return a hint if the exercise uses an array where it needs a number."""
    found = named_values(place.statement, values)
    arrays = {name: value for name, value in found.items() if getattr(value, "shape", ()) != ()}
    return ["A number is needed here, not an array.", *values_line(arrays)]


def name_hints(error: NameError, place: Place, values: SafeValues) -> list[str]:
    """Return a hint for a name that has no value."""
    name = getattr(error, "name", None) or (re.findall(r"'(\w+)'", str(error)) or [""])[0]
    if isinstance(error, UnboundLocalError):
        return [f"In this function, `{name}` is used before a value is assigned to it."]
    own = [key for key in place.frame.f_locals if not key.startswith("_")]
    if "self" in own and inspect.getattr_static(values.variables["self"], name, own) is not own:
        return [f"Did you mean `self.{name}`?"]
    if elsewhere := other_function(name, place):
        return [f"`{name}` exists only in `{elsewhere}`. Compute it here too, or save it."]
    close = [key for key in own if key.lower() == name.lower()] or difflib.get_close_matches(name, own, 1)
    if close:
        return [f"Did you mean `{close[0]}`?"]
    if name.isidentifier() and hasattr(np, name):
        return [f"Did you mean `np.{name}`?"]
    if name.isidentifier() and importlib.util.find_spec(name) is not None:
        return [f"`{name}` is a module that is not imported. NumPy has most of its functions: np...."]
    return [f"No variable has the name `{name}`. Is it spelt right? Was the cell that defines it run?"]


def other_function(name: str, place: Place) -> str:
    """Return the name of a function, other than the one with the error, that has a variable `name`, or ""."""
    for around in place.nodes() + [place.tree]:
        body = getattr(around, "body", [])  # statements, but one expression in a lambda
        functions = [n for n in body if isinstance(n, ast.FunctionDef)] if isinstance(body, list) else []
        if not any(spans(function, place.line) for function in functions):
            continue
        for function in functions:
            own = {n.id for n in ast.walk(function) if isinstance(n, ast.Name) and isinstance(n.ctx, ast.Store)}
            own |= {n.arg for n in ast.walk(function) if isinstance(n, ast.arg)}
            if name in own and not spans(function, place.line):
                return function.name
    return ""


def empty_hints(found: dict[str, Any], values: SafeValues) -> list[str]:
    """Return a sentence for each array without elements, and the comparison that no element fulfils."""
    hints = []
    for text, value in found.items():
        if not isinstance(value, np.ndarray) or value.size:
            continue
        why = ""
        for node in ast.walk(ast.parse(text, mode="eval")):
            if isinstance(node, ast.Compare) and isinstance(node.ops[0], ast.Eq) and len(node.ops) == 1:
                array, number = ast.unparse(node.left), ast.unparse(node.comparators[0])
                shown = values_line(named_values(node.comparators[0], values))
                why = f": no element of `{array}` is equal to `{number}`. {' '.join(shown)}".rstrip(". ")
        hints.append(f"`{text}` is empty{why}.")
    return hints


def unpack_hints(place: Place, values: SafeValues, words: str) -> list[str]:
    """Return a hint about an assignment to several names: how many values it needs, and how many it gets."""
    target, statement = place.expression, place.statement
    source = getattr(statement, "value", None)
    for part in ast.walk(statement) if statement is not None else ():
        if isinstance(part, (ast.comprehension, ast.For)) and part.target is target:
            source = part.iter
    wanted = len(target.elts) if isinstance(target, (ast.Tuple, ast.List)) else 0
    if isinstance(statement, ast.Assign) and not wanted:
        wanted = len(getattr(statement.targets[0], "elts", []))
    if source is None:
        return []
    text = ast.unparse(source)
    if isinstance(source, ast.Call):
        names = called_names(source, values)
        if "NoneType" in words:
            return none_hints(source, place, values)
        name = names[0] if names else ast.unparse(source.func)
        got = re.search(r"got (\d+)", words)
        what = got[1] if got else "more" if "too many" in words else "one value"
        if what == "more" and (count := returned_count(values.function(source))):
            what = "one value" if count == 1 else str(count)
        return [f"`{name}` must return {wanted} values. It returns {what}."]
    try:
        value = values.of(source)
    except Unknown:
        return []
    if value is None:
        return none_hints(source, place, values)
    first = f"; the first is {describe(value[0])}" if isinstance(value, (list, tuple)) and value else ""
    if source is not getattr(statement, "value", None):
        return [f"Each element of `{text}` must hold {wanted} values. It is {describe(value)}{first}."]
    return [f"{wanted} values are needed. `{text}` is {describe(value)}{first}."]


def signature_hints(name: str, place: Place, values: SafeValues) -> list[str]:
    """Return a hint with the definition of a function that was called with wrong arguments."""
    parts = name.split(".<locals>.")[-1].split(".")
    found = values.variables.get(parts[0])
    for part in parts[1:]:
        found = getattr(found, part, None)
    for call in (n for n in ast.walk(place.expression or ast.Pass()) if isinstance(n, ast.Call)):
        function = values.function(call)
        found = function if function is not None and function.__qualname__ == name else found
    try:
        definition = f"{parts[-1]}{inspect.signature(found)}"
    except (TypeError, ValueError):
        return []
    if place.of_check or parts[-1] not in place.source:
        return [
            f"It is defined as `{definition}`. The exercise gives it other arguments: keep the `def` line as it was."
        ]
    return [f"It is defined as `{definition}`."]


def attribute_hints(error: AttributeError, node: Any, found: dict[str, Any]) -> list[str]:
    """Return a hint for an attribute that does not exist."""
    name = getattr(error, "name", None) or (re.findall(r"'(\w+)'", str(error)) or [""])[-1]
    owner = getattr(error, "obj", None)
    if isinstance(owner, (list, tuple)) and hasattr(np.ndarray, name):
        text = ast.unparse(node.value) if isinstance(node, ast.Attribute) else "it"
        return [f"`{text}` is {describe(owner)}. Arrays have .{name}: use np.array({text})."]
    close = difflib.get_close_matches(name, [key for key in dir(owner) if not key.startswith("_")], 1)
    if close:
        prefix = ast.unparse(node.value) if isinstance(node, ast.Attribute) else ""
        return [f"Did you mean `{prefix}.{close[0]}`?"]
    return values_line(found)


def saved_hints(place: Place, values: SafeValues, found: dict[str, Any]) -> list[str]:
    """Return a hint if a tuple with one array is used as an array."""
    for name, value in found.items():
        if isinstance(value, tuple) and len(value) == 1 and name.isidentifier():
            source = source_of(name, place, place.frame.f_code.co_firstlineno)
            if source is not None and ast.unparse(source).endswith(".saved()"):
                return [f"`{name}` is a tuple: saved() returns a tuple. Write `({name},) = {ast.unparse(source)}`."]
            if isinstance(source, ast.Call) and ast.unparse(source.func) in ("np.where", "np.nonzero"):
                inside = ", ".join(map(ast.unparse, source.args))
                return [f"`{name}` is a tuple: {ast.unparse(source.func)} returns one. Use np.flatnonzero({inside})."]
            comma = " A comma at the end of a line makes a tuple." if isinstance(source, ast.Tuple) else ""
            return [f"`{name}` is a tuple with one element.{comma}"]
    return []


def none_hints(node: Any, place: Place, values: SafeValues) -> list[str]:
    """Return a hint that names a value that is None, and the function that returned it."""
    if node is None:  # the source is unknown
        return []
    calls = [n for n in ast.walk(node) if isinstance(n, ast.Call)]
    start = place.check.lineno if place.of_check and place.check is not None else place.frame.f_code.co_firstlineno
    for name in (n.id for n in ast.walk(node) if isinstance(n, ast.Name)):
        if values.variables.get(name, 0) is None:
            source = source_of(name, place, start)
            if isinstance(source, ast.Call):
                calls.insert(0, source)
            elif source is None or isinstance(source, ast.Constant):
                return [f"`{name}` is None."]
    for call in calls:
        functions = called_functions(call, values)
        if functions:
            silent = [f for f in functions if (body := definition_of(f)) is not None and not has_return(body)]
            return [missing_return((silent or functions)[0])]
    return ["A value in this line is None. A function without `return` gives None."]


def source_of(name: str, place: Place, start: int) -> Any:
    """Return the last expression assigned to `name` from line `start` to the line of `place`, or None."""
    return sources(place, start).get(name)


def sources(place: Place, start: int) -> dict[str, Any]:
    """Return the expression that was last assigned to each name, from line `start` to the line of `place`."""
    found = sorted(assignments(place, start), key=lambda item: item[0])
    return {name: source for _, name, source in found}


def assignments(place: Place, start: int) -> Iterator[tuple[int, str, Any]]:
    """Yield (line, name, expression) for each assignment from line `start` to the line of `place`."""
    for node in place.nodes():
        if isinstance(node, ast.Assign) and start <= node.lineno <= place.line:
            for target in node.targets:
                if isinstance(target, ast.Name):
                    yield node.lineno, target.id, node.value
                elif isinstance(target, ast.Tuple):
                    pairs = isinstance(node.value, ast.Tuple) and len(node.value.elts) == len(target.elts)
                    sources = node.value.elts if pairs else [node.value] * len(target.elts)
                    for part, source in zip(target.elts, sources, strict=True):
                        if isinstance(part, ast.Name):
                            yield node.lineno, part.id, source


def called_names(node: Any, values: SafeValues) -> list[str]:
    """Return the names of the reader's functions that `node` calls."""
    calls = [n for n in ast.walk(node) if isinstance(n, ast.Call)] if node is not None else []
    return [name_of(function) for call in calls for function in called_functions(call, values)]


def called_functions(call: ast.Call, values: SafeValues) -> list[Any]:
    """Return the user's functions that a call may run: first those passed as arguments, then the called one."""
    found = [values.function(call)]
    for argument in reversed(call.args):
        value = values.variables.get(argument.id) if isinstance(argument, ast.Name) else None
        found[:0] = [value] if isinstance(value, FunctionType) else []
    return [function for function in found if function is not None and is_own(function)]


def is_own(function: Any) -> bool:
    """Return True if the function belongs to the user, and not to a library."""
    return not is_library(function.__code__.co_filename)


def name_of(function: Any) -> str:
    """Return the name of a function, with its class: "Linear.backward"."""
    return function.__qualname__.split("<locals>.")[-1]


def missing_return(function: Any) -> str:
    """Return a sentence about a function that returned None."""
    name, body = name_of(function), definition_of(function)
    if body is None or has_return(body):
        return f"`{name}` returns None. Is `return` missing, or a value after it?"
    printed = any(isinstance(n, ast.Call) and getattr(n.func, "id", "") == "print" for n in ast.walk(body))
    prints = " It prints a value, but printing does not return it." if printed else ""
    return f"`{name}` has no `return`, so it gives None.{prints} Is `return` missing?"


def definition_of(function: Any) -> Any:
    """Return the syntax tree of a function's definition, or None if its source is unknown."""
    try:
        body = ast.parse(textwrap.dedent(inspect.getsource(function))).body[0]
    except (OSError, TypeError, SyntaxError, IndexError):
        return None
    return body if isinstance(body, (ast.FunctionDef, ast.AsyncFunctionDef)) else None


def returned_count(function: Any) -> int:
    """Return the number of values in a function's ``return``, or 0 if it is unknown."""
    body = definition_of(function) if function is not None else None
    returns = [n.value for n in ast.walk(body) if isinstance(n, ast.Return)] if body is not None else []
    counts = {
        len(value.elts) if isinstance(value, ast.Tuple) else int(isinstance(value, ast.BinOp)) for value in returns
    }
    return counts.pop() if len(counts) == 1 else 0


def has_return(definition: Any) -> bool:
    """Return True if the function itself, not a function inside it, returns a value or yields."""
    waiting = list(definition.body)
    while waiting:
        node = waiting.pop()
        if isinstance(node, (ast.Yield, ast.YieldFrom)) or isinstance(node, ast.Return) and node.value is not None:
            return True
        if not isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef, ast.Lambda)):
            waiting += list(ast.iter_child_nodes(node))
    return False
