"""Every public layer's and every loss's backward against finite differences.

The cases are those of tests/shared/cases.py, one after the other.
"""

import numpy as np
import pytest
from cases import LAYERS, LOSSES

from nnscratch.gradcheck import check_gradients, numerical_gradient


@pytest.mark.parametrize("case", [case for cases in LAYERS.values() for case in cases], ids=repr)
def test_a_layers_backward_gives_what_finite_differences_give(case):
    layer = case.build().to(dtype=np.float64)
    report = check_gradients(layer, *case.inputs(np.random.default_rng(0)))
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
