"""Test the forms of code that can be checked, the verdicts, and that the checked code is restored."""

from typing import NamedTuple

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import nnscratch as nn
from nnscratch.gradcheck import check_gradients, complex_step_gradient, numerical_gradient

RNG = np.random.default_rng(1)
X = RNG.normal(size=(4, 3))


def test_central_differences_of_a_known_function():
    x = np.array([0.5, -2.0, 3.0])
    np.testing.assert_allclose(numerical_gradient(lambda v: float((v**3).sum()), x), 3 * x**2, rtol=1e-8)
    np.testing.assert_array_equal(x, [0.5, -2.0, 3.0])


def test_a_module_with_a_loss_is_checked_as_one():
    model = nn.Sequential(nn.Linear(3, 5, rng=0), nn.Tanh(), nn.Linear(5, 2, rng=1))
    report = check_gradients(model, X, loss=nn.CrossEntropyLoss(), targets=np.array([0, 1, 1, 0]))
    assert report.ok and report.max_error < 1e-6
    assert {entry for entry in ("0.weight", "0.bias", "2.weight", "2.bias", "x")} <= set(report.entries)


def test_a_pair_of_functions_in_cs231ns_form():
    def forward(x, w):
        return np.maximum(x @ w, 0), (x, w)

    def backward(dout, cache):
        x, w = cache
        dz = dout * (x @ w > 0)
        return dz @ w.T, x.T @ dz

    assert check_gradients((forward, backward), X, RNG.normal(size=(3, 2))).ok


class Affine:
    """In the form of "Deep Learning from Scratch"."""

    def __init__(self, W, b):
        self.params, self.grads = [W, b], [np.zeros_like(W), np.zeros_like(b)]

    def forward(self, x):
        self.x = x
        return x @ self.params[0] + self.params[1]

    def backward(self, dout):
        self.grads[0][...] = self.x.T @ dout
        self.grads[1][...] = dout.sum(axis=0)
        return dout @ self.params[0].T


def test_a_class_with_params_and_grads():
    layer = Affine(RNG.normal(size=(3, 2)), RNG.normal(size=2))
    report = check_gradients(layer, X)
    assert report.ok and len(report.entries) == 3
    layer.backward = lambda dout: Affine.backward(layer, 2 * dout)
    assert not check_gradients(layer, X).ok


def test_a_scalar_function_with_its_gradient():
    assert check_gradients((lambda x: float((x**2).sum()), lambda x: 2 * x), X).ok
    assert not check_gradients((lambda x: float((x**2).sum()), lambda x: 3 * x), X).ok


def test_states_and_integers_and_tied_weights():
    model = nn.models.LanguageModel(6, 4, 4, 2, tie_weights=True, rng=0)
    state = tuple(RNG.normal(size=(2, 3, 4)) for _ in range(2))
    report = check_gradients(model, RNG.integers(0, 6, (3, 5)), state)
    assert report.ok and report.max_error < 1e-6
    assert {"state[0]", "state[1]"} <= set(report.entries)


@settings(max_examples=40)
@given(seed=st.integers(0, 10_000), zeros=st.integers(0, 12))
def test_a_relu_at_exact_zeros_is_no_false_alarm_and_hides_nothing(seed, zeros):
    rng = np.random.default_rng(seed)
    x = rng.normal(size=12)
    x[rng.permutation(12)[:zeros]] = 0
    x = x.reshape(3, 4)
    report = check_gradients(nn.ReLU(), x)
    assert report.ok and report["x"].kinks == zeros

    class Wrong(nn.ReLU):
        def backward(self, dy):
            return 1.5 * super().backward(dy)

    if (x > 0).any():  # otherwise the gradient is zero, and 1.5 times zero is right
        assert not check_gradients(Wrong(), x, diagnose=False).ok


def test_everything_comes_back_as_it_was_even_when_the_target_raises():
    class Fails(nn.Sequential):
        def backward(self, dy):
            raise RuntimeError("not written yet")

    for cls in (nn.Sequential, Fails):
        model = cls(nn.Linear(3, 4, rng=0), nn.Dropout(0.5, rng=3), nn.Linear(4, 2, rng=1))
        model.eval()
        for p in model.parameters():
            p.grad[...] = 7.0
        before = {name: p.data.copy() for name, p in model.named_parameters()}
        draws = model[1].rng.bit_generator.state
        x = X.copy()
        if cls is Fails:
            with pytest.raises(RuntimeError, match="not written yet"):
                check_gradients(model, x)
        else:
            assert check_gradients(model, x).ok
        assert not model.training and not model[0].training
        assert model[1].rng.bit_generator.state == draws
        np.testing.assert_array_equal(x, X)
        for name, p in model.named_parameters():
            assert p.data.dtype == np.float32 and (p.grad == 7.0).all()
            np.testing.assert_array_equal(p.data, before[name])
        assert not any(m.__dict__.get("_stack") for m in model.modules())


