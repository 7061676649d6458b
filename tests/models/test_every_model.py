"""What holds for every model: a seed decides its numbers, dropout is where it was asked for, and initial weights."""

import numpy as np
import pytest

import nnscratch as nn
from nnscratch import models
from nnscratch.modes import without_input_grad

RNG = np.random.default_rng(0)
IMAGES = RNG.normal(size=(3, 4, 4)).astype(np.float32)
TOKENS, TARGETS = RNG.integers(0, 7, (3, 4)), RNG.integers(0, 9, (3, 5))


def encoder(p):
    return models.TransformerEncoder(7, 8, 2, 2, 5, p, rng=0)


MODELS = {  # name: (the model with the dropout p, its inputs, the number of its Dropout layers)
    "mlp": (lambda p: models.MLP([16, 6, 5, 3], dropout=p, rng=0), (IMAGES,), 2),
    "cnn": (lambda p: models.CNN((1, 4, 4), 3, (2, 3), 5, p, rng=0), (IMAGES,), 1),
    "encoder": (encoder, (TOKENS,), None),
    "lstm": (lambda p: models.LanguageModel(7, 8, 6, 2, p, rng=0), (TOKENS,), None),
    "transformer": (lambda p: models.TransformerLM(7, 8, 2, 2, 5, p, rng=0), (TOKENS,), None),
    "seq2seq": (lambda p: models.Seq2Seq(7, 9, 8, 6, 2, p, rng=0), (TOKENS, TARGETS), None),
    "transformer_seq2seq": (
        lambda p: models.TransformerSeq2Seq(7, 9, 8, 2, 2, None, p, rng=0),
        (TOKENS, TARGETS),
        None,
    ),
}


def first(output):
    return output[0] if isinstance(output, tuple) else output


@pytest.mark.parametrize("name", MODELS)
def test_a_seed_decides_the_weights_and_the_dropout(name):
    make, inputs, _ = MODELS[name]
    one, other = make(0.5), make(0.5)
    for p, q in zip(one.parameters(), other.parameters(), strict=True):
        np.testing.assert_array_equal(p.data, q.data)
    for _ in range(2):
        y = first(one(*inputs))
        np.testing.assert_array_equal(y, first(other(*inputs)))
    assert not np.array_equal(y, first(make(0.0)(*inputs)))  # dropout has an effect


@pytest.mark.parametrize("name", MODELS)
def test_every_dropout_layer_has_the_probability_that_was_asked_for(name):
    make, _, count = MODELS[name]
    layers = [m for _, m in make(0.3).named_modules() if isinstance(m, nn.Dropout)]
    assert layers and all(layer.p == 0.3 for layer in layers) and count in (None, len(layers))


def spread(parameter):
    return parameter.data.std() * np.sqrt(parameter.shape[1])  # relative to 1/sqrt(fan-in)


def test_initial_weights():
    mlp = models.MLP([400, 300, 10], rng=0)
    hidden = mlp.parameters()[0].data
    assert 0.99 * np.sqrt(6 / 400) < np.abs(hidden).max() <= np.sqrt(6 / 400)  # he_uniform
    tied = models.LanguageModel(50, 40, 40, tie_weights=True, rng=0).embedding.weight.data
    assert 0.099 < np.abs(tied).max() <= 0.1
    model = models.TransformerLM(50, 64, 2, 2, 8, rng=0)
    for block in model.blocks.layers:
        # the last layer of each of the four branches is smaller, so that their sum is as large as one branch
        for last in (block.self_attn.out_proj, block.linear2):
            np.testing.assert_allclose(spread(last.weight), 1 / np.sqrt(4), rtol=0.05)
        np.testing.assert_allclose(spread(block.linear1.weight), 1, rtol=0.05)
    vectors = models.WordVectors(30, 10, rng=0)
    assert 0.04 < np.abs(vectors.embedding.weight.data).max() <= 0.05 and not vectors.output.weight.data.any()


