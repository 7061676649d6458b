"""Objects in the forms of courses and books: correct code is right, and planted mistakes are caught."""

import numpy as np
import pytest

from nnscratch.gradcheck import check_gradients

RNG = np.random.default_rng(11)
X = RNG.normal(size=(5, 3))
MISTAKES = ("", "scale", "sign", "transposed")


def spoil(gradient, mistake):
    """Plant a mistake in one gradient."""
    if mistake == "transposed":
        return gradient[::-1].copy()
    return {"": 1, "scale": 3, "sign": -1}[mistake] * gradient


def check(want_right, *arguments, **options):
    report = check_gradients(*arguments, diagnose=False, **options)
    assert report.verdict == ("right" if want_right else "wrong"), report.text()
    return report


def softmax(z):
    e = np.exp(z - z.max(axis=1, keepdims=True))
    return e / e.sum(axis=1, keepdims=True)


def sigmoid(z):
    return 1 / (1 + np.exp(-z))


# --- Neural Networks from Scratch: self.output and self.dinputs ---


class LayerDense:
    def __init__(self, mistake=""):
        self.mistake, self.weights, self.biases = mistake, RNG.normal(size=(3, 4)), RNG.normal(size=(1, 4))

    def forward(self, inputs):
        self.inputs = inputs
        self.output = np.dot(inputs, self.weights) + self.biases

    def backward(self, dvalues):
        self.dweights = spoil(np.dot(self.inputs.T, dvalues), self.mistake)
        self.dbiases = np.sum(dvalues, axis=0, keepdims=True)
        self.dinputs = np.dot(dvalues, self.weights.T)


@pytest.mark.parametrize("mistake", MISTAKES)
def test_a_layer_that_leaves_its_output_and_its_gradients_in_attributes(mistake):
    report = check(not mistake, LayerDense(mistake), X)
    assert report["weights"].verdict == ("wrong" if mistake else "right")
    assert report["biases"].verdict == report["inputs"].verdict == "right"


@pytest.mark.parametrize("mistake", MISTAKES)
def test_the_input_gradient_is_read_from_its_attribute(mistake):
    class ActivationReLU:
        def forward(self, inputs, training):
            self.inputs = inputs
            self.output = np.maximum(0, inputs)

        def backward(self, dvalues):
            self.dinputs = spoil(dvalues, mistake)
            self.dinputs[self.inputs <= 0] = 0

    check(not mistake, ActivationReLU(), X, True)


@pytest.mark.parametrize("mistake", MISTAKES)
def test_softmax_and_loss_in_one_object_whose_backward_takes_the_probabilities(mistake):
    class ActivationSoftmaxLossCategoricalCrossentropy:
        def forward(self, inputs, y_true):
            self.output = softmax(inputs)
            return np.mean(-np.log(self.output[range(len(inputs)), y_true]))

        def backward(self, dvalues, y_true):
            samples = len(dvalues)
            self.dinputs = dvalues.copy()
            self.dinputs[range(samples), y_true] -= 1
            self.dinputs = spoil(self.dinputs / samples, mistake)

    check(not mistake, ActivationSoftmaxLossCategoricalCrossentropy(), X, np.array([0, 2, 1, 1, 0]))


@pytest.mark.parametrize("mistake", MISTAKES)
def test_a_loss_whose_backward_takes_predictions_and_targets(mistake):
    class Loss:
        def calculate(self, output, y):
            return np.mean(self.forward(output, y))

    class LossMeanSquaredError(Loss):
        def forward(self, y_pred, y_true):
            return np.mean((y_true - y_pred) ** 2, axis=-1)

        def backward(self, dvalues, y_true):
            samples, outputs = dvalues.shape
            self.dinputs = spoil(-2 * (y_true - dvalues) / outputs / samples, mistake)

    report = check(not mistake, LossMeanSquaredError(), X, RNG.normal(size=X.shape))
    assert "y_pred" in report.entries


