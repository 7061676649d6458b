"""What a check found: one entry for each array, the traps, and how to print, show and draw them."""

from __future__ import annotations

import html
import os
import sys
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import numpy as np

COLOURS = {"right": "\x1b[32m", "wrong": "\x1b[31m", "cannot tell": "\x1b[33m"}
BOLD, DIM, PLAIN = "\x1b[1m", "\x1b[2m", "\x1b[0m"


@dataclass
class Diagnosis:
    """A mistake that explains a wrong gradient, tested against the numbers.

    Attributes
    ----------
    mistake : str
        Its name, such as ``"sign flipped"``.
    evidence : str
        What was computed, and how well it agrees.
    place : str
        Where: an array, rows of it, or a line of the target's forward.
    misfit : float
        The largest difference left between the gradient given and the one this mistake would give, relative to the
        size of the gradient. Small is convincing.

    Examples
    --------
    >>> import numpy as np, nnscratch as nn
    >>> report = nn.gradcheck.check_gradients((np.sin, lambda dy, x: -dy * np.cos(x)), np.array([0.0, 1.0]))
    >>> print(report["x"].diagnosis)
    sign flipped [x]: given = -1 * true in all 2 element(s)
    """

    mistake: str
    evidence: str
    place: str = ""
    misfit: float = 0.0

    def __str__(self) -> str:
        return f"{self.mistake}{f' [{self.place}]' if self.place else ''}: {self.evidence}"


@dataclass
class Trap:
    """Something wrong around the gradients: see traps.py for the kinds.

    Attributes
    ----------
    kind : str
    message : str
    severity : str
        "wrong" (the target breaks its contract), "cannot tell" (no check is possible) or "note".

    Examples
    --------
    >>> import numpy as np, nnscratch as nn
    >>> class Forgets(nn.Module):
    ...     def __init__(self):
    ...         self.w = nn.Parameter(np.array([2.0]))
    ...     def forward(self, x):
    ...         self.save_for_backward(x)
    ...         return x * self.w.data
    ...     def backward(self, dy):
    ...         (x,) = self.saved()
    ...         self.w.grad[...] = (dy * x).sum()                           # not +=
    ...         return dy * self.w.data
    >>> [trap.kind for trap in nn.gradcheck.check_gradients(Forgets(), np.array([0.5, 1.0])).traps]
    ['gradient overwritten']
    """

    kind: str
    message: str
    severity: str = "wrong"


@dataclass
class Entry:
    """One array's gradient, checked.

    Attributes
    ----------
    name, shape
    analytic, numeric : ndarray
        What backward said, and what differences say; NaN at elements not looked at. In directional mode one number
        for each direction, three where they are wrong.
    uncertainty : ndarray
        How far each numeric value can be trusted.
    low, high : ndarray
        The one-sided derivatives at kinks; `numeric` elsewhere.
    error : float
        The largest difference, relative to the array's largest element.
    worst_index : tuple of int
    verdict : str
        "right", "wrong" or "cannot tell".
    reason : str
        Why, where the verdict is not "right".
    kinks : int
        Elements where the function has no derivative, only one-sided ones.
    diagnoses : list of Diagnosis
        Best first.

    Examples
    --------
    >>> import numpy as np, nnscratch as nn
    >>> entry = nn.gradcheck.check_gradients(nn.Linear(3, 2, rng=0), np.ones((4, 3)))["weight"]
    >>> entry.shape, entry.verdict, entry.error < 1e-6
    ((2, 3), 'right', True)
    """

    name: str
    shape: tuple[int, ...]
    analytic: Any
    numeric: Any
    uncertainty: Any
    low: Any
    high: Any
    error: float = 0.0
    worst_index: tuple[int, ...] = ()
    verdict: str = "right"
    reason: str = ""
    kinks: int = 0
    checked: int = 0
    diagnoses: list[Diagnosis] = field(default_factory=list)

    @property
    def diagnosis(self) -> Diagnosis | None:
        """The best explanation of a wrong gradient, if one was found."""
        return self.diagnoses[0] if self.diagnoses else None

    @property
    def worst(self) -> tuple[float, float]:
        """Analytic and numeric value at `worst_index`."""
        fits = np.shape(self.analytic) == np.shape(self.numeric) and np.size(self.numeric)
        if not fits or np.asarray(self.analytic).dtype.kind not in "fiub":
            return float("nan"), float("nan")
        return float(self.analytic[self.worst_index]), float(self.numeric[self.worst_index])

    def as_dict(self) -> dict[str, Any]:
        """For JSON."""
        analytic, numeric = self.worst if np.size(self.numeric) else (float("nan"), float("nan"))
        return {
            "name": self.name,
            "shape": list(self.shape),
            "error": number(self.error),
            "worst_index": [int(i) for i in self.worst_index],
            "worst_analytic": number(analytic),
            "worst_numeric": number(numeric),
            "verdict": self.verdict,
            "reason": self.reason,
            "checked": self.checked,
            "kinks": self.kinks,
            "diagnoses": [vars(d) | {"misfit": number(d.misfit)} for d in self.diagnoses],
        }


