"""Settings, states and numbers with which an optimiser would go wrong without a word."""

import math

import numpy as np
import pytest

import nnscratch as nn

ADAPTIVE = [nn.optim.Adam, nn.optim.AdamW, nn.optim.RMSprop, nn.optim.Adagrad]
EVERY = [lambda p: nn.optim.SGD(p, 0.1, momentum=0.9), *ADAPTIVE]


@pytest.mark.parametrize("make", EVERY)
def test_a_weight_replaced_by_a_transposed_array_still_learns(make):
    values = np.arange(6.0).reshape(2, 3)
    models = [nn.Linear(2, 3, rng=0), nn.Linear(2, 3, rng=0)]
    for model in models:
        model.to(dtype=np.float64)
    models[0].weight.data = values.T  # its flat form is a copy
    models[1].weight.data[...] = values.T
    for model in models:
        optimizer = make(model.parameters())
        for _ in range(3):
            model.weight.grad[...] = values.T + 1
            optimizer.step()
    assert not np.array_equal(models[0].weight.data, values.T)
    np.testing.assert_array_equal(models[0].weight.data, models[1].weight.data)


def test_a_transposed_gradient_is_clipped():
    w = nn.Parameter(np.zeros((3, 2)))
    w.grad = np.array([[3.0, 0.0, 0.0], [0.0, 0.0, 4.0]]).T
    assert nn.optim.clip_grad_norm_([w], 1.0) == 5.0
    assert np.linalg.norm(w.grad) == pytest.approx(1.0)


@pytest.mark.parametrize("wrong", [[1.0, 2.0], np.arange(3), "abc"])
def test_what_is_no_array_of_floats_is_refused_as_data(wrong):
    w = nn.Parameter(np.ones(3))
    with pytest.raises(TypeError):
        w.data = wrong
    np.testing.assert_array_equal(w.data, 1)


@pytest.mark.parametrize("lr", [math.nan, math.inf, -1.0, 1j, "0.1", True, None])
def test_a_learning_rate_set_later_is_checked_before_anything_changes(lr):
    w = nn.Parameter(np.ones(3))
    optimizer = nn.optim.Adam([w])
    w.grad[...] = 1
    optimizer.lr = lr
    with pytest.raises(ValueError, match="lr must be a finite number"):
        optimizer.step()
    assert optimizer.steps == 0
    np.testing.assert_array_equal(w.data, 1)


def test_a_model_converted_after_its_optimizer_was_made_is_refused():
    model = nn.Linear(2, 3, rng=0)
    optimizer = nn.optim.Adam(model.parameters())
    model.to(dtype=np.float64)
    with pytest.raises(TypeError, match="convert the model first"):
        optimizer.step()


@pytest.mark.parametrize("cls", ADAPTIVE)
def test_an_eps_that_is_zero_in_float16_is_refused_and_a_larger_one_works(cls):
    w = nn.Parameter(np.ones(3, dtype=np.float16))
    with pytest.raises(ValueError, match="is 0 in float16"):
        cls([w], eps=1e-8)
    optimizer = cls([w], lr=0.1, eps=1e-4)
    w.grad[...] = 0, 1, 1e-4
    optimizer.step()
    assert np.isfinite(w.data).all()
    assert w.data[0] == pytest.approx(1.0, abs=2e-3)


@pytest.mark.parametrize(
    ("cls", "name"), list(zip(ADAPTIVE, ["exp_avg_sq", "exp_avg_sq", "square_avg", "sum"], strict=True))
)
def test_a_state_with_a_negative_mean_of_squares_is_refused(cls, name):
    w = nn.Parameter(np.ones(3))
    optimizer = cls([w])
    state = {k: v if k in ("lr", "steps") else [a.copy() for a in v] for k, v in optimizer.state_dict().items()}
    state[name][0][1] = -1e-3
    with pytest.raises(ValueError, match="holds negative values"):
        optimizer.load_state_dict(state)
    np.testing.assert_array_equal(optimizer.state[name][0], 0)


def test_the_variance_of_centered_rmsprop_is_never_below_zero():
    """A gradient that is almost constant: v - a^2 is then smaller than the rounding of v."""
    w = nn.Parameter(np.zeros(50, dtype=np.float32))
    optimizer = nn.optim.RMSprop([w], lr=1e-6, centered=True)
    g = np.random.default_rng(0).normal(size=50).astype(np.float32)
    for _ in range(3000):
        w.grad[...] = g
        optimizer.step()
    v, a = (optimizer.state[name][0] for name in ("square_avg", "grad_avg"))
    assert (v - a * a).min() < 0  # the case that this test is about
    assert np.isfinite(w.data).all()


