"""Functions in the forms of CS231n and deeplearning.ai: correct code is right, and planted mistakes are caught."""

import numpy as np
import pytest

from nnscratch.gradcheck import check_gradients

RNG = np.random.default_rng(7)
MISTAKES = ("", "scale", "sign", "missing")


def spoil(gradient, mistake):
    """Plant a mistake in one gradient."""
    return {"": gradient, "scale": 3 * gradient, "sign": -gradient, "missing": 0 * gradient}[mistake]


def check(want_right, *arguments, **options):
    report = check_gradients(*arguments, diagnose=False, **options)
    assert report.verdict == ("right" if want_right else "wrong"), report.text()
    return report


def sigmoid(z):
    return 1 / (1 + np.exp(-z))


# --- deeplearning.ai ---


def linear_activation_forward(A_prev, W, b, activation):
    Z = np.dot(W, A_prev) + b
    A = sigmoid(Z) if activation == "sigmoid" else np.maximum(0, Z)
    return A, ((A_prev, W, b), Z)


@pytest.mark.parametrize("mistake", MISTAKES)
@pytest.mark.parametrize("activation", ["sigmoid", "relu"])
def test_one_layer_that_divides_by_the_number_of_columns(mistake, activation):
    def linear_activation_backward(dA, cache, activation):
        (A_prev, W, b), Z = cache
        dZ = dA * sigmoid(Z) * (1 - sigmoid(Z)) if activation == "sigmoid" else dA * (Z > 0)
        m = A_prev.shape[1]
        return np.dot(W.T, dZ), spoil(np.dot(dZ, A_prev.T) / m, mistake), np.sum(dZ, axis=1, keepdims=True) / m

    pair = linear_activation_forward, linear_activation_backward
    for m in (5, 4):  # with m = 4, A_prev is square
        inputs = RNG.normal(size=(4, m)), RNG.normal(size=(3, 4)), RNG.normal(size=(3, 1)), activation
        report = check(not mistake, pair, *inputs, convention="mean")
        assert report["A_prev"].verdict == report["b"].verdict == "right"
        assert f"m = {m}, the number of examples (axis 1)" in str(report)
        check(False, pair, *inputs)  # without the convention, dW and db are 1/m of the derivative


def model_forward(X, parameters):
    caches, A = [], X
    for k in (1, 2):
        A, cache = linear_activation_forward(
            A, parameters[f"W{k}"], parameters[f"b{k}"], "relu" if k == 1 else "sigmoid"
        )
        caches.append(cache)
    return A, caches


def compute_cost(AL, Y):
    return np.squeeze(-np.mean(Y * np.log(AL) + (1 - Y) * np.log(1 - AL)))


def model_backward(mistake):
    def L_model_backward(AL, Y, caches):
        m, grads = AL.shape[1], {}
        dZ = AL - Y
        for k in (2, 1):
            (A_prev, W, b), Z = caches[k - 1]
            if k == 1:
                dZ = grads["dA1"] * (Z > 0)
            grads[f"dW{k}"] = np.dot(dZ, A_prev.T) / m
            grads[f"db{k}"] = np.sum(dZ, axis=1, keepdims=True) / m
            grads[f"dA{k - 1}"] = np.dot(W.T, dZ)
        grads["dW1"] = spoil(grads["dW1"], mistake)
        if mistake == "missing":
            del grads["dW1"]
        return grads

    return L_model_backward


def parameters():
    r = np.random.default_rng(3)
    shapes = {"W1": (4, 3), "b1": (4, 1), "W2": (1, 4), "b2": (1, 1)}
    return {name: r.normal(size=shape) for name, shape in shapes.items()}


X, Y = RNG.normal(size=(3, 6)), np.array([[0, 1, 1, 0, 1, 0]])


