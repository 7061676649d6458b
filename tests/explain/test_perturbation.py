"""Occlusion, Shapley values, Kernel SHAP and LIME: closed forms, the properties of Shapley, and enumeration."""

import itertools

import numpy as np
import pytest

import nnscratch as nn
from nnscratch.explain import gradient_x_input, kernel_shap, lime, occlusion, patches, shapley_values
from nnscratch.explain.lime import neighbourhood
from nnscratch.explain.masking import value_function

R = np.random.default_rng(0)
X, X0, W = R.normal(size=(2, 5)), R.normal(size=5), R.normal(size=5)
METHODS = {
    "occlusion": occlusion,
    "shapley_values": shapley_values,
    "kernel_shap": kernel_shap,
    "lime": lambda *a, **k: lime(*a, ridge=0, rng=0, **k),
}


def linear(x):
    return x @ W + 7


def curved(x):
    return np.tanh(x @ W) + x[:, 0] * x[:, 1] * x[:, 2] - np.abs(x[:, 3])


def transformer():
    return nn.models.TransformerLM(9, 8, 2, 1, 6, 0.3, rng=1).to(dtype=np.float64)


@pytest.mark.parametrize("name", METHODS)
def test_all_methods_agree_on_a_linear_function(name):
    np.testing.assert_allclose(METHODS[name](linear, X, None, X0), W * (X - X0), atol=1e-9)


def test_shapley_values_are_the_means_over_all_orders():
    expected = np.zeros((2, 5))
    for n, x in enumerate(X):
        orders = list(itertools.permutations(range(5)))
        for order in orders:
            z = X0.copy()
            for g in order:
                before = curved(z[None])[0]
                z[g] = x[g]
                expected[n, g] += (curved(z[None])[0] - before) / len(orders)
    np.testing.assert_allclose(shapley_values(curved, X, None, X0), expected, atol=1e-12)


def test_shapley_values_are_complete_symmetric_additive_and_0_for_a_dummy():
    def game(x):
        return x[:, 0] * x[:, 1] + 3 * x[:, 2]

    (phi,) = shapley_values(game, np.ones((1, 5)), None)
    np.testing.assert_allclose(phi, [0.5, 0.5, 3, 0, 0])
    (other,) = shapley_values(curved, X[:1], None)
    both = shapley_values(lambda x: curved(x) + 2 * linear(x), X[:1], None)
    np.testing.assert_allclose(both[0], other + 2 * W * X[0], atol=1e-12)
    np.testing.assert_allclose(other.sum(), curved(X[:1])[0] - curved(np.zeros((1, 5)))[0])


def test_kernel_shap_with_all_sets_gives_the_shapley_values():
    np.testing.assert_allclose(kernel_shap(curved, X, None, X0), shapley_values(curved, X, None, X0), atol=1e-9)
    one = kernel_shap(linear, X, None, groups=np.zeros(5, int))
    np.testing.assert_allclose(one, np.repeat((linear(X) - 7)[:, None], 5, axis=1))


def test_kernel_shap_with_a_sample_comes_close_and_stays_complete():
    x, w = R.normal(size=(1, 12)), R.normal(size=12)

    def f(x):
        return np.tanh(x @ w) + x[:, 0] * x[:, 1]

    exact = shapley_values(f, x, None)
    errors = {n: abs(kernel_shap(f, x, None, samples=n, rng=0) - exact).max() for n in (200, 3200)}
    assert errors[3200] < 0.02 * abs(exact).max() and errors[3200] < errors[200] < 0.3 * abs(exact).max()
    a = kernel_shap(f, x, None, samples=60, rng=0)
    np.testing.assert_allclose(a.sum(), f(x)[0])
    assert abs(a - exact).max() > 1e-3  # so it is a sample


def test_limes_weights_and_local_model_are_those_of_the_equations():
    masks = np.array([[1, 1, 1, 1], [1, 0, 0, 0], [0, 0, 0, 0]], dtype=bool)
    np.testing.assert_allclose(neighbourhood(masks, 0.5), np.exp([0, -1, -4]))
    a, r2 = lime(curved, X, None, X0, samples=400, ridge=0.5, rng=3, return_r2=True)
    rng = np.random.default_rng(3)
    for n in range(2):
        m = rng.random((400, 5)) < 0.5
        y, w = value_function(curved, X[n : n + 1], None, X0, np.arange(5))(m), neighbourhood(m, 0.25)

        def loss(b0, b, m=m, y=y, w=w):
            return w @ (y - b0 - m @ b) ** 2 + 0.5 * b @ b

        b0 = w @ (y - m @ a[n]) / w.sum()
        lowest = loss(b0, a[n])
        for step in R.normal(size=(20, 6)) * 1e-3:
            assert loss(b0 + step[0], a[n] + step[1:]) > lowest
        y_bar = w @ y / w.sum()
        np.testing.assert_allclose(r2[n], 1 - w @ (y - b0 - m @ a[n]) ** 2 / (w @ (y - y_bar) ** 2))
    assert (0 < r2).all() and (r2 < 1).all()


def test_the_local_model_of_a_constant_is_a_constant():
    a, r2 = lime(lambda x: 0 * x[:, 0] + 3, X, None, rng=0, return_r2=True)
    np.testing.assert_allclose(a, 0, atol=1e-12)
    np.testing.assert_array_equal(r2, [1, 1])


