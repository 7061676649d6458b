"""The nnscratch command: its output, and one clear line for each error."""

import json
import os
import shutil
import signal
import subprocess
import sys
import time

import numpy as np
import pytest

import nnscratch as nn
from nnscratch import blas, runs
from nnscratch.cli import main

TEXT = "the cat sat on the mat. the dog sat on the cat. the mat sat on the dog. " * 60
SMALL = ["--hidden", "16", "--embed", "8", "--batch", "4", "--seq-len", "16", "--steps", "12"]


@pytest.fixture(autouse=True)
def short_samples(monkeypatch):
    """Training ends with a sample of 50 tokens instead of 300 to 2,000."""
    monkeypatch.setattr(runs, "SAMPLE_TOKENS", dict.fromkeys(runs.SAMPLE_TOKENS, 50))


@pytest.fixture
def text(tmp_path):
    path = tmp_path / "tale.txt"
    path.write_text(TEXT, encoding="utf-8")
    return path


@pytest.fixture(scope="module")
def finished_run(tmp_path_factory):
    """Train once for all tests that only need a copy of the run's folder. Its sample is of full length."""
    folder = tmp_path_factory.mktemp("finished")
    (folder / "tale.txt").write_text(TEXT, encoding="utf-8")
    assert main(["train", str(folder / "tale.txt"), "--out", str(folder / "run"), *SMALL]) == 0
    return folder / "run"


@pytest.fixture
def run(finished_run, text, tmp_path):
    """Return a copy of the finished run, whose source is the file `text`."""
    folder = shutil.copytree(finished_run, tmp_path / "run")
    config = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps(config | {"source": str(text)}))
    return folder


def error_of(capsys, *arguments):
    """Return the single line that a failing command writes to stderr."""
    capsys.readouterr()
    assert main([str(a) for a in arguments]) == 2
    error = capsys.readouterr().err.strip()
    assert "\n" not in error and "Traceback" not in error
    return error


def test_a_run_leaves_everything_in_its_folder_and_says_both_figures(text, finished_run, tmp_path, capsys):
    assert main(["train", str(text), "--out", str(tmp_path / "run"), *SMALL]) == 0
    printed = capsys.readouterr().out
    assert "bits per character" in printed and "of the words of the sample also occur in the text" in printed
    assert {p.name for p in (tmp_path / "run").iterdir()} == {
        "config.json", "tokenizer.json", "history.json", "checkpoint.safetensors", "model.safetensors",
        "loss.png", "sample.txt",
    }  # fmt: skip
    config = json.loads((tmp_path / "run" / "config.json").read_text())
    assert (config["level"], config["hidden"], config["steps"]) == ("char", 16, 12)
    assert len((finished_run / "sample.txt").read_text()) == 2001  # one character to begin with, 2,000 written
    assert (tmp_path / "run" / "loss.png").read_bytes().startswith(b"\x89PNG")


def test_training_learns_the_text(text, tmp_path):
    main(["train", str(text), "--out", str(tmp_path / "run"), *SMALL[:-1], "150", "--lr", "0.02"])
    history = json.loads((tmp_path / "run" / "history.json").read_text())
    assert history["loss"][0] > 2.5 and history["valid"][-1]["loss"] < 0.5


def test_words_are_trained_the_same_way(text, tmp_path, capsys):
    assert main(["train", str(text), "--out", str(tmp_path / "run"), "--level", "word", "--no-tie", *SMALL]) == 0
    assert "perplexity" in capsys.readouterr().out


@pytest.mark.parametrize("cell", ["lstm", "transformer"])
def test_byte_pairs_are_trained_the_same_way_and_the_bits_are_per_character(text, tmp_path, capsys, cell):
    run, command = tmp_path / "run", ["--level", "bpe", "--vocab", "270", "--cell", cell]
    assert main(["train", str(text), "--out", str(run), *command, *SMALL]) == 0
    assert "bits per character" in capsys.readouterr().out
    tokenizer = nn.data.BPETokenizer.load(run)  # the run's tokenizer.json has the form of Hugging Face
    assert len(tokenizer) == 270 and "".join(tokenizer.tokenize("the")) == "the"
    assert main(["train", "--out", str(run), "--resume"]) == 0
    capsys.readouterr()

    assert main(["evaluate", str(run)]) == 0
    test = capsys.readouterr().out.splitlines()[1]
    opened = runs.Run.open(run)
    batches, model = opened.batches("test"), opened.model()
    nats = nn.evaluate(model, nn.CrossEntropyLoss(), batches) * batches.num_tokens  # the sum over all targets
    characters = sum(len(tokenizer.decode(row)) for _, targets in batches for row in targets)
    assert characters > 1.2 * batches.num_tokens
    assert f"{nats / np.log(2) / characters:.3f} bits per character" in test

    assert main(["generate", str(run), "--prompt", "the 🙂", "--tokens", "10", "--seed", "3"]) == 0
    assert capsys.readouterr().out.startswith("the 🙂")


