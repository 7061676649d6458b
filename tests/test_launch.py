"""The command on several ranks: options and errors, and a real run with --ranks."""

import json
import os
import signal
import subprocess
import sys
import time

import numpy as np
import pytest
from safetensors.numpy import load_file

from nnscratch import launch
from nnscratch.cli import main
from nnscratch.training import ranks

TEXT = "the cat sat on the mat. the dog sat on the cat. the mat sat on the dog. " * 60
SMALL = ["--hidden", "16", "--embed", "8", "--batch", "4", "--seq-len", "16"]


def mpi():
    """Return mpi4py's MPI, or skip the test."""
    try:
        from mpi4py import MPI
    except (ImportError, RuntimeError) as error:  # RuntimeError: there is no MPI library
        pytest.skip(f"needs mpi4py and an MPI library: {error}")
    return MPI


def started_by_mpiexec(monkeypatch, ranks):
    monkeypatch.setenv("OMPI_COMM_WORLD_SIZE", str(ranks))


def test_a_process_that_mpiexec_has_not_started_is_alone():
    assert launch.communicator() is None
    assert not launch.needs_start(None) and not launch.needs_start(1) and launch.needs_start(2)
    assert launch.rank_in_words() == "" and launch.end_all_ranks(3) == 3


@pytest.mark.parametrize("variable", ranks.SIZES)
def test_the_variables_of_mpi_libraries_are_known(variable):
    assert launch.number_of_ranks({variable: "3"}) == 3


def error_of(capsys, *arguments):
    assert main(["train", *arguments]) == 2
    return capsys.readouterr().err


def test_ranks_of_another_number_than_mpiexec_has_started_are_refused(monkeypatch, capsys):
    started_by_mpiexec(monkeypatch, 2)
    assert not launch.needs_start(2)
    assert "mpiexec has started 2 processes: leave out --ranks 3" in error_of(capsys, "--ranks", "3")


def test_a_process_that_mpi_leaves_alone_does_not_train(monkeypatch):
    mpi()
    started_by_mpiexec(monkeypatch, 2)  # but MPI finds one process, as when it could not connect to mpiexec
    with pytest.raises(ValueError, match="mpiexec has started 2 processes, but mpi4py finds 1. Use the mpiexec of"):
        ranks.check_number_of_ranks()


def test_a_number_below_one_is_refused(capsys):
    assert "--ranks must be an integer of 1 or more, got 0" in error_of(capsys, "--ranks", "0")


def test_missing_programs_are_named(monkeypatch, capsys):
    monkeypatch.setattr(launch.importlib.util, "find_spec", lambda name: None)
    assert "starts several processes, but mpi4py is not installed: pip install" in error_of(capsys, "--ranks", "2")
    started_by_mpiexec(monkeypatch, 4)
    assert "mpiexec has started 4 processes, but mpi4py is not installed: pip install" in error_of(capsys)
    monkeypatch.undo()
    monkeypatch.setattr(launch, "_check_mpi4py", lambda why: None)
    monkeypatch.setattr(launch.shutil, "which", lambda *_, **__: None)
    assert "--ranks 2 needs the program mpiexec, which is not on the PATH: pip" in error_of(capsys, "--ranks", "2")


def test_each_rank_gets_its_part_of_the_cores(monkeypatch):
    for name in launch.THREADS:
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr(launch.backend, "num_threads", lambda: 8)
    assert [launch.environment(n)["OPENBLAS_NUM_THREADS"] for n in (2, 3, 16)] == ["4", "2", "1"]
    monkeypatch.setenv("OPENBLAS_NUM_THREADS", "3")
    assert launch.environment(2)["OPENBLAS_NUM_THREADS"] == "3"  # the user's own setting


def start(*arguments):
    mpi()
    command = [sys.executable, "-m", "nnscratch", "train", *map(str, arguments)]
    return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


@pytest.mark.thorough
def test_two_ranks_write_the_run_of_one_process_and_ctrl_c_saves_it(tmp_path):
    text = tmp_path / "tale.txt"
    text.write_text(TEXT, encoding="utf-8")
    two, one = tmp_path / "two", tmp_path / "one"
    process = start(text, "--out", two, "--ranks", 2, "--steps", 12, *SMALL)
    output, error = process.communicate(timeout=120)
    assert process.returncode == 0 and output.count("bits per character") == 1, output + error
    assert main(["train", str(text), "--out", str(one), "--steps", "12", *SMALL]) == 0
    assert {p.name for p in two.iterdir()} == {p.name for p in one.iterdir()}
    expected = load_file(one / "model.safetensors")
    for name, weights in load_file(two / "model.safetensors").items():
        np.testing.assert_allclose(weights, expected[name], atol=1e-5)

    long = tmp_path / "long"
    process = start(text, "--out", long, "--ranks", 2, "--steps", 1_000_000, *SMALL)
    deadline = time.monotonic() + 60
    while not (long / "checkpoint.safetensors").exists() and time.monotonic() < deadline:
        time.sleep(0.2)
    os.kill(process.pid, signal.SIGINT)
    output, error = process.communicate(timeout=60)
    steps = len(json.loads((long / "history.json").read_text())["loss"])
    assert process.returncode == 130 and f"Stopped at step {steps} of 1000000; the run is saved" in output, error
