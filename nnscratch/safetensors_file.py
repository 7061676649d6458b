"""Read and write safetensors files in browsers (Pyodide), where the library ``safetensors`` cannot be installed.

A file has three parts:

    8 bytes                 n, the length of the header: an unsigned integer, lowest byte first
    n bytes                 the header: JSON, with spaces at the end so that n is a multiple of 8
    all remaining bytes     the values of the arrays, one array after the other, without gaps

The header has an entry for each array, ``"name": {"dtype": "F32", "shape": [2, 3], "data_offsets": [0, 24]}``. Its
offsets count from the end of the header. The header also has ``"__metadata__"``, a dictionary of strings. The arrays
are in the order of `DTYPES`, and arrays of one dtype are in the order of their names. The library uses the same order,
so both write the same bytes.

This package uses a few classes and functions of the library. The versions in this file have the same names and
behaviour.

Reference: https://github.com/huggingface/safetensors, section "Format".
"""

from __future__ import annotations

import json
import math
import os
from pathlib import Path
from typing import Any

import numpy as np

DTYPES = {
    "U64": "<u8", "I64": "<i8", "F64": "<f8", "C64": "<c8", "F32": "<f4", "U32": "<u4", "I32": "<i4",
    "F16": "<f2", "U16": "<u2", "I16": "<i2", "I8": "i1", "U8": "u1", "BOOL": "?",
}  # fmt: skip
"""The names of the dtypes in a file, in the order in which arrays of these dtypes are written."""

NOT_IN_NUMPY = ("BF16", "F4", "F6_E2M3", "F6_E3M2", "F8_E5M2", "F8_E4M3", "F8_E8M0")
"""Dtypes that a file may contain, although NumPy does not have them."""

LONGEST_HEADER = 100_000_000  # bytes; the safetensors library rejects headers above this length


class SafetensorError(Exception):
    """The file is not a complete safetensors file, or an array cannot be stored in one."""


def save(arrays: dict[str, np.ndarray], metadata: dict[str, str] | None = None) -> bytes:
    """Return the content of a safetensors file.

    Parameters
    ----------
    arrays : dict of str to array
    metadata : dict of str to str, optional
    """
    names = {np.dtype(code): name for name, code in DTYPES.items()}
    if refused := {name: a.dtype for name, a in arrays.items() if a.dtype.newbyteorder("<") not in names}:
        raise SafetensorError(f"a safetensors file cannot hold arrays of this dtype: {refused}")
    little = {name: np.asarray(a, a.dtype.newbyteorder("<"), order="C") for name, a in arrays.items()}
    order = list(DTYPES)
    header: dict[str, Any] = {} if metadata is None else {"__metadata__": metadata}
    parts, begin = [], 0
    for name, array in sorted(little.items(), key=lambda item: (order.index(names[item[1].dtype]), item[0])):
        end = begin + array.nbytes
        header[name] = {"dtype": names[array.dtype], "shape": list(array.shape), "data_offsets": [begin, end]}
        parts.append(array.tobytes())
        begin = end
    text = json.dumps(header, ensure_ascii=False, separators=(",", ":")).encode()
    text += b" " * (-len(text) % 8)
    return b"".join([len(text).to_bytes(8, "little"), text, *parts])


class safe_open:  # noqa: N801 (the library's name)
    """Open a safetensors file for reading in a ``with`` block, and check its header.

    Parameters
    ----------
    path : str or path
    framework : "numpy"

    Raises
    ------
    SafetensorError
        The header is damaged, or its entries do not match the rest of the file.
    """

    def __init__(self, path: str | os.PathLike, framework: str = "numpy") -> None:
        content = Path(path).read_bytes()
        length = int.from_bytes(content[:8], "little")
        if len(content) < 8 or length > min(LONGEST_HEADER, len(content) - 8):
            raise SafetensorError("the file is shorter than its header says")
        self._data = memoryview(content)[8 + length :]
        try:
            header = json.loads(content[8 : 8 + length].decode())
            self._metadata = header.pop("__metadata__", None)
            self._entries = {name: Entry(**entry) for name, entry in header.items()}
            entries = sorted(self._entries.values(), key=lambda entry: entry.data_offsets)
            ends = [0, *(entry.data_offsets[1] for entry in entries)]
            fits = [entry.data_offsets[0] for entry in entries] == ends[:-1] and ends[-1] == len(self._data)
            fits = fits and all(entry.fits() for entry in entries)
        except (ValueError, TypeError, AttributeError, LookupError, RecursionError) as error:
            raise SafetensorError(f"its header is not valid: {error}") from None
        if not fits:
            raise SafetensorError("the arrays that the header describes do not match the rest of the file")

    def __enter__(self) -> safe_open:
        return self

    def __exit__(self, *error: object) -> None:
        pass

    def keys(self) -> list[str]:
        """Return the names of the arrays."""
        return list(self._entries)

    def metadata(self) -> dict[str, str] | None:
        """Return the dictionary of strings in the header."""
        return self._metadata

    def get_slice(self, name: str) -> Entry:
        """Return the entry of one array, with its shape and dtype, without reading the values."""
        return self._entries[name]

    def get_tensor(self, name: str) -> np.ndarray:
        """Return one array."""
        entry = self._entries[name]
        if entry.dtype not in DTYPES:
            raise TypeError(f"NumPy has no dtype {entry.dtype}")
        values = np.frombuffer(self._data[slice(*entry.data_offsets)], DTYPES[entry.dtype])
        return values.reshape(entry.shape).astype(values.dtype.newbyteorder("="))


class Entry:
    """One array in the header: its dtype, its shape, and where its values begin and end."""

    def __init__(self, dtype: str, shape: list[int], data_offsets: list[int]) -> None:
        self.dtype, self.shape, self.data_offsets = dtype, shape, data_offsets

    def fits(self) -> bool:
        """Return True if all numbers are valid and the values take as many bytes as the shape says."""
        begin, end = self.data_offsets
        if not all(type(number) is int and number >= 0 for number in [*self.shape, begin, end]) or begin > end:
            return False
        if self.dtype in NOT_IN_NUMPY:
            return True
        return end - begin == math.prod(self.shape) * np.dtype(DTYPES[self.dtype]).itemsize

    def get_shape(self) -> list[int]:
        """Return the shape as a list."""
        return self.shape

    def get_dtype(self) -> str:
        """Return the name of the dtype in the file, such as ``"F32"``."""
        return self.dtype
