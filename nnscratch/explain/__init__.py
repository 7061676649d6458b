"""Explain a model: which inputs made it say this? One method a file, with its equations on top."""

from .gradient_x_input import gradient_x_input
from .input_gradients import input_gradients
from .integrated_gradients import integrated_gradients
from .kernel_shap import kernel_shap
from .lime import lime
from .masking import patches
from .occlusion import occlusion
from .scores import scores
from .shapley import shapley_values
from .smooth_grad import smooth_grad

__all__ = [
    "gradient_x_input",
    "input_gradients",
    "integrated_gradients",
    "kernel_shap",
    "lime",
    "occlusion",
    "patches",
    "scores",
    "shapley_values",
    "smooth_grad",
]
