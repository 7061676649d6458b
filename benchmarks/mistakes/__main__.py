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

Every row is a piece of code with one mistake in it, as a student would write it: a pair of functions in CS231n's
form, a class in the form of "Deep Learning from Scratch", a Module, a Module with a loss, or a function that returns
a loss and its gradient. We wrote down the name of each mistake before we ran the diagnosis on it. The code is in
`benchmarks/mistakes`, together with the same code without the mistake. `python -m benchmarks.mistakes` writes this
page.

The report of a wrong gradient may list several names of mistakes. In the following, the diagnosis *finds* a mistake if
the right name is at the top of this list; the table says *named first*. We developed the diagnosis on these mistakes.
So the results of the first runs show better than the table how often the diagnosis is right for new mistakes:

- In the beginning, there were 102 mistakes. The earliest version of the diagnosis only compared arrays. It found 44 of
  the mistakes. The next version also recorded forward. In its first run, this version found 88 mistakes. We then
  improved it until it found all 102.
- Then we wrote 34 more mistakes, marked *held out*, and ran the diagnosis once. It found 30 of them. It had no name for
  the other four: gradients of overlapping windows that overwrite each other, a gradient for only the first word of a
  text, an RNN with ReLU that lacks the mask, and a bidirectional RNN that does not reverse the gradient of its second
  direction. We then extended the diagnosis for them.
- Public bug reports showed more kinds of mistakes: examples in columns, sums over the wrong axes, running sums,
  strides, statistics that forward holds constant. We extended the diagnosis for these kinds, and then wrote 34 more
  mistakes of the same kinds (`benchmarks/mistakes/kinds.py`). When we ran the diagnosis on these 34 mistakes for the
  first time, it found all of them, both in full mode and in directional mode.
- We also wrote 36 other mistakes in the style of students. In its first run on them, the diagnosis found 29. After we
  had extended it again, it found 33.

Then we wrote each kind of mistake in every form of code in which it can occur (`benchmarks/mistakes/forms`): pairs of
functions, classes, dictionaries, columns, loops over time, Python numbers. When we chose these mistakes, we did not
consider how the diagnosis works. When we ran the diagnosis on them for the first time, it found 67 %. We then extended
it for the kinds that it missed.

*Caught* means that the verdict is "wrong". *First diagnosis* is the diagnosis at the top of the list, and *rank* is
the position of the mistake's name in that list. Some rows accept two names, because both describe the same gradient.
From the section "classes" on, the first column has the name of the code in `benchmarks/mistakes/forms`, and after the
colon a short description of the mistake.

In *directional* mode, the diagnosis of a wrong array knows only the derivatives along three random directions (arrays
of one or two elements are checked by element). In the first run in this mode, the diagnosis found 132 of the 136
mistakes that existed then. We then extended directional mode so that it can test three of the other four.
"""


CHANGED = """# Automatically changed backward passes

The authors of the diagnosis chose the [planted mistakes](planted-mistakes.md). A program chose the mistakes on this
page: it takes the correct code of the planted mistakes, and changes each operation of a backward pass, one at a time.
The checker then diagnoses every change that makes a gradient wrong. We did not name these mistakes in advance. So the
table shows how often the diagnosis finds an explanation. It does not show how often this explanation is the best
one. A student would not make many of these changes. Most of the changes without an explanation keep only one term of a
sum, or leave out the incoming gradient in a product in the middle of a formula. In its first run on all changes, the
diagnosis explained 427 of 611 changes (70 %). We then extended the diagnosis for changes that it could not explain.
`python -m benchmarks.mistakes --changed` writes this page in a few minutes.

| change | effect |
|---|---|
| factor | `a * b`, `a / b` or `a @ b` becomes `a`, or `b` |
| term | `a + b` or `a - b` becomes `a`, or `b` |
| sign | `a + b` becomes `a - b`, or `a - b` becomes `a + b` |
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
        words = "For these mistakes, the first name in directional mode is not the right one, or there is no name:"
        lines += ["", words, "", *(f"- {name}" for name in missed)]
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
    # Round down, so that "100 %" means all of them.
    return (str(count), *(f"{n} ({100 * n // count} %)" for n in numbers))


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
    parser.add_argument("--changed", action="store_true", help="diagnose automatically changed backward passes instead")
    arguments = parser.parse_args()
    if arguments.show:
        for planted in all_mistakes():
            if arguments.show.lower() in f"{planted.area} {planted.what} {planted.mistake}".lower():
                print(f"{planted.area}: {planted.what}\n{planted.check()}\n")
        return 0
    if arguments.changed:
        name, page = "changed-backwards.md", CHANGED + "\n".join(mutants.table_of_changes(mutants.mutants())) + "\n"
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
