"""Mark one file: the points for each of its parts, and a message for the student.

The process that runs this module is the judge. The judge has the references (the right functions), draws the inputs,
and decides the marks. The student's code runs in another process (box.py), which gets inputs and returns arrays. Steps:

1  values       compare the results of the functions with the reference. Each right part earns its points
2  gradients    only if all values are right: call the student's backward with the cache of the student's forward, and
                compare the gradients with finite differences of the reference
"""

from __future__ import annotations

import inspect
import weakref
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from ..exercises.checking import NotYet, failed, gradients_of, normalised
from ..exercises.exercise import NOT_SENT, Exercise, Gradients, Values
from ..exercises.values import compare, difference
from ..gradcheck import GradientReport, check_gradients
from ..gradcheck.command.channel import WorkerFailed, printable
from ..gradcheck.command.judge import first_reason
from .box import WAITS, Box, Starter
from .settings import KINDS, Limits, Task

LONGEST_SOURCE = 1 << 20  # the largest number of bytes in a source
FULL_UP_TO = 400  # compare gradients of inputs with more than FULL_UP_TO elements only along random directions
RTOL_FLOAT32 = 1e-2  # check_gradients uses this tolerance too
NOT_ALLOWED = ("[Errno 1]", "[Errno 13]", "can't start new thread")
EXPLAINED = "A file that is graded cannot use other files, processes, threads, the network or time.sleep."


@dataclass
class PartMark:
    """The mark for one part of an exercise. A part is a check of values or of gradients.

    Attributes
    ----------
    kind : str
        "values" or "gradients".
    points, out_of : float
    headline : str
        A sentence for the student.
    details : list of str
    """

    kind: str
    points: float
    out_of: float
    headline: str
    details: list[str] = field(default_factory=list)


@dataclass
class FileMark:
    """The mark for one file.

    Attributes
    ----------
    name, filename : str
    parts : list of PartMark
    printed : str
        The first characters that the file has printed.
    seconds : float
        The processor time of the file. The mark does not depend on it.
    finished : bool
        False if the file was stopped because it took too long.
    note : str
        A sentence for the student about the limits.
    """

    name: str
    filename: str
    parts: list[PartMark]
    printed: str = ""
    seconds: float = 0.0
    finished: bool = True
    note: str = ""

    @property
    def points(self) -> float:
        """The points for all parts."""
        return round(sum(part.points for part in self.parts), 6)

    @property
    def out_of(self) -> float:
        """The points for a right file."""
        return round(sum(part.out_of for part in self.parts), 6)


def mark_file(
    starter: Starter, task: Task, source: bytes | None, seed: int, limits: Limits, seconds: float | None = None
) -> FileMark:
    """Mark one file. Errors in the file become part of the mark, and are not raised here.

    Parameters
    ----------
    starter : Starter
    task : Task
    source : bytes or None
        The content of the student's file, or None if the file is missing.
    seed : int
        The seed of the inputs.
    limits : Limits
    seconds : float, optional
        The limit for the processor time; by default ``limits.exercise``.

    Returns
    -------
    FileMark

    Raises
    ------
    StarterFailed
        The starter, which starts the student's process, has ended. A student's file cannot cause this.
    """
    exercise = task.exercise
    mark = FileMark(task.name, exercise.filename, [])
    try:
        text = readable(exercise, source)
    except NotYet as problem:
        mark.parts = [none_of(part, task, problem) for part in exercise.parts]
        return mark
    with Box(starter, seed, limits.exercise if seconds is None else seconds, limits.memory) as box:
        mark.parts = mark_parts(box, task, text, seed)
        mark.printed = printed_by(box)
    mark.seconds, mark.finished = box.used, not box.over
    return mark


def readable(exercise: Exercise, source: bytes | None) -> str:
    """Return the file as text, or raise NotYet if there is nothing to run."""
    if source is None:
        raise NotYet(f"{exercise.filename} is missing.")
    if len(source) > LONGEST_SOURCE:
        raise NotYet(f"{exercise.filename} has {len(source):,} bytes. A solution has less than {LONGEST_SOURCE:,}.")
    text = source.decode("utf-8", errors="replace").removeprefix("\ufeff").replace("\r\n", "\n")
    if normalised(text) == normalised(exercise.student_file):
        raise NotYet(f"{exercise.filename} is unchanged.")
    return text


