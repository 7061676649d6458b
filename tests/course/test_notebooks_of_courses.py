"""`nnscratch course notebooks` and `collect`: notebooks for nbgrader and Otter, and the code of students in them."""

import json

import pytest

from nnscratch.cli import main
from nnscratch.course import read_course
from nnscratch.course.notebooks import code_of, for_nbgrader, for_otter
from nnscratch.exercises.exercise import SOLUTION

TOML = """
seed = 7
[[exercises]]
name = "relu"
points = { values = 1, gradients = 2 }
[[exercises]]
name = "linear_class"
points = 4
"""


@pytest.fixture
def course(tmp_path, monkeypatch):
    """A course with two exercises, in the current folder."""
    (tmp_path / "course.toml").write_text(TOML)
    monkeypatch.chdir(tmp_path)
    return read_course(tmp_path)


def code(cells):
    return ["".join(cell["source"]) for cell in cells if cell["cell_type"] == "code"]


@pytest.mark.parametrize("system", ["nbgrader", "otter"])
def test_a_notebook_for_each_exercise_is_written_once(course, tmp_path, capsys, system):
    assert main(["course", "notebooks", "--system", system, "--out", "made"]) == 0
    names = sorted(path.name for path in (tmp_path / "made").iterdir())
    assert names == ["04_relu.ipynb", "06_linear_class.ipynb"]
    made = json.loads((tmp_path / "made" / names[0]).read_text())
    assert made["nbformat"] == 4 and len({cell["id"] for cell in made["cells"]}) == len(made["cells"])
    assert main(["course", "notebooks", "--system", system, "--out", "made"]) == 2
    assert "04_relu.ipynb exists already" in capsys.readouterr().err


def test_nbgrader_finds_the_solution_and_the_test_by_their_metadata(course):
    task, solution, test = for_nbgrader(course.tasks[0], seed=7)
    assert task["cell_type"] == "markdown" and "# Exercise 4: ReLU" in task["source"]
    data = solution["metadata"]["nbgrader"]
    assert data["solution"] and not data["grade"] and data["grade_id"] == "relu"
    assert solution["source"].count("### BEGIN SOLUTION") == solution["source"].count("### END SOLUTION") == 2
    data = test["metadata"]["nbgrader"]
    assert data["grade"] and data["locked"] and not data["solution"] and data["points"] == 3


def test_otter_finds_the_question_by_raw_cells(course):
    cells = for_otter(course.tasks[1], seed=7)
    raw = [cell["source"].splitlines()[0] for cell in cells if cell["cell_type"] == "raw"]
    assert raw == ["# ASSIGNMENT CONFIG", "# BEGIN QUESTION", "# BEGIN SOLUTION", "# END SOLUTION"] + [
        "# BEGIN TESTS", "# END TESTS", "# END QUESTION"
    ]  # fmt: skip
    assert any("points: 4" in cell["source"] for cell in cells)
    assert code(cells)[1].startswith("def test_linear_class(Linear):\n")


@pytest.mark.parametrize("make", [for_nbgrader, for_otter])
def test_the_test_passes_with_the_solution_and_fails_without(course, make):
    for task in course.tasks:
        solution, test = code(make(task, seed=7))
        names = {}
        exec(solution, names)
        run(test, names)
        region = SOLUTION.search(task.exercise.marked_solution)
        assert region[3] in solution
        exec(solution.replace(region[3], f"{region[1]}return None\n", 1), names)
        with pytest.raises(AssertionError, match="Not yet"):
            run(test, names)


def run(test, names):
    """Run a test as nbgrader does, or as Otter does: with the student's functions as arguments."""
    exec(test, names)
    for name in [name for name in names if name.startswith("test_")]:
        function = names.pop(name)
        function(*(names[argument] for argument in function.__code__.co_varnames[: function.__code__.co_argcount]))


def notebook(*cells):
    return json.dumps({"cells": [{"cell_type": "code", "source": cell} for cell in cells]})


def test_collect_writes_the_files_of_each_student(course, tmp_path, capsys):
    inner = tmp_path / "submitted" / "anna" / "week01"
    inner.mkdir(parents=True)
    (inner / "04_relu.ipynb").write_text(
        notebook("def relu_forward(x):\n    pass", "import nnscratch as nn\nnn.x" + " " * (2 << 20))
    )
    (inner / "notes.ipynb").write_text(notebook("1 / 0"))
    (tmp_path / "secret.ipynb").write_text(notebook("secret = 1"))
    (inner / "06_linear_class.ipynb").symlink_to(tmp_path / "secret.ipynb")
    (tmp_path / "submitted" / "ben").mkdir()
    (tmp_path / "submitted" / "ben" / "04_relu.ipynb").write_text("[" * 100_000)
    (tmp_path / "submitted" / "readme.txt").write_text("no student")
    assert main(["course", "collect", "submitted", "--out", "files"]) == 0
    assert capsys.readouterr().out == "anna: 04_relu.py\nben: no notebook of the course\n"
    files = [path.relative_to(tmp_path / "files").as_posix() for path in (tmp_path / "files").rglob("*.py")]
    assert files == ["anna/04_relu.py"]
    assert (tmp_path / "files" / files[0]).read_text() == "def relu_forward(x):\n    pass\n"
    assert main(["course", "collect", "submitted", "--out", "files"]) == 2
    assert "exists already" in capsys.readouterr().err
    assert main(["course", "collect", "nowhere", "--out", "more"]) == 2


@pytest.mark.parametrize(("cells", "expected"), [
    (["import numpy as np", "x = 1"], "import numpy as np\n\n\nx = 1\n"),
    (["%matplotlib inline\ny = 2", "!pip list"], "\ny = 2\n\n\n\n"),
    (["grader.check('relu')", "# Initialize Otter\nimport otter\ngrader = otter.Notebook()", "z = 3"], "z = 3\n"),
    (["import nnscratch as nn\ndef f(x):\n    return x"], "import nnscratch as nn\ndef f(x):\n    return x\n"),
])  # fmt: skip
def test_cells_that_only_check_are_left_out(cells, expected):
    assert code_of(notebook(*cells).encode()) == expected


@pytest.mark.parametrize("data", [None, b"", b"{}", b'{"cells": 3}', b'{"cells": [{"cell_type": "code"}]}', b"\xff"])
def test_a_file_that_is_not_a_notebook_has_no_code(data):
    assert code_of(data) is None
