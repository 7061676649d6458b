"""Mistakes in the gradient with respect to the outputs: backward starts from a wrong dy.

The check differentiates f = sum(R * y), where R are the weights of the outputs y (projection.py). So backward must
start from dy = R. Suppose that backward starts from another array R', and makes no other mistake. Move the inputs and
weights along a direction v, and let dy/dv be the derivative of the outputs. According to backward's gradients, the
derivative of f is then sum(R' * dy/dv). Each direction gives one such linear equation. With enough directions, the
equations determine R'.

A comparison of R' with R shows the mistake: backward uses only a part of R, uses the part of one sample for all
samples, multiplies a part by a constant, or shifts R. For example, if a student writes ``dz = dy[0] * (1 - y**2)``,
each row of R' is the first row of R.
"""

from __future__ import annotations

from collections.abc import Iterator
from itertools import permutations
from typing import Any

import numpy as np

from ..nested import is_array, is_float, leaves
from ..projection import Projection
from .axis_roles import axis_roles
from .case import MAX_MISFIT, Case

MAX_OUTPUTS = 200
SPARE = 5  # the number of directions minus the number of outputs: the additional equations test the solution


def upstream_mistakes(cases: dict[str, Case], given: dict[str, np.ndarray], projection: Projection) -> None:
    """Find the array R' that backward used instead of the output weights R. Add the mistakes that R' shows to `cases`.

    If no array R' can explain the gradients of all arrays, leave `cases` unchanged. `given` are the gradients that
    backward returned.
    """
    outputs = [(name, y) for name, y in leaves("output", projection.outputs) if is_float(y)]
    R = projection.flat_weights()
    if not 2 <= R.size <= MAX_OUTPUTS or len(outputs) != 1 or not is_array(outputs[0][1]):
        return
    if all(case.found for case in cases.values()) or not all(
        case.same_shape and case.usable for case in cases.values()
    ):
        return
    used = solve_upstream(projection, given, R)
    if used is None:
        return
    name, y = outputs[0]
    roles = axis_roles(projection)[name]
    for rank, mistake, evidence in name_upstream(used.reshape(y.shape), R.reshape(y.shape), roles):
        for case in cases.values():
            case.add(rank, mistake, f"{evidence}; this explains the gradients of all arrays")
        return


def solve_upstream(projection: Projection, given: dict[str, np.ndarray], R: np.ndarray) -> np.ndarray | None:
    """Return the array R' from which backward started instead of R, the weights of the outputs.

    R' is the solution of linear equations, one for each direction. Return None if these equations have no solution, or
    more than one solution.
    """
    variables = projection.variables
    names = [n for n, g in given.items() if np.shape(g) == variables[n].shape and np.isfinite(g).all()]
    total = sum(variables[name].size for name in names)
    count = min(total, R.size + 2 * SPARE)
    if count < R.size + SPARE:
        return None
    rng, h = np.random.default_rng(13), 1e-5
    held = {name: variables[name].copy() for name in names}
    rows, wanted = [], []
    try:
        for number in range(count):
            flat = np.eye(total)[number] if count == total else rng.standard_normal(total)
            parts = np.split(flat, np.cumsum([held[name].size for name in names])[:-1])
            v = {name: part.reshape(held[name].shape) for name, part in zip(names, parts, strict=True)}
            ends = []
            for step in (h, -h):
                for name in names:
                    variables[name][...] = held[name] + step * v[name]
                ends.append(projection.flat_outputs())
            rows.append((ends[0] - ends[1]) / (2 * h))
            wanted.append(sum(float(np.vdot(given[name], v[name])) for name in names))
    finally:
        for name in names:
            variables[name][...] = held[name]
    a, b = np.array(rows), np.array(wanted)
    if not np.isfinite(a).all():
        return None
    solution, _, _, singular = np.linalg.lstsq(a, b, rcond=None)
    if singular[-1] < 1e-4 * singular[0] or np.abs(a @ solution - b).max() > 1e-6 * np.abs(b).max():
        return None
    return solution


