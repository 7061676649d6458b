"""Test the adapters of numbers with data and grad, and of functions with their derivatives."""

import warnings
from types import SimpleNamespace

import numpy as np
import pytest

from nnscratch.gradcheck.adapters.backprop import BackpropAdapter, arrays_in, quadratic_cost
from nnscratch.gradcheck.adapters.extra_arguments import mean_loss, methods_with_inputs, needs_more
from nnscratch.gradcheck.adapters.numbers import NumberArray
from nnscratch.gradcheck.adapters.slopes import (
    SlopeAdapter,
    flagged_slope,
    is_jacobian,
    is_slope,
    slope_methods,
    takes_output,
)
from nnscratch.gradcheck.adapters.three_functions import ThreeFunctionsAdapter, is_three_functions
from nnscratch.gradcheck.adapters.values import (
    ValueAdapter,
    data_of,
    first_parameter,
    gradient_of,
    is_value,
    new_leaves,
    parameter_groups,
    parts_of,
    same_form,
    set_data,
    start_backward,
    values_in,
)


class Value:
    """A number, or an array, with the operations that the tests need."""

    def __init__(self, data, children=(), slopes=()):
        self.data, self.children, self.slopes = data, children, slopes
        self.grad = np.zeros(np.shape(data)) if isinstance(data, np.ndarray) else 0.0

    def __mul__(self, other):
        if not isinstance(other, Value):
            return Value(self.data * other, (self,), (other,))
        return Value(self.data * other.data, (self, other), (other.data, self.data))

    def __add__(self, other):
        return Value(self.data + other.data, (self, other), (1.0, 1.0))

    def sum(self):
        return Value(float(self.data.sum()), (self,), (np.ones(self.data.shape),))

    def backward(self):
        self.pass_on(1.0)

    def pass_on(self, dy):
        self.grad = self.grad + dy
        for child, slope in zip(self.children, self.slopes, strict=True):
            child.pass_on(dy * slope)


class Arrays(Value):
    def backward(self, dy):
        self.pass_on(dy)


# --- values ----------------------------------------------------------------------------------------------------------


def test_a_value_has_a_number_a_gradient_and_a_backward():
    assert all(is_value(Value(data)) for data in (2.0, 3, np.ones(2), np.float64(1)))
    assert not is_value(Value) and not is_value(2.0) and not is_value(Value("a"))
    for missing in ("data", "grad", "backward"):
        parts = {"data": 1.0, "grad": 0.0, "backward": lambda: None}
        del parts[missing]
        assert not is_value(SimpleNamespace(**parts))
    assert not is_value(SimpleNamespace(data=1.0, grad=0.0, backward=3))


def test_the_values_of_a_nest_are_in_order():
    a, b, c = Value(1.0), Value(2.0), Value(3.0)
    assert values_in([a, (b, 5.0), [[c]]]) == [a, b, c] and values_in(a) == [a] and values_in({"a": a}) == []


def test_the_data_and_the_gradients_of_lists():
    a, b = Value(1.0), Value(2.0)
    a.grad, b.grad = 3.0, None
    assert data_of([a, 7.0, b]).tolist() == [1, 7, 2] and data_of([[a], [b]]).tolist() == [[1], [2]]
    assert data_of(a).shape == () and data_of(Value(np.ones(2, "f"))).dtype == np.float64
    assert gradient_of([a, 7.0, b]).tolist() == [3, 0, 0] and gradient_of(Value(np.ones((2, 1)))).shape == (2, 1)
    a.grad = Value(5.0)
    assert gradient_of(a) == 5


def test_data_and_gradients_are_float64():
    a, b = Value(1), Value(np.ones(2, "f"))
    a.grad, b.grad = 3, np.ones(2, "f")
    assert {array.dtype for array in (data_of([a, a]), gradient_of([a, a]), gradient_of(b))} == {np.dtype("f8")}


def test_the_parts_of_an_array_are_views_of_the_same_class():
    x = np.arange(6.0).reshape(2, 3).view(NumberArray)
    parts = parts_of(x)
    assert [p.tolist() for p in parts] == [[0, 1, 2], [3, 4, 5]] and type(parts[0]) is type(x)
    parts_of(x)[1][0] = 9
    assert x[1, 0] == 9 and [p.shape for p in parts_of(np.ones(2))] == [(), ()]


