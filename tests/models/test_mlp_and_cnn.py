"""MLP and CNN: gradients, files, training on the digits, and wrong arguments."""

import numpy as np
import pytest

import nnscratch as nn
from nnscratch.gradcheck import check_gradients

BUILD = {
    "MLP": lambda: nn.models.MLP([16, 6, 5, 3], activation=nn.Tanh, dropout=0.2, rng=0),
    "CNN": lambda: nn.models.CNN((1, 4, 4), 3, channels=(2, 3), hidden=5, rng=0),
}
X = np.random.default_rng(0).normal(size=(4, 4, 4)).astype(np.float32)


@pytest.mark.parametrize("name", BUILD)
def test_the_gradients_match_finite_differences(name):
    report = check_gradients(BUILD[name]().to(dtype=np.float64), X.astype(np.float64))
    assert report.ok, report


@pytest.mark.parametrize("name", BUILD)
def test_a_saved_model_is_rebuilt_from_its_file_alone(name, tmp_path):
    model = BUILD[name]()
    nn.save(model, tmp_path / "model.safetensors")
    loaded = nn.load(tmp_path / "model.safetensors")
    assert type(loaded) is type(model) and repr(loaded) == repr(model)
    np.testing.assert_array_equal(loaded.eval()(X), model.eval()(X))


def learn(model, images, labels, epochs):
    batches = nn.data.Batches(images, labels, 64, rng=0)
    optimizer = nn.optim.AdamW(model.parameters())
    schedule = nn.optim.lr_scheduler.OneCycleLR(optimizer, 5e-3, epochs * len(batches))
    nn.Trainer(model, nn.CrossEntropyLoss(), optimizer, scheduler=schedule).fit(batches, epochs=epochs)
    return model.eval()


def test_both_read_digits_they_have_not_seen_after_a_few_epochs():
    (images, labels), (test_images, test_labels) = nn.data.digits_split()
    mlp = learn(nn.models.MLP([64, 128, 10], rng=0), images, labels, epochs=10)
    assert (mlp(test_images).argmax(axis=1) == test_labels).mean() >= 0.96
    cnn = learn(nn.models.CNN((1, 8, 8), 10, channels=(16, 32), hidden=64, rng=0), images, labels, epochs=8)
    assert (cnn(test_images).argmax(axis=1) == test_labels).mean() >= 0.97


@pytest.mark.parametrize(("error", "call", "message"), [
    (ValueError, lambda: nn.models.MLP([5]), "sizes must be two or more integers"),
    (ValueError, lambda: nn.models.MLP([5, 0, 2]), r"sizes\[1\] must be an integer of 1 or more, got 0"),
    (TypeError, lambda: nn.models.MLP([5, 2], activation=nn.ReLU()), r"such as nn.ReLU \(not nn.ReLU\(\)\)"),
    (ValueError, lambda: nn.models.MLP([5, 2])(X), r"MLP\(\[5, 2\]\) needs 5 features for each example, got x of"),
    (ValueError, lambda: nn.models.CNN((1, 4, 4), 3, channels=(2, 2, 2)), r"of \(4, 4\) cannot be halved 3 times"),
    (ValueError, lambda: nn.models.CNN((4, 4), 3), r"image_shape must be \(C, H, W\)"),
    (ValueError, lambda: nn.models.CNN((3, 4, 4), 3)(X), r"CNN needs images of shape \(N, 3, 4, 4\), got \(4, 4, 4\)"),
])  # fmt: skip
def test_what_does_not_fit_is_refused(error, call, message):
    with pytest.raises(error, match=message):
        call()
