"""Frozen parameters: their gradient stays zero, optimisers leave them unchanged, and all other gradients stay right."""

import numpy as np
import pytest
from cases import LAYERS, OPTIMIZERS

import nnscratch as nn
from nnscratch.gradcheck import check_gradients

RNG = np.random.default_rng(0)


def leaves(nest):
    return [leaf for inner in nest for leaf in leaves(inner)] if isinstance(nest, tuple) else [nest]


def like(nest, make):
    return tuple(like(inner, make) for inner in nest) if isinstance(nest, tuple) else make(nest)


def step(layer, inputs, dy):
    layer(*inputs)
    return layer.backward(*dy) if isinstance(dy, tuple) else layer.backward(dy)


WITH_PARAMETERS = [case for cases in LAYERS.values() for case in cases if case.build().parameters()]


@pytest.mark.parametrize("case", WITH_PARAMETERS, ids=repr)
def test_each_layer_with_one_frozen_parameter_gives_the_other_gradients_as_before(case):
    inputs = case.inputs(np.random.default_rng(0))
    whole = case.build().to(dtype=np.float64)
    dy = like(whole(*inputs), lambda a: RNG.normal(size=a.shape))
    whole.zero_grad()
    expected = step(whole, inputs, dy)
    for frozen, _ in whole.named_parameters():
        layer = case.build().to(dtype=np.float64)
        dict(layer.named_parameters())[frozen].requires_grad = False
        for _ in range(2):  # a second backward adds
            dx = step(layer, inputs, dy)
            for a, b in zip(leaves(dx), leaves(expected), strict=True):
                np.testing.assert_array_equal(a, b)
        for (name, p), q in zip(layer.named_parameters(), whole.parameters(), strict=True):
            np.testing.assert_allclose(p.grad, 0 if name == frozen else 2 * q.grad, rtol=1e-12, atol=1e-13)


def test_nothing_is_computed_for_the_gradient_of_a_frozen_weight():
    weight = nn.Parameter(np.ones((3, 4)), requires_grad=False)
    none = object()  # any operation with it would raise
    weight.add_product(none, none)
    weight.add_rows(none, none)
    assert not weight.grad.any()


def test_freezing_and_unfreezing_clear_the_gradient():
    for change in (
        lambda w: w.add_product(np.ones((3, 2)), np.ones((2, 4))),
        lambda w: w.add_rows(np.array([1]), np.ones((1, 4))),
        lambda w: w.grad.fill(5),
    ):
        for before in (True, False):
            weight = nn.Parameter(np.ones((3, 4)), requires_grad=before)
            change(weight)
            weight.requires_grad = not before
            assert not weight.grad.any()
            weight.grad += 1
            assert weight.grad.any() == (not before)


def test_requires_grad_must_be_true_or_false():
    weight = nn.Parameter(np.ones(3))
    with pytest.raises(TypeError, match="requires_grad must be True or False, got 'no'"):
        weight.requires_grad = "no"
    with pytest.raises(TypeError, match="requires_grad must be True or False, got None"):
        nn.Parameter(np.ones(3), requires_grad=None)
    assert weight.requires_grad


def test_a_frozen_parameter_says_so():
    layer = nn.Linear(2, 3).requires_grad_(False)
    assert repr(layer.bias) == "Parameter((3,), float32, cpu, requires_grad=False)"
    assert "weight: (3, 2), frozen" in repr(layer)
    assert "frozen" not in repr(layer.requires_grad_(True))


def test_a_frozen_parameter_moves_to_another_dtype():
    layer = nn.Linear(2, 3).requires_grad_(False).to(dtype=np.float64)
    assert layer.weight.grad.dtype == np.float64 and not layer.weight.grad.any() and not layer.weight.requires_grad


@pytest.mark.parametrize(("cls", "settings"), [(cls, s) for cls, several in OPTIMIZERS.items() for s in several])
def test_no_optimizer_changes_a_frozen_parameter_or_its_moments(cls, settings):
    frozen, learned = nn.Parameter(RNG.normal(size=(4, 3))), nn.Parameter(RNG.normal(size=(4, 3)))
    optimizer = cls([frozen, learned], **settings)
    for p in (frozen, learned):
        p.grad[...] = 1
    optimizer.step()  # now the moments are not zero, and would change the weights without a gradient
    frozen.requires_grad = False
    before = frozen.data.copy(), learned.data.copy()
    moments = [optimizer.state[name][0].copy() for name in optimizer.moments]
    learned.grad[...] = 1
    optimizer.step()
    np.testing.assert_array_equal(frozen.data, before[0])
    assert (learned.data != before[1]).all()
    for name, moment in zip(optimizer.moments, moments, strict=True):
        np.testing.assert_array_equal(optimizer.state[name][0], moment)


def test_clipping_counts_the_learned_parameters_only():
    frozen, learned = nn.Parameter(np.zeros(2), requires_grad=False), nn.Parameter(np.zeros(2))
    frozen.grad[...] = 100
    learned.grad[...] = 3, 4
    assert nn.optim.clip_grad_norm_([frozen, learned], 1.0) == 5
    np.testing.assert_allclose(learned.grad, [0.6, 0.8])
    nn.optim.clip_grad_value_([frozen, learned], 0.7)
    np.testing.assert_allclose(learned.grad, [0.6, 0.7])
    learned.grad[...] = np.nan
    with pytest.raises(FloatingPointError, match="of 1 gradients, the first that is not finite belongs to parameter 0"):
        nn.optim.clip_grad_norm_([frozen, learned], 1.0)


def test_the_gradient_checker_checks_what_is_learned():
    layer = nn.Linear(3, 2, rng=0).to(dtype=np.float64)
    layer.weight.requires_grad = False
    report = check_gradients(layer, RNG.normal(size=(4, 3)))
    assert report.ok and [entry.name for entry in report] == ["bias", "x"], report


@pytest.mark.parametrize("threads", [1, 2])
def test_a_trainer_trains_the_last_layer_alone_and_then_all(threads):
    model = nn.models.MLP([3, 4, 2], rng=0)
    first = model.layers[1]
    first.requires_grad_(False)
    optimizer = nn.optim.Adam(model.parameters())
    trainer = nn.Trainer(model, nn.CrossEntropyLoss(), optimizer, max_norm=1.0, threads=threads)
    before = [p.data.copy() for p in model.parameters()]
    batch = RNG.normal(size=(6, 3)).astype(np.float32), RNG.integers(0, 2, 6)
    trainer.fit([batch], steps=3)
    changed = [(p.data != old).any() for p, old in zip(model.parameters(), before, strict=True)]
    assert changed == [False, False, True, True]
    first.requires_grad_(True)
    trainer.fit([batch], steps=6)
    assert all((p.data != old).any() for p, old in zip(model.parameters(), before, strict=True))


def test_a_language_models_frozen_head_gets_no_gradient_in_blocks_either(monkeypatch):
    monkeypatch.setattr("nnscratch.layers.linear_cross_entropy.BLOCK", 20)
    model = nn.models.LanguageModel(10, 4, 4, rng=0)
    model.linear.weight.requires_grad = False
    tokens = RNG.integers(0, 10, (3, 5))
    model.loss_and_backward(tokens, tokens)
    assert not model.linear.weight.grad.any() and model.linear.bias.grad.any() and model.lstm.weight_ih_l0.grad.any()
