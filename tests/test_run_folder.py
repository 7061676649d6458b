"""A run's folder: one process at a time, nothing lost when a signal comes, and a way on from every state."""

import contextlib
import json
import os
import shutil
import signal
import subprocess
import sys
import time

import pytest

import nnscratch as nn
from nnscratch import run_folder, runs
from nnscratch.cli import main
from nnscratch.run_settings import DEFAULTS, Config

TEXT = "the cat sat on the mat. the dog sat on the cat. the mat sat on the dog. " * 60
SMALL = ["--hidden", "8", "--embed", "4", "--batch", "4", "--seq-len", "16"]
posix = pytest.mark.skipif(os.name != "posix", reason="locks and signals of POSIX")


@pytest.fixture(autouse=True)
def short_samples(monkeypatch):
    """Training ends with a sample of 50 tokens instead of 300 to 2,000."""
    monkeypatch.setattr(runs, "SAMPLE_TOKENS", dict.fromkeys(runs.SAMPLE_TOKENS, 50))


@pytest.fixture
def text(tmp_path):
    path = tmp_path / "tale.txt"
    path.write_text(TEXT, encoding="utf-8")
    return path


def error_of(capsys, *arguments):
    capsys.readouterr()
    assert main([str(a) for a in arguments]) == 2
    error = capsys.readouterr().err.strip()
    assert "\n" not in error and "Traceback" not in error
    return error


def started(*arguments):
    code = "import sys; from nnscratch.cli import main; sys.exit(main(sys.argv[1:]))"
    command = [sys.executable, "-c", code, *map(str, arguments)]
    return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


def wait_for(condition, process):
    for _ in range(1200):
        if condition():
            return
        assert process.poll() is None, process.communicate()
        time.sleep(0.05)
    raise AssertionError("it did not happen within a minute")


@posix
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGHUP])
def test_a_signal_ends_training_after_the_step_and_saves_it(text, tmp_path, number):
    folder = tmp_path / "run"
    handler = signal.signal(number, signal.SIG_DFL)  # a process under nohup and its children ignore SIGHUP
    process = started("train", text, "--out", folder, *SMALL, "--steps", "1000000")
    signal.signal(number, handler)
    try:
        wait_for((folder / "checkpoint.safetensors").exists, process)
        before = (folder / "checkpoint.safetensors").stat().st_mtime_ns
        process.send_signal(number)
        out, err = process.communicate(timeout=60)
    finally:
        process.kill()
        process.communicate()  # closes the pipes, also after an error: else a later test fails with a warning
    assert process.returncode == 130, err
    assert "Stopped at step" in out and "--resume" in out
    assert (folder / "checkpoint.safetensors").stat().st_mtime_ns > before


@posix
def test_two_processes_do_not_train_in_one_folder(text, tmp_path, capsys):
    folder = tmp_path / "run"
    assert main(["train", str(text), "--out", str(folder), *SMALL, "--steps", "3"]) == 0
    before = {path.name: path.read_bytes() for path in folder.iterdir()}
    with run_folder.locked(folder / "config.json"):
        assert "another process is training the run" in error_of(capsys, "train", "--out", folder, "--resume")
    assert {path.name: path.read_bytes() for path in folder.iterdir()} == before
    assert main(["train", "--out", str(folder), "--resume"]) == 0  # the lock has ended


def test_a_run_that_another_process_has_created_meanwhile_is_not_overwritten(text, tmp_path):
    config = Config(**DEFAULTS["char"] | {"source": str(text), "hidden": 8})
    one, other = (runs.Run.plan(tmp_path / "run", config) for _ in range(2))
    one.create()
    with pytest.raises(FileExistsError):
        other.create()


def test_only_one_process_creates_a_run_if_the_file_system_has_no_hard_links(text, tmp_path, monkeypatch):
    def refuse(*arguments):
        raise OSError("hard links are not supported")

    monkeypatch.setattr(os, "link", refuse)
    test_a_run_that_another_process_has_created_meanwhile_is_not_overwritten(text, tmp_path)


def test_a_process_that_trains_already_may_remove_the_unfinished_file_of_another_one(text, tmp_path, monkeypatch):
    config = Config(**DEFAULTS["char"] | {"source": str(text), "hidden": 8})
    run = runs.Run.plan(tmp_path / "run", config)
    monkeypatch.setattr(os, "chmod", lambda path, mode: run_folder.remove_unfinished_files(tmp_path / "run"))
    with pytest.raises(FileExistsError, match=r"config\.json exists"):
        run.create()


def test_only_the_unfinished_files_of_a_run_are_removed(tmp_path):
    folder = tmp_path / "run"
    folder.mkdir()
    (folder / ".my.notes.disabled").write_text("keep")
    run_folder.remove_unfinished_files(folder)
    assert (folder / ".my.notes.disabled").read_text() == "keep"
    assert run_folder.unfinished_files(folder) == []