def test_numbers_are_put_into_values():
    a, b, c = Value(1.0), Value(np.ones(2)), Value(0.0)
    a.grad, b.grad, c.grad = 4.0, np.ones(2), None
    set_data([a, 5.0], np.array([8.0, 9.0]))
    assert (a.data, a.grad, type(a.data)) == (8, 0, float)
    new = np.array([3.0, 4.0])
    set_data(b, new)
    assert b.data.tolist() == [3, 4] and b.data is not new and b.grad.tolist() == [0, 0]
    set_data(b, new.view(NumberArray))  # its operations are recorded
    assert b.data.tolist() == [3, 4] and type(b.data) is NumberArray
    set_data(c, np.array(2.0))
    assert (c.data, c.grad) == (2, None)


def test_new_leaves_leave_the_given_values_alone():
    a = Value(1.0)
    made = new_leaves((a, a), np.array([2.0, 3.0]))

    assert isinstance(made, tuple) and [v.data for v in made] == [2, 3] and a.data == 1 and made[0] is not a
    made = new_leaves([a, 7.0], np.array([2.0, 3.0]))
    assert made[0].data == 2 and made[1] == 7


def test_one_array_holds_values_that_differ():
    a, b, array = Value(1.0), Value(2.0), Value(np.ones(2))
    assert same_form([a, b]) and same_form([array]) and not same_form([a, a]) and not same_form([a, array])


class Model:
    def __init__(self):
        self.w, self.b = [Value(2.0), Value(3.0)], Value(1.0)
        self.unused = [Value(9.0)]
        self.layers = [SimpleNamespace(v=Value(4.0), parent=self)]
        self.hidden = {"x": Value(5.0)}

    def parameters(self):
        return [*self.w, self.b, self.layers[0].v, self.hidden["x"]]

    def __call__(self, x, scale):
        return (x * self.w[0] + x * self.w[1] + self.b) * scale


def test_the_values_of_a_list_are_one_group():
    model = Model()
    groups = parameter_groups(model)
    assert list(groups) == ["w", "b", "layers[0].v", "parameters[0]"]
    assert groups["w"] is model.w and groups["b"] is model.b and groups["parameters[0]"] is model.hidden["x"]
    assert parameter_groups(SimpleNamespace(w=Value(1.0))) == {}


def test_a_list_with_another_value_is_no_group():
    a, b = Value(1.0), Value(2.0)
    assert parameter_groups(SimpleNamespace(mixed=[a, b], parameters=lambda: [a])) == {"mixed[0]": a}


def test_the_names_of_the_inputs_of_a_function():
    assert ValueAdapter(lambda a, b: a * b, (Value(1.0), Value(2.0))).input_names == ["a", "b"]


def test_the_first_parameter():
    model = Model()
    assert first_parameter(model) is model.w[0] and first_parameter(Model) is None and first_parameter(3) is None
    assert first_parameter(SimpleNamespace(parameters=lambda: [])) is None
    assert first_parameter(SimpleNamespace(parameters=lambda: 3)) is None
    assert first_parameter(SimpleNamespace(parameters=lambda n: [n])) is None
    assert first_parameter(SimpleNamespace(parameters=[1])) is None


def test_a_model_of_values():
    model = Model()
    model.b.grad = 7.0
    adapter = ValueAdapter(model, (Value(10.0), 2))
    assert adapter.input_names == ["x", "scale"] and adapter.complex_parameters() == {}
    assert adapter.run() == ((2 + 3) * 10 * 2 + 2,) and model.b.grad == 7
    given = adapter.gradients((1.0,))
    assert {k: np.asarray(v).tolist() for k, v in given.items()} == {
        "w": [20, 20], "b": 2, "layers[0].v": 0, "parameters[0]": 0, "x": 10}  # fmt: skip
    adapter.parameters()["w"][:] = 0
    assert adapter.run() == (2,) and [v.data for v in model.w] == [2, 3] and model.b.grad == 7


def test_a_function_must_return_values():
    with pytest.raises(TypeError, match="must return a value with data, grad and backward"):
        ValueAdapter(lambda a: 3.0, (Value(1.0),)).run()


