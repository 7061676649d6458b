"""One backward that keeps each example's gradient gives what one backward per example gives."""

import numpy as np
import pytest
from cases import LAYERS
from hypothesis import given
from hypothesis import strategies as st

import nnscratch as nn
from nnscratch.per_example import Each, Outer, Rows, joined

CASES = [case for cases in LAYERS.values() for case in cases]
WITH_RULES = [case for case in CASES if case.build().parameters() and not isinstance(case.build(), nn.BatchNorm1d)]
ONE_STATE_FOR_EACH_LAYER = nn.RNN, nn.GRU, nn.LSTM, nn.Unrolled  # a state is (layers, N, H)


def first_output(result):
    """Return y of y, of (y, state) and of ((h, c))."""
    return result[0] if isinstance(result, tuple) else result


def example(module, inputs, n):
    """Return example n alone, as a batch of one."""

    def one(k, value):
        if isinstance(value, tuple):
            return tuple(one(k, v) for v in value)
        return value[:, n : n + 1] if k > 0 and isinstance(module, ONE_STATE_FOR_EACH_LAYER) else value[n : n + 1]

    return tuple(one(k, value) for k, value in enumerate(inputs))


def one_backward_per_example(module, inputs, dy):
    gradients = []
    for n in range(len(dy)):
        module.zero_grad()
        module(*example(module, inputs, n))
        module.backward(dy[n : n + 1])
        gradients.append({name: p.grad.copy() for name, p in module.named_parameters() if p.requires_grad})
    return {name: np.stack([g[name] for g in gradients]) for name in gradients[0]}


def assert_examples_are(examples, expected):
    got = examples.gradients()
    assert got.keys() == expected.keys()
    for name, g in expected.items():
        np.testing.assert_allclose(got[name], g, rtol=1e-12, atol=1e-12, err_msg=name)
    squares = sum((g**2).reshape(len(g), -1).sum(axis=1) for g in expected.values())
    np.testing.assert_allclose(examples.norms(), np.sqrt(squares), rtol=1e-10)


@pytest.mark.parametrize("case", WITH_RULES, ids=repr)
def test_the_examples_of_a_layer_are_those_of_one_backward_each(case):
    rng = np.random.default_rng(0)
    layer, inputs = case.build().to(dtype=np.float64), case.inputs(rng)
    with nn.privacy.keep_examples(layer) as examples:
        y = first_output(layer(*inputs))
        dy = rng.normal(size=y.shape)
        layer.backward(dy)
    assert not any(p.grad.any() for p in layer.parameters())
    assert_examples_are(examples, one_backward_per_example(layer, inputs, dy))

    c = rng.uniform(size=len(dy))
    layer.zero_grad()
    layer(*inputs)
    layer.backward(c.reshape(-1, *[1] * (dy.ndim - 1)) * dy)
    plain = {name: p.grad.copy() for name, p in layer.named_parameters()}
    layer.zero_grad()
    examples.add_weighted(c)
    for name, p in layer.named_parameters():
        np.testing.assert_allclose(p.grad, plain[name], rtol=1e-12, atol=1e-12, err_msg=name)


@pytest.mark.parametrize("tie_weights", [False, True])
@pytest.mark.parametrize("cell", ["lstm", "gru", "rnn"])
def test_the_examples_of_a_language_model(cell, tie_weights):
    rng = np.random.default_rng(1)
    model = nn.models.LanguageModel(7, 6, 6, 2, tie_weights=tie_weights, cell=cell, rng=0).to(dtype=np.float64)
    tokens, targets = rng.integers(0, 7, (2, 4, 40))
    gradients = nn.privacy.per_example_gradients(model, nn.CrossEntropyLoss(), tokens, targets)
    criterion = nn.CrossEntropyLoss()
    for n in range(4):
        model.zero_grad()
        logits, _ = model(tokens[n : n + 1])
        criterion(logits, targets[n : n + 1])
        model.backward(criterion.backward())
        for name, p in model.named_parameters():
            np.testing.assert_allclose(gradients[name][n], p.grad, rtol=1e-11, atol=1e-13, err_msg=name)


TOKENS = np.random.default_rng(3).integers(0, 7, (3, 5))
IMAGES = np.random.default_rng(4).normal(size=(3, 1, 9, 8))
MODELS = {
    "MLP": (lambda: nn.models.MLP([5, 4, 2], rng=0), np.random.default_rng(5).normal(size=(3, 5))),
    "CNN": (
        lambda: nn.Sequential(
            nn.Conv2d(1, 4, 3, padding=1, rng=0),
            nn.GroupNorm(2, 4),
            nn.ReLU(),
            nn.MaxPool2d(2),
            nn.Flatten(),
            nn.Linear(64, 3, rng=1),
        ),
        IMAGES,
    ),
    "TransformerLM": (lambda: nn.models.TransformerLM(7, 8, 2, 2, 5, rng=0), TOKENS),
    "TextClassifier": (
        lambda: nn.models.TextClassifier(nn.models.TransformerEncoder(7, 8, 2, 1, context=5, rng=0), 3, rng=1),
        (TOKENS, np.array([5, 2, 4])),
    ),
}


@pytest.mark.parametrize("name", MODELS)
def test_the_examples_of_a_model(name):
    build, inputs = MODELS[name]
    model, criterion, rng = build().to(dtype=np.float64), nn.CrossEntropyLoss(), np.random.default_rng(0)
    arrays = inputs if isinstance(inputs, tuple) else (inputs,)
    shape = first_output(model(*arrays)).shape
    model.zero_grad()
    targets = rng.integers(0, shape[-1], shape[:-1])
    gradients = nn.privacy.per_example_gradients(model, criterion, inputs, targets)
    assert gradients.keys() == dict(model.named_parameters()).keys()
    for n in range(3):
        model.zero_grad()
        criterion(first_output(model(*(a[n : n + 1] for a in arrays))), targets[n : n + 1])
        model.backward(criterion.backward())
        for key, p in model.named_parameters():
            np.testing.assert_allclose(gradients[key][n], p.grad, rtol=1e-10, atol=1e-12, err_msg=key)