# --- single models ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["mlp", "cnn"])
def test_images_have_a_gradient_of_their_shape_unless_it_is_switched_off(name):
    make, (x,), _ = MODELS[name]
    model = make(0.0)
    y = model(x)
    assert model.backward(np.ones_like(y)).shape == x.shape
    model(x)
    with without_input_grad(model):
        assert model.backward(np.ones_like(y)) is None
    with pytest.raises(TypeError, match=f"{type(model).__name__}: x must be floats, got int64"):
        model(x.astype(int))


@pytest.mark.parametrize(("shape", "channels"), [(4, (2,)), ((1, 4, 4), 2), ((1, 1, 4, 4), (2,)), ((1, 4, 4), ())])
def test_a_cnn_needs_three_sizes_and_a_list_of_channels(shape, channels):
    with pytest.raises(ValueError, match=r"image_shape must be \(C, H, W\) and channels not empty"):
        models.CNN(shape, 3, channels)


def test_the_smallest_images_that_a_cnn_can_halve():
    assert models.CNN((1, 2, 3), 3, (2,), rng=0)(np.ones((2, 2, 3), np.float32)).shape == (2, 3)
    with pytest.raises(ValueError, match="cannot be halved 1 times"):
        models.CNN((1, 1, 3), 3, (2,))


def test_a_classifier_reads_the_mean_or_the_last_of_the_real_tokens():
    lengths = [4, 2, 1]
    for pool in ("mean", "last"):
        model = models.TextClassifier(encoder(0.0), 3, pool, rng=1)
        h = model.encoder(TOKENS, lengths)
        real = [h[k, :n] for k, n in enumerate(lengths)]
        read = np.stack([part.mean(axis=0) if pool == "mean" else part[-1] for part in real])
        np.testing.assert_allclose(model(TOKENS, lengths), model.linear(read), rtol=1e-5)


def test_the_shortest_sequences_and_contexts():
    assert encoder(0.0)(TOKENS[:, :1]).shape == (3, 1, 8)
    with pytest.raises(ValueError, match="TransformerEncoder needs tokens of shape"):
        encoder(0.0)(TOKENS[:, :0])
    assert models.TransformerLM(7, 8, 2, 1, 2, rng=0)(TOKENS[:, :2])[0].shape == (3, 2, 7)
    with pytest.raises(ValueError, match="context must be 2 or more, got 1"):
        models.TransformerLM(7, 8, 2, 1, 1)


def test_a_repeated_state_continues_each_sequence_as_the_state_does():
    model = models.TransformerLM(7, 8, 2, 2, 6, rng=0).eval()
    _, state = model(TOKENS[:2, :3])
    repeated = model.repeat_hidden(state, 2)
    following = TOKENS[:2, 3:]
    y, _ = model(following, state)
    again, _ = model(np.repeat(following, 2, axis=0), repeated)
    np.testing.assert_allclose(again, np.repeat(y, 2, axis=0), rtol=1e-5)
    assert model.init_hidden(2) == () == model.repeat_hidden((), 3)
    with pytest.raises(ValueError, match="batch_size must be an integer of 1 or more, got 0"):
        model.init_hidden(0)


def test_two_heads_check_both_gradients_before_any_layer_gets_one():
    model = models.TwoHeaded(nn.Linear(3, 4, rng=0), nn.Linear(4, 2, rng=1), nn.Linear(4, 1, rng=2))
    x = np.ones((5, 3), np.float32)
    y1, y2 = model(x)
    for dy1, dy2, name in ((y1[:4], y2, "dy1"), (y1, y2[:4], "dy2")):
        with pytest.raises(ValueError, match=rf"TwoHeaded.backward: {name} must have the output's shape"):
            model.backward(dy1, dy2)
        assert not any(p.grad.any() for p in model.parameters())
    assert model.backward(y1, y2).shape == x.shape  # after an error, you can call backward again


def test_the_five_nearest_words():
    model = models.WordVectors(30, 10, rng=0)
    E = model.embedding.weight.data
    found = model.nearest(E[3])
    cosines = E @ E[3] / np.linalg.norm(E, axis=1)
    assert len(found) == 5 and found[0] == 3 and set(found) == set(np.argsort(cosines)[-5:])