def test_where_backward_starts():
    a, b = Value(2.0), Value(3.0)
    start_backward([a], (5.0,))
    assert a.grad == 1
    array = Arrays(np.ones(2))
    start_backward([array], (np.array([5.0, 6.0]),))
    assert array.grad.tolist() == [5, 6]
    a.grad = 0.0
    start_backward([a, b, a], (5.0, 6.0, 7.0))
    assert (a.grad, b.grad) == (12, 6)
    array = Value(np.ones(2))
    start_backward([array], (np.array([5.0, 6.0]),))  # its backward takes no dy
    assert array.grad.tolist() == [5, 6]


def test_the_backward_of_an_array_gets_dy_if_it_takes_an_argument():
    got, dy = [], np.array([5.0, 6.0])
    for backward in (lambda dy: got.append(dy), lambda dy=None: got.append(dy)):
        start_backward([SimpleNamespace(data=np.ones(2), backward=backward)], (dy,))
    assert got[0] is dy and got[1] is dy


# --- slopes ----------------------------------------------------------------------------------------------------------


def of_y(y):
    return 1 - y**2


def of_x(x):
    return 2 * x


def square(x):
    return x**2


def tanh(x):
    result = np.tanh(x)
    return result


X = np.array([0.5, -1.0, 2.0])


def test_a_derivative_of_the_output_gets_the_output():
    assert takes_output(np.tanh, of_y) and takes_output(tanh, lambda Y: Y) and not takes_output(square, of_x)
    assert takes_output(tanh, lambda result: result) and not takes_output(tanh, lambda z: z)
    assert not takes_output(lambda y: y, of_y)  # the input has this name
    assert takes_output(lambda x, y: x, of_y)
    adapter = SlopeAdapter(tanh, of_y, (X,))
    adapter.run()
    np.testing.assert_allclose(adapter.gradients((3.0,))["x"], 3 * (1 - np.tanh(X) ** 2))
    assert "argument is named y" in adapter.notes[0]
    adapter = SlopeAdapter(square, of_x, (X,))
    assert adapter.run()[0].tolist() == (X**2).tolist() and adapter.notes == []
    assert adapter.gradients((np.array([1.0, 2.0, 3.0]),))["x"].tolist() == (2 * X * [1, 2, 3]).tolist()


def test_a_jacobian_is_multiplied_by_dy():
    J = np.array([[1.0, 2.0], [3.0, 4.0]])
    assert is_jacobian(J, np.ones(2)) and not is_jacobian(J, np.ones(3)) and not is_jacobian(J, J)
    assert not is_jacobian(np.ones(2), np.ones(2)) and not is_jacobian([[1.0]], np.ones(1))
    adapter = SlopeAdapter(lambda x: J @ x, lambda x: J, (np.ones(2),))
    adapter.run()
    assert adapter.gradients((np.array([1.0, 10.0]),))["x"].tolist() == [31, 42] and "Jacobian" in adapter.notes[0]


def test_a_flag_for_the_derivative():
    def of_input(x, deriv=False):
        return 2 * x if deriv else x**2

    def of_output(x, derivative=False):
        return x * (1 - x) if derivative else 1 / (1 + np.exp(-x))

    assert flagged_slope(of_input, (X,)).of_output is False and flagged_slope(of_output, (X,)).of_output is True
    assert "derivative=True was called with the output" in flagged_slope(of_output, (X,)).notes[0]
    assert "deriv=True was called with the input" in flagged_slope(of_input, (X,)).notes[0]
    for factor in (1.5, 0.5):  # a wrong derivative is neither of the input nor of the output
        wrong = lambda x, deriv=False, c=factor: c * x * (1 - x) if deriv else 1 / (1 + np.exp(-x))  # noqa: E731
        assert flagged_slope(wrong, (X,)).of_output is False
    steep = lambda x, deriv=False: 300 * x * (1 - x) if deriv else 1 / (1 + np.exp(-300 * x))  # noqa: E731
    assert flagged_slope(steep, (np.array([0.0, 0.001, -0.002]),)).of_output is True
    same = lambda x, deriv=False: np.exp(x) if deriv else np.exp(x)  # noqa: E731
    assert flagged_slope(same, (X,)).of_output is False  # of the input
    assert flagged_slope(lambda x, deriv=False: x + ("a" if deriv else 0), (X,)).of_output is False
    for function, inputs in ((square, (X,)), (of_input, (X, X)), (of_input, (2.0,)), (of_input, (np.arange(2),))):
        assert flagged_slope(function, inputs) is None
    assert flagged_slope(lambda x, scale=1: x, (X,)) is None


