"""Check every planted mistake and write the table.

python -m benchmarks.mistakes                       write the table to docs/gradcheck/planted-mistakes.md
python -m benchmarks.mistakes --changed             change backward passes automatically; write changed-backwards.md
python -m benchmarks.mistakes --show forget         print the reports of the mistakes whose line contains "forget"
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from . import Outcome, all_mistakes, mutants

DOCS = Path(__file__).parents[2] / "docs" / "gradcheck"

HEAD = """# Planted mistakes

Every line is code with one mistake in it, as a student would write it: a pair of functions in CS231n's form, a class
in the form of "Deep Learning from Scratch", a Module, a Module with a loss, or a function that returns a loss and its
gradient. The mistake's name was written down before the diagnosis was tried on it. The code is in
`benchmarks/mistakes`, each mistake beside the same code without it; `python -m benchmarks.mistakes` writes this page.

How much of the last column is knowledge of these very lines, the first tries say. Of the first 102 mistakes the
diagnosis named 44 first when it could only compare arrays; 88 at the first try with forward written down operation by
operation; then it was worked on until it named them all. Thirty-four more, marked *held out*, were written after that
and tried once: 30 were named first, and four not at all (windows that overlap, the first word of a bag of words, a
ReLU whose state is zero at first, a bidirectional sum not turned back), for which it was then extended as well.

*Caught* means that the verdict is "wrong". *Rank* is where the mistake's name stands among the diagnoses; the third
column is the diagnosis that stands first. Where two names are accepted, the numbers are the same under both.

In *directional* mode nothing is known of the true gradient of a wrong array but its slopes along three random
directions (arrays of one or two elements apart). The first try named 132 of 136; two of the other four, a shift and
float32 noise, were then made testable along directions.
"""


CHANGED = """# Backward passes changed by a machine

The [planted mistakes](planted-mistakes.md) were chosen by those who wrote the diagnosis. These were not: each
operation of the backward passes of the suite's correct code is changed in turn, as below, and what gives wrong
gradients is diagnosed. Nobody wrote down what the mistake should be called, so this table says how often there is an
explanation, not how often it is the one a teacher would give. Many of these changes no student would make; those
without an explanation are mostly sums of which one term alone is left, and products in the middle of a formula that
lose the gradient itself. The first full count, before the diagnosis was extended for what was seen here, gave 427 of
611 (70 %). `python -m benchmarks.mistakes --changed` writes this page, in some minutes.

| change | what becomes of it |
|---|---|
| factor | `a * b`, `a / b` or `a @ b` becomes `a`, or `b` |
| term | `a + b` or `a - b` becomes `a`, or `b` |
| sign | `a + b` becomes `a - b`, or the other way |
| power | `a ** b` becomes `a` |
| transpose | `a.T` becomes `a` |
| accumulate | `a += b` becomes `a = b` |

"""


def table(outcomes: list[Outcome], directional: list[Outcome]) -> str:
    """Return the page: totals, mistakes that directional mode does not name first, and a line for each mistake."""
    lines = [HEAD, "|  | mistakes | caught | named first | named within three |", "|---|---|---|---|---|"]
    for mode, found in (("", outcomes), (", directional mode", directional)):
        for name, group in (("all", found), ("held out", [o for o in found if o.planted.held_out])):
            if group:
                lines.append("| " + " | ".join((name + mode, *totals(group))) + " |")
    missed = [f"{o.planted.area}: {o.planted.what}" for o in directional if o.rank != 1]
    if missed:
        lines += ["", "Not named first in directional mode: " + "; ".join(missed) + "."]
    for area in dict.fromkeys(o.planted.area for o in outcomes):
        lines += ["", f"## {area}", "", "| what was written | its name | first diagnosis | where | rank |"]
        lines.append("|---|---|---|---|---|")
        lines += [row(outcome) for outcome in outcomes if outcome.planted.area == area]
    return "\n".join(lines) + "\n"


def totals(outcomes: list[Outcome]) -> tuple[str, ...]:
    count = len(outcomes)
    numbers = [
        sum(o.caught for o in outcomes),
        sum(o.rank == 1 for o in outcomes),
        sum(o.rank in (1, 2, 3) for o in outcomes),
    ]
    return (str(count), *(f"{n} ({100 * n / count:.0f} %)" for n in numbers))


def row(outcome: Outcome) -> str:
    planted, first = outcome.planted, outcome.report.diagnoses[0] if outcome.report.diagnoses else None
    cells = [
        planted.what,
        " or ".join((planted.mistake, *planted.also)),
        first.mistake if first else "none",
        first.place if first else "",
        str(outcome.rank or "none") + ("" if outcome.caught else ", not caught"),
    ]
    cells[0] += " *(held out)*" if planted.held_out else ""
    return "| " + " | ".join(cell.replace("|", "\\|") for cell in cells) + " |"


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.mistakes", description=__doc__.splitlines()[0])
    parser.add_argument("--show", metavar="WORDS", help="only print the reports of the lines that contain WORDS")
    parser.add_argument("--changed", action="store_true", help="change the correct backward passes instead")
    arguments = parser.parse_args()
    if arguments.show:
        for planted in all_mistakes():
            if arguments.show.lower() in f"{planted.area} {planted.what} {planted.mistake}".lower():
                print(f"{planted.area}: {planted.what}\n{planted.check()}\n")
        return 0
    if arguments.changed:
        name, page = "changed-backwards.md", CHANGED + "\n".join(mutants.summary(mutants.mutants())) + "\n"
    else:
        planted = all_mistakes()
        full = [Outcome(p, p.check()) for p in planted]
        name, page = "planted-mistakes.md", table(full, [Outcome(p, p.check(mode="directional")) for p in planted])
    DOCS.mkdir(parents=True, exist_ok=True)
    (DOCS / name).write_text(page, encoding="utf-8")
    print(page)
    print(f"written to {DOCS / name}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
