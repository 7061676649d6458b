"""Five forms of forward and backward, seen through one window.

    form                                              example
    Module, with or without a loss                    nn.LSTM(3, 4)
    a pair of functions                               (affine_forward, affine_backward): ``out, cache = f(x, w)``
    an object with forward and backward               params/grads lists or dictionaries, self.W beside self.dW, or
                                                      backward returns (dx, dW, db)
    an object with loss                               ``loss, grads = net.loss(x, t)``, or ``net.gradient(x, t)``
    a scalar function and its gradient                (f, grad_f), or one function that returns both

Every one becomes a :class:`Target`: named arrays, ``run()`` for the outputs, ``gradients(dys)`` for what backward says.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable
from typing import Any

from .. import backend
from ..module import Module
from .isolation import Snapshot, same
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

    def arrays(self) -> list[tuple[str, Any]]:
        """Every array that forward is given, with its name: parameters and inputs, those of integers too."""
        inputs = [leaf for pair in zip(self.input_names, self.inputs, strict=True) for leaf in leaves(*pair)]
        return [(name, a) for name, a in [*self.parameters().items(), *inputs] if is_array(a)]

    def complex_parameters(self) -> dict[str, Any]:
        """The parameters while they are complex, which `parameters` may not count as floats."""
        return {}

    def note(self, words: str) -> None:
        """Have `words` said in the report, once."""
        if words not in self.notes:
            self.notes.append(words)

    def kept(self) -> Any:
        """What forward put away for backward, where it can be seen from outside."""
        return ()

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
            pairs = [(n, v, next((result[k] for k in gradient_names(n) if k in result), None)) for n, v in floats]
        elif not isinstance(result, (tuple, list)):
            given = [result, *(None for _ in floats[1:])]
            pairs = [(n, v, g) for (n, v), g in zip(floats, given, strict=True)]
            if scalar:  # a loss gives the gradient of its prediction, and none of its target
                pairs = pairs[:1]
        elif len(self.inputs) == 1 and isinstance(self.inputs[0], (tuple, list)) and len(result) == len(self.inputs[0]):
            pairs = [(self.input_names[0], self.inputs[0], result)]
        elif len(result) >= len(self.inputs) or len(result) != len(floats):
            by_place = dict(zip(self.input_names, result, strict=False))
            if any(g is not None for g in result[len(self.inputs) :]):
                self.note(
                    f"backward returns {len(result)} gradients for {len(self.inputs)} inputs: the last are ignored"
                )
            pairs = [(n, v, by_place.get(n)) for n, v in floats]
        else:
            pairs = [(n, v, g) for (n, v), g in zip(floats, result, strict=True)]
        out = {}
        for name, value, gradient in pairs:
            places = [(n, leaf) for n, leaf in leaves(name, value) if is_array(leaf) and is_float(leaf)]
            nested = isinstance(value, (tuple, list, dict)) and isinstance(gradient, (tuple, list, dict))
            got = list(leaves(name, gradient)) if nested else None
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

    def complex_parameters(self) -> dict[str, Any]:
        return self.parameters()

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

    def left(self) -> list[str]:
        """The classes of the modules that still hold something that forward put away."""
        return list(dict.fromkeys(type(m).__name__ for m in self.everything() if m.__dict__.get("_stack")))

    def zero_gradients_only(self) -> None:
        for module in self.everything():
            for value in vars(module).values():
                if hasattr(value, "zero_grad") and hasattr(value, "data"):
                    value.zero_grad()

    def gradients(self, dys: tuple, zero: bool = True) -> dict[str, Any]:
        if zero:
            self.zero_gradients_only()
        scalar = (
            self.loss is None and len(dys) == 1 and has_no_axes(dys[0]) and not needs_argument(self.module.backward)
        )
        try:
            if self.loss is not None:
                result = self.module.backward(self.loss.backward(), *dys[1:])
            else:
                result = self.module.backward(*(() if scalar else dys))
        except ValueError as error:
            if "non-broadcastable output operand" not in str(error):
                raise
            raise ValueError(
                f"backward: {error}. Where forward spreads a parameter over the batch, its gradient is the sum over "
                f"the batch: grad += dy.sum(axis=0)"
            ) from error
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

    def kept(self) -> Any:
        return self.cache if self.cache is not NO_CACHE and not callable(self.cache) else ()

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
    """An object with forward and backward, and parameters where the book "Deep Learning from Scratch" keeps them.

    Without ``params``, its parameters are the arrays that forward only reads and for which backward leaves a gradient
    under one of the usual names (`gradient_names`), or for which it returns one, after those of the inputs and in the
    order in which the arrays were set. To see that, forward and backward are run once before the check.
    """

    def __init__(self, thing: Any, inputs: tuple, forward: Callable | None = None, backward: Callable | None = None):
        self.thing = thing
        self.step = forward or next(getattr(thing, n) for n in ("forward", "predict", "__call__") if hasattr(thing, n))
        self.back = backward or thing.backward
        super().__init__([thing], type(thing).__name__, inputs, self.step)
        self._names: dict[str, str] = {}  # parameter -> attribute of its gradient
        self._returned: list[str] = []  # parameters whose gradients backward returns
        if not has_items(getattr(thing, "params", None)):
            before = Snapshot(thing, self.inputs)
            try:
                self._look(float_attributes(thing), before)
            except Exception:  # it will be raised again, where it is reported
                pass
            finally:
                before.restore()

    def _look(self, held: dict[str, Any], before: Snapshot) -> None:
        """Run once, and see which of the arrays in `held` are parameters."""
        copies = {name: array.copy() for name, array in held.items()}
        ys = self.run()
        now = float_attributes(self.thing)
        read = [k for k, a in held.items() if now.get(k) is a and bool((a == copies[k]).all())]
        dys = transform(lambda y: backend.array_module(y).ones_like(y) if is_array(y) else 1.0, ys)
        result = self._call_backward(dys)
        grads, attributes = getattr(self.thing, "grads", None), vars(self.thing)
        for name in read:
            for gradient in gradient_names(name):
                if (isinstance(grads, dict) and gradient in grads) or (gradient != name and gradient in attributes):
                    self._names[name] = gradient
                    break
        rest = [k for k in read if k not in self._names and not is_gradient_name(k, attributes)]
        before.restore()
        ys = transform(own_copy, self.run())
        moved = [name for name in rest if self._moves(held[name], ys, before)]
        surplus = len(result) - len(self.inputs) if isinstance(result, tuple) else 0
        if surplus > 0 and surplus in (len(rest), len(moved)):
            self._returned, moved = (rest if surplus == len(rest) else moved), []
        elif surplus > 0:
            self.notes.append(
                f"backward returns {len(result)} gradients for {len(self.inputs)} input(s); what the others belong to "
                f"is not known, and they were not checked: keep them in self.dW, or in self.params and self.grads"
            )
        if moved:
            self.notes.append(
                f"{', '.join(moved)}: forward uses it, and no gradient of it was found (looked for params and grads, "
                f"{', '.join(gradient_names(moved[0])[1:])}), so none was checked"
            )

    def _moves(self, array: Any, ys: tuple, before: Snapshot) -> bool:
        """True if the outputs are others when `array` is."""
        before.restore()
        array += 0.1
        now, then = float_leaves(self.run()), float_leaves(ys)
        before.restore()
        return any(not same(a, b) if is_array(a) else a != b for a, b in zip(now, then, strict=True))

    def parameters(self) -> dict[str, Any]:
        params = getattr(self.thing, "params", None)
        if isinstance(params, dict) and params:
            return {str(k): v for k, v in params.items() if is_array(v) and is_float(v)}
        if isinstance(params, (list, tuple)) and params:
            own = {id(v): k for k, v in vars(self.thing).items() if is_array(v)}
            return {own.get(id(v), f"params[{i}]"): v for i, v in enumerate(params) if is_array(v) and is_float(v)}
        return {name: getattr(self.thing, name) for name in [*self._names, *self._returned]}

    def complex_parameters(self) -> dict[str, Any]:
        params = getattr(self.thing, "params", None)
        if isinstance(params, dict) and params:
            return {str(k): v for k, v in params.items()}
        if isinstance(params, (list, tuple)) and params:
            own = {id(v): k for k, v in vars(self.thing).items() if is_array(v)}
            return {own.get(id(v), f"params[{i}]"): v for i, v in enumerate(params)}
        return self.parameters()

    def given(self) -> dict[str, Any]:
        """What the object says the gradients of its parameters are."""
        params, grads = getattr(self.thing, "params", None), getattr(self.thing, "grads", None)
        if isinstance(params, dict) and params:
            grads = grads if isinstance(grads, dict) else {}
            return {str(k): next((grads[n] for n in gradient_names(k) if n in grads), None) for k in params}
        if isinstance(params, (list, tuple)) and params:
            return dict(zip(self.parameters(), grads if grads is not None else (), strict=False))
        grads = grads if isinstance(grads, dict) else {}
        return {k: grads.get(name, getattr(self.thing, name, None)) for k, name in self._names.items()}

    def kept(self) -> Any:
        own = {id(a) for a in (*self.parameters().values(), *float_leaves(getattr(self.thing, "grads", ())))}
        held = getattr(self.thing, "__dict__", {})
        return [v for k, v in held.items() if id(v) not in own and k != "grads" and not is_gradient_name(k, held)]

    def run(self) -> tuple:
        y = self.step(*self.inputs)
        return y if isinstance(y, tuple) else (y,)

    def _call_backward(self, dys: tuple) -> Any:
        scalar = len(dys) == 1 and has_no_axes(dys[0])
        return self.back() if scalar and not needs_argument(self.back) else self.back(*dys)

    def gradients(self, dys: tuple) -> dict[str, Any]:
        result = self._call_backward(dys)
        extra: dict[str, Any] = {}
        if self._returned and isinstance(result, tuple) and len(result) == len(self.inputs) + len(self._returned):
            extra = dict(zip(self._returned, result[len(self.inputs) :], strict=True))
            result = result[: len(self.inputs)]
        scalar = len(dys) == 1 and has_no_axes(dys[0])
        return {**self.given(), **extra, **self.returned(result, scalar)}


class LossObjectTarget(ObjectTarget):
    """An object with ``loss(x, t)``: it returns (loss, grads), or ``gradient(x, t)`` returns the grads."""

    def __init__(self, thing: Any, inputs: tuple):
        self.thing, self.step = thing, thing.loss
        self._names, self._returned = {}, []
        Target.__init__(self, [thing], type(thing).__name__, inputs, thing.loss)

    def run(self) -> tuple:
        result = self.thing.loss(*self.inputs)
        self.grads = result[1] if isinstance(result, tuple) else None
        return (result[0] if isinstance(result, tuple) else result,)

    def gradients(self, dys: tuple) -> dict[str, Any]:
        grads = self.grads if self.grads is not None else self.thing.gradient(*self.inputs)
        names = self.parameters()
        return {name: next((grads[n] for n in gradient_names(name) if n in grads), None) for name in names}


NO_CACHE = object()


def gradient_names(name: str) -> list[str]:
    """What the gradient of `name` may be called: the same, in a dictionary of gradients, or dW, grad_W ..."""
    return [name, f"d{name}", f"d_{name}", f"grad_{name}", f"{name}_grad"]


def is_gradient_name(name: str, others: Any) -> bool:
    """True if it is what the gradient of another name in `others` would be called."""
    return any(name in gradient_names(other)[1:] for other in others)


def has_items(params: Any) -> bool:
    return isinstance(params, (dict, list, tuple)) and len(params) > 0


def float_attributes(thing: Any) -> dict[str, Any]:
    """The arrays of floats among an object's attributes."""
    return {k: v for k, v in getattr(thing, "__dict__", {}).items() if is_array(v) and is_float(v)}


