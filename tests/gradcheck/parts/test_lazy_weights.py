"""Test where a check starts, if the first forward creates the weights."""

import numpy as np

import nnscratch as nn
from nnscratch.gradcheck import check_gradients
from nnscratch.gradcheck.adapters import make_adapter
from nnscratch.gradcheck.lazy_weights import start_with_weights
from nnscratch.gradcheck.snapshot import Snapshot

X = np.array([[1.0, 2.0, 3.0]])


class Lazy:
    """y = x W. The first forward creates W."""

    def __init__(self):
        self.W, self.calls, self.cache = None, 0, np.zeros(1)

    def create(self, x):
        if self.W is None:
            self.W = np.full((x.shape[1], 2), 0.5)

    def forward(self, x):
        self.calls += 1
        self.create(x)
        self.cache = x + 0
        return x @ self.W

    def backward(self, dy):
        self.dW = self.cache.T @ dy
        return dy @ self.W.T


def started(layer, forward=None, x=X):
    """Return True if the check starts after the first forward, and the number of calls that it starts with."""
    pair = layer.forward, forward or layer.backward
    adapter = make_adapter(pair, (x.copy(),))
    layer.W, layer.calls = None, 0  # as before the search for the form of the code
    before = Snapshot(adapter.source)
    start = start_with_weights(adapter, before)
    assert (adapter.inputs[0] == x).all()
    return start is not before, layer.calls


def test_the_check_starts_with_the_weights_of_the_first_forward():
    layer = Lazy()
    assert started(layer) == (True, 1) and layer.W.tolist() == [[0.5, 0.5]] * 3


def test_new_weights_in_each_forward_are_no_weights():
    class EachTime(Lazy):
        def create(self, x):
            self.W = np.full((x.shape[1], 2), 0.5)

    class Changing(Lazy):
        def create(self, x):
            super().create(x)
            self.W += 1

    for cls in (EachTime, Changing):
        layer = cls()
        assert started(layer) == (False, 0) and layer.W is None


def test_arrays_that_are_no_weights_are_forgotten():
    class Constant(Lazy):
        def create(self, x):
            if self.W is None:
                self.W = ()
                self.table = np.ones(3)

        def forward(self, x):
            self.calls += 1
            self.create(x)
            return x * self.table

        def backward(self, dy):
            return dy * self.table

    class Integers(Constant):
        def create(self, x):
            if self.W is None:
                self.W, self.table, self.w = (), np.ones(3), np.arange(3)

    class Empty(Constant):
        def create(self, x):
            if self.W is None:
                self.W, self.table, self.w = (), np.ones(3), np.zeros(0)

    class Saved(Constant):
        def create(self, x):
            self.table, self.w = np.ones(3), x  # the input has the name of a weight

    for cls in (Constant, Integers, Empty, Saved):
        layer = cls()
        assert started(layer) == (False, 0) and not hasattr(layer, "table")


def test_a_number_may_become_an_array():
    class FromNumber(Lazy):
        b = 0.0

        def forward(self, x):
            self.calls += 1
            if isinstance(self.b, float):
                self.b = np.ones(3)
            return x * self.b

        def backward(self, dy):
            self.db = dy
            return dy * self.b

    layer = FromNumber()
    layer.b = 0.0
    assert started(layer) == (True, 1) and layer.b.tolist() == [1, 1, 1]


def test_several_inputs_and_numbers():
    class Two(Lazy):
        def forward(self, x, y, n):
            self.w = y  # the second input has the name of a weight
            return super().forward(x) + y.sum() * n

    layer = Two()
    adapter = make_adapter((layer.forward, layer.backward), (X, 2 * X, 3))
    layer.W, layer.w, layer.calls = None, None, 0
    before = Snapshot(adapter.source)
    assert start_with_weights(adapter, before) is not before and layer.calls == 1
    Two.create = lambda self, x: setattr(self, "W", np.ones((3, 2)))  # in each forward, so only w stays
    layer.W, layer.w, layer.calls = None, None, 0
    before = Snapshot(adapter.source)
    assert start_with_weights(adapter, before) is before and layer.w is None


def test_a_module_may_create_its_weights_in_forward():
    class LazyLinear(nn.Module):
        def __init__(self, factor=1):
            self.W, self.factor = None, factor

        def forward(self, x):
            if self.W is None:
                self.W = nn.Parameter(np.ones((x.shape[1], 2)))
            self.save_for_backward(x)
            return x @ self.W.data

        def backward(self, dy):
            (x,) = self.saved()
            self.W.grad += self.factor * x.T @ dy
            return dy @ self.W.data.T

    adapter = make_adapter(LazyLinear(), (X,))
    before = Snapshot(adapter.source)
    assert start_with_weights(adapter, before) is not before
    assert list(adapter.parameters()) == ["W"] and adapter.unused_saved() == []
    for factor, verdict in ((1, "right"), (2, "wrong")):
        layer = LazyLinear(factor)
        assert check_gradients(layer, X)["W"].verdict == verdict and layer.W is None


def test_weights_that_exist_are_not_new():
    class Eager(Lazy):
        def create(self, x):
            self.W = self.b[:, None] * np.ones(2)

        def __init__(self):
            super().__init__()
            self.b = np.ones(3)

    assert started(Eager()) == (False, 0)


def test_an_error_of_forward_is_left_to_the_check():
    class Fails(Lazy):
        def create(self, x):
            super().create(x)
            if self.calls > 1:
                raise ZeroDivisionError

    assert started(Fails()) == (False, 0)


def test_inputs_that_forward_changes_are_restored():
    class Writes(Lazy):
        def forward(self, x):
            y = super().forward(x)
            x += 1
            return y

    assert started(Writes()) == (True, 1)
