"""Mistakes that can be seen from the two arrays alone: a sign, a factor, an axis, a block of rows.

given = -true, c * true, true^T, true reversed or shifted along an axis, zero, the gradient of another array,
true summed over too few axes, wrong in some blocks of rows only, true + lambda * parameter
"""

from __future__ import annotations

from itertools import combinations

import numpy as np

from ... import backend
from ..tree import is_array
from .evidence import GOOD, Case


def algebra(case: Case, others: dict[str, np.ndarray]) -> None:
    """Test all of them; `others` holds the true gradients of the other arrays."""
    shapes(case)
    exchanged(case, others)
    if not case.same_shape:
        return
    given, true = case.given, case.true
    known = np.isfinite(true)
    if not np.any(given) and np.any(np.abs(true[known]) > 0):
        case.add(0.5, "gradient never computed", "backward gives zero everywhere; differences do not")
        return
    noise(case)
    axes(case)
    c = factor(given[known], true[known])
    if c is not None:
        scaled(case, c)
    else:
        blocks(case)
        decay(case)


def factor(given: np.ndarray, true: np.ndarray) -> float | None:
    """c with given = c * true, if there is one."""
    size = float(true @ true)
    if size == 0 or true.size < 1:
        return None
    c = float(given @ true) / size
    left = np.abs(given - c * true).max()
    if left > GOOD * max(np.abs(given).max(), 1e-300) or abs(c - 1) < 1e-7:
        return None
    return c


def scaled(case: Case, c: float) -> None:
    """given = c * true: the sign, or a constant with a name."""
    n = case.true.size
    fits = f"given = {c:.6g} * true in all {n} element(s)"
    if abs(c + 1) < 1e-4:
        case.add(1, "sign flipped", fits)
        return
    name = constant(case, c)
    if n == 1 and not name:
        return  # any number is a multiple of any other
    case.add(6 if n > 1 else 9, "scaled by a constant", f"{fits}{f'; {name}' if name else ''}")
    if abs(c - round(c)) < 1e-4 and 2 <= round(c) <= 3:
        case.add(6.5, "counted twice", f"{fits}: every contribution is there {round(c)} times")


def constant(case: Case, c: float) -> str:
    """What c may be, from the sizes at hand."""
    sizes: dict[str, float] = {}
    target = case.objective.target
    for name, value in zip(target.input_names, target.inputs, strict=True):
        if is_array(value):
            labels = ("N", "T", "D") if value.ndim == 3 else ("N", "D", "H", "W")
            for axis, length in enumerate(value.shape):
                label = labels[axis] if axis < len(labels) else f"axis {axis}"
                sizes.setdefault(f"{label} = {length}, axis {axis} of {name}", length)
            sizes.setdefault(f"the {value.size} elements of {name}", value.size)
    names = [f"1/2 or 2: c = {c:.4g}"] if abs(abs(c) - 2) < 1e-4 or abs(abs(c) - 0.5) < 1e-4 else []
    for label, size in sizes.items():
        if size > 1 and abs(abs(c) - size) < 1e-4 * size:
            names.append(f"{label}: not divided by it, or multiplied by it")
        elif size > 1 and abs(abs(c) * size - 1) < 1e-4:
            names.append(f"1/({label}): divided by it once too often")
    for rate in (0.3, 0.1, 0.03, 0.01, 0.003, 0.001, 1e-4):
        if abs(abs(c) - rate) < 1e-4 * rate:
            names.append(f"{rate}: a learning rate?")
    return "; ".join(dict.fromkeys(names[:2]))


def noise(case: Case) -> None:
    """Right, but computed in float32 somewhere."""
    known = np.isfinite(case.true)
    misfit = case.misfit(case.true)
    if misfit < 3e-5:
        given = case.given[known]
        rounded = bool(np.all(given.astype(np.float32).astype(np.float64) == given))
        what = "every value is a float32" if rounded else "about float32's rounding"
        case.add(0.8, "right but for float32 noise", f"largest difference {misfit:.0e} of the gradient, {what}")


def axes(case: Case) -> None:
    """Transposed, reversed, shifted, reordered."""
    true = case.true
    if not np.isfinite(true).all():
        return
    if true.ndim >= 2 and true.shape[-1] == true.shape[-2]:
        case.test(2, np.swapaxes(true, -1, -2), "transposed", "given = true with its last two axes exchanged")
    if true.ndim == 2 and true.shape[0] != true.shape[1]:
        case.test(2.5, true.T.reshape(true.shape), "reshaped instead of transposed", "given = true.T.reshape(shape)")
        case.test(2.5, true.reshape(true.shape[::-1]).T, "reshaped instead of transposed", "given.T = true.reshape")
    if true.ndim > 2:
        rows = true.reshape(true.shape[0], -1)
        words = "given = the rows of true as columns, reshaped: .T is missing before .reshape"
        case.test(2.5, rows.T.reshape(true.shape), "reshaped instead of transposed", words)
    for count in (1, 2):
        for where in combinations(range(true.ndim), count):
            if all(true.shape[axis] > 1 for axis in where):
                case.test(3, np.flip(true, where), "axes reversed", f"given = true reversed along axes {list(where)}")
    for axis in range(true.ndim):
        if true.shape[axis] > 2:
            for step in (1, -1):
                rolled = np.roll(true, step, axis)
                case.test(3, rolled, "shifted by one", f"given = true shifted by {step} along axis {axis}")
                edge = rolled.copy()
                edge[(slice(None),) * axis + (0 if step == 1 else -1,)] = 0
                case.test(
                    3, edge, "shifted by one", f"given = true shifted by {step} along axis {axis}, zero at the end"
                )
                inside = (slice(None),) * axis + (slice(1, None) if step == 1 else slice(None, -1),)
                if edge[inside].size >= 4 and np.abs(edge - case.given)[inside].max() <= GOOD * case.scale:
                    words = f"given = true shifted by {step} along axis {axis}, but for the end"
                    case.add(3.05, "shifted by one", words)


