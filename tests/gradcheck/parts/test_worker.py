"""Test the service that runs a student's file, in this process: coverage cannot measure the worker, which is killed."""

import io
import os
import random
import sys
import types

import numpy as np
import pytest

from nnscratch.gradcheck.command import wire, worker
from nnscratch.gradcheck.command.refused import Refused
from nnscratch.gradcheck.command.worker import (
    ROOT,
    Service,
    answer_requests,
    build_subject,
    call_forward,
    describe_error,
    import_file,
    named_parameters,
    plain_fields,
    private_pipes,
    read_message,
    vary_parameters,
)
from nnscratch.gradcheck.report import Trap

X = np.array([[1.0, -2.0, 0.5], [0.3, 1.2, -0.7]])


class Linear:
    """A layer: x of shape (N, D)."""

    def __init__(self, n_in, n_out=2):
        self.W = np.random.standard_normal((n_in, n_out))  # noqa: NPY002  as students draw
        self.b = np.zeros(n_out)

    def forward(self, x):
        """Return x W + b."""
        self.x = x
        return x @ self.W + self.b

    def backward(self, dy):
        self.dW, self.db = self.x.T @ dy, dy.sum(0)
        return dy @ self.W.T


class ReLU:
    """A unit whose gradient is zero at negative inputs."""

    def forward(self, x):
        self.mask = x > 0
        return x * self.mask

    def backward(self, dy):
        return dy * self.mask


class DeadReLU(Linear):
    """A layer whose units are dead for some draws of its weights."""

    draws = 0

    def __init__(self, n_in):
        super().__init__(n_in)
        DeadReLU.draws += 1
        self.b[:] = -1e6 if DeadReLU.draws < 4 else 0.1

    def forward(self, x):
        y = super().forward(x)
        self.mask = y > 0
        return y * self.mask

    def backward(self, dy):
        return super().backward(dy * self.mask)


class Scale:
    @staticmethod
    def forward(ctx, a):
        """Return 3 a."""
        return 3 * a

    @staticmethod
    def backward(ctx, dy):
        return 3 * dy


class Nielsen:
    def feedforward(self, a):
        return a

    def backprop(self, x, y):
        return x, y


class OnlyBackward:
    def backward(self, dy):
        return dy


class Updates(Linear):
    """A layer that replaces its weights in backward."""

    def backward(self, dy):
        dx = super().backward(dy)
        self.W = self.W - 0.1 * self.dW
        return dx


class MeanLinear(Linear):
    """A layer that divides the gradients of its weights by the number of examples."""

    def backward(self, dy):
        dx = super().backward(dy)
        self.dW, self.db = self.dW / len(dy), self.db / len(dy)
        return dx


class ByNumber:
    """A layer that multiplies by a Python number."""

    def __init__(self):
        self.w = 2.0

    def forward(self, x):
        self.x = x
        return x * self.w

    def backward(self, dy):
        self.dw = (dy * self.x).sum()
        return dy * self.w


class ForgetsScale:
    """A layer whose weights are 1 at first, and whose gradient of x is right only for these weights."""

    def __init__(self):
        self.gamma = np.ones(3)

    def forward(self, x):
        self.x = x
        return x * self.gamma

    def backward(self, dy):
        self.dgamma = (dy * self.x).sum(0)
        return dy


class WrongIfDead(DeadReLU):
    """A layer with a wrong gradient of x, but only while its units are dead."""

    def backward(self, dy):
        return super().backward(dy) + (self.b[0] < 0)


class Underflow(Linear):
    """A layer that computes numbers too small for a float, as softmax does, and divides by zero."""

    def __init__(self):
        self.W, self.b = np.zeros((3, 2)), np.array([0.5, -0.5])

    def forward(self, x):
        return super().forward(x) + np.exp(-1e4 * np.ones(2)) + 1 / (np.ones(2) / np.zeros(2))

    def backward(self, dy):
        return super().backward(dy) + np.exp(-1e4 * np.ones(3))


class TwoResults(Linear):
    """A layer that returns its outputs and a text."""

    def forward(self, x):
        return super().forward(x), "train"

    def backward(self, dy, mode):
        return super().backward(dy)


def noise_forward(x=1.0):
    return x, None


def cost_with_options(output, labels, epsilon, reduction):
    return ((output - labels) ** 2).sum() + epsilon


