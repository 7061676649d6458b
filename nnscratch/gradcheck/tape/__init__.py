"""A tape records the operations of forward. It can run forward again with a wrong derivative of one operation.

The tape replaces the arrays that a check differentiates by views of the class :class:`TracedArray` (traced_array.py).
These views report every operation on them to a :class:`Tape` (tape.py). The tape gives each operation a number. It
keeps the operands, the result, and the line in the user's code (source.py). When forward runs again, a change
(changes.py) can replace an operation by another operation. At the current inputs, the new operation has the same value
as the old operation, but a different derivative.

Finite differences of the changed forward give the gradient that a backward with this wrong derivative returns. The
diagnosis compares this gradient with the gradient that the user's backward returned.
"""

from .changes import change_path, increment, record_operand, replace_factor, replace_slope, replace_upstream_by_ones
from .tape import CannotTape, Node, Tape, flat_indices_of_view
from .traced_projection import traced, traced_code

__all__ = [
    "CannotTape",
    "Node",
    "Tape",
    "change_path",
    "flat_indices_of_view",
    "increment",
    "record_operand",
    "replace_factor",
    "replace_slope",
    "replace_upstream_by_ones",
    "traced",
    "traced_code",
]
