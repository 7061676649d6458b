"""Test the graph of recorded operations: families, edges, states, biases, names, and derivatives."""

import numpy as np
import pytest
from wrong_gradients import graph_of

from nnscratch.gradcheck.adapters import make_adapter
from nnscratch.gradcheck.diagnosis.forward_graph import (
    VARIABLE,
    ForwardGraph,
    content_key,
    gradient_of_result,
    is_better_name,
    is_square,
    name_of_result,
)
from nnscratch.gradcheck.projection import Projection
from nnscratch.gradcheck.tape import Tape, change_path

X = np.array([[1.0, -2.0], [0.3, 1.2], [0.9, 0.4]])
W = np.array([[0.4, -1.1], [0.9, 0.2]])
H = np.array([0.7, -0.2])


def edges(graph, method="edges", **options):
    return [(nodes[0].name, j, only) for nodes, j, only in getattr(graph, method)(**options)]


def recurrent(x, h, w):
    for t in range(3):
        h = np.tanh(x[t] + h @ w)
    return h


def layers(x, v0, v1):
    for v in (v0, v1):
        x = x * v
    return x


# --- operations ------------------------------------------------------------------------------------------------------


def test_the_rounds_of_a_loop_are_one_family():
    with graph_of(recurrent, X, H, W) as graph:
        assert sorted((nodes[0].name, len(nodes)) for nodes in graph.families.values()) == [
            ("add", 3), ("matmul", 3), ("tanh", 3),
        ]  # fmt: skip
        assert len(graph.nodes) == 9 and graph.can_be_wrong is None


def test_operations_that_do_not_affect_the_output_are_left_out():
    def forward(x):
        early = np.exp(x)
        y = 2.0 * x
        late = y * early
        return y if late.size else late

    with graph_of(forward, X) as graph:
        assert [node.name for node in graph.nodes] == ["multiply"] and graph.nodes[0].number == 1
        assert graph.tape.skipped == {0, 2}
        assert graph.tape.cost == 3 * 200 + (6 + 6) + (6 + 6 + 1) + 18 - 2 * 100
        assert content_key(np.exp(X)) in {key for keys in graph.arrays[1] for key in keys}  # backward may need it
    with graph_of(lambda x: x * 2.0 + np.exp(x), X) as graph:
        assert len(graph.nodes) == 3 and graph.tape.skipped == set()


def test_a_changed_operation_that_fails_affects_the_output():
    def forward(x):
        n = x + 1.0
        if abs(float(n[0, 0]) - 2.0) > 1e-4:
            raise ZeroDivisionError
        return x * 2.0

    with graph_of(forward, X) as graph:
        assert [node.name for node in graph.nodes] == ["add", "multiply"] and graph.tape.changes == {}


def test_producers_and_consumers():
    with graph_of(lambda x, w: np.tanh(x @ w) * 2.0, X, W) as graph:
        product, tanh, double = graph.nodes
        assert graph.producers[content_key(product.result)] == [product]
        assert graph.consumers[content_key(product.result)] == [tanh]
        assert graph.consumers[content_key(X)] == [product] and content_key(np.array(2.0)) not in graph.consumers
        assert graph.producer(tanh.operands[0], tanh.number) is product
        assert graph.producer(product.result, product.number) is None  # only an earlier operation
        assert graph.producer(X, 99) is None


def test_the_last_of_equal_results_is_the_producer():
    with graph_of(lambda x: (x + 1.0) * (x + 1.0), X) as graph:
        first, second, product = graph.nodes
        assert graph.producer(product.operands[0], product.number) is second
        assert graph.producer(product.operands[0], second.number) is first


# --- arrays ----------------------------------------------------------------------------------------------------------


def test_the_arrays_of_a_loop_have_names():
    with graph_of(recurrent, X, H, W) as graph:
        assert {name for _, name in graph.arrays[3].values()} >= {"h", "x[t]", "w"}
        values = {name: values for values, name in graph.arrays[3].values()}
        np.testing.assert_array_equal(values["x[t]"], X)
        alone = {name for _, name in graph.arrays[1].values()}
        assert "x[t]" in alone and all(len(values) == 1 for values, _ in graph.arrays[1].values())


