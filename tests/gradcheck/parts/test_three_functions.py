"""Test the arguments that a model, its loss and its backward get, if they are three functions."""

from functools import wraps

import numpy as np
import pytest

from nnscratch.gradcheck.adapters import make_adapter
from nnscratch.gradcheck.adapters.three_functions import ThreeFunctionsAdapter, is_three_functions, names_with_options
from nnscratch.gradcheck.nested import leaves
from nnscratch.gradcheck.snapshot import Snapshot

X, W, T = np.array([[1.0, -2.0, 3.0], [0.5, 1.0, 2.0]]), np.array([[2.0], [3.0], [4.0]]), np.array([[1.0], [2.0]])
Y = X @ W
LOSS, DW = ((Y - T) ** 2).sum(), 2 * X.T @ (Y - T)


def model(X, W):
    return X @ W


def model_with_cache(X, W):
    return X @ W, (X, W)


def squares(A, T):
    return ((A - T) ** 2).sum()


def backward(A, T, X):
    return {"dW": 2 * X.T @ (A - T)}


def run(forward, cost, backward, *inputs):
    """Return the loss and the gradients."""
    adapter = make_adapter((forward, cost, backward), inputs)
    assert type(adapter) is ThreeFunctionsAdapter
    (loss,) = adapter.run()
    return loss, adapter.gradients((1.0,))


def check(forward, cost, backward, *inputs, loss=LOSS):
    """Check that the loss is right, and that the gradient of W is."""
    found, gradients = run(forward, cost, backward, *inputs)
    assert np.ndim(found) == 0
    np.testing.assert_allclose(found, loss)
    np.testing.assert_allclose(gradients["W"], DW)


def names_of(forward, cost, count):
    adapter = ThreeFunctionsAdapter(forward, cost, backward, (X,) * count)
    return adapter.input_names, adapter.forward_count


# --- the inputs of the model and those of the loss -------------------------------------------------------------------


@pytest.mark.parametrize("forward, cost, count, names", [
    (lambda X, p: X, lambda A, Y: 0.0, 3, ["X", "p"]),
    (lambda X, p, keep=0.5: X, lambda A, Y: 0.0, 3, ["X", "p"]),
    (lambda X, p, keep=0.5: X, lambda A, Y: 0.0, 4, ["X", "p", "keep"]),
    (lambda X, keep=0.5, seed=0: X, lambda A, Y: 0.0, 4, ["X", "keep", "seed"]),
    (lambda X, keep=0.5, seed=0: X, lambda A, Y: 0.0, 3, ["X", "keep"]),
    (lambda X, keep=0.5, seed=0: X, lambda A, Y: 0.0, 2, ["X"]), (lambda X, keep=0.5: X, lambda A, Y: 0.0, 1, ["X"]),
    (lambda X, keep=0.5, seed=0: X, lambda A, Y, weight: 0.0, 2, ["X"]),
    (lambda X, keep=0.5: X, lambda A, Y, eps=0.1: 0.0, 3, ["X"]),  # the third input is eps
    (lambda X, keep=0.5: X, lambda A, Y, eps=0.1: 0.0, 4, ["X", "keep"]),
    (lambda X, p, lam=0.5: X, lambda A, Y, p: 0.0, 4, ["X", "p", "lam"]),  # the loss takes p too
    (lambda X, lam=0.5: X, lambda A, Y, lam: 0.0, 3, ["X", "lam"]),
    (lambda X, lam=0.5: X, lambda Y: 0.0, 2, ["X"]),  # the loss takes the targets only
    (lambda X, lam=0.5: X, lambda Y: 0.0, 3, ["X", "lam"]),
    (lambda X, lam=0.5: X, lambda A: 0.0, 2, ["X", "lam"]),  # the loss takes the output only
    (lambda X, lam=0.5: X, lambda A, B: 0.0, 3, ["X", "lam"]),
    (lambda X, lam=0.5: X, lambda X: 0.0, 1, ["X"]), (lambda X, lam=0.5: X, lambda X: 0.0, 2, ["X", "lam"]),
    (lambda *given: X, lambda A, Y: 0.0, 2, None), (lambda X, keep=0.5: X, max, 3, ["X"]),
])  # fmt: skip
def test_the_arguments_of_the_model(forward, cost, count, names):
    assert names_with_options(forward, cost, count) == names


