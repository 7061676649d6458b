"""The explanations that use gradients: closed forms, finite differences, completeness, and models left as they were."""

import numpy as np
import pytest
from directions import assert_gradient

import nnscratch as nn
from nnscratch.explain import gradient_x_input, input_gradients, integrated_gradients, scores, smooth_grad
from nnscratch.explain.scores import features_of, score_gradients

METHODS = {
    "input_gradients": input_gradients,
    "gradient_x_input": gradient_x_input,
    "integrated_gradients": integrated_gradients,
    "smooth_grad": lambda model, x, target: smooth_grad(model, x, target, samples=3, rng=0),
}
R = np.random.default_rng(0)
TABLE, IMAGES, TOKENS = R.normal(size=(2, 5)), R.random((2, 1, 6, 6)), R.integers(0, 9, (2, 4))


def encoder():
    return nn.models.TransformerEncoder(9, 8, 2, 1, 6, 0.3, rng=1)


MODELS = {
    "mlp": (lambda: nn.models.MLP([5, 8, 4], nn.Tanh, 0.3, rng=1), TABLE),
    "cnn": (lambda: nn.models.CNN((1, 6, 6), 4, (3,), 8, rng=1), IMAGES),
    "lstm": (lambda: nn.models.LanguageModel(9, 6, 5, 2, 0.3, rng=1), TOKENS),
    "tied gru": (lambda: nn.models.LanguageModel(9, 8, 8, 2, 0.3, True, "gru", rng=1), TOKENS),
    "transformer": (lambda: nn.models.TransformerLM(9, 8, 2, 2, 6, 0.3, rng=1), TOKENS),
    "sinusoidal": (lambda: nn.models.TransformerLM(9, 8, 2, 1, 6, 0.3, positions="sinusoidal", rng=1), TOKENS),
    "text classifier": (lambda: nn.models.TextClassifier(encoder(), 4, rng=1), TOKENS),
}


def made(name):
    build, x = MODELS[name]
    model = build().to(dtype=np.float64)
    for module in model.modules():
        if isinstance(module, nn.BatchNorm1d):  # running averages that are not those of the batch
            module.running_mean[...], module.running_var[...] = 0.3, 2.0
    return model, x


@pytest.mark.parametrize("name", MODELS)
def test_the_gradient_is_that_of_the_score_in_eval_mode(name):
    model, x = made(name)
    target = np.array([1, 3])
    features = features_of(model, x)
    s, g = score_gradients(model, x, target)
    given = x if x.dtype == int else features
    assert_gradient(lambda: scores(model.eval(), given, target, features).sum(), features, g)
    logits = model.eval()(x)
    logits = logits[0][:, -1] if isinstance(logits, tuple) else logits
    np.testing.assert_allclose(s, logits[[0, 1], target], rtol=1e-12)


@pytest.mark.parametrize("name", MODELS)
def test_integrated_gradients_are_complete(name):
    model, x = made(name)
    a, gap = integrated_gradients(model, x, 2, return_gap=True)
    assert a.shape == x.shape and abs(gap).max() < 1e-3
    s = scores(model, x, 2)
    zero = scores(model, x, 2, np.zeros_like(features_of(model, x))) if x.dtype == int else scores(model, 0 * x, 2)
    np.testing.assert_allclose(a.reshape(2, -1).sum(axis=1) - (s - zero), gap, atol=1e-12)


@pytest.mark.parametrize("name", MODELS)
@pytest.mark.parametrize("method", METHODS)
def test_an_explanation_changes_nothing_in_the_model(name, method):
    model, x = made(name)
    y = model(x)
    dy = np.ones_like(y[0] if isinstance(y, tuple) else y)
    model.backward(dy)
    model(x)  # and one more forward, whose backward comes later
    grads = [p.grad.copy() for p in model.parameters()]
    states = {key: value.copy() for key, value in model.state_dict().items()}
    modes = [module.training for module in model.modules()]
    attributes = [sorted(vars(module).keys() - {"training"}) for module in model.modules()]
    METHODS[method](model, x, 1)
    for p, before in zip(model.parameters(), grads, strict=True):
        np.testing.assert_array_equal(p.grad, before)
        assert p.requires_grad
    for key, value in model.state_dict().items():
        np.testing.assert_array_equal(value, states[key])
    assert [module.training for module in model.modules()] == modes
    assert [sorted(vars(module).keys() - {"training"}) for module in model.modules()] == attributes
    model.backward(dy)
    assert all(np.isfinite(p.grad).all() for p in model.parameters())


@pytest.mark.parametrize("method", METHODS)
def test_each_example_has_its_own_explanation(method):
    model, x = made("cnn")
    if method == "smooth_grad":
        pytest.skip("the noise of two examples is not that of one")
    both = METHODS[method](model, x, np.array([1, 3]))
    for n, target in enumerate((1, 3)):
        np.testing.assert_allclose(METHODS[method](model, x[n : n + 1], target), both[n : n + 1], atol=1e-12)


