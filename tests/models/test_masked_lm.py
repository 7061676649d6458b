"""The bidirectional encoder, masked tokens, and the classifier of sequences."""

import numpy as np
import pytest

import nnscratch as nn
from nnscratch.gradcheck import check_gradients

RNG = np.random.default_rng(0)


def encoder(V=5, D=4, layers=1, context=4, seed=0, **more):
    return nn.models.TransformerEncoder(V, D, 2, layers, context, rng=seed, **more)


def models(seed=0, **more):
    yield nn.models.MaskedLM(encoder(**more), rng=seed)
    for pool in ("mean", "last"):
        yield nn.models.TextClassifier(encoder(**more), 3, pool, rng=seed)


class WithLengths(nn.Module):
    """A model whose second sequence has padding, with one input for the checker."""

    def __init__(self, model):
        self.model = model

    def forward(self, tokens):
        return self.model(tokens, [3, 2])

    def backward(self, dlogits):
        return self.model.backward(dlogits)


@pytest.mark.parametrize("number", range(3), ids=["masked", "mean", "last"])
def test_the_gradients_are_the_numerical_ones(number):
    model = WithLengths(list(models())[number]).to(dtype=np.float64)
    report = check_gradients(model, RNG.integers(0, 5, (2, 3)), mode="directional")
    assert report.ok and report.max_error < 1e-6, report


def test_every_token_sees_all_others_but_no_padding():
    model, tokens = encoder().to(dtype=np.float64), RNG.integers(0, 5, (2, 4))
    h = model(tokens, [4, 2])
    other = tokens.copy()
    other[0, 3], other[1, 2:] = 4 - tokens[0, 3], 4 - tokens[1, 2:]
    again = model(other, [4, 2])
    if tokens[0, 3] != other[0, 3]:
        assert (again[0, 0] != h[0, 0]).any()
    np.testing.assert_allclose(again[1, :2], h[1, :2], rtol=1e-12)


def test_the_classifier_reads_no_padding():
    tokens = RNG.integers(0, 5, (2, 4))
    for model in list(models())[1:]:
        model.to(dtype=np.float64)
        logits = model(tokens, np.array([4, 2]))
        alone = model(tokens[1:, :2])
        np.testing.assert_allclose(alone[0], logits[1], rtol=1e-10)


@pytest.mark.parametrize("p", [0.15, 0.5])
def test_the_chosen_tokens_are_masked_replaced_or_kept(p):
    text = np.random.default_rng(1).integers(0, 50, 40_000)
    batches = nn.data.MaskedBatches(text, 16, 20, mask=50, p=p, rng=0)
    inputs, targets = (np.concatenate(part) for part in zip(*batches, strict=True))
    chosen = targets != -100
    assert len(batches) == 125 and inputs.shape == (2000, 20)
    assert chosen.mean() == pytest.approx(p, abs=0.01)
    assert (inputs[chosen] == 50).mean() == pytest.approx(0.8, abs=0.02)
    assert (inputs[chosen] == targets[chosen]).mean() == pytest.approx(0.1 + 0.1 / 50, abs=0.02)
    original = np.where(chosen, targets, inputs)
    assert sorted(map(tuple, original)) == sorted(map(tuple, text.reshape(-1, 20)))


def test_it_learns_to_restore_tokens_and_the_encoder_helps_a_classifier(tmp_path):
    rng = np.random.default_rng(0)
    starts = rng.integers(0, 6, 400)
    text = np.concatenate([(start + np.arange(6)) % 6 for start in starts])  # each token follows from its neighbours
    model = nn.models.MaskedLM(nn.models.TransformerEncoder(7, 16, 2, 1, 6, rng=0), rng=1)
    batches = nn.data.MaskedBatches(text, 32, 6, mask=6, p=0.3, rng=0)
    trainer = nn.Trainer(model, nn.CrossEntropyLoss(ignore_index=-100), nn.optim.Adam(model.parameters(), lr=0.01))
    history = trainer.fit(batches, epochs=25)
    assert np.mean(history.loss[-20:]) < 0.5 * history.loss[0]
    nn.save(model, tmp_path / "masked.safetensors")
    again = nn.load(tmp_path / "masked.safetensors")
    tokens = text[:12].reshape(2, 6)
    np.testing.assert_array_equal(again.eval()(tokens), model.eval()(tokens))
    classifier = nn.models.TextClassifier(
        model.encoder.requires_grad_(False), 6, rng=0
    )  # frozen: the head learns alone
    data = nn.data.Batches(text.reshape(-1, 6), starts, 32, rng=0)
    nn.Trainer(classifier, nn.CrossEntropyLoss(), nn.optim.Adam(classifier.parameters(), lr=0.05)).fit(data, epochs=10)
    assert nn.evaluate(classifier, nn.CrossEntropyLoss(), data) < 1.0


def test_bad_input_is_refused():
    with pytest.raises(ValueError, match=r"at most context=4 tokens in a sequence, got \(1, 5\)"):
        encoder()(np.zeros((1, 5), dtype=int))
    with pytest.raises(TypeError, match="encoder must be an instance of TransformerEncoder, got Linear"):
        nn.models.MaskedLM(nn.Linear(2, 3))
    with pytest.raises(TypeError, match="encoder must be an instance of TransformerEncoder, got Linear"):
        nn.models.TextClassifier(nn.Linear(2, 3), 2)
    with pytest.raises(ValueError, match="pool must be one of 'mean', 'last', got 'max'"):
        nn.models.TextClassifier(encoder(), 2, "max")
    with pytest.raises(ValueError, match="which go up to 5; got 5"):
        nn.data.MaskedBatches([1, 5, 2], 1, 2, mask=5)
    with pytest.raises(ValueError, match="the text has 3 tokens, fewer than seq_len=4"):
        nn.data.MaskedBatches([1, 5, 2], 1, 4, mask=6)
    with pytest.raises(ValueError, match="p must be above 0"):
        nn.data.MaskedBatches([1, 5, 2], 1, 2, mask=6, p=0)
