"""A planted mistake, and the result of checking it."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from nnscratch.gradcheck import GradientReport, check_gradients


@dataclass
class Planted:
    """Code with one mistake, and the name of the mistake.

    Attributes
    ----------
    mistake : str
        The name that the diagnosis should give first.
    what : str
        A description of the wrong code, as a student wrote it.
    target, inputs : object, tuple
        The arguments of check_gradients.
    also : tuple of str
        Other right names for the same gradient. For example, a gradient that is counted twice is also scaled by 2.
    says : str
        Text that the diagnosis must also contain: a factor, a gate, a line.
    options : dict
        Further arguments of check_gradients, such as a loss and its targets.
    """

    mistake: str
    what: str
    target: Any
    inputs: tuple
    also: tuple[str, ...] = ()
    says: str = ""
    options: dict = field(default_factory=dict)
    area: str = ""
    held_out: bool = False

    def check(self, **options: Any) -> GradientReport:
        return check_gradients(self.target, *self.inputs, **self.options, **options)


@dataclass
class Outcome:
    """The result of checking one mistake.

    Attributes
    ----------
    caught : bool
        True if the verdict is "wrong".
    names : list of str
        The diagnoses, best first.
    rank : int or None
        The position of the mistake's name among the diagnoses, counted from 1; None if it is not among them.
    """

    planted: Planted
    report: GradientReport

    @property
    def caught(self) -> bool:
        return self.report.verdict == "wrong"

    @property
    def names(self) -> list[str]:
        return [diagnosis.mistake for diagnosis in self.report.diagnoses]

    @property
    def rank(self) -> int | None:
        accepted = (self.planted.mistake, *self.planted.also)
        for rank, diagnosis in enumerate(self.report.diagnoses, start=1):
            if diagnosis.mistake in accepted and self.planted.says in f"{diagnosis.place} {diagnosis.evidence}":
                return rank
        return None
