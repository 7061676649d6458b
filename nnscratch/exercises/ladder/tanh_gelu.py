"""Exercise 7: GELU in its tanh form."""

import numpy as np

from ..exercise import Exercise, Gradients, Mistake, Slip, Values, normal

A, B = np.sqrt(2 / np.pi), 0.044715
CASES = [normal((3, 4)), normal((6,)), normal((2, 2, 3))]


def with_inner(inner):
    return lambda x: x * (1 + np.tanh(inner(x))) / 2


EXERCISE = Exercise(
    number=7,
    name="tanh_gelu",
    title="GELU as in GPT-2: several steps, with a product of two functions of x",
    parts=[
        Values(
            "gelu_forward",
            with_inner(lambda x: A * (x + B * x**3)),
            CASES,
            ("out", "cache"),
            slips=[
                Slip(with_inner(lambda x: A * x), "the term with x**3 is missing in u."),
                Slip(with_inner(lambda x: A * (x + B * x**2)), "u has x**2 where it must have x**3."),
                Slip(
                    with_inner(lambda x: A * x + B * x**3),
                    "the factor a must multiply both terms of u: a * (x + b * x**3).",
                ),
                Slip(with_inner(lambda x: x + B * x**3), "the factor a is missing in u."),
                Slip(lambda x: (1 + np.tanh(A * (x + B * x**3))) / 2, "the factor x is missing in out."),
            ],
        ),
        Gradients(("gelu_forward", "gelu_backward"), CASES),
    ],
    hints=(
        "Both factors of the product x (1 + t) depend on x. So its derivative has two terms: in each term, one of the "
        "factors is treated as a constant.",
        "dt = dout * x / 2, du = dt * (1 - t**2), and the path through u gives du * a * (1 + 3 * b * x**2). Add "
        "dout * (1 + t) / 2, the path through the factor x.",
        "GELU multiplies x by the probability that a normally distributed number is below x. The exact formula for "
        "this probability has erf. The form with tanh is an approximation, which was faster to compute.",
    ),
    reading="nnscratch/layers/gelu.py; the derivation: docs/derivations/activations.md",
    mistakes=[
        Mistake("dx = dout * (1 + t) / 2 + du * A * (1 + 3 * B * x**2)", "dx = dout * (1 + t) / 2", "path missing"),
        Mistake(
            "dx = dout * (1 + t) / 2 + du * A * (1 + 3 * B * x**2)", "dx = du * A * (1 + 3 * B * x**2)", "path missing"
        ),
        Mistake("    dt = dout", "    dout = np.ones_like(dout)\n    dt = dout", "upstream gradient missing"),
        Mistake("B * x**3)", "B * x**2)", "x**2 where it must have x**3"),
    ],
)
