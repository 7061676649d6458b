"""Every public layer's and every loss's backward against finite differences.

The cases are those of tests/shared/cases.py, one after the other. Every element of a small layer is checked. A layer
with more elements, such as a block of a Transformer, consists of such layers: its arrays are checked along directions,
which shows an error in any element. tests/oracle compares every element of all cases with PyTorch.
"""

import numpy as np
import pytest
from cases import LAYERS, LOSSES

from nnscratch.gradcheck import check_gradients, numerical_gradient

MANY = 200  # elements of inputs and parameters


def size(nest):
    return sum(map(size, nest)) if isinstance(nest, tuple) else np.size(nest)


@pytest.mark.parametrize("case", [case for cases in LAYERS.values() for case in cases], ids=repr)
def test_a_layers_backward_gives_what_finite_differences_give(case):
    layer = case.build().to(dtype=np.float64)
    inputs = case.inputs(np.random.default_rng(0))
    large = size(inputs) + sum(p.size for p in layer.parameters()) > MANY
    report = check_gradients(layer, *inputs, mode="directional" if large else "full")
    assert report.ok and report.max_error < 1e-6, report


@pytest.mark.parametrize("case", [case for cases in LOSSES.values() for case in cases], ids=repr)
def test_a_losss_backward_gives_what_finite_differences_give(case):
    criterion = case.build()
    prediction, target = case.inputs(np.random.default_rng(0))
    criterion(prediction, target)
    gradient = criterion.backward()
    criterion.eval()
    numeric = numerical_gradient(lambda x: criterion(x, target), prediction)
    np.testing.assert_allclose(gradient, numeric, rtol=1e-6, atol=1e-9)