def test_a_variable_is_the_best_name():
    with graph_of(lambda x, w: np.tanh(x[:2] @ w), X, W) as graph:

        def forward_names(graph):
            return {name for _, name in graph.arrays[1].values()}

        assert forward_names(graph) == {"w", "x[:2]", "x[:2] @ w", "np.tanh(x[:2] @ w)"}
    assert is_better_name("h", "h[t]") and is_better_name("h[t]", "a + b") and is_better_name("h", "a + b")
    assert not is_better_name("h[t]", "h") and not is_better_name("h", "x") and not is_better_name("a + b", "f(a)")


def test_the_arrays_of_a_long_loop_are_not_listed_one_by_one():
    def loop(h, w):
        for _ in range(7):
            h = h * w
        return h

    with graph_of(loop, H, H + 1) as graph:
        assert graph.arrays[1] == {} and len(graph.arrays[7]) == 3


def test_numbers_are_arrays_only_if_all_variables_are_numbers():
    with graph_of(lambda x: x * np.array(2.0), np.array(3.0)) as graph:
        assert {float(values[0]) for values, _ in graph.arrays[1].values()} == {2.0, 3.0, 6.0}
    with graph_of(lambda x: x * x.sum(), H) as graph:
        assert all(values[0].ndim for values, _ in graph.arrays[1].values())


def test_a_number_is_no_array_beside_arrays():
    with graph_of(lambda x, c: x * c, X, np.array(2.0)) as graph:
        assert all(values[0].ndim for values, _ in graph.arrays[1].values())

    def total(x):
        s = 0.0  # in the first round, a number
        for t in range(3):
            s = s + x[t]
        return s

    with graph_of(total, X) as graph:
        assert all(isinstance(v, np.ndarray) for values, _ in graph.arrays[3].values() for v in values)


def test_each_round_of_two_has_arrays_of_its_own():
    with graph_of(layers, X, X + 1, X + 2) as graph:
        alone = [values[0] for values, name in graph.arrays[1].values() if name == "v"]
        np.testing.assert_array_equal(alone, [X + 1, X + 2])


def test_an_array_like_an_operand_has_its_shape():
    with graph_of(lambda x, z: np.tanh(x) * z, X, X + 1) as graph:
        product = graph.families[graph.nodes[1].family]
        assert [values[0].shape for values, _ in graph.arrays_like_operand(product, 0)] == [X.shape] * 2


def test_the_edges_at_which_a_mistake_is_possible():
    with graph_of(lambda x, w: np.tanh(x @ w), X, W) as graph:
        graph.can_be_wrong = {(graph.nodes[0].family, -1), (graph.nodes[1].family, 0)}
        assert edges(graph) == [("matmul", -1, None), ("tanh", 0, None)]
        assert len(edges(graph, every=True)) == 5


def test_an_operand_that_is_active_in_some_rounds_is_an_edge():
    def from_zeros(x, w):
        h = np.zeros(2)
        for t in range(3):
            h = np.tanh(x[t] + h @ w)
        return h

    def powers(x):
        h = x
        for _ in range(2):
            h = h * x  # a square in the first round
        return h

    with graph_of(from_zeros, X, W) as graph:
        assert ("matmul", 0, None) in edges(graph)
    with graph_of(powers, X) as graph:
        assert ("multiply", 1, "x") in edges(graph)


def test_arrays_like_an_operand():
    def forward(x, w, v, b):
        c = x @ w
        return c @ v + b + x @ v

    V = W + 1
    with graph_of(forward, X[:2], W, V, np.ones(2)) as graph:
        product = next(nodes for nodes in graph.families.values() if nodes[0].operand_names == ["c", "v"])
        found = {name: values[0] for values, name in graph.arrays_like_operand(product, 1)}
        y = "c @ v + b + x @ v"  # the output
        assert set(found) == {
            "x",
            "x.T",
            "w",
            "w.T",
            "c",
            "c.T",
            y,
            f"({y}).T",
        }  # not v itself, and not b, which has another shape
        np.testing.assert_array_equal(found["w.T"], W.T)
    with graph_of(lambda x, w: (x @ w.T) * x[:2], X[:2], W) as graph:
        (nodes, _) = graph.families.values()
        y = "(x @ w.T) * x[:2]"  # the output
        assert {name for _, name in graph.arrays_like_operand(nodes, 0)} == {"w.T", "w", y, f"({y}).T"}


