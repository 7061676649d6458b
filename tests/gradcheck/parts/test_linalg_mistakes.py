"""Test hypotheses about numpy.linalg: the changed forward has the gradient of a wrong backward."""

import numpy as np
from wrong_gradients import assert_gives, graph_of, the

from nnscratch.gradcheck.diagnosis.linalg_mistakes import linalg_mistakes

A = np.array([[2.0, -0.5], [0.7, 1.4]])
B = np.array([[0.4, -1.1], [0.9, 0.2]])


def test_a_wrong_gradient_of_a_solution():
    with graph_of(lambda a, b: np.linalg.solve(a, b), A, B) as graph:
        (R,) = graph.projection.weights
        x, inverse = np.linalg.solve(A, B), np.linalg.inv(A)
        db = inverse.T @ R
        wrong = {
            "solves with A instead": (-inverse @ R @ x.T, inverse @ R),
            "does not solve": (-R @ x.T, R),
            "multiplies by A.T": (-A.T @ R @ x.T, A.T @ R),
            "flips the sign of dA": (db @ x.T, db),
            "does not compute dA": (0 * A, db),
        }
        for words, (da, db) in wrong.items():
            h = the(graph, linalg_mistakes, "solve(A, b)", words)
            assert_gives(graph, h, a=da, b=db)


def test_a_wrong_gradient_of_an_inverse():
    with graph_of(lambda a: np.linalg.inv(a), A) as graph:
        (R,) = graph.projection.weights
        Y = np.linalg.inv(A)
        wrong = {
            "on both sides": -Y @ R @ Y,
            "of inv(A).T on the left": -Y @ R @ Y.T,
            "of inv(A).T on the right": -Y.T @ R @ Y,
            "flips the sign": Y.T @ R @ Y.T,
            "only on the left": -Y.T @ R,
            "only on the right": -R @ Y.T,
        }
        for words, da in wrong.items():
            assert_gives(graph, the(graph, linalg_mistakes, "inv(A)", words), a=da)


def test_a_wrong_gradient_of_a_determinant():
    with graph_of(lambda a: np.linalg.det(a), A) as graph:
        y, Y = np.linalg.det(A), np.linalg.inv(A)
        for words, da in {"uses inv(A)": y * Y, "leaves out the det": Y.T, "leaves out inv": y + 0 * A}.items():
            assert_gives(graph, the(graph, linalg_mistakes, "det(A)", words), a=da)
    with graph_of(lambda a: a @ A, A) as graph:
        assert list(linalg_mistakes(graph)) == []
