"""Test the options of the command, and the exit codes and texts of its results, without a worker process."""

import argparse
import json
import os
import sys

import numpy as np
import pytest
from wrong_gradients import entry_of

from nnscratch.gradcheck import command
from nnscratch.gradcheck.command import (
    add_arguments,
    check_items,
    given_values,
    named_item,
    parse_value,
    read_source,
    report_all,
    report_one,
    run_gradcheck,
    split_subject,
)
from nnscratch.gradcheck.command.discover import Item
from nnscratch.gradcheck.command.drawing import Given
from nnscratch.gradcheck.command.judge import Result
from nnscratch.gradcheck.report import GradientReport, Trap


def parser():
    made = argparse.ArgumentParser()
    add_arguments(made)
    return made


def options(*texts):
    return parser().parse_args(["hw.py", *texts])


# --- options ---------------------------------------------------------------------------------------------------------


def test_the_defaults_of_the_options():
    found = vars(options())
    assert found == {"subject": "hw.py", "input": [], "shape": [], "arg": [], "init": None, "convention": [],
                     "seconds": 60, "seed": 0, "json": False}  # fmt: skip
    found = options("--seconds", "1.5", "--seed", "7", "--json")
    assert (found.seconds, found.seed, found.json) == (1.5, 7, True)
    with pytest.raises(SystemExit):
        options("--seed", "1.5")


@pytest.mark.parametrize(
    "text",
    ["FILE.py[:NAME]", "FILE.py:NAME for a layer", "--input 4,5", "shape of a random input", "--shape x=4,5",
     "shape of every argument with the name x", "--arg NAME=VALUE", "value of an argument", "--init 3,2",
     "the arguments of the constructor", "--convention [NAME=]mean", "'mean' if backward divides",
     "time limit for each layer (default: 60)", "random seed of the inputs (default: 0)", "print the report as JSON"],
)  # fmt: skip
def test_the_help_describes_each_option(text):
    assert text in " ".join(parser().format_help().split())


def test_the_values_of_the_options():
    found = given_values(
        options("--input", "2,3", "--input", "ids:4:9", "--shape", "x=4,5", "--shape", " w = ids:2:7", "--arg", "p=0.5",
                "--arg", "mode =train=1", "--convention", "mean", "--convention", "a:b=sum", "--init", "3,bias=False")
    )  # fmt: skip
    x, ids = found.inputs
    assert x.shape == (2, 3) and ids.shape == (4,) and ids.dtype.kind == "i"
    assert {name: shape.strip() for name, shape in found.shapes.items()} == {"x": "4,5", "w": "ids:2:7"}
    assert found.values == {"p": 0.5, "mode": "train=1"} and found.conventions == {"": "mean", "a:b": "sum"}
    assert (found.init, found.init_named) == ([3], {"bias": False})
    assert given_values(options()) == Given()
    (one,), (again,), (other,) = (given_values(options("--input", "3", "--seed", s)).inputs for s in "112")
    np.testing.assert_array_equal(one, again)
    assert not (one == other).any()


@pytest.mark.parametrize(
    "texts, why",
    [(["--shape", "4,5"], "--shape must look like x=4,5, got '4,5'"), (["--shape", "x=a"], "--shape x= must look like"),
     (["--arg", "p"], "--arg must look like NAME=VALUE, got 'p'"),
     (["--convention", "a=average"], "--convention must look like mean or NAME=mean, got 'a=average'")],
)  # fmt: skip
def test_a_value_of_another_form_is_refused(texts, why):
    with pytest.raises(ValueError) as caught:
        given_values(options(*texts))
    assert why in str(caught.value)


@pytest.mark.parametrize(
    "text, value",
    [("3", 3), ("true", True), ("null", None), ('{"s": [1, 2]}', {"s": [1, 2]}), ("True", True), ("None", None),
     ("(1, 2)", (1, 2)), ("{'s': 1}", {"s": 1}), ("relu", "relu"), ("", ""), ("1 +", "1 +")],
)  # fmt: skip
def test_values_are_json_or_python_or_text(text, value):
    assert parse_value(text) == value and type(parse_value(text)) is type(value)


# --- the file --------------------------------------------------------------------------------------------------------


@pytest.fixture
def folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "week:2").mkdir()
    for name in ("hw.py", "week:2/hw.py", "2:hw.py", "notebook"):
        (tmp_path / name).write_text("def relu_forward(x): ...\ndef relu_backward(dy, c): ...\n")
    return tmp_path


