"""Find the derivative that backward used for a function y = phi(u) inside forward.

movements.py solves linear equations for the gradient that backward computed for u. This gradient, divided by the
gradient of y, is the derivative that backward used instead of phi'(u). For example, forward computes ``h =
np.tanh(u)``, and a student writes ``du = dh * (1 - u**2)``. Then the quotient is 1 - u^2, and slope_formulas.py finds
this formula.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from .case import Case
from .forward_graph import ForwardGraph, gradient_of_result
from .hypotheses import HypothesisTester
from .movements import Movements, measure_movements, movement_of_operand
from .slope_formulas import name_slope
from .wrong_slopes import ElementwiseFunction, find_functions

MAX_SIZE = 64  # if an array u has more than MAX_SIZE elements, the equations for its gradient are not solved


def gradient_errors(cases: dict[str, Case], graph: ForwardGraph, tester: HypothesisTester) -> None:
    """If a wrong gradient is not explained yet, search forward for a function whose derivative is wrong in backward."""
    if all(case.found for case in cases.values()) or len(tester.cases) < len(cases):
        return
    movements = tester.movements or measure_movements(graph, tester)
    if movements is None:
        return
    for rank, mistake, evidence, place in wrong_functions(graph, movements):
        for case in cases.values():
            case.add(rank, mistake, f"{evidence}; this explains the gradients of all arrays", place)


def wrong_functions(graph: ForwardGraph, movements: Movements) -> Iterator[tuple[float, str, str, str]]:
    """Yield (rank, mistake, evidence, place) for each function y = phi(u) for which backward used a wrong derivative.

    Leave out a function if slope_formulas.py does not find the formula of the wrong derivative.
    """
    for sources, j, sinks, block in find_functions(graph):
        if len(sources) > 1 or np.size(sources[0].operands[j]) > MAX_SIZE:
            continue
        source, sink = sources[0], sinks[0]
        nodes = block(source, sink)
        if sink not in nodes:
            continue
        f = ElementwiseFunction(source, j, sink, nodes)
        if not f.is_nonlinear:
            continue
        moved = movement_of_operand(graph, movements, source, j)
        delta = movements.solve(moved) if moved is not None else None
        if delta is None:
            continue
        upstream = gradient_of_result(graph, sink)
        if not (np.abs(upstream) > 1e-9).all():
            continue
        used = f.d + delta.reshape(f.d.shape) / upstream
        named = name_slope(f.u, f.y, f.d, used, f, f.slope_at)
        if named is not None:
            rank, mistake, evidence = named
            yield rank, mistake, f"{evidence}, where u is `{source.operand_names[j]}`", sink.place
