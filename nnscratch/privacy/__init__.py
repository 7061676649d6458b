"""Privacy: measure how much a model remembers about single examples, and limit this in training."""

from .accountant import epsilon, noise_multiplier_for, renyi_divergence
from .dpsgd import DPSGD
from .exposure import Canary, exposure, sequence_losses
from .membership import Membership, advantage_bound, membership_inference
from .per_example import Examples, keep_examples, per_example_gradients
from .poisson import PoissonBatches, text_examples

__all__ = [
    "Canary",
    "DPSGD",
    "Examples",
    "Membership",
    "PoissonBatches",
    "advantage_bound",
    "epsilon",
    "exposure",
    "keep_examples",
    "membership_inference",
    "noise_multiplier_for",
    "per_example_gradients",
    "renyi_divergence",
    "sequence_losses",
    "text_examples",
]
