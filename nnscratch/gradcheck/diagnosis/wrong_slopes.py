"""Hypotheses: the derivative of a function of one array is missing, wrong, or taken at the wrong value.

Forward often computes y = phi(u), element by element, for example with np.tanh. Backward must then multiply by the
slope phi'(u). A hypothesis replaces phi'(u) by a wrong factor: 1, phi'(y), the sigmoid's formula, or 1 - h^2 with
a wrong array h. For example, for ``h = np.tanh(z)``, a student writes ``dz = dh``, or ``dz = dh * (1 - z**2)``. To test
this, forward is changed: np.tanh gets the wrong factor as its derivative. If the gradients of the changed forward equal
the gradients from backward, the mistake is found.

This file searches for arrays u and y such that all operations between them are elementwise, and y depends on no other
active array. An array is active if it depends on a differentiated array. In the code, `sources` are the operations that
read u, and `sinks` are the operations whose result is y. Each list has one operation for each iteration of a loop.
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial
from typing import Any

import numpy as np

from ..tape import Node, record_operand, replace_slope
from .forward_graph import VARIABLE, ForwardGraph, content_key, gradient_of_result
from .hypotheses import Hypothesis
from .slope_formulas import ELSEWHERE, WRONG, sigmoid, slope_formulas

# Operations that are also tested alone if they are a part of a function, as tanh is in phi(u) = 1 + tanh(u).
WHOLE = {"tanh", "maximum", "minimum", "clip", "where"}
STEPS = {*WHOLE, "exp", "log", "sqrt", "sin", "cos"}  # each of these functions gives a factor in the chain rule
FEW = 8  # if all arrays together have fewer than FEW elements, phi'(u) times a constant is tested too
MAX_THRESHOLDS = 100  # if u has more than this number of elements, masks with other thresholds are not tested
SMOOTH = {"sqrt", "square", "power", "reciprocal", "multiply", "divide", "add", "subtract", "negative"}


def wrong_slopes(graph: ForwardGraph) -> Iterator[Hypothesis]:
    """Yield hypotheses about functions y = phi(u) in forward: backward uses a wrong factor instead of phi'(u)."""
    few = sum(v.size for v in graph.projection.variables.values()) < FEW
    for every_source, j, every_sink, block in find_functions(graph):
        active = [pair for pair in zip(every_source, every_sink, strict=True) if pair[0].active[j]]
        sources, sinks = map(list, zip(*active, strict=True))  # leave out iterations in which u is constant
        blocks = [block(s, n) for s, n in zip(sources, sinks, strict=True)]
        if not all(n in nodes for n, nodes in zip(sinks, blocks, strict=True)):
            continue
        found = [ElementwiseFunction(s, j, n, nodes) for s, n, nodes in zip(sources, sinks, blocks, strict=True)]
        if not all(np.isfinite(f.d).all() for f in found) or not any(f.is_nonlinear for f in found):
            continue
        only = graph.variable_name(sources, j)
        if only is not None and sum(1 for _, _, v in graph.edges() if v == only) > 1:
            only = None
        names = {n.name for n in found[0].nodes}
        for rank, mistake, evidence, slopes in alternative_slopes(graph, found, not names <= SMOOTH, sources, sinks):
            if not any(np.any(g) for g in slopes):
                continue  # a factor of 0 is a missing path, which missing_paths.py finds
            if not few and is_proportional(slopes, [f.d for f in found]):
                continue  # the mistake is a wrong constant, and path_factors in forward_mistakes.py finds it
            changes = {}
            for f, g in zip(found, slopes, strict=True):
                changes |= with_slope(graph, (f.source.number, j), f.sink.number, g)
            yield Hypothesis(rank, mistake, evidence, sinks[0].place, changes, only)


Slopes = tuple[float, str, str, list[Any]]  # rank, mistake, evidence, and the wrong factor in each iteration


