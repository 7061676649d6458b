"""detect_anomaly: find the first layer in which a value stops being finite.

    with nn.debug.detect_anomaly(model, criterion):
        trainer.fit(batches, epochs=1)

A NaN in one layer makes everything after it NaN, so the loss does not show which layer made the first NaN. Inside the
``with`` block, each module checks the results of its ``forward`` and ``backward``. Inner modules return before the
outer ones, so the first check that fails names the layer. The name and the idea come from PyTorch's
``torch.autograd.detect_anomaly``.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from typing import Any

from . import backend
from .backend import Array
from .checks import FLOATS
from .module import Module
from .parameter import Parameter

METHODS = ("forward", "backward", "loss_and_backward")


@contextlib.contextmanager
def detect_anomaly(*modules: Module) -> Iterator[None]:
    """Raise an error at the first value that is not finite, inside the ``with`` block.

    The results of each forward and backward pass of a module are checked, and so are the gradients of its parameters.
    This takes time, so use the block to find an error, not for every training run.

    Parameters
    ----------
    *modules : Module
        The model, and the loss if you want to check it too.

    Raises
    ------
    FloatingPointError
        A result or gradient is NaN or infinite. The message names the module, the pass, and the first such element. It
        also says if the arguments and the parameters of the module were finite.
    TypeError
        There is no argument, or an argument is not a Module.

    Examples
    --------
    >>> import numpy as np, nnscratch as nn
    >>> model = nn.Sequential(nn.Linear(2, 3, rng=0), nn.Tanh(), nn.Linear(3, 1, rng=1))
    >>> model[2].bias.data[0] = np.nan
    >>> try:
    ...     with detect_anomaly(model):
    ...         y = model(np.ones((1, 2), dtype=np.float32))
    ... except FloatingPointError as error:
    ...     print(str(error).partition(". ")[0])
    forward of 2 (Linear): the result is not finite, with nan at index (0, 0)
    """
    if not modules:
        raise TypeError("detect_anomaly needs the model: detect_anomaly(model), or detect_anomaly(model, criterion)")
    for module in modules:
        if not isinstance(module, Module):
            raise TypeError(f"detect_anomaly takes modules, got {type(module).__name__}")
    checked: dict[int, tuple[Module, dict[str, Any]]] = {}
    for outer in modules:
        for name, module in outer.named_modules():
            if id(module) in checked:
                continue
            methods = [method for method in METHODS if hasattr(module, method)]
            checked[id(module)] = module, {m: vars(module)[m] for m in methods if m in vars(module)}
            for method in methods:
                vars(module)[method] = _Checked(module, method, f"{name} ({type(module).__name__})" if name else "")
    try:
        yield
    finally:
        for module, before in checked.values():
            for method in METHODS:
                vars(module).pop(method, None)
            vars(module).update(before)


class _Checked:
    """The `method` of a module, with a check of its results.

    The module has this object as an attribute, and Python finds an attribute of an object before a method of its class.
    """

    def __init__(self, module: Module, method: str, title: str):
        self.module, self.method, self.title = module, method, title or type(module).__name__
        self.inner = getattr(module, method)
        self.input_grad_optional = getattr(self.inner, "input_grad_optional", False)  # see nnscratch/modes.py

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        result = self.inner(*args, **kwargs)
        what = "dL/d(input)" if self.method == "backward" else "the result"
        found = _first_not_finite(result)
        if found is None and self.method != "forward":
            for name, parameter in self._parameters():
                what, found = f"the gradient of {name}", _first_not_finite(parameter.nonzero_rows()[1])
                if found is not None:
                    break
        if found is not None:
            raise FloatingPointError(
                f"{self.method} of {self.title}: {what} is not finite, with {found}. {self._cause((args, kwargs))}"
            )
        return result

    def __deepcopy__(self, memo: dict[int, Any]) -> _Checked:
        """Return the same check for a copy of the module. `SplitBatch` makes such copies."""
        copied = memo[id(self.module)]
        vars(copied).pop(self.method, None)
        return _Checked(copied, self.method, self.title)

    def _parameters(self) -> list[tuple[str, Parameter]]:
        return [(name, p) for name, p in vars(self.module).items() if isinstance(p, Parameter)]

    def _cause(self, given: Any) -> str:
        if (found := _first_not_finite(given)) is not None:
            return f"Its arguments already hold {found}: check the data, and the code between the layers"
        broken = [name for name, p in self._parameters() if _first_not_finite(p.data) is not None]
        if broken:
            return f"Its parameter {', '.join(broken)} is not finite: the cause is an earlier step of the optimizer"
        return (
            "Its arguments and parameters are finite: an intermediate value was too large for the dtype, or undefined"
        )


def _first_not_finite(value: Any) -> str | None:
    """Describe the first element of `value` that is not finite. Tuples, lists and dicts may be nested."""
    if isinstance(value, (tuple, list, dict)):
        parts = value.values() if isinstance(value, dict) else value
        return next((found for part in parts if (found := _first_not_finite(part)) is not None), None)
    if isinstance(value, float):
        return None if value - value == 0 else str(value)
    if getattr(value, "dtype", None) not in FLOATS or not hasattr(value, "shape"):
        return None
    return _first_in(value)


def _first_in(array: Array) -> str | None:
    xp = backend.array_module(array) if array.shape else None
    if xp is None:
        return _first_not_finite(float(array))
    finite = xp.isfinite(array)
    if finite.all():
        return None
    index = tuple(int(i[0]) for i in xp.nonzero(~finite))
    return f"{float(array[index])} at index {index}"
