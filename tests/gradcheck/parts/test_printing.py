"""Test the text and the HTML of a report that is made by hand."""

import io
import sys

import numpy as np
from wrong_gradients import entry_of

from nnscratch.gradcheck.printing import as_html, as_text, explanations, kink_interval, table_rows
from nnscratch.gradcheck.report import Diagnosis, GradientReport, Trap

NAN = float("nan")
GREEN, RED, YELLOW, BOLD, DIM, PLAIN = (f"\x1b[{code}m" for code in (32, 31, 33, 1, 2, 0))


def report_of(*entries, **options):
    return GradientReport("code", {entry.name: entry for entry in entries}, evaluations=7, **options)


def row(*arguments, **options):
    (cells,) = table_rows(report_of(entry_of(*arguments, **options)))
    return cells


# --- the table -------------------------------------------------------------------------------------------------------


def test_the_cells_of_a_row():
    cells = row([[1, 2.5]], [[1, 2]], error=0.25, worst_index=(0, 1), verdict="wrong")
    assert cells == ["w", "1x2", "2.5e-01", "[0,1]", "2.5", "2", "wrong"]
    assert row(3, 4, error=1e-9) == ["w", "number", "1.0e-09", "[]", "3", "4", "right"]


def test_the_cells_of_unknown_values():
    assert row([NAN], [2.0], worst_index=(0,))[2:6] == ["0.0e+00", "[0]", "nan", "2"]
    assert row([1.0], [NAN], error=NAN, worst_index=(0,))[2:6] == ["-", "[0]", "1", "-"]
    assert row([1.0, 2.0], [3.0], worst_index=(0,))[4:6] == ["-", "-"]
    assert row([], [], worst_index=(0,))[4:6] == ["-", "-"]


def test_the_cells_of_kinks():
    options = {"low": np.array([0.0, -1.0]), "high": np.array([0.0, 1.5]), "kinks": 1}
    assert row([1, 2], [0, 0.25], worst_index=(1,), **options)[5:] == ["-1 to 1.5", "right (1 kink)"]
    assert row([1, 2], [0, 0.25], worst_index=(0,), **options | {"kinks": 2})[5:] == ["0", "right (2 kinks)"]


def test_the_interval_of_a_kink():
    entry = entry_of([1, 2], [0, 0], low=np.array([0.0, -1.0]), high=np.array([0.0, 1.0]), worst_index=(1,), kinks=1)
    assert kink_interval(entry) == "-1 to 1"
    entry.kinks = 0
    assert kink_interval(entry) == ""
    entry.kinks, entry.low = 1, np.zeros(3)  # one value for each direction
    assert kink_interval(entry) == ""


# --- diagnoses -------------------------------------------------------------------------------------------------------


def with_diagnoses(name, *diagnoses, **options):
    entry = entry_of([2.0], [1.0], name, worst_index=(0,), verdict="wrong", **options)
    entry.diagnoses = list(diagnoses)
    return entry


def test_evidence_of_several_arrays_is_told_once():
    w, b = (Diagnosis("scaled", "2 times", place) for place in ("w", "b"))
    line, other = Diagnosis("scaled", "2 times", "line 3"), Diagnosis("flipped", "-1 times")
    fourth = [Diagnosis(k, "e") for k in "pqrs"]
    entries = [with_diagnoses("w", w, other), with_diagnoses("b", b), with_diagnoses("x", line),
               with_diagnoses("z", *fourth), with_diagnoses("u")]  # fmt: skip
    told = list(explanations(report_of(*entries)))
    assert told[0] == [(w, "", ["b", "x [line 3]"]), (other, "", [])]
    assert told[1] == [(b, "w", [])] and told[2] == [(line, "w", [])]
    assert told[3] == [(d, "", []) for d in fourth[:3]] and told[4] == []


def test_the_place_of_the_first_array_is_not_repeated():
    same = [Diagnosis("scaled", "2 times", "line 3") for _ in "wb"]
    told = list(explanations(report_of(with_diagnoses("w", same[0]), with_diagnoses("b", same[1]))))
    assert told[0] == [(same[0], "", ["b"])]


# --- text ------------------------------------------------------------------------------------------------------------


def full_report():
    first = with_diagnoses("w", Diagnosis("scaled", "2 times", "line 3"), Diagnosis("flipped", "-1 times"))
    second = with_diagnoses("bias", Diagnosis("scaled", "2 times", "line 3"), error=0.5, reason="a reason")
    return report_of(first, second, traps=[Trap("a trap", "message", "note"), Trap("b", "m", "wrong")], notes=["n"])