def alternative_slopes(
    graph: ForwardGraph, found: list[ElementwiseFunction], activation: bool, sources: list[Node], sinks: list[Node]
) -> Iterator[Slopes]:
    """Yield (rank, mistake, evidence, slopes) for wrong factors that backward may use instead of phi'(u).

    Parameters
    ----------
    graph : ForwardGraph
    found : list of ElementwiseFunction
        The function y = phi(u) in each iteration of a loop.
    activation : bool
        True if phi may be an activation function.
    sources, sinks : list of Node
        The operations that read u, and the operations whose result is y. Each list has one operation for each
        iteration.
    """
    levels = np.unique(np.concatenate([np.round(f.d, 6).ravel() for f in found]))
    is_mask = len(levels) == 2 and levels[0] == 0  # phi'(u) is 0 or one other number, as for ReLU
    argument = sources[0].outer_names[found[0].j]
    if is_mask:
        yield from wrong_masks(graph, found, sinks, argument, levels[1])
    else:
        yield from wrong_formulas(found, argument, activation)
    if activation or is_mask:
        yield from slopes_at_other_values(graph, found, sources, sinks, argument)


def computes_as_if(argument: str) -> str:
    """Return the first words of a text for the report: backward uses a wrong derivative with respect to `argument`."""
    return f"backward computes as if the derivative with respect to `{argument}` were "


def computes_phi_as_if(argument: str) -> str:
    """Return the first words of a text for the report: backward uses a wrong formula with u and y = phi(u)."""
    return f"for y = phi(u) with u = `{argument}`, backward computes as if the derivative were "


def wrong_masks(
    graph: ForwardGraph, found: list[ElementwiseFunction], sinks: list[Node], argument: str, top: float
) -> Iterator[Slopes]:
    """Yield what `alternative_slopes` yields, for a function such as ReLU: its derivative is 0 or the number `top`."""
    d, u, y = ([getattr(f, part) for f in found] for part in ("d", "u", "y"))
    says, says_of_phi = computes_as_if(argument), computes_phi_as_if(argument)
    if not mask_matters(graph, found, sinks):
        return
    yield 1.1, "mask not applied", f"{says}{top:.4g} everywhere", [0 * x + top for x in d]
    yield 1.15, "mask not applied", f"{says}1 everywhere", [0 * x + 1 for x in d]
    yield 1.3, "mask inverted", f"{says}{top:.4g} exactly where it is 0", [np.where(x == 0, top, 0) for x in d]
    yield from other_thresholds(u, d, top)
    yield 1.5, ELSEWHERE, f"{says_of_phi}u (1 - u), the sigmoid's formula", [x * (1 - x) for x in u]
    yield 1.5, ELSEWHERE, f"{says_of_phi}y (1 - y), the sigmoid's formula", [x * (1 - x) for x in y]
    yield 1.5, WRONG, f"{says_of_phi}the sigmoid's derivative at u", [sigmoid(x) * (1 - sigmoid(x)) for x in u]
    if sum(x.size for x in d) <= MAX_THRESHOLDS:
        signs = [gradient_of_result(graph, n) > 0 for n in sinks]
        words = "backward passes the gradient where the gradient itself is above 0"
        yield 1.4, "another mask applied", f"{words}, and ignores the mask of forward", [top * s for s in signs]
        both = [s * x for s, x in zip(signs, d, strict=True)]
        yield 1.4, "another mask applied", f"{words} and the mask of forward is not 0", both


