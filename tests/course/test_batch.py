"""Marking a folder of submissions: one table, one text for each student, and marks that depend on the files only."""

import dataclasses
import os

import pytest
from attacks import attack
from dying_judge import die_at_ben

from nnscratch.cli import main
from nnscratch.course import batch, box, read_course, submission
from nnscratch.course.batch import NotProtected, check_protections, mark_all
from nnscratch.course.box import Box, Starter
from nnscratch.course.judging import FileMark
from nnscratch.course.submission import mark_submission
from nnscratch.gradcheck.command.channel import WorkerFailed
from nnscratch.gradcheck.command.orphans import children

pytestmark = pytest.mark.usefixtures("starter")

TOML = """
title = "Term"
seed = 7
[limits]
exercise = 0.5
submission = 1.2
[[exercises]]
name = "sigmoid"
points = 4
[[exercises]]
name = "relu"
points = { values = 1, gradients = 2 }
[[exercises]]
name = "clip_norm"
"""
SIGMOID, RELU, CLIP = "01_sigmoid.py", "04_relu.py", "15_clip_norm.py"


@pytest.fixture
def course(tmp_path):
    (tmp_path / "course.toml").write_text(TOML)
    return read_course(tmp_path)


@pytest.fixture
def hand_in(course, tmp_path):
    """Write a submission: the model solutions, with some files replaced; None removes a file."""

    def write(student, folder="submissions", **files):
        path = tmp_path / folder / student
        path.mkdir(parents=True)
        for task in course.tasks:
            text = files.get(task.name, task.exercise.solution)
            if text is not None:
                (path / task.exercise.filename).write_text(text)
        return path

    return write


def mistaken(course, name):
    exercise = course.task(name).exercise
    return exercise.solution.replace(exercise.mistakes[0].old, exercise.mistakes[0].new)


def table(path):
    return [line.split(",") for line in path.read_text().splitlines()]


def test_marks_depend_on_the_own_files_only(course, hand_in, tmp_path, capsys):
    loop = "while True: pass"
    hand_in("anna")
    hand_in("ben", relu=mistaken(course, "relu"), clip_norm=None)
    hand_in("carl", sigmoid=loop, relu=loop, clip_norm=loop)
    hand_in("dora", sigmoid=course.task("sigmoid").exercise.student_file, relu="def relu_forward(x)\n    return x")
    mallory = hand_in("mallory", sigmoid="import os\nos.kill(os.getppid(), 18)", relu=attack("a daemon"))
    (mallory / CLIP).unlink()
    (mallory / CLIP).symlink_to(tmp_path / "submissions" / "anna" / CLIP)
    inner = hand_in("zoe")
    inner.rename(inner.with_name("moved"))
    inner.mkdir()
    inner.with_name("moved").rename(inner / "my-exercises")
    (tmp_path / "submissions" / "readme.txt").write_text("no submission")
    arguments = ["grade", str(tmp_path / "submissions"), "--course", str(tmp_path), "--jobs", "2"]
    assert main([*arguments, "--out", str(tmp_path / "grades.csv")]) == 0
    marks = [
        ["student", "sigmoid", "relu", "clip_norm", "total", "out of"],
        ["anna", "4", "3", "1", "8", "8"],
        ["ben", "4", "1", "0", "5", "8"],
        ["carl", "0", "0", "0", "0", "8"],
        ["dora", "0", "0", "1", "1", "8"],
        ["mallory", "0", "0", "0", "0", "8"],
        ["zoe", "4", "3", "1", "8", "8"],
    ]
    assert table(tmp_path / "grades.csv") == marks
    assert "anna: 8 of 8" in capsys.readouterr().out
    feedback = {path.stem: path.read_text() for path in (tmp_path / "grades").glob("*.txt")}
    assert "Forward is right, but backward is not. The gradient of x is not right" in feedback["ben"]
    assert "15_clip_norm.py is missing." in feedback["ben"]
    assert feedback["carl"].count("did not finish within") == 3
    assert "01_sigmoid.py is unchanged." in feedback["dora"] and "Python cannot read line 1" in feedback["dora"]
    assert feedback["mallory"].count("cannot use other files, processes") == 2
    assert "15_clip_norm.py is missing." in feedback["mallory"]

    # the same files without the other students, and one at a time, give the same marks
    for student in ("ben", "anna"):
        (tmp_path / "again").mkdir(exist_ok=True)
        (tmp_path / "submissions" / student).rename(tmp_path / "again" / student)
    again = mark_all(course, tmp_path / "again", tmp_path / "again.csv")
    assert table(tmp_path / "again.csv") == marks[:3]
    assert (tmp_path / "again" / "ben").is_dir() and again[1].points == 5
    assert (tmp_path / "again.csv").read_text().splitlines()[2] in (tmp_path / "grades.csv").read_text()
    assert feedback["ben"] == (tmp_path / "again" / "ben.txt").read_text()


@pytest.fixture
def runs(course, monkeypatch):
    """Mark a submission whose files need the given seconds, without running them. Return all runs and the mark."""

    def made(**needed):
        found = []

        def mark_file(starter, task, source, seed, limits, seconds):
            found.append((task.name, round(seconds, 3)))
            need = needed[task.name]
            return FileMark(task.name, task.exercise.filename, [], seconds=min(need, seconds), finished=need <= seconds)

        monkeypatch.setattr(submission, "mark_file", mark_file)
        return found, mark_submission(None, course, course.tasks, "anna", [b""] * 3, 0)

    return made


FOREVER = float("inf")


def test_a_file_that_does_not_finish_is_run_again_with_more_time(runs):
    found, mark = runs(sigmoid=0.02, relu=0.3, clip_norm=FOREVER)
    assert found == [
        *[("sigmoid", 0.1), ("relu", 0.1), ("clip_norm", 0.1)],
        *[("relu", 0.5), ("clip_norm", 0.5)],
    ]
    assert [file.finished for file in mark.files] == [True, True, False]
    assert not any(file.note for file in mark.files)


def test_files_that_hang_take_no_time_from_a_quick_file_and_less_than_their_limit_together(runs):
    found, mark = runs(sigmoid=FOREVER, relu=FOREVER, clip_norm=0.02)
    assert found == [("sigmoid", 0.1), ("relu", 0.1), ("clip_norm", 0.1), ("sigmoid", 0.5)]
    assert [file.finished for file in mark.files] == [False, False, True]
    assert [bool(file.note) for file in mark.files] == [False, True, False]
    assert "This file was not run again with a limit above 0.1 seconds" in submission.as_text(mark, "Term")


def test_25_files_that_hang_take_four_and_a_half_seconds(course, runs):
    limits = type(course.limits)()
    tasks = [task for _ in range(9) for task in course.tasks][:25]
    found, _ = runs(sigmoid=FOREVER, relu=FOREVER, clip_norm=FOREVER)
    found.clear()
    mark_submission(None, dataclasses.replace(course, limits=limits), tasks, "anna", [b""] * 25, 0)
    assert round(sum(seconds for _, seconds in found), 6) <= 4.5
    assert limits.rounds == (0.1, 0.5, 3.0)


def test_right_code_that_is_slow_gets_its_points(course, hand_in, tmp_path):
    slow = "import time\nend = time.process_time() + 0.15\nwhile time.process_time() < end: pass\n"
    hand_in("anna", relu=slow + course.task("relu").exercise.solution, clip_norm="while True: pass")
    (mark,) = mark_all(course, tmp_path / "submissions", tmp_path / "grades.csv")
    assert [file.points for file in mark.files] == [4, 3, 0]


