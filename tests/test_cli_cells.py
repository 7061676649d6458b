"""nnscratch train --cell: every type of network trains and generates text."""

import pytest

from nnscratch import cli, load, runs

TEXT = "the cat sat on the mat. the dog sat on the cat. the mat sat on the dog. " * 60


@pytest.fixture(autouse=True)
def short_samples(monkeypatch):
    """Training ends with a sample of 50 tokens instead of 300 to 2,000."""
    monkeypatch.setattr(runs, "SAMPLE_TOKENS", dict.fromkeys(runs.SAMPLE_TOKENS, 50))


@pytest.mark.parametrize("cell", ["rnn", "gru", "transformer"])
def test_every_cell_trains_is_measured_goes_on_and_writes(cell, tmp_path, capsys):
    (tmp_path / "text.txt").write_text(TEXT)
    folder = str(tmp_path / "run")
    small = ["--hidden", "16", "--embed", "8", "--batch", "4", "--seq-len", "16", "--steps", "30"]
    heads = ["--heads", "2", "--layers", "1"] if cell == "transformer" else []
    assert cli.main(["train", str(tmp_path / "text.txt"), "--out", folder, "--cell", cell, *small, *heads]) == 0
    assert cli.main(["evaluate", folder]) == 0
    assert cli.main(["generate", folder, "--prompt", "the ", "--tokens", "40", "--seed", "1"]) == 0
    out = capsys.readouterr().out
    assert "bits per character" in out
    model = load(tmp_path / "run" / "model.safetensors")
    assert type(model).__name__ == ("TransformerLM" if cell == "transformer" else "LanguageModel")
    assert getattr(model, "cell", "transformer") == cell