@pytest.mark.parametrize("mistake", MISTAKES)
def test_model_cost_and_backward_as_three_functions(mistake):
    subject = model_forward, compute_cost, model_backward(mistake)
    report = check(not mistake, subject, X, parameters(), Y)
    assert report["parameters['W1']"].verdict == ("wrong" if mistake else "right")
    assert report["parameters['b2']"].verdict == "right"


@pytest.mark.parametrize("mistake", MISTAKES)
def test_backward_propagation_called_with_parameters_cache_X_and_Y(mistake):
    def forward_propagation(X, parameters):
        A1 = np.tanh(parameters["W1"] @ X + parameters["b1"])
        A2 = sigmoid(parameters["W2"] @ A1 + parameters["b2"])
        return A2, {"A1": A1, "A2": A2}

    def backward_propagation(parameters, cache, X, Y):
        m = X.shape[1]
        dZ2 = cache["A2"] - Y
        dZ1 = parameters["W2"].T @ dZ2 * (1 - cache["A1"] ** 2)
        return {
            "dW1": dZ1 @ X.T / m,
            "db1": spoil(dZ1.sum(axis=1, keepdims=True) / m, mistake),
            "dW2": dZ2 @ cache["A1"].T / m,
            "db2": dZ2.sum(axis=1, keepdims=True) / m,
        }

    report = check(not mistake, (forward_propagation, compute_cost, backward_propagation), X, parameters(), Y)
    assert report["parameters['W1']"].verdict == "right"


@pytest.mark.parametrize("mistake", MISTAKES)
def test_a_cost_with_its_cache_and_a_backward_of_X_Y_and_cache(mistake):
    def forward_propagation_n(X, Y, parameters):
        AL, caches = model_forward(X, parameters)
        return compute_cost(AL, Y), (AL, caches)

    def backward_propagation_n(X, Y, cache):
        return model_backward(mistake)(cache[0], Y, cache[1])

    check(not mistake, (forward_propagation_n, backward_propagation_n), X, Y, parameters())


@pytest.mark.parametrize("mistake", MISTAKES)
def test_propagate_returns_grads_and_cost(mistake):
    def propagate(w, b, X, Y):
        A = sigmoid(w.T @ X + b)
        grads = {"dw": spoil(X @ (A - Y).T / X.shape[1], mistake), "db": np.sum(A - Y) / X.shape[1]}
        return grads, compute_cost(A, Y)

    report = check(not mistake, propagate, RNG.normal(size=(3, 1)), np.array(0.2), X, Y)
    assert report["b"].verdict == "right"


@pytest.mark.parametrize("mistake", MISTAKES)
def test_a_recurrent_cell_whose_backward_takes_the_gradient_of_one_output(mistake):
    def rnn_cell_forward(xt, a_prev, parameters):
        p = parameters
        a_next = np.tanh(p["Wax"] @ xt + p["Waa"] @ a_prev + p["ba"])
        return a_next, p["Wya"] @ a_next, (a_next, a_prev, xt, parameters)

    def rnn_cell_backward(da_next, cache):
        a_next, a_prev, xt, p = cache
        d = da_next * (1 - a_next**2)
        return {
            "dxt": p["Wax"].T @ d,
            "dWax": d @ xt.T,
            "da_prev": p["Waa"].T @ d,
            "dWaa": spoil(d @ a_prev.T, mistake),
            "dba": d.sum(axis=1, keepdims=True),
        }

    p = {"Wax": (5, 3), "Waa": (5, 5), "ba": (5, 1), "Wya": (2, 5)}
    p = {name: RNG.normal(size=shape) for name, shape in p.items()}
    inputs = RNG.normal(size=(3, 4)), RNG.normal(size=(5, 4)), p
    report = check(not mistake, (rnn_cell_forward, rnn_cell_backward), *inputs)
    assert report["xt"].verdict == report["a_prev"].verdict == "right"
    assert any("1 of 2 outputs" in note for note in report.notes)


# --- CS231n ---


