"""Test check_gradients and Check: the defaults, and what each step adds to the report."""

import itertools
from types import SimpleNamespace

import numpy as np
import pytest

import nnscratch as nn
from nnscratch.gradcheck import check_gradients, checker, diagnosis
from nnscratch.gradcheck.checker import WIDENED

X = np.array([0.5, -1.0, 2.0])


def square(x):
    return x**2


def square_backward(dy, x):
    return 2 * dy * x


SQUARE = (square, square_backward)
FLIPPED = (square, lambda dy, x: -2 * dy * x)


def kinds(report):
    return [(trap.kind, trap.severity) for trap in report.traps]


class Scale:
    """y = w x, with the gradient of w in ``dw``."""

    def __init__(self, w=(3.0, 4.0, 5.0)):
        self.w = np.array(w)

    def forward(self, x):
        self.x = x
        return x * self.w

    def backward(self, dy):
        self.dw = dy * self.x
        return dy * self.w


# --- the options -----------------------------------------------------------------------------------------------------


def test_the_default_numbers_of_samples_and_directions():
    x = np.linspace(1, 2, 30)
    assert check_gradients(SQUARE, x, mode="sampled")["x"].checked == 20
    assert check_gradients(SQUARE, x, mode="directional")["x"].checked == 2
    assert check_gradients(SQUARE, x)["x"].checked == 30


def test_the_default_generator_has_the_seed_0():
    along = [check_gradients(SQUARE, X, mode="directional", **options)["x"].analytic.tolist()
             for options in ({}, {"rng": 0}, {"rng": 1})]  # fmt: skip
    assert along[0] == along[1] != along[2]


def test_a_wrong_gradient_has_a_diagnosis_by_default():
    assert check_gradients(FLIPPED, X)["x"].diagnosis.mistake == "sign flipped"
    assert check_gradients(FLIPPED, X, diagnose=False)["x"].diagnoses == []


def test_only_the_chosen_arrays_are_compared():
    assert list(check_gradients(Scale(), X).entries) == ["w", "x"]
    for only in (["x"], ["w"]):
        assert list(check_gradients(Scale(), X, only=only).entries) == only
    with pytest.raises(ValueError, match=r"unknown names: \['v'\]; the arrays are w, x"):
        check_gradients(Scale(), X, only=["x", "v"])


def test_code_without_float_arrays_is_refused():
    with pytest.raises(ValueError, match="forward has no parameters, and there are no float arrays among its inputs"):

        def forward(x):
            return x * 1.5

        check_gradients((forward, lambda dy, x: None), np.arange(3))


# --- before and after the check --------------------------------------------------------------------------------------


def test_the_code_is_restored_and_the_check_is_timed(monkeypatch):
    ticks = iter([5.0, 8.5])
    monkeypatch.setattr(checker, "time", SimpleNamespace(perf_counter=lambda: next(ticks)))
    layer = Scale()
    assert check_gradients(layer, X).seconds == 3.5
    assert list(vars(layer)) == ["w"]


def test_steps_out_of_the_domain_give_no_warning():
    assert check_gradients((np.log, lambda dy, x: dy / x), np.array([1.0, 1e-6])).ok


def test_a_number_among_the_weights_is_checked():
    layer = Scale(2.0)
    layer.w = 2.0
    layer.backward = lambda dy: (setattr(layer, "dw", (dy * layer.x).sum()), dy * layer.w)[1]
    assert list(check_gradients(layer, X).entries) == ["w", "x"]


def test_the_report_has_the_notes_of_the_adapter_and_the_mode():
    def forward(x):
        return x**2, x.sum(), x

    def backward(dy, cache):
        return 2 * dy * cache

    report = check_gradients((forward, backward), X, mode="sampled")
    assert any("1 of 2 outputs" in note for note in report.notes) and report.mode == "sampled"


# --- forward ---------------------------------------------------------------------------------------------------------


def test_a_forward_that_cannot_be_repeated():
    count = itertools.count()
    report = check_gradients((lambda x: x + next(count), lambda dy, x: dy), X)
    assert kinds(report) == [("not deterministic", "cannot tell")] and report.verdict == "cannot tell"
    assert len(report) == 0 and report.mode == "full"


