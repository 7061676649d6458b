"""The command with --device, and its errors without a GPU, a driver or enough memory."""

import builtins
import os
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import pytest
import strict_cupy

import nnscratch as nn
from nnscratch import backend, blas, runs
from nnscratch.cli import main

SMALL = ["--hidden", "16", "--embed", "8", "--batch", "4", "--seq-len", "16", "--steps", "12"]


@pytest.fixture(autouse=True)
def short_samples(monkeypatch):
    """Training ends with a sample of 50 tokens instead of 300 to 2,000."""
    monkeypatch.setattr(runs, "SAMPLE_TOKENS", dict.fromkeys(runs.SAMPLE_TOKENS, 50))


@pytest.fixture
def text(tmp_path):
    path = tmp_path / "tale.txt"
    path.write_text("the cat sat on the mat. the dog sat on the cat. the mat sat on the dog. " * 60, encoding="utf-8")
    return path


@pytest.fixture
def no_driver(monkeypatch):
    """CuPy is installed, but there is no GPU driver."""

    def fail():
        raise strict_cupy.CUDARuntimeError("cudaErrorInsufficientDriver: CUDA driver version is insufficient")

    with strict_cupy.installed() as cupy:
        monkeypatch.setattr(cupy.cuda.runtime, "getDeviceCount", fail)
        yield


def error_of(capsys, *arguments):
    """Return the single line that a failing command prints to stderr."""
    capsys.readouterr()
    assert main([str(a) for a in arguments]) == 2
    error = capsys.readouterr().err.strip()
    assert "\n" not in error and "Traceback" not in error
    return error


def test_a_run_is_trained_on_cuda_gone_on_with_on_the_cpu_measured_and_written_with(text, tmp_path, capsys, on_cuda):
    run, whole = tmp_path / "run", tmp_path / "whole"
    assert main(["train", str(text), "--out", str(whole), *SMALL]) == 0
    assert main(["train", str(text), "--out", str(run), *SMALL, "--device", "cuda"]) == 0
    expected = nn.load(whole / "model.safetensors")
    for p, q in zip(nn.load(run / "model.safetensors").parameters(), expected.parameters(), strict=True):
        np.testing.assert_allclose(p.data, q.data, rtol=1e-3, atol=1e-4)
    for device in ("cuda", "cpu"):
        capsys.readouterr()
        assert main(["evaluate", str(run), "--device", device]) == 0
        assert "bits per character" in capsys.readouterr().out
    written = []
    for device in ("cuda", "cpu"):
        settings = ["--prompt", "the", "--tokens", "20", "--seed", "1", "--device", device]
        assert main(["generate", str(run), *settings]) == 0
        written.append(capsys.readouterr().out)
    assert written[0] == written[1]
    assert main(["train", "--out", str(run), "--resume", "--device", "cpu"]) == 0


def test_info_names_the_gpu(on_cuda, capsys, monkeypatch):
    monkeypatch.setattr(blas, "usable_kernels", lambda flags: [])  # skip the measurement of products
    monkeypatch.setattr(blas, "measure", lambda seconds: dict.fromkeys(blas.PRODUCTS, 1.0))
    assert main(["info"]) == 0
    printed = capsys.readouterr().out
    assert "cuda:0" in printed and "GiB free, CuPy" in printed


def test_info_says_how_much_of_the_memory_cupy_may_take_if_that_is_limited(monkeypatch):
    with strict_cupy.installed() as cupy:
        assert "limited to" not in backend.devices()[1]
        monkeypatch.setattr(cupy.get_default_memory_pool(), "limit", 3 << 29)
        assert backend.devices()[1].endswith("3.0 of 4.0 GiB free, CuPy strict stand-in, limited to 1.5 GiB")


def test_memory_that_no_array_is_in_is_given_back(on_cuda):
    kept, freed = on_cuda(np.ones(1000)), on_cuda(np.ones(1 << 22))
    del freed
    used, held = backend.memory("cuda")
    backend.free_memory("cuda")
    used_after, held_after = backend.memory("cuda")
    assert held > held_after >= used_after == used >= kept.nbytes


def test_without_a_driver_one_line_says_so(no_driver, text, tmp_path, capsys):
    error = error_of(capsys, "train", text, "--out", tmp_path / "run", *SMALL, "--device", "cuda")
    assert "device 'cuda': CuPy is installed, but found no working GPU driver" in error
    assert not (tmp_path / "run").exists()
    assert "no GPU: device 'cuda': CuPy is installed, but found no working GPU driver" in backend.devices()[1]


@pytest.mark.skipif(find_spec("cupy") is not None, reason="CuPy is installed here")
def test_without_cupy_one_line_says_what_to_install(text, tmp_path, capsys):
    error = error_of(capsys, "train", text, "--out", tmp_path / "run", *SMALL, "--device", "cuda")
    assert "needs CuPy, which is not installed: pip install 'nnscratch[cuda12]' or 'nnscratch[cuda13]'" in error


def test_a_cupy_that_cannot_be_imported_is_told_from_none_at_all(monkeypatch):
    real = builtins.__import__

    def broken(name, *rest):
        if name == "cupy":
            raise ImportError("libnvrtc.so.12: cannot open shared object file")
        return real(name, *rest)

    monkeypatch.setattr(builtins, "__import__", broken)
    with pytest.raises(backend.DeviceError, match="CuPy is installed, but cannot be imported .libnvrtc.so.12"):
        backend.module_for("cuda")


