"""Learning-rate schedules: the formula, step by step."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import nnscratch as nn
from nnscratch.optim.lr_scheduler import CosineAnnealingLR, LRScheduler, StepLR


def new_optimizer(lr=0.5):
    return nn.optim.SGD([nn.Parameter(np.zeros(1))], lr=lr)


def rates(scheduler, steps):
    """The learning rate before the first step, and after each."""
    seen = [scheduler.optimizer.lr]
    for _ in range(steps):
        scheduler.step()
        seen.append(scheduler.optimizer.lr)
    return seen


@given(step_size=st.integers(1, 7), gamma=st.floats(0, 1), lr=st.floats(1e-4, 10))
def test_step_lr_multiplies_by_gamma_every_step_size_steps(step_size, gamma, lr):
    expected = [lr]
    for step in range(1, 30):
        expected.append(expected[-1] * gamma if step % step_size == 0 else expected[-1])
    got = rates(StepLR(new_optimizer(lr), step_size, gamma), 29)
    np.testing.assert_allclose(got, expected, rtol=1e-12, atol=1e-300)


@given(T_max=st.integers(1, 30), lr=st.floats(1e-4, 10), low=st.floats(0, 1e-4))
def test_cosine_goes_from_the_full_rate_to_eta_min_along_half_a_cosine_and_stays(T_max, lr, low):
    got = rates(CosineAnnealingLR(new_optimizer(lr), T_max, eta_min=low), T_max + 5)
    for step, rate in enumerate(got[: T_max + 1]):
        expected = low + (lr - low) * (1 + math.cos(math.pi * step / T_max)) / 2
        assert rate == pytest.approx(expected, rel=1e-12, abs=1e-15)
    assert got[T_max + 1 :] == pytest.approx([low] * 5, rel=1e-12, abs=1e-15)


@given(T_max=st.integers(2, 30), warmup=st.integers(1, 29))
def test_a_warm_up_rises_in_equal_steps_to_the_full_rate_before_the_cosine_falls(T_max, warmup):
    warmup = min(warmup, T_max - 1)
    got = rates(CosineAnnealingLR(new_optimizer(0.5), T_max, warmup=warmup), T_max)
    np.testing.assert_allclose(got[: warmup + 1], 0.5 * np.arange(1, warmup + 2) / (warmup + 1), rtol=1e-12)
    falling = rates(CosineAnnealingLR(new_optimizer(0.5), T_max - warmup), T_max - warmup)
    np.testing.assert_allclose(got[warmup:], falling, rtol=1e-12, atol=1e-15)


@pytest.mark.parametrize("new", [lambda o: StepLR(o, 3, 0.5), lambda o: CosineAnnealingLR(o, 10, 0.01, warmup=2)])
def test_going_on_from_a_state_dict_is_the_same_as_never_having_stopped(new):
    whole = rates(new(new_optimizer()), 12)
    first = new(new_optimizer())
    start = rates(first, 5)
    second = new(new_optimizer(lr=9.0))
    second.load_state_dict(first.state_dict())
    assert start + rates(second, 7)[1:] == whole


@pytest.mark.parametrize(
    ("new", "message"),
    [
        (lambda o: StepLR(o, 0), "step_size must be an integer of 1 or more, got 0"),
        (lambda o: StepLR(o, 2, -0.5), "gamma must be a finite number, 0 or more, got -0.5"),
        (lambda o: CosineAnnealingLR(o, 2.5), "T_max must be an integer of 1 or more, got 2.5"),
        (lambda o: CosineAnnealingLR(o, 5, eta_min=-1), "eta_min must be a finite number, 0 or more"),
        (lambda o: CosineAnnealingLR(o, 5, warmup=5), r"warmup must be an integer in 0\.\.T_max-1, got 5"),
        (lambda o: CosineAnnealingLR(o, 5, warmup=-1), r"warmup must be an integer in 0\.\.T_max-1, got -1"),
    ],
)
def test_arguments_out_of_range_are_refused_and_the_learning_rate_stays(new, message):
    optimizer = new_optimizer(0.5)
    with pytest.raises(ValueError, match=message):
        new(optimizer)
    assert optimizer.lr == 0.5


def test_a_schedule_needs_an_optimizer_and_a_formula():
    with pytest.raises(TypeError, match="optimizer must be an instance of Optimizer, got Linear"):
        StepLR(nn.Linear(1, 1), 3)
    with pytest.raises(TypeError, match="LRScheduler has no factor method"):
        LRScheduler(new_optimizer())