@pytest.mark.parametrize("mistake", MISTAKES)
def test_a_convolution_whose_options_are_a_dictionary(mistake):
    def conv_forward(x, w, b, conv_param):
        s, k = conv_param["stride"], w.shape[1]
        rows = [np.sum(x[:, i : i + k][:, None] * w[None], axis=2) + b for i in range(0, x.shape[1] - k + 1, s)]
        return np.stack(rows, axis=2), (x, w, b, conv_param)

    def conv_backward(dout, cache):
        x, w, b, conv_param = cache
        dx, dw = np.zeros_like(x), np.zeros_like(w)
        for t in range(dout.shape[2]):
            i = t * conv_param["stride"]
            dx[:, i : i + w.shape[1]] += dout[:, :, t] @ w
            dw += dout[:, :, t].T @ x[:, i : i + w.shape[1]]
        return dx, spoil(dw, mistake), dout.sum(axis=(0, 2))

    inputs = RNG.normal(size=(3, 7)), RNG.normal(size=(2, 3)), RNG.normal(size=2), {"stride": 2}
    check(not mistake, (conv_forward, conv_backward), *inputs)


@pytest.mark.parametrize("mistake", MISTAKES)
@pytest.mark.parametrize("method", [True, False])
def test_a_model_with_params_and_its_method_loss(mistake, method):
    class TwoLayerNet:
        def __init__(self):
            self.params = {"W1": RNG.normal(size=(4, 5)), "W2": RNG.normal(size=(5, 3))}
            self.reg = 0.3

        def loss(self, X, y=None):
            h = np.maximum(0, X @ self.params["W1"])
            scores = h @ self.params["W2"]
            if y is None:
                return scores
            p = np.exp(scores - scores.max(axis=1, keepdims=True))
            p /= p.sum(axis=1, keepdims=True)
            loss = -np.mean(np.log(p[np.arange(len(y)), y]))
            loss += 0.5 * self.reg * sum(np.sum(w**2) for w in self.params.values())
            p[np.arange(len(y)), y] -= 1
            d = p / len(y)
            W1, W2 = self.params["W1"], self.params["W2"]
            dW1 = X.T @ (d @ W2.T * (h > 0)) + self.reg * W1
            return loss, {"W2": h.T @ d + self.reg * W2, "W1": spoil(dW1, mistake)}

    model = TwoLayerNet()
    check(not mistake, model.loss if method else model, RNG.normal(size=(6, 4)), np.array([0, 1, 2, 2, 1, 0]))


# --- softmax and loss given apart ---


def softmax(logits):
    e = np.exp(logits - logits.max(axis=1, keepdims=True))
    return e / e.sum(axis=1, keepdims=True)


def cross_entropy(probs, labels):
    return -np.mean(np.log(probs[np.arange(len(labels)), labels]))


@pytest.mark.parametrize("mistake", MISTAKES)
def test_softmax_and_loss_given_apart(mistake):
    def gradient(probs, labels):
        return spoil((probs - np.eye(probs.shape[1])[labels]) / len(labels), mistake)

    check(not mistake, (softmax, cross_entropy, gradient), RNG.normal(size=(4, 3)), np.array([0, 2, 1, 1]))


def test_an_output_that_backward_is_given_by_its_name():
    def forward(x):
        s = sigmoid(x)
        return s

    check(True, (forward, lambda ds, s: ds * s * (1 - s)), X)
    check(False, (forward, lambda ds, s: ds * s * (1 + s)), X)


def test_a_refusal_shows_the_functions_to_write_with_the_users_names():
    def dense_forward(x, w):
        return x @ w

    def dense_backward(dout, x, w, stride, pad):
        return dout @ w.T, x.T @ dout

    with pytest.raises(TypeError) as error:
        check_gradients((dense_forward, dense_backward), X, X.T.copy())
    for words in ("y = dense_forward(x, w)", "return dense_backward(dy, x, w", "stride=...", "# dx, dw"):
        assert words in str(error.value)
    with pytest.raises(TypeError, match=r"loss = dense_forward\(x, w\)"):
        check_gradients(dense_forward, X, X.T.copy())
    with pytest.raises(ValueError, match="convention must be"):
        check_gradients((dense_forward, dense_backward), X, convention="average")


