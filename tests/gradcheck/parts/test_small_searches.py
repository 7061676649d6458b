"""Test the roles of axes, wrong targets and wrong functions."""

import numpy as np
import pytest
from wrong_gradients import case_of, graph_of, new_tester, project, ranked

import nnscratch as nn
from nnscratch.gradcheck import check_gradients
from nnscratch.gradcheck.diagnosis.axis_roles import (
    WEIGHT,
    axis_roles,
    changed_outputs,
    last_name,
    moved_indices,
)
from nnscratch.gradcheck.diagnosis.gradient_errors import gradient_errors, wrong_functions
from nnscratch.gradcheck.diagnosis.movements import measure_movements
from nnscratch.gradcheck.diagnosis.other_points import central_differences
from nnscratch.gradcheck.diagnosis.target_mistakes import shifted_integers, target_mistakes
from nnscratch.gradcheck.nested import leaves
from nnscratch.gradcheck.report import GradientReport

X = np.array([[1.0, -2.0], [0.3, 1.2], [0.9, 0.4]])
W = np.array([[0.4, -1.1, 0.7, 0.6], [0.9, 0.2, -0.5, 1.3]])
SEQUENCE = np.arange(1.0, 25).reshape(2, 4, 3) / 7 * np.tile([1, -1], 12).reshape(2, 4, 3)


# --- roles of axes ---------------------------------------------------------------------------------------------------


def roles(forward, *inputs):
    return axis_roles(project(forward, *inputs))


def test_the_axis_of_the_samples():
    assert roles(lambda x, w: x @ w, X, W) == {"output[0]": {0: "sample"}} or roles(lambda x, w: x @ w, X, W) == {
        "output": {0: "sample"}
    }
    (found,) = roles(lambda x, w: (x @ w).T, X, W).values()
    assert found == {1: "sample"}
    (found,) = roles(lambda x, w: (x @ w).sum(0), X, W).values()
    assert found == {}


def test_the_axis_of_time():
    (found,) = roles(lambda x: np.cumsum(x, axis=1), SEQUENCE).values()
    assert found[1] == "time" and found[0] == "sample"
    (found,) = roles(lambda x: np.flip(np.cumsum(np.flip(x, 1), axis=1), 1), SEQUENCE).values()
    assert found[1] == "time"  # backwards in time
    (found,) = roles(lambda x: np.tanh(x), SEQUENCE).values()
    assert found == {0: "sample", 1: "time"}  # a sequence of three axes
    (found,) = roles(lambda x: np.tanh(x), X).values()
    assert found == {0: "sample"}


def test_a_matrix_without_samples_has_samples_in_axis_0():
    (found,) = roles(lambda w: np.tanh(w), W).values()
    assert found == {0: "sample"}
    (found,) = roles(lambda w: np.tanh(w.sum()) + 0 * w[0], W).values()
    assert found == {}


def test_the_roles_of_the_axes_of_integers():
    ids = np.array([[0, 1, 2], [2, 0, 1]])
    (found,) = roles(lambda ids, c: c[ids], ids, X).values()
    assert found == {0: "sample", 1: "time"}


def test_an_array_that_the_code_holds_shows_the_samples():
    held = X.copy()
    (found,) = roles(lambda w: (held @ w).T, W).values()
    assert found == {1: "sample"}


def test_only_float_arrays_have_roles():
    (found,) = roles(lambda x, w: (x @ w, np.argmax(x @ w, axis=0), float(x.sum())), X, W).items()
    assert found[0].startswith("output") and found[1] == {0: "sample"}


def test_an_axis_of_length_one_has_no_role():
    (found,) = roles(np.tanh, X[:1]).values()
    assert found == {1: "sample"}


def test_each_output_has_its_own_roles():
    first, _ = roles(lambda x, w: ((x @ w).T, x.sum(axis=0)), X, W).values()
    assert first == {1: "sample"}
    longer, equal = roles(lambda x: (np.pad(x, (0, 2)), 2 * x), X[:, 0]).values()
    assert longer == {} and equal == {0: "sample"}  # an axis of another length has no role


