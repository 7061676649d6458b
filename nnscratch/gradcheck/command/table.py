"""Print the results of a whole file: a line for each layer, and a last line that counts the layers by verdict."""

from __future__ import annotations

import json
import shlex
from collections import Counter
from typing import Any

from ..printing import BOLD, DIM, PLAIN, TERMINAL_COLOURS
from .judge import Result

HEADER = ("layer", "inputs", "verdict", "first diagnosis")
WIDEST = (32, 44, 16, 100)


def as_table(path: str, results: list[Result], colour: bool) -> str:
    """Return the table as text."""
    rows = [(r.label, ", ".join(r.inputs) or "-", r.verdict, one_line(r.why)) for r in results]
    rows = [tuple(shortened(c, w) for c, w in zip(r, WIDEST, strict=True)) for r in rows]
    widths = [max(len(row[i]) for row in [HEADER, *rows]) for i in range(3)]

    def line(cells: tuple[str, ...], code: str) -> str:
        padded = [cell.ljust(width) for cell, width in zip(cells, widths, strict=False)]
        padded[2] = f"{code}{padded[2]}{PLAIN}" if colour and code else padded[2]
        return "  ".join(["", *padded, cells[3]]).rstrip()

    lines = [f"{BOLD}{path}{PLAIN}" if colour else path, line(HEADER, DIM)]
    lines += [line(row, TERMINAL_COLOURS.get(row[2], TERMINAL_COLOURS["cannot tell"])) for row in rows]
    counts = Counter(r.verdict for r in results)
    lines.append(f"{len(results)} checked: " + ", ".join(f"{n} {verdict}" for verdict, n in counts.most_common()))
    if any(r.report is not None and r.verdict != "right" for r in results):
        lines.append(f"For the details of one layer: nnscratch gradcheck {shlex.quote(path)}:NAME")
    return "\n".join(lines)


def shortened(text: str, width: int) -> str:
    """Return a text, shortened to `width` characters. A shortened text ends with dots."""
    return text if len(text) <= width else f"{text[: width - 4].rstrip()} ..."


def one_line(text: str) -> str:
    """Return a text without line breaks."""
    return " ".join(text.split())


def as_json(path: str, verdict: str, results: list[Result]) -> str:
    """Return all results as JSON."""
    layers = [
        {"name": r.label, "verdict": r.verdict, "reason": r.why, "inputs": r.inputs, "report": report_dict(r.report)}
        for r in results
    ]
    return json.dumps({"file": path, "verdict": verdict, "layers": layers}, indent=1)


def report_dict(report: Any) -> dict[str, Any] | None:
    """Return a report as a dictionary. Its item "entries" is a dictionary whose keys are the names of the arrays."""
    if report is None:
        return None
    found = report.as_dict()
    return found | {"entries": {entry["name"]: entry for entry in found["entries"]}}
