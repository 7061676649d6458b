"""Test the projection of code that writes, draws random numbers, or keeps a state, and what it restores."""

import itertools
from collections import namedtuple

import numpy as np
import pytest
from projections import project

import nnscratch as nn
from nnscratch.gradcheck.adapters import make_adapter
from nnscratch.gradcheck.projection import (
    NotDeterministic,
    Projection,
    equal_outputs,
    gradient_as_float64,
    projection_weights,
    random_weights_like,
    weighted_sum,
)
from nnscratch.gradcheck.projection import weights_like_outputs as like

X = np.array([1.0, -2.0, 3.0])


def of_object(subject, *inputs):
    return Projection(make_adapter(subject, inputs or (X.copy(),)), np.random.default_rng(0))


def of_forward(forward, *inputs, **options):
    return project(forward, lambda dy, *inputs: inputs, *(inputs or (X.copy(),)), **options)


# --- the first forward -----------------------------------------------------------------------------------------------


def test_the_weight_of_a_single_number_is_one():
    assert of_forward(lambda x: float(x.sum())).weights == (1.0,)
    assert type(of_forward(lambda x: float(x.sum())).weights[0]) is float
    for forward in (np.sum, lambda x: np.float32(x.sum())):
        (w,) = of_forward(forward).weights
        assert isinstance(w, np.ndarray) and w == 1 and w.shape == ()
    (w,) = of_forward(lambda x: x[:1] + 0).weights
    assert w.shape == (1,) and w != 1


def test_a_loss_has_the_weight_one_beside_other_outputs():
    class Cell(nn.Module):
        def forward(self, x):
            self.save_for_backward(x)
            return x * 2, x * 3

        def backward(self, dy, dh):
            self.saved()
            return 2 * dy + 3 * dh

    adapter = make_adapter(Cell(), (X.copy(),), nn.MSELoss(), (X + 1,))
    weights = Projection(adapter, np.random.default_rng(0)).weights
    assert weights[0] == 1.0 and weights[1].shape == (3,)
    projection = of_forward(lambda x: (x.sum(), x * 3, x))
    assert len(projection.weights) == 2 and projection.weights[0] == 1.0  # a sum has no axes, so no random weight


def test_the_first_of_two_outputs_of_a_loss_has_the_weight_one():
    class Pooled(nn.Module):
        def forward(self, x):
            return np.asarray(x.sum()), x * 3

        def backward(self, dy, dh):
            return dy * np.ones(3) + 3 * dh

    class Loss(nn.Module):
        def forward(self, y, t):
            return np.asarray((y - t) ** 2)

        def backward(self):
            return 1.0

    weights = Projection(make_adapter(Pooled(), (X.copy(),), Loss(), (1.0,)), np.random.default_rng(0)).weights
    assert weights[0] == 1.0 and type(weights[0]) is float
    alone = Projection(make_adapter(Pooled(), (X.copy(),)), np.random.default_rng(0)).weights
    assert alone[0] != 1.0  # without a loss, both outputs have random weights


def test_the_weights_of_the_search_for_parameters():
    assert projection_weights((np.float64(3),)) == (1.0,) and projection_weights((2.0,)) == (1.0,)
    w, v = projection_weights((X, np.array(2.0)))
    assert w.shape == (3,) and v.shape == () and np.abs(w).min() >= 0.5 and abs(float(v)) >= 0.5
    first, second = projection_weights((np.array(2.0), X))
    assert first.shape == () and second.shape == (3,)
    assert weighted_sum((2.0, w), (5.0, X)) == 10 + (w * X).sum()
    assert weighted_sum((w, None), (X, np.arange(2))) == (w * X).sum()


def test_outputs_without_floats_are_refused():
    with pytest.raises(TypeError, match="returns no floats, so there is nothing to differentiate: int64"):
        of_forward(lambda x: x.astype(np.int64))
    with pytest.raises(TypeError, match="differentiate: bool, str"):
        of_forward(lambda x: (x > 0, "a", None))
    assert of_forward(lambda x: (x > 0, x + 0, None)).weights[0] is None