def test_an_axis_of_time_for_one_input_is_no_axis_of_samples():
    (found,) = roles(lambda x, z: np.cumsum(x) + z, X[:, 0], X[:, 1]).values()
    assert found == {0: "time"}


def test_a_forward_that_restores_its_state_has_no_roles():
    projection = project(np.tanh, X)
    projection.replayed = "state"
    assert list(axis_roles(projection).values()) == [{}]


def test_a_few_axes_are_tried(monkeypatch):
    for limit, expected in ((0, {}), (1, {0: "sample"}), (2, {0: "sample", 1: "time"})):
        monkeypatch.setitem(axis_roles.__globals__, "MAX_AXES", limit)
        (found,) = roles(lambda x: np.cumsum(x, axis=1), SEQUENCE).values()
        assert found == expected


def test_a_forward_that_fails_at_other_values_shows_no_roles():
    def fails(x):
        if (x != SEQUENCE).any():
            raise ValueError
        return x * 2.0

    (found,) = roles(fails, SEQUENCE).values()
    assert found == {}


def test_an_output_whose_shape_depends_on_the_values_has_no_roles():
    x = np.array([-0.005, 1.0, -2.0, 3.0])
    first, second = roles(lambda x: (np.tile(x[x > 0], 2), x * 2), x).values()
    assert first == {} and second == {0: "sample"}


@pytest.mark.parametrize(
    "name",
    [
        "w",
        "W1",
        "weight_ih_l0",
        "b",
        "bias",
        "Wxh",
        "gamma",
        "kernel",
        "b2",
        "theta",
        "U",
        "weights",
        "biases",
        "bias_hh",
    ],
)
def test_the_names_of_weights(name):
    assert WEIGHT.match(name)


@pytest.mark.parametrize("name", ["x", "inputs", "batch", "data", "images", "word", "beta_values_x"])
def test_other_names(name):
    assert not WEIGHT.match(name)


def test_the_last_name():
    assert last_name("parameters['W']") == "W" and last_name("x[0]") == "x" and last_name("a.b.c") == "c"
    assert last_name("0") == "0"


def test_the_outputs_that_change():
    projection = project(lambda x, w: x @ w, X, W)
    array = projection.variables["x"]
    (changed,) = changed_outputs(projection, array, 0, 1).values()
    assert changed.tolist() == [[False] * 4, [True] * 4, [False] * 4] and moved_indices(changed, 0) == [1]
    assert moved_indices(changed, 1) == [0, 1, 2, 3]
    np.testing.assert_array_equal(array, X)
    zeros = project(lambda x, w: x @ w, 0 * X, W)
    assert any(c.any() for c in changed_outputs(zeros, zeros.variables["x"], 1, 0).values())  # also at zero
    assert changed_outputs(projection, np.array([True, False]), 0, 0) is None

    def fails(x):
        if x[0, 0] != 1.0:
            raise ValueError
        return x * 2.0

    projection = project(fails, X)
    assert changed_outputs(projection, projection.variables["x"], 0, 0) is None


def changed(forward, x, axis=0, index=0):
    projection = project(forward, x)
    found = changed_outputs(projection, projection.adapter.inputs[0], axis, index)
    np.testing.assert_array_equal(projection.adapter.inputs[0], x)
    return [mask.tolist() for mask in found.values()]


def test_the_changes_of_integers():
    table = np.array([1.0, 2.0, 3.0])
    assert changed(lambda ids: table[ids], np.array([0, 2])) == [[True, False]]
    assert changed(lambda ids: table[ids], np.array([0, 2]), index=1) == [[False, True]]  # 2 becomes 0


def test_a_view_of_the_input_changes():
    assert changed(lambda x: x.T, X[:, :1].copy()) == [[[True, False, False]]]


def test_a_step_may_leave_the_domain():
    assert changed(lambda x: np.sqrt(0.1 - x), np.array([0.1, 0.05])) == [[True, False]]


