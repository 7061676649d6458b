"""Mistakes that readers of the notebooks made: the right name, at the right place, and no false name."""

from itertools import permutations

import numpy as np
import pytest
from wrong_gradients import graph_of

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
    evidence = "the other 3 blocks are right; the wrong block is not a multiple of its true values"
    assert f"{evidence}. Place: rows 5:10 of" in said
    assert "the forget gate" in said and "the your" not in said


def test_code_in_the_evidence_is_not_read_as_a_symbol():
    assert plain_evidence("given = true * `given - true`") == "your gradient = the right one * `given - true`"
    assert plain_evidence("the given gradient is 3 * dy") == "your gradient is 3 * dy"
    assert "activation" in plain_evidence("the derivative used is 1 - u")
    assert "activation" not in plain_evidence("the derivative used is 1 - u", {"u", "x"})
    assert "phi' is the derivative" in plain_evidence("phi' is missing", {"p", "x"})  # p is not the symbol phi'
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


@pytest.mark.thorough
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
        (lambda y, dy: dy - (np.exp(y) * dy).sum(axis=-1, keepdims=True), "backward computes dy - sum(dy p), but"),
        (lambda y, dy: dy - np.exp(y) * dy.sum(axis=0), "backward computes dy - p sum(dy, axis 0), but"),
    ],
)
def test_the_evidence_for_log_softmax_says_what_is_wrong_and_what_is_needed(wrong, says):
    def forward(x):
        y = x - np.log(np.exp(x).sum(axis=-1, keepdims=True))
        return y, y

    diagnosis = check_gradients((forward, lambda dy, y: wrong(y, dy)), inputs(4, 3)).entries["x"].diagnosis
    assert says in diagnosis.evidence and "log-softmax needs dy - p sum(dy)" in diagnosis.evidence


# --- the names of factors, functions and counts ----------------------------------------------------------------------


def softplus(x):
    return np.maximum(x, 0) + np.log1p(np.exp(-np.abs(x)))


class WeightedLoss(nn.Module):
    """Mean binary cross-entropy of logits x and targets t; class 1 has the weight w. `answer` is the backward."""

    def __init__(self, answer, w=3.0):
        self.answer, self.w = answer, w

    def forward(self, x, t):
        self.save_for_backward(x, t)
        return float((self.w * t * softplus(-x) + (1 - t) * softplus(x)).mean())

    def backward(self):
        return self.answer(*self.saved(), self.w)


LABELS = (np.random.default_rng(1).random((5, 3)) < 0.5).astype(float)


def test_a_forgotten_weight_of_labels_is_no_keep_probability(capsys):
    answer = WeightedLoss(lambda x, t, w: (sigmoid(x) - t) / x.size)
    said = exercise_says(capsys, answer, inputs(5, 3), LABELS, only=["x"])
    assert "Likely mistake: a factor missing. Evidence: to compute the gradient of `softplus(-x)`, " in said
    assert "backward leaves out the factor `self.w` of `self.w * t`" in said


def test_the_argument_of_a_function_has_the_name_that_its_caller_writes(capsys):
    answer = WeightedLoss(lambda x, t, w: (-w * t * sigmoid(x) + (1 - t) * sigmoid(x)) / x.size)
    said = exercise_says(capsys, answer, inputs(5, 3), LABELS, only=["x"])
    assert "the derivative of `softplus(-x)` is taken at `x`, not at `-x`" in said


def test_an_array_in_place_of_another_one_is_named_by_the_expression_that_needs_it(capsys):
    answer = WeightedLoss(lambda x, t, w: (sigmoid(x) - w * t) / x.size)
    said = exercise_says(capsys, answer, inputs(5, 3), LABELS, only=["x"])
    assert "contains `self.w * t` where it needs `t`" in said


class Dropout(nn.Module):
    """y = mask x / keep. `random`: forward draws the mask. Otherwise the mask is an input."""

    def __init__(self, random):
        self.random = random

    def forward(self, x, valid):
        mask = (np.random.default_rng(3).random(x.shape) < 0.5).astype(float) if self.random else valid
        factor = mask * 2.5
        self.save_for_backward(mask)
        return x * factor

    def backward(self, dy):
        (mask,) = self.saved()
        return dy * mask, None


