"""Test that an array that changes the outputs is checked, or makes the verdict "incomplete"."""

from array import array as number_array

import numpy as np
import pytest

import nnscratch as nn
from nnscratch.gradcheck import check_gradients

RNG = np.random.default_rng(7)
X, W = RNG.normal(size=(4, 3)), RNG.normal(size=(3, 2))


class Silent:
    """x @ W. Backward computes no gradient of W."""

    def __init__(self, name="W"):
        self.name = name
        setattr(self, name, W.copy())

    def forward(self, x):
        return x @ getattr(self, self.name)

    def backward(self, d):
        return d @ getattr(self, self.name).T


def test_a_weight_without_a_gradient_makes_the_verdict_incomplete():
    report = check_gradients(Silent(), X)
    assert report.verdict == "incomplete" and not report.ok
    (trap,) = report.traps
    assert trap.kind == "no gradient found" and "self.dW = ..." in trap.message


@pytest.mark.parametrize("name", ["running_mean", "mask", "class_weights", "positional_encoding", "X_mean", "A_hat"])
def test_an_array_with_the_name_of_a_setting_is_a_note(name):
    report = check_gradients(Silent(name), X)
    assert report.ok and any(note.startswith(f"self.{name}: treated as constant") for note in report.notes)


@pytest.mark.parametrize("value", [0.5, [0.5, -0.5], np.array([1, 2])], ids=["number", "list", "integers"])
def test_a_bias_that_is_no_float_array_and_has_no_gradient_is_incomplete(value):
    class Biased(Silent):
        def __init__(self):
            super().__init__()
            self.b = value
            self.W.flags.writeable = False

        def forward(self, x):
            return x @ self.W + np.asarray(self.b)

    report = check_gradients(Biased(), X)
    assert report.verdict == "incomplete" and [t.message.split()[0] for t in report.traps] == ["self.b"]


def test_an_object_whose_forward_takes_the_weights_holds_the_data():
    class Loss:
        def __init__(self):
            self.design, self.A = X, RNG.normal(size=(4, 2))

        def forward(self, w):
            self.error = self.design @ w - self.A
            return np.sum(self.error**2)

        def backward(self):
            return 2 * self.design.T @ self.error

    assert check_gradients(Loss(), W).ok


def test_an_array_that_needs_no_gradient_by_its_flag_is_a_constant():
    layer = Silent()
    layer.requires_grad = False
    assert check_gradients(layer, X).ok


def test_a_read_only_array_is_a_constant():
    layer = Silent()
    layer.W.flags.writeable = False
    assert check_gradients(layer, X).ok


def test_arrays_that_a_function_reads_from_outside_are_constants_with_a_note():
    report = check_gradients((lambda x: x @ W, lambda d, x: d @ W.T), X)
    assert report.ok and any(note.startswith("W: treated as constant") for note in report.notes)


def in_a_default(A, W=None):
    """Multiply x by an array in a default; it is called A, or W if the name is used for weights only."""
    if W is None:
        return (lambda x, A=A: x @ A), lambda d, x: d @ A.T
    return (lambda x, W=W: x @ W), lambda d, x: d @ W.T


def in_a_keyword_default(A, W=None):
    if W is None:
        return (lambda x, *, A=A: x @ A), lambda d, x: d @ A.T
    return (lambda x, *, W=W: x @ W), lambda d, x: d @ W.T


def in_the_closure_of_a_method(A, W=None):
    class Closed:
        def forward(self, x):
            return x @ (A if W is None else W)

        def backward(self, d):
            return d @ (A if W is None else W).T

    return Closed()


@pytest.mark.parametrize(
    "code", [in_a_default, in_a_keyword_default, in_the_closure_of_a_method], ids=lambda f: f.__name__
)
def test_an_array_outside_an_object_is_a_constant_unless_it_has_the_name_of_a_weight(code):
    report = check_gradients(code(W), X)
    assert report.ok and any(note.startswith("A: treated as constant") for note in report.notes)
    report = check_gradients(code(None, W), X)
    assert report.verdict == "incomplete" and "Make W an argument of forward" in report.traps[0].message
    frozen = W.copy()
    frozen.flags.writeable = False
    assert check_gradients(code(None, frozen), X).ok


