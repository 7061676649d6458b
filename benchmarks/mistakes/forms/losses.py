"""Functions that return a loss and its gradients, and classes of losses."""

from __future__ import annotations

import numpy as np

from .variants import normal, variants

FORM = "losses"
LABELS = np.array([0, 2, 1, 1, 0])


@variants(
    FORM,
    not_divided_by_n="scaled by a constant",
    divided_twice="scaled by a constant",
    minus_one_forgotten="target's share missing",
    labels_one_off="target one off",
    plus_one="sign flipped",
    softmax_derivative_applied="activation's derivative applied twice",
    log_probabilities=("the wrong array used", "activation's derivative missing", "activation's derivative wrong"),
)
def softmax_loss(kind):
    def loss(x, y):
        shifted = x - np.max(x, axis=1, keepdims=True)
        Z = np.sum(np.exp(shifted), axis=1, keepdims=True)
        log_probs = shifted - np.log(Z)
        N = x.shape[0]
        value = -np.sum(log_probs[np.arange(N), y]) / N
        dx = log_probs.copy() if kind == "log_probabilities" else np.exp(log_probs)
        rows = np.arange(N)
        if kind == "labels_one_off":
            dx[rows, (y + 1) % 3] -= 1
        elif kind == "plus_one":
            dx[rows, y] += 1
        elif kind != "minus_one_forgotten":
            dx[rows, y] -= 1
        if kind == "softmax_derivative_applied":
            p = np.exp(log_probs)
            dx = dx * p * (1 - p)
        if kind != "not_divided_by_n":
            dx /= N
        if kind == "divided_twice":
            dx /= N
        return value, dx

    return loss, (normal(1, 5, 3), LABELS), {}


@variants(
    FORM,
    own_class_not_counted=("a path missing", "target's share missing"),
    not_divided_by_n="scaled by a constant",
    no_regularisation="weight decay's share wrong",
    regularisation_twice="weight decay's share wrong",
    mask_forgotten="mask not applied",
    one_example="one sample counted",
    own_class_once=(
        "counted twice",
        "scaled by a constant",
        "a factor missing",
        "a path missing",
        "upstream gradient wrong",
    ),
)
def svm_loss(kind):
    def svm(W, X, y, reg):
        N = X.shape[0]
        scores = X.dot(W)
        correct = scores[np.arange(N), y][:, np.newaxis]
        margins = np.maximum(0, scores - correct + 1)
        margins[np.arange(N), y] = 0
        loss = np.sum(margins) / N + reg * np.sum(W * W)
        binary = (margins > 0).astype(float)
        if kind == "mask_forgotten":
            binary = np.ones_like(margins)
            binary[np.arange(N), y] = 0
        if kind == "own_class_once":
            binary[np.arange(N), y] = -1
        elif kind != "own_class_not_counted":
            binary[np.arange(N), y] = -binary.sum(axis=1)
        dW = X.T.dot(binary)
        if kind == "one_example":
            dW = np.outer(X[-1], binary[-1])
        if kind != "not_divided_by_n":
            dW = dW / N
        if kind != "no_regularisation":
            dW += (4 if kind == "regularisation_twice" else 2) * reg * W
        return loss, dW

    return svm, (normal(2, 4, 3), normal(3, 6, 4), np.array([0, 2, 1, 1, 0, 2]), 0.3), {}


@variants(
    FORM,
    two_forgotten="scaled by a constant",
    n_forgotten="scaled by a constant",
    target_minus_prediction="sign flipped",
    target_forgotten="target's share missing",
    absolute=("activation's derivative wrong", "upstream gradient wrong", "a factor missing"),
    dw_of_one_example="one sample counted",
    bias_not_summed=("sum over the batch missing", "broadcast axis not summed"),
    x_forgotten=("upstream gradient missing", "a factor missing"),
)
def linear_regression(kind):
    X, t = normal(4, 6, 3), normal(5, 6)

    def loss_and_gradient(w, b):
        prediction = X @ w + b
        error = prediction - t
        loss = np.mean(error**2)
        d = (2 if kind != "two_forgotten" else 1) * error / len(t)
        if kind == "n_forgotten":
            d = 2 * error
        if kind == "target_minus_prediction":
            d = 2 * (t - prediction) / len(t)
        if kind == "target_forgotten":
            d = 2 * prediction / len(t)
        if kind == "absolute":
            d = 2 * np.abs(error) / len(t)
        dw = X.T @ d
        if kind == "dw_of_one_example":
            dw = X[0] * d[0]
        if kind == "x_forgotten":
            dw = np.ones(X.shape).T @ d
        db = np.array([d]).T if kind == "bias_not_summed" else np.array([d.sum()])
        return loss, (dw, db)

    return loss_and_gradient, (normal(6, 3), normal(7, 1)), {}


@variants(
    FORM,
    sigmoid_derivative_again="activation's derivative applied twice",
    y_minus_a="sign flipped",
    not_divided="scaled by a constant",
    label_forgotten="target's share missing",
    sigmoid_of_a="derivative taken at the wrong value",
)
def logistic_regression_in_a_dictionary(kind):
    X, Y = normal(8, 3, 7), (normal(9, 1, 7) > 0).astype(float)

    def propagate(w, b):
        m = X.shape[1]
        A = 1 / (1 + np.exp(-(np.dot(w.T, X) + b)))
        cost = -np.sum(Y * np.log(A) + (1 - Y) * np.log(1 - A)) / m
        dZ = A - Y
        if kind == "sigmoid_derivative_again":
            dZ = (A - Y) * A * (1 - A)
        if kind == "y_minus_a":
            dZ = Y - A
        if kind == "label_forgotten":
            dZ = A
        if kind == "sigmoid_of_a":
            dA = (A - Y) / (A * (1 - A))
            s = 1 / (1 + np.exp(-A))
            dZ = dA * s * (1 - s)
        scale = 1 if kind == "not_divided" else 1 / m
        dw = scale * np.dot(X, dZ.T)
        db = scale * np.sum(dZ, keepdims=True)
        return {"dw": dw, "db": db}, cost

    return propagate, (normal(10, 3, 1), np.array([[0.3]])), {}


