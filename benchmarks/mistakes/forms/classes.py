"""Classes: mytorch, nnfs, Deep Learning from Scratch, Nielsen's network, ctx Functions, layers with a learning rate."""

from __future__ import annotations

import numpy as np

from .variants import normal, variants

FORM = "classes"


def sigmoid(z):
    return 1 / (1 + np.exp(-z))


@variants(
    FORM,
    dLdW_transposed="transposed",
    dLdb_over_features="summed over the wrong axis",
    dLdA_without_W="a factor missing",
    dLdW_from_Z="the wrong array used",
    dLdW_divided_by_N="scaled by a constant",
    one_sample="one sample counted",
    dLdA_transposed="transposed",
    dLdb_zero="gradient never computed",
    sign="sign flipped",
)
def mytorch_linear(kind):
    class Linear:
        def __init__(self, n):
            self.W, self.b = normal(1, n, n), normal(2, n, 1)

        def forward(self, A):
            self.A = A
            self.N = A.shape[0]
            self.Ones = np.ones((self.N, 1))
            self.Z = A @ self.W.T + self.Ones @ self.b.T
            return self.Z

        def backward(self, dLdZ):
            dLdA = dLdZ @ self.W
            if kind == "dLdA_without_W":
                dLdA = dLdZ
            if kind == "dLdA_transposed":
                dLdA = dLdZ @ self.W.T
            self.dLdW = dLdZ.T @ (self.Z if kind == "dLdW_from_Z" else self.A)
            self.dLdb = dLdZ.T @ self.Ones
            if kind == "dLdb_over_features":
                self.dLdb = dLdZ @ self.Ones
            if kind == "dLdW_transposed":
                self.dLdW = self.dLdW.T
            if kind == "dLdW_divided_by_N":
                self.dLdW /= self.N
            if kind == "one_sample":
                self.dLdW = np.outer(dLdZ[0], self.A[0])
            if kind == "dLdb_zero":
                self.dLdb = np.zeros_like(self.b)
            if kind == "sign":
                self.dLdW = -self.dLdW
            return dLdA

    return Linear(4), (normal(3, 4, 4),), {}


@variants(
    FORM,
    statistics_constant="a path missing",
    dLdBW_from_Z="the wrong array used",
    mean_path_forgotten="a path missing",
    variance_not_divided_by_N=("a factor missing", "scaled by a constant"),
    dLdBb_mean="scaled by a constant",
    dLdNZ_without_BW="a factor missing",
)
def mytorch_batchnorm(kind):
    class BatchNorm1d:
        def __init__(self, D, alpha=0.9):
            self.alpha, self.eps = alpha, 1e-8
            self.BW, self.Bb = normal(4, 1, D), normal(5, 1, D)
            self.running_M, self.running_V = np.zeros((1, D)), np.ones((1, D))

        def forward(self, Z):
            self.Z = Z
            self.N = Z.shape[0]
            self.M = np.sum(Z, axis=0, keepdims=True) / self.N
            self.V = np.sum((Z - self.M) ** 2, axis=0, keepdims=True) / self.N
            self.NZ = (Z - self.M) / np.sqrt(self.V + self.eps)
            self.running_M = self.alpha * self.running_M + (1 - self.alpha) * self.M
            self.running_V = self.alpha * self.running_V + (1 - self.alpha) * self.V
            return self.BW * self.NZ + self.Bb

        def backward(self, dLdBZ):
            N = self.N
            self.dLdBW = np.sum(dLdBZ * (self.Z if kind == "dLdBW_from_Z" else self.NZ), axis=0, keepdims=True)
            self.dLdBb = np.sum(dLdBZ, axis=0, keepdims=True)
            if kind == "dLdBb_mean":
                self.dLdBb /= N
            dLdNZ = dLdBZ if kind == "dLdNZ_without_BW" else dLdBZ * self.BW
            root = np.sqrt(self.V + self.eps)
            dLdV = -0.5 * np.sum(dLdNZ * (self.Z - self.M) * (self.V + self.eps) ** -1.5, axis=0, keepdims=True)
            dLdM = -np.sum(dLdNZ / root, axis=0, keepdims=True)
            if kind == "statistics_constant":
                return dLdNZ / root
            if kind == "mean_path_forgotten":
                dLdM = 0
            over = 1 if kind == "variance_not_divided_by_N" else N
            return dLdNZ / root + dLdV * 2 * (self.Z - self.M) / over + dLdM / N

    return BatchNorm1d(3), (normal(6, 5, 3),), {}


