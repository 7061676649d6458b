"""Detection of the BLAS kernel, the kernels that are available, and when the command selects another."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from nnscratch import blas, info
from nnscratch.cli import main

ROOT = Path(blas.__file__).parents[1]
ZEN_3 = "fpu sse avx avx2 fma"
ZEN_4 = ZEN_3 + " avx512f avx512dq avx512cd avx512bw avx512vl avx512_bf16"
CPUINFO = """processor\t: 0
vendor_id\t: AuthenticAMD
model name\t: AMD EPYC 9B45
flags\t\t: {flags}

processor\t: 1
model name\t: AMD EPYC 9B45
flags\t\t: {flags}
"""


def flags(text):
    return blas.parse_cpuinfo(CPUINFO.format(flags=text))[1]


def test_cpuinfo_of_x86_and_arm():
    assert blas.parse_cpuinfo(CPUINFO.format(flags="avx2 fma")) == ("AMD EPYC 9B45", {"avx2", "fma"})
    assert blas.parse_cpuinfo("processor\t: 0\nFeatures\t: fp asimd\n") == ("unknown", {"fp", "asimd"})
    assert blas.parse_cpuinfo("") == ("unknown", frozenset())


def test_openblas_says_its_version():
    assert blas.parse_openblas_config("OpenBLAS 0.3.31.188.0  USE64BITINT DYNAMIC_ARCH Zen MAX_THREADS=64") == (
        "0.3.31.188.0"
    )
    assert blas.parse_openblas_config("") is None


def test_only_kernels_whose_instructions_the_processor_has_are_tried():
    assert blas.usable_kernels(flags("fpu sse")) == []
    assert blas.usable_kernels(flags(ZEN_3)) == ["Haswell", "Zen"]
    assert blas.usable_kernels(flags(ZEN_4)) == ["Haswell", "Zen", "SkylakeX", "Cooperlake"]
    for missing in ("avx512f", "avx512dq", "avx512bw", "avx512vl", "avx512cd"):
        assert "SkylakeX" not in blas.usable_kernels(flags(ZEN_4) - {missing})


@pytest.mark.parametrize(
    ("cpu", "kernel", "environment", "expected"),
    [
        (ZEN_4, "Haswell", {}, "SkylakeX"),  # Zen 5 with OpenBLAS 0.3.31
        (ZEN_4, "Zen", {}, "SkylakeX"),
        (ZEN_4, "SkylakeX", {}, None),  # already the right kernel: nothing is set
        (ZEN_4, "Cooperlake", {}, None),
        (ZEN_4, None, {}, None),  # not OpenBLAS
        (ZEN_3, "Zen", {}, None),  # no AVX-512
        (ZEN_4, "Haswell", {"OPENBLAS_CORETYPE": "Haswell"}, None),  # the user's choice is kept
        (ZEN_4, "Haswell", {"OPENBLAS_CORETYPE": ""}, None),
        ("", "Haswell", {}, None),  # unknown processor
    ],
)
def test_another_kernel_is_asked_for_only_when_that_is_sure_to_be_right(cpu, kernel, environment, expected):
    assert blas.better_kernel(flags(cpu), kernel, environment) == expected


RESTARTED = f"""
import os, sys
from nnscratch import blas
blas.processor = lambda: blas.Processor("fake", frozenset({sorted(flags(ZEN_4))!r}), 2)
blas.blas = lambda: blas.Blas("OpenBLAS", "0", sys.argv[1])
print("begun", flush=True)
blas.restart_with_better_kernel()
print(os.environ.get("OPENBLAS_CORETYPE"), os.environ.get("NNSCRATCH_SET_CORETYPE"), sys.argv[2:])
sys.exit(3)
"""


def restarted(kernel, tmp_path, monkeypatch):
    monkeypatch.delenv("OPENBLAS_CORETYPE", raising=False)
    script = tmp_path / "script.py"
    script.write_text(RESTARTED)
    command = [sys.executable, "-W", "ignore", script, kernel, "two words", "--flag"]
    done = subprocess.run(command, capture_output=True, text=True, env={**os.environ, "PYTHONPATH": str(ROOT)})
    assert done.returncode == 3, done.stderr
    return done.stdout.splitlines()


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="the command restarts itself on Linux only")
def test_the_command_starts_once_more_with_the_same_arguments_and_its_exit_code(tmp_path, monkeypatch):
    arguments = "['two words', '--flag']"
    assert restarted("Haswell", tmp_path, monkeypatch) == ["begun", "begun", f"SkylakeX 1 {arguments}"]
    assert restarted("SkylakeX", tmp_path, monkeypatch) == ["begun", f"None None {arguments}"]


def test_calling_main_from_python_never_restarts(monkeypatch, capsys):
    monkeypatch.setattr(blas, "restart_with_better_kernel", lambda: pytest.fail("restarted"))
    with pytest.raises(SystemExit):
        main(["--version"])


def test_importing_nnscratch_leaves_the_environment_alone():
    code = "import os; before = dict(os.environ); import nnscratch; assert dict(os.environ) == before"
    subprocess.run([sys.executable, "-W", "error", "-c", code], check=True)


def test_a_faster_kernel_is_named_only_if_it_is_clearly_faster():
    speeds = {"Haswell": {"a": 100.0, "b": 10.0}, "SkylakeX": {"a": 200.0, "b": 12.0}}
    assert blas.faster_kernel("Haswell", speeds) == "SkylakeX"
    assert blas.faster_kernel("SkylakeX", speeds) is None
    speeds["SkylakeX"] = {"a": 105.0, "b": 10.0}
    assert blas.faster_kernel("Haswell", speeds) is None
    assert blas.faster_kernel(None, {}) is None


def test_the_advice_says_who_chose_and_what_to_write():
    speeds = {"Haswell": {"a": 216.0}, "SkylakeX": {"a": 427.0}}
    found = info.kernel_advice("Haswell", "Haswell", speeds, {})
    assert "OpenBLAS picks Haswell" in found and "export OPENBLAS_CORETYPE=SkylakeX" in found
    set_by_us = {"OPENBLAS_CORETYPE": "SkylakeX", "NNSCRATCH_SET_CORETYPE": "1"}
    assert "the nnscratch command has selected SkylakeX" in info.kernel_advice("Haswell", "SkylakeX", speeds, set_by_us)
    assert "set in your environment" in info.kernel_advice("Haswell", "Zen", speeds, {"OPENBLAS_CORETYPE": "Zen"})
    assert "no other kernel" in info.kernel_advice("SkylakeX", "SkylakeX", speeds, {})


def test_the_blas_under_numpy_here_is_described():
    library = blas.blas()
    assert library.library
    if library.library == "OpenBLAS":
        assert library.kernel and library.threads >= 1
    assert blas.processor().cores >= 1


def test_a_kernel_disturbed_while_it_was_measured_is_not_taken_for_a_slow_one(monkeypatch):
    speeds = {None: [7.0, 206.0], "Haswell": [219.0, 3.0], "Zen": [190.0, 195.0]}
    names = {None: "SkylakeX", "Haswell": "Haswell", "Zen": "Haswell"}  # built without Zen's: it answers with another
    measured = lambda name, seconds: (names[name], {"square": speeds[name].pop(0)})  # noqa: E731
    monkeypatch.setattr(blas, "measure_kernel", measured)
    monkeypatch.setattr(blas, "usable_kernels", lambda flags: ["Haswell", "Zen", "SkylakeX"])
    own, results = blas.compare_kernels(blas.AVX512)
    assert own == "SkylakeX" and results == {"SkylakeX": {"square": 206.0}, "Haswell": {"square": 219.0}}
    assert blas.faster_kernel(own, results) is None


@pytest.mark.parametrize("load", [0.2, 3.0])
def test_the_report_says_when_the_machine_is_too_busy_to_measure(monkeypatch, load):
    product = {name: 216.0 for name in blas.PRODUCTS}
    monkeypatch.setattr(blas.os, "getloadavg", lambda: (load, 0.0, 0.0), raising=False)
    monkeypatch.setattr(blas, "processor", lambda: blas.Processor("Fast CPU", blas.AVX2, 2))
    monkeypatch.setattr(blas, "blas", lambda: blas.Blas("OpenBLAS", "0.3.31", "Haswell", 2))
    monkeypatch.setattr(blas, "measure", lambda seconds: product)
    monkeypatch.setattr(blas, "measure_kernel", lambda name, seconds: ("Haswell", product))
    assert ("Other programs are running" in info.report("1.2.3", ["cpu"])) == (load > 1)


@pytest.mark.parametrize("kernel", ["Haswell", None])
def test_the_report_holds_with_and_without_a_kernel(monkeypatch, kernel):
    product = {name: 216.0 for name in blas.PRODUCTS}
    fast = {name: 427.0 for name in blas.PRODUCTS}
    monkeypatch.setattr(blas, "processor", lambda: blas.Processor("Fast CPU", flags(ZEN_4), 2))
    monkeypatch.setattr(blas, "blas", lambda: blas.Blas("OpenBLAS" if kernel else "Intel MKL", "1", kernel))
    monkeypatch.setattr(blas, "measure", lambda seconds: product)
    answers = {None: ("Haswell", product), "SkylakeX": ("SkylakeX", fast), "Zen": ("Haswell", product)}
    monkeypatch.setattr(blas, "measure_kernel", lambda name, seconds: answers.get(name))
    monkeypatch.delenv("OPENBLAS_CORETYPE", raising=False)
    printed = info.report("1.2.3", ["cpu"])
    assert "1.2.3" in printed and "Fast CPU, 2 cores to use, AVX2 AVX-512" in printed and "216" in printed
    assert ("kernel Haswell (in use)" in printed and "SkylakeX is faster" in printed) == (kernel is not None)
