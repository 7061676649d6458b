"""Every optimiser and every schedule agrees with PyTorch's for 200 steps, to 1e-6 in float64.

The settings are those of tests/shared/cases.py, one after the other.
"""

import numpy as np
import pytest
from cases import OPTIMIZERS, SCHEDULES

import nnscratch as nn

torch = pytest.importorskip("torch")

SHAPES = [(3, 4), (5,), ()]


def valley(w, noise):
    """Return the noisy gradient of a curved valley."""
    return np.sin(w) + 0.1 * w + noise


@pytest.mark.parametrize(
    ("cls", "settings"), [(cls, s) for cls, several in OPTIMIZERS.items() for s in several], ids=lambda v: str(v)
)
def test_two_hundred_steps_of_an_optimizer_follow_pytorchs(cls, settings):
    rng = np.random.default_rng(0)
    ours = [nn.Parameter(np.array(rng.normal(size=shape))) for shape in SHAPES]
    theirs = [torch.tensor(p.data, requires_grad=True) for p in ours]
    start = [p.data.copy() for p in ours]
    our_optimizer, their_optimizer = cls(ours, **settings), getattr(torch.optim, cls.__name__)(theirs, **settings)
    for _ in range(200):
        for p, w in zip(ours, theirs, strict=True):
            noise = 0.1 * rng.normal(size=p.shape)
            p.grad[...] = valley(p.data, noise)
            w.grad = torch.tensor(valley(w.detach().numpy(), noise))
        our_optimizer.step()
        their_optimizer.step()
        for p, w in zip(ours, theirs, strict=True):
            np.testing.assert_allclose(p.data, w.detach().numpy(), rtol=1e-6, atol=1e-9)
    assert max(np.abs(p.data - s).max() for p, s in zip(ours, start, strict=True)) > 0.05  # it went somewhere


@pytest.mark.parametrize("cls", OPTIMIZERS, ids=lambda cls: cls.__name__)
def test_parameter_groups_and_a_schedule_are_pytorchs(cls):
    rng = np.random.default_rng(0)
    ours = [nn.Parameter(np.array(rng.normal(size=shape))) for shape in SHAPES]
    theirs = [torch.tensor(p.data, requires_grad=True) for p in ours]

    def groups(params):
        return [{"params": params[:1], "weight_decay": 0.2}, {"params": params[1:], "lr": 0.002}]

    optimizer = cls(groups(ours), lr=0.01, weight_decay=0.01)
    peer = getattr(torch.optim, cls.__name__)(groups(theirs), lr=0.01, weight_decay=0.01)
    schedule = nn.optim.lr_scheduler.CosineAnnealingLR(optimizer, T_max=100, eta_min=1e-4)
    their_schedule = torch.optim.lr_scheduler.CosineAnnealingLR(peer, T_max=100, eta_min=1e-4)
    for _ in range(100):
        for p, w in zip(ours, theirs, strict=True):
            p.grad[...] = np.sin(p.data)
            w.grad = torch.tensor(np.sin(w.detach().numpy()))
        for stepped in (optimizer, peer, schedule, their_schedule):
            stepped.step()
        for p, w in zip(ours, theirs, strict=True):
            np.testing.assert_allclose(p.data, w.detach().numpy(), rtol=1e-6, atol=1e-9)
        for group, their_group in zip(optimizer.param_groups, peer.param_groups, strict=True):
            assert group["lr"] == pytest.approx(their_group["lr"], rel=1e-9)
            assert group["weight_decay"] == their_group["weight_decay"]


def test_warm_up_and_cosine_in_one_schedule_are_nanogpts_rates():
    def factor(step, warmup=10, decay=60, lowest=0.1):  # of nanoGPT's train.py, as a factor of the full rate
        if step < warmup:
            return (step + 1) / (warmup + 1)
        progress = min(1.0, (step - warmup) / (decay - warmup))
        return lowest + 0.5 * (1.0 + np.cos(np.pi * progress)) * (1 - lowest)

    ours = nn.optim.SGD([nn.Parameter(np.zeros(1))], lr=0.3)
    torchs = torch.optim.SGD([torch.zeros(1, requires_grad=True)], lr=0.3)
    schedule = nn.optim.lr_scheduler.CosineAnnealingLR(ours, T_max=60, eta_min=0.03, warmup=10)
    peer = torch.optim.lr_scheduler.LambdaLR(torchs, factor)
    for _ in range(80):
        assert ours.lr == pytest.approx(torchs.param_groups[0]["lr"], rel=1e-9)
        torchs.step()
        schedule.step()
        peer.step()


@pytest.mark.parametrize(
    ("cls", "settings", "name", "theirs"),
    [(cls, *entry) for cls, several in SCHEDULES.items() for entry in several],
    ids=lambda v: v.__name__ if isinstance(v, type) else "",
)
def test_two_hundred_rates_of_a_schedule_are_pytorchs(cls, settings, name, theirs):
    ours = nn.optim.SGD([nn.Parameter(np.zeros(1))], lr=0.3)
    torchs = torch.optim.SGD([torch.zeros(1, requires_grad=True)], lr=0.3)
    schedule, peer = cls(ours, **settings), getattr(torch.optim.lr_scheduler, name)(torchs, **theirs)
    rng, rates = np.random.default_rng(0), []
    for step in range(200):
        assert ours.lr == pytest.approx(torchs.param_groups[0]["lr"], rel=1e-9, abs=1e-15)
        rates.append(ours.lr)
        loss = (1 / (1 + step) + 0.05 * rng.random(),) if cls.after_validation else ()
        torchs.step()
        schedule.step(*loss)
        peer.step(*loss)
    assert len(set(rates)) > 3  # it went somewhere


@pytest.mark.parametrize("bound", [0.1, 1.0, 100.0])
def test_clipping_by_value_is_pytorchs(bound):
    rng = np.random.default_rng(0)
    parameters = [nn.Parameter(np.zeros(shape)) for shape in SHAPES]
    tensors = [torch.zeros(shape, dtype=torch.float64, requires_grad=True) for shape in SHAPES]
    for p, w in zip(parameters, tensors, strict=True):
        p.grad[...] = rng.normal(size=p.shape)
        w.grad = torch.tensor(p.grad)
    nn.optim.clip_grad_value_(parameters, bound)
    torch.nn.utils.clip_grad_value_(tensors, bound)
    for p, w in zip(parameters, tensors, strict=True):
        np.testing.assert_array_equal(p.grad, w.grad)
