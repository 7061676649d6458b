"""Mistakes inside forward: a path cut, a derivative missing, the wrong array multiplied by. Tested on the tape.

Every hypothesis here changes forward (see ../tape.py) and asks whether the gradient given, of all arrays together, is
the gradient of that. The evidence names the line of forward that backward has wrong.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

import numpy as np

from ..objective import Objective
from ..report import GradientReport
from ..tape import CannotTape, Tape, gain
from . import cuts, functions, products
from .algebra import axes, constant
from .evidence import Case
from .forward import Forward
from .slopes import Hypothesis, Slopes


def paths(cases: dict[str, Case], right: dict, report: GradientReport, objective: Objective) -> None:
    """Test all of them and write what fits into `cases`; if that is impossible and something is left, say why."""
    try:
        with Tape(objective) as tape:
            forward = Forward(tape)
            of_another_shape(cases, forward)
            slopes = Slopes(tape, cases, right)
            if slopes.usable:
                search(cases, forward, slopes)
    except CannotTape as error:
        if not all(case.found for case in cases.values()):
            report.notes.append(f"the inside of forward was not searched for the mistake: {error}")


def hypotheses(forward: Forward) -> Iterator[Hypothesis]:
    """All of them, those first that say most."""
    yield from cuts.upstream(forward)
    yield from functions.slopes_of_functions(forward)
    yield from functions.softmax(forward)
    yield from products.chosen_by_a_maximum(forward)
    yield from cuts.cuts(forward)
    yield from cuts.overlaps(forward)
    yield from cuts.rounds(forward)
    yield from products.products(forward)
    yield from products.swapped_blocks(forward)
    yield from products.repeated_factors(forward)
    yield from cuts.two_cuts(forward)


def search(cases: dict[str, Case], forward: Forward, slopes: Slopes) -> None:
    tried: list[Hypothesis] = []
    best = least_rank(cases)
    for h in hypotheses(forward):
        if slopes.spent:
            return
        if h.rank > best + 0.5:
            continue  # it would stand behind an explanation of everything
        tried.append(h)
        explained = slopes.explained(h)
        if len(explained) == len(cases):
            best = min(best, h.rank)
        for name in explained:
            words = (
                f"{h.evidence}; so for {'this array' if h.only else 'all arrays together'}, along 3 random directions"
            )
            cases[name].add(h.rank, h.mistake, words, h.place, 0.0)
    for cut, only, place, words in cuts.single_edges(forward):
        if slopes.spent:
            return
        c = slopes.factor(cut, only)
        if c is None:
            continue
        for name in [only] if only else slopes.wrong:
            name_factor(cases[name], c, place, words)
    shares_of_uses(cases, forward, slopes)
    factors_met(cases, forward, slopes)
    for name in slopes.wrong:  # two mistakes at once: each array by itself
        if not cases[name].found:
            for h in tried:
                if slopes.spent:
                    return
                if h.only in (None, name) and slopes.explains_alone(h, name):
                    cases[name].add(5 + h.rank, h.mistake, f"{h.evidence}; so for this array alone", h.place, 0.0)


def least_rank(cases: dict[str, Case]) -> float:
    """The rank of the most specific mistake that explains every wrong array already; infinity if there is none."""
    ranks: dict[str, list[float]] = {}
    for case in cases.values():
        mine: dict[str, float] = {}
        for rank, diagnosis in case.found:
            mine[diagnosis.mistake] = min(rank, mine.get(diagnosis.mistake, np.inf))
        for mistake, rank in mine.items():
            ranks.setdefault(mistake, []).append(rank)
    return min((max(r) for r in ranks.values() if len(r) == len(cases)), default=np.inf)


def name_factor(case: Case, c: float, place: str, words: str) -> None:
    """The path counts c times."""
    says = f"what passes through {words} counts {c:.6g} times"
    if abs(c + 1) < 1e-4:
        case.add(1.05, "sign flipped", says, place)
    elif abs(c - 2) < 1e-4:
        case.add(2.6, "counted twice", says, place)
    elif abs(c - 1) > 1e-4:
        name = constant(case, c)
        case.add(6.2, "scaled by a constant", f"{says}{f'; {name}' if name else ''}", place)


def of_another_shape(cases: dict[str, Case], forward: Forward) -> None:
    """A gradient of a result inside forward, given for an array: the last product, or what came in, is missing."""
    for case in cases.values():
        given = case.given
        if case.found or given.shape == case.shape or given.dtype.kind != "f" or not np.isfinite(given).all():
            continue
        if given.size < 2:
            continue
        for values, word in forward.arrays.get(1, {}).values():
            for turned, how in ((values[0], ""), (values[0].T, ", transposed")):
                if turned.shape == given.shape and np.array_equal(turned, given):
                    words = f"given is `{word}` itself{how}: not multiplied by the gradient that comes in"
                    case.add(2.3, "upstream gradient missing", words)
        rng = np.random.default_rng(3)
        directions = [rng.standard_normal(given.shape) for _ in range(3)]
        said = [float((given * v).sum()) for v in directions]
        near = 1e-5 * float(np.abs(given).max())
        for nodes in forward.families.values():
            if len(nodes) == 1 and nodes[0].result.shape == given.shape and any(nodes[0].live):
                if all(
                    abs(forward.slope_by_result(nodes[0], v) - s) <= near for v, s in zip(directions, said, strict=True)
                ):
                    result = forward.words(nodes, -1)
                    words = f"given is the gradient of {result}; the factor from there to {case.name} is missing"
                    case.add(2.4, "a factor missing", words, nodes[0].place)


def factors_met(cases: dict[str, Case], forward: Forward, slopes: Slopes) -> None:
    """Is what is given the true gradient times, or divided by, an array met in forward?"""
    for name in slopes.wrong:
        case = cases[name]
        if case.found or slopes.elements[name] < 4:
            continue
        for values, word in forward.arrays.get(1, {}).values():
            a = np.asarray(values[0], dtype=float)
            if a.size < 2 or not a.all() or not fits_into(a.shape, case.shape):
                continue
            divided, multiplied = (
                f"given = true * `{word}`: it is not divided by it",
                f"given = true / `{word}`: it is not multiplied by it",
            )
            case.test_other(case.given / a, 2.5, "a factor missing", divided)
            case.test_other(case.given * a, 2.5, "a factor missing", multiplied)


def fits_into(small: tuple[int, ...], large: tuple[int, ...]) -> bool:
    """An array of the one shape broadcasts to the other."""
    return len(small) <= len(large) and all(a in (1, b) for a, b in zip(small[::-1], large[::-1], strict=False))


def shares_of_uses(cases: dict[str, Case], forward: Forward, slopes: Slopes) -> None:
    """Where an array is used in several places: is one place's share transposed, reversed, shifted?"""
    for name in slopes.wrong:
        uses = [(nodes, j) for nodes, j, only in forward.edges() if only == name]
        case = cases[name]
        if case.found or len(uses) < 2 or case.true.size > 400 or not np.isfinite(case.true).all():
            continue
        for nodes, j in uses:
            if slopes.spent:
                return
            without = slopes.gradient({n.number: gain(j, lambda d: 0 * d) for n in nodes}, name)
            if without is None or np.abs(case.true - without).max() < 1e-3 * case.scale:
                continue
            entry = replace(case.entry, analytic=case.given - without, numeric=case.true - without, diagnoses=[])
            part = Case(entry, forward.objective)
            axes(part)
            for rank, d in part.found:
                says = f"in the share that comes through {forward.words(nodes, j)}, {d.evidence}"
                case.add(rank + 1, d.mistake, says, nodes[0].place, d.misfit)
