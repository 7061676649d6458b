"""Compare two hundred steps of every optimiser and schedule with PyTorch."""

import numpy as np
import pytest

import nnscratch as nn

torch = pytest.importorskip("torch")

SHAPES = [(3, 4), (5,), ()]


def both_trajectories(ours, theirs, our_schedule=None, their_schedule=None, steps=200):
    """Return the weights after every step, ours and PyTorch's, in the same noisy, curved valley."""
    rng = np.random.default_rng(0)
    parameters = [nn.Parameter(np.array(rng.normal(size=shape))) for shape in SHAPES]
    tensors = [torch.tensor(p.data, requires_grad=True) for p in parameters]
    ours, theirs = ours(parameters), theirs(tensors)
    schedules = our_schedule and our_schedule(ours), their_schedule and their_schedule(theirs)
    paths = [], []
    for _ in range(steps):
        for p, w in zip(parameters, tensors, strict=True):
            noise = 0.1 * rng.normal(size=p.shape)
            p.grad[...] = np.sin(p.data) + 0.1 * p.data + noise
            w.grad = torch.sin(w.detach()) + 0.1 * w.detach() + torch.tensor(noise)
        ours.step()
        theirs.step()
        for schedule in filter(None, schedules):
            schedule.step()
        paths[0].append(np.concatenate([p.data.reshape(-1) for p in parameters]))
        paths[1].append(np.concatenate([w.detach().numpy().reshape(-1) for w in tensors]))
    assert np.abs(paths[0][-1] - paths[0][0]).max() > 0.1  # it went somewhere
    return np.array(paths[0]), np.array(paths[1])


SGD_SETTINGS = [
    {"lr": 0.05},
    {"lr": 0.05, "weight_decay": 0.1},
    {"lr": 0.01, "momentum": 0.9},
    {"lr": 0.01, "momentum": 0.9, "weight_decay": 0.05},
    {"lr": 0.01, "momentum": 0.9, "nesterov": True},
    {"lr": 0.01, "momentum": 0.5, "nesterov": True, "weight_decay": 0.05},
]
ADAM_SETTINGS = [
    {"lr": 0.01},
    {"lr": 0.01, "weight_decay": 0.1},
    {"lr": 0.05, "betas": (0.5, 0.9), "eps": 1e-3},
    {"lr": 0.01, "betas": (0.0, 0.999)},
]


@pytest.mark.parametrize("settings", SGD_SETTINGS, ids=str)
def test_sgd_walks_where_pytorchs_walks(settings):
    ours, theirs = both_trajectories(
        lambda params: nn.optim.SGD(params, **settings), lambda params: torch.optim.SGD(params, **settings)
    )
    np.testing.assert_allclose(ours, theirs, rtol=1e-6, atol=1e-9)


@pytest.mark.parametrize("settings", ADAM_SETTINGS, ids=str)
def test_adam_walks_where_pytorchs_walks(settings):
    ours, theirs = both_trajectories(
        lambda params: nn.optim.Adam(params, **settings), lambda params: torch.optim.Adam(params, **settings)
    )
    np.testing.assert_allclose(ours, theirs, rtol=1e-6, atol=1e-9)


@pytest.mark.parametrize(("name", "settings"), [
    ("StepLR", {"step_size": 1}), ("StepLR", {"step_size": 30, "gamma": 0.5}),
    ("CosineAnnealingLR", {"T_max": 200}), ("CosineAnnealingLR", {"T_max": 200, "eta_min": 0.001}),
])  # fmt: skip
def test_a_schedule_gives_pytorchs_learning_rates(name, settings):
    ours = nn.optim.SGD([nn.Parameter(np.zeros(1))], lr=0.3)
    theirs = torch.optim.SGD([torch.zeros(1, requires_grad=True)], lr=0.3)
    our_schedule = getattr(nn.optim.lr_scheduler, name)(ours, **settings)
    their_schedule = getattr(torch.optim.lr_scheduler, name)(theirs, **settings)
    for _ in range(200):
        assert ours.lr == pytest.approx(theirs.param_groups[0]["lr"], rel=1e-9, abs=1e-15)
        for step in (ours.step, theirs.step, our_schedule.step, their_schedule.step):
            step()


def test_adam_with_a_cosine_walks_where_pytorchs_walks():
    ours, theirs = both_trajectories(
        lambda params: nn.optim.Adam(params, lr=0.05),
        lambda params: torch.optim.Adam(params, lr=0.05),
        lambda optimizer: nn.optim.lr_scheduler.CosineAnnealingLR(optimizer, T_max=200),
        lambda optimizer: torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, T_max=200),
    )
    np.testing.assert_allclose(ours, theirs, rtol=1e-6, atol=1e-9)


@pytest.mark.parametrize("max_norm", [0.1, 1.0, 100.0])
def test_clipping_scales_the_gradients_as_pytorchs_does(max_norm):
    rng = np.random.default_rng(0)
    parameters = [nn.Parameter(np.zeros(shape)) for shape in SHAPES]
    tensors = [torch.zeros(shape, dtype=torch.float64, requires_grad=True) for shape in SHAPES]
    for p, w in zip(parameters, tensors, strict=True):
        p.grad[...] = rng.normal(size=p.shape)
        w.grad = torch.tensor(p.grad)
    norm = nn.optim.clip_grad_norm_(parameters, max_norm)
    assert norm == pytest.approx(torch.nn.utils.clip_grad_norm_(tensors, max_norm).item(), rel=1e-12)
    for p, w in zip(parameters, tensors, strict=True):
        np.testing.assert_allclose(p.grad, w.grad, rtol=1e-5)  # PyTorch divides by the norm + 1e-6