def mark_parts(box: Box, task: Task, source: str, seed: int) -> list[PartMark]:
    """Return the marks for all parts of a file."""
    exercise, marks = task.exercise, []
    stopped: NotYet | None = None
    try:
        box.request("open", path=exercise.filename, source=source)
    except WorkerFailed as error:
        stopped = explained(failed(str(error), source, exercise.parts[0]), str(error))
        stopped.headline = stopped.headline.removeprefix(f"{name_of(exercise.parts[0])}: ")
    for part in exercise.parts:
        problem = stopped
        if problem is None and isinstance(part, Gradients) and any(m.points < m.out_of for m in marks):
            problem = NotYet("Not checked yet: the values must be right first.")
        if problem is None:
            problem = problem_of(box, exercise, part, seed, source)
            if box.failed:
                stopped = NotYet("Not checked: the process of your file ended during the check of an earlier part.")
        marks.append(none_of(part, task, problem) if problem is not None else all_of(part, task))
    return marks


def problem_of(box: Box, exercise: Exercise, part: Values | Gradients, seed: int, source: str) -> NotYet | None:
    """Return the first problem of a part, or None if everything is right."""
    try:
        for number, draw in enumerate(part.cases):
            inputs = draw(np.random.default_rng([seed, number]))
            if isinstance(part, Values):
                check_values(box, part, inputs)
            else:
                check_gradient(box, exercise, part, inputs, seed)
    except NotYet as problem:
        return problem
    except WorkerFailed as error:
        return explained(failed(str(error), source, part), str(error))
    except Exception as error:  # a reply in a wrong format may raise any error
        reason = f"{type(error).__name__}: {printable(error, 200)}"
        return NotYet("The process of your file sent a reply that cannot be read.", reason)
    return None


def check_values(box: Box, part: Values, inputs: tuple) -> None:
    """Compare the values of one call with the reference. Raise NotYet if they differ."""
    withheld = [name for name in part.returns if name in NOT_SENT]
    values = {"function": part.function, "inputs": list(inputs), "returns": list(part.returns), "withheld": withheld}
    got = box.request("call", **values, overflow="ignore")
    if not isinstance(got, tuple) or len(got) != len(part.returns):
        raise WorkerFailed("its process sent no values")
    problem = compare(part, inputs, got)
    if problem is not None:
        raise NotYet(*problem)
    # Test for overflow last: a message about wrong values is more useful than a message about an overflow.
    if part.stable:
        box.request("call", **values, overflow="raise")


def check_gradient(box: Box, exercise: Exercise, part: Gradients, inputs: tuple, seed: int) -> None:
    """Compare the gradients for some inputs with finite differences of the reference. Raise NotYet if they differ."""
    pair = RemotePair(box, exercise, part, inputs)
    size = sum(x.size for x in inputs if isinstance(x, np.ndarray) and x.dtype.kind == "f")
    mode, rtol = "full" if size <= FULL_UP_TO else "directional", RTOL_FLOAT32 if pair.is_float32 else None
    report = None
    try:
        report = check_gradients((pair.forward(), pair.backward()), *inputs, mode=mode, rtol=rtol, rng=seed)
    except (TypeError, ValueError) as error:  # backward returns a value that is not a gradient
        refused = NotYet(f"{name_of(part)}: {printable(error, 500)}")
        refused.__cause__ = error
    if pair.problem is not None:  # an error that check_gradients caught in one of its tests
        raise pair.problem
    if report is None:
        raise refused
    if report.verdict != "right":
        raise NotYet(*wrong_gradient(part, report))


