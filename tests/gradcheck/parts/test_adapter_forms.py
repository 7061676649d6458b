"""Test which adapter each form of code has, and the adapters of Modules, losses and classes with a context."""

import sys
from types import ModuleType, SimpleNamespace

import numpy as np
import pytest

import nnscratch as nn
from nnscratch.gradcheck.adapters import Adapter, make_adapter
from nnscratch.gradcheck.adapters.contexts import Context, FunctionAdapter, class_adapter, takes_context
from nnscratch.gradcheck.adapters.foreign import library_of, refuse_foreign
from nnscratch.gradcheck.adapters.functions import PairAdapter, ValueAndGradientAdapter
from nnscratch.gradcheck.adapters.losses import CostPrimeAdapter, WeightsLossAdapter, loss_adapter, summed
from nnscratch.gradcheck.adapters.modules import ModuleAdapter
from nnscratch.gradcheck.adapters.names import (
    argument_names,
    function_name,
    gradient_names,
    needs_argument,
    positional_count,
    signature,
)
from nnscratch.gradcheck.adapters.objects import LossObjectAdapter, ObjectAdapter
from nnscratch.gradcheck.adapters.output_attribute import (
    attributes_of,
    output_name,
    returning_backward,
    returning_methods,
)
from nnscratch.gradcheck.adapters.slopes import SlopeAdapter
from nnscratch.gradcheck.adapters.three_functions import ThreeFunctionsAdapter
from nnscratch.gradcheck.adapters.values import ValueAdapter

X, W = np.array([[1.0, -2.0, 3.0]]), np.array([[2.0], [3.0], [4.0]])


def lists(given):
    return {name: None if g is None else np.asarray(g).tolist() for name, g in given.items()}


# --- the adapter of each form ----------------------------------------------------------------------------------------


class Mul:
    """Static methods with a context."""

    @staticmethod
    def forward(ctx, a, b):
        ctx.save_for_backward(a, b)
        return a * b

    @staticmethod
    def backward(ctx, grad):
        a, b = ctx.saved_values
        return grad * b, grad * a


class Twice:
    """Static methods without a context."""

    @staticmethod
    def forward(x):
        return 2 * x

    @classmethod
    def backward(cls, dy):
        return 2 * dy


class Layer:
    def __init__(self):
        self.w, self.dw = np.ones(3), np.zeros(3)

    def forward(self, x):
        self.x = x
        return x * self.w

    def backward(self, dy):
        self.dw += (dy * self.x).sum(axis=0)
        return dy * self.w


class Model(Layer):
    """A layer with a loss and its gradients."""

    def loss(self, x, t):
        error = x @ self.w - t
        return (error**2).sum(), 2 * x.T @ error

    def cost(self, x, t):
        return ((x @ self.w - t) ** 2).sum()

    def cost_prime(self, x, t):
        return 2 * x.T @ (x @ self.w - t)


class Instance:
    """A context as first argument of the methods of an object."""

    def forward(self, ctx, a):
        ctx.a = a
        return a**2

    def backward(self, ctx, grad):
        return 2 * grad * ctx["a"]


def affine(x, w):
    return x @ w, (x, w)


def affine_backward(dout, cache):
    x, w = cache
    return dout @ w.T, x.T @ dout


def sigmoid(x):
    return 1 / (1 + np.exp(-x))


def sigmoid_prime(x):
    return sigmoid(x) * (1 - sigmoid(x))


def square_loss(x):
    return (x**2).sum(), 2 * x


def mean_cost(y, t):
    return ((y - t) ** 2).mean()


def three_backward(x, w, t):
    return 2 * x.T @ (x @ w - t) / t.size


LINEAR, MODEL, LAYER = nn.Linear(3, 1, rng=0), Model(), Layer()