@pytest.mark.parametrize("factor", [1, 2])
def test_a_derivative_may_be_the_jacobian_of_a_vector(factor):
    def softmax(x):
        e = np.exp(x - x.max())
        return e / e.sum()

    def softmax_derivative(x):
        s = softmax(x)[:, None]
        return factor * (np.diagflat(s) - s @ s.T)

    report = check_gradients((softmax, softmax_derivative), np.linspace(-1, 2, 5), diagnose=False)
    assert report.ok == (factor == 1) and any("returns the Jacobian" in note for note in report.notes)


@pytest.mark.parametrize("factor", [1, 2])
def test_a_loss_may_return_the_gradients_of_the_weights_and_then_a_new_state(factor):
    def rnn_loss(ids, targets, h, w_in, w_state, bias):
        new = np.tanh(w_in[:, ids].sum(axis=1, keepdims=True) + w_state @ h + bias)
        da = 2 * (new - targets) * (1 - new**2)
        counts = np.bincount(ids, minlength=w_in.shape[1])
        return np.sum((new - targets) ** 2), factor * da * counts, da @ h.T, da, new

    rng = np.random.default_rng(0)
    shapes = [(3, 1), (3, 1), (3, 5), (3, 3), (3, 1)]
    targets, *rest = [rng.normal(size=shape) for shape in shapes]
    report = check_gradients(rnn_loss, [0, 2, 2], (targets > 0).astype(int), *rest, diagnose=False)
    assert report.ok == (factor == 1) and list(report.entries) == ["w_in", "w_state", "bias"], report


@pytest.mark.parametrize("names", [("t", "y"), ("labels", "Y"), ("y", "t"), ("y", "y_pred"), ("y_hat", "y")])
def test_y_is_the_prediction_beside_targets_of_another_name(names):
    """The gradient of a loss belongs to the prediction, which may be called y and may come last."""
    first, second = names
    prediction = "y_pred" if "y_pred" in names else "y_hat" if "y_hat" in names else "Y" if "Y" in names else "y"
    target = first if prediction == second else second
    scope = {"np": np}
    exec(
        f"def loss({first}, {second}):\n    return np.mean(({first} - {second}) ** 2)\n"
        f"def gradient({first}, {second}):\n    return 2 * ({prediction} - {target}) / len({first})",
        scope,
    )
    report = check_gradients((scope["loss"], scope["gradient"]), RNG.normal(size=5), RNG.normal(size=5))
    assert report.ok and list(report.entries) == [prediction]


class CacheFirst:
    def forward(self, x, w):
        return x @ w, {"x": x, "w": w}

    def backward(self, ctx, dy):
        return dy @ ctx["w"].T, ctx["x"].T @ dy


def residuals_forward(x, w):
    return x @ w, {"x": x, "w": w}


def residuals_backward(res, g):  # the order of JAX's custom_vjp
    return g @ res["w"].T, res["x"].T @ g


@pytest.mark.parametrize("subject", [CacheFirst(), (residuals_forward, residuals_backward)])
def test_the_cache_may_be_the_first_argument_of_backward(subject):
    assert check_gradients(subject, RNG.normal(size=(4, 3)), RNG.normal(size=(3, 2))).ok


class TiedEmbedding:
    """The embedding is also the output layer. There are no float inputs, and backward returns no gradient."""

    def __init__(self):
        self.E = RNG.normal(size=(5, 3))

    def forward(self, ids):
        self.ids, self.h = ids, np.tanh(self.E[ids])
        return self.h @ self.E.T

    def backward(self, dy):
        self.dE = dy.T @ self.h
        np.add.at(self.dE, self.ids, (dy @ self.E) * (1 - self.h**2))


def test_a_backward_without_a_result():
    assert check_gradients(TiedEmbedding(), np.array([0, 2, 2])).ok


