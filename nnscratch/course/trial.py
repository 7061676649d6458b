"""``nnscratch course check``: try each exercise of a course before students get it.

The unchanged file must fail, and the solution must pass. `Exercise.mistakes` lists mistakes to plant into the solution:
each of them must give the message that is listed with it.
"""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from ..exercises.checking import Feedback, check_file
from ..exercises.exercise import Exercise
from ..exercises.worker import ExerciseWorker

ENOUGH_MISTAKES = 3


class Trial:
    """A process that checks changed versions of the exercises' files. Use it in a ``with`` block.

    Parameters
    ----------
    seed : int
        The seed of the inputs.
    """

    def __init__(self, seed: int):
        self.seed, self._worker = seed, ExerciseWorker()
        self._folder = tempfile.TemporaryDirectory()

    def __enter__(self) -> Trial:
        return self

    def __exit__(self, *error: Any) -> None:
        self._worker.kill()
        self._folder.cleanup()

    def feedback(self, exercise: Exercise, text: str) -> Feedback:
        """Check a file whose content is `text`."""
        if self._worker.failed:  # the process ended while it checked the previous file, so start a new one
            self._worker.kill()
            self._worker = ExerciseWorker()
        path = Path(self._folder.name) / exercise.filename
        path.write_text(text, encoding="utf-8")
        return check_file(exercise, path, self.seed, worker=self._worker)

    def problems(self, exercise: Exercise) -> Iterator[str]:
        """Yield a sentence for each problem."""
        if self.feedback(exercise, exercise.student_file).solved:
            yield "the untouched file passes"
        if self.feedback(exercise, exercise.student_file + "\n\nedited = True\n").solved:
            yield "a file with all TODOs unchanged passes"
        solution = self.feedback(exercise, exercise.solution)
        if not solution.solved:
            yield f"the solution does not pass: {solution.headline}"
            return
        for number, mistake in enumerate(exercise.mistakes, start=1):
            found = self.feedback(exercise, exercise.solution.replace(mistake.old, mistake.new))
            if found.solved:
                yield f"mistake {number} passes: {shown(mistake.new)}"
            elif mistake.expected not in found.headline:
                yield f"mistake {number}, {shown(mistake.new)}, gives a different message: {found.headline}"


def shown(code: str) -> str:
    """Return a piece of code on one line."""
    return "`" + " ".join(code.split()) + "`"