@pytest.mark.parametrize("subject, inputs, kind", [
    (LINEAR, (X,), ModuleAdapter), ((LINEAR.forward, LINEAR.backward), (X,), ModuleAdapter),
    ((affine, affine_backward), (X, W), PairAdapter), ([affine, affine_backward], (X, W), PairAdapter),
    ((sigmoid, sigmoid_prime), (X,), SlopeAdapter),
    (Mul, (X, X), FunctionAdapter), ((Mul.forward, Mul.backward), (X, X), FunctionAdapter),
    (Instance(), (X,), FunctionAdapter), (Twice, (X,), PairAdapter), (LAYER, (X,), ObjectAdapter),
    ((LAYER.forward, LAYER.backward), (X,), ObjectAdapter),
    ((MODEL.cost, MODEL.cost_prime), (X, 1.0), CostPrimeAdapter),
    (MODEL.loss, (X, 1.0), WeightsLossAdapter), (square_loss, (X,), ValueAndGradientAdapter),
    ((lambda x, w: x @ w, mean_cost, three_backward), (X, W, np.ones((1, 1))), ThreeFunctionsAdapter),
])  # fmt: skip
def test_each_form_has_its_adapter(subject, inputs, kind):
    assert type(make_adapter(subject, inputs)) is kind


class Cell:
    """A step of a recurrent network, and an activation with its slope."""

    def forward(self, x, h):
        return x + h

    def backward(self, dy, dh):
        return dy, dh

    def f(self, x):
        return x**3

    def prime(self, x):
        return 3 * x**2

    def backprop(self, delta):
        return 3 * delta

    def value_and_gradient(self, x):
        return (x**2).sum(), 2 * x


CELL = Cell()


def loss(x):
    return square_loss(x)


@pytest.mark.parametrize("subject, inputs, kind", [
    ((CELL.forward, CELL.backward), (X, X), ObjectAdapter),
    ((CELL.f, CELL.prime), (X,), SlopeAdapter), ((CELL.f, CELL.backprop), (X,), ObjectAdapter),
    ((sigmoid, CELL.prime), (X,), SlopeAdapter),  # functions with different owners
    ((affine, LAYER.backward), (X, W), PairAdapter),
    ((LAYER.forward, Layer().backward), (X,), PairAdapter),
    ((lambda x: (2 * x, 2), lambda ctx, dy: ctx * dy), (X,), PairAdapter),  # only backward has a ctx: it is the cache
    ((LAYER.forward, mean_cost, three_backward), (X, W), ThreeFunctionsAdapter),
    ((CELL.f, CELL.f, three_backward), (X, W), ThreeFunctionsAdapter),
    (CELL.value_and_gradient, (X,), ValueAndGradientAdapter), (loss, (X,), ValueAndGradientAdapter),
])  # fmt: skip
def test_methods_and_functions_mixed(subject, inputs, kind):
    assert type(make_adapter(subject, inputs)) is kind


def test_a_context_that_forward_returns():
    adapter = make_adapter((lambda x: (x**2, x), lambda ctx, dy: 2 * ctx * dy), (X,))
    adapter.run()
    assert lists(adapter.gradients((3 + 0 * X,))) == {"x": (6 * X).tolist()}


def test_a_value_beside_a_plain_number():
    class Number:
        def __init__(self, data):
            self.data, self.grad = data, 0.0

        def __mul__(self, k):
            return Number(self.data * k)

        def backward(self):
            pass

    assert type(make_adapter(lambda a, k: a * k, (Number(2.0), 3))) is ValueAdapter


def test_the_targets_may_be_a_tuple():
    target = np.ones((1, 1))
    for targets in (target, (target,)):
        (kept,) = make_adapter(LINEAR, (X,), nn.MSELoss(), targets).targets
        assert isinstance(kept, np.ndarray) and kept.tolist() == [[1.0]]
    assert make_adapter((Mul.forward, Mul.backward), (X, X)).title == "forward"


