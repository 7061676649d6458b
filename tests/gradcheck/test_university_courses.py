"""Code in the forms of university courses: correct code is right, planted mistakes are caught, refusals are clear."""

import numpy as np
import pytest

from nnscratch.cli import main
from nnscratch.gradcheck import check_gradients

RNG = np.random.default_rng(5)
X = RNG.normal(size=(5, 3))
LABELS = np.array([0, 1, 1, 0, 1])


def check(wanted, *arguments, **options):
    report = check_gradients(*arguments, **options)
    assert report.verdict == wanted, report.text()
    return report


def softmax(z):
    e = np.exp(z - z.max(axis=-1, keepdims=True))
    return e / e.sum(axis=-1, keepdims=True)


# --- bprop(inputs, outputs, grads_wrt_outputs), and a second method for the weights ---


class SquashLayer:
    def __init__(self, mistake=""):
        self.mistake = mistake

    def fprop(self, inputs):
        return 1 / (1 + np.exp(-inputs))

    def bprop(self, inputs, outputs, grads_wrt_outputs):
        value = inputs if self.mistake == "inputs" else outputs
        return grads_wrt_outputs * value * (1 - value)


class DenseLayer:
    def __init__(self, mistake=""):
        self.mistake, self.weights, self.biases = mistake, RNG.normal(size=(2, 3)), RNG.normal(size=2)

    def fprop(self, inputs):
        return inputs @ self.weights.T + self.biases

    def bprop(self, inputs, outputs, grads_wrt_outputs):
        return grads_wrt_outputs @ self.weights

    def grads_wrt_params(self, inputs, grads_wrt_outputs):
        sign = -1 if self.mistake == "sign" else 1
        mean = np.mean if self.mistake == "mean" else np.sum
        return [sign * grads_wrt_outputs.T @ inputs, mean(grads_wrt_outputs, axis=0)]


def test_the_names_of_the_arguments_show_which_is_the_gradient():
    check("right", SquashLayer(), X)
    report = check("wrong", SquashLayer("inputs"), X)
    assert report["inputs"].diagnosis.mistake == "derivative taken at the wrong value"


@pytest.mark.parametrize("mistake, wrong", [("", []), ("mean", ["biases"]), ("sign", ["weights"])])
def test_a_second_method_returns_the_gradients_of_the_weights(mistake, wrong):
    report = check("wrong" if mistake else "right", DenseLayer(mistake), X)
    assert list(report.entries) == ["weights", "biases", "inputs"]
    assert [entry.name for entry in report if entry.verdict == "wrong"] == wrong


# --- losses as objects ---


class SquareError:
    scale = 1.0

    def __call__(self, outputs, targets):
        return 0.5 * np.sum((outputs - targets) ** 2) / len(outputs)

    def grad(self, outputs, targets):
        return self.scale * (outputs - targets) / len(outputs)


class WeightedCrossEntropy:
    def __init__(self):
        self.importance = np.array([0.5, 2.0, 1.0])

    def loss(self, logits, labels):
        return -np.sum(self.importance * labels * np.log(softmax(logits)))

    def grad(self, logits, labels):
        weighted = self.importance * labels
        return softmax(logits) * weighted.sum(axis=1, keepdims=True) - weighted


def test_a_loss_that_is_called_and_has_a_method_grad():
    loss = SquareError()
    assert list(check("right", loss, X, X + 1).entries) == ["outputs"]
    loss.scale = 3.0
    assert check("wrong", loss, X, X + 1)["outputs"].diagnosis.mistake == "scaled by a constant"


def test_a_loss_with_an_array_of_its_own_and_a_method_grad():
    one_hot = np.eye(3)[[0, 2, 1, 1, 0]]
    report = check("incomplete", WeightedCrossEntropy(), X, one_hot)
    assert report["logits"].verdict == "right" and "self.importance" in report.text()


# --- methods that return the loss and keep the gradients ---


