"""The pages that the benchmarks write: they show every figure of the stored results."""

import importlib
import json
from pathlib import Path

import numpy as np
import pytest

import nnscratch as nn
from nnscratch.bench import report

ROOT = Path(__file__).parents[2]
pytestmark = pytest.mark.skipif(not (ROOT / "benchmarks").is_dir(), reason="benchmarks/ is not part of an installation")


@pytest.fixture
def load(monkeypatch):
    monkeypatch.syspath_prepend(ROOT)
    return lambda name: importlib.import_module(f"benchmarks.{name}")


def test_the_page_of_images_shows_every_run(load):
    images = load("images")
    (x, y), (test_x, test_y) = nn.data.digits_split()
    model = nn.models.MLP([64, 16, 10], rng=0)
    run = images.train(model, (x, y), (test_x, test_y), epochs=2, batch_size=64, max_lr=1e-2)
    assert run["accuracy"] == nn.training.accuracy(model.eval()(test_x), test_y) > 0.5
    page = images.report({"digits": {"runs": [run, run | {"accuracy": 0.123, "seconds": 9.87}], "machine": "Fast CPU"}})
    assert "1,438 / 359" in page and f"{100 * run['accuracy']:.2f} %, 12.30 %" in page and ", 9.9 |" in page
    assert "- digits: Fast CPU" in page


def test_the_lstm_has_the_transformers_number_of_parameters(load):
    module = load("transformer_or_lstm")
    transformer, lstm = (module.parameters(module.build(name, 75)) for name in module.SETTINGS)
    assert lstm == pytest.approx(transformer, rel=0.01)


def test_with_a_short_memory_every_character_is_predicted_from_half_a_context_to_a_whole_one(load):
    module = load("transformer_or_lstm")
    tokens = np.random.default_rng(0).integers(0, 9, 3 * module.CONTEXT)
    model = nn.models.LanguageModel(9, 4, 5, rng=0).eval()
    losses = []
    for t in range(module.CONTEXT // 2, len(tokens) // 32 * 32 - 1 - 31):
        start = (t // 32 - 1) * 32  # the first token that the prediction may use
        logits, _ = model(tokens[None, start : t + 1])
        losses.append(nn.CrossEntropyLoss().eval()(logits[:, -1], tokens[None, t + 1]))
    assert module.loss_with_short_memory(model, tokens) == pytest.approx(np.mean(losses), rel=1e-4)


@pytest.mark.parametrize(("tests", "better"), [((1.7, 1.8), "Transformer"), ((1.8, 1.7), "LSTM")])
def test_the_page_says_who_predicts_better(load, tests, better, tmp_path):
    module = load("transformer_or_lstm")
    results = [
        {"name": name, "model": f"{name}()", "parameters": 1234, "settings": "9 steps", "rate": "0.1", "read": [1, 2],
         "curve": [2.0, test], "valid": test, "test": test, "short": 1.9, "seconds": 1.0, "cpu": 1.0,
         "ms_per_character": 1.0, "sample": "It was."}
        for name, test in zip(module.SETTINGS, tests, strict=True)
    ]  # fmt: skip
    page = module.report(results, 6)
    assert f"the {better} needs 0.100 bits per character less" in page
    assert "**1.700**" in page and "> **LSTM:** It was." in page
    module.picture(results, tmp_path / "curve.png")
    assert (tmp_path / "curve.png").read_bytes().startswith(b"\x89PNG")


def test_the_stored_pages_are_what_the_commands_write_from_the_stored_results(load):
    docs = Path(__file__).parents[2] / "docs"
    write = {
        "performance/results": report.markdown,
        "performance/growth": load("growth").markdown,
        "results/images": load("images").report,
        "results/gpt2": load("gpt2").report,
        "results/transformer_sweep": load("transformer_sweep").report,
        "performance/_zaremba_ptb": lambda found: load("zaremba").markdown("ptb", 200, found, found["times"]),
        "performance/_zaremba_austen": lambda found: load("zaremba").markdown("austen", 200, found, found["times"]),
    }
    for name, markdown in write.items():
        page, results = (docs / f"{name}.{ending}" for ending in ("md", "json"))
        assert page.read_text(encoding="utf-8") == markdown(json.loads(results.read_text(encoding="utf-8"))), name


def test_a_run_of_the_sweep_trains_the_model_that_its_settings_describe(load, monkeypatch):
    sweep = load("transformer_sweep")
    text = nn.data.load_austen("pride_and_prejudice")[:6000]
    monkeypatch.setattr(nn.data, "load_austen", lambda title: text)
    small = {"width": 8, "heads": 2, "layers": 1, "context": 16}
    by_character = sweep.train(sweep.BASE | small | {"epochs": 1})
    by_bpe = sweep.train(sweep.BPE | small | {"vocab": 300, "steps_of": 1})
    lstm = sweep.train(sweep.LSTM | {"hidden": 8, "context": 16, "epochs": 1})
    steps = [result["steps"] for result in (by_character, lstm, by_bpe)]  # of 256 tokens; 5,400 characters to train on
    assert max(steps) - min(steps) <= 1 and min(steps) >= 5400 // 256
    assert by_character["parameters"] != by_bpe["parameters"]
    assert all(2 < result["test"] < 10 for result in (by_character, by_bpe, lstm))


def test_the_page_of_masked_words_comes_from_a_run(load):
    module, rng = load("masked_lm"), np.random.default_rng(0)
    words = rng.integers(0, 20, 40 * module.T)
    model, batches, trainer = module.masked_lm(words, 20)
    trainer.fit(batches, epochs=1)
    (_, loss, right), (_, alone, _) = masked = module.measure_masked(model, words, words, 20)
    assert 0 <= right <= 1 and loss > 0 and alone == pytest.approx(np.log(20), abs=0.1)
    given = module.labelled([words[: 5 * module.T], words[: 7 * module.T]], 8, seed=0)
    assert given[0].shape == (8, module.T) and set(given[1]) == {0, 1}
    classifier = nn.models.TextClassifier(module.encoder(20, seed=0), 6, rng=0)
    rates = module.classify(classifier, given, given), module.naive_bayes(given, given, 20)
    assert all(0 <= rate <= 1 for rate in rates)
    page = module.report(
        {"seconds": 1.0, "train": 1280, "parameters": 12345, "masked": masked, "tested": 8, "most": 0.5}
        | {"classes": [(8, *rates, 0.25)], "pytorch": [("MaskedLM", 60, (1e-6, 0.1, 0.2))]}
    )
    assert module.verdict([(300, 0.5, 0.4, 0.3)]) == "The trained encoder is better than a new one in this task."
    assert "not clearly better" in module.verdict([(300, 0.41, 0.4, 0.5)])
    assert "12,345" in page and f"| MaskedLM | {loss:.3f} | {right:.1%} |" in page and "| 25.0% |" in page
    assert "| MaskedLM | 60 | 1.0e-06 | 100 | 200 |" in page and "Beside PyTorch" not in module.report(
        {
            "seconds": 1.0,
            "train": 1,
            "parameters": 1,
            "masked": [],
            "tested": 8,
            "most": 0.5,
            "classes": [],
            "pytorch": [],
        }
    )