def test_three_methods_of_one_object_are_checked_together():
    class Net:
        def __init__(self):
            self.w, self.dw = np.ones((3, 1)), None

        def forward(self, x):
            return x @ self.w

        def loss(self, y, t):
            return ((y - t) ** 2).sum()

        def backward(self, x, t):
            self.dw = 2 * x.T @ (x @ self.w - t)

    net = Net()
    adapter = make_adapter((net.forward, net.loss, net.backward), (X, np.ones((1, 1))))
    assert isinstance(adapter, ObjectAdapter) and adapter.title == "Net"


def test_a_loss_belongs_to_a_module():
    adapter = make_adapter(LINEAR, (X,), nn.MSELoss(), np.ones((1, 1)))
    assert adapter.title == "Linear with MSELoss" and len(adapter.targets) == 1
    for loss, words in ((nn.MSELoss, "the class MSELoss itself"), (3, "got int"), (mean_cost, "got function")):
        with pytest.raises(TypeError, match=words):
            make_adapter(LINEAR, (X,), loss, np.ones((1, 1)))
    with pytest.raises(TypeError, match="loss= can only be used with a Module, got tuple"):
        make_adapter((affine, affine_backward), (X, W), nn.MSELoss())


def test_subjects_that_are_no_code_are_refused():
    for subject in (3, "text", (), [], (affine,), (affine, 3), (affine, affine_backward, affine, 4), None):
        with pytest.raises(TypeError, match="the code to check must be a Module"):
            make_adapter(subject, (X,))


def test_arrays_of_other_libraries_are_refused(monkeypatch):
    monkeypatch.setitem(sys.modules, "jaxlib", ModuleType("jaxlib"))
    array = type("Array", (), {"__module__": "jaxlib.core", "shape": (2,), "dtype": "float32"})()
    with pytest.raises(TypeError, match=r"x is an array of JAX.*use numpy.asarray\(x\)"):
        make_adapter(LAYER, (array,))
    layer = Layer()
    layer.w = (array,)
    with pytest.raises(TypeError, match=r"self.w\[0\] is an array of JAX"):
        make_adapter(layer, (X,))


# --- arrays of other libraries ---------------------------------------------------------------------------------------


def array_of(library, **attributes):
    return type("Array", (), {"__module__": library, **attributes})()


def test_the_library_of_an_array():
    both = {"shape": (2,), "dtype": "float32"}
    for module, name in (("torch", "PyTorch"), ("jax.numpy", "JAX"), ("jaxlib.core", "JAX"), ("numpy", None),
                         ("tensorflow.python", "TensorFlow"), ("torchvision", None)):  # fmt: skip
        assert library_of(array_of(module, **both)) == name
    for attributes in ({"shape": (2,)}, {"dtype": "float32"}, {}):
        assert library_of(array_of("torch", **attributes)) is None
    assert library_of(X) is None and library_of(3) is None


@pytest.mark.parametrize("library, conversion", [
    ("torch", "x[1]['k'].detach().numpy()"), ("tensorflow", "x[1]['k'].numpy()"),
    ("jax", "numpy.asarray(x[1]['k'])"),
])  # fmt: skip
def test_the_conversion_of_a_refused_array(library, conversion, monkeypatch):
    array = array_of(library, shape=(), dtype="float32")
    for name in ("jax", "jaxlib", "torch", "tensorflow"):
        monkeypatch.delitem(sys.modules, name, raising=False)
    assert refuse_foreign({"x": array}) is None  # no library is imported, so this is no array
    monkeypatch.setitem(sys.modules, library, ModuleType(library))
    with pytest.raises(TypeError) as error:
        refuse_foreign({"w": X, "x": (1.0, {"k": array})})
    assert f"use {conversion}, and numpy" in str(error.value) and str(error.value).startswith("x[1]['k'] is an array")
    assert refuse_foreign({"w": X, "x": [1.0, X]}) is None


# --- Modules ---------------------------------------------------------------------------------------------------------