def sigmoid_forward(x):
    """Return the sigmoid of x."""
    y = 1 / (1 + np.exp(-x))
    return y, y


def sigmoid_backward(dy, cache):
    return dy * cache * (1 - cache)


def cost(output, labels):
    return ((output - labels) ** 2).sum()


def make_relu():
    return ReLU()


def service():
    held = (Linear, DeadReLU, Scale, Nielsen, OnlyBackward, sigmoid_forward, sigmoid_backward, cost, make_relu, Updates,
            MeanLinear, ByNumber, ForgetsScale, WrongIfDead, Underflow, TwoResults, noise_forward,
            cost_with_options)  # fmt: skip
    module = types.SimpleNamespace(**{f.__name__: f for f in held}, relu=ReLU(), root=logarithm)
    return Service("hw1.py", module)


def logarithm(x):
    return np.log(x), x


def candidate(*inputs, init=(), **named):
    return {"init": list(init), "init_named": named, "inputs": inputs}


# --- describe -----------------------------------------------------------------------------------------------------


def test_a_name_that_the_file_does_not_have_is_refused():
    with pytest.raises(Refused, match="^hw1.py has no Relu$"):
        service().describe(["Relu"])


def test_a_class_is_described_by_its_constructor_and_its_forward():
    found = service().describe(["Linear"])
    assert found["kind"] == "class"
    assert [a["name"] for a in found["init"]] == ["n_in", "n_out"]
    assert [a["name"] for a in found["forward"]] == ["x"]  # without self
    assert found["doc"] == "A layer: x of shape (N, D).\nReturn x W + b."


def test_a_class_without_a_forward_takes_nothing():
    found = service().describe(["OnlyBackward"])
    assert found["kind"] == "class" and found["forward"] == [] and found["doc"] == ""


def test_a_network_with_backprop_takes_the_arguments_of_backprop():
    assert [a["name"] for a in service().describe(["Nielsen"])["forward"]] == ["x", "y"]


def test_a_static_class_is_described_as_a_function_without_its_context():
    found = service().describe(["Scale"])
    assert found["kind"] == "function" and found["doc"] == "Return 3 a."
    assert [a["name"] for a in found["forward"]] == ["a"]


def test_a_pair_of_functions_is_described_by_forward_and_the_labels_of_the_cost():
    names = ["sigmoid_forward", "sigmoid_backward"]
    assert [a["name"] for a in service().describe(names)["forward"]] == ["x"]
    assert [a["name"] for a in service().describe([*names, "cost"])["forward"]] == ["x", "labels"]
    # the options of a cost keep their defaults
    assert [a["name"] for a in service().describe([*names, "cost_with_options"])["forward"]] == ["x", "labels"]
    assert service().describe(names)["doc"] == "Return the sigmoid of x."


def test_functions_are_described_as_functions():
    assert service().describe(["cost"])["kind"] == "function"  # it requires arguments, so it makes no object
    # of two functions, the first is a forward, also if all its arguments have a default
    assert service().describe(["noise_forward", "sigmoid_backward"])["kind"] == "function"


@pytest.mark.parametrize("name", ["relu", "make_relu"])
def test_an_object_is_described_by_its_forward(name):
    found = service().describe([name])
    assert found["kind"] == "object" and found["init"] == []
    assert [a["name"] for a in found["forward"]] == ["x"]
    assert found["doc"].startswith("A unit whose gradient")


# --- check --------------------------------------------------------------------------------------------------------


def test_the_first_candidate_that_forward_accepts_is_checked():
    inputs = [candidate(np.ones((2, 5)), init=[3]), candidate(X, init=[3])]
    reply = service().check(["Linear"], inputs, seed=0, options={})
    assert reply["candidate"] == 1
    verdicts = {e["name"]: e["verdict"] for e in reply["report"]["entries"]}
    assert verdicts == {"x": "right", "W": "right", "b": "right"}


def test_a_candidate_with_finite_outputs_comes_before_one_with_nan():
    inputs = [candidate(-np.ones(3)), candidate(np.array([0.5, 2.0, 3.0]))]
    s = service()
    s._module.backward = lambda dy, x: dy / x
    assert s.check(["root", "backward"], inputs, seed=0, options={})["candidate"] == 1
    # if no candidate has finite outputs, the first one that runs is checked
    with np.errstate(all="ignore"):
        assert s._first_that_runs(["root", "backward"], inputs[:1], 0)[2] == 0


