"""Draw a report with matplotlib, which is imported only when a picture is drawn."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from .report import Entry, GradientReport


def draw_report(report: GradientReport) -> Any:
    """Draw a row for each array: on the left the two gradients, on the right a map of the errors."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    entries = [e for e in report.entries.values() if np.size(e.numeric) and np.shape(e.analytic) == np.shape(e.numeric)]
    figure = Figure(figsize=(8, 0.5 + 2.6 * max(1, len(entries))), layout="constrained")
    FigureCanvasAgg(figure)
    figure.suptitle(f"{report.title}: {report.verdict}")
    for number, entry in enumerate(entries):
        draw_scatter(figure.add_subplot(len(entries), 2, 2 * number + 1), entry)
        draw_map(figure, figure.add_subplot(len(entries), 2, 2 * number + 2), entry)
    return figure


def draw_scatter(axes: Any, entry: Entry) -> None:
    """Draw a point for every measured element. Right elements lie on the diagonal. The colour shows the verdict."""
    from ..plotting import style

    colour, marker = {
        "right": (style.GREEN, "o"),
        "wrong": (style.ORANGE, "X"),
        "cannot tell": (style.GREY, "s"),
    }[entry.verdict]
    known = np.isfinite(entry.numeric) & np.isfinite(entry.analytic)
    a, n = entry.analytic[known], entry.numeric[known]
    both = np.concatenate([np.ravel(a), np.ravel(n), [0.0]])
    axes.axline((0, 0), slope=1, color="0.7", linewidth=1, zorder=0)
    axes.scatter(n, a, s=18, color=colour, marker=marker, linewidths=0)
    margin = 0.05 * max(np.ptp(both), 1e-30)
    axes.set_xlim(both.min() - margin, both.max() + margin)
    axes.set_ylim(both.min() - margin, both.max() + margin)
    shape = "x".join(map(str, entry.shape)) or "a number"
    axes.set(xlabel="numeric", ylabel="analytic", title=f"{entry.name} ({shape}): {entry.verdict}")


def draw_map(figure: Any, axes: Any, entry: Entry) -> None:
    """Draw |analytic - numeric| of each element. The last axis runs to the right, and all other axes run downwards."""
    from matplotlib.ticker import MaxNLocator

    from ..plotting import style

    difference = np.atleast_1d(np.abs(entry.analytic - np.clip(entry.analytic, entry.low, entry.high)))
    rows = difference.reshape(-1, difference.shape[-1])
    top = np.nanmax(rows) if np.isfinite(rows).any() else 1.0
    image = axes.imshow(rows, aspect="auto", cmap=style.MAP, vmin=0, vmax=top or 1.0, interpolation="nearest")
    figure.colorbar(image, ax=axes, label="|analytic - numeric|")
    others = "direction" if np.shape(entry.numeric) != entry.shape else "last axis"
    axes.set(title=f"error {entry.error:.1e}", xlabel=others, ylabel="the other axes" if len(rows) > 1 else "")
    for axis in (axes.xaxis, axes.yaxis):
        axis.set_major_locator(MaxNLocator(integer=True, nbins=6))
    if len(rows) == 1:
        axes.set_yticks([])
