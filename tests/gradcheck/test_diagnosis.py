"""Test that each hypothesis is reported where it holds, for arrays of any size, and nowhere else."""

import math
import sys

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

import nnscratch as nn
from nnscratch.gradcheck import check_gradients
from nnscratch.gradcheck.adapters import make_adapter
from nnscratch.gradcheck.diagnosis.forward_graph import ForwardGraph
from nnscratch.gradcheck.projection import Projection
from nnscratch.gradcheck.tape import CannotTape, Tape, change_path, replace_factor, replace_slope

SIZES = st.tuples(*[st.integers(2, 5)] * 3)


def affine(backward):
    return (lambda x, w, b: (x @ w + b, (x, w, b))), (lambda dout, cache: backward(*cache, dout))


def drawn(sizes, seed):
    rng = np.random.default_rng(seed)
    n, d, m = sizes
    return rng.normal(size=(n, d)), rng.normal(size=(d, m)), rng.normal(size=m)


def names(report):
    return [diagnosis.mistake for diagnosis in report.diagnoses]


# --- from the arrays alone -------------------------------------------------------------------------------------------


@settings(max_examples=15, deadline=None)
@given(SIZES, st.integers(0, 99), st.floats(-4, 4).filter(lambda c: min(abs(c - k) for k in (-1, 0, 1, 2, 3)) > 0.01))
def test_any_factor_is_found_and_said(sizes, seed, c):
    report = check_gradients(affine(lambda x, w, b, d: (d @ w.T, c * (x.T @ d), d.sum(0))), *drawn(sizes, seed))
    assert report["w"].diagnosis.mistake == "scaled by a constant"
    assert f"given = {c:.6g} * true" in report["w"].diagnosis.evidence


@settings(max_examples=10, deadline=None)
@given(SIZES, st.integers(0, 99), st.data())
def test_the_one_sample_that_is_counted_is_found(sizes, seed, data):
    k = data.draw(st.integers(0, sizes[0] - 1))
    report = check_gradients(affine(lambda x, w, b, d: (d @ w.T, np.outer(x[k], d[k]), d.sum(0))), *drawn(sizes, seed))
    assert report["w"].diagnosis.mistake == "one sample counted"
    assert f"only sample {k} of" in report["w"].diagnosis.evidence


def test_a_single_number_is_not_called_a_multiple_of_another():
    def forward(x):
        return float(np.sin(x[0]))

    assert names(check_gradients((forward, lambda x: np.cos(x) + 0.1 * x**3), np.array([0.7]))) == []
    at_every_point = check_gradients((forward, lambda x: 1.2345 * np.cos(x)), np.array([0.7]))
    assert names(at_every_point) == ["scaled by a constant"]
    assert names(check_gradients((forward, lambda x: -np.cos(x)), np.array([0.7]))) == ["sign flipped"]


# --- the tape --------------------------------------------------------------------------------------------------------


def two_layers(x, w, v):
    h = np.tanh(x @ w)
    return x @ v * h, None


X, W, V = drawn((4, 3, 3), 0)[0], *(np.random.default_rng(1).normal(size=(3, 3)) for _ in range(2))


def taped(function=two_layers, inputs=(X, W, V)):
    return Projection(make_adapter((function, lambda dout, cache: None), inputs), np.random.default_rng(0))


def test_a_taped_forward_is_the_same_forward():
    projection = taped()
    with Tape(projection) as tape:
        assert tape.value() == pytest.approx(projection(), rel=1e-14)
        assert [node.name for node in tape.nodes] == ["matmul", "tanh", "matmul", "multiply"]
        assert [node.operand_names for node in tape.nodes][-1] == ["x @ v", "h"]
    assert all(type(v) is np.ndarray for v in projection.variables.values())


