"""Modes that apply inside a ``with`` block: evaluation, evaluation with a backward pass, and backward without dL/dx."""

from __future__ import annotations

import contextlib
import os
import threading
from collections.abc import Callable, Iterator, Sequence
from typing import Any

from .module import Module

_open_blocks: dict[int, tuple[Module, bool, tuple[int, ...]]] = {}
"""Each key is the id of a module inside `eval_mode` blocks. The value is the module, its mode before the first block,
and the identifier of the thread of each block."""
_training: list[tuple[int, tuple[Module, ...]]] = []
"""The identifier of the thread and the modules of each `one_thread_trains` block."""
_lock = threading.Lock()


def _after_fork() -> None:
    """Forget the other threads, since a forked child has only the thread that called fork."""
    global _lock
    _lock = threading.Lock()
    here = threading.get_ident()
    _training[:] = [block for block in _training if block[0] == here]
    for module, mode, threads in list(_open_blocks.values()):
        _set_blocks(module, mode, tuple(thread for thread in threads if thread == here))


if hasattr(os, "register_at_fork"):  # not on Windows, which has no fork
    os.register_at_fork(after_in_child=_after_fork)


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

    Raises
    ------
    RuntimeError
        Another thread uses one of the modules in a Trainer or in `eval_with_backward`.
    """
    switched = modules if len(modules) > 1 else list(modules[0].modules())
    here = threading.get_ident()
    with _lock:
        _refuse_if_another_thread_trains(switched)
        for module in switched:
            _, mode, threads = _open_blocks.get(id(module), (module, module.training, ()))
            _open_blocks[id(module)] = module, mode, (*threads, here)
            module.training = False
    try:
        yield
    finally:
        with _lock:
            for module in switched:
                _, mode, threads = _open_blocks[id(module)]
                k = threads.index(here)
                _set_blocks(module, mode, threads[:k] + threads[k + 1 :])


def _set_blocks(module: Module, mode: bool, threads: tuple[int, ...]) -> None:
    """Set the threads of the `eval_mode` blocks of `module`. If there are none, `module` has its earlier mode again."""
    if threads:
        _open_blocks[id(module)] = module, mode, threads
    else:
        del _open_blocks[id(module)]
        module.training = mode


@contextlib.contextmanager
def one_thread_trains(*outer: Module) -> Iterator[None]:
    """Inside the ``with`` block, no other thread can train, evaluate or explain the modules.

    A module has one stack of saved values and one mode. So the steps of two threads would use each other's values.

    Raises
    ------
    RuntimeError
        Another thread uses one of the modules, or a module inside them, in a block of `one_thread_trains`, `eval_mode`
        or `eval_with_backward`.
    """
    block = threading.get_ident(), outer
    with _lock:
        _refuse_if_another_thread_trains(outer)
        _refuse_if_another_thread_evaluates(outer)
        _training.append(block)
    try:
        yield
    finally:
        with _lock:
            if block in _training:  # a fork in another thread has removed it
                _training.remove(block)


def _refuse_if_another_thread_trains(outer: Sequence[Module]) -> None:
    here = threading.get_ident()
    others = [module for thread, modules in _training if thread != here for module in modules]
    if others:  # only then list all modules, which takes long in each step of a large model
        used = {id(module) for module in _all_modules(others)}
        for module in _all_modules(outer):
            if id(module) in used:
                raise _in_use(module)


def _refuse_if_another_thread_evaluates(outer: Sequence[Module]) -> None:
    here = threading.get_ident()
    if any(thread != here for _, _, threads in _open_blocks.values() for thread in threads):
        for module in _all_modules(outer):
            if id(module) in _open_blocks and any(thread != here for thread in _open_blocks[id(module)][2]):
                raise _in_use(module)


def _all_modules(outer: Sequence[Module]) -> list[Module]:
    return [module for given in outer for module in given.modules()]


def _in_use(module: Module) -> RuntimeError:
    return RuntimeError(
        f"another thread is using this {type(module).__name__}: use a copy of the model and of the loss in this "
        f"thread, copy.deepcopy(...)"
    )


@contextlib.contextmanager
def eval_with_backward(model: Module) -> Iterator[None]:
    """Let `model` compute as in ``eval()`` mode inside the ``with`` block, but with a backward pass.

    Use it for the gradient with respect to the input. There is no dropout, and BatchNorm uses its running averages.
    The parameters are frozen. Afterwards each module has its earlier mode, gradients and saved forward calls again.

    Raises
    ------
    RuntimeError
        Another thread uses the model in a Trainer, or in a block of `eval_mode` or `eval_with_backward`.

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
    with one_thread_trains(model), contextlib.ExitStack() as stack:
        before = [{name: vars(module)[name] for name in names if name in vars(module)} for module in modules]
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
