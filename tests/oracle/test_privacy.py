"""Compare the accountant and the gradients of single examples with Opacus."""

import itertools
import warnings

import numpy as np
import pytest

import nnscratch as nn
from nnscratch.privacy.accountant import ORDERS

torch = pytest.importorskip("torch")
with warnings.catch_warnings():
    warnings.simplefilter("ignore")
    opacus = pytest.importorskip("opacus")

pytestmark = pytest.mark.filterwarnings("ignore")  # Opacus': hooks, and an alpha at the end of its range
GRID = list(itertools.product((0.001, 0.01, 0.03, 0.1, 0.2), (0.5, 0.7, 1.0, 2.0, 5.0), (10, 20_000)))


def test_epsilon_is_opacuss_in_fifty_settings():
    from opacus.accountants.analysis import rdp

    assert len(GRID) == 50
    for q, sigma, steps in GRID:
        theirs = rdp.compute_rdp(q=q, noise_multiplier=sigma, steps=steps, orders=list(ORDERS))
        expected, _ = rdp.get_privacy_spent(orders=list(ORDERS), rdp=theirs, delta=1e-5)
        assert nn.privacy.epsilon(steps, q, sigma, 1e-5) == pytest.approx(expected, rel=1e-9), (q, sigma, steps)


def grad_samples(theirs, ours, inputs, dy):
    """Return our examples' gradients, and Opacus', of the same weights, for the sum of y dy."""
    theirs = opacus.GradSampleModule(theirs.double(), loss_reduction="sum")
    state = {name: torch.tensor(value) for name, value in ours.state_dict().items()}
    theirs._module.load_state_dict(state)
    y = theirs(torch.tensor(inputs))
    y = y[0] if isinstance(y, tuple) else y
    (y * torch.tensor(dy)).sum().backward()
    with nn.privacy.keep_examples(ours) as examples:
        ours(inputs)
        ours.backward(dy)
    expected = {name: p.grad_sample.numpy() for name, p in theirs._module.named_parameters()}
    return examples.gradients(), expected


CASES = {
    "Linear": (nn.Linear(5, 4, rng=0), lambda: torch.nn.Linear(5, 4), (3, 6, 5)),
    "Conv1d": (nn.Conv1d(2, 4, 3, padding=1, rng=0), lambda: torch.nn.Conv1d(2, 4, 3, padding=1), (3, 2, 7)),
    "Conv2d": (nn.Conv2d(2, 4, 3, 2, 1, rng=0), lambda: torch.nn.Conv2d(2, 4, 3, 2, 1), (3, 2, 7, 6)),
    "LayerNorm": (nn.LayerNorm(5), lambda: torch.nn.LayerNorm(5), (3, 6, 5)),
    "GroupNorm": (nn.GroupNorm(2, 4), lambda: torch.nn.GroupNorm(2, 4), (3, 4, 5)),
    "Embedding": (nn.Embedding(9, 4, rng=0), lambda: torch.nn.Embedding(9, 4), None),
    "MLP": (
        nn.Sequential(nn.Linear(5, 7, rng=0), nn.Tanh(), nn.Linear(7, 2, rng=1)),
        lambda: torch.nn.Sequential(torch.nn.Linear(5, 7), torch.nn.Tanh(), torch.nn.Linear(7, 2)),
        (3, 5),
    ),
}


@pytest.mark.parametrize("name", CASES)
def test_the_gradients_of_single_examples_are_opacuss(name):
    ours, theirs, shape = CASES[name]
    ours, rng = ours.to(dtype=np.float64), np.random.default_rng(0)
    inputs = rng.integers(0, 9, (3, 6)) if shape is None else rng.normal(size=shape)
    ours.zero_grad()
    dy = rng.normal(size=ours(inputs).shape)
    ours.zero_grad()
    got, expected = grad_samples(theirs(), ours, inputs, dy)
    for key, g in expected.items():
        np.testing.assert_allclose(got[key], g, rtol=1e-9, atol=1e-12, err_msg=key)


def test_the_lstms_gradients_of_single_examples_are_opacuss():
    from opacus.layers import DPLSTM

    ours, rng = nn.LSTM(3, 4, 2, rng=0).to(dtype=np.float64), np.random.default_rng(0)
    theirs = opacus.GradSampleModule(DPLSTM(3, 4, 2, batch_first=True).double(), loss_reduction="sum")
    theirs._module.load_state_dict({name: torch.tensor(value) for name, value in ours.state_dict().items()})
    x, dy = rng.normal(size=(3, 5, 3)), rng.normal(size=(3, 5, 4))
    (theirs(torch.tensor(x))[0] * torch.tensor(dy)).sum().backward()
    with nn.privacy.keep_examples(ours) as examples:
        ours(x)
        ours.backward(dy)
    got = examples.gradients()
    for name, p in theirs._module.named_parameters():
        key = next((k for k in got if name.endswith(k)), None)
        if key is None:  # the parameters of a layer's cells are named ih.weight and so on
            pytest.fail(f"no parameter of ours is {name}: {list(got)}")
        np.testing.assert_allclose(got[key], p.grad_sample.numpy(), rtol=1e-9, atol=1e-12, err_msg=key)
