"""Test that typical mistakes of students are found and named."""

import numpy as np
import pytest

import nnscratch as nn
from nnscratch.gradcheck import check_gradients

RNG = np.random.default_rng(0)
X, W, B = RNG.normal(size=(5, 3)), RNG.normal(size=(3, 4)), RNG.normal(size=4)


def affine(backward):
    """x W + b in CS231n's form; `backward` is a function of (x, w, b, dout)."""
    return (lambda x, w, b: (x @ w + b, (x, w, b))), (lambda dout, cache: backward(*cache, dout))


@pytest.mark.parametrize(
    ("array", "mistake", "backward"),
    [
        ("w", "sign flipped", lambda x, w, b, d: (d @ w.T, -x.T @ d, d.sum(0))),
        ("w", "scaled by a constant", lambda x, w, b, d: (d @ w.T, x.T @ d / len(x), d.sum(0))),
        ("b", "sum over the batch missing", lambda x, w, b, d: (d @ w.T, x.T @ d, d)),
        ("w", "transposed", lambda x, w, b, d: (d @ w.T, d.T @ x, d.sum(0))),
        ("w", "one sample counted", lambda x, w, b, d: (d @ w.T, np.outer(x[0], d[0]), d.sum(0))),
        ("b", "one sample counted", lambda x, w, b, d: (d @ w.T, x.T @ d, d[-1])),
        ("x", "gradient never computed", lambda x, w, b, d: (0 * x, x.T @ d, d.sum(0))),
        ("w", "weight decay's share wrong", lambda x, w, b, d: (d @ w.T, x.T @ d + 0.1 * w, d.sum(0))),
    ],
)
def test_a_mistake_in_an_affine_layer_is_named(array, mistake, backward):
    report = check_gradients(affine(backward), X, W, B)
    assert [name for name in ("x", "w", "b") if report[name].verdict == "wrong"] == [array]
    assert report[array].diagnosis.mistake == mistake


def test_the_factor_is_said_and_where_it_may_come_from():
    report = check_gradients(affine(lambda x, w, b, d: (d @ w.T, x.T @ d / len(x), d.sum(0))), X, W, B)
    assert "given = 0.2 * true" in report["w"].diagnosis.evidence
    assert "N = 5" in report["w"].diagnosis.evidence


class SigmoidOfTheActivation(nn.Sigmoid):
    def backward(self, dy):
        (y,) = self.saved()
        s = 1 / (1 + np.exp(-y))
        return dy * s * (1 - s)


class SigmoidWithoutItsSlope(nn.Sigmoid):
    def backward(self, dy):
        self.saved()
        return dy.copy()


class SoftmaxByItsDiagonal(nn.Softmax):
    def backward(self, dy):
        (y,) = self.saved()
        return dy * y * (1 - y)


class ReLUWithoutItsMask(nn.ReLU):
    def backward(self, dy):
        self.saved()
        return dy.copy()


@pytest.mark.parametrize(
    ("layer", "mistake"),
    [
        (SigmoidOfTheActivation(), "derivative taken at the wrong value"),
        (SigmoidWithoutItsSlope(), "activation's derivative missing"),
        (SoftmaxByItsDiagonal(), "Jacobian reduced to its diagonal"),
        (ReLUWithoutItsMask(), "mask not applied"),
    ],
)
def test_a_mistake_in_an_activation_is_named(layer, mistake):
    assert check_gradients(layer, X)["x"].diagnosis.mistake == mistake


class DropoutWithoutItsScale(nn.Dropout):
    def backward(self, dy):
        return super().backward(dy) * (1 - self.p)


def test_a_forgotten_keep_probability_is_named_and_the_mask_is_replayed():
    report = check_gradients(DropoutWithoutItsScale(0.5, rng=0), X)
    assert report["x"].diagnosis.mistake == "keep-probability not applied"
    assert check_gradients(nn.Dropout(0.5, rng=0), X).ok


class EmbeddingThatOverwrites(nn.Embedding):
    def backward(self, dy):
        (ids,) = self.saved()
        self.weight.grad[ids] += dy  # NumPy adds only once for repeated indices


def test_an_embedding_row_met_twice_and_counted_once_is_named():
    report = check_gradients(EmbeddingThatOverwrites(5, 2, rng=0), np.array([[0, 3, 3, 1]]))
    assert report["weight"].diagnosis.mistake == "rows met twice counted once"


class LSTMWithoutItsForgetGate(nn.LSTM):
    def backward(self, dy, dstate=None):
        out = super().backward(dy, dstate)
        self.weight_hh_l0.grad[4:8] = 0
        return out


class LSTMThatDropsTheFinalCell(nn.LSTM):
    def backward(self, dy, dstate=None):
        return super().backward(dy, None if dstate is None else (dstate[0], 0 * dstate[1]))


def test_a_gates_block_is_named_with_its_rows():
    report = check_gradients(LSTMWithoutItsForgetGate(3, 4, rng=0), RNG.normal(size=(2, 5, 3)))
    diagnosis = report["weight_hh_l0"].diagnosis
    assert diagnosis.mistake == "a gate's block wrong"
    assert diagnosis.place == "rows 4:8 of weight_hh_l0, the forget gate"


def test_the_states_own_path_that_is_not_used_is_named():
    report = check_gradients(LSTMThatDropsTheFinalCell(3, 4, rng=0), RNG.normal(size=(2, 3, 3)))
    assert not report.ok
    assert report["bias_ih_l0"].diagnosis.mistake == "the state's own path missing"


def test_what_nothing_explains_is_said_to_be_unexplained():
    noise = RNG.normal(size=W.shape)
    report = check_gradients(affine(lambda x, w, b, d: (d @ w.T, x.T @ d + noise, d.sum(0))), X, W, B)
    assert report["w"].verdict == "wrong" and report["w"].diagnosis is None
    place = np.unravel_index(np.abs(noise).argmax(), noise.shape)
    assert f"no known mistake explains this gradient; the worst elements: [{place[0]},{place[1]}] given" in str(report)


@pytest.mark.parametrize("n", [3, 9])
def test_a_mistake_is_named_in_the_convention_of_means(n):
    def backward(dZ, cache):
        A, W, b = cache
        m = A.shape[1]
        return W.T @ dZ, dZ @ A.T / m, np.sum(dZ) / m * np.ones_like(b)

    rng = np.random.default_rng(8)
    report = check_gradients(
        (lambda A, W, b: (W @ A + b, (A, W, b)), backward),
        *(rng.normal(size=shape) for shape in [(4, 5), (n, 4), (n, 1)]),
        convention="mean",
    )
    assert report["b"].diagnosis.mistake == "summed over the wrong axis"


def test_a_mask_from_the_sign_of_the_incoming_gradient_is_another_mask():
    report = check_gradients((lambda x: (np.maximum(0, x), x), lambda dout, x: dout * (dout > 0)), X)
    assert report["x"].diagnosis.mistake == "another mask applied"
