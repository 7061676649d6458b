"""The examples of the docs, beside the same programs in PyTorch: from the same weights, the losses are equal."""

import importlib.util
import sys
from pathlib import Path

import numpy as np
import pytest

import nnscratch as nn

torch = pytest.importorskip("torch")
EXAMPLES = Path(__file__).parents[2] / "docs" / "examples"
if not EXAMPLES.is_dir():
    pytest.skip("docs/ is not part of an installation", allow_module_level=True)


def load(name):
    spec = importlib.util.spec_from_file_location(f"examples_{name}", EXAMPLES / f"{name}.py")
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    spec.loader.exec_module(module)
    return module


def in_pytorch(ours, theirs):
    """Return `theirs` in float64 with the weights of `ours`, which becomes float64 too."""
    ours.to(dtype=np.float64)
    theirs = theirs.double()
    state = theirs.state_dict() | {name: torch.tensor(a) for name, a in ours.state_dict().items()}
    theirs.load_state_dict(state)  # also num_batches_tracked, which only PyTorch's BatchNorm has
    return theirs


def test_nanogpt():
    example, peer = load("nanogpt"), load("nanogpt_pytorch")
    tokenizer, train, _ = example.load_tokens()
    model = example.make_model(len(tokenizer))
    gpt = peer.GPT(len(tokenizer), example.FEATURES, example.HEADS, example.LAYERS, example.CONTEXT)
    theirs = in_pytorch(model, gpt)
    trainer = example.make_trainer(model)
    trainer.fit(example.make_batches(train[:20_000]), steps=5)
    losses = list(peer.train(theirs, example.make_batches(train[:20_000]), 5, example.STEPS))
    np.testing.assert_allclose(trainer.history.loss, losses, rtol=1e-6)
    assert losses[-1] < losses[0] and max(trainer.history.norm) > 1  # it learns, and some gradients are clipped


def test_nanogpt_has_fewer_than_sixty_lines():
    assert len((EXAMPLES / "nanogpt.py").read_text(encoding="utf-8").splitlines()) < 60


def test_word_language_model():
    example, peer = load("word_language_model"), load("word_language_model_pytorch")
    tokens = np.random.default_rng(0).integers(0, 50, 2600)
    train, valid = example.make_batches(tokens[:2000]), example.make_batches(tokens[2000:], 10)
    model = example.make_model(50, dropout=0.0)
    theirs = in_pytorch(model, peer.RNNModel(50, dropout=0.0))
    trainer = example.make_trainer(model)
    trainer.fit(train, valid, epochs=4)
    losses, valid_losses = peer.train(theirs, train, valid, epochs=4)
    np.testing.assert_allclose(trainer.history.loss, losses, rtol=1e-5)
    np.testing.assert_allclose([record["loss"] for record in trainer.history.valid], valid_losses, rtol=1e-5)
    assert trainer.optimizer.lr < 20  # the text is random, so the validation loss rises and the rate falls


def test_resnet():
    example, peer = load("resnet"), load("resnet_pytorch")
    (x, y), _ = example.load_digits()
    x = x.astype(np.float64)[:256]
    model = example.make_model()
    theirs = in_pytorch(model, peer.make_model())
    trainer = example.make_trainer(model, steps=10)
    trainer.fit(example.make_batches(x, y[:256]), steps=10)
    losses = peer.train(theirs, example.make_batches(x, y[:256]), 10, total_steps=10)
    np.testing.assert_allclose(trainer.history.loss, losses, rtol=1e-8)
    ours, own = model.eval()(x[:20]), theirs.eval()(torch.from_numpy(x[:20]))
    np.testing.assert_allclose(ours, own.detach().numpy(), rtol=1e-6)


def test_sentence_classifier():
    example, peer = load("sentence_classifier"), load("sentence_classifier_pytorch")
    tokenizer, train, (test_inputs, test_labels) = example.load_sentences()
    model = example.Classifier(len(tokenizer))
    theirs = in_pytorch(model, peer.Classifier(len(tokenizer)))
    trainer = example.make_trainer(model)
    (tokens, lengths), labels = train
    data = (tokens, lengths), labels.astype(np.float64)
    trainer.fit(example.make_batches(*data), steps=6)
    losses = peer.train(theirs, example.make_batches(*data), 6)
    np.testing.assert_allclose(trainer.history.loss, losses, rtol=1e-10)
    some = tuple(a[:50] for a in test_inputs)
    own = theirs.eval()(*(torch.from_numpy(a) for a in some)).detach().numpy()
    np.testing.assert_allclose(model.eval()(*some), own, rtol=1e-8, atol=1e-12)
    assert 0 < example.accuracy_on(model, some, test_labels[:50]) < 1


@pytest.mark.parametrize("name", ["nanogpt", "word_language_model", "resnet", "sentence_classifier"])
def test_an_example_has_a_page_that_shows_it_and_its_peer(name):
    page = (EXAMPLES / f"{name}.md").read_text(encoding="utf-8")
    assert f"```{{literalinclude}} {name}.py" in page and f"```{{literalinclude}} {name}_pytorch.py" in page


def test_the_gradients_of_the_classifier_are_the_numerical_ones():
    example = load("sentence_classifier")
    model = example.Classifier(7, embed=3, hidden=2).to(dtype=np.float64)
    tokens, lengths = np.array([[1, 2, 3, 4], [5, 6, 0, 0]]), np.array([4, 2])
    assert nn.gradcheck.check_gradients(model, tokens, lengths).ok
