"""Mistakes that readers of the notebooks made: the right name, at the right place, and no false name."""

import numpy as np
import pytest

import nnscratch as nn
from nnscratch.gradcheck import check_gradients, numerical_gradient
from nnscratch.testing.exercise import plain_evidence


def sigmoid(x):
    return 0.5 * (1 + np.tanh(0.5 * x))


class Highway(nn.Module):
    """y = s a + (1 - s) x, with a = tanh(x W.T) and s = sigmoid(x G.T). `mistake` selects a wrong backward."""

    def __init__(self, n, mistake):
        rng = np.random.default_rng(1)
        self.weight, self.gate = (nn.Parameter(rng.normal(size=(n, n))) for _ in range(2))
        self.mistake = mistake

    def forward(self, x):
        a = np.tanh(x @ self.weight.data.T)
        s = sigmoid(x @ self.gate.data.T)
        self.save_for_backward(x, a, s)
        return s * a + (1 - s) * x

    def backward(self, dy):
        x, a, s = self.saved()
        da, dv = dy * s * (1 - a**2), dy * (a - x) * s * (1 - s)
        half = dy * a * s * (1 - s)  # the path through (1 - s) * x is missing
        self.weight.grad += da.T @ x
        self.gate.grad += (half if self.mistake == "half a gate" else dv).T @ x
        parts = {"weight": da @ self.weight.data, "gate": dv @ self.gate.data, "direct": dy * (1 - s)}
        if self.mistake == "half a gate, only dx":
            return parts["direct"]
        return sum(part for name, part in parts.items() if name != self.mistake)


def inputs(*shape, seed=0):
    return np.random.default_rng(seed).normal(size=shape)


def exercise_says(capsys, subject, *arrays, **settings):
    with nn.testing.exercise("1"):
        nn.testing.assert_gradients_match(subject, *arrays, **settings)
    return capsys.readouterr().out


@pytest.mark.parametrize("shape", [(1, 4), (2, 4), (3, 4), (2, 3, 4)])
@pytest.mark.parametrize("seed", [0])
def test_a_missing_path_in_one_array_is_no_mask_and_no_constant(shape, seed):
    class Batched(Highway):
        def backward(self, dy):
            x, a, s = self.saved()
            self.weight.grad += np.tensordot(dy * s * (1 - a**2), x, axes=[range(x.ndim - 1)] * 2)
            self.gate.grad += np.tensordot(dy * a * s * (1 - s), x, axes=[range(x.ndim - 1)] * 2)
            right = dy * (a - x) * s * (1 - s)
            return dy * s * (1 - a**2) @ self.weight.data + right @ self.gate.data + dy * (1 - s)

    entry = check_gradients(Batched(4, ""), inputs(*shape, seed=seed)).entries["gate"]
    assert entry.verdict == "wrong" and entry.diagnosis.mistake == "a path missing"
    assert "1 - s" in entry.diagnosis.evidence + entry.diagnosis.place


@pytest.mark.parametrize(
    "mistake, place",
    [
        ("direct", "`x` in `(1 - s) * x`"),
        ("gate", "`x` in `x @ self.gate.data.T`"),
        ("weight", "`x` in `x @ self.weight.data.T`"),
    ],
)
def test_an_exercise_shows_the_expression_at_which_the_mistake_is(capsys, mistake, place):
    said = exercise_says(capsys, Highway(4, mistake), inputs(3, 4))
    assert f"a path missing. Evidence: backward computes as if no gradient passed through {place}." in said


def test_an_exercise_names_the_wrong_block_of_an_array(capsys):
    class WrongForget(nn.LSTM):
        def backward(self, *gradients):
            returned = super().backward(*gradients)
            g = dict(self.named_parameters())["weight_ih_l0"].grad
            g[5:10] = np.random.default_rng(0).normal(size=g[5:10].shape)
            return returned

    said = exercise_says(capsys, WrongForget(3, 5, rng=0), inputs(4, 2, 3))
    assert (
        "the other 3 blocks are right; the wrong block is not a multiple of the right one. Place: rows 5:10 of" in said
    )
    assert "the forget gate" in said and "the your" not in said