def test_the_error_of_the_first_candidate_is_raised_if_forward_accepts_none():
    inputs = [candidate(np.ones((2, 5)), init=[3]), candidate(X, init=[-1])]
    with pytest.raises(ValueError, match="matmul"):
        service().check(["Linear"], inputs, seed=0, options={})


def test_weights_are_drawn_again_if_all_units_are_dead():
    DeadReLU.draws = 0
    reply = service().check(["DeadReLU"], [candidate(X, init=[3])], seed=0, options={})
    assert DeadReLU.draws > 3
    assert not [t for t in reply["report"]["traps"] if t["kind"] == "zero gradient"]


def test_a_mistake_that_one_draw_of_the_weights_shows_is_a_mistake():
    DeadReLU.draws = 0
    reply = service().check(["WrongIfDead"], [candidate(X, init=[3])], seed=0, options={})
    assert {e["name"]: e["verdict"] for e in reply["report"]["entries"]}["x"] == "wrong"


def test_the_seed_and_the_options_are_those_of_the_check():
    def entries(seed, options, name="Linear"):
        inputs = [candidate(X, init=[3])]
        return {e["name"]: e for e in service().check([name], inputs, seed, options)["report"]["entries"]}

    # the seed also chooses the derivatives that are compared, so an object that exists already has other numbers
    one, again, other = (entries(seed, {}, "relu")["x"]["analytic"] for seed in (1, 1, 2))
    np.testing.assert_array_equal(one, again)
    assert not (one == other).all()
    assert entries(0, {}, "MeanLinear")["W"]["verdict"] == "wrong"
    assert entries(0, {"convention": "mean"}, "MeanLinear")["W"]["verdict"] == "right"


def test_weights_that_are_all_one_hide_no_mistake():
    reply = service().check(["ForgetsScale"], [candidate(X)], seed=0, options={})
    assert {e["name"]: e["verdict"] for e in reply["report"]["entries"]}["x"] == "wrong"


def test_traps_are_sent_as_plain_values():
    def double(x):
        x *= 2
        return x.copy(), None

    s = service()
    s._module.double, s._module.double_backward = double, lambda dy, cache: 2 * dy
    reply = s.check(["double", "double_backward"], [candidate(X)], seed=0, options={})
    sent = wire.unpack(*wire.pack(reply))
    assert [trap["kind"] for trap in sent["report"]["traps"]] == ["forward writes into its input"]


def test_outputs_with_nan_in_some_elements_are_not_finite():
    some_nan = np.array([-1.0, 2.0, 3.0])
    s = service()
    s._module.backward = lambda dy, x: dy / x
    inputs = [candidate(some_nan), candidate(np.array([0.5, 2.0, 3.0]))]
    assert s.check(["root", "backward"], inputs, seed=0, options={})["candidate"] == 1
    s._module.both, s._module.backward = lambda x: (np.log(x), 2 * x, x), lambda dy, dz, x: dy / x + 2 * dz
    assert s.check(["both", "backward"], inputs, seed=0, options={})["candidate"] == 1


def test_outputs_that_are_not_numbers_are_not_looked_at():
    reply = service().check(["TwoResults"], [candidate(X, init=[3])], seed=0, options={})
    assert {e["verdict"] for e in reply["report"]["entries"]} == {"right"}


def test_code_that_lets_numpy_raise_errors_is_checked():
    with np.errstate(all="raise"):  # as after np.seterr(all="raise") in the student's file
        s = service()
        reply = s.check(["Underflow"], [candidate(X)], seed=0, options={})
        arrays = s.variables()
        (y,) = s.outputs(arrays)
        found = s.gradients(arrays, (np.ones((2, 2)),))
    assert {e["verdict"] for e in reply["report"]["entries"]} == {"right"}
    np.testing.assert_allclose(y, X @ arrays["W"] + arrays["b"])
    np.testing.assert_allclose(found["W"], X.T @ np.ones((2, 2)))


