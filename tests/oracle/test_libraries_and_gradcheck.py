"""The checker takes code of numba, PyTorch and JAX; each test is skipped where its library is not installed."""

import numpy as np
import pytest

from nnscratch.gradcheck import check_gradients

RNG = np.random.default_rng(5)
X, W = RNG.normal(size=(4, 3)), RNG.normal(size=(3, 2))


@pytest.mark.parametrize("factor", [1.0, 1.5, -1.0])
def test_functions_compiled_by_numba(factor):
    njit = pytest.importorskip("numba").njit

    @njit
    def forward(x, w):
        return np.tanh(x @ w)

    @njit
    def backward(dout, x, w):
        dz = dout * (1 - np.tanh(x @ w) ** 2)
        return dz @ w.T, factor * (x.T @ dz)

    report = check_gradients((forward, backward), X, W)
    assert report["x"].verdict == "right" and report["w"].verdict == ("right" if factor == 1 else "wrong")