def test_losses_that_get_worse_from_a_negative_best_reduce_the_rate():
    optimizer = nn.optim.SGD([nn.Parameter(np.zeros(1))], lr=1.0)
    scheduler = nn.optim.lr_scheduler.ReduceLROnPlateau(optimizer, patience=3)
    rates = []
    for k in range(9):
        scheduler.step(-100.0 + k)
        rates.append(optimizer.lr)
    assert rates == pytest.approx([1, 1, 1, 1, 0.1, 0.1, 0.1, 0.1, 0.01])


def test_the_first_loss_of_a_plateau_is_the_best_one():
    optimizer = nn.optim.SGD([nn.Parameter(np.zeros(1))], lr=1.0)
    scheduler = nn.optim.lr_scheduler.ReduceLROnPlateau(optimizer, patience=0)
    scheduler.step(1.0)
    assert optimizer.lr == 1.0
    scheduler.step(1.0)
    assert optimizer.lr == pytest.approx(0.1)


@pytest.mark.parametrize(
    "wrong",
    [{"base_lr": math.nan}, {"steps": -1}, {"steps": 1.5}, {"best": math.nan}, {"cuts": -1}, {"bad": "1"}],
    ids=str,
)
def test_a_broken_state_of_a_schedule_is_refused_and_changes_nothing(wrong):
    optimizer = nn.optim.SGD([nn.Parameter(np.zeros(1))], lr=1.0)
    scheduler = nn.optim.lr_scheduler.ReduceLROnPlateau(optimizer, patience=0)
    scheduler.step(1.0)
    before = scheduler.state_dict()
    with pytest.raises(ValueError, match="must be"):
        scheduler.load_state_dict(before | wrong)
    assert scheduler.state_dict() == before
    assert optimizer.lr == 1.0


@pytest.mark.parametrize(("make", "name", "value", "message"), [
    (lambda p: nn.optim.SGD(p, 0.1, momentum=0.9), "momentum", math.nan, "momentum must be a finite number"),
    (lambda p: nn.optim.SGD(p, 0.1, momentum=0.9), "momentum", True, "momentum must be a finite number"),
    (lambda p: nn.optim.SGD(p, 0.1, momentum=0.9), "momentum", 1.0, r"in \[0, 1\)"),
    (lambda p: nn.optim.SGD(p, 0.1, momentum=0.9), "momentum", 0.0, "momentum cannot change to 0 or from 0"),
    (lambda p: nn.optim.SGD(p, 0.1), "momentum", 0.9, "momentum cannot change to 0 or from 0"),
    (lambda p: nn.optim.SGD(p, 0.1, momentum=0.9), "nesterov", "no", "nesterov must be True or False"),
    (nn.optim.Adam, "betas", (0.9, math.nan), r"betas\[1\] must be a finite number"),
    (nn.optim.AdamW, "betas", 0.9, "betas must be a pair of numbers"),
    (nn.optim.Adam, "eps", -1.0, "eps must be a finite number"),
    (nn.optim.RMSprop, "lr", -1.0, "lr must be a finite number"),
    (nn.optim.Adagrad, "lr", -1.0, "lr must be a finite number"),
    (lambda p: nn.optim.SGD(p, 0.1), "lr", -1.0, "lr must be a finite number"),
    (nn.optim.RMSprop, "alpha", 2, "alpha must be a finite number"),
    (lambda p: nn.optim.RMSprop(p, momentum=0.9), "momentum", 1.0, r"in \[0, 1\)"),
    (nn.optim.RMSprop, "eps", math.nan, "eps must be a finite number"),
    (nn.optim.RMSprop, "centered", True, "create a new RMSprop"),
    (nn.optim.RMSprop, "momentum", 0.9, "create a new RMSprop"),
    (nn.optim.Adagrad, "eps", None, "eps must be a finite number"),
])  # fmt: skip
def test_a_setting_changed_later_is_checked_before_anything_changes(make, name, value, message):
    w = nn.Parameter(np.ones(3))
    optimizer = make([w])
    w.grad[...] = 1
    setattr(optimizer, name, value)
    with pytest.raises((TypeError, ValueError), match=message):
        optimizer.step()
    assert optimizer.steps == 0
    np.testing.assert_array_equal(w.data, 1)