@pytest.mark.parametrize(
    "function, inputs, operands",
    [
        (lambda a: (np.linalg.inv(a).dot(a), None), (W,), [["a"], ["np.linalg.inv(a)", "a"]]),
        (lambda a: (math.tanh(a), None), (0.5,), [["a"]]),
    ],
)
def test_a_module_is_not_named_as_an_operand(function, inputs, operands):
    with Tape(taped(function, inputs)) as tape:
        assert [node.operand_names for node in tape.nodes] == operands


def derivative(tape, name, direction, h=1e-6):
    array, held = tape.projection.variables[name], tape.projection.variables[name].copy()
    f = []
    for step in (h, -h):
        array[...] = held + step * direction
        f.append(tape.value())
    array[...] = held
    return (f[0] - f[1]) / (2 * h)


def test_changes_give_the_gradient_of_the_mistake_they_stand_for():
    projection = taped()
    (R,) = projection.weights
    h = np.tanh(X @ W)
    direction = np.random.default_rng(2).normal(size=W.shape)
    gradients = {
        "true": X.T @ (R * (X @ V) * (1 - h**2)),
        "no path through h": 0 * W,
        "the slope of tanh missing": X.T @ (R * (X @ V)),
        "h used for x v": X.T @ (R * h * (1 - h**2)),
    }
    with Tape(projection) as tape:
        changes = {
            "true": {},
            "no path through h": {3: change_path(1, lambda d: 0 * d)},
            "the slope of tanh missing": {1: replace_slope(tape, (1, 0), lambda d: d)},
            "h used for x v": {3: replace_factor(1, 0, h)},
        }
        for mistake, gradient in gradients.items():
            tape.changes = changes[mistake]
            expected = float((gradient * direction).sum())
            assert derivative(tape, "w", direction) == pytest.approx(expected, rel=1e-7, abs=1e-9), mistake


def test_what_cannot_be_taped_is_still_checked():
    def forward(x, w):
        if type(w) is not np.ndarray:
            raise TypeError("arrays only")
        return np.tanh(x @ w), (x, w)

    def backward(dout, cache):
        x, w = cache
        return dout @ w.T, x.T @ dout

    with pytest.raises(CannotTape, match="arrays only"), Tape(taped(lambda x, w: forward(x, w)[0], (X, W))):
        pass
    report = check_gradients((forward, backward), X, W)
    assert report.verdict == "wrong"


def test_the_target_is_as_it_was_after_a_diagnosis():
    class Tanh(nn.Module):
        def __init__(self):
            super().__init__()
            self.w = nn.Parameter(W.copy())

        def forward(self, x):
            h = np.tanh(x @ self.w.data)
            self.save_for_backward(x)
            return h

        def backward(self, dy):
            (x,) = self.saved()
            self.w.grad += x.T @ dy
            return dy @ self.w.data.T

    layer = Tanh()
    data, grad = layer.w.data, layer.w.grad
    assert names(check_gradients(layer, X))[0] == "activation's derivative missing"
    assert layer.w.data is data and layer.w.grad is grad and type(layer.w.data) is np.ndarray
    np.testing.assert_array_equal(data, W)
    np.testing.assert_array_equal(grad, 0)


# --- inside forward --------------------------------------------------------------------------------------------------


def mlp(mistake):
    """tanh, then sigmoid, then linear. `mistake` is the number of the layer whose derivative is left out."""

    def forward(x, w1, w2, w3):
        h1 = np.tanh(x @ w1)
        h2 = 1 / (1 + np.exp(-(h1 @ w2)))
        return h2 @ w3, (x, w1, w2, w3, h1, h2)

    def backward(dout, cache):
        x, w1, w2, w3, h1, h2 = cache
        d2 = dout @ w3.T * (1 if mistake == 2 else h2 * (1 - h2))
        d1 = d2 @ w2.T * (1 if mistake == 1 else 1 - h1**2)
        return d1 @ w1.T, x.T @ d1, h1.T @ d2, h2.T @ dout

    return forward, backward


