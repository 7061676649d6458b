"""Exercise 13: gradient descent with momentum."""

import numpy as np

from ..exercise import Exercise, Mistake, Slip, Values


def case(*shape, first=False):
    def draw(rng):
        w, dw, v = rng.normal(size=(3, *shape))
        config = {"learning_rate": float(rng.uniform(0.05, 0.2)), "momentum": float(rng.uniform(0.5, 0.9))}
        return w, dw, config if first else config | {"velocity": v}

    return draw


def velocity(w, config):
    return config.get("velocity", np.zeros_like(w))


def reference(w, dw, config):
    v = config["momentum"] * velocity(w, config) - config["learning_rate"] * dw
    return w + v, {"velocity": v}


def nesterov(w, dw, config):
    v = reference(w, dw, config)[1]["velocity"]
    return w + config["momentum"] * v - config["learning_rate"] * dw


EXERCISE = Exercise(
    number=13,
    name="momentum",
    title="gradient descent with momentum",
    parts=[
        Values(
            "sgd_momentum",
            reference,
            [case(3, 4), case(5), case(2, 3, first=True)],
            ("next_w", "config"),
            slips=[
                Slip(lambda w, dw, c: w - c["learning_rate"] * dw, "the velocity of the previous steps is not used."),
                Slip(
                    lambda w, dw, c: w + c["momentum"] * velocity(w, c) + c["learning_rate"] * dw,
                    "a sign is wrong: the step must go against the gradient.",
                ),
                Slip(nesterov, "this is Nesterov's momentum. Here, next_w is w + v."),
                Slip(
                    lambda w, dw, c: w + c["momentum"] * velocity(w, c) - dw,
                    "dw needs the factor learning_rate.",
                ),
            ],
        )
    ],
    hints=(
        'config.get("velocity", np.zeros_like(w)) is the stored velocity, or zero before the first step.',
        "Multiply the old velocity by momentum, and the gradient by learning_rate. Subtract the second product from "
        "the first. w + v makes a new array; w += v would change the caller's array.",
        "Other libraries store v with the other sign, or without the learning rate. With a constant learning rate, the "
        "steps are the same.",
    ),
    reading="nnscratch/optim/sgd.py",
    mistakes=[
        Mistake('- config["learning_rate"] * dw', '+ config["learning_rate"] * dw', "a sign is wrong"),
        Mistake(
            "    next_w = w + v\n    config", "    w += v\n    next_w = w\n    config", "changes one of its arguments"
        ),
        Mistake('    config["velocity"] = v\n', "", "config"),
        Mistake('v = config["momentum"] * v - config', "v = -config", "the velocity of the previous steps"),
    ],
)
