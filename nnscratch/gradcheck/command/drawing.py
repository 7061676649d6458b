"""Draw random values for the arguments of code, from its signature, annotations, docstring and usual names.

The judge (judge.py) draws the values, so that the student's file cannot choose the inputs of its own check. Often a
signature does not say which shapes the arguments have. A reading is one guess of these shapes: it gives a shape or a
value for each argument. For each reading, the judge draws a few candidates. A candidate contains values for all
arguments. The worker, the process that runs the student's file, uses the first candidate that forward accepts.
"""

from __future__ import annotations

import itertools
import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from .course_names import COLUMNS, FAMILIES, OPERAND, SETTINGS, SIZES, canonical, number_for, size_for
from .docstring_shapes import Described, annotated_axes, described_arguments, sizes_of

WIDTHS = (2, 3, 1, 5, 6, 8, 10, 16, 20, 24, 32, 64, 784)  # numbers of features to try, for a class with fixed sizes
CHANNELS = (1, 3, 4, 24)  # numbers of channels to try, for a class with fixed sizes
MAX_CANDIDATES = 100
# A loss whose gradient is p - y only if each row of the targets y sums to one.
CROSS_ENTROPY = re.compile(r"^(?!.*(binary|bce|sigmoid)).*(cross_?entropy|softmax|nll)")


class CannotDraw(ValueError):
    """There is no value for an argument."""


@dataclass
class Given:
    """The values that the user gave on the command line.

    Attributes
    ----------
    inputs : list of array
        The arguments of forward by position.
    shapes : dict of str to str
        The shapes of arguments as text, by the name of the argument.
    values : dict of str to object
        The values of arguments, by the name of the argument.
    init, init_named : list, dict
        The arguments of the constructor.
    conventions : dict of str to str
        "sum" or "mean", by the name of the layer. The value for the name "" is used for all other layers.
    """

    inputs: list[Any] = field(default_factory=list)
    shapes: dict[str, str] = field(default_factory=dict)
    values: dict[str, Any] = field(default_factory=dict)
    init: list[Any] | None = None
    init_named: dict[str, Any] = field(default_factory=dict)
    conventions: dict[str, str] = field(default_factory=dict)


def candidates(label: str, described: dict[str, Any], given: Given, seed: int) -> list[dict[str, Any]]:
    """Return the candidates, the most likely first. Each candidate contains values for all arguments of the code.

    A candidate is a dict with ``init`` and ``init_named``, the arguments of the constructor, and ``inputs``, the
    arguments of forward.

    Parameters
    ----------
    label : str
        The name of the code. The name often contains the kind of layer.
    described : dict
        The worker's reply to ``describe``.
    given : Given
    seed : int

    Raises
    ------
    CannotDraw
        There is no value for an argument. The message names the argument and the option that sets it.
    """
    forward = [a for a in described["forward"] if a["kind"] in ("POSITIONAL_ONLY", "POSITIONAL_OR_KEYWORD")]
    forward = wanted(forward, given)
    init = wanted([a for a in described["init"] if "VAR" not in a["kind"]], given)
    rest = described["init"][len(init) :]
    small = {a["name"]: size for a in rest if (size := size_for(a["name"], a["default"])) is not None}
    found: list[dict[str, Any]] = []
    later: list[dict[str, Any]] = []  # candidates with inputs between 0 and 1, for functions such as a logarithm
    unknown: list[tuple[int, str]] = []
    for name, shapes in readings(label, described, forward, init):
        rng, drawn = np.random.default_rng(seed), None
        try:
            for settings, sizes, positive in ((0, small, False), (1, small, False), (0, {}, False), (0, small, True)):
                drawn = Drawing(label, shapes, given, settings, positive, rng)
                made = drawn.constructor(init)
                made["init_named"] = {**sizes, **made["init_named"]} if given.init is None else made["init_named"]
                candidate = {"reading": name, **made, "inputs": drawn.inputs(forward)}
                goes_to = later if positive else found
                if not any(same(candidate, other) for other in found + later):
                    goes_to.append(candidate)
        except CannotDraw as error:
            unknown.append((drawn.count if drawn else 0, str(error)))
    if not found:
        raise CannotDraw(max(unknown, key=lambda item: item[0])[1])  # the reading that has most values
    return (found + later)[:MAX_CANDIDATES]