def test_a_weight_in_an_attribute_of_the_class_is_incomplete():
    class Shared:
        W = W.copy()

        def forward(self, x):
            return x @ self.W

        def backward(self, d):
            return d @ self.W.T

    report = check_gradients(Shared(), X)
    assert report.verdict == "incomplete" and "write self.dW = ..." in report.traps[0].message


HOLDERS = {
    "array.array": lambda: number_array("d", W[:, 0]),
    "objects": lambda: W[:, 0].astype(object),
    "tuple": lambda: tuple(W[:, 0].tolist()),
    "list": lambda: W[:, 0].tolist(),
}


@pytest.mark.parametrize("name", ["w", "kernel"])
@pytest.mark.parametrize("holder", HOLDERS)
def test_weights_in_other_sequences(holder, name):
    class Column:
        factor = None

        def __init__(self):
            setattr(self, name, HOLDERS[holder]())

        def forward(self, x):
            self.x = x
            return x @ np.array(getattr(self, name), dtype=np.float64)

        def backward(self, d):
            if self.factor is not None:
                setattr(self, f"d{name}", self.factor * self.x.T @ d)
            return np.outer(d, np.array(getattr(self, name), dtype=np.float64))

    layer = Column()
    before = getattr(layer, name)
    assert check_gradients(layer, X).verdict == "incomplete"
    for layer.factor, verdict in ((1.0, "right"), (2.0, "wrong")):
        report = check_gradients(layer, X, diagnose=False)
        assert report.verdict == verdict and report[name].verdict == verdict
    assert getattr(layer, name) is before and list(before) == list(HOLDERS[holder]())


@pytest.mark.parametrize(("name", "verdict"), [("weight", "incomplete"), ("table", "right")])
def test_an_array_of_a_module_is_a_constant_unless_it_is_called_a_weight(name, verdict):
    class Plain(nn.Module):
        def __init__(self):
            setattr(self, name, W.copy())

        def forward(self, x):
            return x @ getattr(self, name)

        def backward(self, dy):
            return dy @ getattr(self, name).T

    assert check_gradients(Plain(), X).verdict == verdict


def test_caches_and_states_are_no_parameters():
    class Cell:
        def __init__(self):
            self.count, self.last = np.zeros(3), np.ones((4, 3))

        def forward(self, x):
            self.out = np.tanh(x + self.count)
            self.count = self.count + 1
            return self.out

        def backward(self, d):
            return d * (1 - self.out**2)

    assert check_gradients(Cell(), X).ok


# --- where a class may keep its weights and gradients -----------------------------------------------------------------


class Box:
    """An empty object."""


class Dense:
    """x @ W + b. A subclass says where the weights are (`set`, `get`), and where backward leaves the gradients."""

    names = ("W", "b")

    def __init__(self, factor=1):
        self.factor = factor
        self.set(W.copy(), RNG.normal(size=2))

    def set(self, *arrays):
        for name, array in zip(self.names, arrays, strict=True):
            setattr(self, name, array)

    def get(self):
        return [getattr(self, name) for name in self.names]

    def forward(self, x):
        self.x = x
        w, b = self.get()
        return x @ w + b

    def backward(self, d):
        self.keep(self.factor * self.x.T @ d, d.sum(axis=0))
        return d @ self.get()[0].T


def named(pattern):
    class Named(Dense):
        def keep(self, dw, db):
            setattr(self, pattern.format("W"), dw)
            setattr(self, pattern.format("b"), db)

    return Named


class Dictionaries(Dense):
    def set(self, w, b):
        self.parameters, self.gradients = {"W": w, "b": b}, {}

    def get(self):
        return self.parameters["W"], self.parameters["b"]

    def keep(self, dw, db):
        self.gradients = {"W": dw, "b": db}


class Objects(Dense):
    def set(self, w, b):
        self.W, self.b = Box(), Box()
        self.W.data, self.b.data = w, b

    def get(self):
        return self.W.data, self.b.data

    def keep(self, dw, db):
        self.W.grad, self.b.grad = dw, db


class ListOfObjects(Objects):
    def set(self, w, b):
        self.params = [Box(), Box()]
        self.params[0].value, self.params[1].value = w, b

    def get(self):
        return [p.value for p in self.params]

    def keep(self, dw, db):
        self.params[0].grad, self.params[1].grad = dw, db


