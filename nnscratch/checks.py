"""Checks that layers, losses and optimisers make before they compute.

Each function raises an error if its check fails. The error names the argument, the expected value and the given value.
No function changes its arguments.
"""

from __future__ import annotations

import math
import os
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from . import backend
from .backend import Array

if TYPE_CHECKING:
    from .module import Module
    from .parameter import Parameter

LARGEST = float(np.finfo(np.float64).max)
FLOATS = (np.dtype("float32"), np.dtype("float64"), np.dtype("float16"))


def check_floats(owner: Module, name: str, x: Array, like: Parameter | None = None) -> None:
    """Raise unless `x` is an array of floats, with the dtype and on the device of the parameter `like`."""
    title = type(owner).__name__
    try:
        backend.array_module(x)
    except TypeError as error:
        raise TypeError(f"{title}: {name}: {error}") from None
    if x.dtype not in FLOATS:
        raise TypeError(f"{title}: {name} must be floats, got {x.dtype}; use {name}.astype(numpy.float32)")
    if like is not None:
        if x.dtype != like.dtype:
            raise TypeError(
                f"{title}: the parameters are {like.dtype}, but {name} is {x.dtype}; "
                f"use {name}.astype(numpy.{like.dtype}), or model.to(dtype=numpy.{x.dtype})"
            )
        if backend.device_of(x) != like.device:
            raise TypeError(
                f"{title} is on {like.device!r} and got {name} on {backend.device_of(x)!r}; move one of them"
            )


def check_gradient(
    owner: Module, dy: Array, shape: tuple[int, ...], dtype: Any, name: str = "dy", more: bool = False
) -> None:
    """Raise unless `dy`, the gradient of an output, has the output's shape and dtype.

    Call it after ``owner.saved()``. If the check fails, the saved values are restored. So you can call backward again
    with the right gradient. If backward gets several gradients, pass ``more=True`` for all but the last one.
    """
    try:
        _refuse_gradient(owner, dy, shape, dtype, name)
    except (TypeError, ValueError):
        owner.put_back_saved()
        raise
    if not more:
        vars(owner).pop("_taken", None)  # free the memory


def check_state_gradient(owner: Module, dstate: Any, state: Any) -> None:
    """Raise unless `dstate`, the gradient of a final state, matches `state`: an array h, or a pair (h, c).

    First check dy with ``check_gradient(..., more=True)``.
    """
    given, own = (s if isinstance(s, (tuple, list)) else (s,) for s in (dstate, state))
    if len(given) != len(own):
        owner.put_back_saved()
        raise ValueError(f"{type(owner).__name__}.backward: dstate must have {len(own)} arrays, got {len(given)}")
    for k, (ds, s) in enumerate(zip(given, own, strict=True), start=1):
        check_gradient(owner, ds, s.shape, s.dtype, "dstate", more=k < len(own))


def _refuse_gradient(owner: Module, dy: Array, shape: tuple[int, ...], dtype: Any, name: str) -> None:
    title = type(owner).__name__
    if isinstance(dy, (int, float, np.generic)):
        raise TypeError(
            f"{title}.backward: {name} must be an array, the gradient with respect to the output, got the number "
            f"{dy!r}. If it is the loss, use the result of criterion.backward() instead"
        )
    check_floats(owner, name, dy)
    if dy.shape != shape or dy.dtype != dtype:
        raise ValueError(
            f"{title}.backward: {name} must have the output's shape {shape} and dtype {dtype}, "
            f"got {dy.shape} and {dy.dtype}"
        )


def check_ids(owner: Module, name: str, ids: Array, below: int) -> None:
    """Raise unless `ids` is an array of integers in 0 .. below-1.

    On a GPU the range is not checked, because the check would have to wait until the GPU has finished.
    """
    title = type(owner).__name__
    try:
        backend.array_module(ids)
    except TypeError as error:
        raise TypeError(f"{title}: {name}: {error}") from None
    if ids.dtype.kind not in "iu":
        raise TypeError(f"{title}: {name} must be integers, got {ids.dtype}")
    if backend.cheap_to_read(ids) and ids.size and (ids.min() < 0 or ids.max() >= below):
        raise ValueError(f"{title}: {name} must be in 0..{below - 1}, got {int(ids.min())}..{int(ids.max())}")


