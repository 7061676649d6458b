"""ModuleAdapter: a Module, alone or with a loss."""

from __future__ import annotations

from typing import Any

from ...module import Module
from ...parameter import Parameter
from ..nested import has_no_axes, map_leaves
from .base import Adapter, copy_array
from .names import needs_argument


class ModuleAdapter(Adapter):
    """A Module, or a Module whose first output goes into a loss.

    Examples
    --------
    >>> import numpy as np, nnscratch as nn
    >>> adapter = ModuleAdapter(nn.Linear(3, 2, rng=0), (np.ones((4, 3)),), nn.MSELoss(), (np.ones((4, 2)),))
    >>> adapter.title, sorted(adapter.parameters())
    ('Linear with MSELoss', ['bias', 'weight'])
    """

    accumulates = True

    def __init__(self, module: Module, inputs: tuple, loss: Module | None = None, targets: tuple = ()):
        super().__init__([module, loss], type(module).__name__, inputs, module.forward)
        self.module, self.loss = module, loss
        self.targets = tuple(map_leaves(copy_array, value) for value in targets)
        if loss is not None:
            self.title += f" with {type(loss).__name__}"

    def all_modules(self) -> list[Module]:
        """Return the module, the loss, and all modules inside them."""
        return [*self.module.modules(), *(self.loss.modules() if self.loss is not None else ())]

    def named_parameters(self) -> list[tuple[str, Parameter]]:
        """Return the parameters of the module, then those of the loss. Leave out frozen parameters."""
        named = list(self.module.named_parameters())
        if self.loss is not None:
            named += [(f"loss.{name}", p) for name, p in self.loss.named_parameters()]
        return [(name, p) for name, p in named if p.requires_grad]

    def parameters(self) -> dict[str, Any]:
        return {name: p.data for name, p in self.named_parameters()}

    def complex_parameters(self) -> dict[str, Any]:
        return self.parameters()

    def prepare(self) -> None:
        """Switch to training mode, because in eval() mode forward saves nothing for backward."""
        if not self.module.training:
            self.add_note("the module was in eval() mode, where forward saves nothing; the checker used train() mode")
        for module in self.all_modules():
            module.training = True

    def run(self) -> tuple:
        y = self.module(*self.inputs)
        ys = y if isinstance(y, tuple) else (y,)
        self.packs_dys = self.loss is None and self.takes_tuple_of(self.module.backward, len(ys))
        if self.loss is None:
            return ys
        return (self.loss(ys[0], *self.targets), *ys[1:])

    def clear_saved(self) -> None:
        for module in self.all_modules():
            module.__dict__.pop("_stack", None)

    def unused_saved(self) -> list[str]:
        return list(dict.fromkeys(type(m).__name__ for m in self.all_modules() if m.__dict__.get("_stack")))

    def zero_parameter_gradients(self) -> None:
        """Set every gradient to zero. Unlike ``Module.zero_grad``, keep the values that forward saved."""
        for module in self.all_modules():
            for value in vars(module).values():
                if isinstance(value, Parameter):
                    value.zero_grad()

    def gradients(self, dys: tuple, zero: bool = True) -> dict[str, Any]:
        """Run the backward of the loss, if there is a loss, and then the backward of the module.

        If `zero` is False, keep the old gradients.
        """
        if zero:
            self.zero_parameter_gradients()
        scalar = (
            self.loss is None and len(dys) == 1 and has_no_axes(dys[0]) and not needs_argument(self.module.backward)
        )
        try:
            if self.loss is not None:
                result = self.module.backward(self.loss.backward(), *dys[1:])
            else:
                result = self.module.backward(*(() if scalar else self.given_dys(dys)))
        except ValueError as error:
            if "non-broadcastable output operand" not in str(error):
                raise
            raise ValueError(
                f"backward: {error}. If forward broadcasts a parameter, its gradient is the sum over the axes along "
                f"which forward repeats it: grad += dy.sum(axis=0) for dy of shape (N, D), "
                f"grad += dy.sum(axis=(0, 1)) for dy of shape (N, T, D)"
            ) from error
        return {**{name: p.grad for name, p in self.named_parameters()}, **self.match_to_inputs(result)}
