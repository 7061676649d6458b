"""Pictures of a report, drawn with matplotlib (imported only when a picture is asked for)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from .report import Entry, GradientReport

# The palette of nnscratch/plotting/style.py, which this package must not need; shapes differ as well.
COLOURS = {"right": "#0072B2", "wrong": "#D55E00", "cannot tell": "#E69F00"}
MARKERS = {"right": "o", "wrong": "x", "cannot tell": "^"}


def draw_report(report: GradientReport) -> Any:
    """A row for each array: on the left every element, analytic against numeric; on the right the error's map."""
    from matplotlib.figure import Figure

    entries = [e for e in report.entries.values() if np.size(e.numeric) and np.shape(e.analytic) == np.shape(e.numeric)]
    figure = Figure(figsize=(8, 2.6 * max(1, len(entries))), layout="constrained")
    figure.suptitle(f"{report.title}: {report.verdict}")
    for number, entry in enumerate(entries):
        scatter = figure.add_subplot(len(entries), 2, 2 * number + 1)
        draw_scatter(scatter, entry)
        image = figure.add_subplot(len(entries), 2, 2 * number + 2)
        draw_map(figure, image, entry)
    return figure


def draw_scatter(axes: Any, entry: Entry) -> None:
    known = np.isfinite(entry.numeric) & np.isfinite(entry.analytic)
    a, n = entry.analytic[known], entry.numeric[known]
    both = np.concatenate([a, n, [0.0]])
    axes.plot([both.min(), both.max()], [both.min(), both.max()], color="0.7", linewidth=1, zorder=0)
    axes.scatter(n, a, s=14, color=COLOURS[entry.verdict], marker=MARKERS[entry.verdict], label=entry.verdict)
    axes.legend(frameon=False)
    axes.set(xlabel="differences say", ylabel="backward says", title=f"{entry.name} {entry.shape}")


def draw_map(figure: Any, axes: Any, entry: Entry) -> None:
    difference = np.atleast_1d(np.abs(entry.analytic - entry.numeric))
    rows = difference.reshape(-1, difference.shape[-1])
    top = np.nanmax(rows) if np.isfinite(rows).any() else 1.0
    image = axes.imshow(rows, aspect="auto", cmap="cividis", vmin=0, vmax=top or 1.0, interpolation="nearest")
    figure.colorbar(image, ax=axes)
    for axis in (axes.xaxis, axes.yaxis):
        axis.get_major_locator().set_params(integer=True)  # they count elements
    axes.set(title=f"|difference|, error {entry.error:.1e}", xlabel="last axis", ylabel="the other axes")