def test_a_run_continues_where_another_has_stopped(course, hand_in, tmp_path, monkeypatch):
    ben = hand_in("ben", relu=mistaken(course, "relu"))
    hand_in("anna")
    submissions, out = tmp_path / "submissions", tmp_path / "grades.csv"
    mark_all(course, submissions, out)
    first = out.read_text()
    (ben / RELU).write_text(course.task("relu").exercise.solution)
    out.unlink()
    seen = []

    def save(folder, mark, *rest, save=batch.save):
        seen.append(mark.student)
        save(folder, mark, *rest)

    monkeypatch.setattr(batch, "save", save)
    mark_all(course, submissions, out)
    assert seen == ["ben"] and first.replace("ben,4,1,1,6,8", "ben,4,3,1,8,8") == out.read_text()
    mark_all(course, submissions, out)
    assert seen == ["ben"]


def test_a_judge_that_dies_loses_no_other_mark(course, hand_in, tmp_path, monkeypatch):
    for student in ("ben", "carl", "eve"):
        hand_in(student)
    monkeypatch.setattr(batch, "judge_one", die_at_ben)
    marks = mark_all(course, tmp_path / "submissions", tmp_path / "grades.csv", seed=8, only=["clip_norm"])
    assert [mark.points for mark in marks] == [0, 1, 0] and marks[1].seed == 8
    assert "The grader has failed" in marks[0].files[0].parts[0].headline
    assert [file.name for file in marks[1].files] == ["clip_norm"]


@pytest.mark.parametrize(("arguments", "message"), [
    (["nowhere", "--out", "g.csv"], "nowhere is not a folder"),
    (["empty", "--out", "g.csv"], "empty contains no folder"),
    (["submissions", "--out", "grades"], "must be the name of a CSV file"),
    (["submissions", "--out", "g.csv", "--only", "relo"], "the course has no exercise 'relo'. Did you mean 'relu'?"),
    (["submissions", "--out", "g.csv", "--jobs", "0"], "--jobs must be at least 1, got 0"),
    (["submissions", "--out", "g.csv", "--seed", "-1"], "--seed must be at least 0, got -1"),
    (["submissions", "--out", "g.csv", "--course", "nowhere"], "does not exist. `nnscratch course new FOLDER`"),
])  # fmt: skip
def test_a_wrong_argument_is_named(course, hand_in, tmp_path, monkeypatch, capsys, arguments, message):
    hand_in("anna")
    (tmp_path / "empty").mkdir()
    monkeypatch.chdir(tmp_path)
    assert main(["grade", *arguments]) == 2
    assert message in capsys.readouterr().err
    assert not (tmp_path / "g.csv").exists()


def test_without_a_sandbox_nothing_is_marked_unless_the_submissions_are_trusted(monkeypatch):
    monkeypatch.setattr(batch, "missing_protections", lambda starter: ["reading files", "the network"])
    with pytest.raises(NotProtected, match=r"reading files, the network.*pip install landlock.*--trust-submissions"):
        check_protections(trust=False)
    assert check_protections(trust=True) == ["reading files", "the network"]


@pytest.fixture
def unprotected(monkeypatch):
    """A starter on a system without Landlock and seccomp."""
    absent = "import sys\nsys.modules['landlock'] = sys.modules['pyseccomp'] = None\n"
    monkeypatch.setattr(box, "BOOT", absent + box.BOOT)
    with Starter(trust=True) as starter:
        yield starter


def test_what_is_missing_is_found_by_trying(unprotected, tmp_path, monkeypatch):
    monkeypatch.setattr(box, "ROOT", str(tmp_path))
    (tmp_path / "nnscratch").symlink_to(os.path.dirname(os.path.dirname(batch.__file__)))
    found = box.missing_protections(unprotected)
    assert found == ["reading files", "writing files", "new processes", "the network", "signals to other processes"]
    assert [path.name for path in tmp_path.iterdir()] == ["nnscratch"]


def test_without_a_sandbox_all_processes_of_a_file_are_killed(unprotected):
    before = children()
    with Box(unprotected, 0, 0.3, 512) as process:
        with pytest.raises(WorkerFailed, match="processor time"):
            source = "import os\nif os.fork() == 0:\n    os.setsid()\n    if os.fork(): os._exit(0)\nwhile True: pass"
            process.request("open", path="a.py", source=source)
    assert children() == before
