"""Test the hints of exercises: for each error, the sentence that a reader sees after the line of the answer."""

import ast
import linecache

import numpy as np
import pytest

import nnscratch as nn
from nnscratch.testing import exercise
from nnscratch.testing.hints import definition_of, has_return
from nnscratch.testing.safe_values import SafeValues, Unknown, describe

SAVES = """
class Double(nn.Module):
    def forward(self, x):
        self.save_for_backward(x)
        return 2 * x
    def backward(self, dy):
        x = self.saved()
        return dy * x.sum()
layer = Double()
"""
SLOTS = """
class Layer:
    __slots__ = ("W",)
    def __init__(self):
        self.W = np.ones(2)
    def forward(self, x):
        return W * x
"""


@pytest.mark.parametrize(
    "answer, check, hint",
    [
        # names
        ("def f(x):\n    y = y + x\n    return y", "f(3)", "`y` is used before a value is assigned to it."),
        (
            "class A:\n    def __init__(self):\n        self.weight = 1\n    def f(self):\n        return weight",
            "A().f()",
            "Did you mean `self.weight`?",
        ),
        ("def f(x):\n    return math.exp(x)", "f(3)", "`math` is a module that is not imported."),
        ("def f(x):\n    return qqq + x", "f(3)", "No variable has the name `qqq`."),
        (
            "class A:\n    def g(self):\n        return 1\n    def f(self):\n        return g()",
            "A().f()",
            "Did you mean `self.g`?",
        ),
        (SLOTS, "Layer().forward(np.ones(2))", "Did you mean `self.W`?"),
        # shapes
        (
            "def f(x, w):\n    return x @ w",
            "f(np.ones((2, 3)), np.ones(4))",
            "For `@`, the last axis of the first and the only axis of the second must be equal.",
        ),
        (
            "def f(x, w):\n    return x @ w",
            "f(np.ones((2, 3)), np.ones((4, 5)))",
            "the second-to-last axis of the second must be equal.",
        ),
        (
            "def f(x, w):\n    return x % w",
            "f(np.ones(3), np.ones(4))",
            "For `this operation`, compare the shapes from the end: lengths must be equal, or one must be 1.",
        ),
        # one value or several
        ("def f(x):\n    return 1.5", "y = f(2)[0]", "`f` must return several values. It returns one."),
        (
            "def f(pairs):\n    for a, b in pairs:\n        pass",
            "f([(1, 2), 3])",
            "Each element of `pairs` must hold 2 values. It is a list of 2 elements; the first is a tuple of 2",
        ),
        (
            "def f(x):\n    n, d = x.shape\n    return n * d",
            "f(np.ones(3))",
            "2 values are needed. `x.shape` is a tuple of 1 element; the first is 3.",
        ),
        ("def f(x):\n    a, b = x\n    return a", "f(None)", "`x` is None."),
        ("def f(x):\n    a, b = x + [0]\n    return a", "f([1, 2])", "too many values to unpack"),
        ("def f(x):\n    (a, b), c = x, 1\n    return a", "f((1, 2, 3))", "too many values to unpack"),
        ("", "a, b = len([1])", "`len` must return 2 values. It returns one value."),
        # arguments
        (
            "def g(x, y):\n    return x\ndef f(x):\n    return g(x)",
            "f(3)",
            "It is defined as `g(x, y)`.",
        ),
        (
            "class A:\n    def g(self, y):\n        return y\n    def f(self):\n        return self.g()",
            "A().f()",
            "It is defined as `g(self, y)`.",
        ),
        # attributes
        ("def f(x):\n    return (x, x).mean()", "f(3)", "`(x, x)` is a tuple of 2 elements. Arrays have .mean"),
        ("def f(x):\n    return x.zzz", "f(np.ones(3))", "Here `x` is (3,)."),
        (
            SAVES,
            "layer.backward(layer(np.ones(2)))",
            "`x` is a tuple: saved() returns a tuple. Write `(x,) = self.saved()`.",
        ),
        ("def f(x):\n    y = x,\n    return y / 2", "f(np.ones(2))", "`y` is a tuple with one element. A comma"),
        (
            "def f(x):\n    y = np.where(x > 0)\n    return y / 2",
            "f(np.ones(2))",
            "`y` is a tuple: np.where returns one. Use np.flatnonzero(x > 0).",
        ),
        ("def f(x):\n    return zzz if x else 3", "f(1)", "No variable has the name `zzz`."),
        ("def f(y):\n    return y / 2", "f((np.ones(2),))", "`y` is a tuple with one element.\n"),
        (
            "def f(x):\n    y = [x, x[0], x, x]\n    return np.concatenate(y)",
            "f(np.ones((1, 5)))",
            "`y` is a list of 4 arrays of shapes (1, 5), (5,), (1, 5), ....",
        ),
        # None
        ("def f(x):\n    y = None\n    return y + x", "f(3)", "`y` is None."),
        ("def f(x):\n    y, z = None, x\n    return y + z", "f(3)", "`y` is None."),
        ("def f(x):\n    return [][:] + x.get('a')", "f({})", "A value in this line is None."),
        (
            "def g(x):\n    if x > 5:\n        return x\ndef f(x):\n    y = g(x)\n    return y + 1",
            "f(3)",
            "`g` returns None. Is `return` missing, or a value after it?",
        ),
        (
            "def g(x):\n    def inner():\n        return x\n    inner()\ndef f(x):\n    return g(x) + 1",
            "f(3)",
            "`g` has no `return`, so it gives None.",
        ),
    ],
)  # fmt: skip
def test_the_hint_for_an_error(said, answer, check, hint):
    assert hint in said(answer, check)


