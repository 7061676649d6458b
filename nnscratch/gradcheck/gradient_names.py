"""Decide from the names of two arrays if one array is the gradient of the other.

For example, ``self.dW`` is the gradient of ``self.W``, ``self.grads['W']`` of ``self.params['W']``, ``self.fc1.W.grad``
of ``self.fc1.W.data``, and ``self.nabla_w[0]`` of ``self.weights[0]``.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from itertools import product
from typing import Any

from .snapshot import Steps

BEFORE = re.compile(
    r"(?:d[LJEClC](?:oss|ost)?_?d_?|d_?(?:loss|cost|error|out|output)_?d_?|grad(?:ient)?s?_?(?:of_|wrt_)?"
    r"|nabla_?|delta_?|deriv(?:ative)?_?|der_|partial_|d_?|g_?)(?=[A-Za-z_])"
)
AFTER = re.compile(r"(?<=.)(?:_?[gG]rad(?:ient)?s?|_?[dD]elta|_deriv(?:ative)?|_der|_diff|_bar|_g|_d)$")
CURRENT = re.compile(r"_(?:current|curr|cur)$")  # as in grad_W_current; dW_sum may be a sum of squares
GRADIENT_WORDS = frozenset("grad grads gradient gradients g d diff nabla deriv derivs derivative derivatives".split())
CONTAINERS = frozenset("params parameters param data value val values state variables vars layers".split())
SYNONYMS = {"weight": "w", "weights": "w", "ws": "w", "biases": "b", "bias": "b", "bs": "b"}


def gradient_of(name: str) -> list[str]:
    """Return the possible names of an array whose gradient is called `name`.

    Examples
    --------
    >>> [gradient_of(n)[0] for n in ("dW", "dLdW", "nabla_b", "grad_W1", "W_g", "gamma_grad", "dE_dW", "gb")]
    ['W', 'W', 'b', 'W1', 'W', 'gamma', 'W', 'b']
    >>> gradient_of("W")
    []
    """
    found = [name[: last.start()]] if (last := AFTER.search(name)) else []
    if longest := BEFORE.match(name):
        found.append(name[longest.end() :])
    if name[0] in "dg":  # "dout_dense" is the gradient of "out_dense"
        found.append(name[1:].lstrip("_"))
    found += [CURRENT.sub("", n) for n in found]
    return [n for n in dict.fromkeys(found) if n]


def gradient_key(name: str, keys: Iterable[Any]) -> Any:
    """Return the key in `keys` under which a dictionary contains the gradient of the array `name`, or None.

    Examples
    --------
    >>> gradient_key("W1", ["db1", "dW1", "dW2"]), gradient_key("x", ["x", "dx"]), gradient_key("y", ["dx"])
    ('dW1', 'x', None)
    """
    keys = list(keys)
    if name in keys:
        return name
    return next((k for k in keys if isinstance(k, str) and k and name in gradient_of(k)), None)


def keys_of(steps: Steps) -> list[Any]:
    """Return the names and indices that lead from the checked object to an array: ["fc1", "W"] for self.fc1.W."""
    first = 1 if steps[0][0] == "returned" else 2
    keys = [key for kind, key in steps[first:] if key is not None and kind != "method"]
    return [(key.lstrip("_") or key) if isinstance(key, str) else key for key in keys]


def array_words(steps: Steps) -> tuple:
    """Return the names and indices that lead to an array, without names such as ``params``: ("W",) for params["W"]."""
    return tuple(key for key in keys_of(steps) if key not in CONTAINERS)


def gradient_words(steps: Steps) -> set[tuple]:
    """Return the possible names of an array. `steps` is the path to its gradient, such as self.fc1.dW.

    Each name is a tuple of words. If the path does not contain the name of a gradient, return an empty set.

    Examples
    --------
    >>> sorted(gradient_words((("root", 0), ("item", 0), ("attribute", "fc1"), ("attribute", "dW"))))
    [('fc1', 'W')]
    """
    options = []
    for key in keys_of(steps):
        if not isinstance(key, str) or not key:
            options.append([((key,), False)])
            continue
        ways = [((), False)] if key in CONTAINERS else [((key,), False)]
        if key.lower() in GRADIENT_WORDS:
            ways = [((), True)]
        else:
            ways += [(() if n in CONTAINERS else (n,), True) for n in gradient_of(key)]
        options.append(ways)
    if steps[0][0] == "returned":  # everything that backward returns is a gradient
        options.append([((), True)])
    found = set()
    for ways in product(*options):
        if any(marked for _, marked in ways):
            found.add(tuple(word for words, _ in ways for word in words))
    return found


def plain(words: tuple) -> tuple:
    """Return `words` in lower case, with ``w`` for weights and ``b`` for biases."""
    return tuple(SYNONYMS.get(w.lower(), w.lower()) if isinstance(w, str) else w for w in words)


def closeness(array: Steps, gradient: Steps) -> int:
    """Return a score from 0 to 3 that compares the name of a gradient with the name of an array.

    3    the names fit exactly, as ``dW`` fits ``W``
    2    the names fit apart from capitals and synonyms, as ``dW`` fits ``weights``
    1    the names fit, but one of them has additional words in front, as in ``self.grads['W']`` and ``self.fc1.W``
    0    the names do not fit
    """
    a, gs = array_words(array), gradient_words(gradient)
    if not a or not gs:
        return 0
    if a in gs:
        return 3
    short = plain(a)
    plains = {plain(g) for g in gs}
    if short in plains:
        return 2
    return int(any(short[-len(g) :] == g or g[-len(short) :] == short for g in plains))