@settings(max_examples=10, deadline=None)
@given(st.integers(1, 2), st.tuples(*[st.integers(2, 4)] * 5), st.integers(0, 99))
@example(2, (2, 3, 3, 3, 4), 53)  # along a random direction, the errors of the arrays almost cancel
def test_the_layer_whose_slope_is_missing_is_named(layer, sizes, seed):
    rng = np.random.default_rng(seed)
    n, *widths = sizes
    weights = [rng.normal(size=pair) for pair in zip(widths[:-1], widths[1:], strict=True)]
    report = check_gradients(mlp(layer), rng.normal(size=(n, widths[0])), *weights)
    first = report.diagnoses[0]
    assert first.mistake == "activation's derivative missing"
    assert ("np.tanh(x @ w1)", "1 / (1 + np.exp(-(h1 @ w2)))")[layer - 1] in first.place


def rnn(mistake):
    def forward(x, h, W, U):
        hs = [h]
        for t in range(x.shape[1]):
            hs.append(np.tanh(x[:, t] @ W + hs[-1] @ U))
        return np.stack(hs[1:], axis=1), (x, hs, W, U)

    def backward(dy, cache):
        x, hs, W, U = cache
        dx, dW, dU, dh = np.zeros_like(x), np.zeros_like(W), np.zeros_like(U), np.zeros_like(hs[0])
        for t in reversed(range(x.shape[1])):
            da = (dy[:, t] + (0 if mistake == "the state's own path missing" else dh)) * (1 - hs[t + 1] ** 2)
            dx[:, t] = da @ W.T
            dW = x[:, t].T @ da + (0 if mistake == "only the first time step counted" else dW)
            if not (mistake == "the last time step not counted" and t == x.shape[1] - 1):
                dU += hs[t + 1 if mistake == "the wrong array used" else t].T @ da
            dh = da @ (U if mistake == "transposed" else U.T)
        return dx, dh, dW, dU

    return forward, backward


@pytest.mark.parametrize(
    "mistake",
    [
        "the state's own path missing",
        "only the first time step counted",
        "the last time step not counted",
        "the wrong array used",
        "transposed",
    ],
)
@settings(max_examples=2)  # the first one has the smallest sizes
@given(
    sizes=st.tuples(st.integers(2, 4), st.integers(3, 5), st.integers(2, 3), st.integers(2, 4)),
    seed=st.integers(0, 99),
)
def test_mistakes_in_time_are_named_whatever_the_sizes(mistake, sizes, seed):
    N, T, D, H = sizes
    rng = np.random.default_rng(seed)
    arrays = [rng.normal(size=s) * 0.7 for s in ((N, T, D), (N, H), (D, H), (H, H))]
    assert check_gradients(rnn(""), *arrays, diagnose=False).ok
    assert names(check_gradients(rnn(mistake), *arrays))[0] == mistake


def test_two_mistakes_in_two_arrays_are_both_named():
    backward = affine(lambda x, w, b, d: (d @ w.T, -x.T @ d, d))
    report = check_gradients(backward, *drawn((5, 3, 4), 3))
    assert report["w"].diagnosis.mistake == "sign flipped"
    assert report["b"].diagnosis.mistake == "sum over the batch missing"


def test_words_of_the_code_may_hold_any_sign():
    sizes = [3, 5]

    def forward(x, w):
        return x * w[:, : 10 % len(sizes) + 4], (x, w)

    def backward(dout, cache):
        x, w = cache
        return dout, dout * x

    report = check_gradients((forward, backward), X[:, :3].repeat(2, 1)[:, :4], np.eye(4) + 2)
    assert report["x"].diagnosis.mistake == "a factor missing"
    assert "replaces `w[:, :10 % len(sizes) + 4]` by 1" in report["x"].diagnosis.evidence