def check_token_ids(model: Module, name: str, ids: Array) -> None:
    """Raise if `model` is a language model, and an id is outside its vocabulary.

    Call it before the ids are moved to a GPU. Ids on a GPU are not checked, because the check would have to wait until
    the GPU has finished.
    """
    if hasattr(model, "vocab_size") and isinstance(ids, np.ndarray):
        check_ids(model, name, ids, model.vocab_size)


def check_targets(model: Module, tokens: Array, targets: Array, scale: Any) -> None:
    """Raise unless `targets` has one token id for each token, and `scale` is a number or an array on a GPU."""
    check_ids(model, "tokens", tokens, model.vocab_size)
    check_ids(model, "targets", targets, model.vocab_size)
    if targets.shape != tokens.shape:
        raise ValueError(
            f"{type(model).__name__}: targets must have the shape of tokens, {tokens.shape}, got {targets.shape}"
        )
    if not hasattr(scale, "shape"):
        finite("scale", scale)


def check_instance(owner: str, name: str, value: Any, kind: type) -> None:
    """Raise unless `value`, the argument `name` of `owner`, is an instance of `kind`."""
    if not isinstance(value, kind):
        raise TypeError(f"{owner}: {name} must be an instance of {kind.__name__}, got {value!r}")


def check_tokenizer(owner: str, tokenizer: Any) -> None:
    """Raise unless `tokenizer` has the methods and the vocabulary of a tokenizer."""
    if not all(hasattr(tokenizer, name) for name in ("encode", "decode", "vocabulary")):
        raise TypeError(f"{owner}: tokenizer must be a tokenizer of nn.data, got {type(tokenizer).__name__}")


def check_is_pair(owner: Module, name: str, value: Any, what: str) -> None:
    """Raise unless `value` is a tuple or list of two elements. The message calls them `what`, such as ``"(h, c)"``."""
    if not isinstance(value, (tuple, list)) or len(value) != 2:
        came = f"{len(value)} elements" if isinstance(value, (tuple, list)) else type(value).__name__
        raise TypeError(f"{type(owner).__name__}: {name} must be a pair {what}, got {came}")


def check_regular_file(path: str | os.PathLike) -> None:
    """Raise if `path` is a device, a pipe or a link to one of them, because reading it may never end."""
    path = Path(path)
    if path.exists() and not path.is_file() and not path.is_dir():
        raise ValueError(f"{path} is not a regular file, but a device or a pipe")


def short(value: Any) -> str:
    """Return ``repr(value)`` for an error message. A long text is cut, and a large integer is replaced by its size."""
    if isinstance(value, int) and abs(value) > 10**40:  # Python refuses to convert integers of many digits to text
        return f"an integer of {value.bit_length():,} bits"
    text = repr(value)
    return text if len(text) <= 200 else f"{text[:200]}..."


def reason(error: Exception) -> str:
    """Return the message of an error about a file. A message may repeat parts of the file, so a long one is cut."""
    text = str(error)
    return text if len(text) <= 700 else f"{text[:700]}..."


def positive_int(name: str, value: int) -> int:
    """Return `value`, or raise if it is not an integer of 1 or more."""
    if isinstance(value, (bool, np.bool_)) or not isinstance(value, (int, np.integer)) or value < 1:
        raise ValueError(f"{name} must be an integer of 1 or more, got {short(value)}")
    return _below_2_63(name, int(value))


def count(name: str, value: int) -> int:
    """Return `value`, or raise if it is not an integer of 0 or more."""
    if isinstance(value, (bool, np.bool_)) or not isinstance(value, (int, np.integer)) or value < 0:
        raise ValueError(f"{name} must be an integer of 0 or more, got {short(value)}")
    return _below_2_63(name, int(value))