@pytest.mark.parametrize("forward, cost, count, names, taken", [
    (model, squares, 3, ["X", "W", "T"], 2), (model, lambda A, goal: 0.0, 3, ["X", "W", "goal"], 2),
    (model, lambda T, A: 0.0, 3, ["X", "W", "T"], 2), (model, lambda A, T, eps=0.1: 0.0, 4, ["X", "W", "T", "eps"], 2),
    (model, lambda A, T, eps=0.1: 0.0, 3, ["X", "W", "T"], 2), (model, squares, 2, ["X", "W"], 2),
    (model, squares, 1, ["X"], 1), (model, lambda W, A, goal: 0.0, 3, ["X", "W", "goal"], 2),
    (model, lambda goal: 0.0, 3, ["X", "W", "goal"], 2), (model, lambda y: 0.0, 3, ["X", "W", "y"], 2),
    (model, lambda A: 0.0, 5, ["X", "W", "A", "target[0]", "target[1]"], 2),
    (lambda *given: X, squares, 2, ["given[0]", "given[1]"], 2),
])  # fmt: skip
def test_the_names_of_the_inputs(forward, cost, count, names, taken):
    assert names_of(forward, cost, count) == (names, taken)


def test_three_functions():
    assert is_three_functions((model, squares, backward)) and is_three_functions([model, squares, backward])
    for subject in ((model, squares), (model, squares, 3), model, {model, squares, backward}):
        assert not is_three_functions(subject)


# --- the loss --------------------------------------------------------------------------------------------------------


def test_the_loss_gets_the_output_and_the_targets():
    check(model, squares, backward, X, W, T)
    check(model, lambda T, A: squares(A, T), backward, X, W, T)
    check(model, lambda A, goal: squares(A, goal), lambda A, goal, X: backward(A, goal, X), X, W, T)


def test_a_loss_whose_first_argument_has_the_name_of_an_input():
    check(model, lambda X, T: squares(X, T), backward, X, W, T)
    loss, gradients = run(lambda x: 3 * x, lambda x, t: ((x - t) ** 2).sum(), lambda y, t: 6 * (y - t), X, X)
    assert loss == ((2 * X) ** 2).sum() and (gradients["x"] == 12 * X).all()


def test_a_loss_that_takes_an_input_of_the_model_too():
    decay = lambda A, T, W: squares(A, T) + 0.1 * (W**2).sum()  # noqa: E731
    check(model, decay, backward, X, W, T, loss=LOSS + 0.1 * (W**2).sum())


def test_an_optional_argument_of_the_loss():
    weighted = lambda A, T, weight=1.0: weight * squares(A, T)  # noqa: E731
    check(model, weighted, backward, X, W, T)
    check(model, weighted, backward, X, W, T, 2.0, loss=2 * LOSS)


def test_the_loss_gets_an_option_of_the_model():
    forward = lambda X, W, scale=1.0, factor=3.0: X @ W  # noqa: E731
    check(forward, lambda A, T, factor: factor * squares(A, T), backward, X, W, T, loss=3 * LOSS)
    check(forward, lambda A, T, factor: factor * squares(A, T), backward, X, W, 1.0, 2.0, T, loss=2 * LOSS)


def test_a_loss_method_that_keeps_the_output():
    class Loss:
        def take(self, A):
            self.A = A
            return A

        def of_targets(self, T):
            return squares(self.A, T)

        def of_both(self, X, T):
            return squares(X, T)

        def backward(self, T, X):
            return backward(self.A, T, X)

    loss = Loss()
    check(lambda X, W: loss.take(X @ W), loss.of_targets, loss.backward, X, W, T)
    check(lambda X, W: loss.take(X @ W), loss.of_both, loss.backward, X, W, T)


