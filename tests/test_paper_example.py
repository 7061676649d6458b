r"""The 1-2-1 network that fits on a sheet of paper: one step of gradient descent against numbers worked out by hand.

    x = 0.8 -> z1 = W1 x + b1 -> a1 = sigma(z1) -> z2 = W2 a1 + b2 -> y = sigma(z2) -> L = (y - t)^2,  t = 0.9

    W1 = [ 0.4]    b1 = [0.1]    W2 = [0.7  -0.3]    b2 = 0.05    learning rate 0.5
         [-0.6]         [0.2]

L is the mean of the squared errors over the outputs, and there is one output; no factor 1/2.

FORWARD
    z1 = W1 x + b1              (0.4 * 0.8 + 0.1,  -0.6 * 0.8 + 0.2)           =  0.4200000000  -0.2800000000
    a1 = 1 / (1 + e^-z1)                                                       =  0.6034832499   0.4304537761
    z2 = W2 a1 + b2             0.7 * 0.6034832499 - 0.3 * 0.4304537761 + 0.05 =  0.3433021421
    y  = 1 / (1 + e^-z2)                                                       =  0.5849924291
    L  = (y - t)^2              (0.5849924291 - 0.9)^2                         =  0.0992297697

BACKWARD, with W2 as it was in the forward pass, and sigma'(z) = sigma(z) (1 - sigma(z)) = a (1 - a)
    dL/dy      = 2 (y - t)                                                     = -0.6300151419
    sigma'(z2) = y (1 - y)                                                     =  0.2427762870
    delta2     = dL/dz2 = dL/dy sigma'(z2)                                     = -0.1529527369
    dW2        = delta2 a1                                                     = -0.0923044147  -0.0658390832
    db2        = delta2                                                        = -0.1529527369
    dL/da1     = W2 delta2      0.7 * delta2,  -0.3 * delta2                   = -0.1070669158   0.0458858211
    sigma'(z1) = a1 (1 - a1)                                                   =  0.2392912170   0.2451633227
    delta1     = dL/dz1 = dL/da1 sigma'(z1)                                    = -0.0256201726   0.0112495204
    dW1        = delta1 x                                                      = -0.0204961381   0.0089996163
    db1        = delta1                                                        = -0.0256201726   0.0112495204

UPDATE, all at once: w = w - 0.5 dw
    W1                                                                         =  0.4102480690  -0.6044998081
    b1                                                                         =  0.1128100863   0.1943752398
    W2                                                                         =  0.7461522074  -0.2670804584
    b2                                                                         =  0.1264763684
and the loss is now                                                               0.0815265407
"""

import numpy as np
import pytest

import nnscratch as nn
from nnscratch.gradcheck import check_gradients, numerical_gradient

X, T, LEARNING_RATE = np.array([[0.8]]), np.array([[0.9]]), 0.5


def paper_network():
    model = nn.Sequential(nn.Linear(1, 2), nn.Sigmoid(), nn.Linear(2, 1), nn.Sigmoid()).to(dtype=np.float64)
    weights = {"0.weight": [[0.4], [-0.6]], "0.bias": [0.1, 0.2], "2.weight": [[0.7, -0.3]], "2.bias": [0.05]}
    model.load_state_dict({name: np.array(values) for name, values in weights.items()})
    return model


def assert_is(array, *digits):
    """Assert equality with the numbers worked out by hand, to 1e-10."""
    np.testing.assert_allclose(array.reshape(-1), digits, rtol=0, atol=1e-10)


def test_the_forward_pass_gives_the_numbers_on_the_sheet():
    first, sigmoid, second, output = paper_network().layers
    z1 = first(X)
    assert_is(z1, 0.4200000000, -0.2800000000)
    a1 = sigmoid(z1)
    assert_is(a1, 0.6034832499, 0.4304537761)
    z2 = second(a1)
    assert_is(z2, 0.3433021421)
    y = output(z2)
    assert_is(y, 0.5849924291)
    assert nn.MSELoss()(y, T) == pytest.approx(0.0992297697, abs=1e-10)


