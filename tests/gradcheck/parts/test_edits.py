"""Test the changes of one expression of backward: each change, its words, and the expressions that are changed."""

import ast

import numpy as np
import pytest

from nnscratch.gradcheck.diagnosis.edits import (
    attributes_of,
    edits_of,
    fits_into,
    is_chain,
    is_numeric,
    slots,
    value_of,
)

MATRIX, OTHER, ROW = np.ones((2, 3)), np.zeros((2, 3)), np.ones(3)


class Layer:
    def __init__(self):
        self.weight, self.name, self.rate = MATRIX, "fc", 0.5

    @property
    def broken(self):
        raise KeyError


def changed(source, **variables):
    """Return {changed source: (mistake, evidence)} for the statements of a function."""
    (definition,) = ast.parse("def backward(self, dy):\n    " + source.replace("\n", "\n    ")).body
    before, found = ast.unparse(definition), {}
    for edit in edits_of(definition, variables):
        with edit:
            compile(ast.Module([definition], []), "<changed>", "exec")  # each new expression has a line number
            text = "\n".join(map(ast.unparse, definition.body))
        assert edit.evidence.startswith("in backward, ") and edit.statement in ast.unparse(definition)
        found.setdefault(text, (edit.mistake, edit.evidence.removeprefix("in backward, ")))
    assert ast.unparse(definition) == before
    return found


def mistakes(source, **variables):
    return {new: mistake for new, (mistake, _) in changed(source, **variables).items()}


WHOLE = {"sign flipped", "scaled by a constant"}


def inner(source, **variables):
    """Return the changes without those of the whole right-hand side."""
    found = mistakes(source, **variables)
    return {new: mistake for new, mistake in found.items() if mistake not in WHOLE}


# --- each change -----------------------------------------------------------------------------------------------------


def test_another_variable_must_have_the_same_shape():
    found = mistakes("return f(x)", x=MATRIX, y=OTHER, row=ROW, n=3, name="a", flag=True)
    wrong = {new for new, mistake in found.items() if mistake == "the wrong array used"}
    assert wrong == {"return f(y)"}
    found = mistakes("return f(n)", n=3, m=4.0, x=ROW, name="a", flag=True, layer=Layer())
    assert {new for new, mistake in found.items() if mistake == "the wrong array used"} == {"return f(m)"}


def test_a_matrix_is_transposed_or_not():
    found = mistakes("return f(x)", x=MATRIX)
    assert found["return f(x.T)"] == "transposed" and "return f(x.T)" not in mistakes("return f(x)", x=ROW)
    words = changed("return f(x.T)", x=MATRIX)
    assert words["return f(x)"] == ("transposed", "`x.T` must not be transposed in `return f(x.T)`")


def test_a_square_of_floats_is_tried_but_no_square_of_a_size():
    assert mistakes("return f(x)", x=MATRIX)["return f(x ** 2)"] == "a derivative wrong"
    assert mistakes("return f(x)", x=0.5)["return f(x ** 2)"] == "a derivative wrong"
    for size in (3, np.int64(3), np.arange(3)):
        assert "return f(x ** 2)" not in mistakes("return f(x)", x=size)
    assert mistakes("return f(a ** 3)")["return f(a)"] == "a derivative wrong"


def test_a_factor_too_many():
    found = changed("return f(a * b)")
    assert found["return f(a)"] == ("a factor too many", "the factor `b` does not belong in `return f(a * b)`")
    assert found["return f(b)"] == ("a factor too many", "the factor `a` does not belong in `return f(a * b)`")
    assert found["return f(a / b)"] == ("multiplied instead of divided", "`a * b` must be a quotient in "
                                        "`return f(a * b)`")  # fmt: skip
    found = changed("return f(a / b)")
    assert found["return f(a)"] == ("a factor too many", "the division by `b` does not belong in `return f(a / b)`")
    assert found["return f(a * b)"][0] == "divided instead of multiplied"
    assert set(found) == {"return f(a)", "return f(a * b)", "return -f(a / b)", "return 2.0 * f(a / b)",
                          "return f(a / b) / 2"}  # fmt: skip