class Scaled(nn.Module):
    """y = x s, with a second output. Its backward takes as many arguments as it is given."""

    def __init__(self):
        self.scale, self.frozen = nn.Parameter(np.array([2.0])), nn.Parameter(np.array([5.0]))
        self.frozen.requires_grad = False

    def forward(self, x):
        self.save_for_backward(x)
        return x * self.scale.data, x + 1

    def backward(self, dy, dz=0.0):
        (x,) = self.saved()
        self.scale.grad += (dy * x).sum()
        return dy * self.scale.data + dz


class ScaledLoss(nn.Module):
    """c (y - t)^2, a loss with a parameter."""

    def __init__(self):
        self.c = nn.Parameter(np.array(3.0))

    def forward(self, y, t):
        self.save_for_backward(y - t)
        return float(self.c.data * ((y - t) ** 2).sum())

    def backward(self):
        (error,) = self.saved()
        self.c.grad += (error**2).sum()
        return 2 * self.c.data * error


def test_the_parameters_of_a_module_and_of_its_loss():
    module, loss = Scaled(), ScaledLoss()
    assert list(ModuleAdapter(module, (X,)).parameters()) == ["scale"]
    adapter = ModuleAdapter(module, (X,), loss, (X,))
    assert list(adapter.parameters()) == list(adapter.complex_parameters()) == ["scale", "loss.c"]
    assert adapter.parameters()["loss.c"] is loss.c.data and adapter.title == "Scaled with ScaledLoss"
    assert set(map(type, adapter.all_modules())) == {Scaled, ScaledLoss} and adapter.accumulates
    assert ModuleAdapter(module, (X,)).all_modules() == [module]


def test_the_gradients_of_a_module_start_at_zero():
    module = Scaled()
    adapter = ModuleAdapter(module, (X,))
    assert [y.tolist() for y in adapter.run()] == [(2 * X).tolist(), (X + 1).tolist()]
    dys = np.ones((1, 3)), np.full((1, 3), 0.5)
    assert lists(adapter.gradients(dys)) == {"scale": [2], "x": [[2.5] * 3]}
    adapter.run()
    assert lists(adapter.gradients(dys, zero=False))["scale"] == [4]
    adapter.run()
    module.frozen.grad[...] = 7
    assert lists(adapter.gradients(dys))["scale"] == [2] and module.frozen.grad == 0


def test_a_module_with_a_loss():
    module, loss = Scaled(), ScaledLoss()
    target = np.zeros((1, 3))
    adapter = ModuleAdapter(module, (X,), loss, (target,))
    assert adapter.targets[0] is not target
    value, second = adapter.run()
    assert value == 3 * 4 * 14 and second.tolist() == (X + 1).tolist()
    found = adapter.gradients((1.0, np.ones((1, 3))))  # dz = 1, and dy = 6 (2 x - 0)
    assert found["loss.c"] == 56 and found["scale"] == (12 * X * X).sum()
    np.testing.assert_allclose(found["x"], 24 * X + 1)


def test_a_module_that_returns_its_loss_has_a_backward_without_arguments():
    class Loss(nn.Module):
        def forward(self, x):
            self.save_for_backward(x)
            return float((x**2).sum())

        def backward(self):
            (x,) = self.saved()
            return 2 * x

    class WithDy(Loss):
        def backward(self, dy):
            return dy * super().backward()

    for module, factor in ((Loss(), 1), (WithDy(), 3)):
        adapter = ModuleAdapter(module, (X,))
        adapter.run()
        assert lists(adapter.gradients((3.0,))) == {"x": (factor * 2 * X).tolist()}


def test_the_checker_uses_the_training_mode():
    module = nn.Sequential(Scaled())
    adapter = ModuleAdapter(module, (X,), nn.MSELoss(), (X,))
    adapter.prepare()
    assert adapter.notes == []
    module.eval()
    adapter.loss.training = False
    adapter.prepare()
    assert all(m.training for m in adapter.all_modules()) and "eval() mode" in adapter.notes[0]