def test_a_tuple_with_one_output_stays_a_tuple():
    check(lambda X, W: (X @ W,), lambda A, T: squares(A[0], T), lambda A, T, X: backward(A[0], T, X), X, W, T)


def test_one_loss_for_each_sample():
    rows = lambda A, T: ((A - T) ** 2).sum(axis=1)  # noqa: E731
    adapter = make_adapter((model, rows, lambda A, T, X: X.T @ (A - T)), (X, W, T))
    assert adapter.run() == (LOSS / 2,) and "their mean" in adapter.notes[0]
    adapter = make_adapter((model, lambda A, T: rows(A, T)[:1], backward), (X, W, T))
    (loss,) = adapter.run()
    assert np.shape(loss) == () and loss == (Y[0] - T[0]) ** 2 and adapter.notes == []


@pytest.mark.parametrize("more", [(1.0, 2.0), (1.0,), ({"data": 1.0},), ("text", 1.0)])
def test_the_first_of_several_values_is_the_loss(more):
    adapter = make_adapter((model, lambda A, T: (squares(A, T), *more), backward), (X, W, T))
    assert adapter.run() == (LOSS,) and (adapter.gradients((1.0,))["W"] == DW).all()
    assert adapter.notes == [f"<lambda> returns {1 + len(more)} values; the checker uses the first as the loss"]


def test_a_python_number_is_a_loss():
    check(model, lambda A, T: float(squares(A, T)), backward, X, W, T)
    check(model, lambda A, T: squares(A, T).reshape(1, 1), backward, X, W, T)


@pytest.mark.parametrize("cost", [
    lambda A, T: A - T, lambda A, T: None, lambda A, T: 3, lambda A, T: "loss", lambda A, T: (squares(A, T),),
    lambda A, T: ("loss", squares(A, T)),
])  # fmt: skip
def test_a_loss_that_is_no_number_is_refused(cost):
    with pytest.raises(TypeError, match="must return one number, the loss"):
        make_adapter((model, cost, backward), (X, W, T)).run()


def test_missing_targets_are_named():
    with pytest.raises(TypeError, match=r"squares\(A, T\) cannot be called with the output of model and the inputs X, "
                                        r"W: after the inputs of model\(X, W\)"):  # fmt: skip
        make_adapter((model, squares, backward), (X, W)).run()


def test_the_state_of_each_function_is_restored():
    states = []

    def counted(function):
        state = {"calls": 0}
        states.append(state)

        @wraps(function)
        def call(*arguments):
            state["calls"] += 1
            return function(*arguments)

        return call

    adapter = make_adapter((counted(model), counted(squares), counted(backward)), (X, W, T))
    before = Snapshot(adapter.source)
    adapter.run(), adapter.gradients((1.0,))
    assert states == [{"calls": 1}] * 3
    before.restore()
    assert states == [{"calls": 0}] * 3 and adapter.title == "squares of model"


def test_the_values_that_forward_saves():
    adapter = make_adapter((model_with_cache, squares, backward), (X, W, T))
    assert adapter.cached() == ()
    adapter.run()
    assert any(leaf is adapter.inputs[1] for _, leaf in leaves("", adapter.cached()))


# --- backward --------------------------------------------------------------------------------------------------------


def test_backward_gets_the_output_the_targets_and_the_cache():
    check(model_with_cache, squares, lambda A, T, cache: backward(A, T, cache[0]), X, W, T)
    check(model_with_cache, squares, lambda cache, T, A: backward(A, T, cache[0]), X, W, T)
    check(model, squares, lambda T, X, A: backward(A, T, X), X, W, T)
    check(model, squares, lambda T, X, W: backward(X @ W, T, X), X, W, T)


