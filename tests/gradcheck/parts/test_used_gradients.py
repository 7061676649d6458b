"""Test the search for the wrong gradient of an array inside forward."""

from types import SimpleNamespace

import numpy as np
import pytest
from wrong_gradients import case_of, graph_of, new_tester, ranked

from nnscratch.gradcheck.diagnosis.case import MAX_MISFIT
from nnscratch.gradcheck.diagnosis.changed_gradients import TARGETS
from nnscratch.gradcheck.diagnosis.forward_graph import content_key
from nnscratch.gradcheck.diagnosis.movements import Movements, measure_movements
from nnscratch.gradcheck.diagnosis.used_gradients import (
    MAX_SIZE,
    Site,
    constant_in_place,
    constants,
    expressions_with,
    fitting_changes,
    has_values_for,
    known_arrays,
    labels,
    sites,
    used_gradients,
)

X = np.array([[1.0, -2.0, 0.5], [0.3, 1.2, -0.7]])
W = np.array([[0.4, -1.1], [0.9, 0.2], [-0.6, 1.3]])
G = np.array([[1.0, -2.0, 5.0], [3.0, 7.0, -4.0]])


def net(x, w):
    h = x @ w
    return 2 * np.sin(h)


def gradients(graph, change=lambda g: g):
    """Return the gradients of net if backward uses ``change(g)`` for the gradient g of h."""
    (R,) = graph.projection.weights
    g = change(2 * R * np.cos(X @ W))
    return {"x": g @ W.T, "w": X.T @ g}


def searched(graph, given, true):
    tester = new_tester(graph, given, true)
    used_gradients(tester.cases, graph, tester)
    return tester.cases


# --- the search ------------------------------------------------------------------------------------------------------


def test_a_wrong_gradient_of_a_result_explains_all_arrays():
    with graph_of(net, X, W) as graph:
        cases = searched(graph, gradients(graph, np.abs), gradients(graph))
    for case in cases.values():
        rank, found = min(case.found, key=lambda pair: pair[0])
        assert (rank, found.mistake) == (2.4, "upstream gradient wrong")
        evidence = "the gradient of `h` is replaced by its absolute value; this explains the gradients of all arrays"
        assert found.evidence == evidence
        assert "x @ w" in found.place


def test_a_wrong_gradient_of_a_result_explains_one_array():
    with graph_of(net, X, W) as graph:
        cases = searched(graph, {"w": gradients(graph, np.square)["w"]}, gradients(graph))
    evidence = "the gradient of `h` is replaced by its square; this explains the gradient of this array"
    assert [rank for rank, d in cases["w"].found if d.evidence == evidence] == [2.4 + 0.5]


def test_a_wrong_gradient_of_an_array():
    with graph_of(net, X, W) as graph:
        true = gradients(graph)
        cases = searched(graph, {"w": true["w"][::-1]}, true)
    rank, found = min(cases["w"].found, key=lambda pair: pair[0])
    assert (rank, found.mistake, found.place) == (2.5, "axes reversed", "w")
    assert "the gradient of w is reversed along axis 0; this explains the gradients of all arrays" == found.evidence


def test_a_right_result_explains_nothing():
    with graph_of(net, X, W) as graph:
        rng, true = np.random.default_rng(3), gradients(graph)
        cases = searched(graph, {name: g + rng.normal(size=g.shape) for name, g in true.items()}, true)
    assert all(case.found == [] for case in cases.values())


def test_arrays_that_are_explained_are_not_searched():
    with graph_of(net, X, W) as graph:
        tester = new_tester(graph, gradients(graph, np.abs), gradients(graph))
        for case in tester.cases.values():
            case.add(1.0, "another mistake", "")
        used_gradients(tester.cases, graph, tester)
    assert all(ranked(case) == ["another mistake"] for case in tester.cases.values())


def test_only_the_open_array_is_searched():
    with graph_of(net, X, W) as graph:
        tester = new_tester(graph, gradients(graph, np.square), gradients(graph))
        tester.cases["x"].add(1.0, "another mistake", "")
        used_gradients(tester.cases, graph, tester)
    assert ranked(tester.cases["x"]) == ["another mistake"] and "upstream gradient wrong" in ranked(tester.cases["w"])


