"""Exercise 2: the numerical gradient, by central differences."""

import numpy as np

from ..drivers import FUNCTIONS
from ..exercise import Exercise, Mistake, Slip, Values

DERIVATIVES = {
    "sines": np.cos,
    "cubes": lambda x: 3 * x**2,
    "products": lambda x: np.prod(x) / x + 2 * x,
}


def reference(name, x):
    return DERIVATIVES[name](x)


def forward_difference(h):
    def gradient(name, x):
        f, grad = FUNCTIONS[name], np.zeros_like(x)
        for i in np.ndindex(x.shape):
            moved = x.copy()
            moved[i] += h
            grad[i] = (f(moved) - f(x)) / h
        return grad

    return gradient


def all_moved(name, x):
    return np.full_like(x, reference(name, x).sum())


def case(name, *shape):
    return lambda rng: (name, rng.uniform(0.5, 1.5, shape) * rng.choice([-1.0, 1.0], shape))


ONE_SIDED = "this is the one-sided difference (f(x + h) - f(x)) / h. The central difference is much more accurate."

EXERCISE = Exercise(
    number=2,
    name="numerical_gradient",
    title="the gradient of any function, from its values",
    parts=[
        Values(
            "driver:numerical_gradient",
            reference,
            [case("sines", 4), case("products", 2, 3), case("cubes", 2, 2, 2)],
            ("grad",),
            slips=[
                Slip(all_moved, "all elements of x are moved together. Change one element at a time."),
                *(Slip(forward_difference(h), ONE_SIDED) for h in (1e-5, 1e-4, 1e-3)),
            ],
        ),
    ],
    hints=(
        "np.ndindex(x.shape) yields the index of every element, for any number of axes. x[i] is then that element.",
        "In the loop: store x[i] as kept, set x[i] to kept + h and call f(x), set x[i] to kept - h and call f(x), then "
        "set x[i] back to kept. This needs two calls of f for each element.",
        "Why not a smaller h? f(x + h) - f(x - h) loses digits, because the two values are nearly equal. For float64, "
        "the error is smallest near h = 1e-5.",
    ),
    reading="nnscratch/gradcheck/numerical.py; the page docs/gradcheck/how-it-works.md",
    mistakes=[
        Mistake(
            "        grad[i] = (above - below) / (2 * h)",
            "        grad[i] = (above - below) / h",
            "2 times the right value",
        ),
        Mistake(
            "        x[i] = kept - h\n        below = f(x)\n        x[i] = kept\n"
            "        grad[i] = (above - below) / (2 * h)",
            "        x[i] = kept\n        grad[i] = (above - f(x)) / h",
            "one-sided difference",
        ),
        Mistake("        x[i] = kept\n", "", "changes one of its arguments"),
        Mistake(
            "        x[i] = kept + h\n        above = f(x)\n        x[i] = kept - h\n        below = f(x)\n",
            "        above = f(x + h)\n        below = f(x - h)\n",
            "moved together",
        ),
    ],
)
