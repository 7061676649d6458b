"""Common mistakes raise an error that names the argument and leave the state unchanged."""

import numpy as np
import pytest

import nnscratch as nn

F = np.float32
X = np.random.default_rng(0).normal(size=(4, 3)).astype(F)
IMAGES = np.ones((2, 4, 4), F)
BROKEN = np.where(np.eye(4, 3) > 0, np.nan, X).astype(F)
LABELS = np.array([0, 1, 2, 0])
LINEAR = nn.Linear(3, 2, rng=0)


def parameters():
    return [nn.Parameter(np.zeros(2, F))]


def trainer(model=LINEAR, criterion=None, optimizer=None):
    optimizer = nn.optim.SGD(LINEAR.parameters(), lr=0.1) if optimizer is None else optimizer
    return nn.Trainer(model, nn.MSELoss() if criterion is None else criterion, optimizer)


WRONG = [
    # inputs
    (TypeError, lambda: LINEAR([[1.0, 2.0, 3.0]]), r"Linear: x: expected a NumPy or CuPy array, got list"),
    (TypeError, lambda: LINEAR(np.ones((2, 3), int)), "Linear: x must be floats, got int64"),
    (TypeError, lambda: LINEAR(np.ones((2, 3))), "Linear: the parameters are float32, but x is float64"),
    (ValueError, lambda: nn.Linear(784, 10)(np.ones((5, 28, 28), F)), r"must be 784. Did you forget nn.Flatten\(\)\?"),
    (TypeError, lambda: nn.models.MLP([3, 2])([[1.0, 2.0, 3.0]]), "MLP: x: expected a NumPy or CuPy array, got list"),
    (TypeError, lambda: nn.models.CNN((1, 4, 4), 2)([1.0]), "CNN: x: expected a NumPy or CuPy array, got list"),
    (ValueError, lambda: nn.Conv2d(1, 2, 3)(IMAGES), r"If the images have one channel, x\[:, None\] adds the axis"),
    (ValueError, lambda: nn.Conv2d(1, 2, 5)(IMAGES[:, None]), r"no window of \(5, 5\).* fits into images of \(4, 4\)"),
    (ValueError, lambda: nn.BatchNorm1d(3)(X[:1]), "the variance of one number per channel is undefined"),
    (TypeError, lambda: nn.Embedding(3, 2)(X), "Embedding: ids must be integers, got float32"),
    (ValueError, lambda: nn.Embedding(3, 2)(np.array([3])), r"Embedding: ids must be in 0\.\.2, got 3\.\.3"),
    (TypeError, lambda: nn.LSTM(3, 2)([1.0]), "LSTM: x: expected a NumPy or CuPy array, got list"),
    (TypeError, lambda: nn.GRU(3, 2)(None), "GRU: x: expected a NumPy or CuPy array, got NoneType"),
    (TypeError, lambda: nn.LSTMCell(3, 2)([1.0]), "LSTMCell: x: expected a NumPy or CuPy array, got list"),
    (ValueError, lambda: nn.LSTM(3, 2)(X), r"LSTM\(3, 2\) needs x of shape \(batch, time, 3\)"),
    (ValueError, lambda: nn.RNN(3, 2)(X[None], lengths=[5]), r"RNN: lengths must be in 1\.\.4, got 5\.\.5"),
    (TypeError, lambda: nn.models.LanguageModel(5, 4, 3)([[1]]), "LanguageModel: tokens: expected a NumPy or CuPy"),
    (ValueError, lambda: nn.models.TransformerLM(5, 4, 2, 1, 8)(np.array([[5]])), "TransformerLM: tokens must be"),
    (ValueError, lambda: nn.MultiheadAttention(6, 4), "num_heads must divide embed_dim"),
    # arrays that compute in another way: a matrix multiplies with *, and layers would not use a mask
    (TypeError, lambda: LINEAR(X.view(np.matrix)), r"Linear: x: expected a plain array, got a numpy matrix"),
    (TypeError, lambda: nn.ReLU()(X.view(np.matrix)), "ReLU: x: expected a plain array, got a numpy matrix"),
    (TypeError, lambda: LINEAR(np.ma.array(X)), r"got a numpy MaskedArray; use x.filled\(value\)"),
    (TypeError, lambda: nn.Parameter(np.ma.array(X)), "got a numpy MaskedArray"),
    (TypeError, lambda: nn.MSELoss()(X, np.ma.array(X)), "MSELoss: target: expected a plain array"),
    (TypeError, lambda: nn.CrossEntropyLoss()(X, np.ma.array(LABELS)), "CrossEntropyLoss: target: expected a plain"),
    (TypeError, lambda: nn.Embedding(3, 2)(np.ma.array(LABELS)), "Embedding: ids: expected a plain array"),
    (TypeError, lambda: nn.data.Batches(np.ma.array(X), LABELS, 2), "x: expected a plain array"),
    (TypeError, lambda: nn.data.TextBatches(np.ma.array(LABELS), 1, 2), "got a numpy MaskedArray"),
    (TypeError, lambda: LINEAR.load_state_dict(LINEAR.state_dict() | {"bias": np.ma.zeros(2, F)}), "bias: expected a"),
    # constructor arguments
    (ValueError, lambda: nn.Linear(-1, 2), "in_features must be an integer of 1 or more, got -1"),
    (TypeError, lambda: nn.Linear(2, 2, init="he"), r"init must be a function of \(shape, rng\), such as nn.init.he"),
    (ValueError, lambda: nn.Linear(2, 3, init=lambda shape, rng: np.ones((2, 3))), r"an array of shape \(3, 2\)"),
    (TypeError, lambda: nn.Linear(2, 2, rng="seed"), "rng must be None, an int of 0 or more, or a numpy.random.Gener"),
    (ValueError, lambda: nn.Dropout(1.0), r"p must be a probability in \[0, 1\), got 1.0"),
    (ValueError, lambda: nn.models.MLP(None), "sizes must be two or more integers"),
    (ValueError, lambda: nn.models.CNN(4, 2), r"image_shape must be \(C, H, W\)"),
    (ValueError, lambda: nn.models.CNN((1, 4, 4), 2, channels=3), "channels not empty; got"),
    (ValueError, lambda: nn.init.normal((2, 2), std=-1), r"std must be a finite number, in \[0, 1e\+37\), got -1"),
    (ValueError, lambda: nn.init.uniform((2, 2), -1), r"bound must be a finite number, in \[0, 1e\+37\), got -1"),
    (ValueError, lambda: nn.init.open_forget_gates(nn.LSTM(2, 2), np.nan), "value must be a finite number, got nan"),
    # losses
    (TypeError, lambda: nn.CrossEntropyLoss()(X, [0, 1, 2, 0]), "CrossEntropyLoss: target: expected a NumPy or CuPy"),
    (TypeError, lambda: nn.CrossEntropyLoss()(X, np.zeros(4)), "CrossEntropyLoss: target must be integers"),
    (ValueError, lambda: nn.CrossEntropyLoss()(X, LABELS + 1), r"target must be in 0\.\.2, got 1\.\.3"),
    (ValueError, lambda: nn.CrossEntropyLoss()(X[:0], LABELS[:0]), r"needs logits \(\.\.\., C\) and target \(\.\.\.\)"),
    (TypeError, lambda: nn.CrossEntropyLoss(weight="abc"), "weight must have one number for each class, got 'abc'"),
    (TypeError, lambda: nn.CrossEntropyLoss(weight=3), "weight must have one number for each class, got 3"),
    (ValueError, lambda: nn.MSELoss()(X, X[:, :1]), r"the same shape and dtype, with .*; got \(4, 3\)"),
    (ValueError, lambda: nn.BCEWithLogitsLoss()(X, 0 * BROKEN), r"target must be in \[0, 1\], got nan"),
    (ValueError, lambda: nn.KLDivLoss()(abs(X), abs(X)), "prediction must be log-probabilities, 0 or less, got"),
    (ValueError, lambda: nn.HuberLoss(-1), "delta must be above 0, got -1"),
    # optimisers
    (TypeError, lambda: nn.optim.SGD(LINEAR, lr=0.1), r"a list of parameters, got a Linear: pass its parameters\(\)"),
    (TypeError, lambda: nn.optim.SGD(LINEAR.weight, lr=0.1), "a list of parameters, got a Parameter: put it into a li"),
    (ValueError, lambda: nn.optim.Adam(parameters(), lr=-1), "lr must be a finite number, 0 or more, got -1"),
    (ValueError, lambda: nn.optim.Adam(parameters(), lr=np.nan), "lr must be a finite number, 0 or more, got nan"),
    (ValueError, lambda: nn.optim.Adam(parameters(), betas=(1, 0.9)), r"betas\[0\] must be a finite number, in \[0"),
    (ValueError, lambda: nn.optim.clip_grad_norm_(parameters(), -1), "max_norm must be a finite number, 0 or more"),
    (TypeError, lambda: nn.optim.SGD(parameters(), lr=0.1).load_state_dict(None), "SGD expects a dict, got NoneType"),
    (TypeError, lambda: LINEAR.load_state_dict([1]), "state must be a dict of names and arrays, got list"),
    (TypeError, lambda: nn.optim.lr_scheduler.StepLR(LINEAR, 1), "StepLR: optimizer must be an instance of Optimizer"),
    # data
    (ValueError, lambda: nn.data.Batches(X, LABELS[:3], 2), "the same number of rows, 1 or more, got 4 and 3"),
    (TypeError, lambda: nn.data.Batches(X, LABELS, 2, transform=3), r"transform must be a function of \(x, rng\)"),
    (TypeError, lambda: nn.data.Compose(nn.data.RandomShift(1), 3), r"functions of \(x, rng\); number 1 is 3"),
    (TypeError, lambda: nn.data.RandomRotation(9)(IMAGES.astype("u1")), "needs images of floats, got uint8"),
    (TypeError, lambda: nn.data.GaussianNoise(0.1)(IMAGES.astype("u1")), "needs images of floats, got uint8"),
    (ValueError, lambda: nn.data.TokenDropout(0.1, token=-5), "token must be an integer of 0 or more, got -5"),
    (ValueError, lambda: nn.data.spirals(9, turns=np.nan), "turns must be a finite number, got nan"),
    (ValueError, lambda: nn.data.TextBatches([1, 2], 2, 2), "2 tokens, too few for one batch"),
    # training
    (TypeError, lambda: nn.training.accuracy(X, [0, 1, 2, 0]), "target: expected a NumPy or CuPy array, got list"),
    (TypeError, lambda: trainer(criterion=nn.MSELoss), "Trainer: criterion must be an instance of Module, got <class"),
    (TypeError, lambda: trainer(optimizer="adam"), "Trainer: optimizer must be an instance of Optimizer, got 'adam'"),
    (TypeError, lambda: trainer().fit(iter([(X, X)]), epochs=1), "batches must have a length"),
    (TypeError, lambda: trainer().fit([X], epochs=1), r"batches that are pairs \(inputs, targets\), got a ndarray"),
    (TypeError, lambda: trainer().fit([(X, X[:, :2])], valid=3, epochs=1), "valid must be iterable more than once"),
    (TypeError, lambda: trainer().fit([(X, X[:, :2])], valid=iter([(X, X)]), epochs=1), "not a list_iterator"),
    (TypeError, lambda: trainer().fit([(X, X[:, :2])], valid=[X], epochs=1), "valid needs batches that are pairs"),
    (TypeError, lambda: trainer().fit([(X, X[:, :2]), X], epochs=1), "batches needs batches that are pairs"),
    (ValueError, lambda: trainer().fit([(X, X[:, :2])], valid=[], epochs=1), "valid has no batches"),
    # methods
    (ValueError, lambda: LINEAR.register_buffer(3, X), "register_buffer needs the name of an attribute, got 3"),
    (ValueError, lambda: LINEAR.register_buffer("a.b", X), "register_buffer needs the name of an attribute, got 'a.b'"),
    (TypeError, lambda: nn.PositionalEmbedding(5, 3)(X[None], start=0.0), "start must be an integer, got 0.0"),
    (ValueError, lambda: nn.gradcheck.numerical_gradient(np.sum, np.ones(2), eps=10**400), "eps must be a finite"),
]  # fmt: skip


