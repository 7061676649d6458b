"""Test how the entry of one array is measured: by elements or along directions, and when noise and kinks count."""

import numpy as np
import pytest
from projections import differences_of, project

from nnscratch.gradcheck import entries
from nnscratch.gradcheck.differences import Differences
from nnscratch.gradcheck.entries import EntryChecker
from nnscratch.gradcheck.numerical import Derivative
from nnscratch.gradcheck.report import Diagnosis, GradientReport
from nnscratch.gradcheck.settings import Settings

X = np.array([1.0, -2.0, 3.0])
NAN, INF = float("nan"), float("inf")


def checked(analytic, forward=np.square, x=X, mode="full", seed=0, weights=None, itemsize=8, **settings):
    weights = np.ones(x.shape) if weights is None else weights
    differences = differences_of(forward, x.copy(), weights=weights, itemsize=itemsize)
    checker = EntryChecker(differences, Settings(mode=mode, **settings), np.random.default_rng(seed))
    array = differences.projection.variables["x"]
    entry = checker.entry("x", array, analytic)
    assert (array == x).all()
    return entry, checker


# --- gradients that cannot be compared -------------------------------------------------------------------------------


def test_a_small_array_is_measured_although_its_gradient_cannot_be_compared(monkeypatch):
    for limit, measured in ((3, True), (2, False)):
        monkeypatch.setattr(entries, "MAX_REFERENCE_SIZE", limit)
        for gradient in (np.ones(4), np.array([1.0, NAN, 1.0])):
            entry, _ = checked(gradient)
            assert entry.verdict == "wrong" and np.isfinite(entry.numeric).all() == measured


def test_directions_for_a_diagnosis_are_measured_only_if_there_is_one():
    for size, mode, diagnose, count in ((4, "directional", True, 3), (4, "directional", False, 0), (4, "full", True, 0),
                                        (3, "directional", True, 0)):  # fmt: skip
        _, checker = checked(np.ones(9), x=np.arange(1.0, size + 1), mode=mode, diagnose=diagnose)
        assert len(checker.directional.get("x", [])) == count


def test_an_array_as_small_as_the_number_of_directions_is_compared_by_elements():
    for size, directions, along in ((3, 2, True), (3, 3, False), (4, 3, True)):
        x = np.arange(1.0, size + 1)
        entry, _ = checked(2 * x, x=x, mode="directional", directions=directions)
        assert entry.along_directions is along and entry.checked == (directions if along else size)


# --- elements --------------------------------------------------------------------------------------------------------


def test_noise_is_measured_only_if_it_can_be_the_reason():
    _, checker = checked(2 * X)
    assert checker._noisy is None  # the gradient is right
    _, checker = checked(3 * X)
    assert checker._noisy is None  # the first step is accurate at all elements
    _, checker = checked(3 * X, lambda x: x**2 * [1, 1, 0])
    assert checker._noisy is False  # a derivative of zero may come from rounding
    _, checker = checked(3 * X, lambda x: np.sin(50 * x), itemsize=4)
    assert checker._noisy is not True  # in float32, the uncertainty contains the noise


def test_the_work_for_one_array_does_not_count_for_the_next():
    for x, mode in ((X, "full"), (np.arange(1.0, 31), "directional")):
        _, checker = checked(3 * x, x=x, mode=mode)
        checker.entry("x", checker.differences.projection.variables["x"], 3 * x)
        assert checker._noisy is None  # the first step is accurate for both


def test_the_noise_is_measured_once(monkeypatch):
    calls = []
    monkeypatch.setattr(entries, "is_noisy", lambda *arguments: bool(calls.append(0)))
    _, checker = checked(3 * X, lambda x: np.sin(50 * x))
    checker.entry("x", checker.differences.projection.variables["x"], 3 * X)
    assert len(calls) == 1


def rounded(x):
    return np.round(np.sin(x), 6)


def test_a_rounded_function_is_measured_with_larger_steps():
    entry, checker = checked(np.cos(X), rounded)
    assert entry.verdict != "wrong"
    assert checked(1.1 * np.cos(X), rounded)[0].verdict == "wrong"


def test_a_smooth_function_is_measured_with_the_complex_step():
    entry, checker = checked(np.cos(X), np.sin)
    assert entry.verdict == "right" and checker.differences.complex_step_used and entry.uncertainty.max() < 1e-14
    np.testing.assert_allclose(entry.numeric, np.cos(X), rtol=1e-15)


@pytest.mark.parametrize("forward, slope", [
    (lambda x: np.round(x, 3), np.ones_like),
    (lambda x: np.round(np.sin(3 * x), 7), lambda x: 3 * np.cos(3 * x)),
])  # fmt: skip
def test_a_right_gradient_of_a_noisy_function_is_not_wrong(forward, slope):
    for start in np.linspace(0.1, 2.9, 6):
        x = start + np.array([0.0, 0.3])
        assert checked(slope(x), forward, x)[0].verdict != "wrong"
        assert checked(-slope(x), forward, x)[0].verdict == "wrong"