def test_forward_must_be_repeatable():
    count = itertools.count()
    with pytest.raises(NotDeterministic, match="different outputs for the same inputs"):
        of_forward(lambda x: x + next(count))

    def of_values(*values):
        adapter = make_adapter((np.sin, lambda dy, x: dy), (X.copy(),))
        adapter.run = map(lambda value: (np.array(value),), values).__next__
        return Projection(adapter, np.random.default_rng(0))

    assert of_values(1.0, 1.0).replayed == "" and of_values(1.0, 0.5, 1.0, 1.0).replayed == "state"
    for values in ((1.0, 0.5, 0.5, 1.0), (1.0, 0.5, 1.0, 0.5)):
        with pytest.raises(NotDeterministic):
            of_values(*values)


def test_the_outputs_are_those_of_the_first_forward():
    kept = np.zeros(3)

    def forward(x):
        kept[...] = x
        return kept

    projection = of_forward(forward)
    projection.variables["x"][0] = 7
    projection.forward()
    assert projection.outputs[0].tolist() == X.tolist() and projection.replayed == ""


# --- what is replayed ------------------------------------------------------------------------------------------------


def test_nothing_is_replayed_for_a_plain_function():
    assert of_forward(np.sin).replayed == "" and of_forward(np.sin).written_inputs == []


def test_random_numbers_are_replayed():
    rng = np.random.default_rng(0)
    projection = of_forward(lambda x: x * rng.uniform(size=3))
    assert projection.replayed == "draws"
    assert (projection.forward()[0] == projection.outputs[0]).all() and projection() == projection()


def test_a_state_is_replayed():
    class Counts:
        def __init__(self):
            self.t = 0.0

        def forward(self, x):
            self.t += 1
            return x * self.t

        def backward(self, dy):
            return dy * self.t

    layer = Counts()
    projection = of_object(layer)
    assert projection.replayed == "state"
    projection.variables["x"][0] = 5
    assert projection.forward()[0].tolist() == [5, -2, 3]  # t is 1 again, and x keeps its new value
    assert projection.analytic((np.ones(3),))["x"].tolist() == [1, 1, 1] and layer.t == 0


def test_a_parameter_that_forward_replaces_is_a_state():
    class Averages:
        def __init__(self):
            self.params, self.grads = {"m": np.zeros(3)}, {"m": np.zeros(3)}

        def forward(self, x):
            self.params["m"] = 0.5 * self.params["m"]
            return x + self.params["m"]

        def backward(self, dy):
            return dy

    layer = Averages()
    m = layer.params["m"]
    projection = of_object(layer)
    assert projection.replayed == "state" and projection.variables["m"] is m
    projection.forward()
    assert projection.replaced_parameters() == ["m"]
    projection.back_to_start()
    assert projection.replaced_parameters() == [] and layer.params["m"] is m


# --- inputs that forward writes into ---------------------------------------------------------------------------------


def test_a_forward_that_writes_gets_copies():
    def forward(x, w):
        x *= 2
        w += 1
        return x * w

    projection = of_forward(forward, X.copy(), X.copy(), weights=[1, 1, 1])
    assert projection.written_inputs == ["x", "w"]
    x, inputs = projection.variables["x"], projection.adapter.inputs
    assert (x == X).all() and projection.outputs[0].tolist() == (2 * X * (X + 1)).tolist()
    assert projection() == projection() == (2 * X * (X + 1)).sum()
    assert projection.adapter.inputs is inputs and (x == X).all()


def test_a_weight_that_forward_changes_is_put_back():
    class Grows:
        def __init__(self):
            self.params, self.grads = {"w": X.copy()}, {"w": np.zeros(3)}

        def forward(self, x):
            self.params["w"] += 1
            return x * self.params["w"]

        def backward(self, dy):
            return dy

    layer = Grows()
    projection = of_object(layer)
    assert projection.written_inputs == ["w"]
    y = projection.forward()[0]
    assert layer.params["w"].tolist() == X.tolist() and y.tolist() == (X * (X + 1)).tolist()


# --- what is restored ------------------------------------------------------------------------------------------------


