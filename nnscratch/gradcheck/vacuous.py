"""Find checks that prove nothing: forward is constant, or backward computes finite differences itself.

The report lists both as traps. A trap is a fault that a comparison of gradients cannot find.
"""

from __future__ import annotations

import inspect
import sys
from collections.abc import Callable
from types import FrameType
from typing import Any

import numpy as np

from .adapters import Adapter, copy_array
from .nested import array_module, map_leaves, to_numpy
from .projection import Projection, equal_outputs
from .report import GradientReport, Trap

FORWARDS = ("forward", "forward_method", "function", "module")  # the attributes in which adapters keep forward


def constant_traps(projection: Projection, analytic: dict[str, Any], report: GradientReport) -> list[Trap]:
    """Return a `Trap` if all gradients are zero and the outputs stay the same for all inputs and parameters.

    Without this trap, code that you have not written yet would be "right": its analytic and numeric gradients are all
    zero. But a large change of the inputs may change the outputs, as for a ReLU with only negative inputs. For
    such code, the report receives a note instead of a trap.
    """
    arrays = [v for name, v in projection.variables.items() if v.size and analytic.get(name) is not None]
    if not arrays or not projection.flat_weights().size or any(np.any(g) for g in analytic.values()):
        return []
    if outputs_are_constant(projection, arrays):
        message = (
            "forward returns the same values for all inputs and parameters, and every gradient is zero, so "
            "nothing was checked. Is forward written yet?"
        )
        return [Trap("constant output", message, "incomplete")]
    report.notes.append("every gradient is zero here; check at other inputs too")
    return []


def outputs_are_constant(projection: Projection, arrays: list[Any], with_left_out: bool = False) -> bool:
    """Return True if the outputs stay the same when all `arrays` change by random amounts or are filled with NaN.

    If `with_left_out` is True, the outputs include those that the check leaves out.

    The test with NaN finds a forward that reads its input, but returns the same output for all numbers. For example, a
    softmax over one class is 1 for all numbers. But if the input is NaN, the output is NaN too.
    """
    held, rng = [a.copy() for a in arrays], np.random.default_rng(0)

    def outputs() -> tuple:
        ys = projection.forward()
        return (*ys, *projection.adapter.left_out) if with_left_out else ys

    expected = map_leaves(copy_array, outputs()) if with_left_out else projection.outputs
    try:
        for size in (0.1, 1.0, 10.0, np.nan):
            for sign in (1, -1):
                for array, old in zip(arrays, held, strict=True):
                    step = sign * size * rng.uniform(0.5, 1.5, old.shape) * (1 + np.abs(to_numpy(old)))
                    array[...] = old + array_module(array).asarray(step)
                ys = outputs()
                projection.adapter.clear_saved()
                if not equal_outputs(ys, expected):
                    return False
    except Exception:  # forward fails with the changed values, which shows that it reads these arrays
        return False
    finally:
        for array, old in zip(arrays, held, strict=True):
            array[...] = old
    return True


class ForwardCalls:
    """Count the calls of the checked forward: ``with ForwardCalls(adapter) as calls: ...``, then ``calls.count``.

    A call inside another call is not counted. While a profiler runs, no calls are counted.
    """

    def __init__(self, adapter: Adapter):
        self.count, self._depth = 0, 0
        self._codes: dict[Any, Any] = {}
        inner = getattr(adapter, "inner", adapter)
        for name in FORWARDS:
            found = getattr(inner, name, None)
            self._add(getattr(found, "forward", found) if name == "module" else found)
        self._before: Any = None

    def _add(self, function: Callable | None) -> None:
        function = inspect.unwrap(function) if callable(function) else function
        code = getattr(getattr(function, "__func__", function), "__code__", None)
        if code is not None:
            self._codes[code] = getattr(function, "__self__", None)

    def __enter__(self) -> ForwardCalls:
        self._before = sys.getprofile()
        if self._before is None and self._codes:
            sys.setprofile(self._event)
        return self

    def __exit__(self, *error: Any) -> None:
        if self._before is None:
            sys.setprofile(None)

    def _event(self, frame: FrameType, event: str, argument: Any) -> None:
        code = frame.f_code
        if code not in self._codes or event not in ("call", "return"):
            return
        owner = self._codes[code]
        if owner is not None and frame.f_locals.get(code.co_varnames[0]) is not owner:
            return
        if event == "call":
            self.count += self._depth == 0
            self._depth += 1
        else:
            self._depth = max(0, self._depth - 1)


def difference_traps(calls: int, projection: Projection) -> list[Trap]:
    """Return a `Trap` if backward calls forward so often that it probably computes finite differences.

    Parameters
    ----------
    calls : int
        How often forward runs in one forward pass and one backward pass: once if backward does not call forward.
    projection : Projection
    """
    smallest = min((v.size for v in projection.variables.values() if v.size), default=0)
    if calls - 1 < max(4, smallest):
        return []
    message = (
        f"backward calls forward {calls - 1} times, so it probably computes finite differences. Then a comparison with "
        f"the checker's finite differences proves nothing; write the derivative as a formula"
    )
    return [Trap("finite differences in backward", message, "incomplete")]
