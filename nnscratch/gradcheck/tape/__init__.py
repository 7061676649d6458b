"""A tape records forward operation by operation, and runs it again with one operation's derivative changed.

The arrays that a check differentiates are replaced by views of class :class:`TracedArray` (traced_array.py), which see
every operation they take part in. A :class:`Tape` (tape.py) numbers the operations, and keeps their operands, their
results and the place in the user's code (source.py). When forward runs again, a change (changes.py) can replace an
operation: the new one has the same value at the point of the first run, but another derivative there.

Finite differences of the changed forward are the gradient that a backward with exactly that mistake would give. The
diagnosis compares this gradient with the one that backward gave.
"""

from .changes import change_path, record_operand, replace_factor, replace_slope, replace_upstream_by_ones
from .tape import CannotTape, Node, Tape

__all__ = [
    "CannotTape",
    "Node",
    "Tape",
    "change_path",
    "record_operand",
    "replace_factor",
    "replace_slope",
    "replace_upstream_by_ones",
]
