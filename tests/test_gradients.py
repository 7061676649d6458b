"""Every public layer's backward against finite differences: the cases of tests/shared/cases.py, one after the other."""

import numpy as np
import pytest
from cases import LAYERS

from nnscratch.gradcheck import check_gradients

every_case = pytest.mark.parametrize("case", [case for cases in LAYERS.values() for case in cases], ids=repr)


@every_case
def test_backward_gives_what_finite_differences_give(case):
    layer = case.build().to(dtype=np.float64)
    report = check_gradients(layer, *case.inputs(np.random.default_rng(0)))
    assert report.ok and report.max_error < 1e-6, report
