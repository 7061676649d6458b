"""Decide from the name of each argument of backward if it is a gradient, an input, an output or the cache."""

from __future__ import annotations

import dis
import inspect
import types
from collections.abc import Callable, Collection, Mapping, Sequence
from typing import Any

from .names import signature
from .order import simple_steps

OUTPUTS = ("y", "out", "output", "outputs")
NO_CACHE = object()  # used as the cache if forward returned no cache; it is not None, because a cache may be None
GRADIENT_WORDS = ("d", "g", "grad", "gradient", "grads", "delta", "upstream", "err", "error", "dout", "up")
SUBSCRIPT = 26  # since Python 3.14, x[i] is the instruction BINARY_OP with this argument


def required_names(function: Callable) -> list[str] | None:
    """Return the names of the positional arguments without a default, or None if they are not known.

    Examples
    --------
    >>> required_names(lambda dout, cache, mode="max": None)
    ['dout', 'cache']
    """
    try:
        parameters = list(signature(function).parameters.values())
    except (TypeError, ValueError):
        return None
    if any(p.kind == p.VAR_POSITIONAL for p in parameters):
        return None
    positional = (inspect.Parameter.POSITIONAL_ONLY, inspect.Parameter.POSITIONAL_OR_KEYWORD)
    return [p.name for p in parameters if p.kind in positional and p.default is p.empty]


def optional_names(function: Callable) -> list[str]:
    """Return the names of the arguments that have a default."""
    try:
        parameters = signature(function).parameters.values()
    except (TypeError, ValueError):
        return []
    return [p.name for p in parameters if p.default is not p.empty and p.kind != p.POSITIONAL_ONLY]


def defaults_of(function: Callable, names: Sequence[str]) -> dict[str, Any]:
    """Return the default values of a function's arguments, by name. Leave out arguments that are not in `names`.

    Examples
    --------
    >>> defaults_of(lambda X, keep_prob=0.5, seed=0: X, ["X", "keep_prob"])
    {'keep_prob': 0.5}
    """
    return {n: signature(function).parameters[n].default for n in optional_names(function) if n in names}


def is_cache_name(name: str) -> bool:
    """Return True if `name` is a usual name, such as ``cache``, of the values that forward returns for backward."""
    return "cache" in name.lower() or name in ("memory", "saved", "stored", "ctx", "context", "res", "residuals")


def is_gradient_argument(name: str) -> bool:
    """Return True if `name` is a usual name for the gradient that backward receives.

    Examples
    --------
    >>> [is_gradient_argument(name) for name in ("dout", "grad_output", "dLdZ", "delta", "z", "x", "data")]
    [True, True, True, True, False, False, False]
    """
    lower = name.lower()
    return (
        lower in GRADIENT_WORDS
        or "grad" in lower
        or "delta" in lower
        or lower.startswith(("d_", "upstream", "dout", "dvalue", "err_", "error_"))
        or (name[0] == "d" and (name[1].isupper() or len(name) < 4))
    )


def takes_one_tuple(function: Callable, count: int) -> bool:
    """Return True if backward takes the gradients of all `count` outputs in one argument, as ``backward(dys, cache)``.

    Such a backward has one argument with a usual name of a gradient. It unpacks this argument into `count` values, or
    it reads the items 0 to `count` - 1 of an argument with a plural name.

    Examples
    --------
    >>> def backward(dys, cache):
    ...     dy, dh = dys
    ...     return dy + dh
    >>> takes_one_tuple(backward, 2), takes_one_tuple(backward, 3), takes_one_tuple(lambda dy, dh: dy + dh, 2)
    (True, False, False)
    """
    names = [n for n in required_names(function) or [] if is_gradient_argument(n)]
    function = inspect.unwrap(function)  # the wrapped function may be a method
    function = getattr(function, "__func__", function)
    if count < 2 or len(names) != 1 or not isinstance(function, types.FunctionType):
        return False
    steps = [step for instruction in dis.get_instructions(function) for step in simple_steps(instruction)]
    items = set()
    for load, second, third in zip(steps, steps[1:], steps[2:], strict=False):
        if load.value != names[0] or not load.name.startswith(("LOAD_FAST", "LOAD_DEREF")):
            continue
        if second.name == "UNPACK_SEQUENCE" and second.value == count:
            return True
        reads_item = third.name == "BINARY_SUBSCR" or (third.name, third.value) == ("BINARY_OP", SUBSCRIPT)
        if reads_item and second.name in ("LOAD_CONST", "LOAD_SMALL_INT") and type(second.value) is int:
            items.add(second.value)
    return names[0].endswith("s") and items == set(range(count))


