"""Module: the contract between forward and backward.

    y  = module(x)             forward: computes y and puts away what backward will need
    dx = module.backward(dy)   backward: takes dL/dy, *adds* dL/dw to every w.grad, returns dL/dx

L is the loss, one number; ``dy`` always means dL/dy and has y's shape. In training mode each forward pushes one
entry on the module's own stack and each backward pops one, so that a module used three times in a network is run
backward three times, in the opposite order, and its gradients add up: the chain rule for shared weights.
"""

from __future__ import annotations

import contextlib
import warnings
from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np

from . import backend
from .backend import Array
from .checks import FLOATS
from .parameter import Parameter

DEEP_STACK = 10_000  # forwards without a backward before a module says that something is wrong


class Module:
    """What every layer, loss and model is.

    A module of one's own reads as in PyTorch, but for ``backward``, which is written out under ``forward``:

    1. Set what is learned as attributes: parameters, and other modules. They are found by themselves, at any depth;
       there is no need to call ``super().__init__()``. Layers in a plain list are refused: `Sequential` is a module.
    2. ``forward`` computes y and puts away, with one ``save_for_backward``, what ``backward`` will need.
    3. ``backward`` takes it back with one ``saved()``, *adds* to ``parameter.grad`` (never sets it: the parameter may
       be used elsewhere too), and returns dL/dx; a tuple where forward takes several arrays, None for one of integers.
    4. Modules inside are run backward in the opposite order. Where a value was used twice, its gradients are added.
    5. What behaves differently in training asks ``self.training``.

    Then let the checker say whether it is right.

    Examples
    --------
    A layer, y = a x with a learned number a:

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

    A module made of others, y = value(x) * sigmoid(gate(x)): a gate decides, number by number, what gets through.

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
    needs_input_grad = True
    """False while the caller of ``backward`` does not use dL/dx: ``backward`` may then return None in its place."""
    arguments: tuple[str, ...] = ()
    """Names of attributes that, given to the constructor, build this module anew: shown by repr, kept by nn.save."""

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        return self.forward(*args, **kwargs)

    def config(self) -> dict[str, Any]:
        """The constructor's arguments that build a module of this shape again."""
        return {name: getattr(self, name) for name in self.arguments}

    def constructor_modules(self) -> list[Module]:
        """Return the modules that the constructor takes as its positional arguments, in that order.

        None by default. Override it in a module that is built from other modules, as `Sequential` is: ``nn.save``
        stores these modules with the model, and ``nn.load`` builds them first.
        """
        return []

    @property
    def draws_random_numbers(self) -> bool:
        """True if ``forward`` draws random numbers in training mode.

        By default, a module draws if it holds a numpy Generator. Override it where that depends on a setting:
        `Dropout` draws only if p > 0.
        """
        return any(isinstance(value, np.random.Generator) for value in vars(self).values())

    # --- what forward leaves for backward ------------------------------------------------------------------------

    def save_for_backward(self, *values: Any) -> None:
        """Put `values` on this module's stack, for the backward that matches this forward.

        In ``eval()`` mode nothing is kept, so inference runs in constant memory.
        """
        if not self.training:
            return
        stack = self.__dict__.setdefault("_stack", [])
        stack.append(values)
        if len(stack) == DEEP_STACK:
            warnings.warn(
                f"{type(self).__name__}: {DEEP_STACK} forward calls, and no backward took back what they saved. Each "
                f"keeps its arrays; call eval() to predict without keeping them, or zero_grad() to drop them.",
                ResourceWarning,
                stacklevel=4,
            )

    def saved(self) -> tuple[Any, ...]:
        """Take back what the latest forward not yet run backward put away.

        Raises
        ------
        RuntimeError
            There is no such forward.
        """
        stack = self.__dict__.get("_stack")
        if not stack:
            why = (
                "it is in eval() mode, which keeps nothing" if not self.training else "none is left that saved anything"
            )
            raise RuntimeError(f"{type(self).__name__}.backward needs a forward call to match, and {why}")
        return stack.pop()

    # --- what is inside ------------------------------------------------------------------------------------------

    def register_buffer(self, name: str, array: Array) -> None:
        """Set the attribute `name` to an array that belongs to the state but is not learned.

        It is saved, loaded and moved with the parameters, and no optimiser sees it: BatchNorm's running averages.
        Write into it (``self.name[...] = value``); never replace it.
        """
        backend.array_module(array)
        self.__dict__.setdefault("_buffers", []).append(name)
        setattr(self, name, array)

    def named_buffers(self) -> Iterator[tuple[str, Array]]:
        """Every registered buffer with its dotted name, a shared module's under each of its names."""
        for prefix, module in self.named_modules():
            for name in module.__dict__.get("_buffers", ()):
                yield (f"{prefix}.{name}" if prefix else name), getattr(module, name)

    def named_children(self) -> Iterator[tuple[str, Module]]:
        """The modules set as attributes of this one, in the order they were set."""
        for name, value in vars(self).items():
            if isinstance(value, Module):
                yield name, value

    def named_modules(self, prefix: str = "") -> Iterator[tuple[str, Module]]:
        """This module and every one inside it, with dotted names; a module used twice comes twice."""
        yield prefix, self
        for name, child in self.named_children():
            yield from child.named_modules(f"{prefix}.{name}" if prefix else name)

    def modules(self) -> Iterator[Module]:
        """This module and every one inside it, each once."""
        seen: set[int] = set()
        for _, module in self.named_modules():
            if id(module) not in seen:
                seen.add(id(module))
                yield module

    def _all_parameters(self) -> Iterator[tuple[str, Parameter]]:
        self._refuse_lists()
        for prefix, module in self.named_modules():
            for name, value in vars(module).items():
                if isinstance(value, Parameter):
                    yield (f"{prefix}.{name}" if prefix else name), value

    def _refuse_lists(self) -> None:
        """Raise if a layer or parameter stands in a list only, where nobody would train or save it."""
        modules = list(self.modules())
        found = {id(v) for m in modules for v in (m, *vars(m).values())}
        for module in modules:
            for name, value in vars(module).items():
                items = list(value.values()) if isinstance(value, dict) else value
                if not isinstance(items, (list, tuple)) or not items or name.startswith("_"):
                    continue
                if isinstance(items[0], (Module, Parameter)) and any(id(item) not in found for item in items):
                    title = f"{type(module).__name__}.{name}"
                    raise TypeError(
                        f"{title} is a {type(value).__name__}, which is not looked into: what is in it would be "
                        f"neither trained nor saved. Make it an nn.Sequential, or set each as an attribute of its own"
                    )

    def named_parameters(self) -> Iterator[tuple[str, Parameter]]:
        """Every parameter with its dotted name, each once: a tied weight comes under its first name."""
        seen: set[int] = set()
        for name, parameter in self._all_parameters():
            if id(parameter) not in seen:
                seen.add(id(parameter))
                yield name, parameter

    def parameters(self) -> list[Parameter]:
        """Every parameter, each once."""
        return [parameter for _, parameter in self.named_parameters()]

    # --- state ---------------------------------------------------------------------------------------------------

    def train(self, mode: bool = True) -> Module:
        """Training mode: dropout draws, forward keeps what backward needs."""
        for module in self.modules():
            module.training = mode
        return self

    def eval(self) -> Module:
        """Evaluation mode: no dropout, and forward keeps nothing."""
        return self.train(False)

    def zero_grad(self) -> None:
        """Set every gradient to zero and forget every forward not yet run backward."""
        for parameter in self.parameters():
            parameter.zero_grad()
        for module in self.modules():
            module.__dict__.pop("_stack", None)

    def to(self, device: str | None = None, dtype: Any = None) -> Module:
        """Move parameters and buffers to ``"cpu"`` or ``"cuda"`` and/or convert them; returns the module itself.

        A buffer of integers, a count, stays one.

        Raises
        ------
        TypeError
            `dtype` is not a float type, or `device` is no string.
        """
        if device is not None and not isinstance(device, str):
            raise TypeError(f'device must be a string, such as "cpu", got {device!r}. (A dtype? Use to(dtype=...))')
        if dtype is not None and np.dtype(dtype) not in FLOATS:
            raise TypeError(f"parameters are floats; dtype must be float32 or float64, got {np.dtype(dtype)}")
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
        """Names and values of all parameters and buffers, PyTorch's names where the layer is PyTorch's.

        The arrays are the module's own, not copies. A tied weight appears under each of its names.
        """
        return {name: parameter.data for name, parameter in self._all_parameters()} | dict(self.named_buffers())

    def load_state_dict(self, state: dict[str, Array], strict: bool = True) -> None:
        """Write the values in `state` into the parameters and buffers; their dtype and device stay.

        Parameters
        ----------
        state : dict of str to array
        strict : bool
            Refuse missing and unknown names. With False, they are passed over.

        Raises
        ------
        TypeError, ValueError
            A name is missing or unknown, a value is no array of numbers, its shape differs, it is not finite in this
            module's dtype, or a tied weight has two different values. Nothing has been changed then.
        """
        if not isinstance(state, Mapping):
            raise TypeError(f"state must be a dict of names and arrays, got {type(state).__name__}")
        own = self.state_dict()
        missing, unknown = sorted(own.keys() - state.keys()), sorted(state.keys() - own.keys())
        if strict and (missing or unknown):
            raise ValueError(
                f"state does not fit {type(self).__name__}: "
                f"missing {missing or 'nothing'}, unknown {unknown or 'nothing'}"
            )
        new: dict[str, Array] = {}
        first: dict[int, str] = {}
        for name in [name for name in own if name in state]:
            try:
                xp = backend.array_module(state[name])
            except TypeError as error:
                raise TypeError(f"{name}: {error}") from None
            if tuple(state[name].shape) != own[name].shape:
                raise ValueError(f"{name}: expected shape {own[name].shape}, got {tuple(state[name].shape)}")
            if state[name].dtype.kind not in "fiu":
                raise TypeError(f"{name}: expected {own[name].dtype}, got {state[name].dtype}")
            with np.errstate(over="ignore"):  # what does not fit becomes infinite, and is refused in the next line
                new[name] = state[name].astype(own[name].dtype, copy=False)
            if not xp.isfinite(new[name]).all():
                raise ValueError(f"{name} holds values that are not finite (NaN or infinity) in {own[name].dtype}")
            twin = first.setdefault(id(own[name]), name)
            if twin != name and not (new[twin] == new[name]).all():
                raise ValueError(f"{twin} and {name} are one tied weight, and the state has two values for it")
        for name, value in new.items():
            own[name][...] = backend.to_device(value, backend.device_of(own[name]))

    # --- to look at ----------------------------------------------------------------------------------------------

    def __repr__(self) -> str:
        total = sum(parameter.size for parameter in self.parameters())
        lines = [f"{self._title()}{f'  # {total:,} parameters' if total else ''}"]
        for name, value in vars(self).items():
            if isinstance(value, Parameter):
                lines.append(f"  {name}: {value.shape}")
            elif isinstance(value, Module):
                first, *rest = repr(value).splitlines()
                lines += [f"  ({name}) {first}", *(f"  {line}" for line in rest)]
        return "\n".join(lines)

    def _title(self) -> str:
        shown = ", ".join(
            f"{name}={value.__name__ if isinstance(value, type) else repr(value)}"
            for name, value in self.config().items()
        )
        return f"{type(self).__name__}({shown})"

    # --- what a subclass writes ----------------------------------------------------------------------------------

    def forward(self, *args: Any, **kwargs: Any) -> Any:
        raise TypeError(f"{type(self).__name__} has no forward method: write one, and backward under it")

    def backward(self, *args: Any, **kwargs: Any) -> Any:
        raise TypeError(f"{type(self).__name__} has no backward method: write it under forward")


