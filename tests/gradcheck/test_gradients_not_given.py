"""Test gradients that backward does not give, and a backward that takes the gradients of all outputs in one tuple."""

import numpy as np
import pytest

import nnscratch as nn
from nnscratch.gradcheck import check_gradients

RNG = np.random.default_rng(0)
X, W, B, K = RNG.normal(size=(4, 3)), RNG.normal(size=(3, 2)), RNG.normal(size=2), RNG.normal(size=(3, 5))


# --- backward gives None ----------------------------------------------------------------------------------------------


def forward(x, w, b):
    return np.tanh(x @ w + b), (x, w, b)


def gradients(dy, cache):
    x, w, b = cache
    dz = dy * (1 - np.tanh(x @ w + b) ** 2)
    return dz @ w.T, x.T @ dz, dz.sum(axis=0)


def without(*names):
    """A backward that returns None for the inputs `names`."""

    def backward(dy, cache):
        return tuple(None if n in names else g for n, g in zip("xwb", gradients(dy, cache), strict=True))

    return backward


class Context:
    @staticmethod
    def forward(ctx, x, w, b):
        y, ctx.cache = forward(x, w, b)
        return y

    @staticmethod
    def backward(ctx, dy):
        return without("w")(dy, ctx.cache)


class Params:
    """An object with ``params`` and ``grads``; the gradient of W is None."""

    def __init__(self):
        self.params, self.grads = {"w": W.copy(), "b": B.copy()}, {}

    def forward(self, x):
        y, self.cache = forward(x, self.params["w"], self.params["b"])
        return y

    def backward(self, dy):
        dx, _, db = gradients(dy, self.cache)
        self.grads = {"w": None, "b": db}
        return dx


FORMS = [
    ((forward, without("w")), (X, W, B)),
    ((forward, lambda dy, cache: dict(zip("xwb", without("w")(dy, cache), strict=True))), (X, W, B)),
    (Context, (X, W, B)),
    (Params(), (X,)),
]


@pytest.mark.parametrize(("code", "inputs"), FORMS)
@pytest.mark.parametrize("mode", ["full", "directional"])
def test_none_for_one_weight_is_wrong_and_the_reason_says_how_to_leave_it_out(code, inputs, mode):
    report = check_gradients(code, *inputs, mode=mode)
    assert {name: entry.verdict for name, entry in report.entries.items()} == {"x": "right", "w": "wrong", "b": "right"}
    assert "backward returned None instead of a gradient; if w is not trained, use only=" in report.text()
    assert check_gradients(code, *inputs, mode=mode, only=["x", "b"]).ok


@pytest.mark.parametrize(("code", "inputs"), FORMS)
def test_none_for_the_only_array_to_check_is_wrong(code, inputs):
    report = check_gradients(code, *inputs, only=["w"])
    assert report.verdict == "wrong" and "returned None" in report["w"].reason


def test_none_for_all_arrays_is_wrong():
    report = check_gradients((forward, without("x", "w", "b")), X, W, B)
    assert report.verdict == "wrong" and len(report) == 3


def test_none_does_not_hide_other_mistakes():
    def backward(dy, cache):
        dx, _, db = gradients(dy, cache)
        return dx, None, 2 * db

    report = check_gradients((forward, backward), X, W, B)
    assert report.verdict == "wrong" and report["b"].diagnosis.mistake in ("scaled by a constant", "counted twice")
    assert "returned None" in report["w"].reason


def test_none_is_right_for_a_gradient_of_zero():
    code = (lambda x, w: (2 * x + 0 * w, None), lambda dy, cache: (2 * dy, None))
    report = check_gradients(code, X, 1 + X)
    assert report.ok and report["w"].verdict == "right"


@pytest.mark.parametrize("keys", [(0, 1), ("first", "second")])
def test_none_for_one_of_several_weights_in_a_list_or_a_dictionary(keys):
    def collect(values):
        return list(values) if keys == (0, 1) else dict(zip(keys, values, strict=True))

    def network(x, weights):
        return x @ weights[keys[0]] @ weights[keys[1]], (x, weights)

    def backward(dy, cache, none):
        x, weights = cache
        first, second = weights[keys[0]], weights[keys[1]]
        dws = [x.T @ dy @ second.T, (x @ first).T @ dy]
        dws[none] = None
        return dy @ second.T @ first.T, collect(dws)

    for none, key in enumerate(keys):
        code = (network, lambda dy, cache, none=none: backward(dy, cache, none))
        report = check_gradients(code, X, collect([W, W.T]))
        names = ["x", *(f"weights[{k!r}]" for k in keys)]
        assert [n for n in names if report[n].verdict == "wrong"] == [f"weights[{key!r}]"]