@pytest.mark.parametrize("digits", [8, 9, 10])
def test_one_rounded_element_among_others(digits):
    first = np.arange(8) == 0
    forward = lambda x: np.where(first, np.round(np.sin(x), digits), 2 * x)  # noqa: E731
    for start in np.linspace(0.1, 2.9, 12):
        x = np.r_[start, np.arange(1.0, 8) / 3]
        assert checked(np.where(first, np.cos(x), 2.0), forward, x)[0].verdict == "right"


def test_the_noise_of_float32_is_part_of_the_uncertainty():
    forward = lambda x: np.round(np.sin(3 * x), 2)  # noqa: E731
    for start in np.linspace(0.1, 2.9, 12)[[0, 4, 7]]:
        x = start + np.array([0.0, 0.3])
        assert checked(3 * np.cos(3 * x), forward, x, itemsize=4)[0].verdict != "wrong"


def overlapping(x):
    """Two windows of a max pooling that overlap in x[1]."""
    return np.array([max(x[0], x[1]), max(x[1], x[2])])


def test_ties_of_overlapping_windows_are_right():
    # At a tie of all three, x[1] may be the maximum of the second window only: its gradient is 1 * 0 - 2 * 1.
    for given, verdict in (([1, -2, 0], "right"), ([0, 1, -2], "right"), ([1, -4, 0], "wrong")):
        entry, _ = checked(np.array(given, dtype=float), overlapping, np.ones(3), weights=[1, -2])
        assert entry.verdict == verdict


# --- directions ------------------------------------------------------------------------------------------------------

LONG = np.arange(1.0, 31)


def test_a_wrong_array_has_directions_for_a_diagnosis():
    for diagnose, count in ((True, 3), (False, 2)):
        entry, checker = checked(3 * LONG, x=LONG, mode="directional", diagnose=diagnose)
        assert entry.verdict == "wrong" and entry.checked == count == len(entry.numeric)
        assert len(checker.directional.get("x", [])) == (3 if diagnose else 0)
    entry, checker = checked(3 * LONG, x=LONG, mode="directional", directions=5)
    assert entry.checked == 5 == len(checker.directional["x"])


def test_noise_along_directions_is_measured_only_if_it_can_be_the_reason():
    assert checked(2 * LONG, x=LONG, mode="directional")[1]._noisy is None
    assert checked(3 * LONG, x=LONG, mode="directional")[1]._noisy is None
    assert checked(LONG, lambda x: 0 * x, LONG, "directional")[1]._noisy is not None


def test_a_rounded_function_is_measured_along_directions():
    forward = lambda x: np.round(np.sin(x), 5)  # noqa: E731
    entry, _ = checked(np.cos(LONG), forward, LONG, "directional")
    assert entry.verdict != "wrong" and entry.along_directions
    entry, _ = checked(1.5 * np.cos(LONG), forward, LONG, "directional")
    assert entry.verdict == "wrong"


def test_noise_without_a_derivative_gives_no_verdict():
    entry, _ = checked(LONG, lambda x: np.sin(1e12 * x), LONG, "directional")
    assert entry.verdict == "cannot tell"
    entry, _ = checked(np.ones(30), lambda x: np.round(x, 1), LONG, "directional")
    assert entry.verdict == "cannot tell" and "f changes as much over the smallest steps" in entry.reason


def test_the_largest_noise_along_the_directions_is_named():
    entry, _ = checked(np.ones(30), lambda x: np.round(x, 3), LONG, "directional")
    assert entry.verdict == "cannot tell" and f"vary by {entry.uncertainty.max():.1e}" in entry.reason


def relu(x):
    return np.maximum(x, 0)


SIGNS = np.where(np.arange(30) % 2, 1.0, -1.0)  # with both signs, 0 may lie outside the slopes along a direction


def test_kinks_on_a_direction_are_decided_by_single_elements():
    verdicts = [checked(np.zeros(30), relu, np.zeros(30), "directional", seed, SIGNS)[0] for seed in range(8)]
    assert "cannot tell" in {entry.verdict for entry in verdicts} <= {"right", "cannot tell"}
    for entry in verdicts:
        assert entry.along_directions is (entry.verdict == "right")
        if not entry.along_directions:
            assert entry.checked == 20 and "several kinks" in entry.reason and "20 elements" in entry.reason


def test_a_wrong_element_at_a_kink_is_wrong():
    entries_ = [checked(-SIGNS, relu, np.zeros(30), "directional", seed, SIGNS)[0] for seed in range(8)]
    assert any(entry.verdict == "wrong" and not entry.along_directions for entry in entries_)