def test_a_forward_that_returns_nothing_and_leaves_nothing_is_refused_with_the_lines_to_write():
    class Silent:
        def forward(self, signal):
            self.kept = [signal]

        def backward(self, delta):
            return delta

    with pytest.raises(TypeError, match=r"(?s)Silent.forward\(signal\) returned None.*def forward\(signal\)"):
        check_gradients(Silent(), X)


# --- CMU 11-785's mytorch ---


@pytest.mark.parametrize("mistake", MISTAKES)
@pytest.mark.parametrize("mean", [False, True])
def test_a_linear_layer_with_dLdW_and_dLdb(mistake, mean):
    class Linear:
        def __init__(self):
            self.W, self.b = RNG.normal(size=(4, 3)), RNG.normal(size=(4, 1))

        def forward(self, A):
            self.A, self.N = A, A.shape[0]
            return A @ self.W.T + np.ones((self.N, 1)) @ self.b.T

        def backward(self, dLdZ):
            n = self.N if mean else 1
            self.dLdW = spoil(dLdZ.T @ self.A / n, mistake)
            self.dLdb = dLdZ.T @ np.ones((self.N, 1)) / n
            return dLdZ @ self.W

    report = check(not mistake, Linear(), X, convention="mean" if mean else "sum")
    assert report["W"].verdict == ("wrong" if mistake else "right") and report["b"].verdict == "right"


@pytest.mark.parametrize("mistake", MISTAKES)
def test_an_activation_whose_backward_takes_nothing_and_returns_the_slope(mistake):
    class Tanh:
        def forward(self, Z):
            self.A = np.tanh(Z)
            return self.A

        def backward(self):
            return spoil(1 - self.A**2, mistake)

    check(not mistake, Tanh(), X)


@pytest.mark.parametrize("mistake", MISTAKES)
@pytest.mark.parametrize("argument", ["nothing", "input", "output"])
def test_an_activation_with_a_method_derivative(mistake, argument):
    class Sigmoid:
        def forward(self, x):
            self.state = sigmoid(x)
            return self.state

    methods = {
        "nothing": lambda self: spoil(self.state * (1 - self.state), mistake),
        "input": lambda self, x: spoil(sigmoid(x) * (1 - sigmoid(x)), mistake),
        "output": lambda self, out: spoil(out * (1 - out), mistake),
    }
    Sigmoid.derivative = methods[argument]
    check(not mistake, Sigmoid(), X)


@pytest.mark.parametrize("mistake", MISTAKES)
def test_a_loss_with_a_forward_of_two_arguments_and_a_backward_of_none(mistake):
    class MSELoss:
        def forward(self, A, Y):
            self.A, self.Y = A, Y
            return np.sum((A - Y) ** 2) / A.size

        def backward(self):
            return spoil(2 * (self.A - self.Y) / self.A.size, mistake)

    report = check_gradients(MSELoss(), X, RNG.normal(size=X.shape), only=["A"])
    assert report["A"].verdict == ("wrong" if mistake else "right"), report.text()


@pytest.mark.parametrize("mistake", MISTAKES)
def test_a_recurrent_cell_whose_backward_takes_states_and_inputs(mistake):
    class RNNCell:
        def __init__(self):
            self.W_ih, self.W_hh = RNG.normal(size=(4, 3)), RNG.normal(size=(4, 4))
            self.dW_ih, self.dW_hh = np.zeros((4, 3)), np.zeros((4, 4))

        def forward(self, x, h_prev_t):
            h_t = np.tanh(x @ self.W_ih.T + h_prev_t @ self.W_hh.T)
            return h_t

        def backward(self, delta, h_t, h_prev_l, h_prev_t):
            dz = (1 - h_t**2) * delta
            self.dW_ih = spoil(dz.T @ h_prev_l, mistake)
            self.dW_hh = dz.T @ h_prev_t
            return dz @ self.W_ih, dz @ self.W_hh

    report = check(not mistake, RNNCell(), X, RNG.normal(size=(5, 4)))
    assert report["W_hh"].verdict == report["x"].verdict == report["h_prev_t"].verdict == "right"


