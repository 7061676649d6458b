"""Exercises in notebooks: check an answer without stopping the notebook, and save time with fewer steps.

A failing assertion would stop a notebook that runs from top to bottom. Inside ``with exercise("1"):``, the error is
printed as a short message instead:

    an assertion       its message, and what is unusual in the answers that it uses, such as None or NaN
    another error      the line of the answer that raised it, the message, and the shapes or values in that line
    wrong gradients    for each array: the worst element, and the mistake that explains it, with its evidence
"""

from __future__ import annotations

import ast
import os
import re
import sys
from collections.abc import Collection, Iterator
from contextlib import contextmanager
from typing import Any

from ..gradcheck.traps import NOT_AN_ARRAY, WRITES_INTO_DY
from . import check_log
from .borrowed_names import borrowed_names
from .hints import MISMATCH, STILL_DOTS, error_hints
from .safe_values import describe
from .traceback_places import Place, own_places, spans
from .unusual_answers import answer_hints

LONGEST = 300  # the largest number of characters that are shown of a line
LINES = 4  # the largest number of lines shown of an assertion's message
ARRAYS = 3  # the largest number of arrays shown with wrong gradients
GIVEN_NONE = "returned None"  # these words in an entry's reason show that backward gave no gradient
IN_THE_BROWSER = """\
This notebook runs in a browser, so it uses less data and fewer steps. Your numbers and figures differ from those on its
page. On a computer with Python, it runs all steps."""


def fast() -> bool:
    """Return True if a notebook should use fewer steps than usual, to save time.

    That is the case if ``NNSCRATCH_FAST`` is set and not 0, or if it is not set and the notebook runs in a browser.

    In a browser, Python computes several times slower than outside a browser. So the notebooks use fewer steps there,
    and this function prints a sentence that says so. To get all steps in a browser, set the environment variable
    ``NNSCRATCH_FAST`` to 0 before this call.

    Examples
    --------
    >>> epochs = 2 if fast() else 30
    """
    setting = os.environ.get("NNSCRATCH_FAST", "")
    if not setting and sys.platform == "emscripten":
        print(IN_THE_BROWSER)
        return True
    return setting not in ("", "0")


@contextmanager
def exercise(name: str) -> Iterator[None]:
    """Run the checks of an exercise and print the result. Exceptions are printed, and do not leave the ``with`` block.

    After the block, all global names of the notebook have their earlier values, so a check may use names such as ``x``
    that other cells use too.

    Parameters
    ----------
    name : str
        The number or name of the exercise, for the message.

    Examples
    --------
    >>> def double(x):
    ...     return ...
    >>> with exercise("1"):
    ...     assert double(3) == 6, "double(3) must be 6"
    Exercise 1: not yet. double(3) must be 6
    >>> def double(x):
    ...     return 2 * x
    >>> with exercise("1"):
    ...     assert double(3) == 6
    Exercise 1: solved.
    """
    caller = sys._getframe(2)  # frame 0 is this generator, frame 1 is contextlib's __enter__
    names = caller.f_globals if caller.f_globals is caller.f_locals else {}  # inside a function, no name is restored
    before, check = dict(names), Place(caller, caller.f_lineno).check
    try:
        with check_log.collect() as reports:
            yield
        remarks = [trap.message for report in reports for trap in report.traps if trap.kind == NOT_AN_ARRAY]
        remarks += borrowed_names(check, before, names)
        assert not remarks, remarks[0]
    except Exception as error:
        print(f"Exercise {name}: not yet. {reason(error)}")
    else:
        print(f"Exercise {name}: solved.")
    finally:
        for added in names.keys() - before.keys():
            del names[added]
        names.update(before)


def reason(error: Exception) -> str:
    """Return a few lines that explain `error`.

    They contain no traceback, and no digits that differ between machines.
    """
    places = own_places(error)
    report = getattr(error, "report", None)
    if report is not None:
        lines = wrong_gradients(report) + values_of_the_loop(places)
    elif isinstance(error, AssertionError):
        lines = failed_assertion(error, places)
    elif isinstance(error, (TypeError, AttributeError)) and "ellipsis" in str(error):
        lines = [STILL_DOTS]
    else:
        lines = raised_error(error, places)
    return "\n    ".join(line if len(line) <= LONGEST else line[:LONGEST].rstrip() + " ..." for line in lines)