def test_a_weight_that_is_a_python_number_is_an_array_for_the_judge():
    s = service()
    s.check(["ByNumber"], [candidate(X)], seed=0, options={})
    arrays = s.variables()
    assert arrays["w"] == 2 and arrays["w"].shape == ()
    other = {"x": X, "w": np.array(3.0)}
    np.testing.assert_allclose(s.outputs(other)[0], 3 * X)
    np.testing.assert_allclose(s.gradients(other, (np.ones((2, 3)),))["w"], X.sum())


def test_a_backward_that_replaces_the_weights_changes_no_later_reply():
    s = service()
    s.check(["Updates"], [candidate(X, init=[3])], seed=0, options={})
    arrays, dy = s.variables(), np.ones((2, 2))
    before = s.gradients(arrays, (dy,))
    np.testing.assert_allclose(s.outputs(arrays)[0], arrays["x"] @ arrays["W"] + arrays["b"])
    other = {"x": 2 * X, "W": arrays["W"] + 1, "b": arrays["b"]}
    after = s.gradients(other, (dy,))  # at values without an earlier request for outputs
    np.testing.assert_allclose(after["x"], dy @ other["W"].T)
    np.testing.assert_allclose(after["W"], 2 * before["W"])


def test_gradients_belong_to_the_values_of_their_request():
    s = service()
    s.check(["relu"], [candidate(X)], seed=0, options={})
    s.variables()
    s.outputs({"x": X})
    np.testing.assert_array_equal(s.gradients({"x": -X}, (np.ones((2, 3)),))["x"], X < 0)


def test_the_convention_holds_for_the_gradients_that_the_judge_gets():
    s = service()
    s.check(["MeanLinear"], [candidate(X, init=[3])], seed=0, options={"convention": "mean"})
    found = s.gradients(s.variables(), (np.ones((2, 2)),))
    np.testing.assert_allclose(found["W"], X.T @ np.ones((2, 2)))  # the sum, as the chain rule says


def test_outputs_and_gradients_at_values_that_the_judge_sends():
    s = service()
    s.check(["Linear"], [candidate(X, init=[3])], seed=0, options={})
    arrays = s.variables()
    assert {k: v.shape for k, v in arrays.items()} == {"x": (2, 3), "W": (3, 2), "b": (2,)}
    rng = np.random.default_rng(1)
    x, w, b = (rng.standard_normal(s) for s in [(2, 3), (3, 2), (2,)])
    (y,) = s.outputs({"x": x, "W": w, "b": b})
    np.testing.assert_allclose(y, x @ w + b)
    dy = rng.standard_normal((2, 2))
    found = s.gradients({"x": x, "W": w, "b": b}, (dy,))
    np.testing.assert_allclose(found["x"], dy @ w.T)
    np.testing.assert_allclose(found["W"], x.T @ dy)
    np.testing.assert_allclose(found["b"], dy.sum(0))


# --- build --------------------------------------------------------------------------------------------------------


def test_a_class_is_built_with_the_arguments_of_the_candidate_and_the_seed():
    a, again, other = (build_subject([Linear], candidate(X, init=[3], n_out=4), seed) for seed in (0, 0, 1))
    assert a.W.shape == (3, 4)
    np.testing.assert_array_equal(a.W, again.W)
    assert not np.array_equal(a.W, other.W)

    class Drawn:
        def __init__(self):
            self.w = random.random()

    assert build_subject([Drawn], candidate(X), 0).w == build_subject([Drawn], candidate(X), 0).w


def test_a_constructor_that_changes_its_arguments_gets_new_copies_each_time():
    class Network(Linear):
        def __init__(self, sizes, options):
            super().__init__(sizes.pop(0), options.pop("out"))

    chosen = candidate(X, init=[[3, 9]], options={"out": 4})
    assert [build_subject([Network], chosen, 0).W.shape for _ in range(2)] == [(3, 4), (3, 4)]


def test_functions_and_static_classes_are_not_called():
    assert build_subject([sigmoid_forward, sigmoid_backward], candidate(X), 0) == (sigmoid_forward, sigmoid_backward)
    order = (sigmoid_forward, cost, sigmoid_backward)
    assert build_subject([sigmoid_forward, sigmoid_backward, cost], candidate(X), 0) == order
    assert build_subject([Scale], candidate(X), 0) is Scale
    assert build_subject([sigmoid_forward], candidate(X), 0) is sigmoid_forward
    relu = ReLU()
    assert build_subject([relu], candidate(X), 0) is relu
    assert isinstance(build_subject([make_relu], candidate(X), 0), ReLU)