@variants(
    FORM,
    hidden_mask_forgotten="mask not applied",
    hidden_mask_of_the_gradient=("another mask applied", "mask not applied"),
    softmax_not_divided_by_the_batch="scaled by a constant",
    softmax_not_minus_one="target's share missing",
    bias_keeps_batch="sum over the batch missing",
    dW_of_the_wrong_layer_input="the wrong array used",
    first_dx_sign="sign flipped",
)
def affine_relu_softmax_with_loss(kind):
    class Affine:
        def __init__(self, W, b, last):
            self.W, self.b, self.last = W, b, last

        def forward(self, x):
            self.x = x
            self.out = np.dot(x, self.W) + self.b
            return self.out

        def backward(self, dout):
            dx = np.dot(dout, self.W.T)
            if kind == "first_dx_sign" and self.last:
                dx = -dx
            wrong = kind == "dW_of_the_wrong_layer_input" and self.last
            self.dW = np.dot((self.out if wrong else self.x).T, dout)
            self.db = dout if kind == "bias_keeps_batch" and self.last else np.sum(dout, axis=0)
            return dx

    class Relu:
        def forward(self, x):
            self.mask = x <= 0
            out = x.copy()
            out[self.mask] = 0
            return out

        def backward(self, dout):
            dout = dout.copy()
            if kind == "hidden_mask_of_the_gradient":
                dout[dout <= 0] = 0
            elif kind != "hidden_mask_forgotten":
                dout[self.mask] = 0
            return dout

    class TwoLayerNet:
        def __init__(self):
            self.layers = [
                Affine(normal(7, 4, 4), normal(8, 4), False),
                Relu(),
                Affine(normal(9, 4, 4), normal(10, 4), True),
            ]

        def forward(self, x, t):
            for layer in self.layers:
                x = layer.forward(x)
            e = np.exp(x - x.max(axis=1, keepdims=True))
            self.y, self.t = e / e.sum(axis=1, keepdims=True), t
            return -np.sum(np.log(self.y[np.arange(len(t)), t])) / len(t)

        def backward(self):
            n = len(self.t)
            dout = self.y.copy()
            if kind != "softmax_not_minus_one":
                dout[np.arange(n), self.t] -= 1
            if kind != "softmax_not_divided_by_the_batch":
                dout = dout / n
            for layer in reversed(self.layers):
                dout = layer.backward(dout)
            return dout

    return TwoLayerNet(), (normal(11, 4, 4), np.array([0, 3, 1, 1])), {}


@variants(
    FORM,
    drelu_everything="mask not applied",
    dweights_not_transposed="transposed",
    dbiases_one_sample="one sample counted",
    sigmoid_slope_at_the_inputs="derivative taken at the wrong value",
    sigmoid_slope_one_minus=("activation's derivative wrong", "a factor missing"),
    loss_not_divided_by_samples="scaled by a constant",
    loss_not_divided_by_outputs="scaled by a constant",
    loss_sign="sign flipped",
)
def nnfs_layers(kind):
    class Layer_Dense:
        def __init__(self, n):
            self.weights, self.biases = normal(12, n, n), normal(13, 1, n)

        def forward(self, inputs):
            self.inputs = inputs
            self.output = np.dot(inputs, self.weights) + self.biases

        def backward(self, dvalues):
            self.dweights = np.dot(self.inputs.T, dvalues)
            if kind == "dweights_not_transposed":
                self.dweights = np.dot(dvalues.T, self.inputs)
            self.dbiases = np.sum(dvalues, axis=0, keepdims=True)
            if kind == "dbiases_one_sample":
                self.dbiases = dvalues[:1]
            self.dinputs = np.dot(dvalues, self.weights.T)

    class Activation_Sigmoid:
        def forward(self, inputs):
            self.inputs = inputs
            self.output = 1 / (1 + np.exp(-inputs))

        def backward(self, dvalues):
            o = self.output
            self.dinputs = dvalues * (1 - o) * o
            if kind == "sigmoid_slope_at_the_inputs":
                self.dinputs = dvalues * (1 - self.inputs) * self.inputs
            if kind == "sigmoid_slope_one_minus":
                self.dinputs = dvalues * (1 - o)

    class Activation_ReLU:
        def forward(self, inputs):
            self.inputs = inputs
            self.output = np.maximum(0, inputs)

        def backward(self, dvalues):
            self.dinputs = dvalues.copy()
            if kind != "drelu_everything":
                self.dinputs[self.inputs <= 0] = 0

    class Model:
        def __init__(self):
            self.dense, self.relu, self.sigmoid = Layer_Dense(4), Activation_ReLU(), Activation_Sigmoid()

        def forward(self, X, y):
            self.dense.forward(X)
            self.relu.forward(self.dense.output)
            self.sigmoid.forward(self.relu.output)
            self.y = y
            return np.mean((y - self.sigmoid.output) ** 2)

        def backward(self):
            out = self.sigmoid.output
            samples, outputs = out.shape
            d = -2 * (self.y - out) / (1 if kind == "loss_not_divided_by_outputs" else outputs)
            d = d if kind == "loss_not_divided_by_samples" else d / samples
            if kind == "loss_sign":
                d = -d
            self.sigmoid.backward(d)
            self.relu.backward(self.sigmoid.dinputs)
            self.dense.backward(self.relu.dinputs)
            return self.dense.dinputs

    return Model(), (normal(14, 5, 4), normal(15, 5, 4)), {}


