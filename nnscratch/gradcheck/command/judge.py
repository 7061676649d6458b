"""The judge: the process that decides the verdict, and that never imports the student's file.

The worker is the process that runs the student's file. The judge draws the inputs and sends them to the worker. The
worker runs `check_gradients` on the student's code, and sends the report back. If the verdict of this report is not
"right", the judge accepts the verdict, because a student has no reason to forge a bad verdict. If the verdict is
"right", the judge measures the derivatives itself: it chooses values of the arrays, gets the outputs and gradients from
the worker as arrays, and compares the gradients with finite differences of the outputs. So a file that prints, exits,
or forges a report cannot get a better verdict.
"""

from __future__ import annotations

import contextlib
import dataclasses
import functools
import inspect
import re
import weakref
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from ..checker import IN_FLOAT32, WIDENED, check_gradients
from ..nested import is_float, map_leaves
from ..report import Diagnosis, Entry, GradientReport, Trap
from ..small_constants import NEGLIGIBLE
from ..verdict import is_comparable
from .discover import Item
from .drawing import CannotDraw, Given, candidates
from .process import Worker, WorkerFailed, printable

VERDICTS = ("right", "wrong", "cannot tell", "incomplete")
LONGEST_TEXT = 4000  # the largest number of characters in a message from the worker
FULL_UP_TO = 60  # if all arrays together have more elements than this, measure derivatives along directions only


@dataclass
class Result:
    """The verdict on one `Item`: a function, two functions or a class of the student's file.

    Attributes
    ----------
    label : str
    verdict : str
        The verdict of a GradientReport, or "could not check".
    why : str
        The first diagnosis, or the reason why the code could not be checked.
    inputs : list of str
        The arguments of forward, with their shapes.
    report : GradientReport or None
    """

    label: str
    verdict: str
    why: str = ""
    inputs: list[str] = field(default_factory=list)
    report: GradientReport | None = None


def judge(worker: Worker, item: Item, given: Given, seed: int) -> Result:
    """Check one item, and return the verdict. An error in the student's file never raises an error here."""
    result = Result(item.label, "could not check", item.reason)
    if item.reason:
        return result
    try:
        described = readable_description(worker.request("describe", names=item.names))
        tried = candidates(item.label, described, given, seed)
        convention = given.conventions.get(item.label, given.conventions.get("", "sum"))

        def check(convention: str) -> tuple[dict, GradientReport]:
            options = {"convention": convention}
            reply = worker.request("check", names=item.names, candidates=tried, seed=seed, options=options)
            return tried[int(reply["candidate"])], rebuilt(reply["report"])

        chosen, report = check(convention)
        result.inputs = describe_inputs(described, chosen)
        if report.verdict == "right":
            confirm(worker, report, seed)
        result.report, result.verdict, result.why = report, report.verdict, first_reason(report)
        is_scaled = any(d.mistake.startswith("scaled") for d in report.diagnoses)
        if is_scaled and convention == "sum":
            with contextlib.suppress(WorkerFailed):  # if this check fails, the report only lacks a note
                if check("mean")[1].verdict == "right":
                    report.notes.append(IS_MEAN.format(item.label))
                    result.why += "; right with --convention mean"
    except (WorkerFailed, CannotDraw) as error:
        result.why = str(error)
    except (KeyError, TypeError, ValueError, IndexError, AttributeError, OverflowError) as error:
        result.why = f"its process sent a report that cannot be read ({type(error).__name__}: {printable(error, 200)})"
    return result


def readable_description(described: Any) -> dict[str, Any]:
    """Check the structure of the worker's description, and return the description.

    Raises
    ------
    TypeError, KeyError
        The structure is wrong.
    """
    for argument in [*described["init"], *described["forward"]]:
        if not (isinstance(argument["name"], str) and isinstance(argument["annotation"], str)):
            raise TypeError("a description with unknown parts")
    if not isinstance(described["doc"], str) or described["kind"] not in ("class", "function", "object"):
        raise TypeError("a description with unknown parts")
    return described | {"doc": described["doc"][:20_000]}


