"""A few kills and a short run of the two programs that ``make kills`` and ``make long-run`` use for hours."""

import subprocess
import sys
from pathlib import Path

import pytest

FOLDER = Path(__file__).parent


@pytest.mark.thorough
@pytest.mark.skipif(sys.platform != "linux", reason="kills processes, and reads their memory from /proc")
@pytest.mark.parametrize(("program", "options"), [("kills.py", ["--count", "3"]), ("long_run.py", ["--steps", "2000"])])
def test_killed_and_resumed_runs_equal_a_straight_run(program, options):
    done = subprocess.run([sys.executable, FOLDER / program, *options], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
