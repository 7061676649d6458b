"""Five forms of forward and backward, seen through one window.

    form                                              example
    Module, with or without a loss                    nn.LSTM(3, 4)
    a pair of functions                               (affine_forward, affine_backward): ``out, cache = f(x, w)``
    an object with forward and backward               params/grads lists or dictionaries, or self.W beside self.dW
    an object with loss                               ``loss, grads = net.loss(x, t)``, or ``net.gradient(x, t)``
    a scalar function and its gradient                (f, grad_f), or one function that returns both

Every one becomes a :class:`Target`: named arrays, ``run()`` for the outputs, ``gradients(dys)`` for what backward says.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable
from typing import Any

from ..module import Module
from .tree import float_leaves, has_no_axes, is_array, is_float, leaves, transform


class Target:
    """What the checker needs to know of the thing it checks.

    Attributes
    ----------
    title : str
    inputs : tuple
        The checker's own copies of the inputs.
    input_names : list of str
    accumulates : bool
        The contract says that gradients are added to, not overwritten.
    source : object
        What is walked to put everything back afterwards.
    """

    accumulates = False

    def __init__(self, source: Any, title: str, inputs: tuple, function: Callable, skip: int = 0):
        self.source, self.title = source, title
        self.inputs = tuple(transform(own_copy, value) for value in inputs)
        self.input_names = argument_names(function, len(inputs))
        self.notes: list[str] = []

    def parameters(self) -> dict[str, Any]:
        """The arrays that are learned, by name; the very arrays that forward reads."""
        return {}

    def input_leaves(self) -> dict[str, Any]:
        """The float arrays among the inputs."""
        taken = self.parameters()
        found = {}
        for name, value in zip(self.input_names, self.inputs, strict=True):
            for leaf_name, leaf in leaves(name, value):
                if is_array(leaf) and is_float(leaf):
                    found[f"input {leaf_name}" if leaf_name in taken else leaf_name] = leaf
        return found

    def run(self) -> tuple:
        """Forward: a tuple of outputs, each an array, a number or a nest of them."""
        raise NotImplementedError

    def forget(self) -> None:
        """Drop what forward put away for a backward that will not come."""

    def gradients(self, dys: tuple) -> dict[str, Any]:
        """Backward, right after `run`: name -> gradient. Names left out are not given by the target at all."""
        raise NotImplementedError

    def returned(self, result: Any, scalar: bool = False) -> dict[str, Any]:
        """Which input each returned gradient belongs to."""
        floats = [
            (name, value) for name, value in zip(self.input_names, self.inputs, strict=True) if float_leaves(value)
        ]
        taken = self.parameters()
        if not floats:
            return {}
        if isinstance(result, dict):
            pairs = [
                (n, v, next((result[k] for k in (n, f"d{n}", f"d_{n}", f"grad_{n}") if k in result), None))
                for n, v in floats
            ]
        elif not isinstance(result, (tuple, list)):
            given = [result, *(None for _ in floats[1:])]
            pairs = [(n, v, g) for (n, v), g in zip(floats, given, strict=True)]
            if scalar:  # a loss gives the gradient of its prediction, and none of its target
                pairs = pairs[:1]
        elif len(self.inputs) == 1 and isinstance(self.inputs[0], (tuple, list)) and len(result) == len(self.inputs[0]):
            pairs = [(self.input_names[0], self.inputs[0], result)]
        elif len(result) >= len(self.inputs) or len(result) != len(floats):
            by_place = dict(zip(self.input_names, result, strict=False))
            pairs = [(n, v, by_place.get(n)) for n, v in floats]
        else:
            pairs = [(n, v, g) for (n, v), g in zip(floats, result, strict=True)]
        out = {}
        for name, value, gradient in pairs:
            places = [(n, leaf) for n, leaf in leaves(name, value) if is_array(leaf) and is_float(leaf)]
            got = list(leaves(name, gradient)) if isinstance(gradient, (tuple, list, dict)) else None
            for number, (leaf_name, _) in enumerate(places):
                g = gradient if got is None else (got[number][1] if number < len(got) else None)
                out[f"input {leaf_name}" if leaf_name in taken else leaf_name] = g
        return out


class ModuleTarget(Target):
    """A Module, or a Module whose first output goes into a loss."""

    accumulates = True

    def __init__(self, module: Module, inputs: tuple, loss: Module | None = None, targets: tuple = ()):
        super().__init__([module, loss], type(module).__name__, inputs, module.forward)
        self.module, self.loss = module, loss
        self.targets = tuple(transform(own_copy, value) for value in targets)
        if loss is not None:
            self.title += f" with {type(loss).__name__}"

    def everything(self) -> list[Module]:
        return [*self.module.modules(), *(self.loss.modules() if self.loss is not None else ())]

    def parameters(self) -> dict[str, Any]:
        named = list(self.module.named_parameters())
        if self.loss is not None:
            named += [(f"loss.{name}", p) for name, p in self.loss.named_parameters()]
        return {name: p.data for name, p in named}

    def prepare(self) -> None:
        if not self.module.training:
            self.notes.append("it was in eval() mode; checked in train() mode, since eval() keeps nothing for backward")
        for module in self.everything():
            module.training = True

    def run(self) -> tuple:
        y = self.module(*self.inputs)
        self._tuple = isinstance(y, tuple)
        ys = y if self._tuple else (y,)
        if self.loss is None:
            return ys
        return (self.loss(ys[0], *self.targets), *ys[1:])

    def forget(self) -> None:
        for module in self.everything():
            module.__dict__.pop("_stack", None)

    def zero_gradients_only(self) -> None:
        for module in self.everything():
            for value in vars(module).values():
                if hasattr(value, "zero_grad") and hasattr(value, "data"):
                    value.zero_grad()

    def gradients(self, dys: tuple, zero: bool = True) -> dict[str, Any]:
        if zero:
            self.zero_gradients_only()
        scalar = False
        if self.loss is not None:
            dy = self.loss.backward()
            result = self.module.backward(dy, *dys[1:]) if len(dys) > 1 else self.module.backward(dy)
        elif len(dys) == 1 and has_no_axes(dys[0]) and not needs_argument(self.module.backward):
            scalar = True
            result = self.module.backward()
        else:
            result = self.module.backward(*dys)
        named = list(self.module.named_parameters())
        if self.loss is not None:
            named += [(f"loss.{name}", p) for name, p in self.loss.named_parameters()]
        return {**{name: p.grad for name, p in named}, **self.returned(result, scalar)}


class PairTarget(Target):
    """``out, cache = forward(x, w, b)`` and ``dx, dw, db = backward(dout, cache)``; also without a cache."""

    def __init__(self, forward: Callable, backward: Callable, inputs: tuple):
        super().__init__([forward, backward], name_of(forward), inputs, forward)
        self.forward, self.backward = forward, backward

    def run(self) -> tuple:
        result = self.forward(*self.inputs)
        self._vjp = None
        if isinstance(result, tuple) and len(result) > 1:
            *ys, self.cache = result
            return tuple(ys)
        self.cache = NO_CACHE
        return (result,)

    def gradients(self, dys: tuple) -> dict[str, Any]:
        if self.cache is not NO_CACHE:
            return self.returned(self.backward(*dys, self.cache))
        count, scalar = positional_count(self.backward), has_no_axes(dys[0])
        if scalar and count in (len(self.inputs), None):
            result = self.backward(*self.inputs)  # a scalar function and its gradient
            return self.returned(result, scalar=True)
        if count == 1:
            return self.returned(self.backward(*dys))
        return self.returned(self.backward(*dys, *self.inputs))


class ValueAndGradientTarget(Target):
    """One function that returns (loss, gradients), as CS231n's losses; or (output, backward function)."""

    def __init__(self, function: Callable, inputs: tuple):
        super().__init__([function], name_of(function), inputs, function)
        self.function = function

    def run(self) -> tuple:
        result = self.function(*self.inputs)
        if not isinstance(result, tuple) or len(result) < 2:
            raise TypeError(
                f"{self.title} must return (loss, gradient) or (output, backward function), got "
                f"{type(result).__name__}; give a pair (f, gradient_of_f) where they are two functions"
            )
        y, *rest = result
        self.rest = rest[0] if len(rest) == 1 else tuple(rest)
        return (y,)

    def gradients(self, dys: tuple) -> dict[str, Any]:
        return self.returned(self.rest(*dys) if callable(self.rest) else self.rest, scalar=not callable(self.rest))


