"""Word vectors, the masked language model and the classifier give the same results on "cuda" as on the CPU."""

import numpy as np
import pytest

import nnscratch as nn


def encoder():
    return nn.models.TransformerEncoder(7, 8, 2, 1, 5, rng=1)


MODELS = {
    "masked": lambda: nn.models.MaskedLM(encoder(), rng=1),
    "mean": lambda: nn.models.TextClassifier(encoder(), 3, "mean", rng=1),
    "last": lambda: nn.models.TextClassifier(encoder(), 3, "last", rng=1),
    "words": lambda: nn.models.WordVectors(7, 4, rng=1),
}


@pytest.mark.parametrize("name", MODELS)
def test_a_model_gives_on_cuda_what_it_gives_on_the_cpu(name, rng, on_cuda, on_cpu):
    here, there = MODELS[name]().to(dtype=np.float64), MODELS[name]().to("cuda", dtype=np.float64)
    second = rng.integers(0, 7, (3, 4)) if name == "words" else np.array([5, 2, 3])
    inputs = rng.integers(0, 7, (3, 5)), second
    y = here(*inputs)
    np.testing.assert_allclose(on_cpu(there(*on_cuda(inputs))), y, atol=1e-10)
    dy = rng.normal(size=y.shape)
    here.backward(dy)
    there.backward(on_cuda(dy))
    for (parameter, p), q in zip(here.named_parameters(), there.parameters(), strict=True):
        np.testing.assert_allclose(on_cpu(q.grad), p.grad, atol=1e-10, err_msg=parameter)
