"""explain_prompt, and the command nnscratch explain: contributions, colours only in a terminal, errors in one line."""

import os
import re
import subprocess
import sys

import numpy as np
import pytest

import nnscratch as nn
from nnscratch.cli import main
from nnscratch.explain import PromptExplanation, explain_prompt, integrated_gradients

TEXT = "the cat sat on the mat. the dog sat\non the cat. the mat sat on the dog. " * 30


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    folder = tmp_path_factory.mktemp("explain")
    (folder / "tale.txt").write_text(TEXT, encoding="utf-8")
    small = ["--hidden", "16", "--embed", "8", "--batch", "4", "--seq-len", "16", "--steps", "100", "--lr", "0.03"]
    assert main(["train", str(folder / "tale.txt"), "--out", str(folder / "run"), *small]) == 0
    return folder / "run"


@pytest.fixture(scope="module")
def gpt2(tmp_path_factory):
    folder = tmp_path_factory.mktemp("gpt2")
    tokenizer = nn.data.BPETokenizer.from_text(TEXT, 270)
    nn.save_gpt2(nn.models.TransformerLM(300, 8, 2, 2, 16, tie_weights=True, rng=0), folder)
    tokenizer.save(folder)
    return folder


def model_and_tokenizer(run):
    from nnscratch import runs

    opened = runs.Run.open(run)
    return opened.model(), opened.tokenizer


def test_the_contributions_are_those_of_the_method(run):
    model, tokenizer = model_and_tokenizer(run)
    found = explain_prompt(model, tokenizer, "the ca")
    assert found.target == found.likely[0][0] == "t" and found.probability == found.likely[0][1] > 0.5
    assert found.tokens == list("the ca") and len(found.likely) == 5
    expected = integrated_gradients(model, tokenizer.encode("the ca")[None], tokenizer.id("t"))[0]
    np.testing.assert_array_equal(found.attributions, expected)
    logits, _ = model.eval()(tokenizer.encode("the ca")[None])
    p = np.exp(logits[0, -1]) / np.exp(logits[0, -1]).sum()
    np.testing.assert_allclose(found.probability, p[tokenizer.id("t")], rtol=1e-5)
    other = explain_prompt(model, tokenizer, "the ca", "s", "occlusion")
    assert other.target == "s" and not np.allclose(other.attributions, found.attributions)


def test_the_command_prints_one_line_for_each_token_without_colours(run, capsys):
    assert main(["explain", str(run), "--prompt", "the ca"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[0].startswith("next token: 't' (0.")
    assert lines[1] == "explained: the score of 't', by integrated gradients"
    assert [line.split()[-1] for line in lines[2:]] == ["'t'", "'h'", "'e'", "'", "'c'", "'a'"]
    assert "\x1b" not in "".join(lines)


def test_in_a_terminal_there_are_colours_unless_no_color_is_set(run, capsys, monkeypatch):
    monkeypatch.setattr(sys.stdout, "isatty", lambda: True, raising=False)
    monkeypatch.delenv("NO_COLOR", raising=False)
    assert main(["explain", str(run), "--prompt", "the cat\nsat", "--method", "gradient_x_input"]) == 0
    printed = capsys.readouterr().out
    assert printed.count("\x1b[0m") == 11 and "red raises the score" in printed
    plain = re.sub(r"\x1b\[[0-9;]*m", "", printed)
    assert "the cat\u21b5\nsat\n" in plain and len(plain.splitlines()) == 17  # the ten largest of eleven
    monkeypatch.setenv("NO_COLOR", "1")
    assert main(["explain", str(run), "--prompt", "the ca"]) == 0
    assert "\x1b" not in capsys.readouterr().out


def test_the_strongest_colour_belongs_to_the_largest_contribution():
    found = PromptExplanation("occlusion", ["a", "b", "c"], np.array([2.0, -1.0, 0.0]), "d", 0.5, [("d", 0.5)])
    codes = re.findall(r"48;5;(\d+)m(.)", found.text(colour=True))
    assert codes == [("196", "a"), ("153", "b"), ("231", "c")]
    nothing = PromptExplanation("occlusion", ["a"], np.array([0.0]), "d", 0.5, [])
    assert "48;5;231ma" in nothing.text(colour=True) and "the probability 0.5" in nothing.text()


def test_words_and_parts_of_words_are_shown_with_their_spaces():
    words = nn.data.WordTokenizer.from_text(TEXT)
    found = explain_prompt(nn.models.LanguageModel(len(words), 4, 6, rng=0), words, "the cat sat")
    assert "".join(found.tokens) == words.decode(words.encode("the cat sat")) and len(found.tokens) == 3


def test_a_folder_of_gpt2(gpt2, capsys):
    assert main(["explain", str(gpt2), "--prompt", "the cat", "--method", "occlusion", "--next", " mat"]) == 0
    assert "the score of ' mat'" in capsys.readouterr().out


def test_the_output_of_a_pipe_has_no_colours(run):
    command = [sys.executable, "-m", "nnscratch", "explain", str(run), "--prompt", "the ca"]
    done = subprocess.run(command, capture_output=True, text=True, check=True, env=os.environ | {"TERM": "xterm"})
    assert "\x1b" not in done.stdout and done.stdout.startswith("next token: 't'")


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--prompt", ""], "the prompt is empty"),
        (["--prompt", "Zebra"], "'Z' at position 0"),
        (["--prompt", "the", "--next", "at"], "must be one token of the model, but 'at' is 2 tokens"),
        (["--prompt", "the", "--next", "Z"], "'Z' at position 0"),
        (["--prompt", "the", "--tf32"], "--tf32 needs --device cuda"),
    ],
)
def test_an_error_is_one_line(run, capsys, options, message):
    capsys.readouterr()
    assert main(["explain", str(run), *options]) == 2
    error = capsys.readouterr().err
    assert error.startswith("nnscratch explain: ") and message in error and error.count("\n") == 1


def test_a_missing_run_and_a_prompt_too_long_for_a_transformer(gpt2, tmp_path, capsys):
    assert main(["explain", str(tmp_path), "--prompt", "a"]) == 2
    assert "holds no run" in capsys.readouterr().err
    assert main(["explain", str(gpt2), "--prompt", "the cat. " * 20]) == 2
    assert "and the model reads at most 16 of them" in capsys.readouterr().err
    with pytest.raises(SystemExit):
        main(["explain", str(gpt2), "--prompt", "a", "--method", "lime"])
    with pytest.raises(ValueError, match="method must be one of"):
        explain_prompt(nn.models.LanguageModel(3, 2, 2), nn.data.CharTokenizer.from_text("abc"), "a", method="lime")