class Classifier:
    def __init__(self, mistake=""):
        self.mistake, self.weights, self.gradients = mistake, {"W": RNG.normal(size=(3, 2))}, {}

    def forward(self, X, y, mode="train"):
        p = softmax(X @ self.weights["W"])
        rows = np.arange(len(y))
        if mode == "train":
            error = p - np.eye(2)[y]
            self.gradients["W"] = X.T @ error / (1 if self.mistake == "mean" else len(y))
        return -np.mean(np.log(p[rows, y])), float(np.mean(p.argmax(axis=1) == y))


class Parameter:
    def __init__(self, value):
        self.value, self.grad = value, np.zeros_like(value)


class RidgeModel:
    def __init__(self, mistake=""):
        self.mistake, self.W = mistake, Parameter(RNG.normal(size=(3, 2)))

    def compute_loss_and_gradients(self, X, y):
        error = X @ self.W.value - y
        self.W.grad = 2 * X.T @ error
        if self.mistake != "decay":
            self.W.grad += 0.2 * self.W.value
        return np.sum(error**2) + 0.1 * np.sum(self.W.value**2)


@pytest.mark.parametrize("mistake, name", [("", ""), ("mean", "scaled by a constant")])
def test_a_forward_that_keeps_the_gradients(mistake, name):
    verdict = "wrong" if mistake else "right"
    check(verdict, Classifier(mistake), X, LABELS, diagnose=False)
    report = check(verdict, Classifier(mistake).forward, X, LABELS)
    assert "forward returns 2 numbers; the checker uses the first as the loss" in report.notes
    assert list(report.entries) == ["W"] and [d.mistake for d in report.diagnoses][:1] == ([name] if name else [])


@pytest.mark.parametrize("mistake, name", [("", ""), ("decay", "weight decay's share wrong")])
def test_a_method_that_computes_the_loss_and_the_gradients(mistake, name):
    verdict, y = "wrong" if mistake else "right", np.ones((5, 2))
    check(verdict, RidgeModel(mistake), X, y, diagnose=False)
    report = check(verdict, RidgeModel(mistake).compute_loss_and_gradients, X, y)
    assert list(report.entries) == ["W"] and [d.mistake for d in report.diagnoses][:1] == ([name] if name else [])


def test_a_method_that_keeps_no_gradients_is_refused():
    class Loss:
        def __init__(self):
            self.W = RNG.normal(size=(3, 2))

        def compute(self, X):
            return np.sum(X @ self.W)

    with pytest.raises(TypeError, match="compute must return"):
        check_gradients(Loss().compute, X)


class LossThatKeepsItsGradient:
    def forward(self, p, y):
        self.dp = 2 * (p - y)
        return np.sum((p - y) ** 2)


def test_a_loss_without_weights_that_keeps_its_gradient_is_refused_and_not_called_wrong():
    with pytest.raises(TypeError, match="no method with a usual name of backward"):
        check_gradients(LossThatKeepsItsGradient(), X, X + 1)


# --- backprop(d_L_d_out, learn_rate) ---


class Filter:
    def __init__(self, mistake=""):
        self.mistake, self.filters = mistake, RNG.normal(size=(2, 2))

    def forward(self, input):
        self.input = input
        return np.array([[np.sum(input[i : i + 2, j : j + 2] * self.filters) for j in range(3)] for i in range(3)])

    def backprop(self, d_L_d_out, learn_rate):
        d_L_d_filters = np.zeros((2, 2))
        for i in range(3):
            for j in range(3):
                part = d_L_d_out[i, j] * self.input[i : i + 2, j : j + 2]
                d_L_d_filters = part if self.mistake == "loop" else d_L_d_filters + part
        self.filters -= learn_rate * d_L_d_filters