@dataclass
class GradientReport:
    """What `check_gradients` found. ``print(report)`` shows it; ``report["weight"]`` is one entry of it.

    Attributes
    ----------
    title : str
    entries : dict of str to Entry
    traps : list of Trap
    notes : list of str
    mode, method : str
    evaluations : int
        Forward passes made.

    Examples
    --------
    >>> import numpy as np, nnscratch as nn
    >>> report = nn.gradcheck.check_gradients(nn.Linear(3, 2, rng=0), np.ones((4, 3)))
    >>> report.ok, sorted(report.entries)
    (True, ['bias', 'weight', 'x'])
    """

    title: str
    entries: dict[str, Entry] = field(default_factory=dict)
    traps: list[Trap] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    mode: str = "full"
    method: str = "central differences in float64"
    evaluations: int = 0
    seconds: float = 0.0

    @property
    def verdict(self) -> str:
        """ "wrong" if anything is; else "cannot tell" if that is so of anything; else "right"."""
        all_verdicts = [e.verdict for e in self.entries.values()] + [t.severity for t in self.traps]
        return next((v for v in ("wrong", "cannot tell") if v in all_verdicts), "right")

    @property
    def ok(self) -> bool:
        """Every gradient is right, and no trap was met."""
        return self.verdict == "right"

    @property
    def max_error(self) -> float:
        """The largest error of all arrays."""
        errors = [entry.error for entry in self.entries.values()]
        return float("nan") if any(e != e for e in errors) else max(errors, default=0.0)

    @property
    def kinks(self) -> int:
        """Elements accepted between their one-sided derivatives."""
        return sum(entry.kinks for entry in self.entries.values())

    @property
    def diagnoses(self) -> list[Diagnosis]:
        """Every array's diagnoses in one ranking: what explains most arrays and fits best comes first."""
        votes: dict[str, list[Diagnosis]] = {}
        ranks: dict[str, float] = {}
        for entry in self.entries.values():
            for rank, diagnosis in enumerate(entry.diagnoses):
                votes.setdefault(diagnosis.mistake, []).append(diagnosis)
                ranks[diagnosis.mistake] = ranks.get(diagnosis.mistake, 0) + 1 / (1 + rank)
        order = sorted(votes, key=lambda m: -ranks[m])
        return [votes[mistake][0] for mistake in order]

    def __getitem__(self, name: str) -> Entry:
        if name not in self.entries:
            raise KeyError(f"no gradient named {name!r} was checked; there are {', '.join(self.entries) or 'none'}")
        return self.entries[name]

    def __iter__(self) -> Iterator[Entry]:
        return iter(self.entries.values())

    def __len__(self) -> int:
        return len(self.entries)

    def __str__(self) -> str:
        return self.text(colour=sys.stdout.isatty() and "NO_COLOR" not in os.environ)

    def __repr__(self) -> str:
        return f"<GradientReport of {self.title}: {self.verdict}, largest error {self.max_error:.1e}>"

    def rows(self) -> list[list[str]]:
        """The table, cell by cell: name, shape, error, worst index, analytic, numeric, verdict."""
        rows = []
        for e in self.entries.values():
            known = np.size(e.numeric) and np.shape(e.analytic) == np.shape(e.numeric)
            analytic, numeric = e.worst if known else (float("nan"), float("nan"))
            at = ",".join(str(int(i)) for i in e.worst_index)
            kinks = f" ({e.kinks} kink{'s' * (e.kinks != 1)})" if e.kinks else ""
            rows.append(
                [
                    e.name,
                    "x".join(map(str, e.shape)) or "number",
                    f"{e.error:.1e}" if e.error == e.error else "-",
                    f"[{at}]",
                    f"{analytic:.6g}" if analytic == analytic or known else "-",
                    self.interval(e) or (f"{numeric:.6g}" if numeric == numeric else "-"),
                    e.verdict + kinks,
                ]
            )
        return rows

    @staticmethod
    def interval(entry: Entry) -> str:
        """The one-sided derivatives at the worst element, if it is a kink."""
        if not entry.kinks or np.shape(entry.low) != entry.shape:
            return ""
        low, high = float(entry.low[entry.worst_index]), float(entry.high[entry.worst_index])
        return f"{low:.4g} to {high:.4g}" if low < high else ""

    def explanations(self) -> Iterator[list[tuple[Diagnosis, str, list[str]]]]:
        """For each entry its first three diagnoses: what is said of several arrays is to be printed once.

        With each diagnosis come the earlier array under which mistake and evidence stand already ("" if there is
        none), and the later arrays that they explain too, with the place where it is another.
        """
        met: dict[tuple[str, str], list[tuple[str, str]]] = {}
        for entry in self.entries.values():
            for d in entry.diagnoses[:3]:
                met.setdefault((d.mistake, d.evidence), []).append((entry.name, d.place))
        for entry in self.entries.values():
            told = []
            for d in entry.diagnoses[:3]:
                (first, place), *rest = met[d.mistake, d.evidence]
                later = [n if where in (place, n) else f"{n} [{where}]" for n, where in rest]
                told.append((d, "", later) if entry.name == first else (d, first, []))
            yield told

    def text(self, colour: bool = False) -> str:
        """The report as text. Evidence that several arrays share stands under the first of them, and names the others.

        Parameters
        ----------
        colour : bool
            With a terminal's colours.
        """

        def paint(code: str, words: str) -> str:
            return f"{code}{words}{PLAIN}" if colour else words

        verdict = paint(COLOURS[self.verdict] + BOLD, self.verdict)
        lines = [f"{self.title}: {verdict}   ({self.mode}, {self.method}, {self.evaluations} forward passes)"]
        header = ["array", "shape", "error", "worst at", "analytic", "numeric", "verdict"]
        rows = self.rows()
        widths = [max(len(row[i]) for row in [header, *rows]) for i in range(len(header))]
        if rows:
            lines.append(paint(DIM, "  " + "  ".join(c.ljust(w) for c, w in zip(header, widths, strict=True)).rstrip()))
        for entry, row, told in zip(self.entries.values(), rows, self.explanations(), strict=True):
            cells = [cell.ljust(width) for cell, width in zip(row, widths, strict=True)]
            cells[-1] = paint(COLOURS[entry.verdict], row[-1])
            see = f", as for {told[0][1]}" if told and told[0][1] else ""
            lines.append("  " + "  ".join(cells) + see)
            if entry.reason:
                lines.append(f"      {entry.reason}")
            for rank, (diagnosis, first, later) in enumerate(told):
                if first:
                    continue
                lines.append(
                    f"      {'-> ' if rank == 0 else 'or '}{paint(BOLD, diagnosis.mistake)}"
                    f"{f' [{diagnosis.place}]' if diagnosis.place else ''}"
                )
                lines.append(paint(DIM, f"         {diagnosis.evidence}"))
                lines += [paint(DIM, f"         the same explains {', '.join(later)}")] if later else []
        for trap in self.traps:
            colour_of = COLOURS.get(trap.severity, DIM)
            lines.append(f"  {paint(colour_of, trap.severity)}: {trap.kind}: {trap.message}")
        lines += [paint(DIM, f"  note: {note}") for note in self.notes]
        return "\n".join(lines)

    def as_dict(self) -> dict[str, Any]:
        """For JSON."""
        return {
            "title": self.title,
            "verdict": self.verdict,
            "ok": self.ok,
            "max_error": number(self.max_error),
            "mode": self.mode,
            "method": self.method,
            "evaluations": self.evaluations,
            "seconds": self.seconds,
            "entries": [entry.as_dict() for entry in self.entries.values()],
            "traps": [vars(trap) for trap in self.traps],
            "notes": list(self.notes),
        }

    def _repr_html_(self) -> str:
        colours = {"right": "#2a7d2a", "wrong": "#b81d1d", "cannot tell": "#a36a00"}
        out = [
            f"<p><b>{html.escape(self.title)}</b>: <b style='color:{colours[self.verdict]}'>{self.verdict}</b> "
            f"({self.mode}, {self.method}, {self.evaluations} forward passes)</p>"
        ]
        header = ["array", "shape", "error", "worst at", "analytic", "numeric", "verdict"]
        explained = any(e.diagnoses or e.reason for e in self.entries.values())
        header += ["diagnosis"] * explained
        left = "style='text-align:left; padding:0.1em 0.8em 0.1em 0; vertical-align:top'"
        out.append("<table><thead><tr>" + "".join(f"<th {left}>{h}</th>" for h in header) + "</tr></thead><tbody>")
        for entry, row, told in zip(self.entries.values(), self.rows(), self.explanations(), strict=True):
            words = [entry.reason] if entry.reason else []
            for d, first, later in told:
                words.append(f"{d.mistake}: as for {first}" if first else str(d))
                words[-1] += f"; the same explains {', '.join(later)}" if later else ""
            why = "<br>".join(html.escape(line) for line in words)
            cells = [html.escape(cell) for cell in row]
            cells[-1] = f"<span style='color:{colours[entry.verdict]}'>{cells[-1]}</span>"
            out.append("<tr>" + "".join(f"<td {left}>{c}</td>" for c in cells + [why] * explained) + "</tr>")
        out.append("</tbody></table>")
        remarks = [f"{t.severity}: {t.kind}: {t.message}" for t in self.traps] + self.notes
        if remarks:
            out.append("<ul>" + "".join(f"<li>{html.escape(r)}</li>" for r in remarks) + "</ul>")
        return "".join(out)

    def plot(self) -> Any:
        """Analytic against numeric, and a map of the differences, for every array; returns a matplotlib figure."""
        from .pictures import draw_report

        return draw_report(self)


def number(value: float) -> float | None:
    """`value`, or None where JSON has no number for it."""
    return float(value) if np.isfinite(value) else None