def test_a_wrong_array_that_cannot_be_tested_ends_the_search():
    with graph_of(net, X, W) as graph:
        tester = new_tester(graph, gradients(graph, np.abs), gradients(graph))
        cases = {**tester.cases, "b": case_of([1.0, 2.0], [1.0], "b")}
        used_gradients(cases, graph, tester)
    assert all(case.found == [] for case in cases.values())


def test_a_spent_budget_ends_the_search():
    with graph_of(net, X, W) as graph:
        tester = new_tester(graph, gradients(graph, np.abs), gradients(graph))
        tester.movements = measure_movements(graph, tester)
        graph.tape.cost = 10**12
        used_gradients(tester.cases, graph, tester)
        assert all(case.found == [] for case in tester.cases.values())


def squares(x, w, t):
    return ((x @ w - t) ** 2).sum()


def test_missing_targets_are_searched_also_if_a_missing_path_explains_the_arrays():
    t = np.array([[1.0, -3.0], [2.0, 0.5]])
    with graph_of(lambda x, w: squares(x, w, t), X, W) as graph:
        true = {"x": 2 * (X @ W - t) @ W.T, "w": X.T @ (2 * (X @ W - t))}
        given = {"x": 2 * (X @ W) @ W.T, "w": X.T @ (2 * (X @ W))}
        for mistake, more in (("a path missing", True), ("a constant missing", False)):
            tester = new_tester(graph, given, true)
            for case in tester.cases.values():
                case.add(2.0, mistake, "")
            used_gradients(tester.cases, graph, tester)
            for case in tester.cases.values():
                assert set(ranked(case)) == ({mistake, TARGETS} if more else {mistake})


def test_missing_targets_are_searched_only_if_a_missing_path_is_the_first_mistake_of_each_array():
    t = np.array([[1.0, -3.0], [2.0, 0.5]])
    with graph_of(lambda x, w: squares(x, w, t), X, W) as graph:
        true = {"x": 2 * (X @ W - t) @ W.T, "w": X.T @ (2 * (X @ W - t))}
        given = {"x": 2 * (X @ W) @ W.T, "w": X.T @ (2 * (X @ W))}
        for of_x, second, more in (("a path missing", "another mistake", True), ("a constant missing", "", False)):
            tester = new_tester(graph, given, true)
            tester.cases["x"].add(2.0, of_x, "")
            tester.cases["w"].add(2.0, "a path missing", "")
            if second:
                tester.cases["w"].add(3.0, second, "")
            used_gradients(tester.cases, graph, tester)
            assert all((TARGETS in ranked(case)) == more for case in tester.cases.values())


# --- sites -----------------------------------------------------------------------------------------------------------


def test_sites_are_the_wrong_arrays_and_the_results_that_may_be_wrong():
    with graph_of(net, X, W) as graph:
        true = gradients(graph)
        tester = new_tester(graph, gradients(graph, np.abs), true)
        movements = measure_movements(graph, tester)
        found = {site.name: site for site in sites(graph, tester, movements)}
        (R,) = graph.projection.weights
        assert list(found)[:3] == ["x", "w", "`h`"]
        np.testing.assert_array_equal(found["w"].gradients[0], true["w"])
        np.testing.assert_array_equal(found["w"].values[0], W)
        assert found["w"].place == "w" and found["w"].readers == ["x @ w"]
        np.testing.assert_array_equal(found["w"].moved, np.vstack([np.zeros((6, 6)), np.eye(6)]))
        np.testing.assert_allclose(found["`h`"].gradients[0], 2 * R * np.cos(X @ W), rtol=1e-6)
        np.testing.assert_allclose(found["`h`"].values[0], X @ W)
        assert found["`h`"].readers == ["np.sin(h)"] and found["`h`"].place.endswith("x @ w")
        assert found["`h`"].moved.shape == (12, 4)


def test_large_results_and_single_numbers_are_no_sites():
    def total(x, w):
        return np.sin(x @ w).sum() * 3.0

    with graph_of(total, X, W) as graph:
        g = 3 * np.cos(X @ W)
        true = {"x": g @ W.T, "w": X.T @ g}
        tester = new_tester(graph, {name: 2 * t for name, t in true.items()}, true)
        movements = measure_movements(graph, tester)
        found = [site.name for site in sites(graph, tester, movements)]
        assert len(found) == 4 and found[:2] == ["x", "w"]  # x @ w, and its sine, but not their sum
    wide = np.linspace(-1, 1, MAX_SIZE + 1)
    with graph_of(lambda w: np.sin(w), wide) as graph:
        true = {"w": graph.projection.weights[0] * np.cos(wide)}
        tester = new_tester(graph, {"w": 2 * true["w"]}, true)
        assert list(sites(graph, tester, measure_movements(graph, tester))) == []