@pytest.mark.parametrize("factor", [1, 2, -1])
def test_one_loss_for_each_element_with_its_derivatives(factor):
    def quantile(predictions, outputs, level):
        difference = outputs - predictions
        return np.where(difference > 0, level * difference, (level - 1) * difference)

    def quantile_gradient(predictions, outputs, level):
        return factor * np.where(outputs > predictions, -level, 1 - level)

    rng = np.random.default_rng(0)
    report = check_gradients((quantile, quantile_gradient), *rng.normal(size=(2, 6)), 0.3, diagnose=False)
    assert report["predictions"].verdict == report.verdict == ("right" if factor == 1 else "wrong")

    def quantile_backward(predictions, outputs, level):  # by its name, it must take dy
        return quantile_gradient(predictions, outputs, level)

    report = check_gradients((quantile, quantile_backward), *rng.normal(size=(2, 6)), 0.3, diagnose=False)
    assert report.verdict == "wrong"


def kl_divergence(p, q):
    return np.sum(p * np.log(p / q))


@pytest.mark.parametrize("factor", [1, 2, -1])
def test_the_gradient_of_the_second_argument_of_a_loss(factor):
    p, q = np.random.default_rng(0).uniform(0.1, 0.9, (2, 3, 4))
    report = check_gradients((kl_divergence, lambda p, q: -factor * p / q), p, q, diagnose=False)
    if factor == 1:
        assert report.ok and list(report.entries) == ["q"]
        assert any("the gradient of q, not of p" in note for note in report.notes)
    else:
        assert report.verdict == "wrong"


def test_the_gradient_of_a_difference_belongs_to_the_first_argument():
    """The loss depends on a - b only. Its gradient with a wrong sign is the gradient with respect to the other one."""
    a, b = np.random.default_rng(0).normal(size=(2, 3, 4))
    loss = lambda a, b: np.sum((a - b) ** 2)  # noqa: E731
    assert check_gradients((loss, lambda a, b: 2 * (a - b)), a, b).ok
    report = check_gradients((loss, lambda a, b: 2 * (b - a)), a, b)
    assert report.verdict == "wrong" and report["a"].diagnosis.mistake == "sign flipped"


class Recurrence:
    """h_t = tanh(x_t + W h_(t-1)), with a loss of all states."""

    factor = 1

    def forward(self, x, W, h0):
        states, loss = [h0], 0.0
        for x_t in x:
            states.append(np.tanh(x_t + W @ states[-1]))
            loss = loss + 0.5 * np.sum(states[-1] ** 2)
        return loss, states[-1], (x, W, states)

    def backward(self, dh, cache):
        x, W, states = cache
        dx, dW = np.zeros_like(x), np.zeros_like(W)
        for t in reversed(range(len(x))):
            dz = (states[t + 1] + dh) * (1 - states[t + 1] ** 2)
            dx[t], dh = dz, W.T @ dz
            dW += self.factor * np.outer(dz, states[t])
        return dx, dW, dh


RECURRENT = [np.random.default_rng(k).normal(size=shape) for k, shape in enumerate([(3, 4), (4, 4), (4,)])]


@pytest.mark.parametrize("factor", [1, 2, -1])
@pytest.mark.parametrize("form", ["loss, h", "h, loss", "loss, h; backward(cache)", "loss, h; object"])
def test_a_loss_among_several_outputs(form, factor):
    code = Recurrence()
    code.factor = factor
    if form == "loss, h":
        pair = lambda x, W, h0: code.forward(x, W, h0), lambda dh, cache: code.backward(dh, cache)  # noqa: E731
    elif form == "h, loss":

        def forward(x, W, h0):
            loss, h, cache = code.forward(x, W, h0)
            return h, loss, cache

        pair = forward, lambda dh, cache: code.backward(dh, cache)
    elif form == "loss, h; backward(cache)":
        pair = lambda x, W, h0: code.forward(x, W, h0), lambda cache: code.backward(0.0, cache)  # noqa: E731
    else:

        class Cell:
            def forward(self, x, W, h0):
                loss, h, self.cache = code.forward(x, W, h0)
                return loss, h

            def backward(self):
                return code.backward(0.0, self.cache)

        pair = Cell()
    report = check_gradients(pair, *RECURRENT, diagnose=False)
    assert report["W"].verdict == ("right" if factor == 1 else "wrong") and report["x"].verdict == "right"
    assert any("only the loss was checked" in note for note in report.notes) == form.startswith("loss, h;")