CUDA_ERRORS = {
    "a missing library": ImportError("libcublas.so.12: cannot open shared object file"),
    "missing headers": type("CompileException", (Exception,), {})('cannot open source file "cuda_fp16.h"'),
    "a broken library": type("CUBLASError", (RuntimeError,), {})("CUBLAS_STATUS_NOT_INITIALIZED"),
    "a GPU that CuPy has no code for": strict_cupy.CUDARuntimeError("cudaErrorNoKernelImageForDevice"),
}


@pytest.fixture
def untested_device():
    """Let the next use of the device test it again."""
    backend.device._check_computes.cache_clear()
    yield
    backend.device._check_computes.cache_clear()


@pytest.mark.parametrize("reason", CUDA_ERRORS)
def test_a_gpu_that_cannot_compute_is_no_device_and_one_line_says_why(
    reason, text, tmp_path, capsys, monkeypatch, untested_device
):
    error = CUDA_ERRORS[reason]

    def fail(*arguments, **settings):
        raise error

    with strict_cupy.installed() as cupy:
        monkeypatch.setattr(cupy, "matmul", fail)
        backend.device._check_computes.cache_clear()
        said = error_of(capsys, "train", text, "--out", tmp_path / "run", *SMALL, "--device", "cuda")
        assert f"device 'cuda': CuPy finds the GPU, but cannot compute on it ({type(error).__name__}: {error})" in said
        assert said.endswith("Install CuPy with its libraries: pip install 'nnscratch[cuda12]' or 'nnscratch[cuda13]'")
        assert backend.devices()[1].startswith("no GPU: device 'cuda': CuPy finds the GPU, but cannot compute on it")
        monkeypatch.undo()
        assert backend.module_for("cuda") is cupy  # a failure is not remembered
    assert not (tmp_path / "run").exists()


def test_a_gpu_that_computes_wrong_numbers_is_no_device(monkeypatch, untested_device):
    with strict_cupy.installed() as cupy:
        monkeypatch.setattr(cupy, "matmul", lambda a, b: a)
        backend.device._check_computes.cache_clear()
        with pytest.raises(backend.DeviceError, match="a test computation on the GPU gave 8.0 instead of 12"):
            backend.module_for("cuda")


@pytest.mark.parametrize("kind", ["CUBLASError", "CUDARuntimeError"])
def test_a_gpu_that_fails_during_training_is_said_in_one_line(kind, text, tmp_path, capsys, monkeypatch):
    error = type(kind, (RuntimeError,), {"__module__": "cupy_backends.cuda.libs.some"})("it broke:\n  an old GPU")

    def fail(*arguments, **settings):
        raise error

    with strict_cupy.installed() as cupy:
        monkeypatch.setattr(cupy, "matmul", fail)
        assert main(["train", str(text), "--out", str(tmp_path / "run"), *SMALL, "--device", "cuda"]) == 2
    said = capsys.readouterr().err.splitlines()[-1]  # after the progress bar
    assert said == f"nnscratch train: the GPU failed: {kind}: it broke: an old GPU"


def test_too_little_memory_is_said_in_one_line(text, tmp_path, capsys, monkeypatch):
    def full(*shape, **settings):
        raise strict_cupy.OutOfMemoryError("Out of memory allocating 512 bytes (allocated so far: 0 bytes).")

    with strict_cupy.installed() as cupy:
        monkeypatch.setattr(cupy, "asarray", full)
        error = error_of(capsys, "train", text, "--out", tmp_path / "run", *SMALL, "--device", "cuda")
    assert error.endswith(
        "out of memory: Out of memory allocating 512 bytes (allocated so far: 0 bytes). "
        "A smaller --batch, --seq-len or --hidden needs less memory."
    )


@pytest.mark.parametrize("device", ["gpu", "cuda:", "cuda:x"])
def test_an_unknown_device_is_refused_by_name(device, text, tmp_path, capsys):
    error = error_of(capsys, "train", text, "--out", tmp_path / "run", *SMALL, "--device", device)
    assert f'device must be "cpu", "cuda" or "cuda:N", got {device!r}' in error


def test_tf32_is_asked_of_cupy_and_only_for_a_gpu(text, tmp_path, capsys, monkeypatch):
    monkeypatch.setenv("CUPY_TF32", "0")
    error = error_of(capsys, "train", text, "--out", tmp_path / "run", *SMALL, "--tf32")
    assert "--tf32 needs --device cuda" in error and os.environ["CUPY_TF32"] == "0"
    with strict_cupy.installed():
        assert main(["train", str(text), "--out", str(tmp_path / "run"), *SMALL, "--device", "cuda", "--tf32"]) == 0
    assert os.environ["CUPY_TF32"] == "1"


def test_an_optimizer_made_before_the_model_was_moved_is_refused_by_name(on_cuda):
    model = nn.Linear(3, 2)
    optimizer = nn.optim.Adam(model.parameters())
    model.to("cuda")
    with pytest.raises(TypeError, match="the model is on 'cuda' and the moments of Adam are on 'cpu': move the model"):
        optimizer.step()
    assert optimizer.steps == 0


def test_waiting_for_a_device_is_nothing_on_the_cpu_and_one_wait_on_cuda():
    backend.synchronize("cpu")
    with strict_cupy.installed(), strict_cupy.counted() as counts:
        backend.synchronize("cuda")
    assert counts.waits == 1


def test_only_the_backend_imports_cupy():
    found = [
        path.relative_to(Path(nn.__file__).parent).as_posix()
        for path in sorted(Path(nn.__file__).parent.rglob("*.py"))
        if any(line.strip().startswith(("import cupy", "from cupy")) for line in path.read_text().splitlines())
    ]
    assert found == ["backend/device.py"]