def test_a_run_killed_before_its_settings_were_written_can_be_started_again(text, tmp_path):
    folder = tmp_path / "run"
    folder.mkdir()
    (folder / ".config.json.a1b2c3d4").write_bytes(b"unfinished")
    assert main(["train", str(text), "--out", str(folder), *SMALL, "--steps", "3"]) == 0
    assert not list(folder.glob(".*"))


def test_a_run_killed_before_its_tokenizer_was_written_can_be_resumed(text, tmp_path):
    assert main(["train", str(text), "--out", str(tmp_path / "whole"), *SMALL, "--steps", "3"]) == 0
    (tmp_path / "run").mkdir()
    shutil.copy(tmp_path / "whole" / "config.json", tmp_path / "run")
    assert main(["train", "--out", str(tmp_path / "run"), "--resume"]) == 0
    for name in ("tokenizer.json", "model.safetensors"):
        assert (tmp_path / "run" / name).read_bytes() == (tmp_path / "whole" / name).read_bytes()


def test_a_run_killed_before_its_first_checkpoint_can_be_resumed(text, tmp_path, capsys):
    folder = tmp_path / "run"
    assert main(["train", str(text), "--out", str(folder), *SMALL, "--steps", "3"]) == 0
    expected = (folder / "model.safetensors").read_bytes()
    for name in ("checkpoint.safetensors", "model.safetensors", "history.json", "loss.png", "sample.txt"):
        (folder / name).unlink()
    (folder / ".model.safetensors.a1b2c3d4").write_bytes(b"unfinished")
    assert main(["train", "--out", str(folder), "--resume"]) == 0
    assert (folder / "model.safetensors").read_bytes() == expected
    assert not list(folder.glob(".*"))


def test_resuming_a_run_that_stopped_early_changes_nothing(text, tmp_path, capsys):
    folder = tmp_path / "run"
    options = [*SMALL, "--steps", "400", "--lr", "10", "--patience", "1"]
    assert main(["train", str(text), "--out", str(folder), *options]) == 0
    assert "stopped early" in capsys.readouterr().out
    before = (folder / "model.safetensors").read_bytes()
    steps = len(json.loads((folder / "history.json").read_text())["loss"])
    assert steps < 400
    assert main(["train", "--out", str(folder), "--resume"]) == 0
    assert "stopped early" in capsys.readouterr().out
    assert (folder / "model.safetensors").read_bytes() == before
    assert len(json.loads((folder / "history.json").read_text())["loss"]) == steps


def test_a_run_is_resumed_from_another_folder(text, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert main(["train", "tale.txt", "--out", "run", *SMALL, "--steps", "3"]) == 0
    (tmp_path / "elsewhere").mkdir()
    monkeypatch.chdir(tmp_path / "elsewhere")
    assert main(["train", "--out", "../run", "--resume"]) == 0


@posix
def test_what_is_no_file_is_no_text(tmp_path, capsys):
    os.mkfifo(tmp_path / "pipe")
    for source in (tmp_path / "pipe", "/dev/zero"):
        assert "is not a regular file" in error_of(capsys, "train", source, "--out", tmp_path / "run")
        with pytest.raises(ValueError, match="is not a regular file"):
            nn.data.load_text(source)
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--epochs", "1e308"], "epochs must be"),
        (["--steps", "9" * 400], "steps must be"),
        (["--lr", "1e400"], "lr must be"),
    ],
)
def test_numbers_that_are_too_large_get_a_line(text, tmp_path, capsys, options, message):
    assert message in error_of(capsys, "train", text, "--out", tmp_path / "run", *SMALL, *options)


def test_an_empty_name_is_not_the_default_text(tmp_path, capsys):
    assert "the path of the text file is empty" in error_of(capsys, "train", "", "--out", tmp_path / "run")


@posix
def test_a_reader_of_the_pipe_that_ends_early_is_no_error(tmp_path):
    code = "import sys; from nnscratch.cli import main; sys.exit(main(sys.argv[1:]))"
    command = f"'{sys.executable}' -c '{code}' train --help; echo $? >&2"
    done = subprocess.run(["bash", "-c", f"({command}) | head -1"], capture_output=True, text=True, check=False)
    assert "Traceback" not in done.stderr and "Error" not in done.stderr


def test_a_terminal_that_lacks_a_character_shows_a_question_mark(tmp_path):
    text = tmp_path / "tale.txt"
    text.write_text("ein Häuschen am Übergang, 猫 und Hund. " * 100, encoding="utf-8")
    environment = os.environ | {"PYTHONIOENCODING": "ascii"}
    code = "import sys; from nnscratch.cli import main; sys.exit(main(sys.argv[1:]))"
    arguments = ["train", text, "--out", tmp_path / "run", *SMALL, "--steps", "3"]
    done = subprocess.run(
        [sys.executable, "-c", code, *map(str, arguments)], capture_output=True, check=False, env=environment
    )
    assert done.returncode == 0, done.stderr
    assert (tmp_path / "run" / "sample.txt").read_text(encoding="utf-8")


