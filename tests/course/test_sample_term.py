"""The sample term of docs/course/sample-term.md: its exercises exist, its points and its dates are as it says."""

import datetime
import re
from pathlib import Path

import pytest

from nnscratch.course.settings import course_from
from nnscratch.exercises import LADDER

PAGE = Path(__file__).parents[2] / "docs" / "course" / "sample-term.md"
if not PAGE.is_file():
    pytest.skip("docs/ is not part of an installation", allow_module_level=True)
WEEKS = re.findall(r"(?m)^\| (\d+) \| (\d{4}-\d\d-\d\d) \|.*\| ([^|]*) \|$", PAGE.read_text(encoding="utf-8"))


def test_ten_weeks_begin_on_mondays_and_give_twelve_points_each():
    begins = [datetime.date.fromisoformat(begin) for _, begin, _ in WEEKS]
    assert [int(number) for number, _, _ in WEEKS] == list(range(1, 11))
    assert begins[0].weekday() == 0 and {b - a for a, b in zip(begins, begins[1:], strict=False)} == {
        datetime.timedelta(days=7)
    }
    for _, _, exercises in WEEKS:
        assert sum(int(points) for points in re.findall(r"\((\d+)\)", exercises)) == 12


def test_the_exercises_are_25_of_the_ladder_in_its_order(tmp_path):
    names = [name for _, _, exercises in WEEKS for name in re.findall(r"`(\w+)`", exercises)]
    every = [exercise.name for exercise in LADDER]
    assert len(names) == 25 and [every.index(name) for name in names] == sorted(map(every.index, names))
    course = course_from({"exercises": [{"name": name} for name in names]}, tmp_path)
    assert [task.name for task in course.tasks] == names
