"""In training, the first layer does not compute the gradient of the data. All other gradients stay the same."""

import contextlib

import numpy as np
import pytest

import nnscratch as nn
from nnscratch.modes import input_grad_optional, without_input_grad

RNG = np.random.default_rng(0)
IMAGES = RNG.normal(size=(4, 1, 8, 8)).astype(np.float32)
LABELS = np.array([0, 2, 1, 2])
MODELS = {
    "linear first": lambda: nn.Sequential(nn.Flatten(), nn.Linear(64, 5, rng=0), nn.ReLU(), nn.Linear(5, 3, rng=1)),
    "convolution first": lambda: nn.Sequential(
        nn.Conv2d(1, 2, 3, rng=0), nn.ReLU(), nn.MaxPool2d(2), nn.Flatten(), nn.Linear(18, 3, rng=1)
    ),
    "a layer of another kind first": lambda: nn.Sequential(nn.BatchNorm2d(1), nn.Flatten(), nn.Linear(64, 3, rng=0)),
    "nested": lambda: nn.Sequential(nn.Sequential(nn.Flatten(), nn.Linear(64, 5, rng=0)), nn.Linear(5, 3, rng=1)),
    "one layer used twice": lambda: nn.Sequential(nn.Flatten(), *[nn.Linear(64, 64, rng=0)] * 2),
    "MLP": lambda: nn.models.MLP([64, 5, 3], rng=0),
    "CNN": lambda: nn.models.CNN((1, 8, 8), 3, channels=(2,), hidden=4, dropout=0.0, rng=0),
}


def gradients(model, needs_input_grad):
    criterion = nn.CrossEntropyLoss()
    model.zero_grad()
    criterion(model(IMAGES), LABELS)
    with contextlib.nullcontext() if needs_input_grad else without_input_grad(model):
        dx = model.backward(criterion.backward())
    return dx, [p.grad.copy() for p in model.parameters()]


@pytest.mark.parametrize("name", MODELS)
def test_the_parameters_gradients_are_the_same_and_every_forward_has_met_its_backward(name):
    model = MODELS[name]()
    dx, whole = gradients(model, True)
    nothing, without = gradients(model, False)
    assert dx.shape == IMAGES.shape and nothing is None
    for a, b in zip(whole, without, strict=True):
        np.testing.assert_array_equal(a, b)
    for module in model.modules():
        assert not vars(module).get("_stack")


def test_the_trainer_leaves_it_out():
    class Counts(nn.Linear):
        @input_grad_optional
        def backward(self, dy):
            self.needed = self.needs_input_grad
            return super().backward(dy)

    first, last = Counts(64, 5, rng=0), Counts(5, 3, rng=1)
    model = nn.Sequential(nn.Flatten(), first, nn.ReLU(), last)
    nn.Trainer(model, nn.CrossEntropyLoss(), nn.optim.SGD(model.parameters(), lr=0.1)).train_step(IMAGES, LABELS)
    assert not first.needed and last.needed and first.needs_input_grad


def test_an_empty_sequence_may_come_first():
    model = nn.Sequential(nn.Sequential(), nn.Flatten(), nn.Linear(64, 3, rng=0))
    _, whole = gradients(model, True)
    _, without = gradients(model, False)
    np.testing.assert_array_equal(whole[0], without[0])


def test_a_backward_of_ones_own_is_never_passed_over():
    class Scaled(nn.Linear):
        def backward(self, dy):
            return 3 * super().backward(2 * dy)

    class OwnWay(nn.Sequential):
        def backward(self, dy):
            return dy @ np.ones((3, 1)) + super().backward(3 * dy)

    for kind in (Scaled(64, 3, rng=0), OwnWay(nn.Linear(64, 3, rng=0))):
        x, dy = np.ones((4, 64), np.float32), np.ones((4, 3), np.float32)
        kind(x)
        dx = kind.backward(dy)
        kind(x)
        with without_input_grad(kind):
            np.testing.assert_array_equal(kind.backward(dy), dx)
    watched = nn.Linear(2, 2)
    watched.backward = lambda dy: dy
    with without_input_grad(watched):
        assert watched.needs_input_grad and watched.backward(1) == 1
    model = nn.Sequential(nn.Flatten(), Scaled(64, 3, rng=0))
    _, whole = gradients(model, True)
    _, without = gradients(model, False)
    np.testing.assert_array_equal(whole[0], without[0])


def test_the_flag_is_true_again_after_the_block_even_after_an_error():
    layer = nn.Linear(2, 2)
    with pytest.raises(ZeroDivisionError), without_input_grad(layer):
        assert not layer.needs_input_grad
        raise ZeroDivisionError
    assert layer.needs_input_grad


def test_a_convolution_of_sequences_leaves_it_out_too():
    layer, x = nn.Conv1d(2, 3, 2, rng=0), RNG.normal(size=(4, 2, 5)).astype(np.float32)
    with without_input_grad(layer):
        assert layer.backward(np.ones_like(layer(x))) is None
    assert layer.weight.grad.any()
