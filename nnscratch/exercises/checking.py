"""Check a student's file: values first, then gradients. This process never imports the file.

The steps:

1  read the file       stop if the file is missing, unedited or not valid Python. Also stop if it imports a library that
                       computes the answer
2  values              for new random inputs, compare the values from the student's functions with a reference
3  gradients           `check_gradients` runs in the student's process, which sends the report. If the verdict is
                       "right", this process measures the gradients again, so that a forged report cannot pass
"""

from __future__ import annotations

import ast
import contextlib
import re
import secrets
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from ..gradcheck.command.judge import confirm, first_reason, rebuilt
from ..gradcheck.command.process import WorkerFailed, printable
from ..gradcheck.report import GradientReport
from .calling import DRIVER
from .exercise import Exercise, Gradients, Values
from .values import compare
from .worker import ExerciseWorker

SECONDS = 15.0
START = 120.0  # seconds until the process must have started: a start is slow on a busy computer or a network drive
LINE = re.compile(r" \(line (\d+)\)$")
FORBIDDEN = {"torch", "tensorflow", "jax", "autograd", "cupy", "keras", "nnscratch", "scipy"}


@dataclass
class Feedback:
    """The result of a check.

    Attributes
    ----------
    solved : bool
    headline : str
        A sentence for the student.
    details : list of str
        Lines that explain the headline.
    printed : str
        The first characters that the student's code printed.
    seed : int
        A check with this seed has the same inputs.
    started : bool
        False if the file is missing, or has not been changed yet.

    Examples
    --------
    `check_file` returns a `Feedback`. The report of `check` contains one. In this example, backward does not apply the
    mask:

    >>> import numpy as np, nnscratch as nn
    >>> def relu_forward(x):
    ...     return np.maximum(x, 0), x
    >>> def relu_backward(dout, cache):
    ...     return dout
    >>> feedback = nn.exercises.check("relu", relu_forward, relu_backward, seed=0).feedback
    >>> feedback.solved, feedback.seed
    (False, 0)
    >>> print(feedback.headline)
    The values of forward are right. The gradient of x is not right yet: mask not applied [x]
    """

    solved: bool
    headline: str
    details: list[str] = field(default_factory=list)
    printed: str = ""
    seed: int = 0
    started: bool = True


class NotYet(Exception):
    """The exercise is not solved yet. This exception ends the check.

    Parameters
    ----------
    headline : str
    *details : str
    """

    def __init__(self, headline: str, *details: str):
        super().__init__(headline)
        self.headline, self.details = headline, list(details)


def check_file(
    exercise: Exercise,
    path: str | Path,
    seed: int | None = None,
    seconds: float = SECONDS,
    worker: ExerciseWorker | None = None,
) -> Feedback:
    """Check a student's file.

    Parameters
    ----------
    exercise : Exercise
    path : path
        The student's file.
    seed : int, optional
        The seed of the inputs. By default, every check draws new inputs.
    seconds : float
        The time limit for the student's code.
    worker : ExerciseWorker, optional
        The process to run the file in. By default, every check starts a new process.

    Returns
    -------
    Feedback
        An error in the student's file is part of the feedback, and is not raised here.
    """
    seed = secrets.randbelow(10**6) if seed is None else seed
    path = Path(path)
    try:
        source = read(exercise, path)
    except NotYet as problem:
        return Feedback(False, problem.headline, problem.details, seed=seed, started=bool(problem.details))
    with contextlib.nullcontext(worker) if worker is not None else ExerciseWorker() as worker:
        worker.set_limit(START)
        try:
            worker.request("open", path=str(path.resolve()))
        except WorkerFailed as error:
            return Feedback(False, f"The check cannot start a process for your file: {error}.", seed=seed)
        worker.set_limit(seconds)
        feedback = run(worker, exercise, path, seed, source)
        feedback.printed = printed_by(worker)
    return feedback


def run(worker: ExerciseWorker, exercise: Exercise, path: Path, seed: int, source: str) -> Feedback:
    """Check all parts of an exercise, until one fails."""
    try:
        for part in exercise.parts:
            check_part(worker, part, seed, source, path.name)
    except NotYet as problem:
        return Feedback(False, problem.headline, problem.details, seed=seed)
    except (KeyError, TypeError, ValueError, IndexError, AttributeError, OverflowError, WorkerFailed) as error:
        reason = f"{type(error).__name__}: {printable(error, 200)}"
        return Feedback(False, "The process of your file sent a reply that cannot be read.", [reason], seed=seed)
    return Feedback(True, f"{exercise.name} is solved.", seed=seed)


def read(exercise: Exercise, path: Path) -> str:
    """Return the source of the file. Raise NotYet if the file cannot pass, for example because it is missing."""
    if not path.is_file():
        raise NotYet(f"{path.name} is missing. `nnscratch exercises reset {exercise.name}` writes it again.")
    try:
        source = path.read_text(encoding="utf-8", errors="replace")
    except OSError as error:  # on Windows, an editor may lock the file while it saves the file
        raise NotYet(f"{path.name} cannot be read: {error.strerror}.", "Save it again.") from None
    if normalised(source) == normalised(exercise.student_file):
        raise NotYet(
            f"You have not started yet: {path.name} is unchanged. Open it and replace each TODO with your code."
        )
    try:
        tree = ast.parse(source)
    except SyntaxError as error:
        if error.lineno is None:  # for example, the file contains a null byte
            raise NotYet(f"Python cannot read the file: {error.msg}.", "Is it a text file with Python code?") from None
        line = (error.text or "").strip()
        raise NotYet(f"Python cannot read line {error.lineno}: {error.msg}.", f"line {error.lineno}: {line}") from None
    except (ValueError, RecursionError, MemoryError) as error:
        raise NotYet(f"Python cannot read the file: {error}.", "Is it a text file with Python code?") from None
    for node in ast.walk(tree):
        for module in imported(node):
            if module.split(".")[0] in FORBIDDEN:
                where = source_line(source, node.lineno)
                raise NotYet(f"Your file imports {module}. Solve this exercise with Python and NumPy only.", where)
    return source