@pytest.mark.parametrize(
    "subject, path, name",
    [("hw.py", "hw.py", ""), ("hw.py:relu", "hw.py", "relu"), ("hw.py:f,g", "hw.py", "f,g"),
     ("week:2/hw.py", "week:2/hw.py", ""), ("week:2/hw.py:relu", "week:2/hw.py", "relu"), ("2:hw.py", "2:hw.py", ""),
     ("notebook", "notebook", ""), ("notebook:relu", "notebook", "relu")],
)  # fmt: skip
def test_a_subject_is_a_file_and_a_name(folder, subject, path, name):
    if os.name == "posix":  # a colon is not allowed in the name of a file on Windows
        assert split_subject(subject) == (path, name)


def test_other_subjects_are_refused(folder):
    for missing in ("other.py", "other.py:relu"):
        with pytest.raises(FileNotFoundError, match=r"no such file: other\.py"):
            split_subject(missing)
    for other in ("relu", "relu:hw", ":hw"):
        with pytest.raises(ValueError, match="expected FILE.py or FILE.py:NAME, got"):
            split_subject(other)


def test_the_source_of_a_file(tmp_path):
    path = tmp_path / "hw.py"
    path.write_bytes(b"x = 1  # caf\xe9\n")  # a comment in another encoding
    assert read_source(str(path)).startswith("x = 1")
    path.write_text("def f(:\n")
    with pytest.raises(SyntaxError):
        read_source(str(path))
    path.write_text("x = " + "-" * 100_000 + "1")
    with pytest.raises(ValueError, match=r"hw\.py cannot be read: (RecursionError|MemoryError)"):
        read_source(str(path))


def test_a_name_is_found_code_or_any_object():
    source = "def relu_forward(x): ...\ndef relu_backward(dy, c): ...\ndef tanh_forward(x): ...\n"
    assert named_item(source, "relu_forward") == Item("relu_forward", ["relu_forward", "relu_backward"])
    assert named_item(source, "make") == Item("make", ["make"])
    assert named_item(source, "tanh_forward") == Item("tanh_forward", ["tanh_forward"])  # it may return two functions
    assert named_item(source, "f, g") == Item("f, g", ["f", "g"])
    assert named_item(source, "f,g,cost").names == ["f", "g", "cost"]


# --- the results -----------------------------------------------------------------------------------------------------


class NoWorker:
    """A worker without a process. Its fault says how the check of each item ends."""

    made: list = []  # noqa: RUF012

    def __init__(self, module, path):
        self.path, self.failed, self.killed, self.limits, self.items = path, False, 0, [], []
        NoWorker.made.append(self)

    def set_limit(self, seconds):
        self.limits.append(seconds)

    def kill(self):
        self.killed += 1


def result(verdict):
    report = GradientReport("f", {"x": entry_of([1.0], [1.0], "x", worst_index=(0,))})
    if verdict == "could not check":
        return Result("f", verdict, "no such name")
    if verdict != "right":
        report.traps.append(Trap("a fault", "a message", verdict))
    return Result("f", verdict, "", ["x 1"], report)


@pytest.fixture
def checked(monkeypatch):
    """Replace the worker and the judge: the name of an item is its verdict."""

    def judge(worker, item, given, seed):
        worker.items.append((item.label, seed))
        worker.failed = item.label.startswith("could not")
        if item.label == "interrupted":
            raise KeyboardInterrupt
        return result(item.label)

    NoWorker.made = []
    monkeypatch.setattr(command, "Worker", NoWorker)
    monkeypatch.setattr(command, "judge", judge)
    return NoWorker.made


def items(*labels):
    return [Item(label, [label]) for label in labels]


def test_one_process_checks_all_items_until_it_fails(checked):
    found = check_items("hw.py", items("right", "wrong", "could not check", "right"), Given(), options("--seed", "3"))
    assert [r.verdict for r in found] == ["right", "wrong", "could not check", "right"]
    first, second = checked
    assert first.items == [("right", 3), ("wrong", 3), ("could not check", 3)] and second.items == [("right", 3)]
    assert first.limits == [60] * 3 and first.killed == 1 == second.killed and first.path == "hw.py"


def test_the_process_ends_also_after_an_interrupt(checked):
    with pytest.raises(KeyboardInterrupt):
        check_items("hw.py", items("right", "interrupted"), Given(), options())
    assert checked[0].killed == 1


