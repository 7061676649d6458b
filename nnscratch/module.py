"""Parameter and Module: the contract between forward and backward.

    y  = module(x)             forward: computes y and puts away what backward will need
    dx = module.backward(dy)   backward: takes dL/dy, *adds* dL/dw to every w.grad, returns dL/dx

L is the loss, one number; ``dy`` always means dL/dy and has y's shape. In training mode each forward pushes one
entry on the module's own stack and each backward pops one, so that a module used three times in a network is run
backward three times, in the opposite order, and its gradients add up: the chain rule for shared weights.
"""

from __future__ import annotations

import contextlib
import warnings
from collections.abc import Callable, Iterator, Mapping
from typing import Any

import numpy as np

from . import backend
from .backend import Array
from .checks import FLOATS, check_ids

DEEP_STACK = 10_000  # forwards without a backward before a module says that something is wrong


class Parameter:
    """An array that is learned, and its gradient.

    Parameters
    ----------
    data : array of floats

    Attributes
    ----------
    data : array
        The values. Optimisers write into it and never replace it, so every module that holds it sees the change.
    grad : array
        dL/d(data), of the same shape, dtype and device. Every ``backward`` adds to it; ``zero_grad`` clears it.

    Examples
    --------
    >>> import numpy as np, nnscratch as nn
    >>> nn.Parameter(np.ones((2, 3), dtype=np.float32))
    Parameter((2, 3), float32, cpu)
    """

    def __init__(self, data: Array):
        backend.array_module(data)
        if data.dtype not in FLOATS:
            raise TypeError(f"Parameter needs floats, got an array of {data.dtype}; use data.astype(numpy.float32)")
        self.data = backend.array_module(data).asarray(data, order="C")  # optimisers write through a flat view of it
        self._grad = backend.array_module(data).empty_like(self.data)
        self._cleared = True  # _grad counts as zero, whatever is in it, apart from ...
        self._rows: tuple[Array, Array] | None = None  # ... these rows: their numbers, and what is in them

    @property
    def grad(self) -> Array:
        if self._cleared:
            self._grad[...] = 0
            if self._rows is not None:
                rows, values = self._rows
                self._grad[rows] = values
            self._cleared, self._rows = False, None
        return self._grad

    @grad.setter
    def grad(self, value: Array) -> None:
        self._grad, self._cleared, self._rows = value, False, None

    @property
    def grad_rows(self) -> tuple[Array, Array] | None:
        """The gradient as (numbers of rows, those rows), if all others are known to be zero; else None.

        An embedding's, where a batch has few of all words. Whoever asks for `grad` gets the whole array, and from
        then on, until `zero_grad`, any row may be written to: the answer is None.
        """
        return self._rows

    @property
    def shape(self) -> tuple[int, ...]:
        return self.data.shape

    @property
    def dtype(self) -> np.dtype:
        return self.data.dtype

    @property
    def size(self) -> int:
        return self.data.size

    @property
    def device(self) -> str:
        return backend.device_of(self.data)

    def zero_grad(self) -> None:
        """Clear the gradient. The zeros are written when somebody looks: mostly `add_product` writes first."""
        self._cleared, self._rows = True, None

    def add_product(self, a: Array, b: Array) -> None:
        """``grad += a @ b`` for matrices `a` and `b`.

        The first product after `zero_grad` is computed right into the gradient: for a large weight that saves as much
        memory again, and the time to fill it and add it.
        """
        if self._cleared and self._rows is None:
            backend.array_module(a).matmul(a, b, out=self._grad)
            self._cleared = False
        else:
            self.grad += a @ b

    def add_rows(self, index: Array, values: Array) -> None:
        """``grad[index[k]] += values[k]`` for every k; a row named twice receives both.

        The first rows after `zero_grad`, if they are few, are kept by themselves: see `grad_rows`.
        """
        few = 2 * len(index) < len(self.data) and backend.array_module(values) is np
        if few and self._cleared and self._rows is None:
            self._rows = backend.sum_rows(index, values)
        else:
            backend.scatter_add(self.grad, index, values)

    def to(self, *, device: str | None = None, dtype: Any = None) -> None:
        """Move or convert data and gradient, in place."""
        for name in ("data", "grad"):
            array = getattr(self, name)
            array = array if device is None else backend.to_device(array, device)
            setattr(self, name, array if dtype is None else array.astype(dtype, copy=False))

    def __repr__(self) -> str:
        return f"Parameter({self.shape}, {self.dtype}, {self.device})"

    # To compute with a parameter is to compute with its .data; who forgets that is told, not what NumPy makes of it.

    __array_ufunc__ = None  # so that NumPy's operators, too, leave it to these

    def __array__(self, *args: Any, **kwargs: Any) -> Any:
        raise TypeError("a Parameter is no array: its numbers are parameter.data, their gradient parameter.grad")

    __getitem__ = __add__ = __radd__ = __sub__ = __rsub__ = __mul__ = __rmul__ = __array__
    __truediv__ = __rtruediv__ = __pow__ = __matmul__ = __rmatmul__ = __neg__ = __array__


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
    arguments: tuple[str, ...] = ()
    """Names of attributes that, given to the constructor, build this module anew: shown by repr, kept by nn.save."""

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        return self.forward(*args, **kwargs)

    def config(self) -> dict[str, Any]:
        """The constructor's arguments that build a module of this shape again."""
        return {name: getattr(self, name) for name in self.arguments}

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


def without_dx(module: Module) -> Callable[[Array], Any] | None:
    """The module's ``backward_parameters``, which does what its ``backward`` does but for dx; None if it has none.

    What a network reads is data, and nobody wants its gradient: a first layer that leaves it out does a third less.
    (A subclass that has written a ``backward`` of its own means that one.)
    """

    def owner(name: str) -> Any:
        return module if name in vars(module) else next((c for c in type(module).__mro__ if name in vars(c)), None)

    mine = owner("backward_parameters")
    return module.backward_parameters if mine is not None and mine is owner("backward") else None


def is_plain(module: Module) -> bool:
    """Whether a module that has just run forward holds no parameters and no modules, and one entry on its stack."""
    values = vars(module).values()
    return "_stack" in vars(module) and not any(isinstance(value, (Parameter, Module)) for value in values)


@contextlib.contextmanager
def evaluating(model: Module, *more: Module) -> Iterator[None]:
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
    """The arrays, on the model's device: what everyone does who has batches on the CPU.

    A language model's token ids are looked at before they go to a GPU: there nobody could without waiting for it.
    """
    first = next((v for module in model.modules() for v in vars(module).values() if isinstance(v, Parameter)), None)
    device = "cpu" if first is None else first.device
    for array in arrays:
        if device != "cpu" and hasattr(model, "vocab_size") and isinstance(array, np.ndarray):
            check_ids(model, "tokens and targets", array, model.vocab_size)
    return tuple(backend.to_device(array, device) for array in arrays)
