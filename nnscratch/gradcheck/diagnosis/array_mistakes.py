"""Find mistakes that change the true gradient in a simple way, such as -true or 2 * true.

In this folder, `given` is the gradient that backward returned, and `true` is the gradient from finite differences. The
given gradient may be

    -true    c * true    true.T    zero    true + lambda * parameter    the gradient of another array
    the true gradient, reversed or shifted along an axis
    the true gradient, summed over too few or too many axes
    the true gradient, except in some blocks of rows

For example, forward takes a mean over N examples, and a student writes ``dW = x.T @ dy`` without ``/ N``. Then
given = N * true. Or a student returns ``db = -dy.sum(axis=0)``. Then given = -true.

Most tests undo the mistake in the given gradient, and compare the result with the true gradient. Therefore they also
work if only some elements of the true gradient are known. In directional mode, no element is known, but derivatives
along some directions are. Then the tests compare these derivatives: see directional_case.py.
"""

from __future__ import annotations

from itertools import permutations
from typing import Any

import numpy as np

from ..gradient_names import gradient_of
from ..learned_names import is_setting_name
from ..nested import is_array, map_leaves, to_numpy
from .case import MAX_MISFIT, Case
from .reordered_axes import axes_in_words, axis_sets, reordered_axes

ROUNDING = 1e-12  # backward's gradient counts as zero if it is smaller than ROUNDING times the true gradient


def array_mistakes(
    case: Case, cases: dict[str, Case], others: dict[str, np.ndarray], directional: dict[str, Case]
) -> None:
    """Compare the gradient from backward with the true gradient, and add the mistakes that explain it to `case`.

    Parameters
    ----------
    case : Case
    cases : dict of str to Case
        All wrong arrays.
    others : dict of str to ndarray
        The true gradients that are known in all elements. The key is the name of the array.
    directional : dict of str to DirectionalCase
        The arrays whose true gradient is known only along directions.
    """
    wrong_shape(case)
    exchanged(case, cases, others, directional)
    if not case.same_shape:
        return
    given, true = case.observed
    if np.abs(case.given).max(initial=0) < ROUNDING * np.abs(true).max(initial=0):
        rounded = ", except for rounding errors, because its terms cancel. The" if np.any(case.given) else "; the"
        evidence = f"backward gives zero everywhere{rounded} finite differences are not zero"
        case.add(0.5, "gradient never computed", evidence)
        return
    float32_noise(case)
    if not case.usable:
        return
    reordered_axes(case)
    summed_too_far(case)
    c = constant_factor(given, true, case.tolerance)
    if c is not None:
        scaled_by_constant(case, c)
    else:
        wrong_blocks(case)
        weight_decay(case)


def constant_factor(given: np.ndarray, true: np.ndarray, tolerance: Any = None) -> float | None:
    """Return c if given = c * true up to `tolerance`, else None.

    The default of `tolerance` is 1e-4 times the largest element of `given`.
    """
    size = float(true @ true)
    if size == 0 or true.size < 1:
        return None
    c = float(given @ true) / size
    tolerance = MAX_MISFIT * max(np.abs(given).max(), 1e-300) if tolerance is None else tolerance
    if (np.abs(given - c * true) > tolerance).any() or abs(c - 1) < 1e-7:
        return None
    return c


def scaled_by_constant(case: Case, c: float) -> None:
    """Add this mistake to `case`: backward's gradient is `c` times the true gradient.

    The evidence says where the factor `c` may come from.
    """
    n = case.true.size
    fits = f"given = {c:.6g} * true {case.extent}"
    if abs(c + 1) < 1e-4:
        case.add(1, "sign flipped", fits)
        return
    name = explain_constant(case, c)
    if n == 1 and not name:
        return  # a single number is always a multiple of another number
    case.add(6 if n > 1 else 9, "scaled by a constant", f"{fits}{f'; {name}' if name else ''}")
    if abs(c - round(c)) < 1e-4 and 2 <= round(c) <= 3:
        rank = 6.5 if round(c) == 2 else 9.5  # 3 has a larger rank than 2, because 3 is often the size of an array
        case.add(rank, "counted twice", f"{fits}: every contribution is added {round(c)} times")