def test_values_that_no_backward_used():
    module = nn.Sequential(nn.Tanh(), nn.Tanh(), nn.Sigmoid())
    adapter = ModuleAdapter(module, (X,))
    adapter.run()
    assert adapter.unused_saved() == ["Tanh", "Sigmoid"]
    adapter.clear_saved()
    assert adapter.unused_saved() == []
    adapter.run()
    adapter.gradients((X,))
    assert adapter.unused_saved() == []


def test_a_parameter_that_is_broadcast_needs_a_sum():
    class Bias(nn.Module):
        def __init__(self):
            self.b = nn.Parameter(np.zeros(3))

        def forward(self, x):
            return x + self.b.data

        def backward(self, dy):
            self.b.grad += dy
            return dy

    with pytest.raises(ValueError, match=r"non-broadcastable.*its gradient is the sum over"):
        ModuleAdapter(Bias(), (np.ones((2, 3)),)).gradients((np.ones((2, 3)),))

    class Other(Bias):
        def backward(self, dy):
            raise ValueError("another error")

    with pytest.raises(ValueError, match="^another error$"):
        ModuleAdapter(Other(), (X,)).gradients((X,))


# --- losses ----------------------------------------------------------------------------------------------------------


class SquareLoss:
    def loss(self, y, t):
        return (y - t) ** 2 / 2

    def gradient(self, y, t):
        return y - t, t - y


def test_a_loss_with_its_gradient():
    adapter = loss_adapter(SquareLoss(), (X, 0 * X))
    assert type(adapter) is PairAdapter and adapter.title == "SquareLoss" and isinstance(adapter.source[0], SquareLoss)
    assert adapter.run() == (7.0,) and lists(adapter.gradients((1.0,))) == {"y": X.tolist(), "t": (-X).tolist()}


def test_the_name_of_the_method_of_the_gradient():
    for name in "gradient grad derivative deriv prime loss_gradient loss_grad gradients dloss".split():
        loss = type("Loss", (), {"loss": lambda self, y: y**2, name: lambda self, y: 2 * y})()
        assert type(loss_adapter(loss, (X,))) is PairAdapter
    for name in ("slope", "loss_"):
        loss = type("Loss", (), {"loss": lambda self, y: y**2, name: lambda self, y: 2 * y})()
        assert type(loss_adapter(loss, (X,))) is WeightsLossAdapter


def test_a_model_with_a_loss():
    assert type(loss_adapter(MODEL, (X, 1.0))) is WeightsLossAdapter
    model = Model()
    model.params = {"w": model.w}
    assert type(loss_adapter(model, (X, 1.0))) is LossObjectAdapter
    loss = SquareLoss()
    loss.w = np.ones(2)  # an object that holds arrays is a model, also with a gradient
    assert type(loss_adapter(loss, (X, 0 * X))) is WeightsLossAdapter
    loss.w = 3
    assert type(loss_adapter(loss, (X, 0 * X))) is PairAdapter
    assert loss_adapter(SimpleNamespace(loss=3.0), (X,)) is None and loss_adapter(affine, (X,)) is None


def test_the_gradients_of_a_model_are_surplus():
    for result, surplus in ((X, [X]), ((X, 2 * X), [X, 2 * X])):
        model = type("Model", (Model,), {"loss": lambda self, x, t, result=result: (1.0, result)})()
        adapter = WeightsLossAdapter(model, (X, 1.0))
        assert adapter.run() == (1.0,) and adapter.gradients((1.0,)) == {} and adapter.missing == ()
        assert all(np.array_equal(a, b) for a, b in zip(adapter.surplus, surplus, strict=True))
    model = type("Model", (Model,), {"loss": lambda self, x, t: (1.0, {"dx": 3 * x})})()
    adapter = WeightsLossAdapter(model, (X, 1.0))
    adapter.run()
    assert lists(adapter.gradients((1.0,))) == {"x": (3 * X).tolist()}


