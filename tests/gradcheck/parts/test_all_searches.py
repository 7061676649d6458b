"""Test that the diagnosis runs every search, and sorts the mistakes that the searches find."""

import importlib
import math

import numpy as np
import pytest

from nnscratch.gradcheck import check_gradients
from nnscratch.gradcheck.report import Diagnosis

diagnosis = importlib.import_module("nnscratch.gradcheck.diagnosis")
SEARCHES = ("array_mistakes", "output_mistakes", "target_mistakes", "written_gradients", "forward_mistakes",
            "upstream_mistakes", "summed_to_fewer_elements", "keep_what_holds_elsewhere", "backward_edits")  # fmt: skip
X = np.array([[1.0, -2.0, 0.5], [0.3, 1.2, -0.7], [0.8, 0.1, -1.5], [1.1, -0.4, 0.9]])
W = np.array([[0.4, -1.1], [0.9, 0.2], [-0.6, 1.3]])
B = np.array([0.5, -1.0])


def affine(x, w, b):
    return x @ w + b, (x, w)


def network(x, w, b):
    h = np.tanh(x @ w + b)
    return h * h[::-1], (x, w, h)


def add(a, b):
    return a + 3 * b, None


def found(forward, backward, *inputs, **options):
    """Return {name: mistakes} of the wrong arrays, the first mistake first."""
    report = check_gradients((forward, backward), *inputs, **options)
    return {name: [d.mistake for d in e.diagnoses] for name, e in report.entries.items() if e.verdict == "wrong"}


# --- each search -----------------------------------------------------------------------------------------------------


def test_a_gradient_of_zeros():
    wrong = found(affine, lambda dy, c: (dy @ c[1].T, 0 * c[1], dy.sum(0)), X, W, B)
    assert wrong == {"w": ["gradient never computed"]}


def test_one_sample_counted():
    wrong = found(affine, lambda dy, c: (dy @ c[1].T, c[0][:1].T @ dy[:1], dy.sum(0)), X, W, B)
    assert wrong == {"w": ["one sample counted"]}


def test_a_bias_summed_too_far(monkeypatch):
    def backward(dy, cache):
        x, w = cache
        return dy @ w.T, x.T @ dy, dy.sum()

    assert found(affine, backward, X, W, B) == {"b": ["summed over the wrong axis"]}
    without(monkeypatch, "forward_mistakes")  # it finds this mistake too
    assert found(affine, backward, X, W, B) == {"b": ["summed over the wrong axis"]}


def test_a_changed_upstream_gradient():
    def backward(dy, cache):
        x, w = cache
        dx, db = dy @ w.T, dy.sum(0)
        dy *= 2
        dy[0] = 0
        return dx, x.T @ dy, db

    assert found(affine, backward, X, W, B) == {"w": ["upstream gradient wrong"]}


def test_a_missing_derivative_inside_forward():
    def backward(dy, cache):
        x, w, h = cache
        dh = dy * h[::-1] + (dy * h)[::-1]
        return dh @ w.T, x.T @ dh, dh.sum(0)

    mistake = "activation's derivative missing"
    assert {name: mistakes[0] for name, mistakes in found(network, backward, X, W, B).items()} == dict.fromkeys(
        "xwb", mistake
    )


def test_a_missing_derivative_of_code_that_cannot_be_recorded():
    tanh = np.vectorize(math.tanh)
    assert found(lambda x: (tanh(x), x), lambda dy, x: dy, X) == {"x": ["activation's derivative missing"]}


def test_the_mean_of_the_upstream_gradient():
    def backward(dy, cache):
        x, w, h = cache
        dy = np.full_like(dy, dy.mean())
        dz = (dy * h[::-1] + (dy * h)[::-1]) * (1 - h**2)
        return dz @ w.T, x.T @ dz, dz.sum(0)

    wrong = found(network, backward, X, W, B)
    assert {name: mistakes[0] for name, mistakes in wrong.items()} == dict.fromkeys("xwb", "upstream gradient wrong")


def test_a_missing_derivative_in_a_function_of_numbers():
    def forward(a, b):
        h = np.tanh(a * b)
        return h * b, (a, b, h)

    def backward(dy, cache):
        a, b, h = cache
        return dy * b * b, dy * h + dy * b * (1 - h**2) * a

    wrong = found(forward, backward, np.array([0.7]), np.array([1.3]))
    assert wrong["a"][0] == "activation's derivative missing"


def test_a_shifted_target():
    def forward(x, t):
        e = np.exp(x - x.max(axis=1, keepdims=True))
        p = e / e.sum(axis=1, keepdims=True)
        return -np.log(p[np.arange(len(t)), t]).mean(), (p, t)

    def backward(dy, cache):
        p, t = cache
        d = p.copy()
        d[np.arange(len(t)), np.roll(t, 1)] -= 1
        return dy * d / len(t)

    assert found(forward, backward, X, np.array([0, 2, 1, 1])) == {"x": ["target one off"]}