def sites_of_a_vector(size, true=None, scale=2.0):
    w = np.linspace(-1, 1, size)
    with graph_of(lambda w: np.sin(w), w) as graph:
        known = {"w": graph.projection.weights[0] * np.cos(w)}
        tester = new_tester(graph, {"w": scale * known["w"]}, {"w": known["w"] if true is None else true})
        movements = measure_movements(graph, tester)
        return [site.name for site in sites(graph, tester, movements)]


def test_the_largest_site():
    assert sites_of_a_vector(MAX_SIZE) == ["w", "the result of `np.sin(w)`"]
    assert sites_of_a_vector(MAX_SIZE + 1) == []


def test_an_array_with_an_unknown_element_is_no_site():
    with graph_of(net, X, W) as graph:
        true = gradients(graph)
        tester = new_tester(graph, gradients(graph, np.abs), true)
        movements = measure_movements(graph, tester)
        tester.cases["w"].entry.numeric[1, 0] = np.nan
        assert [site.name for site in sites(graph, tester, movements)][:2] == ["x", "`h`"]


def test_the_smallest_result_that_is_a_site_has_two_elements():
    def pair(x, w):
        return np.sin((x @ w).sum(0)) * np.ones((5, 1))

    with graph_of(pair, X, W) as graph:
        (R,) = graph.projection.weights
        g = np.tile(R.sum(0) * np.cos((X @ W).sum(0)), (2, 1))
        true = {"x": g @ W.T, "w": X.T @ g}
        tester = new_tester(graph, {name: 2 * t for name, t in true.items()}, true)
        found = {site.name: site for site in sites(graph, tester, measure_movements(graph, tester))}
        assert found["the result of `(x @ w).sum(0)`"].values[0].shape == (2,)


def test_a_result_without_a_movement_is_no_site():
    with graph_of(net, X, W) as graph:
        tester = new_tester(graph, gradients(graph, np.abs), gradients(graph))
        movements = measure_movements(graph, tester)
        movements.results.clear()
        assert [site.name for site in sites(graph, tester, movements)] == ["x", "w"]


def test_errors_that_no_result_explains_have_no_site():
    x, w = np.sin(np.arange(24.0)).reshape(3, 8), np.linspace(0.2, 0.9, 8).reshape(8, 1)
    with graph_of(net, x, w) as graph:
        slope = 2 * graph.projection.weights[0] * np.cos(x @ w)
        rng, true = np.random.default_rng(3), {"x": slope @ w.T, "w": x.T @ slope}
        for given, more in ((lambda g: 2 * g, True), (lambda g: g + rng.normal(size=g.shape), False)):
            tester = new_tester(graph, {name: given(g) for name, g in true.items()}, true)
            names = [site.name for site in sites(graph, tester, measure_movements(graph, tester))]
            assert names[:2] == ["x", "w"] and ("`h`" in names) == more == (len(names) > 2)


def test_a_spent_budget_ends_the_search_for_results():
    with graph_of(net, X, W) as graph:
        tester = new_tester(graph, gradients(graph, np.abs), gradients(graph))
        movements = measure_movements(graph, tester)
        graph.tape.cost = 10**12
        assert [site.name for site in sites(graph, tester, movements)] == ["x", "w"]


def sites_of_rounds(rounds, w, slope, change=lambda results: None):
    """Return {name of a result: numbers of its rounds} of the sites of a loop, if the gradient is doubled."""
    with graph_of(rounds, w) as graph:
        true = graph.projection.weights[0] * slope
        tester = new_tester(graph, {"w": 2 * true}, {"w": true})
        movements, found = measure_movements(graph, tester), {}
        change(movements.results)
        for site in sites(graph, tester, movements):
            found.setdefault(site.name, []).append(len(site.values))
        return found


W10 = np.linspace(-0.6, 0.9, 10)


def test_the_first_round_of_a_loop_may_read_only_constants():
    def rounds(w):
        h = np.ones(10)
        for _ in range(3):
            h = 0.5 * h + w
        return h

    assert sites_of_rounds(rounds, W10, 1.75)["`h`"][0] == 3  # only the first 0.5 * h does not depend on w


