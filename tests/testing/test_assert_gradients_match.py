"""The checker as an assertion in tests."""

import numpy as np
import pytest

import nnscratch as nn

X = np.random.default_rng(0).normal(size=(4, 3))


class Wrong(nn.Tanh):
    def backward(self, dy):
        return -super().backward(dy)


def test_it_returns_the_report_or_fails_with_it():
    assert nn.testing.assert_gradients_match(nn.Tanh(), X).ok
    with pytest.raises(AssertionError, match="sign flipped"):
        nn.testing.assert_gradients_match(Wrong(), X)
