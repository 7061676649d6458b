"""Compare the values from a student's function with the right values, and describe the first difference."""

from __future__ import annotations

from typing import Any

import numpy as np

from .exercise import NOT_SENT, Slip, Values

TOLERANCE, TOLERANCE_FLOAT32 = 1e-6, 1e-3  # the largest error, divided by the largest right value


def compare(part: Values, inputs: tuple, got: tuple) -> list[str] | None:
    """Return the headline and details of the first difference, or None if all values are right.

    Parameters
    ----------
    part : Values
    inputs : tuple
    got : tuple
        The values of the student's function, in the order of ``part.returns``.
    """
    wanted = part.reference(*inputs)
    names = [name for name in part.returns if name not in NOT_SENT]
    wanted = wanted if isinstance(wanted, tuple) and len(names) > 1 else (wanted,)
    found = [value for name, value in zip(part.returns, got, strict=True) if name not in NOT_SENT]
    title = part.function.removeprefix("driver:")
    if part.measure is not None:
        try:
            measured = part.measure(inputs, *found)
        except ValueError as error:
            return [f"{title}: {error}", f"the inputs: {shapes_text(inputs)}"]
        names, found = list(measured), list(measured.values())
        wanted = part.reference(*inputs)
    for name, value, right in zip(names, found, wanted, strict=True):
        problem = difference(name, value, right, inputs)
        if problem is None:
            continue
        for slip in part.slips:
            if is_slip(slip, inputs, found, wanted):
                return [f"{title}: {slip.message}", *problem]
        return [f"{title}: {problem[0]}", *problem[1:]]
    return None


def is_slip(slip: Slip, inputs: tuple, found: list, wanted: tuple) -> bool:
    """Return True if code with the mistake `slip` returns the student's values, and these values are wrong."""
    try:
        with np.errstate(all="ignore"):
            wrong = slip.gives(*inputs)
    except (ValueError, TypeError, IndexError):  # the mistake is not possible with these inputs
        return False
    wrong = wrong if isinstance(wrong, tuple) else (wrong,)
    return all(map(same, found, wrong)) and not all(map(same, wrong, wanted))


def same(a: Any, b: Any) -> bool:
    """Return True if two values agree within the tolerance. NaN counts as equal to NaN."""
    a, b = np.asarray(a), np.asarray(b)
    if a.shape != b.shape:
        return False
    a, b = a.astype(np.float64), b.astype(np.float64)
    tolerance = TOLERANCE * scale_of(b)
    return bool(np.allclose(a, b, rtol=0, atol=tolerance, equal_nan=True))


def scale_of(values: np.ndarray) -> float:
    """Return the largest finite absolute value. Return 1 if no value is finite, or if all are 0."""
    finite = np.abs(values[np.isfinite(values)])
    return float(finite.max()) if finite.size and finite.max() > 0 else 1.0


def difference(name: str, value: Any, right: Any, inputs: tuple) -> list[str] | None:
    """Return a list of lines about a wrong value, or None if the value is right. The first line is a sentence."""
    if isinstance(right, dict):
        return difference_of_dicts(name, value, right, inputs)
    if isinstance(value, dict):
        return [f"{name} must be an array, got a dictionary"]
    value, right = np.asarray(value), np.asarray(right)
    if value.shape != right.shape:
        wrong = f"{name} has shape {value.shape}; it must have shape {right.shape}"
        return [wrong, f"the inputs: {shapes_text(inputs)}"]
    allowed = TOLERANCE_FLOAT32 if value.dtype.itemsize < 8 and value.dtype.kind == "f" else TOLERANCE
    value, right = value.astype(np.float64), right.astype(np.float64)
    if not np.isfinite(value).all() and np.isfinite(right).all():
        worst = tuple(int(i) for i in np.argwhere(~np.isfinite(value))[0])
        return [f"{element(name, worst)} is {value[worst]}", *at_inputs(worst, inputs), SHOULD.format(right[worst])]
    error = np.abs(value - right)
    if not error.size or error.max() <= allowed * scale_of(right):
        return None
    worst = tuple(int(i) for i in np.unravel_index(np.argmax(error), error.shape))
    where = [f"{element(name, worst)} is {value[worst]:.6g}; it must be {right[worst]:.6g}", *at_inputs(worst, inputs)]
    if not value.any():
        return [f"{name} is zero everywhere", *where]
    ratio = float((value * right).sum() / (right * right).sum())
    if right.size > 1 and np.allclose(value, ratio * right, rtol=0, atol=allowed * scale_of(right)):
        return [
            f"{name} has the wrong sign" if abs(ratio + 1) < 1e-6 else f"{name} is {ratio:.6g} times the right value",
            *where,
        ]
    return [f"the values of {name} are not right", *where]


SHOULD = "it must be {:.6g}"


def difference_of_dicts(name: str, value: Any, right: dict, inputs: tuple) -> list[str] | None:
    """Compare the entries of two dictionaries. The student's dictionary may have additional entries."""
    if not isinstance(value, dict):
        return [f"{name} must be a dictionary"]
    for key, wanted in right.items():
        if key not in value:
            return [f"{name} has no entry {key!r}"]
        problem = difference(f"{name}[{key!r}]", value[key], wanted, inputs)
        if problem is not None:
            return problem
    return None


def element(name: str, index: tuple[int, ...]) -> str:
    """Return the name of an element: ``out[0, 1]``."""
    return f"{name}[{', '.join(map(str, index))}]" if index else name


def at_inputs(index: tuple[int, ...], inputs: tuple) -> list[str]:
    """Return lines that show the element of the first input at this index, and the shapes of all inputs."""
    first = next((x for x in inputs if isinstance(x, np.ndarray)), None)
    lines = [f"the inputs: {shapes_text(inputs)}"]
    if first is not None and len(index) == first.ndim and all(i < n for i, n in zip(index, first.shape, strict=True)):
        lines.insert(0, f"at this index, the first input is {first[index]:.6g}")
    return lines


def shapes_text(inputs: tuple) -> str:
    """Return a text with the shape of each array, and the value of each other input."""
    return ", ".join(f"shape {x.shape}" if isinstance(x, np.ndarray) else repr(x) for x in inputs)
