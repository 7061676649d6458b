"""Find functions of an answer that use variables of the check.

In an exercise of a notebook, the reader writes the answer, and the check tests the answer. Both use the notebook's
global names. For example, suppose that backward uses x, a variable of the check, instead of an array that forward
has saved. Then backward raises no error in the check. Everywhere else, it raises a NameError.
"""

from __future__ import annotations

import ast
import builtins
import dis
from collections.abc import Iterator
from types import CodeType, FunctionType
from typing import Any


def borrowed_names(check: Any, before: dict[str, Any], names: dict[str, Any]) -> list[str]:
    """Return a sentence for each variable of the check that a function of the answer uses.

    Parameters
    ----------
    check : ast.With or None
        The exercise's block, or None if its source is not known.
    before, names : dict
        The global names of the notebook before the check and after it.
    """
    added = names.keys() - before.keys() - set(dir(builtins))
    waiting = [n.id for n in ast.walk(check) if isinstance(n, ast.Name)] if check is not None and added else []
    seen: set[str] = set()
    found = []
    while waiting:
        key = waiting.pop()
        if key in seen or key not in before or names.get(key) is not before[key]:
            continue  # functions that the check itself defines may use its variables
        seen.add(key)
        for function in functions_of(before[key], names):
            used = set(global_names(function.__code__))
            waiting += used
            where = function.__qualname__
            found += [
                f"`{where}` uses `{name}`, which is a variable of this check. Outside of the check, `{name}` does not "
                f"exist: pass it to the function, save it in forward, or compute it in the function."
                for name in sorted(used & added)
            ]
    return found


def functions_of(value: Any, names: dict[str, Any]) -> Iterator[FunctionType]:
    """Yield `value` if it is a function of the notebook. If it is a class of the notebook, yield its methods."""
    for part in vars(value).values() if isinstance(value, type) else [value]:
        function = getattr(part, "__func__", part)  # the function in a class method or a static method
        if isinstance(function, FunctionType) and function.__globals__ is names:
            yield function


def global_names(code: CodeType) -> Iterator[str]:
    """Yield the global names that a function reads, also in the functions inside it."""
    yield from (i.argval for i in dis.get_instructions(code) if i.opname in ("LOAD_GLOBAL", "LOAD_NAME"))
    for constant in code.co_consts:
        if isinstance(constant, CodeType):
            yield from global_names(constant)