def test_a_wrong_sign():
    found = changed("y = f(a + b)")
    assert found["y = f(a - b)"] == ("sign flipped", "the sign in front of `b` is wrong in `y = f(a + b)`")
    assert changed("y = f(a - b)")["y = f(a + b)"][0] == "sign flipped"
    assert changed("y = f(-a)")["y = f(a)"] == ("sign flipped", "the minus of `-a` does not belong in `y = f(-a)`")
    assert changed("y = f(a)")["y = -f(a)"] == ("sign flipped", "the sign of `f(a)` is wrong in `y = f(a)`")
    assert "y = f(a)" not in changed("y = f(~a)") and "y = f(a)" not in changed("y = f(+a)")


def test_a_whole_value_that_is_twice_or_half_as_large():
    found = changed("y = f(a)")
    assert found["y = 2.0 * f(a)"] == ("scaled by a constant", "`f(a)` must be twice as large in `y = f(a)`")
    assert found["y = f(a) / 2"] == ("scaled by a constant", "`f(a)` must be half as large in `y = f(a)`")
    assert "y = -(f(a), b)" not in changed("y = (f(a), b)")  # each element of a tuple is a whole value
    assert {"y = (-f(a), b)", "y = (f(a), -b)", "y = (f(a), b / 2)"} <= set(changed("y = (f(a), b)"))


def test_the_changes_that_double_or_negate_a_whole_value():
    source = "x = -n\ny = 0.5\nz = f(3) + n"
    (definition,) = ast.parse("def backward(dy):\n    " + source.replace("\n", "\n    ")).body
    doubled, negated = set(), set()
    for edit in edits_of(definition, {"n": 4.0, "m": 2.0}):
        with edit:
            text = ast.unparse(definition.body[edit.line - 2])
        if edit.doubles:
            doubled.add(text)
        if edit.negates:
            negated.add(text)
    assert doubled == {"x = 2.0 * -n", "z = 2.0 * (f(3) + n)"}
    assert negated == {"x = --n", "z = -(f(3) + n)"}  # another number is a change of its own


def test_another_comparison():
    found = changed("y = f(a > 0)", a=MATRIX, b=OTHER, row=ROW)
    assert found["y = f(a < 0)"] == ("another mask applied", "the comparison `a > 0` is wrong in `y = f(a > 0)`")
    assert found["y = f(a > b)"][0] == "another mask applied" and "y = f(a > row)" not in found
    for old, new in (("<", ">"), (">=", "<="), ("<=", ">=")):
        assert mistakes(f"y = f(a {old} b)")[f"y = f(a {new} b)"] == "another mask applied"
    assert not inner("y = f(a == b)") and not inner("y = f(a < b < c)")
    assert "y = f(a > b)" not in mistakes("y = f(a > 0)", b=OTHER)  # the shape of a is not known
    assert "y = f(a > c)" not in mistakes("y = f(a > b)", a=MATRIX, c=OTHER)


def test_another_number():
    assert set(inner("y = f(3)")) == {f"y = f({n})" for n in ("4", "2", "6", "1.5", "-3")}
    assert set(inner("y = f(0)")) == {"y = f(1)", "y = f(-1)"}
    assert set(inner("y = f(-1)")) == {f"y = f(-{n})" for n in ("2", "0", "0.5", "-1")}
    assert set(inner("y = f(True)")) == set() == set(inner("y = f('a')")) == set(inner("y = f(1j)"))
    assert changed("y = f(3)")["y = f(4)"] == ("a number wrong", "the number `3` is wrong in `y = f(3)`")


def test_an_axis_of_a_sum_is_named_as_such():
    words = ("summed over the wrong axis", "`axis=1` is wrong in `y = f(x.sum(axis=1))`")
    assert changed("y = f(x.sum(axis=1))")["y = f(x.sum(axis=0))"] == words
    assert mistakes("y = np.mean(x, axis=(0, 1))")["y = np.mean(x, axis=(0, 2))"] == "summed over the wrong axis"
    assert mistakes("y = np.sum(x, axis=-2)")["y = np.sum(x, axis=-1)"] == "summed over the wrong axis"
    assert mistakes("y = np.concatenate(x, axis=1)")["y = np.concatenate(x, axis=0)"] == "a number wrong"
    assert mistakes("y = np.sum(x, start=1)")["y = np.sum(x, start=0)"] == "a number wrong"


