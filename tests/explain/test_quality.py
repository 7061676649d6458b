"""Deletion and insertion curves, the sanity check, rank correlation, and the table of all three."""

import itertools

import numpy as np
import pytest

import nnscratch as nn
from nnscratch.explain import (
    compare,
    deletion_curve,
    gradient_x_input,
    input_gradients,
    insertion_curve,
    rank_correlation,
    sanity_check,
    scores,
)
from nnscratch.explain.curves import area
from nnscratch.explain.sanity import shuffled

R = np.random.default_rng(0)
X, W = R.normal(size=(2, 4)), R.normal(size=4)


def linear(x):
    return x @ W + 3


def test_the_best_order_for_a_linear_function_is_that_of_its_contributions():
    x = X[:1]
    areas = {
        order: (
            area(deletion_curve(linear, x, None, np.array([order], dtype=float), steps=4))[0],
            area(insertion_curve(linear, x, None, np.array([order], dtype=float), steps=4))[0],
        )
        for order in itertools.permutations(range(4))
    }
    best = tuple(np.argsort(np.argsort(W * x[0])).tolist())
    assert min(areas, key=lambda order: areas[order][0]) == best
    assert max(areas, key=lambda order: areas[order][1]) == best


def test_the_curves_lead_from_x_to_the_baseline_and_back():
    x0 = R.normal(size=(2, 4))
    down = deletion_curve(linear, X, None, X, x0, steps=3)
    up = insertion_curve(linear, X, None, X, x0, steps=3)
    assert down.shape == up.shape == (2, 4)
    for curve in (down, up[:, ::-1]):
        np.testing.assert_allclose(curve[:, 0], linear(X))
        np.testing.assert_allclose(curve[:, -1], linear(x0))
    np.testing.assert_allclose(area(np.array([[0.0, 1.0, 4.0]])), [1.5])


def test_the_curves_of_tokens():
    model, tokens = nn.models.LanguageModel(9, 6, 5, rng=0), R.integers(0, 9, (2, 4))
    curve = deletion_curve(model, tokens, np.array([1, 2]), R.random((2, 4)), baseline=3, steps=4)
    np.testing.assert_allclose(curve[:, 0], scores(model, tokens, np.array([1, 2])), rtol=1e-5)
    np.testing.assert_allclose(curve[:, -1], scores(model, np.full((2, 4), 3), np.array([1, 2])), rtol=1e-5)


def test_rank_correlation_is_scipys_definition():
    a, b = np.array([[1.0, 2, 2, 5]]), np.array([[3.0, 1, 4, 4]])
    np.testing.assert_allclose(rank_correlation(a, b), np.corrcoef([1, 2.5, 2.5, 4], [2, 1, 3.5, 3.5])[0, 1])
    np.testing.assert_array_equal(rank_correlation(a, np.ones((1, 4))), [0])
    np.testing.assert_allclose(rank_correlation(X, np.exp(X)), 1)


def test_the_check_finds_an_explanation_that_ignores_the_weights():
    model, x = nn.models.MLP([16, 12, 3], rng=0), R.random((20, 4, 4)).astype(np.float32)
    state = {name: array.copy() for name, array in model.state_dict().items()}
    edges = sanity_check(model, x, 1, lambda model, x, target: np.abs(np.diff(x, axis=2, append=0)), rng=0)
    np.testing.assert_allclose(edges, 1)
    assert abs(sanity_check(model, x, 1, input_gradients, rng=0).mean()) < 0.3
    for name, array in model.state_dict().items():
        np.testing.assert_array_equal(array, state[name])


def test_shuffled_weights_have_the_same_values_in_another_order():
    model = nn.models.LanguageModel(9, 6, 6, tie_weights=True, rng=0)
    other = shuffled(model, rng=1)
    for p, q in zip(model.parameters(), other.parameters(), strict=True):
        assert not np.array_equal(p.data, q.data) and p.data is not q.data
        np.testing.assert_array_equal(np.sort(p.data, axis=None), np.sort(q.data, axis=None))
    assert other.embedding.weight is other.linear.weight


def test_the_table():
    model, x = nn.models.MLP([16, 8, 3], rng=0), R.random((6, 4, 4)).astype(np.float32)
    target = model.eval()(x).argmax(axis=1)
    table = compare(model, x, target)
    assert list(table.attributions) == [
        "input_gradients", "gradient_x_input", "integrated_gradients", "smooth_grad", "occlusion", "random"
    ]  # fmt: skip
    for name in ("gradient_x_input", "integrated_gradients", "occlusion"):
        assert table.deletion[name] < table.deletion["random"] and table.insertion[name] > table.insertion["random"]
    np.testing.assert_allclose(np.diag(table.agreement), 1)
    np.testing.assert_allclose(table.agreement, table.agreement.T)
    lines = str(table).splitlines()
    assert len(lines) == 9 and all(len(line) <= 120 for line in lines)
    assert lines[2].split()[:3] == ["2", "gradient_x_input", f"{table.deletion['gradient_x_input']:.3f}"]
    assert str(compare(model, x, target)) == str(table)  # the same seed, the same table


def test_the_table_of_tokens_and_of_other_methods():
    model, tokens = nn.models.TransformerLM(9, 8, 2, 1, 6, rng=0), R.integers(0, 9, (2, 4))
    table = compare(model, tokens, 1, {"a": gradient_x_input, "b": lambda m, x, t: -gradient_x_input(m, x, t)})
    np.testing.assert_allclose(table.agreement, [[1, -1], [-1, 1]], atol=1e-12)


WRONG = {
    "shape": (lambda: deletion_curve(linear, X, None, X[:1]), ValueError, r"in the shape of x, \(2, 4\), got \(1, 4\)"),
    "NaN": (lambda: insertion_curve(linear, X, None, X * np.nan), ValueError, "finite numbers"),
    "steps": (lambda: deletion_curve(linear, X, None, X, steps=0), ValueError, "steps must be"),
    "targets of a curve": (lambda: deletion_curve(linear, X, np.zeros(3, int), X), ValueError, "array of 2 integers"),
    "rank of NaN": (lambda: rank_correlation(X, X * np.nan), ValueError, "must be finite"),
    "no example": (lambda: rank_correlation(X[:0], X[:0]), ValueError, r"got \(0, 4\)"),
    "a list of methods": (lambda: compare(nn.Linear(4, 2), X, 0, [input_gradients]), ValueError, "must be a dict"),
    "two shapes": (lambda: rank_correlation(X, X[:, :2]), ValueError, r"got \(2, 4\) and \(2, 2\)"),
    "a function": (lambda: compare(linear, X, None), TypeError, "instance of Module"),
    "check of a function": (lambda: sanity_check(linear, X, None, input_gradients), TypeError, "instance of Module"),
    "no method": (lambda: compare(nn.Linear(4, 2), X, 0, {}), ValueError, "at least one method"),
}


@pytest.mark.parametrize("name", WRONG)
def test_a_wrong_call_says_what_is_wrong(name):
    call, error, message = WRONG[name]
    with pytest.raises(error, match=message):
        call()