def test_a_loop_with_an_unknown_movement_in_one_round_is_no_site():
    def rounds(w):
        for _ in range(3):
            w = w + 0.5 * w
        return w

    def forget(results):
        del results[max(results)]

    slope = 1.5**3
    assert sorted(map(len, sites_of_rounds(rounds, W10, slope).values())) == [1, 4, 4]
    assert sorted(map(len, sites_of_rounds(rounds, W10, slope, forget).values())) == [1, 4]


def test_a_single_number_of_one_round_is_no_site():
    def rounds(w):
        t = np.zeros(())
        for k in range(3):
            s = w[3 * k : 3 * k + 3].sum()
            t = t + s * s
        return t

    parts = W10[:9].reshape(3, 3).sum(1)
    slope = np.append(np.repeat(2 * parts, 3), 0.0)
    found = sites_of_rounds(rounds, W10, slope)
    assert found and all(1 not in counts for name, counts in found.items() if name in ("`s`", "`t`"))


@pytest.mark.parametrize("count, singles", [(6, 6), (7, 0)])
def test_single_rounds_of_a_loop_with_many_rounds_are_no_sites(count, singles):
    def rounds(w):
        for _ in range(count):
            w = w + 0.1 * np.sin(w)
        return w

    w = np.linspace(-0.6, 0.9, 10)
    with graph_of(rounds, w) as graph:
        true, x = graph.projection.weights[0].copy(), w
        for _ in range(count):
            true = true * (1 + 0.1 * np.cos(x))
            x = x + 0.1 * np.sin(x)
        tester = new_tester(graph, {"w": 2 * true}, {"w": true})
        found = list(sites(graph, tester, measure_movements(graph, tester)))
        assert len([site for site in found if len(site.values) == 1 and "np.sin" in site.name]) >= singles
        assert bool(singles) == any(len(site.values) == 1 and site.name != "w" for site in found)


def test_each_round_of_a_loop_is_a_site_too():
    def rounds(w):
        for _ in range(3):
            w = np.tanh(2 * w)
        return w

    w = np.linspace(-0.6, 0.9, 10)
    with graph_of(rounds, w) as graph:
        outer = [w]
        for _ in range(3):
            outer.append(np.tanh(2 * outer[-1]))
        true = {"w": graph.projection.weights[0] * np.prod([2 * (1 - u**2) for u in outer[1:]], 0)}
        tester = new_tester(graph, {"w": 2 * true["w"]}, true)
        found = list(sites(graph, tester, measure_movements(graph, tester)))
        assert sorted(len(site.values) for site in found) == [1] * 7 + [3, 3]
        (tanhs,) = [s for s in found if len(s.values) == 3 and "tanh" in s.place.split(": ")[-1]]
        for value, wanted in zip(tanhs.values, outer[1:], strict=True):
            np.testing.assert_allclose(value, wanted)
        assert tanhs.moved.shape == (10, 30)


# --- a constant in place of the gradient -----------------------------------------------------------------------------

MOVED = np.array([[1.0, 0, 0], [0, 1, 0], [0, 0, 1], [1, 2, -1]])
g = np.array([1.0, -2.0, 4.0])


@pytest.mark.parametrize("c", [0.0, 5.0, -1.0, 0.01])
def test_a_constant_explains_the_errors(c):
    found = constant_in_place(g, MOVED, MOVED @ (c - g), 1e-9)
    assert found == pytest.approx(c, abs=1e-12)


def test_no_constant_explains_other_errors():
    assert constant_in_place(g, MOVED, MOVED @ (np.array([1.0, 1.0, 1.1]) - g), 1e-9) is None
    assert constant_in_place(g, MOVED, MOVED @ (np.array([1.0, 1.0, 1.1]) - g), 0.2) == pytest.approx(1.0, abs=0.1)
    near = np.array([1.0, 1.5, 2.0])
    assert constant_in_place(near, MOVED, MOVED @ (3 - near), 1e-9) == pytest.approx(3)
    assert constant_in_place(1e-12 * g, MOVED, MOVED @ (3e-12 - 1e-12 * g), 1e-20) == pytest.approx(3e-12)
    small = MOVED * 1e-3
    assert constant_in_place(0.2 * g, small, small @ (5 - 0.2 * g), 1e-9) == pytest.approx(5)
    assert constant_in_place(np.full(3, 2.0), MOVED, MOVED @ np.full(3, 3.0), 1e-9) is None  # a factor, not a constant
    still = np.array([[1.0, -1.0, 0.0], [0.0, 2.0, -2.0]])
    assert constant_in_place(g, still, -still @ g, 1e-9) is None  # every constant gives the same


