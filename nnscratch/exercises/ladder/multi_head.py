"""Exercise 35: attention with several heads."""

import numpy as np

from ..exercise import Exercise, Gradients, Mistake, Slip, Values


def case(N, T, E, H):
    return lambda rng: (rng.normal(size=(N, T, E)), *rng.normal(size=(4, E, E)) / np.sqrt(E), H)


def values(scale=lambda E, H: 1 / np.sqrt(E / H), heads=lambda H: H, out=True):
    def multi_head(x, Wq, Wk, Wv, Wo, H):
        N, T, E = x.shape
        Q, K, V = ((x @ W).reshape(N, T, heads(H), -1) for W in (Wq, Wk, Wv))
        s = np.einsum("nthd,nuhd->nhtu", Q, K) * scale(E, heads(H))
        e = np.exp(s - s.max(axis=-1, keepdims=True))
        joined = np.einsum("nhtu,nuhd->nthd", e / e.sum(axis=-1, keepdims=True), V).reshape(N, T, E)
        return joined @ Wo if out else joined

    return multi_head


CASES = [case(2, 3, 4, 2), case(1, 4, 6, 3), case(2, 2, 4, 4)]

EXERCISE = Exercise(
    number=35,
    name="multi_head",
    title="attention with several heads",
    parts=[
        Values(
            "multi_head_forward",
            values(),
            CASES,
            ("out", "cache"),
            slips=[
                Slip(values(scale=lambda E, H: 1 / np.sqrt(E)), "the scores are divided by sqrt(E). Use sqrt(E / H)."),
                Slip(values(scale=lambda E, H: 1), "the division of the scores by sqrt(E / H) is missing."),
                Slip(values(heads=lambda H: 1), "there is only one head. Split the features into num_heads heads."),
                Slip(values(out=False), "the last product, with Wo, is missing."),
            ],
        ),
        Gradients(("multi_head_forward", "multi_head_backward"), CASES),
    ],
    hints=(
        "With an axis for the heads, the formulas are those of the attention exercise. @ multiplies the matrices in "
        "the last two axes, for all examples and heads together. transpose(0, 1, 3, 2) exchanges the last two axes.",
        "The backward of split is join, and the backward of join is split. x is used three times, so dx has three "
        "terms: dQ @ Wq.T + dK @ Wk.T + dV @ Wv.T, with dQ, dK and dV joined to (N, T, E).",
        "A weight's gradient is a sum over examples and time steps: np.einsum('nte,ntf->ef', x, dQ), or one product of "
        "the flattened arrays.",
    ),
    reading="nnscratch/layers/attention.py; the derivation: docs/derivations/attention.md",
    mistakes=[
        Mistake("scale = 1 / np.sqrt(Q.shape[-1])", "scale = 1 / np.sqrt(x.shape[-1])", "divided by sqrt(E)"),
        Mistake("    out = heads @ Wo\n", "    out = heads\n", "with Wo, is missing"),
        Mistake(
            'dWo = np.einsum("nte,ntf->ef", heads, dout)',
            'dWo = np.einsum("nte,ntf->ef", heads, dout) / len(x)',
            "scaled by a constant",
        ),
        Mistake(
            "dx = dQ @ Wq.T + dK @ Wk.T + dV @ Wv.T", "dx = dQ @ Wq.T + dV @ Wv.T", "a round of the loop not counted"
        ),
        Mistake("dx = dQ @ Wq.T + dK @ Wk.T + dV @ Wv.T", "dx = dV @ Wv.T", "only the last round of the loop counted"),
    ],
)