def failed_assertion(error: AssertionError, places: list[Place]) -> list[str]:
    """Return an assertion's message, or its source if it has none, and hints about unusual values in its answers."""
    lines = message_lines(error)
    if len(lines) > LINES:
        lines = [*lines[:LINES], f"(and {len(lines) - LINES} more lines)"]
    place = places[-1] if places else None
    if not lines:
        asserted = [place.source for place in reversed(places) if place.source.startswith("assert")]
        lines = [f"This does not hold: {asserted[0] if asserted else place.source if place else ''}"]
    hints = answer_hints(place) if place is not None and place.of_check else []
    return list(dict.fromkeys([*lines, *hints]))


def raised_error(error: Exception, places: list[Place]) -> list[str]:
    """Return the line of the answer that raised the error, the error's message, and hints.

    If this line is in a function, the lines that called the function follow. The last line is the line in the
    exercise's ``with`` block. If the error was raised outside of the answer, only the line in the block is shown.
    """
    message = message_lines(error)[:1]
    if isinstance(error, KeyError) and error.args:
        message = [f"there is no key {error.args[0]!r}"]
    words = ": ".join([type(error).__name__, *message])
    if not places:
        return [words]
    answer = [place for place in places if not place.of_check]
    place = answer[-1] if answer else places[-1]
    hints = error_hints(place, error)
    if hints == [STILL_DOTS]:
        return hints
    if hints and hints[0].startswith(MISMATCH):
        hints[0] = f"{type(error).__name__}: {hints[0]}"  # leave out NumPy's message, which has no names
    else:
        hints = [words, *hints]
    if not answer:
        what = "The exercise stops with an error where it uses your answer:"
        if isinstance(error, NameError):
            what = "The check needs a name that does not exist yet:"
        return [what, f"    {place.source}", *hints, *values_of_the_loop(places)]
    # A comprehension can have its own frame. The line around it is not a caller.
    callers = [
        f"called by: {p.source}"
        for p in answer[:-1]
        if p.frame.f_code is not place.frame.f_code and p.source != place.source
    ]
    check = [f"The exercise runs: {p.source}" for p in places if p.of_check][-1:]
    callers = list(dict.fromkeys(reversed(callers)))[:2]
    check += values_of_the_loop(places)
    return [f"Your code stops with an error in {place.where}:", f"    {place.source}", *hints, *callers, *check]


def message_lines(error: BaseException) -> list[str]:
    """Return the lines of the error's message that are not empty."""
    return [line.rstrip() for line in str(error).splitlines() if line.strip()]


def wrong_gradients(report: Any) -> list[str]:
    """Return lines for each wrong array: its worst element, the mistake that explains it, and the evidence."""
    lines: list[str] = []
    told: set[str] = set()
    arrays = {entry.name for entry in report}
    wrong = [entry for entry in report if entry.verdict != "right"]
    without = [entry.name for entry in wrong if GIVEN_NONE in entry.reason]
    if without:
        lines.append(
            f"Backward gives None for the gradient{'s' * (len(without) > 1)} of {', '.join(without)}. "
            f"Is `return` missing, or is a gradient missing from what backward returns?"
        )
        wrong = [entry for entry in wrong if entry.name not in without]
    for entry in wrong[:ARRAYS]:
        lines.append(wrong_gradient(entry))
        if entry.diagnosis is not None:
            mistake, evidence = entry.diagnosis.mistake, plain_evidence(entry.diagnosis.evidence, arrays)
            evidence = with_place(evidence, entry.diagnosis.place, entry.name)
            known = f"{mistake}: {evidence}" in told
            lines.append(f"    Likely mistake: {mistake}" + (", as above." if known else f". Evidence: {evidence}."))
            told.add(f"{mistake}: {evidence}")
    if len(wrong) > ARRAYS:
        lines.append(f"and {len(wrong) - ARRAYS} more: {', '.join(entry.name for entry in wrong[ARRAYS:])}")
    explained = {"wrong shape", "not finite"} if wrong else set()  # remarks that repeat the lines above
    reasons = {WRITES_INTO_DY} if any(entry.diagnosis is None for entry in wrong) else set()
    traps = [t for t in report.traps if t.kind not in explained and (t.severity != "note" or t.kind in reasons)]
    lines += [sentence(f"{trap.kind}: {trap.message}") for trap in traps[:ARRAYS]]
    return lines + ([f"and {len(traps) - ARRAYS} more remarks"] if len(traps) > ARRAYS else [])


