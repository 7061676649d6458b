"""TwoHeaded: the trunk's gradient is the sum of the gradients from both heads."""

import numpy as np
import pytest

import nnscratch as nn

X = np.random.default_rng(0).normal(size=(6, 3))
LABELS, NUMBERS = np.array([0, 1, 1, 0, 1, 0]), np.random.default_rng(1).normal(size=(6, 1))


def make():
    trunk = nn.Sequential(nn.Linear(3, 5, rng=0), nn.Tanh())
    return nn.models.TwoHeaded(trunk, nn.Linear(5, 2, rng=1), nn.Linear(5, 1, rng=2)).to(dtype=np.float64)


def loss_of(model, weight, learn=False):
    classify, measure = nn.CrossEntropyLoss(), nn.MSELoss()
    y1, y2 = model(X)
    loss = classify(y1, LABELS) + weight * measure(y2, NUMBERS)
    return (loss, model.backward(classify.backward(), weight * measure.backward())) if learn else loss


def test_every_gradient_of_the_summed_loss_is_the_numerical_one(numerical):
    model = make()
    _, dx = loss_of(model, 0.7, learn=True)
    gradients = [p.grad.copy() for p in model.parameters()]
    model.eval()
    for p, g in zip(model.parameters(), gradients, strict=True):
        np.testing.assert_allclose(g, numerical(lambda: loss_of(model, 0.7), p.data), atol=1e-8)
    np.testing.assert_allclose(dx, numerical(lambda: loss_of(model, 0.7), X), atol=1e-8)


def test_the_trunks_gradient_is_the_sum_of_what_each_loss_alone_gives():
    both, one, other = make(), make(), make()
    loss_of(both, 0.7, learn=True)
    y1, y2 = one(X)
    criterion = nn.CrossEntropyLoss()
    criterion(y1, LABELS)
    one.backward(criterion.backward(), np.zeros_like(y2))
    y1, y2 = other(X)
    criterion = nn.MSELoss()
    criterion(y2, NUMBERS)
    other.backward(np.zeros_like(y1), 0.7 * criterion.backward())
    for b, p, q in zip(both.trunk.parameters(), one.trunk.parameters(), other.trunk.parameters(), strict=True):
        np.testing.assert_allclose(b.grad, p.grad + q.grad, atol=1e-14)


def test_digits_and_whether_they_are_even_are_learned_by_one_trunk():
    x, y = nn.data.load_digits()
    x, y = x[:600].reshape(600, 64), y[:600]
    model = nn.models.TwoHeaded(
        nn.Sequential(nn.Linear(64, 32, rng=0), nn.ReLU()), nn.Linear(32, 10, rng=1), nn.Linear(32, 2, rng=2)
    )
    optimizer, which, even = nn.optim.Adam(model.parameters(), lr=0.01), nn.CrossEntropyLoss(), nn.CrossEntropyLoss()
    for _ in range(150):
        model.zero_grad()
        digits, parity = model(x)
        which(digits, y)
        even(parity, y % 2)
        model.backward(which.backward(), even.backward())
        optimizer.step()
    digits, parity = model.eval()(x)
    assert nn.training.accuracy(digits, y) > 0.97 and nn.training.accuracy(parity, y % 2) > 0.97


def test_what_is_no_module_is_refused():
    with pytest.raises(TypeError, match="TwoHeaded: second must be a Module, got NoneType"):
        nn.models.TwoHeaded(nn.Tanh(), nn.Tanh(), None)
