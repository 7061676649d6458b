"""`nnscratch exercises watch`: it checks after each save, and reads keys from a terminal."""

import os
import select
import subprocess
import sys
import time

import pytest

from nnscratch.cli import main
from nnscratch.exercises import LADDER, watch
from nnscratch.exercises.folder import ExerciseFolder

FIRST, SECOND, THIRD = LADDER[:3]


class Player:
    """Presses keys and changes files: a list of keys, and of functions that are called instead of a key."""

    def __init__(self, *steps):
        self.steps = list(steps)

    def __call__(self, seconds):
        step = self.steps.pop(0) if self.steps else "q"
        return step if isinstance(step, str) else step() or ""


@pytest.fixture
def folder(tmp_path, monkeypatch, shared):
    """Start a folder. The checks use the shared process."""
    found = ExerciseFolder.start(tmp_path)[0]
    monkeypatch.setattr(
        "nnscratch.exercises.show.check_file",
        lambda exercise, path, seed, seconds: shared.check_file(exercise, path, seed=seed),
    )
    monkeypatch.setattr(watch, "SETTLE", 0.001)
    return found


def watched(folder, *steps, exercise=FIRST, keys=True):
    player = Player(*steps)
    watch.Watch(folder, exercise, player if keys else None, 15).run()
    assert player.steps == [] or not keys


def test_a_save_is_checked_and_a_file_that_did_not_change_is_not(folder, capsys):
    def solve():
        folder.file_of(FIRST).write_text(FIRST.solution)

    watched(folder, "", "", solve, "", "")
    output = capsys.readouterr().out
    assert output.count("You have not started yet") == 1 and output.count("Solved.") == 1
    assert f"1 of {len(LADDER)} solved" in output and "Stopped. Your progress is saved." in output
    assert ExerciseFolder(folder.path).is_solved(FIRST)


def test_the_keys_for_next_hint_and_run_again(folder, capsys):
    watched(folder, "n", "h", "x", "r")
    output = capsys.readouterr().out
    assert output.count(f"Exercise {FIRST.number}: ") == 2  # the task, and the check
    assert output.count(f"Exercise {SECOND.number}: ") == 4
    assert "Hint 1 for numerical_gradient" in output and watch.KEYS in output


def test_next_begins_again_at_the_first_and_says_when_all_are_solved(folder, capsys):
    for exercise in LADDER[1:]:
        folder.mark_solved(exercise)
    watched(folder, "n", exercise=LADDER[-1])
    assert f"Exercise {FIRST.number}: " in capsys.readouterr().out
    folder.mark_solved(FIRST)
    watched(folder, "n", exercise=FIRST)
    assert "exercises are solved. Well done." in capsys.readouterr().out


def test_a_file_that_is_removed_and_written_again_is_no_problem(folder, capsys):
    def remove():
        os.remove(folder.file_of(FIRST))

    watched(folder, remove, lambda: folder.write(FIRST), "")
    output = capsys.readouterr().out
    assert "Stopped" in output


def test_without_a_terminal_a_solved_exercise_is_followed_by_the_next_until_all_are_solved(folder, capsys, monkeypatch):
    folder.file_of(FIRST).write_text(FIRST.solution)
    folder.file_of(SECOND).write_text(SECOND.solution)
    for exercise in LADDER[2:]:
        folder.mark_solved(exercise)
    watched(folder, keys=False)
    output = capsys.readouterr().out
    assert output.count("Solved.") == 2 and "Well done." in output and watch.KEYS not in output


def test_ctrl_c_ends_it(folder, capsys):
    def interrupt():
        raise KeyboardInterrupt

    watched(folder, interrupt)
    assert "Stopped. Your progress is saved." in capsys.readouterr().out


def test_what_another_window_solved_meanwhile_is_kept(folder):
    other = ExerciseFolder(folder.path)
    watched(folder, lambda: other.mark_solved(THIRD), "h")
    assert ExerciseFolder(folder.path).is_solved(THIRD)


def test_the_command_refuses_a_time_limit_of_zero_and_ends_when_all_is_solved(folder, monkeypatch, capsys):
    monkeypatch.chdir(folder.path)
    assert main(["exercises", "watch", "--seconds", "0"]) == 2
    for exercise in LADDER:
        folder.mark_solved(exercise)
    assert main(["exercises", "watch"]) == 0 and "Well done." in capsys.readouterr().out


@pytest.mark.skipif(os.name == "nt", reason="needs a pseudo-terminal")
def test_keys_of_a_real_terminal_and_its_settings_afterwards(folder):
    import pty
    import termios

    ours, theirs = pty.openpty()
    before = termios.tcgetattr(theirs)
    command = [sys.executable, "-m", "nnscratch", "exercises", "watch", "--folder", str(folder.path)]
    process = subprocess.Popen(command, stdin=theirs, stdout=theirs, stderr=theirs)
    try:
        output = read_until(ours, watch.KEYS)
        os.write(ours, b"h")
        output += read_until(ours, "Hint 1 for sigmoid")
        os.write(ours, b"\033[A")  # an arrow
        os.write(ours, b"q")
        output += read_until(ours, "Stopped.")
        assert process.wait(60) == 0
    finally:
        process.kill()
        process.wait()
    assert "You have not started yet" in output and "\033[H\033[2J" in output
    assert termios.tcgetattr(theirs) == before
    os.close(ours)
    os.close(theirs)


def read_until(descriptor, text, seconds=60):
    found, end = "", time.monotonic() + seconds
    while text not in found:
        assert select.select([descriptor], [], [], end - time.monotonic())[0], found
        found += os.read(descriptor, 4096).decode(errors="replace")
    return found