class ManyToOne:
    def __init__(self, mistake=""):
        self.mistake = mistake
        self.Whh, self.Wxh, self.Why = (0.5 * RNG.normal(size=s) for s in ((4, 4), (4, 3), (2, 4)))

    def forward(self, inputs):
        self.inputs, self.hs = inputs, [np.zeros((4, 1))]
        for x in inputs:
            self.hs.append(np.tanh(self.Wxh @ x + self.Whh @ self.hs[-1]))
        return self.Why @ self.hs[-1], self.hs[-1]

    def backprop(self, d_y, learn_rate=2e-2):
        d_Why, d_Whh, d_Wxh = d_y @ self.hs[-1].T, 0, 0
        d_h = self.Why.T @ d_y
        for t in reversed(range(len(self.inputs))):
            d_z = (1 - self.hs[t + 1] ** 2) * d_h
            d_Whh, d_Wxh = d_Whh + d_z @ self.hs[t].T, d_Wxh + d_z @ self.inputs[t].T
            d_h = (self.Whh if self.mistake == "transposed" else self.Whh.T) @ d_z
        self.Whh -= learn_rate * d_Whh
        self.Wxh -= learn_rate * d_Wxh
        self.Why -= learn_rate * d_Why


def test_a_first_layer_that_updates_its_weights_may_return_none():
    report = check("right", Filter(), RNG.normal(size=(4, 4)))
    assert list(report.entries) == ["filters"] and any("input: the code gives no gradient" in n for n in report.notes)
    report = check("wrong", Filter("loop"), RNG.normal(size=(4, 4)))
    assert report["filters"].diagnosis.mistake == "only the last round of the loop counted"


def test_a_backprop_with_a_learning_rate_may_take_the_gradient_of_one_of_two_outputs():
    xs = [RNG.normal(size=(3, 1)) for _ in range(4)]
    report = check("right", ManyToOne(), xs)
    assert list(report.entries) == ["Whh", "Wxh", "Why"]
    assert any("1 of 2 outputs" in note for note in report.notes)
    assert check("wrong", ManyToOne("transposed"), xs)["Whh"].diagnosis.mistake == "transposed"


# --- a cost that returns the loss, and the loss with weight decay ---


class Columns:
    def __init__(self, mistake=""):
        self.mistake, self.W, self.b = mistake, RNG.normal(size=(4, 3)), RNG.normal(size=(4, 1))

    def evaluate(self, X):
        return softmax((self.W @ X + self.b).T).T

    def compute_cost(self, X, Y, lamda):
        loss = -np.sum(Y * np.log(self.evaluate(X))) / X.shape[1]
        return loss, loss + lamda * np.sum(self.W**2)

    def compute_gradients(self, X, Y, lamda):
        g, n = self.evaluate(X) - Y, X.shape[1]
        factor = {"": 2, "no decay": 0, "half": 1}[self.mistake]
        return {"W": g @ X.T / n + factor * lamda * self.W, "b": g.sum(axis=1, keepdims=True) / n}


@pytest.mark.parametrize("mistake", ["", "no decay", "half"])
def test_the_loss_with_weight_decay_is_checked(mistake):
    net = Columns(mistake)
    report = check(
        "wrong" if mistake else "right",
        (net.compute_cost, net.compute_gradients),
        X.T,
        np.eye(4)[[0, 3, 2, 1, 3]].T,
        0.1,
    )
    assert any("returns 2 numbers; the checker uses number 2" in note for note in report.notes)
    assert [d.mistake for d in report.diagnoses][:1] == (["weight decay's share wrong"] if mistake else [])


def test_without_a_number_that_shows_the_loss_the_gradients_decide():
    def cost(w, x):
        return np.mean(x @ w), np.sum(x @ w)

    def gradient(w, x):
        return x.sum(axis=0)

    def mean_gradient(w, x):
        return x.mean(axis=0)

    w = RNG.normal(size=3)
    report = check("right", (cost, gradient), w, X)
    assert any("number 2" in note for note in report.notes)
    assert any("number 1" in note for note in check("right", (cost, mean_gradient), w, X).notes)
    assert any(
        "number 1" in note
        for note in check("wrong", (cost, lambda w, x: 3 * x.sum(axis=0)), w, X, diagnose=False).notes
    )


def data_loss(w, x):
    return np.mean((x @ w) ** 2)