@pytest.mark.parametrize(("error", "call", "message"), WRONG)
def test_a_wrong_call_is_refused_by_name_and_leaves_the_layer_as_it_was(error, call, message):
    before = {name: value.copy() for name, value in LINEAR.state_dict().items()}
    with pytest.raises(error, match=message):
        call()
    assert not LINEAR.__dict__.get("_stack")
    for name, value in LINEAR.state_dict().items():
        np.testing.assert_array_equal(value, before[name])


def test_an_empty_batch_passes_a_layer_as_nothing_and_is_refused_by_the_loss():
    y = LINEAR.eval()(X[:0])
    LINEAR.train()
    assert y.shape == (0, 2)
    with pytest.raises(ValueError, match="at least one element"):
        nn.MSELoss()(y, y)


def test_a_batch_with_a_nan_does_not_stay_in_the_running_averages():
    layer, twin = nn.BatchNorm1d(3), nn.BatchNorm1d(3)
    one_bad = X.copy()
    one_bad[0, 1] = np.inf
    with np.errstate(invalid="ignore"):
        y = layer(one_bad)
    twin(X)
    assert not np.isfinite(y[:, 1]).all()  # the wrong values are visible in the output
    np.testing.assert_array_equal(layer.running_mean[[0, 2]], twin.running_mean[[0, 2]])
    assert layer.running_mean[1] == 0 and layer.running_var[1] == 1