def test_settings_that_may_change_still_may():
    w = nn.Parameter(np.ones(1))
    optimizer = nn.optim.SGD([w], 0.1, momentum=0.9)
    optimizer.momentum = 0.5
    for _ in range(2):
        w.grad[...] = 1
        optimizer.step()
    np.testing.assert_allclose(w.data, 1 - 0.1 - 0.1 * 1.5)


@pytest.mark.parametrize("steps", [1.5, True, -1, "1", None, 10**400])
def test_a_state_with_a_wrong_number_of_steps_is_refused(steps):
    optimizer = nn.optim.Adam([nn.Parameter(np.ones(2))])
    with pytest.raises(ValueError, match="steps must be"):
        optimizer.load_state_dict(optimizer.state_dict() | {"steps": steps})
    assert optimizer.steps == 0


@pytest.mark.parametrize("number", [10**400, -(10**5000)], ids=["400 digits", "5000 digits"])
def test_integers_that_no_float_holds_are_refused_by_name(number):
    with pytest.raises(ValueError, match="lr must be a finite number, 0 or more, got an integer of 1[0-9,]+ bits"):
        nn.optim.SGD([nn.Parameter(np.ones(2))], lr=number)
    with pytest.raises(ValueError, match="bound must be a finite number, .* got an integer of"):
        nn.init.uniform((2, 2), number)


def test_weight_decay_pulls_the_weights_to_zero_in_every_optimizer():
    for make in (nn.optim.SGD, *ADAPTIVE):
        w = nn.Parameter(np.array([2.0, -2.0]))
        w.grad[...] = 0
        make([w], lr=0.1, weight_decay=0.5).step()
        assert (np.abs(w.data) < 2).all(), make.__name__


def test_rmsprop_adds_the_weight_decay_to_the_gradient():
    w = nn.Parameter(np.array([2.0]))
    optimizer = nn.optim.RMSprop([w], lr=0.1, alpha=0.9, eps=0.0, weight_decay=0.5)
    w.grad[...] = 3.0  # with the decay: 3 + 0.5 * 2 = 4
    optimizer.step()
    np.testing.assert_allclose(optimizer.state["square_avg"][0], 0.1 * 4.0**2)
    np.testing.assert_allclose(w.data, 2.0 - 0.1 * 4 / math.sqrt(0.1 * 4.0**2))


@pytest.mark.parametrize("patience", [0, 1, 2])
def test_the_first_cut_comes_after_patience_and_one_bad_validation(patience):
    optimizer = nn.optim.SGD([nn.Parameter(np.ones(1))], lr=1.0)
    scheduler = nn.optim.lr_scheduler.ReduceLROnPlateau(optimizer, factor=0.5, patience=patience)
    scheduler.step(1.0)  # the first loss is the best so far
    rates = []
    for _ in range(patience + 1):
        rates.append(optimizer.lr)
        scheduler.step(1.0)
    assert rates == [1.0] * (patience + 1) and optimizer.lr == 0.5


def test_a_loss_improves_by_a_fraction_of_the_best_one():
    for second, rate in ((3.7, 0.1), (3.5, 1.0)):  # the best is 4.0, so an improvement is below 3.6
        optimizer = nn.optim.SGD([nn.Parameter(np.zeros(1))], lr=1.0)
        scheduler = nn.optim.lr_scheduler.ReduceLROnPlateau(optimizer, patience=0, threshold=0.1)
        for loss in (4.0, second):
            scheduler.step(loss)
        assert optimizer.lr == pytest.approx(rate)


def test_a_frozen_weight_does_not_decay():
    frozen, w = nn.Parameter(np.ones(1), requires_grad=False), nn.Parameter(np.ones(1))
    nn.optim.SGD([frozen, w], lr=0.1, weight_decay=0.5).step()
    assert (frozen.data.tolist(), w.data.tolist()) == ([1.0], [0.95])


def test_a_weight_replaced_by_a_read_only_array_learns_and_the_array_does_not_change():
    values = np.frombuffer(bytes(12), dtype=np.float32)
    w = nn.Parameter(values)
    w.grad[...] = 1
    nn.optim.SGD([w], lr=0.5).step()
    np.testing.assert_array_equal(w.data, -0.5)
    np.testing.assert_array_equal(values, 0)


@pytest.mark.parametrize("make", EVERY)
def test_a_gradient_that_is_not_floats_is_refused_before_anything_changes(make):
    weight, bias = nn.Parameter(np.ones((3, 2))), nn.Parameter(np.ones(3))
    optimizer = make([weight, bias])
    weight.grad[...] = 1
    bias.grad = np.ones(3, dtype=complex)
    with pytest.raises(TypeError, match="the gradient of parameter 1 must be floats, got complex128"):
        optimizer.step()
    assert optimizer.steps == 0
    np.testing.assert_array_equal(weight.data, 1)


@pytest.mark.parametrize(("entry", "message"), [
    ({"exp_avg": None}, "exp_avg must be a list of arrays"),
    ({"exp_avg": 3}, "exp_avg must be a list of arrays"),
    ({"exp_avg": [None]}, "the shapes of exp_avg"),
    ({"exp_avg": ["abc"]}, "the shapes of exp_avg"),
    ({"exp_avg": [[0.0, 0.0, 0.0]]}, "the shapes of exp_avg"),
    ({"exp_avg": [np.zeros(3, dtype=complex)]}, "exp_avg: expected float32, got complex128"),
    ({"exp_avg": [np.zeros(3, dtype=bool)]}, "exp_avg: expected float32, got bool"),
    ({"exp_avg": [np.zeros(3, dtype=object)]}, "exp_avg: expected float32, got object"),
    ({"exp_avg": [np.full(3, 1e300)]}, "exp_avg holds values that are not finite"),
    ({"param_groups": None}, "param_groups must be a list of dicts"),
    ({"param_groups": [{}]}, "param_groups must be a list of dicts"),
    ({"param_groups": [{"params": 3}]}, "param_groups must be a list of dicts"),
    ({5: 1}, "expects a state with"),
])  # fmt: skip
def test_a_state_of_another_form_is_refused_and_changes_nothing(entry, message):
    w = nn.Parameter(np.ones(3, dtype=np.float32))
    optimizer = nn.optim.Adam([w])
    with pytest.raises((TypeError, ValueError), match=message):
        optimizer.load_state_dict(optimizer.state_dict() | entry)
    assert optimizer.steps == 0
    np.testing.assert_array_equal(optimizer.state["exp_avg"][0], 0)


@pytest.mark.parametrize("state", [None, [], {}, {"base_lrs": 3, "steps": 0}, {"base_lrs": [1.0], "steps": 0, 5: 1}])
def test_the_state_of_another_schedule_is_refused(state):
    scheduler = nn.optim.lr_scheduler.StepLR(nn.optim.SGD([nn.Parameter(np.ones(3))], lr=1.0), 1)
    with pytest.raises((TypeError, ValueError), match="StepLR expects|base_lrs must be a list"):
        scheduler.load_state_dict(state)
    assert (scheduler.steps, scheduler.base_lrs) == (0, [1.0])


def test_a_rate_too_large_for_a_float_is_refused_by_the_next_step():
    w = nn.Parameter(np.ones(3))
    optimizer = nn.optim.SGD([w], lr=1.0)
    scheduler = nn.optim.lr_scheduler.StepLR(optimizer, 1, gamma=1e200)
    for _ in range(2):
        scheduler.step()
    with pytest.raises(ValueError, match="lr must be a finite number"):
        optimizer.step()


@pytest.mark.parametrize(("change", "message"), [
    (lambda groups, w: groups[0]["params"].append(w), "parameters of the groups have changed"),
    (lambda groups, w: groups[0]["params"].pop(), "parameters of the groups have changed"),
    (lambda groups, w: groups[0]["params"].reverse(), "parameters of the groups have changed"),
    (lambda groups, w: groups.append(groups[0] | {"params": [w]}), "parameters of the groups have changed"),
    (lambda groups, w: groups.clear(), "parameters of the groups have changed"),
    (lambda groups, w: groups[0].update(momentum=0.5), r"must have \['lr', 'params', 'weight_decay'\]"),
    (lambda groups, w: groups[0].pop("lr"), r"must have \['lr', 'params', 'weight_decay'\]"),
])  # fmt: skip
def test_changed_parameter_groups_are_refused_before_anything_changes(change, message):
    """A momentum in a group would have no effect, and a parameter that is removed would not learn."""
    parameters = [nn.Parameter(np.ones(3)), nn.Parameter(np.ones(2))]
    optimizer = nn.optim.Adam(parameters)
    for parameter in parameters:
        parameter.grad[...] = 1
    change(optimizer.param_groups, nn.Parameter(np.ones(2)))
    with pytest.raises(ValueError, match=message):
        optimizer.step()
    assert optimizer.steps == 0
    assert all((parameter.data == 1).all() for parameter in parameters)
