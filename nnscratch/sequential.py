"""Sequential: modules one after the other."""

from __future__ import annotations

from .backend import Array
from .module import Module, is_plain, without_dx


class Sequential(Module):
    """Modules one after the other: x -> first -> second -> ... -> y.

    Parameters
    ----------
    *modules : Module

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
                raise TypeError(f"Sequential takes modules; number {number} is {type(module).__name__}")
            setattr(self, str(number), module)

    @property
    def layers(self) -> list[Module]:
        return [module for _, module in self.named_children()]

    def forward(self, x: Array) -> Array:
        for layer in self.layers:
            x = layer(x)
        return x

    def backward(self, dy: Array) -> Array:
        for layer in reversed(self.layers):
            dy = layer.backward(dy)
        return dy

    def backward_parameters(self, dy: Array) -> None:
        """Backward without dx: see `without_dx`."""
        layers = self.layers
        if not layers:
            return
        first = 0
        while first < len(layers) - 1 and not without_dx(layers[first]) and is_plain(layers[first]):
            first += 1  # such as Flatten: nothing in it learns
        for layer in reversed(layers[first + 1 :]):
            dy = layer.backward(dy)
        (without_dx(layers[first]) or layers[first].backward)(dy)
        for layer in layers[:first]:
            layer.saved()

    def __len__(self) -> int:
        return len(self.layers)

    def __getitem__(self, number: int) -> Module:
        return self.layers[number]
