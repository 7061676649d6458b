"""The parts of an exercise: the student's file, the checks, the hints, and typical mistakes."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass, field
from importlib.resources import files
from typing import Any

import numpy as np

Draw = Callable[[np.random.Generator], tuple]

NOT_SENT = {"cache", "layer", "dx", "dW", "gradCenterVec", "gradOutsideVecs"}
"""The names of returned values that stay in the student's process, because `Values` does not compare them."""

SOLUTION = re.compile(r"(?ms)^( *)# solution: ([^\n]*)\n(.*?)^ *# end\n")
"""A part of a solution that the student has to write: from ``# solution: what to do`` to ``# end``."""


@dataclass
class Slip:
    """A typical mistake, which the check recognises from the values that the student's function returns.

    Attributes
    ----------
    gives : callable
        ``gives(*inputs)`` returns the values that code with this mistake returns: all of them, or only the first.
    message : str
        The message to the student.
    """

    gives: Callable[..., Any]
    message: str


@dataclass
class Values:
    """Compare the values from a student's function with the values from a reference.

    Attributes
    ----------
    function : str
        The name of the function in the student's file, or ``"driver:NAME"`` for a driver, which calls the student's
        code (see drivers.py).
    reference : callable
        Returns the right values for the same inputs: an array, or a tuple of arrays.
    cases : list of callable
        Each function draws the inputs for one comparison: ``draw(rng) -> tuple``.
    returns : tuple of str
        The names of the values that the function returns. The check does not compare values with a name in `NOT_SENT`.
    slips : list of Slip
        The mistakes that the check recognises. If several of them explain the values, the first is reported.
    measure : callable, optional
        For random outputs: ``measure(inputs, *outputs)`` returns a dictionary of numbers, and the check compares these
        numbers instead of the outputs. It raises a ValueError if the outputs cannot be measured.
    stable : bool
        True if an overflow is a mistake even where the values are right. For example, exp(800) overflows, but 1 / (1 +
        exp(800)) is 0, which is right.
    """

    function: str
    reference: Callable[..., Any]
    cases: list[Draw]
    returns: tuple[str, ...] = ("out",)
    slips: list[Slip] = field(default_factory=list)
    measure: Callable[..., dict[str, Any]] | None = None
    stable: bool = False


@dataclass
class Gradients:
    """Compare the student's gradients with finite differences. Backward gets the cache of the student's forward.

    ``nnscratch exercises check`` computes the differences from the student's forward, ``nnscratch grade`` from the
    reference.

    Attributes
    ----------
    functions : tuple of str
        Forward and backward, or one function that returns the loss and the gradients.
    cases : list of callable
        Each function draws the inputs of forward.
    reference : callable, optional
        Returns the right outputs for the same inputs. Only ``nnscratch grade`` uses it. If it is None, this command
        uses the `reference` of the `Values` object that checks the same forward.
    replay : callable, optional
        The reference for a forward that draws random numbers. ``replay(inputs, *outputs)`` returns a forward that uses
        the same random numbers as the call that returned `outputs`.
    """

    functions: tuple[str, ...]
    cases: list[Draw]
    reference: Callable[..., Any] | None = None
    replay: Callable[..., Callable] | None = None


@dataclass
class Mistake:
    """A planted mistake, which tests the check. In the model solution, the code `new` replaces the code `old`.

    Attributes
    ----------
    old, new : str
    expected : str
        A part of the message that the student must get.
    """

    old: str
    new: str
    expected: str


@dataclass
class Exercise:
    """One exercise.

    Attributes
    ----------
    number : int
        The position in the ladder. The number never changes, because it is part of the names of students' files.
    name : str
    title : str
        One line for the list of exercises.
    parts : list of Values or Gradients
        The checks, in the order in which they run. The feedback shows the first check that fails.
    hints : tuple of str
        Two hints, and a third hint that is shown after the student has solved the exercise.
    reading : str
        The files and pages to read after the exercise.
    mistakes : list of Mistake
    """

    number: int
    name: str
    title: str
    parts: list[Values | Gradients]
    hints: tuple[str, str, str]
    reading: str
    mistakes: list[Mistake]

    @property
    def filename(self) -> str:
        """The name of the student's file."""
        return f"{self.number:02d}_{self.name}.py"

    @property
    def marked_solution(self) -> str:
        """The solution, with ``# solution`` and ``# end`` around the parts that the student has to write."""
        return (files("nnscratch.exercises.solutions") / f"{self.name}.py").read_text(encoding="utf-8")

    @property
    def solution(self) -> str:
        """A file that passes the check."""
        return SOLUTION.sub(lambda match: match[3], self.marked_solution)

    @property
    def student_file(self) -> str:
        """The file that the student gets: the solution, with a TODO instead of each part to write."""
        return SOLUTION.sub(to_do, self.marked_solution)


def to_do(match: re.Match) -> str:
    """Return the lines that replace one part of the solution."""
    indent, task = match[1], match[2]
    lines = [f"# TODO: {task}", 'raise NotImplementedError("replace this line with your code")']
    return "".join(f"{indent}{line}\n" for line in lines)


def normal(*shapes: tuple[int, ...]) -> Draw:
    """Return a function that draws one normally distributed array for each shape.

    Examples
    --------
    >>> x, w = normal((3, 4), (4, 2))(np.random.default_rng(0))
    >>> x.shape, w.shape
    ((3, 4), (4, 2))
    """
    return lambda rng: tuple(rng.normal(size=shape) for shape in shapes)


def given(*inputs: Any) -> Draw:
    """Return a function that draws nothing: it returns these inputs, with copies of the arrays."""
    return lambda rng: tuple(x.copy() if isinstance(x, np.ndarray) else x for x in inputs)
