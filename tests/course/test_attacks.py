"""A hostile file gets no points that it has not earned, changes no other mark, and leaves nothing behind."""

import os
import shutil
import subprocess
import sys
import time
from pathlib import Path

import pytest
from attacks import ATTACKS, CHEATS, HALF, RIGHT, attack

import nnscratch
from nnscratch.course import box
from nnscratch.course.judging import mark_file
from nnscratch.course.settings import Limits, Task
from nnscratch.exercises import LADDER
from nnscratch.gradcheck.command.channel import Channel
from nnscratch.gradcheck.command.orphans import Orphans, children

PACKAGE = Path(nnscratch.__file__).parent
TASK = Task(next(exercise for exercise in LADDER if exercise.name == "relu"), {"values": 2.0, "gradients": 3.0})
LIMITS = Limits(exercise=0.5, memory=360)
AS_NOBODY = "NNSCRATCH_TEST_AS_NOBODY"


@pytest.fixture
def mark(starter, tmp_path, monkeypatch):
    """Mark a source. Afterwards no process is left, no file has changed, and a right file gets all points."""
    monkeypatch.setattr(box, "WAIT", 0.3)
    other = tmp_path / "other.py"
    other.write_text("secret")
    other.chmod(0o666)
    orphans, before = Orphans(), children()

    def marked(source, seconds=0.5):
        return mark_file(starter, TASK, source.encode(), 3, LIMITS, seconds)

    try:
        yield marked
        assert children() == before
        assert children_of(starter) == set()
        assert [path.name for path in tmp_path.iterdir()] == ["other.py"] and other.read_text() == "secret"
        assert oct(other.stat().st_mode).endswith("666")
        assert marked(RIGHT, 20.0).points == 5
    finally:
        orphans.kill()


def children_of(starter):
    path = Path(f"/proc/{starter.pid}/task/{starter.pid}/children")
    return set(path.read_text().split()) if path.exists() else set()


def texts(mark):
    return "\n".join(line for part in mark.parts for line in [part.headline, *part.details])


@pytest.mark.parametrize("name", ATTACKS)
def test_an_attack_has_no_effect(mark, tmp_path, name):
    feedback = ATTACKS[name][2]
    seconds = 0.5 if feedback.startswith("did not finish") or name == "deep recursion in C" else 20.0
    found = mark(attack(name, FOLDER=tmp_path, PACKAGE=PACKAGE, JUDGE=os.getpid()), seconds)
    if name == "deep recursion in C":
        assert found.points == 0  # an error, the end of the process, or too much memory
    elif feedback:
        assert found.points == 0 and feedback in texts(found)
    else:
        assert found.points == 5 and len(found.printed) < 5000


@pytest.mark.parametrize("name", CHEATS)
def test_a_wrong_answer_gets_no_points(mark, name):
    assert mark(CHEATS[name], 20.0).points == 0


@pytest.mark.parametrize("name", HALF)
def test_right_values_with_gradients_that_do_not_count_get_half(mark, name):
    source, feedback = HALF[name]
    found = mark(source)
    assert found.points == 2 and feedback in texts(found)


@pytest.mark.thorough
@pytest.mark.skipif(os.geteuid() != 0 or AS_NOBODY in os.environ, reason="needs root")
@pytest.mark.skipif(shutil.which("setpriv") is None, reason="needs setpriv, a part of util-linux")
def test_the_attacks_have_no_effect_as_an_ordinary_user(tmp_path):
    # The user may read all files, because Python itself can be where only root may read it.
    user = ["setpriv", "--reuid=65534", "--regid=65534", "--clear-groups"]
    user += ["--inh-caps=-all,+dac_read_search", "--ambient-caps=-all,+dac_read_search"]
    tmp_path.chmod(0o777)
    pytest_run = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", __file__, "-k", "test_an_attack"]
    done = subprocess.run(
        [*user, *pytest_run, f"--basetemp={tmp_path / 'run'}"],
        env={**os.environ, AS_NOBODY: "1", "HOME": str(tmp_path)},
        cwd=Path(__file__).parents[2],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-2000:]
    assert "skipped" not in done.stdout.splitlines()[-1]


def test_a_judge_that_is_stopped_for_a_while_does_not_blame_the_file(starter, monkeypatch):
    read = Channel._read

    def read_late(self, count):
        time.sleep(0.2)
        return read(self, count)

    monkeypatch.setattr(box, "WAIT", 0.1)
    monkeypatch.setattr(Channel, "_read", read_late)
    with box.Box(starter, 0, 3.0, 512) as process:
        process.request("open", path="a.py", source="x = 1")