def shapes(case: Case) -> None:
    """A gradient of another shape: transposed, or an axis that forward broadcast and backward did not sum."""
    given, true = case.given, case.true
    if given.shape == true.shape or not np.isfinite(true).any():
        return
    if given.shape == true.shape[::-1]:
        case.test_other(given.T, 0.6, "transposed", "given.T = true")
    if given.size == true.size:
        case.test_other(given.reshape(true.shape), 0.7, "reshape missing", "given.reshape(shape) = true")
    for count in range(1, given.ndim + 1):
        for where in combinations(range(given.ndim), count):
            summed = given.sum(axis=where)
            if summed.size == true.size:
                case.test_other(
                    summed.reshape(true.shape),
                    0.6 + 0.01 * count,
                    sum_name(case, given, where),
                    f"given.sum(axis={where[0] if count == 1 else where}) = true",
                )
                case.test_other(
                    summed.reshape(true.shape) / np.prod([given.shape[a] for a in where]),
                    0.9,
                    sum_name(case, given, where),
                    f"given.mean(axis={where}) = true",
                )


def sum_name(case: Case, given: np.ndarray, where: tuple[int, ...]) -> str:
    """Which sum is missing: over the batch (axis 0 of the inputs), or over a broadcast axis."""
    batch = {v.shape[0] for v in case.objective.target.inputs if is_array(v) and v.ndim > 0}
    if where[0] == 0 and given.shape[0] in batch:
        return "sum over the batch missing"
    return "broadcast axis not summed"


def exchanged(case: Case, others: dict[str, np.ndarray]) -> None:
    """The gradient of one array given as another's."""
    for name, other in others.items():
        if name != case.name and other.shape == case.given.shape and np.isfinite(other).all() and np.any(other):
            size = max(np.abs(other).max(), np.abs(case.given).max())
            if np.abs(other - case.given).max() <= GOOD * size and case.misfit(case.true) > GOOD:
                case.add(0.7, "two gradients exchanged", f"what is given for {case.name} is the gradient of {name}")


def blocks(case: Case) -> None:
    """Wrong in some of 3 or 4 equal blocks along an axis: the gates of a recurrent layer."""
    given, true = case.given, case.true
    if not np.isfinite(true).all() or true.ndim == 0:
        return
    for count in (4, 3):
        names = gate_names(case, count)
        if names is None:
            continue
        for axis in range(true.ndim):
            length = true.shape[axis]
            if length % count or length < 2 * count:
                continue
            size = length // count
            g, t = (np.split(a, count, axis) for a in (given, true))
            bad = [k for k in range(count) if np.abs(g[k] - t[k]).max() > GOOD * case.scale]
            if not bad or len(bad) == count:
                continue
            line = "elements" if true.ndim == 1 else {0: "rows", true.ndim - 1: "columns"}.get(axis, "elements")
            where = " and ".join(f"{k * size}:{(k + 1) * size}" for k in bad)
            place = f"{line} {where} of {case.name}, {', '.join(names[k] for k in bad)}"
            if len(bad) == 2:
                i, j = bad
                if max(np.abs(g[i] - t[j]).max(), np.abs(g[j] - t[i]).max()) <= GOOD * case.scale:
                    case.add(1.5, "two gates swapped", f"block {i} given is block {j} true, and the other way", place)
            if len(bad) == 1:
                g0, t0 = g[bad[0]].ravel(), t[bad[0]].ravel()
                c = factor(g0, t0)
                what = (
                    "it is zero"
                    if not np.any(g0)
                    else f"there given = {c:.4g} * true"
                    if c is not None
                    else ("there it is no multiple of the true one")
                )
                if c is not None and abs(c + 1) < 1e-4:
                    case.add(1.8, "sign flipped", f"in one block only: {what}", place)
                case.add(5.5, "a gate's block wrong", f"the other {count - 1} blocks are right; {what}", place)
            else:
                case.add(7, "a gate's block wrong", f"{count - len(bad)} of {count} blocks are right", place)


def gate_names(case: Case, count: int) -> list[str] | None:
    """Names for the blocks, if another array or output has the size of one block; PyTorch's order for its names."""
    shape = case.true.shape
    blocks_of = {n // count for n in shape if n % count == 0 and n >= 2 * count}
    seen: set[int] = set()
    for array in case.objective.variables.values():
        seen |= set(array.shape)
    for y in case.objective.outputs:
        if is_array(y):
            seen |= set(y.shape)
    if not blocks_of & seen:
        return None
    if case.name.rsplit(".", 1)[-1].startswith(("weight_ih", "weight_hh", "bias_ih", "bias_hh")):
        return [
            f"the {n} gate"
            for n in (("input", "forget", "cell", "output") if count == 4 else ("reset", "update", "new"))
        ]
    return [f"block {k + 1} of {count}" for k in range(count)]


def decay(case: Case) -> None:
    """given = true + lambda * parameter: regularisation counted on one side only."""
    value = backend.to_numpy(case.objective.variables[case.name])
    known = np.isfinite(case.true)
    if known.sum() < 3:
        return
    difference = (case.given - case.true)[known]
    c = factor(difference, value[known])
    if c is not None or np.abs(difference - value[known]).max() < GOOD * case.scale:
        c = 1.0 if c is None else c
        case.add(2.2, "weight decay's share wrong", f"given - true = {c:.4g} * {case.name}, in every element")