def normalised(source: str) -> list[str]:
    """Return the lines that are not empty, without the spaces at their ends."""
    return [line.rstrip() for line in source.splitlines() if line.strip()]


def imported(node: ast.AST) -> list[str]:
    """Return the names of the modules that a statement imports."""
    if isinstance(node, ast.Import):
        return [alias.name for alias in node.names]
    return [node.module or ""] if isinstance(node, ast.ImportFrom) else []


def check_part(worker: ExerciseWorker, part: Values | Gradients, seed: int, source: str, file: str) -> None:
    """Draw several sets of inputs, and make a comparison for each. Raise NotYet at the first comparison that fails."""
    for number, draw in enumerate(part.cases):
        inputs = draw(np.random.default_rng([seed, number]))
        try:
            if isinstance(part, Values):
                check_values(worker, part, inputs)
            else:
                check_gradient(worker, part, inputs, seed, source, file)
        except WorkerFailed as error:
            raise failed(str(error), source, part) from None


def check_values(worker: ExerciseWorker, part: Values, inputs: tuple) -> None:
    """Compare the values of one call with the reference."""
    values = {"function": part.function, "inputs": list(inputs), "returns": list(part.returns)}
    got = worker.request("call", **values, overflow="ignore")
    if not isinstance(got, tuple) or len(got) != len(part.returns):
        raise WorkerFailed("its process sent no values")
    problem = compare(part, inputs, got)
    if problem is not None:
        raise NotYet(*problem)
    # Test for overflow last: a message about wrong values is more useful than a message about an overflow.
    if part.stable:
        worker.request("call", **values, overflow="raise")


def check_gradient(worker: ExerciseWorker, part: Gradients, inputs: tuple, seed: int, source: str, file: str) -> None:
    """Compare the gradients for one set of inputs with finite differences."""
    candidate = {"inputs": tuple(inputs), "init": [], "init_named": {}}
    names = list(part.functions)
    reply = worker.request("check", names=names, candidates=[candidate], seed=seed, options={})
    report = rebuilt(reply["report"])
    if report.verdict == "right":
        confirm(worker, report, seed)
    if report.verdict != "right":
        raise NotYet(*wrong_gradient(part, report, source, file))


def wrong_gradient(part: Gradients, report: GradientReport, source: str, file: str) -> Iterator[str]:
    """Yield the headline and the details for a report that finds a wrong gradient."""
    wrong = [entry.name for entry in report if entry.verdict != "right"]
    backward = part.functions[-1].removeprefix(DRIVER)
    right = [entry.name for entry in report if entry.verdict == "right"]
    values = "The values of forward are right. " if len(part.functions) == 2 else "The loss is right. "
    what = f"{gradients_of(wrong)} not right yet" if wrong else f"{backward} is not right yet"
    yield f"{values}{what}: {' '.join(first_reason(report).split())}"
    if right:
        yield f"{gradients_of(right)} right."
    report.title = backward
    yield from report.text().splitlines()
    places = {d.place for entry in report for d in entry.diagnoses[:1]}
    for number in sorted({int(n) for place in places for n in re.findall(rf"{re.escape(file)}:(\d+)", place)}):
        yield f"your {source_line(source, number)}"


def gradients_of(names: list[str]) -> str:
    """Return "The gradient of x is", or "The gradients of x and w are"."""
    if len(names) == 1:
        return f"The gradient of {names[0]} is"
    return f"The gradients of {', '.join(names[:-1])} and {names[-1]} are"


def failed(text: str, source: str, part: Values | Gradients) -> NotYet:
    """Return the message for code that raised an error or ended its process."""
    function = (part.function if isinstance(part, Values) else part.functions[-1]).removeprefix(DRIVER)
    found = LINE.search(text)
    details = [f"your {source_line(source, int(found[1]))}"] if found else []
    message = LINE.sub("", text)
    if message.startswith("NotImplementedError"):
        return NotYet(f"There is a TODO left in the code that {function} uses.", *details)
    if message.startswith("not finished after"):
        seconds = message.removeprefix("not finished after ")
        return NotYet(f"Your code did not finish within {seconds}. Is there a loop that never ends?", *details)
    if message.startswith("its process ended"):
        details.append("The check runs your file in a separate process. Your code ended this process.")
    if message.startswith("it calls sys.exit"):
        details.append("Remove this call: the check has to reach the end of your function.")
    return NotYet(message if message.startswith(function) else f"{function}: {message}", *details)


def source_line(source: str, number: int) -> str:
    """Return "line 7: the code in this line"."""
    lines = source.splitlines()
    return f"line {number}: {lines[number - 1].strip() if 0 < number <= len(lines) else ''}"


def printed_by(worker: ExerciseWorker) -> str:
    """Return the text that the student's code printed, or "" if its process does not answer any more."""
    if worker.failed:
        return ""
    try:
        return str(worker.request("printed"))[:4000]
    except (WorkerFailed, KeyError, TypeError, ValueError):
        return ""