def test_a_cost_and_its_gradients():
    def adapter_of(prime, *inputs):
        return CostPrimeAdapter(MODEL, MODEL.cost, prime, inputs)

    adapter = adapter_of(MODEL.cost_prime, X, 1.0)
    assert adapter.title == "Model" and adapter.source == [MODEL] and not adapter.returns_cache
    assert adapter.run() == ((2 - 1) ** 2,) and adapter.gradients((1.0,)) == {}
    assert adapter.surplus[0].tolist() == (2 * X.T @ np.ones(1)).tolist() and adapter.missing == ()
    assert adapter_of(lambda x, t: [X.T, W], X, 1.0).gradients((1.0,)) == {}
    # gradients with the shapes of the inputs belong to the inputs
    assert lists(adapter_of(lambda x, t: 2 * x, X, 1.0).gradients((1.0,))) == {"x": (2 * X).tolist()}
    assert lists(adapter_of(lambda x, w: (2 * x, 3 * w), X, W).gradients((1.0,))) == {
        "x": (2 * X).tolist(), "t": (3 * W).tolist()}  # fmt: skip
    assert adapter_of(lambda x, w: (2 * x, 3 * x), X, W).gradients((1.0,)) == {}
    assert lists(adapter_of(lambda x, t: {"dx": 2 * x}, X, 1.0).gradients((1.0,))) == {"x": (2 * X).tolist()}


def test_the_loss_of_all_elements():
    def loss(y, t):
        """A docstring."""
        return (y - t) ** 2

    assert summed(loss)(X, 0 * X) == 14 and summed(loss)(3.0, 1.0) == 4 and summed(loss).__name__ == "loss"
    assert summed(lambda y: [1.0, 2.0])(X) == 3


# --- contexts --------------------------------------------------------------------------------------------------------


def test_a_context_keeps_values():
    ctx = Context(2)
    assert ctx.needs_input_grad == (True, True) and ctx.saved_tensors == ()
    ctx.save_for_backward(1, 2)
    ctx["k"] = 3
    ctx[4] = 5
    assert ctx.saved_tensors == ctx.saved_values == (1, 2) and ctx["k"] == ctx.k == 3 and ctx[4] == 5
    assert ctx.mark_non_differentiable(1) is None and ctx.set_materialize_grads(True) is None


def test_a_function_with_a_context():
    adapter = make_adapter(Mul, (X, 2 * X))
    assert adapter.title == "Mul" and adapter.input_names == ["a", "b"] and adapter.returns_cache
    assert adapter.cached() == ()
    (y,) = adapter.run()
    assert (y == 2 * X * X).all() and adapter.cached() is adapter.cache
    assert adapter.cache.needs_input_grad == (True, True)
    assert lists(adapter.gradients((np.ones((1, 3)),))) == {"a": (2 * X).tolist(), "b": X.tolist()}
    two = FunctionAdapter("two", lambda ctx, x: (x, 2 * x), lambda ctx, a, b: a + 2 * b, (X,))
    assert len(two.run()) == 2 and lists(two.gradients((X, X))) == {"x": (3 * X).tolist()}


def test_the_name_of_a_context():
    for name in ("ctx", "context", "ctxt", "cx", "fctx", "saved_ctx", "Ctx"):
        scope = {}
        exec(f"def forward({name}, x): ...", scope)
        assert takes_context(scope["forward"])
    assert not takes_context(lambda x, ctx: x) and not takes_context(lambda: 0)


def test_classes_that_need_an_instance_are_refused():
    for cls in (Layer, type("Half", (Mul,), {"backward": 3}), type("Empty", (), {}),
                type("Mixed", (Twice,), {"forward": lambda self, x: x})):  # fmt: skip
        with pytest.raises(TypeError, match=f"got the class {cls.__name__} itself"):
            class_adapter(cls, (X,))
    assert type(class_adapter(Twice, (X,))) is PairAdapter


