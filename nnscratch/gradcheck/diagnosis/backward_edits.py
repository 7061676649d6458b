"""Change one expression of backward, and test whether the gradients become right.

This search runs last, for the arrays that nothing else explains. It compiles backward again with one change: another
variable, a factor added or removed, another sign, number, power or comparison. If a change makes a wrong gradient
right, and leaves all right gradients as they are, the mistake is in the changed expression. The evidence names the
expression. It does not say what must stand there, because the reader should find that out.

The function stays the same object. During a run, only its code object is replaced.
"""

from __future__ import annotations

import ast
import gc
import io
import linecache
import os
import sys
import warnings
from collections.abc import Iterator
from contextlib import redirect_stdout
from dataclasses import dataclass
from types import CodeType, FunctionType
from typing import Any

import numpy as np

from ..projection import Projection
from ..tape import CannotTape, Tape
from .case import MAX_MISFIT, Case
from .edits import edits_of
from .other_points import central_differences, other_point

PACKAGE = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__)))) + os.sep
NUMPY, PYTHON = (os.path.dirname(os.path.abspath(module.__file__)) + os.sep for module in (np, os))
LIBRARIES = (PACKAGE, NUMPY, PYTHON, "<frozen", "<__array_function__", "<string>")
MAX_EDITS = 1500
BUDGET = 40_000_000  # elements that all runs may read and write; each operation of forward counts as 200 or more
RANK = 8.0  # a mistake that another search names is shown first


@dataclass
class Function:
    """A function that backward runs.

    Attributes
    ----------
    function : function
    definition : ast.FunctionDef
        A copy of its syntax tree that may be changed.
    variables : dict
        Its local variables when it returned.
    """

    function: FunctionType
    definition: ast.FunctionDef
    variables: dict[str, Any]

    def compiled(self) -> CodeType | None:
        """Return the code object of the changed definition, or None if it cannot replace the original one."""
        own = self.function.__code__
        around = ast.parse(f"def outer({', '.join(own.co_freevars)}): pass")
        around.body[0].body = [self.definition]  # type: ignore[attr-defined]
        try:
            made = compile(ast.fix_missing_locations(around), own.co_filename, "exec", dont_inherit=True)
        except (SyntaxError, ValueError, TypeError):
            return None
        for _ in range(2):  # first the code of outer, then the code of the definition in it
            made = next(c for c in made.co_consts if isinstance(c, CodeType))
        return made if made.co_freevars == own.co_freevars else None


def backward_edits(cases: dict[str, Case], projection: Projection, given: dict[str, np.ndarray]) -> None:
    """Add to the unexplained cases the expression of backward that one change makes right.

    `given` are the gradients that backward returned.
    """
    wanted = [name for name, case in cases.items() if not case.found and case.usable and case.same_shape]
    if not wanted or sys.getprofile() is not None:  # the search needs the profiler's hook, which is in use
        return
    try:
        with Tape(projection) as tape:
            runs = min(MAX_EDITS, BUDGET // max(tape.cost, 1))
    except CannotTape:
        return
    right = {name: g for name, g in given.items() if name not in cases and g is not None}
    for f in functions_of_backward(projection):
        for edit in edits_of(f.definition, f.variables):
            runs -= 1
            if runs < 0:
                break
            with edit:
                code = f.compiled()
            changed = gradients_with(projection, f.function, code)
            fixed = [n for n in wanted if n in changed and cases[n].misfit_of_true(changed[n]) <= MAX_MISFIT]
            if not fixed or not all(n in changed and unchanged(changed[n], g) for n, g in right.items()):
                continue
            if any(cases[name].few for name in fixed) and not holds_elsewhere(projection, f.function, code, fixed):
                continue
            place = f"{os.path.basename(f.function.__code__.co_filename)}:{edit.line}: {edit.statement}"
            for name in fixed:
                cases[name].add(RANK + edit.rank, edit.mistake, edit.evidence, place)
            wanted = [name for name in wanted if name not in fixed]
            if not wanted:
                return


def holds_elsewhere(projection: Projection, function: FunctionType, code: CodeType | None, names: list[str]) -> bool:
    """Return True if the gradients with the code object `code` are also right at another point."""
    with other_point(projection, np.random.default_rng(19)):
        changed = gradients_with(projection, function, code)
        for name in names:
            true = central_differences(projection, name)
            if name not in changed or np.abs(changed[name] - true).max() > 1e-5 * np.abs(true).max():
                return False
    return True


def unchanged(gradient: np.ndarray, old: np.ndarray) -> bool:
    """Return True if a gradient has not changed."""
    return np.shape(gradient) == np.shape(old) and bool(np.allclose(gradient, old, rtol=1e-7, atol=1e-12))


def gradients_with(projection: Projection, function: FunctionType, code: CodeType | None) -> dict[str, np.ndarray]:
    """Return the gradients if `function` has another code object, or {} if it raises an error."""
    if code is None:
        return {}
    held = function.__code__
    try:
        function.__code__ = code
        with np.errstate(all="ignore"), warnings.catch_warnings(), redirect_stdout(io.StringIO()):
            warnings.simplefilter("ignore")
            found = projection.analytic()
    except Exception:  # the changed code may raise any error
        return {}
    finally:
        function.__code__ = held
    return {name: g for name, g in found.items() if g is not None and g.dtype.kind == "f" and np.isfinite(g).all()}


def functions_of_backward(projection: Projection) -> Iterator[Function]:
    """Yield the user's functions that backward runs, and that the search can change."""
    ran: dict[CodeType, dict[str, Any]] = {}

    def profile(frame: Any, event: str, argument: Any) -> None:
        if event == "return" and not frame.f_code.co_filename.startswith(LIBRARIES):
            ran[frame.f_code] = dict(frame.f_locals)

    dys = projection.dys()
    with projection.unchanged():
        projection.forward()
        sys.setprofile(profile)
        try:
            projection.adapter.gradients(dys)
        finally:
            sys.setprofile(None)
    for code, variables in ran.items():
        definition = definition_of(code)
        owners = [f for f in gc.get_referrers(code) if isinstance(f, FunctionType) and f.__code__ is code]
        if definition is None or len(owners) != 1:
            continue
        found = Function(owners[0], definition, variables)
        if is_used(projection, found):
            yield found


def is_used(projection: Projection, f: Function) -> bool:
    """Return True if backward runs the object `f.function`, and not a new function with the same code."""
    body = f.definition.body
    f.definition.body = [ast.parse("raise RuntimeError").body[0], *body]
    code = f.compiled()
    f.definition.body = body
    return code is not None and not gradients_with(projection, f.function, code)


def definition_of(code: CodeType) -> ast.FunctionDef | None:
    """Return the syntax tree of a function without its decorators, or None if its source is unknown.

    The tree keeps all names of outer variables, because the number of these variables must not change.
    """
    try:
        tree = ast.parse("".join(linecache.getlines(code.co_filename)))
    except (SyntaxError, ValueError):
        return None
    for node in ast.walk(tree):
        if isinstance(node, ast.FunctionDef) and node.name == code.co_name:
            first = min([node.lineno, *(d.lineno for d in node.decorator_list)])
            if first != code.co_firstlineno or any(isinstance(n, ast.While) for n in ast.walk(node)):
                continue
            node.decorator_list, node.returns = [], None
            if code.co_freevars:
                kept = ast.parse(f"if 0: ({', '.join(code.co_freevars)},)").body[0]
                node.body.insert(0, kept)
            return node
    return None
