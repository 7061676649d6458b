"""The profile of a training step on a GPU, from events as PyTorch's profiler writes them. No GPU is needed."""

import sys
import time
from types import SimpleNamespace

import pytest

from benchmarks import gpu_profile


def event(cat, name, ts, dur):
    return {"ph": "X", "cat": cat, "name": name, "ts": ts, "dur": dur}


# Two steps from 100 to 1100 us. The wait at 1200 and the calls at 50 are not in the steps.
EVENTS = [
    {"ph": "M", "name": "process_name"},
    event("user_annotation", "steps", 100, 1000),
    event("user_annotation", "Optimizer.step#Adam.step", 200, 50),
    event("gpu_user_annotation", "Optimizer.step#Adam.step", 300, 5000),
    event("gpu_user_annotation", "steps", 300, 5000),
    event("cpu_op", "aten::mm", 150, 20),
    event("cuda_runtime", "cudaLaunchKernel", 160, 5),
    event("cuda_runtime", "cudaMemcpyAsync", 170, 5),
    event("cuda_runtime", "cudaDeviceSynchronize", 50, 5),
    event("cuda_runtime", "cudaStreamSynchronize", 500, 5),
    event("cuda_runtime", "cudaEventSynchronize", 600, 5),
    event("cuda_runtime", "cudaMemcpy", 700, 5),
    event("cuda_runtime", "cudaDeviceSynchronize", 1200, 400),
    event("kernel", "gemm", 300, 400),
    event("kernel", "add", 500, 400),  # on another stream, at the same time
    event("kernel", "gemm", 1300, 100),  # after the calls, and still of these steps
    event("gpu_memcpy", "Memcpy HtoD (Pinned -> Device)", 310, 10),
    event("gpu_memcpy", "Memcpy DtoH (Device -> Pageable)", 1500, 10),
    event("gpu_memcpy", "Memcpy DtoD (Device -> Device)", 1600, 20),
    event("gpu_memset", "Memset (Device)", 1700, 60),
]


def test_the_work_and_the_waits_of_one_step_are_counted():
    found = gpu_profile.count(EVENTS, steps=2)
    assert found.kernels == 1.5 and found.copies == 1 and found.waits == 1.5
    assert found.busy == pytest.approx((600 + 100 + 10 + 20 + 60) / 1000 / 2)  # overlapping kernels count once
    assert [name for _, _, name in found.longest] == [
        *("gemm", "add", "Memset (Device)"),
        *("Memcpy DtoD (Device -> Device)", "Memcpy HtoD (Pinned -> Device)", "Memcpy DtoH (Device -> Pageable)"),
    ]
    assert found.longest[0] == (0.25, 1.0, "gemm")


def test_only_the_ten_longest_are_kept_and_the_text_shows_them():
    many = [event("kernel", f"kernel {k}", 300 + k, k) for k in range(1, 16)]
    text = gpu_profile.text("m", "PyTorch", 0.0123, gpu_profile.count([*EVENTS[:2], *many], steps=1))
    first, *rest = text.splitlines()
    assert first.split()[:5] == ["(m)", "PyTorch", "wall", "12.30", "ms"] and "kernels    15" in first
    assert len(rest) == 10 and rest[0].endswith("kernel 15")


def test_the_profiler_spans_the_calls_of_the_steps_and_not_the_wait():
    torch = pytest.importorskip("torch")
    events = gpu_profile.trace_of(lambda: torch.ones(3).sum(), lambda: torch.zeros(3).fill_(1))
    (span,) = [e for e in events if e["name"] == "steps" and e["cat"] == "user_annotation"]
    starts = {
        name: [e["ts"] - span["ts"] for e in events if e["name"] == name and "dur" in e]
        for name in ("aten::sum", "aten::zeros")
    }
    assert len(starts["aten::sum"]) >= gpu_profile.PROFILED and max(starts["aten::sum"]) < span["dur"]
    assert starts["aten::zeros"][0] > span["dur"]
    found = gpu_profile.count(events)
    assert (found.kernels, found.waits, found.longest) == (0, 0, [])


def test_a_step_is_timed_without_its_warm_up_and_with_the_wait():
    made = []
    seconds = gpu_profile.seconds_of_step(lambda: made.append(0), lambda: time.sleep(0.05))
    assert len(made) == gpu_profile.WARM_UP + gpu_profile.TIMED
    assert seconds >= 0.05 / gpu_profile.TIMED


def test_a_library_that_fails_does_not_hide_the_others(monkeypatch, capsys):
    torch = pytest.importorskip("torch")
    cuda = SimpleNamespace(is_available=lambda: True, synchronize=lambda: None, empty_cache=lambda: None)
    monkeypatch.setattr(torch, "cuda", cuda)
    monkeypatch.setattr(torch, "zeros", lambda *shape, device: None)
    monkeypatch.setattr(gpu_profile.backend, "free_memory", lambda device: None)

    def fails(job, variant):
        raise MemoryError("out of\nmemory")

    fine = {"step": lambda: None, "finish": lambda: []}
    monkeypatch.setattr(gpu_profile, "LIBRARIES", {"nnscratch": fails, "PyTorch": lambda job, variant: dict(fine)})
    assert gpu_profile.main(["--jobs", "m"]) == 1
    failed, right = capsys.readouterr().out.splitlines()
    assert failed == "(m) nnscratch: MemoryError: out of memory" and right.startswith("(m) PyTorch    wall ")


def test_without_pytorch_for_cuda_it_says_so(monkeypatch, capsys):
    monkeypatch.setitem(sys.modules, "torch", None)
    assert gpu_profile.main([]) == 0
    assert capsys.readouterr().out == "nothing was profiled: this needs PyTorch for CUDA and a GPU\n"
