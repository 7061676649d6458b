"""The pytest plugin, in a separate pytest run."""

import os
import subprocess
import sys
from importlib.metadata import entry_points

import pytest

TESTS = """
import numpy as np
import nnscratch as nn

def test_right(gradcheck):
    assert gradcheck(nn.Tanh(), np.ones((2, 2))).ok

def test_wrong(gradcheck):
    gradcheck((lambda x: (x**2, x), lambda dout, x: -2 * x * dout), np.ones((2, 2)))
"""


@pytest.mark.skipif(
    not any(point.name == "nnscratch" for point in entry_points(group="pytest11")), reason="nnscratch is not installed"
)
def test_the_fixture_checks_and_the_option_lists_what_was_checked(tmp_path):
    (tmp_path / "test_layers.py").write_text(TESTS, encoding="utf-8")
    command = [sys.executable, "-m", "pytest", "-q", "--gradcheck-report", "-p", "no:cacheprovider"]
    out = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False).stdout
    assert "1 failed, 1 passed" in out and "-> sign flipped [x]" in out
    listed = out[out.index("gradients checked") :].splitlines()[1:3]
    assert [line.split()[0] for line in listed] == ["right", "wrong"]
    assert listed[0].endswith("test_layers.py::test_right Tanh")


def test_a_run_that_does_not_use_the_plugin_does_not_import_the_package(tmp_path):
    (tmp_path / "test_other.py").write_text(
        "import sys\ndef test_other():\n    assert not {'numpy', 'nnscratch'} & sys.modules.keys()\n", encoding="utf-8"
    )
    command = [sys.executable, "-m", "pytest", "-q", "-p", "nnscratch_pytest", "-p", "no:cacheprovider"]
    environment = {"PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1"}
    done = subprocess.run(
        command, cwd=tmp_path, env=os.environ | environment, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout
