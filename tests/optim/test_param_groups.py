"""Parameter groups: each has its own learning rate and weight decay, in steps, schedules, states and checkpoints."""

import json

import numpy as np
import pytest
from cases import OPTIMIZERS, SCHEDULES

import nnscratch as nn
from nnscratch.optim import lr_scheduler
from nnscratch.training import Checkpoint, resume

GRADIENTS = np.random.default_rng(0).normal(size=(12, 2, 3))


def parameters():
    return [nn.Parameter(np.ones(3)), nn.Parameter(np.full(3, 2.0))]


def walk(parameters, *optimizers, gradients=GRADIENTS):
    for pair in gradients:
        for p, g in zip(parameters, pair, strict=True):
            p.grad[...] = g
        for optimizer in optimizers:
            optimizer.step()


@pytest.mark.parametrize(
    ("cls", "settings"), [(cls, s) for cls, several in OPTIMIZERS.items() for s in several], ids=lambda v: str(v)
)
def test_two_groups_are_two_optimizers(cls, settings):
    one, two = parameters(), parameters()
    own = {"lr": 0.007, "weight_decay": 0.3}
    grouped = cls([{"params": one[:1]}, {"params": one[1:], **own}], **settings)
    walk(one, grouped)
    walk(two, cls(two[:1], **settings), cls(two[1:], **(settings | own)))
    for p, q in zip(one, two, strict=True):
        np.testing.assert_array_equal(p.data, q.data)
    assert grouped.parameters == one and [len(group["params"]) for group in grouped.param_groups] == [1, 1]


def test_rows_without_a_gradient_decay_in_the_group_that_has_weight_decay():
    tables = [nn.Parameter(np.ones((10, 2))) for _ in range(2)]
    optimizer = nn.optim.SGD([{"params": tables[:1]}, {"params": tables[1:], "weight_decay": 0.5}], lr=0.1)
    for table in tables:
        table.add_rows(np.array([3]), np.ones((1, 2)))
    optimizer.step()
    assert tables[0].data[4].tolist() == [1, 1] and tables[1].data[4].tolist() == [0.95, 0.95]


@pytest.mark.parametrize(
    ("cls", "settings"), [(cls, entry[0]) for cls, several in SCHEDULES.items() for entry in several],
    ids=lambda v: v.__name__ if isinstance(v, type) else "",
)  # fmt: skip
def test_a_schedule_acts_on_each_group_from_its_own_rate(cls, settings):
    a, b = parameters()
    grouped = nn.optim.SGD([{"params": [a]}, {"params": [b], "lr": 0.07}], lr=0.3)
    alone = [nn.optim.SGD([p], lr=lr) for p, lr in zip(parameters(), (0.3, 0.07), strict=True)]
    schedule, *others = (cls(optimizer, **settings) for optimizer in (grouped, *alone))
    for step in range(100):
        assert [group["lr"] for group in grouped.param_groups] == [optimizer.lr for optimizer in alone]
        loss = (1 / (1 + step),) if cls.after_validation and step < 5 else (1.0,) if cls.after_validation else ()
        for s in (schedule, *others):
            s.step(*loss)
    again = cls(nn.optim.SGD([{"params": [a]}, {"params": [b], "lr": 9.0}], lr=9.0), **settings)
    again.load_state_dict(json.loads(json.dumps(schedule.state_dict())))
    assert [group["lr"] for group in again.optimizer.param_groups] == [optimizer.lr for optimizer in alone]


def test_a_state_holds_the_settings_of_each_group_and_a_state_with_other_groups_is_refused():
    one, two = parameters(), parameters()
    first = nn.optim.AdamW([{"params": one[:1]}, {"params": one[1:], "lr": 0.5, "weight_decay": 0.0}], lr=0.1)
    walk(one, first, gradients=GRADIENTS[:5])
    state = first.state_dict()
    assert state["param_groups"] == [
        {"params": [0], "lr": 0.1, "weight_decay": 0.01}, {"params": [1], "lr": 0.5, "weight_decay": 0.0}
    ]  # fmt: skip
    second = nn.optim.AdamW([{"params": two[:1]}, {"params": two[1:]}], lr=3.0)
    second.load_state_dict(state)
    for p, q in zip(one, two, strict=True):
        q.data[...] = p.data
    walk(one, first, gradients=GRADIENTS[5:])
    walk(two, second, gradients=GRADIENTS[5:])
    for p, q in zip(one, two, strict=True):
        np.testing.assert_array_equal(p.data, q.data)
    with pytest.raises(ValueError, match=r"groups of \[1, 1\] parameters; this optimizer has groups of \[2\]"):
        nn.optim.AdamW(parameters(), lr=7.0).load_state_dict(state)


def test_a_state_that_is_no_dict_or_has_other_settings_is_refused():
    optimizer = nn.optim.SGD(parameters(), lr=0.1)
    with pytest.raises(TypeError, match="SGD expects a dict, got list"):
        optimizer.load_state_dict([])
    state = optimizer.state_dict()
    state["param_groups"][0]["alpha"] = 0.9
    with pytest.raises(ValueError, match=r"this optimizer has the settings \['lr', 'params', 'weight_decay'\]"):
        optimizer.load_state_dict(state)


def test_states_from_before_there_were_groups_are_read():
    w = nn.Parameter(np.ones(3))
    optimizer = nn.optim.SGD([w], lr=0.1, momentum=0.9, weight_decay=0.2)
    optimizer.load_state_dict({"lr": 0.5, "steps": 4, "velocity": [np.ones(3)]})
    assert (optimizer.lr, optimizer.weight_decay, optimizer.steps) == (0.5, 0.2, 4)
    schedule = lr_scheduler.StepLR(optimizer, 2, 0.5)
    schedule.load_state_dict({"base_lr": 8.0, "steps": 2})
    assert optimizer.lr == 4.0


def test_a_run_with_groups_is_resumed_bit_for_bit(tmp_path):
    x, y = np.random.default_rng(1).normal(size=(8, 3)).astype(np.float32), np.arange(8) % 2

    def trainer(callbacks=()):
        model = nn.models.MLP([3, 4, 2], rng=0)
        weights, biases = ([p for p in model.parameters() if len(p.shape) == n] for n in (2, 1))
        optimizer = nn.optim.AdamW([{"params": weights}, {"params": biases, "weight_decay": 0.0, "lr": 0.02}], lr=0.1)
        scheduler = lr_scheduler.CosineAnnealingLR(optimizer, T_max=10, eta_min=0.01, warmup=3)
        return nn.Trainer(model, nn.CrossEntropyLoss(), optimizer, scheduler=scheduler, callbacks=callbacks)

    whole, first, second = trainer(), trainer([Checkpoint(tmp_path)]), trainer()
    whole.fit([(x, y)], steps=10)
    first.fit([(x, y)], steps=4)
    for group in second.optimizer.param_groups:
        group["lr"] = 77.0  # the checkpoint has the right one
    resume(second, tmp_path)
    second.fit([(x, y)], steps=10)
    assert second.history.loss == whole.history.loss and second.history.lr == whole.history.lr


def test_setting_a_rate_or_a_decay_of_the_optimizer_sets_it_in_all_groups():
    a, b = parameters()
    optimizer = nn.optim.Adam([{"params": [a], "lr": 1.0}, {"params": [b]}])
    assert (optimizer.lr, optimizer.weight_decay) == (1.0, 0.0)
    optimizer.lr, optimizer.weight_decay = 0.5, 0.1
    assert [(g["lr"], g["weight_decay"]) for g in optimizer.param_groups] == [(0.5, 0.1)] * 2


@pytest.mark.parametrize(("groups", "error", "message"), [
    (lambda a, b: [{"params": [a]}, b], TypeError, r'param_groups\[1\] must be a dict with "params", got Parameter'),
    (lambda a, b: [{"parameters": [a]}], TypeError, r"got a dict without it: \['parameters'\]"),
    (lambda a, b: {"params": [a]}, TypeError, "got a dict: put it into a list"),
    (
        lambda a, b: [{"params": [a], "momentum": 0.5}],
        ValueError,
        "has momentum, but a group can have its own lr and weight_decay only",
    ),
    (lambda a, b: [{"params": [a]}, {"params": [a]}], ValueError, "a parameter is given twice"),
    (lambda a, b: [{"params": [a], "lr": -1}], ValueError, "lr must be a finite number, 0 or more, got -1"),
    (lambda a, b: [{"params": a}], TypeError, "expected a list of parameters, got a Parameter"),
    (lambda a, b: a, TypeError, "got a Parameter: put it into a list"),
    (lambda a, b: nn.Linear(1, 1), TypeError, r"got a Linear: pass its parameters\(\)"),
    (lambda a, b: [{"params": []}], ValueError, "SGD got no parameters"),
])  # fmt: skip
def test_wrong_groups_are_refused(groups, error, message):
    with pytest.raises(error, match=message):
        nn.optim.SGD(groups(*parameters()), lr=0.1)


def test_an_optimizer_of_your_own_has_groups_with_a_rate_and_refuses_a_decay_that_it_does_not_use():
    class SignSGD(nn.optim.Optimizer):
        def update(self, w, g):
            w -= self.lr * np.sign(g)

    a, b = parameters()
    optimizer = SignSGD([{"params": [a]}, {"params": [b], "lr": 0.5}], lr=0.1)
    walk([a, b], optimizer, gradients=np.ones((1, 2, 3)))
    assert a.data.tolist() == [0.9] * 3 and b.data.tolist() == [1.5] * 3
    with pytest.raises(ValueError, match=r"\[0\] has weight_decay, but a group can have its own lr only"):
        SignSGD([{"params": [a], "weight_decay": 0.1}], lr=0.1)
