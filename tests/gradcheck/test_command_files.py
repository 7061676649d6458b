"""Test ``nnscratch gradcheck FILE.py``: what it finds in a file, the inputs it draws, and its options."""

import argparse
import json
import os

import numpy as np
import pytest

from nnscratch.cli import main
from nnscratch.gradcheck.command import add_arguments, given_values
from nnscratch.gradcheck.command.discover import discover
from nnscratch.gradcheck.command.drawing import CannotDraw, candidates, draw_parameters


def names(source):
    return {item.label: item.reason or item.names for item in discover(source)}


@pytest.mark.parametrize(
    ("source", "found"),
    [
        ("def a_forward(x): 1\ndef a_backward(d, c): 1", {"a_forward": ["a_forward", "a_backward"]}),
        ("def forward(x): 1\ndef backward(d): 1", {"forward": ["forward", "backward"]}),
        ("def relu(Z): 1\ndef relu_backward(dA, c): 1", {"relu": ["relu", "relu_backward"]}),
        ("def forward_a(x): 1\ndef backward_a(d): 1", {"forward_a": ["forward_a", "backward_a"]}),
        ("def c_forward_v(x): 1\ndef c_backward_v(d): 1", {"c_forward_v": ["c_forward_v", "c_backward_v"]}),
        (
            "def b_forward(x): 1\ndef b_backward(d): 1\ndef b_backward_alt(d): 1",
            {"b_forward": ["b_forward", "b_backward"], "b_backward_alt": ["b_forward", "b_backward_alt"]},
        ),
        ("def a_forward(x): 1", {"a_forward": "there is no a_backward"}),
        ("def a_backward(x): 1", {"a_backward": "there is no forward function for it"}),
        ("def my_loss(x, y): return 1, x", {"my_loss": ["my_loss"]}),
        ("def my_loss(x, y): return 1", {}),
        ("def plot_lossless(x): return 1, 2", {}),
        ("if True:\n  def a_forward(x): 1\n  def a_backward(d): 1", {"a_forward": ["a_forward", "a_backward"]}),
        ("class A:\n  def forward(self): 1\n  def backward(self): 1", {"A": ["A"]}),
        ("class A:\n  def forward(self, x): 1", {"A": "it has no backward"}),
        ("class A:\n  def loss(self, x): return 1, {}", {"A": ["A"]}),
        (
            "class Base:\n  def forward(self, x): raise NotImplementedError\n  def backward(self, d): pass\n"
            "class A(Base):\n  def forward(self, x): return x",
            {"A": ["A"]},
        ),
        ("class A(A):\n  def forward(self): return 1\n  def backward(self): 1", {"A": ["A"]}),
        ("class _A:\n  def forward(self): 1\n  def backward(self): 1\ndef _b_backward(d): 1", {}),
        ("class Optimizer:\n  def step(self): 1\ndef helper(x): return x, x", {}),
    ],
)  # fmt: skip
def test_what_is_found_in_a_file(source, found):
    assert names(source) == found


def drawn(arguments, label="layer_forward", doc="", options=(), kind="function"):
    """Return the inputs of the first candidate for a function with these arguments."""
    top = argparse.ArgumentParser()
    add_arguments(top)
    given = given_values(top.parse_args(["file.py", *options]))
    forward = [
        {"name": n, "kind": "POSITIONAL_OR_KEYWORD", "optional": False, "default": None, "annotation": a}
        for n, _, a in (argument.partition(":") for argument in arguments.split())
    ]
    return candidates(label, {"kind": kind, "init": [], "forward": forward, "doc": doc}, given, 0)[0]["inputs"]


@pytest.mark.parametrize(
    ("label", "arguments", "doc", "shapes"),
    [
        ("affine_forward", "x w b", "", [(3, 4), (4, 5), (5,)]),
        ("f_forward", "x w b", "- x: of shape (N, d_1, ..., d_k)\n- w: of shape (D, M)", [(3, 2, 2), (4, 5), (5,)]),
        ("layernorm_forward", "x gamma beta ln_param", "", [(3, 4), (4,), (4,), ()]),
        ("lstm_step_forward", "x prev_h prev_c Wx Wh b", "", [(3, 4), (3, 5), (3, 5), (4, 20), (5, 20), (20,)]),
        ("linear_forward", "A W b", "", [(4, 3), (5, 4), (5, 1)]),
        ("f_forward", "x w", "x: array (B, T, D).\nw: (D, 2D)", [(3, 6, 4), (4, 8)]),
        ("f_forward", "q:Float[Array,'N_D'] v:Float[Array,'N_D']", "", [(3, 4), (3, 4)]),
    ],
)  # fmt: skip
def test_the_shapes_that_are_drawn(label, arguments, doc, shapes):
    if "Float" in arguments:
        arguments = arguments.replace("'N_D'", "'N,D'")
    found = [np.shape(a) for a in drawn(arguments, label, doc)]
    assert found == shapes