def test_small_weights_are_drawn_again_and_constant_weights_vary():
    class Norm(Linear):
        def __init__(self):
            self.W, self.b = np.full((3, 2), 1e-3), np.zeros(2)
            self.gamma, self.scale = np.ones(2), np.ones(1)
            self.grad_W = np.zeros((3, 2))
            self.count = np.zeros(2, int)
            self.w2 = np.array([0.5, -0.05])
            self.weights, self.w0 = np.zeros(2, int), np.zeros(1)
            self.w1 = np.zeros(2)
            self.w1.flags.writeable = False

        def forward(self, x):
            return super().forward(x) * self.gamma * self.scale * self.w2

    norm = Norm()
    vary_parameters(norm, (X,), 0)
    assert np.abs(norm.W).max() > 0.1 and np.abs(norm.b).max() > 0.1
    assert np.ptp(norm.gamma) > 0 and np.all((0.5 <= norm.gamma) & (norm.gamma <= 1.5))
    np.testing.assert_array_equal(norm.scale, 1)  # one element is not varied
    np.testing.assert_array_equal(norm.w2, [0.5, -0.05])
    for kept in (norm.weights, norm.w0, norm.w1):  # integers, one number, and an array that cannot be changed
        np.testing.assert_array_equal(kept, 0)
    np.testing.assert_array_equal(norm.grad_W, 0)  # a gradient is not a parameter
    np.testing.assert_array_equal(norm.count, 0)


def test_weights_with_unusual_names_vary_also_if_numpy_raises_errors():
    class Unusual(Underflow):
        def __init__(self):
            super().__init__()
            self.zork = np.zeros(2)

        def forward(self, x):
            return super().forward(x) + self.zork

        def backward(self, dy):
            self.dzork = dy.sum(0)
            return super().backward(dy)

    layer = Unusual()
    with np.errstate(all="raise"):
        vary_parameters(layer, (X,), 0)
    assert np.abs(layer.zork).max() > 0.1


def test_functions_have_no_parameters_to_vary():
    vary_parameters((sigmoid_forward, sigmoid_backward), (X,), 0)
    vary_parameters(sigmoid_forward, (X,), 0)
    vary_parameters(Scale, (X,), 0)
    w = np.ones(3)
    pair = (lambda x: (x * w, x)), (lambda dy, x: dy * w)
    vary_parameters(pair, (X,), 0)
    vary_parameters(pair[0], (X,), 0)
    np.testing.assert_array_equal(w, 1)


def test_a_weight_is_known_by_its_name_if_it_is_not_a_gradient():
    linear = Linear(3)
    linear.grads = {"W2": np.ones(2)}
    linear.total = np.ones(2)
    linear.w = 0.5  # a number
    assert {id(a) for a in named_parameters(linear)} == {id(linear.W), id(linear.b)}


def test_forward_gets_float32_inputs_if_it_refuses_float64():
    class Float32Only(ReLU):
        def forward(self, x, n, rows, rate):
            if x.dtype != np.float32:
                raise TypeError("float32 only")
            return super().forward(x[rows]) * n * rate

    (y,) = call_forward(Float32Only(), (X, 2, np.array([0, 1]), 1.0))
    assert y.dtype == np.float32
    np.testing.assert_array_equal(y, np.maximum(X, 0).astype(np.float32) * 2)


# --- the file -----------------------------------------------------------------------------------------------------


@pytest.fixture
def clean_imports(monkeypatch):
    monkeypatch.setattr(sys, "path", list(sys.path))
    monkeypatch.setattr(sys, "dont_write_bytecode", sys.dont_write_bytecode)
    monkeypatch.setattr(sys, "modules", dict(sys.modules))


def test_a_file_is_imported_with_the_modules_of_its_folder(tmp_path, clean_imports):
    sys.dont_write_bytecode = False
    folders = list(sys.path)
    (tmp_path / "helper_of_hw1.py").write_text("VALUE = 3\n")
    (tmp_path / "hw1_layers.py").write_text("from helper_of_hw1 import VALUE\n")
    s = Service(str(tmp_path / "hw1_layers.py"))
    assert s.load("VALUE") == 3
    assert sys.modules["hw1_layers"].VALUE == 3  # dataclasses find the module
    assert sys.path == [str(tmp_path), *folders]
    assert not (tmp_path / "__pycache__").exists()  # Python could use it for a file that was changed within a second


