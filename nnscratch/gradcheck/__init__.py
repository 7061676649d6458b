"""Is this backward right? And if it is not: which mistake was made, and where?

>>> import numpy as np, nnscratch as nn
>>> report = nn.gradcheck.check_gradients(nn.Tanh(), np.linspace(-1, 1, 6).reshape(2, 3))
>>> report.ok
True
"""

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