class Updates:
    """Backward updates w in place, replaces b, and keeps a counter."""

    def __init__(self):
        self.params, self.grads = {"w": X.copy(), "b": X.copy()}, {"w": np.zeros(3), "b": np.zeros(3)}
        self.count = 0

    def forward(self, x):
        self.x = x
        return x * self.params["w"] + self.params["b"]

    def backward(self, dy):
        self.grads["w"][...], self.grads["b"][...] = dy * self.x, dy
        dx = dy * self.params["w"]
        self.params["w"] -= self.grads["w"]
        self.params["b"] = self.params["b"] - dy
        self.count += 1
        return dx


def test_a_backward_changes_nothing():
    layer = Updates()
    w, b = layer.params["w"], layer.params["b"]
    projection = of_object(layer)
    projection.variables["w"][0] = 9
    given = projection.analytic((np.ones(3),))
    assert list(given) == ["w", "b", "x"] and given["x"].tolist() == [9, -2, 3] and given["w"].tolist() == X.tolist()
    assert layer.params["w"] is w and layer.params["b"] is b and layer.count == 0
    assert w.tolist() == [9, -2, 3] and b.tolist() == X.tolist()


def test_the_gradients_of_a_projection():
    projection = project(lambda x, w: x * w, lambda dy, x, w: (dy * w, None), X.copy(), X + 1, weights=[1, 2, 3])
    given = projection.analytic()
    assert given["x"].tolist() == (np.array([1, 2, 3]) * (X + 1)).tolist() and given["w"] is None
    assert projection.analytic((np.zeros(3),))["x"].tolist() == [0, 0, 0]
    layer = Updates()
    first = of_object(layer)
    del layer.x  # the forward of the constructor has set it
    assert first.analytic((np.ones(3),))["w"].tolist() == X.tolist()
    target = project(lambda x, t: x * t, lambda dy, x, t: dy * t, X.copy(), X + 1)
    assert list(target.analytic()) == ["x"]


def test_the_constant_arrays_of_the_code():
    class Layer:
        def __init__(self):
            self.params, self.grads = {"w": np.ones(3)}, {"w": np.zeros(3)}
            self.targets, self.number, self.names = np.arange(2.0), np.ones(1), ["a"]

        def forward(self, x):
            return x * self.params["w"]

        def backward(self, dy):
            return dy

    layer = Layer()
    assert {id(a) for a in of_object(layer).constant_arrays()} == {id(layer.targets), id(layer.grads["w"])}


def test_nothing_stays_saved_by_a_module():
    layer = nn.Linear(3, 2, rng=0).to(dtype=np.float64)
    projection = of_object(layer, np.ones((4, 3)))

    def saved():
        return layer.__dict__.get("_stack")

    assert not saved()
    for measure in (projection, projection.terms, projection.flat_outputs):
        measure()
        assert not saved()
    projection.forward()
    with projection.unchanged():
        pass
    assert not saved()


def test_nothing_stays_saved_by_a_module_with_a_state():
    class Counts(nn.Module):
        def __init__(self):
            self.calls = 0

        def forward(self, x):
            self.calls += 1
            self.save_for_backward(x)
            return x * self.calls

        def backward(self, dy):
            return dy * self.calls

    layer = Counts()
    projection = of_object(layer)
    assert projection.replayed == "state" and not layer.__dict__.get("_stack")


# --- the weighted sum ------------------------------------------------------------------------------------------------


def test_the_terms_and_the_sum_of_several_outputs():
    projection = of_forward(lambda x: (x * 2, x.argmax(), 3.0 * float(x[0]), x))
    projection.weights = (np.array([1.0, 0.0, 2.0]), None, 5.0)
    assert [t.tolist() for t in projection.terms()] == [[2, 0, 12], [15]]
    assert projection() == 2 + 12 + 15 and projection.flat_outputs().tolist() == [2, -4, 6, 3]
    assert projection.flat_weights().tolist() == [1, 0, 2, 5]
    projection.weights = (None, None, None)
    assert projection() == 0 and projection.terms() == []
    assert projection.flat_outputs().shape == projection.flat_weights().shape == (0,)


