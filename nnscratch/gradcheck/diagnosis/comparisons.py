"""Mistakes about what forward compares with: a target one off, left out, or with its sign turned."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from ..objective import Objective
from ..report import GradientReport
from ..tape import CannotTape, Tape
from .evidence import Case
from .slopes import Hypothesis, Slopes


def other_targets(cases: dict[str, Case], right: dict, report: GradientReport, objective: Objective) -> None:
    """What forward compares with: integers one off, in value or in place; targets left out or negated."""
    target = objective.target
    checked = {id(objective.variables[name]) for name in report.entries}
    arrays = [a for a in (*target.inputs, *getattr(target, "targets", ())) if isinstance(a, np.ndarray) and a.size > 1]
    arrays += [a for a in objective.held_arrays() if not any(a is b for b in arrays)][:10]
    shapes = {v.shape for v in objective.variables.values()}
    moves = [(a, *move) for a in arrays if a.dtype.kind in "iu" for move in shifts(a)]
    for a in arrays:
        if a.dtype.kind in "iuf" and a.shape in shapes and id(a) not in checked:
            moves.append((a, 0 * a, "target's share missing", "zeros in place of the targets"))
            moves.append((a, -a, "sign flipped", "the targets' sign flipped"))
    if not moves:
        return
    try:
        with Tape(objective) as tape:
            slopes = Slopes(tape, cases, right)
            for array, moved, mistake, words in moves if slopes.usable else ():
                held = array.copy()
                array[...] = moved
                try:
                    h = Hypothesis(1.1, mistake, f"given is the gradient with {words}", "")
                    for name in slopes.explained(h):
                        cases[name].add(h.rank, h.mistake, h.evidence, name)
                finally:
                    array[...] = held
    except CannotTape:
        return


def shifts(ids: np.ndarray) -> Iterator[tuple[np.ndarray, str, str]]:
    mistake = "target one off"
    for step in (-1, 1):
        yield ids + step, mistake, f"every integer {step:+d}"
        yield (ids + step) % (ids.max() + 1), mistake, f"every integer {step:+d}, wrapped around"
        for axis in range(ids.ndim):
            yield np.roll(ids, step, axis), mistake, f"the integers moved by {step:+d} along axis {axis}"