def test_backward_has_another_name_for_the_targets():
    check(model, squares, lambda A, labels, X: backward(A, labels, X), X, W, T)
    check(model, squares, lambda labels, X, A: backward(A, labels, X), X, W, T)
    with_y = lambda X, y: 2 * X.T @ (X @ W - y)  # noqa: E731 - y are the targets, if the loss calls them T
    check(model, squares, lambda X, y: {"dW": with_y(X, y)}, X, W, T)


def test_an_output_with_a_usual_name_of_targets():
    output = lambda y, t, X: backward(y, t, X)  # noqa: E731
    for cost in (lambda y, t: squares(y, t), lambda p, t: squares(p, t)):
        check(model, cost, output, X, W, T)
        check(model, cost, lambda X, y, t: backward(y, t, X), X, W, T)
    check(model, lambda y, t: squares(y, t), lambda X, y, labels: backward(y, labels, X), X, W, T)
    check(model, lambda Y, t: squares(Y, t), lambda X, label, Y: backward(Y, label, X), X, W, T)
    check(model, lambda targets, t: squares(targets, t), lambda X, y, targets: backward(targets, y, X), X, W, T)
    check(model, lambda y, t: squares(y, t), lambda A, t, X: backward(A, t, X), X, W, T)
    check(model, lambda p, t: squares(p, t), lambda X, y, labels: backward(y, labels, X), X, W, T)

    def forward(X, W):
        y = X @ W
        return y

    check(forward, lambda p, goal: squares(p, goal), lambda X, labels, y: backward(y, labels, X), X, W, T)


def test_a_loss_that_takes_the_targets_first():
    check(model, lambda t, y: squares(y, t), lambda X, t, y: backward(y, t, X), X, W, T)
    check(model, lambda y_true, y_pred: squares(y_pred, y_true), lambda X, labels, y: backward(y, labels, X), X, W, T)

    def forward(X, W):
        t = X @ W
        return t

    check(forward, lambda y, t: squares(t, y), lambda X, y, t: backward(t, y, X), X, W, T)


def test_the_arguments_of_the_loss_have_names_of_their_own():
    def forward(X, W):
        y = X @ W
        return y

    check(forward, lambda y, y_pred: squares(y_pred, y), lambda X, W, y: backward(X @ W, y, X), X, W, T)


def test_an_argument_with_the_name_of_an_input_gets_this_input():
    # Both the loss and the model have an argument named target.
    forward = lambda X, target: X @ target  # noqa: E731
    loss, gradients = run(forward, squares, lambda A, T, X, target: {"dtarget": 2 * X.T @ (X @ target - T)}, X, W, T)
    assert loss == LOSS and (gradients["target"] == DW).all()


def test_options_of_backward():
    plain = lambda A, T, X, lam=0.0, eps=0.5: {"dW": 2 * X.T @ (A - T) + lam + (eps != 0.5)}  # noqa: E731
    check(model, squares, plain, X, W, T)
    loss = lambda A, T, lam=0.0: squares(A, T) + lam  # noqa: E731
    _, gradients = run(model, loss, plain, X, W, T, 2.0)
    assert (gradients["W"] == DW + 2).all()


def test_a_loss_without_targets():
    check(lambda X, W: X @ W - T, lambda A: (A**2).sum(), lambda A, X: {"dW": 2 * X.T @ A}, X, W)


def test_backward_gets_an_option_of_the_model():
    forward = lambda X, W, factor=2.0: X @ W  # noqa: E731
    backward = lambda A, T, X, factor: {"dW": factor * X.T @ (A - T)}  # noqa: E731
    check(forward, squares, backward, X, W, T)
    _, gradients = run(forward, squares, backward, X, W, 6.0, T)
    assert (gradients["W"] == 3 * DW).all()


def test_a_backward_with_any_number_of_arguments():
    check(model, squares, lambda *given: backward(given[0], given[1], given[2]), X, W, T)


def test_a_backward_with_too_many_arguments_is_refused():
    adapter = make_adapter((model, squares, lambda A, T, X, W, p, q: None), (X, W, T))
    adapter.run()
    with pytest.raises(TypeError, match="it takes more arguments than the checker has values"):
        adapter.gradients((1.0,))