@posix
def test_training_goes_on_if_stderr_is_closed(text, tmp_path):
    code = "import sys; from nnscratch.cli import main; sys.exit(main(sys.argv[1:]))"
    arguments = " ".join(f"'{a}'" for a in ["train", text, "--out", tmp_path / "run", *SMALL, "--steps", "3"])
    command = f"'{sys.executable}' -c '{code}' {arguments} 2>&-"
    done = subprocess.run(["bash", "-c", command], stdout=subprocess.PIPE, check=False)
    assert done.returncode == 0
    assert (tmp_path / "run" / "model.safetensors").exists()


@pytest.mark.skipif(not os.path.exists("/dev/full"), reason="/dev/full is a device of Linux")
def test_training_goes_on_if_the_log_cannot_be_written(text, tmp_path):
    code = "import sys; from nnscratch.cli import main; sys.exit(main(sys.argv[1:]))"
    arguments = ["train", text, "--out", tmp_path / "run", *SMALL, "--steps", "3"]
    with open("/dev/full", "w") as full:
        subprocess.run(
            [sys.executable, "-c", code, *map(str, arguments)], stdout=subprocess.DEVNULL, stderr=full, check=False
        )
    assert (tmp_path / "run" / "sample.txt").exists()


@posix
def test_a_signal_whose_exception_python_ignores_ends_training_after_the_step(text, tmp_path, monkeypatch, capsys):
    """Python ignores an exception in ``__del__`` and in the callback of a weak reference."""

    def signal_ignored(folder):
        with contextlib.suppress(KeyboardInterrupt):
            signal.raise_signal(signal.SIGTERM)

    handler = signal.signal(signal.SIGTERM, signal.SIG_DFL)
    monkeypatch.setattr(runs, "remove_unfinished_files", signal_ignored)
    assert main(["train", str(text), "--out", str(tmp_path / "run"), *SMALL, "--steps", "30"]) == 130
    assert signal.signal(signal.SIGTERM, handler) == signal.SIG_DFL
    assert "Stopped at step 1 of 30" in capsys.readouterr().out


@pytest.mark.parametrize(("name", "value"), [("lr", 1.0), ("seq_len", 8), ("dropout", 0.5), ("steps", 9), ("seed", 5)])
def test_a_run_with_an_edited_configuration_is_refused_and_its_files_are_unchanged(text, tmp_path, capsys, name, value):
    folder = tmp_path / "run"
    assert main(["train", str(text), "--out", str(folder), *SMALL, "--steps", "3"]) == 0
    path = folder / "config.json"
    written = json.loads(path.read_text())
    path.write_text(json.dumps(written | {name: value}))
    before = {path.name: path.read_bytes() for path in folder.iterdir()}
    for command in (["train", "--out", folder, "--resume"], ["evaluate", folder], ["generate", folder]):
        assert "settings were changed after the run was created" in error_of(capsys, *command)
    assert {path.name: path.read_bytes() for path in folder.iterdir()} == before
    moved = tmp_path / "moved.txt"
    text.rename(moved)
    path.write_text(json.dumps(written | {"source": str(moved)}, indent=3, sort_keys=True))  # another form, same values
    assert main(["train", "--out", str(folder), "--resume"]) == 0
    del written["checksum"]  # as in older runs
    path.write_text(json.dumps(written | {"source": str(moved)}))
    assert main(["evaluate", str(folder)]) == 0


def test_a_run_that_has_lost_its_checkpoint_does_not_start_again_over_its_model(text, tmp_path, capsys):
    folder = tmp_path / "run"
    assert main(["train", str(text), "--out", str(folder), *SMALL, "--steps", "3"]) == 0
    (folder / "checkpoint.safetensors").unlink()
    before = {path.name: path.read_bytes() for path in folder.iterdir()}
    assert "has no checkpoint.safetensors, and history.json" in error_of(capsys, "train", "--out", folder, "--resume")
    assert {path.name: path.read_bytes() for path in folder.iterdir()} == before


def test_a_run_with_a_checkpoint_is_trained_again_only_if_it_is_resumed(text, tmp_path):
    folder = tmp_path / "run"
    assert main(["train", str(text), "--out", str(folder), *SMALL, "--steps", "3"]) == 0
    before = {path.name: path.read_bytes() for path in folder.iterdir()}
    with pytest.raises(FileExistsError, match=r"has a checkpoint already: continue with train\(resumed=True\)"):
        runs.Run.open(folder).train()
    assert {path.name: path.read_bytes() for path in folder.iterdir()} == before
