"""The script of make gpu-check, on the stand-in for CuPy."""

import importlib.util
import signal
import subprocess
import sys
import time
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
        ok, errors, text = script.line("Linear", lambda device, dtype: script.layer_results(case, device, dtype))
    assert ok and max(errors) < 1e-6 and text.startswith("Linear  ") and "WRONG" not in text


@pytest.mark.parametrize(
    ("wrong", "text"),
    [
        (lambda device: np.array(1.0 + 1e-3 * (device == "cuda")), "WRONG 5e-04   WRONG 5e-04"),
        (lambda device: np.array(np.nan if device == "cuda" else 1.0), "WRONG nan   WRONG nan"),
        (lambda device: {}[device], "WRONG KeyError('cpu')"),
    ],
)
def test_a_wrong_result_and_an_error_are_shown_in_the_line(wrong, text, script):
    ok, _, line = script.line("Layer", lambda device, dtype: backend.array_module(np.ones(1)).asarray(wrong(device)))
    assert not ok and text in line and "\n" not in line


def test_the_largest_difference_is_named_and_an_error_is_the_largest(script):
    every = {"a": [1e-15, 2e-7], "b": [3e-15, float("nan")], "c": [2e-15, 1e-6]}
    first, second = script.largest_differences(every)
    assert first == "largest difference in float64: 3e-15 (b)"
    assert second == "largest difference in float32: nan (b)"


def test_each_part_has_its_file_and_a_failure_does_not_stop_the_others(script, tmp_path, monkeypatch, capsys):
    codes = {"layers": "print('fine')", "tests": "raise SystemExit(3)", "bench": "import time; time.sleep(60)"}
    codes["profile"] = "print('nothing was profiled')"
    monkeypatch.setattr(script, "commands", lambda *_: {k: [sys.executable, "-c", code] for k, code in codes.items()})
    monkeypatch.setitem(script.LIMITS, "bench", 0.1)
    assert script.main(["--out", str(tmp_path)]) == 1
    summary = (tmp_path / "summary.txt").read_text()
    for text in (
        "layers   passed",
        "tests    FAILED with exit code 3",
        "bench    STOPPED after 0.1 s",
        "profile  passed",
    ):
        assert text in summary
    assert (tmp_path / "layers.txt").read_text() == "fine\n"
    assert summary in capsys.readouterr().out


def test_at_the_time_limit_pytest_prints_the_failures_so_far(script, tmp_path, monkeypatch):
    test = (
        "import time\ndef test_a(): assert 1 == 2, 'seen early'\ndef test_b(): open('b', 'w').close(); time.sleep(60)\n"
    )
    (tmp_path / "test_slow.py").write_text(test)
    command = [
        sys.executable,
        "-m",
        "pytest",
        "-q",
        "-p",
        "no:cacheprovider",
        "--rootdir",
        str(tmp_path),
        str(tmp_path),
    ]

    class AtTheLimit(subprocess.Popen):
        def wait(self, timeout=None):  # the limit is reached in the second test
            if timeout == script.LIMITS["tests"]:
                while not (tmp_path / "b").exists() and self.poll() is None:
                    time.sleep(0.02)
                raise subprocess.TimeoutExpired("tests", timeout)
            return super().wait(timeout)

    monkeypatch.setattr(script, "ROOT", tmp_path)
    monkeypatch.setattr(script.subprocess, "Popen", AtTheLimit)
    before = signal.signal(signal.SIGINT, signal.SIG_IGN)  # as in a background job
    try:
        monkeypatch.setattr(script, "commands", lambda *_: {"tests": command})
        assert script.main(["--out", str(tmp_path / "out"), "--parts", "tests"]) == 1
    finally:
        signal.signal(signal.SIGINT, before)
    text = (tmp_path / "out" / "tests.txt").read_text()
    assert "seen early" in text and "1 failed" in text and "KeyboardInterrupt" in text


def test_a_part_that_ignores_the_interruption_is_killed(script, tmp_path, monkeypatch):
    code = (
        "import signal, time; signal.signal(signal.SIGINT, signal.SIG_IGN); print('ready', flush=True); time.sleep(60)"
    )
    process = subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE)
    monkeypatch.setattr(script, "GRACE", 0.1)
    assert process.stdout.readline() == b"ready\n"
    script.interrupt(process)
    assert process.poll() is None  # run_part() kills it next
    process.kill()
    process.communicate()


def test_without_a_gpu_the_reason_is_one_line(script, capsys, monkeypatch):
    def missing(device):
        raise backend.DeviceError("device 'cuda' needs CuPy")

    monkeypatch.setattr(backend, "module_for", missing)
    assert script.main(["--layers"]) == 1
    assert capsys.readouterr().out.splitlines()[-1] == "device 'cuda' needs CuPy"


def test_all_parts_together_take_less_than_ten_minutes(script):
    assert sum(limit + script.GRACE for limit in script.LIMITS.values()) < 600


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
    assert "\nlargest difference in float64: 0e+00 (Linear)\n" in done.stdout
