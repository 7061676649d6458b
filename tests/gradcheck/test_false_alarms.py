"""Test that correct code is called right for any inputs: some of the cases that benchmarks.checker draws."""

import drawn
import numpy as np
import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

import nnscratch as nn
from nnscratch.gradcheck import check_gradients


def test_every_layer_and_loss_is_drawn():
    modules = [getattr(nn, name) for name in (*nn.layers.__all__, *nn.losses.__all__)]
    assert {cls for cls in modules if isinstance(cls, type) and issubclass(cls, nn.Module)} <= drawn.CASES.keys()


@pytest.mark.parametrize("cls", drawn.CASES, ids=lambda cls: cls.__name__)
def test_a_correct_layer_is_called_right(cls):
    @settings(max_examples=3, derandomize=True, suppress_health_check=list(HealthCheck))
    @given(drawn.CASES[cls])
    def check(case):
        module, *inputs = case
        report = check_gradients(module, *inputs)
        assert report.ok, report

    check()


@settings(max_examples=20)
@example((nn.MaxPool2d(3), np.zeros((2, 2, 3, 3))), 2.0)  # nearby, most gradients of the suspects are zero
@given(drawn.CASES[nn.MaxPool2d], st.floats(1.5, 3))
def test_ties_of_overlapping_windows_hide_no_wrong_gradient(case, factor):
    module, x = case
    if not module.backward(np.ones_like(module(x))).any():
        return  # the gradient is zero, and any factor times zero is right

    class Wrong(nn.MaxPool2d):
        def backward(self, dy):
            return -factor * super().backward(dy)

    wrong = Wrong(module.kernel_size, module.stride, module.padding)
    assert not check_gradients(wrong, x, diagnose=False).ok
