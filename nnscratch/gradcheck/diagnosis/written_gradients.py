"""Test whether backward changes dy in place, and then computes a gradient with the changed values.

For example, a student writes ``dy *= y > 0``, and then ``dv = x.T @ dy`` for an array v whose gradient needs the old
values of dy. To find this mistake, run backward, and read the changed values of dy. Then compute the gradient of v with
these values as the weights of the outputs. If it equals the gradient from backward, backward uses the changed values.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from ..nested import is_array, leaves, map_leaves, to_numpy
from ..projection import Projection
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
    with projection.unchanged():
        projection.forward()
        projection.adapter.gradients(dys)
    values = iter([dy for _, dy in leaves("dy", dys)])

    def after(weights: Any) -> Any:
        dy = next(values)
        return np.asarray(to_numpy(dy), dtype=np.float64) if is_array(weights) and is_array(dy) else weights

    changed = map_leaves(after, projection.weights)
    pairs = zip(leaves("", changed), leaves("", projection.weights), strict=True)
    return changed if any(is_array(a) and not np.array_equal(a, b) for (_, a), (_, b) in pairs) else None