@pytest.mark.parametrize("random, name", [(True, "keep-probability not applied"), (False, "a factor missing")])
def test_a_scale_is_a_keep_probability_only_if_the_mask_is_random(random, name):
    report = check_gradients(Dropout(random), inputs(5, 3), LABELS, only=["x"])
    assert report["x"].diagnosis.mistake == name


def test_the_slope_of_a_scaled_relu_is_no_keep_probability():
    pair = (lambda x: (2.5 * np.maximum(x, 0), x)), (lambda dy, x: dy * (x > 0))
    assert check_gradients(pair, inputs(5, 3))["x"].diagnosis.mistake == "a factor missing"


class Scale(nn.Module):
    def __init__(self, answer):
        self.g, self.c, self.answer = nn.Parameter(np.array([0.5, 2.0, -1.0])), nn.Parameter(np.zeros(1)), answer

    def forward(self, x):
        self.save_for_backward(x)
        return self.g.data * x + self.c.data

    def backward(self, dy):
        (x,) = self.saved()
        self.g.grad += (dy * x).sum(axis=0)
        self.c.grad += self.answer(dy)
        return self.g.data * dy


def test_a_number_is_not_explained_by_a_factor_that_holds_for_one_dy_only(capsys):
    said = exercise_says(capsys, Scale(len), inputs(4, 3))
    assert "The gradient of c is wrong" in said and "times" not in said and "Likely" not in said


def test_a_single_gradient_for_a_dy_of_ones_is_named(capsys):
    said = exercise_says(capsys, Scale(np.size), inputs(4, 3))
    assert "Likely mistake: upstream gradient missing. Evidence: backward computes as if dy were 1 everywhere" in said


def test_a_constant_that_equals_a_setting_of_the_layer_is_named_after_it(capsys):
    answer = WeightedLoss(lambda x, t, w: w * (sigmoid(x) - t) / x.size)
    said = exercise_says(capsys, answer, inputs(5, 3), LABELS, only=["x"])
    assert "is counted 3 times; this may be the factor self.w = 3, or 1 / self.w; or backward has" in said
    assert "where D = 3 is the length of axis 1 of x" in said


def test_a_factor_with_digits_is_no_count(capsys):
    def forward(x, w):
        return np.tanh(x @ w) + x, (x, w)

    def backward(dy, cache):
        x, w = cache
        dz = dy * (1 - np.tanh(x @ w) ** 2)
        return 1.2345678 * dz @ w.T + dy, x.T @ dz

    said = exercise_says(capsys, (forward, backward), inputs(4, 3), inputs(3, 3, seed=1))
    assert "is multiplied by 1.235" in said and "counts" not in said


def test_a_gradient_whose_terms_cancel_is_no_sum_of_the_true_one(capsys):
    class LogSoftmax(nn.Module):
        def forward(self, x):
            y = x - np.log(np.exp(x).sum(axis=-1, keepdims=True))
            self.save_for_backward(y)
            return y

        def backward(self, dy):
            (y,) = self.saved()
            return dy - np.exp(y).sum(axis=-1, keepdims=True) * dy

    said = exercise_says(capsys, LogSoftmax(), inputs(5, 7, seed=3))
    assert "gradient never computed. Evidence: backward gives zero everywhere, except for rounding" in said


@pytest.mark.parametrize("count, step", [(3, 1), (4, 5)])  # all orders of 3 gates, and every fifth order of 4
def test_every_order_of_gates_is_named(count, step):
    rng = np.random.default_rng(0)
    x, h, W, U = (rng.normal(size=s) for s in ((6, 3), (6, 2), (3, 2 * count), (2, 2 * count)))
    for order in list(permutations(range(count)))[1::step]:

        def forward(x, h, W, U):
            z = x @ W + h @ U
            return np.tanh(z).reshape(6, count, 2).prod(axis=1), (x, h, W, U, np.tanh(z).reshape(6, count, 2))

        def backward(dy, cache, order=order):
            x, h, W, U, a = cache
            parts = [dy * np.delete(a, k, 1).prod(axis=1) * (1 - a[:, k] ** 2) for k in range(count)]
            dz = np.hstack([parts[k] for k in order])
            return dz @ W.T, dz @ U.T, x.T @ dz, h.T @ dz

        first = check_gradients((forward, backward), x, h, W, U).diagnoses[0]
        swapped = sum(k != i for i, k in enumerate(order)) == 2
        assert first.mistake == ("two gates swapped" if swapped else "gates in the wrong order"), order
        if not swapped:
            assert f"in the order {', '.join(str(k + 1) for k in order)} instead of" in first.evidence