def returned_names(function: Callable) -> list[str]:
    """Return the names of the variables or attributes that `function` returns.

    A ``return`` statement with an expression or with several values adds no name.

    Examples
    --------
    >>> def forward(x):
    ...     h_t = 2 * x
    ...     return h_t
    >>> returned_names(forward)
    ['h_t']
    """
    function = inspect.unwrap(function)  # the wrapped function may be a method
    function = getattr(function, "__func__", function)
    if not isinstance(function, types.FunctionType):
        return []
    previous, found = None, []
    for step in dis.get_instructions(function):
        if step.opname == "RETURN_VALUE" and previous is not None:
            if previous.opname.startswith(("LOAD_FAST", "LOAD_ATTR")) and isinstance(previous.argval, str):
                found.append(previous.argval)
        previous = step
    return found


def bind_arguments(
    names: Sequence[str],
    inputs: Mapping[str, Any],
    dys: Sequence[Any],
    outputs: Mapping[str, Any],
    cache: Any = NO_CACHE,
) -> list[Any] | None:
    """Return a value for each argument of backward, or None if there are more arguments than values.

    An argument with the name of an input, an output or a cache receives this input, output or cache. If the names show
    which arguments are the gradients of the outputs, these arguments receive the gradients. The other arguments receive
    the remaining values in this order: the gradients of the outputs, the cache, the inputs.

    Examples
    --------
    >>> bind_arguments(["delta", "h_t", "h_prev_l", "h_prev_t"], {"x": "x", "h_prev_t": "h'"}, ["dh"], {"h_t": "h"})
    ['dh', 'h', 'x', "h'"]
    >>> bind_arguments(["inputs", "grad_output"], {"x": "x"}, ["dy"], {})
    ['x', 'dy']
    """
    found: dict[str, Any] = {}
    for name in names:
        if cache is not NO_CACHE and is_cache_name(name):
            found[name], cache = cache, NO_CACHE
        elif name in inputs:
            found[name] = inputs[name]
        elif name in outputs:
            found[name] = outputs[name]
    free = [name for name in names if name not in found]
    gradients = [name for name in free if is_gradient_argument(name)]
    if len(gradients) == len(dys) and (cache is NO_CACHE or len(free) > len(dys)):  # an argument is left for the cache
        found.update(zip(gradients, dys, strict=True))
        free, dys = [name for name in free if name not in found], ()
    rest = [value for name, value in inputs.items() if name not in found]
    queue = [*dys, *([] if cache is NO_CACHE else [cache]), *rest]
    if len(free) > len(queue):
        return None
    # If there are not enough arguments for all dys and the cache, leave out the last dys. But if all these arguments
    # have names of gradients, as in backward(dout, x, w), leave out the cache.
    if cache is not NO_CACHE and len(free) <= len(dys) and not all(map(is_gradient_argument, free)):
        queue = [*dys[: len(free) - 1], cache]
    found.update(zip(free, queue, strict=False))
    return [found[name] for name in names]


def usual_outputs(names: Sequence[str], inputs: Collection[str], ys: Sequence[Any]) -> dict[str, Any]:
    """Return the output by the usual name of an output that backward gives it, such as ``outputs``.

    Return {} if forward has several outputs, or if the names do not show which argument of backward is dy.

    Examples
    --------
    >>> usual_outputs(["inputs", "outputs", "grads_wrt_outputs"], ["x"], ["y"]), usual_outputs(["y"], ["x"], ["y"])
    ({'outputs': 'y'}, {})
    """
    free = [name for name in names if name not in inputs]
    if len(ys) != 1 or sum(map(is_gradient_argument, free)) != 1:
        return {}
    return {name: ys[0] for name in free if name.lower() in OUTPUTS}


def gradients_taken(names: Sequence[str], inputs: Mapping[str, Any], outputs: Sequence[str], cache: bool) -> int:
    """Return the number of arguments of backward that are gradients.

    All arguments are gradients, except those with the name of an input, an output or the cache. If forward returns a
    cache (`cache` is True), and no argument has a usual name of a cache, then one of the arguments is the cache, unless
    all of them have usual names of gradients.
    """
    free = [n for n in names if n not in inputs and n not in outputs and not (cache and is_cache_name(n))]
    unnamed = cache and not any(map(is_cache_name, names)) and not all(map(is_gradient_argument, free))
    return len(free) - unnamed