def test_a_module_must_return_the_gradient_of_every_input():
    class Add(nn.Module):
        def forward(self, x, state):
            return x + 2 * state

        def backward(self, dy):
            return dy, None

    assert check_gradients(Add(), X, X + 1)["state"].verdict == "wrong"


# --- one tuple of gradients -------------------------------------------------------------------------------------------


def two_outputs(x, w):
    return x @ w, np.tanh(x @ w), (x, w)


def backward_of_two(dy, dh, x, w, factor=1):
    dz = dy + factor * dh * (1 - np.tanh(x @ w) ** 2)
    return dz @ w.T, x.T @ dz


def pair(factor):
    def backward(dys, cache):
        dy, dh = dys
        return backward_of_two(dy, dh, *cache, factor)

    return (two_outputs, backward), (X, W)


def pair_that_reads_items(factor):
    return (two_outputs, lambda grads, cache: backward_of_two(grads[0], grads[1], *cache, factor)), (X, W)


def pair_without_cache(factor):
    def backward(dys, x, w):
        dy, dh = dys
        return backward_of_two(dy, dh, x, w, factor)

    return (lambda x, w: two_outputs(x, w)[:2], backward), (X, W)


def with_context(factor):
    class Function:
        @staticmethod
        def forward(ctx, x, w):
            y, h, ctx.cache = two_outputs(x, w)
            return y, h

        @staticmethod
        def backward(ctx, grads):
            dy, dh = grads
            return backward_of_two(dy, dh, *ctx.cache, factor)

    return Function, (X, W)


def an_object(factor):
    class Layer:
        def __init__(self):
            self.w = W.copy()

        def forward(self, x):
            y, h, self.cache = two_outputs(x, self.w)
            return y, h

        def backward(self, dys):
            dy, dh = dys
            dx, self.dw = backward_of_two(dy, dh, *self.cache, factor)
            return dx

    return Layer(), (X,)


def a_module(factor):
    class Layer(nn.Module):
        def __init__(self):
            self.w = nn.Parameter(W.copy())

        def forward(self, x):
            self.save_for_backward(x)
            return two_outputs(x, self.w.data)[:2]

        def backward(self, dys):
            dy, dh = dys
            (x,) = self.saved()
            dx, dw = backward_of_two(dy, dh, x, self.w.data, factor)
            self.w.grad += dw
            return dx

    return Layer(), (X,)


@pytest.mark.parametrize("form", [pair, pair_that_reads_items, pair_without_cache, with_context, an_object, a_module])
def test_the_gradients_of_all_outputs_in_one_tuple(form):
    for factor in (1, 1.01):
        code, inputs = form(factor)
        report = check_gradients(code, *inputs, diagnose=False)
        assert report.ok == (factor == 1) and set(report.entries) == {"x", "w"}, report
        assert not any("outputs were not checked" in note for note in report.notes)


def test_an_array_whose_rows_backward_unpacks_is_no_tuple_of_gradients():
    """Forward returns one array and a cache that is an array, and backward unpacks the two rows of dy."""

    def backward(dy, saved):
        first, second = dy
        return np.stack([first, second]) * 2 * saved

    assert check_gradients((lambda x: (x**2, x), backward), X[:2]).ok

    def backward_of_input(dy, x):
        first, second = dy
        return np.stack([first, second]) * 2 * x

    assert check_gradients((lambda x: (x**2, x), backward_of_input), X[:2]).ok


# --- outputs that are not checked -------------------------------------------------------------------------------------


def test_an_input_that_changes_only_an_unchecked_output_makes_the_report_incomplete():
    def two(x, a, k):
        return x @ a, x @ k, (x, a)

    def backward(dy, cache):
        x, a = cache
        return dy @ a.T, x.T @ dy

    report = check_gradients((two, backward), X, W, K)
    assert report.verdict == "incomplete" and "k changes the outputs" in report.text()
    unused = check_gradients((lambda x, a, k: (x @ a, 2 * x, (x, a)), backward), X, W, K)
    assert unused.ok and "1 of 2 outputs" in unused.text()