# --- changes that fit ------------------------------------------------------------------------------------------------


def fitting(errors, moved=None, rows=slice(None), noise=0.0, values=G, gradient=G):
    moved = np.eye(6) if moved is None else moved
    site = Site("`u`", "f.py:1: u", [], [values], [gradient], moved)
    graph = SimpleNamespace(nodes=[], arrays={}, projection=projection())
    movements = Movements([{}] * len(moved), errors, noise, {"w": slice(0, len(moved))}, {})
    return {text: (rank, mistake) for rank, mistake, text in fitting_changes(graph, site, movements, rows)}


def projection(names=(), inputs=(), variables=None, targets=(), held=()):
    adapter = SimpleNamespace(input_names=list(names), inputs=list(inputs), targets=list(targets))
    return SimpleNamespace(adapter=adapter, variables=variables or {}, constant_arrays=lambda: list(held))


def test_the_change_that_gives_the_errors_is_found():
    assert fitting((G**2 - G).ravel()) == {
        "the gradient of `u` is replaced by its square": (2.4, "upstream gradient wrong")
    }
    assert fitting((G**2 - G).ravel() + 0.1) == {}


def test_a_gradient_that_is_zero_or_constant():
    assert fitting(-G.ravel())["backward computes as if no gradient passed through `u`"] == (2.45, "a path missing")
    assert fitting((3.5 - G).ravel())["the gradient of `u` is taken as 3.5 everywhere"] == (
        2.45, "upstream gradient wrong")  # fmt: skip


def test_noise_and_single_errors_are_not_explained():
    errors = (G**2 - G).ravel()  # at most 42
    assert fitting(errors, noise=4.1) and not fitting(errors, noise=4.3)
    assert not fitting(0 * errors) and not fitting(errors, moved=np.zeros((6, 6)))
    assert not fitting((np.abs(G) - G).ravel())  # only two errors
    assert not fitting(errors, rows=slice(0, 0))
    tiny = 1e-6 * G
    assert "the gradient of `u` is replaced by its square" in fitting((tiny**2 - tiny).ravel(), gradient=tiny)


def test_few_errors_show_only_a_constant():
    moved = np.eye(6)[:3]  # three directions
    found = fitting(-G.ravel()[:3], moved=moved)
    assert list(found) == ["backward computes as if no gradient passed through `u`"]
    assert fitting((-2 * G).ravel()[:3], moved=moved) == {} and fitting(-G.ravel()[:2], moved=moved[:2]) == {}
    four = np.eye(6)[[0, 1, 2, 5]]
    assert "the gradient of `u` is set to 0 where it is negative" not in found
    assert fitting(four @ (G[::-1] - G).ravel(), moved=four)


def test_only_the_chosen_directions_are_explained():
    moved = np.vstack([np.eye(6), np.eye(6)])
    errors = np.concatenate([(G[::-1] - G).ravel(), np.full(6, 9.0)])
    assert fitting(errors, moved=moved, rows=slice(0, 6)) and not fitting(errors, moved=moved)


def test_a_missing_target_may_have_any_factor():
    hot = np.array([0, 0, 1.0, 1, 0, 0])  # the labels 2 and 0
    graph = SimpleNamespace(nodes=[], arrays={}, projection=projection(["y"], [np.array([2, 0])]))
    moved = np.vstack([np.eye(6), 2 * np.eye(6)])
    site = Site("`u`", "f.py:1: u", [], [G], [G], moved)
    found = fitting_changes(graph, site, Movements([{}] * 12, moved @ (0.25 * hot), 0.0, {}, {}), slice(None))
    assert [(mistake, text) for _, mistake, text in found] == [
        (TARGETS, "the gradient of `u` lacks the term of the labels in y: -0.25 at the class of each sample")
    ]
    still = np.where(hot == 1, 0.0, moved)  # no direction moves these elements
    site = Site("`u`", "f.py:1: u", [], [G], [G], still)
    movements = Movements([{}] * 12, still @ (G[::-1] - G).ravel(), 0.0, {}, {})
    assert not any(mistake == TARGETS for _, mistake, _ in fitting_changes(graph, site, movements, slice(None)))


