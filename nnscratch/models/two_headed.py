"""TwoHeaded: one trunk with two heads, for two tasks on the same input.

               /-> first head  -> y1 -> L1
    x -> trunk
               \\-> second head -> y2 -> L2            L = L1 + L2, or any weighted sum

    forward     h  = trunk(x)       y1 = first(h)       y2 = second(h)
    backward    dh = first.backward(dy1) + second.backward(dy2)         h is used twice: add its gradients
                dx = trunk.backward(dh)

Each loss has its own backward. To give a loss twice the weight, multiply its gradient by two. The trunk learns features
that help both tasks. Often both tasks have better results than with two separate networks, and one trunk costs less
than two.

Reference: Caruana (1997), "Multitask learning", doi:10.1023/A:1007379606734.
"""

from __future__ import annotations

from ..backend import Array
from ..checks import check_gradient
from ..module import Module


class TwoHeaded(Module):
    """A trunk whose output is the input of two heads.

    Parameters
    ----------
    trunk, first, second : Module
        ``model(x)`` returns ``(first(h), second(h))`` with ``h = trunk(x)``.

    Examples
    --------
    Classify points, and at the same time estimate their distance from the origin:

    >>> import numpy as np, nnscratch as nn
    >>> x = np.random.default_rng(0).uniform(-1, 1, (200, 2)).astype(np.float32)
    >>> kind, distance = (x[:, 0] * x[:, 1] > 0).astype(int), np.hypot(x[:, :1], x[:, 1:])
    >>> trunk = nn.Sequential(nn.Linear(2, 32, rng=0), nn.Tanh())
    >>> model = nn.models.TwoHeaded(trunk, nn.Linear(32, 2, rng=1), nn.Linear(32, 1, rng=2))
    >>> optimizer = nn.optim.Adam(model.parameters(), lr=0.02)
    >>> classify, measure = nn.CrossEntropyLoss(), nn.MSELoss()
    >>> for step in range(200):
    ...     model.zero_grad()
    ...     logits, guess = model(x)
    ...     loss = classify(logits, kind) + 5 * measure(guess, distance)
    ...     dx = model.backward(classify.backward(), 5 * measure.backward())
    ...     optimizer.step()
    >>> logits, guess = model.eval()(x)
    >>> bool((logits.argmax(axis=1) == kind).mean() > 0.95), bool(abs(guess - distance).mean() < 0.06)
    (True, True)
    """

    def __init__(self, trunk: Module, first: Module, second: Module):
        for name, module in (("trunk", trunk), ("first", first), ("second", second)):
            if not isinstance(module, Module):
                raise TypeError(f"TwoHeaded: {name} must be a Module, got {type(module).__name__}")
        self.trunk, self.first, self.second = trunk, first, second

    def constructor_modules(self) -> list[Module]:
        return [self.trunk, self.first, self.second]

    def forward(self, x: Array) -> tuple[Array, Array]:
        h = self.trunk(x)
        y1, y2 = self.first(h), self.second(h)
        self.save_for_backward((y1.shape, y1.dtype), (y2.shape, y2.dtype))
        return y1, y2

    def backward(self, dy1: Array, dy2: Array) -> Array:
        first, second = self.saved()
        check_gradient(self, dy1, *first, "dy1", more=True)  # check both before backward changes a layer
        check_gradient(self, dy2, *second, "dy2")
        dh = self.first.backward(dy1) + self.second.backward(dy2)
        return self.trunk.backward(dh)