def test_one_mistake_in_a_net_is_said_of_every_array_it_spoils():
    rng = np.random.default_rng(4)
    report = check_gradients(mlp(1), rng.normal(size=(3, 4)), *(rng.normal(size=s) for s in ((4, 3), (3, 5), (5, 2))))
    assert [report[name].verdict for name in ("x", "w1", "w2", "w3")] == ["wrong", "wrong", "right", "right"]
    assert [report[name].diagnosis.mistake for name in ("x", "w1")] == ["activation's derivative missing"] * 2


def test_layers_of_different_widths_in_a_loop_without_the_mask():
    rng = np.random.default_rng(3)

    def forward(x, w1, w2):
        cache = []
        for w in (w1, w2):
            cache.append((x, w))
            x = np.maximum(0, x @ w)
        return x, cache

    def backward(d, cache):
        gradients = []
        for x, w in reversed(cache):
            gradients.insert(0, x.T @ d)
            d = d @ w.T
        return (d, *gradients)

    inputs = (rng.normal(size=(5, 4)), rng.normal(size=(4, 4)), rng.normal(size=(4, 6)))
    report = check_gradients((forward, backward), *inputs)
    assert report.verdict == "wrong"
    assert report.diagnoses[0].mistake == "mask not applied"
    assert not any("of the diagnosis failed" in note for note in report.notes)


def test_what_fails_in_the_diagnosis_costs_the_diagnosis_only(monkeypatch):
    import nnscratch.gradcheck.diagnosis as diagnosis

    def failing(*arguments):
        raise RuntimeError("a fault of the checker")

    for name in ("array_mistakes", "output_mistakes", "target_mistakes", "forward_mistakes", "upstream_mistakes"):
        monkeypatch.setattr(diagnosis, name, failing)
    report = check_gradients((lambda x: (x**2, x), lambda d, x: 3 * d * x), np.arange(1.0, 5.0))
    assert report.verdict == "wrong"
    assert report.diagnoses == []
    assert any("RuntimeError: a fault of the checker" in note for note in report.notes)


def test_one_kind_of_hypotheses_that_fails_leaves_the_others(monkeypatch):
    module = sys.modules["nnscratch.gradcheck.diagnosis.forward_mistakes"]

    def failing(graph):
        raise ZeroDivisionError("a fault of the checker")
        yield

    monkeypatch.setattr(module, "KINDS", (failing, *module.KINDS))

    def backward(d, cache):
        x, w = cache
        return d @ w.T, x.T @ d

    rng = np.random.default_rng(4)
    pair = (lambda x, w: (np.tanh(x @ w), (x, w)), backward)
    report = check_gradients(pair, rng.normal(size=(4, 3)), rng.normal(size=(3, 2)))
    assert report.diagnoses[0].mistake == "activation's derivative missing"
    assert any("the search failing of the diagnosis failed" in note for note in report.notes)


def test_two_gradients_are_exchanged_only_if_both_are_wrong():
    rng = np.random.default_rng(5)
    a, b = rng.normal(size=(2, 4))

    def both(a, b):
        return np.sum(a**2 * b), (a**2, 2 * a * b)

    def one(a, b):
        return np.sum(a**2 * b), (a**2, a**2)

    assert check_gradients(both, a, b).diagnoses[0].mistake == "two gradients exchanged"
    report = check_gradients(one, a, b)
    assert report["b"].verdict == "right"
    assert report["a"].diagnosis.mistake == "the wrong array used"


def test_a_small_mistake_in_float64_is_not_called_float32_noise():
    def backward(d, x):
        return d * 2 * x * (1 + 2e-5 * np.sin(x))

    report = check_gradients((lambda x: (x**2, x), backward), np.linspace(0.3, 2, 8))
    assert report.verdict == "wrong"
    assert all(d.mistake != "right but for float32 noise" for d in report.diagnoses)


def test_a_small_error_of_equal_elements_is_a_factor_and_not_another_order_of_the_axes():
    """All elements of the gradient of a mean are equal, so it is also the right one, transposed or reversed."""

    def mean(x):
        return np.mean(x), x

    def backward(dy, x):
        return np.full(x.shape, dy / (x.size + 1e-4))

    report = check_gradients((mean, backward), np.random.default_rng(0).normal(size=(3, 3)))
    assert names(report) == ["scaled by a constant"]


