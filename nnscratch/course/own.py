"""Exercises that an instructor writes: one Python file each, with a model solution and the shapes of the inputs.

    \"\"\"Write swish: out = x * sigmoid(beta * x).\"\"\"

    import numpy as np


    def swish_forward(x, beta):
        # solution: compute out
        s = 1 / (1 + np.exp(-beta * x))
        out = x * s
        # end
        return out, (x, beta, s)


    def swish_backward(dout, cache):
        x, beta, s = cache
        # solution: compute dx and dbeta
        dx = dout * (s + x * beta * s * (1 - s))
        dbeta = np.sum(dout * x * x * s * (1 - s))
        # end
        return dx, dbeta


    # for the instructor
    SHAPES = [{"x": "4,3", "beta": ""}, {"x": "2,5", "beta": ""}, {"x": "7", "beta": ""}]
    MISTAKES = [("s + x * beta * s * (1 - s)", "s", "missing")]

Students get the part above the line ``# for the instructor``, with a TODO instead of each solution. The check compares
students' results with those of the solution. Below the line ``# for the instructor``, define these names:

    SHAPES      at least three sets of inputs: "4,3" draws normally distributed floats, "" draws one number, and
                "ids:4,3:10" draws integers below 10. For other inputs, give a function: it gets a random generator,
                and returns the input
    FUNCTIONS   the names of one or two functions. By default NAME_forward and NAME_backward, where NAME is the name of
                the file. If the file has no NAME_forward, the default is the function NAME
    RETURNS     the names of the values that the first function returns: ("out", "cache") by default for two functions,
                ("out",) for one. Give ("loss", "dx") for a loss that also returns its gradient
    HINTS       three strings
    MISTAKES    typical mistakes, which test the check. A mistake is a tuple of three texts: a piece of the solution,
                the wrong code that replaces this piece, and a part of the message that the student must get
"""

from __future__ import annotations

import runpy
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from ..exercises.exercise import NOT_SENT, Draw, Exercise, Gradients, Mistake, Values
from ..gradcheck.command.drawing import draw_written

FOR_THE_INSTRUCTOR = "# for the instructor"
LEAST_CASES = 3
NO_HINTS = ("Read the task once more.", "Test your function with a small input.", "")


@dataclass
class OwnExercise(Exercise):
    """An exercise from a file that the instructor wrote.

    Attributes
    ----------
    source : str
        The part of the file for students, with the lines ``# solution`` and ``# end`` around the solutions.
    gradient_command : str
        The command that checks the gradients; "" if there are no gradients, or if the shapes are not strings.
    """

    source: str = ""
    gradient_command: str = ""

    @property
    def filename(self) -> str:
        """The name of the student's file."""
        return f"{self.name}.py"

    @property
    def marked_solution(self) -> str:
        """The solution, with ``# solution`` and ``# end`` around the parts that the student writes."""
        return self.source


def read_own(path: Path) -> OwnExercise:
    """Run the file of an exercise, which the instructor wrote, and return the exercise.

    Raises
    ------
    FileNotFoundError
        There is no such file.
    ValueError
        The file does not describe an exercise.
    """
    if not path.is_file():
        raise FileNotFoundError(f"{path} does not exist")
    source = path.read_text(encoding="utf-8")
    above, mark, _ = source.partition(f"\n{FOR_THE_INSTRUCTOR}")
    if not mark:
        raise ValueError(f"{path} has no line {FOR_THE_INSTRUCTOR!r}")
    try:
        held = runpy.run_path(str(path))
    except Exception as error:
        raise ValueError(f"{path} cannot be run: {type(error).__name__}: {error}") from None
    try:
        return exercise_from(path.stem, above.rstrip() + "\n", held)
    except (ValueError, TypeError) as error:
        raise ValueError(f"{path}: {error}") from None


def exercise_from(name: str, source: str, held: dict[str, Any]) -> OwnExercise:
    """Return the exercise of a file. `held` contains the values of the names that the file defines."""
    functions = functions_of(name, held)
    returns = tuple(held.get("RETURNS", ("out", "cache") if len(functions) == 2 else ("out",)))
    cases = [case(shapes) for shapes in held.get("SHAPES", [])]
    if len(cases) < LEAST_CASES:
        raise ValueError(f"SHAPES must have at least {LEAST_CASES} sets of inputs, got {len(cases)}")
    parts: list[Values | Gradients] = [Values(functions[0], reference(held[functions[0]], returns), cases, returns)]
    if len(functions) == 2 or NOT_SENT.intersection(returns):
        parts.append(Gradients(functions, cases))
    hints = tuple(held.get("HINTS", NO_HINTS))
    if len(hints) != 3:
        raise ValueError(f"HINTS must be three strings, got {len(hints)}")
    mistakes = [Mistake(*given) for given in held.get("MISTAKES", [])]
    for mistake in mistakes:
        if mistake.old not in source:
            raise ValueError(f"MISTAKES: the solution does not contain {mistake.old!r}")
    title = (held.get("__doc__") or name).strip().partition("\n")[0]
    exercise = OwnExercise(0, name, title, parts, hints, "", mistakes, source)
    shapes = list(held["SHAPES"][0].values())
    if len(parts) == 2 and all(isinstance(shape, str) for shape in shapes):
        inputs = "".join(f' --input "{shape}"' for shape in shapes)
        exercise.gradient_command = f"nnscratch gradcheck {exercise.filename}:{','.join(functions)}{inputs}"
    if exercise.solution == exercise.marked_solution:
        raise ValueError("there is no solution between the lines '# solution: what to do' and '# end'")
    return exercise


def functions_of(name: str, held: dict[str, Any]) -> tuple[str, ...]:
    """Return the names of the functions: forward and backward, or a single function."""
    pair = (f"{name}_forward", f"{name}_backward")
    functions = tuple(held.get("FUNCTIONS", pair if pair[0] in held else (name,)))
    for function in functions:
        if not callable(held.get(function)):
            raise ValueError(f"there is no function {function}")
    if len(functions) not in (1, 2):
        raise ValueError(f"FUNCTIONS must name one or two functions, got {len(functions)}")
    return functions


def case(shapes: dict[str, Any]) -> Draw:
    """Return a function that draws one set of inputs."""
    if not isinstance(shapes, dict):
        raise ValueError(f"each element of SHAPES must be a dictionary, got {shapes!r}")
    for name, shape in shapes.items():
        if not callable(shape):
            draw_written(shape, np.random.default_rng(0), f"the shape of {name}")

    def draw(rng: np.random.Generator) -> tuple:
        return tuple(shape(rng) if callable(shape) else draw_written(shape, rng) for shape in shapes.values())

    return draw


def reference(function: Callable, returns: tuple[str, ...]) -> Callable:
    """Return a function that computes the right values of those outputs that the check compares."""

    def right(*inputs: Any) -> Any:
        own = [x.copy() if isinstance(x, np.ndarray) else x for x in inputs]
        values = function(*own)
        values = (values,) if len(returns) == 1 else values
        found = tuple(value for name, value in zip(returns, values, strict=True) if name not in NOT_SENT)
        return found[0] if len(found) == 1 else found

    return right