def test_random_numbers_and_states_are_replayed():
    rng = np.random.default_rng(0)

    def forward(x):
        mask = rng.uniform(size=x.shape)
        return x * mask, mask

    report = check_gradients((forward, lambda dy, mask: dy * mask), X)
    assert report.ok and len(report.notes) == 1 and "random numbers" in report.notes[0]

    class Counts(Scale):
        t = 0

        def forward(self, x):
            self.t += 1
            return super().forward(x) + x / self.t

        def backward(self, dy):
            return super().backward(dy) + dy / self.t

    report = check_gradients(Counts(), X)
    assert report.ok and len(report.notes) == 1 and "keeps state" in report.notes[0]
    assert check_gradients(SQUARE, X).notes == []


def test_outputs_that_are_not_finite_end_the_check():
    def forward(x):
        return x[::-1], x * np.nan

    report = check_gradients((forward, lambda dy, dz, x: dy[::-1] + np.nan * dz), X)
    assert kinds(report) == [("output aliases an input", "note"), ("not finite", "cannot tell")]
    assert len(report) == 0 and report.evaluations == 0


def test_a_note_about_forward_does_not_end_the_check():
    report = check_gradients((lambda x: x[::-1], lambda dy, x: dy[::-1]), X)
    assert kinds(report) == [("output aliases an input", "note")] and report.ok and len(report) == 1


def test_the_number_of_forward_passes():
    assert check_gradients(SQUARE, X).evaluations > 3


# --- backward --------------------------------------------------------------------------------------------------------


def test_a_backward_that_writes_into_dy():
    def backward(dy, x):
        dy *= 2
        return dy * x

    assert kinds(check_gradients((square, backward), X)) == [("backward writes into dy", "note")]


def test_a_backward_that_calls_forward_often():
    def backward(dy, x):
        return np.array([(square(x + h) - square(x - h)) @ dy for h in 1e-6 * np.eye(3)]) / 2e-6

    traps = kinds(check_gradients((square, backward), X))
    assert traps[0] == ("finite differences in backward", "incomplete")


class Overwrites(nn.Module):
    def __init__(self):
        self.w = nn.Parameter(np.array([2.0]))

    def forward(self, x):
        self.save_for_backward(x)
        return x * self.w.data

    def backward(self, dy):
        (x,) = self.saved()
        self.w.grad[...] = (dy * x).sum()
        return dy * self.w.data


def test_a_module_that_overwrites_a_gradient():
    assert kinds(check_gradients(Overwrites(), X)) == [("gradient overwritten", "wrong")]


class KeepsTheFirst(Scale):
    def forward(self, x):
        if not hasattr(self, "x"):
            self.x = x
        return x * self.w


def test_a_stale_cache_is_found_beside_other_traps():
    stale = ("stale cache", "wrong")
    assert stale in kinds(check_gradients(KeepsTheFirst(), X))

    class WithAWrongShape(KeepsTheFirst):
        def backward(self, dy):
            return super().backward(dy)[:, None]

    assert stale in kinds(check_gradients(WithAWrongShape(), X))

    class AndUpdates(KeepsTheFirst):
        def backward(self, dy):
            dx = super().backward(dy)
            self.w -= 0.1 * self.dw
            return dx

    traps = kinds(check_gradients(AndUpdates(), X))
    assert traps == [("backward writes into its input", "note"), stale]


def test_no_search_for_a_stale_cache_if_backward_changes_its_input():
    class Writes(Scale):
        def backward(self, dy):
            dx = super().backward(dy).astype("f")
            self.x += 1
            return dx

    traps = kinds(check_gradients(Writes(), X))
    assert sorted(traps) == [("backward writes into its input", "wrong"), ("wrong dtype", "note")]


class Updates(Scale):
    """A layer that updates w at the end of backward, or before the last gradient, which is then wrong."""

    def __init__(self, before):
        super().__init__()
        self.before = before

    def backward(self, dy):
        dx = super().backward(dy)
        self.w -= 0.5 * self.dw
        return dy * self.w if self.before else dx


