"""Mistakes that are generated automatically, by changing the backward passes of the correct code.

Each mutant changes one operation of a backward pass:

    factor       a * b, a / b, a @ b     ->  a, or b
    term         a + b, a - b            ->  a, or b
    sign         a + b                   ->  a - b, and a - b -> a + b
    power        a ** b                  ->  a
    transpose    a.T                     ->  a
    accumulate   a += b                  ->  a = b

A change is left out if it gives the same gradients or cannot run.
"""

from __future__ import annotations

import ast
import copy
import inspect
import textwrap
import types
import warnings
from collections import Counter
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np

from nnscratch.gradcheck import GradientReport, check_gradients

from . import all_correct


def changes(tree: ast.AST) -> Iterator[tuple[str, str, ast.AST]]:
    """Yield (kind, "before -> after", changed tree) for every possible change."""
    for node in ast.walk(tree):
        for kind, new in variants(node):
            words = f"{ast.unparse(node)} -> {ast.unparse(new)}"
            yield kind, words, exchanged(tree, node, new)


def variants(node: ast.AST) -> list[tuple[str, ast.AST]]:
    if isinstance(node, ast.BinOp):
        if isinstance(node.op, ast.Pow):
            return [("power", node.left)]
        if isinstance(node.op, (ast.Add, ast.Sub)):
            other = ast.Sub() if isinstance(node.op, ast.Add) else ast.Add()
            turned = ast.BinOp(node.left, other, node.right)
            return [("term", node.left), ("term", node.right), ("sign", turned)]
        if isinstance(node.op, (ast.Mult, ast.MatMult)):
            return [("factor", node.left), ("factor", node.right)]
        if isinstance(node.op, ast.Div):
            return [("factor", node.left)]
    if isinstance(node, ast.Attribute) and node.attr == "T":
        return [("transpose", node.value)]
    if isinstance(node, ast.AugAssign) and isinstance(node.op, ast.Add):
        return [("accumulate", ast.copy_location(ast.Assign([node.target], node.value), node))]
    return []


def exchanged(tree: ast.AST, old: ast.AST, new: ast.AST) -> ast.AST:
    """Return a copy of `tree` with `new` in place of `old`."""
    copies: dict[int, Any] = {}
    whole = copy.deepcopy(tree, copies)
    place, put = copies[id(old)], copy.deepcopy(new)

    class Exchange(ast.NodeTransformer):
        def visit(self, node: ast.AST) -> ast.AST:
            return put if node is place else super().visit(node)

    return ast.fix_missing_locations(Exchange().visit(whole))


def with_backward(target: Any) -> tuple[Callable, Callable] | None:
    """Return backward, and a function that puts another backward into the target; or None."""
    if isinstance(target, tuple):
        return target[1], lambda function: (target[0], function)
    if not hasattr(type(target), "backward"):
        return None

    def put(function: Callable) -> Any:
        other = copy.deepcopy(target)
        other.__class__ = type(type(target).__name__, (type(target),), {"backward": function})
        return other

    return type(target).backward, put


def mutants(targets: list[tuple] | None = None) -> Iterator[tuple[str, str, str, GradientReport]]:
    """Yield (kind, name of the target, change, report) for every change that gives wrong gradients."""
    for _, target, inputs, options in all_correct() if targets is None else targets:
        found = with_backward(target)
        if found is None:
            continue
        backward, put = found
        tree = ast.parse(textwrap.dedent(inspect.getsource(backward)))
        name = backward.__qualname__.split(".")[0]
        for kind, words, changed in changes(tree):
            report = checked(changed, backward, put, inputs, options)
            if report is not None and any(entry.verdict == "wrong" for entry in report):
                yield kind, name, words, report


def checked(tree: ast.AST, backward: Callable, put: Callable, inputs: tuple, options: dict) -> GradientReport | None:
    """Return the report on a changed backward, or None if it cannot run."""
    names = dict(backward.__globals__)
    exec(compile(tree, "<changed>", "exec"), names)
    function = names[backward.__name__]
    if backward.__closure__:
        return None
    assert isinstance(function, types.FunctionType)
    try:
        with warnings.catch_warnings(), np.errstate(all="ignore"):
            warnings.simplefilter("ignore")
            return check_gradients(put(function), *inputs, **options)
    except Exception:  # a changed backward may raise any error
        return None


def table_of_changes(found: Iterator[tuple[str, str, str, GradientReport]]) -> list[str]:
    """Return a table: for each kind, the number of mistakes, how many were explained, and the most common diagnoses."""
    count: Counter[str] = Counter()
    explained: Counter[str] = Counter()
    first: dict[str, Counter[str]] = {}
    for kind, _, _, report in found:
        count[kind] += 1
        if report.diagnoses:
            explained[kind] += 1
            first.setdefault(kind, Counter())[report.diagnoses[0].mistake] += 1
    lines = ["| change | wrong gradients | explained | first diagnoses |", "|---|---|---|---|"]
    for kind in count:
        names = ", ".join(f"{mistake} ({n})" for mistake, n in first.get(kind, Counter()).most_common(6))
        lines.append(f"| {kind} | {count[kind]} | {share(explained[kind], count[kind])} | {names} |")
    lines.append(f"| all | {count.total()} | {share(explained.total(), count.total())} | |")
    return lines


def share(part: int, whole: int) -> str:
    return f"{part} ({100 * part / max(whole, 1):.0f} %)"
