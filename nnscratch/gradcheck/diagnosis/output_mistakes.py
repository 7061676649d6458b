"""Mistakes of a backward that leaves out a part of dy: a sample, a time step or an output.

For example, the loop of backward is ``for t in range(T - 1)`` instead of ``for t in range(T)``, so the last time step
is missing. To find this mistake, set dy to zero at the last time step, and multiply the Jacobian by this dy. The
product is the gradient that the wrong backward returns.

The functions share these arguments:

    J           the Jacobian of the outputs with respect to the array with the wrong gradient (jacobian.py)
    R           the weights of the outputs, so dy = R
    outputs     the names and values of the outputs
    counting    a function that returns the gradient of a backward that uses only some elements of dy. Its argument is a
                mask: 1 at each of these elements, and 0 at all other elements
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from ..nested import is_array, is_float, leaves, to_numpy
from .axis_roles import axis_roles
from .case import MAX_MISFIT, Case
from .directional_case import DirectionalCase
from .elementwise_mistakes import elementwise_mistakes, reduced_jacobian
from .jacobian import DirectionalJacobian, ElementJacobian

MAX_JACOBIAN = 400_000  # the largest number of elements of a Jacobian; in directional mode, ten times this number


def output_mistakes(case: Case) -> None:
    """Measure the Jacobian of the outputs with respect to the array of `case`, and use it to find mistakes."""
    if not case.same_shape and case.given.ndim != 1:
        return
    projection, array = case.projection, case.projection.variables[case.name]
    R = projection.flat_weights()
    if R.size < 2 or not case.usable:
        return
    if isinstance(case, DirectionalCase):
        if 4 * R.size > 10 * MAX_JACOBIAN:
            return
        J = DirectionalJacobian(case)
        if not case.misfit_along(J.rows @ R, case.slopes) <= MAX_MISFIT:
            return
    else:
        if array.size * R.size > MAX_JACOBIAN:
            return
        J = ElementJacobian(case)
    outputs = [(n, y) for n, y in leaves("output", projection.outputs) if is_float(y)]
    summed_over_the_wrong_axis(case, J, R, outputs)
    if not case.same_shape:
        return
    elementwise_mistakes(case, J, R, outputs)
    reduced_jacobian(case, J, R, outputs)
    uncounted_outputs(case, J, R, outputs)


def uncounted_outputs(case: Case, J: ElementJacobian | DirectionalJacobian, R: np.ndarray, outputs: list) -> None:
    """Test whether backward leaves out outputs, time steps, samples or repeated ids."""

    def counting(mask: np.ndarray) -> np.ndarray:
        """Return the gradient of a backward that uses dy only where `mask` is 1."""
        return J.rows @ (R * mask)

    ones, slices = np.ones(R.size), output_slices(outputs)
    if len(outputs) > 1:
        for (name, _), own in zip(outputs, slices, strict=True):
            only, without = np.zeros(R.size), np.ones(R.size)
            only[own], without[own] = 1, 0
            mistake = "the state's own path missing"
            incoming = f"the incoming gradient of {name}"
            case.test_observed(3.5, counting(without), mistake, f"backward does not use {incoming}")
            case.test_observed(3.6, counting(only), mistake, f"backward uses only {incoming}")
    roles = axis_roles(case.projection)
    for (name, y), own in zip(outputs, slices, strict=True):
        if not is_array(y):
            continue
        said = name if len(outputs) > 1 else "the output"
        for axis, n in enumerate(y.shape):
            if n < 2 or y.ndim < 2:
                continue
            role = roles[name].get(axis)
            if role == "sample":
                for k in sorted({*range(min(n, 15)), n - 1}):  # a test of all samples would take too long
                    only, at = mask_only(R.size, own, y.shape, axis, k), mask_at(R.size, own, y.shape, axis, k)
                    evidence = f"backward counts only sample {k} of {said}"
                    case.test_observed(4, counting(only), "one sample counted", evidence)
                    evidence += ", and divides by N"
                    case.test_observed(4.1, counting(only) / n, "one sample counted", evidence)
                    evidence = f"backward does not count sample {k} of {said}"
                    case.test_observed(4.3, counting(ones - at), "one sample not counted", evidence)
                continue
            rank, noun = (4.0, "time step") if role == "time" else (4.4, "round of the loop")
            for t, word in ((-1, "last"), (0, "first")):
                only, at = mask_only(R.size, own, y.shape, axis, t), mask_at(R.size, own, y.shape, axis, t)
                where = f"time step {t % n}" if role == "time" else f"index {t % n} along axis {axis}"
                evidence = f"backward counts only {where} of {said}"
                case.test_observed(rank, counting(only), f"only the {word} {noun} counted", evidence)
                evidence = f"backward does not count {where} of {said}"
                case.test_observed(rank + 0.2, counting(ones - at), f"the {word} {noun} not counted", evidence)
        first_rounds(case, counting, R.size, own, y, said)
        repeated_ids(case, counting, R.size, own, y)


def first_rounds(
    case: Case, counting: Callable[[np.ndarray], np.ndarray], size: int, own: slice, y: Any, said: str
) -> None:
    """Test whether backward, with nested loops over axes of an output, uses only the first or the last iteration.

    For example, backward uses only dy[0, 0], or only dy[-1, -1].

    All outputs are concatenated in a flat array of `size` elements. The slice object `own` selects the elements of the
    output `y` in this flat array. `said` is the name of the output in the report.
    """
    for count in range(2, y.ndim + 1):
        for t, word in ((0, "first"), (-1, "last")):
            inside = np.zeros(y.shape)
            inside[(t,) * count] = 1
            mask = np.ones(size)
            mask[own] = inside.ravel()
            at = ", ".join([str(t)] * count)
            part = f"the element [{at}]" if count == y.ndim else f"the part [{at}, ...]"
            evidence = f"backward counts only {part} of {said}"
            case.test_observed(3.9, counting(mask), f"only the {word} round of the loop counted", evidence)


def output_slices(outputs: list[tuple[str, Any]]) -> list[slice]:
    """For each output, return the slice that selects its elements in the flat array of all outputs."""
    found, start = [], 0
    for _, y in outputs:
        size = y.size if is_array(y) else 1
        found.append(slice(start, start + size))
        start += size
    return found


def mask_at(size: int, own: slice, shape: tuple[int, ...], axis: int, index: int) -> np.ndarray:
    """Return a mask that is 1 only at one index along an axis of one output.

    The mask is 0 at all other elements of the outputs. All outputs are concatenated in a flat array of `size`
    elements, and the mask has the same length. The slice object `own` selects the elements of one
    output in this flat array, and `shape` is the shape of this output.
    """
    inside = np.zeros(shape)
    inside[(slice(None),) * axis + (index,)] = 1
    mask = np.zeros(size)
    mask[own] = inside.ravel()
    return mask


def mask_only(size: int, own: slice, shape: tuple[int, ...], axis: int, index: int) -> np.ndarray:
    """Return a mask that is 1 at one index along an axis of one output, and at all elements of all other outputs.

    The arguments are those of `mask_at`.
    """
    mask = np.ones(size)
    mask[own] = 0
    return mask + mask_at(size, own, shape, axis, index)


def repeated_ids(case: Case, counting: Callable[[np.ndarray], np.ndarray], size: int, own: slice, y: Any) -> None:
    """Test whether backward uses only the first or only the last occurrence of an id that occurs several times.

    The arguments are those of `first_rounds`.
    """
    for name, ids in zip(case.projection.adapter.input_names, case.projection.adapter.inputs, strict=True):
        if not is_array(ids) or ids.dtype.kind not in "iu" or y.shape[: ids.ndim] != ids.shape:
            continue
        flat = to_numpy(ids).ravel()
        for ordered, word in ((flat[::-1], "last"), (flat, "first")):
            counted = np.zeros(len(flat))
            counted[np.unique(ordered, return_index=True)[1]] = 1
            counted = counted[::-1] if word == "last" else counted
            mask = np.ones(size)
            mask[own] = np.broadcast_to(counted.reshape(ids.shape + (1,) * (y.ndim - ids.ndim)), y.shape).ravel()
            evidence = f"backward counts only the {word} occurrence of each id in {name}"
            case.test_observed(1, counting(mask), "rows met twice counted once", evidence)


def summed_over_the_wrong_axis(
    case: Case, J: ElementJacobian | DirectionalJacobian, R: np.ndarray, outputs: list
) -> None:
    """Test whether a bias gradient is a sum over the features, and not over the batch."""
    given = case.given
    if len(case.shape) != 1 or given.ndim != 1 or len(outputs) != 1 or not is_array(outputs[0][1]):
        return
    shape = outputs[0][1].shape
    contributions = (J.total * R).reshape(shape)
    for axis in range(len(shape)):
        summed = contributions.sum(axis=tuple(a for a in range(len(shape)) if a != axis))
        if summed.shape != given.shape:
            continue
        if np.abs(summed - given).max() < case.max_misfit * np.abs(given).max():
            evidence = f"the given gradient is summed over all axes of the output except axis {axis}"
            case.add(0.65, "summed over the wrong axis", evidence)
