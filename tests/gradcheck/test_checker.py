"""What can be checked, how it is judged, and that the target comes back as it was."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import nnscratch as nn
from nnscratch.gradcheck import check_gradients, numerical_gradient

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

    if (x > 0).any():  # else 1.5 times nothing is right
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
    assert "<table" in report._repr_html_()
    assert report.plot() is not None


def test_arguments_that_make_no_sense_are_refused():
    with pytest.raises(ValueError, match="mode must be one of"):
        check_gradients(nn.Tanh(), X, mode="quick")
    with pytest.raises(ValueError, match="rtol must lie between 0 and 1"):
        check_gradients(nn.Tanh(), X, rtol=2)
    with pytest.raises(ValueError, match="only= names"):
        check_gradients(nn.Tanh(), X, only=["weight"])
    with pytest.raises(TypeError):
        check_gradients("a layer", X)
