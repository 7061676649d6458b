"""GradientReport and its parts: an Entry for each array, Diagnoses of wrong gradients, and Traps.

A trap is a fault that a comparison of gradients cannot find: see traps.py.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from .printing import as_html, as_text, table_rows


@dataclass
class Diagnosis:
    """A mistake that explains a wrong gradient.

    The checker has tested that a backward with this mistake returns the wrong gradient.

    Attributes
    ----------
    mistake : str
        The name of the mistake, such as ``"sign flipped"``.
    evidence : str
        The comparison that supports the diagnosis, and how well the numbers agree.
    place : str
        The location of the mistake: an array, some of its rows, or a line of forward.
    misfit : float
        The largest difference between backward's gradient and the gradient that a backward with this mistake returns,
        divided by the size of the gradient. The smaller the misfit, the more certain the diagnosis.

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
    """A fault that a comparison of gradients cannot find, such as a changed input. traps.py lists the kinds.

    Attributes
    ----------
    kind : str
        The name of the fault, such as ``"gradient overwritten"``.
    message : str
        A text that explains the fault.
    severity : str
        "wrong" if you must correct the code, "cannot tell" if no check is possible, "incomplete" if an array that
        affects the outputs was not checked, or "note" if the trap does not change the verdict.

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
    """The result for one array.

    Attributes
    ----------
    name, shape
    analytic, numeric : ndarray
        The gradient from backward, and the finite differences. `numeric` is NaN at elements that were not measured. In
        directional mode, both have one value for each direction.
    uncertainty : ndarray
        An estimate of the largest error of each numeric value.
    low, high : ndarray
        The smaller and the larger one-sided derivative at a kink, a point where the function has no derivative. At
        all other points, `low` and `high` are equal to `numeric`.
    error : float
        The largest difference between `analytic` and `numeric`, divided by the largest element of the gradient.
    worst_index : tuple of int
        The index of the element that differs most.
    verdict : str
        "right", "wrong" or "cannot tell".
    reason : str
        The reason for a verdict that is not "right".
    kinks : int
        The number of elements that lie on a kink.
    checked : int
        The number of elements or directions that were compared.
    along_directions : bool
        True if `analytic` and `numeric` are derivatives along random directions; False if each value belongs to one
        element.
    diagnoses : list of Diagnosis
        The mistakes that explain a wrong gradient, the best explanation first.

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
    along_directions: bool = False
    diagnoses: list[Diagnosis] = field(default_factory=list)

    @property
    def diagnosis(self) -> Diagnosis | None:
        """The best explanation of a wrong gradient, or None if there is no explanation."""
        return self.diagnoses[0] if self.diagnoses else None

    @property
    def worst(self) -> tuple[float, float]:
        """The analytic and the numeric value at `worst_index`."""
        fits = np.shape(self.analytic) == np.shape(self.numeric) and np.size(self.numeric)
        if not fits or np.asarray(self.analytic).dtype.kind not in "fiub":
            return float("nan"), float("nan")
        return float(self.analytic[self.worst_index]), float(self.numeric[self.worst_index])

    def animate(self) -> Any:
        """Show the comparison of the two gradients, one element after the other.

        Returns
        -------
        nnscratch.plotting.Animation
            One picture for each element. If there are more than 60 elements, only the first 60 have a picture.

        Raises
        ------
        ValueError
            No element was compared, for example because backward returned no gradient.

        Examples
        --------
        >>> import numpy as np, nnscratch as nn
        >>> report = nn.gradcheck.check_gradients((lambda x: x**3, lambda dy, x: 2 * dy * x**2), np.array([1.0, -2.0]))
        >>> report["x"].animate().labels
        ['[0]: wrong', '[1]: wrong']
        """
        from .animated import animate_entry

        return animate_entry(self)

    def as_dict(self) -> dict[str, Any]:
        """Return the entry as a dictionary that can be written as JSON."""
        analytic, numeric = self.worst if np.size(self.numeric) else (float("nan"), float("nan"))
        return {
            "name": self.name,
            "shape": list(self.shape),
            "error": finite_or_none(self.error),
            "worst_index": [int(i) for i in self.worst_index],
            "worst_analytic": finite_or_none(analytic),
            "worst_numeric": finite_or_none(numeric),
            "verdict": self.verdict,
            "reason": self.reason,
            "checked": self.checked,
            "kinks": self.kinks,
            "diagnoses": [vars(d) | {"misfit": finite_or_none(d.misfit)} for d in self.diagnoses],
        }


