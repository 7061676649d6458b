"""`nnscratch exercises`: the student's folder, and every action of the command."""

import json
import os

import pytest

from nnscratch.cli import main
from nnscratch.exercises import LADDER
from nnscratch.exercises.folder import PROGRESS

FIRST, SECOND = LADDER[:2]


@pytest.fixture
def exercises(tmp_path, monkeypatch, capsys):
    """Start a folder, and return a function that runs an action in it: its exit code and output."""
    folder = tmp_path / "my exercises"
    assert main(["exercises", "start", str(folder)]) == 0
    monkeypatch.chdir(folder)
    capsys.readouterr()

    def run(*arguments):
        code = main(["exercises", *arguments])
        captured = capsys.readouterr()
        return code, captured.out + captured.err

    run.folder = folder
    return run


def test_start_writes_every_exercise_and_says_what_comes_next(tmp_path, capsys):
    assert main(["exercises", "start", str(tmp_path / "new" / "folder")]) == 0
    written = sorted(os.listdir(tmp_path / "new" / "folder"))
    assert written == [*(exercise.filename for exercise in LADDER), PROGRESS]
    assert "nnscratch exercises next" in capsys.readouterr().out


def test_start_again_keeps_what_the_student_wrote_and_adds_what_is_missing(exercises):
    (exercises.folder / FIRST.filename).write_text("mine")
    (exercises.folder / SECOND.filename).unlink()
    code, output = exercises("start", ".")
    assert code == 0 and "1 exercises written" in output
    assert (exercises.folder / FIRST.filename).read_text() == "mine"
    assert (exercises.folder / SECOND.filename).read_text() == SECOND.student_file


def test_from_start_to_the_first_solved_exercise(exercises):
    code, output = exercises("next")
    assert code == 0 and FIRST.filename in output and f"nnscratch exercises check {FIRST.name}" in output
    code, output = exercises("check")
    assert code == 1 and "You have not started yet" in output and "There are 2 hints" in output
    (exercises.folder / FIRST.filename).write_text(FIRST.solution)
    code, output = exercises("check")
    assert code == 0 and "Solved." in output and f"Next: {SECOND.name}" in output and FIRST.reading in output
    assert SECOND.filename in exercises("next")[1]
    code, output = exercises("status")
    assert code == 0 and f"1 of {len(LADDER)} solved" in output
    assert exercises("solution", FIRST.name) == (0, FIRST.solution)
    assert "has not" not in exercises("hint", FIRST.name)[1]


def test_an_exercise_that_was_solved_once_stays_solved(exercises):
    (exercises.folder / FIRST.filename).write_text(FIRST.solution)
    exercises("check", FIRST.name)
    exercises("reset", FIRST.name)
    assert exercises("check", FIRST.name)[0] == 1
    assert f"1 of {len(LADDER)} solved" in exercises("status")[1]


def test_hints_come_one_at_a_time_and_the_third_after_solving(exercises):
    first, second, third = ("".join(hint.split()) for hint in FIRST.hints)
    outputs = ["".join(exercises("hint")[1].split()) for _ in range(3)]
    assert first in outputs[0] and second not in outputs[0]
    assert second in outputs[1] and third not in outputs[1] and "thirdhintappearsafteryouhavesolved" in outputs[1]
    assert third not in outputs[2]
    (exercises.folder / FIRST.filename).write_text(FIRST.solution)
    exercises("check", FIRST.name)
    assert third in "".join(exercises("hint", FIRST.name)[1].split())


def test_the_solution_of_an_unsolved_exercise_needs_a_second_word(exercises):
    code, output = exercises("solution", FIRST.name)
    assert code == 1 and FIRST.solution not in output
    assert exercises("solution", FIRST.name, "--anyway") == (0, FIRST.solution)


def test_reset_keeps_the_old_file_under_another_name(exercises):
    for number in (1, 2):
        (exercises.folder / FIRST.filename).write_text(f"version {number}")
        code, output = exercises("reset", FIRST.name)
        assert code == 0 and f".old{number}" in output
        assert (exercises.folder / FIRST.filename).read_text() == FIRST.student_file
    kept = sorted(path.read_text() for path in exercises.folder.glob("*.old*"))
    assert kept == ["version 1", "version 2"]


def test_stray_and_renamed_files_are_ignored(exercises):
    copy = exercises.folder / f"copy of {FIRST.filename}"
    copy.write_text(FIRST.solution)
    (exercises.folder / FIRST.filename).rename(exercises.folder / "renamed.py")
    (exercises.folder / "__pycache__").mkdir()
    code, output = exercises("check", FIRST.name)
    assert code == 1 and "is missing" in output
    assert exercises("status")[0] == 0 and exercises("next")[0] == 0


def test_a_name_can_be_a_number_or_a_file_and_a_wrong_one_gets_advice(exercises):
    for name in (FIRST.name, str(FIRST.number), FIRST.filename, f"./{FIRST.filename}"):
        assert FIRST.filename in exercises("check", name)[1]
    code, output = exercises("check", FIRST.name[:-1])
    assert code == 2 and f"Did you mean {FIRST.name}?" in output


def test_the_folder_is_found_from_a_folder_inside_it_and_by_its_name(exercises, monkeypatch):
    (exercises.folder / "inside").mkdir()
    monkeypatch.chdir(exercises.folder / "inside")
    assert exercises("status")[0] == 0
    monkeypatch.chdir(exercises.folder.parent)
    code, output = exercises("status")
    assert code == 2 and "nnscratch exercises start FOLDER" in output
    assert exercises("status", "--folder", str(exercises.folder))[0] == 0


def test_progress_keeps_what_another_version_wrote(exercises):
    held = {"format": "nnscratch exercises", "solved": {"lstm_2030": "2030-01-01"}, "new": [1]}
    (exercises.folder / PROGRESS).write_text(json.dumps(held))
    exercises("hint")
    after = json.loads((exercises.folder / PROGRESS).read_text())
    assert after["solved"] == held["solved"] and after["new"] == [1] and after["hints"] == {FIRST.name: 1}


def test_a_damaged_progress_file_is_not_fatal(exercises):
    (exercises.folder / PROGRESS).write_text('{"solved": {')
    code, output = exercises("status")
    assert code == 0 and "could not be read" in output
    assert (exercises.folder / "progress.damaged").read_text() == '{"solved": {'


def test_all_solved_is_said(exercises):
    solved = {exercise.name: "2026-01-01" for exercise in LADDER}
    (exercises.folder / PROGRESS).write_text(json.dumps({"format": "nnscratch exercises", "solved": solved}))
    for action in ("next", "check", "hint"):
        assert "exercises are solved. Well done." in exercises(action)[1]
