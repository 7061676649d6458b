"""TorchAdapter: PyTorch's ``autograd.Function`` and ``nn.Module``.

The adapter makes a float64 copy of the module. The parameters of the copy share their memory with NumPy arrays, which
the checker changes. Before every forward, the adapter sets the same seed, so that dropout draws the same mask. This
file uses PyTorch only if the user's code has imported it.
"""

from __future__ import annotations

import contextlib
import copy
import sys
from collections.abc import Iterator
from typing import Any

import numpy as np

from ..nested import has_attribute, is_array, is_float, map_leaves
from .base import Adapter
from .contexts import takes_context
from .names import argument_names, function_name


def is_torch(subject: Any, inputs: tuple) -> bool:
    """Return True for a torch Module, a subclass of torch.autograd.Function, or a function whose inputs are tensors."""
    torch = sys.modules.get("torch")
    if torch is None or not hasattr(torch, "Tensor"):
        return False
    if isinstance(subject, type):
        return issubclass(subject, torch.autograd.Function)
    if isinstance(subject, torch.nn.Module):
        return True
    own = has_attribute(subject, "backward") or isinstance(subject, (tuple, list))
    return not own and callable(subject) and any(has_tensor(torch, value) for value in inputs)


def has_tensor(torch: Any, nest: Any) -> bool:
    """Return True if nested tuples, lists and dictionaries contain a tensor."""
    found: list[bool] = []
    map_leaves(lambda leaf: found.append(isinstance(leaf, torch.Tensor)), nest)
    return any(found)


class TorchAdapter(Adapter):
    """A torch Module, a class with static ``forward(ctx, x)`` and ``backward(ctx, dy)``, or a function of tensors.

    Inputs may be tensors or NumPy arrays.

    Examples
    --------
    >>> import numpy as np, sys
    >>> if "torch" in sys.modules:
    ...     import torch
    ...     adapter = TorchAdapter(torch.nn.Linear(3, 2), (np.ones((4, 3)),))
    ...     assert adapter.run()[0].dtype == np.float64 and list(adapter.parameters()) == ["weight", "bias"]
    """

    def __init__(self, subject: Any, inputs: tuple, loss: Any = None, targets: tuple = ()):
        self.torch = torch = sys.modules["torch"]
        arrays = tuple(map_leaves(self._to_array, value) for value in inputs)
        self._parameters: dict[str, Any] = {}
        self._buffers: list[Any] = []
        if isinstance(subject, type):
            title, forward, self.call = subject.__name__, subject.forward, subject.apply
        elif isinstance(subject, torch.nn.Module):
            module = self._copy_of(subject)
            title, forward, self.call = type(subject).__name__, subject.forward, module
            self._parameters = {n: p for n, p in module.named_parameters() if p.requires_grad}
            self._buffers = list(module.buffers())
        else:
            title, forward, self.call = function_name(subject), subject, subject
        super().__init__([], title, arrays, forward)
        if takes_context(forward):
            self.input_names = argument_names(forward, len(inputs) + 1)[1:]
        if loss is not None:
            self.title = f"{title} with {type(loss).__name__}"
            self.loss = self._copy_of(loss) if isinstance(loss, torch.nn.Module) else loss
            self.targets = tuple(map_leaves(self._to_array, value) for value in targets)
        self._arrays = {name: p.detach().numpy() for name, p in self._parameters.items()}

    @staticmethod
    def _copy_of(module: Any) -> Any:
        """Return a copy of a torch Module in float64, on the CPU."""
        try:
            return copy.deepcopy(module).cpu().double()
        except Exception as error:
            raise TypeError(
                f"{type(module).__name__} cannot be copied ({type(error).__name__}: {error}), but the checker converts "
                f"a copy to float64: give a module that copy.deepcopy accepts"
            ) from error

    def _to_array(self, value: Any) -> Any:
        if not isinstance(value, self.torch.Tensor):
            return value.astype(np.float64) if is_array(value) and is_float(value) else value
        value = value.detach().cpu()
        return (value.double() if value.is_floating_point() else value).numpy().copy()

    def parameters(self) -> dict[str, Any]:
        return self._arrays

    def complex_parameters(self) -> dict[str, Any]:
        return {}  # the checker cannot use complex numbers, because the tensors store real numbers

    def _evaluate(self, with_gradients: bool) -> tuple[list[Any], dict[str, Any]]:
        """Run forward. Return the outputs as tensors, and the inputs by name, with tensors instead of arrays."""
        torch, leaves = self.torch, {}

        def to_tensor(value: Any) -> Any:
            if not is_array(value):
                return value
            tensor = torch.from_numpy(np.ascontiguousarray(value).reshape(value.shape).copy())
            return tensor.requires_grad_() if with_gradients and is_float(value) else tensor

        arguments = [map_leaves(to_tensor, value) for value in self.inputs]
        for name, argument in zip(self.input_names, arguments, strict=True):
            leaves[name] = argument
        targets = [map_leaves(to_tensor, value) for value in self.targets]
        with torch.random.fork_rng(devices=[]), torch.set_grad_enabled(with_gradients):
            torch.manual_seed(0)
            result = self.call(*arguments)
            outputs = list(result) if isinstance(result, (tuple, list)) else [result]
            if self.loss is not None:
                outputs[0] = self.loss(outputs[0], *targets)
        return outputs, leaves

    @contextlib.contextmanager
    def _buffers_restored(self) -> Iterator[None]:
        """Restore the module's buffers, such as running averages, at the end of the ``with`` block."""
        before = [b.clone() for b in self._buffers]
        try:
            yield
        finally:
            with self.torch.no_grad():
                for buffer, old in zip(self._buffers, before, strict=True):
                    buffer.copy_(old)

    def run(self) -> tuple:
        with self._buffers_restored():
            outputs, _ = self._evaluate(with_gradients=False)
        return tuple(map_leaves(self._to_array, y) for y in outputs)

    def gradients(self, dys: tuple) -> dict[str, Any]:
        with self._buffers_restored():
            return self._gradients(*self._evaluate(with_gradients=True), dys)

    def _gradients(self, outputs: list[Any], arguments: dict[str, Any], dys: tuple) -> dict[str, Any]:
        torch = self.torch
        wanted: list[Any] = list(self._parameters.values())
        for nest in arguments.values():
            map_leaves(lambda t: wanted.append(t) if isinstance(t, torch.Tensor) and t.requires_grad else None, nest)
        pairs: list[tuple[Any, Any]] = []
        for y, dy in zip(outputs, dys, strict=True):
            flat: list[Any] = []
            map_leaves(flat.append, dy)
            tensors: list[Any] = []
            map_leaves(tensors.append, y)
            pairs += [(t, d) for t, d in zip(tensors, flat, strict=True) if getattr(t, "requires_grad", False)]
        given = [torch.as_tensor(np.asarray(d), dtype=t.dtype).reshape(t.shape) for t, d in pairs]
        found = torch.autograd.grad([t for t, _ in pairs], wanted, given, allow_unused=True)
        by_id = {id(t): None if g is None else g.detach().numpy() for t, g in zip(wanted, found, strict=True)}
        of_parameters = {name: by_id[id(p)] for name, p in self._parameters.items()}
        nests = tuple(map_leaves(lambda t: by_id.get(id(t)), nest) for nest in arguments.values())
        return {**of_parameters, **self.match_to_inputs(nests)}