class Overwrites(nn.Linear):
    def backward(self, dy):
        (x,) = self.saved()
        self.weight.grad[...] = dy.T @ x
        self.bias.grad[...] = dy.sum(axis=0)
        return dy @ self.weight.data


class ChangesItsInput(nn.ReLU):
    def backward(self, dy):
        (y,) = self.saved()
        dy *= y > 0
        return dy


class NeverTheSame(nn.Tanh):
    def forward(self, x):
        return super().forward(x) + np.random.default_rng().normal()


def test_traps_are_seen_before_anything_is_compared():
    assert any("twice" in t.message or "add" in t.message for t in check_gradients(Overwrites(3, 2, rng=0), X).traps)
    assert any("chang" in t.message for t in check_gradients(ChangesItsInput(), X).traps)
    report = check_gradients(NeverTheSame(), X)
    assert not report.ok and report.traps[0].kind == "not deterministic"


@pytest.mark.parametrize("mode", ["full", "sampled", "directional"])
def test_every_mode_passes_what_is_right_and_catches_what_is_wrong(mode):
    class Doubled(nn.Linear):
        def backward(self, dy):
            dx = super().backward(dy)
            self.weight.grad *= 2
            return dx

    assert check_gradients(nn.Linear(3, 40, rng=0), X, mode=mode).ok
    report = check_gradients(Doubled(3, 40, rng=0), X, mode=mode)
    assert report["weight"].verdict == "wrong" and report["bias"].verdict == "right"


def test_a_report_is_a_table_and_an_object():
    report = check_gradients(nn.Linear(3, 2, rng=0), X)
    printed = str(report)
    assert all(word in printed for word in ("weight", "bias", "x", "analytic", "numeric", "right"))
    assert report["weight"].analytic.shape == report["weight"].numeric.shape == (2, 3)
    assert "<table" in report._repr_html_() and "diagnosis" not in report._repr_html_()
    assert len(report.plot().axes) == 3 * 3  # three arrays: a scatter, a map, and its colour bar
    assert "\x1b[" not in report.text() and "\x1b[32m" in report.text(colour=True)
    assert report.as_dict()["entries"][0]["worst_analytic"] == report["weight"].worst[0]


def test_evidence_that_several_arrays_share_is_printed_once_and_names_them():
    class Squashed(nn.Linear):
        def forward(self, x):
            self.y = np.tanh(x @ self.weight.data.T + self.bias.data)
            self.save_for_backward(x)
            return self.y

    report = check_gradients(Squashed(3, 2, rng=0), X)
    assert [d.mistake for d in report.diagnoses] == ["activation's derivative missing"]
    printed = report.text().splitlines()
    assert sum("backward computes as if the derivative" in line for line in printed) == 1
    assert sum(line.startswith("      -> activation's derivative missing [") for line in printed) == 1
    (names,) = (line.strip() for line in printed if "this also explains" in line)
    first, *others = report.entries
    assert names == f"this also explains {', '.join(others)}"
    for name in others:
        (row,) = (line for line in printed if line.startswith(f"  {name} "))
        assert row.endswith(f"wrong, same as {first}")
    assert report._repr_html_().count("backward computes as if the derivative") == 1


def test_evidence_of_the_same_words_at_other_places_says_the_places():
    class Cut(nn.LSTM):
        def backward(self, dy, dstate=None):
            out = super().backward(dy, dstate)
            self.bias_ih_l0.grad[4:8] = 0
            self.bias_hh_l0.grad[4:8] = 0
            return out

    printed = check_gradients(Cut(3, 4, rng=0), RNG.normal(size=(2, 5, 3))).text()
    assert "-> a gate's block wrong [elements 4:8 of bias_ih_l0, the forget gate]" in printed
    assert "this also explains bias_hh_l0 [elements 4:8 of bias_hh_l0, the forget gate]" in printed
    assert printed.count("the other 3 blocks are right") == 1


def test_what_a_report_says_is_escaped_in_html():
    def backward(dout, cache):
        return "<b>"

    report = check_gradients((lambda x: (x**2, x), backward), X)
    report.title = "<script>"
    assert "<script>" not in report._repr_html_() and "&lt;script&gt;" in report._repr_html_()


