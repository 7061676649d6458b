"""Explanations on "cuda" are those on the CPU."""

import numpy as np
import pytest

import nnscratch as nn

R = np.random.default_rng(0)
IMAGES, TOKENS = R.random((2, 1, 6, 6)), R.integers(0, 9, (2, 4))
MODELS = {
    "cnn": (lambda: nn.models.CNN((1, 6, 6), 4, (3,), 8, rng=1), IMAGES),
    "lstm": (lambda: nn.models.LanguageModel(9, 6, 8, 2, 0.3, rng=1), TOKENS),
    "transformer": (lambda: nn.models.TransformerLM(9, 8, 2, 2, 6, 0.3, rng=1), TOKENS),
}
METHODS = {
    "input_gradients": lambda m, x, t: nn.explain.input_gradients(m, x, t),
    "gradient_x_input": lambda m, x, t: nn.explain.gradient_x_input(m, x, t),
    "integrated_gradients": lambda m, x, t: nn.explain.integrated_gradients(m, x, t),
    "integrated_gradients from a baseline": lambda m, x, t: nn.explain.integrated_gradients(m, x, t, 1, steps=20),
    "smooth_grad": lambda m, x, t: nn.explain.smooth_grad(m, x, t, samples=3, rng=0),
    "occlusion": lambda m, x, t: nn.explain.occlusion(m, x, t, groups=groups(x)),
    "occlusion with a baseline": lambda m, x, t: nn.explain.occlusion(m, x, t, 1, groups(x)),
    "shapley_values": lambda m, x, t: nn.explain.shapley_values(m, x, t, groups=groups(x)),
    "kernel_shap": lambda m, x, t: nn.explain.kernel_shap(m, x, t, groups=groups(x), samples=50, rng=0),
    "lime": lambda m, x, t: nn.explain.lime(m, x, t, groups=groups(x), samples=50, rng=0),
}


def groups(x):
    return nn.explain.patches(x.shape[1:], 2) if x.ndim == 4 else None


@pytest.mark.parametrize("name", MODELS)
@pytest.mark.parametrize("method", METHODS)
def test_an_explanation_on_cuda_is_that_on_the_cpu(name, method, on_cuda, on_cpu):
    build, x = MODELS[name]
    explain, target = METHODS[method], np.array([1, 3])
    expected = explain(build().to(dtype=np.float64), x, target)
    there = build().to("cuda", dtype=np.float64)
    for t in (target, on_cuda(target)):
        np.testing.assert_allclose(on_cpu(explain(there, on_cuda(x), t)), expected, atol=1e-10)


def test_what_is_inside_a_model_on_cuda_is_that_on_the_cpu(on_cuda, on_cpu):
    build, tokens = MODELS["transformer"]
    here, there = build().to(dtype=np.float64), build().to("cuda", dtype=np.float64)
    for look in (nn.explain.logit_lens, nn.explain.attention_rollout):
        np.testing.assert_allclose(on_cpu(look(there, on_cuda(tokens))), look(here, tokens), atol=1e-10)
    h = nn.explain.layer_activations(there, on_cuda(tokens))["blocks.1"]
    expected = nn.explain.layer_activations(here, tokens)["blocks.1"]
    np.testing.assert_allclose(on_cpu(h), expected, atol=1e-10)
    probe = nn.explain.linear_probe(h, on_cuda(tokens % 2), steps=3, rng=0)
    assert 0 <= probe.test_accuracy <= 1 and probe.predict(h).shape == tokens.shape


def test_top_contexts_on_cuda_are_those_on_the_cpu(on_cuda):
    text = "the cat sat on the mat and the dog ate the hat"
    tokenizer = nn.data.CharTokenizer.from_text(text)
    model = nn.models.LanguageModel(len(tokenizer), 6, 8, rng=1)
    found = nn.explain.top_contexts(model, tokenizer, text, "lstm", 2, k=3, context=8)
    there = nn.explain.top_contexts(model.to("cuda"), tokenizer, text, "lstm", 2, k=3, context=8)
    assert [f.position for f in there] == [f.position for f in found]


def test_the_table_and_the_pictures_on_cuda(on_cuda):
    build, images = MODELS["cnn"]
    target = np.array([1, 3])
    here = nn.explain.compare(build().to(dtype=np.float64), images, target)
    there = nn.explain.compare(build().to("cuda", dtype=np.float64), on_cuda(images), target)
    assert str(there) == str(here)
    nn.plotting.plot_attributions(on_cuda(images[0]), there.attributions["occlusion"][0])
    nn.plotting.plot_contributions("abcdef", there.attributions["occlusion"][0, 0, 0])