def integer(name: str, value: int) -> int:
    """Return `value`, or raise if it is not an integer. It may be negative."""
    if isinstance(value, (bool, np.bool_)) or not isinstance(value, (int, np.integer)):
        raise TypeError(f"{name} must be an integer, got {short(value)}")
    if value < -(1 << 63):
        raise ValueError(f"{name} must be -2**63 or more, got {short(value)}")
    return _below_2_63(name, int(value))


def _below_2_63(name: str, value: int) -> int:
    """Return `value`, or raise if it is too large for NumPy's int64."""
    if value >= 1 << 63:
        raise ValueError(f"{name} must be below 2**63, got {short(value)}")
    return value


def one_of(name: str, value: str, choices: Iterable[str]) -> str:
    """Return `value`, or raise if it is not one of `choices`."""
    if value not in tuple(choices):
        raise ValueError(f"{name} must be one of {', '.join(map(repr, choices))}, got {short(value)}")
    return value


def strings(name: str, values: Iterable[str]) -> list[str]:
    """Return `values` as a list of strings, or raise. A single string gives the list of its characters."""
    if not isinstance(values, Iterable) or not all(isinstance(value, str) for value in values):
        raise TypeError(f"{name} must be a sequence of strings, got {short(values)}")
    return list(values)


def flag(name: str, value: bool) -> bool:
    """Return `value`, or raise if it is not True or False.

    Without this check, a seed or generator that you pass in the position of a flag would count as True.
    """
    if not isinstance(value, (bool, np.bool_)):
        raise TypeError(f"{name} must be True or False, got {value!r}")
    return bool(value)


def probability(name: str, value: float) -> float:
    """Return `value`, or raise if it is not in [0, 1)."""
    if not _is_number(value) or not 0 <= value < 1:
        raise ValueError(f"{name} must be a probability in [0, 1), got {value!r}")
    return float(value)


def finite(name: str, value: float) -> float:
    """Return `value`, or raise if it is not a finite number."""
    if not _is_number(value) or not -LARGEST <= value <= LARGEST:
        raise ValueError(f"{name} must be a finite number, got {short(value)}")
    return float(value)


def not_negative(name: str, value: float) -> float:
    """Return `value`, or raise if it is not a finite number of 0 or more."""
    if finite(name, value) < 0:
        raise ValueError(f"{name} must be 0 or more, got {value!r}")
    return float(value)


def at_least(name: str, value: float, low: float, below: float = math.inf) -> float:
    """Return `value` as a float, or raise if it is not a number with low <= value < below."""
    if not _is_number(value) or not low <= value < below or value > LARGEST:
        limit = f"{low} or more" if below == math.inf else f"in [{low}, {below})"
        raise ValueError(f"{name} must be a finite number, {limit}, got {short(value)}")
    return float(value)


def _is_number(value: Any) -> bool:
    """Return True if `value` is a real number of Python or NumPy. True and False are not numbers here."""
    return isinstance(value, (int, float, np.integer, np.floating)) and not isinstance(value, bool)


def state_value(name: str, value: Array, like: Array) -> Array:
    """Return `value` in the dtype of `like`, or raise if it does not have the shape of `like` or is not finite."""
    try:
        xp = backend.array_module(value)
    except TypeError as error:
        raise TypeError(f"{name}: {error}") from None
    if tuple(value.shape) != like.shape:
        raise ValueError(f"{name}: expected shape {like.shape}, got {tuple(value.shape)}")
    if value.dtype.kind not in "fiu":
        raise TypeError(f"{name}: expected {like.dtype}, got {value.dtype}")
    with np.errstate(over="ignore"):  # values too large for the dtype become infinite, and the next check fails
        value = value.astype(like.dtype, copy=False)
    if not xp.isfinite(value).all():
        raise ValueError(f"{name} holds values that are not finite (NaN or infinity) in {like.dtype}")
    return value