def wrong_formulas(found: list[ElementwiseFunction], argument: str, activation: bool) -> Iterator[Slopes]:
    """Yield what `alternative_slopes` yields, for a function such as tanh: its derivative has more than two values."""
    d, says = [f.d for f in found], computes_as_if(argument)
    missing = "activation's derivative missing" if activation else "a factor missing"
    yield (1.2 if activation else 4.4), missing, f"{says}1", [0 * x + 1 for x in d]
    yield 1.3, "activation's derivative applied twice", f"{says}squared", [x**2 for x in d]
    if not activation:
        return
    listed = [{formula[2]: formula for formula in slope_formulas(f.u, f.y, f.d, f, f.slope_at)} for f in found]
    for text, (rank, mistake, *_) in listed[0].items():
        slopes = [formulas[text][3] for formulas in listed if text in formulas]
        if len(slopes) == len(found) and all(np.isfinite(x).all() for x in slopes):
            yield rank, mistake, computes_phi_as_if(argument) + text, slopes


def slopes_at_other_values(
    graph: ForwardGraph, found: list[ElementwiseFunction], sources: list[Node], sinks: list[Node], argument: str
) -> Iterator[Slopes]:
    """Yield what `alternative_slopes` yields, for phi' taken at a wrong array: y, or an array with y's shape."""
    d, y, at_y = [f.d for f in found], [f.y for f in found], [f.slope_at(f.y) for f in found]
    says_of_phi = computes_phi_as_if(argument)
    if all(np.isfinite(x).all() for x in at_y):
        evidence = f"{says_of_phi}taken at the activation y instead of the pre-activation u"
        yield 1.25, ELSEWHERE, evidence, at_y
    function = name_of_function(graph, sources[0], sinks[0], argument)
    formulas = []
    if all(np.allclose(1 - b**2, x) for b, x in zip(y, d, strict=True)):  # phi is tanh
        formulas += [("1 - %s^2", lambda a: 1 - a**2), ("1 - %s", lambda a: 1 - a)]
    if all(np.allclose(b * (1 - b), x) for b, x in zip(y, d, strict=True)):  # phi is the sigmoid
        formulas += [("%s (1 - %s)", lambda a: a * (1 - a)), ("1 - %s", lambda a: 1 - a)]
    for values, name in arrays_like_result(graph, sinks):
        if all(np.array_equal(a, b) for a, b in zip(values, y, strict=True)):
            continue
        g = [f.slope_at(a) for f, a in zip(found, values, strict=True)]
        if all(np.isfinite(x).all() for x in g):
            where = f"`{name}`, not at `{argument}`" if name != argument else f"another value of `{name}`"
            yield 1.28, ELSEWHERE, f"the derivative of `{function}` is taken at {where}", g
        for text, formula in formulas:
            yield 1.28, ELSEWHERE, says_of_phi + text.replace("%s", name), [formula(a) for a in values]


def name_of_function(graph: ForwardGraph, source: Node, sink: Node, argument: str) -> str:
    """Return the source of y = phi(u) in the user's code: the call of a function, or the expression that computes y.

    A call is returned only if its result is y. If another operation of the same call reads y, then y is an
    intermediate result of the call.
    """
    readers = graph.consumers.get(content_key(sink.result), [])
    is_intermediate = any(n.call == source.call and n.round == sink.round for n in readers)
    if source.call.endswith(f"({argument})") and not is_intermediate:
        return source.call
    return sink.expression


def mask_matters(graph: ForwardGraph, found: list[ElementwiseFunction], sinks: list[Node]) -> bool:
    """Return False if the gradient of y = phi(u) is 0 at all elements where phi'(u) is 0.

    Then the gradient of u is right even without the mask. An example is the causal mask of attention: a softmax
    follows, and the weights of the masked elements are 0.
    """
    rng = np.random.default_rng(5)
    for f, node in zip(found, sinks, strict=True):
        v, zero = rng.uniform(0.5, 1, np.shape(f.d)), np.abs(f.d) < 1e-6
        at_zeros, elsewhere = (abs(graph.derivative_by_result(node, v * part)) for part in (zero, ~zero))
        if at_zeros > 1e-7 * elsewhere:
            return True
    return False


