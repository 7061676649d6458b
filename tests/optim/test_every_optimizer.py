"""Every optimiser and every schedule, saved and restored, continues as if it had not been interrupted.

The settings are those of tests/shared/cases.py, one after the other.
"""

import json

import numpy as np
import pytest
from cases import OPTIMIZERS, SCHEDULES
from hypothesis import given
from hypothesis import strategies as st

import nnscratch as nn
from nnscratch.optim import lr_scheduler

every_optimizer = pytest.mark.parametrize(
    ("cls", "settings"), [(cls, s) for cls, several in OPTIMIZERS.items() for s in several], ids=lambda v: str(v)
)
every_schedule = pytest.mark.parametrize(
    ("cls", "settings"), [(cls, entry[0]) for cls, several in SCHEDULES.items() for entry in several],
    ids=lambda v: v.__name__ if isinstance(v, type) else "",
)  # fmt: skip


def walk(w, optimizer, gradients):
    for g in gradients:
        w.grad[...] = g
        optimizer.step()


@every_optimizer
def test_an_optimizer_goes_on_from_its_state_as_if_it_had_not_stopped(cls, settings):
    gradients = np.random.default_rng(0).normal(size=(10, 3))
    one, other = (nn.Parameter(np.ones(3)) for _ in range(2))
    first = cls([one], **settings)
    walk(one, first, gradients[:5])
    second = cls([other], **{**settings, "lr": 9.0})
    second.load_state_dict(first.state_dict())
    other.data[...] = one.data
    walk(one, first, gradients[5:])
    walk(other, second, gradients[5:])
    np.testing.assert_array_equal(one.data, other.data)


@every_optimizer
def test_six_steps_are_those_of_the_textbook_update(cls, settings):
    rng = np.random.default_rng(0)
    w = nn.Parameter(rng.normal(size=(3, 4)))
    optimizer = cls([w], **settings)
    expected = [w.data.copy(), *(np.zeros((3, 4)) for _ in optimizer.moments)]
    for g in rng.normal(size=(6, 3, 4)):
        w.grad[...] = g
        optimizer.step()
        expected = optimizer.textbook_update(expected[0], g, *expected[1:])
    fast = [w.data, *(optimizer.state[name][0] for name in optimizer.moments)]
    for name, ours, textbook in zip(("w", *optimizer.moments), fast, expected, strict=True):
        np.testing.assert_allclose(ours, textbook, rtol=1e-11, atol=1e-14, err_msg=name)


@every_optimizer
def test_a_step_writes_into_the_weights_in_their_dtype_and_leaves_the_gradient(cls, settings):
    w = nn.Parameter(np.ones(3, dtype=np.float32))
    data, optimizer = w.data, cls([w], **settings)
    walk(w, optimizer, [np.full(3, 2.0)])
    assert w.data is data and w.dtype == np.float32 and (data < 1).all()
    np.testing.assert_array_equal(w.grad, [2, 2, 2])


@every_optimizer
def test_it_comes_down_to_the_bottom_of_a_bowl(cls, settings):
    w = nn.Parameter(np.array([0.3, -0.2]))
    optimizer = cls([w], **{**settings, "weight_decay": 0.0})
    before = np.abs(w.data).max()
    for _ in range(300):
        w.grad[...] = w.data
        optimizer.step()
    assert np.abs(w.data).max() < 0.8 * before


@every_schedule
def test_a_schedule_goes_on_from_its_state_as_if_it_had_not_stopped(cls, settings):
    losses = np.random.default_rng(0).random(40)
    optimizers = [nn.optim.SGD([nn.Parameter(np.zeros(1))], lr=lr) for lr in (0.3, 0.9)]
    first, second = (cls(optimizer, **settings) for optimizer in optimizers)

    def step(schedule, loss):
        schedule.step(*((float(loss),) if cls.after_validation else ()))

    for loss in losses[:20]:
        step(first, loss)
    second.load_state_dict(json.loads(json.dumps(first.state_dict())))  # as a checkpoint keeps it
    for loss in losses[20:]:
        assert optimizers[0].lr == optimizers[1].lr
        step(first, loss)
        step(second, loss)
    assert optimizers[0].lr == optimizers[1].lr


@given(warmup=st.integers(1, 50), lr=st.floats(1e-5, 10))
def test_warm_up_rises_in_equal_steps_to_the_full_rate_and_stays(warmup, lr):
    optimizer = nn.optim.SGD([nn.Parameter(np.zeros(1))], lr=lr)
    schedule = lr_scheduler.LinearWarmup(optimizer, warmup)
    rates = [optimizer.lr]
    for _ in range(warmup + 5):
        schedule.step()
        rates.append(optimizer.lr)
    np.testing.assert_allclose(rates[: warmup + 1], lr * np.arange(1, warmup + 2) / (warmup + 1), rtol=1e-9)
    np.testing.assert_allclose(rates[warmup:], lr, rtol=1e-9)


