"""Test the traps of checks that prove nothing: constant outputs, and a backward that calls forward often."""

import functools
import sys
from types import SimpleNamespace

import numpy as np
import pytest
from projections import project

import nnscratch as nn
from nnscratch.gradcheck import check_gradients
from nnscratch.gradcheck.adapters import make_adapter
from nnscratch.gradcheck.projection import Projection
from nnscratch.gradcheck.report import GradientReport
from nnscratch.gradcheck.vacuous import ForwardCalls, constant_traps, difference_traps, outputs_are_constant

X = np.array([1.0, -2.0, 3.0])


# --- constant outputs ------------------------------------------------------------------------------------------------


def constant(forward, analytic, *inputs):
    """Return the kinds of the traps, and the number of notes."""
    projection = project(forward, lambda dy, *inputs: inputs, *(inputs or (X.copy(),)))
    report = GradientReport("code")
    traps = constant_traps(projection, analytic, report)
    return [(trap.kind, trap.severity) for trap in traps], len(report.notes)


ZERO = {"x": 0 * X}


def test_a_forward_that_ignores_its_inputs():
    assert constant(lambda x: np.ones(2), ZERO) == ([("constant output", "incomplete")], 0)
    assert constant(lambda x: np.ones(2), ZERO | {"t": None}) == ([("constant output", "incomplete")], 0)


def test_outputs_that_change_farther_away():
    assert constant(lambda x: np.maximum(x, 0), ZERO, -1 - X**2) == ([], 1)


def test_a_gradient_that_is_not_zero_proves_something():
    for given in (X, np.array([0.0, 1.0, 0.0])):
        assert constant(lambda x: np.ones(2), {"x": given}) == ([], 0)
    assert constant(lambda x, w: np.ones(2), {"x": 0 * X, "w": X}, X, X) == ([], 0)


def test_without_a_gradient_or_an_element_there_is_nothing_to_say():
    assert constant(lambda x: np.ones(2), {"x": None}) == constant(lambda x: np.ones(2), {}) == ([], 0)
    assert constant(lambda x: np.ones(2), {"x": np.zeros(0)}, np.zeros(0)) == ([], 0)
    assert constant(lambda x: np.ones(0), ZERO) == ([], 0)  # no outputs


def constancy(forward, *inputs, chosen=None):
    arrays = [a.copy() for a in inputs or (X,)]
    projection = project(forward, lambda dy, *inputs: inputs, *arrays)
    variables = list(projection.variables.values())
    found = outputs_are_constant(projection, variables if chosen is None else [variables[k] for k in chosen])
    assert all((v == a).all() for v, a in zip(variables, arrays, strict=True))
    return found


def test_only_outputs_that_stay_the_same_are_constant():
    assert constancy(lambda x: np.ones(2))
    assert not constancy(lambda x: x + 1) and not constancy(lambda x: np.where(np.abs(x) > 30, 1.0, 0.0))
    assert not constancy(lambda x: np.where(x > 20, 1.0, 0.0), np.zeros(1) + 1.5)  # one sign only
    assert not constancy(lambda x: np.where(x < -20, 1.0, 0.0), np.zeros(1) + 1.5)


def test_nan_shows_that_a_softmax_over_one_class_depends_on_its_input():
    assert not constancy(lambda x: np.exp(x - x))


def test_a_forward_that_fails_with_other_values_reads_them():
    def forward(x):
        if (x != X).any():
            raise ValueError("only these values")
        return np.ones(2)

    assert not constancy(forward)


def test_only_the_chosen_arrays_change():
    assert constancy(lambda x, w: x + 0, X, X, chosen=[1]) and not constancy(lambda x, w: x + 0, X, X, chosen=[0, 1])


def test_nothing_stays_saved():
    layer = nn.Linear(3, 2, rng=0).to(dtype=np.float64)
    projection = Projection(make_adapter(layer, (X[None].copy(),)), np.random.default_rng(0))
    assert not outputs_are_constant(projection, list(projection.variables.values()))
    assert not layer.__dict__.get("_stack")