def values_of_the_loop(places: list[Place]) -> list[str]:
    """Return a sentence with the loop variables and their values in the failed check, or [] without a loop."""
    place = next((place for place in reversed(places) if place.of_check and place.check is not None), None)
    if place is None:
        return []
    loops = [n for n in ast.walk(place.check) if isinstance(n, ast.For) and spans(n, place.line)]
    names = [name.id for loop in loops for name in ast.walk(loop.target) if isinstance(name, ast.Name)]
    shown = [f"`{name}` = {short_value(place.frame.f_locals[name])}" for name in names if name in place.frame.f_locals]
    return [f"This is the check with {', '.join(shown)}."] if shown else []


def short_value(value: Any) -> str:
    """Return a tuple of numbers as text, such as "(2, 3)". For any other value, return its description."""
    whole = isinstance(value, tuple) and all(isinstance(part, (int, float)) for part in value)
    return str(value) if whole else describe(value)


def wrong_gradient(entry: Any) -> str:
    """Return a sentence about one array: backward's value and the numerical value of its worst element."""
    analytic, numeric = entry.worst
    at = f"at {[int(i) for i in entry.worst_index]} " if entry.worst_index else ""
    verdict = {"cannot tell": "cannot be judged"}.get(entry.verdict, f"is {entry.verdict}")
    line = f"The gradient of {entry.name} {verdict}"
    reason = entry.reason.split("; ")[0]  # leave out the list of elements
    if analytic == analytic and numeric == numeric:
        line += f": {at}your backward gives {analytic + 0.0:.3g}, but the numerical gradient is {numeric:.3g}"
    return sentence(line + (f" ({reason})" if reason else ""))


def plain_evidence(evidence: str, arrays: Collection[str] = ()) -> str:
    """Return the evidence of a diagnosis without file names, the largest difference and the number of explained arrays.

    File names and the largest difference are not the same on all machines. Code between back-ticks stays as it is.

    If the evidence uses the symbols u or phi', explain them. `arrays` are the names of the checked arrays: if u is one
    of them, it needs no explanation.
    """
    evidence = re.sub(r"\((<[^>]*>|[^\s()<>]*):(\d+): ", r"(line \2: ", evidence)
    evidence = re.sub(r"; the largest difference is \S+ of [^;]*", "", evidence)
    evidence = re.sub(r"; this explains [\w ]+(\(tested [^)]*\))?", "", evidence)
    parts = evidence.split("`")  # every second part is code: it was between back-ticks
    for number in range(0, len(parts), 2):
        parts[number] = re.sub(r"the given gradient|(?<!gradient )(?<!the )\bgiven\b", "your gradient", parts[number])
        parts[number] = re.sub(r"(?<=[*=/] )true\b", "the right one", parts[number])
    function = "the activation function"
    symbols = {"u": (r"\bu\b", f"the input of {function}"), "phi'": (r"\bphi'", f"the derivative of {function}")}
    words = " ".join(parts[::2])
    meanings = [
        f"{name} is {meaning}"
        for name, (symbol, meaning) in symbols.items()
        if re.search(symbol, words) and name not in arrays
    ]
    return "`".join(parts) + f" ({', '.join(meanings)})" * bool(meanings)


def with_place(evidence: str, place: str, array: str) -> str:
    """Return the evidence with the place of the mistake: an expression of forward, or some rows of an array.

    The line number in `place` is left out: it counts the lines of a cell, and notebooks show no line numbers.
    """
    code = re.match(r"(?:<[^>]*>|[^\s:]+):\d+(?: from \d+)?: (.+)", place, re.DOTALL)
    if code is None:
        return f"{evidence}. Place: {place}" if f" of {array}, " in place else evidence
    if f"`{code[1]}`" in evidence:
        return evidence
    located = re.sub(r"(through `[^`]*`)", lambda found: f"{found[1]} in `{code[1]}`", evidence, count=1)
    return located if located != evidence else f"{evidence}. Place: `{code[1]}`"


def sentence(words: str) -> str:
    """Return `words` with a full stop, unless a full stop or a question mark is at the end already."""
    return words if words.endswith((".", "?")) else words + "."