def test_the_upstream_gradient_is_a_copy_of_the_weights():
    projection = of_forward(lambda x: x * 2, weights=[1, 2, 3])
    (dy,) = projection.dys()
    assert dy.tolist() == [1, 2, 3] and dy is not projection.weights[0]
    assert projection.dys((np.zeros(3),))[0].tolist() == [0, 0, 0]


@pytest.mark.filterwarnings("ignore:the matrix subclass")
def test_the_upstream_gradient_of_named_tuples_and_matrices():
    Pair = namedtuple("Pair", "a b")
    dy = like(Pair(X, 2 * X), Pair(X + 1, X))
    assert type(dy) is Pair and dy.b.tolist() == (2 * X).tolist()
    m = np.asmatrix([[1.0, 2.0]])
    dy = like(np.array([[3.0, 4.0]]), m)
    assert type(dy) is np.matrix and dy.tolist() == [[3, 4]]
    assert like(5.0, 2.0) == 5.0 and like(None, np.float32(1)) is None and like(2.0, np.array(1.0)).shape == ()
    assert like(2.0, np.float32(1)).dtype == np.float32
    assert like(X, X.astype(np.float32)).dtype == np.float32


def test_random_weights_have_two_signs_and_sizes_from_a_half_to_one_and_a_half():
    w = random_weights_like(np.zeros(1000, np.float32), np.random.default_rng(0))
    sizes = np.abs(w)
    assert w.dtype == np.float64 and 0.5 <= sizes.min() < 0.6 and 1.4 < sizes.max() <= 1.5
    assert 400 < (w > 0).sum() < 600
    assert random_weights_like(2.0, None) == 1.0 and random_weights_like(np.arange(3), None) is None


# --- gradients and outputs -------------------------------------------------------------------------------------------


def test_a_missing_gradient_counts_as_zeros():
    projection = project(lambda x, w: x * w, lambda dy, x, w: (dy * w, None), X.copy(), X + 1, weights=[1, 2, 3])
    w, x = projection.gradients_of(["w", "x"])
    assert w.tolist() == [0, 0, 0] and x.tolist() == ([1, 2, 3] * (X + 1)).tolist()


@pytest.mark.filterwarnings("ignore:the matrix subclass")
def test_gradients_become_copies_of_float64():
    for gradient in ([1, 2], np.array([1, 2]), np.array([1.0, 2.0]), np.array([1, 2], np.float32)):
        given = gradient_as_float64(gradient)
        assert given is not gradient and given.dtype == np.float64 and given.tolist() == [1, 2]
    assert gradient_as_float64(True) == 1 and gradient_as_float64(None) is None
    matrix = gradient_as_float64(np.asmatrix([[1.0, 2.0]]))
    assert type(matrix) is np.ndarray and matrix.tolist() == [[1, 2]]
    z = np.array([1j])
    assert gradient_as_float64(z) is not z and gradient_as_float64(z).dtype == complex
    assert gradient_as_float64([[1.0], [1.0, 2.0]]).dtype.kind == "U"  # a ragged list is no gradient


@pytest.mark.parametrize("a, b, equal", [
    ((X, 2.0, "a"), (X.copy(), 2.0, "a"), True),
    ((X,), (X + [0, 0, 1],), False),
    ((X,), (X[:, None],), False),
    ((np.ones(3),), (np.ones(1),), False),
    ((np.array([1, np.nan]),), (np.array([1, np.nan]),), True),
    ((np.array([1, np.nan]),), (np.array([1, 2.0]),), False),
    ((np.array([1, 2.0]),), (np.array([1, np.nan]),), False),
    ((np.nan,), (np.nan,), True),
    ((np.nan,), (1.0,), False),
    ((1.0,), (np.nan,), False),
    ((1.0,), (2.0,), False),
    (("a",), ("b",), False),
    (({"y": X}, 1), ({"y": X}, 2), False),
])  # fmt: skip
def test_equal_outputs(a, b, equal):
    assert equal_outputs(a, b) is equal