EXITS = [("right", 0), ("wrong", 1), ("cannot tell", 2), ("incomplete", 2)]


@pytest.mark.parametrize(("verdict", "code"), EXITS)
def test_the_exit_code_of_one_layer(verdict, code, capsys):
    assert report_one(options(), result(verdict)) == code
    assert verdict in capsys.readouterr().out
    assert report_one(options("--json"), result(verdict)) == code
    found = json.loads(capsys.readouterr().out)
    assert found["verdict"] == verdict and found["entries"]["x"]["name"] == "x"


def test_a_layer_that_could_not_be_checked(capsys):
    assert report_one(options(), result("could not check")) == 2
    out, err = capsys.readouterr()
    assert out == "" and err == "nnscratch gradcheck: could not check hw.py: no such name\n"
    assert report_one(options("--json"), result("could not check")) == 2
    assert json.loads(capsys.readouterr().out) == {"verdict": "could not check", "reason": "no such name"}


@pytest.mark.parametrize(
    ("verdicts", "worst", "code"),
    [(["right", "right"], "right", 0), (["right", "could not check"], "could not check", 2),
     (["could not check", "cannot tell", "right"], "cannot tell", 2), (["cannot tell", "incomplete"], "incomplete", 2),
     (["incomplete", "right", "wrong", "could not check"], "wrong", 1)],
)  # fmt: skip
def test_the_exit_code_of_a_file_is_that_of_its_worst_layer(verdicts, worst, code, capsys):
    results = [result(v) for v in verdicts]
    assert report_all(options(), "hw.py", results) == code
    assert capsys.readouterr().out.startswith("hw.py\n")
    assert report_all(options("--json"), "hw.py", results) == code
    assert json.loads(capsys.readouterr().out)["verdict"] == worst


def test_a_table_is_coloured_on_a_terminal_unless_the_user_wants_no_colour(capsys, monkeypatch):
    def printed():
        report_all(options(), "hw.py", [result("right")])
        return capsys.readouterr().out

    monkeypatch.delenv("NO_COLOR", raising=False)
    assert "\x1b[" not in printed()
    monkeypatch.setattr(sys.stdout, "isatty", lambda: True)
    assert "\x1b[" in printed()
    monkeypatch.setenv("NO_COLOR", "1")
    assert "\x1b[" not in printed()


# --- the whole command -----------------------------------------------------------------------------------------------


def test_a_file_has_a_table_and_a_name_has_a_report(checked, tmp_path, capsys):
    path = tmp_path / "hw.py"
    path.write_text(
        "def right(x): ...\ndef right_backward(dy, c): ...\ndef wrong(x): ...\ndef wrong_backward(dy): ...\n"
    )
    assert run_gradcheck(parser().parse_args([str(path)])) == 1
    assert "2 checked: 1 right, 1 wrong" in capsys.readouterr().out
    assert run_gradcheck(parser().parse_args([f"{path}:right"])) == 0
    assert "checked:" not in capsys.readouterr().out


def test_the_time_limit_is_a_number_above_zero(checked, tmp_path):
    path = tmp_path / "hw.py"
    path.write_text("def right(x): ...\ndef right_backward(dy, c): ...\n")
    for seconds in ("0", "-1", "inf", "nan"):
        with pytest.raises(ValueError, match="seconds must be a finite number above 0, got"):
            run_gradcheck(parser().parse_args([str(path), f"--seconds={seconds}"]))
    assert run_gradcheck(parser().parse_args([str(path), "--seconds", "0.5"])) == 0 and checked[0].limits == [0.5]


@pytest.mark.parametrize(
    ("source", "texts", "why"),
    [("x = 1\n", [], "has nothing to check"), ("def f(:\n", [], "SyntaxError: "), (None, [], "no such file"),
     ("def right(x): ...\ndef right_backward(dy, c): ...\n", ["--shape", "x"], "ValueError: --shape must look like")],
)  # fmt: skip
def test_a_file_that_cannot_be_checked(checked, tmp_path, capsys, source, texts, why):
    path = tmp_path / "hw.py"
    if source is not None:
        path.write_text(source)
    assert run_gradcheck(parser().parse_args([str(path), *texts])) == 2
    assert why in capsys.readouterr().err and not checked
    assert run_gradcheck(parser().parse_args([str(path), *texts, "--json"])) == 2
    assert why in json.loads(capsys.readouterr().out)["reason"]
