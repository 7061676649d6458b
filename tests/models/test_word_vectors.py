"""Word vectors: gradients, batches with negatives, and what is learned from a text."""

import numpy as np
import pytest

import nnscratch as nn
from nnscratch.gradcheck import check_gradients

RNG = np.random.default_rng(0)


def make(seed=0):
    model = nn.models.WordVectors(7, 4, rng=seed).to(dtype=np.float64)
    for p in model.parameters():
        p.data[...] = np.random.default_rng(seed).normal(size=p.shape)
    return model


@pytest.mark.parametrize("C", [1, 3])
def test_the_gradients_are_the_numerical_ones(C):
    report = check_gradients(make(), RNG.integers(0, 7, (5, C)), RNG.integers(0, 7, (5, 3)))
    assert report.ok and report.max_error < 1e-7, report


def test_the_scores_are_scalar_products_with_the_mean():
    model, inputs, candidates = make(), RNG.integers(0, 7, (5, 3)), RNG.integers(0, 7, (5, 2))
    E, O = model.embedding.weight.data, model.output.weight.data  # noqa: E741
    expected = [[E[i].mean(axis=0) @ O[c] for c in row] for i, row in zip(inputs, candidates, strict=True)]
    np.testing.assert_allclose(model(inputs, candidates), expected, rtol=1e-12)


@pytest.mark.parametrize("kind", ["cbow", "skip-gram"])
def test_an_epoch_has_every_window_once_with_its_neighbours(kind):
    text, W = np.arange(10, 30), 2
    windows = nn.data.WordWindows(text, W, 3, 7, kind, subsample=0, rng=0)
    batches = list(windows)
    assert len(batches) == len(windows)
    found = []
    for (inputs, candidates), targets in batches:
        assert targets.dtype == np.float32 and targets.shape == candidates.shape and candidates.shape[1] == 4
        assert (targets[:, 0] == 1).all() and not targets[:, 1:].any()
        assert candidates.min() >= 10
        found += [(tuple(i), c) for i, c in zip(inputs.tolist(), candidates[:, 0].tolist(), strict=True)]
    middles = range(12, 28)
    if kind == "cbow":
        expected = [((m - 2, m - 1, m + 1, m + 2), m) for m in middles]
    else:
        expected = [((m,), m + k) for m in middles for k in (-2, -1, 1, 2)]
    assert sorted(found) == sorted(expected)
    assert [(i[0] == j[0]).all() for (i, _), (j, _) in zip(windows, windows, strict=True)].count(False) > 0


def test_negatives_are_drawn_by_count_to_the_power_of_three_quarters():
    text = np.repeat([0, 1, 3], [8000, 1000, 1000])  # word 2 does not occur
    windows = nn.data.WordWindows(text, 1, 5, 1000, "cbow", subsample=0, rng=0)
    drawn = np.concatenate([candidates[:, 1:].ravel() for (_, candidates), _ in windows])
    p = np.array([8000, 1000, 0, 1000]) ** 0.75
    np.testing.assert_allclose(np.bincount(drawn, minlength=4) / drawn.size, p / p.sum(), atol=0.01)


def test_frequent_words_are_left_out():
    text = np.random.default_rng(0).permutation(np.repeat([0, 1], [9000, 1000]))
    windows = nn.data.WordWindows(text, 1, 1, 10, subsample=0.1, rng=0)
    left = np.bincount(windows.tokens)
    np.testing.assert_allclose(left, [9000 * np.sqrt(0.1 / 0.9), 1000], rtol=0.05)


@pytest.mark.parametrize("kind", ["cbow", "skip-gram"])
def test_words_in_the_same_places_get_similar_vectors(kind):
    rng = np.random.default_rng(0)
    names, verbs = ["jane", "mary", "anne"], ["walks", "reads", "sings"]
    words = [f"the {names[i]} {verbs[j]} in town or" for i, j in rng.integers(0, 3, (600, 2))]
    tokenizer = nn.data.WordTokenizer.from_text(" ".join(words))
    windows = nn.data.WordWindows(tokenizer.encode(" ".join(words)), 1, 4, 64, kind, subsample=0, rng=0)
    model = nn.models.WordVectors(len(tokenizer), 8, rng=0)
    optimizer = nn.optim.Adam(model.parameters(), lr=0.02)
    history = nn.Trainer(model, nn.BCEWithLogitsLoss(), optimizer).fit(windows, epochs=4)
    assert np.mean(history.loss[-10:]) < 0.8 * history.loss[0]
    for group in (names, verbs):
        word, *others = (tokenizer.id(name) for name in group)
        found = model.nearest(model.embedding.weight.data[word], count=2, exclude=(word,))
        assert set(found) == set(others), tokenizer.decode(found)


def test_an_analogy_is_an_addition_of_directions():
    model = nn.models.WordVectors(6, 3, rng=0)
    model.embedding.weight.data[...] = [[1, 0, 0], [1, 1, 0], [0, 0, 1], [0, 1, 1], [1, 0, 1], [5, 0, 0]]
    assert model.analogy(0, 1, 2).tolist() == [3]
    assert set(model.analogy(0, 1, 2, count=3)).isdisjoint({0, 1, 2})
    assert model.nearest(np.array([2.0, 0, 0]), 2).tolist() == [0, 5]


def test_it_is_saved_and_loaded_and_bad_input_is_refused(tmp_path):
    model = nn.models.WordVectors(7, 4, rng=0)
    nn.save(model, tmp_path / "vectors.safetensors")
    again = nn.load(tmp_path / "vectors.safetensors")
    np.testing.assert_array_equal(again.embedding.weight.data, model.embedding.weight.data)
    with pytest.raises(ValueError, match="inputs must be in 0..6, got 0..7"):
        model(np.array([[0, 7]]), np.array([[1]]))
    with pytest.raises(ValueError, match=r"with equal batch; got \(2, 1\) and \(1, 3\)"):
        model(np.array([[0], [1]]), np.array([[1, 2, 3]]))
    with pytest.raises(ValueError, match="a window of 3 needs 7 words, and the text has 5 left"):
        nn.data.WordWindows(range(5), 3, 1, 1, subsample=0)
    with pytest.raises(ValueError, match="kind must be one of 'cbow', 'skip-gram', got 'glove'"):
        nn.data.WordWindows(range(5), 1, 1, 1, kind="glove")
