"""Convert the checked code to float64 for the check, where that is possible.

Finite differences in float32 have only four or five correct digits. Therefore the checker replaces float32 arrays by
float64 copies. If the code still computes in float32, see widening.py.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from .adapters import Adapter
from .nested import is_array, is_float, leaves, map_leaves
from .projection import NotDeterministic, Projection
from .report import GradientReport
from .snapshot import Snapshot
from .substitution import cast_arrays
from .traps import backward_traps


def project_in_float64(
    adapter: Adapter, before: Snapshot, rng: np.random.Generator, report: GradientReport
) -> tuple[Projection, int]:
    """Build the `Projection` of `adapter`. Use float64 if the code accepts it, else the code's own dtype.

    Parameters
    ----------
    adapter : Adapter
    before : Snapshot
        The state of the checked code, in its own dtype.
    rng : numpy.random.Generator
    report : GradientReport
        Receives the traps (see traps.py) that occur only in the code's own dtype, and a note if the code does not
        accept float64.

    Returns
    -------
    (Projection, int)
        The projection, and the number of bytes of one value in its least precise float dtype.

    Raises
    ------
    NotDeterministic
        Forward returns a different result at every call.
    """
    narrow = [a for a in before.arrays() if a.dtype.kind == "f" and a.dtype.itemsize < 8]
    inputs, targets = adapter.inputs, adapter.targets
    state = rng.bit_generator.state
    narrow += [a for a in adapter.float_inputs().values() if a.dtype.itemsize < 8]
    try:
        first = Projection(adapter, rng)
        own_dtype_traps, ran = backward_traps(first) if narrow else [], True
    except (TypeError, ValueError):
        if not narrow:
            raise
        own_dtype_traps, ran = [], False  # code with float32 weights may not accept the float64 inputs
    # Only a run in the code's own dtype can find a gradient of the wrong dtype.
    report.traps += [trap for trap in own_dtype_traps if trap.kind == "wrong dtype"]
    if not narrow:
        return first, smallest_itemsize(first)
    before.restore()
    cast_arrays(before, np.float64)
    adapter.inputs, adapter.targets = map_leaves(float64_copy, inputs), map_leaves(float64_copy, targets)
    adapter.prepare()
    rng.bit_generator.state = state
    try:
        projection = Projection(adapter, rng)
    except (TypeError, ValueError) as error:
        if isinstance(error, NotDeterministic) or not ran:  # the code fails in both dtypes
            raise
        before.restore()
        adapter.inputs, adapter.targets = inputs, targets
        adapter.prepare()
        report.notes.append(f"the code does not accept float64 ({type(error).__name__}), so its own dtype was used")
        rng.bit_generator.state = state
        projection = Projection(adapter, rng)
    return projection, smallest_itemsize(projection)


def float64_copy(value: Any) -> Any:
    """Return a float64 copy of a float32 or float16 array. Return any other value unchanged."""
    return value.astype(np.float64) if is_array(value) and is_float(value) and value.dtype.itemsize < 8 else value


def smallest_itemsize(projection: Projection) -> int:
    """Return the number of bytes of one value in the least precise float dtype of the variables and the outputs."""
    sizes = [v.dtype.itemsize for v in projection.variables.values()]
    # A loss may be a float32 scalar: it is not an array, but it has a dtype. A Python float has no dtype.
    sizes += [y.dtype.itemsize for _, y in leaves("", projection.outputs) if is_float(y) and hasattr(y, "dtype")]
    return max(2, min([8, *sizes]))


def stores_narrow_arrays(projection: Projection) -> bool:
    """Return True if forward stores float32 or float16 arrays, although its inputs and its weights are float64."""
    adapter = projection.adapter
    with projection.unchanged():
        projection.forward()
        stored = Snapshot(adapter.source, adapter.cached()).arrays()
    adapter.clear_saved()
    return any(is_float(array) and array.dtype.itemsize < 8 for array in stored)