def other_thresholds(u: list[Any], d: list[Any], top: float) -> Iterator[tuple[float, str, str, list[Any]]]:
    """Yield (rank, mistake, evidence, masks) for masks whose threshold differs from that of forward.

    The masks compare the input `u`, or its absolute value, with the threshold. `d` is the mask of forward, and `top` is
    its value where it is not 0.
    """
    for formula, text in ((np.asarray, "the input is above"), (lambda x: -np.abs(x), "|input| is below")):
        values = [formula(x) for x in u]
        levels = np.unique(np.concatenate([np.ravel(x) for x in values]))
        if levels.size > MAX_THRESHOLDS:
            continue
        for low, high in zip(levels[:-1], levels[1:], strict=True):
            masks = [top * (x > (low + high) / 2) for x in values]
            if not all(np.array_equal(m, x) for m, x in zip(masks, d, strict=True)):
                a, b = sorted((abs(low), abs(high))) if "|" in text else (low, high)
                evidence = f"backward passes the gradient where {text} a threshold between {a:.3g} and {b:.3g}"
                yield 1.45, "another mask applied", evidence, masks


def arrays_like_result(graph: ForwardGraph, sinks: list[Node]) -> Iterator[tuple[list[Any], str]]:
    """Yield (values, name) for each float variable with the same shape as y, the result of the operations `sinks`.

    `values` contains the variable in each iteration of the loop.
    """
    for values, name in graph.arrays.get(len(sinks), {}).values():
        same = all(v.shape == n.result.shape for v, n in zip(values, sinks, strict=True))
        if same and values[0].dtype.kind == "f" and VARIABLE.match(name):
            yield values, name


def find_functions(graph: ForwardGraph) -> Iterator[tuple]:
    """Yield (sources, operand, sinks, block) for each function y = phi(u) in forward that is computed elementwise.

    `sources` are the operations that read u. In each of them, u is the operand with the index `operand`. `sinks` are
    the operations whose result is y. Both lists have one operation for each iteration of a loop.
    ``block(source, sink)`` returns the operations from `source` to `sink`.
    """
    edges = [(nodes, j) for nodes, j, _ in graph.edges() if j >= 0]
    seen: set[tuple] = set()
    for sources, j in edges:
        start = sources[-1]  # use the last iteration, because a state may be zero in the first
        if not start.elementwise or np.shape(start.operands[j]) != start.result.shape:
            continue
        u = content_key(start.operands[j])
        made = [m for m in graph.producers.get(u, ()) if m.number < start.number]
        inner = made and made[-1].elementwise and sum(made[-1].active) == 1 and keeps_shape(made[-1])
        if inner and start.name not in WHOLE and not is_mask_product(start):
            continue  # this function is a part of a longer function, which another iteration of this loop finds
        if (u, start.result.shape) in seen:
            continue
        seen.add((u, start.result.shape))
        block = elementwise_block(graph, start, u)
        for sink in block:
            consumers = graph.consumers.get(content_key(sink.result), [])
            sinks = graph.families[sink.family]
            inside = len(consumers) == 1 and consumers[0] in block and is_single_step(consumers[0])
            if inside and sink.name not in WHOLE and consumers[0].name not in STEPS:
                if len(graph.families[consumers[0].family]) == len(sinks):  # they are in the same loop
                    continue  # the result of `sink` is an intermediate result
            if len(sinks) == len(sources):
                yield sources, j, sinks, lambda s, n, j=j: elementwise_block(graph, s, content_key(s.operands[j]), n)


def elementwise_block(graph: ForwardGraph, start: Node, u: tuple, end: Node | None = None) -> list[Node]:
    """Return the elementwise operations, from `start` to `end`, that compute a function of one array.

    `u` is the `content_key` of this array. Each active operand of a returned operation is this array, or the result of
    an earlier returned operation. The function returns at most ten operations.
    """
    inside, found = {u}, []
    first = next(i for i, node in enumerate(graph.nodes) if node is start)
    for node in graph.nodes[first : first + 60]:
        if node.elementwise and any(node.active) and node.result.shape == start.result.shape:
            read = {content_key(x) for x, active in zip(node.operands, node.active, strict=True) if active}
            if read <= inside:
                found.append(node)
                inside.add(content_key(node.result))
        if node is end or len(found) == 10:
            break
    return found