def test_only_arrays_of_the_same_shape_are_compared():
    x = np.array([-0.005, 1.0])
    assert changed(lambda x: (x[x > 0], float(x.sum()), x * 2), x) == [[True, False]]


def test_a_change_leaves_nothing_saved():
    projection, calls = project(np.tanh, X), []
    projection.adapter.clear_saved = lambda: calls.append(1)
    changed_outputs(projection, projection.variables["x"] if "x" in projection.variables else X, 0, 0)
    assert calls == [1]


# --- targets ---------------------------------------------------------------------------------------------------------


def test_integers_shifted_by_one():
    found = {text: ids.tolist() for ids, mistake, text in shifted_integers(np.array([[0, 2, 1]]), "y")}
    assert found == {
        "-1 added to every integer in y": [[-1, 1, 0]],
        "-1 added to every integer in y, modulo 3": [[2, 1, 0]],
        "the integers in y shifted by -1 along axis 0": [[0, 2, 1]],
        "the integers in y shifted by -1 along axis 1": [[2, 1, 0]],
        "+1 added to every integer in y": [[1, 3, 2]],
        "+1 added to every integer in y, modulo 3": [[1, 0, 2]],
        "the integers in y shifted by +1 along axis 0": [[0, 2, 1]],
        "the integers in y shifted by +1 along axis 1": [[1, 0, 2]],
    }  # fmt: skip
    assert {mistake for _, mistake, _ in shifted_integers(np.array([1, 0]), "y")} == {"target one off"}


def target_search(forward, given, *inputs, targets=()):
    """Search for wrong targets that explain the gradient ``given`` of z, the first input. Return the mistakes.

    ``targets`` are the numbers of the inputs that are targets of a loss.
    """
    projection = project(forward, *inputs)
    projection.adapter.targets = tuple(projection.adapter.inputs[k] for k in targets)
    (_, R), *_ = leaves("", projection.weights)
    true = central_differences(projection, "z") / R
    case = case_of(R * given, R * true, "z", projection)
    before = [np.array(a) for a in inputs[1:] if isinstance(a, np.ndarray)]
    target_mistakes({"z": case}, {}, GradientReport("code", {"z": case.entry}), projection)
    for a, b in zip((a for a in inputs[1:] if isinstance(a, np.ndarray)), before, strict=True):
        np.testing.assert_array_equal(a, b)
    return ranked(case)


Z, T, C = X + 2, np.array([[0.0, 1.5], [-0.7, 0.2], [1.1, -2.0]]), np.array([[1.0, 2.0], [-3.0, 0.5], [0.3, 4.0]])
IDS = np.array([0, 0, 2])


def squared(z, t):
    return ((z - t) ** 2).sum() / 2


def test_float_targets_of_a_loss():
    assert target_search(squared, Z, Z, T) == ["target's share missing"]
    assert target_search(squared, Z + T, Z, T) == ["sign flipped"]
    assert target_search(squared, -T, Z, T) == []  # z is no target
    assert target_search(squared, Z - np.roll(T, 1, 0), Z, T) == []  # only integers are shifted
    missing = ["target's share missing"]
    assert target_search(lambda z, t: (squared(z, t), t.sum(1)), Z, Z, T) == missing
    assert target_search(lambda z, t, pair: squared(z, t) + pair[0].sum(), Z, Z, T, (X, X)) == missing


def test_float_targets_without_a_loss():
    def product(z, t):
        return z * t

    assert target_search(product, -T, Z, T) == []
    assert set(target_search(product, -T, Z, T, targets=[1])) == {"sign flipped"}


def lookup(z, ids):
    return (z * C[ids]).sum()


def test_integer_targets():
    assert target_search(lookup, C[[1, 1, 0]], Z, IDS) == ["target one off"]
    assert target_search(lookup, C[[2, 0]], Z[:2], np.array([1, 2])) == ["target one off"]
    assert target_search(lookup, C[[2]], Z[:1], np.array([1])) == []  # one integer may be any setting
    assert target_search(lambda z: (z * C[IDS]).sum(), C[[1, 1, 0]], Z) == ["target one off"]  # the code holds them


