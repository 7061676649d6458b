"""Sequential: modules applied one after another."""

from __future__ import annotations

import itertools

from .backend import Array
from .modes import input_grad_optional, without_input_grad
from .module import Module
from .parameter import Parameter


class Sequential(Module):
    """Apply modules one after another: x -> first -> second -> ... -> y.

    Parameters
    ----------
    *modules : Module
        Each module takes the output of the previous module.

    Examples
    --------
    >>> import nnscratch as nn
    >>> nn.Sequential(nn.Linear(1, 2), nn.Sigmoid(), nn.Linear(2, 1), nn.Sigmoid())
    Sequential()  # 7 parameters
      (0) Linear(in_features=1, out_features=2, bias=True)  # 4 parameters
        weight: (2, 1)
        bias: (2,)
      (1) Sigmoid()
      (2) Linear(in_features=2, out_features=1, bias=True)  # 3 parameters
        weight: (1, 2)
        bias: (1,)
      (3) Sigmoid()
    """

    def __init__(self, *modules: Module):
        for number, module in enumerate(modules):
            if not isinstance(module, Module):
                raise TypeError(f"Sequential takes modules, but argument {number} is a {type(module).__name__}")
            setattr(self, str(number), module)

    @property
    def layers(self) -> list[Module]:
        return [module for _, module in self.named_children()]

    def constructor_modules(self) -> list[Module]:
        return self.layers

    def forward(self, x: Array) -> Array:
        for layer in self.layers:
            x = layer(x)
        return x

    @input_grad_optional
    def backward(self, dy: Array) -> Array | None:
        if not self.needs_input_grad:
            return self._backward_without_dx(dy)
        for layer in reversed(self.layers):
            dy = layer.backward(dy)
        return dy

    def _backward_without_dx(self, dy: Array) -> None:
        """Run backward down to the first layer with parameters. Skip the layers before it, such as Flatten."""
        layers = self.layers
        if not layers:
            return
        skipped = list(itertools.takewhile(can_be_skipped, layers[:-1]))
        first, *rest = layers[len(skipped) :]
        for layer in reversed(rest):
            dy = layer.backward(dy)
        with without_input_grad(first):
            first.backward(dy)
        for layer in skipped:
            vars(layer)["_stack"].pop()  # no backward will use these values: drop them

    def __len__(self) -> int:
        return len(self.layers)

    def __getitem__(self, number: int) -> Module:
        return self.layers[number]


def can_be_skipped(layer: Module) -> bool:
    """True if `layer` has neither parameters nor inner modules, and its forward has saved values."""
    values = vars(layer).values()
    return bool(vars(layer).get("_stack")) and not any(isinstance(value, (Parameter, Module)) for value in values)