# --- names -----------------------------------------------------------------------------------------------------------


def test_names_of_functions_and_gradients():
    assert function_name(affine) == "affine" and function_name(LAYER) == "Layer" and function_name(np.sin) == "sin"
    assert gradient_names("b") == ["b", "db", "d_b", "grad_b", "b_grad"]


def test_the_signature_of_a_ufunc():
    assert [p.name for p in signature(np.sin).parameters.values()] == ["x", "out"]
    assert [p.name for p in signature(np.arctan2).parameters.values()] == ["x1", "x2", "out"]
    assert [positional_count(f) for f in (np.sin, np.arctan2)] == [1, 2]
    assert argument_names(np.sin, 1) == ["x"] and argument_names(np.arctan2, 2) == ["x1", "x2"]


def test_the_names_of_arguments():
    def function(a, /, b, c=1, *rest, d, **options): ...

    assert argument_names(function, 2) == ["a", "b"] and argument_names(function, 0) == []
    assert argument_names(function, 5) == ["a", "b", "c", "rest[0]", "rest[1]"]
    assert argument_names(lambda a: a, 3) == ["a", "x[0]", "x[1]"] and argument_names(3, 2) == ["x[0]", "x[1]"]


def test_the_number_of_required_arguments():
    for function, count in ((lambda: 0, 0), (lambda a, b, c=1: 0, 2), (lambda a, *, d: 0, 1), (lambda a, /, b: 0, 2),
                            (lambda *rest: 0, None), (lambda a, *rest: 0, None), (3, None),
                            (lambda **options: 0, 0)):  # fmt: skip
        assert positional_count(function) == count
        assert needs_argument(function) is (count not in (0, None))


# --- outputs in attributes -------------------------------------------------------------------------------------------


def test_the_attribute_of_the_output():
    held = {"x": X, "old": W}
    for new, name in (({"output": X, "other": W}, "output"), ({"a": X, "output": X}, "output"), ({"h": W}, "h"),
                      ({"h": W, "g": X}, None), ({}, None), ({"h": "text"}, None), ({"h": np.arange(2)}, None),
                      ({"h": 2.0, "n": 3}, "h"), ({"old": 2 * W}, "old"), ({"old": W}, None)):  # fmt: skip
        assert output_name(SimpleNamespace(**{**held, **new}), dict(held)) == name


def test_the_attributes_of_an_object():
    layer = SimpleNamespace(a=1)
    found = attributes_of(layer)
    layer.b = 2
    assert found == {"a": 1} and attributes_of(3) == {}


class Keeps:
    """A layer that keeps its output and its gradient. ``save`` stores the gradient."""

    def __init__(self, save):
        self.save, self.dinputs = save, None

    def forward(self, z):
        self.output = 2 * z

    def backward(self, dvalues):
        return self.save(self, 2 * dvalues)


@pytest.mark.parametrize(
    "name", ["dz", "d_z", "grad_z", "z_grad", "dinputs", "dinput", "d_input", "input_gradient", "dx"]
)
def test_a_backward_that_keeps_the_gradient(name):
    layer = Keeps(lambda self, dx: setattr(self, name, dx))
    forward, backward = returning_methods(layer, layer.forward, layer.backward, "output")
    assert forward(3.0) == 6 and backward(1.0) == 2 and (forward.__name__, backward.__name__) == ("forward", "backward")
    layer.save = lambda self, dx: None
    assert backward(1.0) is None  # the gradient of the last call is old


def test_a_backward_that_returns_the_gradient():
    def save(self, dx):
        self.dinputs = dx
        return dx + 1

    layer = Keeps(save)
    assert returning_backward(layer, layer.forward, layer.backward)(1.0) == 3
    layer.save = lambda self, dx: setattr(self, "unknown", dx)
    assert returning_backward(layer, layer.forward, layer.backward)(1.0) is None


