"""Privacy: what a model remembers about single examples, and training that limits it."""

from .accountant import epsilon, noise_multiplier_for, renyi_divergence
from .dpsgd import DPSGD
from .per_example import Examples, keep_examples, per_example_gradients
from .poisson import PoissonBatches, text_examples

__all__ = [
    "DPSGD",
    "Examples",
    "PoissonBatches",
    "epsilon",
    "keep_examples",
    "noise_multiplier_for",
    "per_example_gradients",
    "renyi_divergence",
    "text_examples",
]