@pytest.mark.parametrize(
    "body", ["return None + x", "return x[1] + 1", "return y + x", "a, b = x", "return x.zzz", "return f(1, 2)"]
)
def test_an_error_in_code_without_a_source_is_shown_without_a_failure_of_the_hints(capsys, body):
    # for example, code that another program compiled: inspect and linecache find no text
    scope = {"np": np}
    exec(compile(f"def f(x):\n    {body}\n", "<no source>", "exec"), scope)
    source = "with exercise('1'):\n    f(3)\n"
    linecache.cache["<check>"] = (len(source), None, source.splitlines(keepends=True), "<check>")
    exec(compile(source, "<check>", "exec"), scope | {"exercise": exercise})
    linecache.cache.pop("<check>")
    output = capsys.readouterr().out
    assert "Error" in output and "nnscratch" not in output


def test_a_definition_without_a_source_is_unknown():
    scope = {}
    exec("def f(x): return x", scope)
    assert definition_of(scope["f"]) is None and definition_of(len) is None
    assert definition_of(describe).name == "describe"


@pytest.mark.parametrize(
    ("body", "found"),
    [("return 1", True), ("return", False), ("yield 1", True), ("if a:\n  return a", True), ("pass", False),
     ("def g():\n  return 1", False), ("g = lambda: 1", False), ("class A:\n  def g(self): return 1", False)],
)  # fmt: skip
def test_a_return_counts_only_in_the_function_itself(body, found):
    definition = ast.parse("def f(a):\n" + "\n".join(f"  {line}" for line in body.split("\n"))).body[0]
    assert has_return(definition) is found


# --- values -------------------------------------------------------------------------------------------------------


class Layer:
    def __init__(self):
        self.w = np.arange(6.0)

    def forward(self, x):
        return x


def values_here():
    import sys

    layer, n, table = Layer(), 2, {"W": np.ones(2)}  # noqa: F841  the expressions of the test use them
    x, make = np.arange(4.0), Layer  # noqa: F841
    return SafeValues(sys._getframe())


def expression(text):
    return ast.parse(text, mode="eval").body


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("layer.w[1:5:n]", [1, 3]),
        ("layer.w[:n]", [0, 1]),
        ("-x[n:]", [-2, -3]),
        ("table['W'] * 3", [3, 3]),
        ("[n, n + 1]", [2, 3]),
        ("(n, 1)", (2, 1)),
        ("x > n", [False, False, False, True]),
    ],
)
def test_an_expression_is_computed_without_a_call_of_the_readers_code(text, value):
    np.testing.assert_array_equal(values_here().of(expression(text)), value)


@pytest.mark.parametrize(
    "text", ["make()", "x if n else n", "0 < n < 3", "unknown + 1", "layer.missing", "layer[0]", "{n: 1}", "x.sort()"]
)
def test_other_expressions_are_unknown(text):
    with pytest.raises(Unknown):
        values_here().of(expression(text))


def test_the_function_of_a_call():
    values = values_here()
    assert values.function(expression("layer.forward(x)")) is Layer.forward
    assert values.function(expression("layer(x)")) is Layer.forward
    assert values.function(expression("unknown.f(x)")) is None
    assert values.function(expression("make()(x)")) is Layer.forward


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (None, "None"),
        (..., "`...`"),
        (True, "True"),
        (0.12345678, "0.1235"),
        (np.float32(0.5), "0.5"),
        (np.int64(3), "3"),
        (1 + 2j, "(1+2j)"),
        (nn.Parameter(np.ones((2, 3))), "a Parameter; its values are in .data, of shape (2, 3)"),
        (np.ones((2, 3)), "(2, 3)"),
        (np.ones(2, bool), "(2,) of bool"),
        ((1,), "a tuple of 1 element"),
        ({}, "an empty dict"),
        (dict.fromkeys("abcdefg"), "a dict with the keys 'a', 'b', 'c', 'd', 'e'"),
        ("text", "a string"),
        (int, "a class"),
        (range(3), "a range"),
        (describe, "a function"),
        (len, "a function"),
        (object(), "an object"),
        (set(), "a set"),
    ],
)
def test_a_value_is_described_in_a_few_words(value, text):
    assert describe(value) == text