def cost_of_integer(w, x, reg):
    return data_loss(w, x), data_loss(w, x) + reg * np.sum(w**2)


def cost_with_default(w, x, reg=1.0):
    return data_loss(w, x), data_loss(w, x) + reg * np.sum(w**2)


def cost_with_constant(w, x):
    return data_loss(w, x), data_loss(w, x) + np.sum(w**2)


def cost_in_parts(w, x, reg):
    return data_loss(w, x), data_loss(w, x) + reg * np.sum(w**2), reg * np.sum(w**2)


@pytest.mark.parametrize(
    ("cost", "factor"),
    [(cost_of_integer, (1,)), (cost_with_default, ()), (cost_with_constant, ()), (cost_in_parts, (1.0,))],
)
def test_weight_decay_is_noticed_if_its_factor_is_an_integer_a_default_or_a_constant(cost, factor):
    def gradient(w, x, reg=1):
        return 2 * x.T @ (x @ w) / len(x) + 2 * w

    def without_decay(w, x, reg=1):
        return 2 * x.T @ (x @ w) / len(x)

    def decay_only(w, x, reg=1):
        return 2 * w

    w = RNG.normal(size=3)
    assert any("number 2" in note for note in check("right", (cost, gradient), w, X, *factor).notes)
    for wrong in (without_decay, decay_only):
        check("wrong", (cost, wrong), w, X, *factor, diagnose=False)


def test_a_gradient_of_zero_does_not_choose_a_constant_number():
    report = check("wrong", (lambda w: (np.sum(w), 1.0), lambda w: 0 * w), RNG.normal(size=3))
    assert report["w"].diagnosis.mistake == "gradient never computed"


# --- a derivative whose argument has an unusual name ---


def logistic(x):
    return 1 / (1 + np.exp(-x))


def test_finite_differences_decide_if_the_name_of_the_argument_is_unusual():
    report = check("right", (logistic, lambda values: values * (1 - values)), X)
    assert any("called with the output of logistic" in note for note in report.notes)
    assert not any("output" in n for n in check("right", (np.sin, lambda values: np.cos(values)), X).notes)
    check("wrong", (logistic, lambda values: values * (1 + values)), X, diagnose=False)
    check("wrong", (logistic, lambda x: x * (1 - x)), X, diagnose=False)  # x is the input
    check("wrong", (logistic, lambda z: z * (1 - z)), X, diagnose=False)


# --- names of gradients ---


class LinearLayer:
    def __init__(self, mistake=False):
        self.mistake, self._W, self._b = mistake, RNG.normal(size=(3, 2)), RNG.normal(size=2)

    def forward(self, x):
        self._cache_current = x
        return x @ self._W + self._b

    def backward(self, grad_z):
        self._grad_W_current = self._cache_current.T @ grad_z / (len(grad_z) if self.mistake else 1)
        self._grad_b_current = grad_z.sum(axis=0)
        return grad_z @ self._W.T


class Node:
    def __init__(self, mistake=False):
        self.mistake, self.wg = mistake, RNG.normal(size=(3, 2))

    def forward(self, x):
        self.x = x
        return np.tanh(x @ self.wg)

    def backward(self, top_diff):
        self.wg_diff = self.x.T @ (top_diff if self.mistake else top_diff * (1 - np.tanh(self.x @ self.wg) ** 2))


class AdaGradLayer:
    def __init__(self):
        self.W, self.b, self.dW_sum = RNG.normal(size=(3, 2)), RNG.normal(size=2), np.zeros((3, 2))

    def forward(self, x):
        self.x = x
        return x @ self.W + self.b

    def backward(self, dy):
        dW = self.x.T @ dy
        self.dW_sum += dW**2
        return dy @ self.W.T, dW, dy.sum(axis=0)


def test_a_sum_of_squares_is_not_a_gradient_by_its_name():
    assert list(check("right", AdaGradLayer(), X).entries) == ["W", "b", "x"]