def test_a_small_error_of_a_symmetric_gradient_is_found_in_backward():
    def energy(s):
        return (s * s).sum(), s

    def backward(dy, s):
        return dy * 2 * s / (1 + 1e-5 * s**2)

    s = np.random.default_rng(0).normal(size=(3, 3))
    (diagnosis,) = check_gradients((energy, backward), s + s.T).entries["s"].diagnoses
    assert diagnosis.mistake == "a factor too many" and "return dy * 2 * s" in diagnosis.place


def test_an_axis_of_an_image_is_never_called_time():
    def forward(x):
        return x.reshape(2, 2, 2, 2, 3).mean(axis=(1, 3)), x.shape

    def backward(d, shape):
        dx = np.zeros(shape)
        dx.reshape(2, 2, 2, 2, 3)[0, :, 0] = d[0, 0] / 4
        return dx

    report = check_gradients((forward, backward), np.random.default_rng(6).normal(size=(4, 4, 3)))
    names = [d.mistake for d in report.diagnoses]
    assert names[0] == "only the first round of the loop counted", names
    assert not any("time" in name for name in names)


def test_operations_that_only_backward_needs_are_pruned():
    x = np.random.default_rng(7).normal(size=(4, 3))

    def loss(w):
        y = np.tanh(x @ w)
        dw = x.T @ (2 * y * (1 - y**2))
        return np.sum(y**2), dw

    projection = Projection(make_adapter(loss, (np.ones((3, 2)),), None, ()), np.random.default_rng(0))
    with Tape(projection) as tape:
        graph = ForwardGraph(tape)
        assert len(tape.nodes) > len(graph.nodes)
        assert {node.name for node in graph.nodes} == {"matmul", "tanh", "square", "add.reduce"}


@pytest.mark.parametrize("mode", ["full", "directional"])
def test_one_number_in_place_of_the_number_of_classes_above_the_margin(mode):
    def svm_loss(x, y):
        rows = np.arange(len(x))
        correct = x[rows, y]
        margins = np.maximum(0, x - correct[:, None] + 1.0)
        margins[rows, y] = 0
        dx = (margins > 0).astype(float)
        dx[rows, y] -= 1  # the mistake: it should be the number of classes above the margin
        return margins.sum() / len(x), dx / len(x)

    rng = np.random.default_rng(0)
    report = check_gradients(svm_loss, rng.normal(size=(3, 6)), rng.integers(0, 6, 3), mode=mode)
    assert report.diagnoses[0].mistake == "upstream gradient wrong"
    assert "the gradient of `correct` is taken as -0.3333 everywhere" in report.diagnoses[0].evidence


def test_off_the_diagonal_of_softmaxs_jacobian_the_sign_is_wrong():
    def forward(z):
        e = np.exp(z - z.max(axis=1, keepdims=True))
        return e / e.sum(axis=1, keepdims=True), e / e.sum(axis=1, keepdims=True)

    def backward(d, a):
        jacobians = a[:, :, None] * a[:, None, :]  # the mistake: minus, off the diagonal
        for k in range(a.shape[1]):
            jacobians[:, k, k] = a[:, k] * (1 - a[:, k])
        return np.einsum("nk,nkm->nm", d, jacobians)

    diagnosis = check_gradients((forward, backward), np.random.default_rng(3).normal(size=(3, 4))).diagnoses[0]
    assert diagnosis.mistake == "sign flipped" and "off the diagonal" in diagnosis.evidence