class ElementwiseFunction:
    """A function y = phi(u) that forward computes by elementwise operations, such as a sigmoid.

    Parameters
    ----------
    source : Node
        The first operation, which reads u.
    j : int
        The index of u in the list of operands of `source`.
    sink : Node
        The last operation, whose result is y.
    nodes : list of Node
        All operations from `source` to `sink`.

    Attributes
    ----------
    u, y, d : ndarray
        The input u, the output y, and the derivative phi'(u), element by element.
    """

    def __init__(self, source: Node, j: int, sink: Node, nodes: list[Node]):
        self.source, self.j, self.sink, self.nodes = source, j, sink, nodes
        self.u, self.y = source.operands[j], sink.result
        self.d = self.slope_at(self.u)

    @property
    def is_nonlinear(self) -> bool:
        """True if phi'(u) differs between the elements of u.

        If u has only one element, True if phi'(u + 0.1) differs from phi'(u).
        """
        if self.d.size == 1:
            return abs((self.slope_at(self.u + 0.1) - self.d).item()) > 1e-6
        return float(np.ptp(self.d)) > 1e-6

    def slope_at(self, point: Any) -> Any:
        """Return phi'(point), from finite differences."""
        return (self(point + 1e-5) - self(point - 1e-5)) / 2e-5

    def __call__(self, u: Any) -> Any:
        values = {content_key(self.u): u}
        with np.errstate(all="ignore"):
            for node in self.nodes:
                operands = [
                    values.get(content_key(x), x) if active else x
                    for x, active in zip(node.operands, node.active, strict=True)
                ]
                values[content_key(node.result)] = node.compute(*operands)
        return values[content_key(self.y)]


def is_mask_product(node: Node) -> bool:
    """Return True for the product with a constant mask. A mask has two different values, one of which is 0."""
    if node.name != "multiply" or sum(node.active) != 1:
        return False
    mask = np.asarray(node.operands[node.active.index(False)])
    return len(np.unique(mask)) == 2 and 0 in mask


def keeps_shape(node: Node) -> bool:
    """Return True if an active operand has the shape of the result."""
    pairs = zip(node.active, node.operands, strict=True)
    return any(active and np.shape(x) == node.result.shape for active, x in pairs)


def is_single_step(node: Node) -> bool:
    """Return True if the operation has one active operand, and its other operands are single numbers."""
    return sum(node.active) == 1 and all(
        active or np.size(x) == 1 for x, active in zip(node.operands, node.active, strict=True)
    )


def is_proportional(a: list[Any], b: list[Any]) -> bool:
    """Return True if the arrays in `a` equal the arrays in `b` times one constant."""
    x, y = (np.concatenate([np.ravel(part) for part in parts]) for parts in (a, b))
    size = float(y @ y)
    return size == 0 or float(np.abs(x - (x @ y) / size * y).max()) <= 1e-6 * float(np.abs(x).max())


def with_slope(graph: ForwardGraph, source: tuple[int, int], sink: int, g: Any) -> dict:
    """Return the changes of forward that make `g` the derivative of a result with respect to an earlier operand.

    `source` contains the number of the operation that reads the operand, and the index of the operand. `sink` is the
    number of the operation that computes the result. `g` is the derivative, or a function that returns the increment of
    the result for an increment of the operand. An increment is an array minus its value in the first forward pass.
    """
    found = {sink: replace_slope(graph.tape, source, g if callable(g) else partial(np.multiply, g))}
    if source[0] != sink:
        found[source[0]] = record_operand(graph.tape, source[1])
    return found
