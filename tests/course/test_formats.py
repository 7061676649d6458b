"""The marks in the formats of other systems, and Gradescope's scripts, run in a folder instead of a container."""

import json
import os
import re
import subprocess
import sys
import zipfile

import pytest

from nnscratch.cli import main
from nnscratch.course.formats import autolab, classroom50, gradescope
from nnscratch.course.judging import FileMark, PartMark
from nnscratch.course.submission import SubmissionMark
from nnscratch.exercises import LADDER

pytestmark = pytest.mark.usefixtures("starter")

RELU = next(exercise for exercise in LADDER if exercise.name == "relu")
TOML = """
[[exercises]]
name = "relu"
points = { values = 1, gradients = 2 }
"""
ENVIRONMENT = {
    "CLASSROOM": "nets",
    "ASSIGNMENT": "week-1",
    "SUBMISSION_TAG": "submit/2026-10-12T10-00-00Z-a1b2c3d",
    "COMMIT_URL": "https://example.com/commit/1",
    "RELEASE_URL": "https://example.com/release/1",
}


@pytest.fixture
def half():
    """A mark: the values are right, the gradients are not."""
    values = PartMark("values", 1.0, 1.0, "relu_forward is right.")
    gradients = PartMark("gradients", 0.0, 2.0, "Forward is right, but backward is not.", ["a detail"])
    return SubmissionMark("anna", [FileMark("relu", "04_relu.py", [values, gradients], "hello")], seed=7)


def test_gradescope_gets_a_test_for_each_file(half):
    found = gradescope(half)
    assert found["score"] == 1 and "1 of 3 points" in found["output"]
    (test,) = found["tests"]
    assert (test["name"], test["score"], test["max_score"], test["status"]) == ("relu", 1, 3, "failed")
    assert "Forward is right, but backward is not." in test["output"] and "a detail" in test["output"]
    assert "hello" in test["output"]


def test_autolab_gets_one_line(half):
    assert json.loads(autolab(half)) == {"scores": {"relu": 1.0}}


def test_classroom50_gets_whole_points_for_each_part(half):
    found = classroom50(half, ENVIRONMENT)
    assert found["schema"] == "classroom50/result/v1" and (found["score"], found["max-score"]) == (1, 3)
    assert (found["classroom"], found["assignment"]) == ("nets", "week-1")
    assert found["review"] == found["commit"] == ENVIRONMENT["COMMIT_URL"]
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ", found["datetime"])
    rows = [(t["test-name"], t["passed"], t["score"], t["max-score"]) for t in found["tests"]]
    assert rows == [("relu, values", True, 1, 1), ("relu, gradients", False, 0, 2)]
    assert all(type(row[2]) is int for row in rows)


def test_classroom50_refuses_half_points_and_a_missing_variable(half):
    with pytest.raises(ValueError, match="must set the variables CLASSROOM, COMMIT_URL, REVIEW_URL"):
        classroom50(
            half, {name: value for name, value in ENVIRONMENT.items() if name not in ("CLASSROOM", "COMMIT_URL")}
        )
    half.files[0].parts[1].out_of = 1.5
    with pytest.raises(ValueError, match=r"whole points only, but a part of relu has 1\.5"):
        classroom50(half, ENVIRONMENT)


def test_gradescopes_scripts_mark_a_submission(tmp_path):
    """The zip file needs nothing but itself and the installed packages."""
    (tmp_path / "own").mkdir()
    (tmp_path / "own" / "double.py").write_text(
        '"""Double x."""\n\n\ndef double(x):\n'
        "    # solution: double x\n    out = 2 * x\n    # end\n    return out\n\n\n"
        '# for the instructor\nSHAPES = [{"x": "3"}, {"x": "2,2"}, {"x": ""}]\n'
    )
    (tmp_path / "course.toml").write_text(f'{TOML}[[exercises]]\nfile = "own/double.py"\npoints = 4\n')
    out = tmp_path / "autograder.zip"
    assert main(["course", "autograder", "--course", str(tmp_path), "--out", str(out)]) == 0
    autograder = tmp_path / "autograder"
    with zipfile.ZipFile(out) as file:
        assert {"setup.sh", "run_autograder", "course/course.toml", "course/own/double.py"} <= set(file.namelist())
        file.extractall(autograder / "source")
    (autograder / "submission").mkdir()
    (autograder / "submission" / RELU.filename).write_text(RELU.solution)
    (autograder / "submission" / "double.py").write_text("def double(x):\n    return x + x")
    subprocess.run(["bash", "-n", autograder / "source" / "setup.sh"], check=True)
    environment = {**os.environ, "AUTOGRADER": str(autograder), "PYTHON": sys.executable}
    run = ["bash", str(autograder / "source" / "run_autograder")]
    done = subprocess.run(run, env=environment, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    results = json.loads((autograder / "results" / "results.json").read_text())
    assert results["score"] == 7 and [test["status"] for test in results["tests"]] == ["passed", "passed"]


def test_the_command_writes_the_other_formats(tmp_path, monkeypatch, capsys):
    (tmp_path / "course.toml").write_text(TOML)
    student = tmp_path / "anna"
    student.mkdir()
    (student / RELU.filename).write_text(RELU.solution)
    grade = ["grade", str(student), "--course", str(tmp_path), "--format"]
    assert main([*grade, "autolab"]) == 0
    assert json.loads(capsys.readouterr().out.splitlines()[-1]) == {"scores": {"relu": 3.0}}
    for name, value in ENVIRONMENT.items():
        monkeypatch.setenv(name, value)
    assert main([*grade, "classroom50", "--out", str(tmp_path / "result.json")]) == 0
    assert json.loads((tmp_path / "result.json").read_text())["score"] == 3
    assert main([*grade, "gradescope"]) == 2
    assert "give the name of the file to write" in capsys.readouterr().err


def test_a_file_outside_the_folder_of_the_course_is_refused(tmp_path):
    (tmp_path / "course.toml").write_text('[[exercises]]\nfile = "../double.py"\n')
    assert main(["course", "autograder", "--course", str(tmp_path), "--out", str(tmp_path / "a.zip")]) == 2