def test_a_linear_model_has_its_weights_as_the_explanation():
    model = nn.Linear(5, 4, rng=0).to(dtype=np.float64)
    w, x0 = model.weight.data[2], R.normal(size=5)
    np.testing.assert_allclose(input_gradients(model, TABLE, 2), [w, w])
    np.testing.assert_allclose(smooth_grad(model, TABLE, 2, rng=0), [w, w])
    np.testing.assert_allclose(gradient_x_input(model, TABLE, 2), w * TABLE)
    np.testing.assert_allclose(integrated_gradients(model, TABLE, 2), w * TABLE)
    np.testing.assert_allclose(integrated_gradients(model, TABLE, 2, x0, steps=1), w * (TABLE - x0))


def test_integrated_gradients_of_a_product_divide_it_equally():
    class Product(nn.Module):
        def forward(self, x):
            self.save_for_backward(x)
            return x[:, 0] * x[:, 1]

        def backward(self, dy):
            (x,) = self.saved()
            return dy[:, None] * x[:, ::-1]

    a, gap = integrated_gradients(Product(), np.array([[3.0, 4.0]]), None, steps=1, return_gap=True)
    np.testing.assert_allclose(a, [[6.0, 6.0]])
    np.testing.assert_allclose(gap, 0, atol=1e-12)
    np.testing.assert_allclose(gradient_x_input(Product(), np.array([[3.0, 4.0]]), None), [[12.0, 12.0]])


def test_smooth_grad_of_a_square_is_the_gradient_at_the_mean_of_the_noise():
    class Square(nn.Module):
        def forward(self, x):
            self.save_for_backward(x)
            return (x * x).sum(axis=1)

        def backward(self, dy):
            (x,) = self.saved()
            return dy[:, None] * 2 * x

    x, rng = np.array([[1.0, 3.0]]), np.random.default_rng(3)
    noise = np.stack([rng.standard_normal((1, 2)) for _ in range(5)])
    expected = 2 * (x + 0.1 * 2 * noise.mean(axis=0))
    np.testing.assert_allclose(smooth_grad(Square(), x, None, samples=5, noise=0.1, rng=3), expected)


def test_the_tokens_of_the_baseline_get_nothing():
    model, x = made("lstm")
    a = integrated_gradients(model, x, 2, baseline=x[:, :1] * 0 + x[0, 0])
    assert ((a == 0) == (x == x[0, 0])).all() and (x != x[0, 0]).any()
    np.testing.assert_array_equal(a, integrated_gradients(model, x, 2, baseline=int(x[0, 0])))


def test_too_few_steps_give_a_warning():
    model = nn.Sequential(nn.Linear(1, 1, bias=False), nn.Sigmoid())
    model[0].weight.data[...] = 100
    x = np.ones((1, 1), dtype=np.float32)
    with pytest.warns(RuntimeWarning, match=r"example 0 must sum to 0\.5.* differs .* Use more than 2 steps"):
        integrated_gradients(model, x, 0, steps=2)
    assert abs(integrated_gradients(model, x, 0, return_gap=True)[1]) < 1e-3


def test_a_trained_network_with_relus_has_a_gap_below_a_thousandth():
    images, labels = nn.data.load_digits()
    model = nn.models.MLP([64, 32, 10], rng=0)
    optimizer = nn.optim.Adam(model.parameters(), lr=0.01)
    batches = nn.data.Batches(images[:1500], labels[:1500], batch_size=100, rng=0)
    nn.Trainer(model, nn.CrossEntropyLoss(), optimizer, progress=False).fit(batches, epochs=4)
    x, target = images[1500:1600], labels[1500:1600]
    a, gap = integrated_gradients(model, x, target, return_gap=True)
    assert abs(gap).max() < 1e-3
    _, fixed = integrated_gradients(model, x, target, steps=50, return_gap=True)
    assert abs(fixed).max() > 5e-3  # so the default needs its adaptive points
    at = np.linspace(0, 1, 4001, dtype=np.float32)[1::2]  # the middles of 2,000 equal segments
    points = at[:, None, None] * x[0]
    np.testing.assert_allclose(a[0], x[0] * input_gradients(model, points, int(target[0])).mean(axis=0), atol=2e-3)


class Step(nn.Module):
    """A score that jumps: its gradient is 0 on both sides, so no number of points gives a complete explanation."""

    calls = 0

    def forward(self, x):
        self.save_for_backward(x)
        self.calls += 1
        return (x[:, 0] > 0.3).astype(x.dtype)

    def backward(self, dy):
        (x,) = self.saved()
        return np.zeros_like(x)


def test_a_score_that_jumps_gives_a_warning_soon():
    with pytest.warns(RuntimeWarning, match=r"sum to 1, .* differs from this by 1\. .*the score jumps on the line"):
        _, gap = integrated_gradients(model := Step(), np.ones((1, 2)), None, return_gap=True)
    np.testing.assert_array_equal(gap, [-1])
    assert model.calls < 40  # it stops at the shortest segment, and does not use all 3,000 points