class Lists(Dense):
    def set(self, w, b):
        self.weights, self.biases = [w], [b]

    def get(self):
        return self.weights[0], self.biases[0]

    def keep(self, dw, db):
        self.nabla_w, self.nabla_b = [dw], [db]


class Slots(Dense):
    __slots__ = ("W", "b", "dW", "db")

    def keep(self, dw, db):
        self.dW, self.db = dw, db


class InPlace(Dense):
    def __init__(self, factor=1):
        super().__init__(factor)
        self.dW, self.db = np.zeros((3, 2)), np.zeros(2)

    def keep(self, dw, db):
        self.dW[...] = dw
        self.db += db


class Numbers(Dense):
    """The bias is a Python number, and the weights are integers."""

    def set(self, w, b):
        self.W, self.b = np.arange(6).reshape(3, 2), 0.5

    def keep(self, dw, db):
        self.dW, self.db = dw, db.sum()


class OtherNames(Dense):
    names = ("A", "shift")

    def keep(self, dw, db):
        self.first, self.second = dw, db


class Inner(Dense):
    """A layer inside another."""

    def set(self, w, b):
        self.fc = named("d{}")()
        self.fc.set(w, b)

    def get(self):
        return self.fc.get()

    def forward(self, x):
        return self.fc.forward(x)

    def backward(self, d):
        self.fc.factor = self.factor
        return self.fc.backward(d)


class NestedDictionaries(Dense):
    def set(self, w, b):
        self.params, self.grads = {"fc": {"W": w, "b": b}}, {}

    def get(self):
        return self.params["fc"]["W"], self.params["fc"]["b"]

    def keep(self, dw, db):
        self.grads = {"fc": {"W": dw, "b": db}}


class Tuples(Dense):
    def set(self, w, b):
        self.params, self.grads = [(w, b)], []

    def get(self):
        return self.params[0]

    def keep(self, dw, db):
        self.grads = [(dw, db)]


class Private(Dense):
    names = ("_W", "_b")

    def keep(self, dw, db):
        self._dW, self._db = dw, db


class NumberLists(Dense):
    def set(self, w, b):
        self.W, self.b = w.tolist(), b.tolist()

    def get(self):
        return np.array(self.W), np.array(self.b)

    def keep(self, dw, db):
        self.dW, self.db = dw.tolist(), db.tolist()


FORMS = {
    p: named(p) for p in ("d{}", "g{}", "dLd{}", "grad_{}", "{}_grad", "nabla_{}", "delta_{}", "{}_g", "d_{}", "dE_d{}")
}
FORMS |= {
    c.__name__: c
    for c in (
        Dictionaries,
        Objects,
        ListOfObjects,
        Lists,
        Slots,
        InPlace,
        Numbers,
        OtherNames,
        Inner,
        NestedDictionaries,
        Tuples,
        Private,
        NumberLists,
    )
}


@pytest.mark.parametrize("form", FORMS)
def test_weights_and_their_gradients_are_found(form):
    layer = FORMS[form]()
    for _ in range(2):  # the second time, the layer has been used
        report = check_gradients(layer, X)
        assert report.ok and len(report) == 3, report
        layer.backward(np.ones_like(layer.forward(X)))
    wrong = check_gradients(FORMS[form](factor=3), X, diagnose=False)
    if form == "OtherNames":  # an array with another name that is not the gradient is no gradient
        assert wrong.verdict == "incomplete" and any("has the shape of self.A" in note for note in wrong.notes)
    else:
        assert wrong.verdict == "wrong" and [e.verdict for e in wrong].count("wrong") == 1


def test_a_gradient_that_backward_forgets_is_wrong_not_incomplete():
    class Forgets(InPlace):
        def keep(self, dw, db):
            self.db += db

    assert check_gradients(Forgets(), X, diagnose=False)["W"].verdict == "wrong"


def test_two_arrays_with_the_name_of_a_gradient_are_told_apart_by_their_values():
    class Two(Dense):
        def keep(self, dw, db):
            self.dW, self.gW, self.db = dw / 4, dw, db

    assert check_gradients(Two(), X).ok
    report = check_gradients(Two(factor=3), X)
    assert report.verdict == "incomplete" and any("self.dW and self.gW" in note for note in report.notes)