def test_the_limit_of_a_fit_is_a_part_of_the_largest_error_and_the_noise():
    errors = (G[::-1] - G).ravel()  # at most 9
    off = np.zeros(6)
    off[1] = 0.9 * MAX_MISFIT * 9
    assert fitting(errors + off) and not fitting(errors + 1.3 * off) and fitting(errors + 1.3 * off, noise=0.5 * off[1])


# --- arrays of forward -----------------------------------------------------------------------------------------------


def test_expressions_that_read_an_array():
    def twice(x, w):
        return np.tanh(x @ w) + x @ w

    with graph_of(twice, X, W) as graph:
        assert expressions_with(graph, X) == ["x @ w", "x @ w"]
        assert expressions_with(graph, X @ W) == ["np.tanh(x @ w)", "np.tanh(x @ w) + x @ w"]
        assert expressions_with(graph, np.ones(4)) == []
    with graph_of(lambda x: x * {"a: b": 2.0}["a: b"], X) as graph:
        assert expressions_with(graph, X) == ['x * {"a: b": 2.0}["a: b"]']


def test_known_arrays_with_their_names_and_constants():
    c, negative = np.array([2.0, 5.0]), np.array([[-1.0, -2.0], [-0.5, -3.0]])

    def forward(x, w):
        h = x @ w
        return h * c + np.minimum(h, negative) + 2.0

    with graph_of(forward, X, W) as graph:
        site = Site("`h`", "", [], [X @ W], [X @ W], np.zeros((1, 4)))
        found = {name: (values, constant) for values, name, constant in known_arrays(graph, site)}
        assert found["c"][1] is True and found["negative"][1] is True and found["h"][1] is False
        np.testing.assert_array_equal(found["c"][0], [np.tile(c, (2, 1))])
        np.testing.assert_allclose(found["exp(negative)"][0], [np.exp(negative)])
        assert found["exp(negative)"][1] is False and "exp(c)" not in found and "exp(h)" not in found
        assert any(name.endswith("+ 2.0") for name in found)  # the result of an array and a constant
        assert not {"x", "w"} & set(found)  # other shapes


def test_arrays_that_only_backward_needs_are_not_known():
    def loss(x, w):
        h = x @ w
        spare = np.cos(h) * 2  # noqa: F841
        return np.sin(h)

    with graph_of(loss, X, W) as graph:
        site = Site("`h`", "", [], [X @ W], [X @ W], np.zeros((1, 4)))
        names = [name for _, name, _ in known_arrays(graph, site)]
        assert "h" in names and "np.sin(h)" in names and not any("cos" in name or name == "spare" for name in names)


def test_an_array_of_a_loop_is_a_constant_only_if_it_never_moves():
    c = np.array([[1.0, 2.0], [-3.0, -4.0]])
    two = [np.array([[1.0, 2.0]]), np.array([[-1.0, -2.0]])]

    def forward(x, w):
        h = x @ w
        for k in range(2):
            h = np.tanh(h) * two[k] + c * c[k]
        return h

    with graph_of(forward, X, W) as graph:
        shape = np.zeros((2, 2))
        site = Site("`h`", "", [], [shape, shape], [shape, shape], np.zeros((1, 8)))
        found = {name: (values, constant) for values, name, constant in known_arrays(graph, site)}
        assert found["two[k]"][1] is True and not any("exp" in name for name in found)
        np.testing.assert_array_equal(found["two[k]"][0][1], np.tile(two[1], (2, 1)))
        assert found["h"][1] is False and found["np.tanh(h)"][1] is False
        assert "exp(two[k])" not in found  # only one of its two values is negative


def test_arrays_that_are_zero_somewhere_have_no_exponential():
    mask = np.array([[-1.0, 0.0], [-2.0, -3.0]])
    with graph_of(lambda x, w: x @ w + mask, X, W) as graph:
        site = Site("`h`", "", [], [X @ W], [X @ W], np.zeros((1, 4)))
        names = [name for _, name, _ in known_arrays(graph, site)]
        assert "mask" in names and "exp(mask)" not in names