def test_training_on_broken_data_stops_and_points_at_the_data():
    model = nn.Linear(3, 3, rng=0)
    before = model.weight.data.copy()
    for inputs, targets, name in ((BROKEN, X, "inputs"), (X, BROKEN, "targets")):
        fit = nn.Trainer(model, nn.MSELoss(), nn.optim.SGD(model.parameters(), lr=0.1)).fit
        with pytest.raises(nn.training.TrainingDiverged, match=f"the batch's {name} hold NaN or infinity"):
            fit([(inputs, targets)], epochs=1)
    np.testing.assert_array_equal(model.weight.data, before)


@pytest.mark.parametrize(
    "model", [nn.models.LanguageModel(5, 4, 4, rng=0), nn.models.TransformerLM(5, 4, 2, 1, 8, rng=0)]
)
@pytest.mark.parametrize(("tokens", "targets", "scale", "error", "message"), [
    ([[1, 2]], LABELS[None, :2], 1.0, TypeError, "tokens: expected a NumPy or CuPy array, got list"),
    (LABELS[None], None, 1.0, TypeError, "targets: expected a NumPy or CuPy array, got NoneType"),
    (LABELS[None], X, 1.0, TypeError, "targets must be integers, got float32"),
    (LABELS[None], LABELS, 1.0, ValueError, r"targets must have the shape of tokens, \(1, 4\), got \(4,\)"),
    (LABELS[None], LABELS[None] + 3, 1.0, ValueError, r"targets must be in 0\.\.4, got 3\.\.5"),
    (LABELS[None], LABELS[None], "x", ValueError, "scale must be a finite number, got 'x'"),
    (LABELS[None], LABELS[None], None, ValueError, "scale must be a finite number, got None"),
])  # fmt: skip
def test_targets_that_do_not_fit_are_refused_before_forward_saves_anything(
    model, tokens, targets, scale, error, message
):
    with pytest.raises(error, match=message):
        model.loss_and_backward(tokens, targets, None, scale)
    assert not any(module.__dict__.get("_stack") for module in model.modules())
    assert not any(parameter.grad.any() for parameter in model.parameters())