@pytest.mark.parametrize("name", METHODS)
def test_the_elements_of_a_group_have_the_groups_number(name):
    images = R.random((2, 1, 4, 4)).astype(np.float32)
    model, groups = nn.models.MLP([16, 3], rng=0), patches((1, 4, 4), 2)
    a = METHODS[name](model, images, np.array([0, 2]), groups=groups)
    assert a.dtype == np.float32
    by_pixel = gradient_x_input(model, images, np.array([0, 2]))  # exact, because the model is linear
    for g in range(4):
        where = groups[0] == g
        expected = by_pixel[:, 0, where].sum(axis=1, keepdims=True)
        np.testing.assert_allclose(a[:, 0, where], np.repeat(expected, 4, axis=1), atol=1e-5)


def test_patches_at_the_border_are_smaller():
    assert patches((5, 3), 2).tolist() == [[0, 0, 1], [0, 0, 1], [2, 2, 3], [2, 2, 3], [4, 4, 5]]
    assert (patches((3, 4, 4), 2) == patches((4, 4), 2)).all()


@pytest.mark.parametrize("name", METHODS)
def test_tokens_are_removed_or_replaced(name):
    model, tokens = transformer(), R.integers(0, 9, (2, 4))
    scores = nn.explain.scores
    for baseline in (None, 5):
        a = METHODS[name](model, tokens, 3, baseline)
        assert a.shape == (2, 4)
        if name in ("shapley_values", "kernel_shap"):
            vectors = np.zeros((2, 4, 8)) if baseline is None else model.embedding.weight.data[np.full((2, 4), 5)]
            change = scores(model, tokens, 3) - scores(model, tokens, 3, vectors)
            np.testing.assert_allclose(a.sum(axis=1), change, atol=1e-12)
    without = tokens.copy()
    without[:, 1] = 5
    fall = scores(model, tokens, 3) - scores(model, without, 3)
    np.testing.assert_allclose(occlusion(model, tokens, 3, 5)[:, 1], fall, atol=1e-12)


def test_a_model_without_an_embedding_needs_a_token_as_the_baseline():
    model = nn.models.LanguageModel(9, None, 6, rng=0)
    assert occlusion(model, np.array([[1, 2, 3]]), 4, baseline=0).shape == (1, 3)
    with pytest.raises(TypeError, match="LanguageModel has 0"):
        occlusion(model, np.array([[1, 2, 3]]), 4)
    with pytest.raises(ValueError, match="baseline must be a token id"):
        occlusion(lambda x: x.sum(axis=1), np.array([[1, 2, 3]]), None)


def test_too_few_samples_for_the_groups_give_a_warning():
    with pytest.warns(RuntimeWarning, match="20 sets do not determine the values of 30 groups"):
        kernel_shap(lambda x: x.sum(axis=1), np.ones((1, 30)), None, samples=20, rng=0)


WRONG = {
    "three targets": (lambda: occlusion(nn.Linear(5, 3), X, np.zeros(3, int)), ValueError, "an array of 2 integers"),
    "one target": (lambda: lime(nn.Linear(5, 3), X, np.zeros(1, int)), ValueError, "an array of 2 integers"),
    "targets of floats": (lambda: occlusion(nn.Linear(5, 3), X, np.zeros(2)), ValueError, "target must be an integer"),
    "NaN": (lambda: occlusion(lambda x: x[:, 0] * np.nan, X, None), ValueError, "a score of the model is nan"),
    "tiny width": (lambda: lime(linear, X, None, X0, width=1e-6, samples=9, rng=0), ValueError, "width=1e-06 is too"),
    "patch of a number": (lambda: patches(4, 2), ValueError, "shape must be .* got 4"),
    "empty patch": (lambda: patches((0, 4), 2), ValueError, "each element of shape must be an integer of 1 or more"),
    "16 groups": (lambda: shapley_values(linear, np.ones((1, 17)), None), ValueError, "at most 16 groups, got 17"),
    "groups": (lambda: occlusion(linear, X, None, groups=np.arange(4)), ValueError, r"shape of one example, \(5,\)"),
    "a gap": (lambda: occlusion(linear, X, None, groups=np.array([0, 1, 2, 3, 5])), ValueError, "without gaps"),
    "samples": (lambda: lime(linear, X, None, samples=0), ValueError, "samples must be"),
    "shap samples": (lambda: kernel_shap(linear, X, None, samples=0.5), ValueError, "samples must be"),
    "width": (lambda: lime(linear, X, None, width=0), ValueError, "width must be"),
    "ridge": (lambda: lime(linear, X, None, ridge=-1), ValueError, "ridge must be"),
    "return_r2": (lambda: lime(linear, X, None, return_r2=1), TypeError, "return_r2 must be True or False"),
    "patch size": (lambda: patches((4, 4), 0), ValueError, "size must be"),
    "patch shape": (lambda: patches((4,), 1), ValueError, r"\(H, W\) or \(C, H, W\), got \(4,\)"),
}


@pytest.mark.parametrize("name", WRONG)
def test_a_wrong_call_says_what_is_wrong(name):
    call, error, message = WRONG[name]
    with pytest.raises(error, match=message):
        call()
