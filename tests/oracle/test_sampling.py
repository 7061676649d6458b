"""The probabilities from which a token is drawn are those of the logits processors of transformers."""

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from nnscratch.sampling import Sampling

torch = pytest.importorskip("torch")
process = pytest.importorskip("transformers.generation.logits_process")


def their_probabilities(sampling, scores, seen):
    chain = [
        process.RepetitionPenaltyLogitsProcessor(sampling.repetition_penalty),
        process.TemperatureLogitsWarper(sampling.temperature),
        *([process.TopKLogitsWarper(sampling.top_k)] if sampling.top_k else []),
        *([process.TopPLogitsWarper(sampling.top_p)] if sampling.top_p else []),
        *([process.MinPLogitsWarper(sampling.min_p)] if sampling.min_p else []),
    ]
    ids, out = torch.tensor(np.flatnonzero(seen)[None]), torch.tensor(scores[None])
    for step in chain:
        out = step(ids, out)
    return out.softmax(-1)[0].numpy()


@settings(max_examples=200, deadline=None)
@given(
    size=st.integers(2, 20),
    seed=st.integers(0, 10**6),
    temperature=st.floats(0.2, 3),
    top_k=st.none() | st.integers(1, 25),
    top_p=st.none() | st.floats(0.05, 0.95),
    min_p=st.none() | st.floats(0.01, 0.9),
    penalty=st.floats(0.5, 3),
)
def test_the_probabilities_are_theirs(size, seed, temperature, top_k, top_p, min_p, penalty):
    rng = np.random.default_rng(seed)
    scores, seen = 2 * rng.normal(size=size), rng.random(size) < 0.4
    sampling = Sampling(temperature, top_k, top_p, min_p, penalty)
    ours = sampling.probabilities(scores, seen)
    assume(min_p is None or abs(ours[ours > 0].min() / ours.max() - min_p) > 1e-6)  # not on the border
    np.testing.assert_allclose(ours, their_probabilities(sampling, scores, seen), atol=1e-10)
