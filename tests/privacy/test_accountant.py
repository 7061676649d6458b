"""The accountant against the integral that defines it, against known values, and with bad arguments."""

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from nnscratch.privacy import accountant, epsilon, noise_multiplier_for, renyi_divergence


def by_integration(q, sigma, alpha):
    """Return the Renyi divergence by the trapezoidal rule: 1/(alpha - 1) log E_Q[(P/Q)^alpha]."""
    z = np.linspace(-20 * sigma, 20 * sigma + 2 * alpha, 200_001)
    log_q = -(z**2) / (2 * sigma**2) - math.log(sigma * math.sqrt(2 * math.pi))
    log_ratio = np.logaddexp(math.log1p(-q), math.log(q) + (2 * z - 1) / (2 * sigma**2))
    f = log_q + alpha * log_ratio
    return (f.max() + math.log(np.exp(f - f.max()).sum() * (z[1] - z[0]))) / (alpha - 1)


@settings(max_examples=30)
@given(st.floats(0.001, 0.6), st.floats(0.5, 8), st.one_of(st.integers(2, 30), st.floats(1.05, 11)))
def test_the_series_give_the_integral(q, sigma, alpha):
    assert renyi_divergence(q, sigma, alpha) == pytest.approx(by_integration(q, sigma, alpha), rel=1e-5, abs=1e-9)


def test_the_divergence_is_continuous_in_alpha():
    for alpha in (2, 5, 9):
        below, at, above = (renyi_divergence(0.03, 0.8, a) for a in (alpha - 1e-6, alpha, alpha + 1e-6))
        assert below < at < above and above - below < 1e-4


def test_known_values():
    assert renyi_divergence(1.0, 3.0, 5) == 5 / 18  # the Gaussian mechanism
    assert renyi_divergence(0.0, 3.0, 5) == 0
    assert renyi_divergence(0.5, 0.0, 5) == math.inf
    assert epsilon(0, 0.1, 1.0, 1e-5) == 0
    assert epsilon(10, 0.1, 0.0, 1e-5) == math.inf
    assert epsilon(1000, 0.01, 1.0, 1e-5) == pytest.approx(2.101, abs=2e-3)  # Opacus 1.6


@pytest.mark.parametrize(("steps", "q", "sigma"), [(1, 0.3, 0.5), (1000, 0.01, 1.0), (50, 1.0, 10.0)])
def test_epsilon_grows_with_the_steps_and_shrinks_with_the_noise(steps, q, sigma):
    here = epsilon(steps, q, sigma, 1e-5)
    assert here <= epsilon(2 * steps, q, sigma, 1e-5)
    assert epsilon(steps, q, 2 * sigma, 1e-5) <= here + 1e-9
    assert epsilon(steps, q, sigma, 1e-3) <= here + 1e-9


@pytest.mark.parametrize("target", [1.0, 8.0])
def test_the_noise_multiplier_is_the_smallest_one(target):
    sigma = noise_multiplier_for(target, 20, 0.02, 1e-5)
    assert epsilon(20, 0.02, sigma, 1e-5) <= target < epsilon(20, 0.02, 0.99 * sigma, 1e-5)


@pytest.mark.parametrize("q", [1e-300, 0.01, 1 - 1e-16, 1.0])
def test_extreme_noise_ends_with_a_number(q):
    assert epsilon(10, q, 1e-200, 1e-5) == math.inf
    sizes = [epsilon(10, q, sigma, 1e-5) for sigma in (1e-49, 1e-10, 0.05, 5.0, 1e10, 1e200)]
    assert sizes == sorted(sizes, reverse=True) and sizes[0] > 1e97
    least = epsilon(1, 0.0, 1.0, 1e-5)  # 0.103: the accountant's smallest epsilon, from the largest alpha
    assert sizes[-1] == pytest.approx(least)


def test_without_steps_no_noise_is_needed():
    assert noise_multiplier_for(1.0, 0, 0.1, 1e-5) == noise_multiplier_for(1.0, 10, 0.0, 1e-5) == 0
    with pytest.raises(ValueError, match="the accountant's smallest epsilon is 0.103 for any noise"):
        noise_multiplier_for(0.05, 10, 0.1, 1e-5)


def test_bad_arguments_are_named():
    for delta in (math.nan, "1e-5", None):
        with pytest.raises(ValueError, match="delta must be above 0 and below 1"):
            epsilon(10, 0.5, 1.0, delta)
    with pytest.raises(ValueError, match="sample_rate must be between 0 and 1, got '0.1'"):
        epsilon(10, "0.1", 1.0, 1e-5)
    with pytest.raises(ValueError, match="sample_rate must be between 0 and 1, got 1.5"):
        epsilon(10, 1.5, 1.0, 1e-5)
    with pytest.raises(ValueError, match="noise_multiplier must be"):
        epsilon(10, 0.5, -1.0, 1e-5)
    with pytest.raises(ValueError, match="delta must be above 0 and below 1, got 0"):
        epsilon(10, 0.5, 1.0, 0)
    with pytest.raises(ValueError, match="steps must be"):
        epsilon(-1, 0.5, 1.0, 1e-5)
    with pytest.raises(ValueError, match="alpha must be above 1, got 1"):
        renyi_divergence(0.5, 1.0, 1)
    with pytest.raises(ValueError, match="epsilon_target must be"):
        noise_multiplier_for(0.0, 10, 0.5, 1e-5)


def test_sums_that_would_not_end_are_refused():
    for rate in (5e-324, 1e-301):
        with pytest.raises(ValueError, match="sample_rate must be 0 or at least 1e-300"):
            epsilon(10, rate, 1.0, 1e-5)
    for alpha in (1e308, 10**400, 1000):
        with pytest.raises(ValueError, match="alpha must be"):
            renyi_divergence(0.1, 1.0, alpha)
    assert math.isfinite(epsilon(10, 1e-300, 1.0, 1e-5))


def test_with_much_noise_epsilon_does_not_need_the_infinite_series(monkeypatch):
    """With sigma = 1000 and 90 values of alpha, the series has millions of terms."""
    just_below = epsilon(10**7, 0.01, accountant.MUCH_NOISE, 1e-5)

    def refuse(q, sigma, alpha):
        raise AssertionError("the series is not used")

    monkeypatch.setattr(accountant, "_log_a", refuse)
    just_above = epsilon(10**7, 0.01, accountant.MUCH_NOISE * 1.001, 1e-5)
    assert just_below * 0.99 < just_above < just_below * 1.02
    assert epsilon(100_000, 0.5, 1e3, 1e-5) == pytest.approx(0.6158, abs=1e-4)
    assert epsilon(10, 0.5, 1e308, 1e-5) < 0.11


def test_epsilon_without_sampling_shrinks_with_more_noise_also_at_much_noise():
    found = [epsilon(10**6, 1.0, noise, 1e-5) for noise in (99.9, accountant.MUCH_NOISE, 100.1, 101.0)]
    assert found == sorted(found, reverse=True)