def test_a_factor_that_multiplies_only_one_term():
    found = changed("y = f(a - b * c)")
    words = ("a factor missing", "`c` multiplies only one term of `a - b * c` in `y = f(a - b * c)`")
    assert found["y = f((a - b) * c)"] == words
    assert changed("y = f(a * b + c)")["y = f(a * (b + c))"][1].startswith("`a` multiplies only one term of")
    assert "y = f((a - b) * c)" not in mistakes("y = f((a - b) * c + d)")


def test_an_elementwise_function_that_is_missing_or_does_not_belong():
    words = ("derivative taken at the wrong value", "`c` is the wrong value in `y = f(c)`")
    source = "z = np.tanh(c) * sigmoid(c, 2)\ny = f(c)"
    assert changed(source, c=ROW)[source.replace("f(c)", "f(np.tanh(c))")] == words
    assert source.replace("f(c)", "f(sigmoid(c))") not in changed(source, c=ROW)
    assert source.replace("f(c)", "f(np.tanh(c))") not in changed(source)  # the value of c is not known
    assert source.replace("tanh(c)", "tanh(np.tanh(c))") not in changed(source, c=ROW)
    both = "z = np.tanh(c) * sigmoid(c)\ny = f(c)"  # the arguments of the functions are left alone
    new = [text for text, mistake in mistakes(both, c=ROW).items() if mistake == words[0]]
    assert sorted(new) == sorted(
        [both.replace("f(c)", f"f({f}(c))") for f in ("np.tanh", "sigmoid")]
        + [both.replace(f"{f}(c)", "c") for f in ("np.tanh", "sigmoid")]
    )
    assert "f(np.tanh(b))" not in "".join(mistakes("z = np.tanh(b)\ny = f(c)", b=ROW, c=ROW))
    assert mistakes("y = f(sigmoid(self.z))")["y = f(self.z)"] == "derivative taken at the wrong value"
    assert not inner("y = f(np.sum(z))")


def test_a_statement_that_overwrites_or_adds():
    found = changed("dw[:, j] = f(a)")
    words = ("rows met twice counted once", "`=` overwrites the earlier terms of `dw[:, j]` in `dw[:, j] = f(a)`")
    assert found["dw[:, j] += f(a)"] == words
    assert mistakes("dy[t] = -1")["dy[t] += -1"] == "a path missing"
    assert "dw += f(a)" not in mistakes("dw = f(a)")  # not in a loop
    loop = "for i in range(3):\n    {}\nelse:\n    pass"
    assert mistakes(loop.format("dw = f(a)"))[loop.format("dw += f(a)")] == "only the last round of the loop counted"
    found = changed(loop.format("dw += f(a)"))
    assert found[loop.format("dw = f(a)")][0] == "accumulator not reset"
    assert "dw = f(a)" not in mistakes("dw += f(a)")
    assert not any("= f(a)" in new for new in mistakes(loop.format("dw -= g(a)")))


def test_the_order_of_a_loop():
    for loop, other in (
        ("range(T)", "[item for item in range(T)][::-1]"),
        ("range(T - 1, -1, -1)", "[item for item in range(T - 1, -1, -1)][::-1]"),
        ("reversed(range(T))", "range(T)"),
        ("zip(a, b)", "[item for item in zip(a, b)][::-1]"),
    ):
        found = changed(f"for t in {loop}:\n    f(t)")
        assert found[f"for t in {other}:\n    f(t)"] == (
            "loop in the wrong order", f"the rounds of the loop must run in the reverse order in `for t in {loop}:`"
        )  # fmt: skip