def test_one_array_of_targets_after_the_other():
    assert target_search(lambda z, ids, t: squared(z, t) + lookup(z, ids), Z + C[IDS], Z, IDS, T) == [
        "target's share missing"
    ]


def test_ten_arrays_that_the_code_holds_are_tried():
    for count, expected in ((10, ["target one off"]), (11, [])):
        held = [np.array([1, 2]) for _ in range(count - 1)] + [IDS.copy()]

        def forward(z, held=held):
            return lookup(z, held[-1])

        assert target_search(forward, C[[1, 1, 0]], Z) == expected


def cross_entropy(labels_of):
    def forward(z, labels):
        p = np.exp(z - z.max(1, keepdims=True))
        p = p / p.sum(1, keepdims=True)
        return -np.log(p[np.arange(len(z)), labels]).mean(), (p, labels)

    def backward(dy, cache):
        p, labels = cache
        dz = p.copy()
        dz[np.arange(len(p)), labels_of(labels)] -= 1
        return dy * dz / len(p), None

    return forward, backward


@pytest.mark.parametrize("labels_of, text", [
    (lambda y: (y + 1) % 4, "+1 added to every integer in labels, modulo 4"),
    (lambda y: np.roll(y, -1), "shifted by -1 along axis 0"),
    (lambda y: np.maximum(y - 1, 0) if y.min() else y - 1, "-1 added to every integer in labels"),
])  # fmt: skip
def test_wrong_labels(labels_of, text):
    report = check_gradients(cross_entropy(labels_of), X @ W, np.array([1, 3, 2]))
    assert report.diagnoses[0].mistake == "target one off"
    assert any(text in d.evidence for d in report.diagnoses)


def test_wrong_labels_that_are_no_argument_are_described():
    forward, backward = cross_entropy(lambda y: (y + 1) % 4)
    labels = np.array([1, 3, 2])

    class Held:
        def __init__(self):
            self.y = labels.copy()

        def forward(self, z):
            loss, self.cache = forward(z, self.y)
            return loss

        def backward(self):
            return backward(1.0, self.cache)[0]

    class Loss(nn.Module):
        def forward(self, z, targets):
            loss, cache = forward(z, targets)
            self.save_for_backward(*cache)
            return loss

        def backward(self, dy=1.0):
            return backward(dy, self.saved())[0]

    (held,) = check_gradients(Held(), X @ W).diagnoses[:1]
    assert "added to every integer in an array that the code stores, modulo 4" in held.evidence
    given = check_gradients(nn.Linear(2, 4, rng=0), X, loss=Loss(), targets=labels)
    assert "added to every integer in the targets, modulo 4" in given["weight"].diagnosis.evidence


@pytest.mark.parametrize("c, mistake", [(0, "target's share missing"), (-1, "sign flipped")])
def test_targets_that_are_left_out_or_negated(c, mistake):
    target = X[::-1] ** 2 + 1

    class SquaredError:
        def __init__(self):
            self.target = target.copy()

        def forward(self, y):
            self.y = y
            return float(((y - self.target) ** 2).sum())

        def backward(self, dy=1.0):
            return 2 * dy * (self.y - c * self.target)

    report = check_gradients(SquaredError(), X)
    assert mistake in {d.mistake for d in report.diagnoses}


# --- wrong functions -------------------------------------------------------------------------------------------------