def test_code_in_the_evidence_is_not_read_as_a_symbol():
    assert plain_evidence("given = true * `given - true`") == "your gradient = the right one * `given - true`"
    assert "activation" in plain_evidence("the derivative used is 1 - u")
    assert "activation" not in plain_evidence("the derivative used is 1 - u", {"u", "x"})
    assert "activation" not in plain_evidence("the gradients of columns 0:5 of `u` were exchanged")


class Wrong(nn.Module):
    """A right layer whose backward multiplies all gradients by `factor` and adds `noise`."""

    def __init__(self, layer, factor, noise):
        self.layer, self.factor, self.noise = layer, factor, noise

    def forward(self, x):
        return self.layer(x)

    def backward(self, dy):
        dx = self.layer.backward(dy)
        for p in self.layer.parameters():
            p.grad[...] = self.factor * p.grad + self.noise
        return self.factor * dx + self.noise


class Scaled(nn.Module):
    """y = 0.5 (1 + tanh(x w)) m, whose scale, weight and input have one element."""

    def __init__(self):
        self.w = nn.Parameter(np.full((1, 1), 0.7))

    def forward(self, x):
        self.save_for_backward(x)
        keep = np.full((1, 1), 0.5)
        return keep * (1 + np.tanh(x @ self.w.data)) * x / np.full((1, 1), 2.0)

    def backward(self, dy):
        (x,) = self.saved()
        t = np.tanh(x @ self.w.data)
        self.w.grad += 0.25 * (dy * x * (1 - t**2)).T @ x
        return 0.25 * dy * (1 + t + x * (1 - t**2) * self.w.data)


ONES = {
    "linear": (lambda: nn.Linear(1, 1, rng=0), (1, 1)),
    "highway": (lambda: Highway(1, ""), (1, 1)),
    "scaled": (Scaled, (1, 1)),
    "tanh": (nn.Tanh, (1, 1)),
    "relu": (nn.ReLU, (1, 1)),
    "softmax": (lambda: nn.Softmax(), (1, 1)),
    "layer norm": (lambda: nn.LayerNorm(1), (1, 1)),
    "dropout": (lambda: nn.Dropout(0.5, rng=0), (1, 1)),
    "convolution": (lambda: nn.Conv2d(1, 1, 1, rng=0), (1, 1, 1, 1)),
    "two layers": (lambda: nn.Sequential(nn.Linear(1, 1, rng=0), nn.Tanh(), nn.Linear(1, 1, rng=1)), (1, 1)),
}


@pytest.mark.parametrize("factor, noise", [(-1, 0), (0.3, 0), (1, 0.37)])
@pytest.mark.parametrize("kind", ONES)
def test_no_search_fails_for_arrays_with_one_element(kind, factor, noise):
    make, shape = ONES[kind]
    report = check_gradients(Wrong(make(), factor, noise), 0.3 + inputs(*shape, seed=2))
    assert not [note for note in report.notes if "search" in note and "failed" in note]


def test_a_function_may_return_an_array_with_one_element():
    x = np.full((1, 1), 3.0)
    np.testing.assert_allclose(numerical_gradient(lambda x: x @ x, x), [[6.0]], rtol=1e-6)


class Larger(nn.Module):
    """y = max(a, v), with a = x W.T and v = x G.T."""

    def __init__(self, factors, select):
        rng = np.random.default_rng(1)
        self.weight, self.gate = (nn.Parameter(rng.normal(size=(3, 4))) for _ in range(2))
        self.factors, self.select = factors, select

    def forward(self, x):
        a, v = x @ self.weight.data.T, x @ self.gate.data.T
        self.save_for_backward(x, a, v)
        return self.select(a, v)

    def backward(self, dy):
        x, a, v = self.saved()
        da, dv = (dy * f for f in self.factors(self.select(a, v) == a, a, v))
        self.weight.grad += da.T @ x
        self.gate.grad += dv.T @ x
        return da @ self.weight.data + dv @ self.gate.data