def test_an_index_without_its_factor():
    numbers = {"i": 1, "j": 2, "s": 2, "one": 1, "rate": 0.5}
    found = changed("dx[i + j] += f(dy)", **numbers)
    words = "the index `{}` lacks a factor in `dx[i + j] += f(dy)`"
    for new, index in (("dx[i * s + j] += f(dy)", "i"), ("dx[i + j * s] += f(dy)", "j")):
        assert found[new] == ("stride forgotten", words.format(index))
    assert not any(f"[i * {name}" in new for new in found for name in ("one", "rate"))
    assert (
        mistakes("self.dx[k[i]] = f(dy)", i=1, k=np.arange(3), s=2)["self.dx[k[i * s]] = f(dy)"] == "stride forgotten"
    )
    found = changed("dw = x[i + j]", **numbers)
    assert found["dw = x[i * s + j]"] == ("stride forgotten", "the index `i` lacks a factor in `dw = x[i + j]`")


def test_the_order_of_a_loop_is_tried_first():
    (definition,) = ast.parse("def backward(dy):\n    x = y * 2\n    for t in range(3):\n        x = t").body
    assert [e.mistake for e in edits_of(definition, {"x": MATRIX, "y": OTHER})][0] == "loop in the wrong order"


def test_the_index_of_labels():
    labels = np.arange(2)
    found = changed("d[:, t] -= 1", t=labels)
    assert found["d[range(len(t)), t] -= 1"] == ("the wrong array used", "the index `:` is wrong in `d[:, t] -= 1`")
    assert "self.d[range(len(t)), t] = 0" in changed("self.d[:, t] = 0", t=labels)
    for source, t in (
        ("d[:, t] -= 1", ROW),
        ("d[:, :, t] -= 1", labels),
        ("d[1:, t] -= 1", labels),
        ("d[:, t] -= 1", 2),
    ):
        assert not any("range" in new for new in changed(source, t=t))


def test_the_attributes_of_the_object_may_be_the_right_variable():
    layer = Layer()
    layer.output = OTHER
    assert mistakes("y = f(self.weight)", self=layer)["y = f(self.output)"] == "the wrong array used"
    assert "y = f(self.name)" not in mistakes("y = f(self.weight)", self=layer)


def test_an_attribute_that_backward_does_not_read_is_no_missing_factor():
    layer = Layer()
    layer.output = OTHER
    found = mistakes("y = f(self.weight)", self=layer)
    assert found["y = f(self.weight * self.weight)"] == "a factor missing"
    assert "y = f(self.weight * self.output)" not in found
    assert "y = f(self.rate)" not in mistakes("y = f(n)", self=layer, n=3.0)


def test_attributes_are_read_and_nothing_is_called():
    class Counter(Layer):
        calls = 0

        def step(self):
            Counter.calls += 1
            return self

    layer = Counter()
    layer.cache = {"x": OTHER}
    setattr(layer, "a b", OTHER)  # not a name of Python
    (definition,) = ast.parse("def backward(self): return self.step().rate * self.name").body
    assert attributes_of(definition, {"self": layer}) == {"self.weight": MATRIX} and Counter.calls == 0
    found = mistakes("y = self.rate\nself.rate = 3.0", self=layer)  # also if backward assigns it later
    assert found["y = self.rate ** 2\nself.rate = 3.0"] == "a derivative wrong"


def test_a_factor_missing():
    found = mistakes("y = f(x)", x=MATRIX, row=ROW, column=np.ones((2, 1)), rows=np.ones((3, 2)), n=4)
    missing = {new for new, mistake in found.items() if mistake == "a factor missing"}
    factors = {f"y = f(x {op} {name})" for op in "*/" for name in ("x", "row", "column", "n")}
    assert missing == factors | {f"y = f(x) {op} {n}" for op in "*/" for n in ("x", "row", "column", "rows", "n")}
    assert changed("y = f(x)", x=MATRIX)["y = f(x * x)"] == ("a factor missing", "a factor is missing at `x` in "
                                                             "`y = f(x)`")  # fmt: skip
    assert mistakes("y = f(0.1)", n=4)["y = f(0.1 * n)"] == "a factor missing"
    assert "y = f(2 * n)" not in mistakes("y = f(2)", n=4)  # an axis
    assert "y = f(a * n)" not in mistakes("y = f(a)", n=4)  # the shape of a is not known


