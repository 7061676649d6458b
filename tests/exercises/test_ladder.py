"""Every exercise: the untouched file fails, the solution passes, and each planted mistake gets its diagnosis."""

import ast
import re
from pathlib import Path

import numpy as np
import pytest

from nnscratch.course.judging import names_of, reference_of
from nnscratch.exercises import LADDER
from nnscratch.exercises.calling import DRIVER
from nnscratch.exercises.drivers import DRIVERS
from nnscratch.exercises.exercise import SOLUTION, Gradients

every_exercise = pytest.mark.parametrize("exercise", LADDER, ids=lambda exercise: exercise.name)
every_mistake = pytest.mark.parametrize(
    ("exercise", "mistake"),
    [
        pytest.param(exercise, mistake, marks=[pytest.mark.thorough] * (k > 0))  # make test checks one of each exercise
        for exercise in LADDER
        for k, mistake in enumerate(exercise.mistakes)
    ],
    ids=lambda part: part.name if hasattr(part, "name") else "",
)

STYLES = sorted((Path(__file__).parent / "styles").glob("*.py"))


@every_exercise
def test_the_untouched_file_fails_and_says_that_it_is_not_started(exercise, shared, tmp_path):
    feedback = shared.check(exercise, tmp_path, exercise.student_file)
    assert not feedback.solved and not feedback.started
    assert "You have not started yet" in feedback.headline and exercise.filename in feedback.headline


@every_exercise
def test_a_file_in_which_only_something_else_changed_fails_and_names_the_todo(exercise, shared, tmp_path):
    feedback = shared.check(exercise, tmp_path, exercise.student_file + "\n\nfinished = True\n")
    assert not feedback.solved
    assert "There is a TODO left" in feedback.headline
    assert re.fullmatch(r"your line \d+: raise NotImplementedError\(.*\)", feedback.details[0])


@every_exercise
def test_every_todo_is_needed(exercise, shared, tmp_path):
    regions = list(SOLUTION.finditer(exercise.marked_solution))
    assert regions
    for region in regions:
        without = exercise.marked_solution.replace(region[3], f"{region[1]}pass\n")
        feedback = shared.check(exercise, tmp_path, SOLUTION.sub(lambda match: match[3], without))
        assert not feedback.solved, region[2]


@every_exercise
def test_the_solution_passes(exercise, shared, tmp_path):
    feedback = shared.check(exercise, tmp_path, exercise.solution)  # a new seed in each run of the tests
    assert feedback.solved, [feedback.headline, *feedback.details]


@pytest.mark.parametrize("path", STYLES, ids=lambda path: path.stem)
def test_a_right_answer_in_another_style_passes(path, shared, tmp_path):
    exercise = max((e for e in LADDER if path.stem.startswith(e.name)), key=lambda exercise: len(exercise.name))
    feedback = shared.check(exercise, tmp_path, path.read_text())
    assert feedback.solved, [feedback.headline, *feedback.details]


@every_mistake
def test_a_planted_mistake_gets_its_diagnosis_first(exercise, mistake, shared, tmp_path):
    assert exercise.solution.count(mistake.old) == 1
    feedback = shared.check(exercise, tmp_path, exercise.solution.replace(mistake.old, mistake.new), seed=0)
    assert not feedback.solved
    assert mistake.expected in feedback.headline, [feedback.headline, *feedback.details]


@every_exercise
def test_an_exercise_is_complete(exercise):
    assert len(exercise.mistakes) >= 3 and len(exercise.hints) == 3 and all(exercise.hints) and exercise.reading
    assert all(len(part.cases) >= 3 or part.function.endswith("__init__") for part in exercise.parts)
    text = ast.get_docstring(ast.parse(exercise.student_file))
    assert text.startswith(f"Exercise {exercise.number}: ")
    for expected in ("Shapes: ", "What is checked: ", "Tolerances: ", "Also part of: "):
        assert text.count(expected) == 1
    assert f"nnscratch exercises check {exercise.name}\n" in text
    assert text.endswith(f"nnscratch exercises hint {exercise.name}")
    assert exercise.student_file.count("# TODO: ") == exercise.student_file.count("raise NotImplementedError")
    assert "# solution" not in exercise.student_file + exercise.solution
    assert "# end" not in exercise.student_file + exercise.solution


@every_exercise
def test_messages_of_the_grader_use_the_names_in_the_students_file(exercise):
    students = {}
    exec(exercise.solution, students)
    for part in exercise.parts:
        reference = reference_of(exercise, part) if isinstance(part, Gradients) else None
        if reference is None:
            continue
        name = part.functions[0]
        forward = DRIVERS[name[len(DRIVER) :]](students.get) if name.startswith(DRIVER) else students[name]
        inputs = part.cases[0](np.random.default_rng(0))
        names = zip(inputs, names_of(forward, len(inputs)), names_of(reference, len(inputs)), strict=True)
        for value, own, shown in names:
            if isinstance(value, np.ndarray) and value.dtype.kind == "f":
                assert shown == own


def test_names_and_numbers_are_in_order_and_used_once():
    numbers = [exercise.number for exercise in LADDER]
    assert numbers == sorted(set(numbers))
    assert len({exercise.name for exercise in LADDER}) == len(LADDER)
