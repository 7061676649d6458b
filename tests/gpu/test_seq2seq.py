"""The sequence-to-sequence models give the same logits, gradients and targets on "cuda" as on the CPU."""

import numpy as np
import pytest

import nnscratch as nn

MODELS = {
    "attention": lambda: nn.models.Seq2Seq(7, 6, 4, 5, 2, rng=1),
    "peek": lambda: nn.models.Seq2Seq(7, 6, 4, 5, connection="peek", rng=1),
    "state": lambda: nn.models.Seq2Seq(7, 6, 4, 5, connection="state", rng=1),
    "transformer": lambda: nn.models.TransformerSeq2Seq(7, 6, 8, 2, 2, rng=1),
}


@pytest.mark.parametrize("name", MODELS)
def test_a_model_gives_on_cuda_what_it_gives_on_the_cpu(name, rng, on_cuda, on_cpu):
    here, there = MODELS[name]().to(dtype=np.float64), MODELS[name]().to("cuda", dtype=np.float64)
    source, target = rng.integers(0, 7, (3, 5)), rng.integers(0, 6, (3, 4))
    for lengths in (None, np.array([5, 2, 3])):
        logits = here(source, target, lengths)
        got = there(*on_cuda((source, target)), None if lengths is None else on_cuda(lengths))
        np.testing.assert_allclose(on_cpu(got), logits, atol=1e-10)
        dlogits = rng.normal(size=logits.shape)
        here.backward(dlogits)
        there.backward(on_cuda(dlogits))
    for (parameter, p), q in zip(here.named_parameters(), there.parameters(), strict=True):
        np.testing.assert_allclose(on_cpu(q.grad), p.grad, atol=1e-10, err_msg=parameter)
    greedy = [nn.greedy_search(model, source, start=0, stop=1, max_length=5) for model in (here, there)]
    for one, other in zip(*greedy, strict=True):
        np.testing.assert_array_equal(one, other)
    beams = [nn.beam_search(model, source[0], 0, 1, max_length=4, beam_size=3) for model in (here, there)]
    for one, other in zip(*beams, strict=True):
        np.testing.assert_array_equal(one.tokens, other.tokens)
        assert one.score == pytest.approx(other.score)
