"""Every variant of a training step that benchmarks.account times still runs."""

import numpy as np
import pytest

from benchmarks import account


@pytest.fixture(autouse=True)
def small(monkeypatch):
    for name, size in {"V": 11, "D": 4, "H": 5, "N": 3, "T": 2}.items():
        monkeypatch.setattr(account, name, size)


def test_every_variant_of_every_part_runs():
    x, dy = (np.ones((account.N, account.T, width), np.float32) for width in (account.D, account.H))
    target = np.zeros((account.N, account.T), dtype=int)
    variants = [account.lstm_by_cells(x, dy), account.lstm_rows(x, dy), account.lstm_fast(x, dy, reuse=True)]
    variants += [output(dy, target) for output in (account.output_whole, account.output_modules, account.output_fused)]
    variants += [account.adam(way) for way in ("formula", "chunks", "threads")]
    variants += [account.embedding_gradient(way) for way in ("add.at", "sorted", "rows")]
    for run in variants:
        run()


def test_the_profile_has_a_row_for_every_part_of_a_step():
    tokens = np.zeros((account.N, account.T + 1), dtype=int)
    assert [row[0] for row in account.profile(tokens, rounds=1)][-2:] == ["clipping", "Adam"]
    account.whole_step(tokens)()