def test_a_sample_of_all_elements_is_a_verdict():
    found = [checked(np.zeros(20), relu, np.zeros(20), "directional", seed, SIGNS[:20])[0] for seed in range(8)]
    assert {entry.verdict for entry in found} == {"right"} and not all(entry.along_directions for entry in found)


def directions(monkeypatch, *derivatives):
    """Replace the measured directions: element k alone has derivative number k."""
    pairs = [(np.eye(3)[k], d) for k, d in enumerate(derivatives)]
    monkeypatch.setattr(entries, "measure_directions", lambda d, array, count, rng: pairs[: max(count, 0)])


def test_a_derivative_of_zero_along_a_direction_may_come_from_rounding():
    for derivatives, noisy in (((0, -9), False), ((-9, 0), False), ((-9, -9), None)):
        with pytest.MonkeyPatch.context() as patch:
            directions(patch, *(Derivative(d, 0, d, d) for d in derivatives))
            assert checked(2 * X, mode="directional")[1]._noisy is noisy


def test_a_direction_that_needs_several_steps_may_be_noisy():
    for passes, noisy in ((8, None), (9, False)):
        with pytest.MonkeyPatch.context() as patch:
            directions(patch, *[Derivative(-9, 0, -9, -9)] * 2)
            measured = entries.measure_directions

            def counted(differences, *rest, passes=passes, measured=measured):
                differences.evaluations += passes
                return measured(differences, *rest)

            patch.setattr(entries, "measure_directions", counted)
            assert checked(2 * X, mode="directional")[1]._noisy is noisy


def test_a_smooth_direction_that_is_wrong_decides():
    with pytest.MonkeyPatch.context() as patch:
        kinked, wrong = Derivative(2.5, 0, 2.4, 2.6, True), Derivative(-9, 0, -9, -9)
        directions(patch, kinked, wrong)
        entry, checker = checked(2 * X, mode="directional")
        assert entry.verdict == "wrong" and entry.along_directions and "x" in checker.directional
    with pytest.MonkeyPatch.context() as patch:
        directions(patch, kinked, Derivative(-4, 0, -4, -4))
        entry, checker = checked(2 * X, mode="directional")
        assert entry.verdict == "right" and not entry.along_directions and checker.directional == {}


# --- wrong elements of an array without a diagnosis ------------------------------------------------------------------


def located(budget=300, diagnosed=False, gradient=None, monkeypatch=None):
    """Locate the wrong element of two arrays, and return the reasons of their entries."""
    projection = project(lambda x, w: x**2 + w**2, lambda dy, x, w: (x, w), LONG, LONG)
    projection.weights = (np.ones(30),)
    checker = EntryChecker(Differences(projection, 8, None), Settings(mode="directional"), np.random.default_rng(0))
    wrong = 2 * LONG
    wrong[7] += 50
    gradient, report = wrong if gradient is None else gradient, GradientReport("code")
    for name in "xw":
        report.entries[name] = checker.entry(name, projection.variables[name], gradient.copy())
    if diagnosed:
        report["x"].diagnoses.append(Diagnosis("a mistake", "evidence"))
    monkeypatch.setattr(entries, "LOCATE_BUDGET", budget)
    before = report["x"].reason
    checker.locate_unexplained(report)
    return [report[name].reason.removeprefix(before) for name in "xw"]


def test_a_wrong_element_is_located(monkeypatch):
    for reason in located(monkeypatch=monkeypatch):
        assert "only wrong element is [7] given 66, true 16" in reason


def test_an_array_with_a_diagnosis_is_not_searched(monkeypatch):
    x, w = located(diagnosed=True, monkeypatch=monkeypatch)
    assert x == "" and "[7]" in w


def test_the_search_ends_after_its_budget(monkeypatch):
    assert located(budget=0, monkeypatch=monkeypatch) == ["", ""]
    x, w = located(budget=1, monkeypatch=monkeypatch)
    assert "[7]" in x and w == ""


def test_gradients_of_the_wrong_shape_are_not_searched(monkeypatch):
    assert located(gradient=np.ones(31), monkeypatch=monkeypatch) == ["", ""]


@pytest.mark.parametrize(("mode", "constant"), [("full", 100), ("directional", 300)])
def test_a_small_gradient_in_float32_beside_a_large_constant(mode, constant):
    forward = lambda x: np.float32(constant) + np.sin(x.astype(np.float32))  # noqa: E731
    x = np.linspace(-1, 1, 9)
    g = np.cos(x)
    for given, verdict in ((g, "right"), (1.2 * g, "wrong"), (0.8 * g, "wrong")):
        assert checked(given, forward, x, mode, itemsize=4)[0].verdict == verdict


def test_round_off_that_hides_the_gradient_at_every_step():
    forward = lambda x: np.float32(1e5) + np.sin(x.astype(np.float32))  # noqa: E731
    assert checked(np.cos(X), forward, itemsize=4)[0].verdict == "cannot tell"
