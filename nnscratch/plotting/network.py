"""The graph of a model: its modules, with shapes, values and gradients."""

from __future__ import annotations

import copy
import itertools
import math
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from .. import backend
from ..checks import check_instance
from ..module import Module
from ..parameter import Parameter
from ..record import record
from .style import BLUE, GREY, ORANGE, axes_or_new

MAX_NODES = 40  # `combination` searches the operands of a sum or product among this number of the latest nodes


@dataclass
class Node:
    """One call of a module, an input, or a sum or product outside the modules."""

    text: str
    output: Any
    gradient: Any = None
    sources: list[int] = field(default_factory=list)


def draw_network(model: Module, *inputs: Any, dy: Any = None, ax: Any = None) -> Any:
    """Draw the graph of a model: a box for each layer, with the shape and the size of its output.

    A module gets a box if it has its own parameters or no inner modules. An arrow means that the output of one box is
    an input of the other. Sums and products of two outputs, as in a residual connection, get a box too. A box with "?"
    is an array that was computed in another way. The number after "size" is the root mean square of the output.

    Parameters
    ----------
    model : Module
    *inputs : arrays
        The arguments of the model's forward, which is called once.
    dy : array, optional
        The gradient of the output. If it is given, backward is called too, and each box also shows the size of the
        gradient with respect to its output. A copy of the model runs, so the gradients in `model` do not change.
    ax : matplotlib Axes, optional

    Returns
    -------
    matplotlib Axes

    Examples
    --------
    >>> import numpy as np, nnscratch as nn
    >>> model = nn.Sequential(nn.Linear(4, 8, rng=0), nn.Residual(nn.Linear(8, 8, rng=1), nn.ReLU()))
    >>> ax = nn.plotting.draw_network(model, np.ones((2, 4), dtype=np.float32))
    >>> [text.get_text().split()[0] for text in ax.texts]
    ['input', 'Linear', 'Linear', 'ReLU', '+']
    """
    from matplotlib.patches import FancyArrowPatch

    check_instance("draw_network", "model", model, Module)
    nodes = graph_of(model, inputs, dy)
    rows: dict[int, list[int]] = {}
    depth: list[int] = []
    for k, node in enumerate(nodes):
        depth.append(1 + max((depth[s] for s in node.sources), default=-1))
        rows.setdefault(depth[k], []).append(k)
    width = max(map(len, rows.values()))
    place = {k: (i - (len(row) - 1) / 2, -d) for d, row in rows.items() for i, k in enumerate(row)}
    ax = axes_or_new(ax, max(4.0, 3.2 * width), 0.5 + 0.72 * len(rows))
    ax.set_axis_off()
    ax.set_xlim(-0.5 * width - 0.25, 0.5 * width + 0.25)
    ax.set_ylim(-len(rows) + 0.4, 0.6)
    for k, node in enumerate(nodes):
        for source in node.sources:
            far = depth[k] - depth[source] > 1 and place[source][0] == place[k][0]
            bend = f"arc3,rad={-2.8 / (depth[k] - depth[source]):.3f}" if far else "arc3"
            arrow = FancyArrowPatch(place[source], place[k], connectionstyle=bend, shrinkA=12, shrinkB=15,
                                    arrowstyle="-|>", mutation_scale=9, color=GREY, zorder=0)  # fmt: skip
            ax.add_patch(arrow)
    for k, node in enumerate(nodes):
        text = f"{node.text}  {shape_of(node.output)}\nsize {size_of(node.output)}"
        if node.gradient is not None:
            text += f", gradient {size_of(node.gradient)}"
        colour = ORANGE if node.text[0].isupper() else BLUE
        ax.text(*place[k], text, ha="center", va="center", fontsize=8, color="black",
                bbox={"boxstyle": "round,pad=0.35", "facecolor": "white", "edgecolor": colour})  # fmt: skip
    return ax