@variants(
    FORM,
    clip_forgotten=("mask not applied", "activation's derivative wrong"),
    delta_forgotten=("scaled by a constant", "a factor missing", "activation's derivative wrong"),
    linear_everywhere=("mask not applied", "activation's derivative wrong", "another mask applied"),
    sign_everywhere=("activation's derivative wrong", "another mask applied"),
    not_averaged="scaled by a constant",
)
def huber(kind):
    class HuberLoss:
        def __init__(self, delta):
            self.delta = delta

        def forward(self, pred, target):
            self.r = pred - target
            small = np.abs(self.r) <= self.delta
            losses = np.where(small, 0.5 * self.r**2, self.delta * (np.abs(self.r) - 0.5 * self.delta))
            return np.mean(losses)

        def backward(self):
            n = self.r.size
            small = np.abs(self.r) <= self.delta
            grad = np.where(small, self.r, self.delta * np.sign(self.r))
            if kind in ("clip_forgotten", "linear_everywhere"):
                grad = self.r
            if kind == "delta_forgotten":
                grad = np.where(small, self.r, np.sign(self.r))
            if kind == "sign_everywhere":
                grad = self.delta * np.sign(self.r)
            return grad if kind == "not_averaged" else grad / n

    return HuberLoss(0.7), (normal(11, 6, 2), normal(12, 6, 2)), {}


@variants(
    FORM,
    second_term_forgotten=("a path missing", "target's share missing"),
    sign_of_the_second_term=("sign flipped",),
    not_averaged="scaled by a constant",
    a_forgotten=("a factor missing", "divided instead of multiplied", "upstream gradient missing"),
    target_forgotten=("target's share missing",),
)
def binary_cross_entropy(kind):
    class BCELoss:
        def forward(self, p, y):
            self.p, self.y = p, y
            return -(y * np.log(p) + (1 - y) * np.log(1 - p)).mean()

        def backward(self):
            p, y = self.p, self.y
            g = -(y / p) + (1 - y) / (1 - p)
            if kind == "second_term_forgotten":
                g = -(y / p)
            if kind == "sign_of_the_second_term":
                g = -(y / p) - (1 - y) / (1 - p)
            if kind == "a_forgotten":
                g = -y + (1 - y)
            if kind == "target_forgotten":
                g = 1 / (1 - p)
            return g if kind == "not_averaged" else g / p.size

    p = 1 / (1 + np.exp(-normal(13, 5, 2)))
    return BCELoss(), (p, (normal(14, 5, 2) > 0).astype(float)), {}


@variants(
    FORM,
    mu_forgotten=("a path missing", "weight decay's share wrong"),
    half_forgotten=("counted twice", "scaled by a constant"),
    minus_one_forgotten=("a path missing", "target's share missing"),
    noise_forgotten=("a factor missing", "upstream gradient missing", "the wrong array used"),
    half_of_the_noise=("scaled by a constant", "a factor missing", "counted twice"),
)
def variational_sample_and_kl(kind):
    eps, t = normal(15, 4, 3), normal(16, 4, 3)

    def elbo(mu, logvar):
        sigma = np.exp(0.5 * logvar)
        z = mu + sigma * eps
        rec = np.sum((z - t) ** 2)
        kl = -0.5 * np.sum(1 + logvar - mu**2 - np.exp(logvar))
        dz = 2 * (z - t)
        dmu = dz + (0 if kind == "mu_forgotten" else mu)
        dsigma = dz * (1 if kind == "noise_forgotten" else eps)
        dlogvar = dsigma * sigma * (1 if kind == "half_of_the_noise" else 0.5)
        half = 1 if kind == "half_forgotten" else 0.5
        one = 0 if kind == "minus_one_forgotten" else 1
        dlogvar = dlogvar + half * (np.exp(logvar) - one)
        return rec + kl, (dmu, dlogvar)

    return elbo, (normal(17, 4, 3), normal(18, 4, 3)), {}


@variants(
    FORM,
    negative_sign="sign flipped",
    negatives_forgotten="a path missing",
    context_from_context="the wrong array used",
    rows_overwritten="rows met twice counted once",
    sigmoid_minus_one_forgotten=("target's share missing", "a path missing", "scaled by a constant"),
)
def word2vec_negative_sampling(kind):
    centre, outside, negatives = 2, 4, np.array([1, 3, 3, 0])

    def loss(V, U):
        v, u, K = V[centre], U[outside], U[negatives]
        s = 1 / (1 + np.exp(-(u @ v)))
        sn = 1 / (1 + np.exp(-(K @ v)))
        value = -np.log(s) - np.sum(np.log(1 - sn))
        dV, dU = np.zeros_like(V), np.zeros_like(U)
        a = s if kind == "sigmoid_minus_one_forgotten" else s - 1
        dv = a * u
        if kind == "negative_sign":
            dv = dv - K.T @ sn
        elif kind != "negatives_forgotten":
            dv = dv + K.T @ sn
        dV[centre] = dv
        dU[outside] += a * (u if kind == "context_from_context" else v)
        if kind == "rows_overwritten":
            dU[negatives] += np.outer(sn, v)
        else:
            for k, n in enumerate(negatives):
                dU[n] += sn[k] * v
        return value, dV, dU

    return loss, (normal(19, 5, 4), normal(20, 6, 4)), {}