def test_the_gradient_that_a_network_returns_counts_not_the_one_in_its_layers():
    class Net:
        def __init__(self, factor):
            self.factor, self.params = factor, {"W": W.copy()}
            self.layer = named("d{}")()
            self.layer.W, self.layer.b = self.params["W"], np.ones(2)

        def loss(self, x, t):
            self.e = self.layer.forward(x) - t
            return np.sum(self.e**2)

        def gradient(self, x, t):
            self.loss(x, t)
            self.layer.backward(2 * self.e)
            return {"W": self.factor * self.layer.dW}

    t = RNG.normal(size=(4, 2))
    assert check_gradients(Net(1), X, t).ok
    assert check_gradients(Net(3), X, t, diagnose=False)["W"].verdict == "wrong"


def test_a_scratch_array_of_the_shape_of_a_weight_is_not_its_gradient():
    class Scratch(Dense):
        def keep(self, dw, db):
            self.scratch, self.db = 0.1 * dw, db

    assert check_gradients(Scratch(), X).verdict == "incomplete"


def test_gradients_returned_by_key_belong_to_arrays_of_the_object():
    class Net:
        def __init__(self):
            self.W, self.b = W.copy(), np.ones(2)

        def forward(self, x):
            return np.tanh(x @ self.W + self.b), x

        def backward(self, d, cache):
            d = d * (1 - np.tanh(cache @ self.W + self.b) ** 2)
            return {"dW": cache.T @ d, "db": d.sum(axis=0), "dx": d @ self.W.T}

    net = Net()
    for subject in (net, (net.forward, net.backward)):
        report = check_gradients(subject, X)
        assert report.ok and set(report.entries) == {"W", "b", "x"}


def test_two_functions_may_call_a_layer_and_hand_over_no_cache():
    for factor, verdict in ((1, "right"), (3, "wrong")):
        layer = named("d{}")(factor)

        def forward(x, layer=layer):
            return layer.forward(x), None

        def backward(d, cache, layer=layer):
            return layer.backward(d)

        report = check_gradients((forward, backward), X, diagnose=False)
        assert report.verdict == verdict and len(report) == 3


def test_gradients_returned_after_that_of_the_input_belong_to_the_arrays_in_their_order():
    class Returns(Dense):
        def backward(self, d):
            return d @ self.W.T, self.factor * self.x.T @ d, d.sum(axis=0)

    assert check_gradients(Returns(), X).ok
    report = check_gradients(Returns(factor=3), X, diagnose=False)
    assert {e.name: e.verdict for e in report} == {"W": "wrong", "b": "right", "x": "right"}


def test_the_gradient_of_a_number_of_the_object_may_be_returned_too():
    class Returns(Dense):
        def __init__(self, factor=1.0):
            super().__init__()
            self.alpha, self.rate, self.wrong = 0.25, 0.5, factor

        def forward(self, x):
            y = super().forward(x)
            self.below = np.minimum(y, 0)
            return np.maximum(y, 0) + self.alpha * self.below

        def backward(self, d):
            dalpha = self.wrong * np.sum(d * self.below)
            d = np.where(self.below < 0, self.alpha * d, d)
            return d @ self.W.T, self.x.T @ d, dalpha, d.sum(axis=0)

    report = check_gradients(Returns(), X)
    assert report.ok and set(report.entries) == {"x", "W", "alpha", "b"}
    report = check_gradients(Returns(factor=3.0), X)
    assert [e.name for e in report if e.verdict == "wrong"] == ["alpha"]
    layer = Returns()
    assert set(check_gradients((layer.forward, layer.backward), X).entries) == {"x", "W", "alpha", "b"}
    assert type(layer.alpha) is float