def test_an_update_is_wrong_if_a_gradient_is_wrong():
    report = check_gradients(Updates(before=True), X)
    assert report["w"].verdict == "right" and report["x"].verdict == "wrong"
    assert ("backward writes into its input", "wrong") in kinds(report)
    report = check_gradients(Updates(before=False), X)
    assert ("backward writes into its input", "note") in kinds(report)


def test_other_notes_stay_notes_if_a_gradient_is_wrong():
    def backward(dy, x):
        dy *= -2
        return dy * x

    report = check_gradients((square, backward), X)
    assert report["x"].verdict == "wrong" and kinds(report) == [("backward writes into dy", "note")]


# --- what the check misses -------------------------------------------------------------------------------------------


class Shifted(Scale):
    def __init__(self):
        super().__init__()
        self.bias = np.ones(3)

    def forward(self, x):
        return super().forward(x) + self.bias


def test_a_default_of_a_method_that_a_subclass_overrides():
    # The constructors of Scale and Shifted have different defaults. The search for gradients must change the right one.
    report = check_gradients(Shifted(), X)
    assert list(report.entries) == ["w", "x"] and report["w"].verdict == "right"


def test_the_gradient_of_x_may_be_the_weight():
    class Dot:
        def __init__(self):
            self.w = X + 5

        def forward(self, x):
            self.x = x
            return (x * self.w).sum()

        def backward(self):
            self.dw = 1.0 * self.x
            return self.w

    report = check_gradients(Dot(), X)
    assert report.ok and list(report.entries) == ["w", "x"]


def test_an_array_without_a_gradient():
    assert kinds(check_gradients(Shifted(), X)) == [("no gradient found", "incomplete")]
    report = check_gradients(Shifted(), X, only=["x"])
    assert report.ok and report.traps == [] and any("self.bias" in note for note in report.notes)


def test_an_input_without_a_gradient():
    report = check_gradients((lambda x, t: ((x - t) ** 2).sum(), lambda x, t: 2 * (x - t)), X, np.ones(3))
    assert list(report.entries) == ["x"] and report.ok
    assert report.notes == ["t: the code gives no gradient for it, so it was not checked"]


def test_a_forward_that_is_not_written_yet():
    report = check_gradients((lambda x: np.zeros(3), lambda dy, x: 0 * x), X)
    assert kinds(report) == [("constant output", "incomplete")]


def in_float32(x):
    """Return a float32 copy of `x`, as a compiled function may do: the checker cannot make it float64."""
    return np.multiply(x, 1, dtype="f", casting="unsafe")


def measures(factor, cast=lambda y: y):
    """Return tanh, and a backward that measures its derivative."""
    h = 1e-5 if cast not in (np.float32, in_float32) else 1e-3
    return (lambda x: cast(np.tanh(x)),
            lambda dy, x: factor * dy * (np.tanh(x + h) - np.tanh(x - h)) / (2 * h))  # fmt: skip


def test_a_backward_that_measures_is_a_trap_only_if_its_gradients_are_right():
    assert len(kinds(check_gradients(measures(1), X))) == 1
    assert kinds(check_gradients(measures(2), X)) == []
    assert len(kinds(check_gradients(measures(1, np.float32), X))) == 1  # the checker makes this code run in float64
    report = check_gradients(measures(1, in_float32), X)
    assert report["x"].verdict == "right" and kinds(report) == []


def test_a_gradient_that_is_zero_everywhere():
    layer = Scale()
    layer.bias = np.ones(3)
    layer.forward = lambda x: Scale.forward(layer, x) + layer.bias
    layer.backward = lambda dy: (setattr(layer, "dbias", dy), Scale.backward(layer, dy))[1]
    report = check_gradients(layer, np.zeros(3))
    assert kinds(report) == [("zero gradient", "note")] and "gradient of w is zero" in report.traps[0].message
    assert check_gradients(layer, np.array([0.0, 1.0, 2.0])).traps == []  # only one element is zero