def test_the_slope_that_backward_used_is_solved_for():
    x, w = np.linspace(-1.5, 1.8, 9).reshape(3, 3), np.array([[0.4, -1.1], [0.9, 0.2], [-0.6, 1.3]])

    def forward(x, w):
        return np.tanh(x @ w)

    def given(R, slope):
        dz = R * slope(np.tanh(x @ w))
        return {"x": dz @ w.T, "w": x.T @ dz}

    with graph_of(forward, x, w) as graph:
        (R,) = graph.projection.weights
        true = given(R, lambda y: 1 - y**2)
        tester = new_tester(graph, given(R, lambda y: 3 - 2 * y), true)
        found = list(wrong_functions(graph, measure_movements(graph, tester)))
        assert [mistake for _, mistake, *_ in found] == ["activation's derivative wrong"]
        assert "3 - 2 y" in found[0][2] and "where u is `x @ w`" in found[0][2] and "np.tanh(x @ w)" in found[0][3]
        gradient_errors(tester.cases, graph, tester)
        assert all(ranked(case) == ["activation's derivative wrong"] for case in tester.cases.values())
        assert "this explains the gradients of all arrays" in tester.cases["w"].found[0][1].evidence
        gradient_errors(tester.cases, graph, tester)
        assert all(len(case.found) == 1 for case in tester.cases.values())  # they are explained already
        tester.cases["x"].found.clear()
        gradient_errors(tester.cases, graph, tester)
        assert ranked(tester.cases["x"]) == ["activation's derivative wrong"]  # also if w is explained already
        other = new_tester(graph, {"x": true["x"] + 1, "w": true["w"] * 2}, true)
        assert list(wrong_functions(graph, measure_movements(graph, other))) == []
        shape = {**tester.cases, "b": case_of(np.ones(3), np.ones(2), "b")}
        tester.cases["x"].found.clear()
        gradient_errors(shape, graph, tester)
        assert tester.cases["x"].found == []  # a gradient of another shape cannot be explained


def test_a_slope_is_not_solved_for_in_a_large_or_a_linear_function_or_in_a_loop():
    def slopes(forward, x, w, slope, used):
        def given(R, slope):
            dz = R * slope(x @ w)
            return {"x": dz @ w.T, "w": x.T @ dz}

        with graph_of(forward, x, w) as graph:
            (R,) = graph.projection.weights
            tester = new_tester(graph, given(R, used), given(R, slope))
            return [mistake for _, mistake, *_ in wrong_functions(graph, measure_movements(graph, tester))]

    rng = np.random.default_rng(0)

    def tanh(x, w):
        return np.tanh(x @ w)

    def twice(x, w):
        z = x @ w
        for _ in range(2):
            z = np.tanh(z)
        return z

    def right(z):
        return 1 - np.tanh(z) ** 2

    def wrong(z):
        return 3 - 2 * np.tanh(z)

    for rows, count in ((10, 1), (12, 0)):  # 60 or 72 unknown numbers
        x, w = rng.normal(size=(rows, 6)), rng.normal(size=(6, 6)) / 3
        assert len(slopes(tanh, x, w, right, wrong)) == count
    assert slopes(lambda x, w: 3 * (x @ w) + 1, x[:4], w[:, :3], lambda z: 3 + 0 * z, lambda z: 2 * z) == []
    in_both = (lambda z: right(z) * right(np.tanh(z)), lambda z: wrong(z) * right(np.tanh(z)))
    assert slopes(twice, x[:4], w[:, :3], *in_both) == []


def test_a_slope_is_not_solved_for_where_no_gradient_arrives():
    x, w = np.linspace(-1.5, 1.8, 9).reshape(3, 3), np.array([[0.4, -1.1], [0.9, 0.2], [-0.6, 1.3]])
    rows = np.array([[1.0], [0.0], [1.0]])

    def given(R, slope):
        dz = R * rows * slope(np.tanh(x @ w))
        return {"x": dz @ w.T, "w": x.T @ dz}

    with graph_of(lambda x, w: np.tanh(x @ w) * rows, x, w) as graph:
        (R,) = graph.projection.weights
        tester = new_tester(graph, given(R, lambda y: 3 - 2 * y), given(R, lambda y: 1 - y**2))
        with np.errstate(all="raise"):  # it divides by this gradient
            assert list(wrong_functions(graph, measure_movements(graph, tester))) == []