def test_one_gradient_that_two_arrays_could_claim_goes_to_the_one_that_it_fits():
    class Net:
        def __init__(self):
            self.first, self.second = Box(), Box()
            self.first.W, self.second.W = RNG.normal(size=(3, 3)), RNG.normal(size=(3, 3))

        def forward(self, x):
            self.h = x @ self.first.W
            return self.h @ self.second.W

        def backward(self, d):
            self.dW = self.h.T @ d
            return d @ self.second.W.T @ self.first.W.T

    report = check_gradients(Net(), X)
    assert report.verdict == "incomplete" and report["second.W"].verdict == "right"
    assert [trap.message.split()[0] for trap in report.traps] == ["self.first.W"]


# --- inputs without a gradient -------------------------------------------------------------------------------------


def quadratic(W, b, X, y):
    e = X @ W + b - y
    return np.sum(e**2), 2 * X.T @ e, 2 * e.sum(axis=0)


@pytest.mark.parametrize(
    ("subject", "checked"),
    [
        (lambda W, b, X, y: (quadratic(W, b, X, y)[0], quadratic(W, b, X, y)[1:]), {"W", "b"}),
        (lambda X, y, W, b: (quadratic(W, b, X, y)[0], quadratic(W, b, X, y)[1:]), {"W", "b"}),
        (
            lambda X, y, W, b: (
                quadratic(W, b, X, y)[0],
                dict(zip(("dW", "db"), quadratic(W, b, X, y)[1:], strict=True)),
            ),
            {"W", "b"},
        ),
        (lambda X, y, W: quadratic(W, 0, X, y)[:2], {"W"}),
        (lambda W, X, y: quadratic(W, 0, X, y)[:2], {"W"}),
    ],
)
def test_an_input_without_a_returned_gradient_is_a_note(subject, checked):
    arrays = {"W": W, "b": np.ones(2), "X": X, "y": RNG.normal(size=(4, 2))}
    names = subject.__code__.co_varnames[: subject.__code__.co_argcount]
    report = check_gradients(subject, *(arrays[n] for n in names))
    assert report.ok and set(report.entries) == checked
    assert any(note.startswith("X: the code gives no gradient for it") for note in report.notes)


def test_none_says_that_a_target_needs_no_gradient():
    def forward(p, onehot):
        return -np.sum(onehot * np.log(p)), (p, onehot)

    p, onehot = np.abs(X) + 0.1, np.eye(3)[[0, 1, 2, 1]]
    assert check_gradients((forward, lambda d, c: (-d * c[1] / c[0], None)), p, onehot).ok
    report = check_gradients((forward, lambda d, c: (None, None)), p, onehot)
    assert report["p"].verdict == "wrong"


def test_a_weight_among_the_inputs_without_a_gradient_is_incomplete():
    def forward(x, w, b):
        return x @ w + b, (x, w)

    report = check_gradients((forward, lambda d, c: (d @ c[1].T, c[0].T @ d)), X, W, np.ones(2))
    assert report.verdict == "incomplete" and report.traps[0].message.startswith("b has the name of a weight")


def test_statistics_in_a_dictionary_of_options_need_no_gradient():
    def forward(x, gamma, beta, bn_param):
        scale = gamma / np.sqrt(bn_param["running_var"] + 1e-5)
        return (x - bn_param["running_mean"]) * scale + beta, (x, scale, gamma, bn_param)

    def backward(d, cache):
        x, scale, gamma, p = cache
        return d * scale, (d * (x - p["running_mean"]) * scale / gamma).sum(axis=0), d.sum(axis=0)

    options = {"mode": "test", "running_mean": np.ones(3), "running_var": np.full(3, 2.0)}
    assert check_gradients((forward, backward), X, np.ones(3), np.zeros(3), options).ok


def test_one_array_listed_twice_has_the_sum_of_its_gradients():
    class Tied:
        """x @ W @ W.T, as an embedding that is used for the output too."""

        def __init__(self):
            self.params = [W.copy()]
            self.params *= 2
            self.grads = [np.zeros_like(W), np.zeros_like(W)]

        def forward(self, x):
            self.x, self.h = x, x @ self.params[0]
            return self.h @ self.params[1].T

        def backward(self, d):
            dh = d @ self.params[1]
            self.grads[0][...] = self.x.T @ dh
            self.grads[1][...] = d.T @ self.h
            return dh @ self.params[0].T

    report = check_gradients(Tied(), X)
    assert report.ok and len(report) == 2 and any("listed 2 times" in note for note in report.notes)

    class Half(Tied):
        def backward(self, d):
            dx = super().backward(d)
            self.grads[1][...] = 0
            return dx

    assert check_gradients(Half(), X).verdict == "wrong"