def test_a_derivative_is_not_linear_in_its_argument():
    assert is_slope(square, of_x, (X,)) and is_slope(tanh, of_y, (X,)) and is_slope(tanh, lambda z: np.exp(z), (X,))
    assert not is_slope(square, lambda dout: np.exp(dout), (X,)) and not is_slope(square, lambda z: 2 * z, (X,))
    assert not is_slope(square, lambda z, cache: z, (X,)) and not is_slope(square, of_x, (X, X))
    assert not is_slope(square, of_x, (2.0,)) and not is_slope(square, of_x, (np.array(2.0),))
    assert not is_slope(square, of_x, (np.arange(3),))
    assert not is_slope(square, lambda x: 2.0, (X,)) and not is_slope(square, lambda x: x[:2], (X,))
    assert not is_slope(lambda x: x.sum(), of_x, (X,)) and not is_slope(square, lambda x: x.missing, (X,))
    assert is_slope(square, lambda x: np.diag(2 * x), (X,))


def test_the_test_of_a_derivative_changes_nothing():
    calls = []

    def counted(x):
        calls.append(1)
        return 2 * x

    assert is_slope(square, counted, (X,)) and calls == []


def test_a_derivative_may_be_infinite():
    x = np.array([0.0, 1.0])
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert is_slope(lambda x: np.sqrt(x), lambda x: 0.5 / np.sqrt(x), (x,))


class Activation:
    def forward(self, z):
        self.z = z
        a = np.tanh(z)
        return a


def test_the_derivative_of_an_activation_object():
    layer, dy = Activation(), np.array([1.0, 2.0, 3.0])
    slope = 1 - np.tanh(X) ** 2
    layer.derivative = lambda a: 1 - a**2
    forward, backward = slope_methods(layer, layer.forward, None)
    assert forward(X).tolist() == np.tanh(X).tolist()
    np.testing.assert_allclose(backward(dy), dy * slope)
    layer.derivative = lambda z: 1 - np.tanh(z) ** 2
    forward, backward = slope_methods(layer, layer.forward, None)
    forward(X)
    np.testing.assert_allclose(backward(dy), dy * slope)
    forward, backward = slope_methods(layer, layer.forward, lambda: 1 - np.tanh(layer.z) ** 2)
    forward(X)
    np.testing.assert_allclose(backward(dy), dy * slope)
    assert slope_methods(layer, layer.forward, lambda dy: dy) is None
    assert slope_methods(Activation(), layer.forward, None) is None
    layer.derivative = lambda z, more: z
    assert slope_methods(layer, layer.forward, None) is None


def test_one_loss_for_each_sample_has_a_slope_for_each_element():
    layer, x = Activation(), np.arange(6.0).reshape(2, 3)
    forward, backward = slope_methods(layer, layer.forward, lambda: 2 * layer.z)
    forward(x)
    assert backward(np.array([1.0, 10.0])).tolist() == [[0, 2, 4], [60, 80, 100]]
    assert backward(np.array([1.0, 10.0, 100.0])).tolist() == [[0, 20, 400], [6, 80, 1000]]


# --- extra arguments -------------------------------------------------------------------------------------------------


def test_a_backward_that_needs_more_than_dy():
    assert needs_more(lambda dy, x: dy, 1) and not needs_more(lambda dy, x: dy, 2) and not needs_more(lambda dy: dy, 1)
    assert not needs_more(lambda dy, x=1: dy, 1) and not needs_more(print, 0)


def called(forward, backward, inputs, dys, **attributes):
    instance = SimpleNamespace(**attributes)
    keeping, with_inputs = methods_with_inputs(instance, forward, backward)
    keeping(*inputs)
    return with_inputs(*dys)