# --- books and tutorials ---


@pytest.mark.parametrize("mistake", MISTAKES)
@pytest.mark.parametrize("in_place", [True, False])
def test_backward_with_a_learning_rate_updates_the_weights(mistake, in_place):
    class FCLayer:
        def __init__(self):
            self.weights, self.bias = RNG.normal(size=(3, 2)), RNG.normal(size=(1, 2))

        def forward_propagation(self, input_data):
            self.input = input_data
            return input_data @ self.weights + self.bias

        def backward_propagation(self, output_error, learning_rate):
            input_error = output_error @ self.weights.T
            weights_error = spoil(self.input.T @ output_error, mistake)
            if in_place:
                self.weights -= learning_rate * weights_error
            else:
                self.weights = self.weights - learning_rate * weights_error
            self.bias = self.bias - learning_rate * output_error.sum(axis=0, keepdims=True)
            return input_error

    layer = FCLayer()
    before = layer.weights.copy()
    report = check(not mistake, layer, X)
    assert {"weights", "bias", "input_data"} == set(report.entries)
    assert report["input_data"].verdict == "right" and (layer.weights == before).all()


@pytest.mark.parametrize("mistake", MISTAKES)
def test_a_learning_rate_may_have_a_default(mistake):
    class Dense:
        def __init__(self):
            self.w = RNG.normal(size=(3, 2))

        def forward(self, x):
            self.x = x
            return x @ self.w

        def backward(self, grad, lr=0.01):
            dx = grad @ self.w.T
            self.w -= lr * spoil(self.x.T @ grad, mistake)
            return dx

    report = check(not mistake, Dense(), X)
    assert report["w"].verdict == ("wrong" if mistake else "right") and report["x"].verdict == "right"


def test_weights_that_are_updated_before_they_are_used_give_a_wrong_input_gradient():
    class FCLayer:
        def __init__(self):
            self.weights = RNG.normal(size=(3, 2))

        def forward(self, x):
            self.x = x
            return x @ self.weights

        def backward(self, err, lr):
            self.weights -= lr * self.x.T @ err
            return err @ self.weights.T

    report = check(False, FCLayer(), X)
    assert report["weights"].verdict == "right" and report["x"].verdict == "wrong"


class Network:
    """In the form of Nielsen's "Neural Networks and Deep Learning"."""

    def __init__(self, sizes, mistake=""):
        self.mistake, self.num_layers = mistake, len(sizes)
        self.biases = [RNG.normal(size=(n, 1)) for n in sizes[1:]]
        self.weights = [RNG.normal(size=(n, m)) for m, n in zip(sizes[:-1], sizes[1:], strict=True)]

    def feedforward(self, a):
        for b, w in zip(self.biases, self.weights, strict=True):
            a = sigmoid(np.dot(w, a) + b)
        return a

    def cost_derivative(self, a, y):
        return a - y

    def backprop(self, x, y):
        nabla_b, nabla_w = [np.zeros(b.shape) for b in self.biases], [np.zeros(w.shape) for w in self.weights]
        activations, zs = [x], []
        for b, w in zip(self.biases, self.weights, strict=True):
            zs.append(np.dot(w, activations[-1]) + b)
            activations.append(sigmoid(zs[-1]))
        delta = self.cost_derivative(activations[-1], y) * sigmoid(zs[-1]) * (1 - sigmoid(zs[-1]))
        if hasattr(self, "cost"):
            delta = self.cost.delta(zs[-1], activations[-1], y)
        nabla_b[-1], nabla_w[-1] = delta, np.dot(delta, activations[-2].T)
        for layer in range(2, self.num_layers):
            sp = sigmoid(zs[-layer]) * (1 - sigmoid(zs[-layer]))
            delta = np.dot(self.weights[-layer + 1].T, delta) * sp
            nabla_b[-layer] = delta
            nabla_w[-layer] = spoil(np.dot(delta, activations[-layer - 1].T), self.mistake)
        return nabla_b, nabla_w


class CrossEntropyCost:
    @staticmethod
    def fn(a, y):
        return np.sum(np.nan_to_num(-y * np.log(a) - (1 - y) * np.log(1 - a)))

    @staticmethod
    def delta(z, a, y):
        return a - y


@pytest.mark.parametrize("mistake", MISTAKES)
@pytest.mark.parametrize("cost", [None, CrossEntropyCost])
def test_feedforward_and_backprop(mistake, cost):
    net = Network([3, 4, 2], mistake)
    if cost is not None:
        net.cost = cost
    report = check(not mistake, net, RNG.normal(size=(3, 1)), np.array([[0.0], [1.0]]))
    assert report["weights[0]"].verdict == ("wrong" if mistake else "right")
    assert report["biases[1]"].verdict == report["weights[1]"].verdict == "right"
    assert any("1/2 sum" in note for note in report.notes) == (cost is None)


class TwoLayers:
    """A network whose loss is a method, or an object that it holds."""

    def __init__(self, mistake):
        self.mistake, self.W1, self.W2 = mistake, RNG.normal(size=(3, 4)), RNG.normal(size=(4, 2))

    def forward(self, X):
        self.X, self.h = X, np.tanh(X @ self.W1)
        self.y = self.h @ self.W2
        return self.y

    def _backward(self, labels):
        d = 2 * (self.y - labels)
        self.dW2 = self.h.T @ d
        self.dW1 = spoil(self.X.T @ (d @ self.W2.T * (1 - self.h**2)), self.mistake)


class WithLoss(TwoLayers):
    def compute_loss(self, y, y_pred):
        return np.sum(y_pred**2 - 2 * y_pred * y)  # not symmetric

    def backward(self, X, y):
        self._backward(y)


class SquaredError:
    def forward(self, pred, target):
        return np.sum((pred - target) ** 2)


class LossOfEachSample:
    def __call__(self, X, target):  # the first has the name of forward's input, but is its output
        return np.sum((X - target) ** 2, axis=1) * len(X)  # so that their mean is the sum


class WithCriterion(TwoLayers):
    def __init__(self, mistake):
        super().__init__(mistake)
        self.criterion = SquaredError()

    def backward(self, labels):
        self._backward(labels)


class WithCriterionOfSamples(WithCriterion):
    def __init__(self, mistake):
        super().__init__(mistake)
        self.criterion = LossOfEachSample()


@pytest.mark.parametrize("mistake", MISTAKES)
@pytest.mark.parametrize("cls", [WithLoss, WithCriterion, WithCriterionOfSamples])
def test_a_network_with_forward_loss_and_backward(mistake, cls):
    net, y = cls(mistake), RNG.normal(size=(5, 2))
    report = check(not mistake, net, X, y)
    assert report["W1"].verdict == ("wrong" if mistake else "right") and report["W2"].verdict == "right"
    if cls is WithLoss:
        check(not mistake, (net.forward, net.compute_loss, net.backward), X, y)


@pytest.mark.parametrize("mistake", MISTAKES)
def test_fprop_and_bprop(mistake):
    class Sigmoid:
        def fprop(self, x):
            self.y = sigmoid(x)
            return self.y

        def bprop(self, d):
            return spoil(d * self.y * (1 - self.y), mistake)

    check(not mistake, Sigmoid(), X)


@pytest.mark.parametrize("mistake", MISTAKES)
def test_static_methods(mistake):
    class ReLU:
        @staticmethod
        def forward(x):
            return np.maximum(x, 0)

        @staticmethod
        def backward(dout, x):
            return spoil(dout * (x > 0), mistake)

    check(not mistake, ReLU, X)


@pytest.mark.parametrize("mistake", MISTAKES)
@pytest.mark.parametrize("form", ["minitorch", "attributes", "functions"])
def test_a_function_with_a_context(mistake, form):
    class MulExp:
        @staticmethod
        def forward(ctx, a, b):
            y = a * np.exp(b)
            if form == "attributes":
                ctx.a, ctx.y, ctx.b = a, y, b
            else:
                ctx.save_for_backward(a, y, b)
            return y

        @staticmethod
        def backward(ctx, grad_output):
            a, y, b = (ctx.a, ctx.y, ctx.b) if form == "attributes" else ctx.saved_values
            return spoil(grad_output * np.exp(b), mistake), grad_output * y

    subject = (MulExp.forward, MulExp.backward) if form == "functions" else MulExp
    report = check(not mistake, subject, X, RNG.normal(size=X.shape))
    assert report["b"].verdict == "right"


@pytest.mark.parametrize("mistake", MISTAKES)
def test_tinygrads_function_keeps_what_it_needs_in_itself(mistake):
    class Function:
        def __init__(self, device, *tensors):
            self.device, self.needs_input_grad = device, [True for _ in tensors]

    class Sigmoid(Function):
        def forward(self, x):
            self.ret = sigmoid(x)
            return self.ret

        def backward(self, grad_output):
            return spoil(self.ret * (1 - self.ret) * grad_output, mistake)

    check(not mistake, Sigmoid("CPU", X), X)
    with pytest.raises(TypeError, match=r"check_gradients\(Sigmoid\(device=...\), x\)"):
        check_gradients(Sigmoid, X)


@pytest.mark.parametrize("mistake", MISTAKES)
def test_an_elementwise_function_and_its_derivative(mistake):
    def sigmoid_prime(z):
        return spoil(sigmoid(z) * (1 - sigmoid(z)), mistake)

    def square(x):
        return x**2

    check(not mistake, (sigmoid, sigmoid_prime), X)
    check(not mistake, (sigmoid, lambda a: spoil(a * (1 - a), mistake)), X)
    check(not mistake, (square, lambda x: spoil(2 * x, mistake)), X)
    check(not mistake, (np.tanh, lambda x: spoil(1 - np.tanh(x) ** 2, mistake)), X)
    check(False, (sigmoid, lambda z: z * (1 - z)), X)  # a derivative taken at the wrong value
    check(not mistake, (lambda x: 2 * x, lambda dout: spoil(2 * dout, mistake)), X)  # a backward, not a derivative


@pytest.mark.parametrize("mistake", MISTAKES)
def test_an_activation_whose_backward_takes_the_input_and_returns_the_derivatives(mistake):
    class Sigmoid:
        def forward(self, z):
            return sigmoid(z)

        def backward(self, z):
            return spoil(sigmoid(z) * (1 - sigmoid(z)), mistake)

    class ReLU:
        def forward(self, x):
            self.mask = x > 0
            return x * self.mask

        def backward(self, x):  # here x is dy: the result is linear
            return spoil(x * self.mask, mistake)

    layer = Sigmoid()
    check(not mistake, layer, X)
    check(not mistake, (layer.forward, layer.backward), X)
    check(not mistake, ReLU(), X)

    class Forgotten(Sigmoid):
        def backward(self, dz):  # by its name, the argument is dy
            return sigmoid(dz) * (1 - sigmoid(dz))

    check(False, Forgotten(), X)

    class IgnoresTheGradient:
        def forward(self, x):
            self.y = sigmoid(x)
            return self.y

        def backward(self, x):  # x is dy, but the result does not depend on it
            return self.y * (1 - self.y)

    check(False, IgnoresTheGradient(), X)


@pytest.mark.parametrize("mistake", MISTAKES)
@pytest.mark.parametrize("elementwise", [True, False])
def test_a_loss_with_its_gradient(mistake, elementwise):
    class SquareLoss:
        def loss(self, y, y_pred):
            parts = 0.5 * (y - y_pred) ** 2
            return parts if elementwise else parts.sum()

        def gradient(self, y, y_pred):
            return spoil(y_pred - y, mistake)

    report = check(not mistake, SquareLoss(), RNG.normal(size=(4, 2)), RNG.normal(size=(4, 2)))
    assert list(report.entries) == ["y_pred"]


