"""Explain a model: which inputs caused its prediction? Each method has its own file, with its equations on top."""

from .activations import layer_activations
from .agreement import rank_correlation
from .attention_rollout import attention_rollout
from .compare import Comparison, compare
from .curves import deletion_curve, insertion_curve
from .gradient_x_input import gradient_x_input
from .input_gradients import input_gradients
from .integrated_gradients import integrated_gradients
from .kernel_shap import kernel_shap
from .lime import lime
from .linear_probe import Probe, linear_probe
from .logit_lens import logit_lens
from .masking import patches
from .occlusion import occlusion
from .prompt import PromptExplanation, explain_prompt
from .sanity import sanity_check
from .scores import scores
from .shapley import shapley_values
from .smooth_grad import smooth_grad
from .top_contexts import Context, top_contexts

__all__ = [
    "Comparison",
    "Context",
    "Probe",
    "PromptExplanation",
    "attention_rollout",
    "compare",
    "deletion_curve",
    "explain_prompt",
    "gradient_x_input",
    "input_gradients",
    "insertion_curve",
    "integrated_gradients",
    "kernel_shap",
    "layer_activations",
    "lime",
    "linear_probe",
    "logit_lens",
    "occlusion",
    "patches",
    "rank_correlation",
    "sanity_check",
    "scores",
    "shapley_values",
    "smooth_grad",
    "top_contexts",
]