def describe_inputs(described: dict[str, Any], candidate: dict[str, Any]) -> list[str]:
    """Return the drawn arguments as text: ``sizes [4, 5, 6]`` of the constructor, ``x 3x4``, ``conv_param {...}``."""
    names = [a["name"] for a in described["forward"]]
    init = zip(described["init"], candidate["init"], strict=False)
    found = [f"{a['name']} {value}" for a, value in init if isinstance(value, list)]
    for number, value in enumerate(candidate["inputs"]):
        name = names[number] if number < len(names) else f"input {number}"
        text = f"{value:.4g}" if isinstance(value, float) else repr(value)
        shape = "x".join(map(str, np.shape(value))) if isinstance(value, np.ndarray) else text
        found.append(f"{name} {shape}")
    return found


def rebuilt(parts: dict[str, Any]) -> GradientReport:
    """Check the values and texts of the report that the worker sent, and return the report.

    Raises
    ------
    TypeError, ValueError, KeyError
        The worker did not send a valid report.
    """
    entries = [clean(Entry, e | {"diagnoses": [clean(Diagnosis, d) for d in e["diagnoses"]]}) for e in parts["entries"]]
    traps = [clean(Trap, t) for t in parts["traps"]]
    for verdict in [e.verdict for e in entries] + [t.severity for t in traps if t.severity != "note"]:
        if verdict not in VERDICTS:
            raise ValueError("an unknown verdict")
    fields = {**parts, "entries": {e.name: e for e in entries}, "traps": traps}
    report = clean(GradientReport, fields)
    report.notes = [printable(note, LONGEST_TEXT) for note in report.notes]
    report.text()  # raises an error if a value has the wrong type
    return report


def clean(kind: type, fields: dict[str, Any]) -> Any:
    """Return an object of the dataclass `kind` with the given fields.

    Remove control characters from texts, and convert shapes to tuples of ints.
    """
    known = {f.name for f in dataclasses.fields(kind)}
    values = {k: v for k, v in fields.items() if k in known}
    for key, value in values.items():
        if isinstance(value, str):
            values[key] = printable(value, LONGEST_TEXT)
        elif key in ("shape", "worst_index"):
            values[key] = tuple(int(n) for n in value)
    return kind(**values)


def first_reason(report: GradientReport) -> str:
    """Return the first diagnosis, or another reason why the verdict is not "right"."""
    if report.verdict == "right":
        return ""
    for trap in report.traps:
        if trap.severity == "wrong":
            return f"{trap.kind}: {trap.message}"
    if report.diagnoses:
        first = report.diagnoses[0]
        return f"{first.mistake}{f' [{first.place}]' if first.place else ''}"
    for entry in report.entries.values():
        if entry.verdict == report.verdict:
            return f"{entry.name}: {entry.reason or 'no known mistake explains this gradient'}"
    return next((f"{t.kind}: {t.message}" for t in report.traps if t.severity != "note"), "")


def confirm(worker: Worker, claimed: GradientReport, seed: int) -> None:
    """Measure the gradients that are right according to the worker's report. If they are wrong, change the report."""
    variables = worker.request("variables")
    names = list(claimed.entries)
    unmeasured = [name for name in names if name not in variables]
    if unmeasured or not names:
        message = f"the judge cannot measure {', '.join(unmeasured)}" if unmeasured else "the report contains no array"
        claimed.traps.append(Trap("nothing measured", message, "cannot tell"))
        return
    arrays = {name: np.asarray(variables[name]) for name in names}
    precision = IN_FLOAT32 if claimed.method == IN_FLOAT32 else WIDENED if WIDENED in claimed.notes else ""
    own = measured(worker, arrays, seed, precision)
    if own.verdict == "right" and not any(np.any(entry.analytic) for entry in own):
        claimed.traps.append(Trap("zero gradient", "every gradient is zero at these inputs", "cannot tell"))
    entries = dict(zip(names, own.entries.values(), strict=False))
    nearly = [n for n, e in entries.items() if e.verdict == "wrong" and is_comparable(e) and e.error <= NEGLIGIBLE]
    if nearly:
        # The worker may have run the code without its small constants, such as 1e-7 in log(p + 1e-7). Then the judge
        # must also measure the code without these constants.
        plain = measured(worker, {name: arrays[name] for name in nearly}, seed, precision, plain=True)
        for name, entry in zip(nearly, plain.entries.values(), strict=True):
            if entry.verdict == "right":
                entries[name].verdict = "right"
    for name, entry in entries.items():
        if entry.verdict != "right":
            claimed.entries[name] = dataclasses.replace(entry, name=name, reason=entry.reason or DISAGREES)
    if own.verdict != "right" and claimed.verdict == "right":
        worst = next(trap for trap in own.traps if trap.severity == own.verdict)
        message = re.sub(r"\barray_(\d+)", lambda match: names[int(match[1])], worst.message)
        claimed.traps.append(dataclasses.replace(worst, message=message))