def test_a_file_with_the_name_of_a_loaded_module_does_not_replace_it(tmp_path, clean_imports):
    (tmp_path / "json.py").write_text("VALUE = 4\n")
    import json

    assert import_file(tmp_path / "json.py").VALUE == 4
    assert sys.modules["json"] is json and sys.modules["student_json"].VALUE == 4


def test_a_file_of_a_package_is_imported_as_its_module(tmp_path, clean_imports):
    folder = tmp_path / "cs231n_of_a_test" / "inner"
    folder.mkdir(parents=True)
    for made in (folder, folder.parent):
        (made / "__init__.py").write_text("")
    (folder.parent / "sizes.py").write_text("VALUE = 5\n")
    (folder / "layers.py").write_text("from ..sizes import VALUE\n")
    module = import_file(folder / "layers.py")
    assert module.VALUE == 5 and module.__name__ == "cs231n_of_a_test.inner.layers"


def test_a_broken_file_of_the_package_does_not_prevent_the_import(tmp_path, clean_imports):
    folder = tmp_path / "broken_package_of_a_test"
    folder.mkdir()
    (folder / "__init__.py").write_text("from .old import VALUE\n")
    (folder / "old.py").write_text("print 'Python 2'\n")
    (folder / "layers.py").write_text("VALUE = 8\n")
    (folder / "net.py").write_text("from .old import VALUE\n")
    (folder / "wrong.py").write_text("1 / 0\n")
    assert import_file(folder / "layers.py").VALUE == 8
    with pytest.raises(ImportError):
        import_file(folder / "net.py")
    with pytest.raises(ZeroDivisionError):
        import_file(folder / "wrong.py")


def test_a_file_with_relative_imports_needs_no_init_file(tmp_path, clean_imports):
    folder = tmp_path / "json" / "version1.2"  # the name of a loaded module, and a name with a dot
    folder.mkdir(parents=True)
    (folder.parent / "sizes.py").write_text("VALUE = 5\n")
    (folder / "units.py").write_text("VALUE = 6\n")
    (folder / "layers.py").write_text("from .units import VALUE\n")
    assert import_file(folder / "layers.py").VALUE == 6
    (folder.parent / "inner").mkdir()
    (folder.parent / "inner" / "net.py").write_text("def f():\n    from ..sizes import VALUE\n    return VALUE\n")
    assert import_file(folder.parent / "inner" / "net.py").f() == 5
    (tmp_path / "top.py").write_text("from " + 40 * "." + "x import y\n")
    with pytest.raises(ImportError):
        import_file(tmp_path / "top.py")


def test_a_file_may_import_from_the_folders_above_it_up_to_the_current_folder(tmp_path, clean_imports, monkeypatch):
    (tmp_path / "course_of_a_test" / "hw").mkdir(parents=True)
    (tmp_path / "course_of_a_test" / "units_of_a_test.py").write_text("VALUE = 7\n")
    (tmp_path / "course_of_a_test" / "json.py").write_text("")  # does not replace the module of Python
    source = "import json\nfrom course_of_a_test.units_of_a_test import VALUE\njson.dumps\n"
    (tmp_path / "course_of_a_test" / "hw" / "layers.py").write_text(source)
    monkeypatch.chdir(tmp_path)
    assert import_file(tmp_path / "course_of_a_test" / "hw" / "layers.py").VALUE == 7
    assert sys.path[-2:] == [str(tmp_path / "course_of_a_test"), str(tmp_path)]


def test_a_file_of_the_library_is_imported_under_its_own_name():
    from pathlib import Path

    import nnscratch.layers.linear

    assert import_file(Path(ROOT) / "nnscratch" / "layers" / "linear.py") is nnscratch.layers.linear


def test_a_file_that_is_not_python_is_refused(tmp_path, clean_imports):
    (tmp_path / "notes.txt").write_text("")
    with pytest.raises(Refused, match=r"notes\.txt is not a Python file"):
        import_file(tmp_path / "notes.txt")


# --- messages -----------------------------------------------------------------------------------------------------


def test_a_message_is_read_whole_and_a_closed_pipe_ends_the_requests():
    pipe = io.BytesIO(wire.frame({"number": 1, "operation": "outputs"}))
    assert read_message(pipe) == {"number": 1, "operation": "outputs"}
    assert read_message(pipe) is None


