"""Word vectors with negative sampling against PyTorch: loss and gradients, to 1e-10 in float64."""

import numpy as np
import pytest

import nnscratch as nn

torch = pytest.importorskip("torch")


@pytest.mark.parametrize("C", [1, 4])
def test_loss_and_gradients_are_pytorchs(C):
    rng = np.random.default_rng(0)
    ours = nn.models.WordVectors(7, 5, rng=0).to(dtype=np.float64)
    ours.output.weight.data[...] = rng.normal(size=(7, 5))
    inputs, candidates = rng.integers(0, 7, (6, C)), rng.integers(0, 7, (6, 3))
    targets = np.eye(3)[np.zeros(6, dtype=int)]
    bag = torch.nn.EmbeddingBag(7, 5, mode="mean").double()
    bag.weight.data[...] = torch.tensor(ours.embedding.weight.data)
    output = torch.tensor(ours.output.weight.data, requires_grad=True)
    scores = (output[torch.tensor(candidates)] * bag(torch.tensor(inputs))[:, None]).sum(dim=2)
    loss = torch.nn.functional.binary_cross_entropy_with_logits(scores, torch.tensor(targets))
    loss.backward()
    criterion = nn.BCEWithLogitsLoss()
    assert criterion(ours(inputs, candidates), targets) == pytest.approx(loss.item(), rel=1e-10)
    ours.backward(criterion.backward())
    np.testing.assert_allclose(ours.embedding.weight.grad, bag.weight.grad, rtol=1e-10, atol=1e-12)
    np.testing.assert_allclose(ours.output.weight.grad, output.grad, rtol=1e-10, atol=1e-12)