@dataclass
class GradientReport:
    """The result of `check_gradients`. ``print(report)`` shows a table, and ``report["weight"]`` is one entry.

    Attributes
    ----------
    title : str
        The name of the checked code.
    entries : dict of str to Entry
    traps : list of Trap
    notes : list of str
    mode, method : str
        The mode of the check, such as ``"full"``, and the method of the numeric gradients.
    evaluations : int
        The number of forward passes.
    seconds : float
    estimate : float
        The estimated time of mode="full", in seconds.

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
    estimate: float = 0.0

    @property
    def verdict(self) -> str:
        """The worst verdict of all entries and traps: "wrong", "cannot tell", "incomplete" or "right"."""
        all_verdicts = [e.verdict for e in self.entries.values()] + [t.severity for t in self.traps]
        return next((v for v in ("wrong", "cannot tell", "incomplete") if v in all_verdicts), "right")

    @property
    def ok(self) -> bool:
        """True if the verdict is "right"."""
        return self.verdict == "right"

    @property
    def max_error(self) -> float:
        """The largest error of all arrays."""
        errors = [entry.error for entry in self.entries.values()]
        return float("nan") if any(e != e for e in errors) else max(errors, default=0.0)

    @property
    def kinks(self) -> int:
        """The number of elements that lie on a kink."""
        return sum(entry.kinks for entry in self.entries.values())

    @property
    def diagnoses(self) -> list[Diagnosis]:
        """One diagnosis for each mistake. The mistake that explains the most arrays is first."""
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
            names = ", ".join(self.entries) or "none"
            raise KeyError(f"no gradient named {name!r} was checked; the checked gradients are {names}")
        return self.entries[name]

    def __iter__(self) -> Iterator[Entry]:
        return iter(self.entries.values())

    def __len__(self) -> int:
        return len(self.entries)

    def __str__(self) -> str:
        return self.text(colour=sys.stdout.isatty() and "NO_COLOR" not in os.environ)

    def __repr__(self) -> str:
        return f"<GradientReport of {self.title}: {self.verdict}, largest error {self.max_error:.1e}>"

    def _repr_html_(self) -> str:
        return as_html(self)

    def rows(self) -> list[list[str]]:
        """Return the table as text: name, shape, error, worst index, analytic, numeric and verdict of each array."""
        return table_rows(self)

    def text(self, colour: bool = False) -> str:
        """Return the report as text. If several arrays have the same evidence, only the first array shows it.

        Parameters
        ----------
        colour : bool
            Add the colour codes of a terminal.
        """
        return as_text(self, colour)

    def as_dict(self) -> dict[str, Any]:
        """Return the report as a dictionary that can be written as JSON."""
        return {
            "title": self.title,
            "verdict": self.verdict,
            "ok": self.ok,
            "max_error": finite_or_none(self.max_error),
            "mode": self.mode,
            "method": self.method,
            "evaluations": self.evaluations,
            "seconds": self.seconds,
            "entries": [entry.as_dict() for entry in self.entries.values()],
            "traps": [vars(trap) for trap in self.traps],
            "notes": list(self.notes),
        }

    def plot(self) -> Any:
        """Draw two pictures for every array: the analytic against the numeric values, and a map of the differences.

        Returns
        -------
        matplotlib.figure.Figure
        """
        from .pictures import draw_report

        return draw_report(self)


def finite_or_none(value: float) -> float | None:
    """Return `value`, or None for NaN and infinity, which JSON cannot represent."""
    return float(value) if np.isfinite(value) else None