def wanted(arguments: list[dict], given: Given) -> list[dict]:
    """Return the arguments up to the last one that needs a value. The arguments after this one keep their defaults.

    An argument needs a value if it is required, if the user gave one, or if it is a target with the default None.
    """
    named = given.shapes.keys() | given.values.keys()
    needed = [
        i
        for i, a in enumerate(arguments)
        if not a["optional"] or a["name"] in named or (a["default"] is None and "y" in canonical(a["name"]))
    ]
    return arguments[: needed[-1] + 1] if needed else []


def readings(label: str, described: dict, forward: list[dict], init: list[dict]) -> Iterator[tuple[str, dict]]:
    """Yield (name, descriptions) for each reading, which is one guess of the arguments' shapes and values.

    `descriptions` says for each argument which array or value to draw: see `draw`.
    """
    arguments = [*init, *forward]
    names = [a["name"] for a in arguments]
    from_text = described_arguments(described["doc"], names)
    for a in arguments:
        if a["name"] not in from_text and (axes := annotated_axes(a["annotation"])):
            from_text[a["name"]] = Described(axes, "int" in a["annotation"].lower(), "bool" in a["annotation"].lower())
    words = f"{label} {described['kind']}".lower()
    shapes = text_readings(from_text, words)
    names = [a["name"] for a in (*forward, *init)]  # "activations" is data as an input, but not in a constructor
    fitting = [(n, known) for n, pattern, known in FAMILIES if re.search(pattern, words) and fits(names, known)]
    if shapes:
        yield "the docstring", shapes
        for name, known in fitting:
            yield f"the docstring, {name}", {**by_family(names, known), **shapes}
    for name, known in fitting:
        yield name, by_family(names, known)
    if all(OPERAND.fullmatch(a["name"].lower()) for a in forward):
        yield "arrays of one shape", {a["name"]: "ND" for a in forward}
    if described["kind"] != "function" and forward:
        name, n = forward[0]["name"], SIZES["N"]
        labels = {a["name"]: "int K:N" for a in forward[1:] if "y" in canonical(a["name"])}
        for width in WIDTHS:
            yield f"{width} features", {name: (n, width), **labels}
        for channels in CHANNELS:
            yield f"{channels} channels", {name: (n, channels, SIZES["y"], SIZES["z"]), **labels}
            yield f"sequences of {channels} channels", {name: (n, channels, 2 * SIZES["L"]), **labels}
    elif len(forward) == 1 and "x" in canonical(forward[0]["name"]) and "forward" not in label:
        yield "a number", {forward[0]["name"]: "number"}  # for example, a function that uses math.exp


def text_readings(from_text: dict[str, Described], words: str) -> dict[str, Any]:
    """Return for each argument a description of the array to draw: see `draw`.

    `from_text` contains the arguments whose shape is in a docstring or an annotation. `words` is the name of the code.
    """
    shapes: dict[str, Any] = dict(sizes_of(from_text))
    for name, d in from_text.items():
        if d.boolean:
            shapes[name] = ("bool", shapes[name])
        elif d.integer:
            shapes[name] = ("int", 0, integer_limit(name, from_text, shapes), shapes[name])
        elif len(d.axes) == 2 and "y" in canonical(name) and CROSS_ENTROPY.search(words):
            shapes[name] = ("onehot", shapes[name])
    return shapes


def integer_limit(name: str, from_text: dict[str, Described], shapes: dict[str, Any]) -> int:
    """Return the number of classes or words. The integers of the argument `name` are smaller than this number.

    `from_text` contains the axes of the arguments, and `shapes` their sizes. Take the first float argument that has at
    least two axes, and at least one axis that the argument `name` does not have. For example, scores (N, C) and labels
    (N,) have the axis N in common. Then the number is C, the length of the last axis. Word vectors (V, D) and words
    (N, T) have no axis in common. Then the number is V, the length of the first axis.
    """
    for other, d in from_text.items():
        if other != name and not d.integer and not d.boolean and len(d.axes) >= 2:
            own = [a for a in d.axes if a not in from_text[name].axes]
            is_table = not set(d.axes) & set(from_text[name].axes)
            if own:
                return shapes[other][0] if is_table else shapes[other][-1]
    return SIZES["V"]


def fits(names: list[str], known: dict[str, str]) -> bool:
    """Return True if the family `known` can give the shapes of arguments with these names.

    A family contains the shapes of arguments that are used together: see course_names.py. If the family contains "y",
    "a" or "parameters", `names` must include all arguments of the family except "mask". Every other family fits.
    """
    missing = known.keys() - {"mask"} - {c for name in names for c in canonical(name)}
    return not missing or not known.keys() & {"y", "a", "parameters"}