def explain_constant(case: Case, c: float) -> str:
    """Return a text for the report that says where the factor `c` of a wrong gradient may come from.

    `c` may be an attribute of the layer, 2, 1/2, a size of an input, 1 / size, or a learning rate.
    """
    sizes: dict[tuple[str, int], str] = {}  # for example ("N", 8): "the length of axis 0 of x"
    adapter = case.projection.adapter
    for name, value in zip(adapter.input_names, adapter.inputs, strict=True):
        if is_array(value):
            labels = ("N", "T", "D") if value.ndim == 3 else ("N", "D", "H", "W")
            for axis, length in enumerate(value.shape):
                letter = labels[axis] if axis < len(labels) else "L"
                sizes.setdefault((letter, length), f"the length of axis {axis} of {name}")
            sizes.setdefault(("n", value.size), f"the number of elements of {name}")

    def is_near(value: float) -> bool:
        return abs(abs(c) - value) < 1e-4 * value

    if is_near(1):
        return ""
    names = []
    for name, number in numbers_of(adapter.source).items():
        if number and (is_near(abs(number)) or is_near(1 / abs(number))):
            names.append(f"this may be the factor {name} = {number:.4g}, or 1 / {name}")
    if is_near(2):
        names.append("backward has an extra factor 2, or lacks a factor 1/2")
    if is_near(1 / 2):
        names.append("backward has an extra factor 1/2, or lacks a factor 2")
    large = [key for key in sizes if is_near(key[1])]
    small = [key for key in sizes if key[1] and is_near(1 / key[1])]
    if large or small:
        (letter, size), *others = large or small
        factor = f"{letter}, or lacks a factor 1/{letter}" if large else f"1/{letter}"
        also = f"; {size} is also {sizes[others[0]]}" if others and not names else ""
        names.append(f"backward has an extra factor {factor}, where {letter} = {size} is {sizes[letter, size]}{also}")
    for rate in (0.3, 0.1, 0.03, 0.01, 0.003, 0.001, 1e-4):
        if is_near(rate):
            names.append(f"{rate} may be a learning rate")
    return "; or ".join(names[:2])


def numbers_of(source: Any) -> dict[str, float]:
    """Return {name: value} for the attributes that are numbers, such as ``self.momentum``.

    `source` is an object, or a list of objects.
    """
    objects = source if isinstance(source, (list, tuple)) else [source]
    attributes = [item for o in objects for item in getattr(o, "__dict__", {}).items()]
    return {f"self.{k}": float(v) for k, v in attributes if isinstance(v, (int, float)) and not isinstance(v, bool)}


def float32_noise(case: Case) -> None:
    """Test whether backward's gradient differs from the true gradient only because backward computes in float32."""
    misfit = case.rounding_error()
    if not 0 < misfit < (3e-5 if case.by_element else 2e-6):
        return
    if np.all(case.given.astype(np.float32).astype(np.float64) == case.given):
        what = "every value of the given gradient is a float32 number"
    elif is_computed_in_float32(case):
        what = "for 3 dy, backward does not return exactly 3 times the gradient, so it computes in float32"
    else:
        return  # backward computes in float64, with a small mistake, such as an epsilon that only forward uses
    evidence = f"the given gradient differs from the true gradient by at most {misfit:.0e} of its size; {what}"
    case.add(0.8, "right but for float32 noise", evidence)


def is_computed_in_float32(case: Case) -> bool:
    """Return True if backward seems to compute in float32: its rounding errors are too large for float64.

    R are the weights of the outputs. Compare the gradient for dy = 3 R with the gradient for dy = R. Code in float64
    returns three times the gradient, with a relative error of about 1e-16. For code in float32, this error is about
    1e-7.
    """
    weights = map_leaves(lambda w: None if w is None else 3 * w, case.projection.weights)
    again = case.projection.analytic(weights).get(case.name)
    if again is None or again.shape != case.given.shape:
        return False
    return 1e-10 < float(np.abs(again / 3 - case.given).max()) / case.scale < 1e-5


