"""Mistakes inside forward: a path cut, a derivative missing, the wrong array multiplied by. Tested on the tape.

Every hypothesis here changes forward (see ../tape.py) and asks whether the gradient given, of all arrays together, is
the gradient of that. The evidence names the line of forward that backward has wrong.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from functools import partial
from itertools import combinations
from typing import Any

import numpy as np

from ..objective import Objective
from ..report import GradientReport
from ..tape import CannotTape, Node, Tape, cofactor, detached, gain, probe, slope
from ..tree import is_array, leaves, transform
from .algebra import axes, constant
from .evidence import Case
from .slopes import Hypothesis, Slopes, key

PRODUCTS = {"multiply", "matmul", "dot", "einsum", "divide", "tensordot", "outer", "inner"}
SMOOTH = {"sqrt", "square", "power", "reciprocal", "multiply", "divide", "add", "subtract", "negative"}


def paths(cases: dict[str, Case], report: GradientReport, objective: Objective) -> None:
    """Test all of them and write what fits into `cases`."""
    try:
        with Tape(objective) as tape:
            forward = Forward(tape)
            of_another_shape(cases, forward)
            slopes = Slopes(tape, report)
            if slopes.usable:
                search(cases, forward, slopes)
    except CannotTape:
        return


def of_another_shape(cases: dict[str, Case], forward: Forward) -> None:
    """A gradient of a result inside forward, given for an array: the last product, or what came in, is missing."""
    for case in cases.values():
        given = case.given
        if case.found or given.shape == case.true.shape or given.dtype.kind != "f" or not np.isfinite(given).all():
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


def search(cases: dict[str, Case], forward: Forward, slopes: Slopes) -> None:
    tried: list[Hypothesis] = []
    best = least_rank(cases)
    for h in forward.hypotheses():
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
    for cut, only, place, words in forward.single_edges():
        if slopes.spent:
            return
        c = slopes.factor(cut, only)
        if c is None:
            continue
        for name in [only] if only else slopes.wrong:
            name_factor(cases[name], c, place, words)
    forward.shares(cases, slopes)
    forward.factors(cases, slopes)
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


class Forward:
    """The taped operations, by family, and what can be wrong with each."""

    def __init__(self, tape: Tape):
        self.tape, self.objective = tape, tape.objective
        self.families: dict[tuple, list[Node]] = {}
        for node in tape.nodes:
            self.families.setdefault(node.family, []).append(node)
        self.makers: dict[tuple, list[Node]] = {}
        self.readers: dict[tuple, list[Node]] = {}
        for node in tape.nodes:
            self.makers.setdefault(key(node.result), []).append(node)
            for operand, live in zip(node.operands, node.live, strict=True):
                if live:
                    self.readers.setdefault(key(operand), []).append(node)
        self.arrays = self._arrays()

    def _arrays(self) -> dict[int, dict[tuple, tuple[list[Any], str]]]:
        """Number of rounds -> the arrays met in each round, with a word for them."""
        found: dict[int, dict[tuple, tuple[list[Any], str]]] = {}
        for nodes in self.families.values():
            of_count = found.setdefault(len(nodes), {})
            for j, word in [*enumerate(nodes[0].words), (-1, nodes[0].place.split(": ", 1)[-1])]:
                values = [n.result if j == -1 else n.operands[j] for n in nodes]
                if not all(isinstance(v, np.ndarray) and v.ndim for v in values):
                    continue
                keys = tuple(key(v) for v in values)
                if keys not in of_count or (word.isidentifier() and not of_count[keys][1].isidentifier()):
                    of_count[keys] = (values, word)
        return found

    def like(self, nodes: list[Node], j: int) -> Iterator[tuple[list[Any], str]]:
        """Other arrays of the shape of operand j of each round."""
        own = tuple(key(n.operands[j]) for n in nodes)
        shape = np.shape(nodes[0].operands[j])
        for keys, (values, word) in self.arrays.get(len(nodes), {}).items():
            if keys != own and values[0].shape == shape and values[0].dtype.kind == "f":
                yield values, word

    def variable(self, nodes: list[Node], j: int) -> str | None:
        """The differentiated array that operand j is, every time."""
        names = {n.variables[j] for n in nodes} if j >= 0 else {None}
        return names.pop() if len(names) == 1 else None

    def edges(self) -> Iterator[tuple[list[Node], int, str | None]]:
        """(rounds, operand, variable) for all that carries a derivative; -1 is the result."""
        for nodes in self.families.values():
            for j in range(len(nodes[0].operands)):
                if any(n.live[j] for n in nodes) and not (j == 1 and all(is_square(n) for n in nodes)):
                    yield nodes, j, self.variable(nodes, j)
            if any(any(n.live) for n in nodes):
                yield nodes, -1, None

    def is_state(self, nodes: list[Node], j: int) -> bool:
        """Operand j comes from an earlier round of the loop, or is an input of the shape of an output."""
        if j < 0:
            return False
        for node in nodes:
            made = [m for m in self.makers.get(key(node.operands[j]), ()) if m.number < node.number]
            if made and made[-1].round < node.round:
                return True
        name = self.variable(nodes, j)
        inputs = self.objective.target.input_leaves()
        if name not in inputs:
            return False
        shapes = [np.shape(y) for y in self.objective.outputs if is_array(y)]
        batch = [n for n, v in inputs.items() if v.ndim == 2 and v.shape[0] == inputs[name].shape[0]]
        return inputs[name].shape in shapes and len(batch) > 1

    def is_bias(self, nodes: list[Node], j: int) -> bool:
        name = self.variable(nodes, j)
        return (
            name is not None
            and nodes[0].name in ("add", "subtract")
            and (np.ndim(nodes[0].operands[j]) < np.ndim(nodes[0].result))
        )

    def slope_by_result(self, node: Node, v: Any, h: float = 1e-5) -> float:
        """How f moves if the result of an operation moves along v."""
        f = []
        for step in (h, -h):
            self.tape.changes = {node.number: lambda node, x, step=step: node.compute(*x) + step * v}
            try:
                f.append(self.tape.value())
            finally:
                self.tape.changes = {}
        return (f[0] - f[1]) / (2 * h)

    def words(self, nodes: list[Node], j: int) -> str:
        return f"`{nodes[0].words[j]}`" if j >= 0 else f"the result of `{nodes[0].place.split(': ', 1)[-1]}`"

    # --- the hypotheses ------------------------------------------------------------------------------------------

    def hypotheses(self) -> Iterator[Hypothesis]:
        yield from self.upstream()
        yield from self.slopes_of_functions()
        yield from self.softmax()
        yield from self.chosen_by_a_maximum()
        yield from self.cuts()
        yield from self.overlaps()
        yield from self.rounds()
        yield from self.products()
        yield from self.swapped_blocks()
        yield from self.repeated_factors()
        yield from self.two_cuts()

    def cuts(self) -> Iterator[Hypothesis]:
        """Nothing passes along one edge; or it does only in some rounds of the loop."""
        for nodes, j, only in self.edges():
            place, words = nodes[0].place, self.words(nodes, j)
            cut = {n.number: gain(j, lambda d: 0 * d) for n in nodes}
            state, bias = self.is_state(nodes, j), self.is_bias(nodes, j)
            mistake, rank = ("the state's own path missing", 3.0) if state else ("a path missing", 3.4)
            rank -= 1e-5 * nodes[0].number  # of a chain of operations, name the last: there the path joins the others
            if bias:
                mistake, rank = "bias's share missing", 2.9
            yield Hypothesis(rank, mistake, f"given as if nothing passed through {words}", place, cut, only)
            if state:
                yield from self.cut_beside_an_output(nodes, j, cut)
            if len(nodes) > 1:
                yield from self.some_rounds(nodes, j, only, state)
                if only is None:
                    for c, name in ((-1, "sign flipped"), (2, "counted twice"), (0.5, "scaled by a constant")):
                        scaled = {n.number: gain(j, lambda d, c=c: c * d) for n in nodes}
                        says = f"given as if what passes through {words} counted {c} times, in every round"
                        yield Hypothesis({-1: 1.06, 2: 2.6, 0.5: 6.3}[c], name, says, place, scaled, only)

    def cut_beside_an_output(self, nodes: list[Node], j: int, cut: dict) -> Iterator[Hypothesis]:
        """Nothing passes from round to round, and the gradient of an output (the last state) is not taken in either."""
        names = [name for name, w in leaves("output", self.objective.weights) if w is not None]
        later = {k: v for k, v in cut.items() if k != nodes[0].number}
        turned = {n.number: gain(j, np.negative) for n in nodes}
        later_turned = {k: v for k, v in turned.items() if k != nodes[0].number}
        for name in names if len(names) > 1 else ():
            weights = weighted(self.objective.weights, name, 0)
            says = f"given as if nothing passed through {self.words(nodes, j)}, and {name}'s gradient were not taken in"
            for changes in (cut, later):
                yield Hypothesis(3.05, "the state's own path missing", says, nodes[0].place, changes, None, weights)
            weights = weighted(self.objective.weights, name, -1)
            says = f"given as if what passes through {self.words(nodes, j)} counted -1 times, and {name}'s gradient too"
            for changes in (turned, later_turned):
                yield Hypothesis(1.07, "sign flipped", says, nodes[0].place, changes, None, weights)

    def upstream(self) -> Iterator[Hypothesis]:
        """The gradient that comes in is not used: every element counts by 1."""
        mistake = "upstream gradient missing"
        ones = transform(lambda w: None if w is None else np.ones_like(w), self.objective.weights)
        if any(w is not None and np.any(w != 1) for _, w in leaves("", self.objective.weights)):
            yield Hypothesis(1.4, mistake, "given as if dy were 1 everywhere", "", {}, None, ones)
        for nodes in self.families.values():
            if len(nodes) == 1 and any(nodes[0].live) and nodes[0].result.size > 1:
                says = f"given as if the gradient that comes to {self.words(nodes, -1)} were 1 everywhere"
                yield Hypothesis(6.5, mistake, says, nodes[0].place, {nodes[0].number: detached(self.tape)})

    def some_rounds(self, nodes: list[Node], j: int, only: str | None, state: bool) -> Iterator[Hypothesis]:
        words, place = self.words(nodes, j), nodes[0].place
        cut = {n.number: gain(j, lambda d: 0 * d) for n in nodes}
        first, last = nodes[0].number, nodes[-1].number
        noun = "time step" if self.is_time(len(nodes)) else "round of the loop"
        if state:
            rest = {k: v for k, v in cut.items() if k != first}
            says = f"given as if nothing passed from one round to the next through {words}"
            yield Hypothesis(2.95, "the state's own path missing", says, place, rest, only)
        for kept, word in ((last, "last"), (first, "first")):
            rest = {k: v for k, v in cut.items() if k != kept}
            says = f"given as if {words} counted in the {word} of {len(nodes)} rounds only"
            yield Hypothesis(3.2, f"only the {word} {noun} counted", says, place, rest, only)
            if len(nodes) > 2:
                says = f"given as if {words} counted in all of {len(nodes)} rounds but the {word}"
                yield Hypothesis(3.3, f"the {word} {noun} not counted", says, place, {kept: cut[kept]}, only)

    def overlaps(self) -> Iterator[Hypothesis]:
        """Windows over an array that overlap: an element counted in its last window only, or in its first."""
        for nodes, j, only in self.edges():
            if only is None or len(nodes) < 2 or any(n.covers[j] is None for n in nodes):
                continue
            for order, word in ((nodes, "last"), (nodes[::-1], "first")):
                owner = np.full(self.objective.variables[only].size, -1)
                for n in order:
                    owner[n.covers[j]] = n.number
                once = {n.number: gain(j, partial(np.multiply, owner[n.covers[j]] == n.number)) for n in nodes}
                says = f"given as if every element of {only} counted in the {word} `{nodes[0].words[j]}` it is in"
                yield Hypothesis(3.15, "rows met twice counted once", says, nodes[0].place, once, only)

    def is_time(self, count: int) -> bool:
        """A loop of `count` rounds goes over axis 1 of (N, T, ...)."""
        arrays = [*self.objective.variables.values(), *self.objective.outputs]
        ids = [a for a in self.objective.target.inputs if is_array(a) and a.dtype.kind in "iu" and a.ndim > 1]
        return any(is_array(a) and a.ndim == 3 and a.shape[1] == count for a in arrays) or any(
            a.shape[1] == count for a in ids
        )

    def rounds(self) -> Iterator[Hypothesis]:
        """All of the first, or the last, round left out."""
        counts = {len(nodes) for nodes in self.families.values()}
        for count in counts - {1, 2}:
            of_loop = [n for nodes in self.families.values() if len(nodes) == count for n in nodes]
            noun = "time step" if self.is_time(count) else "round of the loop"
            for r, word in ((0, "first"), (count - 1, "last")):
                cut = {n.number: gain(-1, lambda d: 0 * d) for n in of_loop if n.round == r}
                says = f"given as if nothing passed through the {word} of {count} rounds"
                yield Hypothesis(3.25, f"the {word} {noun} not counted", says, of_loop[0].place, cut)

    def two_cuts(self) -> Iterator[Hypothesis]:
        """Two statistics of an array (a mean and a deviation) both taken as fixed."""
        small = [
            (nodes[0], j)
            for nodes, j, only in self.edges()
            if len(nodes) == 1 and j >= 0 and only is None and np.size(nodes[0].operands[j]) < nodes[0].result.size
        ]
        for (a, i), (b, j) in combinations(small[:16], 2):
            if a is b:
                continue
            cut = {a.number: gain(i, lambda d: 0 * d), b.number: gain(j, lambda d: 0 * d)}
            says = f"given as if nothing passed through `{a.words[i]}` ({a.place}) nor through `{b.words[j]}`"
            yield Hypothesis(3.5, "a path missing", says, b.place, cut)

    def products(self) -> Iterator[Hypothesis]:
        """u v: what stands where v should?"""
        for nodes in self.families.values():
            node = nodes[0]
            if node.name not in PRODUCTS:
                continue
            places = [j for j, x in enumerate(node.operands) if isinstance(x, (np.ndarray, float, int))]
            if len(places) != 2:
                continue
            for j, other in (tuple(places), tuple(places[::-1])):
                if node.name == "divide" and j == places[1]:
                    continue
                if any(n.live[j] for n in nodes) and isinstance(node.operands[other], np.ndarray):
                    yield from self.other_cofactors(nodes, j, other)

    def other_cofactors(self, nodes: list[Node], j: int, other: int) -> Iterator[Hypothesis]:
        node, only = nodes[0], self.variable(nodes, j)
        word, place = node.words[other], node.place
        right = [np.asarray(n.operands[other], dtype=float) for n in nodes]

        def with_values(values: list[Any]) -> dict:
            return {n.number: cofactor(j, other, v) for n, v in zip(nodes, values, strict=True)}

        says = f"given as if `{word}` were %s, on the way back to `{node.words[j]}`"
        ones = with_values([np.ones_like(v) for v in right])
        top = float(max(v.max() for v in right))
        if all(((v == 0) | (v == top)).all() for v in right) and any((v == 0).any() for v in right) and top > 0:
            yield Hypothesis(1.2, "mask not applied", says % "1", place, ones, only)
            yield Hypothesis(
                1.25, "mask not applied", says % f"{top:.4g}", place, with_values([0 * v + top for v in right]), only
            )
            if abs(top - 1) > 1e-6:
                bare = with_values([v / top for v in right])
                yield Hypothesis(1.2, "keep-probability not applied", says % "0 or 1", place, bare, only)
            turned = with_values([top - v for v in right])
            yield Hypothesis(1.3, "mask inverted", says % "0 where it is not, and not where it is", place, turned, only)
        elif node.name in ("multiply", "divide"):
            yield Hypothesis(2.4, "a factor missing", says % "1", place, ones, only)
            squares = with_values([v**2 for v in right])
            yield Hypothesis(4.5, "a factor applied twice", says % "its square", place, squares, only)
            if all(v.all() for v in right):
                inverse = with_values([1 / v for v in right])
                name = "multiplied instead of divided" if node.name == "divide" else "divided instead of multiplied"
                yield Hypothesis(4.6, name, says % "its inverse", place, inverse, only)
        if node.name not in ("multiply", "divide") and right[0].ndim == 2 and right[0].shape[0] == right[0].shape[1]:
            yield Hypothesis(2, "transposed", says % f"{word}.T", place, with_values([v.T for v in right]), only)
        if node.name in ("matmul", "dot") and right[0].ndim == 2 and right[0].shape[0] == right[0].shape[1]:
            alone = with_values([np.eye(len(v)) for v in right])
            yield Hypothesis(2.4, "a factor missing", says % "the identity", place, alone, only)
        for values, expression in self.turned_sums(nodes, other):
            yield Hypothesis(2.9, "sign flipped", says % f"`{expression}`", place, with_values(values), only)
        for axis in range(right[0].ndim):
            if right[0].shape[axis] > 1 and right[0].size < 1000:
                flipped = with_values([np.flip(v, axis) for v in right])
                yield Hypothesis(3.1, "axes reversed", says % f"reversed along axis {axis}", place, flipped, only)
        for values, expression in self.without_bias(nodes, other):
            yield Hypothesis(2.8, "bias's share missing", says % f"`{expression}`", place, with_values(values), only)
        for values, expression in self.like(nodes, other):
            found = with_values(values)
            yield Hypothesis(4, "the wrong array used", says % f"`{expression}`", place, found, only)

    def turned_sums(self, nodes: list[Node], other: int) -> Iterator[tuple[list[Any], str]]:
        """Where the operand is a + b: a - b; and the other way."""
        values, words = [], ""
        for node in nodes:
            made = [m for m in self.makers.get(key(node.operands[other]), ()) if m.number < node.number]
            if not made or made[-1].name not in ("add", "subtract"):
                return
            a, b = made[-1].operands
            values.append(a - b if made[-1].name == "add" else a + b)
            words = f" {'-' if made[-1].name == 'add' else '+'} ".join(made[-1].words)
        yield values, words

    def without_bias(self, nodes: list[Node], other: int) -> Iterator[tuple[list[Any], str]]:
        """Where the operand is a sum with a bias in it, or a block of such a sum: the same without the bias."""
        right = [n.operands[other] for n in nodes]
        for sums in self.families.values():
            for b in range(len(sums[0].operands)):
                if len(sums) != len(nodes) or not self.is_bias(sums, b):
                    continue
                whole, width = sums[0].result.shape, right[0].shape[-1] if right[0].ndim else 1
                if right[0].ndim != len(whole) or whole[-1] % width:
                    continue
                for start in range(0, whole[-1], width):
                    block = (..., slice(start, start + width))
                    if all(key(s.result[block]) == key(v) for s, v in zip(sums, right, strict=True)):
                        yield (
                            [s.operands[1 - b][block] for s in sums],
                            f"{sums[0].words[1 - b]}, without {sums[0].words[b]}",
                        )

    def repeated_factors(self) -> Iterator[Hypothesis]:
        """x / s: its derivative by s, -x / s^2, with a power of s too few or too many."""
        for nodes, j, only in self.edges():
            if nodes[0].name == "divide" and j == 1:
                word, place = self.words(nodes, j), nodes[0].place
                for power, mistake in (
                    (1, "a factor missing"),
                    (-1, "a factor applied twice"),
                    (2, "a factor missing"),
                    (-2, "a factor applied twice"),
                    (3, "a factor missing"),
                ):
                    other = {n.number: gain(j, partial(np.multiply, n.operands[j] ** float(power))) for n in nodes}
                    says = f"given as if the derivative by {word} had {word} to the power {power - 2}, not -2"
                    yield Hypothesis(4.4 + 0.01 * abs(power), mistake, says, place, other, only)

    def swapped_blocks(self) -> Iterator[Hypothesis]:
        """The gradient of two of 3 or 4 blocks of a result exchanged."""
        for nodes, j, _ in self.edges():
            shape = nodes[0].result.shape
            if j != -1 or len(shape) < 2 or nodes[0].name not in ("add", "matmul", "dot"):
                continue
            for count in (4, 3):
                size, rest = divmod(shape[-1], count)
                if rest or not any(size in v.shape for v in self.objective.variables.values()) or size < 2:
                    continue
                for a, b in combinations(range(count), 2):
                    order = np.arange(shape[-1]).reshape(count, size)
                    order[[a, b]] = order[[b, a]]
                    flat = order.ravel()
                    swap = {n.number: gain(-1, lambda d, o=flat: d[..., o]) for n in nodes}
                    says = (
                        f"given as if the gradients of columns {a * size}:{(a + 1) * size} and "
                        f"{b * size}:{(b + 1) * size} of {self.words(nodes, -1)} had changed places"
                    )
                    yield Hypothesis(1.5, "two gates swapped", says, nodes[0].place, swap)

    def single_edges(self) -> Iterator[tuple[dict, str | None, str, str]]:
        """(cut, variable, place, words) for the paths that meet no second time."""
        for nodes, j, only in self.edges():
            if len(nodes) == 1 or only is not None:
                cut = {n.number: gain(j, lambda d: 0 * d) for n in nodes}
                yield cut, only, nodes[0].place, self.words(nodes, j)

    def factors(self, cases: dict[str, Case], slopes: Slopes) -> None:
        """Is what is given the true gradient times, or divided by, an array met in forward?"""
        for name in slopes.wrong:
            case = cases[name]
            if case.found or slopes.elements[name] < 4:
                continue
            for values, word in self.arrays.get(1, {}).values():
                a = np.asarray(values[0], dtype=float)
                if a.size < 2 or not a.all() or not fits_into(a.shape, case.true.shape):
                    continue
                case.test(2.5, case.true * a, "a factor missing", f"given = true * `{word}`: it is not divided by it")
                case.test(
                    2.5, case.true / a, "a factor missing", f"given = true / `{word}`: it is not multiplied by it"
                )

    def shares(self, cases: dict[str, Case], slopes: Slopes) -> None:
        """Where an array is used in several places: is one place's share transposed, reversed, shifted?"""
        for name in slopes.wrong:
            uses = [(nodes, j) for nodes, j, only in self.edges() if only == name]
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
                part = Case(entry, self.objective)
                axes(part)
                for rank, d in part.found:
                    says = f"in the share that comes through {self.words(nodes, j)}, {d.evidence}"
                    case.add(rank + 1, d.mistake, says, nodes[0].place, d.misfit)

    def chosen_by_a_maximum(self) -> Iterator[Hypothesis]:
        """max over an axis: the gradient given to every element, not only to the largest."""
        for nodes, j, only in self.edges():
            if nodes[0].name not in ("maximum.reduce", "minimum.reduce") or j != 0:
                continue
            kwargs = {k: v for k, v in nodes[0].kwargs.items() if k in ("axis", "keepdims")}
            everyone = {
                n.number: (lambda node, x, kw=kwargs: node.result + np.add.reduce(x[0] - node.operands[0], **kw))
                for n in nodes
            }
            says = f"given as if every element of {self.words(nodes, 0)} were the largest"
            yield Hypothesis(1.2, "mask not applied", says, nodes[0].place, everyone, only)

    def softmax(self) -> Iterator[Hypothesis]:
        """Where a result is the softmax of an earlier array: its Jacobian by its diagonal."""
        for nodes in self.families.values():
            y = nodes[0].result
            if y.ndim == 0 or y.size < 2 or not (y > 0).all() or not np.allclose(y.sum(axis=-1), 1):
                continue
            for sources, j, _ in self.edges():
                if j < 0 or len(sources) != len(nodes) or sources[0].number > nodes[0].number:
                    continue
                u = sources[0].operands[j]
                if np.shape(u) != y.shape or not np.allclose(row_softmax(u), y):
                    continue
                place = nodes[0].place
                for rank, mistake, formula, derivative in JACOBIANS:
                    changes = {}
                    for s, n in zip(sources, nodes, strict=True):
                        changes |= self.sloped((s.number, j), n.number, partial(derivative, n.result))
                    yield Hypothesis(rank, mistake, f"given as if softmax's backward were {formula}", place, changes)
                break

    def sloped(self, source: tuple[int, int], sink: int, g: Any) -> dict:
        """The changes that give the result of `sink` the slope g, an array or a function, by the operand `source`."""
        found = {sink: slope(self.tape, source, g if callable(g) else partial(np.multiply, g))}
        if source[0] != sink:
            found[source[0]] = probe(self.tape, source[1])
        return found

    # --- y = phi(u), element by element --------------------------------------------------------------------------

    def slopes_of_functions(self) -> Iterator[Hypothesis]:
        """What stands where phi'(u) should?"""
        for sources, j, sinks, block in self.functions():
            blocks = [block(s, n) for s, n in zip(sources, sinks, strict=True)]
            if not all(n in nodes for n, nodes in zip(sinks, blocks, strict=True)):
                continue
            found = [Function(s, j, n, nodes) for s, n, nodes in zip(sources, sinks, blocks, strict=True)]
            if not all(f.curved for f in found):
                continue
            only = self.variable(sources, j)
            if only is not None and sum(1 for _, _, v in self.edges() if v == only) > 1:
                only = None
            names = {n.name for n in found[0].nodes}
            for rank, mistake, evidence, slopes in self.other_slopes(found, not names <= SMOOTH, sources, sinks):
                if proportional(slopes, [f.d for f in found]):
                    continue  # a factor, no other slope
                changes = {}
                for f, g in zip(found, slopes, strict=True):
                    changes |= self.sloped((f.source.number, j), f.sink.number, g)
                yield Hypothesis(rank, mistake, evidence, sinks[0].place, changes, only)

    def other_slopes(
        self, found: list[Function], activation: bool, sources: list[Node], sinks: list[Node]
    ) -> Iterator[tuple[float, str, str, list[Any]]]:
        d, u, y = ([getattr(f, part) for f in found] for part in ("d", "u", "y"))
        word = sources[0].words[found[0].j]
        says = f"given as if the derivative by `{word}` were "
        levels = np.unique(np.concatenate([np.round(x, 6).ravel() for x in d]))
        on_off = len(levels) == 2 and levels[0] == 0
        missing = "activation's derivative missing" if activation else "a factor missing"
        wrong = "activation's derivative wrong" if activation else "a derivative wrong"
        elsewhere = "derivative taken at the wrong value"
        at_y = [f.slope_at(f.y) for f in found]
        if on_off:
            top = levels[1]
            yield 1.1, "mask not applied", f"{says}{top:.4g} everywhere", [0 * x + top for x in d]
            yield 1.15, "mask not applied", f"{says}1 everywhere", [0 * x + 1 for x in d]
            yield 1.3, "mask inverted", f"{says}{top:.4g} exactly where it is 0", [np.where(x == 0, top, 0) for x in d]
        else:
            yield (1.2 if activation else 4.4), missing, f"{says}1", [0 * x + 1 for x in d]
            yield 1.3, "activation's derivative applied twice", f"{says}its square", [x**2 for x in d]
            if activation:
                for formula, text in (
                    (lambda u, y: y, "y"),
                    (lambda u, y: 1 - y, "1 - y"),
                    (lambda u, y: y * (1 - y), "y (1 - y), which is the sigmoid's"),
                    (lambda u, y: 1 - y**2, "1 - y^2, which is tanh's"),
                    (lambda u, y: y**2, "y^2"),
                    (lambda u, y: 1 + y**2, "1 + y^2"),
                    (lambda u, y: y * (1 + y), "y (1 + y)"),
                    (lambda u, y: (u > 0) * 1.0, "1 where the input is above 0, else 0"),
                    (lambda u, y: np.where(u > 0, 1, y), "1 where the input is above 0, else y"),
                    (lambda u, y: np.where(u > 0, 1, u), "1 where the input is above 0, else the input"),
                ):
                    yield 1.35, wrong, says + text, [formula(a, b) for a, b in zip(u, y, strict=True)]
        if activation or on_off:
            if all(np.isfinite(x).all() for x in at_y):
                yield 1.25, elsewhere, f"{says}phi' at the activation, not at the pre-activation", at_y
            for values, name in self.values_like(sinks):
                if all(np.array_equal(a, b) for a, b in zip(values, y, strict=True)):
                    continue
                formulas = [("phi' at `%s`", lambda f, a: f.slope_at(a))]
                if all(np.allclose(1 - b**2, x) for b, x in zip(y, d, strict=True)):  # tanh's slope, given its value
                    formulas.append(("1 - %s^2", lambda f, a: 1 - a**2))
                if all(np.allclose(b * (1 - b), x) for b, x in zip(y, d, strict=True)):  # the sigmoid's
                    formulas.append(("%s (1 - %s)", lambda f, a: a * (1 - a)))
                for text, formula in formulas:
                    g = [formula(f, a) for f, a in zip(found, values, strict=True)]
                    if all(np.isfinite(x).all() for x in g):
                        yield 1.28, elsewhere, says + text.replace("%s", name), g

    def values_like(self, sinks: list[Node]) -> Iterator[tuple[list[Any], str]]:
        for values, name in self.arrays.get(len(sinks), {}).values():
            if values[0].shape == sinks[0].result.shape and values[0].dtype.kind == "f":
                yield values, name

    def functions(self) -> Iterator[tuple]:
        """(sources, operand, sinks, block): results that are functions of one earlier array, element by element."""
        edges = [(nodes, j) for nodes, j, _ in self.edges() if j >= 0]
        seen: set[tuple] = set()
        for sources, j in edges:
            start = sources[-1]  # in the first round a state of zeros is nobody's function
            if not start.elementwise or np.shape(start.operands[j]) != start.result.shape:
                continue
            u = key(start.operands[j])
            made = [m for m in self.makers.get(u, ()) if m.number < start.number]
            if made and made[-1].elementwise and sum(made[-1].live) == 1 and self._same_shape(made[-1]):
                continue  # part of a longer function
            if (u, start.result.shape) in seen:
                continue
            seen.add((u, start.result.shape))
            block = self._block(start, u)
            for sink in block:
                readers = self.readers.get(key(sink.result), [])
                if len(readers) == 1 and readers[0] in block and is_step(readers[0]):
                    continue  # on the way to the function's value
                sinks = self.families[sink.family]
                if len(sinks) == len(sources):
                    yield sources, j, sinks, lambda s, n, j=j: self._block(s, key(s.operands[j]), n)

    def _same_shape(self, node: Node) -> bool:
        return any(live and np.shape(x) == node.result.shape for live, x in zip(node.live, node.operands, strict=True))

    def _block(self, start: Node, u: tuple, end: Node | None = None) -> list[Node]:
        """The elementwise operations from `start` on that read nothing alive but u and one another."""
        inside, found = {u}, []
        for node in self.tape.nodes[start.number : start.number + 60]:
            if node.elementwise and any(node.live) and node.result.shape == start.result.shape:
                alive = {key(x) for x, live in zip(node.operands, node.live, strict=True) if live}
                if alive <= inside:
                    found.append(node)
                    inside.add(key(node.result))
            if node is end or len(found) == 10:
                break
        return found