def test_too_small_a_vocabulary_for_byte_pairs_is_refused(text, tmp_path, capsys):
    arguments = ["train", text, "--out", tmp_path / "run", "--level", "bpe", "--vocab", "100"]
    assert "it must be 256 or more, got 100" in error_of(capsys, *arguments)
    assert not (tmp_path / "run").exists()


def test_an_interrupted_run_resumed_equals_one_that_was_not(text, tmp_path):
    command = [sys.executable, "-m", "nnscratch", "train", str(text), *SMALL[:-1], "400", "--dropout", "0.2"]
    whole, cut = tmp_path / "whole", tmp_path / "cut"
    assert main([*command[3:], "--out", str(whole)]) == 0

    child = subprocess.Popen([*command, "--out", cut], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    deadline = time.time() + 60
    while not (cut / "checkpoint.safetensors").exists() and time.time() < deadline:
        time.sleep(0.02)
    child.send_signal(signal.SIGINT)
    out, err = child.communicate(timeout=60)
    assert child.returncode == 130 and "Traceback" not in err
    assert f"train --out {cut} --resume" in out
    steps = len(json.loads((cut / "history.json").read_text())["loss"])
    assert 0 < steps < 400

    assert main(["train", "--out", str(cut), "--resume"]) == 0
    histories = [json.loads((folder / "history.json").read_text())["loss"] for folder in (whole, cut)]
    assert histories[0] == histories[1]
    assert (whole / "model.safetensors").read_bytes() == (cut / "model.safetensors").read_bytes()
    assert (whole / "sample.txt").read_bytes() == (cut / "sample.txt").read_bytes()


def test_evaluate_says_validation_and_test_or_a_text_given(run, text, capsys):
    assert main(["evaluate", str(run)]) == 0
    validation, test = capsys.readouterr().out.splitlines()
    assert validation.startswith("validation") and test.startswith("test") and "bits per character" in test
    assert main(["evaluate", str(run), str(text)]) == 0
    assert capsys.readouterr().out.startswith(str(text))


def test_generate_writes_after_the_prompt_and_repeats_itself_with_a_seed(run, capsys):
    texts = []
    for _ in range(2):
        assert main(["generate", str(run), "--prompt", "the ", "--tokens", "40", "--seed", "3"]) == 0
        texts.append(capsys.readouterr().out)
    assert texts[0] == texts[1] and texts[0].startswith("the ") and len(texts[0]) == 45


def test_info_names_the_versions_and_measures_a_product(capsys, monkeypatch):
    measure, measure_kernel = blas.measure, blas.measure_kernel
    monkeypatch.setattr(blas, "measure", lambda seconds: measure(0.01))
    monkeypatch.setattr(blas, "measure_kernel", lambda name, seconds: measure_kernel(name, 0.01))
    monkeypatch.setattr(blas, "usable_kernels", lambda flags: [blas.blas().kernel])  # not all of them
    assert main(["info"]) == 0
    printed = capsys.readouterr().out
    assert nn.__version__ in printed and np.__version__ in printed and "GFLOP/s" in printed


def test_a_text_that_cannot_be_used_is_refused_and_no_folder_is_made(tmp_path, capsys):
    def refused(content, *more):
        path = tmp_path / "bad.txt"
        path.write_bytes(content)
        return error_of(capsys, "train", path, "--out", tmp_path / "run", *more)

    assert "missing.txt" in error_of(capsys, "train", tmp_path / "missing.txt", "--out", tmp_path / "run")
    assert "empty" in refused(b"")
    assert "UTF-8" in refused(b"abc \xff\xfe def" * 100)
    assert "train part of" in refused(b"too short")
    assert "valid part of" in refused(b"x" * 40, "--batch", "1", "--seq-len", "4")
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize(
    ("option", "value", "message"),
    [
        ("--hidden", "0", "hidden must be"),
        ("--dropout", "1.0", "must be a probability"),
        ("--lr", "nan", "lr must be"),
        ("--steps", "0", "steps must be"),
        ("--epochs", "-1", "epochs must be above 0"),
        ("--minutes", "0", "minutes must be above 0"),
        ("--steps", "9" * 4000, "steps must be below 2**63"),
        ("--steps", "9" * 15, "steps must be at most 1,000,000,000,000"),
        ("--layers", "9" * 20, "layers must be below 2**63"),
        ("--layers", "9" * 9, "layers must be at most"),
        ("--epochs", "1e308", "epochs must be smaller"),
        ("--clip", "-1", "max_norm must be"),
        ("--seq-len", "0", "seq_len must be"),
    ],
)
def test_a_setting_out_of_range_is_refused_and_no_folder_is_made(text, tmp_path, capsys, option, value, message):
    assert message in error_of(capsys, "train", text, "--out", tmp_path / "run", option, value)
    assert not (tmp_path / "run").exists()


def test_a_folder_that_holds_something_is_not_overwritten(run, text, capsys):
    before = {p.name: p.read_bytes() for p in run.iterdir()}
    assert "exists and is not empty" in error_of(capsys, "train", text, "--out", run, *SMALL)
    assert {p.name: p.read_bytes() for p in run.iterdir()} == before


def test_resume_says_what_it_cannot_do(run, text, tmp_path, capsys):
    assert "--resume needs --out" in error_of(capsys, "train", "--resume")
    assert "keeps its own settings" in error_of(capsys, "train", "--resume", "--out", run, "--hidden", "99")
    assert "holds no run" in error_of(capsys, "train", "--resume", "--out", tmp_path / "nothing")
    checkpoint = run / "checkpoint.safetensors"
    whole = checkpoint.read_bytes()
    checkpoint.write_bytes(whole[: len(whole) // 2])
    assert "not a complete safetensors file" in error_of(capsys, "train", "--resume", "--out", run)
    nn.save(nn.Linear(2, 2), checkpoint)
    assert "not a training checkpoint" in error_of(capsys, "train", "--resume", "--out", run)
    checkpoint.write_bytes(whole)
    text.write_text(TEXT + "more", encoding="utf-8")
    assert "has changed since" in error_of(capsys, "train", "--resume", "--out", run)


def test_generate_and_evaluate_say_what_is_wrong(run, tmp_path, capsys):
    assert "'Z' at position 0" in error_of(capsys, "generate", run, "--prompt", "Zebra")
    assert "holds no run" in error_of(capsys, "generate", tmp_path)
    assert "temperature must be" in error_of(capsys, "generate", run, "--prompt", "the", "--temperature", "-1")
    (run / "model.safetensors").write_bytes(b"not a model")
    assert "not a complete safetensors file" in error_of(capsys, "evaluate", run)
    (run / "config.json").write_text("{")
    assert "config.json is broken" in error_of(capsys, "evaluate", run)


@pytest.mark.parametrize(
    ("file", "content", "message"),
    [
        ("config.json", {"level": "letters"}, "config.json is broken: level must be one of 'char', "),
        ("config.json", {"optimizer": "lion"}, "config.json is broken: optimizer must be one of 'adam', 'sgd'"),
        ("config.json", {"source": 5}, "config.json is broken: source must be a string, got 5"),
        ("config.json", b"[" * 100_000, "config.json is broken: "),
        ("tokenizer.json", b"[" * 100_000, "tokenizer.json is broken: "),
        ("config.json", b"\xff", "config.json is broken: 'utf-8' codec"),
        ("tokenizer.json", b"\xff", "tokenizer.json is broken: 'utf-8' codec"),
        ("tokenizer.json", b"[]", "tokenizer.json is broken: saved must be a dictionary"),
    ],
)
def test_a_broken_file_of_a_run_is_named(finished_run, tmp_path, capsys, file, content, message):
    run = shutil.copytree(finished_run, tmp_path / "run")
    path = run / file
    changed = content if isinstance(content, bytes) else json.dumps(json.loads(path.read_text()) | content).encode()
    path.write_bytes(changed)
    for command in (["evaluate", run], ["generate", run], ["train", "--resume", "--out", run]):
        assert message in error_of(capsys, *command)


def test_training_that_diverges_ends_with_one_line(text, tmp_path, capsys):
    assert main(["train", str(text), "--out", str(tmp_path / "run"), *SMALL, "--lr", "1e38"]) == 2
    error = capsys.readouterr().err
    last_line = error.strip().splitlines()[-1]  # under the progress bar
    assert "at step" in last_line and "smaller learning rate" in last_line and "Traceback" not in error


@pytest.mark.skipif(os.name == "nt", reason="POSIX permissions")
@pytest.mark.skipif(hasattr(os, "geteuid") and os.geteuid() == 0, reason="root may write anywhere")
def test_a_folder_that_cannot_be_written_is_one_line(text, tmp_path, capsys):
    tmp_path.chmod(0o500)
    try:
        assert "Permission denied" in error_of(capsys, "train", text, "--out", tmp_path / "run", *SMALL)
    finally:
        tmp_path.chmod(0o700)


def test_a_preset_trains_on_a_prepared_corpus_with_the_papers_settings(tmp_path, capsys):
    rng = np.random.default_rng(0)
    for name, lines in (("train", 400), ("valid", 60), ("test", 60)):
        words = rng.choice(["the", "cat", "<unk>", "sat", "N"], (lines, 6))
        (tmp_path / name).write_text("\n".join(map(" ".join, words)) + "\n", encoding="utf-8")
    files = [str(tmp_path / "train"), "--valid", str(tmp_path / "valid"), "--test", str(tmp_path / "test")]
    preset = ["--preset", "zaremba-small", "--hidden", "8", "--embed", "8", "--steps", "12"]
    assert main(["train", *files, *preset, "--out", str(tmp_path / "run")]) == 0
    config = json.loads((tmp_path / "run" / "config.json").read_text())
    assert {name: config[name] for name in ("layers", "batch", "seq_len", "lr", "clip", "init", "hold", "decay")} == {
        "layers": 2, "batch": 20, "seq_len": 20, "lr": 20.0, "clip": 0.25, "init": 0.1, "hold": 4, "decay": 0.5,
    }  # fmt: skip
    history = json.loads((tmp_path / "run" / "history.json").read_text())
    epoch = 7  # 2,800 tokens in 20 lanes of 139 steps, 20 at a time
    assert history["lr"] == [20.0] * 12 and epoch * 4 > 12
    assert main(["evaluate", str(tmp_path / "run")]) == 0
    assert "perplexity" in capsys.readouterr().out
    assert "valid and test go together" in error_of(capsys, "train", *files[:3], "--out", tmp_path / "other")


def test_the_prompt_of_the_sample_is_of_whole_words(tmp_path):
    """Character 1000 of this text is inside a word, and its vocabulary has no <unk>."""
    path = tmp_path / "text.txt"
    path.write_text("all " + "the cat sat on the mat . the dog sat on the cat . " * 60, encoding="utf-8")
    preset = ["--preset", "zaremba-small", "--hidden", "8", "--embed", "8", "--batch", "4", "--steps", "2"]
    assert path.read_text()[999:1001].isalpha()
    assert main(["train", str(path), *preset, "--out", str(tmp_path / "run")]) == 0


def test_a_preset_takes_a_novel_by_words_and_marks(tmp_path):
    preset = ["--preset", "zaremba-small", "--hidden", "8", "--embed", "8", "--vocab", "50", "--steps", "2"]
    assert main(["train", "austen:persuasion", *preset, "--out", str(tmp_path / "run")]) == 0
    config = json.loads((tmp_path / "run" / "config.json").read_text())
    assert (config["level"], config["lr"]) == ("word", 20.0)
    assert len(json.loads((tmp_path / "run" / "tokenizer.json").read_text())["vocabulary"]) == 50


def test_the_rate_of_a_preset_is_held_and_then_falls_each_epoch():
    optimizer = nn.optim.SGD([nn.Parameter(np.zeros(1))], lr=20.0)
    scheduler = nn.optim.lr_scheduler.StepLR(optimizer, step_size=10, gamma=0.5, hold=40)
    rates = []
    for _ in range(65):
        rates.append(optimizer.lr)
        scheduler.step()
    assert rates == [20.0] * 40 + [10.0] * 10 + [5.0] * 10 + [2.5] * 5


def test_words_are_found_in_any_script():
    assert runs.words("Все счастливы. A naïve don't, 42 times_over") == [
        "все", "счастливы", "a", "naïve", "don", "t", "times", "over"
    ]  # fmt: skip


# --- GPT-2 -----------------------------------------------------------------------------------------------------------


@pytest.fixture
def gpt2(tmp_path):
    folder = tmp_path / "gpt2"
    tokenizer = nn.data.BPETokenizer.from_text(TEXT, 300, special_tokens=["<|endoftext|>"])
    nn.save_gpt2(nn.models.TransformerLM(len(tokenizer), 8, 2, 2, 16, tie_weights=True, rng=0), folder)
    tokenizer.save(folder)
    return folder


@pytest.mark.parametrize("files", [["tokenizer.json"], ["vocab.json", "merges.txt"]])
def test_generate_reads_a_folder_of_gpt2(gpt2, capsys, files):
    for name in {"tokenizer.json", "vocab.json", "merges.txt"} - set(files):
        (gpt2 / name).unlink()
    texts = []
    for _ in range(2):
        assert main(["generate", str(gpt2), "--prompt", "the moor", "--tokens", "30", "--seed", "3"]) == 0
        texts.append(capsys.readouterr().out)
    assert texts[0] == texts[1] and texts[0].startswith("the moor") and len(texts[0]) > 20


def test_generate_stops_at_the_end_token_of_gpt2_and_at_a_given_text(gpt2, capsys):
    model = nn.load_gpt2(gpt2)
    model.norm.bias.data[:] = 100 * model.embedding.weight.data[0]  # now token 0, the end, is far the most likely
    nn.save_gpt2(model, gpt2)
    assert main(["generate", str(gpt2), "--prompt", "the moor", "--tokens", "5"]) == 0
    assert capsys.readouterr().out == "the moor\n"
    assert main(["generate", str(gpt2), "--prompt", "the moor", "--tokens", "5", "--stop", "zz"]) == 0
    assert capsys.readouterr().out == f"the moor{5 * '<|endoftext|>'}\n"


def test_generate_writes_several_texts(run, capsys):
    options = ["--prompt", "the ", "--tokens", "20", "--seed", "3", "--n", "3", "--min-p", "0.02"]
    options += ["--repetition-penalty", "1.2", "--stop", "hhhh", "--stop", "mmmm"]
    assert main(["generate", str(run), *options]) == 0
    texts = capsys.readouterr().out.split("\n" + 40 * "-" + "\n")
    assert len(texts) == len(set(texts)) == 3 and all(text.startswith("the ") for text in texts)


def test_generate_says_what_is_wrong_with_a_folder_of_gpt2(gpt2, capsys):
    (gpt2 / "tokenizer.json").unlink()
    (gpt2 / "merges.txt").unlink()
    assert "must contain tokenizer.json, or vocab.json and merges.txt" in error_of(capsys, "generate", gpt2)
    (gpt2 / "config.json").write_text(json.dumps({"model_type": "llama"}))
    assert "model_type must be 'gpt2', got 'llama'" in error_of(capsys, "generate", gpt2)


def test_text_that_moves_from_one_part_to_another_changes_the_fingerprint():
    one, other = ({"train": "ab", "valid": "c", "test": ""}, {"train": "a", "valid": "bc", "test": ""})
    assert runs._fingerprint(one) != runs._fingerprint(other)


def test_printed_commands_are_quoted_for_the_shell(text, tmp_path, capsys):
    folder = tmp_path / "my $(runs)"
    folder.mkdir()
    (folder / "file").touch()
    assert f"--out '{folder}' --resume" in error_of(capsys, "train", text, "--out", folder, *SMALL)


def test_the_default_prompt_is_one_that_the_model_knows():
    for tokenizer, prompt in (
        (nn.data.CharTokenizer.from_text("It is a truth\n"), "It is a truth"),
        (nn.data.CharTokenizer.from_text("при свете\n"), "\n"),
        (nn.data.CharTokenizer.from_text("абв"), "в"),
        (nn.data.WordTokenizer.from_text("when it is a hard truth"), "It is a truth"),
        (nn.data.WordTokenizer.from_text("सत्य है"), "है"),
        (nn.data.BPETokenizer.from_text("при свете", 260), "It is a truth"),
    ):
        assert runs.default_prompt(tokenizer) == prompt
        assert len(tokenizer.encode(prompt))