def test_the_backward_pass_gives_the_numbers_on_the_sheet():
    model, criterion = paper_network(), nn.MSELoss()
    first, sigmoid, second, output = model.layers
    criterion(model(X), T)
    dy = criterion.backward()
    assert_is(dy, -0.6300151419)
    delta2 = output.backward(dy)
    assert_is(delta2, -0.1529527369)
    da1 = second.backward(delta2)
    assert_is(da1, -0.1070669158, 0.0458858211)
    assert_is(second.weight.grad, -0.0923044147, -0.0658390832)
    assert_is(second.bias.grad, -0.1529527369)
    delta1 = sigmoid.backward(da1)
    assert_is(delta1, -0.0256201726, 0.0112495204)
    first.backward(delta1)
    assert_is(first.weight.grad, -0.0204961381, 0.0089996163)
    assert_is(first.bias.grad, -0.0256201726, 0.0112495204)


def test_one_step_of_gradient_descent_gives_the_weights_on_the_sheet():
    model, criterion = paper_network(), nn.MSELoss()
    optimizer = nn.optim.SGD(model.parameters(), lr=LEARNING_RATE)
    criterion(model(X), T)
    model.backward(criterion.backward())
    optimizer.step()
    assert_is(model[0].weight.data, 0.4102480690, -0.6044998081)
    assert_is(model[0].bias.data, 0.1128100863, 0.1943752398)
    assert_is(model[2].weight.data, 0.7461522074, -0.2670804584)
    assert_is(model[2].bias.data, 0.1264763684)
    assert criterion(model(X), T) == pytest.approx(0.0815265407, abs=1e-10)


def numerical_gradient_of_w1():
    """Return (L(w + e) - L(w - e)) / 2e for both weights of W1, which uses no formula for the gradient."""
    model, criterion = paper_network().eval(), nn.MSELoss().eval()
    return numerical_gradient(lambda w: criterion(model(X), T), model[0].weight.data)


def our_gradient_of_w1():
    model, criterion = paper_network(), nn.MSELoss()
    criterion(model(X), T)
    model.backward(criterion.backward())
    return model[0].weight.grad


def gradients_by_hand(w2_first=False, slope_of_activation=False):
    """Return dW1 and dW2 as in a popular write-up, with one, both or none of its two mistakes."""

    def sigma(z):
        return 1 / (1 + np.exp(-z))

    def slope(z, a):
        s = sigma(a) if slope_of_activation else sigma(z)  # sigma'(a) instead of sigma'(z)
        return s * (1 - s)

    x, t = 0.8, 0.9
    W1, b1, W2, b2 = np.array([0.4, -0.6]), np.array([0.1, 0.2]), np.array([0.7, -0.3]), 0.05
    z1 = W1 * x + b1
    a1 = sigma(z1)
    z2 = W2 @ a1 + b2
    y = sigma(z2)
    delta2 = 2 * (y - t) * slope(z2, y)
    dW2 = delta2 * a1
    if w2_first:
        W2 = W2 - LEARNING_RATE * dW2
    delta1 = W2 * delta2 * slope(z1, a1)
    return (delta1 * x)[:, None], dW2[None, :]


def test_our_hidden_gradient_is_the_one_finite_differences_find():
    np.testing.assert_allclose(our_gradient_of_w1(), numerical_gradient_of_w1(), rtol=1e-8)
    np.testing.assert_allclose(our_gradient_of_w1(), gradients_by_hand()[0], rtol=1e-14)


def test_updating_w2_before_the_hidden_error_is_computed_gives_another_gradient_and_a_wrong_one():
    mistaken, dW2 = gradients_by_hand(w2_first=True)
    assert_is(mistaken, -0.0218474838, 0.0080120721)
    np.testing.assert_allclose(dW2, gradients_by_hand()[1])  # the gradient of the last layer is not affected
    error = np.abs(mistaken / numerical_gradient_of_w1() - 1)
    assert (error > 0.06).all()  # 6.6 % and 11 %


def test_taking_the_slope_at_the_activation_gives_other_gradients_and_wrong_ones():
    mistaken, dW2 = gradients_by_hand(slope_of_activation=True)
    assert_is(mistaken, -0.0185278751, 0.0082954584)
    assert_is(dW2, -0.0873612002, -0.0623131769)
    error = np.abs(mistaken / numerical_gradient_of_w1() - 1)
    assert (error > 0.07).all()  # 9.6 % and 7.8 %


def test_every_gradient_of_the_network_matches_finite_differences():
    report = check_gradients(paper_network(), X)
    assert report.ok and report.max_error < 1e-6, report
