"""What is inside a model: activations, probes, the logit lens, attention rollout and the top contexts of a unit."""

import numpy as np
import pytest

import nnscratch as nn
from nnscratch.explain import attention_rollout, layer_activations, linear_probe, logit_lens, top_contexts

R = np.random.default_rng(0)
TOKENS = R.integers(0, 9, (2, 5))


def transformer(**form):
    return nn.models.TransformerLM(9, 8, 2, 3, 6, 0.3, rng=1, **form).to(dtype=np.float64)


@pytest.mark.parametrize("form", [{}, {"norm_first": False}, {"positions": "sinusoidal"}, {"tie_weights": True}])
def test_the_last_logits_of_the_lens_are_the_models(form):
    model = transformer(**form)
    logits = logit_lens(model, TOKENS)
    assert logits.shape == (4, 2, 5, 9) and model.training
    np.testing.assert_allclose(logits[-1], model.eval()(TOKENS)[0], rtol=1e-12)


def test_the_lens_reads_each_block_with_the_last_norm_and_layer():
    model = transformer().eval()
    logits = logit_lens(model, TOKENS)
    h = model.embedding(TOKENS) + model.position.weight.data[:5]
    for l, block in enumerate(model.blocks.layers):  # noqa: E741
        np.testing.assert_allclose(logits[l], model.linear(model.norm(h)), rtol=1e-10)
        h = block(h)


def test_the_lens_shows_a_block_that_does_nothing():
    model = transformer()
    for layer in (model.blocks[2].self_attn.out_proj, model.blocks[2].linear2):
        layer.weight.data[...], layer.bias.data[...] = 0, 0
    logits = logit_lens(model, TOKENS)
    np.testing.assert_array_equal(logits[3], logits[2])
    assert not np.allclose(logits[2], logits[1])


def test_activations_are_the_outputs_in_eval_mode():
    model = nn.models.MLP([5, 4, 3], dropout=0.5, rng=0)
    x = R.normal(size=(2, 5)).astype(np.float32)
    found = layer_activations(model, x)
    assert list(found) == [f"layers{end}" for end in ("", ".0", ".1", ".2", ".3", ".4")]
    np.testing.assert_array_equal(found["layers.4"], model.eval()(x))
    np.testing.assert_array_equal(found["layers.2"], found["layers.3"])  # Dropout does nothing
    np.testing.assert_array_equal(found["layers.1"], x @ model.layers[1].weight.data.T + model.layers[1].bias.data)


def test_a_probe_finds_what_is_there_and_nothing_in_noise():
    h = R.normal(size=(30, 20, 8))
    labels = (h[..., :3] @ [1, 2, -1] > 0).astype(int) + 2 * (h[..., 5] > 0)
    probe = linear_probe(h, labels, rng=0)
    assert probe.test_accuracy > 0.95 and probe.train_accuracy > 0.95 and 0.2 < probe.guess_accuracy < 0.35
    assert (probe.predict(h) == labels).mean() > 0.95
    noise = linear_probe(h, R.integers(0, 4, (30, 20)), rng=0)
    assert noise.test_accuracy < 0.4
    assert repr(noise).startswith("Probe(test accuracy 0.")


def test_a_probe_is_the_same_with_the_same_seed_and_never_trains_on_the_test_part():
    h, labels = R.normal(size=(200, 100)), R.integers(0, 2, 200)
    a, b = linear_probe(h, labels, rng=3), linear_probe(h, labels, rng=3)
    np.testing.assert_array_equal(a.linear.weight.data, b.linear.weight.data)
    assert a.train_accuracy > 0.95 and a.test_accuracy < 0.7  # it can learn noise by heart, but not guess it


def test_a_probe_converts_labels_to_the_integers_that_bincount_accepts_on_every_machine(monkeypatch):
    counted, bincount = [], np.bincount
    monkeypatch.setattr(np, "bincount", lambda x: counted.append(x.dtype) or bincount(x))
    for dtype in (np.int32, np.int64):  # NumPy on a 32-bit machine, such as Pyodide, refuses int64
        linear_probe(R.normal(size=(40, 3)), np.arange(40).astype(dtype) % 2, steps=1, rng=0)
    assert counted == [np.intp, np.intp]


def test_rollout_of_uniform_attention_is_known():
    model = nn.models.TransformerLM(9, 8, 2, 2, 6, rng=1).to(dtype=np.float64)
    for block in model.blocks.layers:
        block.self_attn.in_proj_weight.data[:16] = 0  # no queries, no keys: all scores are 0
    B = (np.tril(np.ones((3, 3))) / np.arange(1, 4)[:, None] + np.eye(3)) / 2
    np.testing.assert_allclose(attention_rollout(model, TOKENS[:, :3]), np.stack([B @ B] * 2))


def test_rollout_multiplies_the_maps_of_the_layers_from_the_last_to_the_first():
    model = transformer().eval()
    x, expected = model.embedding(TOKENS) + model.position.weight.data[:5], np.eye(5)
    for block in model.blocks.layers:
        expected = (block.self_attn.weights(block.norm1(x)).mean(axis=1) + np.eye(5)) / 2 @ expected
        x = block(x)
    np.testing.assert_allclose(attention_rollout(model, TOKENS), expected, rtol=1e-10)


