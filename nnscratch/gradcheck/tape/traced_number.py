"""TracedNumber: a Python number that reports every operation on it to the running tape.

Code that computes with Python numbers calls the functions of `math`, which return plain numbers. While a tape runs,
`traced_math` replaces these functions by versions that report their operations.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np

from ..adapters.numbers import NumberArray
from .traced_array import TracedArray, running

MATH = {  # for each function of `math`, the NumPy function that the tape records instead
    **{name: getattr(np, name) for name in ("exp", "log", "tanh", "sqrt", "sin", "cos", "tan", "sinh", "cosh")},
    **{"log1p": np.log1p, "expm1": np.expm1, "fabs": np.absolute, "pow": np.power, "atan": np.arctan},
}


class TracedNumber(float):
    """A number that represents an array without axes. The attribute `array` is this array."""

    array: np.ndarray

    def __new__(cls, array: Any) -> TracedNumber:
        number = super().__new__(cls, array)
        number.array = np.asarray(array)
        return number

    def __neg__(self) -> Any:
        return operate(np.negative, self)

    def __abs__(self) -> Any:
        return operate(np.absolute, self)


class TracedNumberArray(TracedArray, NumberArray):
    """A traced array that represents a Python number or a list of numbers. `tolist` returns traced numbers."""

    def tolist(self) -> Any:
        plain = self.view(np.ndarray)
        if not running:
            return plain.tolist()
        return TracedNumber(plain) if plain.ndim == 0 else [part.tolist() for part in self.parts()]

    def parts(self) -> list[TracedNumberArray]:
        """Return the elements along the first axis, each as a view."""
        return [self.view(np.ndarray)[k, ...].view(TracedNumberArray) for k in range(len(self))]


def operate(function: Callable, *numbers: Any) -> Any:
    """Compute one operation. If a tape is running, the tape computes it, and the result is a traced number."""
    operands = [n.array if isinstance(n, TracedNumber) else n for n in numbers]
    if not running:
        return float(function(*operands))
    return TracedNumber(running[-1].operation(function.__name__, function, operands, {}))


def binary(function: Callable, swapped: bool) -> Callable:
    """Return a method for an operator of two numbers, such as ``__add__``, or ``__radd__`` if `swapped` is True."""

    def method(self: TracedNumber, other: Any) -> Any:
        if not isinstance(other, (int, float)):
            return NotImplemented
        return operate(function, other, self) if swapped else operate(function, self, other)

    return method


for _name, _function in {
    "add": np.add,
    "sub": np.subtract,
    "mul": np.multiply,
    "truediv": np.divide,
    "pow": np.power,
}.items():
    setattr(TracedNumber, f"__{_name}__", binary(_function, swapped=False))
    setattr(TracedNumber, f"__r{_name}__", binary(_function, swapped=True))


@contextmanager
def traced_math() -> Iterator[None]:
    """In a ``with`` block, replace the functions of `math` by versions that report operations on traced numbers."""
    held = {name: getattr(math, name) for name in MATH}

    def version(name: str) -> Callable:
        def traced(*numbers: Any) -> Any:
            if any(isinstance(n, TracedNumber) for n in numbers) and (len(numbers) == 1 or name == "pow"):
                return operate(MATH[name], *numbers)
            return held[name](*numbers)

        return traced

    try:
        for name in MATH:
            setattr(math, name, version(name))
        yield
    finally:
        for name, function in held.items():
            setattr(math, name, function)
