"""`nnscratch course new`, `check` and `release`: from an example to what students get."""

import json
import shlex
import zipfile

import pytest

from nnscratch.cli import main
from nnscratch.course import read_course
from nnscratch.course.own import FOR_THE_INSTRUCTOR
from nnscratch.exercises.exercise import SOLUTION

ONE = '[[exercises]]\nfile = "own/swish.py"\npoints = 5\n'


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """Write the example, and go to its folder."""
    path = tmp_path / "my course"
    assert main(["course", "new", str(path)]) == 0
    monkeypatch.chdir(path)
    return path


def changed(folder, old, new):
    path = folder / "own" / "swish.py"
    text = path.read_text()
    assert text.count(old) >= 1
    path.write_text(text.replace(old, new, 1))


def test_new_writes_a_course_that_can_be_read_and_overwrites_nothing(folder, capsys):
    course = read_course(folder)
    assert [task.name for task in course.tasks] == ["sigmoid", "affine", "softmax_loss", "swish"]
    assert course.tasks[1].points == {"values": 2, "gradients": 4} and course.total == 21
    assert main(["course", "new", str(folder)]) == 2
    assert "exists already" in capsys.readouterr().err


def test_check_finds_nothing_wrong_with_the_example(folder, capsys):
    assert main(["course", "check"]) == 0
    output = capsys.readouterr().out
    assert output.count("right  ") == 4 and "4 exercises, 21 points\n" in output and "recommended" not in output


@pytest.mark.parametrize(("old", "new", "message"), [
    ("s = 1 / (1 + np.exp(-beta * x))", "s = np.tanh(beta * x)", "the solution does not pass: The values of forward"),
    ('"dx = dout * s", "gradient of x"', '"dx = dout * s", "sign flipped"', "gives a different message"),
    ('"out = s\\n", "out"', '"out = 1 * x * s\\n", "out"', "mistake 1 passes: `out = 1 * x * s`"),
])  # fmt: skip
def test_check_says_what_is_not_right(folder, capsys, old, new, message):
    (folder / "course.toml").write_text(ONE)
    changed(folder, old, new)
    assert main(["course", "check"]) == 1
    output = capsys.readouterr().out
    assert message in output and "1 exercises, 5 points, 1 not right" in output


def test_check_asks_for_more_planted_mistakes(folder, capsys):
    (folder / "course.toml").write_text(ONE)
    path = folder / "own" / "swish.py"
    path.write_text(path.read_text().partition("\nMISTAKES")[0])
    assert main(["course", "check"]) == 0
    assert "0 planted mistakes are recognised; 3 are recommended" in capsys.readouterr().out


@pytest.mark.parametrize("out", ["for students", "for_students.zip"])
def test_release_writes_the_files_without_solutions_and_references(folder, out, capsys):
    assert main(["course", "release", "--out", out]) == 0
    if out.endswith(".zip"):
        with zipfile.ZipFile(out) as file:
            texts = {name.removeprefix("for_students/"): file.read(name).decode() for name in file.namelist()}
    else:
        texts = {path.name: path.read_text() for path in (folder / out).iterdir()}
    files = ["01_sigmoid.py", "05_affine.py", "10_softmax_loss.py", "swish.py"]
    assert sorted(texts) == sorted([*files, "README.md", "progress.json"])
    assert json.loads(texts["progress.json"])["exercises"] == ["sigmoid", "affine", "softmax_loss"]
    for task in read_course(folder).tasks:
        text = texts[task.exercise.filename]
        assert f"| `{task.exercise.filename}` | {task.total:g} |" in texts["README.md"]
        assert text == task.exercise.student_file and "TODO" in text and FOR_THE_INSTRUCTOR not in text
        for part in SOLUTION.finditer(task.exercise.marked_solution):
            assert part[3] not in text
    assert "nnscratch gradcheck swish.py:swish_forward,swish_backward" in texts["README.md"]
    assert main(["course", "release", "--out", out]) == 2
    assert "exists already" in capsys.readouterr().err


def test_a_student_works_in_the_released_folder(folder, monkeypatch, capsys):
    main(["course", "release", "--out", "released"])
    monkeypatch.chdir(folder / "released")
    (folder / "released" / "progress.json").write_text("{")  # damaged: the course's list is rebuilt from the files
    capsys.readouterr()
    assert main(["exercises", "status"]) == 0
    assert "0 of 3 solved" in capsys.readouterr().out
    task = read_course(folder).task("swish")
    (folder / "released" / "swish.py").write_text(task.exercise.solution)
    assert main(shlex.split(task.exercise.gradient_command)[1:]) == 0
    assert "right" in capsys.readouterr().out
