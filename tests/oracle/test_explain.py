"""Explanations against Captum and SHAP: the same model, the same numbers, to 1e-6 in float64.

Captum and SHAP belong to the extra "oracle". Without them, these tests are skipped.
"""

import numpy as np
import pytest

import nnscratch as nn
from nnscratch import explain

torch = pytest.importorskip("torch")
attr = pytest.importorskip("captum.attr")

R = np.random.default_rng(0)
TABLE, IMAGES, TOKENS = R.normal(size=(3, 6)), R.random((3, 1, 6, 6)), R.integers(0, 9, (3, 5))
TARGET = np.array([1, 3, 0])


def copied(peer, ours):
    peer = peer.double().eval()
    peer.load_state_dict({name: torch.tensor(array) for name, array in ours.state_dict().items()})
    return peer


def mlp():
    ours = nn.Sequential(nn.Linear(6, 9, rng=1), nn.Tanh(), nn.Linear(9, 4, rng=2)).to(dtype=np.float64)
    ours[0].weight.data *= 3  # more curved than a new network
    return ours, copied(torch.nn.Sequential(torch.nn.Linear(6, 9), torch.nn.Tanh(), torch.nn.Linear(9, 4)), ours), TABLE


def cnn():
    ours = nn.Sequential(
        nn.Conv2d(1, 3, 3, padding=1, rng=1), nn.BatchNorm2d(3), nn.ReLU(), nn.MaxPool2d(2), nn.Flatten(),
        nn.Linear(27, 4, rng=2),
    ).to(dtype=np.float64)  # fmt: skip
    ours[1].running_mean[...], ours[1].running_var[...] = R.normal(size=3) / 5, 0.5 + R.random(3)
    t = torch.nn
    theirs = t.Sequential(
        t.Conv2d(1, 3, 3, padding=1), t.BatchNorm2d(3), t.ReLU(), t.MaxPool2d(2), t.Flatten(), t.Linear(27, 4)
    )
    return ours, copied(theirs, ours), IMAGES


class LSTMFromVectors(torch.nn.Module):
    """The language model from the vectors of its tokens on: Captum explains these vectors."""

    def __init__(self):
        super().__init__()
        self.embedding = torch.nn.Embedding(9, 5)
        self.lstm = torch.nn.LSTM(5, 7, 2, batch_first=True)
        self.linear = torch.nn.Linear(7, 9)

    def forward(self, e):
        return self.linear(self.lstm(e)[0][:, -1])


def lstm():
    ours = nn.models.LanguageModel(9, 5, 7, 2, rng=1).to(dtype=np.float64)
    return ours, copied(LSTMFromVectors(), ours), TOKENS


MODELS = {"mlp": mlp, "cnn": cnn, "lstm": lstm}


def inputs(theirs, x):
    """Return the input that Captum explains."""
    return theirs.embedding(torch.tensor(x)).detach() if x.dtype == int else torch.tensor(x)


def one_per_token(a, x):
    a = a.detach().numpy()
    return a.sum(axis=-1) if x.dtype == int else a


@pytest.mark.parametrize("model", MODELS)
def test_input_gradients_are_captums_saliency(model):
    ours, theirs, x = MODELS[model]()
    g = attr.Saliency(theirs).attribute(inputs(theirs, x).requires_grad_(), torch.tensor(TARGET), abs=False)
    expected = g.norm(dim=-1) if x.dtype == int else g
    np.testing.assert_allclose(explain.input_gradients(ours, x, TARGET), expected, rtol=1e-6, atol=1e-9)


@pytest.mark.parametrize("model", MODELS)
def test_gradient_x_input_is_captums(model):
    ours, theirs, x = MODELS[model]()
    a = attr.InputXGradient(theirs).attribute(inputs(theirs, x).requires_grad_(), torch.tensor(TARGET))
    np.testing.assert_allclose(explain.gradient_x_input(ours, x, TARGET), one_per_token(a, x), rtol=1e-6, atol=1e-9)


@pytest.mark.parametrize("model", MODELS)
@pytest.mark.parametrize("baseline", [None, 2])
def test_integrated_gradients_and_their_gap_are_captums(model, baseline):
    ours, theirs, x = MODELS[model]()
    zero = torch.zeros_like(inputs(theirs, x)) if baseline is None else inputs(theirs, np.full_like(x, baseline))
    a, gap = attr.IntegratedGradients(theirs).attribute(
        inputs(theirs, x), zero, torch.tensor(TARGET), n_steps=50, return_convergence_delta=True
    )
    b, our_gap = explain.integrated_gradients(ours, x, TARGET, baseline, return_gap=True)
    np.testing.assert_allclose(b, one_per_token(a, x), rtol=1e-6, atol=1e-9)
    np.testing.assert_allclose(our_gap, gap, atol=1e-7)


def test_smooth_grad_is_captums_within_its_sampling_error():
    ours, theirs, x = mlp()
    torch.manual_seed(0)
    sigma = 0.3 * (x.max(axis=1) - x.min(axis=1))
    for n in range(len(x)):  # Captum has one sigma for all examples
        a = attr.NoiseTunnel(attr.Saliency(theirs)).attribute(
            torch.tensor(x[n : n + 1]).requires_grad_(), nt_type="smoothgrad", nt_samples=2000, stdevs=float(sigma[n]),
            target=int(TARGET[n]), abs=False,
        )  # fmt: skip
        b = explain.smooth_grad(ours, x[n : n + 1], int(TARGET[n]), 2000, 0.3, rng=0)
        np.testing.assert_allclose(b, a.detach(), atol=0.01)
        raw = explain.input_gradients(ours, x[n : n + 1], int(TARGET[n]))
        assert abs(b - raw).max() > 0.02  # so the comparison can fail
