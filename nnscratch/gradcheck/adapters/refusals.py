"""Errors for code that the checker cannot call. Each message shows functions to write, with the user's names."""

from __future__ import annotations

import inspect
import re
from collections.abc import Callable, Sequence
from typing import Any

from ..nested import attribute_of
from .calls import is_cache_name, is_gradient_argument, required_names
from .names import argument_names, function_name, signature


def signature_text(function: Any) -> str:
    """Return a function's name with its arguments, such as ``affine_backward(dout, cache)``."""
    try:
        names = [
            ("*" if p.kind == p.VAR_POSITIONAL else "**" if p.kind == p.VAR_KEYWORD else "") + p.name
            for p in signature(function).parameters.values()
            if p.default is p.empty
        ]
    except (TypeError, ValueError):
        names = ["..."]
    return f"{function_name(function)}({', '.join(names)})"


def pair_refusal(forward: Callable, backward: Callable, input_names: Sequence[str], reason: str) -> TypeError:
    """Return the error for a pair whose backward cannot be called. The message shows two functions to write.

    Examples
    --------
    >>> def conv_forward(x, w): ...
    >>> def conv_backward(dout, x, w, stride): ...
    >>> print(pair_refusal(conv_forward, conv_backward, ["x", "w"], "stride is not known"))
    conv_backward(dout, x, w, stride) cannot be called: stride is not known. Write two functions that can be checked:
    <BLANKLINE>
        def forward(x, w):
            y = conv_forward(x, w)
            return y, (x, w)          # the last value is the cache
    <BLANKLINE>
        def backward(dy, cache):
            x, w = cache
            return conv_backward(dy, x, w, stride=...)          # dx, dw
    <BLANKLINE>
        check_gradients((forward, backward), x, w)
    """
    arguments = ", ".join(input_names)
    unpacked = arguments + ("," if len(input_names) == 1 else "")
    try:
        taken = [n for n, p in signature(backward).parameters.items() if p.default is p.empty]
    except (TypeError, ValueError):
        taken = ["dy", *input_names]
    passed = []
    for number, name in enumerate(taken):
        if name in input_names:
            passed.append(name)
        elif is_cache_name(name):
            passed.append("cache")
        elif "dy" not in passed and (is_gradient_argument(name) or number == 0):
            passed.append("dy")
        else:
            passed.append(f"{name}=...")
    calls = [("layer." if is_method(f) else "") + function_name(f) for f in (forward, backward)]
    new = [f"checked_{name}" if name in calls else name for name in ("forward", "backward")]  # no call of itself
    return TypeError(
        f"{signature_text(backward)} cannot be called: {reason}. Write two functions that can be checked:\n\n"
        f"    def {new[0]}({arguments}):\n"
        f"        y = {calls[0]}({arguments})\n"
        f"        return y, ({unpacked})          # the last value is the cache\n\n"
        f"    def {new[1]}(dy, cache):\n"
        f"        {unpacked} = cache\n"
        f"        return {calls[1]}({', '.join(passed)})"
        f"          # {', '.join('d' + name for name in input_names)}\n\n"
        f"    check_gradients(({new[0]}, {new[1]}), {arguments})"
    )


def is_method(function: Any) -> bool:
    """Return True for a method of an object, also if another function wraps it."""
    return inspect.ismethod(inspect.unwrap(function))


def value_and_gradient_refusal(function: Callable, input_names: Sequence[str], got: Any) -> TypeError:
    """Return the error for a function that returns neither (loss, gradient) nor (output, backward function)."""
    if not inspect.isroutine(function) and callable(forward := attribute_of(function, "forward")):
        return forward_only_refusal(function, forward, input_names)
    input_names = [re.sub(r"\W", "", name) for name in input_names]  # the name of an item of *args is args[0]
    arguments, name = ", ".join(input_names), function_name(function)
    gradients = ", ".join(f"d{n}" for n in input_names)
    return TypeError(
        f"{name} must return (loss, gradient) or (output, backward function), got {type(got).__name__}. If value and "
        f"gradient are two functions, give the pair (f, gradient_of_f). If the gradient is computed by other code, "
        f"write a function that returns both:\n\n"
        f"    def loss_and_gradients({arguments}):\n"
        f"        loss = {name}({arguments})\n"
        f"        {gradients} = ...\n"
        f"        return loss, {gradients if len(input_names) == 1 else '(' + gradients + ')'}\n\n"
        f"    check_gradients(loss_and_gradients, {arguments})"
    )