class RemotePair:
    """The forward of the reference and the backward of the student, for `check_gradients`.

    Parameters
    ----------
    box : Box
    exercise, part : Exercise, Gradients
    inputs : tuple
        The arguments of forward.

    Attributes
    ----------
    is_float32 : bool
        True if the student's code computes with less than 64 bits.
    problem : NotYet, WorkerFailed or None
        The first problem with a reply of the student's process.
    """

    def __init__(self, box: Box, exercise: Exercise, part: Gradients, inputs: tuple):
        self._box, self._part = box, part
        self.problem: NotYet | WorkerFailed | None = None
        self._smallest = min((x.size for x in inputs if isinstance(x, np.ndarray) and x.dtype.kind == "f"), default=0)
        self._right: Callable = reference_of(exercise, part) or (lambda *x: ())
        self._outputs = 1 if part.replay is not None else len(as_tuple(self._right(*copies(inputs))))
        reply = self._ask(inputs, [])
        if part.replay is not None:
            self._right = part.replay(copies(inputs), *reply["outputs"])
        self._names = names_of(reference_of(exercise, part) or self._right, len(inputs))
        ys = as_tuple(self._right(*copies(inputs)))
        reply = self._ask(inputs, [np.ones(np.shape(y)) for y in ys])
        arrays = [*reply["outputs"], *(g for g in reply["gradients"] if g is not None)]
        self.is_float32 = any(a.dtype.kind == "f" and a.dtype.itemsize < 8 for a in map(np.asarray, arrays))

    def _ask(self, inputs: Sequence, dys: list) -> dict[str, Any]:
        """Run the student's forward and backward, or only forward if `dys` is empty."""
        values = {"functions": list(self._part.functions), "inputs": list(inputs), "dys": dys}
        reply = self._box.request("gradients", outputs=self._outputs, **values)
        if not isinstance(reply["outputs"], list) or len(reply["outputs"]) != self._outputs:
            raise WorkerFailed("its process sent no outputs")
        if dys and not isinstance(reply["gradients"], list):
            raise WorkerFailed("its process sent no gradients")
        return reply

    def forward(self) -> Callable:
        """Return the forward of the reference, with a copy of the inputs as its cache."""
        right = self._right

        def forward(*inputs: Any) -> tuple:
            return (*as_tuple(right(*inputs)), copies(inputs))

        return with_signature(forward, self._names)

    def backward(self) -> Callable:
        """Return the student's backward, as a function of the gradients of the outputs and the cache of `forward`."""
        # A weak reference hides `self` from check_gradients, which restores all objects that `backward` refers to.
        reference = weakref.ref(self)

        def backward(*dys_and_inputs: Any) -> Any:
            *dys, inputs = dys_and_inputs
            return reference().gradients(inputs, dys)

        return with_signature(backward, [*(f"dout{i}" for i in range(self._outputs)), "cache"])

    def gradients(self, inputs: tuple, dys: list) -> Any:
        """Compare the student's outputs with the reference, and return the student's gradients."""
        try:
            reply = self._ask(inputs, [np.asarray(dy, dtype=np.float64) for dy in dys])
            self._compare_outputs(inputs, reply["outputs"])
            calls = reply["calls"]
            if type(calls) is int and calls >= max(4, self._smallest):
                raise NotYet(
                    f"{name_of(self._part)} calls forward {calls} times, as finite differences do. Write the "
                    f"derivative as a formula."
                )
        except (NotYet, WorkerFailed) as problem:
            self.problem = self.problem or problem
            raise
        found = reply["gradients"]
        if len(self._part.functions) == 1:  # the function returned the gradients of its loss; multiply them by dy
            found = [None if g is None else np.asarray(dys[0]) * g for g in found]
        return found[0] if len(found) == 1 else tuple(found)

    def _compare_outputs(self, inputs: tuple, outputs: list) -> None:
        """Raise NotYet if the student's forward and the reference return different values for these inputs."""
        for output, right in zip(outputs, as_tuple(self._right(*copies(inputs))), strict=True):
            problem = difference("out", output, right, inputs)
            if problem is not None:
                first = self._part.functions[0].removeprefix("driver:")
                where = f"{first} returned right values in earlier calls, but not in this one"
                raise NotYet(f"{where}: {problem[0]}", *problem[1:])