class ObjectTarget(Target):
    """An object with forward and backward, and parameters where the book "Deep Learning from Scratch" keeps them."""

    def __init__(self, thing: Any, inputs: tuple):
        self.thing = thing
        self.step = next(getattr(thing, n) for n in ("forward", "predict", "__call__") if hasattr(thing, n))
        super().__init__([thing], type(thing).__name__, inputs, self.step)

    def parameters(self) -> dict[str, Any]:
        params = getattr(self.thing, "params", None)
        if isinstance(params, dict):
            return {str(k): v for k, v in params.items() if is_array(v) and is_float(v)}
        if isinstance(params, (list, tuple)) and params:
            own = {id(v): k for k, v in vars(self.thing).items() if is_array(v)}
            return {own.get(id(v), f"params[{i}]"): v for i, v in enumerate(params) if is_array(v) and is_float(v)}
        held = vars(self.thing)
        return {k: v for k, v in held.items() if is_array(v) and is_float(v) and f"d{k}" in held and k not in ("out",)}

    def given(self) -> dict[str, Any]:
        """What the object says the gradients of its parameters are."""
        params, grads = getattr(self.thing, "params", None), getattr(self.thing, "grads", None)
        if isinstance(params, dict):
            grads = grads if isinstance(grads, dict) else {}
            return {str(k): next((grads[n] for n in (k, f"d{k}") if n in grads), None) for k in params}
        if isinstance(params, (list, tuple)) and params:
            return dict(zip(self.parameters(), grads if grads is not None else (), strict=False))
        return {k: getattr(self.thing, f"d{k}", None) for k in self.parameters()}

    def run(self) -> tuple:
        y = self.step(*self.inputs)
        return y if isinstance(y, tuple) else (y,)

    def gradients(self, dys: tuple) -> dict[str, Any]:
        scalar = len(dys) == 1 and has_no_axes(dys[0])
        if scalar and not needs_argument(self.thing.backward):
            result = self.thing.backward()
        else:
            result = self.thing.backward(*dys)
        return {**self.given(), **self.returned(result, scalar)}


