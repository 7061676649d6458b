"""Modes that apply inside a ``with`` block: evaluation, evaluation with a backward pass, and backward without dL/dx."""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Callable, Iterator
from typing import Any

from .module import Module

_open_blocks: dict[int, tuple[int, bool]] = {}
"""Each key is the id of a module inside `eval_mode` blocks. The value is the number of these blocks, and the mode of
the module before the first block."""
_lock = threading.Lock()


def input_grad_optional(backward: Callable[..., Any]) -> Callable[..., Any]:
    """Mark a ``backward`` that returns None instead of dL/dx if ``self.needs_input_grad`` is False.

    If a subclass overrides ``backward`` without this mark, `without_input_grad` has no effect on the subclass. Its
    ``backward`` always returns dL/dx, and so does ``super().backward(dy)`` inside it.
    """
    backward.input_grad_optional = True
    return backward


@contextlib.contextmanager
def without_input_grad(module: Module) -> Iterator[None]:
    """Set ``module.needs_input_grad`` to False inside the ``with`` block, if its backward is marked
    `input_grad_optional`.

    Use it around a call of ``module.backward`` if you do not use the result. Example: the input of a network is data.
    If backward does not compute the gradient of the data, a training step of the first layer has two matrix products
    instead of three.

    Examples
    --------
    >>> import numpy as np, nnscratch as nn
    >>> layer = nn.Linear(3, 2, rng=0)
    >>> y = layer(np.ones((4, 3), dtype=np.float32))
    >>> with without_input_grad(layer):
    ...     print(layer.backward(np.ones_like(y)))
    None
    >>> print(layer.bias.grad)
    [4. 4.]
    """
    if not getattr(module.backward, "input_grad_optional", False) or not module.needs_input_grad:
        yield
        return
    module.needs_input_grad = False
    try:
        yield
    finally:
        del module.needs_input_grad  # the class attribute, True, is visible again


@contextlib.contextmanager
def eval_mode(*modules: Module) -> Iterator[None]:
    """Switch modules to ``eval()`` mode inside the ``with`` block. Afterwards each module has its earlier mode again.

    Blocks may be nested, or run in several threads at once: the end of the last block restores the mode.

    Parameters
    ----------
    *modules : Module
        If you pass one module, all modules inside it are switched too. If you pass several modules, only these are
        switched. In a loop, it is faster to list a model's modules once and to pass them all.
    """
    switched = modules if len(modules) > 1 else list(modules[0].modules())
    with _lock:
        for module in switched:
            blocks, mode = _open_blocks.get(id(module), (0, module.training))
            _open_blocks[id(module)] = blocks + 1, mode
            module.training = False
    try:
        yield
    finally:
        with _lock:
            for module in switched:
                blocks, mode = _open_blocks.pop(id(module))
                if blocks > 1:
                    _open_blocks[id(module)] = blocks - 1, mode
                else:
                    module.training = mode


@contextlib.contextmanager
def eval_with_backward(model: Module) -> Iterator[None]:
    """Let `model` compute as in ``eval()`` mode inside the ``with`` block, but with a backward pass.

    Use it for the gradient with respect to the input. There is no dropout, and BatchNorm uses its running averages.
    The parameters are frozen. Afterwards each module has its earlier mode, gradients and saved forward calls again.

    Examples
    --------
    >>> import numpy as np, nnscratch as nn
    >>> model = nn.Sequential(nn.Linear(3, 2, rng=0), nn.Dropout(0.5)).eval()
    >>> x = np.ones((1, 3), dtype=np.float32)
    >>> with eval_with_backward(model):
    ...     y = model(x)
    ...     dx = model.backward(np.array([[1, 0]], dtype=np.float32))
    >>> bool((y == model(x)).all()), bool((dx == model[0].weight.data[0]).all())
    (True, True)
    """
    modules = list(model.modules())
    names = ("training", "deterministic", "_stack", "_taken")
    before = [{name: vars(module)[name] for name in names if name in vars(module)} for module in modules]
    with contextlib.ExitStack() as stack:
        for parameter in model.parameters():
            stack.enter_context(parameter.frozen())
        for module in modules:
            vars(module).update(training=True, deterministic=True, _stack=[])
        try:
            yield
        finally:
            for module, own in zip(modules, before, strict=True):
                for name in names:
                    vars(module).pop(name, None)
                vars(module).update(own)