@variants(
    FORM,
    hidden_slope_at_the_activation=("derivative taken at the wrong value", "activation's derivative wrong"),
    hidden_slope_forgotten="activation's derivative missing",
    output_slope_forgotten="activation's derivative missing",
    next_weights_not_transposed="transposed",
    wrong_activation=("the wrong array used", "shifted by one"),
    target_forgotten="target's share missing",
    sign="sign flipped",
)
def nielsens_network(kind):
    class Network:
        def __init__(self, sizes):
            self.num_layers, self.sizes = len(sizes), sizes
            self.biases = [normal(16 + k, y, 1) for k, y in enumerate(sizes[1:])]
            self.weights = [normal(20 + k, y, x) for k, (x, y) in enumerate(zip(sizes[:-1], sizes[1:], strict=True))]

        def feedforward(self, a):
            for b, w in zip(self.biases, self.weights, strict=True):
                a = sigmoid(np.dot(w, a) + b)
            return a

        def backprop(self, x, y):
            nabla_b = [np.zeros(b.shape) for b in self.biases]
            nabla_w = [np.zeros(w.shape) for w in self.weights]
            activation, activations, zs = x, [x], []
            for b, w in zip(self.biases, self.weights, strict=True):
                z = np.dot(w, activation) + b
                zs.append(z)
                activation = sigmoid(z)
                activations.append(activation)
            slope = sigmoid(zs[-1]) * (1 - sigmoid(zs[-1]))
            error = activations[-1] - (0 if kind == "target_forgotten" else y)
            delta = error if kind == "output_slope_forgotten" else error * slope
            if kind == "sign":
                delta = -delta
            nabla_b[-1] = delta
            nabla_w[-1] = np.dot(delta, activations[-2].transpose())
            for n in range(2, self.num_layers):
                z = activations[-n] if kind == "hidden_slope_at_the_activation" else zs[-n]
                sp = sigmoid(z) * (1 - sigmoid(z))
                if kind == "hidden_slope_forgotten":
                    sp = 1
                w = self.weights[-n + 1]
                delta = np.dot(w if kind == "next_weights_not_transposed" else w.transpose(), delta) * sp
                nabla_b[-n] = delta
                nabla_w[-n] = np.dot(delta, activations[-n if kind == "wrong_activation" else -n - 1].transpose())
            return nabla_b, nabla_w

    return Network([3, 3, 3]), (normal(24, 3, 1), np.array([[1.0], [0.0], [1.0]])), {}


@variants(
    FORM,
    a_for_b="two gradients exchanged",
    grad_forgotten="upstream gradient missing",
    sum_forgotten=("broadcast axis not summed", "sum over the batch missing"),
    b_sign="sign flipped",
)
def ctx_multiply(kind):
    class Mul:
        @staticmethod
        def forward(ctx, a, b):
            ctx.save_for_backward(a, b)
            return a * b

        @staticmethod
        def backward(ctx, grad_output):
            a, b = ctx.saved_tensors
            if kind == "grad_forgotten":
                grad_output = np.ones_like(grad_output)
            da, db = grad_output * b, grad_output * a
            if kind == "a_for_b":
                da, db = db, da
            if kind == "b_sign":
                db = -db
            return da, db

    class MulBroadcast(Mul):
        @staticmethod
        def backward(ctx, grad_output):
            a, b = ctx.saved_tensors
            db = grad_output * a
            return grad_output * b, db if kind == "sum_forgotten" else db.sum(axis=0)

    if kind == "sum_forgotten":
        return MulBroadcast, (normal(25, 3, 4), normal(26, 4)), {}
    return Mul, (normal(25, 3, 4), normal(26, 3, 4)), {}