class LossObjectTarget(ObjectTarget):
    """An object with ``loss(x, t)``: it returns (loss, grads), or ``gradient(x, t)`` returns the grads."""

    def __init__(self, thing: Any, inputs: tuple):
        self.thing, self.step = thing, thing.loss
        Target.__init__(self, [thing], type(thing).__name__, inputs, thing.loss)

    def run(self) -> tuple:
        result = self.thing.loss(*self.inputs)
        self.grads = result[1] if isinstance(result, tuple) else None
        return (result[0] if isinstance(result, tuple) else result,)

    def gradients(self, dys: tuple) -> dict[str, Any]:
        grads = self.grads if self.grads is not None else self.thing.gradient(*self.inputs)
        names = self.parameters()
        return {name: grads.get(name, grads.get(f"d{name}")) for name in names}


NO_CACHE = object()


def make_target(target: Any, inputs: tuple, loss: Any = None, targets: Any = ()) -> Target:
    """The :class:`Target` that `target` is.

    Raises
    ------
    TypeError
        It is none of the forms that can be checked.
    """
    if not isinstance(targets, tuple):
        targets = (targets,)
    if isinstance(target, Module):
        if loss is not None and not (callable(loss) and hasattr(loss, "backward")):
            raise TypeError(f"loss must be a Module such as nn.MSELoss(), got {type(loss).__name__}")
        return ModuleTarget(target, inputs, loss, targets)
    if loss is not None:
        raise TypeError(f"loss= goes with a Module; for {type(target).__name__} put the loss into the forward function")
    if isinstance(target, (tuple, list)) and len(target) == 2 and all(callable(part) for part in target):
        return PairTarget(*target, inputs)
    if hasattr(target, "backward") and any(hasattr(target, n) for n in ("forward", "predict", "__call__")):
        return ObjectTarget(target, inputs)
    if hasattr(target, "loss") and callable(target.loss) and hasattr(target, "params"):
        return LossObjectTarget(target, inputs)
    if callable(target) and not isinstance(target, type):
        return ValueAndGradientTarget(target, inputs)
    raise TypeError(
        "target must be a Module, a pair (forward, backward) of functions, an object with forward and backward, an "
        f"object with params and loss, or a function that returns (loss, gradient); got {type(target).__name__}"
        + (" (the class itself: give an instance of it)" if isinstance(target, type) else "")
    )


def own_copy(value: Any) -> Any:
    """A copy of an array, row by row; floats become arrays only if they were arrays."""
    return value.copy() if is_array(value) else value


def name_of(function: Any) -> str:
    return getattr(function, "__name__", type(function).__name__)


def argument_names(function: Callable, count: int) -> list[str]:
    """The names of the first `count` positional arguments of `function`."""
    try:
        kinds = inspect.signature(function).parameters.values()
    except (TypeError, ValueError):
        kinds = []
    names = [p.name for p in kinds if p.kind in (p.POSITIONAL_ONLY, p.POSITIONAL_OR_KEYWORD)][:count]
    rest = next((p.name for p in kinds if p.kind == p.VAR_POSITIONAL), "x")
    return names + [f"{rest}[{i}]" for i in range(count - len(names))]


def positional_count(function: Callable) -> int | None:
    """How many positional arguments `function` takes; None if any number, or unknown."""
    try:
        kinds = list(inspect.signature(function).parameters.values())
    except (TypeError, ValueError):
        return None
    if any(p.kind == p.VAR_POSITIONAL for p in kinds):
        return None
    return sum(p.kind in (p.POSITIONAL_ONLY, p.POSITIONAL_OR_KEYWORD) and p.default is p.empty for p in kinds)


def needs_argument(function: Callable) -> bool:
    """True if `function` cannot be called without arguments."""
    return positional_count(function) not in (0, None)
