"""Messages between the judge and the worker, as JSON followed by raw bytes.

A message consists of None, numbers, texts and arrays, nested in dictionaries, lists and tuples. Messages are not
pickled, so reading a message cannot run code. A frame is a message as bytes:

    8 bytes    length of the header
    8 bytes    length of the body
    header     JSON; an array is {"array": [dtype, shape, offset into the body]}
    body       the elements of all arrays

>>> unpack(*pack({"x": (np.arange(3), 1.5, None)}))
{'x': (array([0, 1, 2]), 1.5, None)}
"""

from __future__ import annotations

import json
import math
import struct
from typing import Any

import numpy as np

MAX_HEADER, MAX_BODY = 4 << 20, 256 << 20  # the largest sizes of the two parts of a message, in bytes
LENGTHS = struct.Struct(">QQ")
DTYPES = {np.dtype(code).str for code in ("?", "i1", "i2", "i4", "i8", "u1", "u2", "u4", "u8", "f2", "f4", "f8")}


class BadMessage(ValueError):
    """A message is too large, or it does not have the format that the docstring of this module describes."""


def frame(message: Any) -> bytes:
    """Return `message` as one frame.

    Raises
    ------
    TypeError
        The message contains a value that cannot be sent: see the docstring of this module.
    BadMessage
        The message is too large.
    """
    header, body = pack(message)
    check_lengths(len(header), len(body))
    return LENGTHS.pack(len(header), len(body)) + header + body


def check_lengths(header: int, body: int, longest: int = MAX_BODY) -> None:
    """Raise `BadMessage` if a frame is too large."""
    if header > MAX_HEADER or body > longest:
        raise BadMessage(f"a message of {header + body:,} bytes is too large")


def pack(message: Any) -> tuple[bytes, bytes]:
    """Return the header and the body of a message."""
    chunks: list[bytes] = []
    header = json.dumps(_plain(message, chunks)).encode()
    return header, b"".join(chunks)


def unpack(header: bytes, body: bytes) -> Any:
    """Return the message, with new and writable arrays.

    Raises
    ------
    BadMessage
        The header is not valid JSON, or it describes arrays that are not in the body.
    """
    try:
        return _restored(json.loads(header), body)
    except BadMessage:
        raise
    except (ValueError, TypeError, KeyError, IndexError, RecursionError, OverflowError) as error:
        raise BadMessage(f"not a message: {type(error).__name__}") from None


def _plain(value: Any, chunks: list[bytes]) -> Any:
    """Return `value` in a form that JSON can represent, and append the elements of its arrays to `chunks`."""
    if value is None or type(value) in (bool, int, float, str):
        return value
    if isinstance(value, (np.ndarray, np.generic)):
        array = np.asarray(value)
        if array.dtype.str not in DTYPES:
            raise TypeError(f"an array of {array.dtype} cannot be sent to the judge")
        offset = sum(map(len, chunks))
        chunks.append(array.tobytes())
        kind = "array" if isinstance(value, np.ndarray) else "scalar"
        return {kind: [array.dtype.str, list(array.shape), offset]}
    if isinstance(value, dict):
        return {"dict": [[_plain(k, chunks), _plain(v, chunks)] for k, v in value.items()]}
    if isinstance(value, (tuple, list)):
        return {"tuple" if isinstance(value, tuple) else "list": [_plain(v, chunks) for v in value]}
    if isinstance(value, str):  # an element of an enumeration, for example: its str(value) may be another text
        return str.__str__(value)
    if isinstance(value, (int, float)):
        return int(value) if isinstance(value, int) else float(value)
    raise TypeError(f"a {type(value).__name__} cannot be sent to the judge")


def _restored(value: Any, body: bytes) -> Any:
    if not isinstance(value, dict):
        if isinstance(value, list):
            raise BadMessage("a bare list")
        return value
    ((kind, held),) = value.items()
    if kind in ("array", "scalar"):
        dtype, shape, offset = held
        shape = tuple(shape)
        if dtype not in DTYPES or len(shape) > 32 or not all(type(n) is int and n >= 0 for n in (*shape, offset)):
            raise BadMessage(f"an array of dtype {str(dtype)[:20]}")
        count = math.prod(shape)
        if offset + count * np.dtype(dtype).itemsize > len(body):
            raise BadMessage("an array without its elements")
        array = np.frombuffer(body, dtype, count, offset).reshape(shape).copy()
        return array if kind == "array" else array[()]
    if kind == "dict":
        return {_restored(k, body): _restored(v, body) for k, v in held}
    if kind in ("tuple", "list"):
        return (tuple if kind == "tuple" else list)(_restored(v, body) for v in held)
    raise BadMessage(f"an unknown kind {str(kind)[:20]!r}")
