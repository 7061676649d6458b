"""Test the places and names that an operation has in the code of the user."""

import ast
import linecache
import os
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import wrong_gradients
from projections import project

from nnscratch.gradcheck.tape import Tape
from nnscratch.gradcheck.tape.source import (
    assigned_names,
    expressions,
    is_module,
    name_in_caller,
    position_in_source,
    source_of,
)

X, W, B = np.array([[1.0, -2.0]]), np.array([[0.5, 1.0], [3.0, -1.0]]), np.ones(2)


def nodes(forward, *inputs, through=None):
    """Record a forward. With ``through``, a function of another file calls it."""
    inputs = tuple(np.array(a, dtype=float) for a in inputs or (X, W))
    projection = (through or project)(forward, *([] if through else [lambda dy, *arrays: arrays]), *inputs)
    with Tape(projection) as tape:
        return tape.nodes


def names(forward, *inputs):
    """Return the source of the operands, and the variable, of each operation."""
    return [(*node.operand_names, node.result_name) for node in nodes(forward, *inputs)]


def expression(node):
    return node.place.partition(": ")[2]


# --- operands and results --------------------------------------------------------------------------------------------


def test_the_operands_of_operators():
    def forward(x, w):
        z = x @ w + B
        z += 3
        return -z

    assert names(forward) == [("x", "w", None), ("x @ w", "B", "z"), ("z", "3", "z"), ("z", None)]
    assert [expression(node) for node in nodes(forward)] == ["x @ w", "x @ w + B", "z += 3", "-z"]


def test_the_operands_of_functions_and_methods():
    def forward(x, w):
        a = np.dot(x, w)
        b = a.dot(w)
        c = np.linalg.inv(w)
        return np.exp(b).sum() + np.sum(c, axis=0)

    assert names(forward) == [("x", "w", "a"), ("a", "w", "b"), ("w", "c"), ("b", None), ("np.exp(b)", None),
                              ("c", None), ("np.exp(b).sum()", "np.sum(c, axis=0)", None)]  # fmt: skip


def test_the_operands_of_stacks():
    def forward(x, w):
        parts = [x, w]
        both = np.concatenate((x, w), axis=0)
        more = np.vstack([x, both])
        return more.sum() + np.concatenate(parts).sum()

    found = nodes(forward)
    assert [(node.operand_names, node.result_name) for node in found if node.name == "concatenate"] == [
        (["x", "w"], "both"), (["x", "both"], "more"), (["parts[0]", "parts[1]"], None)
    ]  # fmt: skip


def test_the_variables_of_results():
    held = SimpleNamespace()

    def forward(x, w):
        a, b = x * 2, x * 3
        held.z = a * b
        c: Any = held.z * 4
        d = e = c * 5
        [f] = e * 6
        d[0] = f * 7
        return d

    recorded = nodes(forward)
    found = {node.operand_names[1]: node.result_name for node in recorded if node.name == "multiply"}
    assert found == {"2": "a", "3": "b", "b": "held.z", "4": "c", "5": "e", "6": None, "7": "d[0]"}


def test_an_expression_on_several_lines_is_shown_on_one():
    def forward(x, w):
        y, z = x * len("é"), w
        return (y +
                z[:1])  # fmt: skip

    product, total = nodes(forward)
    assert expression(product) == 'x * len("é")' and expression(total) == "y + z[:1]"
    assert total.operand_names == ["y", "z[:1]"] and product.result_name == "y"


def test_code_without_source_text_has_numbered_operands():
    scope = {}
    exec(compile("def forward(x, w):\n    return x @ w", "<made>", "exec"), scope)
    (node,) = nodes(scope["forward"])
    assert node.operand_names == node.outer_names == ["operand 1", "operand 2"] and node.result_name is None
    assert node.place == "<made>:2: " and node.call == ""


def test_source_text_that_has_changed_since_is_shown_as_a_line(tmp_path):
    path, scope = tmp_path / "code.py", {}
    path.write_text("one line\nanother   line\nthe last\n")
    exec(compile("def forward(x, w):\n    return (x @\n            w)", str(path), "exec"), scope)
    (node,) = nodes(scope["forward"])
    assert node.place == "code.py:2: another line" and node.operand_names == ["operand 1", "operand 2"]


def test_code_without_columns_is_known_by_its_instruction():
    class Code:
        def co_positions(self):
            return [(6, None, None, None), (7, None, None, None)]

    assert position_in_source(SimpleNamespace(f_code=Code(), f_lasti=2)) == (7, 2)


def test_a_forward_of_numpy_has_no_place():
    (node,) = nodes(np.tanh, X)
    assert node.place == "tanh" and node.operand_names == node.outer_names == ["operand 1"] and node.call == ""


# --- places and callers ----------------------------------------------------------------------------------------------


def affine(x, weight, scale=1.0):
    return scale * (x @ weight)


def changed(x):
    x = x * 2
    return np.tanh(x)


class Layer:
    def __init__(self, W):
        self.W = W

    def apply(self, x):
        return x @ self.W


def line_of(function, offset=0):
    return function.__code__.co_firstlineno + offset


