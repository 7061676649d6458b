"""Formulas for a wrong gradient that backward may use instead of the true gradient of one array inside forward.

For example, a student of softmax with cross-entropy writes ``dz = p`` and forgets to subtract the targets t: the true
gradient of the scores z is p - t. For each such mistake, this file computes the wrong gradient. used_gradients.py tests
which of these wrong gradients explains the gradients that backward returned.

Let g be the true gradient of an array u inside forward, and let c be a wrong gradient of u. The function
`changed_gradients` yields tuples (rank, mistake, evidence, changes, free):

    evidence    a text in which used_gradients.py replaces "%u" by the name of u
    changes     the arrays c - g, one for each iteration of a loop, if `free` is False
    free        if True, `changes` are arrays t, and the wrong gradient is c = g + k t, with a number k that
                used_gradients.py computes. So c lacks the term -k t: the true gradient g is the sum of c and this term.
                In the evidence, used_gradients.py replaces "%c" by -k, the factor of this term

The functions share two arguments:

    site        a `Site`: the array u and its gradient g, in all iterations of a loop
    known       a list of (values, name, is_constant), one item for each float array of forward. `values` contains the
                array in each iteration, broadcast to the shape of u. `is_constant` is True if the array does not
                depend on a differentiated array
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from itertools import combinations, permutations
from typing import Any

import numpy as np

TARGETS = "target's share missing"
MASK, WRONG = "another mask applied", "upstream gradient wrong"
MIN_MASKED = 6  # a gradient with fewer than MIN_MASKED elements is not tested for a mask
MAX_ARRAYS = 16  # only pairs of the first MAX_ARRAYS arrays of forward are tested
Change = tuple[float, str, str, list[np.ndarray], bool]
Known = list[tuple[list[np.ndarray], str, bool]]


def changed_gradients(site: Any, known: Known, labels: list[tuple[str, np.ndarray]]) -> Iterator[Change]:
    """Yield (rank, mistake, evidence, changes, free) for each wrong gradient that backward may use for one array.

    The docstring of the module explains the tuples, `site` and `known`. `labels` are the names and values of integer
    arrays that may be class labels.
    """
    gs = site.gradients
    yield from without_targets(site, known, labels)
    if len({g.shape for g in gs}) == 1:
        for rank, mistake, text, f in formulas(gs[0]):
            if mistake == MASK and not is_partly_zero([f(g) for g in gs]):
                continue
            yield rank, mistake, text, [f(g) - g for g in gs], False
    known = [found for found in known if any(np.ptp(v) > 1e-9 for v in found[0])]
    yield from with_factors(site, known)
    yield from with_other_arrays(site, known)


def is_partly_zero(masked: list[np.ndarray]) -> bool:
    """Return True if `masked`, a gradient after a mask, has at least MIN_MASKED elements, and one of them is not 0.

    A mask sets only some elements to 0. If all elements are 0, the mistake is not a mask, but a missing gradient.
    """
    return sum(g.size for g in masked) >= MIN_MASKED and any(g.any() for g in masked)


Formula = tuple[float, str, str, Callable]  # rank, mistake, evidence, function of the true gradient g
GRADIENT = "the gradient of %u"


def formulas(g: np.ndarray) -> Iterator[Formula]:
    """Yield a `Formula` for each wrong gradient that can be computed from the true gradient g alone, such as |g|."""
    yield 2.3, MASK, f"{GRADIENT} is set to 0 where it is negative", lambda g: np.maximum(g, 0)
    yield 2.3, MASK, f"{GRADIENT} is set to 0 where it is positive", lambda g: np.minimum(g, 0)
    yield 2.4, "upstream gradient missing", f"{GRADIENT} is taken as 1 everywhere", np.ones_like
    for f, words in ((np.abs, "its absolute value"), (np.sign, "its sign"), (np.square, "its square")):
        yield 2.4, WRONG, f"{GRADIENT} is replaced by {words}", f
    for axis, n in enumerate(g.shape):
        if n > 1:
            yield from one_index_formulas(g, axis)
            yield from whole_axis_formulas(g, axis)
    yield from transposed_formulas(g)


def one_index_formulas(g: np.ndarray, axis: int) -> Iterator[Formula]:
    """Yield a `Formula` for each wrong gradient in which one index of an axis is special.

    For example, three formulas for axis 0 are: the gradient of sample 0, with 0 for all other samples; the gradient
    with 0 for sample 0; and the gradient of sample 0, repeated for all samples.
    """
    n = g.shape[axis]
    for k in {*range(min(n, 8)), n - 1}:
        index = f"{'sample' if axis == 0 or g.ndim == 2 else 'index'} {k} along axis {axis}"
        yield 2.5, "one sample counted", f"{GRADIENT} contains only {index}", lambda g, a=axis, k=k: only(g, a, k)
        evidence = f"{GRADIENT} does not contain {index}"
        yield 2.55, "one sample not counted", evidence, lambda g, a=axis, k=k: g - only(g, a, k)
        evidence = f"{GRADIENT} at {index} is used everywhere"
        yield 2.6, WRONG, evidence, lambda g, a=axis, k=k: np.broadcast_to(np.take(g, [k], a), g.shape)


def whole_axis_formulas(g: np.ndarray, axis: int) -> Iterator[Formula]:
    """Yield a `Formula` for the true gradient g, summed, averaged, reversed or shifted along an axis."""
    for f, words in ((np.sum, "sum"), (np.mean, "mean")):
        evidence = f"the {words} of {GRADIENT} along axis {axis} is used everywhere"
        yield 2.6, WRONG, evidence, lambda g, a=axis, f=f: np.broadcast_to(f(g, axis=a, keepdims=True), g.shape)
    yield 2.5, "axes reversed", f"{GRADIENT} is reversed along axis {axis}", lambda g, a=axis: np.flip(g, a)
    for step in (1, -1) if g.shape[axis] > 2 else ():
        evidence = f"{GRADIENT} is shifted by {step} along axis {axis}"
        yield 2.5, "shifted by one", evidence, lambda g, a=axis, s=step: np.roll(g, s, a)
        evidence = f"{evidence}, with zeros at one end"
        yield 2.5, "shifted by one", evidence, lambda g, a=axis, s=step: shifted_with_zeros(g, s, a)


def transposed_formulas(g: np.ndarray) -> Iterator[Formula]:
    """Yield a `Formula` for the true gradient g, transposed by mistake, or reshaped instead of transposed."""
    for order in permutations(range(g.ndim)) if 2 <= g.ndim <= 4 else ():
        if order == tuple(range(g.ndim)):
            continue
        if tuple(g.shape[a] for a in order) == g.shape:
            evidence = f"the axes of {GRADIENT} are exchanged: transpose{order}"
            yield 2.5, "transposed", evidence, lambda g, o=order: g.transpose(o)
        evidence = f"{GRADIENT} is reshaped where transpose{order} is needed"
        yield 2.6, "reshaped instead of transposed", evidence, lambda g, o=order: reshaped(g, o)


def only(g: np.ndarray, axis: int, k: int) -> np.ndarray:
    """Return a copy of `g` in which only the elements at the index `k` along an axis are kept, and all others are 0."""
    found = np.zeros_like(g)
    at = (slice(None),) * axis + (k,)
    if k < g.shape[axis]:
        found[at] = g[at]
    return found


def shifted_with_zeros(g: np.ndarray, step: int, axis: int) -> np.ndarray:
    """Return `g` shifted along an axis, with zeros at the empty positions. For example, [1, 2, 3] becomes [0, 1, 2]."""
    return np.roll(g, step, axis) - only(np.roll(g, step, axis), axis, 0 if step == 1 else g.shape[axis] - 1)


def reshaped(g: np.ndarray, order: tuple[int, ...]) -> np.ndarray:
    """Return the transpose of `g`, reshaped to the shape of `g`.

    This is the gradient from a backward that reshapes an array where it must transpose the array.
    """
    return g.transpose(order).reshape(g.shape)


def without_targets(site: Any, known: Known, labels: list[tuple[str, np.ndarray]]) -> Iterator[Change]:
    """Yield (rank, mistake, evidence, changes, free) for a backward that leaves out the targets of a loss.

    For example, the true gradient is y - t with the targets t, and backward uses y. The missing term may be a multiple
    of any constant array, or of the one-hot vectors of labels.
    """
    for values, name, constant in known:
        if constant and any(np.ptp(v) > 0 for v in values):
            yield 1.1, TARGETS, f"the gradient of %u lacks the part that comes from {name}: %c * {name}", values, True
    for name, ids in labels:
        g = site.gradients[0]
        if g.ndim == 2 and len(site.gradients) == 1:
            for hot, flip in ((one_hot(ids, *g.shape), False), (one_hot(ids, *g.shape[::-1]), True)):
                if hot is not None:
                    words = f"lacks the term of the labels in {name}: %c at the class of each sample"
                    yield 1.1, TARGETS, f"the gradient of %u {words}", [hot.T if flip else hot], True


def one_hot(ids: np.ndarray, n: int, classes: int) -> np.ndarray | None:
    """Return the one-hot rows of the labels `ids`, or None if there are not `n` labels or a label is >= `classes`."""
    if len(ids) != n or ids.max() >= classes:
        return None
    found = np.zeros((n, classes))
    found[np.arange(n), ids] = 1
    return found


def with_factors(site: Any, known: Known) -> Iterator[Change]:
    """Yield (rank, mistake, evidence, changes, free) for a backward that multiplies or divides by an array of forward.

    The wrong gradient is the true gradient, multiplied or divided by an array v of forward. The factor may also be the
    derivative of an activation function, such as 1 - v^2.
    """
    gs = site.gradients
    for values, name, _ in known:
        inside = all((v > 0).all() and (v < 1).all() for v in values)
        slopes = [(lambda v: v * (1 - v), f"`{name}` (1 - `{name}`)")] if inside else []
        if all((np.abs(v) < 1).all() for v in values):
            slopes.append((lambda v: 1 - v**2, f"(1 - `{name}`^2)"))
        for f, text in slopes:
            twice = [g * f(v) - g for g, v in zip(gs, values, strict=True)]
            words = f"the gradient of %u has the extra factor {text}"
            yield 2.2, "activation's derivative applied twice", words, twice, False
            missing = [g / f(v) - g for g, v in zip(gs, values, strict=True)]
            words = f"the gradient of %u lacks the factor {text}"
            yield 2.25, "activation's derivative missing", words, missing, False
        twice = [g * v - g for g, v in zip(gs, values, strict=True)]
        yield 2.7, "a factor applied twice", f"the gradient of %u has the extra factor `{name}`", twice, False
        if all((np.abs(v) > 1e-9).all() for v in values):
            missing = [g / v - g for g, v in zip(gs, values, strict=True)]
            yield 2.65, "a factor missing", f"the gradient of %u lacks the factor `{name}`", missing, False


def with_other_arrays(site: Any, known: Known) -> Iterator[Change]:
    """Yield (rank, mistake, evidence, changes, free) for wrong gradients that contain a wrong array of forward.

    For example, the true gradient is g x, and backward computes g y. Or the true gradient is p - t, and backward
    computes x - t.
    """
    gs = site.gradients
    used = known[:MAX_ARRAYS]
    for (a, name, _), (b, other, _) in permutations(used, 2):
        if all((np.abs(v) > 1e-9).all() for v in a):
            replaced = [g / x * y - g for g, x, y in zip(gs, a, b, strict=True)]
            words = f"the gradient of %u has the factor `{other}` instead of `{name}`"
            yield 2.8, "the wrong array used", words, replaced, False
    for (a, name, _), (b, other, _) in combinations(used, 2):
        words = exchanged_terms(name, other, site.readers)
        yield 2.85, "the wrong array used", words, [x - y for x, y in zip(a, b, strict=True)], True


def exchanged_terms(name: str, other: str, readers: list[str]) -> str:
    """Return a text for the report: the gradient of an array u contains one of two arrays, but needs the other one.

    The two arrays are called `name` and `other`. `readers` are the expressions of forward that read u. If only one of
    `name` and `other` occurs in these expressions, the gradient needs this array. If both occur, and one name contains
    the other name, as `exp(h)` contains `h`, the gradient needs `exp(h)`. In all other cases, the text names both
    possibilities.
    """
    needed = sorted((n for n in (name, other) if any(contains(text, n) for text in readers)), key=len)
    if not needed or len(needed) == 2 and not contains(needed[1], needed[0]):
        return f"the gradient of %u contains `{name}` where it needs `{other}`, or `{other}` where it needs `{name}`"
    used = name if needed[-1] == other else other
    return f"the gradient of %u contains `{used}` where it needs `{needed[-1]}`"


def contains(expression: str, name: str) -> bool:
    """Return True if the source of an expression contains a name or another expression."""
    return re.search(rf"(?<![\w.]){re.escape(name)}(?![\w.])", expression) is not None