def test_what_is_a_variable():
    for name in ("h", "self.x", "h[t - 1]", "a.b[0]", "x[0][1]"):
        assert VARIABLE.match(name)
    for name in ("a + b", "f(x)", "h[f(t)]"):
        assert not VARIABLE.match(name)


# --- edges -----------------------------------------------------------------------------------------------------------


def test_the_edges_of_a_forward():
    with graph_of(lambda x, w: np.tanh(x @ w) * 2.0, X, W) as graph:
        assert edges(graph) == [
            ("matmul", 0, "x"), ("matmul", 1, "w"), ("matmul", -1, None), ("tanh", 0, None), ("tanh", -1, None),
            ("multiply", 0, None), ("multiply", -1, None),
        ]  # fmt: skip
        assert edges(graph, "single_edges") == [
            ("matmul", 0, "x"), ("matmul", 1, "w"), ("tanh", 0, None), ("multiply", 0, None), ("multiply", -1, None),
        ]  # fmt: skip
        product = graph.nodes[0]
        graph.can_be_wrong = {(product.family, 1), (product.family, -1)}
        assert edges(graph) == [("matmul", 1, "w"), ("matmul", -1, None)] and len(edges(graph, every=True)) == 7
        assert graph.is_possible([product], 1) and not graph.is_possible([product], 0)
        graph.can_be_wrong = None
        assert graph.is_possible([product], 0)


def test_a_result_with_two_readers_is_an_edge_of_its_own():
    def forward(x):
        y = np.tanh(x)
        return np.exp(y) + y

    with graph_of(forward, X) as graph:
        assert ("tanh", -1, None) in edges(graph, "single_edges")


def test_constants_carry_no_derivative():
    with graph_of(lambda x: 3.0 * x + np.ones((3, 2)) * 2.0, X) as graph:
        assert edges(graph)[0] == ("multiply", 1, "x") and ("add", 1, None) not in edges(graph)


def test_a_square_has_one_edge():
    with graph_of(lambda x: x * x, X) as graph:
        assert edges(graph) == [("multiply", 0, "x"), ("multiply", -1, None)] and is_square(graph.nodes[0])
    with graph_of(lambda x, w: x * w, X, X + 1) as graph:
        assert len(edges(graph)) == 3 and not is_square(graph.nodes[0])
    with graph_of(lambda x: x * X, X) as graph:
        assert not is_square(graph.nodes[0])
    with graph_of(lambda x: -x, X) as graph:
        assert not is_square(graph.nodes[0])


def test_the_name_of_an_operand():
    with graph_of(layers, X, X + 1, X + 2) as graph:
        (nodes,) = graph.families.values()
        assert graph.variable_name(nodes, 1) is None  # another array in each round
        assert graph.variable_name(nodes[1:], 1) == "v1" and graph.variable_name(nodes, -1) is None
    with graph_of(recurrent, X, H, W) as graph:
        product = next(nodes for nodes in graph.families.values() if nodes[0].name == "matmul")
        assert graph.variable_name(product, 1) == "w" and graph.variable_name(product, 0) is None


def test_a_description():
    def forward(x, w):
        z = x @ w
        return np.tanh(z)

    with graph_of(forward, X, W) as graph:
        product, tanh = graph.nodes
        assert graph.describe([product], 0) == "`x`" and graph.describe([product], -1) == "`z`"
        assert graph.describe([tanh], -1) == "the result of `np.tanh(z)`"
        assert name_of_result(product) == "z" and name_of_result(tanh) == "np.tanh(z)"
    with graph_of(lambda x: x * {"a: b": 2.0}["a: b"], X) as graph:
        assert graph.describe(graph.nodes, -1) == """the result of `x * {"a: b": 2.0}["a: b"]`"""
        assert name_of_result(graph.nodes[0]) == """x * {"a: b": 2.0}["a: b"]"""


