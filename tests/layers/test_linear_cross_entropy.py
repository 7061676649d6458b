"""The fused last step of a language model equals the two textbook modules, whatever the blocks."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import nnscratch as nn
from nnscratch.backend import Workspace
from nnscratch.layers import linear_cross_entropy as fused


@given(
    n=st.integers(1, 9), d=st.integers(1, 6), v=st.integers(1, 9), bias=st.booleans(),
    block=st.sampled_from([1, 7, 20, 1 << 20]), columns=st.sampled_from([1, 10, 1 << 20]), seed=st.integers(0, 99),
)  # fmt: skip
def test_loss_and_gradients_equal_linear_then_cross_entropy(n, d, v, bias, block, columns, seed):
    rng = np.random.default_rng(seed)
    h, target = rng.normal(size=(n, 2, d)), rng.integers(0, v, (n, 2))
    textbook, fast = (nn.Linear(d, v, bias, rng=seed).to(dtype=np.float64) for _ in range(2))
    criterion = nn.CrossEntropyLoss()
    expected = criterion(textbook(h), target)
    expected_dh = textbook.backward(criterion.backward())
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(fused, "BLOCK", block)
        patch.setattr(fused, "DW_BLOCK", columns)
        loss, dh = fused.linear_cross_entropy(fast, h, target, workspace=Workspace(), learn=True)
        only_loss, nothing = fused.linear_cross_entropy(fast, h, target, workspace=Workspace(), learn=False)
    assert loss == pytest.approx(expected, rel=1e-12, abs=1e-12)
    assert only_loss == loss and nothing is None
    np.testing.assert_allclose(dh, expected_dh, rtol=1e-10, atol=1e-14)
    for p, q in zip(fast.parameters(), textbook.parameters(), strict=True):
        np.testing.assert_allclose(p.grad, q.grad, rtol=1e-10, atol=1e-14)


@pytest.mark.parametrize("tie", [False, True])
def test_a_language_model_gives_the_same_gradients_either_way(tie):
    rng = np.random.default_rng(0)
    tokens, targets = rng.integers(0, 11, (2, 3, 5))
    state = rng.normal(size=(2, 2, 3, 8))
    one, other = (
        nn.models.LanguageModel(11, 8, 8, 2, dropout=0.4, tie_weights=tie, rng=7).to(dtype=np.float64) for _ in range(2)
    )
    criterion = nn.CrossEntropyLoss()
    logits, final = one(tokens, tuple(state))
    expected = criterion(logits, targets)
    one.backward(criterion.backward())
    loss, other_final = other.loss_and_backward(tokens, targets, tuple(state))
    assert loss == pytest.approx(expected, rel=1e-13)
    np.testing.assert_array_equal(final, other_final)
    for p, q in zip(one.parameters(), other.parameters(), strict=True):
        np.testing.assert_allclose(p.grad, q.grad, rtol=1e-11, atol=1e-15)


def test_memory_does_not_grow_with_vocabulary_times_tokens():
    import tracemalloc

    def peak(tokens, vocabulary=20_000, d=4):
        linear = nn.Linear(d, vocabulary, rng=0)
        h, target = np.ones((tokens, d), dtype=np.float32), np.zeros(tokens, dtype=int)
        tracemalloc.start()
        fused.linear_cross_entropy(linear, h, target, workspace=Workspace(), learn=True)
        peak = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        return peak

    assert peak(4000) < 1.1 * peak(1000)  # all the logits would be 320 MB and 80 MB


@pytest.mark.parametrize(
    ("h", "target", "error", "message"),
    [
        (
            np.ones((3, 2), np.float32),
            np.zeros(4, int),
            ValueError,
            r"needs h \(\.\.\., 2\) and one label for each row",
        ),
        (np.ones((3, 2), np.float32), np.array([0, 1, 5]), ValueError, r"target must be in 0\.\.4, got 0\.\.5"),
        (np.ones((3, 2), np.float32), np.zeros(3), TypeError, "target must be integers"),
        (np.ones((3, 2)), np.zeros(3, int), TypeError, "the parameters are float32, but h is float64"),
    ],
)
def test_what_does_not_fit_is_refused_and_no_gradient_changes(h, target, error, message):
    linear = nn.Linear(2, 5, rng=0)
    with pytest.raises(error, match=message):
        fused.linear_cross_entropy(linear, h, target, workspace=Workspace(), learn=True)
    assert not linear.weight.grad.any() and not linear.bias.grad.any()