def object_refusal(instance: Any, forward: Callable, backward: Callable, input_names: Sequence[str]) -> TypeError:
    """Return the error for an object whose forward returns None and sets no attribute that may be the output."""
    arguments, name = ", ".join(input_names), type(instance).__name__
    return TypeError(
        f"{name}.{function_name(forward)}({arguments}) returned None, and set none of the attributes 'output', 'out', "
        f"'y' and 'a'. Return the output, or write two functions that can be checked:\n\n"
        f"    def forward({arguments}):\n"
        f"        layer.{function_name(forward)}({arguments})\n"
        f"        return layer....                    # the attribute that contains the output\n\n"
        f"    def backward(dy):\n"
        f"        return layer.{function_name(backward)}(dy)          # {', '.join('d' + n for n in input_names)}\n\n"
        f"    check_gradients((forward, backward), {arguments})"
    )


def forward_only_refusal(instance: Any, forward: Callable, input_names: Sequence[str]) -> TypeError:
    """Return the error for an object that has a forward, but no method with a usual name of backward.

    Examples
    --------
    >>> class Dense:
    ...     def forward(self, x): ...
    ...     def compute_gradients(self, dy): ...
    >>> print(forward_only_refusal(Dense(), Dense().forward, ["x"]))
    Dense has forward(x), but no method with a usual name of backward, such as backward, backprop or bprop. If another
    method computes the gradients, give both methods:
    <BLANKLINE>
        check_gradients((layer.forward, layer.compute_gradients), x)
    """
    cls = type(instance)
    held = {n: getattr(instance, n, None) for c in cls.__mro__[:-1] for n in vars(c) if not n.startswith("__")}
    taking = [n for n, f in held.items() if callable(f) and n != function_name(forward) and required_names(f)]
    names: list[str] = []
    for name in input_names:  # x[0] and x[1] are items of *x, or arguments that forward does not take
        start = name.partition("[")[0]
        names.append(start if start not in names else "y")
    method = next((n for n in taking if "back" in n.lower() or "grad" in n.lower()), "METHOD")
    return TypeError(
        f"{cls.__name__} has {signature_text(forward)}, but no method with a usual name of backward, such as backward, "
        f"backprop or bprop. If another\nmethod computes the gradients, give both methods:\n\n"
        f"    check_gradients((layer.{function_name(forward)}, layer.{method}), {', '.join(names)})"
    )


def class_refusal(cls: type, inputs: tuple) -> TypeError:
    """Return the error that is raised if the user gives a class instead of an object.

    Examples
    --------
    >>> class Dense:
    ...     def __init__(self, n_in, n_out): ...
    >>> print(class_refusal(Dense, (1,)))
    expected an object to check, got the class Dense itself: give an instance of it, as in
    check_gradients(Dense(n_in=..., n_out=...), x)
    """
    try:
        needed = [
            n
            for n, p in inspect.signature(cls).parameters.items()
            if p.default is p.empty and p.kind not in (p.VAR_POSITIONAL, p.VAR_KEYWORD)
        ]
    except (TypeError, ValueError):
        needed = []
    forward = getattr(cls, "forward", None)
    names = argument_names(forward, len(inputs) + 1)[1:] if callable(forward) else ["x"] * len(inputs)
    given = ", ".join([f"{cls.__name__}({', '.join(f'{n}=...' for n in needed)})", *names])
    return TypeError(
        f"expected an object to check, got the class {cls.__name__} itself: give an instance of it, as in\n"
        f"check_gradients({given})"
    )