def cell(x, h):
    h_next = x + h
    return h_next


def loss(pred, target):
    return float(((pred - target) ** 2).sum())


def test_arguments_of_backward_are_found_by_their_names():
    x, h, dh = np.ones(2), np.full(2, 3.0), np.full(2, 5.0)
    given = called(cell, lambda d, h_next, h, x: (d, h_next, h, x), (x, h), (dh,))
    assert given[0] is dh and given[1].tolist() == [4, 4] and given[2] is h and given[3] is x


def test_an_output_may_have_another_name_in_backward():
    x, h, dh = np.ones(2), np.full(2, 3.0), np.full(2, 5.0)
    forward = lambda x, h: x + h  # noqa: E731
    for backward in (lambda d, h_t, h_prev_l, h_prev_t: (d, h_t, h_prev_l, h_prev_t), lambda d, h, a, b: (d, h, a, b)):
        given = called(forward, backward, (x, h), (dh,))  # the h of the second backward is the new state
        assert given[0] is dh and given[1].tolist() == [4, 4] and given[2] is x and given[3] is h


def test_an_output_with_its_usual_name_may_come_last_in_backward():
    x, w, dy = np.ones(2), np.full(2, 3.0), np.full(2, 5.0)
    forward = lambda x, w: x + w  # noqa: E731
    given = called(forward, lambda dout, inputs, kernel, out: (dout, inputs, kernel, out), (x, w), (dy,))
    assert given[0] is dy and given[1] is x and given[2] is w and given[3].tolist() == [4, 4]


def test_the_backward_of_a_loss_may_take_the_targets_first():
    logits, t, kept = np.ones(2), np.zeros(2), np.full(2, 7.0)
    forward = lambda logits, t: loss(logits, t)  # noqa: E731
    given = called(forward, lambda t, dvalues: (dvalues, t), (logits, t), (1.0,), output=kept)
    assert given[0] is kept and given[1] is t


def test_the_backward_of_a_loss_gets_predictions_and_targets():
    p, t = np.ones(2), np.zeros(2)
    given = called(loss, lambda dvalues, target: (dvalues, target), (p, t), (1.0,))
    assert given[0] is p and given[1] is t
    kept = np.full(2, 7.0)
    given = called(loss, lambda y_pred, target: (y_pred, target), (p, t), (1.0,), output=kept)
    assert given[0] is kept and given[1] is t
    given = called(loss, lambda pred, target: (pred, target), (p, t), (1.0,))
    assert given[0] is p and given[1] is t
    given = called(loss, lambda a, b: (a, b), (p, t), (1.0,))
    assert given[0] is p and given[1] is t
    assert called(loss, lambda dy, pred, target: (dy, pred is p, target is t), (p, t), (1.0,)) == (1, True, True)


def test_a_backward_with_too_many_arguments_is_refused():
    with pytest.raises(TypeError, match="forward takes 2 input"):
        called(cell, lambda d, a, b, c, e: d, (np.ones(2), np.ones(2)), (np.ones(2),))


def test_the_mean_of_the_losses():
    assert mean_loss(lambda x: x)(np.array([1.0, 4.0])) == 2.5


# --- three functions -------------------------------------------------------------------------------------------------


def model(x, w):
    a = x @ w
    return a, (x, w)


def cost(a, y):
    return ((a - y) ** 2).sum() / 2


A, W, Y = np.array([[1.0, 2.0]]), np.array([3.0, 4.0]), np.array([9.0])


def test_the_arguments_of_three_functions():
    def backward(a, y, cache):
        x, w = cache
        return (a - y) * w[None], x.T @ (a - y)

    adapter = ThreeFunctionsAdapter(model, cost, backward, (A, W, Y))
    assert adapter.input_names == ["x", "w", "y"] and adapter.title == "cost of model" and adapter.forward_count == 2
    assert adapter.run() == (2.0,)
    given = adapter.gradients((1.0,))
    assert given["x"].tolist() == [[6, 8]] and given["w"].tolist() == [2, 4]
    assert len(adapter.cached()) == 2


def three(forward, cost, backward, *inputs):
    adapter = ThreeFunctionsAdapter(forward, cost, backward, inputs)
    return adapter, adapter.run()