def test_an_attribute_that_forward_returns_is_not_its_gradient():
    class Difference:
        def forward(self, x):
            self.dx = np.diff(x)
            return self.dx

        def backward(self, dy):
            self.dx, self.dinputs = 5 * dy, 3 * dy

    layer = Difference()
    assert returning_backward(layer, layer.forward, layer.backward)(1.0) == 3


def test_an_adapter_without_forward_and_backward():
    adapter = Adapter([], "code", (X,), affine)
    for method in (adapter.run, lambda: adapter.gradients((X,))):
        with pytest.raises(NotImplementedError):
            method()
    assert adapter.parameters() == adapter.complex_parameters() == {} and adapter.cached() == ()
    assert adapter.prepare() is None and adapter.clear_saved() is None and adapter.unused_saved() == []


# --- the arguments of backward in a pair -----------------------------------------------------------------------------


def given_by(forward, backward, *inputs, dys=None):
    """Return the gradients of a pair, and its adapter. The default of ``dys`` is 2 for each output."""
    adapter = PairAdapter(forward, backward, inputs)
    ys = adapter.run()
    return adapter.gradients(dys or tuple(2 * np.ones_like(y) for y in ys)), adapter


def squares(y, p):
    return (y - p) ** 2


def test_derivatives_of_the_loss_of_each_element_are_multiplied_by_dy():
    def squares_gradient(y, p):
        return 2 * (p - y)

    def squares_backward(y, p):
        return 2 * (p - y)

    def sums_gradient(y, p):
        return 2 * (p - y).sum(axis=1)

    given, adapter = given_by(squares, squares_gradient, X, X + 3)
    (gradient,) = given.values()
    assert gradient.tolist() == [[12, 12, 12]] and adapter.is_loss
    assert adapter.notes[0] == "squares_gradient takes no dy, so the checker multiplied its result by dy"
    for backward in (squares_backward, sums_gradient):  # they are not multiplied
        _, adapter = given_by(squares, backward, X, X + 3)
        assert not adapter.is_loss and not any("multiplied" in note for note in adapter.notes)


def test_an_argument_of_backward_has_the_default_of_forward():
    def forward(x, scale=3.0):
        return scale * x

    def backward(dy, x, scale):
        return scale * dy + 0 * x

    assert given_by(forward, backward, X)[0]["x"].tolist() == [[6, 6, 6]]
    assert given_by(forward, backward, X, 5.0)[0]["x"].tolist() == [[10, 10, 10]]


def test_the_last_argument_is_the_cache_also_if_it_has_the_name_of_an_input():
    assert given_by(lambda x: (2 * x, 7.0), lambda dy, x: x * dy, X)[0]["x"].tolist() == [[14, 14, 14]]

    def two(x):
        return 2 * x, 3 * x, 7.0

    def backward(dy, cache, dz):
        return cache * dy + dz

    assert given_by(two, backward, X, dys=(X, 2 * X))[0]["x"].tolist() == (9 * X).tolist()


def test_an_output_that_backward_reads_has_the_name_that_no_input_has():
    def forward(x):
        if x.size == 0:
            return x
        out = 3 * x
        return out

    assert given_by(forward, lambda dy, out: dy * out, X)[0]["x"].tolist() == (6 * X).tolist()


def test_a_cache_is_that_of_the_last_forward():
    results = [3 * X, (3 * X, "cache")]
    adapter = PairAdapter(lambda x: results.pop(), lambda dy, cache: dy, (X,))
    adapter.run()
    assert adapter.cached() == "cache"
    adapter.run()
    assert adapter.cached() == ()
    (ys,) = PairAdapter(lambda x: (3 * x,), lambda dy: 3 * dy, (X,)).run()  # a tuple with one output is no cache
    assert [y.tolist() for y in ys] == [(3 * X).tolist()]