@pytest.mark.parametrize("mistake", MISTAKES)
def test_a_loss_and_its_derivative_that_take_the_targets_first(mistake):
    def mse(y_true, y_pred):
        return np.mean((y_true - y_pred) ** 2)

    def mse_prime(y_true, y_pred):
        return spoil(2 * (y_pred - y_true) / y_true.size, mistake)

    report = check(not mistake, (mse, mse_prime), RNG.normal(size=(4, 2)), RNG.normal(size=(4, 2)))
    assert list(report.entries) == ["y_pred"]


@pytest.mark.parametrize("mistake", MISTAKES)
@pytest.mark.parametrize("method", [True, False])
def test_a_classifier_whose_loss_returns_the_gradient_of_its_weights(mistake, method):
    class LinearClassifier:
        def __init__(self):
            self.W = RNG.normal(size=(3, 4))

        def loss(self, X_batch, y_batch, reg):
            p = softmax(X_batch @ self.W)
            n = np.arange(len(y_batch))
            d = p.copy()
            d[n, y_batch] -= 1
            dW = X_batch.T @ d / len(n) + 2 * reg * self.W
            return -np.log(p[n, y_batch]).mean() + reg * np.sum(self.W**2), spoil(dW, mistake)

    model = LinearClassifier()
    report = check(not mistake, model.loss if method else model, X, np.array([0, 1, 3, 2, 0]), 0.1)
    assert list(report.entries) == ["W"]


@pytest.mark.parametrize("mistake", MISTAKES)
def test_a_layer_that_appends_what_it_keeps_to_lists(mistake):
    class FullyConnected:
        def __init__(self):
            self.parameters, self.gradients = {"W": RNG.normal(size=(3, 2))}, {"W": np.zeros((3, 2))}
            self.X = []

        def forward(self, X, retain_derived=True):
            if retain_derived:
                self.X.append(X)
            return X @ self.parameters["W"]

        def backward(self, dLdy, retain_grads=True):
            dX = []
            for dy, x in zip([dLdy], self.X, strict=False):
                self.gradients["W"] += spoil(x.T @ dy, mistake)
                dX.append(dy @ self.parameters["W"].T)
            return dX[0] if len(self.X) == 1 else dX

    check(not mistake, FullyConnected(), X)


@pytest.mark.parametrize("factor", [1, 2])
def test_a_cell_that_returns_the_gradient_of_a_vector_as_one_row(factor):
    """As in CMU's course 11-785: forward takes the vectors x and h, and backward returns matrices with one row."""

    class Cell:
        def __init__(self):
            self.W, self.U = RNG.normal(size=(4, 3)), RNG.normal(size=(4, 4))

        def forward(self, x, h):
            self.x, self.h = x, h
            self.y = np.tanh(self.W @ x + self.U @ h)
            return self.y

        def backward(self, delta):
            d = np.atleast_2d(delta) * (1 - self.y**2)
            self.dW, self.dU = d.T @ self.x[None], d.T @ self.h[None]
            return factor * d @ self.W, d @ self.U

    report = check(factor == 1, Cell(), RNG.normal(size=3), RNG.normal(size=4))
    assert report["h"].verdict == "right" and report["x"].shape == (3,)
    assert any("it has an extra first axis" in note for note in report.notes)


@pytest.mark.parametrize("mistake", MISTAKES)
def test_a_backward_that_returns_the_lists_of_all_gradients(mistake):
    class Network:
        def __init__(self):
            self.Ws = [RNG.normal(size=(3, 3)), RNG.normal(size=(3, 2))]
            self.bs = [RNG.normal(size=3), RNG.normal(size=2)]

        def forward(self, x):
            self.a = [x]
            for W, b in zip(self.Ws, self.bs, strict=True):
                self.a.append(np.tanh(self.a[-1] @ W + b))
            return self.a[-1]

        def backward(self, dy):
            dWs, dbs = [], []
            for k in (1, 0):
                dz = dy * (1 - self.a[k + 1] ** 2)
                dWs.insert(0, self.a[k].T @ dz)
                dbs.insert(0, dz.sum(axis=0))
                dy = dz @ self.Ws[k].T
            return [spoil(dWs[0], mistake), dWs[1]], dbs

    report = check(not mistake, Network(), X)
    assert sorted(report.entries) == ["Ws[0]", "Ws[1]", "bs[0]", "bs[1]"]


