"""Print a report: as text for a terminal, and as HTML for a notebook."""

from __future__ import annotations

import html
from collections.abc import Iterator
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from .report import Diagnosis, Entry, GradientReport

TERMINAL_COLOURS = {"right": "\x1b[32m", "wrong": "\x1b[31m", "cannot tell": "\x1b[33m", "incomplete": "\x1b[33m"}
BOLD, DIM, PLAIN = "\x1b[1m", "\x1b[2m", "\x1b[0m"
HTML_COLOURS = {"right": "#2a7d2a", "wrong": "#b81d1d", "cannot tell": "#a36a00", "incomplete": "#a36a00"}
HEADER = ["array", "shape", "error", "worst at", "analytic", "numeric", "verdict"]
SHOWN = 3  # the largest number of diagnoses that are printed for each array


def table_rows(report: GradientReport) -> list[list[str]]:
    """Return the cells of the table, one row for each array, in the order of `HEADER`."""
    rows = []
    for e in report.entries.values():
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
                kink_interval(e) or (f"{numeric:.6g}" if numeric == numeric else "-"),
                e.verdict + kinks,
            ]
        )
    return rows


def kink_interval(entry: Entry) -> str:
    """Return the one-sided derivatives at the worst element if this element lies on a kink, else an empty string."""
    if not entry.kinks or np.shape(entry.low) != entry.shape:
        return ""
    low, high = float(entry.low[entry.worst_index]), float(entry.high[entry.worst_index])
    return f"{low:.4g} to {high:.4g}" if low < high else ""


def explanations(report: GradientReport) -> Iterator[list[tuple[Diagnosis, str, list[str]]]]:
    """Yield, for each entry, its first diagnoses as tuples (diagnosis, first, later).

    If several arrays have the same mistake with the same evidence, the report shows the evidence only for the first of
    these arrays. For example, suppose that W and b have the same mistake. For W, `first` is "", and `later` is ["b"].
    For b, `first` is "W", and `later` is empty. If the mistake of b is at another line of code, `later` also shows this
    line: ["b [layers.py:12: ...]"].
    """
    met: dict[tuple[str, str], list[tuple[str, str]]] = {}
    for entry in report.entries.values():
        for d in entry.diagnoses[:SHOWN]:
            met.setdefault((d.mistake, d.evidence), []).append((entry.name, d.place))
    for entry in report.entries.values():
        told = []
        for d in entry.diagnoses[:SHOWN]:
            (first, place), *rest = met[d.mistake, d.evidence]
            later = [n if where in (place, n) else f"{n} [{where}]" for n, where in rest]
            told.append((d, "", later) if entry.name == first else (d, first, []))
        yield told


def as_text(report: GradientReport, colour: bool) -> str:
    """Return the report as lines of text."""

    def paint(code: str, words: str) -> str:
        return f"{code}{words}{PLAIN}" if colour else words

    verdict = paint(TERMINAL_COLOURS[report.verdict] + BOLD, report.verdict)
    lines = [f"{report.title}: {verdict}   ({report.mode}, {report.method}, {report.evaluations} forward passes)"]
    rows = table_rows(report)
    widths = [max(len(row[i]) for row in [HEADER, *rows]) for i in range(len(HEADER))]
    if rows:
        lines.append(paint(DIM, "  " + "  ".join(c.ljust(w) for c, w in zip(HEADER, widths, strict=True)).rstrip()))
    for entry, row, told in zip(report.entries.values(), rows, explanations(report), strict=True):
        cells = [cell.ljust(width) for cell, width in zip(row, widths, strict=True)]
        cells[-1] = paint(TERMINAL_COLOURS[entry.verdict], row[-1])
        see = f", same as {told[0][1]}" if told and told[0][1] else ""
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
            lines += [paint(DIM, f"         this also explains {', '.join(later)}")] if later else []
    for trap in report.traps:
        colour_of = TERMINAL_COLOURS.get(trap.severity, DIM)
        lines.append(f"  {paint(colour_of, trap.severity)}: {trap.kind}: {trap.message}")
    lines += [paint(DIM, f"  note: {note}") for note in report.notes]
    return "\n".join(lines)


def as_html(report: GradientReport) -> str:
    """Return the report as an HTML table with lists of traps and notes."""
    out = [
        f"<p><b>{html.escape(report.title)}</b>: <b style='color:{HTML_COLOURS[report.verdict]}'>{report.verdict}</b> "
        f"({report.mode}, {report.method}, {report.evaluations} forward passes)</p>"
    ]
    explained = any(e.diagnoses or e.reason for e in report.entries.values())
    header = HEADER + ["diagnosis"] * explained
    style = "style='text-align:left; padding:0.1em 0.8em 0.1em 0; vertical-align:top'"
    out.append("<table><thead><tr>" + "".join(f"<th {style}>{h}</th>" for h in header) + "</tr></thead><tbody>")
    for entry, row, told in zip(report.entries.values(), table_rows(report), explanations(report), strict=True):
        words = [entry.reason] if entry.reason else []
        for d, first, later in told:
            words.append(f"{d.mistake}: same as {first}" if first else str(d))
            words[-1] += f"; this also explains {', '.join(later)}" if later else ""
        why = "<br>".join(html.escape(line) for line in words)
        cells = [html.escape(cell) for cell in row]
        cells[-1] = f"<span style='color:{HTML_COLOURS[entry.verdict]}'>{cells[-1]}</span>"
        out.append("<tr>" + "".join(f"<td {style}>{c}</td>" for c in cells + [why] * explained) + "</tr>")
    out.append("</tbody></table>")
    remarks = [f"{t.severity}: {t.kind}: {t.message}" for t in report.traps] + report.notes
    if remarks:
        out.append("<ul>" + "".join(f"<li>{html.escape(r)}</li>" for r in remarks) + "</ul>")
    return "".join(out)
