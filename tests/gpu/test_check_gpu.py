"""The script of make gpu-check, on the stand-in for CuPy."""

import importlib.util
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import strict_cupy
from cases import LAYERS, LOSSES, OPTIMIZERS

import nnscratch as nn
from nnscratch import backend

PATH = Path(__file__).parent / "check_gpu.py"


@pytest.fixture
def script():
    spec = importlib.util.spec_from_file_location("check_gpu", PATH)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_every_layer_loss_and_optimizer_is_compared(script):
    tables = [*LAYERS.values(), *LOSSES.values(), *OPTIMIZERS.values()]
    assert len(list(script.comparisons())) == sum(map(len, tables))


def test_a_right_layer_has_two_small_errors(script):
    case = LAYERS[nn.Linear][0]
    with strict_cupy.installed():
        ok, text = script.line("Linear", lambda device, dtype: script.layer_results(case, device, dtype))
    assert ok and text.startswith("Linear  ") and "WRONG" not in text


@pytest.mark.parametrize(
    ("wrong", "text"),
    [
        (lambda device: np.array(1.0 + 1e-3 * (device == "cuda")), "WRONG 5e-04   WRONG 5e-04"),
        (lambda device: np.array(np.nan if device == "cuda" else 1.0), "WRONG nan   WRONG nan"),
        (lambda device: {}[device], "WRONG KeyError('cpu')"),
    ],
)
def test_a_wrong_result_and_an_error_are_shown_in_the_line(wrong, text, script):
    ok, line = script.line("Layer", lambda device, dtype: backend.array_module(np.ones(1)).asarray(wrong(device)))
    assert not ok and text in line and "\n" not in line


def test_each_part_has_its_file_and_a_failure_does_not_stop_the_others(script, tmp_path, monkeypatch, capsys):
    codes = {"layers": "print('fine')", "tests": "raise SystemExit(3)", "bench": "import time; time.sleep(60)"}
    monkeypatch.setattr(script, "commands", lambda *_: {k: [sys.executable, "-c", code] for k, code in codes.items()})
    monkeypatch.setitem(script.LIMITS, "bench", 0.1)
    assert script.main(["--out", str(tmp_path)]) == 1
    summary = (tmp_path / "summary.txt").read_text()
    for text in ("layers   passed", "tests    FAILED with exit code 3", "bench    STOPPED after 0.1 s"):
        assert text in summary
    assert (tmp_path / "layers.txt").read_text() == "fine\n"
    assert summary in capsys.readouterr().out


def test_without_a_gpu_the_reason_is_one_line(script, capsys, monkeypatch):
    def missing(device):
        raise backend.DeviceError("device 'cuda' needs CuPy")

    monkeypatch.setattr(backend, "module_for", missing)
    assert script.main(["--layers"]) == 1
    assert capsys.readouterr().out.splitlines()[-1] == "device 'cuda' needs CuPy"


def test_all_parts_together_take_less_than_560_seconds(script):
    assert sum(script.LIMITS.values()) < 560


def test_the_script_runs_on_the_stand_in_from_any_folder(tmp_path):
    code = (
        "import runpy, sys; sys.path.insert(0, sys.argv[2]); import cases\n"
        "for table in (cases.LAYERS, cases.LOSSES, cases.OPTIMIZERS):\n"
        "    for cls in list(table)[1:]: del table[cls]\n"  # the first of each, to be quick
        "path = sys.argv[1]; sys.argv[1:] = ['--layers', '--stand-in']; runpy.run_path(path, run_name='__main__')"
    )
    command = [sys.executable, "-c", code, str(PATH), str(PATH.parents[1] / "shared")]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    first, *_, last = [text for text in done.stdout.splitlines() if "WRONG" not in text][3:]
    assert first.startswith("Linear  ") and last == "all agree with the CPU"