@pytest.mark.parametrize("factor", [1, 2])
def test_a_number_among_the_outputs_that_backward_does_not_use(factor):
    forward = lambda x: (np.sin(x), np.sum(x**2), x)  # noqa: E731
    report = check_gradients((forward, lambda dy, cache: factor * dy * np.cos(cache)), RECURRENT[0], diagnose=False)
    assert report["x"].verdict == ("right" if factor == 1 else "wrong")
    assert any("1 of 2 outputs" in note for note in report.notes)


@pytest.mark.parametrize("names", [("a", "b"), ("x", "w"), ("u", "v")])
def test_the_wrong_factor_of_a_product_is_not_the_gradient_of_the_other_factor(names):
    """The result of the wrong gradient of the first factor is the right gradient of the second factor."""
    first, second = names
    code = f"""
def loss({first}, {second}):
    return np.sum({first} * {second} ** power)

def loss_backward({first}, {second}):
    d{first} = power * {first} * {second} ** (power - 1)
    return d{first}

def loss_and_gradient({first}, {second}):
    d{first} = power * {first} * {second} ** (power - 1)
    return loss({first}, {second}), d{first}

def loss_and_gradients({first}, {second}):
    return loss({first}, {second}), {{"{first}": power * {first} * {second} ** (power - 1)}}

class Loss:
    forward = staticmethod(loss)

    def backward(self):
        d{first} = loss_backward(*self.given)
        return d{first}

def unnamed({first}, {second}):
    return power * {first} * {second} ** (power - 1)
"""
    for power in (1, 2):
        space = {"np": np, "power": power}
        exec(code, space)
        given = np.random.default_rng(0).uniform(0.1, 0.9, (2, 3, 4))
        loss, layer = space["loss"], space["Loss"]()
        layer.given = given
        forms = [(loss, space["loss_backward"]), space["loss_and_gradient"], space["loss_and_gradients"], layer]
        forms += [(loss, space["unnamed"])] if power == 1 and names != ("x", "w") else []
        for form in forms:
            assert check_gradients(form, *given, diagnose=False).verdict == "wrong", form


@pytest.mark.parametrize("power", [1, 2])
def test_the_name_of_the_gradient_decides_between_two_inputs(power):
    def loss(x, w):
        return np.sum(x**power * w)

    def loss_backward(x, w):
        dx = power * x ** (power - 1) * w
        return dx

    report = check_gradients((loss, loss_backward), *np.random.default_rng(0).uniform(0.1, 0.9, (2, 3, 4)))
    assert report["x"].verdict == "right" and any("names the gradient of x, not of w" in n for n in report.notes)


@pytest.mark.parametrize("name", ["slope", "y_pred"])
def test_derivatives_of_a_layer_with_two_inputs_leave_out_one_input(name):
    """Only a loss may leave out an input, such as the targets."""
    space = {"np": np}
    exec(
        f"def leaky(z, {name}):\n    return np.where(z > 0, z, {name} * z)\n"
        f"def leaky_derivative(z, {name}):\n    return np.where(z > 0, 1, {name})\n",
        space,
    )
    given = np.random.default_rng(0).uniform(-0.9, 0.9, (2, 3, 4))
    report = check_gradients((space["leaky"], space["leaky_derivative"]), *given)
    assert report.verdict == ("right" if name == "y_pred" else "incomplete")