class Function:
    """phi between an operand of one node and the result of a later one."""

    def __init__(self, source: Node, j: int, sink: Node, nodes: list[Node]):
        self.source, self.j, self.sink, self.nodes = source, j, sink, nodes
        self.u, self.y = source.operands[j], sink.result
        self.d = self.slope_at(self.u)

    @property
    def curved(self) -> bool:
        """phi' is not the same everywhere."""
        return bool(np.isfinite(self.d).all()) and self.d.size > 1 and float(np.ptp(self.d)) > 1e-6

    def slope_at(self, point: Any) -> Any:
        return (self(point + 1e-5) - self(point - 1e-5)) / 2e-5

    def __call__(self, u: Any) -> Any:
        values = {key(self.u): u}
        with np.errstate(all="ignore"):
            for node in self.nodes:
                operands = [
                    values.get(key(x), x) if live else x for x, live in zip(node.operands, node.live, strict=True)
                ]
                values[key(node.result)] = node.compute(*operands)
        return values[key(self.y)]


def fits_into(small: tuple[int, ...], large: tuple[int, ...]) -> bool:
    """An array of the one shape broadcasts to the other."""
    return len(small) <= len(large) and all(a in (1, b) for a, b in zip(small[::-1], large[::-1], strict=False))


def proportional(a: list[Any], b: list[Any]) -> bool:
    """All of `a` is one number times all of `b`."""
    x, y = (np.concatenate([np.ravel(part) for part in parts]) for parts in (a, b))
    size = float(y @ y)
    return size == 0 or float(np.abs(x - (x @ y) / size * y).max()) <= 1e-6 * float(np.abs(x).max(initial=0))


