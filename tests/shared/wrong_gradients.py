"""Wrong gradients without a forward pass, and a recorded forward: inputs for tests of the diagnosis."""

from contextlib import contextmanager
from functools import wraps
from types import SimpleNamespace

import numpy as np

from nnscratch.gradcheck.adapters import make_adapter
from nnscratch.gradcheck.diagnosis.case import Case
from nnscratch.gradcheck.diagnosis.forward_graph import ForwardGraph
from nnscratch.gradcheck.diagnosis.hypotheses import HypothesisTester
from nnscratch.gradcheck.projection import Projection
from nnscratch.gradcheck.report import Entry
from nnscratch.gradcheck.tape import Tape


def entry_of(given, true, name="w", **options):
    given, true = (np.array(a, dtype=float) for a in (given, true))
    return Entry(**{"name": name, "shape": true.shape, "analytic": given, "numeric": true, "uncertainty": 0 * true,
                    "low": true, "high": true} | options)  # fmt: skip


def projection_of(inputs=(), variables=None, outputs=(), returned=(), gradient=None):
    """Return what a diagnosis reads of a projection. ``gradient(weights)`` is what backward returns."""
    adapter = SimpleNamespace(input_names=[f"x{k}" for k in range(len(inputs))], inputs=tuple(inputs), source=None,
                              returned_names=lambda: list(returned))  # fmt: skip
    return SimpleNamespace(adapter=adapter, variables=variables or {}, outputs=tuple(outputs), weights=(np.ones(2),),
                           analytic=lambda weights: gradient(weights) if gradient else {})  # fmt: skip


def case_of(given, true, name="w", projection=None, few=False, **options):
    return Case(entry_of(given, true, name, **options), projection or projection_of(), few=few)


def ranked(case):
    """Return the mistakes that were found, the most specific first."""
    return [d.mistake for _, d in sorted(case.found, key=lambda pair: pair[0])]


@contextmanager
def graph_of(forward, *inputs):
    """Record ``forward(*inputs)``, and yield its graph."""
    with Tape(project(forward, *inputs)) as tape:
        yield ForwardGraph(tape)


def new_tester(graph, given, true):
    """Return a tester of hypotheses about wrong gradients ``given``. The true gradients are those of all arrays."""
    projection = graph.projection
    cases = {name: Case(entry_of(g, true[name], name), projection) for name, g in given.items()}
    right = {name: (t, t) for name, t in true.items() if name not in given}
    return HypothesisTester(graph.tape, cases, right)


def gradients_after(graph, hypothesis, names=None):
    """Return the gradients of the changed forward by central differences, or None if forward fails."""
    tape, variables = graph.tape, graph.projection.variables
    found = {}
    tape.changes = hypothesis.changes
    tape.weights = graph.projection.weights if hypothesis.weights is None else hypothesis.weights
    try:
        for name in variables if names is None else names:
            array = variables[name]
            found[name] = np.zeros(array.shape)
            for index in np.ndindex(array.shape):
                value, f = float(array[index]), []
                for h in (1e-5, -1e-5):
                    array[index] = value + h
                    f.append(tape.value())
                array[index] = value
                found[name][index] = (f[0] - f[1]) / 2e-5
    finally:
        tape.changes, tape.weights = {}, graph.projection.weights
    return found


def offered(graph, search):
    """Return the hypotheses of a search, the most specific first."""
    return sorted(search(graph), key=lambda h: h.rank)


def the(graph, search, *words, mistake=None):
    """Return the only hypothesis of a search whose evidence contains the words."""
    found = [h for h in search(graph) if all(w in h.evidence for w in words) and mistake in (None, h.mistake)]
    assert len(found) == 1, [h.evidence for h in found]
    return found[0]


def assert_gives(graph, hypothesis, **wanted):
    """Assert that the changed forward has the same value as forward, but these gradients."""
    if hypothesis.weights is None:
        graph.tape.changes = hypothesis.changes
        value = graph.tape.value()
        graph.tape.changes = {}
        np.testing.assert_allclose(value, graph.tape.value(), rtol=1e-9, atol=1e-9, err_msg=hypothesis.evidence)
    for name, gradient in gradients_after(graph, hypothesis, wanted).items():
        np.testing.assert_allclose(
            gradient, wanted[name], rtol=1e-6, atol=1e-7, err_msg=f"{hypothesis.evidence}: {name}"
        )


def project(forward, *inputs):
    """Return the projection of ``forward(*inputs)``."""

    @wraps(forward)  # the names of the arrays are those of its arguments
    def with_cache(*arrays):
        return forward(*arrays), None

    return Projection(make_adapter((with_cache, lambda dy, cache: None), inputs), np.random.default_rng(0))
