"""record: save copies of the inputs, outputs and gradients of every module while a block runs.

    with record(model) as seen:
        loss = criterion(model(x), target)
        model.backward(criterion.backward())
    seen["0"].output       the output of the first layer
    seen["0"].gradient     the gradient of the loss with respect to that output

While the block runs, ``forward`` and ``backward`` of each module are wrapped in functions that copy the arrays. These
functions are attributes of the object, so Python finds them before the methods of the class. At the end of the block
they are removed, even after an error.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any

from .module import Module


@dataclass
class Seen:
    """The recorded calls of one module. Arrays are copies. Several outputs of one call are a tuple."""

    module: Module
    inputs: list[tuple] = field(default_factory=list)
    outputs: list[Any] = field(default_factory=list)
    gradients: list[Any] = field(default_factory=list)
    """The gradients with respect to the output, one for each call of backward, in the order of the calls."""

    @property
    def output(self) -> Any:
        """The output of the latest forward, or the first of several outputs."""
        return _latest(self.outputs, "forward")

    @property
    def gradient(self) -> Any:
        """The first argument of the latest backward: the gradient with respect to the output."""
        return _latest(self.gradients, "backward")


@contextlib.contextmanager
def record(model: Module) -> Iterator[dict[str, Seen]]:
    """Record every module of `model` while the ``with`` block runs.

    Yields
    ------
    dict of str to Seen
        The records under the dotted names of ``named_modules``. The name of `model` itself is ``""``. A module with two
        names has only its first name here.

    Examples
    --------
    >>> import numpy as np, nnscratch as nn
    >>> model = nn.Sequential(nn.Linear(2, 3, rng=0), nn.Tanh(), nn.Linear(3, 1, rng=1))
    >>> with nn.record(model) as seen:
    ...     y = model(np.ones((4, 2), dtype=np.float32))
    ...     dx = model.backward(np.ones_like(y))
    >>> list(seen)
    ['', '0', '1', '2']
    >>> seen["1"].output.shape, seen["1"].gradient.shape
    ((4, 3), (4, 3))
    """
    if not isinstance(model, Module):
        raise TypeError(f"record(model): model must be a Module, got {type(model).__name__}")
    seen: dict[str, Seen] = {}
    known: set[int] = set()
    before: list[tuple[Module, dict[str, Any]]] = []
    for name, module in model.named_modules():
        if id(module) not in known:
            known.add(id(module))
            seen[name] = Seen(module)
            before.append((module, {way: vars(module)[way] for way in ("forward", "backward") if way in vars(module)}))
    try:
        for record_of in seen.values():
            _wrap(record_of)
        yield seen
    finally:
        for module, own in before:
            for way in ("forward", "backward"):
                vars(module).pop(way, None)
            vars(module).update(own)  # restore the wrappers of an outer recording


def _wrap(seen: Seen) -> None:
    forward, backward = seen.module.forward, seen.module.backward

    def watched_forward(*args: Any, **kwargs: Any) -> Any:
        output = forward(*args, **kwargs)
        seen.inputs.append(_copied(args))
        seen.outputs.append(_copied(output))
        return output

    def watched_backward(*args: Any, **kwargs: Any) -> Any:
        seen.gradients.append(_copied(args[0] if len(args) == 1 else args))
        return backward(*args, **kwargs)

    ways: dict[str, Callable] = {"forward": watched_forward, "backward": watched_backward}
    vars(seen.module).update(ways)


def _copied(value: Any) -> Any:
    if isinstance(value, tuple):
        return tuple(_copied(v) for v in value)
    return value.copy() if hasattr(value, "shape") else value


def _latest(values: list[Any], way: str) -> Any:
    if not values:
        raise RuntimeError(f"no call of {way} was recorded for this module")
    return values[-1][0] if isinstance(values[-1], tuple) and values[-1] else values[-1]