def test_arguments_that_make_no_sense_are_refused():
    with pytest.raises(ValueError, match="mode must be one of"):
        check_gradients(nn.Tanh(), X, mode="quick")
    with pytest.raises(ValueError, match="rtol must lie between 0 and 1"):
        check_gradients(nn.Tanh(), X, rtol=2)
    with pytest.raises(ValueError, match="only= contains unknown names"):
        check_gradients(nn.Tanh(), X, only=["weight"])
    with pytest.raises(TypeError):
        check_gradients("a layer", X)


# --- where students store parameters and gradients --------------------------------------------------------------------

W, B = RNG.normal(size=(3, 2)), RNG.normal(size=2)


class Layer:
    """x W + b. A subclass overrides `keep` to store dW and db elsewhere."""

    def __init__(self):
        self.W, self.b = W.copy(), B.copy()

    def forward(self, x):
        self.x = x
        return x @ self.W + self.b

    def backward(self, dout):
        self.keep(self.x.T @ dout, dout.sum(axis=0))
        return dout @ self.W.T

    def keep(self, dW, db):
        self.dW, self.db = dW, db


class Named(Layer):
    def keep(self, dW, db):
        self.grad_W, self.b_grad = dW, db


class InADictionary(Layer):
    def keep(self, dW, db):
        self.grads = {"W": dW, "b": db}


class Returned(Layer):
    def backward(self, dout):
        return dout @ self.W.T, self.x.T @ dout, dout.sum(axis=0)


class Params(Layer):
    def __init__(self):
        super().__init__()
        self.params, self.grads = {"W": self.W, "b": self.b}, {}

    def keep(self, dW, db):
        self.grads.update(W=dW, b=db)


@pytest.mark.parametrize("cls", [Layer, Named, InADictionary, Returned, Params, Affine])
def test_parameters_are_found_wherever_a_class_keeps_them(cls):
    layer = cls(W.copy(), B.copy()) if cls is Affine else cls()
    before = dict(vars(layer))
    for _ in range(2):  # in the second round, the layer has been used: x and dW are attributes
        report = check_gradients(layer, X)
        assert report.ok and len(report) == 3 and "x" in report.entries
        assert vars(layer).keys() == before.keys()
        layer.backward(np.ones_like(layer.forward(X)))
        before = dict(vars(layer))


def test_a_parameter_without_a_gradient_is_said_not_passed_over():
    class Silent(Layer):
        def keep(self, dW, db):
            pass

    report = check_gradients(Silent(), X)
    assert list(report.entries) == ["x"] and report.verdict == "incomplete"
    assert [trap.message.split()[0] for trap in report.traps] == ["self.W", "self.b"]


def test_the_methods_of_an_object_are_the_object():
    layer = Layer()
    assert set(check_gradients((layer.forward, layer.backward), X).entries) == {"W", "b", "x"}
    linear = nn.Linear(3, 2, rng=0)
    assert set(check_gradients((linear.forward, linear.backward), X).entries) == {"weight", "bias", "x"}


class Pair(NamedTuple):
    product: np.ndarray
    squashed: np.ndarray


@pytest.mark.parametrize("make", [Pair, lambda *ys: ys, lambda *ys: list(ys), lambda *ys: dict(enumerate(ys))])
def test_outputs_may_be_nested(make):
    def backward(dys, cache):
        x, w = cache
        d1, d2 = (dys[0], dys[1])
        return d1 @ w.T + d2 * (1 - np.tanh(x) ** 2), x.T @ d1

    assert check_gradients((lambda x, w: (make(x @ w, np.tanh(x)), (x, w)), backward), X, W).ok


@pytest.mark.parametrize("backward", [lambda d, c: {"dx": 2 * d, "dy": 3 * d}, lambda d, c: (2 * d, 3 * d, None)])
def test_gradients_may_come_by_name_or_with_none_for_the_rest(backward):
    assert check_gradients((lambda x, y, n: (2 * x + 3 * y, None), backward), X, X + 1, 7).ok


def test_an_array_that_is_read_only_or_a_view_is_checked_in_a_copy():
    x = np.broadcast_to(np.arange(3.0), (4, 3))
    assert check_gradients(nn.Tanh(), x).ok and not x.flags.writeable
    assert check_gradients(nn.Tanh(), RNG.normal(size=(6, 8))[::2, ::-3]).ok


@pytest.mark.parametrize("forward", [lambda x: np.round(x).astype(int), lambda x: 1j * x])
def test_a_forward_that_returns_no_floats_is_refused_not_called_right(forward):
    with pytest.raises(TypeError, match="returns no floats, so there is nothing to differentiate: (int|complex)"):
        check_gradients((forward, np.zeros_like), np.ones((3, 4)))