def test_the_terms_of_a_sum_are_all_named():
    def forward(x):
        a, b, c = np.tanh(x), np.exp(x), np.sin(x)
        return sum([a, b, c, x, b])

    with graph_of(forward, X) as graph:
        (terms,) = [nodes for nodes in graph.families.values() if len(nodes) > 1]
        assert graph.describe(terms, 1) == "`a`, `b`, `c`, ..."
        assert graph.describe(terms[:3], 1) == "`a`, `b`, `c`" and graph.describe(terms[1::3], 1) == "`b`"


# --- states and biases -----------------------------------------------------------------------------------------------


def test_a_term_of_a_sum_is_no_state():
    def forward(x):
        a, b = np.tanh(x), np.exp(x)
        return sum([a, b]) * x

    with graph_of(forward, X) as graph:
        (terms,) = [nodes for nodes in graph.families.values() if len(nodes) == 2]
        assert graph.earlier_round(terms, 1, 1) is None  # b is computed before the sum
        assert not graph.is_state(terms, 1) and not graph.is_time_loop(2)


def test_the_result_of_an_earlier_round():
    def forward(x):
        h = np.zeros(2)
        for t in range(2):
            z = h * x
            h = np.exp(z) if t else np.cos(z)  # each of these operations is executed only once
        return h

    with graph_of(forward, np.array([0.5, 2.0])) as graph:
        (product,) = [nodes for nodes in graph.families.values() if nodes[0].name == "multiply"]
        assert graph.earlier_round(product, 0, 0) is None
        made = graph.earlier_round(product, 1, 0)
        assert made is not None and made.name == "cos" and graph.is_state(product, 0) and graph.is_time_loop(2)


def test_a_state_of_the_round_before_the_last():
    def forward(x):
        out = [x[0]]
        for t in range(3):
            out.append(np.tanh(out[max(t - 1, 0)]))
        return np.stack(out)

    with graph_of(forward, X) as graph:
        (tanh,) = [nodes for nodes in graph.families.values() if nodes[0].name == "tanh"]
        assert [graph.earlier_round(tanh, k, 0) is not None for k in range(3)] == [False, False, True]
        assert not graph.is_state_of_loop(tanh, 0)  # the same operation computes it
        assert graph.is_state(tanh, 0)

    def longer(x):
        out = [x[0]]
        for t in range(3):
            z = out[max(t - 1, 0)] * 0.5
            out.append(np.tanh(z))
        return np.stack(out)

    with graph_of(longer, X) as graph:
        (product,) = [nodes for nodes in graph.families.values() if nodes[0].name == "multiply"]
        assert graph.is_state_of_loop(product, 0)


def test_an_input_with_one_number_for_each_example_may_be_a_state():
    def forward(h, x, m):
        return h + x.sum(axis=1) + m.sum(axis=1), 2.0

    with graph_of(forward, np.ones(3), X, X[:, :1]) as graph:
        (first,) = [n for n in graph.nodes if "h" in n.variables]
        assert graph.is_state([first], first.variables.index("h"))


def test_a_result_that_each_round_computes_before_it_is_read():
    def forward(x):
        before, out = np.full(2, 0.5), []
        for t in range(2):
            y = np.tanh(x[t])
            out.append(y - before)
            before = y
        return np.stack(out)

    with graph_of(forward, X) as graph:
        (change,) = [nodes for nodes in graph.families.values() if nodes[0].name == "subtract"]
        made = graph.earlier_round(change, 1, 1)
        assert made is not None and made.name == "tanh" and made.number < change[0].number
        assert graph.is_state_of_loop(change, 1) and not graph.is_state_of_loop(change, 0)
        assert not graph.is_state_of_loop(change, -1)


def test_a_state_comes_from_an_earlier_round():
    with graph_of(recurrent, X, H, W) as graph:
        family = {nodes[0].name: nodes for nodes in graph.families.values()}
        assert graph.is_state(family["matmul"], 0) and not graph.is_state(family["matmul"], 1)
        assert not graph.is_state(family["tanh"], 0) and not graph.is_state(family["matmul"], -1)