def reference_of(exercise: Exercise, part: Gradients) -> Callable | None:
    """Return the reference for the forward of a part, or None if this forward is random and `part.replay` is used."""
    if part.reference is not None or part.replay is not None:
        return part.reference
    for other in exercise.parts:
        if isinstance(other, Values) and other.function == part.functions[0]:
            return other.reference
    raise ValueError(f"{exercise.name}: there is no reference for {part.functions[0]}")


def names_of(function: Callable, count: int) -> list[str]:
    """Return the names of the first `count` arguments of `function`, or input_0, input_1, ... if it has fewer."""
    names = [p.name for p in inspect.signature(function).parameters.values() if "VAR" not in p.kind.name]
    return names[:count] if len(names) >= count else [f"input_{i}" for i in range(count)]


def with_signature(function: Callable, names: Sequence[str]) -> Callable:
    """Set the signature of `function`, so that `check_gradients` uses `names` as the names of its arguments."""
    kind = inspect.Parameter.POSITIONAL_ONLY
    function.__signature__ = inspect.Signature([inspect.Parameter(name, kind) for name in names])  # type: ignore
    return function


def wrong_gradient(part: Gradients, report: GradientReport) -> list[str]:
    """Return the headline and the details for a report that finds a wrong gradient."""
    for entry in report:
        for diagnosis in entry.diagnoses:
            diagnosis.place = "" if ".py" in diagnosis.place else diagnosis.place  # do not show lines of the reference
    wrong = [entry.name for entry in report if entry.verdict != "right"]
    right = [entry.name for entry in report if entry.verdict == "right"]
    what = f"{gradients_of(wrong)} not right" if wrong else f"{name_of(part)} is not right"
    report.title = name_of(part)
    loss = len(part.functions) != 2
    values = "The loss is right, but its gradient is not." if loss else "Forward is right, but backward is not."
    details = [f"{gradients_of(right)} right."] if right else []
    return [f"{values} {what}: {' '.join(first_reason(report).split())}", *details, *report.text().splitlines()]


def explained(problem: NotYet, text: str) -> NotYet:
    """Add an explanation to an error that a limit or the sandbox has caused."""
    if WAITS in text:
        problem.headline = f"Your code was {text}, such as a lock or an input. A graded file gets no input."
    if any(sign in text for sign in NOT_ALLOWED):
        problem.details.append(EXPLAINED)
    return problem


def points_of(part: Values | Gradients, task: Task) -> tuple[str, float]:
    """Return the kind of a part, and its points. All parts of one kind get equal points."""
    kind = next(kind for kind, cls in KINDS.items() if isinstance(part, cls))
    return kind, task.points[kind] / sum(isinstance(other, KINDS[kind]) for other in task.exercise.parts)


def none_of(part: Values | Gradients, task: Task, problem: NotYet) -> PartMark:
    """Return the mark for a part that is not right."""
    kind, points = points_of(part, task)
    return PartMark(kind, 0.0, points, problem.headline, problem.details)


def all_of(part: Values | Gradients, task: Task) -> PartMark:
    """Return the mark for a part that is right."""
    kind, points = points_of(part, task)
    return PartMark(kind, points, points, f"{name_of(part)} is right.")


def name_of(part: Values | Gradients) -> str:
    """Return the name of the function that this part of an exercise checks."""
    return (part.function if isinstance(part, Values) else part.functions[-1]).removeprefix("driver:")


def copies(inputs: Sequence) -> tuple:
    """Return copies of arrays and dictionaries, and all other values unchanged."""
    return tuple(x.copy() if isinstance(x, (np.ndarray, dict)) else x for x in inputs)


def as_tuple(values: Any) -> tuple:
    """Return a tuple of outputs. A single output becomes a tuple of length one."""
    return values if isinstance(values, tuple) else (values,)


def printed_by(box: Box) -> str:
    """Return the first characters that the student's code printed, or "" if its process does not answer any more."""
    if box.failed:
        return ""
    try:
        return printable(box.request("printed"), 1500)
    except WorkerFailed:
        return ""
