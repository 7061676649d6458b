"""Test whether backward changes dy in place, and then computes a gradient with the changed values.

For example, a student writes ``dy *= y > 0``, and then ``dv = x.T @ dy`` for an array v whose gradient needs the old
values of dy. To find this mistake, run backward, and read the changed values of dy. Then compute the gradient of v with
these values as the weights of the outputs. If it equals the gradient from backward, backward uses the changed values.
"""

from __future__ import annotations

from typing import Any

from ..nested import is_array, leaves, map_leaves, to_numpy
from ..projection import Projection
from ..snapshot import equal_arrays
from ..tape import CannotTape, Tape
from .case import Case
from .hypotheses import Hypothesis, HypothesisTester


def written_gradients(cases: dict[str, Case], right: dict, projection: Projection) -> None:
    """If backward changes dy and then uses it, add this mistake to each case whose gradient it explains."""
    changed = weights_after_backward(projection)
    if changed is None:
        return
    words = "backward changes dy in place, and then computes this gradient with the changed values"
    h = Hypothesis(1.08, "upstream gradient wrong", words, "", weights=changed)
    try:
        with Tape(projection) as tape:
            tester = HypothesisTester(tape, cases, right)
            for name in tester.wrong if tester.usable else ():
                if tester.explains_alone(h, name):
                    cases[name].add(h.rank, h.mistake, h.evidence)
    except CannotTape:
        return


def weights_after_backward(projection: Projection) -> Any:
    """Run backward, and return the values that dy has after backward. Return None if backward does not change dy.

    The check calls backward with dy = R, so the result has the same nested structure as R.
    """
    dys = projection.dys()
    arrays = [dy for _, dy in leaves("", dys)]  # backward may remove an array from the list or dictionary that holds it
    with projection.unchanged():
        projection.forward()
        projection.adapter.gradients(dys)
    pairs = zip(arrays, leaves("", projection.dys()), strict=True)
    if not any(is_array(dy) and not equal_arrays(dy, before) for dy, (_, before) in pairs):
        return None
    values = iter(arrays)

    def after(weights: Any) -> Any:
        dy = next(values)
        return to_numpy(dy) if is_array(dy) else weights

    return map_leaves(after, projection.weights)
