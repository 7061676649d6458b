"""Test the linear equations <delta, du> = error, from which the wrong step of backward is found."""

import numpy as np
import pytest
from wrong_gradients import graph_of, new_tester

from nnscratch.gradcheck.diagnosis.movements import (
    Movements,
    edges_that_can_be_wrong,
    measure_movements,
    movement_of_operand,
)
from nnscratch.gradcheck.diagnosis.other_points import central_differences

X = np.array([[1.0, -2.0], [0.3, 1.2], [0.9, 0.4]])
W = np.array([[0.4, -1.1, 0.7], [0.9, 0.2, -0.5]])
RNG = np.random.default_rng(0)
MOVED = RNG.normal(size=(12, 3))


def movements(errors, noise=0.0, rows=None):
    return Movements([{}] * len(errors), np.array(errors), noise, rows or {"w": slice(0, len(errors))}, {})


def test_the_equations_give_the_wrong_gradient():
    delta = np.array([1.0, -2.0, 0.5])
    np.testing.assert_allclose(movements(MOVED @ delta).solve(MOVED), delta)
    off = MOVED @ delta
    off[3] += 0.01
    assert movements(off).solve(MOVED) is None and movements(off, noise=0.02).solve(MOVED) is not None
    assert movements((MOVED @ delta)[:8]).solve(MOVED[:8]) is not None  # 3 unknown numbers and 5 other directions
    assert movements((MOVED @ delta)[:7]).solve(MOVED[:7]) is None


def test_elements_that_do_not_move_have_no_wrong_gradient():
    still = MOVED * [1, 0, 1]
    np.testing.assert_allclose(movements(still @ [1.0, 9, 2]).solve(still), [1, 0, 2], atol=1e-12)
    assert movements(MOVED[:, 0]).solve(0 * MOVED) is None
    small = MOVED * [1, 1e-6, 1e-12]  # the last element moves less than rounding errors
    np.testing.assert_allclose(movements(small @ [1.0, 2e6, 9]).solve(small), [1, 2e6, 0], rtol=1e-6)
    some = MOVED.copy()
    some[2] = [0, 0, 0.7]  # in one direction, two elements do not move
    for scale in (1, 1e-10, 1e6):
        np.testing.assert_allclose(movements(scale * some @ [1.0, 9, 2]).solve(scale * some), [1, 9, 2], rtol=1e-6)
    np.testing.assert_allclose(movements(MOVED[:, 0] * 4).solve(MOVED[:, :1]), [4])  # one element


def test_the_solution_is_tested_relative_to_the_largest_error():
    moved = MOVED.copy()
    moved[4] = 0  # a direction without an error
    errors = moved @ [1.0, -2.0, 0.5]
    for scale in (1e-3, 1, 1e3):
        off = errors.copy()
        off[7] += 1e-6
        assert movements(scale * off).solve(moved) is not None
        off[7] += 1e-2
        assert movements(scale * off).solve(moved) is None


def test_elements_that_move_alike_have_no_unique_gradient():
    alike = MOVED[:, [0, 1, 1]]
    assert movements(alike @ [1.0, 2, 3]).solve(alike) is None
    for size in (1e-7, 1e-5):
        nearly = alike + size * MOVED
        assert movements(nearly @ [1.0, 2, 3]).solve(nearly) is None


def test_a_result_can_be_wrong_if_the_equations_have_a_solution():
    delta = np.array([1.0, -2.0, 0.5])
    other = RNG.normal(size=12)
    assert movements(MOVED @ delta).can_enter(MOVED) and not movements(other).can_enter(MOVED)
    nearly = MOVED @ delta
    nearly[2] += 5e-3 * np.abs(nearly).max()  # less than a hundredth
    assert movements(nearly).can_enter(MOVED)
    nearly[2] += 0.1 * np.abs(nearly).max()
    assert not movements(nearly).can_enter(MOVED) and movements(nearly, noise=0.1).can_enter(MOVED)
    assert movements(other[:7]).can_enter(MOVED[:7])  # too few directions to tell
    assert not movements(other[:8]).can_enter(MOVED[:8])
    assert not movements(other[:0]).can_enter(MOVED[:0])
    assert movements(MOVED @ delta, noise=np.abs(MOVED @ delta).max() / 10.5).can_enter(MOVED)
    alike = MOVED[:, [0] * 10] + 1e-12 * RNG.normal(size=(12, 10))  # ten elements that move alike, apart from noise
    assert not movements(other).can_enter(alike)
    off = np.linalg.qr(np.column_stack([MOVED, other]))[0][:, 3]  # no gradient explains a part of it
    assert not movements(off, noise=0.095 * np.abs(off).max()).can_enter(MOVED)
    assert not movements(np.full(12, 1e-3), noise=1e-3).can_enter(MOVED)  # no error to explain