def test_rollout_rows_sum_to_one_and_a_causal_model_sees_no_later_token():
    causal = attention_rollout(transformer(), TOKENS)
    np.testing.assert_allclose(causal.sum(axis=2), 1)
    assert (np.triu(causal, 1) == 0).all() and (np.tril(causal) > 0).sum() == 30
    both = attention_rollout(nn.models.TextClassifier(nn.models.TransformerEncoder(9, 8, 2, 2, 6), 3), TOKENS)
    np.testing.assert_allclose(both.sum(axis=2), 1, rtol=1e-5)
    assert (both > 0).all()


def language_model(cell="lstm"):
    text = nn.data.load_austen("emma")[5000:5700]
    tokenizer = nn.data.CharTokenizer.from_text(text)
    if cell == "transformer":
        return text, tokenizer, nn.models.TransformerLM(len(tokenizer), 8, 2, 2, 16, rng=0)
    return text, tokenizer, nn.models.LanguageModel(len(tokenizer), 8, 10, 2, rng=0)


@pytest.mark.parametrize(("cell", "layer"), [("lstm", "lstm"), ("transformer", "blocks.1.activation")])
def test_top_contexts_are_the_places_of_the_largest_activations(cell, layer):
    text, tokenizer, model = language_model(cell)
    ids = tokenizer.encode(text)
    found = top_contexts(model, tokenizer, text, layer, unit=3, k=4, width=12, context=16)
    assert [f.activation for f in found] == sorted((f.activation for f in found), reverse=True)
    for f in found:
        assert f.before + f.token + f.after == text[max(0, f.position - 12) : f.position + 13]
        # the activation with a window that ends anywhere in the half after this place
        values = []
        for end in range(f.position + 1, min(len(ids), f.position + 8) + 1):
            start = max(0, end - 16)
            values.append(layer_activations(model, ids[None, start:end])[layer][0, f.position - start, 3])
        assert min(abs(np.array(values) - f.activation)) < 1e-5
    every = np.concatenate([layer_activations(model, ids[None, s : s + 16])[layer][0, 8:, 3] for s in range(0, 680, 8)])
    assert found[0].activation >= every.max() - 1e-5
    assert all(abs(a.position - b.position) >= 12 for a in found for b in found if a is not b)


def test_a_text_shorter_than_a_window_and_one_of_a_single_token():
    _, tokenizer, model = language_model()
    assert [f.position for f in top_contexts(model, tokenizer, "the", "lstm", 0, k=9, width=1)] != []
    (one,) = top_contexts(model, tokenizer, "t", "lstm", 0)
    assert (one.before, one.token, one.after) == ("", "t", "")


def lstm_call(**changes):
    text, tokenizer, model = language_model()
    given = {"model": model, "tokenizer": tokenizer, "text": text, "layer": "lstm", "unit": 0} | changes
    return lambda: top_contexts(**given)


WRONG = {
    "lens of an LSTM": (lambda: logit_lens(language_model()[2], TOKENS), TypeError, "instance of TransformerLM"),
    "lens too long": (lambda: logit_lens(transformer(), TOKENS[:, [0] * 7]), ValueError, "at most context=6"),
    "rollout of an LSTM": (lambda: attention_rollout(language_model()[2], TOKENS), TypeError, "LanguageModel has none"),
    "rollout too long": (lambda: attention_rollout(transformer(), TOKENS[:, [0] * 7]), ValueError, "longer than its"),
    "probe of NaN": (lambda: linear_probe(np.full((4, 2), np.nan), np.zeros(4, int)), ValueError, "h must be finite"),
    "probe of others": (
        lambda: linear_probe(R.normal(size=(8, 2)), np.zeros(8, int), rng=0).predict(np.ones((1, 3))),
        ValueError,
        r"h must have the shape \(\.\.\., 2\)",
    ),
    "probe shapes": (lambda: linear_probe(np.ones((4, 2)), np.zeros(3, int)), ValueError, r"\(4, 2\), and labels of"),
    "probe labels": (lambda: linear_probe(np.ones((4, 2)), np.zeros(4)), ValueError, "float64"),
    "probe negative": (lambda: linear_probe(np.ones((4, 2)), np.full(4, -1)), ValueError, "0 or more"),
    "probe fraction": (lambda: linear_probe(np.ones((4, 2)), np.zeros(4, int), 0.01), ValueError, "leaves no vector"),
    "empty text": (lstm_call(text=""), ValueError, "the text is empty"),
    "no such layer": (lstm_call(layer="gru"), ValueError, "the names are embedding, lstm, linear"),
    "no such unit": (lstm_call(unit=10), ValueError, r"H > unit=10, got"),
    "negative unit": (lstm_call(unit=-1), ValueError, "unit must be"),
    "k": (lstm_call(k=0), ValueError, "k must be"),
    "activations of a function": (lambda: layer_activations(len, TOKENS), TypeError, "instance of Module"),
}


@pytest.mark.parametrize("name", WRONG)
def test_a_wrong_call_says_what_is_wrong(name):
    call, error, message = WRONG[name]
    with pytest.raises(error, match=message):
        call()