def test_empty_arrays_have_nothing_that_is_wrong():
    report = check_gradients(nn.Linear(3, 2, rng=0), np.zeros((0, 3)))
    assert report.ok and report["x"].shape == (0, 3) and not np.any(report["weight"].numeric)
    assert "nan" not in str(report)


# --- the method ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("scale", [1e-8, 1e-4, 1.0, 1e4, 1e8])
@pytest.mark.parametrize(
    ("f", "slope"),
    [
        (lambda x, s: x**3, lambda x, s: 3 * x**2),
        (lambda x, s: np.sin(x / s), lambda x, s: np.cos(x / s) / s),
        (lambda x, s: s * np.exp(x / s), lambda x, s: np.exp(x / s)),
        (lambda x, s: abs(x) ** 1.5, lambda x, s: 1.5 * abs(x) ** 0.5 * np.sign(x)),
    ],
)
def test_the_step_follows_the_values(f, slope, scale):
    x = X * scale
    assert check_gradients((lambda x: (f(x, scale), x), lambda d, x: d * slope(x, scale)), x).ok
    report = check_gradients((lambda x: (f(x, scale), x), lambda d, x: 1.01 * d * slope(x, scale)), x, diagnose=False)
    assert report.verdict == "wrong"


def test_an_array_of_large_and_tiny_values_is_checked():
    assert check_gradients(nn.GELU(), np.array([-3.0, 1e-300, 1e-300])).ok


def test_a_function_that_takes_complex_numbers_is_checked_to_machine_precision():
    layer = Params()
    report = check_gradients(layer, X)
    assert report.ok and report.max_error < 1e-15 and "complex step" in report.method
    assert layer.params["W"].dtype == np.float64
    off = (lambda x: (np.tanh(x), x), lambda d, x: d * (1 - np.tanh(x) ** 2) * (1 + 1e-10))
    assert check_gradients(off, X).ok
    assert check_gradients(off, X, rtol=1e-12).verdict == "wrong"


@pytest.mark.parametrize(
    "forward",
    [lambda x: np.tanh(x.real), lambda x: np.tanh(np.sqrt(x * x.conj())) * np.sign(x.real)],
    ids=["real", "conj"],
)
def test_a_function_that_drops_the_imaginary_part_is_left_to_differences(forward):
    report = check_gradients((lambda x: (forward(x), x), lambda d, x: d * (1 - np.tanh(x) ** 2)), X)
    assert report.ok and "complex" not in report.method and 1e-14 < report.max_error < 1e-9


def test_complex_step_gradient_of_a_known_function():
    x = np.array([0.5, -2.0, 3.0])
    np.testing.assert_allclose(complex_step_gradient(lambda z: (z**3).sum(), x), 3 * x**2, rtol=1e-15)
    with pytest.raises(TypeError, match="one complex number"):
        complex_step_gradient(lambda z: abs(z).sum(), x)
    with pytest.raises(TypeError, match="array of floats"):
        complex_step_gradient(lambda z: z.sum(), np.arange(3))


def test_noise_and_jumps_are_neither_right_nor_wrong():
    rounded = (lambda x: (np.round(x**2, 6), x), lambda d, x: 2 * x * d)
    assert check_gradients(rounded, X).verdict != "wrong"
    assert (
        check_gradients((lambda x: (np.floor(x), x), lambda d, x: 0 * d), np.array([0.5, 1.0])).verdict == "cannot tell"
    )


@pytest.mark.parametrize("insists", [True, False])
def test_a_float32_target_that_cannot_be_cast_is_judged_by_float32s_limits(insists):
    def forward(x):
        if insists and x.dtype != np.float32:
            raise TypeError("float32 only")
        return np.tanh(x, dtype="f", casting="unsafe"), x

    x = X.astype(np.float32) if insists else X
    report = check_gradients((forward, lambda d, x: d * (1 - np.tanh(x) ** 2)), x)
    assert report.ok and "float32" in report.method and report.max_error > 1e-9
    assert not check_gradients((forward, lambda d, x: 1.05 * d * (1 - np.tanh(x) ** 2)), x).ok


def test_a_loss_that_is_a_float32_scalar_is_judged_by_float32s_limits():
    def loss(x, label):
        p = np.exp(x, dtype="f", casting="unsafe")
        p /= p.sum(axis=1, keepdims=True)
        return -np.mean(np.log(p[np.arange(len(x)), label])), (p - np.eye(3)[label]) / len(x)

    for seed in range(5):
        report = check_gradients(loss, np.random.default_rng(seed).normal(size=(4, 3)), np.array([0, 2, 1, 2]))
        assert report.ok and "float32" in report.method, report