def graph_of(model: Module, inputs: tuple, dy: Any = None) -> list[Node]:
    """Run a copy of the model, and return the nodes of its graph. Each node comes after its sources.

    The source of an array is the node whose output has the same values.
    """
    model = copy.deepcopy(model)
    if dy is not None:
        backend.array_module(dy)
        model.zero_grad()
        model.train()
    with record(model) as seen:
        y = model(*inputs)
        if dy is not None:
            model.backward(dy)
    arrays = arrays_in(inputs)
    nodes = [Node("input" if len(arrays) == 1 else f"input {k + 1}", array) for k, array in enumerate(arrays)]
    source_of = {key_of(node.output): k for k, node in enumerate(nodes)}
    waiting, boxes = [], list(boxes_of(model))
    for one in seen.values():
        if one.module in boxes:
            gradients = one.gradients[::-1] + [None] * len(one.outputs)  # backward visits the last call first
            waiting += [(one.module, *call) for call in zip(one.inputs, one.outputs, gradients, strict=False)]

    def add(node: Node) -> None:
        nodes.append(node)
        for array in arrays_in(node.output):
            source_of[key_of(array)] = len(nodes) - 1

    def unknown(values: Any) -> list[Any]:
        return [array for array in arrays_in(values) if key_of(array) not in source_of]

    def explain(array: Any) -> None:
        """Add a node for an array that no module computed."""
        sign, sources = combination(array, nodes) or ("?", [])
        add(Node(sign, array, None, sources))

    while waiting:
        ready = next((call for call in waiting if not unknown(call[1])), None)
        if ready is None:
            explained = [(a, combination(a, nodes)) for call in waiting for a in unknown(call[1])]
            explain(next((a for a, found in explained if found), explained[0][0]))
            continue
        waiting.remove(ready)
        module, given, output, gradient = ready
        sources = sorted({source_of[key_of(array)] for array in arrays_in(given)})
        add(Node(type(module).__name__, output, gradient, sources))
    for array in unknown(y)[:1]:
        explain(array)
    return nodes


def boxes_of(module: Module) -> Iterator[Module]:
    """Yield the modules that get a box: those with their own parameters, and those without inner modules."""
    children = [child for _, child in module.named_children()]
    if not children or any(isinstance(value, Parameter) for value in vars(module).values()):
        yield module
    else:
        for child in children:
            yield from boxes_of(child)


def combination(array: Any, nodes: list[Node]) -> tuple[str, list[int]] | None:
    """Return "+" or "*" and the two nodes whose sum or product is `array`, or None if there are none."""
    known = [(k, a) for k, node in enumerate(nodes[-MAX_NODES:], max(len(nodes) - MAX_NODES, 0))
             for a in arrays_in(node.output) if a.shape == array.shape and a.dtype == array.dtype]  # fmt: skip
    for (i, a), (j, b) in itertools.combinations(known[::-1], 2):
        for sign, result in (("+", a + b), ("*", a * b)):
            if np.allclose(result, array, rtol=1e-5, atol=1e-6 * float(np.abs(array).max(initial=0.0))):
                return sign, [j, i]
    return None


def arrays_in(values: Any) -> list[np.ndarray]:
    """Return the arrays in nested tuples, lists and dictionaries, as NumPy arrays."""
    if isinstance(values, (tuple, list)):
        return [array for value in values for array in arrays_in(value)]
    if isinstance(values, dict):
        return arrays_in(list(values.values()))
    return [backend.to_numpy(values)] if hasattr(values, "shape") and np.prod(values.shape) else []


def key_of(array: np.ndarray) -> tuple:
    """Return a key that is equal for arrays with the same values, even after a reshape."""
    return array.dtype.str, array.size, hash(np.ascontiguousarray(array).tobytes())


def size_of(values: Any) -> str:
    """Return the root mean square of an array as text. For several arrays, use the first."""
    (first, *_) = arrays_in(values) or [np.zeros(1)]
    return f"{math.sqrt(float((np.asarray(first, dtype=np.float64) ** 2).mean())):.2g}"


def shape_of(values: Any) -> str:
    """Return the shape of an array as text. For several arrays, use the first."""
    return "x".join(map(str, arrays_in(values)[0].shape)) if arrays_in(values) else ""
