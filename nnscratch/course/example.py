"""The files that ``nnscratch course new`` writes: a course with three exercises of the package and one of your own."""

from __future__ import annotations

from pathlib import Path

from ..serialization import write_atomically
from .settings import COURSE_FILE

COURSE = """\
title = "Neural networks"
seed = 20261012                  # the seed for the random inputs of all checks; all students get the same inputs

# [limits]                       # to change a limit, remove the # in front
# exercise = 3                   # seconds of processor time for one file
# submission = 15                # seconds of processor time for all files of a student
# memory = 1024                  # megabytes

# The exercises, in the order in which students get them. `nnscratch exercises start FOLDER` writes all exercises.

[[exercises]]
name = "sigmoid"
points = 4                       # half for the values, half for the gradients

[[exercises]]
name = "affine"
points = { values = 2, gradients = 4 }

[[exercises]]
name = "softmax_loss"
points = 6

[[exercises]]
file = "own/swish.py"            # an exercise of your own: a model solution, and the shapes of the inputs
points = 5
"""

SWISH = '''\
"""Swish, with a slope that is learned

    forward     out   = x * sigmoid(beta * x)
    backward    dx    = dout * (s + beta * x * s * (1 - s)),  where s = sigmoid(beta * x)
                dbeta = the sum of dout * x^2 * s * (1 - s)

Shapes: x, out, dout and dx have the same shape, with any number of axes; beta and dbeta are numbers.

What is checked: the values of forward, to 6 digits; then the two gradients of backward.
"""

import numpy as np


def swish_forward(x, beta):
    """Return out and a cache for backward."""
    # solution: Compute out. Save in cache what backward needs.
    s = 1 / (1 + np.exp(-beta * x))
    out = x * s
    cache = (x, beta, s)
    return out, cache
    # end


def swish_backward(dout, cache):
    """Return dx and dbeta."""
    # solution: Compute the two gradients.
    x, beta, s = cache
    dx = dout * (s + beta * x * s * (1 - s))
    dbeta = np.sum(dout * x**2 * s * (1 - s))
    return dx, dbeta
    # end


# for the instructor
# Students get the part above this line, with a TODO in place of each solution.

SHAPES = [{"x": "4,3", "beta": ""}, {"x": "2,5", "beta": ""}, {"x": "7", "beta": ""}]

# For each mistake: a piece of the solution, the wrong code that replaces it, and a part of the message of the check.
MISTAKES = [
    ("out = x * s\\n", "out = s\\n", "out"),
    ("dx = dout * (s + beta * x * s * (1 - s))", "dx = dout * s", "gradient of x"),
    ("dbeta = np.sum(dout * x**2 * s * (1 - s))", "dbeta = np.mean(dout * x**2 * s * (1 - s))", "scaled by a constant"),
]
'''


def write_example(folder: Path) -> list[Path]:
    """Write the example, and return the paths of the files.

    Raises
    ------
    FileExistsError
        One of the files exists.
    """
    texts = {folder / COURSE_FILE: COURSE, folder / "own" / "swish.py": SWISH}
    for path in texts:
        if path.exists():
            raise FileExistsError(f"{path} exists already. Give the name of a new folder")
    for path, text in texts.items():
        path.parent.mkdir(parents=True, exist_ok=True)
        write_atomically(path, text.encode())
    return list(texts)