def name_upstream(used: np.ndarray, R: np.ndarray, roles: dict[int, str]) -> Iterator[tuple[float, str, str]]:
    """Yield (rank, mistake, evidence) for each mistake that explains why backward started from `used` instead of `R`.

    `used` is the dy from which backward started, and `R` is the right dy. `roles` gives the role of each axis: "sample"
    or "time".
    """
    if equals(used, R):
        return
    c = used / R
    c = np.where(np.abs(c) < 1e-5, 0.0, c)
    if set(np.unique(np.round(c, 5))) == {0.0, 1.0}:
        yield from left_out(np.round(c).astype(bool), roles)
    for axis in range(R.ndim):
        yield from one_index_used(used, R, axis, roles)
        yield from some_indices_scaled(c, axis)
        yield from changed_along_axis(used, R, axis)
    yield from transposed_or_reshaped(used, R)
    for f, text in ((np.abs, "absolute value"), (np.sign, "sign"), (np.square, "square")):
        if equals(used, f(R)):
            yield 2.0, "upstream gradient wrong", f"the incoming gradient is replaced by its {text}"
    levels = np.unique(np.round(c, 4))
    if len(levels) == 2 and 1 in levels and 0 not in levels and (np.abs(c - 1) > 1e-3).sum() >= 2:
        other = float(levels[levels != 1][0])
        count = int((np.abs(c - 1) > 1e-3).sum())
        evidence = f"{count} of {c.size} incoming gradients are multiplied by {other:.4g}; the others are right"
        yield 2.6, "scaled by a constant", evidence


def equals(used: np.ndarray, values: Any) -> bool:
    """Return True if `values` equals `used`, the dy from which backward started, up to 1e-4 of its largest element."""
    return float(np.abs(used - values).max()) <= MAX_MISFIT * float(np.abs(used).max())


def one_index_used(
    used: np.ndarray, R: np.ndarray, axis: int, roles: dict[int, str]
) -> Iterator[tuple[float, str, str]]:
    """Yield (rank, mistake, evidence) if all parts of `used` along an axis equal one part of `R`, such as R[0].

    `used` is the dy from which backward started, and `R` is the right dy.
    """
    n, noun = R.shape[axis], {"sample": "sample", "time": "time step"}.get(roles.get(axis, ""))
    for k in range(n) if n > 1 else ():
        at = f"{noun} {k}" if noun else f"index {k} along axis {axis}"
        one = np.take(R, [k], axis)
        factor = float((used * one).sum() / (one**2).sum() / n)
        if equals(used, factor * np.broadcast_to(one, R.shape)):
            times = f", times {factor:.4g}" if abs(factor - 1) > 1e-6 else ""
            yield 2.0, "upstream gradient wrong", f"the incoming gradient of {at} is used everywhere{times}"


def some_indices_scaled(c: np.ndarray, axis: int) -> Iterator[tuple[float, str, str]]:
    """Yield (rank, mistake, evidence) if backward multiplies the gradients at some indices along an axis by a constant.

    `c` is the array by which backward multiplies the right dy.
    """
    n = c.shape[axis]
    along = np.moveaxis(c, axis, 0).reshape(n, -1)
    if np.ptp(along, axis=1).max() < 1e-4 and np.ptp(along) > 1e-3:
        values, levels = along[:, 0], np.unique(np.round(along[:, 0], 4))
        if len(levels) == 2 and 0 not in levels and 1 in levels:
            which = [k for k in range(n) if abs(values[k] - 1) > 1e-3]
            evidence = f"the gradient of the outputs at index {', '.join(map(str, which))} along axis {axis}"
            evidence += f" is multiplied by {values[which[0]]:.4g}; the gradients of the other outputs are right"
            if which == [n - 1]:
                evidence += "; if outputs are means over windows, the last window may be smaller than the others"
            yield 2.5, "scaled by a constant", evidence


