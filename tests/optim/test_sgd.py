"""SGD: the steps its formulas say, in place."""

import numpy as np
import pytest

import nnscratch as nn

GRADIENTS = np.random.default_rng(0).normal(size=(4, 3))


def run(dtype=np.float64, **settings):
    """Four steps from (1, -2, 3) with the gradients above, at lr 0.1."""
    w = nn.Parameter(np.array([1.0, -2.0, 3.0], dtype=dtype))
    optimizer = nn.optim.SGD([w], lr=0.1, **settings)
    for g in GRADIENTS:
        w.grad[...] = g
        optimizer.step()
    return w.data


def test_plain_descent_goes_lr_times_the_gradient():
    np.testing.assert_allclose(run(), [1, -2, 3] - 0.1 * GRADIENTS.sum(axis=0), rtol=1e-14)


def test_momentum_adds_the_steps_before():
    w, v = np.array([1.0, -2.0, 3.0]), 0
    for g in GRADIENTS:
        v = 0.9 * v + g
        w = w - 0.1 * v
    np.testing.assert_allclose(run(momentum=0.9), w, rtol=1e-14)


def test_nesterov_looks_where_the_momentum_leads():
    w, v = np.array([1.0, -2.0, 3.0]), 0
    for g in GRADIENTS:
        v = 0.9 * v + g
        w = w - 0.1 * (g + 0.9 * v)
    np.testing.assert_allclose(run(momentum=0.9, nesterov=True), w, rtol=1e-14)


def test_weight_decay_pulls_towards_zero():
    w = np.array([1.0, -2.0, 3.0])
    for g in GRADIENTS:
        w = w - 0.1 * (g + 0.5 * w)
    np.testing.assert_allclose(run(weight_decay=0.5), w, rtol=1e-14)


@pytest.mark.parametrize("settings", [{}, {"momentum": 0.9}, {"momentum": 0.9, "nesterov": True, "weight_decay": 0.1}])
def test_a_step_writes_into_the_weights_and_keeps_their_dtype_and_leaves_the_gradient(settings):
    w = nn.Parameter(np.ones(3, dtype=np.float32))
    w.grad[...] = 2
    data, optimizer = w.data, nn.optim.SGD([w], lr=0.1, **settings)
    optimizer.step()
    assert w.data is data and w.dtype == np.float32 and (data != 1).all()
    np.testing.assert_array_equal(w.grad, [2, 2, 2])
    assert {array.dtype for arrays in optimizer.state.values() for array in arrays} <= {np.dtype(np.float32)}


def test_weights_larger_than_a_block_are_updated_to_the_last_number():
    size = 2 * nn.optim.optimizer.CHUNK + 5
    w = nn.Parameter(np.zeros((1, size)))
    w.grad[...] = np.arange(size)
    nn.optim.SGD([w], lr=1.0).step()
    np.testing.assert_array_equal(w.data[0], -np.arange(size))


def test_going_on_from_a_state_dict_is_the_same_as_never_having_stopped():
    one, other = (nn.Parameter(np.array([1.0, 2.0, 3.0])) for _ in range(2))
    first = nn.optim.SGD([one], lr=0.1, momentum=0.9)
    for g in GRADIENTS[:2]:
        one.grad[...] = g
        first.step()
    other.data[...] = one.data
    second = nn.optim.SGD([other], lr=0.7, momentum=0.9)
    second.load_state_dict(first.state_dict())
    for g in GRADIENTS[2:]:
        for w, optimizer in ((one, first), (other, second)):
            w.grad[...] = g
            optimizer.step()
    np.testing.assert_array_equal(one.data, other.data)
    assert (second.lr, second.steps) == (0.1, 4)


def test_the_state_of_another_optimizer_or_model_is_refused_and_nothing_changes():
    w = nn.Parameter(np.ones(3))
    optimizer = nn.optim.SGD([w], lr=0.1, momentum=0.9)
    with pytest.raises(ValueError, match=r"SGD expects a state with .*'velocity'\], got \['exp_avg', "):
        optimizer.load_state_dict(nn.optim.Adam([w]).state_dict())
    stranger = nn.optim.SGD([nn.Parameter(np.ones(4))], lr=0.5, momentum=0.9)
    with pytest.raises(ValueError, match="the shapes of velocity are not those of this optimizer's parameters"):
        optimizer.load_state_dict(stranger.state_dict())
    assert (optimizer.lr, optimizer.steps) == (0.1, 0)


def test_zero_grad_clears_every_gradient():
    parameters = [nn.Parameter(np.ones(2)), nn.Parameter(np.ones(3))]
    for p in parameters:
        p.grad[...] = 1
    nn.optim.SGD(parameters, lr=1).zero_grad()
    assert not any(p.grad.any() for p in parameters)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"lr": -1}, "lr must be a finite number, 0 or more, got -1"),
        ({"lr": float("nan")}, "lr must be a finite number, 0 or more, got nan"),
        ({"lr": float("inf")}, "lr must be a finite number, 0 or more, got inf"),
        ({"lr": "fast"}, "lr must be a finite number, 0 or more, got 'fast'"),
        ({"lr": 0.1, "momentum": 1.0}, r"momentum must be a finite number, in \[0, 1\), got 1.0"),
        ({"lr": 0.1, "momentum": -0.5}, r"momentum must be a finite number, in \[0, 1\)"),
        ({"lr": 0.1, "weight_decay": -0.1}, "weight_decay must be a finite number, 0 or more"),
        ({"lr": 0.1, "nesterov": True}, "nesterov needs a momentum above 0"),
    ],
)
def test_hyper_parameters_out_of_range_are_refused_by_name(settings, message):
    with pytest.raises(ValueError, match=message):
        nn.optim.SGD([nn.Parameter(np.ones(2))], **settings)


def test_only_distinct_parameters_are_accepted_and_at_least_one():
    w = nn.Parameter(np.ones(2))
    with pytest.raises(ValueError, match="SGD got no parameters"):
        nn.optim.SGD([], lr=0.1)
    with pytest.raises(ValueError, match="a parameter is given twice: it would be updated twice"):
        nn.optim.SGD([w, w], lr=0.1)
    with pytest.raises(TypeError, match=r"expected parameters \(model.parameters\(\)\), got ndarray"):
        nn.optim.SGD([w.data], lr=0.1)