@pytest.mark.parametrize("mistake", MISTAKES)
def test_a_layer_with_an_inner_layer_that_appends_its_values_to_lists(mistake):
    """The lists of attention weights are no weights, and each backward needs the lists of one forward."""

    class Softmax:
        def __init__(self):
            self.probabilities = []

        def forward(self, scores):
            e = np.exp(scores - scores.max(axis=-1, keepdims=True))
            self.probabilities.append(e / e.sum(axis=-1, keepdims=True))
            return self.probabilities[-1]

        def backward(self, dy):
            p = self.probabilities.pop(0)
            assert not self.probabilities, "backward needs one forward"
            return p * (dy - (dy * p).sum(axis=-1, keepdims=True))

    class Attention:
        def __init__(self):
            self.softmax, self.kept = Softmax(), {"attention_weights": []}

        def forward(self, q, v):
            self.kept["attention_weights"].append(self.softmax.forward(q @ v.T))
            self.q, self.v = q, v
            return self.kept["attention_weights"][-1] @ v

        def backward(self, dy):
            ds = self.softmax.backward(dy @ self.v.T)
            return spoil(ds @ self.v, mistake), self.kept["attention_weights"].pop(0).T @ dy + ds.T @ self.q

    report = check(not mistake, Attention(), X, RNG.normal(size=(4, 3)))
    assert sorted(report.entries) == ["q", "v"]


@pytest.mark.parametrize("mistake", MISTAKES)
def test_a_backward_that_takes_the_gradient_of_the_first_output_only(mistake):
    class Cell:
        def __init__(self):
            self.W = RNG.normal(size=(3, 3))

        def forward(self, x):
            self.c = np.tanh(x @ self.W)
            self.x = x
            return 2 * self.c, self.c

        def backward(self, dh):
            d = 2 * dh * (1 - self.c**2)
            self.dW = spoil(self.x.T @ d, mistake)
            return d @ self.W.T

    report = check(not mistake, Cell(), X)
    assert any("1 of 2 outputs" in note for note in report.notes)


@pytest.mark.parametrize("mistake", MISTAKES)
def test_one_function_with_a_flag_for_its_derivative(mistake):
    def nonlin(x, deriv=False):
        return spoil(x * (1 - x), mistake) if deriv else sigmoid(x)

    check(not mistake, nonlin, X)


@pytest.mark.parametrize("mistake", MISTAKES)
def test_a_cost_and_its_prime_that_returns_the_gradients_of_the_weights(mistake):
    class NeuralNetwork:
        def __init__(self):
            self.W1, self.W2 = RNG.normal(size=(3, 4)), RNG.normal(size=(4, 1))

        def forward(self, X):
            self.a2 = sigmoid(X @ self.W1)
            return sigmoid(self.a2 @ self.W2)

        def costFunction(self, X, y):
            return 0.5 * np.sum((y - self.forward(X)) ** 2)

        def costFunctionPrime(self, X, y):
            out = self.forward(X)
            d = -(y - out) * out * (1 - out)
            return spoil(X.T @ (d @ self.W2.T * self.a2 * (1 - self.a2)), mistake), self.a2.T @ d

    net = NeuralNetwork()
    report = check(not mistake, (net.costFunction, net.costFunctionPrime), X, RNG.normal(size=(5, 1)))
    assert list(report.entries) == ["W1", "W2"] and report["W2"].verdict == "right"


@pytest.mark.parametrize("mistake", MISTAKES)
def test_one_loss_for_each_sample_and_a_method_derivative(mistake):
    class SoftmaxCrossEntropy:
        def __call__(self, x, y):
            return self.forward(x, y)

        def forward(self, x, y):
            self.labels, self.probs = y, softmax(x)
            return -(y * np.log(self.probs)).sum(axis=1)

        def derivative(self):
            return spoil(self.probs - self.labels, mistake)

    report = check_gradients(SoftmaxCrossEntropy(), X, np.eye(3)[[0, 1, 2, 1, 0]], only=["x"], diagnose=False)
    assert report.verdict == ("wrong" if mistake else "right"), report.text()


