"""Adam: the paper's algorithm, step by step."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import nnscratch as nn


def adam_of_the_paper(w, gradients, lr, beta1, beta2, eps, weight_decay):
    """Algorithm 1 of Kingma and Ba, word for word."""
    m = v = 0
    for t, g in enumerate(gradients, start=1):
        g = g + weight_decay * w
        m = beta1 * m + (1 - beta1) * g
        v = beta2 * v + (1 - beta2) * g**2
        m_hat = m / (1 - beta1**t)
        v_hat = v / (1 - beta2**t)
        w = w - lr * m_hat / (np.sqrt(v_hat) + eps)
    return w


@given(
    lr=st.floats(1e-4, 1), beta1=st.floats(0, 0.99), beta2=st.floats(0, 0.999), eps=st.floats(1e-10, 1e-2),
    weight_decay=st.sampled_from([0, 0.1]), seed=st.integers(0, 99),
)  # fmt: skip
def test_five_steps_are_those_of_the_paper(lr, beta1, beta2, eps, weight_decay, seed):
    rng = np.random.default_rng(seed)
    start, gradients = rng.normal(size=(2, 3)), rng.normal(size=(5, 2, 3))
    w = nn.Parameter(start.copy())
    optimizer = nn.optim.Adam([w], lr, (beta1, beta2), eps, weight_decay)
    for g in gradients:
        w.grad[...] = g
        optimizer.step()
    expected = adam_of_the_paper(start, gradients, lr, beta1, beta2, eps, weight_decay)
    np.testing.assert_allclose(w.data, expected, rtol=1e-9, atol=1e-12)


@given(size=st.floats(1e-4, 1e4))
def test_the_first_step_is_lr_long_whatever_the_size_of_the_gradient(size):
    w = nn.Parameter(np.zeros(2))
    w.grad[...] = size, -size
    nn.optim.Adam([w], lr=0.01).step()
    np.testing.assert_allclose(w.data, [-0.01, 0.01], rtol=1e-3)


def test_a_weight_without_gradient_does_not_move():
    w = nn.Parameter(np.ones(3))
    nn.optim.Adam([w]).step()
    np.testing.assert_array_equal(w.data, [1, 1, 1])


def test_it_finds_the_bottom_of_a_valley():
    w, bottom = nn.Parameter(np.zeros(2)), np.array([3.0, -1.0])
    optimizer = nn.optim.Adam([w], lr=0.1)
    for _ in range(500):
        w.grad[...] = [200, 0.02] * (w.data - bottom)
        optimizer.step()
    np.testing.assert_allclose(w.data, bottom, atol=1e-3)


def test_a_step_writes_into_the_weights_in_their_dtype_and_leaves_the_gradient():
    w = nn.Parameter(np.ones(3, dtype=np.float32))
    w.grad[...] = 2
    data, optimizer = w.data, nn.optim.Adam([w], weight_decay=0.1)
    optimizer.step()
    assert w.data is data and w.dtype == np.float32 and (data < 1).all()
    np.testing.assert_array_equal(w.grad, [2, 2, 2])
    assert all(array.dtype == np.float32 for name in optimizer.moments for array in optimizer.state[name])


def test_weights_larger_than_a_block_are_updated_like_small_ones():
    size = nn.optim.optimizer.CHUNK + 3
    values = np.random.default_rng(0).normal(size=(2, size))
    whole = nn.Parameter(values[0].copy())
    halves = [nn.Parameter(values[0][:7].copy()), nn.Parameter(values[0][7:].copy())]
    for parameters, gradients in (([whole], [values[1]]), (halves, [values[1][:7], values[1][7:]])):
        optimizer = nn.optim.Adam(parameters, lr=0.1)
        for _ in range(2):
            for p, g in zip(parameters, gradients, strict=True):
                p.grad[...] = g
            optimizer.step()
    np.testing.assert_array_equal(whole.data, np.concatenate([p.data for p in halves]))


def test_going_on_from_a_state_dict_is_the_same_as_never_having_stopped():
    gradients = np.random.default_rng(0).normal(size=(6, 3))
    one, other = (nn.Parameter(np.ones(3)) for _ in range(2))
    first, second = nn.optim.Adam([one], lr=0.1), nn.optim.Adam([other], lr=0.5)
    for g in gradients[:3]:
        one.grad[...] = g
        first.step()
    other.data[...] = one.data
    second.load_state_dict(first.state_dict())
    for g in gradients[3:]:
        for w, optimizer in ((one, first), (other, second)):
            w.grad[...] = g
            optimizer.step()
    np.testing.assert_array_equal(one.data, other.data)


def test_a_loaded_state_is_a_copy():
    w = nn.Parameter(np.ones(3))
    first, second = nn.optim.Adam([w]), nn.optim.Adam([w])
    second.load_state_dict(first.state_dict())
    w.grad[...] = 1
    second.step()
    assert not first.state["exp_avg"][0].any()


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"lr": -1}, "lr must be a finite number, 0 or more, got -1"),
        ({"betas": (0.9, 1.0)}, r"betas\[1\] must be a finite number, in \[0, 1\), got 1.0"),
        ({"betas": (-0.1, 0.9)}, r"betas\[0\] must be a finite number, in \[0, 1\), got -0.1"),
        ({"betas": (0.9,)}, r"betas must be two numbers, got \(0.9,\)"),
        ({"eps": -1e-8}, "eps must be a finite number, 0 or more"),
        ({"weight_decay": float("nan")}, "weight_decay must be a finite number, 0 or more, got nan"),
    ],
)
def test_hyper_parameters_out_of_range_are_refused_by_name(settings, message):
    with pytest.raises(ValueError, match=message):
        nn.optim.Adam([nn.Parameter(np.ones(2))], **settings)


def test_a_broken_state_is_refused():
    optimizer = nn.optim.Adam([nn.Parameter(np.zeros(2))])
    state = optimizer.state_dict()
    with pytest.raises(ValueError, match="lr must be"):
        optimizer.load_state_dict(state | {"param_groups": [state["param_groups"][0] | {"lr": float("nan")}]})
    with pytest.raises(ValueError, match="exp_avg holds values that are not finite"):
        optimizer.load_state_dict(state | {"exp_avg": [np.array([np.nan, 0])]})
    with pytest.raises(TypeError, match="betas must be a pair"):
        nn.optim.Adam([nn.Parameter(np.zeros(2))], betas=0.9)
    scheduler = nn.optim.lr_scheduler.StepLR(optimizer, 3)
    with pytest.raises(ValueError, match="StepLR expects"):
        scheduler.load_state_dict({})
