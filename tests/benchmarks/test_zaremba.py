"""The page of a Zaremba run agrees with the files and weights of the run."""

import json
import math
from types import SimpleNamespace

import numpy as np
import pytest

import nnscratch as nn
from benchmarks import zaremba
from nnscratch.run_settings import PRESETS, Config
from nnscratch.runs import Run


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    folder = tmp_path_factory.mktemp("zaremba")
    rng = np.random.default_rng(0)
    for name, lines in (("train", 60), ("valid", 20), ("test", 20)):
        (folder / name).write_text("\n".join(" ".join(rng.choice(list("abcde"), 9)) for _ in range(lines)) + "\n")
    settings = PRESETS["zaremba-small"] | {"embed": 6, "hidden": 6, "batch": 4, "seq_len": 5, "lr": 5.0, "epochs": 2}
    config = Config(str(folder / "train"), str(folder / "valid"), str(folder / "test"), **settings)
    run = Run.plan(folder / "run", config)
    run.create()
    run.train()
    return run


def test_perplexities_are_those_of_the_best_weights_and_of_the_steps_since_the_line_above(run):
    told = zaremba.describe_run(run)
    test_loss = nn.evaluate(run.model(), nn.CrossEntropyLoss(), run.batches("test"))
    assert told["reached"]["test"] == pytest.approx(math.exp(test_loss))
    history = json.loads((run.folder / "history.json").read_text())
    assert told["reached"]["valid"] == pytest.approx(math.exp(min(e["loss"] for e in history["valid"])))
    assert told["steps"] == len(history["loss"]) and told["epochs"][-1]["epoch"] == 2
    per_epoch = len(run.batches("train"))
    last = np.exp(np.mean(history["loss"][-per_epoch:]))
    assert told["epochs"][-1]["train"] == pytest.approx(last)


def test_the_page_compares_with_the_paper_on_its_own_text_only_and_scales_the_step_to_the_run(run, tmp_path):
    told = zaremba.describe_run(run)
    machine = {
        **{"processor": "P", "instructions": "I", "threads": 2, "cores": 2, "system": "S", "python": "3", "numpy": "2"},
        **{"blas": {"library": "B", "version": "1"}, "load_average": None},
    }
    results = {"nnscratch": {"median_seconds": 0.06, "peak_bytes": 2**27}, "torch": {"median_seconds": 0.12}}
    results["torch"]["peak_bytes"] = 2**28
    page = zaremba.markdown("ptb", 200, told | {"steps": 1000}, {"machine": machine, "results": results})
    assert "114.5" in page and "120.7" in page and "**0.50**" in page
    assert [cell.strip() for cell in page.split("| nnscratch")[1].split("|")[1:4]] == ["60.0", "1.0", "128"]
    elsewhere = zaremba.markdown("austen", 200, told, None)
    assert "114.5" not in elsewhere and "the paper" not in elsewhere and "PyTorch" not in elsewhere
    zaremba.draw(told, tmp_path / "picture.png")
    assert (tmp_path / "picture.png").read_bytes().startswith(b"\x89PNG")


def test_what_pytorch_reached_stands_beside_and_must_be_of_the_same_steps(run):
    told = zaremba.describe_run(run)
    epochs = [{"epoch": e["epoch"], "valid": 77.25} for e in told["epochs"]]
    beside = {"version": "9.9", "reached": {"valid": 77.25, "test": 88.25}, "steps": told["steps"], "epochs": epochs}
    path = run.folder / zaremba.zaremba_pytorch.NAME
    try:
        path.write_text(json.dumps(beside))
        page = zaremba.markdown("austen", 200, zaremba.describe_run(run), None)
        assert "PyTorch 9.9" in page and "88.2" in page and page.count("77.2") == 1 + len(epochs)
        path.write_text(json.dumps(beside | {"steps": 1}))
        with pytest.raises(ValueError, match="pytorch.json has 1 steps, but the run in .* has"):
            zaremba.describe_run(run)
    finally:
        path.unlink()


def test_the_timed_step_is_the_runs(run):
    job = zaremba.step_job(SimpleNamespace(**PRESETS["zaremba-small"]), 10_000)
    assert (job.sizes["lr"], job.sizes["clip"], job.tokens) == (20.0, 0.25, 400)
    assert job.weights()["lstm.weight_hh_l1"].shape == (800, 200)