def test_arrays_with_infinite_elements_are_not_known():
    mask = np.array([[0.0, -np.inf], [0.5, 1.0]])
    with graph_of(lambda x, w: np.exp(x @ w + mask), X, W) as graph:
        site = Site("`h`", "", [], [X @ W], [X @ W], np.zeros((1, 4)))
        names = [name for _, name, _ in known_arrays(graph, site)]
        assert "x @ w" in names and "mask" not in names and "x @ w + mask" not in names

    masks = [np.eye(2), mask]  # infinite in the second round

    def loop(x, w):
        h, s = x @ w, 0.0
        for k in range(2):
            s = s + np.exp(h + masks[k])
        return s

    names = known_in_two_rounds(loop)
    assert "np.exp(h + masks[k])" in names and "masks[k]" not in names and "h + masks[k]" not in names


def test_a_constant_with_the_values_of_an_array_that_moves_is_no_constant():
    same = X.copy()
    with graph_of(lambda x: np.sin(x) * same, X) as graph:
        site = Site("x", "", [], [X], [X], np.zeros((1, 6)))
        assert not any(constant for values, _, constant in known_arrays(graph, site) if (values[0] == X).all())


def known_in_two_rounds(forward, shape=(2, 2)):
    with graph_of(forward, X, W) as graph:
        arrays = [np.zeros(shape)] * 2
        return {name: c for _, name, c in known_arrays(graph, Site("`h`", "", [], arrays, arrays, np.zeros((1, 8))))}


def test_arrays_of_a_loop_count_if_each_round_needs_them_and_has_the_shape():
    m = [np.array([[1.0, 2.0], [3.0, 5.0]]), np.array([[1.0, 2.0, 4.0], [3.0, 5.0, 7.0]])]

    def forward(x, w):
        h, state = x @ w, np.array([[1.0, 3.0], [4.0, 9.0]])
        for k in range(2):
            state = state * 0.5 + h
            h = np.tanh(h + state) @ m[k]
        return h

    found = known_in_two_rounds(forward)
    assert found["state"] is False and "m[k]" not in found
    a, b = np.ones((2, 2)), np.zeros((2, 2))
    keys = tuple(map(content_key, (a, b)))
    for needed, active, known in (
        ((a,), (False,), []),
        ((b,), (False,), []),
        ((a, b), (False, False), [("a", True)]),
        ((a, b), (True, False), [("a", False)]),
        ((a, b), (False, True), [("a", False)]),
    ):
        node = SimpleNamespace(result=np.ones(1), operands=needed, active=active)
        graph = SimpleNamespace(nodes=[node], arrays={2: {keys: ([a, b], "a")}})
        site = Site("`h`", "", [], [a, a], [a, a], np.zeros((1, 8)))
        assert [(name, constant) for _, name, constant in known_arrays(graph, site)] == known


@pytest.mark.parametrize(
    "small, large, fits",
    [((3,), (2, 3), True), ((2, 3), (2, 3), True), ((2, 1), (2, 3), True), ((1, 3), (2, 3), True),
     ((1,), (2, 3), False), ((1, 1), (2, 3), False), ((), (2, 3), False), ((), (), False), ((2,), (2, 3), False),
     ((2, 2, 3), (2, 3), False), ((4, 3), (2, 3), False)],
)  # fmt: skip
def test_arrays_that_can_be_broadcast(small, large, fits):
    assert has_values_for(small, large) == fits


def test_constants_are_inputs_held_arrays_and_targets_but_no_variables():
    x, ids, t, held = X.copy(), np.array([1, 0]), np.ones(2), np.zeros(3)
    p = projection(["x", "ids", "n", "view"], [x, ids, 3, x[0]], {"x": x}, [t], [held] * 14)
    found = constants(SimpleNamespace(projection=p))
    assert [name for name, _ in found] == ["ids"] + ["an array that the code stores"] * 12 + ["the targets"]
    assert found[0][1] is ids and found[-1][1] is t
    nested = projection(["state"], [(x, [ids])], {"x": x})
    assert [name for name, _ in constants(SimpleNamespace(projection=nested))] == ["state[1][0]"]


def test_labels_are_integers_from_zero():
    arrays = [np.array([[2, 0]]), np.array([0.0, 1.0]), np.array([-1, 2]), np.array([], dtype=int), np.array([3], "u1")]
    found = labels(SimpleNamespace(projection=projection(list("abcde"), arrays)))
    assert [(name, ids.tolist()) for name, ids in found] == [("a", [2, 0]), ("e", [3])]