def test_labels_indices_and_masks_are_drawn_as_such():
    scores, labels = drawn("x y", "softmax_loss")
    assert labels.shape == scores.shape[:1] and labels.dtype.kind == "i" and labels.max() < scores.shape[1]
    doc = "x: scores, of shape (N, T, V)\ny: indices, of shape (N, T)\nmask: boolean array of shape (N, T)"
    scores, labels, mask = drawn("x y mask", "temporal_softmax_loss", doc)
    assert labels.max() < scores.shape[2] and mask.dtype == bool and mask.shape == labels.shape
    words, table = drawn("x W", "word_embedding_forward")
    assert words.dtype.kind == "i" and words.max() < len(table)


def test_what_the_user_gives_is_used():
    x, p = drawn("x p", options=["--shape", "x=2,9", "--arg", "p={'a': 1}"])
    assert x.shape == (2, 9) and p == {"a": 1}
    (ids,) = drawn("unknown", options=["--shape", "unknown=ids:2,3:10"])
    assert ids.shape == (2, 3) and ids.dtype.kind == "i"


def test_an_unknown_argument_is_named_with_the_option_to_give():
    with pytest.raises(
        CannotDraw, match=r"cannot tell how to call layer_forward: what is zeta\? Give --shape zeta=4,5"
    ):
        drawn("x zeta")


@pytest.fixture
def check(tmp_path, capfd):
    """Write a file, check it, and return the exit code, stdout and stderr."""

    def run(source, *options, name=""):
        file = tmp_path / "student.py"
        file.write_text(f"import numpy as np\n{source}", encoding="utf-8")
        code = main(["gradcheck", f"{file}{name}", *options])
        out, err = capfd.readouterr()
        return code, out, err

    return run


DOUBLE = """
def double(x): return 2 * x, None
def its_slope(dout, cache): return 2 * dout
def unknown_forward(zeta): return 3 * zeta, None
def unknown_backward(dout, cache): return 3 * dout
class Scale:
    def __init__(self, zeta, power): self.zeta, self.power = zeta, power
    def forward(self, x):
        self.x = x
        return self.zeta * x**self.power
    def backward(self, dout): return self.zeta * self.power * self.x ** (self.power - 1) * dout
"""


def test_a_file_whose_inputs_are_unknown_is_not_right_until_they_are_given(check):
    code, out, _ = check(DOUBLE)
    assert code == 2 and "2 checked: 2 could not check" in out and "Give --shape zeta=4,5" in out
    code, out, _ = check(DOUBLE, "--shape", "zeta=4,5", "--init", "1.5, power=3")
    assert code == 0 and "2 checked: 2 right" in out


NETWORK = """
import numpy as np
def sigmoid(z): return 1 / (1 + np.exp(-z))
class Network:
    def __init__(self, sizes):
        self.biases = [np.random.randn(n, 1) for n in sizes[1:]]
        self.weights = [np.random.randn(n, m) for m, n in zip(sizes[:-1], sizes[1:])]
    def feedforward(self, a):
        for b, w in zip(self.biases, self.weights): a = sigmoid(w @ a + b)
        return a
    def backprop(self, x, y):
        activations = [x]
        for b, w in zip(self.biases, self.weights): activations.append(sigmoid(w @ activations[-1] + b))
        delta, nabla_b, nabla_w = activations[-1] - y, [], []
        for w, a, before in zip(self.weights[::-1], activations[:0:-1], activations[-2::-1]):
            delta = delta * a * (1 - a)
            nabla_b.insert(0, delta)
            nabla_w.insert(0, delta @ before.T)
            delta = w.T @ delta
        return nabla_b, nabla_w
"""


@pytest.mark.parametrize(("slope", "code", "said"), [("a * (1 - a)", 0, "right"), ("(1 - a)", 1, "wrong")])
def test_a_network_of_a_list_of_sizes(check, slope, code, said):
    got, out, _ = check(NETWORK.replace("a * (1 - a)", slope))
    assert got == code and "sizes [4, 5, 6], x 4x1, y 6x1" in out and said in out