def test_an_input_with_the_shape_of_the_output_may_be_a_state():
    state = np.ones((3, 2))

    def one_step(x, h, w):
        return np.tanh(x @ w + h)

    with graph_of(one_step, X, state, W) as graph:
        add = next(nodes for nodes in graph.families.values() if nodes[0].name == "add")
        assert graph.is_state(add, 1)
    with graph_of(lambda h, w: np.tanh(h @ w + h), state, W) as graph:
        add = next(nodes for nodes in graph.families.values() if nodes[0].name == "add")
        assert not graph.is_state(add, 1)  # no other input has this number of samples
    with graph_of(lambda x, h, w: (x @ w + h)[:1], X, state, W) as graph:
        add = next(nodes for nodes in graph.families.values() if nodes[0].name == "add")
        assert not graph.is_state(add, 1)


def test_a_bias_is_added_with_broadcasting():
    def bias(forward, *arrays):
        with graph_of(forward, *arrays) as graph:
            return [(nodes[0].name, j) for nodes, j, _ in graph.edges() if graph.is_bias(nodes, j)]

    assert bias(lambda x, b: x + b, X, H) == [("add", 1)] and bias(lambda x, b: b - x, X, H) == [("subtract", 0)]
    assert bias(lambda x, b: x * b, X, H) == [] and bias(lambda x, b: x + b, X, X) == []
    assert bias(lambda x, b: x + np.tanh(b), X, H) == []


def test_a_bias_is_not_broadcast_if_there_is_one_example():
    def biases(forward, *shapes):
        arrays = [np.random.default_rng(k).normal(size=shape) for k, shape in enumerate(shapes)]
        with graph_of(forward, *arrays) as graph:
            every = [(graph.variable_name(nodes, j), nodes, j) for nodes, j, _ in graph.edges()]
            return [name for name, nodes, j in every if name and graph.is_bias(nodes, j)]

    def with_product(w, x, b):
        return w @ x + b

    assert biases(with_product, (3, 2), (2,), (3,)) == biases(with_product, (3, 2), (2, 1), (3, 1)) == ["b"]
    assert biases(with_product, (3, 2), (2, 3), (3, 3)) == []  # a matrix
    assert biases(lambda w, x, u, h, b: w @ x + u @ h + b, (3, 2), (2,), (3, 4), (4,), (3,)) == ["b"]
    assert biases(lambda w, x: x + w @ x, (3, 3), (3,)) == []  # x is not only added
    assert biases(lambda w, x, h, b: w @ x + h + b, (3, 2), (2,), (3,), (3,)) == ["h", "b"]
    assert biases(lambda a, b, c: a + b + c, (3,), (3,), (3,)) == biases(lambda a, b: a + b, (), ()) == []
    assert biases(lambda a, b: a + b, (3,), (3,)) == biases(lambda a, b: a * 2.0 + b, (3,), (3,)) == []


# --- derivatives -----------------------------------------------------------------------------------------------------


def test_the_derivative_by_a_result():
    with graph_of(lambda x, w: np.tanh(x @ w), X, W) as graph:
        (R,) = graph.projection.weights
        upstream = R * (1 - np.tanh(X @ W) ** 2)
        v = np.arange(6.0).reshape(3, 2)
        assert graph.derivative_by_result(graph.nodes[0], v) == pytest.approx((upstream * v).sum(), rel=1e-8)
        assert graph.derivative_by_result(graph.nodes[0], v, 1e-3) == pytest.approx((upstream * v).sum(), rel=1e-4)
        np.testing.assert_allclose(gradient_of_result(graph, graph.nodes[0]), upstream, rtol=1e-8)
        np.testing.assert_allclose(gradient_of_result(graph, graph.nodes[1]), R, rtol=1e-8)
        assert graph.tape.changes == {}
        graph.tape.changes = {1: change_path(-1, lambda d: d)}
        graph.derivative_by_result(graph.nodes[0], v)
        assert graph.tape.changes == {}


# --- time ------------------------------------------------------------------------------------------------------------


def test_a_loop_with_a_state_runs_over_time():
    with graph_of(recurrent, X, H, W) as graph:
        assert graph.is_time_loop(3) and not graph.is_time_loop(5)


def test_a_loop_over_layers_does_not_run_over_time():
    with graph_of(layers, X, X + 1, X + 2) as graph:
        assert not graph.is_time_loop(2)

    def deep(x, w0, w1):
        for w in (w0, w1):
            x = np.tanh(x @ w)
        return x

    with graph_of(deep, X, W, W + 1) as graph:
        assert not graph.is_time_loop(2)


