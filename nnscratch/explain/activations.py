"""Activations: the outputs of all layers for one input, by the names of the layers."""

from __future__ import annotations

from ..backend import Array
from ..checks import check_instance
from ..modes import eval_mode
from ..module import Module
from ..record import record
from .scores import check_input


def layer_activations(model: Module, x: Array) -> dict[str, Array]:
    """Return the output of every module inside the model.

    Parameters
    ----------
    model : Module
        It computes as in ``eval()`` mode.
    x : array, shape (N, ...)
        Floats, or token ids of shape (N, T).

    Returns
    -------
    dict of str to array
        The names are those of ``model.named_modules()``. If a module returns several arrays, only the first one is
        kept. If a module is called several times, only the last call is kept. A module that is not called is left out.

    Examples
    --------
    >>> import numpy as np, nnscratch as nn
    >>> model = nn.models.LanguageModel(vocab_size=10, embed_size=4, hidden_size=8, rng=0)
    >>> {name: h.shape for name, h in nn.explain.layer_activations(model, np.array([[1, 2, 3]])).items()}
    {'embedding': (1, 3, 4), 'lstm': (1, 3, 8), 'linear': (1, 3, 10)}
    """
    check_instance("layer_activations", "model", model, Module)
    check_input(x)
    with eval_mode(model), record(model) as seen:
        model(x)
    return {name: of.output for name, of in seen.items() if name and of.outputs}