def test_the_names_of_the_targets():
    one = lambda x: 2 * x  # noqa: E731
    back = lambda a: a  # noqa: E731
    for cost, expected in (
        (lambda a, y: a.sum(), ["x", "y"]),
        (lambda y_true, y_pred: y_pred.sum(), ["x", "y_true"]),
        (lambda *a: a[0].sum(), ["x", "target[0]"]),
        (lambda a, b, c=1: a.sum(), ["x", "b"]),
    ):
        assert ThreeFunctionsAdapter(one, cost, back, (X, Y)).input_names == expected
    assert ThreeFunctionsAdapter(one, lambda a: a.sum(), back, (X,)).input_names == ["x"]


def test_a_loss_must_be_one_number():
    with pytest.raises(TypeError, match="must return one number"):
        three(lambda x: x, lambda a: np.ones((2, 2)), lambda a: a, X)
    with pytest.raises(TypeError, match="must return one number"):
        three(lambda x: x, lambda a: 3, lambda a: a, X)
    with pytest.raises(TypeError, match="cannot be called"):
        three(lambda x: x, lambda a, b, c: 1.0, lambda a: a, X)
    adapter, (loss,) = three(lambda x: x, lambda a: a, lambda a: a, X)
    assert loss == X.mean() and "one loss for each sample" in adapter.notes[0]
    adapter, (loss,) = three(lambda x: x, lambda a: a[:1], lambda a: a, X)
    assert loss == X[0] and np.shape(loss) == () and adapter.notes == []


def test_a_backward_that_takes_the_targets_only():
    half = lambda a, target: ((a - target) ** 2).sum() / 2  # noqa: E731
    adapter, _ = three(lambda x: x, half, lambda a, labels: a - labels, X, 0 * X + 1)
    assert adapter.gradients((1.0,))["x"].tolist() == (X - 1).tolist()


def test_optional_arguments_get_the_inputs_with_their_names():
    def cost(a, y, scale=1.0):
        return scale * (a - y).sum()

    adapter, (loss,) = three(lambda x: x, cost, lambda a, y, scale=1.0: scale * np.ones(3), X, 0 * X, 5.0)
    assert loss == 5 * X.sum() and adapter.gradients((1.0,))["x"].tolist() == [5, 5, 5]


def test_a_backward_with_too_many_arguments_of_three_functions_is_refused():
    adapter, _ = three(lambda x: x, lambda a: a.sum(), lambda a, b, c, d, e: a, X)
    with pytest.raises(TypeError, match="more arguments than the checker has values"):
        adapter.gradients((1.0,))


def test_three_functions_are_three_callables():
    assert is_three_functions((len, len, len)) and is_three_functions([len, len, len])
    assert not is_three_functions((len, len)) and not is_three_functions((len, len, 3)) and not is_three_functions(len)


# --- backprop --------------------------------------------------------------------------------------------------------


class Network:
    def __init__(self):
        self.weights, self.biases = [np.full((1, 2), 3.0)], [np.ones((1, 1))]
        self.sizes, self.name = [2, 1], "net"

    def feedforward(self, a):
        return self.weights[0] @ a + self.biases[0]

    def backprop(self, x, y):
        delta = self.feedforward(x) - y
        return [delta], [delta @ x.T]


def backprop_of(net, x=np.ones((2, 1)), y=np.ones((1, 1))):  # noqa: B008 - they are not changed
    return BackpropAdapter(net, net.feedforward, net.backprop, (x, y))


def test_the_lists_of_gradients_belong_to_the_lists_of_the_same_shapes():
    net = Network()
    adapter = backprop_of(net)
    assert list(adapter.parameters()) == ["biases[0]", "weights[0]"] and adapter.run() == (0.5 * 6**2,)
    assert {k: v.tolist() for k, v in adapter.gradients((1.0,)).items()} == {"biases[0]": [[6]], "weights[0]": [[6, 6]]}
    assert "1/2 sum (a - y)^2" in adapter.notes[0]


def test_two_lists_of_the_same_shapes_belong_to_two_attributes():
    class Equal(Network):
        def __init__(self):
            self.a, self.b = [np.ones((1, 1))], [np.ones((1, 1))]

        def feedforward(self, x):
            return self.a[0] + self.b[0]

        def backprop(self, x, y):
            return [np.ones((1, 1))], [np.ones((1, 1))]

    assert list(backprop_of(Equal()).parameters()) == ["a[0]", "b[0]"]