def test_a_sum_over_rounds_is_no_state():
    def total(x, w):
        s = 0.0
        for t in range(3):
            s = s + x[t] @ w
        return s

    with graph_of(total, X, W) as graph:
        assert not graph.is_time_loop(3)


def test_a_loop_over_the_time_axis_of_integer_inputs_runs_over_time():
    ids = np.array([[0, 1, 1], [1, 0, 0]])

    def embedded(ids, c):
        out = []
        for t in range(ids.shape[1]):
            out.append(c[ids[:, t]] * 2.0)
        return np.stack(out, 1)

    with graph_of(embedded, ids, W) as graph:
        assert graph.is_time_loop(3) and not graph.is_time_loop(2)
    with graph_of(lambda ids, c: sum(c[i] * 2.0 for i in ids), np.array([0, 1, 1]), W) as graph:
        assert not graph.is_time_loop(3)  # one axis is an axis of samples


def test_a_loop_over_a_time_axis_of_the_output_runs_over_time():
    x = np.arange(24.0).reshape(2, 4, 3) / 7

    def over_time(x, w):
        return np.stack([np.tanh(x[:, t] @ w) for t in range(4)], 1)

    with graph_of(over_time, x, np.ones((3, 2)) / 3) as graph:
        assert graph.is_time_loop(4) and not graph.is_time_loop(2)


def test_keys_of_contents():
    assert content_key(X) == content_key(X.copy()) == content_key(np.asfortranarray(X)) != content_key(X.T)
    assert content_key(X) != content_key(X + 1) and content_key(X.ravel()) != content_key(X)


def test_the_bias_of_one_neuron():
    with graph_of(lambda x, w, b: np.tanh(x @ w + b), X[:, 0], X[:, 1], np.array(0.5)) as graph:
        (total,) = [n for n in graph.nodes if n.name == "add"]
        assert graph.is_bias([total], 1)


def test_the_bias_of_an_object_is_one_of_its_parameters():
    class Layer:
        def __init__(self):
            self.params, self.grads = {"w": np.eye(3), "b": np.ones(3)}, {}

        def forward(self, x, shift):
            return x @ self.params["w"] + self.params["b"] + shift

        def backward(self, dy):
            return dy, dy

    projection = Projection(make_adapter(Layer(), (X[:, 0], X[:, 1])), np.random.default_rng(0))
    with Tape(projection) as tape:
        graph = ForwardGraph(tape)
        with_bias, with_input = [[n] for n in graph.nodes if n.name == "add"]
        assert graph.is_bias(with_bias, 1) and not graph.is_bias(with_input, 1)


def test_a_result_that_a_loop_reads_is_an_edge_of_its_own():
    def forward(x, w):
        h, out = np.tanh(x), []
        for k in range(2):
            out.append(h * w[k])
        return np.stack(out)

    with graph_of(forward, X, X[:2]) as graph:
        tanh = graph.nodes[0]
        assert any(nodes == [tanh] and j == -1 for nodes, j, _ in graph.single_edges())


def test_a_result_that_depends_on_an_array_in_one_round_is_an_edge():
    def forward(w):
        out = []
        for factor in (w, 2 + 0 * w):
            out.append(np.exp(factor))
        return np.stack(out)

    with graph_of(forward, X) as graph:
        assert ("exp", -1) in [(nodes[0].name, j) for nodes, j, _ in graph.edges()]


def test_a_loop_over_the_tokens_of_a_text():
    ids = np.array([[0, 2, 1, 1], [1, 1, 0, 2]])

    def forward(E):
        total = 0.0
        for t in range(4):
            total = total + np.tanh(E[ids[:, t]])
        return total

    with graph_of(lambda E, ids: forward(E), X, ids) as graph:
        assert graph.is_time_loop(4) and not graph.is_time_loop(2)


def test_an_overflow_in_an_operation_without_effect_is_no_effect():
    def forward(x):
        np.exp(x)  # almost the largest number
        return 0.5 * x

    with np.errstate(over="raise"), graph_of(forward, np.array([709.782])) as graph:
        assert [n.name for n in graph.nodes] == ["multiply"]
