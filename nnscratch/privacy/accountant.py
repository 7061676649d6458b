"""The Renyi accountant: compute the epsilon of the steps of DP-SGD. A large epsilon means little privacy.

    mechanism   the sum of the clipped gradients of a random batch, plus noise N(0, (sigma C)^2): each example is in the
                batch with probability q, independently of other examples (Poisson sampling), and the norm of its
                gradient is at most C

    Renyi       D_alpha(P || Q) = 1/(alpha - 1) log E_Q[(P/Q)^alpha]: a distance between two distributions of the
                output. P is for data that contain a certain example, and Q is for the data without this example.
                With C = 1, Q = N(0, sigma^2) and P = (1 - q) N(0, sigma^2) + q N(1, sigma^2).

    one step    rdp(alpha) = 1/(alpha - 1) log A        A = E_Q[(1 - q + q exp((2z - 1) / (2 sigma^2)))^alpha]

    integer alpha: expand the power, and use E_Q[exp(k (2z - 1) / (2 sigma^2))] = exp((k^2 - k) / (2 sigma^2))

                A = sum over k = 0 ... alpha  binom(alpha, k) (1 - q)^(alpha - k) q^k exp((k^2 - k) / (2 sigma^2))

    any alpha > 1: the power is (u + v)^alpha with u = 1 - q and v = q exp(...). Its series in powers of v converges if
    v < u, and its series in powers of u if u < v. v grows with z, and v = u at z0 = sigma^2 log(1/q - 1) + 1/2. So cut
    the integral over z at z0, and expand in powers of v below z0 and in powers of u above z0:

                A = sum over k = 0, 1, 2, ...  binom(alpha, k) (
                        (1 - q)^(alpha - k) q^k exp((k^2 - k) / (2 sigma^2)) erfc((k - z0) / (sqrt(2) sigma)) / 2
                      + (1 - q)^k q^(alpha - k) exp((j^2 - j) / (2 sigma^2)) erfc((z0 - j) / (sqrt(2) sigma)) / 2 )
                        with j = alpha - k

    all steps   for each alpha, add the rdp(alpha) of all steps

    epsilon     for every delta, training is (epsilon, delta)-private; choose the alpha with the smallest epsilon

                epsilon = rdp(alpha) + log((alpha - 1) / alpha) - (log delta + log alpha) / (alpha - 1)

References: Mironov (2017), "Renyi differential privacy", arXiv:1702.07476; Mironov, Talwar and Zhang (2019), "Renyi
differential privacy of the sampled Gaussian mechanism", arXiv:1908.10530, for A; Balle, Barthe, Gaboardi, Hsu and Sato
(2020), "Hypothesis testing interpretations and Renyi differential privacy", arXiv:1905.09982, Theorem 21, for epsilon.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np

from ..checks import at_least, positive_int

ORDERS = tuple(1 + k / 10 for k in range(1, 100)) + tuple(range(12, 64))
"""The values of alpha to try. Opacus uses the same values."""
NO_NOISE, ONLY_NOISE = 1e-50, 1e50  # outside of these limits of sigma, even the logarithms of the terms of A overflow
MUCH_NOISE = 100  # above this sigma, the series for a fractional alpha is long: all of `ORDERS` would take minutes
MAX_ORDER, MIN_RATE, MAX_TERMS = 1000, 1e-300, 1_000_000  # outside of these limits, the sums would take too long


def renyi_divergence(sample_rate: float, noise_multiplier: float, alpha: float) -> float:
    """Return rdp(alpha) of one step.

    Parameters
    ----------
    sample_rate : float, 0 to 1
        q.
    noise_multiplier : float
        sigma, the standard deviation of the noise divided by C.
    alpha : float, above 1, below 1,000

    Examples
    --------
    If the batch contains every example, the divergence is alpha / (2 sigma^2). If the batch is a random sample, the
    divergence is smaller than that:

    >>> renyi_divergence(1.0, 2.0, alpha=4)
    0.5
    >>> round(renyi_divergence(0.01, 2.0, alpha=4), 6)
    5.7e-05
    """
    q, sigma = _check_rate(sample_rate), min(at_least("noise_multiplier", noise_multiplier, 0), ONLY_NOISE)
    if isinstance(alpha, np.ndarray) or not alpha > 1:
        raise ValueError(f"alpha must be above 1, got {alpha!r}")
    alpha = at_least("alpha", alpha, 1, below=MAX_ORDER)
    if q == 0:
        return 0.0
    if sigma < NO_NOISE:
        return math.inf
    if q == 1:
        return alpha / (2 * sigma**2)
    log_a = _log_a_integer(q, sigma, int(alpha)) if float(alpha).is_integer() else _log_a(q, sigma, alpha)
    return log_a / (alpha - 1)


def epsilon(steps: int, sample_rate: float, noise_multiplier: float, delta: float) -> float:
    """Return the epsilon of `steps` steps of DP-SGD.

    Parameters
    ----------
    steps : int
        0 or more.
    sample_rate : float, 0 to 1
        The probability that an example is in a batch.
    noise_multiplier : float
        The standard deviation of the noise, divided by the norm to which gradients are clipped.
    delta : float, above 0 and below 1
        Usually less than 1 / (number of examples).

    Returns
    -------
    float
        The epsilon. It is infinite if there is no noise.

    Examples
    --------
    The setting of Abadi et al. (2016), arXiv:1607.00133, section 5: their moments accountant gives 1.26.

    >>> import nnscratch as nn
    >>> round(nn.privacy.epsilon(steps=10_000, sample_rate=0.01, noise_multiplier=4.0, delta=1e-5), 3)
    1.035
    """
    steps = positive_int("steps", steps) if steps != 0 else 0
    check_delta(delta)
    return epsilon_of(steps, divergences(sample_rate, noise_multiplier), delta)


def divergences(sample_rate: float, noise_multiplier: float) -> list[float]:
    """Return rdp(alpha) of one step for each alpha in `ORDERS`.

    If sigma is above `MUCH_NOISE` and q < 1, the result for each alpha that is not an integer is infinity. Epsilon is a
    minimum over all alpha, so the integers alone give a valid epsilon. Below 20, it is at most 5 % too large.
    """
    much = at_least("noise_multiplier", noise_multiplier, 0) > MUCH_NOISE and _check_rate(sample_rate) != 1
    return [
        math.inf if much and alpha % 1 else renyi_divergence(sample_rate, noise_multiplier, alpha) for alpha in ORDERS
    ]


def epsilon_of(steps: int, of_one_step: Sequence[float], delta: float) -> float:
    """Return the epsilon of `steps` steps, from the `divergences` of one step."""
    if steps == 0:
        return 0.0
    found = [
        steps * rdp + math.log((alpha - 1) / alpha) - (math.log(delta) + math.log(alpha)) / (alpha - 1)
        for alpha, rdp in zip(ORDERS, of_one_step, strict=True)
    ]
    return max(0.0, min(found))


def noise_multiplier_for(epsilon_target: float, steps: int, sample_rate: float, delta: float) -> float:
    """Return the smallest noise multiplier with which the epsilon of `steps` steps is at most `epsilon_target`.

    The result is rounded up to 3 digits. It is 0 if there are no steps, or if the sample rate is 0.

    Examples
    --------
    >>> sigma = noise_multiplier_for(8.0, steps=1000, sample_rate=0.02, delta=1e-5)
    >>> sigma, epsilon(1000, 0.02, sigma, 1e-5) <= 8.0
    (0.768, True)
    """
    epsilon_target = at_least("epsilon_target", epsilon_target, 1e-3)
    low, high = 0.0, 1.0
    if epsilon(steps, sample_rate, 0.0, delta) <= epsilon_target:
        return 0.0
    while epsilon(steps, sample_rate, high, delta) > epsilon_target:
        low, high = high, 2 * high
        if high > 1e6:
            raise ValueError(
                f"no noise multiplier up to 1e6 gives epsilon {epsilon_target}: with this delta, {delta}, the "
                f"accountant's smallest epsilon is {epsilon_of(1, [0.0] * len(ORDERS), delta):.3g} for any noise"
            )
    while high - low > 1e-4 * high and high > NO_NOISE:
        middle = (low + high) / 2
        low, high = (low, middle) if epsilon(steps, sample_rate, middle, delta) <= epsilon_target else (middle, high)
    digits = 3 - math.ceil(math.log10(high))
    return math.ceil(high * 10**digits) / 10**digits


# --- log A: in logarithms, since the terms overflow ---------------------------------------------------------------


def _log_a_integer(q: float, sigma: float, alpha: int) -> float:
    """Return log A for an integer alpha, from the finite sum."""
    k = np.arange(alpha + 1)
    log_binomial = np.array([math.log(math.comb(alpha, i)) for i in range(alpha + 1)])
    terms = log_binomial + (alpha - k) * math.log1p(-q) + k * math.log(q) + (k * k - k) / (2 * sigma**2)
    return float(np.logaddexp.reduce(terms))


def _log_a(q: float, sigma: float, alpha: float) -> float:
    """Return log A for an alpha that is not an integer, from the infinite series.

    For k > alpha, the terms of the series alternate in sign and become smaller.
    """
    z0, log_q, log_1_q = sigma**2 * math.log(1 / q - 1) + 0.5, math.log(q), math.log1p(-q)
    s, width = 1 / (2 * sigma**2), math.sqrt(2) * sigma
    logs, signs = [], []
    k, log_binomial, sign = 0, -math.log(2), 1  # log_binomial includes the factor 1/2 of both terms
    while True:
        j = alpha - k
        below = log_binomial + j * log_1_q + k * log_q + (k * k - k) * s + _log_erfc((k - z0) / width)
        above = log_binomial + k * log_1_q + j * log_q + (j * j - j) * s + _log_erfc((z0 - j) / width)
        logs += [below, above]
        signs += [sign, sign]
        if k > alpha and max(below, above) < -30:  # A is at least 1, so terms below exp(-30) do not matter
            break
        log_binomial += math.log(abs(j) / (k + 1))  # binom(alpha, k + 1) = binom(alpha, k) (alpha - k) / (k + 1)
        sign = sign if j > 0 else -sign
        k += 1
        if k > MAX_TERMS:
            raise ValueError(f"the series for sample_rate={q}, noise_multiplier={sigma} and alpha={alpha} is too long")
    top = max(logs)
    return top + math.log(sum(sign * math.exp(x - top) for sign, x in zip(signs, logs, strict=True)))


def _log_erfc(x: float) -> float:
    """Return log(erfc(x)). If erfc(x) is too small for a float, use its asymptotic series."""
    if x < 25:
        return math.log(math.erfc(x))
    y = 1 / (2 * x * x)
    return -x * x - math.log(x * math.sqrt(math.pi)) + math.log1p(-y + 3 * y**2 - 15 * y**3)


def _check_rate(sample_rate: float) -> float:
    if not isinstance(sample_rate, (int, float, np.integer, np.floating)) or not 0 <= sample_rate <= 1:
        raise ValueError(f"sample_rate must be between 0 and 1, got {sample_rate!r}")
    if 0 < sample_rate < MIN_RATE:
        raise ValueError(f"sample_rate must be 0 or at least {MIN_RATE:g}, got {sample_rate!r}")
    return float(sample_rate)


def check_delta(delta: float) -> float:
    """Return delta as a float. Raise if it is not above 0 and below 1."""
    if not isinstance(delta, (int, float, np.integer, np.floating)) or not 0 < delta < 1:
        raise ValueError(f"delta must be above 0 and below 1, got {delta!r}")
    return float(delta)