@variants(
    FORM,
    power_not_lowered=("a derivative wrong", "activation's derivative wrong", "a factor missing"),
    three_forgotten="scaled by a constant",
    log_slope_is_log=("activation's derivative wrong",),
    exp_slope_is_one="activation's derivative missing",
)
def ctx_elementwise(kind):
    class Function:
        def forward(self, ctx, x):
            ctx.save_for_backward(x)
            if kind.startswith("log"):
                return np.log(x)
            return np.exp(x) if kind.startswith("exp") else x**3

        def backward(self, ctx, dy):
            (x,) = ctx.saved_tensors
            if kind.startswith("log"):
                return dy * np.log(x)
            if kind.startswith("exp"):
                return dy
            return dy * {"power_not_lowered": 3 * x**3, "three_forgotten": x**2}.get(kind, 3 * x**2)

    return Function(), (np.random.default_rng(27).uniform(0.5, 2, (3, 4)),), {}


@variants(
    FORM,
    bias_adds=("sign flipped",),
    weights_gradient_of_the_output="the wrong array used",
    tanh_slope_not_squared="activation's derivative wrong",
    input_error_without_weights=("a factor missing",),
    input_error_weights_not_transposed="transposed",
)
def layers_that_learn(kind):
    class FC:
        def __init__(self):
            self.weights, self.bias = normal(28, 3, 3), normal(29, 1, 3)

        def forward(self, x):
            self.input = x
            self.z = np.dot(x, self.weights) + self.bias
            self.output = np.tanh(self.z)
            return self.output

        def backward(self, output_error, learning_rate):
            slope = 1 - self.output if kind == "tanh_slope_not_squared" else 1 - self.output**2
            dz = output_error * slope
            input_error = np.dot(dz, self.weights if kind == "input_error_weights_not_transposed" else self.weights.T)
            if kind == "input_error_without_weights":
                input_error = dz
            weights_error = np.dot((self.output if kind == "weights_gradient_of_the_output" else self.input).T, dz)
            self.weights -= learning_rate * weights_error
            if kind == "bias_adds":
                self.bias += learning_rate * dz.sum(axis=0, keepdims=True)
            else:
                self.bias -= learning_rate * dz.sum(axis=0, keepdims=True)
            return input_error

    return FC(), (normal(30, 4, 3),), {}


@variants(
    FORM,
    inner_factor_forgotten="a factor missing",
    gelu_second_term_forgotten=("a path missing", "a factor missing", "activation's derivative wrong"),
    swish_slope_is_sigmoid=("activation's derivative wrong", "a path missing"),
    elu_slope_of_y="activation's derivative wrong",
    leaky_slope_one=("activation's derivative missing", "mask not applied"),
    leaky_slope_zero=("activation's derivative wrong", "another mask applied"),
)
def activation_classes(kind):
    class Activation:
        def forward(self, x):
            self.x = x
            if kind.startswith("swish"):
                return x * sigmoid(x)
            if kind.startswith("elu"):
                return np.where(x > 0, x, np.exp(x) - 1)
            if kind.startswith("leaky"):
                return np.where(x > 0, x, 0.1 * x)
            self.t = np.tanh(0.79788456 * (x + 0.044715 * x**3))
            return 0.5 * x * (1 + self.t)

        def backward(self, dy):
            x = self.x
            if kind.startswith("swish"):
                return dy * sigmoid(x)
            if kind.startswith("elu"):
                return dy * np.where(x > 0, 1, np.exp(x) - 1)
            if kind.startswith("leaky"):
                return dy * np.where(x > 0, 1, 1.0 if kind == "leaky_slope_one" else 0.0)
            inner = 0.79788456 * (1 + 3 * 0.044715 * x**2)
            if kind == "inner_factor_forgotten":
                inner = 1
            second = 0 if kind == "gelu_second_term_forgotten" else 0.5 * x * (1 - self.t**2) * inner
            return dy * (0.5 * (1 + self.t) + second)

    return Activation(), (normal(31, 4, 3),), {}
