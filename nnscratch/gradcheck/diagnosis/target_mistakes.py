"""Mistakes about the targets of a loss: shifted by one, left out, or with the sign flipped.

For example, a student writes ``dz[range(N), t - 1] -= 1`` for the labels t of cross-entropy, where
``dz[range(N), t] -= 1`` is right. To find this mistake, run forward with the wrong targets t - 1. If the derivatives of
this forward equal the gradients from backward, backward uses the wrong targets.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from ..nested import is_array, leaves
from ..projection import Projection
from ..report import GradientReport
from ..tape import CannotTape, Tape
from .case import Case
from .hypotheses import Hypothesis, HypothesisTester


def target_mistakes(cases: dict[str, Case], right: dict, report: GradientReport, projection: Projection) -> None:
    """Test whether backward uses wrong targets. If it does, add the mistake to `cases`.

    The wrong targets are integers shifted by one, arrays replaced by zeros, and arrays with the sign flipped. If the
    output is a loss, every array that is not differentiated may be a target.
    """
    adapter = projection.adapter
    checked = {id(projection.variables[name]) for name in report.entries}
    arrays = [a for a in (*adapter.inputs, *adapter.targets) if isinstance(a, np.ndarray) and a.size > 1]
    arrays += [a for a in projection.constant_arrays() if not any(a is b for b in arrays)][:10]
    shapes = {v.shape for v in projection.variables.values()}
    names = {id(a): name for name, a in zip(adapter.input_names, adapter.inputs, strict=True)}
    names |= {id(a): "the targets" for a in adapter.targets}
    others = []
    for a in (a for a in arrays if a.dtype.kind in "iu"):
        others += [(a, *other) for other in shifted_integers(a, names.get(id(a), "an array that the code stores"))]
    sizes = [y.size if is_array(y) else 1 for _, y in leaves("", projection.outputs)]
    of_loss = arrays if sizes[:1] == [1] else [a for a in arrays if any(a is b for b in adapter.targets)]
    for a in of_loss:
        if a.dtype.kind in "iuf" and a.shape in shapes and id(a) not in checked:
            others.append((a, 0 * a, "target's share missing", "zeros in place of the targets"))
            others.append((a, -a, "sign flipped", "the negative of the targets"))
    if not others:
        return
    try:
        with Tape(projection) as tape:
            tester = HypothesisTester(tape, cases, right)
            for array, other, mistake, how in others if tester.usable else ():
                held = array.copy()
                array[...] = other
                try:
                    h = Hypothesis(1.1, mistake, f"the given gradient is the gradient with {how}", "")
                    for name in tester.explained_arrays(h):
                        cases[name].add(h.rank, h.mistake, h.evidence, name)
                finally:
                    array[...] = held
    except CannotTape:
        return


def shifted_integers(ids: np.ndarray, name: str) -> Iterator[tuple[np.ndarray, str, str]]:
    """Yield (wrong integers, mistake, description): the integers `ids` with values or positions shifted by one.

    `name` is the name of the array in the description.
    """
    mistake = "target one off"
    for step in (-1, 1):
        added = f"{step:+d} added to every integer in {name}"
        yield ids + step, mistake, added
        yield (ids + step) % (ids.max() + 1), mistake, f"{added}, modulo {ids.max() + 1}"
        for axis in range(ids.ndim):
            yield np.roll(ids, step, axis), mistake, f"the integers in {name} shifted by {step:+d} along axis {axis}"