def changed_along_axis(used: np.ndarray, R: np.ndarray, axis: int) -> Iterator[tuple[float, str, str]]:
    """Yield (rank, mistake, evidence) if `used` is `R`, reversed, shifted, summed or averaged along an axis.

    `used` is the dy from which backward started, and `R` is the right dy.
    """
    if equals(used, np.flip(R, axis)):
        yield 2.0, "axes reversed", f"the incoming gradient is reversed along axis {axis}"
    for step in (1, -1):
        if R.shape[axis] > 2 and equals(used, np.roll(R, step, axis)):
            yield 2.0, "shifted by one", f"the incoming gradient is shifted by {step} along axis {axis}"
    for flip, text in ((False, "earlier"), (True, "later")):
        summed = np.cumsum(np.flip(R, axis) if flip else R, axis)
        if equals(used, np.flip(summed, axis) if flip else summed):
            evidence = f"each incoming gradient also contains all {text} gradients along axis {axis}"
            yield 2.0, "accumulator not reset", evidence
    for reduce, text in ((np.mean, "mean"), (np.sum, "sum")):
        if equals(used, np.broadcast_to(reduce(R, axis=axis, keepdims=True), R.shape)):
            evidence = f"the {text} of the incoming gradient along axis {axis} is used everywhere"
            yield 2.0, "upstream gradient wrong", evidence


def transposed_or_reshaped(used: np.ndarray, R: np.ndarray) -> Iterator[tuple[float, str, str]]:
    """Yield (rank, mistake, evidence) if `used` is the transpose of `R`, or `R` reshaped instead of transposed.

    `used` is the dy from which backward started, and `R` is the right dy.
    """
    for order in permutations(range(R.ndim)) if 2 <= R.ndim <= 4 else ():
        if R.transpose(order).shape == R.shape and order != tuple(range(R.ndim)) and equals(used, R.transpose(order)):
            how = "transposed" if R.ndim == 2 else f"dy.transpose{order}"
            yield 2.0, "transposed", f"the incoming gradient is {how}"
            continue
        other = R.reshape(tuple(R.shape[a] for a in order)).transpose(np.argsort(order))
        again = R.transpose(order).reshape(R.shape)
        if order != tuple(range(R.ndim)) and (equals(used, other) or equals(used, again)):
            evidence = f"the incoming gradient is reshaped where transpose{order} is needed"
            yield 2.05, "reshaped instead of transposed", evidence


def left_out(counted: np.ndarray, roles: dict[int, str]) -> Iterator[tuple[float, str, str]]:
    """Yield (rank, mistake, evidence) if backward uses dy only where `counted` is True.

    `roles` gives the role of each axis: "sample" or "time".
    """
    for axis, n in enumerate(counted.shape):
        along = np.moveaxis(counted, axis, 0).reshape(n, -1)
        if not (along == along[:, :1]).all():
            continue
        kept = [k for k in range(n) if along[k, 0]]
        role = roles.get(axis)
        evidence = f"backward counts only the outputs at index {', '.join(map(str, kept))} along axis {axis}"
        if role == "sample" and len(kept) in (1, n - 1):
            mistake = "one sample counted" if len(kept) == 1 else "one sample not counted"
            yield 2.0, mistake, evidence
        noun = "time step" if role == "time" else "round of the loop"
        if kept in ([0], [n - 1]):
            yield 2.0, f"only the {'last' if kept[0] else 'first'} {noun} counted", evidence
        if kept == list(range(len(kept))):
            yield 2.1, f"the last {noun} not counted", evidence
        elif kept == list(range(n - len(kept), n)):
            yield 2.1, f"the first {noun} not counted", evidence
        else:
            yield 2.2, f"a {noun} not counted", evidence
    at = np.argwhere(counted)
    for word, index in (("first", 0), ("last", -1)):
        for count in range(2, counted.ndim + 1):
            inside = np.zeros(counted.shape)
            inside[(index,) * count] = 1
            if np.array_equal(inside, counted):
                part = ", ".join(map(str, at[0][:count]))
                part = f"the output at [{part}]" if count == counted.ndim else f"the outputs at [{part}, ...]"
                yield 2.0, f"only the {word} round of the loop counted", f"backward counts only {part}"
    flat, n = np.flatnonzero(counted.ravel()), counted.size
    if flat.size and np.array_equal(flat, np.arange(flat.size)):
        evidence = f"backward counts only the first {flat.size} of {n} outputs"
        yield 2.3, "the last round of the loop not counted", evidence
    elif flat.size and np.array_equal(flat, np.arange(n - flat.size, n)):
        evidence = f"backward counts only the last {flat.size} of {n} outputs"
        yield 2.3, "the first round of the loop not counted", evidence
    else:
        yield 3.6, "a round of the loop not counted", f"backward counts only {flat.size} of {n} outputs"
