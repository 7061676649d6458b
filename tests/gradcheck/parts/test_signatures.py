"""Test the description of a student's code: the names, kinds and defaults of its arguments, and the keys it uses."""

import numpy as np
import pytest

from nnscratch.gradcheck.command.signatures import (
    arguments,
    forward_of,
    keys_used,
    makes_an_object,
    needs_no_instance,
    plain_default,
    taken_by_backprop,
)


class Linear:
    """A layer with two methods."""

    def __init__(self, n_in: int, n_out: int = 2):
        self.W = np.zeros((n_in, n_out))

    def forward(self, x):
        return x @ self.W

    def backward(self, dy):
        return dy @ self.W.T


class StaticMul:
    @staticmethod
    def forward(a, b):
        return a * b


class ContextMul:
    def forward(ctx, a, b):
        return a * b


class Network:
    """A network with a loss, and without a backward, as in CS231n."""

    def loss(self, X, y=None):
        return 0.0

    def predict(self, X):
        return X


class Nielsen:
    """A network with backprop(x, y), as in Nielsen's book."""

    def feedforward(self, a):
        return a

    def backprop(self, x, y):
        return x, y


class Callable:
    def __call__(self, x):
        return x

    def backward(self, dy):
        return dy


class LayerWithLoss:
    """A layer that also computes a loss."""

    def forward(self, x):
        return x

    def backward(self, dy):
        return dy

    def loss(self, x, y):
        return 0.0


class OneArgument:
    def backprop(self, dy):
        return dy


class NoForward:
    def backward(self, dy):
        return dy


def two_of(params, x):
    return x @ params["W1"] + params["b1"] + second_of(params, x)


def second_of(params, x):
    return x @ params["W2"] + params["W2"].sum() + x[0] + x["W" + str(1)] + x[f"b{1}"]


def even_layers(params, x, n):
    return odd_layers(params, x @ params["W0"], n - 1) if n else x


def odd_layers(params, x, n):
    return even_layers(params, x @ params["W1"], n - 1) if n else x


def recursive(params, x, n):
    return recursive(params, x @ params["W2"], n - 1) if n else x


def through_recursion(params, x):
    return recursive(params, x @ params["W3"], 2)


def test_only_a_class_with_a_static_forward_or_a_context_needs_no_instance():
    assert needs_no_instance(StaticMul) and needs_no_instance(ContextMul)
    assert not needs_no_instance(Linear)
    assert not needs_no_instance(Linear(3))
    assert not needs_no_instance(NoForward)


def test_forward_is_the_loss_of_a_network_without_backward_and_else_the_first_known_name():
    network, linear = Network(), Linear(3)
    assert forward_of(network) == network.loss
    assert forward_of(linear) == linear.forward
    assert forward_of(Linear) is Linear.forward
    nielsen = Nielsen()
    assert forward_of(nielsen) == nielsen.feedforward
    assert forward_of(NoForward()) is None
    layer = LayerWithLoss()
    assert forward_of(layer) == layer.forward  # it has a backward, so its output is the output of forward
    assert forward_of(StaticMul) is StaticMul.forward  # without backward and without loss


def test_call_is_a_forward_only_if_the_class_defines_it():
    # every class is callable, because its metaclass has __call__
    assert forward_of(Callable) is Callable.__call__
    assert forward_of(NoForward) is None


def test_backprop_takes_the_arguments_of_forward_only_without_a_backward():
    assert [a["name"] for a in taken_by_backprop(Nielsen)] == ["x", "y"]
    assert [a["name"] for a in taken_by_backprop(Nielsen())] == ["x", "y"]
    assert taken_by_backprop(Linear) == []
    assert taken_by_backprop(OneArgument()) == []  # backprop(dy) is another name of backward

    class Both(Nielsen):
        def backward(self, dy):
            return dy

    assert taken_by_backprop(Both()) == []


def test_a_function_without_required_arguments_returns_an_object():
    assert makes_an_object(lambda: 1)
    assert makes_an_object(lambda seed=0, *args, **kwargs: 1)
    assert not makes_an_object(lambda x: 1)


def test_arguments_have_a_name_a_kind_a_default_and_an_annotation():
    n_in, n_out = arguments(Linear)
    assert (n_in["name"], n_in["optional"], n_in["default"]) == ("n_in", False, None)
    assert (n_out["name"], n_out["optional"], n_out["default"], n_out["annotation"]) == ("n_out", True, 2, "int")
    assert n_in["kind"] == "POSITIONAL_OR_KEYWORD"
    (x,) = arguments(lambda x: x)
    assert x["annotation"] == "" and x["keys"] == []


def test_an_object_without_a_signature_has_no_arguments():
    assert arguments(3) == []
    assert arguments(np.ufunc) == []


def test_keys_come_from_a_function_and_from_the_functions_of_its_module_that_it_calls():
    # the constant start of a computed key counts, and an index that is no text does not
    found = keys_used(second_of)
    assert found["params"] == ["W2"] and sorted(found["x"]) == ["W", "b"] and len(found) == 2
    assert sorted(keys_used(two_of)["params"]) == ["W1", "W2", "b1"]
    params, _ = arguments(two_of)
    assert sorted(params["keys"]) == ["W1", "W2", "b1"]


def test_keys_of_functions_that_call_each_other():
    assert keys_used(even_layers) == {"params": ["W0", "W1"]}
    assert keys_used(through_recursion) == {"params": ["W3", "W2"]}


def test_code_without_a_source_uses_no_keys():
    assert keys_used(len) == {}
    made = {}
    exec("def f(p): return p['W']", made)
    assert keys_used(made["f"]) == {}


@pytest.mark.parametrize("value", [True, 3, 0.5, "same", (2, 3), ()])
def test_a_plain_default_is_sent(value):
    assert plain_default(value) == value


@pytest.mark.parametrize("value", [None, [1], (1.5, 2), (True,), np.zeros(2), object()])
def test_another_default_is_not_sent(value):
    assert plain_default(value) is None