def test_one_array_in_two_layers_has_the_sum_of_their_gradients():
    square = RNG.normal(size=(3, 3))

    class Twice:
        def __init__(self, other=1):
            self.first, self.second = named("d{}")(), named("d{}")(factor=other)
            for layer in (self.first, self.second):
                layer.W, layer.b = square, np.ones(3)

        def forward(self, x):
            self.h = np.tanh(self.first.forward(x))
            return self.second.forward(self.h)

        def backward(self, d):
            return self.first.backward(self.second.backward(d) * (1 - self.h**2))

    report = check_gradients(Twice(), X)
    assert report.ok and set(report.entries) == {"first.W", "first.b", "second.b", "x"}
    assert any("used 2 times" in note for note in report.notes)
    assert check_gradients(Twice(other=3), X, diagnose=False)["first.W"].verdict == "wrong"


def test_a_gradient_kept_twice_is_not_added():
    class Copied(Dense):
        def __init__(self):
            super().__init__()
            self.parameters = {"W": self.W, "b": self.b}

        def keep(self, dw, db):
            self.dW, self.db = dw, db
            self.gradients = {"W": dw.copy(), "b": db.copy()}

    assert check_gradients(Copied(), X).ok


# --- checks that prove nothing -------------------------------------------------------------------------------------


def test_a_forward_and_a_backward_that_are_not_written_yet_are_not_right():
    report = check_gradients((lambda x, w: (np.zeros((4, 2)), None), lambda d, c: (0 * X, 0 * W)), X, W)
    assert report.verdict == "incomplete" and report.traps[0].kind == "constant output"
    assert check_gradients(nn.LogSoftmax(), np.zeros((3, 1))).ok  # zero for every input, and right
    report = check_gradients(nn.ReLU(), -np.abs(X))
    assert report.ok and any("every gradient is zero here" in note for note in report.notes)


def test_a_backward_that_measures_differences_itself_is_noticed():
    class Measures:
        def forward(self, x):
            self.x = x
            return np.tanh(x)

        def backward(self, d):
            x, dx = self.x.copy(), np.zeros_like(self.x)
            for i in np.ndindex(x.shape):
                x[i] += 1e-6
                above = (self.forward(x) * d).sum()
                x[i] -= 2e-6
                dx[i] = (above - (self.forward(x) * d).sum()) / 2e-6
                x[i] += 1e-6
            return dx

    report = check_gradients(Measures(), X)
    assert report.verdict == "incomplete"
    assert any("backward calls forward 24 times" in trap.message for trap in report.traps)

    class Recomputes(Measures):
        def backward(self, d):
            return d * (1 - self.forward(self.x) ** 2)

    assert check_gradients(Recomputes(), X).traps == []


def test_an_array_that_forward_overwrites_with_an_input_is_no_parameter():
    class Holder:
        def __init__(self):
            self.w, self.dw = np.ones((3, 2)), np.zeros((3, 2))

    held = Holder()

    def forward(x, w):
        held.w[...] = w
        return x @ held.w, (x, w)

    def backward(dout, cache):
        x, w = cache
        held.dw = x.T @ dout
        return dout @ w.T, held.dw.copy()

    report = check_gradients((forward, backward), np.random.default_rng(0).normal(size=(4, 3)), held.w.copy())
    assert report.ok and list(report.entries) == ["x", "w"], report


def layer_of_two(second):
    """tanh(x + the second input), whose backward returns the gradient of x only."""
    found = {}
    exec(f"def forward(x1, {second}):\n    return np.tanh(x1 + {second}), (x1, {second})", {"np": np}, found)
    return found["forward"], lambda d, cache: d * (1 - np.tanh(cache[0] + cache[1]) ** 2)


@pytest.mark.parametrize("mode", ["full", "directional"])
@pytest.mark.parametrize("name", ["k", "context", "p2"])
def test_an_input_of_a_layer_that_moves_the_output_and_has_no_gradient_is_incomplete(name, mode):
    report = check_gradients(layer_of_two(name), X, X + 1, mode=mode)
    assert report.verdict == "incomplete"
    assert "backward returns no gradient for it" in report.traps[0].message