def test_more_likely_mistakes_come_first():
    (definition,) = ast.parse("def backward(dy):\n    y = x * 2\n    return f(y > 0)").body
    ranks = [e.rank for e in edits_of(definition, {"x": MATRIX, "y": OTHER})]
    assert ranks == sorted(ranks) and max(ranks) < 1
    assert {e.line for e in edits_of(definition, {})} == {2, 3}


def test_the_order_of_the_mistakes():
    source = "a = x.T * -x / x + x ** 2\ny = f(x > 0, 3)"
    (definition,) = ast.parse("def backward(dy):\n    " + source.replace("\n", "\n    ")).body
    order = list(dict.fromkeys(e.mistake for e in edits_of(definition, {"x": MATRIX, "y": OTHER, "a": ROW})))
    assert order[:4] == ["the wrong array used", "a factor too many", "sign flipped", "transposed"]
    assert set(order[4:6]) == {"another mask applied", "a number wrong"}
    assert set(order[6:9]) == {"scaled by a constant", "multiplied instead of divided", "divided instead of multiplied"}
    assert order[9:] == ["a derivative wrong", "a factor missing"]
    for edit in edits_of(definition, {"x": MATRIX, "y": OTHER, "a": ROW}):
        assert edit.rank < 1


def test_the_order_of_missing_factors_and_wrong_values():
    source = "a = f(x * y + z)\nb = np.tanh(c) + g(c)\nd[i] = e"
    (definition,) = ast.parse("def backward(dy):\n    " + source.replace("\n", "\n    ")).body
    edits = edits_of(definition, {"c": ROW, "x": ROW, "i": 1, "s": 2})
    order = [f"{e.mistake}: {e.evidence}" for e in edits]

    def places(words):
        found = [k for k, text in enumerate(order) if words in text]
        assert found, words
        return found

    values = places("derivative taken at the wrong value")
    assert len(values) == 2 and max(values) < min(places("scaled by a constant"))
    assert max(places("multiplies only one term")) < min(places("scaled by a constant"))
    assert max(places("the index `i` lacks a factor")) < min(places("a factor is missing at"))


def test_the_changes_of_statements_in_the_order_of_the_mistakes():
    loop = "for t in range(3):\n    d[:, y] -= 1\n    dw[t] = 2 * x\n    db += x"
    (definition,) = ast.parse("def backward(dy):\n    " + loop.replace("\n", "\n    ")).body
    order = list(dict.fromkeys(e.mistake for e in edits_of(definition, {"y": np.arange(3), "x": MATRIX})))
    statements = ["loop in the wrong order", "rows met twice counted once", "the wrong array used",
                  "accumulator not reset"]  # fmt: skip
    assert [mistake for mistake in order if mistake in statements] == statements
    assert order.index("accumulator not reset") < min(order.index(m) for m in ("a number wrong", "a factor missing"))
    assert order[0] == "loop in the wrong order"


def test_the_first_or_the_second_of_equal_expressions():
    found = changed("return x * (x + 1) * f(x)", x=MATRIX, y=OTHER)
    for number, new in (("first", "y * (x + 1) * f(x)"), ("second", "x * (y + 1) * f(x)"),
                        ("third", "x * (x + 1) * f(y)")):  # fmt: skip
        assert found[f"return {new}"][1].startswith(f"the {number} `x` is the wrong variable in `return x * (x")
    twice = changed("return f(x) - g(x)", x=MATRIX, y=OTHER)
    assert twice["return f(x) - g(y)"][1].startswith("the second `x` is")
    assert changed("return x * z", x=MATRIX, y=OTHER)["return y * z"][1].startswith("`x` is the wrong")
    many = changed("return " + " + ".join(["x"] * 7), x=MATRIX, y=OTHER)
    assert any(text.startswith("the fifth `x` is") for _, text in many.values())