def replies_to(*messages):
    """Return the pipe with these requests, the pipe for the replies, and a function that returns the replies."""
    sent = io.BytesIO()

    def received():
        pipe = io.BytesIO(sent.getvalue())
        return [reply for reply in iter(lambda: read_message(pipe), None)]

    return io.BytesIO(b"".join(map(wire.frame, messages))), io.BufferedWriter(sent), received


def test_each_request_has_a_reply_or_an_error(monkeypatch):
    requests, replies, received = replies_to({"number": 1, "operation": "half", "of": 4},
                                             {"number": 2, "operation": "half", "of": 0},
                                             {"number": 3, "operation": "half", "of": -1})  # fmt: skip
    monkeypatch.setattr(worker, "private_pipes", lambda: (requests, replies))

    def answer(operation, values):
        assert operation == "half"
        if values["of"] < 0:
            sys.exit(1)
        return 2 / values["of"]

    answer_requests(answer, lambda error: type(error).__name__)
    assert received() == [{"number": 1, "value": 0.5}, {"number": 2, "error": "ZeroDivisionError"},
                          {"number": 3, "error": "SystemExit"}]  # fmt: skip


def test_an_interrupt_from_the_keyboard_ends_the_worker(monkeypatch):
    requests, replies, received = replies_to({"number": 1, "operation": "a"}, {"number": 2, "operation": "b"})
    monkeypatch.setattr(worker, "private_pipes", lambda: (requests, replies))

    def answer(operation, values):
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        answer_requests(answer, str)
    assert received() == []


def test_the_worker_answers_for_the_file_of_its_argument(monkeypatch, tmp_path, clean_imports):
    path = tmp_path / "hw2_of_a_test.py"
    path.write_text("def double(x):\n    return 2 * x\n")
    requests, replies, received = replies_to({"number": 1, "operation": "describe", "names": ["double"]})
    monkeypatch.setattr(worker, "private_pipes", lambda: (requests, replies))
    monkeypatch.setattr(sys, "argv", ["worker", str(path)])
    worker.main()
    (reply,) = received()
    assert reply["value"]["forward"][0]["name"] == "x"
    assert sys.argv == [str(path)]  # as if the user had run the file


def test_the_standard_streams_of_the_students_code_lead_nowhere():
    (to_read, to_worker), (from_worker, to_write) = os.pipe(), os.pipe()
    os.write(to_worker, b"request")
    kept = os.dup(0), os.dup(1)
    os.dup2(to_read, 0), os.dup2(to_write, 1)
    try:
        requests, replies = private_pipes()
        os.write(1, b"printed")
        read = os.read(0, 100)
    finally:
        os.dup2(kept[0], 0), os.dup2(kept[1], 1)
    assert read == b""
    replies.write(b"reply")
    replies.close()
    os.close(to_worker)
    os.close(to_write)
    assert requests.read() == b"request" and os.read(from_worker, 100) == b"reply"
    requests.close()
    for descriptor in (to_read, from_worker, *kept):
        os.close(descriptor)


def test_errors_are_described_in_one_line_with_the_students_line(tmp_path):
    assert describe_error(Refused("hw1.py has no f")) == "hw1.py has no f"
    assert describe_error(SystemExit(3)) == "it called sys.exit(3): its process ended without a report"
    assert describe_error(ValueError("two\n  lines")) == "ValueError: two lines"
    path = tmp_path / "hw1.py"
    with pytest.raises(ZeroDivisionError) as caught:
        exec(compile("\n\n1 / 0", str(path), "exec"), {})
    assert describe_error(caught.value) == "ZeroDivisionError: division by zero (hw1.py:3)"
    with pytest.raises(ValueError) as caught:  # inside Python's library, the student's line is the place
        exec(compile("import json\njson.loads('{')", str(path), "exec"), {})
    assert describe_error(caught.value).endswith("(hw1.py:2)")


def test_arrays_that_cannot_be_sent_are_left_out_of_a_report():
    trap = Trap(kind=np.array(["a"]), message=np.ones(2), severity="note")
    found = plain_fields(trap)
    assert found["kind"] is None and found["severity"] == "note"
    np.testing.assert_array_equal(found["message"], 1)
