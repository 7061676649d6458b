"""Decide to which input of forward each gradient from backward belongs: by key, by name, by shape, by position."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from itertools import combinations
from typing import Any

import numpy as np

from ..gradient_names import gradient_key
from ..learned_names import is_learned_name, is_setting_name, words_of
from ..nested import float_leaves, is_array, is_float, leaves, map_leaves

TARGETS = frozenset(
    "target targets label labels truth true y t mask masks onehot hot expected desired gold answer answers "
    "observed actual".split()
)
PREDICTED = frozenset("pred preds predicted prediction predictions hat yhat output outputs probs logits".split())
OPERANDS = frozenset("abcuv")  # usual names of the arguments of an operation, such as a * b
FEW = 12  # for more than FEW inputs, do not compare all assignments of gradients to inputs: there are too many


@dataclass
class Match:
    """The result of `match_gradients`.

    Attributes
    ----------
    given : dict of str to object
        The gradient of each float array among the inputs, by name. It is None if backward returned None for an input
        that is not a target. Other inputs without a gradient are left out.
    surplus : list or dict
        The gradients that belong to no input.
    missing : list of str
        The inputs that have a usual name of a weight, but no gradient from backward.
    """

    given: dict[str, Any] = field(default_factory=dict)
    surplus: Any = field(default_factory=list)
    missing: list[str] = field(default_factory=list)


def match_gradients(result: Any, names: list[str], inputs: tuple) -> Match:
    """Decide to which input of forward each gradient from backward belongs.

    Parameters
    ----------
    result : array, tuple, list, dict or None
        The value that backward returned.
    names : list of str
        The names of the inputs.
    inputs : tuple
        The arguments of forward.

    Examples
    --------
    >>> w, x = np.ones((3, 2)), np.ones((4, 3))
    >>> match_gradients({"dw": 2 * w, "db": 3.0}, ["w", "x"], (w, x)).surplus
    {'db': 3.0}
    >>> sorted(match_gradients(2 * w, ["x", "w"], (x, w)).given)
    ['w']
    """
    floats = [(name, value) for name, value in zip(names, inputs, strict=True) if float_leaves(value)]
    match = Match()
    if isinstance(result, dict):
        used = match_keys(result, floats, match)
        match.surplus = {key: value for key, value in result.items() if key not in used}
    elif not isinstance(result, (tuple, list)):
        match_some([result], floats, match)
    elif len(inputs) == 1 and isinstance(inputs[0], (tuple, list)) and len(result) == len(inputs[0]):
        add(match, *floats[0], result)
    elif len(result) == 1 and len(floats) == 1:
        add(match, *floats[0], result[0])
    elif skipped := skipped_inputs(result, inputs, floats):
        for (name, value), gradient in zip(floats[skipped:], result, strict=False):
            add(match, name, value, gradient)
        match.surplus = list(result[len(floats) - skipped :])
    elif any(is_array(v) and holds_arrays(g) for v, g in zip(inputs, result, strict=False)):
        match.surplus = list(result)  # lists such as dWs and dbs: the gradients of the weights of all layers
    elif len(result) >= len(inputs):
        for name, value, gradient in zip(names, inputs, result, strict=False):
            if float_leaves(value):
                add(match, name, value, gradient)
        match.surplus = list(result[len(inputs) :])
    else:
        match_some(list(result), floats, match)
    match.missing += [n for n in learned_names(floats) if n not in match.given and is_array(dict(floats)[n])]
    return match


def holds_arrays(gradient: Any) -> bool:
    """Return True for a list or tuple of arrays, which cannot be the gradient of one array."""
    return isinstance(gradient, (list, tuple)) and bool(gradient) and all(map(is_array, gradient))


def learned_names(floats: list[tuple[str, Any]]) -> list[str]:
    """Return the names of the inputs that are usual names of weights, such as ``b`` for a bias.

    For ``loss(a, b)``, return []: next to ``a``, ``b`` is the name of an operand, and not of a bias.

    >>> learned_names([("x", 0), ("b", 0)]), learned_names([("a", 0), ("b", 0)])
    (['b'], [])
    """
    names = [name for name, _ in floats]
    return [] if set(names) <= OPERANDS else [name for name in names if is_learned_name(name)]


def skipped_inputs(result: Any, inputs: tuple, floats: list[tuple[str, Any]]) -> int:
    """Return the number of float inputs that come before the first input with a gradient.

    For example, this number is 1 for ``loss, dW, db, h = f(ids, h0, W, b)``: backward returns no gradient of h0, and h
    is not a gradient, but the new state. If the gradients fit the first inputs, or if several numbers are
    possible, return 0.

    Examples
    --------
    >>> h, w, b = np.ones(4), np.ones((3, 4)), np.ones(2)
    >>> skipped_inputs((w, b, h), (h, w, b), [("h", h), ("w", w), ("b", b)])
    1
    """
    by_position = inputs if len(result) >= len(inputs) else [v for _, v in floats]
    pairs = zip(by_position, result, strict=False)
    if len(result) < len(floats) or all(not float_leaves(v) or fits(v, g) for v, g in pairs):
        return 0
    ways = [
        start
        for start in range(1, len(floats) - 1)
        if all(g is not None and fits(v, g) for (_, v), g in zip(floats[start:], result, strict=False))
    ]
    return ways[0] if len(ways) == 1 else 0


def match_keys(result: dict, floats: list[tuple[str, Any]], match: Match) -> set[Any]:
    """Assign the gradients in the dictionary `result` to inputs by their keys. Return the keys that are assigned."""
    used = set()
    for name, value in floats:
        key = gradient_key(name, result)
        if key is not None:
            used.add(key)
            add(match, name, value, result[key])
        elif isinstance(value, dict):  # `value` is a dictionary of parameters, and `result` a dictionary of gradients
            keys = {inner: gradient_key(str(inner), result) for inner in value}
            used |= {key for key in keys.values() if key is not None}
            for inner, key in keys.items():
                if key is not None or (any(keys.values()) and not is_setting_name(str(inner))):
                    add(match, f"{name}[{inner!r}]", value[inner], None if key is None else result[key])
    return used


def numbers_with_gradients(
    result: Any, names: list[str], inputs: tuple, returned: Callable[[], list[str]]
) -> list[str]:
    """Return the names of those inputs that are Python numbers and have a gradient in `result`.

    For example, the bias ``b`` in deeplearning.ai's ``grads, cost = propagate(w, b, X, Y)`` has a gradient, because
    ``grads`` contains ``db``. An integer must also have the name of a weight, because other integers may be sizes or
    numbers of iterations. `returned` is a function that returns the names in backward's ``return`` statement.

    Examples
    --------
    >>> numbers_with_gradients({"dw": np.ones(2), "db": 3.0}, ["w", "b", "reg"], (np.ones(2), 0.5, 0.1), lambda: [])
    ['b']
    """
    pairs = zip(names, inputs, strict=True)
    numbers = [n for n, v in pairs if type(v) is float or (type(v) is int and is_learned_name(n))]
    if numbers and isinstance(result, tuple):
        known = returned()[-len(result) :]
        result = dict(zip(known, result, strict=True)) if len(known) == len(result) else {}
    if not numbers or not isinstance(result, dict):
        return []
    keys = {n: gradient_key(n, result) for n in numbers}
    return [n for n, k in keys.items() if k is not None and (k != n or is_learned_name(n)) and is_number(result[k])]


def is_number(value: Any) -> bool:
    """Return True for a single float."""
    return is_float(value) and shape_of(value) == ()


def nested_as_inputs(result: Any, inputs: tuple) -> tuple | None:
    """If backward returned all gradients in one tuple that is not nested, return them nested like the inputs.

    Return None if the inputs are not nested, or if the gradients are nested already.

    Examples
    --------
    >>> x, h, c = np.ones((4, 3)), np.ones((4, 5)), np.zeros((4, 5))
    >>> dx, (dh, dc) = nested_as_inputs((x, h, c), (x, (h, c)))
    >>> dc is c, nested_as_inputs((x, (h, c)), (x, (h, c)))
    (True, None)
    """
    floats = [leaf for value in inputs for leaf in float_leaves(value)]
    if len(inputs) < 2 or not isinstance(result, tuple) or len(result) != len(floats) or len(floats) <= len(inputs):
        return None
    if not all(
        is_array(g) and is_array(leaf) and g.shape == leaf.shape for g, leaf in zip(result, floats, strict=True)
    ):
        return None
    gradients = iter(result)
    return tuple(map_leaves(lambda leaf: next(gradients) if is_float(leaf) else None, value) for value in inputs)


def match_some(gradients: list[Any], floats: list[tuple[str, Any]], match: Match) -> None:
    """Assign the gradients to inputs if there are fewer gradients than inputs.

    Compare the shapes first. If several assignments fit, choose the inputs that have the names of weights. If these
    inputs do not fit, avoid inputs that have the names of targets, and prefer the first inputs.
    """
    match.surplus, gradients = gradients[len(floats) :], gradients[: len(floats)]
    count = len(gradients)
    chosen = list(range(count))
    learned = [i for i, (name, _) in enumerate(floats) if name in learned_names(floats)]
    ways = list(combinations(range(len(floats)), count)) if len(floats) <= FEW else [tuple(chosen)]
    fitting = [way for way in ways if all(fits(floats[i][1], g) for i, g in zip(way, gradients, strict=True))]
    if fitting:
        best = min(fitting, key=lambda way: sorted((label_rank(floats[i][0]) for i in way), reverse=True))
        chosen = learned if tuple(learned) in fitting else list(best)
    elif len(learned) == count:
        chosen = learned
    for i, gradient in zip(chosen, gradients, strict=True):
        add(match, *floats[i], gradient)


def label_rank(name: str) -> int:
    """Return 2 if `name` is a usual name of targets or masks, and 0 if it is not.

    Return 1 for ``y``: it is the target in ``loss(y_pred, y)``, but the prediction in ``loss(t, y)``.

    Examples
    --------
    >>> [label_rank(name) for name in ("x", "y", "t", "y_true", "y_pred", "h_t")]
    [0, 1, 2, 2, 0, 0]
    """
    words = set(words_of(name))
    if len(words) > 1:  # in x_t and t_mean, t is not the target
        words -= {"t"}
    if not TARGETS & words or PREDICTED & words:
        return 0
    return 1 if name in ("y", "Y") else 2


def is_of_loss(name: str) -> bool:
    """Return True if the name says that the array contains predictions or targets, the inputs of a loss.

    Examples
    --------
    >>> [is_of_loss(name) for name in ("y_pred", "outputs", "target", "x", "slope")]
    [True, True, True, False, False]
    """
    return bool((TARGETS | PREDICTED) & set(words_of(name)))


def is_target_name(name: str) -> bool:
    """Return True if `name` is a usual name of data, targets or settings, and not of predictions.

    Examples
    --------
    >>> [is_target_name(name) for name in ("y_true", "y", "y_pred", "y_hat", "w")]
    [True, True, False, False, False]
    """
    return is_setting_name(name) and not PREDICTED & set(words_of(name))


def fits(value: Any, gradient: Any) -> bool:
    """Return True if `gradient` is None, has the shape of `value`, or is nested like `value`."""
    if gradient is None:
        return True
    if isinstance(value, dict):
        return isinstance(gradient, dict) and any(gradient_key(k, gradient) is not None for k in value)
    if isinstance(value, (tuple, list)):
        return isinstance(gradient, (tuple, list)) and len(gradient) == len(value)
    return not isinstance(gradient, (tuple, list, dict)) and shape_of(gradient) == shape_of(value)


def shape_of(value: Any) -> tuple[int, ...]:
    """Return the shape of an array on any device, or of a number."""
    return tuple(value.shape) if hasattr(value, "shape") else np.shape(value)


def add(match: Match, name: str, value: Any, gradient: Any) -> None:
    """Record the gradient of one input. If the input is nested, its gradients are nested in the same way."""
    if gradient is None and set(words_of(name)) & TARGETS:  # a target needs no gradient, so None is right
        return
    if isinstance(value, dict) and isinstance(gradient, dict):
        inner = Match()
        match_keys(gradient, list(value.items()), inner)
        for key, part in value.items():
            for leaf_name, leaf in leaves(f"{name}[{key!r}]", part):
                own = str(key) + leaf_name.removeprefix(f"{name}[{key!r}]")
                if is_array(leaf) and is_float(leaf) and (own in inner.given or not is_setting_name(str(key))):
                    match.given[leaf_name] = inner.given.get(own)
        return
    parts = [n for n, leaf in leaves(name, value) if is_array(leaf) and is_float(leaf)]
    nested = isinstance(value, (tuple, list, dict)) and isinstance(gradient, (tuple, list, dict))
    got = [leaf for _, leaf in leaves(name, gradient)] if nested else [gradient] * len(parts)
    for number, leaf_name in enumerate(parts):
        match.given[leaf_name] = got[number] if number < len(got) else None
