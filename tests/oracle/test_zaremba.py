"""Both libraries train a preset from the same weights on the same batches, and reach the same perplexities."""

import numpy as np
import pytest

from benchmarks import zaremba, zaremba_pytorch
from nnscratch.run_settings import PRESETS, Config
from nnscratch.runs import Run

pytest.importorskip("torch")


@pytest.fixture
def plan(tmp_path):
    words = np.random.default_rng(0).choice(list("abcde"), (100, 7), p=[0.4, 0.3, 0.1, 0.1, 0.1])
    text = "\n".join(map(" ".join, words)) + "\n"
    for part in ("train", "valid", "test"):
        (tmp_path / part).write_text(text)

    def make(**changes):
        sizes = {"embed": 6, "hidden": 6, "batch": 4, "seq_len": 10, "lr": 5.0, "epochs": 10, "hold": 8}
        files = [str(tmp_path / part) for part in ("train", "valid", "test")]
        run = Run.plan(tmp_path / "run", Config(*files, **PRESETS["zaremba-small"] | sizes | changes))
        run.create()
        return run

    return make


def test_both_libraries_train_a_preset_alike(plan):
    run = plan()
    run.train()
    ours, theirs = zaremba.describe_run(run), zaremba_pytorch.train(run)
    assert theirs["steps"] == ours["steps"] and [e["lr"] for e in theirs["epochs"]] == [5.0] * 8 + [2.5, 1.25]
    for a, b in zip(ours["epochs"], theirs["epochs"], strict=True):
        assert a["lr"] == b["lr"] and b["train"] == pytest.approx(a["train"], rel=1e-4)
        assert b["valid"] == pytest.approx(a["valid"], rel=1e-4)
    assert theirs["reached"] == pytest.approx(ours["reached"], rel=1e-4)


def test_a_run_that_is_not_written_out_for_pytorch_is_refused(plan):
    with pytest.raises(ValueError, match="not a run of the preset zaremba-small"):
        zaremba_pytorch.train(plan(dropout=0.5))
