"""IDX: the file format of MNIST and Fashion-MNIST.

    bytes 0-1       zero
    byte  2         the type of the values: 8 is an unsigned byte
    byte  3         the number of axes
    then            the length of each axis, four bytes, big-endian
    then            the values, row by row

The authors of the MNIST database describe the format: LeCun, Cortes and Burges, http://yann.lecun.com/exdb/mnist.
Fashion-MNIST has the same shapes: Xiao, Rasul and Vollgraf (2017), arXiv:1708.07747. On Debian and Ubuntu, you can
install Fashion-MNIST as the package dataset-fashion-mnist.
"""

from __future__ import annotations

import gzip
import math
import os
import zlib
from pathlib import Path
from typing import IO

import numpy as np

DTYPES = {8: "u1", 9: "i1", 11: ">i2", 12: ">i4", 13: ">f4", 14: ">f8"}
PIECE = 1 << 20  # bytes
Pair = tuple[np.ndarray, np.ndarray]


def read_idx(path: str | os.PathLike[str]) -> np.ndarray:
    """Return the array in an IDX file. The file may be compressed with gzip.

    Parameters
    ----------
    path : str or path-like

    Raises
    ------
    FileNotFoundError
        There is no such file.
    ValueError
        The file is not an IDX file, or it is truncated.

    Notes
    -----
    The file is read in pieces, and only as far as the array in its header requires. So a small compressed file cannot
    fill the memory with data that its header does not declare.

    Examples
    --------
    >>> import tempfile, pathlib
    >>> path = pathlib.Path(tempfile.mkdtemp()) / "labels-idx1-ubyte"
    >>> _ = path.write_bytes(bytes([0, 0, 8, 1, 0, 0, 0, 3, 7, 2, 1]))
    >>> read_idx(path)
    array([7, 2, 1], dtype=uint8)
    """
    path = Path(path)
    if not path.is_file():
        raise FileNotFoundError(f"{path}: there is no such file")
    with open(path, "rb") as file:
        compressed = file.read(2) == b"\x1f\x8b"  # the first two bytes of every gzip file
        file.seek(0)
        if not compressed:
            return _read_array(path, file)
        try:
            with gzip.open(file) as unpacked:
                return _read_array(path, unpacked)
        except (EOFError, gzip.BadGzipFile, zlib.error) as error:
            raise ValueError(f"{path} is damaged or truncated: {error}") from None


def _read_array(path: Path, file: IO[bytes]) -> np.ndarray:
    head = file.read(4)
    if len(head) < 4 or head[:2] != b"\0\0" or head[2] not in DTYPES:
        raise ValueError(f"{path} is not an IDX file: its first bytes are {head.hex(' ') or 'missing'}")
    dtype, axes = np.dtype(DTYPES[head[2]]), file.read(4 * head[3])
    start = 4 + 4 * head[3]
    if len(axes) < 4 * head[3]:
        raise ValueError(f"{path} is truncated: its header needs {start} bytes, and the file has {4 + len(axes)}")
    shape = tuple(int(n) for n in np.frombuffer(axes, dtype=">u4"))
    size, data = math.prod(shape) * dtype.itemsize, bytearray()
    while piece := file.read(min(PIECE, size + 1 - len(data))):  # a byte beyond `size` shows that the file is too long
        data += piece
    if len(data) != size:
        came = f"{start + len(data):,}" if len(data) < size else "more"
        raise ValueError(
            f"{path} is truncated or too long: shape {shape} of {dtype.name} needs {start + size:,} bytes, "
            f"and the file has {came}"
        )
    try:
        array = np.frombuffer(data, dtype=dtype).reshape(shape)
    except ValueError as error:  # for example 65 axes
        raise ValueError(f"{path} has an array that NumPy does not support: {error}") from None
    return array.astype(dtype.newbyteorder("="), copy=False)


def load_idx(folder: str | os.PathLike[str]) -> tuple[Pair, Pair]:
    """Read the four files of MNIST or Fashion-MNIST in a folder.

    Parameters
    ----------
    folder : str or path-like
        The folder with train-images-idx3-ubyte, train-labels-idx1-ubyte, t10k-images-idx3-ubyte and
        t10k-labels-idx1-ubyte. Each file may also have the ending .gz.

    Returns
    -------
    (images, labels), (test_images, test_labels)
        Images are float32 of shape (N, 28, 28), with grey values between 0 and 1. Labels are intp of shape (N,).

    Raises
    ------
    FileNotFoundError
        The folder or a file in it is missing.
    ValueError
        A file is damaged, or images and labels do not match.

    Examples
    --------
    A folder with one image of 2 by 2 pixels in each part:

    >>> import tempfile
    >>> folder = Path(tempfile.mkdtemp())
    >>> for part in ("train", "t10k"):
    ...     image = bytes([0, 0, 8, 3, 0, 0, 0, 1, 0, 0, 0, 2, 0, 0, 0, 2, 0, 51, 102, 255])
    ...     _ = (folder / f"{part}-images-idx3-ubyte").write_bytes(image)
    ...     _ = (folder / f"{part}-labels-idx1-ubyte").write_bytes(bytes([0, 0, 8, 1, 0, 0, 0, 1, 7]))
    >>> (images, labels), test = load_idx(folder)
    >>> images.shape, labels.tolist()
    ((1, 2, 2), [7])
    >>> print(images[0])
    [[0.  0.2]
     [0.4 1. ]]
    """
    folder = Path(folder)
    if not folder.is_dir():
        raise FileNotFoundError(f"{folder}: there is no such folder")
    train, test = (_images_and_labels(folder, part) for part in ("train", "t10k"))
    return train, test


def _images_and_labels(folder: Path, part: str) -> Pair:
    images, labels = (read_idx(_find(folder, f"{part}-{what}-ubyte")) for what in ("images-idx3", "labels-idx1"))
    if images.ndim != 3 or labels.ndim != 1 or len(images) != len(labels) or images.dtype != np.uint8:
        raise ValueError(
            f"{folder}: {part} images and labels do not match: {images.dtype} images of shape {images.shape}, and "
            f"labels of shape {labels.shape}"
        )
    return images.astype(np.float32) / 255, labels.astype(np.intp)


def _find(folder: Path, name: str) -> Path:
    """Return the path of `name` or ``name.gz``. In some copies of the data, ``.idx`` replaces ``-idx``."""
    dotted = name.replace("-idx", ".idx")
    for candidate in (name, f"{name}.gz", dotted, f"{dotted}.gz"):
        if (folder / candidate).is_file():
            return folder / candidate
    there = ", ".join(sorted(p.name for p in folder.iterdir())[:8]) or "nothing"
    raise FileNotFoundError(f"{folder} holds neither {name} nor {name}.gz; it holds {there}")