@pytest.mark.parametrize(("layer", "name", "x"), [
    (nn.Dropout(0.5, rng=0), "p", X),
    (nn.VariationalDropout(0.5, rng=0), "p", X[None]),
    (nn.BatchNorm1d(3), "momentum", X),
])  # fmt: skip
@pytest.mark.parametrize("value", [2, -1, np.nan, "x"])
def test_a_probability_set_later_is_checked_by_forward(layer, name, x, value):
    before = {name: array.copy() for name, array in layer.state_dict().items()}
    setattr(layer, name, value)
    with pytest.raises(ValueError, match=f"{name} must be a probability"):
        layer(x)
    for key, array in layer.state_dict().items():
        np.testing.assert_array_equal(array, before[key])


@pytest.mark.parametrize("value", [2, -1, np.nan, "x"])
def test_a_label_smoothing_set_later_is_checked_by_forward(value):
    criterion = nn.CrossEntropyLoss()
    criterion.label_smoothing = value
    with pytest.raises(ValueError, match="label_smoothing must be a probability"):
        criterion(X, LABELS)


@pytest.mark.parametrize("name", ["max_norm", "clip_value"])
def test_a_limit_of_the_gradient_set_later_is_checked(name):
    later = trainer()
    for value in (-1, np.nan, "x", True):
        with pytest.raises(ValueError, match=f"{name} must be a finite number, 0 or more"):
            setattr(later, name, value)
    for value in (None, np.inf):
        setattr(later, name, value)
        assert getattr(later, name) == np.inf
    setattr(later, name, 1)
    assert getattr(later, name) == 1.0


@pytest.mark.parametrize(("name", "value", "message"), [
    ("callbacks", [nn.training.ProgressBar], "Trainer: callbacks must be an instance of Callback, got <class"),
    ("scheduler", nn.optim.lr_scheduler.StepLR, "Trainer: scheduler must be an instance of LRScheduler"),
    ("criterion", None, "Trainer: criterion must be an instance of Module, got None"),
    ("optimizer", None, "Trainer: optimizer must be an instance of Optimizer, got None"),
    ("model", nn.Linear(3, 2, rng=0), "the optimizer has none of the model's parameters"),
    ("accumulate", 0, "accumulate must be an integer of 1 or more, got 0"),
])  # fmt: skip
def test_an_attribute_of_a_trainer_set_later_is_checked_by_fit(name, value, message):
    later, before = trainer(), LINEAR.weight.data.copy()
    setattr(later, name, value)
    with pytest.raises((TypeError, ValueError), match=message):
        later.fit([(X, X[:, :2])], epochs=1)
    np.testing.assert_array_equal(LINEAR.weight.data, before)
