"""Exercise 14: Adam."""

import numpy as np

from ..exercise import Exercise, Mistake, Slip, Values


def case(*shape, t):
    def draw(rng):
        w, dw, m = rng.normal(size=(3, *shape))
        v = rng.uniform(0.1, 1, shape)
        means = {"m": m, "v": v} if t else {"m": np.zeros(shape), "v": np.zeros(shape)}
        rates = {"learning_rate": float(rng.uniform(0.05, 0.2)), "beta1": 0.8, "beta2": 0.9, "epsilon": 1e-2}
        return w, dw, {**rates, **means, "t": t}

    return draw


def step(corrected=True, squared=2, inside=False, later=1, sign=-1):
    def adam(w, dw, c):
        t = c["t"] + later
        m = c["beta1"] * c["m"] + (1 - c["beta1"]) * dw
        v = c["beta2"] * c["v"] + (1 - c["beta2"]) * dw**squared
        mhat = m / (1 - c["beta1"] ** t) if corrected else m
        vhat = v / (1 - c["beta2"] ** t) if corrected else v
        root = np.sqrt(vhat + c["epsilon"]) if inside else np.sqrt(vhat) + c["epsilon"]
        return w + sign * c["learning_rate"] * mhat / root, {"m": m, "v": v, "t": c["t"] + 1}

    return adam


def values(**settings):
    return lambda w, dw, c: step(**settings)(w, dw, c)[0]


EXERCISE = Exercise(
    number=14,
    name="adam",
    title="Adam, with the correction of its running means",
    parts=[
        Values(
            "adam",
            step(),
            [case(3, 4, t=5), case(4, t=1), case(2, 3, t=0)],
            ("next_w", "config"),
            slips=[
                Slip(
                    values(corrected=False),
                    "the correction is missing: divide m by 1 - beta1**t and v by 1 - beta2**t.",
                ),
                Slip(values(later=0), "t is too small by 1. Add 1 to it before you use it."),
                Slip(values(squared=1), "v must be a mean of dw**2, not of dw."),
                Slip(values(inside=True), "epsilon is inside the square root. Take the root first, then add epsilon."),
                Slip(values(sign=1), "a sign is wrong: the step must go against the gradient."),
            ],
        )
    ],
    hints=(
        "Begin with t = config['t'] + 1. With t = 0, the correction would divide by zero.",
        "Write the six lines of the task, one after the other. Use the stored m and v on the right-hand sides. Store m "
        "and v themselves, not mhat and vhat.",
        "In the first step, mhat is dw and vhat is dw**2. So every weight moves by the learning rate, for large and "
        "for small gradients.",
    ),
    reading="nnscratch/optim/adam.py",
    mistakes=[
        Mistake(
            "mhat = m / (1 - beta1**t)\n    vhat = v / (1 - beta2**t)",
            "mhat = m\n    vhat = v",
            "correction is missing",
        ),
        Mistake('    t = config["t"] + 1\n', '    t = config["t"]\n', "t is too small by 1"),
        Mistake("* dw**2", "* dw", "v must be a mean of dw**2"),
        Mistake('(np.sqrt(vhat) + config["epsilon"])', 'np.sqrt(vhat + config["epsilon"])', "epsilon is inside"),
        Mistake("config.update(m=m, v=v, t=t)", "config.update(m=m, v=v)", "config['t']"),
    ],
)