def test_a_dictionary_of_unknown_parameters_is_refused_with_its_keys():
    for keys, said in ((["theta"], "the shapes of theta are not known"), ([], "the checker found no keys in forward")):
        with pytest.raises(CannotDraw, match=said):
            draw_parameters(keys, np.random.default_rng(0))


def test_two_functions_of_any_name(check):
    assert check(DOUBLE, name=":double,its_slope")[0] == 0
    assert check(DOUBLE, name=":double,unknown_backward")[0] == 1
    code, _, err = check(DOUBLE, name=":double,nothing")
    assert code == 2 and "has no nothing" in err


def test_the_results_as_json(check):
    source = DOUBLE.replace("return 3 * dout", "return -3 * dout")
    code, out, _ = check(source, "--json", "--shape", "zeta=4,5")
    found = json.loads(out)
    assert code == 1 and found["verdict"] == "wrong"
    assert [layer["verdict"] for layer in found["layers"]] == ["wrong", "could not check"]
    assert found["layers"][0]["reason"].startswith("sign flipped")
    assert found["layers"][0]["report"]["entries"]["zeta"]["shape"] == [4, 5]


MEAN = """
def linear_forward(A, W, b): return W @ A + b, (A, W)
def linear_backward(dZ, cache):
    A, W = cache
    return W.T @ dZ, dZ @ A.T / A.shape[1], dZ.sum(axis=1, keepdims=True) / A.shape[1]
"""


def test_a_mean_over_the_batch_is_wrong_with_a_hint_and_right_with_the_convention(check):
    code, out, _ = check(MEAN)
    assert code == 1 and "right with --convention mean" in out
    assert check(MEAN, "--convention", "mean")[0] == 0
    assert check(MEAN, "--convention", "linear_forward=mean")[0] == 0
    assert check(MEAN, "--convention", "another=mean")[0] == 1


def test_weights_of_zero_and_units_that_are_off_hide_nothing(check):
    source = """
class Net:
    def __init__(self, in_features, hidden=100):
        self.W, self.V = np.zeros((in_features, hidden)), np.zeros((hidden, 1))
    def forward(self, x):
        self.x, self.h = x, np.maximum(0, x @ self.W)
        return self.h @ self.V
    def backward(self, dy):
        dh = dy @ self.V.T
        self.dV = self.h.T @ dy
        self.dW = self.x.T @ dh
        return dh @ self.W.T
"""
    assert check(source)[0] == 1
    assert check(source.replace("dh = dy @ self.V.T", "dh = dy @ self.V.T * (self.h > 0)"))[0] == 0


def test_a_file_that_changes_within_a_second_to_the_same_length_is_read_again(tmp_path, capfd, monkeypatch):
    monkeypatch.delenv("PYTHONDONTWRITEBYTECODE", raising=False)
    file = tmp_path / "student.py"
    for factor, code in ((2, 0), (3, 1)):
        file.write_text(f"def f(x): return 2 * x, None\ndef f_backward(dy, cache): return {factor} * dy\n")
        os.utime(file, (1e9, 1e9))  # Python compares the time and the length of a file with those of its compiled file
        assert main(["gradcheck", f"{file}:f,f_backward", "--input", "3,4"]) == code, capfd.readouterr()
    assert list(tmp_path.iterdir()) == [file]


def test_classes_that_need_no_instance(check):
    source = """
class Mul:
    @staticmethod
    def forward(ctx, a, b):
        ctx.save_for_backward(a, b)
        return a * b
    @staticmethod
    def backward(ctx, d):
        a, b = ctx.saved_values
        return d * b, d * a
"""
    assert check(source)[0] == 0
    assert check(source.replace("d * b, d * a", "d * a, d * b"))[0] == 1


