"""Test what the checker measures: weights that backward changes, kinks, scales, noise, cost."""

import time

import numpy as np
import pytest

from nnscratch.gradcheck import check_gradients


def rng(seed=0):
    return np.random.default_rng(seed)


X = rng(100).normal(size=(4, 3))


# --- backward changes the weights -------------------------------------------------------------------------------------


class Updates:
    """Two layers. Backward updates the weights `early` or last, and replaces them or writes into them."""

    def __init__(self, early, in_place, seed):
        r = rng(seed)
        self.W1, self.W2, self.early, self.in_place = r.normal(size=(3, 4)), r.normal(size=(4, 2)), early, in_place

    def update(self, name, gradient):
        if self.in_place:
            getattr(self, name)[...] -= 0.1 * gradient
        else:
            setattr(self, name, getattr(self, name) - 0.1 * gradient)

    def forward(self, x):
        self.x, self.h = x, np.tanh(x @ self.W1)
        return self.h @ self.W2

    def backward(self, d):
        self.dW2 = self.h.T @ d
        if self.early:
            self.update("W2", self.dW2)
        dh = d @ self.W2.T * (1 - self.h**2)
        self.dW1 = self.x.T @ dh
        dx = dh @ self.W1.T
        if not self.early:
            self.update("W2", self.dW2)
            self.update("W1", self.dW1)
        return dx


@pytest.mark.parametrize("mode", ["full", "sampled", "directional"])
@pytest.mark.parametrize("in_place", [True, False])
@pytest.mark.parametrize("seed", range(2))
def test_an_update_in_backward_is_named_and_the_gradients_are_those_before_it(mode, in_place, seed):
    net = Updates(False, in_place, seed)
    before = net.W1, net.W2, net.W1.copy(), net.W2.copy()
    report = check_gradients(net, X, mode=mode)
    assert report.ok and [trap.kind for trap in report.traps] == ["backward writes into its input"]
    assert report.traps[0].message.startswith("W1, W2") if not in_place else "W2" in report.traps[0].message
    assert net.W1 is before[0] and net.W2 is before[1]
    np.testing.assert_array_equal(net.W1, before[2])
    np.testing.assert_array_equal(net.W2, before[3])


@pytest.mark.parametrize("mode", ["full", "sampled", "directional"])
@pytest.mark.parametrize("in_place", [True, False])
@pytest.mark.parametrize("seed", range(2))
def test_an_update_before_the_weights_are_used_is_wrong_and_never_a_kink(mode, in_place, seed):
    report = check_gradients(Updates(True, in_place, seed), X, mode=mode, diagnose=False)
    assert {entry.name: entry.verdict for entry in report} == {"W1": "wrong", "W2": "right", "x": "wrong"}
    assert report.kinks == 0 and [trap.severity for trap in report.traps] == ["wrong"]


class Hidden:
    scale = 1.0


def test_a_change_that_cannot_be_restored_makes_the_verdict_cannot_tell():
    def backward(d, cache):
        Hidden.scale *= 1.5  # an attribute of a class is not recorded
        return d * 2

    try:
        report = check_gradients((lambda x: (2 * Hidden.scale * x, None), backward), X, diagnose=False)
        assert not report.ok
        Hidden.scale = 0.0
        report = check_gradients((lambda x: (x + (Hidden.scale > 3), None), lambda d, c: next_scale(d)), X)
        assert report.verdict == "cannot tell" and report.traps[-1].kind == "state has drifted"
    finally:
        Hidden.scale = 1.0


def next_scale(d):
    Hidden.scale += 1
    return d


# --- kinks ------------------------------------------------------------------------------------------------------------

SLOPES = [(0, 0, True), (0.5, 0, True), (1, 0, True), (1.2, 0, False), (1.5, 0, False), (-0.5, 0, False)]
CONSTANTS = [(0, 0.3, False), (0, -0.3, False), (0, 0.01, False)]  # the constant is added at the kink only


def relu(slope, constant):
    def backward(d, x):
        return d * np.where(x == 0, slope, x > 0) + constant * (x == 0)

    return (lambda x: (np.maximum(x, 0), x)), backward


def relu_layer(slope, constant):
    def forward(x, w, b, v):
        z = x @ w + b
        return np.maximum(z, 0) @ v, (x, w, v, z)

    def backward(d, cache):
        x, w, v, z = cache
        dz = d @ v.T * np.where(z == 0, slope, z > 0) + constant * (z == 0)
        return dz @ w.T, x.T @ dz, dz.sum(axis=0), np.maximum(z, 0).T @ d

    return forward, backward


@pytest.mark.parametrize("mode", ["full", "sampled", "directional"])
@pytest.mark.parametrize(("slope", "constant", "right"), SLOPES + CONSTANTS)
def test_at_a_kink_the_slope_lies_between_the_one_sided_slopes(mode, slope, constant, right):
    x = rng(1).normal(size=(4, 6))
    x[:, ::2] = 0
    for given in (x, np.zeros((5, 30))):
        report = check_gradients(relu(slope, constant), given, mode=mode, diagnose=False)
        assert report.verdict == ("right" if right else "wrong"), report


