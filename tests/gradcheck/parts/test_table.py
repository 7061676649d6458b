"""Test the table and the JSON of the results of a file."""

import json

import numpy as np
from wrong_gradients import entry_of

from nnscratch.gradcheck.command.judge import Result
from nnscratch.gradcheck.command.table import as_json, as_table, one_line, report_dict, shortened
from nnscratch.gradcheck.report import GradientReport

RIGHT = Result(
    "Dense",
    "right",
    "",
    ["x (2, 3)", "W (3,)"],
    GradientReport("Dense", {"W": entry_of([1.0], [1.0], "W", worst_index=(0,))}),
)
WRONG = Result("sigmoid", "wrong", "sign flipped:\n given = -true", ["z (4,)"], GradientReport("sigmoid"))
REFUSED = Result("Loss", "could not check", "forward needs t")


def test_the_table_has_a_line_for_each_result():
    assert as_table("code.py", [RIGHT, WRONG, REFUSED], colour=False).splitlines() == [
        "code.py",
        "  layer    inputs            verdict          first diagnosis",
        "  Dense    x (2, 3), W (3,)  right",
        "  sigmoid  z (4,)            wrong            sign flipped: given = -true",
        "  Loss     -                 could not check  forward needs t",
        "3 checked: 1 right, 1 wrong, 1 could not check",
        "For the details of one layer: nnscratch gradcheck code.py:NAME",
    ]


def test_most_frequent_verdicts_come_first():
    assert as_table("f.py", [RIGHT, WRONG, WRONG], colour=False).splitlines()[-2] == "3 checked: 2 wrong, 1 right"


def test_details_are_offered_only_if_there_is_a_report_to_show():
    for results, offered in (([RIGHT], False), ([REFUSED], False), ([WRONG], True), ([RIGHT, WRONG], True)):
        assert ("For the details" in as_table("f.py", results, colour=False)) is offered
    assert as_table("my file.py", [WRONG], colour=False).endswith("'my file.py':NAME")


def test_only_the_verdict_is_coloured():
    bold, header, right, wrong, refused, *_ = as_table("f.py", [RIGHT, WRONG, REFUSED], colour=True).splitlines()
    assert bold == "\x1b[1mf.py\x1b[0m" and "\x1b[2mverdict" in header
    assert "\x1b[32mright          \x1b[0m" in right and "\x1b[31mwrong          \x1b[0m" in wrong
    assert "\x1b[33mcould not check\x1b[0m" in refused


def test_long_cells_are_cut():
    assert shortened("abcdefgh", 8) == "abcdefgh" and shortened("abcdefghi", 8) == "abcd ..."
    assert shortened("abc defghi", 8) == "abc ..." and one_line(" a\n  b\tc ") == "a b c"
    line = as_table("f.py", [Result("n" * 40, "wrong", "w" * 200, ["i" * 60])], colour=False).splitlines()[2]
    assert f"{'n' * 28} ..." in line and f"{'i' * 40} ..." in line and line.endswith(f"{'w' * 96} ...")


def test_the_json_of_a_file():
    found = json.loads(as_json("f.py", "wrong", [RIGHT, REFUSED]))
    assert found["file"] == "f.py" and found["verdict"] == "wrong"
    dense, loss = found["layers"]
    assert (dense["name"], dense["verdict"], dense["inputs"]) == ("Dense", "right", ["x (2, 3)", "W (3,)"])
    assert dense["report"]["entries"]["W"]["shape"] == [1] and dense["report"]["title"] == "Dense"
    assert loss["report"] is None is report_dict(None) and loss["reason"] == "forward needs t"
    assert np.isfinite(dense["report"]["max_error"])