def test_the_place_names_the_file_and_the_lines():
    def forward(x, w):
        return affine(x, w)

    product, _ = nodes(forward)
    file = os.path.basename(__file__)
    assert product.place == f"{file}:{line_of(affine, 1)} from {line_of(forward, 1)}: x @ weight"
    (direct,) = nodes(lambda x, w: x @ w)
    assert direct.place.startswith(f"{file}:") and " from " not in direct.place


def test_the_names_that_the_caller_uses():
    p = SimpleNamespace(W=W)

    def forward(a, w):
        return affine(a, weight=w) + affine(a * 2, p.W) + affine(a[:1], W, scale=float(3))

    products = [node for node in nodes(forward) if node.name == "matmul"]
    assert [node.operand_names for node in products] == [["x", "weight"]] * 3
    assert [node.outer_names for node in products] == [["a", "w"], ["x", "p.W"], ["a[:1]", "W"]]
    assert [node.call for node in products] == [
        "affine(a, weight=w)", "affine(a * 2, p.W)", "affine(a[:1], W, scale=float(3))"
    ]  # fmt: skip


def test_the_parameters_of_a_method_have_the_names_of_its_caller():
    def forward(a, w):
        return Layer(w).apply(a)

    (product,) = nodes(forward)
    assert product.outer_names == ["a", "self.W"] and product.call == "Layer(w).apply(a)"


def test_a_parameter_that_its_function_assigns_keeps_its_name():
    def forward(a):
        return changed(a)

    product, tanh = nodes(forward, X)
    assert product.outer_names[0] == tanh.outer_names[0] == "x" and tanh.call == "changed(a)"


def test_unpacked_arguments_have_no_names():
    def forward(*arrays):
        return affine(*arrays)

    product, _ = nodes(forward)
    assert product.outer_names == ["x", "weight"] and product.call == ""
    product, _ = nodes(lambda *arrays: affine(arrays[0], *arrays[1:]))
    assert product.outer_names == ["x", "weight"] and product.call == ""
    (node,) = nodes(lambda x, w: x @ w, through=wrong_gradients.project)
    assert node.outer_names == ["x", "w"] and node.call == ""


def test_a_call_by_the_checker_has_no_names():
    def forward(x, w):
        return x @ w

    (node,) = nodes(forward)
    assert node.outer_names == ["x", "w"] and node.call == ""


def test_the_operations_of_one_loop_are_a_family():
    def forward(x, w):
        for _ in range(20):
            x = np.tanh(affine(x, w))
        return affine(x, w)

    found = [node for node in nodes(forward) if node.name == "matmul"]
    assert [node.round for node in found] == [*range(20), 0]
    assert len({node.family for node in found[:20]}) == 1 and found[20].family != found[0].family
    assert len({node.family for node in nodes(lambda x, w: x * 2 + w * 2)}) == 3


# --- single functions ------------------------------------------------------------------------------------------------


def test_the_name_of_a_long_argument():
    caller = SimpleNamespace(f_code=SimpleNamespace(co_varnames=("y",)), f_locals={"z": 0})
    arguments = {"x": "f(a)", "y": "f(a)", "z": "a + 1", "v": "p['W'][0]", "u": "a.b", "t": "a[f(0)]"}
    assert [name_in_caller(name, arguments, caller) for name in "xyzvutw"] == [
        "x", "f(a)", "a + 1", "p['W'][0]", "a.b", "t", "w"
    ]  # fmt: skip


def test_names_of_modules():
    frame = SimpleNamespace(f_locals={"local": ast, "np": 1}, f_globals={"np": np, "os": os, "x": 1})
    for text, expected in (("local", True), ("np", False), ("os", True), ("os.path", True), ("x", False),
                           ("unknown", False), ("f().path", False)):  # fmt: skip
        assert is_module(ast.parse(text, mode="eval").body, frame) is expected


def test_the_expressions_of_a_file():
    lines = ("z = x + f(y)\n", "z += -x[0] > 1\n")
    found = {source_of(node, lines): target for node, target in expressions("a file", lines).values()}
    assert found == {"x + f(y)": "z", "f(y)": None, "z += -x[0] > 1": "z", "-x[0] > 1": None, "-x[0]": None,
                     "x[0]": None}  # fmt: skip
    assert (1, 1, 4, 12) in expressions("a file", lines)
    for broken in ("z = (\n", "\0"):
        assert expressions("a broken file", (broken,)) == {}


@pytest.mark.parametrize("text, names", [
    ("def f(a, b):\n    c = a + b\n    b += a * 2\n    return c * b\n\nd = f(1, 2)\n", {"c", "b"}),
    ("def f(a): b = -a; return b\n", {"b"}),
    ("def f(a):\n    try:\n        b = -a\n    except ValueError as error:\n        b = +a\n    return b\n", {"b"}),
    ("g = abs(-1)\n\ndef f(a):\n    return -a\n", set()),
])  # fmt: skip
def test_the_names_that_a_function_assigns(text, names, tmp_path):
    path = tmp_path / "code.py"
    path.write_text(text)
    scope = {}
    exec(compile(text, str(path), "exec"), scope)
    linecache.checkcache(str(path))
    assert assigned_names(scope["f"].__code__) == names