# --- calls of forward ------------------------------------------------------------------------------------------------


def calls_of(adapter, run):
    with ForwardCalls(adapter) as calls:
        run()
    assert sys.getprofile() is None
    return calls.count


def test_calls_of_a_function_are_counted():
    def forward(x):
        return recursive(x) + recursive(0) if x else 0

    def recursive(x):
        return forward(max(x - 1, 0))

    adapter = SimpleNamespace(forward=forward)
    assert calls_of(adapter, lambda: None) == 0
    assert calls_of(adapter, lambda: (forward(0), forward(0))) == 2
    assert calls_of(adapter, lambda: (forward(3), forward(0))) == 2  # a call inside another call does not count

    def fails():
        try:
            forward("x")
        except TypeError:
            pass
        forward(0)

    assert calls_of(adapter, fails) == 2
    wrapped = functools.wraps(forward)(lambda x: forward(x))
    assert calls_of(SimpleNamespace(forward=wrapped), lambda: wrapped(0)) == 1
    assert calls_of(SimpleNamespace(inner=adapter), lambda: forward(0)) == 1
    assert calls_of(SimpleNamespace(function=forward), lambda: forward(0)) == 1
    assert calls_of(SimpleNamespace(forward=None), lambda: forward(0)) == 0


class Layer:
    def forward(self, x):
        return x

    def __call__(self, x):
        return self.forward(x)


def test_calls_of_a_method_are_counted_for_its_object_only():
    layer, other = Layer(), Layer()
    adapter = SimpleNamespace(forward_method=layer.forward)
    assert calls_of(adapter, lambda: (layer.forward(1), other.forward(1), layer(1))) == 2
    assert calls_of(SimpleNamespace(module=layer), lambda: (layer(1), layer.forward(1))) == 2


def test_no_calls_are_counted_while_a_profiler_runs():
    def profiler(frame, event, argument):
        pass

    layer = Layer()
    sys.setprofile(profiler)
    try:
        with ForwardCalls(SimpleNamespace(forward_method=layer.forward)) as calls:
            layer.forward(1)
        assert sys.getprofile() is profiler and calls.count == 0
    finally:
        sys.setprofile(None)


def test_many_calls_of_forward_are_probably_differences():
    def traps(calls, *inputs):
        projection = project(lambda *xs: xs[0] + 0, lambda dy, *xs: xs, *inputs)
        return [(t.kind, t.severity) for t in difference_traps(calls, projection)]

    trap = [("finite differences in backward", "incomplete")]
    # one call is the forward itself: then at least one call for each element of the smallest array, and at least four
    assert traps(1 + 6, np.ones(6)) == traps(1 + 6, np.ones(9), np.ones(6)) == trap and traps(1 + 5, np.ones(6)) == []
    assert traps(1 + 4, np.ones(2)) == trap and traps(1 + 3, np.ones(2)) == []
    assert traps(1 + 5, np.ones(6), np.ones(0)) == [] and traps(1 + 4, np.ones(0)) == trap
    projection = project(lambda x: x + 0, lambda dy, x: x, np.ones(6))
    assert "calls forward 8 times" in difference_traps(9, projection)[0].message


# --- arrays that are zero --------------------------------------------------------------------------------------------


@pytest.mark.parametrize("largest, failed", [(0.1, True), (9.0, False)])
def test_a_second_check_that_fails_is_in_the_report(largest, failed):
    def forward(x, w):
        if (x > largest).any():
            raise ValueError("x is too large")
        return x * w, (x, w)

    def backward(dy, cache):
        x, w = cache
        return dy * w, dy * x

    report = check_gradients((forward, backward), np.zeros(3), X.copy())
    assert report.ok and sum("x: zero everywhere, so the gradient of w is zero" in note for note in report.notes) == 1
    assert any("failed (ValueError: x is too large)" in note for note in report.notes) == failed
    assert any("also right with random numbers" in note for note in report.notes) != failed