def is_step(node: Node) -> bool:
    """One array goes in, with numbers at most beside it."""
    return sum(node.live) == 1 and all(
        live or np.size(x) == 1 for x, live in zip(node.operands, node.live, strict=True)
    )


def is_square(node: Node) -> bool:
    """x * x: two operands, one path."""
    return len(node.operands) == 2 and all(node.live) and key(node.operands[0]) == key(node.operands[1])


def over_rows(x: Any) -> Any:
    return x.sum(axis=-1, keepdims=True)


JACOBIANS = [  # rank, mistake, what backward computes, and dy for a movement d of x: the transpose of it
    (1.0, "Jacobian reduced to its diagonal", "dy y (1 - y)", lambda y, d: y * (1 - y) * d),
    (1.5, "Jacobian reduced to its diagonal", "dy y", lambda y, d: y * d),
    (1.6, "Jacobian missing", "dy", lambda y, d: d),
    (1.7, "a factor missing", "dy - sum(dy y)", lambda y, d: d - y * over_rows(d)),
    (1.7, "a factor missing", "y (dy - sum(dy))", lambda y, d: y * d - over_rows(y * d)),
    (1.7, "sign flipped", "y (dy + sum(dy y))", lambda y, d: y * d + y * over_rows(y * d)),
    (1.7, "summed over the wrong axis", "y (dy - sum(dy y) over all)", lambda y, d: y * d - y * (y * d).sum()),
    (1.7, "summed over the wrong axis", "y (dy - sum(dy y, axis 0))", lambda y, d: y * d - y * (y * d).sum(axis=0)),
]


def row_softmax(x: Any) -> Any:
    e = np.exp(x - x.max(axis=-1, keepdims=True))
    return e / e.sum(axis=-1, keepdims=True)


def weighted(weights: Any, name: str, c: float, own: str = "output") -> Any:
    """`weights` with those of the output called `name` multiplied by c."""
    if isinstance(weights, (tuple, list)):
        return tuple(weighted(w, name, c, f"{own}[{i}]") for i, w in enumerate(weights))
    if isinstance(weights, dict):
        return {k: weighted(w, name, c, f"{own}[{k!r}]") for k, w in weights.items()}
    return c * weights if own == name and weights is not None else weights


def other_targets(cases: dict[str, Case], report: GradientReport, objective: Objective) -> None:
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
            slopes = Slopes(tape, report)
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