def test_a_zero_gradient_of_an_input_or_a_wrong_one_needs_no_trap():
    layer = Scale()
    layer.forward = lambda x: layer.w + 0 * x
    layer.backward = lambda dy: (setattr(layer, "dw", +dy), 0 * dy)[1]
    assert check_gradients(layer, X).traps == []
    layer = Scale()
    layer.backward = lambda dy: (setattr(layer, "dw", 0 * dy), dy * layer.w)[1]
    report = check_gradients(layer, X)
    assert report["w"].verdict == "wrong" and report.traps == []


def test_a_drift_of_the_outputs(monkeypatch):
    assert check_gradients(SQUARE, X).traps == []
    monkeypatch.setattr(checker.Differences, "has_drifted", lambda self: True)
    assert kinds(check_gradients(SQUARE, X)) == [("state has drifted", "cannot tell")]


# --- the comparison --------------------------------------------------------------------------------------------------


def test_the_method_of_the_report():
    assert check_gradients(SQUARE, X).method == "complex step in float64, confirmed by central differences"
    report = check_gradients((np.cbrt, lambda dy, x: dy / (3 * np.cbrt(x) ** 2)), X)
    assert report.ok and report.method == "central differences in float64" and report.notes == []
    report = check_gradients((lambda x: (x**2).astype("f"), square_backward), X)
    assert report.ok and report.method == "central differences in float64" and report.notes == [WIDENED]
    report = check_gradients((lambda x: in_float32(x**2), square_backward), X)
    assert report.ok and report.method == "central differences in float32"
    assert len(report.notes) == 1 and report.notes[0].endswith(
        "tolerances were used: the check misses an error below 1 %"
    )


class Bar:
    def __init__(self, total):
        self.total, self.steps, self.closed = total, 0, False

    def update(self):
        self.steps += 1

    def close(self):
        self.closed = True


def test_the_progress_bar_counts_the_elements(monkeypatch):
    bars = []
    monkeypatch.setattr(checker, "progress_bar", lambda elements, seconds: bars.append(Bar(elements)) or bars[-1])
    w = np.ones(2)
    report = check_gradients((lambda x, w, t: ((x - t) ** 2).sum() + w.sum(), lambda x, w, t: (2 * (x - t), 0 * w + 1)),
                             X, w, np.ones(3))  # fmt: skip
    assert list(report.entries) == ["x", "w"]
    assert [(bar.total, bar.steps, bar.closed) for bar in bars] == [(5, 5, True)]
    check_gradients(SQUARE, X, mode="sampled")
    assert len(bars) == 1


def test_a_gradient_of_several_units_at_their_kinks_is_right():
    # relu(2 x) - relu(-x) has the one-sided derivatives 2 and 1. With a slope of 0 in both units, the gradient is 0.
    w, signs = np.array([[2.0, -1.0]]), np.array([1.0, -1.0])

    def forward(x):
        z = x @ w
        return np.maximum(z, 0) @ signs, z

    assert check_gradients((forward, lambda dy, z: (dy * signs * (z > 0)) @ w.T), np.zeros(1)).ok


def test_a_small_constant_may_be_left_out():
    report = check_gradients((lambda p: np.log(p + 1e-7), lambda dy, p: dy / p), np.array([0.01, 0.5]))
    assert report.ok and len(report.notes) == 1 and "small constants" in report.notes[0]


def test_wrong_elements_without_a_diagnosis_are_located(monkeypatch):
    monkeypatch.setattr(diagnosis, "diagnose_entries", lambda *arguments: None)
    wrong = (square, lambda dy, x: 2 * dy * x + 5 * (x == 1.5))
    report = check_gradients(wrong, np.linspace(1, 2, 21), mode="directional")
    assert report["x"].verdict == "wrong" and "[10]" in report["x"].reason


def test_a_note_says_what_a_sample_can_miss():
    x = np.linspace(1, 2, 30)
    (note,) = check_gradients(SQUARE, x, mode="sampled").notes
    assert "20 of 30 elements of x" in note
    assert check_gradients(SQUARE, x).notes == []
