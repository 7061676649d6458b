"""Code in Python numbers: micrograd's Value, lists of numbers, and functions of one variable with their slope."""

from __future__ import annotations

import math

import numpy as np

from .variants import variants

FORM = "numbers"


def value_class(kind):
    """Build a class like micrograd's, in our own words."""

    class Value:
        def __init__(self, data, children=()):
            self.data, self.grad = data, 0.0
            self.children = children
            self.push = lambda: None

        def __add__(self, other):
            other = other if isinstance(other, Value) else Value(other)
            out = Value(self.data + other.data, (self, other))

            def push():
                if kind == "add_assigns":
                    self.grad = out.grad
                    other.grad = out.grad
                else:
                    self.grad += out.grad
                    other.grad += out.grad

            out.push = push
            return out

        def __mul__(self, other):
            other = other if isinstance(other, Value) else Value(other)
            out = Value(self.data * other.data, (self, other))

            def push():
                if kind == "mul_own_factor":
                    self.grad += self.data * out.grad
                    other.grad += other.data * out.grad
                elif kind == "mul_assigns":
                    self.grad = other.data * out.grad
                    other.grad = self.data * out.grad
                elif kind == "mul_without_upstream":
                    self.grad += other.data
                    other.grad += self.data
                elif kind == "mul_second_forgotten":
                    self.grad += other.data * out.grad
                else:
                    self.grad += other.data * out.grad
                    other.grad += self.data * out.grad

            out.push = push
            return out

        def __pow__(self, n):
            out = Value(self.data**n, (self,))

            def push():
                slope = self.data ** (n - 1) if kind == "pow_exponent_forgotten" else n * self.data ** (n - 1)
                self.grad += slope * out.grad

            out.push = push
            return out

        def tanh(self):
            t = math.tanh(self.data)
            out = Value(t, (self,))

            def push():
                slope = {
                    "tanh_slope_not_squared": 1 - t,
                    "tanh_slope_forgotten": 1,
                    "tanh_slope_of_x": 1 - self.data**2,
                }
                self.grad += slope.get(kind, 1 - t**2) * out.grad

            out.push = push
            return out

        def exp(self):
            out = Value(math.exp(self.data), (self,))

            def push():
                self.grad += (self.data if kind == "exp_slope_is_x" else out.data) * out.grad

            out.push = push
            return out

        def relu(self):
            out = Value(0.0 if self.data < 0 else self.data, (self,))

            def push():
                self.grad += out.grad if kind == "relu_passes_all" else (out.data > 0) * out.grad

            out.push = push
            return out

        def __sub__(self, other):
            out = Value(self.data - other.data, (self, other))

            def push():
                self.grad += out.grad
                other.grad += out.grad if kind == "sub_sign" else -out.grad

            out.push = push
            return out

        def __neg__(self):
            return self * -1

        def __radd__(self, other):
            return self + other

        def __rmul__(self, other):
            return self * other

        def backward(self):
            order, seen = [], set()

            def visit(v):
                if id(v) not in seen or kind == "visited_twice":
                    seen.add(id(v))
                    for child in v.children:
                        visit(child)
                    order.append(v)

            visit(self)
            self.grad = 1.0
            for v in reversed(order):
                v.push()

    return Value


@variants(
    FORM,
    mul_assigns="a path missing",
    add_assigns="a path missing",
    mul_own_factor=("the wrong array used", "two gradients exchanged"),
    mul_without_upstream="upstream gradient missing",
    mul_second_forgotten=("gradient never computed", "a path missing"),
    tanh_slope_not_squared="activation's derivative wrong",
    tanh_slope_forgotten="activation's derivative missing",
    tanh_slope_of_x="derivative taken at the wrong value",
    visited_twice="counted twice",
)
def micrograd_expression(kind):
    Value = value_class(kind)

    def f(a, b, c):
        d = (a * b + c).tanh()
        e = d * c
        return e + d * a

    return f, (Value(0.8), Value(-0.5), Value(0.7)), {}


@variants(
    FORM,
    pow_exponent_forgotten=(
        "scaled by a constant",
        "a factor missing",
        "a derivative wrong",
        "activation's derivative wrong",
    ),
    exp_slope_is_x=("activation's derivative wrong", "derivative taken at the wrong value"),
    sub_sign="sign flipped",
)
def micrograd_powers(kind):
    Value = value_class(kind)

    def f(a, b):
        return (a - b) ** 3 + (a * b).exp()

    return f, (Value(1.2), Value(0.4)), {}