@pytest.mark.parametrize("factor", [1, 2])
def test_running_averages_that_forward_replaces(factor):
    def batchnorm_forward(x, gamma, bn_param):
        mean, s = x.mean(axis=0), np.sqrt(x.var(axis=0) + 1e-5)
        bn_param["running_mean"] = 0.9 * bn_param["running_mean"] + 0.1 * mean
        xhat = (x - mean) / s
        return gamma * xhat, (xhat, gamma, s)

    def batchnorm_backward(dout, cache):
        xhat, gamma, s = cache
        g = dout * gamma
        return (g - g.mean(axis=0) - xhat * (g * xhat).mean(axis=0)) / s, factor * (dout * xhat).sum(axis=0)

    bn_param = {"mode": "train", "running_mean": np.zeros(3)}
    check(factor == 1, (batchnorm_forward, batchnorm_backward), X, RNG.normal(size=3), bn_param)


@pytest.mark.parametrize("factor", [1, 2])
def test_a_loss_method_may_take_the_targets_only(factor):
    class Logistic:
        def __init__(self):
            self.w, self.b = np.array([[0.3], [-0.7], [0.2]]), 0.1

        def forward(self, X):
            self.X = X
            self.a = 1 / (1 + np.exp(-(X @ self.w + self.b)))
            return self.a

        def loss(self, y):
            return -np.mean(y * np.log(self.a) + (1 - y) * np.log(1 - self.a))

        def backward(self, y):
            self.dw, self.db = factor * self.X.T @ (self.a - y) / len(y), np.mean(self.a - y)

    X, y = np.random.default_rng(0).normal(size=(4, 3)), np.array([[0.0], [1.0], [1.0], [0.0]])
    assert check_gradients(Logistic(), X, y, diagnose=False).ok == (factor == 1)


def test_a_network_that_holds_its_data_and_updates_itself_is_refused():
    class Network:
        def __init__(self):
            self.weights = np.ones((3, 1))

        def feedforward(self):
            return np.ones((4, 3)) @ self.weights

        def backprop(self):
            self.weights += 0.1

    with pytest.raises(TypeError, match=r"Network.backprop\(\) takes no arguments.*check_gradients\(\(forward, loss"):
        check_gradients(Network())


@pytest.mark.parametrize("with_gradient", [True, False])
def test_a_weight_that_changes_only_an_unchecked_output_needs_a_gradient(with_gradient):
    """The encoder of a VAE: backward takes the gradient of mu only, so logvar = x V is not checked."""

    class Encoder:
        def __init__(self):
            self.W, self.V = RNG.normal(size=(3, 2)), RNG.normal(size=(3, 2))

        def forward(self, x):
            self.x = x
            return x @ self.W, x @ (self.W if with_gradient else self.V)

        def backward(self, dmu):
            self.dW = self.x.T @ dmu
            return dmu @ self.W.T

    report = check_gradients(Encoder(), X)
    assert report.verdict == ("right" if with_gradient else "incomplete")
    assert with_gradient or any("V changes the outputs" in trap.message for trap in report.traps)


def test_the_gradient_of_a_bias_among_the_inputs_has_no_row_axis():
    """``b -= lr * db`` is an error in NumPy if b is a vector and db is a matrix."""
    w, b = RNG.normal(size=(X.shape[1], 2)), RNG.normal(size=2)
    for keepdims, verdict in ((False, "right"), (True, "wrong")):

        def backward(dy, cache, keepdims=keepdims):
            x, w = cache
            return dy @ w.T, x.T @ dy, dy.sum(axis=0, keepdims=keepdims)

        report = check_gradients((lambda x, w, b: (x @ w + b, (x, w)), backward), X, w, b)
        assert report["b"].verdict == verdict
