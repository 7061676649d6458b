"""The data sets that come with the package, and text files of your own.

The file ``files/README.md`` gives the source and licence of each data set.
"""

from __future__ import annotations

import bz2
import gzip
import os
from importlib.resources import files
from pathlib import Path

import numpy as np

from ..checks import check_regular_file

AUSTEN = (
    "emma",
    "mansfield_park",
    "northanger_abbey",
    "persuasion",
    "pride_and_prejudice",
    "sense_and_sensibility",
)
"""The titles that :func:`load_austen` accepts."""


def _read(name: str) -> bytes:
    return (files(__package__) / "files" / name).read_bytes()


def load_austen(title: str) -> str:
    """Return the whole text of one of Jane Austen's six novels.

    Parameters
    ----------
    title : str
        One of :data:`AUSTEN`.

    Raises
    ------
    ValueError
        `title` is not in :data:`AUSTEN`.

    Examples
    --------
    >>> text = load_austen("pride_and_prejudice")
    >>> len(text)
    684768
    >>> text[51:96]
    'It is a truth universally acknowledged, that '
    """
    if title not in AUSTEN:
        raise ValueError(f"title must be one of {', '.join(AUSTEN)}; got {title!r}")
    return bz2.decompress(_read(f"{title}.txt.bz2")).decode("utf-8")


def austen_split() -> tuple[str, str, str]:
    """Return the six novels as training, validation and test text. All results of this project use this split.

    Each novel is cut at 90 % and at 95 % of its characters, each time after the last line break before that point. The
    training text consists of the first parts of the six novels, in alphabetical order of title. The validation text
    consists of the second parts, and the test text of the third parts.

    Returns
    -------
    train, valid, test : str

    Examples
    --------
    >>> train, valid, test = austen_split()
    >>> len(train), len(valid), len(test)
    (3622251, 201294, 201483)
    """
    parts: tuple[list[str], list[str], list[str]] = ([], [], [])
    for title in AUSTEN:
        text = load_austen(title)
        first, second = (text.rindex("\n", 0, len(text) * percent // 100) + 1 for percent in (90, 95))
        for part, piece in zip(parts, (text[:first], text[first:second], text[second:]), strict=True):
            part.append(piece)
    train, valid, test = ("".join(part) for part in parts)
    return train, valid, test


def load_digits() -> tuple[np.ndarray, np.ndarray]:
    """Return 1,797 handwritten digits of 8 by 8 pixels (Alpaydin and Kaynak, 1998).

    Returns
    -------
    images : float32 array, shape (1797, 8, 8)
        Grey values between 0 (white) and 1 (black): the values 0..16 of the original, divided by 16.
    labels : intp array, shape (1797,)
        The digit, 0..9.

    Examples
    --------
    >>> images, labels = load_digits()
    >>> images.shape, labels.shape, int(labels[0])
    ((1797, 8, 8), (1797,), 0)
    """
    rows = gzip.decompress(_read("digits.csv.gz")).decode("ascii").splitlines()
    table = np.array([row.split(",") for row in rows], dtype=np.intp)  # (1797, 65): 64 pixels, then the label
    images = table[:, :64].reshape(-1, 8, 8).astype(np.float32) / 16
    return images, table[:, 64].copy()


def digits_split() -> tuple[tuple[np.ndarray, np.ndarray], tuple[np.ndarray, np.ndarray]]:
    """Return the digits as training and test set. All results of this project on digits use this split.

    The digits are sorted by label, and every fifth digit goes into the test set. This gives 1,438 training digits and
    359 test digits, with all labels in both sets. The same people wrote the digits of both sets. So the test accuracy
    says nothing about the handwriting of other people.

    Returns
    -------
    (images, labels), (test_images, test_labels)
        With the dtypes of :func:`load_digits`.

    Examples
    --------
    >>> (images, labels), (test_images, test_labels) = digits_split()
    >>> images.shape, test_images.shape, np.bincount(test_labels).tolist()
    ((1438, 8, 8), (359, 8, 8), [35, 37, 35, 37, 36, 36, 36, 36, 35, 36])
    """
    images, labels = load_digits()
    test = np.zeros(len(images), dtype=bool)
    test[np.argsort(labels, kind="stable")[4::5]] = True
    return (images[~test], labels[~test]), (images[test], labels[test])


def load_text(path: str | os.PathLike[str]) -> str:
    """Return the text in a UTF-8 file, with ``"\\n"`` for every line break and without a byte order mark.

    Parameters
    ----------
    path : str or path-like

    Raises
    ------
    FileNotFoundError
        There is no such file.
    ValueError
        `path` is a folder or a device, the file contains no text, or the file is not UTF-8.

    Examples
    --------
    >>> import tempfile
    >>> path = Path(tempfile.mkdtemp()) / "notes.txt"
    >>> _ = path.write_bytes(b"two\\r\\nlines")
    >>> load_text(path)
    'two\\nlines'
    """
    if not os.fspath(path):
        raise ValueError("the path of the text file is empty")
    path = Path(path)
    if not path.exists():
        raise FileNotFoundError(f"{path}: there is no such file")
    if path.is_dir():
        raise ValueError(f"{path} is a folder; a text file is needed")
    check_regular_file(path)
    data = path.read_bytes()
    try:
        text = data.decode("utf-8")
    except UnicodeDecodeError as error:
        raise ValueError(
            f"{path} is not UTF-8 text: byte {error.start} (0x{data[error.start]:02x}) is not valid in UTF-8. "
            f"Save the file as UTF-8 and try again"
        ) from None
    text = text.removeprefix("\ufeff").replace("\r\n", "\n").replace("\r", "\n")
    if not text.strip():
        raise ValueError(f"{path} is empty: it holds no text")
    return text