def summed_too_far(case: Case) -> None:
    """Test whether every element of backward's gradient is the sum of the true gradient over some axes.

    For example, a student writes ``db += dy.sum()`` where ``db += dy.sum(axis=0)`` is right. The shape of db does not
    show this mistake, because NumPy adds the number to every element of db.
    """
    if not np.isfinite(case.true).all():
        return
    for where in axis_sets(case.true.ndim):
        summed = np.broadcast_to(case.true.sum(axis=where, keepdims=True), case.shape)
        if constant_factor(summed.ravel(), case.true.ravel()) is not None:
            continue  # the sum is a multiple of the true gradient: `scaled_by_constant` describes this mistake
        words = f"every element is the sum of the true gradient over {axes_in_words(where)}; "
        words += f"backward must not sum over {'this axis' if len(where) == 1 else 'these axes'}"
        case.test(3.2, summed, "summed over the wrong axis", words)


def wrong_shape(case: Case) -> None:
    """Test a gradient of the wrong shape: backward may lack a transpose, a reshape, or a sum over an axis."""
    given, shape, size = case.given, case.shape, case.true.size
    if given.shape == shape:
        return
    if given.shape == shape[::-1]:
        case.test_undone(given.T, 0.6, "transposed", "given.T = true")
    if given.size == size:
        only_ones = [n for n in given.shape if n > 1] == [n for n in shape if n > 1]
        rank = 0.5 if only_ones and given.shape != shape[::-1] else 0.7
        if case.test_undone(given.reshape(shape), rank, "reshape missing", "given.reshape(shape) = true"):
            if only_ones:
                return  # the shapes differ only in axes of length 1, so no sum over an axis is missing
    for where in axis_sets(given.ndim):
        summed = given.sum(axis=where)
        if summed.size == size:
            axes = where[0] if len(where) == 1 else where
            name, summed = sum_name(case, given, where), summed.reshape(shape)
            case.test_undone(summed, 0.6 + 0.01 * len(where), name, f"given.sum(axis={axes}) = true")
            mean = summed / np.prod([given.shape[a] for a in where])
            case.test_undone(mean, 0.9, name, f"given.mean(axis={axes}) = true")


def sum_name(case: Case, given: np.ndarray, where: tuple[int, ...]) -> str:
    """Return the name of this mistake: backward does not sum its gradient `given` over the axes `where`.

    If `where` contains the batch axis, the name is "sum over the batch missing". Otherwise, it is "broadcast axis not
    summed". Axis 0 counts as the batch axis if it is as long as axis 0 of an input.
    """
    batch = {v.shape[0] for v in case.projection.adapter.inputs if is_array(v) and v.ndim > 0}
    if where[0] == 0 and given.shape[0] in batch:
        return "sum over the batch missing"
    return "broadcast axis not summed"


def exchanged(case: Case, cases: dict[str, Case], others: dict[str, np.ndarray], directional: dict[str, Case]) -> None:
    """Test whether backward returned, for the array of `case`, the gradient of another array.

    `cases`, `others` and `directional` are as in `array_mistakes`.
    """
    given = case.given
    if not np.any(given):
        return
    found = [name for name, other in directional.items() if other.misfit_of_true(given) < other.max_misfit]
    for name, other in others.items():
        if other.shape == given.shape and np.abs(other - given).max() < case.max_misfit * np.abs(given).max():
            found.append(name)
    for name in found:
        evidence = f"backward returns the gradient of {name} as the gradient of {case.name}"
        if name in cases and case.misfit_of_true(cases[name].given) < case.max_misfit:
            evidence += ", and vice versa"
            returned = case.projection.adapter.returned_names()
            if {case.name, name} <= {n for r in returned if r for n in gradient_of(r)}:
                evidence += f"; its return statement has the order {', '.join(returned)}"
            case.add(0.7, "two gradients exchanged", evidence)
        else:
            case.add(0.75, "the wrong array used", evidence)