def test_the_lines_of_a_report():
    assert as_text(full_report(), False).splitlines() == [
        "code: wrong   (full, central differences in float64, 7 forward passes)",
        "  array  shape  error    worst at  analytic  numeric  verdict",
        "  w      1      0.0e+00  [0]       2         1        wrong",
        "      -> scaled [line 3]",
        "         2 times",
        "         this also explains bias",
        "      or flipped",
        "         -1 times",
        "  bias   1      5.0e-01  [0]       2         1        wrong, same as w",
        "      a reason",
        "  note: a trap: message",
        "  wrong: b: m",
        "  note: n",
    ]
    assert as_text(report_of(), False) == "code: right   (full, central differences in float64, 7 forward passes)"


def test_the_colours_of_a_report():
    lines = as_text(full_report(), True).splitlines()
    assert lines[0].startswith(f"code: {RED}{BOLD}wrong{PLAIN} ") and lines[1].startswith(f"{DIM}  array")
    assert lines[2].endswith(f"{RED}wrong{PLAIN}") and lines[3] == f"      -> {BOLD}scaled{PLAIN} [line 3]"
    assert lines[4] == f"{DIM}         2 times{PLAIN}" and lines[5] == f"{DIM}         this also explains bias{PLAIN}"
    assert lines[10:] == [
        f"  {DIM}note{PLAIN}: a trap: message",
        f"  {RED}wrong{PLAIN}: b: m",
        f"{DIM}  note: n{PLAIN}",
    ]
    for verdict, colour in (("right", GREEN), ("cannot tell", YELLOW)):
        entry = entry_of([1.0], [1.0], worst_index=(0,), verdict=verdict)
        assert as_text(report_of(entry), True).endswith(f"{colour}{verdict}{PLAIN}")


def test_only_a_terminal_has_colours(monkeypatch):
    class Terminal(io.StringIO):
        def isatty(self):
            return True

    def colourful():
        return "\x1b" in str(report_of())

    monkeypatch.delenv("NO_COLOR", raising=False)
    monkeypatch.setattr(sys, "stdout", io.StringIO())
    assert not colourful()
    monkeypatch.setattr(sys, "stdout", Terminal())
    assert colourful() and "\x1b" not in report_of().text()
    monkeypatch.setenv("NO_COLOR", "1")
    assert not colourful()


# --- HTML ------------------------------------------------------------------------------------------------------------


def test_the_html_of_a_report():
    report = full_report()
    report.title = "a<b"
    found = as_html(report)
    assert (
        found.startswith("<p><b>a&lt;b</b>: <b style='color:#b81d1d'>wrong</b> (full, central") and "7 forward" in found
    )
    assert found.count("<tr>") == 3 and found.count("<th ") == 8 and found.count("<td ") == 16
    assert ">scaled [line 3]: 2 times; this also explains bias<br>flipped: -1 times</td></tr>" in found
    assert ">a reason<br>scaled: same as w</td></tr>" in found and found.count("color:#b81d1d'>wrong</span>") == 2
    assert found.endswith("<ul><li>note: a trap: message</li><li>wrong: b: m</li><li>n</li></ul>")


def test_the_html_of_a_right_report_has_no_diagnoses_and_no_list():
    found = as_html(report_of(entry_of([1.0], [1.0], worst_index=(0,))))
    assert found.count("<th ") == found.count("<td ") == 7 and found.endswith("</tbody></table>")
    reason = entry_of([1.0], [1.0], worst_index=(0,), reason="why & how")
    found = as_html(report_of(reason))
    assert found.count("<td ") == 8 and ">why &amp; how</td>" in found
    right = entry_of([1.0], [1.0], "b", worst_index=(0,))
    assert as_html(report_of(reason, right)).count("<td ") == 16


def test_the_cells_of_the_html():
    found = as_html(report_of(entry_of([1.0], [2.0], worst_index=(0,), verdict="wrong")))
    cells = [cell.split(">", 1)[1].removesuffix("</td>") for cell in found.split("<td ")[1:-1]]
    assert cells == ["w", "1", "0.0e+00", "[0]", "1", "2"]
    assert "<span style='color:#b81d1d'>wrong</span></td></tr>" in found