def test_code_that_converts_to_float32_is_measured_in_float64(check):
    """Both the worker and the judge measure in float64. In float32, these steps cross kinks: "cannot tell"."""
    source = """
class Net:
    def __init__(self, dtype=np.float32):
        r = np.random.default_rng(0)
        self.W1, self.W2, self.dtype = r.normal(size=(6, 8)).astype(dtype), r.normal(size=(8, 3)).astype(dtype), dtype
    def forward(self, x):
        self.x, self.h = x.astype(self.dtype), np.zeros((len(x), 8), dtype="float32")
        self.h[...] = np.maximum(self.x @ self.W1, 0)
        return self.h @ self.W2
    def backward(self, d):
        self.dW2 = self.h.T @ d
        dz = d.astype("float32") @ self.W2.T * (self.h > 0)
        self.dW1 = self.x.T @ dz
        return dz @ self.W1.T
"""
    for seed in "14":
        assert check(source, "--shape", "x=5,6", "--seed", seed)[0] == 0
    code, out, _ = check(source.replace("self.x.T @ dz", "self.x.T @ dz * 1.002"), "--shape", "x=5,6")
    assert code == 1 and "scaled by a constant" in out


def test_zero_forward_with_zero_backward_is_not_right(check):
    code, out, _ = check("def f_forward(x): return 0 * x, None\ndef f_backward(dout, cache): return 0 * dout")
    assert code == 2 and " right " not in out


def test_a_file_in_a_package_may_import_relatively(tmp_path, capfd):
    folder = tmp_path / "course" / "layers"
    folder.mkdir(parents=True)
    for path in (folder, folder.parent):
        (path / "__init__.py").write_text("", encoding="utf-8")
    (folder.parent / "helper.py").write_text("factor = 2", encoding="utf-8")
    file = folder / "double.py"
    file.write_text(
        "from ..helper import factor\ndef f_forward(x): return factor * x, None\n"
        "def f_backward(dout, cache): return factor * dout",
        encoding="utf-8",
    )
    assert main(["gradcheck", str(file)]) == 0


@pytest.mark.parametrize(
    ("source", "options", "why"),
    [
        ("x = 1", [], "has nothing to check"),
        ("def f(:", [], "SyntaxError"),
        (DOUBLE, ["--shape", "x"], "--shape must look like x=4,5"),
        (DOUBLE, ["--shape", "x=big"], "--shape x= must look like 4,5"),
        (DOUBLE, ["--arg", "x"], "--arg must look like NAME=VALUE"),
        (DOUBLE, ["--init", "open('x')"], "--init must look like 3,2"),
        (DOUBLE, ["--convention", "median"], "--convention must look like mean"),
    ],
)
def test_what_cannot_be_read_gives_2_and_says_why(check, source, options, why):
    code, _, err = check(source, *options)
    assert code == 2 and why in err


COLUMNS = """
class DeepNet:
    def __init__(self, layer_dims):
        self.W = [np.random.randn(n, m) for m, n in zip(layer_dims[:-1], layer_dims[1:])]
        self.b = [np.zeros((n, 1)) for n in layer_dims[1:]]
    def forward(self, X):
        self.A = [X]
        for W, b in zip(self.W, self.b): self.A.append(np.tanh(W @ self.A[-1] + b))
        return self.A[-1]
    def backward(self, dA):
        self.dW, self.db = [None] * len(self.W), [None] * len(self.b)
        for l in reversed(range(len(self.W))):
            dZ = dA * (1 - self.A[l + 1] ** 2)
            self.dW[l], self.db[l] = dZ @ self.A[l].T, dZ.sum(axis=1, keepdims=True)
            dA = self.W[l].T @ dZ
        return dA
"""


def test_a_network_whose_examples_are_columns(check):
    code, out, _ = check(COLUMNS)
    assert code == 0 and "layer_dims [4, 5, 6], X 4x3" in out
    assert check(COLUMNS.replace("axis=1, keepdims", "axis=0, keepdims"))[0] == 1


def test_a_function_that_is_no_elementwise_derivative_is_not_called_wrong(tmp_path, capsys):
    """Only the names show that softmax_grad belongs to softmax. It returns the Jacobian of a vector."""
    path = tmp_path / "file.py"
    path.write_text(
        "import numpy as np\n"
        "def softmax(x):\n    return np.exp(x) / np.exp(x).sum()\n"
        "def softmax_grad(s):\n    s = s.reshape(-1, 1)\n    return np.diagflat(s) - s @ s.T\n"
        "def cube(x):\n    return x**3\n"
        "def cube_prime(x):\n    return 2 * x**2\n"
    )
    main(["gradcheck", str(path), "--json"])
    layers = {layer["name"]: layer for layer in json.loads(capsys.readouterr().out)["layers"]}
    assert {name: layer["verdict"] for name, layer in layers.items()} == {"softmax": "could not check", "cube": "wrong"}
    assert "softmax_grad does not return one derivative for each element" in str(layers["softmax"])
