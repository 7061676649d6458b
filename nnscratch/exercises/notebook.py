"""Check functions that were written in a notebook: ``nn.exercises.check("relu", relu_forward, relu_backward)``.

The functions run in the notebook's own process, because they may use anything that other cells define. So there is no
time limit: to stop an endless loop, interrupt the kernel.
"""

from __future__ import annotations

import contextlib
import inspect
import linecache
import secrets
from collections.abc import Callable
from dataclasses import dataclass
from html import escape
from pathlib import Path
from types import SimpleNamespace
from typing import Any

from ..gradcheck.command import wire
from ..gradcheck.command.process import WorkerFailed
from .checking import Feedback, run
from .drivers import DRIVERS
from .exercise import Exercise, Gradients
from .ladder import named
from .worker import DRIVER, ExerciseService, FirstCharacters, in_file


@dataclass
class Report:
    """The result of a check, as a notebook shows it.

    Attributes
    ----------
    exercise : Exercise
    feedback : Feedback

    Examples
    --------
    >>> import numpy as np, nnscratch as nn
    >>> def relu_forward(x):
    ...     return np.maximum(x, 0), x
    >>> def relu_backward(dout, cache):
    ...     return dout * (cache > 0)
    >>> report = nn.exercises.check("relu", relu_forward, relu_backward)
    >>> report.solved
    True
    >>> print(report.headline)
    Solved. The values and the gradients are right.
    """

    exercise: Exercise
    feedback: Feedback

    @property
    def solved(self) -> bool:
        """True if the exercise is solved."""
        return self.feedback.solved

    def __repr__(self) -> str:
        feedback, exercise = self.feedback, self.exercise
        lines = [f"Exercise {exercise.number}: {exercise.name}", ""]
        if feedback.printed:
            lines += ["Your code printed:", *(f"  | {line}" for line in feedback.printed.splitlines()), ""]
        lines += [self.headline, *(f"  {line}" for line in feedback.details)]
        if self.solved:
            lines += [f"One more thought: {exercise.hints[2]}", f"To read: {exercise.reading}"]
        else:
            lines += ["", f"Check with the same inputs: seed={feedback.seed}"]
        return "\n".join(lines)

    @property
    def headline(self) -> str:
        """The first sentences of the report. They say that the exercise is solved, or describe the first mistake."""
        if self.solved:
            return "Solved." + (" The values and the gradients are right." if len(self.exercise.parts) > 1 else "")
        return f"Not yet. {self.feedback.headline}"

    def _repr_html_(self) -> str:
        feedback, exercise = self.feedback, self.exercise
        parts = [f"<b>Exercise {exercise.number}: {escape(exercise.name)}</b>", f"<p>{escape(self.headline)}</p>"]
        if feedback.details:
            parts.append(f"<pre>{escape(chr(10).join(feedback.details))}</pre>")
        if feedback.printed:
            parts.append(f"<p>Your code printed:</p><pre>{escape(feedback.printed)}</pre>")
        if self.solved:
            parts.append(f"<p>{escape(exercise.hints[2])}</p><p>To read: {escape(exercise.reading)}</p>")
            parts.append(folded("A model solution", exercise.solution))
        else:
            parts.append(f"<p>Check with the same inputs: <code>seed={feedback.seed}</code></p>")
        colour = "#2e7d32" if self.solved else "#ef6c00"
        return f'<div style="border-left: 4px solid {colour}; padding-left: 1em">{"".join(parts)}</div>'


def folded(title: str, text: str) -> str:
    """Return HTML that shows the text after a click on the title."""
    return f"<details><summary>{escape(title)}</summary><pre>{escape(text)}</pre></details>"


def check(name: str, *code: Callable, seed: int | None = None) -> Report:
    """Check your functions, or your class, for an exercise.

    Parameters
    ----------
    name : str
        The name of the exercise, such as ``"lstm_step"``.
    *code : callable
        The functions or the class that the exercise describes, in the same order. Their names may differ from those in
        the exercise.
    seed : int, optional
        The seed of the inputs. By default, every check draws new inputs.

    Returns
    -------
    Report
        ``print`` shows the report as text, and a notebook shows it as HTML. ``report.solved`` is True or False. Errors
        in your code are part of the report.

    Raises
    ------
    ValueError
        There is no such exercise.
    TypeError
        The exercise needs a different number of functions.

    Examples
    --------
    >>> import numpy as np, nnscratch as nn
    >>> def relu_forward(x):
    ...     return np.maximum(x, 0), x
    >>> def relu_backward(dout, x):
    ...     return dout
    >>> report = nn.exercises.check("relu", relu_forward, relu_backward, seed=0)
    >>> report.solved, report.headline.partition(":")[0]
    (False, 'Not yet. The values of forward are right. The gradient of x is not right yet')
    """
    exercise = named(name)
    wanted = asked_for(exercise)
    if len(code) != len(wanted) or not all(map(callable, code)):
        given = ", ".join(getattr(c, "__name__", type(c).__name__) for c in code) or "nothing"
        raise TypeError(f"{name} needs {', '.join(wanted)}; got {given}")
    given = {getattr(c, "__name__", ""): c for c in code}
    parts = given if given.keys() == set(wanted) else dict(zip(wanted, code, strict=True))
    seed = secrets.randbelow(10**6) if seed is None else seed
    printed = FirstCharacters()
    with contextlib.redirect_stdout(printed):
        here = Here(parts)
        feedback = run(here, exercise, here.path, seed, here.source)
    feedback.printed = printed.text
    return Report(exercise, feedback)


def asked_for(exercise: Exercise) -> list[str]:
    """Return the names of the functions and classes that the checks of an exercise use, without duplicates."""
    found: dict[str, None] = {}

    def load(name: str) -> Callable:
        found[name] = None
        return lambda: None

    for part in exercise.parts:
        for function in part.functions if isinstance(part, Gradients) else (part.function,):
            if function.startswith(DRIVER):
                DRIVERS[function.removeprefix(DRIVER)](load)
            else:
                load(function)
    return list(found)


class Here:
    """A replacement for the worker of a check: it answers the requests in this process.

    Parameters
    ----------
    parts : dict of str to callable
        The functions and classes, by the names that the exercise gives them.

    Attributes
    ----------
    path : Path
        The file or notebook cell that defines the last function or class in `parts`.
    source : str
        The text of this file or cell.
    """

    failed = False

    def __init__(self, parts: dict[str, Callable]):
        *_, last = parts.values()
        method = getattr(last, "backward", None) or getattr(last, "loss", last)
        code = getattr(inspect.unwrap(method), "__code__", None)
        file = code.co_filename if code is not None else ""
        self.path, self.source = Path(file), "".join(linecache.getlines(file))
        self._service = ExerciseService(file, SimpleNamespace(**parts))

    def request(self, operation: str, **values: Any) -> Any:
        """Call a method of the service. Copy the arrays, as if another process received them."""
        try:
            return copied(getattr(self._service, operation)(**copied(values)))
        except (Exception, SystemExit) as error:
            raise WorkerFailed(in_file(error, str(self.path))) from None


def copied(values: Any) -> Any:
    """Return a copy of nested arrays and plain values."""
    return wire.unpack(*wire.pack(values))
