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
    b, our_gap = explain.integrated_gradients(ours, x, TARGET, baseline, steps=50, return_gap=True)
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


GROUPS = np.array([0, 0, 1, 2, 3, 3])


@pytest.mark.parametrize("model", ["mlp", "cnn"])
def test_occlusion_is_captums_feature_ablation(model):
    ours, theirs, x = MODELS[model]()
    groups = explain.patches((1, 6, 6), 2) if model == "cnn" else GROUPS
    ablation = attr.FeatureAblation(theirs)
    expected = ablation.attribute(torch.tensor(x), 0.5, torch.tensor(TARGET), feature_mask=torch.tensor(groups)[None])
    np.testing.assert_allclose(explain.occlusion(ours, x, TARGET, 0.5, groups), expected.detach(), rtol=1e-6, atol=1e-9)


def test_patches_are_captums_occlusion_with_windows_side_by_side():
    ours, theirs, x = cnn()
    expected = attr.Occlusion(theirs).attribute(torch.tensor(x), (1, 2, 2), (1, 2, 2), 0.0, torch.tensor(TARGET))
    a = explain.occlusion(ours, x, TARGET, groups=explain.patches((1, 6, 6), 2))
    np.testing.assert_allclose(a, expected.detach(), rtol=1e-6, atol=1e-9)


def function_of(ours, target):
    return lambda x: ours.eval()(np.ascontiguousarray(x))[:, target]


@pytest.mark.filterwarnings("ignore")
def test_shapley_values_are_shaps_exact_ones():
    shap = pytest.importorskip("shap")
    ours, _, x = mlp()
    x0 = R.normal(size=(1, 6))
    for n in range(len(x)):
        exact = shap.ExactExplainer(function_of(ours, TARGET[n]), shap.maskers.Independent(x0))
        expected = exact(x[n : n + 1]).values
        for a in (explain.shapley_values, explain.kernel_shap):
            np.testing.assert_allclose(a(ours, x[n : n + 1], int(TARGET[n]), x0), expected, rtol=1e-6, atol=1e-9)


@pytest.mark.filterwarnings("ignore")
def test_kernel_shap_is_shaps_with_all_sets():
    shap = pytest.importorskip("shap")
    ours, _, x = mlp()
    x0 = R.normal(size=(1, 6))
    expected = shap.KernelExplainer(function_of(ours, 3), x0).shap_values(x, nsamples=1000, l1_reg=False, silent=True)
    np.testing.assert_allclose(explain.kernel_shap(ours, x, 3, x0), expected, rtol=1e-6, atol=1e-9)


def test_limes_local_model_is_scikit_learns_ridge_regression():
    linear_model = pytest.importorskip("sklearn.linear_model")
    from nnscratch.explain.lime import local_model

    m, y, w = (R.random((200, 6)) < 0.5).astype(float), R.normal(size=200), R.random(200)
    fit = linear_model.Ridge(alpha=0.7).fit(m, y, sample_weight=w)
    b, b0, r2 = local_model(m, y, w, 0.7)
    np.testing.assert_allclose(b, fit.coef_, rtol=1e-6)
    np.testing.assert_allclose([b0, r2], [fit.intercept_, fit.score(m, y, sample_weight=w)], rtol=1e-6)


def test_lime_is_captums_within_its_sampling_error():
    from captum._utils.models.linear_model import SkLearnLinearModel

    pytest.importorskip("sklearn")
    ours, theirs, x = mlp()
    x = x[:1]

    def similarity(original, perturbed, mask, **_):
        return torch.exp(-((1 - mask.double().mean().sqrt()) ** 2) / 0.25**2)

    torch.manual_seed(0)
    lime = attr.Lime(theirs, SkLearnLinearModel("linear_model.LinearRegression"), similarity)
    expected = lime.attribute(torch.tensor(x), 0.0, 1, n_samples=3000)
    a = explain.lime(ours, x, 1, samples=3000, ridge=0, rng=0)
    np.testing.assert_allclose(a, expected, atol=0.02)
    assert abs(a).max() > 0.1