def test_a_float32_target_that_can_be_cast_is_checked_in_float64():
    report = check_gradients(nn.Linear(3, 2, rng=0), X.astype(np.float32))
    assert report.ok and report.max_error < 1e-9 and "float64" in report.method


@pytest.mark.parametrize("edge", [0.0, 0.5, 1.0])
@pytest.mark.parametrize(
    ("forward", "slope"),
    [
        (lambda x: np.maximum(x, 0), lambda x, edge: (x > 0) + edge * (x == 0)),
        (lambda x: np.clip(x, -1, 1), lambda x, edge: (abs(x) < 1) + edge * (abs(x) == 1)),
        (lambda x: abs(x), lambda x, edge: np.sign(x) + edge * (x == 0)),
    ],
    ids=["relu", "clip", "abs"],
)
def test_any_slope_between_the_one_sided_ones_is_accepted_at_a_kink_and_none_beyond(forward, slope, edge):
    x = np.array([-2.0, -1.0, -0.5, 0.0, 0.0, 0.5, 1.0, 2.0])
    report = check_gradients((lambda x: (forward(x), x), lambda d, x: d * slope(x, edge)), x)
    assert report.ok and report.kinks == 2
    assert not check_gradients((lambda x: (forward(x), x), lambda d, x: d * slope(x, 1.2)), x).ok
    assert not check_gradients((lambda x: (forward(x), x), lambda d, x: d * slope(x, edge) * 1.001), x).ok


def test_ties_of_a_maximum_may_be_shared_or_given_to_one():
    x = np.array([[1.0, 1.0, 0.0], [2.0, 2.0, 2.0], [0.0, 1.0, 2.0]])

    def shared(d, x):
        top = x == x.max(axis=1, keepdims=True)
        return d[:, None] * top / top.sum(axis=1, keepdims=True)

    def first(d, x):
        dx = np.zeros_like(x)
        dx[np.arange(len(x)), x.argmax(axis=1)] = d
        return dx

    for backward in (shared, first):
        report = check_gradients((lambda x: (x.max(axis=1), x), backward), x)
        assert report.ok and report.kinks == 5
    assert not check_gradients((lambda x: (x.max(axis=1), x), lambda d, x: 2 * first(d, x)), x).ok


# --- wrong use -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("call", "error", "words"),
    [
        (lambda: check_gradients(nn.Tanh, X), TypeError, "the class Tanh itself: give an instance"),
        (
            lambda: check_gradients(nn.Linear(3, 2), X, loss=nn.MSELoss, targets=X),
            TypeError,
            "the class MSELoss itself",
        ),
        (lambda: check_gradients(nn.Linear(3, 2), X, loss="mse"), TypeError, "loss must be a Module"),
        (lambda: check_gradients((np.sin, np.cos), 3), ValueError, "numpy.array"),
        (lambda: check_gradients((np.sin, np.cos), np.arange(3)), ValueError, "nothing to check"),
        (lambda: check_gradients(lambda x: x, X), TypeError, "must return"),
        (lambda: check_gradients(nn.Linear(3, 2), X, loss=nn.MSELoss()), TypeError, "missing 1 required .* 'target'"),
        (lambda: check_gradients(nn.Tanh(), X, samples=0), ValueError, "samples must be"),
        (lambda: check_gradients(nn.Tanh(), X, directions=1.5), ValueError, "directions must be"),
        (lambda: numerical_gradient(lambda x: x, X), TypeError, "one real number"),
        (lambda: numerical_gradient(lambda x: x.sum() * 1j, X), TypeError, "one real number"),
        (lambda: numerical_gradient(np.sum, np.arange(3)), TypeError, "array of floats"),
        (lambda: numerical_gradient(np.sum, np.broadcast_to(1.0, 3)), ValueError, "must be writable"),
        (lambda: numerical_gradient(np.sum, X, eps=0), ValueError, "eps must be positive"),
    ],
)
def test_wrong_use_is_explained(call, error, words):
    with pytest.raises(error, match=words):
        call()


@pytest.mark.parametrize("backward", [lambda x, dy: dy * np.cos(x), lambda dy, x: dy * np.cos(x)])
def test_the_inputs_of_a_ufunc_have_names(backward):
    report = check_gradients((np.sin, backward), X)
    assert report.ok and [entry.name for entry in report] == ["x"]


def test_the_two_inputs_of_a_ufunc_have_names():
    report = check_gradients((np.multiply, lambda x1, x2, dy: (dy * x2, dy * x1)), X, 2 * X)
    assert report.ok and [entry.name for entry in report] == ["x1", "x2"]