# --- the expressions that are changed --------------------------------------------------------------------------------


def read(statement):
    (node,) = ast.parse(statement).body
    return sorted(ast.unparse(slot.node) for slot in slots(node))


@pytest.mark.parametrize(
    "statement, expressions",
    [
        ("y = a * b", ["a", "a * b", "b"]),
        ("y[i] += a", ["a"]),  # the target is not read
        ("y: int = a", ["a"]),
        ("return f(a, axis=0)", ["0", "a", "f(a, axis=0)"]),
        ("return np.sum(a)", ["a", "np", "np.sum(a)"]),
        ("return dy.sum(0)", ["0", "dy", "dy.sum(0)"]),
        ("return (a * b).sum()", ["(a * b).sum()", "a", "a * b", "b"]),
        ("return a.T @ b", ["a", "a.T", "a.T @ b", "b"]),
        ("return self.x.data", ["self.x.data"]),
        ("return [a, b]", ["[a, b]", "a", "b"]),
        ("return x[0]", ["0", "x", "x[0]"]),
    ],
)
def test_the_expressions_of_a_statement(statement, expressions):
    assert read(statement) == expressions


def test_an_edit_names_its_whole_statement():
    source = "def backward(self, dy):\n    y = self.weight * dy[0]\n    return np.sum(y)"
    (definition,) = ast.parse(source).body
    edits = edits_of(definition, {"self": Layer(), "dy": ROW})
    assert {e.statement for e in edits} == {"y = self.weight * dy[0]", "return np.sum(y)"}


def test_only_simple_statements_are_changed():
    assert changed("if x > 0:\n    y = 3", x=1.0) and not changed("if x > 0:\n    pass", x=1.0)
    assert len(changed("for k in range(3):\n    pass")) == 1  # only the order of the loop
    assert not changed("while x:\n    pass") and not changed("return") and not changed("y: int")
    assert not changed("'''Return 3 * dy.'''")


# --- values ----------------------------------------------------------------------------------------------------------


def test_names_and_attributes_of_names_are_chains():
    def node(text):
        return ast.parse(text, mode="eval").body

    assert is_chain(node("x")) and is_chain(node("self.weight.data"))
    assert not is_chain(node("x[0].T")) and not is_chain(node("f(x)")) and not is_chain(node("3"))


def test_the_value_of_a_name_or_an_attribute():
    def value(text):
        return value_of(ast.parse(text, mode="eval").body, {"self": Layer(), "n": 3, "len": 5})

    assert value("self.weight") is MATRIX and value("self.rate") == 0.5 and value("n") == 3
    for unknown in ("self.name", "self", "self.absent", "self.broken", "other"):
        assert value(unknown) is None


def test_an_attribute_replaces_a_variable_of_the_same_shape():
    found = mistakes("y = f(x) + g(self.weight)", self=Layer(), x=OTHER)
    assert found["y = f(self.weight) + g(self.weight)"] == "the wrong array used"
    assert found["y = f(x) + g(x)"] == "the wrong array used"


def test_arrays_of_numbers_and_numbers_are_numeric():
    for value in (MATRIX, np.arange(3), np.arange(3).astype("u1"), 3, 2.5, np.float32(1), np.int8(1), 1_000_000, 1e30):
        assert is_numeric(value)
    for value in (MATRIX > 0, MATRIX + 1j, np.array(["a"]), True, "a", None, [1.0], np.bool_(True), 1_000_001, 1j):
        assert not is_numeric(value)


@pytest.mark.parametrize(
    "small, large, fits",
    [((), (2, 3), True), ((3,), (2, 3), True), ((2,), (2, 3), False), ((2, 1), (2, 3), True),
     ((1, 2, 3), (2, 3), False), ((2, 3), (2, 3), True), ((1, 1), (2, 3), True), ((2, 3, 4), (2, 3, 4), True),
     ((3, 4), (2, 3, 4), True)],
)  # fmt: skip
def test_shapes_that_can_be_broadcast(small, large, fits):
    assert fits_into(small, large) == fits
