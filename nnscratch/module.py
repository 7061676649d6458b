"""Module: the contract between forward and backward.

    y  = module(x)             forward: compute y, and save what backward needs
    dx = module.backward(dy)   backward: take dL/dy, *add* dL/dw to w.grad of every parameter w, return dL/dx

L is the loss, a scalar. ``dy`` always means dL/dy and has the shape of y. In training mode each forward pushes one
entry on the module's own stack, and each backward pops one. So you can use one module three times in a network: call
its backward three times, in the opposite order, and its gradients add up. This is the chain rule for shared weights.
"""

from __future__ import annotations

import functools
import inspect
import warnings
from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np

from . import backend
from .backend import Array
from .checks import FLOATS, flag, state_value
from .deprecated import renamed
from .parameter import Parameter

DEEP_STACK = 10_000  # a module warns if this number of forward calls wait for backward


class Module:
    """Base class of every layer, loss and model.

    Write your own module as in PyTorch. In addition, write ``backward``, under ``forward``:

    1. Set parameters and inner modules as attributes. They are found automatically, at any depth. You do not need to
       call ``super().__init__()``. A plain list of layers raises an error: use `Sequential`.
    2. ``forward`` computes y. It saves what ``backward`` needs with one call of ``save_for_backward``.
    3. ``backward`` gets these values from one call of ``saved()``. It *adds* to ``parameter.grad`` and never sets it,
       since the parameter may be used elsewhere too. It returns dL/dx: a tuple if forward takes several arrays, None
       for an array of integers. With the decorator `modes.input_grad_optional` it may return None to save time.
    4. ``backward`` calls the ``backward`` of inner modules in the opposite order. If forward uses a value twice, add
       its two gradients.
    5. A module that behaves differently in training reads ``self.training`` and ``self.deterministic``.

    Then check it with `nn.gradcheck.check_gradients`.

    Examples
    --------
    A layer, y = a x, where a is learned:

    >>> import numpy as np, nnscratch as nn
    >>> class Scale(nn.Module):
    ...     def __init__(self):
    ...         self.a = nn.Parameter(np.array([2.0]))
    ...     def forward(self, x):
    ...         self.save_for_backward(x)
    ...         return self.a.data * x
    ...     def backward(self, dy):
    ...         (x,) = self.saved()
    ...         self.a.grad += (dy * x).sum()        # dL/da = sum dL/dy * dy/da
    ...         return dy * self.a.data              # dL/dx = dL/dy * dy/dx
    >>> layer = Scale()
    >>> print(layer(np.array([1.0, 3.0])))
    [2. 6.]
    >>> print(layer.backward(np.array([1.0, 1.0])), layer.a.grad)
    [2. 2.] [4.]
    >>> nn.gradcheck.check_gradients(Scale(), np.array([1.0, 3.0])).ok
    True

    A module made of other modules, y = value(x) * sigmoid(gate(x)). The gate decides how much of each element passes:

    >>> class Gated(nn.Module):
    ...     def __init__(self, features, rng=None):
    ...         rng = np.random.default_rng(rng)
    ...         self.value = nn.Linear(features, features, rng=rng)
    ...         self.gate = nn.Sequential(nn.Linear(features, features, rng=rng), nn.Sigmoid())
    ...     def forward(self, x):
    ...         v, s = self.value(x), self.gate(x)
    ...         self.save_for_backward(v, s)
    ...         return v * s
    ...     def backward(self, dy):
    ...         v, s = self.saved()
    ...         return self.gate.backward(dy * v) + self.value.backward(dy * s)      # x was used twice
    >>> x = np.random.default_rng(1).normal(size=(5, 3))
    >>> nn.gradcheck.check_gradients(Gated(3, rng=0).to(dtype=np.float64), x).ok
    True
    >>> len(Gated(3).parameters())
    4
    """

    training = True
    """True in training mode, False in evaluation mode. See `train` and `eval`."""
    deterministic = False
    """True inside `modes.eval_with_backward`: forward computes as in ``eval()`` mode, but saves values for backward.

    A module that behaves differently in training does so only if ``self.training and not self.deterministic``.
    """
    needs_input_grad = True
    """False while the caller does not use dL/dx, so ``backward`` may return None. See `without_input_grad`."""
    is_batch_mean: bool = False
    """True for a loss that is the mean over the examples of a batch, where all examples have the same weight.

    The Trainer splits batches over threads only with such a loss.
    """
    keeps_examples: bool = False
    """True for a layer whose backward can keep the gradient of each example: see `privacy.keep_examples`."""
    inputs_on_cpu: tuple[int, ...] = ()
    """The positions of forward's arguments that the Trainer does not move to a GPU, such as sequence lengths.

    Their values are read on the CPU. Reading them from a GPU would block until the GPU has finished.
    """
    arguments: tuple[str, ...] = ()
    """Names of the constructor's arguments that are attributes too. ``repr`` shows them, and `nn.save` stores them."""

    # --- forward and backward --------------------------------------------------------------------------------------

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        return self.forward(*args, **kwargs)

    def forward(self, *args: Any, **kwargs: Any) -> Any:
        raise TypeError(f"{type(self).__name__} has no forward method: write one, and backward under it")

    def backward(self, *args: Any, **kwargs: Any) -> Any:
        raise TypeError(f"{type(self).__name__} has no backward method: write it under forward")

    def save_for_backward(self, *values: Any) -> None:
        """Push `values` on this module's stack, for the backward that matches this forward.

        In ``eval()`` mode nothing is saved, so inference runs in constant memory.
        """
        if not self.training:
            return
        self.__dict__.pop("_taken", None)
        stack = self.__dict__.setdefault("_stack", [])
        stack.append(values)
        if len(stack) == DEEP_STACK:
            warnings.warn(
                f"{type(self).__name__}: {DEEP_STACK} forward calls have saved their arrays, and no backward call has "
                f"used them. Call eval() to predict without saving, or zero_grad() to drop what is saved.",
                ResourceWarning,
                stacklevel=4,
            )

    def saved(self) -> tuple[Any, ...]:
        """Pop and return the values that the latest forward saved.

        Raises
        ------
        RuntimeError
            No saved forward call is left for this backward, or the module is in ``eval()`` mode.
        """
        stack = self.__dict__.get("_stack")
        if not stack:
            title = type(self).__name__
            if not self.training:
                raise RuntimeError(f"{title}.backward: in eval() mode forward saves nothing. Call train() first")
            raise RuntimeError(f"{title}.backward: no saved forward call is left. Call forward before each backward")
        values = stack.pop()
        if _backward_takes_gradient(type(self)):  # kept until `check_gradient` accepts the gradient
            self.__dict__["_taken"] = values
        return values

    def put_back_saved(self) -> None:
        """Push back the values that `saved` has popped. `check_gradient` calls this when it refuses a gradient."""
        if "_taken" in self.__dict__:
            self._stack.append(self.__dict__.pop("_taken"))

    def zero_grad(self) -> None:
        """Set every gradient to zero, and drop the values that forward calls have saved."""
        modules = list(self.modules())
        _refuse_lists(modules)
        for module in modules:
            for value in vars(module).values():
                if isinstance(value, Parameter):
                    value.zero_grad()
            for name in ("_stack", "_taken"):
                module.__dict__.pop(name, None)

    def train(self, mode: bool = True) -> Module:
        """Switch this module and all modules inside it to training mode: dropout is active, forward saves values."""
        mode = flag("mode", mode)
        for module in self.modules():
            module.training = mode
        return self

    def eval(self) -> Module:
        """Switch this module and all modules inside it to evaluation mode: no dropout, and forward saves nothing."""
        return self.train(False)

    # --- inner modules, parameters and buffers -----------------------------------------------------------------------

    def named_children(self) -> Iterator[tuple[str, Module]]:
        """Yield the name and module of each attribute that is a module, in the order of assignment."""
        for name, value in list(vars(self).items()):  # a copy: the caller's loop may add attributes
            if isinstance(value, Module):
                yield name, value

    def named_modules(self, prefix: str = "") -> Iterator[tuple[str, Module]]:
        """Yield this module and every module inside it, with dotted names. A module used twice appears twice."""
        yield prefix, self
        for name, child in self.named_children():
            yield from child.named_modules(f"{prefix}.{name}" if prefix else name)

    def modules(self) -> Iterator[Module]:
        """Yield this module and every module inside it, each once."""
        seen: set[int] = set()
        for _, module in self.named_modules():
            if id(module) not in seen:
                seen.add(id(module))
                yield module

    def named_parameters(self) -> Iterator[tuple[str, Parameter]]:
        """Yield every parameter with its dotted name, each once. A tied weight appears under its first name."""
        seen: set[int] = set()
        for name, parameter in self._all_parameters():
            if id(parameter) not in seen:
                seen.add(id(parameter))
                yield name, parameter

    def parameters(self) -> list[Parameter]:
        """Return every parameter, each once."""
        return [parameter for _, parameter in self.named_parameters()]

    def requires_grad_(self, requires_grad: bool = True) -> Module:
        """Set ``requires_grad`` of every parameter, and return self. False freezes the module.

        Examples
        --------
        >>> import nnscratch as nn
        >>> model = nn.models.MLP([3, 4, 2], rng=0).requires_grad_(False)       # freeze all layers
        >>> model.layers[-1].requires_grad_(True)                               # but train the last one
        Linear(in_features=4, out_features=2, bias=True)  # 10 parameters
          weight: (2, 4)
          bias: (2,)
        """
        for parameter in self.parameters():
            parameter.requires_grad = requires_grad
        return self

    def _all_parameters(self) -> Iterator[tuple[str, Parameter]]:
        """Yield every parameter with its dotted name. A tied weight appears under each of its names."""
        named = list(self.named_modules())
        _refuse_lists([module for _, module in named])
        for prefix, module in named:
            for name, value in list(vars(module).items()):
                if isinstance(value, Parameter):
                    yield (f"{prefix}.{name}" if prefix else name), value

    def register_buffer(self, name: str, array: Array) -> None:
        """Set attribute `name` to an array that is part of the state but not learned, such as a running average.

        A buffer is saved, loaded and moved with the parameters, and optimisers do not change it. Write into it
        (``self.name[...] = value``) and never replace it.
        """
        backend.array_module(array)
        if not isinstance(name, str) or not name.isidentifier():
            raise ValueError(f"register_buffer needs the name of an attribute, got {name!r}")
        self.__dict__.setdefault("_buffers", []).append(name)
        setattr(self, name, array)

    def named_buffers(self) -> Iterator[tuple[str, Array]]:
        """Yield every buffer with its dotted name. A shared module's buffers appear under each of its names."""
        for prefix, module in self.named_modules():
            for name in module.__dict__.get("_buffers", ()):
                yield (f"{prefix}.{name}" if prefix else name), getattr(module, name)

    # --- device, dtype and state -------------------------------------------------------------------------------------

    def to(self, device: str | None = None, dtype: Any = None) -> Module:
        """Move parameters and buffers to ``"cpu"`` or ``"cuda"``, or convert them to `dtype`, or both. Return self.

        A buffer of integers keeps its dtype.

        Raises
        ------
        TypeError
            `dtype` is not a float type, or `device` is not a string.
        """
        if device is not None and not isinstance(device, str):
            raise TypeError(f'device must be a string, such as "cpu", got {device!r}. For a dtype, use to(dtype=...)')
        if dtype is not None and np.dtype(dtype) not in FLOATS:
            raise TypeError(f"parameters are floats; dtype must be float16, float32 or float64, got {np.dtype(dtype)}")
        for parameter in self.parameters():
            parameter.to(device=device, dtype=dtype)
        for module in self.modules():
            for name in module.__dict__.get("_buffers", ()):
                array = getattr(module, name)
                array = array if device is None else backend.to_device(array, device)
                floats = dtype is not None and array.dtype in FLOATS
                setattr(module, name, array.astype(dtype, copy=False) if floats else array)
        return self

    def state_dict(self) -> dict[str, Array]:
        """Return the names and values of all parameters and buffers. For PyTorch's layers, the names are PyTorch's.

        The arrays are the module's own, not copies. A tied weight appears under each of its names.
        """
        return {name: parameter.data for name, parameter in self._all_parameters()} | dict(self.named_buffers())

    def load_state_dict(self, state: dict[str, Array], strict: bool = True) -> None:
        """Copy the values in `state` into the parameters and buffers, which keep their dtype and device.

        Parameters
        ----------
        state : dict of str to array, with one or more names of each tied weight
        strict : bool
            True to raise an error for missing and unknown names, False to ignore them.

        Raises
        ------
        TypeError, ValueError
            A name is missing or unknown. A value is not a numeric array, has another shape, or is not finite in this
            dtype. Two names of one tied weight have different values. In each case the module does not change.
        """
        if not isinstance(state, Mapping):
            raise TypeError(f"state must be a dict of names and arrays, got {type(state).__name__}")
        own = self.state_dict()
        given = {id(own[name]) for name in own.keys() & state.keys()}
        missing = sorted(name for name in own.keys() - state.keys() if id(own[name]) not in given)
        unknown = sorted(state.keys() - own.keys())
        if flag("strict", strict) and (missing or unknown):
            raise ValueError(
                f"state does not fit {type(self).__name__}: "
                f"missing {missing or 'nothing'}, unknown {unknown or 'nothing'}"
            )
        new = {name: state_value(name, state[name], array) for name, array in own.items() if name in state}
        first_name: dict[int, str] = {}
        for name in new:
            first = first_name.setdefault(id(own[name]), name)
            if not (new[first] == new[name]).all():
                raise ValueError(f"{first} and {name} are one tied weight, and the state has two values for it")
        for name, value in new.items():
            own[name][...] = backend.to_device(value, backend.device_of(own[name]))

    def config(self) -> dict[str, Any]:
        """Return the constructor's arguments, by name. They build a module of the same shapes."""
        return {name: getattr(self, name) for name in self.arguments}

    def constructor_modules(self) -> list[Module]:
        """Return the modules that the constructor takes as its positional arguments, in that order.

        The default is an empty list. Override it in a module that is built from other modules, like `Sequential`:
        ``nn.save`` stores these modules with the model, and ``nn.load`` builds them first.
        """
        return []

    @property
    def draws_random_numbers(self) -> bool:
        """True if ``forward`` draws random numbers in training mode.

        By default, it is True if an attribute of the module is a numpy Generator. Override it if drawing depends on a
        setting: `Dropout` draws only if p > 0.
        """
        return any(isinstance(value, np.random.Generator) for value in vars(self).values())

    def __repr__(self) -> str:
        total = sum(parameter.size for parameter in self.parameters())
        lines = [f"{self._title()}{f'  # {total:,} parameters' if total else ''}"]
        for name, value in vars(self).items():
            if isinstance(value, Parameter):
                lines.append(f"  {name}: {value.shape}{'' if value.requires_grad else ', frozen'}")
            elif isinstance(value, Module):
                first, *rest = repr(value).splitlines()
                lines += [f"  ({name}) {first}", *(f"  {line}" for line in rest)]
        return "\n".join(lines)

    def _title(self) -> str:
        shown = ", ".join(
            f"{name}={value.__name__ if isinstance(value, type) else repr(value)}"
            for name, value in self.config().items()
            if not isinstance(value, Module)
        )
        return f"{type(self).__name__}({shown})"


def _refuse_lists(modules: list[Module]) -> None:
    """Raise if a layer or parameter is only in a list, tuple or dict: it would be neither trained nor saved."""
    for module in modules:
        for name, value in vars(module).items():
            if not isinstance(value, (list, tuple, dict)) or name.startswith("_"):
                continue
            items = list(value.values()) if isinstance(value, dict) else value
            if not items or not isinstance(items[0], (Module, Parameter)):
                continue
            if not {id(item) for item in items} <= {id(v) for m in modules for v in (m, *vars(m).values())}:
                raise TypeError(
                    f"{type(module).__name__}.{name} is a {type(value).__name__}, and its layers or parameters "
                    f"would be neither trained nor saved. Use an nn.Sequential, or one attribute for each"
                )


@functools.cache
def _backward_takes_gradient(cls: type[Module]) -> bool:
    return len(inspect.signature(cls.backward).parameters) > 1


__getattr__ = renamed(
    __name__,
    {name: f"nnscratch.modes.{name}" for name in ("eval_mode", "input_grad_optional", "without_input_grad")},
)