IS_MEAN = (
    "it is right if backward divides the gradients of weights by the number of examples, as some courses require: "
    "--convention {}=mean"
)
DISAGREES = 'the process that ran the file reported the verdict "right", but the arrays that it returned are wrong'


def measured(
    worker: Worker, arrays: dict[str, np.ndarray], seed: int, precision: str, plain: bool = False
) -> GradientReport:
    """Check the gradients that the worker computes, at the given values of the arrays.

    If `precision` is `IN_FLOAT32`, use the tolerances of float32, because the worker's code computes in float32. If it
    is `WIDENED`, the worker made the code compute in float64, but some operations of backward may still compute in
    float32. If `plain` is True, the worker's code runs without small constants such as 1e-7: see `small_constants.py`.
    """
    mode = "full" if sum(a.size for a in arrays.values()) <= FULL_UP_TO else "directional"
    forward, backward = remote_functions(worker, list(arrays), plain)
    functions = in_single_precision(forward) if precision == IN_FLOAT32 else forward, backward
    rtol = 1e-3 if precision == WIDENED else None
    return check_gradients(functions, *arrays.values(), mode=mode, rtol=rtol, rng=seed, diagnose=False)


def in_single_precision(forward: Callable) -> Callable:
    """Return a version of `forward` that rounds the float outputs to float32, but not the cache."""

    @functools.wraps(forward)
    def rounded(*arrays: Any) -> tuple:
        *ys, cache = forward(*arrays)
        return (*map_leaves(lambda y: np.asarray(y, dtype=np.float32) if is_float(y) else y, tuple(ys)), cache)

    return rounded


def remote_functions(worker: Worker, names: list[str], plain: bool = False) -> tuple[Callable, Callable]:
    """Return forward and backward of the worker's code, as functions of the arrays called `names`.

    If `plain` is True, the code runs without small constants such as 1e-7.
    """
    # check_gradients restores every object that a function refers to. It must not restore the worker, so the functions
    # have only a weak reference to the worker, which check_gradients does not follow.
    reference = weakref.ref(worker)

    def forward(*arrays: Any) -> tuple:
        if any(np.iscomplexobj(a) for a in arrays):
            raise TypeError("complex arrays are not sent to the worker")
        ys = reference().request("outputs", arrays=dict(zip(names, arrays, strict=True)), plain=plain)
        if not isinstance(ys, tuple):
            raise WorkerFailed("its process sent no outputs")
        return (*ys, tuple(np.array(a) for a in arrays))

    def backward(*dys_and_cache: Any) -> tuple:
        *dys, arrays = dys_and_cache
        values = dict(zip(names, arrays, strict=True))
        found = reference().request("gradients", arrays=values, dys=tuple(dys), plain=plain)
        return tuple(found[name] for name in names)

    kind = inspect.Parameter.POSITIONAL_ONLY
    forward.__signature__ = inspect.Signature(  # type: ignore[attr-defined]
        [inspect.Parameter(f"array_{i}", kind) for i in range(len(names))]
    )
    return forward, backward
