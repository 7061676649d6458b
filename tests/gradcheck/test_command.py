"""Test ``nnscratch gradcheck FILE.py:NAME``: exit codes, the report, and code that misbehaves."""

import json

import pytest

from nnscratch.cli import main

STUDENT = """
import sys
import time

import numpy as np

import nnscratch as nn

print("hello from the student's file")


class Good(nn.Tanh):
    pass


class Flipped(nn.Tanh):
    def backward(self, dy):
        return -super().backward(dy)


class Endless(nn.Tanh):
    def forward(self, x):
        time.sleep(60)


class Leaves(nn.Tanh):
    def forward(self, x):
        sys.exit(0)


class HasAChild(nn.Tanh):
    def forward(self, x):
        import subprocess

        subprocess.run(["sleep", "60"])


class Asks(nn.Tanh):
    def forward(self, x):
        return x * float(input("how much? "))


class Raises(nn.Tanh):
    def forward(self, x):
        raise ZeroDivisionError("oh")


class Takes(nn.Tanh):
    def __init__(self, size, *, depth):
        pass


def alone_forward(x):
    return x


class NeverTheSame(nn.Tanh):
    def forward(self, x):
        return super().forward(x) + np.random.default_rng().normal()


def make():
    return nn.Embedding(10, 3, rng=0)


def affine_forward(x, w):
    return x @ w, (x, w)


def affine_backward(dout, cache):
    x, w = cache
    return dout @ w.T, x.T @ dout / len(x)
"""


@pytest.fixture
def check(tmp_path, capfd):
    file = tmp_path / "student.py"
    file.write_text(STUDENT, encoding="utf-8")

    def run(name, *options):
        code = main(["gradcheck", f"{file}:{name}", *options])
        out, err = capfd.readouterr()
        assert "Traceback" not in out + err
        return code, out, err

    return run


def test_a_right_layer_gives_0_and_the_table(check):
    code, out, _ = check("Good")
    assert code == 0 and "right" in out and "hello" not in out


def test_a_wrong_layer_gives_1_and_the_diagnosis_also_for_machines(check):
    code, out, _ = check("Flipped", "--input", "3,2")
    assert code == 1 and "sign flipped" in out
    code, out, _ = check("Flipped", "--json")
    report = json.loads(out)
    assert code == 1 and report["verdict"] == "wrong"
    assert report["entries"]["x"]["diagnoses"][0]["mistake"] == "sign flipped"


def test_a_pair_of_functions_and_integer_inputs(check):
    code, out, _ = check("affine_forward", "--input", "5,3", "--input", "3,2")
    assert code == 1 and "scaled by a constant" in out
    assert check("make", "--input", "ids:2,3:10")[0] == 0


@pytest.mark.parametrize(
    ("name", "options", "why"),
    [
        ("Endless", ["--seconds", "1"], "not finished after 1 second"),
        ("HasAChild", ["--seconds", "1"], "not finished after 1 second"),
        ("Asks", [], "EOFError"),
        ("Leaves", [], "without a report"),
        ("Raises", [], "ZeroDivisionError: oh ("),
        ("Raises", [], ".py:"),  # the message names the line in the user's file
        ("Takes", [], "cannot tell how to call Takes: what is depth? Give --init with the arguments of Takes"),
        ("alone_forward", [], "alone_forward must return (loss, gradient) or (output, backward function)"),
        ("Nobody", [], "has no Nobody"),
        ("Good", ["--input", "big"], "must look like 4,5"),
    ],
)
def test_what_cannot_be_checked_gives_2_and_says_why(check, name, options, why):
    code, _, err = check(name, *options)
    assert code == 2 and why in err


@pytest.mark.parametrize(("name", "options"), [("Raises", []), ("Good", ["--input", "big"])])
def test_what_cannot_be_checked_has_a_report_for_machines(check, name, options):
    code, out, _ = check(name, *options, "--json")
    assert code == 2 and json.loads(out)["verdict"] == "could not check"


def test_a_verdict_that_cannot_be_given_is_2_with_the_report(check):
    code, out, _ = check("NeverTheSame")
    assert code == 2 and "different outputs for the same inputs" in out


def test_a_missing_file_or_name_is_said(check, capfd):
    assert main(["gradcheck", "nowhere.py:Layer"]) == 2
    assert "no such file: nowhere.py" in capfd.readouterr().err
    assert main(["gradcheck", "nowhere.py"]) == 2
    assert "no such file: nowhere.py" in capfd.readouterr().err
    assert main(["gradcheck", "nowhere"]) == 2
    assert "expected FILE.py or FILE.py:NAME" in capfd.readouterr().err
