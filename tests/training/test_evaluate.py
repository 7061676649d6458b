"""evaluate, with batches of different sizes and with weighted or ignored targets."""

import numpy as np
import pytest

import nnscratch as nn

RNG = np.random.default_rng(0)


@pytest.mark.parametrize("settings", [{}, {"ignore_index": 0}, {"weight": [1, 2, 3, 9]}, {"label_smoothing": 0.2}])
def test_targets_count_as_they_do_in_the_loss_of_all_batches_at_once(settings):
    model, criterion = nn.Linear(3, 4, rng=0).to(dtype=np.float64), nn.CrossEntropyLoss(**settings)
    x, y = RNG.normal(size=(12, 3)), RNG.integers(0, 4, 12)
    y[:5] = 0  # so the first batch has few targets of other classes
    batches = [(x[:6], y[:6]), (x[6:8], y[6:8]), (x[8:], y[8:])]
    assert nn.evaluate(model, criterion, batches) == pytest.approx(criterion(model(x), y), rel=1e-12)


def test_a_batch_in_which_no_target_counts_is_left_out():
    model, criterion = nn.Linear(3, 4, rng=0), nn.CrossEntropyLoss(ignore_index=0)
    x, y = RNG.normal(size=(4, 3)).astype(np.float32), np.array([0, 0, 1, 2])
    batches = [(x[:2], y[:2]), (x[2:], y[2:])]
    assert nn.evaluate(model, criterion, batches) == pytest.approx(criterion(model(x), y), rel=1e-6)
    with pytest.raises(ValueError, match="at least one target that is not ignored, got none"):
        nn.evaluate(model, criterion, batches[:1])


@pytest.mark.parametrize("cell", ["lstm", "gru", "transformer"])
def test_a_last_batch_of_fewer_sequences_is_measured_too(cell):
    if cell == "transformer":
        model = nn.models.TransformerLM(5, 4, 1, 1, context=8, rng=0)
    else:
        model = nn.models.LanguageModel(5, 4, 4, cell=cell, rng=0)
    tokens = RNG.integers(0, 5, (6, 7))
    x, y, criterion = tokens[:, :-1], tokens[:, 1:], nn.CrossEntropyLoss()
    loss = nn.evaluate(model, criterion, nn.data.Batches(x, y, batch_size=4, shuffle=False))
    parts = [criterion(model.eval()(x[part])[0], y[part]) for part in (slice(0, 4), slice(4, 6))]
    assert loss == pytest.approx((4 * parts[0] + 2 * parts[1]) / 6, rel=1e-6)