def test_a_result_can_be_wrong_for_one_array():
    delta = np.array([1.0, -2.0, 0.5])
    errors = np.concatenate([MOVED @ delta, RNG.normal(size=12)])
    moved = np.concatenate([MOVED, MOVED])
    rows = {"w": slice(0, 12), "v": slice(12, 24)}
    both = movements(errors, rows=rows)
    assert both.can_enter_alone(moved) and not both.can_enter(moved)
    assert not movements(errors, rows={"v": slice(12, 24)}).can_enter_alone(moved)
    few = {str(k): slice(k, k + 1) for k in range(3)}
    assert movements(errors, rows=few).can_enter_alone(moved)  # unknown, and at most three arrays are wrong
    assert not movements(errors, rows=few | {"3": slice(3, 4)}).can_enter_alone(moved)


def network(x, w):
    h = np.tanh(x @ w)
    return h * h[::-1]


def gradients(R, slope=lambda h: 1 - h**2):
    h = np.tanh(X @ W)
    dz = (R * h[::-1] + (R * h)[::-1]) * slope(h)
    return {"x": dz @ W.T, "w": X.T @ dz}


def measured(wrong=("x", "w")):
    graph_context = graph_of(network, X, W)
    graph = graph_context.__enter__()
    (R,) = graph.projection.weights
    true, given = gradients(R), gradients(R, lambda h: 1 - h)
    tester = new_tester(graph, {name: given[name] for name in wrong}, true)
    return graph_context, graph, tester, true, given


@pytest.fixture(name="setting")
def _setting():
    graph_context, *found = measured()
    yield found
    graph_context.__exit__(None, None, None)


def test_the_movements_of_all_results(setting):
    graph, tester, true, given = setting
    found = measure_movements(graph, tester)
    assert len(found.directions) == 12 and found.rows_of == {"x": slice(0, 6), "w": slice(6, 12)}
    assert [list(v) for v in found.directions] == [["x"]] * 6 + [["w"]] * 6
    np.testing.assert_array_equal(found.directions[7]["w"], [[0, 1, 0], [0, 0, 0]])
    wanted = np.concatenate([(given[n] - true[n]).ravel() for n in ("x", "w")])
    np.testing.assert_allclose(found.errors, wanted, atol=1e-6)
    product = graph.nodes[0]
    np.testing.assert_allclose(found.results[product.number][7], (X @ found.directions[7]["w"]).ravel(), atol=1e-7)
    assert set(found.results) == {n.number for n in graph.nodes} and found.results[0].shape == (12, 9)
    assert found.noise == 3 * max(d.noise for d in tester.joint) and graph.tape.results is None


def test_a_right_array_is_moved_but_not_searched():
    graph_context, graph, tester, *_ = measured(wrong=("w",))
    try:
        found = measure_movements(graph, tester)
        assert found.rows_of == {"w": slice(0, 6)} and len(found.directions) == 12
        tester.wrong = []
        assert measure_movements(graph, tester) is None
    finally:
        graph_context.__exit__(None, None, None)


def test_a_right_array_with_an_unknown_element_is_moved_too():
    graph_context, graph, tester, true, given = measured(wrong=("w",))
    try:
        true = {"x": np.where(X > 1, np.nan, true["x"]), "w": true["w"]}
        tester = new_tester(graph, {"w": given["w"]}, true)
        tester.right["x"] = (gradients(graph.projection.weights[0])["x"], true["x"])
        assert np.isfinite(measure_movements(graph, tester).errors).all()
        tester.right["x"] = (tester.right["x"][0], np.full(X.shape, np.nan))
        assert np.isfinite(measure_movements(graph, tester).errors).all()
    finally:
        graph_context.__exit__(None, None, None)