@pytest.mark.parametrize("mode", ["full", "sampled", "directional"])
@pytest.mark.parametrize(("slope", "constant", "right"), SLOPES + CONSTANTS)
@pytest.mark.parametrize("rows", [1, 2])
def test_in_a_hidden_layer_too_unit_by_unit(mode, slope, constant, right, rows):
    r = rng(rows)
    x = r.normal(size=(4, 3))
    x[:rows] = 0
    inputs = x, r.normal(size=(3, 3)), np.zeros(3), r.normal(size=(3, 2))
    report = check_gradients(relu_layer(slope, constant), *inputs, mode=mode, diagnose=False)
    assert report.verdict == ("right" if right else "wrong"), report
    if not right:
        assert "at a kink" in report["b"].reason


# --- scale ------------------------------------------------------------------------------------------------------------


def std(factor):
    def forward(a):
        return np.std(a, axis=1), a

    def backward(g, a):
        s = np.std(a, axis=1, keepdims=True)
        return factor * g[:, None] * (a - a.mean(axis=1, keepdims=True)) / (a.shape[1] * s)

    return forward, backward


@pytest.mark.parametrize("size", [1, 1e-3, 1e-8])
def test_a_narrow_curve_is_no_kink(size):
    x = size * rng(120).normal(size=(3, 5))
    assert check_gradients(std(1), x).verdict == "right"
    report = check_gradients(std(1.05), x)
    assert report.verdict == "wrong" and report.kinks == 0


# --- noise ------------------------------------------------------------------------------------------------------------


def loss_in_float32(factor):
    def loss(x, w):
        y = x @ w
        return float(np.float32(0.5) * np.sum(y.astype(np.float32) ** 2)), (factor * y @ w.T, factor * x.T @ y)

    return loss, (X, rng(1).normal(size=(3, 2)))


def mean_in_float32(factor):
    def loss(x):
        return float(np.mean(np.sin(x).astype(np.float32) ** 2)), factor * np.sin(2 * x) / x.size

    return loss, (X,)


def rounded(factor):
    return (lambda x: (round(float(np.sum(x**2)), 4), factor * 2 * x)), (X,)


def one_minus_cos(factor):
    forward = lambda x: ((1 - np.cos(x)) / x**2, x)  # noqa: E731
    return (forward, lambda d, x: -factor * d * x / 12), (1e-6 * X,)


def fast_sine(factor):
    return (lambda x: (np.sin(1e6 * x), x), lambda d, x: factor * 1e6 * np.cos(1e6 * x) * d), (X,)


@pytest.mark.parametrize("mode", ["full", "sampled", "directional"])
@pytest.mark.parametrize("case", [loss_in_float32, mean_in_float32, rounded, one_minus_cos, fast_sine])
def test_a_noisy_function_is_no_false_alarm(case, mode):
    code, inputs = case(1)
    report = check_gradients(code, *inputs, mode=mode)
    assert report.verdict in ("right", "cannot tell"), report
    if report.verdict == "cannot tell":
        assert any("nois" in entry.reason for entry in report)


@pytest.mark.parametrize("mode", ["full", "sampled", "directional"])
@pytest.mark.parametrize("case", [loss_in_float32, mean_in_float32, rounded])
@pytest.mark.parametrize("factor", [1.1, 3, -1])
def test_noise_does_not_hide_what_is_larger(case, factor, mode):
    code, inputs = case(factor)
    assert check_gradients(code, *inputs, mode=mode, diagnose=False).verdict == "wrong"


def test_a_model_that_computes_in_float32_inside_float64_arrays():
    class Layer:
        def __init__(self, factor):
            self.W, self.dW, self.factor = rng(1).normal(size=(3, 2)), np.zeros((3, 2)), factor

        def forward(self, x):
            self.x, self.h = x, np.empty((len(x), 2))
            self.h[...] = np.tanh((x @ self.W).astype(np.float32))
            return self.h

        def backward(self, d):
            dz = d * (1 - self.h**2)
            self.dW = self.factor * self.x.T @ dz
            return dz @ self.W.T

    assert check_gradients(Layer(1), X).verdict in ("right", "cannot tell")
    assert check_gradients(Layer(1.1), X)["W"].verdict == "wrong"


def recurrent_with_float32_states(factor):
    """A forward that keeps its states in float32, as a compiled function does, and returns float64.

    The gradient of `w` is small, so float32's rounding changes most of its digits in finite differences.
    """

    def forward(x, w):
        states = np.frombuffer(bytearray(6 * 4 * 4), dtype="f").reshape(6, 4)
        for t in range(1, 6):
            states[t] = np.tanh(x @ w + states[t - 1])
        return np.array([np.sum(states[5].astype(float) ** 2)]), (x, w, states)

    def backward(dy, cache):
        x, w, states = cache
        dh, dx, dw = 2 * dy * states[5], np.zeros(3), np.zeros((3, 4))
        for t in range(5, 0, -1):
            dz = dh * (1 - states[t] ** 2)
            dx, dw, dh = dx + w @ dz, dw + np.outer(x, dz), dz
        return dx, factor * dw

    return forward, backward


