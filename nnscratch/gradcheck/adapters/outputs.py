"""The outputs of forward that are checked, if backward does not take a gradient for each output.

For example, after ``loss, h_last, cache = forward(x, h0)``, a ``backward(cache)`` returns the gradients of the loss, so
only the loss is checked. After ``h, loss, cache = forward(x, h0)``, a ``backward(dh, cache)`` may add the gradients of
the loss to those of h.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from ..nested import has_no_axes


@dataclass
class UsedOutputs:
    """The positions of the outputs that are checked.

    Attributes
    ----------
    checked : sequence of int
        The outputs whose weighted sum is differentiated.
    given : sequence of int
        The checked outputs whose gradient is passed to backward. The other checked outputs are losses, and their
        gradient is 1.
    """

    checked: Sequence[int]
    given: Sequence[int]


def losses_of(ys: tuple) -> list[int]:
    """Return the positions of the outputs that are single floats. Return [] if there are no other outputs.

    A single complex number is included, because the checker may run forward with complex numbers.
    """
    found = [i for i, y in enumerate(ys) if has_no_axes(y) and np.asarray(y).dtype.kind in "fc"]
    return found if len(found) < len(ys) else []


def used_outputs(ys: tuple, count: int, with_loss: bool) -> UsedOutputs:
    """Choose the outputs to check if backward does not take a gradient for each output.

    `count` is the number of gradients that backward takes. If `with_loss` is True, backward adds the gradients of the
    losses among the outputs.

    Examples
    --------
    >>> h = [1.0, 2.0]
    >>> used_outputs((3.0, h), 0, False), used_outputs((h, 3.0), 1, True)
    (UsedOutputs(checked=[0], given=[]), UsedOutputs(checked=[0, 1], given=[0]))
    >>> used_outputs((h, 3.0), 1, False)
    UsedOutputs(checked=[0], given=[0])
    """
    losses = losses_of(ys)
    if count == 0 and losses:
        return UsedOutputs(losses[:1], [])
    if with_loss and count == len(ys) - len(losses):
        everything = list(range(len(ys)))
        return UsedOutputs(everything, [i for i in everything if i not in losses])
    first = list(range(count or len(ys)))
    return UsedOutputs(first, first)
