"""detect_anomaly names the first module and pass in which a value stops being finite."""

import numpy as np
import pytest

import nnscratch as nn
from nnscratch.debug import detect_anomaly

X = np.random.default_rng(0).normal(size=(4, 3)).astype(np.float32)
Y = np.array([0, 1, 1, 0])


class Break(nn.Module):
    """The identity, which puts `value` into one element in one pass."""

    def __init__(self, where, value=np.nan):
        self.where, self.value = where, value

    def _pass(self, where, x):
        x = x.copy()
        if self.where == where:
            x[1, 0] = self.value
        return x

    def forward(self, x):
        return self._pass("forward", x)

    def backward(self, dy):
        return self._pass("backward", dy)


def model_with(layer):
    return nn.Sequential(nn.Linear(3, 4, rng=0), nn.Sequential(nn.Tanh(), layer), nn.Linear(4, 2, rng=1))


def step(model, x=X, criterion=None):
    criterion = nn.CrossEntropyLoss() if criterion is None else criterion
    with np.errstate(all="ignore"):
        criterion(model(x), Y)
        model.backward(criterion.backward())


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
@pytest.mark.parametrize(("where", "what"), [("forward", "the result"), ("backward", r"dL/d\(input\)")])
def test_the_first_layer_and_pass_are_named(where, what, value):
    model = model_with(Break(where, value))
    message = rf"^{where} of 1.1 .Break.: {what} is not finite, with {value} at index \(1, 0\)\. Its arguments and pa"
    with pytest.raises(FloatingPointError, match=message), detect_anomaly(model):
        step(model)


def test_a_parameter_or_an_input_that_is_not_finite_is_named_as_the_cause():
    model = model_with(nn.ReLU())
    model[0].bias.data[2] = np.nan
    with pytest.raises(FloatingPointError, match="^forward of 0 .Linear..*Its parameter bias is not finite"):
        with detect_anomaly(model):
            step(model)
    model = model_with(nn.ReLU())
    with pytest.raises(FloatingPointError, match="^forward of 0 .Linear..*Its arguments already hold inf at index"):
        with detect_anomaly(model):
            step(model, np.where(X == X[2, 1], np.inf, X))


def test_a_gradient_of_a_parameter_is_checked_too():
    layer = nn.Linear(1, 1, bias=False, rng=0)
    with pytest.raises(FloatingPointError, match="^backward of Linear: the gradient of weight is not finite, with inf"):
        with detect_anomaly(layer), np.errstate(all="ignore"):
            layer(np.full((1, 1), 1e30, dtype=np.float32))
            layer.backward(np.full((1, 1), 1e30, dtype=np.float32))


def test_the_loss_is_checked_if_it_is_given():
    loss = nn.MSELoss()
    with pytest.raises(FloatingPointError, match="^forward of MSELoss: the result is not finite, with inf"):
        with detect_anomaly(nn.Linear(2, 1), loss), np.errstate(all="ignore"):
            loss(np.full((2, 1), 1e30, np.float32), np.zeros((2, 1), np.float32))


@pytest.mark.parametrize("threads", [1, 2])
def test_training_gives_the_same_weights_and_the_methods_come_back(threads):
    models = [nn.models.MLP([3, 4, 2], rng=0) for _ in range(2)]
    for model, checked in zip(models, (False, True), strict=True):
        criterion = nn.CrossEntropyLoss()
        trainer = nn.Trainer(model, criterion, nn.optim.Adam(model.parameters()), threads=threads)
        if checked:
            with detect_anomaly(model, criterion):
                trainer.fit([(X, Y)], steps=3)
        else:
            trainer.fit([(X, Y)], steps=3)
    for one, other in zip(*(model.parameters() for model in models), strict=True):
        np.testing.assert_array_equal(one.data, other.data)
    for module in models[1].modules():
        assert not {"forward", "backward"} & vars(module).keys()


def test_a_language_model_that_computes_its_own_loss_is_checked():
    model, criterion = nn.models.LanguageModel(5, 4, 4, rng=0), nn.CrossEntropyLoss()
    tokens = np.array([[1, 2, 3]])
    trainer = nn.Trainer(model, criterion, nn.optim.SGD(model.parameters(), 0.1))
    with detect_anomaly(model, criterion):
        trainer.fit([(tokens, tokens)], steps=2)
    model.state_dict()["embedding.weight"][2, 0] = np.nan
    with pytest.raises(FloatingPointError, match="^forward of embedding .Embedding..*Its parameter weight is not fin"):
        with detect_anomaly(model, criterion), np.errstate(all="ignore"):
            trainer.fit([(tokens, tokens)], steps=3)


def test_blocks_can_be_nested_and_wrong_arguments_are_refused():
    model = model_with(Break("backward"))
    with detect_anomaly(model):
        with nn.record(model) as seen:
            model(X)
        with pytest.raises(FloatingPointError, match="backward of 1.1 .Break."), detect_anomaly(model[1]):
            step(model)
    assert seen["0"].output.shape == (4, 4)
    with pytest.raises(TypeError, match="detect_anomaly takes modules, got list"), detect_anomaly([model]):
        pass


def test_a_block_without_a_model_would_check_nothing_and_is_refused():
    with pytest.raises(TypeError, match="detect_anomaly needs the model"), nn.debug.detect_anomaly():
        pass