def by_family(names: list[str], known: dict[str, str]) -> dict[str, str]:
    """Return the shape of each argument whose name is in the family `known`: see `fits`.

    Each shape of the family goes to at most one argument. A function may call its input ``h``. If the family contains
    no "h", and no argument has a usual name of "x", this argument gets the shape of "x".
    """
    found: dict[str, str] = {}
    left = dict(known)
    for name in names:
        meant = next((c for c in canonical(name) if c in left), None)
        if meant is not None:
            found[name] = left.pop(meant)
    for name in names:
        if "x" in left and name not in found and "h" in canonical(name):
            found[name] = left.pop("x")
    return found


class Drawing:
    """Draw random values for all arguments of code. A reading gives the shapes.

    Parameters
    ----------
    label : str
        The name of the code.
    shapes : dict
        The description of each argument's values: see `draw`.
    given : Given
    settings : int
        The index of the value to use from the lists in `SETTINGS`.
    positive : bool
        True if all floats must lie between 0.1 and 0.9.
    rng : numpy.random.Generator

    Attributes
    ----------
    count : int
        The number of arguments for which a value was drawn, or could not be drawn.
    """

    def __init__(self, label: str, shapes: dict, given: Given, settings: int, positive: bool, rng: np.random.Generator):
        self.label, self.shapes, self.given = label, shapes, given
        self.settings, self.positive, self.rng, self.count = settings, positive, rng, 0

    def constructor(self, init: list[dict]) -> dict[str, Any]:
        """Return values for the arguments of the constructor, or of the function that makes the object."""
        if self.given.init is not None:
            return {"init": self.given.init, "init_named": self.given.init_named}
        positional = [self.value(a, "--init") for a in init if a["kind"] != "KEYWORD_ONLY"]
        named = {a["name"]: self.value(a, "--init") for a in init if a["kind"] == "KEYWORD_ONLY" and not a["optional"]}
        return {"init": positional, "init_named": named}

    def inputs(self, forward: list[dict]) -> list[Any]:
        """Return values for the arguments of forward."""
        if self.given.inputs:
            return list(self.given.inputs)
        return [self.value(a, "--shape") for a in forward]

    def value(self, argument: dict, option: str) -> Any:
        """Return a value for one argument.

        Raises
        ------
        CannotDraw
            There is no value for this argument.
        """
        name, given = argument["name"], self.given
        self.count += 1
        if name in given.values:
            return given.values[name]
        if name in given.shapes:
            return draw_written(given.shapes[name], self.rng, f"--shape {name}=")
        if name.lower() in SETTINGS:
            several = SETTINGS[name.lower()]
            return dict(several[min(self.settings, len(several) - 1)])
        if self.shapes.get(name) == "dict":
            return draw_parameters(argument["keys"], self.rng)
        if name in self.shapes:
            array = draw(self.shapes[name], self.rng)
            is_normal = self.positive and np.asarray(array).dtype.kind == "f" and "onehot" not in self.shapes[name]
            return self.rng.uniform(0.1, 0.9, np.shape(array)) if is_normal else array
        number = number_for(name)
        if number is not None and not is_array_annotation(argument["annotation"]):
            return number
        if argument["optional"] and not (argument["default"] is None and "y" in canonical(name)):
            return argument["default"]
        if argument["annotation"] in ("int", "float", "bool"):
            return {"int": SIZES["D"], "float": 0.5, "bool": True}[argument["annotation"]]
        hint = f"--init with the arguments of {self.label}"
        hint = f"--shape {name}=4,5 for an array, or --arg {name}=VALUE" if option == "--shape" else hint
        raise CannotDraw(f"cannot tell how to call {self.label}: what is {name}? Give {hint}")


def is_array_annotation(annotation: str) -> bool:
    """Return True for annotations such as ``np.ndarray`` and ``NDArray``."""
    return bool(re.search(r"array|tensor|float\[|int\[", annotation, re.IGNORECASE))