def test_a_wrong_gradient_with_an_additional_word_in_its_name_is_found():
    assert list(check("right", LinearLayer(), X).entries) == ["_W", "_b", "x"]
    assert check("wrong", LinearLayer(True), X)["_W"].diagnosis.mistake == "scaled by a constant"
    check("right", Node(), X)
    assert check("wrong", Node(True), X)["wg"].diagnosis.mistake == "activation's derivative missing"


# --- refusals ---


class OwnNames:
    def forward(self, *batch):
        return 2 * batch[0]

    def zero_gradients(self):
        pass

    def compute_gradients(self, dy):
        return 2 * dy


class CallableOwnNames(OwnNames):
    def __call__(self, *batch):
        return self.forward(*batch)


@pytest.mark.parametrize("kind", [OwnNames, CallableOwnNames])
def test_the_refusal_of_an_object_names_the_methods_to_give(kind):
    with pytest.raises(
        TypeError, match=r"(?s)no method with a usual name of backward.*layer.forward, layer.compute_gr"
    ):
        check_gradients(kind(), X)
    with pytest.raises(TypeError, match=r"compute_gradients\), batch, y\)"):
        check_gradients(kind(), X, LABELS)
    layer = kind()
    check("right", (layer.forward, layer.compute_gradients), X)


def test_the_functions_in_a_refusal_are_valid_python():
    def total(*arrays):
        return np.sum(arrays[0])

    with pytest.raises(TypeError, match=r"def loss_and_gradients\(arrays0\):"):
        check_gradients(total, X)


# --- whole files ---

FILE = """
import math
import numpy as np

def cube(x): return math.pow(x, 3)
def dcube(x): return 3 * x**2

def sigmoid(x): return 1 / (1 + np.exp(-x))
def sigmoid_derivative(values): return values * (1 - values)
def tanhForward(x): return np.tanh(x), np.tanh(x)
def tanhBackward(dy, cache): return dy * (1 - cache**2)
def forward_and_backward(graph): pass

def SoftmaxLoss(scores, y):
    p = np.exp(scores) / np.exp(scores).sum(axis=1, keepdims=True)
    d = p - np.eye(p.shape[1])[y]
    return -np.sum(np.log(p[np.arange(len(y)), y])), d

class SquareError:
    def __call__(self, predicted, actual): return 0.5 * np.sum((predicted - actual) ** 2)
    def grad(self, predicted, actual): return predicted - actual

class Softplus:
    def __call__(self, x): return np.log(1 + np.exp(x))
    def gradient(self, x): return 1 / (1 + np.exp(-x))

class ReLU:
    def fprop(self, inputs): return np.maximum(inputs, 0)
    def bprop(self, inputs, outputs, grads_wrt_outputs): return (outputs > 0) * grads_wrt_outputs

class Scale:
    def __init__(self): self.w = np.ones(4)
    def forward_pass(self, X):
        self.X = X
        return X * self.w
    def backward_pass(self, accum_grad):
        self.dw = np.sum(accum_grad * self.X, axis=0)
        return accum_grad * self.w

class Model:
    def __init__(self, input_size=28 * 28, num_classes=10):
        self.classes = num_classes
        self.weights, self.gradients = {"W": 0.001 * np.random.randn(input_size, num_classes)}, {}
    def forward(self, X, y, mode="train"):
        loss, d = SoftmaxLoss(X @ self.weights["W"], y)
        self.gradients["W"] = X.T @ d
        return loss, 0.5
"""


def test_a_file_with_these_forms(tmp_path, capfd):
    file = tmp_path / "student.py"
    file.write_text(FILE.replace("values * (1 -", "values * (1 +").replace("X.T @ d", "X.T @ d / 3"), encoding="utf-8")
    code, out = main(["gradcheck", str(file)]), capfd.readouterr().out
    assert code == 1 and "9 checked: 7 right, 2 wrong" in out, out
    assert [line.split()[0] for line in out.splitlines() if " wrong " in line] == ["sigmoid", "Model"]