@pytest.mark.parametrize("layer", [nn.RNN, nn.GRU, nn.LSTM])
@pytest.mark.parametrize("side", ["right", "left"])
def test_the_examples_of_sequences_of_different_lengths(layer, side):
    rng = np.random.default_rng(2)
    module, lengths = layer(3, 4, 2, bidirectional=True, rng=0).to(dtype=np.float64), [5, 2, 4]
    x, dy = rng.normal(size=(3, 5, 3)), rng.normal(size=(3, 5, 8))
    with nn.privacy.keep_examples(module) as examples:
        module(x, lengths=lengths, padding_side=side)
        module.backward(dy)
    gradients = examples.gradients()
    for n, length in enumerate(lengths):
        real = slice(0, length) if side == "right" else slice(5 - length, 5)
        module.zero_grad()
        module(x[n : n + 1, real])
        module.backward(dy[n : n + 1, real])
        for name, p in module.named_parameters():
            np.testing.assert_allclose(gradients[name][n], p.grad, rtol=1e-12, atol=1e-12, err_msg=name)


@given(st.integers(1, 3), st.integers(1, 6), st.integers(1, 7), st.integers(1, 7), st.integers(0, 2**32 - 1))
def test_norms_and_sums_of_every_form_are_those_of_its_gradients(N, T, H, D, seed):
    rng = np.random.default_rng(seed)
    a, b, ids = rng.normal(size=(N, T, H)), rng.normal(size=(N, T, D)), rng.integers(0, H, (N, T))
    forms = Outer(a, b), Rows(ids, b), Each(rng.normal(size=(N, H, D)))
    c = rng.normal(size=N)
    for form in [*forms, joined([forms[0], forms[0]], (H, D)), joined([forms[1], forms[1]], (H, D)),
                 joined(forms, (H, D))]:  # fmt: skip
        g = form.gradients((H, D))
        assert g.shape == (N, H, D) and form.count == N
        np.testing.assert_allclose(form.squared_norms(), (g**2).sum(axis=(1, 2)), rtol=1e-9, atol=1e-12)
        parameter = nn.Parameter(np.zeros((H, D)))
        form.add_weighted(parameter, c)
        np.testing.assert_allclose(parameter.grad, np.einsum("n,nhd->hd", c, g), rtol=1e-9, atol=1e-12)
    total = sum(form.gradients((H, D)) for form in forms)
    np.testing.assert_allclose(joined(forms, (H, D)).gradients((H, D)), total, rtol=1e-12, atol=1e-14)


def test_a_frozen_parameter_keeps_nothing():
    layer = nn.Linear(3, 2, rng=0)
    layer.weight.requires_grad = False
    with nn.privacy.keep_examples(layer) as examples:
        layer.backward(layer(np.ones((4, 3), dtype=np.float32)))
    assert examples.forms.keys() == {"bias"}


class Scale(nn.Module):
    def __init__(self):
        self.a = nn.Parameter(np.array([2.0]))

    def forward(self, x):
        self.save_for_backward(x)
        return self.a.data * x

    def backward(self, dy):
        (x,) = self.saved()
        self.a.grad += (dy * x).sum()
        return dy * self.a.data


class ForgetfulScale(Scale):
    keeps_examples = True


class Flattening(nn.Sequential):
    def forward(self, x):
        return super().forward(x.reshape(-1, x.shape[-1]))


def test_what_has_no_rule_is_refused_by_name():
    with pytest.raises(ValueError, match="BatchNorm1d '1' has no gradient for a single example.*GroupNorm"):
        nn.privacy.per_example_gradients(
            nn.Sequential(nn.Linear(3, 2), nn.BatchNorm1d(2)), nn.MSELoss(), np.ones((2, 3)), np.ones((2, 2))
        )
    with pytest.raises(ValueError, match="Scale has parameters and no rule"), nn.privacy.keep_examples(Scale()):
        pass
    scale = ForgetfulScale()
    with (
        pytest.raises(ValueError, match="added to the gradient of a without"),
        nn.privacy.keep_examples(scale),
    ):
        scale.backward(scale(np.ones(3)))
    assert scale.a.examples is None
    with pytest.raises(ValueError, match="ignore_index|plain mean"):
        nn.privacy.per_example_gradients(
            nn.Linear(3, 2), nn.CrossEntropyLoss(ignore_index=0), np.ones((2, 3), np.float32), np.array([0, 1])
        )


def test_layers_that_see_different_numbers_of_examples_are_refused():
    model = nn.Sequential(nn.Linear(3, 3, rng=0), Flattening(nn.Linear(3, 2, rng=1)))
    with pytest.raises(ValueError, match="first axis of every layer's input must be the examples"):
        with nn.privacy.keep_examples(model):
            y = model(np.ones((2, 4, 3), dtype=np.float32))
            dy = getattr(model, "1").layers[0].backward(np.ones_like(y))
            model.layers[0].backward(dy.reshape(2, 4, 3))


def test_an_error_inside_the_block_leaves_plain_backward_working():
    layer = nn.Linear(3, 2, rng=0)
    with pytest.raises(ZeroDivisionError), nn.privacy.keep_examples(layer):
        raise ZeroDivisionError
    layer.backward(np.ones_like(layer(np.ones((4, 3), dtype=np.float32))))
    np.testing.assert_array_equal(layer.bias.grad, 4)