@pytest.mark.parametrize("name", ["target", "y_true", "mask", "labels"])
def test_an_input_with_the_name_of_data_or_a_target_needs_no_gradient(name):
    report = check_gradients(layer_of_two(name), X, X + 1)
    assert report.ok and any(name in note for note in report.notes)


def test_an_input_that_does_not_move_the_output_needs_no_gradient():
    def forward(x, k):
        return np.tanh(x), x

    assert check_gradients((forward, lambda d, x: d * (1 - np.tanh(x) ** 2)), X, X + 1).ok


def test_a_loss_may_have_the_gradient_of_one_of_its_inputs():
    def kl(p, q):
        return np.sum(p * np.log(p / q)), np.log(p / q) + 1

    p, q = np.abs(X) + 0.1, np.abs(X[::-1]) + 0.2
    assert check_gradients(kl, p, q).ok


# --- weights in other places ---------------------------------------------------------------------------------------


def built_at_the_first_call(factor):
    class Lazy:
        W = None

        def forward(self, x):
            if self.W is None:
                self.W, self.b = np.random.default_rng(1).normal(size=(x.shape[1], 2)), np.zeros(2)
            self.x = x
            return x @ self.W + self.b

        def backward(self, d):
            self.dW, self.db = factor * self.x.T @ d, d.sum(axis=0)
            return d @ self.W.T

    return Lazy()


def array_of_arrays(factor):
    class Two:
        def __init__(self):
            self.weights = np.empty(2, dtype=object)
            self.weights[:] = [W.copy(), RNG.normal(size=(2, 2))]

        def forward(self, x):
            self.x, self.h = x, np.tanh(x @ self.weights[0])
            return self.h @ self.weights[1]

        def backward(self, d):
            self.grads = np.empty(2, dtype=object)
            dh = d @ self.weights[1].T * (1 - self.h**2)
            self.grads[:] = [factor * self.x.T @ dh, self.h.T @ d]
            return dh @ self.weights[0].T

    return Two()


def in_the_closure_of_the_methods(factor):
    weights, store = W.copy(), {}

    class Closed:
        def forward(self, x):
            self.x = x
            return x @ weights

        def backward(self, d):
            store["dweights"] = factor * self.x.T @ d
            return d @ weights.T

    return Closed()


def read_only(factor):
    class Frozen(Silent):
        def __init__(self):
            super().__init__()
            self.W.flags.writeable = False

        def forward(self, x):
            self.x = x
            return super().forward(x)

        def backward(self, d):
            self.dW = factor * self.x.T @ d
            return super().backward(d)

    return Frozen()


@pytest.mark.parametrize(
    "layer",
    [built_at_the_first_call, array_of_arrays, in_the_closure_of_the_methods, read_only],
    ids=lambda f: f.__name__,
)
def test_the_gradients_of_weights_in_other_places_are_checked(layer):
    right = layer(1)
    report = check_gradients(right, X)
    assert report.ok and len(report) >= 2, report
    assert getattr(right, "W", None) is None or layer is read_only  # the object is as it was
    wrong = check_gradients(layer(2), X, diagnose=False)
    assert wrong.verdict == "wrong" and [e.verdict for e in wrong].count("wrong") == 1


GLOBAL_WEIGHTS, STORE = W.copy(), {}


@pytest.mark.parametrize("factor", [1, 2])
def test_the_gradient_of_a_global_in_a_dictionary_is_checked(factor):
    def forward(x):
        return x @ GLOBAL_WEIGHTS, x

    def backward(d, x):
        STORE["dGLOBAL_WEIGHTS"] = factor * x.T @ d
        return d @ GLOBAL_WEIGHTS.T

    assert check_gradients((forward, backward), X, diagnose=False).ok == (factor == 1)


def test_a_global_without_a_gradient_is_a_constant_with_a_note():
    report = check_gradients((lambda x: (x @ GLOBAL_WEIGHTS, x), lambda d, x: d @ GLOBAL_WEIGHTS.T), X)
    assert report.ok and any(note.startswith("GLOBAL_WEIGHTS: treated as constant") for note in report.notes)