@variants(
    FORM,
    tanh_slope_not_squared="activation's derivative wrong",
    relu_passes_all="mask not applied",
    mul_second_forgotten=("gradient never computed", "a path missing"),
)
def micrograd_neuron(kind):
    Value = value_class(kind)

    class Neuron:
        def __init__(self):
            self.w = [Value(v) for v in (0.5, -0.8, 0.3)]
            self.b = Value(0.1)

        def __call__(self, x):
            total = self.b
            for w, v in zip(self.w, x, strict=True):
                total = total + w * v
            hidden = total.tanh() if kind.startswith("tanh") else total.relu()
            return hidden * self.w[0] + hidden

        def parameters(self):
            return [*self.w, self.b]

    x = [Value(1.1), Value(-0.4 if kind != "relu_passes_all" else 2.4), Value(0.9)]
    return Neuron(), (x,), {}


@variants(
    FORM,
    upstream_forgotten="upstream gradient missing",
    slope_forgotten="activation's derivative missing",
    slope_not_squared="activation's derivative wrong",
    last_forgotten=("the last round of the loop not counted", "a path missing"),
    sign="sign flipped",
)
def tanh_of_a_list(kind):
    def forward(x):
        out = [math.tanh(v) for v in x]
        return out, out

    def backward(d, out):
        g = [a * (1 - t * t) for a, t in zip(d, out, strict=True)]
        if kind == "upstream_forgotten":
            g = [1 - t * t for t in out]
        if kind == "slope_forgotten":
            g = list(d)
        if kind == "slope_not_squared":
            g = [a * (1 - t) for a, t in zip(d, out, strict=True)]
        if kind == "last_forgotten":
            g[-1] = 0.0
        if kind == "sign":
            g = [-v for v in g]
        return g

    return (forward, backward), ([0.4, -1.1, 0.25, 2.0],), {}


@variants(
    FORM,
    n_forgotten="scaled by a constant",
    x_forgotten="a factor missing",
    last_example_only="one sample counted",
    sigmoid_slope_added="activation's derivative applied twice",
    sign="sign flipped",
    bias_of_one_example="one sample counted",
)
def logistic_regression_in_lists(kind):
    xs = [[0.5, -1.2], [1.5, 0.3], [-0.7, 0.8], [0.2, 1.1]]
    ts = [1, 0, 1, 0]

    def loss(w, b):
        total, dw, db = 0.0, [0.0, 0.0], 0.0
        n = len(xs)
        for x, t in zip(xs, ts, strict=True):
            z = w[0] * x[0] + w[1] * x[1] + b
            p = 1 / (1 + math.exp(-z))
            total += -(t * math.log(p) + (1 - t) * math.log(1 - p)) / n
            e = (p - t) / (1 if kind == "n_forgotten" else n)
            if kind == "sigmoid_slope_added":
                e = e * p * (1 - p)
            if kind == "sign":
                e = -e
            step = [e, e] if kind == "x_forgotten" else [e * x[0], e * x[1]]
            dw = step if kind == "last_example_only" else [dw[0] + step[0], dw[1] + step[1]]
            db = e if kind == "bias_of_one_example" else db + e
        return total, (dw, db)

    return loss, ([0.3, -0.6], 0.1), {}


def gaussian(x):
    return np.exp(-(x**2))


@variants(
    FORM,
    inner_forgotten=("a factor missing", "activation's derivative wrong"),
    two_forgotten="scaled by a constant",
    sign="sign flipped",
    of_the_value=("derivative taken at the wrong value", "activation's derivative wrong"),
)
def function_and_its_slope(kind):
    def gaussian_prime(x):
        y = gaussian(x)
        if kind == "inner_forgotten":
            return y
        if kind == "two_forgotten":
            return -x * y
        if kind == "sign":
            return 2 * x * y
        if kind == "of_the_value":
            return -2 * y * gaussian(y)
        return -2 * x * y

    return (gaussian, gaussian_prime), (np.array([0.3, -1.2, 0.8, 1.7, -0.4, 0.9]),), {}


@variants(
    FORM,
    slope_of_the_value=("derivative taken at the wrong value",),
    one_minus_missing="activation's derivative wrong",
    only_one_minus="activation's derivative wrong",
)
def sigmoid_of_a_number(kind):
    def sigmoid(x):
        return 1 / (1 + math.exp(-x))

    def sigmoid_prime(x):
        s = sigmoid(x)
        if kind == "slope_of_the_value":
            s = sigmoid(s)
        if kind == "one_minus_missing":
            return s
        if kind == "only_one_minus":
            return 1 - s
        return s * (1 - s)

    return (sigmoid, sigmoid_prime), (0.7,), {}