def test_one_list_or_a_dictionary_of_gradients():
    class One(Network):
        def backprop(self, x, y):
            return [super().backprop(x, y)[1][0]]

    class Two(Network):
        def __init__(self):
            self.weights = [np.full((1, 2), 3.0), np.ones((1, 1))]

        def feedforward(self, a):
            return self.weights[1] @ self.weights[0] @ a

        def backprop(self, x, y):
            d = self.feedforward(x) - y
            return [self.weights[1].T @ d @ x.T, d @ (self.weights[0] @ x).T]

    class Keys(Network):
        def backprop(self, x, y):
            b, w = super().backprop(x, y)
            return {"w": w, "b": b}

    assert list(backprop_of(One()).parameters()) == ["weights[0]"] == list(backprop_of(One()).gradients((1.0,)))
    assert list(backprop_of(Two()).gradients((1.0,))) == ["weights[0]", "weights[1]"]
    assert list(backprop_of(Keys()).parameters()) == ["weights[0]", "biases[0]"]


@pytest.mark.parametrize("form", [lambda b, w: (b, w[0]), lambda b, w: {"b": b[0], "w": w[0]}])
def test_the_only_gradient_of_a_list_may_come_without_a_list(form):
    class Other(Network):
        def backprop(self, x, y):
            return form(*super().backprop(x, y))

    found = backprop_of(Other()).gradients((1.0,))
    assert {k: v.tolist() for k, v in found.items()} == {"biases[0]": [[6]], "weights[0]": [[6, 6]]}


def test_a_list_may_also_hold_integers_and_numbers():
    class More(Network):
        def __init__(self):
            super().__init__()
            self.mean, self.weights = np.ones((1, 2)), [np.arange(2), 0.5, np.full((1, 2), 3.0)]

        def feedforward(self, a):
            return self.weights[2] @ a + self.biases[0]

    adapter = backprop_of(More())
    assert list(adapter.parameters()) == ["biases[0]", "weights[2]"]
    assert list(adapter.complex_parameters()) == ["biases[0]", "weights[0]", "weights[2]"]
    assert adapter.gradients((1.0,))["weights[2]"].tolist() == [[6, 6]]


def test_the_search_for_the_lists_leaves_the_network_as_it_was():
    class Learns(Network):
        def backprop(self, x, y):
            gradients = super().backprop(x, y)
            self.weights[0] -= gradients[1][0]
            return gradients

    net = Learns()
    backprop_of(net)
    assert net.weights[0].tolist() == [[3, 3]]


def test_gradients_that_fit_no_list_are_refused():
    class Wrong(Network):
        def backprop(self, x, y):
            return [np.ones(7)], [np.ones((1, 2))]

    net = Wrong()
    net.mean = np.ones((1, 2))  # no list
    with pytest.raises(TypeError, match=r"fit none of the network's lists \(weights, biases\)"):
        backprop_of(net)
    with pytest.raises(TypeError, match=r"call check_gradients\(net, x, y\)"):
        BackpropAdapter(Network(), len, len, (X,))


def test_the_cost_of_the_network():
    for cost, value in (
        (SimpleNamespace(fn=lambda a, y: 11.0), 11),
        (lambda a, y: np.full(2, 4.0), 8),
        (SimpleNamespace(loss=lambda a, y: 5.0, fn=3), 5),
        (type("C", (), {"fn": len}), None),
    ):
        net = Network()
        net.cost = cost
        adapter = backprop_of(net)
        assert value is None or (adapter.run() == (value,) and adapter.notes == [])
    net.cost = type("Cost", (), {})  # a class that is not a cost
    assert backprop_of(net).cost is quadratic_cost


def test_the_float_arrays_of_a_nest():
    assert [a.shape for a in arrays_in([np.ones(2), 3.0, [np.ones((1, 1))], np.arange(3)])] == [(2,), (1, 1)]
    assert quadratic_cost(np.array([3.0, 1.0]), np.array([1.0, 0.0])) == 2.5
