"""Test when a gradient that leaves out a small constant is excused."""

import numpy as np
import pytest
from projections import project
from wrong_gradients import entry_of

from nnscratch.gradcheck.differences import Differences
from nnscratch.gradcheck.entries import EntryChecker
from nnscratch.gradcheck.report import GradientReport
from nnscratch.gradcheck.settings import Settings
from nnscratch.gradcheck.small_constants import ConstantsLeftOut, agrees, excuse_small_constants, is_small

X = np.array([0.01, 0.5, 2.0])


def log(x):
    return np.log(x + 1e-7)


def without_constant(dy, x):
    return dy / x


def checked(forward, backward, *inputs, mode="full", itemsize=8):
    """Check each array, and excuse small constants. Return the report, the checker and the first verdicts."""
    projection = project(forward, backward, *inputs)
    checker = EntryChecker(Differences(projection, 8, None), Settings(mode=mode), np.random.default_rng(0))
    report, given = GradientReport("code"), projection.analytic()
    for name, array in projection.variables.items():
        report.entries[name] = checker.entry(name, array, given[name])
    first = [entry.verdict for entry in report]
    checker.differences.itemsize = itemsize
    excuse_small_constants(report, projection, checker)
    return report, checker, first


@pytest.fixture(autouse=True)
def steps_may_leave_the_domain():
    with np.errstate(invalid="ignore", divide="ignore"):
        yield


@pytest.mark.parametrize("mode", ["full", "sampled", "directional"])
def test_a_small_constant_may_be_left_out(mode):
    report, _, first = checked(log, without_constant, X, mode=mode)
    assert first == ["wrong"] and report["x"].verdict == "right"
    (note,) = report.notes
    assert note.startswith("x: right if small constants are left out (") and "np.log(x + 1e-7)" not in note
    assert "test_small_constants.py" in note and "x + 1e-7" in note and note[-7:] in ("1.0e-05", "9.9e-06")


def test_the_report_counts_the_forward_passes_of_the_excuse(monkeypatch):
    before = []
    monkeypatch.setattr(ConstantsLeftOut, "__init__", lambda self: setattr(self, "places", before.append(1) or []))
    projection = project(log, without_constant, X)
    checker = EntryChecker(Differences(projection, 8, None), Settings(), np.random.default_rng(0))
    report = GradientReport("code", {"x": checker.entry("x", projection.variables["x"], projection.analytic()["x"])})
    passes = checker.differences.evaluations
    excuse_small_constants(report, projection, checker)
    assert report["x"].verdict == "right" and checker.differences.evaluations >= passes + 4 * 3


def test_a_right_array_has_no_note():
    forward = lambda x, w: np.log(x + 1e-7) + np.log(w + 1e-7)  # noqa: E731
    report, _, first = checked(forward, lambda dy, x, w: (dy / x, dy / (w + 1e-7)), X, X.copy())
    assert first == ["wrong", "right"] and [entry.verdict for entry in report] == ["right", "right"]
    assert len(report.notes) == 1 and report.notes[0].startswith("x: ")


def test_backward_may_have_another_small_constant():
    report, _, first = checked(log, lambda dy, x: dy / (x + 1e-6), X)
    assert first == ["wrong"] and report["x"].verdict == "right"


def test_a_constant_that_changes_the_gradient_much_gives_no_verdict():
    # 1 / (x + c) differs from 1 / x by the part c / (x + c): 0.99 % for x = 100 c, and 1.1 % for x = 90 c
    for x, verdict in ((1e-5, "right"), (0.9e-5, "cannot tell")):
        report, _, _ = checked(log, without_constant, np.array([x, 2e-5]))
        assert report["x"].verdict == verdict and len(report.notes) == (verdict == "right")
    assert "x + 1e-7" in report["x"].reason and "the relative error is 1%" in report["x"].reason


def test_another_mistake_stays_wrong():
    for backward in (lambda dy, x: 2 * dy / x, lambda dy, x: dy / x * [1, 1, 1.001], lambda dy, x: dy / x**2):
        report, _, _ = checked(log, backward, X)
        assert report["x"].verdict == "wrong" and report.notes == []


def test_each_array_is_excused_alone():
    forward = lambda x, w: np.log(x + 1e-7) * w  # noqa: E731
    backward = lambda dy, x, w: (dy * w / x, 3 * dy)  # noqa: E731
    report, _, _ = checked(forward, backward, X, np.ones(3))
    assert [entry.verdict for entry in report] == ["right", "wrong"] and len(report.notes) == 1


def test_code_without_small_constants_keeps_its_verdict():
    for forward in (np.log, lambda x: np.log(x + 2e-5), lambda x: np.log(1e-7 * x)):
        report, checker, first = checked(forward, lambda dy, x: 1.01 * dy / x, X)
        assert first == ["wrong"] and report["x"].verdict == "wrong" and report.notes == []


def test_code_that_needs_plain_arrays_keeps_its_verdict():
    def forward(x):
        if type(x) is not np.ndarray:
            raise TypeError("only arrays")
        return log(x)

    report, _, _ = checked(forward, without_constant, X)
    assert report["x"].verdict == "wrong"


def test_a_check_in_float32_excuses_nothing():
    report, _, _ = checked(log, without_constant, X, itemsize=4)
    assert report["x"].verdict == "wrong"


def test_gradients_that_cannot_be_compared_are_not_excused():
    report, _, _ = checked(log, lambda dy, x: dy[:2] / x[:2], X)
    assert report["x"].verdict == "wrong" and report.notes == []


def test_a_note_shows_three_lines():
    def forward(x):
        a = x + 1e-7
        a = a + 2e-7
        a = a + 3e-7
        return np.log(a + 4e-7)

    (note,) = checked(forward, without_constant, X)[0].notes
    assert all(f"{k}e-7" in note for k in (1, 2, 3)) and "4e-7" not in note and note.count(";") == 3


# --- single functions ------------------------------------------------------------------------------------------------


def test_small_numbers():
    assert all(map(is_small, (1e-5, -1e-7, 1e-300, np.float32(1e-6), np.float64(-1e-5))))
    assert not any(map(is_small, (0.0, 1.1e-5, -1.0, 0, 1, np.array(1e-7), None, False)))


def test_only_sums_leave_constants_out():
    watcher, x = ConstantsLeftOut(), np.ones(2)
    compute = lambda *operands: operands  # noqa: E731
    assert watcher.operation("add", compute, [x, 0.5], {})[1] == 0.5 and watcher.places == []
    assert watcher.operation("multiply", compute, [x, 1e-7], {})[1] == 1e-7 and watcher.places == []
    for name in ("add", "subtract"):
        assert watcher.operation(name, compute, [x, 1e-7], {})[1] == 0.0
        assert watcher.operation(name, compute, [1e-7, x], {})[0] == 0.0
    assert len(watcher.places) == 2 and all("test_small_constants.py" in place for place in watcher.places)


def test_all_measured_elements_must_agree():
    projection = project(np.log, without_constant, X.copy(), weights=np.ones(3))
    checker = EntryChecker(Differences(projection, 8, None), Settings(), np.random.default_rng(0))
    entry = entry_of(1 / X, [1.0, np.nan, 1.0], "x", worst_index=(2,))
    for factors, expected in (([1, 1, 1], True), ([1, 2, 1], True), ([2, 1, 1], False), ([1, 1, 2], False)):
        assert agrees(entry, factors / X, checker) is expected
    entry.along_directions = True
    assert agrees(entry, 1 / X, checker) and not agrees(entry, [1, 2, 1] / X, checker)
