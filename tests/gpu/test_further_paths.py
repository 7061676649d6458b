"""Parts of layers and models that the table of cases does not reach give the same on "cuda" as on the CPU."""

import numpy as np
import pytest

import nnscratch as nn

TOKENIZER = nn.data.CharTokenizer.from_text("abcdefghijk")


@pytest.mark.parametrize("side", ["right", "left"])
@pytest.mark.parametrize(
    "build",
    [
        lambda: nn.RNN(3, 4, 2, nonlinearity="relu", bidirectional=True, rng=1),
        lambda: nn.GRU(3, 4, rng=1),
        lambda: nn.LSTM(3, 4, 2, rng=1),
        lambda: nn.TransformerBlock(8, 2, rng=1),
    ],
    ids=["RNN with relu", "GRU", "LSTM", "TransformerBlock"],
)
def test_sequences_with_padding_on_either_side(build, side, rng, on_cuda, on_cpu):
    lengths = np.array([5, 2, 3])
    here, there = build().to(dtype=np.float64), build().to("cuda", dtype=np.float64)
    recurrent = not isinstance(here, nn.TransformerBlock)
    x = rng.normal(size=(3, 5, 3 if recurrent else 8))
    y, got = here(x, lengths=lengths, padding_side=side), there(on_cuda(x), lengths=lengths, padding_side=side)
    y, got = (y[0], got[0]) if recurrent else (y, got)
    np.testing.assert_allclose(on_cpu(got), y, atol=1e-12)
    dy = rng.normal(size=y.shape)
    dx, dx_there = here.backward(dy), there.backward(on_cuda(dy))
    dx, dx_there = (dx[0], dx_there[0]) if recurrent else (dx, dx_there)
    np.testing.assert_allclose(on_cpu(dx_there), dx, atol=1e-12)
    for p, q in zip(here.parameters(), there.parameters(), strict=True):
        np.testing.assert_allclose(on_cpu(q.grad), p.grad, atol=1e-12)


def test_lora_is_merged_saved_and_loaded(rng, tmp_path, on_cuda, on_cpu):
    def adapted():
        layer = nn.LoRA(nn.Linear(5, 4, rng=1), rank=2, rng=2)
        layer.lora_B.data[...] = 0.5
        return nn.Sequential(layer)

    x = rng.normal(size=(2, 3, 5)).astype(np.float32)
    here, there = adapted(), adapted().to("cuda")
    nn.save_lora(there, tmp_path / "lora.safetensors")
    loaded = nn.load_lora(tmp_path / "lora.safetensors", nn.Sequential(nn.Linear(5, 4, rng=1)).to("cuda"))
    expected = here(x)
    np.testing.assert_allclose(on_cpu(loaded(on_cuda(x))), expected, rtol=1e-5, atol=1e-6)
    np.testing.assert_allclose(on_cpu(there.layers[0].update()), here.layers[0].update(), rtol=1e-5)
    merged = there.layers[0].merge()
    np.testing.assert_allclose(on_cpu(merged(on_cuda(x))), expected, rtol=1e-5, atol=1e-6)
    there.layers[0].unmerge()
    np.testing.assert_allclose(on_cpu(there(on_cuda(x))), expected, rtol=1e-5, atol=1e-6)


def test_two_heads_and_open_forget_gates(rng, on_cuda, on_cpu):
    def heads():
        return nn.models.TwoHeaded(nn.Linear(5, 4, rng=1), nn.Linear(4, 3, rng=2), nn.Linear(4, 1, rng=3))

    x, dys = rng.normal(size=(6, 5)), (rng.normal(size=(6, 3)), rng.normal(size=(6, 1)))
    here, there = heads().to(dtype=np.float64), heads().to("cuda", dtype=np.float64)
    for y, got in zip(here(x), there(on_cuda(x)), strict=True):
        np.testing.assert_allclose(on_cpu(got), y)
    np.testing.assert_allclose(on_cpu(there.backward(*on_cuda(dys))), here.backward(*dys))
    lstm = nn.LSTM(3, 4, rng=0).to("cuda")
    nn.init.open_forget_gates(lstm, 2.0)
    np.testing.assert_array_equal(on_cpu(lstm.bias_ih_l0.data)[4:8], 2)


def test_word_vectors_find_the_nearest_words_and_complete_analogies(on_cuda):
    here, there = nn.models.WordVectors(9, 4, rng=1), nn.models.WordVectors(9, 4, rng=1).to("cuda")
    vector = here.embedding.weight.data[2]
    assert here.nearest(vector, 3).tolist() == there.nearest(on_cuda(vector), 3).tolist()
    assert here.analogy(1, 2, 3, 2).tolist() == there.analogy(1, 2, 3, 2).tolist()


def test_gpt2_is_written_and_read(tmp_path, on_cuda, on_cpu):
    tokens = np.array([[1, 2, 3]])
    settings = {"activation": "gelu_tanh", "positions": "learned", "tie_weights": True}
    model = nn.models.TransformerLM(11, 8, 2, 2, 16, **settings, rng=1).eval()
    logits, _ = model(tokens)
    nn.save_gpt2(model.to("cuda"), tmp_path)
    got, _ = nn.load_gpt2(tmp_path).to("cuda").eval()(on_cuda(tokens))
    np.testing.assert_allclose(on_cpu(got), logits, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("method", ["integrated_gradients", "occlusion"])
def test_a_prompt_is_explained(method, on_cuda):
    scores = []
    for device in ("cpu", "cuda"):
        model = nn.models.LanguageModel(len(TOKENIZER), 6, 8, rng=1).to(device)
        scores.append(nn.explain.explain_prompt(model, TOKENIZER, "abcd", "e", method).attributions)
    np.testing.assert_allclose(scores[1], scores[0], rtol=1e-3, atol=1e-5)


def test_the_losses_of_sequences_and_the_exposure_of_one(rng, on_cuda):
    sequences = rng.integers(0, 11, (6, 5))
    model = nn.models.LanguageModel(11, 6, 8, rng=1)
    losses = nn.privacy.sequence_losses(model, sequences)
    there = nn.privacy.sequence_losses(model.to("cuda"), sequences)
    np.testing.assert_allclose(there, losses, rtol=1e-4)
    assert nn.privacy.exposure(there, 2) == nn.privacy.exposure(losses, 2)


@pytest.mark.parametrize("criterion", [nn.MSELoss(), nn.BCEWithLogitsLoss(), nn.HuberLoss(), nn.KLDivLoss(),
                                       nn.CrossEntropyLoss(), nn.MultiMarginLoss()], ids=repr)  # fmt: skip
def test_a_prediction_and_a_target_on_two_devices_are_refused(criterion, on_cuda):
    of_labels = isinstance(criterion, nn.CrossEntropyLoss | nn.MultiMarginLoss)
    prediction, target = np.full((2, 3), -1.0), np.zeros(2, int) if of_labels else np.ones((2, 3))
    with pytest.raises(TypeError, match="on the same device"):
        criterion(prediction, on_cuda(target))