@pytest.mark.parametrize("seed", range(5))
def test_states_in_float32_are_checked_with_its_precision(seed):
    x, w = 1e-3 * rng(seed).normal(size=3), rng(seed + 50).normal(size=(3, 4))
    report = check_gradients(recurrent_with_float32_states(1), x, w)
    assert report.verdict in ("right", "cannot tell"), report
    assert report.method == "central differences in float32"
    assert any("forward stores float32 arrays" in note for note in report.notes)
    assert check_gradients(recurrent_with_float32_states(1.1), 100 * x, w, diagnose=False)["w"].verdict == "wrong"


def test_a_mask_in_float32_does_not_reduce_the_precision():
    forward = lambda x: (np.sin(x) * (m := (x > 0).astype("f")), (x, m))  # noqa: E731
    report = check_gradients((forward, lambda dy, cache: 1.001 * dy * np.cos(cache[0]) * cache[1]), X)
    assert report.verdict == "wrong" and "float64" in report.method


@pytest.mark.parametrize("mode", ["full", "sampled"])
@pytest.mark.parametrize("factor", [1, 1.5])
def test_elements_far_below_the_largest_are_compared_where_the_complex_step_knows_them(mode, factor):
    scale = 10.0 ** -np.arange(13)
    forward = lambda v: (v * scale, None)  # noqa: E731
    backward = lambda d, _: d * scale * np.where(scale < 1e-9, factor, 1)  # noqa: E731
    assert check_gradients((forward, backward), rng(1).normal(size=13), mode=mode).ok == (factor == 1)


# --- cost -------------------------------------------------------------------------------------------------------------


def affine(seconds=0.0):
    def forward(x, w):
        time.sleep(seconds)
        return x @ w, (x, w)

    return forward, lambda d, cache: (d @ cache[1].T, cache[0].T @ d)


def test_a_long_check_is_estimated_and_done_along_directions():
    x, w = rng(1).normal(size=(3, 40)), rng(2).normal(size=(40, 50))
    report = check_gradients(affine(0.003), x, w)
    assert report.ok and report.mode == "directional" and report.estimate > 20
    assert report.notes[0].startswith("mode='auto' chose 'directional': 'full' would take about 10,600 forward passes")
    short = check_gradients(affine(), X, rng(2).normal(size=(3, 2)))
    assert short.mode == "full" and short.notes == [] and short.estimate < 20


def test_a_mode_that_does_not_compare_everything_says_what_it_would_have_missed():
    x, w = rng(1).normal(size=(3, 10)), rng(2).normal(size=(10, 50))
    (note,) = check_gradients(affine(), x, w, mode="sampled").notes
    assert note.startswith("40 of 530 elements of x, w were compared (7.5 %)")
    (note,) = check_gradients(affine(), x, w, mode="directional", only=["w"]).notes
    assert "if only one of the 500 elements of w is wrong, the check misses an error below" in note
    error = float(note.split()[-1])

    def ok(off):
        forward, backward = affine()

        def spoilt(d, cache):
            dx, dw = backward(d, cache)
            dw[3, 4] += off
            return dx, dw

        return check_gradients((forward, spoilt), x, w, mode="directional", diagnose=False).ok

    assert ok(error / 30) and not ok(error * 30)


def test_a_progress_bar_is_shown_for_long_checks_on_a_terminal_only(monkeypatch, capsys):
    from nnscratch.gradcheck import cost

    assert cost.progress_bar(10, 1000) is None  # stderr is not a terminal
    monkeypatch.setattr("sys.stderr.isatty", lambda: True, raising=False)
    assert cost.progress_bar(10, 1) is None
    monkeypatch.setattr(cost, "BAR_SECONDS", 0.0)
    assert check_gradients(affine(), X, rng(2).normal(size=(3, 2)), mode="full").ok
    assert "gradient check" in capsys.readouterr().err


@pytest.mark.parametrize("factor", [1, 1.005])
def test_float32_inside_float64_code_with_relu(factor):
    """Steps for float32 cross kinks of ReLU. Gradients that differ from the numeric ones by 0.5 % are wrong."""

    def forward(x, w, v):
        h = np.maximum(x @ w, 0).astype(np.float32)
        return np.exp(0.3 * h @ v), (x, w, v, h)

    def backward(dy, cache):
        x, w, v, h = cache
        d = dy * np.exp(0.3 * h @ v) * 0.3
        dh = d @ v.T * (h > 0)
        return dh @ w.T, x.T @ dh, factor * h.T @ d

    rng = np.random.default_rng(0)
    given = rng.normal(size=(20, 6)), rng.normal(size=(6, 10)), 0.3 * rng.normal(size=(10, 4))
    report = check_gradients((forward, backward), *given, diagnose=False)
    assert report["v"].verdict == ("right" if factor == 1 else "wrong")
    assert report["x"].verdict == report["w"].verdict == "right"
