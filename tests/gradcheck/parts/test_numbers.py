"""Test the arrays that the checker uses in place of Python numbers and lists of numbers."""

import math

import numpy as np
import pytest

from nnscratch.gradcheck.adapters import make_adapter
from nnscratch.gradcheck.adapters.numbers import (
    NumberArray,
    as_array,
    as_arrays,
    holds_numbers,
    number_subject,
    with_numbers,
)


@pytest.mark.parametrize("inputs, answer", [
    ((3.0,), True), (([1.0, 2],), True), ((3.0, "tanh", 5), True), ((3,), False), (([1, 2],), False), ((), False),
    ((np.ones(2), 0.1), False), (([np.ones(2), 1.0],), False), (({"w": 1.0},), False), (({"n": 3}, 1.0), False),
])  # fmt: skip
def test_which_inputs_are_python_numbers(inputs, answer):
    assert holds_numbers(inputs) is answer


@pytest.mark.parametrize("value", [2.0, [1.0, 2.0], [1.0, 2, True], [1.0, 2**70], [[1, 2], [3, 4.5]], [[[0.5]]]])
def test_numbers_become_arrays_of_floats(value):
    array = as_array(value)
    assert type(array) is NumberArray and array.dtype == np.float64 and array.tolist() == value


@pytest.mark.parametrize("value", [3, True, [1, 2], [], [[]], "a", None, [1.0, "a"], ["1", 2.0], [1.0, None],
                                   [1.0, [2.0]], [[1.0], [2.0, 3.0]], [1.0, 10**400], (1.0, 2.0), {"w": 1.0},
                                   np.float64(2.0), np.ones(2)])  # fmt: skip
def test_other_values_stay(value):
    assert as_array(value) is value


def test_each_input_is_converted():
    a, b, n = as_arrays((2.0, [1.0], 3))
    assert type(a) is type(b) is NumberArray and a.shape == () and b.shape == (1,) and n == 3


def test_the_code_gets_numbers_and_lists():
    seen = []

    def f(x, v, m, n, rate=0.0, more=()):
        seen.append([x, v, m, n, rate, more])
        return x

    given = [2.0, [1.0, 2.0], [[1.0]], 3, 0.5, [7.0]]
    with_numbers(f)(*as_arrays(tuple(given[:4])), rate=as_array(0.5), more=as_array([7.0]))
    assert seen == [given] and list(map(type, seen[0])) == [float, list, list, int, float, list]
    arrays = [np.ones(2), np.float32(3.0)]
    with_numbers(lambda *values: seen.append(values))(*arrays)
    assert all(a is b for a, b in zip(seen[1], arrays, strict=True))


def test_lists_in_the_result_become_arrays():
    gradient = with_numbers(lambda: [1.0, 2.0])()
    assert isinstance(gradient, np.ndarray) and gradient.tolist() == [1, 2]
    loss, gradient, names, none = with_numbers(lambda: (3.0, [[1.0, 2]], ["dx"], None))()
    assert loss == 3.0 and type(loss) is float and gradient.shape == (1, 2) and names == ["dx"] and none is None
    assert with_numbers(lambda: 2.5)() == 2.5 and with_numbers(lambda: "text")() == "text"


def test_functions_are_converted_but_objects_are_not():
    class Layer:
        def forward(self, x):
            return x

        def backward(self, dy):
            return dy

    layer, double = Layer(), lambda v: v * 2
    for subject in (layer, Layer, layer.forward, math.sin, 3, None):
        assert number_subject(subject) is subject
    assert number_subject(double)(as_array([1.0])).tolist() == [1.0, 1.0]
    pair = number_subject([double, 3])
    assert isinstance(pair, tuple) and pair[0](as_array([1.0])).tolist() == [1.0, 1.0] and pair[1] == 3


def test_an_option_of_backward_is_a_number_too():
    def forward(v, w):
        return sum(a * a for a in v + w)

    def backward(v, w=()):
        return [2 * a for a in v], [2 * a for a in list.copy(w)]  # only a list has list.copy

    adapter = make_adapter((forward, backward), ([1.0, 2.0], [3.0]))
    assert adapter.run() == (14.0,)
    assert {name: g.tolist() for name, g in adapter.gradients((1.0,)).items()} == {"v": [2, 4], "w": [6]}
