"""Test the second check, with random numbers in place of arrays that are zero everywhere."""

from types import SimpleNamespace

import numpy as np
import pytest
from wrong_gradients import entry_of

from nnscratch.gradcheck.report import GradientReport
from nnscratch.gradcheck.snapshot import Snapshot
from nnscratch.gradcheck.zero_arrays import check_without_zeros


def entries(gradients, verdict="right"):
    made = {name: entry_of(g, np.zeros(np.shape(g)), name) for name, g in gradients.items()}
    for entry in made.values():
        entry.verdict = verdict
    return made


def checked(gradients, second="right", verdict="right", parameters=None, inputs=None, held_in=None):
    """Run the second check. Return its report, the first report, the arrays that it saw, and the adapter."""
    parameters = {"W": np.zeros((2, 2))} if parameters is None else parameters
    inputs = {"x": np.ones(2)} if inputs is None else inputs
    held = {**parameters, **inputs}
    adapter = SimpleNamespace(parameters=lambda: parameters, float_inputs=lambda: inputs, notes=["a note of the check"],
                              source=[parameters], inputs=tuple(inputs.values()), targets=())  # fmt: skip
    report = GradientReport("code", entries(gradients, verdict), notes=["a note"])
    start = Snapshot(parameters if held_in is None else held_in, tuple(inputs.values()))
    before, seen = {name: a.copy() for name, a in held.items()}, []

    def check(start):
        assert isinstance(start, Snapshot) and {id(a) for a in start.arrays()} == {id(a) for a in held.values()}
        seen.append({name: a.copy() for name, a in held.items()})
        parameters["W"] += 1  # a check leaves its own changes
        inputs["x"] += 1
        if second == "error":
            raise ZeroDivisionError
        return GradientReport("code", entries({"W": np.ones((2, 2))}, second))

    given = check_without_zeros(report, adapter, start, ["old note"], check)
    assert all((held[name] == before[name]).all() for name in held)
    return given, report, seen, adapter


ZERO = {"W": np.ones((2, 2)), "x": np.zeros(2)}  # the gradient of x is W dy, and W is zero


def test_an_array_of_zeros_is_replaced_by_random_numbers():
    given, report, (seen,), adapter = checked(ZERO)
    assert given is report and report.notes[0] == "a note" and adapter.notes == ["old note"]
    assert "W: zero everywhere, so the gradient of x is zero; the gradients are also right" in report.notes[1]
    assert ((0.2 <= seen["W"]) & (seen["W"] <= 0.8)).all() and len(set(seen["W"].ravel())) == 4
    assert seen["x"].tolist() == [1, 1]


def test_a_wrong_second_report_replaces_the_first():
    for second in ("wrong", "incomplete"):
        given, report, _, _ = checked(ZERO, second)
        assert given is not report and given.verdict == second and report.notes == ["a note"]
        assert "W: zero everywhere" in given.notes[0] and "random numbers in place of the zeros" in given.notes[0]


def test_a_second_check_without_a_result_keeps_the_first_report():
    given, report, seen, _ = checked(ZERO, "cannot tell")
    assert given is report and report.notes == ["a note"] and len(seen) == 1
    given, report, seen, _ = checked(ZERO, "error")
    assert given is report and report.ok and len(seen) == 1 and "ZeroDivisionError" in report.notes[1]


def test_an_array_that_the_snapshot_does_not_hold_becomes_zero_again():
    assert len(checked(ZERO, held_in=())[2]) == 1  # as the array in which the adapter keeps a Python number


def test_the_first_check_may_leave_other_values():
    W, notes = np.zeros((2, 2)), ["a note"]
    adapter = SimpleNamespace(parameters=lambda: {"W": W}, float_inputs=dict, notes=notes, source=[W], inputs=(),
                              targets=())  # fmt: skip
    report = GradientReport("code", entries({"W": np.zeros((2, 2))}), notes=notes)
    start, seen = Snapshot([W]), []
    W += 1
    check_without_zeros(report, adapter, start, [], lambda state: seen.append(W.copy()) or report)
    assert len(seen) == 1 and seen[0].max() < 1  # W is zero in the state before the first check
    assert report.notes[0] == "a note" and adapter.notes == []  # the notes of the first report are kept apart


@pytest.mark.parametrize("gradients, options", [
    ({"W": np.ones((2, 2)), "x": np.ones(2)}, {}),  # no gradient is zero
    ({"W": np.ones((2, 2)), "x": np.array([0.0, 1.0])}, {}),
    (ZERO, {"verdict": "wrong"}),
    (ZERO, {"verdict": "cannot tell"}),
    (ZERO, {"parameters": {"W": np.eye(2)}}),  # no array is zero
    (ZERO, {"parameters": {"W": np.zeros((0, 2))}}),
    ({"x": np.zeros(2)}, {}),  # W was not compared
])  # fmt: skip
def test_checks_that_are_not_repeated(gradients, options):
    given, report, seen, adapter = checked(gradients, **options)
    assert given is report and seen == [] and report.notes == ["a note"] and adapter.notes == ["a note of the check"]


def test_a_read_only_array_stays_zero():
    W = np.zeros((2, 2))
    W.flags.writeable = False
    given, report, seen, _ = checked(ZERO, parameters={"W": W})
    assert given is report and seen == []


def test_an_input_of_zeros_is_replaced_too():
    _, report, (seen,), _ = checked({"W": np.zeros((2, 2)), "x": np.ones(2)}, inputs={"x": np.zeros(2)})
    assert (seen["x"] != 0).all() and (seen["W"] != 0).all()
    assert "W, x: zero everywhere, so the gradient of W is zero" in report.notes[1]
