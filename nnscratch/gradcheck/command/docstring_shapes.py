"""Read the shapes of arguments from a docstring, such as CS231n's ``- w: weights, of shape (D, M)``."""

from __future__ import annotations

import ast
import math
import re
from dataclasses import dataclass

from .course_names import SIZES, canonical

SYMBOLS = {
    "n": SIZES["N"],
    "b": SIZES["N"],
    "batch": SIZES["N"],
    "batch_size": SIZES["N"],
    "d": SIZES["D"],
    "m": SIZES["M"],
    "h": SIZES["H"],
    "w": SIZES["X"],
    "c": SIZES["K"],
    "f": SIZES["F"],
    "hh": SIZES["k"],
    "ww": SIZES["k"],
    "kh": SIZES["k"],
    "kw": SIZES["k"],
    "t": SIZES["T"],
    "v": SIZES["V"],
    "k": SIZES["K"],
    "l": SIZES["L"],
}
OTHER_SIZES = (4, 5, 6, 7, 3)
IS_INTEGER = re.compile(r"\b(integers?|indices|int)\b", re.IGNORECASE)
IS_LABEL = re.compile(r"\b(labels?|class(es)?)\b", re.IGNORECASE)


@dataclass
class Described:
    """The description of one argument in a docstring.

    Attributes
    ----------
    axes : list of str
        The axes of the shape, as the docstring names them: "N", "4H", "d_1", "...".
    integer : bool
        True if the text says that the elements are integers, such as labels.
    boolean : bool
        True if the text says that the elements are True or False.
    """

    axes: list[str]
    integer: bool = False
    boolean: bool = False


def described_arguments(docstring: str, names: list[str]) -> dict[str, Described]:
    """Return a description of each argument whose shape is in the docstring.

    Examples
    --------
    >>> found = described_arguments("Inputs: - x: of shape (N, D)\\n - y: labels, of shape (N,)", ["x", "y"])
    >>> found["x"].axes, found["y"].axes, found["y"].integer
    (['N', 'D'], ['N'], True)
    """
    found: dict[str, Described] = {}
    known = "|".join(re.escape(name) for name in names) or "(?!)"
    entry = re.compile(rf"(?:^|[-*\n:.])\s*`{{0,2}}({known})`{{0,2}}\s*(?:--|:|,(?=\s*np\b))", re.MULTILINE)
    matches = list(entry.finditer(docstring))
    ends = [match.start() for match in matches[1:]] + [len(docstring)]
    for match, end in zip(matches, ends, strict=False):
        name, text = match.group(1), docstring[match.end() : end].split("\n\n")[0]
        # Of two shapes, as in "either (N) or (batch_size, N)", take the second, because it is often the one of a batch.
        shape = re.search(r"(?:shape\s*:?\s*|^[\s\w,.]*)\(([^()]*)\)(?:\s*or\s*\(([^()]*)\))?", text)
        axes = [axis.strip() for axis in (shape.group(2) or shape.group(1)).split(",")] if shape else []
        axes = axes[:-1] if axes and not axes[-1] else axes
        if name not in found and axes and all(re.fullmatch(r"\.\.\.|[\w ]*\w(\s*[*]\s*\w+)*", axis) for axis in axes):
            found[name] = Described(axes, is_integer(name, text), "boolean" in text.lower())
    return found


def is_integer(name: str, text: str) -> bool:
    """Return True if the description of an argument says that its elements are integers."""
    if re.search("one.?hot", text, re.IGNORECASE):
        return False
    return bool(IS_INTEGER.search(text) or ("y" in canonical(name) and IS_LABEL.search(text)))


def sizes_of(described: dict[str, Described]) -> dict[str, tuple[int, ...]]:
    """Return a shape for each argument. The same symbol has the same size in all shapes.

    Examples
    --------
    >>> sizes_of({"x": Described(["N", "d_1", "...", "d_k"]), "w": Described(["D", "M"])})
    {'x': (3, 2, 2), 'w': (4, 5)}
    """
    symbols: dict[str, int] = {}
    axes_of = [[a.lower().replace(" ", "_") for a in d.axes] for d in described.values()]
    if any({"h", "w"} <= set(axes) for axes in axes_of):  # in an image, C is the number of channels
        symbols |= {"h": SIZES["Y"], "w": SIZES["X"], "c": SIZES["C"]}
    if any({"n"} < set(axes) and {"batch", "batch_size"} & set(axes) for axes in axes_of):
        symbols["n"] = SIZES["K"]  # in (batch_size, N), N is not the number of examples
    left = list(OTHER_SIZES)

    def size(axis: str) -> int:
        if axis.isdigit():
            return int(axis)
        if match := re.fullmatch(r"(\d+)_?\*?_?([a-z]\w*)", axis):  # for example 4H or 4*H
            return int(match.group(1)) * size(match.group(2))
        if "*" in axis:
            factors = [size(part.strip("_")) for part in axis.split("*")]
            return math.prod(factors)
        if axis not in symbols:
            symbols[axis] = SYMBOLS.get(axis) or left[len(symbols) % len(left)]
        return symbols[axis]

    shapes = {}
    for name, axes in zip(described, axes_of, strict=True):
        if "..." in axes:  # for (N, d_1, ..., d_k), use two axes with the product D
            first = [axis for axis in axes[: axes.index("...")] if not re.fullmatch(r"[a-z]_?1", axis)]
            shapes[name] = (*map(size, first), 2, 2)
        else:
            shapes[name] = tuple(map(size, axes))
    return shapes


def annotated_axes(annotation: str) -> list[str]:
    """Return the axes in an annotation such as ``Float[np.ndarray, "N D"]``, or [] if there are none.

    Examples
    --------
    >>> annotated_axes("Float[np.ndarray, 'N D']"), annotated_axes("np.ndarray")
    (['N', 'D'], [])
    """
    try:
        tree = ast.parse(annotation, mode="eval").body
    except (SyntaxError, ValueError, RecursionError):
        return []
    texts = [n.value for n in ast.walk(tree) if isinstance(n, ast.Constant) and isinstance(n.value, str)]
    axes = texts[-1].replace(",", " ").split() if texts else []
    return axes if axes and all(re.fullmatch(r"\w+", axis) for axis in axes) else []
