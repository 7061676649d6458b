"""Gradients of single examples and private training give the same on "cuda" as on the CPU."""

import numpy as np
import pytest
from cases import LAYERS

import nnscratch as nn
from nnscratch.privacy import DPSGD, PoissonBatches

CASES = [cases[0] for cases in LAYERS.values()]
WITH_RULES = [case for case in CASES if case.build().parameters() and not isinstance(case.build(), nn.BatchNorm1d)]


def like(nest, make):
    return tuple(like(inner, make) for inner in nest) if isinstance(nest, tuple) else make(nest)


@pytest.mark.parametrize("case", WITH_RULES, ids=repr)
def test_the_examples_of_a_layer_are_the_same(case, rng, on_cuda, on_cpu):
    inputs = case.inputs(rng)
    dy = like(case.build().to(dtype=np.float64)(*inputs), lambda a: rng.normal(size=a.shape))
    results = []
    for device, move in (("cpu", on_cpu), ("cuda", on_cuda)):
        layer = case.build().to(device, dtype=np.float64)
        with nn.privacy.keep_examples(layer) as examples:
            layer(*move(inputs))
            layer.backward(*(move(dy) if isinstance(dy, tuple) else (move(dy),)))
        examples.add_weighted(move(np.linspace(0.5, 1.5, len(examples.norms()))))
        results.append((examples.gradients(), examples.norms(), {n: p.grad for n, p in layer.named_parameters()}))
    (gradients, norms, sums), (gradients_there, norms_there, sums_there) = results
    np.testing.assert_allclose(on_cpu(norms_there), norms, rtol=1e-9)
    for here, there in ((gradients, gradients_there), (sums, sums_there)):
        assert here.keys() == there.keys()
        for name, g in here.items():
            np.testing.assert_allclose(on_cpu(there[name]), g, atol=1e-10, err_msg=name)


def test_private_training_is_the_same(rng, on_cuda, on_cpu):
    x, y = rng.normal(size=(40, 3)), rng.integers(0, 2, 40)
    weights = []
    for device in ("cpu", "cuda"):
        model = nn.models.MLP([3, 4, 2], rng=0).to(device, dtype=np.float64)
        batches = PoissonBatches(x, y, batch_size=8, rng=1)
        privacy = DPSGD(batches, noise_multiplier=1.0, max_norm=0.5, delta=1e-3, rng=2)
        optimizer = nn.optim.SGD(model.parameters(), lr=0.1)
        nn.Trainer(model, nn.CrossEntropyLoss(), optimizer, privacy=privacy).fit(batches, steps=6)
        weights.append([on_cpu(p.data) for p in model.parameters()])
    for here, there in zip(*weights, strict=True):
        np.testing.assert_allclose(there, here, rtol=1e-9)
