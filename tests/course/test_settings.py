"""A course.toml is read, and a wrong entry is named."""

import textwrap

import numpy as np
import pytest

from nnscratch.course import read_course
from nnscratch.exercises import check_file

TOML = """
title = "Term"
seed = 7
[limits]
exercise = 2
[[exercises]]
name = "sigmoid"
points = 4
[[exercises]]
name = "lstm_step"
points = { values = 2, gradients = 6 }
[[exercises]]
name = "adam"
points = 3
"""
SWISH = textwrap.dedent('''
    """Write swish: out = x * sigmoid(beta * x)."""

    import numpy as np


    def swish_forward(x, beta):
        # solution: compute out
        s = 1 / (1 + np.exp(-beta * x))
        out = x * s
        # end
        return out, (x, beta, s)


    def swish_backward(dout, cache):
        x, beta, s = cache
        # solution: compute dx and dbeta
        dx = dout * (s + x * beta * s * (1 - s))
        dbeta = np.sum(dout * x * x * s * (1 - s))
        # end
        return dx, dbeta


    # for the instructor
    SHAPES = [{"x": "4,3", "beta": ""}, {"x": "2,5", "beta": ""}, {"x": "7", "beta": ""}]
    MISTAKES = [("s + x * beta * s * (1 - s)", "s", "gradient of x")]
''').lstrip()


def course(tmp_path, text, **files):
    (tmp_path / "course.toml").write_text(text)
    for name, content in files.items():
        (tmp_path / f"{name}.py").write_text(content)
    return read_course(tmp_path)


def test_a_course_has_tasks_points_and_limits(tmp_path):
    read = course(tmp_path, TOML)
    assert (read.title, read.seed, read.limits.exercise, read.limits.submission) == ("Term", 7, 2, 15)
    assert [task.name for task in read.tasks] == ["sigmoid", "lstm_step", "adam"]
    points = [task.points for task in read.tasks]
    assert points == [{"values": 2, "gradients": 2}, {"values": 2, "gradients": 6}, {"values": 3}]
    assert read.total == 15 and read.task("01_sigmoid.py") is read.tasks[0]


@pytest.mark.parametrize(("old", "new", "message"), [
    ('name = "sigmoid"', 'name = "sigmid"', "number 1: there is no exercise 'sigmid'. Did you mean 'sigmoid'?"),
    ("points = 4", "points = -1", "number 1, sigmoid: points must be a number of at least 0, got -1"),
    ("points = 3", "points = { gradients = 3 }", "unknown entry 'gradients' in [[exercises]] number 3, adam: points;"),
    ("points = { values = 2, gradients = 6 }", "points = { values = 2 }", "points.gradients must be a number"),
    ("seed = 7", 'seed = "x"', "seed must be an integer of at least 0, got 'x'"),
    ("exercise = 2", "exercise = 0", "limits.exercise must be a number above 0, got 0"),
    ("exercise = 2", "exercises = 2", "[limits]; known: exercise, submission, memory. Did you mean 'exercise'?"),
    ('name = "adam"', 'name = "sigmoid"', "sigmoid is listed twice"),
    ('name = "adam"', 'nam = "adam"', "number 3; known: name, file, points. Did you mean 'name'?"),
    ("seed = 7", "seed = ", "course.toml"),
])  # fmt: skip
def test_a_wrong_entry_is_named(tmp_path, old, new, message):
    with pytest.raises(ValueError, match="course.toml") as error:
        course(tmp_path, TOML.replace(old, new, 1))
    assert message in str(error.value)


def test_a_missing_course_is_named(tmp_path):
    with pytest.raises(FileNotFoundError, match="course new"):
        read_course(tmp_path)


def test_an_own_exercise_is_an_exercise(tmp_path):
    (task,) = course(tmp_path, '[[exercises]]\nfile = "swish.py"\npoints = 5', swish=SWISH).tasks
    exercise = task.exercise
    assert exercise.name == "swish" and exercise.title.startswith("Write swish") and exercise.filename == "swish.py"
    assert task.points == {"values": 2.5, "gradients": 2.5}
    assert "SHAPES" not in exercise.student_file and exercise.student_file.count("TODO") == 2
    values, _ = exercise.parts
    x, beta = values.cases[0](np.random.default_rng(0))
    assert x.shape == (4, 3) and beta.shape == ()
    np.testing.assert_allclose(values.reference(x, beta), x / (1 + np.exp(-beta * x)))


def test_the_solution_of_an_own_exercise_passes_and_its_mistake_does_not(tmp_path):
    (task,) = course(tmp_path, '[[exercises]]\nfile = "swish.py"', swish=SWISH).tasks
    answer = tmp_path / "answer" / "swish.py"
    answer.parent.mkdir()
    answer.write_text(task.exercise.solution)
    assert check_file(task.exercise, answer).solved
    (mistake,) = task.exercise.mistakes
    answer.write_text(task.exercise.solution.replace(mistake.old, mistake.new))
    feedback = check_file(task.exercise, answer)
    assert not feedback.solved and mistake.expected in feedback.headline


@pytest.mark.parametrize(("old", "new", "message"), [
    ("# for the instructor", "# other", "has no line '# for the instructor'"),
    ('{"x": "2,5", "beta": ""}, ', "", "at least 3 sets of inputs, got 2"),
    ('"2,5"', '"2;5"', "the shape of x must look like 4,5"),
    ("def swish_forward", "def swash_forward", "there is no function swish"),
    ("# solution: ", "# ", "there is no solution between the lines"),
    ("MISTAKES = [(\"s +", "MISTAKES = [(\"t +", "MISTAKES: the solution does not contain 't +"),
    ("import numpy as np", "import numpi", "cannot be run: ModuleNotFoundError"),
])  # fmt: skip
def test_a_fault_in_an_own_exercise_is_named(tmp_path, old, new, message):
    with pytest.raises(ValueError, match="swish.py") as error:
        course(tmp_path, '[[exercises]]\nfile = "swish.py"', swish=SWISH.replace(old, new))
    assert message in str(error.value)
