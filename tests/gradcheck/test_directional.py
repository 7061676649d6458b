"""Test directional mode: it names mistakes from derivatives along a few directions, and none in right code."""

import drawn
import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings

import nnscratch as nn
from benchmarks.mistakes import Outcome, all_correct, all_mistakes
from nnscratch.gradcheck import check_gradients

RNG = np.random.default_rng(5)
X, W, B = RNG.normal(size=(80, 80)), RNG.normal(size=(80, 80)), RNG.normal(size=80)


def along(target, *inputs, **options):
    return check_gradients(target, *inputs, mode="directional", **options)


def affine(backward):
    """x W + b in CS231n's form; `backward` is a function of (x, w, b, dout)."""
    return (lambda x, w, b: (x @ w + b, (x, w, b))), (lambda dout, cache: backward(*cache, dout))


def line(planted):
    return f"{planted.area}: {planted.what}"


NOT_NAMED = {
    "RNN: bidirectional: dx of the second direction not reversed",
}  # they show in single elements only


@pytest.mark.parametrize("planted", [p for p in all_mistakes() if p.held_out], ids=line)
def test_a_planted_mistake_is_caught_and_named_first(planted):
    outcome = Outcome(planted, planted.check(mode="directional"))
    assert outcome.caught
    assert (outcome.rank != 1) == (line(planted) in NOT_NAMED), str(outcome.report)


def with_one_element_off(g):
    g[17, 41] += 0.5
    return g


@pytest.mark.parametrize(
    ("array", "mistake", "says", "backward"),
    [
        ("w", "sign flipped", "-1 * true along 3", lambda x, w, b, d: (d @ w.T, -x.T @ d, d.sum(0))),
        ("w", "scaled by a constant", "N = 80 is the length", lambda x, w, b, d: (d @ w.T, x.T @ d / 80, d.sum(0))),
        ("w", "transposed", "axes exchanged", lambda x, w, b, d: (d @ w.T, d.T @ x, d.sum(0))),
        ("w", "one sample counted", "only sample 3 of", lambda x, w, b, d: (d @ w.T, np.outer(x[3], d[3]), d.sum(0))),
        ("b", "one sample not counted", "not count sample 0", lambda x, w, b, d: (d @ w.T, x.T @ d, d[1:].sum(0))),
        ("b", "sum over the batch missing", "sum(axis=0)", lambda x, w, b, d: (d @ w.T, x.T @ d, d)),
        ("b", "summed over the wrong axis", "except axis 0", lambda x, w, b, d: (d @ w.T, x.T @ d, d.sum(1))),
        ("x", "gradient never computed", "zero everywhere", lambda x, w, b, d: (0 * x, x.T @ d, d.sum(0))),
        ("w", "weight decay's share wrong", "0.1 * w", lambda x, w, b, d: (d @ w.T, x.T @ d + 0.1 * w, d.sum(0))),
        ("w", "shifted by one", "axis 1", lambda x, w, b, d: (d @ w.T, np.roll(x.T @ d, 1, 1), d.sum(0))),
    ],
)
def test_a_mistake_in_a_large_array_is_named_at_the_cost_of_a_few_forward_passes(array, mistake, says, backward):
    report = along(affine(backward), X, W, B)
    assert [entry.name for entry in report if entry.verdict == "wrong"] == [array]
    assert report[array].diagnosis.mistake == mistake, str(report)
    assert says in report[array].diagnosis.evidence
    assert report.evaluations <= 4 * (2 + 2 + 3)


def test_two_gradients_that_are_exchanged_are_found():
    def forward(a, b):
        return np.tanh(a) * 2 + b**2, (a, b)

    report = along((forward, lambda d, c: (2 * d * c[1], 2 * d * (1 - np.tanh(c[0]) ** 2))), X, X[::-1].copy())
    assert [entry.diagnosis.mistake for entry in report] == ["two gradients exchanged"] * 2


def test_a_gates_block_is_named_with_its_rows_and_the_others_are_known_to_be_right():
    class Forgets(nn.LSTM):
        def backward(self, dy, dstate=None):
            out = super().backward(dy, dstate)
            self.weight_hh_l0.grad[24:48] = 0
            return out

    diagnosis = along(Forgets(7, 24, rng=0), RNG.normal(size=(2, 5, 7)))["weight_hh_l0"].diagnosis
    assert diagnosis.mistake == "a gate's block wrong"
    assert diagnosis.place == "rows 24:48 of weight_hh_l0, the forget gate"
    assert diagnosis.evidence == "the other 3 blocks are right; the wrong block is 0"


def test_one_wrong_element_among_thousands_is_found():
    report = along(affine(lambda x, w, b, d: (d @ w.T, with_one_element_off(x.T @ d), d.sum(0))), X, W, B)
    assert report["w"].diagnoses == [] and "the only wrong element is [17,41] given" in report["w"].reason
    assert report.evaluations < 200


