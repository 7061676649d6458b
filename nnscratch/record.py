"""record: what flows through every module, on the way forward and on the way back, without touching their code.

    with record(model) as seen:
        loss = criterion(model(x), target)
        model.backward(criterion.backward())
    seen["0"].output       what the first layer gave
    seen["0"].gradient     dL/d(that), as it came back

While the block runs, each module's ``forward`` and ``backward`` are wrapped in functions that write down what goes in
and comes out. They are put on the object, where Python looks before it looks into the class; at the end they are taken
off again, also after an error.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any

from .module import Module


@dataclass
class Seen:
    """What was seen of one module, call by call. Arrays are copies; several outputs are a tuple of them."""

    module: Module
    inputs: list[tuple] = field(default_factory=list)
    outputs: list[Any] = field(default_factory=list)
    gradients: list[Any] = field(default_factory=list)
    """dL/d(output), one for each call of backward, in the order of these calls."""

    @property
    def output(self) -> Any:
        """What the latest forward gave; of several outputs the first."""
        return _latest(self.outputs, "forward")

    @property
    def gradient(self) -> Any:
        """dL/d(output), as the latest backward received it."""
        return _latest(self.gradients, "backward")


@contextlib.contextmanager
def record(model: Module) -> Iterator[dict[str, Seen]]:
    """Record every module of `model`, itself under the name ``""``, as long as the ``with`` block runs.

    Yields
    ------
    dict of str to Seen
        By dotted names, as in ``named_modules``; a module that has two names is there under its first.

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
            vars(module).update(own)  # the wrappers of a recording around this one


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
        raise RuntimeError(f"no {way} was seen of this module")
    return values[-1][0] if isinstance(values[-1], tuple) and values[-1] else values[-1]