def draw(shape: Any, rng: np.random.Generator) -> Any:
    """Draw an array of the given shape: a tuple of sizes such as (3, 4), or letters of axes such as "NCYX".

    The sizes of the axes are in `SIZES`. A word can say which values to draw. For example, "prob ND" draws numbers
    between 0.1 and 0.9. "int V:NT" draws integers from 0 to V - 1. ("int", 0, 7, (3, 4)) draws integers from 0 to 6.
    """
    if isinstance(shape, str):
        kind, _, letters = shape.rpartition(" ")
        limit, _, axes = letters.rpartition(":")
        if shape == "number":
            return float(rng.normal())
        sizes = tuple(SIZES[letter] for letter in axes)
        if kind == "int":
            low, _, high = limit.rpartition("-")
            return rng.integers(int(low or 0), SIZES[high], sizes)
        if kind == "full":
            return np.full(sizes, SIZES[limit])
    elif isinstance(shape[0], str):
        kind, *low_high, sizes = shape
        if kind == "int":
            return rng.integers(*low_high, sizes)
    else:
        kind, sizes = "", shape
    if kind == "bool":
        return rng.random(sizes) < 0.7
    if kind == "prob":
        return rng.uniform(0.1, 0.9, sizes)
    if kind == "binary":
        return rng.integers(0, 2, sizes).astype(float)
    if kind == "onehot":
        return np.eye(sizes[-1])[rng.integers(0, sizes[-1], sizes[:-1])]
    return rng.normal(size=sizes)


def draw_parameters(keys: list[str], rng: np.random.Generator) -> dict[str, np.ndarray]:
    """Draw a dictionary of parameters, for code in which each column of the inputs is an example.

    Parameters
    ----------
    keys : list of str
        The keys that forward uses. If a key is computed, as in ``parameters["W" + str(l)]``, the list contains only its
        start ``"W"``.
    rng : numpy.random.Generator

    Raises
    ------
    CannotDraw
        The shape of one of the arrays is not known.

    Examples
    --------
    >>> {k: v.shape for k, v in draw_parameters(["W1", "b1", "W2", "b2"], np.random.default_rng(0)).items()}
    {'W1': (5, 4), 'b1': (5, 1), 'W2': (1, 5), 'b2': (1, 1)}
    """
    numbers = [int(key[1:]) for key in keys if re.fullmatch(r"[Wb]\d{1,2}", key)]
    if numbers or set(keys) & {"W", "b"}:
        hidden = [SIZES["H"] + layer % 2 for layer in range(max(numbers, default=3) - 1)]
        sizes = [SIZES["D"], *hidden, 1]
        found = {}
        for layer, (before, after) in enumerate(itertools.pairwise(sizes), start=1):
            found |= {f"W{layer}": rng.normal(size=(after, before)), f"b{layer}": rng.normal(size=(after, 1))}
        return found
    shapes = {key: next((shape for pattern, shape in COLUMNS if pattern.fullmatch(key)), None) for key in keys}
    unknown = [key for key, shape in shapes.items() if shape is None]
    if unknown or not keys:
        said = f"the shapes of {', '.join(unknown)} are not known" if keys else "the checker found no keys in forward"
        raise CannotDraw(
            f"cannot draw the dictionary of parameters: {said}. Write a forward that takes the arrays as arguments"
        )
    return {key: draw(shape, rng) for key, shape in shapes.items()}


def draw_written(shape: str, rng: np.random.Generator, option: str = "--input ") -> np.ndarray:
    """Return random values for an input. The text `shape` describes the shape and the kind of the values.

    For ``4,5``, draw normally distributed floats of this shape. For ``ids:4,5:10``, draw integers below 10.

    Raises
    ------
    ValueError
        The text does not look like one of these two examples.
    """
    try:
        if shape.strip().startswith("ids:"):
            _, sizes, below = shape.split(":")
            return rng.integers(0, int(below), [int(n) for n in sizes.split(",") if n.strip()])
        return np.asarray(rng.normal(size=[int(n) for n in shape.split(",") if n.strip()]))
    except ValueError:
        raise ValueError(f"{option.strip()} must look like 4,5 or ids:4,5:10, got {shape!r}") from None


def same(a: Any, b: Any) -> bool:
    """Return True if two candidates contain the same values."""
    if isinstance(a, dict):
        return a.keys() == b.keys() and all(k == "reading" or same(a[k], b[k]) for k in a)
    if isinstance(a, (list, tuple)):
        return type(a) is type(b) and len(a) == len(b) and all(map(same, a, b))
    if isinstance(a, np.ndarray):
        return isinstance(b, np.ndarray) and a.dtype == b.dtype and a.shape == b.shape and bool((a == b).all())
    return type(a) is type(b) and a == b
