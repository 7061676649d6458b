"""Estimate the time of a full check, choose the mode, show a progress bar, and name the errors that a mode can miss."""

from __future__ import annotations

import dataclasses
import time
from typing import Any

import numpy as np

from .. import progress
from .differences import Differences
from .report import Entry, GradientReport
from .settings import Settings

AUTO_SECONDS = 20.0  # mode="auto" checks every element if the estimated time is at most this number of seconds
BAR_SECONDS = 3.0  # a progress bar is shown if the estimated time is at least this number of seconds
PASSES = 5  # the number of forward passes for each element: four for the differences, one for the complex step


def choose_mode(settings: Settings, differences: Differences, sizes: list[int], report: GradientReport) -> Settings:
    """Return the settings. If the mode is "auto", replace it by "full" or "directional".

    The choice depends on the estimated time of a full check: the time of one forward pass, multiplied by the number of
    forward passes.

    Parameters
    ----------
    settings : Settings
    differences : Differences
    sizes : list of int
        The sizes of the arrays to check.
    report : GradientReport
        Receives the mode, the estimate, and a note if "auto" did not choose "full".
    """
    times = []
    for _ in range(2):
        started = time.perf_counter()
        differences.projection()
        times.append(time.perf_counter() - started)
    passes = PASSES * sum(sizes)
    report.estimate = passes * min(times)
    if settings.mode != "auto":
        return settings
    report.mode = "full" if report.estimate <= AUTO_SECONDS else "directional"
    if report.mode != "full":
        report.notes.append(
            f"mode='auto' chose 'directional': 'full' would take about {passes:,} forward passes of "
            f"{1000 * min(times):.2g} ms, {words_for(report.estimate)} in all"
        )
    return dataclasses.replace(settings, mode=report.mode)


def words_for(seconds: float) -> str:
    """Return a duration in words.

    Examples
    --------
    >>> words_for(45.2), words_for(300)
    ('45 seconds', '5 minutes')
    """
    return f"{seconds:.0f} seconds" if seconds < 120 else f"{seconds / 60:.0f} minutes"


def progress_bar(elements: int, seconds: float) -> Any:
    """Return a tqdm bar that counts the elements during a long check.

    Return None for a short check, or if the output is neither a terminal nor a notebook.
    """
    if seconds < BAR_SECONDS or not progress.someone_watches():
        return None
    return progress.bar(total=elements, desc="gradient check", unit="element", leave=False)


def sight_note(report: GradientReport, tolerance: float) -> str:
    """Return a note which says what part of the arrays was compared, and which errors the check can miss.

    Return "" for a full check.
    """
    parts = [entry for entry in report if entry.verdict == "right" and np.prod(entry.shape) > entry.checked > 0]
    sampled = [entry for entry in parts if not entry.along_directions]
    directional = [entry for entry in parts if entry.along_directions and smallest_visible(entry, tolerance) > 0]
    said = []
    if sampled:
        checked, size = sum(e.checked for e in sampled), sum(int(np.prod(e.shape)) for e in sampled)
        names = ", ".join(entry.name for entry in sampled)
        said.append(
            f"{checked:,} of {size:,} elements of {names} were compared ({100 * checked / size:.2g} %): the check "
            f"misses an error that lies only in the other elements"
        )
    if directional:
        worst = max(directional, key=lambda entry: smallest_visible(entry, tolerance))
        smallest = smallest_visible(worst, tolerance)
        said.append(
            f"{worst.checked} directions were compared: if only one of the {int(np.prod(worst.shape)):,} elements of "
            f"{worst.name} is wrong, the check misses an error below about {smallest:.1g}"
        )
    return "; ".join(said)


def smallest_visible(entry: Entry, tolerance: float) -> float:
    """Return the smallest error that directional mode detects if only one element of the gradient is wrong.

    An error of this size changes the derivative along a typical direction by as much as the tolerance allows.
    """
    size = float(np.prod(entry.shape))
    allowed = tolerance * np.abs(entry.numeric) + 3 * entry.uncertainty + (entry.high - entry.low)
    return float(np.min(allowed)) * np.sqrt(size) / min(10.0, np.sqrt(size))