@pytest.mark.parametrize("select", [np.maximum, np.minimum, lambda a, v: np.where(a > v, a, v)])
@pytest.mark.parametrize(
    "factors, mistake",
    [
        (lambda m, a, v: (1, 1), "mask not applied"),
        (lambda m, a, v: (m, 1), "mask not applied"),
        (lambda m, a, v: (1, ~m), "mask not applied"),
        (lambda m, a, v: (~m, m), "mask inverted"),
        (lambda m, a, v: (m, m), "mask inverted"),
        (lambda m, a, v: (np.where(m, a, v), np.where(m, a, v)), "the wrong array used"),
    ],
)
def test_the_larger_of_two_arrays(select, factors, mistake):
    report = check_gradients(Larger(factors, select), inputs(5, 4))
    found = [entry.diagnosis for entry in report if entry.verdict == "wrong"]
    assert found and {d and d.mistake for d in found} == {mistake}
    assert all(f"`{'a'}" in d.evidence or "np." in d.evidence or "self.select" in d.evidence for d in found)


def test_the_larger_of_two_arrays_without_a_mistake_is_right():
    assert check_gradients(Larger(lambda m, a, v: (m, ~m), np.maximum), inputs(5, 4)).verdict == "right"


def test_the_formula_of_the_sigmoid_used_for_a_gate_with_relu():
    class Gate(nn.Module):
        def __init__(self):
            rng = np.random.default_rng(1)
            self.weight, self.gate = (nn.Parameter(rng.normal(size=(3, 4))) for _ in range(2))

        def forward(self, x):
            a, v = x @ self.weight.data.T, x @ self.gate.data.T
            self.save_for_backward(x, a, v)
            return a * np.maximum(0, v)

        def backward(self, dy):
            x, a, v = self.saved()
            da, dv = dy * np.maximum(0, v), dy * a * v * (1 - v)
            self.weight.grad += da.T @ x
            self.gate.grad += dv.T @ x
            return da @ self.weight.data + dv @ self.gate.data

    report = check_gradients(Gate(), inputs(5, 4))
    assert report.entries["gate"].diagnosis.mistake == "derivative taken at the wrong value"
    assert "the sigmoid's formula" in report.entries["gate"].diagnosis.evidence


@pytest.mark.parametrize("wrong, other, right", [("x", "x", "g"), ("b", "b", "g")])
def test_a_layer_without_an_activation_function_has_no_wrong_activation(wrong, other, right):
    class Affine(nn.Module):
        def __init__(self):
            rng = np.random.default_rng(1)
            self.g, self.b = (nn.Parameter(rng.normal(size=3)) for _ in range(2))

        def forward(self, x):
            self.save_for_backward(x)
            return self.g.data * x + self.b.data

        def backward(self, dy):
            (x,) = self.saved()
            self.g.grad += (dy * x).sum(axis=(0, 1))
            self.b.grad += dy.sum(axis=(0, 1))
            return dy * (x if wrong == "x" else self.b.data)

    diagnosis = check_gradients(Affine(), inputs(5, 2, 3)).entries["x"].diagnosis
    assert diagnosis.mistake == "the wrong array used"
    assert f"`{other}" in diagnosis.evidence or f"{other}.data" in diagnosis.evidence
    assert "activation" not in diagnosis.evidence


@pytest.mark.parametrize(
    "wrong, says",
    [
        (lambda y, dy: dy - (np.exp(y) * dy).sum(axis=-1, keepdims=True), "backward computes dy - sum(dy p) where"),
        (lambda y, dy: dy - np.exp(y) * dy.sum(axis=0), "backward computes dy - p sum(dy, axis 0) where"),
    ],
)
def test_the_evidence_for_log_softmax_says_what_is_wrong_and_what_is_needed(wrong, says):
    def forward(x):
        y = x - np.log(np.exp(x).sum(axis=-1, keepdims=True))
        return y, y

    diagnosis = check_gradients((forward, lambda dy, y: wrong(y, dy)), inputs(4, 3)).entries["x"].diagnosis
    assert says in diagnosis.evidence and "log-softmax needs dy - p sum(dy)" in diagnosis.evidence
