"""Find a backward that measures derivatives itself, by finite differences or by the complex step.

A comparison of such a backward with finite differences proves nothing, because both compute differences of the same
operations. Such a backward computes the operations of forward again, with operands that are shifted by a small step h:

    (np.tanh(x + h) - np.tanh(x - h)) / (2 * h)         np.tanh(x + 1e-20j).imag / 1e-20

To find such a backward, this file runs forward and backward once on traced arrays, which report their operations. It
compares each operation of backward with the same operation of forward. An operation is suspicious if a small number h
is added to its operand in backward: to all elements, or to a single element, as in ``x[i] += h``. If one function
computes the loss and the gradients, its operations are compared with each other.

The report lists such a backward as a trap. A trap is a fault that a comparison of gradients cannot find.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from .projection import Projection
from .report import Trap
from .tape import traced_code

# A backward that shifts at least this many operands by the same step computes finite differences, even if no division
# by the step is found.
ENOUGH = 8
MANY = 50  # an operation of backward is compared with at most this number of operations of forward
SMALL = 2e-3  # the largest step h, divided by the largest element of the operand
BUDGET = 20_000_000  # the search stops after it has compared or copied this number of elements


def measured_derivative_traps(projection: Projection) -> list[Trap]:
    """Return a `Trap` if backward computes operations of forward with operands that are shifted by a small step."""
    if projection.replayed == "state":  # projection.forward() would put back arrays that are not traced
        return []
    shifted = ShiftedOperations()
    try:
        with projection.unchanged(), traced_code(projection, shifted, backward=True):
            projection.forward()
            shifted.in_backward = True
            projection.adapter.gradients(projection.dys())
    except Exception:  # some code does not accept traced arrays, which are a subclass of ndarray
        return []
    step = shifted.step()
    if step is None:
        return []
    kind = "the complex step" if isinstance(step, complex) else "finite differences"
    message = (
        f"backward computes operations of forward with operands shifted by {abs(step):.2g}, so it probably computes "
        f"{kind} itself. Then a comparison with finite differences proves nothing; write the derivative as a formula"
    )
    return [Trap("finite differences in backward", message, "incomplete")]


class ShiftedOperations:
    """Compute the operations of a `TracedArray`, and find operands that differ by a small step in forward and backward.

    Attributes
    ----------
    in_backward : bool
        True while backward runs.
    """

    def __init__(self) -> None:
        self.in_backward = False
        self._operands: dict[str, list[list[Any]]] = {}  # the operands in forward, for each operation
        self._shifts: dict[tuple[str, complex | float], set[bytes]] = {}  # (operation, step): the shifted operands
        self._divisors: set[float] = set()
        self._backward_computes = False
        self._left = BUDGET

    def operation(self, name: str, compute: Callable, operands: list[Any], kwargs: dict) -> Any:
        """Compute one operation. `TracedArray` calls this method."""
        arrays = [x for x in operands if isinstance(x, np.ndarray) and x.dtype.kind in "fc"]
        if self._left > 0 and arrays:
            if self.in_backward and not self._backward_computes:  # drop the shifts found inside forward
                self._backward_computes = True
                self._shifts.clear()
            if name in ("divide", "multiply") and isinstance(operands[1], (float, np.floating)) and operands[1]:
                factor = abs(float(operands[1]))
                self._divisors.add(factor if name == "divide" else 1 / factor)
            known = self._operands.setdefault(name, [])
            steps = {self._step(base, arrays) for base in known[:MANY]}
            if 0.0 not in steps and max(a.size for a in arrays) > 1:  # skip single numbers: they may be close by chance
                for step in steps - {None}:
                    self._shifts.setdefault((name, step), set()).add(b"".join(a.tobytes() for a in arrays))
            if not self.in_backward:
                known.append([a.copy() for a in arrays])
                self._left -= sum(a.size for a in arrays)
        return compute(*operands)

    def _step(self, base: list[np.ndarray], arrays: list[np.ndarray]) -> complex | float | None:
        """Return the size of the step from the operands `base` to the operands `arrays`: see `shift_between`.

        Return None if there is no step, or if the operands have different steps.
        """
        if [a.shape for a in base] != [a.shape for a in arrays]:
            return None
        self._left -= sum(a.size for a in arrays)
        steps: set[complex | float] = set()
        for old, new in zip(base, arrays, strict=True):
            step = shift_between(old, new)
            if step is None:
                return None
            if step:
                steps.add(step)
        return 0.0 if not steps else steps.pop() if len(steps) == 1 else None

    def step(self) -> complex | float | None:
        """Return the step with which backward measures derivatives, or None if backward does not measure them.

        Backward measures derivatives if it shifts an operand and divides by the size of the shift, if it makes many
        shifts of the same size, or if it makes an imaginary shift.
        """
        for (_, step), shifts in self._shifts.items():
            # compare with a tolerance, because shift_between rounds the step to four digits
            divided = any(np.isclose(d, k * abs(step), rtol=6e-4, atol=0) for d in self._divisors for k in (1, 2))
            if len(shifts) >= ENOUGH or divided or isinstance(step, complex):
                return step
        return None


def shift_between(old: np.ndarray, new: np.ndarray) -> complex | float | None:
    """Return the size of the step from `old` to `new`.

    Return 0 if the arrays are equal. Return None if the difference is not a small step h that is added to all elements,
    or to a single element. The step is imaginary if `new` has an imaginary part.

    Examples
    --------
    >>> x = np.array([1.0, 2.0])
    >>> shift_between(x, x - 1e-3), shift_between(x, x + np.array([0, 1e-20j])), shift_between(x, 2 * x)
    (0.001, 1e-20j, None)
    """
    difference = (new - old).ravel()
    changed = difference[difference != 0]
    if not changed.size:
        return 0.0
    imaginary = np.iscomplexobj(changed)
    if imaginary and np.any(changed.real):
        return None
    sizes = np.abs(changed)
    size, largest = float(sizes.max()), float(np.abs(old).max())
    equal = size - sizes.min() <= 1e-12 * largest + 1e-3 * size
    if not equal or changed.size not in (1, difference.size) or size > SMALL * max(largest, 1.0):
        return None
    step = float(f"{size:.4g}")
    return complex(0, step) if imaginary else step
