"""Test the names of operands that the source does not show."""

import numpy as np
from wrong_gradients import graph_of

from nnscratch.gradcheck import check_gradients
from nnscratch.gradcheck.diagnosis.operand_names import formula

X = np.array([[1.0, -2.0, 0.5], [0.3, 1.2, -0.7]])
W = np.array([[0.4, -1.1, 0.2], [0.9, 0.2, -0.3], [1.4, 0.7, 0.1]])
B = np.array([0.3, -0.2, 0.8])


def names(forward, *inputs):
    """Return, for each operation, its name and the names of its operands."""
    with graph_of(forward, *inputs) as graph:
        return [(n.name, *n.operand_names) for n in graph.tape.nodes]


def without_source(body):
    """Return forward as a function of x, w and b whose source text is not known."""
    space = {"np": np}
    exec(f"def forward(x, w, b):\n    {body}", space)
    return space["forward"]


def test_code_without_source():
    forward = without_source("h = np.tanh(x @ w + b)\n    return (h * 2.0).sum(axis=0) / b")
    assert names(forward, X, W, B) == [
        ("matmul", "x", "w"),
        ("add", "x @ w", "b"),
        ("tanh", "(x @ w) + b"),
        ("multiply", "tanh((x @ w) + b)", "2"),
        ("add.reduce", "tanh((x @ w) + b) * 2"),
        ("divide", "sum(tanh((x @ w) + b) * 2)", "b"),
    ]
    with graph_of(forward, X, W, B) as graph:
        assert graph.nodes[1].place.endswith(": (x @ w) + b") and graph.describe([graph.nodes[2]], 0) == "`(x @ w) + b`"


def test_a_part_of_an_array_and_a_long_formula():
    assert names(without_source("return x[:1] * w[0] - b"), X, W, B)[0] == ("multiply", "x[...]", "w[...]")
    body = "for k in range(5):\n        x = np.tanh(x)\n        x = x @ w + b\n    return np.tanh(x + b) * 2.0"
    long = names(without_source(f"y = 0\n    {body}"), X, W, B)
    assert all(len(name) <= 50 for operands in long for name in operands) and "tanh(...) @ w" in long[-5][1]


def test_the_operations_inside_a_function_of_numpy():
    def forward(x):
        v = x.mean(axis=0)
        return v + x.mean()

    assert names(forward, X) == [
        ("add.reduce", "x"),
        ("divide", "sum(x)", "2"),
        ("add.reduce", "x"),
        ("divide", "sum(x)", "6"),
        ("add", "v", "x.mean()"),
    ]
    with graph_of(forward, X) as graph:  # v is the name of the last result only
        assert [n.result_name for n in graph.tape.nodes if n.result_name] == ["v"]


def test_the_operations_inside_a_variance():
    # An older NumPy multiplies the deviations instead of squaring them.
    found = names(lambda x: x.var(axis=0), X)
    assert found[:3] == [("add.reduce", "x"), ("divide", "sum(x)", "2"), ("subtract", "x", "sum(x) / 2")]
    squares = {"square": "(x - (sum(x) / 2)) ** 2", "multiply": "(x - (sum(x) / 2)) * (x - (sum(x) / 2))"}
    name = found[3][0]
    assert found[4:] == [("add.reduce", squares[name]), ("divide", f"sum({squares[name]})", "2")]


def test_the_arguments_of_a_function_are_not_the_operands_inside_it():
    def forward(x, w):
        return x.var(0) + np.average(x, 0, w[:2, 0]) + np.clip(x, -1, 1.5).sum(axis=0)

    found = names(forward, X, W)
    assert found[:6] == names(lambda x: x.var(axis=0), X)
    assert ("multiply", "x", "w[...]") in found and ("clip", "x", "-1", "1.5") in found
    assert names(lambda x, w: sum([x, w[:2]], 0.5), X, W) == [
        ("add", "0.5", "x"),
        ("add", "sum([x, w[:2]], 0.5)", "w[...]"),
    ]


def test_operands_that_are_no_numbers():
    found = names(without_source("return np.einsum('ij,jk->ik', np.repeat(x, 2, None).reshape(4, 3), w) + b"), X, W, B)
    assert found[0][1] == "x" and found[1][1:] == ("operand 1 of einsum", "operand 2 of einsum", "w")


def test_the_sum_of_a_list():
    def forward(x, w):
        return sum([x[0] * w[0], x[1] * w[1], x[1]])

    found = names(forward, X, W)
    assert found[2][1] == "0" and found[3][1] == "sum([x[0] * w[0], x[1] * w[1], x[1]])"
    assert found[3][2] == "x[1] * w[1]" and found[4][2] == "x[...]"


def test_a_variable_in_the_sum_of_a_list():
    def forward(x, w):
        h = x * w[0]
        return sum([h, x])

    assert names(forward, X, W)[1:] == [("add", "0", "h"), ("add", "sum([h, x])", "x")]


def test_the_list_of_a_stack():
    def forward(x, w):
        h = x * w[0]
        return np.stack([h, x]) + np.stack(arrays=[x, h], axis=0) + np.vstack(tup=(h, x)).reshape(2, 2, 3)

    stacks = [found for found in names(forward, X, W) if found[0] == "concatenate"]
    assert stacks == [("concatenate", "h", "x"), ("concatenate", "x", "h"), ("concatenate", "h", "x")]


def test_a_sum_whose_source_contains_a_colon():
    def forward(x):
        return sum([x[i: i + 1] for i in (0, 1)])  # fmt: skip

    assert names(forward, X) == [("add", "0", "x[...]"), ("add", "sum([x[i: i + 1] for i in (0, 1)])", "x[...]")]


def test_a_formula_of_more_than_fifty_characters_is_shortened():
    assert formula("add.reduce", ["x" * 45]) == f"sum({'x' * 45})" and formula("add.reduce", ["x" * 46]) == "sum(...)"
    assert formula("add", ["x", "y" * 47]) == "add(...)"


def test_the_names_that_the_source_shows_stay():
    def forward(x, w, b):
        h = x
        for k in range(2):
            h = np.tanh(h @ w + b[k])
        return np.stack([h, x])

    first, second = (("matmul", "h", "w"), ("add", "h @ w", "b[k]"), ("tanh", "h @ w + b[k]")), ()
    assert names(forward, X, W, B) == [*first, *first, *second, ("concatenate", "h", "x")]


def test_the_evidence_names_an_operand_of_code_without_source():
    space = {"np": np}
    exec(
        "def forward(x, w, b):\n    return np.tanh(x @ w + b) * x, (x, w, b)\n"
        "def backward(dy, cache):\n"
        "    x, w, b = cache\n    h = np.tanh(x @ w + b)\n    dz = dy * x * (1 - h**2)\n"
        "    return dz @ w.T, x.T @ dz, dz.sum(axis=0)\n",
        space,
    )
    report = check_gradients((space["forward"], space["backward"]), X, W, B)
    assert report.diagnoses[0].mistake == "a path missing"
    assert "no gradient passed through `x`" in report.diagnoses[0].evidence and "operand" not in str(report)
