"""The gradient checker: test a backward pass, and name the mistake if the gradients are wrong.

The steps of a check, and the files that do them:

    checker.py                       runs the steps of check_gradients in order; settings.py: the options
    adapters/                        one adapter for each form of code: a Module, a pair of functions, an object, ...
    pairing.py, gradient_names.py    find the gradient of each weight; places.py: where the code stores its arrays
    updated_weights.py               if backward updates the weights, computes the gradients from the changes
    snapshot.py, random_states.py    record the user's objects and random generators, and restore them after the check
    projection.py                    reduces the outputs to one number f; precision.py: computes f in float64
    traps.py, stale_forward.py       find faults that a comparison of gradients cannot find
    completeness.py, vacuous.py      find arrays that were not checked, and checks that prove nothing
    perturbed.py, zero_arrays.py     find a backward that uses finite differences itself, and weights that are all zero
    numerical.py, differences.py     compute finite differences with error bounds; complex_step.py: a more exact method
    entries.py                       compares the analytic and the numeric gradient of one array
    sampling.py, directional.py      choose the elements or directions to compare; cost.py chooses the mode
    kinks.py, kink_units.py          check kinks: points without a derivative, such as 0 for ReLU; so does zero_units.py
    noise.py                         finds noise in f: small jumps that come from rounding
    settled_losses.py                decides which input of a loss the gradient belongs to
    small_constants.py               accepts a gradient that leaves out the eps of log(p + eps)
    verdict.py                       decides the verdict: right, wrong or cannot tell
    diagnosis/                       finds the mistake that explains a wrong gradient; tape/ records forward
    report.py, printing.py           contain and print the result; pictures.py and animated.py draw the result
    command/                         the shell command: nnscratch gradcheck

>>> import numpy as np, nnscratch as nn
>>> report = nn.gradcheck.check_gradients(nn.Tanh(), np.linspace(-1, 1, 6).reshape(2, 3))
>>> report.ok
True
>>> nn.gradcheck(nn.Tanh(), np.ones(3)).ok  # a shorter form of the same call
True
"""

import sys
from types import ModuleType
from typing import Any

from .checker import check_gradients
from .complex_step import complex_step_gradient
from .numerical import numerical_gradient
from .report import Diagnosis, Entry, GradientReport, Trap

__all__ = [
    "Diagnosis",
    "Entry",
    "GradientReport",
    "Trap",
    "check_gradients",
    "complex_step_gradient",
    "numerical_gradient",
]


class _CallableModule(ModuleType):
    def __call__(self, target: Any, *inputs: Any, **settings: Any) -> GradientReport:
        """Call `check_gradients`, so that you can call ``nn.gradcheck(layer, x)`` as in PyTorch."""
        return check_gradients(target, *inputs, **settings)


sys.modules[__name__].__class__ = _CallableModule