WRONG = {
    "target of 4 classes": (lambda m: input_gradients(m, TABLE, 4), ValueError, r"target must be an integer in 0\.\.3"),
    "target -1": (lambda m: input_gradients(m, TABLE, -1), ValueError, "target must be"),
    "target 1.0": (lambda m: input_gradients(m, TABLE, 1.0), ValueError, "target must be"),
    "target None": (lambda m: input_gradients(m, TABLE, None), ValueError, "target must be"),
    "three targets": (lambda m: input_gradients(m, TABLE, np.zeros(3, int)), ValueError, "array of 2"),
    "targets for smooth_grad": (lambda m: smooth_grad(m, TABLE, np.zeros(3, int)), ValueError, "array of 2 integers"),
    "a list of targets": (lambda m: input_gradients(m, TABLE, [0, 1]), ValueError, "target must be an integer, or"),
    "a target of text": (lambda m: input_gradients(m, TABLE, "cat"), ValueError, "target must be .* got 'cat'"),
    "NaN": (lambda m: input_gradients(m, TABLE * np.nan, 1), ValueError, "a score of the model is nan"),
    "a baseline of NaN": (lambda m: integrated_gradients(m, TABLE, 1, np.nan), ValueError, "a score of the model is"),
    "a class": (lambda m: scores(nn.Linear, TABLE, 1), TypeError, "model must be a Module or a function of x"),
    "a number": (lambda m: scores(3, TABLE, 1), TypeError, "model must be a Module or a function of x, got 3"),
    "no batch": (lambda m: input_gradients(m, TABLE[0], 1), ValueError, "x must be a batch"),
    "empty": (lambda m: input_gradients(m, TABLE[:0], 1), ValueError, "x must be a batch"),
    "a list": (lambda m: input_gradients(m, [[1.0]], 1), TypeError, "x: "),
    "booleans": (lambda m: input_gradients(m, TABLE > 0, 1), TypeError, "floats or integer token ids, got bool"),
    "integers": (lambda m: gradient_x_input(m, TOKENS, 1), TypeError, "MLP has 0"),
    "a function": (lambda m: input_gradients(lambda x: x, TABLE, 1), TypeError, "gradient of a Module, got function"),
    "baseline": (lambda m: integrated_gradients(m, TABLE, 1, np.zeros(4)), ValueError, "baseline must broadcast"),
    "baseline of text": (lambda m: integrated_gradients(m, TABLE, 1, "no"), TypeError, "baseline must hold numbers"),
    "steps": (lambda m: integrated_gradients(m, TABLE, 1, steps=0), ValueError, "steps must be"),
    "samples": (lambda m: smooth_grad(m, TABLE, 1, samples=0), ValueError, "samples must be"),
    "noise": (lambda m: smooth_grad(m, TABLE, 1, noise=-1), ValueError, "noise must be"),
    "shape of y": (lambda m: scores(lambda x: x[:1], TABLE, 1), ValueError, r"returns y of shape .* got \(1, 5\)"),
    "target of one score": (lambda m: scores(lambda x: x[:, 0], TABLE, 1), ValueError, "target must be None"),
}


@pytest.mark.parametrize("name", WRONG)
def test_a_wrong_call_says_what_is_wrong(name):
    call, error, message = WRONG[name]
    with pytest.raises(error, match=message):
        call(made("mlp")[0])


def test_a_wrong_token_of_the_baseline():
    with pytest.raises(ValueError, match=r"baseline must hold token ids in 0\.\.8, got 9"):
        integrated_gradients(made("lstm")[0], TOKENS, 1, baseline=9)
    with pytest.raises(TypeError, match="baseline must hold token ids"):
        integrated_gradients(made("lstm")[0], TOKENS, 1, baseline=0.5)


def test_a_wrong_token():
    for ids in (TOKENS + 9, TOKENS - 9):
        with pytest.raises(ValueError, match=r"Embedding: x must be in 0\.\.8"):
            input_gradients(made("transformer")[0], ids, 1)


def test_a_backward_that_returns_nothing_is_named():
    class Forgetful(Step):
        def backward(self, dy):
            super().backward(dy)

    with pytest.raises(ValueError, match=r"Forgetful.backward must return dL/dx, of shape \(2, 5\), got NoneType"):
        input_gradients(Forgetful(), TABLE, None)


def test_after_an_error_in_the_model_it_is_as_it_was():
    model, _ = made("transformer")
    model(TOKENS)
    with pytest.raises(ValueError, match="context=6"):
        input_gradients(model, np.zeros((1, 7), dtype=int), 1)
    assert not any("deterministic" in vars(m) or "forward" in vars(m) for m in model.modules())
    model.backward(np.ones((2, 4, 9)))
