"""What is written down about a planted mistake, and what came out when it was checked."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from nnscratch.gradcheck import GradientReport, check_gradients


@dataclass
class Planted:
    """Code with one mistake in it, and the mistake's name.

    Attributes
    ----------
    mistake : str
        The name that the diagnosis should give first.
    what : str
        What the student wrote.
    target, inputs : object, tuple
        What is checked.
    also : tuple of str
        Other names for the very same numbers: a gradient counted twice is also one scaled by 2.
    says : str
        What the first diagnosis must name besides: a factor, a gate, a line.
    options : dict
        Passed on to check_gradients: a loss and its targets.
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
    """One mistake, checked.

    Attributes
    ----------
    caught : bool
        The verdict is "wrong".
    names : list of str
        The diagnoses, best first.
    rank : int or None
        Where the mistake's name stands among them, from 1.
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
