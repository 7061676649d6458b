"""Exercise 15: clip the norm of all gradients together."""

import numpy as np

from ..exercise import Exercise, Mistake, Slip, Values


def case(first, second, part):
    """Return a function that draws two arrays, and a max_norm that is `part` times their norm."""

    def draw(rng):
        a, b = rng.normal(size=first), 3 * rng.normal(size=second)
        return a, b, part * float(np.hypot(np.linalg.norm(a), np.linalg.norm(b)))

    return draw


def length(a, b):
    return np.sqrt((a**2).sum() + (b**2).sum())


def with_factors(factor_of):
    """Return a function that multiplies each array by ``factor_of(array, norm of all arrays, max_norm)``."""

    def clip(a, b, max_norm):
        norm = length(a, b)
        return norm, a * factor_of(a, norm, max_norm), b * factor_of(b, norm, max_norm)

    return clip


def with_norm(norm_of):
    """Return a function with a mistake: it computes the norm with `norm_of`."""

    def clip(a, b, max_norm):
        norm = norm_of(a, b)
        return norm, a * min(1, max_norm / norm), b * min(1, max_norm / norm)

    return clip


EXERCISE = Exercise(
    number=15,
    name="clip_norm",
    title="clip the norm of all gradients together",
    parts=[
        Values(
            "driver:clip_norm",
            with_factors(lambda a, norm, most: min(1, most / norm)),
            [case((3, 4), (4,), 0.1), case((2, 2), (2, 3), 0.7), case((5,), (2,), 3.0)],
            ("norm", "clipped[0]", "clipped[1]"),
            slips=[
                Slip(
                    with_factors(lambda a, norm, most: most / norm),
                    "a short gradient must stay unchanged.",
                ),
                Slip(with_factors(lambda a, norm, most: 1), "the gradient is too long and was not made shorter."),
                Slip(
                    with_factors(lambda a, norm, most: min(1, most / np.linalg.norm(a))),
                    "each array is clipped by its own norm. Use one norm for all arrays.",
                ),
                Slip(
                    lambda a, b, most: (length(a, b), np.clip(a, -most, most), np.clip(b, -most, most)),
                    "each element is clipped. Multiply the arrays by one factor instead.",
                ),
                Slip(with_norm(lambda a, b: length(a, b) ** 2), "this is the square of the norm. Take the root."),
                Slip(
                    with_norm(lambda a, b: np.linalg.norm(a) + np.linalg.norm(b)),
                    "this adds up the norms of the arrays. Add up their squares, and take one root.",
                ),
            ],
        )
    ],
    hints=(
        "The norm of all arrays together is the length of one vector that contains the elements of all arrays.",
        "Sum (grad**2).sum() over the arrays, then take one square root. The factor is min(1, max_norm / norm).",
        "Libraries can also clip each element separately. This changes the direction of the step, because only the "
        "large elements become smaller.",
    ),
    reading="nnscratch/optim/clip.py",
    mistakes=[
        Mistake("factor = min(1, max_norm / norm)", "factor = max_norm / norm", "a short gradient must stay"),
        Mistake(
            "[grad * factor for grad in grads]",
            "[g * min(1, max_norm / np.linalg.norm(g)) for g in grads]",
            "by its own norm",
        ),
        Mistake(
            "np.sqrt(sum((grad**2).sum() for grad in grads))",
            "sum((grad**2).sum() for grad in grads)",
            "the square of the norm",
        ),
        Mistake(
            "[grad * factor for grad in grads]",
            "[np.clip(g, -max_norm, max_norm) for g in grads]",
            "each element is clipped",
        ),
        Mistake(
            "    clipped = [grad * factor for grad in grads]",
            "    for grad in grads:\n        grad *= factor\n    clipped = grads",
            "changes one of its arguments",
        ),
    ],
)
