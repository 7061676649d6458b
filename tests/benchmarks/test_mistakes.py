"""Automatically changed backward passes."""

import ast

import numpy as np

from benchmarks.mistakes.mutants import changes, mutants, table_of_changes


def test_every_operation_is_changed_once_in_each_way():
    tree = ast.parse("dw += x.T @ (dy * (1 - y ** 2))")
    found = [(kind, words) for kind, words, _ in changes(tree)]
    assert ("accumulate", "dw += x.T @ (dy * (1 - y ** 2)) -> dw = x.T @ (dy * (1 - y ** 2))") in found
    assert ("transpose", "x.T -> x") in found
    assert ("sign", "1 - y ** 2 -> 1 + y ** 2") in found
    assert ("power", "y ** 2 -> y") in found
    assert sorted(kind for kind, _ in found) == sorted(
        ["accumulate", "factor", "factor", "factor", "factor", "term", "term", "sign", "power", "transpose"]
    )
    assert "dw = x.T" in [ast.unparse(changed) for kind, words, changed in changes(tree) if kind == "accumulate"][0]
    assert ast.unparse(tree) == "dw += x.T @ (dy * (1 - y ** 2))"


def square_forward(x, w):
    return np.tanh(x * w), (x, w)


def square_backward(dout, cache):
    x, w = cache
    dz = dout * (1 - np.tanh(x * w) ** 2)
    return dz * w, dz * x


def test_what_a_change_does_is_diagnosed_and_counted():
    inputs = (np.array([[0.3, -0.7], [1.1, 0.4]]), np.array([[0.5, 0.9], [-0.8, 1.2]]))
    found = list(mutants([("", (square_forward, square_backward), inputs, {})]))
    by_words = {words: report.diagnoses[0].mistake for _, _, words, report in found if report.diagnoses}
    assert by_words["dout * (1 - np.tanh(x * w) ** 2) -> dout"] == "activation's derivative missing"
    assert by_words["dz * w -> dz"] == "a factor missing"
    table = table_of_changes(iter(found))
    assert table[-1].startswith(f"| all | {len(found)} | ")
