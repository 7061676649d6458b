"""Masks: the score of an example when only some parts of its input are present.

    shapes      x, x0 (...)     one example and its baseline
                groups (...)    the group of each element, 0..G-1
                m (M, G)        M masks: True if the group is present

    z_j    = x_j  if m[group of j], else x0_j
    v(m)   = s(z)                                       the value of a set of groups

Occlusion, Shapley values, Kernel SHAP and LIME need only the values v(m) and no gradient. So the model may be any
function. A group is one number of a table, one token, or a patch of an image.

If a token is not present, the baseline token replaces it. Without a baseline, the vector of the token is 0.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from .. import backend
from ..backend import Array
from ..checks import positive_int
from ..module import Module
from .scores import (
    ROWS,
    Model,
    Target,
    baseline_ids,
    baseline_of,
    check_input,
    check_target,
    features_of,
    is_tokens,
    scores,
)

Value = Callable[[np.ndarray], np.ndarray]
"""v: it takes masks (M, G) and returns the scores (M,)."""


def patches(shape: Sequence[int], size: int) -> np.ndarray:
    """Return groups for images: squares of `size` times `size` pixels, with all their channels.

    Parameters
    ----------
    shape : (H, W) or (C, H, W)
        The shape of one image.
    size : int
        The width and height of a patch. Patches at the right and the lower border may be smaller than the others.

    Returns
    -------
    integer array of that shape

    Examples
    --------
    >>> import nnscratch as nn
    >>> print(nn.explain.patches((4, 4), 2))
    [[0 0 1 1]
     [0 0 1 1]
     [2 2 3 3]
     [2 2 3 3]]
    """
    if not isinstance(shape, Sequence) or len(shape) not in (2, 3):
        raise ValueError(f"shape must be (H, W) or (C, H, W), got {shape!r}")
    shape = tuple(positive_int("each element of shape", extent) for extent in shape)
    size, (H, W) = positive_int("size", size), shape[-2:]
    rows, columns = np.arange(H) // size, np.arange(W) // size
    return np.broadcast_to(rows[:, None] * (columns[-1] + 1) + columns, shape).copy()


def explain_each(
    model: Model, x: Array, target: Target, baseline: Any, groups: Any, one: Callable[[Value, int], np.ndarray]
) -> Array:
    """Return an explanation of each example, in the shape of x.

    ``one(v, G)`` explains one example: it returns one attribution for each group. An element gets the attribution of
    its group.
    """
    check_input(x)
    check_target(target, x)
    groups, G = checked_groups(x, groups)
    found = []
    for n in range(len(x)):
        v = value_function(model, x[n : n + 1], target_row(target, n), baseline_row(baseline, x, n), groups)
        found.append(one(v, G)[groups])
    found = np.stack(found)  # (N, ...), float64
    return backend.to_device(found if is_tokens(x) else found.astype(x.dtype), backend.device_of(x))


def value_function(model: Model, x: Array, target: Target, baseline: Any, groups: np.ndarray) -> Value:
    """Return the function v for one example: see the top of this file. x has the shape (1, ...)."""
    xp = backend.array_module(x)
    by_vector = is_tokens(x) and baseline is None
    if by_vector and not isinstance(model, Module):
        raise ValueError("baseline must be a token id, or an array of ids, if the model is a function of token ids")
    if by_vector:
        present, absent = features_of(model, x), baseline_of(model, x, None)
    else:
        present, absent = x, baseline_ids(x, baseline) if is_tokens(x) else baseline_of(model, x, baseline)

    def v(masks: np.ndarray) -> np.ndarray:
        parts = []
        for start in range(0, len(masks), ROWS):
            m = backend.to_device(masks[start : start + ROWS][:, groups], backend.device_of(x))  # (rows, ...)
            z = xp.where(m[..., None] if by_vector else m, present, absent)
            s = scores(model, xp.concatenate([x] * len(m)), target, z) if by_vector else scores(model, z, target)
            parts.append(backend.to_numpy(s).astype(np.float64))
        return np.concatenate(parts)

    return v


def checked_groups(x: Array, groups: Any) -> tuple[np.ndarray, int]:
    """Return the groups in the shape of one example, and their number G. By default, each element is a group."""
    shape = x.shape[1:]
    if groups is None:
        size = int(np.prod(shape))
        return np.arange(size).reshape(shape), size
    groups = backend.to_numpy(groups)
    if groups.shape != shape or groups.dtype.kind not in "iu":
        raise ValueError(f"groups must be integers of the shape of one example, {shape}, got {groups.shape}")
    found = np.unique(groups)
    if not np.array_equal(found, np.arange(len(found))):
        raise ValueError(f"groups must be numbered 0..G-1 without gaps, got {found[0]}..{found[-1]}")
    return groups, len(found)


def baseline_row(baseline: Any, x: Array, n: int) -> Any:
    """Return the baseline for the batch ``x[n : n + 1]``, which has only example n."""
    if getattr(baseline, "ndim", 0) == x.ndim and len(baseline) == len(x):
        return baseline[n : n + 1]
    return baseline


def target_row(target: Target, n: int) -> Target:
    """Return the target of example n."""
    return int(backend.to_numpy(target)[n]) if getattr(target, "ndim", 0) else target