@contextlib.contextmanager
def without_input_grad(module: Module) -> Iterator[None]:
    """Set ``module.needs_input_grad`` to False inside the ``with`` block.

    Use it around a call of ``module.backward`` whose result you do not read. A network's input is data, for example:
    without its gradient the first layer does a third less work.

    The flag changes only if ``module.backward`` reads it. A subclass that overrides ``backward`` without reading the
    flag is not affected: its ``super().backward(dy)`` still returns dL/dx.

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
    code = getattr(module.backward, "__code__", None)
    reads_flag = code is not None and "needs_input_grad" in code.co_names
    before = module.needs_input_grad
    module.needs_input_grad = before and not reads_flag
    try:
        yield
    finally:
        module.needs_input_grad = before


@contextlib.contextmanager
def eval_mode(model: Module, *more: Module) -> Iterator[None]:
    """``eval()`` mode for a while; every module's own mode comes back afterwards.

    Of one model, or of all the modules named: whoever has listed a model's modules spares the search for them.
    """
    modes = [(module, module.training) for module in ((model, *more) if more else model.modules())]
    for module, _ in modes:
        module.training = False
    try:
        yield
    finally:
        for module, mode in modes:
            module.training = mode


def to_device_of(model: Module, *arrays: Any) -> tuple[Any, ...]:
    """Return `arrays` on the device of the model's first parameter."""
    first = next((v for module in model.modules() for v in vars(module).values() if isinstance(v, Parameter)), None)
    device = "cpu" if first is None else first.device
    return tuple(backend.to_device(array, device) for array in arrays)