def test_a_forward_that_fails_for_moved_arrays_has_no_movements(setting):
    graph, tester, *_ = setting
    value_after, calls = tester.value_after, []

    def fails_later(*arguments):
        calls.append(arguments)
        return value_after(*arguments) if len(calls) < 4 else float("nan")

    tester.value_after = fails_later
    assert measure_movements(graph, tester) is None and graph.tape.results is None


def test_few_elements_give_too_few_equations():
    for n, known in ((9, False), (10, True)):
        x = np.linspace(0.1, 1, n)
        with graph_of(lambda x: np.tanh(x), x) as graph:
            (R,) = graph.projection.weights
            tester = new_tester(graph, {"x": R}, {"x": R * (1 - np.tanh(x) ** 2)})
            assert (measure_movements(graph, tester) is not None) == known


def test_large_arrays_are_moved_along_random_directions():
    x, v = np.linspace(0.1, 1, 150), np.linspace(1, 2, 3)
    with graph_of(lambda x, v: np.tanh(x) * v.sum(), x, v) as graph:
        (R,) = graph.projection.weights
        true = {"x": R * (1 - np.tanh(x) ** 2) * v.sum(), "v": np.full(3, (R * np.tanh(x)).sum())}
        found = measure_movements(graph, new_tester(graph, {"x": 2 * true["x"]}, true))
        assert len(found.directions) == 60 + 3 and found.rows_of == {"x": slice(0, 60)}
        assert np.count_nonzero(found.directions[0]["x"]) == 150


def test_the_movement_of_an_operand(setting):
    graph, tester, *_ = setting
    found = measure_movements(graph, tester)
    product, tanh = graph.nodes[:2]
    np.testing.assert_array_equal(movement_of_operand(graph, found, tanh, 0), found.results[product.number])
    of_w = movement_of_operand(graph, found, product, 1)
    np.testing.assert_array_equal(of_w[6:], np.eye(6))
    assert not of_w[:6].any()


def test_the_movement_of_a_part_of_an_array_and_of_a_constant():
    with graph_of(lambda x: x[1:] * 2.0 + np.ones(3), X.ravel()[:4]) as graph:
        found = Movements([{"x": np.array([1.0, 2, 3, 4])}, {}], np.zeros(2), 0.0, {}, {})
        part = movement_of_operand(graph, found, graph.nodes[0], 0)
        assert part.tolist() == [[2, 3, 4], [0, 0, 0]]
        assert movement_of_operand(graph, found, graph.nodes[1], 1) is None


def test_the_edges_at_which_a_mistake_can_explain_the_errors(setting):
    graph, tester, *_ = setting
    together, alone = edges_that_can_be_wrong(graph, measure_movements(graph, tester))
    product, tanh = graph.nodes[:2]
    assert (product.family, -1) in together and (tanh.family, 0) in together
    assert (product.family, 1) in together and (product.family, 0) in together  # the edge of an array is not excluded
    assert (product.family, -1) in alone
    errors = np.random.default_rng(3).normal(size=12)
    random = measure_movements(graph, tester)
    random.errors = errors
    random.rows_of = {"x": slice(0, 12)}
    together, alone = edges_that_can_be_wrong(graph, random)
    assert (product.family, 1) in together


def test_the_edges_of_a_loop_at_which_no_mistake_can_explain_the_errors():
    def loop(x, w):
        h = np.zeros((4, 4))
        for t in range(3):
            h = np.tanh(x[t] + h @ w) * 2.0
        return h[:1] + h[1:]

    x, w = RNG.normal(size=(3, 4, 4)), RNG.normal(size=(4, 4)) / 4
    with graph_of(loop, x, w) as graph:
        (R,) = graph.projection.weights
        tester = new_tester(graph, {"x": RNG.normal(size=x.shape), "w": RNG.normal(size=w.shape)},
                            {name: central_differences(graph.projection, name) for name in "xw"})  # fmt: skip
        found = measure_movements(graph, tester)
        together, _ = edges_that_can_be_wrong(graph, found)
        names = {(nodes[0].name, j) for nodes, j, _ in graph.edges() if (nodes[0].family, j) in together}
        inside = {("tanh", 0), ("tanh", -1), ("multiply", 0), ("multiply", -1), ("matmul", 0), ("matmul", -1)}
        assert not names & inside and ("matmul", 1) in names  # w may have its own mistake
