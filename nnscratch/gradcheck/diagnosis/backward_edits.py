"""Change one expression of backward, and test whether the gradients become right.

This search runs last, for the arrays whose gradient no other search explains. It compiles backward again with one
change: a different variable, sign, number, power or comparison, or a factor added or removed. Suppose that a change
makes a wrong gradient right, and does not change the right gradients. Then the mistake is in the changed expression.
The evidence names this expression. It does not show the right expression, because the user should find it.

For example, a student writes ``dz = dh * (1 - h)`` for h = tanh(z). With ``h ** 2`` in place of ``h``, the gradient is
right, so the evidence names the expression ``h``.

changed_functions.py runs the changed backward, and protects the rest of the program from its effects.
"""

from __future__ import annotations

import ast
import os
import threading
from types import CodeType

import numpy as np

from ..projection import Projection
from ..tape import CannotTape, Tape
from .case import Case
from .changed_functions import Function, Runs, functions_of_backward, is_used, quiet
from .edits import Edit, edits_of
from .other_points import central_differences, other_point

MAX_EDITS = 1000
# The limit for the cost of all runs together. The cost of a run is the number of elements that its operations read and
# write, plus 200 for each operation.
BUDGET = 40_000_000
RANK = 8.0  # the rank of all mistakes that this search finds; most other searches find mistakes with a rank below 8
searching = threading.Lock()  # two searches at the same time could restore each other's changed code


def backward_edits(cases: dict[str, Case], projection: Projection, given: dict[str, np.ndarray]) -> None:
    """Search for a change of backward that makes a wrong gradient right, and add the mistake to the gradient's `Case`.

    The search considers only wrong gradients that have no explanation yet. `given` are the gradients that backward
    returned. If another thread runs this search at the moment, do nothing.
    """
    wanted = [name for name, case in cases.items() if not case.found and case.usable and case.same_shape]
    if not wanted or not searching.acquire(blocking=False):
        return
    try:
        with quiet():
            search(wanted, cases, projection, given)
    finally:
        searching.release()


def search(wanted: list[str], cases: dict[str, Case], projection: Projection, given: dict[str, np.ndarray]) -> None:
    """Try the changes of backward one after the other, until the gradients of all arrays in `wanted` are explained."""
    try:
        with Tape(projection) as tape:
            left = min(MAX_EDITS, BUDGET // max(tape.cost, 1))
    except CannotTape:
        return
    right = {name: g for name, g in given.items() if name not in cases and g is not None}
    functions = functions_of_backward(projection)
    runs = Runs(projection, functions)
    for f in functions:
        if not is_used(runs, f):
            continue
        with projection.unchanged():  # reading a property of the user's class may change its state
            edits = edits_of(f.definition, f.variables)
        useful: dict[tuple[int, str], bool] = {}  # {(line, source) of a statement: result of `may_be_wrong`}
        for edit in edits:
            if left <= 0:
                return
            statement = edit.line, edit.statement
            if statement not in useful:
                left -= 1
                useful[statement] = may_be_wrong(runs, f, edits, edit, {n: given[n] for n in wanted}, right)
            if not useful[statement]:
                continue
            left -= 1
            with edit:
                code = f.compiled()
            changed = runs.gradients(f.function, code)
            fixed = [n for n in wanted if n in changed and cases[n].misfit_of_true(changed[n]) < cases[n].max_misfit]
            if not fixed or not all(n in changed and unchanged(changed[n], g) for n, g in right.items()):
                continue
            if not runs.keeps_outputs(f.function, code):
                continue
            if cases[fixed[0]].few and not holds_elsewhere(runs, f, code, fixed):
                continue
            place = f"{os.path.basename(f.function.__code__.co_filename)}:{edit.line}: {edit.statement}"
            for name in fixed:
                cases[name].add(RANK + edit.rank, edit.mistake, edit.evidence, place)
            wanted = [name for name in wanted if name not in fixed]
            if not wanted:
                return


def may_be_wrong(
    runs: Runs, f: Function, edits: list[Edit], edit: Edit, wrong: dict[str, np.ndarray], right: dict[str, np.ndarray]
) -> bool:
    """Return False if the statement of `edit` cannot contain the mistake.

    First, double the value of the statement, and run backward. If no wrong gradient changes, negate the value, because
    backward may use only the sign of the value. If again no wrong gradient changes, the mistake is elsewhere. If a
    right gradient changes, it depends on the statement, so the statement is right. There is one exception: a statement
    that computes several arrays, such as ``dw, db = ...``, may compute only one of them wrongly.
    """
    same = [e for e in edits if (e.line, e.statement) == (edit.line, edit.statement)]
    doubling, negating = [e for e in same if e.doubles], [e for e in same if e.negates]
    if len(doubling) != 1:  # no single edit doubles the value: it is a tuple or a number
        return True

    def changed_by(change: Edit) -> dict[str, np.ndarray]:
        with change:
            code = f.compiled()
        return runs.gradients(f.function, code)

    def keeps(changed: dict[str, np.ndarray], gradients: dict[str, np.ndarray]) -> bool:
        return all(n in changed and unchanged(changed[n], g) for n, g in gradients.items())

    changed = changed_by(doubling[0])
    if not changed:
        return True
    if keeps(changed, wrong):  # backward may use only the sign of the value, as in (z > 0) or np.sign(e)
        changed = changed_by(negating[0])
        return not keeps(changed, wrong)
    several = any(isinstance(n, (ast.Tuple, ast.List, ast.Dict)) for n in ast.walk(doubling[0].new))
    return several or keeps(changed, right)


def holds_elsewhere(runs: Runs, f: Function, code: CodeType | None, names: list[str]) -> bool:
    """Return True if the changed backward is also right for other values of the arrays.

    `code` is the code object of the changed function `f`. `names` are the arrays whose gradients must be right.
    """
    with other_point(runs.projection, np.random.default_rng(19)):
        changed = runs.gradients(f.function, code)
        for name in names:
            true = central_differences(runs.projection, name)
            if name not in changed or np.abs(changed[name] - true).max() > 1e-5 * np.abs(true).max():
                return False
    return True


def unchanged(gradient: np.ndarray, old: np.ndarray) -> bool:
    """Return True if `gradient` equals the gradient `old`, apart from rounding."""
    return np.shape(gradient) == np.shape(old) and bool(np.allclose(gradient, old, rtol=1e-7, atol=1e-12))