def wrong_blocks(case: Case) -> None:
    """Split the gradient into 3 or 4 equal blocks along an axis, and test whether only some blocks are wrong.

    For example, the rows of an LSTM's weight are four blocks, one for each gate, and backward forgets a minus sign in
    the block of one gate.
    """
    shape = case.shape
    for count in (4, 3):
        names = gate_names(case, count)
        if names is None:
            continue
        for axis, length in enumerate(shape):
            if length % count or length < 2 * count:
                continue
            size = length // count
            observed = case.block_values(axis, count)
            if observed is None:
                continue
            g, t, tolerance = observed
            bad = [k for k in range(count) if (np.abs(g[k] - t[k]) > tolerance).any()]
            line = "elements" if len(shape) == 1 else {0: "rows", len(shape) - 1: "columns"}.get(axis, "elements")
            where = " and ".join(f"{k * size}:{(k + 1) * size}" for k in bad)
            place = f"{line} {where} of {case.name}, {' and '.join(names[k] for k in bad)}"
            for order in other_orders(count) if bad else ():
                parts = np.split(case.given, count, axis)
                undone = np.concatenate([parts[order.index(k)] for k in range(count)], axis)
                if case.misfit_of_true(undone) < case.max_misfit:
                    case.add(*wrong_order(order, "in given"), place)
            if len(bad) == 1:
                c = constant_factor(g[bad[0]], t[bad[0]])
                what = (
                    "the wrong block is 0"
                    if not np.any(g[bad[0]])
                    else f"in this block, given = {c:.4g} * true"
                    if c is not None
                    else "the wrong block is not a multiple of its true values"
                )
                if c is not None and abs(c + 1) < 1e-4:
                    case.add(1.8, "sign flipped", f"{what}; the other blocks are right", place)
                case.add(5.5, "a gate's block wrong", f"the other {count - 1} blocks are right; {what}", place)
            elif bad and len(bad) < count:
                case.add(7, "a gate's block wrong", f"{count - len(bad)} of {count} blocks are right", place)


def other_orders(count: int) -> list[tuple[int, ...]]:
    """Return all orders of `count` blocks except the right order, which is (0, 1, ..., count - 1)."""
    return list(permutations(range(count)))[1:]


def wrong_order(order: tuple[int, ...], where: str) -> tuple[float, str, str]:
    """Return (rank, mistake, evidence) for blocks in a wrong order, in which block ``order[k]`` is at position k.

    `where` is the beginning of the evidence, such as "in given".
    """
    moved = [k for k, block in enumerate(order) if block != k]
    if len(moved) == 2:
        return 1.5, "two gates swapped", f"{where}, blocks {moved[0] + 1} and {moved[1] + 1} are exchanged"
    found, right = (", ".join(str(k + 1) for k in blocks) for blocks in (order, sorted(order)))
    return 1.55, "gates in the wrong order", f"{where}, the blocks are in the order {found} instead of {right}"


def gate_names(case: Case, count: int) -> list[str] | None:
    """Return a name for each of the `count` blocks of a gradient, such as "the forget gate", or None.

    None means that the blocks cannot be gates, because no array or output has an axis as long as a block. If the array
    has one of PyTorch's names, such as weight_ih, four blocks are the gates of an LSTM in PyTorch's order. Three blocks
    may be the gates of a GRU, but this is not certain. So each name contains the number of the block and the name of a
    GRU's gate.
    """
    shape = case.true.shape
    blocks_of = {n // count for n in shape if n % count == 0 and n >= 2 * count}
    observed: set[int] = set()
    for array in case.projection.variables.values():
        observed |= set(array.shape)
    for y in case.projection.outputs:
        if is_array(y):
            observed |= set(y.shape)
    if not blocks_of & observed:
        return None
    if case.name.rpartition(".")[2].startswith(("weight_ih", "weight_hh", "bias_ih", "bias_hh")):
        if count == 4:
            return [f"the {n} gate" for n in ("input", "forget", "cell", "output")]
        gru = ("reset", "update", "new")  # a layer with three gates need not be a GRU
        return [f"block {k} of 3 (in a GRU, the {n} gate)" for k, n in enumerate(gru, 1)]
    return [f"block {k + 1} of {count}" for k in range(count)]


def weight_decay(case: Case) -> None:
    """Test whether backward's gradient is the true gradient + lambda * parameter, with a positive or negative lambda.

    Such a gradient shows that only backward includes the weight decay (lambda > 0), or only forward (lambda < 0).
    """
    given, true = case.observed
    value = case.observe(to_numpy(case.projection.variables[case.name]))
    if given.size < 3 or is_setting_name(case.name):  # a setting, a statistic or a target has no weight decay
        return
    difference = given - true
    c = constant_factor(difference, value)
    if c is not None or np.abs(difference - value).max() < MAX_MISFIT * np.abs(difference).max():
        c = 1.0 if c is None else c
        extent = "in every element" if case.by_element else case.extent
        evidence = f"given = true {'-' if c < 0 else '+'} {abs(c):.4g} * {case.name}, {extent}"
        case.add(2.2, "weight decay's share wrong", evidence)