@pytest.mark.parametrize("term", ["mean", "deviation"])
def test_one_term_of_a_normalisation_is_taken_over_another_axis(term):
    def forward(x):
        std = np.sqrt(x.var(axis=1, keepdims=True) + 1e-5)
        return (x - x.mean(axis=1, keepdims=True)) / std, ((x - x.mean(axis=1, keepdims=True)) / std, std)

    def backward(d, cache):
        z, std = cache
        of_mean, of_deviation = (0, 1) if term == "mean" else (1, 0)
        return (d - d.mean(of_mean, keepdims=True) - z * (d * z).mean(of_deviation, keepdims=True)) / std

    diagnosis = check_gradients((forward, backward), np.random.default_rng(4).normal(size=(5, 4))).diagnoses[0]
    assert diagnosis.mistake == "summed over the wrong axis" and f"term of the {term}" in diagnosis.evidence


def test_the_place_that_explains_the_most_arrays_is_named():
    def forward(q, k):
        return np.tanh(q @ k.T / 2.0), (q, k)

    def backward(d, cache):
        q, k = cache
        ds = d * (1 - np.tanh(q @ k.T / 2.0) ** 2)  # the mistake: not divided by 2
        return ds @ k, ds.T @ q

    rng = np.random.default_rng(5)
    report = check_gradients((forward, backward), rng.normal(size=(3, 4)), rng.normal(size=(5, 4)))
    assert [d.mistake for d in report.diagnoses[:1]] == ["counted twice"]
    assert len({e.diagnosis.place for e in report}) == 1


def test_data_has_no_weight_decay():
    class FC:
        def __init__(self):
            self.weights = np.random.default_rng(6).normal(size=(3, 2))

        def forward(self, input_data):
            self.input = input_data
            return input_data @ self.weights

        def backward(self, output_error, learning_rate):
            self.weights -= learning_rate * self.input.T @ output_error  # the mistake: the next line needs the old ones
            return output_error @ self.weights.T

    report = check_gradients(FC(), np.random.default_rng(7).normal(size=(1, 3)))
    assert report["input_data"].verdict == "wrong" and not report.diagnoses
    assert any("depends on the learning rate" in note for note in report.notes)


def test_a_path_is_missing_in_a_backward_that_differentiates_the_maximum():
    def forward(logits, labels):
        counts = np.exp(logits - logits.max(axis=1, keepdims=True))
        total = counts.sum(axis=1, keepdims=True)
        probs = counts * total**-1.0
        return -np.mean(np.log(probs)[np.arange(len(labels)), labels]), (logits, labels, counts, total)

    def backward(dloss, cache):
        logits, labels, counts, total = cache
        dlog = np.zeros_like(counts)
        dlog[np.arange(len(labels)), labels] = -dloss / len(labels)
        dshifted = counts / total * (dlog * total / counts)  # the gradient through the sum is missing
        dmax = -dshifted.sum(axis=1, keepdims=True)
        return dshifted + dmax * np.eye(counts.shape[1])[logits.argmax(axis=1)]

    logits = np.random.default_rng(4).normal(size=(5, 4))
    (entry,) = check_gradients((forward, backward), logits, np.array([0, 1, 3, 2, 2]))
    assert entry.verdict == "wrong" and entry.diagnosis.mistake == "a path missing"


def test_the_scale_of_attention_with_a_causal_mask():
    def forward(q, k, v):
        s = q @ k.T / np.sqrt(q.shape[1])
        s = np.where(np.tril(np.ones(s.shape)) == 0, -1e9, s)
        e = np.exp(s - s.max(axis=1, keepdims=True))
        a = e / e.sum(axis=1, keepdims=True)
        return a @ v, (q, k, v, a)

    def backward(dy, cache):
        q, k, v, a = cache
        da = dy @ v.T
        ds = a * (da - (da * a).sum(axis=1, keepdims=True))  # not divided by sqrt(3)
        return ds @ k, ds.T @ q, a.T @ dy

    report = check_gradients((forward, backward), *np.random.default_rng(0).normal(size=(3, 4, 3)))
    assert [e.name for e in report if e.verdict == "wrong"] == ["q", "k"]
    assert report.diagnoses[0].mistake == "scaled by a constant" and "1.732" in report.diagnoses[0].evidence