def test_a_wrong_expression_of_backward():
    s = X[:3] + X[:3].T
    wrong = found(lambda s: ((s * s).sum(), s), lambda dy, s: dy * 2 * s / (1 + 1e-5 * s**2), s)
    assert wrong == {"s": []}  # a lambda is not changed

    def backward(dy, s):
        return dy * 2 * s / (1 + 1e-5 * s**2)

    assert found(lambda s: ((s * s).sum(), s), backward, s) == {"s": ["a factor too many"]}


# --- what the searches read ------------------------------------------------------------------------------------------


def test_the_gradient_of_a_right_array_or_of_a_wrong_one():
    for mode in ("full", "directional"):
        wrong = found(add, lambda dy, c: (3 * dy, 3 * dy), X, X + 1, mode=mode)
        assert list(wrong) == ["a"] and wrong["a"][0] == "the wrong array used"
        wrong = found(add, lambda dy, c: (3 * dy, dy), X, X + 1, mode=mode)
        assert {name: mistakes[0] for name, mistakes in wrong.items()} == dict.fromkeys("ab", "two gradients exchanged")


@pytest.mark.parametrize("mode", ["full", "directional"])
def test_a_mistake_must_leave_the_right_gradients_right(mode):
    """The gradient of w lacks the derivative of tanh, but the gradients of x and b have it."""

    def backward(dy, cache):
        x, w, h = cache
        dh = dy * h[::-1] + (dy * h)[::-1]
        dz = dh * (1 - h**2)
        return dz @ w.T, x.T @ dh, dz.sum(0)

    report = check_gradients((network, backward), X, W, B, mode=mode)
    assert [name for name, e in report.entries.items() if e.verdict == "wrong"] == ["w"]
    first = report["w"].diagnoses[0]
    assert first.mistake == "activation's derivative missing" and "the gradient of this array" in first.evidence


def test_a_mistake_that_fits_by_chance_is_not_reported():
    wrong = found(lambda x: (x**3, x), lambda dy, x: -3 * dy * x, np.array([1.0]))  # at 1, x is x**2
    assert wrong == {"x": []}


# --- the order and the reason ----------------------------------------------------------------------------------------


def without(monkeypatch, *names):
    for name in names:
        nothing = lambda *arguments: None  # noqa: E731
        nothing.__name__ = name
        monkeypatch.setattr(diagnosis, name, nothing)


def wrong_twice(dy, cache):
    return 2 * dy, 5 * dy


def test_a_mistake_of_more_arrays_comes_first(monkeypatch):
    def array_mistakes(case, *arguments):
        case.add(5.0, "of both", "evidence")
        case.add(2.0 if case.name == "a" else 4.0, f"second of {case.name}", "evidence")
        case.add(1.0 if case.name == "a" else 3.0, f"first of {case.name}", "evidence")
        case.add(0.5, f"first of {case.name}", "the same mistake is counted once")

    without(monkeypatch, *SEARCHES)
    monkeypatch.setattr(diagnosis, "array_mistakes", array_mistakes)
    for name, mistakes in found(add, wrong_twice, X, X + 1).items():
        assert mistakes == ["of both", f"first of {name}", f"second of {name}"]


def test_the_place_that_explains_more_arrays_is_shown(monkeypatch):
    def array_mistakes(case, *arguments):
        case.add(1.0, "a mistake", "evidence", f"line of {case.name}")
        case.add(2.0, "a mistake", "evidence", "line of both")

    without(monkeypatch, *SEARCHES)
    monkeypatch.setattr(diagnosis, "array_mistakes", array_mistakes)
    report = check_gradients((add, wrong_twice), X, X + 1)
    assert [e.diagnoses[0].place for e in report.entries.values()] == ["line of both"] * 2


@pytest.mark.parametrize("mode", ["full", "directional"])
def test_a_gradient_without_a_known_mistake(monkeypatch, mode):
    without(monkeypatch, *SEARCHES)
    report = check_gradients((lambda x: (x * x / 2, x), lambda dy, x: 2 * dy * x), X, mode=mode)
    assert report["x"].diagnoses == [] and report["x"].reason.startswith("no known mistake explains this gradient")
    assert report["x"].reason.count(": [3,0] given 3.157, true 1.579, ") == 1  # the worst element


def test_the_reason_of_a_wrong_shape_stays(monkeypatch):
    without(monkeypatch, *SEARCHES)
    report = check_gradients((add, lambda dy, cache: (dy, dy[:1])), X, X + 1)
    assert report["b"].reason == "the gradient has shape (1, 3), not (4, 3)"
    assert report["a"].diagnoses == [] and report["a"].reason is not None


def test_a_search_that_fails_is_noted_once(monkeypatch):
    """Few wrong elements are searched again for other values of the arrays, with the same error."""

    def array_mistakes(case, *arguments):
        case.found.append((1.0, Diagnosis("a mistake", "evidence", "x", 0.0)))
        raise ZeroDivisionError("no slope")

    monkeypatch.setattr(diagnosis, "array_mistakes", array_mistakes)
    report = check_gradients((lambda x: (x**3, x), lambda dy, x: dy * x), np.array([1.5, 2.0]))
    assert report.verdict == "wrong" and report["x"].diagnoses[0].mistake == "a mistake"
    (note,) = [note for note in report.notes if "array_mistakes" in note]
    assert "ZeroDivisionError: no slope" in note