class Cell(nn.Module):
    """A cell with one gate: c' = f c + (1 - f) g, h' = o tanh(c'). `mistake` selects a wrong array in backward."""

    def __init__(self, mistake=""):
        rng = np.random.default_rng(7)
        self.weight_ih, self.weight_hh = (nn.Parameter(rng.normal(size=(6, n))) for n in (3, 2))
        self.mistake = mistake

    def forward(self, x, state):
        h, c = state
        z = x @ self.weight_ih.data.T + h @ self.weight_hh.data.T
        f, g, o = sigmoid(z[:, :2]), np.tanh(z[:, 2:4]), sigmoid(z[:, 4:])
        c_new = f * c + (1 - f) * g
        self.save_for_backward(x, h, c, f, g, o, c_new)
        return o * np.tanh(c_new), c_new

    def backward(self, dh_new, dc_new):
        x, h, c, f, g, o, c_new = self.saved()
        tanh_c = np.tanh(c_new)
        do = dh_new * (c_new if self.mistake == "c_new for tanh_c" else tanh_c)
        dc_new = (self.mistake != "no dc_new") * dc_new + dh_new * o * (1 - tanh_c**2)
        df = dc_new * ((c_new if self.mistake == "c_new for c" else c) - g)
        dg = dc_new * (1 - f)
        dz = np.hstack([df * f * (1 - f), dg * (1 - g**2), do * o * (1 - o)])
        self.weight_ih.grad += dz.T @ x
        self.weight_hh.grad += dz.T @ (o * tanh_c if self.mistake == "h_new for h" else h)
        return dz @ self.weight_ih.data, (dz @ self.weight_hh.data, dc_new * f)


@pytest.mark.parametrize(
    "mistake, words",
    [
        ("", ""),
        ("h_new for h", "replaces `h` by `o * np.tanh(c_new)`"),
        ("c_new for c", "replaces `c` by `c_new`"),
        ("c_new for tanh_c", "replaces `np.tanh(c_new)` by `c_new`"),
        ("no dc_new", ""),
    ],
)
def test_an_output_of_forward_in_place_of_another_array_is_named(mistake, words):
    report = check_gradients(Cell(mistake), inputs(6, 3), (inputs(6, 2, seed=1), inputs(6, 2, seed=2)))
    assert report.ok == (mistake == "")
    for diagnosis in report.diagnoses[: bool(words)]:
        assert diagnosis.mistake == "the wrong array used" and words in diagnosis.evidence, diagnosis
    if mistake == "no dc_new":
        diagnosis = report.diagnoses[0]
        assert diagnosis.mistake == "the state's own path missing" and "f * c + (1 - f) * g" in diagnosis.place
        assert diagnosis.evidence.startswith("backward ignores the gradient of output[1]")


@pytest.mark.parametrize(
    "argument, names",
    [("x @ w", {"x @ w"}), ("x", {"x"})],  # the parameter's own name stands for another array of the caller
)
def test_an_operand_in_a_helper_has_the_name_that_the_caller_writes(argument, names):
    def gate(z):
        return np.tanh(z)

    def product(x, w):
        z = gate(x @ w)
        return z * x

    def plain(x, w):
        z = gate(x)
        return z @ w

    with graph_of({"x @ w": product, "x": plain}[argument], inputs(4, 3), inputs(3, 3, seed=1)) as graph:
        (tanh,) = [node for node in graph.nodes if node.name == "tanh"]
        assert tanh.operand_names == ["z"] and set(tanh.outer_names) == names and tanh.call == f"gate({argument})"


def test_a_long_argument_does_not_replace_the_name_of_a_parameter():
    def gate(pre):
        return np.tanh(pre)

    with graph_of(lambda x, w: gate(x @ w), inputs(4, 3), inputs(3, 3, seed=1)) as graph:
        assert [node.outer_names for node in graph.nodes if node.name == "tanh"] == [["pre"]]