@given(total=st.integers(10, 200), start=st.floats(0.25, 0.75))
def test_one_cycle_rises_to_the_largest_rate_once_and_ends_at_the_smallest(total, start):
    optimizer = nn.optim.SGD([nn.Parameter(np.zeros(1))], lr=123.0)
    schedule = lr_scheduler.OneCycleLR(optimizer, 0.5, total, start)
    rates = [optimizer.lr]
    for _ in range(total + 3):
        schedule.step()
        rates.append(optimizer.lr)
    top = int(np.argmax(rates))
    assert rates[0] == pytest.approx(0.5 / 25) and 0.2 < rates[top] <= 0.5
    assert (np.diff(rates[: top + 1]) > 0).all() and (np.diff(rates[top:]) <= 0).all()
    assert rates[total - 1 :] == pytest.approx([0.5 / 25 / 1e4] * 5)


def test_the_trainer_hands_reduce_lr_on_plateau_the_validation_loss():
    model = nn.Linear(2, 3, rng=0)
    x, y = np.ones((4, 2), dtype=np.float32), np.zeros(4, dtype=int)
    optimizer = nn.optim.SGD(model.parameters(), lr=1e-9)  # too small to improve anything
    schedule = lr_scheduler.ReduceLROnPlateau(optimizer, factor=0.5, patience=1)
    trainer = nn.Trainer(model, nn.CrossEntropyLoss(), optimizer, scheduler=schedule)
    trainer.fit([(x, y)], [(x, y)], steps=5)
    assert schedule.steps == 5 and optimizer.lr == pytest.approx(1e-9 / 4)
    with pytest.raises(ValueError, match="ReduceLROnPlateau needs the validation loss: give fit"):
        trainer.fit([(x, y)], steps=6)


def test_clipping_by_value_touches_only_what_is_outside():
    w = nn.Parameter(np.zeros(4, dtype=np.float32))
    w.grad[...] = [-3, -0.5, 0.5, 3]
    grad = w.grad
    nn.optim.clip_grad_value_([w], 0.7)
    assert w.grad is grad and grad.dtype == np.float32
    np.testing.assert_array_equal(grad, np.array([-0.7, -0.5, 0.5, 0.7], dtype=np.float32))


@pytest.mark.parametrize(("build", "message"), [
    (lambda w: nn.optim.Adagrad(w, eps=-1), "eps must be a finite number, 0 or more, got -1"),
    (lambda w: nn.optim.RMSprop(w, alpha=1.0), r"alpha must be a finite number, in \[0, 1\), got 1.0"),
    (lambda w: nn.optim.RMSprop(w, momentum=-0.1), r"momentum must be a finite number, in \[0, 1\), got -0.1"),
    (lambda w: nn.optim.AdamW(w, weight_decay=-1), "weight_decay must be a finite number, 0 or more, got -1"),
    (lambda w: nn.optim.clip_grad_value_(w, -1), "clip_value must be a finite number, 0 or more, got -1"),
    (lambda w: lr_scheduler.LinearWarmup(nn.optim.Adam(w), 0), "warmup_steps must be an integer of 1 or more, got 0"),
    (lambda w: lr_scheduler.LinearWarmup(nn.optim.Adam(w), 5, 2.0), r"start_factor must be a probability in \[0, 1\)"),
    (lambda w: lr_scheduler.OneCycleLR(nn.optim.Adam(w), 1.0, 3), "too small for both an increase and a decrease"),
    (lambda w: lr_scheduler.OneCycleLR(nn.optim.Adam(w), 1.0, 5, 0.2), "too small for both an increase"),
    (lambda w: lr_scheduler.OneCycleLR(nn.optim.Adam(w), 1.0, 30, div_factor=0.1), "div_factor must be a finite"),
    (lambda w: lr_scheduler.MultiStepLR(nn.optim.Adam(w), [3, 0]), r"milestones\[1\] must be an integer of 1 or more"),
    (lambda w: lr_scheduler.MultiStepLR(nn.optim.Adam(w), [3], gamma=-1), "gamma must be a finite number, 0 or more"),
    (lambda w: lr_scheduler.ReduceLROnPlateau(nn.optim.Adam(w), patience=-1), "patience must be an integer of 0 or"),
    (lambda w: lr_scheduler.ReduceLROnPlateau(nn.optim.Adam(w), factor=1.0), r"factor must be a probability"),
    (lambda w: lr_scheduler.ReduceLROnPlateau(nn.optim.Adam(w)).step(float("nan")), "loss must be a finite number"),
])  # fmt: skip
def test_what_is_out_of_range_is_refused_by_name(build, message):
    with pytest.raises(ValueError, match=message):
        build([nn.Parameter(np.ones(2))])


@pytest.mark.parametrize("make", [nn.optim.SGD, nn.optim.Adam, nn.optim.Adagrad])
def test_a_gradient_of_another_shape_is_refused_before_anything_is_changed(make):
    weight, bias = nn.Parameter(np.ones((3, 2))), nn.Parameter(np.ones(3))
    optimizer = make([weight, bias], lr=0.1)
    weight.grad[...] = 1.0
    for wrong, words in ((np.float64(5.0), r"\(\)"), (np.ones(1), r"\(1,\)"), (None, "NoneType")):
        bias.grad = wrong
        with pytest.raises(ValueError, match=rf"the gradient of parameter 1 must have the shape \(3,\), got {words}"):
            optimizer.step()
    assert (weight.data == 1).all() and (bias.data == 1).all() and optimizer.steps == 0