def make_target(target: Any, inputs: tuple, loss: Any = None, targets: Any = ()) -> Target:
    """The :class:`Target` that `target` is.

    Raises
    ------
    TypeError
        It is none of the forms that can be checked.
    """
    if not isinstance(targets, tuple):
        targets = (targets,)
    if isinstance(target, type):
        raise TypeError(f"target is the class {target.__name__} itself: give an instance of it")
    if isinstance(target, Module):
        if loss is not None and (isinstance(loss, type) or not (callable(loss) and hasattr(loss, "backward"))):
            got = f"the class {loss.__name__} itself" if isinstance(loss, type) else type(loss).__name__
            raise TypeError(f"loss must be a Module such as nn.MSELoss(), got {got}")
        return ModuleTarget(target, inputs, loss, targets)
    if loss is not None:
        raise TypeError(f"loss= goes with a Module; for {type(target).__name__} put the loss into the forward function")
    if isinstance(target, (tuple, list)) and len(target) == 2 and all(callable(part) for part in target):
        owner = getattr(target[0], "__self__", None)
        if owner is not None and owner is getattr(target[1], "__self__", None):  # an object's methods: check it all
            if isinstance(owner, Module):
                return ModuleTarget(owner, inputs)
            return ObjectTarget(owner, inputs, *target)
        return PairTarget(*target, inputs)
    if hasattr(target, "backward") and any(hasattr(target, n) for n in ("forward", "predict", "__call__")):
        return ObjectTarget(target, inputs)
    if hasattr(target, "loss") and callable(target.loss) and hasattr(target, "params"):
        return LossObjectTarget(target, inputs)
    if callable(target):
        return ValueAndGradientTarget(target, inputs)
    raise TypeError(
        "target must be a Module, a pair (forward, backward) of functions, an object with forward and backward, an "
        f"object with params and loss, or a function that returns (loss, gradient); got {type(target).__name__}"
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