def test_where_nothing_explains_it_a_sample_of_the_wrong_rows_is_shown():
    noise = np.zeros((80, 80))
    noise[12:14] = RNG.normal(size=(2, 80))
    report = along(affine(lambda x, w, b, d: (d @ w.T, x.T @ d + noise, d.sum(0))), X, W, B)
    assert report["w"].diagnoses == []
    assert "no known mistake explains this gradient; all wrong elements lie in [12:14, 0:80]" in report["w"].reason
    assert "; 20 of 20 elements checked there are wrong: [1" in report["w"].reason
    assert report.text() == along(affine(lambda x, w, b, d: (d @ w.T, x.T @ d + noise, d.sum(0))), X, W, B).text()


def test_what_cannot_be_told_right_is_not_said_to_be_right():
    """In float32, rounding hides an error of 5 % in the last row, but that row must not be reported as right."""

    def forward(x):
        return np.tanh(x, dtype="f", casting="unsafe"), x

    x = np.random.default_rng(0).normal(size=(6, 7))
    report = along((forward, lambda d, x: 1.05 * d * (1 - np.tanh(x) ** 2)), x)
    assert report["x"].verdict == "wrong" and "lie in" not in report["x"].reason
    assert "elements checked are wrong" in report["x"].reason


def test_a_forward_too_large_to_be_searched_inside_is_said_to_be(monkeypatch):
    noise = RNG.normal(size=(80, 80))
    backward = affine(lambda x, w, b, d: (d @ w.T, x.T @ d + noise, d.sum(0)))
    assert not any("the inside of forward" in note for note in along(backward, X, W, B).notes)
    monkeypatch.setattr("nnscratch.gradcheck.tape.tape.MAX_ELEMENTS", 80 * 80)
    (note,) = (note for note in along(backward, X, W, B).notes if "the inside of forward was not searched" in note)
    assert "forward is too large" in note


PAIRS = [  # without those that compute with lists or Python numbers
    (target, inputs)
    for _, target, inputs, _ in all_correct()
    if isinstance(target, tuple) and all(isinstance(x, np.ndarray) for x in inputs)
]


@pytest.mark.thorough
@pytest.mark.parametrize(
    ("target", "inputs", "size"),
    [(*pair, (1.0, 1e-3)[k % 2]) for k, pair in enumerate(PAIRS[::3])],
    ids=[pair[0].__name__ for pair, _ in PAIRS[::3]],
)
def test_noise_in_one_gradient_is_wrong_and_nothing_explains_it(target, inputs, size):
    forward, backward = target
    rng = np.random.default_rng(987)
    noise = {}

    def noisy_backward(*arguments):
        given = backward(*arguments)
        gradients = list(given) if isinstance(given, tuple) else [given]
        shape = gradients[-1].shape
        gradients[-1] = gradients[-1] + noise.setdefault(shape, size * rng.normal(size=shape))
        return tuple(gradients) if isinstance(given, tuple) else gradients[0]

    report = along((forward, noisy_backward), *inputs)
    assert report.verdict == "wrong"
    assert report.diagnoses == [], str(report)


# --- what is right ---------------------------------------------------------------------------------------------------


def test_a_check_that_passes_costs_its_directions_and_no_more():
    report = along(nn.Linear(30, 20, rng=0), X[:, :30])
    assert report.ok and report.evaluations == 3 * 2 * 4


@pytest.mark.parametrize("cls", drawn.CASES, ids=lambda cls: cls.__name__)
def test_correct_code_is_neither_called_wrong_nor_diagnosed(cls):
    @settings(max_examples=2, derandomize=True, suppress_health_check=list(HealthCheck))
    @given(drawn.CASES[cls])
    def check(case):
        module, *inputs = case
        report = along(module, *inputs)
        assert report.verdict != "wrong" and report.diagnoses == [], report

    check()


def relu(slope):
    return (lambda x: (np.maximum(x, 0), x)), (lambda d, x: d * slope(x))


def test_where_kinks_meet_on_a_direction_elements_decide():
    def first(x):
        return x > 0

    assert along(relu(first), np.zeros(12)).ok  # all twelve elements are checked
    assert along(relu(first), np.zeros(50)).ok  # a sample is right, and so are all kinks, unit by unit
    assert along(relu(lambda x: (x > 0) - 0.2), np.zeros(50))["x"].verdict == "wrong"


@pytest.mark.parametrize("size", [1e-8, 1e-4, 1e-2])
def test_a_sharp_bend_between_small_values_is_no_kink_along_a_direction(size):
    def backward(factor):
        def run(d, x):
            s = x.std(axis=1, keepdims=True)
            return factor * d[:, None] * (x - x.mean(axis=1, keepdims=True)) / (x.shape[1] * s)

        return run

    x = size * np.random.default_rng(0).normal(size=(3, 4))
    for factor, verdict in ((1, "right"), (1.05, "wrong"), (-1, "wrong")):
        pair = (lambda x: (x.std(axis=1), x)), backward(factor)
        report = check_gradients(pair, x, mode="directional", diagnose=False)
        assert report.verdict == verdict and report.kinks == 0, report


def test_a_gradient_that_is_zero_gets_no_note_about_errors_of_size_zero():
    report = check_gradients((lambda x: (0 * x, x), lambda d, x: 0 * d), np.ones(30), mode="directional")
    assert not any("about 0" in note for note in report.notes)
