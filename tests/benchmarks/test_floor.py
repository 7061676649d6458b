"""The lower bound counts all the work of a job."""

import numpy as np
import pytest

from benchmarks import floor
from nnscratch.bench.jobs import JOBS


def test_a_training_step_multiplies_every_matrix_with_every_token_three_times():
    flops, moved = floor.work(JOBS["a"])
    lstm = 2048 * (256 + 512) + 2048 * (512 + 512)
    assert flops == 6 * 700 * (lstm + 10_000 * 512)
    assert moved == 36 * (10_000 * 256 + lstm + 4 * 2048 + 10_000 * 513)


def test_evaluating_is_forward_only_and_a_token_reads_every_weight_once():
    train, _ = floor.work(JOBS["a"])
    assert floor.work(JOBS["h"])[0] == pytest.approx(train / 3 * 10)
    flops, moved = floor.work(JOBS["ga"])
    assert flops == train / 3 / 700 and moved == 2 * flops


def test_the_gradient_of_the_images_is_not_counted():
    assert floor.work(JOBS["e"])[0] == 2 * 64 * (2 * 784 * 256 + 3 * (256 * 256 + 256 * 10))


def test_the_table_sets_floor_and_ours_over_pytorchs_best():
    flops, moved = floor.work(JOBS["c"])
    entry = {"key": "c", "results": {"nnscratch": {"median_seconds": 0.03}, "torch": {"median_seconds": 0.05}}}
    entry["results"]["compile"] = {"median_seconds": 0.04}
    skipped = {"key": "a", "results": {"nnscratch": {"median_seconds": 0.03}, "torch": {"why": "not installed"}}}
    page = floor.markdown({"runs": [{"kernel": "as found", "jobs": [entry, skipped]}]}, flops / 0.019, moved / 0.001)
    (line,) = [line for line in page.splitlines() if line.startswith("| (")]
    cells = [cell.strip() for cell in line.split("|")[4:-1]]
    assert cells == ["20.0", "30.0", "40.0", "0.50", "0.75", "0.80"]


def test_peaks_are_speeds():
    flops, bandwidth = floor.peaks(0.01)
    assert np.isfinite([flops, bandwidth]).all() and min(flops, bandwidth) > 1e6
